#include "lab/lab-make.h"

#include <string.h>

#include "base/error.h"

static void network_free(void *data) {
    LabNetwork *network = data;
    g_free(network->name);
    g_free(network->prefix);
    g_free(network);
}

static void port_free(void *data) {
    LabPort *port = data;
    g_free(port->address);
    g_free(port);
}

static void host_free(void *data) {
    LabHost *host = data;
    g_free(host->name);
    g_free(host->configuration);
    value_unref(host->values);
    value_unref(host->labels);
    g_free(host->hub);
    g_ptr_array_unref(host->packages);
    g_ptr_array_unref(host->grants);
    g_ptr_array_unref(host->ports);
    g_free(host);
}

Lab *lab_new(void) {
    Lab *lab = g_new0(Lab, 1);
    lab->networks = g_ptr_array_new_with_free_func(network_free);
    lab->hosts = g_ptr_array_new_with_free_func(host_free);
    return lab;
}

LabHost *lab_add_host(Lab *lab, const char *name) {
    LabHost *host = g_new0(LabHost, 1);
    host->name = g_strdup(name);
    host->slot = lab->hosts->len;
    host->packages = g_ptr_array_new_with_free_func(g_free);
    host->grants = g_ptr_array_new_with_free_func(g_free);
    host->ports = g_ptr_array_new_with_free_func(port_free);
    g_ptr_array_add(lab->hosts, host);
    return host;
}

LabNetwork *lab_add_network(Lab *lab, const char *name, const char *prefix) {
    LabNetwork *network = g_new0(LabNetwork, 1);
    network->name = g_strdup(name);
    network->prefix = g_strdup(prefix);
    g_ptr_array_add(lab->networks, network);
    return network;
}

LabPort *lab_add_port(LabHost *host, unsigned network, const char *address) {
    LabPort *port = g_new0(LabPort, 1);
    port->network = network;
    port->address = g_strdup(address);
    g_ptr_array_add(host->ports, port);
    return port;
}

void lab_free(Lab *lab) {
    if (!lab)
        return;
    g_free(lab->name);
    g_free(lab->release);
    g_free(lab->mirror);
    g_free(lab->deploy_key);
    g_ptr_array_unref(lab->networks);
    g_ptr_array_unref(lab->hosts);
    g_free(lab);
}

const LabNetwork *lab_network(const Lab *lab, unsigned index) {
    g_assert(index < lab->networks->len);
    return g_ptr_array_index(lab->networks, index);
}

const LabHost *lab_host(const Lab *lab, unsigned index) {
    g_assert(index < lab->hosts->len);
    return g_ptr_array_index(lab->hosts, index);
}

int lab_find_host(const Lab *lab, const char *name) {
    for (unsigned i = 0; i < lab->hosts->len; i++)
        if (strcmp(lab_host(lab, i)->name, name) == 0)
            return (int)i;
    return -1;
}

int lab_find_network(const Lab *lab, const char *name) {
    for (unsigned i = 0; i < lab->networks->len; i++)
        if (strcmp(lab_network(lab, i)->name, name) == 0)
            return (int)i;
    return -1;
}

const LabHost *lab_hub(const Lab *lab) {
    for (unsigned i = 0; i < lab->hosts->len; i++)
        if (lab_host(lab, i)->hub)
            return lab_host(lab, i);
    return NULL;
}

bool lab_joins(const Lab *lab, const LabHost *host) {
    return lab_hub(lab) && !host->stays_out && (host->configuration || !host->hub);
}

bool lab_has_agent(const Lab *lab, const LabHost *host) {
    return host->configuration || lab_joins(lab, host);
}

const LabPort *lab_port(const LabHost *host, unsigned index) {
    g_assert(index < host->ports->len);
    return g_ptr_array_index(host->ports, index);
}

const LabPort *lab_port_in(const LabHost *host, unsigned network) {
    for (unsigned i = 0; i < host->ports->len; i++)
        if (lab_port(host, i)->network == network)
            return lab_port(host, i);
    return NULL;
}

const char *lab_name_problem(const char *name, size_t max) {
    size_t length = strlen(name);
    if (length == 0)
        return "is empty";
    if (length > max)
        return "is too long";
    if (strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != length)
        return "may have only small letters, digits and '-'";
    if (!g_ascii_islower(*name))
        return "must begin with a letter";
    return name[length - 1] == '-' ? "must not end with '-'" : NULL;
}

/* --- as a value ------------------------------------------------------------------------------- */

static Value *strings_to_value(const GPtrArray *strings) {
    Value *list = value_new_list();
    for (unsigned i = 0; i < strings->len; i++)
        value_list_append(list, value_new_string(g_ptr_array_index(strings, i)));
    return list;
}

