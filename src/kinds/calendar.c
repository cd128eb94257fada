#include "kinds/calendar.h"

#include <string.h>

#include "base/error.h"
#include "base/suggest.h"

#define YEAR_MIN  1970
#define YEAR_MAX  2199
#define WORDS_MAX 4 /* weekdays, date, time, zone */

static const char *const shorthands[] = {
    "minutely",     "hourly",        "daily",     "monthly",    "weekly",
    "yearly",       "annually",      "quarterly", "biannually", "bi-annually",
    "semiannually", "semi-annually", "anually",   NULL,
};
static const char *const weekdays[] = {
    "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday",
    "mon",    "tue",     "wed",       "thu",      "fri",    "sat",      "sun",
};

/* --- components: numbers, lists, ranges, repetitions --- */

typedef struct {
    const char *name; /* for messages */
    double min, max;
    bool fraction;
} Component;

static const Component year = { "year", YEAR_MIN, YEAR_MAX, false };
static const Component month = { "month", 1, 12, false };
static const Component day = { "day", 1, 31, false };
static const Component hour = { "hour", 0, 23, false };
static const Component minute = { "minute", 0, 59, false };
static const Component second = { "second", 0, 59.999999, true };

static bool read_number(const char **at, bool fraction, double *ret_number) {
    const char *start = *at;
    size_t digits = strspn(start, "0123456789");
    size_t size = digits;
    if (fraction && digits > 0 && start[digits] == '.' && start[digits + 1] != '.')
        size += 1 + strspn(start + digits + 1, "0123456789");
    if (digits == 0 || digits > 9 || start[size - 1] == '.')
        return false;
    g_autofree char *text = g_strndup(start, size);
    *ret_number = g_ascii_strtod(text, NULL);
    *at = start + size;
    return true;
}

static bool in_range(const Component *component, double number) {
    bool short_year = component == &year && number <= 99; /* 70 to 99 are of 1900, others of 2000 */
    return short_year || (number >= component->min && number <= component->max);
}

/* One of a list: "*", "5", "1..5", each with "/3" or without. NULL: fine. */
static const char *item_problem(const Component *component, const char *text) {
    double from, to, step;
    if (*text == '*') {
        text++;
    } else {
        if (!read_number(&text, component->fraction, &from))
            return "it is no number";
        if (!in_range(component, from))
            return "it is out of range";
        bool is_range = g_str_has_prefix(text, "..");
        if (is_range) {
            text += 2;
            if (!read_number(&text, component->fraction, &to) || !in_range(component, to))
                return "its range has no end that fits";
            if (to < from)
                return "its range goes backwards";
        }
    }
    if (*text == '/') {
        text++;
        if (!read_number(&text, component->fraction, &step) || step <= 0)
            return "a '/' is followed by a number above zero";
    }
    return *text == '\0' ? NULL : "there is something behind it";
}

static bool check_component(const Component *component, const char *text, GError **error) {
    g_auto(GStrv) items = g_strsplit(text, ",", -1);
    for (char **item = items; *item != NULL; item++) {
        const char *problem = item_problem(component, *item);
        if (problem == NULL)
            continue;
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "%s '%s': %s", component->name, *item,
                    problem);
        return false;
    }
    if (*items != NULL)
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "a %s is missing", component->name);
    return false;
}

/* --- words --- */

static bool is_weekday(const char *text) {
    for (size_t i = 0; i < G_N_ELEMENTS(weekdays); i++)
        if (g_ascii_strcasecmp(text, weekdays[i]) == 0)
            return true;
    return false;
}

static bool check_weekdays(const char *text, GError **error) {
    g_auto(GStrv) items = g_strsplit(text, ",", -1);
    for (char **item = items; *item != NULL; item++) {
        char *dots = strstr(*item, "..");
        char *dash = dots == NULL ? strchr(*item, '-') : NULL;
        const char *last = dots != NULL ? dots + 2 : dash != NULL ? dash + 1 : NULL;
        g_autofree char *first =
            last != NULL ? g_strndup(*item, (size_t)((dots != NULL ? dots : dash) - *item))
                         : g_strdup(*item);
        if (**item == '\0' && items[1] != NULL && item != items)
            continue; /* a comma at the end */
        const char *wrong = !is_weekday(first) ? first : last && !is_weekday(last) ? last : NULL;
        if (wrong == NULL)
            continue;
        const char *nearest = suggest_nearest(wrong, weekdays, G_N_ELEMENTS(weekdays));
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "'%s' is no day of the week%s%s%s",
                    wrong, nearest ? ", did you mean '" : "", nearest ? nearest : "",
                    nearest ? "'?" : "");
        return false;
    }
    return true;
}

/* [year-]month-day; '~' before the day counts from the end of the month. */
static bool check_date(const char *text, GError **error) {
    const char *tilde = strchr(text, '~');
    g_autofree char *plain = g_strdup(text);
    if (tilde != NULL)
        plain[tilde - text] = '-';
    g_auto(GStrv) parts = g_strsplit(plain, "-", -1);
    unsigned n = g_strv_length(parts);
    if (n != 2 && n != 3) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "'%s' is no date: write year-month-day or month-day, with * for any", text);
        return false;
    }
    return (n == 2 || check_component(&year, parts[0], error)) &&
           check_component(&month, parts[n - 2], error) &&
           check_component(&day, parts[n - 1], error);
}

