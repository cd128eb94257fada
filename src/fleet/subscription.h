#pragma once
/* What is known of one part of the store: as it is there, as the snapshot has it, and what was lost
 * from it. */
#include "base/value.h"
#include "fleet/mirror.h"

typedef struct Subscription Subscription;

typedef struct {
    void (*changed)(void *data);
    void (*failed)(void *data, const GError *error);
    void *data;
} SubscriptionListener;

/* known: what subscription_save() gave, or NULL. */
Subscription *subscription_new(Loop *loop, Store *state, const char *prefix, const Value *known,
                               uint64_t patience_us, const SubscriptionListener *listener);
/* Of one key, whose value is taken as a whole; what it is called in here is "". */
Subscription *subscription_new_key(Loop *loop, Store *state, const char *key, const Value *known,
                                   uint64_t patience_us, const SubscriptionListener *listener);
void subscription_free(Subscription *subscription); /* accepts NULL */

/* The store, or else a snapshot, has said what there is, or that was waited for long enough. */
bool subscription_is_ready(const Subscription *subscription);
/* The store or a snapshot has said what there is; waiting in vain does not count. */
bool subscription_is_known(const Subscription *subscription);
bool subscription_is_stale(const Subscription *subscription); /* only the snapshot has said so */

/* In byte order of the keys, without what all of them begin with. */
typedef void (*SubscriptionVisit)(void *data, const char *key, const Value *value, bool missing);
void subscription_visit(const Subscription *subscription, SubscriptionVisit visit, void *data);
/* The same of what was saved. */
void subscription_visit_saved(const Value *saved, SubscriptionVisit visit, void *data);

Value *subscription_save(const Subscription *subscription);
