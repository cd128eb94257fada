#pragma once
/* A predicted copy of another host: reads pass through, writes stay in memory. */
#include "host/host.h"

Host *host_overlay_new(Host *base); /* base is borrowed and must outlive the overlay */

/* A command that the plan does not run may create path: from now on it is FILE_UNKNOWN. */
void host_overlay_mark_unknown(Host *overlay, const char *path);
