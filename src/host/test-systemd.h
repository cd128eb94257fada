#pragma once
/* A message bus of our own with something on it that answers as systemd does. Units: "good.service"
 * (runs), "bad.service" (does not start), "slow.service" (its jobs end only when cancelled),
 * "bare.service" (no [Install] section, conditions not met), "brief.service" (ends right after its
 * start), "loop.service" (so, and is started again and again); all others do not exist. */
#include <glib.h>
#include <stdbool.h>
#include <systemd/sd-bus.h>

typedef struct FakeSystemd FakeSystemd;

/* Sets DBUS_SYSTEM_BUS_ADDRESS. NULL: there is no dbus-daemon here. */
FakeSystemd *fake_systemd_new(void);
void fake_systemd_free(FakeSystemd *systemd); /* accepts NULL */
void fake_systemd_kill_bus(FakeSystemd *systemd);
/* So many questions about units get no answer, as while systemd executes itself again. */
void fake_systemd_go_away(FakeSystemd *systemd, unsigned questions);
void fake_systemd_go_down(FakeSystemd *systemd); /* from now on the machine shuts down */

/* As systemctl would, on a connection of its own: a method of the manager with one unit. */
void fake_systemd_call(FakeSystemd *systemd, const char *method, const char *unit);
/* Methods called so far, the last one last: "StartUnit(good.service) ". Caller frees; forgets. */
char *fake_systemd_take_calls(FakeSystemd *systemd);
