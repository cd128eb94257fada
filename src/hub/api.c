/* The table of routes: what a hub can be asked, and who may. */
#include "hub/gateway.h"

/* The header is how browsers and EventSource resume; the parameter is for people. */
void get_events(void *data, HttpRequest *request) {
    Hub *hub = data;
    const char *after = http_request_query(request, "after");
    if (!after)
        after = http_request_header(request, "Last-Event-ID");
    feed_attach(hub->feed, ask_of(request), after);
}

#define TEXT    "{\"type\":\"string\"}"
#define NUMBER  "{\"type\":\"integer\"}"
#define BOOLEAN "{\"type\":\"boolean\"}"
#define OBJECT  "{\"type\":\"object\"}"
#define PAGE(of)                                                                                   \
    "{\"type\":\"object\",\"properties\":{\"" of "\":{\"type\":\"array\",\"items\":" OBJECT        \
    "},\"revision\":" NUMBER ",\"next\":" TEXT "}}"
#define HOST                                                                                       \
    "{\"type\":\"object\",\"properties\":{\"name\":" TEXT ",\"joined\":" NUMBER                    \
    ",\"renewed\":" NUMBER ",\"expires\":" NUMBER ",\"revoked\":" BOOLEAN ",\"fingerprint\":" TEXT \
    "}}"
#define CERTIFIED                                                                                  \
    "{\"type\":\"object\",\"properties\":{\"host\":" TEXT ",\"certificate\":" TEXT                 \
    ",\"authority\":" TEXT ",\"expires\":" NUMBER "}}"

/* Of the store of the fleet, as clients of etcd ask: doc/hub.md says what is served, to whom. */
#define GATEWAY(path, summary, handle)                                                             \
    {                                                                                              \
        "POST", GATEWAY_PATH path, "host admin", summary, "As the JSON gateway of etcd 3.4.",      \
            OBJECT, OBJECT, NULL, ETCD_BODY_LIMIT, handle                                          \
    }

const HttpRoute hub_routes[] = {
    { "GET", "/healthz", NULL, "Whether the hub can work",
      "200 when its store answers, 503 when not.", NULL,
      "{\"type\":\"object\",\"properties\":{\"status\":" TEXT ",\"revision\":" NUMBER
      ",\"state\":" TEXT ",\"version\":" TEXT "}}",
      NULL, 0, get_health },
    { "GET", "/metrics", "reader", "Figures for Prometheus", "In Prometheus' text format.", NULL,
      NULL, NULL, 0, get_metrics },
    { "GET", "/v1/openapi.json", NULL, "This description", "OpenAPI 3.1.", NULL, OBJECT, NULL, 0,
      get_openapi },
    { "GET", "/v1/ca", NULL, "The authority's certificate",
      "Compare its fingerprint with what the hub printed at its start, then trust it.", NULL,
      "{\"type\":\"object\",\"properties\":{\"certificate\":" TEXT ",\"fingerprint\":" TEXT "}}",
      NULL, 0, get_ca },
    { "POST", "/v1/join", NULL, "Make a host a member",
      "Takes a token for joining, once, and a PKCS#10 request in PEM; gives a certificate for the "
      "token's host.",
      "{\"type\":\"object\",\"properties\":{\"token\":" TEXT ",\"request\":" TEXT
      "},\"required\":[\"token\",\"request\"]}",
      CERTIFIED, NULL, 65536, join },
    { "POST", "/v1/renew", "host", "Renew one's certificate",
      "Gives the host that asks another certificate; older ones stay valid until they expire.",
      "{\"type\":\"object\",\"properties\":{\"request\":" TEXT "},\"required\":[\"request\"]}",
      CERTIFIED, NULL, 65536, renew },
    { "GET", "/v1/events", "host reader", "What happens, as it happens",
      "Server-sent events `host` and `token`; hosts see their own. Resumes after the event of "
      "`after` or the header Last-Event-ID; `reset` says that this is not possible: read all "
      "again.",
      NULL, NULL, "after", 0, get_events },
    { "GET", "/v1/tokens", "operator", "The tokens there are",
      "Without their secrets. `next` is the `after` of the next page.", NULL, PAGE("tokens"),
      "limit after", 0, get_tokens },
    { "POST", "/v1/tokens", "operator", "Make a token",
      "Either for `host` to join, once, or for a person: `name` and `role`, which takes an admin. "
      "`ttl` is in seconds.",
      "{\"type\":\"object\",\"properties\":{\"host\":" TEXT ",\"name\":" TEXT
      ",\"role\":{\"enum\":[\"reader\",\"operator\",\"admin\"]},\"ttl\":" NUMBER "}}",
      "{\"type\":\"object\",\"properties\":{\"id\":" TEXT ",\"url\":" TEXT ",\"token\":" TEXT
      ",\"expires\":" NUMBER "}}",
      NULL, 4096, post_token },
    { "DELETE", "/v1/tokens/{id}", "admin", "Remove a token", "Takes effect at once.", NULL, OBJECT,
      NULL, 0, delete_token },
    { "GET", "/v1/hosts", "reader", "The hosts that joined",
      "`next` is the `after` of the next page.", NULL, PAGE("hosts"), "limit after", 0, get_hosts },
    { "GET", "/v1/hosts/{name}", "reader", "A host", "Times are seconds since 1970.", NULL, HOST,
      NULL, 0, get_host },
    { "POST", "/v1/hosts/{name}/revoke", "operator", "Turn a host away",
      "None of its certificates is accepted from now on; its streams end. It may join again.", NULL,
      OBJECT, NULL, 4096, revoke_host },
    { "GET", "/v1/audit", "operator", "Who changed what",
      "Every change of the hub, the oldest first: who, from where, what it was before and after.",
      NULL, PAGE("records"), "limit after", 0, get_audit },
    GATEWAY("kv/range", "Read keys", gateway_call),
    GATEWAY("kv/txn", "Compare and change keys at once", gateway_call),
    GATEWAY("kv/put", "Put a key", gateway_call),
    GATEWAY("kv/deleterange", "Delete keys", gateway_call),
    GATEWAY("kv/compaction", "Forget the history of keys", gateway_call),
    GATEWAY("lease/grant", "Get a lease", gateway_call),
    GATEWAY("lease/keepalive", "Keep a lease alive", gateway_call),
    GATEWAY("lease/revoke", "End a lease, and delete its keys", gateway_call),
    GATEWAY("lease/timetolive", "Look what is left of a lease", gateway_call),
    GATEWAY("watch", "Changes of keys, as they happen", gateway_watch),
};

const unsigned hub_n_routes = G_N_ELEMENTS(hub_routes);
