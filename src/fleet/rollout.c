#include "fleet/rollout-step.h"

#include <string.h>

#include "base/error.h"
#include "fleet/layout.h"
#include "fleet/seats.h"

#define SEAT      "hub/rollout" /* with a slash: no schedule of hosts can have this name */
#define SEAT_TTL  10u
#define RETRY_US  G_USEC_PER_SEC
#define GATHER_US (G_USEC_PER_SEC / 20) /* reports that come within this are judged together */

struct Rollout {
    Loop *loop;
    Store *store;
    Seats *seats;
    Roster *roster;
    StoreCall *call;
    int64_t written; /* revision of our last step: the roster has to show it */
    LoopTimer *timer;
};

static void consider(void *data);

static void consider_at(Rollout *rollout, uint64_t when) {
    if (!rollout->timer || loop_timer_deadline(rollout->timer) > when)
        loop_timer_set(rollout->loop, &rollout->timer, when, consider, rollout);
}

static void on_change(void *data) {
    Rollout *rollout = data;
    consider_at(rollout, loop_now(rollout->loop) + GATHER_US);
}

static void on_failed(void *data, const GError *error) {
}

/* A step that did not hold, or whose answer was lost, is thought out again from what is there: done
 * or not, it cannot be done twice. */
static void on_written(void *data, StoreAnswer *answer, const GError *error) {
    Rollout *rollout = data;
    rollout->call = NULL;
    if (answer && answer->succeeded)
        rollout->written = answer->revision;
    consider_at(rollout, loop_now(rollout->loop) + (error ? RETRY_US : GATHER_US));
}

static void consider(void *data) {
    Rollout *rollout = data;
    if (rollout->call || !roster_is_loaded(rollout->roster) || !seats_has(rollout->seats) ||
        roster_revision(rollout->roster) < rollout->written)
        return;
    uint64_t wake;
    g_autoptr(StoreTxn) txn =
        rollout_step(rollout->roster, loop_now(rollout->loop),
                     (int64_t)(loop_wall_now(rollout->loop) / G_USEC_PER_SEC), &wake);
    if (txn)
        rollout->call = store_commit(rollout->store, txn, on_written, rollout);
    else if (wake > 0)
        consider_at(rollout, wake);
}

Rollout *rollout_new(Loop *loop, Store *store, const char *hub) {
    static const SeatsOptions one = { .max = 1, .ttl_s = SEAT_TTL };
    Rollout *rollout = g_new0(Rollout, 1);
    rollout->loop = loop;
    rollout->store = store;
    rollout->roster = roster_new(loop, store, on_change, rollout);
    SeatsListener of_seats = { .changed = on_change, .failed = on_failed, .data = rollout };
    rollout->seats = seats_new(loop, store, hub, SEAT, &one, &of_seats);
    return rollout;
}

void rollout_free(Rollout *rollout) {
    if (!rollout)
        return;
    if (rollout->call)
        store_call_cancel(rollout->call);
    loop_timer_clear(&rollout->timer);
    seats_free(rollout->seats);
    roster_free(rollout->roster);
    g_free(rollout);
}

const Roster *rollout_roster(const Rollout *rollout) {
    return rollout->roster;
}

bool rollout_leads(const Rollout *rollout) {
    return seats_has(rollout->seats);
}

/* --- orders */

struct RolloutOrder {
    Store *store;
    RolloutCommand command;
    char *by, *why;
    int64_t wall_s;
    RolloutDone done;
    void *data;
    StoreCall *call;
    bool lost;           /* the answer of the last try: it may have been done */
    RosterRollout tried; /* what that was based on */
};

static void order_read(RolloutOrder *order);

void rollout_order_cancel(RolloutOrder *order) {
    if (order->call)
        store_call_cancel(order->call);
    roster_rollout_clear(&order->tried);
    g_free(order->by);
    g_free(order->why);
    g_free(order);
}

static void order_end(RolloutOrder *order, const GError *error) {
    order->call = NULL;
    order->done(order->data, error);
    rollout_order_cancel(order);
}

static void on_obeyed(void *data, StoreAnswer *answer, const GError *error) {
    RolloutOrder *order = data;
    order->call = NULL;
    order->lost = g_error_matches(error, STORE_ERROR, STORE_ERROR_UNKNOWN_OUTCOME);
    if ((error && !order->lost) || (answer && answer->succeeded))
        order_end(order, error);
    else
        order_read(order);
}

/* Ours, if the answer was lost: nobody else gave the same order for the same reason to that. */
static bool was_obeyed(const RolloutOrder *order, const RosterRollout *now) {
    return order->lost && now->revision != order->tried.revision &&
           now->record == order->tried.record && now->since == order->wall_s &&
           strcmp(now->by, order->by) == 0 && strcmp(now->why, order->why) == 0;
}

static void on_read(void *data, StoreAnswer *answer, const GError *error) {
    RolloutOrder *order = data;
    order->call = NULL;
    if (error) {
        order_end(order, error);
        return;
    }
    g_autoptr(GError) refusal = NULL;
    RosterRollout now;
    roster_rollout_read(store_answer_entry(answer), &now);
    bool is_done = was_obeyed(order, &now);
    g_autoptr(StoreTxn) txn = is_done ? NULL
                                      : rollout_obey(&now, order->command, order->by, order->why,
                                                     order->wall_s, &refusal);
    roster_rollout_clear(&order->tried);
    order->tried = now;
    if (txn)
        order->call = store_commit(order->store, txn, on_obeyed, order);
    else
        order_end(order, refusal);
}

