#include "cluster/dump.h"

#include <string.h>

#include "base/error.h"
#include "cluster/cluster.h"
#include "cluster/dump-private.h"
#include "state/etcd.h"

#define PAGE_FIRST 32u /* entries: they may have a megabyte each */
#define PAGE_MAX   4096u
#define PAGE_BYTES (2u << 20) /* smaller pages are followed by larger ones */
#define BATCH_OPS  100u
#define BATCH_SIZE (512u * 1024)

/* --- reading a store */

typedef struct {
    DumpVisit visit;
    void *data;
    DumpTotals totals;
    Digest *digest;
} Walk;

void dump_digest_entry(Digest *digest, GBytes *key, GBytes *value) {
    gsize size;
    GBytes *const parts[] = { key, value };
    for (unsigned i = 0; i < 2; i++) {
        const void *data = g_bytes_get_data(parts[i], &size);
        uint64_t length = GUINT64_TO_BE((uint64_t)size);
        digest_update(digest, &length, sizeof length);
        digest_update(digest, data, size);
    }
}

static bool is_own(GBytes *key) {
    gsize size;
    const char *text = g_bytes_get_data(key, &size);
    return size >= strlen(CLUSTER_ROOT) && memcmp(text, CLUSTER_ROOT, strlen(CLUSTER_ROOT)) == 0;
}

static bool visit_entry(Walk *walk, const StoreEntry *entry, GError **error) {
    if (is_own(entry->key))
        return true;
    if (entry->lease) {
        walk->totals.leased++;
    } else {
        walk->totals.keys++;
        walk->totals.bytes += g_bytes_get_size(entry->key) + g_bytes_get_size(entry->value);
        dump_digest_entry(walk->digest, entry->key, entry->value);
    }
    return !walk->visit || walk->visit(walk->data, entry->key, entry->value, entry->lease, error);
}

/* The key after it. */
static GBytes *successor(GBytes *key) {
    gsize size;
    const void *data = g_bytes_get_data(key, &size);
    GByteArray *bytes = g_byte_array_new();
    g_byte_array_append(bytes, data, (guint)size);
    g_byte_array_append(bytes, (const guint8 *)"", 1);
    return g_byte_array_free_to_bytes(bytes);
}

static bool visit_page(Walk *walk, const StoreResult *page, GBytes **from, unsigned *limit,
                       GError **error) {
    size_t bytes = 0;
    for (unsigned i = 0; i < page->entries->len; i++) {
        const StoreEntry *entry = g_ptr_array_index(page->entries, i);
        bytes += g_bytes_get_size(entry->value);
        if (!visit_entry(walk, entry, error))
            return false;
    }
    if (page->entries->len > 0) {
        const StoreEntry *last = g_ptr_array_index(page->entries, page->entries->len - 1);
        g_clear_pointer(from, g_bytes_unref);
        *from = successor(last->key);
    }
    *limit = bytes < PAGE_BYTES ? MIN(*limit * 2, PAGE_MAX) : PAGE_FIRST;
    return true;
}

bool dump_visit_store(Store *store, DumpVisit visit, void *data, DumpTotals *ret_totals,
                      GError **error) {
    g_autoptr(Digest) digest = digest_new();
    g_autoptr(GBytes) from = NULL;
    Walk walk = { .visit = visit, .data = data, .digest = digest };
    unsigned limit = PAGE_FIRST;
    for (bool more = true; more;) {
        StoreRange range = { .from = from, .revision = walk.totals.revision, .limit = limit };
        g_autoptr(GError) problem = NULL;
        g_autoptr(StoreAnswer) answer =
            store_wait(store_range(store, &range, NULL, NULL), &problem);
        if (!answer && problem->code == STORE_ERROR_TOO_LARGE && limit > PAGE_FIRST) {
            limit = PAGE_FIRST;
            continue;
        }
        if (!answer) {
            g_propagate_prefixed_error(error, g_steal_pointer(&problem), "read the store: ");
            return false;
        }
        if (walk.totals.revision == 0)
            walk.totals.revision = answer->revision;
        const StoreResult *page = store_answer_result(answer, 0);
        more = page->more;
        if (!visit_page(&walk, page, &from, &limit, error))
            return false;
    }
    digest_finish(digest, walk.totals.digest);
    *ret_totals = walk.totals;
    return true;
}

