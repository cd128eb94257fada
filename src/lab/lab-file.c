/* Lab files: YAML, so that every problem has its place. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/exchange-key.h"
#include "base/suggest.h"
#include "lab/addresses.h"
#include "lab/lab-make.h"
#include "lang/problems.h"
#include "lang/yaml-node.h"

#define DEFAULT_RELEASE "bookworm"
#define DEFAULT_NETWORK "lan"

typedef struct {
    const char *file; /* interned */
    char *directory;
    Problems *problems;
    Lab *lab;
    Addresses *addresses;
} Reader;

/* What a host, or `defaults`, says; nodes are borrowed from the document. */
typedef struct {
    const YamlNode *packages, *networks, *configuration, *values, *labels, *grants, *ttl, *hub,
        *join;
} Settings;

static const char *const lab_keys[] = {
    "name", "release", "mirror", "deploy-key", "networks", "defaults", "hosts",
};
static const char *const settings_keys[] = { "packages",     "networks", "configuration",
                                             "values",       "labels",   "may-publish",
                                             "exchange-ttl", "hub",      "join" };

static void problem(Reader *reader, const YamlNode *node, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

static void problem(Reader *reader, const YamlNode *node, const char *format, ...) {
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    problems_add(reader->problems, (Origin){ reader->file, node->line, node->column }, text);
}

static void unknown(Reader *reader, const YamlNode *node, const char *what, const char *name,
                    const char *const *names, size_t n) {
    const char *near = suggest_nearest(name, names, n);
    GString *all = g_string_new(NULL);
    for (size_t i = 0; i < n; i++)
        g_string_append_printf(all, "%s%s", i ? ", " : "", names[i]);
    if (near)
        problem(reader, node, "there is no %s '%s', did you mean '%s'?", what, name, near);
    else
        problem(reader, node, "there is no %s '%s'; there are %s", what, name, all->str);
    g_string_free(all, TRUE);
}

/* Shapes: each adds the problem, and gives false or NULL. */
static bool expect(Reader *reader, const YamlNode *node, YamlNodeType type, const char *what,
                   const char *shape) {
    if (node->type == type)
        return true;
    problem(reader, node, "%s must be %s", what, shape);
    return false;
}

static const char *expect_text(Reader *reader, const YamlNode *node, const char *what) {
    if (!expect(reader, node, YAML_NODE_SCALAR, what, "a text"))
        return NULL;
    if (*node->text && !yaml_node_is_null(node) && strlen(node->text) == node->size)
        return node->text;
    problem(reader, node, "%s is empty", what);
    return NULL;
}

static bool check_keys(Reader *reader, const YamlNode *map, const char *what,
                       const char *const *names, size_t n) {
    bool fine = true;
    for (unsigned i = 0; i < map->keys->len; i++) {
        const YamlNode *key = g_ptr_array_index(map->keys, i);
        bool known = false;
        for (size_t j = 0; j < n; j++)
            known |= strcmp(key->text, names[j]) == 0;
        if (!known)
            unknown(reader, key, what, key->text, names, n);
        fine &= known;
    }
    return fine;
}

static const YamlNode *member(const YamlNode *map, const char *key) {
    const YamlNode *node = yaml_node_get(map, key);
    return node && !yaml_node_is_null(node) ? node : NULL;
}

static bool check_name(Reader *reader, const YamlNode *node, const char *what, const char *name) {
    const char *wrong = lab_name_problem(name, LAB_NAME_MAX);
    if (wrong)
        problem(reader, node, "%s '%s' %s", what, name, wrong);
    return !wrong;
}

/* --- networks --------------------------------------------------------------------------------- */

static void read_network(Reader *reader, const YamlNode *key, const YamlNode *item) {
    g_autoptr(GError) error = NULL;
    g_autofree char *usual = g_strdup_printf("10.%u.0.0/24", reader->lab->networks->len + 1);
    const char *prefix = usual;
    if (!check_name(reader, key, "the network's name", key->text))
        return;
    if (!yaml_node_is_null(item) && !(prefix = expect_text(reader, item, "a network's prefix")))
        return;
    if (addresses_add_network(reader->addresses, key->text, prefix, &error))
        lab_add_network(reader->lab, key->text, prefix);
    else
        problem(reader, item, "%s", error->message);
}

static void read_networks(Reader *reader, const YamlNode *map) {
    g_autoptr(GError) error = NULL;
    if (!map) {
        (void)addresses_add_network(reader->addresses, DEFAULT_NETWORK, "10.1.0.0/24", NULL);
        lab_add_network(reader->lab, DEFAULT_NETWORK, "10.1.0.0/24");
        return;
    }
    if (!expect(reader, map, YAML_NODE_MAP, "networks", "names, each with a prefix or nothing"))
        return;
    if (map->items->len > LAB_NETWORKS_MAX) {
        problem(reader, map, "a lab has at most %d networks", LAB_NETWORKS_MAX);
        return;
    }
    for (unsigned i = 0; i < map->items->len; i++)
        read_network(reader, g_ptr_array_index(map->keys, i), g_ptr_array_index(map->items, i));
}

/* -1 after a problem. */
static int network_index(Reader *reader, const YamlNode *node) {
    const char *name = expect_text(reader, node, "the name of a network");
    int index = name ? lab_find_network(reader->lab, name) : -1;
    if (!name || index >= 0)
        return index;
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (unsigned i = 0; i < reader->lab->networks->len; i++)
        g_ptr_array_add(names, lab_network(reader->lab, i)->name);
    unknown(reader, node, "network", name, (const char *const *)names->pdata, names->len);
    return -1;
}

/* --- hosts ------------------------------------------------------------------------------------ */

static Settings read_settings(Reader *reader, const YamlNode *map, const char *what) {
    Settings settings = { NULL };
    if (!map || yaml_node_is_null(map) ||
        !expect(reader, map, YAML_NODE_MAP, what, "settings, or nothing"))
        return settings;
    (void)check_keys(reader, map, "setting", settings_keys, G_N_ELEMENTS(settings_keys));
    return (Settings){ .packages = member(map, "packages"),
                       .networks = member(map, "networks"),
                       .configuration = yaml_node_get(map, "configuration"),
                       .values = member(map, "values"),
                       .labels = member(map, "labels"),
                       .grants = member(map, "may-publish"),
                       .ttl = member(map, "exchange-ttl"),
                       .hub = member(map, "hub"),
                       .join = member(map, "join") };
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* As Debian's policy names packages; nothing in it means something to mmdebstrap. */
static bool is_package_name(const char *name) {
    return g_ascii_isalnum(*name) &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789+-.") == strlen(name);
}

static void add_packages(Reader *reader, LabHost *host, const YamlNode *list) {
    if (!list || !expect(reader, list, YAML_NODE_LIST, "packages", "a list: [curl, nginx]"))
        return;
    for (unsigned i = 0; i < list->items->len; i++) {
        const YamlNode *item = g_ptr_array_index(list->items, i);
        const char *name = expect_text(reader, item, "the name of a package");
        if (name && !is_package_name(name))
            problem(reader, item, "'%s' is no name of a package", name);
        else if (name && !g_ptr_array_find_with_equal_func(host->packages, name, g_str_equal, NULL))
            g_ptr_array_add(host->packages, g_strdup(name));
    }
    g_ptr_array_sort(host->packages, compare_names);
}

static void set_configuration(Reader *reader, LabHost *host, const YamlNode *node) {
    bool is_none = !node || yaml_node_is_null(node); /* whatever defaults say */
    const char *text = is_none ? NULL : expect_text(reader, node, "configuration");
    if (!text)
        return;
    g_autofree char *path =
        g_path_is_absolute(text) ? g_strdup(text) : g_build_filename(reader->directory, text, NULL);
    g_autofree char *whole = g_canonicalize_filename(path, NULL);
    if (!g_file_test(whole, G_FILE_TEST_IS_REGULAR))
        problem(reader, node, "there is no file '%s'%s", text,
                g_path_is_absolute(text) ? "" : " beside the lab's file");
    else
        host->configuration = g_steal_pointer(&whole);
}

static void add_values(Reader *reader, const char *what, Value *all, const YamlNode *map) {
    if (!map || !expect(reader, map, YAML_NODE_MAP, what, "names with values"))
        return;
    g_autoptr(Value) values = yaml_node_to_value(map);
    for (size_t i = 0; i < value_size(values); i++) {
        const char *name;
        const Value *value = value_map_at(values, i, &name);
        value_map_set(all, name, value_ref(value));
    }
}

static void add_grants(Reader *reader, LabHost *host, const YamlNode *list) {
    if (!list || !expect(reader, list, YAML_NODE_LIST, "may-publish", "a list: ['web/{host}']"))
        return;
    for (unsigned i = 0; i < list->items->len; i++) {
        const YamlNode *item = g_ptr_array_index(list->items, i);
        g_autoptr(GError) error = NULL;
        const char *path = expect_text(reader, item, "what may be published");
        if (path && !exchange_path_check(path, &error))
            problem(reader, item, "%s", error->message);
        else if (path)
            g_ptr_array_add(host->grants, g_strdup(path));
    }
}

static void set_join(Reader *reader, LabHost *host, const YamlNode *node) {
    const char *text = node ? expect_text(reader, node, "join") : NULL;
    if (!text)
        return;
    host->stays_out = strcmp(text, "false") == 0;
    if (!host->stays_out && strcmp(text, "true") != 0)
        problem(reader, node, "join is true, or false for a host that does not join the hub");
}

static void set_ttl(Reader *reader, LabHost *host, const YamlNode *node) {
    const char *text = node ? expect_text(reader, node, "exchange-ttl") : NULL;
    char *end;
    guint64 seconds = text ? g_ascii_strtoull(text, &end, 10) : 0;
    if (!text)
        return;
    if (*end || seconds < EXCHANGE_MIN_TTL || seconds > EXCHANGE_MAX_TTL)
        problem(reader, node, "exchange-ttl is from %u to %u seconds", EXCHANGE_MIN_TTL,
                EXCHANGE_MAX_TTL);
    else
        host->ttl_s = (unsigned)seconds;
}

/* NULL: neither says any. */
static Value *merge_values(Reader *reader, const char *what, const YamlNode *defaults,
                           const YamlNode *own) {
    if (!defaults && !own)
        return NULL;
    Value *all = value_new_map();
    add_values(reader, what, all, defaults);
    add_values(reader, what, all, own);
    return all;
}

static void check_labels(Reader *reader, const YamlNode *node, const LabHost *host) {
    for (size_t i = 0; host->labels && i < value_size(host->labels); i++) {
        const char *name;
        if (value_type(value_map_at(host->labels, i, &name)) == VALUE_STRING)
            continue;
        problem(reader, node, "the label '%s' must be a text: quote it", name);
        return;
    }
}

/* "hub: true" is one over a file of its own. */
static void set_hub(Reader *reader, LabHost *host, const YamlNode *node) {
    const char *text = node ? expect_text(reader, node, "hub") : NULL;
    if (!text || strcmp(text, "false") == 0)
        return;
    if (strcmp(text, "true") == 0)
        host->hub = g_strdup("sqlite");
    else if (g_str_has_prefix(text, "etcd="))
        host->hub = g_strdup(text);
    else
        problem(reader, node, "hub must be true, or the store it is over: etcd=URL[,URL...]");
}

static void add_port(Reader *reader, LabHost *host, const YamlNode *name, const YamlNode *address,
                     bool is_alone) {
    g_autoptr(GError) error = NULL;
    int index = network_index(reader, name);
    if (index < 0)
        return;
    const char *text =
        address && !yaml_node_is_null(address) ? expect_text(reader, address, "an address") : "";
    if (!text)
        return;
    if (lab_port_in(host, (unsigned)index))
        problem(reader, name, "host '%s' is in network '%s' twice", host->name, name->text);
    else if (*text && !is_alone)
        problem(reader, address,
                "several hosts cannot have one address: leave it out, or take the host out of the "
                "range");
    else if (*text && !addresses_fix(reader->addresses, (unsigned)index, text, host->name, &error))
        problem(reader, address, "%s", error->message);
    else
        lab_add_port(host, (unsigned)index, text);
}

/* Without any networks named, a host is in all of them. */
static void add_ports(Reader *reader, LabHost *host, const YamlNode *node, bool is_alone) {
    for (unsigned i = 0; !node && i < reader->lab->networks->len; i++)
        lab_add_port(host, i, "");
    if (!node)
        return;
    if (node->type == YAML_NODE_SCALAR) {
        problem(reader, node,
                "networks must be a list, [lan], or names with addresses, "
                "{lan: 10.1.0.5}");
        return;
    }
    for (unsigned i = 0; i < node->items->len; i++) {
        const YamlNode *item = g_ptr_array_index(node->items, i);
        bool is_map = node->type == YAML_NODE_MAP;
        add_port(reader, host, is_map ? g_ptr_array_index(node->keys, i) : item,
                 is_map ? item : NULL, is_alone);
    }
}

static void add_host(Reader *reader, const YamlNode *key, const char *name, bool is_alone,
                     const Settings *defaults, const Settings *own) {
    if (!check_name(reader, key, "the host's name", name))
        return;
    if (lab_find_host(reader->lab, name) >= 0) {
        problem(reader, key, "host '%s' is there already", name);
        return;
    }
    if (lab_find_network(reader->lab, name) >= 0) {
        problem(reader, key, "host '%s' has the name of a network", name);
        return;
    }
    LabHost *host = lab_add_host(reader->lab, name);
    add_packages(reader, host, defaults->packages);
    add_packages(reader, host, own->packages);
    set_configuration(reader, host,
                      own->configuration ? own->configuration : defaults->configuration);
    add_ports(reader, host, own->networks ? own->networks : defaults->networks,
              is_alone && own->networks);
    host->values = merge_values(reader, "values", defaults->values, own->values);
    host->labels = merge_values(reader, "labels", defaults->labels, own->labels);
    check_labels(reader, own->labels ? own->labels : defaults->labels, host);
    add_grants(reader, host, own->grants ? own->grants : defaults->grants);
    set_join(reader, host, own->join ? own->join : defaults->join);
    set_ttl(reader, host, own->ttl ? own->ttl : defaults->ttl);
    set_hub(reader, host, own->hub);
}

/* "web[1-3]", "web[01-12]": *ret_width is 0 where numbers have no leading zeros. False: it is no
 * range. */
static bool parse_range(const char *text, char **ret_start, unsigned *ret_first, unsigned *ret_last,
                        int *ret_width) {
    unsigned first, last;
    int width, end = 0;
    const char *bracket = strchr(text, '[');
    if (!bracket || !g_ascii_isdigit(bracket[1]) ||
        sscanf(bracket, "[%u%n-%u]%n", &first, &width, &last, &end) != 2 || end == 0 ||
        bracket[end] != '\0' || first > last || last > 999999)
        return false;
    *ret_start = g_strndup(text, (size_t)(bracket - text));
    *ret_first = first;
    *ret_last = last;
    *ret_width = bracket[1] == '0' ? width - 1 : 0;
    return true;
}

static void read_host(Reader *reader, const YamlNode *key, const YamlNode *item,
                      const Settings *defaults) {
    g_autofree char *start = NULL;
    unsigned first, last;
    int width;
    Settings own = read_settings(reader, item, "a host");
    if (!strpbrk(key->text, "[]")) {
        add_host(reader, key, key->text, true, defaults, &own);
        return;
    }
    if (!parse_range(key->text, &start, &first, &last, &width)) {
        problem(reader, key, "'%s' is no range of hosts: write it as web[1-3]", key->text);
        return;
    }
    if (last - first >= LAB_HOSTS_MAX) {
        problem(reader, key, "a lab has at most %d hosts", LAB_HOSTS_MAX);
        return;
    }
    for (unsigned n = first; n <= last; n++) {
        g_autofree char *name = g_strdup_printf("%s%0*u", start, width, n);
        unsigned before = reader->lab->hosts->len, wrong = problems_count(reader->problems);
        add_host(reader, key, name, first == last, defaults, &own);
        if (reader->lab->hosts->len == before || problems_count(reader->problems) > wrong)
            return; /* the others would be wrong in the same way */
    }
}

static void read_hosts(Reader *reader, const YamlNode *root) {
    const YamlNode *hosts = member(root, "hosts");
    Settings defaults = read_settings(reader, yaml_node_get(root, "defaults"), "defaults");
    if (defaults.hub)
        problem(reader, defaults.hub, "say 'hub' of the host that is one, not in defaults");
    if (!hosts) {
        problem(reader, root, "the key 'hosts' is missing: a lab has at least one host");
        return;
    }
    if (!expect(reader, hosts, YAML_NODE_MAP, "hosts", "names, each with settings or nothing"))
        return;
    for (unsigned i = 0; i < hosts->items->len; i++)
        read_host(reader, g_ptr_array_index(hosts->keys, i), g_ptr_array_index(hosts->items, i),
                  &defaults);
    if (hosts->items->len == 0)
        problem(reader, hosts, "a lab has at least one host");
    else if (reader->lab->hosts->len > LAB_HOSTS_MAX)
        problem(reader, hosts, "a lab has at most %d hosts", LAB_HOSTS_MAX);
}

/* Those that the file does not fix, in the order of hosts. */
static void assign_addresses(Reader *reader, const YamlNode *root) {
    for (unsigned i = 0; i < reader->lab->hosts->len; i++) {
        const LabHost *host = lab_host(reader->lab, i);
        for (unsigned j = 0; j < host->ports->len; j++) {
            LabPort *port = g_ptr_array_index(host->ports, j);
            g_autoptr(GError) error = NULL;
            port->is_fixed = *port->address;
            if (port->is_fixed)
                continue;
            g_free(port->address);
            port->address = addresses_take(reader->addresses, port->network, host->name, &error);
            if (!port->address) {
                problem(reader, root, "%s", error->message);
                port->address = g_strdup("");
                return;
            }
        }
    }
}

/* --- the file --------------------------------------------------------------------------------- */

/* The file's own name, without its suffix, unless it says one. */
static void read_name(Reader *reader, const YamlNode *root) {
    const YamlNode *node = member(root, "name");
    const char *text = node ? expect_text(reader, node, "name") : NULL;
    if (node && !text)
        return;
    g_autofree char *base = g_path_get_basename(reader->file);
    char *dot = strrchr(base, '.');
    if (dot && dot > base)
        *dot = '\0';
    reader->lab->name = g_strdup(text ? text : base);
    const char *wrong = lab_name_problem(reader->lab->name, LAB_NAME_MAX);
    if (wrong)
        problem(reader, node ? node : root, "the lab's name '%s' %s%s", reader->lab->name, wrong,
                node ? "" : ": give it one by the key 'name'");
}

static void read_source(Reader *reader, const YamlNode *root) {
    const YamlNode *release = member(root, "release"), *mirror = member(root, "mirror");
    const char *name = release ? expect_text(reader, release, "release") : DEFAULT_RELEASE;
    const char *url = mirror ? expect_text(reader, mirror, "mirror") : NULL;
    if (name && lab_name_problem(name, LAB_NAME_MAX))
        problem(reader, release, "'%s' is no release of Debian: write its code name, as %s", name,
                DEFAULT_RELEASE);
    if (url && !g_str_has_prefix(url, "http://") && !g_str_has_prefix(url, "https://"))
        problem(reader, mirror, "the mirror must begin with http:// or https://");
    else if (url && strpbrk(url, " \t\n"))
        problem(reader, mirror, "the mirror must be one URL");
    reader->lab->release = g_strdup(name);
    reader->lab->mirror = g_strdup(url);
}

/* A key itself, or a file with one, beside the lab's or absolute. */
static void read_deploy_key(Reader *reader, const YamlNode *node) {
    const char *text = node ? expect_text(reader, node, "deploy-key") : NULL;
    if (!text)
        return;
    g_autofree char *path =
        g_path_is_absolute(text) ? g_strdup(text) : g_build_filename(reader->directory, text, NULL);
    g_autofree char *content = NULL;
    if (!g_file_get_contents(path, &content, NULL, NULL))
        problem(reader, node,
                "there is no file '%s'%s: 'stead key new' makes a key, and a .pub file beside it",
                text, g_path_is_absolute(text) ? "" : " beside the lab's file");
    else
        reader->lab->deploy_key = g_strdup(g_strstrip(content));
}

/* Several hubs are equal over one store only. */
static void check_hubs(Reader *reader, const YamlNode *root) {
    const LabHost *first = lab_hub(reader->lab);
    for (unsigned i = 0; i < reader->lab->hosts->len; i++) {
        const LabHost *host = lab_host(reader->lab, i);
        if (host->hub && host != first && strcmp(host->hub, "sqlite") == 0) {
            problem(reader, root,
                    "'%s' and '%s' are hubs with a file each: several hubs need one store, "
                    "hub: etcd=URL",
                    first->name, host->name);
            return;
        }
    }
    if (reader->lab->deploy_key && !first)
        problem(reader, root, "deploy-key is of use only where a host has 'hub: true'");
}

static void read_document(Reader *reader, const YamlNode *root) {
    if (!expect(reader, root, YAML_NODE_MAP, "a lab", "names with values: hosts and networks"))
        return;
    (void)check_keys(reader, root, "key", lab_keys, G_N_ELEMENTS(lab_keys));
    read_name(reader, root);
    read_source(reader, root);
    read_deploy_key(reader, member(root, "deploy-key"));
    read_networks(reader, member(root, "networks"));
    if (problems_count(reader->problems) == 0)
        read_hosts(reader, root);
    if (problems_count(reader->problems) == 0)
        assign_addresses(reader, root);
    check_hubs(reader, root);
}

static void read_file(Reader *reader, Sources *sources) {
    GError *error = NULL;
    g_autoptr(YamlNode) root = NULL;
    size_t size;
    GBytes *content = sources_load(sources, reader->file, &error);
    const char *text = content ? sources_bytes(content, &size) : NULL;
    if (!content || !yaml_parse(text, size, reader->file, &root, &error))
        problems_add_error(reader->problems, error);
    else if (!root)
        problems_add(reader->problems, (Origin){ reader->file, 1, 1 },
                     "the file is empty: a lab has at least one host");
    else
        read_document(reader, root);
}

Lab *lab_load(const char *file, GPtrArray *problems) {
    g_autoptr(Sources) sources = sources_new(NULL);
    g_autoptr(Problems) found = problems_new(sources);
    g_autoptr(Addresses) addresses = addresses_new();
    g_autoptr(Lab) lab = lab_new();
    g_autofree char *directory = g_path_get_dirname(file);
    Reader reader = { g_intern_string(file), directory, found, lab, addresses };
    read_file(&reader, sources);
    bool fine = problems_count(found) == 0;
    problems_move(found, problems);
    return fine ? g_steal_pointer(&lab) : NULL;
}
