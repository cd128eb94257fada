#include "cli/saved-plan.h"

#include <string.h>

#include "base/json.h"
#include "cli/plan-key.h"

/* --- secrets ---------------------------------------------------------------------------------- */

static bool holds_nameless(const Value *value) {
    if (!value_is_secret(value))
        return false;
    if (value_is_masked(value))
        return !value_secret_name(value);
    for (size_t i = 0; i < value_size(value); i++) {
        const char *key;
        const Value *item =
            value_type(value) == VALUE_MAP ? value_map_at(value, i, &key) : value_list_at(value, i);
        if (holds_nameless(item))
            return true;
    }
    return false;
}

/* A file could keep what was joined to a secret only by showing it. */
static bool check_savable(const Graph *graph, GError **error) {
    for (unsigned v = 0; v < graph_size(graph); v++) {
        const Resource *resource = graph_resource(graph, v);
        g_autoptr(Value) whole = resource_to_value(resource);
        if (!holds_nameless(whole))
            continue;
        g_autofree char *name = resource_show(resource);
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                    "refuse to save: %s has text that was made with a secret, which a file would "
                    "have to show; apply the configuration itself, or give the secret alone",
                    name);
        return false;
    }
    return true;
}

static Value *look_up(const Value *secrets, const char *name, GError **error) {
    const Value *item = secrets && name ? value_map_get(secrets, name) : NULL;
    if (value_type(item) == VALUE_STRING)
        return value_as_secret(item, name);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                "the plan needs the secret '%s', and no plan holds secrets: %s", name ? name : "",
                secrets ? "add it to the file given with --secrets" : "give --secrets FILE");
    return NULL;
}

/* A copy of value in which named secrets have their content. */
static Value *fill(const Value *value, const Value *secrets, GError **error) {
    if (!value_is_secret(value))
        return value_ref(value);
    if (value_is_masked(value))
        return look_up(secrets, value_secret_name(value), error);
    bool is_map = value_type(value) == VALUE_MAP;
    g_autoptr(Value) copy = is_map ? value_new_map() : value_new_list();
    for (size_t i = 0; i < value_size(value); i++) {
        const char *key = NULL;
        const Value *item = is_map ? value_map_at(value, i, &key) : value_list_at(value, i);
        Value *filled = fill(item, secrets, error);
        if (!filled)
            return NULL;
        if (is_map)
            value_map_set(copy, key, filled);
        else
            value_list_append(copy, filled);
    }
    return g_steal_pointer(&copy);
}

static bool digest_secrets(const Session *session, const Graph *graph, bool make_key,
                           char ret_hex[DIGEST_HEX_SIZE], GError **error) {
    PlanKey key;
    if (!plan_key_get(session->machine->state_dir, make_key, &key, error))
        return false;
    graph_digest_secrets(graph, key.bytes, sizeof key.bytes, ret_hex);
    return true;
}

static bool add_secrets_digest(const Session *session, const Graph *graph, Value *saved,
                               GError **error) {
    char digest[DIGEST_HEX_SIZE];
    if (!value_is_secret(value_map_get(saved, "graph")))
        return true;
    if (!digest_secrets(session, graph, true, digest, error))
        return false;
    value_map_set(saved, "secrets_digest", value_new_string(digest));
    return true;
}

static bool check_secrets(const Session *session, const Graph *graph, const Value *saved,
                          const char *file, GError **error) {
    char digest[DIGEST_HEX_SIZE];
    if (!value_is_secret(value_map_get(saved, "graph")))
        return true;
    if (!digest_secrets(session, graph, false, digest, error)) {
        g_prefix_error(error, "refuse '%s': ", file);
        return false;
    }
    if (strcmp(digest, value_map_string(saved, "secrets_digest", "")) == 0)
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                "refuse '%s': a secret has changed since, or it was edited or damaged; make a new "
                "plan",
                file);
    return false;
}

/* --- what may lose data ----------------------------------------------------------------------- */

static Value *list_of(char *const *texts) {
    Value *list = value_new_list();
    for (; *texts; texts++)
        value_list_append(list, value_new_string(*texts));
    return list;
}

