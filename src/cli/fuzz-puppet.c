/* A Puppet catalog, with the real kinds: it loads, or every problem has a text; it loads the same
 * twice; no byte of a message reaches a terminal unescaped. */
#include <stdint.h>
#include <string.h>

#include "kinds/kinds.h"
#include "lang/puppet-catalog.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text) {
    g_assert_true(*text);
    for (; *text; text++)
        g_assert_true((unsigned char)*text >= ' ' || *text == '\n');
}

/* False: there were problems. */
static bool load(const uint8_t *data, size_t size, char ret_digest[DIGEST_HEX_SIZE]) {
    const LangInputs inputs = { .kinds = &builtin_kinds };
    g_autoptr(Sources) sources = sources_new(NULL);
    g_autoptr(Problems) problems = problems_new(sources);
    g_autoptr(GPtrArray) errors = g_ptr_array_new_with_free_func((GDestroyNotify)g_error_free);
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(Graph) graph = graph_new();
    sources_add_text(sources, "fuzz.json", data, size);
    puppet_catalog_load("fuzz.json", &inputs, sources, problems, warnings, graph);
    problems_move(problems, errors);
    bool fine = errors->len == 0;
    for (unsigned i = 0; i < warnings->len; i++)
        check_text(g_ptr_array_index(warnings, i));
    if (fine)
        fine = graph_seal(graph, errors);
    for (unsigned i = 0; i < errors->len; i++)
        check_text(((const GError *)g_ptr_array_index(errors, i))->message);
    if (fine)
        graph_digest(graph, ret_digest);
    return fine;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char first[DIGEST_HEX_SIZE], second[DIGEST_HEX_SIZE];
    bool fine = load(data, size, first);
    g_assert_true(load(data, size, second) == fine);
    if (fine)
        g_assert_cmpstr(first, ==, second);
    return 0;
}
