#include "host/memory-tree.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "host/memory-tree-private.h"
#include "host/mounts.h"

#define LINKS_MAX 40 /* as the kernel's MAXSYMLINKS */
#define START_TIME_SECONDS                                                                         \
    1704067200 /* 2024-01-01: where the clock of a tree without base starts */

/* --- nodes --- */

MemoryNode *node_new(MemoryNode *parent, NodeState state) {
    MemoryNode *node = g_new0(MemoryNode, 1);
    node->parent = parent;
    node->state = state;
    return node;
}

void node_free(MemoryNode *node) {
    if (node == NULL)
        return;
    g_clear_pointer(&node->children, g_hash_table_unref);
    g_clear_pointer(&node->content, g_bytes_unref);
    g_free(node->target);
    g_free(node);
}

static void node_free_void(void *node) {
    node_free(node);
}

MemoryNode *node_child(const MemoryNode *node, const char *name) {
    return node->children != NULL ? g_hash_table_lookup(node->children, name) : NULL;
}

void node_adopt(MemoryNode *parent, const char *name, MemoryNode *child) {
    if (parent->children == NULL)
        parent->children = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, node_free_void);
    child->parent = parent;
    g_hash_table_replace(parent->children, g_strdup(name), child);
}

static bool node_has_changes_below(const MemoryNode *node) {
    if (node->children == NULL)
        return false;
    GHashTableIter iter;
    void *child;
    g_hash_table_iter_init(&iter, node->children);
    while (g_hash_table_iter_next(&iter, NULL, &child))
        if (((MemoryNode *)child)->state != NODE_REMEMBERED)
            return true;
    return false;
}

GPtrArray *node_names(MemoryTree *tree, const MemoryNode *node, const char *path, GError **error) {
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    if (tree->base != NULL && !node->covers) {
        g_autofree char **below = host_list(tree->base, path, error);
        if (below == NULL)
            return NULL;
        for (char **name = below; *name != NULL; name++) {
            const MemoryNode *child = node_child(node, *name);
            if (child == NULL || child->state == NODE_REMEMBERED)
                g_ptr_array_add(names, *name);
            else
                g_free(*name);
        }
    }
    if (node->children == NULL)
        return g_steal_pointer(&names);
    GHashTableIter iter;
    void *name, *child;
    g_hash_table_iter_init(&iter, node->children);
    while (g_hash_table_iter_next(&iter, &name, &child))
        if (((MemoryNode *)child)->state == NODE_OWN)
            g_ptr_array_add(names, g_strdup(name));
    return g_steal_pointer(&names);
}

/* --- the tree --- */

MemoryTree *memory_tree_new(Host *base) {
    MemoryTree *tree = g_new0(MemoryTree, 1);
    tree->base = base;
    tree->privileged = true;
    tree->root = node_new(NULL, base != NULL ? NODE_REMEMBERED : NODE_OWN);
    tree->root->info = (FileInfo){ .type = FILE_DIRECTORY, .mode = 0755, .inode = 1 };
    tree->last_inode = 1;
    tree->last_time_ns = START_TIME_SECONDS * G_GINT64_CONSTANT(1000000000);
    if (base != NULL) {
        (void)host_stat(base, "/", &tree->root->info, NULL); /* each later call would say why */
        tree->uid = geteuid();
        tree->gid = getegid();
    } else {
        tree->root->info.mtime_ns = tree->root->info.ctime_ns = tree->last_time_ns;
    }
    return tree;
}

void memory_tree_free(MemoryTree *tree) {
    if (tree == NULL)
        return;
    node_free(tree->root);
    g_free(tree);
}

bool memory_tree_is_touched(MemoryTree *tree) {
    return g_atomic_int_get(&tree->touched) != 0;
}

void memory_tree_set_changed(MemoryTree *tree, MemoryTreeChanged changed, void *data) {
    tree->changed = changed;
    tree->changed_data = data;
}

void memory_tree_set_caller(MemoryTree *tree, uid_t uid, gid_t gid) {
    tree->uid = uid;
    tree->gid = gid;
    tree->privileged = uid == 0;
}

char *memory_tree_mount_source(MemoryTree *tree, const MountRequest *request) {
    bool bind = !request->remount && mount_options_bind(request->options);
    return bind ? memory_tree_resolve(tree, request->source, true) : g_strdup(request->source);
}

