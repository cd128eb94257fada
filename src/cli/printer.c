#include "cli/printer.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "base/json.h"
#include "base/plural.h"
#include "base/printable.h"
#include "cli/change-text.h"
#include "kinds/loss.h"

/* Progress appears only when something takes longer, and not more often than this. */
#define PROGRESS_AFTER_US 1000000
#define PROGRESS_EVERY_US 100000
/* Characters of a value. */
#define SHOWN_IN_LINE 40
#define SHOWN_IN_PLAN 70
/* Failures that have scrolled by are told again at the end: when so many lines came after one. */
#define REPEAT_AFTER_LINES 20
#define FAILURES_REPEATED  20

struct Printer {
    bool json, color, quiet, verbose, terminal, places;
    bool journal; /* what reads stderr knows priorities */
    FILE *out;    /* of lines of text */
    int64_t started, last_progress;
    bool progress_shown;
    unsigned lines;      /* of events, since the first failure */
    GPtrArray *failures; /* char *: name, message */
};

/* Whether stderr is what systemd says in the environment that its journal reads. */
static bool journal_reads_stderr(void) {
    const char *stream = g_getenv("JOURNAL_STREAM");
    struct stat status;
    if (!stream || fstat(STDERR_FILENO, &status) != 0)
        return false;
    g_autofree char *mine = g_strdup_printf("%" G_GUINT64_FORMAT ":%" G_GUINT64_FORMAT,
                                            (guint64)status.st_dev, (guint64)status.st_ino);
    return strcmp(stream, mine) == 0;
}

static bool is_colored(const Arguments *arguments, int fd) {
    const char *no_color = g_getenv("NO_COLOR");
    return isatty(fd) && !arguments->json && !arguments->no_color && !(no_color && *no_color) &&
           g_strcmp0(g_getenv("TERM"), "dumb") != 0;
}

Printer *printer_new(const Arguments *arguments) {
    Printer *printer = g_new0(Printer, 1);
    printer->json = arguments->json;
    printer->quiet = arguments->quiet;
    printer->verbose = arguments->verbose;
    printer->terminal = isatty(STDERR_FILENO) && !printer->json;
    printer->color = is_colored(arguments, STDOUT_FILENO);
    printer->out = stdout;
    printer->failures = g_ptr_array_new_with_free_func(g_free);
    printer->started = g_get_monotonic_time();
    return printer;
}

void printer_be_log(Printer *printer, const Arguments *arguments) {
    printer->out = stderr;
    printer->color = is_colored(arguments, STDERR_FILENO);
    printer->journal = journal_reads_stderr();
}

static void hide_progress(Printer *printer) {
    if (!printer->progress_shown)
        return;
    fputs("\r\033[K", stderr);
    fflush(stderr);
    printer->progress_shown = false;
}

void printer_free(Printer *printer) {
    if (!printer)
        return;
    hide_progress(printer);
    fflush(stdout);
    g_ptr_array_unref(printer->failures);
    g_free(printer);
}

void printer_show_places(Printer *printer) {
    printer->places = true;
}

bool printer_is_json(const Printer *printer) {
    return printer->json;
}

bool printer_is_quiet(const Printer *printer) {
    return printer->quiet;
}

bool printer_is_verbose(const Printer *printer) {
    return printer->verbose;
}

static const char *const codes[] = {
    [STYLE_PLAIN] = "\033[0m", [STYLE_GOOD] = "\033[32m", [STYLE_CHANGE] = "\033[33m",
    [STYLE_BAD] = "\033[31m",  [STYLE_DIM] = "\033[2m",   [STYLE_STRONG] = "\033[1m",
};

const char *printer_style(const Printer *printer, Style style) {
    return printer->color ? codes[style] : "";
}

/* The bytes of the style that text begins with; 0: none of ours. */
static size_t style_size(const Printer *printer, const char *text) {
    for (unsigned i = 0; printer->color && i < G_N_ELEMENTS(codes); i++)
        if (g_str_has_prefix(text, codes[i]))
            return strlen(codes[i]);
    return 0;
}

/* Texts may come from a command that drives the terminal it thinks it has, or from a hostile
 * machine: of all that a terminal obeys only our styles stay. Caller frees. */
