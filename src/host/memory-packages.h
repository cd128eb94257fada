#pragma once
/* What a package manager does to the state of a package: shared by the fake host, where it really
 * happens, and the overlay, where it is a prediction. Dependencies are the host's matter. */
#include "host/host.h"

/* Applies one action to info. A package that nobody offers (no candidate, not installed) cannot be
 * installed, unless unknown_version says what to call its version. */
bool package_info_apply(PackageInfo *info, const PackageAction *action, const char *unknown_version,
                        GError **error);
/* What somebody else's transaction does to it. */
void package_info_suffer(PackageInfo *info, const PackageEffect *effect);
char *package_bare_name(const char *name); /* without "/RELEASE"; caller frees */
void package_info_copy(PackageInfo *to, const PackageInfo *from); /* to is cleared first */
PackageInfo *package_info_new(const PackageInfo *from);
void package_info_free(PackageInfo *info); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PackageInfo, package_info_free)

/* By name. move: everything in from replaces what to has. */
GHashTable *package_table_new(void);
void package_table_move(GHashTable *to, GHashTable *from);
