/* The index in memory, and what is kept by resource: entries, statuses, retries. */
#include <string.h>

#include "base/hash.h"
#include "base/json.h"
#include "ledger/ledger-private.h"
#include "ledger/record.h"

guint slot_hash(gconstpointer slot) {
    const Slot *key = slot;
    return hash_string(key->name) * 31 + hash_string(key->kind);
}

gboolean slot_equal(gconstpointer a, gconstpointer b) {
    const Slot *left = a, *right = b;
    return strcmp(left->name, right->name) == 0 && strcmp(left->kind, right->kind) == 0;
}

void slot_free(Slot *slot) {
    if (!slot)
        return;
    g_clear_pointer(&slot->entry_text, g_bytes_unref);
    g_clear_pointer(&slot->status_text, g_bytes_unref);
    ledger_entry_free(slot->entry);
    g_free(slot);
}

Slot *slot_find(Ledger *ledger, const char *kind, const char *name) {
    const Slot key = { .kind = kind, .name = name };
    return g_hash_table_lookup(ledger->slots, &key);
}

Slot *slot_add(Ledger *ledger, const char *kind, const char *name, int64_t id) {
    size_t size = strlen(name) + 1;
    Slot *slot = g_malloc(sizeof *slot + size);
    char *copy = (char *)(slot + 1);
    memcpy(copy, name, size);
    if (!ledger->last_kind || strcmp(ledger->last_kind, kind) != 0)
        ledger->last_kind = g_intern_string(kind);
    *slot = (Slot){ .kind = ledger->last_kind, .name = copy, .id = id };
    ledger->last_id = MAX(ledger->last_id, id);
    g_hash_table_add(ledger->slots, slot);
    return slot;
}

static Slot *slot_need(Ledger *ledger, const char *kind, const char *name) {
    Slot *slot = slot_find(ledger, kind, name);
    return slot ? slot : slot_add(ledger, kind, name, ledger->last_id + 1);
}

bool slot_is_gone(const Slot *slot) {
    return slot->entry_hash == 0 && slot->status_hash == 0 && slot->retries == 0;
}

static gboolean slot_can_go(gpointer slot, gpointer value, gpointer data) {
    return slot_is_gone(slot) && !(((const Slot *)slot)->flags & SLOT_WAITS);
}

void slots_purge(Ledger *ledger) {
    (void)g_hash_table_foreach_remove(ledger->slots, slot_can_go, NULL);
}

/* --- entries --- */

uint64_t ledger_resource_hash(Ledger *ledger, const char *kind, const char *name) {
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&ledger->lock);
    const Slot *slot = slot_find(ledger, kind, name);
    return slot && slot->entry_hash != 0 ? slot->resource_hash : 0;
}

unsigned ledger_count(Ledger *ledger) {
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&ledger->lock);
    return ledger->n_entries;
}

GBytes *slot_entry_text(Ledger *ledger, Slot *slot, GError **error) {
    g_mutex_lock(&ledger->lock);
    GBytes *text = slot->entry_text ? g_bytes_ref(slot->entry_text) : NULL;
    g_mutex_unlock(&ledger->lock);
    return text ? text : ledger_read_body(ledger, SQL_GET_ENTRY, slot->id, error);
}

/* Reads what slot stands for and makes sure that it is what was written. */
static LedgerEntry *read_entry(Ledger *ledger, Slot *slot, GError **error) {
    g_autoptr(GBytes) text = slot_entry_text(ledger, slot, error);
    if (!text)
        return NULL;
    gsize size;
    const char *json = g_bytes_get_data(text, &size);
    if (text_hash(json, size) != slot->entry_hash) {
        set_damaged_error(error, ledger->path, "an entry does not fit its checksum");
        return NULL;
    }
    g_autoptr(LedgerEntry) entry = entry_from_text(text, ledger->path, error);
    if (entry && (strcmp(entry->kind, slot->kind) != 0 || strcmp(entry->name, slot->name) != 0)) {
        set_damaged_error(error, ledger->path, "an entry is stored under another's name");
        return NULL;
    }
    return g_steal_pointer(&entry);
}

const LedgerEntry *ledger_find(Ledger *ledger, const char *kind, const char *name) {
    g_mutex_lock(&ledger->lock);
    Slot *slot = slot_find(ledger, kind, name);
    bool ours = slot && slot->entry_hash != 0;
    g_mutex_unlock(&ledger->lock);
    if (!ours)
        return NULL;
    GError *error = NULL;
    if (!slot->entry && !(slot->entry = read_entry(ledger, slot, &error)))
        ledger_break(ledger, error);
    return slot->entry;
}

