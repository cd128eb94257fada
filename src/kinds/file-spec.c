/* What a file resource asks for. */
#include <string.h>

#include "base/limits.h"
#include "host/accounts.h"
#include "kinds/account.h"
#include "kinds/file.h"

const char *file_type_word(FileType type) {
    static const char *const words[] = {
        [FILE_REGULAR] = "file", [FILE_DIRECTORY] = "directory", [FILE_SYMLINK] = "link",
        [FILE_OTHER] = "other",  [FILE_UNKNOWN] = "unknown",
    };
    return words[type];
}

/* mgmt writes parameters that are not wanted as empty strings. */
static const char *text_or_null(const Resource *resource, unsigned param) {
    const char *text = resource_string(resource, param);
    return text != NULL && *text != '\0' ? text : NULL;
}

static bool is_given(const Resource *resource, unsigned param) {
    const Value *value = resource_get(resource, param);
    if (value == NULL)
        return resource_is_unknown(resource, param);
    if (value_type(value) == VALUE_LIST)
        return value_size(value) > 0;
    return param == FILE_ROW_CONTENT || value_type(value) != VALUE_STRING ||
           value_string_size(value) > 0;
}

/* Without the slash at its end; *ret_own keeps the copy when there was one. */
static const char *without_slash(const char *path, char **ret_own) {
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/')
        size--;
    if (path[size] == '\0')
        return path;
    return *ret_own = g_strndup(path, size);
}

static FileType wanted_type(const Resource *resource) {
    const char *type = resource_string(resource, FILE_ROW_TYPE);
    if (type != NULL)
        return *type == 'd' ? FILE_DIRECTORY : *type == 'l' ? FILE_SYMLINK : FILE_REGULAR;
    if (is_given(resource, FILE_ROW_TARGET) || resource_bool(resource, FILE_ROW_SYMLINK))
        return FILE_SYMLINK;
    return g_str_has_suffix(resource_string(resource, FILE_ROW_PATH), "/") ? FILE_DIRECTORY
                                                                           : FILE_REGULAR;
}

static void init_source(FileSpec *spec) {
    const char *source = text_or_null(spec->resource, FILE_ROW_SOURCE);
    if (is_given(spec->resource, FILE_ROW_CONTENT)) {
        spec->from = FROM_TEXT;
    } else if (is_given(spec->resource, FILE_ROW_FRAGMENTS)) {
        spec->from = FROM_FRAGMENTS;
    } else if (source != NULL && *source == '/') {
        spec->from = FROM_HOST;
        spec->source = without_slash(source, &spec->own_source);
    } else if (source != NULL) {
        /* What comes back from the ledger has lost its place; it is only undone. */
        const char *file = spec->resource->origin.file;
        g_autofree char *directory = g_path_get_dirname(file != NULL ? file : "");
        spec->from = FROM_LOCAL;
        spec->source = spec->own_source = g_build_filename(directory, source, NULL);
        if (g_str_has_suffix(spec->source, "/"))
            spec->own_source[strlen(spec->own_source) - 1] = '\0';
    }
}

static char **ignore_patterns(const Resource *resource) {
    const Value *patterns = resource_get(resource, FILE_ROW_IGNORE);
    if (patterns == NULL || value_size(patterns) == 0)
        return NULL;
    char **list = g_new0(char *, value_size(patterns) + 1);
    for (size_t i = 0; i < value_size(patterns); i++)
        list[i] = g_strdup(value_string(value_list_at(patterns, i)));
    return list;
}

void file_spec_init(FileSpec *spec, const Resource *resource) {
    *spec = (FileSpec){
        .resource = resource,
        .absent = strcmp(resource_string(resource, FILE_ROW_STATE), "absent") == 0,
        .type = wanted_type(resource),
        .recurse = resource_bool(resource, FILE_ROW_RECURSE),
        .purge = resource_bool(resource, FILE_ROW_PURGE),
        .force = resource_bool(resource, FILE_ROW_FORCE),
    };
    spec->path = without_slash(resource_string(resource, FILE_ROW_PATH), &spec->own_path);
    spec->ignore = ignore_patterns(resource);
    if (text_or_null(resource, FILE_ROW_OWNER) != NULL)
        spec->owner = resource_get(resource, FILE_ROW_OWNER);
    if (text_or_null(resource, FILE_ROW_GROUP) != NULL)
        spec->group = resource_get(resource, FILE_ROW_GROUP);
    if (spec->type == FILE_SYMLINK)
        spec->target = resource_bool(resource, FILE_ROW_SYMLINK)
                           ? text_or_null(resource, FILE_ROW_SOURCE)
                           : text_or_null(resource, FILE_ROW_TARGET);
    else
        init_source(spec);
}