/* --- filling one */

typedef struct {
    Store *target, *source; /* source: NULL for a file */
    StoreTxn *txn;
    unsigned ops;
    size_t bytes;
    GHashTable *leases; /* int64_t -> itself: those that the target has too */
} Fill;

static bool flush(Fill *fill, GError **error) {
    if (fill->ops == 0)
        return true;
    g_autoptr(StoreAnswer) answer =
        store_wait(store_commit(fill->target, fill->txn, NULL, NULL), error);
    g_clear_pointer(&fill->txn, store_txn_unref);
    fill->txn = store_txn_new();
    fill->ops = 0;
    fill->bytes = 0;
    return answer || (g_prefix_error(error, "fill the store: "), false);
}

/* A lease of the source, with its number and all of its time, so that its owner keeps it as if
 * nothing had been. False: it cannot be had; its owner says again what it held. */
static bool take_lease(Fill *fill, int64_t lease) {
    if (g_hash_table_contains(fill->leases, &lease))
        return true;
    if (!fill->source || strcmp(store_kind(fill->target), "etcd") != 0)
        return false;
    g_autoptr(StoreAnswer) kept =
        store_wait(store_lease_keep(fill->source, lease, NULL, NULL), NULL);
    if (!kept)
        return false;
    g_autoptr(GError) problem = NULL;
    g_autofree char *body = g_strdup_printf(
        "{\"ID\":\"%" G_GINT64_FORMAT "\",\"TTL\":\"%" G_GINT64_FORMAT "\"}", lease, kept->ttl);
    g_autoptr(Value) granted =
        etcd_ask_wait(fill->target, NULL, "lease/grant", body, CLUSTER_CHANGE_US, &problem);
    /* One that a run before us granted is as good. */
    if (!granted && (!problem || !strstr(problem->message, "lease already exists")))
        return false;
    g_hash_table_add(fill->leases, g_memdup2(&lease, sizeof lease));
    return true;
}

/* By itself: its lease may end meanwhile, which is no failure. */
static bool put_leased(Fill *fill, GBytes *key, GBytes *value, int64_t lease, GError **error) {
    g_autoptr(GError) problem = NULL;
    if (!take_lease(fill, lease))
        return true;
    g_autoptr(StoreAnswer) answer =
        store_wait(store_put(fill->target, key, value, lease, NULL, NULL), &problem);
    if (answer || g_error_matches(problem, STORE_ERROR, STORE_ERROR_LEASE_GONE))
        return true;
    g_propagate_prefixed_error(error, g_steal_pointer(&problem), "fill the store: ");
    return false;
}

static bool put_entry(void *data, GBytes *key, GBytes *value, int64_t lease, GError **error) {
    Fill *fill = data;
    size_t size = g_bytes_get_size(key) + g_bytes_get_size(value);
    if (lease)
        return put_leased(fill, key, value, lease, error);
    if ((fill->ops == BATCH_OPS || fill->bytes + size > BATCH_SIZE) && !flush(fill, error))
        return false;
    store_txn_put(fill->txn, STORE_THEN, key, value, 0);
    fill->ops++;
    fill->bytes += size;
    return true;
}

static bool refuse_content(void *data, GBytes *key, GBytes *value, int64_t lease, GError **error) {
    if (lease)
        return true;
    gsize size;
    const char *text = g_bytes_get_data(key, &size);
    g_autoptr(Value) shown = value_new_bytes(text, size);
    g_autofree char *name = value_show(shown, 60);
    g_set_error(
        error, STEAD_ERROR, STEAD_ERROR_REFUSED,
        "fill the store: it is not empty, it has the key %s; a copy goes only into an empty "
        "one",
        name);
    return false;
}

