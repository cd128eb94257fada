#include "graph/param.h"

#include <limits.h>
#include <math.h>
#include <string.h>

#include "base/printable.h"
#include "base/suggest.h"

#define SHOWN_MAX 60 /* bytes of a wrong text that an error repeats */

typedef Value *(*Converter)(const Param *param, const Value *input, GError **error);

/* --- errors */

static char *show_text(const Value *text) {
    size_t size = value_string_size(text);
    GString *shown = g_string_new("'");
    printable_append(shown, value_string(text), MIN(size, SHOWN_MAX), PRINTABLE_PLAIN);
    g_string_append(shown, size > SHOWN_MAX ? "...'" : "'");
    return g_string_free(shown, FALSE);
}

static char *show_found(const Value *found) {
    if (found && value_is_secret(found))
        return g_strdup("a secret");
    switch (value_type(found)) {
    case VALUE_BOOL:
        return g_strdup(value_bool(found) ? "true" : "false");
    case VALUE_INT:
        return g_strdup_printf("the number %" G_GINT64_FORMAT, value_int(found));
    case VALUE_FLOAT:
        return g_strdup_printf("the number %g", value_float(found));
    case VALUE_STRING:
        return show_text(found);
    case VALUE_LIST:
        return g_strdup("a list");
    case VALUE_MAP:
        return g_strdup("a map");
    case VALUE_NIL:
    case VALUE_UNKNOWN:
        break;
    }
    return g_strdup("nothing");
}

/* remedy (may be NULL) follows the message after a colon. Always returns NULL. */
static Value *refuse(GError **error, const Value *found, const char *expected, const char *remedy) {
    g_autofree char *shown = show_found(found);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "expected %s, found %s%s%s", expected,
                shown, remedy ? ": " : "", remedy ? remedy : "");
    return NULL;
}

static bool has_nul(const Value *text) {
    return memchr(value_string(text), 0, value_string_size(text)) != NULL;
}

/* --- text */

static Value *convert_string(const Param *param, const Value *input, GError **error) {
    ValueType type = value_type(input);
    if (type == VALUE_STRING)
        return value_ref(input);
    if (type == VALUE_INT) {
        g_autofree char *digits = g_strdup_printf("%" G_GINT64_FORMAT, value_int(input));
        return value_new_string(digits);
    }
    const char *remedy = type == VALUE_FLOAT || type == VALUE_BOOL ? "put it in quotes" : NULL;
    return refuse(error, input, "a string", remedy);
}

/* One component after the other; the result is never longer than the input. */
static bool normalise_path(const char *path, char *out, GError **error) {
    size_t used = 0;
    for (const char *at = path; *at;) {
        at += strspn(at, "/");
        size_t length = strcspn(at, "/");
        if (length == 2 && at[0] == '.' && at[1] == '.') {
            g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                        "expected a path without '..', found '%s': write where it leads", path);
            return false;
        }
        if (length > 0 && !(length == 1 && at[0] == '.')) {
            out[used++] = '/';
            memcpy(out + used, at, length);
            used += length;
        }
        at += length;
    }
    if (used == 0 || g_str_has_suffix(path, "/"))
        out[used++] = '/';
    out[used] = 0;
    return true;
}

static Value *convert_path(const Param *param, const Value *input, GError **error) {
    if (value_type(input) != VALUE_STRING || value_string(input)[0] != '/')
        return refuse(error, input, "an absolute path", NULL);
    if (has_nul(input))
        return refuse(error, input, "a path without zero bytes", NULL);
    if (value_string_size(input) >= PATH_MAX)
        return refuse(error, input, "a path shorter than 4096 bytes", NULL);
    char out[PATH_MAX + 1];
    if (!normalise_path(value_string(input), out, error))
        return NULL;
    return strcmp(out, value_string(input)) == 0 ? value_ref(input) : value_new_string(out);
}

