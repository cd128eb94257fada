#include "cli/fleet-status.h"

#include <string.h>

#include "base/plural.h"
#include "base/printable.h"
#include "cli/time-text.h"

#define RECORD_FORMAT "%" G_GINT64_FORMAT

typedef enum { SORT_CONVERGED, SORT_SILENT, SORT_ILL, SORT_CONVERGING, SORT_IDLE } Sort;

static bool is(const Value *row, const char *member, const char *text) {
    return strcmp(value_map_string(row, member, ""), text) == 0;
}

static bool has_failed(const Value *row) {
    return is(row, "stage", "failed") || is(row, "stage", "stuck");
}

static Sort sort_of(const Value *row) {
    if (is(row, "state", "silent"))
        return SORT_SILENT;
    if (is(row, "state", "failing") || is(row, "health", "unhealthy") || has_failed(row))
        return SORT_ILL;
    if (is(row, "state", "converged"))
        return SORT_CONVERGED;
    return value_map_int(row, "record", 0) == 0 && is(row, "running", "") ? SORT_IDLE
                                                                          : SORT_CONVERGING;
}

bool fleet_host_is_well(const Value *row) {
    Sort sort = sort_of(row);
    return sort != SORT_SILENT && sort != SORT_ILL;
}

/* --- a host ----------------------------------------------------------------------------------- */

/* "deploy 2", "a bundle of no deploy" */
static char *running_text(const Value *row) {
    int64_t running = value_map_int(row, "running_record", 0);
    return running > 0 ? g_strdup_printf("deploy " RECORD_FORMAT, running)
                       : g_strdup_printf("sha256:%.12s, which is no deploy here",
                                         value_map_string(row, "running", ""));
}

/* What it runs, and what it shall run where that is something else. */
static char *deploy_text(const Value *row) {
    int64_t record = value_map_int(row, "record", 0);
    bool runs = !is(row, "running", "");
    if (!runs && record == 0)
        return g_strdup(sort_of(row) == SORT_IDLE ? "nothing is deployed to it yet" : "no deploy");
    if (!runs)
        return g_strdup_printf("deploy " RECORD_FORMAT " to come", record);
    g_autofree char *running = running_text(row);
    if (record == 0 || is(row, "digest", value_map_string(row, "running", "")))
        return g_steal_pointer(&running);
    return g_strdup_printf("%s, deploy " RECORD_FORMAT " to come", running, record);
}

static char *silence_text(const Value *row) {
    int64_t since = value_map_int(row, "silent_since", 0),
            before = value_map_int(row, "silent_before", 0);
    if (since == 0 && before == 0)
        return g_strdup("nothing was ever heard of it");
    g_autofree char *when = time_show((since ? since : before) * G_USEC_PER_SEC);
    return g_strconcat(since ? "since " : "since before ", when, NULL);
}

/* What is meant for it may be far from what it runs. */
static char *silent_text(const Value *row) {
    g_autofree char *silence = silence_text(row);
    g_autofree char *running = is(row, "running", "") ? NULL : running_text(row);
    g_autofree char *last = running
                                ? g_strconcat(", last ran ", running, NULL)
                                : g_strdup(value_map_get(row, "run") ? ", last ran no deploy" : "");
    int64_t record = value_map_int(row, "record", 0);
    bool waits = record > 0 && record != value_map_int(row, "running_record", 0);
    g_autofree char *waiting =
        waits ? g_strdup_printf("; deploy " RECORD_FORMAT " waits for it", record) : g_strdup("");
    return g_strconcat(silence, last, waiting, NULL);
}

static char *heard_text(const Value *row) {
    int64_t since = value_map_int(row, "since", 0);
    g_autofree char *deploy = deploy_text(row);
    g_autofree char *when = since > 0 ? time_show(since * G_USEC_PER_SEC) : NULL;
    return g_strconcat(deploy, is(row, "health", "unhealthy") ? ", unhealthy" : "",
                       when ? ", since " : "", when, NULL);
}

/* ": " and what it says, and why its rollout gave it up unless that is the same; "": nothing is
 * wrong. */
static char *trouble_text(const Value *row) {
    g_autofree char *message =
        printable_text(value_map_string(row, "message", ""), PRINTABLE_PLAIN);
    g_autofree char *why = printable_text(value_map_string(row, "why", ""), PRINTABLE_PLAIN);
    bool gives_up = has_failed(row) && *why, silent = sort_of(row) == SORT_SILENT;
    if (gives_up && !silent && strstr(why, message))
        return g_strconcat(": ", why, NULL);
    return g_strconcat(*message ? ": " : "", message, gives_up ? "; the rollout gave it up: " : "",
                       gives_up ? why : "", NULL);
}

void fleet_host_print(Printer *printer, const Value *row) {
    static const Style styles[] = {
        [SORT_CONVERGED] = STYLE_PLAIN,   [SORT_SILENT] = STYLE_BAD, [SORT_ILL] = STYLE_BAD,
        [SORT_CONVERGING] = STYLE_CHANGE, [SORT_IDLE] = STYLE_DIM,
    };
    Sort sort = sort_of(row);
    g_autofree char *text = sort == SORT_SILENT ? silent_text(row) : heard_text(row);
    g_autofree char *trouble = trouble_text(row);
    printer_line(printer, styles[sort], "%-20s %-10s %s%s", value_map_string(row, "host", ""),
                 sort == SORT_IDLE ? "idle" : value_map_string(row, "state", ""), text, trouble);
}

/* --- all of them ------------------------------------------------------------------------------ */

void fleet_counts_print(Printer *printer, const Value *rows) {
    static const struct {
        const char *name;
        bool always;
    } names[] = {
        [SORT_CONVERGED] = { "converged", true }, [SORT_SILENT] = { "silent", true },
        [SORT_ILL] = { "not well", true },        [SORT_CONVERGING] = { "converging", false },
        [SORT_IDLE] = { "idle", false },
    };
    unsigned counts[G_N_ELEMENTS(names)] = { 0 }, total = (unsigned)value_size(rows);
    g_autoptr(GString) text = g_string_new(NULL);
    for (size_t i = 0; i < total; i++)
        counts[sort_of(value_list_at(rows, i))]++;
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++)
        if (counts[i] > 0 || names[i].always)
            g_string_append_printf(text, "%s%u %s", text->len ? ", " : "", counts[i],
                                   names[i].name);
    printer_line(printer, STYLE_STRONG, "%u %s: %s", total, plural(total, "host", "hosts"),
                 text->str);
}
