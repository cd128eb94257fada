/* The handlers over a store in memory and virtual time, without connections. */
#include "hub/hub.h"

#include <glib/gstdio.h>
#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "bundle/sign-statement.h"
#include "fleet/layout.h"
#include "pki/pki.h"

typedef struct {
    Loop *loop;
    Store *state;
    Hub *hub;
    char *data, *token;
    LoopTimer *timer;

    unsigned status;
    Value *value;
    char *text;
} Site;

static void on_answered(void *data, unsigned status, const char *content_type, GBytes *body) {
    Site *site = data;
    size_t size;
    const char *text = g_bytes_get_data(body, &size);
    site->status = status;
    g_free(site->text);
    site->text = g_strndup(text, size);
    value_unref(site->value);
    site->value = strcmp(content_type, "application/json") == 0
                      ? json_parse(text, size, "answer", NULL)
                      : NULL;
    loop_quit(site->loop);
}

/* As whoever has the token, or the certificate. The answer is in site. */
static unsigned ask_as(Site *site, const char *method, const char *url, const char *token,
                       const PkiCertificate *certificate, const char *body) {
    HttpServerOptions options = hub_try_options(site->hub);
    g_autofree char *bearer = g_strconcat("Bearer ", token, NULL);
    const char *const headers[] = { "Authorization", bearer, NULL };
    g_autoptr(GBytes) bytes = g_bytes_new(body, body ? strlen(body) : 0);
    g_autoptr(GBytes) der = certificate ? pki_certificate_der(certificate) : NULL;
    site->status = 0;
    http_try(&options, method, url, token ? headers : NULL, bytes, der, on_answered, site);
    g_assert_true(loop_run(site->loop, NULL)); /* also takes the quit of an answer at once */
    g_assert_cmpuint(site->status, !=, 0);
    return site->status;
}

static unsigned ask(Site *site, const char *method, const char *url, const char *body) {
    return ask_as(site, method, url, site->token, NULL, body);
}

static void expect(const Site *site, const char *part) {
    if (!strstr(site->text, part))
        g_error("expected '%s' in: %s", part, site->text);
}

static void stop(void *data) {
    loop_quit(data);
}

static void pass(Site *site, int64_t seconds) {
    loop_timer_set(site->loop, &site->timer,
                   loop_now(site->loop) + (uint64_t)seconds * G_USEC_PER_SEC, stop, site->loop);
    g_assert_true(loop_run(site->loop, NULL));
}

static Hub *open_hub(const Site *site) {
    g_autoptr(GError) error = NULL;
    HubOptions options = { .loop = site->loop, .state = site->state, .data = site->data };
    Hub *hub = hub_new(&options, &error);
    g_assert_no_error(error);
    return hub;
}

static Site site_new(void) {
    g_autoptr(GError) error = NULL;
    Site site = { .loop = loop_new_virtual(&error) };
    site.state = store_open_memory(site.loop);
    site.data = g_dir_make_tmp("stead-hub-XXXXXX", &error);
    site.hub = open_hub(&site);
    site.token = g_strdup(hub_first_token(site.hub));
    g_assert_nonnull(site.token);
    return site;
}

static void site_clear(Site *site) {
    hub_free(site->hub);
    store_free(site->state);
    loop_timer_clear(&site->timer);
    loop_free(site->loop);
    value_unref(site->value);
    g_autofree char *token = g_build_filename(site->data, "admin-token", NULL);
    g_autofree char *ca = g_build_filename(site->data, "ca.pem", NULL);
    g_autofree char *name = g_build_filename(site->data, "name", NULL);
    g_assert_cmpint(g_remove(name), ==, 0);
    (void)g_remove(token);
    g_assert_cmpint(g_remove(ca), ==, 0);
    g_assert_cmpint(g_rmdir(site->data), ==, 0);
    g_free(site->data);
    g_free(site->token);
    g_free(site->text);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Site, site_clear)

/* --- tests ------------------------------------------------------------------------------------ */

static void first_start(void) {
    g_auto(Site) site = site_new();
    g_autofree char *path = g_build_filename(site.data, "admin-token", NULL);
    g_autofree char *text = NULL;
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_assert_cmpstr(g_strchomp(text), ==, site.token);
    GStatBuf st;
    g_assert_cmpint(g_stat(path, &st), ==, 0);
    g_assert_cmpuint(st.st_mode & 0777, ==, 0600);

    /* Another over the same store is the same authority, and has no token to tell. */
    g_autofree char *print = g_strdup(hub_ca_fingerprint(site.hub));
    hub_free(site.hub);
    site.hub = open_hub(&site);
    g_assert_cmpstr(hub_ca_fingerprint(site.hub), ==, print);
    g_assert_null(hub_first_token(site.hub));
    g_assert_cmpuint(ask(&site, "GET", "/v1/hosts", NULL), ==, 200);
    g_assert_cmpuint(ask_as(&site, "GET", "/v1/ca", NULL, NULL, NULL), ==, 200);
    expect(&site, print);
    g_assert_cmpuint(ask_as(&site, "GET", "/healthz", NULL, NULL, NULL), ==, 200);
    g_assert_cmpuint(ask(&site, "GET", "/metrics", NULL), ==, 200);
    expect(&site, "\n# TYPE stead_hub_requests_total counter\nstead_hub_requests_total 0\n");
}

