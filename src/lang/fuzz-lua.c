/* A program: it evaluates to a graph that seals, or gives problems; twice the same. */
#include <stdint.h>
#include <string.h>

#include "lang/eval.h"
#include "lang/lua-declare.h"
#include "lang/lua-sandbox.h"
#include "lang/test-kinds.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* All problems in one text, or the graph's digest. */
static char *evaluate(const uint8_t *data, size_t size) {
    const LangInputs inputs = { .kinds = &test_kinds,
                                .max_instructions = 50000,
                                .max_memory = 4 * 1024 * 1024,
                                .wall_now = 1790000000000000 };
    g_autoptr(Sources) sources = sources_new(NULL);
    g_autoptr(Problems) problems = problems_new(sources);
    g_autoptr(GPtrArray) errors = g_ptr_array_new_with_free_func((GDestroyNotify)g_error_free);
    sources_add_text(sources, "fuzz.lua", data, size);
    g_autoptr(Eval) eval = eval_new(&inputs, "fuzz.lua", sources, problems);
    bool complete = sandbox_run(eval);
    if (complete)
        declare_resolve(eval);
    problems_move(problems, errors);
    if (complete)
        (void)graph_seal(eval->graph, errors);
    g_assert_true(complete || errors->len > 0);
    GString *result = g_string_new(NULL);
    for (unsigned i = 0; i < errors->len; i++)
        g_string_append(result, ((GError *)g_ptr_array_index(errors, i))->message);
    if (errors->len == 0) {
        char hex[DIGEST_HEX_SIZE];
        graph_digest(eval->graph, hex);
        g_string_append(result, hex);
    }
    return g_string_free(result, FALSE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    g_autofree char *first = evaluate(data, size);
    g_autofree char *second = evaluate(data, size);
    g_assert_cmpstr(first, ==, second);
    return 0;
}
