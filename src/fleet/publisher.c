#include "fleet/publisher.h"

#include <stdlib.h>
#include <string.h>

#include "fleet/layout.h"

#define GONE         "{\"gone\":true}"
#define RETRY_MIN_US (G_USEC_PER_SEC / 4)
#define RETRY_MAX_US (10 * (uint64_t)G_USEC_PER_SEC)
#define BATCH_OPS    100u
#define BATCH_BYTES  (900u * 1024) /* well below STORE_LIMIT_TXN_BYTES with the largest value */

typedef enum {
    ITEM_ABSENT,  /* as far as we know */
    ITEM_THERE,   /* with value, under lease */
    ITEM_MARKED,  /* as gone */
    ITEM_UNKNOWN, /* a write had no answer */
} ItemState;

typedef struct {
    ItemState state;
    GBytes *wanted; /* NULL: to be withdrawn */
    GBytes *value;  /* that is there, or is being written */
    int64_t lease;
    bool sent; /* by the transaction that is under way */
} Item;

struct Publisher {
    Loop *loop;
    Store *state;
    Tenure *tenure;
    PublisherListener listener;
    GHashTable *items; /* char * -> Item */
    StoreCall *call;
    int64_t call_lease;
    LoopTimer *retry;
    uint64_t delay;
    bool idle; /* settled was told */
};

static void item_free(void *data) {
    Item *item = data;
    g_clear_pointer(&item->wanted, g_bytes_unref);
    g_clear_pointer(&item->value, g_bytes_unref);
    g_free(item);
}

GBytes *publisher_gone(void) {
    return layout_bytes(GONE);
}

bool publisher_is_gone(GBytes *value) {
    gsize size;
    const void *data = g_bytes_get_data(value, &size);
    return size == strlen(GONE) && memcmp(data, GONE, size) == 0;
}

static void work(void *data);

static bool is_right(const Item *item, int64_t lease) {
    if (!item->wanted)
        return item->state == ITEM_ABSENT;
    return item->state == ITEM_THERE && item->lease == lease &&
           g_bytes_equal(item->wanted, item->value);
}

static int compare_keys(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Adds what item needs next; returns the bytes of it. */
static size_t add_operation(StoreTxn *txn, const char *key, Item *item, int64_t lease) {
    g_autoptr(GBytes) name = layout_bytes(key);
    g_clear_pointer(&item->value, g_bytes_unref);
    item->sent = true;
    item->lease = lease;
    if (!item->wanted && item->state == ITEM_MARKED) {
        store_txn_delete(txn, STORE_THEN, name, false);
        return strlen(key);
    }
    item->value = item->wanted ? g_bytes_ref(item->wanted) : publisher_gone();
    store_txn_put(txn, STORE_THEN, name, item->value, lease);
    return strlen(key) + g_bytes_get_size(item->value);
}

static StoreTxn *next_transaction(Publisher *publisher, int64_t lease) {
    unsigned count, n = 0;
    size_t bytes = 0;
    g_autofree void **keys = g_hash_table_get_keys_as_array(publisher->items, &count);
    qsort(keys, count, sizeof *keys, compare_keys);
    g_autoptr(StoreTxn) txn = store_txn_new();
    for (unsigned i = 0; i < count && n < BATCH_OPS && bytes < BATCH_BYTES; i++) {
        Item *item = g_hash_table_lookup(publisher->items, keys[i]);
        if (is_right(item, lease))
            continue;
        bytes += add_operation(txn, keys[i], item, lease);
        n++;
    }
    return n > 0 ? g_steal_pointer(&txn) : NULL;
}

/* What was sent has its new state. */
static void finish(Publisher *publisher, const GError *error) {
    bool unknown = error && !g_error_matches(error, STORE_ERROR, STORE_ERROR_UNAVAILABLE);
    GHashTableIter iter;
    void *data;
    g_hash_table_iter_init(&iter, publisher->items);
    while (g_hash_table_iter_next(&iter, NULL, &data)) {
        Item *item = data;
        if (!item->sent)
            continue;
        item->sent = false;
        if (error)
            item->state = unknown || item->state != ITEM_ABSENT ? ITEM_UNKNOWN : ITEM_ABSENT;
        else if (!item->value)
            item->state = ITEM_ABSENT;
        else
            item->state = publisher_is_gone(item->value) ? ITEM_MARKED : ITEM_THERE;
        if (item->state == ITEM_ABSENT && !item->wanted)
            g_hash_table_iter_remove(&iter);
    }
}

static void on_done(void *data, StoreAnswer *answer, const GError *error) {
    Publisher *publisher = data;
    publisher->call = NULL;
    finish(publisher, error);
    if (!error) {
        publisher->delay = 0;
        work(publisher);
        return;
    }
    publisher->delay = CLAMP(publisher->delay * 2, RETRY_MIN_US, RETRY_MAX_US);
    loop_timer_set(publisher->loop, &publisher->retry, loop_now(publisher->loop) + publisher->delay,
                   work, publisher);
    if (g_error_matches(error, STORE_ERROR, STORE_ERROR_LEASE_GONE))
        tenure_lost(publisher->tenure, publisher->call_lease);
    else
        publisher->listener.failed(publisher->listener.data, error);
}

static void work(void *data) {
    Publisher *publisher = data;
    int64_t lease = tenure_lease(publisher->tenure);
    if (publisher->call || lease == 0)
        return;
    g_autoptr(StoreTxn) txn = next_transaction(publisher, lease);
    if (!txn) {
        bool told = publisher->idle;
        publisher->idle = true;
        if (!told)
            publisher->listener.settled(publisher->listener.data);
        return;
    }
    publisher->call_lease = lease;
    publisher->call = store_commit(publisher->state, txn, on_done, publisher);
}

Publisher *publisher_new(Loop *loop, Store *state, Tenure *tenure,
                         const PublisherListener *listener) {
    Publisher *publisher = g_new0(Publisher, 1);
    publisher->loop = loop;
    publisher->state = state;
    publisher->tenure = tenure;
    publisher->listener = *listener;
    publisher->items = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, item_free);
    return publisher;
}

