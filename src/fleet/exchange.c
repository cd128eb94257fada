#include "fleet/exchange.h"

#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "fleet/layout.h"
#include "fleet/publisher.h"
#include "fleet/seats.h"
#include "fleet/snapshot.h"
#include "fleet/subscription.h"

#define SAVE_DELAY_US (G_USEC_PER_SEC / 2) /* changes in a row are saved once */

struct Exchange {
    Loop *loop;
    Store *state;
    char *host;
    char **grants;
    bool reads_only, stopping;
    uint64_t patience_us;
    ExchangeListener listener;
    Tenure *tenure;
    Publisher *publisher;  /* NULL: reads_only */
    GHashTable *parts;     /* prefix in the store -> Subscription */
    GHashTable *schedules; /* name -> Schedule */
    Value *declared;       /* wants that are in force, or NULL */
    Value *known;          /* parts of the snapshot that nobody asked for yet, or NULL */
    char *snapshot;        /* path, or NULL */
    LoopTimer *save, *stop;
    char *error;       /* why the store is out of reach; NULL: it is not */
    uint64_t since;    /* wall us: of error, or of being connected */
    GHashTable *noted; /* texts told since they last were not true */
    bool connected;
    StoreCall *revoking;
    LoopCallback stopped;
    void *stopped_data;
};

typedef struct {
    Exchange *exchange;
    Seats *seats;
    LoopTimer *patience;
    bool gave_up, declared;
} Schedule;

static void tell_changed(Exchange *exchange) {
    if (!exchange->stopping && exchange->listener.changed)
        exchange->listener.changed(exchange->listener.data);
}

static void note(Exchange *exchange, const char *format, ...) G_GNUC_PRINTF(2, 3);

static void note(Exchange *exchange, const char *format, ...) {
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    if (exchange->listener.note && !g_hash_table_contains(exchange->noted, text))
        exchange->listener.note(exchange->listener.data, text);
    g_hash_table_add(exchange->noted, g_steal_pointer(&text));
}

/* --- the connection: the lease that stands for this host tells whether there is one */

static void on_reached(void *data, const GError *error) {
    Exchange *exchange = data;
    bool was_known = exchange->connected || exchange->error;
    if (error) {
        if (!exchange->error) {
            exchange->since = loop_wall_now(exchange->loop);
            if (exchange->listener.note && !exchange->stopping) {
                g_autofree char *text = g_strdup_printf(
                    "exchange: the store is out of reach (%s); going on with what is known",
                    error->message);
                exchange->listener.note(exchange->listener.data, text);
            }
        }
        g_free(exchange->error);
        exchange->error = g_strdup(error->message);
        exchange->connected = false;
        return;
    }
    if (exchange->connected)
        return;
    exchange->connected = true;
    exchange->since = loop_wall_now(exchange->loop);
    g_hash_table_remove_all(exchange->noted);
    if (was_known && exchange->listener.news)
        exchange->listener.news(exchange->listener.data, "exchange: the store is back");
    g_clear_pointer(&exchange->error, g_free);
}

static void on_lease(void *data) {
    Exchange *exchange = data;
    if (exchange->publisher)
        publisher_lease_changed(exchange->publisher);
}

static bool is_passing(const GError *error) {
    return g_error_matches(error, STORE_ERROR, STORE_ERROR_UNAVAILABLE) ||
           g_error_matches(error, STORE_ERROR, STORE_ERROR_UNKNOWN_OUTCOME);
}

static void on_failed(void *data, const GError *error) {
    Exchange *exchange = data;
    if (!is_passing(error))
        note(exchange, "exchange: %s", error->message);
}

/* --- the snapshot */

static Value *save_parts(const Exchange *exchange) {
    Value *parts = value_new_map();
    for (size_t i = 0; exchange->known && i < value_size(exchange->known); i++) {
        const char *prefix;
        const Value *part = value_map_at(exchange->known, i, &prefix);
        value_map_set(parts, prefix, value_ref(part));
    }
    GHashTableIter iter;
    void *prefix, *part;
    g_hash_table_iter_init(&iter, exchange->parts);
    while (g_hash_table_iter_next(&iter, &prefix, &part))
        value_map_set(parts, prefix, subscription_save(part));
    return parts;
}

static void save_now(void *data) {
    Exchange *exchange = data;
    g_autoptr(GError) error = NULL;
    g_autoptr(Value) parts = save_parts(exchange);
    if (!snapshot_write(exchange->snapshot, exchange->host, parts, &error))
        note(exchange,
             "exchange: %s; without it nothing is known at the next start until the "
             "store answers",
             error->message);
}

