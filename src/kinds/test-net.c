/* net: links, addresses and routes on a fake host, and on the real one in a network of its own. */
#include <string.h>
#include <unistd.h>

#include "graph/watcher.h"
#include "host/host-fake.h"
#include "host/host-faulty.h"
#include "host/host-real.h"
#include "host/test-host.h"
#include "kinds/kind-test.h"
#include "kinds/kinds.h"

#define ETH(...)  kind_test_resource(&kind_net, "eth0", __VA_ARGS__)
#define NETWORK   "/etc/systemd/network/05-stead-"
#define ADDRESSES "addrs:=[\"192.0.2.10/24\",\"2001:db8::10/64\"]"

/* A machine with the device eth0: 192.0.2.9/24 of an administrator, one of DHCP, a link-local one,
 * and a default route. */
static Host *machine(void) {
    Host *host = host_fake_new();
    NetAddress addresses[3] = { { .dynamic = false }, { .dynamic = true }, { .kernel = true } };
    NetChange route = { .verb = NET_ROUTE_ADD, .link = "eth0" };
    host_fake_set_link(host, "eth0", "");
    g_assert_true(ip_prefix_parse("192.0.2.9/24", &addresses[0].prefix));
    g_assert_true(ip_prefix_parse("192.0.2.77/24", &addresses[1].prefix));
    g_assert_true(ip_prefix_parse("fe80::1/64", &addresses[2].prefix));
    for (size_t i = 0; i < G_N_ELEMENTS(addresses); i++)
        host_fake_add_address(host, "eth0", &addresses[i]);
    g_assert_true(net_route_parse("default via 192.0.2.1", "eth0", &route.route, NULL));
    g_assert_true(host_fake_tamper_net(host, &route));
    return host;
}

/* All of a link in one line. */
static char *show(Host *host, const char *link) {
    g_auto(NetInfo) info = { 0 };
    g_autoptr(GError) error = NULL;
    (void)host_net_query(host, link, &info, &error);
    g_assert_no_error(error);
    if (!info.exists)
        return g_strdup("none");
    g_autoptr(GPtrArray) words = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < info.addresses->len; i++) {
        const NetAddress *address = &g_array_index(info.addresses, NetAddress, i);
        g_autofree char *text = ip_prefix_text(&address->prefix);
        if (!address->kernel)
            g_ptr_array_add(words, g_strconcat(text, address->dynamic ? " (dhcp)" : "", NULL));
    }
    for (guint i = 0; i < info.routes->len; i++)
        g_ptr_array_add(words, net_route_text(&g_array_index(info.routes, NetRoute, i)));
    g_ptr_array_add(words, NULL);
    g_autofree char *rest = g_strjoinv(", ", (char **)words->pdata);
    return g_strdup_printf("%s%s%s mtu %u: %s", info.up ? "up" : "down",
                           *info.master != '\0' ? " in " : "", info.master, info.mtu, rest);
}

static void expect(Host *host, const char *link, const char *wanted) {
    g_autofree char *found = show(host, link);
    g_assert_cmpstr(found, ==, wanted);
}

static void tamper(Host *host, NetVerb verb, const char *link, const char *text) {
    NetChange change = { .verb = verb, .link = link, .master = text, .mtu = 1300 };
    if (verb == NET_ADDRESS_ADD || verb == NET_ADDRESS_DELETE)
        g_assert_true(ip_prefix_parse(text, &change.address));
    if (verb >= NET_ROUTE_ADD)
        g_assert_true(net_route_parse(text, link, &change.route, NULL));
    g_assert_true(host_fake_tamper_net(host, &change));
}

/* --- addresses and routes --- */

#define BEFORE "up mtu 1500: 192.0.2.9/24, 192.0.2.77/24 (dhcp), default via 192.0.2.1"

