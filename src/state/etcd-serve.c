#include "state/etcd-serve.h"

#include <string.h>

#include "base/json.h"
#include "state/etcd-words.h"

/* --- reading: each returns false, or NULL, with error */

static bool refuse(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

static bool refuse(GError **error, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error(error, STORE_ERROR, STORE_ERROR_INVALID, "read the request: %s", text);
    return false;
}

/* Whether all members of map are in known, names separated by spaces. */
static bool check_members(const Value *map, const char *what, const char *known, GError **error) {
    if (value_type(map) != VALUE_MAP)
        return refuse(error, "%s is no object but of type %s", what,
                      value_type_name(value_type(map)));
    g_auto(GStrv) names = g_strsplit(known, " ", -1);
    for (size_t i = 0; i < value_size(map); i++) {
        const char *name;
        (void)value_map_at(map, i, &name);
        if (!g_strv_contains((const char *const *)names, name))
            return refuse(error, "'%.40s' of %s is not served here; it takes: %s", name, what,
                          known);
    }
    return true;
}

/* As text, or not; what is left out is 0. */
static bool read_number(const Value *map, const char *name, int64_t *ret, GError **error) {
    const Value *value = value_map_get(map, name);
    gint64 number = 0;
    if (value_type(value) == VALUE_INT)
        number = value_int(value);
    else if (value != NULL && (value_type(value) != VALUE_STRING ||
                               !g_ascii_string_to_signed(value_string(value), 10, INT64_MIN,
                                                         INT64_MAX, &number, NULL)))
        return refuse(error, "'%s' is no whole number of 64 bits", name);
    *ret = number;
    return true;
}

static bool read_flag(const Value *map, const char *name, bool *ret, GError **error) {
    const Value *value = value_map_get(map, name);
    if (value != NULL && value_type(value) != VALUE_BOOL)
        return refuse(error, "'%s' is neither true nor false", name);
    *ret = value != NULL && value_bool(value);
    return true;
}

static bool is_base64(const char *text, size_t size) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t n = strspn(text, digits);
    return size % 4 == 0 && size - n <= 2 && strspn(text + n, "=") == size - n;
}

/* What is left out is of no bytes. */
static GBytes *read_bytes(const Value *map, const char *name, GError **error) {
    const Value *value = value_map_get(map, name);
    if (value == NULL)
        return g_bytes_new(NULL, 0);
    if (value_type(value) != VALUE_STRING ||
        !is_base64(value_string(value), value_string_size(value))) {
        (void)refuse(error, "'%s' is no base64", name);
        return NULL;
    }
    gsize size;
    guchar *data = g_base64_decode(value_string(value), &size);
    return g_bytes_new_take(data, size);
}

/* As etcd has it, an end of one zero byte is beyond all keys. */
static bool read_keys(const Value *map, GBytes **ret_key, GBytes **ret_end, GError **error) {
    g_autoptr(GBytes) key = read_bytes(map, "key", error);
    g_autoptr(GBytes) end = key != NULL ? read_bytes(map, "range_end", error) : NULL;
    if (end == NULL)
        return false;
    gsize size;
    const char *data = g_bytes_get_data(end, &size);
    if (size == 0)
        *ret_end = NULL;
    else
        *ret_end = size == 1 && *data == '\0' ? g_bytes_new(NULL, 0) : g_steal_pointer(&end);
    *ret_key = g_steal_pointer(&key);
    return true;
}

static const char *const op_members[] = {
    [OP_PUT] = "key value lease",
    [OP_DELETE] = "key range_end",
    [OP_RANGE] = "key range_end revision limit keys_only",
};

static bool read_op_numbers(Op *op, const Value *body, GError **error) {
    int64_t limit;
    if (!read_number(body, "lease", &op->lease, error) ||
        !read_number(body, "revision", &op->revision, error) ||
        !read_number(body, "limit", &limit, error) ||
        !read_flag(body, "keys_only", &op->keys_only, error))
        return false;
    op->limit = (unsigned)CLAMP(limit, 0, (int64_t)UINT32_MAX);
    return true;
}

static bool read_op(StoreTxn *txn, StoreBranch branch, OpKind kind, const Value *body,
                    GError **error) {
    g_autoptr(GBytes) key = NULL, end = NULL, value = NULL;
    if (!check_members(body, etcd_requests[kind], op_members[kind], error) ||
        !read_keys(body, &key, &end, error))
        return false;
    if (kind == OP_PUT && (value = read_bytes(body, "value", error)) == NULL)
        return false;
    Op *op = txn_add_op(txn, branch, kind, key);
    op->end = g_steal_pointer(&end);
    op->value = g_steal_pointer(&value);
    return read_op_numbers(op, body, error);
}

