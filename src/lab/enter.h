#pragma once
/* Running commands in a host, from here. */
#include <glib.h>
#include <stdbool.h>

/* leader: pidfd of the host's first process. Runs words there as root with a clean environment;
 * with terminal, on a terminal of the host that ours is connected to. Signals that this process
 * gets are passed on. The whole process is in the host's namespaces afterwards. Returns the
 * command's exit code, 128 + N when signal N ended it; -1 with error. */
int enter_run(int leader, char *const *words, bool terminal, GError **error);