static char *list_choices(const char *const *choices) {
    GString *text = g_string_new(choices[1] ? "one of " : NULL);
    for (unsigned i = 0; choices[i]; i++)
        if (*choices[i] != '\0') /* what leaves it unset is nothing to write */
            g_string_append_printf(text, "%s'%s'", i ? ", " : "", choices[i]);
    return g_string_free(text, FALSE);
}

static Value *convert_enum(const Param *param, const Value *input, GError **error) {
    bool is_text = value_type(input) == VALUE_STRING && !has_nul(input);
    if (is_text && g_strv_contains(param->choices, value_string(input)))
        return value_ref(input);
    g_autofree char *expected = list_choices(param->choices);
    g_autofree char *shown = show_found(input);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "expected %s, found %s", expected, shown);
    const char *nearest = NULL;
    if (is_text && !value_is_secret(input))
        nearest = suggest_nearest(value_string(input), param->choices,
                                  g_strv_length((char **)(uintptr_t)param->choices));
    if (nearest && error) {
        g_autofree char *message = g_steal_pointer(&(*error)->message);
        (*error)->message = g_strdup_printf("%s, did you mean '%s'?", message, nearest);
    }
    return NULL;
}

/* --- numbers and booleans */

/* A remedy must not tell what a secret looks like. */
static bool is_shown_text(const Value *input) {
    return value_type(input) == VALUE_STRING && !value_is_secret(input) && !has_nul(input);
}

static const char *remedy_for_bool(const Value *input) {
    static const char *const yes[] = { "true", "yes", "on", NULL };
    static const char *const no[] = { "false", "no", "off", NULL };
    if (!is_shown_text(input))
        return NULL;
    g_autofree char *word = g_ascii_strdown(value_string(input), -1);
    if (g_strv_contains(yes, word))
        return "write true, without quotes";
    return g_strv_contains(no, word) ? "write false, without quotes" : NULL;
}

static const char *remedy_for_number(const Value *input) {
    if (!is_shown_text(input) ||
        !g_ascii_isdigit(value_string(input)[strspn(value_string(input), "-")]))
        return NULL;
    char *end = NULL;
    g_ascii_strtod(value_string(input), &end);
    return *end == '\0' ? "write it without quotes" : NULL;
}

static Value *convert_bool(const Param *param, const Value *input, GError **error) {
    if (value_type(input) == VALUE_BOOL)
        return value_ref(input);
    return refuse(error, input, "true or false", remedy_for_bool(input));
}

static Value *convert_int(const Param *param, const Value *input, GError **error) {
    if (value_type(input) == VALUE_INT)
        return value_ref(input);
    if (value_type(input) == VALUE_FLOAT) {
        double number = value_float(input);
        /* Beyond 2^53 a float no longer says which integer was meant. */
        if (number == floor(number) && fabs(number) <= 9007199254740992.0)
            return value_new_int((int64_t)number);
        return refuse(error, input, "a whole number", NULL);
    }
    return refuse(error, input, "a whole number", remedy_for_number(input));
}

static Value *convert_float(const Param *param, const Value *input, GError **error) {
    if (value_type(input) == VALUE_INT)
        return value_new_float((double)value_int(input));
    if (value_type(input) == VALUE_FLOAT && isfinite(value_float(input)))
        return value_ref(input);
    return refuse(error, input, "a finite number", remedy_for_number(input));
}

/* --- modes */

/* Three to five octal digits up to 07777. */
static bool parse_octal_mode(const char *text, unsigned *ret_mode) {
    size_t length = strlen(text);
    if (length < 3 || length > 5 || strspn(text, "01234567") != length)
        return false;
    unsigned mode = (unsigned)strtoul(text, NULL, 8);
    *ret_mode = mode;
    return mode <= 07777;
}