void file_spec_clear(FileSpec *spec) {
    g_clear_pointer(&spec->own_path, g_free);
    g_clear_pointer(&spec->own_source, g_free);
    g_clear_pointer(&spec->ignore, g_strfreev);
}

/* --- validation */

/* What cannot be said together. The first row that holds is the error. */
typedef struct {
    bool wrong;
    const char *message;
} Rule;

static bool check_rules(const Rule *rules, size_t n_rules, GError **error) {
    for (size_t i = 0; i < n_rules; i++)
        if (rules[i].wrong) {
            g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_CONFIG, rules[i].message);
            return false;
        }
    return true;
}

static bool has_dot_dot(const char *path) {
    g_auto(GStrv) parts = g_strsplit(path, "/", -1);
    return g_strv_contains((const char *const *)parts, "..");
}

static bool check_source(const Resource *resource, bool is_directory, GError **error) {
    const char *source = text_or_null(resource, FILE_ROW_SOURCE);
    if (source == NULL || resource_bool(resource, FILE_ROW_SYMLINK))
        return true;
    bool slash = g_str_has_suffix(source, "/");
    bool relative = *source != '/';
    g_autofree char *inside = g_strconcat(source, slash ? "" : "/", NULL);
    const Rule rules[] = {
        { is_directory && g_str_has_prefix(resource_string(resource, FILE_ROW_PATH), inside),
          "the directory is in its own source, which would grow for ever" },
        { slash && !is_directory,
          "source ends with a slash, so it is a directory: end the path with a slash as well" },
        { !slash && is_directory && resource_get(resource, FILE_ROW_TYPE) == NULL,
          "the path ends with a slash, so it is a directory: end the source with a slash as well" },
        { is_directory && !resource_bool(resource, FILE_ROW_RECURSE),
          "to copy a source directory set recurse = true" },
        { relative && resource->origin.file == NULL,
          "source must be absolute: there is no configuration file beside which it could be" },
        { relative && has_dot_dot(source),
          "source must not leave the directory of the configuration with '..'" },
    };
    return check_rules(rules, G_N_ELEMENTS(rules), error);
}

static bool check_fragments(const Resource *resource, GError **error) {
    const Value *fragments = resource_get(resource, FILE_ROW_FRAGMENTS);
    const char *path = resource_string(resource, FILE_ROW_PATH);
    for (size_t i = 0; fragments != NULL && i < value_size(fragments); i++) {
        const char *fragment = value_string(value_list_at(fragments, i));
        if (*fragment == '/' && !(g_str_has_suffix(fragment, "/") ? g_str_has_prefix(path, fragment)
                                                                  : strcmp(path, fragment) == 0))
            continue;
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    *fragment == '/' ? "the file is itself in the fragment '%s'"
                                     : "fragment '%s' must be an absolute path",
                    fragment);
        return false;
    }
    return true;
}

