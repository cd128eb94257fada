#pragma once
/* The inside of engine/: the engine, its vertices and rounds. Loop thread only unless said
 * otherwise. */
#include "engine/claims.h"
#include "engine/engine.h"
#include "engine/limiter.h"
#include "engine/semaphore.h"
#include "graph/watcher.h"
#include "loop/worker.h"

typedef struct Vertex Vertex;
typedef struct Round Round;

/* Where a vertex stands. Exactly one; `dirty`, `settled` and `blockers` are kept beside it. */
typedef enum {
    VERTEX_ARMING,  /* its watch has not said it is ready: no check may run (startup gate) */
    VERTEX_IDLE,    /* nothing in progress; runs when dirty or refreshed, without blockers */
    VERTEX_LIMITED, /* an event waits for the token bucket */
    VERTEX_QUEUED,  /* may run: waits for semaphores, a worker, or the end of a pause */
    VERTEX_RUNNING, /* a round is in a worker */
    VERTEX_DELAYED, /* failed or flapping: waits for its next try */
    VERTEX_FAILED,  /* gave up; an event, a swap or the recheck timer tries again */
    VERTEX_HIDDEN,  /* never runs */
    VERTEX_STATES,
} VertexState;

typedef enum {
    VERTEX_EVENT_ARMED,    /* the watch is ready */
    VERTEX_EVENT_CHANGE,   /* the watch saw something, or the definition or a received value changed
                            */
    VERTEX_EVENT_ELIGIBLE, /* the last unsettled predecessor settled */
    VERTEX_EVENT_TIMER,    /* limit, delay, back-off or recheck is over */
    VERTEX_EVENT_SUCCESS,  /* the round came back without error */
    VERTEX_EVENT_FAILURE,  /* ... with one */
    VERTEX_EVENT_UNWATCHED, /* the watch broke */
    VERTEX_EVENTS,
} VertexEvent;

#define FLAP_MEMORY 16

/* How often kinds that cannot be watched are looked at, and what has lost its watch. */
#define VERTEX_POLL_FALLBACK_US (60 * (uint64_t)G_USEC_PER_SEC)

struct Vertex {
    Engine *engine;
    unsigned index; /* the leader's number in engine->graph */
    VertexState state;
    bool dirty;     /* something came that no finished round has looked at */
    bool settled;   /* succeeded, not dirty, and all predecessors are settled */
    bool doomed;    /* its round was cancelled because the watch broke: the result does not count */
    bool quiet;     /* woken by its poll timer: no activity for the converger unless it was wrong */
    bool counted;   /* in engine->active */
    bool succeeded; /* at least once */
    bool ever_changed; /* at least one round changed something */
    bool pending;      /* noop left it wrong */
    bool flapping;
    bool listed;       /* in engine->eligible */
    bool brings;       /* plan: it, or something before it, would bring what the plan cannot know */
    unsigned blockers; /* direct predecessors that are not settled */
    unsigned n_members;
    Resource **members; /* owned references; [0] is the leader */
    Resource *
        *received; /* with received values; an entry is NULL when it has none; NULL: none at all */
    Value **outputs;     /* per member or NULL; NULL: none at all */
    bool *right;         /* members that are, although the last round failed; NULL: none */
    char **semas;        /* permits of all members, sorted, without repeats; NULL: none */
    unsigned semas_held; /* how many of them */
    OnRemove removal;    /* not default: the vertex undoes members[0] */
    Watcher *watcher;
    Round *round;
    LoopTimer *timer;      /* of the state */
    LoopTimer *poll_timer; /* meta poll, or instead of a watch */
    Limiter limiter;
    SemaphoreWait sema_wait;
    int retries_used, watch_retries_used;
    unsigned failures;              /* in a row since giving up, for the back-off */
    unsigned backoff;               /* of flapping */
    unsigned n_moot;                /* failures in a row that were not told */
    uint64_t dirty_since;           /* loop time of the first event not yet answered; 0: none */
    uint64_t next_try;              /* loop time the timer stands for */
    int64_t checked_at, changed_at; /* wall us; 0: never */
    uint64_t *fixes; /* loop times of the last FLAP_MEMORY corrections, ring; NULL: none */
    unsigned n_fixes;
    GError *error;         /* of the last failed round */
    GError *unwatched;     /* why it is polled although its kind can watch; NULL: it is watched */
    uint64_t unwatched_at; /* Engine.n_unwatched then */
    bool unwatched_told;   /* since it was watched last */
    bool watched, was_watched; /* now; ever */
    uint64_t armed_at;         /* loop time when its watch was last put in place */
    unsigned watch_losses;     /* in a row, for the back-off */
};

