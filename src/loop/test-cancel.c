#include "loop/cancel.h"

#include <poll.h>

#include "base/error.h"

static bool readable(int fd) {
    struct pollfd poll_fd = { fd, POLLIN, 0 };
    return poll(&poll_fd, 1, 0) == 1;
}

static void assert_stopped(const Cancel *cancel, int code, const char *message) {
    g_autoptr(GError) error = NULL;
    g_assert_false(cancel_check(cancel, &error));
    g_assert_error(error, STEAD_ERROR, code);
    g_assert_cmpstr(error->message, ==, message);
    g_assert_false(cancel_check(cancel, NULL));
}

static void test_none(void) {
    g_assert_true(cancel_check(NULL, NULL));
    g_assert_false(cancel_wants_kill(NULL));
    g_assert_cmpint(cancel_poll_timeout_ms(NULL), ==, -1);
    cancel_unref(NULL);
}

static void test_request(void) {
    g_autoptr(Cancel) cancel = cancel_new(0);
    g_assert_true(cancel_check(cancel, NULL));
    g_assert_cmpint(cancel_poll_timeout_ms(cancel), ==, -1);
    int fd = cancel_fd(cancel);
    g_assert_cmpint(fd, ==, cancel_fd(cancel));
    g_assert_false(readable(fd));
    cancel_request(cancel);
    cancel_request(cancel);
    g_assert_true(readable(fd));
    g_assert_cmpint(cancel_poll_timeout_ms(cancel), ==, 0);
    g_assert_false(cancel_wants_kill(cancel));
    assert_stopped(cancel, STEAD_ERROR_CANCELLED, "stopped on request");
}

static void test_request_before_fd(void) {
    g_autoptr(Cancel) cancel = cancel_new(0);
    cancel_request(cancel);
    g_assert_true(readable(cancel_fd(cancel)));
}

static void test_kill(void) {
    g_autoptr(Cancel) cancel = cancel_new(0);
    int fd = cancel_fd(cancel);
    cancel_kill(cancel);
    cancel_request(cancel); /* does not weaken it */
    g_assert_true(cancel_wants_kill(cancel));
    g_assert_true(readable(fd));
    assert_stopped(cancel, STEAD_ERROR_CANCELLED, "stopped on request");
}

static void test_deadline(void) {
    g_autoptr(Cancel) cancel = cancel_new(1000500);
    g_assert_true(cancel_check(cancel, NULL));
    int left = cancel_poll_timeout_ms(cancel);
    g_assert_cmpint(left, >, 0);
    g_assert_cmpint(left, <=, 1001);
    struct pollfd poll_fd = { cancel_fd(cancel), POLLIN, 0 };
    while ((left = cancel_poll_timeout_ms(cancel)) > 0)
        g_assert_cmpint(poll(&poll_fd, 1, left), ==, 0);
    assert_stopped(cancel, STEAD_ERROR_TIMEOUT, "timed out after 1.0005 s");
    cancel_request(cancel); /* a request is the better reason */
    assert_stopped(cancel, STEAD_ERROR_CANCELLED, "stopped on request");
}

static void test_far_deadline(void) {
    g_autoptr(Cancel) cancel = cancel_new(UINT64_MAX);
    g_assert_true(cancel_check(cancel, NULL));
    g_assert_cmpint(cancel_poll_timeout_ms(cancel), ==, -1);
    g_autoptr(Cancel) years = cancel_new(1000000ull * 86400 * 365);
    g_assert_cmpint(cancel_poll_timeout_ms(years), ==, G_MAXINT);
}

static void *request_later(void *data) {
    g_usleep(20000);
    cancel_request(data);
    cancel_unref(data);
    return NULL;
}

static void test_wakes_poll(void) {
    g_autoptr(Cancel) cancel = cancel_new(0);
    struct pollfd poll_fd = { cancel_fd(cancel), POLLIN, 0 };
    GThread *thread = g_thread_new("request", request_later, cancel_ref(cancel));
    g_assert_cmpint(poll(&poll_fd, 1, 5000), ==, 1);
    g_assert_false(cancel_check(cancel, NULL));
    g_thread_join(thread);
}

/* cancel_fd() and cancel_request() at the same moment: the descriptor must not miss it. */
static void *take_fd(void *data) {
    struct pollfd poll_fd = { cancel_fd(data), POLLIN, 0 };
    g_assert_cmpint(poll(&poll_fd, 1, 5000), ==, 1);
    cancel_unref(data);
    return NULL;
}

static void test_race(void) {
    for (int i = 0; i < 500; i++) {
        g_autoptr(Cancel) cancel = cancel_new(0);
        GThread *thread = g_thread_new("fd", take_fd, cancel_ref(cancel));
        if (i % 2)
            g_usleep((gulong)i / 10);
        cancel_request(cancel);
        g_thread_join(thread);
    }
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cancel/none", test_none);
    g_test_add_func("/cancel/request", test_request);
    g_test_add_func("/cancel/request-before-fd", test_request_before_fd);
    g_test_add_func("/cancel/kill", test_kill);
    g_test_add_func("/cancel/deadline", test_deadline);
    g_test_add_func("/cancel/far-deadline", test_far_deadline);
    g_test_add_func("/cancel/wakes-poll", test_wakes_poll);
    g_test_add_func("/cancel/race", test_race);
    return g_test_run();
}
