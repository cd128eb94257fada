#include "kinds/net-spec.h"

#include <inttypes.h>
#include <string.h>
#include <sys/socket.h>

#define MTU_MIN   68 /* of IPv4; IPv6 wants 1280 */
#define MTU_IPV6  1280
#define MTU_MAX   65535
#define VXLAN_MAX 0xffffff
#define VLAN_MAX  4094
#define PORT_MAX  65535

static bool refuse(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

static bool refuse(GError **error, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *message = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_CONFIG, message);
    return false;
}

static bool is_set(const Resource *resource, unsigned param) {
    return value_type(resource_get(resource, param)) != VALUE_NIL;
}

/* --- addresses */

static bool check_host_part(const IpPrefix *address, const char *text, GError **error) {
    IpPrefix network = ip_network(address);
    unsigned full = ip_width(address);
    if (address->family != AF_INET || address->length >= full - 1 ||
        !ip_same_address(&network, address))
        return true;
    network.bytes[3]++;
    g_autofree char *right = ip_prefix_text(&network);
    return refuse(error, "'%s' is a network, not an address in it; perhaps %s is meant", text,
                  right);
}

static bool check_repetition(const GArray *addresses, const IpPrefix *address, const char *text,
                             GError **error) {
    for (guint i = 0; i < addresses->len; i++) {
        const IpPrefix *other = &g_array_index(addresses, IpPrefix, i);
        if (!ip_same_address(other, address))
            continue;
        g_autofree char *first = ip_prefix_text(other);
        return refuse(error,
                      "'%s' and '%s' are the same address: keep the one with the right length",
                      first, text);
    }
    return true;
}

static bool read_address(const char *text, GArray *addresses, GError **error) {
    IpPrefix address;
    if (ip_parse(text, &address))
        return refuse(error, "'%s' has no prefix length: write '%s/%u', or that of its network",
                      text, text, address.length);
    if (!ip_prefix_parse(text, &address))
        return refuse(error, "'%s' is no address: write it as 192.0.2.1/24 or 2001:db8::1/64",
                      text);
    if (!check_host_part(&address, text, error) ||
        !check_repetition(addresses, &address, text, error))
        return false;
    g_array_append_val(addresses, address);
    return true;
}

static bool read_addresses(const Resource *resource, unsigned param, GArray *addresses,
                           GError **error) {
    const Value *list = resource_get(resource, param);
    for (size_t i = 0; value_type(list) == VALUE_LIST && i < value_size(list); i++)
        if (!read_address(value_string(value_list_at(list, i)), addresses, error)) {
            g_prefix_error(error, "refuse %s: ", resource->kind->params[param].name);
            return false;
        }
    return true;
}

/* --- routes */

static bool add_route(const NetRoute *route, GArray *routes, const char *text, GError **error) {
    for (guint i = 0; i < routes->len; i++)
        if (net_route_same_place(&g_array_index(routes, NetRoute, i), route))
            return refuse(error, "'%s' is there twice; give one of the two another metric or table",
                          text);
    g_array_append_val(routes, *route);
    return true;
}

static bool read_gateway(const char *text, GArray *gateways, GError **error) {
    g_autofree char *line = g_strconcat("default via ", text, NULL);
    IpPrefix ip;
    NetRoute route;
    if (!ip_parse(text, &ip))
        return refuse(error, "'%s' is no address", text);
    return net_route_parse(line, "", &route, error) && add_route(&route, gateways, line, error);
}

static bool read_gateways(const Resource *resource, GArray *gateways, GError **error) {
    const Value *list = resource_get(resource, NET_GATEWAY);
    for (size_t i = 0; value_type(list) == VALUE_LIST && i < value_size(list); i++)
        if (!read_gateway(value_string(value_list_at(list, i)), gateways, error)) {
            g_prefix_error(error, "refuse gateway: ");
            return false;
        }
    return true;
}

static bool read_routes(const NetSpec *spec, unsigned param, GArray *routes, GError **error) {
    const Value *list = resource_get(spec->resource, param);
    for (size_t i = 0; value_type(list) == VALUE_LIST && i < value_size(list); i++) {
        const char *text = value_string(value_list_at(list, i));
        NetRoute route;
        if (net_route_parse(text, spec->link, &route, error) &&
            add_route(&route, routes, text, error))
            continue;
        g_prefix_error(error, "refuse %s '%s': ", spec->resource->kind->params[param].name, text);
        return false;
    }
    return true;
}

