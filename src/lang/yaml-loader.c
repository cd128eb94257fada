#include "lang/yaml-loader.h"

#include <stdarg.h>
#include <string.h>

#include "base/suggest.h"

/* kind NULL is the top level. */
static const struct {
    const char *kind, *key;
} dead_keys[] = {
    { NULL, "remote" },
    { "exec", "pollint" },
    { "exec", "state" },
    { "exec", "timeout" },
};

G_STATIC_ASSERT(G_N_ELEMENTS(dead_keys) == YAML_DEAD_KEYS);

Origin yaml_loader_origin(const YamlLoader *loader, const YamlNode *node) {
    return (Origin){ .file = loader->file, .line = node->line, .column = node->column };
}

void yaml_loader_problem(YamlLoader *loader, const YamlNode *node, const char *format, ...) {
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    problems_add(loader->problems, yaml_loader_origin(loader, node), text);
}

char *yaml_loader_hint(const char *name, const char *const *names, size_t n_names) {
    const char *nearest = suggest_nearest(name, names, n_names);
    return nearest ? g_strdup_printf(", did you mean '%s'?", nearest) : g_strdup("");
}

/* Noted here, told by yaml_loader_warn_dead_keys(): once for each key, however often it is there.
 */
bool yaml_loader_is_dead_key(YamlLoader *loader, const char *kind, const YamlNode *key) {
    for (unsigned i = 0; i < G_N_ELEMENTS(dead_keys); i++) {
        if (g_strcmp0(dead_keys[i].kind, kind) != 0 || strcmp(dead_keys[i].key, key->text) != 0)
            continue;
        if (loader->dead[i].count++ == 0)
            loader->dead[i].first = yaml_loader_origin(loader, key);
        return true;
    }
    return false;
}

void yaml_loader_warn_dead_keys(YamlLoader *loader) {
    for (unsigned i = 0; i < G_N_ELEMENTS(dead_keys); i++) {
        const YamlDeadUse *use = &loader->dead[i];
        if (use->count == 0)
            continue;
        g_autoptr(GString) text = g_string_new(NULL);
        g_string_printf(text, "%s:%u:%u: '%s'", loader->file, use->first.line, use->first.column,
                        dead_keys[i].key);
        if (dead_keys[i].kind)
            g_string_append_printf(text, " of %s", dead_keys[i].kind);
        g_string_append(text, " has no effect and is ignored");
        if (use->count > 1)
            g_string_append_printf(text, " (%u times in this file)", use->count);
        g_ptr_array_add(loader->warnings, g_string_free(g_steal_pointer(&text), FALSE));
    }
}

bool yaml_loader_expect_type(YamlLoader *loader, const YamlNode *node, YamlNodeType type,
                             const char *what, const char *shape) {
    if (node->type == type)
        return true;
    yaml_loader_problem(loader, node, "%s must be %s", what, shape);
    return false;
}

const char *yaml_loader_expect_text(YamlLoader *loader, const YamlNode *node, const char *what) {
    bool fits = node->type == YAML_NODE_SCALAR && node->size > 0 && !yaml_node_is_null(node) &&
                strlen(node->text) == node->size;
    if (!fits)
        yaml_loader_problem(loader, node, "%s must be a text that is not empty", what);
    return fits ? node->text : NULL;
}

bool yaml_loader_is_known(const char *key, const char *const *names, size_t n_names) {
    for (size_t i = 0; i < n_names; i++)
        if (strcmp(key, names[i]) == 0)
            return true;
    return false;
}

void yaml_loader_check_keys(YamlLoader *loader, const YamlNode *map, const char *what,
                            const char *const *names, size_t n_names) {
    for (unsigned i = 0; i < map->keys->len; i++) {
        const YamlNode *key = g_ptr_array_index(map->keys, i);
        if (yaml_loader_is_known(key->text, names, n_names))
            continue;
        g_autofree char *hint = yaml_loader_hint(key->text, names, n_names);
        yaml_loader_problem(loader, key, "%s has no key '%s'%s", what, key->text, hint);
    }
}

void yaml_loader_report_kind(YamlLoader *loader, const YamlNode *node, const char *kind) {
    if (!g_hash_table_add(loader->unknown, g_strdup(kind)))
        return;
    g_autoptr(GError) error = NULL;
    kind_set_unknown(loader->inputs->kinds, kind, &error);
    yaml_loader_problem(loader, node, "%s", error->message);
}

char *yaml_loader_key(const char *kind, const char *name) {
    return g_strconcat(kind, "\x1f", name, NULL);
}
