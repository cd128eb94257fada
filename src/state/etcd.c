/*
 * A store in a cluster of etcd, version 3.4 or later, through its JSON gateway. One member is asked
 * until it fails, then the next. A call is sent again by itself only when it cannot have been done,
 * or when doing it twice is the same as once; a write whose answer was lost is told as that.
 */
#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "state/etcd-private.h"
#include "state/etcd.h"

/* etcd itself gives up after 7 s. */
#define CALL_TIMEOUT (10ull * G_USEC_PER_SEC)
/* Every member is asked so often. */
#define ROUNDS   2u
#define PAUSE_US 100000u /* between rounds */

/* What is done about a call; its job. */
typedef struct {
    Etcd *etcd;
    StoreCall *call;
    GBytes *body;
    unsigned member, tries;
    HttpCall *http;   /* it was sent */
    LoopTimer *pause; /* it will be */
    bool waits;       /* for a login */
    bool logged_in;   /* for this call alone; once is enough */
} Attempt;

Etcd *etcd_of(Store *state) {
    return (Etcd *)(void *)state;
}

HttpCall *etcd_send(Etcd *etcd, unsigned member, const char *path, GBytes *body, HttpAsk ask,
                    HttpReplied replied, void *data) {
    const char *url = etcd->members[member % etcd->n_members];
    return etcd_send_to(etcd, url, true, path, body, ask, replied, data);
}

HttpCall *etcd_send_to(Etcd *etcd, const char *base, bool with_leader, const char *path,
                       GBytes *body, HttpAsk ask, HttpReplied replied, void *data) {
    g_autofree char *url = g_strconcat(base, "/v3/", path, NULL);
    const char *headers[4] = { "Content-Type: application/json" };
    unsigned n = 1;
    if (with_leader) /* a member that has lost the others says so, instead of letting us wait */
        headers[n++] = "Grpc-Metadata-hasleader: true";
    headers[n] = etcd->token;
    ask.url = url;
    ask.headers = headers;
    ask.body = body;
    return http_client_send(etcd->http, &ask, replied, data);
}

unsigned etcd_leave(Etcd *etcd, unsigned member) {
    if (etcd->member == member)
        etcd->member = (member + 1) % etcd->n_members;
    return (member + 1) % etcd->n_members;
}

/* --- calls */

static void attempt_free(Attempt *attempt) {
    loop_timer_clear(&attempt->pause);
    g_clear_pointer(&attempt->http, http_call_cancel);
    g_bytes_unref(attempt->body);
    g_free(attempt);
}

/* Takes answer and error over. */
static void finish(Attempt *attempt, StoreAnswer *answer, GError *error) {
    StoreCall *call = attempt->call;
    attempt_free(attempt);
    call_answer(call, answer, error);
}

/* Whether doing it twice is as good as once. A lease that nobody knows of expires. */
static bool may_repeat(const StoreCall *call) {
    return call->kind == CALL_KEEP || call->kind == CALL_GRANT || !call_is_write(call);
}

static void on_reply(void *data, const HttpReply *reply, const GError *error);

static void send(Attempt *attempt) {
    Etcd *etcd = attempt->etcd;
    if (etcd->user != NULL && etcd->token == NULL) {
        attempt->waits = true;
        etcd_login(etcd);
        return;
    }
    HttpAsk ask = { .timeout = CALL_TIMEOUT,
                    .once = !may_repeat(attempt->call),
                    .reply_limit = STORE_LIMIT_RANGE / 3 * 4 + (32u << 20) };
    attempt->http = etcd_send(etcd, attempt->member, etcd_path(attempt->call), attempt->body, ask,
                              on_reply, attempt);
}

static void on_pause(void *data) {
    send(data);
}

/* Takes error over: what the last member said. */
static void try_next(Attempt *attempt, GError *error) {
    Etcd *etcd = attempt->etcd;
    attempt->member = etcd_leave(etcd, attempt->member);
    attempt->tries++;
    if (attempt->tries >= ROUNDS * etcd->n_members) {
        finish(attempt, NULL, error);
        return;
    }
    g_error_free(error);
    bool again = attempt->tries % etcd->n_members == 0;
    loop_timer_set(etcd->state.loop, &attempt->pause,
                   loop_now(etcd->state.loop) + (again ? PAUSE_US : 0), on_pause, attempt);
}

static void answer_lost(Attempt *attempt, const char *why) {
    finish(attempt, NULL,
           g_error_new(STORE_ERROR, STORE_ERROR_UNKNOWN_OUTCOME, "%s; it may be done or not", why));
}

static GError *out_of_reach(const Attempt *attempt, const GError *error) {
    bool hub = strcmp(attempt->etcd->state.class->kind, "hub") == 0;
    return g_error_new(STORE_ERROR, STORE_ERROR_UNAVAILABLE, "%s; does %s run there",
                       error->message, hub ? "a hub" : "etcd");
}

