/* stead ledger: what stead owns on this machine. */
#include <string.h>

#include "cli/commands.h"
#include "cli/session.h"
#include "graph/meta.h"

static void list_entry(void *data, const LedgerEntry *entry) {
    Printer *printer = data;
    if (printer_is_json(printer)) {
        Value *map = value_new_map();
        value_map_set(map, "kind", value_new_string(entry->kind));
        value_map_set(map, "name", value_new_string(entry->name));
        value_map_set(map, "created", value_new_bool(entry->created));
        value_map_set(map, "protect", value_new_bool(entry->protect));
        value_map_set(map, "on_remove",
                      value_new_string(on_remove_name((OnRemove)entry->on_remove)));
        value_map_set(map, "origin", value_new_string(entry->origin ? entry->origin : ""));
        value_map_set(map, "since", value_new_int(entry->since));
        value_map_set(map, "changed", value_new_int(entry->changed));
        if (entry->preimage)
            value_map_set(map, "preimage", value_ref(entry->preimage));
        printer_json(printer, "entry", map);
        return;
    }
    const char *fate = entry->on_remove != ON_REMOVE_DEFAULT
                           ? on_remove_name((OnRemove)entry->on_remove)
                       : entry->created ? "remove"
                                        : "restore";
    printer_line(printer, STYLE_PLAIN, "%s '%s' (%s, leaves by: %s%s) %s", entry->kind, entry->name,
                 entry->created ? "created" : "adopted", fate, entry->protect ? ", protected" : "",
                 entry->origin ? entry->origin : "");
}

static int list(Session *session, char **words) {
    if (!session_open_ledger(session, LEDGER_READ, "ledger list"))
        return EXIT_REFUSED;
    ledger_visit(session->ledger, list_entry, session->printer);
    if (!printer_is_json(session->printer))
        printer_line(session->printer, STYLE_STRONG, "%u resources are ours",
                     ledger_count(session->ledger));
    return EXIT_DONE;
}

static int forget(Session *session, char **words) {
    g_autoptr(GError) error = NULL;
    if (!words[0] || !words[1]) {
        g_set_error(
            &error, STEAD_ERROR, STEAD_ERROR_CONFIG,
            "stead ledger forget: KIND and NAME are missing; 'stead ledger list' shows them");
        printer_error(session->printer, error);
        return EXIT_REFUSED;
    }
    if (!session_open_ledger(session, LEDGER_WRITE, "ledger forget"))
        return EXIT_REFUSED;
    if (!ledger_find(session->ledger, words[0], words[1]))
        g_set_error(
            &error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND,
            "forget %s '%s': the ledger does not have it; 'stead ledger list' shows what it has",
            words[0], words[1]);
    else {
        ledger_forget(session->ledger, words[0], words[1]);
        ledger_discard_interrupted(session->ledger, words[0], words[1]);
    }
    if (error || !ledger_flush(session->ledger, &error)) {
        printer_error(session->printer, error);
        return EXIT_REFUSED;
    }
    printer_line(session->printer, STYLE_PLAIN, "forgot %s '%s'; it stays on the host as it is",
                 words[0], words[1]);
    return EXIT_DONE;
}

static int repair(Session *session, char **words) {
    g_autoptr(GError) error = NULL;
    g_autofree char *report = NULL;
    if (!ledger_repair(session->state_dir, &report, &error)) {
        printer_error(session->printer, error);
        return EXIT_REFUSED;
    }
    printer_line(session->printer, STYLE_PLAIN, "%s", report);
    return EXIT_DONE;
}

static const struct {
    const char *name;
    int (*run)(Session *session, char **words);
} verbs[] = { { "list", list }, { "forget", forget }, { "repair", repair } };

static int run(const Arguments *arguments, char **words) {
    g_autoptr(Session) session = session_open(arguments);
    if (!session)
        return EXIT_REFUSED;
    for (unsigned i = 0; i < G_N_ELEMENTS(verbs); i++)
        if (strcmp(verbs[i].name, words[0]) == 0)
            return verbs[i].run(session, words + 1);
    g_autoptr(GError) error =
        g_error_new(STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "stead ledger: no such verb '%s': use list, forget or repair", words[0]);
    printer_error(session->printer, error);
    return EXIT_REFUSED;
}

static const Option *const options[] = {
    &option_root, &option_state, &option_json, &option_no_color, NULL,
};

const Command command_ledger = {
    .name = "ledger",
    .arguments = "list | forget KIND NAME | repair",
    .min_arguments = 1,
    .max_arguments = 3,
    .summary = "Show, forget or repair the record of what stead owns",
    .help = "list shows every resource stead manages or has managed and not yet undone, what was "
            "there before\n"
            "and what happens when it leaves the configuration. forget lets go of one without "
            "touching the\n"
            "host. repair moves a damaged ledger aside and keeps what can still be read.",
    .example = "stead ledger list",
    .options = options,
    .run = run,
};
