#include "ledger/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

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

GBytes *file_read(const char *path, size_t limit, GError **error) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        set_io_error(error, errno, "read '%s'", path);
        return NULL;
    }
    GBytes *bytes = read_open_file(fd, path, limit, error);
    close(fd);
    return bytes;
}

bool write_all(int fd, const void *data, size_t size) {
    const char *next = data;
    while (size > 0) {
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

bool file_copy(const char *from, const char *to, GError **error) {
    g_autoptr(GBytes) bytes = file_read(from, SIZE_MAX, error);
    g_autoptr(GError) problem = NULL;
    if (!bytes)
        return false;
    if (g_file_set_contents_full(to, g_bytes_get_data(bytes, NULL), (gssize)g_bytes_get_size(bytes),
                                 G_FILE_SET_CONTENTS_NONE, 0600, &problem))
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_IO, "write '%s': %s", to, problem->message);
    return false;
}
