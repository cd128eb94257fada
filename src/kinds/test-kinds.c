/* What every kind must have, whatever it is: walks the list. */
#include <ctype.h>
#include <string.h>

#include "graph/meta.h"
#include "kinds/kinds.h"

static bool is_sentence(const char *text) {
    size_t size = strlen(text);
    return size > 8 && text[size - 1] == '.';
}

static void check_name(const Kind *kind, const char *name) {
    for (const char *c = name; *c != '\0'; c++)
        if (!islower((unsigned char)*c) && !isdigit((unsigned char)*c) && *c != '_')
            g_error("%s: parameter '%s' is not in lower case", kind->name, name);
}

static void claim_name(const Kind *kind, GHashTable *names, const char *name) {
    check_name(kind, name);
    if (!g_hash_table_add(names, g_strdup(name)))
        g_error("%s: '%s' stands for two parameters, or for a meta parameter", kind->name, name);
}

static void check_fallback(const Kind *kind, const Param *param) {
    if (param->fallback == NULL)
        return;
    if (param->flags & (PARAM_REQUIRED | PARAM_NAMED))
        g_error("%s: required '%s' has a fallback", kind->name, param->name);
    char *end = NULL;
    if (param->type == PARAM_INT || param->type == PARAM_FLOAT)
        (void)g_ascii_strtod(param->fallback, &end);
    if (end != NULL && (end == param->fallback || *end != '\0'))
        g_error("%s: fallback '%s' of '%s' is no number", kind->name, param->fallback, param->name);
    g_autoptr(Value) value = param_fallback(param); /* asserts that it converts */
    g_assert_nonnull(value);
}

static void check_param(const Kind *kind, const Param *param, GHashTable *names) {
    if (param->name == NULL)
        g_error("%s: a row of its table is empty", kind->name);
    if (param->help == NULL || !is_sentence(param->help))
        g_error("%s: '%s' has no help that is a sentence", kind->name, param->name);
    claim_name(kind, names, param->name);
    g_auto(GStrv) aliases = g_strsplit(param->aliases != NULL ? param->aliases : "", " ", -1);
    for (char **alias = aliases; *alias != NULL; alias++)
        claim_name(kind, names, *alias);
    if ((param->type == PARAM_ENUM) != (param->choices != NULL))
        g_error("%s: '%s' has choices and is no enum, or the reverse", kind->name, param->name);
    if ((param->type == PARAM_DURATION) != (param->unit != NULL))
        g_error("%s: '%s' has a unit and is no duration, or the reverse", kind->name, param->name);
    check_fallback(kind, param);
}

static void check_kind(gconstpointer data) {
    const Kind *kind = data;
    g_assert_nonnull(kind->summary);
    g_assert_false(g_str_has_suffix(kind->summary, "."));
    g_assert_cmpuint(strlen(kind->summary), <=, 80);
    g_assert_true(is_sentence(kind->help));
    g_assert_nonnull(kind->example);
    g_assert_nonnull(strstr(kind->example, kind->name));
    g_assert_true(g_str_has_suffix(kind->example, "\n"));

    g_autoptr(GHashTable) names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (size_t i = 0; i < meta_params_count; i++)
        g_hash_table_add(names, g_strdup(meta_params[i].name));
    const char *const words[] = { "needs", "before", "notify", "listen", "name", "kind" };
    for (size_t i = 0; i < G_N_ELEMENTS(words); i++)
        g_hash_table_add(names, g_strdup(words[i]));
    for (unsigned i = 0; i < kind->n_params; i++)
        check_param(kind, &kind->params[i], names);
    for (unsigned i = 0; i < kind->n_outputs; i++)
        g_assert_true(is_sentence(kind->outputs[i].help));

    g_assert_nonnull(kind->observe);
    g_assert_true(kind->apply != NULL || kind->apply_group != NULL);
    g_assert_true((kind->group_with == NULL) == (kind->apply_group == NULL));
    if (kind->flags & KIND_STATELESS)
        g_assert_null(kind->reverse);
}

static void check_order(void) {
    for (unsigned i = 1; i < builtin_kinds.n_kinds; i++)
        g_assert_cmpstr(builtin_kinds.kinds[i - 1]->name, <, builtin_kinds.kinds[i]->name);
    for (unsigned i = 0; i < builtin_kinds.n_kinds; i++)
        g_assert_true(kind_set_find(&builtin_kinds, builtin_kinds.kinds[i]->name) ==
                      builtin_kinds.kinds[i]);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/kinds/order", check_order);
    for (unsigned i = 0; i < builtin_kinds.n_kinds; i++) {
        g_autofree char *path = g_strdup_printf("/kinds/table/%s", builtin_kinds.kinds[i]->name);
        g_test_add_data_func(path, builtin_kinds.kinds[i], check_kind);
    }
    return g_test_run();
}
