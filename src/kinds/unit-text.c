#include "kinds/unit-text.h"

#include <string.h>

#include "base/error.h"
#include "base/suggest.h"
#include "kinds/unit-name.h"

#define TEXT_MAX (1024 * 1024) /* as systemd reads at most */

/* The section a type of unit has to itself, and what its file cannot do without: one of these
 * settings, by their starts. */
static const struct {
    const char *suffix, *section;
    const char *needs[5];
} types[] = {
    { ".service", "Service", { "ExecStart=", "ExecStop=", "SuccessAction=", "BusName=" } },
    { ".socket", "Socket", { "Listen" } },
    { ".timer", "Timer", { "On" } },
    { ".path", "Path", { "Path", "DirectoryNotEmpty=" } },
    { ".mount", "Mount", { "What=" } },
    { ".automount", "Automount", { NULL } },
    { ".swap", "Swap", { "What=" } },
    { ".slice", "Slice", { NULL } },
    { ".scope", "Scope", { NULL } },
};

static const char *own_section(const char *unit) {
    for (size_t i = 0; i < G_N_ELEMENTS(types); i++)
        if (g_str_has_suffix(unit, types[i].suffix))
            return types[i].section;
    return NULL;
}

/* --- checking */

typedef struct {
    const char *unit, *own; /* own: section of the type, or NULL */
    bool in_section, in_own, has_own, has_needed;
    bool goes_on; /* the line before ended with a backslash */
} Check;

static bool bad_section(const Check *check, const char *name, unsigned number, GError **error) {
    const char *known[] = { "Unit", "Install", check->own };
    size_t n_known = check->own != NULL ? 3 : 2;
    for (size_t i = 0; i < n_known; i++)
        if (strcmp(known[i], name) == 0)
            return false;
    if (g_str_has_prefix(name, "X-"))
        return false;
    const char *nearest = suggest_nearest(name, known, n_known);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "line %u: '%s' has no section [%s]%s%s%s",
                number, check->unit, name, nearest != NULL ? ", did you mean [" : "",
                nearest != NULL ? nearest : "", nearest != NULL ? "]?" : "");
    return true;
}

static bool check_section(Check *check, const char *line, unsigned number, GError **error) {
    size_t size = strlen(line);
    if (size < 3 || line[size - 1] != ']') {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "line %u: a section is written [Name], without anything behind it", number);
        return false;
    }
    g_autofree char *name = g_strndup(line + 1, size - 2);
    if (bad_section(check, name, number, error))
        return false;
    check->in_section = true;
    check->in_own = check->own != NULL && strcmp(name, check->own) == 0;
    check->has_own |= check->in_own;
    return true;
}

static bool is_needed(const Check *check, const char *line) {
    for (size_t i = 0; i < G_N_ELEMENTS(types); i++) {
        if (!g_str_has_suffix(check->unit, types[i].suffix))
            continue;
        for (const char *const *start = types[i].needs; *start != NULL; start++)
            if (g_str_has_prefix(line, *start))
                return true;
    }
    return false;
}

static bool check_setting(Check *check, const char *line, unsigned number, GError **error) {
    size_t key = strspn(line, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");
    size_t blanks = strspn(line + key, " \t");
    if (key == 0 || line[key + blanks] != '=') {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "line %u is neither 'Name=value' nor a [Section] nor a comment", number);
        return false;
    }
    if (!check->in_section) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "line %u: a setting stands before the first section", number);
        return false;
    }
    g_autofree char *plain = g_strdup_printf("%.*s=", (int)key, line);
    check->has_needed |= check->in_own && is_needed(check, plain);
    return true;
}

static bool check_line(Check *check, char *line, unsigned number, GError **error) {
    bool ended = g_str_has_suffix(line, "\r");
    const char *start = g_strstrip(line);
    bool comment = *start == '#' || *start == ';';
    if (ended) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "line %u ends with a carriage return, which systemd takes as part of it",
                    number);
        return false;
    }
    bool went_on = check->goes_on;
    if (!comment)
        check->goes_on = g_str_has_suffix(start, "\\");
    if (comment || went_on || *start == '\0')
        return true;
    return *start == '[' ? check_section(check, start, number, error)
                         : check_setting(check, start, number, error);
}

