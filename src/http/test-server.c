/* The server over real sockets. The client is a thread that blocks; the loop runs meanwhile. */
#include "http/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"

typedef struct {
    Loop *loop;
    HttpServer *server;
    HttpRequest *kept;
    HttpStream *stream;
    LoopTimer *timer;
    unsigned closed;
} Site;

typedef void (*Client)(uint16_t port);

typedef struct {
    Loop *loop;
    Client client;
    uint16_t port;
} Run;

/* --- handlers --------------------------------------------------------------------------------- */

static void get_thing(void *data, HttpRequest *request) {
    g_autoptr(Value) map = value_new_map();
    value_map_set(map, "name", value_new_string(http_request_part(request, "name")));
    const char *as = http_request_query(request, "as");
    value_map_set(map, "as", value_new_string(as ? as : "-"));
    value_map_set(map, "peer", value_new_string(http_request_peer(request)));
    http_answer_json(request, 200, map);
}

static void put_thing(void *data, HttpRequest *request) {
    g_autoptr(Value) body = http_request_json(request);
    if (body)
        http_answer_json(request, 201, body);
}

static void echo(void *data, HttpRequest *request) {
    http_answer(request, 200, "application/octet-stream", http_request_body(request));
}

static void answer_kept(void *data) {
    Site *site = data;
    http_answer_error(g_steal_pointer(&site->kept), 503, "later", "not now");
}

static void keep(void *data, HttpRequest *request) {
    Site *site = data;
    site->kept = request;
    loop_timer_set(site->loop, &site->timer, loop_now(site->loop) + 20000, answer_kept, site);
}

static void hold(void *data, HttpRequest *request) {
    ((Site *)data)->kept = request;
    loop_quit(((Site *)data)->loop);
}

static void on_closed(void *data) {
    Site *site = data;
    site->closed++;
    site->stream = NULL;
}

static void events(void *data, HttpRequest *request) {
    Site *site = data;
    site->stream = http_answer_stream(request, on_closed, site);
    if (!site->stream)
        return;
    g_autoptr(GBytes) first = http_event("change", "7", "one\ntwo");
    http_stream_send(site->stream, first);
}

static void flood(void *data) {
    Site *site = data;
    if (!site->stream)
        return;
    g_autofree char *text = g_strnfill(16384, 'x');
    g_autoptr(GBytes) event = http_event(NULL, NULL, text);
    http_stream_send(site->stream, event);
    loop_timer_set(site->loop, &site->timer, loop_now(site->loop) + 100, flood, site);
}

static void flooded(void *data, HttpRequest *request) {
    Site *site = data;
    site->stream = http_answer_stream(request, on_closed, site);
    flood(site);
}

static const HttpRoute routes[] = {
    { "GET", "/v1/things/{name}", NULL, "One thing", "Help.", NULL, "{\"type\":\"object\"}", "as",
      0, get_thing },
    { "PUT", "/v1/things/{name}", "admin", "Make one", "Help.", "{\"type\":\"object\"}",
      "{\"type\":\"object\"}", NULL, 1000, put_thing },
    { "POST", "/v1/echo", NULL, "Echo", "Help.", NULL, NULL, NULL, 0, echo },
    { "GET", "/v1/later", NULL, "Later", "Help.", NULL, NULL, NULL, 0, keep },
    { "GET", "/v1/hold", NULL, "Hold", "Help.", NULL, NULL, NULL, 0, hold },
    { "GET", "/v1/events", NULL, "Events", "Help.", NULL, NULL, NULL, 0, events },
    { "GET", "/v1/flood", NULL, "Flood", "Help.", NULL, NULL, NULL, 0, flooded },
};

/* --- client ----------------------------------------------------------------------------------- */

static int dial(uint16_t port) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons(port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct timeval patience = { .tv_sec = 30 };
    g_assert_cmpint(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), ==, 0);
    g_assert_cmpint(connect(fd, (struct sockaddr *)&to, sizeof to), ==, 0);
    return fd;
}

static void say(int fd, const char *text) {
    g_assert_cmpint(send(fd, text, strlen(text), MSG_NOSIGNAL), ==, (ssize_t)strlen(text));
}

