#include "fleet/selector.h"

#include <string.h>

#include "base/error.h"
#include "base/printable.h"

typedef enum { SELECT_ALL, SELECT_HOST, SELECT_EQUAL, SELECT_NOT, SELECT_AND, SELECT_OR } SelectOp;

struct Selector {
    SelectOp op;
    char *name;     /* of EQUAL: the label or fact */
    char *pattern;  /* of HOST and EQUAL */
    bool literal;   /* pattern was between quotes */
    bool differs;   /* of EQUAL: != */
    Selector *left; /* of NOT the only one */
    Selector *right;
};

void selector_free(Selector *selector) {
    if (!selector)
        return;
    selector_free(selector->left);
    selector_free(selector->right);
    g_free(selector->name);
    g_free(selector->pattern);
    g_free(selector);
}

/* --- words */

typedef enum { WORD_END, WORD_TEXT, WORD_QUOTED, WORD_SIGN } WordType;

typedef struct {
    const char *text, *next;
    WordType type; /* of the word that comes next, which is */
    char *word;    /* this; signs are "(", ")", "=" and "!=" */
    const char *start;
    unsigned depth;
    GError *error;
} Parser;

static void *fail_at(Parser *parser, const char *at, const char *why) {
    if (!parser->error) {
        g_autofree char *shown = printable_text(parser->text, PRINTABLE_PLAIN);
        parser->error = g_error_new(STEAD_ERROR, STEAD_ERROR_CONFIG,
                                    "read the selector '%s': character %ld: %s", shown,
                                    g_utf8_pointer_to_offset(parser->text, at) + 1, why);
    }
    return NULL;
}

static bool is_word_byte(char c) {
    return c != '\0' && !g_ascii_isspace(c) && !strchr("()=!\"", c);
}

static char *take_quoted(Parser *parser) {
    g_autoptr(GString) out = g_string_new(NULL);
    const char *c = parser->next + 1;
    for (; *c && *c != '"'; c++) {
        if (*c == '\\' && (c[1] == '"' || c[1] == '\\'))
            c++;
        g_string_append_c(out, *c);
    }
    if (!*c)
        return fail_at(parser, parser->next, "end the text that begins here with '\"'");
    parser->next = c + 1;
    return g_strdup(out->str);
}

static void advance(Parser *parser) {
    g_clear_pointer(&parser->word, g_free);
    while (g_ascii_isspace(*parser->next))
        parser->next++;
    const char *start = parser->start = parser->next;
    parser->type = WORD_SIGN;
    if (*start == '\0' || parser->error) {
        parser->type = WORD_END;
        return;
    }
    if (*start == '"') {
        parser->type = WORD_QUOTED;
        parser->word = take_quoted(parser);
        return;
    }
    if (is_word_byte(*start)) {
        parser->type = WORD_TEXT;
        while (is_word_byte(*parser->next))
            parser->next++;
    } else {
        parser->next += g_str_has_prefix(start, "!=") ? 2 : 1;
    }
    parser->word = g_strndup(start, (size_t)(parser->next - start));
}

static bool is_at(const Parser *parser, WordType type, const char *word) {
    return parser->type == type && parser->word && strcmp(parser->word, word) == 0;
}

static bool is_keyword(const Parser *parser) {
    return is_at(parser, WORD_TEXT, "and") || is_at(parser, WORD_TEXT, "or") ||
           is_at(parser, WORD_TEXT, "not");
}

static bool is_operand(const Parser *parser) {
    return parser->word && (parser->type == WORD_TEXT || parser->type == WORD_QUOTED);
}

/* --- sentences */

static Selector *parse_or(Parser *parser);

static Selector *node_new(SelectOp op, Selector *left, Selector *right) {
    Selector *node = g_new0(Selector, 1);
    node->op = op;
    node->left = left;
    node->right = right;
    return node;
}

