#pragma once
/*
 * Unit watches of a real host: one connection to each manager for each loop. Watches belong to
 * their loop's thread; OwnUnitChange calls come from workers.
 *
 * A watch knows the state its unit was last in. Signals of the manager are many (one restart makes
 * a dozen) and are told only when they lead to another state. What the owner of a watch did itself
 * becomes the known state without being told.
 */
#include "host/host-real-private.h"

UnitWatchers *unit_watchers_new(void);
void unit_watchers_free(UnitWatchers *watchers); /* no watch may be left; accepts NULL */

/* name: of the unit, "user:" before it for the session's manager. */
HostWatch *unit_watchers_add(UnitWatchers *watchers, Loop *loop, const char *name, uint64_t owner,
                             HostWatchCallback callback, void *data, GError **error);

/* A change that this thread makes to a unit. Between begin and end, what happens to it is kept
 * back from watches of the thread's owner (host_writer()). */
typedef struct {
    UnitWatchers *watchers; /* NULL: nobody needs to know */
    const char *name;       /* borrowed */
    bool session;
    uint64_t owner;
} OwnUnitChange;

OwnUnitChange own_unit_begin(UnitWatchers *watchers, const char *name, bool session);
void own_unit_end(OwnUnitChange *change, UnitVerb verb, const UnitInfo *after);
void own_unit_abandon(OwnUnitChange *change); /* it failed; no-op after the end */
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(OwnUnitChange, own_unit_abandon)
