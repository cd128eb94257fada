#include <string.h>

#include "base/json-private.h"

/* Decodes base64 strictly (g_base64_decode() skips what it does not know). NULL when it is none. */
static guchar *decode_base64(const char *text, size_t *ret_size) {
    g_autofree guchar *bytes = g_base64_decode(text, ret_size);
    g_autofree char *again = g_base64_encode(bytes, *ret_size);
    return strcmp(text, again) == 0 ? g_steal_pointer(&bytes) : NULL;
}

static Value *bytes_of(const Value *content) {
    if (value_type(content) != VALUE_STRING ||
        strlen(value_string(content)) != value_string_size(content))
        return NULL;
    size_t size;
    g_autofree guchar *bytes = decode_base64(value_string(content), &size);
    return bytes ? value_new_bytes(bytes, size) : NULL;
}

static Value *secret_of(const Value *content) {
    g_autoptr(Value) empty = value_new_string("");
    if (value_type(content) == VALUE_NIL)
        return value_as_secret(empty, NULL);
    bool is_name = value_type(content) == VALUE_STRING;
    return is_name ? value_as_secret(empty, value_string(content)) : NULL;
}

static Value *unknown_of(const Value *content) {
    return value_type(content) == VALUE_BOOL && value_bool(content) ? value_new_unknown() : NULL;
}

static const JsonMark marks[] = {
    { JSON_MARK_BYTES, bytes_of, "text in base64" },
    { JSON_MARK_SECRET, secret_of, "a name or null" },
    { JSON_MARK_UNKNOWN, unknown_of, "true" },
};

const JsonMark *json_mark_find(const char *key) {
    for (size_t i = 0; i < G_N_ELEMENTS(marks); i++)
        if (strcmp(key, marks[i].key) == 0)
            return &marks[i];
    return NULL;
}

bool json_key_is_reserved(const char *key, bool alone) {
    if (*key != '$')
        return false;
    key += strspn(key, "$") - 1; /* an escaped one needs one more escape */
    return g_str_has_prefix(key, JSON_MARK_KEY_BYTES) || (alone && json_mark_find(key));
}

char *json_key_restore(const char *key) {
    if (key[1] == '$')
        return g_strdup(key + 1);
    size_t size;
    g_autofree guchar *bytes = decode_base64(key + strlen(JSON_MARK_KEY_BYTES), &size);
    bool is_key = bytes && !memchr(bytes, '\0', size);
    return is_key ? g_strndup((const char *)bytes, size) : NULL;
}