/* A start that was killed after it wrote the token, before the store had it. */
static void interrupted_start(void) {
    g_auto(Site) site = site_new();
    hub_free(g_steal_pointer(&site.hub));
    store_free(site.state);
    site.state = store_open_memory(site.loop);
    site.hub = open_hub(&site);
    g_assert_cmpstr(hub_first_token(site.hub), ==, site.token);
}

static void describes_itself(void) {
    g_auto(Site) site = site_new();
    g_assert_cmpuint(ask_as(&site, "GET", "/v1/openapi.json", NULL, NULL, NULL), ==, 200);
    const Value *paths = value_map_get(site.value, "paths");
    for (unsigned i = 0; i < hub_n_routes; i++) {
        const HttpRoute *route = &hub_routes[i];
        g_autofree char *method = g_ascii_strdown(route->method, -1);
        const Value *path = value_map_get(paths, route->path);
        g_assert_nonnull(path);
        g_assert_nonnull(value_map_get(path, method));
        g_assert_true(*route->summary && g_str_has_suffix(route->help, "."));
    }
}

static char *new_token(Site *site, const char *wish) {
    g_assert_cmpuint(ask(site, "POST", "/v1/tokens", wish), ==, 201);
    return g_strdup(value_map_string(site->value, "token", NULL));
}

static void roles(void) {
    g_auto(Site) site = site_new();
    g_autofree char *reader = new_token(&site, "{\"name\":\"ann\",\"role\":\"reader\"}");
    g_autofree char *operator= new_token(&site, "{\"name\":\"bob\",\"role\":\"operator\"}");
    static const char person[] = "{\"name\":\"x\",\"role\":\"admin\"}", host[] = "{\"host\":\"w\"}";
    const struct {
        const char *token, *method, *path, *body;
        unsigned status;
    } rows[] = {
        { NULL, "GET", "/v1/hosts", NULL, 401 },
        { reader, "GET", "/v1/hosts", NULL, 200 },
        { reader, "GET", "/metrics", NULL, 200 },
        { reader, "GET", "/v1/audit", NULL, 403 },
        { reader, "POST", "/v1/tokens", host, 403 },
        { operator, "POST", "/v1/tokens", host, 201 },
        { operator, "POST", "/v1/tokens", person, 403 },
        { operator, "GET", "/v1/audit", NULL, 200 },
        { operator, "DELETE", "/v1/tokens/x", NULL, 403 },
        { operator, "POST", "/v1/renew", "{}", 403 },
        { site.token, "POST", "/v1/renew", "{}", 403 },
        { site.token, "DELETE", "/v1/tokens/x", NULL, 404 },
        { site.token, "GET", "/v1/hosts/none", NULL, 404 },
        { site.token, "GET", "/v1/hosts?limit=0", NULL, 400 },
        { site.token, "POST", "/v1/tokens", "{}", 400 },
        { site.token, "POST", "/v1/tokens", "{\"host\":\"../x\"}", 400 },
        { site.token, "POST", "/v1/tokens", "{\"host\":\"w\",\"role\":\"admin\"}", 400 },
        { site.token, "POST", "/v1/tokens", "{\"name\":\"x\",\"role\":\"host\"}", 400 },
        { site.token, "POST", "/v1/tokens", "{\"host\":\"w\",\"ttl\":0}", 400 },
        { site.token, "POST", "/v1/tokens", "[]", 400 },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_test_message("%s %s %s", rows[i].method, rows[i].path, rows[i].body);
        g_assert_cmpuint(
            ask_as(&site, rows[i].method, rows[i].path, rows[i].token, NULL, rows[i].body), ==,
            rows[i].status);
    }
}

static void tokens_end(void) {
    g_auto(Site) site = site_new();
    g_autofree char *brief = new_token(&site, "{\"name\":\"ann\",\"role\":\"reader\",\"ttl\":60}");
    g_assert_cmpuint(ask_as(&site, "GET", "/v1/hosts", brief, NULL, NULL), ==, 200);
    pass(&site, 61);
    g_assert_cmpuint(ask_as(&site, "GET", "/v1/hosts", brief, NULL, NULL), ==, 401);
    expect(&site, "the token has expired");
    g_autofree char *other = new_token(&site, "{\"name\":\"bob\",\"role\":\"reader\"}");
    g_autofree char *path =
        g_strconcat("/v1/tokens/", value_map_string(site.value, "id", ""), NULL);
    g_assert_cmpuint(ask(&site, "GET", "/v1/tokens?limit=2", NULL), ==, 200);
    g_assert_cmpuint(value_size(value_map_get(site.value, "tokens")), ==, 2);
    g_assert_nonnull(value_map_get(site.value, "next"));
    g_assert_null(strstr(site.text, "hash"));
    g_assert_cmpuint(ask(&site, "DELETE", path, NULL), ==, 200);
    g_assert_cmpuint(ask_as(&site, "GET", "/v1/hosts", other, NULL, NULL), ==, 401);
    expect(&site, "not known");
}

