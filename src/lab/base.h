#pragma once
/*
 * Bases: trees of Debian that containers start from, built by mmdebstrap once for each set of
 * packages: DATA/bases/RELEASE-DIGEST. A tree with that name is whole: it is built under another
 * one, written to disk, and renamed. Several builders of one tree take turns by a lock.
 */
#include <glib.h>

#include "lab/lab.h"

/* A line of progress; is_detail: what mmdebstrap says. */
typedef void (*BaseProgress)(void *data, bool is_detail, const char *text);

/* The tree that the host starts from, built when it is not there. Caller frees. */
char *base_provide(const char *data, const Lab *lab, const LabHost *host, BaseProgress progress,
                   void *progress_data, GError **error);
/* Where it is, or will be; caller frees. */
char *base_path(const char *data, const Lab *lab, const LabHost *host);
/* Removes what builders that were killed have left; those that work are let alone. Returns how many
 * trees it removed; false with error. */
bool base_sweep(const char *data, unsigned *ret_removed, GError **error);
