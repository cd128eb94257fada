#include "ledger/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/error.h"
#include "ledger/files.h"

#define LOCK_TEXT_SIZE 512

/* Who holds it, from what it wrote: "another stead" when that cannot be told. */
static char *describe_holder(int fd) {
    char text[LOCK_TEXT_SIZE];
    ssize_t size = pread(fd, text, sizeof text - 1, 0);
    if (size <= 0)
        return g_strdup("");
    text[size] = '\0';
    int pid, at = (int)size;
    long long since;
    if (sscanf(text, "%d %lld %n", &pid, &since, &at) < 2)
        return g_strdup("");
    g_strchomp(text);
    g_autoptr(GDateTime) time = g_date_time_new_from_unix_local(since);
    g_autofree char *shown = time ? g_date_time_format(time, "%F %T") : g_strdup("?");
    g_autofree char *command = g_utf8_make_valid(text + at, -1);
    return g_strdup_printf(": '%s' with pid %d since %s", command, pid, shown);
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

int lock_take(const char *dir, const char *command, GError **error) {
    g_autofree char *path = g_build_filename(dir, "lock", NULL);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        (void)set_io_error(error, errno, "open '%s'", path);
        return -1;
    }
    int result = -1;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
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
