/* What is at a file's path, and what differs from what it shall be. */
#include <string.h>

#include "base/text-diff.h"
#include "host/accounts.h"
#include "host/host-overlay.h"
#include "kinds/file.h"
#include "kinds/loss.h"

#define OBSERVE_TRIES 5           /* looks at a path that vanishes between two calls */
#define DIFF_LIMIT    (64 * 1024) /* bytes of a text that is compared line by line */
#define DIFF_CONTEXT  3

static bool path_is_below(const char *path, const char *directory) {
    size_t size = strlen(directory);
    return strncmp(path, directory, size) == 0 && path[size] == '/';
}

static bool is_missing(const GError *error) {
    return g_error_matches(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND);
}

static Value *digest_value(const char *hex) {
    char text[7 + DIGEST_HEX_SIZE] = "sha256:";
    memcpy(text + 7, hex, DIGEST_HEX_SIZE);
    return value_new_bytes(text, 7 + DIGEST_HEX_SIZE - 1);
}

/* --- observe */

static void observe_unknown(const FileSpec *spec, State *actual) {
    actual->exists = true;
    for (unsigned i = 0; i < FILE_N_ROWS; i++)
        if (spec->resource->kind->params[i].flags & PARAM_PROPERTY)
            state_set(actual, i, value_new_unknown());
}

/* Only for what the resource manages. A user it names who does not exist (yet) differs from whoever
 * owns the file. */
static void observe_owners(KindRun *run, const FileSpec *spec, const FileInfo *info,
                           State *actual) {
    const Value *owner = spec->owner, *group = spec->group;
    uid_t uid;
    gid_t gid;
    if (owner != NULL && file_uid(run->host, owner, &uid, NULL) && uid == info->uid) {
        state_set(actual, FILE_ROW_OWNER, value_ref(owner));
    } else if (owner != NULL) {
        g_autofree char *name = accounts_user_name(run->host, info->uid);
        state_set(actual, FILE_ROW_OWNER, value_new_string(name));
    }
    if (group != NULL && file_gid(run->host, group, &gid, NULL) && gid == info->gid) {
        state_set(actual, FILE_ROW_GROUP, value_ref(group));
    } else if (group != NULL) {
        g_autofree char *name = accounts_group_name(run->host, info->gid);
        state_set(actual, FILE_ROW_GROUP, value_new_string(name));
    }
}

static Value *mode_value(mode_t mode) {
    char text[8];
    g_snprintf(text, sizeof text, "%04o", mode);
    return value_new_string(text);
}

static bool observe_info(KindRun *run, const FileSpec *spec, const FileInfo *info, State *actual,
                         GError **error) {
    if (info->type == FILE_UNKNOWN) {
        observe_unknown(spec, actual);
        return true;
    }
    state_set(actual, FILE_ROW_TYPE, value_new_string(file_type_word(info->type)));
    if (info->type == FILE_SYMLINK) {
        g_autofree char *target = host_read_link(run->host, spec->path, error);
        if (target == NULL)
            return false;
        state_set(actual, FILE_ROW_TARGET, value_new_string(target));
    } else if (resource_get(spec->resource, FILE_ROW_MODE) != NULL) {
        state_set(actual, FILE_ROW_MODE, mode_value(info->mode));
    }
    if (info->type == FILE_REGULAR && spec->from != FROM_NOTHING) {
        char hex[DIGEST_HEX_SIZE];
        if (!host_digest(run->host, spec->path, info, hex, error))
            return false;
        state_set(actual, FILE_ROW_CONTENT, digest_value(hex));
    }
    observe_owners(run, spec, info, actual);
    actual->exists = true;
    return true;
}

bool file_observe(KindRun *run, State *actual, GError **error) {
    g_auto(FileSpec) spec;
    file_spec_init(&spec, run->resource);
    for (unsigned i = 0; i < OBSERVE_TRIES; i++) {
        FileInfo info;
        g_autoptr(GError) problem = NULL;
        if (!host_stat(run->host, spec.path, &info, &problem)) {
            if (is_missing(problem)) {
                if (spec.absent && host_is_prediction(run->host) &&
                    host_overlay_may_bring(run->host, spec.path))
                    observe_unknown(&spec, actual);
                return true;
            }
            g_propagate_error(error, g_steal_pointer(&problem));
            return false;
        }
        if (observe_info(run, &spec, &info, actual, &problem))
            return true;
        /* Gone between the two calls: the next look decides. */
        if (!is_missing(problem)) {
            g_propagate_error(error, g_steal_pointer(&problem));
            return false;
        }
    }
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED,
                "look at '%s': it comes and goes faster than it can be read", spec.path);
    return false;
}

/* --- diff */