static void guesses(void) {
    g_auto(Site) site = site_new();
    g_autofree char *wrong = g_strdup(site.token);
    wrong[strlen(wrong) - 1] ^= 1;
    for (unsigned i = 0; i < 10; i++)
        g_assert_cmpuint(ask_as(&site, "GET", "/v1/hosts", wrong, NULL, NULL), ==, 401);
    g_assert_cmpuint(ask_as(&site, "GET", "/v1/hosts", wrong, NULL, NULL), ==, 429);
    g_assert_cmpuint(ask_as(&site, "POST", "/v1/join", NULL, NULL, "{\"token\":\"x\"}"), ==, 429);
    expect(&site, "too many wrong tokens from 127.0.0.1");
    pass(&site, 7);
    g_assert_cmpuint(ask(&site, "GET", "/v1/hosts", NULL), ==, 200);
    g_assert_cmpuint(ask_as(&site, "GET", "/v1/hosts", "x", NULL, NULL), ==, 401);
    g_assert_cmpuint(ask_as(&site, "GET", "/v1/hosts", "x", NULL, NULL), ==, 429);
}

/* --- hosts */

static char *with_request(const char *member, const char *token) {
    g_autoptr(GError) error = NULL;
    g_autoptr(PkiKey) key = pki_key_new(&error);
    g_autofree char *request = pki_request_new(key, "whatever", &error);
    g_assert_no_error(error);
    g_autoptr(Value) map = value_new_map();
    if (token)
        value_map_set(map, member, value_new_string(token));
    value_map_set(map, "request", value_new_string(request));
    return json_print(map, JSON_COMPACT);
}

static PkiCertificate *given_certificate(const Site *site) {
    g_autoptr(GError) error = NULL;
    const char *pem = value_map_string(site->value, "certificate", "");
    PkiCertificate *certificate = pki_certificate_parse(pem, strlen(pem), "given", &error);
    g_assert_no_error(error);
    return certificate;
}

static PkiCertificate *join_host(Site *site, const char *host) {
    g_autofree char *wish = g_strdup_printf("{\"host\":\"%s\"}", host);
    g_autofree char *token = new_token(site, wish);
    g_autofree char *body = with_request("token", token);
    g_assert_cmpuint(ask_as(site, "POST", "/v1/join", NULL, NULL, body), ==, 201);
    PkiCertificate *certificate = given_certificate(site);
    g_autofree char *other = with_request("token", token);
    g_assert_cmpuint(ask_as(site, "POST", "/v1/join", NULL, NULL, other), ==, 401);
    expect(site, "it was used or removed");
    return certificate;
}

/* The same request once more, because its answer was lost. */
static void joining_again(void) {
    g_auto(Site) site = site_new();
    g_autofree char *token = new_token(&site, "{\"host\":\"web1\",\"ttl\":60}");
    g_autofree char *body = with_request("token", token);
    g_assert_cmpuint(ask_as(&site, "POST", "/v1/join", NULL, NULL, body), ==, 201);
    g_autoptr(PkiCertificate) lost = given_certificate(&site);
    g_assert_cmpuint(ask_as(&site, "POST", "/v1/join", NULL, NULL, body), ==, 201);
    g_autoptr(PkiCertificate) web1 = given_certificate(&site);
    g_assert_cmpuint(ask_as(&site, "GET", "/v1/hosts", NULL, lost, NULL), ==, 403);
    expect(&site, "revoked");
    g_assert_cmpuint(ask_as(&site, "GET", "/v1/hosts", NULL, web1, NULL), ==, 403);
    expect(&site, "host:web1 may not do this");
    g_assert_cmpuint(ask(&site, "POST", "/v1/hosts/web1/revoke", "{}"), ==, 200);
    g_assert_cmpuint(ask_as(&site, "POST", "/v1/join", NULL, NULL, body), ==, 401);
    pass(&site, 61);
    g_assert_cmpuint(ask_as(&site, "POST", "/v1/join", NULL, NULL, body), ==, 401);
    expect(&site, "the token has expired");
}

static void joining(void) {
    g_auto(Site) site = site_new();
    g_autoptr(PkiCertificate) web1 = join_host(&site, "web1");
    PkiRole role;
    g_autofree char *name = pki_certificate_name(web1, &role);
    g_assert_cmpstr(name, ==, "web1"); /* as the token says, not the request */
    g_assert_cmpuint(ask(&site, "GET", "/v1/hosts/web1", NULL), ==, 200);
    g_assert_false(value_map_bool(site.value, "revoked", true));
    g_assert_cmpuint(ask_as(&site, "GET", "/v1/hosts", NULL, web1, NULL), ==, 403);
    expect(&site, "host:web1 may not do this");

    g_autofree char *token = new_token(&site, "{\"host\":\"web2\",\"ttl\":60}");
    g_autofree char *late = with_request("token", token), *no_token = with_request("x", "y");
    g_assert_cmpuint(ask_as(&site, "GET", "/v1/hosts", token, NULL, NULL), ==, 401);
    expect(&site, "for joining only");
    g_autofree char *bad = g_strdup_printf("{\"token\":\"%s\",\"request\":\"x\"}", token);
    g_assert_cmpuint(ask_as(&site, "POST", "/v1/join", NULL, NULL, bad), ==, 400);
    pass(&site, 61);
    g_assert_cmpuint(ask_as(&site, "POST", "/v1/join", NULL, NULL, late), ==, 401);
    expect(&site, "the token has expired");
    g_assert_cmpuint(ask_as(&site, "POST", "/v1/join", NULL, NULL, no_token), ==, 401);
    g_autofree char *admin = with_request("token", site.token);
    g_assert_cmpuint(ask_as(&site, "POST", "/v1/join", NULL, NULL, admin), ==, 403);
    expect(&site, "this token is not for joining");
}

