/* stead fleet: what the hosts of a fleet say of themselves. */
#include <stddef.h>
#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "base/plural.h"
#include "base/printable.h"
#include "cli/commands.h"
#include "cli/fleet-names.h"
#include "cli/fleet-status.h"
#include "cli/hub-verbs.h"
#include "cli/time-text.h"
#include "fleet/selector.h"

/* All rows of a list, of the hosts that selector (may be NULL) means. more: further parameters,
 * each beginning with "&", or "". */
static Value *list_of(const HubContext *context, const char *path, const char *name,
                      const char *selector, const char *more, GError **error) {
    g_autofree char *escaped = g_uri_escape_string(selector ? selector : "all", NULL, FALSE);
    g_autofree char *url = g_strconcat(path, "?selector=", escaped, more, NULL);
    return hub_list(&context->link, url, name, error);
}

/* The same, of hosts: a selector that means none is a mistake, and told as one. */
static Value *hosts_of(const HubContext *context, const char *path, const char *selector,
                       GError **error) {
    g_autoptr(Value) rows = list_of(context, path, "hosts", selector, "", error);
    bool means_none = rows && selector && value_size(rows) == 0;
    return means_none && !fleet_check_selector(&context->link, selector, error)
               ? NULL
               : g_steal_pointer(&rows);
}

/* What a host says cannot look like a line of ours. */
static char *one_line(const Value *value) {
    return value_type(value) == VALUE_STRING ? printable_text(value_string(value), PRINTABLE_PLAIN)
                                             : value_show(value, 0);
}

/* --- status */

/* A rollout that stands still is seen here first. */
static void print_rollout(const HubContext *context) {
    g_autoptr(GError) error = NULL;
    g_autoptr(Value) rollout = hub_call(&context->link, "GET", "/v1/rollout", NULL, &error);
    if (error) /* what the hub said of the hosts is told all the same */
        printer_warning(context->printer, "%s", error->message);
    const char *phase = rollout ? value_map_string(rollout, "phase", "") : "";
    bool halted = strcmp(phase, "halted") == 0;
    if (!halted && strcmp(phase, "paused") != 0)
        return;
    printer_line(context->printer, halted ? STYLE_BAD : STYLE_CHANGE,
                 "deploy %" G_GINT64_FORMAT
                 " %s: 'stead deploy status' tells why, and how it can go on",
                 value_map_int(rollout, "record", 0), halted ? "has halted" : "is paused");
}

static bool status(HubContext *context, char **words, GError **error) {
    g_autoptr(Value) rows = hosts_of(context, "/v1/fleet", words[0], error);
    bool quiet = printer_is_quiet(context->printer);
    for (size_t i = 0; rows && i < value_size(rows); i++) {
        const Value *row = value_list_at(rows, i);
        if (!fleet_host_is_well(row))
            context->code = EXIT_FAILURES;
        if (printer_is_json(context->printer))
            printer_json(context->printer, "host", hub_copy(row));
        else if (!quiet || !fleet_host_is_well(row))
            fleet_host_print(context->printer, row);
    }
    if (!rows || printer_is_json(context->printer))
        return rows != NULL;
    fleet_counts_print(context->printer, rows);
    print_rollout(context);
    return true;
}

/* --- drift */

static int compare_times(const void *a, const void *b) {
    int64_t one = value_map_int(*(Value *const *)a, "time", 0),
            other = value_map_int(*(Value *const *)b, "time", 0);
    return (one > other) - (one < other);
}

static void print_drift(Printer *printer, const Value *row) {
    const Value *resource = value_map_get(row, "resource"), *what = value_map_get(row, "what");
    g_autofree char *when = time_show(value_map_int(row, "time", 0));
    g_autofree char *shown = one_line(what), *name = one_line(resource);
    printer_line(printer, STYLE_PLAIN, "%s %s %s: %s", when, value_map_string(row, "host", ""),
                 name, shown);
}

static bool drift(HubContext *context, char **words, GError **error) {
    int64_t since = 0;
    if (context->arguments->since && !time_parse(context->arguments->since, &since, error))
        return false;
    g_autofree char *more =
        g_strdup_printf("&since=%" G_GINT64_FORMAT, MAX(since, 0) / G_USEC_PER_SEC);
    g_autoptr(Value) rows = list_of(context, "/v1/fleet/drift", "drift", words[0], more, error);
    g_autoptr(GPtrArray) sorted = g_ptr_array_new();
    if (rows && words[0] && value_size(rows) == 0) {
        g_autoptr(Value) hosts = hosts_of(context, "/v1/fleet/facts", words[0], error);
        if (!hosts)
            return false;
    }
    for (size_t i = 0; rows && i < value_size(rows); i++)
        g_ptr_array_add(sorted, (void *)(uintptr_t)value_list_at(rows, i));
    g_ptr_array_sort(sorted, compare_times);
    for (unsigned i = 0; i < sorted->len; i++)
        if (printer_is_json(context->printer))
            printer_json(context->printer, "drift", hub_copy_at(sorted->pdata[i], 1));
        else
            print_drift(context->printer, sorted->pdata[i]);
    if (rows && !printer_is_json(context->printer))
        printer_line(context->printer, STYLE_STRONG, "%u %s", sorted->len,
                     plural(sorted->len, "repair", "repairs"));
    return rows != NULL;
}

