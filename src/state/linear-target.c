#include "state/linear-target.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define MEMBERS_MAX 5
/* What is asked of a stopped member waits in its sockets by then. */
#define THAW_US 30000

/* Between the driver and the process with the store: the same struct both ways. */
typedef struct {
    enum { MESSAGE_ASK, MESSAGE_ANSWER, MESSAGE_WATCH, MESSAGE_TOLD } kind;
    uint64_t id;
    Outcome outcome;
    LinearOp op; /* MESSAGE_WATCH: its revision; MESSAGE_TOLD: key, value, revision */
} Message;

/* A question that was not answered yet. */
typedef struct {
    Answered answered;
    void *data;
    LinearOp op;
} Question;

struct Target {
    Loop *loop;
    Told told;
    void *data;
    int64_t told_revision;
    /* the process */
    char *dir;
    pid_t pid;
    int fd;
    LoopSource *source;
    GHashTable *questions; /* id -> Question */
    uint64_t next_id;
    /* etcd */
    EtcdServers *servers;
    unsigned n_members, down; /* down: the member that is, n_members: none */
    bool frozen;
    LoopTimer *revival;
    void (*thaw)(void *data, unsigned client);
    Store *stores[MEMBERS_MAX];
    StoreWatch *watch;
};

/* --- an operation on a store: each write puts two keys, each read reads both */

static GBytes *key_of(unsigned key, bool twin) {
    char text[32];
    int size = g_snprintf(text, sizeof text, "k/%06u%s", key, twin ? "/twin" : "");
    return g_bytes_new(text, (gsize)size);
}

static GBytes *text_of(int64_t value) {
    char text[32];
    int size = g_snprintf(text, sizeof text, "%" G_GINT64_FORMAT, value);
    return g_bytes_new(text, (gsize)size);
}

