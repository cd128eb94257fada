/*
 * A randomised check that a store is linearizable while it is killed: clients read, write and swap
 * a few registers, each of two keys; what they saw is searched for an order that explains it. Every
 * few seconds new registers are taken, so that answers that were lost do not add up. A watch must
 * tell every write once.
 *
 * LINEAR_SECONDS says for how long (each store); LINEAR_SEED repeats a choice of operations.
 */
#include <stdlib.h>

#include "state/linear-target.h"

#define CLIENTS    8
#define REGISTERS  3 /* of a round */
#define ROUND_US   2500000
#define MAX_WAIT_S 120

/* --- the checker itself */

static void add(GArray *ops, LinearKind kind, int64_t value, uint64_t start, uint64_t end) {
    LinearOp op = { .kind = kind, .value = value, .start = start, .end = end, .done = true };
    g_array_append_val(ops, op);
}

static void add_swap(GArray *ops, int64_t from, int64_t to, bool done, uint64_t start,
                     uint64_t end) {
    LinearOp op = { LINEAR_SWAP, 0, to, from, done, start, end, 0 };
    g_array_append_val(ops, op);
}

static GArray *ops_new(void) {
    return g_array_new(FALSE, TRUE, sizeof(LinearOp));
}

static void test_checker_order(void) {
    g_autoptr(GArray) ops = ops_new();
    add(ops, LINEAR_READ, 0, 0, 5);
    add(ops, LINEAR_WRITE, 1, 10, 30);
    add(ops, LINEAR_READ, 0, 12, 14); /* before it, */
    add(ops, LINEAR_READ, 1, 15, 17); /* and after, while it is under way */
    add(ops, LINEAR_WRITE, 2, 16, 40);
    add(ops, LINEAR_READ, 2, 41, 42);
    g_assert_true(linear_check_register(ops));
    add(ops, LINEAR_READ, 1, 43, 44); /* too late */
    g_assert_false(linear_check_register(ops));
}

static void test_checker_stale(void) {
    g_autoptr(GArray) ops = ops_new();
    add(ops, LINEAR_WRITE, 1, 0, 50);
    add(ops, LINEAR_READ, 1, 10, 20);
    g_assert_true(linear_check_register(ops));
    add(ops, LINEAR_READ, 0, 21, 30); /* one has seen it: nobody may not, later */
    g_assert_false(linear_check_register(ops));
}

static void test_checker_lost(void) {
    g_autoptr(GArray) ops = ops_new();
    add(ops, LINEAR_WRITE, 1, 0, 5);
    add(ops, LINEAR_WRITE, 2, 6, LINEAR_NEVER);
    add(ops, LINEAR_READ, 1, 10, 20);
    g_assert_true(linear_check_register(ops)); /* not yet, or never */
    add(ops, LINEAR_READ, 2, 30, 40);
    g_assert_true(linear_check_register(ops)); /* late */
    add(ops, LINEAR_READ, 1, 50, 60);
    g_assert_false(linear_check_register(ops)); /* but not undone */
}

static void test_checker_swap(void) {
    g_autoptr(GArray) ops = ops_new();
    add_swap(ops, 0, 1, true, 0, 20);
    add_swap(ops, 0, 2, false, 0, 20);
    add(ops, LINEAR_READ, 1, 30, 40);
    g_assert_true(linear_check_register(ops));
    add_swap(ops, 0, 3, true, 0, 50); /* two cannot both have found nothing */
    g_assert_false(linear_check_register(ops));
}

static void test_checker_revisions(void) {
    g_autoptr(GArray) ops = ops_new();
    add(ops, LINEAR_WRITE, 1, 0, 5);
    add(ops, LINEAR_WRITE, 2, 3, 9);
    add(ops, LINEAR_READ, 2, 10, 11);
    LinearOp *op = (LinearOp *)(void *)ops->data;
    op[0].revision = 3;
    op[1].revision = 2;
    op[2].revision = 3;
    g_assert_null(linear_check_revisions(ops));
    op[2].revision = 2;
    g_autofree char *stale = linear_check_revisions(ops);
    g_assert_nonnull(stale);
    op[2].revision = 3;
    op[1].revision = 3;
    g_autofree char *twice = linear_check_revisions(ops);
    g_assert_nonnull(twice);
}

