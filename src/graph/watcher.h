#pragma once
/* What a kind's watch callback arms. One Watcher per vertex, owned by the engine; everything ends
 * with it. */
#include <stdbool.h>

#include "host/host.h"
#include "loop/loop.h"

typedef struct Watcher Watcher;

typedef enum { WATCH_READY, WATCH_EVENT, WATCH_FAILED } WatchSignal;
typedef void (*WatchSink)(void *data, WatchSignal signal, const char *detail);

Watcher *watcher_new(Host *host, Loop *loop, uint64_t owner, WatchSink sink, void *data);
void watcher_free(Watcher *watcher); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Watcher, watcher_free)

bool watcher_host(Watcher *watcher, HostWatchClass class, const char *name, GError **error);
void watcher_interval(Watcher *watcher, uint64_t interval_us); /* an event each interval */
/* Every line the command prints is an event; its end is a failure. Below --root it runs there. */
bool watcher_command(Watcher *watcher, const HostCommand *command, GError **error);
/* The kind armed everything: WATCH_READY follows from the loop when each part is armed. Called by
 * the engine. */
void watcher_start(Watcher *watcher);
