/* What happens to a store when its etcd does: members lost, no quorum, users and their tokens. */
#include <stdio.h>
#include <string.h>

#include "http/client.h"
#include "state/etcd-json.h"
#include "state/test-fixture.h"

#define SKIP_TEXT "there is no etcd here: apt install etcd-server etcd-client"

typedef struct {
    Loop *loop;
    EtcdServers *servers;
    Store *store;
    StoreWatch *watch;
    GArray *told;    /* of int64_t: revisions, by the watch */
    int watch_error; /* -1: none */
} Cluster;

static void on_watch(void *data, int64_t revision, GPtrArray *events, const GError *error) {
    Cluster *cluster = data;
    if (error != NULL)
        cluster->watch_error = error->code;
    for (unsigned i = 0; i < events->len; i++) {
        const StoreEntry *entry = g_ptr_array_index(events, i);
        g_array_append_val(cluster->told, entry->mod_revision);
    }
}

static bool cluster_start(Cluster *cluster, unsigned members) {
    *cluster = (Cluster){ .servers = etcd_servers_start(members), .watch_error = -1 };
    if (cluster->servers == NULL) {
        g_test_skip(SKIP_TEXT);
        return false;
    }
    cluster->loop = loop_new(NULL);
    cluster->told = g_array_new(FALSE, FALSE, sizeof(int64_t));
    cluster->store = store_open_etcd(
        cluster->loop, &(StoreEtcdOptions){ .urls = etcd_servers_urls(cluster->servers) }, NULL);
    g_assert_nonnull(cluster->store);
    return true;
}

static void cluster_stop(Cluster *cluster) {
    store_free(cluster->store); /* and its watches */
    loop_free(cluster->loop);
    etcd_servers_free(cluster->servers);
    g_array_unref(cluster->told);
}

static void on_turn(void *data) {
    loop_quit(data);
}

static void run_for(Cluster *cluster, uint64_t us) {
    LoopTimer *timer = NULL;
    loop_timer_set(cluster->loop, &timer, loop_now(cluster->loop) + us, on_turn, cluster->loop);
    g_assert_true(loop_run(cluster->loop, NULL));
    loop_timer_clear(&timer);
}

/* Tries until it is done; fails for any error that does not allow that. Returns its revision. */
static int64_t put(Cluster *cluster, const char *value) {
    for (unsigned tries = 0;; tries++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(GBytes) key = bytes_of("web/k"), bytes = bytes_of(value);
        g_autoptr(StoreAnswer) answer =
            store_wait(store_put(cluster->store, key, bytes, 0, NULL, NULL), &error);
        if (answer != NULL)
            return answer->revision;
        if (tries == 100 ||
            (error->code != STORE_ERROR_UNAVAILABLE && error->code != STORE_ERROR_UNKNOWN_OUTCOME))
            g_error("%s", error->message);
        run_for(cluster, 100000);
    }
}

static void wait_told(Cluster *cluster, unsigned n) {
    for (unsigned tries = 0; tries < 300 && cluster->told->len < n; tries++)
        run_for(cluster, 100000);
    g_assert_cmpint(cluster->told->len, ==, n);
    for (unsigned i = 1; i < n; i++)
        g_assert_cmpint(g_array_index(cluster->told, int64_t, i), >,
                        g_array_index(cluster->told, int64_t, i - 1));
}

static void watch(Cluster *cluster, int64_t from) {
    g_autoptr(GBytes) prefix = bytes_of("web/");
    cluster->watch = store_watch(cluster->store, prefix, true, from, on_watch, cluster);
}

static bool is_unavailable(Cluster *cluster, StoreCall *call) {
    g_autoptr(GError) error = NULL;
    g_autoptr(StoreAnswer) answer = store_wait(call, &error);
    return answer == NULL && error->code == STORE_ERROR_UNAVAILABLE;
}

