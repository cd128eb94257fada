#pragma once
/* Calls of a systemd manager that end when who waits for them wants to stop, or when the machine
 * goes down: what unit-bus.c, unit-fate.c and unit-job.c stand on. */
#include "host/unit-bus.h"

struct UnitBus {
    sd_bus *bus;
    bool session;
    sd_bus_slot *job_removed; /* NULL until a job is first waited for */
    GHashTable *results;      /* path of a job that ended -> its result */
};

typedef struct {
    sd_bus_message *reply; /* also an error's */
    sd_bus_slot *slot;
} UnitCall;

void unit_call_clear(UnitCall *call);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(UnitCall, unit_call_clear)

/* Takes ownership of message. */
bool unit_call_send(UnitBus *bus, sd_bus_message *message, UnitCall *call, GError **error);
/* Until the reply is there; an error in it is one of ours then. */
bool unit_call_wait(UnitBus *bus, UnitCall *call, Cancel *cancel, GError **error);
/* A call of the manager; NULL only without memory. */
sd_bus_message *unit_manager_message(UnitBus *bus, const char *method);
/* Makes one, with arguments as sd_bus_message_append() takes them, sends it and waits. */
bool unit_call_manager(UnitBus *bus, UnitCall *call, Cancel *cancel, GError **error,
                       const char *method, const char *types, ...);
/* Works on the connection until is_done says so. */
bool unit_bus_pump(UnitBus *bus, bool (*is_done)(UnitBus *bus, void *data), void *data,
                   Cancel *cancel, GError **error);
/* Whether the machine, or the session, is on its way down. */
bool unit_bus_is_going_down(const UnitBus *bus);
bool unit_going_down_error(GError **error); /* always false */

/* --- unit-bus.c */

bool unit_query_properties(UnitBus *bus, const char *name, UnitInfo *info,
                           UnitConditions *conditions, Cancel *cancel, GError **error);

/* --- unit-job.c */

/* Queues a job by this method and waits for its end. starts: the unit is to run afterwards. */
bool unit_job_run(UnitBus *bus, const char *name, const char *method, bool starts, Cancel *cancel,
                  GError **error);
