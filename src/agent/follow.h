#pragma once
/*
 * Follows the deploys of a fleet for this machine: what the store says it shall run is fetched,
 * verified against the keys of this machine (deploys.h) and handed on to be run. The store is
 * believed in nothing else: what is not signed, not what was signed, or older than what was here is
 * refused, told, and changes nothing.
 *
 * Begins with what is kept on the disk, whether or not the store is in reach. Everything that
 * blocks is done in a worker.
 */
#include "agent/deploys.h"
#include "base/value.h"
#include "state/store.h"

#define FOLLOW_HOLD_US (10 * (uint64_t)G_USEC_PER_SEC) /* steady for so long, a deploy is good */

typedef struct Follower Follower;

typedef struct {
    /* Runs this main.lua instead of what runs; follower_taken() says what came of it. */
    void (*run)(void *data, const char *file);
    void (*changed)(void *data); /* what follower_stand() says, or who is in reach */
    void (*note)(void *data, bool bad, const char *text); /* for people, once each */
    void (*reached)(void *data, const GError *error);     /* the store was (NULL), or was not */
    void *data;
} FollowerListener;

typedef struct {
    Loop *loop;
    Store *store;
    const char *host;      /* our name */
    const char *directory; /* of the deploys */
    const char *pinned;    /* the file of pinned keys */
    FollowerListener listener;
} FollowerOptions;

/* store is borrowed, the rest copied. */
Follower *follower_new(const FollowerOptions *options, GError **error);
/* What is on its way is waited for. Accepts NULL. */
void follower_free(Follower *follower);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Follower, follower_free)

/* The answer to run(): error NULL: it runs; else what ran before goes on. */
void follower_taken(Follower *follower, const GError *error);
/* Whether what runs is as it should be: converged, nothing failed, healthy. */
void follower_steady(Follower *follower, bool steady);
void follower_retry(Follower *follower); /* what was refused is looked at again */

/* What is to be said of the deploy: of the one that is wanted while it is refused, else of the one
 * that runs. Texts are borrowed. */
typedef struct {
    const char *digest;  /* "": none */
    const char *error;   /* NULL: nothing is wrong with it */
    const char *warning; /* what else is wrong, or NULL */
} FollowerStand;
void follower_stand(const Follower *follower, FollowerStand *ret_stand);
/* {"record", "digest", "message", "good", "from": "hub" or "disk", "error", "wanted"}: without
 * record nothing runs. */
Value *follower_status(const Follower *follower);
