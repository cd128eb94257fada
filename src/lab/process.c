#include "lab/process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"

/* --- identity --------------------------------------------------------------------------------- */

bool process_identify(pid_t pid, ProcessId *ret_id) {
    g_autofree char *path = g_strdup_printf("/proc/%d/stat", (int)pid);
    g_autofree char *text = NULL;
    if (pid <= 0 || !g_file_get_contents(path, &text, NULL, NULL))
        return false;
    const char *rest = strrchr(text, ')'); /* the name before it may have anything */
    char state;
    unsigned long long start;
    if (!rest || sscanf(rest + 1,
                        " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d "
                        "%*d %llu",
                        &state, &start) != 2)
        return false;
    if (state == 'Z' || state == 'X')
        return false;
    *ret_id = (ProcessId){ pid, start };
    return true;
}

int process_open(const ProcessId *id) {
    ProcessId now;
    if (id->pid <= 0)
        return -1;
    int fd = pidfd_open((pid_t)id->pid, 0);
    if (fd < 0)
        return -1;
    /* Only now is the number sure to stay with the process that is looked at. */
    if (process_identify((pid_t)id->pid, &now) && now.start == id->start)
        return fd;
    (void)close(fd);
    return -1;
}

bool process_is_alive(const ProcessId *id) {
    int fd = process_open(id);
    if (fd >= 0)
        (void)close(fd);
    return fd >= 0;
}

bool process_wait(int pid_fd, int milliseconds) {
    struct pollfd wanted = { .fd = pid_fd, .events = POLLIN };
    int n;
    do
        n = poll(&wanted, 1, milliseconds);
    while (n < 0 && errno == EINTR);
    return n > 0;
}

bool process_end(const ProcessId *id, unsigned seconds, GError **error) {
    int fd = process_open(id);
    if (fd < 0)
        return true;
    (void)pidfd_send_signal(fd, SIGKILL, NULL, 0); /* ESRCH: it has just ended */
    bool ended = process_wait(fd, (int)seconds * 1000);
    (void)close(fd);
    if (!ended)
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_TIMEOUT,
                    "end process %" G_GINT64_FORMAT ": it is still there %u s after SIGKILL",
                    id->pid, seconds);
    return ended;
}

pid_t process_number(int pid_fd) {
    g_autofree char *path = g_strdup_printf("/proc/self/fdinfo/%d", pid_fd);
    g_autofree char *text = NULL;
    if (!g_file_get_contents(path, &text, NULL, NULL))
        return -1;
    const char *line = strstr(text, "\nPid:");
    return line ? (pid_t)atoi(line + strlen("\nPid:")) : -1;
}

char *process_boot(void) {
    char *text = NULL;
    if (!g_file_get_contents("/proc/sys/kernel/random/boot_id", &text, NULL, NULL))
        return g_strdup("unknown");
    return g_strchomp(text);
}

/* --- sealed programs -------------------------------------------------------------------------- */

/* Async-signal-safe from here to exec: there may be threads in the parent. */

static void die(const char *what) {
    char text[128];
    int length = snprintf(text, sizeof text, "%s: error %d\n", what, errno);
    (void)!write(STDERR_FILENO, text, (size_t)length); /* nobody to tell */
    _exit(125);
}

static void place(int from, int to) {
    if (from == to)
        (void)fcntl(to, F_SETFD, 0); /* a descriptor that is open */
    else if (dup2(from, to) < 0)
        die("place a descriptor");
}

static void wait_at_gate(int gate) {
    char byte;
    ssize_t n;
    do
        n = read(gate, &byte, 1);
    while (n < 0 && errno == EINTR);
    if (n != 1)
        _exit(0); /* who started us is gone, or has changed its mind: nothing was done */
}

static void reset_signals(void) {
    sigset_t none;
    sigemptyset(&none);
    for (int number = 1; number < NSIG; number++)
        (void)signal(number, SIG_DFL); /* EINVAL for those that have no other */
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static void seal(const SealedProgram *program, int gate) {
    reset_signals();
    if (program->dies_with_us)
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* fails for no signal */
    wait_at_gate(gate);
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        die("make mounts private");
    if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        die("mount /proc");
}

static void become(const SealedProgram *program, const int gate[2]) {
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    (void)close(gate[1]); /* else we would keep it open ourselves */
    seal(program, gate[0]);
    if (null < 0)
        die("open /dev/null");
    int output = program->output >= 0 ? program->output : null;
    place(null, STDIN_FILENO);
    place(output, STDERR_FILENO);
    place(output, STDOUT_FILENO);
    if (program->kept >= 0)
        place(program->kept, 3);
    (void)setsid(); /* ours from birth: never EPERM */
    (void)execvp(program->path ? program->path : "/proc/self/exe", program->argv);
    die("start the program");
}

bool process_start_sealed(const SealedProgram *program, SealedProcess *ret_process,
                          GError **error) {
    int gate[2], pid_fd = -1;
    struct clone_args how = {
        .flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_PIDFD |
                 (program->own_network ? (uint64_t)CLONE_NEWNET : 0),
        .pidfd = (uint64_t)(uintptr_t)&pid_fd,
        .exit_signal = SIGCHLD,
    };
    if (pipe2(gate, O_CLOEXEC) < 0)
        return set_io_error(error, errno, "make a pipe");
    long pid = syscall(SYS_clone3, &how, sizeof how);
    if (pid == 0)
        become(program, gate);
    int number = errno;
    (void)close(gate[0]);
    if (pid > 0) {
        *ret_process = (SealedProcess){ (pid_t)pid, pid_fd, gate[1] };
        return true;
    }
    (void)close(gate[1]);
    return set_io_error(error, number, "make namespaces for a process%s",
                        number == EPERM ? " (this needs root, in a container with all its rights)"
                                        : "");
}

static void close_fd(int *fd) {
    if (*fd >= 0)
        (void)close(*fd); /* nothing of ours is in it */
    *fd = -1;
}

void process_release(SealedProcess *process) {
    (void)!write(process->gate, "", 1); /* EPIPE: it was killed, and its end will be seen */
    close_fd(&process->gate);
}

void process_let_go(SealedProcess *process) {
    close_fd(&process->gate);
    close_fd(&process->pid_fd);
}
