#include "base/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

bool disk_write(int fd, const void *data, size_t size) {
    for (const char *next = data; size > 0;) {
        ssize_t n = write(fd, next, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        next += n;
        size -= (size_t)n;
    }
    return true;
}

bool disk_write_bytes(int fd, GBytes *bytes) {
    return disk_write(fd, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
}

/* Reads until size bytes or the end; -1 with errno. */
static ssize_t read_all(int fd, char *buffer, size_t size) {
    size_t done = 0;
    while (done < size) {
        ssize_t n = read(fd, buffer + done, size - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

static GBytes *read_open_file(int fd, const char *path, size_t limit, GError **error) {
    struct stat info;
    if (fstat(fd, &info) < 0) {
        set_io_error(error, errno, "read '%s'", path);
        return NULL;
    }
    if (!S_ISREG(info.st_mode)) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_LIMIT, "read '%s': it is no regular file",
                    path);
        return NULL;
    }
    if ((uint64_t)info.st_size > limit) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_LIMIT,
                    "read '%s': it has %" G_GINT64_FORMAT " bytes, more than the %zu expected",
                    path, (int64_t)info.st_size, limit);
        return NULL;
    }
    g_autofree char *buffer = g_malloc((size_t)info.st_size + 1);
    ssize_t size = read_all(fd, buffer, (size_t)info.st_size);
    if (size < 0) {
        set_io_error(error, errno, "read '%s'", path);
        return NULL;
    }
    buffer[size] = '\0';
    return g_bytes_new_take(g_steal_pointer(&buffer), (size_t)size);
}

static GBytes *read_file(const char *path, size_t limit, int flags, GError **error) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | flags);
    if (fd < 0) {
        set_io_error(error, errno, "read '%s'", path);
        return NULL;
    }
    GBytes *bytes = read_open_file(fd, path, limit, error);
    close(fd);
    return bytes;
}

GBytes *disk_read(const char *path, size_t limit, GError **error) {
    return read_file(path, limit, 0, error);
}

GBytes *disk_read_own(const char *path, size_t limit, GError **error) {
    return read_file(path, limit, O_NOFOLLOW, error);
}

bool disk_copy(const char *from, const char *to, GError **error) {
    g_autoptr(GBytes) bytes = disk_read_own(from, SIZE_MAX, error);
    g_autoptr(GError) problem = NULL;
    if (!bytes)
        return false;
    if (g_file_set_contents_full(to, g_bytes_get_data(bytes, NULL), (gssize)g_bytes_get_size(bytes),
                                 G_FILE_SET_CONTENTS_NONE, 0600, &problem))
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_IO, "write '%s': %s", to, problem->message);
    return false;
}

bool disk_sync_parent(const char *path, GError **error) {
    g_autofree char *parent = g_path_get_dirname(path);
    int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool done = fd >= 0 && fsync(fd) == 0;
    int problem = errno;
    if (fd >= 0)
        close(fd);
    return done || set_io_error(error, problem, "write to the directory '%s'", parent);
}

static bool write_new(int fd, const void *data, size_t size, mode_t mode) {
    bool done = disk_write(fd, data, size) && fchmod(fd, mode) == 0 && fsync(fd) == 0;
    int problem = errno;
    if (close(fd) < 0 && done)
        return false;
    errno = problem;
    return done;
}

bool disk_replace(const char *path, const void *data, size_t size, mode_t mode, GError **error) {
    g_autofree char *made = g_strconcat(path, ".XXXXXX", NULL);
    int fd = g_mkstemp_full(made, O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0)
        return set_io_error(error, errno, "write '%s'", path);
    if (!write_new(fd, data, size, mode) || rename(made, path) < 0) {
        int problem = errno;
        (void)unlink(made); /* nothing better is to be done about it */
        return set_io_error(error, problem, "write '%s'", path);
    }
    return disk_sync_parent(path, error);
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *place) {
    (void)remove(path); /* the directory it is in then stays and is seen */
    return 0;
}

void disk_remove_tree(const char *path) {
    (void)nftw(path, remove_one, 32, FTW_DEPTH | FTW_PHYS | FTW_MOUNT); /* as the header says */
}
