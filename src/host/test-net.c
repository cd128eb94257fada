/* Links, addresses and routes: their texts, and what every host does with them. The real one works
 * in a network namespace that the test makes for itself. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/host-fake.h"
#include "host/host-faulty.h"
#include "host/host-overlay.h"
#include "host/host-real.h"
#include "host/netlink.h"
#include "host/test-host.h"

/* --- texts --- */

static void test_prefixes(void) {
    static const struct {
        const char *text, *printed; /* printed NULL: refused */
    } rows[] = {
        { "192.0.2.1/24", "192.0.2.1/24" },
        { "2001:DB8:0:0::1/64", "2001:db8::1/64" },
        { "0.0.0.0/0", "0.0.0.0/0" },
        { "::/0", "::/0" },
        { "192.0.2.1", NULL },
        { "192.0.2.1/33", NULL },
        { "192.0.2.1/", NULL },
        { "192.0.2.1/-1", NULL },
        { "192.0.2.1/ 1", NULL },
        { "192.0.2.1/99999999999999999999", NULL },
        { "192.0.2/24", NULL },
        { "2001:db8::1/129", NULL },
        { "fe80::1%eth0/64", NULL },
        { "", NULL },
        { "/", NULL },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        IpPrefix prefix;
        bool good = ip_prefix_parse(rows[i].text, &prefix);
        g_assert_cmpint(good, ==, rows[i].printed != NULL);
        g_autofree char *printed = good ? ip_prefix_text(&prefix) : NULL;
        g_assert_cmpstr(printed, ==, rows[i].printed);
    }
}

static void test_routes(void) {
    static const struct {
        const char *text, *printed, *problem;
    } rows[] = {
        { "10.0.0.0/8 via 192.0.2.1", "10.0.0.0/8 via 192.0.2.1", NULL },
        { "10.1.2.3", "10.1.2.3/32", NULL },
        { " default  via\t192.0.2.1 dev eth0", "default via 192.0.2.1", NULL },
        { "0.0.0.0/0 via 192.0.2.1", "default via 192.0.2.1", NULL },
        { "::/0", "::/0", NULL },
        { "default via fe80::1 metric 1024", "default via fe80::1", NULL },
        { "default via fe80::1 metric 5", "default via fe80::1 metric 5", NULL },
        { "10.0.0.0/8 table main", "10.0.0.0/8", NULL },
        { "10.0.0.0/8 onlink table 1000 src 192.0.2.9 metric 7 via 192.0.2.1",
          "10.0.0.0/8 via 192.0.2.1 src 192.0.2.9 metric 7 table 1000 onlink", NULL },
        { "", NULL, "it is empty" },
        { "default", NULL, "'default' needs via or src, or write 0.0.0.0/0" },
        { "10.0.0.1/8", NULL, "bits beyond its length; the network is 10.0.0.0/8" },
        { "ten", NULL, "'ten' is no destination" },
        { "10.0.0.0/8 via", NULL, "'via' wants an address" },
        { "10.0.0.0/8 via x", NULL, "'via' wants an address, not 'x'" },
        { "10.0.0.0/8 dev eth1", NULL, "belongs to the interface it leaves by, not 'eth1'" },
        { "10.0.0.0/8 metric -1", NULL, "'metric' wants a number" },
        { "10.0.0.0/8 metric 4294967296", NULL, "'metric' wants a number" },
        { "10.0.0.0/8 table 0", NULL, "'table' wants a number above 0" },
        { "10.0.0.0/8 proto static", NULL, "'proto' is no part of a route" },
        { "10.0.0.0/8 via 2001:db8::1", NULL, "do not mix" },
        { "10.0.0.0/8 onlink", NULL, "it needs via" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        NetRoute route;
        bool good = net_route_parse(rows[i].text, "eth0", &route, &error);
        g_assert_cmpint(good, ==, rows[i].printed != NULL);
        if (!good) {
            g_assert_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG);
            g_assert_nonnull(strstr(error->message, rows[i].problem));
            continue;
        }
        g_autofree char *printed = net_route_text(&route);
        g_assert_cmpstr(printed, ==, rows[i].printed);
        NetRoute again;
        g_assert_true(net_route_parse(printed, "eth0", &again, &error));
        g_assert_true(net_route_equal(&route, &again));
    }
}

