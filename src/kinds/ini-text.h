#pragma once
/*
 * Text of an INI file: sections in brackets, `key = value` lines, comments. Only the value that is
 * asked for is touched; order, comments, indentation and spelling of everything else stay.
 *
 * Read as most programs do: a section may appear several times; the last line of a key counts; a
 * line that is indented and has no separator goes on with the value above it; keys before the first
 * section belong to the section "".
 */
#include <glib.h>

typedef enum { INI_QUOTE_KEEP, INI_QUOTE_NONE, INI_QUOTE_SINGLE, INI_QUOTE_DOUBLE } IniQuote;

typedef struct {
    const char *section, *key;
    const char *value; /* NULL: a key without separator and value; on removal meaningless */
    const char
        *separator; /* as written between key and value, or NULL: as the file does, else " = " */
    IniQuote quote; /* KEEP: as the value that is there is quoted */
} IniEntry;

typedef enum { INI_ABSENT, INI_BARE, INI_VALUE } IniFound;

/* What the key is. *ret_value (g_free) is set for INI_VALUE: unquoted when entry->quote is KEEP,
 * lines joined by newlines. */
IniFound ini_find(GBytes *bytes, const IniEntry *entry, char **ret_value);
/* Appends the text with the key set to entry's value, or without the key. */
void ini_set(GBytes *bytes, const IniEntry *entry, GString *out);
void ini_remove(GBytes *bytes, const IniEntry *entry, GString *out);
