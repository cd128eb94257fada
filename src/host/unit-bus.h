#pragma once
/* A connection to a systemd manager over D-Bus, and calls on it that can be cancelled. One thread
 * uses a connection at a time. Protocol: org.freedesktop.systemd1(5). */
#include <systemd/sd-bus.h>

#include "host/host.h"

#define SYSTEMD_NAME    "org.freedesktop.systemd1"
#define SYSTEMD_PATH    "/org/freedesktop/systemd1"
#define SYSTEMD_MANAGER "org.freedesktop.systemd1.Manager"
#define SYSTEMD_UNIT    "org.freedesktop.systemd1.Unit"

typedef struct UnitBus UnitBus;

/* Opens a bus of the machine, or of the caller's session; not yet to anybody on it. */
sd_bus *unit_bus_connect(bool session, GError **error);

UnitBus *unit_bus_open(bool session, GError **error); /* STEAD_ERROR_UNSUPPORTED without systemd */
void unit_bus_close(UnitBus *bus);                    /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(UnitBus, unit_bus_close)
bool unit_bus_is_alive(UnitBus *bus);

/* Everything a query needs: properties of the unit, and what its files say now. */
bool unit_bus_query(UnitBus *bus, const char *name, UnitInfo *ret_info, GError **error);
bool unit_bus_apply(UnitBus *bus, const char *name, UnitVerb verb, Cancel *cancel, GError **error);

/* --- shared with the watches, and tested */

/* Whether systemd has looked at the conditions of a unit, and found them met; and what says whether
 * its files are newer than what runs. */
typedef struct {
    bool met;
    bool checked;
    uint64_t started_us; /* when it was last started, since the epoch; 0: never */
    int64_t changed_ns;  /* when the newest of its files was changed; 0: it has none */
    char id[256];        /* its own name, which may have been asked for by an alias; "": unknown */
} UnitConditions;

/* The object of a unit; caller frees. */
char *unit_object_path(const char *name);
/* An error of D-Bus as one of ours: "<message>" with the code that fits. Always returns false. */
bool unit_set_error(GError **error, const sd_bus_error *bus_error, int r);
/* What words of systemd mean for us. */
void unit_info_set_load_state(UnitInfo *info, const char *state);
void unit_info_set_active_state(UnitInfo *info, const char *state);
void unit_info_set_file_state(UnitInfo *info, const char *state);
/* Reads a{sv} of properties of SYSTEMD_UNIT; those which it lacks stay as they are. */
int unit_info_read(sd_bus_message *message, UnitInfo *info, UnitConditions *conditions);
const char *unit_verb_name(UnitVerb verb); /* "start", for messages */
