/* Making a file what it shall be, and cleaning up after a killed attempt. */
#include <string.h>

#include "base/limits.h"
#include "host/accounts.h"
#include "host/host-overlay.h"
#include "host/host-real.h"
#include "kinds/file.h"
#include "kinds/hint.h"

#define LAST_OUTPUT 400 /* bytes of a validation's output that an error repeats */

static bool is_type(const State *actual, const char *type) {
    const Value *value = state_get(actual, FILE_ROW_TYPE);
    return actual->exists && value_type(value) == VALUE_STRING &&
           strcmp(value_string(value), type) == 0;
}

/* --- validate_cmd */

/* Beside the file, because some validators resolve includes relative to it. */
static char *candidate_path(const FileSpec *spec) {
    g_autofree char *directory = g_path_get_dirname(spec->path);
    g_autofree char *base = g_path_get_basename(spec->path);
    g_autofree char *name = g_strdup_printf(".%s.stead-candidate", base);
    return g_build_filename(directory, name, NULL);
}

static char **validation_argv(const char *command, const char *path, GError **error) {
    char **argv = NULL;
    if (!g_shell_parse_argv(command, NULL, &argv, error))
        return NULL;
    for (char **word = argv; *word != NULL; word++) {
        g_auto(GStrv) parts = g_strsplit(*word, "%", -1);
        g_free(*word);
        *word = g_strjoinv(path, parts);
    }
    return argv;
}

static void validation_failed(const FileSpec *spec, const HostCommandResult *result,
                              GError **error) {
    size_t size;
    const char *text = g_bytes_get_data(result->output, &size);
    size_t skip = size > LAST_OUTPUT ? size - LAST_OUTPUT : 0;
    g_autofree char *output = g_utf8_make_valid(text != NULL ? text + skip : "",
                                                text != NULL ? (gssize)(size - skip) : 0);
    g_autofree char *how = result->exit_status >= 0
                               ? g_strdup_printf("exit status %d", result->exit_status)
                               : g_strdup_printf("signal %d", result->signal_number);
    bool secret = value_is_secret(resource_get(spec->resource, FILE_ROW_CONTENT));
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                "new content of '%s' is refused by '%s' (%s), the file stays as it is%s%s",
                spec->path, resource_string(spec->resource, FILE_ROW_VALIDATE), how,
                secret ? "" : ": ", secret ? "" : g_strchomp(output));
}

static bool run_validation(KindRun *run, const FileSpec *spec, const char *candidate,
                           GError **error) {
    g_auto(GStrv) argv =
        validation_argv(resource_string(spec->resource, FILE_ROW_VALIDATE), candidate, error);
    if (argv == NULL)
        return false;
    HostCommand command = { .argv = (const char *const *)argv, .cancel = run->cancel };
    g_auto(HostCommandResult) result = { 0 };
    if (!host_run(run->host, &command, &result, error)) {
        g_prefix_error(error, "validate '%s': ", spec->path);
        return false;
    }
    if (result.exit_status == 0)
        return true;
    validation_failed(spec, &result, error);
    return false;
}

static bool validate_content(KindRun *run, const FileSpec *spec, GBytes *content, GError **error) {
    const char *command = resource_string(spec->resource, FILE_ROW_VALIDATE);
    if (command == NULL || *command == '\0' || run->planning)
        return true;
    g_autofree char *candidate = candidate_path(spec);
    FileAttributes private = { .set = FILE_SET_MODE, .mode = 0600 };
    if (!host_write(run->host, candidate, content, &private, error)) {
        g_prefix_error(error, "validate '%s': ", spec->path);
        return false;
    }
    bool fine = run_validation(run, spec, candidate, error);
    return host_remove(run->host, candidate, fine ? error : NULL) && fine;
}

/* --- one path */

static bool explain_parent(KindRun *run, const FileSpec *spec, GError **error) {
    g_autofree char *parent = g_path_get_dirname(spec->path);
    if (!g_error_matches(*error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND) ||
        host_exists(run->host, parent))
        return hint_io(run, spec->path, error);
    g_clear_error(error);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND,
                "create '%s': the directory '%s' does not exist; declare file '%s/'%s", spec->path,
                parent, parent, spec->type == FILE_DIRECTORY ? ", or set recurse = true here" : "");
    return false;
}

