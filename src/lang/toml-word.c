#include "lang/toml-private.h"

#include <errno.h>
#include <math.h>
#include <string.h>

/* Underscores must stand between digits. Copies the word without them; NULL when they do not. */
static char *without_underscores(const char *word) {
    GString *out = g_string_new(NULL);
    for (const char *p = word; *p; p++) {
        if (*p != '_') {
            g_string_append_c(out, *p);
            continue;
        }
        if (p == word || !g_ascii_isxdigit(p[-1]) || !g_ascii_isxdigit(p[1])) {
            g_string_free(out, TRUE);
            return NULL;
        }
    }
    return g_string_free(out, FALSE);
}

static size_t digits_at(const char *p) {
    return strspn(p, "0123456789");
}

/* Whether text is sign, digits without a leading zero, and then rest says what follows. */
static bool decimal_start(const char *text, const char **ret_rest) {
    if (*text == '+' || *text == '-')
        text++;
    size_t digits = digits_at(text);
    *ret_rest = text + digits;
    return digits > 0 && (digits == 1 || *text != '0');
}

static bool is_float(const char *text) {
    const char *p;
    if (!decimal_start(text, &p))
        return false;
    if (*p == '.') {
        size_t digits = digits_at(++p);
        if (digits == 0)
            return false;
        p += digits;
    }
    if (*p == 'e' || *p == 'E') {
        p++;
        if (*p == '+' || *p == '-')
            p++;
        if (digits_at(p) == 0)
            return false;
        p += digits_at(p);
    }
    return *p == '\0';
}

/* ret_value is NULL when text is no integer at all. False: it is one, out of range. */
static bool read_integer(const char *text, Value **ret_value) {
    static const char prefixes[] = "xob";
    static const int bases[] = { 16, 8, 2 };
    const char *rest, *digits = text;
    int base = 10;
    if (text[0] == '0' && text[1] && strchr(prefixes, text[1])) {
        base = bases[strchr(prefixes, text[1]) - prefixes];
        digits = text + 2;
        if (!g_ascii_isxdigit(*digits))
            return true;
    } else if (!decimal_start(text, &rest) || *rest) {
        return true;
    }
    char *end;
    errno = 0;
    gint64 number = g_ascii_strtoll(digits, &end, base);
    if (*end)
        return true;
    if (errno == ERANGE)
        return false;
    *ret_value = value_new_int(number);
    return true;
}

static bool number_in(const char *p, unsigned count, int low, int high, int *ret) {
    *ret = 0;
    for (unsigned i = 0; i < count; i++) {
        if (!g_ascii_isdigit(p[i]))
            return false;
        *ret = *ret * 10 + (p[i] - '0');
    }
    return *ret >= low && *ret <= high;
}

static bool read_date(const char **text) {
    const char *p = *text;
    int year, month, day;
    if (!number_in(p, 4, 0, 9999, &year) || p[4] != '-' || !number_in(p + 5, 2, 1, 12, &month) ||
        p[7] != '-' || !number_in(p + 8, 2, 1, 31, &day))
        return false;
    *text = p + 10;
    /* The year 0 is a leap year of the proleptic calendar but not GLib's. */
    return day <= g_date_get_days_in_month((GDateMonth)month, (GDateYear)(year ? year : 4));
}

static bool read_time(const char **text) {
    const char *p = *text;
    int hour, minute, second;
    if (!number_in(p, 2, 0, 23, &hour) || p[2] != ':' || !number_in(p + 3, 2, 0, 59, &minute) ||
        p[5] != ':' || !number_in(p + 6, 2, 0, 60, &second))
        return false;
    p += 8;
    if (*p == '.') {
        if (digits_at(p + 1) == 0)
            return false;
        p += 1 + digits_at(p + 1);
    }
    *text = p;
    return true;
}

static bool is_zone(const char *p) {
    int hour, minute;
    if ((*p == 'Z' || *p == 'z') && p[1] == '\0')
        return true;
    return (*p == '+' || *p == '-') && number_in(p + 1, 2, 0, 23, &hour) && p[3] == ':' &&
           number_in(p + 4, 2, 0, 59, &minute) && p[6] == '\0';
}

static bool is_date_or_time(const char *p) {
    if (strlen(p) > 2 && p[2] == ':')
        return read_time(&p) && *p == '\0';
    if (!read_date(&p))
        return false;
    if (*p == '\0')
        return true;
    if (*p != 'T' && *p != 't' && *p != ' ')
        return false;
    p++;
    return read_time(&p) && (*p == '\0' || is_zone(p));
}

static Value *special_word(const char *word) {
    if (strcmp(word, "true") == 0 || strcmp(word, "false") == 0)
        return value_new_bool(*word == 't');
    const char *bare = *word == '+' || *word == '-' ? word + 1 : word;
    if (strcmp(bare, "inf") == 0)
        return value_new_float(*word == '-' ? -INFINITY : INFINITY);
    return strcmp(bare, "nan") == 0 ? value_new_float(NAN) : NULL;
}

static bool is_word_character(char c) {
    return g_ascii_isalnum(c) || (c && strchr("+-_.:", c));
}

/* A date and a time may be joined by one blank. */
static char *take_word(TomlReader *reader) {
    const char *start = reader->p;
    while (reader->p < reader->end && is_word_character(*reader->p))
        reader->p++;
    bool is_date = reader->p - start == 10 && start[4] == '-' && start[7] == '-';
    if (is_date && reader->end - reader->p > 3 && reader->p[0] == ' ' &&
        g_ascii_isdigit(reader->p[1]) && g_ascii_isdigit(reader->p[2]) && reader->p[3] == ':') {
        reader->p++;
        while (reader->p < reader->end && is_word_character(*reader->p))
            reader->p++;
    }
    return g_strndup(start, (size_t)(reader->p - start));
}

static Value *read_word(TomlReader *reader) {
    g_autofree char *word = take_word(reader);
    if (*word == '\0') {
        toml_fail(reader, "expected a value");
        return NULL;
    }
    Value *value = special_word(word);
    if (value)
        return value;
    if (is_date_or_time(word))
        return value_new_string(word);
    g_autofree char *plain = without_underscores(word);
    if (plain && !read_integer(plain, &value)) {
        toml_fail(reader, "the integer '%s' does not fit 64 bits", word);
        return NULL;
    }
    if (!value && plain && is_float(plain))
        value = value_new_float(g_ascii_strtod(plain, NULL));
    if (!value)
        toml_fail(reader, "'%s' is no number, date, time, true or false; text needs quotes", word);
    return value;
}

Value *toml_read_word(TomlReader *reader) {
    reader->word = reader->p;
    Value *value = read_word(reader);
    reader->word = NULL;
    return value;
}
