#include "host/net.h"

#include <arpa/inet.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define IPV6_METRIC 1024 /* what Linux gives a route without one */

static bool parse_number(const char *text, uint64_t max, uint64_t *ret) {
    size_t n = strspn(text, "0123456789");
    if (n == 0 || n > 10 || text[n] != '\0')
        return false;
    *ret = g_ascii_strtoull(text, NULL, 10);
    return *ret <= max;
}

/* --- names and hardware addresses */

bool net_mac_parse(const char *text, uint8_t ret[6]) {
    if (strlen(text) != 17)
        return false;
    for (unsigned i = 0; i < 6; i++) {
        int high = g_ascii_xdigit_value(text[3 * i]), low = g_ascii_xdigit_value(text[3 * i + 1]);
        if (high < 0 || low < 0 || (i < 5 && text[3 * i + 2] != ':'))
            return false;
        ret[i] = (uint8_t)(high * 16 + low);
    }
    return true;
}

char *net_mac_text(const uint8_t mac[6]) {
    return g_strdup_printf("%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4],
                           mac[5]);
}

const char *net_name_problem(const char *name) {
    if (*name == '\0')
        return "it is empty";
    if (strlen(name) >= NET_NAME_SIZE)
        return "it is longer than the 15 characters that Linux takes";
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return "'.' and '..' cannot be names";
    for (const char *c = name; *c != '\0'; c++)
        if (!g_ascii_isgraph(*c) || strchr("/:%", *c) != NULL)
            return "only visible ASCII characters other than '/', ':' and '%' can be part of it";
    return NULL;
}

/* --- routes */

typedef struct {
    NetRoute route;
    const char *link;
    bool is_default;
} RouteText;

static bool read_via(RouteText *text, const char *word) {
    return ip_parse(word, &text->route.via);
}

static bool read_source(RouteText *text, const char *word) {
    return ip_parse(word, &text->route.source);
}

static bool read_dev(RouteText *text, const char *word) {
    return strcmp(word, text->link) == 0;
}

static bool read_metric(RouteText *text, const char *word) {
    uint64_t number;
    bool good = parse_number(word, UINT32_MAX, &number);
    text->route.metric = good ? (uint32_t)number : 0;
    return good;
}

static bool read_table(RouteText *text, const char *word) {
    uint64_t number = strcmp(word, "main") == 0 ? RT_TABLE_MAIN : 0;
    bool good = number != 0 || (parse_number(word, UINT32_MAX, &number) && number != 0);
    text->route.table = good ? (uint32_t)number : RT_TABLE_MAIN;
    return good;
}

static const struct {
    const char *word, *wants;
    bool (*read)(RouteText *text, const char *word);
} route_words[] = {
    { "via", "an address", read_via },
    { "src", "an address", read_source },
    { "dev", "the name of this interface: a route belongs to the interface it leaves by",
      read_dev },
    { "metric", "a number", read_metric },
    { "table", "a number above 0, or main", read_table },
};

static bool bad_route(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

static bool bad_route(GError **error, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *message = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_CONFIG, message);
    return false;
}

/* Reads a word and its argument. *words goes on behind them. */
static bool read_word(RouteText *text, char ***words, GError **error) {
    const char *word = *(*words)++;
    if (strcmp(word, "onlink") == 0) {
        text->route.onlink = true;
        return true;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(route_words); i++) {
        if (strcmp(word, route_words[i].word) != 0)
            continue;
        const char *argument = **words;
        if (argument == NULL || !route_words[i].read(text, argument))
            return bad_route(error, "'%s' wants %s%s%s%s", word, route_words[i].wants,
                             argument != NULL ? ", not '" : "", argument != NULL ? argument : "",
                             argument != NULL ? "'" : "");
        ++*words;
        return true;
    }
    return bad_route(error,
                     "'%s' is no part of a route; those are via, src, dev, metric, table "
                     "and onlink",
                     word);
}

static bool read_destination(RouteText *text, const char *word, GError **error) {
    IpPrefix *destination = &text->route.destination;
    text->is_default = strcmp(word, "default") == 0;
    if (text->is_default)
        return true;
    if (!ip_prefix_parse(word, destination) && !ip_parse(word, destination))
        return bad_route(error,
                         "'%s' is no destination: write a network such as 10.0.0.0/8, or "
                         "default",
                         word);
    IpPrefix network = ip_network(destination);
    if (ip_same_address(destination, &network))
        return true;
    g_autofree char *right = ip_prefix_text(&network);
    return bad_route(error, "'%s' has bits beyond its length; the network is %s", word, right);
}

