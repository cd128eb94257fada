#pragma once
/* What is mounted compared with what is to be, for the kind mount. */
#include "graph/kind.h"
#include "host/mounts.h"

typedef struct {
    const char *point;
    const char *device; /* as in fstab, like the rest; NULL: whatever is mounted is right */
    const char *fstype, *options;
} MountSpec;

typedef enum {
    LIVE_RIGHT,
    LIVE_REMOUNT, /* only options differ, and a remount changes them */
    LIVE_REPLACE, /* something else is mounted */
} LiveState;

/* The mount at spec's point compared with spec. Names of what differs, and how, are added to
 * changes (NULL: not asked for). What cannot be told counts as right. */
LiveState live_compare(Host *host, const MountTable *table, const Mount *live,
                       const MountSpec *spec, Changes *changes);
/* Waits for the first access to mount what belongs there: x-systemd.automount. */
bool live_is_automount(const Mount *live);
/* How to mount the same again: what a bind mount shows is found elsewhere in the table. Callers
 * free. */
char *live_device(const MountTable *table, const Mount *live);
char *live_options(const Mount *live, bool bound);
bool live_is_bound(const Mount *live);
/* What a machine cannot do without: such mounts are never ended. */
bool live_is_protected(const char *point);
