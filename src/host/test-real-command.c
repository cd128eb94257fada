/* Real commands: sh, sleep, cat. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/limits.h"
#include "host/test-real.h"

#define SHELL(script) ((const char *const[]){ "/bin/sh", "-c", script, NULL })

static bool run(Host *host, const HostCommand *command, HostCommandResult *result) {
    g_autoptr(GError) error = NULL;
    bool ok = host_run(host, command, result, &error);
    g_assert_no_error(error);
    return ok;
}

static void assert_bytes(GBytes *bytes, const char *expected) {
    size_t size;
    const char *data = g_bytes_get_data(bytes, &size);
    g_autofree char *text = g_strndup(data != NULL ? data : "", size);
    g_assert_cmpstr(text, ==, expected);
}

static void assert_output(Host *host, const HostCommand *command, const char *expected) {
    g_auto(HostCommandResult) result = { 0 };
    run(host, command, &result);
    assert_bytes(result.output, expected);
    g_assert_cmpint(result.exit_status, ==, 0);
}

static Host *machine(void) {
    g_autoptr(GError) error = NULL;
    Host *host = host_real_new(NULL, NULL, &error);
    g_assert_no_error(error);
    return host;
}

static void test_result(void) {
    g_autoptr(Host) host = machine();
    g_auto(HostCommandResult) result = { 0 };
    run(host, &(HostCommand){ .argv = SHELL("echo out; echo err >&2; exit 3") }, &result);
    g_assert_cmpint(result.exit_status, ==, 3);
    g_assert_cmpint(result.signal_number, ==, 0);
    assert_bytes(result.out, "out\n");
    assert_bytes(result.err, "err\n");
    g_assert_false(result.truncated);
    host_command_result_clear(&result);
    run(host, &(HostCommand){ .argv = SHELL("kill -USR1 $$") }, &result);
    g_assert_cmpint(result.exit_status, ==, -1);
    g_assert_cmpint(result.signal_number, ==, SIGUSR1);
    assert_bytes(result.output, "");
}

static void test_order(void) {
    g_autoptr(Host) host = machine();
    const char *script = "for i in 1 2 3; do echo o$i; sleep 0.03; echo e$i >&2; sleep 0.03; done";
    g_auto(HostCommandResult) result = { 0 };
    run(host, &(HostCommand){ .argv = SHELL(script) }, &result);
    assert_bytes(result.output, "o1\ne1\no2\ne2\no3\ne3\n");
    assert_bytes(result.out, "o1\no2\no3\n");
    assert_bytes(result.err, "e1\ne2\ne3\n");
}

static void test_input(void) {
    g_autoptr(Host) host = machine();
    assert_output(host, &(HostCommand){ .argv = SHELL("cat"), .input = "a\0b", .input_size = 1 },
                  "a");
    assert_output(host, &(HostCommand){ .argv = SHELL("cat") }, "");
    size_t size = 3000000; /* much more than a pipe takes */
    g_autofree char *large = g_strnfill(size, 'i');
    HostCommand count = { .argv = SHELL("wc -c"), .input = large, .input_size = size };
    assert_output(host, &count, "3000000\n");
    HostCommand deaf = { .argv = SHELL("exec 0<&-; echo done"),
                         .input = large,
                         .input_size = size };
    assert_output(host, &deaf, "done\n");
}

static void test_environment(void) {
    g_autoptr(Host) host = machine();
    const char *const env[] = { "A=1", "B=two words", NULL };
    const char *const argv[] = { "/usr/bin/env", NULL };
    assert_output(host, &(HostCommand){ .argv = argv, .env = env }, "A=1\nB=two words\n");
    assert_output(host, &(HostCommand){ .argv = SHELL("echo $LANG; pwd"), .cwd = "/usr" },
                  "C.UTF-8\n/usr\n");
    assert_output(host, &(HostCommand){ .argv = SHELL("pwd") }, "/\n");
    const char *const empty_path[] = { "PATH=/nowhere", NULL };
    g_autoptr(GError) error = NULL;
    HostCommandResult result;
    HostCommand lost = { .argv = (const char *const[]){ "env", NULL }, .env = empty_path };
    g_assert_false(host_run(host, &lost, &result, &error));
    assert_code(error, STEAD_ERROR_NOT_FOUND);
    g_assert_cmpstr(error->message, ==, "run 'env': no such program in PATH (/nowhere)");
}

