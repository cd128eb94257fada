#include "lang/net.h"

#include <string.h>

#include "base/error.h"

static NetPrefix parse(const char *text) {
    NetPrefix prefix;
    g_autoptr(GError) error = NULL;
    bool fine = net_parse(text, &prefix, &error);
    g_assert_no_error(error);
    g_assert_true(fine);
    return prefix;
}

static void expect_address(int family, NetNumber address, const char *text) {
    g_autofree char *shown = net_print_address(family, address);
    g_assert_cmpstr(shown, ==, text);
}

static void expect_net(NetPrefix prefix, const char *text) {
    g_autofree char *shown = net_print(&prefix);
    g_assert_cmpstr(shown, ==, text);
}

static void test_parse(void) {
    expect_net(parse("10.0.0.1"), "10.0.0.1/32");
    expect_net(parse("10.1.2.3/8"), "10.1.2.3/8");
    expect_net(parse("0.0.0.0/0"), "0.0.0.0/0");
    expect_net(parse("FD00:0:0::1/64"), "fd00::1/64");
    expect_net(parse("::"), "::/128");
    expect_net(parse("::ffff:1.2.3.4"), "::ffff:1.2.3.4/128");
}

static void test_refused(void) {
    static const char *const texts[] = { "",           "10",          "10.0.0",      "10.0.0.256",
                                         "10.0.0.1/",  "10.0.0.1/33", "10.0.0.1/-1", "::/129",
                                         "g::",        "1.2.3.4/ 8",  "10.0.0.01",   "::1/0x8",
                                         "1.2.3.4/8/9" };
    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
        NetPrefix prefix;
        g_autoptr(GError) error = NULL;
        if (net_parse(texts[i], &prefix, &error))
            g_error("'%s' was accepted", texts[i]);
        g_assert_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG);
    }
}

static void test_bounds(void) {
    NetPrefix small = parse("192.0.2.77/26"), all = parse("0.0.0.0/0"), one = parse("10.0.0.9");
    NetPrefix six = parse("2001:db8::5/32"), everything = parse("::/0");
    expect_address(4, net_first(&small), "192.0.2.64");
    expect_address(4, net_last(&small), "192.0.2.127");
    expect_address(4, net_mask(4, 26), "255.255.255.192");
    expect_address(4, net_mask(4, 0), "0.0.0.0");
    expect_address(4, net_last(&all), "255.255.255.255");
    expect_address(4, net_first(&one), "10.0.0.9");
    expect_address(4, net_last(&one), "10.0.0.9");
    expect_address(6, net_first(&six), "2001:db8::");
    expect_address(6, net_last(&six), "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff");
    expect_address(6, net_last(&everything), "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
    expect_address(6, net_mask(6, 65), "ffff:ffff:ffff:ffff:8000::");
}

static void test_contains(void) {
    NetPrefix net = parse("10.0.0.0/8"), inner = parse("10.200.0.0/16"),
              other = parse("11.0.0.0/8");
    NetPrefix address = parse("10.1.2.3"), six = parse("::a00:0/8"), all = parse("::/0");
    g_assert_true(net_contains(&net, &inner));
    g_assert_true(net_contains(&net, &address));
    g_assert_true(net_contains(&net, &net));
    g_assert_false(net_contains(&inner, &net));
    g_assert_false(net_contains(&net, &other));
    g_assert_false(net_contains(&net, &six));
    g_assert_false(net_contains(&all, &net));
    g_assert_true(net_contains(&all, &six));
}

static void test_host(void) {
    NetPrefix net = parse("10.0.0.77/29"), huge = parse("fd00::/8");
    NetNumber address;
    g_assert_true(net_host(&net, 1, &address, NULL));
    expect_address(4, address, "10.0.0.73");
    g_assert_true(net_host(&net, -2, &address, NULL));
    expect_address(4, address, "10.0.0.78");
    g_assert_true(net_host(&net, 7, &address, NULL));
    g_assert_true(net_host(&net, -8, &address, NULL));
    expect_address(4, address, "10.0.0.72");
    g_autoptr(GError) error = NULL;
    g_assert_false(net_host(&net, 8, &address, &error));
    g_assert_cmpstr(error->message, ==, "network 10.0.0.77/29 has no address number 8");
    g_assert_false(net_host(&net, -9, &address, NULL));
    g_assert_false(net_host(&net, INT64_MIN, &address, NULL));
    g_assert_true(net_host(&huge, INT64_MAX, &address, NULL));
    expect_address(6, address, "fd00::7fff:ffff:ffff:ffff");
    g_assert_true(net_host(&huge, INT64_MIN, &address, NULL));
    expect_address(6, address, "fdff:ffff:ffff:ffff:8000::");
}

static void test_subnets(void) {
    NetPrefix net = parse("10.9.9.9/8"), result, six = parse("fd00::/32");
    int64_t count;
    g_assert_true(net_subnet_count(&net, 16, &count, NULL));
    g_assert_cmpint(count, ==, 256);
    g_assert_true(net_subnet(&net, 16, 255, &result, NULL));
    expect_net(result, "10.255.0.0/16");
    g_assert_false(net_subnet(&net, 16, 256, &result, NULL));
    g_assert_false(net_subnet(&net, 16, -1, &result, NULL));
    g_assert_false(net_subnet_count(&net, 7, &count, NULL));
    g_assert_false(net_subnet_count(&net, 33, &count, NULL));
    g_assert_true(net_subnet_count(&six, 128, &count, NULL));
    g_assert_cmpint(count, ==, INT64_MAX);
    g_assert_true(net_subnet(&six, 64, 0x12345678, &result, NULL));
    expect_net(result, "fd00:0:1234:5678::/64");
    NetPrefix one = parse("10.0.0.1");
    g_assert_true(net_subnet(&one, 32, 0, &result, NULL));
    expect_net(result, "10.0.0.1/32");
}

static void test_reverse(void) {
    NetPrefix four = parse("192.0.2.1"), six = parse("2001:db8::1");
    g_autofree char *a = net_reverse_name(4, four.address);
    g_autofree char *b = net_reverse_name(6, six.address);
    g_assert_cmpstr(a, ==, "1.2.0.192.in-addr.arpa");
    g_assert_cmpstr(b, ==,
                    "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
}

static void test_order(void) {
    static const char *const sorted[] = { "9.0.0.0/8", "10.0.0.0/8", "10.0.0.0/16",
                                          "10.0.0.1",  "::1",        "fd00::/8" };
    for (unsigned i = 0; i < G_N_ELEMENTS(sorted); i++) {
        for (unsigned j = 0; j < G_N_ELEMENTS(sorted); j++) {
            NetPrefix a = parse(sorted[i]), b = parse(sorted[j]);
            int order = net_compare(&a, &b);
            g_assert_cmpint((order > 0) - (order < 0), ==, (i > j) - (i < j));
        }
    }
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/net/parse", test_parse);
    g_test_add_func("/net/refused", test_refused);
    g_test_add_func("/net/bounds", test_bounds);
    g_test_add_func("/net/contains", test_contains);
    g_test_add_func("/net/host", test_host);
    g_test_add_func("/net/subnets", test_subnets);
    g_test_add_func("/net/reverse", test_reverse);
    g_test_add_func("/net/order", test_order);
    return g_test_run();
}
