#include <string.h>

#include "base/json.h"
#include "hub/hub-private.h"

#define TRIES_MAX 10u

struct Write {
    Hub *hub;
    Ask *ask; /* NULL: nobody asked */
    StoreTxn *txn;
    Value *record, *before, *after;
};

static Write *write_start(Hub *hub, const Actor *actor, const char *action, const char *subject) {
    Write *write = g_new0(Write, 1);
    write->hub = hub;
    write->txn = store_txn_new();
    write->before = value_new_map();
    write->after = value_new_map();
    write->record = value_new_map();
    value_map_set(write->record, "who", value_new_string(actor->who));
    value_map_set(write->record, "from", value_new_string(actor->from));
    value_map_set(write->record, "action", value_new_string(action));
    value_map_set(write->record, "subject", value_new_string(subject));
    value_map_set(write->record, "time", value_new_int(wall_seconds(hub)));
    return write;
}

Write *write_new(Ask *ask, const char *action, const char *subject) {
    Actor actor = { .who = ask->who, .from = http_request_peer(ask->request) };
    Write *write = write_start(ask->hub, &actor, action, subject);
    write->ask = ask;
    return write;
}

static GBytes *text_of(const Value *value) {
    GString *text = g_string_new(NULL);
    json_append(text, value, JSON_COMPACT);
    return g_string_free_to_bytes(text);
}

/* Takes value over. */
static Value *shown_as(const char *name, Value *value, ShowNamed show) {
    if (!show || !value)
        return value;
    Value *shown = show(name, value);
    value_unref(value);
    return shown;
}

void write_change_shown(Write *write, const char *prefix, const char *name,
                        const StoreEntry *before, Value *after, ShowNamed show) {
    g_autoptr(GBytes) key = key_of(prefix, name);
    g_autofree char *title = g_strconcat(prefix, name, NULL);
    store_txn_compare(write->txn, key, STORE_MOD_REVISION, STORE_EQUAL,
                      before ? before->mod_revision : 0);
    if (before)
        value_map_set(write->before, title, shown_as(name, entry_value(before), show));
    if (after) {
        g_autoptr(GBytes) text = text_of(after);
        store_txn_put(write->txn, STORE_THEN, key, text, 0);
        value_map_set(write->after, title, shown_as(name, after, show));
    } else {
        store_txn_delete(write->txn, STORE_THEN, key, false);
    }
}

void write_change(Write *write, const char *prefix, const char *name, const StoreEntry *before,
                  Value *after) {
    write_change_shown(write, prefix, name, before, after, NULL);
}

void write_delete(Write *write, const char *prefix, const char *name, bool all_below) {
    g_autoptr(GBytes) key = key_of(prefix, name);
    store_txn_delete(write->txn, STORE_THEN, key, all_below);
}

void write_put(Write *write, const char *prefix, const char *name, Value *after) {
    g_autoptr(GBytes) key = key_of(prefix, name), text = text_of(after);
    g_autofree char *title = g_strconcat(prefix, name, NULL);
    store_txn_put(write->txn, STORE_THEN, key, text, 0);
    value_map_set(write->after, title, after);
}

/* The order of the log is that of its keys. Two hubs whose clocks differ interleave; the revision
 * that each record has is the order in which things really happened. */
static char *record_name(Hub *hub) {
    hub->last_record = MAX(loop_wall_now(hub->loop), hub->last_record + 1);
    return g_strdup_printf("%016" G_GINT64_MODIFIER "x-%08x", hub->last_record, g_random_int());
}

static void on_written(Ask *ask, StoreAnswer *answer) {
    AskNext next = ask->after_write;
    if (answer->succeeded)
        next(ask, answer);
    else if (ask->again && ++ask->tries < TRIES_MAX)
        ask->again(ask);
    else
        http_answer_error(ask->request, 409, "look at it, then try again",
                          "somebody else changed it at the same time");
}

static void add_record(Write *write, StoreTxn *txn) {
    value_map_set(write->record, "before", write->before);
    value_map_set(write->record, "after", write->after);
    g_autofree char *name = record_name(write->hub);
    g_autoptr(GBytes) key = key_of(KEY_AUDIT, name), text = text_of(write->record);
    store_txn_compare(txn, key, STORE_MOD_REVISION, STORE_EQUAL, 0);
    store_txn_put(txn, STORE_THEN, key, text, 0);
}

static void write_free(Write *write) {
    store_txn_unref(write->txn);
    value_unref(write->record);
    g_free(write);
}

void write_commit(Write *write, AskNext next) {
    Ask *ask = write->ask;
    add_record(write, write->txn);
    ask->after_write = next;
    ask_commit(ask, write->txn, on_written);
    write_free(write);
}

void write_note(void *data, StoreTxn *txn) {
    Ask *ask = data;
    Write *write = write_new(ask, ask->action, ask->text);
    value_unref(write->after);
    write->after = ask->body ? value_ref(ask->body) : value_new_map();
    add_record(write, txn);
    write_free(write);
}

void write_note_of(Hub *hub, const Actor *actor, const char *action, const char *subject,
                   const Value *after, StoreTxn *txn) {
    Write *write = write_start(hub, actor, action, subject);
    value_unref(write->after);
    write->after = value_ref(after);
    add_record(write, txn);
    write_free(write);
}
