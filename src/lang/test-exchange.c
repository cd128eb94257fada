/* What an evaluation reads of the exchange, and what it wants of it. */
#include <string.h>

#include "base/json.h"
#include "lang/test-kinds.h"

#define VIEW                                                                                       \
    "{\"host\":\"lb\",\"grants\":[\"shared/\"],\"labels\":{\"role\":\"lb\"},"                      \
    "\"data\":{\"web/a\":1,\"web/b\":{\"port\":80},\"db/x\":\"y\"},"                               \
    "\"missing\":{\"web/c\":3,\"web/d\":4,\"web/e\":5,\"web/f\":6,\"db/z\":1},"                    \
    "\"schedule\":{\"job\":{\"b\":true,\"lb\":true},\"lead\":{\"a\":true}}}"

static Value *parse(const char *json) {
    g_autoptr(GError) error = NULL;
    Value *value = json_parse(json, strlen(json), "test", &error);
    g_assert_no_error(error);
    return value;
}

static TestRun *run_with(const char *view, const char *text) {
    g_autoptr(Value) exchange = view ? parse(view) : NULL;
    const LangInputs inputs = { .kinds = &test_kinds, .exchange = exchange };
    return test_run("site.lua", text, &inputs, NULL);
}

/* What `expression` is, as JSON. */
static void expect(const char *expression, const char *json) {
    g_autofree char *text = g_strdup_printf("value 'x' { any = { %s } }", expression);
    g_autoptr(TestRun) run = run_with(VIEW, text);
    g_assert_cmpstr(run->messages, ==, "");
    g_autofree char *shown = test_value_of(run, "x");
    g_assert_cmpstr(shown, ==, json);
}

static void expect_wants(const TestRun *run, const char *member, const char *json) {
    g_autofree char *shown = json_print(value_map_get(run->result.wants, member), JSON_COMPACT);
    g_assert_cmpstr(shown, ==, json);
}

static void expect_warning(const TestRun *run, const char *text) {
    g_assert_cmpuint(run->result.warnings->len, ==, 1);
    g_assert_cmpstr(run->result.warnings->pdata[0], ==, text);
}

static void test_get(void) {
    expect("exchange.get('web/')", "[{\"a\":1,\"b\":{\"port\":80}}]");
    expect("exchange.get('web/b').port", "[80]");
    expect("exchange.get('web/none') == nil", "[true]");
    expect("exchange.get('none/')", "[{}]");
    expect("exchange.get('/')['db/x']", "[\"y\"]");
    expect("exchange.host", "[\"lb\"]");
    expect("exchange.label('role')", "[\"lb\"]");
    expect("exchange.label('site') == nil", "[true]");
}

static void test_guard(void) {
    expect("exchange.get('web/', { guard = 0.3 })", "[{\"a\":1,\"b\":{\"port\":80}}]"); /* 2 of 6 */
    expect("exchange.get('db/', { guard = 0.5 })", "[{\"x\":\"y\"}]");                  /* 1 of 2 */
    g_autoptr(TestRun) run =
        run_with(VIEW, "value 'x' { any = exchange.get('web/', { guard = 0.4 }) }");
    g_autofree char *shown = test_value_of(run, "x");
    g_assert_cmpstr(shown, ==, "{\"a\":1,\"b\":{\"port\":80},\"c\":3,\"d\":4,\"e\":5,\"f\":6}");
    expect_warning(run, "site.lua:1: of 6 keys below 'web/' only 2 are there: keeping to all that "
                        "were (guard = 0.4)");
    g_autoptr(TestRun) none =
        run_with("{\"host\":\"lb\",\"data\":{},\"missing\":{\"web/a\":1}}",
                 "value 'x' { any = exchange.get('web/', { guard = 0.01 }) }");
    g_autofree char *kept = test_value_of(none, "x");
    g_assert_cmpstr(kept, ==, "{\"a\":1}"); /* never below one */
    g_autoptr(TestRun) empty = run_with("{\"host\":\"lb\",\"data\":{},\"missing\":{}}",
                                        "value 'x' { any = exchange.get('web/', { guard = 1 }) }");
    g_autofree char *nothing = test_value_of(empty, "x");
    g_assert_cmpstr(nothing, ==, "{}");
}

static void test_schedules(void) {
    expect("schedule('job', { max = 2 })", "[{\"b\":true,\"lb\":true}]");
    expect("schedule('job', { max = 2 })[exchange.host]", "[true]");
    expect("schedule('none')", "[{}]");
    expect("elect('lead')", "[\"a\"]");
    expect("elect('none') == nil", "[true]");
}

