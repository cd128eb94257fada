#include "cli/cluster-status.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/plural.h"
#include "cli/time-text.h"
#include "cluster/cluster.h"
#include "state/etcd.h"

typedef struct {
    const Listed *listed; /* NULL: a host without a member */
    Value *host;          /* what its supervisor says; NULL: it is not there */
    Health health;
} Row;

typedef struct {
    GPtrArray *list, *hosts;
    GArray *rows; /* of Row */
    Value *wanted, *change;
    unsigned voters, answering;
    unsigned healthy; /* and know a leader */
    GError *problem;  /* of the quorum */
} Picture;

static void picture_clear(Picture *picture) {
    for (unsigned i = 0; picture->rows && i < picture->rows->len; i++)
        health_clear(&g_array_index(picture->rows, Row, i).health);
    g_clear_pointer(&picture->rows, g_array_unref);
    g_clear_pointer(&picture->list, g_ptr_array_unref);
    g_clear_pointer(&picture->hosts, g_ptr_array_unref);
    g_clear_pointer(&picture->wanted, value_unref);
    g_clear_pointer(&picture->change, value_unref);
    g_clear_error(&picture->problem);
}

/* --- looking */

/* Of the first member that answers; without a quorum too. */
static bool ask_list(ClusterLink *link, Picture *picture, GError **error) {
    g_auto(GStrv) urls = g_strsplit(link->berth->endpoints, ",", 0);
    g_autoptr(GError) problem = NULL;
    for (unsigned i = 0; urls[i]; i++) {
        /* The first one's problem is told: others may never have been members. */
        g_autoptr(Value) answer = etcd_ask_wait(link->store, urls[i], "cluster/member/list", "{}",
                                                CLUSTER_ASK_US, problem ? NULL : &problem);
        if (answer) {
            picture->list = cluster_list_read(answer);
            return true;
        }
    }
    g_propagate_prefixed_error(error, g_steal_pointer(&problem),
                               "no member of the cluster answers: ");
    return false;
}

static const StoreEntry *entry_of(const StoreAnswer *answer, unsigned operation) {
    const StoreResult *result = store_answer_result(answer, operation);
    return result->entries->len ? g_ptr_array_index(result->entries, 0) : NULL;
}

static void ask_keys(ClusterLink *link, Picture *picture) {
    g_autoptr(StoreTxn) txn = store_txn_new();
    g_autoptr(GBytes) wanted = layout_bytes(CLUSTER_WANTED), change = layout_bytes(CLUSTER_CHANGE);
    g_autoptr(GBytes) hosts = layout_bytes(CLUSTER_HOST);
    store_txn_range(txn, STORE_THEN, &(StoreRange){ .key = wanted });
    store_txn_range(txn, STORE_THEN, &(StoreRange){ .key = change });
    store_txn_range(txn, STORE_THEN, &(StoreRange){ .key = hosts, .prefix = true });
    g_autoptr(StoreAnswer) answer =
        store_wait(store_commit(link->store, txn, NULL, NULL), &picture->problem);
    picture->hosts = answer ? cluster_hosts_read(store_answer_result(answer, 2))
                            : g_ptr_array_new_with_free_func((GDestroyNotify)value_unref);
    if (answer) {
        picture->wanted = cluster_entry_value(entry_of(answer, 0));
        picture->change = cluster_entry_value(entry_of(answer, 1));
    }
}

static Value *host_at(const Picture *picture, const char *peer) {
    for (unsigned i = 0; i < picture->hosts->len; i++)
        if (strcmp(value_map_string(picture->hosts->pdata[i], "peer", ""), peer) == 0)
            return picture->hosts->pdata[i];
    return NULL;
}

static void ask_health(ClusterLink *link, Row *row) {
    if (!row->listed->client)
        return;
    g_autoptr(Value) answer = etcd_ask_wait(link->store, row->listed->client, "maintenance/status",
                                            "{}", CLUSTER_ASK_US, NULL);
    if (answer)
        cluster_health_read(answer, row->listed->id, &row->health);
}

