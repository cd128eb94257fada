/* Exchange: what hosts see of each other. */
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "fleet/exchange.h"
#include "fleet/test-fleet.h"

#define SECOND G_USEC_PER_SEC

typedef struct {
    Fleet *fleet;
    Store *line;
    Exchange *exchange;
    unsigned changes, notes;
    char *last_note, *last_news;
    bool stopped;
} Host;

static void on_changed(void *data) {
    ((Host *)data)->changes++;
}

static void on_news(void *data, const char *text) {
    Host *host = data;
    g_free(host->last_news);
    host->last_news = g_strdup(text);
}

static void on_note(void *data, const char *text) {
    Host *host = data;
    host->notes++;
    g_free(host->last_note);
    host->last_note = g_strdup(text);
}

static const char *const web_grants[] = { "web/{host}", "shared/", NULL };

static void start_on(Host *host, Fleet *fleet, Store *line, const char *name,
                     const char *snapshot) {
    g_autoptr(GError) error = NULL;
    *host = (Host){ .fleet = fleet, .line = line };
    ExchangeOptions options = {
        .loop = fleet->loop,
        .store = host->line,
        .host = name,
        .grants = web_grants,
        .snapshot = snapshot,
        .listener = { .changed = on_changed, .note = on_note, .news = on_news, .data = host },
    };
    host->exchange = exchange_new(&options, &error);
    g_assert_no_error(error);
}

static void start(Host *host, Fleet *fleet, const char *name, const char *snapshot) {
    start_on(host, fleet, line_new(fleet), name, snapshot);
}

static void start_cut(Host *host, Fleet *fleet, const char *name, const char *snapshot) {
    Store *line = line_new(fleet);
    line_cut(line, true);
    start_on(host, fleet, line, name, snapshot);
}

static void crash(Host *host) {
    g_clear_pointer(&host->exchange, exchange_free);
    g_clear_pointer(&host->line, store_free);
    g_clear_pointer(&host->last_note, g_free);
    g_clear_pointer(&host->last_news, g_free);
}

static Value *parse(const char *text) {
    g_autoptr(GError) error = NULL;
    Value *value = json_parse(text, strlen(text), "test", &error);
    g_assert_no_error(error);
    return value;
}

static void declare(Host *host, const char *wants) {
    g_autoptr(Value) value = parse(wants);
    exchange_declare(host->exchange, value);
    fleet_run_for(host->fleet, SECOND / 10);
}

static void assert_view(Host *host, const char *member, const char *expected) {
    g_autoptr(Value) view = exchange_view(host->exchange);
    g_autofree char *text = json_print(value_map_get(view, member), JSON_COMPACT);
    g_assert_cmpstr(text, ==, expected);
}

static void assert_status(Host *host, bool connected, bool stale) {
    g_autoptr(Value) status = exchange_status(host->exchange);
    g_assert_cmpint(value_map_bool(status, "connected", !connected), ==, connected);
    g_assert_cmpint(value_map_bool(status, "stale", !stale), ==, stale);
}

#define GET_WEB "{\"get\":{\"web/\":true}}"

static void test_publish(void) {
    Fleet fleet;
    Host lb, web;
    fleet_open(&fleet);
    start(&lb, &fleet, "lb", NULL);
    start(&web, &fleet, "web1", NULL);
    declare(&lb, GET_WEB);
    declare(&web, "{\"publish\":{\"web/web1\":{\"port\":80},\"web1/x\":[1,2]}}");
    assert_view(&lb, "data", "{\"web/web1\":{\"port\":80}}");
    g_autofree char *text = fleet_get(&fleet, "stead/1/data/web1/x@web1");
    g_assert_cmpstr(text, ==, "{\"value\":[1,2]}");
    declare(&web, "{\"publish\":{\"web/web1\":{\"port\":81}}}"); /* changed, and one withdrawn */
    assert_view(&lb, "data", "{\"web/web1\":{\"port\":81}}");
    g_assert_null(fleet_get(&fleet, "stead/1/data/web1/x@web1"));
    declare(&web, "{}");
    assert_view(&lb, "data", "{}");
    assert_view(&lb, "missing", "{}"); /* it was withdrawn, not lost */
    crash(&lb);
    crash(&web);
    fleet_close(&fleet);
}

