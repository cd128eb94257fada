#pragma once
/* What the files of a supervisor share. */
#include <unistd.h>

#include "base/json.h"
#include "cluster/cluster.h"
#include "cluster/ward.h"
#include "fleet/publisher.h"
#include "fleet/tenure.h"
#include "state/etcd.h"

struct Supervisor {
    SupervisorOptions options;
    Loop *loop;
    Berth *berth;
    Store *store;
    Tenure *tenure;
    Publisher *publisher; /* our key */
    Door *door;

    Ward *etcd;
    LoopTimer *restart; /* it is started again */
    uint64_t started_at;
    unsigned crashes; /* short runs since the last long one */
    bool broken, leaving;

    /* The round: one question at a time, but for probes. */
    LoopTimer *round;
    uint64_t round_at;
    uint64_t alone_since; /* no member could be asked; 0: one could */
    char **urls;          /* whom to ask, in this order */
    unsigned url;         /* the one that is asked, and answered */
    EtcdAsk *ask;
    StoreCall *call;
    GPtrArray *list;  /* of Listed */
    GPtrArray *hosts; /* of Value */
    Value *wanted;    /* or NULL */

    /* steer.c */
    GPtrArray *probes;  /* of Probe, one a member */
    unsigned asking;    /* probes without an answer */
    GHashTable *silent; /* id -> uint64_t: since when */
    uint64_t steered_at;
    ClusterStepKind step; /* the last one, or that which is under way */
    char *whom, *why;
    char *change; /* as it is in the store: who decided what, as text */
    char *told;

    StoreCall *renewal;  /* of certificates */
    uint64_t renewal_at; /* when to look at them again */

    Ward *snapshot;
    uint64_t snapshot_at; /* the next one; 0: not known yet */
};

void supervisor_tell(const Supervisor *supervisor, bool problem, const char *format, ...)
    G_GNUC_PRINTF(3, 4);
void supervisor_tell_new(Supervisor *supervisor, bool problem, const char *text);
void supervisor_end_round(Supervisor *supervisor);

/* steer.c: the rest of the round of whoever has the seat */
void steer(Supervisor *supervisor);
void probe_free(void *probe);

/* renew.c */
void renew_if_due(Supervisor *supervisor);

/* snapshots.c */
void snapshot_if_due(Supervisor *supervisor);