static void order_read(RolloutOrder *order) {
    g_autoptr(GBytes) key = layout_bytes(LAYOUT_ROLLOUT);
    order->call = store_get(order->store, key, on_read, order);
}

RolloutOrder *rollout_order(Store *store, RolloutCommand command, const char *by, const char *why,
                            int64_t wall_s, RolloutDone done, void *data) {
    RolloutOrder *order = g_new0(RolloutOrder, 1);
    order->store = store;
    order->command = command;
    order->by = g_strdup(by);
    order->why = g_strdup(why);
    order->wall_s = wall_s;
    order->done = done;
    order->data = data;
    order_read(order);
    return order;
}

StoreCall *rollout_forgive(Store *store, const char *digest, StoreDone done, void *data) {
    g_autofree char *key = g_strconcat(LAYOUT_BAD, digest, NULL);
    g_autoptr(GBytes) name = layout_bytes(key);
    return store_delete(store, name, false, done, data);
}

/* --- telling why */

static char *explain_waiting(const RosterRollout *rollout, const RosterHost *host) {
    const char *by = *rollout->by ? rollout->by : "an operator";
    if (rollout->phase == PHASE_PAUSED)
        return g_strdup_printf("the rollout was paused by %s: %s", by, rollout->why);
    if (rollout->phase == PHASE_HALTED)
        return g_strdup_printf("the rollout has halted: %s", rollout->why);
    if (rollout->phase == PHASE_ABORTED)
        return g_strdup_printf("the rollout was aborted: %s", rollout->why);
    if (rollout->phase == PHASE_REVERTING || rollout->phase == PHASE_REVERTED)
        return g_strdup_printf("the deploy was reverted: %s", rollout->why);
    if (!host->is_alive)
        return g_strdup("nothing is heard of it; its turn comes when it is back");
    if (rollout->phase == PHASE_CANARY)
        return g_strdup("the canaries have not passed yet");
    return g_strdup(rollout->phase == PHASE_DONE ? "it is about to get it"
                                                 : "others come before it");
}

static char *explain_told(const RosterRecord *record, const RosterHost *host) {
    g_autofree char *soak = strategy_print_seconds(record->strategy.soak);
    g_autofree char *timeout = strategy_print_seconds(record->strategy.timeout);
    const char *name = host->name;
    switch (host->stage) {
    case STAGE_CHANGING:
        return g_strdup_printf("'%s' was told to take record %" G_GUINT64_FORMAT
                               " (%s) and is %s; it has failed if it does not converge within %s",
                               name, host->record, host->why,
                               host->is_alive ? report_state_name(host->report.state) : "silent",
                               timeout);
    case STAGE_SOAKING:
        return g_strdup_printf("'%s' has converged with record %" G_GUINT64_FORMAT
                               " and has to stay so for %s",
                               name, host->record, soak);
    case STAGE_FAILED:
        return g_strdup_printf("'%s' has failed with record %" G_GUINT64_FORMAT ": %s", name,
                               host->record, host->why);
    case STAGE_RETURNING:
    case STAGE_RETURNED:
    case STAGE_STUCK:
        return g_strdup_printf(
            "'%s' %s from record %" G_GUINT64_FORMAT " to record %" G_GUINT64_FORMAT ": %s", name,
            host->stage == STAGE_RETURNED    ? "went back"
            : host->stage == STAGE_RETURNING ? "is going back"
                                             : "could not go back",
            host->record, host->desired, host->why);
    case STAGE_WAITING:
    case STAGE_PASSED:
    case STAGE_GIVEN:
        break;
    }
    return g_strdup_printf("'%s' has record %" G_GUINT64_FORMAT ": %s", name, host->record,
                           host->why);
}

char *rollout_explain(const Roster *roster, const char *name) {
    const RosterHost *host = roster_host(roster, name);
    const RosterRollout *rollout = roster_rollout(roster);
    const RosterRecord *record = roster_record(roster, rollout->record);
    if (!host || !host->is_member)
        return g_strdup_printf("'%s' has not joined this fleet", name);
    if (!record)
        return g_strdup_printf("'%s' waits: nothing was ever deployed", name);
    if (record->problem)
        return g_strdup_printf("'%s' stays with record %" G_GUINT64_FORMAT
                               ": record %" G_GUINT64_FORMAT " cannot be rolled out: %s",
                               name, host->desired, record->number, record->problem);
    if (host->record == record->number)
        return explain_told(record, host);
    if (!rollout_is_target(record, host)) {
        g_autofree char *to = selector_print(record->to);
        return g_strdup_printf("'%s' stays with record %" G_GUINT64_FORMAT
                               ": record %" G_GUINT64_FORMAT " is meant for '%s' alone",
                               name, host->desired, record->number, to);
    }
    g_autofree char *why = explain_waiting(rollout, host);
    return g_strdup_printf("'%s' stays with record %" G_GUINT64_FORMAT
                           " and does not get record %" G_GUINT64_FORMAT ": %s",
                           name, host->desired, record->number, why);
}
