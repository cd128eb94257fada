/* Watches of a fake host. Every change of the machine looks up who watches it by a key: a class and
 * the path without links, or the name. */
#include <string.h>

#include "host/host-fake-private.h"

struct FakeWatches {
    Fake *fake;
    GPtrArray *all;     /* of FakeWatch, borrowed */
    GHashTable *by_key; /* key -> GPtrArray of FakeWatch, borrowed */
};

typedef struct {
    HostWatch watch;
    Fake *fake;
    Loop *loop;
    HostWatchClass class;
    char *name;
    char *key;           /* where it is in by_key */
    bool ready, posted;  /* READY was delivered; a message is on its way */
    const char *changed; /* detail of the CHANGED to deliver; NULL: nothing changed */
    bool *freed;         /* while its callback runs: set when it is freed */
} FakeWatch;

static void free_list(void *list) {
    g_ptr_array_unref(list);
}

FakeWatches *fake_watches_new(Fake *fake) {
    FakeWatches *watches = g_new0(FakeWatches, 1);
    watches->fake = fake;
    watches->all = g_ptr_array_new();
    watches->by_key = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, free_list);
    return watches;
}

void fake_watches_free(FakeWatches *watches) {
    if (watches == NULL)
        return;
    g_assert(watches->all->len == 0); /* watches end before their host */
    g_ptr_array_unref(watches->all);
    g_hash_table_unref(watches->by_key);
    g_free(watches);
}

/* --- keys --- */

static char *key_of(HostWatchClass class, const char *name) {
    return g_strdup_printf("%d:%s", class, name != NULL ? name : "");
}

static char *watch_key(FakeWatch *watch) {
    switch (watch->class) {
    case HOST_WATCH_FILE:
    case HOST_WATCH_TREE: {
        g_autofree char *path =
            memory_tree_resolve(watch->fake->tree, watch->name, watch->class == HOST_WATCH_TREE);
        return key_of(watch->class, path);
    }
    case HOST_WATCH_UNIT:
    case HOST_WATCH_NET:
    case HOST_WATCH_MOUNT:
    case HOST_WATCH_SYSCTL:
        return key_of(watch->class, watch->name);
    case HOST_WATCH_PACKAGES:
    case HOST_WATCH_ACCOUNTS:
    case HOST_WATCH_RUNNING_NAME:
        return key_of(watch->class, NULL);
    }
    g_assert_not_reached();
}

static void add_by_key(FakeWatches *watches, FakeWatch *watch) {
    GPtrArray *list = g_hash_table_lookup(watches->by_key, watch->key);
    if (list == NULL) {
        list = g_ptr_array_new();
        g_hash_table_insert(watches->by_key, g_strdup(watch->key), list);
    }
    g_ptr_array_add(list, watch);
}

static void remove_by_key(FakeWatches *watches, FakeWatch *watch) {
    GPtrArray *list = g_hash_table_lookup(watches->by_key, watch->key);
    g_ptr_array_remove_fast(list, watch);
    if (list->len == 0)
        g_hash_table_remove(watches->by_key, watch->key);
}

/* --- delivery --- */

/* In the loop's thread, without the lock, because callbacks use the host. They may free the watch.
 */
static void deliver(void *data) {
    FakeWatch *watch = data;
    bool freed = false;
    g_mutex_lock(&watch->fake->lock);
    bool first = !watch->ready;
    const char *changed = watch->changed;
    watch->posted = false;
    watch->ready = true;
    watch->changed = NULL;
    watch->freed = &freed;
    g_mutex_unlock(&watch->fake->lock);
    if (first)
        host_watch_tell(&watch->watch, HOST_EVENT_READY, NULL);
    if (!freed && changed != NULL)
        host_watch_tell(&watch->watch, HOST_EVENT_CHANGED, changed);
    if (!freed)
        watch->freed = NULL;
}

static void post(FakeWatch *watch) {
    if (!watch->posted)
        loop_post(watch->loop, deliver, watch);
    watch->posted = true;
}