static char *clean_styled(const Printer *printer, const char *text) {
    GString *out = g_string_new(NULL);
    while (*text != '\0') {
        size_t plain = strcspn(text, "\033"), style = style_size(printer, text + plain);
        bool foreign = style == 0 && text[plain] != '\0';
        printable_append(out, text, plain + foreign, PRINTABLE_LINES | PRINTABLE_TABS);
        g_string_append_len(out, text + plain, (gssize)style);
        text += plain + foreign + style;
    }
    return g_string_free(out, FALSE);
}

/* The journal takes every line for a message of its own. */
static void put(const Printer *printer, FILE *out, int priority, const char *text) {
    if (!printer->journal || out != stderr) {
        fprintf(out, "%s\n", text);
        return;
    }
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line; line++)
        fprintf(out, "<%d>%s\n", priority, *line);
}

void printer_log(Printer *printer, int priority, Style style, const char *format, ...) {
    hide_progress(printer);
    va_list args;
    va_start(args, format);
    g_autofree char *raw = g_strdup_vprintf(format, args);
    va_end(args);
    g_autofree char *text = clean_styled(printer, raw);
    g_autofree char *styled =
        g_strconcat(printer_style(printer, style), text, printer_style(printer, STYLE_PLAIN), NULL);
    put(printer, printer->out, priority, style == STYLE_PLAIN ? text : styled);
}

void printer_line(Printer *printer, Style style, const char *format, ...) {
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    printer_log(printer, LOG_INFO, style, "%s", text);
}

static char *clean(const char *text) {
    return printable_text(text, PRINTABLE_LINES | PRINTABLE_TABS);
}

void printer_json(Printer *printer, const char *name, Value *map) {
    value_map_set(map, "event", value_new_string(name));
    value_map_set(map, "time", value_new_int(g_get_real_time()));
    g_autofree char *text = json_print(map, JSON_COMPACT);
    puts(text);
    fflush(stdout);
    value_unref(map);
}

void printer_error(Printer *printer, const GError *error) {
    hide_progress(printer);
    if (printer->json) {
        Value *map = value_new_map();
        value_map_set(map, "message", value_new_string(error->message));
        printer_json(printer, "error", map);
        return;
    }
    /* A message that starts with its place needs no name before it. */
    bool placed = g_error_matches(error, STEAD_ERROR, STEAD_ERROR_CONFIG);
    g_autofree char *message = clean(error->message);
    g_autofree char *line = g_strconcat(placed ? "" : "stead: ", message, NULL);
    put(printer, stderr, LOG_ERR, line);
}

void printer_warning(Printer *printer, const char *format, ...) {
    hide_progress(printer);
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    if (printer->json) {
        Value *map = value_new_map();
        value_map_set(map, "message", value_new_string(text));
        printer_json(printer, "warning", map);
        return;
    }
    g_autofree char *shown = clean(text);
    g_autofree char *line = g_strconcat("stead: warning: ", shown, NULL);
    put(printer, stderr, LOG_WARNING, line);
}

void printer_problems(Printer *printer, const GPtrArray *problems) {
    for (unsigned i = 0; i < problems->len; i++)
        printer_error(printer, g_ptr_array_index(problems, i));
    if (problems->len <= 1 || printer->json)
        return;
    g_autofree char *line =
        g_strdup_printf("stead: %u problems; nothing was touched", problems->len);
    put(printer, stderr, LOG_ERR, line);
}

void printer_host_line(Printer *printer, const char *host, const char *line) {
    hide_progress(printer);
    g_autofree char *text = clean(line);
    printf("%s%s:%s %s\n", printer_style(printer, STYLE_STRONG), host,
           printer_style(printer, STYLE_PLAIN), text);
    fflush(stdout);
}

void printer_host_message(Printer *printer, const char *host, const char *text) {
    hide_progress(printer);
    if (printer->json) {
        Value *map = value_new_map();
        value_map_set(map, "host", value_new_string(host));
        value_map_set(map, "message", value_new_string(text));
        printer_json(printer, "warning", map);
        return;
    }
    g_autofree char *shown = clean(text);
    fprintf(stderr, "%s: %s\n", host, shown);
}

