#include "lab/files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/disk.h"
#include "base/error.h"

#define BLOCK (1024 * 1024)

static bool copy_by_reading(int from, int to, GError **error) {
    g_autofree char *block = g_malloc(BLOCK);
    for (;;) {
        ssize_t n = read(from, block, BLOCK);
        if (n == 0)
            return true;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return set_io_error(error, errno, "read");
        if (!disk_write(to, block, (size_t)n))
            return set_io_error(error, errno, "write");
    }
}

/* The kernel copies, or shares, where it can; what is left is read and written. */
bool files_copy_content(int from, int to, GError **error) {
    ssize_t n;
    do
        n = copy_file_range(from, NULL, to, NULL, 1u << 30, 0);
    while (n > 0 || (n < 0 && errno == EINTR));
    return copy_by_reading(from, to, error);
}

bool files_copy(const char *from, const char *to, mode_t mode, GError **error) {
    int in = open(from, O_RDONLY | O_CLOEXEC), out = -1;
    if (in < 0)
        return set_io_error(error, errno, "open '%s'", from);
    out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
    bool ok = out >= 0 && fchmod(out, mode) == 0;
    if (!ok)
        set_io_error(error, errno, "write '%s'", to);
    ok = ok && files_copy_content(in, out, error);
    (void)close(in);
    if (out >= 0 && close(out) < 0 && ok)
        ok = set_io_error(error, errno, "write '%s'", to);
    if (!ok)
        g_prefix_error(error, "copy '%s' to '%s': ", from, to);
    return ok;
}

static char *make_way(const char *directory, const char *path, GError **error) {
    g_autofree char *whole = g_build_filename(directory, path, NULL);
    g_autofree char *parent = g_path_get_dirname(whole);
    if (g_mkdir_with_parents(parent, 0755) == 0)
        return g_steal_pointer(&whole);
    set_io_error(error, errno, "make directory '%s'", parent);
    return NULL;
}

bool files_write(const char *directory, const char *path, const char *text, mode_t mode,
                 GError **error) {
    g_autofree char *whole = make_way(directory, path, error);
    return whole &&
           g_file_set_contents_full(whole, text, -1, G_FILE_SET_CONTENTS_NONE, (int)mode, error) &&
           (chmod(whole, mode) == 0 || set_io_error(error, errno, "write '%s'", whole));
}

bool files_link(const char *directory, const char *path, const char *target, GError **error) {
    g_autofree char *whole = make_way(directory, path, error);
    return whole && (symlink(target, whole) == 0 || set_io_error(error, errno, "make '%s'", whole));
}