/* What its hub says of a host: labels, and what it may publish beside what it was started with. */
static void test_membership(void) {
    Fleet fleet;
    Host web;
    fleet_open(&fleet);
    g_autofree char *snapshot = g_strdup_printf("/tmp/stead-exchange-%d.json", getpid());
    start(&web, &fleet, "web1", snapshot);
    declare(&web, "{\"labels\":true,\"publish\":{\"lb/web1\":1,\"web1\":2}}");
    assert_view(&web, "labels", "{}");
    assert_view(&web, "grants", "[\"web/{host}\",\"shared/\"]");
    g_assert_null(fleet_get(&fleet, "stead/1/data/lb/web1@web1"));
    g_assert_cmpuint(web.notes, ==, 1);
    fleet_put(&fleet, "stead/1/fleet/member/web10", "{\"labels\":{\"role\":\"other\"}}");
    fleet_put(&fleet, "stead/1/fleet/member/web1",
              "{\"labels\":{\"role\":\"web\"},\"grants\":[\"lb/\"]}");
    fleet_run_for(&fleet, SECOND);
    assert_view(&web, "labels", "{\"role\":\"web\"}");
    assert_view(&web, "grants", "[\"web/{host}\",\"shared/\",\"lb/\"]");
    g_autofree char *text = fleet_get(&fleet, "stead/1/data/lb/web1@web1");
    g_assert_cmpstr(text, ==, "{\"value\":1}");
    crash(&web);
    start_cut(&web, &fleet, "web1", snapshot); /* without the store, what was known counts */
    assert_view(&web, "labels", "{\"role\":\"web\"}");
    crash(&web);
    (void)g_unlink(snapshot);
    fleet_close(&fleet);
}

/* Before anybody said what may be published, nothing is refused, and nothing published. */
static void test_unknown_membership(void) {
    Fleet fleet;
    Host web;
    fleet_open(&fleet);
    start_cut(&web, &fleet, "web1", NULL);
    g_autoptr(Value) wants = parse("{\"publish\":{\"lb/web1\":1}}");
    g_autoptr(Value) none = parse("{\"get\":{}}");
    g_assert_false(exchange_want(web.exchange, wants));
    g_assert_true(exchange_want(web.exchange, none));
    exchange_declare(web.exchange, wants);
    g_autoptr(Value) view = exchange_view(web.exchange);
    g_assert_null(value_map_get(view, "grants"));
    g_assert_cmpuint(web.notes, ==, 0);
    fleet_run_for(&fleet, 4 * SECOND);
    g_assert_true(exchange_want(web.exchange, wants)); /* waited for long enough */
    crash(&web);
    fleet_close(&fleet);
}

static void test_permission(void) {
    static const struct {
        const char *key;
        bool allowed;
    } cases[] = {
        { "web1", true },       { "web1/x", true },     { "web10/x", false },
        { "web2/x", false },    { "web/web1", true },   { "web/web1/x", true },
        { "web/web2", false },  { "web/web10", false }, { "web", false },
        { "shared/x", true },   { "shared", false },    { "shared/x/y", true },
        { "shared//x", false }, { "/web1", false },     { "web1/", false },
        { "", false },          { "web1/\n", false },   { "web1/\xff", false },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        bool allowed = exchange_may_publish("web1", web_grants, cases[i].key, &error);
        g_assert_cmpint(allowed, ==, cases[i].allowed);
        g_assert_cmpint(error == NULL, ==, allowed);
    }
    Fleet fleet;
    Host web;
    fleet_open(&fleet);
    start(&web, &fleet, "web1", NULL);
    declare(&web, "{\"publish\":{\"web2/x\":1}}");
    g_assert_nonnull(strstr(web.last_note, "host 'web1' may not publish 'web2/x'"));
    g_assert_null(fleet_get(&fleet, "stead/1/data/web2/x@web1"));
    crash(&web);
    fleet_close(&fleet);
}

