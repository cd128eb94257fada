#pragma once
/*
 * memory-tree: a file tree in memory that behaves as a Linux file system does: links are resolved
 * as in a chroot, parents must exist, errors have the codes of the real host. A fake host consists
 * of one; an overlay keeps its predictions in one over a base host, which is asked for everything
 * the tree does not keep. The base's directories and links on the way to a path are asked for once
 * and remembered; the thing at the end of a path never is.
 *
 * Not thread-safe: whoever owns a tree locks it. Results own what they hold and outlive the lock.
 */
#include "host/host.h"

typedef struct MemoryTree MemoryTree;

MemoryTree *memory_tree_new(Host *base); /* base is borrowed; NULL: starts with an empty root */
void memory_tree_free(MemoryTree *tree); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MemoryTree, memory_tree_free)

/* False until something is kept that the base does not have: until then the base is right about
 * every path. Thread-safe, and the only call that is. */
bool memory_tree_is_touched(MemoryTree *tree);

/* Called after each change with the path that no link leads to; link: a link came or went, so other
 * paths may lead elsewhere now. */
typedef void (*MemoryTreeChanged)(void *data, const char *path, bool link);
void memory_tree_set_changed(MemoryTree *tree, MemoryTreeChanged changed, void *data);

/* Whose the new files are. Unless it is root, owners cannot be changed. */
void memory_tree_set_caller(MemoryTree *tree, uid_t uid, gid_t gid);

typedef enum {
    MEMORY_FAILED, /* error is set, also when nothing is there */
    MEMORY_HERE,   /* the view says what is there */
    MEMORY_BASE,   /* the base knows: ask it at view.path */
} MemoryAnswer;

typedef struct {
    char *path;     /* where it really is: no link leads there */
    FileInfo info;  /* MEMORY_HERE only */
    uint64_t stamp; /* count of changes of the tree when it was last changed; MEMORY_HERE only */
    GBytes
        *content; /* of a regular file; NULL: the base's content at path, only attributes changed */
    char *target; /* of a link */
} MemoryView;

void memory_view_clear(MemoryView *view);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(MemoryView, memory_view_clear)

/* Refuse a view that is no regular file of at most limit bytes, or no link: errors as the calls
 * that verb names have them. */
bool memory_view_check(const MemoryView *view, const char *verb, const char *path, size_t limit,
                       GError **error);
bool memory_view_check_link(const MemoryView *view, const char *path, GError **error);

/* What is at path; follow: at the end of links there. verb starts error messages. */
MemoryAnswer memory_tree_look(MemoryTree *tree, const char *verb, const char *path, bool follow,
                              MemoryView *ret_view, GError **error);

bool memory_tree_exists(MemoryTree *tree, const char *path); /* here or in the base; no links */

/* Sorted names. When the base's directory shows unchanged: NULL without error, and *ret_base_path
 * (caller frees) is where to ask it. */
char **memory_tree_list(MemoryTree *tree, const char *path, char **ret_base_path, GError **error);

/* path with its links resolved as far as it exists; always succeeds. Caller frees. */
char *memory_tree_resolve(MemoryTree *tree, const char *path, bool follow);

/* The source of a mount as the kernel sees it: of a directory that is bound, its place without
 * links. Caller frees. */
char *memory_tree_mount_source(MemoryTree *tree, const MountRequest *request);

uint64_t memory_tree_stamp(const MemoryTree *tree); /* number of changes so far */
/* The stamp of the latest change kept at path or below it; 0: none. */
uint64_t memory_tree_newest(MemoryTree *tree, const char *path);

bool memory_tree_write(MemoryTree *tree, const char *path, GBytes *content,
                       const FileAttributes *attributes, GError **error);
bool memory_tree_make_directory(MemoryTree *tree, const char *path,
                                const FileAttributes *attributes, GError **error);
bool memory_tree_make_link(MemoryTree *tree, const char *path, const char *target, GError **error);
bool memory_tree_remove(MemoryTree *tree, const char *path, GError **error);
bool memory_tree_remove_all(MemoryTree *tree, const char *path, GError **error); /* a whole tree */
bool memory_tree_set_attributes(MemoryTree *tree, const char *path,
                                const FileAttributes *attributes, GError **error);

/* From now on path, and whatever is missing above it, is FILE_UNKNOWN until changed again. */
void memory_tree_mark_unknown(MemoryTree *tree, const char *path);