/* Our mark says of what it is being filled: it is that or nothing. */
static bool begin(Store *target, const DumpTotals *totals, GError **error) {
    g_autoptr(GBytes) key = layout_bytes(CLUSTER_FILL);
    g_autoptr(StoreAnswer) answer = store_wait(store_get(target, key, NULL, NULL), error);
    DumpTotals there;
    if (!answer)
        return false;
    g_autoptr(Value) mark = cluster_entry_value(store_answer_entry(answer));
    if (mark && strcmp(value_map_string(mark, "digest", ""), totals->digest) == 0)
        return true;
    if (mark) {
        g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                            "fill the store: it has a part of another copy; finish that one, or "
                            "begin with an empty store");
        return false;
    }
    if (!dump_visit_store(target, refuse_content, NULL, &there, error))
        return false;
    g_autoptr(Value) map = value_new_map();
    value_map_set(map, "digest", value_new_string(totals->digest));
    g_autoptr(GBytes) value = cluster_bytes(map);
    g_autoptr(StoreTxn) txn = store_txn_new();
    store_txn_compare(txn, key, STORE_VERSION, STORE_EQUAL, 0);
    store_txn_put(txn, STORE_THEN, key, value, 0);
    g_autoptr(StoreAnswer) put = store_wait(store_commit(target, txn, NULL, NULL), error);
    if (put && !put->succeeded)
        g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                            "fill the store: somebody else has just begun to");
    return put && put->succeeded;
}

static bool verify(Store *target, const DumpTotals *totals, GError **error) {
    DumpTotals found;
    if (!dump_visit_store(target, NULL, NULL, &found, error))
        return false;
    if (found.keys == totals->keys && strcmp(found.digest, totals->digest) == 0)
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED,
                "compare the store with what was written: it has %" G_GUINT64_FORMAT
                " keys instead of %" G_GUINT64_FORMAT
                ", or others: somebody writes to it; stop that and begin with an empty store",
                found.keys, totals->keys);
    return false;
}

typedef bool (*VisitAll)(const void *from, DumpVisit visit, void *data, DumpTotals *ret_totals,
                         GError **error);

static bool fill_from(Store *target, Store *source, VisitAll visit_all, const void *from,
                      DumpTotals *ret_totals, GError **error) {
    DumpTotals totals, again;
    if (!visit_all(from, NULL, NULL, &totals, error) || !begin(target, &totals, error))
        return false;
    Fill fill = { .target = target, .source = source, .txn = store_txn_new() };
    fill.leases = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    bool filled = visit_all(from, put_entry, &fill, &again, error) && flush(&fill, error);
    store_txn_unref(fill.txn);
    g_hash_table_unref(fill.leases);
    if (!filled || !verify(target, &totals, error))
        return false;
    *ret_totals = totals;
    return true;
}

static bool visit_store(const void *from, DumpVisit visit, void *data, DumpTotals *ret_totals,
                        GError **error) {
    return dump_visit_store((Store *)(uintptr_t)from, visit, data, ret_totals, error);
}

bool dump_fill_from_store(Store *target, Store *source, DumpTotals *ret_totals, GError **error) {
    return fill_from(target, source, visit_store, source, ret_totals, error);
}

static bool visit_file(const void *from, DumpVisit visit, void *data, DumpTotals *ret_totals,
                       GError **error) {
    return dump_visit_file(from, visit, data, ret_totals, error);
}

bool dump_fill_from_file(Store *target, const char *path, DumpTotals *ret_totals, GError **error) {
    return fill_from(target, NULL, visit_file, path, ret_totals, error);
}

bool dump_finish(Store *target, GError **error) {
    g_autoptr(GBytes) key = layout_bytes(CLUSTER_FILL);
    g_autoptr(StoreAnswer) answer = store_wait(store_delete(target, key, false, NULL, NULL), error);
    return answer != NULL;
}

bool dump_check_whole(Store *store, GError **error) {
    g_autoptr(GBytes) key = layout_bytes(CLUSTER_FILL);
    g_autoptr(StoreAnswer) answer = store_wait(store_get(store, key, NULL, NULL), error);
    if (!answer)
        return false;
    if (!store_answer_entry(answer))
        return true;
    g_set_error_literal(
        error, STEAD_ERROR, STEAD_ERROR_REFUSED,
        "use the store: it has only a part of what is copied into it; run the 'stead "
        "hub migrate' or 'stead cluster restore' again that was not finished");
    return false;
}
