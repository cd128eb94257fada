#pragma once
/*
 * A plan: the graph run against a predicted copy of the host. Each step sees what its predecessors
 * will have done. As a Value it has the shape of Terraform's plan (see plan_to_value()).
 */
#include "engine/engine.h"

typedef struct Plan Plan;

typedef struct {
    const KindSet *kinds;
    Host *host;     /* the real one; only read */
    Ledger *ledger; /* read; may be NULL */
    unsigned parallel;
    const char *state_dir;
    bool noop;                 /* everything is only looked at */
    const char *configuration; /* as in EngineOptions */
    bool take_over;
    const char *const *force;
} PlanOptions;

/* One resource that would change, fail, or cannot be judged. All members owned by the plan. */
typedef struct {
    const Resource *resource;
    OnRemove removal; /* not default: undoes the resource */
    const Changes *changes;
    bool corrective;   /* drift: the ledger knows this definition as applied */
    bool refreshed;    /* a notification would make it act */
    bool pending;      /* noop keeps it from being done */
    bool reported;     /* left the configuration, stays, is only told */
    const char *note;  /* what its kind has to say, or NULL */
    const char *error; /* would fail, or "blocked by ..." */
} PlanItem;

/* Runs graph (sealed; grouped here) to its end in a loop of its own. */
Plan *plan_new(Graph *graph, const PlanOptions *options, GError **error);
void plan_free(Plan *plan); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Plan, plan_free)

/* data lives at least as long as the plan, which frees it then: kinds that its resources are of. */
void plan_keep(Plan *plan, void *data, GDestroyNotify free_data);

/* Removals and restorations first, then in the order of the graph. */
unsigned plan_size(const Plan *plan);
const PlanItem *plan_item(const Plan *plan, unsigned index);
Graph *plan_graph(const Plan *plan); /* borrowed; as given, without removals */
unsigned plan_count_unchanged(const Plan *plan);
bool plan_changes_anything(const Plan *plan);
/* As engine_warning(); borrowed. */
const char *plan_warning(const Plan *plan);
bool plan_has_errors(const Plan *plan);

/* {format_version, graph_digest, graph, resource_changes, resource_drift, errored}. Every change:
 * {address, type, name, origin, removal, change: {actions, before, after, after_unknown,
 * before_sensitive, after_sensitive}, diffs, notified, uncertain, note, error}. */
Value *plan_to_value(const Plan *plan);
Value *changes_to_value(const Changes *changes); /* list of {property, before, after} */

/* Whether a saved plan still says what plan says: false with STEAD_ERROR_REFUSED naming each
 * resource and property that moved. */
bool plan_matches(const Plan *plan, const Value *saved, GError **error);

/* For EngineOptions.approve: refuses what the plan did not announce. data is the Plan. Thread-safe.
 */
bool plan_approves(void *plan, const Resource *resource, const Changes *changes, GError **error);
