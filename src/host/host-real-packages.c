/* Packages of Debian's kind, as they are: dpkg's database is read here, candidates are asked of
 * apt. */
#include <string.h>

#include "base/limits.h"
#include "host/apt.h"
#include "host/package-database.h"
#include "host/package-guard.h"

#define MARKS_PATH "/var/lib/apt/extended_states"

static const char *const apt_paths[N_APT_PATHS] = {
    LISTS_PATH,
    "/etc/apt",
    "/etc/apt/sources.list",
    "/etc/apt/sources.list.d",
    "/etc/apt/preferences",
    "/etc/apt/preferences.d",
    "/etc/apt/apt.conf.d",
};

PackageDatabase *package_database_new(void) {
    PackageDatabase *database = g_new0(PackageDatabase, 1);
    database->guard_fd = -1;
    g_mutex_init(&database->lock);
    g_mutex_init(&database->changing);
    g_cond_init(&database->answered);
    database->candidates = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    database->dry_runs = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    database->wanted = g_ptr_array_new_with_free_func(g_free);
    return database;
}

void package_database_free(PackageDatabase *database) {
    if (database == NULL)
        return;
    dpkg_status_free(database->status);
    g_hash_table_destroy(database->candidates);
    g_hash_table_destroy(database->dry_runs);
    g_ptr_array_unref(database->wanted);
    g_cond_clear(&database->answered);
    g_mutex_clear(&database->changing);
    g_mutex_clear(&database->lock);
    g_free(database);
}

/* --- what is installed */

static bool same_file(const FileInfo *a, const FileInfo *b) {
    return a->inode == b->inode && a->device == b->device && a->size == b->size &&
           a->mtime_ns == b->mtime_ns && a->ctime_ns == b->ctime_ns;
}

/* Both files are replaced by renaming, so an unchanged file is an unchanged database. The second
 * one is missing where nothing was ever installed for the sake of others. */
static bool load_marks(RealHost *self, bool anew, GError **error) {
    PackageDatabase *database = self->packages;
    FileInfo info = { 0 };
    (void)real_stat(&self->host, MARKS_PATH, &info, NULL);
    if (!anew && same_file(&info, &database->marks_info))
        return true;
    g_autoptr(GBytes) content = NULL;
    if (info.inode != 0) {
        content = real_read(&self->host, MARKS_PATH, LIMIT_FILE_CONTENT, error);
        if (content == NULL)
            return false;
    }
    size_t size = 0;
    const char *text = content != NULL ? g_bytes_get_data(content, &size) : "";
    dpkg_status_mark(database->status, text, size);
    database->marks_info = info;
    return true;
}

/* The names of dpkg's notes, the oldest first; free with g_strfreev(). */
static char **list_updates(RealHost *self) {
    g_auto(GStrv) names = real_list(&self->host, UPDATES_PATH, NULL); /* sorted */
    g_autoptr(GStrvBuilder) updates = g_strv_builder_new();
    for (char **name = names; name != NULL && *name != NULL; name++)
        if ((*name)[strspn(*name, "0123456789")] == '\0')
            g_strv_builder_add(updates, *name);
    return g_strv_builder_end(updates);
}

/* dpkg notes each change in a file, and puts all of them into its database when it is done: what a
 * dpkg that was killed had begun is only there. */
static bool take_updates(RealHost *self, char **names, GError **error) {
    for (char **name = names; *name != NULL; name++) {
        g_autofree char *path = g_build_filename(UPDATES_PATH, *name, NULL);
        g_autoptr(GBytes) content = real_read(&self->host, path, LIMIT_FILE_CONTENT, error);
        if (content == NULL)
            return false;
        size_t size;
        const char *text = g_bytes_get_data(content, &size);
        dpkg_status_update(self->packages->status, text, size);
    }
    return true;
}

static bool load_status(RealHost *self, GError **error) {
    PackageDatabase *database = self->packages;
    g_autoptr(GBytes) content = real_read(&self->host, STATUS_PATH, LIMIT_FILE_CONTENT, error);
    if (content == NULL)
        return false;
    size_t size;
    const char *text = g_bytes_get_data(content, &size);
    dpkg_status_free(database->status);
    database->status = dpkg_status_parse(text, size);
    return true;
}

/* How both look from outside; the second one may be missing. */
static bool look_at_database(RealHost *self, FileInfo *ret_status, FileInfo *ret_updates,
                             GError **error) {
    *ret_updates = (FileInfo){ 0 };
    (void)real_stat(&self->host, UPDATES_PATH, ret_updates, NULL);
    return real_stat(&self->host, STATUS_PATH, ret_status, error);
}

/* With the notes of a dpkg that is not at work any more. One that is will say itself how it ends,
 * and one that has just ended has changed what is read here: *ret_again. */
static bool load_all(RealHost *self, bool *ret_again, GError **error) {
    PackageDatabase *database = self->packages;
    FileInfo status, updates;
    if (!look_at_database(self, &database->status_info, &database->updates_info, error) ||
        !load_status(self, error))
        return false;
    g_auto(GStrv) names = list_updates(self);
    database->has_updates = *names != NULL;
    *ret_again = false;
    if (!database->has_updates || dpkg_is_at_work(self))
        return true;
    g_autoptr(GError) problem = NULL;
    bool ok = take_updates(self, names, &problem);
    if (!look_at_database(self, &status, &updates, error))
        return false;
    *ret_again = !same_file(&status, &database->status_info) ||
                 !same_file(&updates, &database->updates_info);
    if (!ok && !*ret_again)
        g_propagate_error(error, g_steal_pointer(&problem));
    return ok || *ret_again;
}

