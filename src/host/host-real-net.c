/* Links, addresses and routes of this machine, by rtnetlink(7). */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ip.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/host-real-private.h"
#include "host/netlink.h"

#define ANCESTORS_MAX    64
#define ENVIRONMENT_MAX  (1 << 20)
#define SKIP_STATISTICS  (1u << 3) /* RTEXT_FILTER_SKIP_STATS */
#define BROADCAST_LENGTH 31        /* networks of this length and longer have no such address */

static bool refuse_root(RealHost *self, GError **error) {
    if (!real_host_has_root(self))
        return false;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_UNSUPPORTED,
                "no machine runs below the root directory '%s': it has no network",
                self->host.root);
    return true;
}

/* --- looking */

static void visit_link(void *data, const NlMessage *message) {
    if (message != NULL)
        (void)nl_read_link(message, data); /* index stays 0 when it does not */
}

static bool ask_link(int fd, const char *name, NlLink *ret_link, int *ret_errno, GError **error) {
    struct ifinfomsg header = { 0 };
    g_autoptr(GByteArray) request = nl_request(RTM_GETLINK, NLM_F_ACK, &header, sizeof header);
    nl_put_text(request, IFLA_IFNAME, name);
    nl_put_u32(request, IFLA_EXT_MASK, SKIP_STATISTICS);
    *ret_link = (NlLink){ 0 };
    return nl_talk(fd, request, visit_link, ret_link, ret_errno, error);
}

typedef struct {
    unsigned index;
    uint8_t family;
    NetInfo *info;
} Listing;

static void visit_address(void *data, const NlMessage *message) {
    Listing *listing = data;
    NlAddress found;
    if (message == NULL)
        g_array_set_size(listing->info->addresses, 0);
    else if (nl_read_address(message, &found) && found.index == listing->index)
        g_array_append_val(listing->info->addresses, found.address);
}

/* Lists come by family; one that starts again drops its own. */
static void visit_route(void *data, const NlMessage *message) {
    Listing *listing = data;
    GArray *routes = listing->info->routes;
    NlRoute found;
    for (guint i = message == NULL ? routes->len : 0; i > 0; i--)
        if (g_array_index(routes, NetRoute, i - 1).destination.family == listing->family)
            g_array_remove_index(routes, i - 1);
    if (message != NULL && nl_read_route(message, &found) && found.index == listing->index &&
        found.route.destination.family == listing->family)
        g_array_append_val(routes, found.route);
}

static bool list_addresses(int fd, Listing *listing, GError **error) {
    struct ifaddrmsg header = { .ifa_index = listing->index };
    g_autoptr(GByteArray) request = nl_request(RTM_GETADDR, NLM_F_DUMP, &header, sizeof header);
    int number;
    return nl_talk(fd, request, visit_address, listing, &number, error);
}

static bool list_routes(int fd, Listing *listing, uint8_t family, GError **error) {
    struct rtmsg header = { .rtm_family = family };
    g_autoptr(GByteArray) request = nl_request(RTM_GETROUTE, NLM_F_DUMP, &header, sizeof header);
    nl_put_u32(request, RTA_OIF, listing->index);
    int number;
    listing->family = family;
    if (nl_talk(fd, request, visit_route, listing, &number, error))
        return true;
    if (number != EAFNOSUPPORT && number != EOPNOTSUPP)
        return false;
    g_clear_error(error); /* a kernel without IPv6 */
    return true;
}

/* Links that vanish meanwhile have no name. */
static void name_of(unsigned index, char ret[NET_NAME_SIZE]) {
    if (index == 0 || if_indextoname(index, ret) == NULL)
        *ret = '\0';
}

static void fill_names(const NlLink *link, NetInfo *info) {
    name_of(link->master, info->master);
    if (link->is_elsewhere)
        return;
    bool is_peer = strcmp(info->make.type, "veth") == 0;
    name_of(link->link, is_peer ? info->make.peer : info->make.link);
}

