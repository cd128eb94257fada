/* The drift journal: kept, filtered, pruned. */
#include "ledger/test-support.h"

#define DAY (INT64_C(24) * 60 * 60 * 1000000)

static void append_row(void *data, const JournalEntry *entry) {
    g_string_append_printf(data, "%" G_GINT64_FORMAT "%s ", entry->time, entry->name);
}

static void assert_journal(Ledger *ledger, const JournalFilter *filter, const char *expected) {
    g_autoptr(GString) rows = g_string_new(NULL);
    GError *error = NULL;
    g_assert_true(ledger_read_journal(ledger, filter, append_row, rows, &error));
    g_assert_no_error(error);
    g_assert_cmpstr(rows->str, ==, expected);
}

static void test_filters(Fixture *fixture, gconstpointer data) {
    fixture_open(fixture);
    for (int i = 1; i <= 6; i++) {
        JournalEntry *entry = sample_journal(i, i % 2 == 0 ? "/even" : "/odd", i <= 2);
        if (i == 5) {
            g_free(entry->kind);
            entry->kind = g_strdup("svc");
        }
        ledger_journal(fixture->ledger, entry);
    }
    for (int round = 0; round < 2; round++) {
        Ledger *ledger = fixture->ledger;
        assert_journal(ledger, &(JournalFilter){ 0 }, "6/even 5/odd 4/even 3/odd 2/even 1/odd ");
        assert_journal(ledger, &(JournalFilter){ .limit = 2 }, "6/even 5/odd ");
        assert_journal(ledger, &(JournalFilter){ .since = 3, .until = 5 }, "5/odd 4/even 3/odd ");
        assert_journal(ledger, &(JournalFilter){ .name = "/odd" }, "5/odd 3/odd 1/odd ");
        assert_journal(ledger, &(JournalFilter){ .kind = "svc" }, "5/odd ");
        assert_journal(ledger, &(JournalFilter){ .kind = "file", .name = "/odd" }, "3/odd 1/odd ");
        assert_journal(ledger, &(JournalFilter){ .only_corrective = true }, "2/even 1/odd ");
        assert_journal(ledger, &(JournalFilter){ .kind = "pkg" }, "");
        fixture_reopen(fixture);
    }
}

/* Newest first by time, also when the clock went back; equal times in the order of writing. */
static void test_order(Fixture *fixture, gconstpointer data) {
    fixture_open(fixture);
    static const struct {
        int64_t time;
        const char *name;
    } rows[] = { { 5, "a" }, { 9, "b" }, { 3, "c" }, { 5, "d" }, { -4, "e" } };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
        ledger_journal(fixture->ledger, sample_journal(rows[i].time, rows[i].name, true));
    assert_journal(fixture->ledger, &(JournalFilter){ 0 }, "9b 5d 5a 3c -4e ");
}

static void check_fields(void *data, const JournalEntry *entry) {
    const JournalEntry *expected = data;
    g_assert_cmpint(entry->time, ==, expected->time);
    g_assert_cmpstr(entry->kind, ==, expected->kind);
    g_assert_cmpstr(entry->name, ==, expected->name);
    g_assert_cmpstr(entry->action, ==, expected->action);
    g_assert_true(entry->corrective == expected->corrective);
    g_assert_true(entry->reported == expected->reported);
    g_assert_cmpint(entry->latency, ==, expected->latency);
    g_assert_cmpstr(entry->who, ==, expected->who);
    g_assert_cmpstr(entry->error, ==, expected->error);
    g_assert_true(value_equal(entry->changes, expected->changes));
}

static JournalEntry *full_journal(void) {
    JournalEntry *entry = sample_journal(1700000000000000, "/a\n\xff", true);
    entry->reported = true;
    entry->who = g_strdup("root (pid 7)");
    entry->error = g_strdup("write '/a': No space left on device");
    entry->latency = -1;
    return entry;
}

static void test_fields(Fixture *fixture, gconstpointer data) {
    g_autoptr(JournalEntry) expected = full_journal();
    fixture_open(fixture);
    ledger_journal(fixture->ledger, full_journal());
    const JournalFilter all = { 0 };
    g_assert_true(ledger_read_journal(fixture->ledger, &all, check_fields, expected, NULL));
    fixture_reopen(fixture);
    g_assert_true(ledger_read_journal(fixture->ledger, &all, check_fields, expected, NULL));
}

typedef struct {
    unsigned n;
    int64_t oldest, newest;
} Range;

static void extend(void *data, const JournalEntry *entry) {
    Range *range = data;
    range->oldest = range->n == 0 ? entry->time : MIN(range->oldest, entry->time);
    range->newest = MAX(range->newest, entry->time);
    range->n++;
}

static Range read_range(Ledger *ledger) {
    Range range = { 0 };
    g_assert_true(ledger_read_journal(ledger, &(JournalFilter){ 0 }, extend, &range, NULL));
    return range;
}

/* 101,000 entries within a day: the newest 100,000 stay, give or take one pruning. */
static void test_keeps_newest(Fixture *fixture, gconstpointer data) {
    fixture_open(fixture);
    for (int i = 1; i <= 101000; i++)
        ledger_journal(fixture->ledger, sample_journal(i, "/a", true));
    g_assert_true(ledger_flush(fixture->ledger, NULL));
    for (int i = 101001; i <= 102000; i++)
        ledger_journal(fixture->ledger, sample_journal(i, "/a", true));
    Range range = read_range(fixture->ledger);
    g_assert_cmpint(range.newest, ==, 102000);
    g_assert_cmpuint(range.n, >=, 100000);
    g_assert_cmpuint(range.n, <=, 100600);
}

/* 20,000 entries over 200 days: those above 90 days go, but never the newest 10,000. */
static void test_drops_old(Fixture *fixture, gconstpointer data) {
    fixture_open(fixture);
    for (int i = 0; i < 20000; i++)
        ledger_journal(fixture->ledger, sample_journal(i * (DAY / 100), "/a", true));
    Range range = read_range(fixture->ledger);
    g_assert_cmpint(range.newest, ==, 19999 * (DAY / 100));
    g_assert_cmpuint(range.n, >=, 10000);
    g_assert_cmpuint(range.n, <=, 10600);
    /* One entry of a clock that is a year ahead must not cost the rest. */
    for (int i = 0; i < 300; i++)
        ledger_journal(fixture->ledger, sample_journal(565 * DAY + i, "/future", true));
    range = read_range(fixture->ledger);
    g_assert_cmpuint(range.n, >=, 10000);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    ADD_TEST("/journal/filters", test_filters);
    ADD_TEST("/journal/order", test_order);
    ADD_TEST("/journal/fields", test_fields);
    ADD_TEST("/journal/keeps-newest", test_keeps_newest);
    ADD_TEST("/journal/drops-old", test_drops_old);
    return g_test_run();
}
