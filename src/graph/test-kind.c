#include "base/json.h"
#include "graph/test-kinds.h"

static char *print_changes(const Changes *changes) {
    GString *text = g_string_new(action_name(changes->action));
    for (unsigned i = 0; i < changes->changes->len; i++) {
        const Change *change = &g_array_index(changes->changes, Change, i);
        g_autofree char *before = change->before ? value_show(change->before, 0) : g_strdup("-");
        g_autofree char *after = change->after ? value_show(change->after, 0) : g_strdup("-");
        g_string_append_printf(text, " %s: %s > %s", change->property, before, after);
    }
    g_string_append(text, changes->uncertain ? " ?" : "");
    return g_string_free(text, FALSE);
}

static Changes *diff(const Resource *resource, const State *actual) {
    KindRun run = { .resource = resource, .exit_code = -1 };
    Changes *changes = changes_new();
    g_assert_true(kind_diff_properties(&run, actual, changes, NULL));
    return changes;
}

static void test_diff(void) {
    g_autoptr(Resource) file = test_resource(&test_file, "/x", 1);
    resource_put(file, FILE_CONTENT, value_new_string("new"));
    resource_put(file, FILE_MODE, value_new_string("0600"));
    g_autoptr(State) actual = state_new(&test_file);

    g_autoptr(Changes) create = diff(file, actual);
    g_autofree char *created = print_changes(create);
    g_assert_cmpstr(created, ==,
                    "create state: - > \"exists\" content: - > \"new\" mode: - > \"0600\"");

    actual->exists = true;
    state_set(actual, FILE_STATE, value_new_string("exists"));
    state_set(actual, FILE_CONTENT, value_new_string("old"));
    g_autoptr(Changes) change = diff(file, actual);
    g_autofree char *changed = print_changes(change);
    g_assert_cmpstr(changed, ==, "change content: \"old\" > \"new\"");
    g_assert_false(changes_empty(change));
    g_assert_nonnull(changes_find(change, "content"));
    g_assert_null(changes_find(change, "mode"));

    state_set(actual, FILE_CONTENT, value_new_string("new"));
    g_autoptr(Changes) none = diff(file, actual);
    g_assert_true(changes_empty(none));
}

static void test_diff_unknown(void) {
    g_autoptr(Resource) file = test_resource(&test_file, "/x", 1);
    resource_put(file, FILE_CONTENT, value_new_unknown());
    g_autoptr(State) actual = state_new(&test_file);
    actual->exists = true;
    state_set(actual, FILE_CONTENT, value_new_string("old"));
    g_autoptr(Changes) changes = diff(file, actual);
    g_assert_true(changes->uncertain);
    g_assert_cmpuint(changes->changes->len, ==, 1);
}

static void test_diff_text(void) {
    g_autoptr(Resource) file = test_resource(&test_file, "/x", 1);
    resource_put(file, FILE_CONTENT, value_new_string("a\nb\n"));
    g_autoptr(State) actual = state_new(&test_file);
    actual->exists = true;
    state_set(actual, FILE_CONTENT, value_new_string("a\n"));
    g_autoptr(Changes) changes = diff(file, actual);
    g_assert_nonnull(strstr(changes_find(changes, "content")->diff, "+b"));
}

static void test_diff_secret(void) {
    g_autoptr(Resource) resource = test_resource(&test_value, "x", 1);
    resource_put(resource, VALUE_PASSWORD, value_new_string("new\n"));
    g_autoptr(State) actual = state_new(&test_value);
    actual->exists = true;
    state_set(actual, VALUE_PASSWORD, value_new_string("old\n"));
    g_autoptr(Changes) changes = diff(resource, actual);
    const Change *change = changes_find(changes, "password");
    g_assert_true(value_is_secret(change->before) && value_is_secret(change->after));
    g_assert_null(change->diff);

    g_autoptr(Value) stored = state_to_value(actual);
    g_autofree char *text = json_print(stored, JSON_COMPACT);
    g_assert_cmpstr(text, ==, "{\"exists\":true,\"password\":{\"$secret\":null}}");
}

