#pragma once
/* What only a store in etcd has: members, and questions about them. For those that look after a
 * cluster; store.h is for everybody else. */
#include "base/value.h"
#include "state/store.h"

typedef struct EtcdAsk EtcdAsk;

/* answer: the JSON object of the gateway, NULL with error, which has the codes of a call. */
typedef void (*EtcdAnswered)(void *data, const Value *answer, const GError *error);

/* POST URL/v3/PATH at that member alone, once: whoever asks knows which one is to be asked (NULL:
 * the one that calls ask now). body is JSON. The answer comes from the loop; cancel what is not
 * answered before the store is freed. */
EtcdAsk *etcd_ask(Store *state, const char *url, const char *path, const char *body,
                  uint64_t timeout_us, EtcdAnswered answered, void *data);
void etcd_ask_cancel(EtcdAsk *ask);
/* The same, waiting: not inside a callback. Caller unrefs; NULL with error. */
Value *etcd_ask_wait(Store *state, const char *url, const char *path, const char *body,
                     uint64_t timeout_us, GError **error);

/* From now on these are asked, as of StoreEtcdOptions. What is under way goes on. */
bool etcd_set_urls(Store *state, const char *urls, GError **error);
