/*
 * The store of tests, all in memory and in the loop's thread: as plain as can be, so that the
 * others can be compared with it. Every call is done by a message, so in the order of the calls.
 */
#include "state/leases.h"
#include "state/store-private.h"
#include "state/watchers.h"

typedef struct {
    Store state;
    GTree *keys;    /* GBytes -> GPtrArray of StoreEntry: what a key was, in order */
    GPtrArray *log; /* of StoreEntry: all changes after compacted, in order */
    int64_t revision, compacted;
    Leases *leases;
    Watchers *watchers;
    const StoreCall *running; /* NULL: none, or it was cancelled by a watch that it made tell */
} Memory;

static Memory *memory_of(Store *state) {
    return (Memory *)(void *)state;
}

/* --- reading */

/* As it was at revision; NULL: it was not there. */
static StoreEntry *version_at(const GPtrArray *versions, int64_t revision) {
    for (unsigned i = versions->len; i-- > 0;) {
        StoreEntry *entry = g_ptr_array_index(versions, i);
        if (entry->mod_revision <= revision)
            return entry->version > 0 ? entry : NULL;
    }
    return NULL;
}

static StoreEntry *entry_at(const Memory *memory, GBytes *key, int64_t revision) {
    const GPtrArray *versions = g_tree_lookup(memory->keys, key);
    return versions != NULL ? version_at(versions, revision) : NULL;
}

/* Calls visit with each entry of the keys there were at revision, in order. */
typedef void (*Visitor)(void *data, StoreEntry *entry);

static void visit(const Memory *memory, GBytes *key, GBytes *end, int64_t revision, Visitor visitor,
                  void *data) {
    GTreeNode *node = g_tree_lower_bound(memory->keys, key);
    for (; node != NULL && keys_hold(key, end, g_tree_node_key(node));
         node = g_tree_node_next(node)) {
        StoreEntry *entry = version_at(g_tree_node_value(node), revision);
        if (entry != NULL)
            visitor(data, entry);
    }
}

typedef struct {
    const Op *op;
    StoreResult *result;
    size_t size;
} Gathering;

static void gather(void *data, StoreEntry *entry) {
    Gathering *gathering = data;
    StoreResult *result = gathering->result;
    result->count++;
    if (gathering->op->limit > 0 && result->entries->len == gathering->op->limit) {
        result->more = true;
        return;
    }
    bool keys_only = gathering->op->keys_only;
    StoreEntry *copy = keys_only ? entry_new(entry->key, NULL) : store_entry_ref(entry);
    if (keys_only) {
        copy->create_revision = entry->create_revision;
        copy->mod_revision = entry->mod_revision;
        copy->version = entry->version;
        copy->lease = entry->lease;
    }
    gathering->size += g_bytes_get_size(entry->key);
    gathering->size += keys_only ? 0 : g_bytes_get_size(entry->value);
    g_ptr_array_add(result->entries, copy);
}

static bool read_range(const Memory *memory, const Op *op, int64_t revision, StoreAnswer *answer,
                       GError **error) {
    Gathering gathering = { op, answer_add_range(answer), 0 };
    visit(memory, op->key, op->end, revision, gather, &gathering);
    if (gathering.size > STORE_LIMIT_RANGE)
        g_propagate_error(error, error_range_large());
    return gathering.size <= STORE_LIMIT_RANGE;
}

static StoreAnswer *run_range(const Memory *memory, const Op *op, GError **error) {
    int64_t revision = op->revision > 0 ? op->revision : memory->revision;
    if (revision > memory->revision)
        g_propagate_error(error, error_future(revision, memory->revision));
    else if (revision < memory->compacted)
        g_propagate_error(error, error_compacted(revision, memory->compacted));
    if (*error != NULL)
        return NULL;
    g_autoptr(StoreAnswer) answer = answer_new(memory->revision);
    return read_range(memory, op, revision, answer, error) ? g_steal_pointer(&answer) : NULL;
}

