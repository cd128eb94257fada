#include "cli/deploy-watch.h"

#include <string.h>

#include "base/plural.h"
#include "base/printable.h"
#include "cli/time-text.h"

#define LOOK_EVERY_US (G_USEC_PER_SEC / 4)

/* What a phase means for who looks on. */
static const struct {
    const char *phase;
    bool rests; /* nothing happens by itself any more */
    int code;
    Style style;
} phases[] = {
    { "none", true, EXIT_DONE, STYLE_PLAIN },
    { "canary", false, EXIT_DONE, STYLE_CHANGE },
    { "rolling", false, EXIT_DONE, STYLE_CHANGE },
    { "paused", true, EXIT_DONE, STYLE_CHANGE },
    { "halted", true, EXIT_FAILURES, STYLE_BAD },
    { "reverting", false, EXIT_FAILURES, STYLE_BAD },
    { "reverted", true, EXIT_FAILURES, STYLE_BAD },
    { "aborted", true, EXIT_FAILURES, STYLE_BAD },
    { "done", true, EXIT_DONE, STYLE_GOOD },
};

static unsigned row_of(const Value *rollout) {
    const char *phase = value_map_string(rollout, "phase", "");
    for (unsigned i = 0; i < G_N_ELEMENTS(phases); i++)
        if (strcmp(phases[i].phase, phase) == 0)
            return i;
    return 0; /* of a newer hub */
}

static void print_decision(Printer *printer, const Value *entry) {
    const char *host = value_map_string(entry, "host", NULL);
    g_autofree char *when = time_show(value_map_int(entry, "time", 0) * G_USEC_PER_SEC);
    g_autofree char *why = printable_text(value_map_string(entry, "why", ""), PRINTABLE_PLAIN);
    printer_line(printer, STYLE_PLAIN, "%s%s%s deploy %" G_GINT64_FORMAT " %s%s%s: %s",
                 printer_style(printer, STYLE_DIM), when, printer_style(printer, STYLE_PLAIN),
                 value_map_int(entry, "record", 0), host ? host : "", host ? " " : "",
                 value_map_string(entry, "what", ""), why);
}

static char *stages_text(const Value *rollout) {
    const Value *stages = value_map_get(rollout, "stages");
    GString *out = g_string_new(NULL);
    for (size_t i = 0; stages && i < value_size(stages); i++) {
        const char *name;
        const Value *count = value_map_at(stages, i, &name);
        g_string_append_printf(out, "%s%" G_GINT64_FORMAT " %s", i ? ", " : "", value_int(count),
                               name);
    }
    return g_string_free(out, FALSE);
}

static void print_failed(Printer *printer, const Value *rollout) {
    const Value *failed = value_map_get(rollout, "failed");
    for (size_t i = 0; failed && i < value_size(failed); i++) {
        const Value *row = value_list_at(failed, i);
        g_autofree char *why = printable_text(value_map_string(row, "why", ""), PRINTABLE_PLAIN);
        printer_line(printer, STYLE_BAD, "  %s %s: %s", value_map_string(row, "host", ""),
                     value_map_string(row, "stage", ""), why);
    }
}

static void print_next(Printer *printer, const Value *rollout) {
    const Value *next = value_map_get(rollout, "next");
    if (next)
        printer_line(printer, STYLE_CHANGE, "deploy %" G_GINT64_FORMAT " (%s) is about to begin",
                     value_map_int(next, "record", 0), value_map_string(next, "message", ""));
}

/* How it can go on from where nothing happens by itself any more. */
static const struct {
    const char *phase, *command, *what;
    bool of_bad; /* alone where the bundle is bad */
} ways[] = {
    { "paused", "resume", "goes on where it was", false },
    { "halted", "resume", "tries the hosts that failed again, then goes on", false },
    { "paused", "revert -m \"why\"", "takes the hosts that have it back to what they had", false },
    { "halted", "revert -m \"why\"", "takes the hosts that have it back to what they had", false },
    { "paused", "abort -m \"why\"", "ends it, and leaves every host as it is", false },
    { "halted", "abort -m \"why\"", "ends it, and leaves every host as it is", false },
    { "reverted", "forgive", "lets its bundle be deployed again", true },
    { "aborted", "forgive", "lets its bundle be deployed again", true },
};

