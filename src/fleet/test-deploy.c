/* Deploys in the store: who may publish what after what, and what is kept of it. */
#include <string.h>

#include "base/error.h"
#include "fleet/deploy.h"
#include "fleet/layout.h"
#include "fleet/test-fleet.h"

typedef struct {
    Fleet fleet;
    SigningKey *key;
    Roster *roster;
    char digests[20][DIGEST_HEX_SIZE]; /* of the bundles 1, 2, ...; 0: none */
} Site;

typedef struct {
    bool done;
    GError *error;
    GBytes *packed;
} Outcome;

static void on_changed(void *data) {
}

static void site_open(Site *site) {
    g_autoptr(GError) error = NULL;
    *site = (Site){ 0 };
    fleet_open(&site->fleet);
    site->key = signing_key_new(&error);
    g_assert_no_error(error);
    site->roster = roster_new(site->fleet.loop, site->fleet.store, on_changed, site);
    for (unsigned i = 1; i < G_N_ELEMENTS(site->digests); i++)
        digest_bytes(&i, sizeof i, site->digests[i]);
}

static void site_close(Site *site) {
    roster_free(site->roster);
    signing_key_free(site->key);
    fleet_close(&site->fleet);
}

static void on_done(void *data, const GError *error) {
    Outcome *outcome = data;
    outcome->done = true;
    outcome->error = error ? g_error_copy(error) : NULL;
}

static void on_fetched(void *data, GBytes *packed, const GError *error) {
    on_done(data, error);
    ((Outcome *)data)->packed = packed ? g_bytes_ref(packed) : NULL;
}

static bool is_done(void *data) {
    return ((Outcome *)data)->done;
}

static GError *wait_for(Site *site, Outcome *outcome) {
    fleet_run_until(&site->fleet, is_done, outcome);
    return outcome->error;
}

static void assert_refused(GError *error, const char *part) {
    g_assert_nonnull(error);
    if (!strstr(error->message, part))
        g_error("'%s' is not in: %s", part, error->message);
    g_error_free(error);
}

static char *public_line(const SigningKey *key) {
    return public_key_line(signing_key_public(key), "ada");
}

static GError *set_keys(Site *site, const char *text) {
    Outcome outcome = { 0 };
    (void)deploy_set_keys(site->fleet.store, text, NULL, NULL, on_done, &outcome);
    return wait_for(site, &outcome);
}

static void set_key(Site *site) {
    g_autofree char *line = public_line(site->key);
    g_assert_no_error(set_keys(site, line));
}

/* Bytes that tell which bundle they are of, more than one chunk of them. */
static GBytes *packed_of(unsigned bundle) {
    size_t size = 2 * DEPLOY_CHUNK + 100;
    uint8_t *data = g_malloc(size);
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)(i * bundle >> 3);
    return g_bytes_new_take(data, size);
}

typedef struct {
    unsigned record, bundle, previous;
    const SigningKey *key;
    const char *to, *by;
} Plan;

static DeployCall *publish(Site *site, Store *store, const Plan *plan, Outcome *outcome) {
    g_autoptr(GError) error = NULL;
    static char why[] = "why";
    Statement statement = { .record = plan->record, .time = plan->record, .message = why };
    g_strlcpy(statement.digest, site->digests[plan->bundle], DIGEST_HEX_SIZE);
    g_strlcpy(statement.previous, site->digests[plan->previous], DIGEST_HEX_SIZE);
    g_autofree char *text = statement_sign(&statement, plan->key ? plan->key : site->key, &error);
    g_assert_no_error(error);
    g_autoptr(GBytes) bytes = layout_bytes(text);
    g_autoptr(GBytes) packed = packed_of(plan->bundle);
    DeployRequest request = { .statement = bytes,
                              .packed = packed,
                              .digest = site->digests[plan->bundle],
                              .to = plan->to ? plan->to : "all",
                              .strategy = "",
                              .by = plan->by ? plan->by : "ada" };
    return deploy_publish(store, &request, on_done, outcome);
}

static GError *published(Site *site, const Plan *plan) {
    Outcome outcome = { 0 };
    (void)publish(site, site->fleet.store, plan, &outcome);
    return wait_for(site, &outcome);
}

static GBytes *fetched(Site *site, unsigned bundle, GError **error) {
    Outcome outcome = { 0 };
    (void)deploy_fetch(site->fleet.store, site->digests[bundle], on_fetched, &outcome);
    GError *found = wait_for(site, &outcome);
    if (found)
        g_propagate_error(error, found);
    return outcome.packed;
}

