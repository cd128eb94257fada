/* A bundle becomes a directory. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/disk.h"
#include "base/error.h"
#include "bundle/bundle.h"

typedef struct {
    const char *directory; /* for errors */
    int fd;
    bool private;
} Unpack;

static mode_t mode_of(const Unpack *unpack, const BundleEntry *entry) {
    mode_t mode = entry->type == BUNDLE_FILE && !entry->executable ? 0644 : 0755;
    return unpack->private ? mode & 0700 : mode;
}

/* The mode is set besides: that of open() and mkdir() is less the umask. */
static bool write_file(const Unpack *unpack, const BundleEntry *entry) {
    size_t size;
    const void *data = g_bytes_get_data(entry->content, &size);
    int fd =
        openat(unpack->fd, entry->path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    bool done = disk_write(fd, data, size) && fchmod(fd, mode_of(unpack, entry)) == 0;
    int problem = errno;
    if (close(fd) < 0 && done) {
        done = false;
        problem = errno;
    }
    errno = problem;
    return done;
}

/* No part of a path is a link: bundle_new() has seen that each is a directory of the bundle, and
 * nobody else can write where we unpack. */
static bool make(const Unpack *unpack, const BundleEntry *entry) {
    switch (entry->type) {
    case BUNDLE_FILE:
        return write_file(unpack, entry);
    case BUNDLE_DIRECTORY:
        return mkdirat(unpack->fd, entry->path, 0700) == 0 &&
               fchmodat(unpack->fd, entry->path, mode_of(unpack, entry), 0) == 0;
    case BUNDLE_LINK:
        return symlinkat(entry->target, unpack->fd, entry->path) == 0;
    }
    g_assert_not_reached();
}

static bool fill(const Unpack *unpack, const Bundle *bundle, GError **error) {
    for (unsigned i = 0; i < bundle->entries->len; i++) {
        const BundleEntry *entry = bundle->entries->pdata[i];
        if (!make(unpack, entry))
            return set_io_error(error, errno, "unpack '%s' into '%s'", entry->path,
                                unpack->directory);
    }
    Unpack top = *unpack;
    BundleEntry itself = { .type = BUNDLE_DIRECTORY };
    /* One call for all files: a sync for each costs a hundred times as much. */
    if (syncfs(unpack->fd) < 0 || fchmod(unpack->fd, mode_of(&top, &itself)) < 0)
        return set_io_error(error, errno, "unpack into '%s'", unpack->directory);
    return true;
}

static bool put_in_place(const char *made, const char *directory, GError **error) {
    if (renameat2(AT_FDCWD, made, AT_FDCWD, directory, RENAME_NOREPLACE) == 0)
        return disk_sync_parent(directory, error);
    if (errno == EEXIST) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_EXISTS,
                    "unpack into '%s': it exists; name a directory that does not", directory);
        return false;
    }
    return set_io_error(error, errno, "unpack into '%s'", directory);
}

bool bundle_unpack(const Bundle *bundle, const char *directory, bool private, GError **error) {
    struct stat info;
    if (lstat(directory, &info) == 0) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_EXISTS,
                    "unpack into '%s': it exists; name a directory that does not", directory);
        return false;
    }
    size_t size = strlen(directory);
    while (size > 1 && directory[size - 1] == '/')
        size--;
    g_autofree char *made = g_strdup_printf("%.*s.XXXXXX", (int)size, directory);
    if (g_mkdtemp_full(made, 0700) == NULL)
        return set_io_error(error, errno, "unpack into '%s'", directory);
    Unpack unpack = { .directory = directory, .private = private };
    unpack.fd = open(made, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool done = unpack.fd >= 0 ? fill(&unpack, bundle, error)
                               : set_io_error(error, errno, "unpack into '%s'", directory);
    if (unpack.fd >= 0)
        close(unpack.fd);
    done = done && put_in_place(made, directory, error);
    if (!done)
        disk_remove_tree(made);
    return done;
}
