/*
 * The bytes behind a pre-image's digest. Whoever is changed for the first time has them stored
 * before the change. What was right when first seen needs no copy: its definition says them, or,
 * when it names them in another way (a source file), they are stored when it is adopted.
 */
#include <string.h>

#include "engine/engine-private.h"

#define DIGEST_PREFIX "sha256:"

/* The hexadecimal digest a pre-image (a map as state_to_value()) names, or NULL. */
static const char *digest_in(const Value *preimage) {
    const char *name;
    for (size_t i = 0; value_type(preimage) == VALUE_MAP && i < value_size(preimage); i++) {
        const Value *value = value_map_at(preimage, i, &name);
        if (value_type(value) == VALUE_STRING &&
            g_str_has_prefix(value_string(value), DIGEST_PREFIX))
            return value_string(value) + strlen(DIGEST_PREFIX);
    }
    return NULL;
}

static bool has_digest(const Value *text, const char *hex) {
    if (value_type(text) != VALUE_STRING)
        return false;
    char found[DIGEST_HEX_SIZE];
    digest_bytes(value_string(text), value_string_size(text), found);
    return strcmp(found, hex) == 0;
}

/* The parameter among params (as in resource_to_value()) that holds these very bytes, or NULL. */
static const Value *find_bytes(const Value *resource, const char *hex) {
    const Value *params =
        value_type(resource) == VALUE_MAP ? value_map_get(resource, "params") : NULL;
    const char *name;
    for (size_t i = 0; value_type(params) == VALUE_MAP && i < value_size(params); i++) {
        const Value *value = value_map_at(params, i, &name);
        if (has_digest(value, hex) && !value_is_secret(value))
            return value;
    }
    return NULL;
}

GBytes *preimage_content(Ledger *ledger, const LedgerEntry *entry) {
    const char *hex = digest_in(entry->preimage);
    GBytes *stored = hex ? ledger_load_content(ledger, hex, NULL) : NULL;
    if (stored || !hex)
        return stored;
    const Value *bytes = find_bytes(entry->resource, hex);
    return bytes ? g_bytes_new(value_string(bytes), value_string_size(bytes)) : NULL;
}

void preimage_keep(Ledger *ledger, const LedgerEntry *old) {
    const char *hex = digest_in(old->preimage);
    const Value *bytes = hex ? find_bytes(old->resource, hex) : NULL;
    if (!bytes)
        return;
    g_autoptr(GBytes) content = g_bytes_new(value_string(bytes), value_string_size(bytes));
    char stored[DIGEST_HEX_SIZE];
    (void)ledger_store_content(ledger, content, stored,
                               NULL); /* the ledger reports failing writes */
}

/* Whether the resource itself says the bytes of what was found. */
static bool says_bytes(const Resource *resource, const char *hex) {
    for (unsigned i = 0; i < resource->kind->n_params; i++)
        if (has_digest(resource->params[i], hex) && !value_is_secret(resource->params[i]))
            return true;
    return false;
}

bool preimage_take(Round *round, RoundMember *member, GError **error) {
    const Kind *kind = member->run.resource->kind;
    if (member->before)
        return true;
    g_autoptr(Value) found = state_to_value(member->actual);
    const char *hex = digest_in(found);
    bool needed = kind->preimage && member->actual->exists &&
                  (has_change(member) || (hex && !says_bytes(member->run.resource, hex)));
    if (needed && !kind->preimage(&member->run, member->actual, error)) {
        g_prefix_error(error, "keep what was there before the first change: ");
        return false;
    }
    char stored[DIGEST_HEX_SIZE];
    if (member->actual->content && !ledger_store_content(round->engine->options.ledger,
                                                         member->actual->content, stored, error))
        return false;
    member->before = state_to_value(member->actual);
    return true;
}
