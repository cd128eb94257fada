#include "lib/plan.h"

#include "lib/error.h"
#include "lib/graph.h"
#include "lib/value.h"

Plan *machine_plan(stead_machine *machine, Graph *graph, const PlanWishes *wishes, GError **error) {
    PlanOptions options = {
        .kinds = programs_kinds(machine->programs),
        .host = machine->host,
        .ledger = machine->ledger,
        .parallel = wishes->parallel,
        .state_dir = machine->state_dir,
        .noop = wishes->noop,
        .configuration = wishes->configuration,
        .take_over = wishes->take_over,
        .force = wishes->force,
    };
    Plan *plan = plan_new(graph, &options, error);
    if (plan)
        plan_keep(plan, programs_ref(machine->programs), (GDestroyNotify)programs_unref);
    return plan;
}

/* A ledger that is opened to be read is closed again: others write it meanwhile. */
static Plan *plan_with_ledger(stead_machine *machine, stead_graph *graph, GError **error) {
    Graph *sealed = graph_of(graph, error);
    bool was_open = machine->ledger != NULL;
    PlanWishes wishes = { .configuration = machine->name };
    Plan *plan = NULL;
    if (sealed && machine_open_ledger(machine, LEDGER_READ, error))
        plan = machine_plan(machine, sealed, &wishes, error);
    if (!was_open)
        machine_close_ledger(machine);
    return plan;
}

stead_plan *stead_plan_new(stead_machine *machine, stead_graph *graph, stead_error **error) {
    GError *problem = NULL;
    Plan *plan = plan_with_ledger(machine, graph, &problem);
    if (!plan)
        error_give(error, problem);
    return (stead_plan *)plan;
}

void stead_plan_free(stead_plan *plan) {
    plan_free((Plan *)plan);
}

size_t stead_plan_size(const stead_plan *plan) {
    return plan_size(plan_of(plan));
}

bool stead_plan_get(const stead_plan *plan, size_t index, stead_plan_item *ret_item) {
    if (index >= stead_plan_size(plan))
        return false;
    const PlanItem *item = plan_item(plan_of(plan), (unsigned)index);
    stead_plan_item shown = {
        .kind = item->resource->kind->name,
        .name = item->resource->name,
        .action = item->changes ? action_name(item->changes->action) : NULL,
        .error = item->error,
        .removal = item->removal != ON_REMOVE_DEFAULT,
        .corrective = item->corrective,
        .uncertain = item->changes && item->changes->uncertain,
        .only_reported = item->pending || item->reported,
    };
    options_write(ret_item, &shown, sizeof shown);
    return true;
}

bool stead_plan_has_changes(const stead_plan *plan) {
    return plan_changes_anything(plan_of(plan));
}

bool stead_plan_has_errors(const stead_plan *plan) {
    return plan_has_errors(plan_of(plan));
}

const char *stead_plan_warning(const stead_plan *plan) {
    return plan_warning(plan_of(plan));
}

stead_value *stead_plan_to_value(const stead_plan *plan) {
    return value_give(plan_to_value(plan_of(plan)));
}
