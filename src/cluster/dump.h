#pragma once
/*
 * Copies of what a store has: into a file, and from a file or another store into an empty one.
 *
 * A copy is of one revision. It has keys and values. It has no history, and no revisions: the keys
 * get new ones where they go, so whoever watched or compares revisions has to read anew. Keys under
 * a lease are what somebody who is there says of himself: they are not in a file, as he says it
 * again when his lease is found gone; from store to store they go with their leases, where these
 * can keep their numbers. What is below CLUSTER_ROOT belongs to a cluster and not to its contents.
 *
 * These wait for the store: not inside a callback.
 */
#include "base/digest.h"
#include "state/store.h"

typedef struct {
    int64_t revision; /* that it is of */
    uint64_t keys, bytes;
    uint64_t leased;              /* keys with a lease: not counted in the others */
    char digest[DIGEST_HEX_SIZE]; /* of all keys and values in their order */
} DumpTotals;

/* Durable, 0600, there as a whole or not at all. */
bool dump_save(Store *store, const char *path, DumpTotals *ret_totals, GError **error);
/* Whether the file is as it was written. */
bool dump_check(const char *path, DumpTotals *ret_totals, GError **error);

/* Puts a copy into target, which must be empty, or have a part of the same copy; then reads it back
 * and compares. STEAD_ERROR_REFUSED: there is something else in it. Until dump_finish() the target
 * says that it is not whole. */
bool dump_fill_from_file(Store *target, const char *path, DumpTotals *ret_totals, GError **error);
bool dump_fill_from_store(Store *target, Store *source, DumpTotals *ret_totals, GError **error);
bool dump_finish(Store *target, GError **error);
/* STEAD_ERROR_REFUSED when a copy was begun and not finished. */
bool dump_check_whole(Store *store, GError **error);

/* --- snapshots in a directory: snapshot-TIME.stead */

/* The path of the next one. Caller frees; the directory is made. */
char *snapshots_next(const char *directory, GError **error);
void snapshots_prune(const char *directory, unsigned kept); /* the oldest go */
char *snapshots_newest(const char *directory);              /* path, or NULL; caller frees */
int64_t snapshots_newest_age(const char *directory, int64_t wall_now); /* us; -1: there is none */
