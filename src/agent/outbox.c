#include "agent/outbox.h"

#include "fleet/layout.h"

#define RETRY_MIN_US (G_USEC_PER_SEC / 4)
#define RETRY_MAX_US (10 * (uint64_t)G_USEC_PER_SEC)
#define BATCH_OPS    64u
#define BATCH_BYTES  (900u * 1024) /* well below STORE_LIMIT_TXN_BYTES with the largest value */

typedef struct {
    char *key;
    GBytes *value; /* NULL: deleted */
    bool sent;     /* by the transaction that is under way, and not changed since */
    bool tried;    /* by any: it may be in the store */
} Item;

struct Outbox {
    Loop *loop;
    Store *store;
    void (*refused)(void *data, const GError *error);
    void *data;
    GQueue items;      /* of Item, the oldest first */
    GHashTable *links; /* key -> GList of items */
    StoreCall *call;
    LoopTimer *retry;
    uint64_t delay; /* us until the next try; 0: nothing has failed */
};

static void send(void *data);

static void drop(Outbox *outbox, GList *link) {
    Item *item = link->data;
    g_hash_table_remove(outbox->links, item->key);
    g_queue_delete_link(&outbox->items, link);
    g_clear_pointer(&item->value, g_bytes_unref);
    g_free(item->key);
    g_free(item);
}

/* done: what was sent is there; otherwise it is sent again. */
static void settle(Outbox *outbox, bool done) {
    for (GList *link = outbox->items.head, *next; link; link = next) {
        Item *item = link->data;
        next = link->next;
        if (item->sent && done)
            drop(outbox, link);
        else
            item->sent = false;
    }
}

static bool is_passing(const GError *error) {
    return g_error_matches(error, STORE_ERROR, STORE_ERROR_UNAVAILABLE) ||
           g_error_matches(error, STORE_ERROR, STORE_ERROR_UNKNOWN_OUTCOME) ||
           g_error_matches(error, STORE_ERROR, STORE_ERROR_NO_SPACE) ||
           g_error_matches(error, STORE_ERROR, STORE_ERROR_FAILED);
}

static void on_sent(void *data, StoreAnswer *answer, const GError *error) {
    Outbox *outbox = data;
    outbox->call = NULL;
    bool again = error && is_passing(error);
    if (error && !again && outbox->refused)
        outbox->refused(outbox->data, error);
    settle(outbox, !again);
    outbox->delay = again ? CLAMP(outbox->delay * 2, RETRY_MIN_US, RETRY_MAX_US) : 0;
    if (again)
        loop_timer_set(outbox->loop, &outbox->retry, loop_now(outbox->loop) + outbox->delay, send,
                       outbox);
    else
        send(outbox);
}

static void send(void *data) {
    Outbox *outbox = data;
    if (outbox->call || outbox->retry || outbox->items.length == 0)
        return;
    g_autoptr(StoreTxn) txn = store_txn_new();
    unsigned count = 0;
    size_t bytes = 0;
    for (GList *link = outbox->items.head; link && count < BATCH_OPS; link = link->next) {
        Item *item = link->data;
        bytes += item->value ? g_bytes_get_size(item->value) : 0;
        if (count > 0 && bytes > BATCH_BYTES)
            break;
        g_autoptr(GBytes) key = layout_bytes(item->key);
        if (item->value)
            store_txn_put(txn, STORE_THEN, key, item->value, 0);
        else
            store_txn_delete(txn, STORE_THEN, key, false);
        item->sent = item->tried = true;
        count++;
    }
    outbox->call = store_commit(outbox->store, txn, on_sent, outbox);
}

void outbox_put(Outbox *outbox, const char *key, GBytes *value) {
    GList *link = g_hash_table_lookup(outbox->links, key);
    if (!link) {
        Item *item = g_new0(Item, 1);
        item->key = g_strdup(key);
        g_queue_push_tail(&outbox->items, item);
        link = outbox->items.tail;
        g_hash_table_insert(outbox->links, item->key, link);
    }
    Item *item = link->data;
    g_clear_pointer(&item->value, g_bytes_unref);
    item->value = value ? g_bytes_ref(value) : NULL;
    item->sent = false;
    if (outbox->items.length > OUTBOX_MAX)
        drop(outbox, outbox->items.head);
    send(outbox);
}

bool outbox_take_back(Outbox *outbox, const char *key) {
    GList *link = g_hash_table_lookup(outbox->links, key);
    const Item *item = link ? link->data : NULL;
    if (!item || item->tried)
        return false;
    drop(outbox, link);
    return true;
}

Outbox *outbox_new(Loop *loop, Store *store, void (*refused)(void *data, const GError *error),
                   void *data) {
    Outbox *outbox = g_new0(Outbox, 1);
    outbox->loop = loop;
    outbox->store = store;
    outbox->refused = refused;
    outbox->data = data;
    g_queue_init(&outbox->items);
    outbox->links = g_hash_table_new(g_str_hash, g_str_equal);
    return outbox;
}

void outbox_free(Outbox *outbox) {
    if (!outbox)
        return;
    g_clear_pointer(&outbox->call, store_call_cancel);
    loop_timer_clear(&outbox->retry);
    while (outbox->items.head)
        drop(outbox, outbox->items.head);
    g_hash_table_unref(outbox->links);
    g_free(outbox);
}
