#pragma once
/* Meta parameters: how the engine treats a resource, whatever its kind. Semantics: mgmt's, see the
 * reference. */
#include <stddef.h>

#include "graph/param.h"

typedef enum {
    ON_REMOVE_DEFAULT,
    ON_REMOVE_REMOVE,
    ON_REMOVE_RESTORE,
    ON_REMOVE_FORGET,
    ON_REMOVE_REPORT
} OnRemove;

typedef struct {
    bool noop;        /* look, report, do not change */
    int retry;        /* further tries after an error; -1: endless */
    bool retry_reset; /* a success refills the budget */
    uint64_t delay;   /* us between tries */
    uint64_t timeout; /* us for one check; 0: none */
    int64_t poll;   /* s; >0: check that often instead of watching; <0: one event only; 0: watch */
    double limit;   /* events a second; INFINITY: unlimited */
    int burst;      /* events let through at once below limit */
    bool reset;     /* drop retry and limit counters when the definition changes */
    char **sema;    /* "id" or "id:N", sorted, each once; NULL: none */
    bool rewatch;   /* re-create a dead vertex at the next swap even if unchanged */
    bool hidden;    /* stays in the graph, is never watched or applied */
    bool autoedge;  /* default true */
    bool autogroup; /* default true */
    bool protect;   /* refuse removal, also after the block is gone from the configuration */
    OnRemove on_remove;
    char **tags;   /* words to find it by, sorted, each once; they steer nothing; NULL: none */
    char **export; /* patterns of hosts that may collect it, sorted, each once; NULL: none */
} Meta;

/* Order of the rows of meta_params. */
typedef enum {
    META_NOOP,
    META_RETRY,
    META_RETRY_RESET,
    META_DELAY,
    META_TIMEOUT,
    META_POLL,
    META_LIMIT,
    META_BURST,
    META_RESET,
    META_SEMA,
    META_REWATCH,
    META_HIDDEN,
    META_AUTOEDGE,
    META_AUTOGROUP,
    META_PROTECT,
    META_ON_REMOVE,
    META_TAGS,
    META_EXPORT,
} MetaIndex;

extern const Param meta_params[]; /* rows in the order of MetaIndex */
extern const size_t meta_params_count;

Meta *meta_new(void); /* defaults */
Meta *meta_copy(const Meta *meta);
void meta_free(Meta *meta); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Meta, meta_free)
bool meta_equal(const Meta *a, const Meta *b);
/* Whether two resources are to be run alike: everything that steers a run of them is equal. */
bool meta_runs_alike(const Meta *a, const Meta *b);
extern const Meta meta_defaults;

/* Whether meta_set() has something to say about that name: rows, their aliases, and words of mgmt
 * that it refuses with the reason (`realize`). A loader asks this before it takes a key for a
 * parameter of the kind. */
bool meta_knows(const char *name);
/* Sets one member by the name of its row; the error names it. `realize`, a limit without burst
 * (checked by meta_validate) and bare integer semaphores are errors that say why. */
bool meta_set(Meta *meta, const char *name, const Value *input, GError **error);
bool meta_validate(const Meta *meta, GError **error);
Value *meta_to_value(const Meta *meta); /* map of what differs from the defaults, for meta_set() */
const char *on_remove_name(OnRemove on_remove);
/* How many may hold a semaphore at once: N of "id:N", else 1. */
int meta_sema_size(const char *sema);
