#include "cli/time-text.h"

#include <string.h>

#include "base/error.h"

static const struct {
    char unit;
    int64_t seconds;
} units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 }, { 'w', 604800 } };

static bool parse_ago(const char *text, int64_t *ret_wall_us) {
    char *end;
    gint64 n = g_ascii_strtoll(text, &end, 10);
    if (end == text || n < 0 || !*end || end[1])
        return false;
    for (unsigned i = 0; i < G_N_ELEMENTS(units); i++)
        if (units[i].unit == *end && n < INT32_MAX) {
            *ret_wall_us = g_get_real_time() - n * units[i].seconds * G_USEC_PER_SEC;
            return true;
        }
    return false;
}

bool time_parse(const char *text, int64_t *ret_wall_us, GError **error) {
    if (parse_ago(text, ret_wall_us))
        return true;
    g_autoptr(GTimeZone) zone = g_time_zone_new_local();
    /* A date alone means its midnight; minutes may be the last part. */
    g_autofree char *full =
        strchr(text, 'T') ? g_strdup(text) : g_strconcat(text, "T00:00:00", NULL);
    g_autoptr(GDateTime) time = g_date_time_new_from_iso8601(full, zone);
    if (!time) {
        g_autofree char *with_seconds = g_strconcat(full, ":00", NULL);
        time = g_date_time_new_from_iso8601(with_seconds, zone);
    }
    if (!time) {
        g_set_error(
            error, STEAD_ERROR, STEAD_ERROR_CONFIG,
            "read time '%s': write how long ago (90s, 15m, 2h, 7d) or a date like 2026-01-31T08:00",
            text);
        return false;
    }
    *ret_wall_us = g_date_time_to_unix(time) * G_USEC_PER_SEC;
    return true;
}

char *time_show(int64_t wall_us) {
    g_autoptr(GDateTime) time = g_date_time_new_from_unix_local(wall_us / G_USEC_PER_SEC);
    return time ? g_date_time_format(time, "%Y-%m-%d %H:%M:%S") : g_strdup("?");
}

bool time_span_parse(const char *option, const char *text, int64_t *ret_s, GError **error) {
    char *end;
    guint64 number = g_ascii_strtoull(text, &end, 10);
    int64_t factor = *end == '\0' ? 1 : 0;
    for (unsigned i = 0; i < G_N_ELEMENTS(units); i++)
        if (*end == units[i].unit && end[1] == '\0')
            factor = units[i].seconds;
    if (!g_ascii_isdigit(*text) || factor == 0 || number == 0 || number > 31622400) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "read '%s %s': write seconds, or 15m, 1h, 7d", option, text);
        return false;
    }
    *ret_s = (int64_t)number * factor;
    return true;
}
