#include "state/watchers.h"

#include <string.h>

/* After this time a watch whose keys do not change is told how far the others have come. */
#define PROGRESS_US (60ull * G_USEC_PER_SEC)

typedef struct {
    Watchers *all;
    StoreWatch *watch;
    GBytes *start; /* what its keys begin with */
    bool live;
    bool greeting;      /* a message says that it is live */
    GPtrArray *pending; /* of StoreEntry: about to be told */
    unsigned touched;   /* its place in touched, from 1 on; 0: it is not there */
} Watcher;

/* How many watchers have a start of this many bytes. */
typedef struct {
    unsigned size, count;
} Length;

struct Watchers {
    Loop *loop;
    int64_t present;
    GHashTable *by_start; /* GBytes -> GPtrArray of live Watcher */
    GArray *lengths;      /* of Length: of the keys of by_start */
    GPtrArray *touched;   /* of Watcher or NULL: those with pending events, being told */
    LoopTimer *progress;
    GPtrArray *all; /* of Watcher */
    void (*catch_up)(void *data, StoreWatch *watch);
    void *data;
};

Watchers *watchers_new(Loop *loop, int64_t present, void (*catch_up)(void *data, StoreWatch *watch),
                       void *data) {
    Watchers *watchers = g_new0(Watchers, 1);
    *watchers = (Watchers){ .loop = loop, .present = present, .catch_up = catch_up, .data = data };
    watchers->by_start =
        g_hash_table_new_full(g_bytes_hash, g_bytes_equal, (GDestroyNotify)g_bytes_unref,
                              (GDestroyNotify)g_ptr_array_unref);
    watchers->lengths = g_array_new(FALSE, FALSE, sizeof(Length));
    watchers->touched = g_ptr_array_new();
    watchers->all = g_ptr_array_new();
    return watchers;
}

void watchers_free(Watchers *watchers) {
    if (watchers == NULL)
        return;
    g_assert(watchers->all->len == 0);
    loop_timer_clear(&watchers->progress);
    g_hash_table_unref(watchers->by_start);
    g_array_unref(watchers->lengths);
    g_ptr_array_unref(watchers->touched);
    g_ptr_array_unref(watchers->all);
    g_free(watchers);
}

int64_t watchers_present(const Watchers *watchers) {
    return watchers->present;
}

/* --- the index: finds the watchers of a key by each length that a start has */

static void count_length(Watchers *watchers, unsigned size, int change) {
    unsigned i = 0;
    while (i < watchers->lengths->len && g_array_index(watchers->lengths, Length, i).size != size)
        i++;
    if (i == watchers->lengths->len) {
        Length fresh = { size, 0 };
        g_array_append_val(watchers->lengths, fresh);
    }
    Length *length = &g_array_index(watchers->lengths, Length, i);
    length->count += (unsigned)change;
    if (length->count == 0)
        g_array_remove_index_fast(watchers->lengths, i);
}

static void index_add(Watcher *watcher) {
    Watchers *watchers = watcher->all;
    GPtrArray *same = g_hash_table_lookup(watchers->by_start, watcher->start);
    if (same == NULL) {
        same = g_ptr_array_new();
        g_hash_table_insert(watchers->by_start, g_bytes_ref(watcher->start), same);
    }
    g_ptr_array_add(same, watcher);
    count_length(watchers, (unsigned)g_bytes_get_size(watcher->start), 1);
    watcher->live = true;
}

static void index_remove(Watcher *watcher) {
    Watchers *watchers = watcher->all;
    GPtrArray *same = g_hash_table_lookup(watchers->by_start, watcher->start);
    (void)g_ptr_array_remove_fast(same, watcher);
    if (same->len == 0)
        g_hash_table_remove(watchers->by_start, watcher->start);
    count_length(watchers, (unsigned)g_bytes_get_size(watcher->start), -1);
    watcher->live = false;
}

/* --- telling */

static void touch(Watcher *watcher, StoreEntry *event) {
    Watchers *watchers = watcher->all;
    if (event->mod_revision < watcher->watch->next)
        return;
    if (watcher->touched == 0) {
        g_ptr_array_add(watchers->touched, watcher);
        watcher->touched = watchers->touched->len;
        watcher->pending = g_ptr_array_new_with_free_func((GDestroyNotify)store_entry_unref);
    }
    g_ptr_array_add(watcher->pending, store_entry_ref(event));
}

