#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "graph/watcher.h"
#include "host/host-ops.h"

/* --- a host whose watches the test fires, and that starts real commands */

typedef struct {
    Host host;
    GPtrArray *watches; /* of HostWatch, while they live */
    bool refuse;
    pid_t last_pid;
    int go_fd; /* a line written here lets the command's `read` go on; -1: none */
} TestHost;

static void test_watch_free(HostWatch *watch) {
    g_ptr_array_remove(watch->data, watch);
    g_free(watch);
}

/* The list of watches is remembered in a wrapper, so that a freed watch leaves it. */
typedef struct {
    HostWatch watch;
    void *sink_data;
} TestWatch;

static HostWatch *test_host_watch(Host *host, Loop *loop, HostWatchClass class, const char *name,
                                  uint64_t owner, HostWatchCallback callback, void *data,
                                  GError **error) {
    TestHost *self = (TestHost *)host;
    if (self->refuse) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_IO, "watch '%s': no more", name);
        return NULL;
    }
    TestWatch *watch = g_new0(TestWatch, 1);
    watch->watch = (HostWatch){ test_watch_free, callback, self->watches, owner };
    watch->sink_data = data;
    g_ptr_array_add(self->watches, watch);
    return &watch->watch;
}

static void fire(TestHost *host, unsigned index, HostEvent event, const char *detail) {
    TestWatch *watch = host->watches->pdata[index];
    watch->watch.callback(watch->sink_data, event, detail);
}

static bool test_host_spawn(Host *host, const HostCommand *command, int *ret_stdout_fd,
                            pid_t *ret_pid, GError **error) {
    TestHost *self = (TestHost *)host;
    int fds[2], go[2];
    g_assert_cmpint(pipe2(fds, O_CLOEXEC), ==, 0);
    g_assert_cmpint(pipe2(go, O_CLOEXEC), ==, 0);
    g_assert_cmpint(fcntl(fds[0], F_SETFL, O_NONBLOCK), ==, 0); /* our end only */
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    g_assert_cmpint(posix_spawn_file_actions_init(&actions), ==, 0);
    g_assert_cmpint(posix_spawn_file_actions_adddup2(&actions, go[0], 0), ==, 0);
    g_assert_cmpint(posix_spawn_file_actions_adddup2(&actions, fds[1], 1), ==, 0);
    g_assert_cmpint(posix_spawnattr_init(&attributes), ==, 0);
    g_assert_cmpint(posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP), ==, 0);
    int r = posix_spawnp(ret_pid, command->argv[0], &actions, &attributes,
                         (char **)(uintptr_t)command->argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    close(fds[1]);
    close(go[0]);
    if (r != 0) {
        close(fds[0]);
        close(go[1]);
        return set_io_error(error, r, "run '%s'", command->argv[0]);
    }
    *ret_stdout_fd = fds[0];
    self->last_pid = *ret_pid;
    self->go_fd = go[1];
    return true;
}

static const HostOps ops = { .name = "test", .watch = test_host_watch, .spawn = test_host_spawn };
static const HostOps bare_ops = { .name = "bare" };

/* --- a watcher with a log of its signals */

typedef struct {
    TestHost host;
    Loop *loop;
    Watcher *watcher;
    GString *log;
    const char *quit_at; /* the log that ends loop_run() */
    bool free_in_sink;
} Fixture;

static void sink(void *data, WatchSignal signal, const char *detail) {
    Fixture *fixture = data;
    static const char *const names[] = { "ready ", "event ", "failed " };
    g_string_append(fixture->log, names[signal]);
    g_assert_true((signal == WATCH_FAILED) == (detail != NULL));
    if (detail)
        g_string_append_printf(fixture->log, "(%s)", detail);
    if (fixture->free_in_sink)
        g_clear_pointer(&fixture->watcher, watcher_free);
    bool reached = fixture->quit_at && g_str_has_prefix(fixture->log->str, fixture->quit_at);
    if (reached || signal == WATCH_FAILED)
        loop_quit(fixture->loop);
}

