/* augeas: values in configuration files of any format that libaugeas knows. */
#include <fnmatch.h>
#include <string.h>

#include "base/digest.h"
#include "base/limits.h"
#include "graph/autoedge.h"
#include "graph/watcher.h"
#include "kinds/augeas-lib.h"
#include "kinds/edit.h"
#include "kinds/kinds.h"
#include "kinds/line-undo.h"

enum { P_CONTEXT, P_CHANGES, P_ONLY_IF, P_LENS, P_PATH, P_LOAD_PATH, P_STATE, P_FORMER, N_PARAMS };

#define TREE "/files"

static const char *const states[] = { "exists", "absent", NULL };

static const Param params[N_PARAMS] = {
    [P_CONTEXT] = { "context", PARAM_STRING, PARAM_IDENTITY,
                    "What paths of the tree that do not start with '/' are below. Unset: the "
                    "file's tree, \"/files\" and its path." },
    [P_CHANGES] = { "changes", PARAM_STRINGS, PARAM_REQUIRED | PARAM_IDENTITY,
                    "What is changed, in this order: \"set PATH VALUE\", \"setm BASE SUB VALUE\", "
                    "\"rm PATH\", \"clear PATH\", \"clearm BASE SUB\", \"touch PATH\", \"ins "
                    "LABEL before PATH\" (or after), \"mv FROM TO\", \"rename PATH LABEL\", "
                    "\"defvar NAME PATH\", \"defnode NAME PATH VALUE\". A value with blanks is in "
                    "quotes." },
    [P_ONLY_IF] = { "onlyif", PARAM_STRING, 0,
                    "Change only what fits: \"match PATH size == 0\", \"match PATH include "
                    "OTHER\", \"get PATH != VALUE\", \"values PATH not_include VALUE\" or \"values "
                    "PATH == ['a', 'b']\"." },
    [P_LENS] = { "lens", PARAM_STRING, 0,
                 "How the file is read, such as \"Sshd.lns\". Unset: as libaugeas does for files "
                 "of that path; finding that out takes a second once in each run, but for the "
                 "usual files." },
    [P_PATH] = { "path", PARAM_PATH, PARAM_IDENTITY | PARAM_REWATCH,
                 "The file. A link is followed to the file it points to. Unset: what `context`, or "
                 "the first change, says behind /files, up to a name with a dot or one that is "
                 "known.",
                 .aliases = "incl" },
    [P_LOAD_PATH] = { "load_path", PARAM_STRING, 0,
                      "Further directories of lenses, on this machine, separated by colons." },
    [P_STATE] = { "state", PARAM_ENUM, 0,
                  "Whether the changes are made, or taken back to `former`.", .fallback = "exists",
                  .choices = states },
    [P_FORMER] = { "former", PARAM_STRING, PARAM_PROPERTY,
                   "The text of the file before the changes, to take them back: the ledger's, "
                   "nothing to write oneself." },
};

/* The resource, decoded. */
typedef struct {
    const Resource *resource;
    char *path, *context;
    GPtrArray *changes; /* of AugeasCommand */
    AugeasCommand *only_if;
    bool absent;
} AugeasSpec;

