/*
 * Many members of a hub: each a TLS connection with an open stream of events, as agents have, that
 * comes back with the id of its last event when it is lost. Driven by bench/hub over stdin and
 * stdout:
 *
 *     hub-clients N PORT TOKEN
 *     -> connected SECONDS
 *     <- wait SECONDS           serves its streams for so long
 *     <- expect COUNT NS        until each has had COUNT events; NS: CLOCK_MONOTONIC of the first
 *     -> got P50_MS P99_MS MAX_MS
 *     <- return                 until all were lost and are back
 *     -> returned SECONDS
 *     at the end of stdin: -> total EVENTS, repeated EVENTS
 */
#include <arpa/inet.h>
#include <errno.h>
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
static const char *token;
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

static void ask(Client *client) {
    char text[512];
    int size = snprintf(text, sizeof text,
                        "GET /v1/events HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer "
                        "%s\r\n%s%s%s\r\n",
                        token, *client->last ? "Last-Event-ID: " : "", client->last,
                        *client->last ? "\r\n" : "");
    if (SSL_write(client->ssl, text, size) == size)
        client->stage = ASKED;
    else
        lose(client);
}

static void take_id(Client *client) {
    long long revision, index;
    if (sscanf(client->line, "id: %lld-%lld", &revision, &index) != 2)
        return;
    if (revision < client->revision || (revision == client->revision && index <= client->index))
        client->repeated++;
    client->revision = revision;
    client->index = index;
    client->events++;
    client->came = now();
    snprintf(client->last, sizeof client->last, "%lld-%lld", revision, index);
}

static void take_line(Client *client) {
    client->line[client->length] = '\0';
    client->length = 0;
    if (strcmp(client->line, "event: hello") == 0) {
        client->stage = OPEN;
        n_open++;
        n_busy--;
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

static void expect(unsigned count, double start_time) {
    for (unsigned done = 0; done < n_clients;) {
        turn();
        done = 0;
        for (unsigned i = 0; i < n_clients; i++)
            done += clients[i].events >= count;
    }
    double *times = calloc(n_clients, sizeof *times);
    for (unsigned i = 0; i < n_clients; i++)
        times[i] = (clients[i].came - start_time) * 1e3;
    qsort(times, n_clients, sizeof *times, compare);
    printf("got %.1f %.1f %.1f\n", times[n_clients / 2], times[n_clients * 99 / 100],
           times[n_clients - 1]);
    free(times);
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
    } else if (strncmp(line, "return", 6) == 0) {
        unsigned before = least_lost();
        while (least_lost() == before || n_open < n_clients)
            turn();
        printf("returned %.2f\n", now() - began);
    }
    fflush(stdout);
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: hub-clients N PORT TOKEN\n");
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
