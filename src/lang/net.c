#include "lang/net.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/error.h"

int net_width(int family) {
    return family == 4 ? 32 : 128;
}

/* A shift by the full width is undefined in C. */
static NetNumber shift_left(NetNumber number, int bits) {
    return bits >= 128 ? 0 : number << bits;
}

static NetNumber host_bits(int family, int prefix) {
    return shift_left(1, net_width(family) - prefix) - 1;
}

NetNumber net_mask(int family, int prefix) {
    return host_bits(family, 0) ^ host_bits(family, prefix);
}

static bool parse_address(const char *text, NetPrefix *prefix) {
    unsigned char bytes[16];
    int family = strchr(text, ':') ? 6 : 4;
    if (inet_pton(family == 4 ? AF_INET : AF_INET6, text, bytes) != 1)
        return false;
    prefix->family = family;
    prefix->address = 0;
    for (int i = 0; i < net_width(family) / 8; i++)
        prefix->address = prefix->address << 8 | bytes[i];
    return true;
}

bool net_parse(const char *text, NetPrefix *ret_prefix, GError **error) {
    NetPrefix prefix;
    const char *slash = strchr(text, '/');
    g_autofree char *address = slash ? g_strndup(text, (size_t)(slash - text)) : g_strdup(text);
    if (!parse_address(address, &prefix)) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "read '%s' as a network: write it like '10.0.0.0/8' or 'fd00::/64'", text);
        return false;
    }
    guint64 length = (guint64)net_width(prefix.family);
    if (slash && !g_ascii_string_to_unsigned(slash + 1, 10, 0, length, &length, NULL)) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "read '%s' as a network: its length is a number from 0 to %d", text,
                    net_width(prefix.family));
        return false;
    }
    prefix.prefix = (int)length;
    *ret_prefix = prefix;
    return true;
}

char *net_print_address(int family, NetNumber address) {
    unsigned char bytes[16];
    char text[INET6_ADDRSTRLEN];
    for (int i = net_width(family) / 8 - 1; i >= 0; i--, address >>= 8)
        bytes[i] = (unsigned char)address;
    const char *shown = inet_ntop(family == 4 ? AF_INET : AF_INET6, bytes, text, sizeof text);
    g_assert(shown);
    return g_strdup(shown);
}

char *net_print(const NetPrefix *prefix) {
    g_autofree char *address = net_print_address(prefix->family, prefix->address);
    return g_strdup_printf("%s/%d", address, prefix->prefix);
}

NetNumber net_first(const NetPrefix *prefix) {
    return prefix->address & net_mask(prefix->family, prefix->prefix);
}

NetNumber net_last(const NetPrefix *prefix) {
    return prefix->address | host_bits(prefix->family, prefix->prefix);
}

bool net_contains(const NetPrefix *outer, const NetPrefix *inner) {
    return outer->family == inner->family && outer->prefix <= inner->prefix &&
           net_first(outer) == (inner->address & net_mask(outer->family, outer->prefix));
}

bool net_host(const NetPrefix *prefix, int64_t n, NetNumber *ret_address, GError **error) {
    NetNumber last = host_bits(prefix->family, prefix->prefix);
    NetNumber distance = n >= 0 ? (NetNumber)n : (NetNumber)(-(n + 1));
    if (distance > last) {
        g_autofree char *shown = net_print(prefix);
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "network %s has no address number %ld",
                    shown, (long)n);
        return false;
    }
    *ret_address = n >= 0 ? net_first(prefix) + distance : net_last(prefix) - distance;
    return true;
}

bool net_subnet_count(const NetPrefix *prefix, int length, int64_t *ret_count, GError **error) {
    if (length < prefix->prefix || length > net_width(prefix->family)) {
        g_autofree char *shown = net_print(prefix);
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "split %s into networks of length %d: the length must be from %d to %d", shown,
                    length, prefix->prefix, net_width(prefix->family));
        return false;
    }
    int bits = length - prefix->prefix;
    *ret_count = bits >= 63 ? INT64_MAX : (int64_t)1 << bits;
    return true;
}

bool net_subnet(const NetPrefix *prefix, int length, int64_t n, NetPrefix *ret_subnet,
                GError **error) {
    int64_t count;
    if (!net_subnet_count(prefix, length, &count, error))
        return false;
    if (n < 0 || n >= count) {
        g_autofree char *shown = net_print(prefix);
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "network %s has no network number %ld of length %d, they are 0 to %ld", shown,
                    (long)n, length, (long)(count - 1));
        return false;
    }
    *ret_subnet = (NetPrefix){
        .family = prefix->family,
        .prefix = length,
        .address = net_first(prefix) + shift_left((NetNumber)n, net_width(prefix->family) - length),
    };
    return true;
}

char *net_reverse_name(int family, NetNumber address) {
    GString *name = g_string_new(NULL);
    int bits = family == 4 ? 8 : 4;
    for (int i = 0; i < net_width(family) / bits; i++, address >>= bits)
        g_string_append_printf(name, family == 4 ? "%u." : "%x.",
                               (unsigned)address & ((1u << bits) - 1));
    g_string_append(name, family == 4 ? "in-addr.arpa" : "ip6.arpa");
    return g_string_free(name, FALSE);
}

int net_compare(const NetPrefix *a, const NetPrefix *b) {
    if (a->family != b->family)
        return a->family < b->family ? -1 : 1;
    if (a->address != b->address)
        return a->address < b->address ? -1 : 1;
    return (a->prefix > b->prefix) - (a->prefix < b->prefix);
}
