/* Changing packages: what would happen, and doing it, with what has to come first. */
#include <string.h>

#include "host/apt-job.h"
#include "host/apt.h"

/* --- dry runs */

static unsigned database_generation(RealHost *self) {
    PackageDatabase *database = self->packages;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&database->lock);
    (void)package_database_load(self, NULL); /* who cannot read it is told by the next question */
    package_database_freshen(self);
    return database->apt_generation;
}

static char *known_dry_run(RealHost *self, const char *line) {
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&self->packages->lock);
    return g_strdup(g_hash_table_lookup(self->packages->dry_runs, line));
}

static bool names_file(const PackageAction *actions, size_t n_actions) {
    for (size_t i = 0; i < n_actions; i++)
        if (actions[i].file != NULL)
            return true;
    return false;
}

static bool dry_run_failed(const char *text, GError **error) {
    bool open = apt_wants_repair(text) || strstr(text, APT_NO_ARCHIVE) != NULL ||
                strstr(text, "E: Unable to locate package") != NULL ||
                strstr(text, "has no installation candidate") != NULL ||
                strstr(text, "is invalid for APT::Default-Release") != NULL ||
                strstr(text, "' was not found") != NULL;
    g_autofree char *reason = apt_failure(text);
    g_set_error_literal(error, STEAD_ERROR, open ? STEAD_ERROR_UNPREDICTABLE : STEAD_ERROR_FAILED,
                        reason);
    return false;
}

/* A dry run takes half a second, and is wanted twice: to foresee, and before it is done. */
static char *dry_run(AptJob *job, char **argv, bool may_know, GError **error) {
    RealHost *self = job->self;
    unsigned generation = database_generation(self);
    g_autofree char *line = g_strjoinv(" ", argv);
    char *known = may_know ? known_dry_run(self, line) : NULL;
    g_auto(HostCommandResult) result = { 0 };
    if (known != NULL || !apt_run(self, argv, job->env, job->cancel, &result, error))
        return known;
    g_autofree char *text = apt_text(result.output);
    if (result.exit_status != 0) {
        (void)dry_run_failed(text, error);
        return NULL;
    }
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&self->packages->lock);
    if (generation == self->packages->apt_generation)
        g_hash_table_replace(self->packages->dry_runs, g_steal_pointer(&line), g_strdup(text));
    return g_steal_pointer(&text);
}

static bool foresee(AptJob *job, const PackageAction *actions, size_t n_actions, bool autoremove,
                    GPtrArray *effects, GError **error) {
    g_auto(GStrv) argv = apt_simulation(actions, n_actions, autoremove);
    if (argv == NULL)
        return true;
    g_autofree char *text = dry_run(job, argv, !names_file(actions, n_actions), error);
    if (text == NULL)
        return false;
    apt_parse_simulation(text, actions, n_actions, effects);
    return true;
}

static bool has_effect(const GPtrArray *effects, const PackageEffect *effect) {
    for (guint i = 0; i < effects->len; i++) {
        const PackageEffect *other = effects->pdata[i];
        if (other->what == effect->what && strcmp(other->name, effect->name) == 0)
            return true;
    }
    return false;
}

/* What goes only when asked for what nobody needs, nobody needs. */
static bool foresee_all(AptJob *job, const PackageAction *actions, size_t n_actions,
                        GPtrArray *effects, GError **error) {
    g_autoptr(GPtrArray) more = package_effects_new();
    if (!foresee(job, actions, n_actions, false, effects, error) ||
        !foresee(job, actions, n_actions, true, more, error))
        return false;
    for (guint i = 0; i < more->len; i++) {
        PackageEffect *effect = more->pdata[i];
        effect->unneeded = effect->what == PACKAGE_GOES;
        if (!has_effect(effects, effect))
            package_effects_add(effects, effect);
    }
    return true;
}

static bool check_actions(RealHost *self, const PackageAction *actions, size_t n_actions,
                          GError **error) {
    if (!apt_is_usable(self, error))
        return false;
    for (size_t i = 0; i < n_actions; i++)
        if (!apt_check_action(&actions[i], error))
            return false;
    return true;
}

bool real_package_foresee(Host *host, const PackageAction *actions, size_t n_actions,
                          GPtrArray *effects, Cancel *cancel, GError **error) {
    AptJob job = apt_job_new(real_host(host), actions, n_actions, cancel);
    if (check_actions(job.self, actions, n_actions, error) &&
        foresee_all(&job, actions, n_actions, effects, error))
        return true;
    g_autofree char *what = apt_describe(actions, n_actions);
    g_prefix_error(error, "%s: ", what);
    return false;
}

/* --- transactions */

static bool removes(const PackageAction *actions, size_t n_actions) {
    for (size_t i = 0; i < n_actions; i++)
        if (actions[i].verb == PACKAGE_REMOVE || actions[i].verb == PACKAGE_PURGE)
            return true;
    return false;
}

