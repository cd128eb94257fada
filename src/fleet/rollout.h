#pragma once
/*
 * The rollout: brings the newest deploy to the hosts it is meant for: canaries first, then a few at
 * a time, each judged by what it reports. All of its state is in the store (roster.h). Any number
 * of hubs may run one: the one that holds a seat works, and whatever two of them do at once only
 * one can write. How long a host soaks or is waited for is measured by the hub that works, from
 * when it saw that begin: clocks need not agree, and after a change of hubs it is measured anew.
 *
 * A host that is silent when its turn comes is passed over, and gets the deploy when that is
 * proven or it is back; one that falls silent once it was told has failed after the timeout. Too
 * many failures are more than max-failures, or that of any canary. Going back is told to all at
 * once: what they had is proven. What was reverted is bad until it is forgiven.
 */
#include "fleet/roster.h"

typedef enum { ROLLOUT_PAUSE, ROLLOUT_RESUME, ROLLOUT_ABORT, ROLLOUT_REVERT } RolloutCommand;

typedef struct Rollout Rollout;

/* hub: our name among hubs. */
Rollout *rollout_new(Loop *loop, Store *store, const char *hub);
void rollout_free(Rollout *rollout); /* as in a crash; another hub goes on. Accepts NULL */
const Roster *rollout_roster(const Rollout *rollout);
bool rollout_leads(const Rollout *rollout);

typedef struct RolloutOrder RolloutOrder;

/* error NULL: it is done. */
typedef void (*RolloutDone)(void *data, const GError *error);
/* From any hub. The handle is valid until done begins. A lost answer is looked after: the order is
 * given once. also (may be NULL) adds to the
 * transaction that gives it, at each try. */
RolloutOrder *rollout_order(Store *store, RolloutCommand command, const char *by, const char *why,
                            int64_t wall_s, TxnAddition also, void *also_data, RolloutDone done,
                            void *data);
void rollout_order_cancel(RolloutOrder *order); /* it may be done all the same */
/* A bundle that was reverted may be deployed again. also may be NULL. */
StoreCall *rollout_forgive(Store *store, const char *digest, TxnAddition also, void *also_data,
                           StoreDone done, void *data);

/* For people: {"record", "digest", "phase", "since", "why", "by", "message", "to", "strategy",
 * "deployed_by", "problem", "targets", "silent", "stages": {STAGE: hosts}, "failed":
 * [{"host", "stage", "why"}], "bad"}; what is of a record only where there is one. silent counts
 * some of the targets a second time; bad: its bundle has to be forgiven. */
Value *rollout_status(const Roster *roster);

/* Why this host runs what it runs, and not the newest, in one sentence. Caller frees. */
char *rollout_explain(const Roster *roster, const char *host);