static void on_no_reply(Attempt *attempt, const HttpReply *reply, const GError *error) {
    if (error->code == STEAD_ERROR_LIMIT)
        finish(attempt, NULL, error_range_large());
    else if (reply->sent && !may_repeat(attempt->call))
        answer_lost(attempt, error->message);
    else if (error->code == STEAD_ERROR_TIMEOUT && attempt->etcd->n_members == 1)
        /* Who said nothing for so long is cut off: whoever waits hears of it now. */
        finish(attempt, NULL, out_of_reach(attempt, error));
    else if (error->code == STEAD_ERROR_REFUSED)
        try_next(attempt,
                 g_error_new_literal(STORE_ERROR, STORE_ERROR_UNAVAILABLE, error->message));
    else
        try_next(attempt, out_of_reach(attempt, error));
}

static void on_refused(Attempt *attempt, const HttpReply *reply) {
    g_autoptr(GError) error = NULL;
    switch (etcd_fate(reply->status, reply->body, &error)) {
    case ETCD_LOGIN:
        if (attempt->logged_in || !etcd_can_login(attempt->etcd))
            break;
        attempt->logged_in = attempt->waits = true;
        etcd_login(attempt->etcd);
        return;
    case ETCD_UNKNOWN:
        if (!may_repeat(attempt->call)) {
            answer_lost(attempt, error->message);
            return;
        }
        try_next(attempt, g_steal_pointer(&error));
        return;
    case ETCD_ELSEWHERE:
        try_next(attempt, g_steal_pointer(&error));
        return;
    case ETCD_REFUSED:
        break;
    }
    finish(attempt, NULL, g_steal_pointer(&error));
}

static void note_cluster(Etcd *etcd, const Value *value) {
    const Value *header = value_type(value) == VALUE_MAP ? value_map_get(value, "header") : NULL;
    const char *cluster =
        value_type(header) == VALUE_MAP ? value_map_string(header, "cluster_id", "") : "";
    bool number = *cluster != '\0' && cluster[strspn(cluster, "0123456789")] == '\0';
    if (!number || g_strcmp0(etcd->cluster, cluster) == 0)
        return;
    g_free(etcd->cluster);
    etcd->cluster = g_strdup(cluster);
}

static const char *etcd_identity(const Store *state) {
    const Etcd *etcd = (const Etcd *)(const void *)state;
    return etcd->cluster != NULL ? etcd->cluster : "";
}

static void on_answer(Attempt *attempt, const HttpReply *reply) {
    GError *error = NULL;
    gsize size;
    const char *text = g_bytes_get_data(reply->body, &size);
    g_autoptr(Value) value = size > 0 ? json_parse(text, size, "etcd", NULL) : NULL;
    const Value *problem = value_type(value) == VALUE_MAP ? value_map_get(value, "error") : NULL;
    note_cluster(attempt->etcd, value);
    StoreAnswer *answer = NULL;
    if (value_type(problem) == VALUE_MAP) /* of a stream */
        (void)etcd_fate_of_text(value_map_string(problem, "message", "?"), &error);
    else
        answer = etcd_answer(attempt->call, value, &error);
    finish(attempt, answer, error);
}

static void on_reply(void *data, const HttpReply *reply, const GError *error) {
    Attempt *attempt = data;
    attempt->http = NULL;
    if (error != NULL)
        on_no_reply(attempt, reply, error);
    else if (reply->status == 200)
        on_answer(attempt, reply);
    else
        on_refused(attempt, reply);
}

static void etcd_start(StoreCall *call) {
    Etcd *etcd = etcd_of(call->state);
    Attempt *attempt = g_new0(Attempt, 1);
    *attempt = (Attempt){ .etcd = etcd, .call = call, .member = etcd->member };
    attempt->body = etcd_request(call);
    call->job = attempt;
    send(attempt);
}

static void etcd_cancel(StoreCall *call) {
    attempt_free(call->job);
}

/* --- who we are */

bool etcd_can_login(const Etcd *etcd) {
    return etcd->user != NULL;
}

static StoreCall *waiting_call(Etcd *etcd) {
    for (GList *link = etcd->state.calls.head; link != NULL; link = link->next) {
        StoreCall *call = link->data;
        if (call->job != NULL && ((Attempt *)call->job)->waits)
            return call;
    }
    return NULL;
}

static StoreWatch *waiting_watch(Etcd *etcd) {
    for (GList *link = etcd->state.watches.head; link != NULL; link = link->next)
        if (etcd_watch_waits(link->data))
            return link->data;
    return NULL;
}

/* Takes what waits one at a time: each may start or end others. */
static void go_on(Etcd *etcd, const GError *error) {
    StoreCall *call;
    StoreWatch *watch;
    while ((call = waiting_call(etcd)) != NULL) {
        Attempt *attempt = call->job;
        attempt->waits = false;
        if (error == NULL)
            send(attempt);
        else if (error->code == STORE_ERROR_UNAVAILABLE)
            try_next(attempt, g_error_copy(error));
        else
            finish(attempt, NULL, g_error_copy(error));
    }
    while ((watch = waiting_watch(etcd)) != NULL)
        etcd_watch_go_on(watch, error);
}

