/* ssh_authorized_key: one line of a user's authorized_keys. */
#include <string.h>

#include "graph/autoedge.h"
#include "graph/watcher.h"
#include "host/accounts.h"
#include "kinds/account.h"
#include "kinds/entry.h"
#include "kinds/hint.h"
#include "kinds/kinds.h"
#include "kinds/safe-path.h"
#include "kinds/ssh-key.h"

enum { P_COMMENT, P_STATE, P_USER, P_TYPE, P_KEY, P_OPTIONS, P_TARGET, N_PARAMS };

#define DIRECTORY_MODE 0700
#define FILE_MODE      0600

static const char *const states[] = { "exists", "absent", "present", NULL };

static const Param params[N_PARAMS] = {
    [P_COMMENT] = { "comment", PARAM_STRING, PARAM_NAMED | PARAM_IDENTITY,
                    "What stands behind the key and tells whose it is." },
    [P_STATE] = { "state", PARAM_ENUM, 0, "Whether the key is there or not.", .fallback = "exists",
                  .choices = states, .aliases = "ensure" },
    [P_USER] = { "user", PARAM_STRING, PARAM_IDENTITY,
                 "The user who may log in with the key, and who owns the file. Needed unless "
                 "`target` is set." },
    [P_TYPE] = { "type", PARAM_ENUM, PARAM_PROPERTY,
                 "Type of the key. Unset: what the key itself says. The short names mean the "
                 "long ones.",
                 .choices = ssh_key_types },
    [P_KEY] = { "key", PARAM_STRING, PARAM_PROPERTY | PARAM_RECEIVES,
                "The public key in base64, without type and comment: what starts with AAAA. "
                "Needed unless the state is absent." },
    [P_OPTIONS] = { "options", PARAM_STRINGS, PARAM_PROPERTY,
                    "Options of the key, one an item, such as 'restrict' or "
                    "'command=\"/usr/bin/true\"'; these and no others.",
                    .fallback = "" },
    [P_TARGET] = { "target", PARAM_PATH, PARAM_IDENTITY | PARAM_REWATCH,
                   "The file, where it is not .ssh/authorized_keys in the user's home. Its "
                   "directory must exist." },
};

/* The resource, decoded. */
typedef struct {
    const Resource *resource;
    char *path;      /* without links; NULL: there is no such user, and so no key */
    char *directory; /* ~/.ssh; NULL with a target */
    User *user;      /* NULL with only a target */
    bool absent;
} KeySpec;

