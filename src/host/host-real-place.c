#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host/host-real-private.h"

/* A rename or mount that happens during the resolution makes the kernel give up with EAGAIN. */
#define RESOLVE_ATTEMPTS 100

static int open_in_root(int root_fd, const char *path, int flags) {
    struct open_how how = { .flags = (uint64_t)flags | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT };
    for (int attempt = 0;; attempt++) {
        int fd = (int)syscall(SYS_openat2, root_fd, path, &how, sizeof how);
        if (fd >= 0 || (errno != EAGAIN && errno != EINTR) || attempt >= RESOLVE_ATTEMPTS)
            return fd;
    }
}

bool real_can_resolve(int root_fd) {
    int fd = open_in_root(root_fd, "/", O_PATH | O_DIRECTORY);
    if (fd < 0)
        return false;
    (void)close(fd); /* nothing can be lost */
    return true;
}

int real_open(RealHost *self, const char *path, int flags) {
    if (real_host_has_root(self))
        return open_in_root(self->root_fd, path, flags);
    return open(path, flags | O_CLOEXEC);
}

char *real_local_path(RealHost *self, const char *path) {
    return real_host_has_root(self) ? g_strconcat(self->host.root, path, NULL) : g_strdup(path);
}

/* Splits path into the length of its directory part and its last component; "a/b//" is "a" and
 * "b". What has no name of its own ("/", "/.", "/a/..") is all directory part. */
static size_t split(const char *path, size_t length, const char **ret_name, size_t *ret_length) {
    size_t end = length;
    while (end > 1 && path[end - 1] == '/')
        end--;
    size_t start = end;
    while (start > 0 && path[start - 1] != '/')
        start--;
    *ret_name = path + start;
    *ret_length = end - start;
    bool dots = (end - start == 1 || end - start == 2) && strspn(path + start, ".") >= end - start;
    if (start == end || dots) {
        *ret_name = ".";
        *ret_length = 1;
        return end;
    }
    return start;
}

bool place_open(RealHost *self, Place *ret_place, const char *verb, const char *path,
                GError **error) {
    ret_place->fd = AT_FDCWD;
    ret_place->name = path;
    size_t length = strlen(path);
    /* A slash at the end would make the kernel follow a link. */
    if (!real_host_has_root(self) && (length <= 1 || path[length - 1] != '/'))
        return true;

    char parent[PATH_MAX];
    const char *name;
    size_t name_length;
    size_t parent_length = split(path, length, &name, &name_length);
    if (parent_length >= sizeof parent || name_length > NAME_MAX)
        return set_io_error(error, ENAMETOOLONG, "%s '%s'", verb, path);
    memcpy(parent, path, parent_length);
    parent[parent_length] = '\0';
    memcpy(ret_place->copy, name, name_length);
    ret_place->copy[name_length] = '\0';
    ret_place->name = ret_place->copy;
    ret_place->fd = real_open(self, parent, O_PATH | O_DIRECTORY);
    return ret_place->fd >= 0 || set_io_error(error, errno, "%s '%s'", verb, path);
}

void place_close(Place *place) {
    if (place->fd >= 0)
        (void)close(place->fd); /* an O_PATH descriptor: nothing can be lost */
    place->fd = AT_FDCWD;
}

void file_info_from_stat(const struct stat *st, FileInfo *ret_info) {
    FileType type = FILE_OTHER;
    if (S_ISREG(st->st_mode))
        type = FILE_REGULAR;
    else if (S_ISDIR(st->st_mode))
        type = FILE_DIRECTORY;
    else if (S_ISLNK(st->st_mode))
        type = FILE_SYMLINK;
    *ret_info = (FileInfo){
        .type = type,
        .mode = st->st_mode & 07777,
        .uid = st->st_uid,
        .gid = st->st_gid,
        .size = (uint64_t)st->st_size,
        .inode = st->st_ino,
        .device = st->st_dev,
        .mtime_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec,
        .ctime_ns = (int64_t)st->st_ctim.tv_sec * 1000000000 + st->st_ctim.tv_nsec,
    };
}
