/* The way from what is to what should be, so that there is no moment without a working address or
 * route where that can be avoided: what is new comes first, what goes comes last. */
#include <string.h>
#include <sys/socket.h>

#include "kinds/net-spec.h"

static NetChange step(const NetSpec *spec, NetVerb verb) {
    return (NetChange){ .verb = verb, .link = spec->link, .make = &spec->make };
}

static void add_step(const NetSpec *spec, GArray *steps, NetVerb verb) {
    NetChange change = step(spec, verb);
    g_array_append_val(steps, change);
}

/* --- the link */

static void add_link_steps(const NetSpec *spec, const NetInfo *info, GArray *steps) {
    const Resource *resource = spec->resource;
    const char *master = resource_string(resource, NET_ROW_MASTER);
    NetChange mac = step(spec, NET_MAC), mtu = step(spec, NET_MTU);
    NetChange put = step(spec, NET_MASTER), forward = step(spec, NET_FORWARD);
    memcpy(mac.mac, spec->mac, sizeof mac.mac);
    mtu.mtu = (uint32_t)resource_int(resource, NET_ROW_MTU, info->mtu);
    put.master = master;
    forward.on = resource_bool(resource, NET_IP_FORWARD);
    if (resource_string(resource, NET_ROW_MAC) != NULL &&
        (!info->has_mac || memcmp(mac.mac, info->mac, sizeof mac.mac) != 0))
        g_array_append_val(steps, mac);
    if (mtu.mtu != info->mtu)
        g_array_append_val(steps, mtu);
    if (master != NULL && strcmp(master, info->master) != 0)
        g_array_append_val(steps, put);
    if (resource_get(resource, NET_IP_FORWARD) != NULL && forward.on != info->forwards)
        g_array_append_val(steps, forward);
    if (spec->up != info->up)
        add_step(spec, steps, spec->up ? NET_UP : NET_DOWN);
}

/* --- addresses and routes */

static void add_new_addresses(const NetSpec *spec, const NetInfo *info, GArray *steps) {
    NetChange change = step(spec, NET_ADDRESS_ADD);
    for (guint i = 0; i < spec->addresses->len; i++) {
        change.address = g_array_index(spec->addresses, IpPrefix, i);
        const NetAddress *found = net_info_find_address(info, &change.address);
        if (found == NULL || found->dynamic)
            g_array_append_val(steps, change);
    }
}

static bool takes_place(const NetInfo *info, const NetRoute *route) {
    for (guint i = 0; i < info->routes->len; i++)
        if (net_route_same_place(&g_array_index(info->routes, NetRoute, i), route))
            return true;
    return false;
}

static void add_new_routes(const NetSpec *spec, const NetInfo *info, const GArray *routes,
                           bool with_via, GArray *steps) {
    for (guint i = 0; i < routes->len; i++) {
        const NetRoute *route = &g_array_index(routes, NetRoute, i);
        if ((route->via.family != AF_UNSPEC) != with_via || net_info_find_route(info, route))
            continue;
        NetChange change =
            step(spec, takes_place(info, route) || spec->force ? NET_ROUTE_REPLACE : NET_ROUTE_ADD);
        change.route = *route;
        g_array_append_val(steps, change);
    }
}

static bool is_replaced(const GArray *routes, const NetRoute *route) {
    for (guint i = 0; i < routes->len; i++)
        if (net_route_same_place(&g_array_index(routes, NetRoute, i), route))
            return true;
    return false;
}

static void remove_old_routes(const NetSpec *spec, const NetInfo *info, GArray *steps) {
    NetChange change = step(spec, NET_ROUTE_DELETE);
    for (guint i = 0; i < info->routes->len; i++) {
        change.route = g_array_index(info->routes, NetRoute, i);
        if (net_spec_covers_route(spec, &change.route) &&
            !net_spec_keeps_route(spec, &change.route) &&
            !is_replaced(spec->gateways, &change.route) &&
            !is_replaced(spec->routes, &change.route))
            g_array_append_val(steps, change);
    }
}