/* Reads until wanted was seen or the connection ended. */
static char *hear(int fd, const char *wanted) {
    g_autoptr(GString) heard = g_string_new(NULL);
    char buffer[4096];
    ssize_t n = 1;
    while (n > 0 && (!wanted || !strstr(heard->str, wanted))) {
        n = recv(fd, buffer, sizeof buffer, 0);
        g_assert_true(n >= 0 || errno == ECONNRESET);
        g_string_append_len(heard, buffer, MAX(n, 0));
    }
    return g_strdup(heard->str);
}

static void expect(const char *heard, const char *part) {
    if (!strstr(heard, part))
        g_error("expected '%s' in:\n%s", part, heard);
}

static char *ask(uint16_t port, const char *request) {
    int fd = dial(port);
    say(fd, request);
    char *heard = hear(fd, NULL);
    close(fd);
    return heard;
}

#define CLOSE "Host: x\r\nConnection: close\r\n\r\n"

static void quit(void *loop) {
    loop_quit(loop);
}

static void *client_thread(void *data) {
    Run *run = data;
    run->client(run->port);
    loop_post(run->loop, quit, run->loop);
    return NULL;
}

static void site_open(Site *site, const HttpServerOptions *limits) {
    g_autoptr(GError) error = NULL;
    HttpServerOptions options = limits ? *limits : (HttpServerOptions){ 0 };
    options.address = "127.0.0.1";
    options.routes = routes;
    options.n_routes = G_N_ELEMENTS(routes);
    options.data = site;
    site->loop = loop_new(&error);
    g_assert_no_error(error);
    site->server = http_server_new(site->loop, &options, &error);
    g_assert_no_error(error);
}

static void site_close(Site *site) {
    http_server_free(site->server);
    loop_timer_clear(&site->timer);
    loop_free(site->loop);
}

static void site_run(Site *site, Client client) {
    Run run = { site->loop, client, http_server_port(site->server) };
    GThread *thread = g_thread_new("client", client_thread, &run);
    g_assert_true(loop_run(site->loop, NULL));
    g_thread_join(thread);
}

static void with_site(const HttpServerOptions *limits, Client client) {
    Site site = { 0 };
    site_open(&site, limits);
    site_run(&site, client);
    site_close(&site);
}

/* --- tests ------------------------------------------------------------------------------------ */

static void ask_ordinary(uint16_t port) {
    g_autofree char *got = ask(port, "GET /v1/things/a%20b%2Fc?as=x%26+y HTTP/1.1\r\n" CLOSE);
    expect(got, "HTTP/1.1 200 OK\r\n");
    expect(got, "Content-Type: application/json\r\n");
    expect(got, "{\"as\":\"x& y\",\"name\":\"a b/c\",\"peer\":\"127.0.0.1\"}\n");
    g_autofree char *head = ask(port, "HEAD /v1/things/a HTTP/1.1\r\n" CLOSE);
    expect(head, "HTTP/1.1 200 OK\r\n");
    expect(head, "Content-Length: 41\r\n");
    g_assert_true(g_str_has_suffix(head, "\r\n\r\n"));
    g_autofree char *put =
        ask(port, "PUT /v1/things/a HTTP/1.1\r\nContent-Length: 7\r\n" CLOSE "{\"a\":1}");
    expect(put, "HTTP/1.1 201 Created\r\n");
    expect(put, "{\"a\":1}\n");
    g_autofree char *later = ask(port, "GET /v1/later HTTP/1.1\r\n" CLOSE);
    expect(later, "HTTP/1.1 503 ");
    expect(later, "{\"error\":\"not now\",\"hint\":\"later\"}\n");
}

static void ordinary(void) {
    with_site(NULL, ask_ordinary);
}

