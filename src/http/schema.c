#include "http/schema.h"

#include <string.h>

#include "base/error.h"

#define DEPTH_MAX 32u /* of schemas, which do not refer to themselves */

static const struct {
    const char *name;
    ValueType type;
    const char *text;
} types[] = {
    { "boolean", VALUE_BOOL, "a boolean" }, { "integer", VALUE_INT, "an integer" },
    { "number", VALUE_FLOAT, "a number" },  { "string", VALUE_STRING, "a string" },
    { "array", VALUE_LIST, "a list" },      { "object", VALUE_MAP, "an object" },
    { "null", VALUE_NIL, "null" },
};

static const char *type_text(ValueType type) {
    for (unsigned i = 0; i < G_N_ELEMENTS(types); i++)
        if (types[i].type == type)
            return types[i].text;
    return "of no type";
}

/* Where in the answer, innermost first. */
typedef struct Place {
    const struct Place *around;
    const char *name; /* NULL: index */
    size_t index;
    unsigned depth;
} Place;

static void add_place(GString *text, const Place *place) {
    if (!place || (!place->name && !place->around))
        return;
    add_place(text, place->around);
    if (place->name)
        g_string_append_printf(text, "%s%.100s", text->len > 0 ? "." : "", place->name);
    else
        g_string_append_printf(text, "[%zu]", place->index);
}

static G_GNUC_PRINTF(3, 4) bool refuse(const Place *place, GError **error, const char *format,
                                       ...) {
    g_autoptr(GString) where = g_string_new(NULL);
    add_place(where, place);
    g_autofree char *shown = g_utf8_make_valid(where->str, -1);
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *what = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    if (*shown)
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED, "'%s' %s", shown, what);
    else
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED, "it %s", what);
    return false;
}

static bool check_type(const char *name, const Value *value, const Place *place, GError **error) {
    unsigned i = 0;
    while (i < G_N_ELEMENTS(types) && strcmp(types[i].name, name) != 0)
        i++;
    g_assert(i < G_N_ELEMENTS(types));
    ValueType found = value_type(value);
    bool fits = found == types[i].type || (types[i].type == VALUE_FLOAT && found == VALUE_INT);
    return fits || refuse(place, error, "is %s, not %s", type_text(found), types[i].text);
}

static bool check_enum(const Value *words, const Value *value, const Place *place, GError **error) {
    for (size_t i = 0; i < value_size(words); i++)
        if (value_equal(value_list_at(words, i), value))
            return true;
    return refuse(place, error, "is not a word that is known here");
}

static bool check(const Value *schema, const Value *value, const Place *place, GError **error);

static bool check_required(const Value *names, const Value *map, const Place *place,
                           GError **error) {
    for (size_t i = 0; names && i < value_size(names); i++) {
        const char *name = value_string(value_list_at(names, i));
        const Place inside = { place, name, 0, place->depth + 1 };
        if (!value_map_get(map, name))
            return refuse(&inside, error, "is missing");
    }
    return true;
}

static bool check_map(const Value *schema, const Value *map, const Place *place, GError **error) {
    const Value *known = value_map_get(schema, "properties"),
                *others = value_map_get(schema, "additionalProperties");
    if (!check_required(value_map_get(schema, "required"), map, place, error))
        return false;
    for (size_t i = 0; i < value_size(map); i++) {
        const char *name;
        const Value *member = value_map_at(map, i, &name);
        const Value *wanted = known ? value_map_get(known, name) : NULL;
        const Place inside = { place, name, 0, place->depth + 1 };
        if (!wanted)
            wanted = others;
        if (wanted && !check(wanted, member, &inside, error))
            return false;
    }
    return true;
}

static bool check_list(const Value *schema, const Value *list, const Place *place, GError **error) {
    const Value *wanted = value_map_get(schema, "items");
    for (size_t i = 0; wanted && i < value_size(list); i++) {
        const Place inside = { place, NULL, i, place->depth + 1 };
        if (!check(wanted, value_list_at(list, i), &inside, error))
            return false;
    }
    return true;
}

static bool check(const Value *schema, const Value *value, const Place *place, GError **error) {
    g_assert(place->depth <= DEPTH_MAX);
    const char *type = value_map_string(schema, "type", NULL);
    const Value *words = value_map_get(schema, "enum");
    if (type && !check_type(type, value, place, error))
        return false;
    if (words && !check_enum(words, value, place, error))
        return false;
    if (type && strcmp(type, "object") == 0)
        return check_map(schema, value, place, error);
    return !type || strcmp(type, "array") != 0 || check_list(schema, value, place, error);
}

bool schema_check(const Value *schema, const Value *value, GError **error) {
    const Place whole = { NULL, NULL, 0, 0 };
    return check(schema, value, &whole, error);
}
