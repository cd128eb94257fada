#pragma once
/* What `stead fleet status` tells of hosts, from the rows of a hub (fleet/roster.h). */
#include "base/value.h"
#include "cli/printer.h"

/* Whether somebody should look at it. A host that is silent is not well. */
bool fleet_host_is_well(const Value *row);
void fleet_host_print(Printer *printer, const Value *row);
/* How many there are of each sort; the sorts exclude each other. */
void fleet_counts_print(Printer *printer, const Value *rows);
