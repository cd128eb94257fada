#include "host/package-guard.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define FRONTEND_LOCK "/var/lib/dpkg/lock-frontend" /* held by apt from its start to its end */
#define RETRY_US      50000
#define TELL_US       1000000
#define IDLE_MAX_US   10000000 /* nobody has apt's lock for so long: what is left is no apt */
#define STUCK_US      15000000 /* an apt without any child does nothing for so long: it never will */
#define WAIT_MAX_US   600000000 /* 10 min */

/* The process that has apt's lock, or 0. */
static pid_t find_apt(RealHost *self) {
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    int fd = real_open(self, FRONTEND_LOCK, O_RDONLY);
    if (fd < 0)
        return 0;
    bool locked = fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    (void)close(fd); /* only read */
    return locked ? lock.l_pid : 0;
}

static bool give_up(pid_t apt, GError **error) {
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_TIMEOUT,
                "apt (process %d), started by a stead that was killed, has been at work for %d min "
                "more; wait until it is done, see /var/log/apt/term.log, or end it: 'kill %d'",
                (int)apt, (int)(WAIT_MAX_US / 60000000), (int)apt);
    return false;
}

/* --- an apt that is stuck */

/* A file of the process in /proc; NULL: it has ended, or has no such file. Caller frees. */
static char *read_process(pid_t pid, const char *name) {
    g_autofree char *path = g_strdup_printf("/proc/%d/%s", (int)pid, name);
    char *text = NULL;
    return g_file_get_contents(path, &text, NULL, NULL) ? text : NULL;
}

/* Whether its standard input is the guard's file, so that a stead has started it. */
static bool is_ours(pid_t pid) {
    g_autofree char *path = g_strdup_printf("/proc/%d/fd/0", (int)pid);
    char target[PATH_MAX];
    ssize_t size = readlink(path, target, sizeof target - 1);
    target[MAX(size, 0)] = '\0';
    return g_str_has_suffix(target, PACKAGE_GUARD_PATH);
}

/* Its processor time in ticks; -1 as long as it has children, which may be at work. */
static int64_t lonely_ticks(pid_t pid) {
    g_autofree char *name = g_strdup_printf("task/%d/children", (int)pid);
    g_autofree char *children = read_process(pid, name), *stat = read_process(pid, "stat");
    const char *rest = stat != NULL ? strrchr(stat, ')') : NULL; /* behind its name: proc(5) */
    unsigned long long user, system;
    if (children == NULL || *children != '\0' || rest == NULL ||
        sscanf(rest, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user, &system) !=
            2)
        return -1;
    return (int64_t)(user + system);
}

typedef struct {
    pid_t apt;
    int64_t ticks; /* by `since` */
    int64_t since; /* us, CLOCK_MONOTONIC */
} Stuck;

/* apt waits for ever when a program that fetches for it was killed as well. It has not begun to
 * change anything then. */
static void end_when_stuck(Stuck *stuck, pid_t apt, int64_t now) {
    int64_t ticks = apt > 0 ? lonely_ticks(apt) : -1;
    if (apt != stuck->apt || ticks < 0 || ticks != stuck->ticks) {
        *stuck = (Stuck){ apt, ticks, now };
        return;
    }
    if (now - stuck->since < STUCK_US || !is_ours(apt))
        return;
    g_message("ending apt (process %d), which an interrupted stead had started: it has lost what "
              "fetches for it and waits for nothing",
              (int)apt);
    (void)kill(apt, SIGTERM); /* gone already is as good */
    stuck->since = now;
}

/* --- the guard */

/* A lock of the open file, which commands inherit: it ends when the last of them does. */
static bool wait_for_lock(RealHost *self, int fd, Cancel *cancel, GError **error) {
    int64_t begin = g_get_monotonic_time(), busy = begin;
    bool told = false;
    Stuck stuck = { .since = begin };
    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return true; /* a file system without locks */
        int64_t now = g_get_monotonic_time();
        pid_t apt = find_apt(self);
        if (apt > 0)
            busy = now;
        if (now - busy > IDLE_MAX_US)
            return true;
        end_when_stuck(&stuck, apt, now);
        if (now - begin > WAIT_MAX_US)
            return give_up(apt, error);
        if (!told && now - begin > TELL_US)
            g_message("waiting for the apt that an interrupted stead had started");
        told = told || now - begin > TELL_US;
        if (!cancel_check(cancel, error))
            return false;
        g_usleep(RETRY_US);
    }
    return true;
}

bool package_guard_wait(RealHost *self, Cancel *cancel, GError **error) {
    int fd = real_open(self, PACKAGE_GUARD_PATH, O_RDONLY | O_NOFOLLOW);
    if (fd < 0)
        return true; /* nobody has ever taken it since the machine started */
    bool ok = wait_for_lock(self, fd, cancel, error);
    (void)close(fd); /* only read */
    return ok;
}

int package_guard_take(RealHost *self, Cancel *cancel, GError **error) {
    g_auto(Place) place = { .fd = -1 };
    if (!place_open(self, &place, "open", PACKAGE_GUARD_PATH, NULL))
        return -1;
    int fd = openat(place.fd, place.name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || wait_for_lock(self, fd, cancel, error))
        return fd;
    (void)close(fd); /* nothing was written to it */
    return -1;
}

void package_guard_release(int fd) {
    if (fd < 0)
        return;
    (void)flock(fd, LOCK_UN);
    (void)close(fd); /* nothing was written to it */
}
