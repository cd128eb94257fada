#include "host/accounts-lock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOCK_PATH "/etc/.pwd.lock"
#define LOCK_MODE 0600
#define RETRY_US  20000
#define OPEN_ATTEMPTS                                                                              \
    100 /* the kernel gives up with EAGAIN when something is renamed meanwhile                     \
         */

static int open_lock(const char *root) {
    int root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root_fd < 0)
        return -1;
    struct open_how how = { .flags = O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
                            .mode = LOCK_MODE,
                            .resolve = RESOLVE_IN_ROOT };
    int fd = -1;
    for (int attempt = 0; attempt < OPEN_ATTEMPTS; attempt++) {
        fd = (int)syscall(SYS_openat2, root_fd, LOCK_PATH, &how, sizeof how);
        if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
            break;
    }
    int problem = errno;
    (void)close(root_fd); /* an O_PATH descriptor: nothing can be lost */
    errno = problem;
    return fd;
}

/* Somebody else has it. The kernel knows who, unless it is a lock of an open file like ours. */
static void busy_error(int fd, uint64_t timeout_us, GError **error) {
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    g_autofree char *who = g_strdup("another program");
    if (fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK && lock.l_pid > 0) {
        g_free(who);
        who = g_strdup_printf("process %d", (int)lock.l_pid);
    }
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_TIMEOUT,
                "lock the accounts: %s has held '" LOCK_PATH
                "' for %g s, try again when it is done",
                who, (double)timeout_us / G_USEC_PER_SEC);
}

bool accounts_lock_no_directory(GError **error) {
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND,
                "lock the accounts: make '" LOCK_PATH
                "': its directory does not exist; declare file "
                "'/etc/'");
    return false;
}

/* A lock of the open file, not of the process: other threads do not share it, and closing another
 * descriptor of the same file does not lose it. Both sorts exclude each other. */
bool accounts_lock_take(const char *root, uint64_t timeout_us, int *ret_fd, GError **error) {
    int fd = open_lock(root);
    if (fd < 0 && errno == ENOENT)
        return accounts_lock_no_directory(error);
    if (fd < 0)
        return set_io_error(error, errno, "lock the accounts: open '" LOCK_PATH "'");
    int64_t end = g_get_monotonic_time() + (int64_t)timeout_us;
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    while (fcntl(fd, F_OFD_SETLK, &lock) != 0) {
        bool busy = errno == EAGAIN || errno == EACCES;
        if (errno != EINTR && !busy)
            set_io_error(error, errno, "lock the accounts: lock '" LOCK_PATH "'");
        else if (busy && g_get_monotonic_time() >= end)
            busy_error(fd, timeout_us, error);
        else {
            g_usleep(RETRY_US);
            continue;
        }
        (void)close(fd); /* nothing was written to it */
        return false;
    }
    *ret_fd = fd;
    return true;
}

bool real_lock_accounts(Host *host, int *ret_fd, GError **error) {
    return accounts_lock_take(host_root(host), ACCOUNTS_LOCK_TIMEOUT_US, ret_fd, error);
}
