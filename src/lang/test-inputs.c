/* What an evaluation reads and reports beside its graph. */
#include <glib/gstdio.h>
#include <string.h>

#include "base/json.h"
#include "lang/test-kinds.h"

static Value *parse(const char *json) {
    Value *value = json_parse(json, strlen(json), "test", NULL);
    g_assert_nonnull(value);
    return value;
}

static void expect_reads(const TestRun *run, const char *json) {
    g_assert_cmpstr(run->messages, ==, "");
    g_autofree char *shown = json_print(run->result.reads, JSON_COMPACT);
    g_assert_cmpstr(shown, ==, json);
}

static void expect_files(const TestRun *run, const char *names) {
    g_autofree char *joined = g_strjoinv(" ", run->result.files);
    g_assert_cmpstr(joined, ==, names);
}

static void test_reads(void) {
    g_autoptr(Value) values = parse("{\"a\": 1, \"b\": {\"c\": 2}, \"d\": 3}");
    g_autoptr(Value) facts = parse("{\"memory\": 4, \"own\": true}");
    const LangInputs inputs = { .kinds = &test_kinds, .values = values, .facts = facts };
    g_autoptr(TestRun) run =
        test_run("site.lua", "value 'x' { any = { values.b.c, values.none == nil, facts.own } }",
                 &inputs, NULL);
    expect_reads(run, "{\"facts.own\":true,\"values.b\":{\"c\":2},\"values.none\":null}");
    g_autoptr(TestRun) all = test_run(
        "site.lua", "local n = 0 for k in pairs(values) do n = n + 1 end value 'x' { any = n }",
        &inputs, NULL);
    expect_reads(all, "{\"values.a\":1,\"values.b\":{\"c\":2},\"values.d\":3}");
    g_autoptr(TestRun) encoded =
        test_run("site.lua", "value 'x' { any = std.json.encode(values) }", &inputs, NULL);
    g_autofree char *shown = test_value_of(encoded, "x");
    g_assert_cmpstr(shown, ==, "\"{\\\"a\\\":1,\\\"b\\\":{\\\"c\\\":2},\\\"d\\\":3}\"");
}

static void test_files(void) {
    const char *const more[] = { "web/shop.lua",
                                 "return { text = read('data.txt') }",
                                 "data.txt",
                                 "data",
                                 "x.tmpl",
                                 "{{ read('inner.txt') }}",
                                 "inner.txt",
                                 "inner",
                                 NULL };
    g_autoptr(TestRun) run =
        test_run("site.lua",
                 "local shop = import 'web.shop'\n"
                 "value 'x' { any = { shop.text, template('x.tmpl'), read('absent', 'no') } }",
                 NULL, more);
    g_assert_cmpstr(run->messages, ==, "");
    g_autofree char *shown = test_value_of(run, "x");
    g_assert_cmpstr(shown, ==, "[\"data\",\"inner\",\"no\"]");
    expect_files(run, "site.lua web/shop.lua data.txt x.tmpl inner.txt absent");
}

/* A failed evaluation says what to watch, too. */
static void test_files_of_failure(void) {
    const char *const more[] = { "a.lua", "local x = ", NULL };
    g_autoptr(TestRun) run = test_run("site.lua", "import 'a'", NULL, more);
    g_assert_false(run->fine);
    expect_files(run, "site.lua a.lua");
    g_autoptr(TestRun) yaml = test_run("graph.yaml", "a: [", NULL, NULL);
    g_assert_false(yaml->fine);
    expect_files(yaml, "graph.yaml");
}

/* Paths are relative to the entry file and shown with its directory as it was given. */
static void test_directories(void) {
    const char *const more[] = { "conf/lib/a.lua", "noop 'a' { nop = 1 }", "conf/x.txt", "x",
                                 NULL };
    g_autoptr(TestRun) run = test_run(
        "conf/site.lua", "import 'lib.a'\nvalue 'x' { any = read('x.txt'), nop = 2 }", NULL, more);
    g_assert_cmpstr(run->messages, ==,
                    "conf/site.lua:2: value 'x': no parameter 'nop', did you mean 'noop'?\n"
                    "    value 'x' { any = read('x.txt'), nop = 2 }\n"
                    "conf/lib/a.lua:1: noop 'a': no parameter 'nop', did you mean 'noop'?\n"
                    "    noop 'a' { nop = 1 }\n"
                    "    conf/site.lua:1: import 'lib.a'\n");
    expect_files(run, "conf/site.lua conf/lib/a.lua conf/x.txt");
}