/* One of "u=rw", "go=", "=r": sets the bits of its classes in *mode. */
static bool parse_mode_clause(const char *clause, unsigned *mode) {
    static const struct {
        char who;
        unsigned mask, read, write, execute, special;
    } classes[] = { { 'u', 04700, 0400, 0200, 0100, 04000 },
                    { 'g', 02070, 0040, 0020, 0010, 02000 },
                    { 'o', 01007, 0004, 0002, 0001, 0 } };
    size_t n_who = strspn(clause, "ugoa");
    if (clause[n_who] != '=')
        return false;
    const char *bits = clause + n_who + 1;
    if (strspn(bits, "rwxst") != strlen(bits))
        return false;
    bool all = n_who == 0 || memchr(clause, 'a', n_who);
    for (unsigned i = 0; i < G_N_ELEMENTS(classes); i++) {
        if (!all && !memchr(clause, classes[i].who, n_who))
            continue;
        *mode &= ~classes[i].mask;
        *mode |= strchr(bits, 'r') ? classes[i].read : 0;
        *mode |= strchr(bits, 'w') ? classes[i].write : 0;
        *mode |= strchr(bits, 'x') ? classes[i].execute : 0;
        *mode |= strchr(bits, 's') ? classes[i].special : 0;
        *mode |= classes[i].who == 'o' && strchr(bits, 't') ? 01000 : 0;
    }
    return true;
}

static bool parse_symbolic_mode(const char *text, unsigned *ret_mode) {
    g_auto(GStrv) clauses = g_strsplit(text, ",", -1);
    unsigned mode = 0;
    for (unsigned i = 0; clauses[i]; i++) {
        if (!parse_mode_clause(clauses[i], &mode))
            return false;
    }
    *ret_mode = mode;
    return clauses[0] != NULL;
}

static Value *convert_mode(const Param *param, const Value *input, GError **error) {
    if (value_type(input) == VALUE_INT || value_type(input) == VALUE_FLOAT)
        return refuse(error, input, "a mode", "write the mode as text, like \"0644\"");
    unsigned mode;
    if (value_type(input) != VALUE_STRING || has_nul(input) ||
        (!parse_octal_mode(value_string(input), &mode) &&
         !parse_symbolic_mode(value_string(input), &mode)))
        return refuse(error, input, "a mode like \"0644\" or \"u=rw,go=r\"", NULL);
    char text[8];
    g_snprintf(text, sizeof text, "%04o", mode);
    return strcmp(text, value_string(input)) == 0 ? value_ref(input) : value_new_string(text);
}

/* --- durations */

static int64_t unit_scale(const char *unit, size_t length) {
    static const struct {
        const char *name;
        int64_t us;
    } units[] = { { "us", 1 },
                  { "ms", 1000 },
                  { "s", G_USEC_PER_SEC },
                  { "m", 60LL * G_USEC_PER_SEC },
                  { "min", 60LL * G_USEC_PER_SEC },
                  { "h", 3600LL * G_USEC_PER_SEC },
                  { "d", 86400LL * G_USEC_PER_SEC },
                  { "w", 7 * 86400LL * G_USEC_PER_SEC } };
    for (unsigned i = 0; i < G_N_ELEMENTS(units); i++) {
        if (strlen(units[i].name) == length && strncmp(units[i].name, unit, length) == 0)
            return units[i].us;
    }
    return 0;
}

typedef enum { DURATION_FINE, DURATION_MALFORMED, DURATION_NO_UNIT, DURATION_TOO_LONG } Duration;

static Duration duration_of_number(double number, const char *unit, int64_t *ret_us) {
    int64_t scale = unit ? unit_scale(unit, strlen(unit)) : 0;
    if (scale == 0 && number != 0)
        return DURATION_NO_UNIT;
    double us = number * (double)scale;
    if (!(us < 9.2e18))
        return DURATION_TOO_LONG;
    *ret_us = llround(us);
    return DURATION_FINE;
}