static void key_spec_clear(KeySpec *spec) {
    g_clear_pointer(&spec->path, g_free);
    g_clear_pointer(&spec->directory, g_free);
    g_clear_pointer(&spec->user, user_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(KeySpec, key_spec_clear)

static bool wants_absent(const Resource *resource) {
    return strcmp(resource_string(resource, P_STATE), "absent") == 0;
}

static bool key_spec_init(KindRun *run, KeySpec *spec, GError **error) {
    const char *target = resource_string(run->resource, P_TARGET);
    *spec = (KeySpec){ .resource = run->resource, .absent = wants_absent(run->resource) };
    const char *user = resource_string(run->resource, P_USER);
    /* A target that is there has an owner already. */
    bool optional = spec->absent || (target != NULL && host_exists(run->host, target));
    if (user != NULL && !account_owner(run, user, optional, &spec->user, error))
        return false;
    if (target != NULL) {
        spec->path = safe_path(run->host, target, error);
        return spec->path != NULL;
    }
    if (spec->user == NULL)
        return true;
    g_autofree char *directory = g_build_filename(spec->user->home, ".ssh", NULL);
    g_autofree char *path = g_build_filename(directory, "authorized_keys", NULL);
    spec->directory = safe_path(run->host, directory, error);
    spec->path = spec->directory != NULL ? safe_path(run->host, path, error) : NULL;
    return spec->path != NULL;
}

/* --- the entry */

static const char *wanted_type(const KeySpec *spec, char **ret_own) {
    const char *type = resource_string(spec->resource, P_TYPE);
    const char *key = resource_string(spec->resource, P_KEY);
    *ret_own = type == NULL && key != NULL ? ssh_key_check(key, NULL) : NULL;
    return *ret_own != NULL ? *ret_own : type != NULL ? ssh_key_full_type(type) : NULL;
}

/* A key under our comment, and our key under whatever comment: a key that is exchanged must not
 * stay, and sshd takes the first line of a key, with its options. */
static bool is_ours(const KeySpec *spec, const SshKeyLine *line) {
    const char *key = resource_string(spec->resource, P_KEY);
    return strcmp(line->comment, resource_string(spec->resource, P_COMMENT)) == 0 ||
           (key != NULL && strcmp(line->key, key) == 0);
}

static size_t find_line(const KeySpec *spec, const EditText *text, size_t at,
                        SshKeyLine *ret_line) {
    for (; at < text->n_lines; at++) {
        g_auto(SshKeyLine) line;
        if (!ssh_key_line_parse(&text->lines[at], &line) || !is_ours(spec, &line))
            continue;
        *ret_line = line;
        line = (SshKeyLine){ 0 };
        return at;
    }
    return at;
}

static Value *options_value(const Resource *resource, const char *options) {
    g_auto(GStrv) list = ssh_key_split_options(options);
    const Value *given = resource_get(resource, P_OPTIONS);
    Value *value = value_new_list();
    for (char **option = list; *option != NULL; option++)
        value_list_append(value, value_new_string(*option));
    if (given == NULL || !value_is_secret(given))
        return value;
    g_autoptr(Value) plain = value;
    return value_as_secret(plain, NULL);
}

/* Whether more lines than one are ours, or one under another comment: then it is not right yet. */
static bool is_alone(const KeySpec *spec, const EditText *text, size_t at, const SshKeyLine *line) {
    g_auto(SshKeyLine) other = { 0 };
    return strcmp(line->comment, resource_string(spec->resource, P_COMMENT)) == 0 &&
           find_line(spec, text, at + 1, &other) == text->n_lines;
}

static void key_find(const void *data, GBytes *bytes, State *actual) {
    const KeySpec *spec = data;
    g_auto(EditText) text;
    g_auto(SshKeyLine) line = { 0 };
    edit_text_init(&text, bytes);
    size_t at = find_line(spec, &text, 0, &line);
    if (at == text.n_lines)
        return;
    actual->exists = true;
    state_set(actual, P_TYPE, value_new_string(line.type));
    state_set(actual, P_KEY, edit_value(spec->resource, P_KEY, line.key));
    state_set(actual, P_OPTIONS, options_value(spec->resource, line.options));
}

static Value *key_wanted(const void *data, unsigned param) {
    const KeySpec *spec = data;
    if (param == P_TYPE) {
        g_autofree char *own = NULL;
        const char *type = wanted_type(spec, &own);
        return type != NULL ? value_new_string(type) : NULL;
    }
    if (param == P_KEY && resource_is_unknown(spec->resource, P_KEY))
        return value_new_unknown();
    return value_ref(resource_get(spec->resource, param));
}

static char *new_line(const KeySpec *spec) {
    GString *out = g_string_new(NULL);
    const Value *options = resource_get(spec->resource, P_OPTIONS);
    g_autofree char *own = NULL;
    for (size_t i = 0; options != NULL && i < value_size(options); i++)
        g_string_append_printf(out, "%s%s", i > 0 ? "," : "",
                               value_string(value_list_at(options, i)));
    if (out->len > 0)
        g_string_append_c(out, ' ');
    g_string_append_printf(out, "%s %s %s\n", wanted_type(spec, &own),
                           resource_string(spec->resource, P_KEY),
                           resource_string(spec->resource, P_COMMENT));
    return g_string_free(out, FALSE);
}

/* Our line takes the place of the first one that is ours, the others go. */
static bool key_edit(const void *data, GBytes *before, GString *out, GError **error) {
    const KeySpec *spec = data;
    g_auto(EditText) text;
    edit_text_init(&text, before);
    g_autofree char *block = spec->absent ? NULL : new_line(spec);
    for (size_t at = 0; at < text.n_lines;) {
        g_auto(SshKeyLine) line = { 0 };
        size_t found = find_line(spec, &text, at, &line);
        edit_append_lines(out, &text, at, found);
        if (found < text.n_lines && block != NULL) {
            edit_append_line(out, &text, block, strlen(block) - 1);
            g_clear_pointer(&block, g_free);
        }
        at = found + 1;
    }
    if (block != NULL)
        edit_append_line(out, &text, block, strlen(block) - 1);
    return true;
}

static void own(Host *host, const KeySpec *spec, FileAttributes *attributes) {
    if (!host_is_privileged(host) || spec->user == NULL)
        return;
    attributes->set |= FILE_SET_UID | FILE_SET_GID;
    attributes->uid = spec->user->uid;
    attributes->gid = spec->user->gid;
}

/* A target that is there stays somebody's decision. */
static Entry entry_of(KindRun *run, const KeySpec *spec) {
    Entry entry = {
        .path = spec->path,
        .absent = spec->absent,
        .trusted = true,
        .data = spec,
        .find = key_find,
        .wanted = key_wanted,
        .edit = key_edit,
    };
    if (spec->directory != NULL || !host_exists(run->host, spec->path)) {
        entry.attributes = (FileAttributes){ .set = FILE_SET_MODE, .mode = FILE_MODE };
        own(run->host, spec, &entry.attributes);
    }
    return entry;
}

/* --- validation */

static bool refuse(GError **error, const char *problem) {
    g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_CONFIG, problem);
    return false;
}

static bool check_key(const Resource *resource, GError **error) {
    const char *key = resource_string(resource, P_KEY);
    const char *type = resource_string(resource, P_TYPE);
    if (key == NULL)
        return wants_absent(resource) || resource_is_unknown(resource, P_KEY) ||
               resource_receives(resource, P_KEY) || refuse(error, "'key' is required");
    g_autofree char *own = ssh_key_check(key, error);
    if (own == NULL || type == NULL || strcmp(own, ssh_key_full_type(type)) == 0)
        return own != NULL;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                "refuse the key: it is of type '%s', not '%s'; leave type unset, or give the key "
                "that was meant",
                own, ssh_key_full_type(type));
    return false;
}

