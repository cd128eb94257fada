#include "state/etcd-json.h"

#include <string.h>

#include "base/json.h"
#include "state/etcd-words.h"

#define BAD_ANSWER "read the answer of etcd: it is none of its API v3"

/* --- what is asked */

/* As etcd has it, an end of one zero byte is beyond all keys. */
static void add_keys(GString *json, GBytes *key, GBytes *end) {
    g_autoptr(GBytes) beyond = g_bytes_new_static("", 1);
    etcd_add_bytes(json, "key", key);
    if (end != NULL)
        etcd_add_bytes(json, "range_end", g_bytes_get_size(end) > 0 ? end : beyond);
}

static void add_op_body(GString *json, const Op *op) {
    add_keys(json, op->key, op->end);
    switch (op->kind) {
    case OP_PUT:
        etcd_add_bytes(json, "value", op->value);
        etcd_add_number(json, "lease", op->lease);
        return;
    case OP_RANGE:
        etcd_add_number(json, "revision", op->revision);
        etcd_add_number(json, "limit", op->limit);
        etcd_add_flag(json, "keys_only", op->keys_only);
        return;
    case OP_DELETE:
        return;
    }
}

static void add_ops(GString *json, const char *name, const GPtrArray *ops) {
    g_string_append_printf(json, ",\"%s\":[", name);
    for (unsigned i = 0; i < ops->len; i++) {
        const Op *op = g_ptr_array_index(ops, i);
        g_string_append_printf(json, "%s{\"%s\":{", i > 0 ? "," : "", etcd_requests[op->kind]);
        add_op_body(json, op);
        g_string_append(json, "}}");
    }
    g_string_append_c(json, ']');
}

static void add_compare(GString *json, const Compare *compare) {
    char number[24];
    (void)g_snprintf(number, sizeof number, "%" G_GINT64_FORMAT, compare->number);
    etcd_add_bytes(json, "key", compare->key);
    etcd_add_text(json, "target", etcd_fields[compare->field].target);
    etcd_add_text(json, "result", etcd_relations[compare->relation]);
    if (compare->field == STORE_VALUE)
        etcd_add_bytes(json, "value", compare->value);
    else
        etcd_add_text(json, etcd_fields[compare->field].member, number);
}

static void add_txn(GString *json, const StoreTxn *txn) {
    g_string_append(json, "\"compare\":[");
    for (unsigned i = 0; i < txn->compares->len; i++) {
        g_string_append(json, i > 0 ? ",{" : "{");
        add_compare(json, g_ptr_array_index(txn->compares, i));
        g_string_append_c(json, '}');
    }
    g_string_append_c(json, ']');
    add_ops(json, "success", txn->branches[STORE_THEN]);
    add_ops(json, "failure", txn->branches[STORE_ELSE]);
}

/* The one put or deletion that a transaction is, or NULL: it has a request of its own, which costs
 * etcd half as much. */
static const Op *single_op(const StoreCall *call) {
    if (call->kind != CALL_TXN || call->txn->compares->len > 0 ||
        call->txn->branches[STORE_THEN]->len != 1)
        return NULL;
    const Op *op = g_ptr_array_index(call->txn->branches[STORE_THEN], 0);
    return op->kind != OP_RANGE ? op : NULL;
}

const char *etcd_path(const StoreCall *call) {
    const Op *op = single_op(call);
    if (op != NULL)
        return etcd_op_paths[op->kind];
    return etcd_paths[call->kind];
}

GBytes *etcd_request(const StoreCall *call) {
    GString *json = g_string_new("{");
    switch (call->kind) {
    case CALL_RANGE:
        add_op_body(json, call_range(call));
        break;
    case CALL_TXN:
        if (single_op(call) != NULL)
            add_op_body(json, single_op(call));
        else
            add_txn(json, call->txn);
        break;
    case CALL_COMPACT:
        etcd_add_number(json, "revision", call->number);
        break;
    case CALL_GRANT:
        etcd_add_number(json, "TTL", MAX(call->number, STORE_MIN_TTL));
        break;
    case CALL_KEEP:
    case CALL_REVOKE:
    case CALL_LOOK:
        etcd_add_number(json, "ID", call->number);
        break;
    }
    g_string_append_c(json, '}');
    return g_string_free_to_bytes(json);
}