static void touch_all_of(Watchers *watchers, StoreEntry *event) {
    for (unsigned i = 0; i < watchers->lengths->len; i++) {
        unsigned size = g_array_index(watchers->lengths, Length, i).size;
        size_t key_size = g_bytes_get_size(event->key);
        if (size > key_size)
            continue;
        g_autoptr(GBytes) start = g_bytes_new_from_bytes(event->key, 0, size);
        const GPtrArray *same = g_hash_table_lookup(watchers->by_start, start);
        for (unsigned j = 0; same != NULL && j < same->len; j++) {
            Watcher *watcher = g_ptr_array_index(same, j);
            if (watcher->watch->end != NULL || size == key_size)
                touch(watcher, event);
        }
    }
}

static void tell_progress(void *data) {
    Watchers *watchers = data;
    g_autoptr(GPtrArray) none = g_ptr_array_new();
    for (unsigned i = 0; i < watchers->all->len; i++) {
        Watcher *watcher = g_ptr_array_index(watchers->all, i);
        if (!watcher->live || watcher->watch->next > watchers->present)
            continue;
        g_ptr_array_add(watchers->touched, watcher);
        watcher->touched = watchers->touched->len;
    }
    for (unsigned i = 0; i < watchers->touched->len; i++) {
        Watcher *watcher = g_ptr_array_index(watchers->touched, i);
        if (watcher == NULL)
            continue;
        watcher->touched = 0;
        (void)watch_tell(watcher->watch, watchers->present, none);
    }
    g_ptr_array_set_size(watchers->touched, 0);
}

void watchers_publish(Watchers *watchers, int64_t revision, GPtrArray *events) {
    g_assert(watchers->touched->len == 0 && revision >= watchers->present);
    watchers->present = revision;
    for (unsigned i = 0; i < events->len; i++)
        touch_all_of(watchers, g_ptr_array_index(events, i));
    for (unsigned i = 0; i < watchers->touched->len; i++) {
        Watcher *watcher = g_ptr_array_index(watchers->touched, i);
        if (watcher == NULL) /* stopped meanwhile */
            continue;
        watcher->touched = 0;
        g_autoptr(GPtrArray) pending = g_steal_pointer(&watcher->pending);
        (void)watch_tell(watcher->watch, revision, pending);
    }
    g_ptr_array_set_size(watchers->touched, 0);
    if (watchers->progress == NULL && watchers->all->len > 0)
        loop_timer_set(watchers->loop, &watchers->progress, loop_now(watchers->loop) + PROGRESS_US,
                       tell_progress, watchers);
}

/* Message: a live watch learns from where on. */
static void greet(void *data) {
    Watcher *watcher = data;
    g_autoptr(GPtrArray) none = g_ptr_array_new();
    watcher->greeting = false;
    (void)watch_tell(watcher->watch, watcher->watch->next - 1, none);
}

static void go_on(Watcher *watcher) {
    if (watcher->watch->next <= watcher->all->present)
        watcher->all->catch_up(watcher->all->data, watcher->watch);
    else
        index_add(watcher);
}

void watchers_caught_up(Watchers *watchers, StoreWatch *watch, int64_t revision,
                        GPtrArray *events) {
    Watcher *watcher = watch->job;
    if (watch_tell(watch, revision, events))
        go_on(watcher);
}

/* --- life */

void watchers_add(Watchers *watchers, StoreWatch *watch) {
    Watcher *watcher = g_new0(Watcher, 1);
    *watcher = (Watcher){ .all = watchers, .watch = watch };
    /* All keys: from a zero byte to the end. */
    bool every = watch->end != NULL && g_bytes_get_size(watch->end) == 0 &&
                 *(const char *)g_bytes_get_data(watch->key, NULL) == '\0';
    watcher->start = every ? g_bytes_new_static("", 0) : g_bytes_ref(watch->key);
    watch->job = watcher;
    g_ptr_array_add(watchers->all, watcher);
    if (watch->next == 0) {
        watch->next = watchers->present + 1;
        watcher->greeting = true;
        loop_post(watchers->loop, greet, watcher);
    }
    go_on(watcher);
}

void watchers_remove(Watchers *watchers, StoreWatch *watch) {
    Watcher *watcher = g_steal_pointer(&watch->job);
    if (watcher->live)
        index_remove(watcher);
    if (watcher->touched > 0)
        watchers->touched->pdata[watcher->touched - 1] = NULL;
    if (watcher->greeting)
        loop_unpost(watchers->loop, greet, watcher);
    g_clear_pointer(&watcher->pending, g_ptr_array_unref);
    (void)g_ptr_array_remove_fast(watchers->all, watcher);
    g_bytes_unref(watcher->start);
    g_free(watcher);
}
