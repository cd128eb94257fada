#include "hub/gateway.h"

#include <string.h>

#include "base/exchange-key.h"

/* --- who asks --------------------------------------------------------------------------------- */

static void tenant_free(void *data) {
    Tenant *tenant = data;
    for (unsigned of = 0; of < TURNS; of++)
        turn_clear(&tenant->turns[of]);
    g_atomic_rc_box_release(tenant->load);
    g_free(tenant->name);
    g_free(tenant);
}

Tenant *tenant_of(Gateway *gateway, const char *host) {
    Tenant *tenant = g_hash_table_lookup(gateway->tenants, host);
    if (!tenant) {
        tenant = g_new0(Tenant, 1);
        tenant->name = g_strdup(host);
        tenant->load = g_atomic_rc_box_new0(Load);
        for (unsigned of = 0; of < TURNS; of++)
            turn_init(&tenant->turns[of], of, gateway);
        g_hash_table_insert(gateway->tenants, tenant->name, tenant);
    }
    return tenant;
}

/* --- answering -------------------------------------------------------------------------------- */

/* Its transaction is also the call's, which the loop frees: what is left of it goes here, not in
 * the connection's thread. */
static void forget_asked(Ask *ask) {
    g_clear_pointer(&ask->asked, etcd_asked_free);
    usage_settle(ask->hub->usage, g_steal_pointer(&ask->claim), 0);
    if (ask->granting)
        tenant_of(ask->hub->gateway, ask->host)->granting--;
    ask->granting = false;
    turn_end(ask);
}

void gateway_refuse(Ask *ask, const GError *error) {
    unsigned status;
    g_autoptr(GBytes) body = etcd_refusal(error, &status);
    if (g_error_matches(error, STORE_ERROR, STORE_ERROR_DENIED))
        ask->hub->gateway->refused++;
    forget_asked(ask);
    http_answer(ask->request, status, "application/json", body);
}

static GArray *leases_asked(const Ask *ask);

static void disown(Gateway *gateway, int64_t lease) {
    Tenant *tenant = g_hash_table_lookup(gateway->leases, &lease);
    if (!tenant)
        return;
    tenant->leases--;
    g_hash_table_remove(gateway->leases, &lease);
}

/* What is gone is not known any more, whatever the feed tells of it. */
static void forget_leases(const Ask *ask) {
    g_autoptr(GArray) leases = leases_asked(ask);
    for (unsigned i = 0; i < leases->len; i++)
        disown(ask->hub->gateway, g_array_index(leases, int64_t, i));
}

static void fail(Ask *ask, const GError *error) {
    g_autoptr(GBytes) gone = ask->asked ? etcd_asked_gone(ask->asked, error) : NULL;
    if (ask->asked && g_error_matches(error, STORE_ERROR, STORE_ERROR_LEASE_GONE))
        forget_leases(ask);
    if (!gone) {
        gateway_refuse(ask, error);
        return;
    }
    forget_asked(ask);
    http_answer(ask->request, 200, "application/json", gone);
}

/* --- what is not sent yet --------------------------------------------------------------------- */

static int kib_of(const StoreAnswer *answer) {
    size_t bytes = 0;
    for (unsigned i = 0; answer->results && i < answer->results->len; i++) {
        const StoreResult *result = store_answer_result(answer, i);
        for (unsigned j = 0; result->entries && j < result->entries->len; j++) {
            const StoreEntry *entry = result->entries->pdata[j];
            bytes += g_bytes_get_size(entry->key);
            bytes += entry->value ? g_bytes_get_size(entry->value) : 0;
        }
    }
    return (int)(bytes / 1024);
}

