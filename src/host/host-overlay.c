#include "host/host-overlay.h"

#include <errno.h>
#include <string.h>

#include "base/digest.h"
#include "host/accounts-lock.h"
#include "host/host-ops.h"
#include "host/kv.h"
#include "host/memory-net.h"
#include "host/memory-packages.h"
#include "host/memory-tree.h"
#include "host/memory-units.h"
#include "host/mounts.h"

typedef struct {
    Host host;
    Host *base;
    GMutex lock; /* of all below; not held while the base works on what is not on the way to it */
    MemoryTree *tree;
    MemoryUnits *units;
    GHashTable *packages; /* name -> PackageInfo as predicted */
    bool installs;        /* some package is predicted to be installed */
    char *running_name;   /* as predicted; NULL: as the base's */
    MemoryNet *net;
    MountTable *mounts;  /* as predicted; NULL: as the base's */
    GHashTable *sysctls; /* key -> value as predicted */
} Overlay;

static Overlay *overlay_of(Host *host) {
    return (Overlay *)(void *)host;
}

static void overlay_free(Host *host) {
    Overlay *self = overlay_of(host);
    memory_net_free(self->net);
    host_kv_predict_free(self->host.kv);
    memory_units_free(self->units);
    memory_tree_free(self->tree);
    g_hash_table_unref(self->packages);
    g_mutex_clear(&self->lock);
    g_free(self->running_name);
    mount_table_free(self->mounts);
    g_hash_table_unref(self->sysctls);
    g_free(self->host.root);
    g_free(self);
}

/* --- files --- */

static MemoryAnswer overlay_look(Overlay *self, const char *verb, const char *path, bool follow,
                                 MemoryView *ret_view, GError **error) {
    if (!memory_tree_is_touched(self->tree)) {
        *ret_view = (MemoryView){ .path = g_strdup(path) };
        return MEMORY_BASE;
    }
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&self->lock);
    return memory_tree_look(self->tree, verb, path, follow, ret_view, error);
}

static bool overlay_stat(Host *host, const char *path, FileInfo *ret_info, GError **error) {
    Overlay *self = overlay_of(host);
    if (!memory_tree_is_touched(self->tree))
        return host_stat(self->base, path, ret_info, error);
    g_auto(MemoryView) view = { 0 };
    MemoryAnswer answer = overlay_look(self, "stat", path, false, &view, error);
    if (answer == MEMORY_BASE)
        return host_stat(self->base, view.path, ret_info, error);
    if (answer == MEMORY_FAILED)
        return false;
    *ret_info = view.info;
    return true;
}

static GBytes *overlay_read(Host *host, const char *path, size_t limit, GError **error) {
    Overlay *self = overlay_of(host);
    g_auto(MemoryView) view = { 0 };
    MemoryAnswer answer = overlay_look(self, "read", path, true, &view, error);
    if (answer == MEMORY_FAILED ||
        (answer == MEMORY_HERE && !memory_view_check(&view, "read", path, limit, error)))
        return NULL;
    if (answer == MEMORY_BASE || view.content == NULL)
        return host_read(self->base, view.path, limit, error);
    return g_steal_pointer(&view.content);
}

/* Only the attributes are predicted: the base's content counts, and so does its fingerprint. */
static bool digest_of_base(Overlay *self, const char *path, char ret_hex[DIGEST_HEX_SIZE],
                           GError **error) {
    FileInfo info;
    return host_stat(self->base, path, &info, error) &&
           host_digest(self->base, path, &info, ret_hex, error);
}

static bool overlay_digest(Host *host, const char *path, const FileInfo *info,
                           char ret_hex[DIGEST_HEX_SIZE], GError **error) {
    Overlay *self = overlay_of(host);
    bool follow = info == NULL || info->type != FILE_REGULAR;
    g_auto(MemoryView) view = { 0 };
    MemoryAnswer answer = overlay_look(self, "read", path, follow, &view, error);
    if (answer == MEMORY_BASE)
        return host_digest(self->base, view.path, info, ret_hex, error);
    if (answer == MEMORY_FAILED || !memory_view_check(&view, "read", path, SIZE_MAX, error))
        return false;
    if (view.content == NULL)
        return digest_of_base(self, view.path, ret_hex, error);
    size_t size;
    const void *data = g_bytes_get_data(view.content, &size);
    digest_bytes(data, size, ret_hex);
    return true;
}

