/* The engine's rules, one test each, in virtual time. */
#include <locale.h>
#include <string.h>

#include "engine/engine-test.h"

#define SECOND UINT64_C(1000000)

static void assert_state(TestRun *run, const char *name, const char *state) {
    g_autofree char *found = test_state(run, name);
    g_assert_cmpstr(found, ==, state);
}

static void make_wrong(const char *names) {
    g_auto(GStrv) list = g_strsplit(names, " ", -1);
    for (char **name = list; *name; name++)
        probe(*name)->wrong = 1;
}

/* No check may run before the watch is armed, whatever the neighbours say. */
static void test_startup_gate(void) {
    TestRun *run = test_run_new();
    make_wrong("a b");
    probe("b")->late = true;
    test_graph(run, "a b", "a!b");
    test_load(run);
    test_advance(run, SECOND);
    g_assert_cmpint(probe("a")->applies, ==, 1);
    g_assert_cmpint(probe("b")->looks, ==, 0);
    g_assert_false(engine_is_converged(run->engine));
    probe_ready(probe("b"));
    test_advance(run, SECOND);
    g_assert_cmpint(probe("b")->looks, ==, 1);
    g_assert_cmpint(probe("b")->refreshes, ==, 1);
    g_assert_true(engine_is_converged(run->engine));
    test_run_free(run);
}

static void test_order(void) {
    TestRun *run = test_run_new();
    run->options.parallel = 4;
    make_wrong("a b c d e");
    test_graph(run, "e d c b a", "a>b b>c a>d d>c c>e");
    test_load(run);
    test_advance(run, SECOND);
    g_assert_true(g_str_has_prefix(run->order->str, "a "));
    g_assert_true(g_str_has_suffix(run->order->str, " c e"));
    test_run_free(run);
}

/* An event on a late vertex waits for a dirty ancestor, also through a clean one between them. */
static void test_dirty_ancestor_first(void) {
    TestRun *run = test_run_new();
    test_graph(run, "a b c", "a>b b>c");
    test_load(run);
    test_advance(run, SECOND);
    make_wrong("a c");
    probe("a")->hold = true;
    probe_event(probe("a"));
    probe_event(probe("c"));
    test_advance_real(run, 20000);
    g_assert_cmpint(probe("c")->applies, ==, 0);
    probe_release(probe("a"));
    test_advance(run, SECOND);
    g_assert_cmpstr(run->order->str, ==, "a c");
    g_assert_cmpint(probe("b")->looks, ==, 1); /* clean: not looked at again */
    test_run_free(run);
}

/* Of two predecessors the first to finish does not start the successor. */
static void test_poke_only_eligible(void) {
    TestRun *run = test_run_new();
    make_wrong("a b c");
    probe("b")->hold = true;
    test_graph(run, "a b c", "a>c b>c");
    test_load(run);
    test_advance_real(run, 20000);
    g_assert_cmpint(probe("a")->applies, ==, 1);
    g_assert_cmpint(probe("c")->looks, ==, 0);
    probe_release(probe("b"));
    test_advance(run, SECOND);
    g_assert_cmpint(probe("c")->looks, ==, 1);
    test_run_free(run);
}

/* A refresh that its target could not take stays until it can. */
static void test_notify_survives_failure(void) {
    TestRun *run = test_run_new();
    make_wrong("a b");
    probe("b")->fail = 2;
    test_graph(run, "a b", "a!b");
    test_meta(run, "b", "retry", value_new_int(3));
    test_meta(run, "b", "delay", value_new_int(1000));
    test_load(run);
    test_advance(run, 10 * SECOND);
    g_assert_cmpint(probe("b")->applies, ==, 3);
    g_assert_cmpint(probe("b")->refreshes, ==, 3);
    probe_event(probe("b"));
    test_advance(run, SECOND);
    g_assert_cmpint(probe("b")->applies, ==, 3); /* delivered: nothing more to do */
    test_run_free(run);
}

/* The bit is on the edge: it survives a swap that keeps the edge. */
static void test_notify_survives_swap(void) {
    TestRun *run = test_run_new();
    make_wrong("a b");
    probe("b")->fail = -1;
    test_graph(run, "a b", "a!b");
    test_load(run);
    test_advance(run, SECOND);
    assert_state(run, "b", "failed");
    probe("b")->fail = 0;
    probe("b")->refreshes = 0;
    test_graph(run, "a b c", "a!b");
    test_meta(run, "b", "rewatch", value_new_bool(true));
    test_load(run);
    test_advance(run, SECOND);
    g_assert_cmpint(probe("b")->refreshes, ==, 1);
    assert_state(run, "b", "ok");
    test_run_free(run);
}

