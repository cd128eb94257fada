/* Transactions: building them, and what is refused in the same words by every implementation. */
#include <string.h>

#include "state/store-private.h"

/* --- keys */

/* Of 0xff bytes alone there is no key after all that begin with it. */
GBytes *prefix_end(GBytes *prefix) {
    gsize size;
    const uint8_t *bytes = g_bytes_get_data(prefix, &size);
    while (size > 0 && bytes[size - 1] == 0xff)
        size--;
    if (size == 0)
        return g_bytes_new_static("", 0);
    uint8_t *end = g_memdup2(bytes, size);
    end[size - 1]++;
    return g_bytes_new_take(end, size);
}

bool keys_hold(GBytes *key, GBytes *end, GBytes *candidate) {
    if (end == NULL)
        return g_bytes_equal(key, candidate);
    return g_bytes_compare(candidate, key) >= 0 &&
           (g_bytes_get_size(end) == 0 || g_bytes_compare(candidate, end) < 0);
}

/* --- building */

static void op_free(void *data) {
    Op *op = data;
    g_bytes_unref(op->key);
    g_clear_pointer(&op->end, g_bytes_unref);
    g_clear_pointer(&op->value, g_bytes_unref);
    g_free(op);
}

static void compare_free(void *data) {
    Compare *compare = data;
    g_bytes_unref(compare->key);
    g_clear_pointer(&compare->value, g_bytes_unref);
    g_free(compare);
}

StoreTxn *store_txn_new(void) {
    StoreTxn *txn = g_rc_box_new0(StoreTxn);
    txn->compares = g_ptr_array_new_with_free_func(compare_free);
    for (int i = 0; i < 2; i++)
        txn->branches[i] = g_ptr_array_new_with_free_func(op_free);
    return txn;
}

StoreTxn *store_txn_ref(StoreTxn *txn) {
    return g_rc_box_acquire(txn);
}

static void txn_clear(void *data) {
    StoreTxn *txn = data;
    g_ptr_array_unref(txn->compares);
    for (int i = 0; i < 2; i++)
        g_ptr_array_unref(txn->branches[i]);
}

void store_txn_unref(StoreTxn *txn) {
    if (txn != NULL)
        g_rc_box_release_full(txn, txn_clear);
}

static Compare *add_compare(StoreTxn *txn, GBytes *key, StoreRelation relation) {
    Compare *compare = g_new0(Compare, 1);
    compare->key = g_bytes_ref(key);
    compare->relation = relation;
    g_ptr_array_add(txn->compares, compare);
    return compare;
}

void store_txn_compare(StoreTxn *txn, GBytes *key, StoreField field, StoreRelation relation,
                       int64_t number) {
    g_assert(field != STORE_VALUE);
    Compare *compare = add_compare(txn, key, relation);
    compare->field = field;
    compare->number = number;
}

void store_txn_compare_value(StoreTxn *txn, GBytes *key, StoreRelation relation, GBytes *value) {
    Compare *compare = add_compare(txn, key, relation);
    compare->field = STORE_VALUE;
    compare->value = g_bytes_ref(value);
}

Op *txn_add_op(StoreTxn *txn, StoreBranch branch, OpKind kind, GBytes *key) {
    Op *op = g_new0(Op, 1);
    op->kind = kind;
    op->key = g_bytes_ref(key);
    g_ptr_array_add(txn->branches[branch], op);
    return op;
}

void store_txn_put(StoreTxn *txn, StoreBranch branch, GBytes *key, GBytes *value, int64_t lease) {
    Op *op = txn_add_op(txn, branch, OP_PUT, key);
    op->value = g_bytes_ref(value);
    op->lease = lease;
}

/* All keys there are: from the first one possible, a zero byte, to the end. */
static void set_all(Op *op) {
    g_bytes_unref(op->key);
    op->key = g_bytes_new_static("", 1);
    op->end = g_bytes_new_static("", 0);
}

static Op *add_keys(StoreTxn *txn, StoreBranch branch, OpKind kind, GBytes *key, bool prefix) {
    g_autoptr(GBytes) nothing = g_bytes_new_static("", 0);
    Op *op = txn_add_op(txn, branch, kind, key != NULL ? key : nothing);
    if (key == NULL || (prefix && g_bytes_get_size(key) == 0))
        set_all(op);
    else if (prefix)
        op->end = prefix_end(key);
    return op;
}

void store_txn_delete(StoreTxn *txn, StoreBranch branch, GBytes *key, bool prefix) {
    (void)add_keys(txn, branch, OP_DELETE, key, prefix);
}

void store_txn_range(StoreTxn *txn, StoreBranch branch, const StoreRange *range) {
    Op *op = add_keys(txn, branch, OP_RANGE, range->key, range->prefix);
    op->revision = range->revision;
    op->limit = range->limit;
    op->keys_only = range->keys_only;
    if (range->from == NULL || g_bytes_compare(range->from, op->key) <= 0)
        return;
    if (op->end == NULL) /* one key, before from: nothing is left of it */
        op->end = g_bytes_ref(op->key);
    g_bytes_unref(op->key);
    op->key = g_bytes_ref(range->from);
}

StoreTxn *txn_of_range(const StoreRange *range) {
    StoreTxn *txn = store_txn_new();
    store_txn_range(txn, STORE_THEN, range);
    return txn;
}