static void test_sets(void) {
    static const struct {
        const char *first, *second, *after;
    } rows[] = {
        { ADDRESSES, NULL,
          "up mtu 1500: 192.0.2.77/24 (dhcp), 192.0.2.10/24, 2001:db8::10/64, "
          "default via 192.0.2.1" },
        { ADDRESSES, "purge=none",
          "up mtu 1500: 192.0.2.9/24, 192.0.2.77/24 (dhcp), 192.0.2.10/24, 2001:db8::10/64, "
          "default via 192.0.2.1" },
        { "addrs:=[\"192.0.2.9/24\"]", "purge=all",
          "up mtu 1500: 192.0.2.9/24, default via 192.0.2.1" },
        { "addrs:=[\"192.0.2.77/24\"]", NULL, /* now for good */
          "up mtu 1500: 192.0.2.77/24, default via 192.0.2.1" },
        { "addrs:=[]", NULL, "up mtu 1500: 192.0.2.77/24 (dhcp), default via 192.0.2.1" },
        { "gateway=192.0.2.2", NULL,
          "up mtu 1500: 192.0.2.9/24, 192.0.2.77/24 (dhcp), default via 192.0.2.2" },
        { "gateway:=[]", NULL, "up mtu 1500: 192.0.2.9/24, 192.0.2.77/24 (dhcp)" },
        { "routes=10.0.0.0/8 via 192.0.2.1", NULL,
          "up mtu 1500: 192.0.2.9/24, 192.0.2.77/24 (dhcp), default via 192.0.2.1, "
          "10.0.0.0/8 via 192.0.2.1" },
        { "routes=default via 192.0.2.3 metric 7", NULL,
          "up mtu 1500: 192.0.2.9/24, 192.0.2.77/24 (dhcp), default via 192.0.2.3 metric 7" },
        { "no_addrs=192.0.2.9/24", NULL,
          "up mtu 1500: 192.0.2.77/24 (dhcp), default via 192.0.2.1" },
        { "state=down", NULL, "down mtu 1500: 192.0.2.9/24, 192.0.2.77/24 (dhcp)" },
        { "mtu:=1400", "mac=02:00:00:00:00:09",
          "up mtu 1400: 192.0.2.9/24, 192.0.2.77/24 (dhcp), default via 192.0.2.1" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(Host) host = machine();
        g_autoptr(KindTest) test = kind_test_new(host);
        g_autoptr(Resource) eth = ETH(rows[i].first, rows[i].second, NULL);
        kind_test_expect(test, eth, ACTION_CHANGE);
        expect(host, "eth0", rows[i].after);
    }
}

static void test_unset_is_left(void) {
    g_autoptr(Host) host = machine();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) eth = ETH(NULL);
    kind_test_expect(test, eth, ACTION_NONE);
    expect(host, "eth0", BEFORE);
}

static void test_repair(void) {
    static const struct {
        NetVerb verb;
        const char *text;
    } rows[] = {
        { NET_ADDRESS_DELETE, "192.0.2.10/24" },
        { NET_ADDRESS_ADD, "198.51.100.1/24" },
        { NET_DOWN, NULL },
        { NET_MTU, NULL },
        { NET_ROUTE_DELETE, "default via 192.0.2.1" },
        { NET_ROUTE_REPLACE, "default via 192.0.2.2" },
        { NET_ROUTE_ADD, "10.7.0.0/16" },
        { NET_ROUTE_DELETE, "10.0.0.0/8 via 192.0.2.7" },
    };
    g_autoptr(Host) host = machine();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) eth = ETH(ADDRESSES, "gateway=192.0.2.1", "routes=10.0.0.0/8 via 192.0.2.7",
                                  "mtu:=1400", "ip_forward:=true", NULL);
    kind_test_expect(test, eth, ACTION_CHANGE);
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        tamper(host, rows[i].verb, "eth0", rows[i].text);
        kind_test_expect(test, eth, ACTION_CHANGE);
    }
}