static void augeas_spec_clear(AugeasSpec *spec) {
    g_free(spec->path);
    g_free(spec->context);
    if (spec->changes != NULL)
        g_ptr_array_unref(spec->changes);
    augeas_command_free(spec->only_if);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(AugeasSpec, augeas_spec_clear)

/* --- where */

/* Files without a dot in their names. */
static const char *const known_files[] = {
    "/etc/aliases",        "/etc/cron.d/*",        "/etc/crontab", "/etc/default/*",
    "/etc/environment",    "/etc/exports",         "/etc/fstab",   "/etc/group",
    "/etc/gshadow",        "/etc/hostname",        "/etc/hosts",   "/etc/inittab",
    "/etc/logrotate.d/*",  "/etc/modprobe.d/*",    "/etc/modules", "/etc/network/interfaces",
    "/etc/pam.d/*",        "/etc/passwd",          "/etc/profile", "/etc/protocols",
    "/etc/securetty",      "/etc/services",        "/etc/shadow",  "/etc/shells",
    "/etc/ssh/ssh_config", "/etc/ssh/sshd_config", "/etc/subgid",  "/etc/subuid",
    "/etc/sudoers",        "/etc/sudoers.d/*",
};

static bool names_file(const char *path) {
    const char *name = strrchr(path, '/') + 1;
    const char *dot = strchr(name + (*name == '.'), '.');
    if (dot != NULL && !g_str_has_suffix(name, ".d"))
        return true;
    for (size_t i = 0; i < G_N_ELEMENTS(known_files); i++)
        if (fnmatch(known_files[i], path, FNM_PATHNAME) == 0)
            return true;
    return false;
}

/* Of "/files/etc/ssh/sshd_config/Port": the file. NULL: cannot be told. whole: when no name tells,
 * all of it is the file. */
static char *file_in(const char *tree_path, bool whole) {
    if (!g_str_has_prefix(tree_path, TREE "/"))
        return NULL;
    const char *rest = tree_path + strlen(TREE);
    size_t end = strcspn(rest, "[]*\\'\"$:|()=!");
    g_autofree char *path = g_strndup(rest, end);
    for (char *slash = strchr(path + 1, '/');; slash = strchr(slash + 1, '/')) {
        g_autofree char *front =
            slash != NULL ? g_strndup(path, (size_t)(slash - path)) : g_strdup(path);
        if (strlen(front) > 1 && !g_str_has_suffix(front, "/") && names_file(front))
            return g_steal_pointer(&front);
        if (slash == NULL)
            break;
    }
    return whole && rest[end] == '\0' && strlen(path) > 1 && !g_str_has_suffix(path, "/")
               ? g_steal_pointer(&path)
               : NULL;
}

static char *path_of(const Resource *resource) {
    const char *path = resource_string(resource, P_PATH);
    const char *context = resource_string(resource, P_CONTEXT);
    if (path != NULL)
        return g_strdup(path);
    char *found = context != NULL ? file_in(context, true) : NULL;
    const Value *changes = resource_get(resource, P_CHANGES);
    if (found != NULL || value_type(changes) != VALUE_LIST || value_size(changes) == 0)
        return found;
    g_autoptr(AugeasCommand) first = augeas_change_parse(value_string(value_list_at(changes, 0)),
                                                         context != NULL ? context : TREE, NULL);
    for (unsigned i = 0; first != NULL && i < AUGEAS_MAX_ARGS; i++)
        if (augeas_is_path(first, i))
            return file_in(first->args[i], false);
    return NULL;
}

/* Paths of the tree outside of the one file would be lost in silence. */
static bool check_inside(const AugeasSpec *spec, const AugeasCommand *command, GError **error) {
    g_autofree char *top = g_strconcat(TREE, spec->path, NULL);
    size_t size = strlen(top);
    for (unsigned i = 0; i < AUGEAS_MAX_ARGS; i++) {
        if (!augeas_is_path(command, i) || *command->args[i] == '$')
            continue;
        const char *path = command->args[i];
        if (strncmp(path, top, size) == 0 && (path[size] == '\0' || strchr("/[", path[size])))
            continue;
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "'%s' is outside of '%s': a resource changes one file, which `path` names",
                    path, top);
        return false;
    }
    return true;
}

/* --- decoding */

static bool add_change(AugeasSpec *spec, const char *text, GError **error) {
    AugeasCommand *change = augeas_change_parse(text, spec->context, error);
    if (change == NULL)
        return false;
    g_ptr_array_add(spec->changes, change);
    return check_inside(spec, change, error);
}

