#include "agent/kv-port.h"

#include <string.h>

#include "base/error.h"
#include "base/exchange-key.h"
#include "base/json.h"
#include "fleet/layout.h"
#include "fleet/mirror.h"

#define SLICE_US    50000 /* how often who waits looks whether it may still wait */
#define PATIENCE_US (10 * G_USEC_PER_SEC)

struct KvPort {
    HostKv kv; /* first */
    Loop *loop;
    Store *store;
    char *host;
    char **grants;
    GPtrArray *requests; /* of Request, those that the loop's thread has begun */
    Mirror *mirror;      /* of all values, once one is watched */
    GPtrArray *watches;  /* of Watch */
    bool failed;         /* the mirror does not reach the store: what it missed is not known */
};

typedef struct {
    KvPort *port;
    char *key; /* in the store */
    HostWatchCallback callback;
    void *data;
} Watch;

/* One call of a worker. Freed by the last of worker and loop. */
typedef struct {
    gatomicrefcount refs;
    KvPort *port;
    GBytes *key, *value; /* value NULL: get, or delete */
    bool is_put;
    StoreCall *call; /* of the loop's thread */
    GMutex lock;     /* of the following */
    GCond answered;
    bool done;
    GBytes *found;
    GError *error;
} Request;

static void request_unref(void *data) {
    Request *request = data;
    if (!g_atomic_ref_count_dec(&request->refs))
        return;
    g_clear_pointer(&request->key, g_bytes_unref);
    g_clear_pointer(&request->value, g_bytes_unref);
    g_clear_pointer(&request->found, g_bytes_unref);
    g_clear_error(&request->error);
    g_mutex_clear(&request->lock);
    g_cond_clear(&request->answered);
    g_free(request);
}

/* --- in the loop's thread */

static void on_answer(void *data, StoreAnswer *answer, const GError *error) {
    Request *request = data;
    request->call = NULL;
    const StoreEntry *entry = answer && !request->is_put ? store_answer_entry(answer) : NULL;
    g_mutex_lock(&request->lock);
    request->done = true;
    request->found = entry ? g_bytes_ref(entry->value) : NULL;
    request->error = error ? g_error_copy(error) : NULL;
    g_cond_signal(&request->answered);
    g_mutex_unlock(&request->lock);
    g_ptr_array_remove_fast(request->port->requests, request);
}

static void begin(void *data) {
    Request *request = data;
    Store *store = request->port->store;
    g_ptr_array_add(request->port->requests, request); /* the loop's reference goes along */
    if (!request->is_put)
        request->call = store_get(store, request->key, on_answer, request);
    else if (request->value)
        request->call = store_put(store, request->key, request->value, 0, on_answer, request);
    else
        request->call = store_delete(store, request->key, false, on_answer, request);
}

/* --- in a worker */

static Request *request_new(KvPort *port, const char *key, GBytes *value, bool is_put) {
    g_autofree char *full = g_strconcat(LAYOUT_KV, key, NULL);
    Request *request = g_new0(Request, 1);
    g_atomic_ref_count_init(&request->refs);
    g_atomic_ref_count_inc(&request->refs); /* the loop's */
    g_mutex_init(&request->lock);
    g_cond_init(&request->answered);
    request->port = port;
    request->key = layout_bytes(full);
    request->value = value ? g_bytes_ref(value) : NULL;
    request->is_put = is_put;
    return request;
}

static bool wait_for(Request *request, Cancel *cancel, GError **error) {
    int64_t end = g_get_monotonic_time() + PATIENCE_US;
    bool waits = true;
    g_mutex_lock(&request->lock);
    while (!request->done && waits) {
        g_cond_wait_until(&request->answered, &request->lock, g_get_monotonic_time() + SLICE_US);
        waits = cancel_check(cancel, error) && g_get_monotonic_time() < end;
    }
    bool done = request->done;
    if (done && request->error)
        g_propagate_error(error, g_error_copy(request->error));
    g_mutex_unlock(&request->lock);
    if (!done && error && !*error)
        g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_TIMEOUT,
                            "the store of the exchange does not answer");
    return done && !request->error;
}

/* False with error, or *ret_found: what a get found, NULL: nothing. */
static bool ask(KvPort *port, const char *key, GBytes *value, bool is_put, Cancel *cancel,
                GBytes **ret_found, GError **error) {
    Request *request = request_new(port, key, value, is_put);
    loop_post(port->loop, begin, request);
    bool ok = wait_for(request, cancel, error);
    if (ok && ret_found)
        *ret_found = request->found ? g_bytes_ref(request->found) : NULL;
    if (!ok)
        g_prefix_error(error, "%s '%s' in the exchange: ", is_put ? "put" : "get", key);
    request_unref(request);
    return ok;
}