static void test_undo(void) {
    static const char *const rows[][3] = {
        { ADDRESSES, "gateway=192.0.2.2", NULL },
        { ADDRESSES, "gateway:=[]", "state=down" },
        { "routes=default via 192.0.2.3 metric 7", NULL, NULL },
        { "mtu:=1400", "mac=02:00:00:00:00:09", "persist:=true" },
        { "addrs=192.0.2.9/24", "purge=none", NULL },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(Host) host = machine();
        g_autoptr(KindTest) test = kind_test_new(host);
        g_autoptr(Resource) eth = ETH("ip_forward:=true", rows[i][0], rows[i][1], rows[i][2], NULL);
        kind_test_expect(test, eth, ACTION_CHANGE);
        kind_test_undo(test, eth, ON_REMOVE_DEFAULT);
        g_autofree char *found = show(host, "eth0");
        g_assert_nonnull(strstr(found, "192.0.2.9/24"));
        g_assert_nonnull(strstr(found, "default via 192.0.2.1"));
        g_assert_null(strstr(found, "192.0.2.10"));
        g_assert_nonnull(strstr(found, "up mtu 1500: "));
        g_assert_false(host_exists(host, NETWORK "eth0.network"));
    }
}

/* Where others are left alone, only what was added goes. */
static void test_undo_at_least(void) {
    g_autoptr(Host) host = machine();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) eth = ETH("addrs:=[\"192.0.2.9/24\",\"192.0.2.10/24\"]",
                                  "routes=10.0.0.0/8 via 192.0.2.7", "purge=none", NULL);
    kind_test_expect(test, eth, ACTION_CHANGE);
    tamper(host, NET_ADDRESS_ADD, "eth0", "192.0.2.200/24"); /* a virtual address that moves */
    kind_test_expect(test, eth, ACTION_NONE);
    kind_test_undo(test, eth, ON_REMOVE_DEFAULT);
    expect(host, "eth0",
           "up mtu 1500: 192.0.2.9/24, 192.0.2.77/24 (dhcp), 192.0.2.200/24, "
           "default via 192.0.2.1");
}

/* The route is taken by another interface. */
static void test_route_of_another(void) {
    g_autoptr(Host) host = machine();
    g_autoptr(KindTest) test = kind_test_new(host);
    host_fake_set_link(host, "eth1", "");
    g_autoptr(Resource) eth = kind_test_resource(&kind_net, "eth1", "addrs=198.51.100.5/24",
                                                 "gateway=198.51.100.1", NULL);
    kind_test_expect_error(test, eth, "another interface has it, with the same metric");
    g_autoptr(Resource) forced = kind_test_resource(&kind_net, "eth1", "addrs=198.51.100.5/24",
                                                    "gateway=198.51.100.1", "force:=true", NULL);
    kind_test_expect(test, forced, ACTION_CHANGE);
    expect(host, "eth0", "up mtu 1500: 192.0.2.9/24, 192.0.2.77/24 (dhcp)");
}

/* --- virtual links --- */

static void test_virtual(void) {
    g_autoptr(Host) host = machine();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) bridge =
        kind_test_resource(&kind_net, "br0", "type=bridge", "addrs=10.1.0.1/24", NULL);
    g_autoptr(Resource) pair =
        kind_test_resource(&kind_net, "va", "type=veth", "peer=vb", "master=br0", NULL);
    g_autoptr(Resource) other = kind_test_resource(&kind_net, "vb", "addrs=10.1.0.2/24",
                                                   "gateway=10.1.0.1", "force:=true", NULL);
    g_autoptr(Resource) vxlan = kind_test_resource(
        &kind_net, "vx7", "type=vxlan", "id:=7", "link=eth0", "port:=4789", "local_ip=192.0.2.9",
        "remote_ip=192.0.2.11", "master=br0", "mtu:=1450", NULL);
    kind_test_expect(test, bridge, ACTION_CREATE);
    kind_test_expect(test, pair, ACTION_CREATE);
    kind_test_expect(test, other, ACTION_CHANGE);
    kind_test_expect(test, vxlan, ACTION_CREATE);
    expect(host, "br0", "up mtu 1500: 10.1.0.1/24");
    expect(host, "va", "up in br0 mtu 1500: ");
    expect(host, "vb", "up mtu 1500: 10.1.0.2/24, default via 10.1.0.1");
    expect(host, "vx7", "up in br0 mtu 1450: ");
    tamper(host, NET_LINK_DELETE, "br0", NULL);
    kind_test_expect_error(test, pair, "there is no interface 'br0'");
    kind_test_expect(test, bridge, ACTION_CREATE);
    kind_test_expect(test, pair, ACTION_CHANGE);
    tamper(host, NET_LINK_DELETE, "vb", NULL);
    kind_test_expect_error(test, other, "there is no interface 'vb'; it is set up as soon as");
    kind_test_expect(test, pair, ACTION_CREATE);
    kind_test_expect(test, other, ACTION_CHANGE);
    kind_test_undo(test, other, ON_REMOVE_DEFAULT);
    expect(host, "vb", "down mtu 1500: ");
    kind_test_undo(test, pair, ON_REMOVE_DEFAULT);
    kind_test_undo(test, vxlan, ON_REMOVE_DEFAULT);
    kind_test_undo(test, bridge, ON_REMOVE_DEFAULT);
    expect(host, "va", "none");
    expect(host, "vb", "none");
    expect(host, "vx7", "none");
    expect(host, "br0", "none");
}

