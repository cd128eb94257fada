#ifndef STEAD_H
#define STEAD_H
/*
 * libstead: declares what a Linux machine should be, shows what would change, makes it so and keeps
 * it so, from inside another program. Link with `pkg-config --cflags --libs stead`.
 *
 *     stead_machine *machine = stead_machine_open(NULL, &error);
 *     stead_graph *graph = stead_graph_new();
 *     stead_resource *file = stead_graph_add(graph, "file", "/etc/motd", &error);
 *     stead_resource_set_string(file, "content", "hello\n", &error);
 *     stead_graph_validate(graph, &error);
 *     stead_run *run = stead_run_new(machine, graph, NULL, &error);
 *     stead_run_wait(run, &error);          or stead_run_prepare(), poll(), stead_run_dispatch()
 *
 * Kinds and parameters are those of stead-kinds(7), by name. doc/embedding.md tells the same at
 * length, examples/embed is a whole program.
 *
 * Ownership. What a stead_*_new(), _open(), _load() or _ref() returns is the caller's, to be given
 * to the stead_*_free(), _close() or _unref() of its type; those accept NULL. Pointers to const are
 * borrowed from the object they were asked of, and live as long as it unless said otherwise. Texts
 * returned as `char *` go to stead_free().
 *
 * Errors. What can fail takes a `stead_error **` as its last argument, which may be NULL. On
 * failure it returns false, NULL or -1 and sets *error to a new error; on success *error is left
 * alone. Bytes from outside (names, values, files) are refused with an error; an argument that
 * breaks the rules stated here (NULL where it is not allowed, another thread) ends the process, as
 * does a lack of memory for small objects.
 *
 * Threads. There is no global state: what was made from different machines may be used in different
 * threads at the same time. A machine, its graphs, plans and runs belong to the thread that made
 * them. Values never change once they are complete, and may be shared. Work that blocks is done in
 * threads of the library, which have all signals blocked; callbacks run in the caller's thread,
 * only inside stead_run_*() functions. The library installs no signal handler and changes no
 * locale. Programs it runs are waited for by descriptor, so SIGCHLD must not be ignored (SIG_IGN).
 *
 * Compatibility. Within one soname functions are only added. Structures that a caller fills begin
 * with their size, which must be set: they may grow at their end. Enumerations may grow too: expect
 * numbers you do not know in events and errors.
 *
 * Texts are UTF-8 and end with a NUL. Times are microseconds.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define STEAD_API __attribute__((visibility("default")))

/* The version of the library that runs, as "0.1.0". */
STEAD_API const char *stead_version(void);
/* Frees a text that a function returned as `char *`. Accepts NULL. */
STEAD_API void stead_free(char *text);

/* --- errors ----------------------------------------------------------------------------------- */

typedef struct stead_error stead_error;

/* Codes of the domain "stead". */
typedef enum {
    STEAD_E_FAILED = 1,    /* anything without a code of its own */
    STEAD_E_CONFIG,        /* a name, a value or a configuration is wrong */
    STEAD_E_IO,            /* the system refused; the message ends with its reason */
    STEAD_E_NOT_FOUND,     /* the named thing does not exist */
    STEAD_E_EXISTS,        /* it exists already, or is not what was expected */
    STEAD_E_REFUSED,       /* a guard said no: protection, a lock, a plan that no longer fits */
    STEAD_E_LIMIT,         /* more than the library is made for */
    STEAD_E_TIMEOUT,       /* a deadline passed */
    STEAD_E_CANCELLED,     /* stopped on request */
    STEAD_E_UNPREDICTABLE, /* a plan cannot know it */
    STEAD_E_UNSUPPORTED,   /* this machine cannot do that */
    STEAD_E_DAMAGED,       /* bytes on disk are not what was written */
} stead_code;

/* "stead", or the name of the library below that failed, whose own codes then count. */
STEAD_API const char *stead_error_domain(const stead_error *error);
STEAD_API int stead_error_code(const stead_error *error); /* a stead_code in the domain "stead" */
/* For people: lower case, without a full stop, `file:line: ` in front when it has a place; may have
 * several lines. */
STEAD_API const char *stead_error_message(const stead_error *error);
/* Where several things are wrong at once: the next of them, owned by error; NULL after the last. */
STEAD_API const stead_error *stead_error_next(const stead_error *error);
STEAD_API void stead_error_free(stead_error *error); /* with all that follow it */

