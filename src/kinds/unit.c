/* unit: a unit file of systemd, or a drop-in for one. The file itself is kept by the kind file. */
#include <string.h>

#include "base/limits.h"
#include "graph/autoedge.h"
#include "graph/watcher.h"
#include "kinds/kinds.h"
#include "kinds/unit-name.h"
#include "kinds/unit-text.h"

enum { P_UNIT, P_STATE, P_CONTENT, P_SETTINGS, P_DROPIN, P_MODE, P_SESSION, N_PARAMS };

static const char *const states[] = { "exists", "absent", "present", NULL };

static const Param params[N_PARAMS] = {
    [P_UNIT] = { "unit", PARAM_STRING, PARAM_NAMED | PARAM_IDENTITY | PARAM_REWATCH,
                 "The unit. A name without suffix means a service." },
    [P_STATE] = { "state", PARAM_ENUM, 0, "Whether the file is there or not.", .fallback = "exists",
                  .choices = states, .aliases = "ensure" },
    [P_CONTENT] = { "content", PARAM_STRING, PARAM_PROPERTY | PARAM_RECEIVES,
                    "The text of the file. It, or `settings`, is needed unless the state is "
                    "absent." },
    [P_SETTINGS] = { "settings", PARAM_ANY, 0,
                     "The file as a table of sections, each a table of settings: texts, numbers, "
                     "true or false; a list is a line for each of its items, where an empty text "
                     "clears what was set before." },
    [P_DROPIN] = { "dropin", PARAM_STRING, PARAM_IDENTITY | PARAM_REWATCH,
                   "Name of a drop-in, such as '10-limits': the file adds to the unit, whoever "
                   "has its file, instead of being it.",
                   .fallback = "" },
    [P_MODE] = { "mode", PARAM_MODE, PARAM_PROPERTY,
                 "Permissions: \"0600\" where the text holds secrets.", .fallback = "0644" },
    [P_SESSION] = { "session", PARAM_BOOL, PARAM_IDENTITY | PARAM_REWATCH,
                    "The unit is one of the users' managers, in /etc/systemd/user.",
                    .fallback = "false" },
};

static bool wants_absent(const Resource *resource) {
    return strcmp(resource_string(resource, P_STATE), "absent") == 0;
}

static bool is_drop_in(const Resource *resource) {
    return *resource_string(resource, P_DROPIN) != '\0';
}

static char *full_name(const Resource *resource) {
    return unit_full_name(resource_string(resource, P_UNIT));
}

static char *path_of(const Resource *resource) {
    g_autofree char *unit = full_name(resource);
    const char *directory = *unit_directories(resource_bool(resource, P_SESSION));
    const char *drop_in = resource_string(resource, P_DROPIN);
    if (*drop_in == '\0')
        return g_build_filename(directory, unit, NULL);
    const char *suffix = g_str_has_suffix(drop_in, ".conf") ? "" : ".conf";
    return g_strdup_printf("%s/%s.d/%s%s", directory, unit, drop_in, suffix);
}

/* --- validation */

static bool refuse(GError **error, const char *problem) {
    g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_CONFIG, problem);
    return false;
}

/* NULL without error: not known yet, or not asked for. */
static char *wanted_text(const Resource *resource, GError **error) {
    const Value *settings = resource_get(resource, P_SETTINGS);
    g_autofree char *keeper = g_strdup_printf("unit '%s'", resource->name);
    if (settings != NULL)
        return unit_text_print(settings, keeper, error);
    return g_strdup(resource_string(resource, P_CONTENT));
}

static bool check_text(const Resource *resource, GError **error) {
    const Value *content = resource_get(resource, P_CONTENT);
    bool has_content = content != NULL || resource_receives(resource, P_CONTENT);
    bool has_settings = resource_get(resource, P_SETTINGS) != NULL;
    g_autoptr(GError) problem = NULL;
    if (has_content && has_settings)
        return refuse(error, "set either 'content' or 'settings', not both");
    if (!has_content && !has_settings)
        return refuse(error, "'content' or 'settings' is required");
    g_autofree char *text = wanted_text(resource, &problem);
    if (problem != NULL) {
        g_propagate_error(error, g_steal_pointer(&problem));
        return false;
    }
    g_autofree char *unit = full_name(resource);
    size_t size = text == NULL ? 0 : has_settings ? strlen(text) : value_string_size(content);
    if (text == NULL || unit_text_check(text, size, unit, is_drop_in(resource), error))
        return true;
    g_prefix_error(error, has_settings ? "settings: " : "content: ");
    return false;
}

