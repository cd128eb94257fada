/* Changing packages: runs apt-get and dpkg, waits for others who do, and mends what was left. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/suggest.h"
#include "host/apt.h"
#include "host/package-database.h"
#include "host/package-guard.h"

#define LOCK_TIMEOUT_US   (300 * G_USEC_PER_SEC)
#define LOCK_POLL_MS      200
#define LOCK_TELL_US      (30 * G_USEC_PER_SEC) /* how often the wait is told of */
#define REFRESH_AGAIN_US  (300 * G_USEC_PER_SEC)
#define HOLDER_MAX_LENGTH 120 /* bytes of its command line */
#define CACHE_TRIES       5   /* of a command whose cache another apt took away */

bool apt_is_usable(RealHost *self, GError **error) {
    if (!real_host_has_root(self) || self->host.privileged)
        return true;
    g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_UNSUPPORTED,
                        "below a root directory only root can run apt (it needs chroot)");
    return false;
}

char *apt_text(GBytes *bytes) {
    size_t size;
    const char *data = g_bytes_get_data(bytes, &size);
    return g_strndup(data != NULL ? data : "", size);
}

/* Every apt writes a cache of the lists that has no lock, and one that updates them takes away what
 * another one is about to rename. Nothing was begun then. */
static bool lost_its_cache(const HostCommandResult *result) {
    if (result->exit_status == 0)
        return false;
    g_autofree char *text = apt_text(result->output);
    return apt_wants_cache(text);
}

bool apt_run(RealHost *self, char **argv, const char *const *env, Cancel *cancel,
             HostCommandResult *ret_result, GError **error) {
    g_autofree const char **words = g_memdup2(argv, (g_strv_length(argv) + 1) * sizeof *argv);
    HostCommand command = { .argv = words, .env = env, .cancel = cancel };
    /* Others only ask, meanwhile: the guard may be released at any moment. */
    if (g_atomic_pointer_get(&self->packages->changer) == g_thread_self())
        command.input_fd = &self->packages->guard_fd;
    for (int tries = 1; real_run(&self->host, &command, ret_result, error); tries++) {
        if (tries == CACHE_TRIES || !lost_its_cache(ret_result))
            return true;
        host_command_result_clear(ret_result);
    }
    if (error != NULL && g_error_matches(*error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND))
        (*error)->code = STEAD_ERROR_UNSUPPORTED;
    return false;
}

/* --- who else changes packages */

typedef struct {
    const char *path; /* static */
    pid_t pid;        /* 0: not to be seen from here */
} Holder;

static bool holds(RealHost *self, const char *path, Holder *ret_holder) {
    g_autofree char *real_path = real_local_path(self, path);
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    int fd = open(real_path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return false; /* without such a file nobody holds it */
    bool held = fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    (void)close(fd); /* no lock of ours is lost with it: we never take any */
    *ret_holder = (Holder){ path, MAX(lock.l_pid, 0) };
    return held;
}

static bool find_holder(RealHost *self, Holder *ret_holder) {
    static const char *const locks[] = { "/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock",
                                         "/var/cache/apt/archives/lock", LISTS_PATH "/lock" };
    for (size_t i = 0; i < G_N_ELEMENTS(locks); i++)
        if (holds(self, locks[i], ret_holder))
            return true;
    return false;
}

bool dpkg_is_at_work(RealHost *self) {
    Holder holder;
    return holds(self, "/var/lib/dpkg/lock", &holder);
}

/* "process 123 (apt-get upgrade)" */
static char *describe_holder(const Holder *holder) {
    if (holder->pid == 0)
        return g_strdup("another process");
    g_autofree char *path = g_strdup_printf("/proc/%d/cmdline", (int)holder->pid);
    g_autofree char *command = NULL;
    gsize size = 0;
    if (!g_file_get_contents(path, &command, &size, NULL) || size == 0)
        return g_strdup_printf("process %d", (int)holder->pid);
    for (gsize i = 0; i + 1 < size; i++)
        if (!g_ascii_isprint(command[i]))
            command[i] = ' ';
    if (size > HOLDER_MAX_LENGTH)
        command[HOLDER_MAX_LENGTH] = '\0';
    return g_strdup_printf("process %d (%s)", (int)holder->pid, g_strstrip(command));
}

/* One run of stead's, of several commands. */
typedef struct {
    RealHost *self;
    const char *const *env;
    Cancel *cancel;
    int64_t began, lock_timeout;          /* us */
    bool configured, repaired, refreshed; /* done already: not again */
    bool mended;                          /* what an earlier dpkg left, maybe all that is wanted */
} Job;

static bool take_a_break(const Job *job, GError **error) {
    int fd = job->cancel != NULL ? cancel_fd(job->cancel) : -1;
    struct pollfd wait = { .fd = fd, .events = POLLIN };
    (void)poll(&wait, 1, LOCK_POLL_MS);
    return cancel_check(job->cancel, error);
}

static bool give_up(const Job *job, const Holder *holder, GError **error) {
    g_autofree char *who = describe_holder(holder);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED,
                "waited %g s for %s, which holds '%s': let it finish or end it, or set a longer "
                "lock_timeout",
                (double)job->lock_timeout / G_USEC_PER_SEC, who, holder->path);
    return false;
}

