/* stead ledger: what stead owns on this machine. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/plural.h"
#include "cli/commands.h"
#include "cli/session.h"
#include "cli/time-text.h"
#include "cli/verbs.h"
#include "graph/meta.h"
#include "graph/resource.h"

static const char *fate_of(const LedgerEntry *entry) {
    if (entry->on_remove != ON_REMOVE_DEFAULT)
        return on_remove_name((OnRemove)entry->on_remove);
    return entry->created ? "remove" : "restore";
}

/* Without the line: those above it may have come and gone since the entry was written. */
static const char *file_of(const LedgerEntry *entry) {
    const char *file = origin_parse(entry->origin).file;
    return file ? file : "";
}

static void entry_as_json(Printer *printer, const LedgerEntry *entry) {
    Value *map = value_new_map();
    value_map_set(map, "kind", value_new_string(entry->kind));
    value_map_set(map, "name", value_new_string(entry->name));
    value_map_set(map, "created", value_new_bool(entry->created));
    value_map_set(map, "protect", value_new_bool(entry->protect));
    value_map_set(map, "on_remove", value_new_string(on_remove_name((OnRemove)entry->on_remove)));
    value_map_set(map, "origin", value_new_string(file_of(entry)));
    value_map_set(map, "since", value_new_int(entry->since));
    value_map_set(map, "changed", value_new_int(entry->changed));
    if (entry->preimage)
        value_map_set(map, "preimage", value_ref(entry->preimage));
    printer_json(printer, "entry", map);
}

static void list_entry(void *data, const LedgerEntry *entry) {
    Printer *printer = data;
    if (printer_is_json(printer)) {
        entry_as_json(printer, entry);
        return;
    }
    printer_line(printer, STYLE_PLAIN, "%s '%s' (%s, leaves by: %s%s) %s", entry->kind, entry->name,
                 entry->created ? "created" : "adopted", fate_of(entry),
                 entry->protect ? ", protected" : "", file_of(entry));
}

static int list(Session *session, char **words) {
    if (!session_open_ledger(session, LEDGER_READ, "ledger list"))
        return EXIT_REFUSED;
    ledger_visit(session->machine->ledger, list_entry, session->printer);
    unsigned n = ledger_count(session->machine->ledger);
    if (!printer_is_json(session->printer))
        printer_line(session->printer, STYLE_STRONG, "%u %s ours", n,
                     plural(n, "resource is", "resources are"));
    return EXIT_DONE;
}

/* The entry that words name; NULL when that was told to be wrong. */
static const LedgerEntry *named_entry(Session *session, const char *verb, LedgerMode mode,
                                      char **words) {
    g_autoptr(GError) error = NULL;
    g_autofree char *command = g_strconcat("ledger ", verb, NULL);
    const LedgerEntry *entry = NULL;
    if (!words[0] || !words[1])
        g_set_error(&error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "stead ledger %s: KIND and NAME are missing; 'stead ledger list' shows them",
                    verb);
    else if (!session_open_ledger(session, mode, command))
        return NULL;
    else if (!(entry = ledger_find(session->machine->ledger, words[0], words[1])))
        g_set_error(
            &error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND,
            "%s %s '%s': the ledger does not have it; 'stead ledger list' shows what it has", verb,
            words[0], words[1]);
    if (error)
        printer_error(session->printer, error);
    return entry;
}

static int forget(Session *session, char **words) {
    g_autoptr(GError) error = NULL;
    if (!named_entry(session, "forget", LEDGER_WRITE, words))
        return EXIT_REFUSED;
    ledger_forget(session->machine->ledger, words[0], words[1]);
    ledger_discard_interrupted(session->machine->ledger, words[0], words[1]);
    if (!ledger_flush(session->machine->ledger, &error)) {
        printer_error(session->printer, error);
        return EXIT_REFUSED;
    }
    printer_line(session->printer, STYLE_PLAIN, "forgot %s '%s'; it stays on the host as it is",
                 words[0], words[1]);
    return EXIT_DONE;
}

static void print_moment(Printer *printer, const char *title, int64_t at) {
    if (at == 0)
        return;
    g_autofree char *text = time_show(at);
    printer_line(printer, STYLE_PLAIN, "  %s %s", title, text);
}

