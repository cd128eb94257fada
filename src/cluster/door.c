/* Where hosts join: each supervisor has a door. Whoever brings a token gets certificates for its
 * own key, once. */
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "base/digest.h"
#include "base/error.h"
#include "base/exchange-key.h"
#include "cluster/cluster.h"
#include "http/server.h"

#define SECRET_BYTES 32u
#define ID_BYTES     8u
#define BODY_LIMIT   (64u * 1024)

struct Door {
    Loop *loop;
    Store *store;
    const Berth *berth;
    HttpServer *server;
    GPtrArray *visits; /* of Visit: those that wait for the store */
};

/* A request on its way through the store. */
typedef struct {
    Door *door;
    HttpRequest *request;
    StoreCall *call;
    Value *body;
    char *name, *member, *client; /* what it gets */
} Visit;

/* --- tokens: "ID-SECRET" in hexadecimal digits; the store has the SHA-256 of the secret */

static char *random_hex(unsigned bytes, GError **error) {
    unsigned char buffer[SECRET_BYTES];
    if (getrandom(buffer, bytes, 0) != (ssize_t)bytes) {
        (void)set_io_error(error, errno, "get random bytes");
        return NULL;
    }
    GString *hex = g_string_new(NULL);
    for (unsigned i = 0; i < bytes; i++)
        g_string_append_printf(hex, "%02x", buffer[i]);
    return g_string_free(hex, FALSE);
}

static GBytes *token_key(const char *id) {
    g_autofree char *key = g_strconcat(CLUSTER_TOKEN, id, NULL);
    return layout_bytes(key);
}

char *cluster_token_new(Store *store, const char *name, int64_t now_s, int64_t ttl_s,
                        GError **error) {
    char hash[DIGEST_HEX_SIZE];
    if (!exchange_host_check(name, error))
        return NULL;
    g_autofree char *id = random_hex(ID_BYTES, error);
    g_autofree char *secret = id ? random_hex(SECRET_BYTES, error) : NULL;
    if (!secret)
        return NULL;
    digest_bytes(secret, strlen(secret), hash);
    g_autoptr(Value) record = value_new_map();
    value_map_set(record, "hash", value_new_string(hash));
    value_map_set(record, "name", value_new_string(name));
    value_map_set(record, "expires", value_new_int(now_s + ttl_s));
    g_autoptr(GBytes) key = token_key(id), value = cluster_bytes(record);
    g_autoptr(StoreAnswer) answer = store_wait(store_put(store, key, value, 0, NULL, NULL), error);
    return answer ? g_strconcat(id, "-", secret, NULL) : NULL;
}

/* The part before the dash; NULL: it is no token. */
static char *token_id(const char *token) {
    const char *dash = strchr(token, '-');
    size_t size = dash ? (size_t)(dash - token) : 0;
    if (size != ID_BYTES * 2 || strspn(token, "0123456789abcdef") != size)
        return NULL;
    return g_strndup(token, size);
}

/* NULL: it lets in. */
static const char *token_problem(const char *token, const Value *record, int64_t now) {
    char hash[DIGEST_HEX_SIZE];
    const char *dash = strchr(token, '-'), *secret = dash ? dash + 1 : "";
    digest_bytes(secret, strlen(secret), hash);
    if (!record || strcmp(hash, value_map_string(record, "hash", "")) != 0)
        return "the token is not known: it was used, or is mistyped";
    return now >= value_map_int(record, "expires", 0) ? "the token has expired" : NULL;
}

/* --- certificates */