static bool read_any_op(StoreTxn *txn, StoreBranch branch, const Value *item, GError **error) {
    static const char known[] = "request_put request_delete_range request_range";
    if (!check_members(item, "an operation", known, error))
        return false;
    if (value_size(item) != 1)
        return refuse(error, "an operation is one of: %s", known);
    for (OpKind kind = OP_PUT; kind <= OP_RANGE; kind++) {
        const Value *body = value_map_get(item, etcd_requests[kind]);
        if (body != NULL)
            return read_op(txn, branch, kind, body, error);
    }
    g_assert_not_reached();
}

static const Value *read_list(const Value *map, const char *name, GError **error) {
    const Value *list = value_map_get(map, name);
    if (list == NULL || value_type(list) == VALUE_LIST)
        return list;
    (void)refuse(error, "'%s' is no list", name);
    return NULL;
}

/* What is left out is fallback; NULL: it is no text. */
static const char *read_word(const Value *map, const char *name, const char *fallback) {
    const Value *value = value_map_get(map, name);
    if (value == NULL)
        return fallback;
    return value_type(value) == VALUE_STRING ? value_string(value) : NULL;
}

static int find_relation(const char *name) {
    for (int i = 0; i <= STORE_GREATER; i++)
        if (g_strcmp0(etcd_relations[i], name) == 0)
            return i;
    return -1;
}

static int find_field(const char *target) {
    for (int i = 0; i <= STORE_VALUE; i++)
        if (g_strcmp0(etcd_fields[i].target, target) == 0)
            return i;
    return -1;
}

static bool read_compare(StoreTxn *txn, const Value *item, GError **error) {
    /* Etcd's own defaults are the first of its names. */
    if (!check_members(item, "a compare",
                       "key target result version create_revision mod_revision lease value", error))
        return false;
    int relation = find_relation(read_word(item, "result", "EQUAL"));
    int field = find_field(read_word(item, "target", "VERSION"));
    if (relation < 0 || field < 0)
        return refuse(error, "a compare has no such 'result' or 'target'");
    g_autoptr(GBytes) key = read_bytes(item, "key", error);
    if (key == NULL)
        return false;
    const char *member = etcd_fields[field].member;
    if (field == STORE_VALUE) {
        g_autoptr(GBytes) value = read_bytes(item, member, error);
        if (value != NULL)
            store_txn_compare_value(txn, key, (StoreRelation)relation, value);
        return value != NULL;
    }
    int64_t number;
    if (!read_number(item, member, &number, error))
        return false;
    store_txn_compare(txn, key, (StoreField)field, (StoreRelation)relation, number);
    return true;
}

static bool read_branch(StoreTxn *txn, StoreBranch branch, const Value *list, GError **error) {
    for (size_t i = 0; list != NULL && i < value_size(list); i++)
        if (!read_any_op(txn, branch, value_list_at(list, i), error))
            return false;
    return true;
}

static bool read_txn(StoreTxn *txn, const Value *value, GError **error) {
    g_autoptr(GError) problem = NULL;
    if (!check_members(value, "a transaction", "compare success failure", error))
        return false;
    const Value *compares = read_list(value, "compare", &problem);
    const Value *success = problem == NULL ? read_list(value, "success", &problem) : NULL;
    const Value *failure = problem == NULL ? read_list(value, "failure", &problem) : NULL;
    if (problem != NULL) {
        g_propagate_error(error, g_steal_pointer(&problem));
        return false;
    }
    for (size_t i = 0; compares != NULL && i < value_size(compares); i++)
        if (!read_compare(txn, value_list_at(compares, i), error))
            return false;
    return read_branch(txn, STORE_THEN, success, error) &&
           read_branch(txn, STORE_ELSE, failure, error);
}

static bool read_lone_number(EtcdAsked *asked, const Value *value, const char *name,
                             GError **error) {
    return check_members(value, "it", name, error) &&
           read_number(value, name, &asked->number, error);
}

