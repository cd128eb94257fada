#include "loop/worker.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <time.h>

#define SECOND G_USEC_PER_SEC

typedef struct {
    Loop *loop;
    WorkerPool *pool;
    GThread *main_thread;
    unsigned done, expected;
    gint worked; /* atomic */
    gint inside, most_inside, together;
    GMutex lock;
    GString *log;
    LoopTimer *timer;
    unsigned generations;
} Test;

static void test_open(Test *test, bool is_virtual, unsigned max_threads) {
    g_autoptr(GError) error = NULL;
    *test = (Test){ .main_thread = g_thread_self(), .log = g_string_new(NULL) };
    test->loop = is_virtual ? loop_new_virtual(&error) : loop_new(&error);
    g_assert_no_error(error);
    test->pool = worker_pool_new(test->loop, max_threads);
}

static void test_close(Test *test) {
    worker_pool_free(test->pool);
    loop_free(test->loop);
    g_string_free(test->log, TRUE);
}

static void run(Test *test) {
    g_autoptr(GError) error = NULL;
    g_assert_true(loop_run(test->loop, &error));
    g_assert_no_error(error);
}

static void work(void *data) {
    Test *test = data;
    g_assert_true(g_thread_self() != test->main_thread);
    g_atomic_int_inc(&test->worked);
}

static void done(void *data) {
    Test *test = data;
    g_assert_true(g_thread_self() == test->main_thread);
    if (++test->done == test->expected)
        loop_quit(test->loop);
}

static void test_tasks(void) {
    Test test;
    test_open(&test, false, 0);
    test.expected = 5000;
    for (unsigned i = 0; i < test.expected; i++)
        worker_pool_push(test.pool, work, done, &test);
    g_assert_cmpuint(worker_pool_busy(test.pool), ==, 5000);
    run(&test);
    g_assert_cmpint(test.worked, ==, 5000);
    g_assert_cmpuint(worker_pool_busy(test.pool), ==, 0);
    test_close(&test);
}

typedef struct {
    Test *test;
    unsigned number;
} Numbered;

static void work_numbered(void *data) {
    Numbered *numbered = data;
    g_string_append_printf(numbered->test->log, "%u ", numbered->number);
}

static void test_start_order(void) {
    Test test;
    test_open(&test, false, 1);
    Numbered numbers[10];
    for (unsigned i = 0; i < 10; i++) {
        numbers[i] = (Numbered){ &test, i };
        worker_pool_push(test.pool, work_numbered, NULL, &numbers[i]);
    }
    test.expected = 1;
    worker_pool_push(test.pool, work, done, &test);
    run(&test);
    g_assert_cmpstr(test.log->str, ==, "0 1 2 3 4 5 6 7 8 9 ");
    test_close(&test);
}

/* Until so many (together) are at it, however late a busy machine starts them; 10 s at most. */
static void enter_together(Test *test) {
    g_mutex_lock(&test->lock);
    test->inside++;
    test->most_inside = MAX(test->most_inside, test->inside);
    for (int i = 0; i < 10000 && test->most_inside < test->together; i++) {
        g_mutex_unlock(&test->lock);
        g_usleep(1000);
        g_mutex_lock(&test->lock);
    }
    g_mutex_unlock(&test->lock);
}

static void leave(Test *test) {
    g_mutex_lock(&test->lock);
    test->inside--;
    g_mutex_unlock(&test->lock);
}

static void work_together(void *data) {
    enter_together(data);
    leave(data);
}

static void work_slowly(void *data) {
    enter_together(data);
    g_usleep(50000);
    leave(data);
}

static void check_parallel(unsigned threads, unsigned tasks) {
    Test test;
    test_open(&test, false, threads);
    test.expected = tasks;
    test.together = (gint)MIN(threads, tasks);
    gint64 start = g_get_monotonic_time();
    for (unsigned i = 0; i < tasks; i++)
        worker_pool_push(test.pool, work_slowly, done, &test);
    run(&test);
    g_assert_cmpint(test.most_inside, ==, test.together);
    gint64 rounds = (tasks + threads - 1) / threads;
    g_assert_cmpint(g_get_monotonic_time() - start, >=, rounds * 50000);
    test_close(&test);
}

static void test_parallel(void) {
    check_parallel(1, 3);
    check_parallel(4, 8);
    check_parallel(16, 16);
}

