/*
 * Mounts of the machine: the kernel's table, and mount(8) and umount(8), which know the helpers of
 * file systems, devices by label and loop devices, and which can be ended when a server does not
 * answer.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/limits.h"
#include "host/host-real-private.h"
#include "host/mounts.h"

#define TABLE_FILE   "/proc/self/mountinfo"
#define USERS_MAX    3   /* programs that a message names */
#define NOT_IN_TIME  124 /* exit status of timeout(1) */
#define KILLED_LATER 137

static bool refuse_root(RealHost *self, GError **error) {
    if (!real_host_has_root(self))
        return false;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_UNSUPPORTED,
                "no machine runs below the root directory '%s': nothing is mounted there",
                self->host.root);
    return true;
}

static MountTable *read_table(GError **error) {
    g_autofree char *text = NULL;
    gsize size;
    g_autoptr(GError) problem = NULL;
    if (g_file_get_contents(TABLE_FILE, &text, &size, &problem))
        return mount_table_parse(text, size, error);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_IO, "read the table of mounts: %s",
                problem->message);
    return NULL;
}

MountTable *real_mounts(Host *host, GError **error) {
    return refuse_root(real_host(host), error) ? NULL : read_table(error);
}

/* --- running mount(8) */

/* What it says, in one line, without what the caller says already. */
static char *complaint(const HostCommandResult *result, const char *point) {
    size_t size;
    const char *data = g_bytes_get_data(result->output, &size);
    g_autofree char *text = g_strndup(data != NULL ? data : "", size);
    g_auto(GStrv) lines = g_strsplit(g_strstrip(text), "\n", -1);
    GString *out = g_string_new(NULL);
    for (char **line = lines; *line != NULL; line++) {
        char *at = g_strstrip(*line);
        for (char *colon; (colon = strstr(at, ": ")) != NULL &&
                          (g_str_has_prefix(at, "mount") || g_str_has_prefix(at, "umount") ||
                           g_str_has_prefix(at, point));)
            at = colon + 2;
        size_t length = strlen(at);
        if (length == 0 || strstr(at, "dmesg(1)") != NULL)
            continue;
        bool stop = at[length - 1] == '.';
        g_string_append_printf(out, "%s%.*s", out->len > 0 ? "; " : "", (int)(length - stop), at);
    }
    if (out->len == 0)
        g_string_append_printf(out, "it ended with code %d", result->exit_status);
    return g_string_free(out, FALSE);
}

/* *ret_complaint, NULL when it went well, is the caller's. False: it did not even run. */
static bool run_mount(Host *host, GPtrArray *arguments, const char *point, Cancel *cancel,
                      char **ret_complaint, GError **error) {
    g_ptr_array_add(arguments, NULL);
    HostCommand command = { .argv = (const char *const *)arguments->pdata, .cancel = cancel };
    g_auto(HostCommandResult) result = { 0 };
    if (!real_run(host, &command, &result, error))
        return false;
    if (result.exit_status == NOT_IN_TIME || result.exit_status == KILLED_LATER) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_TIMEOUT,
                    "it takes longer than %d s: does the server or device answer?",
                    LIMIT_MOUNT_SECONDS);
        return false;
    }
    *ret_complaint = result.exit_status != 0 ? complaint(&result, point) : NULL;
    return true;
}

#define QUOTE(text)     #text
#define SECONDS(number) QUOTE(number)

static GPtrArray *new_command(const char *program) {
    GPtrArray *arguments = g_ptr_array_new();
    const char *const first[] = { "timeout", "--kill-after=5", SECONDS(LIMIT_MOUNT_SECONDS),
                                  program };
    for (size_t i = 0; i < G_N_ELEMENTS(first); i++)
        g_ptr_array_add(arguments, (void *)(uintptr_t)first[i]);
    return arguments;
}

static void add(GPtrArray *arguments, const char *argument) {
    g_ptr_array_add(arguments, (void *)(uintptr_t)argument);
}

bool real_mount(Host *host, const MountRequest *request, GError **error) {
    if (refuse_root(real_host(host), error))
        return false;
    g_autofree char *own = mount_options_for_kernel(request->options);
    const char *remount = request->remount ? "remount" : "";
    g_autofree char *options =
        g_strconcat(remount, *remount != '\0' && *own != '\0' ? "," : "", own, NULL);
    g_autoptr(GPtrArray) arguments = new_command("mount");
    bool bind = mount_options_bind(own);
    if (request->fstype != NULL && !bind && strcmp(request->fstype, "auto") != 0) {
        add(arguments, "-t");
        add(arguments, request->fstype);
    }
    if (*options != '\0') {
        add(arguments, "-o");
        add(arguments, options);
    }
    add(arguments, "--");
    add(arguments, request->source);
    add(arguments, request->point);
    g_autofree char *problem = NULL;
    if (!run_mount(host, arguments, request->point, request->cancel, &problem, error)) {
        g_prefix_error(error, "mount '%s': ", request->point);
        return false;
    }
    if (problem == NULL)
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED, "%s '%s': %s",
                request->remount ? "remount" : "mount", request->point, problem);
    return false;
}

/* --- who uses it */

static bool leads_into(const char *link, const char *point) {
    char target[PATH_MAX];
    ssize_t size = readlink(link, target, sizeof target - 1);
    size_t length = strlen(point);
    if (size < (ssize_t)length)
        return false;
    target[size] = '\0';
    return strncmp(target, point, length) == 0 && (target[length] == '\0' || target[length] == '/');
}

