#include "kinds/cron-field.h"

#include <string.h>

#include "base/error.h"

const char *const cron_specials[] = { "reboot", "yearly",   "annually", "monthly", "weekly",
                                      "daily",  "midnight", "hourly",   "",        NULL };

static const char *const months[] = { "january",   "february", "march",    "april",
                                      "may",       "june",     "july",     "august",
                                      "september", "october",  "november", "december" };
static const char *const weekdays[] = { "sunday",   "monday", "tuesday", "wednesday",
                                        "thursday", "friday", "saturday" };

static const struct {
    int first, last;
    const char *const *names; /* the first is `first` */
    size_t n_names;
} rules[N_CRON_FIELDS] = {
    [CRON_MINUTE] = { 0, 59, NULL, 0 },
    [CRON_HOUR] = { 0, 23, NULL, 0 },
    [CRON_MONTHDAY] = { 1, 31, NULL, 0 },
    [CRON_MONTH] = { 1, 12, months, G_N_ELEMENTS(months) },
    [CRON_WEEKDAY] = { 0, 7, weekdays, G_N_ELEMENTS(weekdays) },
};

/* At most three digits; -1: no number. */
static int parse_number(const char *text, size_t size) {
    int number = 0;
    if (size == 0 || size > 3)
        return -1;
    for (size_t i = 0; i < size; i++) {
        if (!g_ascii_isdigit(text[i]))
            return -1;
        number = number * 10 + (text[i] - '0');
    }
    return number;
}

/* A number, or a name in full or by its first three letters; -1: neither. */
static int parse_value(CronField field, const char *text, size_t size) {
    for (size_t i = 0; i < rules[field].n_names; i++) {
        const char *name = rules[field].names[i];
        if ((size == 3 || size == strlen(name)) && g_ascii_strncasecmp(name, text, size) == 0)
            return rules[field].first + (int)i;
    }
    return parse_number(text, size);
}

static const char *value_problem(CronField field, int value) {
    static const char *const problems[N_CRON_FIELDS] = {
        [CRON_MINUTE] = "a minute is 0 to 59",
        [CRON_HOUR] = "an hour is 0 to 23",
        [CRON_MONTHDAY] = "a day of the month is 1 to 31",
        [CRON_MONTH] = "a month is 1 to 12, or a name such as 'jan'",
        [CRON_WEEKDAY] = "a weekday is 0 to 7 (0 and 7 are Sunday), or a name such as 'mon'",
    };
    return value < rules[field].first || value > rules[field].last ? problems[field] : NULL;
}

/* "a" or "a-b", up to size bytes; appends it. NULL, or what is wrong. */
static const char *append_range(CronField field, const char *text, size_t size, bool has_step,
                                GString *out) {
    const char *dash = memchr(text, '-', size);
    size_t first_size = dash != NULL ? (size_t)(dash - text) : size;
    int first = parse_value(field, text, first_size);
    const char *problem = value_problem(field, first);
    if (problem != NULL)
        return problem;
    if (dash == NULL) {
        if (has_step)
            return "a step needs a range or '*' before it";
        g_string_append_printf(out, "%d", field == CRON_WEEKDAY ? first % 7 : first);
        return NULL;
    }
    int last = parse_value(field, dash + 1, size - first_size - 1);
    if (field == CRON_WEEKDAY && last == 0 && first > 0)
        last = 7; /* friday to sunday */
    problem = value_problem(field, last);
    if (problem == NULL && last < first)
        problem = "its range ends before it starts";
    if (problem == NULL)
        g_string_append_printf(out, "%d-%d", first, last);
    return problem;
}

static const char *append_item(CronField field, const char *text, GString *out) {
    size_t size = strcspn(text, "/");
    bool has_step = text[size] == '/';
    const char *problem = NULL;
    if (size == 1 && text[0] == '*')
        g_string_append_c(out, '*');
    else if (size == 0)
        problem = "a value is missing";
    else
        problem = append_range(field, text, size, has_step, out);
    if (problem != NULL || !has_step)
        return problem;
    int step = parse_number(text + size + 1, strlen(text + size + 1));
    if (step < 1)
        return "its step must be a number above zero";
    if (step > rules[field].last)
        return "its step is larger than the whole range, so it would run at the start only";
    g_string_append_printf(out, "/%d", step);
    return NULL;
}

char *cron_field_parse(CronField field, const char *text, GError **error) {
    static const char *const names[] = { "minute", "hour", "monthday", "month", "weekday" };
    g_autoptr(GString) out = g_string_new(NULL);
    g_auto(GStrv) items = g_strsplit(text, ",", -1);
    const char *problem = *items == NULL ? "a value is missing" : NULL;
    for (char **item = items; problem == NULL && *item != NULL; item++) {
        if (item > items)
            g_string_append_c(out, ',');
        problem = append_item(field, g_strstrip(*item), out);
    }
    if (problem == NULL)
        return g_string_free(g_steal_pointer(&out), FALSE);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "refuse %s '%s': %s", names[field], text,
                problem);
    return NULL;
}
