#include "cli/trial.h"

#include <string.h>

#include "base/limits.h"
#include "base/suggest.h"
#include "cli/change-text.h"
#include "engine/plan.h"
#include "host/host-fake.h"
#include "host/host-real.h"
#include "kinds/kinds.h"
#include "lang/lang.h"

#define SHOWN 60 /* characters of a value */

static const char *const input_names[] = { "file",     "facts", "values",   "secrets",
                                           "time",     "files", "packages", "units",
                                           "commands", "links", "exchange" };

static bool check_inputs(const Value *inputs, GError **error) {
    const char *name;
    for (size_t i = 0; i < value_size(inputs); i++) {
        (void)value_map_at(inputs, i, &name);
        bool known = false;
        for (unsigned j = 0; j < G_N_ELEMENTS(input_names); j++)
            known |= strcmp(name, input_names[j]) == 0;
        if (known)
            continue;
        const char *near = suggest_nearest(name, input_names, G_N_ELEMENTS(input_names));
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "no such input '%s'%s%s%s", name,
                    near ? ", did you mean '" : "", near ? near : "", near ? "'?" : "");
        return false;
    }
    if (value_map_string(inputs, "file", NULL))
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                "'file' is missing: name the configuration to try out");
    return false;
}

/* --- the machine ------------------------------------------------------------------------------ */

static void for_each(const Value *inputs, const char *name, Host *fake,
                     void (*add)(Host *fake, const char *key, const char *text)) {
    const Value *map = value_map_get(inputs, name);
    for (size_t i = 0; value_type(map) == VALUE_MAP && i < value_size(map); i++) {
        const char *key;
        const Value *value = value_map_at(map, i, &key);
        add(fake, key, value_type(value) == VALUE_STRING ? value_string(value) : "");
    }
}

/* With a slash at its end a directory. */
static void add_file(Host *fake, const char *path, const char *text) {
    if (g_str_has_suffix(path, "/")) {
        g_autofree char *inside = g_strconcat(path, "inside", NULL);
        (void)host_make_parents(fake, inside, NULL); /* a bad path shows when it is used */
        return;
    }
    (void)host_make_parents(fake, path, NULL); /* what is wrong with a path shows in the write */
    (void)host_fake_tamper_write(fake, path, text);
}

static void add_package(Host *fake, const char *name, const char *version) {
    host_fake_set_package(fake, name, *version ? version : NULL, *version ? version : "1.0");
}

static void add_unit(Host *fake, const char *name, const char *state) {
    UnitInfo info = { .exists = true, .active = strcmp(state, "running") == 0, .can_reload = true };
    g_autofree char *unit =
        strchr(name, '.') ? g_strdup(name) : g_strconcat(name, ".service", NULL);
    host_fake_set_unit(fake, unit, &info);
}

static void add_command(Host *fake, const char *line, const char *output) {
    host_fake_set_command(fake, line, 0, output, NULL, NULL);
}

static void add_link(Host *fake, const char *link, const char *type) {
    host_fake_set_link(fake, link, type);
}

static Host *make_machine(const Value *inputs) {
    Host *fake = host_fake_new();
    for_each(inputs, "files", fake, add_file);
    for_each(inputs, "packages", fake, add_package);
    for_each(inputs, "units", fake, add_unit);
    for_each(inputs, "commands", fake, add_command);
    for_each(inputs, "links", fake, add_link);
    return fake;
}

/* --- results ---------------------------------------------------------------------------------- */

static Value *of_kind(GHashTable *entries, const char *kind) {
    Value *names = value_new_map();
    GHashTableIter iter;
    void *resource, *value;
    g_hash_table_iter_init(&iter, entries);
    while (g_hash_table_iter_next(&iter, &resource, &value))
        if (strcmp(((Resource *)resource)->kind->name, kind) == 0)
            value_map_set(names, ((Resource *)resource)->name, value_ref(value));
    return names;
}

/* kind -> name -> value, with a map for every kind so that asking for none is no error. */
static Value *by_kind(GHashTable *entries, const KindSet *kinds) {
    Value *result = value_new_map();
    for (unsigned i = 0; i < kinds->n_kinds; i++)
        value_map_set(result, kinds->kinds[i]->name, of_kind(entries, kinds->kinds[i]->name));
    unsigned n = 0;
    const char *const *more = kinds->more ? kinds->more->names(kinds->more, &n) : NULL;
    for (unsigned i = 0; i < n; i++)
        value_map_set(result, more[i], of_kind(entries, more[i]));
    return result;
}

static GHashTable *entries_new(void) {
    return g_hash_table_new_full(resource_key_hash, resource_key_equal,
                                 (GDestroyNotify)resource_unref, (GDestroyNotify)value_unref);
}

static void put(GHashTable *entries, const Resource *resource, Value *value) {
    g_hash_table_replace(entries, resource_ref(resource), value);
}

