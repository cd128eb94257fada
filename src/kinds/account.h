#pragma once
/* What the kinds user and group share: rules for names and ids, sets of names. */
#include <glib.h>

#include "graph/kind.h"
#include "host/accounts.h"

extern const char *const account_states[];   /* "exists", "absent", and Puppet's "present" */
extern const char *const membership_rules[]; /* "minimum", "inclusive" */

/* what: "user" or "group". Refuses what would break the files or be taken for a number or option.
 */
bool account_name_check(const char *what, const char *name, GError **error);
/* A field of a line in /etc/passwd: no colon, no control character. */
bool account_field_check(const char *param, const char *text, GError **error);
bool account_id_check(const char *param, int64_t id, GError **error);

bool account_wants_absent(const Resource *resource, unsigned state_param);

/* Accounts that were declared absent do not come back when the block is gone, unless asked for. */
bool account_stays_removed(const Resource *resource, unsigned state_param);

/* The user that something else belongs to. True with NULL when there is none and that is no error:
 * because nothing is wanted of him (optional), or because something that a plan does not run
 * goes first and may make him. */
bool account_owner(KindRun *run, const char *name, bool optional, User **ret_user, GError **error);

/* To an error about an account that does not exist it adds what to do; what: "user" or "group".
 * Always returns false, so that callers write `return account_remedy(...)`. */
bool account_remedy(const char *what, const char *name, GError **error);

/* True with NULL when there is no such group. */
bool account_find_group(Host *host, const char *name, Group **ret_group, GError **error);

/* A crypt(5) hash, or one of "!" and "*". The value itself does not come into the message. */
bool account_hash_check(const char *hash, GError **error);
Value *account_secret(const char *text);

/* A PARAM_STRINGS value as a sorted set; caller frees with g_strfreev(). NULL gives an empty one.
 */
char **account_set_from(const Value *strings);
Value *account_set_value(const char *const *names);
/* What a list should become: wanted, and with "minimum" also what is there. */
char **account_set_wanted(const Value *strings, const char *const *actual, const char *membership);

/* Names of the users whose primary group is gid, as /etc/passwd says; g_strfreev(). */
char **account_primary_users(Host *host, gid_t gid, GError **error);

/* Kind.clean: removes temporaries of the account files that a killed run left. */
bool account_files_clean(KindRun *run, GError **error);
