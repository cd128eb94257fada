#pragma once
/*
 * The gateway: the store of the fleet for its hosts, as etcd's JSON gateway (etcd-serve.h), so that
 * the client of etcd in state/ is the store of an agent. Who asks is known by the certificate;
 * which keys it may touch is in permit.h. A lease belongs to the host that it was granted to: that
 * is recorded as hub/leases/ID, under the lease itself, so that it ends with it.
 *
 * A client of a watch that does not take what is told costs nothing: what is behind is read again
 * from the store when the client goes on, and one that does not for GATEWAY_BEHIND_S is dropped.
 */
#include "hub/hub-private.h"
#include "hub/permit.h"

#define GATEWAY_PATH       "/v3/"
#define GATEWAY_WATCHES    64u /* of a host, at a hub */
#define GATEWAY_LEASES     64u /* of a host, at a hub */
#define GATEWAY_BEHIND_S   30u
#define GATEWAY_UNSENT_KIB (64 * 1024) /* of answers to a host that it has not taken, at a hub */

/* What a host may read and write at a hub for long. What it overwrites stays as history for an hour
 * (history.c): the rate of writing bounds how much that is. */
#define GATEWAY_READ_KIB_S  8192
#define GATEWAY_WRITE_KIB_S 512
#define GATEWAY_WAITING_KIB (16 * 1024) /* of requests of a host of one kind, when it does more */
/* From here on an answer is written by a worker, not by the loop. */
#define GATEWAY_LARGE_KIB 128

typedef struct Channel Channel; /* a watch */

/* Of a host. Requests end in the threads of their connections: kib is atomic, and it outlives us.
 */
struct Load {
    int kib; /* that were answered, and are not sent */
};

typedef enum { TURN_READ, TURN_WRITE, TURNS } TurnOf;

/* Requests of a host that cost the same. */
typedef struct {
    TurnOf of;
    Gateway *gateway;
    GQueue waiting; /* of Ask */
    int waiting_kib;
    unsigned under_way;
    uint64_t paid_until; /* loop time: what was done has cost its time up to then */
    LoopTimer *timer;
} Turn;

/* A host that has asked. */
typedef struct {
    char *name;
    unsigned leases, granting; /* that are known here; that it is about to get */
    Load *load;
    Turn turns[TURNS];
} Tenant;

struct Gateway {
    Hub *hub;
    WorkerPool *writers; /* of answers that are large */
    GHashTable *tenants; /* name -> Tenant; as long as the gateway */
    GPtrArray *channels; /* of Channel */
    GHashTable *leases;  /* int64_t -> Tenant: those that are known here */
    uint64_t refused, requests, waited[TURNS];
    int64_t revision; /* the last that was seen */
    GPtrArray *said;  /* of StoreEntry: what message tells, as many watches are told the same */
    GBytes *message;
    bool everything; /* of tests: admins may touch any key */
};

Gateway *gateway_new(Hub *hub);
void gateway_free(Gateway *gateway); /* accepts NULL; there are no streams any more */
/* A change of hub/: leases end, people and hosts are turned away. */
void gateway_hear(Gateway *gateway, const StoreEntry *entry);
void gateway_reset(Gateway *gateway); /* changes were missed */
void gateway_refuse(Ask *ask, const GError *error);
Tenant *tenant_of(Gateway *gateway, const char *host);

/* Handlers. */
void gateway_call(void *data, HttpRequest *request);
void gateway_watch(void *data, HttpRequest *request);

/* gateway-watch.c */
unsigned gateway_watches_of(const Gateway *gateway, const char *host);
void gateway_turn_away(Gateway *gateway, const char *credential);

/* gateway-turn.c */
void turn_init(Turn *turn, TurnOf of, Gateway *gateway);
void turn_clear(Turn *turn);                        /* nobody waits any more */
void turn_take(Ask *ask, void (*go)(Ask *ask));     /* goes at once, or when it is its turn */
void turn_end(Ask *ask);                            /* it was answered, with ask->load_kib */
void turn_away(Gateway *gateway, const char *host); /* refuses all that waits */