char **saved_plan_force(const Session *session, const Value *saved) {
    g_autoptr(GStrvBuilder) all = g_strv_builder_new();
    const Value *list = value_map_get(saved, "force");
    for (char **one = session->arguments->force; one && *one; one++)
        g_strv_builder_add(all, *one);
    for (size_t i = 0; value_type(list) == VALUE_LIST && i < value_size(list); i++)
        if (value_type(value_list_at(list, i)) == VALUE_STRING)
            g_strv_builder_add(all, value_string(value_list_at(list, i)));
    return g_strv_builder_end(all);
}

/* --- writing ---------------------------------------------------------------------------------- */

bool saved_plan_write(const Session *session, const Plan *plan, const char *configuration,
                      const char *file, GError **error) {
    if (!check_savable(plan_graph(plan), error))
        return false;
    g_autoptr(Value) saved = plan_to_value(plan);
    g_autofree char *path = g_canonicalize_filename(configuration, NULL);
    value_map_set(saved, "configuration", value_new_string(path));
    if (!add_secrets_digest(session, plan_graph(plan), saved, error)) {
        g_prefix_error(error, "save the plan: ");
        return false;
    }
    if (session->arguments->replace)
        value_map_set(saved, "replace", value_new_bool(true));
    if (session->arguments->force)
        value_map_set(saved, "force", list_of(session->arguments->force));
    value_map_set(saved, "root", value_new_string(host_root(session->machine->host)));
    g_autofree char *text = json_print(saved, JSON_INDENT);
    if (g_file_set_contents_full(file, text, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0600, error))
        return true;
    g_prefix_error(error, "save the plan: ");
    return false;
}

/* --- reading ---------------------------------------------------------------------------------- */

static bool is_plan(const Value *saved) {
    return value_type(saved) == VALUE_MAP && value_map_get(saved, "format_version") &&
           value_map_get(saved, "graph");
}

/* A plan for a practice tree must not reach the machine, nor the other way round. */
static bool check_root(const Session *session, const Value *saved, const char *file,
                       GError **error) {
    const char *planned = value_map_string(saved, "root", "/"),
               *root = host_root(session->machine->host);
    if (strcmp(planned, root) == 0)
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                "refuse '%s': it was made for the root '%s', not for '%s'; %s%s", file, planned,
                root, strcmp(planned, "/") == 0 ? "leave out --root" : "add --root ",
                strcmp(planned, "/") == 0 ? "" : planned);
    return false;
}

static Graph *sealed_graph(const Session *session, const Value *saved, const Value *value,
                           GError **error) {
    const KindSet *kinds =
        machine_kinds(session->machine, value_map_string(saved, "configuration", NULL), error);
    g_autoptr(Graph) graph = kinds ? graph_from_value(value, kinds, error) : NULL;
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func((GDestroyNotify)g_error_free);
    if (!graph)
        return NULL;
    if (graph_seal(graph, problems))
        return g_steal_pointer(&graph);
    g_propagate_error(error, g_error_copy(g_ptr_array_index(problems, 0)));
    return NULL;
}

static bool check_digest(const Graph *graph, const Value *saved, const char *file, GError **error) {
    char digest[DIGEST_HEX_SIZE];
    graph_digest(graph, digest);
    if (strcmp(digest, value_map_string(saved, "graph_digest", "")) == 0)
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                "refuse '%s': its graph does not fit its digest; it was edited or damaged; make a "
                "new plan",
                file);
    return false;
}

Value *saved_plan_load(const char *file) {
    g_autofree char *text = NULL;
    gsize size;
    if (!g_file_get_contents(file, &text, &size, NULL))
        return NULL;
    g_autoptr(Value) saved = json_parse(text, size, file, NULL);
    return is_plan(saved) ? g_steal_pointer(&saved) : NULL;
}

Graph *saved_plan_graph(const Session *session, const char *file, const Value *saved,
                        GError **error) {
    if (!check_root(session, saved, file, error))
        return NULL;
    g_autoptr(Value) whole = fill(value_map_get(saved, "graph"), session->secrets, error);
    g_autoptr(Graph) graph = whole ? sealed_graph(session, saved, whole, error) : NULL;
    if (!graph || !check_digest(graph, saved, file, error) ||
        !check_secrets(session, graph, saved, file, error))
        return NULL;
    return g_steal_pointer(&graph);
}
