#pragma once
/* What a kind's watch callback arms. One Watcher per vertex, owned by the engine; everything ends
 * with it. */
#include <stdbool.h>

#include "host/host.h"
#include "loop/loop.h"

typedef struct Watcher Watcher;

typedef enum {
    WATCH_READY,  /* once: every part is armed; whatever happens from here on is seen */
    WATCH_EVENT,  /* something may have changed; several at once are one. Only after WATCH_READY */
    WATCH_FAILED, /* once and last: a part died, all parts are ended; detail says why */
} WatchSignal;
/* Always called from the loop, never from within a function below. May free the watcher. detail is
 * NULL except with WATCH_FAILED, and borrowed for the call. */
typedef void (*WatchSink)(void *data, WatchSignal signal, const char *detail);

/* host and loop are borrowed and must outlive the watcher. owner: see host_writer_begin(). */
Watcher *watcher_new(Host *host, Loop *loop, uint64_t owner, WatchSink sink, void *data);
void watcher_free(Watcher *watcher); /* accepts NULL; no signal afterwards */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Watcher, watcher_free)

Host *watcher_machine(const Watcher *watcher); /* whose watches are armed; borrowed */
bool watcher_host(Watcher *watcher, HostWatchClass class, const char *name, GError **error);
/* A path beside the configuration, on this machine; relative to where the process runs, if it is. A
 * host below --root cannot watch it: then nothing is armed, and a change shows at the next look. An
 * event comes when nobody has written there for a moment. */
bool watcher_local(Watcher *watcher, HostWatchClass class, const char *path, GError **error);
void watcher_interval(Watcher *watcher, uint64_t interval_us); /* an event each interval, above 0 */
/* Every line the command prints is an event; its end is a failure. Below --root it runs there. It
 * is copied. When the watcher ends, its process group gets SIGTERM, and SIGKILL after 3 s. */
bool watcher_command(Watcher *watcher, const HostCommand *command, GError **error);
/* Whoever else tells of changes, from any thread: armed once HOST_EVENT_READY was told. Until end,
 * which is called in the loop's thread when the watcher ends, may it be told something. */
typedef struct WatcherTap WatcherTap;
WatcherTap *watcher_tap(Watcher *watcher);
void watcher_tap_own(WatcherTap *tap, GDestroyNotify end, void *data); /* once */
void watcher_tap_tell(WatcherTap *tap, HostEvent event, const char *detail);
/* The kind armed everything: WATCH_READY follows from the loop when each part is armed. Called by
 * the engine; nothing is signalled before. */
void watcher_start(Watcher *watcher);
