#pragma once
/* What a `net` resource asks for, read from its parameters; the steps that lead there. */
#include "graph/kind.h"
#include "host/net.h"

enum {
    NET_INTERFACE,
    NET_STATE,
    NET_ADDRS,
    NET_GATEWAY,
    NET_ROUTES,
    NET_PURGE,
    NET_NO_ADDRS,
    NET_NO_ROUTES,
    NET_ROW_MTU,
    NET_ROW_MAC,
    NET_ROW_MASTER,
    NET_IP_FORWARD,
    NET_TYPE,
    NET_PEER,
    NET_LINK,
    NET_ID,
    NET_LOCAL,
    NET_REMOTE,
    NET_PORT,
    NET_MODE,
    NET_PERSIST,
    NET_OPTIONAL,
    NET_FORCE,
    NET_N_PARAMS
};

typedef enum { NET_PURGE_NONE, NET_PURGE_STATIC, NET_PURGE_ALL } NetPurge;

typedef struct {
    const Resource *resource; /* borrowed */
    const char *link;         /* borrowed */
    bool absent, up, force;
    NetPurge purge;
    const NetType *type; /* NULL: it is not ours to make */
    NetMake make;        /* with type */
    uint8_t mac[6];      /* where it is set */
    bool has_addresses;  /* else they are left alone, as with the next two */
    bool has_gateway, has_routes;
    GArray *addresses, *no_addresses; /* of IpPrefix */
    GArray *gateways;                 /* of NetRoute: default routes */
    GArray *routes, *no_routes;       /* of NetRoute */
} NetSpec;

/* Reads and checks everything, purely. */
bool net_spec_init(NetSpec *spec, const Resource *resource, GError **error);
void net_spec_clear(NetSpec *spec);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(NetSpec, net_spec_clear)

/* Whether this resource decides about an address, or a route, that was found. */
bool net_spec_covers_address(const NetSpec *spec, const NetAddress *address);
bool net_spec_covers_route(const NetSpec *spec, const NetRoute *route);
/* Whether what it decides about may stay. */
bool net_spec_keeps_address(const NetSpec *spec, const IpPrefix *prefix);
bool net_spec_keeps_route(const NetSpec *spec, const NetRoute *route);
bool net_prefixes_have(const GArray *prefixes, const IpPrefix *prefix);
bool net_routes_have(const GArray *routes, const NetRoute *route);

/* What of an existing link differs from how it should have been made; NULL: nothing. A peer that
 * is in another network namespace is not known, and not compared. */
const char *net_spec_made_otherwise(const NetSpec *spec, const NetInfo *info);

/* --- net-steps.c */

/* The next steps (of NetChange, which borrow from the spec), in an order that adds before it
 * removes. A link that must be made comes alone: what it needs is seen once it is there. */
GArray *net_steps(const NetSpec *spec, const NetInfo *info);
/* Which of the steps would cut off who works on the machine; NULL: none. Caller frees. */
char *net_steps_cut_off(const NetSpec *spec, const NetInfo *info, const GArray *steps,
                        const NetSession *session);

/* --- net-networkd.c: files of systemd-networkd; caller frees */

char *net_network_path(const Resource *resource);
char *net_netdev_path(const Resource *resource); /* NULL: it makes no link */
/* master_type: of the link that it is in; "" when that is not known, or there is none. */
char *net_network_text(const NetSpec *spec, const char *master_type);
char *net_netdev_text(const NetSpec *spec);
