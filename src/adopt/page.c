#include "adopt/page.h"

#include <string.h>

struct Page {
    GString *out;
    bool after_text; /* the last thing was a resource with a text of several lines */
};

Page *page_new(void) {
    Page *page = g_new0(Page, 1);
    page->out = g_string_new(NULL);
    return page;
}

void page_free(Page *page) {
    if (page == NULL)
        return;
    g_string_free(page->out, TRUE);
    g_free(page);
}

const char *page_text(const Page *page) {
    return page->out->str;
}

/* --- comments and headings */

void page_blank(Page *page) {
    if (page->out->len > 0 && !g_str_has_suffix(page->out->str, "\n\n"))
        g_string_append_c(page->out, '\n');
}

void page_line(Page *page, const char *line) {
    if (page->after_text)
        page_blank(page);
    page->after_text = false;
    g_string_append_printf(page->out, "%s\n", line);
}

/* Whether the last line is a comment, which belongs to what follows. */
static bool is_after_comment(const Page *page) {
    const char *text = page->out->str;
    const char *end = page->out->len > 0 ? text + page->out->len - 1 : text;
    const char *start = end;
    while (start > text && start[-1] != '\n')
        start--;
    return g_str_has_prefix(start, "--");
}

/* Texts of several lines stand apart. */
static void begin_resource(Page *page, bool has_text) {
    if (page->after_text || (has_text && !is_after_comment(page)))
        page_blank(page);
    page->after_text = has_text;
}

void page_heading(Page *page, const char *title) {
    page_blank(page);
    g_autoptr(GString) line = g_string_new(NULL);
    g_string_append_printf(line, "-- %s ", title);
    for (glong width = g_utf8_strlen(line->str, -1); width < PAGE_WIDTH; width++)
        g_string_append_c(line, '-');
    page_line(page, line->str);
    page_blank(page);
}

/* A comment that is being broken into lines. */
typedef struct {
    Page *page;
    GString *line;
    glong width;
} Filling;

static void filling_flush(Filling *filling) {
    if (filling->line->len > 0)
        page_line(filling->page, filling->line->str);
    g_string_truncate(filling->line, 0);
    filling->width = 0;
}

static void filling_add(Filling *filling, const char *first, const char *word) {
    glong width = g_utf8_strlen(word, -1);
    if (filling->width > 0 && filling->width + 1 + width > PAGE_WIDTH)
        filling_flush(filling);
    g_string_append(filling->line, filling->width == 0 ? first : " ");
    filling->width += (filling->width == 0 ? (glong)strlen(first) : 1) + width;
    g_string_append(filling->line, word);
}

/* Nothing from the machine ends the comment: other controls than newlines are shown as blanks. */
static char *harmless(const char *text) {
    char *copy = g_utf8_make_valid(text, -1);
    for (char *c = copy; *c != '\0'; c++)
        if (g_ascii_iscntrl(*c) && *c != '\n')
            *c = ' ';
    return copy;
}

static void comment_paragraph(Page *page, const char *text) {
    g_autoptr(GString) line = g_string_new(NULL);
    Filling filling = { page, line, 0 };
    g_auto(GStrv) words = g_strsplit(text, " ", -1);
    for (char **word = words; *word != NULL; word++)
        if (**word != '\0')
            filling_add(&filling, "-- ", *word);
    filling_flush(&filling);
}

void page_comment(Page *page, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *raw = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_autofree char *text = harmless(raw);
    g_auto(GStrv) paragraphs = g_strsplit(text, "\n", -1);
    for (char **paragraph = paragraphs; *paragraph != NULL; paragraph++)
        if (**paragraph != '\0')
            comment_paragraph(page, *paragraph);
        else
            page_line(page, "--");
}

void page_comment_list(Page *page, const char *const *items, size_t n) {
    g_autoptr(GString) line = g_string_new(NULL);
    Filling filling = { page, line, 0 };
    for (size_t i = 0; i < n; i++) {
        g_autofree char *one = harmless(items[i]);
        g_strdelimit(one, "\n", ' ');
        g_autofree char *word = g_strconcat(one, i + 1 < n ? "," : "", NULL);
        filling_add(&filling, "--   ", word);
    }
    filling_flush(&filling);
}

/* --- values */

static bool is_control(gunichar c) {
    return g_unichar_iscntrl(c) || g_unichar_type(c) == G_UNICODE_FORMAT ||
           g_unichar_type(c) == G_UNICODE_LINE_SEPARATOR ||
           g_unichar_type(c) == G_UNICODE_PARAGRAPH_SEPARATOR;
}

static void quote_bytes(GString *out, const char *bytes, size_t size) {
    for (size_t i = 0; i < size; i++)
        g_string_append_printf(out, "\\%03u", (unsigned char)bytes[i]);
}

static void quote_character(GString *out, const char *at, size_t size, char mark) {
    static const char names[] = { 'n', '\n', 't', '\t', '\\', '\\' };
    for (size_t i = 0; i < sizeof names; i += 2)
        if (*at == names[i + 1]) {
            g_string_append_printf(out, "\\%c", names[i]);
            return;
        }
    if (*at == mark)
        g_string_append_printf(out, "\\%c", mark);
    else if (is_control(g_utf8_get_char(at)))
        quote_bytes(out, at, size);
    else
        g_string_append_len(out, at, (gssize)size);
}

