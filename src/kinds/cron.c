/* cron: one entry of a crontab. */
#include <string.h>

#include "graph/autoedge.h"
#include "graph/watcher.h"
#include "host/accounts.h"
#include "kinds/account.h"
#include "kinds/cron-table.h"
#include "kinds/entry.h"
#include "kinds/kinds.h"
#include "kinds/safe-path.h"

enum {
    P_TITLE,
    P_STATE,
    P_COMMAND,
    P_USER,
    P_MINUTE,
    P_HOUR,
    P_MONTHDAY,
    P_MONTH,
    P_WEEKDAY,
    P_SPECIAL,
    P_ENVIRONMENT,
    P_TARGET,
    N_PARAMS
};

#define TABLES       "/var/spool/cron/crontabs"
#define SYSTEM       "/etc/cron.d/"
#define TABLES_GROUP "crontab"
#define COMMAND_MAX  998 /* as crontab(1) takes it */

static const char *const states[] = { "exists", "absent", "present", NULL };

static const Param params[N_PARAMS] = {
    [P_TITLE] = { "title", PARAM_STRING, PARAM_NAMED | PARAM_IDENTITY | PARAM_PROPERTY,
                  "Name of the entry in the table, in a comment above it." },
    [P_STATE] = { "state", PARAM_ENUM, 0, "Whether the entry is there or not.",
                  .fallback = "exists", .choices = states, .aliases = "ensure" },
    [P_COMMAND] = { "command", PARAM_STRING, PARAM_PROPERTY | PARAM_RECEIVES,
                    "What is run, in one line. A '%' that is not written \\% ends the line for "
                    "cron. Needed unless the state is absent." },
    [P_USER] = { "user", PARAM_STRING, PARAM_IDENTITY | PARAM_PROPERTY | PARAM_REWATCH,
                 "Who runs it.", .fallback = "root" },
    [P_MINUTE] = { "minute", PARAM_STRINGS, PARAM_PROPERTY,
                   "Minutes: 0 to 59, '*', ranges such as '10-20', steps such as '*/5', or "
                   "several of them as a list." },
    [P_HOUR] = { "hour", PARAM_STRINGS, PARAM_PROPERTY, "Hours: 0 to 23, likewise. Unset: all." },
    [P_MONTHDAY] = { "monthday", PARAM_STRINGS, PARAM_PROPERTY,
                     "Days of the month: 1 to 31, likewise. Unset: all." },
    [P_MONTH] = { "month", PARAM_STRINGS, PARAM_PROPERTY,
                  "Months: 1 to 12 or names such as 'jan', likewise. Unset: all." },
    [P_WEEKDAY] = { "weekday", PARAM_STRINGS, PARAM_PROPERTY,
                    "Days of the week: 0 to 7, where both are Sunday, or names such as 'mon', "
                    "likewise. Unset: all." },
    [P_SPECIAL] = { "special", PARAM_ENUM, PARAM_PROPERTY,
                    "A word that stands for all five of them.", .fallback = "",
                    .choices = cron_specials },
    [P_ENVIRONMENT] = { "environment", PARAM_STRINGS, PARAM_PROPERTY,
                        "Settings for the command, 'NAME=value' each. cron gives them to every "
                        "entry that follows in the file as well: a file of its own by `target` "
                        "keeps them apart.",
                        .fallback = "" },
    [P_TARGET] = { "target", PARAM_PATH, PARAM_IDENTITY | PARAM_REWATCH,
                   "A file in /etc/cron.d to put the entry in, instead of the user's crontab." },
};

static const unsigned time_params[N_CRON_FIELDS] = {
    [CRON_MINUTE] = P_MINUTE, [CRON_HOUR] = P_HOUR,       [CRON_MONTHDAY] = P_MONTHDAY,
    [CRON_MONTH] = P_MONTH,   [CRON_WEEKDAY] = P_WEEKDAY,
};

/* The resource, decoded. */
typedef struct {
    const Resource *resource;
    CronTable table;
    CronEntry entry; /* command is NULL when absent, or not known yet */
    bool absent;
    char *path; /* without links; NULL: there is no table */
    FileAttributes attributes;
} CronSpec;

