#pragma once
/* The parts of the kind file: what a resource asks for (file-spec.c), what is there and what
 * differs (file-look.c), making it so (file-apply.c), undoing it (file-reverse.c). Only file*.c
 * includes this. */
#include "kinds/file-tree.h"
#include "kinds/kinds.h"

enum {
    FILE_ROW_PATH,
    FILE_ROW_STATE,
    FILE_ROW_TYPE,
    FILE_ROW_CONTENT,
    FILE_ROW_SOURCE,
    FILE_ROW_FRAGMENTS,
    FILE_ROW_TARGET,
    FILE_ROW_SYMLINK,
    FILE_ROW_OWNER,
    FILE_ROW_GROUP,
    FILE_ROW_MODE,
    FILE_ROW_RECURSE,
    FILE_ROW_PURGE,
    FILE_ROW_IGNORE,
    FILE_ROW_FORCE,
    FILE_ROW_REPLACE,
    FILE_ROW_VALIDATE,
    FILE_N_ROWS,
};

/* Kept of a directory: maps whose keys are the paths below it, and the parents above it, that we
 * made. */
#define FILE_KEPT_TREE    "tree"
#define FILE_KEPT_PARENTS "parents"
#define FILE_KEPT_SOURCE  "source" /* map: "digest" of the tree that was applied last */

typedef enum { FROM_NOTHING, FROM_TEXT, FROM_LOCAL, FROM_HOST, FROM_FRAGMENTS } FileOrigin;

/* A resource's parameters, decoded. Borrows from the resource. */
typedef struct {
    const Resource *resource;
    const char *path; /* without a trailing slash, except for "/" */
    bool absent;
    FileType type;      /* wanted: regular, directory or symlink */
    const char *target; /* of a link; NULL when unknown */
    FileOrigin from;    /* of a file's content, or a directory's entries (local and host only) */
    const char *source; /* FROM_LOCAL: path on this machine; FROM_HOST: on the host; no slash at the
                           end */
    const Value *owner, *group; /* NULL: not managed */
    bool recurse, purge, force;
    char **ignore;
    char *own_path, *own_source; /* behind path and source where they differ from the parameters */
} FileSpec;

void file_spec_init(FileSpec *spec, const Resource *resource);
void file_spec_clear(FileSpec *spec);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(FileSpec, file_spec_clear)
bool file_validate(const Resource *resource, GError **error);

const char *file_type_word(FileType type); /* "file", "directory", "link", "other" */
/* Full content a file shall have. The unknown (plan) is STEAD_ERROR_UNPREDICTABLE. */
GBytes *file_wanted_content(KindRun *run, const FileSpec *spec, GError **error);
/* Entries of the source of a directory. */
FileTree *file_wanted_tree(KindRun *run, const FileSpec *spec, GError **error);
bool file_uid(Host *host, const Value *name, uid_t *ret_uid, GError **error);
bool file_gid(Host *host, const Value *name, gid_t *ret_gid, GError **error);
mode_t file_wanted_mode(const FileSpec *spec); /* only when the resource has a mode */
/* Mode, owner and group the resource names; fails when a name is nobody's. */
bool file_wanted_attributes(KindRun *run, const FileSpec *spec, FileAttributes *ret_attributes,
                            GError **error);
/* How the entries of a directory are to be; reads owner and group, so it may fail. */
bool file_rules(KindRun *run, const FileSpec *spec, TreeRules *ret_rules, GError **error);

/* Steps below the directory, or NULL with error; *ret_tree (may be NULL) is what they copy from. */
bool file_has_tree(const KindRun *run, const FileSpec *spec);
GPtrArray *file_steps(KindRun *run, const FileSpec *spec, const State *actual, FileTree **ret_tree,
                      GError **error);

bool file_observe(KindRun *run, State *actual, GError **error);
bool file_diff(KindRun *run, const State *actual, Changes *changes, GError **error);
bool file_settled(KindRun *run);
bool file_apply(KindRun *run, const State *actual, const Changes *changes, GError **error);
bool file_preimage(KindRun *run, State *before, GError **error);
Resource *file_reverse(const Resource *resource, const State *before, OnRemove how, GError **error);
bool file_clean(KindRun *run, GError **error);
