#pragma once
/*
 * fleet: hosts that know each other through a Store. Uses base, loop and state.
 *
 * Exchange: one host's view of what all publish, and its own part in it. An evaluation of the
 * configuration says what it reads and publishes (its wants, a Value); the exchange keeps the view
 * (a Value too) that the next evaluation reads. Losing the store changes nothing in the view except
 * our own seats, which end before another host can get them; all else stays as it was last known,
 * also on disk, until the store is back.
 *
 * In the store, below stead/1/ (the version of this layout):
 *   host/HOST                  there while HOST's exchange runs
 *   data/KEY@HOST              {"value": V}: what HOST publishes as KEY; of several hosts with one
 *                              KEY the first by name counts
 *   export/KIND/HOST/NAME      {"value": {"resource": R, "to": [PATTERN...], "hidden": BOOL}}
 *   schedule/NAME/pool/HOST    HOST takes part
 *   schedule/NAME/seat/NUMBER  the host that holds this seat
 *   kv/KEY                     {"value": V}: stays until it is deleted
 * All but kv and seats that persist are under a lease of their host. What is withdrawn while its
 * host lives becomes {"gone": true} before it is deleted; what just vanishes was lost, and is kept
 * as missing for those who asked for a guard.
 *
 * A host that has joined a hub has labels, and what it may publish, in its member record
 * (roster.h).
 *
 * Wants, a map, every member optional:
 *   labels    true: its labels are to be known
 *   get       map of paths ("web/", "web/web1", "/") to true
 *   publish   map of keys to values
 *   collect   map of kinds to true
 *   export    list of {"kind", "name", "resource", "to", "hidden"}
 *   schedule  map of names to {"max", "ttl", "strategy", "persist", "withdraw"}
 * View, a map:
 *   host         our name
 *   labels       map of texts
 *   grants       list of what we may publish beside our own name; not there while it is not known
 *   data         map of keys to values, of all paths that were wanted so far
 *   missing      the same, of what was lost
 *   export       map of kinds to lists of {"host", "name", "resource", "to", "hidden"}
 *   schedule     map of names to maps of hosts to true
 */
#include "base/exchange-key.h"
#include "base/value.h"
#include "state/store.h"

#define EXCHANGE_PATIENCE_US (3 * (uint64_t)G_USEC_PER_SEC) /* for answers, before going on */
#define EXCHANGE_STOP_US     (2 * (uint64_t)G_USEC_PER_SEC) /* for withdrawing at a clean stop */
/* What was lost is not expected back after so long, unless most of what there was is lost. */
#define EXCHANGE_MISSING_US (3600 * (int64_t)G_USEC_PER_SEC)

typedef struct Exchange Exchange;

typedef struct {
    void (*changed)(void *data); /* the view, or whether it is ready */
    /* For people, once each: the store is lost, something is refused. */
    void (*note)(void *data, const char *text);
    void (*news)(void *data, const char *text); /* good ones: the store is back; or NULL */
    void *data;
} ExchangeListener;

typedef struct {
    Loop *loop;
    Store *store;              /* borrowed */
    const char *host;          /* our name */
    const char *const *grants; /* NULL-terminated, or NULL: see exchange_may_publish() */
    unsigned ttl_s;            /* of what we publish; 0: EXCHANGE_TTL */
    const char *snapshot;      /* file for what is known; NULL: none */
    bool reads_only;           /* publishes nothing and takes no seats */
    uint64_t patience_us;      /* 0: EXCHANGE_PATIENCE_US */
    ExchangeListener listener;
} ExchangeOptions;

/* Names are checked; a snapshot that cannot be read is told by a note. */
Exchange *exchange_new(const ExchangeOptions *options, GError **error);
/* As in a crash: what we published goes when its lease does. Accepts NULL. */
void exchange_free(Exchange *exchange);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Exchange, exchange_free)

/* What an evaluation asked for beyond what is known: begins to look for it. Returns whether all of
 * it is known, or was waited for long enough; otherwise changed() will come. */
bool exchange_want(Exchange *exchange, const Value *wants);
/* What is in force now: published and taken part in, the rest withdrawn. */
void exchange_declare(Exchange *exchange, const Value *wants);
/* Withdraws all; done comes from the loop, after EXCHANGE_STOP_US at the latest. */
void exchange_stop(Exchange *exchange, LoopCallback done, void *data);

/* All that was asked for so far has been read from the store. */
bool exchange_is_read(const Exchange *exchange);
Value *exchange_view(Exchange *exchange); /* new reference */
/* {"store": kind, "host", "connected": bool, "stale": bool, "error", "since", "published",
 * "known"}, since in seconds since the epoch. */
Value *exchange_status(const Exchange *exchange);

/* The view that is in a snapshot, for those who only plan; NULL without error: there is none. */
Value *exchange_read_snapshot(const char *path, GError **error);