static void certificates_end(void) {
    g_auto(Site) site = site_new(), foreign = site_new();
    g_autoptr(PkiCertificate) web1 = join_host(&site, "web1");
    g_autofree char *body = with_request("x", NULL);
    g_assert_cmpuint(ask_as(&foreign, "POST", "/v1/renew", NULL, web1, body), ==, 401);
    expect(&foreign, "from another authority");
    g_assert_cmpuint(ask_as(&site, "POST", "/v1/renew", NULL, web1, body), ==, 201);
    g_autoptr(PkiCertificate) renewed = given_certificate(&site);
    g_assert_cmpuint(ask_as(&site, "POST", "/v1/renew", NULL, web1, body), ==, 201);

    g_assert_cmpuint(ask(&site, "POST", "/v1/hosts/web1/revoke", "{}"), ==, 200);
    const PkiCertificate *const both[] = { web1, renewed };
    for (unsigned i = 0; i < 2; i++) {
        g_assert_cmpuint(ask_as(&site, "POST", "/v1/renew", NULL, both[i], body), ==, 403);
        expect(&site, "the certificate of host:web1 was revoked");
    }
    g_autoptr(PkiCertificate) again = join_host(&site, "web1");
    g_assert_cmpuint(ask_as(&site, "POST", "/v1/renew", NULL, web1, body), ==, 403);
    hub_free(g_steal_pointer(&site.hub)); /* it looks after its fleet each second */
    pass(&site, 91 * 86400);
    site.hub = open_hub(&site);
    g_assert_cmpuint(ask_as(&site, "POST", "/v1/renew", NULL, again, body), ==, 401);
    expect(&site, "it expired on");
}

static void count_status(void *data, unsigned status, const char *content_type, GBytes *body) {
    unsigned *statuses = data;
    statuses[statuses[0] ? 1 : 0] = status;
}

/* Both read before either writes. */
static void renewed_while_revoked(void) {
    g_auto(Site) site = site_new();
    g_autoptr(PkiCertificate) web1 = join_host(&site, "web1");
    HttpServerOptions options = hub_try_options(site.hub);
    g_autofree char *bearer = g_strconcat("Bearer ", site.token, NULL);
    const char *const headers[] = { "Authorization", bearer, NULL };
    g_autofree char *text = with_request("x", NULL);
    g_autoptr(GBytes) request = g_bytes_new(text, strlen(text)), nothing = g_bytes_new("{}", 2);
    g_autoptr(GBytes) der = pki_certificate_der(web1);
    unsigned statuses[2] = { 0 };
    http_try(&options, "POST", "/v1/renew", NULL, request, der, count_status, statuses);
    http_try(&options, "POST", "/v1/hosts/web1/revoke", headers, nothing, NULL, count_status,
             statuses);
    pass(&site, 1);
    g_assert_cmpuint(statuses[0], ==, 201);
    g_assert_cmpuint(statuses[1], ==, 200);
    g_assert_cmpuint(ask(&site, "GET", "/v1/hosts/web1", NULL), ==, 200);
    g_assert_true(value_map_bool(site.value, "revoked", false));
    g_assert_cmpuint(ask_as(&site, "POST", "/v1/renew", NULL, web1, text), ==, 403);
}

/* A certificate the authority really signed, of which the store knows nothing. */
static void unknown_certificate(void) {
    g_auto(Site) site = site_new();
    g_autoptr(PkiCertificate) web1 = join_host(&site, "web1");
    g_autoptr(GBytes) prefix = g_bytes_new_static("hub/certificates/", 17);
    g_autoptr(StoreAnswer) gone =
        store_wait(store_delete(site.state, prefix, true, NULL, NULL), NULL);
    g_assert_nonnull(gone);
    g_assert_cmpuint(ask_as(&site, "POST", "/v1/renew", NULL, web1, "{}"), ==, 403);
}

static void audit(void) {
    g_auto(Site) site = site_new();
    g_autoptr(PkiCertificate) web1 = join_host(&site, "web1");
    g_assert_cmpuint(ask(&site, "POST", "/v1/hosts/web1/revoke", "{}"), ==, 200);
    g_assert_cmpuint(ask(&site, "GET", "/v1/audit", NULL), ==, 200);
    const Value *records = value_map_get(site.value, "records");
    static const struct {
        const char *who, *action, *subject;
    } rows[] = {
        { "token:first-admin", "token.new", "web1" },
        { "host:web1", "host.join", "web1" },
        { "token:first-admin", "host.revoke", "web1" },
    };
    g_assert_cmpuint(value_size(records), ==, G_N_ELEMENTS(rows));
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        const Value *record = value_list_at(records, i);
        g_assert_cmpstr(value_map_string(record, "who", ""), ==, rows[i].who);
        g_assert_cmpstr(value_map_string(record, "action", ""), ==, rows[i].action);
        g_assert_cmpstr(value_map_string(record, "subject", ""), ==, rows[i].subject);
    }
    const Value *last = value_list_at(records, 2);
    const Value *before = value_map_get(value_map_get(last, "before"), "hub/hosts/web1");
    const Value *after = value_map_get(value_map_get(last, "after"), "hub/hosts/web1");
    g_assert_false(value_map_bool(before, "revoked", true));
    g_assert_true(value_map_bool(after, "revoked", false));
    g_assert_null(strstr(site.text, site.token));
}