static bool unit_validate(const Resource *resource, GError **error) {
    const char *drop_in = resource_string(resource, P_DROPIN);
    if (!unit_name_check(resource_string(resource, P_UNIT), error))
        return false;
    if (strchr(drop_in, '/') != NULL || *drop_in == '.' || strpbrk(drop_in, " \t\r\n") != NULL ||
        strlen(drop_in) > 200)
        return refuse(error, "dropin must be a name such as '10-limits', without directory");
    return wants_absent(resource) || check_text(resource, error);
}

/* --- the file */

static void put(Resource *file, const char *param, Value *value) {
    g_autoptr(Value) own = value;
    bool good = resource_set(file, param, own, NULL);
    g_assert(good); /* checked when the unit was */
}

static Value *content_value(const Resource *resource) {
    const Value *content = resource_get(resource, P_CONTENT);
    if (resource_is_unknown(resource, P_CONTENT))
        return value_new_unknown();
    if (content != NULL)
        return value_ref(content);
    g_autofree char *text = wanted_text(resource, NULL);
    g_assert(text != NULL);
    g_autoptr(Value) value = value_new_string(text);
    return value_is_secret(resource_get(resource, P_SETTINGS)) ? value_as_secret(value, NULL)
                                                               : g_steal_pointer(&value);
}

/* The resource of kind file that our file is. */
static Resource *file_of(KindRun *run) {
    const Resource *resource = run->resource;
    g_autofree char *path = path_of(resource);
    Resource *file = resource_new(&kind_file, path, resource->origin);
    if (wants_absent(resource)) {
        put(file, "state", value_new_string("absent"));
    } else {
        put(file, "content", content_value(resource));
        put(file, "mode", value_ref(resource_get(resource, P_MODE)));
    }
    if (!wants_absent(resource) && host_is_privileged(run->host)) {
        put(file, "owner", value_new_string("0"));
        put(file, "group", value_new_string("0"));
    }
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func((GDestroyNotify)g_error_free);
    (void)resource_finish(file, problems);
    g_assert(problems->len == 0);
    return file;
}

/* A round of that resource, within ours. */
typedef struct {
    KindRun run;
    Resource *file;
    State *state;
} FileRound;

static void file_round_clear(FileRound *round) {
    resource_unref(round->file);
    state_free(round->state);
    value_unref(round->run.outputs);
    value_unref(round->run.keep);
    g_free(round->run.note);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(FileRound, file_round_clear)

static void file_round_init(FileRound *round, KindRun *run) {
    *round = (FileRound){ .run = *run, .file = file_of(run), .state = state_new(&kind_file) };
    round->run.resource = round->file;
    round->run.refresh = false;
    round->run.outputs = round->run.keep = NULL;
    round->run.kept = NULL;
    round->run.note = NULL;
}

static bool refuse_link(KindRun *run, const char *path, GError **error) {
    g_autofree char *target = host_read_link(run->host, path, error);
    g_autofree char *unit = full_name(run->resource);
    if (target == NULL)
        return false;
    bool masked = strcmp(target, "/dev/null") == 0;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                "refuse to replace the link '%s', which %s%s; first: systemctl %s %s", path,
                masked ? "masks the unit" : "leads to ", masked ? "" : target,
                masked ? "unmask" : "disable", unit);
    return false;
}

/* A link in place of the file is a mask, or an alias of another unit. *ret_other: something is
 * there that is not a file, and does not matter since none is wanted. */
static bool check_place(KindRun *run, bool *ret_other, GError **error) {
    g_autofree char *path = path_of(run->resource);
    FileInfo info = { .type = FILE_OTHER };
    g_autoptr(GError) problem = NULL;
    *ret_other = false;
    if (!host_stat(run->host, path, &info, &problem)) {
        if (g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND))
            return true;
        g_propagate_error(error, g_steal_pointer(&problem));
        return false;
    }
    *ret_other = info.type != FILE_REGULAR && info.type != FILE_UNKNOWN;
    if (!*ret_other || wants_absent(run->resource))
        return true;
    if (info.type == FILE_SYMLINK)
        return refuse_link(run, path, error);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                "refuse to replace '%s': it is not a file; remove it first", path);
    return false;
}

/* --- observe, diff */

static int file_row(const char *param) {
    int row = kind_param_index(&kind_file, param);
    g_assert(row >= 0);
    return row;
}

static void copy_property(const State *from, const char *param, State *to, unsigned row) {
    const Value *value = state_get(from, (unsigned)file_row(param));
    if (value != NULL)
        state_set(to, row, value_ref(value));
}

typedef bool (*FileLook)(KindRun *run, State *found, GError **error);

/* By one of the two ways in which the kind file looks. */
static bool look_at_file(KindRun *run, State *found, FileLook look, GError **error) {
    bool other;
    if (!check_place(run, &other, error))
        return false;
    if (other)
        return true;
    g_auto(FileRound) round;
    file_round_init(&round, run);
    if (!look(&round.run, round.state, error))
        return false;
    found->exists = round.state->exists;
    copy_property(round.state, "content", found, P_CONTENT);
    copy_property(round.state, "mode", found, P_MODE);
    found->content = g_steal_pointer(&round.state->content);
    return true;
}