/* --- changing: everything of a transaction gets the revision after the present one */

static void add_version(Memory *memory, StoreEntry *entry) {
    GPtrArray *versions = g_tree_lookup(memory->keys, entry->key);
    if (versions == NULL) {
        versions = g_ptr_array_new_with_free_func((GDestroyNotify)store_entry_unref);
        g_tree_insert(memory->keys, g_bytes_ref(entry->key), versions);
    }
    entry->mod_revision = memory->revision + 1;
    g_ptr_array_add(versions, entry);
    g_ptr_array_add(memory->log, store_entry_ref(entry));
}

static void put(Memory *memory, const Op *op) {
    const StoreEntry *before = entry_at(memory, op->key, memory->revision + 1);
    StoreEntry *entry = entry_new(op->key, op->value);
    entry->lease = op->lease;
    entry->version = before != NULL ? before->version + 1 : 1;
    entry->create_revision = before != NULL ? before->create_revision : memory->revision + 1;
    add_version(memory, entry);
}

static void collect(void *data, StoreEntry *entry) {
    g_ptr_array_add(data, g_bytes_ref(entry->key));
}

static unsigned delete_keys(Memory *memory, GBytes *key, GBytes *end) {
    g_autoptr(GPtrArray) found = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    visit(memory, key, end, memory->revision + 1, collect, found);
    for (unsigned i = 0; i < found->len; i++)
        add_version(memory, entry_new(g_ptr_array_index(found, i), NULL));
    return found->len;
}

/* What was added to the log since from is told, as one revision. */
static void commit(Memory *memory, unsigned from) {
    if (memory->log->len == from)
        return;
    memory->revision++;
    g_autoptr(GPtrArray) events = g_ptr_array_new_with_free_func((GDestroyNotify)store_entry_unref);
    for (unsigned i = from; i < memory->log->len; i++)
        g_ptr_array_add(events, store_entry_ref(g_ptr_array_index(memory->log, i)));
    watchers_publish(memory->watchers, memory->revision, events);
}

static bool check_leases(const Memory *memory, const GPtrArray *ops, GError **error) {
    LeaseView view;
    for (unsigned i = 0; i < ops->len; i++) {
        const Op *op = g_ptr_array_index(ops, i);
        if (op->lease == 0 || leases_look(memory->leases, op->lease, &view))
            continue;
        g_propagate_error(error, error_lease_gone(op->lease));
        return false;
    }
    return true;
}

/* A range of a transaction was too large: nothing of it stays. */
static void take_back(Memory *memory, unsigned from) {
    while (memory->log->len > from) {
        const StoreEntry *entry = g_ptr_array_index(memory->log, memory->log->len - 1);
        GPtrArray *versions = g_tree_lookup(memory->keys, entry->key);
        g_ptr_array_set_size(versions, (int)versions->len - 1);
        g_ptr_array_set_size(memory->log, (int)memory->log->len - 1);
    }
}

static bool run_op(Memory *memory, const Op *op, StoreAnswer *answer, GError **error) {
    switch (op->kind) {
    case OP_RANGE:
        return read_range(memory, op, memory->revision + 1, answer, error);
    case OP_PUT:
        put(memory, op);
        answer_add(answer);
        return true;
    case OP_DELETE:
        answer_add(answer)->count = delete_keys(memory, op->key, op->end);
        return true;
    }
    g_assert_not_reached();
}

static bool all_hold(const Memory *memory, const GPtrArray *compares) {
    for (unsigned i = 0; i < compares->len; i++) {
        const Compare *compare = g_ptr_array_index(compares, i);
        if (!compare_holds(compare, entry_at(memory, compare->key, memory->revision)))
            return false;
    }
    return true;
}