static void test_replace(void) {
    g_autoptr(Host) host = machine();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) seven = kind_test_resource(&kind_net, "vx", "type=vxlan", "id:=7", NULL);
    g_autoptr(Resource) eight = kind_test_resource(&kind_net, "vx", "type=vxlan", "id:=8", NULL);
    g_autoptr(Resource) bridge = kind_test_resource(&kind_net, "vx", "type=bridge", NULL);
    g_autoptr(Resource) forced =
        kind_test_resource(&kind_net, "vx", "type=bridge", "force:=true", NULL);
    kind_test_expect(test, seven, ACTION_CREATE);
    kind_test_expect(test, eight, ACTION_REPLACE);
    kind_test_expect_error(test, bridge, "'vx' is a vxlan, not a bridge; set force = true");
    kind_test_expect(test, forced, ACTION_REPLACE);
    g_autoptr(Resource) eth = ETH("type=bridge", "force:=true", NULL);
    kind_test_expect_error(test, eth, "'eth0' is a device, which cannot be deleted");
    g_autoptr(Resource) gone = kind_test_resource(&kind_net, "vx", "state=absent", NULL);
    kind_test_expect(test, gone, ACTION_REMOVE);
    expect(host, "vx", "none");
    g_autoptr(Resource) eth_gone = ETH("state=absent", NULL);
    kind_test_expect_error(test, eth_gone, "cannot be deleted; set state = \"down\"");
}

static void test_missing(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) eth = ETH("addrs=192.0.2.9/24", NULL);
    g_autoptr(Resource) optional = ETH("addrs=192.0.2.9/24", "optional:=true", NULL);
    kind_test_expect_error(test, eth, "there is no interface 'eth0'");
    g_autoptr(KindRound) round = kind_test_converge(test, optional, ACTION_NONE);
    g_assert_cmpstr(round->note, ==, "waits for interface 'eth0'");
    host_fake_set_link(host, "eth0", "");
    kind_test_expect(test, eth, ACTION_CHANGE);
    host_fake_set_link(host, "eth0", NULL);
    kind_test_undo(test, eth, ON_REMOVE_DEFAULT); /* there is nothing to give anything back to */
}

/* --- who works on the machine --- */

