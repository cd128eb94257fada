/* What outlives a process: entries, notifications, retries, the journal; and what leaves the graph.
 */
#include <glib/gstdio.h>
#include <string.h>

#include "engine/engine-test.h"

#define SECOND UINT64_C(1000000)

typedef struct {
    TestRun *run;
    char *dir;
} Fixture;

static void open_ledger(Fixture *fixture) {
    g_autoptr(GError) error = NULL;
    fixture->run->ledger = ledger_open(fixture->dir, LEDGER_WRITE, "test", &error);
    g_assert_no_error(error);
}

static Fixture setup(void) {
    Fixture fixture = { test_run_new(), g_dir_make_tmp("stead-remember-XXXXXX", NULL) };
    open_ledger(&fixture);
    return fixture;
}

static void remove_tree(const char *path) {
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *child = g_build_filename(path, name, NULL);
        remove_tree(child);
    }
    g_assert_cmpint(g_remove(path), ==, 0);
}

static void teardown(Fixture *fixture) {
    test_run_free(fixture->run);
    remove_tree(fixture->dir);
    g_free(fixture->dir);
}

/* What a new process would find: everything but the disk is gone. */
static void restart(Fixture *fixture) {
    TestRun *run = fixture->run;
    engine_free(run->engine);
    run->engine = NULL;
    ledger_close(run->ledger);
    open_ledger(fixture);
    g_string_set_size(run->order, 0);
    g_string_set_size(run->events, 0);
}

static void run_graph(Fixture *fixture, const char *names, const char *edges) {
    test_graph(fixture->run, names, edges);
    test_load(fixture->run);
    test_advance(fixture->run, SECOND);
}

static void test_notification_outlives_process(void) {
    Fixture fixture = setup();
    probe("a")->wrong = 1;
    probe("b")->wrong = 1;
    probe("b")->fail = -1;
    run_graph(&fixture, "a b", "a!b");
    g_assert_cmpint(probe("b")->refreshes, ==, 1);
    restart(&fixture);
    probe("b")->fail = 0;
    probe("b")->refreshes = 0;
    run_graph(&fixture, "a b", "a!b");
    g_assert_cmpint(probe("b")->refreshes, ==, 1);
    restart(&fixture);
    run_graph(&fixture, "a b", "a!b");
    g_assert_cmpint(probe("b")->refreshes, ==, 1); /* delivered once */
    teardown(&fixture);
}

/* Its watch breaks in the middle of the first step, and what it did so far stays: what was there
 * before is known nevertheless. */
static void test_cancelled_step_is_remembered(void) {
    Fixture fixture = setup();
    TestRun *run = fixture.run;
    probe("a")->wrong = 1;
    probe("a")->hold = true;
    test_graph(run, "a", "");
    test_load(run);
    test_advance_real(run, 20000);
    probe("a")->late = true;
    probe_unwatch(probe("a"), "connection lost");
    test_advance_real(run, 40000);
    g_assert_cmpint(probe("a")->cancelled, ==, 1);
    probe("a")->wrong = 0;
    probe_release(probe("a"));
    probe_ready(probe("a"));
    test_advance(run, SECOND);
    g_assert_cmpint(probe("a")->applies, ==, 0);
    const LedgerEntry *entry = ledger_find(run->ledger, "probe", "a");
    g_assert_nonnull(entry);
    g_assert_cmpstr(value_map_string(entry->preimage, "value", ""), ==, "wrong");
    teardown(&fixture);
}

/* Killed between the effect and its record: the effect is there, so the target must be told. */
static void test_interrupted_step_notifies(void) {
    Fixture fixture = setup();
    run_graph(&fixture, "a b", "a!b");
    g_assert_cmpint(probe("b")->refreshes, ==, 0);
    g_assert_true(ledger_begin(fixture.run->ledger, "probe", "a", NULL, NULL));
    restart(&fixture);
    run_graph(&fixture, "a b", "a!b");
    g_assert_cmpint(probe("a")->applies, ==, 0);
    g_assert_cmpint(probe("b")->refreshes, ==, 1);
    restart(&fixture);
    run_graph(&fixture, "a b", "a!b");
    g_assert_cmpint(probe("b")->refreshes, ==, 1);
    teardown(&fixture);
}

