#include "host/host-fake.h"

#include <errno.h>
#include <string.h>

#include "base/digest.h"
#include "base/suggest.h"
#include "host/host-fake-private.h"
#include "host/host-real-private.h"
#include "host/memory-packages.h"
#include "host/mounts.h"

typedef struct {
    int exit_status;
    char *output;
    FakeCommand run;
    void *data;
} Command;

static void command_free(void *data) {
    Command *command = data;
    g_free(command->output);
    g_free(command);
}

/* Starts each operation: takes the lock and counts the call. */
static GMutexLocker *fake_enter(Host *host, const char *call) {
    Fake *self = fake_of(host);
    GMutexLocker *locker = g_mutex_locker_new(&self->lock);
    self->writer = host_writer();
    unsigned *count = g_hash_table_lookup(self->counts, call);
    if (count == NULL) {
        count = g_new0(unsigned, 1);
        g_hash_table_insert(self->counts, g_strdup(call), count);
    }
    ++*count;
    return locker;
}

/* The same for the one who tampers: nobody's change, not counted. */
static GMutexLocker *tamper_enter(Host *host) {
    Fake *self = fake_of(host);
    GMutexLocker *locker = g_mutex_locker_new(&self->lock);
    self->writer = 0;
    host_note_change(host);
    return locker;
}

static void fake_free(Host *host) {
    Fake *self = fake_of(host);
    fake_watches_free(self->watches);
    memory_net_free(self->net);
    memory_units_free(self->units);
    memory_tree_free(self->tree);
    g_hash_table_unref(self->packages);
    g_hash_table_unref(self->offered_later);
    g_hash_table_unref(self->depends);
    g_free(self->refresh_problem);
    g_hash_table_unref(self->commands);
    g_hash_table_unref(self->counts);
    g_mutex_clear(&self->lock);
    g_free(self->last_log);
    g_free(self->running_name);
    mount_table_free(self->mounts);
    g_hash_table_unref(self->busy);
    g_hash_table_unref(self->sysctls);
    g_free(self->host.root);
    g_free(self);
}

/* --- files --- */

static bool fake_stat(Host *host, const char *path, FileInfo *ret_info, GError **error) {
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = fake_enter(host, "stat");
    g_auto(MemoryView) view = { 0 };
    if (memory_tree_look(fake_of(host)->tree, "stat", path, false, &view, error) == MEMORY_FAILED)
        return false;
    *ret_info = view.info;
    return true;
}

static GBytes *read_content(Host *host, const char *path, size_t limit, GError **error) {
    g_auto(MemoryView) view = { 0 };
    if (memory_tree_look(fake_of(host)->tree, "read", path, true, &view, error) == MEMORY_FAILED ||
        !memory_view_check(&view, "read", path, limit, error))
        return NULL;
    return g_steal_pointer(&view.content);
}

static GBytes *fake_read(Host *host, const char *path, size_t limit, GError **error) {
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = fake_enter(host, "read");
    return read_content(host, path, limit, error);
}

static bool fake_digest(Host *host, const char *path, const FileInfo *info,
                        char ret_hex[DIGEST_HEX_SIZE], GError **error) {
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = fake_enter(host, "digest");
    g_autoptr(GBytes) content = read_content(host, path, SIZE_MAX, error);
    if (content == NULL)
        return false;
    size_t size;
    const void *data = g_bytes_get_data(content, &size);
    digest_bytes(data, size, ret_hex);
    return true;
}

static char *fake_read_link(Host *host, const char *path, GError **error) {
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = fake_enter(host, "read_link");
    g_auto(MemoryView) view = { 0 };
    MemoryAnswer answer =
        memory_tree_look(fake_of(host)->tree, "read link", path, false, &view, error);
    if (answer == MEMORY_FAILED || !memory_view_check_link(&view, path, error))
        return NULL;
    return g_steal_pointer(&view.target);
}

static char **fake_list(Host *host, const char *path, GError **error) {
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = fake_enter(host, "list");
    char *base_path; /* always NULL: there is no base */
    return memory_tree_list(fake_of(host)->tree, path, &base_path, error);
}

