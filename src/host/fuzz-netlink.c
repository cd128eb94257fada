/* Messages as from the kernel: what is read has good names, and texts that read back as the same.
 */
#include <stdint.h>
#include <string.h>

#include "host/netlink.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_prefix(const IpPrefix *prefix) {
    IpPrefix again;
    g_autofree char *text = ip_prefix_text(prefix);
    g_assert_true(ip_prefix_parse(text, &again));
    g_assert_true(ip_equal(prefix, &again));
}

static void check_name(const char *name) {
    g_assert_true(*name == '\0' || net_name_problem(name) == NULL);
}

static void check_link(const NlLink *link) {
    g_assert_true(*link->name != '\0' && link->index != 0);
    check_name(link->name);
    check_name(link->info.make.type);
    if (link->info.make.local.family != 0)
        check_prefix(&link->info.make.local);
    if (link->info.make.remote.family != 0)
        check_prefix(&link->info.make.remote);
}

/* What Linux never has, but a message may say, has no text of its own. */
static bool is_usual(const NetRoute *route) {
    IpPrefix network = ip_network(&route->destination);
    return ip_same_address(&network, &route->destination) && route->table != 0 &&
           (route->metric != 0 || ip_width(&route->destination) == 32);
}

static void check_route(const NetRoute *route) {
    if (!is_usual(route))
        return;
    NetRoute again;
    g_autoptr(GError) error = NULL;
    g_autofree char *text = net_route_text(route);
    (void)net_route_parse(text, "eth0", &again, &error);
    g_assert_no_error(error);
    g_assert_true(net_route_equal(route, &again));
}

static void check_message(const NlMessage *message) {
    NlLink link;
    NlAddress address;
    NlRoute route;
    g_autofree char *words = NULL;
    if (nl_read_link(message, &link))
        check_link(&link);
    if (nl_read_address(message, &address))
        check_prefix(&address.address.prefix);
    if (nl_read_route(message, &route))
        check_route(&route.route);
    (void)nl_read_index(message);
    g_assert_cmpint(nl_read_end(message, &words), >=, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    NlSpan rest = { data, size };
    NlMessage message;
    while (nl_next_message(&rest, &message)) {
        g_assert_true(message.body.data + message.body.size <= data + size);
        check_message(&message);
    }
    return 0;
}