static bool key_validate(const Resource *resource, GError **error) {
    const char *comment = resource_string(resource, P_COMMENT);
    const char *user = resource_string(resource, P_USER);
    const char *target = resource_string(resource, P_TARGET);
    const Value *options = resource_get(resource, P_OPTIONS);
    if (*comment == '\0' || strpbrk(comment, "\r\n") != NULL || g_ascii_isspace(comment[0]) ||
        g_ascii_isspace(comment[strlen(comment) - 1]))
        return refuse(error, "comment must be one line without blanks around it, and not empty");
    if (user == NULL && target == NULL)
        return refuse(error, "'user' or 'target' is required");
    if (user != NULL && !account_name_check("user", user, error))
        return false;
    if (target != NULL && g_str_has_suffix(target, "/"))
        return refuse(error, "target must not end with a slash");
    for (size_t i = 0; options != NULL && i < value_size(options); i++) {
        const char *problem = ssh_key_option_problem(value_string(value_list_at(options, i)));
        if (problem == NULL)
            continue;
        /* The option itself may be a secret. */
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "refuse option %zu: %s", i + 1,
                    problem);
        return false;
    }
    return check_key(resource, error);
}

/* --- callbacks */

static bool key_observe(KindRun *run, State *actual, GError **error) {
    g_auto(KeySpec) spec = { 0 };
    if (!key_spec_init(run, &spec, error))
        return false;
    if (spec.path == NULL)
        return true;
    Entry entry = entry_of(run, &spec);
    return entry_observe(run, &entry, actual, error);
}

/* *ret_right: it is there, the user's, and closed to others. */
static bool look_at_directory(KindRun *run, const KeySpec *spec, FileAttributes *ret_wanted,
                              bool *ret_there, bool *ret_right, GError **error) {
    g_autoptr(GError) problem = NULL;
    FileInfo info;
    *ret_wanted = (FileAttributes){ .set = FILE_SET_MODE, .mode = DIRECTORY_MODE };
    own(run->host, spec, ret_wanted);
    *ret_there = host_stat(run->host, spec->directory, &info, &problem);
    *ret_right = *ret_there && info.mode == DIRECTORY_MODE &&
                 (!(ret_wanted->set & FILE_SET_UID) || info.uid == ret_wanted->uid);
    if (*ret_there || g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND))
        return true;
    g_propagate_error(error, g_steal_pointer(&problem));
    return false;
}

static bool diff_directory(KindRun *run, const KeySpec *spec, Changes *changes, GError **error) {
    FileAttributes wanted;
    bool there, right;
    if (spec->directory == NULL || spec->absent)
        return true;
    if (!look_at_directory(run, spec, &wanted, &there, &right, error))
        return false;
    if (right)
        return true;
    changes_add(changes, "directory", there ? value_new_string("open to others") : NULL,
                value_new_string("0700, the user's"), NULL);
    if (changes->action == ACTION_NONE)
        changes->action = ACTION_CHANGE;
    return true;
}

