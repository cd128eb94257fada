#include "lang/lang.h"

#include <locale.h>
#include <string.h>

#include "graph/autoedge.h"
#include "lang/eval.h"
#include "lang/exports.h"
#include "lang/lua-declare.h"
#include "lang/lua-sandbox.h"
#include "lang/problems.h"
#include "lang/puppet-catalog.h"
#include "lang/source.h"
#include "lang/yaml-graph.h"

void lang_result_clear(LangResult *result) {
    g_clear_pointer(&result->graph, graph_unref);
    g_clear_pointer(&result->files, g_strfreev);
    g_clear_pointer(&result->reads, value_unref);
    g_clear_pointer(&result->wants, value_unref);
    g_clear_pointer(&result->health, value_unref);
    g_clear_pointer(&result->warnings, g_ptr_array_unref);
    *result = (LangResult){ .graph = NULL };
}

/* Comparing and printing must not depend on the user's locale. */
static locale_t enter_c_locale(locale_t *ret_c) {
    *ret_c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    return *ret_c ? uselocale(*ret_c) : (locale_t)0;
}

static void leave_c_locale(locale_t c, locale_t before) {
    if (!c)
        return;
    uselocale(before);
    freelocale(c);
}

/* False: the program ended early. What it would have declared is not known then, and nothing that
 * is missing may be reported. */
static bool run(Eval *eval) {
    bool complete = sandbox_run(eval);
    if (complete)
        declare_resolve(eval);
    return complete;
}

/* What was evaluated beside a finisher counts only when all resources are right; otherwise it is
 * done once more, each resource checked where it is declared, so that its problems have places. */
static Eval *evaluate(const char *file, const LangInputs *inputs, Sources *sources,
                      Problems *problems, bool *ret_complete, AutoEdges **ret_edges) {
    g_autoptr(Eval) eval = eval_new(inputs, file, sources, problems);
    eval->finisher = finisher_new(!inputs->no_autoedges);
    *ret_complete = run(eval);
    if (finisher_wait(eval->finisher, ret_edges))
        return g_steal_pointer(&eval);
    problems_clear(problems);
    g_clear_pointer(&eval, eval_free);
    eval = eval_new(inputs, file, sources, problems);
    *ret_complete = run(eval);
    return g_steal_pointer(&eval);
}

static gpointer copy_text(gconstpointer text, gpointer data) {
    return g_strdup(text);
}

static Value *wants_of(const Eval *eval) {
    Value *wants = value_new_map();
    if (eval->wants_labels)
        value_map_set(wants, "labels", value_new_bool(true));
    value_map_set(wants, "get", value_ref(eval->wanted_paths));
    value_map_set(wants, "publish", value_ref(eval->published));
    value_map_set(wants, "collect", value_ref(eval->wanted_kinds));
    value_map_set(wants, "schedule", value_ref(eval->schedules));
    return wants;
}

static bool load_lua(const char *file, const LangInputs *inputs, Sources *sources,
                     Problems *problems, LangResult *result, AutoEdges **ret_edges) {
    bool complete;
    g_autoptr(Eval) eval = evaluate(file, inputs, sources, problems, &complete, ret_edges);
    g_assert(complete || problems_count(problems) > 0);
    result->graph = graph_ref(eval->graph);
    result->reads = value_ref(eval->reads);
    result->next_change = eval->next_change;
    result->wants = wants_of(eval);
    result->health = value_ref(eval->health);
    g_ptr_array_extend(result->warnings, eval->warnings, copy_text, NULL);
    return complete;
}

/* Automatic edges need resources that are complete; everything else is checked in any case. edges:
 * what the resources said already, or NULL. */
static void seal(const LangInputs *inputs, AutoEdges *edges, Problems *problems,
                 LangResult *result) {
    g_autoptr(GPtrArray) errors = g_ptr_array_new();
    if (problems_count(problems) == 0 && !inputs->no_autoedges)
        result->auto_edge_count =
            edges ? auto_edges_add(edges, result->graph) : graph_auto_edges(result->graph);
    (void)graph_seal(result->graph, errors); /* what is wrong is in errors */
    for (unsigned i = 0; i < errors->len; i++)
        problems_add_error(problems, g_ptr_array_index(errors, i));
}

static void load(const char *file, const LangInputs *inputs, Sources *sources, Problems *problems,
                 LangResult *result) {
    bool is_lua = g_str_has_suffix(file, ".lua");
    bool is_yaml = g_str_has_suffix(file, ".yaml") || g_str_has_suffix(file, ".yml");
    bool is_catalog = g_str_has_suffix(file, ".json");
    g_autoptr(AutoEdges) edges = NULL;
    GError *error = NULL;
    if (!is_lua && !is_yaml && !is_catalog) {
        problems_add(problems, (Origin){ .file = g_intern_string(file) },
                     "the name tells no language: use .lua, .yaml, .yml or .json");
        return;
    }
    if (!sources_load(sources, file, &error)) {
        problems_add_error(problems, error);
        return;
    }
    if (is_lua) {
        if (!load_lua(file, inputs, sources, problems, result, &edges))
            return;
    } else {
        result->graph = graph_new();
        result->reads = value_new_map();
        result->wants = value_new_map();
        (is_catalog ? puppet_catalog_load : yaml_graph_load)(file, inputs, sources, problems,
                                                             result->warnings, result->graph);
    }
    seal(inputs, edges, problems, result);
    if (problems_count(problems) == 0)
        exports_add(result->graph, inputs->noop, result->wants, problems);
}

bool lang_load(const char *file, const LangInputs *inputs, LangResult *ret_result,
               GPtrArray *problems) {
    locale_t c, before = enter_c_locale(&c);
    g_autoptr(Sources) sources = sources_new(inputs->host);
    g_autoptr(Problems) found = problems_new(sources);
    *ret_result = (LangResult){ .warnings = g_ptr_array_new_with_free_func(g_free) };
    load(file, inputs, sources, found, ret_result);
    ret_result->files = sources_files(sources);
    bool fine = problems_count(found) == 0;
    problems_move(found, problems);
    if (!fine)
        g_clear_pointer(&ret_result->graph, graph_unref);
    leave_c_locale(c, before);
    return fine;
}
