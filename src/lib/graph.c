#include "lib/graph.h"

#include <string.h>

#include "graph/autoedge.h"
#include "kinds/kinds.h"
#include "lang/lang.h"
#include "lang/name.h"
#include "lib/error.h"
#include "lib/machine.h"
#include "lib/value.h"

typedef struct {
    unsigned from, to;
    EdgeFlags flags;
} BuiltEdge;

/* --- life ------------------------------------------------------------------------------------- */

static void built_free(void *data) {
    stead_resource *built = data;
    resource_unref(built->resource);
    g_free(built);
}

stead_graph *stead_graph_new(void) {
    stead_graph *graph = g_new0(stead_graph, 1);
    graph->resources = g_ptr_array_new_with_free_func(built_free);
    graph->by_key = g_hash_table_new(resource_key_hash, resource_key_equal);
    graph->edges = g_array_new(FALSE, FALSE, sizeof(BuiltEdge));
    return graph;
}

stead_graph *stead_graph_new_on(stead_machine *machine, stead_error **error) {
    GError *problem = NULL;
    if (!machine_kinds(machine, NULL, &problem)) {
        error_give(error, problem);
        return NULL;
    }
    stead_graph *graph = stead_graph_new();
    graph->programs = programs_ref(machine->programs);
    return graph;
}

static const KindSet *kinds_of(const stead_graph *graph) {
    return graph->programs ? programs_kinds(graph->programs) : &builtin_kinds;
}

void stead_graph_free(stead_graph *graph) {
    if (!graph)
        return;
    graph_unref(graph->graph);
    g_hash_table_unref(graph->by_key);
    g_ptr_array_unref(graph->resources);
    g_array_unref(graph->edges);
    g_clear_pointer(&graph->warnings, g_ptr_array_unref);
    programs_unref(graph->programs);
    g_free(graph);
}

Graph *graph_of(const stead_graph *graph, GError **error) {
    if (!graph->graph)
        g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                            "refuse the graph: it is not valid; see stead_graph_validate()");
    return graph->graph;
}

/* --- loading ---------------------------------------------------------------------------------- */

static bool load(stead_machine *machine, const char *file, const stead_load_options *options,
                 LangResult *result, GPtrArray *problems) {
    GError *error = NULL;
    const KindSet *kinds = machine_kinds(machine, file, &error);
    if (!kinds) {
        g_ptr_array_add(problems, error);
        return false;
    }
    LangInputs inputs = {
        .kinds = kinds,
        .host = machine->host,
        .values = value_of(options->values),
        .secrets = value_of(options->secrets),
        .env_names = options->env_names,
        .wall_now = (uint64_t)g_get_real_time(),
        .no_autoedges = options->flags & STEAD_LOAD_NO_AUTO_EDGES,
        .noop = options->flags & STEAD_LOAD_NOOP,
    };
    return lang_load(file, &inputs, result, problems);
}

stead_graph *stead_graph_load(stead_machine *machine, const char *file,
                              const stead_load_options *options, stead_error **error) {
    stead_load_options known;
    GError *problem = NULL;
    if (!options_read(options, &known, sizeof known, "load options", &problem)) {
        error_give(error, problem);
        return NULL;
    }
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func((GDestroyNotify)g_error_free);
    g_auto(LangResult) result = { 0 };
    if (!load(machine, file, &known, &result, problems)) {
        error_give_all(error, problems);
        return NULL;
    }
    stead_graph *graph = stead_graph_new();
    graph->programs = programs_ref(machine->programs);
    graph->graph = g_steal_pointer(&result.graph);
    graph->warnings = g_steal_pointer(&result.warnings);
    return graph;
}

const char *stead_graph_warning(const stead_graph *graph, size_t index) {
    bool there = graph->warnings && index < graph->warnings->len;
    return there ? g_ptr_array_index(graph->warnings, index) : NULL;
}

/* --- building --------------------------------------------------------------------------------- */

static bool check_open(const stead_graph *graph, GError **error) {
    if (!graph->graph && !graph->refused)
        return true;
    g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                        "refuse to change a graph that was validated; build a new one");
    return false;
}

static const Kind *find_kind(const stead_graph *graph, const char *kind, const char *name,
                             GError **error) {
    const Kind *found = kind_set_find(kinds_of(graph), kind);
    const char *refusal = name_refusal(name, strlen(name));
    if (!found) {
        kind_set_unknown(kinds_of(graph), kind, error);
        return NULL;
    }
    if (refusal) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "the name of this %s %s", kind,
                    refusal);
        return NULL;
    }
    return found;
}

stead_resource *stead_graph_add(stead_graph *graph, const char *kind, const char *name,
                                stead_error **error) {
    GError *problem = NULL;
    const Kind *found = check_open(graph, &problem) ? find_kind(graph, kind, name, &problem) : NULL;
    if (!found) {
        error_give(error, problem);
        return NULL;
    }
    stead_resource *built = g_new0(stead_resource, 1);
    built->graph = graph;
    built->resource = resource_new(found, name, (Origin){ NULL });
    built->vertex = graph->resources->len;
    g_ptr_array_add(graph->resources, built);
    if (!g_hash_table_contains(graph->by_key, built->resource))
        g_hash_table_insert(graph->by_key, built->resource, built);
    return built;
}

