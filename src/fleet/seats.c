#include "fleet/seats.h"

#include <stdlib.h>
#include <string.h>

#include "base/exchange-key.h"
#include "fleet/layout.h"
#include "fleet/mirror.h"

#define RETRY_US G_USEC_PER_SEC

struct Seats {
    Loop *loop;
    Store *state;
    char *host, *name;
    SeatsOptions options;
    SeatsListener listener;
    char *pool_prefix;
    GBytes *me;
    Tenure *tenure;
    Mirror *mirror;
    StoreCall *call;
    int64_t call_lease;
    int64_t written; /* revision of our last write: the mirror has to show it */
    int64_t seen;    /* revision of the mirror when the call was made */
    bool waiting;    /* for a change of others: there is nothing to do */
    bool leaving;
    LoopTimer *retry;
    Value *told; /* holders as told last */
};

static void consider(void *data);

/* --- what the store says */

static const StoreEntry *place_in_pool(const Seats *seats) {
    g_autofree char *key = layout_pool(seats->name, seats->host);
    return mirror_get(seats->mirror, key);
}

static const StoreEntry *seat_entry(const Seats *seats, unsigned number) {
    g_autofree char *key = layout_seat(seats->name, number);
    return mirror_get(seats->mirror, key);
}

static char *holder_of(const StoreEntry *entry) {
    char *host = layout_text(entry->value);
    if (host && exchange_host_check(host, NULL))
        return host;
    g_free(host);
    return NULL;
}

static bool is_mine(const Seats *seats, const StoreEntry *entry) {
    return entry && g_bytes_equal(entry->value, seats->me);
}

/* The first seat that is ours; EXCHANGE_LIMIT_SEATS: none. */
static unsigned my_seat(const Seats *seats) {
    unsigned i = 0;
    while (i < EXCHANGE_LIMIT_SEATS && !is_mine(seats, seat_entry(seats, i)))
        i++;
    return i;
}

static bool takes_part(const Seats *seats) {
    return !seats->leaving && !seats->options.withdraw;
}

static bool has_seat(const Seats *seats, const char *host) {
    for (unsigned i = 0; i < seats->options.max; i++) {
        const StoreEntry *entry = seat_entry(seats, i);
        g_autofree char *holder = entry ? holder_of(entry) : NULL;
        if (holder && strcmp(holder, host) == 0)
            return true;
    }
    return false;
}

static unsigned free_seats(const Seats *seats) {
    unsigned count = 0;
    for (unsigned i = 0; i < seats->options.max; i++)
        count += seat_entry(seats, i) == NULL;
    return count;
}

/* How many of the pool come before us: by name of all, or by time of those who wait. */
static unsigned hosts_before(const Seats *seats) {
    bool by_name = seats->options.strategy == SEATS_ALPHABETICAL;
    const StoreEntry *mine = place_in_pool(seats);
    g_auto(GStrv) keys = mirror_keys(seats->mirror);
    unsigned count = 0;
    for (unsigned i = 0; keys[i]; i++) {
        if (!g_str_has_prefix(keys[i], seats->pool_prefix))
            continue;
        const char *host = keys[i] + strlen(seats->pool_prefix);
        const StoreEntry *entry = mirror_get(seats->mirror, keys[i]);
        if (by_name)
            count += strcmp(host, seats->host) < 0;
        else
            count +=
                mine && entry->create_revision < mine->create_revision && !has_seat(seats, host);
    }
    return count;
}

/* --- writing, one transaction at a time */

static void on_retry(void *data) {
    consider(data);
}

static void on_written(void *data, StoreAnswer *answer, const GError *error) {
    Seats *seats = data;
    seats->call = NULL;
    if (!error && (answer->succeeded || mirror_revision(seats->mirror) > seats->seen)) {
        seats->written = answer->succeeded ? answer->revision : seats->written;
        consider(seats);
        return;
    }
    loop_timer_set(seats->loop, &seats->retry, loop_now(seats->loop) + RETRY_US, on_retry, seats);
    if (g_error_matches(error, STORE_ERROR, STORE_ERROR_LEASE_GONE))
        tenure_lost(seats->tenure, seats->call_lease);
    else if (error)
        seats->listener.failed(seats->listener.data, error);
}

