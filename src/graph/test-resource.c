#include "base/json.h"
#include "graph/test-kinds.h"

static const char *set_error(const char *param, const char *json, GError **error) {
    g_autoptr(Resource) resource = resource_new(&test_file, "/x", test_origin(1));
    g_autoptr(Value) input = json_parse(json, strlen(json), "case", NULL);
    g_clear_error(error);
    g_assert_false(resource_set(resource, param, input, error));
    return (*error)->message;
}

static void test_set(void) {
    g_autoptr(GError) error = NULL;
    g_assert_cmpstr(set_error("contnet", "1", &error), ==,
                    "file has no parameter 'contnet', did you mean 'content'?");
    g_assert_cmpstr(set_error("nop", "true", &error), ==,
                    "file has no parameter 'nop', did you mean 'noop'?");
    g_assert_cmpstr(set_error("zzzzzz", "true", &error), ==,
                    "file has no parameter 'zzzzzz'; file takes path, state, content, mode, owner, "
                    "recurse");
    g_assert_cmpstr(set_error("state", "\"exist\"", &error), ==,
                    "parameter 'state': expected one of 'exists', 'absent', found 'exist', did you "
                    "mean 'exists'?");
    g_autoptr(Resource) resource = resource_new(&test_file, "/x", test_origin(1));
    g_autoptr(Value) text = value_new_string("hi");
    g_assert_true(resource_set(resource, "body", text, NULL));
    g_assert_cmpstr(resource_string(resource, FILE_CONTENT), ==, "hi");
    g_assert_true(resource_set(resource, "body", NULL, NULL));
    g_assert_null(resource_get(resource, FILE_CONTENT));
}

static void test_finish(void) {
    g_autoptr(Resource) resource = resource_new(&test_file, "//etc//x", test_origin(1));
    g_autoptr(GPtrArray) problems = test_problems_new();
    g_assert_true(resource_finish(resource, problems));
    g_assert_cmpstr(resource_string(resource, FILE_PATH), ==, "/etc/x");
    g_assert_cmpstr(resource_string(resource, FILE_STATE), ==, "exists");
    g_assert_false(resource_bool(resource, FILE_RECURSE));
    g_assert_cmpstr(resource->name, ==, "//etc//x");
}

static void test_finish_reports_everything(void) {
    g_autoptr(Resource) bad = resource_new(&test_file, "relative", test_origin(1));
    resource_own_meta(bad)->limit = 1;
    g_autoptr(GPtrArray) problems = test_problems_new();
    g_assert_false(resource_finish(bad, problems));
    g_autofree char *messages = test_messages(problems);
    g_assert_cmpstr(messages, ==,
                    "name as parameter 'path': expected an absolute path, found 'relative'\n"
                    "parameter 'limit': without burst no event would ever get through: set burst "
                    "to 1 or more");

    g_autoptr(Resource) exec = resource_new(&test_exec, "x", test_origin(1));
    g_ptr_array_set_size(problems, 0);
    g_assert_false(resource_finish(exec, problems));
    g_autofree char *required = test_messages(problems);
    g_assert_cmpstr(required, ==, "parameter 'cmd' is required");
}

static void test_finish_asks_the_kind(void) {
    g_autoptr(Resource) file = resource_new(&test_file, "/x", test_origin(1));
    resource_put(file, FILE_STATE, value_new_string("absent"));
    resource_put(file, FILE_CONTENT, value_new_string("x"));
    g_autoptr(GPtrArray) problems = test_problems_new();
    g_assert_false(resource_finish(file, problems));
    g_autofree char *messages = test_messages(problems);
    g_assert_cmpstr(messages, ==, "an absent file has no content");
    resource_own_meta(file)->hidden = true;
    g_assert_true(resource_finish(file, problems));
}