static bool unit_observe(KindRun *run, State *actual, GError **error) {
    return look_at_file(run, actual, kind_file.observe, error);
}

static bool has_other_root(Host *host) {
    return strcmp(host_root(host), "/") != 0;
}

/* Whether systemd has not read what the files say now, as when we were killed before it could. Of a
 * template only instances know. */
static bool needs_reload(KindRun *run, bool *ret_needed, GError **error) {
    g_autofree char *unit = full_name(run->resource);
    g_autoptr(GError) problem = NULL;
    UnitInfo info = { 0 };
    *ret_needed = false;
    if (has_other_root(run->host) || unit_is_template(unit))
        return true;
    if (host_unit_query(run->host, unit, resource_bool(run->resource, P_SESSION), &info,
                        &problem)) {
        *ret_needed = info.needs_daemon_reload;
        return true;
    }
    if (g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_UNSUPPORTED) ||
        g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND))
        return true;
    g_propagate_error(error, g_steal_pointer(&problem));
    return false;
}

static bool diff_file(FileRound *round, Changes *changes, GError **error) {
    return kind_file.observe(&round->run, round->state, error) &&
           kind_file.diff(&round->run, round->state, changes, error);
}

static bool unit_diff(KindRun *run, const State *actual, Changes *changes, GError **error) {
    bool other, reload;
    if (!check_place(run, &other, error))
        return false;
    if (other)
        return true;
    g_auto(FileRound) round;
    file_round_init(&round, run);
    if (!diff_file(&round, changes, error))
        return false;
    if (round.run.note != NULL)
        kind_run_note(run, "%s", round.run.note);
    if (!changes_empty(changes))
        return true;
    if (!needs_reload(run, &reload, error))
        return false;
    if (reload) {
        changes_add(changes, "daemon_reload", NULL, value_new_bool(true), NULL);
        changes->action = ACTION_CHANGE;
    }
    return true;
}

/* --- apply */

/* The directory of drop-ins goes with the last one. */
static bool remove_directory(KindRun *run, GError **error) {
    g_autofree char *path = path_of(run->resource);
    g_autofree char *directory = g_path_get_dirname(path);
    if (!wants_absent(run->resource) || !is_drop_in(run->resource) ||
        kind_run_claim(run, directory) == PATH_MANAGED)
        return true;
    g_autoptr(GError) problem = NULL;
    g_auto(GStrv) names = host_list(run->host, directory, &problem);
    if (names == NULL && !g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND)) {
        g_propagate_error(error, g_steal_pointer(&problem));
        return false;
    }
    return names == NULL || *names != NULL || host_remove(run->host, directory, error);
}

static bool apply_file(KindRun *run, GError **error) {
    g_autofree char *path = path_of(run->resource);
    g_autoptr(Changes) changes = changes_new();
    g_auto(FileRound) round;
    file_round_init(&round, run);
    if (!diff_file(&round, changes, error))
        return false;
    if (changes_empty(changes))
        return true;
    if (!wants_absent(run->resource) && !host_make_parents(run->host, path, error))
        return false;
    return kind_file.apply(&round.run, round.state, changes, error) && remove_directory(run, error);
}

static bool reload(KindRun *run, GError **error) {
    g_autoptr(GError) problem = NULL;
    if (has_other_root(run->host) ||
        host_unit_apply(run->host, "", resource_bool(run->resource, P_SESSION), UNIT_DAEMON_RELOAD,
                        run->cancel, &problem))
        return true;
    if (g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_UNSUPPORTED)) {
        kind_run_note(run, "no systemd runs here: it reads the file when it starts");
        return true;
    }
    g_propagate_error(error, g_steal_pointer(&problem));
    return false;
}

static bool unit_apply(KindRun *run, const State *actual, const Changes *changes, GError **error) {
    if (changes->uncertain && run->planning)
        return true;
    return apply_file(run, error) && reload(run, error);
}

/* --- the rest */

static bool unit_watch(Watcher *watcher, const Resource *resource, GError **error) {
    g_autofree char *path = path_of(resource);
    return watcher_host(watcher, HOST_WATCH_FILE, path, error);
}