static void save_soon(Exchange *exchange) {
    if (exchange->snapshot && !exchange->save)
        loop_timer_set(exchange->loop, &exchange->save, loop_now(exchange->loop) + SAVE_DELAY_US,
                       save_now, exchange);
}

/* --- what is read */

static bool has_read(const Exchange *exchange) {
    GHashTableIter iter;
    void *part;
    g_hash_table_iter_init(&iter, exchange->parts);
    while (g_hash_table_iter_next(&iter, NULL, &part))
        if (!subscription_is_stale(part))
            return true;
    return false;
}

/* What was read may be there before the first lease is. */
static void on_part(void *data) {
    Exchange *exchange = data;
    if (!exchange->connected && !exchange->error && has_read(exchange))
        on_reached(exchange, NULL);
    save_soon(exchange);
    tell_changed(exchange);
}

static void publish(Exchange *exchange);

/* What we may publish has changed with it, perhaps. */
static void on_member(void *data) {
    Exchange *exchange = data;
    if (exchange->publisher && exchange->declared && !exchange->stopping)
        publish(exchange);
    on_part(exchange);
}

static void want_part(Exchange *exchange, char *prefix) {
    if (g_hash_table_contains(exchange->parts, prefix)) {
        g_free(prefix);
        return;
    }
    bool is_member = g_str_has_prefix(prefix, LAYOUT_MEMBER);
    SubscriptionListener listener = { .changed = is_member ? on_member : on_part,
                                      .failed = on_failed,
                                      .data = exchange };
    const Value *known = exchange->known ? value_map_get(exchange->known, prefix) : NULL;
    Subscription *part = (is_member ? subscription_new_key : subscription_new)(
        exchange->loop, exchange->state, prefix, known, exchange->patience_us, &listener);
    g_hash_table_insert(exchange->parts, prefix, part);
}

static char *member_key(const Exchange *exchange) {
    return g_strconcat(LAYOUT_MEMBER, exchange->host, NULL);
}

static void take_member(void *data, const char *key, const Value *value, bool missing) {
    Value **member = data;
    value_unref(*member);
    *member = value_type(value) == VALUE_MAP ? value_ref(value) : NULL;
}

/* What we may publish, NULL-terminated: what we were started with, and what our hub says. Caller
 * frees. */
static char **all_grants(const Exchange *exchange) {
    g_autofree char *key = member_key(exchange);
    g_autoptr(Value) member = NULL;
    g_autoptr(GStrvBuilder) grants = g_strv_builder_new();
    subscription_visit(g_hash_table_lookup(exchange->parts, key), take_member, &member);
    const Value *given = member ? value_map_get(member, "grants") : NULL;
    if (exchange->grants)
        g_strv_builder_addv(grants, (const char **)(uintptr_t)exchange->grants);
    for (size_t i = 0; value_type(given) == VALUE_LIST && i < value_size(given); i++)
        if (value_type(value_list_at(given, i)) == VALUE_STRING)
            g_strv_builder_add(grants, value_string(value_list_at(given, i)));
    return g_strv_builder_end(grants);
}

/* Whether that is all of it. */
static bool knows_grants(const Exchange *exchange) {
    g_autofree char *key = member_key(exchange);
    return subscription_is_known(g_hash_table_lookup(exchange->parts, key));
}

/* --- schedules */

static void schedule_free(void *data) {
    Schedule *schedule = data;
    seats_free(schedule->seats);
    loop_timer_clear(&schedule->patience);
    g_free(schedule);
}

static void end_when_left(void *data);

static void on_seats(void *data) {
    Schedule *schedule = data;
    if (schedule->exchange->stopping)
        loop_post(schedule->exchange->loop, end_when_left, schedule->exchange);
    tell_changed(schedule->exchange);
}

static void on_seats_failed(void *data, const GError *error) {
    Schedule *schedule = data;
    on_failed(schedule->exchange, error);
}

static void on_seats_patience(void *data) {
    Schedule *schedule = data;
    schedule->gave_up = true;
    tell_changed(schedule->exchange);
}