static void set_up(Fixture *fixture, gconstpointer virtual_time) {
    *fixture = (Fixture){ .log = g_string_new(NULL) };
    fixture->host.host.ops = &ops;
    fixture->host.watches = g_ptr_array_new();
    fixture->host.go_fd = -1;
    fixture->loop = virtual_time ? loop_new_virtual(NULL) : loop_new(NULL);
    fixture->watcher = watcher_new(&fixture->host.host, fixture->loop, 7, sink, fixture);
}

static void tear_down(Fixture *fixture, gconstpointer virtual_time) {
    watcher_free(fixture->watcher);
    g_assert_cmpuint(fixture->host.watches->len, ==, 0);
    loop_free(fixture->loop);
    if (fixture->host.go_fd >= 0)
        close(fixture->host.go_fd);
    g_ptr_array_unref(fixture->host.watches);
    g_string_free(fixture->log, TRUE);
}

static void turn(Fixture *fixture) {
    while (loop_turn(fixture->loop))
        continue;
}

static void run_until(Fixture *fixture, const char *log) {
    fixture->quit_at = log;
    if (!g_str_has_prefix(fixture->log->str, log))
        g_assert_true(loop_run(fixture->loop, NULL));
}

static void watch_file(Fixture *fixture, const char *path) {
    g_assert_true(watcher_host(fixture->watcher, HOST_WATCH_FILE, path, NULL));
}

/* --- signals */

static void test_ready_when_all_are_armed(Fixture *fixture, gconstpointer data) {
    watch_file(fixture, "/a");
    watch_file(fixture, "/b");
    fire(&fixture->host, 0, HOST_EVENT_READY, NULL);
    turn(fixture);
    g_assert_cmpstr(fixture->log->str, ==, "");
    watcher_start(fixture->watcher);
    turn(fixture);
    g_assert_cmpstr(fixture->log->str, ==, "");
    fire(&fixture->host, 0, HOST_EVENT_READY, NULL); /* not counted twice */
    turn(fixture);
    g_assert_cmpstr(fixture->log->str, ==, "");
    fire(&fixture->host, 1, HOST_EVENT_READY, NULL);
    g_assert_cmpstr(fixture->log->str, ==, ""); /* only from the loop */
    turn(fixture);
    g_assert_cmpstr(fixture->log->str, ==, "ready ");
}

static void test_armed_before_the_start(Fixture *fixture, gconstpointer data) {
    watch_file(fixture, "/a");
    fire(&fixture->host, 0, HOST_EVENT_READY, NULL);
    turn(fixture);
    g_assert_cmpstr(fixture->log->str, ==, "");
    watcher_start(fixture->watcher);
    turn(fixture);
    g_assert_cmpstr(fixture->log->str, ==, "ready ");
}

static void test_ready_without_parts(Fixture *fixture, gconstpointer data) {
    turn(fixture);
    g_assert_cmpstr(fixture->log->str, ==, "");
    watcher_start(fixture->watcher);
    turn(fixture);
    g_assert_cmpstr(fixture->log->str, ==, "ready ");
}

static void test_events_coalesce(Fixture *fixture, gconstpointer data) {
    watch_file(fixture, "/a");
    watch_file(fixture, "/b");
    watcher_start(fixture->watcher);
    fire(&fixture->host, 0, HOST_EVENT_CHANGED, NULL); /* READY will say it too */
    turn(fixture);
    g_assert_cmpstr(fixture->log->str, ==, "");
    fire(&fixture->host, 0, HOST_EVENT_READY, NULL);
    fire(&fixture->host, 1, HOST_EVENT_READY, NULL);
    turn(fixture);
    g_assert_cmpstr(fixture->log->str, ==, "ready ");
    fire(&fixture->host, 0, HOST_EVENT_CHANGED, NULL);
    fire(&fixture->host, 1, HOST_EVENT_CHANGED, NULL);
    fire(&fixture->host, 1, HOST_EVENT_CHANGED, NULL);
    turn(fixture);
    g_assert_cmpstr(fixture->log->str, ==, "ready event ");
    fire(&fixture->host, 1, HOST_EVENT_CHANGED, NULL);
    turn(fixture);
    g_assert_cmpstr(fixture->log->str, ==, "ready event event ");
}