static void test_names(void) {
    g_assert_null(net_name_problem("eth0.5"));
    g_assert_null(net_name_problem("123456789012345"));
    g_assert_nonnull(strstr(net_name_problem("1234567890123456"), "15 characters"));
    g_assert_nonnull(net_name_problem(""));
    g_assert_nonnull(net_name_problem(".."));
    g_assert_nonnull(net_name_problem("a b"));
    g_assert_nonnull(net_name_problem("a/b"));
    g_assert_nonnull(net_name_problem("a\xc3\xa9"));
    NetSession session;
    g_assert_true(net_session_parse("192.0.2.7 5000 192.0.2.1 22", &session));
    g_autofree char *client = ip_text(&session.client), *server = ip_text(&session.server);
    g_assert_cmpstr(client, ==, "192.0.2.7");
    g_assert_cmpstr(server, ==, "192.0.2.1");
    g_assert_false(net_session_parse("192.0.2.7 5000 192.0.2.1", &session));
    g_assert_false(net_session_parse("x 5000 192.0.2.1 22", &session));
}

/* --- short forms --- */

static IpPrefix prefix_of(const char *text) {
    IpPrefix prefix;
    if (!ip_prefix_parse(text, &prefix) && !ip_parse(text, &prefix))
        g_error("bad address %s", text);
    return prefix;
}

static NetChange change_of(NetVerb verb, const char *link, const char *text) {
    NetChange change = { .verb = verb, .link = link, .master = text };
    g_autoptr(GError) error = NULL;
    if (verb == NET_ADDRESS_ADD || verb == NET_ADDRESS_DELETE)
        change.address = prefix_of(text);
    if (verb == NET_ROUTE_ADD || verb == NET_ROUTE_REPLACE || verb == NET_ROUTE_DELETE)
        (void)net_route_parse(text, link, &change.route, &error);
    g_assert_no_error(error);
    return change;
}

static void apply(Host *host, NetVerb verb, const char *link, const char *text) {
    g_autoptr(GError) error = NULL;
    NetChange change = change_of(verb, link, text);
    (void)host_net_apply(host, &change, &error);
    g_assert_no_error(error);
}

static void refuse(Host *host, NetVerb verb, const char *link, const char *text, int code,
                   const char *message) {
    g_autoptr(GError) error = NULL;
    NetChange change = change_of(verb, link, text);
    g_assert_false(host_net_apply(host, &change, &error));
    g_assert_error(error, STEAD_ERROR, code);
    g_autofree char *what = net_change_text(&change);
    g_assert_true(g_str_has_prefix(error->message, what));
    if (strstr(error->message, message) == NULL)
        g_error("expected '%s' in '%s'", message, error->message);
}

static bool try_make(Host *host, const char *link, const NetMake *make, GError **error) {
    NetChange change = { .verb = NET_LINK_ADD, .link = link, .make = make };
    return host_net_apply(host, &change, error);
}

static void make_virtual(Host *host, const char *link, const NetMake *make) {
    g_autoptr(GError) error = NULL;
    (void)try_make(host, link, make, &error);
    g_assert_no_error(error);
}

static void make_pair(Host *host) {
    const NetMake make = { .type = "veth", .peer = "b" };
    make_virtual(host, "a", &make);
}

static void query(Host *host, const char *link, NetInfo *info) {
    g_autoptr(GError) error = NULL;
    (void)host_net_query(host, link, info, &error);
    g_assert_no_error(error);
}

