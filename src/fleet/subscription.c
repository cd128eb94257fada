#include "fleet/subscription.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "fleet/exchange.h"
#include "fleet/publisher.h"

typedef struct {
    Value *value;
    int64_t missing_since; /* us since the epoch; 0: it is there */
    bool marked;           /* withdrawn: will be deleted next */
} Item;

struct Subscription {
    Loop *loop;
    char *prefix;
    bool one; /* prefix is a key */
    SubscriptionListener listener;
    GHashTable *items; /* char *, without prefix -> Item */
    Mirror *mirror;
    LoopTimer *patience;
    bool has_snapshot, failed, gave_up;
};

static void item_free(void *data) {
    Item *item = data;
    value_unref(item->value);
    g_free(item);
}

static Item *item_of(Subscription *subscription, const char *key) {
    Item *item = g_hash_table_lookup(subscription->items, key);
    if (!item) {
        item = g_new0(Item, 1);
        g_hash_table_insert(subscription->items, g_strdup(key), item);
    }
    return item;
}

/* NULL: somebody else's bytes. */
static Value *parse(const Subscription *subscription, GBytes *bytes) {
    gsize size;
    const char *text = g_bytes_get_data(bytes, &size);
    if (size > EXCHANGE_LIMIT_VALUE + 1024)
        return NULL;
    g_autoptr(Value) whole = json_parse(text, size, "value", NULL);
    if (value_type(whole) != VALUE_MAP)
        return NULL;
    return subscription->one ? g_steal_pointer(&whole) : value_ref(value_map_get(whole, "value"));
}

static void lose(Subscription *subscription, const char *key) {
    Item *item = g_hash_table_lookup(subscription->items, key);
    if (!item)
        return;
    if (item->marked || !item->value)
        g_hash_table_remove(subscription->items, key);
    else if (item->missing_since == 0)
        item->missing_since = (int64_t)loop_wall_now(subscription->loop);
}

static void on_entry(void *data, const char *full, const StoreEntry *before,
                     const StoreEntry *after) {
    Subscription *subscription = data;
    const char *key = full + strlen(subscription->prefix);
    if (!after) {
        lose(subscription, key);
        return;
    }
    bool marked = publisher_is_gone(after->value);
    g_autoptr(Value) value = marked ? NULL : parse(subscription, after->value);
    if (!marked && !value) {
        lose(subscription, key);
        return;
    }
    Item *item = item_of(subscription, key);
    item->marked = marked;
    item->missing_since = 0;
    value_unref(item->value);
    item->value = g_steal_pointer(&value);
}

/* What the snapshot has and the store, read for the first time, does not. */
static void lose_unseen(Subscription *subscription) {
    unsigned count;
    g_autofree void **keys = g_hash_table_get_keys_as_array(subscription->items, &count);
    for (unsigned i = 0; i < count; i++) {
        g_autofree char *full = g_strconcat(subscription->prefix, keys[i], NULL);
        if (!mirror_get(subscription->mirror, full))
            lose(subscription, keys[i]);
    }
}

/* What is missing for long is not expected back, unless that is most of what there was. */
static void forget(Subscription *subscription) {
    int64_t now = (int64_t)loop_wall_now(subscription->loop);
    unsigned there = 0, old = 0;
    GHashTableIter iter;
    void *data;
    g_hash_table_iter_init(&iter, subscription->items);
    while (g_hash_table_iter_next(&iter, NULL, &data)) {
        const Item *item = data;
        there += item->missing_since == 0;
        old += item->missing_since > 0 && now - item->missing_since > EXCHANGE_MISSING_US;
    }
    if (old > there)
        return;
    g_hash_table_iter_init(&iter, subscription->items);
    while (g_hash_table_iter_next(&iter, NULL, &data)) {
        const Item *item = data;
        if (item->missing_since > 0 && now - item->missing_since > EXCHANGE_MISSING_US)
            g_hash_table_iter_remove(&iter);
    }
}

static void on_changed(void *data) {
    Subscription *subscription = data;
    if (subscription->has_snapshot)
        lose_unseen(subscription);
    forget(subscription);
    subscription->has_snapshot = false;
    loop_timer_clear(&subscription->patience);
    subscription->listener.changed(subscription->listener.data);
}

static void on_failed(void *data, const GError *error) {
    Subscription *subscription = data;
    bool was_ready = subscription_is_ready(subscription);
    subscription->failed = true;
    subscription->listener.failed(subscription->listener.data, error);
    if (!was_ready && subscription_is_ready(subscription))
        subscription->listener.changed(subscription->listener.data);
}