static bool query(int fd, const char *name, NetInfo *info, GError **error) {
    NlLink link;
    int number;
    if (!ask_link(fd, name, &link, &number, error)) {
        if (number == ENODEV)
            g_clear_error(error);
        return number == ENODEV;
    }
    GArray *addresses = info->addresses, *routes = info->routes;
    *info = link.info;
    info->addresses = addresses;
    info->routes = routes;
    fill_names(&link, info);
    Listing listing = { .index = link.index, .info = info };
    return list_addresses(fd, &listing, error) && list_routes(fd, &listing, AF_INET, error) &&
           list_routes(fd, &listing, AF_INET6, error);
}

bool real_net_query(Host *host, const char *link, NetInfo *ret_info, GError **error) {
    int fd = refuse_root(real_host(host), error) ? -1 : nl_open(0, false, error);
    if (fd < 0)
        return false;
    g_auto(NetInfo) info;
    net_info_init(&info);
    info.exists = false;
    bool done = query(fd, link, &info, error);
    (void)close(fd); /* only asked */
    if (!done) {
        g_prefix_error(error, "look at link '%s': ", link);
        return false;
    }
    net_info_copy(ret_info, &info);
    return true;
}

char **real_net_list(Host *host, GError **error) {
    if (refuse_root(real_host(host), error))
        return NULL;
    struct if_nameindex *all = if_nameindex();
    if (all == NULL) {
        (void)set_io_error(error, errno, "list the links"); /* always false */
        return NULL;
    }
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (const struct if_nameindex *one = all; one->if_index != 0; one++)
        g_ptr_array_add(names, g_strdup(one->if_name));
    if_freenameindex(all);
    g_ptr_array_add(names, NULL);
    return (char **)g_ptr_array_free(g_steal_pointer(&names), FALSE);
}

/* --- links */

/* One order and what it takes. */
typedef struct {
    int fd;
    const NetChange *change;
    unsigned index; /* of the link; 0: it is to be made */
    int number;     /* errno */
} Order;

static bool give(Order *order, GByteArray *request, GError **error) {
    return nl_talk(order->fd, request, NULL, NULL, &order->number, error);
}

static GByteArray *link_request(const Order *order, uint16_t type, uint16_t flags, unsigned set,
                                unsigned value) {
    struct ifinfomsg header = { .ifi_index = (int)order->index,
                                .ifi_change = set,
                                .ifi_flags = value };
    return nl_request(type, (uint16_t)(flags | NLM_F_ACK), &header, sizeof header);
}

static void put_vxlan(GByteArray *request, const NetMake *make) {
    uint16_t port = htons(make->port != 0 ? make->port : NET_VXLAN_PORT);
    nl_put_u32(request, IFLA_VXLAN_ID, make->id);
    nl_put(request, IFLA_VXLAN_PORT, &port, sizeof port);
    if (make->remote.family != AF_UNSPEC)
        nl_put_ip(request, make->remote.family == AF_INET ? IFLA_VXLAN_GROUP : IFLA_VXLAN_GROUP6,
                  &make->remote);
    if (make->local.family != AF_UNSPEC)
        nl_put_ip(request, make->local.family == AF_INET ? IFLA_VXLAN_LOCAL : IFLA_VXLAN_LOCAL6,
                  &make->local);
    if (*make->link != '\0')
        nl_put_u32(request, IFLA_VXLAN_LINK, if_nametoindex(make->link));
}

static void put_peer(GByteArray *request, const char *name) {
    struct ifinfomsg header = { 0 };
    guint peer = nl_nest(request, 1); /* VETH_INFO_PEER: a message in it, header first */
    g_byte_array_append(request, (const uint8_t *)&header, sizeof header);
    nl_put_text(request, IFLA_IFNAME, name);
    nl_nest_end(request, peer);
}

static void put_make(GByteArray *request, const NetMake *make) {
    const NetType *type = net_type_find(make->type);
    uint16_t id = (uint16_t)make->id;
    int mode = *make->mode != '\0' ? net_mode_number(type, make->mode) : -1;
    if (strcmp(type->name, "vxlan") == 0)
        put_vxlan(request, make);
    else if (strcmp(type->name, "vlan") == 0)
        nl_put(request, IFLA_VLAN_ID, &id, sizeof id);
    else if (strcmp(type->name, "vrf") == 0)
        nl_put_u32(request, IFLA_VRF_TABLE, make->id);
    else if (strcmp(type->name, "bond") == 0 && mode >= 0)
        nl_put(request, IFLA_BOND_MODE, &(uint8_t){ (uint8_t)mode }, 1);
    else if (strcmp(type->name, "macvlan") == 0 && mode >= 0)
        nl_put_u32(request, IFLA_MACVLAN_MODE, 1u << mode);
    else if (type->has_peer && *make->peer != '\0')
        put_peer(request, make->peer);
}

