/* net: a link with its addresses and routes, on the running machine by netlink, and on request for
 * the next boot as files of systemd-networkd. */
#include <string.h>

#include "base/text-diff.h"
#include "graph/autoedge.h"
#include "graph/watcher.h"
#include "kinds/kinds.h"
#include "kinds/net-spec.h"

#define PASSES_MAX                                                                                 \
    6 /* of looking and acting: links that are made, or lose what goes with others                 \
       */
#define FILE_MAX     65536
#define DIFF_CONTEXT 3

static const char *const states[] = { "up", "down", "absent", NULL };
static const char *const purges[] = { "static", "none", "all", NULL };

static const Param params[NET_N_PARAMS] = {
    [NET_INTERFACE] = { "interface", PARAM_STRING, PARAM_NAMED | PARAM_IDENTITY | PARAM_REWATCH,
                        "The interface, at most 15 characters.", .aliases = "device" },
    [NET_STATE] = { "state", PARAM_ENUM, PARAM_PROPERTY,
                    "Whether it is up or down; absent deletes a virtual link.", .fallback = "up",
                    .choices = states },
    [NET_ADDRS] = { "addrs", PARAM_STRINGS, PARAM_PROPERTY,
                    "Its addresses, IPv4 and IPv6, each with its length: \"192.0.2.1/24\". Unset: "
                    "left as they are.",
                    .aliases = "addresses" },
    [NET_GATEWAY] = { "gateway", PARAM_STRINGS, PARAM_PROPERTY,
                      "The default gateway; one of IPv4 and one of IPv6 at most. An empty list: "
                      "none. Unset: default routes are left as they are." },
    [NET_ROUTES] = { "routes", PARAM_STRINGS, PARAM_PROPERTY,
                     "Further routes by this interface, in the words of ip(8): \"10.0.0.0/8 via "
                     "192.0.2.254 metric 100 table 5 src 192.0.2.1 onlink\", all but the "
                     "destination optional. Unset: left as they are." },
    [NET_PURGE] = { "purge", PARAM_ENUM, 0,
                    "What else may go, where `addrs` or `routes` are set: what administrators made "
                    "(static), nothing (none: at least what is listed is there), or also addresses "
                    "with a lifetime, as from DHCP (all).",
                    .fallback = "static", .choices = purges },
    [NET_NO_ADDRS] = { "no_addrs", PARAM_STRINGS, 0,
                       "Addresses that must not be there, whatever `purge` says.", .fallback = "" },
    [NET_NO_ROUTES] = { "no_routes", PARAM_STRINGS, 0,
                        "Routes that must not be there, whatever `purge` says.", .fallback = "" },
    [NET_ROW_MTU] = { "mtu", PARAM_INT, PARAM_PROPERTY, "Bytes of the largest packet." },
    [NET_ROW_MAC] = { "mac", PARAM_STRING, PARAM_PROPERTY,
                      "Its hardware address, \"02:00:00:aa:bb:cc\"." },
    [NET_ROW_MASTER] = { "master", PARAM_STRING, PARAM_PROPERTY | PARAM_REWATCH,
                         "The bridge, bond or vrf that it is in; empty for none." },
    [NET_IP_FORWARD] = { "ip_forward", PARAM_BOOL, PARAM_PROPERTY,
                         "Whether IPv4 packets that come in here are passed on. For IPv6 Linux "
                         "decides that for the whole machine: net.ipv6.conf.all.forwarding." },
    [NET_TYPE] = { "type", PARAM_ENUM, PARAM_PROPERTY,
                   "A virtual link to make. Unset: the interface is there, or comes by itself.",
                   .choices = net_type_names },
    [NET_PEER] = { "peer", PARAM_STRING, PARAM_PROPERTY, "The other end of a veth." },
    [NET_LINK] = { "link", PARAM_STRING, PARAM_PROPERTY | PARAM_REWATCH,
                   "The interface that a vlan, macvlan or vxlan stands on." },
    [NET_ID] = { "id", PARAM_INT, PARAM_PROPERTY,
                 "Number of the vlan or vxlan; routing table of the vrf." },
    [NET_LOCAL] = { "local_ip", PARAM_STRING, PARAM_PROPERTY, "Address that a vxlan sends from." },
    [NET_REMOTE] = { "remote_ip", PARAM_STRING, PARAM_PROPERTY,
                     "Address of the other host of a vxlan, or a multicast group." },
    [NET_PORT] = { "port", PARAM_INT, PARAM_PROPERTY,
                   "UDP port of a vxlan; 4789 when it is made without." },
    [NET_MODE] = { "mode", PARAM_ENUM, PARAM_PROPERTY, "Mode of a bond or macvlan.",
                   .choices = net_mode_names },
    [NET_PERSIST] = { "persist", PARAM_BOOL, PARAM_PROPERTY,
                      "Also write files of systemd-networkd, for boots without stead.",
                      .fallback = "false" },
    [NET_OPTIONAL] = { "optional", PARAM_BOOL, 0,
                       "The interface may be missing: then nothing is done until it comes.",
                       .fallback = "false" },
    [NET_FORCE] = { "force", PARAM_BOOL, 0,
                    "Go on where the ssh connection that stead runs in would be cut, where a link "
                    "of another type must be deleted, or another interface's route replaced.",
                    .fallback = "false" },
};

