#include "host/host-real.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/accounts-lock.h"
#include "host/host-real-private.h"
#include "host/watch-files.h"
#include "host/watch-net.h"
#include "host/watch-units.h"

static void real_free(Host *host) {
    RealHost *self = real_host(host);
    file_watchers_free(self->file_watchers);
    unit_watchers_free(self->unit_watchers);
    net_watchers_free(self->net_watchers);
    package_database_free(self->packages);
    unit_managers_free(self->units);
    last_parent_clear(&self->last_parent);
    if (self->root_fd >= 0)
        (void)close(self->root_fd); /* an O_PATH descriptor: nothing can be lost */
    g_free(self->host.root);
    g_free(self);
}

static HostWatch *watch_paths(RealHost *self, Loop *loop, HostWatchClass class, const char *name,
                              uint64_t owner, HostWatchCallback callback, void *data,
                              GError **error) {
    static const char *const accounts[] = { "/etc/passwd", "/etc/group", "/etc/shadow",
                                            "/etc/gshadow" };
    static const char *const packages[] = { "/var/lib/dpkg/status",
                                            "/var/lib/apt/extended_states" };
    const char *const named[] = { name };
    const char *const *paths = named;
    size_t n_paths = 1;
    if (class == HOST_WATCH_ACCOUNTS) {
        paths = accounts;
        n_paths = G_N_ELEMENTS(accounts);
    } else if (class == HOST_WATCH_PACKAGES) {
        paths = packages;
        n_paths = G_N_ELEMENTS(packages);
    }
    return file_watchers_add(self->file_watchers, loop, paths, n_paths, class == HOST_WATCH_TREE,
                             owner, callback, data, error);
}

static HostWatch *real_watch(Host *host, Loop *loop, HostWatchClass class, const char *name,
                             uint64_t owner, HostWatchCallback callback, void *data,
                             GError **error) {
    RealHost *self = real_host(host);
    if (class == HOST_WATCH_RUNNING_NAME)
        return real_watch_running_name(self, loop, callback, data, error);
    if (class == HOST_WATCH_NET)
        return net_watchers_add(self->net_watchers, loop, name, owner, callback, data, error);
    if (class == HOST_WATCH_MOUNT)
        return real_watch_mount(self, loop, name, callback, data, error);
    if (class == HOST_WATCH_SYSCTL)
        return real_watch_sysctl(self, loop, name, callback, data, error);
    if (class != HOST_WATCH_UNIT)
        return watch_paths(self, loop, class, name, owner, callback, data, error);
    if (!real_host_has_root(self))
        return unit_watchers_add(self->unit_watchers, loop, name, owner, callback, data, error);
    /* Nothing runs below a root: what can change is where enabled and masked units are linked. */
    return watch_paths(self, loop, HOST_WATCH_TREE, "/etc/systemd/system", owner, callback, data,
                       error);
}

static const HostOps real_ops = {
    .name = "real",
    .free = real_free,
    .stat = real_stat,
    .glance = real_glance,
    .read = real_read,
    .digest = real_digest,
    .read_link = real_read_link,
    .list = real_list,
    .write = real_write,
    .make_directory = real_make_directory,
    .make_link = real_make_link,
    .remove = real_remove,
    .set_attributes = real_set_attributes,
    .remove_tree = real_remove_tree,
    .move = real_move,
    .read_local = real_read_local,
    .run = real_run,
    .spawn = real_spawn,
    .package_query = real_package_query,
    .package_foresee = real_package_foresee,
    .package_apply = real_package_apply,
    .package_refresh = real_package_refresh,
    .package_suggest = real_package_suggest,
    .unit_query = real_unit_query,
    .unit_complaints = real_unit_complaints,
    .unit_apply = real_unit_apply,
    .running_name = real_running_name,
    .set_running_name = real_set_running_name,
    .net_query = real_net_query,
    .net_list = real_net_list,
    .net_apply = real_net_apply,
    .session = real_session,
    .mounts = real_mounts,
    .mount = real_mount,
    .unmount = real_unmount,
    .sysctl_read = real_sysctl_read,
    .sysctl_write = real_sysctl_write,
    .sysctl_list = real_sysctl_list,
    .log = real_log,
    .lock_accounts = real_lock_accounts,
    .watch = real_watch,
};

static bool open_root(RealHost *self, const char *root, GError **error) {
    g_autofree char *resolved = realpath(root, NULL);
    if (resolved == NULL) {
        bool missing = errno == ENOENT;
        set_io_error(error, errno, "open root directory '%s'", root);
        if (missing && error != NULL) {
            g_autofree char *message = g_steal_pointer(&(*error)->message);
            (*error)->message = g_strdup_printf("%s; make it first: mkdir -p '%s'", message, root);
        }
        return false;
    }
    self->host.root = g_strdup(resolved);
    if (strcmp(resolved, "/") == 0)
        return true;
    self->root_fd = open(resolved, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (self->root_fd < 0)
        return set_io_error(error, errno, "open root directory '%s'", root);
    if (real_can_resolve(self->root_fd))
        return true;
    if (errno != ENOSYS)
        return set_io_error(error, errno, "open root directory '%s'", root);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_UNSUPPORTED,
                "open root directory '%s': staying below it needs openat2(2), Linux 5.6 or later",
                root);
    return false;
}

Host *host_real_new(const char *root, FingerprintCache *fingerprints, GError **error) {
    RealHost *self = g_new0(RealHost, 1);
    self->host.ops = &real_ops;
    self->root_fd = -1;
    last_parent_init(&self->last_parent);
    self->host.privileged = geteuid() == 0;
    self->fingerprints = fingerprints;
    if (!open_root(self, root != NULL ? root : "/", error)) {
        real_free(&self->host);
        return NULL;
    }
    self->host.is_real = true;
    self->host.is_machine = !real_host_has_root(self);
    self->file_watchers = file_watchers_new(self->host.root);
    self->unit_watchers = unit_watchers_new();
    self->net_watchers = net_watchers_new(self->host.is_machine);
    self->packages = package_database_new();
    self->units = unit_managers_new();
    return &self->host;
}
