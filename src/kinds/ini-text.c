#include "kinds/ini-text.h"

#include <string.h>

#include "kinds/edit.h"

#define COMMENT_CHARS     "#;"
#define DEFAULT_SEPARATOR " = "
#define MORE_INDENT       "    " /* before what goes on with a value */

typedef enum { LINE_BLANK, LINE_COMMENT, LINE_SECTION, LINE_KEY, LINE_MORE } LineType;

/* One line, taken apart. Pieces are parts of the line. */
typedef struct {
    LineType type;
    bool indented;
    unsigned section; /* index of the section it is in */
    const char *key;  /* LINE_KEY; LINE_COMMENT: what looks like a key in it, or NULL */
    size_t key_size;
    const char *value; /* NULL: no separator */
    size_t value_size;
} Line;

typedef struct {
    EditText text;
    Line *lines;
    GPtrArray *sections; /* of char *; [0] is "" before the first header */
    const char *separator;
} Ini;

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

static void trim(const char **start, size_t *size) {
    while (*size > 0 && is_blank(**start)) {
        (*start)++;
        (*size)--;
    }
    while (*size > 0 && is_blank((*start)[*size - 1]))
        (*size)--;
}

/* The separator without the blanks around it; blanks alone separate when that is all there is. */
static const char *find_separator(const char *start, size_t size, const char *separator,
                                  size_t *ret_size) {
    const char *core = separator != NULL ? separator : "=";
    size_t core_size = strlen(core);
    trim(&core, &core_size);
    for (size_t i = 0; i + core_size <= size; i++) {
        if (core_size == 0 ? is_blank(start[i]) : memcmp(start + i, core, core_size) == 0) {
            *ret_size = MAX(core_size, 1);
            return start + i;
        }
    }
    return NULL;
}

static void split_key(Line *line, const char *start, size_t size, const char *separator) {
    size_t separator_size = 0;
    const char *at = find_separator(start, size, separator, &separator_size);
    line->key = start;
    line->key_size = at != NULL ? (size_t)(at - start) : size;
    if (at != NULL) {
        line->value = at + separator_size;
        line->value_size = size - line->key_size - separator_size;
        trim(&line->value, &line->value_size);
    }
    trim(&line->key, &line->key_size);
}

static void read_line(Ini *ini, size_t index) {
    const char *start = ini->text.lines[index].start;
    size_t size = ini->text.lines[index].size;
    Line *line = &ini->lines[index];
    line->indented = size > 0 && is_blank(*start);
    trim(&start, &size);
    const char *bracket = size > 0 && *start == '[' ? memchr(start, ']', size) : NULL;
    if (size == 0) {
        line->type = LINE_BLANK;
    } else if (strchr(COMMENT_CHARS, *start) != NULL) {
        line->type = LINE_COMMENT;
        split_key(line, start + 1, size - 1, ini->separator);
    } else if (bracket != NULL) {
        const char *name = start + 1;
        size_t name_size = (size_t)(bracket - name);
        trim(&name, &name_size);
        g_ptr_array_add(ini->sections, g_strndup(name, name_size));
        line->type = LINE_SECTION;
    } else {
        line->type = LINE_KEY;
        split_key(line, start, size, ini->separator);
        LineType above = index > 0 ? ini->lines[index - 1].type : LINE_BLANK;
        if (line->indented && line->value == NULL && (above == LINE_KEY || above == LINE_MORE))
            line->type = LINE_MORE;
    }
    line->section = ini->sections->len - 1;
}

static void ini_init(Ini *ini, GBytes *bytes, const char *separator) {
    *ini = (Ini){ .separator = separator };
    edit_text_init(&ini->text, bytes);
    ini->lines = g_new0(Line, ini->text.n_lines);
    ini->sections = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(ini->sections, g_strdup(""));
    for (size_t i = 0; i < ini->text.n_lines; i++)
        read_line(ini, i);
}

