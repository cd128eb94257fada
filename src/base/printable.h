#pragma once
/* Text from outside made harmless for a terminal: control characters, characters that cannot be
 * seen or that turn the direction of writing, and bytes that are not UTF-8 become \n, \x1b,
 * \u{202e}. */
#include <glib.h>
#include <stddef.h>

typedef enum {
    PRINTABLE_PLAIN = 0,
    PRINTABLE_QUOTED = 1 << 0, /* goes between double quotes: escapes those and backslashes too */
    PRINTABLE_TABS = 1 << 1,   /* tabs stay */
    PRINTABLE_LINES = 1 << 2,  /* newlines stay */
} PrintableFlags;

void printable_append(GString *out, const char *text, size_t size, PrintableFlags flags);
char *printable_text(const char *text, PrintableFlags flags); /* of a whole string; caller frees */
