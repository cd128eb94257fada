/*
 * A store as another one has it, with one watch of that for any number of its own: who serves many
 * clients has one stream to etcd, not one for each. The latest changes are kept, so that watches
 * which begin a little in the past are served from here too; others get one of their own below.
 */
#include "state/watchers.h"

/* Changes that are kept. */
#define KEEP_EVENTS 4096u
#define KEEP_BYTES  (32u << 20)
#define RETRY_US    G_USEC_PER_SEC

typedef struct {
    Store state;
    Store *under; /* borrowed */
    GBytes *key, *end;
    StoreCall *call;  /* asks where the feed begins */
    StoreWatch *feed; /* NULL: it has not begun */
    LoopTimer *retry;
    Watchers *watchers;
    GQueue kept; /* of StoreEntry */
    size_t kept_bytes;
    int64_t floor;       /* the last revision that is not kept */
    GHashTable *waiting; /* set of StoreWatch: for the feed */
} Shared;

/* What reading is of a watch with one of its own below. */
typedef struct {
    StoreWatch *watch, *below;
} Direct;

static Shared *shared_of(Store *state) {
    return (Shared *)(void *)state;
}

/* --- watches of their own --------------------------------------------------------------------- */

static void on_direct(void *data, int64_t revision, GPtrArray *events, const GError *error) {
    Direct *direct = data;
    if (error != NULL)
        watch_fail(direct->watch, revision, error);
    else
        (void)watch_tell(direct->watch, revision, events);
}

static bool is_every(GBytes *key, GBytes *end) {
    return end != NULL && g_bytes_get_size(end) == 0 && g_bytes_get_size(key) == 1 &&
           *(const char *)g_bytes_get_data(key, NULL) == '\0';
}

static void watch_directly(StoreWatch *watch) {
    Direct *direct = g_new0(Direct, 1);
    GBytes *key = is_every(watch->key, watch->end) ? NULL : watch->key;
    direct->watch = watch;
    direct->below = store_watch(shared_of(watch->state)->under, key, watch->end != NULL,
                                watch->next, on_direct, direct);
    watch->job = watch->reading = direct;
}

/* --- the feed --------------------------------------------------------------------------------- */

static size_t size_of(const StoreEntry *entry) {
    return g_bytes_get_size(entry->key) +
           (entry->value != NULL ? g_bytes_get_size(entry->value) : 0);
}

static void forget_first(Shared *shared) {
    StoreEntry *entry = g_queue_pop_head(&shared->kept);
    shared->floor = entry->mod_revision;
    shared->kept_bytes -= size_of(entry);
    store_entry_unref(entry);
}

static void keep(Shared *shared, StoreEntry *entry) {
    g_queue_push_tail(&shared->kept, store_entry_ref(entry));
    shared->kept_bytes += size_of(entry);
    while (shared->kept.length > KEEP_EVENTS || shared->kept_bytes > KEEP_BYTES)
        forget_first(shared);
}

static void begin(void *data);

/* One that the feed tells, or will. */
static StoreWatch *fed_watch(const Shared *shared) {
    for (GList *link = shared->state.watches.head; link != NULL; link = link->next) {
        StoreWatch *watch = link->data;
        if (watch->reading == NULL && !watch->over &&
            !g_hash_table_contains(shared->waiting, watch))
            return watch;
    }
    return NULL;
}

static void on_catch_up(void *data);

/* What comes next is not known, so it is over for all that are told by the feed. */
static void lose(Shared *shared, int64_t revision, const GError *error) {
    StoreWatch *watch;
    store_watch_stop(g_steal_pointer(&shared->feed));
    while (!g_queue_is_empty(&shared->kept))
        forget_first(shared);
    shared->floor = MAX(shared->floor, revision);
    while ((watch = fed_watch(shared)) != NULL) {
        loop_unpost(shared->state.loop, on_catch_up, watch);
        watchers_remove(shared->watchers, watch);
        watch_fail(watch, revision, error);
    }
    begin(shared);
}

static void on_feed(void *data, int64_t revision, GPtrArray *events, const GError *error) {
    Shared *shared = data;
    if (error != NULL) {
        lose(shared, revision, error);
        return;
    }
    for (unsigned i = 0; i < events->len; i++)
        keep(shared, g_ptr_array_index(events, i));
    watchers_publish(shared->watchers, MAX(revision, watchers_present(shared->watchers)), events);
}

static void on_begin(void *data) {
    begin(data);
}

static void on_present(void *data, StoreAnswer *answer, const GError *error) {
    Shared *shared = data;
    Loop *loop = shared->state.loop;
    shared->call = NULL;
    if (error != NULL) {
        loop_timer_set(loop, &shared->retry, loop_now(loop) + RETRY_US, on_begin, shared);
        return;
    }
    g_autoptr(GPtrArray) none = g_ptr_array_new();
    GBytes *key = is_every(shared->key, shared->end) ? NULL : shared->key;
    int64_t back = answer->revision - (int64_t)KEEP_EVENTS;
    shared->floor = MAX(MAX(back, shared->floor), watchers_present(shared->watchers));
    watchers_publish(shared->watchers, shared->floor, none);
    shared->feed = store_watch(shared->under, key, true, shared->floor + 1, on_feed, shared);
    guint n;
    g_autofree void **waiting = g_hash_table_get_keys_as_array(shared->waiting, &n);
    g_hash_table_remove_all(shared->waiting);
    for (unsigned i = 0; i < n; i++)
        watchers_add(shared->watchers, waiting[i]);
}

