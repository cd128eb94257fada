#include "kinds/augeas-command.h"

#include <string.h>

#include "base/error.h"

/* Arguments: p path, s text, w where, c comparison, l clause; see parse_argument(). */
static const struct {
    const char *name;
    AugeasVerb verb;
    const char *args;
    bool condition;
} verbs[] = {
    { "set", AUGEAS_SET, "ps", false },       { "setm", AUGEAS_SETM, "pss", false },
    { "rm", AUGEAS_RM, "p", false },          { "remove", AUGEAS_RM, "p", false },
    { "clear", AUGEAS_CLEAR, "p", false },    { "clearm", AUGEAS_CLEARM, "ps", false },
    { "touch", AUGEAS_TOUCH, "p", false },    { "mv", AUGEAS_MV, "pp", false },
    { "move", AUGEAS_MV, "pp", false },       { "rename", AUGEAS_RENAME, "ps", false },
    { "ins", AUGEAS_INS, "swp", false },      { "insert", AUGEAS_INS, "swp", false },
    { "defvar", AUGEAS_DEFVAR, "sp", false }, { "defnode", AUGEAS_DEFNODE, "sps", false },
    { "get", AUGEAS_GET, "pcs", true },       { "values", AUGEAS_VALUES, "pl", true },
    { "match", AUGEAS_MATCH, "pl", true },
};

static const char *const comparisons[] = { "==", "!=", "<", "<=", ">", ">=", "=~", NULL };

void augeas_command_free(AugeasCommand *command) {
    if (command == NULL)
        return;
    for (unsigned i = 0; i < AUGEAS_MAX_ARGS; i++)
        g_free(command->args[i]);
    g_strfreev(command->list);
    g_free(command);
}

static const char *args_of(AugeasVerb verb) {
    for (size_t i = 0; i < G_N_ELEMENTS(verbs); i++)
        if (verbs[i].verb == verb)
            return verbs[i].args;
    g_assert_not_reached();
}

bool augeas_is_path(const AugeasCommand *command, unsigned arg) {
    const char *args = args_of(command->verb);
    return arg < strlen(args) && args[arg] == 'p';
}

static bool refuse(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

static bool refuse(GError **error, const char *format, ...) {
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_CONFIG, text);
    return false;
}

static const char *skip_blanks(const char *at) {
    return at + strspn(at, " \t");
}

/* Up to a blank, or in quotes, where a backslash takes the quote's meaning away. */
static char *parse_text(const char **at, GError **error) {
    const char quote = **at;
    if (quote != '"' && quote != '\'') {
        size_t size = strcspn(*at, " \t");
        char *word = g_strndup(*at, size);
        *at += size;
        return word;
    }
    g_autoptr(GString) text = g_string_new(NULL);
    const char *in = *at + 1;
    for (; *in != '\0' && *in != quote; in++) {
        if (in[0] == '\\' && in[1] == quote)
            in++;
        g_string_append_c(text, *in);
    }
    if (*in != quote) {
        refuse(error, "a quote is not closed");
        return NULL;
    }
    *at = in + 1;
    return g_string_free(g_steal_pointer(&text), FALSE);
}

/* Blanks inside brackets and quotes belong to it. */
static char *parse_path(const char **at, const char *context, GError **error) {
    const char *in = *at;
    unsigned depth = 0;
    char quote = '\0';
    for (; *in != '\0' && (quote != '\0' || depth > 0 || strchr(" \t", *in) == NULL); in++) {
        if (*in == '\\' && in[1] != '\0')
            in++;
        else if (quote != '\0')
            quote = *in == quote ? '\0' : quote;
        else if (*in == '"' || *in == '\'')
            quote = *in;
        else if (*in == '[')
            depth++;
        else if (*in == ']' && depth > 0)
            depth--;
    }
    if (quote != '\0' || depth > 0) {
        refuse(error, "a bracket or quote of a path is not closed");
        return NULL;
    }
    g_autofree char *path = g_strndup(*at, (size_t)(in - *at));
    size_t size = strlen(path);
    if (size >= 2 && strchr("\"'", path[0]) != NULL && path[size - 1] == path[0]) {
        path[size - 1] = '\0';
        memmove(path, path + 1, size - 1);
    }
    *at = in;
    if (*path == '/' || *path == '$')
        return g_steal_pointer(&path);
    return g_strconcat(context, g_str_has_suffix(context, "/") ? "" : "/", path, NULL);
}

