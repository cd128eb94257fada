#pragma once
/* What the kernel must have left for so many systemds. */
#include "lab/lab.h"

/* inotify instances, which all containers' root shares with ours: without one a systemd waits for
 * ever. The error says how to allow more. */
bool room_check(const Lab *lab, GError **error);
