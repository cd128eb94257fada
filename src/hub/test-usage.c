/* What hosts have in a store, as a hub counts it. */
#include "hub/usage.h"

#include <string.h>

#include "fleet/layout.h"

typedef struct {
    Loop *loop;
    Store *state;
    Usage *usage;
    StoreWatch *watch;
    LoopTimer *timer;
} Site;

static void on_change(void *data, int64_t revision, GPtrArray *events, const GError *error) {
    Site *site = data;
    g_assert_no_error(error);
    for (unsigned i = 0; i < events->len; i++)
        usage_hear(site->usage, events->pdata[i]);
    usage_heard(site->usage, revision);
}

static void stop(void *data) {
    loop_quit(data);
}

static void settle_down(Site *site) {
    loop_timer_set(site->loop, &site->timer, loop_now(site->loop) + G_USEC_PER_SEC, stop,
                   site->loop);
    g_assert_true(loop_run(site->loop, NULL));
}

static void site_open(Site *site, UsageCount limit) {
    site->loop = loop_new_virtual(NULL);
    site->state = store_open_memory(site->loop);
    site->usage = usage_new(site->state, limit);
    site->watch = store_watch(site->state, NULL, false, 1, on_change, site);
}

static void site_clear(Site *site) {
    store_watch_stop(site->watch);
    usage_free(site->usage);
    store_free(site->state);
    loop_timer_clear(&site->timer);
    loop_free(site->loop);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Site, site_clear)

static GBytes *key_at(const char *below) {
    g_autofree char *text = g_strconcat(LAYOUT_ROOT, below, NULL);
    return layout_bytes(text);
}

static void put(Site *site, const char *below, const char *text) {
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) key = key_at(below), value = layout_bytes(text);
    g_autoptr(StoreAnswer) answer =
        store_wait(store_put(site->state, key, value, 0, NULL, NULL), &error);
    g_assert_no_error(error);
}

static void delete_below(Site *site, const char *below) {
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) key = key_at(below);
    g_autoptr(StoreAnswer) answer =
        store_wait(store_delete(site->state, key, true, NULL, NULL), &error);
    g_assert_no_error(error);
}

static void expect(Site *site, const char *host, uint64_t bytes, uint64_t keys) {
    settle_down(site);
    UsageCount count = usage_of(site->usage, host);
    g_assert_cmpuint(count.bytes, ==, bytes);
    g_assert_cmpuint(count.keys, ==, keys);
}

/* Whether so much may be put there; the claim is left open. */
static bool may(Site *site, const char *host, const char *below, size_t size, Claim **ret) {
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) key = key_at(below), value = g_bytes_new_take(g_malloc0(size), size);
    g_autoptr(StoreTxn) txn = store_txn_new();
    store_txn_put(txn, STORE_THEN, key, value, 0);
    *ret = NULL;
    bool fits = usage_claim(site->usage, host, txn, ret, &error);
    g_assert_true(fits || g_error_matches(error, STORE_ERROR, STORE_ERROR_TOO_LARGE));
    return fits;
}

static void whose(void) {
    static const struct {
        const char *key, *host;
    } rows[] = {
        { "data/a/b@web1", "web1" },
        { "export/file/web1/x/y", "web1" },
        { "schedule/s/pool/web1", "web1" },
        { "schedule/s/seat/0", "value" },
        { "host/web1", "web1" },
        { "kv/web1", "web1" },
        { "kv/web1/a", "web1" },
        { "kv/shared/a", "shared" },
        { "fleet/reported/web1", "web1" },
        { "fleet/facts/web1", "web1" },
        { "fleet/run/web1", "web1" },
        { "fleet/drift/web1/17", "web1" },
        { "fleet/answer/web1/x", "web1" },
        { "fleet/member/web1", NULL },
        { "fleet/desired/web1", NULL },
        { "bundle/chunk/x/1/2", NULL },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_auto(Site) site = { 0 };
        site_open(&site, (UsageCount){ 1000, 1000 });
        put(&site, rows[i].key, "value");
        if (rows[i].host)
            expect(&site, rows[i].host, strlen(rows[i].key) + strlen("value"), 1);
        expect(&site, "web2", 0, 0);
        if (!rows[i].host)
            expect(&site, "web1", 0, 0);
        delete_below(&site, "");
        expect(&site, rows[i].host ? rows[i].host : "web1", 0, 0);
    }
}