static StoreAnswer *run_txn(Memory *memory, const StoreTxn *txn, GError **error) {
    bool holds = all_hold(memory, txn->compares);
    const GPtrArray *ops = txn->branches[holds ? STORE_THEN : STORE_ELSE];
    unsigned from = memory->log->len;
    g_autoptr(StoreAnswer) answer = answer_new(memory->revision);
    answer->succeeded = holds;
    if (!check_leases(memory, ops, error))
        return NULL;
    for (unsigned i = 0; i < ops->len; i++)
        if (!run_op(memory, g_ptr_array_index(ops, i), answer, error)) {
            take_back(memory, from);
            return NULL;
        }
    commit(memory, from);
    answer->revision = memory->revision;
    return g_steal_pointer(&answer);
}

/* --- compaction */

/* A key without versions stays: it costs a test nothing. */
static gboolean compact_key(void *key, void *value, void *data) {
    GPtrArray *versions = value;
    const Memory *memory = data;
    unsigned gone = versions->len;
    while (gone > 0 && ((StoreEntry *)versions->pdata[gone - 1])->mod_revision > memory->compacted)
        gone--;
    if (gone > 0 && ((StoreEntry *)versions->pdata[gone - 1])->version > 0)
        gone--; /* what the key was at that revision */
    if (gone > 0)
        g_ptr_array_remove_range(versions, 0, gone);
    return FALSE; /* go on */
}

static StoreAnswer *run_compact(Memory *memory, int64_t revision, GError **error) {
    if (revision > memory->revision)
        g_propagate_error(error, error_future(revision, memory->revision));
    else if (revision <= memory->compacted)
        g_propagate_error(error, error_compacted(revision, memory->compacted));
    if (*error != NULL)
        return NULL;
    memory->compacted = revision;
    g_tree_foreach(memory->keys, compact_key, memory);
    unsigned gone = 0;
    while (gone < memory->log->len &&
           ((StoreEntry *)memory->log->pdata[gone])->mod_revision <= revision)
        gone++;
    if (gone > 0)
        g_ptr_array_remove_range(memory->log, 0, gone);
    return answer_new(memory->revision);
}

/* --- leases */

typedef struct {
    int64_t lease;
    GPtrArray *keys; /* of GBytes */
} Attached;

static void find_attached(void *data, StoreEntry *entry) {
    Attached *attached = data;
    if (entry->lease == attached->lease)
        g_ptr_array_add(attached->keys, g_bytes_ref(entry->key));
}

static void drop_lease(Memory *memory, int64_t lease) {
    g_autoptr(GPtrArray) keys = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    g_autoptr(GBytes) first = g_bytes_new_static("", 1), end = g_bytes_new_static("", 0);
    Attached attached = { lease, keys };
    unsigned from = memory->log->len;
    visit(memory, first, end, memory->revision, find_attached, &attached);
    for (unsigned i = 0; i < keys->len; i++)
        add_version(memory, entry_new(g_ptr_array_index(keys, i), NULL));
    (void)leases_drop(memory->leases, lease);
    commit(memory, from);
}

static void on_expired(void *data, int64_t lease) {
    drop_lease(data, lease);
}

static StoreAnswer *lease_answer(const Memory *memory, int64_t lease, int64_t ttl_s) {
    StoreAnswer *answer = answer_new(memory->revision);
    answer->lease = lease;
    answer->ttl = ttl_s;
    return answer;
}

static StoreAnswer *run_grant(Memory *memory, int64_t ttl_s) {
    int64_t lease = leases_pick(memory->leases), granted = MAX(ttl_s, STORE_MIN_TTL);
    leases_add(memory->leases, lease, granted, granted * G_USEC_PER_SEC);
    return lease_answer(memory, lease, granted);
}

static StoreAnswer *run_lease(Memory *memory, const StoreCall *call, GError **error) {
    LeaseView view;
    bool is_there = call->kind == CALL_KEEP ? leases_keep(memory->leases, call->number, &view)
                                            : leases_look(memory->leases, call->number, &view);
    if (!is_there) {
        g_propagate_error(error, error_lease_gone(call->number));
        return NULL;
    }
    if (call->kind == CALL_REVOKE) {
        drop_lease(memory, call->number);
        view.left_us = 0;
    }
    return lease_answer(memory, call->number, view.left_us / G_USEC_PER_SEC);
}

