/*
 * mount: a line of /etc/fstab, and what is mounted at its mount point. The two are looked at and
 * kept apart: each may be right or wrong by itself.
 */
#include <string.h>

#include "graph/autoedge.h"
#include "graph/watcher.h"
#include "kinds/fstab.h"
#include "kinds/hint.h"
#include "kinds/kinds.h"
#include "kinds/mount-live.h"
#include "kinds/safe-path.h"

enum {
    P_PATH,
    P_STATE,
    P_DEVICE,
    P_FSTYPE,
    P_OPTIONS,
    P_DUMP,
    P_PASS,
    P_ATBOOT,
    P_MKDIR,
    P_FORCE,
    N_PARAMS
};

#define LAYERS_MAX 16 /* mounts on one point that are taken away, one after the other */

static const char *const states[] = { "mounted", "unmounted", "defined", "ephemeral",
                                      "absent",  "present",   NULL };

static const Param params[N_PARAMS] = {
    [P_PATH] = { "path", PARAM_PATH, PARAM_NAMED | PARAM_IDENTITY | PARAM_REWATCH,
                 "The mount point." },
    [P_STATE] = { "state", PARAM_ENUM, PARAM_PROPERTY,
                  "mounted: it is in fstab and mounted. unmounted: in fstab, and not mounted. "
                  "defined (or present): in fstab, mounted or not. ephemeral: mounted, and not in "
                  "fstab. absent: neither.",
                  .fallback = "mounted", .choices = states, .aliases = "ensure" },
    [P_DEVICE] = { "device", PARAM_STRING, PARAM_PROPERTY | PARAM_RECEIVES,
                   "What is mounted: a device, UUID=, LABEL=, PARTUUID= or PARTLABEL=, a server's "
                   "directory, the directory that is bound, or any word for a file system without "
                   "one (tmpfs). Unset: what fstab has.",
                   .aliases = "src source" },
    [P_FSTYPE] = { "fstype", PARAM_STRING, PARAM_PROPERTY,
                   "Type of the file system. Unset: what fstab has; in a new line auto, or none "
                   "with bind.",
                   .aliases = "type" },
    [P_OPTIONS] = { "options", PARAM_STRINGS, PARAM_PROPERTY,
                    "Mount options, with commas between them or as a list; their order does not "
                    "count. Unset: what fstab has; in a new line defaults.",
                    .aliases = "opts" },
    [P_DUMP] = { "dump", PARAM_INT, PARAM_PROPERTY,
                 "Fifth field of fstab: whether dump(8) saves it. Unset: what fstab has." },
    [P_PASS] = { "pass", PARAM_INT, PARAM_PROPERTY,
                 "Sixth field of fstab: when fsck(8) checks it at boot; 1 for the root, 2 for "
                 "others, 0 for never. Unset: what fstab has.",
                 .aliases = "passno" },
    [P_ATBOOT] = { "atboot", PARAM_BOOL, 0,
                   "Whether it is mounted at boot: false adds the option noauto, true takes it "
                   "away. Unset: as the options say.",
                   .aliases = "boot" },
    [P_MKDIR] = { "mkdir", PARAM_BOOL, 0,
                  "Whether a missing mount point, and what is missing above it, is made when it is "
                  "mounted: a directory of mode 0755, or a file where a file is bound.",
                  .fallback = "true" },
    [P_FORCE] = { "force", PARAM_BOOL, 0,
                  "Whether what is in use is unmounted all the same, lazily: it goes from sight at "
                  "once, and programs go on with the files they have open.",
                  .fallback = "false" },
};

/* --- what is wanted */

typedef struct {
    bool line, no_line; /* in fstab; neither: as it is */
    bool live, no_live; /* mounted */
} Wants;

