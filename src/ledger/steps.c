/* Steps in progress and the notifications they leave behind. */
#include <string.h>

#include "base/error.h"
#include "ledger/ledger-private.h"
#include "ledger/record.h"

/* --- steps --- */

/* Whether what was there before our first change is known for good. */
static bool has_preimage(Ledger *ledger, const char *kind, const char *name) {
    const Slot *slot = slot_find(ledger, kind, name);
    return slot && slot->entry_hash != 0 && slot->flags & ENTRY_HAS_PREIMAGE;
}

bool ledger_begin(Ledger *ledger, const char *kind, const char *name, const Value *preimage,
                  GError **error) {
    g_assert(ledger->mode == LEDGER_WRITE);
    g_mutex_lock(&ledger->lock);
    if (ledger->broken && error)
        *error = g_error_copy(ledger->broken);
    bool broken = ledger->broken != NULL;
    bool doubtful = ledger->failure != NULL || !g_atomic_int_get(&ledger->reserved);
    bool known = !broken && has_preimage(ledger, kind, name);
    g_mutex_unlock(&ledger->lock);
    return !broken && (!doubtful || ledger_reserve(ledger, 1, 0, error)) &&
           intent_log_begin(ledger->intents, kind, name, known ? NULL : preimage, error);
}

static void drop_interrupted(Ledger *ledger, const char *kind, const char *name) {
    for (unsigned i = 0; i < ledger->interrupted->len; i++) {
        const LedgerStep *step = ledger->interrupted->pdata[i];
        if (strcmp(step->name, name) == 0 && strcmp(step->kind, kind) == 0) {
            g_ptr_array_remove_index(ledger->interrupted, i);
            return;
        }
    }
}

void ledger_end(Ledger *ledger, const char *kind, const char *name) {
    g_assert(ledger->mode == LEDGER_WRITE);
    drop_interrupted(ledger, kind, name);
    uint64_t id = intent_log_last(ledger->intents, kind, name);
    if (id == 0)
        return;
    IntentEnd *end = g_new(IntentEnd, 1);
    *end = (IntentEnd){ .kind = g_strdup(kind), .name = g_strdup(name), .id = id };
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&ledger->lock);
    g_ptr_array_add(ledger->work.ends, end);
    writer_wake(ledger);
}

const GPtrArray *ledger_interrupted(Ledger *ledger) {
    return ledger->interrupted;
}

void ledger_discard_interrupted(Ledger *ledger, const char *kind, const char *name) {
    ledger_end(ledger, kind, name);
}

/* --- notifications --- */

static char *edge_key(const char *from_kind, const char *from_name, const char *to_kind,
                      const char *to_name) {
    return g_strconcat(from_kind, KEY_SEPARATOR, from_name, KEY_SEPARATOR, to_kind, KEY_SEPARATOR,
                       to_name, NULL);
}

/* Takes ownership of edge. Returns whether that was news. */
static bool set_edge(Ledger *ledger, char *edge, bool pending) {
    bool changed = pending ? g_hash_table_add(ledger->pending, g_strdup(edge))
                           : g_hash_table_remove(ledger->pending, edge);
    if (!changed) {
        g_free(edge);
        return false;
    }
    g_hash_table_replace(ledger->work.pending, edge, GINT_TO_POINTER(pending));
    writer_wake(ledger);
    return true;
}

bool pending_restore(Ledger *ledger, const char *edge) {
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&ledger->lock);
    return set_edge(ledger, g_strdup(edge), true);
}

void ledger_set_pending(Ledger *ledger, const char *from_kind, const char *from_name,
                        const char *to_kind, const char *to_name, bool pending) {
    g_assert(ledger->mode == LEDGER_WRITE);
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&ledger->lock);
    if (!pending && g_hash_table_size(ledger->pending) == 0)
        return;
    (void)set_edge(ledger, edge_key(from_kind, from_name, to_kind, to_name), pending);
}

bool ledger_is_pending(Ledger *ledger, const char *from_kind, const char *from_name,
                       const char *to_kind, const char *to_name) {
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&ledger->lock);
    if (g_hash_table_size(ledger->pending) == 0)
        return false;
    g_autofree char *edge = edge_key(from_kind, from_name, to_kind, to_name);
    return g_hash_table_contains(ledger->pending, edge);
}

void pending_forget(Ledger *ledger, const char *kind, const char *name) {
    if (g_hash_table_size(ledger->pending) == 0)
        return;
    g_autofree char *key = step_key(kind, name);
    g_autofree char *from = g_strconcat(key, KEY_SEPARATOR, NULL);
    g_autofree char *to = g_strconcat(KEY_SEPARATOR, key, NULL);
    g_autoptr(GPtrArray) edges = g_ptr_array_new();
    GHashTableIter iter;
    gpointer edge;
    g_hash_table_iter_init(&iter, ledger->pending);
    while (g_hash_table_iter_next(&iter, &edge, NULL))
        if (g_str_has_prefix(edge, from) || g_str_has_suffix(edge, to))
            g_ptr_array_add(edges, g_strdup(edge));
    for (unsigned i = 0; i < edges->len; i++)
        (void)set_edge(ledger, edges->pdata[i], false);
}
