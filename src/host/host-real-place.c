#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host/host-real-private.h"

/* A rename or mount that happens during the resolution makes the kernel give up with EAGAIN. */
#define RESOLVE_ATTEMPTS 100

/* root_fd: AT_FDCWD when the root is "/". */
static int open_in_root(int root_fd, const char *path, int flags) {
    struct open_how how = { .flags = (uint64_t)flags | O_CLOEXEC };
    if (root_fd != AT_FDCWD)
        how.resolve |= RESOLVE_IN_ROOT;
    if (host_links_refused())
        how.resolve |= RESOLVE_NO_SYMLINKS;
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
    if (host_links_refused())
        return open_in_root(AT_FDCWD, path, flags);
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
    if (!real_host_has_root(self) && !host_links_refused() &&
        (length <= 1 || path[length - 1] != '/'))
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

/* --- the last parent */

/* How long a directory is believed to be where it was. */
#define PARENT_AGE_US 10000

struct Parent {
    gatomicrefcount refs;
    int fd;         /* O_PATH */
    int changes;    /* of the host when it was opened */
    int64_t opened; /* g_get_monotonic_time() */
    size_t length;
    char path[]; /* length bytes, up to and with the last slash */
};

static void parent_unref(Parent *parent) {
    if (!parent || !g_atomic_ref_count_dec(&parent->refs))
        return;
    (void)close(parent->fd); /* an O_PATH descriptor: nothing can be lost */
    g_free(parent);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Parent, parent_unref)

void last_parent_init(LastParent *last) {
    g_mutex_init(&last->lock);
}

void last_parent_clear(LastParent *last) {
    parent_unref(last->parent);
    g_mutex_clear(&last->lock);
}

static Parent *parent_open(RealHost *self, const char *path, size_t length) {
    Parent *parent = g_malloc(sizeof *parent + length + 1);
    g_atomic_ref_count_init(&parent->refs);
    parent->changes = g_atomic_int_get(&self->host.changes); /* before it is looked for */
    parent->opened = g_get_monotonic_time();
    parent->length = length;
    memcpy(parent->path, path, length);
    parent->path[length] = '\0';
    parent->fd = real_open(self, parent->path, O_PATH | O_DIRECTORY);
    if (parent->fd >= 0)
        return parent;
    g_free(parent);
    return NULL;
}

static bool parent_fits(RealHost *self, const Parent *parent, const char *path, size_t length) {
    return parent && parent->length == length && memcmp(parent->path, path, length) == 0 &&
           parent->changes == g_atomic_int_get(&self->host.changes) &&
           g_get_monotonic_time() - parent->opened < PARENT_AGE_US;
}

/* A reference to the directory of that path, or NULL. */
static Parent *parent_get(RealHost *self, const char *path, size_t length) {
    LastParent *last = &self->last_parent;
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&last->lock);
    if (!parent_fits(self, last->parent, path, length)) {
        parent_unref(last->parent);
        last->parent = parent_open(self, path, length);
    }
    if (last->parent)
        g_atomic_ref_count_inc(&last->parent->refs);
    return last->parent;
}

bool place_glance(RealHost *self, const char *path, struct stat *ret_stat) {
    const char *slash = strrchr(path, '/');
    /* The last parent may have been found through links. */
    if (!real_host_has_root(self) || host_links_refused() || slash[1] == '\0' || slash[1] == '.')
        return false;
    g_autoptr(Parent) parent = parent_get(self, path, (size_t)(slash - path) + 1);
    return parent && fstatat(parent->fd, slash + 1, ret_stat, AT_SYMLINK_NOFOLLOW) == 0;
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
