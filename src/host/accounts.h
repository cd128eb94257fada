#pragma once
/* Users and groups as /etc/passwd, /etc/shadow, /etc/group, /etc/gshadow below a host's root say.
 * Built on host files only, so it works on every host, also unprivileged below --root. Writers hold
 * the lock of lckpwdf(3) on a real root. */
#include "host/host.h"

typedef struct {
    char *name;
    uid_t uid;
    gid_t gid;
    char *comment, *home, *shell;
    char *password_hash; /* from shadow; NULL when unreadable or absent */
    int64_t expires_day; /* days since the epoch; -1: never */
} User;

typedef struct {
    char *name;
    gid_t gid;
    char **members; /* NULL-terminated, as in the file */
} Group;

void user_free(User *user);
void group_free(Group *group);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(User, user_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Group, group_free)

User *accounts_find_user(Host *host, const char *name, GError **error); /* STEAD_ERROR_NOT_FOUND */
Group *accounts_find_group(Host *host, const char *name, GError **error);
char **accounts_groups_of(Host *host, const char *user,
                          GError **error); /* supplementary, sorted; g_strfreev() */

/* Names or decimal numbers to ids and back. On "/" NSS is asked for names the files do not have. */
bool accounts_uid(Host *host, const char *name, uid_t *ret_uid, GError **error);
bool accounts_gid(Host *host, const char *name, gid_t *ret_gid, GError **error);
char *accounts_user_name(Host *host, uid_t uid); /* the number as text when nobody has it */
char *accounts_group_name(Host *host, gid_t gid);

/* The lowest free id of the range in /etc/login.defs (system: SYS_UID_MIN..SYS_UID_MAX). */
bool accounts_free_uid(Host *host, bool system, uid_t *ret_uid, GError **error);
bool accounts_free_gid(Host *host, bool system, gid_t *ret_gid, GError **error);

/* Adds or replaces by name. Removal also takes a user out of every group's members. */
bool accounts_put_user(Host *host, const User *user, GError **error);
bool accounts_remove_user(Host *host, const char *name, GError **error);
bool accounts_put_group(Host *host, const Group *group, GError **error);
bool accounts_remove_group(Host *host, const char *name, GError **error);
bool accounts_set_groups_of(Host *host, const char *user, const char *const *groups,
                            bool keep_others, GError **error);
