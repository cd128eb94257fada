#include "host/package-guard.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#define FRONTEND_LOCK "/var/lib/dpkg/lock-frontend" /* held by apt from its start to its end */
#define RETRY_US      50000
#define TELL_US       1000000
#define IDLE_MAX_US   10000000  /* nobody has apt's lock for so long: what is left is no apt */
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

/* A lock of the open file, which commands inherit: it ends when the last of them does. */
static bool wait_for_lock(RealHost *self, int fd, Cancel *cancel, GError **error) {
    int64_t begin = g_get_monotonic_time(), busy = begin;
    bool told = false;
    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return true; /* a file system without locks */
        int64_t now = g_get_monotonic_time();
        pid_t apt = find_apt(self);
        if (apt > 0)
            busy = now;
        if (now - busy > IDLE_MAX_US)
            return true;
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
