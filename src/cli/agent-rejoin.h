#pragma once
/* Goes on with what `stead agent join` left anew, while the agent runs. */
#include "host/host.h"
#include "state/store.h"

typedef struct Rejoin Rejoin;
typedef void (*RejoinTell)(void *data, bool failed, const char *text);

/* store: as of store_open_joined() of directory, by which this machine is host. Without a watch
 * (told) a new certificate counts from the next start on. */
Rejoin *rejoin_new(Loop *loop, Store *store, const char *directory, const char *host,
                   RejoinTell tell, void *data);
/* The certificate was renewed: the next calls are made with the new one, and nothing is told. */
bool rejoin_renewed(Rejoin *rejoin, GError **error);
void rejoin_free(Rejoin *rejoin); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Rejoin, rejoin_free)