/* --- the run */

typedef struct {
    int64_t revision, value;
    unsigned key;
} Telling;

typedef struct Run Run;

typedef struct {
    Run *run;
    unsigned number;
    LinearOp op;
    bool busy;
    LoopTimer *pause;
} Client;

struct Run {
    Loop *loop;
    Target *target;
    GRand *random;
    Client clients[CLIENTS];
    Client probes[REGISTERS]; /* each reads one register, when a member that was stopped goes on */
    GArray *ops;              /* of LinearOp: this round */
    GArray *lost;             /* of int64_t: values whose write was not answered */
    GArray *told;             /* of Telling: by the watch, all rounds */
    GArray *writes;           /* of Telling: answered, all rounds */
    unsigned round, kills, n_ops, n_lost;
    int64_t next_value;
    bool stopping;
    LoopTimer *killer, *end;
};

static void begin(Client *client);

static void on_pause(void *data) {
    begin(data);
}

static void pause_client(Client *client, int most_us) {
    Run *run = client->run;
    uint64_t pause = (uint64_t)g_rand_int_range(run->random, 0, most_us);
    loop_timer_set(run->loop, &client->pause, loop_now(run->loop) + pause, on_pause, client);
}

static void note_write(Run *run, const LinearOp *op) {
    Telling write = { op->revision, op->value, op->key };
    if (op->kind == LINEAR_WRITE || (op->kind == LINEAR_SWAP && op->done))
        g_array_append_val(run->writes, write);
}

static void on_answered(void *data, Outcome outcome, const LinearOp *op) {
    Client *client = data;
    Run *run = client->run;
    LinearOp seen = *op;
    seen.start = client->op.start;
    seen.end = outcome == LOST ? LINEAR_NEVER : loop_now(run->loop);
    client->busy = false;
    if (outcome == LOST && op->kind != LINEAR_READ) {
        g_array_append_val(run->lost, seen.value);
        run->n_lost++;
    }
    if (outcome == ANSWERED)
        note_write(run, &seen);
    /* A read that was lost says nothing. */
    if (outcome == ANSWERED || (outcome == LOST && op->kind != LINEAR_READ))
        g_array_append_val(run->ops, seen);
    if (!run->stopping && client->number < CLIENTS)
        pause_client(client, outcome == ANSWERED ? 20000 : 100000);
}

/* What somebody saw lately in this register: a swap of anything else would always be refused. */
static int64_t guess(const Run *run, unsigned key) {
    for (unsigned i = run->ops->len; i-- > 0 && i + 50 > run->ops->len;) {
        const LinearOp *op = &g_array_index(run->ops, LinearOp, i);
        if (op->key == key && (op->kind != LINEAR_SWAP || op->done))
            return op->value;
    }
    return 0;
}

static void begin(Client *client) {
    Run *run = client->run;
    client->op = (LinearOp){
        .kind = (LinearKind)g_rand_int_range(run->random, 0, 3),
        .key = run->round * REGISTERS + (unsigned)g_rand_int_range(run->random, 0, REGISTERS),
    };
    client->op.value = client->op.kind == LINEAR_READ ? 0 : run->next_value++;
    client->op.expected = client->op.kind == LINEAR_SWAP ? guess(run, client->op.key) : 0;
    client->op.start = loop_now(run->loop);
    client->busy = true;
    run->n_ops++;
    target_ask(run->target, client->number, &client->op, on_answered, client);
}

static void on_told(void *data, int64_t revision, unsigned key, int64_t value) {
    Run *run = data;
    Telling telling = { revision, value, key };
    if (run->told->len > 0)
        g_assert_cmpint(revision, >,
                        g_array_index(run->told, Telling, run->told->len - 1).revision);
    g_array_append_val(run->told, telling);
}