static char *parse_word(const char **at, const char *const *words, const char *what,
                        GError **error) {
    size_t size = strcspn(*at, " \t");
    g_autofree char *word = g_strndup(*at, size);
    if (!g_strv_contains(words, word)) {
        g_autoptr(GString) known = g_string_new(words[0]);
        for (const char *const *other = words + 1; *other != NULL; other++)
            g_string_append_printf(known, ", %s", *other);
        refuse(error, "expected %s (%s), found '%s'", what, known->str, word);
        return NULL;
    }
    *at += size;
    return g_steal_pointer(&word);
}

/* ['a', "b"] */
static char **parse_list(const char **at, GError **error) {
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    const char *in = skip_blanks(*at + 1);
    while (*in == '"' || *in == '\'') {
        g_autofree char *item = parse_text(&in, error);
        if (item == NULL)
            return NULL;
        g_strv_builder_add(builder, item);
        in = skip_blanks(in);
        in = *in == ',' ? skip_blanks(in + 1) : in;
    }
    if (*in != ']') {
        refuse(error, "expected a list of texts such as ['a', 'b']");
        return NULL;
    }
    *at = in + 1;
    return g_strv_builder_end(builder);
}

/* size COMPARISON NUMBER, include TEXT, not_include TEXT, == LIST, != LIST */
static bool parse_clause(AugeasCommand *command, const char **at, GError **error) {
    static const char *const clauses[] = { "size", "include", "not_include", "==", "!=", NULL };
    const char *const *known = command->verb == AUGEAS_MATCH ? clauses : clauses + 1;
    char *clause = command->args[1] = parse_word(at, known, "a clause", error);
    *at = skip_blanks(*at);
    if (clause == NULL)
        return false;
    if (strpbrk(clause, "=") != NULL) {
        if (**at != '[')
            return refuse(error, "expected a list of texts such as ['a', 'b'] after '%s'", clause);
        return (command->list = parse_list(at, error)) != NULL;
    }
    if (strcmp(clause, "size") == 0) {
        command->args[2] = parse_word(at, comparisons, "a comparison", error);
        *at = skip_blanks(*at);
        if (command->args[2] == NULL)
            return false;
    }
    unsigned last = strcmp(clause, "size") == 0 ? 3 : 2;
    command->args[last] = **at == '\0' ? NULL : parse_text(at, error);
    if (command->args[last] == NULL)
        return error != NULL && *error != NULL ? false
                                               : refuse(error, "'%s' needs something", clause);
    if (last == 3 && !g_ascii_string_to_unsigned(command->args[3], 10, 0, G_MAXINT, NULL, NULL))
        return refuse(error, "expected a number, found '%s'", command->args[3]);
    return true;
}

static bool parse_argument(AugeasCommand *command, unsigned index, char type, const char **at,
                           const char *context, GError **error) {
    static const char *const places[] = { "before", "after", NULL };
    char **arg = &command->args[index];
    if (type == 'l')
        return parse_clause(command, at, error);
    if (type == 'p')
        *arg = parse_path(at, context, error);
    else if (type == 'w')
        *arg = parse_word(at, places, "a place", error);
    else if (type == 'c')
        *arg = parse_word(at, comparisons, "a comparison", error);
    else
        *arg = parse_text(at, error);
    return *arg != NULL;
}

static AugeasCommand *parse(const char *text, const char *context, bool condition, GError **error) {
    const char *at = skip_blanks(text);
    size_t size = strcspn(at, " \t");
    g_autofree char *name = g_strndup(at, size);
    const char *args = NULL;
    g_autoptr(AugeasCommand) command = g_new0(AugeasCommand, 1);
    for (size_t i = 0; i < G_N_ELEMENTS(verbs) && args == NULL; i++)
        if (verbs[i].condition == condition && strcmp(verbs[i].name, name) == 0) {
            command->verb = verbs[i].verb;
            args = verbs[i].args;
        }
    if (args == NULL) {
        refuse(error, "no such %s '%s': there are %s", condition ? "condition" : "change", name,
               condition ? "get, values and match"
                         : "set, setm, rm, clear, clearm, touch, ins, mv, rename, defvar and "
                           "defnode");
        return NULL;
    }
    at += size;
    for (unsigned i = 0; args[i] != '\0'; i++) {
        at = skip_blanks(at);
        if (*at == '\0') {
            refuse(error, "'%s' needs more: '%s'", name, text);
            return NULL;
        }
        if (!parse_argument(command, i, args[i], &at, context, error))
            return NULL;
    }
    at = skip_blanks(at);
    if (*at != '\0') {
        refuse(error, "'%s' is more than '%s' takes: put a text with blanks in quotes", at, name);
        return NULL;
    }
    return g_steal_pointer(&command);
}

AugeasCommand *augeas_change_parse(const char *text, const char *context, GError **error) {
    return parse(text, context, false, error);
}

AugeasCommand *augeas_condition_parse(const char *text, const char *context, GError **error) {
    return parse(text, context, true, error);
}
