#include "lab/wires.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "host/netlink.h"
#include "lab/addresses.h"

static bool give(int fd, GByteArray *request, GError **error) {
    int number;
    return nl_talk(fd, request, NULL, NULL, &number, error);
}

static GByteArray *link_request(uint16_t type, uint16_t flags, unsigned index, bool up) {
    struct ifinfomsg header = { .ifi_index = (int)index,
                                .ifi_flags = up ? (unsigned)IFF_UP : 0,
                                .ifi_change = up ? (unsigned)IFF_UP : 0 };
    return nl_request(type, (uint16_t)(flags | NLM_F_ACK), &header, sizeof header);
}

static bool make_bridge(int fd, unsigned network, GError **error) {
    char name[IF_NAMESIZE];
    (void)snprintf(name, sizeof name, "br%u", network); /* fits: LAB_NETWORKS_MAX */
    g_autoptr(GByteArray) request = link_request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0, true);
    nl_put_text(request, IFLA_IFNAME, name);
    guint info = nl_nest(request, IFLA_LINKINFO);
    nl_put_text(request, IFLA_INFO_KIND, "bridge");
    nl_nest_end(request, info);
    if (give(fd, request, error))
        return true;
    g_prefix_error(error, "make a bridge (module bridge): ");
    return false;
}

/* address: with the length of its prefix. */
static bool add_address(int fd, const char *name, const char *address, GError **error) {
    IpPrefix ip;
    if (!address || !ip_prefix_parse(address, &ip))
        return set_io_error(error, EINVAL, "give '%s' the address '%s'", name,
                            address ? address : "");
    struct ifaddrmsg header = { .ifa_family = ip.family,
                                .ifa_prefixlen = ip.length,
                                .ifa_flags = IFA_F_NODAD | IFA_F_PERMANENT,
                                .ifa_index = if_nametoindex(name) };
    g_autoptr(GByteArray) request =
        nl_request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, &header, sizeof header);
    nl_put_ip(request, IFA_LOCAL, &ip);
    nl_put_ip(request, IFA_ADDRESS, &ip);
    if (give(fd, request, error))
        return true;
    g_prefix_error(error, "give '%s' the address '%s': ", name, address);
    return false;
}

/* Number 1, for what people run in the lab's networks without being a host of it. */
static bool add_own_address(int fd, const Lab *lab, unsigned network, GError **error) {
    char name[IF_NAMESIZE];
    (void)snprintf(name, sizeof name, "br%u", network); /* fits, as above */
    g_autofree char *address = addresses_first(lab_network(lab, network)->prefix);
    return add_address(fd, name, address, error);
}

static bool set_up(int fd, const char *name, GError **error) {
    g_autoptr(GByteArray) request = link_request(RTM_NEWLINK, 0, if_nametoindex(name), true);
    return give(fd, request, error);
}

bool wires_make_bridges(const Lab *lab, GError **error) {
    int fd = nl_open(0, false, error);
    bool ok = fd >= 0 && set_up(fd, "lo", error);
    for (unsigned i = 0; ok && i < lab->networks->len; i++)
        ok = make_bridge(fd, i, error) && add_own_address(fd, lab, i, error);
    if (fd >= 0)
        (void)close(fd); /* every answer was read */
    return ok;
}

void wires_port_name(unsigned slot, unsigned network, char ret_name[16]) {
    (void)snprintf(ret_name, 16, "p%u.%u", slot, network); /* fits: LAB_HOSTS_MAX */
}

/* --- a host's ends ---------------------------------------------------------------------------- */

typedef struct {
    const Lab *lab;
    const LabHost *host;
    unsigned number; /* its slot */
    int space;       /* its network namespace */
} Wiring;

/* Locally administered, the same for the same port of the same lab file. */
static void make_mac(const Wiring *wiring, unsigned network, uint8_t mac[6]) {
    const uint8_t bytes[6] = { 0x02,
                               0x5d,
                               (uint8_t)network,
                               0,
                               (uint8_t)(wiring->number >> 8),
                               (uint8_t)(wiring->number + 1) };
    memcpy(mac, bytes, sizeof bytes);
}

static void put_peer(GByteArray *request, const Wiring *wiring, unsigned port, unsigned network) {
    struct ifinfomsg header = { 0 };
    char name[IF_NAMESIZE];
    uint8_t mac[6];
    make_mac(wiring, network, mac);
    (void)snprintf(name, sizeof name, "eth%u", port); /* fits: LAB_NETWORKS_MAX */
    guint peer = nl_nest(request, VETH_INFO_PEER);
    g_byte_array_append(request, (const uint8_t *)&header, sizeof header);
    nl_put_text(request, IFLA_IFNAME, name);
    nl_put(request, IFLA_ADDRESS, mac, sizeof mac);
    nl_put_u32(request, IFLA_NET_NS_FD, (uint32_t)wiring->space);
    nl_nest_end(request, peer);
}

