/* Packages of Debian's kind: dpkg's database is read here, everything else is asked of apt. */
#include <string.h>

#include "base/limits.h"
#include "host/apt.h"
#include "host/dpkg-status.h"
#include "host/host-real-private.h"
#include "host/package-guard.h"

#define STATUS_PATH "/var/lib/dpkg/status"

/* What candidates depend on besides the database. */
static const char *const apt_paths[] = {
    "/var/lib/apt/lists",    "/etc/apt",
    "/etc/apt/sources.list", "/etc/apt/sources.list.d",
    "/etc/apt/preferences",  "/etc/apt/preferences.d",
    "/etc/apt/apt.conf.d",
};

struct PackageDatabase {
    GMutex lock;
    bool alone; /* no apt of an earlier stead is at work */
    GMutex guard_lock;
    int guard_fd; /* while guard_users change packages; else -1 */
    unsigned guard_users;
    DpkgStatus *status; /* as read from the file that looked like status_info */
    FileInfo status_info;
    GHashTable *candidates; /* name as asked -> version, or "" for none */
    FileInfo apt_info[G_N_ELEMENTS(apt_paths) + 1];
    unsigned apt_generation; /* counts changes of apt_info */
    GCond answered;
    bool asking;       /* somebody runs apt-cache */
    GPtrArray *wanted; /* char *: names for whom is to be asked next */
};

PackageDatabase *package_database_new(void) {
    PackageDatabase *database = g_new0(PackageDatabase, 1);
    database->guard_fd = -1;
    g_mutex_init(&database->lock);
    g_mutex_init(&database->guard_lock);
    g_cond_init(&database->answered);
    database->candidates = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    database->wanted = g_ptr_array_new_with_free_func(g_free);
    return database;
}

void package_database_free(PackageDatabase *database) {
    if (database == NULL)
        return;
    dpkg_status_free(database->status);
    g_hash_table_destroy(database->candidates);
    g_ptr_array_unref(database->wanted);
    g_cond_clear(&database->answered);
    g_mutex_clear(&database->guard_lock);
    g_mutex_clear(&database->lock);
    g_free(database);
}

/* --- what is installed */

static bool same_file(const FileInfo *a, const FileInfo *b) {
    return a->inode == b->inode && a->device == b->device && a->size == b->size &&
           a->mtime_ns == b->mtime_ns && a->ctime_ns == b->ctime_ns;
}

/* dpkg replaces its database by renaming, so an unchanged file is an unchanged database. */
static bool load_status(RealHost *self, GError **error) {
    PackageDatabase *database = self->packages;
    FileInfo info;
    if (!real_stat(&self->host, STATUS_PATH, &info, error))
        return false;
    if (database->status != NULL && same_file(&info, &database->status_info))
        return true;
    g_autoptr(GBytes) content = real_read(&self->host, STATUS_PATH, LIMIT_FILE_CONTENT, error);
    if (content == NULL)
        return false;
    size_t size;
    const char *text = g_bytes_get_data(content, &size);
    dpkg_status_free(database->status);
    database->status = dpkg_status_parse(text, size);
    database->status_info = info;
    return true;
}

static bool no_dpkg(GError **error) {
    if (!g_error_matches(*error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND))
        return false;
    g_clear_error(error);
    g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_UNSUPPORTED,
                        "this host has no dpkg database (" STATUS_PATH ")");
    return false;
}

/* --- candidates */

static bool require_commands(RealHost *self, GError **error) {
    if (!real_host_has_root(self) || self->host.privileged)
        return true;
    g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_UNSUPPORTED,
                        "below a root directory only root can run apt (it needs chroot)");
    return false;
}

static bool run_tool(RealHost *self, char **argv, Cancel *cancel, HostCommandResult *ret_result,
                     GError **error) {
    g_autofree const char **words = g_memdup2(argv, (g_strv_length(argv) + 1) * sizeof *argv);
    HostCommand command = { .argv = words,
                            .env = apt_environment,
                            .input_fd = &self->packages->guard_fd,
                            .cancel = cancel };
    if (real_run(&self->host, &command, ret_result, error))
        return true;
    if (error != NULL && g_error_matches(*error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND))
        (*error)->code = STEAD_ERROR_UNSUPPORTED;
    return false;
}

static char *text_of(GBytes *bytes) {
    size_t size;
    const char *data = g_bytes_get_data(bytes, &size);
    return g_strndup(data != NULL ? data : "", size);
}