static bool has_default(const GArray *routes) {
    for (guint i = 0; i < routes->len; i++)
        if (net_route_is_default(&g_array_index(routes, NetRoute, i)))
            return true;
    return false;
}

/* Only what is declared counts, so this is asked only where all addresses are. */
static bool reaches(const NetSpec *spec, const IpPrefix *ip) {
    if (ip_is_link_local(ip))
        return true;
    for (guint i = 0; i < spec->addresses->len; i++)
        if (ip_contains(&g_array_index(spec->addresses, IpPrefix, i), ip))
            return true;
    for (guint i = 0; i < spec->routes->len; i++) {
        const NetRoute *route = &g_array_index(spec->routes, NetRoute, i);
        if (route->via.family == AF_UNSPEC && ip_contains(&route->destination, ip))
            return true;
    }
    return false;
}

static bool is_own_address(const NetSpec *spec, const IpPrefix *ip) {
    for (guint i = 0; i < spec->addresses->len; i++)
        if (ip_same_address(&g_array_index(spec->addresses, IpPrefix, i), ip))
            return true;
    return false;
}

static bool check_via(const NetSpec *spec, const char *param, const NetRoute *route,
                      GError **error) {
    if (route->via.family == AF_UNSPEC || !spec->has_addresses)
        return true;
    g_autofree char *via = ip_text(&route->via);
    if (is_own_address(spec, &route->via))
        return refuse(error, "refuse %s '%s': it is this interface's own address", param, via);
    if (route->onlink || spec->purge == NET_PURGE_NONE || reaches(spec, &route->via))
        return true;
    g_autofree char *text = net_route_text(route);
    return refuse(error,
                  "refuse %s '%s': none of addrs has it in its network; add an address of that "
                  "network, or, if it is reached directly all the same, write the route as "
                  "routes = { \"%s onlink\" }",
                  param, via, text);
}

static bool check_source(const NetSpec *spec, const NetRoute *route, GError **error) {
    if (route->source.family == AF_UNSPEC || !spec->has_addresses ||
        spec->purge == NET_PURGE_NONE || is_own_address(spec, &route->source))
        return true;
    g_autofree char *source = ip_text(&route->source);
    return refuse(error, "refuse routes: src %s is none of addrs; add it there", source);
}

static bool check_routes(const NetSpec *spec, GError **error) {
    if (spec->gateways->len > 0 && has_default(spec->routes))
        return refuse(error, "the default route is in gateway and in routes: keep one of them");
    if (!spec->up && (spec->gateways->len > 0 || spec->routes->len > 0))
        return refuse(error, "a link that is not up has no routes: drop gateway and routes, or set "
                             "state = \"up\"");
    for (guint i = 0; i < spec->gateways->len; i++)
        if (!check_via(spec, "gateway", &g_array_index(spec->gateways, NetRoute, i), error))
            return false;
    for (guint i = 0; i < spec->routes->len; i++) {
        const NetRoute *route = &g_array_index(spec->routes, NetRoute, i);
        if (!check_via(spec, "via", route, error) || !check_source(spec, route, error))
            return false;
    }
    return true;
}

/* --- links */

static bool check_name(const Resource *resource, unsigned param, GError **error) {
    const char *name = resource_string(resource, param);
    const char *problem = name != NULL ? net_name_problem(name) : NULL;
    if (problem == NULL || (param == NET_ROW_MASTER && *name == '\0'))
        return true;
    return refuse(error, "refuse %s '%s': %s", resource->kind->params[param].name, name, problem);
}

static bool check_names(const NetSpec *spec, GError **error) {
    static const unsigned names[] = { NET_INTERFACE, NET_PEER, NET_LINK, NET_ROW_MASTER };
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        const char *name = resource_string(spec->resource, names[i]);
        if (!check_name(spec->resource, names[i], error))
            return false;
        if (i > 0 && name != NULL && strcmp(name, spec->link) == 0)
            return refuse(error, "refuse %s '%s': it is the interface itself",
                          spec->resource->kind->params[names[i]].name, name);
    }
    return true;
}

