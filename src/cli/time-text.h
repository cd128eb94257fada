#pragma once
/* Times as people write them on the command line. */
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* "90s", "15m", "2h", "7d" (ago), or ISO 8601 in local time unless it says otherwise. Wall us. */
bool time_parse(const char *text, int64_t *ret_wall_us, GError **error);
char *time_show(int64_t wall_us); /* local time; caller frees */
/* How long something is: "90", "90s", "15m", "1h", "7d", up to a year, in seconds; option: whose
 * value it is, for errors. */
bool time_span_parse(const char *option, const char *text, int64_t *ret_s, GError **error);