static bool explain_missing_type(const NetType *type, GError **error) {
    g_clear_error(error);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_UNSUPPORTED,
                "this kernel makes no links of type '%s': it has no %s; load it (modprobe %s, and "
                "/etc/modules-load.d for the next boot), or boot a kernel that has it",
                type->name, type->module, type->module);
    return false;
}

static bool link_add(Order *order, GError **error) {
    const NetMake *make = order->change->make;
    const NetType *type = net_type_find(make->type);
    if (*make->link != '\0' && if_nametoindex(make->link) == 0) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND, "there is no interface '%s'",
                    make->link);
        return false;
    }
    g_autoptr(GByteArray) request =
        link_request(order, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0, 0);
    nl_put_text(request, IFLA_IFNAME, order->change->link);
    if (type->needs_link)
        nl_put_u32(request, IFLA_LINK, if_nametoindex(make->link));
    guint info = nl_nest(request, IFLA_LINKINFO);
    nl_put_text(request, IFLA_INFO_KIND, type->name);
    guint data = nl_nest(request, IFLA_INFO_DATA);
    put_make(request, make);
    nl_nest_end(request, data);
    nl_nest_end(request, info);
    return give(order, request, error) ||
           (order->number == EOPNOTSUPP && explain_missing_type(type, error));
}

static bool link_delete(Order *order, GError **error) {
    g_autoptr(GByteArray) request = link_request(order, RTM_DELLINK, 0, 0, 0);
    return give(order, request, error);
}

static bool link_set(Order *order, GError **error) {
    bool up = order->change->verb == NET_UP;
    g_autoptr(GByteArray) request =
        link_request(order, RTM_NEWLINK, 0, IFF_UP, up ? (unsigned)IFF_UP : 0);
    return give(order, request, error);
}

static bool link_set_down(Order *order, GError **error) {
    g_autoptr(GByteArray) request = link_request(order, RTM_NEWLINK, 0, IFF_UP, 0);
    return give(order, request, error);
}

/* A bond takes only what is down; it takes it up itself. */
static bool link_master(Order *order, GError **error) {
    const char *name = order->change->master;
    NlLink master = { 0 };
    if (*name != '\0' && !ask_link(order->fd, name, &master, &order->number, error))
        return false;
    if (strcmp(master.info.make.type, "bond") == 0 && !link_set_down(order, error))
        return false;
    g_autoptr(GByteArray) request = link_request(order, RTM_NEWLINK, 0, 0, 0);
    nl_put_u32(request, IFLA_MASTER, master.index);
    return give(order, request, error);
}

static bool link_mtu(Order *order, GError **error) {
    g_autoptr(GByteArray) request = link_request(order, RTM_NEWLINK, 0, 0, 0);
    nl_put_u32(request, IFLA_MTU, order->change->mtu);
    return give(order, request, error);
}

/* Many devices change it only while they are down. */
static bool link_mac(Order *order, GError **error) {
    g_autoptr(GByteArray) request = link_request(order, RTM_NEWLINK, 0, 0, 0);
    nl_put(request, IFLA_ADDRESS, order->change->mac, sizeof order->change->mac);
    if (give(order, request, error))
        return true;
    if (order->number != EBUSY)
        return false;
    g_clear_error(error);
    return link_set_down(order, error) && give(order, request, error);
}

/* Of the kernel's settings of IPv4 for a link. */
static bool put_setting(Order *order, unsigned setting, bool on, GError **error) {
    g_autoptr(GByteArray) request = link_request(order, RTM_NEWLINK, 0, 0, 0);
    guint families = nl_nest(request, IFLA_AF_SPEC);
    guint family = nl_nest(request, AF_INET);
    guint settings = nl_nest(request, IFLA_INET_CONF);
    nl_put_u32(request, (uint16_t)setting, on);
    nl_nest_end(request, settings);
    nl_nest_end(request, family);
    nl_nest_end(request, families);
    return give(order, request, error);
}