static void on_kill(void *data) {
    Run *run = data;
    const char *what = target_kill(run->target, run->random);
    run->kills++;
    g_test_message("round %u: %s", run->round, what);
}

static void read_register(Client *client, unsigned member, unsigned which) {
    Run *run = client->run;
    client->op = (LinearOp){ .kind = LINEAR_READ, .key = run->round * REGISTERS + which };
    client->op.start = loop_now(run->loop);
    client->busy = true;
    run->n_ops++;
    target_ask(run->target, member, &client->op, on_answered, client);
}

/* What it knew when it was stopped is not what is true now. */
static void on_thaw(void *data, unsigned member) {
    Run *run = data;
    for (unsigned i = 0; i < REGISTERS; i++)
        if (!run->probes[i].busy)
            read_register(&run->probes[i], member, i);
}

static void on_end(void *data) {
    ((Run *)data)->stopping = true;
}

static void on_turn(void *data) {
    loop_quit(data);
}

static bool is_quiet(const Run *run) {
    bool quiet = run->stopping;
    for (unsigned i = 0; i < CLIENTS; i++)
        quiet = quiet && !run->clients[i].busy;
    for (unsigned i = 0; i < REGISTERS; i++)
        quiet = quiet && !run->probes[i].busy;
    return quiet;
}

static void turn(Run *run) {
    LoopTimer *timer = NULL;
    loop_timer_set(run->loop, &timer, loop_now(run->loop) + 20000, on_turn, run->loop);
    g_assert_true(loop_run(run->loop, NULL));
    loop_timer_clear(&timer);
}

static void wait_until(Run *run, bool (*holds)(const Run *run)) {
    uint64_t late = loop_now(run->loop) + MAX_WAIT_S * G_USEC_PER_SEC;
    while (!holds(run)) {
        g_assert_cmpint((int64_t)loop_now(run->loop), <, (int64_t)late);
        turn(run);
    }
}

/* Whatever was killed, at the end every register can be read. */
static void read_at_end(Run *run) {
    Client *client = &run->clients[0];
    for (unsigned i = 0; i < REGISTERS; i++) {
        unsigned before = run->ops->len;
        while (run->ops->len == before) {
            read_register(client, i, i);
            wait_until(run, is_quiet);
        }
    }
}

static void check_round(const Run *run) {
    g_autofree char *problem = linear_check_revisions(run->ops);
    g_assert_cmpstr(problem, ==, NULL);
    for (unsigned i = 0; i < REGISTERS; i++) {
        g_autoptr(GArray) ops = ops_new();
        for (unsigned j = 0; j < run->ops->len; j++) {
            LinearOp *op = &g_array_index(run->ops, LinearOp, j);
            if (op->key == run->round * REGISTERS + i)
                g_array_append_val(ops, *op);
        }
        if (linear_check_register(ops))
            continue;
        g_autofree char *history = linear_show(ops);
        g_error("no order explains what was seen of register %u:\n%s", i, history);
    }
}

static void run_round(Run *run) {
    g_array_set_size(run->ops, 0);
    run->stopping = false;
    uint64_t now = loop_now(run->loop);
    for (unsigned i = 0; i < CLIENTS; i++)
        pause_client(&run->clients[i], 20000);
    loop_timer_set(run->loop, &run->killer,
                   now + (uint64_t)g_rand_int_range(run->random, ROUND_US / 5, ROUND_US / 2),
                   on_kill, run);
    loop_timer_set(run->loop, &run->end, now + ROUND_US, on_end, run);
    wait_until(run, is_quiet);
    for (unsigned i = 0; i < CLIENTS; i++)
        loop_timer_clear(&run->clients[i].pause);
    read_at_end(run);
    check_round(run);
    run->round++;
}

static int by_revision(const void *a, const void *b) {
    const Telling *left = a, *right = b;
    return left->revision < right->revision ? -1 : left->revision > right->revision;
}