bool cluster_certify(const Value *authority, const PkiRequest *request, const char *name,
                     const char *address, int64_t now_s, char **ret_member, char **ret_client,
                     GError **error) {
    const char *pem = value_map_string(authority, "certificate", "");
    const char *key_pem = value_map_string(authority, "key", "");
    const char *const names[] = { address, name, NULL };
    g_autoptr(PkiCertificate) ca = pki_certificate_parse(pem, strlen(pem), "the authority", error);
    g_autoptr(PkiKey) key =
        ca ? pki_key_parse(key_pem, strlen(key_pem), "the authority's key", error) : NULL;
    g_autoptr(PkiCertificate) member =
        key ? pki_sign_peer(ca, key, request, names, now_s, error) : NULL;
    g_autoptr(PkiCertificate) client =
        member ? pki_sign_client(ca, key, request, PKI_HOST, name, now_s, PKI_SERVER_TTL, error)
               : NULL;
    if (!client)
        return false;
    *ret_member = pki_certificate_pem(member);
    *ret_client = pki_certificate_pem(client);
    return true;
}

/* --- a visit */

static void visit_free(void *data) {
    Visit *visit = data;
    if (visit->call)
        store_call_cancel(visit->call);
    value_unref(visit->body);
    g_free(visit->name);
    g_free(visit->member);
    g_free(visit->client);
    g_free(visit);
}

static void refuse(Visit *visit, unsigned status, const char *hint, const char *text) {
    http_answer_error(visit->request, status, hint, "%s", text);
    g_ptr_array_remove_fast(visit->door->visits, visit);
}

static void on_admitted(void *data, StoreAnswer *answer, const GError *error) {
    Visit *visit = data;
    visit->call = NULL;
    if (error) {
        refuse(visit, 503, "try again", error->message);
        return;
    }
    if (!answer->succeeded) {
        refuse(visit, 401, "'stead cluster token NAME' makes another",
               "the token was used meanwhile");
        return;
    }
    g_autoptr(Value) reply = value_new_map();
    value_map_set(reply, "name", value_new_string(visit->name));
    value_map_set(reply, "member", value_new_string(visit->member));
    value_map_set(reply, "client", value_new_string(visit->client));
    value_map_set(reply, "endpoints", value_new_string(visit->door->berth->endpoints));
    http_answer_json(visit->request, 200, reply);
    g_ptr_array_remove_fast(visit->door->visits, visit);
}

static bool certify(Visit *visit, const Value *authority, GError **error) {
    const char *pem = value_map_string(visit->body, "request", "");
    g_autofree char *address = NULL;
    unsigned port;
    g_autoptr(PkiRequest) request = pki_request_parse(pem, strlen(pem), "request", error);
    return request &&
           berth_parse_listen(value_map_string(visit->body, "address", ""), &address, &port,
                              error) &&
           cluster_certify(authority, request, visit->name, address,
                           (int64_t)(loop_wall_now(visit->door->loop) / G_USEC_PER_SEC),
                           &visit->member, &visit->client, error);
}

static const StoreEntry *entry_of(const StoreAnswer *answer, unsigned operation) {
    const StoreResult *result = store_answer_result(answer, operation);
    return result->entries->len > 0 ? g_ptr_array_index(result->entries, 0) : NULL;
}

static void admit(Visit *visit, const StoreEntry *token, const Value *authority) {
    g_autoptr(GError) error = NULL;
    if (!certify(visit, authority, &error)) {
        refuse(visit, 400, NULL, error->message);
        return;
    }
    g_autoptr(StoreTxn) txn = store_txn_new();
    store_txn_compare(txn, token->key, STORE_MOD_REVISION, STORE_EQUAL, token->mod_revision);
    store_txn_delete(txn, STORE_THEN, token->key, false);
    visit->call = store_commit(visit->door->store, txn, on_admitted, visit);
}

