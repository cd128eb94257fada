/* Directories as they are written, resolved to marks through links and whatever is missing; and
 * the watched names in them. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "host/watch-files-private.h"

#define LINKS_MAX 40 /* as the kernel */

/* --- resolving */

typedef struct {
    Directory *directory;
    GString *at;      /* real path of where we are */
    GPtrArray *names; /* what is still to go, last first */
    GPtrArray *needs; /* Need, with references to their marks */
    Mark *mark;       /* the result; NULL: it does not exist */
    unsigned links;
} Walk;

static void need_free(void *data) {
    Need *need = data;
    mark_unref(need->mark);
    g_free(need->name);
    g_free(need);
}

static void walk_clear(Walk *walk) {
    g_string_free(walk->at, TRUE);
    g_ptr_array_unref(walk->names);
    g_clear_pointer(&walk->needs, g_ptr_array_unref);
    mark_unref(walk->mark);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Walk, walk_clear)

static void push_names(Walk *walk, const char *path) {
    g_auto(GStrv) names = g_strsplit(path, "/", -1);
    for (guint i = g_strv_length(names); i > 0; i--)
        if (names[i - 1][0] != '\0' && strcmp(names[i - 1], ".") != 0)
            g_ptr_array_add(walk->names, g_strdup(names[i - 1]));
}

static void go_up(Walk *walk) {
    const char *slash = strrchr(walk->at->str, '/');
    g_string_truncate(walk->at, MAX((gsize)(slash - walk->at->str), 1));
}

static size_t go_down(Walk *walk, const char *name) {
    size_t before = walk->at->len;
    if (before > 1)
        g_string_append_c(walk->at, '/');
    g_string_append(walk->at, name);
    return before;
}

static void add_need(Walk *walk, Mark *mark, const char *name) {
    Need *need = g_new(Need, 1);
    need->mark = mark;
    need->name = g_strdup(name);
    g_ptr_array_add(walk->needs, need);
}

static bool follow(Walk *walk, const char *local, size_t before) {
    char target[PATH_MAX];
    ssize_t n = readlink(local, target, sizeof target - 1);
    if (n < 0 || ++walk->links > LINKS_MAX)
        return false;
    target[n] = '\0';
    g_string_truncate(walk->at, target[0] == '/' ? 1 : before);
    push_names(walk, target);
    return true;
}

/* Goes on to name in the directory we are at. Returns false when there is nothing to go on to. */
static bool enter(Walk *walk, const char *name) {
    if (strcmp(name, "..") == 0) {
        go_up(walk);
        return true;
    }
    size_t before = go_down(walk, name);
    g_autofree char *local =
        g_strconcat(walk->directory->group->watchers->root, walk->at->str, NULL);
    struct stat st;
    if (lstat(local, &st) != 0)
        return false;
    return S_ISLNK(st.st_mode) ? follow(walk, local, before) : S_ISDIR(st.st_mode);
}

/* Sets the mark, then looks. Vanishing in between is an event of the mark before; a directory that
 * may not be read can still be passed through. Returns false with error at a limit, or when the
 * directory itself may not be read. */
static bool walk_all(Walk *walk, GError **error) {
    for (;;) {
        bool last = walk->names->len == 0;
        Mark *mark =
            mark_get(walk->directory->group, walk->at->str, last ? MARK_ALL : MARK_STRUCTURE);
        if (mark == NULL && (errno == ENOENT || errno == ENOTDIR))
            return true;
        if (mark == NULL && (last || errno != EACCES)) {
            mark_error(walk->directory->group, errno, walk->at->str, error);
            return false;
        }
        if (last) {
            walk->mark = mark;
            return true;
        }
        g_autofree char *name = g_ptr_array_steal_index(walk->names, walk->names->len - 1);
        if (mark != NULL && strcmp(name, "..") != 0)
            add_need(walk, mark, name);
        else
            mark_unref(mark);
        if (!enter(walk, name))
            return true;
    }
}

static void forget_needs(Directory *directory) {
    for (guint i = 0; i < directory->needs->len; i++) {
        const Need *need = directory->needs->pdata[i];
        mark_unset_dependent(need->mark, need->name, directory);
    }
    g_ptr_array_set_size(directory->needs, 0);
}

static void set_mark(Directory *directory, Mark *mark) {
    if (directory->mark != NULL) {
        bool removed = g_ptr_array_remove_fast(directory->mark->directories, directory);
        g_assert(removed);
        mark_unref(directory->mark);
    }
    directory->mark = mark;
    if (mark != NULL)
        g_ptr_array_add(mark->directories, directory);
}

/* The new marks are there before the old ones go, so what stays is watched without a gap. */
static bool directory_resolve(Directory *directory, GError **error) {
    g_auto(Walk) walk = {
        .directory = directory,
        .at = g_string_new("/"),
        .names = g_ptr_array_new_with_free_func(g_free),
        .needs = g_ptr_array_new_with_free_func(need_free),
    };
    push_names(&walk, directory->path);
    if (!walk_all(&walk, error))
        return false;
    forget_needs(directory);
    g_ptr_array_unref(directory->needs);
    directory->needs = g_steal_pointer(&walk.needs);
    for (guint i = 0; i < directory->needs->len; i++) {
        const Need *need = directory->needs->pdata[i];
        mark_set_dependent(need->mark, need->name, directory);
    }
    g_free(directory->real_path);
    directory->real_path = g_strdup(walk.at->str);
    set_mark(directory, g_steal_pointer(&walk.mark));
    return true;
}

/* --- directories */

static void directory_free(Directory *directory) {
    if (directory->is_dirty)
        g_ptr_array_remove_fast(directory->group->dirty, directory);
    forget_needs(directory);
    g_ptr_array_unref(directory->needs);
    set_mark(directory, NULL);
    g_hash_table_destroy(directory->entries);
    g_free(directory->path);
    g_free(directory->real_path);
    g_free(directory);
}

