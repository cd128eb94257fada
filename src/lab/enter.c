#include "lab/enter.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/error.h"

/* Of the whole process. Its processes' numbers are entered by the overseer. */
#define SPACES (CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP)

static const int passed_on[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2 };

static void watched_signals(sigset_t *set, bool terminal) {
    sigemptyset(set);
    sigaddset(set, SIGCHLD);
    if (terminal)
        sigaddset(set, SIGWINCH);
    for (unsigned i = 0; i < G_N_ELEMENTS(passed_on); i++)
        sigaddset(set, passed_on[i]);
}

/* --- the command ------------------------------------------------------------------------------ */

static char **make_environment(void) {
    const char *term = g_getenv("TERM");
    GPtrArray *list = g_ptr_array_new();
    g_ptr_array_add(list,
                    g_strdup("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"));
    g_ptr_array_add(list, g_strdup("HOME=/root"));
    g_ptr_array_add(list, g_strdup("USER=root"));
    g_ptr_array_add(list, g_strdup("LOGNAME=root"));
    g_ptr_array_add(list, g_strdup("SHELL=/bin/sh"));
    g_ptr_array_add(list, g_strdup("LANG=C.UTF-8"));
    g_ptr_array_add(list, g_strconcat("TERM=", term ? term : "dumb", NULL));
    g_ptr_array_add(list, NULL);
    return (char **)g_ptr_array_free(list, FALSE);
}

/* slave: path of the terminal, or NULL. In the child. */
static void become(char *const *words, char **environment, const char *slave) {
    sigset_t none;
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* fails for no signal */
    if (slave) {
        (void)setsid(); /* a new child leads no group */
        int fd = open(slave, O_RDWR);
        if (fd < 0 || ioctl(fd, TIOCSCTTY, 0) < 0 || dup2(fd, 0) < 0 || dup2(fd, 1) < 0 ||
            dup2(fd, 2) < 0)
            _exit(126);
        if (fd > 2)
            (void)close(fd); /* its copies are in use */
    }
    if (chdir("/root") < 0 && chdir("/") < 0)
        _exit(126);
    environ = environment; /* so that its PATH is searched */
    (void)execvp(words[0], words);
    int number = errno;
    fprintf(stderr, "stead lab: run '%s': %s\n", words[0], g_strerror(number));
    _exit(number == ENOENT ? 127 : 126);
}

static int exit_code(int status) {
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Between us and the command. A host cannot end before each process in it has been waited for, and
 * who waits must not be us: we may be stopped, as by Ctrl-Z, together with the command. It stays in
 * our process group: with one of its own the kernel would take ours for orphaned when the command
 * ends, and hang up all of it that is stopped. Does not return. */
static void oversee(int leader, char *const *words, char **environment, const char *slave,
                    const sigset_t *watched) {
    static const int stops[] = { SIGTSTP, SIGTTIN, SIGTTOU };
    sigset_t blocked = *watched;
    for (unsigned i = 0; i < G_N_ELEMENTS(stops); i++)
        sigaddset(&blocked, stops[i]);
    (void)sigprocmask(SIG_SETMASK, &blocked, NULL);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* fails for no signal */
    if (setns(leader, CLONE_NEWPID) < 0)
        _exit(126);
    pid_t pid = fork();
    if (pid == 0)
        become(words, environment, slave);
    if (pid < 0)
        _exit(126);
    for (;;) {
        siginfo_t info;
        int status, number = sigwaitinfo(watched, &info);
        if (number == SIGCHLD && waitpid(pid, &status, WNOHANG) == pid)
            _exit(exit_code(status));
        if (number > 0 && number != SIGCHLD && number != SIGWINCH && info.si_code != SI_KERNEL)
            (void)kill(pid, number); /* it is not waited for yet: it is there */
    }
}

/* --- watching over it ------------------------------------------------------------------------- */

typedef struct {
    int leader;  /* as given to enter_run() */
    pid_t pid;   /* of the overseer */
    int signals; /* signalfd */
    int master;  /* our end of its terminal, or -1 */
    bool ended;
    bool input_ended;
    int status;
} Run;

static void take_size(int master) {
    struct winsize size;
    if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0)
        (void)ioctl(master, TIOCSWINSZ, &size); /* a terminal that is too small is none the worse */
}

