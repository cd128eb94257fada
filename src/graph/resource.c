#include "graph/resource.h"

#include <string.h>

#include "base/hash.h"
#include "base/suggest.h"
#include "graph/kind.h"

/* One block of memory: Resource, parameter slots, name. */
Resource *resource_new(const Kind *kind, const char *name, Origin origin) {
    size_t name_size = strlen(name) + 1;
    size_t slots_size = kind->n_params * sizeof(Value *);
    Resource *resource = g_malloc0(sizeof *resource + slots_size + name_size);
    g_atomic_ref_count_init(&resource->refs);
    resource->kind = kind;
    resource->params = (Value **)(resource + 1);
    resource->name = (char *)(resource + 1) + slots_size;
    memcpy(resource->name, name, name_size);
    resource->origin = origin;
    return resource;
}

Resource *resource_ref(const Resource *resource) {
    Resource *shared = (Resource *)(uintptr_t)resource;
    g_atomic_ref_count_inc(&shared->refs);
    return shared;
}

static void receive_clear(void *data) {
    Receive *receive = data;
    g_free(receive->kind);
    g_free(receive->name);
    g_free(receive->output);
}

void resource_unref(Resource *resource) {
    if (!resource || !g_atomic_ref_count_dec(&resource->refs))
        return;
    for (unsigned i = 0; i < resource->kind->n_params; i++)
        value_unref(resource->params[i]);
    meta_free(resource->meta);
    if (resource->receives)
        g_array_unref(resource->receives);
    g_free(resource);
}

static void add_receive(Resource *resource, unsigned param, const char *kind, const char *name,
                        const char *output) {
    Receive receive = { param, g_strdup(kind), g_strdup(name), g_strdup(output) };
    if (!resource->receives) {
        resource->receives = g_array_new(FALSE, FALSE, sizeof(Receive));
        g_array_set_clear_func(resource->receives, receive_clear);
    }
    g_array_append_val(resource->receives, receive);
}

Resource *resource_copy(const Resource *resource) {
    Resource *copy = resource_new(resource->kind, resource->name, resource->origin);
    for (unsigned i = 0; i < resource->kind->n_params; i++)
        copy->params[i] = value_ref(resource->params[i]);
    if (resource->meta)
        copy->meta = meta_copy(resource->meta);
    for (unsigned i = 0; resource->receives && i < resource->receives->len; i++) {
        const Receive *receive = &g_array_index(resource->receives, Receive, i);
        add_receive(copy, receive->param, receive->kind, receive->name, receive->output);
    }
    return copy;
}

/* --- building */

/* Index of the parameter, or -1 with error; the candidates of the suggestion include the meta
 * parameters, because both are written side by side. */
static int find_param(const Kind *kind, const char *name, GError **error) {
    int index = kind_param_index(kind, name);
    if (index >= 0)
        return index;
    g_autofree const char **others = g_new(const char *, meta_params_count);
    for (unsigned i = 0; i < meta_params_count; i++)
        others[i] = meta_params[i].name;
    g_autofree char *hint = kind_param_hint(kind, name, others, meta_params_count);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "%s has no parameter '%s'%s", kind->name,
                name, hint);
    return -1;
}

bool resource_set(Resource *resource, const char *param, const Value *input, GError **error) {
    int index = find_param(resource->kind, param, error);
    if (index < 0)
        return false;
    Value *value = NULL;
    if (value_type(input) != VALUE_NIL) {
        value = kind_convert(resource->kind, (unsigned)index, input, error);
        if (!value) {
            g_prefix_error(error, "parameter '%s': ", param);
            return false;
        }
    }
    resource_put(resource, (unsigned)index, value);
    return true;
}

void resource_put(Resource *resource, unsigned param, Value *value) {
    g_assert(param < resource->kind->n_params);
    value_unref(resource->params[param]);
    resource->params[param] = value;
}

bool resource_receive(Resource *resource, const char *param, const char *kind, const char *name,
                      const char *output, GError **error) {
    int index = find_param(resource->kind, param, error);
    if (index < 0)
        return false;
    if (!(resource->kind->params[index].flags & PARAM_RECEIVES)) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "parameter '%s': cannot be received from another resource", param);
        return false;
    }
    for (unsigned i = 0; resource->receives && i < resource->receives->len; i++) {
        if (g_array_index(resource->receives, Receive, i).param == (unsigned)index) {
            g_array_remove_index(resource->receives, i);
            break;
        }
    }
    add_receive(resource, (unsigned)index, kind, name, output);
    return true;
}