static Selector *parse_term(Parser *parser) {
    if (!is_operand(parser) || is_keyword(parser))
        return fail_at(parser, parser->start,
                       "expected a host name, a condition like 'role=web', 'all', 'not' or '('; "
                       "put it between double quotes if it is meant as a name");
    g_autoptr(Selector) node = node_new(SELECT_HOST, NULL, NULL);
    node->pattern = g_steal_pointer(&parser->word);
    node->literal = parser->type == WORD_QUOTED;
    const char *start = parser->start;
    advance(parser);
    if (!is_at(parser, WORD_SIGN, "=") && !is_at(parser, WORD_SIGN, "!=")) {
        if (!node->literal && strcmp(node->pattern, "all") == 0)
            node->op = SELECT_ALL;
        return g_steal_pointer(&node);
    }
    if (node->literal || strpbrk(node->pattern, "*?"))
        return fail_at(parser, start, "name one label or fact before '=', without quotes, * and ?");
    node->op = SELECT_EQUAL;
    node->name = g_steal_pointer(&node->pattern);
    node->differs = *parser->word == '!';
    advance(parser);
    if (!is_operand(parser))
        return fail_at(parser, parser->start, "expected a value after '='; an empty one is '\"\"'");
    node->literal = parser->type == WORD_QUOTED;
    node->pattern = g_steal_pointer(&parser->word);
    advance(parser);
    return g_steal_pointer(&node);
}

static Selector *parse_group(Parser *parser) {
    const char *start = parser->start;
    advance(parser);
    g_autoptr(Selector) inner = parse_or(parser);
    if (!inner)
        return NULL;
    if (!is_at(parser, WORD_SIGN, ")"))
        return fail_at(parser, parser->start == start ? start : parser->start,
                       "expected 'and', 'or' or ')'");
    advance(parser);
    return g_steal_pointer(&inner);
}

static Selector *parse_not(Parser *parser) {
    bool negates = is_at(parser, WORD_TEXT, "not");
    if (!negates && !is_at(parser, WORD_SIGN, "("))
        return parse_term(parser);
    if (parser->depth >= SELECTOR_NESTING)
        return fail_at(parser, parser->start,
                       "it is nested deeper than SELECTOR_NESTING (64); write it flatter");
    parser->depth++;
    Selector *node = NULL;
    if (negates) {
        advance(parser);
        Selector *inner = parse_not(parser);
        node = inner ? node_new(SELECT_NOT, inner, NULL) : NULL;
    } else {
        node = parse_group(parser);
    }
    parser->depth--;
    return node;
}

static Selector *parse_chain(Parser *parser, SelectOp op, const char *word,
                             Selector *(*parse_part)(Parser *parser)) {
    g_autoptr(Selector) left = parse_part(parser);
    while (left && is_at(parser, WORD_TEXT, word)) {
        advance(parser);
        Selector *right = parse_part(parser);
        if (!right)
            return NULL;
        left = node_new(op, g_steal_pointer(&left), right);
    }
    return g_steal_pointer(&left);
}

static Selector *parse_and(Parser *parser) {
    return parse_chain(parser, SELECT_AND, "and", parse_not);
}

static Selector *parse_or(Parser *parser) {
    return parse_chain(parser, SELECT_OR, "or", parse_and);
}

static bool check_text(const char *text, GError **error) {
    const char *why = NULL;
    if (strlen(text) > SELECTOR_MAX)
        why = "it is longer than SELECTOR_MAX (4096 bytes)";
    else if (!g_utf8_validate(text, -1, NULL))
        why = "it is not UTF-8";
    for (const char *c = text; !why && *c; c++)
        if (g_ascii_iscntrl(*c) && !g_ascii_isspace(*c))
            why = "it has control characters";
    if (why)
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "read the selector: %s", why);
    return why == NULL;
}

Selector *selector_parse(const char *text, GError **error) {
    if (!check_text(text, error))
        return NULL;
    Parser parser = { .text = text, .next = text };
    advance(&parser);
    g_autoptr(Selector) selector = parse_or(&parser);
    if (!parser.error && parser.type != WORD_END)
        (void)fail_at(&parser, parser.start, "expected 'and', 'or' or the end");
    g_free(parser.word);
    if (!parser.error)
        return g_steal_pointer(&selector);
    g_propagate_error(error, parser.error);
    return NULL;
}

/* --- printing */

static void print_pattern(GString *out, const Selector *selector) {
    if (!selector->literal) {
        g_string_append(out, selector->pattern);
        return;
    }
    g_string_append_c(out, '"');
    for (const char *c = selector->pattern; *c; c++) {
        if (*c == '"' || *c == '\\')
            g_string_append_c(out, '\\');
        g_string_append_c(out, *c);
    }
    g_string_append_c(out, '"');
}

static void print(GString *out, const Selector *selector);

static void print_part(GString *out, const Selector *selector, bool parentheses) {
    g_string_append(out, parentheses ? "(" : "");
    print(out, selector);
    g_string_append(out, parentheses ? ")" : "");
}

