/*
 * Hosts take turns: one that reads as fast as it can leaves room for the others. What it has read
 * costs it time, at GATEWAY_READ_KIB_S; beyond GATEWAY_AHEAD_US of that its next reads wait, and
 * never are more than GATEWAY_READS of them under way.
 */
#include "hub/gateway.h"

static uint64_t cost_us(int kib) {
    return (uint64_t)(kib + GATEWAY_ASK_KIB) * G_USEC_PER_SEC / GATEWAY_READ_KIB_S;
}

static void pump(Tenant *tenant);

static void on_time(void *data) {
    pump(data);
}

static void begin(Tenant *tenant, Ask *ask) {
    ask->reads = true;
    tenant->reading++;
    ask->go(ask);
}

/* From when on the next one may begin. */
static uint64_t next_turn(const Tenant *tenant) {
    return tenant->paid_until - MIN(tenant->paid_until, GATEWAY_AHEAD_US);
}

static void pump(Tenant *tenant) {
    Loop *loop = tenant->gateway->hub->loop;
    while (tenant->waiting.head && tenant->reading < GATEWAY_READS &&
           next_turn(tenant) <= loop_now(loop)) {
        Ask *ask = g_queue_pop_head(&tenant->waiting);
        ask_release(ask);
        begin(tenant, ask);
    }
    if (tenant->waiting.head && tenant->reading < GATEWAY_READS)
        loop_timer_set(loop, &tenant->timer, next_turn(tenant), on_time, tenant);
}

static void leave(void *data) {
    Ask *ask = data;
    g_queue_remove(&tenant_of(ask->hub->gateway, ask->host)->waiting, ask);
}

void turn_take(Ask *ask, void (*go)(Ask *ask)) {
    Tenant *tenant = tenant_of(ask->hub->gateway, ask->host);
    ask->go = go;
    if (!tenant->waiting.head && tenant->reading < GATEWAY_READS &&
        next_turn(tenant) <= loop_now(ask->hub->loop)) {
        begin(tenant, ask);
        return;
    }
    ask->hub->gateway->waited++;
    g_queue_push_tail(&tenant->waiting, ask);
    ask_hold(ask, ask, leave);
    pump(tenant);
}

void turn_end(Ask *ask) {
    if (!ask->reads)
        return;
    Tenant *tenant = tenant_of(ask->hub->gateway, ask->host);
    uint64_t now = loop_now(ask->hub->loop);
    ask->reads = false;
    tenant->reading--;
    tenant->paid_until = MAX(tenant->paid_until, now) + cost_us(ask->load_kib);
    pump(tenant);
}

void turn_away(Gateway *gateway, const char *host) {
    Tenant *tenant = g_hash_table_lookup(gateway->tenants, host);
    g_autoptr(GError) error = g_error_new(STORE_ERROR, STORE_ERROR_DENIED,
                                          "host '%s' was revoked: let it join again", host);
    Ask *ask;
    while (tenant && (ask = g_queue_pop_head(&tenant->waiting))) {
        ask_release(ask);
        gateway_refuse(ask, error);
    }
}
