/*
 * Any bytes as what a client of the gateway sends, the first one says to which path and, from 128
 * on, that a host asks: it is refused in JSON, or read. What a host is permitted to write is its
 * own, and what is not below stead/1/ nobody is permitted; what makes sure that it stays so is
 * permitted as well. A watch is refused, or of a key or all that begin with one.
 */
#include <stdint.h>
#include <string.h>

#include "base/json.h"
#include "fleet/layout.h"
#include "hub/permit.h"
#include "state/etcd-serve.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const paths[] = {
    "kv/range",    "kv/txn",          "kv/put",       "kv/deleterange",   "kv/compaction",
    "lease/grant", "lease/keepalive", "lease/revoke", "lease/timetolive", "else",
};

static void check_refusal(const GError *error) {
    unsigned status;
    g_assert_nonnull(error);
    g_autoptr(GBytes) body = etcd_refusal(error, &status);
    gsize length;
    const char *text = g_bytes_get_data(body, &length);
    g_autoptr(Value) value = json_parse(text, length, "refusal", NULL);
    g_assert_nonnull(value);
    g_assert_cmpuint(status, >=, 400);
    g_assert_nonnull(value_map_string(value, "error", NULL));
}

static void check_below_root(GBytes *key) {
    g_autoptr(GBytes) root = layout_bytes(LAYOUT_ROOT), end = prefix_end(root);
    g_assert_true(keys_hold(root, end, key));
}

/* All that a host writes has its name, but seats and what was granted. */
static void check_own(GBytes *key) {
    g_autofree char *text = layout_text(key);
    g_assert_true(text == NULL || strstr(text, "web1") != NULL ||
                  g_str_has_prefix(text, LAYOUT_KV "shared/") ||
                  g_str_has_prefix(text, LAYOUT_SCHEDULE));
}

static void check_permitted(const Permit *permit, StoreTxn *txn) {
    unsigned before = txn->compares->len;
    permit_secure(permit, txn);
    for (unsigned i = 0; i < 2; i++)
        for (unsigned j = 0; j < txn->branches[i]->len; j++) {
            const Op *op = g_ptr_array_index(txn->branches[i], j);
            check_below_root(op->key);
            if (permit->host && op->kind != OP_RANGE)
                check_own(op->key);
        }
    g_assert_cmpuint(txn->compares->len, >=, before);
    g_assert_true(permit_txn(permit, txn, NULL)); /* what was added is permitted too */
}

static void check_asked(const EtcdAsked *asked, const Permit *permit) {
    g_autoptr(GError) error = NULL;
    if (asked->kind != CALL_TXN && asked->kind != CALL_RANGE) {
        g_assert_null(asked->txn);
        return;
    }
    if (asked->alone || asked->kind == CALL_RANGE)
        g_assert_cmpuint(asked->txn->branches[STORE_THEN]->len, ==, 1);
    if (permit_txn(permit, asked->txn, &error))
        check_permitted(permit, asked->txn);
    else
        check_refusal(error);
}

static void check_watch(GBytes *body, const Permit *permit) {
    g_auto(EtcdWatch) watch = { .key = NULL };
    g_autoptr(GError) error = NULL;
    if (!etcd_watch_parse(body, &watch, &error)) {
        check_refusal(error);
        return;
    }
    g_assert_cmpuint(g_bytes_get_size(watch.from), >, 0);
    g_assert_true(watch.key != NULL || watch.prefix);
    if (!permit_read(permit, watch.from, watch.end, &error))
        check_refusal(error);
    else /* never all there is */
        g_assert_nonnull(watch.key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    static const char *const grants[] = { "shared/", "web/{host}", NULL };
    Permit permit = { .host = data[0] >= 128 ? "web1" : NULL, .grants = grants };
    unsigned path = data[0] % (G_N_ELEMENTS(paths) + 1);
    g_autoptr(GBytes) body = g_bytes_new(data + 1, size - 1);
    g_autoptr(GError) error = NULL;
    if (path == G_N_ELEMENTS(paths)) {
        check_watch(body, &permit);
        return 0;
    }
    g_autoptr(EtcdAsked) asked = etcd_asked_new(paths[path], body, &error);
    if (asked)
        check_asked(asked, &permit);
    else
        check_refusal(error);
    return 0;
}
