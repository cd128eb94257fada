/* The name of the running machine. The kernel makes its file in /proc ready for reading whenever
 * the name changes: proc(5), /proc/sys/kernel/hostname. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "host/host-real-private.h"

#define NAME_FILE "/proc/sys/kernel/hostname"

static bool refuse_root(RealHost *self, GError **error) {
    if (!real_host_has_root(self))
        return false;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_UNSUPPORTED,
                "no machine runs below the root directory '%s': it has no running name",
                self->host.root);
    return true;
}

char *real_running_name(Host *host, GError **error) {
    char name[HOST_NAME_MAX + 1];
    if (refuse_root(real_host(host), error))
        return NULL;
    if (gethostname(name, sizeof name) == 0)
        return g_strndup(name, sizeof name);
    (void)set_io_error(error, errno, "ask for the name of this machine"); /* always false */
    return NULL;
}

bool real_set_running_name(Host *host, const char *name, GError **error) {
    if (refuse_root(real_host(host), error))
        return false;
    return sethostname(name, strlen(name)) == 0 ||
           set_io_error(error, errno, "name this machine '%s'", name);
}

/* --- watching */

typedef struct {
    HostWatch watch;
    Loop *loop;
    LoopSource *source; /* NULL below a root */
    int fd;             /* -1 below a root */
} NameWatch;

static void on_ready(void *data) {
    NameWatch *self = data;
    host_watch_tell(&self->watch, HOST_EVENT_READY, NULL);
}

static void on_change(void *data, int fd, uint32_t epoll_events) {
    NameWatch *self = data;
    host_watch_tell(&self->watch, HOST_EVENT_CHANGED, "running name");
}

static void name_watch_free(HostWatch *watch) {
    NameWatch *self = (NameWatch *)(void *)watch;
    loop_unpost(self->loop, on_ready, self);
    loop_source_free(self->source);
    if (self->fd >= 0)
        (void)close(self->fd); /* only watched */
    g_free(self);
}

HostWatch *real_watch_running_name(RealHost *host, Loop *loop, HostWatchCallback callback,
                                   void *data, GError **error) {
    NameWatch *self = g_new0(NameWatch, 1);
    self->watch = (HostWatch){ .free = name_watch_free, .callback = callback, .data = data };
    self->loop = loop;
    self->fd = real_host_has_root(host) ? -1 : open(NAME_FILE, O_RDONLY | O_NOCTTY | O_CLOEXEC);
    if (self->fd < 0 && !real_host_has_root(host))
        (void)set_io_error(error, errno, "watch '%s'", NAME_FILE); /* always false */
    else if (self->fd >= 0)
        self->source = loop_watch_fd(loop, self->fd, EPOLLPRI, on_change, self, error);
    if (self->source == NULL && !real_host_has_root(host)) {
        name_watch_free(&self->watch);
        return NULL;
    }
    loop_post(loop, on_ready, self);
    return &self->watch;
}