static Wants wants_of(const Resource *resource) {
    static const struct {
        const char *state;
        Wants wants;
    } rows[] = {
        { "mounted", { .line = true, .live = true } },
        { "unmounted", { .line = true, .no_live = true } },
        { "defined", { .line = true } },
        { "present", { .line = true } },
        { "ephemeral", { .no_line = true, .live = true } },
        { "absent", { .no_line = true, .no_live = true } },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
        if (strcmp(rows[i].state, resource_string(resource, P_STATE)) == 0)
            return rows[i].wants;
    g_assert_not_reached();
}

static char *joined_options(const Resource *resource) {
    const Value *list = resource_get(resource, P_OPTIONS);
    if (list == NULL)
        return NULL;
    GString *out = g_string_new(NULL);
    for (size_t i = 0; i < value_size(list); i++)
        g_string_append_printf(out, "%s%s", i > 0 ? "," : "", value_string(value_list_at(list, i)));
    return g_string_free(out, FALSE);
}

/* Takes ownership of options. */
static char *with_atboot(const Resource *resource, char *options) {
    g_autofree char *own = options;
    if (resource_get(resource, P_ATBOOT) == NULL)
        return g_steal_pointer(&own);
    GString *out = g_string_new(NULL);
    g_auto(GStrv) list = g_strsplit(own, ",", -1);
    for (char **option = list; *option != NULL; option++)
        if (strcmp(*option, "noauto") != 0)
            g_string_append_printf(out, "%s%s", out->len > 0 ? "," : "", *option);
    if (!resource_bool(resource, P_ATBOOT))
        g_string_append_printf(out, "%snoauto", out->len > 0 ? "," : "");
    if (out->len == 0)
        g_string_append(out, "defaults");
    return g_string_free(out, FALSE);
}

static char *number_or(const Resource *resource, unsigned param, const char *otherwise) {
    return resource_get(resource, param) != NULL
               ? g_strdup_printf("%" G_GINT64_FORMAT, resource_int(resource, param, 0))
               : g_strdup(otherwise != NULL ? otherwise : "0");
}

static char *text_or(const Resource *resource, unsigned param, const char *otherwise) {
    const char *text = resource_string(resource, param);
    return g_strdup(text != NULL ? text : otherwise);
}

/* The line as it is to be: what is not asked for stays as it is in `was` (all NULL: no line). */
static void merge_line(const Resource *resource, const char *point, const FstabLine *was,
                       FstabLine *ret_line) {
    char **fields = ret_line->fields;
    char *options = joined_options(resource);
    if (options == NULL || *options == '\0') {
        bool keep = options == NULL && was->fields[FSTAB_OPTIONS] != NULL;
        g_free(options);
        options = g_strdup(keep ? was->fields[FSTAB_OPTIONS] : "defaults");
    }
    fields[FSTAB_OPTIONS] = with_atboot(resource, options);
    bool bind = mount_options_bind(fields[FSTAB_OPTIONS]);
    const char *type = was->fields[FSTAB_TYPE];
    fields[FSTAB_DEVICE] = text_or(resource, P_DEVICE, was->fields[FSTAB_DEVICE]);
    fields[FSTAB_POINT] = g_strdup(was->fields[FSTAB_POINT] ? was->fields[FSTAB_POINT] : point);
    fields[FSTAB_TYPE] = text_or(resource, P_FSTYPE, type ? type : bind ? "none" : "auto");
    fields[FSTAB_DUMP] = number_or(resource, P_DUMP, was->fields[FSTAB_DUMP]);
    fields[FSTAB_PASS] = number_or(resource, P_PASS, was->fields[FSTAB_PASS]);
}

/* --- looking */

/* All that is known of both sides. */
typedef struct {
    char *point;       /* as in fstab */
    char *place;       /* the same without links: as the kernel has it */
    bool has_line;     /* found is one */
    bool line_unknown; /* a command that a plan does not run decides what is in fstab */
    FstabLine found, wanted;
    MountTable *table; /* NULL: nothing is mounted below a root */
    const Mount *live; /* NULL: not mounted; in table */
} Look;

static void look_clear(Look *look) {
    g_clear_pointer(&look->point, g_free);
    g_clear_pointer(&look->place, g_free);
    fstab_line_clear(&look->found);
    fstab_line_clear(&look->wanted);
    g_clear_pointer(&look->table, mount_table_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Look, look_clear)

static bool look_at_line(KindRun *run, Look *look, GError **error) {
    g_autoptr(GError) problem = NULL;
    bool exists;
    g_autoptr(GBytes) bytes = edit_read(run, FSTAB, &exists, &problem);
    if (bytes == NULL && g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_UNPREDICTABLE)) {
        look->line_unknown = true;
    } else if (bytes == NULL) {
        g_propagate_error(error, g_steal_pointer(&problem));
        return false;
    } else {
        g_auto(EditText) text;
        edit_text_init(&text, bytes);
        look->has_line = fstab_find(&text, look->point, 0, &look->found) < text.n_lines;
    }
    merge_line(run->resource, look->point, &look->found, &look->wanted);
    return true;
}

/* A server that does not answer must not be asked: what is mounted is not touched to find it. */
static bool look_at_mount(KindRun *run, Look *look, GError **error) {
    g_autoptr(GError) problem = NULL;
    look->table = host_mounts(run->host, &problem);
    if (look->table == NULL && g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_UNSUPPORTED))
        return true;
    if (look->table == NULL) {
        g_propagate_error(error, g_steal_pointer(&problem));
        return false;
    }
    look->live = mount_table_at(look->table, look->point);
    look->place =
        look->live != NULL ? g_strdup(look->point) : safe_path(run->host, look->point, error);
    if (look->place != NULL && look->live == NULL)
        look->live = mount_table_at(look->table, look->place);
    bool automount = live_is_automount(look->live);
    if (automount && !mount_options_have(look->wanted.fields[FSTAB_OPTIONS], "x-systemd.automount"))
        look->live = NULL;
    return look->place != NULL;
}

