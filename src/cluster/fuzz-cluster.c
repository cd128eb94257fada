/*
 * Any bytes, the first one says as what: a snapshot, which is taken as a whole or refused; or JSON
 * that a member answers, its list, its health, and an entry of a host.
 */
#include <stdint.h>
#include <stdio.h>

#include "base/json.h"
#include "cluster/cluster.h"
#include "cluster/dump-private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool count(void *data, GBytes *key, GBytes *value, int64_t lease, GError **error) {
    uint64_t *keys = data;
    g_assert_cmpuint(g_bytes_get_size(key), >, 0);
    g_assert_cmpuint(g_bytes_get_size(value), <=, STORE_LIMIT_VALUE);
    (*keys)++;
    return true;
}

static void as_snapshot(const uint8_t *data, size_t size) {
    g_autoptr(GError) error = NULL;
    DumpTotals totals;
    uint64_t keys = 0;
    FILE *file = size > 0 ? fmemopen((void *)(uintptr_t)data, size, "r") : NULL;
    if (!file)
        return;
    if (dump_visit_stream(file, "fuzz", count, &keys, &totals, &error))
        g_assert_cmpuint(totals.keys, ==, keys);
    else
        g_assert_nonnull(error);
    (void)fclose(file);
}

static void as_answer(const uint8_t *data, size_t size) {
    g_autoptr(Value) value = json_parse((const char *)data, size, "fuzz", NULL);
    if (value_type(value) != VALUE_MAP)
        return;
    Health health;
    g_autoptr(GPtrArray) list = cluster_list_read(value);
    for (unsigned i = 0; i < list->len; i++) {
        const Listed *listed = g_ptr_array_index(list, i);
        g_assert_true(listed->id && listed->name && listed->peer);
        g_assert_nonnull(cluster_list_find(list, listed->peer));
    }
    cluster_health_read(value, "1", &health);
    g_assert_nonnull(health.version);
    health_clear(&health);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    if (data[0] == 's')
        as_snapshot(data + 1, size - 1);
    else
        as_answer(data + 1, size - 1);
    return 0;
}
