/*
 * What a host of a cluster does all the time. Once a second there is a round: is the cluster in
 * reach (a read that needs its quorum, so that what the same member lists next is not old), who is
 * in it, who else is there; then our own etcd is brought to what the list says, and the holder of
 * the seat goes on in steer.c.
 */
#include "cluster/supervisor-private.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "base/error.h"

#define ROUND_US       G_USEC_PER_SEC
#define RESTART_MIN_US (G_USEC_PER_SEC / 4)
#define RESTART_MAX_US (10 * (uint64_t)G_USEC_PER_SEC)
#define SHORT_US       (10 * (uint64_t)G_USEC_PER_SEC) /* who ends sooner has not really run */
#define CRASHES_MAX    5u                              /* short runs: it will not work like this */
#define ALONE_US       (5 * (uint64_t)G_USEC_PER_SEC)  /* an election, or a start */
#define STOP_MS        8000u

static void start_etcd(void *data);

void supervisor_tell(const Supervisor *supervisor, bool problem, const char *format, ...) {
    va_list list;
    va_start(list, format);
    g_autofree char *text = g_strdup_vprintf(format, list);
    va_end(list);
    supervisor->options.tell(supervisor->options.data, problem, text);
}

static void tell_error(const Supervisor *supervisor, const GError *error) {
    supervisor_tell(supervisor, true, "%s", error->message);
}

/* A difficulty that lasts is told once. */
void supervisor_tell_new(Supervisor *supervisor, bool problem, const char *text) {
    if (g_strcmp0(supervisor->told, text) == 0)
        return;
    g_free(supervisor->told);
    supervisor->told = g_strdup(text);
    if (*text)
        supervisor_tell(supervisor, problem, "%s", text);
}

/* --- our key in the store */

static void publish(Supervisor *supervisor) {
    const Berth *berth = supervisor->berth;
    g_autoptr(Value) map = value_new_map();
    value_map_set(map, "name", value_new_string(berth->name));
    value_map_set(map, "peer", value_new_string(berth->peer));
    value_map_set(map, "client", value_new_string(berth->client));
    value_map_set(map, "door", value_new_string(berth->door));
    value_map_set(map, "data", value_new_string(berth->id));
    value_map_set(map, "broken", value_new_bool(supervisor->broken));
    value_map_set(map, "failures", value_new_int(berth->failures));
    g_autoptr(GHashTable) wanted =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_bytes_unref);
    g_hash_table_insert(wanted, g_strconcat(CLUSTER_HOST, berth->name, NULL), cluster_bytes(map));
    publisher_set(supervisor->publisher, wanted);
}

static void on_tenure(void *data) {
    Supervisor *supervisor = data;
    publisher_lease_changed(supervisor->publisher);
}

static void on_nothing(void *data) {
}

static void on_failed(void *data, const GError *error) {
} /* rounds tell what is wrong */

/* --- our etcd */

static bool try_to_save(Supervisor *supervisor) {
    g_autoptr(GError) error = NULL;
    if (berth_save_identity(supervisor->berth, &error))
        return true;
    supervisor_tell_new(supervisor, true, error->message);
    return false;
}

static void save(Supervisor *supervisor) {
    (void)try_to_save(supervisor); /* it is told; what is not there is found out anew */
}

static char *show_end(int status) {
    if (WIFSIGNALED(status))
        return g_strdup_printf("was killed by signal %d", WTERMSIG(status));
    return g_strdup_printf("ended with exit code %d", WEXITSTATUS(status));
}

static void restart_later(Supervisor *supervisor) {
    uint64_t delay = MIN((uint64_t)RESTART_MIN_US << MIN(supervisor->crashes, 10), RESTART_MAX_US);
    loop_timer_set(supervisor->loop, &supervisor->restart, loop_now(supervisor->loop) + delay,
                   start_etcd, supervisor);
}

static void on_etcd_ended(void *data, int status) {
    Supervisor *supervisor = data;
    ward_stop(g_steal_pointer(&supervisor->etcd), SIGKILL, 0);
    if (supervisor->leaving)
        return; /* the next round sees to it */
    bool ran = loop_now(supervisor->loop) - supervisor->started_at >= SHORT_US;
    supervisor->crashes = ran ? 0 : supervisor->crashes + 1;
    g_autofree char *end = show_end(status);
    if (status != 0) /* 0: it was removed, which the list will tell too */
        supervisor_tell(supervisor, true, "etcd %s; it is started again", end);
    if (supervisor->crashes >= CRASHES_MAX && !supervisor->broken) {
        supervisor->broken = true;
        supervisor_tell(supervisor, true,
                        "etcd does not run with the data in %s/etcd; another host may take its "
                        "place",
                        supervisor->berth->data);
        publish(supervisor);
    }
    restart_later(supervisor);
}

