/* Addresses without netlink, so that they can be had from any host's files: /proc/net/fib_trie has
 * the local IPv4 addresses, /proc/net/route tells interfaces by their networks, /proc/net/if_inet6
 * has everything about IPv6. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/ip.h"
#include "lang/facts-private.h"

typedef struct {
    char *interface;
    IpPrefix prefix;
} Address;

static void address_clear(void *data) {
    g_free(((Address *)data)->interface);
}

/* Entries of the main table that say how a network is reached: interface, network, length. */
static GArray *read_routes(Host *host) {
    GArray *routes = g_array_new(FALSE, FALSE, sizeof(Address));
    g_array_set_clear_func(routes, address_clear);
    g_autofree char *text = facts_text(host, "/proc/net/route");
    g_auto(GStrv) lines = g_strsplit(text ? text : "", "\n", -1);
    for (unsigned i = 0; lines[i]; i++) {
        char name[64];
        unsigned destination, gateway, mask;
        if (sscanf(lines[i], "%63s %8x %8x %*x %*d %*d %*d %8x", name, &destination, &gateway,
                   &mask) != 4 ||
            gateway != 0)
            continue;
        Address route = { .interface = g_strdup(name) };
        route.prefix = (IpPrefix){ .family = AF_INET, .length = (uint8_t)__builtin_popcount(mask) };
        memcpy(route.prefix.bytes, &destination, sizeof destination);
        g_array_append_val(routes, route);
    }
    return routes;
}

/* The interface of the smallest network that has the address; its prefix length is that of the
 * address. */
static void place_address(const GArray *routes, Address *address) {
    const Address *best = NULL;
    const IpPrefix loopback = { .family = AF_INET, .length = 8, .bytes = { 127 } };
    for (unsigned i = 0; i < routes->len; i++) {
        const Address *route = &g_array_index(routes, Address, i);
        if (route->prefix.length > 0 && ip_contains(&route->prefix, &address->prefix) &&
            (!best || route->prefix.length > best->prefix.length))
            best = route;
    }
    if (best)
        address->prefix.length = best->prefix.length;
    else if (ip_contains(&loopback, &address->prefix))
        address->prefix.length = 8;
    address->interface = g_strdup(best                                              ? best->interface
                                  : ip_contains(&loopback, &address->prefix) ? "lo"
                                                                              : "");
}

static bool knows(const GArray *addresses, const IpPrefix *prefix) {
    for (unsigned i = 0; i < addresses->len; i++)
        if (ip_same_address(&g_array_index(addresses, Address, i).prefix, prefix))
            return true;
    return false;
}

/* In the trie an address is a line "|-- A.B.C.D", and below it "/32 host LOCAL" when it is ours. */
static void read_addresses4(Host *host, GArray *addresses) {
    g_autofree char *text = facts_text(host, "/proc/net/fib_trie");
    g_autoptr(GArray) routes = read_routes(host);
    g_auto(GStrv) lines = g_strsplit(text ? text : "", "\n", -1);
    IpPrefix last = { .family = AF_UNSPEC };
    for (unsigned i = 0; lines[i]; i++) {
        const char *leaf = strstr(lines[i], "|-- ");
        if (leaf && !ip_parse(leaf + 4, &last))
            last.family = AF_UNSPEC;
        if (last.family != AF_UNSPEC && strstr(lines[i], "/32 host LOCAL") &&
            !knows(addresses, &last)) {
            Address address = { .prefix = last };
            place_address(routes, &address);
            g_array_append_val(addresses, address);
        }
    }
}

/* "fd00...02 04 40 00 82 eth0": address, interface number, prefix length, scope, flags, name. */
static void read_addresses6(Host *host, GArray *addresses) {
    g_autofree char *text = facts_text(host, "/proc/net/if_inet6");
    g_auto(GStrv) lines = g_strsplit(text ? text : "", "\n", -1);
    for (unsigned i = 0; lines[i]; i++) {
        char digits[33], name[64];
        unsigned length;
        if (sscanf(lines[i], "%32s %*x %x %*x %*x %63s", digits, &length, name) != 3 ||
            strlen(digits) != 32 || length > 128)
            continue;
        Address address = { .interface = g_strdup(name) };
        address.prefix = (IpPrefix){ .family = AF_INET6, .length = (uint8_t)length };
        for (unsigned j = 0; j < 32; j++)
            address.prefix.bytes[j / 2] |=
                (uint8_t)(MAX(g_ascii_xdigit_value(digits[j]), 0) << (j % 2 ? 0 : 4));
        g_array_append_val(addresses, address);
    }
}

static int compare_addresses(const void *a, const void *b) {
    return ip_compare(&((const Address *)a)->prefix, &((const Address *)b)->prefix);
}

static GArray *read_addresses(Host *host) {
    GArray *addresses = g_array_new(FALSE, FALSE, sizeof(Address));
    g_array_set_clear_func(addresses, address_clear);
    read_addresses4(host, addresses);
    read_addresses6(host, addresses);
    g_array_sort(addresses, compare_addresses);
    return addresses;
}

Value *facts_interfaces(Host *host) {
    g_auto(GStrv) names = host_list(host, "/sys/class/net", NULL);
    if (!names)
        return NULL;
    g_autoptr(GArray) addresses = read_addresses(host);
    Value *interfaces = value_new_map();
    for (unsigned i = 0; names[i]; i++) {
        g_autofree char *mac = facts_text(host, "/sys/class/net/%s/address", names[i]);
        g_autofree char *mtu = facts_text(host, "/sys/class/net/%s/mtu", names[i]);
        if (!mtu) /* a file there that is no interface: bonding_masters */
            continue;
        Value *interface = value_new_map(), *list = value_new_list();
        for (unsigned j = 0; j < addresses->len; j++) {
            const Address *address = &g_array_index(addresses, Address, j);
            g_autofree char *text = ip_prefix_text(&address->prefix);
            if (strcmp(address->interface, names[i]) == 0)
                value_list_append(list, value_new_string(text));
        }
        if (mac && *mac)
            value_map_set(interface, "mac", value_new_string(mac));
        value_map_set(interface, "mtu", value_new_int(g_ascii_strtoll(mtu, NULL, 10)));
        value_map_set(interface, "addresses", list);
        value_map_set(interfaces, names[i], interface);
    }
    return interfaces;
}

static bool is_local(const IpPrefix *address) {
    static const char *const ranges[] = { "127.0.0.0/8", "169.254.0.0/16", "::1/128", "fe80::/10" };
    for (unsigned i = 0; i < G_N_ELEMENTS(ranges); i++) {
        IpPrefix range;
        bool parsed = ip_prefix_parse(ranges[i], &range);
        g_assert(parsed);
        IpPrefix alone = *address;
        alone.length = (uint8_t)ip_width(address);
        if (ip_contains(&range, &alone))
            return true;
    }
    return false;
}

Value *facts_addresses(Host *host) {
    if (!host_exists(host, "/proc/net/fib_trie") && !host_exists(host, "/proc/net/if_inet6"))
        return NULL;
    g_autoptr(GArray) addresses = read_addresses(host);
    Value *list = value_new_list();
    for (unsigned i = 0; i < addresses->len; i++) {
        const IpPrefix *prefix = &g_array_index(addresses, Address, i).prefix;
        g_autofree char *text = ip_text(prefix);
        if (!is_local(prefix))
            value_list_append(list, value_new_string(text));
    }
    return list;
}