static void end_wait(void *data) {
    loop_quit(data);
}

static void wait_for(Fixture *fixture, uint64_t us) {
    LoopTimer *timer = NULL;
    loop_timer_set(fixture->loop, &timer, loop_now(fixture->loop) + us, end_wait, fixture->loop);
    g_assert_true(loop_run(fixture->loop, NULL));
    loop_timer_clear(&timer);
}

/* What lies beside the configuration is told when it has been quiet for a moment; the host at once.
 */
static void test_sources_settle(Fixture *fixture, gconstpointer data) {
    fixture->host.host.root = g_strdup("/");
    g_assert_true(watcher_local(fixture->watcher, HOST_WATCH_FILE, "/nowhere/source", NULL));
    watch_file(fixture, "/target");
    watcher_start(fixture->watcher);
    fire(&fixture->host, 0, HOST_EVENT_READY, NULL);
    fire(&fixture->host, 1, HOST_EVENT_READY, NULL);
    turn(fixture);
    for (int i = 0; i < 5; i++) {
        fire(&fixture->host, 0, HOST_EVENT_CHANGED, NULL);
        wait_for(fixture, 40000);
        g_assert_cmpstr(fixture->log->str, ==, "ready ");
    }
    wait_for(fixture, 20000);
    g_assert_cmpstr(fixture->log->str, ==, "ready event ");
    fire(&fixture->host, 1, HOST_EVENT_CHANGED, NULL);
    turn(fixture);
    g_assert_cmpstr(fixture->log->str, ==, "ready event event ");
    wait_for(fixture, 200000);
    g_assert_cmpstr(fixture->log->str, ==, "ready event event ");
    g_free(fixture->host.host.root);
}

/* Who writes without end is not waited for for ever. */
static void test_sources_settle_at_last(Fixture *fixture, gconstpointer data) {
    fixture->host.host.root = g_strdup("/");
    g_assert_true(watcher_local(fixture->watcher, HOST_WATCH_TREE, "/nowhere/tree", NULL));
    watcher_start(fixture->watcher);
    fire(&fixture->host, 0, HOST_EVENT_READY, NULL);
    turn(fixture);
    for (int i = 0; i < 210; i++) {
        fire(&fixture->host, 0, HOST_EVENT_CHANGED, NULL);
        wait_for(fixture, 50000);
    }
    g_assert_cmpstr(fixture->log->str, ==, "ready event ");
    g_free(fixture->host.host.root);
}

static void test_failure_is_the_last(Fixture *fixture, gconstpointer data) {
    watch_file(fixture, "/a");
    watch_file(fixture, "/b");
    watcher_start(fixture->watcher);
    fire(&fixture->host, 0, HOST_EVENT_READY, NULL);
    fire(&fixture->host, 1, HOST_EVENT_FAILED, "too many watches");
    fire(&fixture->host, 0, HOST_EVENT_FAILED, "another");
    turn(fixture);
    g_assert_cmpstr(fixture->log->str, ==, "failed (too many watches)");
    g_assert_cmpuint(fixture->host.watches->len, ==, 0); /* all parts are ended */
}

static void test_refused_part(Fixture *fixture, gconstpointer data) {
    watch_file(fixture, "/a");
    fixture->host.refuse = true;
    g_autoptr(GError) error = NULL;
    g_assert_false(watcher_host(fixture->watcher, HOST_WATCH_FILE, "/b", &error));
    g_assert_cmpstr(error->message, ==, "watch '/b': no more");
    /* It does not hold READY back. */
    watcher_start(fixture->watcher);
    fire(&fixture->host, 0, HOST_EVENT_READY, NULL);
    turn(fixture);
    g_assert_cmpstr(fixture->log->str, ==, "ready ");
}

