#pragma once
/* Shared by host-fake.c and host-fake-watch.c only. */
#include "host/host-fake.h"
#include "host/host-ops.h"
#include "host/memory-net.h"
#include "host/memory-tree.h"
#include "host/memory-units.h"

typedef struct FakeWatches FakeWatches;

typedef struct {
    Host host;
    GMutex lock; /* of all below; not held while a scripted command or a watch callback runs */
    MemoryTree *tree;
    MemoryUnits *units;
    GHashTable *packages;      /* name -> PackageInfo */
    GHashTable *depends;       /* name -> char ** */
    GHashTable *offered_later; /* name -> version */
    char *refresh_problem;     /* of fetching lists; NULL: none */
    GHashTable *commands;      /* line -> Command */
    GHashTable *counts;        /* name of the operation -> number of calls */
    char *last_log;
    char *running_name;
    MemoryNet *net;
    NetSession session;
    bool has_session;
    MountTable *mounts;
    GHashTable *busy;    /* mount point -> who uses it */
    GHashTable *sysctls; /* key -> FakeSysctl */
    uint64_t writer;     /* whose change is being made */
    FakeWatches *watches;
} Fake;

static inline Fake *fake_of(Host *host) {
    return (Fake *)(void *)host;
}

/* The lock is held by the caller, except in fake_watch(). */
FakeWatches *fake_watches_new(Fake *fake);
void fake_watches_free(FakeWatches *watches); /* accepts NULL */
HostWatch *fake_watch(Fake *fake, Loop *loop, HostWatchClass class, const char *name,
                      uint64_t owner, HostWatchCallback callback, void *data);
void fake_watches_path_changed(FakeWatches *watches, const char *path, bool link);
/* Something else than a file. name: of a unit, with "user:" for the session, or of a link; NULL:
 * all of the class. */
void fake_watches_changed(FakeWatches *watches, HostWatchClass class, const char *name);
void fake_watches_lose_events(FakeWatches *watches);
