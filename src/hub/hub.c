#include "hub/hub.h"

#include <string.h>
#include <sys/resource.h>

#include "base/error.h"
#include "fleet/layout.h"
#include "hub/gateway.h"

/* "ADDRESS:PORT", "[ADDRESS]:PORT", ":PORT", "ADDRESS" */
static bool parse_listen(const char *listen, char **ret_address, uint16_t *ret_port,
                         GError **error) {
    const char *text = listen ? listen : "", *colon = strrchr(text, ':');
    g_autofree char *address = NULL;
    guint64 port = HUB_PORT;
    if (*text == '[') {
        const char *end = strchr(text, ']');
        address = g_strndup(text + 1, end ? (size_t)(end - text - 1) : 0);
        colon = end && end[1] == ':' ? end + 1 : NULL;
    } else if (colon && strchr(text, ':') == colon) {
        address = g_strndup(text, (size_t)(colon - text));
    } else {
        address = g_strdup(text);
        colon = NULL;
    }
    if (colon && colon[1] && !g_ascii_string_to_unsigned(colon + 1, 10, 0, 65535, &port, NULL)) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "listen on '%s': write it as 192.0.2.1:%u, [2001:db8::1]:%u or :%u", listen,
                    HUB_PORT, HUB_PORT, HUB_PORT);
        return false;
    }
    *ret_address = *address ? g_steal_pointer(&address) : g_strdup("::");
    *ret_port = (uint16_t)port;
    return true;
}

/* any: what to say when it listens on all addresses. */
static char *url_of(const char *address, uint16_t port, const char *any) {
    bool is_any = strcmp(address, "::") == 0 || strcmp(address, "0.0.0.0") == 0;
    const char *name = is_any ? any : address;
    return g_strdup_printf(strchr(name, ':') ? "https://[%s]:%u" : "https://%s:%u", name, port);
}

static bool start_server(Hub *hub, const HubOptions *options, GError **error) {
    g_autofree char *address = NULL, *certificate = NULL, *key = NULL;
    HttpServerOptions server = hub_try_options(hub);
    if (!parse_listen(options->listen, &address, &server.port, error) ||
        !setup_server(hub, options->names, &certificate, &key, error))
        return false;
    const HttpServerOptions *limits = &options->limits;
    server.header_seconds = limits->header_seconds;
    server.body_seconds = limits->body_seconds;
    server.idle_seconds = limits->idle_seconds;
    server.heartbeat_seconds = limits->heartbeat_seconds;
    server.connections = limits->connections;
    server.connections_per_address = limits->connections_per_address;
    server.stream_queue = limits->stream_queue;
    server.address = address;
    server.certificate = certificate;
    server.key = key;
    server.client_ca = hub->authority_pem;
    hub->server = http_server_new(hub->loop, &server, error);
    memset(key, 0, strlen(key));
    if (!hub->server)
        return false;
    uint16_t port = http_server_port(hub->server);
    hub->url = url_of(address, port, g_get_host_name());
    g_autofree char *local = url_of(address, port, "127.0.0.1");
    return setup_note_url(hub, local, error);
}

/* A watch of etcd is a stream to it: agents have tens of thousands. Other stores are here. */
static void share_watches(Hub *hub) {
    g_autoptr(GBytes) root = key_of(LAYOUT_ROOT, "");
    if (strcmp(store_kind(hub->state), "etcd") == 0)
        hub->shared = store_open_shared(hub->state, root);
}

/* Its feed tells from before the store is read. */
static void start_counting(Hub *hub, const HubOptions *options) {
    UsageCount limit = { options->host_bytes ? options->host_bytes : HUB_HOST_BYTES,
                         options->host_keys ? options->host_keys : HUB_HOST_KEYS };
    hub->usage = usage_new(hub->state, limit);
}

static bool start_feed(Hub *hub, const HubOptions *options, GError **error) {
    g_autoptr(GBytes) key = key_of(KEY_AUTHORITY, "");
    g_autoptr(StoreAnswer) answer = store_wait(store_get(hub->state, key, NULL, NULL), error);
    if (!answer)
        return false;
    start_counting(hub, options);
    hub->feed = feed_new(hub, answer->revision);
    return true;
}

static bool start_rollout(Hub *hub, const HubOptions *options, GError **error) {
    g_autofree char *name = setup_name(hub, error);
    if (!name)
        return false;
    hub->rollout = rollout_new(hub->loop, hub->state, name);
    hub->workers = worker_pool_new(hub->loop, 2);
    hub->upkeep = upkeep_new(hub, options->keep_drift_days, options->keep_audit_days);
    unsigned minutes = options->keep_history_minutes;
    hub->history =
        history_new(hub, (uint64_t)(minutes ? minutes : HUB_KEEP_HISTORY) * 60 * G_USEC_PER_SEC);
    hub->channels = channels_new(hub);
    return true;
}

Hub *hub_new(const HubOptions *options, GError **error) {
    g_autoptr(Hub) hub = g_new0(Hub, 1);
    hub->loop = options->loop;
    hub->state = options->state;
    hub->data = g_strdup(options->data);
    hub->asks = g_hash_table_new(NULL, NULL);
    hub->guesses = guesses_new();
    hub->gateway = gateway_new(hub);
    share_watches(hub);
    if (!setup_directory(hub, error) || !setup_authority(hub, error) ||
        !start_feed(hub, options, error) || !start_rollout(hub, options, error) ||
        (options->listen && !start_server(hub, options, error)))
        return NULL;
    return g_steal_pointer(&hub);
}

void hub_free(Hub *hub) {
    if (!hub)
        return;
    ask_cancel_all(hub);
    http_server_free(hub->server);
    worker_pool_free(hub->workers);
    upkeep_free(hub->upkeep);
    history_free(hub->history);
    channels_free(hub->channels);
    rollout_free(hub->rollout);
    feed_free(hub->feed);
    gateway_free(hub->gateway);
    usage_free(hub->usage);
    store_free(hub->shared);
    g_hash_table_unref(hub->asks);
    guesses_free(hub->guesses);
    value_unref(hub->openapi);
    pki_key_free(hub->authority_key);
    pki_certificate_free(hub->authority);
    g_free(hub->authority_pem);
    g_free(hub->fingerprint);
    g_free(hub->first_token);
    g_free(hub->url);
    g_free(hub->data);
    g_free(hub);
}

void hub_raise_descriptors(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit); /* fewer connections then */
}

HttpServerOptions hub_try_options(Hub *hub) {
    return (HttpServerOptions){
        .routes = hub_routes, .n_routes = hub_n_routes, .dispatch = hub_dispatch, .data = hub
    };
}

const char *hub_url(const Hub *hub) {
    return hub->url;
}

const char *hub_ca_fingerprint(const Hub *hub) {
    return hub->fingerprint;
}

const char *hub_first_token(const Hub *hub) {
    return hub->first_token;
}
