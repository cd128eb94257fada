#pragma once
/* Writes to a store that stay there: the newest value of each key, in the order of the keys' first
 * writes, several in a transaction. While the store is out of reach they wait: at most OUTBOX_MAX
 * keys, of which the oldest are dropped. */
#include "state/store.h"

#define OUTBOX_MAX 256u

typedef struct Outbox Outbox;

/* refused (may be NULL) is told what the store does not take; that is dropped. store is borrowed.
 */
Outbox *outbox_new(Loop *loop, Store *store, void (*refused)(void *data, const GError *error),
                   void *data);
void outbox_free(Outbox *outbox); /* what was not sent never is; accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Outbox, outbox_free)
/* value NULL deletes. */
void outbox_put(Outbox *outbox, const char *key, GBytes *value);
/* A write that waits, and was never sent, is not sent at all. False: there is none. */
bool outbox_take_back(Outbox *outbox, const char *key);
