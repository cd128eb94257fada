#pragma once
/*
 * A channel is a branch of a git repository that the hub which leads follows: each commit that
 * somebody with a key of the list has signed, in the file BUNDLE_STATEMENT of its tree, is deployed
 * as that statement says. The hub signs nothing.
 *
 * In the store, as stead/1/fleet/channel/NAME:
 *
 *   {"repository", "branch", "directory", "interval", "to", "strategy", "by", "created": settings
 *    "check": ID                       somebody wants it to be looked at now
 *    "checked": ID                     it was, for whoever wanted that
 *    "commit", "outcome", "why", "record", "since", "basis": what came of the commit seen last;
 *                                      basis: the newest deploy and the keys it was judged by
 *    "problem", "problem_since"}       why the repository cannot be read, while that is so
 *
 * This part is what a channel may be and what is to be done with a commit; channels.c does it.
 */
#include "base/value.h"
#include "bundle/sign-statement.h"

#define CHANNEL_INTERVAL_S   60
#define CHANNEL_INTERVAL_MAX 86400

typedef enum {
    VERDICT_DEPLOY,   /* as its statement says */
    VERDICT_DEPLOYED, /* that was done */
    VERDICT_CURRENT,  /* the newest deploy has this bundle: there is nothing to do */
    VERDICT_UNSIGNED, /* no statement */
    VERDICT_REFUSED,  /* its statement is damaged, of a key that does not count, of another tree */
    VERDICT_STALE,    /* its number or what it was made after is not what comes next */
} Verdict;

const char *verdict_name(Verdict verdict);

typedef struct {
    GBytes *statement;   /* NULL: it has none */
    const char *digest;  /* of its tree; NULL: not known yet, so the verdict is of the rest */
    const KeyList *keys; /* NULL: the fleet has none */
    uint64_t newest;     /* the newest deploy; 0: none */
    const char *newest_digest;
} ChannelCommit;

/* *ret_why: a sentence with the remedy, NULL for VERDICT_DEPLOY; *ret_read is set for that and for
 * VERDICT_CURRENT, and else cleared. */
Verdict channel_judge(const ChannelCommit *commit, Statement *ret_read, char **ret_why);

/* Settings as somebody wishes them ({"name", "repository", "branch", ...}), checked and complete.
 */
Value *channel_settings(const Value *wish, GError **error);
/* As people see it: without passwords. */
Value *channel_show(const char *name, const Value *channel);
/* Whether commit need not be looked at again: it was deployed, or judged by what still holds.
 * basis "": nothing holds. */
bool channel_is_settled(const Value *channel, const char *commit, const char *basis);
