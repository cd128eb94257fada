/* The client against servers that answer, close, wait and talk too much: a few lines on a socket in
 * the same loop. */
#include "http/client.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"

#define HEAD(length) "HTTP/1.1 200 OK\r\nContent-Length: " length "\r\n\r\n"

typedef struct Peer Peer;

/* What it does with each request, in their order over all connections; NULL: closes. "" waits. */
typedef struct {
    Loop *loop;
    int fd;
    unsigned port;
    LoopSource *source;
    GPtrArray *peers; /* of Peer */
    const char *const *answers;
    unsigned n_requests, n_connections;
    GString *seen; /* all that came */
} Server;

struct Peer {
    Server *server;
    int fd;
    LoopSource *source;
};

static void peer_free(void *data) {
    Peer *peer = data;
    loop_source_free(peer->source);
    close(peer->fd);
    g_free(peer);
}

static void on_request(void *data, int fd, uint32_t events) {
    Peer *peer = data;
    Server *server = peer->server;
    char text[4096];
    ssize_t size = recv(fd, text, sizeof text, 0);
    const char *answer = NULL;
    if (size > 0) {
        g_string_append_len(server->seen, text, size);
        answer = server->answers[server->n_requests++];
    }
    if (answer == NULL)
        (void)g_ptr_array_remove_fast(server->peers, peer);
    else
        g_assert_cmpint(send(fd, answer, strlen(answer), MSG_NOSIGNAL), ==, strlen(answer));
}

static void on_connection(void *data, int fd, uint32_t events) {
    Server *server = data;
    Peer *peer = g_new0(Peer, 1);
    peer->server = server;
    peer->fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    peer->source = loop_watch_fd(server->loop, peer->fd, EPOLLIN, on_request, peer, NULL);
    server->n_connections++;
    g_ptr_array_add(server->peers, peer);
}

static void server_start(Server *server, Loop *loop, const char *const *answers) {
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;
    *server = (Server){ .loop = loop, .answers = answers, .seen = g_string_new(NULL) };
    server->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(bind(server->fd, (struct sockaddr *)(void *)&address, size), ==, 0);
    g_assert_cmpint(getsockname(server->fd, (struct sockaddr *)(void *)&address, &size), ==, 0);
    g_assert_cmpint(listen(server->fd, 16), ==, 0);
    server->port = ntohs(address.sin_port);
    server->peers = g_ptr_array_new_with_free_func(peer_free);
    server->source = loop_watch_fd(loop, server->fd, EPOLLIN, on_connection, server, NULL);
}

static void server_stop(Server *server) {
    loop_source_free(server->source);
    g_ptr_array_unref(server->peers);
    g_string_free(server->seen, TRUE);
    close(server->fd);
}

/* --- asking */

typedef struct {
    Loop *loop;
    Server server;
    HttpClient *client;
    /* of the last answer */
    unsigned status;
    bool sent;
    int error; /* -1: none */
    char *body;
    GString *stream;
    HttpCall *call; /* to be cancelled by its first data */
} Test;

static void setup(Test *test, const char *const *answers) {
    g_autoptr(GError) error = NULL;
    *test = (Test){ .loop = loop_new(&error), .stream = g_string_new(NULL) };
    g_assert_no_error(error);
    server_start(&test->server, test->loop, answers);
    test->client = http_client_new(test->loop, NULL, &error);
    g_assert_no_error(error);
}

static void teardown(Test *test) {
    http_client_free(test->client);
    server_stop(&test->server);
    loop_free(test->loop);
    g_string_free(test->stream, TRUE);
    g_free(test->body);
}

static void on_reply(void *data, const HttpReply *reply, const GError *error) {
    Test *test = data;
    gsize size;
    const char *body = g_bytes_get_data(reply->body, &size);
    g_free(test->body);
    test->body = g_strndup(size > 0 ? body : "", size);
    test->status = reply->status;
    test->sent = reply->sent;
    test->error = error != NULL ? error->code : -1;
    loop_quit(test->loop);
}

static void ask(Test *test, HttpAsk ask, const char *body) {
    g_autofree char *url = g_strdup_printf("http://127.0.0.1:%u/path", test->server.port);
    g_autoptr(GBytes) bytes = body != NULL ? g_bytes_new(body, strlen(body)) : NULL;
    ask.url = url;
    ask.body = bytes;
    test->call = http_client_send(test->client, &ask, on_reply, test);
    g_assert_true(loop_run(test->loop, NULL));
}