Meta *resource_own_meta(Resource *resource) {
    if (!resource->meta)
        resource->meta = meta_new();
    return resource->meta;
}

static bool fill_from_name(Resource *resource, unsigned param, GPtrArray *problems) {
    g_autoptr(Value) name = value_new_string(resource->name);
    GError *problem = NULL;
    Value *value = param_convert(&resource->kind->params[param], name, &problem);
    if (!value) {
        g_prefix_error(&problem, "name as parameter '%s': ", resource->kind->params[param].name);
        g_ptr_array_add(problems, problem);
        return false;
    }
    resource_put(resource, param, value);
    return true;
}

static bool fill_param(Resource *resource, unsigned param, GPtrArray *problems) {
    const Param *row = &resource->kind->params[param];
    if (resource->params[param] || resource_receives(resource, param))
        return true;
    if (row->flags & PARAM_NAMED)
        return resource_meta(resource)->hidden || fill_from_name(resource, param, problems);
    if (row->fallback) {
        resource_put(resource, param, param_fallback(row));
        return true;
    }
    if (!(row->flags & PARAM_REQUIRED) || resource_meta(resource)->hidden)
        return true;
    g_ptr_array_add(problems, g_error_new(STEAD_ERROR, STEAD_ERROR_CONFIG,
                                          "parameter '%s' is required", row->name));
    return false;
}

/* All but the kind's own check. */
static bool fill_and_check(Resource *resource, GPtrArray *problems) {
    bool fine = true;
    for (unsigned i = 0; i < resource->kind->n_params; i++)
        fine &= fill_param(resource, i, problems);
    GError *problem = NULL;
    if (!meta_validate(resource_meta(resource), &problem)) {
        g_ptr_array_add(problems, g_steal_pointer(&problem));
        fine = false;
    }
    return fine;
}

bool resource_finish(Resource *resource, GPtrArray *problems) {
    /* A kind's own check may rely on required parameters being there. */
    bool fine = fill_and_check(resource, problems);
    if (!fine || !resource->kind->validate || resource_meta(resource)->hidden)
        return fine;
    GError *problem = NULL;
    if (!resource->kind->validate(resource, &problem)) {
        g_ptr_array_add(problems, problem);
        return false;
    }
    return true;
}

/* --- reading */

const Value *resource_get(const Resource *resource, unsigned param) {
    g_assert(param < resource->kind->n_params);
    return resource->params[param];
}

/* The value if it is set and known. types: bits of the ParamTypes the caller may ask for. */
static const Value *get_known(const Resource *resource, unsigned param, unsigned types) {
    const Value *value = resource_get(resource, param);
    g_assert(types & 1u << resource->kind->params[param].type);
    return value_type(value) == VALUE_UNKNOWN ? NULL : value;
}

const char *resource_string(const Resource *resource, unsigned param) {
    const Value *value =
        get_known(resource, param,
                  1u << PARAM_STRING | 1u << PARAM_PATH | 1u << PARAM_ENUM | 1u << PARAM_MODE);
    return value ? value_string(value) : NULL;
}

bool resource_bool(const Resource *resource, unsigned param) {
    const Value *value = get_known(resource, param, 1u << PARAM_BOOL);
    return value && value_bool(value);
}

int64_t resource_int(const Resource *resource, unsigned param, int64_t fallback) {
    const Value *value = get_known(resource, param, 1u << PARAM_INT | 1u << PARAM_DURATION);
    return value ? value_int(value) : fallback;
}

double resource_float(const Resource *resource, unsigned param, double fallback) {
    const Value *value = get_known(resource, param, 1u << PARAM_FLOAT);
    return value ? value_float(value) : fallback;
}

const Meta *resource_meta(const Resource *resource) {
    return resource->meta ? resource->meta : &meta_defaults;
}

bool resource_has_receives(const Resource *resource) {
    return resource->receives && resource->receives->len > 0;
}

bool resource_receives(const Resource *resource, unsigned param) {
    for (unsigned i = 0; resource->receives && i < resource->receives->len; i++) {
        if (g_array_index(resource->receives, Receive, i).param == param)
            return true;
    }
    return false;
}

bool resource_is_unknown(const Resource *resource, unsigned param) {
    const Value *value = resource_get(resource, param);
    return value ? value_has_unknown(value) : resource_receives(resource, param);
}