static bool remove_old(int fd, const char *name, GError **error) {
    unsigned index = if_nametoindex(name);
    if (index == 0)
        return true;
    int number;
    g_autoptr(GByteArray) request = link_request(RTM_DELLINK, 0, index, false);
    if (nl_talk(fd, request, NULL, NULL, &number, error))
        return true;
    if (number != ENODEV) /* its other end went meanwhile, and it with that */
        return false;
    g_clear_error(error);
    return true;
}

static bool make_pair(int fd, const Wiring *wiring, unsigned port, GError **error) {
    unsigned network = lab_port(wiring->host, port)->network;
    char name[IF_NAMESIZE], bridge[IF_NAMESIZE];
    wires_port_name(wiring->number, network, name);
    (void)snprintf(bridge, sizeof bridge, "br%u", network); /* fits, as above */
    if (!remove_old(fd, name, error))
        return false;
    g_autoptr(GByteArray) request = link_request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0, true);
    nl_put_text(request, IFLA_IFNAME, name);
    nl_put_u32(request, IFLA_MASTER, if_nametoindex(bridge));
    guint info = nl_nest(request, IFLA_LINKINFO);
    nl_put_text(request, IFLA_INFO_KIND, "veth");
    guint data = nl_nest(request, IFLA_INFO_DATA);
    put_peer(request, wiring, port, network);
    nl_nest_end(request, data);
    nl_nest_end(request, info);
    if (give(fd, request, error))
        return true;
    g_prefix_error(error, "connect host '%s' (module veth): ", wiring->host->name);
    return false;
}

static bool make_pairs(const Wiring *wiring, GError **error) {
    int fd = nl_open(0, false, error);
    bool ok = fd >= 0;
    for (unsigned i = 0; ok && i < wiring->host->ports->len; i++)
        ok = make_pair(fd, wiring, i, error);
    if (fd >= 0)
        (void)close(fd); /* every answer was read */
    return ok;
}

static bool add_port_address(int fd, const Wiring *wiring, unsigned port, const char *name,
                             GError **error) {
    const LabPort *place = lab_port(wiring->host, port);
    const char *length = strchr(lab_network(wiring->lab, place->network)->prefix, '/');
    g_autofree char *text = g_strconcat(place->address, length ? length : "", NULL);
    return add_address(fd, name, text, error);
}

/* In the host's namespace. */
static bool set_up_ends(const Wiring *wiring, GError **error) {
    int fd = nl_open(0, false, error);
    bool ok = fd >= 0 && set_up(fd, "lo", error);
    for (unsigned i = 0; ok && i < wiring->host->ports->len; i++) {
        char name[IF_NAMESIZE];
        (void)snprintf(name, sizeof name, "eth%u", i); /* fits, as above */
        ok = set_up(fd, name, error) && add_port_address(fd, wiring, i, name, error);
    }
    if (fd >= 0)
        (void)close(fd); /* every answer was read */
    return ok;
}

/* Goes into a new namespace and back. */
static int make_space(int home, GError **error) {
    int space = -1;
    if (unshare(CLONE_NEWNET) < 0) {
        set_io_error(error, errno, "make a network namespace");
        return -1;
    }
    space = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (space < 0)
        set_io_error(error, errno, "open a network namespace");
    g_assert(setns(home, CLONE_NEWNET) == 0); /* we were there a moment ago */
    return space;
}

static bool connect_space(const Wiring *wiring, int home, GError **error) {
    if (!make_pairs(wiring, error))
        return false;
    if (setns(wiring->space, CLONE_NEWNET) < 0)
        return set_io_error(error, errno, "enter a network namespace");
    bool ok = set_up_ends(wiring, error);
    g_assert(setns(home, CLONE_NEWNET) == 0); /* we were there a moment ago */
    return ok;
}

int wires_connect(const Lab *lab, unsigned host, GError **error) {
    int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (home < 0) {
        set_io_error(error, errno, "open our network namespace");
        return -1;
    }
    const LabHost *of = lab_host(lab, host);
    Wiring wiring = { lab, of, of->slot, make_space(home, error) };
    bool ok = wiring.space >= 0 && connect_space(&wiring, home, error);
    (void)close(home);
    if (!ok && wiring.space >= 0)
        (void)close(wiring.space); /* nothing else holds it: it goes */
    return ok ? wiring.space : -1;
}
