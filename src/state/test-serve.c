/* What one side of etcd's JSON gateway says, the other one understands. What calls do is tested by
 * test-conformance.c behind a hub. */
#include <string.h>

#include "base/json.h"
#include "state/etcd-json.h"
#include "state/etcd-serve.h"
#include "state/test-fixture.h"

/* Each error reaches the caller as what it was; what may have been done is not said to be undone.
 */
static void test_refusals(void) {
    static const struct {
        StoreErrorCode code, expected;
        EtcdFate fate;
    } rows[] = {
        { STORE_ERROR_INVALID, STORE_ERROR_INVALID, ETCD_REFUSED },
        { STORE_ERROR_COMPACTED, STORE_ERROR_COMPACTED, ETCD_REFUSED },
        { STORE_ERROR_FUTURE_REVISION, STORE_ERROR_FUTURE_REVISION, ETCD_REFUSED },
        { STORE_ERROR_LEASE_GONE, STORE_ERROR_LEASE_GONE, ETCD_REFUSED },
        { STORE_ERROR_TOO_LARGE, STORE_ERROR_TOO_LARGE, ETCD_REFUSED },
        { STORE_ERROR_NO_SPACE, STORE_ERROR_NO_SPACE, ETCD_REFUSED },
        { STORE_ERROR_DENIED, STORE_ERROR_DENIED, ETCD_REFUSED },
        { STORE_ERROR_UNAVAILABLE, STORE_ERROR_UNAVAILABLE, ETCD_ELSEWHERE },
        { STORE_ERROR_UNKNOWN_OUTCOME, STORE_ERROR_UNAVAILABLE, ETCD_UNKNOWN },
        { STORE_ERROR_CANCELLED, STORE_ERROR_UNAVAILABLE, ETCD_UNKNOWN },
        { STORE_ERROR_FAILED, STORE_ERROR_UNAVAILABLE, ETCD_UNKNOWN },
        { STORE_ERROR_DAMAGED, STORE_ERROR_UNAVAILABLE, ETCD_UNKNOWN },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = g_error_new(STORE_ERROR, (int)rows[i].code, "because of \xff");
        g_autoptr(GError) heard = NULL;
        unsigned status;
        g_autoptr(GBytes) body = etcd_refusal(error, &status);
        g_assert_cmpint(etcd_fate(status, body, &heard), ==, rows[i].fate);
        g_assert_error(heard, STORE_ERROR, (int)rows[i].expected);
        g_assert_nonnull(strstr(heard->message, "because of "));
    }
}

/* What a hub says before its gateway is reached. */
static void test_statuses(void) {
    g_autoptr(GBytes) body = bytes_of("{\"error\":\"it was revoked\",\"hint\":\"join again\"}");
    static const struct {
        unsigned status;
        EtcdFate fate;
        StoreErrorCode code;
    } rows[] = {
        { 401, ETCD_REFUSED, STORE_ERROR_DENIED },
        { 403, ETCD_REFUSED, STORE_ERROR_DENIED },
        { 404, ETCD_REFUSED, STORE_ERROR_FAILED },
        { 413, ETCD_REFUSED, STORE_ERROR_TOO_LARGE },
        { 429, ETCD_ELSEWHERE, STORE_ERROR_UNAVAILABLE },
        { 500, ETCD_UNKNOWN, STORE_ERROR_UNAVAILABLE },
        { 503, ETCD_UNKNOWN, STORE_ERROR_UNAVAILABLE },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) heard = NULL;
        g_assert_cmpint(etcd_fate(rows[i].status, body, &heard), ==, rows[i].fate);
        g_assert_error(heard, STORE_ERROR, (int)rows[i].code);
        g_assert_true(g_str_has_suffix(heard->message, "it was revoked; join again"));
    }
}

static StoreTxn *some_txn(void) {
    StoreTxn *txn = store_txn_new();
    g_autoptr(GBytes) key = bytes_of("k"), other = g_bytes_new("\0\xff", 2), empty = bytes_of("");
    for (StoreField field = STORE_VERSION; field < STORE_VALUE; field++)
        store_txn_compare(txn, key, field, (StoreRelation)field, (int64_t)field << 40);
    store_txn_compare_value(txn, other, STORE_GREATER, empty);
    store_txn_put(txn, STORE_THEN, key, empty, INT64_MAX);
    store_txn_delete(txn, STORE_THEN, other, true);
    store_txn_delete(txn, STORE_ELSE, NULL, true);
    store_txn_range(txn, STORE_ELSE, &(StoreRange){ .key = key, .limit = 7, .keys_only = true });
    return txn;
}

static void assert_same_bytes(GBytes *a, GBytes *b) {
    g_assert_true((a == NULL) == (b == NULL) && (a == NULL || g_bytes_equal(a, b)));
}

static void assert_same_op(const Op *a, const Op *b) {
    g_assert_cmpint(a->kind, ==, b->kind);
    assert_same_bytes(a->key, b->key);
    assert_same_bytes(a->end, b->end);
    assert_same_bytes(a->value, b->value);
    g_assert_cmpint(a->lease, ==, b->lease);
    g_assert_cmpint(a->revision, ==, b->revision);
    g_assert_cmpuint(a->limit, ==, b->limit);
    g_assert_true(a->keys_only == b->keys_only);
}