/* What a notification interrupts is not lost: set while the target runs, it is delivered after. */
static void test_notify_during_round(void) {
    TestRun *run = test_run_new();
    test_graph(run, "a b", "a!b");
    test_load(run);
    test_advance(run, SECOND);
    make_wrong("b");
    probe("b")->hold = true;
    probe_event(probe("b"));
    test_advance_real(run, 20000);
    make_wrong("a");
    probe_event(probe("a"));
    test_advance_real(run, 20000);
    g_assert_cmpint(probe("a")->applies, ==, 1);
    probe_release(probe("b"));
    test_advance(run, SECOND);
    g_assert_cmpint(probe("b")->applies, ==, 2);
    g_assert_cmpint(probe("b")->refreshes, ==, 1);
    test_run_free(run);
}

static void test_noop_settles_without_notify(void) {
    TestRun *run = test_run_new();
    make_wrong("a");
    test_graph(run, "a b", "a!b");
    test_meta(run, "a", "noop", value_new_bool(true));
    test_load(run);
    test_advance(run, SECOND);
    g_assert_cmpint(probe("a")->applies, ==, 0);
    g_assert_cmpint(probe("b")->looks, ==, 1);
    g_assert_cmpint(probe("b")->applies, ==, 0);
    assert_state(run, "a", "pending");
    assert_state(run, "b", "ok");
    g_assert_cmpuint(engine_summary(run->engine).pending, ==, 1);
    test_run_free(run);
}

static Value *strings(const char *a, const char *b) {
    Value *list = value_new_list();
    value_list_append(list, value_new_string(a));
    if (b)
        value_list_append(list, value_new_string(b));
    return list;
}

/* As long as a busy machine needs. */
static void await_apply(TestRun *run, const char *name) {
    gint64 end = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;
    while (probe(name)->applies == 0 && g_get_monotonic_time() < end)
        test_advance_real(run, 1000);
}

/* Opposite orders of the same two semaphores: sorted taking makes deadlock impossible. */
static void test_semaphores(void) {
    TestRun *run = test_run_new();
    run->options.parallel = 4;
    make_wrong("a b c");
    probe("a")->hold = true;
    test_graph(run, "a b c", "");
    test_meta(run, "a", "sema", strings("x:1", "y"));
    test_meta(run, "b", "sema", strings("y", "x:1"));
    test_meta(run, "c", "sema", strings("x", NULL)); /* "x" is another one than "x:1" */
    test_load(run);
    await_apply(run, "c");
    g_assert_cmpint(probe("b")->looks, ==, 0);
    g_assert_cmpint(probe("c")->applies, ==, 1);
    probe_release(probe("a"));
    test_advance(run, SECOND);
    g_assert_cmpint(probe("b")->applies, ==, 1);
    g_assert_cmpstr(run->order->str, ==, "c a b");
    test_run_free(run);
}

static void test_global_sema_is_serial(void) {
    TestRun *run = test_run_new();
    run->options.parallel = 4;
    run->options.sema = 1;
    make_wrong("a b");
    probe("a")->hold = true;
    test_graph(run, "a b", "");
    test_load(run);
    test_advance_real(run, 20000);
    g_assert_cmpint(probe("b")->looks, ==, 0);
    probe_release(probe("a"));
    test_advance(run, SECOND);
    g_assert_cmpint(probe("b")->applies, ==, 1);
    test_run_free(run);
}

static void test_retry_and_delay(void) {
    TestRun *run = test_run_new();
    make_wrong("a");
    probe("a")->fail = -1;
    test_graph(run, "a", "");
    test_meta(run, "a", "retry", value_new_int(3));
    test_meta(run, "a", "delay", value_new_int(5000));
    test_load(run);
    test_advance(run, 14 * SECOND);
    g_assert_cmpint(probe("a")->applies, ==, 3);
    assert_state(run, "a", "retrying");
    test_advance(run, 2 * SECOND);
    g_assert_cmpint(probe("a")->applies, ==, 4);
    assert_state(run, "a", "failed");
    test_advance(run, 3600 * SECOND);
    g_assert_cmpint(probe("a")->applies, ==, 4);
    test_run_free(run);
}

/* The budget is one for the life of the name: a swap that edits the resource does not refill it. */
static void test_retry_budget_across_swap(void) {
    TestRun *run = test_run_new();
    make_wrong("a");
    probe("a")->fail = -1;
    test_graph(run, "a", "");
    test_meta(run, "a", "retry", value_new_int(3));
    test_meta(run, "a", "delay", value_new_int(1000));
    test_load(run);
    test_advance(run, SECOND * 3 / 2);
    g_assert_cmpint(probe("a")->applies, ==, 2);
    test_graph(run, "a", "");
    test_meta(run, "a", "retry", value_new_int(3));
    test_meta(run, "a", "delay", value_new_int(1000));
    test_param(run, "a", "value", value_new_string("other"));
    test_load(run);
    test_advance(run, 60 * SECOND);
    /* Two retries were left: the try after the swap and two more. */
    g_assert_cmpint(probe("a")->applies, ==, 4);
    test_run_free(run);
}

