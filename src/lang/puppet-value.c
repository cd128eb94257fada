/* Puppet's rich data: maps with "__ptype" that stand for values JSON has no notation for. */
#include <string.h>

#include "base/error.h"
#include "lang/puppet-loader.h"

#define TYPE_KEY  "__ptype"
#define VALUE_KEY "__pvalue"

static Value *sensitive_of(const Value *content, GError **error) {
    g_autoptr(Value) plain = puppet_plain_value(content, error);
    return plain ? value_as_secret(plain, NULL) : NULL;
}

static Value *binary_of(const Value *content, GError **error) {
    g_autofree char *text = puppet_text_of(content);
    size_t size = 0;
    g_autofree guchar *bytes = text ? g_base64_decode(text, &size) : NULL;
    g_autofree char *again = bytes ? g_base64_encode(bytes, size) : NULL;
    if (g_strcmp0(text, again) == 0 && text)
        return value_new_bytes(bytes, size);
    puppet_refused(error, "a Binary is not text in base64");
    return NULL;
}

static Value *symbol_of(const Value *content, GError **error) {
    if (value_type(content) == VALUE_STRING)
        return value_ref(content);
    puppet_refused(error, "a Symbol is not a text");
    return NULL;
}

static Value *deferred_of(const Value *content, GError **error) {
    puppet_refused(error, "it is Deferred: Puppet's agent would compute it while it applies the "
                          "catalog; compute it when the catalog is compiled");
    return NULL;
}

/* What `--render-as json` makes of a Deferred, with a warning that is easily missed. */
static Value *text_of(const Value *text, GError **error) {
    return g_str_has_prefix(value_string(text), "Deferred({'name' => '") ? deferred_of(text, error)
                                                                         : value_ref(text);
}

static const struct {
    const char *name;
    Value *(*convert)(const Value *content, GError **error);
} rich_types[] = {
    { "Sensitive", sensitive_of },
    { "Binary", binary_of },
    { "Symbol", symbol_of },
    { "Deferred", deferred_of },
};

static Value *rich_value(const Value *map, GError **error) {
    const char *name = value_map_string(map, TYPE_KEY, "");
    for (size_t i = 0; i < G_N_ELEMENTS(rich_types); i++)
        if (strcmp(name, rich_types[i].name) == 0)
            return rich_types[i].convert(value_map_get(map, VALUE_KEY), error);
    g_autofree char *shown = puppet_shown(name);
    puppet_refused(error,
                   "it is a %s of Puppet, and stead takes text, numbers, booleans, lists, hashes, "
                   "Sensitive and Binary: give its text",
                   shown);
    return NULL;
}

static Value *plain_list(const Value *list, GError **error) {
    g_autoptr(Value) copy = value_new_list();
    for (size_t i = 0; i < value_size(list); i++) {
        Value *item = puppet_plain_value(value_list_at(list, i), error);
        if (!item)
            return NULL;
        value_list_append(copy, item);
    }
    return g_steal_pointer(&copy);
}

static Value *plain_map(const Value *map, GError **error) {
    g_autoptr(Value) copy = value_new_map();
    for (size_t i = 0; i < value_size(map); i++) {
        const char *key;
        Value *item = puppet_plain_value(value_map_at(map, i, &key), error);
        if (!item)
            return NULL;
        value_map_set(copy, key, item);
    }
    return g_steal_pointer(&copy);
}

Value *puppet_plain_value(const Value *value, GError **error) {
    switch (value_type(value)) {
    case VALUE_LIST:
        return plain_list(value, error);
    case VALUE_MAP:
        return value_map_get(value, TYPE_KEY) ? rich_value(value, error) : plain_map(value, error);
    case VALUE_NIL:
        return value_new_nil();
    case VALUE_BOOL:
    case VALUE_INT:
    case VALUE_FLOAT:
    case VALUE_UNKNOWN:
        break;
    case VALUE_STRING:
        return text_of(value, error);
    }
    return value_ref(value);
}
