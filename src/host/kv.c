#include "host/kv.h"

#include "base/error.h"
#include "host/host-ops.h"

void host_set_kv(Host *host, HostKv *kv) {
    host->kv = kv;
}

HostKv *host_kv(const Host *host) {
    return host->kv;
}

static bool has_kv(const Host *host, GError **error) {
    if (host->kv)
        return true;
    g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_UNSUPPORTED,
                        "there is no exchange: an agent has one with --exchange STORE");
    return false;
}

bool host_kv_get(Host *host, const char *key, Value **ret_value, Cancel *cancel, GError **error) {
    *ret_value = NULL;
    return has_kv(host, error) && host->kv->get(host->kv, key, ret_value, cancel, error);
}

bool host_kv_put(Host *host, const char *key, const Value *value, Cancel *cancel, GError **error) {
    return has_kv(host, error) && host->kv->put(host->kv, key, value, cancel, error);
}

/* --- predictions */

typedef struct {
    HostKv kv;
    HostKv *base;
    GMutex lock;
    GHashTable *values; /* key -> Value; nil: deleted */
} Prediction;

static bool predict_get(HostKv *kv, const char *key, Value **ret_value, Cancel *cancel,
                        GError **error) {
    Prediction *self = (Prediction *)kv;
    g_mutex_lock(&self->lock);
    const Value *value = g_hash_table_lookup(self->values, key);
    if (value && value_type(value) != VALUE_NIL)
        *ret_value = value_ref(value);
    g_mutex_unlock(&self->lock);
    return value || self->base->get(self->base, key, ret_value, cancel, error);
}

static bool predict_put(HostKv *kv, const char *key, const Value *value, Cancel *cancel,
                        GError **error) {
    Prediction *self = (Prediction *)kv;
    g_mutex_lock(&self->lock);
    g_hash_table_replace(self->values, g_strdup(key), value ? value_ref(value) : value_new_nil());
    g_mutex_unlock(&self->lock);
    return true;
}

HostKv *host_kv_predict(HostKv *base) {
    Prediction *self = g_new0(Prediction, 1);
    self->kv = (HostKv){ .get = predict_get, .put = predict_put };
    self->base = base;
    g_mutex_init(&self->lock);
    self->values =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)value_unref);
    return &self->kv;
}

void host_kv_predict_free(HostKv *kv) {
    Prediction *self = (Prediction *)kv;
    if (!self)
        return;
    g_hash_table_unref(self->values);
    g_mutex_clear(&self->lock);
    g_free(self);
}