static bool look_at(KindRun *run, Look *look, GError **error) {
    look->point = fstab_point(resource_string(run->resource, P_PATH));
    return look_at_line(run, look, error) && look_at_mount(run, look, error);
}

static MountSpec spec_of(const Look *look) {
    return (MountSpec){
        .point = look->place,
        .device = look->wanted.fields[FSTAB_DEVICE],
        .fstype = look->wanted.fields[FSTAB_TYPE],
        .options = look->wanted.fields[FSTAB_OPTIONS],
    };
}

/* --- validation */

static bool refuse(GError **error, const char *param, const char *text, const char *problem) {
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "refuse %s '%s': %s", param, text, problem);
    return false;
}

static bool check_word(const char *param, const char *text, bool spaces, GError **error) {
    if (text == NULL)
        return true;
    if (*text == '\0')
        return refuse(error, param, text, "it is empty");
    for (const char *at = text; *at != '\0'; at++)
        if (g_ascii_iscntrl(*at) || (!spaces && *at == ' '))
            return refuse(error, param, text, "it must be one word");
    return true;
}

static bool check_number(const Resource *resource, unsigned param, GError **error) {
    int64_t number = resource_int(resource, param, 0);
    if (number >= 0 && number <= 9)
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                "refuse %s %" G_GINT64_FORMAT ": it is a number from 0 to 9", params[param].name,
                number);
    return false;
}

/* Everybody may read fstab and the table of mounts. */
static bool check_no_secret(const Resource *resource, GError **error) {
    for (unsigned i = 0; i < N_PARAMS; i++)
        if (resource->params[i] != NULL && value_is_secret(resource->params[i])) {
            g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                        "refuse a secret in '%s': everybody may read it in fstab; write it into a "
                        "file of mode 0600 and name that, as in credentials=FILE",
                        params[i].name);
            return false;
        }
    return true;
}

static bool mount_validate(const Resource *resource, GError **error) {
    if (!check_no_secret(resource, error))
        return false;
    const char *path = resource_string(resource, P_PATH);
    const char *device = resource_string(resource, P_DEVICE);
    g_autofree char *options = joined_options(resource);
    g_autofree char *point = path != NULL ? fstab_point(path) : NULL;
    if (!check_word("path", path, true, error) || !check_word("device", device, true, error) ||
        !check_word("fstype", resource_string(resource, P_FSTYPE), false, error) ||
        !check_word("options", options, true, error) || !check_number(resource, P_DUMP, error) ||
        !check_number(resource, P_PASS, error))
        return false;
    if (options != NULL && mount_options_have(options, "remount"))
        return refuse(error, "options", options,
                      "'remount' is what stead does by itself when options differ");
    if (options != NULL && device != NULL && mount_options_bind(options) && *device != '/')
        return refuse(error, "device", device, "what is bound is an absolute path");
    bool ends = wants_of(resource).no_live;
    if (ends && point != NULL && live_is_protected(point))
        return refuse(error, "state", resource_string(resource, P_STATE),
                      "the machine needs what is mounted there");
    return true;
}

/* --- observe */

static Value *option_list(const char *options) {
    Value *list = value_new_list();
    value_list_append(list, value_new_string(options));
    return list;
}

static void set_text(State *actual, unsigned param, const char *text) {
    state_set(actual, param, value_new_string(text));
}

static void set_number(State *actual, unsigned param, const char *text) {
    state_set(actual, param, value_new_int(text != NULL ? g_ascii_strtoll(text, NULL, 10) : 0));
}

static void observe_line(const FstabLine *line, State *actual) {
    set_text(actual, P_DEVICE, line->fields[FSTAB_DEVICE]);
    set_text(actual, P_FSTYPE, line->fields[FSTAB_TYPE]);
    state_set(actual, P_OPTIONS,
              option_list(line->fields[FSTAB_OPTIONS] ? line->fields[FSTAB_OPTIONS] : "defaults"));
    set_number(actual, P_DUMP, line->fields[FSTAB_DUMP]);
    set_number(actual, P_PASS, line->fields[FSTAB_PASS]);
}

