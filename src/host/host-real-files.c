/* Making and removing directories and links, and changing attributes. Content: host-real-write.c.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "host/host-real-private.h"
#include "host/watch-files.h"

#define DEFAULT_DIRECTORY_MODE 0755

#define LINK_ATTEMPTS 10

/* The new directory is opened before its attributes are set: its name may by now lead elsewhere. */
static bool finish_directory(const Place *place, FileAttributes *wanted, bool exact_mode,
                             struct stat *ret_after, GError **error) {
    int fd = openat(place->fd, place->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return set_io_error(error, errno, "open it");
    struct stat st;
    bool ok = fstat(fd, &st) == 0 || set_io_error(error, errno, "stat it");
    if (ok && !exact_mode)
        wanted->mode |= st.st_mode & S_ISGID; /* inherited from its parent */
    ok = ok && attributes_apply(fd, &st, wanted, error);
    ok = ok && (fstat(fd, ret_after) == 0 || set_io_error(error, errno, "stat it"));
    (void)close(fd); /* nothing was written to it */
    return ok;
}

bool real_make_directory(Host *host, const char *path, const FileAttributes *attributes,
                         GError **error) {
    RealHost *self = real_host(host);
    g_auto(Place) place = { .fd = AT_FDCWD };
    if (!place_open(self, &place, "make directory", path, error))
        return false;
    FileAttributes wanted = attributes_complete(attributes, NULL, DEFAULT_DIRECTORY_MODE);
    bool exact_mode = attributes != NULL && (attributes->set & FILE_SET_MODE);
    g_auto(OwnWrite) own = own_write_begin(self->file_watchers, path);
    /* Opening it needs the owner's bits, whatever the mode is to be. */
    if (mkdirat(place.fd, place.name, attributes_first_mode(&wanted) | 0700) != 0)
        return set_io_error(error, errno, "make directory '%s'", path);
    struct stat after;
    if (!finish_directory(&place, &wanted, exact_mode, &after, error)) {
        g_prefix_error(error, "make directory '%s': ", path);
        return false;
    }
    own_write_end(&own, IN_CREATE | IN_ATTRIB, &after);
    return true;
}

/* Makes the link under the temporary's name, over a leftover if need be, and renames it. */
static bool replace_with_link(const Place *place, const char *target, GError **error) {
    char temporary[TEMPORARY_SIZE];
    temporary_path(place, temporary);
    for (int attempt = 0; attempt < LINK_ATTEMPTS; attempt++) {
        if (symlinkat(target, place->fd, temporary) != 0) {
            if (errno != EEXIST || !temporary_remove(place->fd, temporary))
                return set_io_error(error, errno, "make a temporary beside it");
            continue;
        }
        if (renameat(place->fd, temporary, place->fd, place->name) == 0)
            return true;
        if (errno != ENOENT) { /* else another writer was faster and took ours away */
            int problem = errno;
            (void)unlinkat(place->fd, temporary, 0); /* the first error counts */
            return set_io_error(error, problem, "replace what is there");
        }
    }
    return set_io_error(error, EBUSY, "another process is writing it");
}

static bool put_link(const Place *place, const char *target, GError **error) {
    if (symlinkat(target, place->fd, place->name) == 0)
        return true;
    if (errno != EEXIST)
        return set_io_error(error, errno, "create it");
    struct stat old;
    if (fstatat(place->fd, place->name, &old, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(old.st_mode)) {
        g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_EXISTS, "a directory is in its place");
        return false;
    }
    return replace_with_link(place, target, error);
}

bool real_make_link(Host *host, const char *path, const char *target, GError **error) {
    RealHost *self = real_host(host);
    g_auto(Place) place = { .fd = AT_FDCWD };
    if (!place_open(self, &place, "make link", path, error))
        return false;
    g_auto(OwnWrite) own = own_write_begin(self->file_watchers, path);
    if (!put_link(&place, target, error)) {
        g_prefix_error(error, "make link '%s' -> '%s': ", path, target);
        return false;
    }
    struct stat after;
    if (own.watchers != NULL && fstatat(place.fd, place.name, &after, AT_SYMLINK_NOFOLLOW) == 0)
        own_write_end(&own, IN_CREATE | IN_MOVED_TO, &after);
    return true;
}

bool real_remove(Host *host, const char *path, GError **error) {
    RealHost *self = real_host(host);
    g_auto(Place) place = { .fd = AT_FDCWD };
    if (!place_open(self, &place, "remove", path, error))
        return false;
    g_auto(OwnWrite) own = own_write_begin(self->file_watchers, path);
    if (unlinkat(place.fd, place.name, 0) != 0 &&
        (errno != EISDIR || unlinkat(place.fd, place.name, AT_REMOVEDIR) != 0))
        return set_io_error(error, errno, "remove '%s'", path);
    own_write_end(&own, IN_DELETE, NULL);
    if (self->fingerprints != NULL)
        fingerprint_forget(self->fingerprints, path);
    return true;
}

/* --- whole trees */

typedef struct {
    RealHost *host;
    const Cancel *cancel;
    GString *path;     /* of the entry in hand, below the root */
    uint64_t mount_id; /* of the directory that holds the tree */
} TreeRemoval;

static bool remove_at(TreeRemoval *removal, int fd, const char *name, GError **error);

/* A mounted file system is not part of the tree, and its content somebody else's. */
static bool check_mount(const TreeRemoval *removal, int fd, GError **error) {
    struct statx stx;
    if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &stx) != 0)
        return set_io_error(error, errno, "stat '%s'", removal->path->str);
    if (!(stx.stx_mask & STATX_MNT_ID) || stx.stx_mnt_id == removal->mount_id)
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                "refuse to remove '%s': it is a mount point; unmount it first", removal->path->str);
    return false;
}