bool printer_shows_progress(const Printer *printer) {
    return printer->terminal && !printer->quiet;
}

void printer_progress(Printer *printer, const char *format, ...) {
    int64_t now = g_get_monotonic_time();
    if (!printer_shows_progress(printer) || now - printer->started < PROGRESS_AFTER_US ||
        now - printer->last_progress < PROGRESS_EVERY_US)
        return;
    printer->last_progress = now;
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_autofree char *shown = printable_text(text, PRINTABLE_PLAIN);
    fflush(stdout);
    fprintf(stderr, "\r\033[K%s", shown);
    fflush(stderr);
    printer->progress_shown = true;
}

/* --- events ----------------------------------------------------------------------------------- */

/* How an event looks: a word, a colour. */
typedef struct {
    const char *name; /* in JSON */
    const char *word;
    Style style;
    bool loud; /* also with --quiet */
    int priority;
} EventLook;

static const EventLook looks[] = {
    [ENGINE_OK] = { "ok", "ok", STYLE_DIM, false, LOG_INFO },
    [ENGINE_CHANGED] = { "changed", NULL, STYLE_CHANGE, false, LOG_NOTICE },
    [ENGINE_PENDING] = { "pending", NULL, STYLE_CHANGE, false, LOG_WARNING },
    [ENGINE_FAILED] = { "failed", "failed", STYLE_BAD, true, LOG_ERR },
    [ENGINE_RETRYING] = { "retrying", "retrying", STYLE_BAD, false, LOG_WARNING },
    [ENGINE_NOTE] = { "note", "note", STYLE_PLAIN, false, LOG_INFO },
    [ENGINE_REPORTED] = { "reported", "left in place", STYLE_CHANGE, true, LOG_WARNING },
    [ENGINE_FLAPPING] = { "flapping", "flapping", STYLE_BAD, true, LOG_ERR },
    [ENGINE_WATCH_LOST] = { "watch-lost", "polled from now on", STYLE_BAD, true, LOG_WARNING },
    [ENGINE_CONVERGED] = { "converged", "converged", STYLE_GOOD, false, LOG_INFO },
    [ENGINE_DIVERGED] = { "diverged", "working", STYLE_DIM, false, LOG_INFO },
    [ENGINE_SWAPPED] = { "swapped", "configuration loaded", STYLE_DIM, false, LOG_INFO },
};

static const char *past_words[] = {
    [ACTION_NONE] = "right",        [ACTION_CREATE] = "created",   [ACTION_CHANGE] = "changed",
    [ACTION_REMOVE] = "removed",    [ACTION_REPLACE] = "replaced", [ACTION_RUN] = "ran",
    [ACTION_RESTART] = "restarted",
};

static const char *past_word(const Changes *changes) {
    const Change *notified = changes_find(changes, "notified");
    bool reload = change_is_reload(changes->action, notified ? notified->after : NULL);
    return reload ? "reloaded" : past_words[changes->action];
}

static const char *event_word(const EngineEvent *event) {
    if (event->removal == ON_REMOVE_RESTORE && event->type == ENGINE_CHANGED)
        return "restored";
    if (event->type == ENGINE_PENDING)
        return "would be changed";
    if (event->type == ENGINE_CHANGED)
        return past_word(event->changes);
    return looks[event->type].word;
}

static bool is_said_of_removals(const Change *change) {
    return strcmp(change->property, LOSS_PROPERTY) == 0 ||
           strcmp(change->property, KEEPS_PROPERTY) == 0 ||
           g_str_has_prefix(change->property, CHANGE_ALSO);
}

/* That something is gone, or was run, says it all. */
static bool has_details(const Changes *changes) {
    return changes && changes->action != ACTION_REMOVE && changes->action != ACTION_RUN &&
           changes->action != ACTION_RESTART;
}

/* A thing that was made is told by a few of its properties; the list of all says nothing. */
static bool is_made_of_many(const Changes *changes) {
    enum { SHOWN_OF_NEW = 4 };
    return changes && changes->action == ACTION_CREATE && changes->changes->len > SHOWN_OF_NEW;
}

