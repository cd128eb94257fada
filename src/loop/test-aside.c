#include "loop/loop.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#define MS 1000u

typedef struct {
    Loop *loop;
    LoopTimer *timer;
    LoopSource *source;
    GThread *main_thread, *work_thread, *timer_thread, *done_thread;
    unsigned work_us, asked, limit, done;
    gint working; /* atomic */
    gint ticks;   /* atomic: of the timer, while it worked */
    gint enough;  /* ticks that it works for at least, but no more than 10 s */
    gint waits;   /* atomic: it works until this is false, but no more than 10 s */
    bool refused;
} Test;

static void test_open(Test *test, bool is_virtual) {
    g_autoptr(GError) error = NULL;
    *test = (Test){ .main_thread = g_thread_self() };
    test->loop = is_virtual ? loop_new_virtual(&error) : loop_new(&error);
    g_assert_no_error(error);
}

static void test_close(Test *test) {
    loop_timer_clear(&test->timer);
    loop_source_free(test->source);
    loop_free(test->loop);
}

static void run(Test *test) {
    g_autoptr(GError) error = NULL;
    g_assert_true(loop_run(test->loop, &error));
    g_assert_no_error(error);
}

static void work(void *data) {
    Test *test = data;
    test->work_thread = g_thread_self();
    g_atomic_int_set(&test->working, true);
    if (test->work_us > 0)
        g_usleep(test->work_us);
    for (int i = 0; i < 10000 && (g_atomic_int_get(&test->ticks) < test->enough ||
                                  g_atomic_int_get(&test->waits));
         i++)
        g_usleep(MS); /* a busy machine is slower */
    g_atomic_int_set(&test->working, false);
}

static void done(void *data) {
    Test *test = data;
    g_assert_false(g_atomic_int_get(&test->working));
    test->done_thread = g_thread_self();
    if (++test->done >= test->limit)
        loop_quit(test->loop);
}

static void ask(void *data) {
    Test *test = data;
    g_assert_true(loop_run_aside(test->loop, work, done, test));
    g_assert_null(test->work_thread); /* not in this callback */
}

static void test_short(void) {
    Test test;
    test_open(&test, false);
    loop_timer_set(test.loop, &test.timer, 0, ask, &test);
    run(&test);
    g_assert_cmpuint(test.done, ==, 1);
    g_assert_true(test.work_thread == test.main_thread);
    g_assert_true(test.done_thread == test.main_thread);
    test_close(&test);
}

static void tick(void *data) {
    Test *test = data;
    test->timer_thread = g_thread_self();
    if (g_atomic_int_get(&test->working))
        g_atomic_int_inc(&test->ticks);
    loop_timer_set(test->loop, &test->timer, loop_now(test->loop) + MS, tick, test);
}

static void ask_and_tick(void *data) {
    Test *test = data;
    ask(test);
    tick(test);
}

/* Work that takes long does not keep the loop: timers go on in another thread, and come home. */
static void test_long(void) {
    Test test;
    test_open(&test, false);
    test.limit = 2;
    test.work_us = 200 * MS;
    test.enough = 21;
    loop_timer_set(test.loop, &test.timer, 0, ask_and_tick, &test);
    while (test.done < 2) {
        test.work_thread = NULL;
        test.limit = test.done + 1;
        test.ticks = 0;
        run(&test);
        g_assert_cmpint(test.ticks, >, 20); /* of 200, on a quiet machine */
        g_assert_true(test.timer_thread != test.main_thread);
        g_assert_true(test.work_thread == test.main_thread);
        g_assert_true(test.done_thread == test.main_thread);
        loop_timer_set(test.loop, &test.timer, 0, ask_and_tick, &test);
    }
    test_close(&test);
}

static void post_quit(void *data) {
    loop_quit(((Test *)data)->loop);
}

static void *post_later(void *data) {
    Test *test = data;
    g_usleep(30 * MS);
    loop_post(test->loop, post_quit, test);
    return NULL;
}

