#pragma once
/* How the hosts of a lab get into its hub: as machines would, with a token each. */
#include "lab/record.h"
#include "lab/up.h"

/* All hosts run. Each that has an agent joins the hub, its labels with it, and its agent starts.
 * stopped says whether somebody wants it to end: CANCELLED then. */
bool join_all(const Record *record, bool (*stopped)(void *data), void *data, GError **error);
