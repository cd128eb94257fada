#pragma once
/* What to do about an error of the system, added to its message. */
#include "graph/kind.h"

/* Always returns false, so that callers write `return hint_io(...)`. path: what was to be changed.
 */
bool hint_io(KindRun *run, const char *path, GError **error);
