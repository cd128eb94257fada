#include "kinds/user-remove.h"

#include <string.h>
#include <unistd.h>

#include "kinds/account.h"
#include "kinds/loss.h"
#include "kinds/subid.h"
#include "kinds/user-home.h"

#define LINGER_DIRECTORY "/var/lib/systemd/linger"
#define STATUS_MAX       (64 * 1024) /* bytes of a file in /proc */
#define PROCESSES_SHOWN  5

/* --- its processes --- */

/* What follows "Name:\t" in /proc/PID/status, up to the end of the line; NULL: no such line. */
static char *status_field(const char *status, const char *name) {
    g_autofree char *start = g_strdup_printf("%s:\t", name);
    const char *at = g_str_has_prefix(status, start) ? status : NULL;
    if (at == NULL) {
        g_autofree char *inner = g_strconcat("\n", start, NULL);
        at = strstr(status, inner);
        at = at != NULL ? at + 1 : NULL;
    }
    if (at == NULL)
        return NULL;
    at += strlen(start);
    return g_strndup(at, strcspn(at, "\n"));
}

/* NULL: it has ended meanwhile. */
static char *read_of_process(Host *host, const char *pid, const char *file) {
    g_autofree char *path = g_build_filename("/proc", pid, file, NULL);
    g_autoptr(GBytes) content = host_read(host, path, STATUS_MAX, NULL);
    if (content == NULL)
        return NULL;
    size_t size;
    const char *data = g_bytes_get_data(content, &size);
    return g_strndup(data != NULL ? data : "", size);
}

static bool has_uid(const char *status, uid_t uid) {
    g_autofree char *uids = status_field(status, "Uid"); /* real, effective, saved, file system */
    g_auto(GStrv) numbers = g_strsplit(uids != NULL ? uids : "", "\t", -1);
    g_autofree char *own = g_strdup_printf("%u", uid);
    return g_strv_contains((const char *const *)numbers, own);
}

/* The unit it belongs to is stopped already, which only a plan sees; or is the user's manager,
 * which is stopped before the user goes. */
static bool ends_before(KindRun *run, const char *pid, const User *user) {
    g_autofree char *cgroup = read_of_process(run->host, pid, "cgroup");
    g_autofree char *manager = g_strdup_printf("user@%u.service", user->uid);
    g_auto(GStrv) parts = g_strsplit_set(cgroup != NULL ? cgroup : "", "/\n", -1);
    if (g_strv_contains((const char *const *)parts, manager))
        return user_lingers(run->host, user->name);
    for (char **part = parts; *part != NULL; part++) {
        UnitInfo info = { .active = true };
        if (g_str_has_suffix(*part, ".service") &&
            host_unit_query(run->host, *part, false, &info, NULL) && !info.active)
            return true;
    }
    return false;
}

/* "123 sleep, 130 bash"; NULL: none. *ret_n: how many there are. */
static char *find_processes(KindRun *run, const User *user, unsigned *ret_n) {
    g_auto(GStrv) pids = host_list(run->host, "/proc", NULL);
    g_autoptr(GString) names = g_string_new(NULL);
    *ret_n = 0;
    for (char **pid = pids; pid != NULL && *pid != NULL; pid++) {
        if ((*pid)[strspn(*pid, "0123456789")] != '\0')
            continue;
        g_autofree char *status = read_of_process(run->host, *pid, "status");
        if (status == NULL || !has_uid(status, user->uid) || ends_before(run, *pid, user))
            continue;
        g_autofree char *name = status_field(status, "Name");
        if ((*ret_n)++ < PROCESSES_SHOWN)
            g_string_append_printf(names, "%s%s %s", *ret_n > 1 ? ", " : "", *pid,
                                   name != NULL ? name : "?");
    }
    if (*ret_n > PROCESSES_SHOWN)
        g_string_append(names, ", ...");
    return *ret_n > 0 ? g_strdup(names->str) : NULL;
}

static bool check_processes(KindRun *run, const User *user, bool force, GError **error) {
    unsigned n;
    g_autofree char *names = force ? NULL : find_processes(run, user, &n);
    if (names == NULL)
        return true;
    g_set_error(
        error, STEAD_ERROR, STEAD_ERROR_REFUSED,
        "refuse to remove it: it runs %u process%s (%s); stop %s first, or set force = true "
        "to leave %s running without a name",
        n, n == 1 ? "" : "es", names, n == 1 ? "it" : "them", n == 1 ? "it" : "them");
    return false;
}

static bool is_other_root(Host *host) {
    return strcmp(host_root(host), "/") != 0;
}

static bool check_removable(KindRun *run, const User *user, const UserRemoval *how,
                            GError **error) {
    const char *problem = user->uid == 0 ? "it has uid 0"
                          : user->uid == geteuid() && !host_is_privileged(run->host)
                              ? "stead runs as this user"
                              : NULL;
    if (problem == NULL)
        return check_processes(run, user, how->force, error);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED, "refuse to remove it: %s", problem);
    return false;
}