/* Names of what is new, names and values of what is changed. */
static char *change_list(const Changes *changes) {
    GString *text = g_string_new(NULL);
    for (unsigned i = 0; changes && i < changes->changes->len; i++) {
        const Change *change = &g_array_index(changes->changes, Change, i);
        bool created = changes->action == ACTION_CREATE, said = is_said_of_removals(change);
        bool told = has_details(changes) && !is_made_of_many(changes);
        if ((!told && !said) || (created && strcmp(change->property, "state") == 0))
            continue;
        bool was = change->before && value_type(change->before) != VALUE_NIL;
        bool shown = !created && was && !change->diff && strcmp(change->property, "content") != 0;
        g_autofree char *one =
            shown || said ? change_text(change->property, " ", change->before, change->after,
                                        said ? SHOWN_IN_PLAN : SHOWN_IN_LINE)
                          : g_strdup(change->property);
        g_string_append_printf(text, "%s%s", text->len ? ", " : "", one);
    }
    return g_string_free(text, FALSE);
}

/* "site.lua:3: file '/x'", as problems of a configuration begin; what left it has no place there.
 */
static char *placed_name(const Resource *resource, OnRemove removal) {
    g_autofree char *name = resource_show(resource);
    g_autofree char *origin = removal == ON_REMOVE_DEFAULT ? origin_show(resource->origin) : NULL;
    return origin ? g_strdup_printf("%s: %s", origin, name) : g_steal_pointer(&name);
}

static char *event_name(const Printer *printer, const EngineEvent *event) {
    if (!event->resource)
        return g_strdup("");
    return printer->places && event->type == ENGINE_FAILED
               ? placed_name(event->resource, event->removal)
               : resource_show(event->resource);
}

static void event_as_json(Printer *printer, const EngineEvent *event) {
    Value *map = value_new_map();
    if (event->resource) {
        value_map_set(map, "kind", value_new_string(event->resource->kind->name));
        value_map_set(map, "name", value_new_string(event->resource->name));
    }
    if (event->removal != ON_REMOVE_DEFAULT)
        value_map_set(map, "removal", value_new_string(on_remove_name(event->removal)));
    if (event->changes && event->type != ENGINE_OK) {
        value_map_set(map, "action", value_new_string(action_name(event->changes->action)));
        value_map_set(map, "changes", changes_to_value(event->changes));
        value_map_set(map, "corrective", value_new_bool(event->corrective));
        value_map_set(map, "notified", value_new_bool(event->refreshed));
    }
    if (event->latency >= 0)
        value_map_set(map, "latency_us", value_new_int(event->latency));
    if (event->duration > 0)
        value_map_set(map, "duration_us", value_new_int((int64_t)event->duration));
    if (event->error)
        value_map_set(map, "error", value_new_string(event->error->message));
    g_autofree char *origin =
        event->type == ENGINE_FAILED && event->resource && event->removal == ON_REMOVE_DEFAULT
            ? origin_show(event->resource->origin)
            : NULL;
    if (origin)
        value_map_set(map, "origin", value_new_string(origin));
    if (event->first) {
        g_autofree char *first = resource_show(event->first);
        value_map_set(map, "first", value_new_string(first));
    }
    if (event->note)
        value_map_set(map, "note", value_new_string(event->note));
    if (event->type == ENGINE_WATCH_LOST) {
        value_map_set(map, "count", value_new_int(event->count));
        value_map_set(map, "total", value_new_int(event->total));
    }
    if (event->type == ENGINE_SWAPPED)
        value_map_set(map, "touched", value_new_int(event->count));
    printer_json(printer, looks[event->type].name, map);
}