static void assert_error(Host *host, HostCommand command, int code, const char *message) {
    g_autoptr(GError) error = NULL;
    HostCommandResult result;
    g_assert_false(host_run(host, &command, &result, &error));
    assert_code(error, code);
    if (strstr(error->message, message) == NULL)
        g_error("'%s' lacks '%s'", error->message, message);
}

static void test_errors(RealFixture *fixture, gconstpointer has_root) {
    Host *host = fixture->host;
    scratch_run(fixture, "printf 'echo hi\\n' > plain; printf '#!/no/such\\n' > lost; : > no;"
                         "chmod 755 plain lost");
    g_autofree char *plain = scratch_path(fixture, "/plain");
    g_autofree char *lost = scratch_path(fixture, "/lost");
    g_autofree char *no = scratch_path(fixture, "/no");
    assert_error(host, (HostCommand){ .argv = (const char *const[]){ "/no/such", NULL } },
                 STEAD_ERROR_NOT_FOUND, "run '/no/such': No such file");
    assert_error(host, (HostCommand){ .argv = (const char *const[]){ plain, NULL } },
                 STEAD_ERROR_IO, "#! line");
    assert_error(host, (HostCommand){ .argv = (const char *const[]){ no, NULL } }, STEAD_ERROR_IO,
                 "Permission denied");
    assert_error(host, (HostCommand){ .argv = (const char *const[]){ lost, NULL } },
                 STEAD_ERROR_NOT_FOUND, "its interpreter");
    assert_error(host, (HostCommand){ .argv = SHELL(":"), .cwd = "/no/such" },
                 STEAD_ERROR_NOT_FOUND, "change to directory");
    assert_error(host, (HostCommand){ .argv = SHELL(":"), .user = "no-such-user" },
                 STEAD_ERROR_NOT_FOUND, "no-such-user");
    assert_error(host, (HostCommand){ .argv = SHELL(":"), .group = "no-such-group" },
                 STEAD_ERROR_NOT_FOUND, "no-such-group");
    assert_error(host, (HostCommand){ .argv = (const char *const[]){ "", NULL } },
                 STEAD_ERROR_REFUSED, "empty");
}

/* Of the signals that this process ignores, the two that the C library keeps to itself: whoever
 * started us may have ignored them, and nobody can change that. */
static uint64_t reserved_ignored(void) {
    g_autofree char *status = NULL;
    g_assert_true(g_file_get_contents("/proc/self/status", &status, NULL, NULL));
    const char *line = strstr(status, "SigIgn:\t");
    g_assert_nonnull(line);
    uint64_t reserved = UINT64_C(1) << (32 - 1) | UINT64_C(1) << (33 - 1);
    return g_ascii_strtoull(line + strlen("SigIgn:\t"), NULL, 16) & reserved;
}

static void test_clean_start(void) {
    g_autoptr(Host) host = machine();
    int leak = open("/dev/null", O_RDONLY); /* not close-on-exec */
    g_assert_cmpint(dup2(leak, 99), ==, 99);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGUSR2, SIG_IGN);
    sigset_t blocked, before;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &blocked, &before);
    const char *script = "ls /proc/self/fd | wc -l; grep -E 'Sig(Blk|Ign)' /proc/self/status";
    g_autofree char *expected = g_strdup_printf(
        "4\nSigBlk:\t0000000000000000\nSigIgn:\t%016" PRIx64 "\n", reserved_ignored());
    assert_output(host, &(HostCommand){ .argv = SHELL(script) }, expected);
    sigset_t after;
    pthread_sigmask(SIG_SETMASK, &before, &after);
    g_assert_true(sigismember(&after, SIGUSR1)); /* ours is as it was */
    signal(SIGPIPE, SIG_DFL);
    signal(SIGUSR2, SIG_DFL);
    close(leak);
    close(99);
    /* A leader of its own session cannot ask on our terminal. */
    assert_output(host,
                  &(HostCommand){ .argv = SHELL("set -- $(cat /proc/$$/stat);"
                                                "[ $1 = $5 ] && [ $1 = $6 ] && echo leads") },
                  "leads\n");
}

