#pragma once
/*
 * Trees: what a source directory or an archive holds, compared with a directory of a host and
 * copied onto it. Used by the kinds file and tar.
 *
 * Paths in a tree are relative, without a slash at either end. Links are entries of their own and
 * are never followed.
 */
#include <glib.h>

#include "graph/kind.h"
#include "kinds/loss.h"

#define TREE_ENTRIES_MAX 500000u /* of one source, and of one directory that is purged */

typedef struct {
    char *path;
    FileType type;   /* regular, directory or symlink */
    mode_t mode;     /* what it gets when the rules name none */
    char *target;    /* of a link */
    GBytes *content; /* of a regular file; NULL: is read from `from` when needed */
    char *from;
    char digest[DIGEST_HEX_SIZE]; /* of a regular file */
    FileInfo info;                /* as it was found; zero for those of archives */
} TreeEntry;

typedef enum { TREE_IN_MEMORY, TREE_ON_HOST, TREE_LOCAL } TreeHome;

typedef struct {
    TreeHome home;
    GHashTable *by_path; /* path -> TreeEntry, both owned by entries */
    GPtrArray
        *entries; /* of TreeEntry, in byte order of path after file_tree_sort(): parents first */
} FileTree;

FileTree *file_tree_new(TreeHome home);
void file_tree_free(FileTree *tree); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FileTree, file_tree_free)
/* Adds an entry of path (copied), replacing an earlier one; owned by the tree. */
TreeEntry *file_tree_add(FileTree *tree, const char *path, FileType type, mode_t mode);
void file_tree_sort(FileTree *tree);

/* What is below directory, on the host or on the machine where stead runs (beside the
 * configuration). Sockets, devices and pipes are refused. Files get mode 0644, or 0755 where their
 * owner may execute them; directories 0755. ignore: shell patterns, tried on the relative path and
 * on its last part. */
FileTree *file_tree_of_host(KindRun *run, const char *directory, char *const *ignore,
                            GError **error);
FileTree *file_tree_of_local(KindRun *run, const char *directory, char *const *ignore,
                             GError **error);
GBytes *file_tree_content(KindRun *run, const FileTree *tree, const TreeEntry *entry,
                          GError **error);
bool file_tree_ignores(char *const *ignore, const char *path);

/* How a directory of the host shall follow a tree. */
typedef struct {
    FileAttributes
        attributes;  /* for all entries; its mode is for files, see file_tree_directory_mode() */
    bool everything; /* attributes also for what is not in the tree */
    bool purge;      /* what is neither in the tree nor claimed by a resource is removed */
    bool fresh;      /* root does not exist, or gives way to a new directory */
    bool force;      /* a directory with entries may give way to a file */
    char *const *ignore; /* never looked at; NULL: none */
    const Value *owned;  /* map of paths made by earlier rounds; NULL: none */
} TreeRules;

/* Adds search permission where there is read permission, as chmod's X does. */
mode_t file_tree_directory_mode(mode_t mode);

typedef enum { TREE_REMOVE, TREE_MAKE, TREE_REPLACE, TREE_WRITE, TREE_ATTRIBUTES } TreeAction;

typedef struct {
    TreeAction action;
    char *path;
    const TreeEntry *entry;    /* NULL for removals and foreign entries */
    FileType before;           /* meaningless for TREE_MAKE */
    FileAttributes attributes; /* what must be set besides */
    char *was, *becomes;       /* in words, for the change; NULL: absent */
    bool uncertain;
} TreeStep;

/* What differs below root, in the order in which file_tree_apply() works. Array of TreeStep. tree
 * may be NULL: nothing is copied. */
GPtrArray *file_tree_compare(KindRun *run, const FileTree *tree, const char *root,
                             const TreeRules *rules, GError **error);
/* Adds one change, "tree", if there are steps: maps of path to words; and texts that differ. */
void file_tree_describe(KindRun *run, const FileTree *tree, const char *root,
                        const GPtrArray *steps, Changes *changes);
bool file_tree_apply(KindRun *run, const FileTree *tree, const char *root, const GPtrArray *steps,
                     GError **error);
/* Of everything that the tree says. */
void file_tree_digest(const FileTree *tree, char ret_hex[DIGEST_HEX_SIZE]);
/* The map of paths that are there because of us, once steps are done. */
Value *file_tree_owned(const FileTree *tree, const Value *owned, const GPtrArray *steps);
/* What root will still hold after the removals of steps. */
bool file_tree_loss(KindRun *run, const char *root, const GPtrArray *steps, Loss *loss,
                    GError **error);