static void on_patience(void *data) {
    Subscription *subscription = data;
    subscription->gave_up = true;
    subscription->listener.changed(subscription->listener.data);
}

static void load(Subscription *subscription, const Value *known) {
    for (size_t i = 0; i < value_size(known); i++) {
        const char *key;
        const Value *saved = value_map_at(known, i, &key);
        if (value_type(saved) != VALUE_MAP || !value_map_get(saved, "value"))
            continue;
        Item *item = item_of(subscription, key);
        value_unref(item->value);
        item->value = value_ref(value_map_get(saved, "value"));
        item->missing_since = value_map_int(saved, "missing", 0);
    }
    subscription->has_snapshot = true;
}

static Subscription *make(Loop *loop, Store *state, const char *prefix, bool one,
                          const Value *known, uint64_t patience_us,
                          const SubscriptionListener *listener) {
    Subscription *subscription = g_new0(Subscription, 1);
    subscription->loop = loop;
    subscription->one = one;
    subscription->prefix = g_strdup(prefix);
    subscription->listener = *listener;
    subscription->items = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, item_free);
    if (value_type(known) == VALUE_MAP)
        load(subscription, known);
    MirrorListener of_mirror = {
        .entry = on_entry, .changed = on_changed, .failed = on_failed, .data = subscription
    };
    subscription->mirror = one ? mirror_new_key(loop, state, prefix, &of_mirror)
                               : mirror_new(loop, state, prefix, &of_mirror);
    loop_timer_set(loop, &subscription->patience, loop_now(loop) + patience_us, on_patience,
                   subscription);
    return subscription;
}

Subscription *subscription_new(Loop *loop, Store *state, const char *prefix, const Value *known,
                               uint64_t patience_us, const SubscriptionListener *listener) {
    return make(loop, state, prefix, false, known, patience_us, listener);
}

Subscription *subscription_new_key(Loop *loop, Store *state, const char *key, const Value *known,
                                   uint64_t patience_us, const SubscriptionListener *listener) {
    return make(loop, state, key, true, known, patience_us, listener);
}

void subscription_free(Subscription *subscription) {
    if (!subscription)
        return;
    mirror_free(subscription->mirror);
    loop_timer_clear(&subscription->patience);
    g_hash_table_unref(subscription->items);
    g_free(subscription->prefix);
    g_free(subscription);
}

bool subscription_is_stale(const Subscription *subscription) {
    return !mirror_is_loaded(subscription->mirror);
}

bool subscription_is_known(const Subscription *subscription) {
    return mirror_is_loaded(subscription->mirror) || subscription->has_snapshot;
}

bool subscription_is_ready(const Subscription *subscription) {
    return mirror_is_loaded(subscription->mirror) || subscription->gave_up ||
           (subscription->failed && subscription->has_snapshot);
}

/* --- what is known */

static int compare_keys(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

typedef void (*ItemVisit)(void *data, const char *key, const Item *item);

static void each_item(const Subscription *subscription, ItemVisit visit, void *data) {
    unsigned count;
    g_autofree void **keys = g_hash_table_get_keys_as_array(subscription->items, &count);
    qsort(keys, count, sizeof *keys, compare_keys);
    for (unsigned i = 0; i < count; i++) {
        const Item *item = g_hash_table_lookup(subscription->items, keys[i]);
        if (item->value)
            visit(data, keys[i], item);
    }
}

typedef struct {
    SubscriptionVisit visit;
    void *data;
} Visit;

static void visit_item(void *data, const char *key, const Item *item) {
    const Visit *visit = data;
    visit->visit(visit->data, key, item->value, item->missing_since > 0);
}

void subscription_visit(const Subscription *subscription, SubscriptionVisit visit, void *data) {
    Visit both = { visit, data };
    each_item(subscription, visit_item, &both);
}

void subscription_visit_saved(const Value *saved, SubscriptionVisit visit, void *data) {
    for (size_t i = 0; value_type(saved) == VALUE_MAP && i < value_size(saved); i++) {
        const char *key;
        const Value *item = value_map_at(saved, i, &key);
        const Value *value = value_type(item) == VALUE_MAP ? value_map_get(item, "value") : NULL;
        if (value)
            visit(data, key, value, value_map_int(item, "missing", 0) > 0);
    }
}

static void save_item(void *data, const char *key, const Item *item) {
    Value *map = value_new_map();
    value_map_set(map, "value", value_ref(item->value));
    if (item->missing_since > 0)
        value_map_set(map, "missing", value_new_int(item->missing_since));
    value_map_set(data, key, map);
}

Value *subscription_save(const Subscription *subscription) {
    Value *saved = value_new_map();
    each_item(subscription, save_item, saved);
    return saved;
}