static SeatsOptions seats_options(const Exchange *exchange, const Value *want) {
    const char *strategy = value_map_string(want, "strategy", "rr");
    return (SeatsOptions){
        .max = (unsigned)CLAMP(value_map_int(want, "max", 1), 1, EXCHANGE_LIMIT_SEATS),
        .ttl_s = (unsigned)CLAMP(value_map_int(want, "ttl", EXCHANGE_SCHEDULE_TTL),
                                 EXCHANGE_MIN_TTL, EXCHANGE_MAX_TTL),
        .strategy = strcmp(strategy, "alpha") == 0 ? SEATS_ALPHABETICAL : SEATS_FIRST_COME,
        .persist = value_map_bool(want, "persist", false),
        .withdraw = value_map_bool(want, "withdraw", false) || exchange->reads_only,
    };
}

static void want_schedule(Exchange *exchange, const char *name, const Value *want) {
    SeatsOptions options = seats_options(exchange, want);
    Schedule *schedule = g_hash_table_lookup(exchange->schedules, name);
    if (schedule) {
        seats_set(schedule->seats, &options);
        return;
    }
    schedule = g_new0(Schedule, 1);
    schedule->exchange = exchange;
    SeatsListener listener = { .changed = on_seats, .failed = on_seats_failed, .data = schedule };
    g_hash_table_insert(exchange->schedules, g_strdup(name), schedule);
    schedule->seats =
        seats_new(exchange->loop, exchange->state, exchange->host, name, &options, &listener);
    loop_timer_set(exchange->loop, &schedule->patience,
                   loop_now(exchange->loop) + exchange->patience_us, on_seats_patience, schedule);
}

/* --- wants */

typedef void (*WantVisit)(Exchange *exchange, const char *name, const Value *want, void *data);

static void each_want(Exchange *exchange, const Value *wants, const char *member, WantVisit visit,
                      void *data) {
    const Value *map = wants ? value_map_get(wants, member) : NULL;
    for (size_t i = 0; value_type(map) == VALUE_MAP && i < value_size(map); i++) {
        const char *name;
        const Value *want = value_map_at(map, i, &name);
        visit(exchange, name, want, data);
    }
}

static bool is_part_ready(const Exchange *exchange, char *prefix) {
    const Subscription *part = g_hash_table_lookup(exchange->parts, prefix);
    g_free(prefix);
    return part && subscription_is_ready(part);
}

static void want_path(Exchange *exchange, const char *path, const Value *want, void *ready) {
    want_part(exchange, layout_data_of(path));
    *(bool *)ready &= is_part_ready(exchange, layout_data_of(path));
}

static void want_kind(Exchange *exchange, const char *kind, const Value *want, void *ready) {
    want_part(exchange, layout_export_of(kind));
    *(bool *)ready &= is_part_ready(exchange, layout_export_of(kind));
}

static void want_one_schedule(Exchange *exchange, const char *name, const Value *want,
                              void *ready) {
    want_schedule(exchange, name, want);
    const Schedule *schedule = g_hash_table_lookup(exchange->schedules, name);
    *(bool *)ready &= schedule->gave_up || seats_is_settled(schedule->seats);
}

static bool needs_member(const Value *wants) {
    const Value *published = wants ? value_map_get(wants, "publish") : NULL;
    return wants && (value_map_bool(wants, "labels", false) ||
                     (value_type(published) == VALUE_MAP && value_size(published) > 0));
}

bool exchange_want(Exchange *exchange, const Value *wants) {
    bool ready = !needs_member(wants) || is_part_ready(exchange, member_key(exchange));
    each_want(exchange, wants, "get", want_path, &ready);
    each_want(exchange, wants, "collect", want_kind, &ready);
    each_want(exchange, wants, "schedule", want_one_schedule, &ready);
    return ready;
}

/* As it is in the store. */
static GBytes *payload(const Value *value) {
    g_autoptr(Value) map = value_new_map();
    value_map_set(map, "value", value_ref(value));
    g_autofree char *text = json_print(map, JSON_COMPACT | JSON_REVEAL);
    return layout_bytes(text);
}

static void add_key(Exchange *exchange, const char *key, const Value *value, void *wanted) {
    g_auto(GStrv) grants = all_grants(exchange);
    g_autoptr(GError) error = NULL;
    if (exchange_may_publish(exchange->host, (const char *const *)grants, key, &error))
        g_hash_table_replace(wanted, layout_data(key, exchange->host), payload(value));
    else if (knows_grants(exchange)) /* else it is looked at again when they are known */
        note(exchange, "exchange: %s", error->message);
}

static void add_exports(Exchange *exchange, const Value *list, GHashTable *wanted) {
    for (size_t i = 0; value_type(list) == VALUE_LIST && i < value_size(list); i++) {
        const Value *item = value_list_at(list, i);
        char *key = layout_export(value_map_string(item, "kind", ""), exchange->host,
                                  value_map_string(item, "name", ""));
        g_hash_table_replace(wanted, key, payload(item));
    }
}

