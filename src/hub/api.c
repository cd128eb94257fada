/* The table of routes: what a hub can be asked, and who may. */
#include "bundle/sign-keys.h"
#include "hub/gateway.h"

/* The header is how browsers and EventSource resume; the parameter is for people. */
void get_events(void *data, HttpRequest *request) {
    Hub *hub = data;
    const char *after = http_request_query(request, "after");
    if (!after)
        after = http_request_header(request, "Last-Event-ID");
    feed_attach(hub->feed, ask_of(request), after);
}

#define BUNDLE_BODY_MAX (64u * 1024 * 1024) /* compressed */
#define KEYS_BODY_MAX   (2u * KEY_CHAIN_MAX)

#define TEXT     "{\"type\":\"string\"}"
#define NUMBER   "{\"type\":\"integer\"}"
#define BOOLEAN  "{\"type\":\"boolean\"}"
#define OBJECT   "{\"type\":\"object\"}"
#define TEXTS    "{\"type\":\"array\",\"items\":" TEXT "}"
#define LABELS   "{\"type\":\"object\",\"additionalProperties\":" TEXT "}"
#define LIST(of) "{\"type\":\"array\",\"items\":" of "}"
#define PAGE(name, of)                                                                             \
    "{\"type\":\"object\",\"properties\":{\"" name                                                 \
    "\":" LIST(of) ",\"revision\":" NUMBER ",\"next\":" TEXT "},\"required\":[\"" name "\"]}"
#define HOST                                                                                       \
    "{\"type\":\"object\",\"properties\":{\"name\":" TEXT ",\"joined\":" NUMBER                    \
    ",\"renewed\":" NUMBER ",\"expires\":" NUMBER ",\"revoked\":" BOOLEAN ",\"fingerprint\":" TEXT \
    ",\"labels\":" LABELS ",\"grants\":" TEXTS "},\"required\":[\"name\"]}"
#define TOKEN                                                                                      \
    "{\"type\":\"object\",\"properties\":{\"id\":" TEXT ",\"role\":" TEXT ",\"name\":" TEXT        \
    ",\"host\":" TEXT ",\"created\":" NUMBER ",\"expires\":" NUMBER ",\"by\":" TEXT                \
    ",\"labels\":" LABELS ",\"grants\":" TEXTS "},\"required\":[\"id\"]}"
#define MEMBER                                                                                     \
    "{\"type\":\"object\",\"properties\":{\"name\":" TEXT ",\"labels\":" LABELS                    \
    ",\"grants\":" TEXTS "}}"
#define DEPLOY                                                                                     \
    "{\"type\":\"object\",\"properties\":{\"record\":" NUMBER ",\"digest\":" TEXT                  \
    ",\"previous\":" TEXT ",\"message\":" TEXT ",\"time\":" NUMBER ",\"to\":" TEXT                 \
    ",\"strategy\":" TEXT ",\"by\":" TEXT ",\"outcome\":" OBJECT ",\"bad\":" BOOLEAN               \
    ",\"statement\":" TEXT "},\"required\":[\"record\"]}"
#define CHANNEL                                                                                    \
    "{\"type\":\"object\",\"properties\":{\"name\":" TEXT ",\"repository\":" TEXT                  \
    ",\"branch\":" TEXT ",\"directory\":" TEXT ",\"interval\":" NUMBER ",\"to\":" TEXT             \
    ",\"strategy\":" TEXT ",\"by\":" TEXT ",\"created\":" NUMBER ",\"commit\":" TEXT               \
    ",\"outcome\":{\"enum\":[\"deployed\",\"current\",\"unsigned\",\"refused\",\"stale\"]}"        \
    ",\"why\":" TEXT ",\"record\":" NUMBER ",\"since\":" NUMBER ",\"problem\":" TEXT               \
    ",\"problem_since\":" NUMBER ",\"check\":" TEXT ",\"checked\":" TEXT                           \
    "},\"required\":[\"name\"]}"
#define STATUS                                                                                     \
    "{\"type\":\"object\",\"properties\":{\"host\":" TEXT ",\"labels\":" LABELS                    \
    ",\"record\":" NUMBER ",\"digest\":" TEXT ",\"running\":" TEXT ",\"state\":" TEXT              \
    ",\"health\":" TEXT ",\"since\":" NUMBER ",\"message\":" TEXT ",\"stage\":" TEXT               \
    ",\"why\":" TEXT ",\"run\":" OBJECT "},\"required\":[\"host\",\"state\"]}"
#define FACTS                                                                                      \
    "{\"type\":\"object\",\"properties\":{\"host\":" TEXT ",\"labels\":" LABELS                    \
    ",\"grants\":" TEXTS ",\"facts\":" OBJECT "},\"required\":[\"host\",\"facts\"]}"
#define DRIFT                                                                                      \
    "{\"type\":\"object\",\"properties\":{\"host\":" TEXT ",\"time\":" NUMBER                      \
    "},\"required\":[\"host\",\"time\"]}"
#define FAILED                                                                                     \
    "{\"type\":\"object\",\"properties\":{\"host\":" TEXT ",\"stage\":" TEXT ",\"why\":" TEXT "}}"
