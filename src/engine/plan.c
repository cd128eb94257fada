#include "engine/plan.h"

#include <string.h>

#include "graph/graph.h"
#include "host/host-overlay.h"

struct Plan {
    Graph *graph;
    GPtrArray *items;   /* of PlanItem, in the order shown */
    GHashTable *by_key; /* Resource (key) -> PlanItem, borrowed */
    unsigned unchanged;
    char *warning;
    void *kept;
    GDestroyNotify free_kept;
};

/* --- making ----------------------------------------------------------------------------------- */

static void item_free(void *data) {
    PlanItem *item = data;
    resource_unref((Resource *)(uintptr_t)item->resource);
    changes_free((Changes *)(uintptr_t)item->changes);
    g_free((char *)(uintptr_t)item->error);
    g_free((char *)(uintptr_t)item->note);
    g_free(item);
}

static Changes *changes_copy(const Changes *changes) {
    Changes *copy = changes_new();
    copy->action = changes->action;
    copy->routine = changes->routine;
    copy->uncertain = changes->uncertain;
    copy->lines = g_strdup(changes->lines);
    for (unsigned i = 0; i < changes->changes->len; i++) {
        const Change *change = &g_array_index(changes->changes, Change, i);
        changes_add(copy, change->property, value_ref(change->before), value_ref(change->after),
                    g_strdup(change->diff));
    }
    copy->action = changes->action;
    return copy;
}

static PlanItem *add_item(Plan *plan, const EngineEvent *event) {
    PlanItem *item = g_new0(PlanItem, 1);
    item->resource = resource_ref(event->resource);
    item->removal = event->removal;
    item->changes = event->changes ? changes_copy(event->changes) : NULL;
    item->corrective = event->corrective;
    item->refreshed = event->refreshed;
    item->pending = event->type == ENGINE_PENDING;
    item->reported = event->type == ENGINE_REPORTED;
    item->error = event->error ? g_strdup(event->error->message) : NULL;
    g_hash_table_replace(plan->by_key, (void *)(uintptr_t)item->resource, item);
    g_ptr_array_add(plan->items, item);
    return item;
}

/* Comes right after what it is about; what stays as it is has no item. */
static void add_note(Plan *plan, const EngineEvent *event) {
    PlanItem *item = event->resource ? g_hash_table_lookup(plan->by_key, event->resource) : NULL;
    if (!item)
        return;
    g_free((char *)(uintptr_t)item->note);
    item->note = g_strdup(event->note);
}

static void listen(void *data, const EngineEvent *event) {
    Plan *plan = data;
    switch (event->type) {
    case ENGINE_OK:
        plan->unchanged++;
        break;
    case ENGINE_CHANGED:
    case ENGINE_PENDING:
    case ENGINE_FAILED:
    case ENGINE_REPORTED:
        add_item(plan, event);
        break;
    case ENGINE_NOTE:
        add_note(plan, event);
        break;
    case ENGINE_RETRYING:
    case ENGINE_FLAPPING:
    case ENGINE_WATCH_LOST:
    case ENGINE_CONVERGED:
    case ENGINE_DIVERGED:
    case ENGINE_SWAPPED:
        break;
    }
}

typedef struct {
    Plan *plan;
    Loop *loop;
} Run;

static void on_event(void *data, const EngineEvent *event) {
    Run *run = data;
    listen(run->plan, event);
    if (event->type == ENGINE_CONVERGED)
        loop_quit(run->loop);
}

static void add_blocked(void *data, const Value *status) {
    Plan *plan = data;
    if (strcmp(value_map_string(status, "state", ""), "blocked") != 0)
        return;
    int vertex = graph_find(plan->graph, value_map_string(status, "kind", ""),
                            value_map_string(status, "name", ""));
    if (vertex < 0)
        return;
    const Value *roots = value_map_get(status, "blocked_by");
    const char *root =
        value_size(roots) > 0 ? value_string(value_list_at(roots, 0)) : "a failed one";
    EngineEvent event = { .type = ENGINE_FAILED,
                          .resource = graph_resource(plan->graph, (unsigned)vertex) };
    PlanItem *item = add_item(plan, &event);
    item->error = g_strdup_printf("blocked by %s", root);
}

typedef struct {
    const PlanItem *item;
    unsigned rank;
} Ranked;

/* Position in the order of the graph; what left it has none and comes first. */
static unsigned rank_of(const Plan *plan, const unsigned *position, const PlanItem *item) {
    if (item->removal != ON_REMOVE_DEFAULT || item->reported)
        return 0;
    int vertex = graph_find(plan->graph, item->resource->kind->name, item->resource->name);
    return vertex < 0 ? 0 : position[vertex] + 1;
}

static int compare_ranked(const void *a, const void *b) {
    const Ranked *x = a, *y = b;
    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    /* What left: deepest names first, which is the order it can be undone in. */
    return -strcmp(x->item->resource->name, y->item->resource->name);
}

static void sort_items(Plan *plan) {
    unsigned size = graph_size(plan->graph);
    g_autofree unsigned *position = g_new0(unsigned, size + 1);
    for (unsigned i = 0; i < size; i++)
        position[graph_order(plan->graph)[i]] = i;
    g_autoptr(GArray) ranked = g_array_new(FALSE, FALSE, sizeof(Ranked));
    for (unsigned i = 0; i < plan->items->len; i++) {
        Ranked one = { .item = g_ptr_array_index(plan->items, i) };
        one.rank = rank_of(plan, position, one.item);
        g_array_append_val(ranked, one);
    }
    g_array_sort(ranked, compare_ranked);
    for (unsigned i = 0; i < ranked->len; i++)
        plan->items->pdata[i] = (void *)(uintptr_t)g_array_index(ranked, Ranked, i).item;
}