/* What starts the unit must find it: its svc, and those of what triggers a service. */
static void unit_auto_edges(const Resource *resource, AutoEdges *edges) {
    static const char *const triggers[] = { ".timer", ".socket", ".path" };
    g_autofree char *path = path_of(resource), *unit = full_name(resource);
    auto_edges_am(edges, "path", path);
    auto_edges_want_parent(edges, path);
    auto_edges_want(edges, "unit", unit, false);
    if (!g_str_has_suffix(unit, ".service"))
        return;
    for (size_t i = 0; i < G_N_ELEMENTS(triggers); i++) {
        g_autofree char *trigger =
            g_strdup_printf("%.*s%s", (int)(strlen(unit) - strlen(".service")), unit, triggers[i]);
        auto_edges_want(edges, "unit", trigger, false);
    }
}

static bool unit_preimage(KindRun *run, State *before, GError **error) {
    return look_at_file(run, before, kind_file.preimage, error);
}

static bool restore(Resource *inverse, const Resource *resource, const State *before,
                    GError **error) {
    if (before->content == NULL) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_LIMIT,
                    "restore its file: what it held before was not kept, because it had more than "
                    "%u bytes; restore it by hand, then 'stead ledger forget unit %s'",
                    LIMIT_PREIMAGE, resource->name);
        return false;
    }
    size_t size;
    const void *data = g_bytes_get_data(before->content, &size);
    const Value *ours = resource_get(resource, P_CONTENT);
    g_autoptr(Value) content = value_new_bytes(data, size);
    resource_put(inverse, P_CONTENT,
                 ours != NULL && value_is_secret(ours) ? value_as_secret(content, NULL)
                                                       : value_ref(content));
    if (state_get(before, P_MODE) != NULL)
        resource_put(inverse, P_MODE, value_ref(state_get(before, P_MODE)));
    return true;
}

static Resource *unit_reverse(const Resource *resource, const State *before, OnRemove how,
                              GError **error) {
    bool existed = before != NULL && before->exists && how != ON_REMOVE_REMOVE;
    g_autoptr(Resource) inverse = resource_copy(resource);
    resource_put(inverse, P_SETTINGS, NULL);
    resource_put(inverse, P_STATE, value_new_string(existed ? "exists" : "absent"));
    if (existed && !restore(inverse, resource, before, error))
        return NULL;
    return g_steal_pointer(&inverse);
}

static bool unit_clean(KindRun *run, GError **error) {
    g_auto(FileRound) round;
    file_round_init(&round, run);
    return kind_file.clean(&round.run, error);
}

const Kind kind_unit = {
    .name = "unit",
    .summary = "Keep a unit file of systemd, or a drop-in",
    .help =
        "Keeps a unit file in /etc/systemd/system, or with `dropin` a file in the directory that "
        "adds to a unit, and lets systemd read it again after each change. The text is given as "
        "it is, or as `settings`. It is checked when the configuration is read: a line that "
        "systemd would pass over with a warning is an error, and so is a section it does not know "
        "or a service without a command.\n\n"
        "Whether the unit runs, is enabled or masked is the matter of the kind `svc`, which comes "
        "after its unit file and drop-ins by itself; that of a timer, socket or path also after "
        "the service of the same name. A change does not restart anything: say notify = svc "
        "\"NAME\" for that. A service that is notified because its file changed is restarted, not "
        "reloaded, since what runs is still the old definition.\n\n"
        "A masked unit has a link in place of the file, and is refused; so are other links. Where "
        "no systemd runs, and below `--root`, only the file is written. Owner and group are "
        "root.\n\n"
        "When the resource leaves the configuration the file is removed, or what it held comes "
        "back, and systemd reads that. Units that run then are stopped by removing their svc, "
        "which goes first.",
    .example =
        "unit \"backup.service\" {\n"
        "  settings = {\n"
        "    Unit = { Description = \"Nightly backup\" },\n"
        "    Service = { Type = \"oneshot\", ExecStart = \"/usr/local/sbin/backup\", Nice = 10 },\n"
        "  },\n"
        "}\n"
        "unit \"backup.timer\" {\n"
        "  settings = {\n"
        "    Timer = { OnCalendar = \"*-*-* 02:30\", Persistent = true },\n"
        "    Install = { WantedBy = \"timers.target\" },\n"
        "  },\n"
        "  notify = svc \"backup.timer\",\n"
        "}\n"
        "svc \"backup.timer\" { state = \"running\", enabled = true }\n"
        "\n"
        "unit \"more files for nginx\" {\n"
        "  unit = \"nginx.service\", dropin = \"10-limits\",\n"
        "  content = \"[Service]\\nLimitNOFILE=65536\\n\", notify = svc \"nginx\",\n"
        "}\n"
        "svc \"nginx\" { state = \"running\" }\n",
    .params = params,
    .n_params = N_PARAMS,
    .validate = unit_validate,
    .observe = unit_observe,
    .diff = unit_diff,
    .apply = unit_apply,
    .watch = unit_watch,
    .auto_edges = unit_auto_edges,
    .preimage = unit_preimage,
    .reverse = unit_reverse,
    .clean = unit_clean,
};
