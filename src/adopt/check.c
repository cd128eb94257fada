/* Whether the result is what it claims to be. */
#include <string.h>

#include "adopt/adopt.h"
#include "engine/plan.h"
#include "kinds/kinds.h"
#include "lang/lang.h"

static bool evaluate(Host *host, const char *directory, LangResult *ret_result, GError **error) {
    g_autofree char *file = g_build_filename(directory, "site.lua", NULL);
    g_autofree char *secrets_file = g_build_filename(directory, "secrets.yaml", NULL);
    g_autoptr(Value) secrets = NULL;
    if (g_file_test(secrets_file, G_FILE_TEST_EXISTS) &&
        !(secrets = lang_load_values(secrets_file, error)))
        return false;
    LangInputs inputs = {
        .kinds = &builtin_kinds,
        .host = host,
        .secrets = secrets,
        .wall_now = (uint64_t)g_get_real_time(),
    };
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func((GDestroyNotify)g_error_free);
    if (lang_load(file, &inputs, ret_result, problems))
        return true;
    g_propagate_error(error, g_error_copy(problems->pdata[0]));
    return false;
}

static char *describe(const PlanItem *item) {
    g_autofree char *resource = resource_show(item->resource);
    if (item->error != NULL)
        return g_strdup_printf("%s: %s", resource, item->error);
    g_autoptr(GString) text = g_string_new(resource);
    g_string_append_printf(text, ": would %s", action_name(item->changes->action));
    for (unsigned i = 0; i < item->changes->changes->len; i++)
        g_string_append_printf(text, "%s%s", i > 0 ? ", " : " ",
                               g_array_index(item->changes->changes, Change, i).property);
    return g_strdup(text->str);
}

bool adopt_check(Host *host, const char *directory, GPtrArray *differences, GError **error) {
    g_auto(LangResult) loaded = { 0 };
    if (!evaluate(host, directory, &loaded, error))
        return false;
    PlanOptions options = { .kinds = &builtin_kinds, .host = host };
    g_autoptr(Plan) plan = plan_new(loaded.graph, &options, error);
    for (unsigned i = 0; plan != NULL && i < plan_size(plan); i++)
        g_ptr_array_add(differences, describe(plan_item(plan, i)));
    return plan != NULL;
}