static void test_retry_reset(void) {
    TestRun *run = test_run_new();
    make_wrong("a");
    probe("a")->fail = 1;
    test_graph(run, "a", "");
    test_meta(run, "a", "retry", value_new_int(1));
    test_meta(run, "a", "retry_reset", value_new_bool(true));
    test_load(run);
    test_advance(run, SECOND);
    assert_state(run, "a", "ok");
    make_wrong("a");
    probe("a")->fail = 1;
    probe_event(probe("a"));
    test_advance(run, SECOND);
    assert_state(run, "a", "ok");
    test_run_free(run);
}

static void test_poll(void) {
    TestRun *run = test_run_new();
    test_graph(run, "a", "");
    test_meta(run, "a", "poll", value_new_int(10));
    test_load(run);
    test_advance(run, 95 * SECOND);
    g_assert_cmpint(probe("a")->looks, ==, 10); /* at once, then nine ticks */
    g_assert_cmpint(probe("a")->watches, ==, 0);
    /* Looking in vain is no activity. */
    g_assert_true(strstr(run->events->str, "diverged") == NULL);
    test_run_free(run);
}

static void test_poll_once(void) {
    TestRun *run = test_run_new();
    test_graph(run, "a", "");
    test_meta(run, "a", "poll", value_new_int(-1));
    test_load(run);
    test_advance(run, 3600 * SECOND);
    g_assert_cmpint(probe("a")->looks, ==, 1);
    g_assert_cmpint(probe("a")->watches, ==, 0);
    test_run_free(run);
}

/* Ten events in a second at one a second: they drain into few looks, and the last one counts. */
static void test_limit(void) {
    TestRun *run = test_run_new();
    test_graph(run, "a", "");
    test_meta(run, "a", "limit", value_new_float(0.1));
    test_meta(run, "a", "burst", value_new_int(1));
    test_load(run);
    test_advance(run, SECOND);
    g_assert_cmpint(probe("a")->looks, ==, 1);
    for (int i = 0; i < 10; i++)
        probe_event(probe("a"));
    test_advance(run, 8 * SECOND);
    g_assert_cmpint(probe("a")->looks, ==, 1);
    test_advance(run, 2 * SECOND);
    g_assert_cmpint(probe("a")->looks, ==, 2);
    test_advance(run, 60 * SECOND);
    g_assert_cmpint(probe("a")->looks, ==, 2);
    test_run_free(run);
}

static void test_hidden(void) {
    TestRun *run = test_run_new();
    make_wrong("a b");
    test_graph(run, "a b", "a>b");
    test_meta(run, "a", "hidden", value_new_bool(true));
    Resource *twin = resource_new(&probe_kind, "b", (Origin){ "test", 2, 0 });
    resource_own_meta(twin)->hidden = true;
    g_assert_true(graph_add(run->graph, twin, DUPLICATE_REFUSE, NULL, NULL));
    test_load(run);
    test_advance(run, SECOND);
    g_assert_cmpint(probe("a")->looks, ==, 0);
    g_assert_cmpint(probe("a")->watches, ==, 0);
    g_assert_cmpint(probe("b")->applies, ==, 1);
    assert_state(run, "a", "hidden");
    test_run_free(run);
}

static void test_swap_keeps_identical(void) {
    TestRun *run = test_run_new();
    test_graph(run, "a b", "a>b");
    test_load(run);
    test_advance(run, SECOND);
    test_graph(run, "a b c", "a>b b>c");
    test_load(run);
    test_advance(run, SECOND);
    g_assert_cmpint(probe("a")->looks, ==, 1);
    g_assert_cmpint(probe("a")->watches, ==, 1);
    g_assert_cmpint(probe("b")->looks, ==, 1);
    g_assert_cmpint(probe("c")->looks, ==, 1);
    test_run_free(run);
}

/* Edited in place: watched anew only when what is watched may differ. */
static void test_swap_edits_in_place(void) {
    TestRun *run = test_run_new();
    test_graph(run, "a", "");
    test_load(run);
    test_advance(run, SECOND);
    test_graph(run, "a", "");
    test_meta(run, "a", "retry", value_new_int(1));
    test_load(run);
    test_advance(run, SECOND);
    g_assert_cmpint(probe("a")->looks, ==, 2);
    g_assert_cmpint(probe("a")->watches, ==, 1);
    test_graph(run, "a", "");
    test_param(run, "a", "value", value_new_string("new"));
    test_load(run);
    test_advance(run, SECOND);
    g_assert_cmpint(probe("a")->looks, ==, 3);
    g_assert_cmpint(probe("a")->watches, ==, 2);
    test_run_free(run);
}

/* What goes is gone, watch and all, before what comes is made. */
static void test_swap_removes_before_adding(void) {
    TestRun *run = test_run_new();
    test_graph(run, "a", "");
    test_load(run);
    test_advance(run, SECOND);
    probe("a")->hold = true;
    make_wrong("a");
    probe_event(probe("a"));
    test_advance_real(run, 20000);
    test_graph(run, "b", "");
    test_load(run);
    test_advance_real(run, 20000);
    g_assert_cmpint(probe("b")->watches, ==, 0); /* a's round must end first */
    probe_release(probe("a"));
    test_advance(run, SECOND);
    g_assert_cmpint(probe("a")->unwatches, ==, 1);
    g_assert_cmpint(probe("b")->looks, ==, 1);
    test_run_free(run);
}

