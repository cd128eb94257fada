#include <math.h>
#include <string.h>

#include "base/error.h"
#include "base/suggest.h"
#include "lang/json-strict.h"
#include "lang/number.h"
#include "lang/template.h"
#include "lang/toml.h"
#include "lang/yaml-node.h"

static const char *const format_names[FORMATS] = {
    [FORMAT_PLAIN] = "plain", [FORMAT_HTML] = "html", [FORMAT_INI] = "ini", [FORMAT_JSON] = "json",
    [FORMAT_SHELL] = "shell", [FORMAT_TOML] = "toml", [FORMAT_XML] = "xml", [FORMAT_YAML] = "yaml",
};

bool template_parse_format(const char *name, TemplateFormat *ret_format, GError **error) {
    for (unsigned i = 0; i < FORMATS; i++) {
        if (strcmp(name, format_names[i]) == 0) {
            *ret_format = (TemplateFormat)i;
            return true;
        }
    }
    const char *nearest = suggest_nearest(name, format_names, FORMATS);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "no such format '%s'%s%s%s", name,
                nearest ? ", did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
    return false;
}

/* Following the text around */

void template_scanner_init(TemplateScanner *scanner, TemplateFormat format) {
    *scanner = (TemplateScanner){ .format = format, .context = CONTEXT_BARE, .previous = '\n' };
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool starts_comment(const TemplateScanner *scanner, char c) {
    if (c != '#' || scanner->context != CONTEXT_BARE)
        return false;
    return scanner->format == FORMAT_TOML ||
           ((scanner->format == FORMAT_YAML || scanner->format == FORMAT_SHELL) &&
            (is_blank(scanner->previous) || scanner->previous == ';'));
}

/* In YAML a quotation mark inside a plain scalar (it's) is a letter like any other. */
static bool opens_quote(const TemplateScanner *scanner, char c) {
    if (c != '"' && (c != '\'' || scanner->format == FORMAT_JSON))
        return false;
    return scanner->format != FORMAT_YAML || is_blank(scanner->previous) ||
           strchr("[{,", scanner->previous) != NULL;
}

static void end_line(TemplateScanner *scanner) {
    scanner->in_comment = false;
    if (scanner->format != FORMAT_SHELL && !scanner->multiline)
        scanner->context = CONTEXT_BARE;
}

static bool is_triple(const TemplateScanner *scanner, const char *p, const char *end) {
    return scanner->format == FORMAT_TOML && end - p >= 3 && p[1] == *p && p[2] == *p;
}

/* Inside quotes: how many characters belong to what starts at p. */
static size_t step_quoted(TemplateScanner *scanner, const char *p, const char *end) {
    char quote = scanner->context == CONTEXT_DOUBLE ? '"' : '\'';
    if (*p == '\\' && scanner->context == CONTEXT_DOUBLE && p + 1 < end)
        return 2;
    if (*p != quote)
        return 1;
    if (scanner->format == FORMAT_YAML && quote == '\'' && p + 1 < end && p[1] == quote)
        return 2;
    if (scanner->multiline && !is_triple(scanner, p, end))
        return 1;
    size_t size = scanner->multiline ? 3 : 1;
    scanner->context = CONTEXT_BARE;
    scanner->multiline = false;
    return size;
}

static size_t step_bare(TemplateScanner *scanner, const char *p, const char *end) {
    if (starts_comment(scanner, *p)) {
        scanner->in_comment = true;
        return 1;
    }
    if (*p == '\\' && scanner->format == FORMAT_SHELL && p + 1 < end)
        return 2;
    if (!opens_quote(scanner, *p))
        return 1;
    scanner->context = *p == '"' ? CONTEXT_DOUBLE : CONTEXT_SINGLE;
    scanner->multiline = is_triple(scanner, p, end);
    return scanner->multiline ? 3 : 1;
}

void template_scan(TemplateScanner *scanner, const char *text, size_t size) {
    const char *end = text + size;
    bool has_quotes = scanner->format == FORMAT_JSON || scanner->format == FORMAT_YAML ||
                      scanner->format == FORMAT_TOML || scanner->format == FORMAT_SHELL;
    for (const char *p = text; has_quotes && p < end;) {
        size_t step = 1;
        if (*p == '\n')
            end_line(scanner);
        else if (scanner->in_comment)
            ;
        else if (scanner->context == CONTEXT_BARE)
            step = step_bare(scanner, p, end);
        else
            step = step_quoted(scanner, p, end);
        p += step;
        scanner->previous = p[-1];
    }
}

/* Escaping */

static bool refuse(GError **error, const char *text) {
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "%s", text);
    return false;
}

