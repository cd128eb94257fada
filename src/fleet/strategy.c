#include "fleet/strategy.h"

#include <stddef.h>
#include <string.h>

#include "base/error.h"
#include "base/suggest.h"

#define TEXT_MAX 1000u /* bytes */
#define NO_NAME  "none"

typedef enum { OPTION_COUNT, OPTION_SHARE, OPTION_TIME, OPTION_WORD, OPTION_NAME } OptionType;

typedef struct {
    const char *name;
    OptionType type;
    size_t offset;
    uint64_t least, most;
    const char *fallback;
    const char *const *words; /* of a word: in the order of its enum */
} Option;

static const char *const order_words[] = { "salted", "name", NULL };
static const char *const on_failure_words[] = { "halt", "revert", NULL };

#define DAY 86400
static const Option options[] = {
    { "batch", OPTION_SHARE, offsetof(Strategy, batch), 1, 100000, "10%", NULL },
    { "soak", OPTION_TIME, offsetof(Strategy, soak), 0, 7 * DAY, "60s", NULL },
    { "max-failures", OPTION_COUNT, offsetof(Strategy, max_failures), 0, 100000, "1", NULL },
    { "canaries", OPTION_COUNT, offsetof(Strategy, canaries), 0, 100, "1", NULL },
    { "by", OPTION_NAME, offsetof(Strategy, by), 0, 0, NO_NAME, NULL },
    { "order", OPTION_WORD, offsetof(Strategy, order), 0, 0, "salted", order_words },
    { "timeout", OPTION_TIME, offsetof(Strategy, timeout), 1, 7 * DAY, "10m", NULL },
    { "on-failure", OPTION_WORD, offsetof(Strategy, on_failure), 0, 0, "halt", on_failure_words },
};

static const struct {
    char unit;
    uint64_t seconds;
} units[] = { { 'd', DAY }, { 'h', 3600 }, { 'm', 60 }, { 's', 1 } };

static uint64_t *field(const Option *option, Strategy *strategy) {
    return (uint64_t *)(void *)((char *)strategy + option->offset);
}

/* "'a', 'b'" */
static char *list_words(const char *const *words) {
    GString *out = g_string_new(NULL);
    for (unsigned i = 0; words && words[i]; i++)
        g_string_append_printf(out, "%s'%s'", i ? ", " : "", words[i]);
    return g_string_free(out, FALSE);
}

static bool refuse(const Option *option, const char *value, GError **error) {
    g_autofree char *words = list_words(option->words);
    g_autofree char *least = strategy_print_seconds(option->least);
    g_autofree char *most = strategy_print_seconds(option->most);
    if (option->words)
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "read '%s=%s': it is one of %s",
                    option->name, value, words);
    else if (option->type == OPTION_NAME)
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "read '%s=%s': it is '" NO_NAME "', or the name of a label or fact: up to %u "
                    "letters, digits, '.', '-' and '_'",
                    option->name, value, STRATEGY_BY_MAX);
    else if (option->type == OPTION_TIME)
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "read '%s=%s': it is a time from %s to %s, like '90s', '10m' or '1h'",
                    option->name, value, least, most);
    else
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "read '%s=%s': it is a number from %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT
                    "%s",
                    option->name, value, option->least, option->most,
                    option->type == OPTION_SHARE ? ", or a share like '10%'" : "");
    return false;
}

/* The digits value begins with, and what follows them. */
static bool read_number(const char *value, uint64_t *ret_number, const char **ret_rest) {
    size_t size = strspn(value, "0123456789");
    if (size == 0 || size > 9)
        return false;
    g_autofree char *digits = g_strndup(value, size);
    *ret_number = g_ascii_strtoull(digits, NULL, 10);
    *ret_rest = value + size;
    return true;
}

static bool read_time(const char *rest, uint64_t *number) {
    for (unsigned i = 0; i < G_N_ELEMENTS(units); i++)
        if (rest[0] == units[i].unit && rest[1] == '\0') {
            *number *= units[i].seconds;
            return true;
        }
    return false;
}

static bool read_word(const Option *option, const char *value, uint64_t *ret_number) {
    for (unsigned i = 0; option->words[i]; i++)
        if (strcmp(option->words[i], value) == 0) {
            *ret_number = i;
            return true;
        }
    return false;
}

static bool read_name(const char *value, char ret_name[STRATEGY_BY_MAX + 1]) {
    size_t size =
        strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_");
    if (size == 0 || value[size] != '\0' || size > STRATEGY_BY_MAX)
        return false;
    g_strlcpy(ret_name, strcmp(value, NO_NAME) == 0 ? "" : value, STRATEGY_BY_MAX + 1);
    return true;
}

