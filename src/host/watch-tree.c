/* Watching everything below a directory: a mark for each directory there. New ones are looked into
 * a slice at a time, so that a large tree does not hold the loop up. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "host/watch-files-private.h"

#define SCAN_SLICE_US 5000

static void append_path(const TreeDirectory *directory, GString *path) {
    if (directory->parent == NULL)
        return;
    append_path(directory->parent, path);
    if (path->len == 0 || path->str[path->len - 1] != '/')
        g_string_append_c(path, '/');
    g_string_append(path, directory->name);
}

/* base: the tree's path, as written or real. name: NULL for the directory itself. */
static GString *path_below(const TreeDirectory *directory, const char *base, const char *name) {
    GString *path = g_string_new(base);
    append_path(directory, path);
    if (name != NULL) {
        if (path->str[path->len - 1] != '/')
            g_string_append_c(path, '/');
        g_string_append(path, name);
    }
    return path;
}

/* --- directories of a tree */

static void scan_later(TreeDirectory *directory) {
    WatchGroup *group = directory->tree->watch->group;
    g_queue_push_tail(&group->scans, directory);
    directory->scan = group->scans.tail;
    directory->tree->n_scans++;
    group_post(group);
}

static void scan_done(TreeDirectory *directory) {
    if (directory->scan == NULL)
        return;
    g_queue_delete_link(&directory->tree->watch->group->scans, directory->scan);
    directory->scan = NULL;
    directory->tree->n_scans--;
}

/* NULL with errno. */
static TreeDirectory *directory_new(Tree *tree, TreeDirectory *parent, const char *name) {
    size_t size = strlen(name) + 1;
    TreeDirectory *directory = g_malloc0(sizeof(TreeDirectory) + size);
    memcpy(directory->name, name, size);
    directory->tree = tree;
    directory->parent = parent;
    g_autoptr(GString) path = path_below(directory, tree->directory->real_path, NULL);
    directory->mark = mark_get(tree->watch->group, path->str, MARK_ALL);
    if (directory->mark == NULL) {
        int problem = errno;
        g_free(directory);
        errno = problem;
        return NULL;
    }
    g_ptr_array_add(directory->mark->tree_directories, directory);
    scan_later(directory);
    return directory;
}

static void free_children(TreeDirectory *directory) {
    if (directory->children == NULL)
        return;
    GHashTableIter iter;
    gpointer child;
    g_hash_table_iter_init(&iter, directory->children);
    while (g_hash_table_iter_next(&iter, NULL, &child)) {
        g_hash_table_iter_steal(&iter);
        ((TreeDirectory *)child)->parent = NULL;
        tree_directory_free(child);
    }
    g_clear_pointer(&directory->children, g_hash_table_destroy);
}

void tree_directory_free(TreeDirectory *directory) {
    free_children(directory);
    scan_done(directory);
    if (directory->parent != NULL)
        g_hash_table_remove(directory->parent->children, directory->name);
    if (directory->tree->top == directory)
        directory->tree->top = NULL;
    bool removed = g_ptr_array_remove_fast(directory->mark->tree_directories, directory);
    g_assert(removed);
    mark_unref(directory->mark);
    g_free(directory);
}

/* One that is gone again, or may not be read, is passed over; a limit ends the watch. */
static void add_child(TreeDirectory *parent, const char *name, bool is_new) {
    if (parent->children != NULL && g_hash_table_contains(parent->children, name))
        return;
    TreeDirectory *child = directory_new(parent->tree, parent, name);
    if (child == NULL) {
        if (errno == ENOENT || errno == ENOTDIR || errno == EACCES)
            return;
        g_autoptr(GError) error = NULL;
        g_autoptr(GString) path = path_below(parent, parent->tree->directory->path, name);
        mark_error(parent->tree->watch->group, errno, path->str, &error);
        queued_watch_fail(&parent->tree->watch->base, error->message);
        return;
    }
    child->is_new = is_new;
    if (parent->children == NULL)
        parent->children = g_hash_table_new(g_str_hash, g_str_equal);
    g_hash_table_insert(parent->children, child->name, child);
}

static void drop_child(TreeDirectory *parent, const char *name) {
    TreeDirectory *child =
        parent->children != NULL ? g_hash_table_lookup(parent->children, name) : NULL;
    if (child != NULL)
        tree_directory_free(child);
}

/* --- own writes */

static bool is_own(Tree *tree, OwnStamp *stamp, const char *path, uint32_t events) {
    size_t base = strcmp(tree->directory->path, "/") == 0 ? 0 : strlen(tree->directory->path);
    const char *real_base =
        strcmp(tree->directory->real_path, "/") == 0 ? "" : tree->directory->real_path;
    g_autofree char *local =
        g_strconcat(tree->watch->group->watchers->root, real_base, path + base, NULL);
    struct stat st;
    bool exists = lstat(local, &st) == 0;
    int64_t now_ns = g_get_real_time() * 1000;
    return own_stamp_judge(stamp, events, exists ? &st : NULL, now_ns) != JUDGE_DELIVER;
}