/* --- checking */

static bool too_large(GError **error, const char *what, size_t size, const char *limit,
                      size_t most) {
    g_set_error(error, STORE_ERROR, STORE_ERROR_TOO_LARGE, "%s: %zu is above %s (%zu)", what, size,
                limit, most);
    return false;
}

bool key_check(GBytes *key, GError **error) {
    size_t size = g_bytes_get_size(key);
    if (size > STORE_LIMIT_KEY)
        return too_large(error, "take a key", size, "STORE_LIMIT_KEY", STORE_LIMIT_KEY);
    if (size > 0)
        return true;
    g_set_error_literal(error, STORE_ERROR, STORE_ERROR_INVALID, "take a key: it is empty");
    return false;
}

static bool check_op(const Op *op, size_t *total, GError **error) {
    size_t size = op->value != NULL ? g_bytes_get_size(op->value) : 0;
    if (!key_check(op->key, error))
        return false;
    if (size > STORE_LIMIT_VALUE)
        return too_large(error, "take a value", size, "STORE_LIMIT_VALUE", STORE_LIMIT_VALUE);
    if (op->lease < 0 || op->revision < 0) {
        g_set_error(error, STORE_ERROR, STORE_ERROR_INVALID, "take an operation: %s is below 0",
                    op->lease < 0 ? "its lease" : "its revision");
        return false;
    }
    *total += g_bytes_get_size(op->key) + size + (op->end ? g_bytes_get_size(op->end) : 0);
    return true;
}

/* As etcd: a key may be put once, and not be put and deleted, whatever the order. */
static bool check_twice(const GPtrArray *ops, GError **error) {
    g_autoptr(GHashTable) put = g_hash_table_new(g_bytes_hash, g_bytes_equal);
    bool twice = false;
    for (unsigned i = 0; i < ops->len; i++) {
        const Op *op = g_ptr_array_index(ops, i);
        if (op->kind == OP_PUT)
            twice = !g_hash_table_add(put, op->key) || twice;
    }
    for (unsigned i = 0; i < ops->len && g_hash_table_size(put) > 0; i++) {
        const Op *op = g_ptr_array_index(ops, i);
        GHashTableIter iter;
        void *key;
        g_hash_table_iter_init(&iter, put);
        while (op->kind == OP_DELETE && g_hash_table_iter_next(&iter, &key, NULL))
            twice = twice || keys_hold(op->key, op->end, key);
    }
    if (twice)
        g_set_error_literal(error, STORE_ERROR, STORE_ERROR_INVALID,
                            "take a transaction: one of its keys is changed twice");
    return !twice;
}

static bool check_branch(const GPtrArray *ops, size_t *total, GError **error) {
    if (ops->len > STORE_LIMIT_TXN_OPS)
        return too_large(error, "take a transaction's operations", ops->len, "STORE_LIMIT_TXN_OPS",
                         STORE_LIMIT_TXN_OPS);
    for (unsigned i = 0; i < ops->len; i++)
        if (!check_op(g_ptr_array_index(ops, i), total, error))
            return false;
    return check_twice(ops, error);
}

bool txn_check(const StoreTxn *txn, GError **error) {
    size_t total = 0;
    if (txn->compares->len > STORE_LIMIT_TXN_OPS)
        return too_large(error, "take a transaction's compares", txn->compares->len,
                         "STORE_LIMIT_TXN_OPS", STORE_LIMIT_TXN_OPS);
    for (unsigned i = 0; i < txn->compares->len; i++) {
        const Compare *compare = g_ptr_array_index(txn->compares, i);
        if (!key_check(compare->key, error))
            return false;
        total += g_bytes_get_size(compare->key);
        total += compare->value != NULL ? g_bytes_get_size(compare->value) : 0;
    }
    for (int i = 0; i < 2; i++)
        if (!check_branch(txn->branches[i], &total, error))
            return false;
    return total <= STORE_LIMIT_TXN_BYTES ||
           too_large(error, "take a transaction", total, "STORE_LIMIT_TXN_BYTES",
                     STORE_LIMIT_TXN_BYTES);
}

/* --- comparing */

static bool relation_holds(StoreRelation relation, int order) {
    switch (relation) {
    case STORE_EQUAL:
        return order == 0;
    case STORE_NOT_EQUAL:
        return order != 0;
    case STORE_LESS:
        return order < 0;
    case STORE_GREATER:
        return order > 0;
    }
    g_assert_not_reached();
}

static int64_t number_of(const StoreEntry *entry, StoreField field) {
    if (entry == NULL)
        return 0;
    switch (field) {
    case STORE_VERSION:
        return entry->version;
    case STORE_CREATE_REVISION:
        return entry->create_revision;
    case STORE_MOD_REVISION:
        return entry->mod_revision;
    case STORE_LEASE:
        return entry->lease;
    case STORE_VALUE:
        break;
    }
    g_assert_not_reached();
}

bool compare_holds(const Compare *compare, const StoreEntry *entry) {
    if (compare->field == STORE_VALUE)
        return entry != NULL &&
               relation_holds(compare->relation, g_bytes_compare(entry->value, compare->value));
    int64_t number = number_of(entry, compare->field);
    return relation_holds(compare->relation,
                          (number > compare->number) - (number < compare->number));
}
