#pragma once
/* The names that people give for hosts, labels and facts of a fleet: whether they mean anything. */
#include "cli/hub-call.h"

/* To be asked where a selector means no host: false when one of its names or values is nobody's,
 * with the nearest one that is somebody's, or when nobody is all of it. True: no host has joined.
 */
bool fleet_check_selector(const HubLink *link, const char *selector, GError **error);
/* Whether any host has a label or fact name; true also where none has joined. */
bool fleet_check_name(const HubLink *link, const char *name, GError **error);
/* To be asked where no host that is meant has the fact path ("os.name"); true: others have. */
bool fleet_check_fact(const HubLink *link, const char *path, GError **error);
