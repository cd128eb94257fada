#include "host/memory-net.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/error.h"

#define DEFAULT_MTU 1500

struct MemoryNet {
    GHashTable *links; /* name -> NetInfo; exists = false: it is known not to be there */
    MemoryNetLoad load;
    MemoryNetList list;
    bool complete; /* all of list are in links */
    void *data;
};

static void free_info(void *info) {
    net_info_clear(info);
    g_free(info);
}

MemoryNet *memory_net_new(MemoryNetLoad load, MemoryNetList list, void *data) {
    MemoryNet *net = g_new0(MemoryNet, 1);
    net->links = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, free_info);
    net->load = load;
    net->list = list;
    net->complete = list == NULL;
    net->data = data;
    return net;
}

void memory_net_free(MemoryNet *net) {
    if (net == NULL)
        return;
    g_hash_table_unref(net->links);
    g_free(net);
}

void memory_net_put(MemoryNet *net, const char *link, const NetInfo *info) {
    NetInfo *copy = g_new0(NetInfo, 1);
    net_info_copy(copy, info);
    g_hash_table_replace(net->links, g_strdup(link), copy);
}

/* Known not to be there. */
static bool is_gone(const MemoryNet *net, const char *link) {
    const NetInfo *info = g_hash_table_lookup(net->links, link);
    return info != NULL && !info->exists;
}

/* The link as kept here, loaded when it was not; NULL: an error. */
static NetInfo *look_up(MemoryNet *net, const char *link, GError **error) {
    NetInfo *info = g_hash_table_lookup(net->links, link);
    if (info != NULL)
        return info;
    g_auto(NetInfo) loaded = { 0 };
    if (net->load != NULL && !net->load(net->data, link, &loaded, error))
        return NULL;
    if (is_gone(net, loaded.master))
        *loaded.master = '\0';
    memory_net_put(net, link, &loaded);
    return g_hash_table_lookup(net->links, link);
}

bool memory_net_query(MemoryNet *net, const char *link, NetInfo *ret_info, GError **error) {
    const NetInfo *info = look_up(net, link, error);
    if (info == NULL)
        return false;
    net_info_copy(ret_info, info);
    return true;
}

/* Loads what there is; what a step does may be about any link. */
static bool look_up_all(MemoryNet *net, GError **error) {
    g_auto(GStrv) names = net->complete ? NULL : net->list(net->data, error);
    if (!net->complete && names == NULL)
        return false;
    for (char **name = names; name != NULL && *name != NULL; name++)
        if (look_up(net, *name, error) == NULL)
            return false;
    net->complete = true;
    return true;
}

char **memory_net_list(MemoryNet *net, GError **error) {
    if (!look_up_all(net, error))
        return NULL;
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    GHashTableIter iter;
    void *name, *info;
    g_hash_table_iter_init(&iter, net->links);
    while (g_hash_table_iter_next(&iter, &name, &info))
        if (((NetInfo *)info)->exists)
            g_ptr_array_add(names, g_strdup(name));
    g_ptr_array_add(names, NULL);
    return (char **)g_ptr_array_free(g_steal_pointer(&names), FALSE);
}

static NetInfo *existing(MemoryNet *net, const char *link, GError **error) {
    NetInfo *info = look_up(net, link, error);
    if (info == NULL || info->exists)
        return info;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND, "there is no interface '%s'", link);
    return NULL;
}

/* --- links */

static void make_link(MemoryNet *net, const char *name, const NetMake *make) {
    g_auto(NetInfo) info;
    net_info_init(&info);
    info.make = *make;
    info.mtu = DEFAULT_MTU;
    info.has_mac = net->load == NULL; /* of a predicted link it is the kernel's choice */
    memory_net_put(net, name, &info);
}

static bool check_free(MemoryNet *net, const char *name, GError **error) {
    const NetInfo *info = look_up(net, name, error);
    if (info == NULL)
        return false;
    if (info->exists)
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_EXISTS, "there is an interface '%s' already",
                    name);
    return !info->exists;
}

static bool link_add(MemoryNet *net, const NetChange *change, GError **error) {
    const NetMake *make = change->make;
    if (!check_free(net, change->link, error) ||
        (*make->link != '\0' && existing(net, make->link, error) == NULL) ||
        (*make->peer != '\0' && !check_free(net, make->peer, error)))
        return false;
    make_link(net, change->link, make);
    if (*make->peer != '\0') {
        NetMake peer = *make;
        g_strlcpy(peer.peer, change->link, sizeof peer.peer);
        make_link(net, make->peer, &peer);
    }
    return true;
}

static void forget_link(MemoryNet *net, const char *name) {
    const NetInfo gone = { 0 };
    memory_net_put(net, name, &gone);
    GHashTableIter iter;
    void *info;
    g_hash_table_iter_init(&iter, net->links);
    while (g_hash_table_iter_next(&iter, NULL, &info))
        if (strcmp(((NetInfo *)info)->master, name) == 0)
            *((NetInfo *)info)->master = '\0';
}

static bool link_delete(MemoryNet *net, const char *name, const NetInfo *info, GError **error) {
    if (*info->make.type == '\0') {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_IO, "%s", g_strerror(EOPNOTSUPP));
        return false;
    }
    g_autofree char *peer = g_strdup(info->make.peer);
    forget_link(net, name);
    if (*peer != '\0')
        forget_link(net, peer);
    return true;
}

