#pragma once
/*
 * hub: what a fleet meets at. Uses base, pki, loop, host, http, state, bundle
 * and fleet.
 *
 * A hub keeps nothing in memory that matters: all is in the state store, so several hubs over one
 * etcd are equal, and a hub that was killed goes on where it was. Its data directory has what is
 * its own: the key of its server, the first admin's token, and the store when that is SQLite.
 *
 *   access.c       who asks: tokens, certificates, roles; wrong tokens slow their sender down
 *   ask.c          a request on its way through the store, one call after the other
 *   write.c        changes: compared, done and written to the audit log in one transaction
 *   api-*.c        the handlers; the table of routes is api.c
 *   gateway*.c     the store of the fleet, for its hosts; which keys they may touch: permit.c
 *   usage.c        how much of the store each host has, and may
 *   members.c      what a member's labels and grants are, and where they are kept
 *   upkeep.c       now and then: what is old is forgotten
 *   history.c      the same of the store's own history
 *   channel*.c     branches of git repositories whose signed commits are deployed; git.c reads them
 *   setup.c        the first start
 *
 * Deploys and reports are those of fleet/ (roster.h says which keys), and the rollout runs here.
 * Keys of the store besides: hub/authority, hub/tokens/ID, hub/hosts/NAME, hub/certificates/SERIAL,
 * hub/audit/TIME. Values are JSON objects. hub/leases/ID is the name of the host that it was
 * granted to.
 */
#include <glib.h>
#include <stdbool.h>

#include "http/server.h"
#include "state/store.h"

#define HUB_PORT 8440

#define HUB_KEEP_DRIFT_DAYS 30u
#define HUB_KEEP_AUDIT_DAYS 365u
#define HUB_KEEP_HISTORY    60u /* minutes */
/* Of the store, for each host. The keys are mostly repairs: one a minute for a month fits. */
#define HUB_HOST_BYTES (32u << 20)
#define HUB_HOST_KEYS  50000u

typedef struct Hub Hub;

typedef struct {
    Loop *loop;
    Store *state;       /* borrowed */
    const char *data;   /* directory, made when it is not there (0700) */
    const char *listen; /* "ADDRESS:PORT", "[ADDRESS]:PORT", ":PORT"; ":": all; NULL: no server, for
                           http_try() */
    const char *const *names; /* further names of this hub, for its certificate; or NULL */
    HttpServerOptions limits; /* of clients; the rest is not read */
    unsigned keep_drift_days, keep_audit_days; /* 0: the defaults above */
    /* What was before in the store, for who was away meanwhile; 0: the default above. */
    unsigned keep_history_minutes;
    uint64_t host_bytes, host_keys; /* of the store, for each host; the same */
} HubOptions;

/* A hub takes a descriptor for each connection: as many as this machine lets the process have. */
void hub_raise_descriptors(void);

/* Waits for the store (loop_run()): not inside a callback. What was there is used, what is missing
 * made. */
Hub *hub_new(const HubOptions *options, GError **error);
void hub_free(Hub *hub); /* accepts NULL; not inside a callback */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Hub, hub_free)

const char *hub_url(const Hub *hub);            /* https://NAME:PORT */
const char *hub_ca_fingerprint(const Hub *hub); /* sha256:... */
/* The token that was made by this start for the first admin; NULL: there was one. */
const char *hub_first_token(const Hub *hub);

/* Without a server, for tests: what http_try() needs. */
HttpServerOptions hub_try_options(Hub *hub);
extern const HttpRoute hub_routes[];
extern const unsigned hub_n_routes;
