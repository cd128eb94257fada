/* stead docs: manual pages and the reference, from the tables of commands, kinds and functions. */
#include <errno.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/printer.h"
#include "kinds/kinds.h"
#include "lang/facts.h"
#include "lang/lang.h"

/* --- roff ------------------------------------------------------------------------------------- */

/* Text for troff: backslashes, leading dots and quotes, and hyphens of options. */
static void append_roff(GString *out, const char *text) {
    bool line_start = true;
    for (const char *c = text; *c; c++) {
        if (line_start && (*c == '.' || *c == '\''))
            g_string_append(out, "\\&");
        if (*c == '\\')
            g_string_append(out, "\\e");
        else if (*c == '-')
            g_string_append(out, "\\-");
        else
            g_string_append_c(out, *c);
        line_start = *c == '\n';
    }
}

static void append_paragraphs(GString *out, const char *text) {
    g_auto(GStrv) parts = g_strsplit(text, "\n\n", -1);
    for (char **part = parts; *part; part++) {
        g_string_append(out, ".PP\n");
        append_roff(out, *part);
        g_string_append_c(out, '\n');
    }
}

static void append_code(GString *out, const char *code) {
    g_string_append(out, ".PP\n.RS 4\n.nf\n");
    append_roff(out, code);
    g_string_append(out, "\n.fi\n.RE\n");
}

static void man_header(GString *out, const char *title, const char *section, const char *summary,
                       const char *name) {
    g_string_append_printf(out, ".TH %s %s \"\" \"stead %s\"\n.SH NAME\n%s \\- ", title, section,
                           STEAD_VERSION, name);
    append_roff(out, summary);
    g_string_append_c(out, '\n');
}

static void man_option(GString *out, const Option *option) {
    g_string_append(out, ".TP\n.B ");
    if (option->letter)
        g_string_append_printf(out, "\\-%c, ", option->letter);
    append_roff(out, "--");
    append_roff(out, option->name);
    if (option->argument)
        g_string_append_printf(out, " \\fI%s\\fR", option->argument);
    g_string_append_c(out, '\n');
    append_roff(out, option->help);
    g_string_append_c(out, '\n');
}

static char *man_command(const Command *command) {
    GString *out = g_string_new(NULL);
    g_autofree char *upper = g_ascii_strup(command->name, -1);
    g_autofree char *title = g_strconcat("STEAD-", upper, NULL);
    g_autofree char *name = g_strconcat("stead-", command->name, NULL);
    man_header(out, title, "1", command->summary, name);
    g_string_append_printf(out,
                           ".SH SYNOPSIS\n.B stead %s\n[\\fIoption\\fR...] %s\n.SH DESCRIPTION\n",
                           command->name, command->arguments);
    append_paragraphs(out, command->help);
    g_string_append(out, ".SH OPTIONS\n");
    for (const Option *const *option = command->options; *option; option++)
        man_option(out, *option);
    g_string_append(out, ".SH EXAMPLE\n");
    append_code(out, command->example);
    g_string_append(out, ".SH SEE ALSO\n.BR stead (1),\n.BR stead-kinds (7)\n");
    return g_string_free(out, FALSE);
}

static const struct {
    const char *code, *meaning;
} exit_codes[] = {
    { "0", "Done, nothing failed; with --detailed-exitcode: nothing changed." },
    { "1", "Bad usage, bad configuration, or refused: nothing was touched." },
    { "2", "With --detailed-exitcode: changed, or changes are pending." },
    { "3", "The hub that was asked gave no answer: nothing is known." },
    { "4", "Some resources failed, the rest were done; 6: and some changed." },
    { "5", "Blocked or timed out before converging." },
    { "130", "Interrupted." },
};

static char *man_main(void) {
    GString *out = g_string_new(NULL);
    man_header(out, "STEAD", "1", "infrastructure as code for machines you own", "stead");
    g_string_append(
        out, ".SH SYNOPSIS\n.B stead\n\\fIcommand\\fR [\\fIoption\\fR...] [\\fIargument\\fR...]\n"
             ".SH DESCRIPTION\n");
    append_paragraphs(
        out, "Declares what a machine should be, shows exactly what would change, makes it so in "
             "parallel, and keeps it so at the speed of events.");
    g_string_append(out, ".SH COMMANDS\n");
    for (const Command *const *command = commands; *command; command++) {
        g_string_append_printf(out, ".TP\n.BR stead\\-%s (1)\n", (*command)->name);
        append_roff(out, (*command)->summary);
        g_string_append_c(out, '\n');
    }
    g_string_append(out, ".SH EXIT STATUS\n");
    for (unsigned i = 0; i < G_N_ELEMENTS(exit_codes); i++) {
        g_string_append_printf(out, ".TP\n.B %s\n", exit_codes[i].code);
        append_roff(out, exit_codes[i].meaning);
        g_string_append_c(out, '\n');
    }
    g_string_append(out, ".SH FILES\n.TP\n.I /etc/stead/kinds\n.TQ\n.I /usr/lib/stead/kinds\n.TQ\n"
                         ".I kinds\nbeside FILE: programs that speak for kinds of their name.\n");
    g_string_append(out, ".SH SEE ALSO\n.BR stead-kinds (7),\n.BR stead-language (7)\n");
    return g_string_free(out, FALSE);
}

