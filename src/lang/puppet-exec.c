/* Puppet's exec: commands with and without a shell, guards, budgets. */
#include <string.h>

#include "lang/puppet-loader.h"

/* Puppet's exec without an answer for so long has failed. */
enum { DEFAULT_TIMEOUT = 300 };

/* Ruby starts a command itself unless there is one of these in it, or it begins with one of the
 * words; the provider posix therefore gives it to a shell at times. */
static bool needs_shell(const char *command) {
    static const char *const words[] = {
        "!",     ".",    ":",      "break", "case",   "continue", "do",       "done",
        "elif",  "else", "esac",   "eval",  "exec",   "exit",     "export",   "fi",
        "for",   "if",   "in",     "set",   "return", "shift",    "readonly", "then",
        "times", "trap", "unless", "unset", "until",  "while",    NULL,
    };
    if (strpbrk(command, "*?{}[]<>()~&|\\$;'`\"\n#=%"))
        return true;
    command += strspn(command, " \t");
    g_autofree char *first = g_strndup(command, strcspn(command, " \t"));
    return g_strv_contains(words, first);
}

/* One command: a text, or a list of words that no shell looks at. */
static char *command_text(const Value *input) {
    if (value_type(input) != VALUE_LIST)
        return puppet_text_of(input);
    g_autoptr(GString) line = g_string_new(NULL);
    for (size_t i = 0; i < value_size(input); i++) {
        g_autofree char *word = puppet_text_of(value_list_at(input, i));
        if (!word)
            return NULL;
        bool plain = *word && !strpbrk(word, " \t*?{}[]<>()~&|\\$;'`\"\n#=%!");
        g_autofree char *quoted = plain ? g_strdup(word) : g_shell_quote(word);
        g_string_append_printf(line, "%s%s", i > 0 ? " " : "", quoted);
    }
    return line->len > 0 ? g_string_free(g_steal_pointer(&line), FALSE) : NULL;
}

static bool is_for_shell(const PuppetTarget *target) {
    return puppet_is_one_of(puppet_target_input(target, "provider"), "shell");
}

/* With refreshonly, command never runs where there is a refresh: that is the command then. */
static bool has_refresh(const PuppetTarget *target) {
    return puppet_target_input(target, "refresh") &&
           puppet_is_one_of(puppet_target_input(target, "refreshonly"), "true");
}

static bool set_command(PuppetTarget *target, const Value *input, GError **error) {
    g_autofree char *text = command_text(input);
    if (!text)
        return puppet_refused(error, "expected a command, as a text or a list of words");
    bool shell = is_for_shell(target) || (value_type(input) != VALUE_LIST && needs_shell(text));
    if (shell && !puppet_target_set(target, "shell", value_new_string("/bin/sh"), error))
        return false;
    return puppet_target_set(target, "cmd", value_new_string(text), error);
}

bool puppet_exec_command(PuppetTarget *target, const PuppetParam *row, const Value *input,
                         GError **error) {
    return has_refresh(target) || set_command(target, input, error);
}

bool puppet_exec_refresh(PuppetTarget *target, const PuppetParam *row, const Value *input,
                         GError **error) {
    if (has_refresh(target))
        return set_command(target, input, error);
    return puppet_refused(error, "a second command is not supported where the first one runs too: "
                                 "write an exec of its own for it, with refreshonly => true");
}