static void ask_members(ClusterLink *link, Picture *picture) {
    picture->rows = g_array_new(FALSE, TRUE, sizeof(Row));
    for (unsigned i = 0; i < picture->list->len; i++) {
        Row row = { .listed = g_ptr_array_index(picture->list, i) };
        ask_health(link, &row);
        picture->voters += !row.listed->learner;
        picture->answering += !row.listed->learner && row.health.version;
        picture->healthy += !row.listed->learner && row.health.healthy;
        g_array_append_val(picture->rows, row);
    }
}

static void add_hosts(Picture *picture) {
    for (unsigned i = 0; i < picture->rows->len; i++) {
        Row *row = &g_array_index(picture->rows, Row, i);
        row->host = host_at(picture, row->listed->peer);
    }
    for (unsigned i = 0; i < picture->hosts->len; i++) {
        Row row = { .host = g_ptr_array_index(picture->hosts, i) };
        if (!cluster_list_find(picture->list, value_map_string(row.host, "peer", "")))
            g_array_append_val(picture->rows, row);
    }
}

static bool look(ClusterLink *link, Picture *picture, GError **error) {
    if (!ask_list(link, picture, error))
        return false;
    ask_members(link, picture);
    if (picture->healthy > picture->voters / 2)
        ask_keys(link, picture);
    else
        g_set_error(&picture->problem, STORE_ERROR, STORE_ERROR_UNAVAILABLE,
                    "%u of %u members %s a leader; start what is missing", picture->healthy,
                    picture->voters, plural(picture->healthy, "knows", "know"));
    if (picture->hosts)
        add_hosts(picture);
    return true;
}

/* --- showing */

static const char *role_of(const Row *row) {
    if (!row->listed) /* one that was a member finds out, and moves its data aside */
        return *value_map_string(row->host, "data", "") ? "leaving" : "spare";
    if (row->health.version && !row->health.healthy)
        return "alone"; /* without a leader */
    if (!row->health.healthy)
        return row->listed->client ? "silent" : "starting";
    return row->listed->learner ? "learner" : row->health.leader ? "leader" : "member";
}

static const char *name_of(const Row *row) {
    if (row->host)
        return value_map_string(row->host, "name", "?");
    return *row->listed->name ? row->listed->name : row->listed->peer;
}

static const char *url_of(const Row *row) {
    const char *url = row->listed ? row->listed->client : value_map_string(row->host, "client", "");
    return url ? url : "";
}

static void add_row(GString *text, const Row *row, bool supervisors_known) {
    g_string_append_printf(text, "%-16s %-9s %s", name_of(row), role_of(row), url_of(row));
    if (row->health.version)
        g_string_append_printf(text, " etcd %s, %" G_GINT64_FORMAT " KiB", row->health.version,
                               row->health.size / 1024);
    if (!row->host && supervisors_known)
        g_string_append(text, ", no supervisor");
    g_string_append_c(text, '\n');
}

static void add_change(GString *text, const Value *change) {
    static const char *const past[][2] = { { "add", "added" },
                                           { "promote", "promoted" },
                                           { "remove", "removed" } };
    const char *kind = value_map_string(change, "kind", ""),
               *why = value_map_string(change, "why", "");
    g_autofree char *at = time_show(value_map_int(change, "at", 0) * G_USEC_PER_SEC);
    for (size_t i = 0; i < G_N_ELEMENTS(past); i++)
        if (strcmp(kind, past[i][0]) == 0)
            g_string_append_printf(text, "%s: %s %s (%s)\n", at, past[i][1],
                                   value_map_string(change, "whom", "?"), why);
    if (strcmp(kind, "wait") == 0 && *why)
        g_string_append_printf(text, "%s: %s\n", at, why);
}

static char *show(const Picture *picture) {
    GString *text = g_string_new(NULL);
    for (unsigned i = 0; i < picture->rows->len; i++)
        add_row(text, &g_array_index(picture->rows, Row, i), picture->hosts != NULL);
    g_string_append_printf(text, "%u of %u %s in reach", picture->answering, picture->voters,
                           plural(picture->voters, "member is", "members are"));
    if (picture->wanted)
        g_string_append_printf(text, ", %" G_GINT64_FORMAT " wanted",
                               value_map_int(picture->wanted, "size", 0));
    g_string_append_c(text, '\n');
    if (picture->change)
        add_change(text, picture->change);
    return g_string_free(text, FALSE);
}