/* Which types a parameter is for. */
static const struct {
    unsigned param;
    const char *types;
} only_for[] = {
    { NET_PEER, "veth" },         { NET_LINK, "vlan macvlan vxlan" },
    { NET_ID, "vxlan vlan vrf" }, { NET_LOCAL, "vxlan" },
    { NET_REMOTE, "vxlan" },      { NET_PORT, "vxlan" },
    { NET_MODE, "bond macvlan" },
};

static bool check_only_for(const NetSpec *spec, GError **error) {
    for (size_t i = 0; i < G_N_ELEMENTS(only_for); i++) {
        g_auto(GStrv) types = g_strsplit(only_for[i].types, " ", -1);
        const char *param = spec->resource->kind->params[only_for[i].param].name;
        if (!is_set(spec->resource, only_for[i].param) ||
            (spec->type != NULL && g_strv_contains((const char *const *)types, spec->type->name)))
            continue;
        g_autofree char *all = g_strjoinv(" or ", types);
        return refuse(error, "'%s' goes with type %s%s%s", param, all,
                      spec->type != NULL ? ", not with " : "; set type",
                      spec->type != NULL ? spec->type->name : "");
    }
    return true;
}

static bool check_needed(const NetSpec *spec, GError **error) {
    const NetType *type = spec->type;
    if (type->has_peer && !is_set(spec->resource, NET_PEER))
        return refuse(error, "a %s is a pair: name its other end with peer", type->name);
    if (type->has_id && !is_set(spec->resource, NET_ID))
        return refuse(error, "a %s needs id", type->name);
    if (type->needs_link && !is_set(spec->resource, NET_LINK))
        return refuse(error, "a %s stands on another interface: name it with link", type->name);
    return true;
}

static bool check_id(const NetSpec *spec, GError **error) {
    int64_t id = resource_int(spec->resource, NET_ID, 1);
    int64_t max = strcmp(spec->type->name, "vlan") == 0    ? VLAN_MAX
                  : strcmp(spec->type->name, "vxlan") == 0 ? VXLAN_MAX
                                                           : UINT32_MAX;
    if (id >= (strcmp(spec->type->name, "vxlan") == 0 ? 0 : 1) && id <= max)
        return true;
    return refuse(error, "refuse id %" PRId64 ": that of a %s is at most %" PRId64, id,
                  spec->type->name, max);
}

static bool read_ip(const Resource *resource, unsigned param, IpPrefix *ret, GError **error) {
    const char *text = resource_string(resource, param);
    return text == NULL || ip_parse(text, ret) ||
           refuse(error, "refuse %s '%s': it is no address", resource->kind->params[param].name,
                  text);
}

static bool read_vxlan(NetSpec *spec, GError **error) {
    NetMake *make = &spec->make;
    int64_t port = resource_int(spec->resource, NET_PORT, 0);
    if (is_set(spec->resource, NET_PORT) && (port < 1 || port > PORT_MAX))
        return refuse(error, "refuse port %" PRId64 ": it must be from 1 to 65535", port);
    make->port = (uint16_t)port;
    if (!read_ip(spec->resource, NET_LOCAL, &make->local, error) ||
        !read_ip(spec->resource, NET_REMOTE, &make->remote, error))
        return false;
    if (make->local.family != AF_UNSPEC && make->remote.family != AF_UNSPEC &&
        make->local.family != make->remote.family)
        return refuse(error, "local_ip and remote_ip must both be IPv4 or both IPv6");
    return true;
}

static bool read_type(NetSpec *spec, GError **error) {
    const char *name = resource_string(spec->resource, NET_TYPE);
    spec->type = name != NULL ? net_type_find(name) : NULL;
    if (!check_only_for(spec, error))
        return false;
    if (spec->type == NULL)
        return true;
    const char *peer = resource_string(spec->resource, NET_PEER);
    const char *link = resource_string(spec->resource, NET_LINK);
    const char *mode = resource_string(spec->resource, NET_MODE);
    if ((!spec->absent && (!check_needed(spec, error) || !check_id(spec, error))) ||
        !read_vxlan(spec, error))
        return false;
    if (mode != NULL && net_mode_number(spec->type, mode) < 0)
        return refuse(error, "refuse mode '%s': a %s has no such mode", mode, name);
    NetMake *make = &spec->make;
    g_strlcpy(make->type, name, sizeof make->type);
    g_strlcpy(make->peer, peer != NULL ? peer : "", sizeof make->peer);
    g_strlcpy(make->link, link != NULL ? link : "", sizeof make->link);
    g_strlcpy(make->mode, mode != NULL ? mode : "", sizeof make->mode);
    make->id = (uint32_t)resource_int(spec->resource, NET_ID, 0);
    return true;
}

