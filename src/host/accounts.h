#pragma once
/*
 * Users and groups as /etc/passwd, /etc/shadow, /etc/group, /etc/gshadow below a host's root say.
 * Built on host files only, so it works on every host, also unprivileged below --root. Thread-safe.
 *
 * Writers hold a lock: among the threads of this process, and on a real host also the one of
 * lckpwdf(3), /etc/.pwd.lock, that other programs take. Lines that are no valid entry stay as they
 * are, and so does the order. Files are written in an order that a kill between two of them leaves
 * nothing half: what makes an entry count is written last, and what takes it away last too.
 */
#include "host/host.h"

#define LIMIT_ACCOUNT_FILE (64u * 1024 * 1024) /* bytes of one of the account files */

/* How long a password may be used, in days, as in shadow(5). */
typedef enum {
    PASSWORD_MIN_AGE,   /* before it may be changed again */
    PASSWORD_MAX_AGE,   /* until it must be changed */
    PASSWORD_WARN_DAYS, /* before that, when the user is told */
    PASSWORD_INACTIVE,  /* after it, during which it may still be changed at login */
    PASSWORD_AGES,
} PasswordAge;

typedef struct {
    char *name;
    uid_t uid;
    gid_t gid;
    char *comment, *home, *shell;
    char *password_hash;          /* from shadow; NULL when unreadable or absent */
    int64_t expires_day;          /* days since the epoch; -1: never */
    int64_t ages[PASSWORD_AGES];  /* -1: no limit */
    bool ages_set[PASSWORD_AGES]; /* those that count; others are unknown, or left as they are */
} User;

typedef struct {
    char *name;
    gid_t gid;
    char **members;      /* NULL-terminated, as in the file */
    char *password_hash; /* NULL: unreadable; to be left as it is */
} Group;

void user_free(User *user);    /* accepts NULL */
void group_free(Group *group); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(User, user_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Group, group_free)

User *accounts_find_user(Host *host, const char *name, GError **error); /* STEAD_ERROR_NOT_FOUND */
Group *accounts_find_group(Host *host, const char *name, GError **error);
char **accounts_groups_of(Host *host, const char *user,
                          GError **error); /* supplementary, sorted; g_strfreev() */

/* Names or decimal numbers to ids and back. On this machine's own root NSS is asked for what the
 * files do not have. */
bool accounts_uid(Host *host, const char *name, uid_t *ret_uid, GError **error);
bool accounts_gid(Host *host, const char *name, gid_t *ret_gid, GError **error);
char *accounts_user_name(Host *host, uid_t uid); /* the number as text when nobody has it */
char *accounts_group_name(Host *host, gid_t gid);

/* Between these, nobody else changes the accounts, also no other program on a real host: for
 * choosing an id and taking it. They nest; the calls below take the lock themselves. */
bool accounts_lock(Host *host, GError **error);
void accounts_unlock(Host *host);

/* The lowest free id of the range in /etc/login.defs; system: the highest of
 * SYS_UID_MIN..SYS_UID_MAX. */
bool accounts_free_uid(Host *host, bool system, uid_t *ret_uid, GError **error);
bool accounts_free_gid(Host *host, bool system, gid_t *ret_gid, GError **error);
/* A number of /etc/login.defs; fallback when it has none of that name. */
uint32_t accounts_login_defs(Host *host, const char *key, uint32_t fallback);

/* Adds or replaces by name. password_hash NULL leaves the password as it is, a new user gets none
 * that fits ("!"); ages that are not set are those of /etc/login.defs then. /etc/shadow is made
 * when it is missing, /etc/gshadow only kept up to date. */
bool accounts_put_user(Host *host, const User *user, GError **error);
bool accounts_put_group(Host *host, const Group *group, GError **error);
/* STEAD_ERROR_NOT_FOUND when there is none. A user also leaves every group's members; the group of
 * the same name stays. */
bool accounts_remove_user(Host *host, const char *name, GError **error);
bool accounts_remove_group(Host *host, const char *name, GError **error);
/* Supplementary groups. A group that does not exist is STEAD_ERROR_NOT_FOUND, and nothing is
 * written. keep_others: only adds. */
bool accounts_set_groups_of(Host *host, const char *user, const char *const *groups,
                            bool keep_others, GError **error);