static bool fake_write(Host *host, const char *path, GBytes *content,
                       const FileAttributes *attributes, GError **error) {
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = fake_enter(host, "write");
    return memory_tree_write(fake_of(host)->tree, path, content, attributes, error);
}

static bool fake_make_directory(Host *host, const char *path, const FileAttributes *attributes,
                                GError **error) {
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = fake_enter(host, "make_directory");
    return memory_tree_make_directory(fake_of(host)->tree, path, attributes, error);
}

static bool fake_make_link(Host *host, const char *path, const char *target, GError **error) {
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = fake_enter(host, "make_link");
    return memory_tree_make_link(fake_of(host)->tree, path, target, error);
}

static bool fake_remove(Host *host, const char *path, GError **error) {
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = fake_enter(host, "remove");
    return memory_tree_remove(fake_of(host)->tree, path, error);
}

static bool fake_remove_tree(Host *host, const char *path, const Cancel *cancel, GError **error) {
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = fake_enter(host, "remove_tree");
    return cancel_check(cancel, error) && memory_tree_remove_all(fake_of(host)->tree, path, error);
}

static bool fake_set_attributes(Host *host, const char *path, const FileAttributes *attributes,
                                GError **error) {
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = fake_enter(host, "set_attributes");
    return memory_tree_set_attributes(fake_of(host)->tree, path, attributes, error);
}

/* The only thing that a fake machine shares with the real one. */
static GBytes *fake_read_local(Host *host, const char *path, size_t limit, GError **error) {
    g_mutex_locker_free(fake_enter(host, "read_local"));
    return real_read_local(host, path, limit, error);
}

/* --- commands and messages --- */

static void fill_result(HostCommandResult *result, int exit_status, const char *output) {
    result->exit_status = exit_status;
    result->output = g_bytes_new(output, strlen(output));
    result->out = g_bytes_ref(result->output);
}

static void complete_result(HostCommandResult *result) {
    GBytes **streams[] = { &result->output, &result->out, &result->err };
    for (size_t i = 0; i < G_N_ELEMENTS(streams); i++)
        if (*streams[i] == NULL)
            *streams[i] = g_bytes_new(NULL, 0);
}

static bool fake_run(Host *host, const HostCommand *command, HostCommandResult *ret_result,
                     GError **error) {
    g_autofree char *line = g_strjoinv(" ", (char **)(uintptr_t)command->argv);
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = fake_enter(host, "run");
    if (!cancel_check(command->cancel, error)) {
        g_prefix_error(error, "run '%s': ", line);
        return false;
    }
    const Command *found = g_hash_table_lookup(fake_of(host)->commands, line);
    if (found == NULL) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND, "run '%s': no such command", line);
        return false;
    }
    if (found->run == NULL) {
        fill_result(ret_result, found->exit_status, found->output);
    } else {
        FakeCommand run = found->run;
        void *data = found->data;
        g_clear_pointer(&locker, g_mutex_locker_free);
        run(host, command, ret_result, data);
    }
    complete_result(ret_result);
    return true;
}

static bool fake_log(Host *host, int priority, const char *text, const char *const *fields,
                     bool journal, bool syslog, GError **error) {
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = fake_enter(host, "log");
    Fake *self = fake_of(host);
    g_free(self->last_log);
    self->last_log = g_strdup(text);
    return true;
}

static char *fake_running_name(Host *host, GError **error) {
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = fake_enter(host, "running_name");
    return g_strdup(fake_of(host)->running_name);
}

static bool put_running_name(Fake *self, const char *name) {
    char *copy = g_strdup(name);
    g_free(self->running_name);
    self->running_name = copy;
    if (self->watches != NULL)
        fake_watches_changed(self->watches, HOST_WATCH_RUNNING_NAME, NULL);
    return true;
}

static bool fake_set_running_name(Host *host, const char *name, GError **error) {
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = fake_enter(host, "set_running_name");
    return put_running_name(fake_of(host), name);
}

/* --- the network --- */

static bool fake_net_query(Host *host, const char *link, NetInfo *ret_info, GError **error) {
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = fake_enter(host, "net_query");
    return memory_net_query(fake_of(host)->net, link, ret_info, error);
}