static void test_receive(void) {
    g_autoptr(Resource) file = resource_new(&test_file, "/x", test_origin(1));
    g_autoptr(GError) error = NULL;
    g_assert_false(resource_receive(file, "mode", "exec", "gen", "stdout", &error));
    g_assert_cmpstr(error->message, ==,
                    "parameter 'mode': cannot be received from another resource");
    g_clear_error(&error);
    g_assert_false(resource_receive(file, "contnt", "exec", "gen", "stdout", &error));
    g_assert_false(resource_has_receives(file));
    g_assert_true(resource_receive(file, "content", "exec", "old", "stdout", NULL));
    g_assert_true(resource_receive(file, "body", "exec", "gen", "stdout", NULL));
    g_assert_cmpuint(file->receives->len, ==, 1);
    g_assert_cmpstr(g_array_index(file->receives, Receive, 0).name, ==, "gen");
    g_assert_true(resource_receives(file, FILE_CONTENT));
    g_assert_true(resource_is_unknown(file, FILE_CONTENT));
    g_assert_false(resource_is_unknown(file, FILE_MODE));

    /* In a plan the value may be there but unknown: it reads as unset. */
    resource_put(file, FILE_CONTENT, value_new_unknown());
    g_assert_true(resource_is_unknown(file, FILE_CONTENT));
    g_assert_null(resource_string(file, FILE_CONTENT));
}

static void test_received_counts_as_set(void) {
    static const Param rows[] = {
        { "in", PARAM_STRING, PARAM_REQUIRED | PARAM_RECEIVES, .help = "x", .fallback = "no" },
    };
    static const Kind kind = { .name = "k", .params = rows, .n_params = 1 };
    g_autoptr(Resource) resource = resource_new(&kind, "x", test_origin(1));
    g_assert_true(resource_receive(resource, "in", "exec", "gen", "stdout", NULL));
    g_autoptr(GPtrArray) problems = test_problems_new();
    g_assert_true(resource_finish(resource, problems));
    g_assert_null(resource_get(resource, 0));
}

static void test_copy_and_equal(void) {
    g_autoptr(Resource) a = test_resource(&test_file, "/x", 1);
    resource_put(a, FILE_CONTENT, value_new_string("x"));
    resource_own_meta(a)->retry = 2;
    g_assert_true(resource_receive(a, "content", "exec", "gen", "stdout", NULL));
    g_autoptr(Resource) b = resource_copy(a);
    b->origin = test_origin(99);
    g_assert_true(resource_equal(a, b));
    g_assert_true(resource_key_equal(a, b));
    g_assert_cmpuint(resource_key_hash(a), ==, resource_key_hash(b));

    resource_own_meta(b)->retry = 3;
    g_assert_false(resource_equal(a, b));
    resource_own_meta(b)->retry = 2;
    resource_put(b, FILE_MODE, value_new_string("0600"));
    g_assert_false(resource_equal(a, b));
    resource_put(b, FILE_MODE, NULL);
    g_assert_true(resource_receive(b, "content", "exec", "gen2", "stdout", NULL));
    g_assert_false(resource_equal(a, b));
    g_autoptr(Resource) other = test_resource(&test_pkg, "/x", 1);
    g_assert_false(resource_key_equal(a, other));
}

static void test_default_meta_is_no_difference(void) {
    g_autoptr(Resource) a = test_resource(&test_file, "/x", 1);
    g_autoptr(Resource) b = test_resource(&test_file, "/x", 1);
    (void)resource_own_meta(b); /* made, not changed */
    g_assert_true(resource_equal(a, b));
}

static void test_show(void) {
    g_autoptr(Resource) file = test_resource(&test_file, "/x", 7);
    g_autofree char *shown = resource_show(file);
    g_assert_cmpstr(shown, ==, "file '/x'");
    g_autoptr(GError) error = g_error_new(STEAD_ERROR, STEAD_ERROR_CONFIG, "oh");
    resource_prefix(file, &error);
    g_assert_cmpstr(error->message, ==, "a.lua:7: file '/x': oh");
    g_assert_null(origin_show((Origin){ .file = NULL }));
    g_autofree char *whole = origin_show((Origin){ .file = "b.lua" });
    g_assert_cmpstr(whole, ==, "b.lua");
}

static void test_origin_text(void) {
    Origin origin = origin_parse("a:b.lua:12");
    g_assert_cmpstr(origin.file, ==, "a:b.lua");
    g_assert_cmpuint(origin.line, ==, 12);
    g_autofree char *text = origin_show(origin);
    g_assert_cmpstr(text, ==, "a:b.lua:12");
    g_assert_null(origin_parse(":0").file);
    g_assert_null(origin_parse("").file);
    g_assert_null(origin_parse(NULL).file);
}

