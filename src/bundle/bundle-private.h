#pragma once
/* Private to bundle: how bundles come to be. */
#include "bundle/bundle.h"

/* Rules for a path, and for where a link at path leads. They hold for what is packed and for what
 * is read alike. */
bool bundle_check_path(const char *path, GError **error);
bool bundle_check_link(const char *path, const char *target, GError **error);

/* Sorts and takes entries over, checks them against each other, gives the bundle its name. */
Bundle *bundle_new(GPtrArray *entries, GError **error);