static void observe_live(const Look *look, State *actual) {
    bool bound = live_is_bound(look->live);
    g_autofree char *device = live_device(look->table, look->live);
    g_autofree char *options = live_options(look->live, bound);
    set_text(actual, P_DEVICE, device);
    set_text(actual, P_FSTYPE, bound ? "none" : look->live->fstype);
    state_set(actual, P_OPTIONS, option_list(options));
}

static bool mount_observe(KindRun *run, State *actual, GError **error) {
    g_auto(Look) look = { 0 };
    if (!look_at(run, &look, error))
        return false;
    bool mounted = look.live != NULL;
    bool line = look.has_line || look.line_unknown;
    actual->exists = line || mounted;
    set_text(actual, P_STATE,
             !line         ? mounted ? "ephemeral" : "absent"
             : !look.table ? "defined"
             : mounted     ? "mounted"
                           : "unmounted");
    if (look.has_line)
        observe_line(&look.found, actual);
    else if (mounted)
        observe_live(&look, actual);
    return true;
}

/* --- diff */

static bool same_field(unsigned field, const char *found, const char *wanted) {
    if (field == FSTAB_OPTIONS)
        return mount_options_equal(found, wanted);
    if (field == FSTAB_DUMP || field == FSTAB_PASS)
        return g_strcmp0(found != NULL ? found : "0", wanted) == 0;
    return field == FSTAB_POINT || g_strcmp0(found, wanted) == 0;
}

static Value *field_value(const char *text) {
    return text != NULL ? value_new_string(text) : NULL;
}

static void diff_line(const Look *look, const Wants *wants, Changes *changes) {
    static const unsigned rows[N_FSTAB] = {
        [FSTAB_DEVICE] = P_DEVICE, [FSTAB_TYPE] = P_FSTYPE, [FSTAB_OPTIONS] = P_OPTIONS,
        [FSTAB_DUMP] = P_DUMP,     [FSTAB_PASS] = P_PASS,
    };
    for (unsigned i = 0; i < N_FSTAB; i++) {
        const char *found = look->has_line ? look->found.fields[i] : NULL;
        const char *wanted = wants->line ? look->wanted.fields[i] : NULL;
        bool same = wants->line ? look->has_line && same_field(i, found, wanted)
                                : !wants->no_line || found == NULL;
        if (!same && i != FSTAB_POINT)
            changes_add(changes, params[rows[i]].name, field_value(found), field_value(wanted),
                        NULL);
    }
}

static bool edit_line(const void *data, GBytes *before, GString *out, GError **error);

static bool has_line_change(const Changes *changes) {
    static const unsigned rows[] = { P_DEVICE, P_FSTYPE, P_OPTIONS, P_DUMP, P_PASS };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
        if (changes_find(changes, params[rows[i]].name) != NULL)
            return true;
    return false;
}

static Edit edit_of(const KindRun *run) {
    return (Edit){
        .path = FSTAB,
        .create = true,
        .remove_empty = edit_was_created(run),
        .edit = edit_line,
        .data = run->resource,
    };
}

static void add_lines(KindRun *run, Changes *changes) {
    if (!has_line_change(changes))
        return;
    Edit edit = edit_of(run);
    changes->lines = edit_diff(run, &edit);
}

/* Also what a plan cannot know: then it is no matter of the plan. */
static bool is_there(Host *host, const char *path) {
    FileInfo info;
    return host_stat(host, path, &info, NULL);
}

static bool needs_mount_point(KindRun *run, const Look *look) {
    return resource_bool(run->resource, P_MKDIR) && !is_there(run->host, look->place);
}

static void add_yes_no(Changes *changes, const char *property, bool after) {
    changes_add(changes, property, value_new_bool(!after), value_new_bool(after), NULL);
}

static bool refuse_protected(const Look *look, GError **error) {
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                "refuse to unmount '%s': the machine needs what is mounted there; to change it "
                "at the next boot, say state = \"defined\"",
                look->place);
    return false;
}

