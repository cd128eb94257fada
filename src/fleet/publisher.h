#pragma once
/*
 * What a host has in the store under its lease: a set of keys that is brought to what is wanted, a
 * transaction at a time. What is withdrawn is first marked as gone and then deleted, so that those
 * who watch can tell it from what was lost with its host.
 */
#include "fleet/tenure.h"

typedef struct Publisher Publisher;

typedef struct {
    void (*settled)(void *data); /* all that is wanted is in the store, and nothing else of ours */
    void (*failed)(void *data, const GError *error); /* tried again */
    void *data;
} PublisherListener;

Publisher *publisher_new(Loop *loop, Store *state, Tenure *tenure,
                         const PublisherListener *listener);
void publisher_free(Publisher *publisher); /* accepts NULL */

/* wanted: keys of the store (char *) to values (GBytes *); all others are withdrawn. */
void publisher_set(Publisher *publisher, GHashTable *wanted);
void publisher_lease_changed(Publisher *publisher);
bool publisher_is_settled(const Publisher *publisher);
unsigned
publisher_count(const Publisher *publisher); /* keys that are in the store, by what is known */

/* The value that marks a key as withdrawn. */
GBytes *publisher_gone(void);
bool publisher_is_gone(GBytes *value);
