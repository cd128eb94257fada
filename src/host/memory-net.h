#pragma once
/*
 * Links, addresses and routes in memory, as Linux keeps them: for the fake host, and for what an
 * overlay predicts. Not thread-safe.
 */
#include "host/net.h"

typedef struct MemoryNet MemoryNet;

/* What is there before any change; exists = false: nothing. */
typedef bool (*MemoryNetLoad)(void *data, const char *link, NetInfo *ret_info, GError **error);

/* All names of links there; NULL: an error. */
typedef char **(*MemoryNetList)(void *data, GError **error);

/* load and list NULL: an empty machine. */
MemoryNet *memory_net_new(MemoryNetLoad load, MemoryNetList list, void *data);
void memory_net_free(MemoryNet *net);                                       /* accepts NULL */
void memory_net_put(MemoryNet *net, const char *link, const NetInfo *info); /* copied */
bool memory_net_query(MemoryNet *net, const char *link, NetInfo *ret_info, GError **error);
char **memory_net_list(MemoryNet *net, GError **error); /* caller frees */
bool memory_net_apply(MemoryNet *net, const NetChange *change, GError **error);