static void test_one_key_of_two(void) {
    Fleet fleet;
    Host a, b;
    fleet_open(&fleet);
    start(&b, &fleet, "b", NULL);
    start(&a, &fleet, "a", NULL);
    declare(&b, "{\"publish\":{\"shared/x\":\"b\"},\"get\":{\"shared/x\":true}}");
    assert_view(&b, "data", "{\"shared/x\":\"b\"}");
    declare(&a, "{\"publish\":{\"shared/x\":\"a\"}}");
    assert_view(&b, "data", "{\"shared/x\":\"a\"}");
    declare(&a, "{}");
    assert_view(&b, "data", "{\"shared/x\":\"b\"}");
    crash(&a);
    crash(&b);
    fleet_close(&fleet);
}

static void test_crash(void) {
    Fleet fleet;
    Host lb, web;
    fleet_open(&fleet);
    start(&lb, &fleet, "lb", NULL);
    start(&web, &fleet, "web1", NULL);
    declare(&lb, GET_WEB);
    declare(&web, "{\"publish\":{\"web/web1\":1}}");
    crash(&web);
    fleet_run_for(&fleet, 50 * SECOND);
    assert_view(&lb, "data", "{\"web/web1\":1}");
    fleet_run_for(&fleet, 11 * SECOND);
    assert_view(&lb, "data", "{}");
    assert_view(&lb, "missing", "{\"web/web1\":1}");
    start(&web, &fleet, "web1", NULL);
    declare(&web, "{\"publish\":{\"web/web1\":2}}");
    assert_view(&lb, "data", "{\"web/web1\":2}");
    assert_view(&lb, "missing", "{}");
    crash(&lb);
    crash(&web);
    fleet_close(&fleet);
}

static void set_stopped(void *data) {
    ((Host *)data)->stopped = true;
}

static bool is_stopped(void *data) {
    return ((Host *)data)->stopped;
}

static void test_stop(void) {
    Fleet fleet;
    Host lb, web;
    fleet_open(&fleet);
    start(&lb, &fleet, "lb", NULL);
    start(&web, &fleet, "web1", NULL);
    declare(&lb, GET_WEB);
    declare(&web, "{\"publish\":{\"web/web1\":1},\"schedule\":{\"job\":{\"max\":1}}}");
    assert_view(&web, "schedule", "{\"job\":{\"web1\":true}}");
    exchange_stop(web.exchange, set_stopped, &web);
    uint64_t begun = loop_now(fleet.loop);
    fleet_run_until(&fleet, is_stopped, &web);
    g_assert_cmpuint(loop_now(fleet.loop) - begun, <, SECOND);
    assert_view(&lb, "data", "{}");
    assert_view(&lb, "missing", "{}");
    g_assert_null(fleet_get(&fleet, "stead/1/schedule/job/seat/0"));
    g_assert_null(fleet_get(&fleet, "stead/1/host/web1"));
    g_assert_cmpuint(web.notes, ==, 0);
    crash(&lb);
    crash(&web);
    fleet_close(&fleet);
}

static void test_stop_cut(void) {
    Fleet fleet;
    Host web;
    fleet_open(&fleet);
    start(&web, &fleet, "web1", NULL);
    declare(&web, "{\"publish\":{\"web/web1\":1}}");
    line_cut(web.line, true);
    exchange_stop(web.exchange, set_stopped, &web);
    uint64_t begun = loop_now(fleet.loop);
    fleet_run_until(&fleet, is_stopped, &web);
    g_assert_cmpuint(loop_now(fleet.loop) - begun, <=, EXCHANGE_STOP_US + SECOND / 10);
    crash(&web);
    fleet_close(&fleet);
}

/* The store is out of reach for longer than any lease: who was cut off keeps what it knew, and puts
 * its own back. */