static void listens_where_told(void) {
    g_autoptr(GError) error = NULL;
    g_autoptr(Loop) loop = loop_new(&error);
    Store *state = store_open_memory(loop);
    g_autofree char *data = g_dir_make_tmp("stead-hub-XXXXXX", NULL);
    const struct {
        const char *listen, *url; /* NULL: refused */
    } rows[] = {
        { "127.0.0.1:0", "https://127.0.0.1:" },
        { "[::1]:0", "https://[::1]:" },
        { ":0", "https://" },
        { "127.0.0.1:x", NULL },
        { "127.0.0.1:99999", NULL },
        { "hub.example:0", NULL },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        HubOptions options = {
            .loop = loop, .state = state, .data = data, .listen = rows[i].listen
        };
        g_autoptr(Hub) hub = hub_new(&options, &error);
        g_assert_true((hub != NULL) == (rows[i].url != NULL));
        g_assert_true(!hub || g_str_has_prefix(hub_url(hub), rows[i].url));
        g_clear_error(&error);
    }
    store_free(state);
    g_autofree char *token = g_build_filename(data, "admin-token", NULL);
    g_autofree char *ca = g_build_filename(data, "ca.pem", NULL);
    g_autofree char *url = g_build_filename(data, "url", NULL);
    g_autofree char *name = g_build_filename(data, "name", NULL);
    g_assert_cmpint(g_remove(name) | g_remove(token) | g_remove(ca) | g_remove(url) | g_rmdir(data),
                    ==, 0);
}

/* --- the fleet */

static void put(Site *site, const char *key, const char *text) {
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) name = g_bytes_new(key, strlen(key));
    g_autoptr(GBytes) value = g_bytes_new(text, strlen(text));
    g_autoptr(StoreAnswer) answer =
        store_wait(store_put(site->state, name, value, 0, NULL, NULL), &error);
    g_assert_no_error(error);
}

/* NULL: it is not there. Caller frees. */
static char *look(Site *site, const char *key) {
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) name = g_bytes_new(key, strlen(key));
    g_autoptr(StoreAnswer) answer = store_wait(store_get(site->state, name, NULL, NULL), &error);
    g_assert_no_error(error);
    const StoreEntry *entry = store_answer_entry(answer);
    return entry ? g_strndup(g_bytes_get_data(entry->value, NULL), g_bytes_get_size(entry->value))
                 : NULL;
}

static void members(void) {
    g_auto(Site) site = site_new();
    static const char *const wrong[] = {
        "{\"host\":\"web1\",\"labels\":{\"a b\":\"x\"}}",
        "{\"host\":\"web1\",\"labels\":[]}",
        "{\"host\":\"web1\",\"labels\":{\"a\":1}}",
        "{\"host\":\"web1\",\"grants\":[1]}",
        "{\"host\":\"web1\",\"grants\":[\"a//b\"]}",
        "{\"name\":\"ann\",\"role\":\"reader\",\"labels\":{\"a\":\"b\"}}",
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++)
        g_assert_cmpuint(ask(&site, "POST", "/v1/tokens", wrong[i]), ==, 400);
    g_autofree char *token =
        new_token(&site, "{\"host\":\"web1\",\"labels\":{\"role\":\"web\"},\"grants\":[\"lb/\"]}");
    g_autofree char *body = with_request("token", token);
    g_assert_cmpuint(ask_as(&site, "POST", "/v1/join", NULL, NULL, body), ==, 201);
    g_autofree char *joined = look(&site, LAYOUT_MEMBER "web1");
    g_assert_cmpstr(joined, ==, "{\"grants\":[\"lb/\"],\"labels\":{\"role\":\"web\"}}");
    /* A token without them leaves them as they are. */
    g_autoptr(PkiCertificate) again = join_host(&site, "web1");
    g_assert_cmpuint(ask(&site, "GET", "/v1/hosts/web1", NULL), ==, 200);
    expect(&site, "\"labels\":{\"role\":\"web\"}");
    g_assert_cmpuint(ask(&site, "POST", "/v1/hosts/web1/change",
                         "{\"labels\":{\"site\":\"x\"},\"remove_labels\":[\"role\"],"
                         "\"grants\":[\"a\"],\"remove_grants\":[\"lb/\"]}"),
                     ==, 200);
    g_autofree char *changed = look(&site, LAYOUT_MEMBER "web1");
    g_assert_cmpstr(changed, ==, "{\"grants\":[\"a\"],\"labels\":{\"site\":\"x\"}}");
    g_assert_cmpuint(ask(&site, "POST", "/v1/hosts/none/change", "{}"), ==, 404);
    put(&site, LAYOUT_FACTS "web1", "{\"facts\":{}}");
    put(&site, LAYOUT_DRIFT "web1/1", "{}");
    put(&site, LAYOUT_DRIFT "web10/1", "{}");
    g_assert_cmpuint(ask(&site, "POST", "/v1/hosts/web1/revoke", "{}"), ==, 200);
    static const char *const gone[] = { LAYOUT_MEMBER "web1", LAYOUT_FACTS "web1",
                                        LAYOUT_DRIFT "web1/1" };
    for (unsigned i = 0; i < G_N_ELEMENTS(gone); i++)
        g_assert_null(look(&site, gone[i]));
    g_autofree char *other = look(&site, LAYOUT_DRIFT "web10/1");
    g_assert_nonnull(other);
    g_assert_cmpuint(ask(&site, "POST", "/v1/hosts/web1/change", "{}"), ==, 409);
}

