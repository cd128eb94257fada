/* Steps in progress: the intent log, what is interrupted, and what ends. */
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ledger/intent-log.h"
#include "ledger/test-support.h"

static void assert_flushed(Ledger *ledger) {
    GError *error = NULL;
    g_assert_true(ledger_flush(ledger, &error));
    g_assert_no_error(error);
}

static void begin(Ledger *ledger, const char *name, const char *was) {
    g_autoptr(Value) preimage = was ? map_of("was", value_new_string(was)) : NULL;
    GError *error = NULL;
    g_assert_true(ledger_begin(ledger, "file", name, preimage, &error));
    g_assert_no_error(error);
}

static off_t log_size(const Fixture *fixture) {
    g_autofree char *path = fixture_path(fixture, "intent.log");
    struct stat info;
    return stat(path, &info) == 0 ? info.st_size : -1;
}

/* The steps listed as interrupted: "NAME WAS,". */
static void assert_interrupted(Ledger *ledger, const char *expected) {
    const GPtrArray *steps = ledger_interrupted(ledger);
    g_autoptr(GString) all = g_string_new(NULL);
    for (unsigned i = 0; i < steps->len; i++) {
        const LedgerStep *step = steps->pdata[i];
        const char *was = step->preimage ? value_map_string(step->preimage, "was", "?") : "-";
        g_string_append_printf(all, "%s %s,", step->name, was);
    }
    g_assert_cmpstr(all->str, ==, expected);
}

static void test_ended(Fixture *fixture, gconstpointer data) {
    fixture_open(fixture);
    begin(fixture->ledger, "/a", "old");
    g_assert_cmpint(log_size(fixture), >, 0);
    ledger_put(fixture->ledger, sample_entry("/a", 1));
    ledger_end(fixture->ledger, "file", "/a");
    assert_flushed(fixture->ledger);
    g_assert_cmpint(log_size(fixture), ==, 0);
    fixture_reopen(fixture);
    assert_interrupted(fixture->ledger, "");
    ledger_end(fixture->ledger, "file", "/never/begun");
    assert_flushed(fixture->ledger);
}

static void begin_three(Ledger *ledger) {
    begin(ledger, "/b", "old b");
    begin(ledger, "/a", NULL);
    begin(ledger, "/c", "old c");
    begin(ledger, "/b", "half done"); /* a retry: what was there first counts */
    ledger_end(ledger, "file", "/c");
    assert_flushed(ledger);
}

static void test_interrupted(Fixture *fixture, gconstpointer data) {
    fixture_in_killed_process(fixture, begin_three);
    fixture_open(fixture);
    assert_interrupted(fixture->ledger, "/b old b,/a -,");
    fixture_reopen(fixture); /* looking at them is not ending them */
    assert_interrupted(fixture->ledger, "/b old b,/a -,");
    begin(fixture->ledger, "/b", "half done again");
    fixture_reopen(fixture);
    assert_interrupted(fixture->ledger, "/b old b,/a -,");
    begin(fixture->ledger, "/b", NULL);
    ledger_end(fixture->ledger, "file", "/b");
    assert_interrupted(fixture->ledger, "/a -,");
    fixture_reopen(fixture);
    assert_interrupted(fixture->ledger, "/a -,");
    ledger_discard_interrupted(fixture->ledger, "file", "/a");
    assert_interrupted(fixture->ledger, "");
    fixture_reopen(fixture);
    assert_interrupted(fixture->ledger, "");
    g_assert_cmpint(log_size(fixture), ==, 0);
}

static void put_and_begin(Ledger *ledger) {
    ledger_put(ledger, sample_entry("/a", 1)); /* has a preimage */
    LedgerEntry *adopted = sample_entry("/b", 1);
    g_clear_pointer(&adopted->preimage, value_unref);
    ledger_put(ledger, adopted);
    assert_flushed(ledger);
    begin(ledger, "/a", "ours");
    begin(ledger, "/b", "theirs");
}

static void test_preimage_once(Fixture *fixture, gconstpointer data) {
    fixture_in_killed_process(fixture, put_and_begin);
    fixture_open(fixture);
    assert_interrupted(fixture->ledger, "/a -,/b theirs,");
}

/* An end that is queued must not end a begin that comes after it. */
static void end_and_begin(Ledger *ledger) {
    for (int i = 0; i < 100; i++) {
        begin(ledger, "/a", "old");
        ledger_end(ledger, "file", "/a");
    }
    begin(ledger, "/a", "old");
    assert_flushed(ledger);
}

static void test_end_is_not_for_later(Fixture *fixture, gconstpointer data) {
    fixture_in_killed_process(fixture, end_and_begin);
    fixture_open(fixture);
    assert_interrupted(fixture->ledger, "/a old,");
}

static void end_without_flush(Ledger *ledger) {
    begin(ledger, "/a", "old");
    ledger_put(ledger, sample_entry("/a", 1));
    ledger_set_pending(ledger, "file", "/a", "svc", "x", true);
    ledger_end(ledger, "file", "/a");
    assert_flushed(ledger);
    begin(ledger, "/b", "old");
    ledger_put(ledger, sample_entry("/b", 1));
    ledger_end(ledger, "file", "/b");
    /* The process is gone before the batch is due. */
}