static void test_much_output(void) {
    g_autoptr(Host) host = machine();
    g_auto(HostCommandResult) result = { 0 };
    run(host, &(HostCommand){ .argv = SHELL("head -c 20000000 /dev/zero; echo end >&2") }, &result);
    g_assert_cmpint(result.exit_status, ==, 0);
    g_assert_true(result.truncated);
    g_assert_cmpuint(g_bytes_get_size(result.out), ==, LIMIT_COMMAND_OUTPUT);
    g_assert_cmpuint(g_bytes_get_size(result.output), ==, LIMIT_COMMAND_OUTPUT);
    assert_bytes(result.err, "end\n");
}

static double seconds_since(int64_t start) {
    return (double)(g_get_monotonic_time() - start) / 1e6;
}

/* A daemon keeps the output open; what it says late is nobody's business. */
static void test_daemon(void) {
    g_autoptr(Host) host = machine();
    int64_t start = g_get_monotonic_time();
    assert_output(host, &(HostCommand){ .argv = SHELL("echo a; (sleep 30; echo late) & echo b") },
                  "a\nb\n");
    g_assert_cmpfloat(seconds_since(start), <, 20);
    start = g_get_monotonic_time();
    g_auto(HostCommandResult) result = { 0 };
    const char *chatty = "(timeout 30 yes) & exit 0"; /* ends when nobody reads any more */
    run(host, &(HostCommand){ .argv = SHELL(chatty) }, &result);
    g_assert_cmpfloat(seconds_since(start), <, 20);
}

/* Whether the command has got as far as to write it: on a busy machine it may have had no time. */
static bool has_child(RealFixture *fixture) {
    g_autofree char *file = scratch_local(fixture, "/child");
    g_autofree char *text = NULL;
    return g_file_get_contents(file, &text, NULL, NULL) && g_str_has_suffix(text, "\n");
}

static bool is_alive(RealFixture *fixture, const char *pid_file) {
    g_autofree char *text = scratch_get(fixture, pid_file);
    g_autofree char *stat = NULL;
    g_autofree char *path = g_strdup_printf("/proc/%d/stat", atoi(text));
    if (!g_file_get_contents(path, &stat, NULL, NULL))
        return false;
    return strstr(stat, ") Z ") == NULL; /* a zombie that our init does not collect is dead */
}

/* Who was killed needs the processor once more to die. */
static void assert_dead(RealFixture *fixture, const char *pid_file) {
    for (int i = 0; i < 1000 && is_alive(fixture, pid_file); i++)
        g_usleep(10000);
    g_assert_false(is_alive(fixture, pid_file));
}

static void test_timeout(void) {
    RealFixture fixture = { 0 };
    real_fixture_set_up(&fixture, NULL);
    for (unsigned ms = 200; ms <= 20000 && !has_child(&fixture); ms *= 10) {
        int64_t start = g_get_monotonic_time();
        g_autoptr(Cancel) cancel = cancel_new(ms * 1000);
        g_autofree char *told = g_strdup_printf("run '/bin/sh': timed out after %g s", ms / 1000.0);
        assert_error(fixture.host,
                     (HostCommand){ .argv = SHELL("sleep 600 & echo $! > child; wait"),
                                    .cwd = fixture.scratch,
                                    .cancel = cancel },
                     STEAD_ERROR_TIMEOUT, told);
        g_assert_cmpfloat(seconds_since(start), <, 60);
        g_assert_cmpfloat(seconds_since(start), >=, ms / 1000.0);
    }
    assert_dead(&fixture, "/child");
    real_fixture_tear_down(&fixture, NULL);
}