/* Reads one "1.5h" at *at and adds it to *us. */
static Duration parse_duration_part(const char **at, int64_t *us) {
    size_t whole = strspn(*at, "0123456789");
    size_t number = whole;
    if ((*at)[number] == '.')
        number += 1 + strspn(*at + number + 1, "0123456789");
    const char *unit = *at + number;
    size_t unit_length = strspn(unit, "abcdefghijklmnopqrstuvwxyz");
    int64_t scale = unit_scale(unit, unit_length);
    if (whole == 0 || scale == 0)
        return DURATION_MALFORMED;
    /* Whole part exactly, the fraction rounded to microseconds. */
    guint64 count = g_ascii_strtoull(*at, NULL, 10);
    int64_t part;
    if (__builtin_mul_overflow(count, scale, &part) || __builtin_add_overflow(*us, part, us))
        return DURATION_TOO_LONG;
    if (number > whole) {
        g_autofree char *fraction = g_strndup(*at + whole, number - whole);
        part = llround(g_ascii_strtod(fraction, NULL) * (double)scale);
        if (__builtin_add_overflow(*us, part, us))
            return DURATION_TOO_LONG;
    }
    *at = unit + unit_length;
    return DURATION_FINE;
}

static Duration parse_duration(const char *text, const char *bare_unit, int64_t *ret_us) {
    size_t length = strlen(text);
    if (length > 0 && strspn(text, "0123456789") == length) {
        g_autofree char *with_unit = g_strconcat(text, bare_unit ? bare_unit : "s", NULL);
        const char *at = with_unit;
        int64_t us = 0;
        Duration result = parse_duration_part(&at, &us);
        *ret_us = us;
        return result == DURATION_FINE && us > 0 && !bare_unit ? DURATION_NO_UNIT : result;
    }
    int64_t us = 0;
    Duration result = *text ? DURATION_FINE : DURATION_MALFORMED;
    while (*text && result == DURATION_FINE)
        result = parse_duration_part(&text, &us);
    *ret_us = us;
    return result;
}

static Duration duration_of_int(int64_t number, const char *unit, int64_t *ret_us) {
    int64_t scale = unit ? unit_scale(unit, strlen(unit)) : 0;
    if (scale == 0 && number != 0)
        return DURATION_NO_UNIT;
    return __builtin_mul_overflow(number, scale, ret_us) ? DURATION_TOO_LONG : DURATION_FINE;
}

static Value *convert_duration(const Param *param, const Value *input, GError **error) {
    int64_t us = 0;
    Duration result = DURATION_MALFORMED;
    ValueType type = value_type(input);
    if (type == VALUE_INT || type == VALUE_FLOAT) {
        if (!(value_float(input) >= 0))
            return refuse(error, input, "a duration of zero or more", NULL);
        result = type == VALUE_INT ? duration_of_int(value_int(input), param->unit, &us)
                                   : duration_of_number(value_float(input), param->unit, &us);
    } else if (type == VALUE_STRING && !has_nul(input)) {
        result = parse_duration(value_string(input), param->unit, &us);
    }
    switch (result) {
    case DURATION_FINE:
        return value_new_int(us);
    case DURATION_NO_UNIT:
        return refuse(error, input, "a duration with its unit", "write it like \"10s\"");
    case DURATION_TOO_LONG:
        return refuse(error, input, "a duration below 290000 years", NULL);
    case DURATION_MALFORMED:
        break;
    }
    return refuse(error, input, "a duration like \"500ms\", \"10s\", \"5m\", \"2h\" or \"1d\"",
                  NULL);
}

/* --- lists and maps */

static bool append_string(Value *list, const Value *item, size_t index, GError **error) {
    g_autoptr(Value) text = NULL;
    if (value_type(item) == VALUE_UNKNOWN)
        text = value_ref(item);
    else if (value_type(item) == VALUE_STRING && has_nul(item))
        (void)refuse(error, item, "text without zero bytes", NULL); /* error is what counts */
    else
        text = convert_string(NULL, item, error);
    if (!text) {
        g_prefix_error(error, "item %zu: ", index + 1);
        return false;
    }
    if (value_is_secret(item) && !value_is_secret(text)) {
        g_autoptr(Value) open = g_steal_pointer(&text);
        text = value_as_secret(open, value_secret_name(item));
    }
    value_list_append(list, g_steal_pointer(&text));
    return true;
}