static void publish(Exchange *exchange) {
    const Value *wants = exchange->declared;
    g_autoptr(GHashTable) wanted =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_bytes_unref);
    g_hash_table_replace(wanted, g_strconcat(LAYOUT_HOST, exchange->host, NULL),
                         layout_bytes("{\"value\":true}"));
    each_want(exchange, wants, "publish", add_key, wanted);
    add_exports(exchange, wants ? value_map_get(wants, "export") : NULL, wanted);
    publisher_set(exchange->publisher, wanted);
}

static void mark_declared(Exchange *exchange, const char *name, const Value *want, void *data) {
    Schedule *schedule = g_hash_table_lookup(exchange->schedules, name);
    if (schedule)
        schedule->declared = true;
}

/* Those that are no longer declared end when their seats are given up. */
static void leave_others(Exchange *exchange) {
    GHashTableIter iter;
    void *data;
    g_hash_table_iter_init(&iter, exchange->schedules);
    while (g_hash_table_iter_next(&iter, NULL, &data)) {
        Schedule *schedule = data;
        if (!schedule->declared)
            seats_leave(schedule->seats);
        schedule->declared = false;
    }
}

void exchange_declare(Exchange *exchange, const Value *wants) {
    if (exchange->stopping)
        return;
    (void)exchange_want(exchange, wants); /* known or not: it is in force */
    each_want(exchange, wants, "schedule", mark_declared, NULL);
    leave_others(exchange);
    value_unref(exchange->declared);
    exchange->declared = value_ref(wants);
    if (exchange->publisher)
        publish(exchange);
}

/* --- the view */

typedef struct {
    Value *data, *missing; /* of several hosts with one key the first by name counts */
} DataView;

static void add_data(void *data, const char *key, const Value *value, bool missing) {
    DataView *view = data;
    const char *at = strrchr(key, '@');
    if (!at)
        return;
    g_autofree char *name = g_strndup(key, (size_t)(at - key));
    Value *map = missing ? view->missing : view->data;
    if (exchange_key_check(name, NULL) && !value_map_get(map, name))
        value_map_set(map, name, value_ref(value));
}

typedef struct {
    DataView *view;
    const char *begin; /* of the keys of this part, without LAYOUT_DATA */
} DataPart;

static void add_data_of_part(void *data, const char *key, const Value *value, bool missing) {
    DataPart *part = data;
    g_autofree char *full = g_strconcat(part->begin, key, NULL);
    add_data(part->view, full, value, missing);
}

static void add_export(void *data, const char *key, const Value *value, bool missing) {
    const char *slash = strchr(key, '/');
    if (missing || !slash || value_type(value) != VALUE_MAP)
        return;
    g_autofree char *host = g_strndup(key, (size_t)(slash - key));
    Value *item = value_new_map();
    value_map_set(item, "host", value_new_string(host));
    value_map_set(item, "name", value_new_string(slash + 1));
    value_map_set(item, "resource", value_ref(value_map_get(value, "resource")));
    value_map_set(item, "to", value_ref(value_map_get(value, "to")));
    value_map_set(item, "hidden", value_new_bool(value_map_bool(value, "hidden", false)));
    value_list_append(data, item);
}

typedef struct {
    Value *exports;
    Value *member; /* NULL: not known. Whoever is a member no more keeps what it was */
    DataView data;
} PartsView;

/* A part of the view, from the store or from what was saved of it. */
static void view_part(PartsView *view, const char *prefix, const Subscription *part,
                      const Value *saved) {
    bool is_data = g_str_has_prefix(prefix, LAYOUT_DATA);
    bool is_member = g_str_has_prefix(prefix, LAYOUT_MEMBER);
    DataPart data = { &view->data, is_data ? prefix + strlen(LAYOUT_DATA) : "" };
    Value *list = is_data || is_member ? NULL : value_new_list();
    SubscriptionVisit visit = is_data ? add_data_of_part : is_member ? take_member : add_export;
    void *visited = is_data ? (void *)&data : is_member ? (void *)&view->member : list;
    if (part)
        subscription_visit(part, visit, visited);
    else
        subscription_visit_saved(saved, visit, visited);
    if (!list || !g_str_has_prefix(prefix, LAYOUT_EXPORT))
        return;
    g_autofree char *kind = g_strdup(prefix + strlen(LAYOUT_EXPORT));
    kind[strlen(kind) - 1] = '\0';
    value_map_set(view->exports, kind, list);
}