/* The command ends when asked to, a helper of it does not. */
static void test_deaf_helper(void) {
    RealFixture fixture = { 0 };
    real_fixture_set_up(&fixture, NULL);
    const char *script = "(trap '' TERM; while :; do sleep 0.1; done) & echo $! > child; wait";
    for (unsigned ms = 200; ms <= 20000 && !has_child(&fixture); ms *= 10) {
        g_autoptr(Cancel) cancel = cancel_new(ms * 1000);
        assert_error(
            fixture.host,
            (HostCommand){ .argv = SHELL(script), .cwd = fixture.scratch, .cancel = cancel },
            STEAD_ERROR_TIMEOUT, "timed out");
    }
    assert_dead(&fixture, "/child");
    real_fixture_tear_down(&fixture, NULL);
}

typedef struct {
    RealFixture fixture;
    Cancel *cancel;
    int64_t asked; /* when it was asked to end */
} Stubborn;

static gpointer request_later(gpointer data) {
    Stubborn *stubborn = data;
    while (!has_child(&stubborn->fixture)) /* it has its trap before that */
        g_usleep(10000);
    g_usleep(200000);
    stubborn->asked = g_get_monotonic_time();
    cancel_request(stubborn->cancel);
    return NULL;
}

static gpointer kill_later(gpointer data) {
    Stubborn *stubborn = data;
    request_later(stubborn);
    g_usleep(200000);
    cancel_kill(stubborn->cancel);
    return NULL;
}

/* Deaf to SIGTERM, child and grandchild: SIGKILL after 3 s, or at once when wanted. */
static void stop_stubborn(GThreadFunc stopper, int64_t least_ms, int64_t most_ms) {
    g_autoptr(Cancel) cancel = cancel_new(0);
    Stubborn stubborn = { .cancel = cancel };
    RealFixture *fixture = &stubborn.fixture;
    real_fixture_set_up(fixture, NULL);
    GThread *thread = g_thread_new("stopper", stopper, &stubborn);
    const char *script = "trap '' TERM; (while :; do sleep 0.1; done) & echo $! > child; wait";
    assert_error(fixture->host,
                 (HostCommand){ .argv = SHELL(script), .cwd = fixture->scratch, .cancel = cancel },
                 STEAD_ERROR_CANCELLED, "stopped on request");
    int64_t ended = g_get_monotonic_time();
    g_thread_join(thread);
    g_assert_cmpint(ended - stubborn.asked, >=, least_ms * 1000);
    g_assert_cmpint(ended - stubborn.asked, <, most_ms * 1000);
    assert_dead(fixture, "/child");
    real_fixture_tear_down(fixture, NULL);
}

static void test_kill_after_grace(void) {
    stop_stubborn(request_later, 3000, 7000);
}

static void test_kill_at_once(void) {
    stop_stubborn(kill_later, 200, 2900);
}

static void test_cancelled_before(void) {
    g_autoptr(Host) host = machine();
    g_autoptr(Cancel) cancel = cancel_new(0);
    cancel_request(cancel);
    assert_error(host, (HostCommand){ .argv = SHELL("echo never"), .cancel = cancel },
                 STEAD_ERROR_CANCELLED, "run '/bin/sh'");
}

/* The command's own, whatever ours is. */
static void test_umask(void) {
    g_autoptr(Host) host = machine();
    g_autofree char *ours = g_strdup_printf("%04o\n", 0026);
    mode_t before = umask(0026);
    assert_output(host, &(HostCommand){ .argv = SHELL("umask") }, ours);
    assert_output(host, &(HostCommand){ .argv = SHELL("umask"), .has_umask = true, .umask = 0077 },
                  "0077\n");
    assert_output(host, &(HostCommand){ .argv = SHELL("umask") }, ours);
    umask(before);
}

