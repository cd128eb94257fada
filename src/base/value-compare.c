#include <string.h>

#include "base/hash.h"
#include "base/value-private.h"
#include "base/value.h"

static int bytes_compare(const char *a, size_t a_size, const char *b, size_t b_size) {
    int order = memcmp(a, b, MIN(a_size, b_size));
    return order != 0 ? order : (a_size > b_size) - (a_size < b_size);
}

/* NaN sorts below every number and equals itself, so that the order is total. */
static int float_compare(double a, double b) {
    bool a_nan = a != a, b_nan = b != b;
    if (a_nan || b_nan)
        return b_nan - a_nan;
    return (a > b) - (a < b);
}

static int list_compare(const Value *a, const Value *b) {
    size_t a_size = value_size(a), b_size = value_size(b);
    for (size_t i = 0; i < a_size && i < b_size; i++) {
        int order = value_compare(value_list_at(a, i), value_list_at(b, i));
        if (order != 0)
            return order;
    }
    return (a_size > b_size) - (a_size < b_size);
}

static int map_compare(const Value *a, const Value *b) {
    size_t a_size = value_size(a), b_size = value_size(b);
    for (size_t i = 0; i < a_size && i < b_size; i++) {
        const char *a_key, *b_key;
        const Value *a_item = value_map_at(a, i, &a_key);
        const Value *b_item = value_map_at(b, i, &b_key);
        int order = strcmp(a_key, b_key);
        if (order == 0)
            order = value_compare(a_item, b_item);
        if (order != 0)
            return order;
    }
    return (a_size > b_size) - (a_size < b_size);
}

int value_compare(const Value *a, const Value *b) {
    if (a == b)
        return 0;
    ValueType type = value_type(a);
    if (type != value_type(b))
        return type < value_type(b) ? -1 : 1;
    switch (type) {
    case VALUE_NIL:
    case VALUE_UNKNOWN:
        return 0;
    case VALUE_BOOL:
        return value_bool(a) - value_bool(b);
    case VALUE_INT:
        return (value_int(a) > value_int(b)) - (value_int(a) < value_int(b));
    case VALUE_FLOAT:
        return float_compare(value_float(a), value_float(b));
    case VALUE_STRING:
        return bytes_compare(value_string(a), value_string_size(a), value_string(b),
                             value_string_size(b));
    case VALUE_LIST:
        return list_compare(a, b);
    case VALUE_MAP:
        return map_compare(a, b);
    }
    g_assert_not_reached();
}

bool value_equal(const Value *a, const Value *b) {
    if (value_has_unknown(a) || value_has_unknown(b))
        return false;
    if (a == b)
        return true;
    ValueType type = value_type(a);
    if (type != value_type(b))
        return false;
    /* Sizes differ more often than not, and an order costs more than a no. */
    if (type == VALUE_STRING)
        return value_string_size(a) == value_string_size(b) &&
               memcmp(value_string(a), value_string(b), value_string_size(a)) == 0;
    if ((type == VALUE_LIST || type == VALUE_MAP) && value_size(a) != value_size(b))
        return false;
    return value_compare(a, b) == 0;
}

static uint64_t mix_float(uint64_t hash, double d) {
    if (d != d)
        return hash_word(hash, UINT64_MAX); /* there are many NaNs, and they are equal here */
    uint64_t word;
    d += 0.0; /* -0.0 equals 0.0 */
    memcpy(&word, &d, sizeof word);
    return hash_word(hash, word);
}

static uint64_t mix_value(uint64_t hash, const Value *value) {
    hash = hash_word(hash, value_type(value));
    switch (value_type(value)) {
    case VALUE_NIL:
    case VALUE_UNKNOWN:
        return hash;
    case VALUE_BOOL:
        return hash_word(hash, value_bool(value));
    case VALUE_INT:
        return hash_word(hash, (uint64_t)value_int(value));
    case VALUE_FLOAT:
        return mix_float(hash, value_float(value));
    case VALUE_STRING:
        return hash_bytes(hash, value_string(value), value_string_size(value));
    case VALUE_LIST:
        for (size_t i = 0; i < value_size(value); i++)
            hash = mix_value(hash, value_list_at(value, i));
        return hash_word(hash, value_size(value));
    case VALUE_MAP:
        for (size_t i = 0; i < value_size(value); i++) {
            const char *key;
            const Value *item = value_map_at(value, i, &key);
            hash = mix_value(hash_bytes(hash, key, strlen(key)), item);
        }
        return hash_word(hash, value_size(value));
    }
    g_assert_not_reached();
}

guint value_hash(const Value *value) {
    uint64_t hash = mix_value(0, value);
    return (guint)(hash ^ (hash >> 32));
}
