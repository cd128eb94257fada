#include "lang/clock.h"

#include "base/error.h"

static uint64_t at(const char *iso) {
    g_autoptr(GDateTime) time = g_date_time_new_from_iso8601(iso, NULL);
    g_assert_nonnull(time);
    return (uint64_t)g_date_time_to_unix(time) * G_USEC_PER_SEC;
}

static GTimeZone *zone(const char *name) {
    GTimeZone *found = clock_zone(name, NULL);
    g_assert_nonnull(found);
    return found;
}

static int seconds(const char *text) {
    int result;
    g_assert_true(clock_parse_time(text, &result, NULL));
    return result;
}

/* Asks at `now` and expects the answer and the next change ("" for never). */
static void expect_between(const char *zone_name, const char *now, const char *from, const char *to,
                           int value, const char *next) {
    g_autoptr(GTimeZone) z = zone(zone_name);
    ClockAnswer answer = clock_between(z, at(now), seconds(from), seconds(to));
    g_assert_cmpint(answer.value, ==, value);
    g_assert_cmpuint(answer.next_change, ==, *next ? at(next) : 0);
}

static void expect_part(const char *zone_name, const char *now, ClockPart part, int value,
                        const char *next) {
    g_autoptr(GTimeZone) z = zone(zone_name);
    ClockAnswer answer = clock_part(z, at(now), part);
    g_assert_cmpint(answer.value, ==, value);
    g_assert_cmpuint(answer.next_change, ==, at(next));
}

static void test_between(void) {
    expect_between("UTC", "2026-06-01T12:00:00Z", "09:00", "17:00", 1, "2026-06-01T17:00:00Z");
    expect_between("UTC", "2026-06-01T17:00:00Z", "09:00", "17:00", 0, "2026-06-02T09:00:00Z");
    expect_between("UTC", "2026-06-01T08:59:59Z", "09:00", "17:00", 0, "2026-06-01T09:00:00Z");
    expect_between("UTC", "2026-06-01T23:00:00Z", "22:00", "06:00", 1, "2026-06-02T06:00:00Z");
    expect_between("UTC", "2026-06-01T05:59:59Z", "22:00", "06:00", 1, "2026-06-01T06:00:00Z");
    expect_between("+02:00", "2026-06-01T19:59:59Z", "22:00", "06:00", 0, "2026-06-01T20:00:00Z");
    expect_between("UTC", "2026-06-01T12:00:00Z", "00:00", "24:00", 1, "");
    expect_between("UTC", "2026-06-01T12:00:00Z", "18:00", "24:00", 0, "2026-06-01T18:00:00Z");
}

static void test_between_summer_time(void) {
    const char *const berlin = "Europe/Berlin";
    /* A night with 25 hours and one with 23. */
    expect_between(berlin, "2026-10-24T20:30:00Z", "22:00", "06:00", 1, "2026-10-25T05:00:00Z");
    expect_between(berlin, "2026-03-28T22:00:00Z", "22:00", "06:00", 1, "2026-03-29T04:00:00Z");
    /* 02:15 to 02:45 does not exist on 2026-03-29. */
    expect_between(berlin, "2026-03-29T00:30:00Z", "02:15", "02:45", 0, "2026-03-30T00:15:00Z");
    /* The clock jumps into the span: from 02:00 to 03:00. */
    expect_between(berlin, "2026-03-29T00:00:00Z", "02:30", "03:30", 0, "2026-03-29T01:00:00Z");
    expect_between(berlin, "2026-03-29T01:00:00Z", "02:30", "03:30", 1, "2026-03-29T01:30:00Z");
    /* 02:00 to 02:30 comes twice on 2026-10-25. */
    expect_between(berlin, "2026-10-25T00:00:00Z", "02:00", "02:30", 1, "2026-10-25T00:30:00Z");
    expect_between(berlin, "2026-10-25T00:30:00Z", "02:00", "02:30", 0, "2026-10-25T01:00:00Z");
    expect_between(berlin, "2026-10-25T01:00:00Z", "02:00", "02:30", 1, "2026-10-25T01:30:00Z");
}

static void test_parts(void) {
    const char *const berlin = "Europe/Berlin";
    expect_part("UTC", "2026-10-23T12:34:56Z", CLOCK_WEEKDAY, 5, "2026-10-24T00:00:00Z");
    expect_part("UTC", "2026-10-23T12:34:56Z", CLOCK_HOUR, 12, "2026-10-23T13:00:00Z");
    expect_part("UTC", "2026-10-23T12:34:56Z", CLOCK_MINUTE, 34, "2026-10-23T12:35:00Z");
    expect_part("UTC", "2026-10-23T12:34:56Z", CLOCK_DATE, 20261023, "2026-10-24T00:00:00Z");
    expect_part("UTC", "2026-12-31T23:59:59Z", CLOCK_YEAR, 2026, "2027-01-01T00:00:00Z");
    expect_part("UTC", "2026-01-01T00:00:00Z", CLOCK_YEAR, 2026, "2027-01-01T00:00:00Z");
    expect_part("UTC", "2026-01-01T00:00:00Z", CLOCK_WEEK, 1, "2026-01-05T00:00:00Z");
    expect_part(berlin, "2026-10-23T22:30:00Z", CLOCK_DAY, 24, "2026-10-24T22:00:00Z");
    expect_part(berlin, "2026-10-23T22:30:00Z", CLOCK_MONTH, 10, "2026-10-31T23:00:00Z");
    /* The hour from 02:00 to 03:00 that lasts two hours. */
    expect_part(berlin, "2026-10-25T00:10:00Z", CLOCK_HOUR, 2, "2026-10-25T02:00:00Z");
    expect_part("Asia/Kolkata", "2026-10-23T12:00:00Z", CLOCK_HOUR, 17, "2026-10-23T12:30:00Z");
    /* Cuba skips midnight: the day begins at 01:00. */
    expect_part("America/Havana", "2026-03-08T04:00:00Z", CLOCK_DATE, 20260307,
                "2026-03-08T05:00:00Z");
}