static bool exists(Host *host, const char *link) {
    g_auto(NetInfo) info = { 0 };
    query(host, link, &info);
    return info.exists;
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Those that an administrator made, in order, as one text. */
static void expect_addresses(Host *host, const char *link, const char *wanted) {
    g_auto(NetInfo) info = { 0 };
    query(host, link, &info);
    g_autoptr(GPtrArray) texts = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < info.addresses->len; i++) {
        const NetAddress *address = &g_array_index(info.addresses, NetAddress, i);
        if (!address->kernel && !address->dynamic)
            g_ptr_array_add(texts, ip_prefix_text(&address->prefix));
    }
    g_ptr_array_sort(texts, by_text);
    g_ptr_array_add(texts, NULL);
    g_autofree char *found = g_strjoinv(", ", (char **)texts->pdata);
    g_assert_cmpstr(found, ==, wanted);
}

static void expect_routes(Host *host, const char *link, const char *wanted) {
    g_auto(NetInfo) info = { 0 };
    query(host, link, &info);
    g_autoptr(GPtrArray) texts = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < info.routes->len; i++)
        g_ptr_array_add(texts, net_route_text(&g_array_index(info.routes, NetRoute, i)));
    g_ptr_array_sort(texts, by_text);
    g_ptr_array_add(texts, NULL);
    g_autofree char *found = g_strjoinv(", ", (char **)texts->pdata);
    g_assert_cmpstr(found, ==, wanted);
}

/* --- what every host does --- */