/* What is mounted is compared only where it is to be mounted. */
static bool diff_live(KindRun *run, const Look *look, const Wants *wants, Changes *changes,
                      LiveState *ret_state, GError **error) {
    *ret_state = LIVE_RIGHT;
    if (look->table == NULL)
        return true;
    if (wants->live && look->live == NULL) {
        if (needs_mount_point(run, look))
            changes_add(changes, "mount point", NULL, value_new_string("made"), NULL);
        add_yes_no(changes, "mounted", true);
    } else if (wants->live) {
        MountSpec spec = spec_of(look);
        *ret_state = live_compare(run->host, look->table, look->live, &spec, changes);
    } else if (wants->no_live && look->live != NULL) {
        add_yes_no(changes, "mounted", false);
    }
    bool ends = *ret_state == LIVE_REPLACE || (wants->no_live && look->live != NULL);
    return !ends || !live_is_protected(look->place) || refuse_protected(look, error);
}

static bool check_device(const KindRun *run, const Look *look, const Wants *wants, GError **error) {
    bool needed = wants->line || (wants->live && look->live == NULL);
    if (!needed || look->wanted.fields[FSTAB_DEVICE] != NULL || look->line_unknown ||
        resource_is_unknown(run->resource, P_DEVICE))
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                "'device' is required: '%s' has no line for '%s' that says it", FSTAB, look->point);
    return false;
}

static Action action_of(const Look *look, const Wants *wants, LiveState state) {
    if (wants->no_line && wants->no_live)
        return ACTION_REMOVE;
    if (!look->has_line && look->live == NULL)
        return ACTION_CREATE;
    return state == LIVE_REPLACE ? ACTION_REPLACE : ACTION_CHANGE;
}

static bool mount_diff(KindRun *run, const State *actual, Changes *changes, GError **error) {
    g_auto(Look) look = { 0 };
    if (!look_at(run, &look, error))
        return false;
    Wants wants = wants_of(run->resource);
    LiveState state;
    if (!check_device(run, &look, &wants, error))
        return false;
    if (look.line_unknown || resource_is_unknown(run->resource, P_DEVICE)) {
        changes->uncertain = true;
        changes->action = ACTION_CHANGE;
        changes_add(changes, "device", value_ref(state_get(actual, P_DEVICE)), value_new_unknown(),
                    NULL);
        return true;
    }
    diff_line(&look, &wants, changes);
    add_lines(run, changes);
    if (!diff_live(run, &look, &wants, changes, &state, error))
        return false;
    if (changes->changes->len > 0)
        changes->action = action_of(&look, &wants, state);
    else if (run->refresh && wants.live && look.live != NULL && !live_is_automount(look.live))
        changes->action = ACTION_RESTART;
    return true;
}

/* --- apply: fstab */

static bool edit_line(const void *data, GBytes *before, GString *out, GError **error) {
    const Resource *resource = data;
    g_autofree char *point = fstab_point(resource_string(resource, P_PATH));
    g_auto(EditText) text;
    edit_text_init(&text, before);
    g_auto(FstabLine) found = { 0 }, wanted = { 0 };
    size_t at = fstab_find(&text, point, 0, &found);
    if (wants_of(resource).no_line) {
        size_t done = 0;
        for (; at < text.n_lines; at = fstab_find(&text, point, done, &found)) {
            edit_append_lines(out, &text, done, at);
            done = at + 1;
            fstab_line_clear(&found);
        }
        edit_append_lines(out, &text, done, text.n_lines);
        return true;
    }
    merge_line(resource, point, &found, &wanted);
    bool there = at < text.n_lines;
    g_autofree char *line = fstab_line_print(&wanted, there ? &text.lines[at] : NULL);
    edit_splice(out, &text, at, there ? at + 1 : at, line);
    return true;
}

/* Units are made from fstab. Where no systemd runs there are none. */
static bool reload_units(KindRun *run, GError **error) {
    g_autoptr(GError) problem = NULL;
    if (host_unit_apply(run->host, "", false, UNIT_DAEMON_RELOAD, run->cancel, &problem) ||
        g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_UNSUPPORTED))
        return true;
    g_propagate_error(error, g_steal_pointer(&problem));
    return false;
}

static bool apply_line(KindRun *run, const Changes *changes, GError **error) {
    if (!has_line_change(changes))
        return true;
    Edit edit = edit_of(run);
    return edit_apply(run, &edit, error) && reload_units(run, error);
}

/* --- apply: what is kept with the resource */

#define KEPT_FILE        "created" /* fstab did not exist: see edit.h */
#define KEPT_DIRECTORIES "made"    /* what was made for the mount point, from the top down */