static void test_user(void) {
    g_autoptr(Host) host = machine();
    g_autofree char *uid = g_strdup_printf("%u", geteuid());
    g_autofree char *expected = g_strdup_printf("%u\n", geteuid());
    assert_output(host, &(HostCommand){ .argv = SHELL("id -u"), .user = uid }, expected);
    if (geteuid() != 0) {
        assert_error(host, (HostCommand){ .argv = SHELL("id -u"), .user = "0" }, STEAD_ERROR_IO,
                     "only root may");
        return;
    }
    assert_output(host, &(HostCommand){ .argv = SHELL("id -u; id -g"), .group = "777" },
                  "0\n777\n");
    assert_output(host, &(HostCommand){ .argv = SHELL("id -u; id -g; id -G"), .user = "54321" },
                  "54321\n54321\n54321\n");
    g_assert_cmpuint(geteuid(), ==, 0);
    if (getpwnam("nobody") == NULL || getpwnam("daemon") == NULL || getgrnam("sys") == NULL) {
        g_test_skip("this machine lacks the users nobody and daemon, or the group sys");
        return;
    }
    assert_output(host, &(HostCommand){ .argv = SHELL("id -u; id -g; id -G"), .user = "nobody" },
                  "65534\n65534\n65534\n");
    assert_output(host,
                  &(HostCommand){ .argv = SHELL("id -u; id -g"), .user = "daemon", .group = "sys" },
                  "1\n3\n");
    assert_output(host, &(HostCommand){ .argv = SHELL("echo $HOME"), .user = "daemon" },
                  "/usr/sbin\n");
}

/* As an ordinary user: /bin/sh of this machine, with the root as base of directories. */
static int run_unprivileged(RealFixture *fixture) {
    if (chmod(fixture->scratch, 0777) != 0 || setresgid(65534, 65534, 65534) != 0 ||
        setresuid(65534, 65534, 65534) != 0)
        return 77;
    g_autoptr(GError) error = NULL;
    g_autoptr(Host) host = host_real_new(fixture->scratch, NULL, &error);
    g_assert_no_error(error);
    g_autofree char *expected = g_strdup_printf("%s/etc\n%s\n", fixture->scratch, fixture->scratch);
    const char *const argv[] = { "sh", "-c", "pwd; echo $STEAD_ROOT", NULL };
    assert_output(host, &(HostCommand){ .argv = argv, .cwd = "/etc" }, expected);
    const char *const own[] = { "/etc/own", NULL };
    assert_output(host, &(HostCommand){ .argv = own }, "below\n");
    const char *const missing[] = { "/bin/sh", NULL };
    g_auto(HostCommandResult) result = { 0 };
    g_assert_false(host_run(host, &(HostCommand){ .argv = missing }, &result, &error));
    g_assert_true(g_str_has_suffix(error->message, "'sh' alone is that of this machine"));
    return 0;
}

static void test_below_root_unprivileged(void) {
    RealFixture fixture = { 0 };
    real_fixture_set_up(&fixture, "root");
    scratch_run(&fixture,
                "mkdir etc; printf '#!/bin/sh\\necho below\\n' > etc/own; chmod 755 etc/own");
    pid_t pid = fork();
    if (pid == 0)
        _exit(run_unprivileged(&fixture));
    int status;
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        g_test_skip("runs only as root, to become somebody else");
    else
        g_assert_cmpint(status, ==, 0);
    real_fixture_tear_down(&fixture, "root");
}

/* A root with nothing but a shell and what that needs. */
static void test_chroot(void) {
    if (geteuid() != 0) {
        g_test_skip("only root may chroot");
        return;
    }
    RealFixture fixture = { 0 };
    real_fixture_set_up(&fixture, "root");
    scratch_run(&fixture, "mkdir -p bin etc srv; cp /bin/sh bin/;"
                          "echo 'joe:x:1234:55:::/bin/sh' > etc/passwd;"
                          "printf 'staff:x:55:\\nhelp:x:66:joe\\n' > etc/group;"
                          "for f in $(ldd /bin/sh | grep -o '/[^ ]*'); do mkdir -p .$(dirname $f);"
                          "cp $f .$f; done");
    const char *script = "pwd; echo $STEAD_ROOT; [ -e /usr/bin/env ] || echo inside";
    g_autofree char *expected = g_strdup_printf("/srv\n%s\ninside\n", fixture.scratch);
    const char *const argv[] = { "sh", "-c", script, NULL };
    assert_output(fixture.host, &(HostCommand){ .argv = argv, .cwd = "/srv" }, expected);
    scratch_run(&fixture, "mkdir mine theirs; chown 1234 mine; chgrp 66 theirs; chmod 700 mine;"
                          "chmod 770 theirs");
    const char *const joe[] = { "/bin/sh", "-c",
                                "true > /mine/f && true > /theirs/f && ! true > /srv/f && echo joe",
                                NULL };
    g_auto(HostCommandResult) result = { 0 };
    run(fixture.host, &(HostCommand){ .argv = joe, .user = "joe" }, &result);
    assert_bytes(result.out, "joe\n");
    const char *const missing[] = { "/bin/missing", NULL };
    g_auto(HostCommandResult) none = { 0 };
    g_autoptr(GError) error = NULL;
    g_assert_false(host_run(fixture.host, &(HostCommand){ .argv = missing }, &none, &error));
    g_assert_nonnull(strstr(error->message, "is not below the root '"));
    real_fixture_tear_down(&fixture, "root");
}

