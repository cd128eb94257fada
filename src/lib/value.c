/* The values of the public interface are our own, under a name that says nothing about them. */
#include "lib/value.h"

#include "base/json.h"
#include "lib/error.h"

G_STATIC_ASSERT((int)STEAD_NIL == (int)VALUE_NIL && (int)STEAD_BOOL == (int)VALUE_BOOL);
G_STATIC_ASSERT((int)STEAD_INT == (int)VALUE_INT && (int)STEAD_FLOAT == (int)VALUE_FLOAT);
G_STATIC_ASSERT((int)STEAD_STRING == (int)VALUE_STRING && (int)STEAD_LIST == (int)VALUE_LIST);
G_STATIC_ASSERT((int)STEAD_MAP == (int)VALUE_MAP && (int)STEAD_UNKNOWN == (int)VALUE_UNKNOWN);

stead_value *stead_value_new_nil(void) {
    return value_give(value_new_nil());
}

stead_value *stead_value_new_bool(bool b) {
    return value_give(value_new_bool(b));
}

stead_value *stead_value_new_int(int64_t i) {
    return value_give(value_new_int(i));
}

stead_value *stead_value_new_float(double d) {
    return value_give(value_new_float(d));
}

stead_value *stead_value_new_string(const char *text) {
    return value_give(value_new_string(text));
}

stead_value *stead_value_new_bytes(const void *data, size_t size) {
    return value_give(value_new_bytes(data, size));
}

stead_value *stead_value_new_list(void) {
    return value_give(value_new_list());
}

stead_value *stead_value_new_map(void) {
    return value_give(value_new_map());
}

stead_value *stead_value_new_secret(const char *name, const char *text) {
    g_autoptr(Value) clear = value_new_string(text);
    return value_give(value_as_secret(clear, name));
}

stead_value *stead_value_new_json(const char *text, size_t size, const char *where,
                                  stead_error **error) {
    GError *problem = NULL;
    Value *value = json_parse(text, size, where, &problem);
    if (!value)
        error_give(error, problem);
    return value_give(value);
}

stead_value *stead_value_ref(const stead_value *value) {
    return value_give(value_ref(value_of(value)));
}

void stead_value_unref(stead_value *value) {
    value_unref(value_take(value));
}

void stead_value_append(stead_value *list, stead_value *item) {
    value_list_append(value_take(list), value_take(item));
}

void stead_value_set(stead_value *map, const char *key, stead_value *item) {
    value_map_set(value_take(map), key, value_take(item));
}

stead_type stead_value_type(const stead_value *value) {
    return (stead_type)value_type(value_of(value));
}

bool stead_value_get_bool(const stead_value *value, bool fallback) {
    return stead_value_type(value) == STEAD_BOOL ? value_bool(value_of(value)) : fallback;
}

int64_t stead_value_get_int(const stead_value *value, int64_t fallback) {
    return stead_value_type(value) == STEAD_INT ? value_int(value_of(value)) : fallback;
}

double stead_value_get_float(const stead_value *value, double fallback) {
    stead_type type = stead_value_type(value);
    return type == STEAD_FLOAT || type == STEAD_INT ? value_float(value_of(value)) : fallback;
}

const char *stead_value_get_string(const stead_value *value, size_t *ret_size) {
    if (stead_value_type(value) != STEAD_STRING)
        return NULL;
    if (ret_size)
        *ret_size = value_string_size(value_of(value));
    return value_string(value_of(value));
}

size_t stead_value_size(const stead_value *value) {
    stead_type type = stead_value_type(value);
    return type == STEAD_LIST || type == STEAD_MAP ? value_size(value_of(value)) : 0;
}

const stead_value *stead_value_at(const stead_value *value, size_t index, const char **ret_key) {
    const char *key = NULL;
    const Value *item = NULL;
    if (index < stead_value_size(value))
        item = stead_value_type(value) == STEAD_MAP ? value_map_at(value_of(value), index, &key)
                                                    : value_list_at(value_of(value), index);
    if (ret_key)
        *ret_key = key;
    return (const stead_value *)item;
}

const stead_value *stead_value_get(const stead_value *map, const char *key) {
    bool is_map = stead_value_type(map) == STEAD_MAP;
    return is_map ? (const stead_value *)value_map_get(value_of(map), key) : NULL;
}

bool stead_value_equal(const stead_value *a, const stead_value *b) {
    return value_equal(value_of(a), value_of(b));
}

char *stead_value_to_json(const stead_value *value) {
    return json_print(value_of(value), JSON_COMPACT);
}