/* What is kept already stays. Takes ownership of value. */
static void keep(KindRun *run, const char *key, Value *value) {
    static const char *const keys[] = { KEPT_FILE, KEPT_DIRECTORIES };
    const Value *before = run->keep != NULL ? run->keep : run->kept;
    Value *map = value_new_map();
    for (size_t i = 0; before != NULL && i < G_N_ELEMENTS(keys); i++)
        if (value_map_get(before, keys[i]) != NULL)
            value_map_set(map, keys[i], value_ref(value_map_get(before, keys[i])));
    value_map_set(map, key, value);
    kind_run_keep(run, map);
}

static void keep_file(KindRun *run) {
    if (!host_exists(run->host, FSTAB))
        keep(run, KEPT_FILE, value_new_bool(true));
}

static const Value *kept_directories(const KindRun *run) {
    const Value *kept = run->keep != NULL ? run->keep : run->kept;
    return kept != NULL ? value_map_get(kept, KEPT_DIRECTORIES) : NULL;
}

static void keep_directory(KindRun *run, const char *path) {
    const Value *before = kept_directories(run);
    Value *list = value_new_list();
    for (size_t i = 0; before != NULL && i < value_size(before); i++)
        value_list_append(list, value_ref(value_list_at(before, i)));
    value_list_append(list, value_new_string(path));
    keep(run, KEPT_DIRECTORIES, list);
}

static bool make_place(KindRun *run, const char *path, bool file, GError **error) {
    FileInfo info;
    g_autoptr(GError) problem = NULL;
    if (host_stat(run->host, path, &info, &problem))
        return true;
    if (!g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND)) {
        g_propagate_error(error, g_steal_pointer(&problem));
        return false;
    }
    g_autofree char *above = g_path_get_dirname(path);
    if (!make_place(run, above, false, error))
        return false;
    keep_directory(run, path);
    if (!file)
        return host_make_directory(run->host, path, NULL, error) || hint_io(run, path, error);
    g_autoptr(GBytes) empty = g_bytes_new_static("", 0);
    return host_write(run->host, path, empty, NULL, error) || hint_io(run, path, error);
}

/* What was made for it goes again, as long as nothing else is in it. */
static void remove_places(KindRun *run) {
    const Value *made = kept_directories(run);
    for (size_t i = made != NULL ? value_size(made) : 0; i-- > 0;)
        if (!host_remove(run->host, value_string(value_list_at(made, i)), NULL))
            return;
}

/* --- apply: mounting */

static bool do_mount(KindRun *run, const MountSpec *spec, bool remount, GError **error) {
    MountRequest request = { .source = spec->device,
                             .point = spec->point,
                             .fstype = spec->fstype,
                             .options = spec->options,
                             .remount = remount,
                             .cancel = run->cancel };
    return host_mount(run->host, &request, error);
}

static bool mount_new(KindRun *run, const MountSpec *spec, GError **error) {
    FileInfo info;
    bool file = mount_options_bind(spec->options) &&
                host_stat(run->host, spec->device, &info, NULL) && info.type == FILE_REGULAR;
    return (!resource_bool(run->resource, P_MKDIR) || make_place(run, spec->point, file, error)) &&
           do_mount(run, spec, false, error);
}

static bool unmount(KindRun *run, const char *point, GError **error) {
    g_autoptr(GError) problem = NULL;
    bool force = resource_bool(run->resource, P_FORCE);
    if (host_unmount(run->host, point, false, run->cancel, &problem))
        return true;
    if (force && host_unmount(run->host, point, true, run->cancel, NULL)) {
        kind_run_note(run, "was in use; programs keep what they have open");
        return true;
    }
    g_propagate_error(error, g_steal_pointer(&problem));
    return false;
}

/* One on the other: *ret_again when something shows again that is not to be there. spec: what would
 * be right to show; NULL: nothing. */
static bool unmount_top(KindRun *run, Look *look, const MountSpec *spec, bool *ret_again,
                        GError **error) {
    if (!unmount(run, look->place, error))
        return false;
    g_clear_pointer(&look->place, g_free);
    g_clear_pointer(&look->table, mount_table_free);
    if (!look_at_mount(run, look, error))
        return false;
    *ret_again = look->live != NULL &&
                 (spec == NULL ||
                  live_compare(run->host, look->table, look->live, spec, NULL) == LIVE_REPLACE);
    return true;
}

static bool unmount_all(KindRun *run, Look *look, GError **error) {
    bool again = look->live != NULL;
    for (int i = 0; again && i < LAYERS_MAX; i++)
        if (!unmount_top(run, look, NULL, &again, error))
            return false;
    return true;
}