/* The first start of a cluster that was cut short is done again from its beginning. */
static bool begin_anew(Supervisor *supervisor, GError **error) {
    const Berth *berth = supervisor->berth;
    if (!berth_is_unfinished(berth))
        return true;
    if (!berth_begin_anew(berth, error))
        return false;
    supervisor_tell(supervisor, false,
                    "the first start of the cluster was cut short and begins anew; what there was "
                    "of it is in %s/etcd-unfinished",
                    berth->data);
    return true;
}

static void start_etcd(void *data) {
    Supervisor *supervisor = data;
    g_autoptr(GError) error = NULL;
    if (!begin_anew(supervisor, &error)) {
        tell_error(supervisor, error);
        supervisor->crashes++;
        restart_later(supervisor);
        return;
    }
    const char *program = supervisor->options.program ? supervisor->options.program : "etcd";
    g_auto(GStrv) arguments = berth_etcd_arguments(supervisor->berth, program);
    supervisor->started_at = loop_now(supervisor->loop);
    if (!supervisor->berth->started) {
        /* Before there are data: a member without its data must never run again. */
        supervisor->berth->started = true;
        save(supervisor);
    }
    supervisor->etcd = ward_start(supervisor->loop, (const char *const *)arguments, on_etcd_ended,
                                  supervisor, &error);
    if (supervisor->etcd)
        return;
    supervisor->crashes++;
    g_prefix_error(&error, "%s", "run etcd (apt install etcd-server): ");
    tell_error(supervisor, error);
    restart_later(supervisor);
}

static bool is_started(const Supervisor *supervisor) {
    return supervisor->etcd || supervisor->restart;
}

/* Not a member any more: what is here is of no use, but nobody else's to delete. False: not done
 * yet. */
static bool leave(Supervisor *supervisor, const char *why) {
    Berth *berth = supervisor->berth;
    g_autoptr(GError) error = NULL;
    loop_timer_clear(&supervisor->restart);
    supervisor->leaving = supervisor->etcd != NULL;
    if (supervisor->etcd) {
        ward_signal(supervisor->etcd, SIGKILL);
        return false;
    }
    if (!berth_set_aside(berth, &error)) {
        supervisor_tell_new(supervisor, true, error->message);
        return false;
    }
    supervisor_tell(supervisor, false, "%s: this host is no member; its data were moved aside",
                    why);
    berth->failures += supervisor->broken || !berth->served;
    berth->started = berth->served = berth->founder = supervisor->broken = false;
    supervisor->crashes = 0;
    g_free(berth->id);
    berth->id = g_strdup("");
    save(supervisor);
    publish(supervisor);
    return true;
}

static char *initial_cluster(const Supervisor *supervisor, const Listed *self) {
    g_autoptr(GString) text = g_string_new(NULL);
    for (unsigned i = 0; i < supervisor->list->len; i++) {
        const Listed *listed = g_ptr_array_index(supervisor->list, i);
        const char *name = listed == self ? supervisor->berth->name : listed->name;
        g_string_append_printf(text, "%s%s=%s", i ? "," : "", name, listed->peer);
    }
    return g_string_free(g_steal_pointer(&text), FALSE);
}

/* A new member: its data come from the others. It starts when all can see that it knows. */
static void become(Supervisor *supervisor, const Listed *self) {
    Berth *berth = supervisor->berth;
    g_autoptr(GError) error = NULL;
    if (!berth_set_aside(berth, &error)) {
        supervisor_tell_new(supervisor, true, error->message);
        return;
    }
    g_free(berth->id);
    g_free(berth->initial);
    berth->id = g_strdup(self->id);
    berth->initial = initial_cluster(supervisor, self);
    berth->founder = berth->started = berth->served = false;
    save(supervisor);
    publish(supervisor);
}

/* The list has us as the member whose data we have. */
static void run(Supervisor *supervisor) {
    Berth *berth = supervisor->berth;
    uint64_t now = loop_now(supervisor->loop);
    if (!is_started(supervisor) &&
        (berth->started || publisher_is_settled(supervisor->publisher))) {
        supervisor_tell(supervisor, false, "this host is a member now");
        start_etcd(supervisor);
    } else if (supervisor->etcd && now - supervisor->started_at >= SHORT_US &&
               (!berth->served || supervisor->broken)) {
        bool changed = supervisor->broken;
        berth->served = true;
        supervisor->broken = false;
        save(supervisor);
        if (changed)
            publish(supervisor);
    }
}