static void test_end_needs_commit(Fixture *fixture, gconstpointer data) {
    fixture_in_killed_process(fixture, end_without_flush);
    fixture_open(fixture);
    g_assert_nonnull(ledger_find(fixture->ledger, "file", "/a"));
    g_assert_true(ledger_is_pending(fixture->ledger, "file", "/a", "svc", "x"));
    if (ledger_find(fixture->ledger, "file", "/b"))
        g_test_message("the batch was faster than the end of the process");
    else
        assert_interrupted(fixture->ledger, "/b old,");
}

static void begin_many(Ledger *ledger) {
    g_autofree char *was = g_strnfill(1000, 'x');
    begin(ledger, "/first", "first");
    for (unsigned i = 0; i < 5000; i++) {
        g_autofree char *name = sample_name(i);
        begin(ledger, name, was);
        ledger_end(ledger, "file", name);
        if (i == 2500)
            begin(ledger, "/middle", "middle");
        if (i % 100 == 0)
            assert_flushed(ledger);
    }
    begin(ledger, "/last", "last");
    assert_flushed(ledger);
}

static void test_compaction(Fixture *fixture, gconstpointer data) {
    fixture_in_killed_process(fixture, begin_many);
    g_assert_cmpint(log_size(fixture), <, 2 * INTENT_LOG_COMPACT);
    g_assert_cmpint(log_size(fixture), >, 0);
    fixture_open(fixture);
    assert_interrupted(fixture->ledger, "/first first,/middle middle,/last last,");
}

typedef struct {
    Ledger *ledger;
    unsigned number;
} Beginner;

static gpointer begin_in_thread(gpointer data) {
    const Beginner *beginner = data;
    for (unsigned i = 0; i < 500; i++) {
        g_autofree char *name = g_strdup_printf("/%u/%u", beginner->number, i);
        begin(beginner->ledger, name, name);
    }
    return NULL;
}

static void begin_in_threads(Ledger *ledger) {
    Beginner beginners[4];
    GThread *threads[4];
    for (unsigned i = 0; i < 4; i++) {
        beginners[i] = (Beginner){ ledger, i };
        threads[i] = g_thread_new("beginner", begin_in_thread, &beginners[i]);
    }
    for (unsigned i = 0; i < 4; i++)
        g_thread_join(threads[i]);
}

static void test_threads(Fixture *fixture, gconstpointer data) {
    fixture_in_killed_process(fixture, begin_in_threads);
    fixture_open(fixture);
    const GPtrArray *steps = ledger_interrupted(fixture->ledger);
    g_assert_cmpuint(steps->len, ==, 2000);
    for (unsigned i = 0; i < steps->len; i++) {
        const LedgerStep *step = steps->pdata[i];
        g_assert_cmpstr(value_map_string(step->preimage, "was", ""), ==, step->name);
    }
}

/* --- the file --- */

/* Cuts the log of three steps at every byte: what is whole counts, the rest is ignored, and the
 * next record is read back. */
static void test_torn(Fixture *fixture, gconstpointer data) {
    fixture_in_killed_process(fixture, begin_three);
    g_autofree char *path = fixture_path(fixture, "intent.log");
    g_autofree char *text = NULL;
    gsize size;
    g_assert_true(g_file_get_contents(path, &text, &size, NULL));
    unsigned seen = 0;
    for (gsize cut = 0; cut < size; cut++) {
        write_text(path, text, (gssize)cut);
        fixture_open(fixture);
        unsigned steps = ledger_interrupted(fixture->ledger)->len;
        seen |= 1u << steps;
        begin(fixture->ledger, "/new", "new");
        fixture_reopen(fixture);
        const GPtrArray *now = ledger_interrupted(fixture->ledger);
        g_assert_cmpuint(now->len, ==, steps + 1);
        g_assert_cmpstr(((LedgerStep *)now->pdata[steps])->name, ==, "/new");
        g_clear_pointer(&fixture->ledger, ledger_close);
    }
    g_assert_cmpuint(seen, ==, 0xf); /* none, one, two and three steps were seen */
}

/* After a loss of power the end may be zero bytes. */
static void test_zeros(Fixture *fixture, gconstpointer data) {
    fixture_in_killed_process(fixture, begin_three);
    g_autofree char *path = fixture_path(fixture, "intent.log");
    g_autofree char *text = NULL;
    gsize size;
    g_assert_true(g_file_get_contents(path, &text, &size, NULL));
    memset(text + size - 20, 0, 20);
    text[size - 1] = '\n';
    write_text(path, text, (gssize)size);
    fixture_open(fixture);
    g_assert_cmpuint(ledger_interrupted(fixture->ledger)->len, >, 0);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    ADD_TEST("/steps/ended", test_ended);
    ADD_TEST("/steps/interrupted", test_interrupted);
    ADD_TEST("/steps/preimage-once", test_preimage_once);
    ADD_TEST("/steps/end-is-not-for-later", test_end_is_not_for_later);
    ADD_TEST("/steps/end-needs-commit", test_end_needs_commit);
    ADD_TEST("/steps/compaction", test_compaction);
    ADD_TEST("/steps/threads", test_threads);
    ADD_TEST("/steps/torn", test_torn);
    ADD_TEST("/steps/zeros", test_zeros);
    return g_test_run();
}