static void test_wants(void) {
    static const char text[] =
        "exchange.publish('lb/x', { 1, 2 }) exchange.publish('shared/y', 's')\n"
        "exchange.publish('lb/x', { 1, 2 })\n"
        "exchange.get('web/') exchange.get('db/x') exchange.get('/') exchange.label('role')\n"
        "schedule('job', { max = 2, ttl = 4, strategy = 'alpha' })\n"
        "elect('lead', { persist = true }) collect('value')";
    g_autoptr(TestRun) run = run_with(VIEW, text);
    g_assert_cmpstr(run->messages, ==, "");
    expect_wants(run, "publish", "{\"lb/x\":[1,2],\"shared/y\":\"s\"}");
    expect_wants(run, "get", "{\"/\":true,\"db/x\":true,\"web/\":true}");
    expect_wants(run, "collect", "{\"value\":true}");
    expect_wants(run, "schedule",
                 "{\"job\":{\"max\":2,\"persist\":false,\"strategy\":\"alpha\",\"ttl\":4,"
                 "\"withdraw\":false},\"lead\":{\"max\":1,\"persist\":true,\"strategy\":\"rr\","
                 "\"ttl\":10,\"withdraw\":false}}");
    expect_wants(run, "export", "[]");
    expect_wants(run, "labels", "true");
    g_autofree char *reads = json_print(run->result.reads, JSON_COMPACT);
    g_assert_nonnull(strstr(reads, "\"exchange.web/\":{\"a\":1,\"b\":{\"port\":80}}"));
}

/* It may have failed for what is not known yet: what it asked for until then is told. */
static void test_wants_of_failure(void) {
    g_autoptr(TestRun) run =
        run_with("{\"host\":\"lb\"}", "local port = exchange.get('db/main').port");
    g_assert_false(run->fine);
    expect_wants(run, "get", "{\"db/main\":true}");
}

static void test_permission(void) {
    g_autoptr(TestRun) run = run_with(VIEW, "\nexchange.publish('web/lb', 1)");
    g_assert_nonnull(strstr(run->messages, "site.lua:2: host 'lb' may not publish 'web/lb': only "
                                           "below 'lb/', or what --may-publish allows it"));
    g_autoptr(TestRun) nobody = run_with(NULL, "exchange.publish('web/lb', 1)");
    g_assert_cmpstr(nobody->messages, ==, ""); /* who may is known where there is an exchange */
}

static void test_none(void) {
    g_autoptr(TestRun) run = run_with(NULL, "for i = 1, 3 do exchange.get('web/') end");
    g_assert_true(run->fine);
    expect_warning(run, "site.lua:1: no exchange: exchange.get(\"web/\") gives nothing; name a "
                        "store with --exchange");
}

#define EXPORTS                                                                                    \
    "{\"host\":\"me\",\"export\":{\"value\":["                                                     \
    "{\"host\":\"a\",\"name\":\"x\",\"to\":[\"*\"],\"hidden\":false,"                              \
    "\"resource\":{\"kind\":\"value\",\"name\":\"x\",\"params\":{\"any\":1}}},"                    \
    "{\"host\":\"b\",\"name\":\"x\",\"to\":[\"*\"],\"hidden\":false,"                              \
    "\"resource\":{\"kind\":\"value\",\"name\":\"x\",\"params\":{\"any\":2}}},"                    \
    "{\"host\":\"b\",\"name\":\"y\",\"to\":[\"m?\"],\"hidden\":false,"                             \
    "\"resource\":{\"kind\":\"value\",\"name\":\"y\",\"params\":{\"any\":3}}},"                    \
    "{\"host\":\"b\",\"name\":\"z\",\"to\":[\"other\"],\"hidden\":false,"                          \
    "\"resource\":{\"kind\":\"value\",\"name\":\"z\",\"params\":{}}},"                             \
    "{\"host\":\"me\",\"name\":\"own\",\"to\":[\"*\"],\"hidden\":false,"                           \
    "\"resource\":{\"kind\":\"value\",\"name\":\"own\",\"params\":{}}},"                           \
    "{\"host\":\"me\",\"name\":\"hid\",\"to\":[\"*\"],\"hidden\":true,"                            \
    "\"resource\":{\"kind\":\"value\",\"name\":\"hid\",\"params\":{}}}"                            \
    "]}}"

