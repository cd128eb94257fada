#pragma once
/* Values that the hosts of a fleet share, as kinds see them: whoever has an exchange gives it to
 * the host. */
#include "base/value.h"
#include "host/host.h"

typedef struct HostKv HostKv;
struct HostKv {
    /* Both block, and are not called in the loop's thread. *ret_value NULL: there is none. */
    bool (*get)(HostKv *kv, const char *key, Value **ret_value, Cancel *cancel, GError **error);
    /* value NULL: deletes. */
    bool (*put)(HostKv *kv, const char *key, const Value *value, Cancel *cancel, GError **error);
    /* Tells HOST_EVENT_CHANGED for what may have changed; in the loop's thread, as is all of it. */
    void *(*watch)(HostKv *kv, const char *key, HostWatchCallback callback, void *data);
    void (*unwatch)(HostKv *kv, void *watch);
};

/* Borrowed; NULL: none. Before anything else uses the host. */
void host_set_kv(Host *host, HostKv *kv);
HostKv *host_kv(const Host *host);

/* STEAD_ERROR_UNSUPPORTED: there is no exchange. */
bool host_kv_get(Host *host, const char *key, Value **ret_value, Cancel *cancel, GError **error);
bool host_kv_put(Host *host, const char *key, const Value *value, Cancel *cancel, GError **error);

/* What is put here is only remembered; the rest is read from base. */
HostKv *host_kv_predict(HostKv *base);
void host_kv_predict_free(HostKv *kv); /* accepts NULL */
