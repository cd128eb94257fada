#pragma once
/* A command that runs on and prints a line for each event; used by watcher.c only. */
#include "host/host.h"
#include "loop/loop.h"

typedef struct WatchCommand WatchCommand;

/* failure: NULL for lines that came (several at once are one call); else why no more will come: the
 * last call. The command may be freed from within. */
typedef void (*WatchCommandCallback)(void *data, const char *failure);

WatchCommand *watch_command_new(Host *host, Loop *loop, const HostCommand *command,
                                WatchCommandCallback callback, void *data, GError **error);
void watch_command_free(WatchCommand *watch); /* accepts NULL; ends the command, does not wait */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(WatchCommand, watch_command_free)
