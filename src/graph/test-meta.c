#include <math.h>

#include "base/json.h"
#include "graph/meta.h"

static Value *parse(const char *json) {
    g_autoptr(GError) error = NULL;
    Value *value = json_parse(json, strlen(json), "case", &error);
    g_assert_no_error(error);
    return value;
}

/* The JSON of the meta after one setting, or "!" and the error. */
static char *set_one(const char *name, const char *json) {
    g_autoptr(Meta) meta = meta_new();
    g_autoptr(Value) input = parse(json);
    g_autoptr(GError) error = NULL;
    if (!meta_set(meta, name, input, &error))
        return g_strconcat("!", error->message, NULL);
    g_autoptr(Value) map = meta_to_value(meta);
    return json_print(map, JSON_COMPACT);
}

static const struct {
    const char *name, *input, *expected;
} cases[] = {
    { "noop", "true", "{\"noop\":true}" },
    { "noop", "false", "{}" },
    { "noop", "1", "!parameter 'noop': expected true or false, found the number 1" },
    { "retry", "-1", "{\"retry\":-1}" },
    { "retry", "-2", "!parameter 'retry': expected a number from -1 to 32767, found -2" },
    { "retry", "32768", "!parameter 'retry': expected a number from -1 to 32767, found 32768" },
    { "retryreset", "true", "{\"retry_reset\":true}" },
    { "delay", "1500", "{\"delay\":1500}" },
    { "delay", "\"2s\"", "{\"delay\":2000}" },
    { "delay", "\"5us\"", "{\"delay\":\"5us\"}" },
    { "timeout", "\"1m\"", "{\"timeout\":60000}" },
    { "poll", "60", "{\"poll\":60}" },
    { "poll", "\"5m\"", "{\"poll\":300}" },
    { "poll", "-1", "{\"poll\":-1}" },
    { "poll", "-7", "{\"poll\":-1}" },
    { "poll", "\"500ms\"",
      "!parameter 'poll': expected whole seconds: checking more often is what watching is for" },
    { "limit", "0.5", "{\"limit\":0.5}" },
    { "limit", "\"inf\"", "{}" },
    { "limit", "-1", "!parameter 'limit': expected events a second, zero or more, found -1" },
    { "burst", "3", "{\"burst\":3}" },
    { "burst", "-1", "!parameter 'burst': expected a number from 0 to 32767, found -1" },
    { "sema", "[\"b\", \"a:2\", \"b\"]", "{\"sema\":[\"a:2\",\"b\"]}" },
    { "sema", "\"net:eth0\"", "{\"sema\":[\"net:eth0\"]}" },
    { "sema", "[]", "{}" },
    { "sema", "3", "!parameter 'sema': a bare integer is no semaphore: write \"id\" or \"id:3\"" },
    { "sema", "[\"3\"]",
      "!parameter 'sema': '3': a bare integer is no semaphore: write \"id\" or \"id:N\"" },
    { "sema", "\"a:0\"",
      "!parameter 'sema': 'a:0': a semaphore of size 0 would block for ever: N "
      "must be 1 or more" },
    { "sema", "\"a:\"",
      "!parameter 'sema': 'a:': nothing follows the colon: write \"id\" or \"id:N\"" },
    { "sema", "\"a:99999999999\"", "!parameter 'sema': 'a:99999999999': N is too large" },
    { "sema", "\"\"", "!parameter 'sema': '': a semaphore needs an id" },
    { "hidden", "true", "{\"hidden\":true}" },
    { "autoedge", "false", "{\"autoedge\":false}" },
    { "autogroup", "false", "{\"autogroup\":false}" },
    { "protect", "true", "{\"protect\":true}" },
    { "on_remove", "\"restore\"", "{\"on_remove\":\"restore\"}" },
    { "on_remove", "\"restor\"",
      "!parameter 'on_remove': expected one of 'default', 'remove', 'restore', 'forget', "
      "'report', found 'restor', did you mean 'restore'?" },
    { "tags", "[\"web\", \"base\", \"web\"]", "{\"tags\":[\"base\",\"web\"]}" },
    { "tags", "\"web\"", "{\"tags\":[\"web\"]}" },
    { "tags", "[]", "{}" },
    { "tags", "[\"\"]", "!parameter 'tags': a tag must not be empty" },
    { "realize", "true",
      "!'realize' is not supported: a resource that is removed before it "
      "converged is not applied first" },
    { "timeot", "1", "!no such meta parameter 'timeot', did you mean 'timeout'?" },
    { "noop", "{\"$unknown\": true}", "!parameter 'noop': its value must be known now" },
};

