/*
 * Hosts take turns: one that reads or writes as fast as it can leaves room for the others. What it
 * has done costs it time, at the rate of its kind; beyond what it may be ahead its next requests
 * wait, and only a few of them are under way at once.
 */
#include "hub/gateway.h"

typedef struct {
    int kib_s;
    int ask_kib;        /* what asking costs by itself */
    int ahead_s;        /* so much of it at once, after a time of rest */
    unsigned under_way; /* of a host at the same time */
} Rate;

static const Rate rates[TURNS] = {
    [TURN_READ] = { .kib_s = GATEWAY_READ_KIB_S, .ask_kib = 8, .ahead_s = 2, .under_way = 2 },
    [TURN_WRITE] = { .kib_s = GATEWAY_WRITE_KIB_S, .ask_kib = 1, .ahead_s = 64, .under_way = 16 },
};

static bool writes(const StoreTxn *txn) {
    for (unsigned branch = STORE_THEN; branch <= STORE_ELSE; branch++)
        for (unsigned i = 0; i < txn->branches[branch]->len; i++)
            if (((const Op *)txn->branches[branch]->pdata[i])->kind != OP_RANGE)
                return true;
    return false;
}

/* What it puts, whichever branch it is that runs. */
static int written_kib(const StoreTxn *txn) {
    size_t bytes = 0;
    for (unsigned branch = STORE_THEN; branch <= STORE_ELSE; branch++)
        for (unsigned i = 0; i < txn->branches[branch]->len; i++) {
            const Op *op = txn->branches[branch]->pdata[i];
            bytes += op->value ? g_bytes_get_size(op->key) + g_bytes_get_size(op->value) : 0;
        }
    return (int)(bytes / 1024);
}

static Turn *turn_of(const Ask *ask) {
    return &tenant_of(ask->hub->gateway, ask->host)->turns[ask->turn];
}

static void pay(Turn *turn, int kib) {
    uint64_t now = loop_now(turn->gateway->hub->loop);
    turn->paid_until = MAX(turn->paid_until, now) +
                       (uint64_t)kib * G_USEC_PER_SEC / (unsigned)rates[turn->of].kib_s;
}

static void begin(Turn *turn, Ask *ask) {
    ask->in_turn = true;
    turn->under_way++;
    pay(turn, ask->ask_kib);
    ask->go(ask);
}

/* From when on the next one may begin. */
static uint64_t next_begin(const Turn *turn) {
    uint64_t ahead = (uint64_t)rates[turn->of].ahead_s * G_USEC_PER_SEC;
    return turn->paid_until - MIN(turn->paid_until, ahead);
}

static bool has_room(const Turn *turn) {
    return turn->under_way < rates[turn->of].under_way;
}

static bool may_begin(const Turn *turn) {
    return has_room(turn) && next_begin(turn) <= loop_now(turn->gateway->hub->loop);
}

/* Whoever asked is gone. */
static void leave(void *data) {
    Ask *ask = data;
    Turn *turn = turn_of(ask);
    turn->waiting_kib -= ask->ask_kib;
    g_queue_remove(&turn->waiting, ask);
}

static void push(Turn *turn, Ask *ask) {
    turn->waiting_kib += ask->ask_kib;
    turn->gateway->waited[turn->of]++;
    g_queue_push_tail(&turn->waiting, ask);
    ask_hold(ask, ask, leave);
}

static Ask *pop(Turn *turn) {
    Ask *ask = g_queue_pop_head(&turn->waiting);
    if (ask) {
        turn->waiting_kib -= ask->ask_kib;
        ask_release(ask);
    }
    return ask;
}

static void on_time(void *data);

static void pump(Turn *turn) {
    while (turn->waiting.head && may_begin(turn))
        begin(turn, pop(turn));
    if (turn->waiting.head && has_room(turn))
        loop_timer_set(turn->gateway->hub->loop, &turn->timer, next_begin(turn), on_time, turn);
}

static void on_time(void *data) {
    pump(data);
}

void turn_take(Ask *ask, void (*go)(Ask *ask)) {
    ask->turn = writes(ask->asked->txn) ? TURN_WRITE : TURN_READ;
    ask->ask_kib = rates[ask->turn].ask_kib + written_kib(ask->asked->txn);
    ask->go = go;
    Turn *turn = turn_of(ask);
    if (!turn->waiting.head && may_begin(turn)) {
        begin(turn, ask);
    } else if (turn->waiting_kib + ask->ask_kib > GATEWAY_WAITING_KIB) {
        g_autoptr(GError) error =
            g_error_new(STORE_ERROR, STORE_ERROR_UNAVAILABLE,
                        "host '%s' has %d KiB of requests that wait: it may go on at %d KiB/s",
                        ask->host, turn->waiting_kib, rates[turn->of].kib_s);
        gateway_refuse(ask, error);
    } else {
        push(turn, ask);
        pump(turn);
    }
}

void turn_end(Ask *ask) {
    if (!ask->in_turn)
        return;
    Turn *turn = turn_of(ask);
    ask->in_turn = false;
    turn->under_way--;
    pay(turn, ask->load_kib);
    pump(turn);
}

void turn_away(Gateway *gateway, const char *host) {
    Tenant *tenant = g_hash_table_lookup(gateway->tenants, host);
    g_autoptr(GError) error = g_error_new(STORE_ERROR, STORE_ERROR_DENIED,
                                          "host '%s' was revoked: let it join again", host);
    for (unsigned of = 0; tenant && of < TURNS; of++)
        for (Ask *ask; (ask = pop(&tenant->turns[of]));)
            gateway_refuse(ask, error);
}

void turn_init(Turn *turn, TurnOf of, Gateway *gateway) {
    *turn = (Turn){ .of = of, .gateway = gateway };
    g_queue_init(&turn->waiting);
}

void turn_clear(Turn *turn) {
    g_assert(g_queue_is_empty(&turn->waiting));
    loop_timer_clear(&turn->timer);
}
