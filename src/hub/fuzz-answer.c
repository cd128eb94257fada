/*
 * Any bytes as what a hub answers: the first line says to what, as in "GET /v1/hosts", the rest is
 * JSON. It is refused, or all that the route's schema names is of its type: with any one member
 * taken away that is required, or made another type, it is refused and the error names that member.
 * Here, where the routes are, because schema.c knows none.
 */
#include <stdint.h>
#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "http/routes.h"
#include "http/schema.h"
#include "hub/hub.h"

#define MESSAGE_MAX 4096u /* of nested names, each cut short */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Borrowed; NULL: the route is none, or says nothing of its answers. */
static const Value *schema_of(const char *call) {
    static GHashTable *known; /* of the process: const HttpRoute * to Value * */
    const char *path = strchr(call, ' ');
    g_autofree char *method = path ? g_strndup(call, (size_t)(path - call)) : NULL;
    if (!path)
        return NULL;
    g_auto(RouteMatch) match = routes_match(hub_routes, hub_n_routes, method, path + 1);
    if (!match.route || !match.route->response)
        return NULL;
    if (!known)
        known = g_hash_table_new(NULL, NULL);
    const char *text = match.route->response;
    Value *schema = g_hash_table_lookup(known, text);
    g_autoptr(GError) error = NULL;
    if (!schema)
        g_hash_table_insert(known, (void *)(uintptr_t)text,
                            schema = json_parse(text, strlen(text), "schema", &error));
    g_assert_no_error(error);
    return schema;
}

/* Whether it is refused, which an error tells that can be shown; name NULL: whatever it names. */
static bool is_refused(const Value *schema, const Value *answer, const char *name) {
    g_autoptr(GError) error = NULL;
    if (schema_check(schema, answer, &error)) {
        g_assert_no_error(error);
        return false;
    }
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED);
    g_assert_true(g_utf8_validate(error->message, -1, NULL));
    g_assert_cmpuint(strlen(error->message), <, MESSAGE_MAX);
    g_assert_true(!name || strstr(error->message, name));
    return true;
}

/* Map with member name replaced; item NULL: without it, else taken. */
static Value *map_with(const Value *map, const char *name, Value *item) {
    Value *copy = value_new_map();
    for (size_t i = 0; i < value_size(map); i++) {
        const char *key;
        const Value *member = value_map_at(map, i, &key);
        if (strcmp(key, name) != 0)
            value_map_set(copy, key, value_ref(member));
    }
    if (item)
        value_map_set(copy, name, item);
    return copy;
}

/* What no schema with a type or words takes in place of member. */
static Value *other_than(const Value *schema) {
    const char *type = value_map_string(schema, "type", "");
    return strcmp(type, "boolean") == 0 ? value_new_nil() : value_new_bool(true);
}

/* answer is of schema, an object. */
static void check_members(const Value *schema, const Value *answer) {
    const Value *members = value_map_get(schema, "properties"),
                *required = value_map_get(schema, "required");
    for (size_t i = 0; members && i < value_size(members); i++) {
        const char *name;
        g_autoptr(Value) other = other_than(value_map_at(members, i, &name));
        g_autoptr(Value) wrong = map_with(answer, name, g_steal_pointer(&other));
        g_assert_true(is_refused(schema, wrong, name));
    }
    for (size_t i = 0; required && i < value_size(required); i++) {
        const char *name = value_string(value_list_at(required, i));
        g_autoptr(Value) less = map_with(answer, name, NULL);
        g_assert_true(is_refused(schema, less, name));
    }
}

/* The same at any depth. */
static void check_accepted(const Value *schema, const Value *answer) {
    const Value *items = value_map_get(schema, "items"),
                *members = value_map_get(schema, "properties"),
                *others = value_map_get(schema, "additionalProperties");
    if (value_type(answer) == VALUE_LIST)
        for (size_t i = 0; items && i < value_size(answer); i++)
            check_accepted(items, value_list_at(answer, i));
    if (value_type(answer) != VALUE_MAP)
        return;
    check_members(schema, answer);
    for (size_t i = 0; i < value_size(answer); i++) {
        const char *name;
        const Value *member = value_map_at(answer, i, &name);
        const Value *inside = members ? value_map_get(members, name) : NULL;
        inside = inside ? inside : others;
        g_assert_false(inside && is_refused(inside, member, NULL));
        if (inside)
            check_accepted(inside, member);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *text = (const char *)data, *end = memchr(data, '\n', size);
    if (!end)
        return 0;
    g_autofree char *call = g_strndup(text, (size_t)(end - text));
    const Value *schema = schema_of(call);
    g_autoptr(Value) answer =
        schema ? json_parse(end + 1, size - (size_t)(end + 1 - text), "answer", NULL) : NULL;
    if (answer && !is_refused(schema, answer, NULL))
        check_accepted(schema, answer);
    return 0;
}
