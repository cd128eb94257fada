#pragma once
/*
 * Watches of links, addresses and routes of this machine: one netlink socket for each loop. When
 * the kernel drops messages because too many came at once, every watch reports a change. Watches
 * belong to their loop's thread.
 */
#include "host/host-real-private.h"

NetWatchers *net_watchers_new(bool is_machine); /* false: nothing ever happens */
void net_watchers_free(NetWatchers *watchers);  /* no watch may be left; accepts NULL */

HostWatch *net_watchers_add(NetWatchers *watchers, Loop *loop, const char *link, uint64_t owner,
                            HostWatchCallback callback, void *data, GError **error);