/* --- values */

static int by_text(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Takes the texts over. */
static Value *sorted_list(GPtrArray *texts) {
    Value *list = value_new_list();
    g_ptr_array_sort(texts, by_text);
    for (guint i = 0; i < texts->len; i++)
        value_list_append(list, value_new_string(texts->pdata[i]));
    g_ptr_array_unref(texts);
    return list;
}

static GPtrArray *texts_new(void) {
    return g_ptr_array_new_with_free_func(g_free);
}

static Value *ip_value(const IpPrefix *ip) {
    g_autofree char *text = ip->family != 0 ? ip_text(ip) : g_strdup("");
    return value_new_string(text);
}

/* Under `gateway` a plain default route is its gateway. */
static char *gateway_text(const NetRoute *route) {
    g_autofree char *via = route->via.family != 0 ? ip_text(&route->via) : NULL;
    g_autofree char *plain = g_strdup_printf("default via %s", via != NULL ? via : "");
    char *whole = net_route_text(route);
    if (strcmp(whole, plain) != 0)
        return whole;
    g_free(whole);
    return g_steal_pointer(&via);
}

/* Whether a route is told under `gateway` or under `routes`. */
static bool is_of(const NetSpec *spec, const NetRoute *route, unsigned param) {
    bool as_gateway = spec->has_gateway && net_route_is_default(route);
    return as_gateway == (param == NET_GATEWAY);
}

static Value *found_addresses(const NetSpec *spec, const NetInfo *info) {
    GPtrArray *texts = texts_new();
    for (guint i = 0; i < info->addresses->len; i++) {
        const NetAddress *address = &g_array_index(info->addresses, NetAddress, i);
        g_autofree char *text = ip_prefix_text(&address->prefix);
        if (net_spec_covers_address(spec, address))
            g_ptr_array_add(texts, g_strconcat(text, address->dynamic ? " dynamic" : "", NULL));
    }
    return sorted_list(texts);
}

static Value *found_routes(const NetSpec *spec, const NetInfo *info, unsigned param) {
    GPtrArray *texts = texts_new();
    for (guint i = 0; i < info->routes->len; i++) {
        const NetRoute *route = &g_array_index(info->routes, NetRoute, i);
        if (net_spec_covers_route(spec, route) && is_of(spec, route, param))
            g_ptr_array_add(texts,
                            param == NET_GATEWAY ? gateway_text(route) : net_route_text(route));
    }
    return sorted_list(texts);
}

/* What is found is looked at through what is wanted, so that what only this resource added to a
 * shared list comes and goes alone. */
static Value *wanted_addresses(const NetSpec *spec) {
    GPtrArray *texts = texts_new();
    for (guint i = 0; i < spec->addresses->len; i++)
        g_ptr_array_add(texts, ip_prefix_text(&g_array_index(spec->addresses, IpPrefix, i)));
    return sorted_list(texts);
}

static Value *wanted_routes(const GArray *routes, unsigned param) {
    GPtrArray *texts = texts_new();
    for (guint i = 0; i < routes->len; i++) {
        const NetRoute *route = &g_array_index(routes, NetRoute, i);
        g_ptr_array_add(texts, param == NET_GATEWAY ? gateway_text(route) : net_route_text(route));
    }
    return sorted_list(texts);
}

static bool is_asked(const NetSpec *spec, unsigned param) {
    if (param == NET_ADDRS)
        return spec->has_addresses || spec->no_addresses->len > 0;
    if (param == NET_ROUTES)
        return spec->has_routes || spec->no_routes->len > 0;
    return value_type(resource_get(spec->resource, param)) != VALUE_NIL;
}

/* A property as it should be; NULL: not asked for. */
static Value *wanted_value(const NetSpec *spec, unsigned param) {
    if (!is_asked(spec, param))
        return NULL;
    switch (param) {
    case NET_ADDRS:
        return wanted_addresses(spec);
    case NET_GATEWAY:
        return wanted_routes(spec->gateways, param);
    case NET_ROUTES:
        return wanted_routes(spec->routes, param);
    case NET_LOCAL:
        return ip_value(&spec->make.local);
    case NET_REMOTE:
        return ip_value(&spec->make.remote);
    case NET_ROW_MAC: {
        g_autofree char *text = net_mac_text(spec->mac);
        return value_new_string(text);
    }
    default:
        return value_ref(resource_get(spec->resource, param));
    }
}

/* --- observe */

static void put_make(const NetSpec *spec, const NetMake *make, State *actual) {
    const struct {
        unsigned param;
        Value *value;
    } rows[] = {
        { NET_TYPE, value_new_string(make->type) }, { NET_PEER, value_new_string(make->peer) },
        { NET_LINK, value_new_string(make->link) }, { NET_ID, value_new_int(make->id) },
        { NET_LOCAL, ip_value(&make->local) },      { NET_REMOTE, ip_value(&make->remote) },
        { NET_PORT, value_new_int(make->port) },    { NET_MODE, value_new_string(make->mode) },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        bool unknown = rows[i].param == NET_PEER && *make->peer == '\0';
        if (is_asked(spec, rows[i].param) && !unknown)
            state_set(actual, rows[i].param, rows[i].value);
        else
            value_unref(rows[i].value);
    }
}

static void put_info(const NetSpec *spec, const NetInfo *info, State *actual) {
    static const unsigned lists[] = { NET_GATEWAY, NET_ROUTES };
    actual->exists = info->exists;
    if (!info->exists)
        return;
    state_set(actual, NET_STATE, value_new_string(info->up ? "up" : "down"));
    g_autofree char *mac = info->has_mac ? net_mac_text(info->mac) : NULL;
    put_make(spec, &info->make, actual);
    if (is_asked(spec, NET_ADDRS))
        state_set(actual, NET_ADDRS, found_addresses(spec, info));
    for (size_t i = 0; i < G_N_ELEMENTS(lists); i++)
        if (is_asked(spec, lists[i]))
            state_set(actual, lists[i], found_routes(spec, info, lists[i]));
    if (is_asked(spec, NET_ROW_MTU))
        state_set(actual, NET_ROW_MTU, value_new_int(info->mtu));
    if (is_asked(spec, NET_ROW_MAC))
        state_set(actual, NET_ROW_MAC, mac != NULL ? value_new_string(mac) : value_new_unknown());
    if (is_asked(spec, NET_ROW_MASTER))
        state_set(actual, NET_ROW_MASTER, value_new_string(info->master));
    if (is_asked(spec, NET_IP_FORWARD))
        state_set(actual, NET_IP_FORWARD, value_new_bool(info->forwards));
}

/* The link, and whether there is a machine that runs. */
typedef struct {
    NetInfo info;
    bool runs;
} Look;

static void look_clear(Look *look) {
    net_info_clear(&look->info);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Look, look_clear)

static bool look_at(KindRun *run, const NetSpec *spec, Look *look, GError **error) {
    g_autoptr(GError) problem = NULL;
    look->runs = host_net_query(run->host, spec->link, &look->info, &problem);
    if (look->runs || g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_UNSUPPORTED))
        return true;
    g_propagate_error(error, g_steal_pointer(&problem));
    return false;
}