static void event_as_text(Printer *printer, const EngineEvent *event) {
    const EventLook *look = &looks[event->type];
    g_autofree char *name = event_name(printer, event);
    const char *style = printer_style(printer, look->style),
               *end = printer_style(printer, STYLE_PLAIN);
    g_autofree char *note = event->note ? clean(event->note) : NULL;
    g_autofree char *error = event->error ? clean(event->error->message) : NULL;
    if (event->type == ENGINE_NOTE) {
        printer_log(printer, look->priority, STYLE_PLAIN, "%s: %s", name, note);
        return;
    }
    if (!event->resource && event->error) {
        printer_log(printer, look->priority, look->style, "%s: %s: %s", look->word, note, error);
        return;
    }
    if (!event->resource) {
        printer_log(printer, look->priority, look->style, "%s", look->word);
        return;
    }
    g_autofree char *changes =
        event->type == ENGINE_OK ? g_strdup("") : change_list(event->changes);
    g_autoptr(GString) tail = g_string_new(NULL);
    if (*changes)
        g_string_append_printf(tail, " (%s)", changes);
    if (event->corrective && event->type == ENGINE_CHANGED)
        g_string_append(tail, ", drift repaired");
    if (event->corrective && event->type == ENGINE_CHANGED && event->latency >= 0)
        g_string_append_printf(tail, " in %.2f ms", (double)event->latency / 1000);
    if (event->error && event->first) {
        g_autofree char *first = resource_show(event->first);
        g_string_append_printf(tail, ": in one go with %s, see there", first);
    } else if (event->error) {
        g_string_append_printf(tail, ": %s", error);
    }
    printer_log(printer, look->priority, STYLE_PLAIN, "%s%s%s %s%s", style, event_word(event), end,
                name, tail->str);
}

static int find_failure(const Printer *printer, const char *name) {
    size_t size = strlen(name);
    for (unsigned i = 0; i < printer->failures->len; i++) {
        const char *line = printer->failures->pdata[i];
        if (strncmp(line, name, size) == 0 && g_str_has_prefix(line + size, ": "))
            return (int)i;
    }
    return -1;
}

/* Keeps what failed last, until it comes right after all. */
static void note_failure(Printer *printer, const EngineEvent *event) {
    bool failed = event->type == ENGINE_FAILED;
    if (!event->resource || event->type > ENGINE_FAILED || (!failed && !printer->failures->len))
        return;
    g_autofree char *name = printer->places ? placed_name(event->resource, event->removal)
                                            : resource_show(event->resource);
    int at = find_failure(printer, name);
    if (at >= 0)
        (void)g_ptr_array_remove_index(printer->failures, (unsigned)at);
    g_autofree char *error = clean(event->error ? event->error->message : "");
    if (failed && printer->failures->len < FAILURES_REPEATED)
        g_ptr_array_add(printer->failures, g_strdup_printf("%s: %s", name, error));
}

static void repeat_failures(Printer *printer, unsigned n_failed) {
    if (n_failed == 0 || printer->lines <= REPEAT_AFTER_LINES)
        return;
    printer_line(printer, STYLE_BAD, "failed:");
    for (unsigned i = 0; i < printer->failures->len; i++)
        printer_line(printer, STYLE_PLAIN, "  %s", (char *)printer->failures->pdata[i]);
    if (n_failed > printer->failures->len)
        printer_line(printer, STYLE_PLAIN, "  and %u more; stead status",
                     n_failed - printer->failures->len);
}

void printer_event(Printer *printer, const EngineEvent *event) {
    bool shown = looks[event->type].loud || !printer->quiet;
    if (event->type == ENGINE_OK || event->type == ENGINE_CONVERGED ||
        event->type == ENGINE_DIVERGED || event->type == ENGINE_SWAPPED)
        shown = printer->verbose;
    if (printer->json && (shown || event->type >= ENGINE_CONVERGED))
        event_as_json(printer, event);
    else if (shown)
        event_as_text(printer, event);
    note_failure(printer, event);
    printer->lines += shown && printer->failures->len > 0;
    fflush(stdout); /* whoever reads a log wants each line when it happens */
}

/* --- plans ------------------------------------------------------------------------------------ */

static const struct {
    const char *sign, *word;
    Style style;
} plan_looks[] = {
    [ACTION_NONE] = { "?", "look at", STYLE_PLAIN },
    [ACTION_CREATE] = { "+", "create", STYLE_GOOD },
    [ACTION_CHANGE] = { "~", "change", STYLE_CHANGE },
    [ACTION_REMOVE] = { "-", "remove", STYLE_BAD },
    [ACTION_REPLACE] = { "±", "replace", STYLE_BAD },
    [ACTION_RUN] = { ">", "run", STYLE_CHANGE },
    [ACTION_RESTART] = { "!", "restart", STYLE_CHANGE },
};

