#include "http/client.h"

#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/error.h"
#include "http/curl-lib.h"
#include "http/keep-alive.h"

#define KEPT_HANDLES 64u /* and connections, without a request */

struct HttpClient {
    bool unverified;
    Loop *loop;
    CURLM *multi;
    char *ca, *certificate, *key, *socket;
    LoopTimer *now, *timer; /* libcurl wants to be called: at once; by deadline */
    uint64_t deadline;      /* loop time; the timer may be set to an earlier one */
    GHashTable *sockets;    /* fd -> Socket */
    GQueue calls;           /* of HttpCall */
    GQueue ready;           /* of HttpCall: those with data or an end to tell */
    GPtrArray *idle;        /* of CURL *: to be used again */
    bool telling;
};

/* A connection is used again and again: its source stays from one call to the next, and what it is
 * registered for with it. */
typedef struct {
    LoopSource *source;
    uint32_t events;
    bool idle; /* no call has it */
} Socket;

struct HttpCall {
    HttpClient *client;
    GList link, ready_link;
    bool is_ready;
    CURL *easy;
    struct curl_slist *headers;
    char *url;
    GBytes *body;
    HttpDataCallback on_data;
    HttpReplied replied;
    void *data;
    bool once;
    size_t limit;
    unsigned sendings;   /* how often the request was about to be sent */
    GByteArray *stream;  /* for on_data, not told yet */
    GByteArray *content; /* of the reply */
    bool too_large, ended;
    CURLcode result;
    char problem[CURL_ERROR_SIZE];
};

/* --- what libcurl calls; nothing here may call it back, so it is told later */

static void make_ready(HttpCall *call) {
    if (!call->is_ready)
        g_queue_push_tail_link(&call->client->ready, &call->ready_link);
    call->is_ready = true;
}

static unsigned status_of(const HttpCall *call) {
    long status = 0;
    (void)curl.easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    return (unsigned)status;
}

static size_t on_body(char *bytes, size_t unit, size_t size, void *data) {
    HttpCall *call = data;
    bool to_stream = call->on_data != NULL && status_of(call) / 100 == 2;
    call->too_large = !to_stream && call->content->len + size > call->limit;
    if (call->too_large)
        return 0;
    g_byte_array_append(to_stream ? call->stream : call->content, (guint8 *)bytes, (guint)size);
    if (to_stream)
        make_ready(call);
    return size;
}

/* libcurl sends a request again when a kept connection is closed before anything came back, though
 * the server may have done what it asks. */
