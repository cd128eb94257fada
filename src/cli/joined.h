#pragma once
/* The store of the fleet, on a machine that joined a hub ('stead agent join'). */
#include <stdbool.h>

#include "state/store.h"

/* Whether the machine with this state directory joined. */
bool is_joined(const char *state_dir);

/* In a membership's directory, beside what agent_join() writes: the path of the socket of this
 * machine that leads to the hub. */
#define MEMBERSHIP_SOCKET "socket"

/* The host that the certificate names. Caller frees. */
char *joined_name(const char *directory, GError **error);

/* Through the hub, or one of several, as the host that the certificate names: *ret_host, which the
 * caller frees. directory: what agent_join() wrote. Does not wait for the hub. */
Store *store_open_joined(Loop *loop, const char *directory, char **ret_host, GError **error);
/* After the certificate was renewed: the next calls are made with the new one. */
bool store_renew_joined(Store *store, const char *directory, GError **error);
