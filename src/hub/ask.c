#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "hub/hub-private.h"

static void ask_free(void *data) {
    Ask *ask = data;
    g_free(ask->who);
    g_free(ask->host);
    g_free(ask->credential);
    g_free(ask->text);
    g_free(ask->other);
    value_unref(ask->body);
    g_clear_pointer(&ask->bytes, g_bytes_unref);
    pki_certificate_free(ask->certificate);
    etcd_asked_free(ask->asked);
    store_answer_unref(ask->answer);
    gateway_unload(ask->load, ask->load_kib);
    g_free(ask->claim); /* of a hub that ended */
    g_free(ask);
}

Ask *ask_new(Hub *hub, HttpRequest *request) {
    Ask *ask = g_new0(Ask, 1);
    ask->hub = hub;
    ask->request = request;
    http_request_keep(request, ask, ask_free);
    return ask;
}

Ask *ask_of(HttpRequest *request) {
    return http_request_kept(request);
}

void ask_cancel_all(Hub *hub) {
    GHashTableIter iter;
    void *key;
    g_hash_table_iter_init(&iter, hub->asks);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        Ask *ask = key;
        g_hash_table_iter_remove(&iter);
        ask->cancel(g_steal_pointer(&ask->pending));
        http_answer_error(ask->request, 503, "ask again", "the hub is ending");
    }
}

void ask_hold(Ask *ask, void *pending, void (*cancel)(void *pending)) {
    g_assert(!ask->pending);
    ask->pending = pending;
    ask->cancel = cancel;
    g_hash_table_add(ask->hub->asks, ask);
}

void ask_release(Ask *ask) {
    ask->pending = NULL;
    g_hash_table_remove(ask->hub->asks, ask);
}

/* --- waiting for the roster ------------------------------------------------------------------- */

#define ROSTER_LOOK_US     (10 * (uint64_t)G_TIME_SPAN_MILLISECOND)
#define ROSTER_PATIENCE_US (10 * (uint64_t)G_USEC_PER_SEC)

static void stop_looking(void *data) {
    Ask *ask = data;
    loop_timer_clear(&ask->timer);
}

static void look_at_roster(void *data) {
    Ask *ask = data;
    const Roster *roster = rollout_roster(ask->hub->rollout);
    uint64_t now = loop_now(ask->hub->loop);
    bool knows = roster_is_loaded(roster) && roster_revision(roster) >= ask->number;
    ask_release(ask);
    if (knows) {
        ask->go(ask);
    } else if (now >= ask->deadline) {
        http_answer_error(ask->request, 503, "ask again",
                          "the hub has not read what its store has: it does not answer");
    } else {
        ask_hold(ask, ask, stop_looking);
        loop_timer_set(ask->hub->loop, &ask->timer, now + ROSTER_LOOK_US, look_at_roster, ask);
    }
}

void ask_await_roster(Ask *ask, int64_t revision, void (*go)(Ask *ask)) {
    ask->number = revision;
    ask->go = go;
    ask->deadline = loop_now(ask->hub->loop) + ROSTER_PATIENCE_US;
    look_at_roster(ask);
}

/* --- calls to the store ----------------------------------------------------------------------- */

static const struct {
    bool of_store;
    int code;
    unsigned status;
    const char *hint;
} refusals[] = {
    { true, STORE_ERROR_UNAVAILABLE, 503, "nothing was changed; try again" },
    { true, STORE_ERROR_UNKNOWN_OUTCOME, 503, "it may have been done: look before trying again" },
    { true, STORE_ERROR_NO_SPACE, 507, "nothing was changed; make room for the hub's store" },
    { true, STORE_ERROR_TOO_LARGE, 413, NULL },
    { false, STEAD_ERROR_CONFIG, 400, NULL },
    { false, STEAD_ERROR_NOT_FOUND, 404, NULL },
    { false, STEAD_ERROR_EXISTS, 409, NULL },
    { false, STEAD_ERROR_REFUSED, 409, NULL },
    { false, STEAD_ERROR_LIMIT, 413, NULL },
};

void ask_fail(Ask *ask, const GError *error) {
    unsigned status = 500;
    const char *hint = NULL;
    for (unsigned i = 0; i < G_N_ELEMENTS(refusals); i++)
        if (g_error_matches(error, refusals[i].of_store ? STORE_ERROR : STEAD_ERROR,
                            refusals[i].code)) {
            status = refusals[i].status;
            hint = refusals[i].hint;
        }
    http_answer_error(ask->request, status, hint, "%s", error->message);
}