/* --- the table */

static StoreAnswer *run(Memory *memory, StoreCall *call, GError **error) {
    switch (call->kind) {
    case CALL_RANGE:
        return run_range(memory, call_range(call), error);
    case CALL_TXN:
        return run_txn(memory, call->txn, error);
    case CALL_COMPACT:
        return run_compact(memory, call->number, error);
    case CALL_GRANT:
        return run_grant(memory, call->number);
    case CALL_KEEP:
    case CALL_REVOKE:
    case CALL_LOOK:
        return run_lease(memory, call, error);
    }
    g_assert_not_reached();
}

static void on_call(void *data) {
    StoreCall *call = data;
    Memory *memory = memory_of(call->state);
    g_autoptr(GError) error = NULL;
    memory->running = call;
    g_autoptr(StoreAnswer) answer = run(memory, call, &error);
    if (memory->running != NULL)
        call_answer(call, g_steal_pointer(&answer), g_steal_pointer(&error));
    memory->running = NULL;
}

static void memory_start(StoreCall *call) {
    call->job = call;
    loop_post(call->state->loop, on_call, call);
}

static void memory_cancel(StoreCall *call) {
    Memory *memory = memory_of(call->state);
    loop_unpost(call->state->loop, on_call, call);
    if (memory->running == call)
        memory->running = NULL;
}

/* Message: all the history there is for a watch, in one piece. */
static void on_catch_up(void *data) {
    StoreWatch *watch = data;
    Memory *memory = memory_of(watch->state);
    if (watch->next <= memory->compacted) {
        g_autoptr(GError) error = error_compacted(watch->next, memory->compacted);
        watch_fail(watch, memory->compacted, error);
        return;
    }
    g_autoptr(GPtrArray) events = g_ptr_array_new_with_free_func((GDestroyNotify)store_entry_unref);
    for (unsigned i = 0; i < memory->log->len; i++) {
        StoreEntry *entry = g_ptr_array_index(memory->log, i);
        if (entry->mod_revision >= watch->next && keys_hold(watch->key, watch->end, entry->key))
            g_ptr_array_add(events, store_entry_ref(entry));
    }
    watchers_caught_up(memory->watchers, watch, memory->revision, events);
}

static void catch_up(void *data, StoreWatch *watch) {
    loop_post(watch->state->loop, on_catch_up, watch);
}

static void memory_watch(StoreWatch *watch) {
    watchers_add(memory_of(watch->state)->watchers, watch);
}

static void memory_unwatch(StoreWatch *watch) {
    loop_unpost(watch->state->loop, on_catch_up, watch);
    watchers_remove(memory_of(watch->state)->watchers, watch);
}

static void memory_free(Store *state) {
    Memory *memory = memory_of(state);
    watchers_free(memory->watchers);
    leases_free(memory->leases);
    g_tree_unref(memory->keys);
    g_ptr_array_unref(memory->log);
    g_free(memory);
}

static int compare_keys(const void *a, const void *b, void *data) {
    return g_bytes_compare(a, b);
}

Store *store_open_memory(Loop *loop) {
    static const StoreClass class = {
        .kind = "memory",
        .start = memory_start,
        .cancel = memory_cancel,
        .watch = memory_watch,
        .unwatch = memory_unwatch,
        .free = memory_free,
    };
    Memory *memory = g_new0(Memory, 1);
    store_init(&memory->state, &class, loop);
    memory->keys = g_tree_new_full(compare_keys, NULL, (GDestroyNotify)g_bytes_unref,
                                   (GDestroyNotify)g_ptr_array_unref);
    memory->log = g_ptr_array_new_with_free_func((GDestroyNotify)store_entry_unref);
    memory->revision = 1;
    memory->leases = leases_new(loop, on_expired, memory);
    memory->watchers = watchers_new(loop, memory->revision, catch_up, memory);
    return &memory->state;
}