static char *overlay_read_link(Host *host, const char *path, GError **error) {
    Overlay *self = overlay_of(host);
    g_auto(MemoryView) view = { 0 };
    MemoryAnswer answer = overlay_look(self, "read link", path, false, &view, error);
    if (answer == MEMORY_BASE)
        return host_read_link(self->base, view.path, error);
    if (answer == MEMORY_FAILED || !memory_view_check_link(&view, path, error))
        return NULL;
    return g_steal_pointer(&view.target);
}

static char **overlay_list(Host *host, const char *path, GError **error) {
    Overlay *self = overlay_of(host);
    if (!memory_tree_is_touched(self->tree))
        return host_list(self->base, path, error);
    g_mutex_lock(&self->lock);
    g_autofree char *base_path = NULL;
    char **names = memory_tree_list(self->tree, path, &base_path, error);
    g_mutex_unlock(&self->lock);
    return base_path != NULL ? host_list(self->base, base_path, error) : names;
}

static bool overlay_write(Host *host, const char *path, GBytes *content,
                          const FileAttributes *attributes, GError **error) {
    Overlay *self = overlay_of(host);
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&self->lock);
    return memory_tree_write(self->tree, path, content, attributes, error);
}

static bool overlay_make_directory(Host *host, const char *path, const FileAttributes *attributes,
                                   GError **error) {
    Overlay *self = overlay_of(host);
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&self->lock);
    return memory_tree_make_directory(self->tree, path, attributes, error);
}

static bool overlay_make_link(Host *host, const char *path, const char *target, GError **error) {
    Overlay *self = overlay_of(host);
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&self->lock);
    return memory_tree_make_link(self->tree, path, target, error);
}

static bool overlay_remove(Host *host, const char *path, GError **error) {
    Overlay *self = overlay_of(host);
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&self->lock);
    return memory_tree_remove(self->tree, path, error);
}

/* In one stroke, however much the base has there. */
static bool overlay_remove_tree(Host *host, const char *path, const Cancel *cancel,
                                GError **error) {
    Overlay *self = overlay_of(host);
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&self->lock);
    return cancel_check(cancel, error) && memory_tree_remove_all(self->tree, path, error);
}

static bool overlay_set_attributes(Host *host, const char *path, const FileAttributes *attributes,
                                   GError **error) {
    Overlay *self = overlay_of(host);
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&self->lock);
    return memory_tree_set_attributes(self->tree, path, attributes, error);
}

static GBytes *overlay_read_local(Host *host, const char *path, size_t limit, GError **error) {
    return host_read_local(overlay_of(host)->base, path, limit, error);
}

void host_overlay_mark_unknown(Host *overlay, const char *path) {
    g_assert(host_is_prediction(overlay));
    Overlay *self = overlay_of(overlay);
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&self->lock);
    memory_tree_mark_unknown(self->tree, path);
}

bool host_overlay_may_bring(Host *overlay, const char *path) {
    g_assert(host_is_prediction(overlay));
    Overlay *self = overlay_of(overlay);
    g_mutex_lock(&self->lock);
    bool installs = self->installs;
    g_mutex_unlock(&self->lock);
    g_autofree char *parent = g_path_get_dirname(path);
    return installs && !host_exists(overlay, parent);
}

/* --- commands, messages, watches: nothing happens on a prediction --- */

static bool overlay_run(Host *host, const HostCommand *command, HostCommandResult *ret_result,
                        GError **error) {
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_UNPREDICTABLE,
                "run '%s': a plan runs no commands, its effects are known after apply",
                command->argv[0]);
    return false;
}

