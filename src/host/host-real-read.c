/* Looking at files: nothing here changes anything. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "host/host-real-private.h"
#include "host/written.h"

#define READ_CHUNK (64 * 1024)
/* Reading a FIFO or a terminal by mistake must not hang or take the terminal over. */
#define READ_FLAGS (O_RDONLY | O_NONBLOCK | O_NOCTTY)

bool real_stat(Host *host, const char *path, FileInfo *ret_info, GError **error) {
    RealHost *self = real_host(host);
    g_auto(Place) place = { .fd = AT_FDCWD };
    struct stat st;
    if (!place_open(self, &place, "stat", path, error))
        return false;
    if (fstatat(place.fd, place.name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return set_io_error(error, errno, "stat '%s'", path);
    file_info_from_stat(&st, ret_info);
    return true;
}

bool real_glance(Host *host, const char *path, FileInfo *ret_info, GError **error) {
    struct stat st;
    if (!place_glance(real_host(host), path, &st))
        return real_stat(host, path, ret_info, error);
    file_info_from_stat(&st, ret_info);
    return true;
}

/* Takes ownership of fd. Returns a descriptor of a regular file and what it looks like, or -1. */
static int regular_or_close(int fd, const char *path, struct stat *ret_st, GError **error) {
    if (fd < 0 || fstat(fd, ret_st) != 0) {
        set_io_error(error, errno, "read '%s'", path);
    } else if (!S_ISREG(ret_st->st_mode)) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_EXISTS, "read '%s': it is %s, not a file", path,
                    S_ISDIR(ret_st->st_mode) ? "a directory" : "a device, pipe or socket");
    } else {
        return fd;
    }
    if (fd >= 0)
        (void)close(fd); /* only read from */
    return -1;
}

static GBytes *limit_error(const char *path, size_t limit, GError **error) {
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_LIMIT, "read '%s': it is larger than %zu bytes",
                path, limit);
    return NULL;
}

/* The size is a hint only: files in /proc say 0, and others may grow while they are read. */
static GBytes *read_all(int fd, const struct stat *st, const char *path, size_t limit,
                        GError **error) {
    if (st->st_size > 0 && (uint64_t)st->st_size > limit)
        return limit_error(path, limit, error);
    size_t capacity = (size_t)st->st_size + 1, size = 0;
    g_autofree char *buffer = g_malloc(capacity);
    for (;;) {
        if (size == capacity) {
            capacity = MAX(capacity * 2, 4096);
            buffer = g_realloc(buffer, capacity);
        }
        ssize_t n = read(fd, buffer + size, capacity - size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            set_io_error(error, errno, "read '%s'", path);
            return NULL;
        }
        if (n == 0)
            return g_bytes_new_take(g_steal_pointer(&buffer), size);
        size += (size_t)n;
        if (size > limit)
            return limit_error(path, limit, error);
    }
}

static GBytes *read_and_close(int fd, const char *path, size_t limit, GError **error) {
    struct stat st;
    fd = regular_or_close(fd, path, &st, error);
    if (fd < 0)
        return NULL;
    GBytes *content = read_all(fd, &st, path, limit, error);
    (void)close(fd); /* only read from */
    return content;
}

GBytes *real_read(Host *host, const char *path, size_t limit, GError **error) {
    return read_and_close(real_open(real_host(host), path, READ_FLAGS), path, limit, error);
}

GBytes *real_read_local(Host *host, const char *path, size_t limit, GError **error) {
    return read_and_close(open(path, READ_FLAGS | O_CLOEXEC), path, limit, error);
}

/* size: as fstat() said; 0 when only the end of the file tells, as in /proc. */
static bool digest_fd(int fd, uint64_t size, const char *path, char ret_hex[DIGEST_HEX_SIZE],
                      GError **error) {
    char buffer[READ_CHUNK];
    g_autoptr(Digest) digest = NULL;
    uint64_t total = 0;
    for (size_t filled = 0;;) {
        ssize_t n = read(fd, buffer + filled, sizeof buffer - filled);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return set_io_error(error, errno, "read '%s'", path);
        filled += (size_t)n;
        total += (size_t)n;
        bool end = n == 0 || total == size;
        if (!end && filled < sizeof buffer)
            continue;
        if (end && digest == NULL) {
            digest_bytes(buffer, filled, ret_hex); /* the common small file, in one call */
            return true;
        }
        if (digest == NULL)
            digest = digest_new();
        digest_update(digest, buffer, filled);
        filled = 0;
        if (end) {
            digest_finish(digest, ret_hex);
            return true;
        }
    }
}

static int64_t realtime_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* The fingerprint remembers how the file looked before it was read: a change during the reading
 * shows up as a misfit later, or falls into the racy window. */
bool real_digest(Host *host, const char *path, const FileInfo *info, char ret_hex[DIGEST_HEX_SIZE],
                 GError **error) {
    RealHost *self = real_host(host);
    if (info != NULL && written_digest(host, path, info, ret_hex))
        return true;
    bool remember = info != NULL && info->type == FILE_REGULAR && self->fingerprints != NULL;
    if (remember && fingerprint_find(self->fingerprints, path, info, ret_hex))
        return true;
    struct stat st;
    int fd = regular_or_close(real_open(self, path, READ_FLAGS), path, &st, error);
    if (fd < 0)
        return false;
    int64_t taken_ns = realtime_ns();
    bool ok = digest_fd(fd, (uint64_t)st.st_size, path, ret_hex, error);
    (void)close(fd); /* only read from */
    if (ok && remember) {
        FileInfo opened;
        file_info_from_stat(&st, &opened);
        fingerprint_put(self->fingerprints, path, &opened, taken_ns, ret_hex);
    }
    return ok;
}

char *real_read_link(Host *host, const char *path, GError **error) {
    RealHost *self = real_host(host);
    g_auto(Place) place = { .fd = AT_FDCWD };
    if (!place_open(self, &place, "read link", path, error))
        return NULL;
    char target[PATH_MAX];
    ssize_t n = readlinkat(place.fd, place.name, target, sizeof target);
    if (n >= 0)
        return g_strndup(target, (size_t)n);
    if (errno == EINVAL)
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_EXISTS, "read link '%s': it is not a link",
                    path);
    else
        set_io_error(error, errno, "read link '%s'", path);
    return NULL;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char **real_list(Host *host, const char *path, GError **error) {
    int fd = real_open(real_host(host), path, O_RDONLY | O_DIRECTORY);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    if (directory == NULL) {
        set_io_error(error, errno, "list '%s'", path);
        if (fd >= 0)
            (void)close(fd); /* only read from */
        return NULL;
    }
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(directory);
        if (entry == NULL)
            break;
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            g_ptr_array_add(names, g_strdup(entry->d_name));
    }
    int problem = errno;
    (void)closedir(directory); /* only read from */
    if (problem != 0) {
        set_io_error(error, problem, "list '%s'", path);
        return NULL;
    }
    g_ptr_array_sort(names, compare_names);
    g_ptr_array_add(names, NULL);
    return (char **)g_ptr_array_free(g_steal_pointer(&names), FALSE);
}