static bool check_families(RouteText *text, GError **error) {
    NetRoute *route = &text->route;
    if (text->is_default) {
        route->destination.family =
            route->via.family != AF_UNSPEC ? route->via.family : route->source.family;
        if (route->destination.family == AF_UNSPEC)
            return bad_route(error, "'default' needs via or src, or write 0.0.0.0/0 or ::/0");
    }
    uint8_t family = route->destination.family;
    if ((route->via.family != AF_UNSPEC && route->via.family != family) ||
        (route->source.family != AF_UNSPEC && route->source.family != family))
        return bad_route(error, "IPv4 and IPv6 do not mix in one route");
    if (route->onlink && route->via.family == AF_UNSPEC)
        return bad_route(error, "'onlink' is about a gateway: it needs via");
    if (family == AF_INET6 && route->metric == 0)
        route->metric = IPV6_METRIC;
    return true;
}

bool net_route_parse(const char *line, const char *link, NetRoute *ret, GError **error) {
    g_autofree char *copy = g_strdup(line);
    g_auto(GStrv) split = g_strsplit_set(g_strstrip(copy), " \t", -1);
    g_autoptr(GPtrArray) words = g_ptr_array_new();
    for (char **word = split; *word != NULL; word++)
        if (**word != '\0')
            g_ptr_array_add(words, *word);
    g_ptr_array_add(words, NULL);
    RouteText text = { .link = link,
                       .route = { .table = RT_TABLE_MAIN, .protocol = RTPROT_STATIC } };
    char **next = (char **)words->pdata;
    if (*next == NULL)
        return bad_route(error, "it is empty");
    if (!read_destination(&text, *next++, error))
        return false;
    while (*next != NULL)
        if (!read_word(&text, &next, error))
            return false;
    if (!check_families(&text, error))
        return false;
    *ret = text.route;
    return true;
}

static void append_ip(GString *out, const char *word, const IpPrefix *ip) {
    if (ip->family == AF_UNSPEC)
        return;
    g_autofree char *text = ip_text(ip);
    g_string_append_printf(out, " %s %s", word, text);
}

char *net_route_text(const NetRoute *route) {
    bool tells_family = route->via.family != AF_UNSPEC || route->source.family != AF_UNSPEC;
    GString *out = g_string_new(NULL);
    if (route->destination.length == 0 && tells_family) {
        g_string_append(out, "default");
    } else {
        g_autofree char *destination = ip_prefix_text(&route->destination);
        g_string_append(out, destination);
    }
    append_ip(out, "via", &route->via);
    append_ip(out, "src", &route->source);
    if (route->metric != (route->destination.family == AF_INET6 ? IPV6_METRIC : 0))
        g_string_append_printf(out, " metric %u", route->metric);
    if (route->table != RT_TABLE_MAIN)
        g_string_append_printf(out, " table %u", route->table);
    if (route->onlink)
        g_string_append(out, " onlink");
    return g_string_free(out, FALSE);
}

bool net_route_same_place(const NetRoute *a, const NetRoute *b) {
    return ip_equal(&a->destination, &b->destination) && a->metric == b->metric &&
           a->table == b->table;
}

bool net_route_equal(const NetRoute *a, const NetRoute *b) {
    return net_route_same_place(a, b) && ip_same_address(&a->via, &b->via) &&
           ip_same_address(&a->source, &b->source) && a->onlink == b->onlink;
}

bool net_route_is_default(const NetRoute *route) {
    return route->destination.length == 0 && route->table == RT_TABLE_MAIN;
}

bool net_route_is_static(const NetRoute *route) {
    return route->protocol == RTPROT_BOOT || route->protocol == RTPROT_STATIC;
}

/* --- types of links */

static const char *const bond_modes[] = { "balance-rr", "active-backup", "balance-xor", "broadcast",
                                          "802.3ad",    "balance-tlb",   "balance-alb", NULL };
/* Bits of Linux, by their numbers. */
static const char *const macvlan_modes[] = { "private", "vepa", "bridge", "passthru", NULL };

static const NetType types[] = {
    { .name = "bridge", .module = "bridge" },
    { .name = "veth", .module = "veth", .has_peer = true },
    { .name = "vxlan", .module = "vxlan", .has_id = true },
    { .name = "vlan", .module = "8021q", .has_id = true, .needs_link = true },
    { .name = "bond", .module = "bonding", .modes = bond_modes },
    { .name = "dummy", .module = "dummy" },
    { .name = "vrf", .module = "vrf", .has_id = true },
    { .name = "macvlan", .module = "macvlan", .modes = macvlan_modes, .needs_link = true },
};

