#include "lang/json-strict.h"

#include <math.h>

#include "base/error.h"

static bool refuse(GError **error, const char *text) {
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "write JSON: %s", text);
    return false;
}

static bool is_text(const char *text, size_t size) {
    while (size > 0) {
        const char *end;
        if (g_utf8_validate_len(text, size, &end))
            return true;
        if (*end != '\0') /* a NUL is text in JSON */
            return false;
        size -= (size_t)(end + 1 - text);
        text = end + 1;
    }
    return true;
}

static bool check(const Value *value, GError **error) {
    const char *key;
    switch (value_type(value)) {
    case VALUE_FLOAT:
        return isfinite(value_float(value)) ||
               refuse(error, "infinity and NaN cannot be expressed");
    case VALUE_STRING:
        return is_text(value_string(value), value_string_size(value)) ||
               refuse(error, "bytes that are not UTF-8 text cannot be expressed");
    case VALUE_LIST:
        for (size_t i = 0; i < value_size(value); i++)
            if (!check(value_list_at(value, i), error))
                return false;
        return true;
    case VALUE_MAP:
        for (size_t i = 0; i < value_size(value); i++) {
            const Value *item = value_map_at(value, i, &key);
            if (!g_utf8_validate(key, -1, NULL))
                return refuse(error, "a key that is not UTF-8 text cannot be expressed");
            if (!check(item, error))
                return false;
        }
        return true;
    case VALUE_UNKNOWN:
        return refuse(error, "a value that is known only after apply cannot be expressed");
    case VALUE_NIL:
    case VALUE_BOOL:
    case VALUE_INT:
        break;
    }
    return true;
}

bool json_append_strict(GString *out, const Value *value, JsonFlags flags, GError **error) {
    if (!check(value, error))
        return false;
    json_append(out, value, flags | JSON_REVEAL);
    return true;
}