static void cron_spec_clear(CronSpec *spec) {
    cron_entry_clear(&spec->entry);
    g_clear_pointer(&spec->path, g_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(CronSpec, cron_spec_clear)

static bool wants_absent(const Resource *resource) {
    return strcmp(resource_string(resource, P_STATE), "absent") == 0;
}

/* --- when */

/* Puppet's word for a parameter that is not set. */
static bool is_set(const Resource *resource, unsigned param) {
    const Value *list = resource_get(resource, param);
    return list != NULL && value_size(list) > 0 &&
           strcmp(value_string(value_list_at(list, 0)), "absent") != 0;
}

/* The field as it is written. */
static char *field_raw(const Resource *resource, CronField field) {
    const Value *list = resource_get(resource, time_params[field]);
    if (!is_set(resource, time_params[field]))
        return g_strdup("*");
    GString *text = g_string_new(NULL);
    for (size_t i = 0; i < value_size(list); i++)
        g_string_append_printf(text, "%s%s", i > 0 ? "," : "",
                               value_string(value_list_at(list, i)));
    return g_string_free(text, FALSE);
}

/* As it stands on the line. What was found there and is restored need not be what we would take. */
static char *field_text(const Resource *resource, CronField field) {
    g_autofree char *raw = field_raw(resource, field);
    char *plain = cron_field_parse(field, raw, NULL);
    return plain != NULL ? plain : g_steal_pointer(&raw);
}

static Value *items_value(const char *text) {
    g_auto(GStrv) items = g_strsplit(text, ",", -1);
    return account_set_value((const char *const *)items);
}

/* --- where */

static void set_user_table(KindRun *run, const User *user, CronSpec *spec) {
    spec->attributes = (FileAttributes){ .set = FILE_SET_MODE, .mode = 0600 };
    if (!host_is_privileged(run->host))
        return;
    spec->attributes.set |= FILE_SET_UID;
    spec->attributes.uid = user->uid;
    if (accounts_gid(run->host, TABLES_GROUP, &spec->attributes.gid, NULL))
        spec->attributes.set |= FILE_SET_GID;
}

/* What cron refuses to read is put right, the rest stays somebody's decision. */
static bool set_system_table(KindRun *run, CronSpec *spec, GError **error) {
    g_autoptr(GError) problem = NULL;
    FileInfo info = { .mode = 0644 };
    bool there = host_stat(run->host, spec->path, &info, &problem);
    if (!there && !g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND)) {
        g_propagate_error(error, g_steal_pointer(&problem));
        return false;
    }
    spec->attributes = (FileAttributes){ .set = FILE_SET_MODE, .mode = info.mode & ~(mode_t)022 };
    if (host_is_privileged(run->host))
        spec->attributes.set |= FILE_SET_UID;
    return true;
}

static bool set_place(KindRun *run, CronSpec *spec, GError **error) {
    const char *target = resource_string(run->resource, P_TARGET);
    const char *name = resource_string(run->resource, P_USER);
    if (target != NULL) {
        spec->path = safe_path(run->host, target, error);
        return spec->path != NULL && set_system_table(run, spec, error);
    }
    g_autoptr(User) user = NULL;
    if (!account_owner(run, name, spec->absent, &user, error))
        return false;
    g_autofree char *path = g_build_filename(TABLES, name, NULL);
    if (user == NULL)
        return true;
    set_user_table(run, user, spec);
    spec->path = safe_path(run->host, path, error);
    return spec->path != NULL;
}

static bool cron_spec_init(KindRun *run, CronSpec *spec, GError **error) {
    const Resource *resource = run->resource;
    const char *target = resource_string(resource, P_TARGET);
    const Value *environment = resource_get(resource, P_ENVIRONMENT);
    *spec = (CronSpec){ .resource = resource, .absent = wants_absent(resource) };
    spec->table = (CronTable){ .system = target != NULL, .created = edit_was_created(run) };
    spec->entry.title = g_strdup(resource_string(resource, P_TITLE));
    spec->entry.special = g_strdup(resource_string(resource, P_SPECIAL));
    if (!spec->absent) /* what is to be gone is known by its title alone */
        spec->entry.command = g_strdup(resource_string(resource, P_COMMAND));
    if (spec->entry.command != NULL)
        g_strstrip(spec->entry.command);
    if (target != NULL)
        spec->entry.user = g_strdup(resource_string(resource, P_USER));
    size_t n = environment != NULL ? value_size(environment) : 0;
    spec->entry.environment = g_new0(char *, n + 1);
    for (size_t i = 0; i < n; i++)
        spec->entry.environment[i] =
            cron_environment_parse(value_string(value_list_at(environment, i)));
    for (unsigned i = 0; i < N_CRON_FIELDS; i++)
        spec->entry.fields[i] =
            *spec->entry.special != '\0' ? g_strdup("") : field_text(resource, (CronField)i);
    return set_place(run, spec, error);
}

/* --- the entry */

static void cron_find(const void *data, GBytes *bytes, State *actual) {
    const CronSpec *spec = data;
    const Resource *resource = spec->resource;
    g_auto(CronEntry) found = { 0 };
    if (!cron_table_find(&spec->table, bytes, &spec->entry, &found))
        return;
    actual->exists = true;
    state_set(actual, P_TITLE, value_new_string(found.title));
    state_set(actual, P_COMMAND, edit_value(resource, P_COMMAND, found.command));
    state_set(
        actual, P_USER,
        value_new_string(found.user != NULL ? found.user : resource_string(resource, P_USER)));
    for (unsigned i = 0; i < N_CRON_FIELDS; i++)
        state_set(actual, time_params[i], items_value(found.fields[i]));
    state_set(actual, P_SPECIAL, value_new_string(found.special));
    g_autoptr(Value) environment = account_set_value((const char *const *)found.environment);
    const Value *given = resource_get(resource, P_ENVIRONMENT);
    state_set(actual, P_ENVIRONMENT,
              given != NULL && value_is_secret(given) ? value_as_secret(environment, NULL)
                                                      : value_ref(environment));
}

static Value *wanted_environment(const CronSpec *spec) {
    const Value *given = resource_get(spec->resource, P_ENVIRONMENT);
    Value *list = account_set_value((const char *const *)spec->entry.environment);
    if (given == NULL || !value_is_secret(given))
        return list;
    g_autoptr(Value) plain = list;
    return value_as_secret(plain, NULL);
}

static Value *cron_wanted(const void *data, unsigned param) {
    const CronSpec *spec = data;
    if (param == P_COMMAND)
        return spec->entry.command != NULL
                   ? edit_value(spec->resource, P_COMMAND, spec->entry.command)
                   : value_new_unknown();
    if (param == P_ENVIRONMENT)
        return wanted_environment(spec);
    for (unsigned i = 0; i < N_CRON_FIELDS; i++)
        if (time_params[i] == param)
            return items_value(spec->entry.fields[i]);
    return value_ref(resource_get(spec->resource, param));
}

static bool cron_edit(const void *data, GBytes *before, GString *out, GError **error) {
    const CronSpec *spec = data;
    if (spec->absent)
        cron_table_remove(&spec->table, before, spec->entry.title, out);
    else
        cron_table_set(&spec->table, before, &spec->entry, out);
    return true;
}

static Entry entry_of(const CronSpec *spec) {
    return (Entry){
        .path = spec->path,
        .absent = spec->absent,
        .trusted = true,
        .attributes = spec->attributes,
        .data = spec,
        .find = cron_find,
        .wanted = cron_wanted,
        .edit = cron_edit,
    };
}

/* --- validation */

static bool refuse(GError **error, const char *problem) {
    g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_CONFIG, problem);
    return false;
}