/* A running round that the swap does not concern is not waited for. */
static void test_swap_ignores_unaffected(void) {
    TestRun *run = test_run_new();
    test_graph(run, "a b", "");
    test_load(run);
    test_advance(run, SECOND);
    probe("a")->hold = true;
    make_wrong("a");
    probe_event(probe("a"));
    test_advance_real(run, 20000);
    test_graph(run, "a c", "");
    test_load(run);
    test_advance_real(run, 20000);
    g_assert_cmpint(probe("c")->looks, ==, 1);
    probe_release(probe("a"));
    test_advance(run, SECOND);
    g_assert_cmpint(probe("a")->applies, ==, 1);
    test_run_free(run);
}

static void test_failure_blocks_its_cone_only(void) {
    TestRun *run = test_run_new();
    make_wrong("a b c d");
    probe("a")->fail = -1;
    test_graph(run, "a b c d", "a>b b>c");
    test_load(run);
    test_advance(run, SECOND);
    assert_state(run, "a", "failed");
    assert_state(run, "b", "blocked");
    assert_state(run, "c", "blocked");
    assert_state(run, "d", "ok");
    g_assert_cmpint(probe("b")->looks + probe("c")->looks, ==, 0);
    EngineSummary summary = engine_summary(run->engine);
    g_assert_cmpuint(summary.failed, ==, 1);
    g_assert_cmpuint(summary.blocked, ==, 2);
    g_assert_true(engine_is_converged(run->engine));
    g_autoptr(Value) status = engine_status(run->engine, "probe", "c");
    g_assert_cmpstr(value_string(value_list_at(value_map_get(status, "blocked_by"), 0)), ==,
                    "probe 'a'");
    test_run_free(run);
}

/* What failed is tried again by itself: soon, then ever more slowly, up to the limit. */
static void test_rechecks_slow_down(void) {
    TestRun *run = test_run_new();
    run->options.recheck_failed = 60 * SECOND;
    make_wrong("a");
    probe("a")->fail = -1;
    test_graph(run, "a", "");
    test_load(run);
    test_advance(run, 9 * SECOND);
    g_assert_cmpint(probe("a")->applies, ==, 1);
    test_advance(run, 3 * SECOND); /* 10 s after the first, then 20, 40, 60, 60, ... */
    g_assert_cmpint(probe("a")->applies, ==, 2);
    test_advance(run, 600 * SECOND);
    g_assert_cmpint(probe("a")->applies, <=, 14);
    g_assert_cmpint(probe("a")->applies, >=, 11);
    probe("a")->fail = 0;
    test_advance(run, 60 * SECOND);
    assert_state(run, "a", "ok");
    test_run_free(run);
}

/* The event that would mend it came while it was failing: it is not waited for again. */
static void test_event_while_failing(void) {
    TestRun *run = test_run_new();
    run->options.recheck_failed = 60 * SECOND;
    make_wrong("a b");
    probe("a")->fail = probe("b")->fail = 1;
    probe("a")->hold = probe("b")->hold = true;
    test_graph(run, "a b", "");
    test_load(run);
    test_advance_real(run, 20000);
    probe_event(probe("a"));
    test_advance_real(run, 20000);
    probe_release(probe("a"));
    probe_release(probe("b"));
    test_advance(run, SECOND / 5);
    assert_state(run, "a", "ok");
    assert_state(run, "b", "failed");
    test_run_free(run);
}

/* The same for what it depends on being made right. */
static void test_mended_while_failing(void) {
    TestRun *run = test_run_new();
    run->options.recheck_failed = 60 * SECOND;
    test_graph(run, "a b", "a>b");
    test_load(run);
    test_advance(run, SECOND);
    make_wrong("a b");
    probe("b")->fail = 1;
    probe("b")->hold = true;
    probe_event(probe("b"));
    test_advance_real(run, 20000);
    probe_event(probe("a"));
    test_advance_real(run, 20000);
    g_assert_cmpint(probe("a")->applies, ==, 1);
    probe_release(probe("b"));
    test_advance(run, SECOND / 5);
    assert_state(run, "b", "ok");
    test_run_free(run);
}

/* Told first of what depends on another one that is not right either: it waits all the same. */
static void test_told_in_the_wrong_order(void) {
    TestRun *run = test_run_new();
    test_graph(run, "a b", "a>b");
    test_load(run);
    test_advance(run, SECOND);
    make_wrong("a b");
    probe_event(probe("b"));
    probe_event(probe("a"));
    test_advance(run, SECOND);
    g_assert_cmpstr(run->order->str, ==, "a b");
    test_run_free(run);
}

static void spoil_late(void *data) {
    make_wrong("a");
    probe_event(probe("a"));
}