/* One command, several, or several as lists of words. */
bool puppet_exec_guard(PuppetTarget *target, const PuppetParam *row, const Value *input,
                       GError **error) {
    bool is_list = value_type(input) == VALUE_LIST;
    bool shell = is_for_shell(target);
    g_autoptr(Value) lines = value_new_list();
    for (size_t i = 0; i < (is_list ? value_size(input) : 1); i++) {
        const Value *item = is_list ? value_list_at(input, i) : input;
        g_autofree char *text = command_text(item);
        if (!text)
            return puppet_refused(error, "expected commands, as texts or lists of words");
        shell = shell || (value_type(item) != VALUE_LIST && needs_shell(text));
        value_list_append(lines, value_new_string(text));
    }
    g_autofree char *shell_param =
        g_strconcat(strcmp(row->param, "ifcmd") == 0 ? "if" : "nif", "shell", NULL);
    g_autofree char *cwd_param =
        g_strconcat(strcmp(row->param, "ifcmd") == 0 ? "if" : "nif", "cwd", NULL);
    const Value *cwd = puppet_target_input(target, "cwd");
    if (shell && !puppet_target_set(target, shell_param, value_new_string("/bin/sh"), error))
        return false;
    if (cwd && !puppet_target_set(target, cwd_param, value_ref(cwd), error))
        return false;
    return puppet_target_set(target, row->param, g_steal_pointer(&lines), error);
}

bool puppet_exec_path(PuppetTarget *target, const PuppetParam *row, const Value *input,
                      GError **error) {
    bool is_list = value_type(input) == VALUE_LIST;
    g_autoptr(Value) list = value_new_list();
    for (size_t i = 0; i < (is_list ? value_size(input) : 1); i++) {
        g_autofree char *text = puppet_text_of(is_list ? value_list_at(input, i) : input);
        g_auto(GStrv) parts = g_strsplit(text ? text : "", ":", -1);
        for (char **part = parts; *part; part++)
            if (**part)
                value_list_append(list, value_new_string(*part));
        if (!text)
            return puppet_refused(error, "expected directories");
    }
    return puppet_target_set(target, row->param, g_steal_pointer(&list), error);
}

bool puppet_exec_environment(PuppetTarget *target, const PuppetParam *row, const Value *input,
                             GError **error) {
    bool is_list = value_type(input) == VALUE_LIST;
    g_autoptr(Value) map = value_new_map();
    for (size_t i = 0; i < (is_list ? value_size(input) : 1); i++) {
        g_autofree char *text = puppet_text_of(is_list ? value_list_at(input, i) : input);
        char *equals = text ? strchr(text, '=') : NULL;
        if (!equals || equals == text)
            return puppet_refused(error, "expected NAME=value");
        *equals = '\0';
        value_map_set(map, text, value_new_string(equals + 1));
    }
    return puppet_target_set(target, row->param, g_steal_pointer(&map), error);
}

bool puppet_exec_tries(PuppetTarget *target, const PuppetParam *row, const Value *input,
                       GError **error) {
    gint64 tries;
    g_autofree char *text = puppet_text_of(input);
    if (!text || !g_ascii_string_to_signed(text, 10, 1, G_MAXINT16, &tries, NULL))
        return puppet_refused(error, "expected a number from 1 to %d", G_MAXINT16);
    /* Puppet counts in each run anew. */
    return puppet_target_set_meta(target, "retry_reset", value_new_bool(true), error) &&
           puppet_target_set_meta(target, "retry", value_new_int(tries - 1), error);
}

/* Seconds, with a fraction or not, to a meta parameter in milliseconds. */
bool puppet_exec_seconds(PuppetTarget *target, const PuppetParam *row, const Value *input,
                         GError **error) {
    g_autofree char *text = puppet_text_of(input);
    char *end = NULL;
    bool is_number = value_type(input) == VALUE_FLOAT || (text && *text);
    double seconds = value_type(input) == VALUE_FLOAT ? value_float(input)
                     : is_number                      ? g_ascii_strtod(text, &end)
                                                      : -1;
    if (!is_number || (end && *end) || !(seconds >= 0 && seconds <= 1e9))
        return puppet_refused(error, "expected a number of seconds");
    return puppet_target_set_meta(target, row->param, value_new_int((int64_t)(seconds * 1000)),
                                  error);
}

bool puppet_exec_finish(PuppetTarget *target, GError **error) {
    if (puppet_target_input(target, "timeout"))
        return true;
    return puppet_target_set_meta(target, "timeout", value_new_int(DEFAULT_TIMEOUT * 1000), error);
}