typedef struct {
    KindRun *run;
    const FileSpec *spec;
    const State *actual;
    Changes *changes;
    bool keeps; /* something of the wanted type is there and is only changed */
} Diff;

static const char *param_name(unsigned param) {
    return kind_file.params[param].name;
}

static const Value *found(const Diff *diff, unsigned param) {
    return diff->keeps ? state_get(diff->actual, param) : NULL;
}

static bool is_unknown(const State *actual) {
    return value_type(state_get(actual, FILE_ROW_TYPE)) == VALUE_UNKNOWN;
}

static void diff_value(Diff *diff, unsigned param, const Value *wanted) {
    const Value *now = found(diff, param);
    if (wanted != NULL && !value_equal(wanted, now))
        changes_add(diff->changes, param_name(param), value_ref(now), value_ref(wanted), NULL);
}

static bool wanted_digest(KindRun *run, const FileSpec *spec, char ret_hex[DIGEST_HEX_SIZE],
                          GError **error) {
    FileInfo info;
    if (spec->from == FROM_HOST) {
        if (!host_stat(run->host, spec->source, &info, error)) {
            g_prefix_error(error, "source: ");
            return false;
        }
        if (info.type == FILE_REGULAR)
            return host_digest(run->host, spec->source, &info, ret_hex, error);
    }
    g_autoptr(GBytes) content = file_wanted_content(run, spec, error);
    if (content == NULL)
        return false;
    size_t size;
    const void *data = g_bytes_get_data(content, &size);
    digest_bytes(data, size, ret_hex);
    return true;
}

static bool is_text(GBytes *bytes) {
    size_t size;
    const char *text = g_bytes_get_data(bytes, &size);
    return size <= DIFF_LIMIT && (size == 0 || memchr(text, '\0', size) == NULL);
}

/* Best effort: what cannot be read now is described by its digests alone. */
static char *content_diff(const Diff *diff) {
    g_autoptr(GBytes) after = file_wanted_content(diff->run, diff->spec, NULL);
    g_autoptr(GBytes) before = found(diff, FILE_ROW_CONTENT) == NULL
                                   ? g_bytes_new_static("", 0)
                                   : host_read(diff->run->host, diff->spec->path, DIFF_LIMIT, NULL);
    if (before == NULL || after == NULL || !is_text(before) || !is_text(after))
        return NULL;
    size_t old_size, new_size;
    const char *old = g_bytes_get_data(before, &old_size);
    const char *new = g_bytes_get_data(after, &new_size);
    return text_diff(old, old_size, new, new_size, DIFF_CONTEXT);
}

/* The digest of a secret lets short secrets be guessed, and the old content is as secret as the
 * new. */
static Value *masked(const Diff *diff, const Value *digest) {
    const Value *content = resource_get(diff->spec->resource, FILE_ROW_CONTENT);
    bool secret = content != NULL && value_is_secret(content);
    return secret && digest != NULL && value_type(digest) == VALUE_STRING
               ? value_as_secret(digest, NULL)
               : value_ref(digest);
}

static bool diff_content(Diff *diff, GError **error) {
    const Value *now = found(diff, FILE_ROW_CONTENT);
    if (diff->spec->from == FROM_NOTHING ||
        (diff->keeps && !resource_bool(diff->spec->resource, FILE_ROW_REPLACE)))
        return true;
    char hex[DIGEST_HEX_SIZE];
    g_autoptr(GError) problem = NULL;
    if (!wanted_digest(diff->run, diff->spec, hex, &problem)) {
        if (!g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_UNPREDICTABLE)) {
            g_propagate_error(error, g_steal_pointer(&problem));
            return false;
        }
        diff->changes->uncertain |= diff->keeps;
        changes_add(diff->changes, "content", masked(diff, now), value_new_unknown(), NULL);
        return true;
    }
    g_autoptr(Value) wanted = digest_value(hex);
    if (!value_equal(wanted, now))
        changes_add(diff->changes, "content", masked(diff, now), masked(diff, wanted),
                    content_diff(diff));
    diff->changes->sourced = diff->spec->from != FROM_TEXT;
    return true;
}

bool file_has_tree(const KindRun *run, const FileSpec *spec) {
    const Resource *resource = spec->resource;
    bool attributes =
        spec->owner != NULL || spec->group != NULL || resource_get(resource, FILE_ROW_MODE) != NULL;
    return (spec->recurse && (spec->from != FROM_NOTHING || spec->purge || attributes)) ||
           (run->kept != NULL && value_map_get(run->kept, FILE_KEPT_TREE) != NULL);
}