static void forget_old_candidates(RealHost *self) {
    PackageDatabase *database = self->packages;
    FileInfo now[G_N_ELEMENTS(database->apt_info)] = { 0 };
    bool same = true;
    for (size_t i = 0; i < G_N_ELEMENTS(apt_paths); i++)
        (void)real_stat(&self->host, apt_paths[i], &now[i], NULL); /* absent is all zero */
    now[G_N_ELEMENTS(apt_paths)] = database->status_info;
    for (size_t i = 0; i < G_N_ELEMENTS(now); i++)
        same = same && same_file(&now[i], &database->apt_info[i]);
    if (same)
        return;
    memcpy(database->apt_info, now, sizeof now);
    database->apt_generation++;
    g_hash_table_remove_all(database->candidates);
}

static void note_answer(void *data, const char *name, const char *candidate) {
    g_hash_table_insert(data, g_strdup(name), g_strdup(candidate != NULL ? candidate : ""));
}

/* apt leaves out the machine's own architecture. Who was asked for and not answered has none. */
static void note_candidates(PackageDatabase *database, GPtrArray *names, GHashTable *answers) {
    const char *own = dpkg_status_architecture(database->status);
    for (guint i = 0; i < names->len; i++) {
        const char *name = names->pdata[i];
        const char *colon = strchr(name, ':');
        const char *answer = g_hash_table_lookup(answers, name);
        bool is_own =
            colon != NULL && ((own != NULL && strcmp(colon + 1, own) == 0) ||
                              strcmp(colon + 1, "any") == 0 || strcmp(colon + 1, "native") == 0);
        if (answer == NULL && is_own) {
            g_autofree char *bare = g_strndup(name, (size_t)(colon - name));
            answer = g_hash_table_lookup(answers, bare);
            if (answer != NULL)
                note_answer(database->candidates, bare, answer);
        }
        note_answer(database->candidates, name, answer);
    }
}

static bool ask_apt(RealHost *self, GPtrArray *names, GHashTable *answers, GError **error) {
    g_autoptr(GPtrArray) words = g_ptr_array_new();
    static char program[] = "apt-cache", verb[] = "policy";
    g_ptr_array_add(words, program);
    g_ptr_array_add(words, verb);
    g_ptr_array_extend(words, names, NULL, NULL);
    g_ptr_array_add(words, NULL);
    g_auto(HostCommandResult) result = { 0 };
    if (!run_tool(self, (char **)words->pdata, NULL, &result, error))
        return false;
    g_autofree char *text = text_of(result.exit_status == 0 ? result.out : result.output);
    if (result.exit_status == 0) {
        apt_parse_policy(text, note_answer, answers);
        return true;
    }
    g_autofree char *reason = apt_failure(text);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED, "ask apt-cache for candidates: %s", reason);
    return false;
}

/* apt-cache takes a second however little it is asked: one call answers for all who wait, and the
 * first one for everything that is installed. Called and left with the lock. */
static bool ask_for_wanted(RealHost *self, GError **error) {
    PackageDatabase *database = self->packages;
    g_autoptr(GPtrArray) names = database->wanted;
    database->wanted = g_ptr_array_new_with_free_func(g_free);
    if (g_hash_table_size(database->candidates) == 0)
        dpkg_status_list_installed(database->status, names);
    unsigned generation = database->apt_generation;
    database->asking = true;
    g_mutex_unlock(&database->lock);
    g_autoptr(GHashTable) answers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    bool ok = ask_apt(self, names, answers, error);
    g_mutex_lock(&database->lock);
    database->asking = false;
    if (ok && generation == database->apt_generation)
        note_candidates(database, names, answers);
    g_cond_broadcast(&database->answered);
    return ok;
}

/* With the lock. */
static bool find_candidate(RealHost *self, const char *name, char **ret_candidate, GError **error) {
    PackageDatabase *database = self->packages;
    if (!require_commands(self, error))
        return false;
    forget_old_candidates(self);
    for (;;) {
        const char *candidate = g_hash_table_lookup(database->candidates, name);
        if (candidate != NULL) {
            *ret_candidate = *candidate != '\0' ? g_strdup(candidate) : NULL;
            return true;
        }
        g_ptr_array_add(database->wanted, g_strdup(name));
        if (database->asking)
            g_cond_wait(&database->answered, &database->lock);
        else if (!ask_for_wanted(self, error))
            return false;
    }
}

/* With the lock, as it is for all who ask. */
static bool wait_until_alone(RealHost *self, GError **error) {
    if (!self->packages->alone)
        self->packages->alone = package_guard_wait(self, NULL, error);
    return self->packages->alone;
}