static void ask_wrong(uint16_t port) {
    static const struct {
        const char *request, *status, *text;
    } rows[] = {
        { "GET /v1/thing/a HTTP/1.1\r\n" CLOSE, "404", "did you mean /v1/things/{name}?" },
        { "GET / HTTP/1.1\r\n" CLOSE, "404", "/v1/openapi.json has all" },
        { "DELETE /v1/things/a HTTP/1.1\r\n" CLOSE, "405", "Allow: GET, HEAD, PUT\r\n" },
        { "GET /v1/things/a%00b HTTP/1.1\r\n" CLOSE, "400", "is not UTF-8, or has %00" },
        { "GET /v1/things/%ff HTTP/1.1\r\n" CLOSE, "400", "is not UTF-8" },
        { "GET /v1/things/a?at=1 HTTP/1.1\r\n" CLOSE, "400", "\"hint\":\"it takes: as\"" },
        { "GET /v1/things/a?as=%ff HTTP/1.1\r\n" CLOSE, "400", "read the parameter 'as'" },
        { "PUT /v1/things/a HTTP/1.1\r\nContent-Length: 1\r\n" CLOSE "{", "400", "body:1:2" },
        { "PUT /v1/things/a HTTP/1.1\r\nContent-Length: 1\r\n" CLOSE "1", "400",
          "expected an object, found a integer" },
        { "PUT /v1/things/a HTTP/1.1\r\nContent-Type: text/x\r\nContent-Length: 2\r\n" CLOSE "{}",
          "415", "send it with" },
        { "GET /v1/things/a HTTP/1.1\r\n\r\n", "400", "" },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *got = ask(port, rows[i].request);
        g_autofree char *status = g_strdup_printf("HTTP/1.1 %s ", rows[i].status);
        expect(got, status);
        expect(got, rows[i].text);
    }
    /* What is no request at all gets no answer. */
    g_autofree char *nonsense = ask(port, "nonsense\r\n\r\n");
    g_assert_cmpstr(nonsense, ==, "");
}

static void wrong(void) {
    with_site(NULL, ask_wrong);
}

static void ask_large(uint16_t port) {
    g_autofree char *body = g_strnfill(2000, 'x');
    g_autofree char *request =
        g_strconcat("PUT /v1/things/a HTTP/1.1\r\nHost: x\r\nContent-Length: 2000\r\n\r\n", body,
                    "GET /v1/things/b HTTP/1.1\r\n" CLOSE, NULL);
    g_autofree char *got = ask(port, request);
    expect(got, "HTTP/1.1 413 ");
    expect(got, "2000 bytes, more than 1000 that '/v1/things/a' takes");
    expect(got, "\"name\":\"b\""); /* the connection goes on */
    g_autofree char *chunked =
        g_strconcat("PUT /v1/things/a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" CLOSE "7D0\r\n",
                    body, "\r\n0\r\n\r\n", NULL);
    g_autofree char *refused = ask(port, chunked);
    expect(refused, "HTTP/1.1 413 ");
    g_autofree char *whole =
        ask(port, "PUT /v1/things/a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" CLOSE
                  "3\r\n{\"a\r\n4\r\n\":1}\r\n0\r\n\r\n");
    expect(whole, "{\"a\":1}\n");
    g_autofree char *name = g_strnfill(20000, 'n');
    g_autofree char *head = g_strconcat("GET /v1/things/", name, " HTTP/1.1\r\n" CLOSE, NULL);
    g_autofree char *long_head = ask(port, head);
    expect(long_head, "HTTP/1.1 4"); /* 414 */
}

static void large(void) {
    with_site(NULL, ask_large);
}

static void ask_continue(uint16_t port) {
    int fd = dial(port);
    say(fd, "PUT /v1/things/a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: "
            "100-continue\r\n\r\n");
    g_autofree char *leave = hear(fd, "\r\n\r\n");
    g_assert_cmpstr(leave, ==, "HTTP/1.1 100 Continue\r\n\r\n");
    say(fd, "{}");
    g_autofree char *got = hear(fd, "{}\n");
    expect(got, "HTTP/1.1 201 Created\r\n");
    close(fd);
    g_autofree char *refused =
        ask(port,
            "PUT /v1/things/a HTTP/1.1\r\nContent-Length: 1001\r\nExpect: 100-continue\r\n" CLOSE);
    g_assert_true(g_str_has_prefix(refused, "HTTP/1.1 413 "));
}

static void continues(void) {
    with_site(NULL, ask_continue);
}

static void ask_pipelined(uint16_t port) {
    g_autoptr(GString) requests = g_string_new(NULL);
    for (unsigned i = 0; i < 50; i++)
        g_string_append_printf(requests, "GET /v1/things/t%u HTTP/1.1\r\nHost: x\r\n\r\n", i);
    g_string_append(requests, "GET /v1/things/end HTTP/1.1\r\n" CLOSE);
    g_autofree char *got = ask(port, requests->str);
    const char *at = got;
    for (unsigned i = 0; i < 50; i++) {
        g_autofree char *name = g_strdup_printf("\"name\":\"t%u\"", i);
        at = strstr(at, name);
        g_assert_nonnull(at);
    }
    expect(at, "\"name\":\"end\"");
}

