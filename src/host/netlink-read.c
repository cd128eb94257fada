/* What messages of rtnetlink(7) say about links, addresses and routes. */
#include <arpa/inet.h>
#include <linux/if_addr.h>
#include <linux/ip.h>
#include <linux/netconf.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>

#include "host/netlink.h"

#define ERRNO_MAX 4095

static IpPrefix read_ip(uint8_t family, NlSpan value) {
    IpPrefix ip = { .family = family };
    size_t size = ip_width(&ip) / 8;
    if ((family != AF_INET && family != AF_INET6) || value.size != size)
        return (IpPrefix){ 0 };
    memcpy(ip.bytes, value.data, size);
    ip.length = (uint8_t)ip_width(&ip);
    return ip;
}

int nl_read_end(const NlMessage *message, char **ret_words) {
    int32_t number;
    struct nlmsghdr echo;
    NlSpan rest = message->body;
    if (!nl_take(&rest, &number, sizeof number) || number >= 0 || number < -ERRNO_MAX)
        return 0;
    if (message->type == NLMSG_ERROR)
        (void)nl_take(&rest, &echo, sizeof echo); /* too short: no words follow either */
    NlSpan words = nl_find(rest, NLMSGERR_ATTR_MSG);
    if (words.size > 0)
        *ret_words = g_strndup((const char *)words.data, words.size);
    return -number;
}

/* --- links */

/* The n-th of the kernel's settings of IPv4 for a link, which it counts from 1. */
static bool read_setting(NlSpan attributes, unsigned n) {
    NlSpan settings = nl_find(nl_find(nl_find(attributes, IFLA_AF_SPEC), AF_INET), IFLA_INET_CONF);
    size_t at = (n - 1) * sizeof(uint32_t);
    return at < settings.size && nl_u32((NlSpan){ settings.data + at, settings.size - at }) != 0;
}

static IpPrefix read_either(NlSpan data, uint16_t ipv4, uint16_t ipv6) {
    IpPrefix ip = read_ip(AF_INET, nl_find(data, ipv4));
    return ip.family != AF_UNSPEC ? ip : read_ip(AF_INET6, nl_find(data, ipv6));
}

static void read_mode(const NetType *type, unsigned number, NetMake *make) {
    for (unsigned i = 0; type->modes[i] != NULL; i++)
        if (i == number)
            g_strlcpy(make->mode, type->modes[i], sizeof make->mode);
}

static unsigned lowest_bit(uint32_t bits) {
    return bits != 0 ? (unsigned)__builtin_ctz(bits) : UINT32_MAX;
}

static void read_vxlan(NlSpan data, NlLink *link) {
    NetMake *make = &link->info.make;
    make->id = nl_u32(nl_find(data, IFLA_VXLAN_ID));
    make->remote = read_either(data, IFLA_VXLAN_GROUP, IFLA_VXLAN_GROUP6);
    make->local = read_either(data, IFLA_VXLAN_LOCAL, IFLA_VXLAN_LOCAL6);
    make->port = ntohs(nl_u16(nl_find(data, IFLA_VXLAN_PORT)));
    link->link = nl_u32(nl_find(data, IFLA_VXLAN_LINK));
}

static void read_make(NlSpan attributes, NlLink *link) {
    NetMake *make = &link->info.make;
    NlSpan info = nl_find(attributes, IFLA_LINKINFO), data = nl_find(info, IFLA_INFO_DATA);
    NlSpan kind = nl_find(info, IFLA_INFO_KIND);
    const NetType *type = NULL;
    nl_name(kind, make->type, sizeof make->type);
    type = net_type_find(make->type);
    if (type == NULL)
        return;
    if (strcmp(type->name, "vxlan") == 0)
        read_vxlan(data, link);
    else if (strcmp(type->name, "vlan") == 0)
        make->id = nl_u16(nl_find(data, IFLA_VLAN_ID));
    else if (strcmp(type->name, "vrf") == 0)
        make->id = nl_u32(nl_find(data, IFLA_VRF_TABLE));
    else if (strcmp(type->name, "bond") == 0)
        read_mode(type, nl_u8(nl_find(data, IFLA_BOND_MODE)), make);
    else if (strcmp(type->name, "macvlan") == 0)
        read_mode(type, lowest_bit(nl_u32(nl_find(data, IFLA_MACVLAN_MODE))), make);
}

bool nl_read_link(const NlMessage *message, NlLink *ret_link) {
    struct ifinfomsg header;
    NlSpan rest = message->body;
    if ((message->type != RTM_NEWLINK && message->type != RTM_DELLINK) ||
        !nl_take(&rest, &header, sizeof header) || header.ifi_index <= 0 ||
        header.ifi_family != AF_UNSPEC) /* a bridge's own messages have its family */
        return false;
    NlLink link = { .index = (unsigned)header.ifi_index };
    NlSpan mac = nl_find(rest, IFLA_ADDRESS);
    nl_name(nl_find(rest, IFLA_IFNAME), link.name, sizeof link.name);
    link.master = nl_u32(nl_find(rest, IFLA_MASTER));
    link.link = nl_u32(nl_find(rest, IFLA_LINK));
    link.is_elsewhere = nl_find(rest, IFLA_LINK_NETNSID).size > 0;
    link.promotes = read_setting(rest, IPV4_DEVCONF_PROMOTE_SECONDARIES);
    link.info.exists = true;
    link.info.up = (header.ifi_flags & IFF_UP) != 0;
    link.info.mtu = nl_u32(nl_find(rest, IFLA_MTU));
    link.info.forwards = read_setting(rest, IPV4_DEVCONF_FORWARDING);
    link.info.has_mac = mac.size == sizeof link.info.mac;
    if (link.info.has_mac)
        memcpy(link.info.mac, mac.data, mac.size);
    read_make(rest, &link);
    *ret_link = link;
    return *link.name != '\0';
}