static void reconcile(Supervisor *supervisor) {
    Berth *berth = supervisor->berth;
    const Listed *self = cluster_list_find(supervisor->list, berth->peer);
    if (self && strcmp(self->id, berth->id) == 0) {
        run(supervisor);
    } else if (!self && *berth->id) {
        (void)leave(supervisor, "removed from the cluster");
    } else if (self && (*berth->id || supervisor->etcd)) {
        (void)leave(supervisor, "the data are of an earlier member");
    } else if (self && !*self->name) {
        become(supervisor, self);
    } /* else a spare one; or listed without data: it is removed and comes in anew */
}

/* --- the first start of a cluster: what its store has to have */

static void on_founded(void *data, StoreAnswer *answer, const GError *error) {
    Supervisor *supervisor = data;
    supervisor->call = NULL;
    if (error) {
        supervisor_tell_new(supervisor, true, error->message);
    } else {
        g_autofree char *path = berth_path(supervisor->berth, "authority.json");
        (void)unlink(path); /* else it is done again, which changes nothing */
        supervisor_tell(supervisor, false, "the cluster is begun; hosts may join");
    }
    supervisor_end_round(supervisor);
}

static void put_once(StoreTxn *txn, const char *name, const Value *value) {
    g_autoptr(GBytes) key = layout_bytes(name), bytes = cluster_bytes(value);
    store_txn_compare(txn, key, STORE_VERSION, STORE_EQUAL, 0);
    store_txn_put(txn, STORE_THEN, key, bytes, 0);
}

/* The new cluster has answered for the first time: from now on its data are kept. False: that is
 * not durable yet. */
static bool keep_first(Supervisor *supervisor) {
    Berth *berth = supervisor->berth;
    const Listed *self = cluster_list_find(supervisor->list, berth->peer);
    if (!berth->founder || *berth->id || !self || !supervisor->etcd)
        return true;
    g_free(berth->id);
    berth->id = g_strdup(self->id);
    if (try_to_save(supervisor)) {
        publish(supervisor);
        return true;
    }
    *berth->id = '\0';
    return false;
}

static bool found(Supervisor *supervisor) {
    g_autofree char *path = berth_path(supervisor->berth, "authority.json"), *text = NULL;
    gsize size;
    if (!supervisor->etcd || !g_file_get_contents(path, &text, &size, NULL))
        return false;
    g_autoptr(Value) start = json_parse(text, size, path, NULL);
    explicit_bzero(text, size);
    if (value_type(start) != VALUE_MAP || !value_map_get(start, "authority"))
        return false;
    g_autoptr(Value) wanted = value_new_map();
    value_map_set(wanted, "size", value_new_int(value_map_int(start, "size", CLUSTER_SIZE)));
    value_map_set(wanted, "grace", value_new_int(value_map_int(start, "grace", CLUSTER_GRACE_S)));
    g_autoptr(StoreTxn) txn = store_txn_new();
    put_once(txn, CLUSTER_AUTHORITY, value_map_get(start, "authority"));
    put_once(txn, CLUSTER_WANTED, wanted);
    supervisor->call = store_commit(supervisor->store, txn, on_founded, supervisor);
    return true;
}

/* --- rounds */

static void begin_round(void *data);

void supervisor_end_round(Supervisor *supervisor) {
    loop_timer_set(supervisor->loop, &supervisor->round,
                   MAX(supervisor->round_at + ROUND_US, loop_now(supervisor->loop)), begin_round,
                   supervisor);
}

static void update_endpoints(Supervisor *supervisor) {
    g_autoptr(GHashTable) known = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GString) text = g_string_new(NULL);
    g_autoptr(GError) error = NULL;
    for (unsigned i = 0; i < supervisor->list->len + supervisor->hosts->len; i++) {
        const Listed *listed =
            i < supervisor->list->len ? g_ptr_array_index(supervisor->list, i) : NULL;
        const char *url =
            listed ? listed->client
                   : value_map_string(supervisor->hosts->pdata[i - supervisor->list->len], "client",
                                      NULL);
        if (url && g_hash_table_add(known, (void *)(uintptr_t)url))
            g_string_append_printf(text, "%s%s", text->len ? "," : "", url);
    }
    if (text->len && (!berth_set_endpoints(supervisor->berth, text->str, &error) ||
                      !etcd_set_urls(supervisor->store, text->str, &error)))
        tell_error(supervisor, error);
}

/* --- the seat of the one that decides: a key under our lease, put where there was none */