/* Whatever needs a removed package goes with it as far as apt is concerned, and it does not ask. */
static bool check_removals(AptJob *job, const PackageAction *actions, size_t n_actions,
                           GError **error) {
    g_autoptr(GPtrArray) effects = package_effects_new();
    if (!removes(actions, n_actions) || apt_allows_removal(actions, n_actions))
        return true;
    if (!foresee_all(job, actions, n_actions, effects, error))
        return false;
    g_autoptr(GString) names = g_string_new(NULL);
    for (guint i = 0; i < effects->len; i++) {
        const PackageEffect *effect = effects->pdata[i];
        if (effect->what == PACKAGE_GOES && !effect->unneeded)
            g_string_append_printf(names, "%s%s", names->len > 0 ? ", " : "", effect->name);
    }
    if (names->len > 0)
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                    "it would remove other packages (%s); if that is wanted, set force = true, or "
                    "declare them absent",
                    names->str);
    return names->len == 0;
}

static bool is_done(const DpkgStatus *status, const PackageAction *action) {
    PackageInfo info;
    dpkg_status_find(status, action->name, &info);
    bool there = info.version != NULL && !info.broken, away = info.version == NULL && !info.broken;
    bool exact = action->version == NULL || g_str_has_suffix(action->version, "*") ||
                 g_strcmp0(info.version, action->version) == 0;
    bool gone = away && !info.config_files;
    package_info_clear(&info);
    switch (action->verb) {
    case PACKAGE_INSTALL:
    case PACKAGE_VERSION:
        return there && exact;
    case PACKAGE_UPGRADE: /* without a version only apt knows to which */
        return there && exact && action->version != NULL;
    case PACKAGE_PURGE:
        return gone;
    case PACKAGE_REMOVE:
        return away;
    case PACKAGE_HOLD:
    case PACKAGE_UNHOLD:
    case PACKAGE_MARK_MANUAL:
    case PACKAGE_MARK_AUTO:
        return false;
    }
    g_assert_not_reached();
}

/* Those from the one verb to the other, of what can be seen in the database. */
static bool are_done(const AptJob *job, const PackageAction *actions, size_t n_actions,
                     PackageVerb first, PackageVerb last) {
    PackageDatabase *database = job->self->packages;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&database->lock);
    bool loaded = false;
    for (size_t i = 0; i < n_actions; i++) {
        if (actions[i].verb < first || actions[i].verb > last)
            continue;
        loaded = loaded || package_database_load(job->self, NULL);
        if (!loaded || !is_done(database->status, &actions[i]))
            return false;
    }
    return true;
}

static bool all_done(const AptJob *job, const PackageAction *actions, size_t n_actions) {
    return are_done(job, actions, n_actions, 0, PACKAGE_PURGE);
}

/* Whether a version that was asked for is there; what else a command had to do is not looked at. */
static bool none_open(const AptJob *job, const PackageAction *actions, size_t n_actions) {
    return are_done(job, actions, n_actions, PACKAGE_VERSION, PACKAGE_VERSION);
}

/* apt fails whenever some package cannot be configured, also one that nobody asked about. */
static bool is_done_nevertheless(const AptJob *job, char **argv, const PackageAction *actions,
                                 size_t n_actions, const GError *problem) {
    if (n_actions == 0 || strcmp(argv[0], "apt-get") != 0 ||
        !g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_FAILED) ||
        !all_done(job, actions, n_actions))
        return false;
    g_message("apt has done what it was told, and complains about something else: %s",
              problem->message);
    return true;
}

/* A dpkg that was killed late needs no more than that. What cannot be configured may be just what
 * is to be installed again: apt will say if not. */
static bool finish_interrupted(AptJob *job, GError **error) {
    PackageDatabase *database = job->self->packages;
    g_mutex_lock(&database->lock);
    job->configured = package_database_load(job->self, NULL) && database->has_updates &&
                      !dpkg_is_at_work(job->self);
    g_mutex_unlock(&database->lock);
    job->mended |= job->configured;
    g_autoptr(GError) problem = NULL;
    if (!job->configured || apt_job_configure(job, &problem))
        return true;
    if (g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_FAILED)) {
        g_message("%s", problem->message);
        return true;
    }
    g_propagate_error(error, g_steal_pointer(&problem));
    return false;
}

/* Those that a verb is to remove although their files are incomplete: dpkg refuses that. */
static char **find_incomplete(const AptJob *job, const PackageAction *actions, size_t n_actions,
                              PackageVerb verb) {
    PackageDatabase *database = job->self->packages;
    g_autoptr(GStrvBuilder) names = g_strv_builder_new();
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&database->lock);
    bool known = package_database_load(job->self, NULL);
    for (size_t i = 0; known && i < n_actions; i++) {
        PackageInfo info;
        dpkg_status_find(database->status, actions[i].name, &info);
        if (actions[i].verb == verb && info.reinstall)
            g_strv_builder_add(names, actions[i].name);
        package_info_clear(&info);
    }
    return g_strv_builder_end(names);
}