static int on_send(void *data, char *peer, char *local, int peer_port, int local_port) {
    HttpCall *call = data;
    call->sendings++;
    return call->once && call->sendings > 1 ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

/* The options of libcurl do not say how often it asks: that would be nine times. */
static int on_connecting(void *data, curl_socket_t fd, curlsocktype purpose) {
    socket_keep_alive(fd);
    return CURL_SOCKOPT_OK;
}

/* --- sockets and time */

static void after_action(HttpClient *client);

static void on_socket_ready(void *data, int fd, uint32_t events) {
    HttpClient *client = data;
    int running, mask = 0;
    const Socket *socket = g_hash_table_lookup(client->sockets, GINT_TO_POINTER(fd));
    if (socket->idle) { /* the server closed it, which libcurl sees when it takes it again */
        g_hash_table_remove(client->sockets, GINT_TO_POINTER(fd));
        return;
    }
    mask |= events & (EPOLLIN | EPOLLHUP) ? CURL_CSELECT_IN : 0;
    mask |= events & EPOLLOUT ? CURL_CSELECT_OUT : 0;
    mask |= events & EPOLLERR ? CURL_CSELECT_ERR : 0;
    (void)curl.multi_socket_action(client->multi, fd, mask, &running);
    after_action(client);
}

static void socket_free(void *data) {
    Socket *socket = data;
    loop_source_free(socket->source);
    g_free(socket);
}

/* One that waits to write would always be ready. */
static void set_idle(HttpClient *client, int fd) {
    Socket *socket = g_hash_table_lookup(client->sockets, GINT_TO_POINTER(fd));
    if (socket != NULL && socket->events == EPOLLIN)
        socket->idle = true;
    else
        g_hash_table_remove(client->sockets, GINT_TO_POINTER(fd));
}

static bool watch(HttpClient *client, int fd, uint32_t events) {
    Socket *socket = g_hash_table_lookup(client->sockets, GINT_TO_POINTER(fd));
    if (socket != NULL && socket->events == events) {
        socket->idle = false;
        return true;
    }
    g_hash_table_remove(client->sockets, GINT_TO_POINTER(fd)); /* epoll takes it only once */
    LoopSource *source = loop_watch_fd(client->loop, fd, events, on_socket_ready, client, NULL);
    if (source == NULL)
        return false;
    socket = g_new(Socket, 1);
    *socket = (Socket){ .source = source, .events = events };
    g_hash_table_insert(client->sockets, GINT_TO_POINTER(fd), socket);
    return true;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *data, void *socket_data) {
    HttpClient *client = data;
    if (what == CURL_POLL_REMOVE) {
        set_idle(client, fd);
        return 0;
    }
    uint32_t events = (what != CURL_POLL_OUT ? (uint32_t)EPOLLIN : 0) |
                      (what != CURL_POLL_IN ? (uint32_t)EPOLLOUT : 0);
    return watch(client, fd, events) ? 0 : -1;
}

/* Before another descriptor gets its number. */
static int on_close(void *data, curl_socket_t fd) {
    HttpClient *client = data;
    g_hash_table_remove(client->sockets, GINT_TO_POINTER(fd));
    return close(fd);
}

static void on_now(void *data) {
    HttpClient *client = data;
    int running;
    (void)curl.multi_socket_action(client->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    after_action(client);
}

static void on_time(void *data) {
    HttpClient *client = data;
    if (client->deadline == UINT64_MAX)
        return;
    if (loop_now(client->loop) < client->deadline)
        loop_timer_set(client->loop, &client->timer, client->deadline, on_time, client);
    else
        on_now(client);
}

/* Each call moves the time by which the earliest of all ends, mostly to a later one: a timer that
 * fires too early for nothing costs less than one that is set again and again. */
static int on_timer(CURLM *multi, long ms, void *data) {
    HttpClient *client = data;
    uint64_t now = loop_now(client->loop);
    loop_timer_clear(&client->now);
    client->deadline = ms < 0 ? UINT64_MAX : now + (uint64_t)ms * 1000;
    if (ms == 0)
        loop_timer_set(client->loop, &client->now, now, on_now, client);
    else if (ms > 0 &&
             (client->timer == NULL || loop_timer_deadline(client->timer) > client->deadline))
        loop_timer_set(client->loop, &client->timer, client->deadline, on_time, client);
    return 0;
}

/* --- the end of a call */

static void give_back(HttpClient *client, CURL *easy) {
    /* What belonged to the call is gone. */
    (void)curl.easy_setopt(easy, CURLOPT_ERRORBUFFER, NULL);
    (void)curl.easy_setopt(easy, CURLOPT_HTTPHEADER, NULL);
    (void)curl.easy_setopt(easy, CURLOPT_PRIVATE, NULL);
    if (client->idle->len < KEPT_HANDLES)
        g_ptr_array_add(client->idle, easy);
    else
        curl.easy_cleanup(easy);
}

static void call_free(HttpCall *call) {
    HttpClient *client = call->client;
    g_queue_unlink(&client->calls, &call->link);
    if (call->is_ready)
        g_queue_unlink(&client->ready, &call->ready_link);
    if (call->easy != NULL) {
        (void)curl.multi_remove_handle(client->multi, call->easy);
        give_back(client, call->easy);
    }
    curl.slist_free_all(call->headers);
    g_clear_pointer(&call->body, g_bytes_unref);
    g_byte_array_unref(call->stream);
    g_byte_array_unref(call->content);
    g_free(call->url);
    g_free(call);
}

void http_call_cancel(HttpCall *call) {
    call_free(call);
}

static int code_of(const HttpCall *call) {
    switch ((int)call->result) {
    case CURLE_OPERATION_TIMEDOUT:
        return STEAD_ERROR_TIMEOUT;
    case CURLE_PEER_FAILED_VERIFICATION:
        return STEAD_ERROR_REFUSED;
    default:
        return call->too_large ? STEAD_ERROR_LIMIT : STEAD_ERROR_IO;
    }
}

/* What libcurl says of a certificate, without its own beginning. */
static const char *certificate_problem(const char *text) {
    static const char *const starts[] = { "SSL certificate problem: ", "SSL: " };
    for (unsigned i = 0; i < G_N_ELEMENTS(starts); i++)
        if (g_str_has_prefix(text, starts[i]))
            return text + strlen(starts[i]);
    return text;
}

static char *connect_problem(const HttpCall *call) {
    long number = 0;
    (void)curl.easy_getinfo(call->easy, CURLINFO_OS_ERRNO, &number);
    return g_strdup_printf("connect: %s",
                           number > 0 ? g_strerror((int)number) : "there is no way to it");
}

static char *time_problem(const HttpCall *call) {
    if (call->sendings == 0)
        return g_strdup_printf("connect: no answer within %u s",
                               (unsigned)(HTTP_CONNECT_TIMEOUT / G_USEC_PER_SEC));
    return g_strdup("it did not answer in time");
}

/* In our words where they help, without remedies: who asks knows those. Caller frees. */
static char *problem_of(const HttpCall *call) {
    const char *said = *call->problem ? call->problem : curl.easy_strerror(call->result);
    switch ((int)call->result) {
    case CURLE_ABORTED_BY_CALLBACK:
    case CURLE_GOT_NOTHING:
        return g_strdup("the connection was closed");
    case CURLE_COULDNT_CONNECT:
        return connect_problem(call);
    case CURLE_COULDNT_RESOLVE_HOST:
        return g_strdup("nobody here knows this name");
    case CURLE_OPERATION_TIMEDOUT:
        return time_problem(call);
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
        return g_strdup("this is no address; write it as https://HOST:PORT");
    case CURLE_PEER_FAILED_VERIFICATION:
        return g_strdup_printf("its certificate is not trusted: %s", certificate_problem(said));
    case CURLE_SSL_CACERT_BADFILE:
        return g_strdup("whom to trust is no certificate in PEM");
    case CURLE_SSL_CERTPROBLEM:
        return g_strdup("our certificate or its key is not in PEM, or they are no pair");
    default:
        return g_strdup(said);
    }
}

static GError *error_of(const HttpCall *call) {
    if (call->result == CURLE_OK)
        return NULL;
    g_autofree char *problem = call->too_large
                                   ? g_strdup_printf("the answer is above %zu bytes", call->limit)
                                   : problem_of(call);
    return g_error_new(STEAD_ERROR, code_of(call), "ask '%s': %s", call->url, problem);
}

static void tell_end(HttpCall *call) {
    g_autoptr(GError) error = error_of(call);
    g_autoptr(GBytes) body = g_byte_array_free_to_bytes(g_steal_pointer(&call->content));
    call->content = g_byte_array_new();
    HttpReply reply = { .status = status_of(call), .body = body, .sent = call->sendings > 0 };
    HttpReplied replied = call->replied;
    void *data = call->data;
    call_free(call);
    replied(data, &reply, error);
}

/* What callbacks start or cancel is seen here too. */
static void tell_ready(HttpClient *client) {
    if (client->telling)
        return;
    client->telling = true;
    while (client->ready.head != NULL) {
        HttpCall *call = client->ready.head->data;
        if (call->stream->len > 0) {
            g_autoptr(GByteArray) stream = call->stream;
            call->stream = g_byte_array_new();
            call->on_data(call->data, (const char *)stream->data, stream->len);
            continue; /* it may be gone */
        }
        g_queue_unlink(&client->ready, &call->ready_link);
        call->is_ready = false;
        if (call->ended)
            tell_end(call);
    }
    client->telling = false;
}

static void after_action(HttpClient *client) {
    CURLMsg *message;
    int left;
    while ((message = curl.multi_info_read(client->multi, &left)) != NULL) {
        HttpCall *call = NULL;
        if (message->msg != CURLMSG_DONE)
            continue;
        (void)curl.easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &call);
        call->ended = true;
        call->result = message->data.result;
        make_ready(call);
    }
    tell_ready(client);
}

/* --- asking */

static void set_body(HttpCall *call, const HttpAsk *ask) {
    gsize size = 0;
    const void *body = ask->body != NULL ? g_bytes_get_data(ask->body, &size) : NULL;
    if (ask->body != NULL) {
        call->body = g_bytes_ref(ask->body);
        (void)curl.easy_setopt(call->easy, CURLOPT_POST, 1L);
        (void)curl.easy_setopt(call->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)size);
        (void)curl.easy_setopt(call->easy, CURLOPT_POSTFIELDS, size > 0 ? body : "");
    } else {
        (void)curl.easy_setopt(call->easy, CURLOPT_HTTPGET, 1L);
    }
    (void)curl.easy_setopt(call->easy, CURLOPT_CUSTOMREQUEST, ask->method);
    /* Without waiting for "100 Continue". */
    call->headers = curl.slist_append(NULL, "Expect:");
    for (const char *const *header = ask->headers; header != NULL && *header != NULL; header++)
        call->headers = curl.slist_append(call->headers, *header);
    (void)curl.easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->headers);
}