static void print_ways(Printer *printer, const Value *rollout) {
    const char *phase = value_map_string(rollout, "phase", "");
    bool bad = value_map_bool(rollout, "bad", false);
    const char *title = "next:";
    for (unsigned i = 0; i < G_N_ELEMENTS(ways); i++) {
        if (strcmp(ways[i].phase, phase) != 0 || (ways[i].of_bad && !bad))
            continue;
        g_autofree char *record =
            ways[i].of_bad
                ? g_strdup_printf(" %" G_GINT64_FORMAT, value_map_int(rollout, "record", 0))
                : g_strdup("");
        g_autofree char *command = g_strconcat("stead deploy ", ways[i].command, record, NULL);
        printer_line(printer, STYLE_PLAIN, "%-5s %-29s %s", title, command, ways[i].what);
        title = "";
    }
}

static void print_status(Printer *printer, const Value *rollout) {
    int64_t targets = value_map_int(rollout, "targets", 0),
            silent = value_map_int(rollout, "silent", 0);
    const char *by = value_map_string(rollout, "by", "");
    unsigned row = row_of(rollout);
    print_next(printer, rollout);
    if (value_map_int(rollout, "record", 0) == 0) {
        if (!value_map_get(rollout, "next"))
            printer_line(printer, STYLE_PLAIN, "nothing was ever deployed");
        return;
    }
    g_autofree char *when = time_show(value_map_int(rollout, "since", 0) * G_USEC_PER_SEC);
    g_autofree char *stages = stages_text(rollout);
    printer_line(printer, STYLE_STRONG, "deploy %" G_GINT64_FORMAT ": %s",
                 value_map_int(rollout, "record", 0), value_map_string(rollout, "message", ""));
    printer_line(printer, phases[row].style, "%s since %s%s%s: %s",
                 value_map_string(rollout, "phase", ""), when, *by ? " by " : "", by,
                 value_map_string(rollout, "why", ""));
    printer_line(printer, STYLE_PLAIN, "%" G_GINT64_FORMAT " %s ('%s'): %s", targets,
                 plural((unsigned)targets, "host", "hosts"), value_map_string(rollout, "to", ""),
                 *stages ? stages : "there are none");
    if (silent > 0)
        printer_line(printer, STYLE_PLAIN, "  %" G_GINT64_FORMAT " of them %s silent", silent,
                     silent == 1 ? "is" : "are");
    print_failed(printer, rollout);
    if (!value_map_get(rollout, "next"))
        print_ways(printer, rollout);
}

static Value *read_rollout(const HubLink *link, int64_t after, GError **error) {
    g_autofree char *path = after < 0
                                ? g_strdup("/v1/rollout")
                                : g_strdup_printf("/v1/rollout?after=%" G_GINT64_FORMAT, after);
    return hub_call(link, "GET", path, NULL, error);
}

/* The deploy that is looked at: the newest. */
static int64_t newest_record(const Value *rollout) {
    const Value *next = value_map_get(rollout, "next");
    return value_map_int(next ? next : rollout, "record", 0);
}

/* Prints decisions after that number about record or later ones; returns the newest number. */
static int64_t print_log(Printer *printer, const Value *rollout, int64_t after, int64_t record) {
    const Value *log = value_map_get(rollout, "log");
    for (size_t i = 0; log && i < value_size(log); i++) {
        const Value *entry = value_list_at(log, i);
        int64_t number = value_map_int(entry, "number", 0);
        bool is_told = number > after && value_map_int(entry, "record", 0) >= record;
        if (is_told && printer_is_json(printer))
            printer_json(printer, "decision", hub_copy_at(entry, G_USEC_PER_SEC));
        else if (is_told && !printer_is_quiet(printer))
            print_decision(printer, entry);
        after = MAX(after, number);
    }
    return after;
}

/* One that is meant for nobody goes on when somebody joins, which may be never. */
static bool is_over(const Value *rollout) {
    bool rests = phases[row_of(rollout)].rests || value_map_int(rollout, "targets", 0) == 0;
    return rests && !value_map_get(rollout, "next");
}

static Value *watch_it(Printer *printer, const HubLink *link, Value *rollout, GError **error) {
    int64_t record = newest_record(rollout), after = print_log(printer, rollout, 0, record);
    while (!is_over(rollout)) {
        value_unref(rollout);
        g_usleep(LOOK_EVERY_US);
        rollout = read_rollout(link, after, error);
        if (!rollout)
            return NULL;
        after = print_log(printer, rollout, after, record);
    }
    return rollout;
}

int deploy_show_status(Printer *printer, const HubLink *link, bool watch, GError **error) {
    Value *first = read_rollout(link, -1, error);
    if (!first)
        return -1;
    g_autoptr(Value) rollout = watch ? watch_it(printer, link, first, error) : first;
    if (!rollout)
        return -1;
    if (printer_is_json(printer))
        printer_json(printer, "rollout", hub_copy(rollout));
    else
        print_status(printer, rollout);
    return value_map_get(rollout, "next") ? EXIT_DONE : phases[row_of(rollout)].code;
}