/* --- values ----------------------------------------------------------------------------------- */

/* What parameters, properties and reports are made of; counted references. */
typedef struct stead_value stead_value;

typedef enum {
    STEAD_NIL,
    STEAD_BOOL,
    STEAD_INT,
    STEAD_FLOAT,
    STEAD_STRING, /* any bytes */
    STEAD_LIST,
    STEAD_MAP,     /* keys are texts, in byte order */
    STEAD_UNKNOWN, /* in plans: known only when it is done */
} stead_type;

STEAD_API stead_value *stead_value_new_nil(void);
STEAD_API stead_value *stead_value_new_bool(bool b);
STEAD_API stead_value *stead_value_new_int(int64_t i);
STEAD_API stead_value *stead_value_new_float(double d);
STEAD_API stead_value *stead_value_new_string(const char *text);
STEAD_API stead_value *stead_value_new_bytes(const void *data, size_t size);
STEAD_API stead_value *stead_value_new_list(void);
STEAD_API stead_value *stead_value_new_map(void);
/* A text that is shown as (secret) wherever values are shown or stored. name is how saved plans
 * refer to it. */
STEAD_API stead_value *stead_value_new_secret(const char *name, const char *text);
/* Reads one JSON document; where names it in errors. */
STEAD_API stead_value *stead_value_new_json(const char *text, size_t size, const char *where,
                                            stead_error **error);

STEAD_API stead_value *stead_value_ref(const stead_value *value); /* NULL gives NULL */
STEAD_API void stead_value_unref(stead_value *value);

/* Adds to a list or map that nobody else has a reference to yet. Takes item over, which must be
 * complete; NULL adds nil. A key that is there is replaced. */
STEAD_API void stead_value_append(stead_value *list, stead_value *item);
STEAD_API void stead_value_set(stead_value *map, const char *key, stead_value *item);

/* Reading: NULL counts as nil, and another type than asked for gives the fallback, NULL or 0. */
STEAD_API stead_type stead_value_type(const stead_value *value);
STEAD_API bool stead_value_get_bool(const stead_value *value, bool fallback);
STEAD_API int64_t stead_value_get_int(const stead_value *value, int64_t fallback);
STEAD_API double stead_value_get_float(const stead_value *value, double fallback); /* or an int */
/* Followed by a NUL that is not counted; ret_size (may be NULL) because there may be others. */
STEAD_API const char *stead_value_get_string(const stead_value *value, size_t *ret_size);
STEAD_API size_t stead_value_size(const stead_value *value); /* items of a list or map */
/* The index-th item of a list or map, with its key in *ret_key (may be NULL; NULL for a list). */
STEAD_API const stead_value *stead_value_at(const stead_value *value, size_t index,
                                            const char **ret_key);
STEAD_API const stead_value *stead_value_get(const stead_value *map, const char *key);
STEAD_API bool stead_value_equal(const stead_value *a, const stead_value *b);
/* JSON on one line, secrets masked; stead_free() it. */
STEAD_API char *stead_value_to_json(const stead_value *value);

/* --- machines --------------------------------------------------------------------------------- */

/* A machine (or a directory tree that stands for one) and what stead remembers about it. */
typedef struct stead_machine stead_machine;

typedef enum {
    STEAD_MACHINE_VERIFY = 1 << 0,    /* read every file, also those that look unchanged */
    STEAD_MACHINE_FORGETFUL = 1 << 1, /* keep no ledger: what leaves a graph is not undone */
} stead_machine_flags;

typedef struct {
    size_t size;       /* sizeof(stead_machine_options) */
    const char *root;  /* directory that counts as "/"; NULL: this machine */
    const char *state; /* directory of the ledger; NULL: /var/lib/stead below root */
    const char *name;  /* who we are, to others who find the ledger locked, or what we made in it;
                        * NULL: "libstead" */
    uint64_t flags;    /* stead_machine_flags */
    /* Directories with programs that speak for kinds, besides /etc/stead/kinds and
     * /usr/lib/stead/kinds, NULL-terminated; or NULL. See doc/kinds-in-any-language.md. */
    const char *const *kinds;
} stead_machine_options;