/* False: it was refused. One answer is always allowed, however large. */
static bool take_load(Ask *ask, const StoreAnswer *from) {
    int kib = ask->load_kib = kib_of(from);
    Load *load = ask->host && kib > 0 ? tenant_of(ask->hub->gateway, ask->host)->load : NULL;
    int before = load ? g_atomic_int_add(&load->kib, kib) : 0;
    if (load && before > 0 && before + kib > GATEWAY_UNSENT_KIB) {
        g_atomic_int_add(&load->kib, -kib);
        g_autoptr(GError) error =
            g_error_new(STORE_ERROR, STORE_ERROR_UNAVAILABLE,
                        "host '%s' has GATEWAY_UNSENT_KIB (%d) of answers to take first", ask->host,
                        GATEWAY_UNSENT_KIB);
        gateway_refuse(ask, error);
        return false;
    }
    ask->load = load ? g_atomic_rc_box_acquire(load) : NULL;
    return true;
}

void gateway_unload(Load *load, int kib) {
    if (!load)
        return;
    g_atomic_int_add(&load->kib, -kib);
    g_atomic_rc_box_release(load);
}

static void send_body(Ask *ask, GBytes *body) {
    forget_asked(ask);
    http_answer(ask->request, 200, "application/json", body);
}

/* A large answer, on its way through a worker. */
typedef struct {
    Ask *ask; /* NULL: the hub ends */
    EtcdAsked *asked;
    StoreAnswer *from;
    GBytes *body;
} Writing;

static void write_work(void *data) {
    Writing *writing = data;
    writing->body = etcd_asked_answer(writing->asked, writing->from);
}

static void on_written(void *data) {
    Writing *writing = data;
    if (writing->ask) {
        ask_release(writing->ask);
        send_body(writing->ask, writing->body);
    }
    etcd_asked_free(writing->asked);
    store_answer_unref(writing->from);
    g_bytes_unref(writing->body);
    g_free(writing);
}

static void forget_writing(void *data) {
    ((Writing *)data)->ask = NULL;
}

static void write_aside(Ask *ask, StoreAnswer *from) {
    Writing *writing = g_new0(Writing, 1);
    writing->ask = ask;
    writing->asked = g_steal_pointer(&ask->asked);
    writing->from = store_answer_ref(from);
    ask_hold(ask, writing, forget_writing);
    worker_pool_push(ask->hub->gateway->writers, write_work, on_written, writing);
}

static void answer(Ask *ask, StoreAnswer *from) {
    Gateway *gateway = ask->hub->gateway;
    if (!take_load(ask, from))
        return;
    gateway->revision = MAX(gateway->revision, from->revision);
    usage_settle(ask->hub->usage, g_steal_pointer(&ask->claim), from->revision);
    if (ask->load_kib >= GATEWAY_LARGE_KIB) {
        write_aside(ask, from);
        return;
    }
    g_autoptr(GBytes) body = etcd_asked_answer(ask->asked, from);
    send_body(ask, body);
}

static void on_done(Ask *ask, StoreAnswer *from) {
    answer(ask, from);
}

static void start(Ask *ask) {
    ask_wait(ask, etcd_asked_start(ask->asked, ask->hub->state, on_asked, ask), on_done);
}

static void start_for_host(Ask *ask) {
    if (ask->asked->txn)
        turn_take(ask, start);
    else
        start(ask);
}

/* --- leases ----------------------------------------------------------------------------------- */

static const char *owner_of(const Gateway *gateway, int64_t lease) {
    const Tenant *tenant = g_hash_table_lookup(gateway->leases, &lease);
    return tenant ? tenant->name : NULL;
}

static void own(Gateway *gateway, int64_t lease, const char *host) {
    Tenant *tenant = tenant_of(gateway, host);
    disown(gateway, lease);
    tenant->leases++;
    g_hash_table_insert(gateway->leases, g_memdup2(&lease, sizeof lease), tenant);
}

static char *lease_name(int64_t lease) {
    return g_strdup_printf(STORE_LEASE_FORMAT, lease);
}

static GBytes *lease_key(int64_t lease) {
    g_autofree char *name = lease_name(lease);
    return key_of(KEY_LEASES, name);
}