stead_resource *stead_graph_find(stead_graph *graph, const char *kind, const char *name) {
    const Kind *found = kind_set_find(kinds_of(graph), kind);
    if (!found)
        return NULL;
    g_autoptr(Resource) key = resource_new(found, name, (Origin){ NULL });
    return g_hash_table_lookup(graph->by_key, key);
}

bool stead_graph_add_edge(stead_graph *graph, stead_resource *from, stead_resource *to,
                          uint64_t flags, stead_error **error) {
    GError *problem = NULL;
    g_assert(from->graph == graph && to->graph == graph);
    if (!check_open(graph, &problem))
        return error_give(error, problem);
    BuiltEdge edge = { from->vertex, to->vertex, flags & STEAD_EDGE_NOTIFY ? EDGE_NOTIFY : 0 };
    g_array_append_val(graph->edges, edge);
    return true;
}

static bool set(stead_resource *built, const char *param, const Value *value, GError **error) {
    if (!check_open(built->graph, error))
        return false;
    if (meta_knows(param) ? meta_set(resource_own_meta(built->resource), param, value, error)
                          : resource_set(built->resource, param, value, error))
        return true;
    resource_prefix(built->resource, error);
    return false;
}

bool stead_resource_set(stead_resource *resource, const char *param, stead_value *value,
                        stead_error **error) {
    g_autoptr(Value) input = value_take(value);
    GError *problem = NULL;
    return set(resource, param, input, &problem) || error_give(error, problem);
}

bool stead_resource_set_string(stead_resource *resource, const char *param, const char *text,
                               stead_error **error) {
    return stead_resource_set(resource, param, stead_value_new_string(text), error);
}

bool stead_resource_set_int(stead_resource *resource, const char *param, int64_t i,
                            stead_error **error) {
    return stead_resource_set(resource, param, stead_value_new_int(i), error);
}

bool stead_resource_set_bool(stead_resource *resource, const char *param, bool b,
                             stead_error **error) {
    return stead_resource_set(resource, param, stead_value_new_bool(b), error);
}

bool stead_resource_receive(stead_resource *resource, const char *param, stead_resource *sender,
                            const char *output, stead_error **error) {
    GError *problem = NULL;
    g_assert(resource->graph == sender->graph);
    if (!check_open(resource->graph, &problem))
        return error_give(error, problem);
    if (resource_receive(resource->resource, param, sender->resource->kind->name,
                         sender->resource->name, output, &problem))
        return true;
    resource_prefix(resource->resource, &problem);
    return error_give(error, problem);
}

void stead_resource_set_origin(stead_resource *resource, const char *file, unsigned line) {
    if (check_open(resource->graph, NULL))
        resource->resource->origin = (Origin){ g_intern_string(file), line, 0 };
}

/* --- completing ------------------------------------------------------------------------------- */

static void finish(stead_resource *built, Graph *graph, GPtrArray *problems) {
    unsigned before = problems->len;
    (void)resource_finish(built->resource, problems); /* what is wrong is in problems */
    for (unsigned i = before; i < problems->len; i++)
        resource_prefix(built->resource, (GError **)&problems->pdata[i]);
    GError *problem = NULL;
    if (!graph_add(graph, resource_ref(built->resource), DUPLICATE_REFUSE, NULL, &problem))
        g_ptr_array_add(problems, problem);
}

/* Edges need every resource in its place, automatic ones need resources that are complete. */
static void connect(const stead_graph *built, Graph *graph, GPtrArray *problems) {
    if (problems->len > 0)
        return;
    for (unsigned i = 0; i < built->edges->len; i++) {
        const BuiltEdge *edge = &g_array_index(built->edges, BuiltEdge, i);
        const stead_resource *from = g_ptr_array_index(built->resources, edge->from);
        graph_add_edge(graph, edge->from, edge->to, edge->flags, from->resource->origin);
    }
    (void)graph_auto_edges(graph);
    (void)graph_seal(graph, problems); /* what is wrong is in problems */
}

bool stead_graph_validate(stead_graph *graph, stead_error **error) {
    GError *problem = NULL;
    if (graph->graph)
        return true;
    if (!check_open(graph, &problem))
        return error_give(error, problem);
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func((GDestroyNotify)g_error_free);
    g_autoptr(Graph) sealed = graph_new();
    for (unsigned i = 0; i < graph->resources->len; i++)
        finish(g_ptr_array_index(graph->resources, i), sealed, problems);
    connect(graph, sealed, problems);
    if (problems->len == 0) {
        graph->graph = g_steal_pointer(&sealed);
        return true;
    }
    graph->refused = true;
    return error_give_all(error, problems);
}

size_t stead_graph_size(const stead_graph *graph) {
    return graph->graph ? graph_size(graph->graph) : graph->resources->len;
}

stead_value *stead_graph_to_value(const stead_graph *graph) {
    return value_give(graph->graph ? graph_to_value(graph->graph) : NULL);
}
