#include "host/host.h"

#include <string.h>

#include "host/host-ops.h"
#include "host/written.h"

static _Thread_local uint64_t current_writer;

void host_writer_begin(uint64_t owner) {
    g_assert(current_writer == 0);
    current_writer = owner;
}

void host_writer_end(void) {
    current_writer = 0;
    written_forget();
}

uint64_t host_writer(void) {
    return current_writer;
}

static _Thread_local bool links_refused;

void host_links_refuse(void) {
    g_assert(!links_refused);
    links_refused = true;
}

void host_links_allow(void) {
    links_refused = false;
}

bool host_links_refused(void) {
    return links_refused;
}

void host_free(Host *host) {
    if (host == NULL)
        return;
    host_accounts_free(host->accounts);
    host->ops->free(host);
}

const char *host_root(const Host *host) {
    return host->root;
}

bool host_is_prediction(const Host *host) {
    return host->prediction;
}

bool host_is_real(const Host *host) {
    return host->is_real;
}

bool host_is_privileged(const Host *host) {
    return host->privileged;
}

/* Paths come from configurations: a relative one is the author's mistake, not ours. */
bool host_path_check(const char *path, GError **error) {
    if (path != NULL && path[0] == '/')
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                "refuse path '%s': it must be absolute, starting with '/'", path ? path : "");
    return false;
}

bool host_stat(Host *host, const char *path, FileInfo *ret_info, GError **error) {
    return host_path_check(path, error) && host->ops->stat(host, path, ret_info, error);
}

bool host_glance(Host *host, const char *path, FileInfo *ret_info, GError **error) {
    if (!host->ops->glance)
        return host_stat(host, path, ret_info, error);
    return host_path_check(path, error) && host->ops->glance(host, path, ret_info, error);
}

GBytes *host_read(Host *host, const char *path, size_t limit, GError **error) {
    return host_path_check(path, error) ? host->ops->read(host, path, limit, error) : NULL;
}

bool host_digest(Host *host, const char *path, const FileInfo *info, char ret_hex[DIGEST_HEX_SIZE],
                 GError **error) {
    return host_path_check(path, error) && host->ops->digest(host, path, info, ret_hex, error);
}

char *host_read_link(Host *host, const char *path, GError **error) {
    return host_path_check(path, error) ? host->ops->read_link(host, path, error) : NULL;
}

char **host_list(Host *host, const char *path, GError **error) {
    return host_path_check(path, error) ? host->ops->list(host, path, error) : NULL;
}

/* A failed call may have done a part of its work. */
static bool changed(Host *host, bool result) {
    host_note_change(host);
    return result;
}

bool host_write(Host *host, const char *path, GBytes *content, const FileAttributes *attributes,
                GError **error) {
    return host_path_check(path, error) &&
           changed(host, host->ops->write(host, path, content, attributes, error));
}

bool host_make_directory(Host *host, const char *path, const FileAttributes *attributes,
                         GError **error) {
    return host_path_check(path, error) &&
           changed(host, host->ops->make_directory(host, path, attributes, error));
}

bool host_make_link(Host *host, const char *path, const char *target, GError **error) {
    return host_path_check(path, error) &&
           changed(host, host->ops->make_link(host, path, target, error));
}

bool host_remove(Host *host, const char *path, GError **error) {
    return host_path_check(path, error) && changed(host, host->ops->remove(host, path, error));
}

bool host_set_attributes(Host *host, const char *path, const FileAttributes *attributes,
                         GError **error) {
    return host_path_check(path, error) &&
           changed(host, host->ops->set_attributes(host, path, attributes, error));
}

GBytes *host_read_local(Host *host, const char *path, size_t limit, GError **error) {
    return host->ops->read_local(host, path, limit, error);
}

void host_command_result_clear(HostCommandResult *result) {
    g_clear_pointer(&result->output, g_bytes_unref);
    g_clear_pointer(&result->out, g_bytes_unref);
    g_clear_pointer(&result->err, g_bytes_unref);
    *result = (HostCommandResult){ 0 };
}

static bool check_command(const HostCommand *command, GError **error) {
    if (command->argv != NULL && command->argv[0] != NULL && command->argv[0][0] != '\0')
        return true;
    g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_REFUSED, "run: the command is empty");
    return false;
}

bool host_run(Host *host, const HostCommand *command, HostCommandResult *ret_result,
              GError **error) {
    if (!check_command(command, error))
        return false;
    *ret_result = (HostCommandResult){ 0 };
    return changed(host, host->ops->run(host, command, ret_result, error));
}

bool host_spawn(Host *host, const HostCommand *command, int *ret_stdout_fd, pid_t *ret_pid,
                GError **error) {
    if (!check_command(command, error))
        return false;
    if (host->ops->spawn != NULL)
        return host->ops->spawn(host, command, ret_stdout_fd, ret_pid, error);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_UNSUPPORTED,
                "start '%s': the %s host does not run commands in the background", command->argv[0],
                host->ops->name);
    return false;
}

void package_info_clear(PackageInfo *info) {
    g_free(info->version);
    g_free(info->candidate);
    *info = (PackageInfo){ 0 };
}

bool host_package_query(Host *host, const char *name, bool want_candidate, PackageInfo *ret_info,
                        GError **error) {
    *ret_info = (PackageInfo){ 0 };
    return host->ops->package_query(host, name, want_candidate, ret_info, error);
}

static void effect_free(void *data) {
    PackageEffect *effect = data;
    g_free(effect->name);
    g_free(effect->version);
    g_free(effect);
}

GPtrArray *package_effects_new(void) {
    return g_ptr_array_new_with_free_func(effect_free);
}

