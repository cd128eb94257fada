#pragma once
/* What is said to apt-get, apt-cache and dpkg, and what their answers mean. Text only: nothing here
 * runs anything. */
#include "host/host.h"

/* A name or version that means exactly itself to apt: no option, no pattern. */
bool apt_check_action(const PackageAction *action, GError **error);

/* The commands that carry out all actions, in their order: each a NULL-terminated GStrv in the
 * array. Most often that is one apt-get. */
GPtrArray *apt_commands(const PackageAction *actions, size_t n_actions);
extern const char *const apt_environment[];

/* "install a, b; remove c", for errors. Caller frees. */
char *apt_describe(const PackageAction *actions, size_t n_actions);

/* The one line that tells why apt or dpkg failed. Caller frees. */
char *apt_failure(const char *output);
/* Whether an earlier dpkg was interrupted and "dpkg --configure -a" has to come first. */
bool apt_wants_configure(const char *output);

/* Calls visit for each package in the output of "apt-cache policy"; candidate is NULL when there
 * is none. */
void apt_parse_policy(const char *output,
                      void (*visit)(void *data, const char *name, const char *candidate),
                      void *data);
