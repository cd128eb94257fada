/*
 * A saved plan: its graph is refused, or survives being saved again; comparing the plan with the
 * machine says what differs, whatever stands in it.
 */
#include <stdint.h>
#include <string.h>

#include "base/json.h"
#include "engine/plan.h"
#include "host/host-fake.h"
#include "kinds/kinds.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void add_file(Graph *graph, const char *path) {
    g_autoptr(Value) content = value_new_string("text\n");
    g_autoptr(GPtrArray) problems = g_ptr_array_new();
    Resource *resource = resource_new(&kind_file, path, (Origin){ .file = "site.lua", .line = 1 });
    g_assert_true(resource_set(resource, "content", content, NULL));
    g_assert_true(resource_finish(resource, problems));
    g_assert_true(graph_add(graph, resource, DUPLICATE_REFUSE, NULL, NULL));
}

/* One file to make, one that is right. Lives as long as the process. */
static Plan *plan_of_today(void) {
    static Plan *plan;
    if (plan)
        return plan;
    g_autoptr(Host) host = host_fake_new();
    (void)host_fake_tamper_write(host, "/etc/right", "text\n");
    PlanOptions options = { .kinds = &builtin_kinds, .host = host, .parallel = 1 };
    g_autoptr(Graph) graph = graph_new();
    g_autoptr(GPtrArray) problems = g_ptr_array_new();
    add_file(graph, "/etc/a");
    add_file(graph, "/etc/right");
    g_assert_true(graph_seal(graph, problems));
    plan = plan_new(graph, &options, NULL);
    g_assert_nonnull(plan);
    return plan;
}

/* NULL: refused, which says why. */
static Graph *read_graph(const Value *value) {
    g_autoptr(GError) error = NULL;
    g_autoptr(Graph) graph = graph_from_value(value, &builtin_kinds, &error);
    g_assert_true((graph == NULL) == (error != NULL));
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func((GDestroyNotify)g_error_free);
    bool sealed = graph && graph_seal(graph, problems);
    g_assert_true(!graph || sealed == (problems->len == 0));
    return sealed ? g_steal_pointer(&graph) : NULL;
}

static void check_graph(const Value *value) {
    char digest[DIGEST_HEX_SIZE], digest_again[DIGEST_HEX_SIZE];
    g_autoptr(Graph) graph = read_graph(value);
    if (!graph)
        return;
    graph_digest(graph, digest);
    g_autoptr(Value) saved = graph_to_value(graph);
    g_autofree char *text = json_print(saved, JSON_COMPACT | JSON_REVEAL);
    g_autoptr(Value) loaded = json_parse(text, strlen(text), "saved", NULL);
    g_assert_nonnull(loaded);
    g_autoptr(Graph) again = read_graph(loaded);
    g_assert_nonnull(again);
    graph_digest(again, digest_again);
    g_assert_cmpstr(digest, ==, digest_again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    g_autoptr(Value) saved = json_parse((const char *)data, size, "plan.json", NULL);
    if (value_type(saved) != VALUE_MAP)
        return 0;
    g_autoptr(GError) error = NULL;
    bool same = plan_matches(plan_of_today(), saved, &error);
    g_assert_true(same == (error == NULL));
    check_graph(value_map_get(saved, "graph"));
    return 0;
}