static bool read_value(const Option *option, const char *value, Strategy *strategy) {
    uint64_t number;
    const char *rest;
    if (option->type == OPTION_NAME)
        return read_name(value, strategy->by);
    if (option->type == OPTION_WORD)
        return read_word(option, value, field(option, strategy));
    if (!read_number(value, &number, &rest))
        return false;
    uint64_t most = option->most;
    if (option->type == OPTION_SHARE) {
        strategy->batch_is_percent = strcmp(rest, "%") == 0;
        if (strategy->batch_is_percent)
            most = 100;
    }
    bool is_whole = option->type == OPTION_TIME ? read_time(rest, &number)
                                                : *rest == '\0' || (option->type == OPTION_SHARE &&
                                                                    strategy->batch_is_percent);
    if (!is_whole || number < option->least || number > most)
        return false;
    *field(option, strategy) = number;
    return true;
}

static const Option *find(const char *name, GError **error) {
    const char *names[G_N_ELEMENTS(options)];
    for (unsigned i = 0; i < G_N_ELEMENTS(options); i++) {
        if (strcmp(options[i].name, name) == 0)
            return &options[i];
        names[i] = options[i].name;
    }
    const char *near = suggest_nearest(name, names, G_N_ELEMENTS(names));
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                "read '%s': there is no such option; %s%s%s", name,
                near ? "did you mean '"
                     : "there are batch, soak, max-failures, canaries, by, "
                       "order, timeout, on-failure",
                near ? near : "", near ? "'?" : "");
    return NULL;
}

static bool read_option(const char *text, unsigned *given, Strategy *strategy, GError **error) {
    const char *equals = strchr(text, '=');
    g_autofree char *name = equals ? g_strndup(text, (size_t)(equals - text)) : g_strdup(text);
    const Option *option = find(g_strstrip(name), error);
    if (!option)
        return false;
    g_autofree char *value = g_strstrip(g_strdup(equals ? equals + 1 : ""));
    unsigned bit = 1u << (option - options);
    if (*given & bit) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "read '%s=%s': it is given twice; leave one away", name, value);
        return false;
    }
    *given |= bit;
    return read_value(option, value, strategy) || refuse(option, value, error);
}

bool strategy_parse(const char *text, Strategy *ret_strategy, GError **error) {
    Strategy strategy = { 0 };
    for (unsigned i = 0; i < G_N_ELEMENTS(options); i++)
        g_assert(read_value(&options[i], options[i].fallback, &strategy));
    unsigned given = 0;
    if (strlen(text) > TEXT_MAX || !g_utf8_validate(text, -1, NULL)) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "read the strategy: it is not UTF-8 of up to %u bytes", TEXT_MAX);
        return false;
    }
    g_auto(GStrv) parts = g_strsplit(text, ",", -1);
    for (unsigned i = 0; parts[i]; i++)
        if (!read_option(parts[i], &given, &strategy, error)) {
            g_prefix_error(error, "read the strategy: option %u: ", i + 1);
            return false;
        }
    *ret_strategy = strategy;
    return true;
}

char *strategy_print_seconds(uint64_t seconds) {
    for (unsigned i = 0; i < G_N_ELEMENTS(units); i++)
        if (seconds >= units[i].seconds && seconds % units[i].seconds == 0)
            return g_strdup_printf("%" G_GUINT64_FORMAT "%c", seconds / units[i].seconds,
                                   units[i].unit);
    return g_strdup("0s");
}

char *strategy_print(const Strategy *strategy) {
    Strategy copy = *strategy;
    GString *out = g_string_new(NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(options); i++) {
        const Option *option = &options[i];
        g_string_append_printf(out, "%s%s=", i ? "," : "", option->name);
        if (option->type == OPTION_NAME) {
            g_string_append(out, *strategy->by ? strategy->by : NO_NAME);
            continue;
        }
        uint64_t number = *field(option, &copy);
        g_autofree char *time = strategy_print_seconds(number);
        if (option->words)
            g_string_append(out, option->words[number]);
        else if (option->type == OPTION_TIME)
            g_string_append(out, time);
        else
            g_string_append_printf(out, "%" G_GUINT64_FORMAT "%s", number,
                                   option->type == OPTION_SHARE && strategy->batch_is_percent ? "%"
                                                                                              : "");
    }
    return g_string_free(out, FALSE);
}

unsigned strategy_batch(const Strategy *strategy, unsigned hosts) {
    uint64_t batch =
        strategy->batch_is_percent ? (hosts * strategy->batch + 99) / 100 : strategy->batch;
    return (unsigned)MAX(batch, 1);
}