/* --- comparing */

static bool receives_equal(const GArray *a, const GArray *b) {
    unsigned n_a = a ? a->len : 0, n_b = b ? b->len : 0;
    if (n_a != n_b)
        return false;
    for (unsigned i = 0; i < n_a; i++) {
        const Receive *x = &g_array_index(a, Receive, i), *y = &g_array_index(b, Receive, i);
        if (x->param != y->param || !g_str_equal(x->kind, y->kind) ||
            !g_str_equal(x->name, y->name) || !g_str_equal(x->output, y->output))
            return false;
    }
    return true;
}

bool resource_equal(const Resource *a, const Resource *b) {
    if (a == b)
        return true;
    if (!resource_key_equal(a, b) || !meta_equal(resource_meta(a), resource_meta(b)) ||
        !receives_equal(a->receives, b->receives))
        return false;
    for (unsigned i = 0; i < a->kind->n_params; i++) {
        if (!value_equal(a->params[i], b->params[i]))
            return false;
    }
    return true;
}

guint resource_key_hash(gconstpointer resource) {
    const Resource *key = resource;
    return hash_string(key->name) * 31 + g_direct_hash(key->kind);
}

gboolean resource_key_equal(gconstpointer a, gconstpointer b) {
    const Resource *x = a, *y = b;
    return x->kind == y->kind && strcmp(x->name, y->name) == 0;
}

/* --- showing */

char *resource_show(const Resource *resource) {
    return g_strdup_printf("%s '%s'", resource->kind->name, resource->name);
}

char *origin_show(Origin origin) {
    if (!origin.file)
        return NULL;
    return origin.line ? g_strdup_printf("%s:%u", origin.file, origin.line) : g_strdup(origin.file);
}

Origin origin_parse(const char *text) {
    const char *colon = text ? strrchr(text, ':') : NULL;
    if (!colon || colon == text)
        return (Origin){ .file = NULL };
    g_autofree char *file = g_strndup(text, (size_t)(colon - text));
    return (Origin){ .file = g_intern_string(file),
                     .line = (unsigned)g_ascii_strtoull(colon + 1, NULL, 10) };
}

char *resource_where(const Resource *resource) {
    g_autofree char *place = origin_show(resource->origin);
    return place ? g_strconcat(place, ": ", NULL) : g_strdup("");
}

void resource_prefix(const Resource *resource, GError **error) {
    g_autofree char *where = resource_where(resource);
    g_prefix_error(error, "%s%s '%s': ", where, resource->kind->name, resource->name);
}

static Value *receives_to_value(const Resource *resource) {
    Value *list = value_new_list();
    for (unsigned i = 0; i < resource->receives->len; i++) {
        const Receive *receive = &g_array_index(resource->receives, Receive, i);
        Value *map = value_new_map();
        value_map_set(map, "param", value_new_string(resource->kind->params[receive->param].name));
        value_map_set(map, "kind", value_new_string(receive->kind));
        value_map_set(map, "name", value_new_string(receive->name));
        value_map_set(map, "output", value_new_string(receive->output));
        value_list_append(list, map);
    }
    return list;
}

Value *resource_to_value(const Resource *resource) {
    Value *params = value_new_map();
    for (unsigned i = 0; i < resource->kind->n_params; i++) {
        if (resource->params[i])
            value_map_set(params, resource->kind->params[i].name, value_ref(resource->params[i]));
    }
    Value *map = value_new_map();
    value_map_set(map, "kind", value_new_string(resource->kind->name));
    value_map_set(map, "name", value_new_string(resource->name));
    value_map_set(map, "params", params);
    if (resource->kind->program) /* to say what is missing when it is gone */
        value_map_set(map, "program", value_new_string(resource->kind->program));
    if (!meta_equal(resource_meta(resource), &meta_defaults))
        value_map_set(map, "meta", meta_to_value(resource->meta));
    if (resource_has_receives(resource))
        value_map_set(map, "receives", receives_to_value(resource));
    return map;
}

/* --- from a value */

static const Value *map_member(const Value *map, const char *key) {
    const Value *member = value_map_get(map, key);
    return value_type(member) == VALUE_MAP ? member : NULL;
}

