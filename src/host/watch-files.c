/* File watches: reading the events, telling the watches, and noting own writes. See
 * watch-files-private.h for how it is put together. */
#include "host/watch-files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "host/watch-files-private.h"

#define EVENT_BUFFER_SIZE (64 * 1024)
#define EVENT_SIZE_MAX    (sizeof(struct inotify_event) + NAME_MAX + 1)
#define READS_MAX         16 /* in one turn of the loop: some 30,000 events */

/* --- from the loop */

static void on_posted(void *data);

void group_post(WatchGroup *group) {
    if (!group->posted) {
        group->posted = true;
        loop_post(group->loop, on_posted, group);
    }
}

static void post_group(void *data) {
    group_post(data);
}

static void group_free_unused(WatchGroup *group);

/* Called without the lock: callbacks make and free watches. */
static void deliver(WatchGroup *group) {
    watch_queue_deliver(&group->queue);
    group_free_unused(group);
}

/* --- events */

static void make_dirty(const GPtrArray *directories) {
    for (guint i = 0; i < directories->len; i++)
        directory_make_dirty(directories->pdata[i]);
}

static void make_users_dirty(Mark *mark) {
    make_dirty(mark->directories);
    if (mark->dependents == NULL)
        return;
    GHashTableIter iter;
    gpointer dependents;
    g_hash_table_iter_init(&iter, mark->dependents);
    while (g_hash_table_iter_next(&iter, NULL, &dependents))
        make_dirty(dependents);
}

/* The kernel has dropped the watch, with the directory or its file system. */
static void on_ignored(Mark *mark) {
    mark_lost(mark);
    mark->refs++;
    make_users_dirty(mark);
    while (mark->tree_directories->len > 0)
        tree_directory_free(mark->tree_directories->pdata[0]);
    mark_unref(mark);
}

/* A directory went away or elsewhere. Inside a tree that is an event of the one above it as well,
 * except when its file system was unmounted. */
static void on_self_event(Mark *mark, uint32_t events) {
    make_users_dirty(mark);
    if (!(events & IN_UNMOUNT))
        return;
    for (guint i = 0; i < mark->tree_directories->len; i++) {
        const TreeDirectory *directory = mark->tree_directories->pdata[i];
        queued_watch_tell(&directory->tree->watch->base, TELL_CHANGED);
    }
}

static void on_name_event(Mark *mark, uint32_t events, const char *name) {
    for (guint i = 0; i < mark->directories->len; i++) {
        const Directory *directory = mark->directories->pdata[i];
        const char *entry_name = name[0] != '\0' ? name : ".";
        Entry *entry = g_hash_table_lookup(directory->entries, entry_name);
        for (; entry != NULL; entry = entry->next)
            entry_event(entry, events & IN_ALL_EVENTS);
    }
    if ((events & MARK_STRUCTURE) && mark->dependents != NULL) {
        GPtrArray *dependents = g_hash_table_lookup(mark->dependents, name);
        if (dependents != NULL)
            make_dirty(dependents);
    }
    /* Handling one may add or remove directories of the same tree, never of the same mark. */
    for (guint i = 0; i < mark->tree_directories->len; i++)
        tree_event(mark->tree_directories->pdata[i], name, events);
}

/* The queue was full: anything may have happened. */
static void on_overflow(WatchGroup *group) {
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, group->directories);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Directory *directory = value;
        directory->lost_events = true;
        directory_make_dirty(directory);
    }
}

static void dispatch(WatchGroup *group, const struct inotify_event *event) {
    if (event->mask & IN_Q_OVERFLOW) {
        on_overflow(group);
        return;
    }
    Mark *mark = g_hash_table_lookup(group->marks, GINT_TO_POINTER(event->wd));
    if (mark == NULL)
        return; /* not ours any more */
    if (event->mask & IN_IGNORED)
        on_ignored(mark);
    else if (event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT))
        on_self_event(mark, event->mask);
    else
        on_name_event(mark, event->mask, event->len > 0 ? event->name : "");
}

/* Returns whether more may be waiting. */
static bool read_events(WatchGroup *group) {
    char buffer[EVENT_BUFFER_SIZE] __attribute__((aligned(__alignof__(struct inotify_event))));
    ssize_t size = read(group->fd, buffer, sizeof buffer);
    for (ssize_t at = 0; at < size;) {
        const struct inotify_event *event = (const void *)(buffer + at);
        dispatch(group, event);
        at += (ssize_t)(sizeof *event + event->len);
    }
    return size > (ssize_t)(sizeof buffer - EVENT_SIZE_MAX);
}

static void drop_old_stamps(WatchGroup *group) {
    if (group->n_trees == 0)
        return;
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, group->directories);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        for (GSList *item = ((Directory *)value)->trees; item != NULL; item = item->next)
            tree_drop_old_stamps(item->data);
}

