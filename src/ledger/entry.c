#include "ledger/entry.h"

#include <string.h>

#include "base/json.h"
#include "ledger/database.h"
#include "ledger/record.h"

#define DIGEST_DIGITS (DIGEST_HEX_SIZE - 1)

LedgerEntry *ledger_entry_new(const char *kind, const char *name) {
    LedgerEntry *entry = g_new0(LedgerEntry, 1);
    entry->kind = g_strdup(kind);
    entry->name = g_strdup(name);
    return entry;
}

void ledger_entry_free(LedgerEntry *entry) {
    if (!entry)
        return;
    g_free(entry->kind);
    g_free(entry->name);
    value_unref(entry->resource);
    value_unref(entry->applied);
    value_unref(entry->preimage);
    value_unref(entry->kept);
    g_strfreev(entry->needs);
    g_free(entry->origin);
    g_free(entry);
}

/* --- to text --- */

static void append_name(GString *out, const char *name) {
    g_string_append_c(out, out->len == 0 ? '{' : ',');
    g_string_append_c(out, '"');
    g_string_append(out, name);
    g_string_append(out, "\":");
}

static void append_text(GString *out, const char *name, const char *text) {
    if (!text)
        return;
    append_name(out, name);
    append_json_string(out, text);
}

static void append_int(GString *out, const char *name, int64_t i) {
    if (i == 0)
        return;
    append_name(out, name);
    g_string_append_printf(out, "%" G_GINT64_FORMAT, i);
}

static void append_value(GString *out, const char *name, const Value *value) {
    if (!value)
        return;
    append_name(out, name);
    json_append(out, value, JSON_COMPACT);
}

static void append_needs(GString *out, char *const *needs) {
    if (!needs || !*needs)
        return;
    append_name(out, "needs");
    for (unsigned i = 0; needs[i]; i++) {
        g_string_append_c(out, i == 0 ? '[' : ',');
        append_json_string(out, needs[i]);
    }
    g_string_append_c(out, ']');
}

static void set_flag(void *data, const char *hex) {
    *(EntryFlags *)data |= ENTRY_NAMES_CONTENT;
}

/* A member that may name contents. */
static void append_holder(GString *out, const char *name, const Value *value, EntryFlags *flags) {
    size_t start = out->len;
    append_value(out, name, value);
    visit_digests(out->str + start, out->len - start, set_flag, flags);
}

GBytes *entry_to_text(const LedgerEntry *entry, EntryFlags *ret_flags) {
    EntryFlags flags = entry->preimage ? ENTRY_HAS_PREIMAGE : 0;
    GString *out = g_string_sized_new(512);
    append_text(out, "kind", entry->kind);
    append_text(out, "name", entry->name);
    append_value(out, "resource", entry->resource);
    append_value(out, "applied", entry->applied);
    append_holder(out, "preimage", entry->preimage, &flags);
    append_holder(out, "kept", entry->kept, &flags);
    append_needs(out, entry->needs);
    append_int(out, "on_remove", entry->on_remove);
    append_int(out, "protect", entry->protect);
    append_int(out, "created", entry->created);
    append_text(out, "origin", entry->origin);
    append_int(out, "since", entry->since);
    append_int(out, "changed", entry->changed);
    append_int(out, "resource_hash", (int64_t)entry->resource_hash);
    g_string_append_c(out, '}');
    *ret_flags = flags;
    return g_string_free_to_bytes(out);
}

/* --- from text --- */

static Value *take_member(const Value *map, const char *name) {
    const Value *member = value_map_get(map, name);
    return member ? value_ref(member) : NULL;
}

static char **read_needs(const Value *list) {
    if (value_type(list) != VALUE_LIST)
        return NULL;
    g_autoptr(GPtrArray) needs = g_ptr_array_new_null_terminated(value_size(list), g_free, TRUE);
    for (size_t i = 0; i < value_size(list); i++) {
        const Value *item = value_list_at(list, i);
        if (value_type(item) == VALUE_STRING)
            g_ptr_array_add(needs, g_strdup(value_string(item)));
    }
    return (char **)g_ptr_array_steal(needs, NULL);
}

LedgerEntry *entry_from_text(GBytes *text, const char *path, GError **error) {
    gsize size;
    const char *json = g_bytes_get_data(text, &size);
    g_autoptr(Value) map = json_parse(json, size, path, NULL);
    const char *kind = value_type(map) == VALUE_MAP ? value_map_string(map, "kind", NULL) : NULL;
    const char *name = kind ? value_map_string(map, "name", NULL) : NULL;
    int64_t on_remove = name ? value_map_int(map, "on_remove", 0) : -1;
    if (on_remove < 0 || on_remove > LEDGER_ON_REMOVE_MAX) {
        set_damaged_error(error, path, "an entry is not what was written");
        return NULL;
    }
    LedgerEntry *entry = ledger_entry_new(kind, name);
    entry->resource = take_member(map, "resource");
    entry->applied = take_member(map, "applied");
    entry->preimage = take_member(map, "preimage");
    entry->kept = take_member(map, "kept");
    entry->needs = read_needs(value_map_get(map, "needs"));
    entry->on_remove = (int)on_remove;
    entry->protect = value_map_int(map, "protect", 0) != 0;
    entry->created = value_map_int(map, "created", 0) != 0;
    entry->origin = g_strdup(value_map_string(map, "origin", NULL));
    entry->since = value_map_int(map, "since", 0);
    entry->changed = value_map_int(map, "changed", 0);
    entry->resource_hash = (uint64_t)value_map_int(map, "resource_hash", 0);
    return entry;
}

/* --- digests in text --- */

static bool is_hex_digit(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

void visit_digests(const char *text, size_t size, void (*visit)(void *data, const char *hex),
                   void *data) {
    size_t run = 0;
    for (size_t i = 0; i <= size; i++) {
        if (i < size && is_hex_digit(text[i])) {
            run++;
            continue;
        }
        if (run == DIGEST_DIGITS)
            visit(data, text + i - run);
        run = 0;
    }
}