static void link_down(NetInfo *info) {
    info->up = false;
    g_array_set_size(info->routes, 0);
    for (guint i = info->addresses->len; i > 0; i--)
        if (g_array_index(info->addresses, NetAddress, i - 1).prefix.family == AF_INET6)
            g_array_remove_index(info->addresses, i - 1);
}

static bool link_master(MemoryNet *net, NetInfo *info, const char *master, GError **error) {
    if (*master != '\0' && existing(net, master, error) == NULL)
        return false;
    g_strlcpy(info->master, master, sizeof info->master);
    return true;
}

/* --- addresses and routes */

static bool not_there(GError **error) {
    g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND, "it is not there");
    return false;
}

static bool address_delete(NetInfo *info, const IpPrefix *prefix, GError **error) {
    const NetAddress *found = net_info_find_address(info, prefix);
    if (found == NULL)
        return not_there(error);
    g_array_remove_index(info->addresses,
                         (guint)(found - &g_array_index(info->addresses, NetAddress, 0)));
    for (guint i = info->routes->len; i > 0; i--)
        if (ip_same_address(&g_array_index(info->routes, NetRoute, i - 1).source, prefix))
            g_array_remove_index(info->routes, i - 1);
    return true;
}

static void address_add(NetInfo *info, const IpPrefix *prefix) {
    (void)address_delete(info, prefix, NULL); /* it may not be there */
    NetAddress address = { .prefix = *prefix };
    g_array_append_val(info->addresses, address);
}

static bool reaches(const NetInfo *info, const NetRoute *route) {
    if (route->via.family == AF_UNSPEC || route->onlink || ip_is_link_local(&route->via))
        return true;
    for (guint i = 0; i < info->addresses->len; i++)
        if (ip_contains(&g_array_index(info->addresses, NetAddress, i).prefix, &route->via))
            return true;
    for (guint i = 0; i < info->routes->len; i++) {
        const NetRoute *other = &g_array_index(info->routes, NetRoute, i);
        if (other->via.family == AF_UNSPEC && ip_contains(&other->destination, &route->via))
            return true;
    }
    return false;
}

/* The number of links that gave up a route for this one. */
static unsigned clear_place(MemoryNet *net, const NetRoute *route, bool remove) {
    unsigned found = 0;
    GHashTableIter iter;
    void *value;
    g_hash_table_iter_init(&iter, net->links);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const NetInfo *info = value;
        for (guint i = info->routes != NULL ? info->routes->len : 0; i > 0; i--) {
            if (!net_route_same_place(&g_array_index(info->routes, NetRoute, i - 1), route))
                continue;
            found++;
            if (remove)
                g_array_remove_index(info->routes, i - 1);
        }
    }
    return found;
}

static bool route_add(MemoryNet *net, NetInfo *info, const NetChange *change, GError **error) {
    if (!info->up || !reaches(info, &change->route)) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_IO, "%s",
                    g_strerror(info->up ? ENETUNREACH : ENETDOWN));
        return false;
    }
    if (!look_up_all(net, error))
        return false;
    bool replace = change->verb == NET_ROUTE_REPLACE;
    if (clear_place(net, &change->route, replace) > 0 && !replace) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_EXISTS, "%s", g_strerror(EEXIST));
        return false;
    }
    g_array_append_val(info->routes, change->route);
    return true;
}

static bool route_delete(NetInfo *info, const NetRoute *route, GError **error) {
    const NetRoute *found = net_info_find_route(info, route);
    if (found == NULL)
        return not_there(error);
    g_array_remove_index(info->routes, (guint)(found - &g_array_index(info->routes, NetRoute, 0)));
    return true;
}

/* --- one step */

static bool change_link(MemoryNet *net, NetInfo *info, const NetChange *change, GError **error) {
    switch (change->verb) {
    case NET_LINK_ADD:
        break;
    case NET_LINK_DELETE:
        return link_delete(net, change->link, info, error);
    case NET_UP:
        info->up = true;
        return true;
    case NET_DOWN:
        link_down(info);
        return true;
    case NET_MASTER:
        return link_master(net, info, change->master, error);
    case NET_MTU:
        info->mtu = change->mtu;
        return true;
    case NET_MAC:
        info->has_mac = true;
        memcpy(info->mac, change->mac, sizeof info->mac);
        return true;
    case NET_FORWARD:
        info->forwards = change->on;
        return true;
    case NET_ADDRESS_ADD:
        address_add(info, &change->address);
        return true;
    case NET_ADDRESS_DELETE:
        return address_delete(info, &change->address, error);
    case NET_ROUTE_ADD:
    case NET_ROUTE_REPLACE:
        return route_add(net, info, change, error);
    case NET_ROUTE_DELETE:
        return route_delete(info, &change->route, error);
    }
    g_assert_not_reached();
}

bool memory_net_apply(MemoryNet *net, const NetChange *change, GError **error) {
    NetInfo *info = change->verb == NET_LINK_ADD ? NULL : existing(net, change->link, error);
    bool done = change->verb == NET_LINK_ADD
                    ? link_add(net, change, error)
                    : info != NULL && change_link(net, info, change, error);
    if (done)
        return true;
    g_autofree char *what = net_change_text(change);
    g_prefix_error(error, "%s: ", what);
    return false;
}