static void set_blob(CURL *easy, CURLoption option, char *text) {
    struct curl_blob blob = { text, text != NULL ? strlen(text) : 0, CURL_BLOB_NOCOPY };
    if (text != NULL)
        (void)curl.easy_setopt(easy, option, &blob);
}

/* What is the same for all calls: a handle keeps it. */
static void set_always(CURL *easy, HttpClient *client) {
    (void)curl.easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl.easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_send);
    (void)curl.easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close);
    (void)curl.easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, client);
    (void)curl.easy_setopt(easy, CURLOPT_BUFFERSIZE, 32L * 1024);
    (void)curl.easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    (void)curl.easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl.easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    (void)curl.easy_setopt(easy, CURLOPT_PROXY, "");
    (void)curl.easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)(HTTP_CONNECT_TIMEOUT / 1000));
    (void)curl.easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, on_connecting);
    (void)curl.easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, client->unverified ? 0L : 1L);
    (void)curl.easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, client->unverified ? 0L : 2L);
    (void)curl.easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, client->socket);
    set_blob(easy, CURLOPT_CAINFO_BLOB, client->ca);
    set_blob(easy, CURLOPT_SSLCERT_BLOB, client->certificate);
    set_blob(easy, CURLOPT_SSLKEY_BLOB, client->key);
}