/* When the new one cannot be mounted, the old one comes back. */
static bool replace(KindRun *run, Look *look, const MountSpec *spec, GError **error) {
    bool bound = live_is_bound(look->live), again = true;
    g_autofree char *place = g_strdup(look->place), *type = g_strdup(look->live->fstype);
    g_autofree char *device = live_device(look->table, look->live);
    g_autofree char *options = live_options(look->live, bound);
    MountSpec old = { place, device, type, options }, new = *spec;
    g_autoptr(GError) lost = NULL;
    new.point = place;
    for (int i = 0; again && i < LAYERS_MAX; i++)
        if (!unmount_top(run, look, &new, &again, error))
            return false;
    if (look->live != NULL && !again)
        return live_compare(run->host, look->table, look->live, &new, NULL) == LIVE_RIGHT ||
               do_mount(run, &new, true, error);
    if (do_mount(run, &new, false, error))
        return true;
    if (do_mount(run, &old, false, &lost))
        g_prefix_error(error, "what was mounted there is mounted again: ");
    else
        g_prefix_error(error, "what was mounted there is lost (%s): ", lost->message);
    return false;
}

static bool apply_live(KindRun *run, Look *look, const Wants *wants, const Changes *changes,
                       GError **error) {
    MountSpec spec = spec_of(look);
    if (look->table == NULL)
        return true;
    if (wants->no_live)
        return unmount_all(run, look, error);
    if (!wants->live || live_is_automount(look->live))
        return true;
    if (look->live == NULL)
        return mount_new(run, &spec, error);
    LiveState state = live_compare(run->host, look->table, look->live, &spec, NULL);
    if (state == LIVE_REPLACE)
        return replace(run, look, &spec, error);
    bool again = state == LIVE_REMOUNT || changes->action == ACTION_RESTART ||
                 (wants->line && look->has_line && changes_find(changes, "options") != NULL);
    return !again || do_mount(run, &spec, true, error);
}

/* The running machine first: a line that cannot be mounted would keep it from booting. */
static bool mount_apply(KindRun *run, const State *actual, const Changes *changes, GError **error) {
    g_auto(Look) look = { 0 };
    if (changes->uncertain && run->planning)
        return true;
    if (!look_at(run, &look, error))
        return false;
    Wants wants = wants_of(run->resource);
    if (wants.line)
        keep_file(run);
    if (!apply_live(run, &look, &wants, changes, error) || !apply_line(run, changes, error))
        return false;
    if (wants.no_line && wants.no_live)
        remove_places(run);
    return true;
}

/* --- the rest */

static bool mount_watch(Watcher *watcher, const Resource *resource, GError **error) {
    g_autofree char *point = fstab_point(resource_string(resource, P_PATH));
    return watcher_host(watcher, HOST_WATCH_FILE, FSTAB, error) &&
           watcher_host(watcher, HOST_WATCH_MOUNT, point, error);
}

/* Paths above path, nearest first, with path itself when asked for. */
static char **paths_above(const char *path, bool itself) {
    GPtrArray *list = g_ptr_array_new();
    g_autofree char *at = fstab_point(path);
    if (itself)
        g_ptr_array_add(list, g_strdup(at));
    while (strcmp(at, "/") != 0) {
        char *above = g_path_get_dirname(at);
        g_ptr_array_add(list, g_strdup(above));
        g_free(at);
        at = above;
    }
    g_ptr_array_add(list, NULL);
    return (char **)g_ptr_array_free(list, FALSE);
}

static void want_source(AutoEdges *edges, const char *path) {
    g_auto(GStrv) mounts = paths_above(path, true);
    auto_edges_want(edges, "path", path, true);
    auto_edges_want_parent(edges, path);
    auto_edges_want_first(edges, "mount", mounts, true);
}

/* Directories that a file system is made of. */
static void want_layers(AutoEdges *edges, const char *options) {
    static const char *const names[] = { "lowerdir", "upperdir", "workdir" };
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *value = mount_options_value(options, names[i]);
        g_auto(GStrv) paths = g_strsplit(value != NULL ? value : "", ":", -1);
        for (char **path = paths; *path != NULL; path++)
            if (**path == '/')
                want_source(edges, *path);
    }
}

