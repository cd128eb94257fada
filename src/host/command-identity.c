#include "host/command-identity.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

#include "host/accounts.h"

#define NSS_BUFFER_SIZE (64 * 1024)
#define GROUPS_MAX      65536 /* NGROUPS_MAX of Linux */

void command_identity_clear(CommandIdentity *identity) {
    g_clear_pointer(&identity->groups, g_array_unref);
    g_clear_pointer(&identity->home, g_free);
}

static void groups_of(const char *user, gid_t gid, CommandIdentity *identity) {
    int n = 32;
    identity->groups = g_array_sized_new(FALSE, FALSE, sizeof(gid_t), (guint)n);
    while (n <= GROUPS_MAX) {
        int room = n;
        g_array_set_size(identity->groups, (guint)room);
        if (getgrouplist(user, gid, (gid_t *)(void *)identity->groups->data, &n) >= 0)
            break;
        n = MAX(n, room + 1);
    }
    g_array_set_size(identity->groups, (guint)MIN(n, GROUPS_MAX));
}

/* On the machine itself everything NSS knows counts. A number without an entry has no groups. */
static bool find_on_machine(const char *user, CommandIdentity *identity, GError **error) {
    g_autofree char *buffer = g_malloc(NSS_BUFFER_SIZE);
    struct passwd entry, *found = NULL;
    int problem = getpwnam_r(user, &entry, buffer, NSS_BUFFER_SIZE, &found);
    guint64 number;
    bool is_number = g_ascii_string_to_unsigned(user, 10, 0, G_MAXUINT32 - 1, &number, NULL);
    if (found == NULL && is_number)
        problem = getpwuid_r((uid_t)number, &entry, buffer, NSS_BUFFER_SIZE, &found);
    if (found != NULL) {
        identity->uid = found->pw_uid;
        identity->gid = found->pw_gid;
        identity->home = g_strdup(found->pw_dir);
        groups_of(found->pw_name, found->pw_gid, identity);
        return true;
    }
    if (is_number) {
        identity->uid = (uid_t)number;
        identity->gid = (gid_t)number;
        identity->groups = g_array_new(FALSE, FALSE, sizeof(gid_t));
        return true;
    }
    if (problem != 0 && problem != ENOENT && problem != ESRCH)
        return set_io_error(error, problem, "look up user '%s'", user);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND, "no such user: '%s'", user);
    return false;
}

static bool groups_below_root(Host *host, const char *name, CommandIdentity *identity,
                              GError **error) {
    g_auto(GStrv) names = accounts_groups_of(host, name, error);
    if (names == NULL)
        return false;
    identity->groups = g_array_new(FALSE, FALSE, sizeof(gid_t));
    g_array_append_val(identity->groups, identity->gid);
    for (char **group = names; *group != NULL; group++) {
        gid_t gid;
        if (!accounts_gid(host, *group, &gid, error))
            return false;
        g_array_append_val(identity->groups, gid);
    }
    return true;
}

static bool find_below_root(Host *host, const char *user, CommandIdentity *identity,
                            GError **error) {
    uid_t uid;
    if (!accounts_uid(host, user, &uid, error))
        return false;
    g_autofree char *name = accounts_user_name(host, uid);
    g_autoptr(User) entry = accounts_find_user(host, name, NULL);
    identity->uid = uid;
    identity->gid = entry != NULL ? entry->gid : uid;
    if (entry != NULL) {
        identity->home = g_strdup(entry->home);
        return groups_below_root(host, name, identity, error);
    }
    identity->groups = g_array_new(FALSE, FALSE, sizeof(gid_t));
    return true;
}

bool command_identity_find(RealHost *self, const char *user, const char *group,
                           CommandIdentity *ret_identity, GError **error) {
    g_auto(CommandIdentity) identity = { 0 };
    if (user != NULL) {
        bool found = real_host_has_root(self) ? find_below_root(&self->host, user, &identity, error)
                                              : find_on_machine(user, &identity, error);
        if (!found)
            return false;
        identity.set_uid = identity.set_gid = identity.set_groups = true;
    }
    if (group != NULL) {
        if (!accounts_gid(&self->host, group, &identity.gid, error))
            return false;
        identity.set_gid = true;
    }
    /* Without privileges only what we are already can be asked for, and then there is nothing to
     * do. */
    if (!self->host.privileged) {
        identity.set_groups = false;
        identity.set_uid = identity.set_uid && identity.uid != geteuid();
        identity.set_gid = identity.set_gid && identity.gid != getegid();
    }
    *ret_identity = identity;
    identity = (CommandIdentity){ 0 };
    return true;
}