/* Lines that are ours beside the right one. */
static bool diff_others(KindRun *run, const KeySpec *spec, Changes *changes, GError **error) {
    bool exists;
    host_links_refuse();
    g_autoptr(GBytes) bytes = edit_read(run, spec->path, &exists, error);
    host_links_allow();
    if (bytes == NULL)
        return false;
    g_auto(EditText) text;
    g_auto(SshKeyLine) line = { 0 };
    edit_text_init(&text, bytes);
    size_t at = find_line(spec, &text, 0, &line);
    if (at == text.n_lines || is_alone(spec, &text, at, &line))
        return true;
    const Value *comment = resource_get(spec->resource, P_COMMENT);
    if (strcmp(line.comment, value_string(comment)) != 0)
        changes_add(changes, "comment", value_new_string(line.comment), value_ref(comment), NULL);
    else
        changes_add(changes, "other lines", value_new_string("present"), NULL, NULL);
    changes->action = ACTION_CHANGE;
    return true;
}

static bool no_user(KindRun *run, Changes *changes) {
    if (wants_absent(run->resource) || run->reason == REASON_VERIFY)
        return true;
    kind_run_note(run, "needs user '%s', which only what goes before it may make",
                  resource_string(run->resource, P_USER));
    changes->action = ACTION_CREATE;
    changes->uncertain = true;
    changes_add(changes, "key", NULL, value_ref(resource_get(run->resource, P_KEY)), NULL);
    return true;
}

static bool key_diff(KindRun *run, const State *actual, Changes *changes, GError **error) {
    g_auto(KeySpec) spec = { 0 };
    if (!key_spec_init(run, &spec, error))
        return false;
    if (spec.path == NULL)
        return no_user(run, changes);
    Entry entry = entry_of(run, &spec);
    if (!entry_diff(run, &entry, actual, changes, error))
        return false;
    if (!changes->uncertain && !spec.absent && actual->exists &&
        !diff_others(run, &spec, changes, error))
        return false;
    return diff_directory(run, &spec, changes, error);
}

static bool check_home(KindRun *run, const User *user, GError **error) {
    g_autoptr(GError) problem = NULL;
    FileInfo info;
    if (host_stat(run->host, user->home, &info, &problem))
        return true;
    if (g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND))
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND,
                    "home '%s' of user '%s' does not exist; set managehome = true on the user",
                    user->home, user->name);
    else
        g_propagate_error(error, g_steal_pointer(&problem));
    return false;
}

static bool make_directory(KindRun *run, const KeySpec *spec, bool *ret_made, GError **error) {
    FileAttributes wanted;
    bool there, right;
    if (spec->directory == NULL || spec->absent)
        return true;
    if (!look_at_directory(run, spec, &wanted, &there, &right, error))
        return false;
    if (!there && !check_home(run, spec->user, error))
        return false;
    host_links_refuse();
    bool done = right || (there ? host_set_attributes(run->host, spec->directory, &wanted, error)
                                : host_make_directory(run->host, spec->directory, &wanted, error));
    host_links_allow();
    *ret_made = !there;
    return done || hint_io(run, spec->directory, error);
}

#define KEPT_DIRECTORY "directory" /* kept: .ssh did not exist before us */

static bool directory_was_made(const KindRun *run) {
    return run->kept != NULL && value_map_bool(run->kept, KEPT_DIRECTORY, false);
}

/* Goes with the last of what is ours in it. */
static bool remove_directory(KindRun *run, const KeySpec *spec, GError **error) {
    if (spec->directory == NULL || !spec->absent || !directory_was_made(run))
        return true;
    host_links_refuse();
    g_auto(GStrv) left = host_list(run->host, spec->directory, NULL);
    bool done = left == NULL || *left != NULL || host_remove(run->host, spec->directory, error);
    host_links_allow();
    return done;
}

static bool key_apply(KindRun *run, const State *actual, const Changes *changes, GError **error) {
    g_auto(KeySpec) spec = { 0 };
    if (!key_spec_init(run, &spec, error))
        return false;
    if (spec.path == NULL || (changes->uncertain && run->planning))
        return true;
    Entry entry = entry_of(run, &spec);
    run->rearm = changes->action == ACTION_CREATE && spec.directory != NULL;
    bool made = false;
    if (!make_directory(run, &spec, &made, error) || !entry_apply(run, &entry, changes, error))
        return false;
    if (run->keep != NULL && (made || directory_was_made(run)))
        value_map_set(run->keep, KEPT_DIRECTORY, value_new_bool(true));
    return remove_directory(run, &spec, error);
}

