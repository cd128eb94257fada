#include "cli/cluster-link.h"

bool cluster_link_open(ClusterLink *link, const char *data, GError **error) {
    link->berth = berth_open(data, error);
    link->loop = link->berth ? loop_new(error) : NULL;
    if (!link->loop)
        return false;
    StoreEtcdOptions options = { .urls = link->berth->endpoints,
                                 .ca = link->berth->ca,
                                 .certificate = link->berth->certificate,
                                 .key = link->berth->key };
    link->store = store_open_etcd(link->loop, &options, error);
    return link->store != NULL;
}

void cluster_link_clear(ClusterLink *link) {
    g_clear_pointer(&link->store, store_free);
    g_clear_pointer(&link->loop, loop_free);
    g_clear_pointer(&link->berth, berth_free);
}