static bool check_owner(const Ask *ask, int64_t lease, GError **error) {
    const char *owner = owner_of(ask->hub->gateway, lease);
    g_autofree char *name = lease_name(lease);
    if (owner && strcmp(owner, ask->host) == 0)
        return true;
    if (owner)
        g_set_error(error, STORE_ERROR, STORE_ERROR_DENIED,
                    "host '%s' may not use lease %s: it was granted to another", ask->host, name);
    else
        g_set_error(error, STORE_ERROR, STORE_ERROR_LEASE_GONE,
                    "use lease %s: it expired, was revoked or never granted", name);
    return false;
}

static void on_recorded(Ask *ask, StoreAnswer *from) {
    own(ask->hub->gateway, ask->answer->lease, ask->host);
    answer(ask, ask->answer);
}

/* Nobody knows of a lease without a record: it expires. */
static void on_granted(Ask *ask, StoreAnswer *from) {
    g_autoptr(GBytes) key = lease_key(from->lease), host = key_of(ask->host, "");
    ask->answer = store_answer_ref(from);
    ask_wait(ask, store_put(ask->hub->state, key, host, from->lease, on_asked, ask), on_recorded);
}

static bool is_too_long(Ask *ask) {
    if (ask->asked->number <= (int64_t)EXCHANGE_MAX_TTL)
        return false;
    g_autoptr(GError) error =
        g_error_new(STORE_ERROR, STORE_ERROR_TOO_LARGE,
                    "host '%s' asks for a lease of more than EXCHANGE_MAX_TTL (%u) seconds",
                    ask->host, EXCHANGE_MAX_TTL);
    gateway_refuse(ask, error);
    return true;
}

static void grant(Ask *ask) {
    if (is_too_long(ask))
        return;
    Tenant *tenant = tenant_of(ask->hub->gateway, ask->host);
    if (tenant->leases + tenant->granting >= GATEWAY_LEASES) {
        g_autoptr(GError) error = g_error_new(
            STORE_ERROR, STORE_ERROR_TOO_LARGE,
            "host '%s' has GATEWAY_LEASES (%u) leases: it revokes one before it gets another",
            ask->host, GATEWAY_LEASES);
        gateway_refuse(ask, error);
        return;
    }
    tenant->granting++;
    ask->granting = true;
    ask_wait(ask, store_lease_grant(ask->hub->state, ask->asked->number, on_asked, ask),
             on_granted);
}

/* --- what hosts ask --------------------------------------------------------------------------- */

/* The leases that the transaction puts with. */
static GArray *leases_in(const StoreTxn *txn) {
    GArray *leases = g_array_new(FALSE, FALSE, sizeof(int64_t));
    for (unsigned i = 0; i < 2; i++)
        for (unsigned j = 0; j < txn->branches[i]->len; j++) {
            const Op *op = g_ptr_array_index(txn->branches[i], j);
            unsigned k = 0;
            while (k < leases->len && g_array_index(leases, int64_t, k) != op->lease)
                k++;
            if (op->kind == OP_PUT && op->lease != 0 && k == leases->len)
                g_array_append_val(leases, op->lease);
        }
    return leases;
}

/* The leases that ask is about. */
static GArray *leases_asked(const Ask *ask) {
    if (ask->asked->kind == CALL_TXN)
        return leases_in(ask->asked->txn);
    GArray *leases = g_array_new(FALSE, FALSE, sizeof(int64_t));
    g_array_append_val(leases, ask->asked->number);
    return leases;
}

static char **grants_of(const Value *record) {
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    const Value *list = record ? value_map_get(record, "grants") : NULL;
    for (size_t i = 0; value_type(list) == VALUE_LIST && i < value_size(list); i++) {
        const Value *one = value_list_at(list, i);
        if (value_type(one) == VALUE_STRING)
            g_strv_builder_add(builder, value_string(one));
    }
    return g_strv_builder_end(builder);
}

static bool is_permitted(const Ask *ask, const GArray *leases, const Permit *permit,
                         GError **error) {
    for (unsigned i = 0; i < leases->len; i++)
        if (!check_owner(ask, g_array_index(leases, int64_t, i), error))
            return false;
    return !ask->asked->txn || permit_txn(permit, ask->asked->txn, error);
}