GPtrArray *file_steps(KindRun *run, const FileSpec *spec, const State *actual, FileTree **ret_tree,
                      GError **error) {
    g_autoptr(FileTree) tree = NULL;
    TreeRules rules;
    if (!file_rules(run, spec, &rules, error))
        return NULL;
    if (!spec->absent && spec->from != FROM_NOTHING &&
        (tree = file_wanted_tree(run, spec, error)) == NULL) {
        g_prefix_error(error, "source: ");
        return NULL;
    }
    const Value *type = state_get(actual, FILE_ROW_TYPE);
    rules.fresh = value_type(type) != VALUE_STRING || strcmp(value_string(type), "directory") != 0;
    GPtrArray *steps = file_tree_compare(run, tree, spec->path, &rules, error);
    *ret_tree = g_steal_pointer(&tree);
    return steps;
}

/* What a purge takes in directories that nobody named, and that are not there because of us.
 * Backwards, because what is in a directory comes before it among the steps. */
static bool may_purge(Diff *diff, const GPtrArray *steps, GError **error) {
    const FileSpec *spec = diff->spec;
    const Value *owned =
        diff->run->kept != NULL ? value_map_get(diff->run->kept, FILE_KEPT_TREE) : NULL;
    const char *outer = NULL, *named = NULL;
    g_auto(Loss) loss = { 0 };
    for (unsigned i = steps->len; spec->purge && i > 0; i--) {
        const TreeStep *step = steps->pdata[i - 1];
        bool inside = outer != NULL && path_is_below(step->path, outer);
        if (step->action != TREE_REMOVE)
            continue;
        if (!inside)
            outer = step->before == FILE_DIRECTORY ? step->path : NULL;
        if (!inside || (owned != NULL && value_map_get(owned, step->path) != NULL))
            continue;
        g_autofree char *path = g_build_filename(spec->path, step->path, NULL);
        if (!loss_add(&loss, diff->run, path, named != outer ? outer : NULL, error))
            return false;
        named = outer;
    }
    g_autofree char *what = g_strdup_printf("purge directory '%s'", spec->path);
    return loss_allow(&loss, spec->force, what, diff->changes, error);
}

/* Whether the source is another one than was copied last. */
static bool source_differs(const KindRun *run, const FileTree *tree) {
    const Value *source = run->kept != NULL ? value_map_get(run->kept, FILE_KEPT_SOURCE) : NULL;
    char hex[DIGEST_HEX_SIZE];
    if (source == NULL || tree == NULL)
        return false;
    file_tree_digest(tree, hex);
    return strcmp(value_map_string(source, "digest", ""), hex) != 0;
}

static bool diff_tree(Diff *diff, GError **error) {
    if (diff->spec->type != FILE_DIRECTORY || !file_has_tree(diff->run, diff->spec))
        return true;
    g_autoptr(FileTree) tree = NULL;
    g_autoptr(GError) problem = NULL;
    g_autoptr(GPtrArray) steps = file_steps(diff->run, diff->spec, diff->actual, &tree, &problem);
    if (steps == NULL && g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_UNPREDICTABLE)) {
        diff->changes->uncertain |= diff->keeps;
        changes_add(diff->changes, "tree", NULL, value_new_unknown(), NULL);
        return true;
    }
    if (steps == NULL) {
        g_propagate_error(error, g_steal_pointer(&problem));
        return false;
    }
    diff->changes->intended = steps->len > 0 && source_differs(diff->run, tree);
    file_tree_describe(diff->run, tree, diff->spec->path, steps, diff->changes);
    return may_purge(diff, steps, error);
}

/* What would be lost with the directory: all that is not there because of us. */
static bool find_loss(Diff *diff, Loss *loss, GError **error) {
    const FileSpec *spec = diff->spec;
    TreeRules rules = {
        .owned = diff->run->kept != NULL ? value_map_get(diff->run->kept, FILE_KEPT_TREE) : NULL,
    };
    g_autoptr(GPtrArray) steps = file_tree_compare(diff->run, NULL, spec->path, &rules, error);
    return steps != NULL && file_tree_loss(diff->run, spec->path, steps, loss, error);
}

static bool may_lose_directory(Diff *diff, const char *verb, GError **error) {
    g_auto(Loss) loss = { 0 };
    bool becomes_file = diff->spec->type == FILE_REGULAR && !diff->spec->absent;
    g_autofree char *what =
        becomes_file ? g_strdup_printf("%s directory '%s' by a file (to keep it, write '%s/')",
                                       verb, diff->spec->path, diff->spec->path)
                     : g_strdup_printf("%s directory '%s'", verb, diff->spec->path);
    return find_loss(diff, &loss, error) &&
           loss_allow(&loss, diff->spec->force, what, diff->changes, error);
}