/* Longer than what Lua keeps of a file's name in its messages. */
static void test_long_path(void) {
    const char *const name = "a-very-long-directory-name-indeed/another-very-long-directory-name/"
                             "and-one-more-of-them/site.lua";
    g_autoptr(TestRun) run = test_run(name, "\nlocal x = nil .. 'a'", NULL, NULL);
    g_autofree char *expected = g_strdup_printf(
        "%s:2: attempt to concatenate a nil value\n    local x = nil .. 'a'\n", name);
    g_assert_cmpstr(run->messages, ==, expected);
    g_autoptr(TestRun) syntax = test_run(name, "\nlocal = 3", NULL, NULL);
    g_autofree char *wrong =
        g_strdup_printf("%s:2: <name> expected near '='\n    local = 3\n", name);
    g_assert_cmpstr(syntax->messages, ==, wrong);
}

static void test_missing_entry(void) {
    LangResult result;
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func((GDestroyNotify)g_error_free);
    const LangInputs inputs = { .kinds = &test_kinds };
    static const char *const names[] = { "/no/such/site.lua", "/no/such/graph.yaml",
                                         "/no/such/file" };
    static const char *const messages[] = {
        "read '/no/such/site.lua': No such file or directory",
        "read '/no/such/graph.yaml': No such file or directory",
        "/no/such/file: the name tells no language: use .lua, .yaml, .yml or .json",
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        g_ptr_array_set_size(problems, 0);
        g_assert_false(lang_load(names[i], &inputs, &result, problems));
        g_assert_cmpuint(problems->len, ==, 1);
        g_assert_cmpstr(((GError *)problems->pdata[0])->message, ==, messages[i]);
        lang_result_clear(&result);
    }
}

static void test_env(void) {
    const char *const names[] = { "STEAD_TEST_SET", "STEAD_TEST_UNSET", NULL };
    const LangInputs inputs = { .kinds = &test_kinds, .env_names = names };
    g_setenv("STEAD_TEST_SET", "x", TRUE);
    g_unsetenv("STEAD_TEST_UNSET");
    g_autoptr(TestRun) run = test_run(
        "site.lua", "value 'x' { any = { env.STEAD_TEST_SET, env.STEAD_TEST_UNSET == nil } }",
        &inputs, NULL);
    expect_reads(run, "{\"env.STEAD_TEST_SET\":\"x\",\"env.STEAD_TEST_UNSET\":null}");
    g_autofree char *shown = test_value_of(run, "x");
    g_assert_cmpstr(shown, ==, "[\"x\",true]");
}

static uint64_t next_change(const char *text, uint64_t now) {
    const LangInputs inputs = { .kinds = &test_kinds, .wall_now = now * G_USEC_PER_SEC };
    g_autoptr(TestRun) run = test_run("site.lua", text, &inputs, NULL);
    g_assert_cmpstr(run->messages, ==, "");
    return run->result.next_change / G_USEC_PER_SEC;
}

/* 1790000000 is Monday, 2026-09-21 14:13:20 UTC. */
static void test_next_change(void) {
    g_assert_cmpuint(next_change("noop 'a' {}", 1790000000), ==, 0);
    g_assert_cmpuint(next_change("local x = clock.hour()", 1790000000), ==, 1790002800);
    g_assert_cmpuint(next_change("local x = clock.hour() local y = clock.minute()", 1790000000), ==,
                     1790000040);
    g_assert_cmpuint(next_change("local x = clock.after('2026-09-21 14:00')", 1790000000), ==, 0);
    g_assert_cmpuint(next_change("local x = clock.before('2026-09-21 15:00')", 1790000000), ==,
                     1790002800);
}

/* The graph is another one at the announced instant and not before. */
static void test_clock_graph(void) {
    const char *const text = "if clock.between('15:00', '16:00') then noop 'tea' {} end";
    LangInputs inputs = { .kinds = &test_kinds, .wall_now = 1790002800ull * G_USEC_PER_SEC - 1 };
    g_autoptr(TestRun) before = test_run("site.lua", text, &inputs, NULL);
    inputs.wall_now = before->result.next_change;
    g_autoptr(TestRun) during = test_run("site.lua", text, &inputs, NULL);
    g_assert_cmpuint(graph_size(before->result.graph), ==, 0);
    g_assert_cmpuint(graph_size(during->result.graph), ==, 1);
}

