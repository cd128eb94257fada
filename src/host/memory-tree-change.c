/* Changing a memory tree. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "host/memory-tree-private.h"

#define SECOND_NS G_GINT64_CONSTANT(1000000000)

/* Strictly increasing. Over a base it is the time of day; without one each change takes a second,
 * so that tests see the same times whenever they run. */
static int64_t tree_time(MemoryTree *tree) {
    int64_t next = tree->last_time_ns + (tree->base != NULL ? 1 : SECOND_NS);
    if (tree->base != NULL)
        next = MAX(next, g_get_real_time() * 1000);
    return tree->last_time_ns = next;
}

/* For changing what is at path itself, never what a link there leads to. info of what is there
 * now is in the spot, unless it is absent. */
static bool spot_open(MemoryTree *tree, const char *verb, const char *path, Spot *ret_spot,
                      GError **error) {
    g_auto(Spot) spot = { 0 };
    if (!spot_find(tree, verb, path, false, &spot, error) || !spot_load(tree, &spot, error))
        return false;
    *ret_spot = spot;
    spot = (Spot){ 0 };
    return true;
}

static bool spot_holds(const Spot *spot, FileType type) {
    return spot->state != SPOT_ABSENT && spot->info.type == type;
}

static bool base_may_show(const MemoryTree *tree, const Spot *spot) {
    return tree->base != NULL && spot->parent != NULL && !spot->parent->covers;
}

/* The node that will say what is at spot, with the children it had. */
static MemoryNode *spot_own(Spot *spot) {
    MemoryNode *node = spot->node;
    if (node == NULL) {
        node = spot->node = node_new(spot->parent, NODE_OWN);
        node_adopt(spot->parent, spot_name(spot), node);
    }
    node->state = NODE_OWN;
    return node;
}

static void node_empty(MemoryNode *node) {
    g_clear_pointer(&node->children, g_hash_table_unref);
    g_clear_pointer(&node->content, g_bytes_unref);
    g_clear_pointer(&node->target, g_free);
}

static void tree_changed(MemoryTree *tree, const Spot *spot, bool link) {
    tree->stamp++;
    if (spot->node != NULL)
        spot->node->stamp = tree->stamp;
    g_atomic_int_set(&tree->touched, 1);
    if (tree->changed != NULL)
        tree->changed(tree->changed_data, spot_path(spot), link);
}

/* A name came to or left the directory above spot. */
static void touch_parent(const MemoryTree *tree, const Spot *spot, int64_t now) {
    if (spot->parent->state != NODE_OWN)
        return;
    spot->parent->info.mtime_ns = spot->parent->info.ctime_ns = now;
    spot->parent->stamp = tree->stamp + 1; /* of the change that is being made */
}

static FileInfo new_info(MemoryTree *tree, const Spot *spot, FileType type, mode_t mode) {
    const FileInfo *parent = &spot->parent->info;
    bool inherits = parent->type == FILE_DIRECTORY && (parent->mode & S_ISGID) != 0;
    return (FileInfo){ .type = type,
                       .mode = mode | (inherits && type == FILE_DIRECTORY ? S_ISGID : 0),
                       .uid = tree->uid,
                       .gid = inherits ? parent->gid : tree->gid };
}

static bool attributes_allowed(const MemoryTree *tree, const char *verb, const char *path,
                               const FileInfo *info, const FileAttributes *attributes,
                               GError **error) {
    if (tree->privileged || attributes == NULL)
        return true;
    bool other_user = (attributes->set & FILE_SET_UID) != 0 && attributes->uid != info->uid;
    bool other_group = (attributes->set & FILE_SET_GID) != 0 && attributes->gid != info->gid;
    return (!other_user && !other_group) || set_io_error(error, EPERM, "%s '%s'", verb, path);
}

static void info_set(FileInfo *info, const FileAttributes *attributes) {
    if (attributes == NULL)
        return;
    if ((attributes->set & FILE_SET_UID) != 0)
        info->uid = attributes->uid;
    if ((attributes->set & FILE_SET_GID) != 0)
        info->gid = attributes->gid;
    if ((attributes->set & FILE_SET_MODE) != 0)
        info->mode = attributes->mode & 07777;
}