static bool remove_entries(TreeRemoval *removal, DIR *directory, GError **error) {
    size_t length = removal->path->len;
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(directory);
        if (entry == NULL)
            return errno == 0 || set_io_error(error, errno, "list '%s'", removal->path->str);
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        g_string_append_c(removal->path, '/');
        g_string_append(removal->path, entry->d_name);
        bool ok = remove_at(removal, dirfd(directory), entry->d_name, error);
        g_string_truncate(removal->path, length);
        if (!ok)
            return false;
    }
}

static bool empty_directory(TreeRemoval *removal, int fd, const char *name, GError **error) {
    int opened = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (opened < 0)
        return set_io_error(error, errno, "open '%s'", removal->path->str);
    DIR *directory = fdopendir(opened);
    g_assert(directory != NULL); /* fails only for a wrong descriptor */
    bool ok = check_mount(removal, opened, error) && remove_entries(removal, directory, error);
    (void)closedir(directory); /* only read from */
    return ok;
}

/* Through descriptors, never through a path: a directory swapped for a link is not followed. What
 * somebody else removed meanwhile is as good as removed. */
static bool remove_at(TreeRemoval *removal, int fd, const char *name, GError **error) {
    if (!cancel_check(removal->cancel, error))
        return false;
    g_auto(OwnWrite) own = own_write_begin(removal->host->file_watchers, removal->path->str);
    if (unlinkat(fd, name, 0) != 0 && errno != ENOENT) {
        if (errno != EISDIR)
            return set_io_error(error, errno, "remove '%s'", removal->path->str);
        if (!empty_directory(removal, fd, name, error))
            return false;
        if (unlinkat(fd, name, AT_REMOVEDIR) != 0 && errno != ENOENT)
            return set_io_error(error, errno, "remove '%s'", removal->path->str);
    }
    own_write_end(&own, IN_DELETE, NULL);
    if (removal->host->fingerprints != NULL)
        fingerprint_forget(removal->host->fingerprints, removal->path->str);
    return true;
}

/* Of the directory a place is in. */
static bool place_mount_id(const Place *place, uint64_t *ret_id) {
    g_autofree char *parent = g_path_get_dirname(place->name);
    struct statx stx;
    if (statx(place->fd, parent, 0, STATX_MNT_ID, &stx) != 0)
        return false;
    *ret_id = stx.stx_mnt_id;
    return true;
}

bool real_remove_tree(Host *host, const char *path, const Cancel *cancel, GError **error) {
    RealHost *self = real_host(host);
    g_auto(Place) place = { .fd = AT_FDCWD };
    if (!place_open(self, &place, "remove", path, error))
        return false;
    g_autoptr(GString) at = g_string_new(path);
    TreeRemoval removal = { .host = self, .cancel = cancel, .path = at };
    struct stat st;
    if (fstatat(place.fd, place.name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
        !place_mount_id(&place, &removal.mount_id))
        return set_io_error(error, errno, "remove '%s'", path);
    return remove_at(&removal, place.fd, place.name, error);
}

/* --- moving */

static bool explain_move(const char *from, const char *to, int code, GError **error) {
    if (code == EXDEV)
        g_set_error(
            error, STEAD_ERROR, STEAD_ERROR_REFUSED,
            "move '%s' to '%s': they are on different file systems; move it by hand, as with "
            "cp -a, and run again",
            from, to);
    else if (code == EEXIST)
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_EXISTS,
                    "move '%s' to '%s': it is there already", from, to);
    else
        return set_io_error(error, code, "move '%s' to '%s'", from, to);
    return false;
}