static bool all_told(const Run *run) {
    int64_t last = run->writes->len > 0
                       ? g_array_index(run->writes, Telling, run->writes->len - 1).revision
                       : 0;
    return run->told->len > 0 &&
           g_array_index(run->told, Telling, run->told->len - 1).revision >= last;
}

static bool was_lost(const Run *run, int64_t value) {
    for (unsigned i = 0; i < run->lost->len; i++)
        if (g_array_index(run->lost, int64_t, i) == value)
            return true;
    return false;
}

/* Every write that was answered was told, at its revision; besides only such as were lost. */
static void check_watch(Run *run) {
    g_array_sort(run->writes, by_revision);
    wait_until(run, all_told);
    unsigned next = 0;
    for (unsigned i = 0; i < run->told->len; i++) {
        const Telling *told = &g_array_index(run->told, Telling, i);
        const Telling *write =
            next < run->writes->len ? &g_array_index(run->writes, Telling, next) : NULL;
        if (write == NULL || write->revision != told->revision) {
            g_assert_true(was_lost(run, told->value));
            continue;
        }
        g_assert_cmpint(write->value, ==, told->value);
        g_assert_cmpint(write->key, ==, told->key);
        next++;
    }
    g_assert_cmpint(next, ==, run->writes->len);
}

static void run_on(Run *run, uint64_t seconds) {
    for (unsigned i = 0; i < CLIENTS; i++)
        run->clients[i] = (Client){ .run = run, .number = i };
    for (unsigned i = 0; i < REGISTERS; i++)
        run->probes[i] = (Client){ .run = run, .number = CLIENTS + i };
    target_on_thaw(run->target, on_thaw);
    uint64_t end = loop_now(run->loop) + seconds * G_USEC_PER_SEC;
    do
        run_round(run);
    while (loop_now(run->loop) < end);
    check_watch(run);
    g_test_message("%u rounds, %u operations, %u lost, %u kills, %u changes told: linearizable",
                   run->round, run->n_ops, run->n_lost, run->kills, run->told->len);
    g_assert_cmpint(run->writes->len, >, 0);
}

static void test_target(const void *data) {
    bool etcd = data != NULL;
    const char *seconds = g_getenv("LINEAR_SECONDS"), *seed = g_getenv("LINEAR_SEED");
    Run run = { .loop = loop_new(NULL), .next_value = 1 };
    guint32 number = seed != NULL ? (guint32)atoi(seed) : g_random_int();
    g_test_message("LINEAR_SEED=%u", number);
    run.random = g_rand_new_with_seed(number);
    run.target = etcd ? target_new_etcd(run.loop, 3, on_told, &run)
                      : target_new_sqlite(run.loop, on_told, &run);
    run.ops = ops_new();
    run.lost = g_array_new(FALSE, FALSE, sizeof(int64_t));
    run.told = g_array_new(FALSE, FALSE, sizeof(Telling));
    run.writes = g_array_new(FALSE, FALSE, sizeof(Telling));
    if (run.target == NULL)
        g_test_skip("there is no etcd here: apt install etcd-server");
    else
        run_on(&run, seconds != NULL ? (uint64_t)atoi(seconds) : 5);
    g_clear_pointer(&run.target, target_free);
    loop_timer_clear(&run.killer);
    loop_timer_clear(&run.end);
    g_array_unref(run.ops);
    g_array_unref(run.lost);
    g_array_unref(run.told);
    g_array_unref(run.writes);
    g_rand_free(run.random);
    loop_free(run.loop);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/linear/checker/order", test_checker_order);
    g_test_add_func("/linear/checker/stale", test_checker_stale);
    g_test_add_func("/linear/checker/lost", test_checker_lost);
    g_test_add_func("/linear/checker/swap", test_checker_swap);
    g_test_add_func("/linear/checker/revisions", test_checker_revisions);
    g_test_add_data_func("/linear/sqlite", NULL, test_target);
    g_test_add_data_func("/linear/etcd", "etcd", test_target);
    return g_test_run();
}
