/* The same as files of systemd-networkd: systemd.network(5), systemd.netdev(5). Their names sort
 * before those that netplan and installers write, for the first one that matches is taken. */
#include <inttypes.h>
#include <string.h>
#include <sys/socket.h>

#include "kinds/net-spec.h"

#define PREFIX     "/etc/systemd/network/05-stead-"
#define MAIN_TABLE 254

char *net_network_path(const Resource *resource) {
    return g_strconcat(PREFIX, resource_string(resource, NET_INTERFACE), ".network", NULL);
}

char *net_netdev_path(const Resource *resource) {
    return resource_string(resource, NET_TYPE) != NULL
               ? g_strconcat(PREFIX, resource_string(resource, NET_INTERFACE), ".netdev", NULL)
               : NULL;
}

static GString *begin(void) {
    return g_string_new("# Kept by stead: what is changed here is overwritten.\n");
}

static void append_ip(GString *out, const char *key, const IpPrefix *ip) {
    if (ip->family == AF_UNSPEC)
        return;
    g_autofree char *text = ip_text(ip);
    g_string_append_printf(out, "%s=%s\n", key, text);
}

/* --- .network */

static void append_link(GString *out, const NetSpec *spec) {
    const char *mac = resource_string(spec->resource, NET_ROW_MAC);
    g_string_append_printf(out, "\n[Match]\nName=%s\n\n[Link]\n", spec->link);
    if (!spec->up)
        g_string_append(out, "ActivationPolicy=down\n");
    if (resource_get(spec->resource, NET_ROW_MTU) != NULL)
        g_string_append_printf(out, "MTUBytes=%" PRId64 "\n",
                               resource_int(spec->resource, NET_ROW_MTU, 0));
    if (mac != NULL)
        g_string_append_printf(out, "MACAddress=%s\n", mac);
}

static const char *master_key(const char *type) {
    return strcmp(type, "bond") == 0 ? "Bond" : strcmp(type, "vrf") == 0 ? "VRF" : "Bridge";
}

static void append_network(GString *out, const NetSpec *spec, const char *master_type) {
    const char *master = resource_string(spec->resource, NET_ROW_MASTER);
    /* As by netlink: whether or not a cable is in, or a bridge has ports. */
    g_string_append(out, "\n[Network]\nConfigureWithoutCarrier=yes\n");
    if (master != NULL && *master != '\0')
        g_string_append_printf(out, "%s=%s\n", master_key(master_type), master);
    if (resource_get(spec->resource, NET_IP_FORWARD) != NULL)
        g_string_append_printf(out, "IPForward=%s\n",
                               resource_bool(spec->resource, NET_IP_FORWARD) ? "ipv4" : "no");
    for (guint i = 0; i < spec->addresses->len; i++) {
        g_autofree char *text = ip_prefix_text(&g_array_index(spec->addresses, IpPrefix, i));
        g_string_append_printf(out, "Address=%s\n", text);
    }
    for (guint i = 0; i < spec->gateways->len; i++)
        append_ip(out, "Gateway", &g_array_index(spec->gateways, NetRoute, i).via);
}

static void append_route(GString *out, const NetRoute *route) {
    g_autofree char *destination = ip_prefix_text(&route->destination);
    g_string_append_printf(out, "\n[Route]\nDestination=%s\n", destination);
    append_ip(out, "Gateway", &route->via);
    append_ip(out, "PreferredSource", &route->source);
    if (route->metric != 0)
        g_string_append_printf(out, "Metric=%u\n", route->metric);
    if (route->table != MAIN_TABLE)
        g_string_append_printf(out, "Table=%u\n", route->table);
    if (route->onlink)
        g_string_append(out, "GatewayOnLink=yes\n");
    if (route->via.family == AF_UNSPEC)
        g_string_append(out, "Scope=link\n");
}

char *net_network_text(const NetSpec *spec, const char *master_type) {
    GString *out = begin();
    append_link(out, spec);
    append_network(out, spec, master_type);
    for (guint i = 0; i < spec->routes->len; i++)
        append_route(out, &g_array_index(spec->routes, NetRoute, i));
    return g_string_free(out, FALSE);
}

/* --- .netdev */

static void append_vxlan(GString *out, const NetMake *make) {
    g_string_append_printf(out, "\n[VXLAN]\nVNI=%u\n", make->id);
    append_ip(out, "Local", &make->local);
    append_ip(out, "Remote", &make->remote);
    g_string_append_printf(out, "DestinationPort=%u\nIndependent=yes\n",
                           make->port != 0 ? make->port : NET_VXLAN_PORT);
}

char *net_netdev_text(const NetSpec *spec) {
    const NetMake *make = &spec->make;
    GString *out = begin();
    g_string_append_printf(out, "\n[NetDev]\nName=%s\nKind=%s\n", spec->link, make->type);
    if (strcmp(make->type, "vxlan") == 0)
        append_vxlan(out, make);
    else if (strcmp(make->type, "veth") == 0)
        g_string_append_printf(out, "\n[Peer]\nName=%s\n", make->peer);
    else if (strcmp(make->type, "vrf") == 0)
        g_string_append_printf(out, "\n[VRF]\nTable=%u\n", make->id);
    else if (strcmp(make->type, "bond") == 0 && *make->mode != '\0')
        g_string_append_printf(out, "\n[Bond]\nMode=%s\n", make->mode);
    return g_string_free(out, FALSE);
}
