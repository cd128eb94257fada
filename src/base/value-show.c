#include <string.h>

#include "base/printable.h"
#include "base/value.h"

/* A text under construction; bytes beyond limit cannot be part of what is shown. */
typedef struct {
    GString *out;
    size_t limit;
} Show;

static bool show_full(const Show *show) {
    return show->out->len > show->limit;
}

/* A character has at least one byte, and none is shown by less. */
static void show_string(Show *show, const char *text, size_t size) {
    g_string_append_c(show->out, '"');
    printable_append(show->out, text, MIN(size, show->limit), PRINTABLE_QUOTED);
    g_string_append_c(show->out, '"');
}

static void show_float(GString *out, double d) {
    char text[G_ASCII_DTOSTR_BUF_SIZE];
    g_string_append(out, g_ascii_formatd(text, sizeof text, "%.15g", d));
}

static void show_value(Show *show, const Value *value);

static void show_list(Show *show, const Value *list) {
    g_string_append_c(show->out, '[');
    for (size_t i = 0; i < value_size(list) && !show_full(show); i++) {
        if (i > 0)
            g_string_append(show->out, ", ");
        show_value(show, value_list_at(list, i));
    }
    g_string_append_c(show->out, ']');
}

/* Keys that look like names go without quotes. */
static void show_key(Show *show, const char *key) {
    bool plain = *key != '\0';
    for (const char *p = key; *p; p++)
        plain = plain && (g_ascii_isalnum(*p) || strchr("_-./", *p));
    if (plain)
        g_string_append(show->out, key);
    else
        show_string(show, key, strlen(key));
}

static void show_map(Show *show, const Value *map) {
    g_string_append_c(show->out, '{');
    for (size_t i = 0; i < value_size(map) && !show_full(show); i++) {
        const char *key;
        const Value *item = value_map_at(map, i, &key);
        if (i > 0)
            g_string_append(show->out, ", ");
        show_key(show, key);
        g_string_append(show->out, " = ");
        show_value(show, item);
    }
    g_string_append_c(show->out, '}');
}

static void show_value(Show *show, const Value *value) {
    if (value_is_masked(value)) {
        g_string_append(show->out, "(secret)");
        return;
    }
    switch (value_type(value)) {
    case VALUE_NIL:
        g_string_append(show->out, "nil");
        return;
    case VALUE_BOOL:
        g_string_append(show->out, value_bool(value) ? "true" : "false");
        return;
    case VALUE_INT:
        g_string_append_printf(show->out, "%" G_GINT64_FORMAT, value_int(value));
        return;
    case VALUE_FLOAT:
        show_float(show->out, value_float(value));
        return;
    case VALUE_STRING:
        show_string(show, value_string(value), value_string_size(value));
        return;
    case VALUE_LIST:
        show_list(show, value);
        return;
    case VALUE_MAP:
        show_map(show, value);
        return;
    case VALUE_UNKNOWN:
        g_string_append(show->out, "(known after apply)");
        return;
    }
}

char *value_show(const Value *value, size_t max_chars) {
    /* A character has at most 4 bytes, so more than 4 * max_chars bytes are too many characters. */
    size_t limit = max_chars > 0 && max_chars < G_MAXSIZE / 4 ? 4 * max_chars : G_MAXSIZE;
    Show show = { g_string_new(NULL), limit };
    show_value(&show, value);
    if (max_chars > 0 && g_utf8_strlen(show.out->str, (gssize)show.out->len) > (glong)max_chars) {
        const char *cut = g_utf8_offset_to_pointer(show.out->str, (glong)max_chars - 1);
        g_string_truncate(show.out, (gsize)(cut - show.out->str));
        g_string_append(show.out, "…");
    }
    return g_string_free(show.out, FALSE);
}