/* --- addresses */

static bool is_kernels(const struct ifaddrmsg *header, uint32_t flags, uint8_t protocol,
                       bool has_peer) {
    /* The bit of temporary ones means secondary in IPv4. */
    uint32_t own = header->ifa_family == AF_INET6 ? IFA_F_TEMPORARY | IFA_F_MANAGETEMPADDR : 0;
    return has_peer || header->ifa_scope == RT_SCOPE_LINK || header->ifa_scope == RT_SCOPE_HOST ||
           protocol != IFAPROT_UNSPEC || (flags & own) != 0;
}

bool nl_read_address(const NlMessage *message, NlAddress *ret_address) {
    struct ifaddrmsg header;
    NlSpan rest = message->body;
    if ((message->type != RTM_NEWADDR && message->type != RTM_DELADDR) ||
        !nl_take(&rest, &header, sizeof header))
        return false;
    NlSpan local = nl_find(rest, IFA_LOCAL), address = nl_find(rest, IFA_ADDRESS);
    NlSpan wide = nl_find(rest, IFA_FLAGS);
    uint32_t flags = wide.size > 0 ? nl_u32(wide) : header.ifa_flags;
    IpPrefix ip = read_ip(header.ifa_family, local.size > 0 ? local : address);
    IpPrefix peer = read_ip(header.ifa_family, address);
    if (ip.family == AF_UNSPEC || header.ifa_prefixlen > ip.length)
        return false;
    bool has_peer = local.size > 0 && peer.family != AF_UNSPEC && !ip_same_address(&ip, &peer);
    ip.length = header.ifa_prefixlen;
    *ret_address = (NlAddress){
        .index = header.ifa_index,
        .address = { .prefix = ip,
                     .dynamic = (flags & IFA_F_PERMANENT) == 0,
                     .kernel =
                         is_kernels(&header, flags, nl_u8(nl_find(rest, IFA_PROTO)), has_peer) },
    };
    return true;
}

/* --- routes */

/* What NetRoute has no words for. */
static bool is_strange(NlSpan attributes) {
    static const uint16_t strange[] = { RTA_MULTIPATH, RTA_VIA, RTA_ENCAP, RTA_NH_ID };
    for (size_t i = 0; i < G_N_ELEMENTS(strange); i++)
        if (nl_find(attributes, strange[i]).size > 0)
            return true;
    return false;
}

static bool is_ours(const struct rtmsg *header) {
    return header->rtm_type == RTN_UNICAST && (header->rtm_flags & RTM_F_CLONED) == 0 &&
           header->rtm_protocol != RTPROT_KERNEL && header->rtm_src_len == 0 &&
           (header->rtm_family == AF_INET || header->rtm_family == AF_INET6);
}

bool nl_read_route(const NlMessage *message, NlRoute *ret_route) {
    struct rtmsg header;
    NlSpan rest = message->body;
    if ((message->type != RTM_NEWROUTE && message->type != RTM_DELROUTE) ||
        !nl_take(&rest, &header, sizeof header) || !is_ours(&header) || is_strange(rest))
        return false;
    uint8_t family = header.rtm_family;
    NetRoute route = { .protocol = header.rtm_protocol,
                       .metric = nl_u32(nl_find(rest, RTA_PRIORITY)) };
    NlSpan table = nl_find(rest, RTA_TABLE), destination = nl_find(rest, RTA_DST);
    route.table = table.size > 0 ? nl_u32(table) : header.rtm_table;
    route.destination = read_ip(family, destination);
    if (destination.size == 0)
        route.destination.family = family;
    if (route.destination.family == AF_UNSPEC ||
        header.rtm_dst_len > (destination.size > 0 ? route.destination.length : 0))
        return false;
    route.destination.length = header.rtm_dst_len;
    route.via = read_ip(family, nl_find(rest, RTA_GATEWAY));
    route.onlink = route.via.family != AF_UNSPEC && (header.rtm_flags & RTNH_F_ONLINK) != 0;
    route.source = read_ip(family, nl_find(rest, RTA_PREFSRC));
    *ret_route = (NlRoute){ .index = nl_u32(nl_find(rest, RTA_OIF)), .route = route };
    return ret_route->index != 0;
}

/* --- events */

static unsigned read_netconf(const NlMessage *message) {
    struct netconfmsg header;
    NlSpan rest = message->body;
    (void)nl_take(&rest, &header, sizeof header); /* too short: nothing follows */
    int32_t index = (int32_t)nl_u32(nl_find(rest, NETCONFA_IFINDEX));
    return index > 0 ? (unsigned)index : 0;
}

static unsigned read_route_index(const NlMessage *message) {
    struct rtmsg header;
    NlSpan rest = message->body;
    (void)nl_take(&rest, &header, sizeof header); /* too short: nothing follows */
    return nl_u32(nl_find(rest, RTA_OIF));
}

unsigned nl_read_index(const NlMessage *message) {
    NlLink link;
    NlAddress address;
    switch (message->type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
        return nl_read_link(message, &link) ? link.index : 0;
    case RTM_NEWADDR:
    case RTM_DELADDR:
        return nl_read_address(message, &address) ? address.index : 0;
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
        return read_route_index(message);
    case RTM_NEWNETCONF:
        return read_netconf(message);
    default:
        return 0;
    }
}