/* A failure for something that is just being made right is none. */
static void test_failed_for_what_changes_just_now(void) {
    TestRun *run = test_run_new();
    LoopTimer *late = NULL;
    run->options.recheck_failed = 60 * SECOND;
    test_graph(run, "a b", "a>b");
    test_load(run);
    test_advance(run, SECOND);
    make_wrong("b");
    probe("b")->fail = 1;
    loop_timer_set(run->loop, &late, loop_now(run->loop) + 4000, spoil_late, NULL);
    probe_event(probe("b"));
    test_advance(run, SECOND);
    g_assert_cmpstr(run->order->str, ==, "b a b");
    g_assert_null(strstr(run->events->str, "failed"));
    assert_state(run, "b", "ok");
    test_run_free(run);
}

typedef struct {
    TestRun *run;
    LoopTimer *timer;
} Restless;

static void spoil_again(void *data) {
    Restless *restless = data;
    make_wrong("a");
    probe_event(probe("a"));
    if (probe("a")->applies < 40)
        loop_timer_set(restless->run->loop, &restless->timer, loop_now(restless->run->loop) + 4000,
                       spoil_again, restless);
}

/* ... but it is told however often that changes. */
static void test_fails_beside_changes(void) {
    TestRun *run = test_run_new();
    Restless restless = { run, NULL };
    run->options.recheck_failed = 60 * SECOND;
    test_graph(run, "a b", "a>b");
    test_load(run);
    test_advance(run, SECOND);
    make_wrong("b");
    probe("b")->fail = -1;
    probe_event(probe("b"));
    spoil_again(&restless);
    test_advance(run, SECOND);
    g_assert_nonnull(strstr(run->events->str, "failed:b"));
    assert_state(run, "b", "failed");
    test_run_free(run);
}

/* A member of a group that cannot be looked at fails the vertex, after the others were made right.
 */
static void test_group_goes_on(void) {
    TestRun *run = test_run_new();
    run->options.recheck_failed = 10 * SECOND;
    make_wrong("crowd1 crowd2 crowd3");
    probe("crowd2")->fail_look = 1;
    test_graph(run, "crowd1 crowd2 crowd3", "");
    test_load(run);
    test_advance(run, SECOND);
    g_assert_cmpint(probe("crowd1")->applies, ==, 1);
    g_assert_cmpint(probe("crowd2")->applies, ==, 0);
    g_assert_cmpint(probe("crowd3")->applies, ==, 1);
    assert_state(run, "crowd1", "ok");
    assert_state(run, "crowd2", "failed");
    assert_state(run, "crowd3", "ok");
    g_assert_cmpuint(engine_summary(run->engine).failed, ==, 1);
    g_assert_nonnull(strstr(run->events->str, "changed:crowd1 failed:crowd2 changed:crowd3"));
    probe_event(probe("crowd2"));
    test_advance(run, 20 * SECOND);
    g_assert_cmpint(probe("crowd1")->applies, ==, 1);
    g_assert_cmpint(probe("crowd2")->applies, ==, 1);
    assert_state(run, "crowd1", "ok");
    test_run_free(run);
}

/* What is wrong with several for the same reason is told once, with all their names. */
static void test_group_tells_once(void) {
    TestRun *run = test_run_new();
    probe("crowd1")->fail_look = probe("crowd3")->fail_look = -1;
    test_graph(run, "crowd1 crowd2 crowd3", "");
    test_load(run);
    test_advance(run, SECOND);
    assert_state(run, "crowd2", "ok");
    g_autoptr(Value) status = engine_status(run->engine, "probe", "crowd3");
    g_assert_cmpstr(value_map_string(status, "error", ""), ==,
                    "probe 'crowd1', probe 'crowd3': look: scripted failure");
    test_run_free(run);
}

static void test_receive_and_revalidate(void) {
    TestRun *run = test_run_new();
    probe("a")->send = 7;
    test_graph(run, "a b", "");
    test_receive(run, "b", "a");
    test_load(run);
    test_advance(run, SECOND);
    g_assert_cmpint(probe("b")->received, ==, 7);
    probe("a")->send = 8;
    probe_event(probe("a"));
    test_advance(run, SECOND);
    g_assert_cmpint(probe("b")->received, ==, 8);
    g_assert_cmpint(probe("b")->looks, ==, 2);
    probe_event(probe("a")); /* the same value again disturbs nobody */
    test_advance(run, SECOND);
    g_assert_cmpint(probe("b")->looks, ==, 2);
    probe("a")->send = -1;
    probe_event(probe("a"));
    test_advance(run, SECOND);
    assert_state(run, "b", "failed");
    g_assert_cmpint(probe("b")->looks, ==, 2);
    test_run_free(run);
}

static void test_convergence_both_ways(void) {
    TestRun *run = test_run_new();
    run->options.converged_timeout = 5 * SECOND;
    make_wrong("a");
    test_graph(run, "a b", "");
    test_load(run);
    test_advance(run, 4 * SECOND);
    g_assert_false(engine_is_converged(run->engine));
    probe_event(probe("b")); /* starts the quiet time anew */
    test_advance(run, 4 * SECOND);
    g_assert_false(engine_is_converged(run->engine));
    test_advance(run, 2 * SECOND);
    g_assert_true(engine_is_converged(run->engine));
    make_wrong("a");
    probe_event(probe("a"));
    test_advance(run, SECOND);
    g_assert_false(engine_is_converged(run->engine));
    test_advance(run, 5 * SECOND);
    g_assert_cmpstr(run->events->str, ==, "changed:a converged diverged changed:a converged");
    test_run_free(run);
}