void package_effects_add(GPtrArray *effects, const PackageEffect *effect) {
    PackageEffect *copy = g_new(PackageEffect, 1);
    *copy = (PackageEffect){ effect->what, g_strdup(effect->name), g_strdup(effect->version),
                             effect->unneeded };
    g_ptr_array_add(effects, copy);
}

static int compare_effects(const void *a, const void *b) {
    const PackageEffect *x = *(PackageEffect *const *)a, *y = *(PackageEffect *const *)b;
    int order = strcmp(x->name, y->name);
    return order != 0 ? order : (int)x->what - (int)y->what;
}

bool host_package_foresee(Host *host, const PackageAction *actions, size_t n_actions,
                          GPtrArray *effects, Cancel *cancel, GError **error) {
    if (n_actions > 0 &&
        !host->ops->package_foresee(host, actions, n_actions, effects, cancel, error))
        return false;
    g_ptr_array_sort(effects, compare_effects);
    return true;
}

bool host_package_refresh(Host *host, PackageRefresh why, const char *path, bool *ret_done,
                          Cancel *cancel, GError **error) {
    bool done = false;
    bool ok = host->ops->package_refresh(host, why, path, &done, cancel, error);
    if (done)
        host_note_change(host);
    if (ret_done != NULL)
        *ret_done = done;
    return ok;
}

char *host_package_suggest(Host *host, const char *name) {
    return host->ops->package_suggest(host, name);
}

bool host_package_apply(Host *host, const PackageAction *actions, size_t n_actions, Cancel *cancel,
                        GError **error) {
    return n_actions == 0 ||
           changed(host, host->ops->package_apply(host, actions, n_actions, cancel, error));
}

bool host_unit_query(Host *host, const char *name, bool session, UnitInfo *ret_info,
                     GError **error) {
    *ret_info = (UnitInfo){ 0 };
    return host->ops->unit_query(host, name, session, ret_info, error);
}

bool host_unit_apply(Host *host, const char *name, bool session, UnitVerb verb, Cancel *cancel,
                     GError **error) {
    return changed(host, host->ops->unit_apply(host, name, session, verb, cancel, error));
}

char *host_unit_complaints(Host *host, const char *name, bool session, uint64_t since_us) {
    return host->ops->unit_complaints == NULL
               ? NULL
               : host->ops->unit_complaints(host, name, session, since_us);
}

char *host_running_name(Host *host, GError **error) {
    return host->ops->running_name(host, error);
}

bool host_set_running_name(Host *host, const char *name, GError **error) {
    return changed(host, host->ops->set_running_name(host, name, error));
}

bool host_net_query(Host *host, const char *link, NetInfo *ret_info, GError **error) {
    *ret_info = (NetInfo){ 0 };
    return host->ops->net_query(host, link, ret_info, error);
}

char **host_net_list(Host *host, GError **error) {
    return host->ops->net_list(host, error);
}

bool host_net_apply(Host *host, const NetChange *change, GError **error) {
    return changed(host, host->ops->net_apply(host, change, error));
}

bool host_session(Host *host, NetSession *ret_session) {
    return host->ops->session(host, ret_session);
}

MountTable *host_mounts(Host *host, GError **error) {
    return host->ops->mounts(host, error);
}

bool host_mount(Host *host, const MountRequest *request, GError **error) {
    return host_path_check(request->point, error) &&
           changed(host, host->ops->mount(host, request, error));
}

bool host_unmount(Host *host, const char *point, bool lazy, Cancel *cancel, GError **error) {
    return host_path_check(point, error) &&
           changed(host, host->ops->unmount(host, point, lazy, cancel, error));
}

/* Bytes from a configuration that become a path below /proc/sys. */
static bool check_key(const char *key, GError **error) {
    g_auto(GStrv) names = g_strsplit(key, "/", -1);
    bool good = names[0] != NULL;
    for (char **name = names; *name != NULL; name++)
        good = good && **name != '\0' && strcmp(*name, ".") != 0 && strcmp(*name, "..") != 0;
    if (!good)
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                    "refuse '%s': it is no key such as 'net/ipv4/ip_forward'", key);
    return good;
}

bool host_sysctl_read(Host *host, const char *key, SysctlInfo *ret_info, GError **error) {
    *ret_info = (SysctlInfo){ 0 };
    return check_key(key, error) && host->ops->sysctl_read(host, key, ret_info, error);
}

bool host_sysctl_write(Host *host, const char *key, const char *value, GError **error) {
    return check_key(key, error) && changed(host, host->ops->sysctl_write(host, key, value, error));
}

char **host_sysctl_list(Host *host, const char *group, GError **error) {
    return *group == '\0' || check_key(group, error) ? host->ops->sysctl_list(host, group, error)
                                                     : NULL;
}

bool host_log(Host *host, int priority, const char *text, const char *const *fields, bool journal,
              bool syslog, GError **error) {
    return host->ops->log(host, priority, text, fields, journal, syslog, error);
}

HostWatch *host_watch(Host *host, Loop *loop, HostWatchClass class, const char *name,
                      uint64_t owner, HostWatchCallback callback, void *data, GError **error) {
    bool is_path =
        class == HOST_WATCH_FILE || class == HOST_WATCH_TREE || class == HOST_WATCH_MOUNT;
    if (is_path && !host_path_check(name, error))
        return NULL;
    HostWatch *watch = host->ops->watch(host, loop, class, name, owner, callback, data, error);
    if (watch != NULL)
        watch->host = host;
    return watch;
}

void host_watch_tell(HostWatch *watch, HostEvent event, const char *detail) {
    host_note_change(watch->host);
    watch->callback(watch->data, event, detail);
}

void host_watch_free(HostWatch *watch) {
    if (watch != NULL)
        watch->free(watch);
}
