#include "lang/toml.h"

#include <stdarg.h>
#include <string.h>

#include "base/error.h"
#include "base/limits.h"
#include "lang/toml-private.h"

TomlNode *toml_node_new(TomlType type, TomlOrigin origin) {
    TomlNode *node = g_new0(TomlNode, 1);
    node->type = type;
    node->origin = origin;
    if (type == TOML_TABLE)
        node->members =
            g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)toml_node_free);
    if (type == TOML_ARRAY)
        node->items = g_ptr_array_new_with_free_func((GDestroyNotify)toml_node_free);
    return node;
}

void toml_node_free(TomlNode *node) {
    if (!node)
        return;
    value_unref(node->scalar);
    g_clear_pointer(&node->members, g_hash_table_unref);
    g_clear_pointer(&node->items, g_ptr_array_unref);
    g_free(node);
}

/* ":7", in characters from 1. */
static char *column_of(const TomlReader *reader, const char *at) {
    const char *line = at;
    while (line > reader->start && line[-1] != '\n')
        line--;
    return g_strdup_printf(":%ld", g_utf8_strlen(line, at - line) + 1);
}

bool toml_fail(TomlReader *reader, const char *format, ...) {
    if (reader->error)
        return false;
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_autofree char *column = reader->word ? column_of(reader, reader->word) : g_strdup("");
    reader->error = g_error_new(STEAD_ERROR, STEAD_ERROR_CONFIG, "%s:%u%s: %s", reader->where,
                                reader->line, column, text);
    return false;
}

void toml_skip_blanks(TomlReader *reader) {
    while (toml_at(reader, ' ') || toml_at(reader, '\t'))
        reader->p++;
}

bool toml_skip_comment(TomlReader *reader) {
    if (!toml_at(reader, '#'))
        return true;
    while (reader->p < reader->end && *reader->p != '\n') {
        unsigned char c = (unsigned char)*reader->p++;
        bool ends_line = c == '\r' && toml_at(reader, '\n');
        if (((c < ' ' && c != '\t') || c == 0x7f) && !ends_line)
            return toml_fail(reader, "a comment holds the control character 0x%02x", c);
    }
    return true;
}

/* True when a line ended here. */
static bool take_line_end(TomlReader *reader) {
    if (toml_at(reader, '\r') && reader->p + 1 < reader->end && reader->p[1] == '\n')
        reader->p++;
    if (!toml_at(reader, '\n'))
        return false;
    reader->p++;
    reader->line++;
    return true;
}

bool toml_skip_space(TomlReader *reader) {
    do {
        toml_skip_blanks(reader);
        if (!toml_skip_comment(reader))
            return false;
    } while (take_line_end(reader));
    return true;
}

/* Keys and values */

static bool is_bare(char c) {
    return g_ascii_isalnum(c) || c == '_' || c == '-';
}

static bool read_key_part(TomlReader *reader, GPtrArray *parts) {
    g_autoptr(GString) part = g_string_new(NULL);
    if (toml_at(reader, '"') || toml_at(reader, '\'')) {
        if (!toml_read_string(reader, false, part))
            return false;
        if (strlen(part->str) != part->len)
            return toml_fail(reader, "a key holds a NUL character");
    } else {
        while (reader->p < reader->end && is_bare(*reader->p))
            g_string_append_c(part, *reader->p++);
        if (part->len == 0)
            return toml_fail(reader, "expected a key");
    }
    g_ptr_array_add(parts, g_string_free(g_steal_pointer(&part), FALSE));
    return true;
}

bool toml_read_key(TomlReader *reader, GPtrArray *parts) {
    for (;;) {
        if (reader->depth + parts->len > LIMIT_NESTING)
            return toml_fail(reader, "tables are nested deeper than %u (LIMIT_NESTING)",
                             LIMIT_NESTING);
        toml_skip_blanks(reader);
        if (!read_key_part(reader, parts))
            return false;
        toml_skip_blanks(reader);
        if (!toml_at(reader, '.'))
            return true;
        reader->p++;
    }
}

static bool read_array(TomlReader *reader, TomlNode *array) {
    reader->p++;
    for (;;) {
        if (!toml_skip_space(reader))
            return false;
        if (toml_at(reader, ']'))
            break;
        TomlNode *item;
        if (!toml_read_value(reader, &item))
            return false;
        g_ptr_array_add(array->items, item);
        if (!toml_skip_space(reader))
            return false;
        if (toml_at(reader, ']'))
            break;
        if (!toml_at(reader, ','))
            return toml_fail(reader, "expected ',' or ']' in a list");
        reader->p++;
    }
    reader->p++;
    return true;
}