static uint64_t count_chunks(Site *site, unsigned bundle) {
    g_autoptr(GError) error = NULL;
    g_autofree char *prefix = g_strconcat(LAYOUT_CHUNK, site->digests[bundle], "/", NULL);
    g_autoptr(GBytes) key = layout_bytes(prefix);
    StoreRange range = { .key = key, .prefix = true, .keys_only = true };
    g_autoptr(StoreAnswer) answer =
        store_wait(store_range(site->fleet.store, &range, NULL, NULL), &error);
    g_assert_no_error(error);
    return store_answer_result(answer, 0)->count;
}

static void assert_fetched(Site *site, unsigned bundle) {
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) packed = fetched(site, bundle, &error);
    g_autoptr(GBytes) expected = packed_of(bundle);
    g_assert_no_error(error);
    g_assert_true(g_bytes_equal(packed, expected));
}

static void test_history(void) {
    Site site;
    site_open(&site);
    g_autoptr(SigningKey) other = signing_key_new(NULL);
    assert_refused(published(&site, &(Plan){ 1, 1 }), "this fleet has no list of keys");
    set_key(&site);
    assert_refused(published(&site, &(Plan){ 1, 1, .key = other }), "does not count here");
    assert_refused(published(&site, &(Plan){ 1, 1, .to = "role=" }), "character 6");
    assert_refused(published(&site, &(Plan){ 2, 1, 3 }), "there is no record 1 before it");
    g_assert_no_error(published(&site, &(Plan){ 1, 1 }));
    g_assert_no_error(published(&site, &(Plan){ 1, 1 })); /* the same again is no harm */
    assert_refused(published(&site, &(Plan){ 1, 2, .by = "bob" }), "'ada' was faster with bundle");
    assert_refused(published(&site, &(Plan){ 2, 3, 2 }), "the record before it has");
    g_assert_no_error(published(&site, &(Plan){ 2, 2, 1, .to = "role=web" }));
    assert_fetched(&site, 1);
    assert_fetched(&site, 2);
    g_autoptr(GError) error = NULL;
    g_assert_null(fetched(&site, 3, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND);
    const RosterRecord *record = roster_record(site.roster, 2);
    g_autofree char *to = selector_print(record->to);
    g_assert_cmpstr(record->digest, ==, site.digests[2]);
    g_assert_cmpstr(to, ==, "role=web");
    g_autofree char *bad = g_strconcat(LAYOUT_BAD, site.digests[1], NULL);
    fleet_put(&site.fleet, bad, "{}");
    assert_refused(published(&site, &(Plan){ 3, 1, 2 }),
                   "was reverted before; 'stead deploy forgive sha256:");
    site_close(&site);
}

static GError *collect(Site *site, int64_t wall_s) {
    Outcome outcome = { 0 };
    (void)deploy_collect(site->fleet.store, site->roster, wall_s, on_done, &outcome);
    return wait_for(site, &outcome);
}

static GError *upload(Site *site, Store *store, unsigned bundle, int64_t wall_s) {
    Outcome outcome = { 0 };
    g_autoptr(GBytes) packed = packed_of(bundle);
    (void)deploy_upload(store, site->digests[bundle], packed, wall_s, on_done, &outcome);
    return wait_for(site, &outcome);
}

static void on_also(void *data, StoreTxn *txn) {
    g_autoptr(GBytes) key = layout_bytes("audit/1"), value = layout_bytes("it was done");
    store_txn_put(txn, STORE_THEN, key, value, 0);
}

/* In two steps, as over HTTP: what was brought is kept for a while, and then deployed by name. */
static void test_upload_first(void) {
    Site site;
    site_open(&site);
    set_key(&site);
    Outcome outcome = { 0 };
    Statement statement = { .record = 1, .message = (char[]){ "why" } };
    g_strlcpy(statement.digest, site.digests[1], DIGEST_HEX_SIZE);
    g_autofree char *text = statement_sign(&statement, site.key, NULL);
    g_autoptr(GBytes) bytes = layout_bytes(text);
    DeployRequest request = { .statement = bytes,
                              .digest = site.digests[1],
                              .to = "all",
                              .strategy = "",
                              .by = "ada",
                              .also = on_also };
    (void)deploy_publish(site.fleet.store, &request, on_done, &outcome);
    assert_refused(wait_for(&site, &outcome), "is not there; upload it first");
    g_assert_no_error(upload(&site, site.fleet.store, 1, 1000));
    g_assert_no_error(upload(&site, site.fleet.store, 1, 2000)); /* it is there already */
    g_assert_cmpuint(count_chunks(&site, 1), ==, 3);
    g_assert_no_error(collect(&site, 1000 + DEPLOY_ABANDONED_S));
    assert_fetched(&site, 1);
    g_autofree char *before = fleet_get(&site.fleet, "audit/1");
    g_assert_null(before);
    outcome = (Outcome){ 0 };
    (void)deploy_publish(site.fleet.store, &request, on_done, &outcome);
    g_assert_no_error(wait_for(&site, &outcome));
    g_autofree char *after = fleet_get(&site.fleet, "audit/1");
    g_assert_cmpstr(after, ==, "it was done");
    g_assert_no_error(upload(&site, site.fleet.store, 2, 1000)); /* and never deployed */
    fleet_run_for(&site.fleet, G_USEC_PER_SEC);
    g_assert_no_error(collect(&site, 1001 + DEPLOY_ABANDONED_S));
    g_assert_cmpuint(count_chunks(&site, 1), ==, 3);
    g_assert_cmpuint(count_chunks(&site, 2), ==, 0);
    site_close(&site);
}

static void test_upload_lost_answers(void) {
    for (unsigned calls = 1; calls <= 6; calls++) {
        Site site;
        site_open(&site);
        Store *line = line_new(&site.fleet);
        line_break(line, calls, LINE_LOSES_ANSWER);
        g_autoptr(GError) error = upload(&site, line, 1, 1);
        g_assert_true((error != NULL) == (calls == 1));
        if (!error)
            assert_fetched(&site, 1);
        store_free(line);
        site_close(&site);
    }
}

static void test_other_bundle(void) {
    Site site;
    site_open(&site);
    set_key(&site);
    Outcome outcome = { 0 };
    g_strlcpy(site.digests[3], site.digests[1], DIGEST_HEX_SIZE);
    Statement statement = { .record = 1, .message = (char[]){ "why" } };
    g_strlcpy(statement.digest, site.digests[1], DIGEST_HEX_SIZE);
    g_autofree char *text = statement_sign(&statement, site.key, NULL);
    g_autoptr(GBytes) bytes = layout_bytes(text);
    DeployRequest request = { bytes, bytes, site.digests[2], "all", "", "ada", .wall_s = 0 };
    (void)deploy_publish(site.fleet.store, &request, on_done, &outcome);
    assert_refused(wait_for(&site, &outcome), "and what came with it is");
    site_close(&site);
}

static void test_keys(void) {
    Site site;
    site_open(&site);
    g_autoptr(GError) error = NULL;
    g_autoptr(SigningKey) second = signing_key_new(NULL);
    g_autoptr(KeyList) first =
        key_list_add(NULL, signing_key_public(site.key), "ada", site.key, &error);
    g_autoptr(KeyList) both =
        key_list_add(first, signing_key_public(second), "bob", site.key, &error);
    g_assert_no_error(error);
    g_assert_no_error(set_keys(&site, key_list_chain(both)));
    g_assert_no_error(published(&site, &(Plan){ 1, 1, .key = second }));
    assert_refused(set_keys(&site, key_list_chain(first)), "");
    g_autofree char *line = public_line(second);
    assert_refused(set_keys(&site, line), "");
    site_close(&site);
}

static void test_two_at_once(void) {
    Site site;
    site_open(&site);
    set_key(&site);
    Outcome ada = { 0 }, bob = { 0 };
    (void)publish(&site, site.fleet.store, &(Plan){ 1, 1 }, &ada);
    (void)publish(&site, site.fleet.store, &(Plan){ 1, 2, .by = "bob" }, &bob);
    GError *of_ada = wait_for(&site, &ada), *of_bob = wait_for(&site, &bob);
    g_assert_true((of_ada == NULL) != (of_bob == NULL));
    assert_refused(of_ada ? of_ada : of_bob, of_ada ? "'bob' was faster" : "'ada' was faster");
    site_close(&site);
}

/* The same bundle by two at once is whole in the end. */
static void test_same_bundle_at_once(void) {
    Site site;
    site_open(&site);
    set_key(&site);
    Outcome ada = { 0 }, bob = { 0 };
    (void)publish(&site, site.fleet.store, &(Plan){ 1, 1 }, &ada);
    (void)publish(&site, site.fleet.store, &(Plan){ 1, 1, .by = "bob" }, &bob);
    g_assert_no_error(wait_for(&site, &ada));
    g_assert_no_error(wait_for(&site, &bob)); /* it is one statement, published once */
    assert_fetched(&site, 1);
    g_assert_cmpuint(count_chunks(&site, 1), ==, 3);
    site_close(&site);
}

static void test_lost_answers(void) {
    for (unsigned calls = 1; calls <= 9; calls++) {
        Site site;
        site_open(&site);
        set_key(&site);
        Store *line = line_new(&site.fleet);
        Outcome outcome = { 0 };
        line_break(line, calls, LINE_LOSES_ANSWER);
        (void)publish(&site, line, &(Plan){ 1, 1 }, &outcome);
        g_autoptr(GError) error = wait_for(&site, &outcome);
        if (error) /* to have looked without an answer is told: nothing was done */
            g_assert_cmpuint(calls, ==, 1);
        else
            assert_fetched(&site, 1);
        store_free(line);
        site_close(&site);
    }
}

static void test_garbage(void) {
    Site site;
    site_open(&site);
    set_key(&site);
    for (unsigned i = 1; i <= 13; i++)
        g_assert_no_error(published(&site, &(Plan){ i, i, i - 1 }));
    g_autofree char *desired = g_strdup_printf("{\"record\":2,\"digest\":\"%s\"}", site.digests[2]);
    g_autofree char *abandoned = g_strconcat(LAYOUT_UPLOAD, site.digests[19], "/x", NULL);
    fleet_put(&site.fleet, LAYOUT_DESIRED "web1", desired);
    fleet_put(&site.fleet, abandoned, "{\"time\":100}");
    fleet_run_for(&site.fleet, G_USEC_PER_SEC);
    g_assert_no_error(collect(&site, 101));
    g_autofree char *young = fleet_get(&site.fleet, abandoned);
    g_assert_nonnull(young);
    for (unsigned i = 1; i <= 13; i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(GBytes) packed = fetched(&site, i, &error);
        g_assert_true((packed != NULL) == (i == 2 || i > 3));
    }
    g_assert_cmpuint(count_chunks(&site, 1), ==, 0);
    g_assert_cmpuint(count_chunks(&site, 13), ==, 3);
    g_assert_no_error(collect(&site, 101 + DEPLOY_ABANDONED_S));
    g_autofree char *old = fleet_get(&site.fleet, abandoned);
    g_assert_null(old);
    site_close(&site);
}

/* An old bundle is deployed again while it is collected: it is there, whoever comes first. */
static void test_collected_while_published(void) {
    for (unsigned delay = 0; delay < 2; delay++) {
        Site site;
        site_open(&site);
        set_key(&site);
        for (unsigned i = 1; i <= 12; i++)
            g_assert_no_error(published(&site, &(Plan){ i, i, i - 1 }));
        fleet_run_for(&site.fleet, G_USEC_PER_SEC);
        Outcome publishing = { 0 }, collecting = { 0 };
        if (delay)
            (void)deploy_collect(site.fleet.store, site.roster, 0, on_done, &collecting);
        (void)publish(&site, site.fleet.store, &(Plan){ 13, 1, 12 }, &publishing);
        if (!delay)
            (void)deploy_collect(site.fleet.store, site.roster, 0, on_done, &collecting);
        g_assert_no_error(wait_for(&site, &publishing));
        g_assert_no_error(wait_for(&site, &collecting));
        assert_fetched(&site, 1);
        site_close(&site);
    }
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fleet/deploy/history", test_history);
    g_test_add_func("/fleet/deploy/upload-first", test_upload_first);
    g_test_add_func("/fleet/deploy/upload-lost-answers", test_upload_lost_answers);
    g_test_add_func("/fleet/deploy/other-bundle", test_other_bundle);
    g_test_add_func("/fleet/deploy/keys", test_keys);
    g_test_add_func("/fleet/deploy/two-at-once", test_two_at_once);
    g_test_add_func("/fleet/deploy/same-bundle-at-once", test_same_bundle_at_once);
    g_test_add_func("/fleet/deploy/lost-answers", test_lost_answers);
    g_test_add_func("/fleet/deploy/garbage", test_garbage);
    g_test_add_func("/fleet/deploy/collected-while-published", test_collected_while_published);
    return g_test_run();
}