static Value *convert_strings(const Param *param, const Value *input, GError **error) {
    bool is_list = value_type(input) == VALUE_LIST;
    if (!is_list && value_type(input) != VALUE_STRING && value_type(input) != VALUE_INT &&
        !(value_type(input) == VALUE_MAP && value_size(input) == 0))
        return refuse(error, input, "a list of strings", NULL);
    g_autoptr(Value) list = value_new_list();
    size_t n = is_list ? value_size(input) : value_type(input) == VALUE_MAP ? 0 : 1;
    for (size_t i = 0; i < n; i++) {
        if (!append_string(list, is_list ? value_list_at(input, i) : input, i, error))
            return NULL;
    }
    return g_steal_pointer(&list);
}

/* What a map's item looks like as text, or NULL. */
static Value *item_as_text(const Value *item) {
    char digits[G_ASCII_DTOSTR_BUF_SIZE];
    switch (value_type(item)) {
    case VALUE_STRING:
        return has_nul(item) ? NULL : value_ref(item);
    case VALUE_UNKNOWN:
        return value_ref(item);
    case VALUE_BOOL:
        return value_new_string(value_bool(item) ? "true" : "false");
    case VALUE_INT:
        g_snprintf(digits, sizeof digits, "%" G_GINT64_FORMAT, value_int(item));
        return value_new_string(digits);
    case VALUE_FLOAT:
        /* The shortest text that reads back as the same number: 0.1, not 0.10000000000000001. */
        for (int precision = 15; precision <= 17; precision++) {
            char format[8];
            g_snprintf(format, sizeof format, "%%.%dg", precision);
            g_ascii_formatd(digits, sizeof digits, format, value_float(item));
            if (g_ascii_strtod(digits, NULL) == value_float(item))
                break;
        }
        return value_new_string(digits);
    case VALUE_NIL:
    case VALUE_LIST:
    case VALUE_MAP:
        break;
    }
    return NULL;
}

static Value *convert_map(const Param *param, const Value *input, GError **error) {
    /* An empty table of Lua does not say whether it is a list. */
    if (value_type(input) != VALUE_MAP &&
        !(value_type(input) == VALUE_LIST && value_size(input) == 0))
        return refuse(error, input, "a map", NULL);
    g_autoptr(Value) map = value_new_map();
    for (size_t i = 0; i < value_size(input) && value_type(input) == VALUE_MAP; i++) {
        const char *key;
        const Value *item = value_map_at(input, i, &key);
        g_autoptr(Value) text = item_as_text(item);
        if (!text) {
            (void)refuse(error, item, "text or a number", NULL); /* error is what counts */
            g_prefix_error(error, "key '%s': ", key);
            return NULL;
        }
        if (value_is_secret(item) && !value_is_secret(text)) {
            g_autoptr(Value) open = g_steal_pointer(&text);
            text = value_as_secret(open, value_secret_name(item));
        }
        value_map_set(map, key, g_steal_pointer(&text));
    }
    return g_steal_pointer(&map);
}

static Value *convert_any(const Param *param, const Value *input, GError **error) {
    return value_ref(input);
}

/* --- the table */

static const struct {
    const char *name;
    Converter convert;
} types[] = {
    [PARAM_STRING] = { "string", convert_string },
    [PARAM_PATH] = { "path", convert_path },
    [PARAM_BOOL] = { "boolean", convert_bool },
    [PARAM_INT] = { "integer", convert_int },
    [PARAM_FLOAT] = { "number", convert_float },
    [PARAM_ENUM] = { "choice", convert_enum },
    [PARAM_MODE] = { "mode", convert_mode },
    [PARAM_DURATION] = { "duration", convert_duration },
    [PARAM_STRINGS] = { "list of strings", convert_strings },
    [PARAM_MAP] = { "map", convert_map },
    [PARAM_ANY] = { "any", convert_any },
};