static Value *resources_of(const Graph *graph, const KindSet *kinds) {
    g_autoptr(GHashTable) entries = entries_new();
    for (unsigned i = 0; i < graph_size(graph); i++) {
        const Resource *resource = graph_resource(graph, i);
        g_autoptr(Value) whole = resource_to_value(resource);
        const Value *params = value_map_get(whole, "params");
        put(entries, resource, params ? value_ref(params) : value_new_map());
    }
    return by_kind(entries, kinds);
}

static Value *planned(const Plan *plan, const KindSet *kinds) {
    g_autoptr(GHashTable) entries = entries_new();
    for (unsigned i = 0; i < plan_size(plan); i++) {
        const PlanItem *item = plan_item(plan, i);
        const char *action = item->error ? "fail" : action_name(item->changes->action);
        put(entries, item->resource, value_new_string(action));
    }
    return by_kind(entries, kinds);
}

/* "change file '/x' (mode \"0644\" -> \"0600\")" of everything. */
static Value *plan_texts(const Plan *plan) {
    Value *texts = value_new_list();
    for (unsigned i = 0; i < plan_size(plan); i++) {
        const PlanItem *item = plan_item(plan, i);
        g_autofree char *name = resource_show(item->resource);
        g_autoptr(GString) text = g_string_new(NULL);
        g_string_append_printf(text, "%s %s",
                               item->error ? "fail" : action_name(item->changes->action), name);
        if (item->error)
            g_string_append_printf(text, ": %s", item->error);
        for (unsigned j = 0; !item->error && j < item->changes->changes->len; j++) {
            const Change *change = &g_array_index(item->changes->changes, Change, j);
            g_autofree char *one =
                change_text(change->property, " ", change->before, change->after, SHOWN);
            g_string_append_printf(text, "%s%s", j ? ", " : " (", one);
        }
        if (!item->error && item->changes->changes->len > 0)
            g_string_append_c(text, ')');
        value_list_append(texts, value_new_string(text->str));
    }
    return texts;
}

typedef struct {
    Loop *loop;
    GHashTable *applied, *failed;
} Outcome;

static void on_event(void *data, const EngineEvent *event) {
    Outcome *outcome = data;
    if (event->type == ENGINE_CHANGED)
        put(outcome->applied, event->resource,
            value_new_string(action_name(event->changes->action)));
    else if (event->type == ENGINE_FAILED)
        put(outcome->failed, event->resource, value_new_string(event->error->message));
    else if (event->type == ENGINE_CONVERGED)
        loop_quit(outcome->loop);
}

/* Virtual time: retries and delays of hours take none. */
static bool apply(Graph *graph, const KindSet *kinds, Host *machine, Value *result,
                  GError **error) {
    g_autoptr(Loop) loop = loop_new_virtual(error);
    g_autoptr(GHashTable) applied = entries_new();
    g_autoptr(GHashTable) failed = entries_new();
    Outcome outcome = { loop, applied, failed };
    EngineOptions options = {
        .loop = loop,
        .host = machine,
        .kinds = kinds,
        .listener = on_event,
        .listener_data = &outcome,
    };
    g_autoptr(Engine) engine = loop ? engine_new(&options) : NULL;
    if (!engine || !engine_load(engine, graph, error) || !loop_run(loop, error))
        return false;
    value_map_set(result, "applied", by_kind(applied, kinds));
    value_map_set(result, "failed", by_kind(failed, kinds));
    return true;
}

static Value *files_of(const Graph *graph, Host *machine) {
    Value *files = value_new_map();
    const Kind *file = kind_set_find(&builtin_kinds, "file");
    int path = kind_param_index(file, "path");
    for (unsigned i = 0; i < graph_size(graph); i++) {
        const Resource *resource = graph_resource(graph, i);
        const char *name =
            resource->kind == file ? resource_string(resource, (unsigned)path) : NULL;
        g_autoptr(GBytes) bytes = name ? host_read(machine, name, LIMIT_FILE_CONTENT, NULL) : NULL;
        if (!bytes)
            continue;
        gsize size;
        const void *content = g_bytes_get_data(bytes, &size);
        value_map_set(files, name, value_new_bytes(content, size));
    }
    return files;
}

static bool plan_and_apply(Graph *graph, const KindSet *kinds, Host *machine, Value *result,
                           GError **error) {
    PlanOptions options = { .kinds = kinds, .host = machine };
    g_autoptr(Plan) plan = plan_new(graph, &options, error);
    if (!plan)
        return false;
    value_map_set(result, "plan", planned(plan, kinds));
    if (!apply(graph, kinds, machine, result, error))
        return false;
    g_autoptr(Plan) again = plan_new(graph, &options, error);
    if (!again)
        return false;
    value_map_set(result, "again", value_new_int(plan_size(again)));
    value_map_set(result, "second", plan_texts(again));
    value_map_set(result, "files", files_of(graph, machine));
    return true;
}

