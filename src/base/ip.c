#include "base/ip.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/error.h"

/* --- texts */

bool ip_parse(const char *text, IpPrefix *ret) {
    IpPrefix ip = { .family = strchr(text, ':') ? AF_INET6 : AF_INET };
    if (inet_pton(ip.family, text, ip.bytes) != 1)
        return false;
    ip.length = (uint8_t)ip_width(&ip);
    *ret = ip;
    return true;
}

/* "address/length", or an address alone. *ret_length_read: the length is one of its family. */
static bool parse_parts(const char *text, IpPrefix *ret, bool *ret_length_read) {
    const char *slash = strchr(text, '/');
    g_autofree char *address = slash ? g_strndup(text, (size_t)(slash - text)) : g_strdup(text);
    if (!ip_parse(address, ret))
        return false;
    guint64 length = ret->length;
    *ret_length_read =
        !slash || g_ascii_string_to_unsigned(slash + 1, 10, 0, length, &length, NULL);
    ret->length = (uint8_t)length;
    return true;
}

bool ip_prefix_parse(const char *text, IpPrefix *ret) {
    IpPrefix prefix;
    bool fine;
    if (!strchr(text, '/') || !parse_parts(text, &prefix, &fine) || !fine)
        return false;
    *ret = prefix;
    return true;
}

bool ip_read(const char *text, IpPrefix *ret, GError **error) {
    IpPrefix prefix;
    bool fine;
    if (!parse_parts(text, &prefix, &fine)) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "read '%s' as a network: write it like '10.0.0.0/8' or 'fd00::/64'", text);
        return false;
    }
    if (!fine) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "read '%s' as a network: its length is a number from 0 to %u", text,
                    ip_width(&prefix));
        return false;
    }
    *ret = prefix;
    return true;
}

char *ip_text(const IpPrefix *ip) {
    char text[INET6_ADDRSTRLEN];
    return g_strdup(inet_ntop(ip->family, ip->bytes, text, sizeof text));
}

char *ip_prefix_text(const IpPrefix *prefix) {
    g_autofree char *ip = ip_text(prefix);
    return g_strdup_printf("%s/%u", ip, prefix->length);
}

char *ip_reverse_name(const IpPrefix *ip) {
    GString *name = g_string_new(NULL);
    bool four = ip->family == AF_INET;
    for (unsigned i = ip_width(ip) / 8; i > 0; i--) {
        unsigned byte = ip->bytes[i - 1];
        if (four)
            g_string_append_printf(name, "%u.", byte);
        else
            g_string_append_printf(name, "%x.%x.", byte & 15, byte >> 4);
    }
    g_string_append(name, four ? "in-addr.arpa" : "ip6.arpa");
    return g_string_free(name, FALSE);
}

/* --- what they are to each other */

bool ip_equal(const IpPrefix *a, const IpPrefix *b) {
    return a->length == b->length && ip_same_address(a, b);
}

bool ip_same_address(const IpPrefix *a, const IpPrefix *b) {
    return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

int ip_compare(const IpPrefix *a, const IpPrefix *b) {
    if (a->family != b->family)
        return a->family == AF_INET ? -1 : 1;
    int order = memcmp(a->bytes, b->bytes, sizeof a->bytes);
    return order ? order : (a->length > b->length) - (a->length < b->length);
}

bool ip_contains(const IpPrefix *outer, const IpPrefix *inner) {
    if (outer->family != inner->family || outer->length > inner->length)
        return false;
    IpPrefix cut = *inner;
    cut.length = outer->length;
    IpPrefix a = ip_network(outer), b = ip_network(&cut);
    return ip_same_address(&a, &b);
}

bool ip_is_link_local(const IpPrefix *ip) {
    return ip->family == AF_INET6 && ip->bytes[0] == 0xfe && (ip->bytes[1] & 0xc0) == 0x80;
}
