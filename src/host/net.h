#pragma once
/*
 * Links and routes as plain values, and their texts. Texts are those of ip(8): they are
 * read strictly, and printed in one way only, so that equal things have equal texts.
 */
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/ip.h"

#define NET_NAME_SIZE  16   /* of an interface, with the NUL: IFNAMSIZ */
#define NET_VXLAN_PORT 4789 /* of IANA; Linux itself has another for its own past */

bool net_mac_parse(const char *text, uint8_t ret[6]); /* six pairs of hexadecimal digits */
char *net_mac_text(const uint8_t mac[6]);

typedef struct {
    IpPrefix prefix;
    bool dynamic; /* it has a lifetime: DHCP or a router gave it */
    bool kernel;  /* the kernel made it: link-local, loopback, temporary; or it has a peer */
} NetAddress;

/* A unicast route by one link. */
typedef struct {
    IpPrefix destination; /* length 0: the default route */
    IpPrefix via;         /* no family: on the link itself */
    IpPrefix source;      /* no family: the kernel chooses */
    uint32_t metric;
    uint32_t table;
    bool onlink;
    uint8_t protocol; /* RTPROT_*: who made it; not part of what it is */
} NetRoute;

/* "10.0.0.0/8 via 192.0.2.1 metric 100 table 5 src 192.0.2.9 onlink"; "default" needs a via or
 * source to tell its family. link: what "dev" may name. The error says which word is wrong. */
bool net_route_parse(const char *text, const char *link, NetRoute *ret, GError **error);
char *net_route_text(const NetRoute *route);
bool net_route_equal(const NetRoute *a, const NetRoute *b); /* not by protocol */
/* One replaces the other: same destination, metric and table. */
bool net_route_same_place(const NetRoute *a, const NetRoute *b);
bool net_route_is_default(const NetRoute *route); /* of the main table */
/* Made by an administrator, not by the kernel, DHCP, a router or a routing daemon. */
bool net_route_is_static(const NetRoute *route);

/* Why a name cannot be an interface's; NULL: it can. */
const char *net_name_problem(const char *name);

/* How a virtual link is made. Only what its type has counts. */
typedef struct {
    char type[NET_NAME_SIZE]; /* "": a device, or a type that is not in the table */
    char peer[NET_NAME_SIZE]; /* veth */
    char link[NET_NAME_SIZE]; /* what it stands on; may be empty with vxlan */
    char mode[16];            /* bond, macvlan */
    uint32_t id;              /* vxlan, vlan: identifier; vrf: table */
    IpPrefix local, remote;   /* vxlan */
    uint16_t port;            /* vxlan */
} NetMake;

typedef struct {
    const char *name;
    const char *module;       /* of Linux */
    const char *const *modes; /* by their number; NULL where the type has none */
    bool has_id, needs_link, has_peer;
} NetType;

const NetType *net_type_find(const char *name);             /* NULL: no such type */
extern const char *const net_type_names[];                  /* NULL-terminated */
extern const char *const net_mode_names[];                  /* those of all types */
int net_mode_number(const NetType *type, const char *mode); /* -1: it has no such mode */

/* One link as it is. */
typedef struct {
    bool exists;
    NetMake make;
    bool up;       /* as an administrator wants it, whatever the cable says */
    bool forwards; /* IPv4 */
    bool has_mac;
    uint8_t mac[6];
    uint32_t mtu;
    char master[NET_NAME_SIZE]; /* "": none */
    GArray *addresses;          /* of NetAddress; NULL: the link does not exist */
    GArray *routes;             /* of NetRoute: not those the kernel made itself */
} NetInfo;

void net_info_clear(NetInfo *info);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(NetInfo, net_info_clear)
void net_info_init(NetInfo *info); /* a link without anything */
void net_info_copy(NetInfo *to, const NetInfo *from);
const NetAddress *net_info_find_address(const NetInfo *info, const IpPrefix *prefix);
const NetRoute *net_info_find_route(const NetInfo *info, const NetRoute *route);

typedef enum {
    NET_LINK_ADD, /* make */
    NET_LINK_DELETE,
    NET_UP,
    NET_DOWN,   /* its routes go, and its IPv6 addresses */
    NET_MASTER, /* master; "": none */
    NET_MTU,
    NET_MAC,
    NET_FORWARD,     /* on */
    NET_ADDRESS_ADD, /* address; one that is there becomes permanent */
    NET_ADDRESS_DELETE,
    NET_ROUTE_ADD,     /* route; STEAD_ERROR_EXISTS when its place is taken, by whatever link */
    NET_ROUTE_REPLACE, /* route; takes its place in one step */
    NET_ROUTE_DELETE,
} NetVerb;

/* One step; what its verb does not name does not count. */
typedef struct {
    NetVerb verb;
    const char *link;
    const NetMake *make;
    const char *master;
    uint32_t mtu;
    uint8_t mac[6];
    bool on;
    IpPrefix address;
    NetRoute route;
} NetChange;

char *net_change_text(const NetChange *change); /* "add address '192.0.2.1/24' to 'eth0'" */

/* The connection by which somebody works on the machine: as in $SSH_CONNECTION. */
typedef struct {
    IpPrefix client, server;
} NetSession;

bool net_session_parse(const char *text, NetSession *ret);
