#include "lab/copy.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"
#include "base/limits.h"
#include "lab/files.h"
#include "lab/process.h"

/* A place with its root open: AT_FDCWD here. */
typedef struct {
    int root;
    const char *path;
} Side;

static bool copy_entry(int from, const char *name, int to, const char *target, unsigned depth,
                       GError **error);

static int open_in(const Side *side, const char *path, int flags) {
    struct open_how how = { .flags = (uint64_t)(flags | O_CLOEXEC),
                            .resolve = side->root == AT_FDCWD ? 0 : RESOLVE_IN_ROOT };
    return (int)syscall(SYS_openat2, side->root, path, &how, sizeof how);
}

static bool open_side(const CopyPlace *place, Side *ret_side, GError **error) {
    *ret_side = (Side){ AT_FDCWD, place->path };
    if (place->leader < 0)
        return true;
    g_autofree char *root = g_strdup_printf("/proc/%d/root", (int)process_number(place->leader));
    ret_side->root = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return ret_side->root >= 0 || set_io_error(error, errno, "look into the host");
}

static bool copy_file(int from, const char *name, int to, const char *target, mode_t mode,
                      GError **error) {
    g_autofree char *new = g_strdup_printf(".%s.stead-%d", target, (int)getpid());
    int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), out = -1;
    if (in < 0)
        return set_io_error(error, errno, "read '%s'", name);
    (void)unlinkat(to, new, 0); /* of one of our number that was killed */
    out = openat(to, new, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool ok = out >= 0 || set_io_error(error, errno, "write '%s'", target);
    ok = ok && files_copy_content(in, out, error);
    if (ok && (fchmod(out, mode & 07777) < 0 || renameat(to, new, to, target) < 0))
        ok = set_io_error(error, errno, "write '%s'", target);
    (void)close(in);
    if (out >= 0)
        (void)close(out); /* a host's disk is a directory here: nothing is lost at close */
    if (!ok)
        (void)unlinkat(to, new, 0); /* it may not be there */
    return ok;
}

static bool copy_link(int from, const char *name, int to, const char *target, GError **error) {
    char text[PATH_MAX];
    ssize_t length = readlinkat(from, name, text, sizeof text - 1);
    if (length < 0)
        return set_io_error(error, errno, "read the link '%s'", name);
    text[length] = '\0';
    if (unlinkat(to, target, 0) < 0 && errno != ENOENT)
        return set_io_error(error, errno, "replace '%s'", target);
    return symlinkat(text, to, target) == 0 || set_io_error(error, errno, "make '%s'", target);
}

static bool copy_entries(int in, int out, unsigned depth, GError **error) {
    DIR *listing = fdopendir(dup(in));
    bool ok = listing || set_io_error(error, errno, "list a directory");
    struct dirent *entry;
    while (ok && (entry = readdir(listing)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            ok = copy_entry(in, entry->d_name, out, entry->d_name, depth + 1, error);
    if (listing)
        (void)closedir(listing);
    return ok;
}

static bool copy_directory(int from, const char *name, int to, const char *target, mode_t mode,
                           unsigned depth, GError **error) {
    if (depth > LIMIT_NESTING) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_LIMIT,
                    "copy '%s': directories are nested deeper than %u (LIMIT_NESTING)", name,
                    LIMIT_NESTING);
        return false;
    }
    if (mkdirat(to, target, 0700) < 0 && errno != EEXIST)
        return set_io_error(error, errno, "make directory '%s'", target);
    int in = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int out = openat(to, target, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    bool ok = in >= 0 && out >= 0;
    if (!ok)
        set_io_error(error, errno, "open directory '%s'", in < 0 ? name : target);
    ok = ok && copy_entries(in, out, depth, error);
    if (ok && fchmod(out, mode & 07777) < 0)
        ok = set_io_error(error, errno, "write '%s'", target);
    if (in >= 0)
        (void)close(in);
    if (out >= 0)
        (void)close(out); /* directories: nothing to lose */
    return ok;
}

static bool copy_entry(int from, const char *name, int to, const char *target, unsigned depth,
                       GError **error) {
    struct stat info;
    if (fstatat(from, name, &info, AT_SYMLINK_NOFOLLOW) < 0)
        return set_io_error(error, errno, "look at '%s'", name);
    if (S_ISREG(info.st_mode))
        return copy_file(from, name, to, target, info.st_mode, error);
    if (S_ISLNK(info.st_mode))
        return copy_link(from, name, to, target, error);
    if (S_ISDIR(info.st_mode))
        return copy_directory(from, name, to, target, info.st_mode, depth, error);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_UNSUPPORTED,
                "copy '%s': it is no file, directory or link", name);
    return false;
}

/* The directory that path is in, or with is_target that it is, and the name there; -1: errno. */
static int open_parent(const Side *side, bool is_target, const char *source_name, char **ret_name) {
    int fd = is_target ? open_in(side, side->path, O_RDONLY | O_DIRECTORY) : -1;
    if (fd >= 0) {
        *ret_name = g_strdup(source_name);
        return fd;
    }
    g_autofree char *parent = g_path_get_dirname(side->path);
    *ret_name = g_path_get_basename(side->path);
    return open_in(side, parent, O_RDONLY | O_DIRECTORY);
}

static bool copy_between(const Side *from, const Side *to, GError **error) {
    g_autofree char *name = NULL, *target = NULL;
    int in = open_parent(from, false, NULL, &name);
    if (in < 0)
        return set_io_error(error, errno, "read '%s'", from->path);
    int out = open_parent(to, true, name, &target);
    bool ok = out >= 0 || set_io_error(error, errno, "write '%s'", to->path);
    ok = ok && copy_entry(in, name, out, target, 0, error);
    (void)close(in);
    if (out >= 0)
        (void)close(out); /* directories: nothing to lose */
    return ok;
}

static void close_side(const Side *side) {
    if (side->root >= 0)
        (void)close(side->root); /* it was only looked through */
}

bool copy_run(const CopyPlace *from, const CopyPlace *to, GError **error) {
    Side in = { AT_FDCWD, NULL }, out = { AT_FDCWD, NULL };
    bool ok =
        open_side(from, &in, error) && open_side(to, &out, error) && copy_between(&in, &out, error);
    close_side(&in);
    close_side(&out);
    if (!ok)
        g_prefix_error(error, "copy '%s' to '%s': ", from->path, to->path);
    return ok;
}