static bool overlay_log(Host *host, int priority, const char *text, const char *const *fields,
                        bool journal, bool syslog, GError **error) {
    return true;
}

static HostWatch *overlay_watch(Host *host, Loop *loop, HostWatchClass class, const char *name,
                                uint64_t owner, HostWatchCallback callback, void *data,
                                GError **error) {
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_UNSUPPORTED,
                "watch '%s': a prediction does not change by itself", name != NULL ? name : "");
    return NULL;
}

/* --- the running name --- */

static char *overlay_running_name(Host *host, GError **error) {
    Overlay *self = overlay_of(host);
    g_mutex_lock(&self->lock);
    char *name = g_strdup(self->running_name);
    g_mutex_unlock(&self->lock);
    return name != NULL ? name : host_running_name(self->base, error);
}

/* Where the base has no such name, there is none to predict. */
static bool overlay_set_running_name(Host *host, const char *name, GError **error) {
    Overlay *self = overlay_of(host);
    g_autofree char *now = overlay_running_name(host, error);
    if (now == NULL)
        return false;
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&self->lock);
    g_free(self->running_name);
    self->running_name = g_strdup(name);
    return true;
}

/* --- the network --- */

static bool load_link(void *data, const char *link, NetInfo *ret_info, GError **error) {
    Overlay *self = data;
    return host_net_query(self->base, link, ret_info, error);
}

static char **list_links(void *data, GError **error) {
    Overlay *self = data;
    return host_net_list(self->base, error);
}

static bool overlay_net_query(Host *host, const char *link, NetInfo *ret_info, GError **error) {
    Overlay *self = overlay_of(host);
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&self->lock);
    return memory_net_query(self->net, link, ret_info, error);
}

static char **overlay_net_list(Host *host, GError **error) {
    Overlay *self = overlay_of(host);
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&self->lock);
    return memory_net_list(self->net, error);
}

static bool overlay_net_apply(Host *host, const NetChange *change, GError **error) {
    Overlay *self = overlay_of(host);
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&self->lock);
    return memory_net_apply(self->net, change, error);
}

static bool overlay_session(Host *host, NetSession *ret_session) {
    return host_session(overlay_of(host)->base, ret_session);
}

/* --- mounts --- */

/* Predicts what the real one says where there is no /etc. */
static bool overlay_lock_accounts(Host *host, int *ret_fd, GError **error) {
    *ret_fd = -1;
    if (!host->is_real || host_exists(host, "/etc"))
        return true;
    return accounts_lock_no_directory(error);
}

static MountTable *overlay_mounts(Host *host, GError **error) {
    Overlay *self = overlay_of(host);
    g_mutex_lock(&self->lock);
    MountTable *mounts = self->mounts != NULL ? mount_table_copy(self->mounts) : NULL;
    g_mutex_unlock(&self->lock);
    return mounts != NULL ? mounts : host_mounts(self->base, error);
}

/* The base's table is copied at the first change. */
static bool own_mounts(Overlay *self, GError **error) {
    g_autoptr(MountTable) base = host_mounts(self->base, error);
    if (base == NULL)
        return false;
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&self->lock);
    if (self->mounts == NULL)
        self->mounts = g_steal_pointer(&base);
    return true;
}

static bool make_empty(Overlay *self, const char *directory, GError **error) {
    return memory_tree_remove_all(self->tree, directory, error) &&
           memory_tree_make_directory(self->tree, directory, NULL, error);
}

/* A new file system in memory is empty; what is in any other is seen when it is mounted. */
static bool predict_content(Overlay *self, const MountRequest *request, GError **error) {
    bool empty = g_strcmp0(request->fstype, "tmpfs") == 0 && !mount_options_bind(request->options);
    if (!empty) {
        memory_tree_mark_unknown(self->tree, request->point);
        return true;
    }
    return make_empty(self, request->point, error);
}

