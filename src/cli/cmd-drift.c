/* stead drift: reads the journal of corrections back. */
#include <string.h>

#include "base/json.h"
#include "base/plural.h"
#include "cli/change-text.h"
#include "cli/commands.h"
#include "cli/session.h"
#include "cli/time-text.h"

#define SHOWN 40 /* characters of a value */

typedef struct {
    Printer *printer;
    unsigned corrective, intended, reported, failed;
    int64_t slowest;
} Listing;

static void count(Listing *listing, const JournalEntry *entry) {
    if (entry->error)
        listing->failed++;
    else if (entry->reported)
        listing->reported++;
    else if (entry->corrective)
        listing->corrective++;
    else
        listing->intended++;
    if (entry->corrective && !entry->error)
        listing->slowest = MAX(listing->slowest, entry->latency);
}

static bool is_removal(const JournalEntry *entry) {
    return g_strcmp0(entry->action, action_name(ACTION_REMOVE)) == 0;
}

/* Nothing about what is gone, or was only notified: the action says it. */
static char *changes_text(const JournalEntry *entry) {
    GString *text = g_string_new(NULL);
    const Value *changes = is_removal(entry) ? NULL : entry->changes;
    for (size_t i = 0; value_type(changes) == VALUE_LIST && i < value_size(changes); i++) {
        const Value *change = value_list_at(changes, i);
        const char *property = value_map_string(change, "property", "?");
        if (strcmp(property, "notified") == 0)
            continue;
        g_autofree char *one = change_text(property, " ", value_map_get(change, "before"),
                                           value_map_get(change, "after"), SHOWN);
        g_string_append_printf(text, "%s%s", text->len ? ", " : "", one);
    }
    return g_string_free(text, FALSE);
}

static Value *entry_to_value(const JournalEntry *entry) {
    Value *map = value_new_map();
    value_map_set(map, "at", value_new_int(entry->time));
    value_map_set(map, "kind", value_new_string(entry->kind));
    value_map_set(map, "name", value_new_string(entry->name));
    value_map_set(map, "action", value_new_string(entry->action));
    value_map_set(map, "corrective", value_new_bool(entry->corrective));
    value_map_set(map, "reported", value_new_bool(entry->reported));
    if (entry->latency >= 0)
        value_map_set(map, "latency_us", value_new_int(entry->latency));
    if (entry->who)
        value_map_set(map, "who", value_new_string(entry->who));
    if (entry->error)
        value_map_set(map, "error", value_new_string(entry->error));
    if (entry->changes)
        value_map_set(map, "changes", value_ref(entry->changes));
    return map;
}

static void show(void *data, const JournalEntry *entry) {
    Listing *listing = data;
    count(listing, entry);
    if (printer_is_json(listing->printer)) {
        printer_json(listing->printer, "drift", entry_to_value(entry));
        return;
    }
    g_autofree char *when = time_show(entry->time);
    g_autofree char *changes = changes_text(entry);
    const char *sort = entry->error ? "failed" : entry->corrective ? "drift" : "intended";
    Style style = entry->error ? STYLE_BAD : entry->corrective ? STYLE_CHANGE : STYLE_DIM;
    g_autofree char *latency = entry->corrective && entry->latency >= 0
                                   ? g_strdup_printf(" in %.2f ms", (double)entry->latency / 1000)
                                   : g_strdup("");
    printer_line(listing->printer, STYLE_PLAIN, "%s %s%-8s%s %s %s '%s'%s%s%s%s%s", when,
                 printer_style(listing->printer, style), sort,
                 printer_style(listing->printer, STYLE_PLAIN), change_journal_action(entry),
                 entry->kind, entry->name, latency, *changes ? ": " : "", changes,
                 entry->error ? ": " : "", entry->error ? entry->error : "");
}

static bool read_filter(const Arguments *arguments, char **words, JournalFilter *filter,
                        GError **error) {
    *filter = (JournalFilter){
        .kind = words[0] ? words[0] : arguments->kind,
        .name = words[0] ? words[1] : NULL,
        .only_corrective = arguments->corrective,
        .limit = (unsigned)MAX(0, arguments->limit),
    };
    return (!arguments->since || time_parse(arguments->since, &filter->since, error)) &&
           (!arguments->until || time_parse(arguments->until, &filter->until, error));
}

static int run(const Arguments *arguments, char **words) {
    g_autoptr(Session) session = session_open(arguments);
    if (!session)
        return EXIT_REFUSED;
    JournalFilter filter;
    g_autoptr(GError) error = NULL;
    Listing listing = { .printer = session->printer };
    if (!read_filter(arguments, words, &filter, &error)) {
        printer_error(session->printer, error);
        return EXIT_REFUSED;
    }
    if (!session_open_ledger(session, LEDGER_READ, "drift"))
        return EXIT_REFUSED;
    if (!ledger_read_journal(session->machine->ledger, &filter, show, &listing, &error)) {
        printer_error(session->printer, error);
        return EXIT_FAILURES;
    }
    if (printer_is_json(session->printer))
        return EXIT_DONE;
    g_autofree char *slowest = listing.slowest > 0 ? g_strdup_printf("; slowest repair %.2f ms",
                                                                     (double)listing.slowest / 1000)
                                                   : g_strdup("");
    printer_line(session->printer, STYLE_STRONG,
                 "%u drift repaired, %u only seen, %u intended %s, %u failed%s", listing.corrective,
                 listing.reported, listing.intended, plural(listing.intended, "change", "changes"),
                 listing.failed, slowest);
    return EXIT_DONE;
}

static const Option *const options[] = {
    &option_root,  &option_state,      &option_since, &option_until,    &option_kind,
    &option_limit, &option_corrective, &option_json,  &option_no_color, NULL,
};

const Command command_drift = {
    .name = "drift",
    .arguments = "[KIND NAME]",
    .max_arguments = 2,
    .summary = "Read the journal of corrections",
    .help = "Lists every correction, newest first: when, what, before and after, whether it "
            "repaired drift or\n"
            "followed the configuration, and how long it took from the event to the repair. The "
            "last line\n"
            "counts them.",
    .example = "stead drift --since 1h --corrective",
    .options = options,
    .run = run,
};