static void assert_same_txn(const StoreTxn *a, const StoreTxn *b) {
    g_assert_cmpuint(a->compares->len, ==, b->compares->len);
    for (unsigned i = 0; i < a->compares->len; i++) {
        const Compare *one = g_ptr_array_index(a->compares, i),
                      *other = g_ptr_array_index(b->compares, i);
        assert_same_bytes(one->key, other->key);
        assert_same_bytes(one->value, other->value);
        g_assert_cmpint(one->field, ==, other->field);
        g_assert_cmpint(one->relation, ==, other->relation);
        g_assert_cmpint(one->number, ==, other->number);
    }
    for (unsigned i = 0; i < 2; i++) {
        g_assert_cmpuint(a->branches[i]->len, ==, b->branches[i]->len);
        for (unsigned j = 0; j < a->branches[i]->len; j++)
            assert_same_op(g_ptr_array_index(a->branches[i], j),
                           g_ptr_array_index(b->branches[i], j));
    }
}

static void test_requests(void) {
    g_autoptr(GError) error = NULL;
    StoreCall call = { .kind = CALL_TXN, .txn = some_txn() };
    g_autoptr(GBytes) body = etcd_request(&call);
    g_autoptr(EtcdAsked) asked = etcd_asked_new(etcd_path(&call), body, &error);
    g_assert_no_error(error);
    g_assert_false(asked->alone);
    assert_same_txn(asked->txn, call.txn);
    store_txn_unref(call.txn);
    for (CallKind kind = CALL_COMPACT; kind <= CALL_LOOK; kind++) {
        StoreCall number = { .kind = kind, .number = (int64_t)1 << 60 };
        g_autoptr(GBytes) text = etcd_request(&number);
        g_autoptr(EtcdAsked) heard = etcd_asked_new(etcd_path(&number), text, &error);
        g_assert_no_error(error);
        g_assert_cmpint(heard->kind, ==, kind);
        g_assert_cmpint(heard->number, ==, number.number);
    }
}

/* The largest transaction there is fits what a server takes. */
static void test_largest(void) {
    g_autofree char *zeros = g_malloc0(STORE_LIMIT_VALUE);
    StoreCall call = { .kind = CALL_TXN, .txn = store_txn_new() };
    for (unsigned i = 0; i < STORE_LIMIT_TXN_OPS; i++) {
        g_autofree char *name = g_strdup_printf("%03u", i);
        g_autoptr(GBytes) key = bytes_of(name);
        size_t size = STORE_LIMIT_TXN_BYTES / STORE_LIMIT_TXN_OPS - 4 * strlen(name);
        g_autoptr(GBytes) value = g_bytes_new(zeros, size);
        store_txn_compare(call.txn, key, STORE_CREATE_REVISION, STORE_NOT_EQUAL, INT64_MAX);
        store_txn_put(call.txn, STORE_THEN, key, value, INT64_MAX);
        store_txn_delete(call.txn, STORE_ELSE, key, true);
    }
    g_assert_true(txn_check(call.txn, NULL));
    g_autoptr(GBytes) body = etcd_request(&call);
    g_assert_cmpuint(g_bytes_get_size(body), <=, ETCD_BODY_LIMIT);
    store_txn_unref(call.txn);
}

static void test_watches(void) {
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) key = bytes_of("k"), value = bytes_of("v");
    StoreWatch asks = { .key = key, .end = prefix_end(key) };
    g_autoptr(GBytes) body = etcd_watch_request(&asks, 9);
    g_auto(EtcdWatch) watch = { .key = NULL };
    g_assert_true(etcd_watch_parse(body, &watch, &error));
    g_assert_no_error(error);
    assert_same_bytes(watch.key, key);
    g_assert_true(watch.prefix);
    g_assert_cmpint(watch.revision, ==, 9);
    g_bytes_unref(asks.end);

    StoreEntry *entries[] = { entry_new(key, value), entry_new(key, NULL) };
    entries[0]->mod_revision = entries[1]->mod_revision = 5;
    entries[0]->version = entries[0]->create_revision = entries[0]->lease = 3;
    g_autoptr(GBytes) line = etcd_watch_events(entries, 2, 5, true);
    g_autoptr(Value) said =
        json_parse(g_bytes_get_data(line, NULL), g_bytes_get_size(line), "line", &error);
    g_assert_no_error(error);
    const Value *result = value_map_get(said, "result");
    g_assert_true(value_map_bool(result, "fragment", false));
    g_autoptr(GPtrArray) heard = etcd_events(result, &error);
    g_assert_cmpuint(heard->len, ==, 2);
    for (unsigned i = 0; i < 2; i++) {
        const StoreEntry *entry = g_ptr_array_index(heard, i);
        assert_same_bytes(entry->key, key);
        assert_same_bytes(entry->value, entries[i]->value);
        g_assert_cmpint(entry->mod_revision, ==, 5);
        g_assert_cmpint(entry->version, ==, entries[i]->version);
        g_assert_cmpint(entry->lease, ==, entries[i]->lease);
        store_entry_unref(entries[i]);
    }
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/serve/refusals", test_refusals);
    g_test_add_func("/serve/statuses", test_statuses);
    g_test_add_func("/serve/requests", test_requests);
    g_test_add_func("/serve/largest", test_largest);
    g_test_add_func("/serve/watches", test_watches);
    return g_test_run();
}