static bool has_ipv6(const NetSpec *spec) {
    for (guint i = 0; i < spec->addresses->len; i++)
        if (g_array_index(spec->addresses, IpPrefix, i).family == AF_INET6)
            return true;
    return false;
}

static bool check_link(NetSpec *spec, GError **error) {
    const Resource *resource = spec->resource;
    const char *mac = resource_string(resource, NET_ROW_MAC);
    int64_t mtu = resource_int(resource, NET_ROW_MTU, MTU_MAX);
    if (mtu < MTU_MIN || mtu > MTU_MAX)
        return refuse(error, "refuse mtu %" PRId64 ": it must be from %d to %d", mtu, MTU_MIN,
                      MTU_MAX);
    if (mtu < MTU_IPV6 && has_ipv6(spec))
        return refuse(error, "refuse mtu %" PRId64 ": IPv6 needs at least %d", mtu, MTU_IPV6);
    if (mac != NULL && !net_mac_parse(mac, spec->mac))
        return refuse(error, "refuse mac '%s': write it as 02:00:00:aa:bb:cc", mac);
    if (mac != NULL && (spec->mac[0] & 1) != 0)
        return refuse(error, "refuse mac '%s': it is a group's address, not a single device's",
                      mac);
    return true;
}

static bool check_persist(const NetSpec *spec, GError **error) {
    if (!resource_bool(spec->resource, NET_PERSIST) || *spec->make.link == '\0')
        return true;
    return refuse(
        error,
        "persist cannot write a %s on '%s': systemd-networkd wants it named in the file of that; "
        "leave persist unset, the agent makes it at boot",
        spec->type->name, spec->make.link);
}

/* --- the whole */

static NetPurge purge_of(const Resource *resource) {
    const char *purge = resource_string(resource, NET_PURGE);
    return strcmp(purge, "none") == 0  ? NET_PURGE_NONE
           : strcmp(purge, "all") == 0 ? NET_PURGE_ALL
                                       : NET_PURGE_STATIC;
}

static void spec_begin(NetSpec *spec, const Resource *resource) {
    const char *state = resource_string(resource, NET_STATE);
    *spec = (NetSpec){
        .resource = resource,
        .link = resource_string(resource, NET_INTERFACE),
        .absent = strcmp(state, "absent") == 0,
        .up = strcmp(state, "up") == 0,
        .force = resource_bool(resource, NET_FORCE),
        .purge = purge_of(resource),
        .has_addresses = is_set(resource, NET_ADDRS),
        .has_gateway = is_set(resource, NET_GATEWAY),
        .has_routes = is_set(resource, NET_ROUTES),
        .addresses = g_array_new(FALSE, FALSE, sizeof(IpPrefix)),
        .no_addresses = g_array_new(FALSE, FALSE, sizeof(IpPrefix)),
        .gateways = g_array_new(FALSE, FALSE, sizeof(NetRoute)),
        .routes = g_array_new(FALSE, FALSE, sizeof(NetRoute)),
        .no_routes = g_array_new(FALSE, FALSE, sizeof(NetRoute)),
    };
}

static bool check_contradictions(const NetSpec *spec, GError **error) {
    for (guint i = 0; i < spec->no_addresses->len; i++) {
        const IpPrefix *address = &g_array_index(spec->no_addresses, IpPrefix, i);
        g_autofree char *text = ip_prefix_text(address);
        if (net_prefixes_have(spec->addresses, address))
            return refuse(error, "'%s' is in addrs and in no_addrs: keep one of them", text);
    }
    for (guint i = 0; i < spec->no_routes->len; i++) {
        const NetRoute *route = &g_array_index(spec->no_routes, NetRoute, i);
        g_autofree char *text = net_route_text(route);
        if (net_routes_have(spec->routes, route) || net_routes_have(spec->gateways, route))
            return refuse(error, "'%s' is wanted, and in no_routes: keep one of them", text);
    }
    return true;
}

