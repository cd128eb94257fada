#pragma once
/* Directory trees of labs. */
#include <glib.h>
#include <stdbool.h>

/* Removes path and all below it; links are removed, not followed. Refuses, before anything is
 * touched, when something is mounted below it, and never goes into another mount. True also when
 * there is none. */
bool tree_remove(const char *path, GError **error);