void ledger_trim(Ledger *ledger) {
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&ledger->lock);
    GHashTableIter iter;
    gpointer key;
    g_hash_table_iter_init(&iter, ledger->slots);
    while (g_hash_table_iter_next(&iter, &key, NULL))
        g_clear_pointer(&((Slot *)key)->entry, ledger_entry_free);
}

void ledger_put(Ledger *ledger, LedgerEntry *entry) {
    g_assert(ledger->mode == LEDGER_WRITE);
    g_autoptr(LedgerEntry) owned = entry;
    EntryFlags flags;
    g_autoptr(GBytes) text = entry_to_text(owned, &flags);
    uint64_t hash = text_hash(g_bytes_get_data(text, NULL), g_bytes_get_size(text));
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&ledger->lock);
    Slot *slot = slot_need(ledger, owned->kind, owned->name);
    if (slot->entry_hash == hash)
        return;
    if (slot->entry_hash == 0)
        ledger->n_entries++;
    if (slot->flags & ENTRY_NAMES_CONTENT)
        g_atomic_int_set(&ledger->may_sweep, true);
    g_clear_pointer(&slot->entry, ledger_entry_free);
    g_clear_pointer(&slot->entry_text, g_bytes_unref);
    slot->entry_text = g_steal_pointer(&text);
    slot->entry_hash = hash;
    slot->resource_hash = owned->resource_hash;
    slot->flags &= ~(unsigned)(ENTRY_HAS_PREIMAGE | ENTRY_NAMES_CONTENT);
    slot->flags |= flags;
    writer_add_slot(ledger, slot, SLOT_ENTRY_DIRTY);
}

static void drop_entry(Ledger *ledger, Slot *slot) {
    if (slot->entry_hash != 0)
        ledger->n_entries--;
    if (slot->flags & ENTRY_NAMES_CONTENT)
        g_atomic_int_set(&ledger->may_sweep, true);
    g_clear_pointer(&slot->entry, ledger_entry_free);
    g_clear_pointer(&slot->entry_text, g_bytes_unref);
    slot->entry_hash = slot->resource_hash = 0;
    slot->flags &= ~(unsigned)(ENTRY_HAS_PREIMAGE | ENTRY_NAMES_CONTENT);
}

void ledger_forget(Ledger *ledger, const char *kind, const char *name) {
    g_assert(ledger->mode == LEDGER_WRITE);
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&ledger->lock);
    pending_forget(ledger, kind, name);
    Slot *slot = slot_find(ledger, kind, name);
    if (!slot || slot_is_gone(slot))
        return;
    drop_entry(ledger, slot);
    g_clear_pointer(&slot->status_text, g_bytes_unref);
    slot->status_hash = 0;
    slot->retries = 0;
    writer_add_slot(ledger, slot, SLOT_ENTRY_DIRTY | SLOT_STATUS_DIRTY);
}

void ledger_disown(Ledger *ledger, const char *kind, const char *name) {
    g_assert(ledger->mode == LEDGER_WRITE);
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&ledger->lock);
    Slot *slot = slot_find(ledger, kind, name);
    if (!slot || slot->entry_hash == 0)
        return;
    drop_entry(ledger, slot);
    writer_add_slot(ledger, slot, SLOT_ENTRY_DIRTY);
}

/* --- whose it is --- */

const char *ledger_configuration(Ledger *ledger) {
    return ledger->configuration;
}

void ledger_set_configuration(Ledger *ledger, const char *path) {
    g_assert(ledger->mode == LEDGER_WRITE);
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&ledger->lock);
    if (g_strcmp0(ledger->configuration, path) == 0)
        return;
    bool known = ledger->configuration != NULL;
    g_free(ledger->configuration);
    ledger->configuration = g_strdup(path);
    g_free(ledger->work.configuration);
    ledger->work.configuration = g_strdup(path);
    ledger->work.must_note |= known;
    if (known)
        writer_wake(ledger);
}

/* --- visits --- */

static int by_name(gconstpointer a, gconstpointer b) {
    const Slot *left = *(const Slot *const *)a, *right = *(const Slot *const *)b;
    int order = left->kind == right->kind ? 0 : strcmp(left->kind, right->kind);
    return order != 0 ? order : strcmp(left->name, right->name);
}

/* All that want (NULL: any) says, in order of their names. They stay until visit_end(), also
 * forgotten ones. */