uint64_t memory_tree_stamp(const MemoryTree *tree) {
    return tree->stamp;
}

/* --- finding --- */

void spot_clear(Spot *spot) {
    if (spot->path != NULL)
        g_string_free(spot->path, TRUE);
    *spot = (Spot){ 0 };
}

const char *spot_path(const Spot *spot) {
    return spot->path->len > 0 ? spot->path->str : "/";
}

const char *spot_name(const Spot *spot) {
    return strrchr(spot->path->str, '/') + 1;
}

static void spot_at_directory(Spot *spot, MemoryNode *node) {
    spot->node = node;
    spot->parent = node->parent;
    spot->state = node->state == NODE_OWN ? SPOT_OWN : SPOT_BASE;
    spot->info = node->info;
    spot->has_info = true;
}

void spot_step(MemoryTree *tree, Spot *spot, MemoryNode *at) {
    spot->parent = at;
    spot->node = node_child(at, spot_name(spot));
    spot->has_info = spot->node != NULL && spot->node->state != NODE_GONE;
    if (spot->has_info)
        spot->info = spot->node->info;
    if (spot->node != NULL)
        spot->state = spot->node->state == NODE_OWN    ? SPOT_OWN
                      : spot->node->state == NODE_GONE ? SPOT_ABSENT
                                                       : SPOT_BASE;
    else if (at->info.type == FILE_UNKNOWN)
        spot->state = SPOT_UNKNOWN;
    else
        spot->state = tree->base != NULL && !at->covers ? SPOT_BASE : SPOT_ABSENT;
}

/* Links and directories of the base are remembered; other things change too often for that. */
static bool spot_remember(MemoryTree *tree, Spot *spot, GError **error) {
    if (spot->info.type != FILE_DIRECTORY && spot->info.type != FILE_SYMLINK &&
        spot->info.type != FILE_UNKNOWN)
        return true;
    g_autofree char *target = NULL;
    if (spot->info.type == FILE_SYMLINK) {
        target = host_read_link(tree->base, spot->path->str, error);
        if (target == NULL)
            return false;
    }
    spot->node = node_new(spot->parent, NODE_REMEMBERED);
    spot->node->info = spot->info;
    spot->node->target = g_steal_pointer(&target);
    node_adopt(spot->parent, spot_name(spot), spot->node);
    return true;
}

bool spot_load(MemoryTree *tree, Spot *spot, GError **error) {
    if (spot->has_info || spot->state == SPOT_ABSENT)
        return true;
    if (spot->state == SPOT_UNKNOWN) {
        spot->info = (FileInfo){ .type = FILE_UNKNOWN };
        spot->has_info = true;
        return true;
    }
    g_autoptr(GError) problem = NULL;
    if (!host_stat(tree->base, spot->path->str, &spot->info, &problem)) {
        if (!g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND)) {
            g_propagate_error(error, g_steal_pointer(&problem));
            return false;
        }
        spot->state = SPOT_ABSENT;
        return true;
    }
    spot->has_info = true;
    return spot_remember(tree, spot, error);
}

/* The way from the root along a path; rest is what is still to go. */
typedef struct {
    MemoryTree *tree;
    MemoryNode *at;
    const char *rest;
    char *spliced; /* owns rest once a link was followed */
    unsigned links;
} Walk;

static void walk_clear(Walk *walk) {
    g_free(walk->spliced);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Walk, walk_clear)

static void path_pop(GString *path) {
    char *slash = strrchr(path->str, '/');
    if (slash != NULL)
        g_string_truncate(path, slash - path->str);
}

/* Takes the next name off rest; 0 when only slashes are left. */
static size_t walk_next(Walk *walk, const char **ret_name) {
    walk->rest += strspn(walk->rest, "/");
    *ret_name = walk->rest;
    size_t size = strcspn(walk->rest, "/");
    walk->rest += size;
    return size;
}

/* True for "." and "..", which move without looking anything up. */
static bool walk_dots(Walk *walk, Spot *spot, const char *name, size_t size) {
    if (size == 2 && name[0] == '.' && name[1] == '.') {
        if (walk->at->parent != NULL)
            walk->at = walk->at->parent;
        path_pop(spot->path);
        return true;
    }
    return size == 1 && name[0] == '.';
}

