#include "kinds/fstab.h"

#include <string.h>

#include "host/mounts.h"

#define N_NEEDED 3 /* fields that every line has */

void fstab_line_clear(FstabLine *line) {
    for (int i = 0; i < N_FSTAB; i++)
        g_clear_pointer(&line->fields[i], g_free);
}

char *fstab_point(const char *path) {
    GString *out = g_string_new(NULL);
    for (const char *at = path; *at != '\0'; at++)
        if (*at != '/' || (at[1] != '/' && at[1] != '\0') || (out->len == 0 && at[1] == '\0'))
            g_string_append_c(out, *at);
    return g_string_free(out, FALSE);
}

/* Where the fields of a line are. */
typedef struct {
    const char *start[N_FSTAB];
    size_t size[N_FSTAB];
    unsigned n;
} Spans;

static bool is_space(char c) {
    return c == ' ' || c == '\t';
}

static Spans find_fields(const EditLine *text) {
    Spans spans = { 0 };
    const char *at = text->start, *end = text->start + text->size;
    while (spans.n < N_FSTAB) {
        while (at < end && is_space(*at))
            at++;
        if (at == end || (*at == '#' && spans.n == 0))
            break;
        spans.start[spans.n] = at;
        while (at < end && !is_space(*at))
            at++;
        spans.size[spans.n] = (size_t)(at - spans.start[spans.n]);
        spans.n++;
    }
    return spans;
}

bool fstab_line_parse(const EditLine *text, FstabLine *ret_line) {
    *ret_line = (FstabLine){ 0 };
    Spans spans = find_fields(text);
    if (spans.n < N_NEEDED || memchr(text->start, '\0', text->size) != NULL)
        return false;
    for (unsigned i = 0; i < spans.n; i++)
        ret_line->fields[i] = mount_unescape(spans.start[i], spans.size[i]);
    return true;
}

static const char *field_or_standard(const FstabLine *line, unsigned i) {
    static const char *const standard[] = {
        [FSTAB_TYPE] = "auto", [FSTAB_OPTIONS] = "defaults", [FSTAB_DUMP] = "0", [FSTAB_PASS] = "0"
    };
    return line->fields[i] != NULL ? line->fields[i] : standard[i];
}

static char *print_new(const FstabLine *line) {
    GString *out = g_string_new(NULL);
    for (unsigned i = 0; i < N_FSTAB; i++) {
        g_autofree char *field = mount_escape(field_or_standard(line, i));
        g_string_append_printf(out, "%s%s", i > 0 ? "\t" : "", field);
    }
    g_string_append_c(out, '\n');
    return g_string_free(out, FALSE);
}

char *fstab_line_print(const FstabLine *line, const EditLine *was) {
    if (was == NULL)
        return print_new(line);
    Spans spans = find_fields(was);
    GString *out = g_string_new(NULL);
    const char *done = was->start;
    for (unsigned i = 0; i < N_FSTAB; i++) {
        if (i >= spans.n) {
            g_autofree char *field = mount_escape(field_or_standard(line, i));
            g_string_append_printf(out, " %s", field);
            continue;
        }
        g_autofree char *old = mount_unescape(spans.start[i], spans.size[i]);
        const char *wanted = field_or_standard(line, i);
        g_autofree char *field = strcmp(old, wanted) == 0 ? g_strndup(spans.start[i], spans.size[i])
                                                          : mount_escape(wanted);
        g_string_append_len(out, done, spans.start[i] - done);
        g_string_append(out, field);
        done = spans.start[i] + spans.size[i];
    }
    g_string_append_len(out, done, was->start + was->size - done);
    g_string_append_c(out, '\n');
    return g_string_free(out, FALSE);
}

size_t fstab_find(const EditText *text, const char *point, size_t at, FstabLine *ret_line) {
    for (; at < text->n_lines; at++) {
        g_auto(FstabLine) line = { 0 };
        if (!fstab_line_parse(&text->lines[at], &line))
            continue;
        g_autofree char *found = fstab_point(line.fields[FSTAB_POINT]);
        if (strcmp(found, point) != 0)
            continue;
        *ret_line = line;
        line = (FstabLine){ 0 };
        return at;
    }
    return at;
}
