#pragma once
/* Removing a user, for the kind user: what forbids it, what goes with it and what stays. */
#include "graph/kind.h"
#include "host/accounts.h"

typedef struct {
    bool purge_home;
    bool force; /* although processes run as it */
} UserRemoval;

/* Adds to changes what goes with the user and what stays; or refuses. */
bool user_remove_diff(KindRun *run, const User *user, const UserRemoval *how, Changes *changes,
                      GError **error);
bool user_remove(KindRun *run, const User *user, const UserRemoval *how, GError **error);

/* Whether the user's manager runs without a login: loginctl(1). */
bool user_lingers(Host *host, const char *name);
char *user_linger_path(const char *name); /* the file that says so; caller frees */
bool user_set_linger(KindRun *run, const char *name, bool linger, GError **error);