static void test_freed_by_the_sink(Fixture *fixture, gconstpointer data) {
    watch_file(fixture, "/a");
    watcher_interval(fixture->watcher, G_USEC_PER_SEC);
    fixture->free_in_sink = true;
    watcher_start(fixture->watcher);
    fire(&fixture->host, 0, HOST_EVENT_FAILED, "x");
    turn(fixture);
    g_assert_cmpstr(fixture->log->str, ==, "failed (x)");
    g_assert_null(fixture->watcher);
}

static void test_free_drops_what_is_due(Fixture *fixture, gconstpointer data) {
    watcher_start(fixture->watcher);
    g_clear_pointer(&fixture->watcher, watcher_free);
    turn(fixture);
    g_assert_cmpstr(fixture->log->str, ==, "");
}

static void test_interval(Fixture *fixture, gconstpointer data) {
    watcher_interval(fixture->watcher, 10 * G_USEC_PER_SEC);
    watcher_interval(fixture->watcher, 25 * G_USEC_PER_SEC);
    watcher_start(fixture->watcher);
    uint64_t start = loop_now(fixture->loop);
    run_until(fixture, "ready event event event event event event event ");
    /* 10, 20, 25, 30, 40, 50 (both: one event), 60 */
    g_assert_cmpuint(loop_now(fixture->loop) - start, ==, 60 * G_USEC_PER_SEC);
}

/* --- commands */

static void go_on(Fixture *fixture) {
    g_assert_cmpint(write(fixture->host.go_fd, "\n", 1), ==, 1);
}

/* The script starts once READY was told: what it does before would be no event. */
static void start_command(Fixture *fixture, const char *commands) {
    g_autofree char *script = g_strconcat("read go; ", commands, NULL);
    const char *argv[] = { "sh", "-c", script, NULL };
    HostCommand command = { .argv = argv };
    g_autoptr(GError) error = NULL;
    g_assert_true(watcher_command(fixture->watcher, &command, &error));
    watcher_start(fixture->watcher);
    run_until(fixture, "ready ");
    go_on(fixture);
}

static void test_command_lines(Fixture *fixture, gconstpointer data) {
    start_command(fixture, "echo one; read go; printf part; sleep 0.01; printf 'of\\nlines\\n'; "
                           "exec sleep 60");
    run_until(fixture, "ready event ");
    go_on(fixture);
    run_until(fixture, "ready event event ");
    g_clear_pointer(&fixture->watcher, watcher_free);
    /* Its process is asked to end, and reaped, without waiting for it here. */
    pid_t pid = fixture->host.last_pid;
    for (unsigned i = 0; i < 3000 && kill(pid, 0) == 0; i++)
        g_usleep(10000);
    g_assert_cmpint(kill(pid, 0), ==, -1);
    g_assert_cmpint(errno, ==, ESRCH);
    g_assert_cmpstr(fixture->log->str, ==, "ready event event ");
}

static void quit(void *data) {
    loop_quit(data);
}

static void test_part_of_a_line_is_no_event(Fixture *fixture, gconstpointer data) {
    start_command(fixture, "printf part; sleep 0.1; printf part; exec sleep 60");
    LoopTimer *timer = NULL;
    loop_timer_set(fixture->loop, &timer, loop_now(fixture->loop) + 300000, quit, fixture->loop);
    g_assert_true(loop_run(fixture->loop, NULL));
    g_assert_cmpstr(fixture->log->str, ==, "ready ");
}

static void test_command_end(Fixture *fixture, gconstpointer data) {
    start_command(fixture, "exit 3");
    run_until(fixture, "ready failed ");
    g_assert_cmpstr(fixture->log->str, ==,
                    "ready failed (watch command 'sh' ended with status 3: it has to run on)");
}

