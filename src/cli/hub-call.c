#include "cli/hub-call.h"

#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "http/routes.h"
#include "http/schema.h"
#include "hub/hub.h"

#define PATIENCE_US       (30 * (uint64_t)G_USEC_PER_SEC)
#define BYTES_PATIENCE_US (120 * (uint64_t)G_USEC_PER_SEC) /* for a whole bundle */
#define PAGES_MAX         10000u

G_DEFINE_QUARK(stead - hub - unreachable, hub_unreachable)

/* --- whom to ask */

void hub_link_clear(HubLink *link) {
    g_clear_pointer(&link->url, g_free);
    g_clear_pointer(&link->ca, g_free);
    g_clear_pointer(&link->token, g_free);
    g_clear_pointer(&link->certificate, g_free);
    g_clear_pointer(&link->key, g_free);
}

/* The file's text without the end of its last line. It may be a pipe. */
static bool read_text(const char *path, char **ret, GError **error) {
    g_autoptr(GError) problem = NULL;
    if (g_file_get_contents(path, ret, NULL, &problem)) {
        g_strchomp(*ret);
        return true;
    }
    /* The words before it, with the path between curly quotes, are GLib's. */
    const char *reason = strrchr(problem->message, ':');
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                "read '%s': %s; name the hub with --hub, --ca and --token-file, or its directory "
                "with --data",
                path, reason ? reason + 2 : problem->message);
    return false;
}

static bool check_url(const char *url, GError **error) {
    if (g_str_has_prefix(url, "https://") || g_str_has_prefix(url, "http://"))
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                "ask the hub '%s': write its address as https://HOST:PORT", url);
    return false;
}

static bool check_authority(const char *pem, const char *path, GError **error) {
    if (strstr(pem, "-----BEGIN CERTIFICATE-----"))
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                "read '%s': there is no certificate in PEM; the hub's authority is ca.pem in its "
                "--data, name it with --ca",
                path ? path : "ca.pem");
    return false;
}

static bool find_text(const char *named, const char *variable, const Arguments *arguments,
                      const char *file, char **ret, GError **error) {
    const char *path = named ? named : g_getenv(variable);
    const char *data = arguments->data ? arguments->data : HUB_DATA_DEFAULT;
    g_autofree char *fallback = g_build_filename(data, file, NULL);
    return read_text(path ? path : fallback, ret, error);
}

bool hub_link_open(HubLink *link, const Arguments *arguments, GError **error) {
    const char *url = arguments->hub ? arguments->hub : g_getenv("STEAD_HUB");
    const char *data = arguments->data ? arguments->data : HUB_DATA_DEFAULT;
    g_autofree char *url_file = g_build_filename(data, "url", NULL);
    if (url)
        link->url = g_strdup(url);
    else if (!read_text(url_file, &link->url, error))
        return false;
    const char *ca = arguments->ca ? arguments->ca : g_getenv("STEAD_HUB_CA");
    return check_url(link->url, error) &&
           find_text(arguments->ca, "STEAD_HUB_CA", arguments, "ca.pem", &link->ca, error) &&
           check_authority(link->ca, ca, error) &&
           find_text(arguments->token_file, "STEAD_HUB_TOKEN_FILE", arguments, "admin-token",
                     &link->token, error);
}

/* --- asking */

typedef struct {
    Loop *loop;
    bool wants_bytes;
    uint64_t patience; /* us; 0: PATIENCE_US */
    GBytes *bytes;
    Value *value;
    GError *error;
} Wait;

static void wait_clear(Wait *wait) {
    g_clear_pointer(&wait->bytes, g_bytes_unref);
    g_clear_pointer(&wait->value, value_unref);
    g_clear_error(&wait->error);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Wait, wait_clear)

