#pragma once
/*
 * cluster: real etcd members that look after themselves. Uses base, pki, loop, http, state, fleet.
 *
 * Each host that may hold data runs a supervisor (supervisor.c): it starts, watches and stops the
 * etcd of its host, and takes part through keys of the cluster's own store. One supervisor at a
 * time holds the seat of those that decide; once a second it asks all members how they are, and
 * takes one step (decide.c) towards the number of members that is wanted. Every supervisor makes of
 * its own host what the list of members says: a host that was added starts with empty data, one
 * that was removed moves its data aside. What a host keeps is in berth.c; how one joins, in door.c;
 * copies of everything, in dump.c.
 *
 * Keys of the store, below CLUSTER_ROOT. Values are JSON.
 *   authority       {key, certificate}: who certifies members and those who ask them
 *   wanted          {size, grace}
 *   seat            the name of the host that decides, under its lease
 *   change          {at, kind, whom, why}: what was decided last
 *   host/NAME       {name, peer, client, door, data, broken, failures} under the host's lease
 *   token/ID        {hash, name, expires}: who may join, once
 *   fill            {digest, at}: the store is being filled from a copy
 * Whoever holds a certificate of that authority may do anything in the store.
 */
#include "base/value.h"
#include "cluster/berth.h"
#include "cluster/decide.h"
#include "fleet/layout.h"
#include "state/store.h"

#define CLUSTER_ROOT      LAYOUT_ROOT "cluster/"
#define CLUSTER_AUTHORITY CLUSTER_ROOT "authority"
#define CLUSTER_WANTED    CLUSTER_ROOT "wanted"
#define CLUSTER_SEAT      CLUSTER_ROOT "seat"
#define CLUSTER_CHANGE    CLUSTER_ROOT "change"
#define CLUSTER_HOST      CLUSTER_ROOT "host/"
#define CLUSTER_TOKEN     CLUSTER_ROOT "token/"
#define CLUSTER_FILL      CLUSTER_ROOT "fill"

#define CLUSTER_SIZE       3u
#define CLUSTER_GRACE_S    120u  /* a host that is booted again is not replaced */
#define CLUSTER_TTL_S      10u   /* a supervisor that is gone is missed after this */
#define CLUSTER_SNAPSHOT_S 3600u /* between snapshots */
#define CLUSTER_SNAPSHOTS  48u   /* that are kept */
#define CLUSTER_ASK_US     (2 * (uint64_t)G_USEC_PER_SEC)
#define CLUSTER_CHANGE_US  (10 * (uint64_t)G_USEC_PER_SEC)

/* --- supervisor.c */

typedef struct Supervisor Supervisor;

typedef struct {
    Loop *loop;
    const Berth *berth; /* borrowed; changed as the host becomes a member or ceases to be one */
    unsigned snapshot_s, snapshots; /* 0: the defaults above */
    const char *program;            /* of etcd; NULL: the one on PATH */
    /* What happens, one line each. */
    void (*tell)(void *data, bool problem, const char *text);
    void *data;
} SupervisorOptions;

/* Starts etcd when this host is a member. Needs a reachable member for nothing. */
Supervisor *supervisor_new(const SupervisorOptions *options, GError **error);
/* Lets etcd end in good order. Accepts NULL; not inside a callback. */
void supervisor_free(Supervisor *supervisor);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Supervisor, supervisor_free)

/* --- look.c: the cluster as its members tell it */

/* What an etcd lists; texts are owned. */
typedef struct {
    char *id, *name, *peer, *client; /* client: NULL before it has started */
    bool learner;
} Listed;

GPtrArray *cluster_list_read(const Value *answer); /* of Listed */
const Listed *cluster_list_find(const GPtrArray *list, const char *peer);

/* How a member answered "maintenance/status". */
typedef struct {
    bool healthy, leader;
    int64_t applied, size;
    char *version;
} Health;

void cluster_health_read(const Value *answer, const char *id, Health *ret_health);
void health_clear(Health *health);

/* The hosts that are there: of Value, the objects of their keys. */
GPtrArray *cluster_hosts_read(const StoreResult *result);
Value *cluster_entry_value(const StoreEntry *entry); /* NULL: no entry, or no object */
GBytes *cluster_bytes(const Value *value);           /* as JSON */

/* --- door.c: lets hosts join */

typedef struct Door Door;
Door *door_new(Loop *loop, Store *store, const Berth *berth, GError **error);
void door_free(Door *door); /* accepts NULL */

/* Makes a token for a host; it is in the store when this returns. Caller frees. */
char *cluster_token_new(Store *store, const char *name, int64_t now_s, int64_t ttl_s,
                        GError **error);
/* The certificates of a host, for the key of its request. authority: of CLUSTER_AUTHORITY. */
bool cluster_certify(const Value *authority, const PkiRequest *request, const char *name,
                     const char *address, int64_t now_s, char **ret_member, char **ret_client,
                     GError **error);