/* options: NULL for the defaults. Nothing is made or locked before the first run. */
STEAD_API stead_machine *stead_machine_open(const stead_machine_options *options,
                                            stead_error **error);
/* Waits until the ledger is written. Its runs must be gone, graphs and plans may stay. */
STEAD_API void stead_machine_close(stead_machine *machine);

/* --- graphs ----------------------------------------------------------------------------------- */

typedef struct stead_graph stead_graph;
/* One declared thing; belongs to its graph. */
typedef struct stead_resource stead_resource;

typedef enum {
    STEAD_EDGE_NOTIFY = 1 << 0, /* a change of the first refreshes the second: restart, run again */
} stead_edge_flags;

typedef enum {
    STEAD_LOAD_NO_AUTO_EDGES = 1 << 0, /* only the order that is written down */
    STEAD_LOAD_NOOP = 1 << 1,          /* as `stead plan --noop` */
} stead_load_flags;

typedef struct {
    size_t size;                  /* sizeof(stead_load_options) */
    const stead_value *values;    /* map the configuration reads as `values`; or NULL */
    const stead_value *secrets;   /* map of names and texts; or NULL */
    const char *const *env_names; /* environment variables it may read, NULL-terminated; or NULL */
    uint64_t flags;               /* stead_load_flags */
} stead_load_options;

/* Evaluates a configuration (.lua, .yaml) with the facts of machine. The graph is complete and
 * valid. All that is wrong is in the error and those after it, in the order of lines. */
STEAD_API stead_graph *stead_graph_load(stead_machine *machine, const char *file,
                                        const stead_load_options *options, stead_error **error);
/* The index-th warning of loading; NULL after the last. */
STEAD_API const char *stead_graph_warning(const stead_graph *graph, size_t index);

/* An empty graph, to be built with the functions below and then validated. */
STEAD_API stead_graph *stead_graph_new(void);
/* The same, with the kinds that programs on machine speak for besides the built-in ones. NULL with
 * an error when a program has a name that is taken. */
STEAD_API stead_graph *stead_graph_new_on(stead_machine *machine, stead_error **error);
/* Runs and plans that use it keep it alive. */
STEAD_API void stead_graph_free(stead_graph *graph);

/* Declares a resource; unknown kinds are refused with the nearest one named. Resources, parameters
 * and edges cannot be added to a validated or loaded graph: STEAD_E_REFUSED. */
STEAD_API stead_resource *stead_graph_add(stead_graph *graph, const char *kind, const char *name,
                                          stead_error **error);
/* The first resource of that kind and name that was added; NULL: none, or a loaded graph. */
STEAD_API stead_resource *stead_graph_find(stead_graph *graph, const char *kind, const char *name);
/* `from` comes before `to`, both of graph. */
STEAD_API bool stead_graph_add_edge(stead_graph *graph, stead_resource *from, stead_resource *to,
                                    uint64_t flags, stead_error **error);

/* Sets a parameter of the kind, or a meta parameter (noop, retry, protect, on_remove, ...). Takes
 * value over, also on error; nil unsets a parameter. What is converted, and how, is the kind's:
 * stead-kinds(7). */
STEAD_API bool stead_resource_set(stead_resource *resource, const char *param, stead_value *value,
                                  stead_error **error);
STEAD_API bool stead_resource_set_string(stead_resource *resource, const char *param,
                                         const char *text, stead_error **error);
STEAD_API bool stead_resource_set_int(stead_resource *resource, const char *param, int64_t i,
                                      stead_error **error);
STEAD_API bool stead_resource_set_bool(stead_resource *resource, const char *param, bool b,
                                       stead_error **error);
/* The parameter comes from an output of another resource of the graph while it runs. */
STEAD_API bool stead_resource_receive(stead_resource *resource, const char *param,
                                      stead_resource *sender, const char *output,
                                      stead_error **error);
/* Where it was declared, for messages: errors begin with `file:line: ` then. Call it first. */
STEAD_API void stead_resource_set_origin(stead_resource *resource, const char *file, unsigned line);

/* Completes the graph: checks every resource, adds automatic edges, finds cycles and duplicates.
 * All that is wrong is in the error and those after it; such a graph can only be freed. Again on a
 * valid graph it does nothing. */
