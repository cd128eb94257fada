#include "lab/addresses.h"

#include <string.h>

#include "base/error.h"
#include "lang/net.h"

/* Where hosts begin, so that there is room for fixed ones below; in small networks at 2. */
enum { FIRST = 11, SMALL = 64 };

typedef struct {
    char *name;
    NetPrefix prefix;
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

static bool check_prefix(const NetPrefix *prefix, const char *text, GError **error) {
    if (!strchr(text, '/'))
        return refuse(error, "'%s' has no length: write it as 10.1.0.0/24", text);
    if (net_width(prefix->family) - prefix->prefix < 3)
        return refuse(error, "'%s' has too few addresses: take at most /%d", text,
                      net_width(prefix->family) - 3);
    if (net_first(prefix) != prefix->address) {
        NetPrefix network = *prefix;
        network.address = net_first(prefix);
        g_autofree char *better = net_print(&network);
        return refuse(error, "'%s' is an address in a network: did you mean %s?", text, better);
    }
    return true;
}

bool addresses_add_network(Addresses *addresses, const char *name, const char *text,
                           GError **error) {
    NetPrefix prefix;
    if (!net_parse(text, &prefix, error) || !check_prefix(&prefix, text, error))
        return false;
    for (unsigned i = 0; i < addresses->networks->len; i++) {
        const Network *other = g_ptr_array_index(addresses->networks, i);
        if (net_contains(&other->prefix, &prefix) || net_contains(&prefix, &other->prefix))
            return refuse(error, "'%s' overlaps with network '%s'", text, other->name);
    }
    Network *network = g_new0(Network, 1);
    network->name = g_strdup(name);
    network->prefix = prefix;
    network->taken = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_ptr_array_add(addresses->networks, network);
    return true;
}

bool addresses_fix(Addresses *addresses, unsigned index, const char *text, const char *host,
                   GError **error) {
    Network *network = g_ptr_array_index(addresses->networks, index);
    g_autofree char *prefix = net_print(&network->prefix);
    NetPrefix address;
    if (strchr(text, '/') || !net_parse(text, &address, NULL))
        return refuse(error, "'%s' is no address: write one of %s", text, prefix);
    if (!net_contains(&network->prefix, &address))
        return refuse(error, "'%s' is not in network '%s', which is %s", text, network->name,
                      prefix);
    NetNumber number = address.address - net_first(&network->prefix);
    if (number == 0 || (address.family == 4 && address.address == net_last(&network->prefix)))
        return refuse(error, "'%s' is no host's address: it is of the network itself", text);
    if (number == 1)
        return refuse(error, "'%s' is kept for the lab itself: take another", text);
    g_autofree char *canonical = net_print_address(address.family, address.address);
    const char *owner = g_hash_table_lookup(network->taken, canonical);
    if (owner)
        return refuse(error, "'%s' is the address of host '%s' already", text, owner);
    g_hash_table_insert(network->taken, g_steal_pointer(&canonical), g_strdup(host));
    return true;
}

char *addresses_take(Addresses *addresses, unsigned index, const char *host, GError **error) {
    Network *network = g_ptr_array_index(addresses->networks, index);
    const NetPrefix *prefix = &network->prefix;
    NetNumber size = net_last(prefix) - net_first(prefix), number;
    for (int64_t n = size < SMALL ? 2 : FIRST; net_host(prefix, n, &number, NULL); n++) {
        if (prefix->family == 4 && number == net_last(prefix))
            break;
        g_autofree char *text = net_print_address(prefix->family, number);
        if (g_hash_table_contains(network->taken, text))
            continue;
        g_hash_table_insert(network->taken, g_strdup(text), g_strdup(host));
        return g_steal_pointer(&text);
    }
    g_autofree char *shown = net_print(prefix);
    (void)refuse(error, "network '%s', %s, has no address left for host '%s': take a larger one",
                 network->name, shown, host);
    return NULL;
}
