#pragma once
/* Which host has which address in which network. Number 1 of every network is kept for the lab
 * itself. */
#include <glib.h>
#include <stdbool.h>

typedef struct Addresses Addresses;

Addresses *addresses_new(void);
void addresses_free(Addresses *addresses);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Addresses, addresses_free)

/* Networks are numbered from 0 as they are added. They must not overlap. */
bool addresses_add_network(Addresses *addresses, const char *name, const char *prefix,
                           GError **error);
/* What the file gives to a host. */
bool addresses_fix(Addresses *addresses, unsigned network, const char *address, const char *host,
                   GError **error);
/* Number 1 of a prefix, with its length: "10.1.0.1/24". NULL: it is no prefix. Caller frees. */
char *addresses_first(const char *prefix);
/* The lowest that is free; caller frees. */
char *addresses_take(Addresses *addresses, unsigned network, const char *host, GError **error);