/* A text may hold several changes, a line each. */
static bool add_changes(AugeasSpec *spec, const char *text, GError **error) {
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line != NULL; line++)
        if (*g_strstrip(*line) != '\0' && !add_change(spec, *line, error))
            return false;
    return true;
}

static bool decode(AugeasSpec *spec, GError **error) {
    const Resource *resource = spec->resource;
    const char *context = resource_string(resource, P_CONTEXT);
    const char *only_if = resource_string(resource, P_ONLY_IF);
    const Value *changes = resource_get(resource, P_CHANGES);
    spec->path = path_of(resource);
    if (spec->path == NULL) {
        g_set_error_literal(
            error, STEAD_ERROR, STEAD_ERROR_CONFIG,
            "cannot tell the file from context or changes: say path = \"/etc/...\"");
        return false;
    }
    spec->context = context != NULL ? g_strdup(context) : g_strconcat(TREE, spec->path, NULL);
    spec->changes = g_ptr_array_new_with_free_func((GDestroyNotify)augeas_command_free);
    for (size_t i = 0; i < value_size(changes); i++)
        if (!add_changes(spec, value_string(value_list_at(changes, i)), error)) {
            g_prefix_error(error, "changes: ");
            return false;
        }
    if (only_if == NULL)
        return true;
    spec->only_if = augeas_condition_parse(only_if, spec->context, error);
    if (spec->only_if != NULL && check_inside(spec, spec->only_if, error))
        return true;
    g_prefix_error(error, "onlyif: ");
    return false;
}

static bool augeas_spec_init(AugeasSpec *spec, const Resource *resource, GError **error) {
    *spec = (AugeasSpec){
        .resource = resource,
        .absent = strcmp(resource_string(resource, P_STATE), "absent") == 0,
    };
    return decode(spec, error);
}

static bool augeas_validate(const Resource *resource, GError **error) {
    g_auto(AugeasSpec) spec = { 0 };
    return augeas_spec_init(&spec, resource, error);
}

/* --- the text */

static char *plain_text(GBytes *bytes) {
    size_t size;
    const char *data = g_bytes_get_data(bytes, &size);
    return g_strndup(size > 0 ? data : "", size);
}

static char *changed_text(const AugeasSpec *spec, const char *text, GError **error) {
    AugeasJob job = {
        .path = spec->path,
        .lens = resource_string(spec->resource, P_LENS),
        .load_path = resource_string(spec->resource, P_LOAD_PATH),
        .changes = spec->changes,
        .only_if = spec->only_if,
    };
    char *after = augeas_transform(&job, text, error);
    if (after == NULL)
        g_prefix_error(error, "edit '%s': ", spec->path);
    return after;
}

static char *undone_text(const AugeasSpec *spec, const char *text, GError **error) {
    const Value *kept = resource_get(spec->resource, P_FORMER);
    const char *before = kept != NULL && value_type(kept) == VALUE_STRING ? value_string(kept) : "";
    g_autofree char *ours = changed_text(spec, before, error);
    return ours != NULL ? line_undo(before, ours, text) : NULL;
}

static bool augeas_edit(const void *data, GBytes *before, GString *out, GError **error) {
    const AugeasSpec *spec = data;
    g_autofree char *text = plain_text(before);
    g_autofree char *after =
        spec->absent ? undone_text(spec, text, error) : changed_text(spec, text, error);
    if (after == NULL)
        return false;
    g_string_append(out, after);
    return true;
}

static Edit edit_of(const KindRun *run, const AugeasSpec *spec) {
    return (Edit){
        .path = spec->path,
        .create = !spec->absent,
        .remove_empty = spec->absent && edit_was_created(run),
        .edit = augeas_edit,
        .data = spec,
    };
}

/* --- callbacks */