static void print_json(Printer *printer, const Picture *picture) {
    Value *map = value_new_map(), *rows = value_new_list();
    for (unsigned i = 0; i < picture->rows->len; i++) {
        const Row *row = &g_array_index(picture->rows, Row, i);
        Value *one = value_new_map();
        value_map_set(one, "name", value_new_string(name_of(row)));
        value_map_set(one, "role", value_new_string(role_of(row)));
        value_map_set(one, "client", value_new_string(url_of(row)));
        value_map_set(one, "supervised", value_new_bool(row->host != NULL));
        if (row->listed)
            value_map_set(one, "id", value_new_string(row->listed->id));
        if (row->health.version) {
            value_map_set(one, "version", value_new_string(row->health.version));
            value_map_set(one, "bytes", value_new_int(row->health.size));
        }
        value_list_append(rows, one);
    }
    value_map_set(map, "hosts", rows);
    value_map_set(map, "members", value_new_int(picture->voters));
    value_map_set(map, "in_reach", value_new_int(picture->answering));
    value_map_set(map, "quorum", value_new_bool(!picture->problem));
    if (picture->wanted)
        value_map_set(map, "wanted", value_new_int(value_map_int(picture->wanted, "size", 0)));
    if (picture->change)
        value_map_set(map, "change", value_ref(picture->change));
    printer_json(printer, "cluster", map);
}

static bool print(Printer *printer, Picture *picture, char **told, GError **error) {
    g_autofree char *text = show(picture);
    if (g_strcmp0(*told, text) != 0) {
        if (*told && !printer_is_json(printer))
            printer_line(printer, STYLE_PLAIN, "%s", "");
        if (printer_is_json(printer))
            print_json(printer, picture);
        else
            printer_line(printer, STYLE_PLAIN, "%.*s", (int)strlen(text) - 1, text);
        (void)fflush(stdout);
        g_free(*told);
        *told = g_steal_pointer(&text);
    }
    if (!picture->problem)
        return true;
    g_propagate_prefixed_error(error, g_steal_pointer(&picture->problem),
                               "the cluster has no quorum, nothing can be read or written: ");
    return false;
}

static void on_time(void *data) {
    loop_quit(data);
}

typedef struct {
    Loop *loop;
    bool stop;
} Watch;

static void on_stop(void *data, int number) {
    Watch *watch = data;
    watch->stop = true;
    loop_quit(watch->loop);
}

static bool once(ClusterLink *link, Printer *printer, char **told, GError **error) {
    Picture picture = { 0 };
    bool good = look(link, &picture, error) && print(printer, &picture, told, error);
    picture_clear(&picture);
    return good;
}

bool cluster_status(ClusterLink *link, Printer *printer, bool watch, GError **error) {
    g_autofree char *told = NULL;
    if (!watch)
        return once(link, printer, &told, error);
    Watch state = { .loop = link->loop };
    g_autoptr(LoopSource) on_int = loop_watch_signal(link->loop, SIGINT, on_stop, &state, error);
    g_autoptr(LoopSource) on_term =
        on_int ? loop_watch_signal(link->loop, SIGTERM, on_stop, &state, error) : NULL;
    if (!on_term)
        return false;
    while (!state.stop) {
        g_autoptr(GError) problem = NULL;
        LoopTimer *timer = NULL;
        if (!once(link, printer, &told, &problem) && !state.stop)
            printer_warning(printer, "%s", problem->message);
        if (state.stop)
            break;
        loop_timer_set(link->loop, &timer, loop_now(link->loop) + G_USEC_PER_SEC, on_time,
                       link->loop);
        bool ran = loop_run(link->loop, error);
        loop_timer_clear(&timer);
        if (!ran)
            return false;
    }
    return true;
}