static bool overlay_mount(Host *host, const MountRequest *request, GError **error) {
    Overlay *self = overlay_of(host);
    if (!cancel_check(request->cancel, error) || !mount_request_check(host, request, error) ||
        !own_mounts(self, error))
        return false;
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&self->lock);
    g_autofree char *source = memory_tree_mount_source(self->tree, request);
    MountRequest resolved = *request;
    resolved.source = source;
    return mount_table_mount(self->mounts, &resolved, error) &&
           (request->remount || predict_content(self, request, error));
}

/* A mount point as such is an empty directory. */
static bool overlay_unmount(Host *host, const char *point, bool lazy, Cancel *cancel,
                            GError **error) {
    Overlay *self = overlay_of(host);
    if (!cancel_check(cancel, error) || !own_mounts(self, error))
        return false;
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&self->lock);
    g_auto(MemoryView) view = { 0 };
    if (!mount_table_unmount(self->mounts, point, lazy, error))
        return false;
    bool file = memory_tree_look(self->tree, "stat", point, false, &view, NULL) == MEMORY_HERE &&
                view.info.type == FILE_REGULAR;
    return file || make_empty(self, point, error);
}

/* --- parameters of the kernel --- */

static bool overlay_sysctl_read(Host *host, const char *key, SysctlInfo *ret_info, GError **error) {
    Overlay *self = overlay_of(host);
    if (!host_sysctl_read(self->base, key, ret_info, error))
        return false;
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&self->lock);
    const char *predicted = g_hash_table_lookup(self->sysctls, key);
    if (predicted != NULL) {
        g_free(ret_info->value);
        ret_info->value = g_strdup(predicted);
    }
    return true;
}

static bool overlay_sysctl_write(Host *host, const char *key, const char *value, GError **error) {
    Overlay *self = overlay_of(host);
    SysctlInfo info;
    if (!host_sysctl_read(self->base, key, &info, error))
        return false;
    g_free(info.value);
    if (!info.writable)
        return set_io_error(error, EACCES, "write '/proc/sys/%s'", key);
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&self->lock);
    g_hash_table_replace(self->sysctls, g_strdup(key), g_strdup(value));
    return true;
}

static char **overlay_sysctl_list(Host *host, const char *group, GError **error) {
    return host_sysctl_list(overlay_of(host)->base, group, error);
}

/* --- packages --- */

static PackageInfo *predicted_package(Overlay *self, const char *name) {
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&self->lock);
    const PackageInfo *info = g_hash_table_lookup(self->packages, name);
    return info != NULL ? package_info_new(info) : NULL;
}

static bool base_candidate(Overlay *self, const char *name, char **ret_candidate, GError **error) {
    g_autoptr(PackageInfo) base = package_info_new(NULL);
    if (!host_package_query(self->base, name, true, base, error))
        return false;
    *ret_candidate = g_steal_pointer(&base->candidate);
    return true;
}

static bool overlay_package_query(Host *host, const char *name, bool want_candidate,
                                  PackageInfo *ret_info, GError **error) {
    Overlay *self = overlay_of(host);
    g_autofree char *bare = package_bare_name(name);
    g_autoptr(PackageInfo) info = predicted_package(self, bare);
    if (info == NULL)
        return host_package_query(self->base, name, want_candidate, ret_info, error);
    bool keeps = want_candidate && strcmp(bare, name) == 0 && info->candidate != NULL;
    if (!keeps)
        g_clear_pointer(&info->candidate, g_free);
    if (want_candidate && !keeps && !base_candidate(self, name, &info->candidate, error))
        return false;
    package_info_copy(ret_info, info);
    return true;
}

/* What one action makes of the package, starting from the actions before it. The candidate is only
 * asked for where it decides something. */