static char **fake_net_list(Host *host, GError **error) {
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = fake_enter(host, "net_list");
    return memory_net_list(fake_of(host)->net, error);
}

/* A change of one link may be one of others: of its peer, of what stands on it or is in it. */
static bool change_net(Fake *self, const NetChange *change, GError **error) {
    if (!memory_net_apply(self->net, change, error))
        return false;
    bool wide = change->verb == NET_LINK_ADD || change->verb == NET_LINK_DELETE ||
                change->verb == NET_ROUTE_REPLACE;
    fake_watches_changed(self->watches, HOST_WATCH_NET, wide ? NULL : change->link);
    return true;
}

static bool fake_net_apply(Host *host, const NetChange *change, GError **error) {
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = fake_enter(host, "net_apply");
    return change_net(fake_of(host), change, error);
}

static bool fake_session(Host *host, NetSession *ret_session) {
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = fake_enter(host, "session");
    *ret_session = fake_of(host)->session;
    return fake_of(host)->has_session;
}

/* --- mounts --- */

static MountTable *fake_mounts(Host *host, GError **error) {
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = fake_enter(host, "mounts");
    return mount_table_copy(fake_of(host)->mounts);
}

/* What a fake machine has in a directory stays in sight: nobody's files are told apart. */
static bool do_mount(Fake *self, const MountRequest *request, GError **error) {
    g_autofree char *source = memory_tree_mount_source(self->tree, request);
    MountRequest resolved = *request;
    resolved.source = source;
    if (!mount_table_mount(self->mounts, &resolved, error))
        return false;
    fake_watches_changed(self->watches, HOST_WATCH_MOUNT, request->point);
    return true;
}

static bool fake_mount(Host *host, const MountRequest *request, GError **error) {
    if (!cancel_check(request->cancel, error) || !mount_request_check(host, request, error))
        return false;
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = fake_enter(host, "mount");
    return do_mount(fake_of(host), request, error);
}

static bool do_unmount(Fake *self, const char *point, bool lazy, GError **error) {
    const char *user = g_hash_table_lookup(self->busy, point);
    if (user != NULL && !lazy) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED, "unmount '%s': it is in use by %s",
                    point, user);
        return false;
    }
    if (!mount_table_unmount(self->mounts, point, lazy, error))
        return false;
    fake_watches_changed(self->watches, HOST_WATCH_MOUNT, point);
    return true;
}

static bool fake_unmount(Host *host, const char *point, bool lazy, Cancel *cancel, GError **error) {
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = fake_enter(host, "unmount");
    return cancel_check(cancel, error) && do_unmount(fake_of(host), point, lazy, error);
}

/* --- parameters of the kernel --- */

typedef struct {
    FakeSysctlRule rule;
    char *value;
} FakeSysctl;

static void fake_sysctl_free(void *data) {
    FakeSysctl *sysctl = data;
    g_free(sysctl->value);
    g_free(sysctl);
}

static FakeSysctl *find_sysctl(Fake *self, const char *verb, const char *key, GError **error) {
    FakeSysctl *sysctl = g_hash_table_lookup(self->sysctls, key);
    if (sysctl == NULL)
        (void)set_io_error(error, ENOENT, "%s '/proc/sys/%s'", verb, key); /* always false */
    return sysctl;
}

static bool fake_sysctl_read(Host *host, const char *key, SysctlInfo *ret_info, GError **error) {
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = fake_enter(host, "sysctl_read");
    const FakeSysctl *sysctl = find_sysctl(fake_of(host), "read", key, error);
    if (sysctl == NULL)
        return false;
    *ret_info = (SysctlInfo){ .value = g_strdup(sysctl->value),
                              .writable = sysctl->rule != FAKE_SYSCTL_READ_ONLY };
    return true;
}

/* As the kernel shows it: words with tabs between them. */
static char *normal_value(FakeSysctlRule rule, const char *value) {
    g_auto(GStrv) words = g_strsplit_set(value, " \t", -1);
    g_autofree char *joined = g_strjoinv("\t", words);
    int64_t number = g_ascii_strtoll(value, NULL, 0);
    return rule == FAKE_SYSCTL_CLAMPED ? g_strdup_printf("%d", (int)CLAMP(number, 0, 100))
                                       : g_steal_pointer(&joined);
}