static void remove_old_addresses(const NetSpec *spec, const NetInfo *info, GArray *steps) {
    NetChange change = step(spec, NET_ADDRESS_DELETE);
    for (guint i = 0; i < info->addresses->len; i++) {
        const NetAddress *found = &g_array_index(info->addresses, NetAddress, i);
        change.address = found->prefix;
        if (net_spec_covers_address(spec, found) && !net_spec_keeps_address(spec, &found->prefix))
            g_array_append_val(steps, change);
    }
}

GArray *net_steps(const NetSpec *spec, const NetInfo *info) {
    GArray *steps = g_array_new(FALSE, FALSE, sizeof(NetChange));
    bool otherwise = info->exists && net_spec_made_otherwise(spec, info) != NULL;
    if (info->exists && (spec->absent || otherwise))
        add_step(spec, steps, NET_LINK_DELETE);
    if (!spec->absent && spec->type != NULL && (!info->exists || otherwise))
        add_step(spec, steps, NET_LINK_ADD);
    if (spec->absent || !info->exists || otherwise)
        return steps;
    add_link_steps(spec, info, steps);
    add_new_addresses(spec, info, steps);
    add_new_routes(spec, info, spec->routes, false, steps); /* others may lead over these */
    add_new_routes(spec, info, spec->routes, true, steps);
    add_new_routes(spec, info, spec->gateways, true, steps);
    remove_old_routes(spec, info, steps);
    remove_old_addresses(spec, info, steps);
    return steps;
}

/* --- whom it would cut off */

static bool has_ip(const NetInfo *info, const IpPrefix *ip) {
    for (guint i = 0; i < info->addresses->len; i++)
        if (ip_same_address(&g_array_index(info->addresses, NetAddress, i).prefix, ip))
            return true;
    return false;
}

/* By which route of this link the client is reached; NULL: by none, or it is on the link itself. */
static const NetRoute *route_to(const NetInfo *info, const IpPrefix *client) {
    const NetRoute *best = NULL;
    for (guint i = 0; i < info->addresses->len; i++)
        if (ip_contains(&g_array_index(info->addresses, NetAddress, i).prefix, client))
            return NULL;
    for (guint i = 0; i < info->routes->len; i++) {
        const NetRoute *route = &g_array_index(info->routes, NetRoute, i);
        if (ip_contains(&route->destination, client) &&
            (best == NULL || route->destination.length > best->destination.length ||
             (route->destination.length == best->destination.length &&
              route->metric < best->metric)))
            best = route;
    }
    return best;
}

typedef struct {
    const NetSpec *spec;
    const NetInfo *info;
    const NetSession *session;
    const NetRoute *route; /* by which the client is reached; may be NULL */
} Danger;

static bool readds_ip(const NetSpec *spec, const IpPrefix *ip) {
    for (guint i = 0; i < spec->addresses->len; i++)
        if (ip_same_address(&g_array_index(spec->addresses, IpPrefix, i), ip))
            return true;
    return false;
}

static bool cuts(const Danger *danger, const NetChange *change) {
    bool here = has_ip(danger->info, &danger->session->server) || danger->route != NULL;
    switch (change->verb) {
    case NET_LINK_DELETE:
    case NET_DOWN:
        return here;
    case NET_MASTER:
        return here && *change->master != '\0';
    case NET_ADDRESS_DELETE:
        return ip_same_address(&change->address, &danger->session->server) &&
               !readds_ip(danger->spec, &change->address);
    case NET_ROUTE_DELETE:
        return danger->route != NULL && net_route_equal(&change->route, danger->route);
    case NET_ROUTE_REPLACE:
        return danger->route != NULL && net_route_same_place(&change->route, danger->route) &&
               !ip_same_address(&change->route.via, &danger->route->via);
    case NET_LINK_ADD:
    case NET_UP:
    case NET_MTU:
    case NET_MAC:
    case NET_FORWARD:
    case NET_ADDRESS_ADD:
    case NET_ROUTE_ADD:
        return false;
    }
    g_assert_not_reached();
}

char *net_steps_cut_off(const NetSpec *spec, const NetInfo *info, const GArray *steps,
                        const NetSession *session) {
    if (!info->exists)
        return NULL;
    Danger danger = { spec, info, session, route_to(info, &session->client) };
    for (guint i = 0; i < steps->len; i++) {
        const NetChange *change = &g_array_index(steps, NetChange, i);
        if (cuts(&danger, change))
            return net_change_text(change);
    }
    return NULL;
}
