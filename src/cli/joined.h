#pragma once
/* The store of the fleet, on a machine that joined a hub ('stead agent join'). */
#include <stdbool.h>

#include "state/store.h"

/* Whether the machine with this state directory joined. */
bool is_joined(const char *state_dir);

/* Through the hub, or one of several, as the host that the certificate names: *ret_host, which the
 * caller frees. Does not wait for the hub. */
Store *store_open_joined(Loop *loop, const char *state_dir, char **ret_host, GError **error);
/* After the certificate was renewed: the next calls are made with the new one. */
bool store_renew_joined(Store *store, const char *state_dir, GError **error);
