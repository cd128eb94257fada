/* Puppet's file: what kind of file, from where, and what Puppet does not ask for. */
#include <string.h>

#include "lang/puppet-loader.h"

bool puppet_file_ensure(PuppetTarget *target, const PuppetParam *row, const Value *input,
                        GError **error) {
    static const struct {
        const char *word, *state, *type;
    } words[] = {
        { "absent", "absent", NULL },           { "false", "absent", NULL },
        { "present", "exists", "file" },        { "file", "exists", "file" },
        { "directory", "exists", "directory" }, { "link", "exists", "link" },
    };
    static const char *const names[] = { "absent", "present", "file", "directory", "link" };
    g_autofree char *text = puppet_text_of(input);
    for (size_t i = 0; text && i < G_N_ELEMENTS(words); i++)
        if (strcmp(text, words[i].word) == 0)
            return puppet_target_set(target, "state", value_new_string(words[i].state), error) &&
                   puppet_target_set(target, "type",
                                     words[i].type ? value_new_string(words[i].type) : NULL, error);
    if (text && *text == '/')
        return puppet_target_set(target, "type", value_new_string("link"), error) &&
               puppet_target_set(target, "target", value_new_string(text), error);
    g_autofree char *hint =
        text && !target->secret ? puppet_hint(text, names, G_N_ELEMENTS(names)) : g_strdup("");
    return puppet_refused(
        error, "expected absent, present, file, directory, link or the target of a link%s", hint);
}

bool puppet_file_recurse(PuppetTarget *target, const PuppetParam *row, const Value *input,
                         GError **error) {
    bool yes = puppet_is_one_of(input, "true inf remote");
    if (yes || puppet_is_one_of(input, "false"))
        return puppet_target_set(target, "recurse", value_new_bool(yes), error);
    return puppet_refused(error, "expected true, false, inf or remote; a depth is not supported");
}

bool puppet_file_source(PuppetTarget *target, const PuppetParam *row, const Value *input,
                        GError **error) {
    static const char file_scheme[] = "file://";
    if (value_type(input) == VALUE_LIST && value_size(input) != 1)
        return puppet_refused(error,
                              "a list of sources is not supported: name the one that counts");
    const Value *first = value_type(input) == VALUE_LIST ? value_list_at(input, 0) : input;
    g_autofree char *text = puppet_text_of(first);
    if (!text)
        return puppet_refused(error, "expected the path of a file");
    const char *path = text;
    if (g_str_has_prefix(path, file_scheme))
        path += strlen(file_scheme);
    if (g_str_has_prefix(path, "puppet:"))
        return puppet_refused(error, "the file is on a Puppet server, and stead fetches nothing: "
                                     "write content => file('MODULE/NAME') or "
                                     "template('MODULE/NAME'), so that it is in the catalog");
    if (g_str_has_prefix(path, "http:") || g_str_has_prefix(path, "https:"))
        return puppet_refused(error, "stead fetches nothing: put the content into the catalog, or "
                                     "fetch it with an exec that has creates");
    if (*path != '/')
        return puppet_refused(error, "expected an absolute path on the host");
    return puppet_target_set(target, "source", value_new_string(path), error);
}

bool puppet_file_validate(PuppetTarget *target, const PuppetParam *row, const Value *input,
                          GError **error) {
    g_autofree char *text = puppet_text_of(input);
    if (!text)
        return puppet_refused(error, "expected a command");
    if (!strpbrk(text, "*?{}[]<>()~&|\\$;'`\"\n#="))
        return puppet_set(target, row, input, error);
    g_autofree char *quoted = g_shell_quote(text);
    g_autofree char *wrapped = g_strconcat("/bin/sh -c ", quoted, NULL);
    return puppet_target_set(target, row->param, value_new_string(wrapped), error);
}

/* Parameters that Puppet accepts and that mean nothing for a file of that sort. */
static bool unset(PuppetTarget *target, const char *names, GError **error) {
    g_auto(GStrv) list = g_strsplit(names, " ", -1);
    for (char **name = list; *name; name++)
        if (kind_param_index(target->resource->kind, *name) >= 0 &&
            !puppet_target_set(target, *name, NULL, error))
            return false;
    return true;
}

/* In Puppet a slash at the end means nothing. */
static bool trim_path(PuppetTarget *target, GError **error) {
    int index = kind_param_index(target->resource->kind, "path");
    const Value *path = index < 0 ? NULL : resource_get(target->resource, (unsigned)index);
    g_autofree char *text = puppet_text_of(path);
    size_t size = text ? strlen(text) : 0;
    if (size < 2 || text[size - 1] != '/')
        return true;
    text[size - 1] = '\0';
    return puppet_target_set(target, "path", value_new_string(text), error);
}

/* Without ensure Puppet decides by the rest, or manages only what happens to be there. */
static bool guess_type(PuppetTarget *target, bool recurse, GError **error) {
    const char *type = NULL;
    if (puppet_target_input(target, "target"))
        type = "link";
    else if (puppet_target_input(target, "content"))
        type = "file";
    else if (puppet_target_input(target, "source"))
        type = recurse ? "directory" : "file";
    else if (recurse)
        type = "directory";
    if (type)
        return puppet_target_set(target, "type", value_new_string(type), error);
    return puppet_refused(error, "it has neither ensure nor content, source or target, so Puppet "
                                 "would manage it only where it exists: write ensure => file or "
                                 "ensure => directory");
}

/* What must not be in a difference is kept secret. */
static bool hide_content(PuppetTarget *target, GError **error) {
    const Value *shows = puppet_target_input(target, "show_diff");
    int index = kind_param_index(target->resource->kind, "content");
    const Value *content = index < 0 ? NULL : resource_get(target->resource, (unsigned)index);
    if (!content || !puppet_is_one_of(shows, "false no"))
        return true;
    resource_put(target->resource, (unsigned)index, value_as_secret(content, NULL));
    return true;
}

bool puppet_file_finish(PuppetTarget *target, GError **error) {
    const Value *ensure = puppet_target_input(target, "ensure");
    const Value *recurse_input = puppet_target_input(target, "recurse");
    bool recurse = recurse_input && !puppet_is_one_of(recurse_input, "false");
    if (!trim_path(target, error) || !hide_content(target, error) ||
        (!ensure && !guess_type(target, recurse, error)))
        return false;
    if (puppet_is_one_of(ensure, "absent false"))
        return unset(target,
                     "content source target mode owner group recurse purge ignore "
                     "validate_cmd",
                     error);
    int index = kind_param_index(target->resource->kind, "type");
    const char *type = index < 0 ? NULL : resource_string(target->resource, (unsigned)index);
    if (g_strcmp0(type, "directory") != 0)
        recurse = false;
    else if (puppet_target_input(target, "source") && !recurse)
        return puppet_refused(error, "a directory with a source needs recurse => true: without it "
                                     "Puppet would copy nothing but its owner and mode");
    if (!recurse && !unset(target, "recurse ignore", error))
        return false;
    if (g_strcmp0(type, "link") != 0)
        return unset(target, "target", error);
    return unset(target, "mode content source", error);
}
