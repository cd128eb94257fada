#include "loop/loop.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/error.h"

#define SECOND G_USEC_PER_SEC
#define HOUR   (3600ull * SECOND)

typedef struct {
    Loop *loop;
    LoopTimer *timer, *other;
    LoopSource *source;
    GString *log;
    uint64_t period;
    unsigned count, limit;
    gint atomic_count;
    char letter;
} Test;

static void test_open(Test *test, bool is_virtual) {
    g_autoptr(GError) error = NULL;
    *test = (Test){ .log = g_string_new(NULL) };
    test->loop = is_virtual ? loop_new_virtual(&error) : loop_new(&error);
    g_assert_no_error(error);
}

static void test_close(Test *test) {
    loop_source_free(test->source);
    loop_free(test->loop);
    g_assert_null(test->timer);
    g_assert_null(test->other);
    g_string_free(test->log, TRUE);
}

static void run(Test *test) {
    g_autoptr(GError) error = NULL;
    g_assert_true(loop_run(test->loop, &error));
    g_assert_no_error(error);
}

static void quit(void *data) {
    loop_quit(((Test *)data)->loop);
}

static void nothing(void *data) {
}

static double cpu_seconds(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* Timers */

typedef struct {
    Test *test;
    LoopTimer *timer;
    char letter;
} Letter;

static void write_letter(void *data) {
    Letter *letter = data;
    g_assert_null(letter->timer);
    g_string_append_c(letter->test->log, letter->letter);
}

static void test_timer_order(void) {
    Test test;
    test_open(&test, true);
    static const uint64_t deadlines[] = { 5, 3, 5, 1, 3, 0, 9, 5 };
    Letter letters[G_N_ELEMENTS(deadlines)];
    for (size_t i = 0; i < G_N_ELEMENTS(deadlines); i++) {
        letters[i] = (Letter){ &test, NULL, (char)('a' + i) };
        loop_timer_set(test.loop, &letters[i].timer, deadlines[i] * HOUR, write_letter,
                       &letters[i]);
        g_assert_cmpuint(loop_timer_deadline(letters[i].timer), ==, deadlines[i] * HOUR);
    }
    loop_timer_set(test.loop, &letters[2].timer, 4 * HOUR, write_letter, &letters[2]); /* earlier */
    loop_timer_set(test.loop, &letters[3].timer, 7 * HOUR, write_letter, &letters[3]); /* later */
    loop_timer_clear(&letters[4].timer);
    loop_timer_clear(&letters[4].timer);
    g_assert_null(letters[4].timer);
    loop_timer_set(test.loop, &test.timer, 10 * HOUR, quit, &test);
    run(&test);
    g_assert_cmpstr(test.log->str, ==, "fbcahdg");
    g_assert_cmpuint(loop_now(test.loop), ==, 10 * HOUR);
    test_close(&test);
}

static void tick(void *data) {
    Test *test = data;
    g_assert_null(test->timer);
    if (++test->count == test->limit)
        loop_quit(test->loop);
    else
        loop_timer_set(test->loop, &test->timer, loop_now(test->loop) + test->period, tick, test);
}

static void test_virtual_hours(void) {
    Test test;
    test_open(&test, true);
    g_assert_true(loop_is_virtual(test.loop));
    g_assert_cmpuint(loop_now(test.loop), ==, 0);
    test.period = SECOND;
    test.limit = 10 * 3600;
    loop_timer_set(test.loop, &test.timer, SECOND, tick, &test);
    double start = cpu_seconds();
    run(&test);
    double taken = cpu_seconds() - start;
    g_test_message("10 hours of seconds: %.1f ms", taken * 1000);
    g_assert_cmpfloat(taken, <, 1);
    g_assert_cmpuint(loop_now(test.loop), ==, 10 * HOUR);
    g_assert_cmpuint(loop_wall_now(test.loop), ==, LOOP_VIRTUAL_EPOCH + 10 * HOUR);
    test_close(&test);
}

static void test_real_time(void) {
    Test test;
    test_open(&test, false);
    g_assert_false(loop_is_virtual(test.loop));
    uint64_t start = loop_now(test.loop);
    test.period = 5000;
    test.limit = 10;
    loop_timer_set(test.loop, &test.timer, start + test.period, tick, &test);
    double cpu = cpu_seconds();
    run(&test);
    uint64_t taken = loop_now(test.loop) - start;
    g_assert_cmpuint(taken, >=, 50000);
    g_assert_cmpuint(taken, <, 10 * SECOND);
    g_assert_cmpfloat(cpu_seconds() - cpu, <, 0.04);
    g_assert_cmpuint(loop_wall_now(test.loop) / SECOND - (uint64_t)g_get_real_time() / SECOND, <=,
                     1);
    test_close(&test);
}

/* A timer that sets itself to the past lets others, messages and descriptors have their turn. */
static void set_to_past(void *data) {
    Test *test = data;
    if (++test->count == 3)
        loop_post(test->loop, quit, test);
    loop_timer_set(test->loop, &test->timer, 0, set_to_past, test);
}

static void check_past(bool is_virtual) {
    Test test;
    test_open(&test, is_virtual);
    loop_timer_set(test.loop, &test.timer, 0, set_to_past, &test);
    run(&test);
    loop_timer_clear(&test.timer);
    test.count = 100; /* no post this time */
    loop_timer_set(test.loop, &test.timer, 0, set_to_past, &test);
    loop_timer_set(test.loop, &test.other, loop_now(test.loop), quit, &test);
    run(&test);
    loop_timer_clear(&test.timer);
    test_close(&test);
}

static void test_past(void) {
    check_past(true);
    check_past(false);
}

static void clear_other(void *data) {
    Test *test = data;
    loop_timer_clear(&test->other);
}

/* A callback may clear a timer that is due in the same round. */
static void test_clear_due(void) {
    Test test;
    test_open(&test, true);
    loop_timer_set(test.loop, &test.timer, 5, clear_other, &test);
    loop_timer_set(test.loop, &test.other, 5, quit, &test);
    LoopTimer *last = NULL;
    Letter letter = { &test, NULL, 'x' };
    loop_timer_set(test.loop, &letter.timer, 6, write_letter, &letter);
    loop_timer_set(test.loop, &last, 7, quit, &test);
    run(&test);
    g_assert_cmpstr(test.log->str, ==, "x");
    test_close(&test);
}

typedef struct {
    Test *test;
    LoopTimer *timer;
    uint64_t deadline;
} Alarm;

static void ring(void *data) {
    Alarm *alarm = data;
    g_assert_cmpuint(loop_now(alarm->test->loop), ==, alarm->deadline);
    alarm->test->count++;
}

static void set_alarm(Test *test, Alarm *alarm, uint64_t deadline) {
    alarm->test = test;
    alarm->deadline = deadline;
    loop_timer_set(test->loop, &alarm->timer, deadline, ring, alarm);
}

static uint64_t since(uint64_t *start) {
    uint64_t now = (uint64_t)g_get_monotonic_time(), taken = now - *start;
    *start = now;
    return taken;
}

static void test_many_timers(void) {
    enum { N = 100000, SPAN = 24 * 3600 };
    Test test;
    test_open(&test, true);
    Alarm *alarms = g_new0(Alarm, N);
    g_autoptr(GRand) random = g_rand_new_with_seed(1);
    uint64_t start = (uint64_t)g_get_monotonic_time();
    for (unsigned i = 0; i < N; i++)
        set_alarm(&test, &alarms[i], (uint64_t)g_rand_int_range(random, 0, SPAN));
    uint64_t set = since(&start);
    for (unsigned i = 0; i < N; i += 2)
        set_alarm(&test, &alarms[i], (uint64_t)g_rand_int_range(random, 0, SPAN));
    uint64_t moved = since(&start);
    for (unsigned i = 1; i < N; i += 4)
        loop_timer_clear(&alarms[i].timer);
    uint64_t cleared = since(&start);
    loop_timer_set(test.loop, &test.timer, HOUR, quit, &test);
    run(&test);
    g_test_message("us for 100000 timers: set %" G_GUINT64_FORMAT ", move half %" G_GUINT64_FORMAT
                   ", clear a quarter %" G_GUINT64_FORMAT ", fire %" G_GUINT64_FORMAT,
                   set, moved, cleared, since(&start));
    g_assert_cmpuint(test.count, ==, N - N / 4);
    for (unsigned i = 0; i < N; i++)
        g_assert_null(alarms[i].timer);
    g_free(alarms);
    test_close(&test);
}

/* loop_free() leaves no slot behind that points nowhere. */
static void test_free_with_timers(void) {
    Test test;
    test_open(&test, false);
    loop_timer_set(test.loop, &test.timer, UINT64_MAX, quit, &test);
    loop_timer_set(test.loop, &test.other, 0, quit, &test);
    loop_post(test.loop, quit, &test);
    test_close(&test);
}

/* Messages */

static void append_letter(void *data) {
    Letter *letter = data;
    g_string_append_c(letter->test->log, letter->letter);
}

static void test_post_order(void) {
    Test test;
    test_open(&test, false);
    Letter letters[26];
    for (size_t i = 0; i < 26; i++) {
        letters[i] = (Letter){ &test, NULL, (char)('a' + i) };
        loop_post(test.loop, append_letter, &letters[i]);
    }
    loop_post(test.loop, quit, &test);
    run(&test);
    g_assert_cmpstr(test.log->str, ==, "abcdefghijklmnopqrstuvwxyz");
    test_close(&test);
}

static void test_unpost(void) {
    Test test;
    test_open(&test, true);
    Letter a = { &test, NULL, 'a' }, b = { &test, NULL, 'b' };
    loop_post(test.loop, append_letter, &a);
    loop_post(test.loop, append_letter, &b);
    loop_post(test.loop, append_letter, &a);
    loop_unpost(test.loop, append_letter, &a);
    loop_post(test.loop, quit, &test);
    run(&test);
    g_assert_cmpstr(test.log->str, ==, "b");
    test_close(&test);
}

typedef struct {
    Loop *loop;
    Letter *victim;
} Unposter;

static void unpost_victim(void *data) {
    Unposter *unposter = data;
    loop_unpost(unposter->loop, append_letter, unposter->victim);
}

/* Also from a message of the same batch. */
static void test_unpost_in_batch(void) {
    Test test;
    test_open(&test, true);
    Letter a = { &test, NULL, 'a' }, b = { &test, NULL, 'b' };
    Unposter unposter = { test.loop, &b };
    loop_post(test.loop, append_letter, &a);
    loop_post(test.loop, unpost_victim, &unposter);
    loop_post(test.loop, append_letter, &b);
    loop_post(test.loop, quit, &test);
    run(&test);
    g_assert_cmpstr(test.log->str, ==, "a");
    test_close(&test);
}

enum { POSTERS = 8, POSTS = 20000 };

typedef struct {
    Test *test;
    unsigned next; /* what the loop expects */
    unsigned numbers[POSTS];
} Poster;

typedef struct {
    Poster *poster;
    unsigned number;
} Post;

static void receive(void *data) {
    Post *post = data;
    Test *test = post->poster->test;
    g_assert_cmpuint(post->number, ==, post->poster->next); /* in the order of each thread */
    post->poster->next++;
    g_free(post);
    if (++test->count == POSTERS * POSTS)
        loop_quit(test->loop);
}

static void *post_many(void *data) {
    Poster *poster = data;
    for (unsigned i = 0; i < POSTS; i++) {
        Post *post = g_new(Post, 1);
        *post = (Post){ poster, i };
        loop_post(poster->test->loop, receive, post);
    }
    return NULL;
}

static void check_post_threads(bool is_virtual) {
    Test test;
    test_open(&test, is_virtual);
    loop_hold(test.loop);
    g_autofree Poster *posters = g_new0(Poster, POSTERS);
    GThread *threads[POSTERS];
    for (size_t i = 0; i < POSTERS; i++) {
        posters[i].test = &test;
        threads[i] = g_thread_new("post", post_many, &posters[i]);
    }
    run(&test);
    for (size_t i = 0; i < POSTERS; i++)
        g_thread_join(threads[i]);
    loop_release(test.loop);
    g_assert_cmpuint(test.count, ==, POSTERS * POSTS);
    test_close(&test);
}

static void test_post_threads(void) {
    check_post_threads(false);
    check_post_threads(true);
}

static void sleep_and_post(void *data) {
    Test *test = data;
    g_usleep(1000);
    if (++test->count < 50)
        loop_post(test->loop, sleep_and_post, test);
    else
        loop_quit(test->loop);
}

static void test_post_speed(void) {
    enum { N = 1000000 };
    Test test;
    test_open(&test, false);
    double start = cpu_seconds();
    for (unsigned i = 0; i < N; i++)
        loop_post(test.loop, nothing, NULL);
    double posted = cpu_seconds();
    loop_post(test.loop, quit, &test);
    run(&test);
    double end = cpu_seconds();
    g_test_message("ns a message: post %.0f, deliver %.0f", (posted - start) * 1e9 / N,
                   (end - posted) * 1e9 / N);
    g_assert_cmpfloat(end - start, <, 2);
    test_close(&test);
}

/* A long batch of messages does not keep timers waiting: each message takes 1 ms, a slice 2. */
static void slow_message(void *data) {
    Test *test = data;
    test->count++;
    g_usleep(1000);
}

static void note_count(void *data) {
    Test *test = data;
    g_assert_cmpuint(test->count, <, 20);
    loop_quit(test->loop);
}

static void test_slices(void) {
    Test test;
    test_open(&test, false);
    for (unsigned i = 0; i < 50; i++)
        loop_post(test.loop, slow_message, &test);
    loop_timer_set(test.loop, &test.timer, loop_now(test.loop) + 3000, note_count, &test);
    run(&test);
    loop_post(test.loop, quit, &test); /* behind those that are left */
    run(&test);
    g_assert_cmpuint(test.count, ==, 50);
    test_close(&test);
}

/* Timers of one deadline that take longer than a slice all come. */
static void test_slices_of_timers(void) {
    Test test;
    test_open(&test, false);
    LoopTimer *timers[8] = { NULL };
    uint64_t deadline = loop_now(test.loop) + 1000;
    for (size_t i = 0; i < G_N_ELEMENTS(timers); i++)
        loop_timer_set(test.loop, &timers[i], deadline, slow_message, &test);
    loop_timer_set(test.loop, &test.timer, deadline + 1, quit, &test);
    run(&test);
    g_assert_cmpuint(test.count, ==, 8);
    test_close(&test);
}

/* Virtual time knows no slices: what comes first does not depend on how long it takes. */
static void expect_five(void *data) {
    Test *test = data;
    g_assert_cmpuint(test->count, ==, 5);
}

static void test_virtual_order(void) {
    Test test;
    test_open(&test, true);
    loop_timer_set(test.loop, &test.timer, 0, expect_five, &test);
    for (unsigned i = 0; i < 5; i++)
        loop_post(test.loop, slow_message, &test);
    g_assert_true(loop_turn(test.loop));
    g_assert_null(test.timer);
    test_close(&test);
}

/* Running */

static void test_deadlock(void) {
    Test test;
    test_open(&test, true);
    loop_post(test.loop, nothing, NULL);
    loop_timer_set(test.loop, &test.timer, HOUR, nothing, NULL);
    g_autoptr(GError) error = NULL;
    g_assert_false(loop_run(test.loop, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_FAILED);
    g_assert_cmpstr(error->message, ==, "deadlock: nothing left to wait for");
    g_assert_cmpuint(loop_now(test.loop), ==, HOUR);
    test_close(&test);
}

static void test_turn(void) {
    Test test;
    test_open(&test, true);
    g_assert_false(loop_turn(test.loop));
    loop_timer_set(test.loop, &test.timer, HOUR, quit, &test);
    g_assert_false(loop_turn(test.loop));
    g_assert_cmpuint(loop_now(test.loop), ==, 0);
    Letter a = { &test, NULL, 'a' };
    loop_post(test.loop, append_letter, &a);
    loop_timer_set(test.loop, &a.timer, 0, write_letter, &a);
    g_assert_true(loop_turn(test.loop));
    g_assert_cmpstr(test.log->str, ==, "aa");
    g_assert_false(loop_turn(test.loop));
    test_close(&test);

    test_open(&test, false);
    g_assert_false(loop_turn(test.loop));
    loop_timer_set(test.loop, &test.timer, 0, nothing, NULL);
    g_assert_true(loop_turn(test.loop));
    test_close(&test);
}

static bool is_readable(const Test *test, int timeout_ms) {
    struct pollfd fd = { .fd = loop_fd(test->loop), .events = POLLIN };
    return poll(&fd, 1, timeout_ms) == 1;
}

/* Another loop waits for the descriptor: nothing is due before it is readable. */
static void test_dispatch(void) {
    Test test;
    g_autoptr(GError) error = NULL;
    test_open(&test, false);
    g_assert_cmpint(loop_dispatch(test.loop, &error), ==, 0);
    g_assert_false(is_readable(&test, 0));
    Letter a = { &test, NULL, 'a' };
    loop_post(test.loop, append_letter, &a);
    g_assert_true(is_readable(&test, 0));
    g_assert_cmpint(loop_dispatch(test.loop, &error), ==, 1);
    loop_timer_set(test.loop, &test.timer, loop_now(test.loop) + SECOND / 20, quit, &test);
    g_assert_cmpint(loop_dispatch(test.loop, &error), ==, 0); /* sets the clock */
    g_assert_false(is_readable(&test, 0));
    g_assert_true(is_readable(&test, 60000));
    g_assert_false(loop_is_quitting(test.loop));
    g_assert_cmpint(loop_dispatch(test.loop, &error), ==, 1);
    g_assert_true(loop_is_quitting(test.loop));
    loop_post(test.loop, append_letter, &a);
    g_assert_cmpint(loop_dispatch(test.loop, &error), ==, 0); /* nothing runs any more */
    g_assert_cmpstr(test.log->str, ==, "a");
    g_assert_no_error(error);
    test_close(&test);
}

static void test_quit_before_run(void) {
    Test test;
    test_open(&test, false);
    loop_quit(test.loop);
    run(&test);
    loop_post(test.loop, quit, &test); /* a loop may run again */
    run(&test);
    test_close(&test);
}

static void *release_later(void *data) {
    Test *test = data;
    g_usleep(30000);
    g_atomic_int_set(&test->atomic_count, 1);
    loop_release(test->loop);
    return NULL;
}

static void expect_released(void *data) {
    Test *test = data;
    g_assert_cmpint(g_atomic_int_get(&test->atomic_count), ==, 1);
    loop_quit(test->loop);
}

/* While somebody holds it, virtual time stands still, and waiting takes no CPU. */
static void test_hold(void) {
    Test test;
    test_open(&test, true);
    loop_timer_set(test.loop, &test.timer, HOUR, expect_released, &test);
    loop_hold(test.loop);
    double cpu = cpu_seconds();
    GThread *thread = g_thread_new("hold", release_later, &test);
    run(&test);
    g_thread_join(thread);
    g_assert_cmpfloat(cpu_seconds() - cpu, <, 0.02);
    test_close(&test);
}

static void test_longest_callback(void) {
    Test test;
    test_open(&test, false);
    test.count = 49;
    loop_post(test.loop, sleep_and_post, &test);
    run(&test);
    g_assert_cmpuint(loop_longest_callback(test.loop), >=, 1000);
    g_assert_cmpuint(loop_longest_callback(test.loop), <, 10 * SECOND);
    test_close(&test);
}

static void test_wrong_thread(void) {
    if (g_test_subprocess()) {
        Test test;
        test_open(&test, true);
        GThread *thread = g_thread_new("quit", (GThreadFunc)(void (*)(void))quit, &test);
        g_thread_join(thread);
        return;
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_failed();
}

/* Sources */

static void read_letter(void *data, int fd, uint32_t events) {
    Test *test = data;
    char c;
    g_assert_cmpuint(events, ==, EPOLLIN);
    g_assert_cmpint(read(fd, &c, 1), ==, 1);
    g_string_append_c(test->log, c);
    if (c == '.') {
        g_clear_pointer(&test->source, loop_source_free); /* from its own callback */
        loop_quit(test->loop);
    }
}

static void check_fd(bool is_virtual) {
    Test test;
    test_open(&test, is_virtual);
    int fds[2];
    g_assert_cmpint(pipe(fds), ==, 0);
    g_autoptr(GError) error = NULL;
    test.source = loop_watch_fd(test.loop, fds[0], EPOLLIN, read_letter, &test, &error);
    g_assert_no_error(error);
    g_assert_false(loop_turn(test.loop));
    g_assert_cmpint(write(fds[1], "ab.c", 4), ==, 4);
    run(&test);
    g_assert_cmpstr(test.log->str, ==, "ab.");
    g_assert_false(loop_turn(test.loop));
    close(fds[0]);
    close(fds[1]);
    test_close(&test);
}

static void test_fd(void) {
    check_fd(false);
    check_fd(true);
}

static void test_fd_refused(void) {
    Test test;
    test_open(&test, false);
    g_autoptr(GError) error = NULL;
    int fd = dup(0);
    close(fd);
    g_assert_null(loop_watch_fd(test.loop, fd, EPOLLIN, read_letter, &test, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_IO);
    g_autofree char *expected = g_strdup_printf("watch descriptor %d: Bad file descriptor", fd);
    g_assert_cmpstr(error->message, ==, expected);
    test_close(&test);
}

static void on_signal(void *data, int signal_number) {
    Test *test = data;
    g_assert_cmpint(signal_number, ==, SIGUSR1);
    test->count++;
    loop_quit(test->loop);
}

static void test_signal(void) {
    Test test;
    test_open(&test, false);
    g_autoptr(GError) error = NULL;
    test.source = loop_watch_signal(test.loop, SIGUSR1, on_signal, &test, &error);
    g_assert_no_error(error);
    g_assert_cmpint(kill(getpid(), SIGUSR1), ==, 0);
    run(&test);
    g_assert_cmpuint(test.count, ==, 1);
    g_assert_null(loop_watch_signal(test.loop, SIGUSR1, on_signal, &test, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_IO);
    test_close(&test);
}

static void *quit_later(void *data) {
    Test *test = data;
    g_usleep(100000);
    loop_post(test->loop, quit, test);
    return NULL;
}

static void test_idle(void) {
    Test test;
    test_open(&test, false);
    loop_timer_set(test.loop, &test.timer, loop_now(test.loop) + HOUR, nothing, NULL);
    GThread *thread = g_thread_new("quit", quit_later, &test);
    struct rusage before, after;
    getrusage(RUSAGE_THREAD, &before);
    run(&test);
    getrusage(RUSAGE_THREAD, &after);
    g_thread_join(thread);
    g_assert_cmpint(after.ru_nvcsw - before.ru_nvcsw, <=, 3); /* asleep once, not polling */
    test_close(&test);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/loop/timer-order", test_timer_order);
    g_test_add_func("/loop/virtual-hours", test_virtual_hours);
    g_test_add_func("/loop/real-time", test_real_time);
    g_test_add_func("/loop/past", test_past);
    g_test_add_func("/loop/clear-due", test_clear_due);
    g_test_add_func("/loop/many-timers", test_many_timers);
    g_test_add_func("/loop/free-with-timers", test_free_with_timers);
    g_test_add_func("/loop/post-order", test_post_order);
    g_test_add_func("/loop/unpost", test_unpost);
    g_test_add_func("/loop/unpost-in-batch", test_unpost_in_batch);
    g_test_add_func("/loop/post-threads", test_post_threads);
    g_test_add_func("/loop/post-speed", test_post_speed);
    g_test_add_func("/loop/slices", test_slices);
    g_test_add_func("/loop/slices-of-timers", test_slices_of_timers);
    g_test_add_func("/loop/virtual-order", test_virtual_order);
    g_test_add_func("/loop/deadlock", test_deadlock);
    g_test_add_func("/loop/turn", test_turn);
    g_test_add_func("/loop/dispatch", test_dispatch);
    g_test_add_func("/loop/quit-before-run", test_quit_before_run);
    g_test_add_func("/loop/hold", test_hold);
    g_test_add_func("/loop/longest-callback", test_longest_callback);
    g_test_add_func("/loop/wrong-thread", test_wrong_thread);
    g_test_add_func("/loop/fd", test_fd);
    g_test_add_func("/loop/fd-refused", test_fd_refused);
    g_test_add_func("/loop/signal", test_signal);
    g_test_add_func("/loop/idle", test_idle);
    return g_test_run();
}