static void set_refusal(Wait *wait, const HttpReply *reply) {
    const char *text = wait->value && value_type(wait->value) == VALUE_MAP
                           ? value_map_string(wait->value, "error", NULL)
                           : NULL;
    const char *hint = text ? value_map_string(wait->value, "hint", NULL) : NULL;
    SteadError code = reply->status == 404 ? STEAD_ERROR_NOT_FOUND : STEAD_ERROR_REFUSED;
    /* 503: its store gives none, or it is busy. */
    if (text)
        g_set_error(&wait->error, reply->status == 503 ? HUB_UNREACHABLE : STEAD_ERROR, (int)code,
                    "%s%s%s", text, hint ? "; " : "", hint ? hint : "");
    else
        g_set_error(&wait->error, STEAD_ERROR, STEAD_ERROR_FAILED,
                    "read the hub's answer: status %u and no JSON; is it a hub?", reply->status);
}

static void add_hint(GError **error, const char *hint) {
    char *message = g_strconcat((*error)->message, "; ", hint, NULL);
    g_free((*error)->message);
    (*error)->message = message;
}

static void on_replied(void *data, const HttpReply *reply, const GError *error) {
    Wait *wait = data;
    size_t size;
    const char *text = g_bytes_get_data(reply->body, &size);
    loop_quit(wait->loop);
    if (error) {
        wait->error = g_error_copy(error);
        if (g_error_matches(error, STEAD_ERROR, STEAD_ERROR_IO) ||
            g_error_matches(error, STEAD_ERROR, STEAD_ERROR_TIMEOUT))
            wait->error->domain = HUB_UNREACHABLE;
        if (g_error_matches(error, STEAD_ERROR, STEAD_ERROR_REFUSED))
            add_hint(&wait->error, "the hub's authority is in its DIR/ca.pem: name it with --ca");
        return;
    }
    if (wait->wants_bytes && reply->status < 300) {
        wait->bytes = g_bytes_ref(reply->body);
        return;
    }
    wait->value = json_parse(text ? text : "", size, "answer", NULL);
    if (reply->status >= 300 || !wait->value || value_type(wait->value) != VALUE_MAP)
        set_refusal(wait, reply);
}

static HttpClient *client_of(const HubLink *link, Loop *loop, GError **error) {
    HttpClientOptions options = { .ca = link->ca,
                                  .certificate = link->certificate,
                                  .key = link->key,
                                  .unverified = link->unverified };
    return http_client_new(loop, &options, error);
}

static bool ask_hub(const HubLink *link, const char *method, const char *path, const char *type,
                    GBytes *body, Wait *wait, GError **error) {
    g_autoptr(Loop) loop = loop_new(error);
    g_autoptr(HttpClient) client = loop ? client_of(link, loop, error) : NULL;
    if (!client)
        return false;
    g_autofree char *base = g_strdup(link->url);
    while (g_str_has_suffix(base, "/"))
        base[strlen(base) - 1] = '\0';
    g_autofree char *url = g_strconcat(base, path, NULL);
    g_autofree char *bearer = g_strconcat("Authorization: Bearer ", link->token, NULL);
    g_autofree char *content = g_strconcat("Content-Type: ", type, NULL);
    const char *const headers[] = { content, link->token ? bearer : NULL, NULL };
    HttpAsk ask = { .method = method,
                    .url = url,
                    .headers = headers,
                    .body = body,
                    .timeout = wait->patience ? wait->patience : PATIENCE_US,
                    .once = true };
    wait->loop = loop;
    (void)http_client_send(client, &ask, on_replied, wait); /* answers before the loop ends */
    if (!loop_run(loop, error))
        return false;
    if (!wait->error)
        return true;
    g_propagate_error(error, g_steal_pointer(&wait->error));
    return false;
}

/* Whether it is what the route says: what reads it goes by that. */
static bool check_answer(const char *method, const char *path, const Value *answer,
                         GError **error) {
    g_autofree char *plain = g_strndup(path, strcspn(path, "?"));
    g_auto(RouteMatch) match = routes_match(hub_routes, hub_n_routes, method, plain);
    const char *text = match.route ? match.route->response : NULL;
    g_autoptr(GError) problem = NULL;
    g_autoptr(Value) schema = text ? json_parse(text, strlen(text), "schema", &problem) : NULL;
    if (!text || (schema && schema_check(schema, answer, &problem)))
        return true;
    g_prefix_error(&problem, "read the hub's answer to %s %s: ", method, plain);
    add_hint(&problem, "that is not what this stead (" STEAD_VERSION ") knows: is it a hub, and of "
                       "this version");
    g_propagate_error(error, g_steal_pointer(&problem));
    return false;
}

