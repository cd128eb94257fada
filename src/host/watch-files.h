#pragma once
/*
 * File watches of a real host: one inotify descriptor for each loop, whatever the number of
 * watches. Watches belong to their loop's thread; OwnWrite calls come from workers.
 */
#include "host/host-real-private.h"

FileWatchers *file_watchers_new(const char *root); /* "/" or the root directory, copied */
void file_watchers_free(FileWatchers *watchers);   /* no watch may be left; accepts NULL */

/* One watch over n_paths paths, each in its own right; tree: and everything below the first. */
HostWatch *file_watchers_add(FileWatchers *watchers, Loop *loop, const char *const *paths,
                             size_t n_paths, bool tree, uint64_t owner, HostWatchCallback callback,
                             void *data, GError **error);

/*
 * A change that this thread is about to make to path. Between begin and end, events about path are
 * kept back from watches of the thread's owner (host_writer()). At the end, after says what path
 * looks like now (NULL: absent), as seen directly after the change, and events the inotify events
 * that the change causes; those which fit are dropped, everything else is delivered.
 */
typedef struct {
    FileWatchers *watchers; /* NULL: nobody needs to know */
    const char *path;       /* borrowed */
    uint64_t owner;
} OwnWrite;

OwnWrite own_write_begin(FileWatchers *watchers, const char *path);
void own_write_end(OwnWrite *write, uint32_t events, const struct stat *after);
void own_write_abandon(OwnWrite *write); /* it failed: nothing is known; no-op after the end */
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(OwnWrite, own_write_abandon)
