#pragma once
/*
 * What does not reach each other: hosts, or a host and a network. Kept by rules of nftables in the
 * bridges' namespace, which drop frames by the ends they come in and go out by, so that nothing in
 * a host sees or undoes them. Spoken over netlink: the program nft is not needed.
 */
#include "lab/lab.h"

/* Two hosts, or a host and a network (is_network: b is one). */
typedef struct {
    unsigned a, b;
    bool is_network;
} Cut;

/* What two names mean; the error tells which one is none. */
bool cut_parse(const Lab *lab, const char *a, const char *b, Cut *ret_cut, GError **error);
bool cut_equal(const Cut *one, const Cut *other); /* whatever the order */
/* All rules at once: what is in cuts (of Cut), and nothing else, is cut. */
bool cut_apply(const Lab *lab, const GArray *cuts, GError **error);