static void print(GString *out, const Selector *selector) {
    switch (selector->op) {
    case SELECT_ALL:
        g_string_append(out, "all");
        return;
    case SELECT_EQUAL:
        g_string_append_printf(out, "%s%s", selector->name, selector->differs ? "!=" : "=");
        print_pattern(out, selector);
        return;
    case SELECT_HOST:
        print_pattern(out, selector);
        return;
    case SELECT_NOT:
        g_string_append(out, "not ");
        print_part(out, selector->left, selector->left->op >= SELECT_AND);
        return;
    case SELECT_AND:
    case SELECT_OR:
        print_part(out, selector->left, selector->left->op > selector->op);
        g_string_append(out, selector->op == SELECT_AND ? " and " : " or ");
        print_part(out, selector->right, selector->right->op >= selector->op);
        return;
    }
}

char *selector_print(const Selector *selector) {
    GString *out = g_string_new(NULL);
    print(out, selector);
    return g_string_free(out, FALSE);
}

/* --- reading */

void selector_visit(const Selector *selector, void (*visit)(void *data, const SelectorTerm *term),
                    void *data) {
    if (selector->op == SELECT_HOST || selector->op == SELECT_EQUAL) {
        SelectorTerm term = { .name = selector->name,
                              .text = selector->pattern,
                              .is_pattern =
                                  !selector->literal && strpbrk(selector->pattern, "*?") != NULL,
                              .differs = selector->differs };
        visit(data, &term);
    }
    if (selector->left)
        selector_visit(selector->left, visit, data);
    if (selector->right)
        selector_visit(selector->right, visit, data);
}

/* --- matching */

/* In bytes; goes back to the last star alone, so it takes at most the product of both lengths. */
static bool matches_pattern(const Selector *selector, const char *text) {
    const char *pattern = selector->pattern, *star = NULL, *resume = NULL;
    if (selector->literal)
        return strcmp(pattern, text) == 0;
    while (*text) {
        if (*pattern == '*') {
            star = pattern++;
            resume = text;
        } else if (*pattern == '?' || *pattern == *text) {
            pattern++;
            text++;
        } else if (star) {
            pattern = star + 1;
            text = ++resume;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

static bool matches_value(const Selector *selector, const Value *value) {
    switch (value_type(value)) {
    case VALUE_STRING:
        return matches_pattern(selector, value_string(value));
    case VALUE_BOOL:
        return matches_pattern(selector, value_bool(value) ? "true" : "false");
    case VALUE_INT:
    case VALUE_FLOAT: {
        g_autofree char *text = value_show(value, 0);
        return matches_pattern(selector, text);
    }
    case VALUE_LIST:
        for (size_t i = 0; i < value_size(value); i++)
            if (value_type(value_list_at(value, i)) != VALUE_LIST &&
                matches_value(selector, value_list_at(value, i)))
                return true;
        return false;
    case VALUE_NIL:
    case VALUE_MAP:
    case VALUE_UNKNOWN:
        return false;
    }
    return false;
}

const Value *selector_look_up(const Value *map, const char *name) {
    while (map && value_type(map) == VALUE_MAP) {
        const Value *value = value_map_get(map, name);
        const char *dot = strchr(name, '.');
        if (value || !dot)
            return value;
        g_autofree char *first = g_strndup(name, (size_t)(dot - name));
        map = value_map_get(map, first);
        name = dot + 1;
    }
    return NULL;
}

static bool matches_equal(const Selector *selector, const char *host, const Value *labels,
                          const Value *facts) {
    if (strcmp(selector->name, "host") == 0)
        return matches_pattern(selector, host) != selector->differs;
    const Value *value = selector_look_up(labels, selector->name);
    if (!value)
        value = selector_look_up(facts, selector->name);
    return (value && matches_value(selector, value)) != selector->differs;
}

bool selector_matches(const Selector *selector, const char *host, const Value *labels,
                      const Value *facts) {
    switch (selector->op) {
    case SELECT_ALL:
        return true;
    case SELECT_HOST:
        return matches_pattern(selector, host);
    case SELECT_EQUAL:
        return matches_equal(selector, host, labels, facts);
    case SELECT_NOT:
        return !selector_matches(selector->left, host, labels, facts);
    case SELECT_AND:
        return selector_matches(selector->left, host, labels, facts) &&
               selector_matches(selector->right, host, labels, facts);
    case SELECT_OR:
        return selector_matches(selector->left, host, labels, facts) ||
               selector_matches(selector->right, host, labels, facts);
    }
    return false;
}