/* By its file and not by netlink, for only then the kernel tells others, and forgets what it had
 * decided for packets before. */
static bool link_forward(Order *order, GError **error) {
    g_autofree char *path =
        g_strdup_printf("/proc/sys/net/ipv4/conf/%s/forwarding", order->change->link);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return set_io_error(error, errno, "open '%s'", path);
    bool done = write(fd, order->change->on ? "1" : "0", 1) == 1 ||
                set_io_error(error, errno, "write '%s'", path);
    (void)close(fd); /* it was written, or not */
    return done;
}

/* --- addresses */

static GByteArray *address_request(const Order *order, uint16_t type, uint16_t flags) {
    const IpPrefix *address = &order->change->address;
    struct ifaddrmsg header = { .ifa_family = address->family,
                                .ifa_prefixlen = address->length,
                                .ifa_index = order->index };
    GByteArray *request = nl_request(type, (uint16_t)(flags | NLM_F_ACK), &header, sizeof header);
    nl_put_ip(request, IFA_LOCAL, address);
    nl_put_ip(request, IFA_ADDRESS, address);
    return request;
}

static void put_broadcast(GByteArray *request, const IpPrefix *address) {
    if (address->family != AF_INET || address->length >= BROADCAST_LENGTH)
        return;
    IpPrefix broadcast = ip_network(address);
    for (unsigned bit = address->length; bit < 32; bit++)
        broadcast.bytes[bit / 8] |= (uint8_t)(0x80u >> (bit % 8));
    nl_put_ip(request, IFA_BROADCAST, &broadcast);
}

static bool address_add(Order *order, GError **error) {
    g_autoptr(GByteArray) request =
        address_request(order, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE);
    put_broadcast(request, &order->change->address);
    return give(order, request, error);
}

/* When the first address of a network goes, Linux drops the others with it, unless told to keep
 * them: then one of them takes its place without a gap. */
static bool address_delete(Order *order, GError **error) {
    NlLink link = { 0 };
    bool keep = order->change->address.family == AF_INET;
    if (keep && !ask_link(order->fd, order->change->link, &link, &order->number, error))
        return false;
    keep = keep && !link.promotes;
    if (keep && !put_setting(order, IPV4_DEVCONF_PROMOTE_SECONDARIES, true, error))
        return false;
    g_autoptr(GByteArray) request = address_request(order, RTM_DELADDR, 0);
    bool done = give(order, request, error);
    if (keep) {
        Order again = *order;
        (void)put_setting(&again, IPV4_DEVCONF_PROMOTE_SECONDARIES, false, NULL); /* as it was */
    }
    return done;
}

/* --- routes */

static bool change_route(Order *order, uint16_t type, uint16_t flags, GError **error) {
    const NetRoute *route = &order->change->route;
    bool delete = type == RTM_DELROUTE, has_via = route->via.family != AF_UNSPEC;
    bool is_link = route->destination.family == AF_INET && !has_via;
    struct rtmsg header = {
        .rtm_family = route->destination.family,
        .rtm_dst_len = route->destination.length,
        .rtm_table = route->table < 256 ? (uint8_t)route->table : (uint8_t)RT_TABLE_UNSPEC,
        .rtm_protocol = delete ? RTPROT_UNSPEC : RTPROT_STATIC,
        .rtm_scope = delete    ? RT_SCOPE_NOWHERE
                     : is_link ? RT_SCOPE_LINK
                               : RT_SCOPE_UNIVERSE,
        .rtm_type = RTN_UNICAST,
        .rtm_flags = route->onlink ? RTNH_F_ONLINK : 0,
    };
    g_autoptr(GByteArray) request =
        nl_request(type, (uint16_t)(flags | NLM_F_ACK), &header, sizeof header);
    if (route->destination.length > 0)
        nl_put_ip(request, RTA_DST, &route->destination);
    if (has_via)
        nl_put_ip(request, RTA_GATEWAY, &route->via);
    if (route->source.family != AF_UNSPEC)
        nl_put_ip(request, RTA_PREFSRC, &route->source);
    if (route->metric != 0)
        nl_put_u32(request, RTA_PRIORITY, route->metric);
    nl_put_u32(request, RTA_TABLE, route->table);
    nl_put_u32(request, RTA_OIF, order->index);
    return give(order, request, error);
}

