#pragma once
/* What is said to apt-get, apt-cache and dpkg, and what their answers mean. Text only: nothing here
 * runs anything. */
#include "host/host.h"

/* A name that means exactly itself to apt: no option, no pattern. So does a version, except for a
 * star at its end: the newest that begins so. */
bool apt_check_action(const PackageAction *action, GError **error);

bool apt_is_release(const char *release);

/* The commands that carry out all actions, in their order: each a NULL-terminated GStrv in the
 * array. Most often that is one apt-get. */
GPtrArray *apt_commands(const PackageAction *actions, size_t n_actions);
const char *const *apt_environment(const PackageAction *actions, size_t n_actions);

/* The same command, read without what an earlier apt remembers of the lists and of dpkg's database:
 * it tells whether they changed by their sizes and whole seconds. A GStrv. */
char **apt_afresh(char *const *command);

/* The dry run of that transaction (a GStrv) with everything allowed, or NULL when it neither
 * installs nor removes. With autoremove: NULL as well when the actions do not ask for it. */
char **apt_simulation(const PackageAction *actions, size_t n_actions, bool autoremove);
bool apt_allows_removal(const PackageAction *actions, size_t n_actions);
/* Fetches all lists, or those of the sources in one file only. */
char **apt_update(const char *path);
/* Installs what installed packages need and is missing. */
char **apt_repair(void);
/* Installs packages once more whose files are incomplete; names is NULL-terminated. */
char **apt_reinstall(const char *const *names);
/* Removes or purges such packages by dpkg, whatever is missing. */
char **dpkg_remove_incomplete(const char *const *names, bool purge);

/* "install a, b; remove c", for errors. Caller frees. */
char *apt_describe(const PackageAction *actions, size_t n_actions);

/* apt works for nobody as long as an incomplete package is in no source. */
#define APT_NO_ARCHIVE " needs to be reinstalled, but I can't find an archive for it"

/* The one line that tells why apt or dpkg failed. Caller frees. */
char *apt_failure(const char *output);
/* What has to come first: */
bool apt_wants_configure(const char *output); /* "dpkg --configure -a": it was interrupted */
bool apt_wants_repair(const char *output);    /* apt_repair() */
bool apt_wants_update(const char *output);    /* apt_update(): a file is not at the mirror */
bool apt_wants_lock(const char *output);      /* another program holds a lock of apt or dpkg */
bool apt_wants_cache(const char *output);     /* only to be run again: another apt was in its way */

/* What the dry run does to those that no action names. */
void apt_parse_simulation(const char *output, const PackageAction *actions, size_t n_actions,
                          GPtrArray *effects);

/* Calls visit for each package in the output of "apt-cache policy"; candidate is NULL when there
 * is none. */
void apt_parse_policy(const char *output,
                      void (*visit)(void *data, const char *name, const char *candidate),
                      void *data);