/* --- the files of systemd-networkd */

typedef struct {
    char *path;
    GBytes *wanted; /* NULL: it is to be gone */
} Wish;

static void wish_clear(Wish *wish) {
    g_free(wish->path);
    g_clear_pointer(&wish->wanted, g_bytes_unref);
}

#define N_WISHES 2

typedef struct {
    Wish wishes[N_WISHES];
} Wishes;

static void wishes_clear(Wishes *wishes) {
    for (unsigned i = 0; i < N_WISHES; i++)
        wish_clear(&wishes->wishes[i]);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Wishes, wishes_clear)

static char *master_type(KindRun *run, const NetSpec *spec) {
    const char *master = resource_string(spec->resource, NET_ROW_MASTER);
    g_auto(NetInfo) info = { 0 };
    if (master == NULL || *master == '\0' || !host_net_query(run->host, master, &info, NULL))
        return g_strdup(""); /* nothing is lost but the sort of master, and most are bridges */
    return g_strdup(info.make.type);
}

static Wishes wishes_of(KindRun *run, const NetSpec *spec) {
    bool write = resource_bool(spec->resource, NET_PERSIST) && !spec->absent;
    Wishes wishes = { .wishes = { { .path = net_network_path(spec->resource) },
                                  { .path = net_netdev_path(spec->resource) } } };
    if (!write)
        return wishes;
    g_autofree char *master = master_type(run, spec);
    char *network = net_network_text(spec, master);
    wishes.wishes[0].wanted = g_bytes_new_take(network, strlen(network));
    char *netdev = spec->type != NULL ? net_netdev_text(spec) : NULL;
    if (netdev != NULL)
        wishes.wishes[1].wanted = g_bytes_new_take(netdev, strlen(netdev));
    return wishes;
}

