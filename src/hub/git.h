#pragma once
/*
 * A branch of a git repository elsewhere, read with the git of this machine: for workers, for all
 * of it blocks. Nothing of a repository is run or written out as files: no hooks, no filters, no
 * submodules, no checkout. What is fetched stays in a mirror of ours, which may be removed at any
 * time, and is made anew when it is damaged.
 */
#include "bundle/bundle.h"
#include "loop/cancel.h"

#define GIT_COMMIT_SIZE 65            /* bytes: 64 digits at most, and a zero */
#define GIT_PACK_MAX    (1ull << 30)  /* bytes of one file of a mirror */
#define GIT_LIST_MAX    (16ull << 20) /* bytes of the list of a tree */

typedef struct {
    const char *url; /* as it was given, with its credentials */
    const char *branch;
    const char *directory; /* in the tree; "": all of it */
    const char *mirror;    /* directory of ours */
    Cancel *cancel;        /* also its deadline */
} GitSource;

typedef struct GitTree GitTree; /* of one commit: what is in the directory */

/* http, https, ssh (also user@host:path), git, file. */
bool git_check_url(const char *url, GError **error);
bool git_check_branch(const char *branch, GError **error);
bool git_check_directory(const char *directory, GError **error);
char *git_mask_url(const char *url); /* without a password; caller frees */

/* Asks the repository, and fetches nothing. */
bool git_tip(const GitSource *source, char ret_commit[GIT_COMMIT_SIZE], GError **error);
/* Brings the branch here; commit: one of it now, as git_tip() said. *ret_commit may be newer. */
bool git_fetch(const GitSource *source, const char *commit, char ret_commit[GIT_COMMIT_SIZE],
               GError **error);

/* Lists names and sizes alone. */
GitTree *git_tree_read(const GitSource *source, const char *commit, GError **error);
void git_tree_free(GitTree *tree); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GitTree, git_tree_free)
/* The file BUNDLE_STATEMENT; NULL without error: there is none. */
GBytes *git_tree_statement(const GitSource *source, const GitTree *tree, GError **error);
/* With the limits of bundles, which are checked before anything is read. */
Bundle *git_tree_bundle(const GitSource *source, const GitTree *tree, GError **error);