/* As a process that is killed in its first step on name leaves it. */
static void begin_first(Fixture *fixture, const char *name) {
    g_autoptr(Value) step = value_new_map();
    Value *before = value_new_map();
    Value *resource = value_new_map();
    value_map_set(before, "exists", value_new_bool(false));
    value_map_set(resource, "kind", value_new_string("probe"));
    value_map_set(resource, "name", value_new_string(name));
    value_map_set(step, "before", before);
    value_map_set(step, "resource", resource);
    g_assert_true(ledger_begin(fixture->run->ledger, "probe", name, step, NULL));
}

/* What was begun for the first time and is not declared any more has no entry, but is ours. */
static void test_interrupted_step_is_undone(void) {
    Fixture fixture = setup();
    run_graph(&fixture, "old d", "");
    begin_first(&fixture, "b");
    begin_first(&fixture, "a");
    restart(&fixture);
    probe("a")->wrong = probe("b")->wrong = probe("old")->wrong = 1;
    run_graph(&fixture, "d", "");
    g_assert_cmpstr(fixture.run->order->str, ==, "a b old");
    g_assert_cmpuint(ledger_count(fixture.run->ledger), ==, 1);
    restart(&fixture);
    probe("a")->wrong = 1;
    run_graph(&fixture, "d", "");
    g_assert_cmpstr(fixture.run->order->str, ==, "");
    teardown(&fixture);
}

/* As above, with a word on what is to become of it when it leaves. */
static void begin_first_with(Fixture *fixture, const char *name, const char *on_remove) {
    const char *kind = *name == '/' ? "place" : "probe";
    g_autoptr(Value) step = value_new_map();
    Value *before = value_new_map(), *resource = value_new_map(), *meta = value_new_map();
    value_map_set(before, "exists", value_new_bool(false));
    value_map_set(meta, "on_remove", value_new_string(on_remove));
    value_map_set(resource, "kind", value_new_string(kind));
    value_map_set(resource, "name", value_new_string(name));
    value_map_set(resource, "meta", meta);
    if (*name == '/') {
        Value *params = value_new_map();
        value_map_set(params, "path", value_new_string(name));
        value_map_set(resource, "params", params);
    }
    value_map_set(step, "before", before);
    value_map_set(step, "resource", resource);
    g_assert_true(ledger_begin(fixture->run->ledger, kind, name, step, NULL));
}

/* What a killed step left is cleared whatever happens to the thing itself, and once only. */
static void test_interrupted_step_is_cleaned(void) {
    Fixture fixture = setup();
    run_graph(&fixture, "d", "");
    begin_first_with(&fixture, "a", "forget");
    begin_first_with(&fixture, "b", "report");
    restart(&fixture);
    probe("a")->wrong = probe("b")->wrong = probe("b")->fail_clean = 1;
    run_graph(&fixture, "d", "");
    g_assert_cmpint(probe("a")->cleans, ==, 1);
    g_assert_cmpint(probe("b")->cleans, ==, 1);
    g_assert_cmpstr(fixture.run->order->str, ==, "");
    g_assert_nonnull(strstr(fixture.run->events->str, "failed:b"));
    g_assert_cmpuint(engine_summary(fixture.run->engine).failed, ==, 1);
    restart(&fixture);
    run_graph(&fixture, "d", "");
    g_assert_cmpint(probe("a")->cleans, ==, 1);
    g_assert_cmpint(probe("b")->cleans, ==, 2);
    g_assert_cmpuint(engine_summary(fixture.run->engine).failed, ==, 0);
    restart(&fixture);
    run_graph(&fixture, "d", "");
    g_assert_cmpint(probe("b")->cleans, ==, 2);
    g_assert_null(ledger_find(fixture.run->ledger, "probe", "a"));
    g_assert_nonnull(ledger_find(fixture.run->ledger, "probe", "b"));
    teardown(&fixture);
}

