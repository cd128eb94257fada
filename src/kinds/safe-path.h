#pragma once
/* Paths through directories that belong to somebody with fewer rights. */
#include "host/host.h"

/* The path without links, for use with host_links_refuse(). A link on the way counts only where
 * nobody but root can have put it; any other is STEAD_ERROR_REFUSED. Without privileges every link
 * counts: it leads nowhere that its owner could not go. What is missing stays as it is. Caller
 * frees. */
char *safe_path(Host *host, const char *path, GError **error);