/* The bundle of a directory with that main.lua. */
static GBytes *packed_of(const char *text, char ret_digest[DIGEST_HEX_SIZE]) {
    g_autoptr(GError) error = NULL;
    g_autofree char *directory = g_dir_make_tmp("stead-site-XXXXXX", &error);
    g_autofree char *path = g_build_filename(directory, BUNDLE_MAIN, NULL);
    g_assert_true(g_file_set_contents(path, text, -1, &error));
    g_autoptr(Bundle) bundle = bundle_of_directory(directory, BUNDLE_MAIN, &error);
    g_assert_no_error(error);
    g_assert_cmpint(g_remove(path) | g_rmdir(directory), ==, 0);
    g_strlcpy(ret_digest, bundle->digest, DIGEST_HEX_SIZE);
    return bundle_write(bundle, &error);
}

static unsigned send_bundle(Site *site, const char *digest, GBytes *packed, const char *token) {
    HttpServerOptions options = hub_try_options(site->hub);
    g_autofree char *bearer = g_strconcat("Bearer ", token, NULL);
    const char *const headers[] = { "Authorization", bearer, NULL };
    g_autofree char *url = g_strconcat("/v1/bundles/", digest, NULL);
    site->status = 0;
    http_try(&options, "PUT", url, headers, packed, NULL, on_answered, site);
    g_assert_true(loop_run(site->loop, NULL));
    return site->status;
}

static unsigned publish(Site *site, const SigningKey *key, unsigned record, const char *digest,
                        const char *previous, const char *to) {
    g_autoptr(GError) error = NULL;
    Statement statement = { .record = record, .time = 1, .message = (char[]){ "why" } };
    g_strlcpy(statement.digest, digest, DIGEST_HEX_SIZE);
    g_strlcpy(statement.previous, previous, DIGEST_HEX_SIZE);
    g_autofree char *text = statement_sign(&statement, key, &error);
    g_assert_no_error(error);
    g_autoptr(Value) wish = value_new_map();
    value_map_set(wish, "statement", value_new_string(text));
    value_map_set(wish, "to", value_new_string(to));
    g_autofree char *body = json_print(wish, JSON_COMPACT);
    return ask(site, "POST", "/v1/deploys", body);
}

static unsigned set_key(Site *site, const SigningKey *key, const char *token) {
    g_autofree char *line = public_key_line(signing_key_public(key), "ada");
    g_autofree char *body = g_strdup_printf("{\"keys\":\"%s\"}", line);
    return ask_as(site, "PUT", "/v1/keys", token, NULL, body);
}

static void deploys(void) {
    g_auto(Site) site = site_new();
    char digest[DIGEST_HEX_SIZE];
    g_autoptr(SigningKey) key = signing_key_new(NULL), other = signing_key_new(NULL);
    g_autofree char *reader = new_token(&site, "{\"name\":\"ann\",\"role\":\"reader\"}");
    g_autofree char *operator= new_token(&site, "{\"name\":\"bob\",\"role\":\"operator\"}");
    g_autoptr(GBytes) packed = packed_of("x = 1\n", digest);
    g_autoptr(GBytes) short_one = g_bytes_new_from_bytes(packed, 0, 10);
    g_assert_cmpuint(ask(&site, "GET", "/v1/keys", NULL), ==, 404);
    g_assert_cmpuint(publish(&site, key, 1, digest, "", "all"), ==, 409);
    expect(&site, "this fleet has no list of keys");
    g_assert_cmpuint(set_key(&site, key, operator), ==, 403);
    g_assert_cmpuint(set_key(&site, key, site.token), ==, 200);
    g_assert_cmpuint(set_key(&site, other, site.token), ==, 409);
    g_assert_cmpuint(ask(&site, "PUT", "/v1/keys", "{\"keys\":\"stead keys 1\\nx\"}"), ==, 400);
    g_assert_cmpuint(ask(&site, "PUT", "/v1/keys", "{}"), ==, 400);
    g_assert_cmpuint(publish(&site, key, 1, digest, "", "all"), ==, 404);
    expect(&site, "is not there; upload it first");
    g_assert_cmpuint(send_bundle(&site, digest, packed, reader), ==, 403);
    g_assert_cmpuint(send_bundle(&site, "x", packed, operator), ==, 400);
    g_assert_cmpuint(send_bundle(&site, digest, short_one, operator), ==, 400);
    g_assert_cmpuint(send_bundle(&site, digest, packed, operator), ==, 201);
    g_assert_cmpuint(publish(&site, other, 1, digest, "", "all"), ==, 409);
    g_assert_cmpuint(publish(&site, key, 2, digest, digest, "all"), ==, 409);
    g_assert_cmpuint(publish(&site, key, 1, digest, "", "role="), ==, 400);
    g_assert_cmpuint(publish(&site, key, 1, digest, "", "role=web"), ==, 201);
    g_assert_cmpuint(ask_as(&site, "GET", "/v1/deploys", reader, NULL, NULL), ==, 200);
    expect(&site, "\"to\":\"role=web\"");
    g_assert_null(strstr(site.text, "signature"));
    g_assert_cmpuint(ask(&site, "GET", "/v1/deploys/1", NULL), ==, 200);
    expect(&site, "signature");
    g_assert_cmpuint(ask(&site, "GET", "/v1/deploys/2", NULL), ==, 404);
    g_assert_cmpuint(ask(&site, "GET", "/v1/deploys/x", NULL), ==, 400);
    pass(&site, 1); /* until the rollout has begun */
    g_assert_cmpuint(ask(&site, "GET", "/v1/rollout", NULL), ==, 200);
    g_assert_cmpstr(value_map_string(site.value, "phase", ""), ==, "canary");
    g_assert_cmpuint(ask(&site, "POST", "/v1/rollout/resume", "{}"), ==, 409);
    expect(&site, "possible now: pause, abort, revert");
    g_assert_cmpuint(ask_as(&site, "POST", "/v1/rollout/pause", reader, NULL, "{}"), ==, 403);
    g_assert_cmpuint(ask(&site, "POST", "/v1/rollout/pause", "{\"why\":\"lunch\"}"), ==, 200);
    g_assert_cmpuint(ask(&site, "GET", "/v1/rollout", NULL), ==, 200);
    expect(&site, "\"phase\":\"paused\"");
    g_autofree char *forgive = g_strconcat("/v1/bundles/", digest, "/forgive", NULL);
    g_assert_cmpuint(ask(&site, "POST", forgive, "{}"), ==, 404);
    expect(&site, "is not bad");
    g_assert_cmpuint(ask(&site, "GET", "/v1/audit", NULL), ==, 200);
    expect(&site, "\"action\":\"rollout.pause\"");
    expect(&site, "\"action\":\"deploy.publish\"");
}

