#pragma once
/* Home directories of the kind user: made from /etc/skel, given to another id, removed. */
#include "graph/kind.h"
#include "host/accounts.h"

/* Whether user's home is there and is his (without privileges: is there). */
bool user_home_ready(Host *host, const User *user, bool *ret_ready, GError **error);

/* Creates what is missing of it and gives it to the user. A directory that another account owns is
 * refused; one that nobody or root owns is taken over. skel: what it is made from, NULL: as the
 * distribution has it. */
bool user_home_make(KindRun *run, const User *user, const char *skel, GError **error);

/* Whether the home of user, as it is now, goes to the path `to` with what is in it: it is there, is
 * the user's alone, and nothing is at the other place. */
bool user_home_will_move(KindRun *run, const User *user, const char *to, bool *ret_moves,
                         GError **error);
bool user_home_move(KindRun *run, const User *user, const char *to, GError **error);

/* The user's ids have changed: what he owned below his home goes with him. */
bool user_home_follow(KindRun *run, const User *before, const User *after, GError **error);

/* Removes the home and the mail spool. Refuses what is not surely this user's alone. */
bool user_home_check_removable(KindRun *run, const User *user, GError **error);
bool user_home_remove(KindRun *run, const User *user, GError **error);

/* KEY=VALUE of /etc/default/useradd or "KEY VALUE" of /etc/login.defs; fallback when it is not
 * said. NULL when the file cannot be read; caller frees. */
char *user_default(Host *host, const char *file, const char *key, const char *fallback,
                   GError **error);