void publisher_free(Publisher *publisher) {
    if (!publisher)
        return;
    if (publisher->call)
        store_call_cancel(publisher->call);
    loop_timer_clear(&publisher->retry);
    g_hash_table_unref(publisher->items);
    g_free(publisher);
}

static Item *item_of(Publisher *publisher, const char *key) {
    Item *item = g_hash_table_lookup(publisher->items, key);
    if (!item) {
        item = g_new0(Item, 1);
        g_hash_table_insert(publisher->items, g_strdup(key), item);
    }
    return item;
}

void publisher_set(Publisher *publisher, GHashTable *wanted) {
    GHashTableIter iter;
    void *key, *value;
    g_hash_table_iter_init(&iter, publisher->items);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        Item *item = value;
        g_clear_pointer(&item->wanted, g_bytes_unref);
        if (item->state == ITEM_ABSENT && !item->sent && !g_hash_table_contains(wanted, key))
            g_hash_table_iter_remove(&iter);
    }
    g_hash_table_iter_init(&iter, wanted);
    while (g_hash_table_iter_next(&iter, &key, &value))
        item_of(publisher, key)->wanted = g_bytes_ref(value);
    publisher->idle = false;
    work(publisher);
}

void publisher_lease_changed(Publisher *publisher) {
    publisher->idle = false;
    work(publisher);
}

bool publisher_is_settled(const Publisher *publisher) {
    GHashTableIter iter;
    void *item;
    int64_t lease = tenure_lease(publisher->tenure);
    g_hash_table_iter_init(&iter, publisher->items);
    while (g_hash_table_iter_next(&iter, NULL, &item))
        if (!is_right(item, lease))
            return false;
    return true;
}

unsigned publisher_count(const Publisher *publisher) {
    GHashTableIter iter;
    void *item;
    unsigned count = 0;
    g_hash_table_iter_init(&iter, publisher->items);
    while (g_hash_table_iter_next(&iter, NULL, &item))
        count += ((Item *)item)->state == ITEM_THERE &&
                 ((Item *)item)->lease == tenure_lease(publisher->tenure);
    return count;
}