static bool port_get(HostKv *kv, const char *key, Value **ret_value, Cancel *cancel,
                     GError **error) {
    g_autoptr(GBytes) found = NULL;
    *ret_value = NULL;
    if (!ask((KvPort *)kv, key, NULL, false, cancel, &found, error))
        return false;
    gsize size = 0;
    const char *text = found ? g_bytes_get_data(found, &size) : NULL;
    g_autoptr(Value) whole = text ? json_parse(text, size, key, NULL) : NULL;
    if (value_type(whole) == VALUE_MAP)
        *ret_value = value_ref(value_map_get(whole, "value"));
    return true; /* somebody else's bytes count as nothing, and are replaced */
}

static bool port_put(HostKv *kv, const char *key, const Value *value, Cancel *cancel,
                     GError **error) {
    KvPort *port = (KvPort *)kv;
    if (!exchange_may_publish(port->host, (const char *const *)port->grants, key, error))
        return false;
    if (!value)
        return ask(port, key, NULL, true, cancel, NULL, error);
    g_autoptr(Value) whole = value_new_map();
    value_map_set(whole, "value", value_ref(value));
    g_autofree char *text = json_print(whole, JSON_COMPACT);
    if (strlen(text) > EXCHANGE_LIMIT_VALUE) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_LIMIT,
                    "put '%s' in the exchange: it is larger than EXCHANGE_LIMIT_VALUE (256 KB)",
                    key);
        return false;
    }
    g_autoptr(GBytes) bytes = layout_bytes(text);
    return ask(port, key, bytes, true, cancel, NULL, error);
}

/* --- watching, in the loop's thread */

static void tell(KvPort *port, const char *key) {
    for (unsigned i = 0; i < port->watches->len; i++) {
        const Watch *watch = port->watches->pdata[i];
        if (!key || strcmp(watch->key, key) == 0)
            watch->callback(watch->data, HOST_EVENT_CHANGED, NULL);
    }
}

static void on_entry(void *data, const char *key, const StoreEntry *before,
                     const StoreEntry *after) {
    tell(data, key);
}

static void on_changed(void *data) {
    KvPort *port = data;
    if (port->failed)
        tell(port, NULL);
    port->failed = false;
}

static void on_failed(void *data, const GError *error) {
    ((KvPort *)data)->failed = true;
}

static void *port_watch(HostKv *kv, const char *key, HostWatchCallback callback, void *data) {
    KvPort *port = (KvPort *)kv;
    MirrorListener listener = {
        .entry = on_entry, .changed = on_changed, .failed = on_failed, .data = port
    };
    if (!port->mirror)
        port->mirror = mirror_new(port->loop, port->store, LAYOUT_KV, &listener);
    Watch *watch = g_new0(Watch, 1);
    watch->port = port;
    watch->key = g_strconcat(LAYOUT_KV, key, NULL);
    watch->callback = callback;
    watch->data = data;
    g_ptr_array_add(port->watches, watch);
    return watch;
}

static void port_unwatch(HostKv *kv, void *watch) {
    g_ptr_array_remove(((KvPort *)kv)->watches, watch);
}

static void watch_free(void *data) {
    Watch *watch = data;
    g_free(watch->key);
    g_free(watch);
}

/* --- life */

KvPort *kv_port_new(Loop *loop, Store *store, const char *host, const char *const *grants) {
    KvPort *port = g_new0(KvPort, 1);
    port->kv =
        (HostKv){ .get = port_get, .put = port_put, .watch = port_watch, .unwatch = port_unwatch };
    port->loop = loop;
    port->store = store;
    port->host = g_strdup(host);
    port->grants = g_strdupv((char **)(uintptr_t)grants);
    port->requests = g_ptr_array_new_with_free_func(request_unref);
    port->watches = g_ptr_array_new_with_free_func(watch_free);
    return port;
}

void kv_port_free(KvPort *port) {
    if (!port)
        return;
    for (unsigned i = 0; i < port->requests->len; i++) {
        Request *request = port->requests->pdata[i];
        store_call_cancel(request->call);
    }
    g_ptr_array_unref(port->requests);
    mirror_free(port->mirror);
    g_ptr_array_unref(port->watches);
    g_strfreev(port->grants);
    g_free(port->host);
    g_free(port);
}

HostKv *kv_port_kv(KvPort *port) {
    return &port->kv;
}
