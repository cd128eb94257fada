#pragma once
/* The lasting values of the exchange, as kinds in their worker threads use them. */
#include "host/kv.h"
#include "loop/loop.h"
#include "state/store.h"

typedef struct KvPort KvPort;

/* All is borrowed and outlives the port. grants: as of ExchangeOptions. */
KvPort *kv_port_new(Loop *loop, Store *store, const char *host, const char *const *grants);
/* Accepts NULL. No worker may be using it any more. */
void kv_port_free(KvPort *port);
HostKv *kv_port_kv(KvPort *port);