static void on_events(void *data, int fd, uint32_t epoll_events) {
    WatchGroup *group = data;
    g_mutex_lock(&group->watchers->lock);
    group->queue.is_busy = true;
    unsigned reads = 1;
    while (read_events(group) && reads < READS_MAX)
        reads++;
    directories_resolve_dirty(group);
    if (reads < READS_MAX) {
        group->turn++;
        drop_old_stamps(group);
    }
    g_mutex_unlock(&group->watchers->lock);
    deliver(group);
}

/* Something was mounted or unmounted: where paths lead may be another directory now, without any
 * event there. */
static void on_mounts(void *data, int fd, uint32_t epoll_events) {
    WatchGroup *group = data;
    GHashTableIter iter;
    gpointer directory;
    g_mutex_lock(&group->watchers->lock);
    group->queue.is_busy = true;
    g_hash_table_iter_init(&iter, group->directories);
    while (g_hash_table_iter_next(&iter, NULL, &directory))
        directory_make_dirty(directory);
    directories_resolve_dirty(group);
    g_mutex_unlock(&group->watchers->lock);
    deliver(group);
}

/* --- own writes */

typedef void (*PathVisitor)(WatchGroup *group, Entry *entry, Tree *tree, const char *path,
                            void *data);

/* The path without "//", "/./" and a slash at its end; itself when it has none of them. */
static const char *normalise(const char *path, char **to_free) {
    size_t length = strlen(path);
    if (strstr(path, "//") == NULL && strstr(path, "/./") == NULL &&
        (length <= 1 || path[length - 1] != '/') && !g_str_has_suffix(path, "/."))
        return path;
    GString *clean = g_string_new(NULL);
    g_auto(GStrv) names = g_strsplit(path, "/", -1);
    for (char **name = names; *name != NULL; name++)
        if (**name != '\0' && strcmp(*name, ".") != 0)
            g_string_append_printf(clean, "/%s", *name);
    if (clean->len == 0)
        g_string_append_c(clean, '/');
    return *to_free = g_string_free(clean, FALSE);
}

/* "/" is the name "." in the directory "/". */
static const char *split(const char *path, char ret_directory[PATH_MAX]) {
    const char *name = strrchr(path, '/') + 1;
    size_t length = MAX((size_t)(name - 1 - path), 1);
    if (length >= PATH_MAX)
        return NULL;
    memcpy(ret_directory, path, length);
    ret_directory[length] = '\0';
    return *name != '\0' ? name : ".";
}

static void visit_trees(WatchGroup *group, char *directory, const char *path, PathVisitor visit,
                        void *data) {
    for (;;) {
        const Directory *found = g_hash_table_lookup(group->directories, directory);
        for (GSList *item = found != NULL ? found->trees : NULL; item != NULL; item = item->next)
            visit(group, NULL, item->data, path, data);
        if (directory[1] == '\0')
            return;
        char *slash = strrchr(directory, '/');
        slash[slash == directory ? 1 : 0] = '\0';
    }
}

/* Calls visit for each watch that path is part of. */
static void visit_path(FileWatchers *watchers, const char *given, PathVisitor visit, void *data) {
    g_autofree char *to_free = NULL;
    const char *path = normalise(given, &to_free);
    char directory[PATH_MAX];
    const char *name = split(path, directory);
    if (name == NULL)
        return;
    for (guint i = 0; i < watchers->groups->len; i++) {
        WatchGroup *group = watchers->groups->pdata[i];
        const Directory *found = g_hash_table_lookup(group->directories, directory);
        Entry *entry = found != NULL ? g_hash_table_lookup(found->entries, name) : NULL;
        for (; entry != NULL; entry = entry->next)
            visit(group, entry, NULL, path, data);
        if (group->n_trees == 0 || strcmp(name, ".") == 0)
            continue;
        char above[PATH_MAX];
        g_strlcpy(above, directory, sizeof above);
        visit_trees(group, above, path, visit, data);
    }
}

typedef struct {
    uint64_t owner;
    enum { OWN_BEGIN, OWN_END, OWN_ABANDON } what;
    uint32_t events;
    const struct stat *after;
    bool any;
} OwnChange;

static OwnStamp *stamp_of(Entry *entry, Tree *tree, const char *path) {
    if (entry != NULL) {
        if (entry->stamp == NULL)
            entry->stamp = g_new0(OwnStamp, 1);
        return entry->stamp;
    }
    OwnStamp *stamp = g_hash_table_lookup(tree->stamps, path);
    if (stamp == NULL) {
        stamp = g_new0(OwnStamp, 1);
        g_hash_table_insert(tree->stamps, g_strdup(path), stamp);
    }
    return stamp;
}