/* *ret_found: NULL when there is none. */
static bool read_file(KindRun *run, const char *path, GBytes **ret_found, GError **error) {
    g_autoptr(GError) problem = NULL;
    *ret_found = host_read(run->host, path, FILE_MAX, &problem);
    if (*ret_found != NULL || g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND))
        return true;
    g_propagate_error(error, g_steal_pointer(&problem));
    return false;
}

static bool same_bytes(GBytes *a, GBytes *b) {
    return a == NULL || b == NULL ? a == b : g_bytes_equal(a, b);
}

static char *diff_bytes(GBytes *before, GBytes *after) {
    size_t before_size = 0, after_size = 0;
    const char *was = before != NULL ? g_bytes_get_data(before, &before_size) : "";
    const char *is = after != NULL ? g_bytes_get_data(after, &after_size) : "";
    return text_diff(was != NULL ? was : "", before_size, is != NULL ? is : "", after_size,
                     DIFF_CONTEXT);
}

/* *ret_right: whether the files are as they should be; *ret_any: whether there is one. diff (NULL:
 * not asked for) gets what would change. */
static bool compare_files(KindRun *run, const NetSpec *spec, bool *ret_right, bool *ret_any,
                          GString *diff, GError **error) {
    g_auto(Wishes) wishes = wishes_of(run, spec);
    *ret_right = true;
    *ret_any = false;
    for (unsigned i = 0; i < N_WISHES; i++) {
        const Wish *wish = &wishes.wishes[i];
        g_autoptr(GBytes) found = NULL;
        if (wish->path == NULL)
            continue;
        if (!read_file(run, wish->path, &found, error))
            return false;
        *ret_any |= found != NULL;
        if (same_bytes(found, wish->wanted))
            continue;
        *ret_right = false;
        g_autofree char *text = diff != NULL ? diff_bytes(found, wish->wanted) : NULL;
        if (text != NULL)
            g_string_append_printf(diff, "%s\n%s", wish->path, text);
    }
    return true;
}

static bool apply_file(KindRun *run, const Wish *wish, GError **error) {
    g_autoptr(GBytes) found = NULL;
    if (wish->path == NULL)
        return true;
    if (!read_file(run, wish->path, &found, error))
        return false;
    if (same_bytes(found, wish->wanted))
        return true;
    if (wish->wanted == NULL)
        return host_remove(run->host, wish->path, error);
    static const FileAttributes attributes = { .set = FILE_SET_MODE, .mode = 0644 };
    return host_make_parents(run->host, wish->path, error) &&
           host_write(run->host, wish->path, wish->wanted, &attributes, error);
}

static bool apply_files(KindRun *run, const NetSpec *spec, GError **error) {
    g_auto(Wishes) wishes = wishes_of(run, spec);
    for (unsigned i = 0; i < N_WISHES; i++)
        if (!apply_file(run, &wishes.wishes[i], error))
            return false;
    return true;
}

