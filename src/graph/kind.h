#pragma once
/*
 * Kind: what one sort of resource is: a parameter table and callbacks. A kind is one file in kinds/
 * that ends with one const Kind; kinds/kinds.c lists them all.
 *
 * observe, diff and apply run in a worker thread, may block, and honour run->cancel. They keep no
 * state of their own: all they know is in the KindRun. One apply must make the resource right or
 * fail with a reason; the engine observes again after an apply and fails the resource when
 * something still differs. On a prediction host (plan) the same code runs against an overlay.
 */
#include <glib.h>

#include "graph/param.h"
#include "graph/resource.h"
#include "host/host.h"
#include "loop/cancel.h"

typedef struct AutoEdges AutoEdges;
typedef struct Watcher Watcher;

typedef enum {
    KIND_INLINE = 1 << 0,      /* observe and apply never block: run in the loop's thread */
    KIND_REFRESHES = 1 << 1,   /* does something when notified */
    KIND_UNWATCHABLE = 1 << 2, /* cannot be watched: an agent polls it (meta poll, or every 60 s) */
    KIND_UNPREDICTABLE =
        1 << 3, /* its apply is never simulated: a plan shows it as "run", outputs as unknown */
    KIND_STATELESS =
        1 << 4, /* leaves nothing on the host: no ledger entry, no removal (print, noop, ...) */
    KIND_RESTARTS =
        1 << 5, /* a live swap replaces the vertex instead of changing it in place (timer, exit) */
    KIND_QUICK = 1 << 6,  /* rounds take well under a millisecond as a rule: several share a task */
    KIND_BRINGS = 1 << 7, /* brings files, accounts or units that a plan cannot know (pkg) */
} KindFlags;

/* A value that other resources may receive. */
typedef struct {
    const char *name;
    ParamType type;
    const char *help;
} Output;

typedef enum {
    ACTION_NONE,
    ACTION_CREATE,
    ACTION_CHANGE,
    ACTION_REMOVE,
    ACTION_REPLACE, /* removed and created anew: file becomes directory, ... */
    ACTION_RUN,     /* a command, its effects unknown in a plan */
    ACTION_RESTART, /* restarted or reloaded, because it was notified */
} Action;

const char *action_name(Action action);

/* What was found: one value per parameter row (only PARAM_PROPERTY rows count), NULL: not looked
 * at. */
typedef struct {
    const Kind *kind;
    bool exists;
    Value **props;   /* kind->n_params entries, owned */
    GBytes *content; /* owned; only in a pre-image: see Kind.preimage */
} State;

State *state_new(const Kind *kind);
void state_free(State *state); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(State, state_free)
void state_set(State *state, unsigned param, Value *value); /* takes ownership */
const Value *state_get(const State *state, unsigned param);
Value *state_to_value(
    const State *state); /* {"exists": bool, property: value...} for plan, ledger, journal */
State *state_from_value(const Kind *kind, const Value *value); /* unknown names are dropped */

typedef struct {
    const char *
        property; /* a parameter's name, or a word of the kind's own ("size"); interned or static */
    Value *before, *after; /* owned; NULL: absent; after may be unknown */
    char *diff;            /* owned text diff, or NULL; never of secrets */
} Change;

typedef struct {
    Action action;
    GArray *changes; /* of Change */
    char *lines;     /* owned text diff of the lines of a file that all of them come to, or NULL */
    bool routine;    /* nothing was found wrong: done whenever there is reason to look; no drift */
    bool uncertain;  /* plan: whether or what happens is decided only when applied */
    bool intended; /* what is wanted is not what was applied last: a source was edited; no drift */
    bool sourced;  /* ... may be so: properties are to be compared with those applied last */
} Changes;

/* What lines are called where properties have their names. */
#define CHANGE_LINES "line"

/* Properties that begin so list (as strings) what else is done. Which of several resources does it
 * first, and is told to do it, is not said: see plan_approves(). */
#define CHANGE_ALSO "also "

Changes *changes_new(void);
void changes_free(Changes *changes); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Changes, changes_free)
void changes_add(Changes *changes, const char *property, Value *before, Value *after,
                 char *diff);               /* takes ownership */
bool changes_empty(const Changes *changes); /* nothing to do: action is ACTION_NONE */
const Change *changes_find(const Changes *changes, const char *property);

/* Why a round takes place. What cannot see its own state (a command without guards, a timer) acts
 * at START and EVENT only. */
