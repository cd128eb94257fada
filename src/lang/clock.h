#pragma once
/* What a configuration may ask about the time. Each answer comes with the instant at which it will
 * be another one, exactly, also across daylight-saving changes. Pure: the time is an argument. */
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum {
    CLOCK_YEAR,
    CLOCK_MONTH,   /* 1..12 */
    CLOCK_DAY,     /* of the month, 1..31 */
    CLOCK_WEEK,    /* ISO 8601, 1..53 */
    CLOCK_WEEKDAY, /* 1 is Monday */
    CLOCK_HOUR,
    CLOCK_MINUTE,
    CLOCK_DATE, /* year * 10000 + month * 100 + day */
} ClockPart;

typedef struct {
    int64_t value;
    uint64_t next_change; /* us since the epoch; 0: never within the next 400 days */
} ClockAnswer;

/* now: us since the epoch. */
ClockAnswer clock_part(GTimeZone *zone, uint64_t now, ClockPart part);
/* 1 while the local time of day (seconds, 0..86400) is in [from, to); to before from means past
 * midnight. The two must differ. */
ClockAnswer clock_between(GTimeZone *zone, uint64_t now, int from, int to);
/* 1 from that instant (us since the epoch) on. */
ClockAnswer clock_after(uint64_t now, uint64_t instant);

/* "Europe/Berlin", "UTC", "+02:00". Caller unrefs. */
GTimeZone *clock_zone(const char *name, GError **error);
/* "22:00" or "22:00:30"; "24:00" is the end of the day. */
bool clock_parse_time(const char *text, int *ret_seconds, GError **error);
/* "2026-12-01", "2026-12-01 06:00" or with seconds, local time of zone; or with an offset as in
 * ISO 8601. A local time that a change of clocks skips or repeats gets the offset before it. */
bool clock_parse_instant(const char *text, GTimeZone *zone, uint64_t *ret_instant, GError **error);
const char *clock_weekday_name(int weekday); /* "monday" for 1 */
