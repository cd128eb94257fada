#pragma once
/* How the hosts of a lab get into its hub: as machines would, with a token each. */
#include "lab/record.h"
#include "lab/up.h"

/* All hosts run. Each that has an agent joins the hub, its labels with it, and its agent starts.
 * stopped says whether somebody wants it to end: CANCELLED then. */
bool join_host(const Record *record, const LabHost *host, bool (*stopped)(void *data), void *data,
               GError **error);
/* The hub turns it away from now on, until it joins again. */
bool join_revoke(const Record *record, const LabHost *host, GError **error);
/* Hosts that were there before know the names of those that are now. Their own lines stay. */
bool join_tell_names(const Record *record, const Lab *before, GError **error);
bool join_all(const Record *record, bool (*stopped)(void *data), void *data, GError **error);