STEAD_API bool stead_graph_validate(stead_graph *graph, stead_error **error);
STEAD_API size_t stead_graph_size(const stead_graph *graph); /* resources */
/* The validated graph as a map: resources, and edges by their numbers; see doc/json.md. */
STEAD_API stead_value *stead_graph_to_value(const stead_graph *graph);

/* --- plans ------------------------------------------------------------------------------------ */

/* What a run would do, found by running the graph against a predicted copy of the machine. */
typedef struct stead_plan stead_plan;

typedef struct {
    size_t size;      /* sizeof(stead_plan_item), set by the caller */
    const char *kind; /* of the resource */
    const char *name;
    const char *action; /* "create", "change", "remove", "replace", "run", "restart"; NULL: error */
    const char *error;  /* why it would fail or is blocked; NULL: it would not */
    bool removal;       /* it left the configuration and is undone */
    bool corrective;    /* somebody changed the machine; else the graph is new or changed */
    bool uncertain;     /* whether it happens is decided only when it is done */
    bool only_reported; /* shown, but not done: noop, or it left with on_remove = "report" */
} stead_plan_item;

/* Changes nothing. graph must be valid. Blocks until the plan is there. */
STEAD_API stead_plan *stead_plan_new(stead_machine *machine, stead_graph *graph,
                                     stead_error **error);
STEAD_API void stead_plan_free(stead_plan *plan);
STEAD_API size_t stead_plan_size(const stead_plan *plan);
/* Removals first, then in the order of the graph. False when there are not so many. */
STEAD_API bool stead_plan_get(const stead_plan *plan, size_t index, stead_plan_item *ret_item);
STEAD_API bool stead_plan_has_changes(const stead_plan *plan);
STEAD_API bool stead_plan_has_errors(const stead_plan *plan);
/* What is to be known before a run with that graph; NULL: nothing. */
STEAD_API const char *stead_plan_warning(const stead_plan *plan);
/* All of it, in the shape of `stead plan --json`: doc/json.md. */
STEAD_API stead_value *stead_plan_to_value(const stead_plan *plan);

/* --- runs ------------------------------------------------------------------------------------- */

/* Makes a graph true, and keeps it so when asked. One at a time for a machine. */
typedef struct stead_run stead_run;
typedef struct stead_event stead_event;

typedef enum {
    STEAD_EVENT_OK,         /* looked: right */
    STEAD_EVENT_CHANGED,    /* was wrong and was made right */
    STEAD_EVENT_PENDING,    /* is wrong and stays so: noop */
    STEAD_EVENT_FAILED,     /* gave up: stead_event_error() says why */
    STEAD_EVENT_RETRYING,   /* failed, will be tried again */
    STEAD_EVENT_NOTE,       /* a line for people: stead_event_note() */
    STEAD_EVENT_REPORTED,   /* left the graph with on_remove = "report" */
    STEAD_EVENT_FLAPPING,   /* corrected too often: somebody else writes it too; backs off */
    STEAD_EVENT_WATCH_LOST, /* cannot be watched: polled from now on */
    STEAD_EVENT_CONVERGED,  /* nothing left to do */
    STEAD_EVENT_DIVERGED,   /* something is to be done again */
    STEAD_EVENT_SWAPPED,    /* a graph took over: at the start, and stead_run_load() */
} stead_event_type;

/* Of an event, valid during the callback. */
STEAD_API stead_event_type stead_event_get_type(const stead_event *event);
STEAD_API const char *stead_event_kind(const stead_event *event); /* NULL: not about a resource */
STEAD_API const char *stead_event_name(const stead_event *event);
STEAD_API const char *stead_event_action(const stead_event *event); /* as in a plan; NULL: none */
/* List of maps: property, before, after. NULL: none. */
STEAD_API const stead_value *stead_event_changes(stead_event *event);
STEAD_API const char *stead_event_error(const stead_event *event); /* NULL: none */
STEAD_API const char *stead_event_note(const stead_event *event);  /* NULL: none */
STEAD_API bool stead_event_corrective(const stead_event *event);   /* drift, as in a plan */
/* From what showed the drift to its repair; -1: not known. */
STEAD_API int64_t stead_event_latency(const stead_event *event);

/* Called in the run's thread, inside stead_run_*(); in stead_run_new() too, when there is no run
 * yet to ask. May call stead_run_stop(), _recheck(), _retry_failed(), _get_summary() and
 * _get_status(), and must not free the run. */