static void set_call(HttpCall *call, const HttpAsk *ask) {
    CURL *easy = call->easy;
    (void)curl.easy_setopt(easy, CURLOPT_PRIVATE, call);
    (void)curl.easy_setopt(easy, CURLOPT_URL, ask->url);
    (void)curl.easy_setopt(easy, CURLOPT_ERRORBUFFER, call->problem);
    (void)curl.easy_setopt(easy, CURLOPT_WRITEDATA, call);
    (void)curl.easy_setopt(easy, CURLOPT_PREREQDATA, call);
    (void)curl.easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)(ask->timeout / 1000));
    set_body(call, ask);
}

static CURL *take_handle(HttpClient *client) {
    if (client->idle->len > 0)
        return g_ptr_array_steal_index_fast(client->idle, client->idle->len - 1);
    CURL *easy = curl.easy_init();
    if (easy == NULL)
        g_error("make a handle of libcurl: out of memory");
    set_always(easy, client);
    return easy;
}

HttpCall *http_client_send(HttpClient *client, const HttpAsk *ask, HttpReplied replied,
                           void *data) {
    HttpCall *call = g_new0(HttpCall, 1);
    *call = (HttpCall){ .client = client, .on_data = ask->on_data, .replied = replied };
    call->data = data;
    call->url = g_strdup(ask->url);
    call->once = ask->once;
    call->limit = ask->reply_limit > 0 ? ask->reply_limit : HTTP_REPLY_LIMIT;
    call->stream = g_byte_array_new();
    call->content = g_byte_array_new();
    call->link.data = call->ready_link.data = call;
    g_queue_push_tail_link(&client->calls, &call->link);
    call->easy = take_handle(client);
    set_call(call, ask);
    /* It does nothing but set the timer; an address that is wrong is told from there. */
    CURLMcode added = curl.multi_add_handle(client->multi, call->easy);
    if (added != CURLM_OK)
        g_error("ask '%s': libcurl does not take it (%d)", ask->url, (int)added);
    return call;
}

/* --- life */

static bool set_up(HttpClient *client) {
    client->multi = curl.multi_init();
    return client->multi != NULL &&
           curl.multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, on_socket) == CURLM_OK &&
           curl.multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client) == CURLM_OK &&
           curl.multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, on_timer) == CURLM_OK &&
           curl.multi_setopt(client->multi, CURLMOPT_TIMERDATA, client) == CURLM_OK &&
           curl.multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, (long)KEPT_HANDLES) == CURLM_OK;
}

bool http_client_need(GError **error) {
    return curl_need(error);
}

HttpClient *http_client_new(Loop *loop, const HttpClientOptions *options, GError **error) {
    if (!curl_need(error))
        return NULL;
    g_autoptr(HttpClient) client = g_new0(HttpClient, 1);
    client->loop = loop;
    client->sockets = g_hash_table_new_full(NULL, NULL, NULL, socket_free);
    client->idle = g_ptr_array_new();
    g_queue_init(&client->calls);
    g_queue_init(&client->ready);
    client->unverified = options != NULL && options->unverified;
    client->ca = options != NULL ? g_strdup(options->ca) : NULL;
    client->certificate = options != NULL ? g_strdup(options->certificate) : NULL;
    client->key = options != NULL ? g_strdup(options->key) : NULL;
    client->socket = options != NULL ? g_strdup(options->socket) : NULL;
    if (set_up(client))
        return g_steal_pointer(&client);
    g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_FAILED, "start libcurl: out of memory");
    return NULL;
}

void http_client_free(HttpClient *client) {
    if (client == NULL)
        return;
    g_assert(!client->telling);
    while (client->calls.head != NULL)
        call_free(client->calls.head->data);
    for (unsigned i = 0; i < client->idle->len; i++)
        curl.easy_cleanup(g_ptr_array_index(client->idle, i));
    g_ptr_array_unref(client->idle);
    if (client->multi != NULL)
        (void)curl.multi_cleanup(client->multi);
    loop_timer_clear(&client->now);
    loop_timer_clear(&client->timer);
    g_hash_table_unref(client->sockets);
    g_free(client->ca);
    g_free(client->certificate);
    if (client->key != NULL)
        explicit_bzero(client->key, strlen(client->key));
    g_free(client->key);
    g_free(client->socket);
    g_free(client);
}