bool net_spec_init(NetSpec *spec, const Resource *resource, GError **error) {
    spec_begin(spec, resource);
    return check_names(spec, error) && read_type(spec, error) &&
           read_addresses(resource, NET_ADDRS, spec->addresses, error) &&
           read_addresses(resource, NET_NO_ADDRS, spec->no_addresses, error) &&
           read_gateways(resource, spec->gateways, error) &&
           read_routes(spec, NET_ROUTES, spec->routes, error) &&
           read_routes(spec, NET_NO_ROUTES, spec->no_routes, error) &&
           (spec->absent || check_routes(spec, error)) && check_contradictions(spec, error) &&
           check_link(spec, error) && check_persist(spec, error);
}

void net_spec_clear(NetSpec *spec) {
    GArray **arrays[] = { &spec->addresses, &spec->no_addresses, &spec->gateways, &spec->routes,
                          &spec->no_routes };
    for (size_t i = 0; i < G_N_ELEMENTS(arrays); i++)
        g_clear_pointer(arrays[i], g_array_unref);
}

/* --- what it decides about */

bool net_prefixes_have(const GArray *prefixes, const IpPrefix *prefix) {
    for (guint i = 0; i < prefixes->len; i++)
        if (ip_equal(&g_array_index(prefixes, IpPrefix, i), prefix))
            return true;
    return false;
}

bool net_routes_have(const GArray *routes, const NetRoute *route) {
    for (guint i = 0; i < routes->len; i++)
        if (net_route_equal(&g_array_index(routes, NetRoute, i), route))
            return true;
    return false;
}

bool net_spec_covers_address(const NetSpec *spec, const NetAddress *address) {
    if (net_prefixes_have(spec->addresses, &address->prefix) ||
        net_prefixes_have(spec->no_addresses, &address->prefix))
        return true;
    return spec->has_addresses && spec->purge != NET_PURGE_NONE && !address->kernel &&
           (!address->dynamic || spec->purge == NET_PURGE_ALL);
}

/* Default routes are the machine's way out: they are touched only where one is spoken of. */
static bool speaks_of(const NetSpec *spec, const NetRoute *route) {
    if (net_route_is_default(route))
        return spec->has_gateway || has_default(spec->routes);
    return spec->has_routes;
}

bool net_spec_covers_route(const NetSpec *spec, const NetRoute *route) {
    if (net_routes_have(spec->gateways, route) || net_routes_have(spec->routes, route) ||
        net_routes_have(spec->no_routes, route))
        return true;
    return spec->purge != NET_PURGE_NONE && net_route_is_static(route) && speaks_of(spec, route);
}

bool net_spec_keeps_address(const NetSpec *spec, const IpPrefix *prefix) {
    return spec->purge == NET_PURGE_NONE ? !net_prefixes_have(spec->no_addresses, prefix)
                                         : net_prefixes_have(spec->addresses, prefix);
}

bool net_spec_keeps_route(const NetSpec *spec, const NetRoute *route) {
    return net_routes_have(spec->gateways, route) || net_routes_have(spec->routes, route);
}

/* --- links that are there already */

const char *net_spec_made_otherwise(const NetSpec *spec, const NetInfo *info) {
    const NetMake *want = &spec->make, *found = &info->make;
    if (spec->type == NULL)
        return NULL;
    if (strcmp(want->type, found->type) != 0)
        return "type";
    if (spec->type->has_peer && *found->peer != '\0' && strcmp(want->peer, found->peer) != 0)
        return "peer";
    if (*want->link != '\0' && strcmp(want->link, found->link) != 0)
        return "link";
    if (is_set(spec->resource, NET_ID) && want->id != found->id)
        return "id";
    if (want->local.family != AF_UNSPEC && !ip_same_address(&want->local, &found->local))
        return "local_ip";
    if (want->remote.family != AF_UNSPEC && !ip_same_address(&want->remote, &found->remote))
        return "remote_ip";
    if (want->port != 0 && want->port != found->port)
        return "port";
    return *want->mode != '\0' && strcmp(want->mode, found->mode) != 0 ? "mode" : NULL;
}