static bool read_asked(EtcdAsked *asked, const Value *value, GError **error) {
    switch (asked->kind) {
    case CALL_RANGE:
        asked->txn = store_txn_new();
        return read_op(asked->txn, STORE_THEN, OP_RANGE, value, error);
    case CALL_TXN:
        asked->txn = store_txn_new();
        return read_txn(asked->txn, value, error);
    case CALL_COMPACT:
        return read_lone_number(asked, value, "revision", error);
    case CALL_GRANT:
        return read_lone_number(asked, value, "TTL", error);
    case CALL_KEEP:
    case CALL_REVOKE:
    case CALL_LOOK:
        return read_lone_number(asked, value, "ID", error);
    }
    g_assert_not_reached();
}

static bool read_path(EtcdAsked *asked, const char *path, const Value *value, GError **error) {
    for (OpKind kind = OP_PUT; kind <= OP_DELETE; kind++)
        if (strcmp(etcd_op_paths[kind], path) == 0) {
            asked->kind = CALL_TXN;
            asked->alone = true;
            asked->txn = store_txn_new();
            return read_op(asked->txn, STORE_THEN, kind, value, error);
        }
    for (CallKind kind = CALL_RANGE; kind <= CALL_LOOK; kind++)
        if (strcmp(etcd_paths[kind], path) == 0) {
            asked->kind = kind;
            return read_asked(asked, value, error);
        }
    return refuse(error, "'/v3/%.100s' is not served here", path);
}

static Value *read_body(GBytes *body, GError **error) {
    gsize size;
    g_autoptr(GError) problem = NULL;
    const char *text = g_bytes_get_data(body, &size);
    Value *value = json_parse(text != NULL ? text : "", size, "body", &problem);
    if (value == NULL)
        (void)refuse(error, "%s", problem->message);
    return value;
}

EtcdAsked *etcd_asked_new(const char *path, GBytes *body, GError **error) {
    g_autoptr(Value) value = read_body(body, error);
    if (value == NULL)
        return NULL;
    g_autoptr(EtcdAsked) asked = g_new0(EtcdAsked, 1);
    return read_path(asked, path, value, error) ? g_steal_pointer(&asked) : NULL;
}

void etcd_asked_free(EtcdAsked *asked) {
    if (asked == NULL)
        return;
    store_txn_unref(asked->txn);
    g_free(asked);
}

StoreCall *etcd_asked_start(const EtcdAsked *asked, Store *state, StoreDone done, void *data) {
    StoreTxn *txn = asked->txn != NULL ? store_txn_ref(asked->txn) : NULL;
    return call_start(state, asked->kind, txn, asked->number, done, data);
}

/* --- answering */

static void add_header(GString *json, int64_t revision) {
    g_string_append(json, "\"header\":{");
    etcd_add_number(json, "revision", revision);
    g_string_append_c(json, '}');
}

static void add_entry(GString *json, const StoreEntry *entry) {
    g_string_append_c(json, '{');
    etcd_add_bytes(json, "key", entry->key);
    etcd_add_number(json, "create_revision", entry->create_revision);
    etcd_add_number(json, "mod_revision", entry->mod_revision);
    etcd_add_number(json, "version", entry->version);
    if (entry->value != NULL && g_bytes_get_size(entry->value) > 0)
        etcd_add_bytes(json, "value", entry->value);
    etcd_add_number(json, "lease", entry->lease);
    g_string_append_c(json, '}');
}

static void add_range(GString *json, const StoreResult *result) {
    if (result->entries->len > 0)
        g_string_append(json, ",\"kvs\":[");
    for (unsigned i = 0; i < result->entries->len; i++) {
        if (i > 0)
            g_string_append_c(json, ',');
        add_entry(json, g_ptr_array_index(result->entries, i));
    }
    if (result->entries->len > 0)
        g_string_append_c(json, ']');
    etcd_add_flag(json, "more", result->more);
    etcd_add_number(json, "count", (int64_t)result->count);
}

/* What is said of an operation: all of an answer of its own, or what is in response_... */
static void add_result(GString *json, OpKind kind, const StoreResult *result, int64_t revision) {
    add_header(json, revision);
    if (kind == OP_RANGE)
        add_range(json, result);
    else if (kind == OP_DELETE)
        etcd_add_number(json, "deleted", (int64_t)result->count);
}

