#include "lang/ini.h"

#include <string.h>

#include "base/error.h"

typedef struct {
    const char *where;
    Value *root;    /* owned */
    Value *section; /* being filled, owned; NULL: still at the top */
    char *name;     /* of section, owned */
} IniParser;

static bool ini_error(const IniParser *parser, unsigned line, const char *text, GError **error) {
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "%s:%u: %s", parser->where, line, text);
    return false;
}

static void end_section(IniParser *parser) {
    if (parser->section)
        value_map_set(parser->root, parser->name, g_steal_pointer(&parser->section));
    g_clear_pointer(&parser->name, g_free);
}

static bool begin_section(IniParser *parser, char *text, unsigned line, GError **error) {
    size_t length = strlen(text);
    if (length < 3 || text[length - 1] != ']')
        return ini_error(parser, line, "a section header is a name in brackets: [name]", error);
    end_section(parser);
    text[length - 1] = '\0';
    char *name = g_strstrip(text + 1);
    if (value_map_get(parser->root, name))
        return ini_error(parser, line, "this section or key was there before", error);
    parser->name = g_strdup(name);
    parser->section = value_new_map();
    return true;
}

/* The second value of a key makes a list of what was one string. */
static void add_value(Value *map, const char *key, const char *text) {
    const Value *before = value_map_get(map, key);
    if (!before) {
        value_map_set(map, key, value_new_string(text));
        return;
    }
    Value *list = value_new_list();
    if (value_type(before) == VALUE_LIST)
        for (size_t i = 0; i < value_size(before); i++)
            value_list_append(list, value_ref(value_list_at(before, i)));
    else
        value_list_append(list, value_ref(before));
    value_list_append(list, value_new_string(text));
    value_map_set(map, key, list);
}

static bool parse_line(IniParser *parser, char *text, unsigned line, GError **error) {
    g_strstrip(text);
    if (*text == '\0' || *text == '#' || *text == ';')
        return true;
    if (*text == '[')
        return begin_section(parser, text, line, error);
    char *equals = strchr(text, '=');
    if (!equals || equals == text)
        return ini_error(parser, line, "expected [section] or key = value", error);
    *equals = '\0';
    add_value(parser->section ? parser->section : parser->root, g_strchomp(text),
              g_strchug(equals + 1));
    return true;
}

Value *ini_parse(const char *text, size_t size, const char *where, GError **error) {
    if (!g_utf8_validate(text, (gssize)size, NULL)) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "%s: not UTF-8 text", where);
        return NULL;
    }
    IniParser parser = { .where = where, .root = value_new_map() };
    g_autofree char *copy = g_strndup(text, size);
    g_auto(GStrv) lines = g_strsplit(copy, "\n", -1);
    bool fine = true;
    for (unsigned i = 0; fine && lines[i]; i++)
        fine = parse_line(&parser, lines[i], i + 1, error);
    end_section(&parser);
    if (fine)
        return parser.root;
    value_unref(parser.root);
    return NULL;
}

static bool refuse(const char *what, const char *key, const char *text, GError **error) {
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "%s '%s' %s", what, key, text);
    return false;
}

static bool print_scalar(GString *out, const char *key, const Value *value, GError **error) {
    g_autofree char *number = NULL;
    const char *text;
    switch (value_type(value)) {
    case VALUE_STRING:
        text = value_string(value);
        break;
    case VALUE_BOOL:
        text = value_bool(value) ? "true" : "false";
        break;
    case VALUE_INT:
    case VALUE_FLOAT:
        text = number = value_show(value, 0);
        break;
    case VALUE_NIL:
    case VALUE_LIST:
    case VALUE_MAP:
    case VALUE_UNKNOWN:
    default:
        return refuse("key", key, "has a value that INI cannot express", error);
    }
    bool is_string = value_type(value) == VALUE_STRING;
    if (strpbrk(text, "\r\n") || (is_string && strlen(text) != value_string_size(value)))
        return refuse("key", key, "has a line break in its value, which INI cannot express", error);
    if (g_ascii_isspace(text[0]) || (text[0] && g_ascii_isspace(text[strlen(text) - 1])))
        return refuse("key", key, "has a value with blanks at its ends, which INI drops", error);
    g_string_append_printf(out, "%s = %s\n", key, text);
    return true;
}

static bool print_key(GString *out, const char *key, const Value *value, GError **error) {
    g_autofree char *stripped = g_strstrip(g_strdup(key));
    if (*key == '\0' || strpbrk(key, "=\r\n") || strchr("#;[", *key) || strcmp(stripped, key) != 0)
        return refuse("key", key, "cannot be written in INI", error);
    if (value_type(value) != VALUE_LIST)
        return print_scalar(out, key, value, error);
    for (size_t i = 0; i < value_size(value); i++)
        if (!print_scalar(out, key, value_list_at(value, i), error))
            return false;
    return true;
}

/* First pass the plain keys of the top, second pass the sections. */
static bool print_members(GString *out, const Value *map, bool sections, GError **error) {
    for (size_t i = 0; i < value_size(map); i++) {
        const char *key;
        const Value *item = value_map_at(map, i, &key);
        if ((value_type(item) == VALUE_MAP) != sections)
            continue;
        if (!sections) {
            if (!print_key(out, key, item, error))
                return false;
            continue;
        }
        if (*key == '\0' || strpbrk(key, "]\r\n") || g_ascii_isspace(*key) ||
            g_ascii_isspace(key[strlen(key) - 1]))
            return refuse("section", key, "cannot be written in INI", error);
        g_string_append_printf(out, "%s[%s]\n", out->len > 0 ? "\n" : "", key);
        for (size_t j = 0; j < value_size(item); j++) {
            const char *inner;
            const Value *value = value_map_at(item, j, &inner);
            if (!print_key(out, inner, value, error))
                return false;
        }
    }
    return true;
}

char *ini_print(const Value *value, GError **error) {
    if (value_type(value) != VALUE_MAP) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "expected a table of keys and sections, found a %s",
                    value_type_name(value_type(value)));
        return NULL;
    }
    g_autoptr(GString) out = g_string_new(NULL);
    if (!print_members(out, value, false, error) || !print_members(out, value, true, error))
        return NULL;
    return g_string_free(g_steal_pointer(&out), FALSE);
}