/* --- facts */

static void print_facts(const HubContext *context, const Value *row) {
    const char *host = value_map_string(row, "host", ""), *path = context->arguments->fact;
    const Value *facts = value_map_get(row, "facts");
    const Value *value = path ? selector_look_up(facts, path) : facts;
    if (printer_is_json(context->printer)) {
        Value *map = hub_copy(row);
        if (path) {
            value_map_set(map, "fact", value_new_string(path));
            value_map_set(map, "value", value_ref(value));
            value_map_set(map, "facts", value_new_nil());
        }
        printer_json(context->printer, "facts", map);
        return;
    }
    if (path) {
        g_autofree char *shown = one_line(value);
        printer_line(context->printer, value ? STYLE_PLAIN : STYLE_DIM, "%s %s", host,
                     value ? shown : "(none)");
        return;
    }
    g_autofree char *text = json_print(value, JSON_INDENT);
    printer_line(context->printer, STYLE_STRONG, "%s", host);
    printer_line(context->printer, STYLE_PLAIN, "%s", text);
}

/* A fact that some host has may be missing on all that are meant. */
static bool check_fact(const HubContext *context, const Value *rows, GError **error) {
    const char *path = context->arguments->fact;
    bool found = !path || value_size(rows) == 0;
    for (size_t i = 0; !found && i < value_size(rows); i++)
        found = selector_look_up(value_map_get(value_list_at(rows, i), "facts"), path) != NULL;
    return found || fleet_check_fact(&context->link, path, error);
}

static bool facts(HubContext *context, char **words, GError **error) {
    g_autoptr(Value) rows = hosts_of(context, "/v1/fleet/facts", words[0], error);
    if (!rows || !check_fact(context, rows, error))
        return false;
    for (size_t i = 0; i < value_size(rows); i++)
        print_facts(context, value_list_at(rows, i));
    return true;
}

/* --- why */

static bool why(HubContext *context, char **words, GError **error) {
    g_autofree char *host = g_uri_escape_string(words[0], NULL, FALSE);
    g_autofree char *kind = g_uri_escape_string(words[1], NULL, FALSE);
    g_autofree char *name = g_uri_escape_string(words[2], NULL, FALSE);
    g_autofree char *path =
        g_strconcat("/v1/fleet/why?host=", host, "&kind=", kind, "&name=", name, NULL);
    g_autoptr(Value) map = hub_call(&context->link, "GET", path, NULL, error);
    if (!map)
        return false;
    const Value *answer = value_map_get(map, "answer");
    if (printer_is_json(context->printer)) {
        printer_json(context->printer, "why", hub_copy(map));
    } else if (answer && value_type(answer) == VALUE_STRING) {
        printer_line(context->printer, STYLE_PLAIN, "%s", value_string(answer));
    } else {
        g_autofree char *text = json_print(answer, JSON_INDENT);
        printer_line(context->printer, STYLE_PLAIN, "%s", text);
    }
    return true;
}

static const HubVerb verbs[] = {
    { { "status", "[SELECTOR]", 0, 1 }, status },
    { { "drift", "[SELECTOR]", 0, 1 }, drift },
    { { "facts", "[SELECTOR]", 0, 1 }, facts },
    { { "why", "HOST KIND NAME", 3, 3 }, why },
};

static bool work(HubContext *context, char **words, GError **error) {
    return HUB_VERBS_WORK(context, "fleet", verbs, words, error);
}

static int run(const Arguments *arguments, char **words) {
    return hub_run(arguments, words, work);
}

#define TO(member) offsetof(Arguments, member)

static const Option option_fact = {
    "fact", 0, G_OPTION_ARG_STRING, TO(fact), "NAME", "facts: this one alone, as os.name",
};

static const Option *const options[] = {
    &option_since,      &option_fact, &option_data,  &option_hub,      &option_ca,
    &option_token_file, &option_json, &option_quiet, &option_no_color, NULL,
};

const Command command_fleet = {
    .name = "fleet",
    .arguments = "status [SELECTOR] | drift [SELECTOR] | facts [SELECTOR] | why HOST KIND NAME",
    .min_arguments = 1,
    .max_arguments = 4,
    .summary = "See how the hosts of a fleet are",
    .help =
        "status tells of each host what it runs, whether that has converged, and since when; it "
        "exits with 4 when\n"
        "a host fails, is unhealthy or silent, with 3 when the hub gives no answer, and with "
        "--quiet lists only\n"
        "those hosts. drift lists what hosts have repaired, facts what they are; why asks a host "
        "as `stead why` does\n"
        "there. A SELECTOR says which hosts: all, web*, 'role=web and site=ams1', "
        "os.name=debian; one that means\n"
        "none is refused. See doc/deploys.md.",
    .example = "stead fleet status role=web",
    .options = options,
    .run = run,
};
