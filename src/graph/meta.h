#pragma once
/* Meta parameters: how the engine treats a resource, whatever its kind. Semantics: mgmt's, see the
 * reference. */
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
    char **sema;    /* "id" or "id:N", sorted; NULL: none */
    bool rewatch;   /* re-create a dead vertex at the next swap even if unchanged */
    bool hidden;    /* stays in the graph, is never watched or applied */
    bool autoedge;  /* default true */
    bool autogroup; /* default true */
    bool protect;   /* refuse removal, also after the block is gone from the configuration */
    OnRemove on_remove;
} Meta;

extern const Param meta_params[]; /* rows in the order of MetaIndex */
extern const size_t meta_params_count;

Meta *meta_new(void); /* defaults */
Meta *meta_copy(const Meta *meta);
void meta_free(Meta *meta); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Meta, meta_free)
bool meta_equal(const Meta *a, const Meta *b);
extern const Meta meta_defaults;

/* Sets one member by the name of its row. `realize`, a limit without burst (checked by
 * meta_validate) and bare integer semaphores are errors that say why. */
bool meta_set(Meta *meta, const char *name, const Value *input, GError **error);
bool meta_validate(const Meta *meta, GError **error);
Value *meta_to_value(const Meta *meta); /* map of what differs from the defaults */
const char *on_remove_name(OnRemove on_remove);