char *page_quote(const char *text, size_t size) {
    char mark = memchr(text, '"', size) != NULL && memchr(text, '\'', size) == NULL ? '\'' : '"';
    GString *out = g_string_new(NULL);
    g_string_append_c(out, mark);
    for (size_t at = 0; at < size;) {
        gunichar c = g_utf8_get_char_validated(text + at, (gssize)(size - at));
        bool valid = text[at] != '\0' && c != (gunichar)-1 && c != (gunichar)-2;
        size_t length = valid ? (size_t)g_utf8_skip[(guchar)text[at]] : 1;
        if (valid)
            quote_character(out, text + at, length, mark);
        else
            quote_bytes(out, text + at, 1);
        at += length;
    }
    g_string_append_c(out, mark);
    return g_string_free(out, FALSE);
}

char *page_list(const char *const *items) {
    GString *out = g_string_new("{ ");
    for (size_t i = 0; items[i] != NULL; i++) {
        g_autofree char *item = page_quote(items[i], strlen(items[i]));
        g_string_append_printf(out, "%s%s", i > 0 ? ", " : "", item);
    }
    g_string_append(out, items[0] != NULL ? " }" : "}");
    return g_string_free(out, FALSE);
}

bool page_is_readable(const char *text, size_t size) {
    if (!g_utf8_validate_len(text, size, NULL))
        return false;
    for (const char *at = text; at < text + size; at += g_utf8_skip[(guchar)*at])
        if (*at != '\n' && *at != '\t' && is_control(g_utf8_get_char(at)))
            return false;
    return true;
}

/* The shortest bracket that nothing in the text closes. */
static char *long_string(const char *text) {
    g_autoptr(GString) equals = g_string_new(NULL);
    for (;;) {
        g_autofree char *close = g_strdup_printf("]%s]", equals->str);
        g_autofree char *open = g_strdup_printf("]%s", equals->str); /* at the very end */
        if (strstr(text, close) == NULL && !g_str_has_suffix(text, open))
            return g_strdup_printf("[%s[\n%s]%s]", equals->str, text, equals->str);
        g_string_append_c(equals, '=');
    }
}

char *page_text_value(const char *text, size_t size) {
    const char *newline = memchr(text, '\n', size);
    bool one_line = newline == NULL || newline == text + size - 1;
    if ((one_line && size < PAGE_WIDTH - 20) || !page_is_readable(text, size))
        return page_quote(text, size);
    g_autofree char *copy = g_strndup(text, size);
    return long_string(copy);
}

/* --- resources */

static bool fits_one_line(const PageItem *items, size_t n_items, glong width) {
    for (size_t i = 0; i < n_items; i++) {
        if (strchr(items[i].value, '\n') != NULL)
            return false;
        width += g_utf8_strlen(items[i].key, -1) + g_utf8_strlen(items[i].value, -1) + 5;
    }
    return width + 5 <= PAGE_WIDTH;
}

static void append_block(Page *page, const PageItem *items, size_t n_items) {
    glong width = 0;
    for (size_t i = 0; i < n_items; i++) {
        glong own = g_utf8_strlen(items[i].key, -1) + g_utf8_strlen(items[i].value, -1) + 4;
        bool is_long = strchr(items[i].value, '\n') != NULL;
        bool next_line = width == 0 || is_long || width + 1 + own > PAGE_WIDTH;
        if (next_line && width > 0)
            g_string_append_c(page->out, '\n');
        width = next_line ? 1 + own : width + 1 + own;
        g_string_append_printf(page->out, "%s%s = %s,", next_line ? "  " : " ", items[i].key,
                               items[i].value);
        if (is_long)
            width = PAGE_WIDTH; /* the next one is on a line of its own */
    }
    g_string_append(page->out, "\n}\n");
}

void page_resource(Page *page, const char *kind, const char *name, const PageItem *items,
                   size_t n_items) {
    bool has_text = false;
    for (size_t i = 0; i < n_items; i++)
        has_text |= strchr(items[i].value, '\n') != NULL;
    begin_resource(page, has_text);
    g_autofree char *quoted = page_quote(name, strlen(name));
    g_autofree char *head = g_strdup_printf("%s %s {", kind, quoted);
    g_string_append(page->out, head);
    if (n_items == 0) {
        g_string_append(page->out, "}\n");
        return;
    }
    if (!fits_one_line(items, n_items, g_utf8_strlen(head, -1))) {
        g_string_append_c(page->out, '\n');
        append_block(page, items, n_items);
        return;
    }
    for (size_t i = 0; i < n_items; i++)
        g_string_append_printf(page->out, "%s%s = %s", i > 0 ? ", " : " ", items[i].key,
                               items[i].value);
    g_string_append(page->out, " }\n");
}

void page_each(Page *page, const char *kind, const char *const *names, size_t n) {
    for (size_t i = 0; n <= PAGE_EACH && i < n; i++)
        page_resource(page, kind, names[i], NULL, 0);
    if (n <= PAGE_EACH)
        return;
    g_autoptr(GString) line = g_string_new(NULL);
    g_string_append(page->out, "for _, name in ipairs {\n");
    Filling filling = { page, line, 0 };
    for (size_t i = 0; i < n; i++) {
        g_autofree char *quoted = page_quote(names[i], strlen(names[i]));
        g_autofree char *word = g_strconcat(quoted, ",", NULL);
        filling_add(&filling, "  ", word);
    }
    filling_flush(&filling);
    g_string_append_printf(page->out, "} do\n  %s(name) {}\nend\n", kind);
}
