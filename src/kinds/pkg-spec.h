#pragma once
/* What a pkg resource asks for; shared by pkg.c (the table), pkg-look.c and pkg-apply.c. */
#include "graph/kind.h"

enum {
    P_STATE,
    P_VERSION,
    P_SOURCE,
    P_RELEASE,
    P_HELD,
    P_MANUAL,
    P_RECOMMENDS,
    P_CONFIGFILES,
    P_DEBCONF,
    P_AUTOREMOVE,
    P_FORCE,
    P_LOCK_TIMEOUT,
    P_ALLOWDOWNGRADE,
    P_ALLOWUNTRUSTED,
    P_ALLOWNONFREE,
    P_ALLOWUNSUPPORTED,
    N_PARAMS
};

typedef enum { WANT_INSTALLED, WANT_NEWEST, WANT_VERSION, WANT_REMOVED, WANT_PURGED } Want;

/* *ret_version is borrowed, and set for WANT_VERSION only. */
Want pkg_wanted(const Resource *resource, const char **ret_version);
static inline bool wants_removal(Want want) {
    return want == WANT_REMOVED || want == WANT_PURGED;
}
/* NULL: left as it is. */
const bool *pkg_wanted_hold(const Resource *resource);

bool pkg_observe(KindRun *run, State *actual, GError **error);
bool pkg_diff(KindRun *run, const State *actual, Changes *changes, GError **error);
bool pkg_version_is_pattern(const char *version);

/* Of an archive that the resource names: as it is called on the host, or beside the configuration.
 * NULL: it names none. Caller frees. */
char *pkg_archive_path(const Resource *resource, bool *ret_local);
GBytes *pkg_archive_read(KindRun *run, GError **error);

bool pkg_foresee(KindRun *const *runs, const State *const *actuals, Changes *const *changes,
                 unsigned n, GError **error);
bool pkg_apply(KindRun *run, const State *actual, const Changes *changes, GError **error);
bool pkg_apply_group(KindRun *const *runs, const State *const *actuals,
                     const Changes *const *changes, unsigned n, GError **error);
bool pkg_clean(KindRun *run, GError **error);
