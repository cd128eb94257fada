#pragma once
#include "engine/plan.h"
#include "lib/machine.h"

/* A plan of the public interface is a plan. */
static inline const Plan *plan_of(const stead_plan *plan) {
    return (const Plan *)plan;
}

typedef struct {
    unsigned parallel; /* 0: twice the processors */
    bool noop;
    const char *configuration; /* as in EngineOptions */
    bool take_over;
    const char *const *force; /* as in EngineOptions */
} PlanWishes;

/* With the ledger of machine as far as it is open. */
Plan *machine_plan(stead_machine *machine, Graph *graph, const PlanWishes *wishes, GError **error);
