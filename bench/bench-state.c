/*
 * What stores cost, each figure beside the least that can do it in the same run: SQLite beside bare
 * transactions of SQLite of the same size with the same groups, and the disk's syncs; etcd beside
 * bare requests to its gateway from one thread with as many sockets. Usage: bench-state [DIR]:
 * where the files are (default: $TMPDIR).
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "state/store.h"
#include "state/test-etcd.h"

#define WRITERS    32
#define VALUE_SIZE 256
#define TURN_US    G_USEC_PER_SEC
#define TURNS      5

static void must(bool ok, const char *what) {
    if (ok)
        return;
    fprintf(stderr, "bench-state: %s\n", what);
    exit(1);
}

static void row(const char *what, const char *target, double ours, double limit, const char *beside,
                bool met) {
    printf("%-44s  %-30s  %8.0f /s  %5.2fx of %8.0f /s %-22s  %s\n", what, target, ours,
           ours / limit, limit, beside, met ? "met" : "MISSED");
    (void)fflush(stdout);
}

static int by_number(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return left < right ? -1 : left > right;
}

static double median(double *numbers) {
    qsort(numbers, TURNS, sizeof *numbers, by_number);
    return numbers[TURNS / 2];
}

static double rate(unsigned n, gint64 start) {
    return n * 1e6 / (double)(g_get_monotonic_time() - start);
}

/* What this process has used, in us: on a busy machine the rates are those of the scheduler. */
static double cpu_us(void) {
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

/* --- through the interface: so many calls at once, each followed by the next */

typedef struct {
    Loop *loop;
    Store *store;
    bool reads;
    gint64 end;
    unsigned done, busy;
} Load;

typedef struct {
    Load *load;
    GBytes *key, *value;
} Caller;

static void ask(Caller *caller);

static void on_answer(void *data, StoreAnswer *answer, const GError *error) {
    Caller *caller = data;
    must(error == NULL, error != NULL ? error->message : "");
    caller->load->done++;
    if (g_get_monotonic_time() < caller->load->end)
        ask(caller);
    else if (--caller->load->busy == 0)
        loop_quit(caller->load->loop);
}

static void ask(Caller *caller) {
    if (caller->load->reads)
        store_get(caller->load->store, caller->key, on_answer, caller);
    else
        store_put(caller->load->store, caller->key, caller->value, 0, on_answer, caller);
}

static GBytes *key_of(unsigned writer) {
    g_autofree char *text = g_strdup_printf("bench/%02u", writer);
    return g_bytes_new(text, strlen(text));
}

static double run_store(Loop *loop, Store *store, bool reads) {
    Load load = { .loop = loop, .store = store, .reads = reads, .busy = WRITERS };
    Caller callers[WRITERS];
    char value[VALUE_SIZE];
    memset(value, 'v', sizeof value);
    gint64 start = g_get_monotonic_time();
    load.end = start + TURN_US;
    for (unsigned i = 0; i < WRITERS; i++) {
        callers[i] = (Caller){ &load, key_of(i), g_bytes_new(value, sizeof value) };
        ask(&callers[i]);
    }
    must(loop_run(loop, NULL), "run the loop");
    for (unsigned i = 0; i < WRITERS; i++) {
        g_bytes_unref(callers[i].key);
        g_bytes_unref(callers[i].value);
    }
    return rate(load.done, start);
}

/* --- SQLite */

static void execute(sqlite3 *db, const char *sql) {
    must(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK, sqlite3_errmsg(db));
}

/* The same groups, nothing but a row for each write. */
static double run_bare_sqlite(const char *dir) {
    g_autofree char *path = g_build_filename(dir, "bare.db", NULL);
    char value[VALUE_SIZE];
    sqlite3 *db;
    sqlite3_stmt *insert;
    unsigned done = 0;
    memset(value, 'v', sizeof value);
    must(sqlite3_open(path, &db) == SQLITE_OK, "open a file of SQLite");
    execute(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                "CREATE TABLE IF NOT EXISTS rows (id INTEGER PRIMARY KEY, value BLOB)");
    must(sqlite3_prepare_v2(db, "INSERT INTO rows (value) VALUES (?1)", -1, &insert, NULL) ==
             SQLITE_OK,
         sqlite3_errmsg(db));
    gint64 start = g_get_monotonic_time();
    while (g_get_monotonic_time() < start + TURN_US) {
        execute(db, "BEGIN IMMEDIATE");
        for (unsigned i = 0; i < WRITERS; i++, done++) {
            (void)sqlite3_bind_blob(insert, 1, value, sizeof value, SQLITE_STATIC);
            must(sqlite3_step(insert) == SQLITE_DONE, sqlite3_errmsg(db));
            (void)sqlite3_reset(insert);
        }
        execute(db, "COMMIT");
    }
    double result = rate(done, start);
    (void)sqlite3_finalize(insert);
    (void)sqlite3_close(db);
    return result;
}

static double run_syncs(const char *dir) {
    g_autofree char *path = g_build_filename(dir, "syncs", NULL);
    char block[8192];
    memset(block, 'x', sizeof block);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    unsigned n = 0;
    gint64 start = g_get_monotonic_time();
    for (; g_get_monotonic_time() < start + TURN_US / 2; n++)
        must(pwrite(fd, block, sizeof block, (off_t)n * (off_t)sizeof block) == sizeof block &&
                 fdatasync(fd) == 0,
             "write a file");
    close(fd);
    return rate(n, start);
}

static void bench_sqlite(Loop *loop, const char *dir) {
    g_autoptr(GError) error = NULL;
    g_autofree char *path = g_build_filename(dir, "state.db", NULL);
    Store *store = store_open_sqlite(loop, path, &error);
    must(store != NULL, error != NULL ? error->message : "");
    double ours[TURNS], bare[TURNS], syncs[TURNS], reads[TURNS];
    for (unsigned i = 0; i < TURNS; i++) {
        ours[i] = run_store(loop, store, false);
        bare[i] = run_bare_sqlite(dir);
        syncs[i] = run_syncs(dir);
        reads[i] = run_store(loop, store, true);
    }
    store_free(store);
    double mine = median(ours), limit = median(bare);
    printf("# the disk: %.0f syncs/s of 8 KiB; %d writers, values of %d bytes\n", median(syncs),
           WRITERS, VALUE_SIZE);
    row("SQLite: durable transactions, 32 writers", ">= 5,000/s, or half the limit", mine, limit,
        "bare SQLite, groups", mine >= 5000 || mine >= limit / 2);
    row("SQLite: gets, 32 at once", ">= 10,000/s", median(reads), mine, "our transactions",
        median(reads) >= 10000);
}

/* --- etcd's gateway, bare: the least that one thread can do with as many connections */

typedef struct {
    int fd;
    char *request;
    char text[4096];
    size_t size;
} Line;

/* A head with its length, and the body. */
static bool is_whole(const Line *line) {
    const char *head_end = strstr(line->text, "\r\n\r\n");
    const char *length = head_end != NULL ? strstr(line->text, "Content-Length: ") : NULL;
    return length != NULL &&
           line->size >= (size_t)(head_end + 4 - line->text) + strtoul(length + 16, NULL, 10);
}

static void send_request(Line *line) {
    ssize_t size = (ssize_t)strlen(line->request);
    line->size = 0;
    must(send(line->fd, line->request, (size_t)size, MSG_NOSIGNAL) == size, "ask etcd");
}

/* Returns whether its answer is there. */
static bool read_some(Line *line) {
    ssize_t more = recv(line->fd, line->text + line->size, sizeof line->text - 1 - line->size, 0);
    must(more > 0, "read an answer of etcd");
    line->size += (size_t)more;
    line->text[line->size] = '\0';
    if (!is_whole(line))
        return false;
    must(strncmp(line->text, "HTTP/1.1 200", 12) == 0, line->text);
    return true;
}

static int connect_to(unsigned port) {
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(connect(fd, (struct sockaddr *)(void *)&address, sizeof address) == 0, "connect to etcd");
    return fd;
}

static char *request_of(unsigned port, unsigned writer, bool reads) {
    char value[VALUE_SIZE];
    memset(value, 'v', sizeof value);
    g_autoptr(GBytes) key = key_of(writer);
    g_autofree char *key64 = g_base64_encode(g_bytes_get_data(key, NULL), g_bytes_get_size(key));
    g_autofree char *value64 = g_base64_encode((guchar *)value, sizeof value);
    g_autofree char *body =
        reads ? g_strdup_printf("{\"key\":\"%s\"}", key64)
              : g_strdup_printf("{\"key\":\"%s\",\"value\":\"%s\"}", key64, value64);
    return g_strdup_printf(
        "POST /v3/kv/%s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nContent-Type: application/json\r\n"
        "Content-Length: %zu\r\n\r\n%s",
        reads ? "range" : "put", port, strlen(body), body);
}

static double run_gateway(unsigned port, bool reads) {
    g_autofree Line *lines = g_new0(Line, WRITERS);
    struct pollfd polls[WRITERS];
    unsigned done = 0;
    gint64 start = g_get_monotonic_time();
    for (unsigned i = 0; i < WRITERS; i++) {
        lines[i].fd = connect_to(port);
        lines[i].request = request_of(port, i, reads);
        polls[i] = (struct pollfd){ lines[i].fd, POLLIN, 0 };
        send_request(&lines[i]);
    }
    while (g_get_monotonic_time() < start + TURN_US) {
        must(poll(polls, WRITERS, -1) > 0, "wait for etcd");
        for (unsigned i = 0; i < WRITERS; i++)
            if (polls[i].revents != 0 && read_some(&lines[i])) {
                done++;
                send_request(&lines[i]);
            }
    }
    double result = rate(done, start);
    for (unsigned i = 0; i < WRITERS; i++) {
        close(lines[i].fd);
        g_free(lines[i].request);
    }
    return result;
}

static void wait_for(Loop *loop, Store *store) {
    for (unsigned tries = 0; tries < 300; tries++) {
        g_autoptr(GBytes) key = key_of(0);
        g_autoptr(StoreAnswer) answer = store_wait(store_get(store, key, NULL, NULL), NULL);
        if (answer != NULL)
            return;
        g_usleep(100000);
    }
    must(false, "etcd does not start");
}

static void bench_etcd(Loop *loop) {
    EtcdServers *servers = etcd_servers_start(1);
    if (servers == NULL) {
        printf("# no etcd here: apt install etcd-server\n");
        return;
    }
    const char *url = etcd_servers_url(servers, 0);
    unsigned port = (unsigned)atoi(strrchr(url, ':') + 1);
    Store *store = store_open_etcd(loop, &(StoreEtcdOptions){ .urls = url }, NULL);
    wait_for(loop, store);
    for (int reads = 0; reads < 2; reads++) {
        double ours[TURNS], bare[TURNS], our_cpu[TURNS], bare_cpu[TURNS];
        for (unsigned i = 0; i < TURNS; i++) {
            double before = cpu_us();
            bare[i] = run_gateway(port, reads);
            double between = cpu_us();
            ours[i] = run_store(loop, store, reads);
            bare_cpu[i] = (between - before) / (bare[i] * TURN_US / 1e6);
            our_cpu[i] = (cpu_us() - between) / (ours[i] * TURN_US / 1e6);
        }
        double mine = median(ours), limit = median(bare);
        printf("# processor time of the client for each: %.0f us, bare %.0f us\n", median(our_cpu),
               median(bare_cpu));
        row(reads ? "etcd: gets, 32 at once" : "etcd: puts, 32 at once", ">= 0.8x the bare gateway",
            mine, limit, "bare gateway", mine >= 0.8 * limit);
    }
    store_free(store);
    etcd_servers_free(servers);
}

int main(int argc, char **argv) {
    static const char *const files[] = { "bare.db", "bare.db-wal", "bare.db-shm",
                                         "syncs",   "state.db",    "state.db-lock" };
    g_autofree char *dir =
        g_build_filename(argc > 1 ? argv[1] : g_get_tmp_dir(), "bench-state-XXXXXX", NULL);
    must(g_mkdtemp(dir) != NULL, "make a directory");
    g_autoptr(Loop) loop = loop_new(NULL);
    if (!getenv("ETCD_ONLY"))
        bench_sqlite(loop, dir);
    bench_etcd(loop);
    for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *path = g_build_filename(dir, files[i], NULL);
        (void)unlink(path);
    }
    (void)rmdir(dir);
    return 0;
}