/* Puts something new at spot. */
static MemoryNode *spot_put(MemoryTree *tree, Spot *spot, FileInfo info) {
    MemoryNode *node = spot_own(spot);
    node_empty(node);
    info.inode = ++tree->last_inode;
    info.device = 0;
    info.mtime_ns = info.ctime_ns = tree_time(tree);
    node->info = info;
    node->covers = true;
    touch_parent(tree, spot, info.mtime_ns);
    return node;
}

static bool refuse_directory(const char *verb, const char *path, GError **error) {
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_EXISTS, "%s '%s': a directory is in its place",
                verb, path);
    return false;
}

bool memory_tree_write(MemoryTree *tree, const char *path, GBytes *content,
                       const FileAttributes *attributes, GError **error) {
    g_auto(Spot) spot = { 0 };
    if (!spot_open(tree, "write", path, &spot, error))
        return false;
    if (spot_holds(&spot, FILE_DIRECTORY))
        return refuse_directory("write", path, error);
    FileInfo info =
        spot_holds(&spot, FILE_REGULAR) ? spot.info : new_info(tree, &spot, FILE_REGULAR, 0644);
    if (!attributes_allowed(tree, "write", path, &info, attributes, error))
        return false;
    info_set(&info, attributes);
    info.size = g_bytes_get_size(content);
    bool link = spot_holds(&spot, FILE_SYMLINK);
    spot_put(tree, &spot, info)->content = g_bytes_ref(content);
    tree_changed(tree, &spot, link);
    return true;
}

/* Where a command may have made a directory, what the base has in it shows on. */
static bool base_has_directory(MemoryTree *tree, const Spot *spot) {
    FileInfo info;
    return spot_holds(spot, FILE_UNKNOWN) && base_may_show(tree, spot) &&
           (spot->node == NULL || !spot->node->covers) &&
           host_stat(tree->base, spot_path(spot), &info, NULL) && info.type == FILE_DIRECTORY;
}

bool memory_tree_make_directory(MemoryTree *tree, const char *path,
                                const FileAttributes *attributes, GError **error) {
    g_auto(Spot) spot = { 0 };
    if (!spot_open(tree, "make directory", path, &spot, error))
        return false;
    bool unknown = spot_holds(&spot, FILE_UNKNOWN);
    if (spot.state != SPOT_ABSENT && !unknown)
        return set_io_error(error, EEXIST, "make directory '%s'", path);
    FileInfo info = new_info(tree, &spot, FILE_DIRECTORY, 0755);
    if (!attributes_allowed(tree, "make directory", path, &info, attributes, error))
        return false;
    info_set(&info, attributes);
    bool covers = !base_has_directory(tree, &spot);
    g_autoptr(GHashTable) children =
        unknown && spot.node != NULL ? g_steal_pointer(&spot.node->children) : NULL;
    MemoryNode *node = spot_put(tree, &spot, info);
    node->covers = covers;
    node->children = g_steal_pointer(&children);
    tree_changed(tree, &spot, false);
    return true;
}

bool memory_tree_make_link(MemoryTree *tree, const char *path, const char *target, GError **error) {
    g_auto(Spot) spot = { 0 };
    if (!spot_open(tree, "make link", path, &spot, error))
        return false;
    if (target[0] == '\0')
        return set_io_error(error, ENOENT, "make link '%s' -> ''", path);
    if (spot_holds(&spot, FILE_DIRECTORY))
        return refuse_directory("make link", path, error);
    FileInfo info = new_info(tree, &spot, FILE_SYMLINK, 0777);
    info.size = strlen(target);
    spot_put(tree, &spot, info)->target = g_strdup(target);
    tree_changed(tree, &spot, true);
    return true;
}

static bool directory_is_empty(MemoryTree *tree, const Spot *spot, const char *path,
                               GError **error) {
    g_autoptr(GPtrArray) names = node_names(tree, spot->node, spot_path(spot), error);
    if (names == NULL)
        return false;
    return names->len == 0 || set_io_error(error, ENOTEMPTY, "remove '%s'", path);
}