/* One member of three may go; without two nothing is done and that is said; then all goes on. */
static void test_members_lost(void) {
    Cluster cluster;
    g_autoptr(GBytes) key = bytes_of("web/k");
    if (!cluster_start(&cluster, 3))
        return;
    int64_t first = put(&cluster, "1");
    watch(&cluster, first);
    wait_told(&cluster, 1);
    etcd_servers_kill(cluster.servers, 0); /* the one that was asked, and that watches */
    put(&cluster, "2");
    wait_told(&cluster, 2);
    etcd_servers_kill(cluster.servers, 1);
    run_for(&cluster, 2 * G_USEC_PER_SEC); /* until the last one knows that it is alone */
    g_assert_true(is_unavailable(&cluster, store_get(cluster.store, key, NULL, NULL)));
    g_assert_true(is_unavailable(&cluster, store_put(cluster.store, key, key, 0, NULL, NULL)));
    etcd_servers_restart(cluster.servers, 0);
    etcd_servers_restart(cluster.servers, 1);
    int64_t last = put(&cluster, "3");
    g_assert_cmpint(last, ==, first + 2); /* what was refused was not done */
    wait_told(&cluster, 3);
    g_assert_cmpint(cluster.watch_error, ==, -1);
    cluster_stop(&cluster);
}

static bool etcdctl(const Cluster *cluster, const char *words) {
    g_autofree char *command = g_strdup_printf("env ETCDCTL_API=3 etcdctl --endpoints %s %s",
                                               etcd_servers_urls(cluster->servers), words);
    g_autofree char *out = NULL, *err = NULL;
    int status;
    if (!g_spawn_command_line_sync(command, &out, &err, &status, NULL))
        return false;
    if (status != 0)
        g_test_message("%s: %s", words, err);
    return status == 0;
}

static const char *const users[] = {
    "user add root:r",
    "user add hub:secret",
    "role add webs",
    "role grant-permission webs readwrite web/ --prefix",
    "user grant-role root root",
    "user grant-role hub webs",
    "auth enable",
};

/* A member that was restarted knows no token: we log in again, and nobody notices. */
static void test_tokens(void) {
    Cluster cluster;
    g_autofree char *program = g_find_program_in_path("etcdctl");
    if (program == NULL) {
        g_test_skip(SKIP_TEXT);
        return;
    }
    if (!cluster_start(&cluster, 1))
        return;
    put(&cluster, "1");
    for (size_t i = 0; i < G_N_ELEMENTS(users); i++)
        g_assert_true(etcdctl(&cluster, users[i]));
    g_autoptr(GBytes) key = bytes_of("web/k"), other = bytes_of("db/k");
    must_fail(store_get(cluster.store, key, NULL, NULL), STORE_ERROR_DENIED);
    store_free(cluster.store);
    cluster.store = store_open_etcd(cluster.loop,
                                    &(StoreEtcdOptions){ .urls = etcd_servers_urls(cluster.servers),
                                                         .user = "hub",
                                                         .password = "secret" },
                                    NULL);
    watch(&cluster, put(&cluster, "2"));
    wait_told(&cluster, 1);
    must_fail(store_put(cluster.store, other, key, 0, NULL, NULL), STORE_ERROR_DENIED);
    etcd_servers_kill(cluster.servers, 0);
    etcd_servers_restart(cluster.servers, 0);
    put(&cluster, "3");
    wait_told(&cluster, 2);
    g_autoptr(StoreWatch) denied = store_watch(cluster.store, other, true, 1, on_watch, &cluster);
    for (unsigned tries = 0; tries < 100 && cluster.watch_error < 0; tries++)
        run_for(&cluster, 100000);
    g_assert_cmpint(cluster.watch_error, ==, STORE_ERROR_DENIED);
    g_clear_pointer(&denied, store_watch_stop);
    cluster_stop(&cluster);
}