/* Where the home is, only the accounts know: they are watched too, and making the file arms anew.
 */
static bool key_watch(Watcher *watcher, const Resource *resource, GError **error) {
    const char *target = resource_string(resource, P_TARGET);
    if (target != NULL)
        return watcher_host(watcher, HOST_WATCH_FILE, target, error);
    if (!watcher_host(watcher, HOST_WATCH_ACCOUNTS, NULL, error))
        return false;
    g_autoptr(User) user =
        accounts_find_user(watcher_machine(watcher), resource_string(resource, P_USER), NULL);
    if (user == NULL)
        return true;
    g_autofree char *path = g_build_filename(user->home, ".ssh", "authorized_keys", NULL);
    return watcher_host(watcher, HOST_WATCH_FILE, path, error);
}

static void key_auto_edges(const Resource *resource, AutoEdges *edges) {
    const char *target = resource_string(resource, P_TARGET);
    const char *user = resource_string(resource, P_USER);
    if (user != NULL)
        auto_edges_want(edges, "user", user, true);
    if (target == NULL)
        return;
    auto_edges_am(edges, "edits", target);
    auto_edges_want(edges, "path", target, true);
    auto_edges_want_parent(edges, target);
}

static Resource *key_reverse(const Resource *resource, const State *before, OnRemove how,
                             GError **error) {
    return entry_reverse(resource, P_STATE, before, how);
}

static bool key_clean(KindRun *run, GError **error) {
    g_auto(KeySpec) spec = { 0 };
    if (!key_spec_init(run, &spec, error))
        return false;
    if (spec.path == NULL)
        return true;
    host_links_refuse();
    bool done = edit_clean(run, spec.path, error);
    host_links_allow();
    return done;
}

const Kind kind_ssh_authorized_key = {
    .name = "ssh_authorized_key",
    .summary = "Let a key log in over ssh as a user",
    .help =
        "Keeps one line in the authorized_keys file of a user. Everything else in the file stays "
        "byte for byte. The key is checked when the configuration is read: it must be whole, and "
        "of the type that is declared.\n\n"
        "A line is this key's when it has its comment, or the key itself under another comment. "
        "There is one such line in the end: a key that was exchanged does not stay behind, and "
        "neither does the same key with other options. In a state of absent all of them go.\n\n"
        "The file is made with mode 0600 and its directory, .ssh, with 0700, both owned by the "
        "user, and kept so: sshd refuses what others may write to. A file named by `target` is "
        "made like that, and keeps the mode and owner it has afterwards. Home directories belong "
        "to users, who may put links there at any moment: a link that somebody else than root can "
        "have made is refused, never followed.\n\n"
        "The user, when a resource too, comes first by itself. When the resource leaves the "
        "configuration, the line is removed, or becomes what it was; a file and a directory that "
        "were made for it go when nothing else is in them.",
    .example = "user \"ada\" { managehome = true }\n"
               "ssh_authorized_key \"ada@laptop\" {\n"
               "  user = \"ada\",\n"
               "  key = \"AAAAC3NzaC1lZDI1NTE5AAAAIKp6g7pQyYnJkEoFrVn0BhLZSuP0MGl3xMXhXzFRCqSP\",\n"
               "}\n"
               "ssh_authorized_key \"backup\" {\n"
               "  user = \"ada\", type = \"ed25519\",\n"
               "  key = \"AAAAC3NzaC1lZDI1NTE5AAAAIOlQ0bGdT1cDp0l0mRkJ2x7d3F3vJ1oXbZ5h7m1cQ9aE\",\n"
               "  options = { \"restrict\", 'command=\"/usr/bin/rrsync -ro /srv\"' },\n"
               "}\n",
    .params = params,
    .n_params = N_PARAMS,
    .flags = KIND_QUICK,
    .validate = key_validate,
    .observe = key_observe,
    .diff = key_diff,
    .apply = key_apply,
    .watch = key_watch,
    .auto_edges = key_auto_edges,
    .reverse = key_reverse,
    .clean = key_clean,
};
