#include <string.h>

#include "state/store.h"

Store *store_open(Loop *loop, const char *where, const StoreEtcdOptions *etcd, GError **error) {
    if (g_str_has_prefix(where, "sqlite=") && where[strlen("sqlite=")] != '\0')
        return store_open_sqlite(loop, where + strlen("sqlite="), error);
    if (g_str_has_prefix(where, "etcd=")) {
        StoreEtcdOptions options = etcd != NULL ? *etcd : (StoreEtcdOptions){ 0 };
        options.urls = where + strlen("etcd=");
        return store_open_etcd(loop, &options, error);
    }
    g_set_error(error, STORE_ERROR, STORE_ERROR_INVALID,
                "open store '%s': write sqlite=FILE or etcd=URL[,URL...]", where);
    return NULL;
}
