#include "lang/clock.h"

#include <string.h>

#include "base/error.h"

enum { MINUTE = 60, HOUR = 3600, DAY = 86400 };
#define HORIZON      (400 * (int64_t)DAY)
#define USEC         G_USEC_PER_SEC
#define EPOCH_JULIAN 719163                  /* GDate's number of 1970-01-01 */
#define LAST_INSTANT ((int64_t)253402300800) /* year 10000 */

/* One question: a part of the local date and time, or whether it lies between two times of day. */
typedef struct {
    GTimeZone *zone;
    bool is_between;
    ClockPart part;
    int from, to;
} Question;

static int64_t floor_to(int64_t value, int64_t step) {
    int64_t rest = value % step;
    return value - (rest < 0 ? rest + step : rest);
}

static int interval_at(GTimeZone *zone, int64_t instant) {
    return g_time_zone_find_interval(zone, G_TIME_TYPE_UNIVERSAL, instant);
}

static int64_t local_at(GTimeZone *zone, int64_t instant) {
    return instant + g_time_zone_get_offset(zone, interval_at(zone, instant));
}

static int64_t date_part(int64_t local, ClockPart part) {
    GDate date;
    g_date_clear(&date, 1);
    g_date_set_julian(&date, (guint32)(floor_to(local, DAY) / DAY + EPOCH_JULIAN));
    switch (part) {
    case CLOCK_YEAR:
        return g_date_get_year(&date);
    case CLOCK_MONTH:
        return g_date_get_month(&date);
    case CLOCK_DAY:
        return g_date_get_day(&date);
    case CLOCK_WEEK:
        return (int64_t)g_date_get_iso8601_week_of_year(&date);
    case CLOCK_WEEKDAY:
        return g_date_get_weekday(&date);
    case CLOCK_DATE:
        return g_date_get_year(&date) * 10000 + (int)g_date_get_month(&date) * 100 +
               g_date_get_day(&date);
    case CLOCK_HOUR:
    case CLOCK_MINUTE:
        break;
    }
    g_assert_not_reached();
}

static int64_t answer_at(const Question *question, int64_t instant) {
    int64_t local = local_at(question->zone, instant);
    int64_t time = local - floor_to(local, DAY);
    if (question->is_between) {
        bool after_from = time >= question->from, before_to = time < question->to;
        return question->from < question->to ? after_from && before_to : after_from || before_to;
    }
    if (question->part == CLOCK_HOUR)
        return time / HOUR;
    if (question->part == CLOCK_MINUTE)
        return time % HOUR / MINUTE;
    return date_part(local, question->part);
}

/* The first local time after `local` at which the answer can change while the offset stays. */
static int64_t next_boundary(const Question *question, int64_t local) {
    if (question->is_between) {
        int64_t midnight = floor_to(local, DAY), best = INT64_MAX;
        const int64_t times[] = { question->from, question->to, question->from + DAY,
                                  question->to + DAY };
        for (unsigned i = 0; i < G_N_ELEMENTS(times); i++)
            if (midnight + times[i] > local)
                best = MIN(best, midnight + times[i]);
        return best;
    }
    int64_t step = question->part == CLOCK_MINUTE ? MINUTE
                   : question->part == CLOCK_HOUR ? HOUR
                                                  : DAY;
    return floor_to(local, step) + step;
}

/* The first instant in (after, until] whose offset interval is not that of `after`; until when
 * there is none. GLib tells intervals but not their borders. */
static int64_t first_transition(GTimeZone *zone, int64_t after, int64_t until) {
    int interval = interval_at(zone, after);
    if (interval_at(zone, until) == interval)
        return until;
    while (until - after > 1) {
        int64_t middle = after + (until - after) / 2;
        if (interval_at(zone, middle) == interval)
            after = middle;
        else
            until = middle;
    }
    return until;
}

/* Walks from one possible change to the next: times of day, and changes of the offset. */
static ClockAnswer ask(const Question *question, uint64_t now_us) {
    int64_t now = (int64_t)MIN(now_us / USEC, (uint64_t)LAST_INSTANT);
    ClockAnswer answer = { .value = answer_at(question, now) };
    for (int64_t instant = now; instant < now + HORIZON;) {
        int64_t local = local_at(question->zone, instant);
        int64_t candidate = instant + (next_boundary(question, local) - local);
        instant = first_transition(question->zone, instant, candidate);
        if (answer_at(question, instant) != answer.value) {
            answer.next_change = (uint64_t)instant * USEC;
            return answer;
        }
    }
    return answer;
}

ClockAnswer clock_part(GTimeZone *zone, uint64_t now, ClockPart part) {
    return ask(&(Question){ .zone = zone, .part = part }, now);
}

ClockAnswer clock_between(GTimeZone *zone, uint64_t now, int from, int to) {
    g_assert(from != to);
    return ask(&(Question){ .zone = zone, .is_between = true, .from = from, .to = to }, now);
}

ClockAnswer clock_after(uint64_t now, uint64_t instant) {
    return now >= instant ? (ClockAnswer){ .value = 1 }
                          : (ClockAnswer){ .value = 0, .next_change = instant };
}

GTimeZone *clock_zone(const char *name, GError **error) {
    GTimeZone *zone = g_time_zone_new_identifier(name);
    if (!zone)
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "no such time zone '%s': write a name like 'Europe/Berlin', 'UTC' or '+02:00'",
                    name);
    return zone;
}

/* Two digits at *text, which then stands behind them. */
static bool two_digits(const char **text, int limit, int *ret) {
    const char *p = *text;
    if (!g_ascii_isdigit(p[0]) || !g_ascii_isdigit(p[1]))
        return false;
    *ret = (p[0] - '0') * 10 + (p[1] - '0');
    *text = p + 2;
    return *ret <= limit;
}

bool clock_parse_time(const char *text, int *ret_seconds, GError **error) {
    int hour = 0, minute = 0, second = 0;
    const char *p = text;
    bool fits = two_digits(&p, 24, &hour) && *p++ == ':' && two_digits(&p, 59, &minute);
    if (fits && *p == ':') {
        p++;
        fits = two_digits(&p, 59, &second);
    }
    int seconds = hour * HOUR + minute * MINUTE + second;
    if (!fits || *p != '\0' || seconds > DAY) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "read '%s' as a time of day: write hours and minutes like '22:00'", text);
        return false;
    }
    *ret_seconds = seconds;
    return true;
}

bool clock_parse_instant(const char *text, GTimeZone *zone, uint64_t *ret_instant, GError **error) {
    g_autofree char *iso = g_strdup(text);
    size_t length = strlen(iso);
    if (length > 10 && iso[10] == ' ')
        iso[10] = 'T';
    const char *tail = length == 10 ? "T00:00:00" : length == 16 ? ":00" : "";
    g_autofree char *full = g_strconcat(iso, tail, NULL);
    g_autoptr(GDateTime) time = g_date_time_new_from_iso8601(full, zone);
    if (!time || g_date_time_to_unix(time) < 0) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "read '%s' as a date and time: write it like '2026-12-01 06:00'", text);
        return false;
    }
    *ret_instant = (uint64_t)g_date_time_to_unix(time) * USEC;
    return true;
}

const char *clock_weekday_name(int weekday) {
    static const char *const names[] = { "monday", "tuesday",  "wednesday", "thursday",
                                         "friday", "saturday", "sunday" };
    g_assert(weekday >= 1 && weekday <= 7);
    return names[weekday - 1];
}