static bool route_add(Order *order, GError **error) {
    return change_route(order, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, error);
}

static bool route_replace(Order *order, GError **error) {
    return change_route(order, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, error);
}

static bool route_delete(Order *order, GError **error) {
    return change_route(order, RTM_DELROUTE, 0, error);
}

/* --- one step */

static bool (*const verbs[])(Order *order, GError **error) = {
    [NET_LINK_ADD] = link_add,
    [NET_LINK_DELETE] = link_delete,
    [NET_UP] = link_set,
    [NET_DOWN] = link_set,
    [NET_MASTER] = link_master,
    [NET_MTU] = link_mtu,
    [NET_MAC] = link_mac,
    [NET_FORWARD] = link_forward,
    [NET_ADDRESS_ADD] = address_add,
    [NET_ADDRESS_DELETE] = address_delete,
    [NET_ROUTE_ADD] = route_add,
    [NET_ROUTE_REPLACE] = route_replace,
    [NET_ROUTE_DELETE] = route_delete,
};

static bool carry_out(Order *order, GError **error) {
    order->index = if_nametoindex(order->change->link);
    if (order->index != 0 || order->change->verb == NET_LINK_ADD) {
        if (order->change->verb == NET_LINK_ADD)
            order->index = 0;
        return verbs[order->change->verb](order, error);
    }
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND, "there is no interface '%s'",
                order->change->link);
    return false;
}

/* What was to be changed is not there, in the words of each part of the kernel. */
static bool is_missing(int number) {
    return number == ENODEV || number == EADDRNOTAVAIL || number == ESRCH;
}

bool real_net_apply(Host *host, const NetChange *change, GError **error) {
    g_autoptr(GError) problem = NULL;
    Order order = { .change = change };
    order.fd = refuse_root(real_host(host), error) ? -1 : nl_open(0, false, error);
    if (order.fd < 0)
        return false;
    bool done = carry_out(&order, &problem);
    (void)close(order.fd); /* the kernel has answered */
    if (done)
        return true;
    if (is_missing(order.number))
        problem->code = STEAD_ERROR_NOT_FOUND;
    g_autofree char *what = net_change_text(change);
    g_propagate_prefixed_error(error, g_steal_pointer(&problem), "%s: ", what);
    return false;
}

/* --- who works on the machine */

/* The parent of a process: the fourth field of its stat, behind a name that may hold anything. */
static int parent_of(int pid) {
    g_autofree char *path = g_strdup_printf("/proc/%d/stat", pid);
    g_autofree char *text = NULL;
    int parent = 0;
    if (!g_file_get_contents(path, &text, NULL, NULL))
        return 0;
    const char *end = strrchr(text, ')');
    return end != NULL && sscanf(end, ") %*c %d", &parent) == 1 ? parent : 0;
}

static bool session_of(int pid, NetSession *ret_session) {
    g_autofree char *path = g_strdup_printf("/proc/%d/environ", pid);
    g_autofree char *text = NULL;
    size_t size;
    if (!g_file_get_contents(path, &text, &size, NULL) || size > ENVIRONMENT_MAX)
        return false;
    for (const char *entry = text; entry < text + size; entry += strlen(entry) + 1)
        if (g_str_has_prefix(entry, "SSH_CONNECTION="))
            return net_session_parse(strchr(entry, '=') + 1, ret_session);
    return false;
}

/* sudo(8) drops the variable; who called it still has it. */
bool real_session(Host *host, NetSession *ret_session) {
    if (real_host_has_root(real_host(host)))
        return false;
    const char *own = getenv("SSH_CONNECTION");
    if (own != NULL && net_session_parse(own, ret_session))
        return true;
    int pid = getppid();
    for (unsigned i = 0; pid > 1 && i < ANCESTORS_MAX; i++, pid = parent_of(pid))
        if (session_of(pid, ret_session))
            return true;
    return false;
}
