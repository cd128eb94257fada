#pragma once
/* Rules for names of machines, shared by the kinds host and hostname. */
#include <glib.h>
#include <stdbool.h>

/* What is wrong with it as a name in DNS or a hosts file (RFC 1123, with '_'); NULL: nothing. */
const char *host_name_problem(const char *name);