static bool put_sysctl(Fake *self, const char *key, const char *value, GError **error) {
    FakeSysctl *sysctl = find_sysctl(self, "write", key, error);
    if (sysctl == NULL)
        return false;
    if (sysctl->rule == FAKE_SYSCTL_READ_ONLY)
        return set_io_error(error, EACCES, "write '/proc/sys/%s'", key);
    if (sysctl->rule == FAKE_SYSCTL_NUMBER && !g_ascii_isdigit(*value))
        return set_io_error(error, EINVAL, "write '/proc/sys/%s'", key);
    g_free(sysctl->value);
    sysctl->value = normal_value(sysctl->rule, value);
    fake_watches_changed(self->watches, HOST_WATCH_SYSCTL, key);
    return true;
}

static bool fake_sysctl_write(Host *host, const char *key, const char *value, GError **error) {
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = fake_enter(host, "sysctl_write");
    return put_sysctl(fake_of(host), key, value, error);
}

static char **fake_sysctl_list(Host *host, const char *group, GError **error) {
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = fake_enter(host, "sysctl_list");
    g_autofree char *prefix = *group != '\0' ? g_strconcat(group, "/", NULL) : g_strdup("");
    g_autoptr(GList) keys = g_hash_table_get_keys(fake_of(host)->sysctls);
    keys = g_list_sort(keys, (GCompareFunc)strcmp);
    GPtrArray *names = g_ptr_array_new();
    for (GList *at = keys; at != NULL; at = at->next) {
        const char *key = at->data;
        if (!g_str_has_prefix(key, prefix))
            continue;
        key += strlen(prefix);
        g_autofree char *name = g_strndup(key, strcspn(key, "/"));
        if (names->len == 0 || strcmp(names->pdata[names->len - 1], name) != 0)
            g_ptr_array_add(names, g_steal_pointer(&name));
    }
    bool found = names->len > 0;
    g_ptr_array_add(names, NULL);
    char **list = (char **)g_ptr_array_free(names, FALSE);
    if (found)
        return list;
    g_strfreev(list);
    (void)set_io_error(error, ENOENT, "list '/proc/sys/%s'", group); /* always false */
    return NULL;
}

/* --- packages --- */

static bool fake_package_query(Host *host, const char *name, bool want_candidate,
                               PackageInfo *ret_info, GError **error) {
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = fake_enter(host, "package_query");
    GHashTable *packages = fake_of(host)->packages;
    g_autofree char *bare = package_bare_name(name);
    const PackageInfo *info = g_hash_table_lookup(packages, bare);
    if (info != NULL)
        package_info_copy(ret_info, info);
    const PackageInfo *of_release = g_hash_table_lookup(packages, name);
    g_clear_pointer(&ret_info->candidate, g_free);
    if (want_candidate && of_release != NULL)
        ret_info->candidate = g_strdup(of_release->candidate);
    return true;
}

static bool is_named(const PackageAction *actions, size_t n_actions, const char *name) {
    for (size_t i = 0; i < n_actions; i++)
        if (strcmp(actions[i].name, name) == 0)
            return true;
    return false;
}

static bool has_effect(const GPtrArray *effects, const char *name) {
    for (guint i = 0; i < effects->len; i++)
        if (strcmp(((PackageEffect *)effects->pdata[i])->name, name) == 0)
            return true;
    return false;
}

typedef struct {
    Fake *fake;
    const PackageAction *actions;
    size_t n_actions;
    GPtrArray *effects;
} Foresight;

static bool needs(Fake *self, const char *name, const char *other) {
    const char *const *depends = g_hash_table_lookup(self->depends, name);
    return depends != NULL && g_strv_contains(depends, other);
}

