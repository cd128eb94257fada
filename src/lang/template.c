#include "lang/template.h"

#include <stdarg.h>
#include <string.h>

#include "base/error.h"

typedef struct {
    const char *p, *end;
    const char *text;    /* start of literal text that was not emitted yet */
    const char *counted; /* line counts the line ends before this */
    unsigned line, code_line;
    bool trim_next;     /* the tag before ended with '-' */
    bool at_line_start; /* of text */
    TemplateScanner scanner;
    TemplateCode *code;
    GError *error;
} Lexer;

typedef enum { TAG_EXPRESSION, TAG_STATEMENT, TAG_COMMENT } TagType;

typedef struct {
    TagType type;
    const char *start, *end;       /* of all */
    const char *inner, *inner_end; /* of what is between the delimiters */
    bool trim_before, trim_after;
} Tag;

void template_code_clear(TemplateCode *code) {
    if (code->code)
        g_string_free(g_steal_pointer(&code->code), TRUE);
    g_clear_pointer(&code->texts, g_ptr_array_unref);
}

/* Positions are asked for in ascending order. */
static unsigned line_of(Lexer *lexer, const char *at) {
    for (; lexer->counted < at; lexer->counted++)
        lexer->line += *lexer->counted == '\n';
    return lexer->line;
}

static bool G_GNUC_PRINTF(3, 4) fail(Lexer *lexer, const char *at, const char *format, ...) {
    unsigned line = lexer->line;
    for (const char *p = lexer->counted; p < at; p++)
        line += *p == '\n';
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error(&lexer->error, STEAD_ERROR, STEAD_ERROR_CONFIG, "%u: %s", line, text);
    return false;
}

/* Lua inside tags: only strings, braces and comments matter for finding the end. */

/* The end of a string in quotes at p, or NULL. */
static const char *skip_quoted(const Lexer *lexer, const char *p) {
    char quote = *p++;
    for (; p < lexer->end && *p != '\n'; p++) {
        if (*p == '\\')
            p++;
        else if (*p == quote)
            return p + 1;
    }
    return NULL;
}

/* The end of "[[...]]" or "[==[...]==]" at p; p itself when there is none; NULL: it does not end.
 */
static const char *skip_long_string(const Lexer *lexer, const char *p) {
    const char *open = p + 1;
    while (open < lexer->end && *open == '=')
        open++;
    if (open >= lexer->end || *open != '[')
        return p;
    size_t level = (size_t)(open - p - 1);
    g_autofree char *filling = g_strnfill(level, '=');
    g_autofree char *close = g_strdup_printf("]%s]", filling);
    const char *found = memmem(open + 1, (size_t)(lexer->end - open - 1), close, level + 2);
    return found ? found + level + 2 : NULL;
}

static bool starts_with(const Lexer *lexer, const char *p, const char *word) {
    size_t size = strlen(word);
    return (size_t)(lexer->end - p) >= size && memcmp(p, word, size) == 0;
}

/* Moves *p over one element of Lua; false with error. */
static bool step_lua(Lexer *lexer, const char **p) {
    const char *next = *p + 1;
    if (starts_with(lexer, *p, "--"))
        return fail(lexer, *p, "comments inside a tag are not possible: use {# ... #}");
    if (**p == '"' || **p == '\'')
        next = skip_quoted(lexer, *p);
    else if (**p == '[' && (next = skip_long_string(lexer, *p)) == *p)
        next = *p + 1;
    if (!next)
        return fail(lexer, *p, "a string in this tag does not end");
    *p = next;
    return true;
}

static bool find_lua_end(Lexer *lexer, Tag *tag, const char *close) {
    int depth = 0;
    const char *p = tag->inner;
    while (p < lexer->end) {
        bool may_end = depth == 0 || tag->type == TAG_STATEMENT;
        /* "-}}" and "}}": a minus sign cannot end an expression. */
        bool trims = may_end && *p == '-' && starts_with(lexer, p + 1, close);
        if (trims || (may_end && starts_with(lexer, p, close))) {
            tag->inner_end = p;
            tag->trim_after = trims;
            tag->end = p + trims + 2;
            return true;
        }
        depth += *p == '{' ? 1 : *p == '}' && depth > 0 ? -1 : 0;
        if (!step_lua(lexer, &p))
            return false;
    }
    return fail(lexer, tag->start, "this tag does not end: '%s' is missing", close);
}

static bool find_comment_end(Lexer *lexer, Tag *tag) {
    const char *close = memmem(tag->inner, (size_t)(lexer->end - tag->inner), "#}", 2);
    if (!close)
        return fail(lexer, tag->start, "this comment does not end: '#}' is missing");
    tag->trim_after = close > tag->inner && close[-1] == '-';
    tag->inner_end = close;
    tag->end = close + 2;
    return true;
}