static void judge(TreeDirectory *directory, const char *name, uint32_t events) {
    Tree *tree = directory->tree;
    if (queued_watch_will_tell(&tree->watch->base, TELL_CHANGED))
        return;
    if (g_hash_table_size(tree->stamps) > 0) {
        g_autoptr(GString) path = path_below(directory, tree->directory->path, name);
        OwnStamp *stamp = g_hash_table_lookup(tree->stamps, path->str);
        if (stamp != NULL && own_stamp_may_explain(stamp, events) &&
            is_own(tree, stamp, path->str, events))
            return;
    }
    queued_watch_tell(&tree->watch->base, TELL_CHANGED);
}

void tree_recheck(Tree *tree, const char *path) {
    OwnStamp *stamp = g_hash_table_lookup(tree->stamps, path);
    if (stamp == NULL || stamp->in_progress > 0 || stamp->deferred == 0)
        return;
    uint32_t events = stamp->deferred;
    stamp->deferred = 0;
    if (tree->top == NULL || !is_own(tree, stamp, path, events))
        queued_watch_tell(&tree->watch->base, TELL_CHANGED);
}

static gboolean stamp_is_old(gpointer path, gpointer stamp, gpointer group) {
    return own_stamp_is_old(stamp, ((WatchGroup *)group)->turn);
}

void tree_drop_old_stamps(Tree *tree) {
    if (g_hash_table_size(tree->stamps) > 0)
        g_hash_table_foreach_remove(tree->stamps, stamp_is_old, tree->watch->group);
}

/* --- looking into directories */

static bool is_directory(DIR *stream, const struct dirent *entry) {
    struct stat st;
    if (entry->d_type != DT_UNKNOWN)
        return entry->d_type == DT_DIR;
    return fstatat(dirfd(stream), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISDIR(st.st_mode);
}

static void scan(TreeDirectory *directory) {
    Tree *tree = directory->tree;
    g_autoptr(GString) path = path_below(directory, tree->directory->real_path, NULL);
    g_string_prepend(path, tree->watch->group->watchers->root);
    int fd = open(path->str, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    if (stream == NULL)
        return; /* gone again: that is an event in the directory above */
    const struct dirent *entry;
    while ((entry = readdir(stream)) != NULL && !tree->watch->base.dead) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            temporary_is_name(entry->d_name))
            continue;
        if (is_directory(stream, entry))
            add_child(directory, entry->d_name, directory->is_new);
        if (directory->is_new)
            judge(directory, entry->d_name, OWN_STAMP_REARMED);
    }
    (void)closedir(stream); /* only read from */
}

static void check_ready(Tree *tree) {
    if (tree->n_scans == 0)
        queued_watch_tell(&tree->watch->base, TELL_READY);
}

void trees_scan(WatchGroup *group) {
    int64_t end = g_get_monotonic_time() + SCAN_SLICE_US;
    while (group->scans.head != NULL) {
        TreeDirectory *directory = group->scans.head->data;
        Tree *tree = directory->tree;
        if (!tree->watch->base.dead)
            scan(directory);
        scan_done(directory);
        check_ready(tree);
        if (g_get_monotonic_time() >= end)
            break;
    }
    if (group->scans.head != NULL)
        group_post(group);
}

/* The owner or mode of a file that has no name yet (O_TMPFILE) is changed: the kernel tells it with
 * the number of its inode for a name. When it gets one, that is an event of its own. */
static bool is_nameless(const TreeDirectory *directory, const char *name, uint32_t events) {
    if (events != IN_ATTRIB || name[0] != '#' || name[1 + strspn(name + 1, "0123456789")] != '\0')
        return false;
    const Tree *tree = directory->tree;
    g_autoptr(GString) path = path_below(directory, tree->directory->real_path, name);
    g_string_prepend(path, tree->watch->group->watchers->root);
    struct stat st;
    return lstat(path->str, &st) != 0 && errno == ENOENT;
}

void tree_event(TreeDirectory *directory, const char *name, uint32_t events) {
    if (name[0] == '\0' || temporary_is_name(name) || is_nameless(directory, name, events))
        return; /* what happens to a directory itself is an event in the one above */
    if ((events & IN_ISDIR) && (events & (IN_DELETE | IN_MOVED_FROM)))
        drop_child(directory, name);
    if ((events & IN_ISDIR) && (events & (IN_CREATE | IN_MOVED_TO)))
        add_child(directory, name, true);
    judge(directory, name, events & IN_ALL_EVENTS);
}

/* --- trees */

static void start(Tree *tree, bool is_new) {
    if (tree->directory->mark != NULL) {
        tree->top = directory_new(tree, NULL, "");
        if (tree->top != NULL)
            tree->top->is_new = is_new;
    }
}

Tree *tree_watch_new(FileWatch *watch, Directory *directory) {
    Tree *tree = g_new0(Tree, 1);
    tree->watch = watch;
    tree->directory = directory;
    tree->stamps = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    directory->trees = g_slist_prepend(directory->trees, tree);
    watch->group->n_trees++;
    start(tree, false);
    check_ready(tree);
    return tree;
}

void tree_restart(Tree *tree) {
    if (tree->top != NULL)
        tree_directory_free(tree->top);
    start(tree, true);
}

void tree_watch_free(Tree *tree) {
    if (tree == NULL)
        return;
    if (tree->top != NULL)
        tree_directory_free(tree->top);
    tree->watch->group->n_trees--;
    g_hash_table_destroy(tree->stamps);
    Directory *directory = tree->directory;
    directory->trees = g_slist_remove(directory->trees, tree);
    directory_drop_unused(directory);
    g_free(tree);
}