static void commit(Seats *seats, StoreTxn *txn) {
    seats->call_lease = tenure_lease(seats->tenure);
    seats->seen = mirror_revision(seats->mirror);
    seats->call = store_commit(seats->state, txn, on_written, seats);
}

static void put(Seats *seats, const char *key, const StoreEntry *present, int64_t lease) {
    g_autoptr(StoreTxn) txn = store_txn_new();
    g_autoptr(GBytes) name = layout_bytes(key);
    store_txn_compare(txn, name, STORE_MOD_REVISION, STORE_EQUAL,
                      present ? present->mod_revision : 0);
    store_txn_put(txn, STORE_THEN, name, seats->me, lease);
    commit(seats, txn);
}

static void remove_key(Seats *seats, const char *key, const StoreEntry *present) {
    g_autoptr(StoreTxn) txn = store_txn_new();
    g_autoptr(GBytes) name = layout_bytes(key);
    store_txn_compare(txn, name, STORE_MOD_REVISION, STORE_EQUAL, present->mod_revision);
    store_txn_delete(txn, STORE_THEN, name, false);
    commit(seats, txn);
}

/* Each of these starts a write and returns true, or has nothing to do. */

static bool keep_place(Seats *seats) {
    const StoreEntry *entry = place_in_pool(seats);
    int64_t lease = tenure_lease(seats->tenure);
    g_autofree char *key = layout_pool(seats->name, seats->host);
    if (takes_part(seats) ? entry && entry->lease == lease : !entry)
        return false;
    if (takes_part(seats))
        put(seats, key, entry, lease);
    else
        remove_key(seats, key, entry);
    return true;
}

static bool is_outranked(const Seats *seats) {
    return seats->options.strategy == SEATS_ALPHABETICAL &&
           hosts_before(seats) >= seats->options.max;
}

/* Seats that we must not have: beyond max, a second one, all when we leave. */
static bool give_up(Seats *seats) {
    unsigned first = my_seat(seats);
    bool keeps = takes_part(seats) && first < seats->options.max && !is_outranked(seats);
    for (unsigned i = first; i < EXCHANGE_LIMIT_SEATS; i++) {
        const StoreEntry *entry = seat_entry(seats, i);
        if (!is_mine(seats, entry) || (keeps && i == first))
            continue;
        g_autofree char *key = layout_seat(seats->name, i);
        remove_key(seats, key, entry);
        return true;
    }
    return false;
}

/* A seat that is left from an earlier process, or lost its lease, gets ours. */
static bool keep_seat(Seats *seats) {
    unsigned number = my_seat(seats);
    int64_t lease = seats->options.persist ? 0 : tenure_lease(seats->tenure);
    const StoreEntry *entry = number < seats->options.max ? seat_entry(seats, number) : NULL;
    if (!entry || entry->lease == lease)
        return false;
    g_autofree char *key = layout_seat(seats->name, number);
    put(seats, key, entry, lease);
    return true;
}

static bool is_our_turn(const Seats *seats) {
    unsigned limit =
        seats->options.strategy == SEATS_ALPHABETICAL ? seats->options.max : free_seats(seats);
    return hosts_before(seats) < limit;
}

static bool take_seat(Seats *seats) {
    if (!takes_part(seats) || my_seat(seats) < seats->options.max || !is_our_turn(seats))
        return false;
    for (unsigned i = 0; i < seats->options.max; i++) {
        if (seat_entry(seats, i))
            continue;
        g_autofree char *key = layout_seat(seats->name, i);
        put(seats, key, NULL, seats->options.persist ? 0 : tenure_lease(seats->tenure));
        return true;
    }
    return false;
}

/* What is under way will be told when it is done; that our own seat is in doubt cannot wait. */
static void tell(Seats *seats) {
    g_autoptr(Value) holders = seats_holders(seats);
    bool lost = seats->told && value_map_get(seats->told, seats->host) &&
                !value_map_get(holders, seats->host);
    if (!lost && !seats_is_settled(seats))
        return;
    if (seats->told && value_equal(seats->told, holders) && !seats->leaving)
        return;
    value_unref(seats->told);
    seats->told = value_ref(holders);
    seats->listener.changed(seats->listener.data);
}