static bool predict_action(Overlay *self, const PackageAction *action, GHashTable *done,
                           GError **error) {
    const PackageInfo *earlier = g_hash_table_lookup(done, action->name);
    g_autoptr(PackageInfo) info =
        earlier != NULL ? package_info_new(earlier) : predicted_package(self, action->name);
    if (info == NULL) {
        info = package_info_new(NULL);
        if (!host_package_query(self->base, action->name, false, info, error))
            return false;
    }
    bool newest = action->verb == PACKAGE_UPGRADE ||
                  (action->verb == PACKAGE_INSTALL && info->version == NULL);
    if ((newest && info->candidate == NULL &&
         !base_candidate(self, action->name, &info->candidate, error)) ||
        !package_info_apply(info, action, OVERLAY_VERSION_UNKNOWN, error))
        return false;
    g_hash_table_replace(done, g_strdup(action->name), g_steal_pointer(&info));
    return true;
}

/* What has been predicted may be what makes the difference. */
static bool has_predictions(Overlay *self) {
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&self->lock);
    return memory_tree_is_touched(self->tree) || g_hash_table_size(self->packages) > 0;
}

static bool is_refusal(const GError *problem) {
    return g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_FAILED) ||
           g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_REFUSED);
}

/* The base knows nothing of what was predicted: what would go once more is left out. What comes is
 * told of each transaction that would bring it alone, so that plans do not depend on their order.
 */
static bool overlay_package_foresee(Host *host, const PackageAction *actions, size_t n_actions,
                                    GPtrArray *effects, Cancel *cancel, GError **error) {
    Overlay *self = overlay_of(host);
    g_autoptr(GError) problem = NULL;
    g_autoptr(GPtrArray) all = package_effects_new();
    if (!host_package_foresee(self->base, actions, n_actions, all, cancel, &problem)) {
        bool open = !is_refusal(problem) || has_predictions(self);
        if (open && !g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_CANCELLED))
            problem->code = STEAD_ERROR_UNPREDICTABLE;
        g_propagate_error(error, g_steal_pointer(&problem));
        return false;
    }
    for (guint i = 0; i < all->len; i++) {
        const PackageEffect *effect = all->pdata[i];
        g_autoptr(PackageInfo) info = predicted_package(self, effect->name);
        if (effect->what != PACKAGE_GOES || info == NULL || info->version != NULL)
            package_effects_add(effects, effect);
    }
    return true;
}

/* What comes or goes with it. What cannot be foreseen is left to what is said about itself. */
static bool predict_effects(Host *host, const PackageAction *actions, size_t n_actions,
                            GHashTable *done, Cancel *cancel, GError **error) {
    Overlay *self = overlay_of(host);
    g_autoptr(GPtrArray) effects = package_effects_new();
    if (!overlay_package_foresee(host, actions, n_actions, effects, cancel, NULL))
        return cancel_check(cancel, error);
    for (guint i = 0; i < effects->len; i++) {
        const PackageEffect *effect = effects->pdata[i];
        g_autoptr(PackageInfo) info = predicted_package(self, effect->name);
        if (info == NULL) {
            info = package_info_new(NULL);
            if (!host_package_query(self->base, effect->name, false, info, error))
                return false;
        }
        if (info->version != NULL && effect->what == PACKAGE_COMES)
            continue;
        package_info_suffer(info, effect);
        g_hash_table_replace(done, g_strdup(effect->name), g_steal_pointer(&info));
    }
    return true;
}

static bool overlay_package_apply(Host *host, const PackageAction *actions, size_t n_actions,
                                  Cancel *cancel, GError **error) {
    Overlay *self = overlay_of(host);
    g_autoptr(GHashTable) done = package_table_new();
    if (!predict_effects(host, actions, n_actions, done, cancel, error))
        return false;
    for (size_t i = 0; i < n_actions; i++)
        if (!cancel_check(cancel, error) || !predict_action(self, &actions[i], done, error))
            return false;
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&self->lock);
    GHashTableIter iter;
    void *info;
    g_hash_table_iter_init(&iter, done);
    while (g_hash_table_iter_next(&iter, NULL, &info))
        self->installs |= ((PackageInfo *)info)->version != NULL;
    package_table_move(self->packages, done);
    return true;
}

