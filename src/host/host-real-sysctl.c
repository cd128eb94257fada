/*
 * Parameters of the running kernel: files below /proc/sys, which are written with one write(2) and
 * never replaced.
 *
 * Watching: programs' writes are seen by inotify, as of any file, for as long as the file is kept
 * open, or the kernel may forget and make it anew; the few parameters that change by themselves and
 * support it (proc(5): the names of the machine) make their file ready for reading.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "host/host-real-private.h"
#include "host/watch-files.h"

#define DIRECTORY "/proc/sys/"
#define VALUE_MAX (64 * 1024) /* bytes; the longest are some thousand */

static bool refuse_root(RealHost *self, GError **error) {
    if (!real_host_has_root(self))
        return false;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_UNSUPPORTED,
                "no kernel runs below the root directory '%s': it has no parameters",
                self->host.root);
    return true;
}

static bool fail(GError **error, const char *verb, const char *key) {
    return set_io_error(error, errno, "%s '%s%s'", verb, DIRECTORY, key);
}

/* NULL with errno. */
static char *read_value(int fd) {
    GString *text = g_string_new(NULL);
    char buffer[4096];
    ssize_t size;
    while (text->len < VALUE_MAX && (size = read(fd, buffer, sizeof buffer)) != 0) {
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0) {
            g_string_free(text, TRUE);
            return NULL;
        }
        g_string_append_len(text, buffer, size);
    }
    if (text->len > 0 && text->str[text->len - 1] == '\n')
        g_string_truncate(text, text->len - 1);
    return g_string_free(text, FALSE);
}

bool real_sysctl_read(Host *host, const char *key, SysctlInfo *ret_info, GError **error) {
    if (refuse_root(real_host(host), error))
        return false;
    g_autofree char *path = g_strconcat(DIRECTORY, key, NULL);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 && errno == EACCES && access(path, W_OK) == 0) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                    "read '%s': it can only be written, so there is no value to keep: use exec",
                    path);
        return false;
    }
    if (fd < 0)
        return fail(error, "read", key);
    char *value = read_value(fd);
    if (value == NULL && errno == EISDIR) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND, "read '%s': it is a group of keys",
                    path);
    } else if (value == NULL) {
        (void)fail(error, "read", key); /* always false */
    } else {
        *ret_info = (SysctlInfo){ .value = value, .writable = access(path, W_OK) == 0 };
    }
    (void)close(fd); /* only read from */
    return value != NULL;
}

bool real_sysctl_write(Host *host, const char *key, const char *value, GError **error) {
    if (refuse_root(real_host(host), error))
        return false;
    g_autofree char *path = g_strconcat(DIRECTORY, key, NULL);
    g_autofree char *line = g_strconcat(value, "\n", NULL);
    int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return fail(error, "write", key);
    ssize_t size = write(fd, line, strlen(line));
    int problem = size < 0 ? errno : 0;
    (void)close(fd); /* the kernel has answered the write already */
    return problem == 0 || set_io_error(error, problem, "write '%s'", path);
}

static int compare_names(gconstpointer a, gconstpointer b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

char **real_sysctl_list(Host *host, const char *group, GError **error) {
    if (refuse_root(real_host(host), error))
        return NULL;
    g_autofree char *path = g_strconcat(DIRECTORY, group, NULL);
    g_autoptr(GDir) directory = g_dir_open(path, 0, NULL);
    if (directory == NULL) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND, "list '%s': no such group of keys",
                    path);
        return NULL;
    }
    GPtrArray *names = g_ptr_array_new();
    for (const char *name; (name = g_dir_read_name(directory)) != NULL;)
        g_ptr_array_add(names, g_strdup(name));
    g_ptr_array_sort(names, compare_names);
    g_ptr_array_add(names, NULL);
    return (char **)g_ptr_array_free(names, FALSE);
}

/* --- watching */

typedef struct {
    HostWatch watch;
    Loop *loop;
    HostWatch *file;    /* of programs' writes; NULL below a root */
    LoopSource *source; /* of what the kernel tells; NULL below a root, or without the key */
    int fd;             /* keeps the kernel's file the same; -1 as above */
} SysctlWatch;

static void on_ready(void *data) {
    SysctlWatch *self = data;
    host_watch_tell(&self->watch, HOST_EVENT_READY, NULL);
}

static void on_file(void *data, HostEvent event, const char *detail) {
    SysctlWatch *self = data;
    host_watch_tell(&self->watch, event, detail);
}

static void on_change(void *data, int fd, uint32_t epoll_events) {
    SysctlWatch *self = data;
    host_watch_tell(&self->watch, HOST_EVENT_CHANGED, "the kernel");
}

static void sysctl_watch_free(HostWatch *watch) {
    SysctlWatch *self = (SysctlWatch *)(void *)watch;
    loop_unpost(self->loop, on_ready, self);
    host_watch_free(self->file);
    loop_source_free(self->source);
    if (self->fd >= 0)
        (void)close(self->fd); /* only watched */
    g_free(self);
}

/* A key that is missing, as its module is, shows when the directory gets it, or at the next look.
 */
static bool arm(SysctlWatch *self, RealHost *host, const char *key, GError **error) {
    g_autofree char *path = g_strconcat(DIRECTORY, key, NULL);
    const char *const paths[] = { path };
    self->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (self->fd >= 0)
        self->source = loop_watch_fd(self->loop, self->fd, EPOLLPRI, on_change, self, NULL);
    self->file = file_watchers_add(host->file_watchers, self->loop, paths, 1, false, 0, on_file,
                                   self, error);
    if (self->file != NULL)
        self->file->host = &host->host;
    return self->file != NULL;
}

HostWatch *real_watch_sysctl(RealHost *host, Loop *loop, const char *key,
                             HostWatchCallback callback, void *data, GError **error) {
    SysctlWatch *self = g_new0(SysctlWatch, 1);
    self->watch = (HostWatch){ .free = sysctl_watch_free, .callback = callback, .data = data };
    self->loop = loop;
    self->fd = -1;
    if (real_host_has_root(host)) {
        loop_post(loop, on_ready, self);
    } else if (!arm(self, host, key, error)) {
        sysctl_watch_free(&self->watch);
        return NULL;
    }
    return &self->watch;
}