/* A loop that is quit while it is lent comes back when the work is over. */
static void test_quit_while_lent(void) {
    Test test;
    test_open(&test, false);
    test.limit = 100;
    test.work_us = 100 * MS;
    loop_timer_set(test.loop, &test.timer, 0, ask, &test);
    GThread *thread = g_thread_new("post", post_later, &test);
    gint64 start = g_get_monotonic_time();
    run(&test);
    g_assert_cmpint(g_get_monotonic_time() - start, >=, 100 * MS);
    g_assert_cmpuint(test.done, ==, 1);
    g_thread_join(thread);
    loop_timer_set(test.loop, &test.timer, 0, post_quit, &test); /* it can run again */
    run(&test);
    test_close(&test);
}

static void on_signal(void *data, int signal_number) {
    Test *test = data;
    test->timer_thread = g_thread_self();
    g_atomic_int_set(&test->waits, false);
    loop_quit(test->loop);
}

static void *signal_later(void *data) {
    Test *test = data;
    while (!g_atomic_int_get(&test->working))
        g_usleep(MS);
    g_usleep(30 * MS);
    kill(getpid(), SIGUSR1);
    return NULL;
}

static void test_signal_while_lent(void) {
    Test test;
    test_open(&test, false);
    g_autoptr(GError) error = NULL;
    test.source = loop_watch_signal(test.loop, SIGUSR1, on_signal, &test, &error);
    g_assert_no_error(error);
    test.limit = 100;
    test.waits = true;
    loop_timer_set(test.loop, &test.timer, 0, ask, &test);
    GThread *thread = g_thread_new("signal", signal_later, &test);
    run(&test);
    g_assert_nonnull(test.timer_thread);
    g_assert_true(test.timer_thread != test.main_thread);
    g_thread_join(thread);
    test_close(&test);
}

/* Work of about the patience of the stand-by thread: lent and given back at every moment. */
static void ask_racing(void *data) {
    Test *test = data;
    test->work_us = 1500 + test->asked++ % 20 * 50;
    g_assert_true(loop_run_aside(test->loop, work, done, test));
}

static void test_race(void) {
    Test test;
    test_open(&test, false);
    for (unsigned i = 0; i < 200; i++) {
        test.work_thread = NULL;
        test.limit = i + 1;
        loop_timer_set(test.loop, &test.timer, 0, ask_racing, &test);
        run(&test);
        g_assert_cmpuint(test.done, ==, i + 1);
    }
    test_close(&test);
}

static void ask_twice(void *data) {
    Test *test = data;
    ask(test);
    test->refused = !loop_run_aside(test->loop, work, done, test);
}

static void ask_in_vain(void *data) {
    Test *test = data;
    test->refused = !loop_run_aside(test->loop, work, done, test);
    loop_quit(test->loop);
}

static void test_refused(void) {
    Test test;
    test_open(&test, false);
    g_assert_false(loop_run_aside(test.loop, work, done, &test)); /* it does not run */
    loop_timer_set(test.loop, &test.timer, 0, ask_twice, &test);
    run(&test);
    g_assert_true(test.refused);
    g_assert_cmpuint(test.done, ==, 1);
    test_close(&test);
    test_open(&test, true);
    loop_timer_set(test.loop, &test.timer, 0, ask_in_vain, &test);
    run(&test);
    g_assert_true(test.refused);
    test_close(&test);
}

static long context_switches(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_nvcsw;
}

/* The stand-by thread wakes up neither for short work nor after it. */
static void test_stand_by_sleeps(void) {
    Test test;
    test_open(&test, false);
    loop_timer_set(test.loop, &test.timer, 0, ask, &test);
    run(&test);
    long switches = 0;
    for (int i = 0; i < 20; i++) { /* what lets it come to rest may be late */
        long before = context_switches();
        g_usleep(50 * MS);
        switches = context_switches() - before;
        if (switches <= 1)
            break;
    }
    g_assert_cmpint(switches, <=, 1); /* our own sleep */
    test_close(&test);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/aside/short", test_short);
    g_test_add_func("/aside/long", test_long);
    g_test_add_func("/aside/quit-while-lent", test_quit_while_lent);
    g_test_add_func("/aside/signal-while-lent", test_signal_while_lent);
    g_test_add_func("/aside/race", test_race);
    g_test_add_func("/aside/refused", test_refused);
    g_test_add_func("/aside/stand-by-sleeps", test_stand_by_sleeps);
    return g_test_run();
}