static bool is_ours(const Supervisor *supervisor, const StoreResult *result) {
    const StoreEntry *seat =
        result->entries->len > 0 ? g_ptr_array_index(result->entries, 0) : NULL;
    return seat && seat->lease != 0 && seat->lease == tenure_lease(supervisor->tenure);
}

static void on_seat(void *data, StoreAnswer *answer, const GError *error) {
    Supervisor *supervisor = data;
    supervisor->call = NULL; /* the next round sees whose it is */
    supervisor_end_round(supervisor);
}

static void take_seat(Supervisor *supervisor) {
    g_autoptr(StoreTxn) txn = store_txn_new();
    g_autoptr(GBytes) key = layout_bytes(CLUSTER_SEAT);
    g_autoptr(GBytes) name = layout_bytes(supervisor->berth->name);
    store_txn_compare(txn, key, STORE_VERSION, STORE_EQUAL, 0);
    store_txn_put(txn, STORE_THEN, key, name, tenure_lease(supervisor->tenure));
    supervisor->call = store_commit(supervisor->store, txn, on_seat, supervisor);
}

static void on_hosts(void *data, StoreAnswer *answer, const GError *error) {
    Supervisor *supervisor = data;
    supervisor->call = NULL;
    if (error) {
        supervisor_tell_new(supervisor, true, error->message);
        supervisor_end_round(supervisor);
        return;
    }
    g_clear_pointer(&supervisor->hosts, g_ptr_array_unref);
    value_unref(supervisor->wanted);
    supervisor->hosts = cluster_hosts_read(store_answer_result(answer, 1));
    const StoreResult *wanted = store_answer_result(answer, 0);
    supervisor->wanted =
        wanted->entries->len ? cluster_entry_value(g_ptr_array_index(wanted->entries, 0)) : NULL;
    update_endpoints(supervisor);
    reconcile(supervisor);
    renew_if_due(supervisor);
    snapshot_if_due(supervisor);
    const StoreResult *seat = store_answer_result(answer, 2);
    if (is_ours(supervisor, seat))
        steer(supervisor);
    else if (seat->entries->len == 0 && tenure_is_sure(supervisor->tenure))
        take_seat(supervisor);
    else
        supervisor_end_round(supervisor);
}

/* After the list: who is in it and has started has told us so before. */
static void ask_hosts(Supervisor *supervisor) {
    g_autoptr(StoreTxn) txn = store_txn_new();
    g_autoptr(GBytes) wanted = layout_bytes(CLUSTER_WANTED), hosts = layout_bytes(CLUSTER_HOST);
    g_autoptr(GBytes) seat = layout_bytes(CLUSTER_SEAT);
    store_txn_range(txn, STORE_THEN, &(StoreRange){ .key = wanted });
    store_txn_range(txn, STORE_THEN, &(StoreRange){ .key = hosts, .prefix = true });
    store_txn_range(txn, STORE_THEN, &(StoreRange){ .key = seat });
    supervisor->call = store_commit(supervisor->store, txn, on_hosts, supervisor);
}

static void try_endpoint(Supervisor *supervisor);

static void next_endpoint(Supervisor *supervisor, const GError *error) {
    supervisor->url++;
    if (supervisor->urls[supervisor->url]) {
        try_endpoint(supervisor);
        return;
    }
    uint64_t now = loop_now(supervisor->loop);
    g_autofree char *text =
        g_strdup_printf("the cluster is not in reach, or has no quorum: %s", error->message);
    if (!supervisor->alone_since)
        supervisor->alone_since = now;
    if (now - supervisor->alone_since >= ALONE_US)
        supervisor_tell_new(supervisor, true, text);
    supervisor_end_round(supervisor);
}

static void on_list(void *data, const Value *answer, const GError *error) {
    Supervisor *supervisor = data;
    supervisor->ask = NULL;
    if (error) {
        next_endpoint(supervisor, error);
        return;
    }
    supervisor->alone_since = 0;
    g_clear_pointer(&supervisor->list, g_ptr_array_unref);
    supervisor->list = cluster_list_read(answer);
    if (!keep_first(supervisor))
        supervisor_end_round(supervisor);
    else if (!found(supervisor))
        ask_hosts(supervisor);
}

static void on_read(void *data, const Value *answer, const GError *error) {
    Supervisor *supervisor = data;
    supervisor->ask = NULL;
    if (error)
        next_endpoint(supervisor, error);
    else
        supervisor->ask =
            etcd_ask(supervisor->store, supervisor->urls[supervisor->url], "cluster/member/list",
                     "{}", CLUSTER_ASK_US, on_list, supervisor);
}

