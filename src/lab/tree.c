#include "lab/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "host/mounts.h"

/* Directories deeper than this are moved to the top first: each open one takes a descriptor. */
enum { DEPTH_MAX = 100 };

typedef struct {
    int top;        /* the tree's own directory */
    uint64_t mount; /* which it is in */
    unsigned moved; /* to the top so far */
    GError **error;
} Removal;

static bool mount_of(int fd, uint64_t *ret_mount) {
    struct statx info;
    if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &info) < 0)
        return false;
    *ret_mount = info.stx_mnt_id;
    return true;
}

static bool empty(Removal *removal, int fd, unsigned depth);

static bool move_up(Removal *removal, int parent, const char *name) {
    g_autofree char *place = g_strdup_printf(".deep-%u", removal->moved++);
    return renameat(parent, name, removal->top, place) == 0 ||
           set_io_error(removal->error, errno, "remove '%s': move it up", name);
}

static bool remove_directory(Removal *removal, int parent, const char *name, unsigned depth) {
    uint64_t mount;
    if (depth >= DEPTH_MAX)
        return move_up(removal, parent, name);
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || !mount_of(fd, &mount)) {
        int number = errno;
        if (fd >= 0)
            (void)close(fd);
        return set_io_error(removal->error, number, "remove '%s': look into it", name);
    }
    if (mount != removal->mount) {
        (void)close(fd);
        g_set_error(removal->error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                    "remove '%s': something is mounted there", name);
        return false;
    }
    return empty(removal, fd, depth + 1) &&
           (unlinkat(parent, name, AT_REMOVEDIR) == 0 ||
            set_io_error(removal->error, errno, "remove directory '%s'", name));
}

static bool remove_entry(Removal *removal, int parent, const struct dirent *entry, unsigned depth) {
    struct stat info;
    if (entry->d_type != DT_DIR && unlinkat(parent, entry->d_name, 0) == 0)
        return true;
    if (fstatat(parent, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ||
               set_io_error(removal->error, errno, "look at '%s'", entry->d_name);
    if (S_ISDIR(info.st_mode))
        return remove_directory(removal, parent, entry->d_name, depth);
    return unlinkat(parent, entry->d_name, 0) == 0 ||
           set_io_error(removal->error, errno, "remove '%s'", entry->d_name);
}

/* Takes the descriptor over. */
static bool empty(Removal *removal, int fd, unsigned depth) {
    DIR *listing = fdopendir(fd);
    if (!listing) {
        (void)close(fd);
        return set_io_error(removal->error, errno, "list a directory");
    }
    bool ok = true;
    struct dirent *entry;
    while (ok && (entry = readdir(listing)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            ok = remove_entry(removal, dirfd(listing), entry, depth);
    (void)closedir(listing);
    return ok;
}

static bool check_mounts(const char *path, GError **error) {
    g_autofree char *text = NULL;
    size_t size;
    if (!g_file_get_contents("/proc/self/mountinfo", &text, &size, error))
        return false;
    g_autoptr(MountTable) table = mount_table_parse(text, size, error);
    if (!table)
        return false;
    const Mount *mount = mount_table_at(table, path);
    mount = mount ? mount : mount_table_below(table, path);
    if (!mount)
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                "remove '%s': '%s' is mounted; unmount it first", path, mount->point);
    return false;
}

/* What was moved up while it was emptied is found by the next pass. */
static bool empty_top(Removal *removal) {
    unsigned moved;
    do {
        moved = removal->moved;
        int again = openat(removal->top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (again < 0)
            return set_io_error(removal->error, errno, "list a directory");
        if (!empty(removal, again, 0))
            return false;
    } while (removal->moved != moved);
    return true;
}

bool tree_remove(const char *path, GError **error) {
    g_autofree char *whole = g_canonicalize_filename(path, NULL);
    Removal removal = { .error = error };
    if (!check_mounts(whole, error))
        return false;
    removal.top = open(whole, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (removal.top < 0)
        return errno == ENOENT || set_io_error(error, errno, "remove '%s'", whole);
    bool ok = mount_of(removal.top, &removal.mount)
                  ? empty_top(&removal)
                  : set_io_error(error, errno, "remove '%s': find its mount", whole);
    (void)close(removal.top);
    if (!ok)
        g_prefix_error(error, "%s: ", whole);
    return ok && (rmdir(whole) == 0 || set_io_error(error, errno, "remove '%s'", whole));
}