/* One member of a round: what is handed to the kind and what came out. */
typedef struct {
    KindRun run;
    State *actual;
    Changes *changes;
    bool corrective;
    bool same;      /* the ledger has exactly this definition: what differs is drift */
    bool first;     /* the ledger does not know it at all */
    bool begun;     /* the ledger was told ahead of the first effect */
    bool failed;    /* it could not be looked at, or not be made right */
    Value *before;  /* what was there before our first change; NULL: not the first */
    Value *unknown; /* plan: list of parameters whose received value is unknown; NULL: none */
} RoundMember;

typedef enum { ROUND_OK, ROUND_CHANGED, ROUND_PENDING, ROUND_FAILED } RoundResult;

/* One observe-diff-apply of a vertex. Filled in the loop, worked on in a worker, judged in the
 * loop. */
struct Round {
    Engine *engine;
    Vertex *vertex;
    Cancel *cancel;
    uint64_t writer;  /* owner of the writes it makes */
    uint64_t started; /* loop time */
    uint64_t finished;
    bool noop;
    bool refresh;
    bool resumed;     /* an earlier process was killed in this step */
    OnRemove removal; /* of the vertex */
    bool brought;     /* plan: something before it would bring what the plan cannot know */
    bool dirty_again; /* an event came while it ran */
    bool poked;       /* what it depends on was made right while it ran */
    bool held;        /* its failure waits a moment for news of what it depends on */
    LoopTimer *hold;  /* ... until then */
    bool undone;      /* what it did was not there any more when it looked again */
    RoundResult result;
    GError *error;
    unsigned n_members;
    RoundMember members[];
};

#define LEDGER_KEY_SEPARATOR "\x1f"
#define LEDGER_NOTIFY_MARK   LEDGER_KEY_SEPARATOR "notify" /* after the key of who notified */

/* Notification on an edge. A round that starts takes what waits; what arrives meanwhile waits for
 * the next. */
typedef enum { BIT_CLEAR, BIT_WAITING, BIT_DELIVERING } EdgeBit;

struct Engine {
    EngineOptions options;
    WorkerPool *workers;
    Graph *graph;      /* owned; NULL before the first load */
    Vertex **vertices; /* by leader's number; NULL for merged members; graph_size(graph) entries */
    GHashTable *
        removals; /* Resource of a removal vertex -> OnRemove; the key is borrowed from the graph */
    uint8_t *bits; /* EdgeBit by edge number */
    GHashTable
        *interrupted;  /* steps an earlier process was killed in: "kind\x1fname" -> Value given to
                          ledger_begin(), or NULL; the table is NULL when there are none */
    Graph *next_graph; /* a swap that waits for affected rounds; with its removals */
    GHashTable *next_removals;
    Graph *next_source; /* what it was made from: the configuration's graph */
    bool next_waited;   /* rounds ended since it was made: they may have left new entries */
    Claims *claims;     /* paths that resources of graph manage */
    SemaphoreSet *semaphores;
    GQueue ready;        /* of Vertex: VERTEX_QUEUED and holding all permits */
    GPtrArray *eligible; /* of Vertex: to be told VERTEX_EVENT_ELIGIBLE */
    void *batch;         /* of step.c, being filled; NULL outside of a dispatch */
    unsigned batch_size; /* rounds to put into it */
    unsigned batches;    /* in workers */
    bool alone;          /* this dispatch starts one round only */
    unsigned threads;
    unsigned in_flight; /* rounds in workers */
    unsigned max_in_flight;
    unsigned
        active; /* vertices that are neither idle, failed nor hidden: the converger's measure */
    bool planning;
    bool remembers; /* the ledger is written */
    bool converged;
    bool cone_changed; /* since status_remember(): a vertex failed or stopped to, or a swap */
    bool draining;
    unsigned stop_level;
    int exit_code;
    LoopTimer *dispatch_timer;
    LoopTimer *converge_timer;
    LoopTimer *unwatched_timer; /* until lost watches are told */
    uint64_t unwatched_since;   /* loop time of the first that is not told yet; 0: none */
    uint64_t n_unwatched;       /* ever */
    uint64_t next_writer;
    unsigned n_changed, n_removed;
    char *warning;        /* of the last load, or NULL */
    unsigned n_uncleaned; /* killed steps whose leftovers could not be removed */
};

/* step.c: order and what follows from a round */
void step_recount(
    Engine *engine); /* after a swap: settled and blockers from scratch, eligible ones listed */
void step_unsettle(Vertex *vertex);
void step_try_run(Vertex *vertex);
void step_round_finished(Vertex *vertex,
                         Round *round); /* bits, outputs, settling after a success */