static void expect_collected(const char *text, const char *names) {
    g_autoptr(TestRun) run = run_with(EXPORTS, text);
    g_assert_cmpstr(run->messages, ==, "");
    g_autoptr(GString) found = g_string_new(NULL);
    for (unsigned i = 0; i < graph_size(run->result.graph); i++)
        g_string_append_printf(found, "%s%s", i ? " " : "",
                               graph_resource(run->result.graph, i)->name);
    g_assert_cmpstr(found->str, ==, names);
}

static void test_collect(void) {
    expect_collected("collect('value')", "x y hid");
    expect_collected("collect('value', { from = 'b' })", "x y");
    expect_collected("collect('value', { from = { 'a', 'none' } })", "x");
    expect_collected("collect('value', { name = '?' })", "x y");
    expect_collected("collect('value', { any = 3 })", "y");
    expect_collected("value 'x' { any = 5 } collect('value')", "x y hid"); /* ours wins */
    g_autoptr(TestRun) run =
        run_with(EXPORTS, "collect('value', { name = 'y' }, { needs = noop 'n' }) noop 'n' {}");
    g_assert_cmpstr(run->messages, ==, "");
    g_assert_cmpuint(graph_edge_count(run->result.graph), ==, 1);
    g_autoptr(TestRun) refs =
        run_with(EXPORTS, "noop 'n' { needs = collect('value', { name = '?' }) }");
    g_assert_cmpstr(refs->messages, ==, "");
    g_assert_cmpuint(graph_edge_count(refs->result.graph), ==, 2);
}

/* What another host says wrongly is left out, and told. */
static void test_collect_wrong(void) {
    static const char *const resources[] = {
        "null",
        "1",
        "{}",
        "{\"kind\":\"none\",\"name\":\"x\"}",
        "{\"kind\":\"value\",\"name\":\"x\",\"params\":{\"what\":1}}",
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(resources); i++) {
        g_autofree char *view =
            g_strdup_printf("{\"host\":\"me\",\"export\":{\"value\":[{\"host\":\"a\",\"name\":"
                            "\"x\",\"to\":[\"*\"],\"resource\":%s}]}}",
                            resources[i]);
        g_autoptr(TestRun) run = run_with(view, "collect('value')");
        g_assert_cmpstr(run->messages, ==, "");
        g_assert_cmpuint(graph_size(run->result.graph), ==, 0);
        g_assert_cmpuint(run->result.warnings->len, ==, 1);
        g_assert_nonnull(
            strstr(run->result.warnings->pdata[0], "left out what host 'a' exports: "));
    }
    g_autoptr(TestRun) other = run_with(
        "{\"host\":\"me\",\"export\":{\"value\":[{\"host\":\"a\",\"name\":\"x\",\"to\":[\"*\"],"
        "\"resource\":{\"kind\":\"noop\",\"name\":\"x\",\"params\":{}}}]}}",
        "collect('value')"); /* says another kind than it is filed as */
    g_assert_cmpstr(other->messages, ==, "");
    g_assert_cmpuint(graph_size(other->result.graph), ==, 0);
}

static void test_export(void) {
    g_autoptr(TestRun) run =
        run_with(VIEW, "value 'x' { any = 1, export = { 'b', 'a*' }, hidden = true }\n"
                       "value 'n' { any = 1, export = '*', noop = true }\nvalue 'o' { any = 1 }");
    g_assert_cmpstr(run->messages, ==, "");
    expect_wants(run, "export",
                 "[{\"hidden\":true,\"kind\":\"value\",\"name\":\"x\",\"resource\":{\"kind\":"
                 "\"value\",\"meta\":{},\"name\":\"x\",\"params\":{\"any\":1}},\"to\":[\"a*\","
                 "\"b\"]}]");
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/exchange/get", test_get);
    g_test_add_func("/exchange/guard", test_guard);
    g_test_add_func("/exchange/schedules", test_schedules);
    g_test_add_func("/exchange/wants", test_wants);
    g_test_add_func("/exchange/wants-of-failure", test_wants_of_failure);
    g_test_add_func("/exchange/permission", test_permission);
    g_test_add_func("/exchange/none", test_none);
    g_test_add_func("/exchange/collect", test_collect);
    g_test_add_func("/exchange/collect-wrong", test_collect_wrong);
    g_test_add_func("/exchange/export", test_export);
    return g_test_run();
}
