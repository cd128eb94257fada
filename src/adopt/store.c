/* Putting the result on disk, of which nothing is ever seen half done. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "adopt/adopt.h"
#include "base/disk.h"

static const char *const parts[] = { "files", "secrets.yaml", "site.lua" };

/* --- below a directory that is being made */

static bool make_directories(const char *directory, const char *path, GError **error) {
    g_autofree char *parent = g_path_get_dirname(path);
    g_autofree char *whole = g_build_filename(directory, parent, NULL);
    return g_mkdir_with_parents(whole, 0700) == 0 ||
           set_io_error(error, errno, "make directory '%s'", whole);
}

static bool write_file(const char *directory, const AdoptFile *file, GError **error) {
    g_autofree char *path = g_build_filename(directory, file->path, NULL);
    if (!make_directories(directory, file->path, error))
        return false;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return set_io_error(error, errno, "create '%s'", path);
    bool ok = disk_write_bytes(fd, file->content) && fsync(fd) == 0;
    int saved = errno;
    close(fd);
    return ok || set_io_error(error, saved, "write '%s'", path);
}

/* --- into place */

/* What was there before is left in `from`. */
static bool move_part(const char *from, const char *to, GError **error) {
    if (access(from, F_OK) != 0)
        return true;
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
        return true;
    if (errno == EEXIST && renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_EXCHANGE) == 0)
        return true;
    return (errno == EINVAL && rename(from, to) == 0) || /* a file system without both */
           set_io_error(error, errno, "put '%s' in place", to);
}

/* What an earlier result had and this one does not must not be taken for a part of it. */
static bool drop_stale(const char *fresh, const char *directory, const char *part, GError **error) {
    g_autofree char *new = g_build_filename(fresh, part, NULL);
    g_autofree char *old = g_build_filename(directory, part, NULL);
    if (access(new, F_OK) == 0 || access(old, F_OK) != 0)
        return true;
    return rename(old, new) == 0 || set_io_error(error, errno, "remove '%s'", old);
}

/* site.lua comes last: with it the others count. */
static bool move_all(const char *fresh, const char *directory, bool overwrite, GError **error) {
    for (size_t i = 0; i < G_N_ELEMENTS(parts); i++) {
        g_autofree char *from = g_build_filename(fresh, parts[i], NULL);
        g_autofree char *to = g_build_filename(directory, parts[i], NULL);
        bool is_new = access(from, F_OK) == 0;
        if (!(is_new ? move_part(from, to, error)
                     : !overwrite || drop_stale(fresh, directory, parts[i], error)))
            return false;
    }
    return true;
}

static bool write_and_move(const AdoptResult *result, const char *fresh, const char *directory,
                           bool overwrite, GError **error) {
    for (unsigned i = 0; i < result->files->len; i++)
        if (!write_file(fresh, result->files->pdata[i], error))
            return false;
    return move_all(fresh, directory, overwrite, error);
}

bool adopt_check_place(const char *directory, GError **error) {
    for (size_t i = 0; i < G_N_ELEMENTS(parts); i++) {
        g_autofree char *path = g_build_filename(directory, parts[i], NULL);
        if (access(path, F_OK) == 0) {
            g_set_error(error, STEAD_ERROR, STEAD_ERROR_EXISTS,
                        "refuse to replace '%s': give another directory with --out, or --overwrite",
                        path);
            return false;
        }
    }
    return true;
}

bool adopt_write(const AdoptResult *result, const char *directory, bool overwrite, GError **error) {
    if (!overwrite && !adopt_check_place(directory, error))
        return false;
    if (g_mkdir_with_parents(directory, 0700) != 0)
        return set_io_error(error, errno, "make directory '%s'", directory);
    g_autofree char *fresh = g_build_filename(directory, ".adopt-XXXXXX", NULL);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before); /* an interrupt waits these milliseconds */
    bool ok =
        mkdtemp(fresh) != NULL || set_io_error(error, errno, "make a directory in '%s'", directory);
    if (ok) {
        ok = write_and_move(result, fresh, directory, overwrite, error);
        disk_remove_tree(fresh);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return ok;
}
