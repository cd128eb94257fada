#pragma once
/*
 * What a removal would take with it that nobody named: the one rule of all kinds. A plan tells how
 * much it is and what comes first; without `force = true` in the resource, nothing is done.
 */
#include "graph/kind.h"

/* Rows of Changes that also a removal shows: what goes with it, and what stays behind. */
#define LOSS_PROPERTY  "loses"
#define KEEPS_PROPERTY "keeps"

typedef struct {
    unsigned n_entries; /* files, links, directories */
    uint64_t bytes;     /* of the files */
    GString *names;     /* the first of them, as they are shown; NULL: none */
    unsigned n_names;
} Loss;

void loss_clear(Loss *loss);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Loss, loss_clear)

/* Counts the one entry at path; one that is not there counts nothing. directory: what it is in, as
 * it is shown; NULL: not shown. */
bool loss_add(Loss *loss, KindRun *run, const char *path, const char *directory, GError **error);
/* Counts everything in the directory, except what is in spared (set of paths relative to it, as
 * deep as they go; may be NULL). */
bool loss_add_inside(Loss *loss, KindRun *run, const char *directory, GHashTable *spared,
                     GError **error);

/* "12 entries, 34.1 kB (a, b/, c, ...)"; caller frees. */
char *loss_text(const Loss *loss);

/* True when nothing is lost, and under force, which is told in changes. Else the error is "<what>:
 * it still holds ...", with the remedy. */
bool loss_allow(const Loss *loss, bool force, const char *what, Changes *changes, GError **error);
