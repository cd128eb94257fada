/* Stores behind a gateway, for test-conformance.c: the client of etcd asks it over real TLS. */
#include <string.h>

#include "hub/gateway.h"
#include "state/test-fixture.h"

typedef struct {
    Fixture *fixture;
    Hub hub; /* what the gateway needs of one */
    uint16_t port;
    PkiKey *key;
    PkiCertificate *authority;
} Under;

/* Whoever asks is an admin. */
static void dispatch(void *data, HttpRequest *request) {
    Ask *ask = ask_new(data, request);
    ask->role = ROLE_ADMIN;
    ask->who = g_strdup("test");
    http_route_handle(request);
}

static void serve(Under *under) {
    g_autoptr(GError) error = NULL;
    static const char *const names[] = { "127.0.0.1", NULL };
    g_autoptr(PkiKey) key = pki_key_new(&error);
    int64_t now = (int64_t)(loop_wall_now(under->fixture->loop) / G_USEC_PER_SEC);
    g_autoptr(PkiCertificate) certificate =
        pki_sign_server(under->authority, under->key, key, names, now, &error);
    g_assert_no_error(error);
    g_autofree char *pem = pki_certificate_pem(certificate), *secret = pki_key_pem(key);
    HttpServerOptions options = hub_try_options(&under->hub);
    options.address = "127.0.0.1";
    options.port = under->port;
    options.certificate = pem;
    options.key = secret;
    options.dispatch = dispatch;
    under->hub.server = http_server_new(under->fixture->loop, &options, &error);
    g_assert_no_error(error);
    under->port = http_server_port(under->hub.server);
}

static void start(Under *under) {
    g_autoptr(GError) error = NULL;
    Hub *hub = &under->hub;
    g_autofree char *path = g_build_filename(under->fixture->dir, "state.db", NULL);
    *hub = (Hub){ .loop = under->fixture->loop, .asks = g_hash_table_new(NULL, NULL) };
    hub->state = strcmp(under->fixture->kind->kind, "hub-memory") == 0
                     ? store_open_memory(hub->loop)
                     : store_open_sqlite(hub->loop, path, &error);
    g_assert_no_error(error);
    hub->gateway = gateway_new(hub);
    hub->gateway->everything = true;
    serve(under);
}

static void stop(Under *under) {
    Hub *hub = &under->hub;
    ask_cancel_all(hub);
    http_server_free(hub->server);
    gateway_free(hub->gateway);
    store_free(hub->state);
    g_hash_table_unref(hub->asks);
}

static void open_hub(Fixture *fixture) {
    g_autoptr(GError) error = NULL;
    Under *under = g_new0(Under, 1);
    under->fixture = fixture;
    fixture->under = under;
    under->key = pki_key_new(&error);
    g_assert_no_error(error);
    int64_t now = (int64_t)(loop_wall_now(fixture->loop) / G_USEC_PER_SEC);
    under->authority = pki_authority_new(under->key, "test", now, &error);
    g_assert_no_error(error);
    start(under);
    g_autofree char *url = g_strdup_printf("https://127.0.0.1:%u", under->port);
    g_autofree char *ca = pki_certificate_pem(under->authority);
    fixture->store =
        store_open_etcd(fixture->loop, &(StoreEtcdOptions){ .urls = url, .ca = ca }, &error);
    g_assert_no_error(error);
}

/* Another process at the same address; the client goes on. */
static void restart_hub(Fixture *fixture) {
    Under *under = fixture->under;
    stop(under);
    start(under);
}

static void close_hub(Fixture *fixture) {
    Under *under = fixture->under;
    stop(under);
    pki_certificate_free(under->authority);
    pki_key_free(under->key);
    g_free(under);
}

const FixtureKind fixture_kinds[] = {
    { "hub-memory", .open = open_hub, .close = close_hub },
    { "hub-sqlite", true, .open = open_hub, .restart = restart_hub, .close = close_hub },
};

const unsigned n_fixture_kinds = G_N_ELEMENTS(fixture_kinds);
