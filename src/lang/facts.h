#pragma once
/* Facts: what a host is, read from its files. Only what stays the same while nobody changes the
 * machine: no loads, no free memory, no counters. */
#include <glib.h>

#include "base/value.h"
#include "host/host.h"

/* New reference; NULL when the host (or this fact of it) cannot be read. host may be NULL. */
Value *facts_read(Host *host, const char *name);
bool facts_exists(const char *name);
size_t facts_count(void);
const char *facts_name(size_t index); /* in byte order */
const char *facts_help(size_t index);
/* What to say of a name that is no fact: the nearest one, or the member it may mean. Caller frees.
 */
char *facts_unknown(const char *name);
/* The members that the table of a fact may have, in byte order, with a blank between them; NULL: it
 * is no table, or name no fact. ret_of_each: each item of the table has them, and the names of the
 * items are the machine's. */
const char *facts_members(const char *name, bool *ret_of_each);
