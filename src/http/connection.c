/* What libmicrohttpd calls in its threads: connections come and go, requests arrive. */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "http/keep-alive.h"
#include "http/server-private.h"

/* Without a sign of the other machine, while something is on its way to it. */
#define LOST_US ((gint64)(HTTP_LOST_SECONDS * G_USEC_PER_SEC))

/* --- connections ------------------------------------------------------------------------------ */

static void peer_set_deadline(Peer *peer, unsigned seconds) {
    gint64 deadline = seconds ? g_get_monotonic_time() + (gint64)seconds * G_USEC_PER_SEC : 0;
    __atomic_store_n(&peer->deadline, deadline, __ATOMIC_RELAXED);
}

void peer_unref(Peer *peer) {
    if (!g_atomic_int_dec_and_test(&peer->refs))
        return;
    g_clear_pointer(&peer->certificate, g_bytes_unref);
    g_free(peer->address);
    g_free(peer);
}

void peer_shut(Peer *peer) {
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&peer->server->lock);
    if (peer->fd >= 0)
        (void)shutdown(peer->fd, SHUT_RDWR); /* fails when the client was faster */
}

/* An IPv4 client of an IPv6 socket is shown, and counted, as what it is. */
static char *address_text(const struct sockaddr *address) {
    char text[INET6_ADDRSTRLEN] = "";
    if (address->sa_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)address)->sin_addr, text,
                  sizeof text);
    else if (address->sa_family == AF_INET6)
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr, text,
                  sizeof text);
    return g_strdup(g_str_has_prefix(text, "::ffff:") ? text + 7 : text);
}

/* libmicrohttpd 0.9.75 tries a TLS handshake again and again while it waits for the client: one
 * that stalls in the middle would keep a processor busy. A thread that has found nothing to read so
 * often, on any of its connections, rests a moment. */
#define EMPTY_READS 32u
#define REST_US     1000u

static ssize_t pull(gnutls_transport_ptr_t transport, void *buffer, size_t size) {
    static _Thread_local unsigned empty;
    ssize_t n = recv((int)(intptr_t)transport, buffer, size, 0);
    if (n >= 0 || errno != EAGAIN) {
        empty = 0;
    } else if (++empty >= EMPTY_READS) {
        empty = 0;
        g_usleep(REST_US);
        errno = EAGAIN;
    }
    return n;
}

static ssize_t pull_at_once(gnutls_transport_ptr_t transport, void *buffer, size_t size) {
    return recv((int)(intptr_t)transport, buffer, size, 0);
}

static void *session_of(struct MHD_Connection *connection) {
    const union MHD_ConnectionInfo *tls =
        mhd.get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    return tls ? tls->tls_session : NULL;
}

static void damp_handshake(struct MHD_Connection *connection) {
    void *session = session_of(connection);
    if (session)
        gnutls.transport_set_pull_function(session, pull);
}

/* It is over. A stream that is woken looks for something to read each time, which is no waiting. */
static void end_damping(struct MHD_Connection *connection) {
    void *session = session_of(connection);
    if (session)
        gnutls.transport_set_pull_function(session, pull_at_once);
}

/* Whether the other machine does not take what is on its way to it. Keepalive does not ask while
 * something is, and TCP_USER_TIMEOUT would also end who is there but has a full window: a client
 * that reads slowly has longer than one that is gone. */
static bool is_silent(Peer *peer, const struct tcp_info *info, gint64 now) {
    if (info->tcpi_retransmits == 0)
        peer->waits_since = 0;
    else if (peer->waits_since == 0)
        peer->waits_since = now;
    return peer->waits_since > 0 && now - peer->waits_since >= LOST_US &&
           info->tcpi_last_ack_recv >= LOST_US / 1000;
}

