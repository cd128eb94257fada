#include "cli/ssh-exchange.h"

#include <string.h>

#include "base/disk.h"
#include "base/error.h"
#include "base/json.h"
#include "cli/joined.h"
#include "cli/labels.h"
#include "hub/hub.h"
#include "pki/pki.h"

#define CONNECTIONS 8192u /* all hosts come from the same address: that of our ssh clients */
/* A connection that nobody is behind any more is found so soon; until then its ssh does not end. */
#define HEARTBEAT_S 1u

/* Of one host. */
typedef struct {
    PkiKey *key;
    char *certificate; /* PEM */
} Pass;

struct SshExchange {
    Loop *loop;
    Store *store;
    Hub *hub;
    char *data;         /* directory of the hub */
    char *authority;    /* PEM */
    char *token;        /* "Bearer TOKEN" of the hub's admin */
    GHashTable *passes; /* name in the exchange -> Pass */
};

static void pass_free(void *data) {
    Pass *pass = data;
    pki_key_free(pass->key);
    g_free(pass->certificate);
    g_free(pass);
}

/* --- asking the hub, which is us -------------------------------------------------------------- */

typedef struct {
    Loop *loop;
    bool answered;
    unsigned status;
    Value *reply;
} Asked;

static void on_answered(void *data, unsigned status, const char *content_type, GBytes *body) {
    Asked *asked = data;
    size_t size;
    const char *text = g_bytes_get_data(body, &size);
    asked->status = status;
    asked->answered = true;
    asked->reply = json_parse(text ? text : "", size, "hub", NULL);
    loop_quit(asked->loop);
}

static void send(SshExchange *exchange, const char *path, const Value *body, HttpAnswered answered,
                 void *data) {
    HttpServerOptions options = hub_try_options(exchange->hub);
    const char *const headers[] = { "Authorization", exchange->token, "Content-Type",
                                    "application/json", NULL };
    g_autofree char *text = body ? json_print(body, JSON_COMPACT) : g_strdup("");
    g_autoptr(GBytes) bytes = g_bytes_new(text, strlen(text));
    http_try(&options, "POST", path, headers, bytes, NULL, answered, data);
}

/* Waits. */
static Value *ask(SshExchange *exchange, const char *path, const Value *body, GError **error) {
    Asked asked = { .loop = exchange->loop };
    send(exchange, path, body, on_answered, &asked);
    while (!asked.answered)
        if (!loop_run(exchange->loop, error))
            g_error("the loop ended before the hub in it answered"); /* asked is on our stack */
    if (asked.status / 100 == 2 && asked.reply)
        return asked.reply;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED, "%s",
                asked.reply ? value_map_string(asked.reply, "error", "it does not say why")
                            : "it does not say why");
    value_unref(asked.reply);
    return NULL;
}

/* --- hosts ------------------------------------------------------------------------------------ */

static const char *name_of(const char *host) {
    const char *at = strrchr(host, '@');
    return at ? at + 1 : host;
}

/* A token for it. */
static char *invite(SshExchange *exchange, const char *name, char *const *grants, GError **error) {
    g_autoptr(Value) wish = value_new_map();
    value_map_set(wish, "host", value_new_string(name));
    if (grants)
        value_map_set(wish, "grants", labels_list((const char *const *)grants));
    g_autoptr(Value) reply = ask(exchange, "/v1/tokens", wish, error);
    return reply ? g_strdup(value_map_string(reply, "token", "")) : NULL;
}

/* As `agent join` does; the key is made here, and goes to the host over ssh. */
static bool enter(SshExchange *exchange, Pass *pass, const char *name, const char *token,
                  GError **error) {
    g_autofree char *request = pki_request_new(pass->key, name, error);
    if (!request)
        return false;
    g_autoptr(Value) wish = value_new_map();
    value_map_set(wish, "token", value_new_string(token));
    value_map_set(wish, "request", value_new_string(request));
    g_autoptr(Value) reply = ask(exchange, "/v1/join", wish, error);
    pass->certificate = reply ? g_strdup(value_map_string(reply, "certificate", "")) : NULL;
    return pass->certificate != NULL;
}