static void close_table(TomlNode *table) {
    GHashTableIter iter;
    void *member;
    table->origin = TOML_CLOSED;
    g_hash_table_iter_init(&iter, table->members);
    while (g_hash_table_iter_next(&iter, NULL, &member))
        if (((TomlNode *)member)->type == TOML_TABLE)
            close_table(member);
}

static bool read_inline_table(TomlReader *reader, TomlNode *table) {
    reader->p++;
    toml_skip_blanks(reader);
    if (!toml_at(reader, '}')) {
        for (;;) {
            if (!toml_read_pair(reader, table))
                return false;
            toml_skip_blanks(reader);
            if (toml_at(reader, '}'))
                break;
            if (!toml_at(reader, ','))
                return toml_fail(reader, "expected ',' or '}' in an inline table");
            reader->p++;
        }
    }
    reader->p++;
    close_table(table);
    return true;
}

static bool read_nested(TomlReader *reader, TomlNode *node) {
    if (++reader->depth > LIMIT_NESTING)
        return toml_fail(reader, "values are nested deeper than %u (LIMIT_NESTING)", LIMIT_NESTING);
    bool fine =
        node->type == TOML_ARRAY ? read_array(reader, node) : read_inline_table(reader, node);
    reader->depth--;
    return fine;
}

bool toml_read_value(TomlReader *reader, TomlNode **ret_node) {
    g_autoptr(TomlNode) node = NULL;
    if (toml_at(reader, '[') || toml_at(reader, '{')) {
        /* An inline table is open to dotted keys until its closing brace. */
        node = toml_at(reader, '[') ? toml_node_new(TOML_ARRAY, TOML_CLOSED)
                                    : toml_node_new(TOML_TABLE, TOML_DOTTED);
        if (!read_nested(reader, node))
            return false;
    } else if (toml_at(reader, '"') || toml_at(reader, '\'')) {
        g_autoptr(GString) text = g_string_new(NULL);
        if (!toml_read_string(reader, true, text))
            return false;
        node = toml_node_new(TOML_SCALAR, TOML_CLOSED);
        node->scalar = value_new_bytes(text->str, text->len);
    } else {
        Value *word = toml_read_word(reader);
        if (!word)
            return false;
        node = toml_node_new(TOML_SCALAR, TOML_CLOSED);
        node->scalar = word;
    }
    *ret_node = g_steal_pointer(&node);
    return true;
}

/* The table that holds the last part of a dotted key. */
static TomlNode *descend_dotted(TomlReader *reader, TomlNode *table, const GPtrArray *parts) {
    for (unsigned i = 0; i + 1 < parts->len; i++) {
        const char *part = g_ptr_array_index(parts, i);
        TomlNode *next = g_hash_table_lookup(table->members, part);
        if (!next) {
            next = toml_node_new(TOML_TABLE, TOML_DOTTED);
            g_hash_table_insert(table->members, g_strdup(part), next);
        }
        if (next->type != TOML_TABLE || next->origin == TOML_CLOSED ||
            next->origin == TOML_HEADER) {
            toml_fail(reader, "the key '%s' is defined already and cannot be added to", part);
            return NULL;
        }
        next->origin = TOML_DOTTED;
        table = next;
    }
    return table;
}

bool toml_read_pair(TomlReader *reader, TomlNode *table) {
    g_autoptr(GPtrArray) parts = g_ptr_array_new_with_free_func(g_free);
    if (!toml_read_key(reader, parts))
        return false;
    if (!toml_at(reader, '='))
        return toml_fail(reader, "expected '=' after a key");
    reader->p++;
    toml_skip_blanks(reader);
    TomlNode *value;
    reader->depth += parts->len - 1;
    if (!(table = descend_dotted(reader, table, parts)) || !toml_read_value(reader, &value))
        return false;
    reader->depth -= parts->len - 1;
    const char *last = g_ptr_array_index(parts, parts->len - 1);
    if (g_hash_table_contains(table->members, last)) {
        toml_node_free(value);
        return toml_fail(reader, "the key '%s' is defined twice", last);
    }
    g_hash_table_insert(table->members, g_strdup(last), value);
    return true;
}

/* Headers */

static TomlNode *last_item(TomlNode *array) {
    return g_ptr_array_index(array->items, array->items->len - 1);
}