static void test_session(void) {
    static const struct {
        const char *session, *first, *second, *refused; /* refused NULL: it may */
    } rows[] = {
        { "192.0.2.50 5 192.0.2.9 22", ADDRESSES, NULL,
          "refuse to delete address '192.0.2.9/24' of 'eth0': the ssh connection from 192.0.2.50" },
        { "192.0.2.50 5 192.0.2.77 22", ADDRESSES, NULL, NULL },
        { "192.0.2.50 5 192.0.2.9 22", "addrs=192.0.2.9/25", NULL, NULL }, /* it stays */
        { "192.0.2.50 5 192.0.2.9 22", "state=down", NULL, "refuse to take 'eth0' down" },
        { "192.0.2.50 5 192.0.2.9 22", "master=br0", NULL, "refuse to put 'eth0' into 'br0'" },
        { "192.0.2.50 5 192.0.2.9 22", "gateway=192.0.2.2", NULL, NULL }, /* a neighbour */
        { "203.0.113.5 5 192.0.2.9 22", "gateway=192.0.2.2", NULL,
          "refuse to replace route 'default via 192.0.2.2' by 'eth0'" },
        { "203.0.113.5 5 192.0.2.9 22", "gateway:=[]", NULL,
          "refuse to delete route 'default via 192.0.2.1' by 'eth0'" },
        { "203.0.113.5 5 192.0.2.9 22", "routes=default via 192.0.2.1 metric 7", NULL,
          "refuse to delete route" },
        { "203.0.113.5 5 198.51.100.9 22", "mtu:=1400", NULL, NULL },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(Host) host = machine();
        g_autoptr(KindTest) test = kind_test_new(host);
        NetSession session;
        host_fake_set_link(host, "br0", "bridge");
        g_assert_true(net_session_parse(rows[i].session, &session));
        host_fake_set_session(host, &session);
        g_autoptr(Resource) eth = ETH(rows[i].first, NULL);
        g_autoptr(Resource) forced = ETH("force:=true", rows[i].first, NULL);
        if (rows[i].refused == NULL) {
            kind_test_expect(test, eth, ACTION_CHANGE);
            continue;
        }
        kind_test_expect_error(test, eth, rows[i].refused);
        expect(host, "eth0", BEFORE);
        g_autoptr(KindRound) plan = kind_test_plan(test, forced);
        g_assert_true(g_str_has_prefix(plan->note, "cuts the ssh connection from "));
        kind_test_expect(test, forced, ACTION_CHANGE);
    }
}

/* --- files --- */

static void assert_file(Host *host, const char *path, const char *text) {
    g_autoptr(GBytes) bytes = host_read(host, path, 1 << 16, NULL);
    g_autofree char *found =
        bytes != NULL ? g_strndup(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes)) : NULL;
    g_assert_cmpstr(found, ==, text);
}

static void test_persist(void) {
    g_autoptr(Host) host = machine();
    g_autoptr(KindTest) test = kind_test_new(host);
    host_fake_set_link(host, "br0", "bridge");
    g_autoptr(Resource) eth =
        ETH(ADDRESSES, "gateway=192.0.2.1", "mtu:=1400", "mac=02:00:00:00:00:09", "master=br0",
            "ip_forward:=true", "persist:=true",
            "routes=10.0.0.0/8 via 192.0.2.7 metric 5 table 9 src 192.0.2.10 onlink", NULL);
    kind_test_expect(test, eth, ACTION_CHANGE);
    assert_file(host, NETWORK "eth0.network",
                "# Kept by stead: what is changed here is overwritten.\n"
                "\n[Match]\nName=eth0\n"
                "\n[Link]\nMTUBytes=1400\nMACAddress=02:00:00:00:00:09\n"
                "\n[Network]\nConfigureWithoutCarrier=yes\nBridge=br0\nIPForward=ipv4\nAddress=192."
                "0.2.10/24\n"
                "Address=2001:db8::10/64\nGateway=192.0.2.1\n"
                "\n[Route]\nDestination=10.0.0.0/8\nGateway=192.0.2.7\n"
                "PreferredSource=192.0.2.10\nMetric=5\nTable=9\nGatewayOnLink=yes\n");
    host_fake_tamper_write(host, NETWORK "eth0.network", "mine\n");
    kind_test_expect(test, eth, ACTION_CHANGE);
    g_autoptr(Resource) vxlan =
        kind_test_resource(&kind_net, "vx7", "type=vxlan", "id:=7", "local_ip=192.0.2.9",
                           "remote_ip=192.0.2.11", "persist:=true", NULL);
    kind_test_expect(test, vxlan, ACTION_CREATE);
    assert_file(host, NETWORK "vx7.netdev",
                "# Kept by stead: what is changed here is overwritten.\n"
                "\n[NetDev]\nName=vx7\nKind=vxlan\n"
                "\n[VXLAN]\nVNI=7\nLocal=192.0.2.9\nRemote=192.0.2.11\nDestinationPort=4789\n"
                "Independent=yes\n");
    g_autoptr(Resource) no_longer =
        kind_test_resource(&kind_net, "vx7", "type=vxlan", "id:=7", NULL);
    kind_test_expect(test, no_longer, ACTION_CHANGE);
    assert_file(host, NETWORK "vx7.netdev", NULL);
    assert_file(host, NETWORK "vx7.network", NULL);
    kind_test_undo(test, eth, ON_REMOVE_DEFAULT);
    assert_file(host, NETWORK "eth0.network", NULL);
}