static bool augeas_observe(KindRun *run, State *actual, GError **error) {
    g_autofree char *path = path_of(run->resource);
    g_autoptr(GError) problem = NULL;
    g_autoptr(GBytes) bytes = edit_read(run, path, &actual->exists, &problem);
    if (bytes != NULL)
        return true;
    if (g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_UNPREDICTABLE)) {
        actual->exists = true;
        state_set(actual, P_FORMER, value_new_unknown());
        return true;
    }
    g_propagate_error(error, g_steal_pointer(&problem));
    return false;
}

static Value *digest_value(GBytes *bytes) {
    char hex[DIGEST_HEX_SIZE];
    size_t size;
    const void *data = g_bytes_get_data(bytes, &size);
    digest_bytes(data, size, hex);
    g_autofree char *text = g_strconcat("sha256:", hex, NULL);
    return value_new_string(text);
}

static bool is_secret(const Resource *resource) {
    const Value *changes = resource_get(resource, P_CHANGES);
    return changes != NULL && value_is_secret(changes);
}

/* The file is right when the changes would change nothing, or taking them back would not. */
static bool add_content(KindRun *run, const AugeasSpec *spec, Changes *changes, GError **error) {
    bool exists;
    g_autoptr(GBytes) before = edit_read(run, spec->path, &exists, error);
    g_autoptr(GString) text = g_string_new(NULL);
    if (before == NULL || !augeas_edit(spec, before, text, error))
        return false;
    g_autoptr(GBytes) after = g_bytes_new(text->str, text->len);
    if (g_bytes_equal(before, after))
        return true;
    bool goes = spec->absent && text->len == 0 && edit_was_created(run);
    Edit edit = edit_of(run, spec);
    changes->action = goes ? ACTION_REMOVE : exists ? ACTION_CHANGE : ACTION_CREATE;
    if (is_secret(spec->resource))
        changes_add(changes, "content", NULL, value_new_string("(a secret)"), NULL);
    else
        changes_add(changes, "content", exists ? digest_value(before) : NULL,
                    goes ? NULL : digest_value(after), edit_diff(run, &edit));
    return true;
}

static bool augeas_diff(KindRun *run, const State *actual, Changes *changes, GError **error) {
    g_auto(AugeasSpec) spec = { 0 };
    if (!augeas_spec_init(&spec, run->resource, error))
        return false;
    if (value_type(state_get(actual, P_FORMER)) == VALUE_UNKNOWN) {
        changes->action = ACTION_CHANGE;
        changes->uncertain = true;
        changes_add(changes, "content", value_new_unknown(), value_new_unknown(), NULL);
        return true;
    }
    return add_content(run, &spec, changes, error);
}

static bool augeas_apply(KindRun *run, const State *actual, const Changes *changes,
                         GError **error) {
    g_auto(AugeasSpec) spec = { 0 };
    if (!augeas_spec_init(&spec, run->resource, error))
        return false;
    if (changes->uncertain && run->planning)
        return true;
    if (!spec.absent)
        edit_keep_created(run, spec.path);
    Edit edit = edit_of(run, &spec);
    return edit_apply(run, &edit, error);
}

static bool augeas_watch(Watcher *watcher, const Resource *resource, GError **error) {
    g_autofree char *path = path_of(resource);
    return path == NULL || watcher_host(watcher, HOST_WATCH_FILE, path, error);
}

static void augeas_auto_edges(const Resource *resource, AutoEdges *edges) {
    g_autofree char *path = path_of(resource);
    if (path == NULL)
        return;
    auto_edges_am(edges, "edits", path);
    auto_edges_want(edges, "path", path, true);
    auto_edges_want_parent(edges, path);
    auto_edges_want(edges, "package", "libaugeas0", true);
}

static bool augeas_preimage(KindRun *run, State *before, GError **error) {
    g_auto(AugeasSpec) spec = { 0 };
    if (!augeas_spec_init(&spec, run->resource, error))
        return false;
    g_autoptr(GBytes) bytes = edit_read(run, spec.path, &before->exists, error);
    if (bytes == NULL)
        return false;
    if (before->exists)
        state_set(before, P_FORMER, digest_value(bytes));
    if (before->exists && g_bytes_get_size(bytes) <= LIMIT_PREIMAGE)
        before->content = g_steal_pointer(&bytes);
    return true;
}