/* The table above the last part of a header; the last element of arrays of tables on the way. */
static TomlNode *descend_header(TomlReader *reader, TomlNode *table, const GPtrArray *parts) {
    for (unsigned i = 0; i + 1 < parts->len; i++) {
        const char *part = g_ptr_array_index(parts, i);
        TomlNode *next = g_hash_table_lookup(table->members, part);
        if (!next) {
            next = toml_node_new(TOML_TABLE, TOML_IMPLICIT);
            g_hash_table_insert(table->members, g_strdup(part), next);
        }
        if (next->type == TOML_SCALAR || next->origin == TOML_CLOSED) {
            toml_fail(reader, "the key '%s' is defined already and is no table", part);
            return NULL;
        }
        table = next->type == TOML_ARRAY ? last_item(next) : next;
    }
    return table;
}

static TomlNode *open_table(TomlReader *reader, TomlNode *parent, const char *name) {
    TomlNode *table = g_hash_table_lookup(parent->members, name);
    if (!table) {
        table = toml_node_new(TOML_TABLE, TOML_HEADER);
        g_hash_table_insert(parent->members, g_strdup(name), table);
    } else if (table->type != TOML_TABLE || table->origin != TOML_IMPLICIT) {
        toml_fail(reader, "the table '%s' is defined twice", name);
        return NULL;
    }
    table->origin = TOML_HEADER;
    return table;
}

static TomlNode *open_array_table(TomlReader *reader, TomlNode *parent, const char *name) {
    TomlNode *array = g_hash_table_lookup(parent->members, name);
    if (!array) {
        array = toml_node_new(TOML_ARRAY, TOML_TABLES);
        g_hash_table_insert(parent->members, g_strdup(name), array);
    } else if (array->origin != TOML_TABLES) {
        toml_fail(reader, "the key '%s' is defined already and is no array of tables", name);
        return NULL;
    }
    g_ptr_array_add(array->items, toml_node_new(TOML_TABLE, TOML_HEADER));
    return last_item(array);
}

static TomlNode *read_header(TomlReader *reader, TomlNode *root) {
    g_autoptr(GPtrArray) parts = g_ptr_array_new_with_free_func(g_free);
    reader->p++;
    bool is_array = toml_at(reader, '[');
    if (is_array)
        reader->p++;
    reader->depth = 0;
    if (!toml_read_key(reader, parts))
        return NULL;
    reader->depth = parts->len;
    for (int i = 0; i < 1 + is_array; i++) {
        if (!toml_at(reader, ']')) {
            toml_fail(reader, "expected '%s' after a table's name", is_array ? "]]" : "]");
            return NULL;
        }
        reader->p++;
    }
    TomlNode *parent = descend_header(reader, root, parts);
    if (!parent)
        return NULL;
    const char *last = g_ptr_array_index(parts, parts->len - 1);
    return is_array ? open_array_table(reader, parent, last) : open_table(reader, parent, last);
}

static bool read_document(TomlReader *reader, TomlNode *root) {
    TomlNode *table = root;
    for (;;) {
        if (!toml_skip_space(reader))
            return false;
        if (reader->p == reader->end)
            return true;
        if (toml_at(reader, '[')) {
            if (!(table = read_header(reader, root)))
                return false;
        } else if (!toml_read_pair(reader, table)) {
            return false;
        }
        toml_skip_blanks(reader);
        if (!toml_skip_comment(reader))
            return false;
        if (reader->p < reader->end && !take_line_end(reader))
            return toml_fail(reader, "expected the end of the line");
    }
}

static Value *node_to_value(const TomlNode *node) {
    if (node->type == TOML_SCALAR)
        return value_ref(node->scalar);
    if (node->type == TOML_ARRAY) {
        Value *list = value_new_list();
        for (unsigned i = 0; i < node->items->len; i++)
            value_list_append(list, node_to_value(g_ptr_array_index(node->items, i)));
        return list;
    }
    Value *map = value_new_map();
    GHashTableIter iter;
    void *key, *member;
    g_hash_table_iter_init(&iter, node->members);
    while (g_hash_table_iter_next(&iter, &key, &member))
        value_map_set(map, key, node_to_value(member));
    return map;
}

Value *toml_parse(const char *text, size_t size, const char *where, GError **error) {
    TomlReader reader = { .where = where, .start = text, .p = text, .end = text + size, .line = 1 };
    const char *bad;
    if (!g_utf8_validate(text, (gssize)size, &bad)) {
        for (const char *p = text; p < bad; p++)
            reader.line += *p == '\n';
        toml_fail(&reader, "not UTF-8 text, or a NUL character");
        g_propagate_error(error, reader.error);
        return NULL;
    }
    g_autoptr(TomlNode) root = toml_node_new(TOML_TABLE, TOML_HEADER);
    if (read_document(&reader, root))
        return node_to_value(root);
    g_propagate_error(error, reader.error);
    return NULL;
}