static void consider(void *data) {
    Seats *seats = data;
    if (seats->call || !mirror_is_loaded(seats->mirror) ||
        mirror_revision(seats->mirror) < seats->written)
        return;
    seats->waiting = false;
    if (tenure_lease(seats->tenure) == 0 && takes_part(seats))
        return;
    seats->waiting =
        !keep_place(seats) && !give_up(seats) && !keep_seat(seats) && !take_seat(seats);
    tell(seats);
}

/* --- the rest */

static void on_lease(void *data) {
    Seats *seats = data;
    consider(seats);
    tell(seats);
}

static void on_failed(void *data, const GError *error) {
    Seats *seats = data;
    seats->listener.failed(seats->listener.data, error);
}

Seats *seats_new(Loop *loop, Store *state, const char *host, const char *name,
                 const SeatsOptions *options, const SeatsListener *listener) {
    g_assert(options->max >= 1 && options->max <= EXCHANGE_LIMIT_SEATS);
    Seats *seats = g_new0(Seats, 1);
    seats->loop = loop;
    seats->state = state;
    seats->host = g_strdup(host);
    seats->name = g_strdup(name);
    seats->options = *options;
    seats->listener = *listener;
    seats->me = layout_bytes(host);
    seats->pool_prefix = layout_pool(name, "");
    g_autofree char *prefix = g_strconcat(LAYOUT_SCHEDULE, name, "/", NULL);
    TenureListener of_tenure = { .changed = on_lease, .data = seats };
    seats->tenure = tenure_new(loop, state, options->ttl_s, &of_tenure);
    MirrorListener of_mirror = { .changed = consider, .failed = on_failed, .data = seats };
    seats->mirror = mirror_new(loop, state, prefix, &of_mirror);
    return seats;
}

static bool equal(const SeatsOptions *a, const SeatsOptions *b) {
    return a->max == b->max && a->ttl_s == b->ttl_s && a->strategy == b->strategy &&
           a->persist == b->persist && a->withdraw == b->withdraw;
}

void seats_set(Seats *seats, const SeatsOptions *options) {
    if (equal(&seats->options, options) && !seats->leaving)
        return;
    bool other_ttl = seats->options.ttl_s != options->ttl_s;
    seats->options = *options;
    seats->leaving = false;
    seats->waiting = false;
    if (other_ttl) {
        TenureListener of_tenure = { .changed = on_lease, .data = seats };
        tenure_free(seats->tenure);
        seats->tenure = tenure_new(seats->loop, seats->state, options->ttl_s, &of_tenure);
    }
    consider(seats);
}

void seats_leave(Seats *seats) {
    seats->leaving = true;
    seats->waiting = false;
    consider(seats);
}

void seats_free(Seats *seats) {
    if (!seats)
        return;
    if (seats->call)
        store_call_cancel(seats->call);
    loop_timer_clear(&seats->retry);
    mirror_free(seats->mirror);
    tenure_free(seats->tenure);
    g_clear_pointer(&seats->me, g_bytes_unref);
    value_unref(seats->told);
    g_free(seats->pool_prefix);
    g_free(seats->name);
    g_free(seats->host);
    g_free(seats);
}

bool seats_is_settled(const Seats *seats) {
    return seats->waiting && !seats->call;
}

bool seats_has(const Seats *seats) {
    unsigned number = my_seat(seats);
    const StoreEntry *entry = number < seats->options.max ? seat_entry(seats, number) : NULL;
    if (!entry || !takes_part(seats))
        return false;
    return entry->lease == 0 ||
           (entry->lease == tenure_lease(seats->tenure) && tenure_is_sure(seats->tenure));
}

Value *seats_holders(const Seats *seats) {
    Value *holders = value_new_map();
    for (unsigned i = 0; i < seats->options.max; i++) {
        const StoreEntry *entry = seat_entry(seats, i);
        g_autofree char *holder = entry ? holder_of(entry) : NULL;
        if (holder && strcmp(holder, seats->host) != 0)
            value_map_set(holders, holder, value_new_bool(true));
    }
    if (seats_has(seats))
        value_map_set(holders, seats->host, value_new_bool(true));
    return holders;
}