/* An event while the round runs is looked at afterwards; any number of them once. */
static void test_event_during_round(void) {
    TestRun *run = test_run_new();
    make_wrong("a");
    probe("a")->hold = true;
    test_graph(run, "a", "");
    test_load(run);
    test_advance_real(run, 20000);
    probe_event(probe("a"));
    probe_event(probe("a"));
    probe_release(probe("a"));
    test_advance(run, SECOND);
    g_assert_cmpint(probe("a")->looks, ==, 2);
    test_run_free(run);
}

/* A broken watch cancels the check without using up a retry, and must be armed again first. */
static void test_watch_breaks(void) {
    TestRun *run = test_run_new();
    make_wrong("a");
    probe("a")->hold = true;
    test_graph(run, "a", "");
    test_meta(run, "a", "retry", value_new_int(1));
    test_load(run);
    test_advance_real(run, 20000);
    probe("a")->late = true;
    probe_unwatch(probe("a"), "connection lost");
    test_advance_real(run, 40000);
    g_assert_cmpint(probe("a")->cancelled, ==, 1);
    probe("a")->hold = false;
    g_assert_cmpint(probe("a")->watches, ==, 2);
    int looks = probe("a")->looks;
    test_advance(run, SECOND);
    g_assert_cmpint(probe("a")->looks, ==, looks);
    probe("a")->fail = 1;
    probe_ready(probe("a"));
    test_advance(run, SECOND);
    assert_state(run, "a", "ok");
    test_run_free(run);
}

/* What cannot be watched is polled, and says so. */
static void test_unwatchable_is_polled(void) {
    TestRun *run = test_run_new();
    probe("a")->no_watch = true;
    test_graph(run, "a", "");
    test_load(run);
    test_advance(run, 150 * SECOND);
    g_assert_cmpint(probe("a")->looks, ==, 3);
    g_assert_true(strstr(run->events->str, "watch-lost:a") != NULL);
    test_run_free(run);
}

/* A watch that is lost for a while comes back by itself, and nobody hears of it. */
static void test_lost_watch_comes_back(void) {
    TestRun *run = test_run_new();
    test_graph(run, "a", "");
    test_load(run);
    test_advance(run, SECOND);
    probe("a")->no_watch = true;
    probe_unwatch(probe("a"), "connection lost");
    test_advance(run, 2 * SECOND);
    probe("a")->no_watch = false;
    test_advance(run, 2 * SECOND);
    int looks = probe("a")->looks;
    g_autoptr(Value) status = engine_status(run->engine, "probe", "a");
    g_assert_cmpstr(value_map_string(status, "unwatched", ""), ==, "");
    probe_event(probe("a"));
    test_advance(run, SECOND);
    g_assert_cmpint(probe("a")->looks, ==, looks + 1);
    test_advance(run, 300 * SECOND);
    g_assert_cmpint(probe("a")->looks, ==, looks + 1);
    g_assert_null(strstr(run->events->str, "watch-lost"));
    test_run_free(run);
}

/* One that is lost for good is polled, ever more slowly, and told once. */
static void test_lost_watch_stays_lost(void) {
    TestRun *run = test_run_new();
    test_graph(run, "a", "");
    test_load(run);
    test_advance(run, SECOND);
    probe("a")->no_watch = true;
    probe_unwatch(probe("a"), "connection lost");
    test_advance(run, 1000 * SECOND);
    g_assert_cmpint(probe("a")->looks, >=, 15);
    g_assert_cmpint(probe("a")->looks, <=, 30);
    const char *told = strstr(run->events->str, "watch-lost:a");
    g_assert_nonnull(told);
    g_assert_null(strstr(told + 1, "watch-lost"));
    test_run_free(run);
}

/* A limit that many meet is told once, and each of them knows why. */
static void test_unwatchable_are_told_once(void) {
    TestRun *run = test_run_new();
    probe("a")->no_watch = probe("b")->no_watch = probe("c")->no_watch = true;
    test_graph(run, "a b c", "");
    test_load(run);
    test_advance(run, SECOND / 2);
    g_assert_null(strstr(run->events->str, "watch-lost"));
    test_advance(run, 500 * SECOND);
    const char *told = strstr(run->events->str, "watch-lost");
    g_assert_nonnull(told);
    g_assert_true(told[strlen("watch-lost")] != ':');
    g_assert_null(strstr(told + 1, "watch-lost"));
    for (const char *const *name = (const char *const[]){ "a", "b", "c", NULL }; *name; name++) {
        g_autoptr(Value) status = engine_status(run->engine, "probe", *name);
        g_assert_nonnull(strstr(value_map_string(status, "unwatched", ""), "no more"));
        g_assert_cmpstr(value_map_string(status, "state", ""), ==, "ok");
    }
    test_run_free(run);
}