/* What a write whose answer does not come says: not that nothing was done. */
static void test_answer_lost(void) {
    Cluster cluster;
    g_autoptr(GBytes) key = bytes_of("web/k");
    if (!cluster_start(&cluster, 1))
        return;
    put(&cluster, "1");
    StoreCall *call = store_put(cluster.store, key, key, 0, NULL, NULL);
    etcd_servers_freeze(cluster.servers, 0, true);
    run_for(&cluster, 300000); /* it is sent */
    etcd_servers_kill(cluster.servers, 0);
    must_fail(call, STORE_ERROR_UNKNOWN_OUTCOME);
    g_assert_true(is_unavailable(&cluster, store_put(cluster.store, key, key, 0, NULL, NULL)));
    cluster_stop(&cluster);
}

/* What we refuse ourselves before it is sent: etcd does too, in words that we know. */
static const struct {
    const char *path, *body;
    StoreErrorCode code;
} refusals[] = {
    { "kv/txn",
      "{\"success\":[{\"request_put\":{\"key\":\"YQ==\"}},{\"request_put\":{\"key\":\"YQ==\"}}]}",
      STORE_ERROR_INVALID },
    { "kv/txn",
      "{\"success\":[{\"request_put\":{\"key\":\"YWI=\"}},"
      "{\"request_delete_range\":{\"key\":\"YQ==\",\"range_end\":\"Yg==\"}}]}",
      STORE_ERROR_INVALID },
    { "kv/put", "{\"key\":\"\",\"value\":\"MQ==\"}", STORE_ERROR_INVALID },
    { "kv/put", "{\"key\":\"YQ==\",\"lease\":\"77\"}", STORE_ERROR_LEASE_GONE },
    { "kv/put", NULL, STORE_ERROR_TOO_LARGE }, /* a value of 2 MiB */
    { "kv/range", "{\"key\":\"YQ==\",\"revision\":\"4711\"}", STORE_ERROR_FUTURE_REVISION },
    { "kv/compaction", "{\"revision\":\"1\"}", STORE_ERROR_COMPACTED },
    { "lease/grant", "{\"TTL\":\"9000000001\"}", STORE_ERROR_TOO_LARGE },
};

static void on_refusal(void *data, const HttpReply *reply, const GError *error) {
    Cluster *cluster = data;
    g_autoptr(GError) problem = NULL;
    g_assert_no_error(error);
    g_assert_cmpint(reply->status, !=, 200);
    g_assert_cmpint(etcd_fate(reply->status, reply->body, &problem), ==, ETCD_REFUSED);
    cluster->watch_error = problem->code;
    loop_quit(cluster->loop);
}

static void test_refusals(void) {
    Cluster cluster;
    if (!cluster_start(&cluster, 1))
        return;
    int64_t first = put(&cluster, "1");
    store_answer_unref(must(store_compact(cluster.store, first, NULL, NULL)));
    g_autofree char *zeros = g_strnfill(2 * 1024 * 1024 / 3 * 4, 'A');
    g_autofree char *large = g_strdup_printf("{\"key\":\"YQ==\",\"value\":\"%s\"}", zeros);
    g_autoptr(HttpClient) client = http_client_new(cluster.loop, NULL, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(refusals); i++) {
        g_autofree char *url =
            g_strconcat(etcd_servers_urls(cluster.servers), "/v3/", refusals[i].path, NULL);
        g_autoptr(GBytes) body = bytes_of(refusals[i].body != NULL ? refusals[i].body : large);
        (void)http_client_send(client, &(HttpAsk){ .url = url, .body = body }, on_refusal,
                               &cluster);
        g_assert_true(loop_run(cluster.loop, NULL));
        g_assert_cmpint(cluster.watch_error, ==, refusals[i].code);
    }
    g_clear_pointer(&client, http_client_free);
    cluster_stop(&cluster);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cluster/members-lost", test_members_lost);
    g_test_add_func("/cluster/tokens", test_tokens);
    g_test_add_func("/cluster/answer-lost", test_answer_lost);
    g_test_add_func("/cluster/refusals", test_refusals);
    return g_test_run();
}
