#include "http/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "http/server-private.h"

#define THREADS_MAX   4u
#define SWEEPS_OF_ALL 2u /* after which all connections were looked at */

/* --- listening -------------------------------------------------------------------------------- */

static bool parse_address(const HttpServerOptions *options, struct sockaddr_storage *ret,
                          socklen_t *ret_size, GError **error) {
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(options->port) };
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(options->port) };
    if (inet_pton(AF_INET, options->address, &in.sin_addr) == 1) {
        memcpy(ret, &in, sizeof in);
        *ret_size = sizeof in;
    } else if (inet_pton(AF_INET6, options->address, &in6.sin6_addr) == 1) {
        memcpy(ret, &in6, sizeof in6);
        *ret_size = sizeof in6;
    } else {
        g_set_error(
            error, STEAD_ERROR, STEAD_ERROR_REFUSED,
            "listen on '%s': not an address; write it as 192.0.2.1 or 2001:db8::1, and 0.0.0.0 "
            "or :: for all of this machine",
            options->address);
        return false;
    }
    return true;
}

static int listen_at(const HttpServerOptions *options, GError **error) {
    struct sockaddr_storage address;
    socklen_t size;
    if (!parse_address(options, &address, &size, error))
        return -1;
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int on = 1, off = 0;
    if (fd >= 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (fd >= 0 && address.ss_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&address, size) == 0 && listen(fd, 4096) == 0)
        return fd;
    (void)set_io_error(error, errno, "listen on '%s', port %u", options->address, options->port);
    if (fd >= 0)
        close(fd);
    return -1;
}

static uint16_t port_of(int fd) {
    struct sockaddr_in6 address = { 0 };
    socklen_t size = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &size) < 0)
        return 0;
    return ntohs(address.sin6_port); /* at the same place in sockaddr_in */
}

/* --- starting --------------------------------------------------------------------------------- */

/* Texts stay as they were sent; routes and request_add_query() decode them. */
static size_t leave_escaped(void *data, struct MHD_Connection *connection, char *text) {
    return strlen(text);
}

static G_GNUC_PRINTF(2, 0) void on_log(void *data, const char *format, va_list arguments) {
    HttpServer *server = data;
    if (server->log)
        g_string_append_vprintf(server->log, format, arguments);
}

static void fill_limits(HttpServerOptions *options) {
    struct {
        unsigned *limit, fallback;
    } limits[] = {
        { &options->header_seconds, HTTP_HEADER_SECONDS },
        { &options->body_seconds, HTTP_BODY_SECONDS },
        { &options->idle_seconds, HTTP_IDLE_SECONDS },
        { &options->heartbeat_seconds, HTTP_HEARTBEAT_SECONDS },
        { &options->connections, HTTP_CONNECTIONS },
        { &options->connections_per_address, HTTP_CONNECTIONS_PER_ADDRESS },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(limits); i++)
        if (*limits[i].limit == 0)
            *limits[i].limit = limits[i].fallback;
    if (options->stream_queue == 0)
        options->stream_queue = HTTP_STREAM_QUEUE;
}

/* Ends the list early without TLS, or without an authority of clients. */
static void tls_items(const HttpServerOptions *options, struct MHD_OptionItem items[5]) {
    unsigned n = 0;
    if (options->certificate) {
        items[n++] = (struct MHD_OptionItem){ MHD_OPTION_HTTPS_MEM_CERT, 0,
                                              (void *)(uintptr_t)options->certificate };
        items[n++] =
            (struct MHD_OptionItem){ MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)options->key };
        items[n++] = (struct MHD_OptionItem){
            MHD_OPTION_HTTPS_PRIORITIES, 0,
            (void *)(uintptr_t) "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"
        };
        if (options->client_ca)
            items[n++] = (struct MHD_OptionItem){ MHD_OPTION_HTTPS_MEM_TRUST, 0,
                                                  (void *)(uintptr_t)options->client_ca };
    }
    items[n] = (struct MHD_OptionItem){ MHD_OPTION_END, 0, NULL };
}

/* The limit is of all threads together. libmicrohttpd gives each an equal share of its own, and one
 * that has filled it turns clients away while another has room. */
static enum MHD_Result on_accept(void *data, const struct sockaddr *address, socklen_t size) {
    HttpServer *server = data;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&server->lock);
    return server->peers.length < server->options.connections ? MHD_YES : MHD_NO;
}

static struct MHD_Daemon *start(HttpServer *server, const HttpServerOptions *tls, int fd) {
    const HttpServerOptions *options = &server->options;
    unsigned threads = CLAMP(g_get_num_processors(), 2u, THREADS_MAX);
    struct MHD_OptionItem items[5];
    tls_items(tls, items);
    unsigned flags = MHD_USE_EPOLL_INTERNALLY | MHD_USE_SUSPEND_RESUME | MHD_USE_ERROR_LOG |
                     (tls->certificate ? MHD_USE_TLS : 0);
    /* Its threads inherit the mask: signals are the loop's. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    struct MHD_Daemon *daemon = mhd.start_daemon(
        flags, 0, on_accept, server, on_access, server, MHD_OPTION_EXTERNAL_LOGGER, on_log, server,
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_THREAD_POOL_SIZE, threads,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_HEADER_LIMIT,
        MHD_OPTION_CONNECTION_MEMORY_INCREMENT, (size_t)1024, MHD_OPTION_CONNECTION_LIMIT,
        options->connections * threads, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
        options->connections_per_address, MHD_OPTION_CONNECTION_TIMEOUT, options->idle_seconds,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, server, MHD_OPTION_NOTIFY_CONNECTION,
        on_connection, server, MHD_OPTION_UNESCAPE_CALLBACK, leave_escaped, NULL,
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_ARRAY, items, MHD_OPTION_END);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return daemon;
}

static void shut_late(HttpServer *server, gint64 now) {
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&server->lock);
    for (GList *link = server->peers.head; link; link = link->next) {
        Peer *peer = link->data;
        gint64 deadline = __atomic_load_n(&peer->deadline, __ATOMIC_RELAXED);
        if (deadline == 0 || deadline > now || peer->fd < 0)
            continue;
        __atomic_store_n(&peer->deadline, 0, __ATOMIC_RELAXED);
        server->too_slow++;
        (void)shutdown(peer->fd, SHUT_RDWR); /* fails when the client was faster */
    }
}

