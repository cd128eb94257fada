/*
 * Any bytes as what etcd answers, the first one says to what: there is an answer with as many
 * results as were asked for, or an error; a message of a watch has entries with keys, or an error.
 */
#include <stdint.h>

#include "base/json.h"
#include "state/etcd-json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static StoreTxn *some_txn(void) {
    StoreTxn *txn = store_txn_new();
    g_autoptr(GBytes) key = g_bytes_new_static("k", 1);
    for (StoreBranch branch = STORE_THEN; branch <= STORE_ELSE; branch++) {
        store_txn_put(txn, branch, key, key, 0);
        store_txn_range(txn, branch, &(StoreRange){ .key = key, .prefix = true });
        if (branch == STORE_THEN)
            store_txn_delete(txn, branch, key, true);
    }
    return txn;
}

static StoreTxn *single_put(void) {
    StoreTxn *txn = store_txn_new();
    g_autoptr(GBytes) key = g_bytes_new_static("k", 1);
    store_txn_put(txn, STORE_THEN, key, key, 0);
    return txn;
}

static void check_answer(StoreCall *call, const Value *value) {
    g_autoptr(GError) error = NULL;
    g_autoptr(StoreAnswer) answer = etcd_answer(call, value, &error);
    g_assert((answer != NULL) != (error != NULL));
    if (answer == NULL || call->txn == NULL)
        return;
    const GPtrArray *ops =
        call->txn
            ->branches[call->kind == CALL_RANGE || answer->succeeded ? STORE_THEN : STORE_ELSE];
    g_assert_cmpint(answer->results->len, ==, ops->len);
    for (unsigned i = 0; i < ops->len; i++) {
        const Op *op = g_ptr_array_index(ops, i);
        g_assert((store_answer_result(answer, i)->entries != NULL) == (op->kind == OP_RANGE));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    g_autoptr(GBytes) body = g_bytes_new(data + 1, size - 1);
    g_autoptr(Value) value = json_parse((const char *)data + 1, size - 1, "etcd", NULL);
    StoreCall call = { .kind = (CallKind)(data[0] % (CALL_LOOK + 1)), .number = 7 };
    if (call.kind == CALL_RANGE)
        call.txn = txn_of_range(&(StoreRange){ .keys_only = data[0] >= 128 });
    else if (call.kind == CALL_TXN)
        call.txn = data[0] >= 128 ? some_txn() : single_put();
    check_answer(&call, value);
    store_txn_unref(call.txn);

    g_autoptr(GError) error = NULL, refusal = NULL;
    g_autoptr(GPtrArray) events = etcd_events(value, &error);
    g_assert((events != NULL) != (error != NULL));
    for (unsigned i = 0; events != NULL && i < events->len; i++)
        g_assert_nonnull(((StoreEntry *)g_ptr_array_index(events, i))->key);
    (void)etcd_fate(400, body, &refusal);
    g_assert_nonnull(refusal);
    return 0;
}