static void on_looked_up(void *data, StoreAnswer *answer, const GError *error) {
    Visit *visit = data;
    visit->call = NULL;
    if (error) {
        refuse(visit, 503, "the cluster has no quorum, or is out of reach; try again",
               error->message);
        return;
    }
    g_autoptr(Value) record = cluster_entry_value(entry_of(answer, 0));
    g_autoptr(Value) authority = cluster_entry_value(entry_of(answer, 1));
    const char *problem =
        token_problem(value_map_string(visit->body, "token", ""), record,
                      (int64_t)(loop_wall_now(visit->door->loop) / G_USEC_PER_SEC));
    if (problem) {
        refuse(visit, 401, "'stead cluster token NAME' on a host of the cluster makes another",
               problem);
    } else if (!authority) {
        refuse(visit, 503, "try again", "the cluster is not ready");
    } else {
        visit->name = g_strdup(value_map_string(record, "name", ""));
        admit(visit, entry_of(answer, 0), authority);
    }
}

static void join(void *data, HttpRequest *request) {
    Door *door = data;
    g_autoptr(Value) body = http_request_json(request);
    if (!body)
        return; /* answered */
    g_autofree char *id = token_id(value_map_string(body, "token", ""));
    if (!id) {
        http_answer_error(request, 401, "'stead cluster token NAME' prints the whole call",
                          "this is no token");
        return;
    }
    Visit *visit = g_new0(Visit, 1);
    *visit = (Visit){ .door = door, .request = request, .body = value_ref(body) };
    g_ptr_array_add(door->visits, visit);
    g_autoptr(StoreTxn) txn = store_txn_new();
    g_autoptr(GBytes) key = token_key(id), authority = layout_bytes(CLUSTER_AUTHORITY);
    store_txn_range(txn, STORE_THEN, &(StoreRange){ .key = key });
    store_txn_range(txn, STORE_THEN, &(StoreRange){ .key = authority });
    visit->call = store_commit(door->store, txn, on_looked_up, visit);
}

static void get_ca(void *data, HttpRequest *request) {
    Door *door = data;
    g_autoptr(Value) reply = value_new_map();
    value_map_set(reply, "certificate", value_new_string(door->berth->ca));
    http_answer_json(request, 200, reply);
}

static const HttpRoute routes[] = {
    { .method = "GET",
      .path = "/v1/ca",
      .summary = "The authority of the cluster",
      .help = "To be compared with the fingerprint that was told by other means.",
      .response = "{\"type\":\"object\"}",
      .handle = get_ca },
    { .method = "POST",
      .path = "/v1/join",
      .summary = "Join the cluster",
      .help = "Certificates for the key of a request, for a token that is good once.",
      .request = "{\"type\":\"object\"}",
      .response = "{\"type\":\"object\"}",
      .body_limit = BODY_LIMIT,
      .handle = join },
};

Door *door_new(Loop *loop, Store *store, const Berth *berth, GError **error) {
    g_autofree char *path = berth_path(berth, "member.pem"), *member = NULL;
    g_autoptr(GError) problem = NULL;
    if (!g_file_get_contents(path, &member, NULL, &problem)) {
        g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_IO, problem->message);
        return NULL;
    }
    g_autofree char *chain = g_strconcat(member, berth->ca, NULL);
    Door *door = g_new0(Door, 1);
    *door = (Door){ .loop = loop, .store = store, .berth = berth };
    door->visits = g_ptr_array_new_with_free_func(visit_free);
    door->server = http_server_new(loop,
                                   &(HttpServerOptions){ .address = berth->address,
                                                         .port = (uint16_t)(berth->port + 2),
                                                         .certificate = chain,
                                                         .key = berth->key,
                                                         .routes = routes,
                                                         .n_routes = G_N_ELEMENTS(routes),
                                                         .data = door },
                                   error);
    if (door->server)
        return door;
    door_free(door);
    return NULL;
}

void door_free(Door *door) {
    if (!door)
        return;
    for (unsigned i = 0; i < door->visits->len; i++) {
        Visit *visit = g_ptr_array_index(door->visits, i);
        http_answer_error(visit->request, 503, "try again", "the supervisor ends");
    }
    g_ptr_array_unref(door->visits);
    http_server_free(door->server);
    g_free(door);
}