/* A directory that was begun and left the configuration, but still holds what is in that. */
static void test_interrupted_holder_stays(void) {
    Fixture fixture = setup();
    begin_first_with(&fixture, "/a", "default");
    restart(&fixture);
    run_graph(&fixture, "/a/b", "");
    g_assert_cmpint(probe("/a")->cleans, ==, 1);
    g_assert_cmpstr(fixture.run->order->str, ==, "");
    restart(&fixture);
    probe("/a")->wrong = probe("/a/b")->wrong = 1;
    run_graph(&fixture, "d", "");
    g_assert_cmpuint(ledger_count(fixture.run->ledger), ==, 1);
    g_assert_cmpint(probe("/a")->applies, ==, 1);
    teardown(&fixture);
}

static void load_place(Fixture *fixture, const char *path) {
    test_graph(fixture->run, "/a b", "/a!b");
    test_param(fixture->run, "/a", "path", value_new_string(path));
    test_load(fixture->run);
    test_advance(fixture->run, SECOND);
}

/* One name, another place: what was at the first is undone, and nothing is lost on the way. */
static void test_name_that_means_another_thing(void) {
    for (int live = 0; live < 2; live++) {
        Fixture fixture = setup();
        probe("/a")->wrong = 1;
        load_place(&fixture, "/old");
        g_assert_cmpint(probe("b")->refreshes, ==, 1);
        ledger_set_pending(fixture.run->ledger, "place", "/a", "probe", "b", true);
        if (!live)
            restart(&fixture);
        g_string_set_size(fixture.run->order, 0);
        probe("/a")->wrong = live; /* else only the ledger knows that b is to be told */
        probe("/old")->wrong = 1;
        load_place(&fixture, "/new");
        g_assert_nonnull(strstr(fixture.run->order->str, "/old"));
        g_assert_cmpint(probe("b")->refreshes, ==, 2);
        g_assert_cmpuint(engine_summary(fixture.run->engine).removed, ==, 1);
        g_assert_cmpuint(ledger_count(fixture.run->ledger), ==, 2);
        restart(&fixture);
        probe("/old")->wrong = 1;
        load_place(&fixture, "/new/"); /* a slash at the end is the same place */
        g_assert_cmpstr(fixture.run->order->str, ==, "");
        teardown(&fixture);
    }
}

/* Killed in the first step on a place that its name does not mean any more. */
static void test_interrupted_name_that_means_another_thing(void) {
    Fixture fixture = setup();
    begin_first_with(&fixture, "/a", "default");
    restart(&fixture);
    probe("/a (2)")->wrong = 1;
    load_place(&fixture, "/new");
    g_assert_cmpint(probe("/a")->cleans, ==, 1);
    g_assert_cmpint(probe("/a (2)")->applies, ==, 1); /* "/a" is taken by the new one */
    g_assert_cmpuint(ledger_count(fixture.run->ledger), ==, 2);
    teardown(&fixture);
}

/* Two names change hands: nothing is undone. */
static void test_exchanged_names(void) {
    Fixture fixture = setup();
    test_graph(fixture.run, "/a /b", "");
    test_load(fixture.run);
    test_advance(fixture.run, SECOND);
    restart(&fixture);
    test_graph(fixture.run, "/a /b", "");
    test_param(fixture.run, "/a", "path", value_new_string("/b"));
    test_param(fixture.run, "/b", "path", value_new_string("/a"));
    test_load(fixture.run);
    test_advance(fixture.run, SECOND);
    g_assert_cmpuint(engine_summary(fixture.run->engine).removed, ==, 0);
    g_assert_cmpuint(ledger_count(fixture.run->ledger), ==, 2);
    const LedgerEntry *entry = ledger_find(fixture.run->ledger, "place", "/a");
    const Value *params = value_map_get(entry->resource, "params");
    g_assert_cmpstr(value_map_string(params, "path", ""), ==, "/b");
    teardown(&fixture);
}

