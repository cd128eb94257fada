#pragma once
/* What a unit has written to the journal: the why of its failure. */
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* The last lines since that time (us since the epoch), each "\n    " and the line; "" when there
 * are none, or no journal. Waits a moment for those that are on their way. Caller frees. */
char *unit_journal_tail(const char *unit, bool session, uint64_t since_us);

/* The same, only of what it called an error (priority err and above); NULL: nothing. */
char *unit_journal_errors(const char *unit, bool session, uint64_t since_us);
