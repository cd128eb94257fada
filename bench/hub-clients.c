/*
 * Many members of a hub: each a TLS connection with an open stream, as agents have, that comes back
 * with the id of its last event when it is lost. The stream has events, or with REQUEST, the body
 * of one for /v3/watch with %lld for the revision, changes of the store, of which each message is
 * one. Driven by bench/hub over stdin and stdout:
 *
 *     hub-clients N PORT TOKEN [REQUEST]
 *     -> connected SECONDS
 *     <- wait SECONDS           serves its streams for so long
 *     <- expect COUNT NS        until each has had COUNT events; NS: CLOCK_MONOTONIC of the first
 *     -> got P50_MS P99_MS MAX_MS
 *     <- all                    of all that were expected so far
 *     -> all P50_MS P99_MS MAX_MS
 *     <- return                 until all were lost and are back
 *     -> returned SECONDS
 *     at the end of stdin: -> total EVENTS, repeated EVENTS
 */
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define AT_ONCE     1000 /* that connect at the same time */
#define PER_ADDRESS 200

typedef enum { IDLE, CONNECTING, SHAKING, ASKED, OPEN } Stage;

typedef struct {
    int fd;
    SSL *ssl;
    Stage stage;
    char last[48]; /* id of the last event */
    char line[256];
    size_t length; /* of line */
    unsigned events, repeated, lost;
    int64_t revision, index; /* of the last event */
    double came;             /* when the last event did */
} Client;

static Client *clients;
static unsigned n_clients, n_open, n_busy;
static int epoll, port;
static const char *token, *watch;
static double *pool;
static size_t n_pool;
static SSL_CTX *context;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void start(Client *client) {
    unsigned number = (unsigned)(client - clients);
    struct sockaddr_in from = { .sin_family = AF_INET };
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + number / PER_ADDRESS);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int on = 1;
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (client->fd < 0)
        fail("socket");
    (void)setsockopt(client->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (bind(client->fd, (struct sockaddr *)&from, sizeof from) < 0)
        fail("bind");
    if (connect(client->fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS)
        fail("connect");
    client->ssl = SSL_new(context);
    SSL_set_fd(client->ssl, client->fd);
    SSL_set_connect_state(client->ssl);
    client->stage = CONNECTING;
    client->length = 0;
    n_busy++;
    struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = client };
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, client->fd, &event) < 0)
        fail("epoll");
}

static void lose(Client *client) {
    if (client->stage == OPEN)
        n_open--;
    else
        n_busy--;
    client->lost++;
    SSL_free(client->ssl);
    close(client->fd);
    client->stage = IDLE;
}

static int write_watch(const Client *client, char *text, size_t room) {
    char body[512];
    long long next = client->revision > 0 ? client->revision + 1 : 0;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    int size = snprintf(body, sizeof body, watch, next);
#pragma GCC diagnostic pop
    return snprintf(text, room,
                    "POST /v3/watch HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer "
                    "%s\r\nContent-Length: %d\r\n\r\n%s",
                    token, size, body);
}

static int write_events(const Client *client, char *text, size_t room) {
    return snprintf(text, room,
                    "GET /v1/events HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer "
                    "%s\r\n%s%s%s\r\n",
                    token, *client->last ? "Last-Event-ID: " : "", client->last,
                    *client->last ? "\r\n" : "");
}

static void ask(Client *client) {
    char text[1024];
    int size = (watch ? write_watch : write_events)(client, text, sizeof text);
    if (SSL_write(client->ssl, text, size) == size)
        client->stage = ASKED;
    else
        lose(client);
}

static void take_event(Client *client, int64_t revision, int64_t index) {
    if (revision < client->revision || (revision == client->revision && index <= client->index))
        client->repeated++;
    client->revision = revision;
    client->index = index;
    client->events++;
    client->came = now();
    snprintf(client->last, sizeof client->last, "%lld-%lld", (long long)revision, (long long)index);
}

static void be_open(Client *client) {
    client->stage = OPEN;
    n_open++;
    n_busy--;
}

static void take_message(Client *client) {
    long long revision;
    char rest[16];
    if (sscanf(client->line, "{\"result\":{\"header\":{\"revision\":\"%lld\"%*[^}]},%15s",
               &revision, rest) != 2 &&
        sscanf(client->line, "{\"result\":{\"header\":{\"revision\":\"%lld\"},%15s", &revision,
               rest) != 2)
        return;
    if (strncmp(rest, "\"created\"", 9) == 0)
        be_open(client);
    else if (strncmp(rest, "\"events\"", 8) == 0)
        take_event(client, revision, 0);
}

