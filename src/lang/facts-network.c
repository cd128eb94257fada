/* Addresses without netlink, so that they can be had from any host's files: /proc/net/fib_trie has
 * the local IPv4 addresses, /proc/net/route tells interfaces by their networks, /proc/net/if_inet6
 * has everything about IPv6. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "lang/facts-private.h"
#include "lang/net.h"

typedef struct {
    char *interface;
    NetPrefix prefix;
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
        route.prefix = (NetPrefix){ .family = 4,
                                    .prefix = __builtin_popcount(mask),
                                    .address = ntohl(destination) };
        g_array_append_val(routes, route);
    }
    return routes;
}

/* The interface of the smallest network that has the address; its prefix length is that of the
 * address. */
static void place_address(const GArray *routes, Address *address) {
    const Address *best = NULL;
    const NetPrefix loopback = { .family = 4, .prefix = 8, .address = (NetNumber)127 << 24 };
    for (unsigned i = 0; i < routes->len; i++) {
        const Address *route = &g_array_index(routes, Address, i);
        if (route->prefix.prefix > 0 && net_contains(&route->prefix, &address->prefix) &&
            (!best || route->prefix.prefix > best->prefix.prefix))
            best = route;
    }
    if (best)
        address->prefix.prefix = best->prefix.prefix;
    else if (net_contains(&loopback, &address->prefix))
        address->prefix.prefix = 8;
    address->interface = g_strdup(best                                              ? best->interface
                                  : net_contains(&loopback, &address->prefix) ? "lo"
                                                                              : "");
}

static bool knows(const GArray *addresses, const NetPrefix *prefix) {
    for (unsigned i = 0; i < addresses->len; i++)
        if (g_array_index(addresses, Address, i).prefix.family == prefix->family &&
            g_array_index(addresses, Address, i).prefix.address == prefix->address)
            return true;
    return false;
}

/* In the trie an address is a line "|-- A.B.C.D", and below it "/32 host LOCAL" when it is ours. */
static void read_addresses4(Host *host, GArray *addresses) {
    g_autofree char *text = facts_text(host, "/proc/net/fib_trie");
    g_autoptr(GArray) routes = read_routes(host);
    g_auto(GStrv) lines = g_strsplit(text ? text : "", "\n", -1);
    NetPrefix last = { .family = 0 };
    for (unsigned i = 0; lines[i]; i++) {
        const char *leaf = strstr(lines[i], "|-- ");
        if (leaf && !net_parse(leaf + 4, &last, NULL))
            last.family = 0;
        if (last.family && strstr(lines[i], "/32 host LOCAL") && !knows(addresses, &last)) {
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
        address.prefix = (NetPrefix){ .family = 6, .prefix = (int)length };
        for (unsigned j = 0; j < 32; j++)
            address.prefix.address =
                address.prefix.address << 4 | (unsigned)MAX(g_ascii_xdigit_value(digits[j]), 0);
        g_array_append_val(addresses, address);
    }
}

static int compare_addresses(const void *a, const void *b) {
    return net_compare(&((const Address *)a)->prefix, &((const Address *)b)->prefix);
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
            g_autofree char *text = net_print(&address->prefix);
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

static bool is_local(const NetPrefix *address) {
    static const char *const ranges[] = { "127.0.0.0/8", "169.254.0.0/16", "::1/128", "fe80::/10" };
    for (unsigned i = 0; i < G_N_ELEMENTS(ranges); i++) {
        NetPrefix range;
        bool parsed = net_parse(ranges[i], &range, NULL);
        g_assert(parsed);
        NetPrefix alone = *address;
        alone.prefix = net_width(address->family);
        if (net_contains(&range, &alone))
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
        const NetPrefix *prefix = &g_array_index(addresses, Address, i).prefix;
        g_autofree char *text = net_print_address(prefix->family, prefix->address);
        if (!is_local(prefix))
            value_list_append(list, value_new_string(text));
    }
    return list;
}