void peer_look(Peer *peer, gint64 now) {
    struct tcp_info info = { 0 };
    socklen_t size = sizeof info;
    if (peer->gone || peer->fd < 0 || getsockopt(peer->fd, IPPROTO_TCP, TCP_INFO, &info, &size) < 0)
        return;
    bool silent = is_silent(peer, &info, now);
    peer->gone = silent || info.tcpi_state != TCP_ESTABLISHED;
    if (silent) {
        struct linger at_once = { .l_onoff = 1 }; /* what is left to send reaches nobody */
        (void)setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        (void)shutdown(peer->fd, SHUT_RDWR);
    }
}

static Peer *peer_new(HttpServer *server, struct MHD_Connection *connection) {
    Peer *peer = g_new0(Peer, 1);
    peer->refs = 1;
    peer->server = server;
    peer->link.data = peer;
    peer->fd = mhd.get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    peer->address = address_text(
        mhd.get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr);
    peer_set_deadline(peer, server->options.header_seconds);
    socket_keep_alive(peer->fd);
    return peer;
}

void on_connection(void *data, struct MHD_Connection *connection, void **slot,
                   enum MHD_ConnectionNotificationCode code) {
    HttpServer *server = data;
    Peer *peer = *slot;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        *slot = peer = peer_new(server, connection);
        damp_handshake(connection);
        g_mutex_lock(&server->lock);
        g_queue_push_tail_link(&server->peers, &peer->link);
        g_mutex_unlock(&server->lock);
    } else if (peer) {
        g_mutex_lock(&server->lock);
        g_queue_unlink(&server->peers, &peer->link);
        peer->fd = -1;
        g_mutex_unlock(&server->lock);
        peer_unref(peer);
        *slot = NULL;
    }
}

static void take_certificate(Peer *peer, struct MHD_Connection *connection) {
    if (peer->certificate_asked)
        return;
    peer->certificate_asked = true;
    void *session = session_of(connection);
    unsigned n = 0;
    const gnutls_datum_t *chain = session ? gnutls.certificate_get_peers(session, &n) : NULL;
    if (chain && n > 0)
        peer->certificate = g_bytes_new(chain[0].data, chain[0].size);
}

/* --- requests --------------------------------------------------------------------------------- */

static enum MHD_Result add_header(void *data, enum MHD_ValueKind kind, const char *name,
                                  const char *value) {
    HttpRequest *request = data;
    g_ptr_array_add(request->headers, g_strdup(name));
    g_ptr_array_add(request->headers, g_strdup(value ? value : ""));
    return MHD_YES;
}

static enum MHD_Result add_query(void *data, enum MHD_ValueKind kind, const char *name,
                                 const char *value) {
    request_add_query(data, name, value);
    return MHD_YES;
}

static HttpRequest *request_begin(HttpServer *server, struct MHD_Connection *connection,
                                  const char *url, const char *method) {
    HttpRequest *request = request_new(&server->options, method, url);
    request->server = server;
    request->connection = connection;
    request->peer =
        mhd.get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
    g_atomic_int_inc(&request->peer->refs);
    request->refs = 1;
    if (!request->peer->certificate_asked)
        end_damping(connection);
    take_certificate(request->peer, connection);
    (void)mhd.get_connection_values(connection, MHD_HEADER_KIND, add_header, request);
    (void)mhd.get_connection_values(connection, MHD_GET_ARGUMENT_KIND, add_query, request);
    peer_set_deadline(request->peer, server->options.body_seconds);
    __atomic_add_fetch(&server->requests, 1, __ATOMIC_RELAXED);
    return request;
}

/* Refuses what the head says is too large. */
static void check_length(HttpRequest *request) {
    const char *length = http_request_header(request, "Content-Length");
    uint64_t size = length ? g_ascii_strtoull(length, NULL, 10) : 0;
    if (!request->status && size > request->body_limit)
        http_answer_error(request, 413, NULL,
                          "read the body: %" PRIu64 " bytes, more than %zu that '%.100s' takes",
                          size, request->body_limit, request->path);
}

/* Whether a refused request is answered before its body. Only one that waits for leave to send it,
 * or has more than we care to read: others do not listen until they have sent it. */