static Resource *augeas_reverse(const Resource *resource, const State *before, OnRemove how,
                                GError **error) {
    g_autoptr(Resource) inverse = resource_copy(resource);
    bool existed = before != NULL && before->exists;
    if (existed && state_get(before, P_FORMER) == NULL)
        return g_steal_pointer(&inverse); /* it was right from the beginning */
    resource_put(inverse, P_STATE, value_new_string("absent"));
    if (!existed)
        return g_steal_pointer(&inverse);
    if (before->content == NULL) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_LIMIT,
                    "restore its file: what it held before was not kept, because it had more than "
                    "%u bytes; restore it by hand, then 'stead ledger forget augeas %s'",
                    LIMIT_PREIMAGE, resource->name);
        return NULL;
    }
    size_t size;
    const void *data = g_bytes_get_data(before->content, &size);
    g_autoptr(Value) text = value_new_bytes(data, size);
    resource_put(inverse, P_FORMER,
                 is_secret(resource) ? value_as_secret(text, NULL) : value_ref(text));
    return g_steal_pointer(&inverse);
}

/* Others may change the same file, so the changes are what tells them apart; but one that keeps its
 * name keeps what was there before it, whatever it changes by now. */
static bool augeas_same_thing(const Resource *was, const Resource *now) {
    g_autofree char *before = path_of(was), *after = path_of(now);
    return g_strcmp0(before, after) == 0;
}

static bool augeas_clean(KindRun *run, GError **error) {
    g_autofree char *path = path_of(run->resource);
    return path == NULL || edit_clean(run, path, error);
}

const Kind kind_augeas = {
    .name = "augeas",
    .summary = "Change values in configuration files of any format",
    .help =
        "Makes changes in a configuration file through libaugeas, which knows some two hundred "
        "formats as trees of values: see augeas(7), and `augtool print /files/etc/hosts` for the "
        "tree of a file. Only what changes is written; comments and layout stay. The words of "
        "`changes` and `onlyif` are those of Puppet's augeas type and of augtool.\n\n"
        "The changes are made in memory at first: the file is right when they change nothing in "
        "it, so a change must give the same when it is made again. An `ins` needs an `onlyif`. A "
        "plan shows the very lines that would change. One resource changes one file; several may "
        "change the same file.\n\n"
        "It needs the package libaugeas0, which is used from the first such resource on; when a "
        "resource too, it comes first by itself. For one key of an INI file the kind `ini` does "
        "the same without it, for a whole line the kind `line`.\n\n"
        "When the resource leaves the configuration, the lines that it changed are put back, and a "
        "file that it made goes. Lines that somebody else has changed since stay as they are, and "
        "so does what only a former definition of the resource changed.",
    .example = "augeas \"no passwords\" {\n"
               "  context = \"/files/etc/ssh/sshd_config\", lens = \"Sshd.lns\",\n"
               "  changes = { \"set PasswordAuthentication no\", \"rm DenyUsers\" },\n"
               "}\n"
               "augeas \"second name\" {\n"
               "  path = \"/etc/hosts\",\n"
               "  changes = {\n"
               "    \"set 01/ipaddr 192.0.2.10\", \"set 01/canonical db.example.com\",\n"
               "  },\n"
               "  onlyif = \"match *[canonical = 'db.example.com'] size == 0\",\n"
               "}\n",
    .params = params,
    .n_params = N_PARAMS,
    .validate = augeas_validate,
    .observe = augeas_observe,
    .diff = augeas_diff,
    .apply = augeas_apply,
    .watch = augeas_watch,
    .auto_edges = augeas_auto_edges,
    .preimage = augeas_preimage,
    .reverse = augeas_reverse,
    .clean = augeas_clean,
    .same_thing = augeas_same_thing,
};