static void note_change(WatchGroup *group, Entry *entry, Tree *tree, const char *path, void *data) {
    OwnChange *change = data;
    const FileWatch *watch = entry != NULL ? entry->watch : tree->watch;
    if (watch->base.watch.owner != change->owner)
        return;
    OwnStamp *stamp = stamp_of(entry, tree, path);
    change->any = true;
    if (change->what == OWN_BEGIN)
        own_stamp_begin(stamp, group->turn);
    else if (change->what == OWN_END)
        own_stamp_end(stamp, change->events, change->after, group->turn);
    else
        own_stamp_abandon(stamp, group->turn);
    if (stamp->deferred == 0 || stamp->in_progress > 0)
        return;
    if (group->rechecks->len == 0)
        loop_post(group->loop, on_posted, group);
    g_ptr_array_add(group->rechecks, g_strdup(path));
}

OwnWrite own_write_begin(FileWatchers *watchers, const char *path) {
    OwnWrite write = { .path = path, .owner = host_writer() };
    if (write.owner == 0 || g_atomic_int_get(&watchers->n_watches) == 0)
        return write;
    OwnChange change = { .owner = write.owner, .what = OWN_BEGIN };
    g_mutex_lock(&watchers->lock);
    visit_path(watchers, path, note_change, &change);
    g_mutex_unlock(&watchers->lock);
    write.watchers = change.any ? watchers : NULL;
    return write;
}

static void own_write_finish(OwnWrite *write, OwnChange *change) {
    if (write->watchers == NULL)
        return;
    change->owner = write->owner;
    g_mutex_lock(&write->watchers->lock);
    visit_path(write->watchers, write->path, note_change, change);
    g_mutex_unlock(&write->watchers->lock);
    write->watchers = NULL;
}

void own_write_end(OwnWrite *write, uint32_t events, const struct stat *after) {
    OwnChange change = { .what = OWN_END, .events = events, .after = after };
    own_write_finish(write, &change);
}

void own_write_abandon(OwnWrite *write) {
    OwnChange change = { .what = OWN_ABANDON };
    own_write_finish(write, &change);
}

static void recheck(WatchGroup *group, Entry *entry, Tree *tree, const char *path, void *data) {
    if (group != data)
        return;
    if (entry != NULL)
        entry_recheck(entry);
    else
        tree_recheck(tree, path);
}

/* Something to tell, to look into, or to judge again. */
static void on_posted(void *data) {
    WatchGroup *group = data;
    FileWatchers *watchers = group->watchers;
    g_mutex_lock(&watchers->lock);
    group->posted = false;
    group->queue.is_busy = true;
    for (guint i = 0; i < group->rechecks->len; i++)
        visit_path(watchers, group->rechecks->pdata[i], recheck, group);
    g_ptr_array_set_size(group->rechecks, 0);
    trees_scan(group);
    g_mutex_unlock(&watchers->lock);
    deliver(group);
}

/* --- groups */

static void group_free(WatchGroup *group) {
    g_mutex_lock(&group->watchers->lock);
    g_ptr_array_remove(group->watchers->groups, group);
    g_mutex_unlock(&group->watchers->lock);
    /* From here on no worker knows it. */
    loop_unpost(group->loop, on_posted, group);
    loop_source_free(group->source);
    loop_source_free(group->mounts_source);
    g_assert(g_hash_table_size(group->directories) == 0);
    g_hash_table_destroy(group->directories);
    g_hash_table_destroy(group->marks);
    g_hash_table_destroy(group->refused);
    g_ptr_array_unref(group->dirty);
    watch_queue_clear(&group->queue);
    g_ptr_array_unref(group->rechecks);
    if (group->fd >= 0)
        (void)close(group->fd); /* nothing can be lost */
    if (group->mounts_fd >= 0)
        (void)close(group->mounts_fd); /* only read from */
    g_free(group);
}

static void group_free_unused(WatchGroup *group) {
    if (group->n_watches == 0 && !group->queue.is_busy)
        group_free(group);
}

static bool open_inotify(WatchGroup *group, GError **error) {
    group->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (group->fd < 0 && errno == EMFILE) {
        g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_LIMIT,
                            "watch files: this user has too many inotify instances or this process "
                            "too many open files; raise the first with: sysctl "
                            "fs.inotify.max_user_instances=1024");
        return false;
    }
    if (group->fd < 0)
        return set_io_error(error, errno, "watch files");
    group->source = loop_watch_fd(group->loop, group->fd, EPOLLIN, on_events, group, error);
    return group->source != NULL;
}

/* Without /proc, mounts go unseen. */
static bool open_mounts(WatchGroup *group, GError **error) {
    group->mounts_fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
    if (group->mounts_fd < 0)
        return true;
    group->mounts_source =
        loop_watch_fd(group->loop, group->mounts_fd, EPOLLPRI, on_mounts, group, error);
    return group->mounts_source != NULL;
}