static bool admit(SshExchange *exchange, const char *host, char *const *grants, GError **error) {
    const char *name = name_of(host);
    if (g_hash_table_contains(exchange->passes, name)) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                    "--exchange ssh: two hosts would be '%s' in the exchange: give them names of "
                    "their own in ~/.ssh/config",
                    name);
        return false;
    }
    Pass *pass = g_new0(Pass, 1);
    g_hash_table_insert(exchange->passes, g_strdup(name), pass);
    g_autofree char *token = invite(exchange, name, grants, error);
    if (token && (pass->key = pki_key_new(error)) && enter(exchange, pass, name, token, error))
        return true;
    g_prefix_error(error, "let '%s' into the exchange: ", host);
    return false;
}

/* Takes text over. */
static void add_file(GArray *files, const char *name, char *text) {
    RemoteFile file = { name, g_bytes_new_take(text, strlen(text)) };
    g_array_append_val(files, file);
}

void ssh_exchange_files(void *data, const char *host, GArray *files) {
    SshExchange *exchange = data;
    const Pass *pass = g_hash_table_lookup(exchange->passes, name_of(host));
    g_assert(pass); /* ssh_exchange_new() had it */
    add_file(files, "url", g_strdup("https://localhost\n"));
    add_file(files, "ca.pem", g_strdup(exchange->authority));
    add_file(files, "certificate.pem", g_strdup(pass->certificate));
    add_file(files, "key.pem", pki_key_pem(pass->key));
}

static void on_revoked(void *data, unsigned status, const char *content_type, GBytes *body) {
}

void ssh_exchange_drop(SshExchange *exchange, const char *host) {
    g_autofree char *path = g_strdup_printf("/v1/hosts/%s/revoke", name_of(host));
    send(exchange, path, NULL, on_revoked, NULL);
}

/* --- life ------------------------------------------------------------------------------------- */

static bool start_hub(SshExchange *exchange, GError **error) {
    exchange->data = g_dir_make_tmp("stead-exchange-XXXXXX", error);
    if (!exchange->data)
        return false;
    HubOptions options = { .loop = exchange->loop,
                           .state = exchange->store,
                           .data = exchange->data,
                           .listen = "127.0.0.1:0",
                           .limits = { .heartbeat_seconds = HEARTBEAT_S,
                                       .connections = CONNECTIONS,
                                       .connections_per_address = CONNECTIONS } };
    exchange->hub = hub_new(&options, error);
    if (!exchange->hub)
        return false;
    exchange->token = g_strconcat("Bearer ", hub_first_token(exchange->hub), NULL);
    g_autofree char *path = g_build_filename(exchange->data, "ca.pem", NULL);
    return g_file_get_contents(path, &exchange->authority, NULL, error);
}

SshExchange *ssh_exchange_new(Loop *loop, const GPtrArray *hosts, char *const *grants,
                              GError **error) {
    g_autoptr(SshExchange) exchange = g_new0(SshExchange, 1);
    exchange->loop = loop;
    exchange->store = store_open_memory(loop);
    exchange->passes = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, pass_free);
    hub_raise_descriptors();
    if (!start_hub(exchange, error))
        return NULL;
    for (unsigned i = 0; i < hosts->len; i++)
        if (!admit(exchange, hosts->pdata[i], grants, error))
            return NULL;
    return g_steal_pointer(&exchange);
}

void ssh_exchange_free(SshExchange *exchange) {
    if (!exchange)
        return;
    hub_free(exchange->hub);
    store_free(exchange->store);
    if (exchange->data)
        disk_remove_tree(exchange->data);
    g_hash_table_unref(exchange->passes);
    g_free(exchange->data);
    g_free(exchange->authority);
    g_free(exchange->token);
    g_free(exchange);
}

const char *ssh_exchange_address(const SshExchange *exchange) {
    return hub_url(exchange->hub) + strlen("https://");
}