/* Those that name needs come, those that need it go; and so on. */
static void foresee(Foresight *seen, const char *name, bool comes) {
    GHashTableIter iter;
    void *other, *found;
    g_hash_table_iter_init(&iter, seen->fake->packages);
    while (g_hash_table_iter_next(&iter, &other, &found)) {
        const PackageInfo *info = found;
        bool concerned = comes ? !info->version && needs(seen->fake, name, other)
                               : info->version && needs(seen->fake, other, name);
        if (!concerned || is_named(seen->actions, seen->n_actions, other) ||
            has_effect(seen->effects, other))
            continue;
        PackageEffect effect = { .what = comes ? PACKAGE_COMES : PACKAGE_GOES,
                                 .name = other,
                                 .version = comes ? info->candidate : info->version };
        package_effects_add(seen->effects, &effect);
        foresee(seen, other, comes);
    }
}

static void foresee_all(Foresight *seen) {
    for (size_t i = 0; i < seen->n_actions; i++) {
        PackageVerb verb = seen->actions[i].verb;
        const char *name = seen->actions[i].name;
        const PackageInfo *info = g_hash_table_lookup(seen->fake->packages, name);
        bool removes = verb == PACKAGE_REMOVE || verb == PACKAGE_PURGE;
        if (removes || verb <= PACKAGE_VERSION)
            if (removes || info == NULL || info->version == NULL)
                foresee(seen, name, !removes);
    }
}

static bool fake_package_foresee(Host *host, const PackageAction *actions, size_t n_actions,
                                 GPtrArray *effects, Cancel *cancel, GError **error) {
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = fake_enter(host, "package_foresee");
    Foresight seen = { fake_of(host), actions, n_actions, effects };
    foresee_all(&seen);
    return cancel_check(cancel, error);
}

static bool apply_actions(Fake *self, GHashTable *done, const PackageAction *actions,
                          size_t n_actions, GError **error) {
    for (size_t i = 0; i < n_actions; i++) {
        const char *name = actions[i].name;
        const PackageInfo *now = g_hash_table_lookup(done, name);
        if (now == NULL)
            now = g_hash_table_lookup(self->packages, name);
        g_autoptr(PackageInfo) info = package_info_new(now);
        if (!package_info_apply(info, &actions[i], NULL, error))
            return false;
        g_hash_table_replace(done, g_strdup(name), g_steal_pointer(&info));
    }
    return true;
}

static bool apply_effects(Fake *self, GHashTable *done, const PackageAction *actions,
                          size_t n_actions, GError **error) {
    g_autoptr(GPtrArray) effects = package_effects_new();
    Foresight seen = { self, actions, n_actions, effects };
    foresee_all(&seen);
    for (guint i = 0; i < effects->len; i++) {
        const PackageEffect *effect = effects->pdata[i];
        if (effect->what == PACKAGE_GOES && !actions[0].force) {
            g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                        "it would remove other packages (%s)", effect->name);
            return false;
        }
        g_autoptr(PackageInfo) info =
            package_info_new(g_hash_table_lookup(self->packages, effect->name));
        package_info_suffer(info, effect);
        g_hash_table_replace(done, g_strdup(effect->name), g_steal_pointer(&info));
    }
    return true;
}

static bool fake_package_apply(Host *host, const PackageAction *actions, size_t n_actions,
                               Cancel *cancel, GError **error) {
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = fake_enter(host, "package_apply");
    Fake *self = fake_of(host);
    g_autoptr(GHashTable) done = package_table_new();
    if (!cancel_check(cancel, error) || !apply_effects(self, done, actions, n_actions, error) ||
        !apply_actions(self, done, actions, n_actions, error))
        return false;
    package_table_move(self->packages, done);
    fake_watches_changed(self->watches, HOST_WATCH_PACKAGES, NULL);
    return true;
}

/* What was announced by host_fake_offer_later() is there from now on. */
static bool fake_package_refresh(Host *host, PackageRefresh why, const char *path, bool *ret_done,
                                 Cancel *cancel, GError **error) {
    Fake *self = fake_of(host);
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = fake_enter(host, "package_refresh");
    if (why == REFRESH_STALE)
        return true;
    *ret_done = true;
    if (self->refresh_problem != NULL) {
        g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_FAILED, self->refresh_problem);
        return false;
    }
    GHashTableIter iter;
    void *name, *version;
    g_hash_table_iter_init(&iter, self->offered_later);
    while (g_hash_table_iter_next(&iter, &name, &version)) {
        PackageInfo *info = package_info_new(g_hash_table_lookup(self->packages, name));
        g_free(info->candidate);
        info->candidate = g_strdup(version);
        g_hash_table_replace(self->packages, g_strdup(name), info);
    }
    g_hash_table_remove_all(self->offered_later);
    return true;
}