/* Takes ownership of converted, which came from input. */
static Value *keep_secrecy(const Param *param, const Value *input, Value *converted) {
    g_autoptr(Value) value = converted;
    if (value_is_masked(value) || value_type(value) == VALUE_UNKNOWN)
        return g_steal_pointer(&value);
    /* A list made of one secret text has it as its item: that is enough. */
    bool lost = !value_is_secret(value) || value_type(value) == value_type(input);
    if (value_is_masked(input) && lost)
        return value_as_secret(value, value_secret_name(input));
    return param->flags & PARAM_SECRET ? value_as_secret(value, NULL) : g_steal_pointer(&value);
}

Value *param_convert(const Param *param, const Value *input, GError **error) {
    g_assert(param->type < G_N_ELEMENTS(types));
    if (value_type(input) == VALUE_UNKNOWN)
        return value_ref(input);
    Value *value = types[param->type].convert(param, input, error);
    return value ? keep_secrecy(param, input, value) : NULL;
}

Value *param_restore(const Param *param, const Value *stored, GError **error) {
    bool is_text = param->type == PARAM_STRING || param->type == PARAM_PATH ||
                   param->type == PARAM_ENUM || param->type == PARAM_MODE;
    if (is_text && value_type(stored) == VALUE_STRING && value_is_secret(stored) &&
        value_string_size(stored) == 0)
        return value_ref(stored);
    if (param->type == PARAM_DURATION && value_type(stored) == VALUE_INT && value_int(stored) >= 0)
        return keep_secrecy(param, stored, value_ref(stored));
    return param_convert(param, stored, error);
}

static Value *parse_fallback(const Param *param) {
    const char *text = param->fallback;
    switch (param->type) {
    case PARAM_BOOL:
        g_assert(g_str_equal(text, "true") || g_str_equal(text, "false"));
        return value_new_bool(g_str_equal(text, "true"));
    case PARAM_INT:
        return value_new_int(g_ascii_strtoll(text, NULL, 10));
    case PARAM_FLOAT:
        return value_new_float(g_ascii_strtod(text, NULL));
    case PARAM_MAP:
        g_assert(*text == 0);
        return value_new_map();
    case PARAM_STRINGS:
        return *text ? value_new_string(text) : value_new_list();
    case PARAM_STRING:
    case PARAM_PATH:
    case PARAM_ENUM:
    case PARAM_MODE:
    case PARAM_DURATION:
    case PARAM_ANY:
        break;
    }
    return value_new_string(text);
}

Value *param_fallback(const Param *param) {
    if (!param->fallback)
        return NULL;
    g_autoptr(Value) input = parse_fallback(param);
    if (param->type == PARAM_BOOL && !(param->flags & PARAM_SECRET))
        return g_steal_pointer(&input); /* most fallbacks of most kinds; nothing to convert */
    g_autoptr(GError) problem = NULL;
    Value *value = param_convert(param, input, &problem);
    g_assert_no_error(problem);
    return value;
}

/* Whether name is one of the words of a space-separated list. */
static bool has_word(const char *words, const char *name) {
    size_t length = strlen(name);
    for (const char *at = words; at && length > 0; at = strchr(at, ' ')) {
        at += strspn(at, " ");
        if (strncmp(at, name, length) == 0 && (at[length] == 0 || at[length] == ' '))
            return true;
    }
    return false;
}

int param_find(const Param *params, size_t n_params, const char *name) {
    for (size_t i = 0; i < n_params; i++) {
        if (strcmp(params[i].name, name) == 0)
            return (int)i;
    }
    for (size_t i = 0; i < n_params; i++) {
        if (params[i].aliases && has_word(params[i].aliases, name))
            return (int)i;
    }
    return -1;
}

const char *param_type_name(ParamType type) {
    g_assert(type < G_N_ELEMENTS(types));
    return types[type].name;
}