static bool check_whole(const Check *check, GError **error) {
    for (size_t i = 0; i < G_N_ELEMENTS(types); i++) {
        if (check->own == NULL || strcmp(types[i].section, check->own) != 0 ||
            types[i].needs[0] == NULL || check->has_needed)
            continue;
        const char *last = strchr(types[i].needs[0], '=') != NULL ? "" : "...=";
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "'%s' needs a section [%s] with %s%s: systemd would refuse it", check->unit,
                    check->own, types[i].needs[0], last);
        return false;
    }
    return true;
}

bool unit_text_check(const char *text, size_t size, const char *unit, bool drop_in,
                     GError **error) {
    Check check = { .unit = unit, .own = own_section(unit) };
    const char *problem = strlen(text) != size               ? "it holds zero bytes"
                          : size > TEXT_MAX                  ? "it is longer than 1 MiB"
                          : !g_utf8_validate(text, -1, NULL) ? "it is not UTF-8"
                                                             : NULL;
    if (problem != NULL) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "refuse the text of '%s': %s", unit,
                    problem);
        return false;
    }
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (unsigned i = 0; lines[i] != NULL; i++)
        if (!check_line(&check, lines[i], i + 1, error))
            return false;
    return drop_in || check_whole(&check, error);
}

/* --- printing */

static int rank(const char *section) {
    return strcmp(section, "Unit") == 0 ? 0 : strcmp(section, "Install") == 0 ? 2 : 1;
}

static int compare_names(const void *a, const void *b) {
    const char *one = *(const char *const *)a, *other = *(const char *const *)b;
    int order = rank(one) - rank(other);
    return order != 0 ? order : strcmp(one, other);
}

/* Borrowed from the map. */
static GPtrArray *sorted_keys(const Value *map) {
    GPtrArray *keys = g_ptr_array_new();
    for (size_t i = 0; i < value_size(map); i++) {
        const char *key;
        (void)value_map_at(map, i, &key); /* only the name */
        g_ptr_array_add(keys, (char *)(uintptr_t)key);
    }
    g_ptr_array_sort(keys, compare_names);
    return keys;
}

static bool print_scalar(GString *out, const char *key, const Value *value, GError **error) {
    ValueType type = value_type(value);
    if (type == VALUE_BOOL)
        g_string_append_printf(out, "%s=%s\n", key, value_bool(value) ? "true" : "false");
    else if (type == VALUE_INT)
        g_string_append_printf(out, "%s=%" G_GINT64_FORMAT "\n", key, value_int(value));
    else if (type == VALUE_STRING && strpbrk(value_string(value), "\r\n") == NULL &&
             strlen(value_string(value)) == value_string_size(value))
        g_string_append_printf(out, "%s=%s\n", key, value_string(value));
    else {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "settings: %s must be a text of one line, a whole number, true or false, or a "
                    "list of these",
                    key);
        return false;
    }
    return true;
}

static bool print_setting(GString *out, const char *key, const Value *value, GError **error) {
    if (value_type(value) != VALUE_LIST)
        return print_scalar(out, key, value, error);
    for (size_t i = 0; i < value_size(value); i++)
        if (!print_scalar(out, key, value_list_at(value, i), error))
            return false;
    return true;
}

static bool print_section(GString *out, const char *name, const Value *settings, GError **error) {
    bool is_empty = value_type(settings) == VALUE_LIST && value_size(settings) == 0;
    if (value_type(settings) != VALUE_MAP && !is_empty) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "settings: section %s must be a table of settings", name);
        return false;
    }
    g_string_append_printf(out, "\n[%s]\n", name);
    if (is_empty)
        return true;
    g_autoptr(GPtrArray) keys = sorted_keys(settings);
    for (unsigned i = 0; i < keys->len; i++)
        if (!print_setting(out, keys->pdata[i], value_map_get(settings, keys->pdata[i]), error))
            return false;
    return true;
}

char *unit_text_print(const Value *sections, const char *keeper, GError **error) {
    if (value_type(sections) != VALUE_MAP) {
        g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                            "settings must be a table of sections, such as { Service = { Nice = 5 "
                            "} }");
        return NULL;
    }
    g_autoptr(GString) out = g_string_new(NULL);
    g_string_append_printf(out, "# Kept by stead as %s: edit its configuration instead.\n", keeper);
    g_autoptr(GPtrArray) names = sorted_keys(sections);
    for (unsigned i = 0; i < names->len; i++)
        if (!print_section(out, names->pdata[i], value_map_get(sections, names->pdata[i]), error))
            return NULL;
    return g_string_free(g_steal_pointer(&out), FALSE);
}
