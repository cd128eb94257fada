/* Puppet's augeas: what its tree is called, and what must not be shown. */
#include <string.h>

#include "lang/puppet-loader.h"

/* Without one, paths are below the file that incl names; Puppet writes "" for none. */
bool puppet_augeas_context(PuppetTarget *target, const PuppetParam *row, const Value *input,
                           GError **error) {
    g_autofree char *text = puppet_text_of(input);
    size_t size = text ? strlen(text) : 0;
    if (!text || (size > 0 && *text != '/'))
        return puppet_refused(error, "expected a path of the tree such as /files/etc/hosts");
    while (size > 0 && text[size - 1] == '/')
        text[--size] = '\0';
    return size == 0 || puppet_target_set(target, "context", value_new_string(text), error);
}

bool puppet_augeas_load_path(PuppetTarget *target, const PuppetParam *row, const Value *input,
                             GError **error) {
    g_autoptr(GString) path = g_string_new(NULL);
    bool is_list = value_type(input) == VALUE_LIST;
    for (size_t i = 0; i < (is_list ? value_size(input) : 1); i++) {
        g_autofree char *text = puppet_text_of(is_list ? value_list_at(input, i) : input);
        if (!text)
            return puppet_refused(error, "expected directories");
        g_string_append_printf(path, "%s%s", i > 0 ? ":" : "", text);
    }
    return puppet_target_set(target, "load_path", value_new_string(path->str), error);
}

bool puppet_augeas_finish(PuppetTarget *target, GError **error) {
    int index = kind_param_index(target->resource->kind, "changes");
    const Value *changes = index < 0 ? NULL : resource_get(target->resource, (unsigned)index);
    if (!changes)
        return puppet_refused(error, "it has no changes, so it would do nothing: leave it out");
    if (puppet_is_one_of(puppet_target_input(target, "show_diff"), "false no"))
        resource_put(target->resource, (unsigned)index, value_as_secret(changes, NULL));
    return true;
}