/* What another host has is not missing. */
static Value *really_missing(const DataView *view) {
    Value *missing = value_new_map();
    for (size_t i = 0; i < value_size(view->missing); i++) {
        const char *key;
        const Value *value = value_map_at(view->missing, i, &key);
        if (!value_map_get(view->data, key))
            value_map_set(missing, key, value_ref(value));
    }
    return missing;
}

static PartsView parts_view_new(void) {
    return (PartsView){ .exports = value_new_map(),
                        .data = { .data = value_new_map(), .missing = value_new_map() } };
}

static Value *finish_view(PartsView *view, const char *host) {
    Value *whole = value_new_map();
    value_map_set(whole, "host", value_new_string(host));
    value_map_set(whole, "missing", really_missing(&view->data));
    value_map_set(whole, "data", view->data.data);
    value_map_set(whole, "export", view->exports);
    const Value *labels = view->member ? value_map_get(view->member, "labels") : NULL;
    value_map_set(whole, "labels",
                  value_type(labels) == VALUE_MAP ? value_ref(labels) : value_new_map());
    value_unref(view->member);
    value_unref(view->data.missing);
    return whole;
}

static Value *grants_to_value(const Exchange *exchange) {
    g_auto(GStrv) grants = all_grants(exchange);
    Value *list = value_new_list();
    for (char **grant = grants; *grant; grant++)
        value_list_append(list, value_new_string(*grant));
    return list;
}

Value *exchange_view(Exchange *exchange) {
    PartsView parts = parts_view_new();
    GHashTableIter iter;
    void *name, *item;
    g_hash_table_iter_init(&iter, exchange->parts);
    while (g_hash_table_iter_next(&iter, &name, &item))
        view_part(&parts, name, item, NULL);
    Value *schedules = value_new_map();
    g_hash_table_iter_init(&iter, exchange->schedules);
    while (g_hash_table_iter_next(&iter, &name, &item))
        value_map_set(schedules, name, seats_holders(((Schedule *)item)->seats));
    Value *view = finish_view(&parts, exchange->host);
    if (knows_grants(exchange))
        value_map_set(view, "grants", grants_to_value(exchange));
    value_map_set(view, "schedule", schedules);
    return view;
}

Value *exchange_read_snapshot(const char *path, GError **error) {
    g_autofree char *host = NULL;
    g_autoptr(Value) saved = snapshot_read(path, &host, error);
    if (!saved)
        return NULL;
    PartsView parts = parts_view_new();
    for (size_t i = 0; i < value_size(saved); i++) {
        const char *prefix;
        const Value *part = value_map_at(saved, i, &prefix);
        view_part(&parts, prefix, NULL, part);
    }
    return finish_view(&parts, host);
}

/* The member record is read by all, but not all wait for it. */
bool exchange_is_read(const Exchange *exchange) {
    g_autofree char *member = member_key(exchange);
    GHashTableIter iter;
    void *prefix, *part;
    g_hash_table_iter_init(&iter, exchange->parts);
    while (g_hash_table_iter_next(&iter, &prefix, &part))
        if (subscription_is_stale(part) &&
            (strcmp(prefix, member) != 0 || subscription_is_ready(part)))
            return false;
    return true;
}

Value *exchange_status(const Exchange *exchange) {
    Value *status = value_new_map();
    value_map_set(status, "store", value_new_string(store_kind(exchange->state)));
    value_map_set(status, "host", value_new_string(exchange->host));
    value_map_set(status, "connected", value_new_bool(exchange->connected));
    value_map_set(status, "stale",
                  value_new_bool(!exchange->connected || !exchange_is_read(exchange)));
    value_map_set(status, "since", value_new_int((int64_t)(exchange->since / G_USEC_PER_SEC)));
    if (exchange->error)
        value_map_set(status, "error", value_new_string(exchange->error));
    if (exchange->publisher) {
        unsigned count = publisher_count(exchange->publisher);
        value_map_set(status, "published", value_new_int(count > 0 ? count - 1 : 0));
    }
    return status;
}

/* --- life */

static void on_stop_patience(void *data) {
    Exchange *exchange = data;
    LoopCallback stopped = exchange->stopped;
    exchange->stopped = NULL;
    loop_timer_clear(&exchange->stop);
    if (stopped)
        stopped(exchange->stopped_data);
}