static void test_cut(void) {
    Fleet fleet;
    Host lb, web;
    fleet_open(&fleet);
    start(&lb, &fleet, "lb", NULL);
    start(&web, &fleet, "web1", NULL);
    declare(&lb, "{\"get\":{\"web/\":true},\"publish\":{\"lb/x\":1}}");
    declare(&web, "{\"publish\":{\"web/web1\":1}}");
    line_cut(lb.line, true);
    fleet_run_for(&fleet, 10 * SECOND);
    assert_status(&lb, false, true);
    g_assert_cmpuint(lb.notes, ==, 1);
    g_assert_nonnull(strstr(lb.last_note, "out of reach"));
    fleet_run_for(&fleet, 600 * SECOND);
    g_assert_cmpuint(lb.notes, ==, 1);
    assert_view(&lb, "data", "{\"web/web1\":1}");
    g_assert_null(fleet_get(&fleet, "stead/1/data/lb/x@lb"));
    declare(&web, "{\"publish\":{\"web/web1\":2}}");
    line_cut(lb.line, false);
    fleet_run_for(&fleet, 10 * SECOND);
    assert_status(&lb, true, false);
    g_assert_cmpuint(lb.notes, ==, 1); /* good news is none of them */
    g_assert_cmpstr(lb.last_news, ==, "exchange: the store is back");
    assert_view(&lb, "data", "{\"web/web1\":2}");
    g_autofree char *text = fleet_get(&fleet, "stead/1/data/lb/x@lb");
    g_assert_cmpstr(text, ==, "{\"value\":1}");
    crash(&lb);
    crash(&web);
    fleet_close(&fleet);
}

typedef struct {
    Host *host;
    const char *wants;
} Asked;

static bool is_ready(void *data) {
    const Asked *asked = data;
    g_autoptr(Value) wants = parse(asked->wants);
    return exchange_want(asked->host->exchange, wants);
}

