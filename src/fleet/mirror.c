#include "fleet/mirror.h"

#include <stdlib.h>
#include <string.h>

#include "fleet/layout.h"

#define RETRY_MIN_US (G_USEC_PER_SEC / 4)
#define RETRY_MAX_US (5 * (uint64_t)G_USEC_PER_SEC)

struct Mirror {
    Loop *loop;
    Store *state;
    GBytes *prefix;
    bool one; /* that key alone */
    MirrorListener listener;
    GHashTable *entries; /* char * -> StoreEntry */
    int64_t revision;
    bool loaded;
    StoreCall *call;
    StoreWatch *watch;
    LoopTimer *retry;
    uint64_t delay; /* us until the next try; 0: nothing has failed */
};

static void read_all(void *data);

static void try_again(Mirror *mirror, const GError *error) {
    if (mirror->listener.failed)
        mirror->listener.failed(mirror->listener.data, error);
    mirror->delay = CLAMP(mirror->delay * 2, RETRY_MIN_US, RETRY_MAX_US);
    loop_timer_set(mirror->loop, &mirror->retry, loop_now(mirror->loop) + mirror->delay, read_all,
                   mirror);
}

static void put_entry(Mirror *mirror, const char *key, StoreEntry *after) {
    StoreEntry *before = g_hash_table_lookup(mirror->entries, key);
    if (before && after && before->mod_revision == after->mod_revision)
        return;
    if (before)
        store_entry_ref(before);
    if (after)
        g_hash_table_replace(mirror->entries, g_strdup(key), store_entry_ref(after));
    else
        g_hash_table_remove(mirror->entries, key);
    if (mirror->listener.entry && (before || after))
        mirror->listener.entry(mirror->listener.data, key, before, after);
    store_entry_unref(before);
}

static void take_entry(Mirror *mirror, StoreEntry *entry) {
    g_autofree char *key = layout_text(entry->key);
    if (key)
        put_entry(mirror, key, entry->version > 0 ? entry : NULL);
}

static void on_watch(void *data, int64_t revision, GPtrArray *events, const GError *error) {
    Mirror *mirror = data;
    if (error) {
        g_clear_pointer(&mirror->watch, store_watch_stop);
        if (g_error_matches(error, STORE_ERROR, STORE_ERROR_COMPACTED))
            read_all(mirror);
        else
            try_again(mirror, error);
        return;
    }
    for (unsigned i = 0; events && i < events->len; i++)
        take_entry(mirror, g_ptr_array_index(events, i));
    mirror->revision = MAX(mirror->revision, revision);
    if (events && events->len > 0)
        mirror->listener.changed(mirror->listener.data);
}

/* What is no longer there: all that the new reading does not have. */
static void drop_others(Mirror *mirror, const GPtrArray *entries) {
    g_autoptr(GHashTable) there = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (unsigned i = 0; i < entries->len; i++) {
        char *key = layout_text(((StoreEntry *)g_ptr_array_index(entries, i))->key);
        if (key)
            g_hash_table_add(there, key);
    }
    g_auto(GStrv) keys = mirror_keys(mirror);
    for (unsigned i = 0; keys[i]; i++)
        if (!g_hash_table_contains(there, keys[i]))
            put_entry(mirror, keys[i], NULL);
}

static void on_range(void *data, StoreAnswer *answer, const GError *error) {
    Mirror *mirror = data;
    mirror->call = NULL;
    if (error) {
        try_again(mirror, error);
        return;
    }
    mirror->delay = 0;
    GPtrArray *entries = store_answer_result(answer, 0)->entries;
    drop_others(mirror, entries);
    for (unsigned i = 0; i < entries->len; i++)
        take_entry(mirror, g_ptr_array_index(entries, i));
    mirror->revision = answer->revision;
    mirror->loaded = true;
    mirror->watch = store_watch(mirror->state, mirror->prefix, !mirror->one, answer->revision + 1,
                                on_watch, mirror);
    mirror->listener.changed(mirror->listener.data);
}

static void read_all(void *data) {
    Mirror *mirror = data;
    StoreRange range = { .key = mirror->prefix, .prefix = !mirror->one };
    mirror->call = store_range(mirror->state, &range, on_range, mirror);
}

static Mirror *make(Loop *loop, Store *state, const char *prefix, bool one,
                    const MirrorListener *listener) {
    Mirror *mirror = g_new0(Mirror, 1);
    mirror->loop = loop;
    mirror->state = state;
    mirror->prefix = layout_bytes(prefix);
    mirror->one = one;
    mirror->listener = *listener;
    mirror->entries =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)store_entry_unref);
    read_all(mirror);
    return mirror;
}

Mirror *mirror_new(Loop *loop, Store *state, const char *prefix, const MirrorListener *listener) {
    return make(loop, state, prefix, false, listener);
}

Mirror *mirror_new_key(Loop *loop, Store *state, const char *key, const MirrorListener *listener) {
    return make(loop, state, key, true, listener);
}

void mirror_free(Mirror *mirror) {
    if (!mirror)
        return;
    if (mirror->call)
        store_call_cancel(mirror->call);
    store_watch_stop(mirror->watch);
    loop_timer_clear(&mirror->retry);
    g_hash_table_unref(mirror->entries);
    g_bytes_unref(mirror->prefix);
    g_free(mirror);
}

bool mirror_is_loaded(const Mirror *mirror) {
    return mirror->loaded;
}

int64_t mirror_revision(const Mirror *mirror) {
    return mirror->revision;
}

const StoreEntry *mirror_get(const Mirror *mirror, const char *key) {
    return g_hash_table_lookup(mirror->entries, key);
}

static int compare_keys(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char **mirror_keys(const Mirror *mirror) {
    unsigned count;
    g_autofree void **keys = g_hash_table_get_keys_as_array(mirror->entries, &count);
    char **copy = g_new0(char *, count + 1);
    for (unsigned i = 0; i < count; i++)
        copy[i] = g_strdup(keys[i]);
    qsort(copy, count, sizeof *copy, compare_keys);
    return copy;
}
