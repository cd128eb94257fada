#pragma once
/*
 * The bundles that a host keeps on its disk, so that it can go on without anybody: the last one
 * that was good, the one before it, and the newest. Nothing there is trusted: statement, signature
 * and digest are verified each time it is opened and loaded.
 *
 * record-12.signed and record-12.bundle, for owner root alone; `good` names the good records, the
 * newest first; `last` is the statement of the newest record ever accepted, so that no older one is
 * taken again.
 *
 * Going back, as a rollout that fails asks for, needs no new signature, so it is bounded: only to
 * the good record directly before the newest, of the bytes that are kept here, and once. `good`
 * then ends with "back 12": that record was left and is not taken again; `last` stays. Only a newer
 * record, which somebody signs, moves on, and then one step back is possible again. So whoever has
 * the hub and no key can take one step back to what ran here, and no more.
 */
#include "bundle/sign-statement.h"

typedef struct Keep Keep;

/* Makes the directory when it is not there. A damaged `last` is an error, with what to do: without
 * it an old deploy could come back. */
Keep *keep_open(const char *directory, KeyList *keys, GError **error);
void keep_free(Keep *keep); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Keep, keep_free)
void keep_set_keys(Keep *keep, KeyList *keys); /* a newer list */
const Statement *keep_last(const Keep *keep);  /* NULL: nothing was ever accepted */

/* Verifies a deploy and what it deploys, and keeps both, durably. Refused for any reason, nothing
 * of it is kept. The same record again is fine. */
Bundle *keep_accept(Keep *keep, GBytes *signed_text, GBytes *packed, GError **error);
/* The host converged with this record, which is kept: it is what a start goes on with. */
bool keep_set_good(Keep *keep, uint64_t record, GError **error);
/* Takes up record again, from what is kept here: the good one directly before the newest, if that
 * is bundle digest. The same again is fine. */
Bundle *keep_go_back(Keep *keep, uint64_t record, const char *digest, Statement *ret_statement,
                     GError **error);
uint64_t keep_left(const Keep *keep); /* the record that was gone back from; 0: none was */
/* The last good one, or when it is not what was accepted, the one before; NULL: there is none.
 * problems (of GError): what is wrong with those that were passed over. */
Bundle *keep_load(Keep *keep, Statement *ret_statement, GPtrArray *problems);