/* purge_home is about nothing else than losing it: to have said it is enough. */
static bool tell_home(KindRun *run, const User *user, Changes *changes, GError **error) {
    g_auto(Loss) loss = { 0 };
    if (!loss_add_inside(&loss, run, user->home, NULL, error))
        return false;
    g_autofree char *inside = loss.n_entries > 0 ? loss_text(&loss) : g_strdup("nothing in it");
    g_autofree char *text = g_strdup_printf("%s with %s", user->home, inside);
    changes_add(changes, LOSS_PROPERTY, NULL, value_new_string(text), NULL);
    return true;
}

bool user_remove_diff(KindRun *run, const User *user, const UserRemoval *how, Changes *changes,
                      GError **error) {
    if (!check_removable(run, user, how, error))
        return false;
    bool has_home = host_exists(run->host, user->home);
    if (has_home && !how->purge_home)
        changes_add(changes, KEEPS_PROPERTY, NULL, value_new_string(user->home), NULL);
    if (!how->purge_home)
        return true;
    if (!user_home_check_removable(run, user, error))
        return false;
    if (has_home)
        changes_add(changes, "homedir", value_new_string(user->home), NULL, NULL);
    return !has_home || tell_home(run, user, changes, error);
}

/* --- its manager --- */

char *user_linger_path(const char *name) {
    return g_build_filename(LINGER_DIRECTORY, name, NULL);
}

bool user_lingers(Host *host, const char *name) {
    g_autofree char *path = user_linger_path(name);
    return host_exists(host, path);
}

/* What loginctl leaves in the file system; logind reads it when it starts. */
static bool write_linger(Host *host, const char *name, bool linger, GError **error) {
    g_autofree char *path = user_linger_path(name);
    g_autoptr(GBytes) nothing = g_bytes_new_static("", 0);
    if (linger)
        return host_make_parents(host, path, error) &&
               host_write(host, path, nothing, &(FileAttributes){ 0 }, error);
    return !host_exists(host, path) || host_remove(host, path, error);
}

bool user_set_linger(KindRun *run, const char *name, bool linger, GError **error) {
    if (run->planning || is_other_root(run->host))
        return write_linger(run->host, name, linger, error);
    const char *argv[] = { "loginctl", linger ? "enable-linger" : "disable-linger", name, NULL };
    HostCommand command = { .argv = argv, .cancel = run->cancel };
    g_auto(HostCommandResult) result = { 0 };
    g_autoptr(GError) problem = NULL;
    if (!host_run(run->host, &command, &result, &problem)) {
        if (g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND))
            return write_linger(run->host, name, linger, error);
        g_propagate_error(error, g_steal_pointer(&problem));
        return false;
    }
    if (result.exit_status == 0)
        return true;
    size_t size;
    const char *said = g_bytes_get_data(result.output, &size);
    g_autofree char *text = g_strndup(said != NULL ? said : "", size);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED, "%s '%s': loginctl says: %s", argv[1], name,
                g_strstrip(text));
    return false;
}

/* Its manager would go on for a user who is no more. */
static bool end_linger(KindRun *run, const User *user, GError **error) {
    if (!user_lingers(run->host, user->name))
        return true;
    g_autofree char *manager = g_strdup_printf("user@%u.service", user->uid);
    UnitInfo info = { 0 };
    if (!user_set_linger(run, user->name, false, error))
        return false;
    return is_other_root(run->host) || !host_unit_query(run->host, manager, false, &info, NULL) ||
           !info.active ||
           host_unit_apply(run->host, manager, false, UNIT_STOP, run->cancel, error);
}

/* --- removing --- */

/* As userdel(8): the group that was made for the user goes with it, unless somebody else uses it.
 */
static bool remove_own_group(KindRun *run, const User *user, GError **error) {
    g_autoptr(Group) group = NULL;
    if (!account_find_group(run->host, user->name, &group, error))
        return false;
    if (!group || group->gid != user->gid)
        return true;
    const char *const only[] = { user->name, NULL };
    g_auto(GStrv) users = account_primary_users(run->host, group->gid, error);
    if (!users)
        return false;
    bool shared = !g_strv_equal((const char *const *)users, only) ||
                  (group->members[0] && !g_strv_equal((const char *const *)group->members, only));
    return shared || accounts_remove_group(run->host, group->name, error);
}

static bool remove_subids(KindRun *run, const User *user, GError **error) {
    const char *const none[] = { NULL };
    return subid_set(run->host, SUBID_USER, user->name, none, error) &&
           subid_set(run->host, SUBID_GROUP, user->name, none, error);
}

/* The group goes first: a run that is killed in between finds the user and does the rest. */
static bool remove_accounts(KindRun *run, const User *user, GError **error) {
    if (!accounts_lock(run->host, error))
        return false;
    bool done = remove_subids(run, user, error) && remove_own_group(run, user, error) &&
                accounts_remove_user(run->host, user->name, error);
    accounts_unlock(run->host);
    return done;
}

bool user_remove(KindRun *run, const User *user, const UserRemoval *how, GError **error) {
    return check_removable(run, user, how, error) && end_linger(run, user, error) &&
           (!how->purge_home || user_home_remove(run, user, error)) &&
           remove_accounts(run, user, error);
}
