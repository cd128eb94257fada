#include "lab/addresses.h"

#include <string.h>
#include <sys/socket.h>

#include "base/error.h"
#include "base/ip.h"

/* Where hosts begin, so that there is room for fixed ones below; in small networks at 2. */
enum { FIRST = 11, SMALL_BITS = 6 };

typedef struct {
    char *name;
    IpPrefix prefix;
    GHashTable *taken; /* address -> name of a host, both char * */
} Network;

struct Addresses {
    GPtrArray *networks; /* of Network */
};

static void network_free(void *data) {
    Network *network = data;
    g_free(network->name);
    g_hash_table_unref(network->taken);
    g_free(network);
}

Addresses *addresses_new(void) {
    Addresses *addresses = g_new0(Addresses, 1);
    addresses->networks = g_ptr_array_new_with_free_func(network_free);
    return addresses;
}

void addresses_free(Addresses *addresses) {
    if (!addresses)
        return;
    g_ptr_array_unref(addresses->networks);
    g_free(addresses);
}

static bool refuse(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

static bool refuse(GError **error, const char *format, ...) {
    va_list args;
    va_start(args, format);
    if (error)
        *error = g_error_new_valist(STEAD_ERROR, STEAD_ERROR_CONFIG, format, args);
    va_end(args);
    return false;
}

static bool check_prefix(const IpPrefix *prefix, const char *text, GError **error) {
    if (!strchr(text, '/'))
        return refuse(error, "'%s' has no length: write it as 10.1.0.0/24", text);
    if (ip_width(prefix) - prefix->length < 3)
        return refuse(error, "'%s' has too few addresses: take at most /%u", text,
                      ip_width(prefix) - 3);
    IpPrefix network = ip_network(prefix);
    if (!ip_equal(&network, prefix)) {
        g_autofree char *better = ip_prefix_text(&network);
        return refuse(error, "'%s' is an address in a network: did you mean %s?", text, better);
    }
    return true;
}

bool addresses_add_network(Addresses *addresses, const char *name, const char *text,
                           GError **error) {
    IpPrefix prefix;
    if (!ip_read(text, &prefix, error) || !check_prefix(&prefix, text, error))
        return false;
    for (unsigned i = 0; i < addresses->networks->len; i++) {
        const Network *other = g_ptr_array_index(addresses->networks, i);
        if (ip_contains(&other->prefix, &prefix) || ip_contains(&prefix, &other->prefix))
            return refuse(error, "'%s' overlaps with network '%s'", text, other->name);
    }
    Network *network = g_new0(Network, 1);
    network->name = g_strdup(name);
    network->prefix = prefix;
    network->taken = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_ptr_array_add(addresses->networks, network);
    return true;
}

/* Broadcasts go there. */
static bool is_broadcast(const Network *network, const IpPrefix *address) {
    IpPrefix last = ip_last(&network->prefix);
    return address->family == AF_INET && ip_same_address(address, &last);
}

/* Whether the address is number n of the network. */
static bool is_number(const Network *network, const IpPrefix *address, int64_t n) {
    IpPrefix nth;
    return ip_nth(&network->prefix, n, &nth, NULL) && ip_same_address(address, &nth);
}

bool addresses_fix(Addresses *addresses, unsigned index, const char *text, const char *host,
                   GError **error) {
    Network *network = g_ptr_array_index(addresses->networks, index);
    g_autofree char *prefix = ip_prefix_text(&network->prefix);
    IpPrefix address;
    if (!ip_parse(text, &address))
        return refuse(error, "'%s' is no address: write one of %s", text, prefix);
    if (!ip_contains(&network->prefix, &address))
        return refuse(error, "'%s' is not in network '%s', which is %s", text, network->name,
                      prefix);
    if (is_number(network, &address, 0) || is_broadcast(network, &address))
        return refuse(error, "'%s' is no host's address: it is of the network itself", text);
    if (is_number(network, &address, 1))
        return refuse(error, "'%s' is kept for the lab itself: take another", text);
    g_autofree char *canonical = ip_text(&address);
    const char *owner = g_hash_table_lookup(network->taken, canonical);
    if (owner)
        return refuse(error, "'%s' is the address of host '%s' already", text, owner);
    g_hash_table_insert(network->taken, g_steal_pointer(&canonical), g_strdup(host));
    return true;
}

char *addresses_first(const char *text) {
    IpPrefix prefix, first;
    if (!ip_prefix_parse(text, &prefix) || !ip_nth(&prefix, 1, &first, NULL))
        return NULL;
    g_autofree char *address = ip_text(&first);
    return g_strdup_printf("%s/%u", address, prefix.length);
}

char *addresses_take(Addresses *addresses, unsigned index, const char *host, GError **error) {
    Network *network = g_ptr_array_index(addresses->networks, index);
    bool is_small = ip_width(&network->prefix) - network->prefix.length < SMALL_BITS;
    IpPrefix address;
    for (int64_t n = is_small ? 2 : FIRST; ip_nth(&network->prefix, n, &address, NULL); n++) {
        if (is_broadcast(network, &address))
            break;
        g_autofree char *text = ip_text(&address);
        if (g_hash_table_contains(network->taken, text))
            continue;
        g_hash_table_insert(network->taken, g_strdup(text), g_strdup(host));
        return g_steal_pointer(&text);
    }
    g_autofree char *shown = ip_prefix_text(&network->prefix);
    (void)refuse(error, "network '%s', %s, has no address left for host '%s': take a larger one",
                 network->name, shown, host);
    return NULL;
}