/* Whether what is there may go. Links may always; a directory only with force or empty. */
static bool may_lose(Diff *diff, const char *verb, GError **error) {
    const char *type = value_string(state_get(diff->actual, FILE_ROW_TYPE));
    if (strcmp(type, "directory") == 0)
        return may_lose_directory(diff, verb, error);
    if (diff->spec->force || strcmp(type, "link") == 0 || diff->spec->absent ||
        (strcmp(type, "file") == 0 && diff->spec->type == FILE_SYMLINK))
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                "%s '%s': it is %s, not a %s; set force = true if it may be lost", verb,
                diff->spec->path, strcmp(type, "file") == 0 ? "a file" : "a device, pipe or socket",
                file_type_word(diff->spec->type));
    return false;
}

static bool diff_absent(Diff *diff, GError **error) {
    if (!diff->actual->exists)
        return true;
    diff->changes->action = ACTION_REMOVE;
    diff->changes->uncertain = is_unknown(diff->actual);
    changes_add(diff->changes, "type", value_ref(state_get(diff->actual, FILE_ROW_TYPE)), NULL,
                NULL);
    return is_unknown(diff->actual) || may_lose(diff, "remove", error);
}

static bool diff_type(Diff *diff, GError **error) {
    const Value *type = diff->actual->exists ? state_get(diff->actual, FILE_ROW_TYPE) : NULL;
    const char *wanted = file_type_word(diff->spec->type);
    if (is_unknown(diff->actual)) {
        diff->changes->uncertain = true;
        changes_add(diff->changes, "type", value_new_unknown(), value_new_string(wanted), NULL);
        return true;
    }
    diff->keeps = type != NULL && strcmp(value_string(type), wanted) == 0;
    if (diff->keeps)
        return true;
    diff->changes->action = type == NULL ? ACTION_CREATE : ACTION_REPLACE;
    changes_add(diff->changes, "type", value_ref(type), value_new_string(wanted), NULL);
    return type == NULL || may_lose(diff, "replace", error);
}

static void diff_mode(Diff *diff) {
    if (resource_get(diff->spec->resource, FILE_ROW_MODE) == NULL)
        return;
    g_autoptr(Value) wanted = mode_value(file_wanted_mode(diff->spec));
    diff_value(diff, FILE_ROW_MODE, wanted);
}

bool file_diff(KindRun *run, const State *actual, Changes *changes, GError **error) {
    g_auto(FileSpec) spec;
    file_spec_init(&spec, run->resource);
    Diff diff = { run, &spec, actual, changes, false };
    if (spec.absent)
        return diff_absent(&diff, error);
    if (!diff_type(&diff, error) || (spec.type == FILE_REGULAR && !diff_content(&diff, error)))
        return false;
    if (spec.type == FILE_SYMLINK) {
        g_autoptr(Value) target =
            spec.target != NULL ? value_new_string(spec.target) : value_new_unknown();
        diff_value(&diff, FILE_ROW_TARGET, target);
    }
    diff_value(&diff, FILE_ROW_OWNER, spec.owner);
    diff_value(&diff, FILE_ROW_GROUP, spec.group);
    diff_mode(&diff);
    if (!diff_tree(&diff, error))
        return false;
    if (changes->action == ACTION_NONE && changes->changes->len > 0)
        changes->action = ACTION_CHANGE;
    return true;
}

/* --- the shortcut */

static bool has_wanted_content(KindRun *run, const FileSpec *spec, const FileInfo *info) {
    char wanted[DIGEST_HEX_SIZE], hex[DIGEST_HEX_SIZE];
    if (spec->from == FROM_NOTHING || !resource_bool(spec->resource, FILE_ROW_REPLACE))
        return true;
    return wanted_digest(run, spec, wanted, NULL) &&
           host_digest(run->host, spec->path, info, hex, NULL) && strcmp(wanted, hex) == 0;
}

static bool has_wanted_attributes(KindRun *run, const FileSpec *spec, const FileInfo *info) {
    FileAttributes wanted;
    return file_wanted_attributes(run, spec, &wanted, NULL) &&
           (!(wanted.set & FILE_SET_MODE) || wanted.mode == info->mode) &&
           (!(wanted.set & FILE_SET_UID) || wanted.uid == info->uid) &&
           (!(wanted.set & FILE_SET_GID) || wanted.gid == info->gid);
}

static bool glance(KindRun *run, const char *path, FileInfo *ret_info) {
    return run->once ? host_glance(run->host, path, ret_info, NULL)
                     : host_stat(run->host, path, ret_info, NULL);
}

bool file_settled(KindRun *run) {
    g_auto(FileSpec) spec;
    file_spec_init(&spec, run->resource);
    bool shortens = !spec.absent && spec.type != FILE_SYMLINK && !file_has_tree(run, &spec);
    FileInfo info;
    return shortens && glance(run, spec.path, &info) && info.type == spec.type &&
           (spec.type == FILE_DIRECTORY || has_wanted_content(run, &spec, &info)) &&
           has_wanted_attributes(run, &spec, &info);
}