static bool wait_for_lock(const Job *job, GError **error) {
    Holder holder, told = { 0 };
    for (int64_t told_at = 0; find_holder(job->self, &holder);) {
        int64_t now = g_get_monotonic_time();
        if (now - job->began >= job->lock_timeout)
            return give_up(job, &holder, error);
        if (holder.pid != told.pid || now - told_at >= LOCK_TELL_US) {
            g_autofree char *who = describe_holder(&holder);
            g_message("wait for %s, which changes packages ('%s' is locked), for at most %g s", who,
                      holder.path,
                      (double)(job->lock_timeout - (now - job->began)) / G_USEC_PER_SEC);
            told = holder;
            told_at = now;
        }
        if (!take_a_break(job, error))
            return false;
    }
    return true;
}

/* Only one transaction of our own at a time: it would have to wait for itself. */
static bool begin_change(Job *job, GError **error) {
    PackageDatabase *database = job->self->packages;
    g_autoptr(GError) problem = NULL;
    while (!g_mutex_trylock(&database->changing))
        if (!take_a_break(job, error))
            return false;
    database->guard_fd = package_guard_take(job->self, job->cancel, &problem);
    job->began = g_get_monotonic_time();
    if (problem == NULL) {
        g_atomic_pointer_set(&database->changer, g_thread_self());
        return true;
    }
    g_mutex_unlock(&database->changing);
    g_propagate_error(error, g_steal_pointer(&problem));
    return false;
}

static void end_change(const Job *job) {
    PackageDatabase *database = job->self->packages;
    g_atomic_pointer_set(&database->changer, NULL);
    package_guard_release(database->guard_fd);
    database->guard_fd = -1;
    g_mutex_unlock(&database->changing);
}

static Job job_new(RealHost *self, const PackageAction *actions, size_t n_actions, Cancel *cancel) {
    Job job = { .self = self,
                .env = apt_environment(actions, n_actions),
                .cancel = cancel,
                .began = g_get_monotonic_time() };
    for (size_t i = 0; i < n_actions; i++)
        job.lock_timeout = MAX(job.lock_timeout, (int64_t)actions[i].lock_timeout);
    if (job.lock_timeout == 0)
        job.lock_timeout = LOCK_TIMEOUT_US;
    return job;
}

/* --- commands, and what they need first */

static bool run_plain(const Job *job, char **argv, const char *what, GError **error) {
    g_auto(HostCommandResult) result = { 0 };
    if (!wait_for_lock(job, error) ||
        !apt_run(job->self, argv, job->env, job->cancel, &result, error))
        return false;
    if (result.exit_status == 0)
        return true;
    g_autofree char *text = apt_text(result.output);
    g_autofree char *reason = apt_failure(text);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED, "%s: %s", what, reason);
    return false;
}

static bool configure_pending(const Job *job, GError **error) {
    static char program[] = "dpkg", all[] = "-a", configure[] = "--configure";
    static char fallback[] = "--force-confdef", old[] = "--force-confold";
    char *argv[] = { program, fallback, old, configure, all, NULL };
    g_message("an earlier dpkg was interrupted: running dpkg --configure -a first");
    return run_plain(job, argv, "finish what an interrupted dpkg left (dpkg --configure -a)",
                     error);
}

static bool repair(const Job *job, GError **error) {
    g_auto(GStrv) argv = apt_repair();
    g_message("installed packages lack others that they need: running apt-get --fix-broken "
              "install first");
    return run_plain(job, argv,
                     "give installed packages what they need (apt-get --fix-broken "
                     "install)",
                     error);
}

static bool refresh_all(const Job *job, GError **error) {
    g_auto(GStrv) argv = apt_update(NULL);
    g_autoptr(GError) problem = NULL;
    g_message("a package file is not at its mirror any more: running apt-get update first");
    if (run_plain(job, argv, "fetch the lists of packages", &problem) ||
        g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_FAILED))
        return true; /* the lists that matter may have come: what is still missing is told then */
    g_propagate_error(error, g_steal_pointer(&problem));
    return false;
}