static void begin(void *data) {
    Shared *shared = data;
    shared->call = store_get(shared->under, shared->key, on_present, shared);
}

/* --- watches that the feed tells -------------------------------------------------------------- */

/* Message: the kept changes of a watch, when it begins with one of them. */
static void on_catch_up(void *data) {
    StoreWatch *watch = data;
    Shared *shared = shared_of(watch->state);
    if (watch->next <= shared->floor) {
        watchers_remove(shared->watchers, watch);
        watch_directly(watch);
        return;
    }
    g_autoptr(GPtrArray) events = g_ptr_array_new_with_free_func((GDestroyNotify)store_entry_unref);
    GList *link = shared->kept.tail;
    while (link != NULL && ((StoreEntry *)link->data)->mod_revision >= watch->next)
        link = link->prev;
    for (link = link != NULL ? link->next : shared->kept.head; link != NULL; link = link->next) {
        StoreEntry *entry = link->data;
        if (keys_hold(watch->key, watch->end, entry->key))
            g_ptr_array_add(events, store_entry_ref(entry));
    }
    watchers_caught_up(shared->watchers, watch, watchers_present(shared->watchers), events);
}

static void catch_up(void *data, StoreWatch *watch) {
    loop_post(watch->state->loop, on_catch_up, watch);
}

static bool is_fed(const Shared *shared, const StoreWatch *watch) {
    if (watch->next == 0 || !keys_hold(shared->key, shared->end, watch->key))
        return false;
    return watch->end == NULL || g_bytes_get_size(shared->end) == 0 ||
           (g_bytes_get_size(watch->end) > 0 && g_bytes_compare(watch->end, shared->end) <= 0);
}

static void shared_watch(StoreWatch *watch) {
    Shared *shared = shared_of(watch->state);
    if (!is_fed(shared, watch)) {
        watch_directly(watch);
    } else if (shared->feed != NULL) {
        watchers_add(shared->watchers, watch);
    } else {
        g_hash_table_add(shared->waiting, watch);
        watch->job = shared;
    }
}

static void shared_unwatch(StoreWatch *watch) {
    Shared *shared = shared_of(watch->state);
    Direct *direct = g_steal_pointer(&watch->reading);
    if (direct != NULL) {
        store_watch_stop(direct->below);
        g_free(direct);
    } else if (!g_hash_table_remove(shared->waiting, watch)) {
        loop_unpost(shared->state.loop, on_catch_up, watch);
        watchers_remove(shared->watchers, watch);
    }
    watch->job = NULL;
}

/* --- calls ------------------------------------------------------------------------------------ */

static void on_answer(void *data, StoreAnswer *answer, const GError *error) {
    call_answer(data, answer != NULL ? store_answer_ref(answer) : NULL,
                error != NULL ? g_error_copy(error) : NULL);
}

static void shared_start(StoreCall *call) {
    StoreTxn *txn = call->txn != NULL ? store_txn_ref(call->txn) : NULL;
    call->job =
        call_start(shared_of(call->state)->under, call->kind, txn, call->number, on_answer, call);
}

static void shared_cancel(StoreCall *call) {
    store_call_cancel(g_steal_pointer(&call->job));
}

/* --- life ------------------------------------------------------------------------------------- */

static void shared_free(Store *state) {
    Shared *shared = shared_of(state);
    if (shared->call != NULL)
        store_call_cancel(shared->call);
    store_watch_stop(shared->feed);
    loop_timer_clear(&shared->retry);
    watchers_free(shared->watchers);
    while (!g_queue_is_empty(&shared->kept))
        forget_first(shared);
    g_hash_table_unref(shared->waiting);
    g_bytes_unref(shared->key);
    g_bytes_unref(shared->end);
    g_free(shared);
}

Store *store_open_shared(Store *under, GBytes *prefix) {
    static const StoreClass class = {
        .kind = "shared",
        .start = shared_start,
        .cancel = shared_cancel,
        .watch = shared_watch,
        .unwatch = shared_unwatch,
        .free = shared_free,
    };
    Shared *shared = g_new0(Shared, 1);
    store_init(&shared->state, &class, under->loop);
    shared->under = under;
    g_autoptr(StoreTxn) keys = txn_of_range(&(StoreRange){ .key = prefix, .prefix = true });
    const Op *op = g_ptr_array_index(keys->branches[STORE_THEN], 0);
    shared->key = g_bytes_ref(op->key);
    shared->end = g_bytes_ref(op->end);
    shared->waiting = g_hash_table_new(NULL, NULL);
    g_queue_init(&shared->kept);
    shared->watchers = watchers_new(under->loop, 0, catch_up, NULL);
    begin(shared);
    return &shared->state;
}