static void print_diff(Printer *printer, const char *what, const char *diff) {
    printer_line(printer, STYLE_PLAIN, "      %s:", what);
    g_auto(GStrv) lines = g_strsplit(diff, "\n", -1);
    for (char **line = lines; *line; line++) {
        Style style = (*line)[0] == '+' ? STYLE_GOOD : (*line)[0] == '-' ? STYLE_BAD : STYLE_DIM;
        if (**line)
            printer_line(printer, style, "        %s", *line);
    }
}

static void print_change(Printer *printer, const Change *change) {
    if (change->diff) {
        print_diff(printer, change->property, change->diff);
        return;
    }
    g_autofree char *text =
        change_text(change->property, ": ", change->before, change->after, SHOWN_IN_PLAN);
    printer_line(printer, STYLE_PLAIN, "      %s", text);
}

/* The first line says all about what goes, unless only a part of a file does or something goes with
 * it, and about what was notified. */
static bool is_worth_a_line(const PlanItem *item, const Change *change) {
    return change->diff || is_said_of_removals(change) ||
           (item->changes->action != ACTION_REMOVE && item->changes->action != ACTION_RESTART);
}

static char *remarks_of(const PlanItem *item) {
    const struct {
        bool holds;
        const char *text;
    } remarks[] = {
        { item->corrective, "drift" },
        { item->refreshed, "notified" },
        { item->changes->uncertain, "decided when applied" },
        { item->pending, "noop: will not be done" },
    };
    GString *text = g_string_new(NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(remarks); i++)
        if (remarks[i].holds)
            g_string_append_printf(text, "%s%s", text->len ? ", " : " (", remarks[i].text);
    if (text->len)
        g_string_append_c(text, ')');
    return g_string_free(text, FALSE);
}

static void print_item(Printer *printer, const PlanItem *item) {
    g_autofree char *name =
        item->error ? placed_name(item->resource, item->removal) : resource_show(item->resource);
    const char *end = printer_style(printer, STYLE_PLAIN);
    if (item->error || item->reported) {
        Style style = item->error ? STYLE_BAD : STYLE_CHANGE;
        g_autofree char *error = item->error ? clean(item->error) : NULL;
        printer_line(printer, STYLE_PLAIN, "  %sx %s%s: %s", printer_style(printer, style), name,
                     end, error ? error : "left the configuration, stays as it is");
        return;
    }
    Action action = item->changes->action;
    bool restore = item->removal == ON_REMOVE_RESTORE;
    Style style = item->removal != ON_REMOVE_DEFAULT ? STYLE_BAD : plan_looks[action].style;
    const Change *notified = changes_find(item->changes, "notified");
    bool reload = change_is_reload(action, notified ? notified->after : NULL);
    g_autofree char *tail = remarks_of(item);
    printer_line(printer, STYLE_PLAIN, "  %s%s %s %s%s%s", printer_style(printer, style),
                 restore ? "<" : plan_looks[action].sign,
                 restore  ? "restore"
                 : reload ? "reload"
                          : plan_looks[action].word,
                 name, end, tail);
    if (item->changes->lines)
        print_diff(printer, CHANGE_LINES, item->changes->lines);
    for (unsigned i = 0; i < item->changes->changes->len; i++) {
        const Change *change = &g_array_index(item->changes->changes, Change, i);
        if (is_worth_a_line(item, change))
            print_change(printer, change);
    }
    g_autofree char *note = item->note ? clean(item->note) : NULL;
    if (note)
        printer_line(printer, STYLE_CHANGE, "      note: %s", note);
}

