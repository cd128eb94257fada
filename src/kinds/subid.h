#pragma once
/* Subordinate ids of users: /etc/subuid and /etc/subgid, subuid(5). */
#include <glib.h>

#include "graph/kind.h"

typedef enum { SUBID_USER, SUBID_GROUP } SubidKind;

#define SUBID_AUTO "auto" /* one range that is free, chosen once */

const char *subid_path(SubidKind kind);

/* "100000:65536", start and count. Overlaps among the ranges are refused as well. */
bool subid_check(const char *param, const Value *ranges, GError **error);

/* The ranges of a user in the order of the file; g_strfreev(). */
char **subid_ranges(Host *host, SubidKind kind, const char *user, GError **error);
/* Replaces them; none takes the user out of the file. With the lock of the accounts. "auto" becomes
 * the first range that is free, of the size and between the limits that /etc/login.defs has. */
bool subid_set(Host *host, SubidKind kind, const char *user, const char *const *ranges,
               GError **error);