static void on_revoked(void *data, StoreAnswer *answer, const GError *error) {
    ((Exchange *)data)->revoking = NULL;
    on_stop_patience(data); /* when it was not revoked, it lapses: what counts was withdrawn */
}

static bool has_left(const Exchange *exchange) {
    GHashTableIter iter;
    void *schedule;
    g_hash_table_iter_init(&iter, exchange->schedules);
    while (g_hash_table_iter_next(&iter, NULL, &schedule))
        if (!seats_is_settled(((Schedule *)schedule)->seats))
            return false;
    return !exchange->publisher || publisher_is_settled(exchange->publisher);
}

static void end_when_left(void *data) {
    Exchange *exchange = data;
    int64_t lease = tenure_lease(exchange->tenure);
    if (!exchange->stopped || exchange->revoking || !has_left(exchange))
        return;
    if (lease)
        exchange->revoking = store_lease_revoke(exchange->state, lease, on_revoked, exchange);
    else
        on_stop_patience(exchange);
}

void exchange_stop(Exchange *exchange, LoopCallback done, void *data) {
    exchange_declare(exchange, NULL);
    exchange->stopping = true;
    exchange->stopped = done;
    exchange->stopped_data = data;
    loop_timer_set(exchange->loop, &exchange->stop, loop_now(exchange->loop) + EXCHANGE_STOP_US,
                   on_stop_patience, exchange);
    loop_post(exchange->loop, end_when_left, exchange);
}

static void on_settled(void *data) {
    Exchange *exchange = data;
    if (exchange->stopping)
        loop_post(exchange->loop, end_when_left, exchange);
}

static bool check_names(const ExchangeOptions *options, GError **error) {
    if (!exchange_host_check(options->host, error))
        return false;
    for (const char *const *grant = options->grants; grant && *grant; grant++)
        if (!exchange_path_check(*grant, error)) {
            g_prefix_error(error, "read what may be published: ");
            return false;
        }
    return true;
}

static void read_snapshot(Exchange *exchange) {
    g_autoptr(GError) error = NULL;
    g_autofree char *host = NULL;
    exchange->known = exchange->snapshot ? snapshot_read(exchange->snapshot, &host, &error) : NULL;
    if (error)
        note(exchange, "exchange: %s; what was known before is not used", error->message);
}

Exchange *exchange_new(const ExchangeOptions *options, GError **error) {
    if (!check_names(options, error))
        return NULL;
    Exchange *exchange = g_new0(Exchange, 1);
    exchange->loop = options->loop;
    exchange->state = options->store;
    exchange->host = g_strdup(options->host);
    exchange->grants = g_strdupv((char **)(uintptr_t)options->grants);
    exchange->reads_only = options->reads_only;
    exchange->listener = options->listener;
    exchange->patience_us = options->patience_us ? options->patience_us : EXCHANGE_PATIENCE_US;
    exchange->snapshot = g_strdup(options->snapshot);
    exchange->noted = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    exchange->parts =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)subscription_free);
    exchange->schedules = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, schedule_free);
    read_snapshot(exchange);
    want_part(exchange, member_key(exchange));
    TenureListener of_tenure = { .changed = on_lease, .reached = on_reached, .data = exchange };
    exchange->tenure = tenure_new(exchange->loop, exchange->state,
                                  options->ttl_s ? options->ttl_s : EXCHANGE_TTL, &of_tenure);
    PublisherListener of_publisher = { .settled = on_settled,
                                       .failed = on_failed,
                                       .data = exchange };
    if (!exchange->reads_only)
        exchange->publisher =
            publisher_new(exchange->loop, exchange->state, exchange->tenure, &of_publisher);
    return exchange;
}

void exchange_free(Exchange *exchange) {
    if (!exchange)
        return;
    if (exchange->save)
        save_now(exchange);
    loop_timer_clear(&exchange->save);
    loop_timer_clear(&exchange->stop);
    loop_unpost(exchange->loop, end_when_left, exchange);
    if (exchange->revoking)
        store_call_cancel(exchange->revoking);
    publisher_free(exchange->publisher);
    g_hash_table_unref(exchange->schedules);
    g_hash_table_unref(exchange->parts);
    tenure_free(exchange->tenure);
    g_hash_table_unref(exchange->noted);
    value_unref(exchange->known);
    value_unref(exchange->declared);
    g_strfreev(exchange->grants);
    g_free(exchange->snapshot);
    g_free(exchange->error);
    g_free(exchange->host);
    g_free(exchange);
}
