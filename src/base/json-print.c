#include <math.h>
#include <string.h>

#include "base/json-private.h"
#include "base/json.h"

typedef struct {
    GString *out;
    JsonFlags flags;
    unsigned depth;
} Printer;

static void print_value(Printer *printer, const Value *value);

/* Whether data is UTF-8; unlike g_utf8_validate() this accepts NUL, which JSON can write. */
static bool is_utf8(const char *data, size_t size) {
    const char *end = data + size;
    while (!g_utf8_validate_len(data, (gsize)(end - data), &data)) {
        if (*data != '\0')
            return false;
        data++;
    }
    return true;
}

static void print_escape(GString *out, unsigned char c) {
    static const char letters[] = { ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r',
                                    ['\t'] = 't', ['"'] = '"',  ['\\'] = '\\' };
    char letter = c < sizeof letters ? letters[c] : '\0';
    if (letter) {
        g_string_append_c(out, '\\');
        g_string_append_c(out, letter);
    } else {
        g_string_append_printf(out, "\\u%04x", c);
    }
}

/* text is UTF-8. Runs of plain characters go out in one piece. */
static void print_text(GString *out, const char *text, size_t size) {
    g_string_append_c(out, '"');
    const char *run = text, *end = text + size;
    for (const char *p = text; p < end; p++) {
        unsigned char c = (unsigned char)*p;
        if (c >= ' ' && c != '"' && c != '\\')
            continue;
        g_string_append_len(out, run, p - run);
        print_escape(out, c);
        run = p + 1;
    }
    g_string_append_len(out, run, end - run);
    g_string_append_c(out, '"');
}

static void print_string(GString *out, const char *text, size_t size) {
    if (is_utf8(text, size)) {
        print_text(out, text, size);
        return;
    }
    g_autofree char *encoded = g_base64_encode((const guchar *)text, size);
    g_string_append(out, "{\"" JSON_MARK_BYTES "\":\"");
    g_string_append(out, encoded);
    g_string_append(out, "\"}");
}

static void print_int(GString *out, int64_t i) {
    char text[24];
    char *p = text + sizeof text;
    uint64_t rest = i < 0 ? -(uint64_t)i : (uint64_t)i;
    do
        *--p = (char)('0' + rest % 10);
    while ((rest /= 10) > 0);
    if (i < 0)
        *--p = '-';
    g_string_append_len(out, p, text + sizeof text - p);
}

/* The shortest of 15 to 17 digits that reads back as the same number, and never like an integer.
 * JSON has no infinity and no NaN. */
static void print_float(GString *out, double d) {
    if (!isfinite(d)) {
        g_string_append(out, "null");
        return;
    }
    static const char *const formats[] = { "%.15g", "%.16g", "%.17g" };
    char text[G_ASCII_DTOSTR_BUF_SIZE];
    for (size_t i = 0; i < G_N_ELEMENTS(formats); i++) {
        g_ascii_formatd(text, sizeof text, formats[i], d);
        if (g_ascii_strtod(text, NULL) == d)
            break;
    }
    g_string_append(out, text);
    if (!strpbrk(text, ".e"))
        g_string_append(out, ".0");
}

static void print_break(const Printer *printer) {
    if (!(printer->flags & JSON_INDENT))
        return;
    g_string_append_c(printer->out, '\n');
    for (unsigned i = 0; i < printer->depth; i++)
        g_string_append(printer->out, "  ");
}

static void print_list(Printer *printer, const Value *list) {
    size_t size = value_size(list);
    g_string_append_c(printer->out, '[');
    printer->depth++;
    for (size_t i = 0; i < size; i++) {
        if (i > 0)
            g_string_append_c(printer->out, ',');
        print_break(printer);
        print_value(printer, value_list_at(list, i));
    }
    printer->depth--;
    if (size > 0)
        print_break(printer);
    g_string_append_c(printer->out, ']');
}

static void print_key(Printer *printer, const char *key, bool alone) {
    size_t size = strlen(key);
    GString *out = printer->out;
    if (!is_utf8(key, size)) {
        g_autofree char *encoded = g_base64_encode((const guchar *)key, size);
        g_string_append_printf(out, "\"" JSON_MARK_KEY_BYTES "%s\"", encoded);
    } else if (json_key_is_reserved(key, alone)) {
        g_autofree char *escaped = g_strconcat("$", key, NULL);
        print_text(out, escaped, size + 1);
    } else {
        print_text(out, key, size);
    }
    g_string_append(out, printer->flags & JSON_INDENT ? ": " : ":");
}

static void print_map(Printer *printer, const Value *map) {
    size_t size = value_size(map);
    g_string_append_c(printer->out, '{');
    printer->depth++;
    for (size_t i = 0; i < size; i++) {
        const char *key;
        const Value *item = value_map_at(map, i, &key);
        if (i > 0)
            g_string_append_c(printer->out, ',');
        print_break(printer);
        print_key(printer, key, size == 1);
        print_value(printer, item);
    }
    printer->depth--;
    if (size > 0)
        print_break(printer);
    g_string_append_c(printer->out, '}');
}

static void print_secret(GString *out, const Value *secret) {
    const char *name = value_secret_name(secret);
    g_string_append(out, "{\"" JSON_MARK_SECRET "\":");
    if (name && is_utf8(name, strlen(name)))
        print_text(out, name, strlen(name));
    else
        g_string_append(out, "null");
    g_string_append_c(out, '}');
}

static void print_value(Printer *printer, const Value *value) {
    GString *out = printer->out;
    if (value_is_masked(value) && !(printer->flags & JSON_REVEAL)) {
        print_secret(out, value);
        return;
    }
    switch (value_type(value)) {
    case VALUE_NIL:
        g_string_append(out, "null");
        return;
    case VALUE_BOOL:
        g_string_append(out, value_bool(value) ? "true" : "false");
        return;
    case VALUE_INT:
        print_int(out, value_int(value));
        return;
    case VALUE_FLOAT:
        print_float(out, value_float(value));
        return;
    case VALUE_STRING:
        print_string(out, value_string(value), value_string_size(value));
        return;
    case VALUE_LIST:
        print_list(printer, value);
        return;
    case VALUE_MAP:
        print_map(printer, value);
        return;
    case VALUE_UNKNOWN:
        g_string_append(out, "{\"" JSON_MARK_UNKNOWN "\":true}");
        return;
    }
}

void json_append(GString *out, const Value *value, JsonFlags flags) {
    Printer printer = { out, flags, 0 };
    print_value(&printer, value);
}

char *json_print(const Value *value, JsonFlags flags) {
    GString *out = g_string_new(NULL);
    json_append(out, value, flags);
    return g_string_free(out, FALSE);
}