static bool answer_early(const HttpRequest *request) {
    const char *length = http_request_header(request, "Content-Length");
    uint64_t size = length ? g_ascii_strtoull(length, NULL, 10) : 0;
    return request->status && (http_request_header(request, "Expect") || size > DISCARD_LIMIT);
}

static void add_headers(struct MHD_Response *response, const HttpRequest *request) {
    mhd.add_response_header(response, "Content-Type", request->content_type);
    mhd.add_response_header(response, "Cache-Control", "no-store");
    if (request->stream) /* whose end is that of the connection */
        mhd.add_response_header(response, "Connection", "close");
    const GPtrArray *headers = request->answer_headers;
    for (unsigned i = 0; i + 1 < headers->len; i += 2)
        (void)mhd.add_response_header(response, headers->pdata[i], headers->pdata[i + 1]);
}

static void unref_stream(void *stream) {
    stream_unref(stream);
}

static void unref_bytes(void *bytes) {
    g_bytes_unref(bytes);
}

static struct MHD_Response *stream_response(HttpStream *stream) {
    g_atomic_int_inc(&stream->refs);
    return mhd.create_response_from_callback(MHD_SIZE_UNKNOWN, 512, stream_read, stream,
                                             unref_stream);
}

static struct MHD_Response *bytes_response(GBytes *bytes) {
    size_t size;
    const void *data = g_bytes_get_data(bytes, &size);
    return mhd.create_response_from_buffer_with_free_callback_cls(size, (void *)(uintptr_t)data,
                                                                  unref_bytes, g_bytes_ref(bytes));
}

static enum MHD_Result queue_answer(HttpRequest *request) {
    peer_set_deadline(request->peer, 0); /* libmicrohttpd drops one that does not take it */
    struct MHD_Response *response =
        request->stream ? stream_response(request->stream) : bytes_response(request->answer);
    if (!response)
        return MHD_NO;
    add_headers(response, request);
    enum MHD_Result queued = mhd.queue_response(request->connection, request->status, response);
    mhd.destroy_response(response);
    return queued;
}

void http_server_deliver(void *data) {
    HttpRequest *request = data;
    request->delivered = true;
    request_dispatch(request);
}

static enum MHD_Result hand_over(HttpRequest *request) {
    HttpServer *server = request->server;
    request_body_done(request);
    peer_set_deadline(request->peer, 0);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&server->lock);
    if (server->stopping)
        return MHD_NO;
    request->handed_over = true;
    g_atomic_int_inc(&request->refs);
    g_hash_table_add(server->held, request);
    mhd.suspend_connection(request->connection);
    loop_post(server->loop, http_server_deliver, request);
    return MHD_YES;
}

enum MHD_Result on_access(void *data, struct MHD_Connection *connection, const char *url,
                          const char *method, const char *version, const char *upload,
                          size_t *upload_size, void **slot) {
    HttpServer *server = data;
    HttpRequest *request = *slot;
    if (!request) {
        *slot = request = request_begin(server, connection, url, method);
        if (request_find_route(request))
            check_length(request);
        if (request->status)
            __atomic_add_fetch(&server->refused, 1, __ATOMIC_RELAXED);
        return answer_early(request) ? queue_answer(request) : MHD_YES;
    }
    if (*upload_size > 0) {
        request_take_body(request, upload, *upload_size);
        *upload_size = 0;
        return request->body_seen > request->body_limit + DISCARD_LIMIT ? MHD_NO : MHD_YES;
    }
    if (request->status)
        return queue_answer(request);
    return request->handed_over ? MHD_NO : hand_over(request); /* NO: the server ends */
}

void on_completed(void *data, struct MHD_Connection *connection, void **slot,
                  enum MHD_RequestTerminationCode code) {
    HttpServer *server = data;
    HttpRequest *request = *slot;
    if (!request)
        return;
    *slot = NULL;
    peer_set_deadline(request->peer, server->options.idle_seconds);
    if (request->stream)
        stream_gone(request->stream);
    request_unref(request);
}