void on_asked(void *data, StoreAnswer *answer, const GError *error) {
    Ask *ask = data;
    ask_release(ask);
    if (error)
        (ask->failed ? ask->failed : ask_fail)(ask, error);
    else
        ask->next(ask, answer);
}

static void cancel_call(void *call) {
    store_call_cancel(call);
}

void ask_wait(Ask *ask, StoreCall *call, AskNext next) {
    ask->next = next;
    ask_hold(ask, call, cancel_call);
}

void ask_get(Ask *ask, const char *key, AskNext next) {
    g_autoptr(GBytes) bytes = key_of(key, "");
    ask_wait(ask, store_get(ask->hub->state, bytes, on_asked, ask), next);
}

void ask_commit(Ask *ask, StoreTxn *txn, AskNext next) {
    ask_wait(ask, store_commit(ask->hub->state, txn, on_asked, ask), next);
}

void ask_get_two(Ask *ask, const char *key, const char *other, AskNext next) {
    g_autoptr(GBytes) first = key_of(key, ""), second = key_of(other, "");
    g_autoptr(StoreTxn) txn = store_txn_new();
    store_txn_range(txn, STORE_THEN, &(StoreRange){ .key = first });
    store_txn_range(txn, STORE_THEN, &(StoreRange){ .key = second });
    ask_commit(ask, txn, next);
}

void ask_list(Ask *ask, const char *prefix, const char *after, unsigned limit, AskNext next) {
    g_autoptr(GBytes) key = key_of(prefix, "");
    /* The first key after it: the same and a zero byte. */
    g_autofree char *last = after ? g_strconcat(prefix, after, NULL) : NULL;
    g_autoptr(GBytes) from = last ? g_bytes_new(last, strlen(last) + 1) : NULL;
    StoreRange range = { .key = key, .prefix = true, .from = from, .limit = limit };
    ask_wait(ask, store_range(ask->hub->state, &range, on_asked, ask), next);
}

/* --- entries ---------------------------------------------------------------------------------- */

GBytes *key_of(const char *prefix, const char *name) {
    GString *key = g_string_new(prefix);
    g_string_append(key, name);
    return g_string_free_to_bytes(key);
}

Value *entry_value(const StoreEntry *entry) {
    if (!entry || !entry->value)
        return NULL;
    size_t size;
    const char *text = g_bytes_get_data(entry->value, &size);
    Value *value = json_parse(text ? text : "", size, "store", NULL);
    if (value && value_type(value) == VALUE_MAP)
        return value;
    value_unref(value);
    return NULL;
}

char *entry_name(const StoreEntry *entry, const char *prefix) {
    size_t size, skip = strlen(prefix);
    const char *key = g_bytes_get_data(entry->key, &size);
    return size >= skip ? g_strndup(key + skip, size - skip) : g_strdup("");
}

bool ask_page(Ask *ask, unsigned *ret_limit, const char **ret_after) {
    const char *limit = http_request_query(ask->request, "limit");
    guint64 number = PAGE_LIMIT;
    if (limit && !g_ascii_string_to_unsigned(limit, 10, 1, PAGE_LIMIT, &number, NULL)) {
        http_answer_error(ask->request, 400, NULL, "read 'limit': '%.40s' is not in 1 to %u", limit,
                          PAGE_LIMIT);
        return false;
    }
    *ret_limit = (unsigned)number;
    *ret_after = http_request_query(ask->request, "after");
    return true;
}

void ask_answer_page(Ask *ask, StoreAnswer *answer, const char *name, const char *prefix,
                     ShowEntry show) {
    const StoreResult *result = store_answer_result(answer, 0);
    g_autoptr(Value) page = value_new_map();
    Value *list = value_new_list();
    for (unsigned i = 0; i < result->entries->len; i++) {
        const StoreEntry *entry = result->entries->pdata[i];
        g_autoptr(Value) value = entry_value(entry);
        Value *shown = value ? show(entry, value) : NULL;
        if (shown)
            value_list_append(list, shown);
    }
    value_map_set(page, name, list);
    value_map_set(page, "revision", value_new_int(answer->revision));
    if (result->more) {
        g_autofree char *last =
            entry_name(result->entries->pdata[result->entries->len - 1], prefix);
        value_map_set(page, "next", value_new_string(last));
    }
    http_answer_json(ask->request, 200, page);
}

int64_t wall_seconds(const Hub *hub) {
    return (int64_t)(loop_wall_now(hub->loop) / G_USEC_PER_SEC);
}

bool name_is_good(const char *name) {
    size_t size = strlen(name);
    return size > 0 && size <= NAME_BYTES && g_ascii_isalnum(name[0]) &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") ==
               size;
}