static bool check_times(const Resource *resource, GError **error) {
    bool any = false, special = *resource_string(resource, P_SPECIAL) != '\0';
    for (unsigned i = 0; i < N_CRON_FIELDS; i++) {
        g_autofree char *raw = field_raw(resource, (CronField)i);
        g_autofree char *text = cron_field_parse((CronField)i, raw, error);
        if (text == NULL)
            return false;
        any |= is_set(resource, time_params[i]);
    }
    if (special && any)
        return refuse(error, "'special' stands for minute, hour, monthday, month and weekday: set "
                             "either it or them");
    if (!special && !any)
        return refuse(error, "say when: minute, hour, monthday, month or weekday, or special = "
                             "\"daily\"");
    if (!special && !is_set(resource, P_MINUTE))
        return refuse(error, "'minute' is not set, so it would run in every minute of these hours: "
                             "set minute = 0, or minute = \"*\" if that is meant");
    return true;
}

/* cron passes over files in /etc/cron.d with other names. */
static bool check_target(const char *target, GError **error) {
    const char *name = g_str_has_prefix(target, SYSTEM) ? target + strlen(SYSTEM) : "";
    size_t good = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
    if (good > 0 && name[good] == '\0')
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                "refuse target '%s': cron reads files directly in /etc/cron.d whose names have "
                "letters, digits, '_' and '-' only; for a user's crontab leave it unset",
                target);
    return false;
}

