#include "base/printable.h"

#include <stdbool.h>
#include <string.h>

static bool stays(unsigned char c, PrintableFlags flags) {
    switch (c) {
    case '\t':
        return flags & PRINTABLE_TABS;
    case '\n':
        return flags & PRINTABLE_LINES;
    case '"':
    case '\\':
        return !(flags & PRINTABLE_QUOTED);
    default:
        return c >= ' ' && c < 0x7f;
    }
}

static void append_escape(GString *out, unsigned char c) {
    static const char letters[] = {
        ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't', ['"'] = '"', ['\\'] = '\\'
    };
    char letter = c < sizeof letters ? letters[c] : '\0';
    if (letter) {
        const char escape[] = { '\\', letter };
        g_string_append_len(out, escape, sizeof escape);
    } else {
        g_string_append_printf(out, "\\x%02x", c);
    }
}

/* Appends the character at text, which is not ASCII. Returns its size in bytes. */
static size_t append_wide(GString *out, const char *text, size_t size) {
    gunichar c = g_utf8_get_char_validated(text, (gssize)size);
    if (c >= (gunichar)-2) { /* not UTF-8, or cut off */
        append_escape(out, (unsigned char)*text);
        return 1;
    }
    size_t width = (size_t)g_utf8_skip[(unsigned char)*text];
    if (g_unichar_isprint(c))
        g_string_append_len(out, text, (gssize)width);
    else
        g_string_append_printf(out, "\\u{%x}", c);
    return width;
}

void printable_append(GString *out, const char *text, size_t size, PrintableFlags flags) {
    for (const char *end = text + size; text < end;) {
        const char *run = text;
        while (text < end && stays((unsigned char)*text, flags))
            text++;
        g_string_append_len(out, run, text - run);
        if (text == end)
            return;
        if ((unsigned char)*text < 0x80)
            append_escape(out, (unsigned char)*text++);
        else
            text += append_wide(out, text, (size_t)(end - text));
    }
}

char *printable_text(const char *text, PrintableFlags flags) {
    GString *out = g_string_new(NULL);
    printable_append(out, text, strlen(text), flags);
    return g_string_free(out, FALSE);
}
