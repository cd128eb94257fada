/* stead check: evaluates and validates, without looking at the host's state. */
#include <errno.h>
#include <glib/gstdio.h>
#include <unistd.h>

#include "base/error.h"
#include "base/json.h"
#include "base/plural.h"
#include "cli/commands.h"
#include "cli/labels.h"
#include "cli/session.h"

/* Something that a kind takes from beside the configuration, as a program or template would. */
static GError *find_missing(const Resource *resource) {
    g_autofree char *path = resource->kind->beside ? resource->kind->beside(resource) : NULL;
    if (!path || g_access(path, F_OK) == 0)
        return NULL;
    const char *reason = g_strerror(errno);
    g_autofree char *name = resource_show(resource);
    g_autofree char *origin = origin_show(resource->origin);
    return g_error_new(STEAD_ERROR, STEAD_ERROR_CONFIG, "%s: %s: read '%s': %s",
                       origin ? origin : "", name, path, reason);
}

static bool check_beside(const Session *session, const Graph *graph) {
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func((GDestroyNotify)g_error_free);
    for (unsigned i = 0; i < graph_size(graph); i++) {
        GError *problem = find_missing(graph_resource(graph, i));
        if (problem)
            g_ptr_array_add(problems, problem);
    }
    printer_problems(session->printer, problems);
    return problems->len == 0;
}

/* The host that it is checked for, as a fleet would say it. */
static bool be_host(Session *session) {
    const Arguments *arguments = session->arguments;
    g_autoptr(GError) error = NULL;
    if (!arguments->labels && !arguments->exchange_host)
        return true;
    session->exchange = value_new_map();
    if (arguments->exchange_host)
        value_map_set(session->exchange, "host", value_new_string(arguments->exchange_host));
    if (!arguments->labels ||
        labels_add(session->exchange, (const char *const *)arguments->labels, "--label", &error))
        return true;
    printer_error(session->printer, error);
    return false;
}

static int run(const Arguments *arguments, char **words) {
    g_autoptr(Session) session = session_open(arguments);
    if (!session || !be_host(session))
        return EXIT_REFUSED;
    g_auto(LangResult) result = { 0 };
    if (!session_load(session, words[0], &result))
        return EXIT_REFUSED;
    if (!check_beside(session, result.graph))
        return EXIT_REFUSED;
    unsigned resources = graph_size(result.graph), edges = graph_edge_count(result.graph);
    if (printer_is_json(session->printer)) {
        Value *map = value_new_map();
        value_map_set(map, "resources", value_new_int(resources));
        value_map_set(map, "edges", value_new_int(edges));
        value_map_set(map, "auto_edges", value_new_int(result.auto_edge_count));
        printer_json(session->printer, "checked", map);
    } else {
        printer_line(session->printer, STYLE_PLAIN, "%s: %u %s, %u %s (%u automatic)", words[0],
                     resources, plural(resources, "resource", "resources"), edges,
                     plural(edges, "edge", "edges"), result.auto_edge_count);
    }
    return EXIT_DONE;
}

#define TO(member) offsetof(Arguments, member)

static const Option option_name = {
    "host",
    0,
    G_OPTION_ARG_STRING,
    TO(exchange_host),
    "NAME",
    "Check what a host of this name gets: exchange.host (default: the hostname)",
};

static const Option option_label = {
    "label",    0,           G_OPTION_ARG_STRING_ARRAY,
    TO(labels), "NAME=TEXT", "Check what a host with this label gets: exchange.label (repeatable)",
};

static const Option *const options[] = {
    &option_root,  &option_kinds, &option_values,   &option_secrets,      &option_env, &option_name,
    &option_label, &option_json,  &option_no_color, &option_no_autoedges, NULL,
};

const Command command_check = {
    .name = "check",
    .arguments = "FILE",
    .min_arguments = 1,
    .max_arguments = 1,
    .summary = "Evaluate and validate a configuration",
    .help =
        "Evaluates FILE (Lua, an mgmt YAML graph, or a Puppet catalog in JSON), checks every "
        "parameter,\n"
        "reference and edge, and prints how many resources and edges there are. All problems "
        "are shown,\n"
        "not only the first.\n"
        "Files that resources take from beside FILE must be there.\n"
        "--host and --label say which host of a fleet it is checked for, when FILE asks for its "
        "name or labels.\n"
        "Nothing of the host is looked at except the facts the configuration reads.",
    .example = "stead check site.lua",
    .options = options,
    .run = run,
};