static void append_replaced(GString *out, const Value *text, const char *from,
                            const char *const *to) {
    const char *bytes = value_string(text);
    for (size_t i = 0; i < value_string_size(text); i++) {
        const char *found = bytes[i] ? strchr(from, bytes[i]) : NULL;
        if (found)
            g_string_append(out, to[found - from]);
        else
            g_string_append_c(out, bytes[i]);
    }
}

static bool is_clean_text(const Value *text) {
    return strlen(value_string(text)) == value_string_size(text) &&
           g_utf8_validate(value_string(text), (gssize)value_string_size(text), NULL);
}

/* JSON, with double quotes only when asked for. */
static bool append_json_text(GString *out, const Value *text, bool quotes, GError **error) {
    size_t before = out->len;
    if (!json_append_strict(out, text, JSON_COMPACT, error))
        return false;
    if (!quotes) {
        g_string_truncate(out, out->len - 1);
        g_string_erase(out, (gssize)before, 1);
    }
    return true;
}

static bool append_ini(GString *out, const Value *text, GError **error) {
    if (strpbrk(value_string(text), "\r\n") || !is_clean_text(text))
        return refuse(error, "the text has a line break, which INI cannot express");
    g_string_append(out, value_string(text));
    return true;
}

static bool append_shell(GString *out, TemplateContext context, const Value *text, GError **error) {
    static const char *const in_double[] = { "\\\"", "\\$", "\\`", "\\\\" };
    static const char *const in_single[] = { "'\\''" };
    const char *bytes = value_string(text);
    size_t size = value_string_size(text);
    if (strlen(bytes) != size)
        return refuse(error, "the text has a zero byte, which a shell cannot express");
    if (context == CONTEXT_DOUBLE) {
        append_replaced(out, text, "\"$`\\", in_double);
        return true;
    }
    bool safe = size > 0 && strspn(bytes, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                          "0123456789_@%+=:,./-") == size;
    bool quote = context == CONTEXT_BARE && !safe;
    if (quote)
        g_string_append_c(out, '\'');
    append_replaced(out, text, "'", in_single);
    if (quote)
        g_string_append_c(out, '\'');
    return true;
}

static bool append_yaml(GString *out, TemplateContext context, const Value *text, GError **error) {
    static const char *const doubled[] = { "''" };
    if (!is_clean_text(text))
        return refuse(error, "the text is not UTF-8, which YAML cannot express");
    if (context == CONTEXT_SINGLE) {
        if (strpbrk(value_string(text), "\r\n"))
            return refuse(error, "the text has a line break: put the expression in double quotes");
        append_replaced(out, text, "'", doubled);
    } else if (context == CONTEXT_DOUBLE) {
        yaml_append_escaped(out, value_string(text));
    } else if (yaml_is_plain(value_string(text), value_string_size(text))) {
        g_string_append(out, value_string(text));
    } else {
        g_string_append_c(out, '"');
        yaml_append_escaped(out, value_string(text));
        g_string_append_c(out, '"');
    }
    return true;
}

static bool append_toml(GString *out, TemplateContext context, const Value *text, GError **error) {
    if (!is_clean_text(text))
        return refuse(error, "the text is not UTF-8, which TOML cannot express");
    if (context == CONTEXT_SINGLE) {
        for (const char *p = value_string(text); *p; p++)
            if (*p == '\'' || ((unsigned char)*p < ' ' && *p != '\t') || *p == 0x7f)
                return refuse(error, "the text does not fit single quotes: put the expression in "
                                     "double quotes");
        g_string_append(out, value_string(text));
        return true;
    }
    if (context == CONTEXT_BARE)
        g_string_append_c(out, '"');
    toml_append_escaped(out, value_string(text), value_string_size(text));
    if (context == CONTEXT_BARE)
        g_string_append_c(out, '"');
    return true;
}