static void test_snapshot(void) {
    g_autofree char *dir = g_dir_make_tmp("stead-exchange-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "exchange.json", NULL);
    Fleet fleet;
    Host lb, web;
    fleet_open(&fleet);
    start(&lb, &fleet, "lb", path);
    start(&web, &fleet, "web1", NULL);
    declare(&lb, GET_WEB);
    declare(&web, "{\"publish\":{\"web/web1\":1}}");
    crash(&lb);
    g_autoptr(GError) error = NULL;
    g_autoptr(Value) read = exchange_read_snapshot(path, &error);
    g_assert_no_error(error);
    g_autofree char *text = json_print(value_map_get(read, "data"), JSON_COMPACT);
    g_assert_cmpstr(text, ==, "{\"web/web1\":1}");
    g_assert_cmpstr(value_map_string(read, "host", ""), ==, "lb");
    crash(&web);
    start_cut(&lb, &fleet, "lb", path);
    Asked asked = { &lb, GET_WEB };
    uint64_t begun = loop_now(fleet.loop);
    fleet_run_until(&fleet, is_ready, &asked);
    g_assert_cmpuint(loop_now(fleet.loop) - begun, <=, EXCHANGE_PATIENCE_US + SECOND);
    assert_view(&lb, "data", "{\"web/web1\":1}");
    assert_status(&lb, false, true);
    fleet_run_for(&fleet, 90 * SECOND); /* meanwhile the server's lease ends */
    line_cut(lb.line, false);
    fleet_run_for(&fleet, 10 * SECOND);
    assert_view(&lb, "data", "{}");
    assert_view(&lb, "missing", "{\"web/web1\":1}");
    crash(&lb);
    g_assert_true(g_file_set_contents(path, "{\"version\":", -1, NULL));
    start(&lb, &fleet, "lb", path);
    g_assert_nonnull(strstr(lb.last_note, "it is not what we wrote"));
    crash(&lb);
    g_assert_cmpint(g_remove(path), ==, 0);
    g_assert_cmpint(g_rmdir(dir), ==, 0);
    fleet_close(&fleet);
}

/* A store that says nothing is waited for, but not for long. */
static void test_patience(void) {
    Fleet fleet;
    Host lb;
    fleet_open(&fleet);
    start_cut(&lb, &fleet, "lb", NULL);
    Asked asked = { &lb, "{\"get\":{\"web/\":true},\"schedule\":{\"job\":{}}}" };
    g_assert_false(is_ready(&asked));
    fleet_run_until(&fleet, is_ready, &asked);
    g_assert_cmpuint(loop_now(fleet.loop), <=, EXCHANGE_PATIENCE_US + SECOND / 10);
    assert_view(&lb, "data", "{}");
    assert_view(&lb, "schedule", "{\"job\":{}}");
    crash(&lb);
    fleet_close(&fleet);
}

static void test_foreign_bytes(void) {
    static const char *const bytes[] = {
        "", "x", "{}", "[1]", "{\"value\":", "null", "{\"gone\":1}"
    };
    Fleet fleet;
    Host lb;
    fleet_open(&fleet);
    start(&lb, &fleet, "lb", NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(bytes); i++) {
        g_autofree char *key = g_strdup_printf("stead/1/data/web/w%u@w", i);
        fleet_put(&fleet, key, bytes[i]);
    }
    fleet_put(&fleet, "stead/1/data/web/nobody", "{\"value\":1}");
    fleet_put(&fleet, "stead/1/data/web//x@w", "{\"value\":1}");
    fleet_put(&fleet, "stead/1/data/web/fine@w", "{\"value\":1}");
    fleet_put(&fleet, "stead/1/export/file/x", "{\"value\":1}");
    fleet_put(&fleet, "stead/1/export/file/h/n", "{\"value\":1}");
    declare(&lb, "{\"get\":{\"/\":true},\"collect\":{\"file\":true}}");
    assert_view(&lb, "data", "{\"web/fine\":1}");
    assert_view(&lb, "export", "{\"file\":[]}");
    crash(&lb);
    fleet_close(&fleet);
}

static void test_many(void) {
    Fleet fleet;
    Host lb, web;
    fleet_open(&fleet);
    start(&lb, &fleet, "lb", NULL);
    start(&web, &fleet, "web1", NULL);
    g_autoptr(Value) wants = value_new_map();
    Value *keys = value_new_map();
    g_autofree char *long_text = g_strnfill(200000, 'x'); /* several do not fit a transaction */
    for (unsigned i = 0; i < 500; i++) {
        g_autofree char *key = g_strdup_printf("web1/%03u", i);
        value_map_set(keys, key, value_new_string(i < 10 ? long_text : "x"));
    }
    value_map_set(wants, "publish", keys);
    exchange_declare(web.exchange, wants);
    declare(&lb, "{\"get\":{\"web1/\":true}}");
    fleet_run_for(&fleet, 2 * SECOND);
    g_autoptr(Value) view = exchange_view(lb.exchange);
    g_assert_cmpuint(value_size(value_map_get(view, "data")), ==, 500);
    g_autoptr(Value) status = exchange_status(web.exchange);
    g_assert_cmpint(value_map_int(status, "published", 0), ==, 500);
    g_assert_cmpuint(web.notes, ==, 0);
    crash(&lb);
    crash(&web);
    fleet_close(&fleet);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/exchange/publish", test_publish);
    g_test_add_func("/exchange/permission", test_permission);
    g_test_add_func("/exchange/membership", test_membership);
    g_test_add_func("/exchange/unknown-membership", test_unknown_membership);
    g_test_add_func("/exchange/one-key-of-two", test_one_key_of_two);
    g_test_add_func("/exchange/crash", test_crash);
    g_test_add_func("/exchange/stop", test_stop);
    g_test_add_func("/exchange/stop-cut", test_stop_cut);
    g_test_add_func("/exchange/cut", test_cut);
    g_test_add_func("/exchange/snapshot", test_snapshot);
    g_test_add_func("/exchange/patience", test_patience);
    g_test_add_func("/exchange/foreign-bytes", test_foreign_bytes);
    g_test_add_func("/exchange/many", test_many);
    return g_test_run();
}