static bool write_file(KindRun *run, const FileSpec *spec, const FileAttributes *attributes,
                       GError **error) {
    g_autoptr(GError) problem = NULL;
    g_autoptr(GBytes) content = file_wanted_content(run, spec, &problem);
    if (content != NULL)
        return validate_content(run, spec, content, error) &&
               host_write(run->host, spec->path, content, attributes, error);
    if (run->planning && g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_UNPREDICTABLE)) {
        host_overlay_mark_unknown(run->host, spec->path);
        return true;
    }
    g_propagate_error(error, g_steal_pointer(&problem));
    return false;
}

static bool make_link(KindRun *run, const FileSpec *spec, const FileAttributes *attributes,
                      GError **error) {
    if (spec->target == NULL) {
        host_overlay_mark_unknown(run->host, spec->path);
        return true;
    }
    return host_make_link(run->host, spec->path, spec->target, error) &&
           (attributes->set == 0 || host_set_attributes(run->host, spec->path, attributes, error));
}

/* Directories above path that do not exist, to be taken away again with it. */
static Value *missing_parents(KindRun *run, const char *path) {
    Value *parents = value_new_map();
    g_autofree char *parent = g_path_get_dirname(path);
    while (strcmp(parent, "/") != 0 && !host_exists(run->host, parent)) {
        value_map_set(parents, parent, value_new_bool(true));
        char *above = g_path_get_dirname(parent);
        g_free(parent);
        parent = above;
    }
    return parents;
}

/* What is kept, with one member replaced; takes ownership of member. */
static void keep_member(KindRun *run, const char *name, Value *member) {
    const Value *kept = run->keep != NULL ? run->keep : run->kept;
    const char *const names[] = { FILE_KEPT_TREE, FILE_KEPT_PARENTS, FILE_KEPT_SOURCE };
    Value *map = value_new_map();
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        const Value *old = kept != NULL ? value_map_get(kept, names[i]) : NULL;
        if (old != NULL && strcmp(names[i], name) != 0)
            value_map_set(map, names[i], value_ref(old));
    }
    if (value_size(member) > 0)
        value_map_set(map, name, member);
    else
        value_unref(member);
    kind_run_keep(run, map);
}

static bool make_directory(KindRun *run, const FileSpec *spec, const FileAttributes *attributes,
                           GError **error) {
    if (spec->recurse) {
        Value *parents = missing_parents(run, spec->path);
        if (value_size(parents) > 0)
            keep_member(run, FILE_KEPT_PARENTS, parents);
        else
            value_unref(parents);
        if (!host_make_parents(run->host, spec->path, error))
            return false;
    }
    return host_make_directory(run->host, spec->path, attributes, error);
}

static bool make(KindRun *run, const FileSpec *spec, const FileAttributes *attributes,
                 GError **error) {
    switch (spec->type) {
    case FILE_REGULAR:
        return write_file(run, spec, attributes, error);
    case FILE_DIRECTORY:
        return make_directory(run, spec, attributes, error);
    case FILE_SYMLINK:
        return make_link(run, spec, attributes, error);
    case FILE_OTHER:
    case FILE_UNKNOWN:
        break;
    }
    g_assert_not_reached();
}

/* What went away by itself is as good as removed. */
static bool forgive_missing(GError *problem, GError **error) {
    if (g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND)) {
        g_error_free(problem);
        return true;
    }
    g_propagate_error(error, problem);
    return false;
}

/* Best effort, from the deepest on: one that has got other uses since stays. */
static void remove_parents(KindRun *run) {
    const Value *parents = run->kept != NULL ? value_map_get(run->kept, FILE_KEPT_PARENTS) : NULL;
    for (size_t i = parents != NULL ? value_size(parents) : 0; i > 0; i--) {
        const char *path;
        (void)value_map_at(parents, i - 1, &path); /* only keys count */
        if (kind_run_claim(run, path) != PATH_FREE || !host_remove(run->host, path, NULL))
            return;
    }
}

/* A directory goes with all it holds only under force; else with what we made in it, and the
 * system refuses when somebody has put something there since it was looked at. */
static bool remove_directory(KindRun *run, const FileSpec *spec, const State *actual,
                             GError **error) {
    GError *problem = NULL;
    if (spec->force)
        return host_remove_tree(run->host, spec->path, run->cancel, &problem) ||
               forgive_missing(problem, error);
    TreeRules rules = {
        .owned = run->kept != NULL ? value_map_get(run->kept, FILE_KEPT_TREE) : NULL,
    };
    g_autoptr(GPtrArray) steps = file_tree_compare(run, NULL, spec->path, &rules, error);
    return steps != NULL && file_tree_apply(run, NULL, spec->path, steps, error) &&
           (host_remove(run->host, spec->path, &problem) || forgive_missing(problem, error));
}