/* Large messages come in fragments: else one may have a thousand values. */
GBytes *etcd_watch_request(const StoreWatch *watch, int64_t from) {
    GString *json = g_string_new("{\"create_request\":{");
    add_keys(json, watch->key, watch->end);
    etcd_add_number(json, "start_revision", from);
    etcd_add_flag(json, "progress_notify", true);
    etcd_add_flag(json, "fragment", true);
    g_string_append(json, "}}");
    return g_string_free_to_bytes(json);
}

GBytes *etcd_login_request(const char *user, const char *password) {
    g_autoptr(Value) map = value_new_map();
    value_map_set(map, "name", value_new_string(user));
    value_map_set(map, "password", value_new_string(password));
    char *json = json_print(map, JSON_COMPACT);
    return g_bytes_new_take(json, strlen(json));
}

/* --- what is answered */

int64_t etcd_number(const Value *map, const char *key) {
    const Value *value = map != NULL ? value_map_get(map, key) : NULL;
    if (value_type(value) == VALUE_INT)
        return value_int(value);
    return value_type(value) == VALUE_STRING ? g_ascii_strtoll(value_string(value), NULL, 10) : 0;
}

static const Value *member(const Value *map, const char *key, ValueType type) {
    const Value *value = value_type(map) == VALUE_MAP ? value_map_get(map, key) : NULL;
    return value_type(value) == type ? value : NULL;
}

static GBytes *get_bytes(const Value *map, const char *key) {
    const char *text = value_map_string(map, key, "");
    gsize size;
    guchar *data = g_base64_decode(text, &size);
    return g_bytes_new_take(data, size);
}

/* value: whether it is meant to have one */
static StoreEntry *entry_of(const Value *kv, bool value) {
    g_autoptr(GBytes) key = get_bytes(kv, "key");
    g_autoptr(GBytes) content = value ? get_bytes(kv, "value") : NULL;
    StoreEntry *entry = entry_new(key, content);
    entry->create_revision = etcd_number(kv, "create_revision");
    entry->mod_revision = etcd_number(kv, "mod_revision");
    entry->version = etcd_number(kv, "version");
    entry->lease = etcd_number(kv, "lease");
    return entry;
}

static bool bad_answer(GError **error) {
    g_set_error_literal(error, STORE_ERROR, STORE_ERROR_FAILED, BAD_ANSWER);
    return false;
}

static bool read_range(const Op *op, const Value *response, StoreAnswer *answer, GError **error) {
    StoreResult *result = answer_add_range(answer);
    const Value *kvs = member(response, "kvs", VALUE_LIST);
    for (size_t i = 0; kvs != NULL && i < value_size(kvs); i++) {
        const Value *kv = value_list_at(kvs, i);
        if (value_type(kv) != VALUE_MAP)
            return bad_answer(error);
        g_ptr_array_add(result->entries, entry_of(kv, !op->keys_only));
    }
    result->count = (uint64_t)etcd_number(response, "count");
    result->more = value_map_bool(response, "more", false);
    return true;
}

static void read_single(const Op *op, const Value *body, StoreAnswer *answer) {
    answer->succeeded = true;
    StoreResult *result = answer_add(answer);
    if (op->kind == OP_DELETE)
        result->count = (uint64_t)etcd_number(body, "deleted");
}

static bool read_op(const Op *op, const Value *response, StoreAnswer *answer, GError **error) {
    const Value *body;
    switch (op->kind) {
    case OP_PUT:
        answer_add(answer);
        return true;
    case OP_DELETE:
        body = member(response, etcd_responses[OP_DELETE], VALUE_MAP);
        answer_add(answer)->count = (uint64_t)etcd_number(body, "deleted");
        return true;
    case OP_RANGE:
        body = member(response, etcd_responses[OP_RANGE], VALUE_MAP);
        return body != NULL ? read_range(op, body, answer, error) : bad_answer(error);
    }
    g_assert_not_reached();
}