/* Undone between the work and its proof, while nothing of that is told: it is tried again soon. */
static void test_what_is_undone_is_tried_again(void) {
    TestRun *run = test_run_new();
    make_wrong("a");
    probe("a")->stubborn = true;
    test_graph(run, "a", "");
    run->options.recheck_failed = 600 * SECOND;
    test_load(run);
    test_advance(run, SECOND / 2);
    assert_state(run, "a", "failed");
    probe("a")->stubborn = false;
    test_advance(run, 10 * SECOND);
    assert_state(run, "a", "ok");
    test_run_free(run);
}

static void test_timeout(void) {
    TestRun *run = test_run_new();
    make_wrong("a");
    probe("a")->hold = true;
    test_graph(run, "a", "");
    test_meta(run, "a", "timeout", value_new_int(50));
    test_load(run);
    test_advance_real(run, 200000);
    assert_state(run, "a", "failed");
    g_autoptr(Value) status = engine_status(run->engine, "probe", "a");
    g_assert_true(strstr(value_map_string(status, "error", ""), "timeout") != NULL);
    test_run_free(run);
}

/* An apply that does not make it right is a failure, not a success. */
static void test_apply_is_proved(void) {
    TestRun *run = test_run_new();
    make_wrong("a b");
    probe("a")->stubborn = true;
    test_graph(run, "a b", "a>b");
    test_load(run);
    test_advance(run, SECOND);
    assert_state(run, "a", "failed");
    assert_state(run, "b", "blocked");
    test_run_free(run);
}

/* What somebody else changes while it is applied is made right too, and is no failure. */
static void test_changed_meanwhile(void) {
    TestRun *run = test_run_new();
    make_wrong("a b");
    probe("a")->meddled = 2;
    test_graph(run, "a b", "a!b");
    test_load(run);
    test_advance(run, SECOND);
    assert_state(run, "a", "ok");
    g_assert_cmpint(probe("a")->applies, ==, 3);
    g_assert_null(strstr(run->events->str, "failed"));
    g_assert_cmpint(probe("b")->refreshes, ==, 1);
    test_run_free(run);
}

/* ... but not for ever, and the failure names what it is. */
static void test_changed_again_and_again(void) {
    TestRun *run = test_run_new();
    make_wrong("a");
    probe("a")->meddled = -1;
    test_graph(run, "a", "");
    test_load(run);
    test_advance(run, SECOND);
    assert_state(run, "a", "failed");
    g_assert_cmpint(probe("a")->applies, ==, 4);
    g_autoptr(Value) status = engine_status(run->engine, "probe", "a");
    g_assert_nonnull(strstr(value_map_string(status, "error", ""), "'other' was made right 3"));
    test_run_free(run);
}

/* What others change meanwhile hides nothing that the apply itself did not do. */
static void test_changed_meanwhile_hides_nothing(void) {
    TestRun *run = test_run_new();
    make_wrong("a");
    probe("a")->stubborn = true;
    probe("a")->meddled = 1;
    test_graph(run, "a", "");
    test_load(run);
    test_advance(run, SECOND);
    assert_state(run, "a", "failed");
    g_assert_cmpint(probe("a")->applies, ==, 2);
    g_autoptr(Value) status = engine_status(run->engine, "probe", "a");
    g_assert_nonnull(strstr(value_map_string(status, "error", ""), "'value' is still"));
    test_run_free(run);
}

static void test_long_chain(void) {
    TestRun *run = test_run_new();
    g_autoptr(GString) names = g_string_new("v0"), edges = g_string_new("");
    for (int i = 1; i < 20000; i++) {
        g_string_append_printf(names, " v%d", i);
        g_string_append_printf(edges, " v%d>v%d", i - 1, i);
    }
    run->options.watch = false;
    test_graph(run, names->str, edges->str);
    test_load(run);
    test_advance(run, SECOND);
    g_assert_cmpuint(engine_summary(run->engine).ok, ==, 20000);
    engine_recheck(run->engine);
    test_advance(run, SECOND);
    g_assert_cmpuint(engine_summary(run->engine).ok, ==, 20000);
    test_run_free(run);
}

static void test_stop_ladder(void) {
    TestRun *run = test_run_new();
    run->options.parallel = 1;
    make_wrong("a b");
    probe("a")->hold = true;
    test_graph(run, "a b", "a>b");
    test_load(run);
    test_advance_real(run, 20000);
    engine_stop(run->engine);
    test_advance_real(run, 20000);
    g_assert_cmpint(probe("a")->cancelled, ==, 0);
    engine_stop(run->engine);
    test_advance_real(run, 40000);
    g_assert_cmpint(probe("a")->cancelled, ==, 1);
    g_assert_cmpint(probe("b")->looks, ==, 0);
    test_run_free(run);
}

