#pragma once
/*
 * IP addresses and networks, versions 4 and 6, as plain values: their texts, how they relate, and
 * the arithmetic of networks. Pure. Texts are read strictly and printed canonically (RFC 5952).
 */
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* An address with the length of its network, or a network, or one address (of full length). Bytes
 * that the family does not use are zero. */
typedef struct {
    uint8_t family; /* AF_INET, AF_INET6; AF_UNSPEC: there is none */
    uint8_t length; /* bits */
    uint8_t bytes[16];
} IpPrefix;

/* --- texts */

bool ip_parse(const char *text, IpPrefix *ret);        /* one address */
bool ip_prefix_parse(const char *text, IpPrefix *ret); /* with "/length" */
/* Either. Bits right of the prefix are kept. */
bool ip_read(const char *text, IpPrefix *ret, GError **error);
char *ip_text(const IpPrefix *ip); /* without the length; caller frees, here and below */
char *ip_prefix_text(const IpPrefix *prefix);
char *ip_reverse_name(const IpPrefix *ip); /* "1.0.0.10.in-addr.arpa" */

/* --- what they are to each other */

bool ip_equal(const IpPrefix *a, const IpPrefix *b);
bool ip_same_address(const IpPrefix *a, const IpPrefix *b); /* whatever their lengths */
int ip_compare(const IpPrefix *a, const IpPrefix *b);       /* version, address, length */
bool ip_contains(const IpPrefix *outer, const IpPrefix *inner);
bool ip_is_link_local(const IpPrefix *ip); /* fe80::/10 */

/* --- networks; addresses in the results have full length */

unsigned ip_width(const IpPrefix *prefix);        /* 32 or 128 */
IpPrefix ip_network(const IpPrefix *prefix);      /* bits beyond the length cleared */
IpPrefix ip_network_mask(const IpPrefix *prefix); /* leading ones */
IpPrefix ip_first(const IpPrefix *prefix);        /* the network's own address */
IpPrefix ip_last(const IpPrefix *prefix);         /* version 4: the broadcast address */
/* Address number n of the network, from 0; negative counts from the end, -1 being the last. */
bool ip_nth(const IpPrefix *network, int64_t n, IpPrefix *ret, GError **error);
/* Sub-network number n of the given length. */
bool ip_subnet(const IpPrefix *network, int length, int64_t n, IpPrefix *ret, GError **error);
/* How many sub-networks of that length there are; above INT64_MAX: INT64_MAX. */
bool ip_subnet_count(const IpPrefix *network, int length, int64_t *ret_count, GError **error);
