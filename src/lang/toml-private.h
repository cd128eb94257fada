#pragma once
/* Between the files of the TOML reader only. */
#include <glib.h>
#include <stdbool.h>

#include "base/value.h"

typedef enum {
    TOML_SCALAR,
    TOML_TABLE,
    TOML_ARRAY,
} TomlType;

/* How a table came to be decides who may still add to it. */
typedef enum {
    TOML_IMPLICIT, /* by the header of a table below it */
    TOML_HEADER,   /* by its own header */
    TOML_DOTTED,   /* by a dotted key */
    TOML_CLOSED,   /* inline table or array written with brackets */
    TOML_TABLES,   /* array of tables */
} TomlOrigin;

typedef struct TomlNode {
    TomlType type;
    TomlOrigin origin;
    Value *scalar;       /* TOML_SCALAR */
    GHashTable *members; /* TOML_TABLE: char * -> TomlNode */
    GPtrArray *items;    /* TOML_ARRAY: of TomlNode */
} TomlNode;

typedef struct {
    const char *where;
    const char *start, *p, *end;
    const char *word; /* the value that is read: errors tell its column; NULL: none is */
    unsigned line;
    unsigned depth; /* of tables and lists below the root; at most LIMIT_NESTING hold anything */
    GError *error;  /* the first one; parsing stops there */
} TomlReader;

TomlNode *toml_node_new(TomlType type, TomlOrigin origin);
void toml_node_free(TomlNode *node); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TomlNode, toml_node_free)

/* Always false, so that callers write `return toml_fail(...)`. */
bool toml_fail(TomlReader *reader, const char *format, ...) G_GNUC_PRINTF(2, 3);
void toml_skip_blanks(TomlReader *reader);
/* Blanks, comments and line ends. */
bool toml_skip_space(TomlReader *reader);
bool toml_skip_comment(TomlReader *reader);
static inline bool toml_at(const TomlReader *reader, char c) {
    return reader->p < reader->end && *reader->p == c;
}

/* At a quotation mark of either sort. */
bool toml_read_string(TomlReader *reader, bool allow_multiline, GString *out);
/* Number, date, time or truth value; NULL when reader->error is set. */
Value *toml_read_word(TomlReader *reader);
/* Bare, quoted and dotted keys: a list of char *. */
bool toml_read_key(TomlReader *reader, GPtrArray *parts);
bool toml_read_value(TomlReader *reader, TomlNode **ret_node);
/* `key = value` into table. */
bool toml_read_pair(TomlReader *reader, TomlNode *table);
