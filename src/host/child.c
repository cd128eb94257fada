#include "host/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "host/command-spawn.h"

static void close_fd(int *fd) {
    if (*fd >= 0)
        (void)close(*fd); /* pipes: nothing can be lost */
    *fd = -1;
}

static void close_pair(int pair[2]) {
    close_fd(&pair[0]);
    close_fd(&pair[1]);
}

static bool spawn(Child *child, const char *const *words, const char *const *env, int in, int out,
                  int err, GError **error) {
    const char *path = words[0];
    const char *const paths[] = { path, NULL };
    SpawnRequest request = {
        .label = path,
        .paths = paths,
        .argv = (char *const *)(uintptr_t)words,
        .env = (char *const *)(uintptr_t)env,
        .cwd = "/",
        .stdin_fd = in,
        .stdout_fd = out,
        .stderr_fd = err,
        .dies_with_us = true,
    };
    child->pid = command_spawn(&request, error);
    if (child->pid < 0)
        return false;
    child->pid_fd = pidfd_open(child->pid, 0);
    if (child->pid_fd >= 0)
        return true;
    set_io_error(error, errno, "run '%s': watch the process (Linux 5.3 or later)", path);
    child_signal(child, SIGKILL);
    g_free(child_reap(child, NULL)); /* how it ended is our own doing */
    return false;
}

/* Ours do not block; whether the program's do is its own. */
static void keep_end(int *ret_fd, int *end) {
    *ret_fd = *end;
    *end = -1;
    (void)fcntl(*ret_fd, F_SETFL, O_NONBLOCK); /* a pipe of ours takes it */
}

bool child_start(Child *child, const char *const *words, const char *const *env, GError **error) {
    int in[2] = { -1, -1 }, out[2] = { -1, -1 }, err[2] = { -1, -1 };
    *child = CHILD_NONE;
    bool ok = pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0;
    if (!ok)
        set_io_error(error, errno, "run '%s': set up its input and output", words[0]);
    else
        ok = spawn(child, words, env, in[0], out[1], err[1], error);
    if (ok) {
        keep_end(&child->in_fd, &in[1]);
        keep_end(&child->out_fd, &out[0]);
        keep_end(&child->err_fd, &err[0]);
    } else {
        *child = CHILD_NONE;
    }
    close_pair(in);
    close_pair(out);
    close_pair(err);
    return ok;
}

void child_signal(const Child *child, int signal_number) {
    (void)kill(-child->pid, signal_number); /* ESRCH: all are gone already */
}

void child_close_input(Child *child) {
    close_fd(&child->in_fd);
}

char *child_reap(Child *child, int *ret_signal) {
    siginfo_t info = { 0 };
    while (waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOWAIT) < 0 && errno == EINTR)
        continue;
    child_signal(child, SIGKILL); /* what it left running; the id is not free yet */
    while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    close_fd(&child->pid_fd);
    close_fd(&child->in_fd);
    close_fd(&child->out_fd);
    close_fd(&child->err_fd);
    *child = CHILD_NONE;
    if (ret_signal)
        *ret_signal = info.si_code == CLD_EXITED ? 0 : info.si_status;
    if (info.si_code == CLD_EXITED)
        return g_strdup_printf("ended with status %d", info.si_status);
    return g_strdup_printf("was ended by signal %d (%s)", info.si_status,
                           g_strsignal(info.si_status));
}