static void judge(Ask *ask, const Permit *permit) {
    g_autoptr(GError) error = NULL;
    g_autoptr(GArray) leases = leases_asked(ask);
    if (!is_permitted(ask, leases, permit, &error)) {
        fail(ask, error);
        return;
    }
    if (ask->asked->txn)
        permit_secure(permit, ask->asked->txn);
    if (!ask->asked->txn ||
        usage_claim(ask->hub->usage, ask->host, ask->asked->txn, &ask->claim, &error))
        start_for_host(ask);
    else
        gateway_refuse(ask, error);
}

/* Of the record of the host, and of those leases that were not known. */
static void on_known(Ask *ask, StoreAnswer *from) {
    const StoreResult *hosts = store_answer_result(from, 0);
    g_autoptr(Value) record = entry_value(hosts->entries->len ? hosts->entries->pdata[0] : NULL);
    g_auto(GStrv) grants = grants_of(record);
    for (unsigned i = 1; i < from->results->len; i++) {
        const StoreResult *found = store_answer_result(from, i);
        const StoreEntry *entry = found->entries->len ? found->entries->pdata[0] : NULL;
        g_autofree char *host =
            entry ? g_strndup(g_bytes_get_data(entry->value, NULL), g_bytes_get_size(entry->value))
                  : NULL;
        if (host)
            own(ask->hub->gateway, entry->lease, host);
    }
    judge(ask, &(Permit){ .host = ask->host, .grants = (const char *const *)grants });
}

/* What is not known here is looked up; what is known does not change. */
static void look_up(Ask *ask, const GArray *leases) {
    g_autoptr(StoreTxn) txn = store_txn_new();
    g_autoptr(GBytes) host = key_of(KEY_HOSTS, ask->host);
    store_txn_range(txn, STORE_THEN, &(StoreRange){ .key = host });
    for (unsigned i = 0; i < leases->len; i++) {
        int64_t lease = g_array_index(leases, int64_t, i);
        g_autoptr(GBytes) key = lease_key(lease);
        if (!owner_of(ask->hub->gateway, lease))
            store_txn_range(txn, STORE_THEN, &(StoreRange){ .key = key });
    }
    ask_commit(ask, txn, on_known);
}

/* Most need nothing but the host's own name, and a lease that is known. */
static void serve_with_leases(Ask *ask) {
    Permit permit = { .host = ask->host };
    g_autoptr(GArray) leases = leases_asked(ask);
    if (is_permitted(ask, leases, &permit, NULL))
        judge(ask, &permit);
    else if (leases->len < STORE_LIMIT_TXN_OPS)
        look_up(ask, leases);
    else {
        g_autoptr(GError) error =
            g_error_new_literal(STORE_ERROR, STORE_ERROR_TOO_LARGE,
                                "take a transaction: it has more leases than STORE_LIMIT_TXN_OPS");
        gateway_refuse(ask, error);
    }
}

static void serve_range(Ask *ask, const Permit *permit) {
    const Op *op = g_ptr_array_index(ask->asked->txn->branches[STORE_THEN], 0);
    g_autoptr(GError) error = NULL;
    if (!permit_read(permit, op->key, op->end, &error))
        gateway_refuse(ask, error);
    else if (ask->host)
        start_for_host(ask);
    else
        start(ask);
}

static void serve_host(Ask *ask) {
    g_autoptr(GError) error = NULL;
    switch (ask->asked->kind) {
    case CALL_RANGE:
        serve_range(ask, &(Permit){ .host = ask->host });
        return;
    case CALL_GRANT:
        grant(ask);
        return;
    case CALL_TXN:
    case CALL_KEEP:
    case CALL_REVOKE:
    case CALL_LOOK:
        serve_with_leases(ask);
        return;
    case CALL_COMPACT:
        error = g_error_new(STORE_ERROR, STORE_ERROR_DENIED,
                            "host '%s' may not compact the store: that takes an admin", ask->host);
        gateway_refuse(ask, error);
        return;
    }
}

