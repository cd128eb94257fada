/* stead kinds: the reference of kinds and parameters, from their tables. */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "cli/check-program.h"
#include "cli/commands.h"
#include "cli/session.h"

static void print_wrapped(Printer *printer, const char *indent, const char *text) {
    const size_t width = 92;
    g_auto(GStrv) paragraphs = g_strsplit(text, "\n", -1);
    for (char **paragraph = paragraphs; *paragraph; paragraph++) {
        g_autoptr(GString) line = g_string_new(indent);
        g_auto(GStrv) words = g_strsplit(*paragraph, " ", -1);
        for (char **word = words; *word; word++) {
            if (line->len > strlen(indent) && line->len + 1 + strlen(*word) > width) {
                printer_line(printer, STYLE_PLAIN, "%s", line->str);
                g_string_assign(line, indent);
            }
            if (line->len > strlen(indent))
                g_string_append_c(line, ' ');
            g_string_append(line, *word);
        }
        printer_line(printer, STYLE_PLAIN, "%s", line->str);
    }
}

static void print_param(Printer *printer, const Param *param) {
    g_autoptr(GString) facts = g_string_new(param_type_name(param->type));
    if (param->choices) {
        g_autofree char *choices = g_strjoinv(" | ", (char **)(uintptr_t)param->choices);
        g_string_assign(facts, choices);
    }
    if (param->flags & PARAM_REQUIRED)
        g_string_append(facts, ", required");
    if (param->flags & PARAM_NAMED)
        g_string_append(facts, ", default: the resource's name");
    else if (param->fallback)
        g_string_append_printf(facts, ", default %s", param->fallback);
    if (param->flags & PARAM_RECEIVES)
        g_string_append(facts, ", can be received");
    if (param->flags & PARAM_SECRET)
        g_string_append(facts, ", secret");
    if (param->aliases)
        g_string_append_printf(facts, ", also: %s", param->aliases);
    printer_line(printer, STYLE_PLAIN, "  %s%s%s (%s)", printer_style(printer, STYLE_STRONG),
                 param->name, printer_style(printer, STYLE_PLAIN), facts->str);
    print_wrapped(printer, "      ", param->help);
}

/* What is in no table of a kind. */
static void print_common(Printer *printer) {
    g_autoptr(GString) text =
        g_string_new("Every kind also takes needs, before, notify and listen (other resources, as "
                     "doc/language.md says under Edges) and the meta parameters");
    for (size_t i = 0; i < meta_params_count; i++)
        g_string_append_printf(text, "%s%s", i > 0 ? ", " : " ", meta_params[i].name);
    g_string_append(text, " (man stead-kinds).");
    printer_line(printer, STYLE_PLAIN, " ");
    print_wrapped(printer, "", text->str);
}

static void print_kind(Printer *printer, const Kind *kind) {
    printer_line(printer, STYLE_STRONG, "%s - %s", kind->name, kind->summary);
    printer_line(printer, STYLE_PLAIN, " ");
    print_wrapped(printer, "  ", kind->help);
    printer_line(printer, STYLE_STRONG, "\nParameters");
    for (unsigned i = 0; i < kind->n_params; i++)
        print_param(printer, &kind->params[i]);
    if (kind->n_outputs > 0)
        printer_line(printer, STYLE_STRONG, "\nOutputs");
    for (unsigned i = 0; i < kind->n_outputs; i++) {
        printer_line(printer, STYLE_PLAIN, "  %s (%s)", kind->outputs[i].name,
                     param_type_name(kind->outputs[i].type));
        print_wrapped(printer, "      ", kind->outputs[i].help);
    }
    if (kind->program)
        printer_line(printer, STYLE_PLAIN, "\nProgram\n  %s", kind->program);
    printer_line(printer, STYLE_STRONG, "\nExample");
    g_auto(GStrv) lines = g_strsplit(kind->example, "\n", -1);
    for (char **line = lines; *line; line++)
        printer_line(printer, STYLE_PLAIN, "  %s", *line);
    print_common(printer);
}

