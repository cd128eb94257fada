/* Puppet's file: what kind of file, from where, and what Puppet does not ask for. */
#include <string.h>

#include "lang/puppet-loader.h"
#include "lang/source.h"

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

/* Whether every class of users is set; "ug+x" and "u=rwx" depend on what the mode is now. */
static bool is_whole_mode(const char *text) {
    bool set[3] = { false, false, false };
    g_auto(GStrv) clauses = g_strsplit(text, ",", -1);
    for (char **clause = clauses; *clause; clause++) {
        size_t n_who = strspn(*clause, "ugoa");
        if ((*clause)[n_who] != '=')
            return false;
        for (size_t i = 0; i < G_N_ELEMENTS(set); i++)
            set[i] |= n_who == 0 || memchr(*clause, 'a', n_who) || memchr(*clause, "ugo"[i], n_who);
    }
    return set[0] && set[1] && set[2];
}

bool puppet_file_mode(PuppetTarget *target, const PuppetParam *row, const Value *input,
                      GError **error) {
    g_autofree char *text = puppet_text_of(input);
    bool is_symbolic = text && *text && strspn(text, "01234567") < strlen(text);
    if (!is_symbolic || target->secret || is_whole_mode(text) || !strpbrk(text, "+-="))
        return puppet_set(target, row, input, error);
    return puppet_refused(error,
                          "'%s' depends on the mode that the file has: say what user, group and "
                          "others get, as 0640 or u=rw,g=r,o=",
                          text);
}

bool puppet_file_recurse(PuppetTarget *target, const PuppetParam *row, const Value *input,
                         GError **error) {
    bool yes = puppet_is_one_of(input, "true inf remote");
    if (yes || puppet_is_one_of(input, "false"))
        return puppet_target_set(target, "recurse", value_new_bool(yes), error);
    return puppet_refused(error, "expected true, false, inf or remote; a depth is not supported");
}

/* Files of modules, which Puppet's server would serve, are in `modules` beside the catalog. */

#define MODULES_DIRECTORY "modules"

/* "MODULE/files/NAME" of "puppet://SERVER/modules/MODULE/NAME"; NULL: it means something else.
 * Caller frees. */
static char *module_file(const char *source) {
    static const char scheme[] = "puppet://";
    g_auto(GStrv) parts = g_strsplit(source + MIN(strlen(scheme), strlen(source)), "/", 4);
    bool is_module = g_str_has_prefix(source, scheme) && g_strv_length(parts) == 4 &&
                     strcmp(parts[1], "modules") == 0 && *parts[2] && *parts[3];
    g_auto(GStrv) steps = g_strsplit(is_module ? source : "", "/", -1);
    if (!is_module || g_strv_contains((const char *const *)steps, ".."))
        return NULL;
    return g_build_filename(parts[2], "files", parts[3], NULL);
}

static bool refuse_missing(const char *name, GError **error) {
    return puppet_refused(error,
                          "there is no '" MODULES_DIRECTORY "/%s' beside the catalog: put the "
                          "module there, or write content => file(...), so that it is in the "
                          "catalog",
                          name);
}

/* The first of sources that there is; all are files of modules. NULL: an error, or none. */
static char *find_in_modules(const PuppetTarget *target, char *const *sources, GError **error) {
    g_autofree char *directory = g_path_get_dirname(target->loader->file);
    g_autofree char *base = g_canonicalize_filename(directory, NULL);
    g_autofree char *first = NULL;
    for (char *const *source = sources; *source; source++) {
        g_autofree char *name = module_file(*source);
        if (!name) {
            puppet_refused(error, "stead fetches nothing: only puppet:///modules/MODULE/NAME is "
                                  "looked for, in '" MODULES_DIRECTORY "' beside the catalog");
            return NULL;
        }
        char *path = g_build_filename(base, MODULES_DIRECTORY, name, NULL);
        if (g_file_test(path, G_FILE_TEST_EXISTS))
            return path;
        g_free(path);
        if (!first)
            first = g_steal_pointer(&name);
    }
    refuse_missing(first, error);
    return NULL;
}

/* A file's bytes are taken now, a directory is copied when the catalog is applied. */
static bool set_from_modules(PuppetTarget *target, char *const *sources, GError **error) {
    g_autofree char *path = find_in_modules(target, sources, error);
    if (!path)
        return false;
    if (g_file_test(path, G_FILE_TEST_IS_DIR))
        return puppet_target_set(target, "source", value_new_string(path), error);
    GBytes *content = sources_load(target->loader->sources, path, error);
    if (!content)
        return false;
    size_t size;
    const char *bytes = sources_bytes(content, &size);
    return puppet_target_set(target, "content", value_new_bytes(bytes, size), error);
}

static bool set_from_host(PuppetTarget *target, const char *source, GError **error) {
    static const char file_scheme[] = "file://";
    const char *path = source;
    if (g_str_has_prefix(path, file_scheme))
        path += strlen(file_scheme);
    if (g_str_has_prefix(path, "http:") || g_str_has_prefix(path, "https:"))
        return puppet_refused(error, "stead fetches nothing: put the content into the catalog, or "
                                     "fetch it with an exec that has creates");
    if (*path != '/')
        return puppet_refused(error, "expected an absolute path on the host");
    return puppet_target_set(target, "source", value_new_string(path), error);
}

bool puppet_file_source(PuppetTarget *target, const PuppetParam *row, const Value *input,
                        GError **error) {
    bool is_list = value_type(input) == VALUE_LIST;
    g_auto(GStrv) sources = g_new0(char *, (is_list ? value_size(input) : 1) + 1);
    for (size_t i = 0; i < (is_list ? value_size(input) : 1); i++)
        if (!(sources[i] = puppet_text_of(is_list ? value_list_at(input, i) : input)))
            return puppet_refused(error, "expected the path of a file");
    if (!*sources)
        return puppet_refused(error, "expected the path of a file");
    if (g_str_has_prefix(*sources, "puppet:"))
        return set_from_modules(target, sources, error);
    if (sources[1])
        return puppet_refused(error, "a list of sources is supported only for files of modules: "
                                     "name the one that counts");
    return set_from_host(target, *sources, error);
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

/* Puppet lets who may read a directory search it, where the mode is a number. */
static bool widen_mode(PuppetTarget *target, GError **error) {
    guint64 mode;
    g_autofree char *text = puppet_text_of(puppet_target_input(target, "mode"));
    if (!text || !g_ascii_string_to_unsigned(text, 8, 0, 07777, &mode, NULL))
        return true;
    g_autofree char *wide = g_strdup_printf("%04o", (unsigned)(mode | (mode & 0444) >> 2));
    return puppet_target_set(target, "mode", value_new_string(wide), error);
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
    bool is_directory = g_strcmp0(type, "directory") == 0;
    if (is_directory && !recurse && !widen_mode(target, error))
        return false;
    if (!is_directory)
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