/* Threads that wait are woken, one for each task. */
static void test_idle_threads_wake(void) {
    Test test;
    test_open(&test, false, 4);
    test.together = 4;
    for (int round = 0; round < 20; round++) {
        test.done = 0;
        test.most_inside = 0;
        test.expected = 4;
        for (unsigned i = 0; i < 4; i++)
            worker_pool_push(test.pool, work_slowly, done, &test);
        run(&test);
        g_assert_cmpint(test.most_inside, ==, 4);
        if (round % 2)
            g_usleep(1000); /* let them fall asleep */
    }
    test_close(&test);
}

/* Tasks pushed at once get a thread each, also when only one thread is waiting. */
static void test_idle_is_not_enough(void) {
    Test test;
    test_open(&test, false, 4);
    test.expected = 1;
    worker_pool_push(test.pool, work, done, &test);
    run(&test);
    g_usleep(10000); /* lets that thread fall asleep */
    test.expected = 5;
    test.together = 4;
    for (unsigned i = 0; i < 4; i++)
        worker_pool_push(test.pool, work_slowly, done, &test);
    run(&test);
    g_assert_cmpint(test.most_inside, ==, 4);
    test_close(&test);
}

static unsigned count_threads(void) {
    unsigned count = 0;
    g_autoptr(GDir) dir = g_dir_open("/proc/self/task", 0, NULL);
    while (g_dir_read_name(dir))
        count++;
    return count;
}

static void wait_for_threads(unsigned expected) {
    for (int i = 0; i < 1000 && count_threads() > expected; i++)
        g_usleep(5000);
    g_assert_cmpuint(count_threads(), ==, expected);
}

/* Threads without work end but for one, and come again. */
static void test_idle_time(void) {
    Test test;
    test_open(&test, false, 4);
    unsigned before = count_threads();
    worker_pool_set_idle_time(test.pool, 1000);
    test.together = 4;
    for (int round = 0; round < 5; round++) {
        test.done = 0;
        test.most_inside = 0;
        test.expected = 4;
        for (unsigned i = 0; i < 4; i++)
            worker_pool_push(test.pool, work_together, done, &test);
        run(&test);
        g_assert_cmpint(test.most_inside, ==, 4);
        wait_for_threads(before + 1);
        g_usleep(5000); /* five times the idle time */
        g_assert_cmpuint(count_threads(), ==, before + 1);
    }
    test_close(&test);
    wait_for_threads(before);
}

static long context_switches(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_nvcsw;
}

/* The thread that stays waits without limit: nothing of a pool at rest wakes up. */
static void test_idle_sleeps(void) {
    Test test;
    test_open(&test, false, 4);
    unsigned before = count_threads();
    worker_pool_set_idle_time(test.pool, 1000);
    test.expected = test.together = 4;
    for (unsigned i = 0; i < 4; i++)
        worker_pool_push(test.pool, work_together, done, &test);
    run(&test);
    wait_for_threads(before + 1);
    long switches = 0;
    for (int i = 0; i < 20; i++) { /* what lets it come to rest may be late */
        long before_sleep = context_switches();
        g_usleep(50000);
        switches = context_switches() - before_sleep;
        if (switches <= 1)
            break;
    }
    g_assert_cmpint(switches, <=, 1); /* our own sleep */
    test_close(&test);
}

/* Tasks that come just when threads give up waiting are not forgotten. */
static void test_idle_race(void) {
    Test test;
    test_open(&test, false, 2);
    worker_pool_set_idle_time(test.pool, 200);
    test.expected = 2;
    for (unsigned round = 0; round < 2000; round++) {
        test.done = 0;
        worker_pool_push(test.pool, work, done, &test);
        worker_pool_push(test.pool, work, done, &test);
        run(&test);
        g_usleep(100 + round % 100);
    }
    g_assert_cmpint(test.worked, ==, 4000);
    test_close(&test);
}

static void push_again(void *data) {
    Test *test = data;
    if (++test->generations < 1000)
        worker_pool_push(test->pool, work, push_again, test);
    else
        loop_quit(test->loop);
}

static void test_push_from_done(void) {
    Test test;
    test_open(&test, true, 2);
    worker_pool_push(test.pool, work, push_again, &test);
    run(&test);
    g_assert_cmpint(test.worked, ==, 1000);
    test_close(&test);
}

static void quit_timer(void *data) {
    Test *test = data;
    g_assert_cmpuint(test->done, ==, 8);
    loop_quit(test->loop);
}