static bool net_observe(KindRun *run, State *actual, GError **error) {
    g_auto(NetSpec) spec = { 0 };
    g_auto(Look) look = { 0 };
    bool right, any, persist = resource_bool(run->resource, NET_PERSIST);
    if (!net_spec_init(&spec, run->resource, error) || !look_at(run, &spec, &look, error) ||
        !compare_files(run, &spec, &right, &any, NULL, error))
        return false;
    if (look.runs)
        put_info(&spec, &look.info, actual);
    else
        actual->exists = any;
    state_set(actual, NET_PERSIST, value_new_bool(persist && !spec.absent ? right : any));
    return true;
}

/* --- diff */

static bool refuse_missing(const NetSpec *spec, GError **error) {
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND,
                "there is no interface '%s'; it is set up as soon as it appears; set optional = "
                "true where it may be missing, or type for a virtual link that is to be made",
                spec->link);
    return false;
}

/* What would be deleted to make room must be ours to delete. */
static bool check_existing(const NetSpec *spec, const NetInfo *info, GError **error) {
    const char *found = *info->make.type != '\0' ? info->make.type : "device";
    bool differs = spec->type != NULL && strcmp(spec->type->name, info->make.type) != 0;
    bool is_device = *info->make.type == '\0';
    if (!info->exists || (!differs && !(spec->absent && is_device)))
        return true;
    if (is_device)
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                    "'%s' is a device, which cannot be deleted; %s", spec->link,
                    spec->absent ? "set state = \"down\"" : "choose another name");
    else if (differs && !spec->force)
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                    "'%s' is a %s, not a %s; set force = true if it may be deleted", spec->link,
                    found, spec->type->name);
    else
        return true;
    return false;
}

static bool check_session(KindRun *run, const NetSpec *spec, const NetInfo *info, GError **error) {
    NetSession session;
    g_autoptr(GArray) steps = net_steps(spec, info);
    if (steps->len == 0 || !host_session(run->host, &session))
        return true;
    g_autofree char *cut = net_steps_cut_off(spec, info, steps, &session);
    g_autofree char *client = ip_text(&session.client);
    if (cut == NULL)
        return true;
    if (spec->force) {
        kind_run_note(run, "cuts the ssh connection from %s: %s", client, cut);
        return true;
    }
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                "refuse to %s: the ssh connection from %s, in which stead runs, uses it; set force "
                "= true if it may be cut, or run stead from the console or by its agent",
                cut, client);
    return false;
}

static Action action_of(const NetSpec *spec, const Look *look, const State *actual,
                        const Changes *changes) {
    if (changes->changes->len == 0)
        return ACTION_NONE;
    if (!look->runs)
        return !actual->exists                              ? ACTION_CREATE
               : resource_bool(spec->resource, NET_PERSIST) ? ACTION_CHANGE
                                                            : ACTION_REMOVE;
    if (spec->absent)
        return look->info.exists ? ACTION_REMOVE : ACTION_CHANGE;
    if (!look->info.exists)
        return ACTION_CREATE;
    return net_spec_made_otherwise(spec, &look->info) != NULL ? ACTION_REPLACE : ACTION_CHANGE;
}

static void compare_properties(const NetSpec *spec, const NetInfo *info, const State *actual,
                               Changes *changes) {
    for (unsigned i = 0; i < NET_PERSIST; i++) {
        g_autoptr(Value) wanted = (params[i].flags & PARAM_PROPERTY) ? wanted_value(spec, i) : NULL;
        const Value *found = state_get(actual, i);
        bool unknown = found == NULL && info->exists; /* a peer elsewhere */
        if (wanted == NULL || unknown || (spec->absent && i != NET_STATE) ||
            value_equal(found, wanted))
            continue;
        changes_add(changes, params[i].name, value_ref(found), g_steal_pointer(&wanted), NULL);
    }
}

static bool compare_persist(KindRun *run, const NetSpec *spec, const State *actual,
                            Changes *changes, GError **error) {
    bool right, any, wanted = resource_bool(spec->resource, NET_PERSIST) && !spec->absent;
    g_autoptr(GString) diff = g_string_new(NULL);
    if (!compare_files(run, spec, &right, &any, diff, error))
        return false;
    if (!right)
        changes_add(changes, "persist", value_ref(state_get(actual, NET_PERSIST)),
                    value_new_bool(wanted), g_strdup(diff->str));
    return true;
}

