/* stead graph: the graph as dot, svg or JSON. */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "cli/commands.h"
#include "cli/session.h"
#include "host/host-real.h"
#include "lib/plan.h"

static void append_quoted(GString *dot, const char *text) {
    g_string_append_c(dot, '"');
    for (const char *c = text; *c; c++) {
        if (*c == '"' || *c == '\\')
            g_string_append_c(dot, '\\');
        g_string_append_c(dot, *c == '\n' ? ' ' : *c);
    }
    g_string_append_c(dot, '"');
}

/* Fill colours by what the plan says about a resource. */
static const char *color_of(const Plan *plan, const Resource *resource) {
    static const char *const colors[] = {
        [ACTION_NONE] = "#d7f0d7",    [ACTION_CREATE] = "#cfe3ff",  [ACTION_CHANGE] = "#fff1c2",
        [ACTION_REMOVE] = "#ffd6d6",  [ACTION_REPLACE] = "#ffd6d6", [ACTION_RUN] = "#e8dbff",
        [ACTION_RESTART] = "#ffe3c2",
    };
    if (resource_meta(resource)->hidden)
        return "#eeeeee";
    for (unsigned i = 0; i < plan_size(plan); i++) {
        const PlanItem *item = plan_item(plan, i);
        if (!resource_key_equal(item->resource, resource))
            continue;
        return item->error ? "#ff9c9c"
                           : colors[item->changes ? item->changes->action : ACTION_NONE];
    }
    return colors[ACTION_NONE];
}

static char *to_dot(const Graph *graph, const Plan *plan) {
    GString *dot =
        g_string_new("digraph stead {\n"
                     "  rankdir = TB;\n"
                     "  node [shape = box, style = \"rounded,filled\", fontname = \"sans-serif\", "
                     "fontsize = 10];\n"
                     "  edge [color = \"#555555\", arrowsize = 0.7];\n");
    for (unsigned i = 0; i < graph_size(graph); i++) {
        const Resource *resource = graph_resource(graph, i);
        g_autofree char *label = g_strdup_printf("%s %s", resource->kind->name, resource->name);
        g_string_append_printf(dot, "  v%u [label = ", i);
        append_quoted(dot, label);
        g_string_append_printf(dot, ", fillcolor = \"%s\"];\n", color_of(plan, resource));
    }
    for (unsigned i = 0; i < graph_edge_count(graph); i++) {
        const Edge *edge = graph_edge(graph, i);
        g_string_append_printf(dot, "  v%u -> v%u [style = %s%s];\n", edge->from, edge->to,
                               edge->flags & EDGE_AUTO ? "dashed" : "solid",
                               edge->flags & EDGE_NOTIFY
                                   ? ", color = \"#c05000\", label = \"notify\", fontsize = 8"
                                   : "");
    }
    g_string_append(dot, "}\n");
    return g_string_free(dot, FALSE);
}

static char *to_json(const Graph *graph) {
    g_autoptr(Value) value = graph_to_value(graph);
    g_autofree char *text = json_print(value, JSON_INDENT);
    return g_strconcat(text, "\n", NULL);
}

/* Graphviz draws; its program is needed for this format only. */
static char *to_svg(const Graph *graph, const Plan *plan, GError **error) {
    g_autofree char *dot = to_dot(graph, plan);
    g_autoptr(Host) local = host_real_new(NULL, NULL, error);
    if (!local)
        return NULL;
    HostCommand command = {
        .argv = (const char *const[]){ "dot", "-Tsvg", NULL },
        .input = dot,
        .input_size = strlen(dot),
    };
    g_auto(HostCommandResult) result = { 0 };
    if (!host_run(local, &command, &result, error)) {
        g_prefix_error(error, "draw with Graphviz (package graphviz, or use --format dot): ");
        return NULL;
    }
    if (result.exit_status != 0) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED,
                    "draw with Graphviz: 'dot' ended with %d", result.exit_status);
        return NULL;
    }
    gsize size;
    const char *text = g_bytes_get_data(result.out, &size);
    return g_strndup(text, size);
}

static char *render(const char *format, const Graph *graph, const Plan *plan, GError **error) {
    if (strcmp(format, "dot") == 0)
        return to_dot(graph, plan);
    if (strcmp(format, "svg") == 0)
        return to_svg(graph, plan, error);
    if (strcmp(format, "json") == 0)
        return to_json(graph);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                "stead graph: no such format '%s': use dot, svg or json", format);
    return NULL;
}

static bool write_out(const Arguments *arguments, const char *text, GError **error) {
    if (arguments->out)
        return g_file_set_contents(arguments->out, text, -1, error);
    fputs(text, stdout);
    return true;
}

static int run(const Arguments *arguments, char **words) {
    g_autoptr(Session) session = session_open(arguments);
    g_auto(LangResult) result = { 0 };
    if (!session || !session_load_beside_ledger(session, words[0], LEDGER_READ, "graph", &result))
        return EXIT_REFUSED;
    PlanWishes wishes = { 0 };
    g_autoptr(GError) error = NULL;
    g_autoptr(Plan) plan = machine_plan(session->machine, result.graph, &wishes, &error);
    const char *format = arguments->format ? arguments->format : "dot";
    g_autofree char *text = plan ? render(format, result.graph, plan, &error) : NULL;
    if (text && write_out(arguments, text, &error))
        return EXIT_DONE;
    printer_error(session->printer, error);
    return EXIT_REFUSED;
}

static const Option *const options[] = {
    &option_root, &option_state,  &option_kinds, &option_values,       &option_secrets,
    &option_env,  &option_format, &option_out,   &option_no_autoedges, NULL,
};

const Command command_graph = {
    .name = "graph",
    .arguments = "FILE",
    .min_arguments = 1,
    .max_arguments = 1,
    .summary = "Draw the graph, coloured by what a plan says",
    .help = "Writes the graph of FILE as --format dot (default), svg (through Graphviz) or json. "
            "Green is\n"
            "right already, blue would be created, yellow changed, purple run, orange restarted, "
            "red removed\n"
            "or failing. Dashed edges were found automatically; orange ones notify.",
    .example = "stead graph site.lua --format svg --out site.svg",
    .options = options,
    .run = run,
};