static int walk_follow(Walk *walk, Spot *spot) {
    if (++walk->links > LINKS_MAX)
        return ELOOP;
    const char *target = spot->node->target;
    if (target[0] == '/') {
        walk->at = walk->tree->root;
        g_string_truncate(spot->path, 0);
    } else {
        path_pop(spot->path);
    }
    char *spliced = g_strconcat(target, walk->rest, NULL);
    g_free(walk->spliced);
    walk->rest = walk->spliced = spliced;
    return 0;
}

/* Below what is unknown everything may exist: a node is made to carry what is kept there. */
static MemoryNode *unknown_directory(Spot *spot) {
    MemoryNode *node = node_new(spot->parent, NODE_OWN);
    node->info.type = FILE_UNKNOWN;
    node_adopt(spot->parent, spot_name(spot), node);
    return node;
}

static int walk_enter(Walk *walk, Spot *spot) {
    if (spot->state == SPOT_ABSENT)
        return ENOENT;
    if (spot->state == SPOT_UNKNOWN)
        walk->at = unknown_directory(spot);
    else if (spot->info.type == FILE_DIRECTORY || spot->info.type == FILE_UNKNOWN)
        walk->at = spot->node;
    else
        return ENOTDIR;
    return 0;
}

/* Returns 0, an errno value, or -1 with error set. */
static int walk_run(Walk *walk, bool follow, Spot *spot, GError **error) {
    for (;;) {
        const char *name;
        size_t size = walk_next(walk, &name);
        if (size > NAME_MAX)
            return ENAMETOOLONG;
        if (size == 0) {
            spot_at_directory(spot, walk->at);
            return 0;
        }
        if (walk_dots(walk, spot, name, size))
            continue;
        bool last = walk->rest[strspn(walk->rest, "/")] == '\0';
        g_string_append_c(spot->path, '/');
        g_string_append_len(spot->path, name, size);
        spot_step(walk->tree, spot, walk->at);
        if (last && !follow)
            return 0;
        if (!spot_load(walk->tree, spot, error))
            return -1;
        bool link = spot->has_info && spot->info.type == FILE_SYMLINK;
        if (last && !link)
            return 0;
        int problem = !link                  ? walk_enter(walk, spot)
                      : host_links_refused() ? ELOOP
                                             : walk_follow(walk, spot);
        if (problem != 0)
            return problem;
    }
}

bool spot_find(MemoryTree *tree, const char *verb, const char *path, bool follow, Spot *ret_spot,
               GError **error) {
    g_auto(Walk) walk = { .tree = tree, .at = tree->root, .rest = path };
    g_auto(Spot) spot = { .path = g_string_sized_new(128) };
    int problem = strlen(path) < PATH_MAX ? walk_run(&walk, follow, &spot, error) : ENAMETOOLONG;
    if (problem > 0)
        set_io_error(error, problem, "%s '%s'", verb, path);
    if (problem != 0)
        return false;
    *ret_spot = spot;
    spot = (Spot){ 0 };
    return true;
}

char *memory_tree_resolve(MemoryTree *tree, const char *path, bool follow) {
    g_auto(Walk) walk = { .tree = tree, .at = tree->root, .rest = path };
    g_auto(Spot) spot = { .path = g_string_sized_new(128) };
    (void)walk_run(&walk, follow, &spot, NULL); /* stops where the path ends: that is the answer */
    const char *name;
    for (size_t size; (size = walk_next(&walk, &name)) > 0;) {
        if (size == 2 && strncmp(name, "..", 2) == 0) {
            path_pop(spot.path);
        } else if (size != 1 || name[0] != '.') {
            g_string_append_c(spot.path, '/');
            g_string_append_len(spot.path, name, size);
        }
    }
    return g_strdup(spot_path(&spot));
}

/* --- looking --- */

void memory_view_clear(MemoryView *view) {
    g_free(view->path);
    g_free(view->target);
    g_clear_pointer(&view->content, g_bytes_unref);
    *view = (MemoryView){ 0 };
}

static bool refuse_unknown(const char *verb, const char *path, GError **error) {
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_UNPREDICTABLE,
                "%s '%s': a command that a plan does not run decides what is there", verb, path);
    return false;
}

