#pragma once
/*
 * Deploys in the store: what was signed, and the bundles themselves. History is linear: record N+1
 * names the bundle of record N, and of two that are published at once one wins and the other is
 * told who did. Nothing here is trusted by a host, which verifies all of it again.
 *
 *   stead/1/fleet/record/NUMBER         a deploy: see roster.h
 *   stead/1/fleet/keys                  the key list that counts (its chain, or lines)
 *   stead/1/bundle/upload/DIGEST/ID     {"time"}: a bundle on its way into the store
 *   stead/1/bundle/chunk/DIGEST/ID/NUMBER  DEPLOY_CHUNK bytes of it as compressed, the last fewer
 *   stead/1/bundle/head/DIGEST          {"size", "upload", "time"}: it is there, as upload ID
 *                                       made it; time: when it came without a deploy
 *
 * Each call returns a handle that is valid until its done begins; error NULL: it is done.
 */
#include "bundle/sign-statement.h"
#include "fleet/roster.h"

#define DEPLOY_CHUNK       (512u * 1024)
#define DEPLOY_KEEP        10u   /* newest records whose bundles stay, whoever needs them */
#define DEPLOY_ABANDONED_S 86400 /* an upload that is not complete after so long never will be */

typedef struct DeployCall DeployCall;

typedef struct {
    GBytes *statement; /* as it was signed */
    GBytes *packed; /* that bundle_read() took for digest: in a worker, for it takes its time; NULL:
                       deploy_upload() has brought it */
    const char *digest; /* hexadecimal */
    const char *to;     /* a selector */
    const char *strategy;
    const char *by;   /* who publishes it */
    int64_t wall_s;   /* seconds since 1970 */
    TxnAddition also; /* or NULL: adds to the transaction that makes the record; at each try */
    void *also_data;
} DeployRequest;

typedef void (*DeployDone)(void *data, const GError *error);
/* packed NULL with an error; NOT_FOUND: the store has no such bundle. Not verified. */
typedef void (*DeployFetched)(void *data, GBytes *packed, const GError *error);

/* Brings a bundle without a deploy: for DEPLOY_ABANDONED_S it is nobody's garbage. packed as above.
 */
DeployCall *deploy_upload(Store *store, const char *digest, GBytes *packed, int64_t wall_s,
                          DeployDone done, void *data);
DeployCall *deploy_publish(Store *store, const DeployRequest *request, DeployDone done, void *data);
/* The first list is taken as it is; later ones have to go on from it. */
DeployCall *deploy_set_keys(Store *store, const char *text, TxnAddition also, void *also_data,
                            DeployDone done, void *data);
DeployCall *deploy_fetch(Store *store, const char *digest, DeployFetched done, void *data);
/* Removes the bundles that none of the newest records and no host needs. */
DeployCall *deploy_collect(Store *store, const Roster *roster, int64_t wall_s, DeployDone done,
                           void *data);
void deploy_cancel(DeployCall *call); /* what is under way may be done all the same */

/* Digests (char *) that roster's hosts or newest records need. */
GHashTable *deploy_needed(const Roster *roster);