static void check_pair(Host *host) {
    g_assert_false(exists(host, "a"));
    make_pair(host);
    g_auto(NetInfo) a = { 0 }, b = { 0 };
    query(host, "a", &a);
    query(host, "b", &b);
    g_assert_cmpstr(a.make.type, ==, "veth");
    g_assert_cmpstr(a.make.peer, ==, "b");
    g_assert_cmpstr(b.make.peer, ==, "a");
    g_assert_false(a.up);
    g_assert_cmpuint(a.mtu, ==, 1500);
    g_assert_cmpstr(a.master, ==, "");
    const NetMake again = { .type = "veth", .peer = "c" };
    g_autoptr(GError) error = NULL;
    g_assert_false(try_make(host, "a", &again, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_EXISTS);
    apply(host, NET_LINK_DELETE, "b", NULL);
    g_assert_false(exists(host, "a"));
    g_assert_false(exists(host, "b"));
    refuse(host, NET_LINK_DELETE, "a", NULL, STEAD_ERROR_NOT_FOUND, "there is no interface 'a'");
    refuse(host, NET_UP, "a", NULL, STEAD_ERROR_NOT_FOUND, "there is no interface 'a'");
}

static void check_list(Host *host) {
    g_autoptr(GError) error = NULL;
    make_pair(host);
    g_auto(GStrv) before = host_net_list(host, &error);
    g_assert_no_error(error);
    g_assert_true(g_strv_contains((const char *const *)before, "lo"));
    g_assert_true(g_strv_contains((const char *const *)before, "a"));
    g_assert_true(g_strv_contains((const char *const *)before, "b"));
    apply(host, NET_LINK_DELETE, "a", NULL);
    g_auto(GStrv) after = host_net_list(host, &error);
    g_assert_false(g_strv_contains((const char *const *)after, "b"));
}

static void check_bridge(Host *host) {
    const NetMake make = { .type = "bridge" };
    make_pair(host);
    refuse(host, NET_MASTER, "a", "br", STEAD_ERROR_NOT_FOUND, "");
    make_virtual(host, "br", &make);
    apply(host, NET_MASTER, "a", "br");
    g_auto(NetInfo) in = { 0 }, out = { 0 };
    query(host, "a", &in);
    g_assert_cmpstr(in.master, ==, "br");
    apply(host, NET_MASTER, "a", "");
    apply(host, NET_MASTER, "a", "br");
    apply(host, NET_LINK_DELETE, "br", NULL);
    query(host, "a", &out);
    g_assert_cmpstr(out.master, ==, "");
}

static void check_vxlan(Host *host) {
    make_pair(host);
    NetMake make = { .type = "vxlan",
                     .link = "a",
                     .id = 42,
                     .port = 8472,
                     .local = prefix_of("192.0.2.1"),
                     .remote = prefix_of("192.0.2.2") };
    make_virtual(host, "vx", &make);
    g_auto(NetInfo) info = { 0 };
    query(host, "vx", &info);
    g_assert_cmpstr(info.make.type, ==, "vxlan");
    g_assert_cmpstr(info.make.link, ==, "a");
    g_assert_cmpuint(info.make.id, ==, 42);
    g_assert_cmpuint(info.make.port, ==, 8472);
    g_assert_true(ip_equal(&info.make.local, &make.local));
    g_assert_true(ip_equal(&info.make.remote, &make.remote));
    NetMake nowhere = make;
    g_strlcpy(nowhere.link, "none", sizeof nowhere.link);
    g_autoptr(GError) error = NULL;
    g_assert_false(try_make(host, "vx2", &nowhere, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND);
}

static void check_link(Host *host) {
    make_pair(host);
    NetChange mtu = { .verb = NET_MTU, .link = "a", .mtu = 1400 };
    NetChange mac = { .verb = NET_MAC, .link = "a", .mac = { 2, 0, 0, 0, 0, 9 } };
    NetChange forward = { .verb = NET_FORWARD, .link = "a", .on = true };
    g_assert_true(host_net_apply(host, &mtu, NULL));
    g_assert_true(host_net_apply(host, &mac, NULL));
    g_assert_true(host_net_apply(host, &forward, NULL));
    apply(host, NET_UP, "a", NULL);
    g_auto(NetInfo) info = { 0 }, off = { 0 };
    query(host, "a", &info);
    g_assert_cmpuint(info.mtu, ==, 1400);
    g_autofree char *text = net_mac_text(info.mac);
    g_assert_cmpstr(text, ==, "02:00:00:00:00:09");
    g_assert_true(info.forwards);
    g_assert_true(info.up);
    forward.on = false;
    g_assert_true(host_net_apply(host, &forward, NULL));
    query(host, "a", &off);
    g_assert_false(off.forwards);
}

static void check_addresses(Host *host) {
    make_pair(host);
    apply(host, NET_UP, "a", NULL);
    apply(host, NET_ADDRESS_ADD, "a", "192.0.2.1/24");
    apply(host, NET_ADDRESS_ADD, "a", "192.0.2.1/24");
    apply(host, NET_ADDRESS_ADD, "a", "192.0.2.2/24");
    apply(host, NET_ADDRESS_ADD, "a", "198.51.100.1/32");
    apply(host, NET_ADDRESS_ADD, "a", "2001:db8::1/64");
    expect_addresses(host, "a", "192.0.2.1/24, 192.0.2.2/24, 198.51.100.1/32, 2001:db8::1/64");
    apply(host, NET_ADDRESS_DELETE, "a", "192.0.2.1/24"); /* the second one stays */
    expect_addresses(host, "a", "192.0.2.2/24, 198.51.100.1/32, 2001:db8::1/64");
    refuse(host, NET_ADDRESS_DELETE, "a", "192.0.2.1/24", STEAD_ERROR_NOT_FOUND, "");
    apply(host, NET_DOWN, "a", NULL);
    expect_addresses(host, "a", "192.0.2.2/24, 198.51.100.1/32");
    expect_routes(host, "a", "");
}

static void prepare_net(Host *host, const char *address) {
    make_pair(host);
    apply(host, NET_UP, "a", NULL);
    apply(host, NET_UP, "b", NULL);
    apply(host, NET_ADDRESS_ADD, "a", address);
}

static void check_routes(Host *host) {
    make_pair(host);
    refuse(host, NET_ROUTE_ADD, "a", "10.0.0.0/8", STEAD_ERROR_IO, "");
    apply(host, NET_LINK_DELETE, "a", NULL);
    prepare_net(host, "192.0.2.1/24");
    refuse(host, NET_ROUTE_ADD, "a", "10.0.0.0/8 via 198.51.100.1", STEAD_ERROR_IO, "");
    apply(host, NET_ROUTE_ADD, "a", "default via 192.0.2.254");
    apply(host, NET_ROUTE_ADD, "a", "10.0.0.0/8 via 192.0.2.254 src 192.0.2.1 metric 9 table 1000");
    apply(host, NET_ROUTE_ADD, "a", "198.51.100.0/24");
    apply(host, NET_ROUTE_ADD, "a", "203.0.113.0/24 via 198.51.100.1"); /* by the one above */
    apply(host, NET_ROUTE_ADD, "a", "10.1.0.0/16 via 203.0.113.77 onlink");
    expect_routes(host, "a",
                  "10.0.0.0/8 via 192.0.2.254 src 192.0.2.1 metric 9 table 1000, "
                  "10.1.0.0/16 via 203.0.113.77 onlink, 198.51.100.0/24, "
                  "203.0.113.0/24 via 198.51.100.1, default via 192.0.2.254");
    refuse(host, NET_ROUTE_ADD, "a", "default via 192.0.2.253", STEAD_ERROR_EXISTS, "");
    apply(host, NET_ROUTE_REPLACE, "a", "default via 192.0.2.253");
    apply(host, NET_ROUTE_DELETE, "a", "10.1.0.0/16 via 203.0.113.77 onlink");
    refuse(host, NET_ROUTE_DELETE, "a", "10.1.0.0/16 via 203.0.113.77 onlink",
           STEAD_ERROR_NOT_FOUND, "");
    apply(host, NET_ROUTE_DELETE, "a", "203.0.113.0/24 via 198.51.100.1");
    apply(host, NET_ROUTE_DELETE, "a", "198.51.100.0/24");
    apply(host, NET_ROUTE_DELETE, "a",
          "10.0.0.0/8 via 192.0.2.254 src 192.0.2.1 metric 9 table 1000");
    expect_routes(host, "a", "default via 192.0.2.253");
    expect_routes(host, "b", "");
}

static void check_routes_of_ipv6(Host *host) {
    prepare_net(host, "2001:db8::1/64");
    apply(host, NET_ROUTE_ADD, "a", "default via 2001:db8::2");
    apply(host, NET_ROUTE_ADD, "a", "2001:db8:1::/48 via fe80::1 metric 5");
    apply(host, NET_ROUTE_ADD, "a", "2001:db8:2::/48");
    apply(host, NET_ROUTE_REPLACE, "a", "default via 2001:db8::3");
    expect_routes(host, "a",
                  "2001:db8:1::/48 via fe80::1 metric 5, 2001:db8:2::/48, default via 2001:db8::3");
    apply(host, NET_ROUTE_DELETE, "a", "2001:db8:2::/48");
    apply(host, NET_ROUTE_DELETE, "a", "default via 2001:db8::3");
    expect_routes(host, "a", "2001:db8:1::/48 via fe80::1 metric 5");
}

static void check_master_of_ipv4_default(Host *host) {
    prepare_net(host, "192.0.2.1/24");
    apply(host, NET_ADDRESS_ADD, "b", "198.51.100.1/24");
    apply(host, NET_ROUTE_ADD, "a", "default via 192.0.2.254");
    refuse(host, NET_ROUTE_ADD, "b", "default via 198.51.100.254", STEAD_ERROR_EXISTS, "");
    apply(host, NET_ROUTE_REPLACE, "b", "default via 198.51.100.254");
    expect_routes(host, "a", "");
    expect_routes(host, "b", "default via 198.51.100.254");
}

/* --- hosts to try --- */

typedef struct {
    Host *base, *host; /* base may be NULL */
} Bed;

static void make_fake(Bed *bed) {
    bed->host = host_fake_new();
}

static void make_faulty(Bed *bed) {
    bed->base = host_fake_new();
    bed->host = host_faulty_new(bed->base);
}

static void make_overlay_of_fake(Bed *bed) {
    bed->base = host_fake_new();
    bed->host = host_overlay_new(bed->base);
}

/* NULL: namespaces cannot be made here. This thread, and those it makes from now on, are in a
 * network that ends with them. */
static Host *new_real(void) {
    g_autoptr(GError) error = NULL;
    if (!test_own_network())
        return NULL;
    Host *real = host_real_new(NULL, NULL, &error);
    g_assert_no_error(error);
    g_assert_false(exists(real, "eth0"));
    return real;
}

static void make_real(Bed *bed) {
    bed->host = new_real();
}

static void make_overlay_of_real(Bed *bed) {
    bed->base = new_real();
    bed->host = bed->base != NULL ? host_overlay_new(bed->base) : NULL;
}

static const struct {
    const char *name;
    void (*make)(Bed *bed);
} beds[] = {
    { "fake", make_fake },
    { "faulty", make_faulty },
    { "overlay-of-fake", make_overlay_of_fake },
    { "real", make_real },
    { "overlay-of-real", make_overlay_of_real },
};

static const struct {
    const char *name;
    void (*check)(Host *host);
} checks[] = {
    { "pair", check_pair },
    { "list", check_list },
    { "bridge", check_bridge },
    { "vxlan", check_vxlan },
    { "link", check_link },
    { "addresses", check_addresses },
    { "routes", check_routes },
    { "routes-of-ipv6", check_routes_of_ipv6 },
    { "default-moves", check_master_of_ipv4_default },
};

static void run_case(const void *data) {
    size_t at = GPOINTER_TO_SIZE(data);
    Bed bed = { 0 };
    beds[at / G_N_ELEMENTS(checks)].make(&bed);
    if (bed.host == NULL) {
        g_test_skip("needs root, for a network namespace");
        return;
    }
    checks[at % G_N_ELEMENTS(checks)].check(bed.host);
    if (host_is_prediction(bed.host))
        g_assert_false(exists(bed.base, "a")); /* nothing of it was real */
    host_free(bed.host);
    host_free(bed.base);
}

/* --- predictions of what is there already --- */

static void test_overlay_reads_through(void) {
    g_autoptr(Host) fake = host_fake_new();
    const NetMake bridge = { .type = "bridge" };
    make_virtual(fake, "br", &bridge);
    prepare_net(fake, "192.0.2.1/24");
    apply(fake, NET_MASTER, "b", "br");
    g_autoptr(Host) overlay = host_overlay_new(fake);
    expect_addresses(overlay, "a", "192.0.2.1/24");
    apply(overlay, NET_LINK_DELETE, "br", NULL);
    g_auto(NetInfo) b = { 0 }, real = { 0 };
    query(overlay, "b", &b);
    g_assert_cmpstr(b.master, ==, "");
    query(fake, "b", &real);
    g_assert_cmpstr(real.master, ==, "br");
    apply(overlay, NET_LINK_DELETE, "a", NULL);
    g_assert_false(exists(overlay, "b"));
    g_assert_true(exists(fake, "b"));
}

/* A route that a link has which nobody asked about. */
static void test_overlay_sees_other_routes(void) {
    g_autoptr(Host) fake = host_fake_new();
    prepare_net(fake, "192.0.2.1/24");
    apply(fake, NET_ADDRESS_ADD, "b", "198.51.100.1/24");
    apply(fake, NET_ROUTE_ADD, "a", "default via 192.0.2.254");
    g_autoptr(Host) overlay = host_overlay_new(fake);
    refuse(overlay, NET_ROUTE_ADD, "b", "default via 198.51.100.254", STEAD_ERROR_EXISTS, "");
}

static void test_faults(void) {
    g_autoptr(Host) fake = host_fake_new();
    g_autoptr(Host) faulty = host_faulty_new(fake);
    g_auto(NetInfo) info = { 0 };
    host_faulty_arm(faulty, "net_query", 1, STEAD_ERROR_IO, "boom");
    expect_error(host_net_query(faulty, "lo", &info, &problem), STEAD_ERROR_IO, "boom");
    host_faulty_arm(faulty, "net_apply", 1, STEAD_ERROR_IO, "boom");
    NetChange change = { .verb = NET_UP, .link = "lo" };
    expect_error(host_net_apply(faulty, &change, &problem), STEAD_ERROR_IO, "boom");
}

static void test_root(void) {
    g_autoptr(GError) error = NULL;
    g_autoptr(Host) host = host_real_new(test_root_new(), NULL, &error);
    g_auto(NetInfo) info = { 0 };
    NetChange change = { .verb = NET_UP, .link = "lo" };
    NetSession session;
    expect_error(host_net_query(host, "lo", &info, &problem), STEAD_ERROR_UNSUPPORTED,
                 host_root(host));
    expect_error(host_net_list(host, &problem), STEAD_ERROR_UNSUPPORTED, host_root(host));
    expect_error(host_net_apply(host, &change, &problem), STEAD_ERROR_UNSUPPORTED, host_root(host));
    g_assert_false(host_session(host, &session));
    test_root_free();
}

static void test_session(void) {
    g_autoptr(GError) error = NULL;
    g_autoptr(Host) host = host_real_new(NULL, NULL, &error);
    NetSession session;
    g_setenv("SSH_CONNECTION", "2001:db8::7 5000 2001:db8::1 22", TRUE);
    g_assert_true(host_session(host, &session));
    g_autofree char *server = ip_text(&session.server);
    g_assert_cmpstr(server, ==, "2001:db8::1");
    g_unsetenv("SSH_CONNECTION");
}

/* --- the real one only --- */

static void test_type_missing(void) {
    g_autoptr(Host) host = new_real();
    g_autoptr(GError) error = NULL;
    const NetMake make = { .type = "dummy" };
    if (host == NULL || try_make(host, "d", &make, &error)) {
        g_test_skip("needs root and a kernel without dummy links");
        return;
    }
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_UNSUPPORTED);
    g_assert_cmpstr(error->message, ==,
                    "make dummy 'd': this kernel makes no links of type 'dummy': it has no dummy; "
                    "load it (modprobe dummy, and /etc/modules-load.d for the next boot), or boot "
                    "a kernel that has it");
}

/* What the kernel gives itself is told apart. */
static void test_kernel_addresses(void) {
    g_autoptr(Host) host = new_real();
    if (host == NULL) {
        g_test_skip("needs root, for a network namespace");
        return;
    }
    prepare_net(host, "192.0.2.1/24");
    apply(host, NET_UP, "lo", NULL);
    g_auto(NetInfo) a = { 0 }, lo = { 0 };
    query(host, "lo", &lo);
    g_assert_cmpuint(lo.addresses->len, >, 0);
    for (guint i = 0; i < lo.addresses->len; i++)
        g_assert_true(g_array_index(lo.addresses, NetAddress, i).kernel);
    query(host, "a", &a);
    for (guint i = 0; i < a.addresses->len; i++) {
        const NetAddress *address = &g_array_index(a.addresses, NetAddress, i);
        g_assert_cmpint(address->kernel, ==, ip_is_link_local(&address->prefix));
    }
    expect_routes(host, "a", ""); /* what came with the address is the kernel's */
}

/* --- watches --- */

typedef struct {
    Loop *loop;
    unsigned ready, changed;
} Heard;

static void on_event(void *data, HostEvent event, const char *detail) {
    Heard *heard = data;
    g_assert_cmpint(event, !=, HOST_EVENT_FAILED);
    if (event == HOST_EVENT_READY)
        heard->ready++;
    else
        heard->changed++;
}

static HostWatch *watch(Host *host, Heard *heard, const char *link) {
    g_autoptr(GError) error = NULL;
    HostWatch *made =
        host_watch(host, heard->loop, HOST_WATCH_NET, link, 0, on_event, heard, &error);
    g_assert_no_error(error);
    return made;
}

static unsigned heard_of(Heard *heard) {
    while (loop_turn(heard->loop))
        ;
    unsigned changed = heard->changed;
    heard->changed = 0;
    return changed;
}

static void check_watch(Host *host) {
    g_autoptr(Loop) loop = loop_new(NULL);
    Heard a = { .loop = loop }, none = { .loop = loop };
    g_autoptr(HostWatch) on_a = watch(host, &a, "a");
    g_autoptr(HostWatch) on_none = watch(host, &none, "none");
    g_assert_cmpuint(heard_of(&a), ==, 0);
    g_assert_cmpuint(a.ready, ==, 1);
    make_pair(host);
    g_assert_cmpuint(heard_of(&a), >, 0);
    (void)heard_of(&none); /* a fake tells all when a link is made */
    static const struct {
        NetVerb verb;
        const char *text;
    } steps[] = {
        { NET_UP, NULL },
        { NET_ADDRESS_ADD, "192.0.2.1/24" },
        { NET_ADDRESS_ADD, "2001:db8::1/64" },
        { NET_ROUTE_ADD, "10.0.0.0/8 via 192.0.2.2" },
        { NET_ROUTE_ADD, "2001:db8:1::/48" },
        { NET_ROUTE_DELETE, "10.0.0.0/8 via 192.0.2.2" },
        { NET_ADDRESS_DELETE, "192.0.2.1/24" },
        { NET_DOWN, NULL },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(steps); i++) {
        apply(host, steps[i].verb, "a", steps[i].text);
        g_assert_cmpuint(heard_of(&a), >, 0);
    }
    NetChange forward = { .verb = NET_FORWARD, .link = "a", .on = true };
    g_assert_true(host_net_apply(host, &forward, NULL));
    g_assert_cmpuint(heard_of(&a), >, 0);
    g_assert_cmpuint(none.changed, ==, 0);
    apply(host, NET_LINK_DELETE, "b", NULL);
    g_assert_cmpuint(heard_of(&a), >, 0);
}

static void test_watch_fake(void) {
    g_autoptr(Host) host = host_fake_new();
    check_watch(host);
}

static void test_watch_real(void) {
    g_autoptr(Host) host = new_real();
    if (host == NULL)
        g_test_skip("needs root, for a network namespace");
    else
        check_watch(host);
}

/* More than the socket holds, so that the kernel drops some: everybody is told, and names that were
 * missed are known again. */
static void test_overrun(void) {
    g_autoptr(Host) host = new_real();
    if (host == NULL) {
        g_test_skip("needs root, for a network namespace");
        return;
    }
    g_autoptr(Loop) loop = loop_new(NULL);
    Heard heard = { .loop = loop }, late = { .loop = loop };
    g_autoptr(HostWatch) other = watch(host, &heard, "none");
    g_autoptr(HostWatch) on_a = watch(host, &late, "a");
    (void)heard_of(&heard); /* ready */
    apply(host, NET_UP, "lo", NULL);
    for (unsigned i = 0; i < 1000; i++) {
        apply(host, NET_ADDRESS_ADD, "lo", "192.0.2.1/32");
        apply(host, NET_ADDRESS_DELETE, "lo", "192.0.2.1/32");
    }
    make_pair(host); /* this is not heard */
    g_assert_cmpuint(heard_of(&heard), >, 0);
    (void)heard_of(&late);
    apply(host, NET_ADDRESS_ADD, "a", "192.0.2.1/24");
    g_assert_cmpuint(heard_of(&late), >, 0);
    g_assert_cmpuint(heard_of(&heard), ==, 0);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/net/prefixes", test_prefixes);
    g_test_add_func("/net/routes", test_routes);
    g_test_add_func("/net/names", test_names);
    for (size_t i = 0; i < G_N_ELEMENTS(beds) * G_N_ELEMENTS(checks); i++) {
        g_autofree char *name = g_strdup_printf("/net/%s/%s", beds[i / G_N_ELEMENTS(checks)].name,
                                                checks[i % G_N_ELEMENTS(checks)].name);
        g_test_add_data_func(name, GSIZE_TO_POINTER(i), run_case);
    }
    g_test_add_func("/net/overlay-reads-through", test_overlay_reads_through);
    g_test_add_func("/net/overlay-sees-other-routes", test_overlay_sees_other_routes);
    g_test_add_func("/net/faults", test_faults);
    g_test_add_func("/net/root", test_root);
    g_test_add_func("/net/session", test_session);
    g_test_add_func("/net/type-missing", test_type_missing);
    g_test_add_func("/net/kernel-addresses", test_kernel_addresses);
    g_test_add_func("/net/watch/fake", test_watch_fake);
    g_test_add_func("/net/watch/real", test_watch_real);
    g_test_add_func("/net/overrun", test_overrun);
    return g_test_run();
}