static bool append_markup(GString *out, const Value *text) {
    static const char *const entities[] = { "&amp;", "&lt;", "&gt;", "&quot;", "&#39;" };
    append_replaced(out, text, "&<>\"'", entities);
    return true;
}

static bool append_text(GString *out, TemplateFormat format, TemplateContext context,
                        const Value *text, GError **error) {
    switch (format) {
    case FORMAT_PLAIN:
    case FORMATS:
        break;
    case FORMAT_HTML:
    case FORMAT_XML:
        return append_markup(out, text);
    case FORMAT_INI:
        return append_ini(out, text, error);
    case FORMAT_JSON:
        return append_json_text(out, text, context == CONTEXT_BARE, error);
    case FORMAT_SHELL:
        return append_shell(out, context, text, error);
    case FORMAT_TOML:
        return append_toml(out, context, text, error);
    case FORMAT_YAML:
        return append_yaml(out, context, text, error);
    }
    g_string_append_len(out, value_string(text), (gssize)value_string_size(text));
    return true;
}

static bool append_words(GString *out, const Value *list, GError **error) {
    for (size_t i = 0; i < value_size(list); i++) {
        if (i > 0)
            g_string_append_c(out, ' ');
        const Value *item = value_list_at(list, i);
        if (value_type(item) == VALUE_LIST || value_type(item) == VALUE_MAP)
            return refuse(error, "a list of tables cannot stand in a shell script");
        if (!template_escape(out, FORMAT_SHELL, CONTEXT_BARE, item, error))
            return false;
    }
    return true;
}

/* Lists and maps: whole, where the format has a notation for them that fits one place. */
static bool append_table(GString *out, TemplateFormat format, TemplateContext context,
                         const Value *table, GError **error) {
    bool is_data = format == FORMAT_JSON || format == FORMAT_YAML || format == FORMAT_TOML;
    if (context == CONTEXT_BARE && format == FORMAT_TOML)
        return toml_append_value(out, table, error);
    if (context == CONTEXT_BARE && is_data)
        return json_append_strict(out, table, JSON_COMPACT, error);
    if (context == CONTEXT_BARE && format == FORMAT_SHELL && value_type(table) == VALUE_LIST)
        return append_words(out, table, error);
    return refuse(error, is_data ? "a table cannot stand inside quotes"
                                 : "a table cannot be printed: print its members, or give the "
                                   "template a format that has tables, like \"json\"");
}

static bool append_float(GString *out, TemplateFormat format, double number, GError **error) {
    bool is_finite = isfinite(number);
    if (!is_finite && format == FORMAT_JSON)
        return refuse(error, "JSON has no infinity and no NaN");
    if (is_finite)
        number_append(out, number);
    else if (format == FORMAT_YAML)
        g_string_append(out, isnan(number) ? ".nan" : number < 0 ? "-.inf" : ".inf");
    else
        g_string_append(out, isnan(number) ? "nan" : number < 0 ? "-inf" : "inf");
    return true;
}

bool template_escape(GString *out, TemplateFormat format, TemplateContext context,
                     const Value *value, GError **error) {
    switch (value_type(value)) {
    case VALUE_NIL:
    case VALUE_UNKNOWN:
        return refuse(error, "the expression gives nothing (nil)");
    case VALUE_BOOL:
        g_string_append(out, value_bool(value) ? "true" : "false");
        return true;
    case VALUE_INT:
        g_string_append_printf(out, "%" G_GINT64_FORMAT, value_int(value));
        return true;
    case VALUE_FLOAT:
        return append_float(out, format, value_float(value), error);
    case VALUE_STRING:
        return append_text(out, format, context, value, error);
    case VALUE_LIST:
    case VALUE_MAP:
        break;
    }
    return append_table(out, format, context, value, error);
}