static void test_spawn(void) {
    g_autoptr(Host) host = machine();
    int fd = -1;
    pid_t pid = 0;
    g_autoptr(GError) error = NULL;
    HostCommand command = { .argv = SHELL("echo line; exec sleep 60") };
    g_assert_true(host_spawn(host, &command, &fd, &pid, &error));
    g_assert_no_error(error);
    g_assert_cmpint(fcntl(fd, F_GETFD) & FD_CLOEXEC, !=, 0);
    g_assert_cmpint(fcntl(fd, F_GETFL) & O_NONBLOCK, !=, 0);
    char buffer[32];
    ssize_t n;
    while ((n = read(fd, buffer, sizeof buffer)) < 0)
        g_assert_cmpint(errno, ==, EAGAIN);
    g_assert_cmpmem(buffer, (size_t)n, "line\n", 5);
    g_assert_cmpint(kill(-pid, SIGTERM), ==, 0);
    int status;
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_true(WIFSIGNALED(status));
    close(fd);
    command.argv = (const char *const[]){ "/no/such", NULL };
    g_assert_false(host_spawn(host, &command, &fd, &pid, &error));
    assert_code(error, STEAD_ERROR_NOT_FOUND);
}

static gpointer run_many(gpointer data) {
    for (int i = 0; i < 50; i++)
        assert_output(data, &(HostCommand){ .argv = SHELL("echo x; echo y >&2") }, "x\ny\n");
    return NULL;
}

static void test_threads(void) {
    g_autoptr(Host) host = machine();
    GThread *threads[4];
    for (int i = 0; i < 4; i++)
        threads[i] = g_thread_new("runner", run_many, host);
    for (int i = 0; i < 4; i++)
        g_thread_join(threads[i]);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/real-command/result", test_result);
    g_test_add_func("/real-command/order", test_order);
    g_test_add_func("/real-command/input", test_input);
    g_test_add_func("/real-command/environment", test_environment);
    g_test_add("/real-command/errors", RealFixture, NULL, real_fixture_set_up, test_errors,
               real_fixture_tear_down);
    g_test_add_func("/real-command/clean-start", test_clean_start);
    g_test_add_func("/real-command/much-output", test_much_output);
    g_test_add_func("/real-command/daemon", test_daemon);
    g_test_add_func("/real-command/timeout", test_timeout);
    g_test_add_func("/real-command/deaf-helper", test_deaf_helper);
    g_test_add_func("/real-command/kill-after-grace", test_kill_after_grace);
    g_test_add_func("/real-command/kill-at-once", test_kill_at_once);
    g_test_add_func("/real-command/cancelled-before", test_cancelled_before);
    g_test_add_func("/real-command/umask", test_umask);
    g_test_add_func("/real-command/user", test_user);
    g_test_add_func("/real-command/below-root-unprivileged", test_below_root_unprivileged);
    g_test_add_func("/real-command/chroot", test_chroot);
    g_test_add_func("/real-command/spawn", test_spawn);
    g_test_add_func("/real-command/threads", test_threads);
    return g_test_run();
}