void printer_plan(Printer *printer, const Plan *plan) {
    unsigned counts[ACTION_RESTART + 1] = { 0 }, restored = 0, failed = 0, left = 0;
    for (unsigned i = 0; i < plan_size(plan); i++) {
        const PlanItem *item = plan_item(plan, i);
        if (!printer->quiet || item->error)
            print_item(printer, item);
        if (item->error)
            failed++;
        else if (item->reported)
            left++;
        else if (item->removal == ON_REMOVE_RESTORE)
            restored++;
        else
            counts[item->changes->action]++;
    }
    if (plan_size(plan) > 0 && !printer->quiet)
        puts("");
    g_autoptr(GString) text = g_string_new("plan:");
    const struct {
        unsigned count;
        const char *what;
    } parts[] = {
        { counts[ACTION_REMOVE], "to remove" },
        { restored, "to restore" },
        { counts[ACTION_CREATE], "to create" },
        { counts[ACTION_CHANGE], "to change" },
        { counts[ACTION_REPLACE], "to replace" },
        { counts[ACTION_RUN], "to run" },
        { counts[ACTION_RESTART], "to restart" },
        { left, "left in place" },
        { failed, "with errors" },
    };
    unsigned shown = 0;
    for (unsigned i = 0; i < G_N_ELEMENTS(parts); i++)
        if (parts[i].count > 0)
            g_string_append_printf(text, "%s %u %s", shown++ ? "," : "", parts[i].count,
                                   parts[i].what);
    if (shown == 0)
        g_string_append(text, " nothing to do");
    g_string_append_printf(text, ", %u unchanged", plan_count_unchanged(plan));
    printer_line(printer, STYLE_STRONG, "%s", text->str);
}

/* In text one cause is enough: the others wait there as well. */
void printer_blocked(Printer *printer, const Value *status) {
    const Value *roots = value_map_get(status, "blocked_by");
    if (printer->json) {
        Value *map = value_new_map();
        static const char *const members[] = { "kind", "name", "blocked_by" };
        for (unsigned i = 0; i < G_N_ELEMENTS(members); i++)
            value_map_set(map, members[i], value_ref(value_map_get(status, members[i])));
        printer_json(printer, "blocked", map);
        return;
    }
    if (printer->verbose)
        printer_line(printer, STYLE_DIM, "blocked %s '%s': %s failed",
                     value_map_string(status, "kind", ""), value_map_string(status, "name", ""),
                     value_size(roots) > 0 ? value_string(value_list_at(roots, 0)) : "another");
}

static void summary_as_json(Printer *printer, const EngineSummary *summary, uint64_t duration) {
    Value *map = value_new_map();
    value_map_set(map, "total", value_new_int(summary->total));
    value_map_set(map, "ok", value_new_int(summary->ok));
    value_map_set(map, "changed", value_new_int(summary->changed));
    value_map_set(map, "removed", value_new_int(summary->removed));
    value_map_set(map, "pending", value_new_int(summary->pending));
    value_map_set(map, "failed", value_new_int(summary->failed));
    value_map_set(map, "blocked", value_new_int(summary->blocked));
    value_map_set(map, "unfinished", value_new_int(summary->unfinished));
    value_map_set(map, "duration_us", value_new_int((int64_t)duration));
    printer_json(printer, "summary", map);
}

void printer_summary(Printer *printer, const EngineSummary *summary, uint64_t duration) {
    if (printer->json) {
        summary_as_json(printer, summary, duration);
        return;
    }
    repeat_failures(printer, summary->failed);
    g_autoptr(GString) text = g_string_new(NULL);
    g_string_append_printf(text, "%u %s: %u right", summary->total,
                           plural(summary->total, "resource", "resources"), summary->ok);
    const struct {
        unsigned count;
        const char *what;
    } parts[] = {
        { summary->changed, "changed" }, { summary->removed, "undone" },
        { summary->pending, "pending" }, { summary->failed, "failed" },
        { summary->blocked, "blocked" }, { summary->unfinished, "unfinished" },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(parts); i++)
        if (parts[i].count > 0)
            g_string_append_printf(text, ", %u %s", parts[i].count, parts[i].what);
    bool bad = summary->failed + summary->blocked + summary->unfinished > 0;
    g_string_append_printf(text, " (%.2f s)", (double)duration / 1e6);
    printer_line(printer, bad ? STYLE_BAD : STYLE_GOOD, "%s", text->str);
}