/* One that is not undone does not break the order of the others. */
static void test_interrupted_order_past_forgotten(void) {
    Fixture fixture = setup();
    run_graph(&fixture, "old d", "");
    begin_first(&fixture, "a");
    begin_first_with(&fixture, "f", "forget");
    begin_first(&fixture, "b");
    restart(&fixture);
    probe("a")->wrong = probe("b")->wrong = probe("old")->wrong = 1;
    run_graph(&fixture, "d", "");
    g_assert_cmpstr(fixture.run->order->str, ==, "b a old");
    teardown(&fixture);
}

/* Begun for the first time once more, while what needed it has not left yet: that one goes first.
 */
static void test_interrupted_order_is_a_guess(void) {
    Fixture fixture = setup();
    run_graph(&fixture, "base unit svc d", "base>unit unit>svc");
    ledger_forget(fixture.run->ledger, "probe", "unit");
    begin_first(&fixture, "unit");
    restart(&fixture);
    probe("base")->wrong = probe("unit")->wrong = probe("svc")->wrong = 1;
    run_graph(&fixture, "d", "");
    g_assert_cmpstr(fixture.run->order->str, ==, "svc unit base");
    teardown(&fixture);
}

/* It was being made when the configuration that lacks it came. */
static void test_removal_of_what_was_in_flight(void) {
    Fixture fixture = setup();
    probe("a")->wrong = 1;
    probe("a")->hold = true;
    test_graph(fixture.run, "a b", "");
    test_load(fixture.run);
    test_advance_real(fixture.run, SECOND / 10);
    test_graph(fixture.run, "b", "");
    test_load(fixture.run);
    probe_release(probe("a"));
    test_advance(fixture.run, SECOND);
    g_assert_cmpstr(fixture.run->order->str, ==, "a");
    g_assert_cmpuint(ledger_count(fixture.run->ledger), ==, 1);
    g_assert_cmpint(probe("a")->unwatches, ==, probe("a")->watches);
    teardown(&fixture);
}

static void test_retries_outlive_process(void) {
    Fixture fixture = setup();
    probe("a")->wrong = 1;
    probe("a")->fail = -1;
    for (int i = 0; i < 2; i++) {
        test_graph(fixture.run, "a", "");
        test_meta(fixture.run, "a", "retry", value_new_int(3));
        test_meta(fixture.run, "a", "delay", value_new_int(1000));
        test_load(fixture.run);
        test_advance(fixture.run, SECOND * 3 / 2);
        restart(&fixture);
    }
    /* Two tries by the first process, which used up two retries; two by the second. */
    g_assert_cmpint(probe("a")->applies, ==, 4);
    teardown(&fixture);
}

static void test_removal_in_reverse_order(void) {
    Fixture fixture = setup();
    run_graph(&fixture, "a b c", "a>b b>c");
    restart(&fixture);
    probe("a")->wrong = probe("b")->wrong = probe("c")->wrong = 1;
    run_graph(&fixture, "d", "");
    g_assert_cmpstr(fixture.run->order->str, ==, "c b a");
    g_assert_cmpuint(engine_summary(fixture.run->engine).removed, ==, 3);
    g_assert_cmpuint(ledger_count(fixture.run->ledger), ==, 1);
    restart(&fixture);
    run_graph(&fixture, "d", "");
    g_assert_cmpstr(fixture.run->order->str, ==, "");
    teardown(&fixture);
}

static void spoil(const char *names) {
    g_auto(GStrv) list = g_strsplit(names, " ", -1);
    for (char **name = list; *name; name++)
        probe(*name)->wrong = 1;
}