static void test_answers(void) {
    static const char *const answers[] = { HEAD("5") "hello", HEAD("0"),
                                           "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno",
                                           NULL };
    static const char *const headers[] = { "X-Test: yes", NULL };
    Test test;
    setup(&test, answers);
    ask(&test, (HttpAsk){ .headers = headers }, "body");
    g_assert_cmpint(test.status, ==, 200);
    g_assert_cmpint(test.error, ==, -1);
    g_assert_cmpstr(test.body, ==, "hello");
    g_assert_true(g_str_has_prefix(test.server.seen->str, "POST /path HTTP/1.1\r\n"));
    g_assert_nonnull(strstr(test.server.seen->str, "\r\nX-Test: yes\r\n"));
    g_assert_true(g_str_has_suffix(test.server.seen->str, "\r\n\r\nbody"));
    g_string_truncate(test.server.seen, 0);
    ask(&test, (HttpAsk){ 0 }, NULL); /* nothing of the last call is left */
    g_assert_true(g_str_has_prefix(test.server.seen->str, "GET /path HTTP/1.1\r\n"));
    g_assert_null(strstr(test.server.seen->str, "X-Test"));
    g_assert_cmpstr(test.body, ==, "");
    g_string_truncate(test.server.seen, 0);
    ask(&test, (HttpAsk){ .method = "DELETE" }, NULL);
    g_assert_true(g_str_has_prefix(test.server.seen->str, "DELETE /path HTTP/1.1\r\n"));
    g_assert_cmpint(test.status, ==, 404);
    g_assert_cmpint(test.error, ==, -1);
    g_assert_cmpstr(test.body, ==, "no");
    g_assert_cmpint(test.server.n_connections, ==, 1);
    teardown(&test);
}

/* A request that the server may have is told from one that it cannot have. */
static void test_nobody_there(void) {
    static const char *const answers[] = { NULL };
    Test test;
    setup(&test, answers);
    unsigned port = test.server.port;
    ask(&test, (HttpAsk){ .once = true }, "body"); /* read, then closed */
    g_assert_cmpint(test.error, ==, STEAD_ERROR_IO);
    g_assert_true(test.sent);
    g_assert_cmpint(test.status, ==, 0);
    server_stop(&test.server);
    test.server.port = port; /* nobody listens there any more */
    ask(&test, (HttpAsk){ .once = true }, "body");
    g_assert_cmpint(test.error, ==, STEAD_ERROR_IO);
    g_assert_false(test.sent);
    server_start(&test.server, test.loop, answers);
    teardown(&test);
}

/* libcurl repeats a request when a connection that was kept is closed instead of answered. */
static void test_once(void) {
    static const char *const answers[] = { HEAD("0"), NULL, HEAD("5") "twice", NULL,
                                           HEAD("5") "never" };
    Test test;
    setup(&test, answers);
    ask(&test, (HttpAsk){ .once = true }, "first");
    g_assert_cmpint(test.error, ==, -1);
    ask(&test, (HttpAsk){ 0 }, "second");
    g_assert_cmpint(test.error, ==, -1);
    g_assert_cmpstr(test.body, ==, "twice");
    g_assert_cmpint(test.server.n_requests, ==, 3);
    ask(&test, (HttpAsk){ .once = true }, "third");
    g_assert_cmpint(test.error, ==, STEAD_ERROR_IO);
    g_assert_true(test.sent);
    g_assert_cmpint(test.server.n_requests, ==, 4);
    teardown(&test);
}

static void on_pause(void *data) {
    loop_quit(data);
}

/* What waits for a connection that nobody uses must neither be called again and again, nor be in
 * the way of another connection that gets its descriptor. */
