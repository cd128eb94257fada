#pragma once
/*
 * engine: makes a graph true on a host and keeps it so. Uses base, loop, host, ledger and graph.
 *
 * One thread, the loop's, owns every vertex; rounds of observe, diff and apply run in workers and
 * come back as messages. The rules are mgmt's (dependency order, startup gate, clean flag, refresh
 * bits, semaphores, retry budgets, swap), stated where they are implemented:
 *   step.c     which vertex may run, and what follows from a round
 *   round.c    the round itself, in a worker
 *   vertex.c   state x event -> action, watches, limits, retries
 *   record.c   what a round means for the ledger and the drift journal
 *   receive.c  values sent from one resource to another
 *   removal.c  what left the configuration becomes vertices that undo it
 *   moves.c    names that mean another thing than they did
 *   leftovers.c what killed steps left behind that no round will see
 *   swap.c     live replacement of the graph
 *   status.c   summary, status, why
 */
#include <glib.h>
#include <stdbool.h>

#include "graph/graph.h"
#include "ledger/ledger.h"

typedef struct Engine Engine;

typedef enum {
    ENGINE_OK,       /* looked: right */
    ENGINE_CHANGED,  /* was wrong and was made right; in a plan: would be */
    ENGINE_PENDING,  /* is wrong and stays so: noop */
    ENGINE_FAILED,   /* gave up: error says why */
    ENGINE_RETRYING, /* failed, will be tried again at `next` */
    ENGINE_NOTE,     /* a line for people: print, what a command said, ... */
    ENGINE_REPORTED, /* left the configuration with on_remove = "report" */
    ENGINE_FLAPPING, /* corrected too often: somebody else writes it too; backs off until `next` */
    ENGINE_WATCH_LOST, /* cannot be watched (error says why): polled from now on; without a
                          resource: count of total ones, in one event */
    ENGINE_CONVERGED,  /* nothing left to do for the converged timeout */
    ENGINE_DIVERGED,   /* something is to be done again */
    ENGINE_SWAPPED,    /* a new graph took over: count vertices were touched */
} EngineEventType;

/* What a listener is told, in the loop's thread. Everything is borrowed for the call. */
typedef struct {
    EngineEventType type;
    const Resource *resource; /* NULL for the last three, and for several */
    OnRemove removal;         /* not default: this vertex undoes the resource in that way */
    const Changes *changes;
    bool corrective;   /* drift; else the configuration changed */
    bool refreshed;    /* a notification made it run */
    int64_t latency;   /* us from the event that showed the drift to the fix; -1: unknown */
    uint64_t duration; /* us the round took */
    uint64_t next;     /* loop time of the next try */
    const GError *error;
    const Resource
        *first; /* the failure is that of a group: who was told of it first; NULL: this */
    const char *note;
    unsigned count, total;
    unsigned added, changed, removed; /* ENGINE_SWAPPED: resources of the configuration */
} EngineEvent;

typedef void (*EngineListener)(void *data, const EngineEvent *event);

/* What keeps a machine tries again what failed after so long at the latest. */
#define ENGINE_RECHECK_FAILED_US (600 * (uint64_t)G_USEC_PER_SEC)

typedef struct {
    Loop *loop;                 /* all pointers are borrowed and must outlive the engine */
    Host *host;                 /* an overlay makes this run a plan */
    const KindSet *kinds;       /* to understand what the ledger holds */
    Ledger *ledger;             /* NULL: nothing is remembered; LEDGER_READ is enough for a plan */
    unsigned parallel;          /* rounds at once; 0: twice the processors */
    bool noop;                  /* for every resource */
    int sema;                   /* >0: every resource takes one of N permits as well */
    bool watch;                 /* keep watching after the first round (agent, converged timeout) */
    uint64_t converged_timeout; /* us of quiet before ENGINE_CONVERGED */
    uint64_t recheck_failed; /* us after which a failed vertex is tried again at the latest: sooner
                                at first; 0: never */
    unsigned flap_limit;     /* corrections a minute before backing off; 0: never */
    const char *state_dir;   /* for kinds, may be NULL */
    /* Absolute path of what the graphs are made from, noted in the ledger; NULL: neither noted nor
     * compared. When the ledger was last applied from another one, and things would be undone
     * because the graph has them not, loading is refused, or with noop and in a plan told by
     * engine_warning(), unless it is to take over. */
    const char *configuration;
    bool take_over;
    /* "KIND[NAME]" of what may be undone although that loses data, as with force = true in its
     * block, which is gone; NULL: none. */
    const char *const *force;
    /* Asked in a worker before the first effect on a resource; false stops it with error. NULL: all
     * may. */
    bool (*approve)(void *data, const Resource *resource, const Changes *changes, GError **error);
    void *approve_data;
    EngineListener listener;
    void *listener_data;
} EngineOptions;

Engine *engine_new(const EngineOptions *options);
void engine_free(Engine *engine); /* cancels and waits for running rounds; accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Engine, engine_free)

/* Makes graph (sealed, with autoedges; shared, and grouped here) the one to keep: the first, or
 * live in place of the running one. Adds removals from the ledger, groups, compares, and touches
 * only what differs. On error (a protected resource left, a removal is impossible) the running
 * graph stays. The swap itself happens as soon as no affected round is running any more. */
bool engine_load(Engine *engine, Graph *graph, GError **error);

/* What whoever applies the graph loaded last should know first; NULL: nothing. */
const char *engine_warning(const Engine *engine);

/* Stop ladder: the 1st call lets running rounds finish, the 2nd cancels them, the 3rd kills their
 * commands. The loop quits when nothing runs any more. */
void engine_stop(Engine *engine);
bool engine_is_stopping(const Engine *engine);

bool engine_is_converged(const Engine *engine);
/* Tries every failed vertex again now (SIGHUP). */
void engine_retry_failed(Engine *engine);
/* Looks at everything again now, whether or not an event came. */
void engine_recheck(Engine *engine);

typedef struct {
    unsigned total;   /* resources, without hidden ones */
    unsigned ok;      /* right at the last look */
    unsigned changed; /* made right at least once since the engine started */
    unsigned removed; /* removals and restorations done */
    unsigned pending, failed, blocked, unfinished;
    int exit_code; /* asked for by an `exit` resource; -1: none */
} EngineSummary;

EngineSummary engine_summary(const Engine *engine);

/* The bytes that were there before the first change; NULL: none were, or they are not kept. */
GBytes *preimage_content(Ledger *ledger, const LedgerEntry *entry);

/* What is being worked on right now, for progress. Returns how many there are. */
unsigned engine_visit_running(const Engine *engine,
                              void (*visit)(void *data, const Resource *resource), void *data);

/* One map per resource: {kind, name, state, error, blocked_by, waits_for, causes, checked, changed,
 * next, origin, unwatched}; times are wall us. causes: of blocked_by, list of {name, error,
 * through}. state: "ok", "failed", "blocked", "waiting", "running", "pending", "retrying",
 * "flapping", "hidden". */
Value *engine_status(const Engine *engine, const char *kind, const char *name); /* NULL: no such */
void engine_visit_status(const Engine *engine, void (*visit)(void *data, const Value *status),
                         void *data);