static GPtrArray *visit_start(Ledger *ledger, LedgerWant want, void *data) {
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&ledger->lock);
    GPtrArray *slots = g_ptr_array_new();
    GHashTableIter iter;
    gpointer key;
    g_hash_table_iter_init(&iter, ledger->slots);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        const Slot *slot = key;
        if (!want || want(data, slot->kind, slot->name, slot->resource_hash))
            g_ptr_array_add(slots, key);
    }
    g_ptr_array_sort(slots, by_name);
    ledger->visits++;
    return slots;
}

static void visit_end(Ledger *ledger, GPtrArray *slots) {
    ledger->visits--;
    g_ptr_array_unref(slots);
}

void ledger_visit_keys(Ledger *ledger, LedgerWant want,
                       void (*visit)(void *data, const char *kind, const char *name), void *data) {
    GPtrArray *slots = visit_start(ledger, want, data);
    for (unsigned i = 0; i < slots->len; i++) {
        const Slot *slot = slots->pdata[i];
        if (slot->entry_hash != 0)
            visit(data, slot->kind, slot->name);
    }
    visit_end(ledger, slots);
}

void ledger_visit(Ledger *ledger, void (*visit)(void *data, const LedgerEntry *entry), void *data) {
    GPtrArray *slots = visit_start(ledger, NULL, NULL);
    for (unsigned i = 0; i < slots->len; i++) {
        Slot *slot = slots->pdata[i];
        if (slot->entry_hash == 0)
            continue;
        GError *error = NULL;
        /* Not kept in the slot: a visit of everything must not hold everything in memory. */
        g_autoptr(LedgerEntry) entry = read_entry(ledger, slot, &error);
        if (entry)
            visit(data, entry);
        else
            ledger_break(ledger, error);
    }
    visit_end(ledger, slots);
}

/* --- statuses and retries --- */

void ledger_set_status(Ledger *ledger, const char *kind, const char *name, Value *status) {
    g_assert(ledger->mode == LEDGER_WRITE);
    g_autoptr(Value) owned = status;
    g_autoptr(GBytes) text = NULL;
    uint64_t hash = 0;
    if (owned) {
        GString *json = g_string_sized_new(128);
        json_append(json, owned, JSON_COMPACT);
        hash = text_hash(json->str, json->len);
        text = g_string_free_to_bytes(json);
    }
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&ledger->lock);
    Slot *slot = owned ? slot_need(ledger, kind, name) : slot_find(ledger, kind, name);
    if (!slot || slot->status_hash == hash)
        return;
    g_clear_pointer(&slot->status_text, g_bytes_unref);
    slot->status_text = g_steal_pointer(&text);
    slot->status_hash = hash;
    writer_add_slot(ledger, slot, SLOT_STATUS_DIRTY);
}

static Value *read_status(Ledger *ledger, Slot *slot, GError **error) {
    g_mutex_lock(&ledger->lock);
    g_autoptr(GBytes) text = slot->status_text ? g_bytes_ref(slot->status_text) : NULL;
    g_mutex_unlock(&ledger->lock);
    if (!text && !(text = ledger_read_body(ledger, SQL_GET_STATUS, slot->id, error)))
        return NULL;
    gsize size;
    const char *json = g_bytes_get_data(text, &size);
    Value *status = text_hash(json, size) == slot->status_hash
                        ? json_parse(json, size, ledger->path, NULL)
                        : NULL;
    if (!status)
        set_damaged_error(error, ledger->path, "a status does not fit its checksum");
    return status;
}

void ledger_visit_status(Ledger *ledger,
                         void (*visit)(void *data, const char *kind, const char *name,
                                       const Value *status),
                         void *data) {
    GPtrArray *slots = visit_start(ledger, NULL, NULL);
    for (unsigned i = 0; i < slots->len; i++) {
        Slot *slot = slots->pdata[i];
        if (slot->status_hash == 0)
            continue;
        GError *error = NULL;
        g_autoptr(Value) status = read_status(ledger, slot, &error);
        if (status)
            visit(data, slot->kind, slot->name, status);
        else
            ledger_break(ledger, error);
    }
    visit_end(ledger, slots);
}

void ledger_set_retries(Ledger *ledger, const char *kind, const char *name, int used) {
    g_assert(ledger->mode == LEDGER_WRITE);
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&ledger->lock);
    Slot *slot = used != 0 ? slot_need(ledger, kind, name) : slot_find(ledger, kind, name);
    if (!slot || slot->retries == used)
        return;
    slot->retries = used;
    writer_add_slot(ledger, slot, 0);
}

int ledger_get_retries(Ledger *ledger, const char *kind, const char *name) {
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&ledger->lock);
    const Slot *slot = slot_find(ledger, kind, name);
    return slot ? slot->retries : 0;
}