#define DECISION                                                                                   \
    "{\"type\":\"object\",\"properties\":{\"number\":" NUMBER ",\"time\":" NUMBER                  \
    "},\"required\":[\"number\"]}"
#define ROLLOUT                                                                                    \
    "{\"type\":\"object\",\"properties\":{\"record\":" NUMBER ",\"digest\":" TEXT                  \
    ",\"phase\":" TEXT ",\"since\":" NUMBER ",\"why\":" TEXT ",\"by\":" TEXT ",\"message\":" TEXT  \
    ",\"deployed_by\":" TEXT ",\"to\":" TEXT ",\"strategy\":" TEXT ",\"problem\":" TEXT            \
    ",\"targets\":" NUMBER ",\"silent\":" NUMBER                                                   \
    ",\"stages\":{\"type\":\"object\",\"additionalProperties\":" NUMBER                            \
    "},\"failed\":" LIST(FAILED) ",\"log\":" LIST(                                                 \
        DECISION) ",\"next\":{\"type\":\"object\",\"properties\":{\"record\":" NUMBER              \
                  ",\"message\":" TEXT "}},\"revision\":" NUMBER                                   \
                  "},\"required\":[\"record\",\"phase\"]}"
/* The door of a cluster, which is asked in the same way, answers otherwise: nothing is required. */
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
      "{\"type\":\"object\",\"properties\":{\"certificate\":" TEXT ",\"fingerprint\":" TEXT
      "},\"required\":[\"certificate\"]}",
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
      "Server-sent events `host`, `token`, `deploy`, `rollout` (its phases), `stage` (of one "
      "host in it) and `channel` (what came of a branch); hosts see their own. Resumes after the "
      "event of "
      "`after` or the header Last-Event-ID; `reset` says that this is not possible: read all "
      "again.",
      NULL, NULL, "after", 0, get_events },
    { "GET", "/v1/tokens", "operator", "The tokens there are",
      "Without their secrets. `next` is the `after` of the next page.", NULL, PAGE("tokens", TOKEN),
      "limit after", 0, get_tokens },
    { "POST", "/v1/tokens", "operator", "Make a token",
      "Either for `host` to join, once, with `labels` and `grants` (paths of the exchange that it "
      "may publish besides its name), or for a person: `name` and `role`, which takes an admin. "
      "`ttl` is in seconds.",
      "{\"type\":\"object\",\"properties\":{\"host\":" TEXT ",\"labels\":" OBJECT
      ",\"grants\":" TEXTS ",\"name\":" TEXT
      ",\"role\":{\"enum\":[\"reader\",\"operator\",\"admin\"]},\"ttl\":" NUMBER "}}",
      "{\"type\":\"object\",\"properties\":{\"id\":" TEXT ",\"url\":" TEXT ",\"token\":" TEXT
      ",\"expires\":" NUMBER "},\"required\":[\"token\"]}",
      NULL, 4096, post_token },
    { "DELETE", "/v1/tokens/{id}", "admin", "Remove a token", "Takes effect at once.", NULL, OBJECT,
      NULL, 0, delete_token },
    { "GET", "/v1/hosts", "reader", "The hosts that joined",
      "`next` is the `after` of the next page.", NULL, PAGE("hosts", HOST), "limit after", 0,
      get_hosts },
    { "GET", "/v1/hosts/{name}", "reader", "A host", "Times are seconds since 1970.", NULL, HOST,
      NULL, 0, get_host },
    { "POST", "/v1/hosts/{name}/revoke", "operator", "Turn a host away",
      "None of its certificates is accepted from now on; its streams end. It may join again.", NULL,
      OBJECT, NULL, 4096, revoke_host },
    { "POST", "/v1/hosts/{name}/change", "operator", "Change a host's labels and grants",
      "Adds `labels` and `grants`, removes those that are named otherwise.",
      "{\"type\":\"object\",\"properties\":{\"labels\":" OBJECT ",\"remove_labels\":" TEXTS
      ",\"grants\":" TEXTS ",\"remove_grants\":" TEXTS "}}",
      MEMBER, NULL, 65536, change_member },
    { "PUT", "/v1/bundles/{digest}", "operator", "Bring a bundle",
      "Its bytes as `stead bundle pack` writes them, `application/octet-stream`. It is verified; "
      "without a deploy it is forgotten after a day.",
      NULL, "{\"type\":\"object\",\"properties\":{\"bundle\":" TEXT ",\"size\":" NUMBER "}}", NULL,
      BUNDLE_BODY_MAX, put_bundle },
    { "GET", "/v1/bundles/{digest}", "reader", "A bundle", "Its bytes, as they were brought.", NULL,
      NULL, NULL, 0, get_bundle },
    { "POST", "/v1/bundles/{digest}/forgive", "operator", "Let a bundle be deployed again",
      "That was reverted, and is refused since.", NULL, OBJECT, NULL, 4096, forgive_bundle },
    { "GET", "/v1/deploys", "reader", "The deploys there were",
      "The oldest first, without their statements. `after` is a number; `next` that of the next "
      "page.",
      NULL, PAGE("deploys", DEPLOY), "limit after", 0, get_deploys },
    { "GET", "/v1/deploys/{number}", "reader", "A deploy", "With its signed statement.", NULL,
      DEPLOY, NULL, 0, get_deploy },
    { "POST", "/v1/deploys", "operator", "Deploy",
      "What `statement` says, signed with a key of the list; its bundle was brought before. `to` "
      "is a selector (default: all), `strategy` as in `batch=10%,soak=60s`. 409 says who was "
      "faster.",
      "{\"type\":\"object\",\"properties\":{\"statement\":" TEXT ",\"to\":" TEXT
      ",\"strategy\":" TEXT "},\"required\":[\"statement\"]}",
      DEPLOY, NULL, 65536, post_deploy },
    { "GET", "/v1/rollout", "reader", "How the newest deploy goes",
      "Its phase, how many hosts are in which stage, which have failed, and the latest decisions; "
      "`after` is the number of one of them. `next` is a newer deploy that no hub has begun with.",
      NULL, ROLLOUT, "after", 0, get_rollout },
    { "POST", "/v1/rollout/{command}", "operator", "Order something about the rollout",
      "`pause`, `resume`, `abort` or `revert`; 409 says what is possible instead.",
      "{\"type\":\"object\",\"properties\":{\"why\":" TEXT "}}", OBJECT, NULL, 4096,
      order_rollout },
    { "GET", "/v1/channels", "reader", "The branches that are followed",
      "What came of the commit seen last, and why. `next` is the `after` of the next page.", NULL,
      PAGE("channels", CHANNEL), "limit after", 0, get_channels },
    { "POST", "/v1/channels", "operator", "Follow a branch",
      "Each commit of `branch` of the git `repository` that is signed in its `.stead-deploy` is "
      "deployed. `directory` is where the deploy is in it (default: its top), `interval` seconds "
      "(default: 60), `to` and `strategy` as of a deploy.",
      "{\"type\":\"object\",\"properties\":{\"name\":" TEXT ",\"repository\":" TEXT
      ",\"branch\":" TEXT ",\"directory\":" TEXT ",\"interval\":" NUMBER ",\"to\":" TEXT
      ",\"strategy\":" TEXT "},\"required\":[\"name\",\"repository\",\"branch\"]}",
      CHANNEL, NULL, 65536, post_channel },
    { "GET", "/v1/channels/{name}", "reader", "A branch that is followed",
      "Times are seconds since 1970.", NULL, CHANNEL, NULL, 0, get_channel },
    { "DELETE", "/v1/channels/{name}", "operator", "Follow a branch no longer",
      "What it deployed stays.", NULL, OBJECT, NULL, 0, delete_channel },
    { "POST", "/v1/channels/{name}/check", "operator", "Look at a branch now",
      "Also at a commit that was refused before. It is over when `checked` is as `check` in the "
      "answer.",
      OBJECT, CHANNEL, NULL, 4096, check_channel },
    { "GET", "/v1/keys", "reader", "The keys that sign deploys", "As the file of lists is.", NULL,
      "{\"type\":\"object\",\"properties\":{\"keys\":" TEXT ",\"revision\":" NUMBER
      "},\"required\":[\"keys\"]}",
      NULL, 0, get_keys },
    { "PUT", "/v1/keys", "admin", "Set the keys that sign deploys",
      "The first list is taken as it is; later ones have to go on from it.",
      "{\"type\":\"object\",\"properties\":{\"keys\":" TEXT "},\"required\":[\"keys\"]}", OBJECT,
      NULL, KEYS_BODY_MAX, put_keys },
    { "GET", "/v1/fleet", "reader", "How the hosts are",
      "What each shall run, what it runs, whether it has converged; `silent` is who says nothing. "
      "`selector` says which hosts.",
      NULL, PAGE("hosts", STATUS), "selector", 0, get_fleet },
    { "GET", "/v1/fleet/facts", "reader", "The facts of the hosts",
      "As each said last, with its labels and grants.", NULL, PAGE("hosts", FACTS), "selector", 0,
      get_facts },
    { "GET", "/v1/fleet/drift", "reader", "What the hosts have repaired",
      "Since `since`, in seconds since 1970; `time` is in microseconds. `next` is the `after` of "
      "the next page.",
      NULL, PAGE("drift", DRIFT), "selector since limit after", 0, get_drift },
    { "GET", "/v1/fleet/why", "reader", "Ask a host about a resource",
      "What `stead why` would say there; 409 when nothing is heard of the host, 504 when it does "
      "not answer.",
      NULL, OBJECT, "host kind name", 0, get_why },
    { "GET", "/v1/sd", "reader", "Targets for Prometheus",
      "For http_sd: each host with `port` (default 9100), its labels as `__meta_stead_label_NAME`.",
      NULL, "{\"type\":\"array\",\"items\":" OBJECT "}", "selector port", 0, get_sd },
    { "GET", "/v1/audit", "operator", "Who changed what",
      "Every change of the hub, the oldest first: who, from where, what it was before and after.",
      NULL, PAGE("records", OBJECT), "limit after", 0, get_audit },
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