Value *hub_call(const HubLink *link, const char *method, const char *path, const Value *body,
                GError **error) {
    g_auto(Wait) wait = { .loop = NULL };
    g_autofree char *text = body ? json_print(body, JSON_COMPACT | JSON_REVEAL) : NULL;
    g_autoptr(GBytes) bytes = text ? g_bytes_new(text, strlen(text)) : NULL;
    return ask_hub(link, method, path, "application/json", bytes, &wait, error) &&
                   check_answer(method, path, wait.value, error)
               ? g_steal_pointer(&wait.value)
               : NULL;
}

Value *hub_send_bytes(const HubLink *link, const char *path, GBytes *body, GError **error) {
    g_auto(Wait) wait = { .patience = BYTES_PATIENCE_US };
    return ask_hub(link, "PUT", path, "application/octet-stream", body, &wait, error) &&
                   check_answer("PUT", path, wait.value, error)
               ? g_steal_pointer(&wait.value)
               : NULL;
}

GBytes *hub_fetch_bytes(const HubLink *link, const char *path, GError **error) {
    g_auto(Wait) wait = { .wants_bytes = true, .patience = BYTES_PATIENCE_US };
    return ask_hub(link, "GET", path, "application/json", NULL, &wait, error)
               ? g_steal_pointer(&wait.bytes)
               : NULL;
}

Value *hub_list(const HubLink *link, const char *path, const char *name, GError **error) {
    g_autoptr(Value) all = value_new_list();
    g_autofree char *after = g_strdup("");
    for (unsigned page = 0; page < PAGES_MAX; page++) {
        g_autofree char *escaped = g_uri_escape_string(after, NULL, FALSE);
        g_autofree char *url =
            *after ? g_strconcat(path, strchr(path, '?') ? "&after=" : "?after=", escaped, NULL)
                   : g_strdup(path);
        g_autoptr(Value) answer = hub_call(link, "GET", url, NULL, error);
        if (!answer)
            return NULL;
        const Value *items = value_map_get(answer, name);
        for (size_t i = 0; items && value_type(items) == VALUE_LIST && i < value_size(items); i++)
            value_list_append(all, value_ref(value_list_at(items, i)));
        const char *next = value_map_string(answer, "next", NULL);
        if (!next)
            return g_steal_pointer(&all);
        if (strcmp(next, after) == 0) {
            g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                        "read the hub's answer to GET %s: it tells of '%.100s' as the next page "
                        "again and again",
                        path, next);
            return NULL;
        }
        g_free(after);
        after = g_strdup(next);
    }
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_LIMIT,
                "read the hub's answer to GET %s: it has more than PAGES_MAX (%u) pages", path,
                PAGES_MAX);
    return NULL;
}

Value *hub_copy(const Value *map) {
    Value *copy = value_new_map();
    for (size_t i = 0; i < value_size(map); i++) {
        const char *key;
        const Value *member = value_map_at(map, i, &key);
        value_map_set(copy, key, value_ref(member));
    }
    return copy;
}

Value *hub_copy_at(const Value *map, int64_t unit) {
    Value *copy = hub_copy(map);
    int64_t at;
    if (__builtin_mul_overflow(value_map_int(map, "time", 0), unit, &at))
        at = 0; /* no time that there is */
    value_map_set(copy, "at", value_new_int(at));
    return copy;
}

int hub_exit_code(const GError *error) {
    if (error->domain == HUB_UNREACHABLE)
        return EXIT_UNREACHABLE;
    bool failed = g_error_matches(error, STEAD_ERROR, STEAD_ERROR_IO) ||
                  g_error_matches(error, STEAD_ERROR, STEAD_ERROR_TIMEOUT);
    return failed ? EXIT_FAILURES : EXIT_REFUSED;
}