static int show(Session *session, char **words) {
    const LedgerEntry *entry = named_entry(session, "show", LEDGER_READ, words);
    if (!entry)
        return EXIT_REFUSED;
    Printer *printer = session->printer;
    if (printer_is_json(printer)) {
        entry_as_json(printer, entry);
        return EXIT_DONE;
    }
    list_entry(printer, entry);
    print_moment(printer, "ours since:", entry->since);
    print_moment(printer, "last changed by us:", entry->changed);
    printer_line(printer, STYLE_PLAIN, "  before us:%s", entry->created ? " not there" : "");
    for (size_t i = 0; !entry->created && entry->preimage && i < value_size(entry->preimage); i++) {
        const char *property;
        const Value *value = value_map_at(entry->preimage, i, &property);
        g_autofree char *text = value_show(value, 0);
        if (strcmp(property, "exists") != 0)
            printer_line(printer, STYLE_PLAIN, "    %s: %s", property, text);
    }
    g_autoptr(GBytes) bytes = preimage_content(session->machine->ledger, entry);
    if (bytes)
        printer_line(
            printer, STYLE_PLAIN, "  its %zu %s kept: 'stead ledger content %s %s' prints %s",
            g_bytes_get_size(bytes), plural(g_bytes_get_size(bytes), "byte is", "bytes are"),
            entry->kind, entry->name, plural(g_bytes_get_size(bytes), "it", "them"));
    return EXIT_DONE;
}

/* As they were, so that they can be sent to a file. */
static int content(Session *session, char **words) {
    const LedgerEntry *entry = named_entry(session, "content", LEDGER_READ, words);
    if (!entry)
        return EXIT_REFUSED;
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) bytes = preimage_content(session->machine->ledger, entry);
    gsize size = 0;
    const void *data = bytes ? g_bytes_get_data(bytes, &size) : NULL;
    if (!bytes)
        g_set_error(&error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND,
                    "content of %s '%s': none is kept: %s", words[0], words[1],
                    entry->created ? "it was not there before stead made it"
                                   : "it had none, or more than the ledger keeps");
    else if (fwrite(data, 1, size, stdout) != size || fflush(stdout) != 0)
        set_io_error(&error, errno, "write it to standard output");
    if (!error)
        return EXIT_DONE;
    printer_error(session->printer, error);
    return EXIT_REFUSED;
}

static int repair(Session *session, char **words) {
    g_autoptr(GError) error = NULL;
    g_autofree char *report = NULL;
    if (!ledger_repair(session->machine->state_dir, &report, &error)) {
        printer_error(session->printer, error);
        return EXIT_REFUSED;
    }
    printer_line(session->printer, STYLE_PLAIN, "%s", report);
    return EXIT_DONE;
}

static const struct {
    Verb verb;
    int (*run)(Session *session, char **words);
} verbs[] = {
    { { "list", "", 0, 0 }, list },
    { { "show", "KIND NAME", 2, 2 }, show },
    { { "content", "KIND NAME", 2, 2 }, content },
    { { "forget", "KIND NAME", 2, 2 }, forget },
    { { "repair", "", 0, 0 }, repair },
};

static int run(const Arguments *arguments, char **words) {
    g_autoptr(Session) session = session_open(arguments);
    if (!session)
        return EXIT_REFUSED;
    g_autoptr(GError) error = NULL;
    int verb = VERB_FIND("ledger", verbs, words, &error);
    if (verb >= 0)
        return verbs[verb].run(session, words + 1);
    printer_error(session->printer, error);
    return EXIT_REFUSED;
}

static const Option *const options[] = {
    &option_root, &option_state, &option_json, &option_no_color, NULL,
};

const Command command_ledger = {
    .name = "ledger",
    .arguments = "list | show KIND NAME | content KIND NAME | forget KIND NAME | repair",
    .min_arguments = 1,
    .max_arguments = 3,
    .summary = "Show, forget or repair the record of what stead owns",
    .help = "list shows every resource stead manages or has managed and not yet undone, what was "
            "there before\n"
            "and what happens when it leaves the configuration. show tells all about one, content "
            "prints the\n"
            "bytes that a file had before stead first changed it, to look at or to put back by "
            "hand. forget\n"
            "lets go of one without touching the host. repair moves a damaged ledger aside and "
            "keeps what\n"
            "can still be read.",
    .example = "stead ledger list",
    .options = options,
    .run = run,
};