static bool remove_path(KindRun *run, const FileSpec *spec, const State *actual, GError **error) {
    if (is_type(actual, "directory"))
        return remove_directory(run, spec, actual, error);
    GError *problem = NULL;
    return host_remove(run->host, spec->path, &problem) || forgive_missing(problem, error);
}

/* Files and links replace each other in one step; only directories must go first. */
static bool replace(KindRun *run, const FileSpec *spec, const State *actual,
                    const FileAttributes *attributes, GError **error) {
    if ((is_type(actual, "directory") || spec->type == FILE_DIRECTORY) &&
        !remove_path(run, spec, actual, error))
        return false;
    return make(run, spec, attributes, error);
}

static bool change(KindRun *run, const FileSpec *spec, const State *actual, const Changes *changes,
                   const FileAttributes *attributes, GError **error) {
    if (changes_find(changes, "content") != NULL)
        return write_file(run, spec, attributes, error);
    if (changes_find(changes, "target") != NULL)
        return make_link(run, spec, attributes, error);
    if (changes_find(changes, "type") != NULL) /* unknown before: made anew on the overlay */
        return make(run, spec, attributes, error);
    bool differ = changes_find(changes, "mode") != NULL || changes_find(changes, "owner") != NULL ||
                  changes_find(changes, "group") != NULL;
    return !differ || host_set_attributes(run->host, spec->path, attributes, error);
}

/* --- below a directory */

static void keep_source(KindRun *run, const FileTree *tree) {
    Value *source = value_new_map();
    char hex[DIGEST_HEX_SIZE];
    if (tree != NULL) {
        file_tree_digest(tree, hex);
        value_map_set(source, "digest", value_new_string(hex));
    }
    keep_member(run, FILE_KEPT_SOURCE, source);
}

static bool apply_tree(KindRun *run, const FileSpec *spec, GError **error) {
    if (spec->type != FILE_DIRECTORY || !file_has_tree(run, spec))
        return true;
    g_autoptr(State) now = state_new(run->resource->kind);
    g_autoptr(FileTree) tree = NULL;
    if (!file_observe(run, now, error))
        return false;
    g_autoptr(GError) problem = NULL;
    g_autoptr(GPtrArray) steps = file_steps(run, spec, now, &tree, &problem);
    if (steps == NULL) {
        if (run->planning && g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_UNPREDICTABLE))
            return true;
        g_propagate_error(error, g_steal_pointer(&problem));
        return false;
    }
    /* Before the first effect: what a failed round has made belongs to us as well. */
    const Value *owned = run->kept != NULL ? value_map_get(run->kept, FILE_KEPT_TREE) : NULL;
    keep_member(run, FILE_KEPT_TREE, file_tree_owned(tree, owned, steps));
    keep_source(run, tree);
    return file_tree_apply(run, tree, spec->path, steps, error) || hint_io(run, spec->path, error);
}

bool file_apply(KindRun *run, const State *actual, const Changes *changes, GError **error) {
    g_auto(FileSpec) spec;
    file_spec_init(&spec, run->resource);
    if (spec.absent) {
        if (!remove_path(run, &spec, actual, error))
            return hint_io(run, spec.path, error);
        remove_parents(run);
        return true;
    }
    FileAttributes attributes;
    if (!file_wanted_attributes(run, &spec, &attributes, error))
        return false;
    g_autoptr(GError) problem = NULL;
    bool done = false;
    switch (changes->action) {
    case ACTION_CREATE:
        done = make(run, &spec, &attributes, &problem);
        break;
    case ACTION_REPLACE:
        done = replace(run, &spec, actual, &attributes, &problem);
        break;
    case ACTION_CHANGE:
        done = change(run, &spec, actual, changes, &attributes, &problem);
        break;
    case ACTION_NONE:
    case ACTION_REMOVE:
    case ACTION_RUN:
    case ACTION_RESTART:
        g_assert_not_reached();
    }
    if (done)
        return apply_tree(run, &spec, error);
    (void)explain_parent(run, &spec, &problem); /* problem is what is told */
    g_propagate_error(error, g_steal_pointer(&problem));
    return false;
}

bool file_clean(KindRun *run, GError **error) {
    g_auto(FileSpec) spec;
    file_spec_init(&spec, run->resource);
    g_autofree char *candidate = candidate_path(&spec);
    GError *problem = NULL;
    return host_real_clean(run->host, spec.path, error) &&
           host_real_clean(run->host, candidate, error) &&
           (!file_has_tree(run, &spec) ||
            host_real_clean_tree(run->host, spec.path, run->cancel, error)) &&
           (host_remove(run->host, candidate, &problem) || forgive_missing(problem, error));
}