static Plan *plan_empty(Graph *graph) {
    Plan *plan = g_new0(Plan, 1);
    plan->graph = graph_ref(graph);
    plan->items = g_ptr_array_new_with_free_func(item_free);
    plan->by_key = g_hash_table_new(resource_key_hash, resource_key_equal);
    return plan;
}

Plan *plan_new(Graph *graph, const PlanOptions *options, GError **error) {
    g_autoptr(Loop) loop = loop_new(error);
    if (!loop)
        return NULL;
    g_autoptr(Host) overlay = host_overlay_new(options->host);
    g_autoptr(Plan) plan = plan_empty(graph);
    Run run = { .plan = plan, .loop = loop };
    EngineOptions engine_options = {
        .loop = loop,
        .host = overlay,
        .kinds = options->kinds,
        .ledger = options->ledger,
        .parallel = options->parallel,
        .noop = options->noop,
        .state_dir = options->state_dir,
        .configuration = options->configuration,
        .take_over = options->take_over,
        .force = options->force,
        .listener = on_event,
        .listener_data = &run,
    };
    g_autoptr(Engine) engine = engine_new(&engine_options);
    if (!engine_load(engine, graph, error) || !loop_run(loop, error))
        return NULL;
    plan->warning = g_strdup(engine_warning(engine));
    engine_visit_status(engine, add_blocked, plan);
    sort_items(plan);
    return g_steal_pointer(&plan);
}

void plan_free(Plan *plan) {
    if (!plan)
        return;
    g_hash_table_unref(plan->by_key);
    g_ptr_array_unref(plan->items);
    graph_unref(plan->graph);
    g_free(plan->warning);
    if (plan->free_kept)
        plan->free_kept(plan->kept);
    g_free(plan);
}

void plan_keep(Plan *plan, void *data, GDestroyNotify free_data) {
    g_assert(!plan->free_kept);
    plan->kept = data;
    plan->free_kept = free_data;
}

/* --- reading ---------------------------------------------------------------------------------- */

unsigned plan_size(const Plan *plan) {
    return plan->items->len;
}

const PlanItem *plan_item(const Plan *plan, unsigned index) {
    return g_ptr_array_index(plan->items, index);
}

Graph *plan_graph(const Plan *plan) {
    return plan->graph;
}

const char *plan_warning(const Plan *plan) {
    return plan->warning;
}

unsigned plan_count_unchanged(const Plan *plan) {
    return plan->unchanged;
}

bool plan_changes_anything(const Plan *plan) {
    for (unsigned i = 0; i < plan->items->len; i++) {
        const PlanItem *item = plan_item(plan, i);
        if (!item->error && !item->reported)
            return true;
    }
    return false;
}

bool plan_has_errors(const Plan *plan) {
    for (unsigned i = 0; i < plan->items->len; i++)
        if (plan_item(plan, i)->error)
            return true;
    return false;
}

/* Whether all that a change does besides was announced, of whichever resource. */
static bool announces(const Plan *plan, const Change *change) {
    for (size_t i = 0; i < value_size(change->after); i++) {
        bool found = false;
        for (unsigned k = 0; !found && k < plan->items->len; k++) {
            const PlanItem *item = plan_item(plan, k);
            const Change *planned =
                item->changes ? changes_find(item->changes, change->property) : NULL;
            for (size_t j = 0; planned && !found && j < value_size(planned->after); j++)
                found =
                    value_equal(value_list_at(planned->after, j), value_list_at(change->after, i));
        }
        if (!found)
            return false;
    }
    return true;
}

/* Without what is done besides. */
static Value *own_changes(const Value *all) {
    Value *own = value_new_list();
    for (size_t i = 0; i < value_size(all); i++) {
        const Value *change = value_list_at(all, i);
        if (!g_str_has_prefix(value_map_string(change, "property", ""), CHANGE_ALSO))
            value_list_append(own, value_ref(change));
    }
    return own;
}

static bool announces_all(const Plan *plan, const Changes *changes) {
    for (unsigned i = 0; i < changes->changes->len; i++) {
        const Change *change = &g_array_index(changes->changes, Change, i);
        if (g_str_has_prefix(change->property, CHANGE_ALSO) && !announces(plan, change))
            return false;
    }
    return true;
}

static bool are_announced(const Plan *plan, const PlanItem *item, const Changes *changes,
                          const Value *found) {
    g_autoptr(Value) all = changes_to_value(item->changes);
    g_autoptr(Value) planned = own_changes(all);
    g_autoptr(Value) own = own_changes(found);
    return value_equal(own, planned) && announces_all(plan, changes);
}

bool plan_approves(void *data, const Resource *resource, const Changes *changes, GError **error) {
    const Plan *plan = data;
    const PlanItem *item = g_hash_table_lookup(plan->by_key, resource);
    g_autoptr(Value) found = changes_to_value(changes);
    if (item && item->changes && item->changes->action == changes->action &&
        (item->changes->uncertain || are_announced(plan, item, changes, found)))
        return true;
    g_autofree char *now = value_show(found, 200);
    g_set_error(
        error, STEAD_ERROR, STEAD_ERROR_REFUSED,
        "stop: the plan did not announce this change (%s %s); somebody changed the host since",
        action_name(changes->action), now);
    return false;
}