static void add_results(GString *json, const EtcdAsked *asked, const StoreAnswer *answer) {
    const GPtrArray *ops = asked->txn->branches[answer->succeeded ? STORE_THEN : STORE_ELSE];
    add_header(json, answer->revision);
    etcd_add_flag(json, "succeeded", answer->succeeded);
    g_string_append(json, ",\"responses\":[");
    for (unsigned i = 0; i < ops->len; i++) {
        const Op *op = g_ptr_array_index(ops, i);
        g_string_append_printf(json, "%s{\"%s\":{", i > 0 ? "," : "", etcd_responses[op->kind]);
        add_result(json, op->kind, store_answer_result(answer, i), answer->revision);
        g_string_append(json, "}}");
    }
    g_string_append_c(json, ']');
}

static void add_lease(GString *json, int64_t revision, int64_t lease, int64_t ttl) {
    add_header(json, revision);
    etcd_add_number(json, "ID", lease);
    etcd_add_number(json, "TTL", ttl);
}

static GBytes *end_of(GString *json, const char *end) {
    g_string_append(json, end);
    return g_string_free_to_bytes(json);
}

GBytes *etcd_asked_answer(const EtcdAsked *asked, const StoreAnswer *answer) {
    /* Keeping alive is a stream of one answer. */
    bool streams = asked->kind == CALL_KEEP;
    GString *json = g_string_new(streams ? "{\"result\":{" : "{");
    const GPtrArray *ops = asked->txn != NULL ? asked->txn->branches[STORE_THEN] : NULL;
    switch (asked->kind) {
    case CALL_RANGE:
        add_result(json, OP_RANGE, store_answer_result(answer, 0), answer->revision);
        break;
    case CALL_TXN:
        if (asked->alone)
            add_result(json, ((const Op *)g_ptr_array_index(ops, 0))->kind,
                       store_answer_result(answer, 0), answer->revision);
        else
            add_results(json, asked, answer);
        break;
    case CALL_COMPACT:
    case CALL_REVOKE:
        add_header(json, answer->revision);
        break;
    case CALL_GRANT:
    case CALL_KEEP:
    case CALL_LOOK:
        add_lease(json, answer->revision, answer->lease, answer->ttl);
        break;
    }
    return end_of(json, streams ? "}}\n" : "}\n");
}

GBytes *etcd_asked_gone(const EtcdAsked *asked, const GError *error) {
    if (!g_error_matches(error, STORE_ERROR, STORE_ERROR_LEASE_GONE) ||
        (asked->kind != CALL_KEEP && asked->kind != CALL_LOOK))
        return NULL;
    bool streams = asked->kind == CALL_KEEP;
    GString *json = g_string_new(streams ? "{\"result\":{" : "{");
    add_lease(json, 0, asked->number, streams ? 0 : -1);
    return end_of(json, streams ? "}}\n" : "}\n");
}

/* --- refusing: the numbers are those of gRPC, the words those that clients know (etcd-json.c) */

static const struct {
    StoreErrorCode code;
    unsigned status, number;
    const char *words;
} refusals[] = {
    { STORE_ERROR_FAILED, 500, 13, "etcdserver: failed" },
    { STORE_ERROR_INVALID, 400, 3, "etcdserver: invalid request" },
    { STORE_ERROR_COMPACTED, 400, 11, "etcdserver: mvcc: required revision has been compacted" },
    { STORE_ERROR_FUTURE_REVISION, 400, 11,
      "etcdserver: mvcc: required revision is a future revision" },
    { STORE_ERROR_LEASE_GONE, 404, 5, "etcdserver: requested lease not found" },
    { STORE_ERROR_TOO_LARGE, 400, 3, "etcdserver: request is too large" },
    { STORE_ERROR_UNAVAILABLE, 503, 14, "etcdserver: no leader" },
    { STORE_ERROR_UNKNOWN_OUTCOME, 503, 14, "etcdserver: request timed out" },
    { STORE_ERROR_NO_SPACE, 429, 8, "etcdserver: mvcc: database space exceeded" },
    { STORE_ERROR_DENIED, 403, 7, "etcdserver: permission denied" },
    { STORE_ERROR_CANCELLED, 503, 14, "etcdserver: request timed out" },
};

static unsigned refusal_of(const GError *error) {
    for (unsigned i = 0; i < G_N_ELEMENTS(refusals); i++)
        if (g_error_matches(error, STORE_ERROR, (int)refusals[i].code))
            return i;
    return 0;
}

static char *refusal_text(const GError *error) {
    g_autofree char *text =
        g_strconcat(refusals[refusal_of(error)].words, ": ", error->message, NULL);
    return g_utf8_make_valid(text, -1);
}