static bool check_combination(const Resource *resource, GError **error) {
    bool absent = strcmp(resource_string(resource, FILE_ROW_STATE), "absent") == 0;
    bool symlink = resource_bool(resource, FILE_ROW_SYMLINK);
    bool content = is_given(resource, FILE_ROW_CONTENT),
         source = is_given(resource, FILE_ROW_SOURCE);
    bool fragments = is_given(resource, FILE_ROW_FRAGMENTS),
         target = is_given(resource, FILE_ROW_TARGET);
    bool recurse = resource_bool(resource, FILE_ROW_RECURSE);
    bool purge = resource_bool(resource, FILE_ROW_PURGE), slash;
    const char *path = resource_string(resource, FILE_ROW_PATH);
    FileType type = wanted_type(resource);
    bool is_directory = type == FILE_DIRECTORY, is_link = type == FILE_SYMLINK;
    slash = g_str_has_suffix(path, "/");
    const Rule rules[] = {
        { content + source + fragments > 1, "content, source and fragments exclude each other" },
        { absent && (content || source || fragments || target || symlink),
          "an absent file cannot have content, source, fragments or a target" },
        { absent && strcmp(path, "/") == 0, "the root directory cannot be absent" },
        { slash && !is_directory && type != FILE_SYMLINK,
          "the path ends with a slash, so its type is directory" },
        { slash && is_link, "a link's path must not end with a slash" },
        { symlink && target, "symlink and target exclude each other: target alone is enough" },
        { symlink && !source, "symlink needs a source to point to" },
        { is_link && !absent && !symlink && !target, "a link needs a target" },
        { (target || symlink) && !is_link, "only a link has a target" },
        { is_link && (content || fragments || (source && !symlink)),
          "a link cannot have content, source or fragments" },
        { is_link && is_given(resource, FILE_ROW_MODE), "the mode of a link means nothing" },
        { is_directory && (content || fragments), "a directory cannot have content or fragments" },
        { purge && !recurse, "purge needs recurse = true" },
        { purge && (absent || !is_directory), "purge is for directories that exist" },
        { recurse && !is_directory && !absent,
          "recurse is for directories: end the path with a slash" },
        { is_given(resource, FILE_ROW_IGNORE) && !recurse, "ignore needs recurse = true" },
        { is_given(resource, FILE_ROW_VALIDATE) && !content && !source && !fragments,
          "validate_cmd needs content, source or fragments to validate" },
        { is_given(resource, FILE_ROW_VALIDATE) && is_directory, "validate_cmd is for files" },
    };
    return check_rules(rules, G_N_ELEMENTS(rules), error);
}

static bool check_validate_cmd(const Resource *resource, GError **error) {
    const char *command = text_or_null(resource, FILE_ROW_VALIDATE);
    g_autoptr(GError) problem = NULL;
    if (command == NULL ||
        (strchr(command, '%') != NULL && g_shell_parse_argv(command, NULL, NULL, &problem)))
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "validate_cmd '%s' %s", command,
                problem != NULL ? problem->message : "has no % where the file's path goes");
    return false;
}

bool file_validate(const Resource *resource, GError **error) {
    return check_combination(resource, error) &&
           check_source(resource, wanted_type(resource) == FILE_DIRECTORY, error) &&
           check_fragments(resource, error) && check_validate_cmd(resource, error);
}

/* --- what it shall hold */

static GBytes *bytes_of(const Value *text) {
    /* The value lives as long as the bytes do. */
    return g_bytes_new_with_free_func(value_string(text), value_string_size(text),
                                      (GDestroyNotify)value_unref, value_ref(text));
}

static GBytes *unknown_content(GError **error) {
    g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_UNPREDICTABLE,
                        "the content is known only when applied");
    return NULL;
}

static GBytes *read_known(KindRun *run, const char *path, GError **error) {
    FileInfo info;
    if (!host_stat(run->host, path, &info, error))
        return NULL;
    if (info.type == FILE_UNKNOWN)
        return unknown_content(error);
    return host_read(run->host, path, LIMIT_FILE_CONTENT, error);
}

static bool append_fragment(KindRun *run, const char *path, GByteArray *content, GError **error) {
    g_autoptr(GBytes) part = read_known(run, path, error);
    if (part == NULL)
        return false;
    size_t size;
    const uint8_t *data = g_bytes_get_data(part, &size);
    if (content->len + size > LIMIT_FILE_CONTENT) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_LIMIT,
                    "read '%s': the fragments together have more than %u bytes", path,
                    LIMIT_FILE_CONTENT);
        return false;
    }
    g_byte_array_append(content, data, (unsigned)size);
    return true;
}

/* A directory stands for the files in it, by name; what is in its directories does not count. */
static bool append_fragments(KindRun *run, const char *path, GByteArray *content, GError **error) {
    if (!g_str_has_suffix(path, "/"))
        return append_fragment(run, path, content, error);
    g_autofree char *directory = g_strndup(path, strlen(path) - 1);
    g_auto(GStrv) names = host_list(run->host, directory, error);
    for (char **name = names; name != NULL && *name != NULL; name++) {
        g_autofree char *full = g_build_filename(path, *name, NULL);
        FileInfo info;
        if (!host_stat(run->host, full, &info, error) ||
            (info.type != FILE_DIRECTORY && !append_fragment(run, full, content, error)))
            return false;
    }
    return names != NULL;
}