void step_release(Vertex *vertex);      /* gives its permits back, leaves every queue */
void step_schedule(Engine *engine);     /* a dispatch soon */
bool step_refresh_waits(const Vertex *vertex);
void step_touch_convergence(Engine *engine);
void step_round_done(void *round); /* worker's done callback */

/* vertex.c */
Vertex *vertex_new(Engine *engine, unsigned leader);
void vertex_free(Vertex *vertex);
void vertex_take_members(Vertex *vertex, const Graph *graph, unsigned leader);
void vertex_arm(Vertex *vertex);
void vertex_event(Vertex *vertex, VertexEvent event);
void vertex_set_state(Vertex *vertex, VertexState state);
const Resource *vertex_effective(const Vertex *vertex, unsigned member); /* with received values */

/* round.c: round_work() in any thread */
Round *round_new(Vertex *vertex);
void round_free(Round *round);
void round_work(void *round);
bool round_diff(KindRun *run, const State *actual, Changes *changes, GError **error);

/* prove.c: in any thread, after member was applied. Makes right once more what somebody else
 * changed meanwhile, and adds that to the member's changes. */
bool prove(const Round *round, RoundMember *member, GError **error);

/* record.c: ledger, journal, events */
bool record_begin(Round *round, RoundMember *member, GError **error); /* any thread */
bool has_change(const RoundMember *member);
bool member_is_right(const Round *round, unsigned member); /* of a failed round, and proven so */
void record_classify(Vertex *vertex, Round *round);        /* before work: corrective or intended */
void record_intent(Vertex *vertex,
                   Round *round); /* after work: what is no drift because a source was edited */
void record_success(Vertex *vertex, Round *round);
void record_failure(Vertex *vertex, Round *round, EngineEventType type);
/* Of a round that was cancelled and is nobody's failure: what was there before must not be lost. */
void record_half_done(Vertex *vertex, const Round *round);
void record_end(Vertex *vertex, Round *round); /* after the bits: the steps are over */
void record_event(Vertex *vertex, unsigned member,
                  EngineEvent *event); /* completes it and tells the listener */
void record_bit(Engine *engine, const Edge *edge, bool pending);
void record_retries(Vertex *vertex);

/* preimage.c */
bool preimage_take(Round *round, RoundMember *member,
                   GError **error); /* any thread; before the first effect */
void preimage_keep(Ledger *ledger,
                   const LedgerEntry *old); /* its definition is about to be replaced */

/* receive.c: false with error when a value is missing or does not fit */
bool receive_values(Vertex *vertex, bool *ret_changed, GError **error);
/* Stores what the round's members sent; marks receivers dirty when it differs. */
void receive_sent(Vertex *vertex, Round *round);
Value *receive_unknown(const Vertex *vertex, unsigned member); /* as RoundMember.unknown */

/* removal.c: a new reference to graph, or to one with removal vertices added; *ret_removals as
 * Engine.removals, NULL when there are none. Entries that need no work on the host are settled
 * here. */
Graph *removal_add(Engine *engine, Graph *graph, GHashTable **ret_removals, GError **error);

/* status.c: what is blocked, and by what, goes to the ledger for those that ask when nothing runs;
 * what is said there of resources that are gone is dropped. Does nothing unless something failed or
 * stopped to since it was called last. */
void status_remember(Engine *engine);

/* unwatched.c: the vertex is polled, for why; soon all that are will be told, if
 * this one is worth it */
void unwatched_note(Vertex *vertex, const GError *why, bool worth_telling);

/* moves.c: names that mean another thing than they did, things that have another name */
bool same_thing(const Resource *was, const Resource *now); /* of one kind */
uint64_t identity_hash(const Resource *resource); /* in every process; 0: none, or received */
LedgerEntry *entry_as(const LedgerEntry *entry, const char *name); /* a copy without its hash */
GPtrArray *moves_new(void);
/* The name is given up; entry (owned, may be NULL) is what its thing is known by from now on. */
void moves_add(GPtrArray *moves, const char *kind, const char *name, LedgerEntry *entry);
bool moves_give_up(const GPtrArray *moves, const char *kind, const char *name);
/* For what was called otherwise: after its identity, and nobody else's. Caller frees. */
char *moves_free_name(const GPtrArray *moves, Ledger *ledger, const Graph *graph,
                      const Resource *was);
void moves_commit(GPtrArray *moves, Ledger *ledger);
/* record.c: whether the entry may be of another thing than resource, by its hash alone. */
bool record_may_differ(uint64_t known, const Resource *resource);

/* leftovers.c: what killed steps left whose resources graph, with its removals, does not look at */
void leftovers_clean(Engine *engine, const Graph *graph);

/* swap.c */
void swap_try_commit(Engine *engine); /* when no affected round runs any more */
