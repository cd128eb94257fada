#include "host/host-faulty.h"

#include "host/host-ops.h"

typedef struct {
    Host host;
    Host *base;
    GMutex lock;
    unsigned calls;
    char *call;         /* name that counts, NULL: any */
    unsigned countdown; /* calls of that name until one fails; 0: disarmed */
    int error_code;
    char *message;
} Faulty;

static Faulty *faulty_of(Host *host) {
    return (Faulty *)(void *)host;
}

static bool faulty_passes(Host *host, const char *call, GError **error) {
    Faulty *self = faulty_of(host);
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&self->lock);
    self->calls++;
    bool counts = self->call == NULL || g_str_equal(self->call, call);
    if (!counts || self->countdown == 0 || --self->countdown > 0)
        return true;
    g_set_error_literal(error, STEAD_ERROR, self->error_code, self->message);
    return false;
}

/* An operation that goes through to host_NAME() of the base, or fails with the value `failed`. */
#define FORWARD(type, name, failed, parameters, arguments)                                         \
    static type faulty_##name parameters {                                                         \
        if (!faulty_passes(host, #name, error))                                                    \
            return failed;                                                                         \
        Host *base = faulty_of(host)->base;                                                        \
        return host_##name arguments;                                                              \
    }

/* clang-format off: a table */
FORWARD(bool, stat, false, (Host * host, const char *path, FileInfo *ret_info, GError **error),
        (base, path, ret_info, error))
FORWARD(GBytes *, read, NULL, (Host * host, const char *path, size_t limit, GError **error),
        (base, path, limit, error))
FORWARD(bool, digest, false,
        (Host * host, const char *path, const FileInfo *info, char ret_hex[DIGEST_HEX_SIZE],
         GError **error),
        (base, path, info, ret_hex, error))
FORWARD(char *, read_link, NULL, (Host * host, const char *path, GError **error),
        (base, path, error))
FORWARD(char **, list, NULL, (Host * host, const char *path, GError **error), (base, path, error))
FORWARD(bool, write, false,
        (Host * host, const char *path, GBytes *content, const FileAttributes *attributes,
         GError **error),
        (base, path, content, attributes, error))
FORWARD(bool, make_directory, false,
        (Host * host, const char *path, const FileAttributes *attributes, GError **error),
        (base, path, attributes, error))
FORWARD(bool, make_link, false, (Host * host, const char *path, const char *target, GError **error),
        (base, path, target, error))
FORWARD(bool, remove, false, (Host * host, const char *path, GError **error), (base, path, error))
FORWARD(bool, set_attributes, false,
        (Host * host, const char *path, const FileAttributes *attributes, GError **error),
        (base, path, attributes, error))
FORWARD(GBytes *, read_local, NULL, (Host * host, const char *path, size_t limit, GError **error),
        (base, path, limit, error))
FORWARD(bool, run, false,
        (Host * host, const HostCommand *command, HostCommandResult *ret_result, GError **error),
        (base, command, ret_result, error))
FORWARD(bool, spawn, false,
        (Host * host, const HostCommand *command, int *ret_stdout_fd, pid_t *ret_pid,
         GError **error),
        (base, command, ret_stdout_fd, ret_pid, error))
FORWARD(bool, package_query, false,
        (Host * host, const char *name, bool want_candidate, PackageInfo *ret_info, GError **error),
        (base, name, want_candidate, ret_info, error))
FORWARD(bool, package_foresee, false,
        (Host * host, const PackageAction *actions, size_t n_actions, GPtrArray *effects,
         Cancel *cancel, GError **error),
        (base, actions, n_actions, effects, cancel, error))
FORWARD(bool, package_refresh, false,
        (Host * host, PackageRefresh why, const char *path, bool *ret_done, Cancel *cancel,
         GError **error),
        (base, why, path, ret_done, cancel, error))
FORWARD(bool, package_apply, false,
        (Host * host, const PackageAction *actions, size_t n_actions, Cancel *cancel,
         GError **error),
        (base, actions, n_actions, cancel, error))
FORWARD(bool, unit_query, false,
        (Host * host, const char *name, bool session, UnitInfo *ret_info, GError **error),
        (base, name, session, ret_info, error))
FORWARD(bool, unit_apply, false,
        (Host * host, const char *name, bool session, UnitVerb verb, Cancel *cancel,
         GError **error),
        (base, name, session, verb, cancel, error))
FORWARD(char *, running_name, NULL, (Host * host, GError **error), (base, error))
FORWARD(bool, set_running_name, false, (Host * host, const char *name, GError **error),
        (base, name, error))
FORWARD(bool, net_query, false, (Host * host, const char *link, NetInfo *ret_info, GError **error),
        (base, link, ret_info, error))
FORWARD(char **, net_list, NULL, (Host * host, GError **error), (base, error))
FORWARD(bool, net_apply, false, (Host * host, const NetChange *change, GError **error),
        (base, change, error))
FORWARD(MountTable *, mounts, NULL, (Host * host, GError **error), (base, error))
FORWARD(bool, mount, false, (Host * host, const MountRequest *request, GError **error),
        (base, request, error))
FORWARD(bool, unmount, false,
        (Host * host, const char *point, bool lazy, Cancel *cancel, GError **error),
        (base, point, lazy, cancel, error))
FORWARD(bool, sysctl_read, false,
        (Host * host, const char *key, SysctlInfo *ret_info, GError **error),
        (base, key, ret_info, error))
FORWARD(bool, sysctl_write, false,
        (Host * host, const char *key, const char *value, GError **error),
        (base, key, value, error))
FORWARD(char **, sysctl_list, NULL, (Host * host, const char *group, GError **error),
        (base, group, error))
FORWARD(bool, log, false,
        (Host * host, int priority, const char *text, const char *const *fields, bool journal,
         bool syslog, GError **error),
        (base, priority, text, fields, journal, syslog, error))
FORWARD(HostWatch *, watch, NULL,
        (Host * host, Loop *loop, HostWatchClass class, const char *name, uint64_t owner,
         HostWatchCallback callback, void *data, GError **error),
        (base, loop, class, name, owner, callback, data, error))
/* clang-format on */

/* No operation of its own to those who arm faults: it passes. */
static bool faulty_lock_accounts(Host *host, int *ret_fd, GError **error) {
    Host *base = faulty_of(host)->base;
    *ret_fd = -1;
    return base->ops->lock_accounts == NULL || base->ops->lock_accounts(base, ret_fd, error);
}

static bool faulty_session(Host *host, NetSession *ret_session) {
    return host_session(faulty_of(host)->base, ret_session);
}

/* Advice only: it has no way to fail. */
static char *faulty_package_suggest(Host *host, const char *name) {
    return host_package_suggest(faulty_of(host)->base, name);
}

static void faulty_free(Host *host) {
    Faulty *self = faulty_of(host);
    g_mutex_clear(&self->lock);
    g_free(self->call);
    g_free(self->message);
    g_free(self->host.root);
    g_free(self);
}

static const HostOps faulty_ops = {
    .name = "faulty",
    .free = faulty_free,
    .stat = faulty_stat,
    .read = faulty_read,
    .digest = faulty_digest,
    .read_link = faulty_read_link,
    .list = faulty_list,
    .write = faulty_write,
    .make_directory = faulty_make_directory,
    .make_link = faulty_make_link,
    .remove = faulty_remove,
    .set_attributes = faulty_set_attributes,
    .read_local = faulty_read_local,
    .run = faulty_run,
    .spawn = faulty_spawn,
    .package_query = faulty_package_query,
    .package_foresee = faulty_package_foresee,
    .package_apply = faulty_package_apply,
    .package_refresh = faulty_package_refresh,
    .package_suggest = faulty_package_suggest,
    .unit_query = faulty_unit_query,
    .unit_apply = faulty_unit_apply,
    .running_name = faulty_running_name,
    .set_running_name = faulty_set_running_name,
    .net_query = faulty_net_query,
    .net_list = faulty_net_list,
    .net_apply = faulty_net_apply,
    .session = faulty_session,
    .mounts = faulty_mounts,
    .mount = faulty_mount,
    .unmount = faulty_unmount,
    .sysctl_read = faulty_sysctl_read,
    .sysctl_write = faulty_sysctl_write,
    .sysctl_list = faulty_sysctl_list,
    .log = faulty_log,
    .lock_accounts = faulty_lock_accounts,
    .watch = faulty_watch,
};

Host *host_faulty_new(Host *base) {
    Faulty *self = g_new0(Faulty, 1);
    self->host = (Host){ .ops = &faulty_ops,
                         .root = g_strdup(host_root(base)),
                         .prediction = host_is_prediction(base),
                         .privileged = host_is_privileged(base),
                         .is_real = base->is_real,
                         .is_machine = base->is_machine };
    self->base = base;
    g_mutex_init(&self->lock);
    return &self->host;
}

void host_faulty_arm(Host *faulty, const char *call, unsigned n, int error_code,
                     const char *message) {
    Faulty *self = faulty_of(faulty);
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&self->lock);
    g_free(self->call);
    g_free(self->message);
    self->call = g_strdup(call);
    self->countdown = n;
    self->error_code = error_code;
    self->message = g_strdup(message != NULL ? message : "injected fault");
}

unsigned host_faulty_calls(const Host *faulty) {
    return __atomic_load_n(&((const Faulty *)(const void *)faulty)->calls, __ATOMIC_SEQ_CST);
}
