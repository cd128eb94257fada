#include "lab/cgroups.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/error.h"
#include "host/mounts.h"

#define PATIENCE_US (20 * G_USEC_PER_SEC) /* for processes to end after SIGKILL */
#define PAUSE_US    5000

/* Mount points of the hierarchies, of char *. */
static GPtrArray *hierarchies(GError **error) {
    g_autofree char *text = NULL;
    size_t size;
    if (!g_file_get_contents("/proc/self/mountinfo", &text, &size, error))
        return NULL;
    g_autoptr(MountTable) table = mount_table_parse(text, size, error);
    if (!table)
        return NULL;
    GPtrArray *points = g_ptr_array_new_with_free_func(g_free);
    for (unsigned i = 0; i < table->mounts->len; i++) {
        const Mount *mount = g_ptr_array_index(table->mounts, i);
        bool is_named = strcmp(mount->fstype, "cgroup") == 0 &&
                        mount_options_have(mount->super_options, "name");
        bool is_systemds = is_named && strstr(mount->super_options, "name=systemd");
        if ((strcmp(mount->fstype, "cgroup2") == 0 || is_systemds) &&
            g_str_has_prefix(mount->point, "/sys/fs/cgroup"))
            g_ptr_array_add(points, g_strdup(mount->point));
    }
    if (points->len > 0)
        return points;
    g_ptr_array_unref(points);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_UNSUPPORTED,
                "find the control groups: nothing is mounted at /sys/fs/cgroup");
    return NULL;
}

char *cgroups_path(const char *data, const char *name, const char *host) {
    char hex[DIGEST_HEX_SIZE];
    digest_bytes(data, strlen(data), hex);
    hex[8] = '\0';
    return g_build_filename("stead-lab", hex, name, host, NULL);
}

bool cgroups_make(const char *path, GError **error) {
    g_autoptr(GPtrArray) points = hierarchies(error);
    for (unsigned i = 0; points && i < points->len; i++) {
        g_autofree char *whole = g_build_filename(g_ptr_array_index(points, i), path, NULL);
        if (g_mkdir_with_parents(whole, 0755) < 0)
            return set_io_error(error, errno, "make the control group '%s'", whole);
    }
    return points;
}

static void close_all(GArray *fds) {
    for (unsigned i = 0; i < fds->len; i++)
        (void)close(g_array_index(fds, int, i)); /* what was written is there already */
    g_array_set_size(fds, 0);
}

GArray *cgroups_open(const char *path, GError **error) {
    g_autoptr(GPtrArray) points = hierarchies(error);
    if (!points)
        return NULL;
    GArray *fds = g_array_new(FALSE, FALSE, sizeof(int));
    for (unsigned i = 0; i < points->len; i++) {
        g_autofree char *whole =
            g_build_filename(g_ptr_array_index(points, i), path, "cgroup.procs", NULL);
        int fd = open(whole, O_WRONLY | O_CLOEXEC);
        if (fd < 0) {
            set_io_error(error, errno, "open '%s'", whole);
            close_all(fds);
            g_array_unref(fds);
            return NULL;
        }
        g_array_append_val(fds, fd);
    }
    return fds;
}

/* --- the end ---------------------------------------------------------------------------------- */

/* Our own process is never in a lab's group; should it be, it is spared. */
static void kill_members(int group) {
    int fd = openat(group, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    FILE *file = fd >= 0 ? fdopen(fd, "r") : NULL;
    int pid;
    while (file && fscanf(file, "%d", &pid) == 1)
        if (pid > 0 && pid != getpid())
            (void)kill(pid, SIGKILL); /* ESRCH: it is what we want */
    if (file)
        (void)fclose(file); /* it was read only */
}

/* One pass over a group and all below it. True: it is gone. */
static bool remove_pass(int parent, const char *name) {
    int group = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (group < 0)
        return errno == ENOENT;
    kill_members(group);
    DIR *listing = fdopendir(group);
    struct dirent *entry;
    while (listing && (entry = readdir(listing)))
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
            (void)remove_pass(dirfd(listing), entry->d_name); /* the group's own removal tells */
    if (listing)
        (void)closedir(listing);
    else
        (void)close(group);
    return unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT;
}

static bool remove_from(const char *point, const char *path, GError **error) {
    int top = open(point, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int64_t deadline = g_get_monotonic_time() + PATIENCE_US;
    bool gone = top >= 0;
    while (top >= 0 && !(gone = remove_pass(top, path)) && g_get_monotonic_time() < deadline)
        g_usleep(PAUSE_US);
    if (!gone)
        set_io_error(error, errno, "remove the control group '%s/%s'", point, path);
    /* What is above it, when it was the last: ENOTEMPTY otherwise. */
    g_autofree char *above = g_path_get_dirname(path);
    while (gone && strcmp(above, ".") != 0 && unlinkat(top, above, AT_REMOVEDIR) == 0) {
        char *next = g_path_get_dirname(above);
        g_free(above);
        above = next;
    }
    if (top >= 0)
        (void)close(top);
    return gone;
}

bool cgroups_remove(const char *path, GError **error) {
    g_autoptr(GPtrArray) points = hierarchies(error);
    bool ok = points;
    for (unsigned i = 0; ok && i < points->len; i++)
        ok = remove_from(g_ptr_array_index(points, i), path, error);
    return ok;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

GPtrArray *cgroups_below(const char *path) {
    g_autoptr(GPtrArray) points = hierarchies(NULL); /* none: nothing is below */
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    for (unsigned i = 0; points && i < points->len; i++) {
        g_autofree char *whole = g_build_filename(g_ptr_array_index(points, i), path, NULL);
        g_autoptr(GDir) directory = g_dir_open(whole, 0, NULL);
        const char *name;
        while (directory && (name = g_dir_read_name(directory))) {
            g_autofree char *one = g_build_filename(whole, name, NULL);
            if (g_file_test(one, G_FILE_TEST_IS_DIR) &&
                !g_ptr_array_find_with_equal_func(names, name, g_str_equal, NULL))
                g_ptr_array_add(names, g_strdup(name));
        }
    }
    g_ptr_array_sort(names, compare_names);
    return names;
}
