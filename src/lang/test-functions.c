/* Every name a program sees is documented, and nothing else is. */
#include <lauxlib.h>
#include <string.h>

#include "lang/eval.h"
#include "lang/lua-names.h"
#include "lang/test-kinds.h"

static const LangFunction *find(const char *name) {
    for (size_t i = 0; i < lang_functions_count; i++)
        if (strcmp(lang_functions[i].name, name) == 0)
            return &lang_functions[i];
    return NULL;
}

static bool is_kind(const char *name) {
    g_autofree char *kind = g_strdelimit(g_strdup(name), "_", ':');
    return kind_set_find(&test_kinds, name) || kind_set_find(&test_kinds, kind);
}

static void test_rows(void) {
    g_assert_cmpuint(lang_functions_count, >, 100);
    for (size_t i = 0; i < lang_functions_count; i++) {
        const LangFunction *row = &lang_functions[i];
        size_t length = strlen(row->help);
        if (i > 0)
            g_assert_cmpint(strcmp(lang_functions[i - 1].name, row->name), <, 0);
        if (length < 4 || row->help[length - 1] != '.' || *row->signature == '\0')
            g_error("'%s' is not described", row->name);
    }
}

/* Adds prefix and the names of the table on top of the stack, and of tables inside it. */
static void collect(lua_State *lua, const char *prefix, GPtrArray *names) {
    lua_pushnil(lua);
    while (lua_next(lua, -2)) {
        char *name = g_strconcat(prefix, lua_tostring(lua, -2), NULL);
        g_ptr_array_add(names, name);
        if (lua_istable(lua, -1)) {
            g_autofree char *inner = g_strconcat(name, ".", NULL);
            collect(lua, inner, names);
        }
        lua_pop(lua, 1);
    }
}

static void test_names(void) {
    const LangCases cases = { 0 }; /* as in `stead test`, which sees more */
    const LangInputs inputs = { .kinds = &test_kinds, .cases = &cases };
    g_autoptr(Sources) sources = sources_new(NULL);
    g_autoptr(Problems) problems = problems_new(sources);
    g_autoptr(Eval) eval = eval_new(&inputs, "site.lua", sources, problems);
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    g_assert_nonnull(eval->lua);
    names_push(eval->lua);
    collect(eval->lua, "", names);
    for (unsigned i = 0; i < names->len; i++) {
        const char *name = g_ptr_array_index(names, i);
        if (!find(name) && !is_kind(name))
            g_error("'%s' has no row in lang_functions", name);
        g_hash_table_add(seen, (void *)(uintptr_t)name);
    }
    for (size_t i = 0; i < lang_functions_count; i++)
        if (!g_hash_table_contains(seen, lang_functions[i].name))
            g_error("lang_functions has '%s', which a program does not see",
                    lang_functions[i].name);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/functions/rows", test_rows);
    g_test_add_func("/functions/names", test_names);
    return g_test_run();
}
