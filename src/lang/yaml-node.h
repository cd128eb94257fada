#pragma once
/* A YAML document as a tree that remembers where each node stands. Scalars are typed by the core
 * schema of YAML 1.2: `yes`, `no`, `on`, `off` are strings. */
#include <glib.h>
#include <stdbool.h>

#include "base/value.h"

typedef enum {
    YAML_NODE_SCALAR,
    YAML_NODE_LIST,
    YAML_NODE_MAP,
} YamlNodeType;

typedef struct YamlNode {
    YamlNodeType type;
    unsigned line, column; /* 1-based */
    bool plain;            /* a scalar without quotes: typed by its text */
    bool is_string;        /* tagged !!str */
    char *text;            /* scalars */
    size_t size;
    GPtrArray *keys;   /* maps: of YamlNode (scalars) */
    GHashTable *index; /* maps with many keys: text of a key -> its number + 1 */
    GPtrArray *items;  /* lists and maps: of YamlNode; an alias holds a reference to its target */
    unsigned refs;
    unsigned values;   /* in it and below, with aliases expanded */
    unsigned repeated; /* those of them that only aliases bring */
} YamlNode;

/* One document; NULL root for an empty one. Repeated keys, keys that are no scalars, unknown tags,
 * several documents, nesting beyond LIMIT_NESTING and aliases that stand for more than
 * YAML_MAX_REPEATED values are errors `where:line:column: text`. */
bool yaml_parse(const char *text, size_t size, const char *where, YamlNode **ret_root,
                GError **error);
void yaml_node_unref(YamlNode *node); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(YamlNode, yaml_node_unref)

bool yaml_node_is_null(const YamlNode *node);
/* The member of a map with that key, or NULL. */
const YamlNode *yaml_node_get(const YamlNode *map, const char *key);
Value *yaml_node_to_value(const YamlNode *node); /* typed; aliases are expanded */
Value *yaml_scalar_to_value(const YamlNode *node);
Value *yaml_text_to_value(const char *text); /* as a plain scalar */

/* Block style, keys in byte order; strings are quoted when they would be read as something else. */
char *yaml_print(const Value *value, GError **error);
/* Whether text may stand without quotes, also inside a flow list, and is read back as a string. */
bool yaml_is_plain(const char *text, size_t size);

/* Whether UTF-8 text has no control characters and no line breaks but LF. */
bool yaml_is_printable(const char *text);
/* The inside of a double-quoted scalar; text is UTF-8. */
void yaml_append_escaped(GString *out, const char *text);

#define YAML_MAX_REPEATED 1000000u
