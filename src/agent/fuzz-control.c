/*
 * Any bytes as a request: the answer is one that a client reads, with an end or a refusal. Any
 * bytes as an answer: maps, or an error.
 */
#include <stdint.h>
#include <string.h>

#include "agent/control-protocol.h"
#include "host/host-fake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const Kind thing = { .name = "thing" };
static const Kind *const things[] = { &thing };
static const KindSet kinds = { things, G_N_ELEMENTS(things) };

/* One that has a resource loaded and has not run yet. Lives as long as the process. */
static Engine *engine_of_process(void) {
    static Engine *engine;
    if (engine)
        return engine;
    EngineOptions options = { .loop = loop_new_virtual(NULL),
                              .host = host_fake_new(),
                              .kinds = &kinds };
    engine = engine_new(&options);
    g_autoptr(Graph) graph = graph_new();
    g_autoptr(GPtrArray) problems = g_ptr_array_new();
    Resource *resource = resource_new(&thing, "a\nb", (Origin){ .file = "site.lua", .line = 1 });
    (void)graph_add(graph, resource, DUPLICATE_REFUSE, NULL, NULL);
    g_assert_true(graph_seal(graph, problems));
    g_assert_true(engine_load(engine, graph, NULL));
    return engine;
}

static void check_answer(const char *request, size_t size) {
    g_autoptr(GString) answer = g_string_new(NULL);
    g_autoptr(GError) error = NULL;
    control_answer(engine_of_process(), NULL, request, size, answer);
    g_assert_true(g_str_has_suffix(answer->str, "}\n"));
    g_autoptr(GPtrArray) values = control_parse_answer(answer->str, &error);
    g_assert_true(values || g_error_matches(error, STEAD_ERROR, STEAD_ERROR_REFUSED));
}

static void check_client(const char *text, size_t size) {
    g_autofree char *answer = g_strndup(text, size);
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) values = control_parse_answer(answer, &error);
    g_assert_true((values == NULL) == (error != NULL));
    for (unsigned i = 0; values && i < values->len; i++)
        g_assert_cmpint(value_type(values->pdata[i]), ==, VALUE_MAP);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    check_answer((const char *)data, size);
    check_client((const char *)data, size);
    return 0;
}
