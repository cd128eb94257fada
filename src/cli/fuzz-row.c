/*
 * An entry of the ledger as it lies in its row: what is read writes and reads back as the same; the
 * resource, the pre-image and the resource that undoes it are refused or whole.
 */
#include <stdint.h>
#include <string.h>

#include "kinds/kinds.h"
#include "ledger/entry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_undo(const LedgerEntry *entry) {
    g_autoptr(Resource) resource = resource_from_value(
        entry->resource, &builtin_kinds, (Origin){ .file = "/a/site.lua", .line = 1 }, NULL);
    if (!resource || !resource->kind->reverse)
        return;
    g_autoptr(State) before =
        entry->preimage ? state_from_value(resource->kind, entry->preimage) : NULL;
    g_autoptr(GError) error = NULL;
    OnRemove how = entry->created ? ON_REMOVE_REMOVE : ON_REMOVE_RESTORE;
    g_autoptr(Resource) undo = resource->kind->reverse(resource, before, how, &error);
    g_assert_true(!undo || !error);
    g_autoptr(Value) value = undo ? resource_to_value(undo) : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    g_autoptr(GBytes) text = g_bytes_new(data, size);
    g_autoptr(GError) error = NULL;
    g_autoptr(LedgerEntry) entry = entry_from_text(text, "ledger.db", &error);
    g_assert_true((entry == NULL) == (error != NULL));
    if (!entry)
        return 0;
    (void)on_remove_name((OnRemove)entry->on_remove);
    check_undo(entry);
    EntryFlags flags, flags_again;
    g_autoptr(GBytes) written = entry_to_text(entry, &flags);
    g_autoptr(LedgerEntry) again = entry_from_text(written, "ledger.db", &error);
    g_assert_no_error(error);
    g_autoptr(GBytes) twice = entry_to_text(again, &flags_again);
    g_assert_true(g_bytes_equal(written, twice));
    g_assert_cmpint(flags, ==, flags_again);
    return 0;
}