static void pipelined(void) {
    with_site(NULL, ask_pipelined);
}

static void be_slow(uint16_t port) {
    int fd = dial(port), body = dial(port), idle = dial(port);
    say(idle, "GET /v1/things/a HTTP/1.1\r\nHost: x\r\n\r\n");
    g_autofree char *answer = hear(idle, "\n\r\n");
    say(body, "PUT /v1/things/a HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{");
    say(fd, "GET /v1/things/a HTTP/1.1\r\n");
    /* A byte now and then does not help. */
    for (unsigned i = 0; i < 100; i++) {
        g_usleep(100000);
        if (send(fd, "X", 1, MSG_NOSIGNAL) < 0)
            break;
        g_assert_cmpuint(i, <, 99);
    }
    g_autofree char *none = hear(body, NULL);
    g_assert_cmpstr(none, ==, "");
    g_autofree char *rest = hear(idle, NULL);
    close(fd);
    close(body);
    close(idle);
}

static void slow(void) {
    /* Idle for longer than a sweep may be late, or it would end what was too slow. */
    HttpServerOptions limits = { .header_seconds = 1, .body_seconds = 1, .idle_seconds = 4 };
    Site site = { 0 };
    site_open(&site, &limits);
    site_run(&site, be_slow);
    g_assert_cmpuint(http_server_stats(site.server).too_slow, >=, 2);
    site_close(&site);
}

static void be_many(uint16_t port) {
    int fds[4];
    for (unsigned i = 0; i < 4; i++)
        fds[i] = dial(port);
    say(fds[3], "GET /v1/things/a HTTP/1.1\r\nHost: x\r\n\r\n");
    g_autofree char *refused = hear(fds[3], NULL);
    g_assert_cmpstr(refused, ==, "");
    close(fds[0]);
    for (unsigned i = 1; i < 3; i++) {
        say(fds[i], "GET /v1/things/a HTTP/1.1\r\n" CLOSE);
        g_autofree char *got = hear(fds[i], NULL);
        expect(got, "200 OK");
        close(fds[i]);
    }
    close(fds[3]);
}

static void too_many(void) {
    HttpServerOptions limits = { .connections_per_address = 3 };
    with_site(&limits, be_many);
}

enum { ALL_TOGETHER = 16 };

/* However the threads of the server share them. */
static void be_all(uint16_t port) {
    int fds[ALL_TOGETHER + 1];
    for (unsigned i = 0; i < ALL_TOGETHER; i++) {
        fds[i] = dial(port);
        say(fds[i], "GET /v1/things/a HTTP/1.1\r\nHost: x\r\n\r\n");
        g_autofree char *got = hear(fds[i], "\r\n\r\n");
        expect(got, "200 OK");
    }
    fds[ALL_TOGETHER] = dial(port);
    say(fds[ALL_TOGETHER], "GET /v1/things/a HTTP/1.1\r\nHost: x\r\n\r\n");
    g_autofree char *refused = hear(fds[ALL_TOGETHER], NULL);
    g_assert_cmpstr(refused, ==, "");
    for (unsigned i = 0; i <= ALL_TOGETHER; i++)
        close(fds[i]);
}

static void too_many_together(void) {
    HttpServerOptions limits = { .connections = ALL_TOGETHER };
    with_site(&limits, be_all);
}

static void listen_to_events(uint16_t port) {
    int fd = dial(port);
    say(fd, "GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n");
    g_autofree char *first = hear(fd, "two\n\n");
    expect(first, "Content-Type: text/event-stream\r\n");
    expect(first, "event: change\nid: 7\ndata: one\ndata: two\n\n");
    g_autofree char *beat = hear(fd, ":\n\n");
    close(fd);
    g_autofree char *head = ask(port, "HEAD /v1/events HTTP/1.1\r\n" CLOSE);
    expect(head, "text/event-stream");
}

