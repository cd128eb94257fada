/* The inotify watches themselves: one for each directory, shared by all who need it. */
#include <errno.h>
#include <string.h>

#include "host/watch-files-private.h"

static unsigned read_limit(const char *name) {
    g_autofree char *path = g_strconcat("/proc/sys/fs/inotify/", name, NULL);
    g_autofree char *text = NULL;
    return g_file_get_contents(path, &text, NULL, NULL) ? (unsigned)strtoul(text, NULL, 10) : 0;
}

void mark_error(WatchGroup *group, int errno_value, const char *path, GError **error) {
    if (errno_value != ENOSPC) {
        set_io_error(error, errno_value, "watch '%s'", path);
        return;
    }
    g_hash_table_add(group->refused, g_strdup(path));
    unsigned limit = read_limit("max_user_watches");
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_LIMIT,
                "watch '%s': the system allows no more than %u inotify watches for each user; "
                "raise fs.inotify.max_user_watches to at least %u",
                path, limit, limit + g_hash_table_size(group->refused));
}

Mark *mark_get(WatchGroup *group, const char *path, uint32_t mask) {
    g_autofree char *local = g_strconcat(group->watchers->root, path, NULL);
    mask |= IN_DELETE_SELF | IN_MOVE_SELF;
    int wd = inotify_add_watch(group->fd, local,
                               mask | IN_MASK_ADD | IN_ONLYDIR | IN_DONT_FOLLOW | IN_EXCL_UNLINK);
    if (wd < 0)
        return NULL;
    Mark *mark = g_hash_table_lookup(group->marks, GINT_TO_POINTER(wd));
    if (mark == NULL) {
        mark = g_new0(Mark, 1);
        mark->group = group;
        mark->wd = wd;
        mark->directories = g_ptr_array_new();
        mark->tree_directories = g_ptr_array_new();
        g_hash_table_insert(group->marks, GINT_TO_POINTER(wd), mark);
    }
    mark->mask |= mask;
    mark->refs++;
    return mark;
}

void mark_unref(Mark *mark) {
    if (mark == NULL || --mark->refs > 0)
        return;
    if (!mark->is_dead) {
        g_hash_table_remove(mark->group->marks, GINT_TO_POINTER(mark->wd));
        (void)inotify_rm_watch(mark->group->fd, mark->wd); /* it may have gone just now */
    }
    g_ptr_array_unref(mark->directories);
    g_ptr_array_unref(mark->tree_directories);
    g_clear_pointer(&mark->dependents, g_hash_table_destroy);
    g_free(mark);
}

void mark_lost(Mark *mark) {
    if (mark->is_dead)
        return;
    mark->is_dead = true;
    g_hash_table_remove(mark->group->marks, GINT_TO_POINTER(mark->wd));
}

void mark_set_dependent(Mark *mark, const char *name, Directory *directory) {
    if (mark->dependents == NULL)
        mark->dependents = g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
                                                 (GDestroyNotify)g_ptr_array_unref);
    GPtrArray *dependents = g_hash_table_lookup(mark->dependents, name);
    if (dependents == NULL) {
        dependents = g_ptr_array_new();
        g_hash_table_insert(mark->dependents, g_strdup(name), dependents);
    }
    g_ptr_array_add(dependents, directory);
}

void mark_unset_dependent(Mark *mark, const char *name, Directory *directory) {
    GPtrArray *dependents = g_hash_table_lookup(mark->dependents, name);
    bool removed = g_ptr_array_remove_fast(dependents, directory);
    g_assert(removed);
    if (dependents->len == 0)
        g_hash_table_remove(mark->dependents, name);
}
