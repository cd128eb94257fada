/* How the newest deploy goes, and what people order about it. */
#include <string.h>

#include "base/error.h"
#include "fleet/layout.h"
#include "fleet/rollout.h"
#include "hub/hub-private.h"

#define LOG_SHOWN 50u

/* --- looking ---------------------------------------------------------------------------------- */

static Value *shown_log(const StoreResult *result) {
    Value *list = value_new_list();
    for (unsigned i = 0; i < result->entries->len; i++) {
        const StoreEntry *entry = result->entries->pdata[i];
        g_autoptr(Value) value = entry_value(entry);
        g_autofree char *name = entry_name(entry, LAYOUT_LOG);
        if (!value)
            continue;
        Value *shown = map_copy(value, NULL);
        value_map_set(shown, "number", value_new_int((int64_t)g_ascii_strtoull(name, NULL, 10)));
        value_list_append(list, shown);
    }
    return list;
}

/* A newer deploy that no hub has begun with yet. */
static void add_next(Value *map, const StoreResult *result) {
    const StoreEntry *entry = result->entries->len > 0 ? result->entries->pdata[0] : NULL;
    g_autoptr(Value) value = entry_value(entry);
    if (!value)
        return;
    g_autofree char *name = entry_name(entry, LAYOUT_RECORD);
    Value *next = value_new_map();
    value_map_set(next, "record", value_new_int((int64_t)g_ascii_strtoull(name, NULL, 10)));
    value_map_set(next, "message", value_new_string(value_map_string(value, "message", "")));
    value_map_set(map, "next", next);
}

static void on_details(Ask *ask, StoreAnswer *answer) {
    g_autoptr(Value) map = rollout_status(rollout_roster(ask->hub->rollout));
    value_map_set(map, "log", shown_log(store_answer_result(answer, 0)));
    add_next(map, store_answer_result(answer, 1));
    value_map_set(map, "revision", value_new_int(answer->revision));
    http_answer_json(ask->request, 200, map);
}

static void range_after(StoreTxn *txn, const char *prefix, uint64_t number, unsigned limit) {
    g_autofree char *name = layout_numbered(prefix, number + 1);
    g_autoptr(GBytes) key = key_of(prefix, ""), from = key_of(name, "");
    StoreRange range = { .key = key, .prefix = true, .from = from, .limit = limit };
    store_txn_range(txn, STORE_THEN, &range);
}

static void show_details(Ask *ask) {
    const RosterRollout *rollout = roster_rollout(rollout_roster(ask->hub->rollout));
    const char *text = http_request_query(ask->request, "after");
    guint64 after = rollout->sequence - MIN(rollout->sequence, LOG_SHOWN);
    if (text && !g_ascii_string_to_unsigned(text, 10, 0, INT64_MAX - 1, &after, NULL)) {
        http_answer_error(ask->request, 400, NULL, "read 'after': '%.40s' is no number of the log",
                          text);
        return;
    }
    g_autoptr(StoreTxn) txn = store_txn_new();
    range_after(txn, LAYOUT_LOG, after, PAGE_LIMIT);
    range_after(txn, LAYOUT_RECORD, rollout->record, 1);
    ask_commit(ask, txn, on_details);
}

static void on_rollout(Ask *ask, StoreAnswer *answer) {
    const StoreEntry *entry = store_answer_entry(answer);
    ask_await_roster(ask, entry ? entry->mod_revision : 0, show_details);
}

/* What was decided before it was asked is in the answer. */
void get_rollout(void *data, HttpRequest *request) {
    ask_get(ask_of(request), LAYOUT_ROLLOUT, on_rollout);
}

/* --- ordering --------------------------------------------------------------------------------- */

static const struct {
    const char *name, *action;
    RolloutCommand command;
} commands[] = {
    { "pause", "rollout.pause", ROLLOUT_PAUSE },
    { "resume", "rollout.resume", ROLLOUT_RESUME },
    { "abort", "rollout.abort", ROLLOUT_ABORT },
    { "revert", "rollout.revert", ROLLOUT_REVERT },
};

static void cancel_order(void *order) {
    rollout_order_cancel(order);
}

static void on_ordered(void *data, const GError *error) {
    Ask *ask = data;
    ask_release(ask);
    if (error)
        ask_fail(ask, error);
    else
        http_answer_json(ask->request, 200, ask->body);
}

void order_rollout(void *data, HttpRequest *request) {
    Ask *ask = ask_of(request);
    g_autoptr(Value) wish = http_request_json(request);
    if (!wish)
        return; /* answered: ask is gone */
    const char *name = http_request_part(request, "command");
    unsigned i = 0;
    while (i < G_N_ELEMENTS(commands) && strcmp(commands[i].name, name) != 0)
        i++;
    if (i == G_N_ELEMENTS(commands)) {
        http_answer_error(request, 404, "there are pause, resume, abort and revert",
                          "no order '%.40s' for a rollout", name);
        return;
    }
    ask->action = commands[i].action;
    ask->text = g_strdup("rollout");
    ask->body = value_new_map();
    const char *why = value_map_string(wish, "why", "");
    value_map_set(ask->body, "order", value_new_string(name));
    value_map_set(ask->body, "why", value_new_string(*why ? why : "no reason was given"));
    ask_hold(ask,
             rollout_order(ask->hub->state, commands[i].command, ask->who,
                           value_map_string(ask->body, "why", ""), wall_seconds(ask->hub),
                           write_note, ask, on_ordered, ask),
             cancel_order);
}
