/*
 * Writing content. A file that does not exist yet is written without a name and then gets it; where
 * something is to be replaced, or the file system or the kernel cannot do that, content goes into a
 * temporary in the same directory which is then renamed. So a kill or a full disk leaves either the
 * old or the new file. There is no fsync: on power loss,
 * ext4 (auto_da_alloc), btrfs and xfs write the data of a file out before or with the rename that
 * puts it over another one, and a file that was new is found missing by the next run. An fdatasync
 * would cost several times as much as all the rest.
 *
 * Two writers of one path, in whatever processes, use the same temporary name. The one who made
 * the temporary holds a flock(2) on it until after the rename; one without a lock is a leftover.
 *
 * A replaced file keeps its mode and owner, its access list, its user.* attributes and its
 * security label. File capabilities are dropped: they were given to the old content.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/disk.h"
#include "host/host-real-private.h"
#include "host/watch-files.h"
#include "host/written.h"

#define DEFAULT_FILE_MODE 0644

/* Another living writer of the same path is waited for, some 2 s in all. */
#define BUSY_ATTEMPTS     210
#define BUSY_SLEEP_MIN_US 50
#define BUSY_SLEEP_MAX_US 10000

#define XATTR_NAMES_SIZE 4096
#define XATTR_VALUE_SIZE 65536

/* One write. All but wanted is borrowed. */
typedef struct {
    RealHost *host;
    const Place *place;
    const char *path; /* as the caller said it */
    GBytes *content;
    FileAttributes wanted;
} Write;

/* ".stead.<FNV-1a of the name>.tmp": short whatever the length of the name, and found again. */
void temporary_path(const Place *place, char ret_temporary[TEMPORARY_SIZE]) {
    static const char pattern[] = ".stead.0000000000000000.tmp";
    const char *slash = strrchr(place->name, '/');
    size_t directory = slash == NULL ? 0 : (size_t)(slash + 1 - place->name);
    uint64_t hash = 0xcbf29ce484222325u;
    for (const char *c = place->name + directory; *c != '\0'; c++)
        hash = (hash ^ (unsigned char)*c) * 0x100000001b3u;
    directory = MIN(directory, PATH_MAX); /* the kernel refuses such a path anyway */
    memcpy(ret_temporary, place->name, directory);
    memcpy(ret_temporary + directory, pattern, sizeof pattern);
    char *digits = ret_temporary + directory + strlen(".stead.");
    for (int i = 15; i >= 0; i--, hash >>= 4)
        digits[i] = "0123456789abcdef"[hash & 15];
}

bool temporary_is_name(const char *name) {
    return g_str_has_prefix(name, ".stead.") && g_str_has_suffix(name, ".tmp");
}

/* Some file systems have no locks: there, as on every system before flock, the last one wins. */
static bool lock_try(int fd) {
    return flock(fd, LOCK_EX | LOCK_NB) == 0 || (errno != EWOULDBLOCK && errno != EINTR);
}