/* The kernel removes by name, and these are none. */
static bool ends_in_dots(const char *path) {
    g_autofree char *name = g_path_get_basename(path);
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static bool open_to_remove(MemoryTree *tree, const char *path, Spot *ret_spot, GError **error) {
    if (!spot_open(tree, "remove", path, ret_spot, error))
        return false;
    if (ret_spot->state == SPOT_ABSENT)
        return set_io_error(error, ENOENT, "remove '%s'", path);
    if (ret_spot->parent == NULL)
        return set_io_error(error, EBUSY, "remove '%s'", path);
    return !ends_in_dots(path) || set_io_error(error, EINVAL, "remove '%s'", path);
}

static void spot_remove(MemoryTree *tree, Spot *spot) {
    bool link = spot_holds(spot, FILE_SYMLINK);
    touch_parent(tree, spot, tree_time(tree));
    if (base_may_show(tree, spot) || spot->parent->info.type == FILE_UNKNOWN) {
        MemoryNode *node = spot_own(spot);
        node_empty(node);
        node->state = NODE_GONE;
        node->covers = true;
    } else {
        g_hash_table_remove(spot->parent->children, spot_name(spot));
        spot->node = NULL;
    }
    tree_changed(tree, spot, link);
}

bool memory_tree_remove(MemoryTree *tree, const char *path, GError **error) {
    g_auto(Spot) spot = { 0 };
    if (!open_to_remove(tree, path, &spot, error) ||
        (spot_holds(&spot, FILE_DIRECTORY) && !directory_is_empty(tree, &spot, path, error)))
        return false;
    spot_remove(tree, &spot);
    return true;
}

/* Says of everything that was in the directory at path that it is gone. */
static void tell_removed(MemoryTree *tree, GHashTable *children, const char *path) {
    if (tree->changed == NULL || children == NULL)
        return;
    GHashTableIter iter;
    void *name, *value;
    g_hash_table_iter_init(&iter, children);
    while (g_hash_table_iter_next(&iter, &name, &value)) {
        const MemoryNode *child = value;
        g_autofree char *below = g_strconcat(path, "/", name, NULL);
        tell_removed(tree, child->children, below);
        tree->changed(tree->changed_data, below, child->target != NULL);
    }
}

bool memory_tree_remove_all(MemoryTree *tree, const char *path, GError **error) {
    g_auto(Spot) spot = { 0 };
    if (!open_to_remove(tree, path, &spot, error))
        return false;
    g_autoptr(GHashTable) children =
        spot.node != NULL ? g_steal_pointer(&spot.node->children) : NULL;
    spot_remove(tree, &spot);
    tell_removed(tree, children, spot_path(&spot));
    return true;
}

bool memory_tree_set_attributes(MemoryTree *tree, const char *path,
                                const FileAttributes *attributes, GError **error) {
    g_auto(Spot) spot = { 0 };
    if (!spot_open(tree, "set attributes of", path, &spot, error))
        return false;
    if (spot.state == SPOT_ABSENT)
        return set_io_error(error, ENOENT, "set attributes of '%s'", path);
    FileInfo info = spot.info;
    if (info.type == FILE_SYMLINK && (attributes->set & FILE_SET_MODE) != 0 &&
        (attributes->mode & 07777) != info.mode) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_EXISTS,
                    "set attributes of '%s': it is a link, and links have no mode", path);
        return false;
    }
    if (!attributes_allowed(tree, "set attributes of", path, &info, attributes, error))
        return false;
    info_set(&info, attributes);
    info.ctime_ns = tree_time(tree);
    spot_own(&spot)->info = info;
    tree_changed(tree, &spot, false);
    return true;
}

void memory_tree_mark_unknown(MemoryTree *tree, const char *path) {
    g_autofree char *real_path = memory_tree_resolve(tree, path, false);
    g_auto(GStrv) names = g_strsplit(real_path, "/", -1);
    g_auto(Spot) spot = { .path = g_string_new(NULL) };
    MemoryNode *at = tree->root;
    for (char **name = names; *name != NULL; name++) {
        if (**name == '\0')
            continue;
        g_string_append_printf(spot.path, "/%s", *name);
        spot_step(tree, &spot, at);
        bool last = name[1] == NULL;
        if (!last && spot_load(tree, &spot, NULL) && spot_holds(&spot, FILE_DIRECTORY)) {
            at = spot.node;
            continue;
        }
        at = spot_own(&spot);
        g_clear_pointer(&at->content, g_bytes_unref);
        g_clear_pointer(&at->target, g_free);
        at->info = (FileInfo){ .type = FILE_UNKNOWN };
    }
    if (spot.node != NULL)
        tree_changed(tree, &spot, true);
}