static bool check_command(const Resource *resource, GError **error) {
    const char *command = resource_string(resource, P_COMMAND);
    const Value *environment = resource_get(resource, P_ENVIRONMENT);
    if (command == NULL && !resource_is_unknown(resource, P_COMMAND) &&
        !resource_receives(resource, P_COMMAND))
        return refuse(error, "'command' is required");
    if (command != NULL &&
        (strpbrk(command, "\r\n") != NULL || command[strspn(command, " \t")] == '\0'))
        return refuse(error, "command must be one line, and not empty");
    if (command != NULL && strlen(command) > COMMAND_MAX)
        return refuse(error, "command is longer than the 998 characters that cron takes: put it "
                             "into a script");
    for (size_t i = 0; environment != NULL && i < value_size(environment); i++) {
        const char *text = value_string(value_list_at(environment, i));
        g_autofree char *setting = cron_environment_parse(text);
        if (setting != NULL && strpbrk(text, "\r\n") == NULL)
            continue;
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "refuse setting %zu of environment: it must be 'NAME=value' in one line",
                    i + 1);
        return false;
    }
    return true;
}

static bool cron_validate(const Resource *resource, GError **error) {
    const char *title = resource_string(resource, P_TITLE);
    const char *target = resource_string(resource, P_TARGET);
    if (*title == '\0' || strpbrk(title, "\r\n") != NULL || g_ascii_isspace(title[0]) ||
        g_ascii_isspace(title[strlen(title) - 1]))
        return refuse(error, "title must be one line without blanks around it, and not empty");
    if (!account_name_check("user", resource_string(resource, P_USER), error) ||
        (target != NULL && !check_target(target, error)))
        return false;
    return wants_absent(resource) ||
           (check_command(resource, error) && check_times(resource, error));
}

/* --- callbacks */

static bool cron_observe(KindRun *run, State *actual, GError **error) {
    g_auto(CronSpec) spec = { 0 };
    if (!cron_spec_init(run, &spec, error))
        return false;
    if (spec.path == NULL)
        return true;
    Entry entry = entry_of(&spec);
    return entry_observe(run, &entry, actual, error);
}

static bool cron_diff(KindRun *run, const State *actual, Changes *changes, GError **error) {
    g_auto(CronSpec) spec = { 0 };
    if (!cron_spec_init(run, &spec, error))
        return false;
    if (spec.path != NULL) {
        Entry entry = entry_of(&spec);
        return entry_diff(run, &entry, actual, changes, error);
    }
    if (spec.absent || run->reason == REASON_VERIFY)
        return true;
    kind_run_note(run, "needs user '%s', which only what goes before it may make",
                  resource_string(run->resource, P_USER));
    changes->action = ACTION_CREATE;
    changes->uncertain = true;
    changes_add(changes, "command", NULL, value_ref(resource_get(run->resource, P_COMMAND)), NULL);
    return true;
}

/* The directory of the tables comes with cron, which what goes first in a plan may bring. */
static bool check_directory(KindRun *run, const CronSpec *spec, GError **error) {
    g_autofree char *directory = g_path_get_dirname(spec->path);
    g_autoptr(GError) problem = NULL;
    FileInfo info;
    if (spec->absent || host_stat(run->host, directory, &info, &problem))
        return true;
    if (!g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND)) {
        g_propagate_error(error, g_steal_pointer(&problem));
        return false;
    }
    if (run->brought || spec->table.system) {
        if (run->brought)
            kind_run_note(run, "needs '%s', which comes with cron", directory);
        return host_make_parents(run->host, spec->path, error);
    }
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND,
                "there is no '%s', so cron is not installed; declare it: pkg \"cron\" {}",
                directory);
    return false;
}

static bool cron_apply(KindRun *run, const State *actual, const Changes *changes, GError **error) {
    g_auto(CronSpec) spec = { 0 };
    if (!cron_spec_init(run, &spec, error))
        return false;
    if (spec.path == NULL || (changes->uncertain && run->planning))
        return true;
    Entry entry = entry_of(&spec);
    return check_directory(run, &spec, error) && entry_apply(run, &entry, changes, error);
}

static char *table_path(const Resource *resource) {
    const char *target = resource_string(resource, P_TARGET);
    return target != NULL ? g_strdup(target)
                          : g_build_filename(TABLES, resource_string(resource, P_USER), NULL);
}