const char *const net_type_names[] = { "bridge", "veth", "vxlan",   "vlan", "bond",
                                       "dummy",  "vrf",  "macvlan", NULL };
const char *const net_mode_names[] = { "balance-rr", "active-backup", "balance-xor", "broadcast",
                                       "802.3ad",    "balance-tlb",   "balance-alb", "private",
                                       "vepa",       "bridge",        "passthru",    NULL };

const NetType *net_type_find(const char *name) {
    for (size_t i = 0; i < G_N_ELEMENTS(types); i++)
        if (strcmp(types[i].name, name) == 0)
            return &types[i];
    return NULL;
}

int net_mode_number(const NetType *type, const char *mode) {
    for (int i = 0; type->modes != NULL && type->modes[i] != NULL; i++)
        if (strcmp(type->modes[i], mode) == 0)
            return i;
    return -1;
}

/* --- links */

void net_info_init(NetInfo *info) {
    *info = (NetInfo){ .exists = true,
                       .addresses = g_array_new(FALSE, FALSE, sizeof(NetAddress)),
                       .routes = g_array_new(FALSE, FALSE, sizeof(NetRoute)) };
}

void net_info_clear(NetInfo *info) {
    g_clear_pointer(&info->addresses, g_array_unref);
    g_clear_pointer(&info->routes, g_array_unref);
    *info = (NetInfo){ 0 };
}

void net_info_copy(NetInfo *to, const NetInfo *from) {
    *to = *from;
    if (from->addresses != NULL)
        to->addresses = g_array_copy(from->addresses);
    if (from->routes != NULL)
        to->routes = g_array_copy(from->routes);
}

const NetAddress *net_info_find_address(const NetInfo *info, const IpPrefix *prefix) {
    for (guint i = 0; info->addresses != NULL && i < info->addresses->len; i++) {
        const NetAddress *address = &g_array_index(info->addresses, NetAddress, i);
        if (ip_equal(&address->prefix, prefix))
            return address;
    }
    return NULL;
}

const NetRoute *net_info_find_route(const NetInfo *info, const NetRoute *route) {
    for (guint i = 0; info->routes != NULL && i < info->routes->len; i++) {
        const NetRoute *found = &g_array_index(info->routes, NetRoute, i);
        if (net_route_equal(found, route))
            return found;
    }
    return NULL;
}

char *net_change_text(const NetChange *change) {
    g_autofree char *address = change->verb == NET_ADDRESS_ADD || change->verb == NET_ADDRESS_DELETE
                                   ? ip_prefix_text(&change->address)
                                   : NULL;
    g_autofree char *route = change->verb >= NET_ROUTE_ADD ? net_route_text(&change->route) : NULL;
    const char *link = change->link;
    switch (change->verb) {
    case NET_LINK_ADD:
        return g_strdup_printf("make %s '%s'", change->make->type, link);
    case NET_LINK_DELETE:
        return g_strdup_printf("delete link '%s'", link);
    case NET_UP:
        return g_strdup_printf("take '%s' up", link);
    case NET_DOWN:
        return g_strdup_printf("take '%s' down", link);
    case NET_MASTER:
        return *change->master != '\0' ? g_strdup_printf("put '%s' into '%s'", link, change->master)
                                       : g_strdup_printf("take '%s' out of its master", link);
    case NET_MTU:
        return g_strdup_printf("set mtu %u of '%s'", change->mtu, link);
    case NET_MAC:
        return g_strdup_printf("set mac address of '%s'", link);
    case NET_FORWARD:
        return g_strdup_printf("set forwarding of '%s'", link);
    case NET_ADDRESS_ADD:
        return g_strdup_printf("add address '%s' to '%s'", address, link);
    case NET_ADDRESS_DELETE:
        return g_strdup_printf("delete address '%s' of '%s'", address, link);
    case NET_ROUTE_ADD:
        return g_strdup_printf("add route '%s' by '%s'", route, link);
    case NET_ROUTE_REPLACE:
        return g_strdup_printf("replace route '%s' by '%s'", route, link);
    case NET_ROUTE_DELETE:
        return g_strdup_printf("delete route '%s' by '%s'", route, link);
    }
    g_assert_not_reached();
}

bool net_session_parse(const char *text, NetSession *ret) {
    g_auto(GStrv) words = g_strsplit(text, " ", -1);
    NetSession session;
    if (g_strv_length(words) != 4 || !ip_parse(words[0], &session.client) ||
        !ip_parse(words[2], &session.server))
        return false;
    *ret = session;
    return true;
}