static bool net_diff(KindRun *run, const State *actual, Changes *changes, GError **error) {
    g_auto(NetSpec) spec = { 0 };
    g_auto(Look) look = { 0 };
    if (!net_spec_init(&spec, run->resource, error) || !look_at(run, &spec, &look, error))
        return false;
    const NetInfo *info = &look.info;
    bool missing = look.runs && !info->exists && spec.type == NULL && !spec.absent;
    if (missing && !resource_bool(run->resource, NET_OPTIONAL))
        return refuse_missing(&spec, error);
    if (missing)
        kind_run_note(run, "waits for interface '%s'", spec.link);
    if (look.runs && !missing && (info->exists || !spec.absent)) {
        if (!check_existing(&spec, info, error))
            return false;
        compare_properties(&spec, info, actual, changes);
        if (changes->changes->len > 0 && !check_session(run, &spec, info, error))
            return false;
    }
    if (!compare_persist(run, &spec, actual, changes, error))
        return false;
    changes->action = action_of(&spec, &look, actual, changes);
    return true;
}

/* --- apply */

static bool explain_taken(const NetChange *change, GError **error) {
    if (error == NULL || !g_error_matches(*error, STEAD_ERROR, STEAD_ERROR_EXISTS) ||
        change->verb != NET_ROUTE_ADD)
        return false;
    g_autofree char *message = g_steal_pointer(&(*error)->message);
    (*error)->message = g_strdup_printf(
        "%s; another interface has it, with the same metric: give this one a metric in routes, or "
        "set force = true to take it over",
        message);
    return false;
}

/* What was to go may have gone by itself. */
static bool take_step(KindRun *run, const NetChange *change, GError **error) {
    g_autoptr(GError) problem = NULL;
    if (host_net_apply(run->host, change, &problem))
        return true;
    bool removes = change->verb == NET_LINK_DELETE || change->verb == NET_ADDRESS_DELETE ||
                   change->verb == NET_ROUTE_DELETE;
    if (removes && g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND))
        return true;
    g_propagate_error(error, g_steal_pointer(&problem));
    return explain_taken(change, error);
}

/* Looks again after each pass: a new link has its needs, and what a step took along comes back. */
static bool apply_link(KindRun *run, const NetSpec *spec, GError **error) {
    for (unsigned pass = 0; pass < PASSES_MAX; pass++) {
        g_auto(Look) look = { 0 };
        if (!look_at(run, spec, &look, error))
            return false;
        g_autoptr(GArray) steps = look.runs ? net_steps(spec, &look.info) : NULL;
        if (steps == NULL || steps->len == 0)
            return true;
        for (guint i = 0; i < steps->len; i++)
            if (!cancel_check(run->cancel, error) ||
                !take_step(run, &g_array_index(steps, NetChange, i), error))
                return false;
    }
    return true; /* what still differs is found by the look after this */
}

static bool net_apply(KindRun *run, const State *actual, const Changes *changes, GError **error) {
    g_auto(NetSpec) spec = { 0 };
    return net_spec_init(&spec, run->resource, error) && apply_link(run, &spec, error) &&
           apply_files(run, &spec, error);
}

/* --- the rest */

static bool net_validate(const Resource *resource, GError **error) {
    g_auto(NetSpec) spec = { 0 };
    return net_spec_init(&spec, resource, error);
}

static bool net_watch(Watcher *watcher, const Resource *resource, GError **error) {
    static const unsigned links[] = { NET_INTERFACE, NET_ROW_MASTER, NET_LINK };
    g_autofree char *network = net_network_path(resource);
    g_autofree char *netdev = net_netdev_path(resource);
    for (size_t i = 0; i < G_N_ELEMENTS(links); i++) {
        const char *link = resource_string(resource, links[i]);
        if (link != NULL && *link != '\0' && !watcher_host(watcher, HOST_WATCH_NET, link, error))
            return false;
    }
    return watcher_host(watcher, HOST_WATCH_FILE, network, error) &&
           (netdev == NULL || watcher_host(watcher, HOST_WATCH_FILE, netdev, error));
}

static void net_auto_edges(const Resource *resource, AutoEdges *edges) {
    static const unsigned wants[] = { NET_INTERFACE, NET_ROW_MASTER, NET_LINK };
    const char *peer = resource_string(resource, NET_PEER);
    g_autofree char *network = net_network_path(resource);
    auto_edges_am(edges, "link", resource_string(resource, NET_INTERFACE));
    if (peer != NULL)
        auto_edges_am(edges, "link", peer);
    for (size_t i = 0; i < G_N_ELEMENTS(wants); i++) {
        const char *link = resource_string(resource, wants[i]);
        if (link != NULL && *link != '\0')
            auto_edges_want(edges, "link", link, true);
    }
    if (!resource_bool(resource, NET_PERSIST))
        return;
    g_autofree char *netdev = net_netdev_path(resource);
    auto_edges_am(edges, "path", network);
    if (netdev != NULL)
        auto_edges_am(edges, "path", netdev);
    auto_edges_want_parent(edges, network);
}