/* A part of the connections at each sweep: to look at ten thousand takes milliseconds. */
static void look_for_gone(HttpServer *server, gint64 now) {
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&server->lock);
    unsigned turn = server->sweeps++ % SWEEPS_OF_ALL;
    for (GList *link = server->peers.head; link; link = link->next)
        if ((uintptr_t)link->data / 64 % SWEEPS_OF_ALL == turn)
            peer_look(link->data, now);
}

static void on_sweep(void *data) {
    HttpServer *server = data;
    gint64 now = g_get_monotonic_time();
    shut_late(server, now);
    look_for_gone(server, now);
    GHashTableIter iter;
    void *stream;
    g_hash_table_iter_init(&iter, server->streams);
    while (g_hash_table_iter_next(&iter, &stream, NULL))
        stream_beat(stream, now);
    loop_timer_set(server->loop, &server->sweep, loop_now(server->loop) + G_USEC_PER_SEC, on_sweep,
                   server);
}

static HttpServer *server_alloc(Loop *loop, const HttpServerOptions *options) {
    HttpServer *server = g_new0(HttpServer, 1);
    server->loop = loop;
    server->options = *options;
    server->options.address = server->options.certificate = server->options.key =
        server->options.client_ca = NULL;
    fill_limits(&server->options);
    g_mutex_init(&server->lock);
    g_queue_init(&server->peers);
    server->streams = g_hash_table_new(NULL, NULL);
    server->held = g_hash_table_new(NULL, NULL);
    return server;
}

HttpServer *http_server_new(Loop *loop, const HttpServerOptions *options, GError **error) {
    if (!mhd_need(error))
        return NULL;
    int fd = listen_at(options, error);
    if (fd < 0)
        return NULL;
    g_autoptr(HttpServer) server = server_alloc(loop, options);
    server->port = port_of(fd);
    server->log = g_string_new(NULL);
    server->daemon = start(server, options, fd); /* takes fd, also when it fails */
    g_autoptr(GString) log = g_steal_pointer(&server->log);
    if (!server->daemon) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED, "start the server: %s",
                    g_strstrip(log->str));
        return NULL;
    }
    on_sweep(server);
    return g_steal_pointer(&server);
}

/* --- ending ----------------------------------------------------------------------------------- */

/* Lets go of all that is suspended: libmicrohttpd does not stop before. */
static GList *release_all(HttpServer *server) {
    g_mutex_lock(&server->lock);
    server->stopping = true;
    GList *held = g_hash_table_get_keys(server->held);
    g_hash_table_remove_all(server->held);
    for (GList *link = held; link; link = link->next)
        mhd.resume_connection(((HttpRequest *)link->data)->connection);
    g_mutex_unlock(&server->lock);
    GHashTableIter iter;
    void *stream;
    g_hash_table_iter_init(&iter, server->streams);
    while (g_hash_table_iter_next(&iter, &stream, NULL))
        stream_fail(stream);
    return held;
}

static void forget_request(void *data, void *loop) {
    HttpRequest *request = data;
    request->server = NULL; /* who answers it frees it */
    if (request->delivered)
        return;
    loop_unpost(loop, http_server_deliver, request);
    request_unref(request);
}

void http_server_free(HttpServer *server) {
    if (!server)
        return;
    loop_timer_clear(&server->sweep);
    GList *held = release_all(server);
    if (server->daemon)
        mhd.stop_daemon(server->daemon);
    g_list_foreach(held, forget_request, server->loop);
    g_list_free(held);
    GList *streams = g_hash_table_get_keys(server->streams);
    for (GList *link = streams; link; link = link->next) {
        loop_unpost(server->loop, stream_closed, link->data);
        stream_closed(link->data);
    }
    g_list_free(streams);
    g_hash_table_unref(server->streams);
    g_hash_table_unref(server->held);
    g_mutex_clear(&server->lock);
    g_free(server);
}

uint16_t http_server_port(const HttpServer *server) {
    return server->port;
}

HttpServerStats http_server_stats(HttpServer *server) {
    g_mutex_lock(&server->lock);
    uint64_t connections = server->peers.length;
    g_mutex_unlock(&server->lock);
    return (HttpServerStats){
        .connections = connections,
        .streams = g_hash_table_size(server->streams),
        .requests = (uint64_t)__atomic_load_n(&server->requests, __ATOMIC_RELAXED),
        .refused = (uint64_t)__atomic_load_n(&server->refused, __ATOMIC_RELAXED),
        .too_slow = (uint64_t)server->too_slow,
        .dropped = (uint64_t)__atomic_load_n(&server->dropped, __ATOMIC_RELAXED),
    };
}