typedef enum {
    REASON_START,  /* the first round since the process started or the definition changed, and its
                      retries */
    REASON_EVENT,  /* the watch reported something, or somebody asked for it */
    REASON_POLL,   /* nothing is known to have happened, only time has passed */
    REASON_VERIFY, /* after an apply: proves that nothing differs any more */
} RunReason;

/* What the graph says about a path. */
typedef enum {
    PATH_FREE,    /* nothing */
    PATH_HOLDS,   /* a resource manages something below it */
    PATH_MANAGED, /* a resource manages exactly this path (without a trailing slash) */
} PathClaim;

/* Everything one observe-diff-apply round of one resource may use. */
typedef struct KindRun {
    Host *host;
    const Resource *resource; /* with received values filled in */
    Cancel *cancel;
    RunReason reason;
    bool refresh;      /* a notification waits */
    bool planning;     /* host is a prediction */
    bool brought;      /* ... and something before it would bring what it cannot know */
    bool once;         /* no watch is armed, and this is no proof: see host_glance() */
    uint64_t wall_now; /* microseconds since the epoch, virtual in tests */
    const char
        *state_dir; /* real directory for what a kind must keep (password, ...); may be NULL */
    Value *outputs; /* map, filled by kind_run_send(); owned by the engine */
    Value *kept;    /* map the kind last gave by kind_run_keep(), or NULL; borrowed */
    Value *keep;    /* what observe or apply want kept; owned by the engine, stored in the ledger at
                       the end of the round, of a failed one too */
    char *note;     /* owned: one line for people about what was done, or NULL */
    /* Claims of all resources of the graph by their "path" and "edits" (line, ini) identities, see
     * auto_edges_am(), for kinds that clear directories. Thread-safe. NULL: nothing is claimed. */
    PathClaim (*claim)(void *claim_data, const char *path);
    void *claim_data;
    int exit_code; /* -1; set by apply: the whole run ends with this code once the round is over */
    bool rearm;    /* set by apply: the watch is to be ended and armed anew */
    bool apart;    /* set by an apply_group that fails: this one was made right nevertheless */
} KindRun;

/* run->claim with its NULL case. */
static inline PathClaim kind_run_claim(const KindRun *run, const char *path) {
    return run->claim != NULL ? run->claim(run->claim_data, path) : PATH_FREE;
}

void kind_run_send(KindRun *run, const char *output, Value *value); /* takes ownership */
void kind_run_keep(KindRun *run, Value *map);                       /* takes ownership */
#define KIND_KEPT_IDLE "idle" /* kept: why a look found nothing to do, for people; a text */
void kind_run_note(KindRun *run, const char *format, ...)
    G_GNUC_PRINTF(2, 3); /* replaces an earlier note */

struct Kind {
    const char *name;    /* lower case; sub-kinds with a colon */
    const char *program; /* path of the program that speaks for this kind; NULL: built in */
    const char *summary; /* one line */
    const char *help;    /* the manual's body: a few paragraphs */
    const char *example; /* Lua that `stead check` accepts; run by a test */
    const Param *params;
    unsigned n_params;
    const Output *outputs;
    unsigned n_outputs;
    KindFlags flags;