/* Several that left are undone in one go, apart from those that came, and in order. */
static void test_removals_are_grouped(void) {
    Fixture fixture = setup();
    const char *old = "service crowd-a crowd-b crowd-c base", *new = "crowd-x crowd-y crowd-z";
    run_graph(&fixture, old, "base>crowd-b crowd-a>service crowd-b>service");
    restart(&fixture);
    spoil(old);
    spoil(new);
    run_graph(&fixture, new, "");
    for (const char *const *name = (const char *const[]){ "crowd-a", "crowd-c", "crowd-x", NULL };
         *name; name++)
        g_assert_cmpuint(probe(*name)->company, ==, 3);
    const char *order = fixture.run->order->str;
    g_assert_cmpuint(strstr(order, "service") - order, <, strstr(order, "crowd-a") - order);
    g_assert_cmpuint(strstr(order, "crowd-b") - order, <, strstr(order, "base") - order);
    g_assert_cmpuint(engine_summary(fixture.run->engine).removed, ==, 5);
    g_assert_cmpuint(ledger_count(fixture.run->ledger), ==, 3);
    teardown(&fixture);
}

/* Live, too; and what comes back by another hand afterwards is left alone. */
static void test_removal_at_swap(void) {
    Fixture fixture = setup();
    run_graph(&fixture, "a b", "");
    probe("a")->wrong = 1;
    run_graph(&fixture, "b", "");
    g_assert_cmpstr(fixture.run->order->str, ==, "a");
    g_assert_cmpint(probe("a")->unwatches, ==, probe("a")->watches);
    teardown(&fixture);
}

static void test_staying_goes_before_removed(void) {
    Fixture fixture = setup();
    run_graph(&fixture, "a b", "a>b");
    restart(&fixture);
    probe("a")->wrong = probe("b")->wrong = 1;
    run_graph(&fixture, "b", ""); /* b needed a: it lets go first */
    g_assert_cmpstr(fixture.run->order->str, ==, "b a");
    teardown(&fixture);
}

