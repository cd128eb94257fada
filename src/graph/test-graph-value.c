#include "base/json.h"
#include "graph/test-kinds.h"

/* Two files and a command that feeds one of them; vertices in the order given by `turned`. */
static Graph *sample(bool turned, const char *password) {
    Graph *graph = graph_new();
    Resource *file = test_resource(&test_file, "/f", turned ? 50 : 1);
    g_assert_true(resource_receive(file, "content", "exec", "gen", "stdout", NULL));
    resource_own_meta(file)->retry = 2;
    Resource *exec = test_resource(&test_exec, "gen", 2);
    resource_put(exec, RUN_TIMEOUT, value_new_int(1500));
    Resource *value = test_resource(&test_value, "v", 3);
    g_autoptr(Value) open = value_new_string(password);
    resource_put(value, VALUE_PASSWORD, value_as_secret(open, "db"));
    unsigned f, e, v;
    if (turned)
        g_assert_true(graph_add(graph, value, DUPLICATE_REFUSE, &v, NULL));
    g_assert_true(graph_add(graph, exec, DUPLICATE_REFUSE, &e, NULL));
    g_assert_true(graph_add(graph, file, DUPLICATE_REFUSE, &f, NULL));
    if (!turned)
        g_assert_true(graph_add(graph, value, DUPLICATE_REFUSE, &v, NULL));
    if (turned)
        test_edge(graph, e, v, EDGE_AUTO);
    test_edge(graph, f, v, EDGE_NOTIFY);
    if (!turned)
        test_edge(graph, e, v, EDGE_AUTO);
    return graph;
}

static void digest_of(Graph *graph, char ret_hex[DIGEST_HEX_SIZE]) {
    test_seal(graph);
    graph_digest(graph, ret_hex);
    graph_unref(graph);
}

static void test_digest(void) {
    char one[DIGEST_HEX_SIZE], other[DIGEST_HEX_SIZE];
    digest_of(sample(false, "hunter2"), one);
    digest_of(sample(true, "hunter2"), other);
    g_assert_cmpstr(one, ==, other);
    digest_of(sample(false, "hunter3"), other);
    g_assert_cmpstr(one, ==, other); /* everybody may see it: it tells nothing of secrets */

    Graph *more = sample(false, "hunter2");
    test_edge(more, 1, 2, 0); /* replaces the notifying edge */
    digest_of(more, other);
    g_assert_cmpstr(one, !=, other);
    Graph *renamed = sample(false, "hunter2");
    (void)test_add(renamed, &test_pkg, "p", 1);
    digest_of(renamed, other);
    g_assert_cmpstr(one, !=, other);
}

static void secret_digest_of(const char *password, const char *key, char ret[DIGEST_HEX_SIZE]) {
    g_autoptr(Graph) graph = sample(false, password);
    test_seal(graph);
    graph_digest_secrets(graph, (const uint8_t *)key, strlen(key), ret);
}

static void test_secret_digest(void) {
    char one[DIGEST_HEX_SIZE], other[DIGEST_HEX_SIZE];
    secret_digest_of("hunter2", "key", one);
    secret_digest_of("hunter2", "key", other);
    g_assert_cmpstr(one, ==, other);
    secret_digest_of("hunter3", "key", other);
    g_assert_cmpstr(one, !=, other);
    secret_digest_of("hunter2", "another", other);
    g_assert_cmpstr(one, !=, other);
}

static void test_round_trip(void) {
    g_autoptr(Graph) graph = sample(false, "");
    test_seal(graph);
    g_autoptr(Value) value = graph_to_value(graph);
    g_autofree char *text = json_print(value, JSON_COMPACT);
    g_autoptr(GError) error = NULL;
    g_autoptr(Value) parsed = json_parse(text, strlen(text), "plan.json", &error);
    g_assert_no_error(error);
    g_autoptr(Graph) again = graph_from_value(parsed, &test_kinds, &error);
    g_assert_no_error(error);
    test_seal(again);
    char one[DIGEST_HEX_SIZE], other[DIGEST_HEX_SIZE];
    graph_digest(graph, one);
    graph_digest(again, other);
    g_assert_cmpstr(one, ==, other);
    /* Places and edges come back too, and the secret by its name. */
    g_autofree char *edges = test_edges(again);
    g_assert_cmpstr(edges, ==, "/f>v! gen>/f$ gen>v~");
    g_assert_cmpuint(graph_resource(again, 0)->origin.line, ==, 2);
    const Value *secret = resource_get(graph_resource(again, 2), VALUE_PASSWORD);
    g_assert_cmpstr(value_secret_name(secret), ==, "db");
}

static void test_secrets_are_not_shown(void) {
    g_autoptr(Graph) graph = sample(false, "hunter2");
    test_seal(graph);
    g_autoptr(Value) value = graph_to_value(graph);
    g_autofree char *text = json_print(value, JSON_COMPACT);
    g_assert_null(strstr(text, "hunter2"));
    g_assert_nonnull(strstr(text, "{\"$secret\":\"db\"}"));
}

static void test_hidden_twins(void) {
    g_autoptr(Graph) graph = graph_new();
    for (unsigned i = 0; i < 3; i++) {
        Resource *resource = test_resource(&test_file, "/x", 1);
        resource_own_meta(resource)->hidden = i != 1;
        g_assert_true(graph_add(graph, resource, DUPLICATE_REFUSE, NULL, NULL));
    }
    test_edge(graph, 0, 2, 0);
    test_seal(graph);
    g_autoptr(Value) value = graph_to_value(graph);
    g_autoptr(Graph) again = graph_from_value(value, &test_kinds, NULL);
    test_seal(again);
    g_assert_true(graph_has_edge(again, 0, 2));
}

static void test_damage_is_refused(void) {
    static const char *const bad[][2] = {
        { "[]", "expected a graph: a map with the lists 'resources' and 'edges'" },
        { "{\"resources\": []}", "expected a graph: a map with the lists 'resources' and 'edges'" },
        { "{\"resources\": [7], \"edges\": []}",
          "graph: resource 0: expected a map with kind and name of a resource" },
        { "{\"resources\": [{\"kind\": \"pkg\", \"name\": \"a\"}, {\"kind\": \"pkg\", \"name\": "
          "\"a\", \"file\": \"b.lua\", \"line\": 7}], \"edges\": []}",
          "graph: resource 1: b.lua:7: pkg 'a' is declared twice" },
        { "{\"resources\": [{\"kind\": \"pkg\", \"name\": \"a\"}], \"edges\": [{\"from\": 0, "
          "\"to\": 1}]}",
          "graph: edge 0: expected from and to below 1" },
        { "{\"resources\": [], \"edges\": [0]}", "graph: edge 0: expected from and to below 0" },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(Value) value = json_parse(bad[i][0], strlen(bad[i][0]), "case", NULL);
        g_autoptr(GError) error = NULL;
        g_assert_null(graph_from_value(value, &test_kinds, &error));
        g_assert_cmpstr(error->message, ==, bad[i][1]);
    }
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/graph-value/digest", test_digest);
    g_test_add_func("/graph-value/secret-digest", test_secret_digest);
    g_test_add_func("/graph-value/round-trip", test_round_trip);
    g_test_add_func("/graph-value/secrets-are-not-shown", test_secrets_are_not_shown);
    g_test_add_func("/graph-value/hidden-twins", test_hidden_twins);
    g_test_add_func("/graph-value/damage-is-refused", test_damage_is_refused);
    return g_test_run();
}
