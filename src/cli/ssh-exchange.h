#pragma once
/*
 * What `apply --ssh --watch --exchange ssh` lets its hosts share: a hub in this process, with a
 * store in memory, which each of them reaches through its own connection. A host is who its
 * certificate says; all of it ends with the run.
 */
#include "loop/loop.h"
#include "remote/target.h"

typedef struct SshExchange SshExchange;

/* hosts: as ssh takes them; what stands behind '@' is their name in the exchange. grants: what each
 * may publish besides its own name, as `agent --may-publish` takes it; or NULL. Waits (runs the
 * loop): not inside a callback, and after signals are watched, because it starts threads. */
SshExchange *ssh_exchange_new(Loop *loop, const GPtrArray *hosts, char *const *grants,
                              GError **error);
void ssh_exchange_free(SshExchange *exchange); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SshExchange, ssh_exchange_free)

const char *ssh_exchange_address(const SshExchange *exchange); /* for RemoteJob.back */
/* For RemoteJob.own_files: what lets host, and nobody else, take part. */
void ssh_exchange_files(void *exchange, const char *host, GArray *files);
/* The host's run has ended: what it published is gone at once, also when the connection was cut. */
void ssh_exchange_drop(SshExchange *exchange, const char *host);