static void try_endpoint(Supervisor *supervisor) {
    /* A read of one key, through the quorum. */
    supervisor->ask =
        etcd_ask(supervisor->store, supervisor->urls[supervisor->url], "kv/range",
                 "{\"key\":\"AA==\",\"count_only\":true}", CLUSTER_ASK_US, on_read, supervisor);
}

/* Our own etcd is asked first. */
static void begin_round(void *data) {
    Supervisor *supervisor = data;
    g_auto(GStrv) others = g_strsplit(supervisor->berth->endpoints, ",", 0);
    GStrvBuilder *builder = g_strv_builder_new();
    if (supervisor->etcd)
        g_strv_builder_add(builder, supervisor->berth->client);
    for (unsigned i = 0; others[i]; i++)
        if (!supervisor->etcd || strcmp(others[i], supervisor->berth->client) != 0)
            g_strv_builder_add(builder, others[i]);
    g_strfreev(supervisor->urls);
    supervisor->urls = g_strv_builder_end(builder);
    g_strv_builder_unref(builder);
    supervisor->url = 0;
    supervisor->round_at = loop_now(supervisor->loop);
    try_endpoint(supervisor);
}

/* --- life */

static bool open_store(Supervisor *supervisor, GError **error) {
    const Berth *berth = supervisor->berth;
    StoreEtcdOptions options = { .urls = berth->endpoints,
                                 .ca = berth->ca,
                                 .certificate = berth->certificate,
                                 .key = berth->key };
    supervisor->store = store_open_etcd(supervisor->loop, &options, error);
    if (!supervisor->store)
        return false;
    supervisor->door = door_new(supervisor->loop, supervisor->store, berth, error);
    return supervisor->door != NULL;
}

/* What the store knows of us for as long as we are there. */
static void take_part(Supervisor *supervisor) {
    TenureListener tenure = { .changed = on_tenure, .data = supervisor };
    PublisherListener publisher = { .settled = on_nothing, .failed = on_failed };
    supervisor->tenure = tenure_new(supervisor->loop, supervisor->store, CLUSTER_TTL_S, &tenure);
    supervisor->publisher =
        publisher_new(supervisor->loop, supervisor->store, supervisor->tenure, &publisher);
    publish(supervisor);
}

/* A disk that was lost is no member's; the list says what comes of it. */
static void check_data(Supervisor *supervisor) {
    Berth *berth = supervisor->berth;
    if (!*berth->id || !berth->started || berth_has_data(berth))
        return;
    supervisor_tell(supervisor, true, "the data of etcd are gone from %s: this host joins anew",
                    berth->data);
    g_free(berth->id);
    berth->id = g_strdup("");
    berth->started = berth->served = berth->founder = false;
    save(supervisor);
}

Supervisor *supervisor_new(const SupervisorOptions *options, GError **error) {
    g_autoptr(Supervisor) supervisor = g_new0(Supervisor, 1);
    supervisor->loop = options->loop;
    supervisor->options = *options;
    supervisor->berth = (Berth *)(uintptr_t)options->berth;
    supervisor->silent = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    supervisor->probes = g_ptr_array_new_with_free_func(probe_free);
    if (!open_store(supervisor, error))
        return NULL;
    check_data(supervisor);
    take_part(supervisor);
    /* Without asking anybody: after a loss of power all members do this at once. */
    if (supervisor->berth->founder || supervisor->berth->started)
        start_etcd(supervisor);
    begin_round(supervisor);
    return g_steal_pointer(&supervisor);
}

void supervisor_free(Supervisor *supervisor) {
    if (!supervisor)
        return;
    loop_timer_clear(&supervisor->round);
    loop_timer_clear(&supervisor->restart);
    g_clear_pointer(&supervisor->ask, etcd_ask_cancel);
    g_clear_pointer(&supervisor->call, store_call_cancel);
    g_clear_pointer(&supervisor->renewal, store_call_cancel);
    g_ptr_array_unref(supervisor->probes);
    g_hash_table_unref(supervisor->silent);
    publisher_free(supervisor->publisher);
    tenure_free(supervisor->tenure);
    door_free(supervisor->door);
    store_free(supervisor->store);
    ward_stop(supervisor->snapshot, SIGTERM, STOP_MS);
    ward_stop(supervisor->etcd, SIGTERM, STOP_MS);
    g_clear_pointer(&supervisor->list, g_ptr_array_unref);
    g_clear_pointer(&supervisor->hosts, g_ptr_array_unref);
    value_unref(supervisor->wanted);
    g_strfreev(supervisor->urls);
    g_free(supervisor->told);
    g_free(supervisor->change);
    g_free(supervisor->whom);
    g_free(supervisor->why);
    g_free(supervisor);
}