bool memory_view_check(const MemoryView *view, const char *verb, const char *path, size_t limit,
                       GError **error) {
    if (view->info.type == FILE_UNKNOWN)
        return refuse_unknown(verb, path, error);
    if (view->info.type == FILE_REGULAR && view->info.size <= limit)
        return true;
    if (view->info.type == FILE_REGULAR)
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_LIMIT, "%s '%s': it is larger than %zu bytes",
                    verb, path, limit);
    else
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_EXISTS, "%s '%s': it is %s, not a file", verb,
                    path,
                    view->info.type == FILE_DIRECTORY ? "a directory" : "a device, pipe or socket");
    return false;
}

bool memory_view_check_link(const MemoryView *view, const char *path, GError **error) {
    if (view->info.type == FILE_UNKNOWN)
        return refuse_unknown("read link", path, error);
    if (view->info.type == FILE_SYMLINK)
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_EXISTS, "read link '%s': it is not a link", path);
    return false;
}

static void view_node(MemoryView *view, const MemoryNode *node) {
    view->info = node->info;
    view->stamp = node->stamp;
    view->content = node->content != NULL ? g_bytes_ref(node->content) : NULL;
    view->target = g_strdup(node->target);
}

MemoryAnswer memory_tree_look(MemoryTree *tree, const char *verb, const char *path, bool follow,
                              MemoryView *ret_view, GError **error) {
    g_auto(Spot) spot = { 0 };
    if (!spot_find(tree, verb, path, follow, &spot, error))
        return MEMORY_FAILED;
    if (spot.state == SPOT_ABSENT) {
        set_io_error(error, ENOENT, "%s '%s'", verb, path);
        return MEMORY_FAILED;
    }
    *ret_view = (MemoryView){ .path = g_strdup(spot_path(&spot)) };
    if (spot.state == SPOT_BASE)
        return MEMORY_BASE;
    if (spot.state == SPOT_OWN)
        view_node(ret_view, spot.node);
    else
        ret_view->info.type = FILE_UNKNOWN;
    return MEMORY_HERE;
}

bool memory_tree_exists(MemoryTree *tree, const char *path) {
    g_auto(Spot) spot = { 0 };
    return spot_find(tree, "look at", path, false, &spot, NULL) && spot_load(tree, &spot, NULL) &&
           spot.state != SPOT_ABSENT;
}

static uint64_t node_newest(const MemoryNode *node) {
    uint64_t newest = node->stamp;
    if (node->children == NULL)
        return newest;
    GHashTableIter iter;
    void *child;
    g_hash_table_iter_init(&iter, node->children);
    while (g_hash_table_iter_next(&iter, NULL, &child))
        newest = MAX(newest, node_newest(child));
    return newest;
}

uint64_t memory_tree_newest(MemoryTree *tree, const char *path) {
    g_auto(Spot) spot = { 0 };
    if (!spot_find(tree, "look at", path, false, &spot, NULL) || spot.node == NULL)
        return 0;
    return node_newest(spot.node);
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

char **memory_tree_list(MemoryTree *tree, const char *path, char **ret_base_path, GError **error) {
    g_auto(Spot) spot = { 0 };
    *ret_base_path = NULL;
    if (!spot_find(tree, "list", path, true, &spot, error))
        return NULL;
    if (spot.state == SPOT_ABSENT || !spot.has_info) {
        set_io_error(error, ENOENT, "list '%s'", path);
        return NULL;
    }
    if (spot.info.type == FILE_UNKNOWN) {
        refuse_unknown("list", path, error);
        return NULL;
    }
    if (spot.info.type != FILE_DIRECTORY) {
        set_io_error(error, ENOTDIR, "list '%s'", path);
        return NULL;
    }
    if (tree->base != NULL && !spot.node->covers && !node_has_changes_below(spot.node)) {
        *ret_base_path = g_strdup(spot_path(&spot));
        return NULL;
    }
    g_autoptr(GPtrArray) names = node_names(tree, spot.node, spot_path(&spot), error);
    if (names == NULL)
        return NULL;
    g_ptr_array_sort(names, compare_names);
    g_ptr_array_add(names, NULL);
    return (char **)g_ptr_array_free(g_steal_pointer(&names), FALSE);
}