/* Lists as they were; what had a lifetime comes back from where it came. */
static Value *list_before(const State *before, unsigned param) {
    const Value *found = state_get(before, param);
    Value *list = value_new_list();
    for (size_t i = 0; value_type(found) == VALUE_LIST && i < value_size(found); i++) {
        const char *text = value_string(value_list_at(found, i));
        if (!g_str_has_suffix(text, " dynamic"))
            value_list_append(list, value_new_string(text));
    }
    return list;
}

static bool list_has(const Value *list, const char *text) {
    for (size_t i = 0; i < value_size(list); i++)
        if (strcmp(value_string(value_list_at(list, i)), text) == 0)
            return true;
    return false;
}

/* Those that were wanted and were not there before: ours to take away where others are left. */
static Value *list_added(Value *wanted, const Value *before) {
    g_autoptr(Value) list = wanted;
    Value *added = value_new_list();
    for (size_t i = 0; i < value_size(list); i++) {
        const char *text = value_string(value_list_at(list, i));
        if (!list_has(before, text))
            value_list_append(added, value_new_string(text));
    }
    return added;
}

static void reverse_lists(const NetSpec *spec, const State *before, Resource *inverse) {
    static const struct {
        unsigned param, no_param;
    } lists[] = { { NET_ADDRS, NET_NO_ADDRS }, { NET_ROUTES, NET_NO_ROUTES } };
    for (size_t i = 0; i < G_N_ELEMENTS(lists); i++) {
        if (!is_asked(spec, lists[i].param))
            continue;
        Value *list = list_before(before, lists[i].param);
        resource_put(inverse, lists[i].no_param,
                     spec->purge == NET_PURGE_NONE
                         ? list_added(wanted_value(spec, lists[i].param), list)
                         : value_new_list());
        resource_put(inverse, lists[i].param, list);
    }
}

/* Default routes that `gateway` cannot say become routes. */
static void reverse_gateway(const NetSpec *spec, const State *before, Resource *inverse) {
    g_autoptr(Value) list = spec->has_gateway ? list_before(before, NET_GATEWAY) : NULL;
    bool plain = true;
    for (size_t i = 0; list != NULL && i < value_size(list); i++) {
        IpPrefix ip;
        plain &= ip_parse(value_string(value_list_at(list, i)), &ip);
    }
    if (list == NULL)
        return;
    if (plain) {
        resource_put(inverse, NET_GATEWAY, g_steal_pointer(&list));
        return;
    }
    g_autoptr(Value) routes = value_ref(resource_get(inverse, NET_ROUTES));
    Value *all = value_new_list();
    for (size_t i = 0; value_type(routes) == VALUE_LIST && i < value_size(routes); i++)
        value_list_append(all, value_ref(value_list_at(routes, i)));
    for (size_t i = 0; i < value_size(list); i++) {
        IpPrefix ip;
        const char *text = value_string(value_list_at(list, i));
        g_autofree char *line =
            ip_parse(text, &ip) ? g_strconcat("default via ", text, NULL) : g_strdup(text);
        value_list_append(all, value_new_string(line));
    }
    resource_put(inverse, NET_GATEWAY, NULL);
    resource_put(inverse, NET_ROUTES, all);
}

static void reverse_rest(const NetSpec *spec, const State *before, Resource *inverse) {
    static const unsigned plain[] = { NET_STATE,      NET_ROW_MTU,    NET_ROW_MAC,
                                      NET_ROW_MASTER, NET_IP_FORWARD, NET_PERSIST };
    for (size_t i = 0; i < G_N_ELEMENTS(plain); i++)
        if (is_asked(spec, plain[i]))
            resource_put(inverse, plain[i], value_ref(state_get(before, plain[i])));
    if (value_type(state_get(before, NET_ROW_MAC)) == VALUE_UNKNOWN)
        resource_put(inverse, NET_ROW_MAC, NULL);
    for (unsigned i = NET_TYPE; i <= NET_MODE; i++)
        resource_put(inverse, i, NULL); /* how it was made does not change */
}

