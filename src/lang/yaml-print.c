#include <math.h>
#include <string.h>

#include "base/error.h"
#include "lang/number.h"
#include "lang/yaml-node.h"

static bool refuse(GError **error, const char *text) {
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "write YAML: %s", text);
    return false;
}

void yaml_append_escaped(GString *out, const char *text) {
    static const char letters[] = "abtnvfre\"\\", meanings[] = "\a\b\t\n\v\f\r\033\"\\";
    for (const char *p = text; *p; p += g_utf8_skip[(unsigned char)*p]) {
        gunichar c = g_utf8_get_char(p);
        const char *meaning = c < 0x80 ? strchr(meanings, (int)c) : NULL;
        if (meaning)
            g_string_append_printf(out, "\\%c", letters[meaning - meanings]);
        else if (c < ' ' || (c >= 0x7f && c < 0xa0))
            g_string_append_printf(out, "\\x%02X", c);
        else if (c == 0x2028 || c == 0x2029 || c == 0xfeff || c == 0xfffe || c == 0xffff)
            g_string_append_printf(out, "\\u%04X", c);
        else
            g_string_append_unichar(out, c);
    }
}

static void print_quoted(GString *out, const char *text) {
    g_string_append_c(out, '"');
    yaml_append_escaped(out, text);
    g_string_append_c(out, '"');
}

/* Several lines become a literal block where that keeps every character. */
static bool fits_block(const char *text) {
    return strchr(text, '\n') && !g_ascii_isspace(*text) && yaml_is_printable(text);
}

static void print_indent(GString *out, unsigned depth) {
    for (unsigned i = 0; i < depth; i++)
        g_string_append(out, "  ");
}

static void print_block(GString *out, const char *text, unsigned depth) {
    size_t size = strlen(text);
    bool ends_line = text[size - 1] == '\n';
    bool more_ends = ends_line && size > 1 && text[size - 2] == '\n';
    g_string_append(out, !ends_line ? "|-\n" : more_ends ? "|+\n" : "|\n");
    for (const char *line = text; *line;) {
        const char *end = strchrnul(line, '\n');
        if (end > line)
            print_indent(out, depth);
        g_string_append_len(out, line, end - line);
        line = *end ? end + 1 : end;
        if (*end && *line)
            g_string_append_c(out, '\n');
    }
}

static bool print_string(GString *out, const Value *value, unsigned depth, GError **error) {
    const char *text = value_string(value);
    size_t size = value_string_size(value);
    if (strlen(text) != size || !g_utf8_validate(text, (gssize)size, NULL))
        return refuse(error, "bytes that are not UTF-8 text cannot be expressed");
    if (yaml_is_plain(text, size))
        g_string_append(out, text);
    else if (fits_block(text))
        print_block(out, text, MAX(depth, 1));
    else
        print_quoted(out, text);
    return true;
}

static void print_float(GString *out, double number) {
    if (isfinite(number))
        number_append(out, number);
    else
        g_string_append(out, isnan(number) ? ".nan" : number < 0 ? "-.inf" : ".inf");
}

/* depth: indentation of the node's further lines, in steps of two blanks. */
static bool print_node(GString *out, const Value *value, unsigned depth, GError **error);

static bool is_nested(const Value *value) {
    ValueType type = value_type(value);
    return (type == VALUE_LIST || type == VALUE_MAP) && value_size(value) > 0;
}

static bool print_key(GString *out, const char *key, GError **error) {
    if (!g_utf8_validate(key, -1, NULL))
        return refuse(error, "a key that is not UTF-8 text cannot be expressed");
    if (yaml_is_plain(key, strlen(key)))
        g_string_append(out, key);
    else
        print_quoted(out, key);
    return true;
}

static bool print_members(GString *out, const Value *map, unsigned depth, GError **error) {
    for (size_t i = 0; i < value_size(map); i++) {
        const char *key;
        const Value *item = value_map_at(map, i, &key);
        if (i > 0) {
            g_string_append_c(out, '\n');
            print_indent(out, depth);
        }
        if (!print_key(out, key, error))
            return false;
        g_string_append_c(out, ':');
        if (is_nested(item)) {
            g_string_append_c(out, '\n');
            print_indent(out, depth + 1);
        } else {
            g_string_append_c(out, ' ');
        }
        if (!print_node(out, item, depth + 1, error))
            return false;
    }
    return true;
}

static bool print_items(GString *out, const Value *list, unsigned depth, GError **error) {
    for (size_t i = 0; i < value_size(list); i++) {
        if (i > 0) {
            g_string_append_c(out, '\n');
            print_indent(out, depth);
        }
        g_string_append(out, "- ");
        if (!print_node(out, value_list_at(list, i), depth + 1, error))
            return false;
    }
    return true;
}

static bool print_node(GString *out, const Value *value, unsigned depth, GError **error) {
    switch (value_type(value)) {
    case VALUE_NIL:
        g_string_append(out, "null");
        return true;
    case VALUE_BOOL:
        g_string_append(out, value_bool(value) ? "true" : "false");
        return true;
    case VALUE_INT:
        g_string_append_printf(out, "%" G_GINT64_FORMAT, value_int(value));
        return true;
    case VALUE_FLOAT:
        print_float(out, value_float(value));
        return true;
    case VALUE_STRING:
        return print_string(out, value, depth, error);
    case VALUE_LIST:
        if (value_size(value) > 0)
            return print_items(out, value, depth, error);
        g_string_append(out, "[]");
        return true;
    case VALUE_MAP:
        if (value_size(value) > 0)
            return print_members(out, value, depth, error);
        g_string_append(out, "{}");
        return true;
    case VALUE_UNKNOWN:
        break;
    }
    return refuse(error, "a value that is known only after apply cannot be expressed");
}

char *yaml_print(const Value *value, GError **error) {
    g_autoptr(GString) out = g_string_new(NULL);
    if (!print_node(out, value, 0, error))
        return NULL;
    g_string_append_c(out, '\n');
    return g_string_free(g_steal_pointer(&out), FALSE);
}