Value *lab_host_to_value(const LabHost *host) {
    Value *map = value_new_map(), *ports = value_new_list();
    value_map_set(map, "name", value_new_string(host->name));
    value_map_set(map, "slot", value_new_int(host->slot));
    value_map_set(map, "packages", strings_to_value(host->packages));
    value_map_set(map, "may-publish", strings_to_value(host->grants));
    if (host->configuration)
        value_map_set(map, "configuration", value_new_string(host->configuration));
    if (host->values)
        value_map_set(map, "values", value_ref(host->values));
    if (host->labels)
        value_map_set(map, "labels", value_ref(host->labels));
    if (host->stays_out)
        value_map_set(map, "join", value_new_bool(false));
    if (host->ttl_s)
        value_map_set(map, "exchange-ttl", value_new_int(host->ttl_s));
    if (host->hub)
        value_map_set(map, "hub", value_new_string(host->hub));
    for (unsigned i = 0; i < host->ports->len; i++) {
        Value *port = value_new_map();
        value_map_set(port, "network", value_new_int(lab_port(host, i)->network));
        value_map_set(port, "address", value_new_string(lab_port(host, i)->address));
        value_list_append(ports, port);
    }
    value_map_set(map, "ports", ports);
    return map;
}

Value *lab_to_value(const Lab *lab) {
    Value *map = value_new_map(), *networks = value_new_list(), *hosts = value_new_list();
    value_map_set(map, "name", value_new_string(lab->name));
    value_map_set(map, "release", value_new_string(lab->release));
    if (lab->mirror)
        value_map_set(map, "mirror", value_new_string(lab->mirror));
    if (lab->deploy_key)
        value_map_set(map, "deploy-key", value_new_string(lab->deploy_key));
    for (unsigned i = 0; i < lab->networks->len; i++) {
        Value *network = value_new_map();
        value_map_set(network, "name", value_new_string(lab_network(lab, i)->name));
        value_map_set(network, "prefix", value_new_string(lab_network(lab, i)->prefix));
        value_list_append(networks, network);
    }
    for (unsigned i = 0; i < lab->hosts->len; i++)
        value_list_append(hosts, lab_host_to_value(lab_host(lab, i)));
    value_map_set(map, "networks", networks);
    value_map_set(map, "hosts", hosts);
    return map;
}

/* An empty list where there is none: what reads it finds nothing missing in what we wrote. */
static size_t list_size(const Value *map, const char *key, const Value **ret_list) {
    *ret_list = value_type(map) == VALUE_MAP ? value_map_get(map, key) : NULL;
    return value_type(*ret_list) == VALUE_LIST ? value_size(*ret_list) : 0;
}

static void read_strings(const Value *map, const char *key, GPtrArray *strings) {
    const Value *list;
    size_t n = list_size(map, key, &list);
    for (size_t i = 0; i < n; i++)
        if (value_type(value_list_at(list, i)) == VALUE_STRING)
            g_ptr_array_add(strings, g_strdup(value_string(value_list_at(list, i))));
}

static void read_host(Lab *lab, const Value *map) {
    LabHost *host = lab_add_host(lab, value_map_string(map, "name", "?"));
    const Value *list;
    int64_t slot = value_map_int(map, "slot", host->slot);
    host->slot = slot >= 0 && slot < 2 * LAB_HOSTS_MAX ? (unsigned)slot : host->slot;
    read_strings(map, "packages", host->packages);
    read_strings(map, "may-publish", host->grants);
    host->configuration = g_strdup(value_map_string(map, "configuration", NULL));
    host->values = value_ref(value_map_get(map, "values"));
    host->labels = value_ref(value_map_get(map, "labels"));
    host->stays_out = !value_map_bool(map, "join", true);
    host->ttl_s = (unsigned)value_map_int(map, "exchange-ttl", 0);
    host->hub = g_strdup(value_map_string(map, "hub", NULL));
    size_t n = list_size(map, "ports", &list);
    for (size_t i = 0; i < n; i++) {
        const Value *port = value_list_at(list, i);
        int64_t network = value_type(port) == VALUE_MAP ? value_map_int(port, "network", -1) : -1;
        if (network >= 0 && network < lab->networks->len)
            lab_add_port(host, (unsigned)network, value_map_string(port, "address", ""));
    }
}

Lab *lab_from_value(const Value *value, GError **error) {
    g_autoptr(Lab) lab = lab_new();
    const Value *list;
    size_t n = list_size(value, "networks", &list);
    for (size_t i = 0; i < n; i++) {
        const Value *map = value_list_at(list, i);
        if (value_type(map) == VALUE_MAP)
            lab_add_network(lab, value_map_string(map, "name", "?"),
                            value_map_string(map, "prefix", ""));
    }
    n = list_size(value, "hosts", &list);
    for (size_t i = 0; i < n; i++)
        if (value_type(value_list_at(list, i)) == VALUE_MAP)
            read_host(lab, value_list_at(list, i));
    if (lab->hosts->len == 0) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_DAMAGED, "read what the lab is: no hosts");
        return NULL;
    }
    lab->name = g_strdup(value_map_string(value, "name", "?"));
    lab->release = g_strdup(value_map_string(value, "release", "?"));
    lab->mirror = g_strdup(value_map_string(value, "mirror", NULL));
    lab->deploy_key = g_strdup(value_map_string(value, "deploy-key", NULL));
    return g_steal_pointer(&lab);
}