static char *fake_package_suggest(Host *host, const char *name) {
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = fake_enter(host, "package_suggest");
    guint n;
    g_autofree const char **names =
        (const char **)(void *)g_hash_table_get_keys_as_array(fake_of(host)->packages, &n);
    return g_strdup(suggest_nearest(name, names, n));
}

/* --- units --- */

static const UnitInfo no_unit = { 0 };

static bool fake_unit_query(Host *host, const char *name, bool session, UnitInfo *ret_info,
                            GError **error) {
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = fake_enter(host, "unit_query");
    memory_units_query(fake_of(host)->units, name, session, &no_unit, ret_info);
    return true;
}

static bool fake_unit_apply(Host *host, const char *name, bool session, UnitVerb verb,
                            Cancel *cancel, GError **error) {
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = fake_enter(host, "unit_apply");
    Fake *self = fake_of(host);
    if (!cancel_check(cancel, error) ||
        !memory_units_apply(self->units, name, session, verb, &no_unit, error))
        return false;
    g_autofree char *watched = g_strconcat(session ? "user:" : "", name, NULL);
    fake_watches_changed(self->watches, HOST_WATCH_UNIT,
                         verb == UNIT_DAEMON_RELOAD ? NULL : watched);
    return true;
}

static HostWatch *fake_host_watch(Host *host, Loop *loop, HostWatchClass class, const char *name,
                                  uint64_t owner, HostWatchCallback callback, void *data,
                                  GError **error) {
    g_mutex_locker_free(fake_enter(host, "watch"));
    return fake_watch(fake_of(host), loop, class, name, owner, callback, data);
}

/* --- the machine --- */

static const HostOps fake_ops = {
    .name = "fake",
    .free = fake_free,
    .stat = fake_stat,
    .read = fake_read,
    .digest = fake_digest,
    .read_link = fake_read_link,
    .list = fake_list,
    .write = fake_write,
    .make_directory = fake_make_directory,
    .make_link = fake_make_link,
    .remove = fake_remove,
    .remove_tree = fake_remove_tree,
    .set_attributes = fake_set_attributes,
    .read_local = fake_read_local,
    .run = fake_run,
    .package_query = fake_package_query,
    .package_foresee = fake_package_foresee,
    .package_apply = fake_package_apply,
    .package_refresh = fake_package_refresh,
    .package_suggest = fake_package_suggest,
    .unit_query = fake_unit_query,
    .unit_apply = fake_unit_apply,
    .running_name = fake_running_name,
    .set_running_name = fake_set_running_name,
    .net_query = fake_net_query,
    .net_list = fake_net_list,
    .net_apply = fake_net_apply,
    .session = fake_session,
    .mounts = fake_mounts,
    .mount = fake_mount,
    .unmount = fake_unmount,
    .sysctl_read = fake_sysctl_read,
    .sysctl_write = fake_sysctl_write,
    .sysctl_list = fake_sysctl_list,
    .log = fake_log,
    .watch = fake_host_watch,
};

static void file_changed(void *data, const char *path, bool link) {
    Fake *self = data;
    if (self->watches != NULL)
        fake_watches_path_changed(self->watches, path, link);
}

static bool put_text(Fake *self, const char *path, const char *text,
                     const FileAttributes *attributes) {
    g_autoptr(GBytes) content = g_bytes_new(text, strlen(text));
    return memory_tree_write(self->tree, path, content, attributes, NULL);
}