/* --- facts about rows ------------------------------------------------------------------------- */

static char *param_facts(const Param *param) {
    GString *facts = g_string_new(NULL);
    if (param->choices) {
        g_autofree char *choices = g_strjoinv(", ", (char **)(uintptr_t)param->choices);
        g_string_append_printf(facts, "one of %s", choices);
    } else {
        g_string_append(facts, param_type_name(param->type));
    }
    if (param->flags & PARAM_REQUIRED)
        g_string_append(facts, "; required");
    if (param->flags & PARAM_NAMED)
        g_string_append(facts, "; default: the name");
    else if (param->fallback)
        g_string_append_printf(facts, "; default: %s", param->fallback);
    if (param->unit)
        g_string_append_printf(facts, "; numbers are %s", param->unit);
    if (param->flags & PARAM_RECEIVES)
        g_string_append(facts, "; can be received");
    if (param->aliases)
        g_string_append_printf(facts, "; also: %s", param->aliases);
    return g_string_free(facts, FALSE);
}

static void man_param(GString *out, const Param *param) {
    g_autofree char *facts = param_facts(param);
    g_string_append(out, ".TP\n.B ");
    append_roff(out, param->name);
    g_string_append(out, "\n(");
    append_roff(out, facts);
    g_string_append(out, ") ");
    append_roff(out, param->help);
    g_string_append_c(out, '\n');
}

static char *man_kinds(void) {
    GString *out = g_string_new(NULL);
    man_header(out, "STEAD-KINDS", "7", "kinds of resources and their parameters", "stead-kinds");
    for (unsigned i = 0; i < builtin_kinds.n_kinds; i++) {
        const Kind *kind = builtin_kinds.kinds[i];
        g_autofree char *title = g_ascii_strup(kind->name, -1);
        g_string_append_printf(out, ".SH %s\n", title);
        append_roff(out, kind->summary);
        g_string_append(out, ".\n");
        append_paragraphs(out, kind->help);
        for (unsigned j = 0; j < kind->n_params; j++)
            man_param(out, &kind->params[j]);
        for (unsigned j = 0; j < kind->n_outputs; j++) {
            g_string_append(out, ".TP\n.B out: ");
            append_roff(out, kind->outputs[j].name);
            g_string_append_c(out, '\n');
            append_roff(out, kind->outputs[j].help);
            g_string_append_c(out, '\n');
        }
        append_code(out, kind->example);
    }
    g_string_append(out, ".SH META PARAMETERS\nEvery kind takes these.\n");
    for (size_t i = 0; i < meta_params_count; i++)
        man_param(out, &meta_params[i]);
    return g_string_free(out, FALSE);
}

static char *man_language(void) {
    GString *out = g_string_new(NULL);
    man_header(out, "STEAD-LANGUAGE", "7", "functions and tables of configurations",
               "stead-language");
    g_string_append(out, ".SH FUNCTIONS\n");
    for (size_t i = 0; i < lang_functions_count; i++) {
        g_string_append(out, ".TP\n.B ");
        append_roff(out, lang_functions[i].name);
        append_roff(out, lang_functions[i].signature[0] == '(' ? "" : ": ");
        append_roff(out, lang_functions[i].signature);
        g_string_append_c(out, '\n');
        append_roff(out, lang_functions[i].help);
        g_string_append_c(out, '\n');
    }
    g_string_append(out, ".SH FACTS\n");
    for (size_t i = 0; i < facts_count(); i++) {
        g_string_append_printf(out, ".TP\n.B facts.%s\n", facts_name(i));
        append_roff(out, facts_help(i));
        g_string_append_c(out, '\n');
    }
    return g_string_free(out, FALSE);
}

/* --- markdown --------------------------------------------------------------------------------- */

static void append_cell(GString *out, const char *text) {
    for (const char *c = text; *c; c++) {
        if (*c == '|')
            g_string_append_c(out, '\\');
        g_string_append_c(out, *c == '\n' ? ' ' : *c);
    }
}

static void markdown_params(GString *out, const Param *params, size_t n) {
    g_string_append(out, "\n| parameter | type | meaning |\n|---|---|---|\n");
    for (size_t i = 0; i < n; i++) {
        g_autofree char *facts = param_facts(&params[i]);
        g_string_append_printf(out, "| `%s` | ", params[i].name);
        append_cell(out, facts);
        g_string_append(out, " | ");
        append_cell(out, params[i].help);
        g_string_append(out, " |\n");
    }
}