static void test_command_killed(Fixture *fixture, gconstpointer data) {
    start_command(fixture, "kill -9 $$");
    run_until(fixture, "ready failed ");
    g_assert_cmpstr(fixture->log->str, ==,
                    "ready failed (watch command 'sh' was ended by signal 9 (Killed))");
}

static void test_command_silent(Fixture *fixture, gconstpointer data) {
    start_command(fixture, "exec >&-; exec sleep 60");
    run_until(fixture, "ready failed ");
    g_assert_cmpstr(fixture->log->str, ==,
                    "ready failed (watch command 'sh' closed its output: "
                    "nothing would be seen any more)");
}

/* Whoever ignores SIGTERM is killed, with everything in its process group. */
static void test_command_stubborn(Fixture *fixture, gconstpointer data) {
    /* Bounded, so that nothing stays behind when the test fails. */
    start_command(fixture, "trap '' TERM; echo up; i=0; "
                           "while [ $i -lt 150 ]; do sleep 0.1; i=$((i+1)); done");
    run_until(fixture, "ready event ");
    pid_t pid = fixture->host.last_pid;
    g_clear_pointer(&fixture->watcher, watcher_free);
    g_assert_cmpint(kill(pid, 0), ==, 0);
    for (unsigned i = 0; i < 1000 && kill(pid, 0) == 0; i++)
        g_usleep(10000);
    g_assert_cmpint(kill(pid, 0), ==, -1);
}

static void test_command_flood(Fixture *fixture, gconstpointer data) {
    start_command(fixture, "exec yes");
    run_until(fixture, "ready event event event ");
    g_assert_true(g_str_has_prefix(fixture->log->str, "ready event event event "));
}

static void test_command_refused(Fixture *fixture, gconstpointer data) {
    const char *argv[] = { "/no/such/command", NULL };
    HostCommand command = { .argv = argv };
    g_autoptr(GError) error = NULL;
    g_assert_false(watcher_command(fixture->watcher, &command, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND);
    g_clear_error(&error);
    fixture->host.host.ops = &bare_ops;
    g_assert_false(watcher_command(fixture->watcher, &command, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_UNSUPPORTED);
    fixture->host.host.ops = &ops;
}

#define VIRTUAL GINT_TO_POINTER(1)

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    static const struct {
        const char *name;
        void (*run)(Fixture *fixture, gconstpointer data);
        bool real_time;
    } tests[] = {
        { "/watcher/ready-when-all-are-armed", test_ready_when_all_are_armed },
        { "/watcher/armed-before-the-start", test_armed_before_the_start },
        { "/watcher/ready-without-parts", test_ready_without_parts },
        { "/watcher/events-coalesce", test_events_coalesce },
        { "/watcher/sources-settle", test_sources_settle },
        { "/watcher/sources-settle-at-last", test_sources_settle_at_last },
        { "/watcher/failure-is-the-last", test_failure_is_the_last },
        { "/watcher/refused-part", test_refused_part },
        { "/watcher/freed-by-the-sink", test_freed_by_the_sink },
        { "/watcher/free-drops-what-is-due", test_free_drops_what_is_due },
        { "/watcher/interval", test_interval },
        { "/watcher/command-lines", test_command_lines, true },
        { "/watcher/part-of-a-line-is-no-event", test_part_of_a_line_is_no_event, true },
        { "/watcher/command-end", test_command_end, true },
        { "/watcher/command-killed", test_command_killed, true },
        { "/watcher/command-silent", test_command_silent, true },
        { "/watcher/command-stubborn", test_command_stubborn, true },
        { "/watcher/command-flood", test_command_flood, true },
        { "/watcher/command-refused", test_command_refused, true },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(tests); i++)
        g_test_add(tests[i].name, Fixture, tests[i].real_time ? NULL : VIRTUAL, set_up,
                   tests[i].run, tear_down);
    return g_test_run();
}