static GBytes *join_fragments(KindRun *run, const Value *fragments, GError **error) {
    g_autoptr(GByteArray) content = g_byte_array_new();
    for (size_t i = 0; i < value_size(fragments); i++)
        if (!append_fragments(run, value_string(value_list_at(fragments, i)), content, error)) {
            g_prefix_error(error, "fragment %zu: ", i + 1);
            return NULL;
        }
    return g_byte_array_free_to_bytes(g_steal_pointer(&content));
}

GBytes *file_wanted_content(KindRun *run, const FileSpec *spec, GError **error) {
    const Value *text = resource_get(spec->resource, FILE_ROW_CONTENT);
    const Value *fragments = resource_get(spec->resource, FILE_ROW_FRAGMENTS);
    switch (spec->from) {
    case FROM_TEXT:
        return value_type(text) == VALUE_STRING ? bytes_of(text) : unknown_content(error);
    case FROM_FRAGMENTS:
        return value_has_unknown(fragments) ? unknown_content(error)
                                            : join_fragments(run, fragments, error);
    case FROM_LOCAL:
        return host_read_local(run->host, spec->source, LIMIT_FILE_CONTENT, error);
    case FROM_HOST:
        return read_known(run, spec->source, error);
    case FROM_NOTHING:
        break;
    }
    return g_bytes_new_static("", 0);
}

FileTree *file_wanted_tree(KindRun *run, const FileSpec *spec, GError **error) {
    return spec->from == FROM_LOCAL ? file_tree_of_local(run, spec->source, spec->ignore, error)
                                    : file_tree_of_host(run, spec->source, spec->ignore, error);
}

/* --- attributes */

mode_t file_wanted_mode(const FileSpec *spec) {
    mode_t mode = (mode_t)strtoul(resource_string(spec->resource, FILE_ROW_MODE), NULL, 8);
    return spec->type == FILE_DIRECTORY && spec->recurse ? file_tree_directory_mode(mode) : mode;
}

/* Root is 0 everywhere, also where no /etc/passwd says so. Nobody looks it up: most files are
 * root's, and a look-up costs as much as the rest of a look at a file. */
bool file_uid(Host *host, const Value *name, uid_t *ret_uid, GError **error) {
    *ret_uid = 0;
    return strcmp(value_string(name), "root") == 0 ||
           accounts_uid(host, value_string(name), ret_uid, error);
}

bool file_gid(Host *host, const Value *name, gid_t *ret_gid, GError **error) {
    *ret_gid = 0;
    return strcmp(value_string(name), "root") == 0 ||
           accounts_gid(host, value_string(name), ret_gid, error);
}

bool file_wanted_attributes(KindRun *run, const FileSpec *spec, FileAttributes *ret_attributes,
                            GError **error) {
    FileAttributes wanted = { 0 };
    if (is_given(spec->resource, FILE_ROW_MODE)) {
        wanted.set |= FILE_SET_MODE;
        wanted.mode = file_wanted_mode(spec);
    }
    if (spec->owner != NULL) {
        wanted.set |= FILE_SET_UID;
        if (!file_uid(run->host, spec->owner, &wanted.uid, error)) {
            g_prefix_error(error, "owner of '%s': ", spec->path);
            return account_remedy("user", value_string(spec->owner), error);
        }
    }
    if (spec->group != NULL) {
        wanted.set |= FILE_SET_GID;
        if (!file_gid(run->host, spec->group, &wanted.gid, error)) {
            g_prefix_error(error, "group of '%s': ", spec->path);
            return account_remedy("group", value_string(spec->group), error);
        }
    }
    *ret_attributes = wanted;
    return true;
}

bool file_rules(KindRun *run, const FileSpec *spec, TreeRules *ret_rules, GError **error) {
    TreeRules rules = {
        .purge = spec->purge,
        .force = spec->force,
        .ignore = spec->ignore,
        .owned = run->kept != NULL ? value_map_get(run->kept, FILE_KEPT_TREE) : NULL,
    };
    if (!spec->absent && spec->recurse) {
        if (!file_wanted_attributes(run, spec, &rules.attributes, error))
            return false;
        /* The rules say the mode of files; directories get theirs from it. */
        if (rules.attributes.set & FILE_SET_MODE)
            rules.attributes.mode =
                (mode_t)strtoul(resource_string(spec->resource, FILE_ROW_MODE), NULL, 8);
        rules.everything = spec->from == FROM_NOTHING && rules.attributes.set != 0;
    }
    *ret_rules = rules;
    return true;
}