/* A dpkg that was killed while it unpacked leaves files that it knows nothing of: they go with the
 * whole package, so that one comes first. Where nobody has it any more, what is known goes. */
static bool clear_incomplete(AptJob *job, const PackageAction *actions, size_t n_actions,
                             PackageVerb verb, GError **error) {
    g_auto(GStrv) names = find_incomplete(job, actions, n_actions, verb);
    if (*names == NULL)
        return true;
    g_autofree char *list = g_strjoinv(", ", names);
    g_auto(GStrv) again = apt_reinstall((const char *const *)names);
    g_auto(GStrv) removal =
        dpkg_remove_incomplete((const char *const *)names, verb == PACKAGE_PURGE);
    g_autoptr(GError) problem = NULL;
    g_message("an interrupted dpkg left parts of %s: installing it whole before it is removed",
              list);
    job->mended = true;
    if (apt_job_run(job, again, &problem))
        return true;
    if (!g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_FAILED)) {
        g_propagate_error(error, g_steal_pointer(&problem));
        return false;
    }
    g_message("that cannot be (%s): removing what dpkg knows of %s", problem->message, list);
    return apt_job_run(job, removal, error);
}

/* An apt that found nothing to do although there is something went by its old cache. */
static bool run_command(AptJob *job, char **argv, const PackageAction *actions, size_t n_actions,
                        GError **error) {
    if (!apt_job_run(job, argv, error))
        return false;
    if (strcmp(argv[0], "apt-get") != 0 || none_open(job, actions, n_actions))
        return true;
    g_auto(GStrv) afresh = apt_afresh(argv);
    return apt_job_run(job, afresh, error);
}

static bool run_commands(AptJob *job, const PackageAction *actions, size_t n_actions,
                         GError **error) {
    g_autoptr(GPtrArray) commands = apt_commands(actions, n_actions);
    for (guint i = 0; i < commands->len; i++) {
        g_autoptr(GError) problem = NULL;
        if (run_command(job, commands->pdata[i], actions, n_actions, &problem) ||
            is_done_nevertheless(job, commands->pdata[i], actions, n_actions, problem))
            continue;
        g_propagate_error(error, g_steal_pointer(&problem));
        return false;
    }
    return true;
}

static bool mend_first(AptJob *job, const PackageAction *actions, size_t n_actions,
                       GError **error) {
    return finish_interrupted(job, error) &&
           clear_incomplete(job, actions, n_actions, PACKAGE_REMOVE, error) &&
           clear_incomplete(job, actions, n_actions, PACKAGE_PURGE, error);
}

/* Leaves out what is done already: apt may not even know it any more. Returns how many are left. */
static size_t drop_done(const AptJob *job, PackageAction *actions, size_t n_actions) {
    size_t n = 0;
    for (size_t i = 0; i < n_actions; i++)
        if (actions[i].verb > PACKAGE_PURGE || !all_done(job, &actions[i], 1))
            actions[n++] = actions[i];
    return n;
}

static bool change(AptJob *job, const PackageAction *actions, size_t n_actions, GError **error) {
    bool ok = check_removals(job, actions, n_actions, error);
    if (!ok && g_error_matches(*error, STEAD_ERROR, STEAD_ERROR_UNPREDICTABLE)) {
        g_clear_error(error); /* in the way is what an earlier run left */
        job->repaired = true;
        ok = apt_job_repair(job, error) && check_removals(job, actions, n_actions, error);
    }
    return ok && run_commands(job, actions, n_actions, error);
}

static bool run_all(AptJob *job, const PackageAction *actions, size_t n_actions, GError **error) {
    if (!check_actions(job->self, actions, n_actions, error) || !apt_job_begin(job, error))
        return false;
    g_autofree PackageAction *open = g_memdup2(actions, n_actions * sizeof *actions);
    bool ok = mend_first(job, actions, n_actions, error);
    size_t n_open = ok && job->mended ? drop_done(job, open, n_actions) : n_actions;
    ok = ok && (n_open == 0 || change(job, open, n_open, error));
    apt_job_end(job);
    return ok;
}

bool real_package_apply(Host *host, const PackageAction *actions, size_t n_actions, Cancel *cancel,
                        GError **error) {
    AptJob job = apt_job_new(real_host(host), actions, n_actions, cancel);
    g_autoptr(GError) problem = NULL;
    if (run_all(&job, actions, n_actions, &problem))
        return true;
    g_autofree char *what = apt_describe(actions, n_actions);
    g_propagate_prefixed_error(error, g_steal_pointer(&problem), "%s: ", what);
    return false;
}