static void take_id(Client *client) {
    long long revision, index;
    if (sscanf(client->line, "id: %lld-%lld", &revision, &index) == 2)
        take_event(client, revision, index);
}

static void take_line(Client *client) {
    client->line[client->length] = '\0';
    client->length = 0;
    if (watch) {
        take_message(client);
        return;
    }
    if (strcmp(client->line, "event: hello") == 0) {
        be_open(client);
    } else if (strcmp(client->line, "event: reset") == 0) {
        fprintf(stderr, "a client was told to read all again\n");
        exit(1);
    }
    take_id(client);
}

static void take(Client *client, const char *text, int size) {
    for (int i = 0; i < size; i++)
        if (text[i] == '\n')
            take_line(client);
        else if (text[i] != '\r' && client->length < sizeof client->line - 1)
            client->line[client->length++] = text[i];
}

static bool wants_more(const Client *client, int result) {
    int error = SSL_get_error(client->ssl, result);
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

static void step(Client *client) {
    if (client->stage == IDLE)
        return;
    ERR_clear_error(); /* or another one's trouble would be taken for this one's */
    if (client->stage == CONNECTING || client->stage == SHAKING) {
        client->stage = SHAKING;
        int result = SSL_connect(client->ssl);
        if (result == 1)
            ask(client);
        else if (!wants_more(client, result))
            lose(client);
        if (client->stage != ASKED)
            return;
    }
    char buffer[4096];
    int size;
    while ((size = SSL_read(client->ssl, buffer, sizeof buffer)) > 0)
        take(client, buffer, size);
    if (!wants_more(client, size))
        lose(client);
}

static void turn(void) {
    static unsigned next;
    for (unsigned i = 0; i < n_clients && n_busy < AT_ONCE && n_open + n_busy < n_clients; i++) {
        next = (next + 1) % n_clients;
        if (clients[next].stage == IDLE)
            start(&clients[next]);
    }
    struct epoll_event events[512];
    int n = epoll_wait(epoll, events, 512, 50);
    for (int i = 0; i < n; i++)
        step(events[i].data.ptr);
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void tell(const char *what, double *times, size_t n) {
    qsort(times, n, sizeof *times, compare);
    printf("%s %.1f %.1f %.1f\n", what, times[n / 2], times[n * 99 / 100], times[n - 1]);
}

static void expect(unsigned count, double start_time) {
    for (unsigned done = 0; done < n_clients;) {
        turn();
        done = 0;
        for (unsigned i = 0; i < n_clients; i++)
            done += clients[i].events >= count;
    }
    pool = realloc(pool, (n_pool + n_clients) * sizeof *pool);
    for (unsigned i = 0; i < n_clients; i++)
        pool[n_pool + i] = (clients[i].came - start_time) * 1e3;
    tell("got", pool + n_pool, n_clients);
    n_pool += n_clients;
}

static unsigned least_lost(void) {
    unsigned least = UINT32_MAX;
    for (unsigned i = 0; i < n_clients; i++)
        least = clients[i].lost < least ? clients[i].lost : least;
    return least;
}

static void command(const char *line) {
    unsigned count, seconds;
    long long ns;
    double began = now();
    if (sscanf(line, "wait %u", &seconds) == 1) {
        while (now() < began + seconds)
            turn();
        printf("waited\n");
    } else if (sscanf(line, "expect %u %lld", &count, &ns) == 2) {
        expect(count, (double)ns / 1e9);
    } else if (strncmp(line, "all", 3) == 0) {
        tell("all", pool, n_pool);
    } else if (strncmp(line, "return", 6) == 0) {
        unsigned before = least_lost();
        while (least_lost() == before || n_open < n_clients)
            turn();
        printf("returned %.2f\n", now() - began);
    }
    fflush(stdout);
}

int main(int argc, char **argv) {
    if (argc != 4 && argc != 5) {
        fprintf(stderr, "usage: hub-clients N PORT TOKEN [REQUEST]\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    n_clients = (unsigned)atoi(argv[1]);
    port = atoi(argv[2]);
    token = argv[3];
    watch = argv[4];
    clients = calloc(n_clients, sizeof *clients);
    context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    double began = now();
    while (n_open < n_clients)
        turn();
    printf("connected %.2f\n", now() - began);
    fflush(stdout);
    char line[256];
    while (fgets(line, sizeof line, stdin))
        command(line);
    unsigned total = 0, repeated = 0;
    for (unsigned i = 0; i < n_clients; i++) {
        total += clients[i].events;
        repeated += clients[i].repeated;
    }
    printf("total %u, repeated %u\n", total, repeated);
    return 0;
}