static void on_login(void *data, const HttpReply *reply, const GError *problem) {
    Etcd *etcd = data;
    g_autoptr(GError) error = NULL;
    etcd->login = NULL;
    gsize size;
    const char *text = g_bytes_get_data(reply->body, &size);
    if (problem != NULL) {
        g_set_error_literal(&error, STORE_ERROR, STORE_ERROR_UNAVAILABLE, problem->message);
    } else if (reply->status != 200) {
        (void)etcd_fate(reply->status, reply->body, &error);
        g_prefix_error(&error, "log in as '%s': ", etcd->user);
    } else {
        g_autoptr(Value) value = json_parse(text, size, "etcd", NULL);
        const char *token =
            value_type(value) == VALUE_MAP ? value_map_string(value, "token", "") : "";
        etcd->token = g_strconcat("Authorization: ", token, NULL);
    }
    if (error != NULL && error->code == STORE_ERROR_UNAVAILABLE)
        etcd->member = (etcd->member + 1) % etcd->n_members;
    go_on(etcd, error);
}

void etcd_login(Etcd *etcd) {
    if (etcd->login != NULL)
        return;
    g_clear_pointer(&etcd->token, g_free);
    g_autoptr(GBytes) body = etcd_login_request(etcd->user, etcd->password);
    etcd->login = etcd_send(etcd, etcd->member, "auth/authenticate", body,
                            (HttpAsk){ .timeout = CALL_TIMEOUT }, on_login, etcd);
}

/* --- life */

static void etcd_free(Store *state) {
    Etcd *etcd = etcd_of(state);
    http_client_free(etcd->http);
    g_ptr_array_unref(etcd->earlier);
    g_strfreev(etcd->members);
    g_free(etcd->user);
    g_free(etcd->password);
    g_free(etcd->token);
    g_free(etcd->cluster);
    g_free(etcd);
}

static bool take_members(Etcd *etcd, const char *urls, GError **error) {
    g_auto(GStrv) members = g_strsplit(urls, ",", 0);
    unsigned n = g_strv_length(members);
    for (unsigned i = 0; i < n; i++) {
        char *url = members[i];
        if (!g_str_has_prefix(url, "http://") && !g_str_has_prefix(url, "https://")) {
            g_set_error(error, STORE_ERROR, STORE_ERROR_INVALID,
                        "open etcd: '%s' is no address; write http://HOST:2379 or "
                        "https://HOST:2379",
                        url);
            return false;
        }
        for (size_t end = strlen(url); url[end - 1] == '/'; end--)
            url[end - 1] = '\0';
    }
    if (n == 0) {
        g_set_error_literal(error, STORE_ERROR, STORE_ERROR_INVALID,
                            "open etcd: no address; write http://HOST:2379 or https://HOST:2379");
        return false;
    }
    g_strfreev(etcd->members);
    etcd->members = g_steal_pointer(&members);
    etcd->n_members = n;
    etcd->member %= n;
    return true;
}

bool etcd_set_urls(Store *state, const char *urls, GError **error) {
    Etcd *etcd = etcd_of(state);
    g_autofree char *now = g_strjoinv(",", etcd->members);
    return strcmp(now, urls) == 0 || take_members(etcd, urls, error);
}

static void client_free(void *client) {
    http_client_free(client);
}

static bool set_client(Etcd *etcd, const StoreEtcdOptions *options, GError **error) {
    HttpClientOptions tls = { .ca = options->ca,
                              .certificate = options->certificate,
                              .key = options->key,
                              .socket = options->socket };
    g_autoptr(GError) problem = NULL;
    HttpClient *client = http_client_new(etcd->state.loop, &tls, &problem);
    if (client == NULL) {
        g_set_error(error, STORE_ERROR, STORE_ERROR_FAILED, "open the store: %s", problem->message);
        return false;
    }
    if (etcd->http != NULL)
        g_ptr_array_add(etcd->earlier, etcd->http);
    etcd->http = client;
    return true;
}

static const StoreClass etcd_class = {
    .kind = "etcd",
    .start = etcd_start,
    .cancel = etcd_cancel,
    .watch = etcd_watch,
    .unwatch = etcd_unwatch,
    .free = etcd_free,
    .identity = etcd_identity,
};

static const StoreClass hub_class = {
    .kind = "hub",
    .start = etcd_start,
    .cancel = etcd_cancel,
    .watch = etcd_watch,
    .unwatch = etcd_unwatch,
    .free = etcd_free,
    .identity = etcd_identity,
};

Store *store_open_etcd(Loop *loop, const StoreEtcdOptions *options, GError **error) {
    Etcd *etcd = g_new0(Etcd, 1);
    store_init(&etcd->state, options->is_hub ? &hub_class : &etcd_class, loop);
    etcd->user = g_strdup(options->user);
    etcd->password = g_strdup(options->password != NULL ? options->password : "");
    etcd->earlier = g_ptr_array_new_with_free_func(client_free);
    if (take_members(etcd, options->urls, error) && set_client(etcd, options, error))
        return &etcd->state;
    store_free(&etcd->state);
    return NULL;
}

bool store_etcd_renew(Store *state, const StoreEtcdOptions *options, GError **error) {
    g_assert(state->class->start == etcd_start);
    return set_client(etcd_of(state), options, error);
}