/* A secret on one side hides the other: an old password is worth as much as the new one. */
static void test_secret_hides_both(void) {
    g_autoptr(Changes) changes = changes_new();
    g_autoptr(Value) open = value_new_string("s");
    changes_add(changes, "x", value_new_string("a\n"), value_as_secret(open, "n"), g_strdup("-a"));
    g_assert_null(changes_find(changes, "x")->diff);

    g_autoptr(Resource) file = test_resource(&test_file, "/x", 1);
    resource_put(file, FILE_CONTENT, value_as_secret(open, "n"));
    g_autoptr(State) actual = state_new(&test_file);
    actual->exists = true;
    state_set(actual, FILE_CONTENT, value_new_string("old"));
    g_autoptr(Changes) found = diff(file, actual);
    g_assert_true(value_is_secret(changes_find(found, "content")->before));
}

static void test_state_round_trip(void) {
    g_autoptr(State) state = state_new(&test_file);
    state->exists = true;
    state->content = g_bytes_new_static("x", 1);
    state_set(state, FILE_MODE, value_new_string("0644"));
    state_set(state, FILE_PATH, value_new_string("/x")); /* no property: does not count */
    g_autoptr(Value) value = state_to_value(state);
    g_autofree char *text = json_print(value, JSON_COMPACT);
    g_assert_cmpstr(text, ==, "{\"exists\":true,\"mode\":\"0644\"}");

    static const char stored[] =
        "{\"exists\": true, \"mode\": \"0600\", \"shoe\": 43, \"path\": 1}";
    g_autoptr(Value) input = json_parse(stored, strlen(stored), "case", NULL);
    g_autoptr(State) again = state_from_value(&test_file, input);
    g_assert_true(again->exists);
    g_assert_cmpstr(value_string(state_get(again, FILE_MODE)), ==, "0600");
    g_assert_null(state_get(again, FILE_PATH));
    g_autoptr(State) nothing = state_from_value(&test_file, NULL);
    g_assert_false(nothing->exists);
}

static void test_run_helpers(void) {
    g_autoptr(Resource) exec = test_resource(&test_exec, "x", 1);
    KindRun run = { .resource = exec, .exit_code = -1 };
    kind_run_send(&run, "stdout", value_new_string("hi"));
    kind_run_send(&run, "status", value_new_int(0));
    g_assert_cmpstr(value_map_string(run.outputs, "stdout", NULL), ==, "hi");
    kind_run_keep(&run, value_new_map());
    kind_run_keep(&run, value_new_map());
    kind_run_note(&run, "one");
    kind_run_note(&run, "two %d", 2);
    g_assert_cmpstr(run.note, ==, "two 2");
    value_unref(run.outputs);
    value_unref(run.keep);
    g_free(run.note);
}

static void test_set(void) {
    g_assert_true(kind_set_find(&test_kinds, "pkg") == &test_pkg);
    g_assert_null(kind_set_find(&test_kinds, "pk"));
    g_autoptr(GError) error = NULL;
    kind_set_unknown(&test_kinds, "fil", &error);
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG);
    g_assert_cmpstr(error->message, ==, "no such kind 'fil', did you mean 'file'?");
    g_assert_cmpint(kind_param_index(&test_file, "contents"), ==, FILE_CONTENT);
    g_assert_cmpint(kind_param_index(&test_file, "conten"), ==, -1);
    g_assert_cmpint(kind_find_output(&test_exec, "status")->type, ==, PARAM_INT);
    g_assert_null(kind_find_output(&test_exec, "stat"));
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/kind/diff", test_diff);
    g_test_add_func("/kind/diff-unknown", test_diff_unknown);
    g_test_add_func("/kind/diff-text", test_diff_text);
    g_test_add_func("/kind/diff-secret", test_diff_secret);
    g_test_add_func("/kind/secret-hides-both", test_secret_hides_both);
    g_test_add_func("/kind/state-round-trip", test_state_round_trip);
    g_test_add_func("/kind/run-helpers", test_run_helpers);
    g_test_add_func("/kind/set", test_set);
    return g_test_run();
}
