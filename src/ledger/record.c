#include "ledger/record.h"

#include "base/json.h"

uint64_t text_hash(const void *text, size_t size) {
    const uint8_t *bytes = text;
    uint64_t hash = 0xcbf29ce484222325;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ bytes[i]) * 0x100000001b3;
    return hash != 0 ? hash : 1;
}

char *step_key(const char *kind, const char *name) {
    return g_strconcat(kind, KEY_SEPARATOR, name, NULL);
}

void append_json_string(GString *out, const char *text) {
    g_autoptr(Value) value = value_new_string(text);
    json_append(out, value, JSON_COMPACT);
}
