#include "base/ip.h"

#include <string.h>
#include <sys/socket.h>

#include "base/error.h"

static IpPrefix parse(const char *text) {
    IpPrefix prefix;
    g_autoptr(GError) error = NULL;
    bool fine = ip_read(text, &prefix, &error);
    g_assert_no_error(error);
    g_assert_true(fine);
    return prefix;
}

static void expect_address(IpPrefix ip, const char *text) {
    g_assert_cmpuint(ip.length, ==, ip_width(&ip));
    g_autofree char *shown = ip_text(&ip);
    g_assert_cmpstr(shown, ==, text);
}

static void expect_net(IpPrefix prefix, const char *text) {
    g_autofree char *shown = ip_prefix_text(&prefix);
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
        IpPrefix prefix;
        g_autoptr(GError) error = NULL;
        if (ip_read(texts[i], &prefix, &error))
            g_error("'%s' was accepted", texts[i]);
        g_assert_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG);
    }
}

static void test_bounds(void) {
    IpPrefix small = parse("192.0.2.77/26"), all = parse("0.0.0.0/0"), one = parse("10.0.0.9");
    IpPrefix six = parse("2001:db8::5/32"), everything = parse("::/0");
    expect_address(ip_first(&small), "192.0.2.64");
    expect_address(ip_last(&small), "192.0.2.127");
    expect_address(ip_network_mask(&small), "255.255.255.192");
    expect_address(ip_network_mask(&all), "0.0.0.0");
    expect_address(ip_last(&all), "255.255.255.255");
    expect_address(ip_first(&one), "10.0.0.9");
    expect_address(ip_last(&one), "10.0.0.9");
    expect_address(ip_first(&six), "2001:db8::");
    expect_address(ip_last(&six), "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff");
    expect_address(ip_last(&everything), "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
    IpPrefix odd = parse("::1/65");
    expect_address(ip_network_mask(&odd), "ffff:ffff:ffff:ffff:8000::");
}

static void test_contains(void) {
    IpPrefix net = parse("10.0.0.0/8"), inner = parse("10.200.0.0/16"), other = parse("11.0.0.0/8");
    IpPrefix address = parse("10.1.2.3"), six = parse("::a00:0/8"), all = parse("::/0");
    g_assert_true(ip_contains(&net, &inner));
    g_assert_true(ip_contains(&net, &address));
    g_assert_true(ip_contains(&net, &net));
    g_assert_false(ip_contains(&inner, &net));
    g_assert_false(ip_contains(&net, &other));
    g_assert_false(ip_contains(&net, &six));
    g_assert_false(ip_contains(&all, &net));
    g_assert_true(ip_contains(&all, &six));
}

static void test_host(void) {
    IpPrefix net = parse("10.0.0.77/29"), huge = parse("fd00::/8");
    IpPrefix address;
    g_assert_true(ip_nth(&net, 1, &address, NULL));
    expect_address(address, "10.0.0.73");
    g_assert_true(ip_nth(&net, -2, &address, NULL));
    expect_address(address, "10.0.0.78");
    g_assert_true(ip_nth(&net, 7, &address, NULL));
    g_assert_true(ip_nth(&net, -8, &address, NULL));
    expect_address(address, "10.0.0.72");
    g_autoptr(GError) error = NULL;
    g_assert_false(ip_nth(&net, 8, &address, &error));
    g_assert_cmpstr(error->message, ==, "network 10.0.0.77/29 has no address number 8");
    g_assert_false(ip_nth(&net, -9, &address, NULL));
    g_assert_false(ip_nth(&net, INT64_MIN, &address, NULL));
    g_assert_true(ip_nth(&huge, INT64_MAX, &address, NULL));
    expect_address(address, "fd00::7fff:ffff:ffff:ffff");
    g_assert_true(ip_nth(&huge, INT64_MIN, &address, NULL));
    expect_address(address, "fdff:ffff:ffff:ffff:8000::");
}

static void test_subnets(void) {
    IpPrefix net = parse("10.9.9.9/8"), result, six = parse("fd00::/32");
    int64_t count;
    g_assert_true(ip_subnet_count(&net, 16, &count, NULL));
    g_assert_cmpint(count, ==, 256);
    g_assert_true(ip_subnet(&net, 16, 255, &result, NULL));
    expect_net(result, "10.255.0.0/16");
    g_assert_false(ip_subnet(&net, 16, 256, &result, NULL));
    g_assert_false(ip_subnet(&net, 16, -1, &result, NULL));
    g_assert_false(ip_subnet_count(&net, 7, &count, NULL));
    g_assert_false(ip_subnet_count(&net, 33, &count, NULL));
    g_assert_true(ip_subnet_count(&six, 128, &count, NULL));
    g_assert_cmpint(count, ==, INT64_MAX);
    g_assert_true(ip_subnet(&six, 64, 0x12345678, &result, NULL));
    expect_net(result, "fd00:0:1234:5678::/64");
    IpPrefix one = parse("10.0.0.1");
    g_assert_true(ip_subnet(&one, 32, 0, &result, NULL));
    expect_net(result, "10.0.0.1/32");
}

static void test_reverse(void) {
    IpPrefix four = parse("192.0.2.1"), six = parse("2001:db8::1");
    g_autofree char *a = ip_reverse_name(&four);
    g_autofree char *b = ip_reverse_name(&six);
    g_assert_cmpstr(a, ==, "1.2.0.192.in-addr.arpa");
    g_assert_cmpstr(b, ==,
                    "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
}

static void test_order(void) {
    static const char *const sorted[] = { "9.0.0.0/8", "10.0.0.0/8", "10.0.0.0/16",
                                          "10.0.0.1",  "::1",        "fd00::/8" };
    for (unsigned i = 0; i < G_N_ELEMENTS(sorted); i++) {
        for (unsigned j = 0; j < G_N_ELEMENTS(sorted); j++) {
            IpPrefix a = parse(sorted[i]), b = parse(sorted[j]);
            int order = ip_compare(&a, &b);
            g_assert_cmpint((order > 0) - (order < 0), ==, (i > j) - (i < j));
        }
    }
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ip/parse", test_parse);
    g_test_add_func("/ip/refused", test_refused);
    g_test_add_func("/ip/bounds", test_bounds);
    g_test_add_func("/ip/contains", test_contains);
    g_test_add_func("/ip/host", test_host);
    g_test_add_func("/ip/subnets", test_subnets);
    g_test_add_func("/ip/reverse", test_reverse);
    g_test_add_func("/ip/order", test_order);
    return g_test_run();
}