static void mount_auto_edges(const Resource *resource, AutoEdges *edges) {
    g_autofree char *point = fstab_point(resource_string(resource, P_PATH));
    g_autofree char *options = joined_options(resource);
    g_auto(GStrv) above = paths_above(point, false);
    const char *device = resource_string(resource, P_DEVICE);
    auto_edges_am(edges, "mount", point);
    auto_edges_am(edges, "edits", FSTAB);
    auto_edges_own(edges, point);
    auto_edges_want(edges, "path", FSTAB, true);
    auto_edges_want(edges, "path", point, true);
    auto_edges_want_parent(edges, point);
    auto_edges_want_first(edges, "mount", above, true);
    if (device != NULL && *device == '/')
        want_source(edges, device);
    if (options != NULL)
        want_layers(edges, options);
}

/* What the machine needs stays mounted, whoever mounted it. */
static Resource *mount_reverse(const Resource *resource, const State *before, OnRemove how,
                               GError **error) {
    static const unsigned rows[] = { P_DEVICE, P_FSTYPE, P_OPTIONS, P_DUMP, P_PASS };
    g_autofree char *point = fstab_point(resource_string(resource, P_PATH));
    bool existed = before != NULL && before->exists && how != ON_REMOVE_REMOVE;
    const char *state = existed                    ? value_string(state_get(before, P_STATE))
                        : live_is_protected(point) ? "ephemeral"
                                                   : "absent";
    Resource *inverse = resource_copy(resource);
    resource_put(inverse, P_STATE, value_new_string(state));
    resource_put(inverse, P_ATBOOT, NULL);
    for (size_t i = 0; existed && i < G_N_ELEMENTS(rows); i++)
        if (state_get(before, rows[i]) != NULL)
            resource_put(inverse, rows[i], value_ref(state_get(before, rows[i])));
    return inverse;
}

/* Whether the kill came before or after systemd was told is not known. */
static bool mount_clean(KindRun *run, GError **error) {
    return edit_clean(run, FSTAB, error) && reload_units(run, error);
}

const Kind kind_mount = {
    .name = "mount",
    .summary = "Mount a file system, now and at boot",
    .help =
        "Keeps a line of /etc/fstab and what is mounted at its mount point in agreement with the "
        "configuration, each for itself: an edited line is mended, what somebody has unmounted is "
        "mounted again, and other options lead to a remount. All other lines and comments of "
        "fstab stay byte for byte. systemd reads fstab anew after each change of the line.\n\n"
        "Options are a set. What the kernel adds (relatime, seclabel), what only programs read "
        "(nofail, noauto, _netdev, x-systemd.*) and how numbers are spelled (size=64m, "
        "mode=0755) is no difference; nor is what the kernel does not show. Flags such as ro, "
        "nosuid and noatime count also where they are not asked for, so that a mount that was made "
        "read-only by hand is made writable again; only file systems of servers, of programs "
        "(fuse) and of read-only media decide on these by themselves. When another device, type "
        "or layer is mounted than asked for, it is unmounted first; if the new one cannot be "
        "mounted, the old one comes back. With x-systemd.automount it is enough that systemd "
        "waits for the first access.\n\n"
        "What is in use is never unmounted: the error names who uses it, and `force = true` "
        "unmounts lazily. What the machine needs (/, /usr, /var, /run, all of /proc, /sys and "
        "/dev, ...) is not unmounted at all. A mount or unmount that takes longer than two "
        "minutes is given up.\n\n"
        "A mount comes after the mount it is in, the directory it binds, and the `file` that is "
        "its mount point; files below the mount point come after it. A file that is the mount "
        "point is looked at through the mount as soon as there is one, so it should have the "
        "owner and mode that the mounted file system has. A notification remounts. Swap "
        "is no mount. Below `--root` only fstab is kept.\n\n"
        "When the resource leaves the configuration it is unmounted and its line removed, or both "
        "become what they were; a mount point that was made goes if it is empty.",
    .example = "mount \"/srv/cache\" {\n"
               "  device = \"tmpfs\", fstype = \"tmpfs\", options = \"size=64m,mode=0755,nodev\",\n"
               "}\n"
               "mount \"/srv/www\" { device = \"/srv/data/www\", options = { \"bind\", \"ro\" } }\n"
               "mount \"/srv/data\" {\n"
               "  device = \"LABEL=data\", fstype = \"ext4\", options = \"noatime,nofail\", "
               "pass = 2,\n"
               "}\n",
    .params = params,
    .n_params = N_PARAMS,
    .flags = KIND_REFRESHES,
    .validate = mount_validate,
    .observe = mount_observe,
    .diff = mount_diff,
    .apply = mount_apply,
    .watch = mount_watch,
    .auto_edges = mount_auto_edges,
    .reverse = mount_reverse,
    .clean = mount_clean,
};