static void ini_clear(Ini *ini) {
    edit_text_clear(&ini->text);
    g_clear_pointer(&ini->lines, g_free);
    g_clear_pointer(&ini->sections, g_ptr_array_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Ini, ini_clear)

static bool is_in(const Ini *ini, size_t index, const char *section) {
    return strcmp(ini->sections->pdata[ini->lines[index].section], section) == 0;
}

static bool has_key(const Ini *ini, size_t index, const IniEntry *entry) {
    const Line *line = &ini->lines[index];
    return is_in(ini, index, entry->section) && line->key != NULL &&
           line->key_size == strlen(entry->key) &&
           memcmp(line->key, entry->key, line->key_size) == 0;
}

/* Index of the last line of a type that says the key; n_lines: none. */
static size_t last_line(const Ini *ini, const IniEntry *entry, LineType type) {
    for (size_t i = ini->text.n_lines; i > 0; i--)
        if (ini->lines[i - 1].type == type && has_key(ini, i - 1, entry))
            return i - 1;
    return ini->text.n_lines;
}

/* Behind the line and those that go on with its value. */
static size_t end_of(const Ini *ini, size_t index) {
    do
        index++;
    while (index < ini->text.n_lines && ini->lines[index].type == LINE_MORE);
    return index;
}

/* The quotes around the value of the key at index; those of one line in several are part of it. */
static char quote_of(const Ini *ini, size_t index) {
    const char *value = ini->lines[index].value;
    size_t size = ini->lines[index].value_size;
    bool quoted = value != NULL && size >= 2 && (*value == '"' || *value == '\'') &&
                  value[size - 1] == *value && end_of(ini, index) == index + 1;
    return quoted ? *value : '\0';
}

IniFound ini_find(GBytes *bytes, const IniEntry *entry, char **ret_value) {
    g_auto(Ini) ini;
    ini_init(&ini, bytes, entry->separator);
    size_t at = last_line(&ini, entry, LINE_KEY);
    if (at == ini.text.n_lines)
        return INI_ABSENT;
    const Line *line = &ini.lines[at];
    if (line->value == NULL)
        return INI_BARE;
    bool strip = entry->quote == INI_QUOTE_KEEP && quote_of(&ini, at) != '\0';
    GString *value = g_string_new_len(line->value + strip, (gssize)line->value_size - 2 * strip);
    for (size_t i = at + 1; i < end_of(&ini, at); i++) {
        const char *more = ini.text.lines[i].start;
        size_t size = ini.text.lines[i].size;
        trim(&more, &size);
        g_string_append_c(value, '\n');
        g_string_append_len(value, more, (gssize)size);
    }
    *ret_value = g_string_free(value, FALSE);
    return INI_VALUE;
}

/* --- setting */

/* Blanks around it are lost without quotes. */
static bool is_padded(const char *value) {
    size_t size = strlen(value);
    return size > 0 && (is_blank(value[0]) || is_blank(value[size - 1]));
}

/* Several lines, and blanks around a value, are what ini_find() gave, put back. */
static void append_value(const Ini *ini, const IniEntry *entry, char quote, GString *out) {
    static const char quotes[] = { [INI_QUOTE_KEEP] = '\0',
                                   [INI_QUOTE_NONE] = '\0',
                                   [INI_QUOTE_SINGLE] = '\'',
                                   [INI_QUOTE_DOUBLE] = '"' };
    if (entry->quote != INI_QUOTE_KEEP)
        quote = quotes[entry->quote];
    else if (strchr(entry->value, '\n') != NULL)
        quote = '\0';
    else if (quote == '\0' && is_padded(entry->value))
        quote = '"';
    if (quote != '\0')
        g_string_append_c(out, quote);
    for (const char *c = entry->value; *c != '\0'; c++) {
        if (*c != '\n')
            g_string_append_c(out, *c);
        else
            g_string_append_printf(out, "%s%s", ini->text.eol, MORE_INDENT);
    }
    if (quote != '\0')
        g_string_append_c(out, quote);
}

/* Between key and value of the nearest neighbour: in the same section, else anywhere. */
static char *usual_separator(const Ini *ini, const IniEntry *entry) {
    const Line *model = NULL;
    if (entry->separator != NULL)
        return g_strdup(entry->separator);
    for (size_t i = 0; i < ini->text.n_lines; i++) {
        const Line *line = &ini->lines[i];
        bool usable = line->type == LINE_KEY && line->value != NULL && line->value_size > 0;
        if (usable && (model == NULL || is_in(ini, i, entry->section)))
            model = line;
    }
    if (model == NULL)
        return g_strdup(DEFAULT_SEPARATOR);
    const char *end = model->key + model->key_size;
    return g_strndup(end, (size_t)(model->value - end));
}

/* Indentation of the section's keys. */
static char *usual_indent(const Ini *ini, const IniEntry *entry) {
    for (size_t i = ini->text.n_lines; i > 0; i--)
        if (ini->lines[i - 1].type == LINE_KEY && is_in(ini, i - 1, entry->section)) {
            const char *start = ini->text.lines[i - 1].start;
            return g_strndup(start, (size_t)(ini->lines[i - 1].key - start));
        }
    return g_strdup("");
}

static char *new_line(const Ini *ini, const IniEntry *entry) {
    g_autofree char *indent = usual_indent(ini, entry);
    g_autofree char *separator = usual_separator(ini, entry);
    GString *line = g_string_new(indent);
    g_string_append(line, entry->key);
    if (entry->value != NULL) {
        g_string_append(line, separator);
        append_value(ini, entry, '\0', line);
    }
    return g_string_free(line, FALSE);
}

/* The line with another value; what is before the value stays as it is. */
static char *changed_line(const Ini *ini, size_t at, const IniEntry *entry) {
    const Line *line = &ini->lines[at];
    const char *start = ini->text.lines[at].start;
    const char *key_end = line->key + line->key_size;
    GString *out = g_string_new_len(start, key_end - start);
    if (entry->value != NULL) {
        g_autofree char *separator = usual_separator(ini, entry);
        if (line->value != NULL && line->value_size > 0)
            g_string_append_len(out, key_end, line->value - key_end);
        else
            g_string_append(out, separator);
        append_value(ini, entry, quote_of(ini, at), out);
    }
    return g_string_free(out, FALSE);
}

/* Where a new key goes: behind its commented-out sample, behind the section's last key, behind the
 * section's header. n_lines + 1: there is no such section. */
static size_t place_of(const Ini *ini, const IniEntry *entry) {
    size_t n = ini->text.n_lines;
    size_t sample = last_line(ini, entry, LINE_COMMENT);
    if (sample < n)
        return sample + 1;
    for (size_t i = n; i > 0; i--)
        if (ini->lines[i - 1].type == LINE_KEY && is_in(ini, i - 1, entry->section))
            return end_of(ini, i - 1);
    for (size_t i = n; i > 0; i--)
        if (ini->lines[i - 1].type == LINE_SECTION && is_in(ini, i - 1, entry->section))
            return i;
    if (*entry->section != '\0')
        return n + 1;
    /* Behind the comment that opens the file, unless it belongs to the first section. */
    size_t end = 0;
    while (end < n && ini->lines[end].type == LINE_COMMENT)
        end++;
    return end == n || ini->lines[end].type == LINE_BLANK ? end : 0;
}

static void append_section(const Ini *ini, const IniEntry *entry, const char *line, GString *out) {
    size_t n = ini->text.n_lines;
    edit_append_lines(out, &ini->text, 0, n);
    g_autofree char *header = g_strdup_printf("[%s]", entry->section);
    if (n > 0 && ini->lines[n - 1].type != LINE_BLANK)
        edit_append_line(out, &ini->text, "", 0);
    edit_append_line(out, &ini->text, header, strlen(header));
    edit_append_line(out, &ini->text, line, strlen(line));
}

void ini_set(GBytes *bytes, const IniEntry *entry, GString *out) {
    g_auto(Ini) ini;
    ini_init(&ini, bytes, entry->separator);
    size_t n = ini.text.n_lines, at = last_line(&ini, entry, LINE_KEY), end;
    if (at < n) {
        end = end_of(&ini, at);
        g_autofree char *line = changed_line(&ini, at, entry);
        edit_append_lines(out, &ini.text, 0, at);
        g_string_append(out, line);
        const EditLine *old = &ini.text.lines[end - 1];
        g_string_append_len(out, old->start + old->size, (gssize)(old->whole - old->size));
    } else {
        g_autofree char *line = new_line(&ini, entry);
        end = place_of(&ini, entry);
        /* An indented line without separator would be read on as part of the new value. */
        while (end < n && ini.lines[end].type == LINE_KEY && ini.lines[end].indented &&
               ini.lines[end].value == NULL)
            end = end_of(&ini, end);
        if (end > n) {
            append_section(&ini, entry, line, out);
            return;
        }
        edit_append_lines(out, &ini.text, 0, end);
        edit_append_line(out, &ini.text, line, strlen(line));
    }
    edit_append_lines(out, &ini.text, end, n);
}

/* --- removing */

/* Whether a section (by index) holds nothing but blank lines once gone[] lines are away. */
static bool is_emptied(const Ini *ini, unsigned section, const bool *gone) {
    bool lost = false;
    for (size_t i = 0; i < ini->text.n_lines; i++) {
        if (ini->lines[i].section != section || ini->lines[i].type == LINE_SECTION)
            continue;
        if (!gone[i] && ini->lines[i].type != LINE_BLANK)
            return false;
        lost |= gone[i];
    }
    return lost;
}

/* Its header and blank lines; at the end of the file also the blank line before it, which
 * ini_set() had put there. */
static void drop_section(const Ini *ini, unsigned section, bool *gone) {
    size_t header = 0, last = 0;
    for (size_t i = 0; i < ini->text.n_lines; i++) {
        if (ini->lines[i].section != section)
            continue;
        gone[i] = true;
        last = i;
        if (ini->lines[i].type == LINE_SECTION)
            header = i;
    }
    if (last + 1 == ini->text.n_lines && header > 0 && ini->lines[header - 1].type == LINE_BLANK)
        gone[header - 1] = true;
}

void ini_remove(GBytes *bytes, const IniEntry *entry, GString *out) {
    g_auto(Ini) ini;
    ini_init(&ini, bytes, entry->separator);
    g_autofree bool *gone = g_new0(bool, ini.text.n_lines + 1);
    for (size_t i = 0; i < ini.text.n_lines; i++)
        if (ini.lines[i].type == LINE_KEY && has_key(&ini, i, entry))
            for (size_t j = i; j < end_of(&ini, i); j++)
                gone[j] = true;
    for (unsigned section = 1; section < ini.sections->len; section++)
        if (is_emptied(&ini, section, gone))
            drop_section(&ini, section, gone);
    for (size_t i = 0; i < ini.text.n_lines; i++)
        if (!gone[i])
            edit_append_lines(out, &ini.text, i, i + 1);
}
