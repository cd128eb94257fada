#pragma once
/* What the files of dumps share. */
#include <stdio.h>

#include "cluster/dump.h"

/* lease: 0 for none; a file has only keys without one. */
typedef bool (*DumpVisit)(void *data, GBytes *key, GBytes *value, int64_t lease, GError **error);

/* All entries in the order of their keys; visit may be NULL. */
bool dump_visit_store(Store *store, DumpVisit visit, void *data, DumpTotals *ret_totals,
                      GError **error);
bool dump_visit_file(const char *path, DumpVisit visit, void *data, DumpTotals *ret_totals,
                     GError **error);
/* path: for errors */
bool dump_visit_stream(FILE *file, const char *path, DumpVisit visit, void *data,
                       DumpTotals *ret_totals, GError **error);

void dump_digest_entry(Digest *digest, GBytes *key, GBytes *value);
