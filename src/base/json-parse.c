#include "base/json.h" /* before jansson.h, which has macros JSON_COMPACT and JSON_INDENT() */

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/json-private.h"
#include "base/limits.h"

bool json_key_is_reserved(const char *key, bool alone) {
    if (*key != '$')
        return false;
    key += strspn(key, "$") - 1; /* an escaped one needs one more escape */
    if (g_str_has_prefix(key, JSON_MARK_KEY_BYTES))
        return true;
    return alone && (strcmp(key, JSON_MARK_BYTES) == 0 || strcmp(key, JSON_MARK_SECRET) == 0 ||
                     strcmp(key, JSON_MARK_UNKNOWN) == 0);
}

/*
 * From jansson's tree to values. Errors begin with ": " and get the path to the place in front of
 * them on the way up, like `.hosts[3].name: ...`, because the tree has no line numbers.
 */
static Value *value_of(const json_t *json, unsigned depth, GError **error);

/* Decodes base64 strictly (g_base64_decode() skips what it does not know). NULL when it is none. */
static guchar *decode_base64(const char *text, size_t *ret_size) {
    g_autofree guchar *bytes = g_base64_decode(text, ret_size);
    g_autofree char *again = g_base64_encode(bytes, *ret_size);
    return strcmp(text, again) == 0 ? g_steal_pointer(&bytes) : NULL;
}

static Value *bad_mark(const char *mark, const char *expected, GError **error) {
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_DAMAGED,
                ": '%s' needs %s (write '$%s' for a key of that name)", mark, expected, mark);
    return NULL;
}

static Value *bytes_of(const json_t *json, GError **error) {
    size_t size;
    g_autofree guchar *bytes =
        json_is_string(json) && strlen(json_string_value(json)) == json_string_length(json)
            ? decode_base64(json_string_value(json), &size)
            : NULL;
    if (!bytes)
        return bad_mark(JSON_MARK_BYTES, "text in base64", error);
    return value_new_bytes(bytes, size);
}

static Value *secret_of(const json_t *json, GError **error) {
    if (!json_is_null(json) && !json_is_string(json))
        return bad_mark(JSON_MARK_SECRET, "a name or null", error);
    g_autoptr(Value) empty = value_new_string("");
    return value_as_secret(empty, json_string_value(json));
}

static Value *unknown_of(const json_t *json, GError **error) {
    if (!json_is_true(json))
        return bad_mark(JSON_MARK_UNKNOWN, "true", error);
    return value_new_unknown();
}

static const struct {
    const char *mark;
    Value *(*decode)(const json_t *json, GError **error);
} marks[] = {
    { JSON_MARK_BYTES, bytes_of },
    { JSON_MARK_SECRET, secret_of },
    { JSON_MARK_UNKNOWN, unknown_of },
};

static Value *list_of(const json_t *json, unsigned depth, GError **error) {
    g_autoptr(Value) list = value_new_list();
    size_t size = json_array_size(json);
    for (size_t i = 0; i < size; i++) {
        Value *item = value_of(json_array_get(json, i), depth + 1, error);
        if (!item) {
            g_prefix_error(error, "[%zu]", i);
            return NULL;
        }
        value_list_append(list, item);
    }
    return g_steal_pointer(&list);
}

typedef struct {
    char *key; /* decoded, owned */
    const json_t *item;
} Member;

static void member_clear(void *data) {
    g_free(((Member *)data)->key);
}

static int member_compare(const void *a, const void *b) {
    return strcmp(((const Member *)a)->key, ((const Member *)b)->key);
}