    /* Pure check of all parameters together. NULL: nothing beyond types. */
    bool (*validate)(const Resource *resource, GError **error);
    /* The path of what is taken from beside the configuration, for `stead check`; caller frees.
     * NULL, also as an answer: nothing is. */
    char *(*beside)(const Resource *resource);
    /* Fills actual. Absent is no error: exists = false. */
    bool (*observe)(KindRun *run, State *actual, GError **error);
    /* What apply would do. NULL: kind_diff_properties(). Refreshes add ACTION_RESTART or _RUN when
     * run->refresh. */
    bool (*diff)(KindRun *run, const State *actual, Changes *changes, GError **error);
    /* What the changes of those that are applied in one go will do to things that are not theirs:
     * adds to the changes of any of them, by properties that begin with CHANGE_ALSO. Or refuses.
     * Called after diff where something differs, also when nothing is to be done; not for a proof.
     */
    bool (*foresee)(KindRun *const *runs, const State *const *actuals, Changes *const *changes,
                    unsigned n, GError **error);
    bool (*apply)(KindRun *run, const State *actual, const Changes *changes, GError **error);
    /* A shortcut for what observe and diff would do: true only when both would succeed and find
     * nothing to change. Asked when there is no refresh, and that the answer is yes is likely. Does
     * not set outputs, keep or note. NULL: none. */
    bool (*settled)(KindRun *run);
    /* Arms watches; called in the loop's thread. NULL: never changes by itself, or
     * KIND_UNWATCHABLE. */
    bool (*watch)(Watcher *watcher, const Resource *resource, GError **error);
    /* Yields what this resource wants an edge with, and who it is to others: autoedge.h. */
    void (*auto_edges)(const Resource *resource, AutoEdges *edges);
    /* Whether a and b (of this kind) may become one vertex. apply_group gets all members that have
     * changes. */
    bool (*group_with)(const Resource *a, const Resource *b);
    bool (*apply_group)(KindRun *const *runs, const State *const *actuals,
                        const Changes *const *changes, unsigned n, GError **error);
    /* Called once, before the first effect stead ever has on this resource: puts the bytes that a
     * later restore needs into before->content, and makes the property that describes them
     * ("sha256:HEX") agree with these very bytes. The engine stores them by their SHA-256 and fills
     * before->content again for reverse(). Bytes above LIMIT_PREIMAGE are left out: no error. NULL:
     * the properties say everything. */
    bool (*preimage)(KindRun *run, State *before, GError **error);
    /* The resource that undoes this one: before is the state found before stead's first change
     * (NULL or exists = false: created by us). NULL result without error: cannot be undone (only
     * forget or report). Its runs get what this one kept in run->kept. */
    Resource *(*reverse)(const Resource *resource, const State *before, OnRemove how,
                         GError **error);
    /* Removes what a killed apply may have left (temporaries). NULL: leaves nothing. */
    bool (*clean)(KindRun *run, GError **error);
    /* Whether a resource that keeps its name still means the same thing on the host although its
     * identity differs. NULL: it does not. What is not the same is undone. */
    bool (*same_thing)(const Resource *was, const Resource *now);
    /* Live edit check: NULL or true: in-place change from old to new is fine. */
    bool (*can_morph)(const Resource *from, const Resource *to);
};

/* Compares every PARAM_PROPERTY row that is set in the resource with actual; action becomes create
 * (actual does not exist), change or none. Properties that were not looked at do not count;
 * unknown ones make it uncertain. Texts of several lines get a diff. */
bool kind_diff_properties(KindRun *run, const State *actual, Changes *changes, GError **error);

int kind_param_index(const Kind *kind, const char *name); /* aliases too; -1: no such parameter */
/* What follows "no parameter 'NAME'" to help: ", did you mean 'x'?" or which there are. others:
 * further names that may stand beside the parameters. Caller frees. */
char *kind_param_hint(const Kind *kind, const char *name, const char *const *others,
                      size_t n_others);
/* param_convert() for row index, and where the word belongs to another of the kind's parameters the
 * error says so. */
Value *kind_convert(const Kind *kind, unsigned index, const Value *input, GError **error);
const Output *kind_find_output(const Kind *kind, const char *name);

/* Kinds that are made when they are first asked for: programs need not run to be listed. */
typedef struct KindSource KindSource;
struct KindSource {
    /* Sorted, as of now; borrowed until the next call. In one thread at a time. */
    const char *const *(*names)(const KindSource *source, unsigned *ret_count);
    /* NULL with error: there is none, or it cannot be used. Thread-safe. A kind stays as it is and
     * where it is for as long as its source. */
    const Kind *(*find)(const KindSource *source, const char *name, GError **error);
};

/* A set of kinds, as the language and loaders see it: names only, in the order listed. */
typedef struct {
    const Kind *const *kinds;
    unsigned n_kinds;
    const KindSource *more; /* NULL: none */
} KindSet;

const Kind *kind_set_find(const KindSet *set, const char *name);
/* What to write instead of a kind of other tools, like 'service'; NULL: nothing is known. set: only
 * of these kinds; NULL: of all. */
const char *kind_foreign_hint(const char *name, const KindSet *set);
/* Why it is not found: "no such kind 'fil', did you mean 'file'?", or what is wrong with its
 * program. STEAD_ERROR_CONFIG without place. */
void kind_set_unknown(const KindSet *set, const char *name, GError **error);

/* A resource as resource_to_value() gave it, from a plan or the ledger: kind, parameters and meta
 * are checked, and filled up, as if they came from a configuration; the kind's own check is left
 * out when there are secrets, whose text is not saved. */
Resource *resource_from_value(const Value *value, const KindSet *kinds, Origin origin,
                              GError **error);