/* Sets *ret_again when something was mended that text, which a command printed, complains about. */
static bool mend(Job *job, const char *text, bool *ret_again, GError **error) {
    *ret_again = true;
    if (apt_wants_lock(text)) {
        Holder holder;
        if (find_holder(job->self, &holder) ||
            g_get_monotonic_time() - job->began < job->lock_timeout)
            return take_a_break(job, error);
    }
    if (!job->configured && apt_wants_configure(text))
        return job->configured = true, configure_pending(job, error);
    if (!job->repaired && apt_wants_repair(text))
        return job->repaired = true, repair(job, error);
    if (!job->refreshed && apt_wants_update(text))
        return job->refreshed = true, refresh_all(job, error);
    *ret_again = false;
    return true;
}

/* ret_output (may be NULL): what it printed; caller frees. */
static bool run_step(Job *job, char **argv, GError **error) {
    for (bool again = true; again;) {
        g_auto(HostCommandResult) result = { 0 };
        if (!wait_for_lock(job, error) ||
            !apt_run(job->self, argv, job->env, job->cancel, &result, error))
            return false;
        if (result.exit_status == 0)
            return true;
        g_autofree char *text = apt_text(result.output);
        if (!mend(job, text, &again, error))
            return false;
        if (again)
            continue;
        g_autofree char *reason = apt_failure(text);
        g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_FAILED, reason);
    }
    return false;
}

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
static char *dry_run(Job *job, char **argv, bool may_know, GError **error) {
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

static bool foresee(Job *job, const PackageAction *actions, size_t n_actions, bool autoremove,
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
static bool foresee_all(Job *job, const PackageAction *actions, size_t n_actions,
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
    Job job = job_new(real_host(host), actions, n_actions, cancel);
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
static bool check_removals(Job *job, const PackageAction *actions, size_t n_actions,
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

/* Of what can be seen in the database. */
static bool all_done(const Job *job, const PackageAction *actions, size_t n_actions) {
    PackageDatabase *database = job->self->packages;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&database->lock);
    if (!package_database_load(job->self, NULL))
        return false;
    for (size_t i = 0; i < n_actions; i++)
        if (actions[i].verb <= PACKAGE_PURGE && !is_done(database->status, &actions[i]))
            return false;
    return true;
}

/* apt fails whenever some package cannot be configured, also one that nobody asked about. */
static bool is_done_nevertheless(const Job *job, char **argv, const PackageAction *actions,
                                 size_t n_actions, const GError *problem) {
    if (n_actions == 0 || strcmp(argv[0], "apt-get") != 0 ||
        !g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_FAILED) ||
        !all_done(job, actions, n_actions))
        return false;
    g_message("apt has done what it was told, and complains about something else: %s",
              problem->message);
    return true;
}

/* A dpkg that was killed late needs no more than that. */
static bool finish_interrupted(Job *job, GError **error) {
    PackageDatabase *database = job->self->packages;
    g_mutex_lock(&database->lock);
    job->configured = package_database_load(job->self, NULL) && database->has_updates &&
                      !dpkg_is_at_work(job->self);
    g_mutex_unlock(&database->lock);
    job->mended |= job->configured;
    return !job->configured || configure_pending(job, error);
}

/* Those that a verb is to remove although their files are incomplete: dpkg refuses that. */
static char **find_incomplete(const Job *job, const PackageAction *actions, size_t n_actions,
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
static bool clear_incomplete(Job *job, const PackageAction *actions, size_t n_actions,
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
    if (run_step(job, again, &problem))
        return true;
    if (!g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_FAILED)) {
        g_propagate_error(error, g_steal_pointer(&problem));
        return false;
    }
    g_message("that cannot be (%s): removing what dpkg knows of %s", problem->message, list);
    return run_step(job, removal, error);
}

static bool run_commands(Job *job, const PackageAction *actions, size_t n_actions, GError **error) {
    g_autoptr(GPtrArray) commands = apt_commands(actions, n_actions);
    for (guint i = 0; i < commands->len; i++) {
        g_autoptr(GError) problem = NULL;
        if (run_step(job, commands->pdata[i], &problem) ||
            is_done_nevertheless(job, commands->pdata[i], actions, n_actions, problem))
            continue;
        g_propagate_error(error, g_steal_pointer(&problem));
        return false;
    }
    return true;
}

static bool mend_first(Job *job, const PackageAction *actions, size_t n_actions, GError **error) {
    return finish_interrupted(job, error) &&
           clear_incomplete(job, actions, n_actions, PACKAGE_REMOVE, error) &&
           clear_incomplete(job, actions, n_actions, PACKAGE_PURGE, error);
}

/* Leaves out what is done already: apt may not even know it any more. Returns how many are left. */
static size_t drop_done(const Job *job, PackageAction *actions, size_t n_actions) {
    size_t n = 0;
    for (size_t i = 0; i < n_actions; i++)
        if (actions[i].verb > PACKAGE_PURGE || !all_done(job, &actions[i], 1))
            actions[n++] = actions[i];
    return n;
}

static bool change(Job *job, const PackageAction *actions, size_t n_actions, GError **error) {
    bool ok = check_removals(job, actions, n_actions, error);
    if (!ok && g_error_matches(*error, STEAD_ERROR, STEAD_ERROR_UNPREDICTABLE)) {
        g_clear_error(error); /* in the way is what an earlier run left */
        job->repaired = true;
        ok = repair(job, error) && check_removals(job, actions, n_actions, error);
    }
    return ok && run_commands(job, actions, n_actions, error);
}

static bool run_all(Job *job, const PackageAction *actions, size_t n_actions, GError **error) {
    if (!check_actions(job->self, actions, n_actions, error) || !begin_change(job, error))
        return false;
    g_autofree PackageAction *open = g_memdup2(actions, n_actions * sizeof *actions);
    bool ok = mend_first(job, actions, n_actions, error);
    size_t n_open = ok && job->mended ? drop_done(job, open, n_actions) : n_actions;
    ok = ok && (n_open == 0 || change(job, open, n_open, error));
    end_change(job);
    return ok;
}

bool real_package_apply(Host *host, const PackageAction *actions, size_t n_actions, Cancel *cancel,
                        GError **error) {
    Job job = job_new(real_host(host), actions, n_actions, cancel);
    g_autoptr(GError) problem = NULL;
    if (run_all(&job, actions, n_actions, &problem))
        return true;
    g_autofree char *what = apt_describe(actions, n_actions);
    g_propagate_prefixed_error(error, g_steal_pointer(&problem), "%s: ", what);
    return false;
}

/* --- lists */

/* The latest change of any of them, by the clock of this machine: what a mirror says of its files
 * does not count. 0: there is nothing. */
static int64_t latest_change(RealHost *self, const char *const *paths) {
    int64_t latest = 0;
    for (; *paths != NULL; paths++) {
        FileInfo info;
        if (real_stat(&self->host, *paths, &info, NULL))
            latest = MAX(latest, info.ctime_ns);
        g_auto(GStrv) names = real_list(&self->host, *paths, NULL);
        for (char **name = names; name != NULL && *name != NULL; name++) {
            g_autofree char *path = g_build_filename(*paths, *name, NULL);
            if (real_stat(&self->host, path, &info, NULL))
                latest = MAX(latest, info.ctime_ns);
        }
    }
    return latest;
}

static int64_t sources_change(RealHost *self) {
    static const char *const sources[] = { "/etc/apt/sources.list", "/etc/apt/sources.list.d",
                                           NULL };
    return latest_change(self, sources);
}

static bool has_reason(RealHost *self, PackageRefresh why) {
    static const char *const lists[] = { LISTS_PATH, NULL };
    PackageDatabase *database = self->packages;
    int64_t sources = sources_change(self);
    if (why == REFRESH_STALE)
        return sources > latest_change(self, lists);
    bool recent = database->refreshed_at != 0 &&
                  g_get_monotonic_time() - database->refreshed_at < REFRESH_AGAIN_US;
    return why == REFRESH_ALWAYS || !recent || sources != database->refreshed_source;
}

/* What was fetched may have been there before: the directory says when somebody looked. */
static void note_refresh(RealHost *self) {
    g_autofree char *path = real_local_path(self, LISTS_PATH);
    (void)utimensat(AT_FDCWD, path, NULL, 0); /* else it is fetched once more */
    self->packages->refreshed_at = g_get_monotonic_time();
    self->packages->refreshed_source = sources_change(self);
}

bool real_package_refresh(Host *host, PackageRefresh why, const char *path, bool *ret_done,
                          Cancel *cancel, GError **error) {
    Job job = job_new(real_host(host), NULL, 0, cancel);
    RealHost *self = job.self;
    if (!apt_is_usable(self, error) || !begin_change(&job, error))
        return false;
    bool ok = true;
    if (path != NULL || has_reason(self, why)) {
        g_auto(GStrv) argv = apt_update(path);
        *ret_done = true;
        ok = run_step(&job, argv, error);
        if (path == NULL)
            note_refresh(self);
    }
    end_change(&job);
    if (!ok)
        g_prefix_error(error, "fetch the lists of packages: ");
    return ok;
}

char *real_package_suggest(Host *host, const char *name) {
    static char program[] = "apt-cache", verb[] = "pkgnames";
    char *argv[] = { program, verb, NULL };
    RealHost *self = real_host(host);
    g_auto(HostCommandResult) result = { 0 };
    if (!apt_is_usable(self, NULL) ||
        !apt_run(self, argv, apt_environment(NULL, 0), NULL, &result, NULL) ||
        result.exit_status != 0)
        return NULL;
    g_autofree char *text = apt_text(result.out);
    g_auto(GStrv) names = g_strsplit(text, "\n", -1);
    return g_strdup(suggest_nearest(name, (const char *const *)names, g_strv_length(names)));
}