/* The answer holds up to the second before next_change and is another one there. */
static void check_exact(GTimeZone *z, uint64_t now, ClockPart part) {
    ClockAnswer answer = clock_part(z, now, part);
    g_assert_cmpuint(answer.next_change, >, now);
    uint64_t minute = 60ull * G_USEC_PER_SEC;
    for (uint64_t t = now; t < answer.next_change; t += minute)
        g_assert_cmpint(clock_part(z, t, part).value, ==, answer.value);
    g_assert_cmpint(clock_part(z, answer.next_change - G_USEC_PER_SEC, part).value, ==,
                    answer.value);
    g_assert_cmpint(clock_part(z, answer.next_change, part).value, !=, answer.value);
}

static void test_exact(void) {
    static const char *const zones[] = { "UTC", "Europe/Berlin", "America/Sao_Paulo",
                                         "Australia/Lord_Howe", "Asia/Beirut" };
    static const char *const days[] = { "2026-03-28T20:17:31Z", "2026-04-04T10:00:00Z",
                                        "2026-10-24T21:45:00Z", "2018-02-17T22:00:00Z" };
    static const ClockPart parts[] = { CLOCK_HOUR, CLOCK_DATE, CLOCK_WEEKDAY };
    for (unsigned i = 0; i < G_N_ELEMENTS(zones); i++) {
        g_autoptr(GTimeZone) z = zone(zones[i]);
        for (unsigned j = 0; j < G_N_ELEMENTS(days); j++)
            for (unsigned k = 0; k < G_N_ELEMENTS(parts); k++)
                check_exact(z, at(days[j]), parts[k]);
    }
}

static void test_instants(void) {
    g_autoptr(GTimeZone) berlin = zone("Europe/Berlin");
    uint64_t instant;
    g_assert_true(clock_parse_instant("2026-12-01 06:00", berlin, &instant, NULL));
    g_assert_cmpuint(instant, ==, at("2026-12-01T05:00:00Z"));
    g_assert_true(clock_parse_instant("2026-07-01", berlin, &instant, NULL));
    g_assert_cmpuint(instant, ==, at("2026-06-30T22:00:00Z"));
    g_assert_true(clock_parse_instant("2026-07-01T10:20:30+05:00", berlin, &instant, NULL));
    g_assert_cmpuint(instant, ==, at("2026-07-01T05:20:30Z"));
    ClockAnswer before = clock_after(instant - 1, instant), after = clock_after(instant, instant);
    g_assert_cmpint(before.value, ==, 0);
    g_assert_cmpuint(before.next_change, ==, instant);
    g_assert_cmpint(after.value, ==, 1);
    g_assert_cmpuint(after.next_change, ==, 0);
}

static void test_refused(void) {
    static const char *const times[] = { "",         "7:00",   "24:01", "25:00", "12:60",
                                         "12:00:60", "12:00 ", "12",    "noon",  "12:00:00:00" };
    static const char *const instants[] = { "",      "2026",       "2026-13-01",   "2026-02-30",
                                            "12:00", "1969-12-31", "2026-12-01 06" };
    g_autoptr(GTimeZone) utc = zone("UTC");
    int result;
    uint64_t instant;
    for (unsigned i = 0; i < G_N_ELEMENTS(times); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_false(clock_parse_time(times[i], &result, &error));
        g_assert_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(instants); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_false(clock_parse_instant(instants[i], utc, &instant, &error));
        g_assert_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG);
    }
    g_assert_null(clock_zone("Europe/Atlantis", NULL));
    g_assert_cmpint(seconds("24:00"), ==, 86400);
    g_assert_cmpint(seconds("23:59:59"), ==, 86399);
}

/* The last day the calendar knows, and far beyond it. */
static void test_extremes(void) {
    g_autoptr(GTimeZone) utc = zone("UTC");
    g_assert_cmpint(clock_part(utc, 0, CLOCK_YEAR).value, ==, 1970);
    g_assert_cmpint(clock_part(utc, UINT64_MAX, CLOCK_YEAR).value, ==, 10000);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/clock/between", test_between);
    g_test_add_func("/clock/between-summer-time", test_between_summer_time);
    g_test_add_func("/clock/parts", test_parts);
    g_test_add_func("/clock/exact", test_exact);
    g_test_add_func("/clock/instants", test_instants);
    g_test_add_func("/clock/refused", test_refused);
    g_test_add_func("/clock/extremes", test_extremes);
    return g_test_run();
}