static int64_t value_of(GBytes *bytes) {
    g_autofree char *text = g_strndup(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
    return g_ascii_strtoll(text, NULL, 10);
}

static int64_t value_of_pair(const GPtrArray *entries) {
    if (entries->len == 0)
        return 0;
    g_assert_cmpint(entries->len, ==, 2);
    const StoreEntry *one = g_ptr_array_index(entries, 0), *twin = g_ptr_array_index(entries, 1);
    g_assert_cmpint(value_of(one->value), ==, value_of(twin->value));
    g_assert_cmpint(one->mod_revision, ==, twin->mod_revision);
    return value_of(one->value);
}

static void on_answer(void *data, StoreAnswer *answer, const GError *error) {
    g_autofree Question *question = data;
    LinearOp *op = &question->op;
    if (error != NULL) {
        bool lost = error->code == STORE_ERROR_UNKNOWN_OUTCOME;
        if (!lost && error->code != STORE_ERROR_UNAVAILABLE)
            g_error("%s", error->message);
        question->answered(question->data, lost ? LOST : NOTHING_DONE, op);
        return;
    }
    op->revision = answer->revision;
    op->done = answer->succeeded;
    if (op->kind == LINEAR_READ)
        op->value = value_of_pair(store_answer_result(answer, 0)->entries);
    question->answered(question->data, ANSWERED, op);
}

static void ask_store(Store *store, const LinearOp *op, Answered answered, void *data) {
    g_autoptr(GBytes) key = key_of(op->key, false), twin = key_of(op->key, true);
    g_autoptr(GBytes) value = text_of(op->value), expected = text_of(op->expected);
    Question *question = g_new0(Question, 1);
    *question = (Question){ answered, data, *op };
    if (op->kind == LINEAR_READ) {
        store_range(store, &(StoreRange){ .key = key, .prefix = true }, on_answer, question);
        return;
    }
    g_autoptr(StoreTxn) txn = store_txn_new();
    if (op->kind == LINEAR_SWAP && op->expected == 0)
        store_txn_compare(txn, key, STORE_VERSION, STORE_EQUAL, 0);
    else if (op->kind == LINEAR_SWAP)
        store_txn_compare_value(txn, key, STORE_EQUAL, expected);
    store_txn_put(txn, STORE_THEN, key, value, 0);
    store_txn_put(txn, STORE_THEN, twin, value, 0);
    store_commit(store, txn, on_answer, question);
}

/* Pairs of events, whole ones. */
static void tell_pairs(GPtrArray *events, Told told, void *data) {
    g_assert_cmpint(events->len % 2, ==, 0);
    for (unsigned i = 0; i < events->len; i += 2) {
        const StoreEntry *one = g_ptr_array_index(events, i);
        const StoreEntry *twin = g_ptr_array_index(events, i + 1);
        g_autofree char *key =
            g_strndup(g_bytes_get_data(one->key, NULL), g_bytes_get_size(one->key));
        g_assert_cmpint(one->mod_revision, ==, twin->mod_revision);
        g_assert_cmpint(value_of(one->value), ==, value_of(twin->value));
        told(data, one->mod_revision, (unsigned)atoi(key + strlen("k/")), value_of(one->value));
    }
}

/* --- in the process with the file */

typedef struct {
    Loop *loop;
    Store *store;
    StoreWatch *watch;
    int fd;
} Server;

typedef struct {
    Server *server;
    uint64_t id;
} Asked;

static void send_message(int fd, const Message *message) {
    if (send(fd, message, sizeof *message, MSG_NOSIGNAL) != sizeof *message)
        _exit(0); /* the driver has gone */
}

static void reply(void *data, Outcome outcome, const LinearOp *op) {
    g_autofree Asked *asked = data;
    Message message = { MESSAGE_ANSWER, asked->id, outcome, *op };
    send_message(asked->server->fd, &message);
}

static void send_told(void *data, int64_t revision, unsigned key, int64_t value) {
    Server *server = data;
    Message message = { .kind = MESSAGE_TOLD,
                        .op = { .key = key, .value = value, .revision = revision } };
    send_message(server->fd, &message);
}

static void on_server_watch(void *data, int64_t revision, GPtrArray *events, const GError *error) {
    g_assert_no_error(error);
    tell_pairs(events, send_told, data);
}

static void on_asked(void *data, int fd, uint32_t epoll_events) {
    Server *server = data;
    Message message;
    if (recv(fd, &message, sizeof message, 0) != sizeof message)
        _exit(0);
    if (message.kind == MESSAGE_WATCH) {
        g_autoptr(GBytes) prefix = g_bytes_new_static("k/", 2);
        server->watch =
            store_watch(server->store, prefix, true, message.op.revision, on_server_watch, server);
        return;
    }
    Asked *asked = g_new0(Asked, 1);
    *asked = (Asked){ server, message.id };
    ask_store(server->store, &message.op, reply, asked);
}

static G_NORETURN void serve(const char *path, int fd) {
    g_autoptr(GError) error = NULL;
    Server server = { .loop = loop_new(&error), .fd = fd };
    g_assert_no_error(error);
    server.store = store_open_sqlite(server.loop, path, &error);
    g_assert_no_error(error);
    LoopSource *source = loop_watch_fd(server.loop, fd, EPOLLIN, on_asked, &server, &error);
    g_assert_nonnull(source);
    (void)loop_run(server.loop, NULL);
    _exit(1);
}

/* --- the process, from the driver */

static void process_start(Target *target);

/* All it said has been read. */
static void process_ended(Target *target) {
    g_autoptr(GHashTable) lost = target->questions;
    target->questions = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    g_clear_pointer(&target->source, loop_source_free);
    close(target->fd);
    int status;
    g_assert_cmpint(waitpid(target->pid, &status, 0), ==, target->pid);
    g_assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    process_start(target);
    GHashTableIter iter;
    void *value;
    g_hash_table_iter_init(&iter, lost);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        g_autofree Question *question = value;
        question->answered(question->data, LOST, &question->op);
    }
}

static void on_process(void *data, int fd, uint32_t epoll_events) {
    Target *target = data;
    Message message;
    if (recv(fd, &message, sizeof message, 0) != sizeof message) {
        process_ended(target);
        return;
    }
    if (message.kind == MESSAGE_TOLD) {
        target->told_revision = message.op.revision;
        target->told(target->data, message.op.revision, message.op.key, message.op.value);
        return;
    }
    g_autofree Question *question = g_hash_table_lookup(target->questions, &message.id);
    g_assert_nonnull(question);
    (void)g_hash_table_remove(target->questions, &message.id);
    question->answered(question->data, message.outcome, &message.op);
}

static void process_start(Target *target) {
    int fds[2];
    g_autofree char *path = g_build_filename(target->dir, "state.db", NULL);
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), ==, 0);
    pid_t parent = getpid();
    target->pid = fork();
    g_assert_cmpint(target->pid, >=, 0);
    if (target->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(fds[0]);
        if (getppid() == parent)
            serve(path, fds[1]);
        _exit(1);
    }
    close(fds[1]);
    target->fd = fds[0];
    target->source = loop_watch_fd(target->loop, target->fd, EPOLLIN, on_process, target, NULL);
    Message message = { .kind = MESSAGE_WATCH, .op.revision = target->told_revision + 1 };
    (void)send(target->fd, &message, sizeof message, MSG_NOSIGNAL);
}

