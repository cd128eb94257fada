/* stead: finds the command, reads its options, runs it. */
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "base/suggest.h"
#include "cli/command.h"
#include "cli/join-token.h"

static void print_usage(FILE *to) {
    fputs("Usage: stead COMMAND [OPTION...] [ARGUMENT...]\n\n"
          "Declares what machines should be, shows what would change, makes it so and keeps it "
          "so.\n\n",
          to);
    for (const Command *const *command = commands; *command; command++)
        fprintf(to, "  %-10s %s\n", (*command)->name, (*command)->summary);
    fputs("\n`stead COMMAND --help` or `stead help COMMAND` tells more. Manual: stead(1).\n", to);
}

/* A GOptionEntry for each row, pointing into arguments. */
static GOptionEntry *entries_of(const Command *command, Arguments *arguments) {
    unsigned n = 0;
    while (command->options[n])
        n++;
    GOptionEntry *entries = g_new0(GOptionEntry, n + 1);
    for (unsigned i = 0; i < n; i++) {
        const Option *option = command->options[i];
        entries[i] = (GOptionEntry){
            .long_name = option->name,
            .short_name = option->letter,
            .arg = option->type,
            .arg_data = (char *)arguments + option->offset,
            .description = option->help,
            .arg_description = option->argument,
        };
    }
    return entries;
}

/* What its options have set. */
static void arguments_clear(const Command *command, Arguments *arguments) {
    for (const Option *const *option = command->options; *option; option++) {
        void *member = (char *)arguments + (*option)->offset;
        if ((*option)->type == G_OPTION_ARG_STRING || (*option)->type == G_OPTION_ARG_FILENAME)
            g_clear_pointer((char **)member, g_free);
        else if ((*option)->type == G_OPTION_ARG_STRING_ARRAY ||
                 (*option)->type == G_OPTION_ARG_FILENAME_ARRAY)
            g_clear_pointer((char ***)member, g_strfreev);
    }
}

static int refuse(const Command *command, const char *message) {
    fprintf(stderr, "stead %s: %s; see 'stead %s --help'\n", command->name, message, command->name);
    return EXIT_REFUSED;
}

static int check_word_count(const Command *command, unsigned n) {
    if (n < command->min_arguments) {
        bool choice = strchr(command->arguments, '|') != NULL;
        g_autofree char *message =
            g_strdup_printf(choice ? "say one of: %s" : "%s is missing", command->arguments);
        return refuse(command, message);
    }
    if (n > command->max_arguments)
        return refuse(command, "too many arguments");
    return EXIT_DONE;
}

static int refuse_option(const Command *command, const GOptionEntry *entries,
                         const GError *problem) {
    static const char start[] = "Unknown option --";
    if (!g_error_matches(problem, G_OPTION_ERROR, G_OPTION_ERROR_UNKNOWN_OPTION) ||
        !g_str_has_prefix(problem->message, start))
        return refuse(command, problem->message);
    const char *name = problem->message + strlen(start);
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (const GOptionEntry *entry = entries; entry->long_name; entry++)
        g_ptr_array_add(names, (void *)(uintptr_t)entry->long_name);
    const char *near = suggest_nearest(name, (const char *const *)names->pdata, names->len);
    g_autofree char *message =
        g_strdup_printf("no such option '--%s'%s%s%s", name, near ? ", did you mean '--" : "",
                        near ? near : "", near ? "'?" : "");
    return refuse(command, message);
}

/* With "--" before the words of another program; caller frees. */
static char **words_to_parse(const Command *command, char **words) {
    unsigned own = command->own_words ? command->own_words(words) : 0;
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    for (unsigned i = 0; words[i]; i++) {
        if (own > 0 && i == own && strcmp(words[i], "--") != 0)
            g_strv_builder_add(builder, "--");
        g_strv_builder_add(builder, words[i]);
    }
    return g_strv_builder_end(builder);
}

static int run_command(const Command *command, char **words) {
    Arguments arguments = { .flap = -1 };
    g_autofree GOptionEntry *entries = entries_of(command, &arguments);
    g_autoptr(GOptionContext) context = g_option_context_new(command->arguments);
    g_autofree char *program = g_strdup_printf("stead %s", command->name);
    g_set_prgname(program); /* for the help alone; else it would be the command */
    g_option_context_add_main_entries(context, entries, NULL);
    g_option_context_set_summary(context, command->help);
    g_autofree char *example = g_strdup_printf("Example:\n  %s", command->example);
    g_option_context_set_description(context, example);
    g_autoptr(GError) error = NULL;
    /* GLib takes the vector over and keeps what is not an option. */
    g_auto(GStrv) rest = words_to_parse(command, words);
    join_token_hide(words);
    int status;
    if (!g_option_context_parse_strv(context, &rest, &error)) {
        status = refuse_option(command, entries, error);
    } else {
        char **operands = rest[0] ? rest + 1 : rest;
        if (operands[0] && strcmp(operands[0], "--") == 0)
            operands++;
        status = check_word_count(command, g_strv_length(operands));
        if (status == EXIT_DONE)
            status = command->run(&arguments, operands);
    }
    arguments_clear(command, &arguments);
    return status;
}

static int unknown_command(const char *name) {
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (const Command *const *command = commands; *command; command++)
        g_ptr_array_add(names, (void *)(uintptr_t)(*command)->name);
    const char *near = suggest_nearest(name, (const char *const *)names->pdata, names->len);
    if (near)
        fprintf(stderr, "stead: no such command '%s', did you mean '%s'?\n", name, near);
    else
        fprintf(stderr, "stead: no such command '%s'; see 'stead --help'\n", name);
    return EXIT_REFUSED;
}

static int help_on(const char *name) {
    const Command *command = command_find(name);
    char *words[] = { (char *)(uintptr_t)name, (char *)(uintptr_t) "--help", NULL };
    return command ? run_command(command, words) : unknown_command(name);
}

int main(int argc, char **argv) {
    setlocale(LC_ALL, "C.UTF-8");
    if (argc < 2) {
        print_usage(stderr);
        return EXIT_REFUSED;
    }
    if (strcmp(argv[1], "help") == 0 && argc > 2)
        return help_on(argv[2]);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        print_usage(stdout);
        return EXIT_DONE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("stead %s\n", STEAD_VERSION);
        return EXIT_DONE;
    }
    const Command *command = command_find(argv[1]);
    return command ? run_command(command, argv + 1) : unknown_command(argv[1]);
}
