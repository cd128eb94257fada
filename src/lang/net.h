#pragma once
/* IP prefixes, version 4 and 6: the arithmetic behind std.net. Pure. */
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef unsigned __int128 NetNumber; /* an address as a number; version 4 uses the low 32 bits */

typedef struct {
    int family; /* 4 or 6 */
    int prefix; /* 0..32 or 0..128; an address alone has the full length */
    NetNumber address;
} NetPrefix;

/* "10.0.0.1", "10.0.0.0/8", "fd00::1/64". Bits right of the prefix are kept. */
bool net_parse(const char *text, NetPrefix *ret_prefix, GError **error);
char *net_print_address(int family, NetNumber address); /* canonical; caller frees */
char *net_print(const NetPrefix *prefix);               /* always with /length */

int net_width(int family);                    /* 32 or 128 */
NetNumber net_mask(int family, int prefix);   /* leading ones */
NetNumber net_first(const NetPrefix *prefix); /* the network's own address */
NetNumber net_last(const NetPrefix *prefix);  /* version 4: the broadcast address */
bool net_contains(const NetPrefix *outer, const NetPrefix *inner);
/* Address number n of the network, from 0; negative counts from the end, -1 being the last. */
bool net_host(const NetPrefix *prefix, int64_t n, NetNumber *ret_address, GError **error);
/* Sub-network number n of the given length. */
bool net_subnet(const NetPrefix *prefix, int length, int64_t n, NetPrefix *ret_subnet,
                GError **error);
/* How many sub-networks of that length there are; above INT64_MAX: INT64_MAX. */
bool net_subnet_count(const NetPrefix *prefix, int length, int64_t *ret_count, GError **error);
char *net_reverse_name(int family, NetNumber address);   /* "1.0.0.10.in-addr.arpa" */
int net_compare(const NetPrefix *a, const NetPrefix *b); /* version, address, length */
