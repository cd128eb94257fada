#pragma once
/* Times as systemd writes them: systemd.time(7), CALENDAR EVENTS and PARSING TIME SPANS. What
 * passes here may still be refused by the systemd of a host (a time zone that it does not have). */
#include <glib.h>
#include <stdbool.h>

/* What systemd-analyze calendar takes, such as "Mon..Fri *-*-* 02:30". param: for the message. */
bool calendar_check(const char *param, const char *text, GError **error);
/* Above zero, such as "90", "5min 20s" or "1.5h". */
bool time_span_check(const char *param, const char *text, GError **error);
