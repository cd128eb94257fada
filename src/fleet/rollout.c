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
    TxnAddition also;
    void *also_data;
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
    if (!txn) {
        order_end(order, refusal);
        return;
    }
    if (order->also)
        order->also(order->also_data, txn);
    order->call = store_commit(order->store, txn, on_obeyed, order);
}

static void order_read(RolloutOrder *order) {
    g_autoptr(GBytes) key = layout_bytes(LAYOUT_ROLLOUT);
    order->call = store_get(order->store, key, on_read, order);
}

RolloutOrder *rollout_order(Store *store, RolloutCommand command, const char *by, const char *why,
                            int64_t wall_s, TxnAddition also, void *also_data, RolloutDone done,
                            void *data) {
    RolloutOrder *order = g_new0(RolloutOrder, 1);
    order->store = store;
    order->command = command;
    order->by = g_strdup(by);
    order->why = g_strdup(why);
    order->wall_s = wall_s;
    order->also = also;
    order->also_data = also_data;
    order->done = done;
    order->data = data;
    order_read(order);
    return order;
}

StoreCall *rollout_forgive(Store *store, const char *digest, TxnAddition also, void *also_data,
                           StoreDone done, void *data) {
    g_autofree char *key = g_strconcat(LAYOUT_BAD, digest, NULL);
    g_autoptr(GBytes) name = layout_bytes(key);
    g_autoptr(StoreTxn) txn = store_txn_new();
    store_txn_compare(txn, name, STORE_VERSION, STORE_GREATER, 0);
    store_txn_delete(txn, STORE_THEN, name, false);
    if (also)
        also(also_data, txn);
    return store_commit(store, txn, done, data);
}

/* --- telling */

static void set_text(Value *map, const char *key, const char *text) {
    value_map_set(map, key, value_new_string(text));
}

static void set_record(Value *map, const RosterRecord *record) {
    g_autofree char *to = record->to ? selector_print(record->to) : g_strdup("");
    g_autofree char *strategy = record->problem ? g_strdup("") : strategy_print(&record->strategy);
    set_text(map, "message", record->message);
    set_text(map, "deployed_by", record->by);
    set_text(map, "to", to);
    set_text(map, "strategy", strategy);
    if (record->problem)
        set_text(map, "problem", record->problem);
}

static void count_hosts(Value *map, const Roster *roster, const RosterRecord *record) {
    unsigned counts[STAGE_STUCK + 1] = { 0 }, targets = 0, silent = 0;
    const GPtrArray *hosts = roster_hosts(roster);
    for (unsigned i = 0; i < hosts->len; i++) {
        const RosterHost *host = g_ptr_array_index(hosts, i);
        if (record->problem || !rollout_is_target(record, host))
            continue;
        targets++;
        silent += !host->is_alive;
        counts[host->record == record->number ? host->stage : STAGE_WAITING]++;
    }
    Value *stages = value_new_map();
    for (unsigned i = 0; i < G_N_ELEMENTS(counts); i++)
        if (counts[i] > 0)
            value_map_set(stages, stage_name((Stage)i), value_new_int(counts[i]));
    value_map_set(map, "targets", value_new_int(targets));
    value_map_set(map, "silent", value_new_int(silent));
    value_map_set(map, "stages", stages);
}

/* {"host", "stage", "why"} of each that has failed or is stuck. */
static Value *list_failed(const Roster *roster, uint64_t record) {
    Value *failed = value_new_list();
    const GPtrArray *hosts = roster_hosts(roster);
    for (unsigned i = 0; i < hosts->len; i++) {
        const RosterHost *host = g_ptr_array_index(hosts, i);
        if (!host->is_member || host->record != record ||
            (host->stage != STAGE_FAILED && host->stage != STAGE_STUCK))
            continue;
        Value *row = value_new_map();
        set_text(row, "host", host->name);
        set_text(row, "stage", stage_name(host->stage));
        set_text(row, "why", host->why);
        value_list_append(failed, row);
    }
    return failed;
}

Value *rollout_status(const Roster *roster) {
    const RosterRollout *rollout = roster_rollout(roster);
    const RosterRecord *record = roster_record(roster, rollout->record);
    Value *map = value_new_map();
    value_map_set(map, "record", value_new_int((int64_t)rollout->record));
    set_text(map, "digest", rollout->digest);
    set_text(map, "phase", phase_name(rollout->phase));
    value_map_set(map, "since", value_new_int(rollout->since));
    set_text(map, "why", rollout->why ? rollout->why : "");
    set_text(map, "by", rollout->by ? rollout->by : "");
    if (record) {
        set_record(map, record);
        count_hosts(map, roster, record);
        value_map_set(map, "failed", list_failed(roster, record->number));
        value_map_set(map, "bad", value_new_bool(roster_is_bad(roster, record->digest)));
    }
    return map;
}

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