static void serve_admin(Ask *ask) {
    Permit permit = { .everything = ask->hub->gateway->everything };
    g_autoptr(GError) error = NULL;
    if (ask->asked->kind == CALL_RANGE)
        serve_range(ask, &permit);
    else if (!ask->asked->txn || permit_txn(&permit, ask->asked->txn, &error))
        start(ask);
    else
        gateway_refuse(ask, error);
}

void gateway_call(void *data, HttpRequest *request) {
    Ask *ask = ask_of(request);
    g_autoptr(GError) error = NULL;
    const char *path = http_request_route(request)->path + strlen(GATEWAY_PATH);
    ask->hub->gateway->requests++;
    ask->failed = fail;
    ask->asked = etcd_asked_new(path, http_request_body(request), &error);
    if (!ask->asked)
        gateway_refuse(ask, error);
    else if (ask->host)
        serve_host(ask);
    else
        serve_admin(ask);
}

/* --- life ------------------------------------------------------------------------------------- */

static bool lease_of(const StoreEntry *entry, int64_t *ret_lease) {
    g_autofree char *name = entry_name(entry, KEY_LEASES);
    guint64 number;
    if (!g_ascii_string_to_unsigned(name, 16, 1, INT64_MAX, &number, NULL))
        return false;
    *ret_lease = (int64_t)number;
    return true;
}

/* Nothing is left to do when it does not work: who may not keep a lease loses it. */
static void on_lease_ended(void *data, StoreAnswer *answer, const GError *error) {
}

/* What the host published goes with it. */
static void end_leases(const Gateway *gateway, const char *host) {
    const Tenant *gone = g_hash_table_lookup(gateway->tenants, host);
    GHashTableIter iter;
    void *lease, *tenant;
    g_hash_table_iter_init(&iter, gateway->leases);
    while (gone && g_hash_table_iter_next(&iter, &lease, &tenant))
        if (tenant == gone)
            (void)store_lease_revoke(gateway->hub->state, *(int64_t *)lease, on_lease_ended, NULL);
}

void gateway_hear(Gateway *gateway, const StoreEntry *entry) {
    g_autofree char *key = entry_name(entry, "");
    int64_t lease;
    if (g_str_has_prefix(key, KEY_LEASES)) {
        if (!entry->value && lease_of(entry, &lease))
            disown(gateway, lease);
        return;
    }
    g_autoptr(Value) value = entry_value(entry);
    if (value && !value_map_bool(value, "revoked", false))
        return;
    gateway_turn_away(gateway, key);
    if (!g_str_has_prefix(key, KEY_HOSTS))
        return;
    turn_away(gateway, key + strlen(KEY_HOSTS));
    end_leases(gateway, key + strlen(KEY_HOSTS));
}

void gateway_reset(Gateway *gateway) {
    GHashTableIter iter;
    void *tenant;
    g_hash_table_remove_all(gateway->leases);
    g_hash_table_iter_init(&iter, gateway->tenants);
    while (g_hash_table_iter_next(&iter, NULL, &tenant))
        ((Tenant *)tenant)->leases = 0;
}

Gateway *gateway_new(Hub *hub) {
    Gateway *gateway = g_new0(Gateway, 1);
    gateway->hub = hub;
    gateway->writers = worker_pool_new(hub->loop, 2);
    gateway->channels = g_ptr_array_new();
    gateway->leases = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    gateway->tenants = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, tenant_free);
    gateway->said = g_ptr_array_new_with_free_func((GDestroyNotify)store_entry_unref);
    return gateway;
}

void gateway_free(Gateway *gateway) {
    if (!gateway)
        return;
    g_assert(gateway->channels->len == 0);
    worker_pool_free(gateway->writers); /* nobody waits for these any more */
    g_ptr_array_unref(gateway->channels);
    g_hash_table_unref(gateway->leases);
    g_hash_table_unref(gateway->tenants);
    g_ptr_array_unref(gateway->said);
    g_clear_pointer(&gateway->message, g_bytes_unref);
    g_free(gateway);
}