/* The secret is in the graph and nowhere in what is shown. */
static void test_secret(void) {
    g_autoptr(Value) secrets = parse("{\"db\": \"hunter2\"}");
    const LangInputs inputs = { .kinds = &test_kinds, .secrets = secrets };
    const char *const more[] = { "x.tmpl", "pw={{ pw }}\n", NULL };
    g_autoptr(TestRun) run = test_run("site.lua",
                                      "local pw = secret 'db'\n"
                                      "file '/a' { content = pw }\n"
                                      "file '/b' { content = 'password=' .. pw .. '\\n' }\n"
                                      "file '/c' { content = template('x.tmpl', { pw = pw }) }\n"
                                      "file '/d' { content = std.json.encode({ pw = pw }) }\n"
                                      "file '/e' { content = std.text.join({ 'a', pw, 1 }, ':') }\n"
                                      "file '/f' { content = std.digest.sha256(pw) }\n"
                                      "exec 'g' { env = { PW = pw } }\n",
                                      &inputs, more);
    static const char *const contents[][2] = {
        { "/a", "hunter2" },
        { "/b", "password=hunter2\n" },
        { "/c", "pw=hunter2\n" },
        { "/d", "{\"pw\":\"hunter2\"}" },
        { "/e", "a:hunter2:1" },
        { "/f", "f52fbd32b2b3b86ff88ef6c490628285f482af15ddcb29541f94bcf526a3f6c7" },
    };
    g_assert_cmpstr(run->messages, ==, "");
    for (unsigned i = 0; i < G_N_ELEMENTS(contents); i++) {
        const Value *content = resource_get(test_find(run, "file", contents[i][0]), 2);
        g_assert_true(value_is_secret(content));
        g_assert_cmpstr(value_string(content), ==, contents[i][1]);
    }
    g_assert_true(value_is_secret(resource_get(test_find(run, "exec", "g"), 6)));
    g_autoptr(Value) graph = graph_to_value(run->result.graph);
    g_autofree char *shown = json_print(graph, JSON_COMPACT);
    g_autofree char *reads = json_print(run->result.reads, JSON_COMPACT);
    g_assert_null(strstr(shown, "hunter2"));
    g_assert_cmpstr(reads, ==, "{\"secret.db\":{\"$secret\":\"db\"}}");
}

static void test_values_files(void) {
    static const char *const files[][3] = {
        { "v.json", "{\"a\": 1}", "{\"a\":1}" },
        { "v.yaml", "a: [x, 2]\n", "{\"a\":[\"x\",2]}" },
        { "v.toml", "[a]\nb = 1\n", "{\"a\":{\"b\":1}}" },
        { "empty.yml", "", "{}" },
        { "list.yaml", "- 1", NULL },
        { "bad.json", "{", NULL },
        { "bad.yaml", "a: [", NULL },
    };
    g_autofree char *dir = g_dir_make_tmp("stead-values-XXXXXX", NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *path = g_build_filename(dir, files[i][0], NULL);
        g_assert_true(g_file_set_contents(path, files[i][1], -1, NULL));
        g_autoptr(GError) error = NULL;
        g_autoptr(Value) value = lang_load_values(path, &error);
        g_autofree char *shown = value ? json_print(value, JSON_COMPACT) : NULL;
        g_assert_cmpstr(shown, ==, files[i][2]);
        if (!value)
            g_assert_true(g_str_has_prefix(error->message, path));
        g_remove(path);
    }
    g_autoptr(GError) error = NULL;
    g_assert_null(lang_load_values(dir, &error));
    g_assert_true(strstr(error->message, "not a regular file") != NULL);
    g_rmdir(dir);
    g_assert_null(lang_load_values("/no/such/file", NULL));
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/inputs/reads", test_reads);
    g_test_add_func("/inputs/files", test_files);
    g_test_add_func("/inputs/files-of-failure", test_files_of_failure);
    g_test_add_func("/inputs/directories", test_directories);
    g_test_add_func("/inputs/long-path", test_long_path);
    g_test_add_func("/inputs/missing-entry", test_missing_entry);
    g_test_add_func("/inputs/env", test_env);
    g_test_add_func("/inputs/next-change", test_next_change);
    g_test_add_func("/inputs/clock-graph", test_clock_graph);
    g_test_add_func("/inputs/secret", test_secret);
    g_test_add_func("/inputs/values-files", test_values_files);
    return g_test_run();
}