static bool read_txn(const StoreTxn *txn, const Value *value, StoreAnswer *answer, GError **error) {
    answer->succeeded = value_map_bool(value, "succeeded", false);
    const GPtrArray *ops = txn->branches[answer->succeeded ? STORE_THEN : STORE_ELSE];
    const Value *responses = member(value, "responses", VALUE_LIST);
    if ((responses != NULL ? value_size(responses) : 0) != ops->len)
        return bad_answer(error);
    for (unsigned i = 0; i < ops->len; i++)
        if (!read_op(g_ptr_array_index(ops, i), value_list_at(responses, i), answer, error))
            return false;
    return true;
}

static bool read_lease(const StoreCall *call, const Value *value, StoreAnswer *answer,
                       GError **error) {
    answer->lease = call->kind == CALL_REVOKE ? call->number : etcd_number(value, "ID");
    answer->ttl = etcd_number(value, "TTL");
    if (call->kind == CALL_REVOKE || answer->ttl > 0)
        return true;
    /* A lease looked at in its last second has 0; one that is gone -1. */
    if (call->kind == CALL_LOOK && answer->ttl == 0)
        return true;
    g_propagate_error(error, error_lease_gone(call->number));
    return false;
}

StoreAnswer *etcd_answer(const StoreCall *call, const Value *value, GError **error) {
    /* Keeping alive is a stream of one answer. */
    const Value *body = call->kind == CALL_KEEP ? member(value, "result", VALUE_MAP) : value;
    const Value *header = member(body, "header", VALUE_MAP);
    if (header == NULL) {
        (void)bad_answer(error);
        return NULL;
    }
    g_autoptr(StoreAnswer) answer = answer_new(etcd_number(header, "revision"));
    bool good = true;
    if (call->kind == CALL_RANGE)
        good = read_range(call_range(call), body, answer, error);
    else if (single_op(call) != NULL)
        read_single(single_op(call), body, answer);
    else if (call->kind == CALL_TXN)
        good = read_txn(call->txn, body, answer, error);
    else if (call->kind != CALL_COMPACT)
        good = read_lease(call, body, answer, error);
    return good ? g_steal_pointer(&answer) : NULL;
}

GPtrArray *etcd_events(const Value *result, GError **error) {
    g_autoptr(GPtrArray) events = g_ptr_array_new_with_free_func((GDestroyNotify)store_entry_unref);
    const Value *list = member(result, "events", VALUE_LIST);
    for (size_t i = 0; list != NULL && i < value_size(list); i++) {
        const Value *event = value_list_at(list, i);
        const Value *kv = member(event, "kv", VALUE_MAP);
        if (kv == NULL) {
            (void)bad_answer(error);
            return NULL;
        }
        bool deleted = strcmp(value_map_string(event, "type", "PUT"), "DELETE") == 0;
        g_ptr_array_add(events, entry_of(kv, !deleted));
    }
    return g_steal_pointer(&events);
}

/* --- what is refused: etcd's own words, from its api/v3rpc/rpctypes/error.go */

static const struct {
    const char *words;
    EtcdFate fate;
    StoreErrorCode code;
} refusals[] = {
    { "required revision has been compacted", ETCD_REFUSED, STORE_ERROR_COMPACTED },
    { "required revision is a future revision", ETCD_REFUSED, STORE_ERROR_FUTURE_REVISION },
    { "requested lease not found", ETCD_REFUSED, STORE_ERROR_LEASE_GONE },
    { "request is too large", ETCD_REFUSED, STORE_ERROR_TOO_LARGE },
    { "too many operations in txn request", ETCD_REFUSED, STORE_ERROR_TOO_LARGE },
    { "too large lease TTL", ETCD_REFUSED, STORE_ERROR_TOO_LARGE },
    { "received message larger than max", ETCD_REFUSED, STORE_ERROR_TOO_LARGE },
    { "duplicate key given in txn request", ETCD_REFUSED, STORE_ERROR_INVALID },
    { "key is not provided", ETCD_REFUSED, STORE_ERROR_INVALID },
    { "invalid request", ETCD_REFUSED, STORE_ERROR_INVALID }, /* of a hub */
    { "database space exceeded", ETCD_REFUSED, STORE_ERROR_NO_SPACE },
    { "permission denied", ETCD_REFUSED, STORE_ERROR_DENIED },
    { "authentication failed", ETCD_REFUSED, STORE_ERROR_DENIED },
    { "authentication is not enabled", ETCD_REFUSED, STORE_ERROR_DENIED },
    { "user name not found", ETCD_REFUSED, STORE_ERROR_DENIED },
    { "invalid auth token", ETCD_LOGIN, STORE_ERROR_DENIED },
    { "user name is empty", ETCD_LOGIN, STORE_ERROR_DENIED },
    { "revision in header is old", ETCD_LOGIN, STORE_ERROR_DENIED },
    { "revision of auth store is old", ETCD_LOGIN, STORE_ERROR_DENIED },
    /* Before they reach the log of the cluster. */
    { "not supported for learner", ETCD_ELSEWHERE, STORE_ERROR_UNAVAILABLE },
    { "no leader", ETCD_ELSEWHERE, STORE_ERROR_UNAVAILABLE },
    { "too many requests", ETCD_ELSEWHERE, STORE_ERROR_UNAVAILABLE },
    { "not capable", ETCD_ELSEWHERE, STORE_ERROR_UNAVAILABLE },
};