typedef void (*stead_event_callback)(void *data, stead_event *event);

typedef enum {
    STEAD_RUN_KEEP = 1 << 0, /* go on after convergence: watch, and repair what drifts */
    STEAD_RUN_NOOP = 1 << 1, /* look and report only */
    /* Undo what another program, or the command with a configuration, made last on this state
     * directory and the graph does not have. Without, such a graph is refused: STEAD_E_REFUSED. */
    STEAD_RUN_TAKE_OVER = 1 << 2,
} stead_run_flags;

typedef struct {
    size_t size;                /* sizeof(stead_run_options) */
    uint64_t flags;             /* stead_run_flags */
    unsigned parallel;          /* resources at once; 0: twice the processors */
    unsigned flap_limit;        /* corrections a minute before backing off; 0: no limit */
    uint64_t recheck_failed;    /* us after which what failed is tried again at the latest: sooner
                                 * at first, and when something happens to it. 0: ten minutes
                                 * with STEAD_RUN_KEEP, else never; UINT64_MAX: never */
    uint64_t converged_timeout; /* us of quiet before STEAD_EVENT_CONVERGED; without
                                 * STEAD_RUN_KEEP the run watches until then */
    const stead_plan *plan;     /* stop at any change it did not announce; NULL: all may be. Must
                                 * outlive the run */
    stead_event_callback on_event; /* or NULL */
    void *data;                    /* for on_event */
} stead_run_options;

/* Locks the ledger and starts. graph must be valid; options: NULL for the defaults. Nothing happens
 * outside of the functions below. Fails with STEAD_E_REFUSED while another process, or another run,
 * has the machine. */
STEAD_API stead_run *stead_run_new(stead_machine *machine, stead_graph *graph,
                                   const stead_run_options *options, stead_error **error);
/* Cancels what runs and waits for it. Killed or freed at any time, the next run goes on. */
STEAD_API void stead_run_free(stead_run *run);

/* In a loop of the library's own: returns when the run is over; false when the loop failed. */
STEAD_API bool stead_run_wait(stead_run *run, stead_error **error);

/* In a loop of yours (poll, epoll, sd-event, GLib, ...): before each wait call stead_run_prepare()
 * and wait until the descriptor is readable, for at most so long; then stead_run_dispatch(). */
STEAD_API int stead_run_get_fd(const stead_run *run); /* the same all the time; the run's */
/* Milliseconds the caller may wait, as for poll(): 0: dispatch at once; -1: any time. */
STEAD_API int stead_run_prepare(stead_run *run);
/* Handles what is ready, without waiting. 1: goes on; 0: the run is over; -1: the loop failed. */
STEAD_API int stead_run_dispatch(stead_run *run, stead_error **error);

/* Replaces the graph live: only what differs is touched. On error the old one stays. */
STEAD_API bool stead_run_load(stead_run *run, stead_graph *graph, stead_error **error);
/* With STEAD_RUN_NOOP: why the graph loaded last would be refused; NULL: it would not. */
STEAD_API const char *stead_run_warning(const stead_run *run);
/* Ends the run: the first call lets what runs finish, the second cancels it, the third kills. */
STEAD_API void stead_run_stop(stead_run *run);
STEAD_API void stead_run_recheck(stead_run *run);      /* look at everything again now */
STEAD_API void stead_run_retry_failed(stead_run *run); /* try what failed again now */

typedef struct {
    size_t size;    /* sizeof(stead_run_summary), set by the caller */
    unsigned total; /* resources */
    unsigned ok, changed, removed;
    unsigned pending, failed, blocked, unfinished;
    int exit_code; /* asked for by an `exit` resource; -1: none */
} stead_run_summary;

STEAD_API void stead_run_get_summary(const stead_run *run, stead_run_summary *ret_summary);
/* A map: state, error, blocked_by, ...; see doc/json.md. NULL: no such resource. */
STEAD_API stead_value *stead_run_get_status(const stead_run *run, const char *kind,
                                            const char *name);
/* Waits until all that was done is in the ledger; what failed to be written is told. */
STEAD_API bool stead_run_flush(stead_run *run, stead_error **error);

#ifdef __cplusplus
}
#endif
#endif
