#pragma once
/* Private to ledger: one writer at a time. */
#include <glib.h>
#include <stdbool.h>

/* Takes DIR/lock by flock(2) and writes into it who has it: "PID SINCE COMMAND\n" (SINCE: seconds
 * since the epoch). Returns a descriptor whose closing gives it back; -1 with STEAD_ERROR_REFUSED
 * naming the other when it is held. ret_unfinished (may be NULL): whoever had it last did not come
 * to lock_finish(). */
int lock_take(const char *dir, const char *command, bool *ret_unfinished, GError **error);

/* Says that the holder leaves everything in order. */
void lock_finish(int fd);
