#include "ledger/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/disk.h"
#include "base/error.h"

#define LOCK_TEXT_SIZE 512

/* How long the lock of a holder that has ended is waited for. */
#define ORPHAN_ATTEMPTS 200
#define ORPHAN_SLEEP_US 10000

/* What the holder wrote about itself. */
typedef struct {
    int pid;
    long long since; /* wall s */
    char command[LOCK_TEXT_SIZE];
} Holder;

static bool read_holder(int fd, Holder *ret_holder) {
    char text[LOCK_TEXT_SIZE];
    ssize_t size = pread(fd, text, sizeof text - 1, 0);
    if (size <= 0)
        return false;
    text[size] = '\0';
    int at = (int)size;
    if (sscanf(text, "%d %lld %n", &ret_holder->pid, &ret_holder->since, &at) < 2)
        return false;
    g_strlcpy(ret_holder->command, g_strchomp(text + at), sizeof ret_holder->command);
    return true;
}

/* "" when it cannot be told. */
static char *describe_holder(int fd) {
    Holder holder;
    if (!read_holder(fd, &holder))
        return g_strdup("");
    g_autoptr(GDateTime) time = g_date_time_new_from_unix_local(holder.since);
    g_autofree char *shown = time ? g_date_time_format(time, "%F %T") : g_strdup("?");
    g_autofree char *command = g_utf8_make_valid(holder.command, -1);
    return g_strdup_printf(": '%s' with pid %d since %s", command, holder.pid, shown);
}

/* A command that a killed stead was about to start still has all its descriptors, and so the lock,
 * for the moment until it has exec'ed. */
static bool holder_has_ended(int fd) {
    Holder holder;
    return read_holder(fd, &holder) && holder.pid > 0 && kill(holder.pid, 0) != 0 && errno == ESRCH;
}

/* False with errno. */
static bool take(int fd) {
    for (int attempt = 0; flock(fd, LOCK_EX | LOCK_NB) != 0; attempt++) {
        if (errno != EWOULDBLOCK)
            return false;
        if (attempt == ORPHAN_ATTEMPTS || !holder_has_ended(fd)) {
            errno = EWOULDBLOCK;
            return false;
        }
        g_usleep(ORPHAN_SLEEP_US);
    }
    return true;
}

static int refuse(int fd, const char *dir, GError **error) {
    g_autofree char *holder = describe_holder(fd);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                "another stead is at work on this host%s (state directory '%s')", holder, dir);
    return -1;
}

static bool write_holder(int fd, const char *command) {
    g_autofree char *clean = g_strdelimit(g_strdup(command), "\n\r", ' ');
    g_autofree char *text =
        g_strdup_printf("%d %" G_GINT64_FORMAT " %.*s\n", (int)getpid(),
                        g_get_real_time() / G_USEC_PER_SEC, LOCK_TEXT_SIZE / 2, clean);
    return pwrite(fd, text, strlen(text), 0) == (ssize_t)strlen(text) &&
           ftruncate(fd, (off_t)strlen(text)) == 0;
}

int lock_take(const char *dir, const char *command, bool *ret_unfinished, GError **error) {
    g_autofree char *path = g_build_filename(dir, "lock", NULL);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        (void)set_io_error(error, errno, "open '%s'", path);
        return -1;
    }
    int result = -1;
    if (take(fd)) {
        struct stat info;
        if (ret_unfinished != NULL)
            *ret_unfinished = fstat(fd, &info) != 0 || info.st_size > 0;
        /* A full disk must not keep an agent from starting: the lock holds without its text. */
        (void)write_holder(fd, command);
        return fd;
    }
    if (errno == EWOULDBLOCK)
        result = refuse(fd, dir, error);
    else
        (void)set_io_error(error, errno, "lock '%s'", path);
    close(fd);
    return result;
}

void lock_finish(int fd) {
    (void)!ftruncate(fd, 0); /* else the next one looks for leftovers in vain */
}