/* Virtual time stands still while workers are at it. */
static void test_virtual(void) {
    Test test;
    test_open(&test, true, 4);
    for (unsigned i = 0; i < 8; i++)
        worker_pool_push(test.pool, work_slowly, done, &test);
    loop_timer_set(test.loop, &test.timer, 1, quit_timer, &test);
    run(&test);
    g_assert_cmpuint(loop_now(test.loop), ==, 1);
    test_close(&test);
}

/* Free waits for what runs, does not start what is queued, and completes all. */
static void test_free(void) {
    Test test;
    test_open(&test, true, 2);
    for (unsigned i = 0; i < 2; i++)
        worker_pool_push(test.pool, work_slowly, done, &test);
    for (unsigned i = 0; i < 3000; i++)
        worker_pool_push(test.pool, work, done, &test);
    while (g_atomic_int_get(&test.inside) < 2)
        g_usleep(100);
    g_clear_pointer(&test.pool, worker_pool_free);
    g_assert_cmpint(test.inside, ==, 0);
    g_assert_cmpint(test.worked, ==, 0);
    g_assert_cmpuint(test.done, ==, 3002);
    g_autoptr(GError) error = NULL;
    g_assert_false(loop_run(test.loop, &error)); /* nothing is posted any more, nobody holds */
    g_assert_true(g_str_has_prefix(error->message, "deadlock"));
    test_close(&test);
}

static void test_free_at_any_time(void) {
    for (unsigned i = 0; i < 200; i++) {
        Test test;
        test_open(&test, false, 3);
        for (unsigned n = 0; n < i; n++)
            worker_pool_push(test.pool, work, done, &test);
        if (i % 2)
            g_usleep(i);
        if (i % 3 == 0)
            (void)loop_turn(test.loop);
        g_clear_pointer(&test.pool, worker_pool_free);
        g_assert_cmpuint(test.done, ==, i);
        g_assert_cmpint(test.worked, <=, (gint)i);
        test_close(&test);
    }
}

static void note_mask(void *data) {
    Test *test = data;
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    g_atomic_int_set(&test->worked, sigismember(&mask, SIGTERM));
}

static void test_signals_blocked(void) {
    Test test;
    test_open(&test, false, 1);
    test.expected = 1;
    worker_pool_push(test.pool, note_mask, done, &test);
    run(&test);
    g_assert_cmpint(test.worked, ==, 1);
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    g_assert_cmpint(sigismember(&mask, SIGTERM), ==, 0);
    test_close(&test);
}

static void work_tiny(void *data) {
}

static void done_tiny(void *data) {
    Test *test = data;
    if (++test->done == test->expected)
        loop_quit(test->loop);
}

/* Of all threads. */
static gint64 processor_us(void) {
    return (gint64)clock() * G_USEC_PER_SEC / CLOCKS_PER_SEC;
}

static void check_speed(unsigned n) {
    Test test;
    test_open(&test, false, 0);
    test.expected = n;
    for (int round = 0; round < 3; round++) {
        test.done = 0;
        gint64 start = processor_us();
        for (unsigned i = 0; i < n; i++)
            worker_pool_push(test.pool, work_tiny, done_tiny, &test);
        gint64 pushed = processor_us();
        run(&test);
        gint64 end = processor_us();
        g_test_message("%u tiny tasks: %.2f us each, %.2f of it to push", n,
                       (double)(end - start) / n, (double)(pushed - start) / n);
        g_assert_cmpint(end - start, <, (gint64)n * 100);
    }
    g_test_message("longest callback: %" G_GUINT64_FORMAT " us", loop_longest_callback(test.loop));
    test_close(&test);
}

static void test_speed(void) {
    check_speed(10000);
    check_speed(100000);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/worker/tasks", test_tasks);
    g_test_add_func("/worker/start-order", test_start_order);
    g_test_add_func("/worker/parallel", test_parallel);
    g_test_add_func("/worker/idle-threads-wake", test_idle_threads_wake);
    g_test_add_func("/worker/idle-is-not-enough", test_idle_is_not_enough);
    g_test_add_func("/worker/idle-time", test_idle_time);
    g_test_add_func("/worker/idle-sleeps", test_idle_sleeps);
    g_test_add_func("/worker/idle-race", test_idle_race);
    g_test_add_func("/worker/push-from-done", test_push_from_done);
    g_test_add_func("/worker/virtual", test_virtual);
    g_test_add_func("/worker/free", test_free);
    g_test_add_func("/worker/free-at-any-time", test_free_at_any_time);
    g_test_add_func("/worker/signals-blocked", test_signals_blocked);
    g_test_add_func("/worker/speed", test_speed);
    return g_test_run();
}
