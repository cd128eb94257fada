/* stead facts: what a configuration can know of a host, and what that is on this one. */
#include <string.h>

#include "cli/commands.h"
#include "cli/session.h"
#include "lang/facts.h"

#define SHOWN 72 /* characters of a value in the list */

static const char *const unknown_here = "(not known here)";

static void show_fact(Printer *printer, Host *host, size_t index, size_t width) {
    g_autoptr(Value) value = facts_read(host, facts_name(index));
    if (printer_is_json(printer)) {
        Value *map = value_new_map();
        value_map_set(map, "name", value_new_string(facts_name(index)));
        value_map_set(map, "help", value_new_string(facts_help(index)));
        value_map_set(map, "value", value ? value_ref(value) : value_new_nil());
        printer_json(printer, "fact", map);
        return;
    }
    g_autofree char *shown = value ? value_show(value, width) : g_strdup(unknown_here);
    printer_line(printer, STYLE_PLAIN, "%sfacts.%s%s  %s", printer_style(printer, STYLE_STRONG),
                 facts_name(index), printer_style(printer, STYLE_PLAIN), shown);
    printer_line(printer, STYLE_DIM, "    %s", facts_help(index));
}

/* os.family: the member alone. */
static int show_member(Printer *printer, Host *host, const char *fact, const char *member) {
    bool of_each;
    const char *members = facts_members(fact, &of_each);
    g_autoptr(GError) error = NULL;
    g_auto(GStrv) names = g_strsplit(members ? members : "", " ", -1);
    if (!of_each && !g_strv_contains((const char *const *)names, member)) {
        g_set_error(&error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "no such fact '%s.%s'; see: stead "
                    "facts %s",
                    fact, member, fact);
        printer_error(printer, error);
        return EXIT_REFUSED;
    }
    g_autoptr(Value) whole = facts_read(host, fact);
    const Value *value = value_type(whole) == VALUE_MAP ? value_map_get(whole, member) : NULL;
    g_autofree char *shown = value ? value_show(value, 0) : g_strdup(unknown_here);
    if (printer_is_json(printer)) {
        Value *map = value_new_map();
        g_autofree char *name = g_strconcat(fact, ".", member, NULL);
        value_map_set(map, "name", value_new_string(name));
        value_map_set(map, "value", value ? value_ref(value) : value_new_nil());
        printer_json(printer, "fact", map);
    } else {
        printer_line(printer, STYLE_PLAIN, "%s", shown);
    }
    return EXIT_DONE;
}

static int show_one(Printer *printer, Host *host, const char *name) {
    for (size_t i = 0; i < facts_count(); i++)
        if (strcmp(facts_name(i), name) == 0) {
            show_fact(printer, host, i, 0);
            return EXIT_DONE;
        }
    const char *dot = strchr(name, '.');
    g_autofree char *fact = g_strndup(name, dot ? (size_t)(dot - name) : strlen(name));
    if (dot && facts_exists(fact))
        return show_member(printer, host, fact, dot + 1);
    g_autofree char *text = facts_unknown(name);
    g_autoptr(GError) error = g_error_new_literal(STEAD_ERROR, STEAD_ERROR_CONFIG, text);
    printer_error(printer, error);
    return EXIT_REFUSED;
}

static int run(const Arguments *arguments, char **words) {
    g_autoptr(Session) session = session_open(arguments);
    if (!session)
        return EXIT_REFUSED;
    if (words[0])
        return show_one(session->printer, session->machine->host, words[0]);
    for (size_t i = 0; i < facts_count(); i++)
        show_fact(session->printer, session->machine->host, i, SHOWN);
    return EXIT_DONE;
}

static const Option *const options[] = { &option_root, &option_json, &option_no_color, NULL };

const Command command_facts = {
    .name = "facts",
    .arguments = "[NAME]",
    .max_arguments = 1,
    .summary = "What a configuration can know of this host",
    .help = "Lists all facts with their value here and what they mean; a configuration reads them "
            "as facts.NAME.\n"
            "With NAME, which may be that of a member like os.family, shows that one whole.",
    .example = "stead facts os",
    .options = options,
    .run = run,
};