static bool uses(const char *pid, const char *point) {
    static const char *const links[] = { "cwd", "root", "exe" };
    for (size_t i = 0; i < G_N_ELEMENTS(links); i++) {
        g_autofree char *link = g_strdup_printf("/proc/%s/%s", pid, links[i]);
        if (leads_into(link, point))
            return true;
    }
    g_autofree char *directory = g_strdup_printf("/proc/%s/fd", pid);
    g_autoptr(GDir) files = g_dir_open(directory, 0, NULL);
    for (const char *name; files != NULL && (name = g_dir_read_name(files)) != NULL;) {
        g_autofree char *link = g_build_filename(directory, name, NULL);
        if (leads_into(link, point))
            return true;
    }
    return false;
}

/* "'bash' (4711), 'postgres' (12) and 7 more"; "" when nobody is found. */
static char *find_users(const char *point) {
    GString *out = g_string_new(NULL);
    unsigned n = 0;
    g_autoptr(GDir) processes = g_dir_open("/proc", 0, NULL);
    for (const char *pid; processes != NULL && (pid = g_dir_read_name(processes)) != NULL;) {
        if (!g_ascii_isdigit(*pid) || !uses(pid, point) || ++n > USERS_MAX)
            continue;
        g_autofree char *path = g_strdup_printf("/proc/%s/comm", pid);
        g_autofree char *name = NULL;
        if (g_file_get_contents(path, &name, NULL, NULL))
            g_string_append_printf(out, "%s'%s' (%s)", n > 1 ? ", " : "", g_strchomp(name), pid);
    }
    if (n > USERS_MAX)
        g_string_append_printf(out, " and %u more", n - USERS_MAX);
    return g_string_free(out, FALSE);
}

static void explain_busy(const char *point, GError **error) {
    g_autoptr(MountTable) table = read_table(NULL);
    const Mount *below = table != NULL ? mount_table_below(table, point) : NULL;
    g_autofree char *users = find_users(point);
    if (below != NULL)
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED,
                    "unmount '%s': it is in use: '%s' is mounted below it; unmount that first",
                    point, below->point);
    else
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED,
                    "unmount '%s': it is in use%s%s; end what uses it, see 'fuser -vm %s'", point,
                    *users != '\0' ? " by " : "", users, point);
}

bool real_unmount(Host *host, const char *point, bool lazy, Cancel *cancel, GError **error) {
    if (refuse_root(real_host(host), error))
        return false;
    g_autoptr(GPtrArray) arguments = new_command("umount");
    if (lazy)
        add(arguments, "--lazy");
    add(arguments, "--");
    add(arguments, point);
    g_autofree char *problem = NULL;
    if (!run_mount(host, arguments, point, cancel, &problem, error)) {
        g_prefix_error(error, "unmount '%s': ", point);
        return false;
    }
    if (problem != NULL && strstr(problem, "busy") != NULL)
        explain_busy(point, error);
    else if (problem != NULL)
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED, "unmount '%s': %s", point, problem);
    return problem == NULL;
}

/* --- watching */

typedef struct {
    HostWatch watch;
    Loop *loop;
    LoopSource *source; /* NULL below a root */
    int fd;             /* -1 below a root */
    char *point;
    char *known; /* what was mounted there when it was last told */
} MountWatch;

/* All that is mounted at the point, as text. */
static char *describe(const char *point) {
    g_autoptr(MountTable) table = read_table(NULL);
    for (guint i = table != NULL ? table->mounts->len : 0; i-- > 0;) {
        const Mount *mount = table->mounts->pdata[i];
        if (strcmp(mount->point, point) != 0)
            g_ptr_array_remove_index(table->mounts, i);
    }
    return table != NULL ? mount_table_print(table) : NULL;
}

static void on_ready(void *data) {
    MountWatch *self = data;
    host_watch_tell(&self->watch, HOST_EVENT_READY, NULL);
}

/* The kernel tells of any mount on the machine. */
static void on_change(void *data, int fd, uint32_t epoll_events) {
    MountWatch *self = data;
    g_autofree char *now = describe(self->point);
    if (now != NULL && g_strcmp0(now, self->known) == 0)
        return;
    g_free(self->known);
    self->known = g_steal_pointer(&now);
    host_watch_tell(&self->watch, HOST_EVENT_CHANGED, "mounts");
}

static void mount_watch_free(HostWatch *watch) {
    MountWatch *self = (MountWatch *)(void *)watch;
    loop_unpost(self->loop, on_ready, self);
    loop_source_free(self->source);
    if (self->fd >= 0)
        (void)close(self->fd); /* only watched */
    g_free(self->point);
    g_free(self->known);
    g_free(self);
}

HostWatch *real_watch_mount(RealHost *host, Loop *loop, const char *point,
                            HostWatchCallback callback, void *data, GError **error) {
    MountWatch *self = g_new0(MountWatch, 1);
    self->watch = (HostWatch){ .free = mount_watch_free, .callback = callback, .data = data };
    self->loop = loop;
    self->point = g_strdup(point);
    self->fd = real_host_has_root(host) ? -1 : open(TABLE_FILE, O_RDONLY | O_CLOEXEC);
    if (self->fd < 0 && !real_host_has_root(host))
        (void)set_io_error(error, errno, "watch '%s'", TABLE_FILE); /* always false */
    else if (self->fd >= 0)
        self->source = loop_watch_fd(loop, self->fd, EPOLLPRI, on_change, self, error);
    if (self->source == NULL && !real_host_has_root(host)) {
        mount_watch_free(&self->watch);
        return NULL;
    }
    if (self->source != NULL)
        self->known = describe(point);
    loop_post(loop, on_ready, self);
    return &self->watch;
}