static void test_closed_while_kept(void) {
    static const char *const answers[] = { HEAD("5") "hello", HEAD("5") "again", HEAD("4") "more" };
    Test test;
    setup(&test, answers);
    ask(&test, (HttpAsk){ 0 }, NULL);
    ask(&test, (HttpAsk){ 0 }, NULL);
    g_assert_cmpuint(test.server.n_connections, ==, 1);
    g_ptr_array_set_size(test.server.peers, 0);
    int64_t before = g_get_monotonic_time();
    struct timespec start, end;
    g_assert_cmpint(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start), ==, 0);
    LoopTimer *pause = NULL;
    loop_timer_set(test.loop, &pause, loop_now(test.loop) + 200000, on_pause, test.loop);
    g_assert_true(loop_run(test.loop, NULL));
    g_assert_cmpint(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end), ==, 0);
    int64_t used = (end.tv_sec - start.tv_sec) * 1000000 + (end.tv_nsec - start.tv_nsec) / 1000;
    g_assert_cmpint(used, <, (g_get_monotonic_time() - before) / 4);
    ask(&test, (HttpAsk){ 0 }, NULL);
    g_assert_cmpint(test.error, ==, -1);
    g_assert_cmpstr(test.body, ==, "more");
    g_assert_cmpuint(test.server.n_connections, ==, 2);
    teardown(&test);
}

static void test_limits(void) {
    static const char *const answers[] = { HEAD("5") "hello", HEAD("5") "hello", "", NULL };
    Test test;
    setup(&test, answers);
    ask(&test, (HttpAsk){ .reply_limit = 5 }, NULL);
    g_assert_cmpint(test.error, ==, -1);
    ask(&test, (HttpAsk){ .reply_limit = 4 }, NULL);
    g_assert_cmpint(test.error, ==, STEAD_ERROR_LIMIT);
    ask(&test, (HttpAsk){ .timeout = 50000 }, NULL);
    g_assert_cmpint(test.error, ==, STEAD_ERROR_TIMEOUT);
    g_assert_true(test.sent);
    teardown(&test);
}

static void on_data(void *data, const char *bytes, size_t size) {
    g_string_append_len(((Test *)data)->stream, bytes, (gssize)size);
}

static void on_data_cancel(void *data, const char *bytes, size_t size) {
    Test *test = data;
    on_data(data, bytes, size);
    g_clear_pointer(&test->call, http_call_cancel);
    loop_quit(test->loop);
}

#define CHUNKS "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n"

static void test_stream(void) {
    static const char *const answers[] = { CHUNKS "0\r\n\r\n", CHUNKS,
                                           "HTTP/1.1 500 No\r\nContent-Length: 3\r\n\r\nwhy",
                                           NULL };
    Test test;
    setup(&test, answers);
    ask(&test, (HttpAsk){ .on_data = on_data }, NULL);
    g_assert_cmpint(test.error, ==, -1);
    g_assert_cmpstr(test.stream->str, ==, "onetwo");
    g_assert_cmpstr(test.body, ==, "");
    g_string_truncate(test.stream, 0);
    ask(&test, (HttpAsk){ .on_data = on_data_cancel }, NULL);
    g_assert_true(g_str_has_prefix(test.stream->str, "one"));
    g_assert_null(test.call);
    g_string_truncate(test.stream, 0);
    ask(&test, (HttpAsk){ .on_data = on_data }, NULL); /* what is refused is no data */
    g_assert_cmpint(test.status, ==, 500);
    g_assert_cmpstr(test.stream->str, ==, "");
    g_assert_cmpstr(test.body, ==, "why");
    teardown(&test);
}

static void must_not_come(void *data, const HttpReply *reply, const GError *error) {
    g_assert_not_reached();
}

static void test_cancel(void) {
    static const char *const answers[] = { HEAD("2") "ok", HEAD("2") "ok", HEAD("2") "ok", NULL };
    Test test;
    setup(&test, answers);
    g_autofree char *url = g_strdup_printf("http://127.0.0.1:%u/", test.server.port);
    HttpAsk quiet = { .url = url };
    http_call_cancel(http_client_send(test.client, &quiet, must_not_come, NULL));
    (void)http_client_send(test.client, &(HttpAsk){ .url = "ftp://127.0.0.1/" }, on_reply, &test);
    g_assert_true(loop_run(test.loop, NULL));
    g_assert_cmpint(test.error, ==, STEAD_ERROR_IO);
    g_assert_false(test.sent);
    (void)http_client_send(test.client, &quiet, must_not_come, NULL); /* freed with the client */
    teardown(&test);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/http/client/answers", test_answers);
    g_test_add_func("/http/client/nobody-there", test_nobody_there);
    g_test_add_func("/http/client/once", test_once);
    g_test_add_func("/http/client/closed-while-kept", test_closed_while_kept);
    g_test_add_func("/http/client/limits", test_limits);
    g_test_add_func("/http/client/stream", test_stream);
    g_test_add_func("/http/client/cancel", test_cancel);
    return g_test_run();
}