static bool cron_watch(Watcher *watcher, const Resource *resource, GError **error) {
    g_autofree char *path = table_path(resource);
    return watcher_host(watcher, HOST_WATCH_FILE, path, error);
}

static void cron_auto_edges(const Resource *resource, AutoEdges *edges) {
    g_autofree char *path = table_path(resource);
    auto_edges_am(edges, "edits", path);
    auto_edges_want(edges, "path", path, true);
    auto_edges_want_parent(edges, path);
    auto_edges_want(edges, "user", resource_string(resource, P_USER), true);
    auto_edges_want(edges, "package", "cron", true);
}

/* Who is in the line, not whose table it is, so a title of ours stays whatever the user. */
static bool cron_same_thing(const Resource *was, const Resource *now) {
    const char *target = resource_string(was, P_TARGET);
    return target != NULL && g_strcmp0(target, resource_string(now, P_TARGET)) == 0 &&
           strcmp(resource_string(was, P_TITLE), resource_string(now, P_TITLE)) == 0;
}

/* An entry that had no title keeps ours: without one it could not be found again. What was there
 * more than once comes back once, and a title without a command not at all. */
static Resource *cron_reverse(const Resource *resource, const State *before, OnRemove how,
                              GError **error) {
    Resource *inverse = entry_reverse(resource, P_STATE, before, how);
    resource_put(inverse, P_TITLE, value_ref(resource_get(resource, P_TITLE)));
    const char *command = resource_string(inverse, P_COMMAND);
    if (wants_absent(inverse) || command == NULL)
        return inverse;
    g_autofree char *first = g_strndup(command, strcspn(command, "\n"));
    if (*first == '\0')
        resource_put(inverse, P_STATE, value_new_string("absent"));
    resource_put(inverse, P_COMMAND, edit_value(resource, P_COMMAND, first));
    return inverse;
}

static bool cron_clean(KindRun *run, GError **error) {
    g_auto(CronSpec) spec = { 0 };
    if (!cron_spec_init(run, &spec, error))
        return false;
    if (spec.path == NULL)
        return true;
    host_links_refuse();
    bool done = edit_clean(run, spec.path, error);
    host_links_allow();
    return done;
}

const Kind kind_cron = {
    .name = "cron",
    .summary = "Run a command at times, by cron",
    .help =
        "Keeps one entry in a user's crontab, or in a file of its own in /etc/cron.d when "
        "`target` names one. Each entry stands below a comment with its title; everything else in "
        "the table stays byte for byte. Entries that Puppet or Ansible have made under the same "
        "title, and a line without title that does the same at the same times, are taken over, "
        "not doubled. Two entries of one title become one.\n\n"
        "Every field is checked when the configuration is read, and compared by what it means: "
        "'mon-fri' is 1-5. A field that is not set is '*', but `minute` must be said where another "
        "one is: an entry with only `hour = 2` would run sixty times. When both `monthday` and "
        "`weekday` are restricted, cron runs the command on days that fit either.\n\n"
        "A crontab belongs to its user and has mode 0600, as crontab(1) makes it; a file in "
        "/etc/cron.d belongs to root, who alone may write it: cron does not read others. cron "
        "notices a change by itself. An entry with `environment` is put behind those without, for "
        "cron lets settings hold until the end of the file.\n\n"
        "The user and the package cron, when resources too, come first by themselves. When the "
        "resource leaves the configuration, the entry is removed, or becomes what it was, and a "
        "table that was made for it goes with its last entry.\n\n"
        "A timer of systemd does the same with more control: see the kind `systemd_timer`.",
    .example = "cron \"backup\" {\n"
               "  command = \"/usr/local/sbin/backup --quiet\", user = \"root\",\n"
               "  minute = 30, hour = { 2, 14 }, weekday = \"mon-fri\",\n"
               "}\n"
               "cron \"reindex\" {\n"
               "  target = \"/etc/cron.d/reindex\", user = \"www-data\", special = \"weekly\",\n"
               "  command = \"/srv/shop/reindex\", environment = { \"MAILTO=ops@example.com\" },\n"
               "}\n",
    .params = params,
    .n_params = N_PARAMS,
    .flags = KIND_QUICK,
    .validate = cron_validate,
    .observe = cron_observe,
    .diff = cron_diff,
    .apply = cron_apply,
    .watch = cron_watch,
    .auto_edges = cron_auto_edges,
    .reverse = cron_reverse,
    .clean = cron_clean,
    .same_thing = cron_same_thing,
};
