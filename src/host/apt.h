#pragma once
/* What is said to apt-get, apt-cache and dpkg, and what their answers mean. Text only: nothing here
 * runs anything. */
#include "host/host.h"

/* A name that means exactly itself to apt: no option, no pattern. So does a version, except for a
 * star at its end: the newest that begins so. */
bool apt_check_action(const PackageAction *action, GError **error);

/* The commands that carry out all actions, in their order: each a NULL-terminated GStrv in the
 * array. Most often that is one apt-get. */
GPtrArray *apt_commands(const PackageAction *actions, size_t n_actions);
extern const char *const apt_environment[];

/* The dry run of that transaction (a GStrv), or NULL when it removes nothing: with removals in it
 * apt cannot be told to remove nothing else, so it must be known beforehand. */
char **apt_simulation(const PackageAction *actions, size_t n_actions);
/* What that run removes though nobody has asked for it: "a, b"; NULL for nothing. Caller frees. */
char *apt_unasked_removals(const char *output, const PackageAction *actions, size_t n_actions);

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