/* false: these are no words that are known. */
static bool find_words(const char *message, EtcdFate *ret_fate, GError **error) {
    for (size_t i = 0; i < G_N_ELEMENTS(refusals); i++) {
        if (strstr(message, refusals[i].words) == NULL)
            continue;
        g_set_error(error, STORE_ERROR, (int)refusals[i].code, "ask the store: %s", message);
        *ret_fate = refusals[i].fate;
        return true;
    }
    return false;
}

EtcdFate etcd_fate_of_text(const char *message, GError **error) {
    EtcdFate fate;
    if (find_words(message, &fate, error))
        return fate;
    g_set_error(error, STORE_ERROR, STORE_ERROR_UNAVAILABLE, "ask the store: %s", message);
    return ETCD_UNKNOWN;
}

/* Of other words: what the status says by itself, of a hub above all. */
static const struct {
    unsigned status;
    EtcdFate fate;
    StoreErrorCode code;
} statuses[] = {
    { 401, ETCD_REFUSED, STORE_ERROR_DENIED },    { 403, ETCD_REFUSED, STORE_ERROR_DENIED },
    { 404, ETCD_REFUSED, STORE_ERROR_FAILED },    { 405, ETCD_REFUSED, STORE_ERROR_FAILED },
    { 413, ETCD_REFUSED, STORE_ERROR_TOO_LARGE }, { 429, ETCD_ELSEWHERE, STORE_ERROR_UNAVAILABLE },
};

/* {"error"}, and of a hub also {"hint"}; NULL: neither. Caller frees. */
static char *message_of(GBytes *body) {
    gsize size;
    const char *text = g_bytes_get_data(body, &size);
    g_autoptr(Value) value = size > 0 ? json_parse(text, size, "etcd", NULL) : NULL;
    if (value_type(value) != VALUE_MAP || value_map_string(value, "error", NULL) == NULL)
        return NULL;
    const char *hint = value_map_string(value, "hint", NULL);
    return g_strconcat(value_map_string(value, "error", ""), hint != NULL ? "; " : NULL, hint,
                       NULL);
}

EtcdFate etcd_fate(unsigned status, GBytes *body, GError **error) {
    g_autofree char *message = message_of(body);
    EtcdFate fate;
    if (message != NULL && find_words(message, &fate, error))
        return fate;
    for (size_t i = 0; message != NULL && i < G_N_ELEMENTS(statuses); i++)
        if (statuses[i].status == status) {
            g_set_error(error, STORE_ERROR, (int)statuses[i].code, "ask the store: %s", message);
            return statuses[i].fate;
        }
    if (message != NULL)
        return etcd_fate_of_text(message, error);
    if (status == 404 || status == 405) {
        g_set_error(error, STORE_ERROR, STORE_ERROR_FAILED,
                    "ask the store: what answers has no API v3 (HTTP %u): is it etcd 3.4 or later?",
                    status);
        return ETCD_REFUSED;
    }
    g_set_error(error, STORE_ERROR, STORE_ERROR_UNAVAILABLE, "ask the store: HTTP %u", status);
    return ETCD_UNKNOWN;
}