static bool overlay_package_refresh(Host *host, PackageRefresh why, const char *path,
                                    bool *ret_done, Cancel *cancel, GError **error) {
    return true;
}

static char *overlay_package_suggest(Host *host, const char *name) {
    return host_package_suggest(overlay_of(host)->base, name);
}

/* --- units --- */

/* What the base says, unless a prediction replaces it anyway. */
static bool base_unit(Overlay *self, const char *name, bool session, UnitInfo *ret_info,
                      GError **error) {
    *ret_info = (UnitInfo){ 0 };
    g_mutex_lock(&self->lock);
    bool predicted = memory_units_has(self->units, name, session);
    bool installs = self->installs;
    g_mutex_unlock(&self->lock);
    if (predicted)
        return true;
    if (!host_unit_query(self->base, name, session, ret_info, error))
        return false;
    ret_info->exists = ret_info->exists || installs;
    return true;
}

static bool overlay_unit_query(Host *host, const char *name, bool session, UnitInfo *ret_info,
                               GError **error) {
    Overlay *self = overlay_of(host);
    UnitInfo base;
    if (!base_unit(self, name, session, &base, error))
        return false;
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&self->lock);
    memory_units_query(self->units, name, session, &base, ret_info);
    return true;
}

static bool overlay_unit_apply(Host *host, const char *name, bool session, UnitVerb verb,
                               Cancel *cancel, GError **error) {
    Overlay *self = overlay_of(host);
    UnitInfo base = { 0 };
    if (!cancel_check(cancel, error) ||
        (verb != UNIT_DAEMON_RELOAD && !base_unit(self, name, session, &base, error)))
        return false;
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&self->lock);
    return memory_units_apply(self->units, name, session, verb, &base, error);
}

static const HostOps overlay_ops = {
    .name = "overlay",
    .free = overlay_free,
    .stat = overlay_stat,
    .read = overlay_read,
    .digest = overlay_digest,
    .read_link = overlay_read_link,
    .list = overlay_list,
    .write = overlay_write,
    .make_directory = overlay_make_directory,
    .make_link = overlay_make_link,
    .remove = overlay_remove,
    .remove_tree = overlay_remove_tree,
    .set_attributes = overlay_set_attributes,
    .read_local = overlay_read_local,
    .run = overlay_run,
    .package_query = overlay_package_query,
    .package_foresee = overlay_package_foresee,
    .package_apply = overlay_package_apply,
    .package_refresh = overlay_package_refresh,
    .package_suggest = overlay_package_suggest,
    .unit_query = overlay_unit_query,
    .unit_apply = overlay_unit_apply,
    .running_name = overlay_running_name,
    .set_running_name = overlay_set_running_name,
    .net_query = overlay_net_query,
    .net_list = overlay_net_list,
    .net_apply = overlay_net_apply,
    .session = overlay_session,
    .mounts = overlay_mounts,
    .mount = overlay_mount,
    .unmount = overlay_unmount,
    .sysctl_read = overlay_sysctl_read,
    .sysctl_write = overlay_sysctl_write,
    .sysctl_list = overlay_sysctl_list,
    .lock_accounts = overlay_lock_accounts,
    .log = overlay_log,
    .watch = overlay_watch,
};

Host *host_overlay_new(Host *base) {
    Overlay *self = g_new0(Overlay, 1);
    self->host = (Host){ .ops = &overlay_ops,
                         .root = g_strdup(host_root(base)),
                         .prediction = true,
                         .privileged = host_is_privileged(base),
                         .is_real = base->is_real,
                         .is_machine = base->is_machine };
    self->base = base;
    self->host.kv = base->kv ? host_kv_predict(base->kv) : NULL;
    g_mutex_init(&self->lock);
    self->tree = memory_tree_new(base);
    self->units = memory_units_new(self->tree);
    self->packages = package_table_new();
    self->net = memory_net_new(load_link, list_links, self);
    self->sysctls = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    return &self->host;
}