static Value *param_to_value(const Param *param) {
    Value *map = value_new_map();
    value_map_set(map, "name", value_new_string(param->name));
    value_map_set(map, "type", value_new_string(param_type_name(param->type)));
    value_map_set(map, "help", value_new_string(param->help));
    value_map_set(map, "required", value_new_bool(param->flags & PARAM_REQUIRED));
    if (param->fallback)
        value_map_set(map, "default", value_new_string(param->fallback));
    if (param->choices) {
        Value *choices = value_new_list();
        for (const char *const *choice = param->choices; *choice; choice++)
            value_list_append(choices, value_new_string(*choice));
        value_map_set(map, "choices", choices);
    }
    return map;
}

static void kind_as_json(Printer *printer, const Kind *kind) {
    Value *map = value_new_map(), *params = value_new_list();
    for (unsigned i = 0; i < kind->n_params; i++)
        value_list_append(params, param_to_value(&kind->params[i]));
    value_map_set(map, "name", value_new_string(kind->name));
    value_map_set(map, "summary", value_new_string(kind->summary));
    value_map_set(map, "help", value_new_string(kind->help));
    value_map_set(map, "example", value_new_string(kind->example));
    value_map_set(map, "params", params);
    if (kind->program)
        value_map_set(map, "program", value_new_string(kind->program));
    printer_json(printer, "kind", map);
}

static void show(Printer *printer, const Kind *kind, bool whole) {
    if (printer_is_json(printer))
        kind_as_json(printer, kind);
    else if (whole)
        print_kind(printer, kind);
    else
        printer_line(printer, STYLE_PLAIN, "%-18s %s%s%s%s", kind->name, kind->summary,
                     kind->program ? " (" : "", kind->program ? kind->program : "",
                     kind->program ? ")" : "");
}

/* A program that cannot say what it is does not keep the others from being listed. */
static int show_all(Printer *printer, const KindSet *kinds) {
    unsigned n_more = 0, n_failed = 0;
    for (unsigned i = 0; i < kinds->n_kinds; i++)
        show(printer, kinds->kinds[i], false);
    const char *const *more = kinds->more->names(kinds->more, &n_more);
    for (unsigned i = 0; i < n_more; i++) {
        g_autoptr(GError) error = NULL;
        const Kind *kind = kinds->more->find(kinds->more, more[i], &error);
        if (kind)
            show(printer, kind, false);
        else
            printer_error(printer, error);
        n_failed += kind == NULL;
    }
    if (!printer_is_json(printer))
        print_wrapped(printer, "", "\n`stead kinds KIND` shows parameters and an example.");
    return n_failed > 0 ? EXIT_FAILURES : EXIT_DONE;
}

static int show_one(Printer *printer, const KindSet *kinds, const char *name) {
    const Kind *kind = kind_set_find(kinds, name);
    if (kind) {
        show(printer, kind, true);
        return EXIT_DONE;
    }
    g_autoptr(GError) error = NULL;
    kind_set_unknown(kinds, name, &error);
    if (error->message[strlen(error->message) - 1] != '?') {
        g_autofree char *message = g_steal_pointer(&error->message);
        error->message = g_strdup_printf("%s; 'stead kinds' lists them all", message);
    }
    printer_error(printer, error);
    return EXIT_REFUSED;
}

static int run(const Arguments *arguments, char **words) {
    g_autoptr(Session) session = session_open(arguments);
    if (session && arguments->check)
        return check_program(session->printer, words[0]);
    if (!session || !session_find_kinds(session, "."))
        return EXIT_REFUSED;
    const KindSet *kinds = programs_kinds(session->machine->programs);
    return words[0] ? show_one(session->printer, kinds, words[0])
                    : show_all(session->printer, kinds);
}

static const Option *const options[] = { &option_kinds, &option_check, &option_json,
                                         &option_no_color, NULL };

const Command command_kinds = {
    .name = "kinds",
    .arguments = "[KIND]",
    .max_arguments = 1,
    .summary = "Reference of kinds and their parameters",
    .help =
        "Without KIND lists all kinds; with it prints its manual: what it does, every "
        "parameter, outputs\n"
        "and an example. --json prints the tables. Kinds that programs speak for are listed with "
        "their program:\n"
        "those in /etc/stead/kinds, /usr/lib/stead/kinds, kinds in this directory, and --kinds.\n"
        "With --check, KIND is the path of such a program: it is asked everything that it can be "
        "asked, and\n"
        "its example is applied, applied again and removed below a directory made for that; "
        "exits with 4 when\n"
        "something is wrong.",
    .example = "stead kinds file",
    .options = options,
    .run = run,
};
