#include "lang/toml-private.h"

#include <string.h>

static int hex_digits(TomlReader *reader, unsigned count, gunichar *ret) {
    if ((size_t)(reader->end - reader->p) < count)
        return false;
    *ret = 0;
    for (unsigned i = 0; i < count; i++) {
        int digit = g_ascii_xdigit_value(*reader->p++);
        if (digit < 0)
            return false;
        *ret = *ret << 4 | (gunichar)digit;
    }
    return true;
}

static bool read_unicode(TomlReader *reader, unsigned digits, GString *out) {
    gunichar c;
    if (!hex_digits(reader, digits, &c) || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        return toml_fail(reader, "expected %u hexadecimal digits of a Unicode character", digits);
    g_string_append_unichar(out, c);
    return true;
}

/* A backslash before a line end swallows all space up to the next text. */
static bool swallow_line_end(TomlReader *reader) {
    const char *p = reader->p;
    while (p < reader->end && (*p == ' ' || *p == '\t'))
        p++;
    if (p == reader->end || (*p != '\n' && *p != '\r'))
        return false;
    while (p < reader->end && strchr(" \t\r\n", *p) && *p) {
        if (*p == '\n')
            reader->line++;
        p++;
    }
    reader->p = p;
    return true;
}

static bool read_escape(TomlReader *reader, bool multiline, GString *out) {
    static const char letters[] = "btnfr\"\\", meanings[] = "\b\t\n\f\r\"\\";
    if (multiline && swallow_line_end(reader))
        return true;
    if (reader->p == reader->end)
        return toml_fail(reader, "the string does not end");
    char c = *reader->p++;
    const char *letter = c ? strchr(letters, c) : NULL;
    if (letter) {
        g_string_append_c(out, meanings[letter - letters]);
        return true;
    }
    if (c == 'u' || c == 'U')
        return read_unicode(reader, c == 'u' ? 4 : 8, out);
    return toml_fail(reader, "no such escape '\\%c'", g_ascii_isprint(c) ? c : '?');
}

/* Appends one character of a string's text; line ends only in multi-line strings. */
static bool read_character(TomlReader *reader, bool multiline, GString *out) {
    unsigned char c = (unsigned char)*reader->p;
    if (c == '\r' && reader->p + 1 < reader->end && reader->p[1] == '\n')
        c = (unsigned char)*++reader->p;
    if (c == '\n') {
        if (!multiline)
            return toml_fail(reader, "the string does not end on its line");
        reader->line++;
    } else if ((c < ' ' && c != '\t') || c == 0x7f) {
        return toml_fail(reader, "a string holds the control character 0x%02x", c);
    }
    g_string_append_c(out, (char)c);
    reader->p++;
    return true;
}

static size_t count_quotes(const TomlReader *reader, char quote) {
    size_t count = 0;
    while (reader->p + count < reader->end && reader->p[count] == quote)
        count++;
    return count;
}

/* Up to two quotation marks may stand right before the three that end the string. */
static bool read_multiline(TomlReader *reader, char quote, GString *out) {
    reader->p += 3;
    if (toml_at(reader, '\r') && reader->p + 1 < reader->end && reader->p[1] == '\n')
        reader->p++;
    if (toml_at(reader, '\n')) {
        reader->p++;
        reader->line++;
    }
    while (reader->p < reader->end) {
        size_t quotes = count_quotes(reader, quote);
        if (quotes > 5)
            return toml_fail(reader, "too many quotation marks end a string");
        if (quotes > 0) {
            reader->p += quotes;
            g_string_append_len(out, &"\"\"\"''"[quote == '"' ? 0 : 3],
                                (gssize)(quotes >= 3 ? quotes - 3 : quotes));
            if (quotes >= 3)
                return true;
        } else if (quote == '"' && *reader->p == '\\') {
            reader->p++;
            if (!read_escape(reader, true, out))
                return false;
        } else if (!read_character(reader, true, out)) {
            return false;
        }
    }
    return toml_fail(reader, "the string does not end");
}

bool toml_read_string(TomlReader *reader, bool allow_multiline, GString *out) {
    char quote = *reader->p;
    if (allow_multiline && count_quotes(reader, quote) >= 3)
        return read_multiline(reader, quote, out);
    reader->p++;
    while (reader->p < reader->end && *reader->p != quote) {
        if (quote == '"' && *reader->p == '\\') {
            reader->p++;
            if (!read_escape(reader, false, out))
                return false;
        } else if (!read_character(reader, false, out)) {
            return false;
        }
    }
    if (reader->p == reader->end)
        return toml_fail(reader, "the string does not end");
    reader->p++;
    return true;
}