static void test_protected(void) {
    Fixture fixture = setup();
    test_graph(fixture.run, "a b", "");
    test_meta(fixture.run, "a", "protect", value_new_bool(true));
    test_load(fixture.run);
    test_advance(fixture.run, SECOND);
    test_graph(fixture.run, "b", "");
    g_autoptr(GPtrArray) problems = g_ptr_array_new();
    g_assert_true(graph_seal(fixture.run->graph, problems));
    g_autoptr(GError) error = NULL;
    g_assert_false(engine_load(fixture.run->engine, fixture.run->graph, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED);
    g_assert_true(strstr(error->message, "protect = true in test and") != NULL);
    g_autofree char *state = test_state(fixture.run, "a");
    g_assert_cmpstr(state, ==, "ok"); /* the running graph stays */
    teardown(&fixture);
}

static void test_forget_and_report(void) {
    Fixture fixture = setup();
    test_graph(fixture.run, "a b c", "");
    test_meta(fixture.run, "a", "on_remove", value_new_string("forget"));
    test_meta(fixture.run, "b", "on_remove", value_new_string("report"));
    test_load(fixture.run);
    test_advance(fixture.run, SECOND);
    restart(&fixture);
    probe("a")->wrong = probe("b")->wrong = 1;
    run_graph(&fixture, "c", "");
    g_assert_cmpstr(fixture.run->order->str, ==, "");
    g_assert_true(strstr(fixture.run->events->str, "reported:b") != NULL);
    g_assert_null(ledger_find(fixture.run->ledger, "probe", "a"));
    g_assert_nonnull(ledger_find(fixture.run->ledger, "probe", "b"));
    teardown(&fixture);
}

typedef struct {
    unsigned corrective, intended;
} Journal;

static void count_journal(void *data, const JournalEntry *entry) {
    Journal *journal = data;
    if (entry->corrective)
        journal->corrective++;
    else
        journal->intended++;
}

static void test_drift_and_intent(void) {
    Fixture fixture = setup();
    probe("a")->wrong = 1;
    run_graph(&fixture, "a", ""); /* intended: it is new */
    probe("a")->wrong = 1;
    probe_event(probe("a"));
    test_advance(fixture.run, SECOND); /* drift */
    restart(&fixture);
    probe("a")->wrong = 1;
    run_graph(&fixture, "a", ""); /* drift that happened while nobody looked */
    test_graph(fixture.run, "a", "");
    test_param(fixture.run, "a", "value", value_new_string("new"));
    probe("a")->wrong = 1;
    test_load(fixture.run);
    test_advance(fixture.run, SECOND); /* intended: the definition changed */
    Journal journal = { 0 };
    JournalFilter filter = { .kind = "probe", .name = "a" };
    g_assert_true(ledger_read_journal(fixture.run->ledger, &filter, count_journal, &journal, NULL));
    g_assert_cmpuint(journal.corrective, ==, 2);
    g_assert_cmpuint(journal.intended, ==, 2);
    teardown(&fixture);
}

static Journal journal_of(const Fixture *fixture, const char *name) {
    Journal journal = { 0 };
    JournalFilter filter = { .kind = "probe", .name = name };
    g_assert_true(
        ledger_read_journal(fixture->run->ledger, &filter, count_journal, &journal, NULL));
    return journal;
}

/* What never was right cannot have drifted, whoever tries it next. */
static void test_first_failure_is_no_drift(void) {
    Fixture fixture = setup();
    probe("a")->wrong = 1;
    probe("a")->fail = 2;
    run_graph(&fixture, "a", "");
    engine_retry_failed(fixture.run->engine);
    probe("a")->wrong = 1;
    test_advance(fixture.run, SECOND); /* fails again */
    restart(&fixture);
    g_assert_nonnull(ledger_find(fixture.run->ledger, "probe", "a"));
    probe("a")->wrong = 1;
    run_graph(&fixture, "a", "");
    g_assert_cmpint(probe("a")->applies, ==, 3);
    Journal journal = journal_of(&fixture, "a");
    g_assert_cmpuint(journal.intended, ==, 3);
    g_assert_cmpuint(journal.corrective, ==, 0);
    probe("a")->wrong = 1;
    probe("a")->fail = 1;
    probe_event(probe("a"));
    test_advance(fixture.run, SECOND); /* drift whose repair fails */
    restart(&fixture);
    probe("a")->wrong = 1;
    run_graph(&fixture, "a", ""); /* ... is drift still */
    g_assert_cmpuint(journal_of(&fixture, "a").corrective, ==, 2);
    teardown(&fixture);
}

/* What is done at each look was not wrong. */
static void test_routine_is_no_drift(void) {
    Fixture fixture = setup();
    probe("a")->wrong = 1;
    probe("a")->routine = true;
    run_graph(&fixture, "a", "");
    probe("a")->wrong = 1;
    probe_event(probe("a"));
    test_advance(fixture.run, SECOND);
    Journal journal = journal_of(&fixture, "a");
    g_assert_cmpuint(journal.corrective, ==, 0);
    g_assert_cmpuint(journal.intended, ==, 2);
    teardown(&fixture);
}

/* What a notification makes run is asked for, not drift. */
static void test_refresh_is_no_drift(void) {
    Fixture fixture = setup();
    run_graph(&fixture, "a b", "a!b");
    probe("a")->wrong = 1;
    probe_event(probe("a"));
    test_advance(fixture.run, SECOND);
    g_assert_cmpint(probe("b")->refreshes, ==, 1);
    Journal journal = { 0 };
    JournalFilter filter = { .kind = "probe", .name = "b" };
    g_assert_true(ledger_read_journal(fixture.run->ledger, &filter, count_journal, &journal, NULL));
    g_assert_cmpuint(journal.corrective, ==, 0);
    g_assert_cmpuint(journal.intended, ==, 1);
    teardown(&fixture);
}

static void test_flapping_backs_off(void) {
    Fixture fixture = setup();
    fixture.run->options.flap_limit = 10;
    run_graph(&fixture, "a b", "");
    for (int i = 0; i < 200; i++) {
        probe("a")->wrong = 1;
        probe_event(probe("a"));
        test_advance(fixture.run, SECOND / 10);
    }
    int fixes = probe("a")->applies;
    g_assert_cmpint(fixes, >=, 11);
    g_assert_cmpint(fixes, <=, 17); /* 11 at once, then after 1, 2, 4, 8 s */
    g_assert_true(strstr(fixture.run->events->str, "flapping:a") != NULL);
    test_advance(fixture.run, 600 * SECOND);
    probe("a")->wrong = 1;
    probe_event(probe("a"));
    test_advance(fixture.run, 600 * SECOND);
    g_assert_cmpint(probe("a")->wrong, ==, 0); /* it went on */
    probe("a")->wrong = 1;
    probe_event(probe("a"));
    test_advance(fixture.run, SECOND / 10);
    g_assert_cmpint(probe("a")->wrong, ==, 0); /* quiet for long: at once again */
    teardown(&fixture);
}

/* Each try of a plan or noop run leaves the ledger as it was. */
static void test_noop_remembers_nothing(void) {
    Fixture fixture = setup();
    fixture.run->options.noop = true;
    probe("a")->wrong = 1;
    run_graph(&fixture, "a b", "a!b");
    g_assert_cmpuint(ledger_count(fixture.run->ledger), ==, 0);
    g_assert_cmpint(probe("a")->applies, ==, 0);
    teardown(&fixture);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/remember/cancelled-step", test_cancelled_step_is_remembered);
    g_test_add_func("/remember/notification", test_notification_outlives_process);
    g_test_add_func("/remember/interrupted-step", test_interrupted_step_notifies);
    g_test_add_func("/remember/interrupted-step-undone", test_interrupted_step_is_undone);
    g_test_add_func("/remember/interrupted-step-cleaned", test_interrupted_step_is_cleaned);
    g_test_add_func("/remember/interrupted-holder", test_interrupted_holder_stays);
    g_test_add_func("/remember/name-means-another", test_name_that_means_another_thing);
    g_test_add_func("/remember/interrupted-name-means-another",
                    test_interrupted_name_that_means_another_thing);
    g_test_add_func("/remember/exchanged-names", test_exchanged_names);
    g_test_add_func("/remember/interrupted-order", test_interrupted_order_past_forgotten);
    g_test_add_func("/remember/interrupted-order-guessed", test_interrupted_order_is_a_guess);
    g_test_add_func("/remember/removal-of-what-was-in-flight", test_removal_of_what_was_in_flight);
    g_test_add_func("/remember/retries", test_retries_outlive_process);
    g_test_add_func("/remember/removal-order", test_removal_in_reverse_order);
    g_test_add_func("/remember/removals-grouped", test_removals_are_grouped);
    g_test_add_func("/remember/removal-at-swap", test_removal_at_swap);
    g_test_add_func("/remember/staying-first", test_staying_goes_before_removed);
    g_test_add_func("/remember/protected", test_protected);
    g_test_add_func("/remember/forget-and-report", test_forget_and_report);
    g_test_add_func("/remember/drift-and-intent", test_drift_and_intent);
    g_test_add_func("/remember/first-failure-is-no-drift", test_first_failure_is_no_drift);
    g_test_add_func("/remember/routine-is-no-drift", test_routine_is_no_drift);
    g_test_add_func("/remember/refresh-is-no-drift", test_refresh_is_no_drift);
    g_test_add_func("/remember/flapping", test_flapping_backs_off);
    g_test_add_func("/remember/noop", test_noop_remembers_nothing);
    return g_test_run();
}
