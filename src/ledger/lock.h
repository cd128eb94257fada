#pragma once
/* Private to ledger: one writer at a time. */
#include <glib.h>

/* Takes DIR/lock by flock(2) and writes into it who has it: "PID SINCE COMMAND\n" (SINCE: seconds
 * since the epoch). Returns a descriptor whose closing gives it back; -1 with STEAD_ERROR_REFUSED
 * naming the other when it is held. */
int lock_take(const char *dir, const char *command, GError **error);
