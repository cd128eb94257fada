#include "lang/toml.h"

#include <math.h>
#include <string.h>

#include "base/error.h"
#include "lang/number.h"

static bool refuse(const char *path, const char *text, GError **error) {
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "write '%s': %s", path, text);
    return false;
}

/* UTF-8, in which NUL is a character like any other. */
static bool is_text(const char *text, size_t size) {
    while (size > 0) {
        size_t piece = strnlen(text, size);
        if (!g_utf8_validate_len(text, piece, NULL))
            return false;
        piece += piece < size;
        text += piece;
        size -= piece;
    }
    return true;
}

void toml_append_escaped(GString *out, const char *text, size_t size) {
    static const char letters[] = "btnfr\"\\", meanings[] = "\b\t\n\f\r\"\\";
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        const char *meaning = c ? strchr(meanings, c) : NULL;
        if (meaning)
            g_string_append_printf(out, "\\%c", letters[meaning - meanings]);
        else if (c < ' ' || c == 0x7f)
            g_string_append_printf(out, "\\u%04X", c);
        else
            g_string_append_c(out, (char)c);
    }
}

static void print_string(GString *out, const char *text, size_t size) {
    g_string_append_c(out, '"');
    toml_append_escaped(out, text, size);
    g_string_append_c(out, '"');
}

static void print_key(GString *out, const char *key) {
    const char *p = key;
    while (g_ascii_isalnum(*p) || *p == '_' || *p == '-')
        p++;
    if (*key && !*p)
        g_string_append(out, key);
    else
        print_string(out, key, strlen(key));
}

static void print_float(GString *out, double number) {
    if (isfinite(number))
        number_append(out, number);
    else
        g_string_append(out, isnan(number) ? "nan" : number < 0 ? "-inf" : "inf");
}

static bool print_value(GString *out, const char *path, const Value *value, GError **error);

static bool print_list(GString *out, const char *path, const Value *list, GError **error) {
    g_string_append_c(out, '[');
    for (size_t i = 0; i < value_size(list); i++) {
        if (i > 0)
            g_string_append(out, ", ");
        if (!print_value(out, path, value_list_at(list, i), error))
            return false;
    }
    g_string_append_c(out, ']');
    return true;
}

static bool print_inline(GString *out, const char *path, const Value *map, GError **error) {
    g_string_append(out, value_size(map) > 0 ? "{ " : "{");
    for (size_t i = 0; i < value_size(map); i++) {
        const char *key;
        const Value *item = value_map_at(map, i, &key);
        if (i > 0)
            g_string_append(out, ", ");
        print_key(out, key);
        g_string_append(out, " = ");
        if (!print_value(out, path, item, error))
            return false;
    }
    g_string_append(out, value_size(map) > 0 ? " }" : "}");
    return true;
}

static bool print_value(GString *out, const char *path, const Value *value, GError **error) {
    switch (value_type(value)) {
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
        if (!is_text(value_string(value), value_string_size(value)))
            return refuse(path, "TOML cannot express bytes that are not UTF-8 text", error);
        print_string(out, value_string(value), value_string_size(value));
        return true;
    case VALUE_LIST:
        return print_list(out, path, value, error);
    case VALUE_MAP:
        return print_inline(out, path, value, error);
    case VALUE_NIL:
    case VALUE_UNKNOWN:
        break;
    }
    return refuse(path, "TOML has no null", error);
}

static bool is_table_list(const Value *value) {
    if (value_type(value) != VALUE_LIST || value_size(value) == 0)
        return false;
    for (size_t i = 0; i < value_size(value); i++)
        if (value_type(value_list_at(value, i)) != VALUE_MAP)
            return false;
    return true;
}

static bool has_plain_members(const Value *table) {
    for (size_t i = 0; i < value_size(table); i++) {
        const Value *item = value_map_at(table, i, NULL);
        if (value_type(item) != VALUE_MAP && !is_table_list(item))
            return true;
    }
    return false;
}

static bool print_table(GString *out, const char *path, const Value *table, GError **error);

static void print_header(GString *out, const char *path, bool is_item) {
    g_string_append_printf(out, "%s%s%s%s\n", out->len > 0 ? "\n" : "", is_item ? "[[" : "[", path,
                           is_item ? "]]" : "]");
}

static bool print_subtable(GString *out, const char *path, const Value *item, GError **error) {
    if (value_type(item) == VALUE_MAP) {
        if (value_size(item) == 0 || has_plain_members(item))
            print_header(out, path, false);
        return print_table(out, path, item, error);
    }
    for (size_t i = 0; i < value_size(item); i++) {
        print_header(out, path, true);
        if (!print_table(out, path, value_list_at(item, i), error))
            return false;
    }
    return true;
}

/* Plain members first: whatever follows a header belongs to that header. */
static bool print_table(GString *out, const char *path, const Value *table, GError **error) {
    for (size_t i = 0; i < value_size(table); i++) {
        const char *key;
        const Value *item = value_map_at(table, i, &key);
        if (value_type(item) == VALUE_MAP || is_table_list(item))
            continue;
        print_key(out, key);
        g_string_append(out, " = ");
        if (!print_value(out, key, item, error))
            return false;
        g_string_append_c(out, '\n');
    }
    for (size_t i = 0; i < value_size(table); i++) {
        const char *key;
        const Value *item = value_map_at(table, i, &key);
        if (value_type(item) != VALUE_MAP && !is_table_list(item))
            continue;
        g_autoptr(GString) inner = g_string_new(path);
        if (inner->len > 0)
            g_string_append_c(inner, '.');
        print_key(inner, key);
        if (!print_subtable(out, inner->str, item, error))
            return false;
    }
    return true;
}

bool toml_append_value(GString *out, const Value *value, GError **error) {
    return print_value(out, "value", value, error);
}

char *toml_print(const Value *value, GError **error) {
    if (value_type(value) != VALUE_MAP) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "expected a table with names, found a %s", value_type_name(value_type(value)));
        return NULL;
    }
    g_autoptr(GString) out = g_string_new(NULL);
    if (!print_table(out, "", value, error))
        return NULL;
    return g_string_free(g_steal_pointer(&out), FALSE);
}