/* The key as it was before printing; NULL with error. Caller frees. */
static char *key_of(const char *text, bool alone, GError **error) {
    if (!json_key_is_reserved(text, alone))
        return g_strdup(text);
    if (text[1] == '$')
        return g_strdup(text + 1);
    size_t size;
    const char *encoded = text + strlen(JSON_MARK_KEY_BYTES);
    g_autofree guchar *bytes = decode_base64(encoded, &size);
    if (!bytes || memchr(bytes, '\0', size)) {
        bad_mark(JSON_MARK_KEY_BYTES, "base64 without NUL after it", error);
        return NULL;
    }
    return g_strndup((const char *)bytes, size);
}

/* Members of an object by key, so that the map is built in order. NULL with error. */
static GArray *sorted_members(json_t *json, GError **error) {
    size_t size = json_object_size(json);
    g_autoptr(GArray) members = g_array_sized_new(FALSE, FALSE, sizeof(Member), (guint)size);
    g_array_set_clear_func(members, member_clear);
    const char *text;
    json_t *item;
    json_object_foreach(json, text, item) {
        Member member = { key_of(text, size == 1, error), item };
        if (!member.key)
            return NULL;
        g_array_append_val(members, member);
    }
    if (size > 0)
        qsort(members->data, size, sizeof(Member), member_compare);
    return g_steal_pointer(&members);
}

static Value *map_of(const json_t *json, unsigned depth, GError **error) {
    json_t *object = (json_t *)(uintptr_t)json; /* jansson iterates over mutable objects only */
    if (json_object_size(object) == 1)
        for (size_t i = 0; i < G_N_ELEMENTS(marks); i++) {
            const json_t *item = json_object_get(object, marks[i].mark);
            if (item)
                return marks[i].decode(item, error);
        }
    g_autoptr(GArray) members = sorted_members(object, error);
    if (!members)
        return NULL;
    g_autoptr(Value) map = value_new_map();
    for (guint i = 0; i < members->len; i++) {
        const Member *member = &g_array_index(members, Member, i);
        Value *item = value_of(member->item, depth + 1, error);
        if (!item) {
            g_prefix_error(error, ".%s", member->key);
            return NULL;
        }
        value_map_set(map, member->key, item);
    }
    return g_steal_pointer(&map);
}

static Value *value_of(const json_t *json, unsigned depth, GError **error) {
    if (depth == LIMIT_NESTING && (json_is_array(json) || json_is_object(json))) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_LIMIT,
                    ": lists and maps are nested more than %u deep (LIMIT_NESTING)", LIMIT_NESTING);
        return NULL;
    }
    switch (json_typeof(json)) {
    case JSON_NULL:
        return value_new_nil();
    case JSON_TRUE:
        return value_new_bool(true);
    case JSON_FALSE:
        return value_new_bool(false);
    case JSON_INTEGER:
        return value_new_int(json_integer_value(json));
    case JSON_REAL:
        return value_new_float(json_real_value(json));
    case JSON_STRING:
        return value_new_bytes(json_string_value(json), json_string_length(json));
    case JSON_ARRAY:
        return list_of(json, depth, error);
    case JSON_OBJECT:
        return map_of(json, depth, error);
    }
    g_assert_not_reached();
}

static void set_syntax_error(GError **error, const char *where, const json_error_t *syntax) {
    bool too_deep = json_error_code(syntax) == json_error_stack_overflow;
    g_set_error(error, STEAD_ERROR, too_deep ? STEAD_ERROR_LIMIT : STEAD_ERROR_CONFIG,
                "%s:%d:%d: %s", where, MAX(syntax->line, 1), MAX(syntax->column, 1), syntax->text);
}

Value *json_parse(const char *text, size_t size, const char *where, GError **error) {
    json_error_t syntax;
    json_t *json =
        json_loadb(text, size, JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &syntax);
    if (!json) {
        set_syntax_error(error, where, &syntax);
        return NULL;
    }
    Value *value = value_of(json, 0, error);
    json_decref(json);
    bool at_top = !value && error && (*error)->message[0] == ':'; /* no path to name */
    if (!value)
        g_prefix_error(error, "%s%s", where, at_top ? "" : ": ");
    return value;
}