/* It is the link that was there, not one that took its place. */
static bool is_same_link(const NetSpec *spec, const State *before) {
    const Value *type = state_get(before, NET_TYPE);
    return spec->type == NULL ||
           (type != NULL && strcmp(value_string(type), spec->type->name) == 0);
}

/* Who made it deletes it; what was there becomes what it was, if it is there still. */
static Resource *net_reverse(const Resource *resource, const State *before, OnRemove how,
                             GError **error) {
    g_auto(NetSpec) spec = { 0 };
    bool existed = before != NULL && before->exists;
    if (!net_spec_init(&spec, resource, error))
        return NULL;
    if (spec.absent)
        return NULL;
    Resource *inverse = resource_copy(resource);
    resource_put(inverse, NET_OPTIONAL, value_new_bool(true));
    if (!existed || !is_same_link(&spec, before) ||
        (how == ON_REMOVE_REMOVE && spec.type != NULL)) {
        resource_put(inverse, NET_STATE, value_new_string("absent"));
        resource_put(inverse, NET_PERSIST, value_new_bool(false));
        return inverse;
    }
    reverse_lists(&spec, before, inverse);
    reverse_gateway(&spec, before, inverse);
    reverse_rest(&spec, before, inverse);
    return inverse;
}

const Kind kind_net = {
    .name = "net",
    .summary = "Keep a network interface with its addresses and routes",
    .help =
        "Keeps an interface of the running machine up or down, its addresses, its routes, its mtu "
        "and hardware address, and makes virtual links: bridges and what is in them, veth, vxlan, "
        "vlan, bond, dummy, vrf and macvlan. It talks to the kernel by netlink and needs no other "
        "program. What somebody changes is seen at once and put right; an interface that vanishes "
        "is reported, and set up again when it returns.\n\n"
        "What is not set is left alone. `addrs` is the whole set of addresses, and `routes` that "
        "of routes, of those that administrators make: with `purge = \"none\"` others stay. "
        "Addresses that the kernel makes (link-local, loopback, those announced by routers) are "
        "never removed, those with a lifetime, as DHCP gives, only with `purge = \"all\"`; routes "
        "of the kernel, of DHCP, of routers and of routing daemons never. Default routes are only "
        "touched where `gateway` is set or `routes` has one.\n\n"
        "A change of addresses or gateway leaves no gap: new addresses come before old ones go, "
        "and a route takes the place of another in one step. Where a change would cut the ssh "
        "connection that stead itself runs in, because it takes away the address or route that "
        "it uses, plan and apply refuse, unless `force` says that it may be cut.\n\n"
        "All this is the state of the running machine: after a boot the agent makes it anew. So "
        "that it is there also without stead, or before it starts, `persist` writes the same for "
        "systemd-networkd as /etc/systemd/network/05-stead-NAME.network (and .netdev), and never "
        "starts or reloads that service: enable it with `svc \"systemd-networkd\"`. Machines with "
        "ifupdown or NetworkManager should leave the interface out of those. Below `--root` only "
        "these files are kept.\n\n"
        "A bridge, and the interface that a vlan or vxlan stands on, come first by themselves when "
        "they are resources too. When the resource leaves the configuration, a link that was made "
        "is deleted; one that was there gets back the addresses, routes and settings it had.",
    .example =
        "net \"eth0\" {\n"
        "  addrs = { \"192.0.2.10/24\", \"2001:db8::10/64\" },\n"
        "  gateway = { \"192.0.2.1\", \"2001:db8::1\" },\n"
        "  routes = \"10.0.0.0/8 via 192.0.2.254\",\n"
        "}\n"
        "net \"br0\" { type = \"bridge\", addrs = \"10.1.0.1/24\", ip_forward = true }\n"
        "net \"vx7\" {\n"
        "  type = \"vxlan\", id = 7, local_ip = \"192.0.2.10\", remote_ip = \"192.0.2.11\",\n"
        "  master = \"br0\", mtu = 1450,\n"
        "}\n",
    .params = params,
    .n_params = NET_N_PARAMS,
    .flags = KIND_QUICK,
    .validate = net_validate,
    .observe = net_observe,
    .diff = net_diff,
    .apply = net_apply,
    .watch = net_watch,
    .auto_edges = net_auto_edges,
    .reverse = net_reverse,
};
