/* The arithmetic of networks. */
#include <arpa/inet.h>

#include "base/error.h"
#include "base/ip.h"

typedef unsigned __int128 Number; /* an address as a number; version 4 uses the low 32 bits */

unsigned ip_width(const IpPrefix *prefix) {
    return prefix->family == AF_INET6 ? 128 : 32;
}

static Number number_of(const IpPrefix *ip) {
    Number number = 0;
    for (unsigned i = 0; i < ip_width(ip) / 8; i++)
        number = number << 8 | ip->bytes[i];
    return number;
}

static IpPrefix from_number(const IpPrefix *like, Number number, unsigned length) {
    IpPrefix ip = { .family = like->family, .length = (uint8_t)length };
    for (unsigned i = ip_width(like) / 8; i > 0; i--, number >>= 8)
        ip.bytes[i - 1] = (uint8_t)number;
    return ip;
}

/* A shift by the full width is undefined in C. */
static Number shift_left(Number number, unsigned bits) {
    return bits >= 128 ? 0 : number << bits;
}

static Number host_bits(const IpPrefix *prefix) {
    return shift_left(1, ip_width(prefix) - prefix->length) - 1;
}

static Number first(const IpPrefix *prefix) {
    return number_of(prefix) & ~host_bits(prefix);
}

IpPrefix ip_network(const IpPrefix *prefix) {
    return from_number(prefix, first(prefix), prefix->length);
}

IpPrefix ip_network_mask(const IpPrefix *prefix) {
    return from_number(prefix, ~host_bits(prefix), ip_width(prefix));
}

IpPrefix ip_first(const IpPrefix *prefix) {
    return from_number(prefix, first(prefix), ip_width(prefix));
}

IpPrefix ip_last(const IpPrefix *prefix) {
    return from_number(prefix, number_of(prefix) | host_bits(prefix), ip_width(prefix));
}

bool ip_nth(const IpPrefix *network, int64_t n, IpPrefix *ret, GError **error) {
    Number last = host_bits(network);
    Number distance = n >= 0 ? (Number)n : (Number)(-(n + 1));
    if (distance > last) {
        g_autofree char *shown = ip_prefix_text(network);
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "network %s has no address number %ld",
                    shown, (long)n);
        return false;
    }
    Number offset = n >= 0 ? distance : last - distance;
    *ret = from_number(network, first(network) + offset, ip_width(network));
    return true;
}

bool ip_subnet_count(const IpPrefix *network, int length, int64_t *ret_count, GError **error) {
    if (length < network->length || length > (int)ip_width(network)) {
        g_autofree char *shown = ip_prefix_text(network);
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "split %s into networks of length %d: the length must be from %u to %u", shown,
                    length, network->length, ip_width(network));
        return false;
    }
    int bits = length - network->length;
    *ret_count = bits >= 63 ? INT64_MAX : (int64_t)1 << bits;
    return true;
}

bool ip_subnet(const IpPrefix *network, int length, int64_t n, IpPrefix *ret, GError **error) {
    int64_t count;
    if (!ip_subnet_count(network, length, &count, error))
        return false;
    if (n < 0 || n >= count) {
        g_autofree char *shown = ip_prefix_text(network);
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "network %s has no network number %ld of length %d, they are 0 to %ld", shown,
                    (long)n, length, (long)(count - 1));
        return false;
    }
    Number offset = shift_left((Number)n, ip_width(network) - (unsigned)length);
    *ret = from_number(network, first(network) + offset, (unsigned)length);
    return true;
}