static void markdown_kind(GString *out, const Kind *kind) {
    g_string_append_printf(out, "\n### %s\n\n%s.\n\n%s\n", kind->name, kind->summary, kind->help);
    markdown_params(out, kind->params, kind->n_params);
    for (unsigned i = 0; i < kind->n_outputs; i++)
        g_string_append_printf(out, "%s`%s`: %s\n", i == 0 ? "\nOutputs: " : "; ",
                               kind->outputs[i].name, kind->outputs[i].help);
    g_string_append_printf(out, "\n```lua\n%s\n```\n", kind->example);
}

static void markdown_command(GString *out, const Command *command) {
    g_string_append_printf(out, "\n### stead %s %s\n\n%s.\n\n%s\n\n", command->name,
                           command->arguments, command->summary, command->help);
    for (const Option *const *option = command->options; *option; option++)
        g_string_append_printf(out, "- `--%s%s%s`: %s\n", (*option)->name,
                               (*option)->argument ? " " : "",
                               (*option)->argument ? (*option)->argument : "", (*option)->help);
    g_string_append_printf(out, "\nExample: `%s`\n", command->example);
}

static char *markdown_reference(void) {
    GString *out =
        g_string_new("# Reference\n\nGenerated from the tables in the program: `stead docs`.\n\n"
                     "## Commands\n");
    for (const Command *const *command = commands; *command; command++)
        markdown_command(out, *command);
    g_string_append(out, "\n## Exit codes\n\n| code | meaning |\n|---|---|\n");
    for (unsigned i = 0; i < G_N_ELEMENTS(exit_codes); i++)
        g_string_append_printf(out, "| %s | %s |\n", exit_codes[i].code, exit_codes[i].meaning);
    g_string_append(out, "\n## Kinds\n");
    for (unsigned i = 0; i < builtin_kinds.n_kinds; i++)
        markdown_kind(out, builtin_kinds.kinds[i]);
    g_string_append(out, "\n## Meta parameters\n\nEvery kind takes these.\n");
    markdown_params(out, meta_params, meta_params_count);
    g_string_append(out, "\n## Language\n\n| name | meaning |\n|---|---|\n");
    for (size_t i = 0; i < lang_functions_count; i++) {
        bool is_function = lang_functions[i].signature[0] == '(';
        g_string_append_printf(out, "| `%s%s", lang_functions[i].name, is_function ? "" : ": ");
        append_cell(out, lang_functions[i].signature);
        g_string_append(out, "` | ");
        append_cell(out, lang_functions[i].help);
        g_string_append(out, " |\n");
    }
    g_string_append(out, "\n## Facts\n\n`stead facts` shows what they are on a host.\n\n"
                         "| fact | meaning |\n|---|---|\n");
    for (size_t i = 0; i < facts_count(); i++) {
        g_string_append_printf(out, "| `facts.%s` | ", facts_name(i));
        append_cell(out, facts_help(i));
        g_string_append(out, " |\n");
    }
    return g_string_free(out, FALSE);
}

/* --- command ---------------------------------------------------------------------------------- */

static bool write_file(const char *dir, const char *name, char *text, GError **error) {
    g_autofree char *owned = text;
    g_autofree char *path = g_build_filename(dir, name, NULL);
    return g_file_set_contents(path, owned, -1, error);
}

static bool write_all(const char *dir, GError **error) {
    if (g_mkdir_with_parents(dir, 0755) < 0)
        return set_io_error(error, errno, "make directory '%s'", dir);
    bool ok = write_file(dir, "stead.1", man_main(), error) &&
              write_file(dir, "stead-kinds.7", man_kinds(), error) &&
              write_file(dir, "stead-language.7", man_language(), error) &&
              write_file(dir, "reference.md", markdown_reference(), error);
    for (const Command *const *command = commands; ok && *command; command++) {
        g_autofree char *name = g_strdup_printf("stead-%s.1", (*command)->name);
        ok = write_file(dir, name, man_command(*command), error);
    }
    return ok;
}

static int run(const Arguments *arguments, char **words) {
    g_autoptr(Printer) printer = printer_new(arguments);
    g_autoptr(GError) error = NULL;
    if (write_all(words[0], &error))
        return EXIT_DONE;
    printer_error(printer, error);
    return EXIT_REFUSED;
}

static const Option *const options[] = { NULL };

const Command command_docs = {
    .name = "docs",
    .arguments = "DIR",
    .min_arguments = 1,
    .max_arguments = 1,
    .summary = "Write manual pages and the reference into a directory",
    .help = "Writes stead.1, a page for each command, stead-kinds.7, stead-language.7 and "
            "reference.md into DIR,\n"
            "all from the tables the program itself uses.",
    .example = "stead docs /usr/local/share/doc/stead",
    .options = options,
    .run = run,
};