/* --- the exchange ----------------------------------------------------------------------------- */

/* A list of hosts becomes a set. */
static Value *sets_of(const Value *lists) {
    Value *sets = value_new_map();
    for (size_t i = 0; value_type(lists) == VALUE_MAP && i < value_size(lists); i++) {
        const char *name;
        const Value *list = value_map_at(lists, i, &name);
        Value *set = value_new_map();
        for (size_t j = 0; value_type(list) == VALUE_LIST && j < value_size(list); j++) {
            const Value *host = value_list_at(list, j);
            if (value_type(host) == VALUE_STRING)
                value_map_set(set, value_string(host), value_new_bool(true));
        }
        value_map_set(sets, name, set);
    }
    return sets;
}

static const char *const exchange_names[] = { "data",    "export",      "host",    "labels",
                                              "missing", "may_publish", "schedule" };

static bool check_exchange(const Value *given, GError **error) {
    if (value_type(given) != VALUE_MAP) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "'exchange' is a table with host, labels, data, missing, schedule, "
                    "may_publish");
        return false;
    }
    for (size_t i = 0; i < value_size(given); i++) {
        const char *name;
        (void)value_map_at(given, i, &name);
        const char *near = suggest_nearest(name, exchange_names, G_N_ELEMENTS(exchange_names));
        if (near && strcmp(near, name) == 0)
            continue;
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "exchange has no '%s'%s%s%s", name,
                    near ? ", did you mean '" : "", near ? near : "", near ? "'?" : "");
        return false;
    }
    return true;
}

/* The view of fleet/exchange.h; NULL with error, or without: none is given. */
static Value *exchange_of(const Value *inputs, GError **error) {
    static const char *const maps[] = { "data", "missing", "export", "labels" };
    const Value *given = value_map_get(inputs, "exchange");
    if (!given || !check_exchange(given, error))
        return NULL;
    Value *view = value_new_map();
    value_map_set(view, "host", value_new_string(value_map_string(given, "host", "localhost")));
    for (unsigned i = 0; i < G_N_ELEMENTS(maps); i++) {
        const Value *map = value_map_get(given, maps[i]);
        value_map_set(view, maps[i],
                      value_type(map) == VALUE_MAP ? value_ref(map) : value_new_map());
    }
    value_map_set(view, "schedule", sets_of(value_map_get(given, "schedule")));
    const Value *grants = value_map_get(given, "may_publish");
    Value *all = value_new_list();
    value_list_append(all, value_new_string("/"));
    value_map_set(view, "grants",
                  value_type(grants) == VALUE_LIST ? value_ref(grants) : value_ref(all));
    value_unref(all);
    return view;
}

static uint64_t time_of(const Value *inputs) {
    const char *text = value_map_string(inputs, "time", NULL);
    g_autoptr(GTimeZone) utc = g_time_zone_new_utc();
    g_autoptr(GDateTime) time = text ? g_date_time_new_from_iso8601(text, utc) : NULL;
    return time ? (uint64_t)g_date_time_to_unix(time) * G_USEC_PER_SEC : LOOP_VIRTUAL_EPOCH;
}

Value *trial_run(const char *directory, const KindSet *kinds, const Value *inputs, GError **error) {
    if (!check_inputs(inputs, error))
        return NULL;
    g_autoptr(Host) local = host_real_new(NULL, NULL, error);
    if (!local)
        return NULL;
    GError *problem = NULL;
    g_autoptr(Value) exchange = exchange_of(inputs, &problem);
    if (problem) {
        g_propagate_error(error, problem);
        return NULL;
    }
    g_autoptr(Value) no_facts = value_new_map();
    const Value *facts = value_map_get(inputs, "facts");
    LangInputs lang = {
        .kinds = kinds,
        .host = local,
        .values = value_map_get(inputs, "values"),
        .facts = facts ? facts : no_facts,
        .secrets = value_map_get(inputs, "secrets"),
        .exchange = exchange,
        .wall_now = time_of(inputs),
    };
    g_autofree char *file = g_build_filename(directory, value_map_string(inputs, "file", ""), NULL);
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func((GDestroyNotify)g_error_free);
    g_auto(LangResult) loaded = { 0 };
    g_autoptr(Value) result = value_new_map();
    Value *texts = value_new_list();
    value_map_set(result, "problems", texts);
    if (!lang_load(file, &lang, &loaded, problems)) {
        for (unsigned i = 0; i < problems->len; i++)
            value_list_append(texts, value_new_string(((GError *)problems->pdata[i])->message));
        return g_steal_pointer(&result);
    }
    value_map_set(result, "resources", resources_of(loaded.graph, kinds));
    value_map_set(result, "published", value_ref(value_map_get(loaded.wants, "publish")));
    g_autoptr(Host) machine = make_machine(inputs);
    return plan_and_apply(loaded.graph, kinds, machine, result, error) ? g_steal_pointer(&result)
                                                                       : NULL;
}