bool package_database_load(RealHost *self, GError **error) {
    PackageDatabase *database = self->packages;
    FileInfo status, updates;
    if (!look_at_database(self, &status, &updates, error))
        return false;
    if (database->status != NULL && !database->has_updates &&
        same_file(&status, &database->status_info) && same_file(&updates, &database->updates_info))
        return load_marks(self, false, error);
    for (bool again = true; again;)
        if (!load_all(self, &again, error))
            return false;
    return load_marks(self, true, error);
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

void package_database_freshen(RealHost *self) {
    PackageDatabase *database = self->packages;
    FileInfo now[G_N_ELEMENTS(database->apt_info)] = { 0 };
    bool same = true;
    for (size_t i = 0; i < N_APT_PATHS; i++)
        (void)real_stat(&self->host, apt_paths[i], &now[i], NULL); /* absent is all zero */
    now[N_APT_PATHS] = database->status_info;
    now[N_APT_PATHS + 1] = database->marks_info;
    for (size_t i = 0; i < G_N_ELEMENTS(now); i++)
        same = same && same_file(&now[i], &database->apt_info[i]);
    if (same)
        return;
    memcpy(database->apt_info, now, sizeof now);
    database->apt_generation++;
    g_hash_table_remove_all(database->candidates);
    g_hash_table_remove_all(database->dry_runs);
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

/* Of one release only, which stands behind the name; *ret_name is the part before it. */
static bool is_of_release(const char *name, const char *release, char **ret_name) {
    const char *slash = strchr(name, '/');
    if (g_strcmp0(slash != NULL ? slash + 1 : NULL, release) != 0)
        return false;
    *ret_name = slash != NULL ? g_strndup(name, (size_t)(slash - name)) : g_strdup(name);
    return true;
}

typedef struct {
    GHashTable *answers;
    const char *release; /* NULL: as apt prefers it */
} Asked;

static void note_policy(void *data, const char *name, const char *candidate) {
    const Asked *asked = data;
    g_autofree char *whole =
        asked->release != NULL ? g_strconcat(name, "/", asked->release, NULL) : g_strdup(name);
    note_answer(asked->answers, whole, candidate);
}

static bool ask_release(RealHost *self, GPtrArray *names, const char *release, GHashTable *answers,
                        GError **error) {
    g_autoptr(GPtrArray) words = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(words, g_strdup("apt-cache"));
    g_ptr_array_add(words, g_strdup("policy"));
    if (release != NULL) {
        g_ptr_array_add(words, g_strdup("-o"));
        g_ptr_array_add(words, g_strconcat("APT::Default-Release=", release, NULL));
    }
    for (guint i = 0; i < names->len; i++) {
        char *name = NULL;
        if (is_of_release(names->pdata[i], release, &name))
            g_ptr_array_add(words, name);
    }
    g_ptr_array_add(words, NULL);
    g_auto(HostCommandResult) result = { 0 };
    if (!apt_run(self, (char **)words->pdata, apt_environment(NULL, 0), NULL, &result, error))
        return false;
    g_autofree char *text = apt_text(result.exit_status == 0 ? result.out : result.output);
    Asked asked = { answers, release };
    if (result.exit_status == 0) {
        apt_parse_policy(text, note_policy, &asked);
        return true;
    }
    if (strstr(text, "is invalid for APT::Default-Release") != NULL)
        return true; /* no source has that release, so none offers anything in it */
    g_autofree char *reason = apt_failure(text);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED, "ask apt-cache for candidates: %s", reason);
    return false;
}

static bool ask_apt(RealHost *self, GPtrArray *names, GHashTable *answers, GError **error) {
    g_autoptr(GHashTable) releases = g_hash_table_new(g_str_hash, g_str_equal);
    bool plain = false;
    for (guint i = 0; i < names->len; i++) {
        char *slash = strchr(names->pdata[i], '/');
        plain |= slash == NULL;
        if (slash != NULL)
            g_hash_table_add(releases, slash + 1);
    }
    if (plain && !ask_release(self, names, NULL, answers, error))
        return false;
    GHashTableIter iter;
    void *release;
    g_hash_table_iter_init(&iter, releases);
    while (g_hash_table_iter_next(&iter, &release, NULL))
        if (!ask_release(self, names, release, answers, error))
            return false;
    return true;
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
    if (!apt_is_usable(self, error))
        return false;
    package_database_freshen(self);
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

static bool check_name(const char *name, GError **error) {
    g_autofree char *bare = g_strndup(name, strcspn(name, "/"));
    const char *release = strchr(name, '/');
    PackageAction check = { .name = bare,
                            .verb = PACKAGE_INSTALL,
                            .release = release != NULL ? release + 1 : NULL };
    return apt_check_action(&check, error);
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
    g_autoptr(GError) problem = NULL;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&self->packages->lock);
    bool ok = check_name(name, &problem) && wait_until_alone(self, &problem) &&
              (package_database_load(self, &problem) || no_dpkg(&problem));
    if (ok) {
        g_autofree char *bare = g_strndup(name, strcspn(name, "/"));
        dpkg_status_find(self->packages->status, bare, ret_info);
        ok = !want_candidate || find_candidate(self, name, &ret_info->candidate, &problem);
    }
    if (ok)
        return true;
    package_info_clear(ret_info);
    g_propagate_prefixed_error(error, g_steal_pointer(&problem), "query package '%s': ", name);
    return false;
}