static WatchGroup *group_new(FileWatchers *watchers, Loop *loop, GError **error) {
    WatchGroup *group = g_new0(WatchGroup, 1);
    group->watchers = watchers;
    group->loop = loop;
    group->fd = group->mounts_fd = -1;
    group->marks = g_hash_table_new(NULL, NULL);
    group->refused = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    group->directories = g_hash_table_new(g_str_hash, g_str_equal);
    group->dirty = g_ptr_array_new();
    watch_queue_init(&group->queue, post_group, group);
    group->rechecks = g_ptr_array_new_with_free_func(g_free);
    g_mutex_lock(&watchers->lock);
    g_ptr_array_add(watchers->groups, group);
    g_mutex_unlock(&watchers->lock);
    if (open_inotify(group, error) && open_mounts(group, error))
        return group;
    group_free(group);
    return NULL;
}

static WatchGroup *group_find(FileWatchers *watchers, const Loop *loop) {
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&watchers->lock);
    for (guint i = 0; i < watchers->groups->len; i++) {
        WatchGroup *group = watchers->groups->pdata[i];
        if (group->loop == loop)
            return group;
    }
    return NULL;
}

/* --- watches */

static void file_watch_free(HostWatch *watch) {
    FileWatch *self = (FileWatch *)(void *)watch;
    WatchGroup *group = self->group;
    g_mutex_lock(&group->watchers->lock);
    tree_watch_free(self->tree);
    for (unsigned i = 0; i < self->n_entries; i++)
        entry_free(self->entries[i]);
    queued_watch_clear(&self->base);
    group->n_watches--;
    g_mutex_unlock(&group->watchers->lock);
    g_atomic_int_dec_and_test(&group->watchers->n_watches);
    g_free(self);
    group_free_unused(group);
}

static bool add_path(FileWatch *watch, const char *given, GError **error) {
    g_autofree char *to_free = NULL;
    const char *path = normalise(given, &to_free);
    char parent[PATH_MAX];
    const char *name = split(path, parent);
    if (name == NULL)
        return set_io_error(error, ENAMETOOLONG, "watch '%s'", given);
    Directory *directory = directory_get(watch->group, parent, error);
    if (directory == NULL)
        return false;
    watch->entries[watch->n_entries++] = entry_add(directory, name, watch);
    return true;
}

static bool add_tree(FileWatch *watch, const char *given, GError **error) {
    g_autofree char *to_free = NULL;
    Directory *directory = directory_get(watch->group, normalise(given, &to_free), error);
    if (directory == NULL)
        return false;
    watch->tree = tree_watch_new(watch, directory);
    return true;
}

static FileWatch *watch_new(WatchGroup *group, size_t n_paths, uint64_t owner,
                            HostWatchCallback callback, void *data) {
    FileWatch *watch = g_malloc0(sizeof(FileWatch) + n_paths * sizeof(Entry *));
    watch->base.queue = &group->queue;
    watch->base.watch =
        (HostWatch){ .free = file_watch_free, .callback = callback, .data = data, .owner = owner };
    watch->group = group;
    group->n_watches++;
    g_atomic_int_inc(&group->watchers->n_watches);
    return watch;
}

HostWatch *file_watchers_add(FileWatchers *watchers, Loop *loop, const char *const *paths,
                             size_t n_paths, bool tree, uint64_t owner, HostWatchCallback callback,
                             void *data, GError **error) {
    WatchGroup *group = group_find(watchers, loop);
    if (group == NULL)
        group = group_new(watchers, loop, error);
    if (group == NULL)
        return NULL;
    FileWatch *watch = watch_new(group, n_paths, owner, callback, data);
    g_mutex_lock(&watchers->lock);
    bool ok = true;
    for (size_t i = 0; i < n_paths && ok; i++)
        ok = add_path(watch, paths[i], error);
    if (ok && tree)
        ok = add_tree(watch, paths[0], error);
    else if (ok)
        queued_watch_tell(&watch->base, TELL_READY);
    g_mutex_unlock(&watchers->lock);
    if (ok)
        return &watch->base.watch;
    file_watch_free(&watch->base.watch);
    return NULL;
}

FileWatchers *file_watchers_new(const char *root) {
    FileWatchers *watchers = g_new0(FileWatchers, 1);
    watchers->root = g_strdup(strcmp(root, "/") == 0 ? "" : root);
    watchers->groups = g_ptr_array_new();
    g_mutex_init(&watchers->lock);
    return watchers;
}

void file_watchers_free(FileWatchers *watchers) {
    if (watchers == NULL)
        return;
    g_assert(watchers->groups->len == 0);
    g_ptr_array_unref(watchers->groups);
    g_mutex_clear(&watchers->lock);
    g_free(watchers->root);
    g_free(watchers);
}