/* What fails in one go is told of everybody it was for, and of nobody else. */
static void test_group_fails(void) {
    TestRun *run = test_run_new();
    make_wrong("crowd1 crowd3");
    probe("crowd1")->fail = 1;
    test_graph(run, "crowd1 crowd2 crowd3 after", "crowd3>after");
    test_load(run);
    test_advance(run, SECOND);
    g_assert_nonnull(strstr(run->events->str, "failed:crowd1 failed:crowd3"));
    g_assert_null(strstr(run->events->str, "failed:crowd2"));
    assert_state(run, "crowd2", "ok");
    for (const char *const *name = (const char *const[]){ "crowd1", "crowd3", NULL }; *name;
         name++) {
        g_autoptr(Value) status = engine_status(run->engine, "probe", *name);
        g_assert_cmpstr(value_map_string(status, "state", ""), ==, "failed");
        g_assert_nonnull(strstr(value_map_string(status, "error", ""), "scripted failure"));
    }
    g_assert_cmpuint(engine_summary(run->engine).failed, ==, 2);
    engine_retry_failed(run->engine);
    test_advance(run, SECOND);
    g_assert_cmpuint(engine_summary(run->engine).failed, ==, 0);
    test_run_free(run);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/engine/startup-gate", test_startup_gate);
    g_test_add_func("/engine/order", test_order);
    g_test_add_func("/engine/dirty-ancestor-first", test_dirty_ancestor_first);
    g_test_add_func("/engine/poke-only-eligible", test_poke_only_eligible);
    g_test_add_func("/engine/notify-survives-failure", test_notify_survives_failure);
    g_test_add_func("/engine/notify-survives-swap", test_notify_survives_swap);
    g_test_add_func("/engine/notify-during-round", test_notify_during_round);
    g_test_add_func("/engine/noop-settles-without-notify", test_noop_settles_without_notify);
    g_test_add_func("/engine/semaphores", test_semaphores);
    g_test_add_func("/engine/global-sema-is-serial", test_global_sema_is_serial);
    g_test_add_func("/engine/rechecks-slow-down", test_rechecks_slow_down);
    g_test_add_func("/engine/event-while-failing", test_event_while_failing);
    g_test_add_func("/engine/mended-while-failing", test_mended_while_failing);
    g_test_add_func("/engine/told-in-the-wrong-order", test_told_in_the_wrong_order);
    g_test_add_func("/engine/failed-for-what-changes-just-now",
                    test_failed_for_what_changes_just_now);
    g_test_add_func("/engine/fails-beside-changes", test_fails_beside_changes);
    g_test_add_func("/engine/retry-and-delay", test_retry_and_delay);
    g_test_add_func("/engine/retry-budget-across-swap", test_retry_budget_across_swap);
    g_test_add_func("/engine/retry-reset", test_retry_reset);
    g_test_add_func("/engine/poll", test_poll);
    g_test_add_func("/engine/poll-once", test_poll_once);
    g_test_add_func("/engine/limit", test_limit);
    g_test_add_func("/engine/hidden", test_hidden);
    g_test_add_func("/engine/swap-keeps-identical", test_swap_keeps_identical);
    g_test_add_func("/engine/swap-edits-in-place", test_swap_edits_in_place);
    g_test_add_func("/engine/swap-removes-before-adding", test_swap_removes_before_adding);
    g_test_add_func("/engine/swap-ignores-unaffected", test_swap_ignores_unaffected);
    g_test_add_func("/engine/failure-blocks-its-cone-only", test_failure_blocks_its_cone_only);
    g_test_add_func("/engine/group-goes-on", test_group_goes_on);
    g_test_add_func("/engine/group-tells-once", test_group_tells_once);
    g_test_add_func("/engine/receive-and-revalidate", test_receive_and_revalidate);
    g_test_add_func("/engine/convergence-both-ways", test_convergence_both_ways);
    g_test_add_func("/engine/event-during-round", test_event_during_round);
    g_test_add_func("/engine/watch-breaks", test_watch_breaks);
    g_test_add_func("/engine/undone-is-tried-again", test_what_is_undone_is_tried_again);
    g_test_add_func("/engine/lost-watch-comes-back", test_lost_watch_comes_back);
    g_test_add_func("/engine/lost-watch-stays-lost", test_lost_watch_stays_lost);
    g_test_add_func("/engine/unwatchable-is-polled", test_unwatchable_is_polled);
    g_test_add_func("/engine/timeout", test_timeout);
    g_test_add_func("/engine/apply-is-proved", test_apply_is_proved);
    g_test_add_func("/engine/changed-meanwhile", test_changed_meanwhile);
    g_test_add_func("/engine/changed-again-and-again", test_changed_again_and_again);
    g_test_add_func("/engine/changed-meanwhile-hides-nothing",
                    test_changed_meanwhile_hides_nothing);
    g_test_add_func("/engine/long-chain", test_long_chain);
    g_test_add_func("/engine/stop-ladder", test_stop_ladder);
    g_test_add_func("/engine/unwatchable-told-once", test_unwatchable_are_told_once);
    g_test_add_func("/engine/group-fails", test_group_fails);
    return g_test_run();
}