static void follows_changes(void) {
    g_auto(Site) site = { 0 };
    site_open(&site, (UsageCount){ 1000, 1000 });
    put(&site, "kv/a", "12345");
    put(&site, "kv/a/b", "1");
    put(&site, "kv/a", "1");
    put(&site, "schedule/s/seat/0", "a");
    expect(&site, "a", 5 + 7 + 18, 3);
    put(&site, "schedule/s/seat/0", "b");
    expect(&site, "a", 5 + 7, 2);
    expect(&site, "b", 18, 1);
}

/* More than a page, some too large for one; and changes that are heard while it is read. */
static void reads_what_is_there(void) {
    g_auto(Site) site = { 0 };
    site_open(&site, (UsageCount){ 1000, 1000 });
    g_autofree char *large = g_strnfill(1000000, 'x');
    for (unsigned i = 0; i < 1500; i++) {
        g_autofree char *key = g_strdup_printf("fleet/drift/web%u/%04u", i % 3, i);
        put(&site, key, i < 100 ? large : "");
    }
    delete_below(&site, "fleet/drift/web0/");
    settle_down(&site);
    UsageCount before = usage_of(site.usage, "web1");
    g_assert_cmpuint(before.keys, ==, 500);
    usage_reset(site.usage);
    g_assert_cmpuint(usage_of(site.usage, "web1").keys, ==, 0);
    delete_below(&site, "fleet/drift/web2/");
    put(&site, "kv/web2", "x");
    expect(&site, "web1", before.bytes, before.keys);
    expect(&site, "web2", strlen("kv/web2") + 1, 1);
    expect(&site, "web0", 0, 0);
}

static void refuses(void) {
    g_auto(Site) site = { 0 };
    Claim *claim, *other;
    site_open(&site, (UsageCount){ 1000, 2 });
    g_assert_false(may(&site, "a", "kv/a", 1000, &claim)); /* its key counts too */
    g_assert_true(may(&site, "a", "kv/a", 900, &claim));
    g_assert_false(may(&site, "a", "kv/a/1", 900, &other)); /* both at once would not fit */
    g_assert_true(may(&site, "b", "kv/b", 900, &other));
    usage_settle(site.usage, claim, 0);
    usage_settle(site.usage, other, 0);
    g_assert_true(may(&site, "a", "kv/a/1", 900, &claim)); /* nothing came of the first */

    put(&site, "kv/a/1", "1");
    put(&site, "kv/a/2", "1");
    usage_settle(site.usage, claim, 3); /* written, and heard of or not */
    expect(&site, "a", 14, 2);
    g_assert_false(may(&site, "a", "kv/a/3", 0, &claim)); /* too many keys */
    g_assert_true(may(&site, "a", "kv/a/1", 1, &claim));
    g_assert_null(claim); /* nothing more */
    g_assert_true(may(&site, "a", "kv/a/1", 900, &claim));
    usage_settle(site.usage, claim, 0);
    g_assert_true(may(&site, "a", "fleet/reported/a", 2000, &claim)); /* how it is, is told */
    usage_settle(site.usage, claim, 0);
    delete_below(&site, "kv/a/1");
    settle_down(&site);
    g_assert_true(may(&site, "a", "kv/a/3", 0, &claim));
    usage_settle(site.usage, claim, 0);
}

static void tells(void) {
    g_auto(Site) site = { 0 };
    g_autoptr(GString) text = g_string_new(NULL);
    Claim *claim;
    site_open(&site, (UsageCount){ 20, 1000 });
    put(&site, "kv/most", "12345");
    put(&site, "kv/few", "1");
    settle_down(&site);
    g_assert_false(may(&site, "most", "kv/most/1", 20, &claim));
    usage_metrics(site.usage, text);
    g_assert_nonnull(strstr(text->str, "\nstead_hub_hosts_bytes 19\n"));
    g_assert_nonnull(strstr(text->str, "\nstead_hub_hosts_keys 2\n"));
    g_assert_nonnull(strstr(text->str, "\nstead_hub_host_bytes_limit 20\n"));
    g_assert_nonnull(strstr(text->str, "\nstead_hub_host_full_total 1\n"));
    g_assert_nonnull(strstr(text->str, "\nstead_hub_host_bytes{host=\"most\"} 12\n"));
    g_assert_null(strstr(text->str, "few"));
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/hub/usage/whose", whose);
    g_test_add_func("/hub/usage/follows-changes", follows_changes);
    g_test_add_func("/hub/usage/reads-what-is-there", reads_what_is_there);
    g_test_add_func("/hub/usage/refuses", refuses);
    g_test_add_func("/hub/usage/tells", tells);
    return g_test_run();
}