/* What hosts say goes after its time, and the audit log after its own. */
static void upkeep(void) {
    g_auto(Site) site = site_new();
    HubOptions options = { .loop = site.loop,
                           .state = site.state,
                           .data = site.data,
                           .keep_drift_days = 2,
                           .keep_audit_days = 3 };
    hub_free(g_steal_pointer(&site.hub));
    site.hub = hub_new(&options, NULL);
    g_assert_nonnull(site.hub);
    g_autoptr(PkiCertificate) web1 = join_host(&site, "web1");
    const int64_t day = 86400, start = (int64_t)(LOOP_VIRTUAL_EPOCH / G_USEC_PER_SEC);
    g_autofree char *old =
        g_strdup_printf(LAYOUT_DRIFT "web1/%" G_GINT64_FORMAT "000000", start - 3 * day / 2);
    g_autofree char *young = g_strdup_printf(LAYOUT_DRIFT "web1/%" G_GINT64_FORMAT "000000", start);
    put(&site, old, "{}");
    put(&site, young, "{}");
    g_autofree char *soon =
        g_strdup_printf(LAYOUT_DRIFT "web1/%" G_GINT64_FORMAT "000000", start + 3600);
    put(&site, soon, "{}"); /* of a clock that is an hour ahead */
    put(&site, LAYOUT_DRIFT "web1/9000000000000000", "{}");
    pass(&site, day);
    g_autofree char *gone = look(&site, old), *there = look(&site, young);
    g_autofree char *ahead = look(&site, soon),
                    *never = look(&site, LAYOUT_DRIFT "web1/9000000000000000");
    g_assert_null(gone);
    g_assert_nonnull(there);
    g_assert_nonnull(ahead);
    g_assert_null(never);
    g_assert_cmpuint(ask(&site, "GET", "/v1/audit", NULL), ==, 200);
    expect(&site, "host.join");
    pass(&site, 2 * day + 7200);
    g_assert_cmpuint(ask(&site, "GET", "/v1/audit", NULL), ==, 200);
    g_assert_cmpuint(value_size(value_map_get(site.value, "records")), ==, 0);
}

static unsigned tokens_of(const Site *site) {
    g_autoptr(GBytes) key = g_bytes_new_static("hub/tokens/", 11);
    StoreRange range = { .key = key, .prefix = true, .keys_only = true };
    g_autoptr(StoreAnswer) answer = store_wait(store_range(site->state, &range, NULL, NULL), NULL);
    return store_answer_result(answer, 0)->entries->len;
}

/* A day after they expired, not before, so that it is told what is wrong with them. */
static void tokens_forgotten(void) {
    g_auto(Site) site = site_new();
    g_autoptr(PkiCertificate) web1 = join_host(&site, "web1");
    g_assert_cmpuint(ask(&site, "POST", "/v1/tokens", "{\"host\":\"web2\",\"ttl\":7200}"), ==, 201);
    g_autofree char *late = g_strdup(value_map_string(site.value, "token", ""));
    g_autofree char *join = g_strdup_printf("{\"token\":\"%s\",\"request\":\"x\"}", late);
    g_assert_cmpuint(
        ask(&site, "POST", "/v1/tokens", "{\"name\":\"ann\",\"role\":\"reader\",\"ttl\":864000}"),
        ==, 201);
    g_assert_cmpuint(tokens_of(&site), ==, 4); /* used, unused, ann's, the first admin's */
    pass(&site, 86400);
    g_assert_cmpuint(tokens_of(&site), ==, 4);
    g_assert_cmpuint(ask_as(&site, "POST", "/v1/join", NULL, NULL, join), ==, 401);
    expect(&site, "expired");
    pass(&site, 3 * 3600);
    g_assert_cmpuint(tokens_of(&site), ==, 2);
    g_assert_cmpuint(ask_as(&site, "POST", "/v1/join", NULL, NULL, join), ==, 401);
    expect(&site, "it was used or removed");
    g_assert_cmpuint(ask(&site, "GET", "/v1/audit", NULL), ==, 200);
    expect(&site, "host.join");
    expect(&site, "token.new");
    pass(&site, 10 * 86400);
    g_assert_cmpuint(tokens_of(&site), ==, 1);
}