static void streams(void) {
    HttpServerOptions limits = { .heartbeat_seconds = 1 };
    Site site = { 0 };
    site_open(&site, &limits);
    site_run(&site, listen_to_events);
    while (site.closed == 0) /* its end is found by the next heartbeats */
        loop_turn(site.loop);
    g_assert_cmpuint(http_server_stats(site.server).streams, ==, 0);
    site_close(&site);
    g_assert_cmpuint(site.closed, ==, 1);
}

static void do_not_listen(uint16_t port) {
    int fd = dial(port);
    say(fd, "GET /v1/flood HTTP/1.1\r\nHost: x\r\n\r\n");
    for (unsigned i = 0; i < 10; i++) { /* others are served meanwhile */
        g_autofree char *got = ask(port, "GET /v1/things/a HTTP/1.1\r\n" CLOSE);
        expect(got, "200 OK");
    }
    static char buffer[65536];
    struct timeval patience = { .tv_sec = 30 };
    g_assert_cmpint(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), ==, 0);
    g_usleep(500000);
    for (unsigned i = 1; recv(fd, buffer, sizeof buffer, 0) > 0; i++)
        if (i % 16 == 0)
            g_usleep(100000); /* still slower than what it does not listen to */
    g_assert_cmpint(errno, !=, EAGAIN);
    close(fd);
}

static void slow_listener(void) {
    HttpServerOptions limits = { .stream_queue = 65536 };
    Site site = { 0 };
    site_open(&site, &limits);
    site_run(&site, do_not_listen);
    g_assert_cmpuint(http_server_stats(site.server).dropped, ==, 1);
    while (site.closed == 0)
        loop_turn(site.loop);
    site_close(&site);
    g_assert_cmpuint(site.closed, ==, 1);
}

static void wait_for_end(uint16_t port) {
    int fd = dial(port), stream = dial(port);
    say(stream, "GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n");
    g_autofree char *first = hear(stream, "two\n\n");
    say(fd, "GET /v1/hold HTTP/1.1\r\nHost: x\r\n\r\n");
    g_autofree char *none = hear(fd, NULL);
    g_assert_cmpstr(none, ==, "");
    g_autofree char *rest = hear(stream, NULL);
    close(fd);
    close(stream);
}

static void ends_with_requests_held(void) {
    Site site = { 0 };
    site_open(&site, NULL);
    Run run = { site.loop, wait_for_end, http_server_port(site.server) };
    GThread *thread = g_thread_new("client", client_thread, &run);
    g_assert_true(loop_run(site.loop, NULL));
    g_assert_nonnull(site.kept);
    http_server_free(g_steal_pointer(&site.server));
    g_assert_cmpuint(site.closed, ==, 1);
    answer_kept(&site); /* nobody hears it */
    g_thread_join(thread);
    site_close(&site);
}

static void start_errors(void) {
    g_autoptr(GError) error = NULL;
    Site site = { 0 };
    site_open(&site, NULL);
    HttpServerOptions options = { .address = "127.0.0.1",
                                  .port = http_server_port(site.server),
                                  .routes = routes,
                                  .n_routes = 1 };
    g_assert_null(http_server_new(site.loop, &options, &error));
    g_assert_nonnull(strstr(error->message, "listen on '127.0.0.1', port"));
    g_clear_error(&error);
    options.address = "localhost";
    g_assert_null(http_server_new(site.loop, &options, &error));
    g_assert_nonnull(strstr(error->message, "listen on 'localhost': not an address"));
    g_clear_error(&error);
    options = (HttpServerOptions){ .address = "::1", .certificate = "x", .key = "y" };
    g_assert_null(http_server_new(site.loop, &options, &error));
    g_assert_true(g_str_has_prefix(error->message, "start the server: "));
    site_close(&site);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/server/ordinary", ordinary);
    g_test_add_func("/server/wrong", wrong);
    g_test_add_func("/server/large", large);
    g_test_add_func("/server/continue", continues);
    g_test_add_func("/server/pipelined", pipelined);
    g_test_add_func("/server/slow", slow);
    g_test_add_func("/server/too-many", too_many);
    g_test_add_func("/server/too-many-together", too_many_together);
    g_test_add_func("/server/streams", streams);
    g_test_add_func("/server/slow-listener", slow_listener);
    g_test_add_func("/server/ends-with-requests-held", ends_with_requests_held);
    g_test_add_func("/server/start-errors", start_errors);
    return g_test_run();
}