/* Whoever made the temporary, it is unlinked only while locked by us and still under its name. */
static bool unlink_locked(int fd, const char *temporary, int temporary_fd) {
    struct stat opened, named;
    if (fstat(temporary_fd, &opened) != 0)
        return false;
    /* A file of somebody else is no temporary of ours, lock or not: nobody may block us so. */
    if (!lock_try(temporary_fd) && opened.st_uid == geteuid()) {
        errno = EBUSY;
        return false;
    }
    if (fstatat(fd, temporary, &named, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT;
    if (named.st_ino != opened.st_ino || named.st_dev != opened.st_dev)
        return true;
    return unlinkat(fd, temporary, 0) == 0 || errno == ENOENT;
}

bool temporary_remove(int fd, const char *temporary) {
    int temporary_fd =
        openat(fd, temporary, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (temporary_fd < 0) {
        /* A link, or not even readable for us: nobody who writes content has such a one. */
        if (errno == ELOOP || errno == EACCES || errno == ENXIO)
            return unlinkat(fd, temporary, 0) == 0 || errno == ENOENT;
        return errno == ENOENT || errno == ENOTDIR;
    }
    bool ok = unlink_locked(fd, temporary, temporary_fd);
    int problem = errno;
    (void)close(temporary_fd); /* only locked */
    errno = problem;
    return ok;
}

/* Returns a locked descriptor, or -1 with errno; EBUSY: somebody else keeps writing this path. */
static int temporary_create(int fd, const char *temporary, mode_t mode, struct stat *ret_st) {
    unsigned sleep_us = BUSY_SLEEP_MIN_US;
    for (int attempt = 0; attempt < BUSY_ATTEMPTS; attempt++) {
        int created = openat(fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
        if (created >= 0) {
            /* Before the lock it could be taken for a leftover: then it has lost its name. */
            if (lock_try(created) && fstat(created, ret_st) == 0 && ret_st->st_nlink == 1)
                return created;
            (void)close(created); /* empty */
        } else if (errno != EEXIST) {
            return -1;
        } else if (!temporary_remove(fd, temporary)) {
            if (errno != EBUSY)
                return -1;
            g_usleep(sleep_us);
            sleep_us = MIN(sleep_us * 2, BUSY_SLEEP_MAX_US);
        }
    }
    errno = EBUSY;
    return -1;
}

FileAttributes attributes_complete(const FileAttributes *attributes, const struct stat *old,
                                   mode_t default_mode) {
    FileAttributes wanted = attributes != NULL ? *attributes : (FileAttributes){ 0 };
    if (!(wanted.set & FILE_SET_MODE))
        wanted.mode = old != NULL ? old->st_mode & 07777 : default_mode;
    wanted.set |= FILE_SET_MODE;
    if (old != NULL && !(wanted.set & FILE_SET_UID)) {
        wanted.uid = old->st_uid;
        wanted.set |= FILE_SET_UID;
    }
    if (old != NULL && !(wanted.set & FILE_SET_GID)) {
        wanted.gid = old->st_gid;
        wanted.set |= FILE_SET_GID;
    }
    return wanted;
}

mode_t attributes_first_mode(const FileAttributes *attributes) {
    bool owner_changes = ((attributes->set & FILE_SET_UID) && attributes->uid != geteuid()) ||
                         ((attributes->set & FILE_SET_GID) && attributes->gid != getegid());
    return attributes->mode & (owner_changes ? 0700 : 0777);
}

bool attributes_apply(int fd, const struct stat *st, const FileAttributes *attributes,
                      GError **error) {
    bool new_uid = (attributes->set & FILE_SET_UID) && attributes->uid != st->st_uid;
    bool new_gid = (attributes->set & FILE_SET_GID) && attributes->gid != st->st_gid;
    uid_t uid = new_uid ? attributes->uid : (uid_t)-1;
    gid_t gid = new_gid ? attributes->gid : (gid_t)-1;
    if ((new_uid || new_gid) && fchown(fd, uid, gid) != 0)
        return set_io_error(error, errno, "give it to user %u and group %u",
                            new_uid ? attributes->uid : st->st_uid,
                            new_gid ? attributes->gid : st->st_gid);
    /* A change of the owner takes the set-id bits away. */
    bool lost = (new_uid || new_gid) && (attributes->mode & 06000) != 0;
    if ((lost || (st->st_mode & 07777) != attributes->mode) && fchmod(fd, attributes->mode) != 0)
        return set_io_error(error, errno, "set mode %04o", attributes->mode);
    return true;
}

static bool is_kept_xattr(const char *name) {
    static const char *const kept[] = { "system.posix_acl_access", "security.selinux",
                                        "security.SMACK64" };
    for (size_t i = 0; i < G_N_ELEMENTS(kept); i++)
        if (strcmp(name, kept[i]) == 0)
            return true;
    return g_str_has_prefix(name, "user.");
}

static bool copy_xattr(const char *path, const char *name, int to_fd) {
    char small[256];
    g_autofree char *large = NULL;
    char *value = small;
    ssize_t size = lgetxattr(path, name, small, sizeof small);
    if (size < 0 && errno == ERANGE) {
        value = large = g_malloc(XATTR_VALUE_SIZE);
        size = lgetxattr(path, name, large, XATTR_VALUE_SIZE);
    }
    return size >= 0 && fsetxattr(to_fd, name, value, (size_t)size, 0) == 0;
}

/* As far as the system lets us: a file system without them, or a caller without the right, is no
 * reason to fail. Returns whether any was copied; an access list changes the mode. */
static bool copy_xattrs(const Place *place, int to_fd) {
    char through_fd[64 + NAME_MAX], names[XATTR_NAMES_SIZE];
    const char *path = place->name;
    if (place->fd >= 0) {
        g_snprintf(through_fd, sizeof through_fd, "/proc/self/fd/%d/%s", place->fd, place->name);
        path = through_fd;
    }
    ssize_t size = llistxattr(path, names, sizeof names);
    bool any = false;
    for (ssize_t at = 0; at < size; at += (ssize_t)strlen(names + at) + 1)
        if (is_kept_xattr(names + at))
            any = copy_xattr(path, names + at, to_fd) || any;
    return any;
}

/* Where another file system is mounted on the very file, as containers do with /etc/hosts, nothing
 * can be renamed over it. This is the one case that a kill can catch half-way. */
static bool overwrite_in_place(const Place *place, GBytes *content,
                               const FileAttributes *attributes, GError **error) {
    struct stat st;
    int fd = openat(place->fd, place->name, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return set_io_error(error, errno, "it is a mount point and cannot be opened");
    bool ok = disk_write_bytes(fd, content) ||
              set_io_error(error, errno, "it is a mount point and now half written");
    if (ok && (ftruncate(fd, (off_t)g_bytes_get_size(content)) != 0 || fstat(fd, &st) != 0))
        ok = set_io_error(error, errno, "it is a mount point and cannot be overwritten");
    ok = ok && attributes_apply(fd, &st, attributes, error);
    if (close(fd) != 0 && ok)
        return set_io_error(error, errno, "it is a mount point and cannot be overwritten");
    return ok;
}

static bool rename_error(int errno_value, GError **error) {
    if (errno_value == EISDIR || errno_value == ENOTEMPTY || errno_value == EEXIST) {
        g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_EXISTS, "a directory is in its place");
        return false;
    }
    return set_io_error(error, errno_value, "replace it");
}

/* Sets *ret_renamed unless it had to go into the file that is there. */
static bool put_in_place(const Write *write, const char *temporary, bool *ret_renamed,
                         GError **error) {
    const Place *place = write->place;
    *ret_renamed = renameat(place->fd, temporary, place->fd, place->name) == 0;
    if (*ret_renamed)
        return true;
    int problem = errno;
    (void)unlinkat(place->fd, temporary, 0); /* the first error counts */
    if (problem == EBUSY)
        return overwrite_in_place(place, write->content, &write->wanted, error);
    return rename_error(problem, error);
}

/* Takes ownership of fd and keeps its lock until after the rename. Closing it then is an event of
 * the new name. */
static bool finish_write(Write *write, int fd, const char *temporary, GError **error) {
    struct stat after;
    bool renamed;
    g_auto(OwnWrite) own = own_write_begin(write->host->file_watchers, write->path);
    bool ok = put_in_place(write, temporary, &renamed, error);
    bool known = renamed && fstat(fd, &after) == 0;
    (void)close(fd); /* errors of a local file system have shown in write() */
    if (!known)
        return ok;
    written_note(&write->host->host, write->path, &after, write->content);
    own_write_end(&own, IN_MOVED_TO | IN_CLOSE_WRITE, &after);
    return true;
}

/* Through a temporary with a name. old: what is there, or NULL. */
static bool replace_file(Write *write, const struct stat *old, GError **error) {
    const Place *place = write->place;
    char temporary[TEMPORARY_SIZE];
    struct stat st;
    temporary_path(place, temporary);
    int fd = temporary_create(place->fd, temporary, attributes_first_mode(&write->wanted), &st);
    if (fd < 0 && errno == EBUSY)
        return set_io_error(error, errno, "another process is writing it");
    if (fd < 0)
        return set_io_error(error, errno,
                            errno == ENOENT ? "its directory does not exist"
                                            : "make a temporary beside it");

    bool ok = disk_write_bytes(fd, write->content) ||
              set_io_error(error, errno,
                           old != NULL ? "the old content is untouched" : "no file was made");
    if (ok && old != NULL && S_ISREG(old->st_mode) && copy_xattrs(place, fd))
        ok = fstat(fd, &st) == 0;
    ok = ok && attributes_apply(fd, &st, &write->wanted, error);
    if (ok)
        return finish_write(write, fd, temporary, error);
    (void)unlinkat(place->fd, temporary, 0); /* the first error counts */
    (void)close(fd);
    return false;
}

/* --- what was not there */

/* A new inode without a name in the directory of place. Returns -1 where there is no such thing. */
static int open_nameless(const Place *place, mode_t mode) {
    const char *slash = strrchr(place->name, '/');
    size_t length = slash == NULL ? 0 : (size_t)(slash - place->name);
    char directory[PATH_MAX] = ".";
    if (length >= sizeof directory)
        return -1;
    if (slash != NULL) {
        memcpy(directory, place->name, MAX(length, 1));
        directory[MAX(length, 1)] = '\0';
    }
    return openat(place->fd, directory, O_WRONLY | O_TMPFILE | O_CLOEXEC, mode);
}

typedef enum { CREATE_DONE, CREATE_FAILED, CREATE_OTHERWISE, CREATE_CANNOT_NAME } CreateResult;

/* One name in the directory is made instead of one made and changed, which is most of the work of
 * a file system; and the name is refused when somebody else has made it since. Whatever does not
 * work this way works, or says why it does not, with a temporary that has a name. */
static CreateResult create_file(Write *write, GError **error) {
    RealHost *self = write->host;
    if (g_atomic_int_get(&self->cannot_name))
        return CREATE_OTHERWISE;
    int fd = open_nameless(write->place, attributes_first_mode(&write->wanted));
    if (fd < 0)
        return CREATE_OTHERWISE;
    struct stat st;
    bool ok =
        disk_write_bytes(fd, write->content) || set_io_error(error, errno, "no file was made");
    ok = ok && (fstat(fd, &st) == 0 || set_io_error(error, errno, "stat it"));
    ok = ok && attributes_apply(fd, &st, &write->wanted, error);
    CreateResult result = ok ? CREATE_DONE : CREATE_FAILED;
    g_auto(OwnWrite) own = own_write_begin(self->file_watchers, write->path);
    if (ok && linkat(fd, "", write->place->fd, write->place->name, AT_EMPTY_PATH) != 0)
        result = errno == ENOENT ? CREATE_CANNOT_NAME : CREATE_OTHERWISE;
    if (result == CREATE_DONE) {
        written_note(&self->host, write->path, &st, write->content);
        if (own.watchers != NULL && fstat(fd, &st) == 0)
            own_write_end(&own, IN_CREATE, &st);
    }
    (void)close(fd); /* errors of a local file system have shown in write() */
    return result;
}

static bool write_file(Write *write, const FileAttributes *attributes, GError **error) {
    const Place *place = write->place;
    struct stat old;
    bool exists = fstatat(place->fd, place->name, &old, AT_SYMLINK_NOFOLLOW) == 0;
    if (exists && S_ISDIR(old.st_mode))
        return rename_error(EISDIR, error);
    bool keeps = exists && S_ISREG(old.st_mode);
    write->wanted = attributes_complete(attributes, keeps ? &old : NULL, DEFAULT_FILE_MODE);
    CreateResult created = exists ? CREATE_OTHERWISE : create_file(write, error);
    if (created == CREATE_DONE || created == CREATE_FAILED)
        return created == CREATE_DONE;
    if (!replace_file(write, exists ? &old : NULL, error))
        return false;
    /* The right to give a name, which everybody has only since Linux 6.10, was missing, and not the
     * directory: it need not be tried again. */
    if (created == CREATE_CANNOT_NAME)
        g_atomic_int_set(&write->host->cannot_name, true);
    return true;
}

bool real_write(Host *host, const char *path, GBytes *content, const FileAttributes *attributes,
                GError **error) {
    RealHost *self = real_host(host);
    g_auto(Place) place = { .fd = AT_FDCWD };
    if (!place_open(self, &place, "write", path, error))
        return false;
    Write write = { .host = self, .place = &place, .path = path, .content = content };
    if (write_file(&write, attributes, error))
        return true;
    g_prefix_error(error, "write '%s': ", path);
    return false;
}
