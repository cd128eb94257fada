#include "cluster/ward.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"

struct Ward {
    pid_t pid;
    int fd; /* pidfd */
    bool over;
    LoopSource *source;
    WardEnded ended;
    void *data;
};

/* Between fork and exec, beside other threads: system calls only. */
static void become(const char *const *arguments, pid_t parent, int report) {
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)setpgid(0, 0);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent)
        (void)execvp(arguments[0], (char *const *)(uintptr_t)arguments);
    int problem = errno;
    ssize_t written = write(report, &problem, sizeof problem);
    _exit(written == sizeof problem ? 127 : 126);
}

static void on_readable(void *data, int fd, uint32_t events) {
    Ward *ward = data;
    int status = 0;
    if (waitpid(ward->pid, &status, WNOHANG) != ward->pid)
        return;
    ward->over = true;
    g_clear_pointer(&ward->source, loop_source_free);
    ward->ended(ward->data, status); /* frees ward */
}

/* 0, or what exec said. */
static int outcome_of_exec(int report) {
    int problem = 0;
    ssize_t size;
    do
        size = read(report, &problem, sizeof problem);
    while (size < 0 && errno == EINTR);
    return size == sizeof problem ? problem : 0;
}

static pid_t spawn(const char *const *arguments, GError **error) {
    int report[2];
    if (pipe2(report, O_CLOEXEC) < 0) {
        (void)set_io_error(error, errno, "start '%s'", arguments[0]);
        return -1;
    }
    pid_t parent = getpid(), pid = fork();
    int problem = pid < 0 ? errno : 0;
    if (pid == 0)
        become(arguments, parent, report[1]);
    (void)close(report[1]);
    if (pid > 0 && (problem = outcome_of_exec(report[0])) != 0)
        (void)waitpid(pid, NULL, 0);
    (void)close(report[0]);
    if (problem == 0)
        return pid;
    (void)set_io_error(error, problem, "start '%s'", arguments[0]);
    return -1;
}

Ward *ward_start(Loop *loop, const char *const *arguments, WardEnded ended, void *data,
                 GError **error) {
    pid_t pid = spawn(arguments, error);
    if (pid < 0)
        return NULL;
    Ward *ward = g_new0(Ward, 1);
    *ward = (Ward){ .pid = pid, .ended = ended, .data = data };
    ward->fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (ward->fd < 0)
        (void)set_io_error(error, errno, "watch '%s'", arguments[0]);
    else
        ward->source = loop_watch_fd(loop, ward->fd, EPOLLIN, on_readable, ward, error);
    if (ward->source)
        return ward;
    ward_stop(ward, SIGKILL, 0);
    return NULL;
}

void ward_signal(const Ward *ward, int number) {
    if (!ward->over)
        (void)kill(ward->pid, number);
}

void ward_stop(Ward *ward, int number, unsigned milliseconds) {
    if (!ward)
        return;
    loop_source_free(ward->source);
    if (!ward->over) {
        struct pollfd ready = { .fd = ward->fd, .events = POLLIN };
        (void)kill(ward->pid, number);
        (void)kill(ward->pid, SIGCONT); /* one that was stopped takes it too */
        if (ward->fd < 0 || poll(&ready, 1, (int)milliseconds) != 1)
            (void)kill(ward->pid, SIGKILL);
        (void)waitpid(ward->pid, NULL, 0);
    }
    if (ward->fd >= 0)
        (void)close(ward->fd);
    g_free(ward);
}