bool real_package_query(Host *host, const char *name, bool want_candidate, PackageInfo *ret_info,
                        GError **error) {
    RealHost *self = real_host(host);
    PackageAction check = { .name = name, .verb = PACKAGE_INSTALL };
    g_autoptr(GError) problem = NULL;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&self->packages->lock);
    bool ok = apt_check_action(&check, &problem) && wait_until_alone(self, &problem) &&
              (load_status(self, &problem) || no_dpkg(&problem));
    if (ok) {
        dpkg_status_find(self->packages->status, name, ret_info);
        ok = !want_candidate || find_candidate(self, name, &ret_info->candidate, &problem);
    }
    if (ok)
        return true;
    package_info_clear(ret_info);
    g_propagate_prefixed_error(error, g_steal_pointer(&problem), "query package '%s': ", name);
    return false;
}

/* --- changing packages */

static bool configure_pending(RealHost *self, Cancel *cancel, GError **error) {
    static char program[] = "dpkg", all[] = "-a", configure[] = "--configure";
    static char fallback[] = "--force-confdef", old[] = "--force-confold";
    char *argv[] = { program, fallback, old, configure, all, NULL };
    g_auto(HostCommandResult) result = { 0 };
    g_message("an earlier dpkg was interrupted: running dpkg --configure -a first");
    if (!run_tool(self, argv, cancel, &result, error))
        return false;
    if (result.exit_status == 0)
        return true;
    g_autofree char *text = text_of(result.output);
    g_autofree char *reason = apt_failure(text);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED,
                "finish what an interrupted dpkg left (dpkg --configure -a): %s", reason);
    return false;
}

/* ret_output (may be NULL): what it printed; caller frees. */
static bool run_step(RealHost *self, char **argv, Cancel *cancel, char **ret_output,
                     GError **error) {
    for (bool again = false;; again = true) {
        g_auto(HostCommandResult) result = { 0 };
        if (!run_tool(self, argv, cancel, &result, error))
            return false;
        g_autofree char *text = text_of(result.output);
        if (result.exit_status == 0) {
            if (ret_output != NULL)
                *ret_output = g_steal_pointer(&text);
            return true;
        }
        if (!again && apt_wants_configure(text)) {
            if (!configure_pending(self, cancel, error))
                return false;
            continue;
        }
        g_autofree char *reason = apt_failure(text);
        g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_FAILED, reason);
        return false;
    }
}

/* Whatever needs a removed package goes with it as far as apt is concerned, and it does not ask. */
static bool check_removals(RealHost *self, const PackageAction *actions, size_t n_actions,
                           Cancel *cancel, GError **error) {
    g_auto(GStrv) simulation = apt_simulation(actions, n_actions);
    g_autofree char *output = NULL;
    if (simulation == NULL)
        return true;
    if (!run_step(self, simulation, cancel, &output, error))
        return false;
    g_autofree char *names = apt_unasked_removals(output, actions, n_actions);
    if (names != NULL)
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                    "it would remove other packages (%s); if that is wanted, declare them absent",
                    names);
    return names == NULL;
}

static bool run_all(RealHost *self, const PackageAction *actions, size_t n_actions, Cancel *cancel,
                    GError **error) {
    if (!require_commands(self, error))
        return false;
    for (size_t i = 0; i < n_actions; i++)
        if (!apt_check_action(&actions[i], error))
            return false;
    if (!check_removals(self, actions, n_actions, cancel, error))
        return false;
    g_autoptr(GPtrArray) commands = apt_commands(actions, n_actions);
    for (guint i = 0; i < commands->len; i++)
        if (!run_step(self, commands->pdata[i], cancel, NULL, error))
            return false;
    return true;
}

/* apt lets one of several at a time do its work; to the next stead they are one. */
static bool guard_enter(RealHost *self, Cancel *cancel, GError **error) {
    PackageDatabase *database = self->packages;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&database->guard_lock);
    g_autoptr(GError) problem = NULL;
    if (database->guard_users == 0)
        database->guard_fd = package_guard_take(self, cancel, &problem);
    if (problem != NULL) {
        g_propagate_error(error, g_steal_pointer(&problem));
        return false;
    }
    database->guard_users++;
    return true;
}

static void guard_leave(RealHost *self) {
    PackageDatabase *database = self->packages;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&database->guard_lock);
    if (--database->guard_users > 0)
        return;
    package_guard_release(database->guard_fd);
    database->guard_fd = -1;
}

bool real_package_apply(Host *host, const PackageAction *actions, size_t n_actions, Cancel *cancel,
                        GError **error) {
    RealHost *self = real_host(host);
    bool entered = guard_enter(self, cancel, error);
    bool ok = entered && run_all(self, actions, n_actions, cancel, error);
    if (entered)
        guard_leave(self);
    if (ok)
        return true;
    g_autofree char *what = apt_describe(actions, n_actions);
    g_prefix_error(error, "%s: ", what);
    return false;
}
