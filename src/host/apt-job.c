#include "host/apt-job.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "host/apt.h"
#include "host/package-guard.h"

#define LOCK_TIMEOUT_US   (300 * G_USEC_PER_SEC)
#define LOCK_POLL_MS      200
#define LOCK_TELL_US      (30 * G_USEC_PER_SEC) /* how often the wait is told of */
#define HOLDER_MAX_LENGTH 120                   /* bytes of its command line */
#define CACHE_TRIES       5                     /* of a command whose cache another apt took away */

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

/* Every apt writes a cache of the lists that has no lock: one that updates them takes away what
 * another one is about to rename, and a dpkg may write its database while it is read. Nothing was
 * begun then. */
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

static bool take_a_break(const AptJob *job, GError **error) {
    int fd = job->cancel != NULL ? cancel_fd(job->cancel) : -1;
    struct pollfd wait = { .fd = fd, .events = POLLIN };
    (void)poll(&wait, 1, LOCK_POLL_MS);
    return cancel_check(job->cancel, error);
}

static bool give_up(const AptJob *job, const Holder *holder, GError **error) {
    g_autofree char *who = describe_holder(holder);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED,
                "waited %g s for %s, which holds '%s': let it finish or end it, or set a longer "
                "lock_timeout",
                (double)job->lock_timeout / G_USEC_PER_SEC, who, holder->path);
    return false;
}

static bool wait_for_lock(const AptJob *job, GError **error) {
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

bool apt_job_begin(AptJob *job, GError **error) {
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

void apt_job_end(const AptJob *job) {
    PackageDatabase *database = job->self->packages;
    g_atomic_pointer_set(&database->changer, NULL);
    package_guard_release(database->guard_fd);
    database->guard_fd = -1;
    g_mutex_unlock(&database->changing);
}

AptJob apt_job_new(RealHost *self, const PackageAction *actions, size_t n_actions, Cancel *cancel) {
    AptJob job = { .self = self,
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

/* *ret_complaint: all that a command that failed has printed; NULL: it did not fail. */
static bool run_unlocked(const AptJob *job, char **argv, char **ret_complaint, GError **error) {
    g_auto(HostCommandResult) result = { 0 };
    if (!wait_for_lock(job, error) ||
        !apt_run(job->self, argv, job->env, job->cancel, &result, error))
        return false;
    *ret_complaint = result.exit_status != 0 ? apt_text(result.output) : NULL;
    return true;
}

static bool run_plain(const AptJob *job, char **argv, const char *what, GError **error) {
    g_autofree char *text = NULL;
    if (!run_unlocked(job, argv, &text, error))
        return false;
    if (text == NULL)
        return true;
    g_autofree char *reason = apt_failure(text);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED, "%s: %s", what, reason);
    return false;
}

bool apt_job_configure(const AptJob *job, GError **error) {
    static char program[] = "dpkg", all[] = "-a", configure[] = "--configure";
    static char fallback[] = "--force-confdef", old[] = "--force-confold";
    char *argv[] = { program, fallback, old, configure, all, NULL };
    g_message("an earlier dpkg was interrupted: running dpkg --configure -a first");
    return run_plain(job, argv, "finish what an interrupted dpkg left (dpkg --configure -a)",
                     error);
}

bool apt_job_repair(const AptJob *job, GError **error) {
    g_auto(GStrv) argv = apt_repair();
    g_message("installed packages lack others that they need: running apt-get --fix-broken "
              "install first");
    return run_plain(job, argv,
                     "give installed packages what they need (apt-get --fix-broken "
                     "install)",
                     error);
}

static bool refresh_all(const AptJob *job, GError **error) {
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
static bool mend(AptJob *job, const char *text, bool *ret_again, GError **error) {
    *ret_again = true;
    if (apt_wants_lock(text)) {
        Holder holder;
        if (find_holder(job->self, &holder) ||
            g_get_monotonic_time() - job->began < job->lock_timeout)
            return take_a_break(job, error);
    }
    if (!job->configured && apt_wants_configure(text))
        return job->configured = true, apt_job_configure(job, error);
    if (!job->repaired && apt_wants_repair(text))
        return job->repaired = true, apt_job_repair(job, error);
    if (!job->refreshed && apt_wants_update(text))
        return job->refreshed = true, refresh_all(job, error);
    *ret_again = false;
    return true;
}

bool apt_job_run(AptJob *job, char **argv, GError **error) {
    for (bool again = true; again;) {
        g_autofree char *text = NULL;
        if (!run_unlocked(job, argv, &text, error))
            return false;
        if (text == NULL)
            return true;
        if (!mend(job, text, &again, error))
            return false;
        if (again)
            continue;
        g_autofree char *reason = apt_failure(text);
        g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_FAILED, reason);
    }
    return false;
}