#define WHY "/v1/fleet/why?host=web1&kind=file&name=/etc/motd"

static int64_t present(const Site *site) {
    g_autoptr(GBytes) key = g_bytes_new_static("x", 1);
    g_autoptr(StoreAnswer) answer = store_wait(store_get(site->state, key, NULL, NULL), NULL);
    return answer->revision;
}

static bool remembers(const Site *site, int64_t revision) {
    g_autoptr(GError) error = NULL;
    StoreRange range = { .revision = revision, .limit = 1 };
    g_autoptr(StoreAnswer) answer =
        store_wait(store_range(site->state, &range, NULL, NULL), &error);
    if (!answer)
        g_assert_error(error, STORE_ERROR, STORE_ERROR_COMPACTED);
    return answer != NULL;
}

/* What was before is kept for an hour, and for no more than an hour and a part. */
static void history_ends(void) {
    g_auto(Site) site = site_new();
    g_autoptr(PkiCertificate) web1 = join_host(&site, "web1");
    pass(&site, 60);
    int64_t before = present(&site);
    put(&site, LAYOUT_REPORTED "web1", "{}");
    pass(&site, 3500);
    g_assert_true(remembers(&site, before));
    int64_t later = present(&site);
    put(&site, LAYOUT_REPORTED "web1", "{\"state\":\"converged\"}");
    pass(&site, 1900);
    g_assert_false(remembers(&site, before));
    g_assert_true(remembers(&site, later));
    g_assert_cmpuint(ask(&site, "GET", "/v1/fleet", NULL), ==, 200);
    expect(&site, "converged");
}

static void on_said(void *data, StoreAnswer *answer, const GError *error) {
    g_assert_no_error(error);
}

/* The name of what is asked, and what the host says to it. */
static void on_question(void *data, int64_t revision, GPtrArray *events, const GError *error) {
    Site *site = data;
    const StoreEntry *entry = events && events->len > 0 ? events->pdata[0] : NULL;
    if (!entry || !entry->value)
        return;
    const char *key = g_bytes_get_data(entry->key, NULL);
    g_autofree char *name = g_strndup(key, g_bytes_get_size(entry->key));
    g_autofree char *reply = g_strconcat(LAYOUT_ANSWER, name + strlen(LAYOUT_ASK), NULL);
    static const char text[] = "{\"answer\":\"it is right\"}";
    g_autoptr(GBytes) reply_key = g_bytes_new(reply, strlen(reply));
    g_autoptr(GBytes) value = g_bytes_new(text, strlen(text));
    (void)store_put(site->state, reply_key, value, 0, on_said, NULL);
}

static void asking_a_host(void) {
    g_auto(Site) site = site_new();
    g_autoptr(PkiCertificate) web1 = join_host(&site, "web1");
    g_assert_cmpuint(ask(&site, "GET", "/v1/fleet/why?host=web1", NULL), ==, 400);
    g_assert_cmpuint(ask(&site, "GET", WHY, NULL), ==, 409);
    expect(&site, "nothing is heard of 'web1'");
    put(&site, LAYOUT_REPORTED "web1", "{\"state\":\"converged\",\"digest\":\"\"}");
    pass(&site, 1);
    uint64_t start = loop_now(site.loop);
    g_assert_cmpuint(ask(&site, "GET", WHY, NULL), ==, 504);
    g_assert_cmpuint(loop_now(site.loop) - start, >=, 10 * G_USEC_PER_SEC);
    g_autoptr(GBytes) prefix = g_bytes_new(LAYOUT_ASK "web1/", strlen(LAYOUT_ASK "web1/"));
    g_autoptr(StoreWatch) watch = store_watch(site.state, prefix, true, 0, on_question, &site);
    g_assert_cmpuint(ask(&site, "GET", WHY, NULL), ==, 200);
    expect(&site, "it is right");
    g_clear_pointer(&watch, store_watch_stop);
    pass(&site, 60); /* its lease is over: nothing is left of the question */
    g_autoptr(StoreAnswer) rest = store_wait(
        store_range(site.state, &(StoreRange){ .key = prefix, .prefix = true }, NULL, NULL), NULL);
    g_assert_cmpuint(store_answer_result(rest, 0)->count, ==, 0);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/hub/first-start", first_start);
    g_test_add_func("/hub/interrupted-start", interrupted_start);
    g_test_add_func("/hub/describes-itself", describes_itself);
    g_test_add_func("/hub/roles", roles);
    g_test_add_func("/hub/tokens-end", tokens_end);
    g_test_add_func("/hub/guesses", guesses);
    g_test_add_func("/hub/joining", joining);
    g_test_add_func("/hub/joining-again", joining_again);
    g_test_add_func("/hub/certificates-end", certificates_end);
    g_test_add_func("/hub/unknown-certificate", unknown_certificate);
    g_test_add_func("/hub/renewed-while-revoked", renewed_while_revoked);
    g_test_add_func("/hub/audit", audit);
    g_test_add_func("/hub/members", members);
    g_test_add_func("/hub/deploys", deploys);
    g_test_add_func("/hub/upkeep", upkeep);
    g_test_add_func("/hub/tokens-forgotten", tokens_forgotten);
    g_test_add_func("/hub/history-ends", history_ends);
    g_test_add_func("/hub/asking-a-host", asking_a_host);
    g_test_add_func("/hub/listens-where-told", listens_where_told);
    return g_test_run();
}