static void test_set(void) {
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *found = set_one(cases[i].name, cases[i].input);
        g_assert_cmpstr(found, ==, cases[i].expected);
    }
}

static void test_table(void) {
    g_autoptr(Meta) meta = meta_new();
    for (unsigned i = 0; i < meta_params_count; i++) {
        g_assert_nonnull(meta_params[i].help);
        g_assert_true(meta_knows(meta_params[i].name));
        g_autoptr(Value) fallback = param_fallback(&meta_params[i]);
        if (!fallback)
            continue;
        /* Every default of the table is the one of meta_defaults. */
        g_autofree char *json = json_print(fallback, JSON_COMPACT);
        g_autofree char *text = g_strdup(json);
        g_autofree char *found = set_one(meta_params[i].name, text);
        g_assert_cmpstr(found, ==, "{}");
    }
    g_assert_true(meta_knows("realize") && meta_knows("retryreset"));
    g_assert_false(meta_knows("content"));
    g_assert_true(meta_equal(meta, &meta_defaults));
    g_assert_true(isinf(meta->limit));
}

static void test_limit_needs_burst(void) {
    g_autoptr(Meta) meta = meta_new();
    g_autoptr(GError) error = NULL;
    g_assert_true(meta_validate(meta, &error));
    meta->limit = 2;
    g_assert_false(meta_validate(meta, &error));
    g_assert_true(g_str_has_prefix(error->message, "parameter 'limit': without burst"));
    meta->burst = 1;
    g_clear_error(&error);
    g_assert_true(meta_validate(meta, &error));
}

static void test_round_trip(void) {
    static const char text[] =
        "{\"autoedge\":false,\"burst\":2,\"delay\":\"1us\",\"limit\":0.5,"
        "\"noop\":true,\"on_remove\":\"forget\",\"poll\":-1,\"protect\":true,"
        "\"reset\":true,\"retry\":3,\"rewatch\":true,\"sema\":[\"a\",\"b:2\"],\"tags\":[\"t\"]}";
    g_autoptr(Value) map = parse(text);
    g_autoptr(Meta) meta = meta_new();
    for (size_t i = 0; i < value_size(map); i++) {
        const char *name;
        const Value *input = value_map_at(map, i, &name);
        g_autoptr(GError) error = NULL;
        g_assert_true(meta_set(meta, name, input, &error));
    }
    g_autoptr(Value) again = meta_to_value(meta);
    g_autofree char *printed = json_print(again, JSON_COMPACT);
    g_assert_cmpstr(printed, ==, text);

    g_autoptr(Meta) copy = meta_copy(meta);
    g_assert_true(meta_equal(meta, copy));
    g_assert_true(copy->sema != meta->sema);
    g_clear_pointer(&copy->tags, g_strfreev);
    g_assert_false(meta_equal(meta, copy));
    g_assert_true(meta_runs_alike(meta, copy));
    copy->protect = false;
    g_assert_false(meta_equal(meta, copy));
    g_assert_true(meta_runs_alike(meta, copy));
    copy->noop = false;
    g_assert_false(meta_runs_alike(meta, copy));
}

static void test_sema_size(void) {
    g_assert_cmpint(meta_sema_size("a"), ==, 1);
    g_assert_cmpint(meta_sema_size("a:7"), ==, 7);
    g_assert_cmpint(meta_sema_size("a:b:3"), ==, 3);
    g_assert_cmpint(meta_sema_size("a:x"), ==, 1);
    g_assert_cmpint(meta_sema_size(":4"), ==, 4);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/meta/set", test_set);
    g_test_add_func("/meta/table", test_table);
    g_test_add_func("/meta/limit-needs-burst", test_limit_needs_burst);
    g_test_add_func("/meta/round-trip", test_round_trip);
    g_test_add_func("/meta/sema-size", test_sema_size);
    return g_test_run();
}