GBytes *etcd_refusal(const GError *error, unsigned *ret_status) {
    unsigned i = refusal_of(error);
    g_autofree char *text = refusal_text(error);
    g_autoptr(Value) map = value_new_map();
    value_map_set(map, "error", value_new_string(text));
    value_map_set(map, "message", value_new_string(text));
    value_map_set(map, "code", value_new_int(refusals[i].number));
    *ret_status = refusals[i].status;
    GString *json = g_string_new(NULL);
    json_append(json, map, JSON_COMPACT);
    return end_of(json, "\n");
}

/* --- watches */

/* The store has watches of one key, or of all that begin with one. */
static bool take_interval(EtcdWatch *watch, GError **error) {
    gsize size;
    const char *data = g_bytes_get_data(watch->from, &size);
    if (watch->end == NULL) {
        watch->key = g_bytes_ref(watch->from);
        return true;
    }
    watch->prefix = true;
    if (g_bytes_get_size(watch->end) == 0 && size == 1 && *data == '\0')
        return true;
    g_autoptr(GBytes) end = prefix_end(watch->from);
    if (size == 0 || !g_bytes_equal(end, watch->end))
        return refuse(error, "a watch is of one key, or of all that begin with one");
    watch->key = g_bytes_ref(watch->from);
    return true;
}

bool etcd_watch_parse(GBytes *body, EtcdWatch *ret_watch, GError **error) {
    g_auto(EtcdWatch) watch = { .key = NULL };
    g_autoptr(Value) value = read_body(body, error);
    bool any;
    if (value == NULL || !check_members(value, "a watch", "create_request", error))
        return false;
    const Value *create = value_map_get(value, "create_request");
    if (!check_members(create, "create_request",
                       "key range_end start_revision progress_notify fragment", error) ||
        !read_flag(create, "progress_notify", &any, error) ||
        !read_flag(create, "fragment", &any, error) ||
        !read_number(create, "start_revision", &watch.revision, error) ||
        !read_keys(create, &watch.from, &watch.end, error) || !take_interval(&watch, error))
        return false;
    if (g_bytes_get_size(watch.from) == 0 || watch.revision < 0)
        return refuse(error, "a watch has a key, and no revision below 0");
    *ret_watch = watch;
    watch = (EtcdWatch){ .key = NULL };
    return true;
}

void etcd_watch_clear(EtcdWatch *watch) {
    g_clear_pointer(&watch->key, g_bytes_unref);
    g_clear_pointer(&watch->from, g_bytes_unref);
    g_clear_pointer(&watch->end, g_bytes_unref);
}

static GString *begin_message(int64_t revision) {
    GString *json = g_string_new("{\"result\":{");
    add_header(json, revision);
    return json;
}

GBytes *etcd_watch_created(int64_t revision, const char *identity) {
    GString *json = g_string_new("{\"result\":{\"header\":{");
    etcd_add_number(json, "revision", revision);
    if (*identity != '\0')
        etcd_add_text(json, "cluster_id", identity);
    g_string_append_c(json, '}');
    etcd_add_flag(json, "created", true);
    return end_of(json, "}}\n");
}

GBytes *etcd_watch_progress(int64_t revision) {
    return end_of(begin_message(revision), "}}\n");
}

GBytes *etcd_watch_events(StoreEntry *const *entries, unsigned n, int64_t revision, bool fragment) {
    GString *json = begin_message(revision);
    etcd_add_flag(json, "fragment", fragment);
    g_string_append(json, ",\"events\":[");
    for (unsigned i = 0; i < n; i++) {
        g_string_append(json, i > 0 ? ",{" : "{");
        if (entries[i]->version == 0)
            etcd_add_text(json, "type", "DELETE");
        g_string_append(json, entries[i]->version == 0 ? ",\"kv\":" : "\"kv\":");
        add_entry(json, entries[i]);
        g_string_append_c(json, '}');
    }
    return end_of(json, "]}}\n");
}

GBytes *etcd_watch_cancelled(int64_t revision, const GError *error, int64_t compacted) {
    g_autofree char *text = refusal_text(error);
    g_autoptr(Value) reason = value_new_string(text);
    GString *json = begin_message(revision);
    etcd_add_flag(json, "canceled", true);
    etcd_add_number(json, "compact_revision", compacted);
    g_string_append(json, ",\"cancel_reason\":");
    json_append(json, reason, JSON_COMPACT);
    return end_of(json, "}}\n");
}