static bool restore_params(Resource *resource, const Value *params, GError **error) {
    for (size_t i = 0; params && i < value_size(params); i++) {
        const char *name;
        const Value *stored = value_map_at(params, i, &name);
        int index = find_param(resource->kind, name, error);
        if (index < 0)
            return false;
        Value *value = param_restore(&resource->kind->params[index], stored, error);
        if (!value) {
            g_prefix_error(error, "parameter '%s': ", name);
            return false;
        }
        resource_put(resource, (unsigned)index, value);
    }
    return true;
}

static bool restore_meta(Resource *resource, const Value *meta, GError **error) {
    for (size_t i = 0; meta && i < value_size(meta); i++) {
        const char *name;
        const Value *input = value_map_at(meta, i, &name);
        if (!meta_set(resource_own_meta(resource), name, input, error))
            return false;
    }
    return true;
}

static bool restore_receives(Resource *resource, const Value *list, GError **error) {
    for (size_t i = 0; value_type(list) == VALUE_LIST && i < value_size(list); i++) {
        const Value *item = value_list_at(list, i);
        bool is_map = value_type(item) == VALUE_MAP;
        const char *param = is_map ? value_map_string(item, "param", NULL) : NULL;
        const char *kind = is_map ? value_map_string(item, "kind", NULL) : NULL;
        const char *name = is_map ? value_map_string(item, "name", NULL) : NULL;
        const char *output = is_map ? value_map_string(item, "output", NULL) : NULL;
        if (!param || !kind || !name || !output) {
            g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                        "expected param, kind, name and output in item %zu of 'receives'", i + 1);
            return false;
        }
        if (!resource_receive(resource, param, kind, name, output, error))
            return false;
    }
    return true;
}

static bool has_secret(const Resource *resource) {
    for (unsigned i = 0; i < resource->kind->n_params; i++)
        if (resource->params[i] && value_is_secret(resource->params[i]))
            return true;
    return false;
}

/* What was saved by another version may lack parameters, and what was edited may be anything. A
 * secret was saved without its text, so the kind has nothing to check then. */
static bool finish_restored(Resource *resource, GError **error) {
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func((GDestroyNotify)g_error_free);
    bool fine = has_secret(resource) ? fill_and_check(resource, problems)
                                     : resource_finish(resource, problems);
    if (!fine)
        g_propagate_error(error, g_error_copy(g_ptr_array_index(problems, 0)));
    return fine;
}

Resource *resource_from_value(const Value *value, const KindSet *kinds, Origin origin,
                              GError **error) {
    bool is_map = value_type(value) == VALUE_MAP;
    const char *kind_name = is_map ? value_map_string(value, "kind", NULL) : NULL;
    const char *name = is_map ? value_map_string(value, "name", NULL) : NULL;
    if (!kind_name || !name) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "expected a map with kind and name of a resource");
        return NULL;
    }
    const Kind *kind = kind_set_find(kinds, kind_name);
    if (!kind) {
        kind_set_unknown(kinds, kind_name, error);
        return NULL;
    }
    g_autoptr(Resource) resource = resource_new(kind, name, origin);
    if (!restore_params(resource, map_member(value, "params"), error) ||
        !restore_meta(resource, map_member(value, "meta"), error) ||
        !restore_receives(resource, value_map_get(value, "receives"), error) ||
        !finish_restored(resource, error)) {
        resource_prefix(resource, error);
        return NULL;
    }
    return g_steal_pointer(&resource);
}

/* "/srv/x/" and "/srv/x" are one place. */
static void append_identity(GString *text, const Param *param, const Value *value) {
    g_autofree char *shown = value_type(value) == VALUE_STRING ? NULL : value_show(value, 0);
    g_string_append(text, shown ? shown : value_string(value));
    while (param->type == PARAM_PATH && text->len > 1 && text->str[text->len - 1] == '/')
        g_string_truncate(text, text->len - 1);
}

char *resource_identity(const Resource *resource) {
    g_autoptr(GString) text = g_string_new(NULL);
    bool any = false;
    for (unsigned i = 0; i < resource->kind->n_params; i++) {
        const Param *param = &resource->kind->params[i];
        if (!(param->flags & PARAM_IDENTITY))
            continue;
        if (!resource->params[i] && resource_receives(resource, i))
            return NULL;
        if (any)
            g_string_append_c(text, '\x1f');
        any = true;
        if (resource->params[i])
            append_identity(text, param, resource->params[i]);
    }
    return any ? g_string_free(g_steal_pointer(&text), FALSE) : NULL;
}