Directory *directory_get(WatchGroup *group, const char *path, GError **error) {
    Directory *directory = g_hash_table_lookup(group->directories, path);
    if (directory != NULL)
        return directory;
    directory = g_new0(Directory, 1);
    directory->group = group;
    directory->path = g_strdup(path);
    directory->needs = g_ptr_array_new_with_free_func(need_free);
    directory->entries = g_hash_table_new(g_str_hash, g_str_equal);
    if (!directory_resolve(directory, error)) {
        directory_free(directory);
        return NULL;
    }
    g_hash_table_insert(group->directories, directory->path, directory);
    return directory;
}

void directory_drop_unused(Directory *directory) {
    if (directory->trees != NULL || g_hash_table_size(directory->entries) > 0)
        return;
    g_hash_table_remove(directory->group->directories, directory->path);
    directory_free(directory);
}

void directory_make_dirty(Directory *directory) {
    if (directory->is_dirty)
        return;
    directory->is_dirty = true;
    g_ptr_array_add(directory->group->dirty, directory);
}

static void directory_fail(Directory *directory, const char *detail) {
    GHashTableIter iter;
    gpointer first;
    g_hash_table_iter_init(&iter, directory->entries);
    while (g_hash_table_iter_next(&iter, NULL, &first))
        for (Entry *entry = first; entry != NULL; entry = entry->next)
            queued_watch_fail(&entry->watch->base, detail);
    for (GSList *item = directory->trees; item != NULL; item = item->next)
        queued_watch_fail(&((Tree *)item->data)->watch->base, detail);
}

static void entry_rearmed(Entry *entry, bool lost_events);

static void directory_resolve_again(Directory *directory) {
    bool lost_events = directory->lost_events, was_missing = directory->mark == NULL;
    const Mark *before = directory->mark;
    bool same = before != NULL && !before->is_dead;
    directory->is_dirty = directory->lost_events = false;
    g_autoptr(GError) error = NULL;
    if (!directory_resolve(directory, &error)) {
        directory_fail(directory, error->message);
        return;
    }
    same = same && directory->mark == before;
    if ((same || (was_missing && directory->mark == NULL)) && !lost_events)
        return;
    GHashTableIter iter;
    gpointer first;
    g_hash_table_iter_init(&iter, directory->entries);
    while (g_hash_table_iter_next(&iter, NULL, &first))
        for (Entry *entry = first; entry != NULL; entry = entry->next)
            entry_rearmed(entry, lost_events);
    for (GSList *item = directory->trees; item != NULL; item = item->next)
        tree_restart(item->data);
}

void directories_resolve_dirty(WatchGroup *group) {
    while (group->dirty->len > 0)
        directory_resolve_again(g_ptr_array_steal_index_fast(group->dirty, 0));
}

/* --- entries */

Entry *entry_add(Directory *directory, const char *name, FileWatch *watch) {
    size_t size = strlen(name) + 1;
    Entry *entry = g_malloc0(sizeof(Entry) + size);
    memcpy(entry->name, name, size);
    entry->watch = watch;
    entry->directory = directory;
    entry->next = g_hash_table_lookup(directory->entries, name);
    g_hash_table_replace(directory->entries, entry->name, entry);
    return entry;
}

void entry_free(Entry *entry) {
    Directory *directory = entry->directory;
    Entry *first = g_hash_table_lookup(directory->entries, entry->name);
    if (first != entry) {
        while (first->next != entry)
            first = first->next;
        first->next = entry->next;
    } else if (entry->next != NULL) {
        g_hash_table_replace(directory->entries, entry->next->name, entry->next);
    } else {
        g_hash_table_remove(directory->entries, entry->name);
    }
    g_free(entry->stamp);
    g_free(entry);
    directory_drop_unused(directory);
}

static bool entry_stat(const Entry *entry, struct stat *ret_st) {
    const Directory *directory = entry->directory;
    if (directory->mark == NULL)
        return false;
    g_autofree char *local =
        g_strconcat(directory->group->watchers->root, directory->real_path, "/", entry->name, NULL);
    return lstat(local, ret_st) == 0;
}

/* An own write that is still going on keeps the events back until own_write_end(). */
static bool is_own(Entry *entry, uint32_t events) {
    if (entry->stamp == NULL || !own_stamp_may_explain(entry->stamp, events))
        return false;
    struct stat st;
    bool exists = entry_stat(entry, &st);
    int64_t now_ns = g_get_real_time() * 1000;
    return own_stamp_judge(entry->stamp, events, exists ? &st : NULL, now_ns) != JUDGE_DELIVER;
}

void entry_event(Entry *entry, uint32_t events) {
    /* One that has something to tell need not be asked again: a burst costs no look at the file. */
    if (!queued_watch_will_tell(&entry->watch->base, TELL_CHANGED) && !is_own(entry, events))
        queued_watch_tell(&entry->watch->base, TELL_CHANGED);
}

void entry_recheck(Entry *entry) {
    if (entry->stamp == NULL || entry->stamp->in_progress > 0 || entry->stamp->deferred == 0)
        return;
    uint32_t events = entry->stamp->deferred;
    entry->stamp->deferred = 0;
    entry_event(entry, events);
}

/* Its directory is another one, or is here again, or is gone. What was absent and still is has not
 * changed, but now it can be made. */
static void entry_rearmed(Entry *entry, bool lost_events) {
    if (lost_events)
        queued_watch_tell(&entry->watch->base, TELL_CHANGED);
    else
        entry_event(entry, OWN_STAMP_REARMED);
}