/* The next tag at or after lexer->p; start NULL: there is none. */
static bool find_tag(Lexer *lexer, Tag *tag) {
    *tag = (Tag){ .start = NULL };
    const char *p = lexer->p;
    while ((p = memchr(p, '{', (size_t)(lexer->end - p)))) {
        char c = p + 1 < lexer->end ? p[1] : '\0';
        if (c == '{' || c == '%' || c == '#')
            break;
        p++;
    }
    if (!p)
        return true;
    tag->start = p;
    tag->type = p[1] == '{' ? TAG_EXPRESSION : p[1] == '%' ? TAG_STATEMENT : TAG_COMMENT;
    tag->inner = p + 2;
    tag->trim_before = tag->inner < lexer->end && *tag->inner == '-';
    tag->inner += tag->trim_before;
    if (tag->type == TAG_COMMENT)
        return find_comment_end(lexer, tag);
    return find_lua_end(lexer, tag, tag->type == TAG_EXPRESSION ? "}}" : "%}");
}

/* Emitting */

static void sync_lines(Lexer *lexer, const char *at) {
    unsigned line = line_of(lexer, at);
    while (lexer->code_line < line) {
        g_string_append_c(lexer->code->code, '\n');
        lexer->code_line++;
    }
}

static void emit_text(Lexer *lexer, const char *start, const char *end) {
    template_scan(&lexer->scanner, start, (size_t)(end - start));
    if (start == end)
        return;
    sync_lines(lexer, start);
    g_ptr_array_add(lexer->code->texts, g_bytes_new(start, (size_t)(end - start)));
    g_string_append_printf(lexer->code->code, "__text(%u);", lexer->code->texts->len);
}

static void emit_tag(Lexer *lexer, const Tag *tag) {
    GString *code = lexer->code->code;
    if (tag->type == TAG_COMMENT)
        return;
    sync_lines(lexer, tag->inner);
    for (const char *p = tag->inner; p < tag->inner_end; p++)
        lexer->code_line += *p == '\n';
    if (tag->type == TAG_EXPRESSION)
        g_string_append_printf(code, "__out(%d,(", (int)lexer->scanner.context);
    else
        g_string_append_c(code, ' ');
    g_string_append_len(code, tag->inner, tag->inner_end - tag->inner);
    g_string_append(code, tag->type == TAG_EXPRESSION ? "));" : " ");
    if (tag->type == TAG_EXPRESSION)
        lexer->scanner.previous = 'x';
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r';
}

/* Whether the tag stands alone on its lines: then *start and *end take in its blanks and line end.
 */
static bool stands_alone(const Lexer *lexer, const Tag *tag, const char **start, const char **end) {
    const char *before = tag->start, *after = tag->end;
    while (before > lexer->text && is_blank(before[-1]))
        before--;
    bool first = before == lexer->text ? lexer->at_line_start : before[-1] == '\n';
    while (after < lexer->end && is_blank(*after))
        after++;
    if (!first || (after < lexer->end && *after != '\n'))
        return false;
    *start = before;
    *end = after < lexer->end ? after + 1 : after;
    return true;
}

static void take_text(Lexer *lexer, const char *end, bool trim_end) {
    const char *start = lexer->text;
    while (lexer->trim_next && start < end && g_ascii_isspace(*start))
        start++;
    while (trim_end && end > start && g_ascii_isspace(end[-1]))
        end--;
    emit_text(lexer, start, end);
}

static void take_tag(Lexer *lexer, const Tag *tag) {
    const char *start = tag->start, *end = tag->end;
    bool trims = tag->trim_before || tag->trim_after;
    bool alone = tag->type != TAG_EXPRESSION && !trims && !lexer->trim_next &&
                 stands_alone(lexer, tag, &start, &end);
    take_text(lexer, start, tag->trim_before);
    emit_tag(lexer, tag);
    lexer->p = lexer->text = end;
    lexer->at_line_start = alone;
    lexer->trim_next = tag->trim_after;
}

bool template_translate(const char *text, size_t size, TemplateFormat format,
                        TemplateCode *ret_code, GError **error) {
    Lexer lexer = { .p = text,
                    .text = text,
                    .counted = text,
                    .end = text + size,
                    .line = 1,
                    .code_line = 1,
                    .at_line_start = true,
                    .code = ret_code };
    template_scanner_init(&lexer.scanner, format);
    ret_code->code = g_string_new("local _ENV,__text,__out=...;");
    ret_code->texts = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    for (;;) {
        Tag tag;
        if (!find_tag(&lexer, &tag)) {
            g_propagate_error(error, lexer.error);
            template_code_clear(ret_code);
            return false;
        }
        if (!tag.start)
            break;
        take_tag(&lexer, &tag);
    }
    take_text(&lexer, lexer.end, false);
    return true;
}