static bool check_time(const char *text, GError **error) {
    g_auto(GStrv) parts = g_strsplit(text, ":", -1);
    unsigned n = g_strv_length(parts);
    if (n != 2 && n != 3) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "'%s' is no time: write hour:minute or hour:minute:second", text);
        return false;
    }
    return check_component(&hour, parts[0], error) && check_component(&minute, parts[1], error) &&
           (n == 2 || check_component(&second, parts[2], error));
}

static bool has_digit_or_star(const char *text) {
    return strpbrk(text, "0123456789*") != NULL;
}

static bool is_shorthand(const char *text) {
    for (const char *const *word = shorthands; *word != NULL; word++)
        if (g_ascii_strcasecmp(text, *word) == 0)
            return true;
    return false;
}

static bool looks_like_zone(const char *text) {
    return g_ascii_isalpha(*text) && !is_weekday(text) && !is_shorthand(text) &&
           text[strspn(text, "abcdefghijklmnopqrstuvwxyz"
                             "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                             "0123456789_+-/")] == '\0';
}

static bool unknown_word(const char *word, GError **error) {
    const char *nearest = suggest_nearest(word, shorthands, G_N_ELEMENTS(shorthands) - 1);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "'%s' is no part of a time%s%s%s", word,
                nearest ? ", did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
    return false;
}

/* In their order, each at most once. */
static bool check_words(char **words, GError **error) {
    unsigned n = g_strv_length(words), i = 0;
    if (n == 1 && words[0][0] == '@') {
        bool good = words[0][1] != '\0' && words[0][1 + strspn(words[0] + 1, "0123456789")] == '\0';
        return good || unknown_word(words[0], error);
    }
    if (n > 0 && is_shorthand(words[0])) {
        i = 1;
    } else {
        unsigned begin = i;
        if (i < n && !has_digit_or_star(words[i]) && !(n > 1 && i == n - 1)) {
            if (!check_weekdays(words[i], error))
                return false;
            i++;
        }
        if (i < n && has_digit_or_star(words[i]) && strpbrk(words[i], "-~") &&
            !strchr(words[i], ':') && !g_ascii_isalpha(words[i][0])) {
            if (!check_date(words[i], error))
                return false;
            i++;
        }
        if (i < n && strchr(words[i], ':')) {
            if (!check_time(words[i], error))
                return false;
            i++;
        }
        if (i == begin)
            return unknown_word(n > 0 ? words[0] : "", error);
    }
    if (i + 1 == n && looks_like_zone(words[i]))
        i++;
    return i == n || unknown_word(words[i], error);
}

static char **split_words(const char *text) {
    g_auto(GStrv) parts = g_strsplit_set(text, " \t", -1);
    g_autoptr(GStrvBuilder) words = g_strv_builder_new();
    for (char **part = parts; *part != NULL; part++)
        if (**part != '\0')
            g_strv_builder_add(words, *part);
    return g_strv_builder_end(words);
}

bool calendar_check(const char *param, const char *text, GError **error) {
    g_auto(GStrv) words = split_words(text);
    bool good = strpbrk(text, "\r\n") == NULL && g_strv_length(words) <= WORDS_MAX &&
                check_words(words, error);
    if (good)
        return true;
    if (error != NULL && *error == NULL)
        g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                            "it is not one line of at most four words");
    g_prefix_error(error, "refuse %s '%s': ", param, text);
    if (error != NULL) {
        g_autofree char *message = g_steal_pointer(&(*error)->message);
        (*error)->message = g_strdup_printf(
            "%s; examples: \"daily\", \"Mon..Fri 02:30\", \"*-*-01 04:00:00\", see systemd.time(7)",
            message);
    }
    return false;
}

/* --- spans --- */

static bool is_unit(const char *text, size_t size) {
    static const char *const units[] = {
        "",    "us",     "usec",    "ms", "msec",  "s",      "sec",   "second", "seconds", "m",
        "min", "minute", "minutes", "h",  "hr",    "hour",   "hours", "d",      "day",     "days",
        "w",   "week",   "weeks",   "M",  "month", "months", "y",     "year",   "years",
    };
    for (size_t i = 0; i < G_N_ELEMENTS(units); i++)
        if (strlen(units[i]) == size && strncmp(units[i], text, size) == 0)
            return true;
    return false;
}

bool time_span_check(const char *param, const char *text, GError **error) {
    const char *at = text;
    double number, total = 0;
    bool good = true;
    for (at += strspn(at, " \t"); good && *at != '\0'; at += strspn(at, " \t")) {
        good = read_number(&at, true, &number);
        total += good ? number : 0;
        at += strspn(at, " \t");
        size_t size = strspn(at, "abcdefghijklmnopqrstuvwxyzM");
        good = good && is_unit(at, size);
        at += size;
    }
    if (good && total > 0)
        return true;
    g_set_error(
        error, STEAD_ERROR, STEAD_ERROR_CONFIG,
        "refuse %s '%s': write a time above zero such as \"90s\", \"15min\" or \"1h 30min\"", param,
        text);
    return false;
}