static void take_signal(Run *run) {
    struct signalfd_siginfo info;
    if (read(run->signals, &info, sizeof info) != sizeof info)
        return;
    if (info.ssi_signo == SIGCHLD)
        run->ended = run->ended || waitpid(run->pid, &run->status, WNOHANG) == run->pid;
    else if (info.ssi_signo == SIGWINCH)
        take_size(run->master);
    else if (info.ssi_code != SI_KERNEL) /* the terminal's own have reached the command too */
        (void)kill(run->pid, (int)info.ssi_signo); /* it is not waited for yet either */
}

/* False: nothing more will come. */
static bool pass(int from, int to) {
    char block[4096];
    ssize_t n = read(from, block, sizeof block);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return true;
    for (ssize_t sent = 0; n > 0 && sent < n;) {
        ssize_t once = write(to, block + sent, (size_t)(n - sent));
        if (once < 0 && errno != EINTR)
            return false;
        sent += MAX(once, 0);
    }
    return n > 0;
}

/* What the command has printed last is still in the terminal when it has ended. */
static void drain(const Run *run) {
    (void)fcntl(run->master, F_SETFL, O_NONBLOCK);
    char block[4096];
    ssize_t n;
    while ((n = read(run->master, block, sizeof block)) > 0)
        (void)!write(STDOUT_FILENO, block, (size_t)n); /* the terminal is ours, or gone */
}

static void watch(Run *run) {
    while (!run->ended) {
        struct pollfd wanted[] = {
            { .fd = run->signals, .events = POLLIN },
            { .fd = run->master, .events = POLLIN },
            { .fd = run->master >= 0 && !run->input_ended ? STDIN_FILENO : -1, .events = POLLIN },
        };
        if (poll(wanted, G_N_ELEMENTS(wanted), -1) < 0)
            continue;
        if (wanted[0].revents)
            take_signal(run);
        if (wanted[1].revents && !pass(run->master, STDOUT_FILENO) && !run->ended) {
            (void)close(run->master); /* nobody has it open any more */
            run->master = -1;
        }
        if (wanted[2].revents && run->master >= 0)
            run->input_ended = !pass(STDIN_FILENO, run->master);
    }
    if (run->master >= 0)
        drain(run);
}

static int open_terminal(char **ret_slave, GError **error) {
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    char name[64];
    if (master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0 &&
        ptsname_r(master, name, sizeof name) == 0) {
        take_size(master);
        *ret_slave = g_strdup(name);
        return master;
    }
    set_io_error(error, errno, "open a terminal of the host");
    if (master >= 0)
        (void)close(master);
    return -1;
}

static bool start(Run *run, char *const *words, const char *slave, sigset_t *watched,
                  GError **error) {
    g_auto(GStrv) environment = make_environment();
    if (sigprocmask(SIG_BLOCK, watched, NULL) < 0 ||
        (run->signals = signalfd(-1, watched, SFD_CLOEXEC)) < 0)
        return set_io_error(error, errno, "watch signals");
    run->pid = fork();
    if (run->pid == 0)
        oversee(run->leader, words, environment, slave, watched);
    return run->pid > 0 || set_io_error(error, errno, "run '%s'", words[0]);
}

static int run_with_terminal(Run *run, char *const *words, sigset_t *watched, GError **error) {
    struct termios before, raw;
    g_autofree char *slave = NULL;
    run->master = open_terminal(&slave, error);
    if (run->master < 0)
        return -1;
    bool is_terminal = tcgetattr(STDIN_FILENO, &before) == 0;
    if (!start(run, words, slave, watched, error))
        return -1;
    if (is_terminal) {
        raw = before;
        cfmakeraw(&raw);
        (void)tcsetattr(STDIN_FILENO, TCSADRAIN, &raw); /* it was one a moment ago */
    }
    watch(run);
    if (is_terminal)
        (void)tcsetattr(STDIN_FILENO, TCSADRAIN, &before); /* as it was */
    return exit_code(run->status);
}

int enter_run(int leader, char *const *words, bool terminal, GError **error) {
    Run run = { .leader = leader, .signals = -1, .master = -1 };
    sigset_t watched;
    watched_signals(&watched, terminal);
    if (setns(leader, SPACES) < 0) {
        set_io_error(error, errno, "enter the host");
        return -1;
    }
    if (terminal)
        return run_with_terminal(&run, words, &watched, error);
    if (!start(&run, words, NULL, &watched, error))
        return -1;
    watch(&run);
    return exit_code(run.status);
}
