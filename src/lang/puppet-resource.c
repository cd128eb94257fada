/* One resource of a catalog to one of a kind. */
#include <string.h>

#include "base/error.h"
#include "lang/name.h"
#include "lang/puppet-loader.h"

static const PuppetParam *find_row(const PuppetParam *rows, unsigned n_rows, const char *name) {
    for (unsigned i = 0; i < n_rows; i++)
        if (strcmp(rows[i].name, name) == 0)
            return &rows[i];
    return NULL;
}

static const PuppetParam *row_of(const PuppetType *type, const char *name) {
    const PuppetParam *row = find_row(type->params, type->n_params, name);
    return row ? row : find_row(puppet_metaparams, puppet_metaparams_count, name);
}

static bool report_unknown(PuppetTarget *target, const char *name) {
    const PuppetType *type = target->item->row;
    unsigned n_names = 0;
    g_autofree const char **names = g_new(const char *, type->n_params + puppet_metaparams_count);
    for (unsigned i = 0; i < type->n_params; i++)
        names[n_names++] = type->params[i].name;
    for (unsigned i = 0; i < puppet_metaparams_count; i++)
        names[n_names++] = puppet_metaparams[i].name;
    g_autofree char *hint = puppet_hint(name, names, n_names);
    g_autofree char *shown = puppet_shown(name);
    puppet_problem(target->loader, target->item, "stead knows no parameter '%s' of this type%s%s",
                   shown, hint,
                   *hint ? "" : "; leave it out, or tell the system by a file or an exec");
    return false;
}

static bool is_listed(const Value *list, const char *name) {
    for (size_t i = 0; value_type(list) == VALUE_LIST && i < value_size(list); i++) {
        const Value *item = value_list_at(list, i);
        if (value_type(item) == VALUE_STRING && strcmp(value_string(item), name) == 0)
            return true;
    }
    return false;
}

static bool convert(PuppetTarget *target, const char *name, const Value *raw) {
    const PuppetParam *row = row_of(target->item->row, name);
    if (!row)
        return report_unknown(target, name);
    g_autoptr(GError) error = NULL;
    g_autoptr(Value) input = puppet_plain_value(raw, &error);
    target->secret = is_listed(target->item->sensitive, name) || (input && value_is_secret(input));
    bool fine = input && row->convert(target, row, input, &error);
    if (!fine)
        puppet_problem(target->loader, target->item, "'%s': %s", name, error->message);
    target->secret = false;
    return fine;
}

/* The title stands for the parameter that names what is meant. */
static bool convert_namevar(PuppetTarget *target) {
    const char *name = target->item->row->namevar;
    if (puppet_target_input(target, name))
        return true; /* among the parameters */
    g_autoptr(Value) title = value_new_string(target->item->title);
    return convert(target, name, title);
}

static bool convert_all(PuppetTarget *target) {
    const Value *parameters = target->item->parameters;
    bool fine = convert_namevar(target);
    for (size_t i = 0; parameters && i < value_size(parameters); i++) {
        const char *name;
        const Value *value = value_map_at(parameters, i, &name);
        if (value_type(value) != VALUE_NIL)
            fine = convert(target, name, value) && fine;
    }
    return fine;
}

static bool set_tags(PuppetTarget *target, GError **error) {
    const Value *tags = target->item->tags;
    g_autoptr(Value) texts = value_new_list();
    for (size_t i = 0; value_type(tags) == VALUE_LIST && i < value_size(tags); i++) {
        g_autofree char *text = puppet_text_of(value_list_at(tags, i));
        if (text && !name_refusal(text, strlen(text)))
            value_list_append(texts, value_new_string(text));
    }
    return value_size(texts) == 0 ||
           puppet_target_set_meta(target, "tags", g_steal_pointer(&texts), error);
}

/* Everything after the parameters; reports what is wrong. */
static bool complete(PuppetTarget *target) {
    const PuppetItem *item = target->item;
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) errors = g_ptr_array_new_with_free_func((GDestroyNotify)g_error_free);
    if (!set_tags(target, &error) || (item->row->finish && !item->row->finish(target, &error))) {
        puppet_problem(target->loader, item, "%s", error->message);
        return false;
    }
    if (resource_finish(target->resource, errors))
        return true;
    for (unsigned i = 0; i < errors->len; i++)
        puppet_problem(target->loader, item, "%s",
                       ((const GError *)g_ptr_array_index(errors, i))->message);
    return false;
}

/* Titles of commands may have several lines, names of resources have one. */
static char *one_line(const char *title) {
    char *name = g_strdup(title);
    for (char *at = name; *at; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            *at = ' ';
    return name;
}

/* The name of the resource in stead, or NULL after a problem. */
static char *name_of(PuppetLoader *loader, const PuppetItem *item) {
    const PuppetType *type = item->row;
    const Value *input =
        item->parameters && !type->several ? value_map_get(item->parameters, type->namevar) : NULL;
    bool is_given = !type->named && value_type(input) != VALUE_NIL;
    if (is_given &&
        (is_listed(item->sensitive, type->namevar) || value_type(input) != VALUE_STRING)) {
        puppet_problem(loader, item, "'%s': a name must be a text that is not Sensitive",
                       type->namevar);
        return NULL;
    }
    g_autofree char *text = is_given ? puppet_text_of(input) : one_line(item->title);
    const char *refusal = text ? name_refusal(text, strlen(text)) : "has a zero byte in it";
    if (!refusal)
        return g_steal_pointer(&text);
    puppet_problem(loader, item, "its name %s", refusal);
    return NULL;
}

void puppet_load_resource(PuppetLoader *loader, PuppetItem *item) {
    const Kind *kind = kind_set_find(loader->inputs->kinds, item->row->kind);
    if (!kind) {
        puppet_problem(loader, item,
                       "stead has no kind '%s' yet: leave it to an exec or another tool",
                       item->row->kind);
        return;
    }
    g_autofree char *name = name_of(loader, item);
    if (!name)
        return;
    PuppetTarget target = { .loader = loader, .item = item };
    g_autoptr(Resource) resource = target.resource = resource_new(kind, name, item->origin);
    if (!convert_all(&target) || !complete(&target))
        return;
    GError *error = NULL;
    unsigned vertex;
    if (graph_add(loader->graph, g_steal_pointer(&resource), DUPLICATE_REFUSE, &vertex, &error))
        item->vertex = (int)vertex;
    else
        problems_add_error(loader->problems, error);
}