static void put_first_files(Fake *self) {
    static const FileAttributes everyone = { .set = FILE_SET_MODE, .mode = 01777 };
    bool good = memory_tree_make_directory(self->tree, "/etc", NULL, NULL) &&
                memory_tree_make_directory(self->tree, "/var", NULL, NULL) &&
                memory_tree_make_directory(self->tree, "/tmp", &everyone, NULL) &&
                put_text(self, "/etc/passwd", "root:x:0:0:root:/root:/bin/bash\n", NULL) &&
                put_text(self, "/etc/group", "root:x:0:\n", NULL);
    g_assert(good);
}

static void put_link(Fake *self, const char *link, const char *type) {
    g_auto(NetInfo) info;
    net_info_init(&info);
    info.exists = type != NULL;
    info.up = true;
    info.mtu = 1500;
    info.has_mac = true;
    g_strlcpy(info.make.type, type != NULL ? type : "", sizeof info.make.type);
    memory_net_put(self->net, link, &info);
    if (self->watches != NULL)
        fake_watches_changed(self->watches, HOST_WATCH_NET, link);
}

static const char first_mounts[] =
    "20 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw\n"
    "21 20 0:20 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw\n"
    "22 20 0:21 / /run rw,nosuid,nodev shared:2 - tmpfs tmpfs rw,size=65536k,mode=755\n";

Host *host_fake_new(void) {
    Fake *self = g_new0(Fake, 1);
    self->host = (Host){ .ops = &fake_ops, .root = g_strdup("/"), .privileged = true };
    g_mutex_init(&self->lock);
    self->tree = memory_tree_new(NULL);
    self->units = memory_units_new(self->tree);
    self->packages = package_table_new();
    self->net = memory_net_new(NULL, NULL, NULL);
    put_link(self, "lo", "");
    self->offered_later = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    self->depends =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_strfreev);
    self->commands = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, command_free);
    self->counts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    put_first_files(self);
    self->running_name = g_strdup("fake");
    self->mounts = mount_table_parse(first_mounts, strlen(first_mounts), NULL);
    self->busy = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    self->sysctls = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, fake_sysctl_free);
    self->watches = fake_watches_new(self);
    memory_tree_set_changed(self->tree, file_changed, self);
    return &self->host;
}

bool host_fake_tamper_mount(Host *fake, const MountRequest *request) {
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = tamper_enter(fake);
    return do_mount(fake_of(fake), request, NULL);
}

bool host_fake_tamper_unmount(Host *fake, const char *point) {
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = tamper_enter(fake);
    return do_unmount(fake_of(fake), point, true, NULL);
}

void host_fake_set_busy(Host *fake, const char *point, const char *user) {
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = tamper_enter(fake);
    if (user != NULL)
        g_hash_table_replace(fake_of(fake)->busy, g_strdup(point), g_strdup(user));
    else
        g_hash_table_remove(fake_of(fake)->busy, point);
}

void host_fake_set_sysctl(Host *fake, const char *key, const char *value, FakeSysctlRule rule) {
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = tamper_enter(fake);
    FakeSysctl *sysctl = g_new0(FakeSysctl, 1);
    *sysctl = (FakeSysctl){ .rule = rule, .value = g_strdup(value) };
    g_hash_table_replace(fake_of(fake)->sysctls, g_strdup(key), sysctl);
    fake_watches_changed(fake_of(fake)->watches, HOST_WATCH_SYSCTL, key);
}

void host_fake_set_privileged(Host *fake, bool privileged) {
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = tamper_enter(fake);
    fake->privileged = privileged;
    memory_tree_set_caller(fake_of(fake)->tree, privileged ? 0 : 1000, privileged ? 0 : 1000);
}

bool host_fake_tamper_write(Host *fake, const char *path, const char *text) {
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = tamper_enter(fake);
    return put_text(fake_of(fake), path, text, NULL);
}

void host_fake_tamper_running_name(Host *fake, const char *name) {
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = tamper_enter(fake);
    (void)put_running_name(fake_of(fake), name); /* cannot fail */
}

bool host_fake_tamper_remove(Host *fake, const char *path) {
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = tamper_enter(fake);
    return memory_tree_remove_all(fake_of(fake)->tree, path, NULL);
}