static void ask_process(Target *target, const LinearOp *op, Answered answered, void *data) {
    Message message = { .kind = MESSAGE_ASK, .id = target->next_id++, .op = *op };
    if (send(target->fd, &message, sizeof message, MSG_NOSIGNAL) != sizeof message) {
        answered(data, NOTHING_DONE, op);
        return;
    }
    Question *question = g_new0(Question, 1);
    *question = (Question){ answered, data, *op };
    g_hash_table_insert(target->questions, g_memdup2(&message.id, sizeof message.id), question);
}

Target *target_new_sqlite(Loop *loop, Told told, void *data) {
    Target *target = g_new0(Target, 1);
    *target = (Target){ .loop = loop, .told = told, .data = data, .told_revision = 1 };
    target->dir = g_dir_make_tmp("stead-linear-XXXXXX", NULL);
    target->questions = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    process_start(target);
    return target;
}

/* --- etcd */

static void on_watch(void *data, int64_t revision, GPtrArray *events, const GError *error) {
    Target *target = data;
    g_assert_no_error(error);
    tell_pairs(events, target->told, target->data);
}

Target *target_new_etcd(Loop *loop, unsigned members, Told told, void *data) {
    g_assert(members <= MEMBERS_MAX);
    EtcdServers *servers = etcd_servers_start(members);
    if (servers == NULL)
        return NULL;
    Target *target = g_new0(Target, 1);
    *target = (Target){ .loop = loop, .told = told, .data = data, .servers = servers };
    target->n_members = target->down = members;
    for (unsigned i = 0; i < members; i++) {
        g_autoptr(GString) urls = g_string_new(etcd_servers_url(servers, i));
        for (unsigned j = 1; j < members; j++)
            g_string_append_printf(urls, ",%s", etcd_servers_url(servers, (i + j) % members));
        target->stores[i] = store_open_etcd(loop, &(StoreEtcdOptions){ .urls = urls->str }, NULL);
        g_assert_nonnull(target->stores[i]);
    }
    g_autoptr(GBytes) prefix = g_bytes_new_static("k/", 2);
    target->watch = store_watch(target->stores[0], prefix, true, 2, on_watch, target);
    return target;
}

static void on_thaw(void *data) {
    Target *target = data;
    etcd_servers_freeze(target->servers, target->down, false);
    target->down = target->n_members;
}

static void on_revival(void *data) {
    Target *target = data;
    if (target->frozen) {
        target->thaw(target->data, target->down);
        loop_timer_set(target->loop, &target->revival, loop_now(target->loop) + THAW_US, on_thaw,
                       target);
        return;
    }
    etcd_servers_restart(target->servers, target->down);
    target->down = target->n_members;
}

void target_on_thaw(Target *target, void (*thaw)(void *data, unsigned client)) {
    target->thaw = thaw;
}

static const char *kill_member(Target *target, GRand *random) {
    if (target->down < target->n_members)
        return "nothing: a member is down";
    target->down = (unsigned)g_rand_int_range(random, 0, (gint32)target->n_members);
    target->frozen = g_rand_int_range(random, 0, 3) == 0;
    if (target->frozen)
        etcd_servers_freeze(target->servers, target->down, true);
    else
        etcd_servers_kill(target->servers, target->down);
    uint64_t pause = (uint64_t)g_rand_int_range(random, 50000, 2000000);
    loop_timer_set(target->loop, &target->revival, loop_now(target->loop) + pause, on_revival,
                   target);
    return target->frozen ? "member frozen" : "member killed";
}

/* --- both */

void target_ask(Target *target, unsigned client, const LinearOp *op, Answered answered,
                void *data) {
    if (target->servers != NULL)
        ask_store(target->stores[client % target->n_members], op, answered, data);
    else
        ask_process(target, op, answered, data);
}

const char *target_kill(Target *target, GRand *random) {
    if (target->servers != NULL)
        return kill_member(target, random);
    (void)kill(target->pid, SIGKILL);
    return "process killed";
}

static void process_free(Target *target) {
    static const char *const files[] = { "state.db", "state.db-wal", "state.db-shm",
                                         "state.db-lock" };
    (void)kill(target->pid, SIGKILL);
    (void)waitpid(target->pid, NULL, 0);
    loop_source_free(target->source);
    close(target->fd);
    g_hash_table_unref(target->questions);
    for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *path = g_build_filename(target->dir, files[i], NULL);
        (void)unlink(path);
    }
    (void)rmdir(target->dir);
    g_free(target->dir);
}

void target_free(Target *target) {
    loop_timer_clear(&target->revival);
    store_watch_stop(target->watch);
    for (unsigned i = 0; i < target->n_members; i++)
        store_free(target->stores[i]);
    if (target->servers != NULL)
        etcd_servers_free(target->servers);
    else
        process_free(target);
    g_free(target);
}
