#pragma once
/*
 * A predicted copy of another host: reads pass through, writes stay in memory. Calls may come from
 * several threads.
 *
 * What is predicted: files with content, attributes and links; versions, holds, marks and presence
 * of packages and, where the base can foresee it, of those that come and go with them, but not
 * their files; whether units exist, run, are enabled or masked.
 * What is not: permissions (a plan made by an ordinary user shows what root would do), commands
 * (STEAD_ERROR_UNPREDICTABLE), watches (STEAD_ERROR_UNSUPPORTED). Messages are swallowed.
 *
 * A package whose candidate the base does not know (its source may be a predicted file) gets the
 * version OVERLAY_VERSION_UNKNOWN. Once a package is predicted to be installed, a unit that nobody
 * has is taken to come with it: existing, inactive, disabled.
 *
 * Directories and links of the base that lead to predicted files are looked at once per overlay.
 */
#include "host/host.h"

#define OVERLAY_VERSION_UNKNOWN "(known after apply)"

Host *host_overlay_new(Host *base); /* base is borrowed and must outlive the overlay */

/* A command that the plan does not run may create path: from now on it is FILE_UNKNOWN, and so is
 * what is missing above it and all below it. A predicted write or removal makes it known again. */
void host_overlay_mark_unknown(Host *overlay, const char *path);
/* Whether path, which nobody has, may come with a package that is predicted to be installed: its
 * directory is missing too, as those of a package are. */
bool host_overlay_may_bring(Host *overlay, const char *path);