bool host_fake_tamper_mode(Host *fake, const char *path, mode_t mode) {
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = tamper_enter(fake);
    FileAttributes attributes = { .set = FILE_SET_MODE, .mode = mode };
    return memory_tree_set_attributes(fake_of(fake)->tree, path, &attributes, NULL);
}

void host_fake_set_package(Host *fake, const char *name, const char *installed,
                           const char *candidate) {
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = tamper_enter(fake);
    Fake *self = fake_of(fake);
    PackageInfo *info = package_info_new(NULL);
    info->version = g_strdup(installed);
    info->candidate = g_strdup(candidate);
    g_hash_table_replace(self->packages, g_strdup(name), info);
    fake_watches_changed(self->watches, HOST_WATCH_PACKAGES, NULL);
}

void host_fake_mark_package(Host *fake, const char *name, const char *marks) {
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fake_of(fake)->lock);
    PackageInfo *info = g_hash_table_lookup(fake_of(fake)->packages, name);
    g_assert_nonnull(info);
    info->automatic = strchr(marks, 'a') != NULL;
    info->essential = strchr(marks, 'e') != NULL;
    info->broken = strchr(marks, 'b') != NULL;
}

void host_fake_set_depends(Host *fake, const char *name, const char *others) {
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fake_of(fake)->lock);
    g_hash_table_replace(fake_of(fake)->depends, g_strdup(name), g_strsplit(others, " ", -1));
}

void host_fake_offer_later(Host *fake, const char *name, const char *version) {
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fake_of(fake)->lock);
    g_hash_table_replace(fake_of(fake)->offered_later, g_strdup(name), g_strdup(version));
}

void host_fake_fail_refresh(Host *fake, const char *problem) {
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fake_of(fake)->lock);
    g_free(fake_of(fake)->refresh_problem);
    fake_of(fake)->refresh_problem = g_strdup(problem);
}

void host_fake_set_unit(Host *fake, const char *name, const UnitInfo *info) {
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = tamper_enter(fake);
    Fake *self = fake_of(fake);
    bool session = g_str_has_prefix(name, "user:");
    memory_units_set(self->units, session ? name + strlen("user:") : name, session, info);
    fake_watches_changed(self->watches, HOST_WATCH_UNIT, name);
}

bool host_fake_tamper_net(Host *fake, const NetChange *change) {
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = tamper_enter(fake);
    return change_net(fake_of(fake), change, NULL);
}

void host_fake_set_link(Host *fake, const char *link, const char *type) {
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = tamper_enter(fake);
    put_link(fake_of(fake), link, type);
}

void host_fake_add_address(Host *fake, const char *link, const NetAddress *address) {
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = tamper_enter(fake);
    g_auto(NetInfo) info = { 0 };
    bool found = memory_net_query(fake_of(fake)->net, link, &info, NULL);
    g_assert(found && info.exists);
    g_array_append_val(info.addresses, *address);
    memory_net_put(fake_of(fake)->net, link, &info);
    fake_watches_changed(fake_of(fake)->watches, HOST_WATCH_NET, link);
}

void host_fake_set_session(Host *fake, const NetSession *session) {
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = tamper_enter(fake);
    Fake *self = fake_of(fake);
    self->has_session = session != NULL;
    self->session = session != NULL ? *session : (NetSession){ 0 };
}

void host_fake_set_command(Host *fake, const char *line, int exit_status, const char *output,
                           FakeCommand run, void *data) {
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = tamper_enter(fake);
    Command *command = g_new0(Command, 1);
    *command = (Command){ .exit_status = exit_status,
                          .output = g_strdup(output != NULL ? output : ""),
                          .run = run,
                          .data = data };
    g_hash_table_replace(fake_of(fake)->commands, g_strdup(line), command);
}

unsigned host_fake_count(Host *fake, const char *call) {
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = tamper_enter(fake);
    const unsigned *count = g_hash_table_lookup(fake_of(fake)->counts, call);
    return count != NULL ? *count : 0;
}

const char *host_fake_last_log(Host *fake) {
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = tamper_enter(fake);
    return fake_of(fake)->last_log;
}

void host_fake_lose_events(Host *fake) {
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = tamper_enter(fake);
    fake_watches_lose_events(fake_of(fake)->watches);
}
