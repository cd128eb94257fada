#include "lang/exports.h"

#include <string.h>

#include "base/exchange-key.h"
#include "base/json.h"

/* What makes sense on another host: the rest is about this one. */
static Value *exported_meta(const Value *meta) {
    Value *copy = value_new_map();
    for (size_t i = 0; i < value_size(meta); i++) {
        const char *name;
        const Value *value = value_map_at(meta, i, &name);
        if (strcmp(name, "export") != 0 && strcmp(name, "hidden") != 0)
            value_map_set(copy, name, value_ref(value));
    }
    return copy;
}

static Value *exported(const Resource *resource) {
    g_autoptr(Value) whole = resource_to_value(resource);
    Value *copy = value_new_map();
    value_map_set(copy, "kind", value_new_string(resource->kind->name));
    value_map_set(copy, "name", value_new_string(resource->name));
    value_map_set(copy, "params", value_ref(value_map_get(whole, "params")));
    value_map_set(copy, "meta", exported_meta(value_map_get(whole, "meta")));
    return copy;
}

/* NULL: nothing. */
static const char *refusal(const Resource *resource, const Value *value) {
    if (resource_has_receives(resource))
        return "what it receives from another resource is known here only: it cannot be exported";
    if (value_is_secret(value))
        return "has a secret: every host that collects it would have it in clear; it cannot be "
               "exported";
    g_autofree char *text = json_print(value, JSON_COMPACT);
    if (strlen(text) > EXCHANGE_LIMIT_VALUE)
        return "is larger than EXCHANGE_LIMIT_VALUE (256 KB): it cannot be exported";
    return NULL;
}

static Value *patterns(char **texts) {
    Value *list = value_new_list();
    for (char **text = texts; *text; text++)
        value_list_append(list, value_new_string(*text));
    return list;
}

static void add_export(const Resource *resource, Value *list, Problems *problems) {
    const Meta *meta = resource_meta(resource);
    g_autoptr(Value) value = exported(resource);
    const char *problem = refusal(resource, value);
    if (problem) {
        g_autofree char *shown = resource_show(resource);
        problems_add_format(problems, resource->origin, "%s: %s", shown, problem);
        return;
    }
    Value *item = value_new_map();
    value_map_set(item, "kind", value_new_string(resource->kind->name));
    value_map_set(item, "name", value_new_string(resource->name));
    value_map_set(item, "resource", g_steal_pointer(&value));
    value_map_set(item, "to", patterns(meta->export));
    value_map_set(item, "hidden", value_new_bool(meta->hidden));
    value_list_append(list, item);
}

void exports_add(const Graph *graph, bool noop, Value *wants, Problems *problems) {
    Value *list = value_new_list();
    for (unsigned i = 0; i < graph_size(graph); i++) {
        const Meta *meta = resource_meta(graph_resource(graph, i));
        if (meta->export && !meta->noop && !noop)
            add_export(graph_resource(graph, i), list, problems);
    }
    value_map_set(wants, "export", list);
}