static void test_root(void) {
    g_autoptr(GError) error = NULL;
    g_autofree char *root = g_dir_make_tmp("stead-net-XXXXXX", &error);
    g_autoptr(Host) host = host_real_new(root, NULL, &error);
    g_autoptr(KindTest) test = kind_test_new(host);
    g_assert_no_error(error);
    g_autoptr(Resource) only = ETH(ADDRESSES, NULL);
    g_autoptr(Resource) kept = ETH(ADDRESSES, "persist:=true", NULL);
    kind_test_expect(test, only, ACTION_NONE);
    kind_test_expect(test, kept, ACTION_CREATE);
    g_assert_true(host_exists(host, NETWORK "eth0.network"));
    kind_test_undo(test, kept, ON_REMOVE_DEFAULT);
    g_assert_false(host_exists(host, NETWORK "eth0.network"));
    g_assert_true(host_remove_tree(host, "/etc", NULL, &error));
    g_assert_no_error(error);
    g_assert_cmpint(rmdir(root), ==, 0);
}

/* --- validation --- */

static void test_validation(void) {
    static const struct {
        const char *name, *first, *second, *problem;
    } rows[] = {
        { "a/b", NULL, NULL, "refuse interface 'a/b': only visible ASCII" },
        { "sixteencharacter", NULL, NULL, "longer than the 15 characters" },
        { "eth0", "addrs=192.0.2.1", NULL,
          "'192.0.2.1' has no prefix length: write '192.0.2.1/32'" },
        { "eth0", "addrs=here", NULL, "'here' is no address" },
        { "eth0", "addrs=192.0.2.0/24", NULL,
          "is a network, not an address in it; perhaps "
          "192.0.2.1/24 is meant" },
        { "eth0", "addrs:=[\"192.0.2.1/24\",\"192.0.2.1/25\"]", NULL, "are the same address" },
        { "eth0", "addrs=192.0.2.1/24", "no_addrs=192.0.2.1/24", "in addrs and in no_addrs" },
        { "eth0", "addrs=192.0.2.1/24", "gateway=198.51.100.1",
          "refuse gateway '198.51.100.1': none of addrs has it in its network; add an address of "
          "that network, or, if it is reached directly all the same, write the route as routes = { "
          "\"default via 198.51.100.1 onlink\" }" },
        { "eth0", "addrs=192.0.2.1/24", "gateway=192.0.2.1", "own address" },
        { "eth0", "gateway=x", NULL, "refuse gateway: 'x' is no address" },
        { "eth0", "gateway:=[\"192.0.2.1\",\"192.0.2.2\"]", NULL, "is there twice" },
        { "eth0", "gateway=192.0.2.1", "routes=default via 192.0.2.1", "keep one of them" },
        { "eth0", "gateway=192.0.2.1", "state=down", "a link that is not up has no routes" },
        { "eth0", "routes=10.0.0.1/8", NULL, "the network is 10.0.0.0/8" },
        { "eth0", "routes=10.0.0.0/8 src 192.0.2.2", "addrs=192.0.2.1/24", "none of addrs" },
        { "eth0", "mtu:=20", NULL, "refuse mtu 20" },
        { "eth0", "mtu:=1000", "addrs=2001:db8::1/64", "IPv6 needs at least 1280" },
        { "eth0", "mac=01:00:00:00:00:01", NULL, "it is a group's address" },
        { "eth0", "mac=1:2", NULL, "write it as 02:00:00:aa:bb:cc" },
        { "eth0", "master=eth0", NULL, "it is the interface itself" },
        { "eth0", "id:=5", NULL, "'id' goes with type vxlan or vlan or vrf; set type" },
        { "eth0", "type=bridge", "peer=x", "'peer' goes with type veth, not with bridge" },
        { "v", "type=veth", NULL, "name its other end with peer" },
        { "v", "type=vlan", "id:=5", "stands on another interface: name it with link" },
        { "v", "type=vxlan", NULL, "a vxlan needs id" },
        { "v", "type=vxlan", "id:=16777216", "at most 16777215" },
        { "b", "type=bond", "mode=vepa", "a bond has no such mode" },
        { "v", "type=wlan", NULL, "vlan" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *problems =
            kind_test_problems(&kind_net, rows[i].name, rows[i].first, rows[i].second, NULL);
        if (strstr(problems, rows[i].problem) == NULL)
            g_error("row %zu: expected '%s', got: %s", i, rows[i].problem, problems);
    }
    /* By a route to the gateway itself, as many who rent out machines have it. */
    g_autoptr(Resource) fine = ETH(
        "addrs=192.0.2.1/32", "routes:=[\"198.51.100.1/32\",\"default via 198.51.100.1\"]", NULL);
    g_autofree char *persisted = kind_test_problems(&kind_net, "v5", "type=vlan", "id:=5",
                                                    "link=eth0", "persist:=true", NULL);
    g_assert_nonnull(strstr(persisted, "persist cannot write a vlan on 'eth0'"));
}

/* --- events, faults, the real machine --- */

typedef struct {
    Loop *loop;
    unsigned events;
} Sink;

static void on_signal(void *data, WatchSignal signal, const char *detail) {
    Sink *sink = data;
    g_assert_cmpint(signal, !=, WATCH_FAILED);
    sink->events += signal == WATCH_EVENT;
}

static unsigned events(Sink *sink) {
    while (loop_turn(sink->loop))
        ;
    unsigned n = sink->events;
    sink->events = 0;
    return n;
}

static void test_watch(void) {
    g_autoptr(Host) host = machine();
    g_autoptr(Loop) loop = loop_new(NULL);
    Sink sink = { .loop = loop };
    g_autoptr(Watcher) watcher = watcher_new(host, loop, 1, on_signal, &sink);
    g_autoptr(Resource) eth = ETH(ADDRESSES, "master=br0", NULL);
    g_assert_true(kind_net.watch(watcher, eth, NULL));
    watcher_start(watcher);
    g_assert_cmpuint(events(&sink), ==, 0);
    tamper(host, NET_ADDRESS_DELETE, "eth0", "192.0.2.9/24");
    g_assert_cmpuint(events(&sink), >, 0);
    host_fake_set_link(host, "br0", "bridge"); /* what it waits for */
    g_assert_cmpuint(events(&sink), >, 0);
    host_fake_set_link(host, "eth0", NULL);
    g_assert_cmpuint(events(&sink), >, 0);
    host_fake_lose_events(host);
    g_assert_cmpuint(events(&sink), >, 0);
}

static void test_faults(void) {
    g_autoptr(Resource) eth = ETH(ADDRESSES, "gateway=192.0.2.2", "mtu:=1400", "persist:=true",
                                  "routes=10.0.0.0/8 via 192.0.2.7", NULL);
    g_autoptr(Resource) pair =
        kind_test_resource(&kind_net, "va", "type=veth", "peer=vb", "addrs=10.1.0.1/24", NULL);
    g_assert_cmpuint(kind_test_faults(machine, eth), >, 8);
    g_assert_cmpuint(kind_test_faults(machine, pair), >, 4);
}

/* At no moment without an address, or without a default route: stopped before any of the steps. */
static void test_no_gap(void) {
    unsigned n = 0;
    for (bool done = false; !done;) {
        g_autoptr(Host) host = machine();
        g_autoptr(Host) faulty = host_faulty_new(host);
        g_autoptr(KindTest) test = kind_test_new(faulty);
        g_autoptr(Resource) eth = ETH("addrs=192.0.2.10/24", "gateway=192.0.2.2", NULL);
        host_faulty_arm(faulty, "net_apply", ++n, STEAD_ERROR_IO, "stopped here");
        g_autoptr(KindRound) round = kind_test_round(test, eth);
        done = round->error == NULL;
        g_autofree char *found = show(host, "eth0");
        g_assert_nonnull(strstr(found, "default via 192.0.2."));
        g_assert_true(strstr(found, "192.0.2.9/24") || strstr(found, "192.0.2.10/24"));
    }
    /* One step each: the new address, the route in place of the old one, the old address. */
    g_assert_cmpuint(n, ==, 4);
}

static void test_real(void) {
    if (!test_own_network()) {
        g_test_skip("needs root, for a network namespace");
        return;
    }
    g_autoptr(GError) error = NULL;
    g_autoptr(Host) host = host_real_new(NULL, NULL, &error);
    g_assert_no_error(error);
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) bridge =
        kind_test_resource(&kind_net, "br0", "type=bridge",
                           "addrs:=[\"10.1.0.1/24\",\"10.1.0.2/24\"]", "ip_forward:=true", NULL);
    g_autoptr(Resource) pair = kind_test_resource(&kind_net, "va", "type=veth", "peer=vb",
                                                  "master=br0", "mtu:=1400", NULL);
    g_autoptr(Resource) other = kind_test_resource(
        &kind_net, "vb", "addrs:=[\"10.1.0.9/24\",\"2001:db8::9/64\"]",
        "gateway:=[\"10.1.0.1\",\"2001:db8::1\"]", "mac=02:00:00:00:00:09",
        "routes:=[\"10.7.0.0/16 via 10.1.0.3 metric 5\",\"2001:db8:7::/48 via 2001:db8::3\"]",
        NULL);
    g_autoptr(Resource) vxlan =
        kind_test_resource(&kind_net, "vx7", "type=vxlan", "id:=7", "link=vb", "port:=4790",
                           "remote_ip=10.1.0.1", "mtu:=1350", NULL);
    kind_test_expect(test, bridge, ACTION_CREATE);
    kind_test_expect(test, pair, ACTION_CREATE);
    g_autofree char *fresh = show(host, "vb");
    g_autoptr(KindRound) made = kind_test_round(test, other);
    g_assert_no_error(made->error);
    kind_test_expect(test, other, ACTION_NONE);
    kind_test_expect(test, vxlan, ACTION_CREATE);
    g_autoptr(Resource) moved =
        kind_test_resource(&kind_net, "vb", "addrs:=[\"10.1.0.10/24\",\"2001:db8::a/64\"]",
                           "gateway:=[\"10.1.0.2\",\"2001:db8::2\"]", NULL);
    kind_test_expect(test, moved, ACTION_CHANGE);
    g_autoptr(Resource) fewer =
        kind_test_resource(&kind_net, "br0", "type=bridge", "addrs=10.1.0.2/24", NULL);
    kind_test_expect(test, fewer, ACTION_CHANGE); /* the second address outlives the first */
    kind_test_undo(test, vxlan, ON_REMOVE_DEFAULT);
    kind_test_undo(test, other, ON_REMOVE_DEFAULT);
    expect(host, "vb", fresh);
    kind_test_undo(test, pair, ON_REMOVE_DEFAULT);
    kind_test_undo(test, bridge, ON_REMOVE_DEFAULT);
    expect(host, "vb", "none");
    expect(host, "br0", "none");
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/kinds/net/sets", test_sets);
    g_test_add_func("/kinds/net/unset", test_unset_is_left);
    g_test_add_func("/kinds/net/repair", test_repair);
    g_test_add_func("/kinds/net/undo", test_undo);
    g_test_add_func("/kinds/net/undo-at-least", test_undo_at_least);
    g_test_add_func("/kinds/net/route-of-another", test_route_of_another);
    g_test_add_func("/kinds/net/virtual", test_virtual);
    g_test_add_func("/kinds/net/replace", test_replace);
    g_test_add_func("/kinds/net/missing", test_missing);
    g_test_add_func("/kinds/net/session", test_session);
    g_test_add_func("/kinds/net/persist", test_persist);
    g_test_add_func("/kinds/net/root", test_root);
    g_test_add_func("/kinds/net/validation", test_validation);
    g_test_add_func("/kinds/net/watch", test_watch);
    g_test_add_func("/kinds/net/faults", test_faults);
    g_test_add_func("/kinds/net/no-gap", test_no_gap);
    g_test_add_func("/kinds/net/real", test_real);
    return g_test_run();
}