bool real_move(Host *host, const char *from, const char *to, GError **error) {
    RealHost *self = real_host(host);
    g_auto(Place) source = { .fd = AT_FDCWD }, target = { .fd = AT_FDCWD };
    if (!place_open(self, &source, "move", from, error) ||
        !place_open(self, &target, "move to", to, error))
        return false;
    if (renameat2(source.fd, source.name, target.fd, target.name, RENAME_NOREPLACE) != 0)
        return explain_move(from, to, errno, error);
    if (self->fingerprints != NULL)
        fingerprint_forget(self->fingerprints, from);
    return true;
}

/* --- attributes */

static bool change_owner(const Place *place, const struct stat *st,
                         const FileAttributes *attributes, GError **error) {
    bool new_uid = (attributes->set & FILE_SET_UID) && attributes->uid != st->st_uid;
    bool new_gid = (attributes->set & FILE_SET_GID) && attributes->gid != st->st_gid;
    if (!new_uid && !new_gid)
        return true;
    if (fchownat(place->fd, place->name, new_uid ? attributes->uid : (uid_t)-1,
                 new_gid ? attributes->gid : (gid_t)-1, AT_SYMLINK_NOFOLLOW) == 0)
        return true;
    return set_io_error(error, errno, "give it to user %u and group %u",
                        new_uid ? attributes->uid : st->st_uid,
                        new_gid ? attributes->gid : st->st_gid);
}

static bool change_mode(const Place *place, const struct stat *st, const FileAttributes *attributes,
                        GError **error) {
    mode_t old = st->st_mode & 07777;
    mode_t mode = attributes->set & FILE_SET_MODE ? attributes->mode : old;
    /* A change of the owner has taken the set-id bits away. */
    bool owner_set = attributes->set & (FILE_SET_UID | FILE_SET_GID);
    if (mode == old && !(owner_set && (mode & (S_ISUID | S_ISGID))))
        return true;
    if (S_ISLNK(st->st_mode)) {
        if (!(attributes->set & FILE_SET_MODE))
            return true;
        g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_EXISTS,
                            "it is a link, and links have no mode");
        return false;
    }
    if (fchmodat(place->fd, place->name, mode, AT_SYMLINK_NOFOLLOW) == 0)
        return true;
    return set_io_error(error, errno, "set mode %04o", mode);
}

bool real_set_attributes(Host *host, const char *path, const FileAttributes *attributes,
                         GError **error) {
    RealHost *self = real_host(host);
    g_auto(Place) place = { .fd = AT_FDCWD };
    struct stat st;
    if (!place_open(self, &place, "set attributes of", path, error))
        return false;
    if (fstatat(place.fd, place.name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return set_io_error(error, errno, "set attributes of '%s'", path);
    g_auto(OwnWrite) own = own_write_begin(self->file_watchers, path);
    if (!change_owner(&place, &st, attributes, error) ||
        !change_mode(&place, &st, attributes, error)) {
        g_prefix_error(error, "set attributes of '%s': ", path);
        return false;
    }
    if (own.watchers != NULL && fstatat(place.fd, place.name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        own_write_end(&own, IN_ATTRIB, &st);
    return true;
}

bool host_real_clean(Host *host, const char *path, GError **error) {
    if (host->ops->write != real_write)
        return true; /* only the real host leaves temporaries */
    g_auto(Place) place = { .fd = AT_FDCWD };
    g_autoptr(GError) problem = NULL;
    if (!place_open(real_host(host), &place, "clean", path, &problem)) {
        if (g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND))
            return true;
        g_propagate_error(error, g_steal_pointer(&problem));
        return false;
    }
    char temporary[TEMPORARY_SIZE];
    temporary_path(&place, temporary);
    return temporary_remove(place.fd, temporary) ||
           set_io_error(error, errno, "remove the temporary of '%s'", path);
}

/* Takes ownership of fd. path: for errors. */
static bool clean_below(int fd, const char *path, const Cancel *cancel, GError **error) {
    DIR *directory = fdopendir(fd);
    g_assert(directory != NULL); /* fails only for a wrong descriptor */
    const struct dirent *entry;
    bool ok = cancel_check(cancel, error);
    while (ok && (entry = readdir(directory)) != NULL) {
        const char *name = entry->d_name;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
            continue;
        if (temporary_is_name(name)) {
            ok = temporary_remove(fd, name) || errno == EBUSY || /* in use: not ours */
                 set_io_error(error, errno, "remove '%s/%s'", path, name);
        } else if (entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN) {
            g_autofree char *below = g_build_filename(path, name, NULL);
            int opened = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            ok = opened < 0 || clean_below(opened, below, cancel, error);
        }
    }
    (void)closedir(directory); /* only read from */
    return ok;
}

bool host_real_clean_tree(Host *host, const char *path, const Cancel *cancel, GError **error) {
    if (host->ops->write != real_write)
        return true; /* only the real host leaves temporaries */
    int fd = real_open(real_host(host), path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    return fd < 0 || clean_below(fd, path, cancel, error); /* who cannot read it will say so */
}