static void test_value_round_trip(void) {
    g_autoptr(Resource) a = test_resource(&test_exec, "x", 1);
    g_autoptr(Value) five = value_new_int(5);
    g_assert_true(resource_set(a, "timeout", five, NULL));
    resource_own_meta(a)->sema = g_strsplit("a b:2", " ", -1);
    g_autoptr(Value) value = resource_to_value(a);
    g_autofree char *text = json_print(value, JSON_COMPACT);
    g_assert_cmpstr(text, ==,
                    "{\"kind\":\"exec\",\"meta\":{\"sema\":[\"a\",\"b:2\"]},\"name\":\"x\","
                    "\"params\":{\"cmd\":\"true\",\"timeout\":5000000}}");
    g_autoptr(GError) error = NULL;
    g_autoptr(Resource) b =
        resource_from_value(value, &test_kinds, (Origin){ .file = NULL }, &error);
    g_assert_no_error(error);
    g_assert_true(resource_equal(a, b));

    g_autoptr(Resource) file = test_resource(&test_file, "/x", 1);
    g_assert_true(resource_receive(file, "content", "exec", "x", "stdout", NULL));
    g_autoptr(Value) file_value = resource_to_value(file);
    g_autoptr(Resource) again =
        resource_from_value(file_value, &test_kinds, (Origin){ .file = NULL }, &error);
    g_assert_no_error(error);
    g_assert_true(resource_equal(file, again));
}

static void test_value_is_checked(void) {
    static const char *const bad[][2] = {
        { "7", "expected a map with kind and name of a resource" },
        { "{\"kind\": \"file\"}", "expected a map with kind and name of a resource" },
        { "{\"kind\": \"fil\", \"name\": \"x\"}", "no such kind 'fil', did you mean 'file'?" },
        { "{\"kind\": \"file\", \"name\": \"/x\", \"params\": {\"mode\": 7}}",
          "file '/x': parameter 'mode': expected a mode, found the number 7: write the mode as "
          "text, like \"0644\"" },
        { "{\"kind\": \"file\", \"name\": \"/x\", \"params\": {\"moed\": 7}}",
          "file '/x': file has no parameter 'moed', did you mean 'mode'?" },
        { "{\"kind\": \"file\", \"name\": \"/x\", \"meta\": {\"retry\": -7}}",
          "file '/x': parameter 'retry': expected a number from -1 to 32767, found -7" },
        { "{\"kind\": \"file\", \"name\": \"/x\", \"receives\": [{\"param\": \"content\"}]}",
          "file '/x': expected param, kind, name and output in item 1 of 'receives'" },
        /* what another version may have left out */
        { "{\"kind\": \"exec\", \"name\": \"x\"}", "exec 'x': parameter 'cmd' is required" },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(Value) value = json_parse(bad[i][0], strlen(bad[i][0]), "case", NULL);
        g_autoptr(GError) error = NULL;
        g_assert_null(resource_from_value(value, &test_kinds, (Origin){ .file = NULL }, &error));
        g_assert_cmpstr(error->message, ==, bad[i][1]);
    }
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/resource/set", test_set);
    g_test_add_func("/resource/finish", test_finish);
    g_test_add_func("/resource/finish-reports-everything", test_finish_reports_everything);
    g_test_add_func("/resource/finish-asks-the-kind", test_finish_asks_the_kind);
    g_test_add_func("/resource/receive", test_receive);
    g_test_add_func("/resource/received-counts-as-set", test_received_counts_as_set);
    g_test_add_func("/resource/copy-and-equal", test_copy_and_equal);
    g_test_add_func("/resource/default-meta-is-no-difference", test_default_meta_is_no_difference);
    g_test_add_func("/resource/show", test_show);
    g_test_add_func("/resource/origin-text", test_origin_text);
    g_test_add_func("/resource/value-round-trip", test_value_round_trip);
    g_test_add_func("/resource/value-is-checked", test_value_is_checked);
    return g_test_run();
}