static void report(FakeWatch *watch, const char *detail) {
    uint64_t writer = watch->fake->writer;
    if (writer != 0 && writer == watch->watch.owner)
        return;
    watch->changed = detail;
    post(watch);
}

static void report_key(FakeWatches *watches, HostWatchClass class, const char *name) {
    g_autofree char *key = key_of(class, name);
    GPtrArray *list = g_hash_table_lookup(watches->by_key, key);
    for (guint i = 0; list != NULL && i < list->len; i++)
        report(list->pdata[i], "changed");
}

/* --- what happens to the machine --- */

/* A link came or went: what watches lead to may be elsewhere now. */
static void follow_links(FakeWatches *watches) {
    for (guint i = 0; i < watches->all->len; i++) {
        FakeWatch *watch = watches->all->pdata[i];
        g_autofree char *key = watch_key(watch);
        if (strcmp(key, watch->key) == 0)
            continue;
        remove_by_key(watches, watch);
        g_free(watch->key);
        watch->key = g_steal_pointer(&key);
        add_by_key(watches, watch);
        report(watch, "moved");
    }
}

static bool is_account_file(const char *path) {
    static const char *const paths[] = { "/etc/passwd", "/etc/shadow", "/etc/group", "/etc/gshadow",
                                         NULL };
    return g_strv_contains(paths, path);
}

void fake_watches_path_changed(FakeWatches *watches, const char *path, bool link) {
    if (watches->all->len == 0)
        return;
    report_key(watches, HOST_WATCH_FILE, path);
    g_autofree char *above = g_strdup(path);
    for (char *slash; (slash = strrchr(above, '/')) != NULL; *slash = '\0')
        report_key(watches, HOST_WATCH_TREE, above);
    report_key(watches, HOST_WATCH_TREE, "/");
    if (is_account_file(path))
        report_key(watches, HOST_WATCH_ACCOUNTS, NULL);
    if (link)
        follow_links(watches);
}

void fake_watches_changed(FakeWatches *watches, HostWatchClass class, const char *name) {
    if (name != NULL || (class != HOST_WATCH_UNIT && class != HOST_WATCH_NET)) {
        report_key(watches, class, name);
        return;
    }
    for (guint i = 0; i < watches->all->len; i++) {
        FakeWatch *watch = watches->all->pdata[i];
        if (watch->class == class)
            report(watch, "changed");
    }
}

void fake_watches_lose_events(FakeWatches *watches) {
    watches->fake->writer = 0;
    for (guint i = 0; i < watches->all->len; i++)
        report(watches->all->pdata[i], "events were lost");
}

/* --- life --- */

static void fake_watch_free(HostWatch *host_watch) {
    FakeWatch *watch = (FakeWatch *)(void *)host_watch;
    Fake *fake = watch->fake;
    g_mutex_lock(&fake->lock);
    if (watch->posted)
        loop_unpost(watch->loop, deliver, watch);
    if (watch->freed != NULL)
        *watch->freed = true;
    remove_by_key(fake->watches, watch);
    g_ptr_array_remove_fast(fake->watches->all, watch);
    g_mutex_unlock(&fake->lock);
    g_free(watch->name);
    g_free(watch->key);
    g_free(watch);
}

HostWatch *fake_watch(Fake *fake, Loop *loop, HostWatchClass class, const char *name,
                      uint64_t owner, HostWatchCallback callback, void *data) {
    FakeWatch *watch = g_new0(FakeWatch, 1);
    watch->watch =
        (HostWatch){ .free = fake_watch_free, .callback = callback, .data = data, .owner = owner };
    watch->fake = fake;
    watch->loop = loop;
    watch->class = class;
    watch->name = g_strdup(name);
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fake->lock);
    watch->key = watch_key(watch);
    g_ptr_array_add(fake->watches->all, watch);
    add_by_key(fake->watches, watch);
    post(watch);
    return &watch->watch;
}
