/* systemd_timer: a command that systemd runs at times: a service, its timer, and that it is active.
 * The two files are kept by the kind unit. */
#include <string.h>

#include "base/limits.h"
#include "graph/autoedge.h"
#include "graph/watcher.h"
#include "host/accounts.h"
#include "kinds/account.h"
#include "kinds/calendar.h"
#include "kinds/exec.h"
#include "kinds/kinds.h"
#include "kinds/unit-name.h"
#include "kinds/unit-text.h"

enum {
    P_UNIT,
    P_STATE,
    P_COMMAND,
    P_ON_CALENDAR,
    P_ON_BOOT,
    P_ON_ACTIVE,
    P_INTERVAL,
    P_USER,
    P_ENVIRONMENT,
    P_CWD,
    P_DESCRIPTION,
    P_PERSISTENT,
    P_RANDOM_DELAY,
    P_ACCURACY,
    P_SETTINGS,
    P_ENABLED,
    P_SERVICE,
    P_TIMER,
    N_PARAMS
};

static const char *const states[] = { "exists", "absent", "present", NULL };

static const Param params[N_PARAMS] = {
    [P_UNIT] = { "unit", PARAM_STRING, PARAM_NAMED | PARAM_IDENTITY | PARAM_REWATCH,
                 "Name of both units, without suffix: \"backup\" is backup.service and "
                 "backup.timer." },
    [P_STATE] = { "state", PARAM_ENUM, 0, "Whether the two units are there or not.",
                  .fallback = "exists", .choices = states, .aliases = "ensure" },
    [P_COMMAND] = { "command", PARAM_STRING, PARAM_RECEIVES,
                    "What is run, as ExecStart= takes it: a program with its arguments, no shell; "
                    "'%' is written '%%'. Needed unless the state is absent. Nothing runs it "
                    "before its time: try it with systemctl start NAME." },
    [P_ON_CALENDAR] = { "on_calendar", PARAM_STRINGS, 0,
                        "When, by the clock: \"daily\", \"Mon..Fri 02:30\", \"*-*-01 04:00\"; "
                        "systemd.time(7). Several are as many times." },
    [P_ON_BOOT] = { "on_boot", PARAM_STRING, 0,
                    "How long after the machine has started: \"5min\"." },
    [P_ON_ACTIVE] = { "on_active", PARAM_STRING, 0,
                      "How long after the timer was started, which is also at boot." },
    [P_INTERVAL] = { "interval", PARAM_STRING, 0,
                     "Again and again, so long after the last run was started: \"1h 30min\". The "
                     "first one is that long after the timer was started, unless `on_boot` or "
                     "`on_active` says otherwise." },
    [P_USER] = { "user", PARAM_STRING, 0, "Who runs it. Unset: root." },
    [P_ENVIRONMENT] = { "environment", PARAM_STRINGS, 0,
                        "Settings for the command, \"NAME=value\" each." },
    [P_CWD] = { "cwd", PARAM_PATH, 0, "Directory it runs in. Unset: /." },
    [P_DESCRIPTION] = { "description", PARAM_STRING, 0,
                        "What it is, in a line, for systemctl and the journal." },
    [P_PERSISTENT] = { "persistent", PARAM_BOOL, 0,
                       "What was missed while the machine was off is made up for at boot.",
                       .fallback = "false" },
    [P_RANDOM_DELAY] = { "random_delay", PARAM_STRING, 0,
                         "Up to so much later, by chance, so that not all machines start at "
                         "once." },
    [P_ACCURACY] = { "accuracy", PARAM_STRING, 0,
                     "How much later it may be so that several timers wake the machine once. "
                     "Unset: "
                     "a minute." },
    [P_SETTINGS] = { "settings", PARAM_ANY, 0,
                     "Further settings of the service, as in the kind unit: { Service = { Nice = "
                     "10 "
                     "} }." },
    [P_ENABLED] = { "enabled", PARAM_BOOL, PARAM_PROPERTY,
                    "Whether the timer is active now and after each boot.", .fallback = "true" },
    [P_SERVICE] = { "service", PARAM_STRING, PARAM_PROPERTY,
                    "All the text of the service's file, in place of what the others make." },
    [P_TIMER] = { "timer", PARAM_STRING, PARAM_PROPERTY,
                  "All the text of the timer's file, likewise." },
};

/* The two files. */
static const struct {
    const char *suffix;
    unsigned text; /* the parameter that is its whole text */
} parts[] = { { ".service", P_SERVICE }, { ".timer", P_TIMER } };

static bool wants_absent(const Resource *resource) {
    return strcmp(resource_string(resource, P_STATE), "absent") == 0;
}

static char *unit_of(const Resource *resource, unsigned part) {
    return g_strconcat(resource_string(resource, P_UNIT), parts[part].suffix, NULL);
}

static char *path_of(const Resource *resource, unsigned part) {
    g_autofree char *unit = unit_of(resource, part);
    return g_build_filename(*unit_directories(false), unit, NULL);
}

static bool has_other_root(Host *host) {
    return strcmp(host_root(host), "/") != 0;
}

/* --- the texts --- */

static void put(Value *section, const char *key, const char *text) {
    if (text != NULL && *text != '\0')
        value_map_set(section, key, value_new_string(text));
}

/* A list in the order given; a word of systemd where there are quotes or blanks in it. */
static Value *quoted(const Value *texts) {
    Value *list = value_new_list();
    for (size_t i = 0; i < value_size(texts); i++) {
        g_auto(GStrv) pieces = g_strsplit(value_string(value_list_at(texts, i)), "\\", -1);
        g_autofree char *slashed = g_strjoinv("\\\\", pieces);
        g_auto(GStrv) marks = g_strsplit(slashed, "\"", -1);
        g_autofree char *escaped = g_strjoinv("\\\"", marks);
        g_auto(GStrv) percents = g_strsplit(escaped, "%", -1);
        g_autofree char *whole = g_strjoinv("%%", percents);
        g_autofree char *word = g_strdup_printf("\"%s\"", whole);
        value_list_append(list, value_new_string(word));
    }
    return list;
}

static Value *description_of(const Resource *resource) {
    const char *text = resource_string(resource, P_DESCRIPTION);
    Value *section = value_new_map();
    put(section, "Description", text != NULL ? text : resource_string(resource, P_UNIT));
    return section;
}

/* Sections of `settings` over what the other parameters say. */
static void add_settings(Value *sections, const Value *settings) {
    for (size_t i = 0; value_type(settings) == VALUE_MAP && i < value_size(settings); i++) {
        const char *name, *key;
        const Value *section = value_map_at(settings, i, &name);
        if (value_map_get(sections, name) == NULL || value_type(section) != VALUE_MAP) {
            value_map_set(sections, name, value_ref(section));
            continue;
        }
        g_autoptr(Value) merged = value_new_map();
        const Value *ours = value_map_get(sections, name);
        for (size_t k = 0; k < value_size(ours); k++) {
            const Value *item = value_map_at(ours, k, &key);
            value_map_set(merged, key, value_ref(item));
        }
        for (size_t k = 0; k < value_size(section); k++) {
            const Value *item = value_map_at(section, k, &key);
            value_map_set(merged, key, value_ref(item));
        }
        value_map_set(sections, name, g_steal_pointer(&merged));
    }
}

static Value *service_sections(const Resource *resource) {
    Value *sections = value_new_map(), *service = value_new_map();
    const Value *environment = resource_get(resource, P_ENVIRONMENT);
    put(service, "Type", "oneshot");
    put(service, "ExecStart", resource_string(resource, P_COMMAND));
    put(service, "User", resource_string(resource, P_USER));
    put(service, "WorkingDirectory", resource_string(resource, P_CWD));
    if (environment != NULL && value_size(environment) > 0)
        value_map_set(service, "Environment", quoted(environment));
    value_map_set(sections, "Unit", description_of(resource));
    value_map_set(sections, "Service", service);
    const Value *settings = resource_get(resource, P_SETTINGS);
    if (settings != NULL)
        add_settings(sections, settings);
    return sections;
}

static Value *timer_sections(const Resource *resource) {
    Value *sections = value_new_map(), *timer = value_new_map(), *install = value_new_map();
    const Value *calendar = resource_get(resource, P_ON_CALENDAR);
    const char *interval = resource_string(resource, P_INTERVAL);
    const char *on_boot = resource_string(resource, P_ON_BOOT);
    const char *on_active = resource_string(resource, P_ON_ACTIVE);
    if (calendar != NULL && value_size(calendar) > 0)
        value_map_set(timer, "OnCalendar", value_ref(calendar));
    put(timer, "OnBootSec", on_boot);
    put(timer, "OnActiveSec", on_active != NULL ? on_active : on_boot == NULL ? interval : NULL);
    put(timer, "OnUnitActiveSec", interval);
    put(timer, "RandomizedDelaySec", resource_string(resource, P_RANDOM_DELAY));
    put(timer, "AccuracySec", resource_string(resource, P_ACCURACY));
    if (resource_bool(resource, P_PERSISTENT))
        value_map_set(timer, "Persistent", value_new_bool(true));
    put(install, "WantedBy", "timers.target");
    value_map_set(sections, "Unit", description_of(resource));
    value_map_set(sections, "Timer", timer);
    value_map_set(sections, "Install", install);
    return sections;
}

static bool is_secret(const Resource *resource) {
    static const unsigned told[] = { P_COMMAND, P_ENVIRONMENT, P_SETTINGS, P_SERVICE };
    for (size_t i = 0; i < G_N_ELEMENTS(told); i++)
        if (value_is_secret(resource_get(resource, told[i])))
            return true;
    return false;
}

static bool is_unknown(const Resource *resource) {
    return resource_is_unknown(resource, P_COMMAND) || resource_receives(resource, P_COMMAND);
}

/* What a file is to hold; NULL without error: none. */
static char *wanted_text(const Resource *resource, unsigned part, GError **error) {
    const char *given = resource_string(resource, parts[part].text);
    if (given != NULL)
        return g_strdup(given);
    if (wants_absent(resource))
        return NULL;
    g_autoptr(Value) sections =
        parts[part].text == P_SERVICE ? service_sections(resource) : timer_sections(resource);
    g_autofree char *keeper = g_strdup_printf("systemd_timer '%s'", resource->name);
    return unit_text_print(sections, keeper, error);
}

/* --- validation --- */

static bool refuse(GError **error, const char *problem) {
    g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_CONFIG, problem);
    return false;
}

static bool check_times(const Resource *resource, GError **error) {
    static const unsigned spans[] = { P_ON_BOOT, P_ON_ACTIVE, P_INTERVAL };
    static const unsigned others[] = { P_RANDOM_DELAY, P_ACCURACY };
    const Value *calendar = resource_get(resource, P_ON_CALENDAR);
    bool any = calendar != NULL && value_size(calendar) > 0;
    for (size_t i = 0; calendar != NULL && i < value_size(calendar); i++)
        if (!calendar_check("on_calendar", value_string(value_list_at(calendar, i)), error))
            return false;
    if (resource_bool(resource, P_PERSISTENT) && !any)
        return refuse(error, "persistent is for on_calendar: other times are not missed");
    for (size_t i = 0; i < G_N_ELEMENTS(spans); i++) {
        const char *text = resource_string(resource, spans[i]);
        if (text != NULL && !time_span_check(params[spans[i]].name, text, error))
            return false;
        any |= text != NULL;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(others); i++) {
        const char *text = resource_string(resource, others[i]);
        if (text != NULL && !time_span_check(params[others[i]].name, text, error))
            return false;
    }
    return any || refuse(error, "say when: on_calendar, interval, on_boot or on_active");
}

static bool check_lines(const Resource *resource, GError **error) {
    static const unsigned lines[] = { P_COMMAND, P_DESCRIPTION, P_CWD };
    const Value *environment = resource_get(resource, P_ENVIRONMENT);
    for (size_t i = 0; i < G_N_ELEMENTS(lines); i++) {
        const char *text = resource_string(resource, lines[i]);
        if (text == NULL || (strpbrk(text, "\r\n") == NULL && text[strspn(text, " \t")] != '\0'))
            continue;
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "%s must be one line, and not empty",
                    params[lines[i]].name);
        return false;
    }
    for (size_t i = 0; environment != NULL && i < value_size(environment); i++) {
        const char *text = value_string(value_list_at(environment, i));
        if (strpbrk(text, "\r\n") == NULL && strchr(text, '=') != NULL && *text != '=')
            continue;
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "refuse setting %zu of environment: it must be 'NAME=value' in one line",
                    i + 1);
        return false;
    }
    return true;
}

static bool check_command(const Resource *resource, GError **error) {
    const char *command = resource_string(resource, P_COMMAND);
    return command == NULL ||
           exec_check_words(params[P_COMMAND].name, command, "write /bin/sh -c '...'", error);
}

static bool check_name(const char *name, GError **error) {
    if (!unit_name_check(name, error))
        return false;
    if (unit_suffix(name) == NULL && strchr(name, '@') == NULL)
        return true;
    g_set_error(
        error, STEAD_ERROR, STEAD_ERROR_CONFIG,
        "refuse unit '%s': it is a name such as 'backup', without suffix and '@'; the units "
        "are NAME.service and NAME.timer",
        name);
    return false;
}

static bool check_texts(const Resource *resource, GError **error) {
    for (unsigned part = 0; part < G_N_ELEMENTS(parts); part++) {
        g_autoptr(GError) problem = NULL;
        g_autofree char *unit = unit_of(resource, part);
        g_autofree char *text = wanted_text(resource, part, &problem);
        if (problem != NULL) {
            g_propagate_error(error, g_steal_pointer(&problem));
            return false;
        }
        bool unfinished = parts[part].text == P_SERVICE && is_unknown(resource);
        if (text != NULL && !unfinished && !unit_text_check(text, strlen(text), unit, false, error))
            return false;
    }
    return true;
}

static bool timer_validate(const Resource *resource, GError **error) {
    const char *user = resource_string(resource, P_USER);
    if (!check_name(resource_string(resource, P_UNIT), error) ||
        (user != NULL && !account_name_check("user", user, error)))
        return false;
    if (wants_absent(resource))
        return check_texts(resource, error);
    if (resource_string(resource, P_COMMAND) == NULL && !is_unknown(resource) &&
        resource_string(resource, P_SERVICE) == NULL)
        return refuse(error, "'command' is required");
    return check_lines(resource, error) && check_command(resource, error) &&
           (resource_string(resource, P_TIMER) != NULL || check_times(resource, error)) &&
           check_texts(resource, error);
}

/* --- the files, by the kind unit --- */

typedef struct {
    KindRun run;
    Resource *unit;
    State *state;
    Changes *changes;
} PartRound;

static void part_clear(PartRound *round) {
    resource_unref(round->unit);
    state_free(round->state);
    changes_free(round->changes);
    value_unref(round->run.outputs);
    value_unref(round->run.keep);
    g_free(round->run.note);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(PartRound, part_clear)

static void set(Resource *unit, const char *param, Value *value) {
    g_autoptr(Value) own = value;
    bool good = resource_set(unit, param, own, NULL);
    g_assert(good); /* checked when the timer was */
}

static Resource *unit_resource(const Resource *resource, unsigned part) {
    g_autofree char *name = unit_of(resource, part), *text = wanted_text(resource, part, NULL);
    Resource *unit = resource_new(&kind_unit, name, resource->origin);
    bool secret = is_secret(resource) && parts[part].text == P_SERVICE;
    if (text == NULL) {
        set(unit, "state", value_new_string("absent"));
    } else if (parts[part].text == P_SERVICE && resource_is_unknown(resource, P_COMMAND)) {
        set(unit, "content", value_new_unknown());
    } else {
        set(unit, "content", secret ? account_secret(text) : value_new_string(text));
        set(unit, "mode", value_new_string(secret ? "0600" : "0644"));
    }
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func((GDestroyNotify)g_error_free);
    (void)resource_finish(unit, problems); /* what is put back need not be what we would take */
    return unit;
}

static bool part_look(PartRound *round, KindRun *run, unsigned part, GError **error) {
    *round = (PartRound){ .run = *run, .unit = unit_resource(run->resource, part) };
    round->state = state_new(&kind_unit);
    round->changes = changes_new();
    round->run.resource = round->unit;
    round->run.refresh = false;
    round->run.outputs = round->run.keep = NULL;
    round->run.kept = NULL;
    round->run.note = NULL;
    return kind_unit.observe(&round->run, round->state, error) &&
           kind_unit.diff(&round->run, round->state, round->changes, error);
}

/* --- observe --- */

/* What a file holds, to be put back one day; one that is not there has none. */
static bool observe_text(KindRun *run, unsigned part, State *actual, GError **error) {
    g_autofree char *path = path_of(run->resource, part);
    g_autoptr(GError) problem = NULL;
    g_autoptr(GBytes) content = host_read(run->host, path, LIMIT_PREIMAGE, &problem);
    if (content == NULL) {
        if (g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND))
            return true;
        g_propagate_error(error, g_steal_pointer(&problem));
        return false;
    }
    size_t size;
    const char *data = g_bytes_get_data(content, &size);
    g_autoptr(Value) text = value_new_bytes(data != NULL ? data : "", size);
    bool secret = is_secret(run->resource) && parts[part].text == P_SERVICE;
    state_set(actual, parts[part].text, secret ? value_as_secret(text, NULL) : value_ref(text));
    actual->exists = true;
    return true;
}

static bool query_timer(KindRun *run, UnitInfo *ret_info, GError **error) {
    g_autofree char *timer = unit_of(run->resource, 1);
    return host_unit_query(run->host, timer, false, ret_info, error);
}

/* Half of it is not what is wanted, whichever that is. */
static bool timer_observe(KindRun *run, State *actual, GError **error) {
    for (unsigned part = 0; part < G_N_ELEMENTS(parts); part++) {
        PartRound round = { 0 };
        bool good = part_look(&round, run, part, error);
        part_clear(&round);
        if (!good || !observe_text(run, part, actual, error))
            return false;
    }
    UnitInfo info = { 0 };
    if (!query_timer(run, &info, error))
        return false;
    bool active = has_other_root(run->host) ? info.enabled : info.active;
    bool wanted = resource_bool(run->resource, P_ENABLED) && !wants_absent(run->resource);
    bool is = wanted ? info.enabled && active : info.enabled || active;
    state_set(actual, P_ENABLED, value_new_bool(is));
    return true;
}

/* --- diff --- */

/* Changes of a file under the name of its part; what else is wrong with it, under both. */
static void add_part(const PartRound *round, unsigned part, Changes *changes) {
    const char *name = params[parts[part].text].name;
    changes->uncertain |= round->changes->uncertain;
    for (unsigned i = 0; i < round->changes->changes->len; i++) {
        const Change *change = &g_array_index(round->changes->changes, Change, i);
        bool whole = strcmp(change->property, "content") == 0;
        if (strcmp(change->property, "type") == 0 && changes_find(round->changes, "content"))
            continue;
        g_autofree char *both = g_strdup_printf("%s %s", name, change->property);
        bool is_type = strcmp(change->property, "type") == 0;
        changes_add(changes, whole || is_type ? name : g_intern_string(both),
                    value_ref(change->before), value_ref(change->after), g_strdup(change->diff));
    }
}

/* The program of its command, without systemd's prefixes; caller frees. */
static char *program_of(const char *command) {
    const char *start = command + strspn(command, "-@:+!");
    return g_strndup(start, strcspn(start, " \t"));
}

/* systemd would find out at the first run, when nobody looks. The user must be there by now; the
 * program may still be brought, by a mount or a deployment, so that is only told. */
static bool check_runs(KindRun *run, GError **error) {
    const char *user = resource_string(run->resource, P_USER);
    const char *command = resource_string(run->resource, P_COMMAND);
    uid_t uid;
    if (user != NULL && strcmp(user, "root") != 0 && !accounts_uid(run->host, user, &uid, error))
        return account_remedy("user", user, error);
    g_autofree char *program = command != NULL ? program_of(command) : NULL;
    FileInfo info;
    g_autoptr(GError) problem = NULL;
    if (program == NULL || *program != '/' || run->brought ||
        host_stat(run->host, program, &info, &problem) ||
        !g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND))
        return true;
    kind_run_note(
        run,
        "its program '%s' does not exist, so its runs will fail; declare file '%s' or what "
        "brings it",
        program, program);
    return true;
}

static bool timer_diff(KindRun *run, const State *actual, Changes *changes, GError **error) {
    bool absent = wants_absent(run->resource);
    if (!absent && run->reason != REASON_VERIFY && !check_runs(run, error))
        return false;
    for (unsigned part = 0; part < G_N_ELEMENTS(parts); part++) {
        g_auto(PartRound) round = { 0 };
        if (!part_look(&round, run, part, error))
            return false;
        add_part(&round, part, changes);
    }
    bool found = value_bool(state_get(actual, P_ENABLED));
    bool wanted = resource_bool(run->resource, P_ENABLED) && !absent;
    if (found != wanted)
        changes_add(changes, "enabled", value_new_bool(found), value_new_bool(wanted), NULL);
    if (changes->changes->len > 0 || changes->uncertain)
        changes->action =
            absent && state_get(actual, P_SERVICE) == NULL && state_get(actual, P_TIMER) == NULL
                ? ACTION_CHANGE
            : absent && resource_string(run->resource, P_SERVICE) == NULL &&
                    resource_string(run->resource, P_TIMER) == NULL
                ? ACTION_REMOVE
            : actual->exists ? ACTION_CHANGE
                             : ACTION_CREATE;
    return true;
}

/* --- apply --- */

static bool do_verb(KindRun *run, UnitVerb verb, GError **error) {
    g_autofree char *timer = unit_of(run->resource, 1);
    return host_unit_apply(run->host, timer, false, verb, run->cancel, error);
}

/* What this machine's systemd makes of it: it knows time zones, and what its version can do. */
static bool confirm(KindRun *run, const char *verb, const char *text, GError **error) {
    const char *argv[] = { "systemd-analyze", verb, "--", text, NULL };
    HostCommand command = { .argv = argv, .cancel = run->cancel };
    g_auto(HostCommandResult) result = { 0 };
    g_autoptr(GError) problem = NULL;
    if (!host_run(run->host, &command, &result, &problem)) {
        if (!g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_TIMEOUT))
            return cancel_check(run->cancel, error); /* nobody to ask */
        g_propagate_error(error, g_steal_pointer(&problem));
        return false;
    }
    if (result.exit_status == 0)
        return true;
    size_t size;
    const char *data = g_bytes_get_data(result.output, &size);
    g_autofree char *said = g_strndup(data != NULL ? data : "", size);
    g_strchomp(said);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED, "refuse '%s': systemd-analyze says: %s",
                text, said);
    return false;
}

static bool confirm_times(KindRun *run, GError **error) {
    const Value *calendar = resource_get(run->resource, P_ON_CALENDAR);
    if (run->planning || wants_absent(run->resource) || has_other_root(run->host))
        return true;
    for (size_t i = 0; calendar != NULL && i < value_size(calendar); i++)
        if (!confirm(run, "calendar", value_string(value_list_at(calendar, i)), error))
            return false;
    return true;
}

static bool stop_timer(KindRun *run, GError **error) {
    UnitInfo info = { 0 };
    return query_timer(run, &info, error) &&
           (!info.active || has_other_root(run->host) || do_verb(run, UNIT_STOP, error)) &&
           (!info.enabled || do_verb(run, UNIT_DISABLE, error));
}

/* changed: its file, so that what runs must take up the new times. */
static bool start_timer(KindRun *run, bool changed, GError **error) {
    UnitInfo info = { 0 };
    if (!query_timer(run, &info, error) || (!info.enabled && !do_verb(run, UNIT_ENABLE, error)))
        return false;
    if (has_other_root(run->host) || (info.active && !changed))
        return true;
    return do_verb(run, info.active ? UNIT_RESTART : UNIT_START, error);
}

static bool apply_files(KindRun *run, bool *ret_timer_changed, GError **error) {
    for (unsigned part = 0; part < G_N_ELEMENTS(parts); part++) {
        g_auto(PartRound) round = { 0 };
        if (!part_look(&round, run, part, error))
            return false;
        bool differs = !changes_empty(round.changes);
        if (differs && !kind_unit.apply(&round.run, round.state, round.changes, error))
            return false;
        *ret_timer_changed |= differs && parts[part].text == P_TIMER;
    }
    return true;
}

static bool timer_apply(KindRun *run, const State *actual, const Changes *changes, GError **error) {
    bool wanted = resource_bool(run->resource, P_ENABLED) && !wants_absent(run->resource);
    bool timer_changed = false;
    if (changes->uncertain && run->planning)
        return true;
    return confirm_times(run, error) && (wanted || stop_timer(run, error)) &&
           apply_files(run, &timer_changed, error) &&
           (!wanted || start_timer(run, timer_changed, error));
}

/* --- the rest --- */

static bool timer_watch(Watcher *watcher, const Resource *resource, GError **error) {
    g_autofree char *timer = unit_of(resource, 1);
    for (unsigned part = 0; part < G_N_ELEMENTS(parts); part++) {
        g_autofree char *path = path_of(resource, part);
        if (!watcher_host(watcher, HOST_WATCH_FILE, path, error))
            return false;
    }
    return watcher_host(watcher, HOST_WATCH_UNIT, timer, error);
}

static void timer_auto_edges(const Resource *resource, AutoEdges *edges) {
    const char *command = resource_string(resource, P_COMMAND);
    for (unsigned part = 0; part < G_N_ELEMENTS(parts); part++) {
        g_autofree char *path = path_of(resource, part), *unit = unit_of(resource, part);
        auto_edges_am(edges, "path", path);
        auto_edges_want_parent(edges, path);
        auto_edges_want(edges, "unit", unit, false);
    }
    auto_edges_want_account(edges, resource_string(resource, P_USER), "user", "uid");
    if (command == NULL)
        return;
    g_autofree char *program = program_of(command);
    auto_edges_want(edges, "path", program, true);
}

/* The texts that were there, if any, are put back as they are. */
static Resource *timer_reverse(const Resource *resource, const State *before, OnRemove how,
                               GError **error) {
    Resource *undo = resource_new(resource->kind, resource->name, resource->origin);
    bool existed = before != NULL && before->exists && how != ON_REMOVE_REMOVE;
    const Value *service = existed ? state_get(before, P_SERVICE) : NULL;
    const Value *timer = existed ? state_get(before, P_TIMER) : NULL;
    resource_put(undo, P_UNIT, value_ref(resource_get(resource, P_UNIT)));
    resource_put(undo, P_STATE,
                 value_new_string(service != NULL && timer != NULL ? "exists" : "absent"));
    resource_put(undo, P_ENABLED,
                 value_new_bool(existed && value_bool(state_get(before, P_ENABLED))));
    if (service != NULL)
        resource_put(undo, P_SERVICE, value_ref(service));
    if (timer != NULL)
        resource_put(undo, P_TIMER, value_ref(timer));
    return undo;
}

static bool timer_clean(KindRun *run, GError **error) {
    for (unsigned part = 0; part < G_N_ELEMENTS(parts); part++) {
        g_autoptr(Resource) unit = unit_resource(run->resource, part);
        KindRun own = *run;
        own.resource = unit;
        if (!kind_unit.clean(&own, error))
            return false;
    }
    return true;
}

const Kind kind_systemd_timer = {
    .name = "systemd_timer",
    .summary = "Run a command at times, by systemd",
    .help =
        "Keeps NAME.service with the command and NAME.timer with the times in /etc/systemd/system, "
        "lets systemd read them, and keeps the timer active now and after each boot. What the "
        "command prints is in the journal (journalctl -u NAME), how it ended in systemctl status "
        "NAME, and when it runs next in systemctl list-timers.\n\n"
        "Times are checked when the configuration is read, and once more by the systemd of the "
        "machine before anything is written. A changed timer takes up its new times at once; a "
        "command that runs is not disturbed, and two runs of it never overlap.\n\n"
        "For what these parameters do not say there are `settings` for the service, or the whole "
        "texts `service` and `timer`; for units of other kinds the kind `unit`. A file whose "
        "command or environment is secret has mode 0600. An instance of a template, and the units "
        "of a user's manager, are the matter of `unit` and `svc` too.\n\n"
        "The user and the program, when resources too, come first by themselves. A user that does "
        "not exist is an error, a program that does not is told. When the resource "
        "leaves the configuration, the timer is stopped and both files are removed, or become what "
        "they were. Below `--root` the timer is only enabled.",
    .example =
        "systemd_timer \"backup\" {\n"
        "  command = \"/usr/local/sbin/backup --quiet\", user = \"backup\",\n"
        "  on_calendar = \"Mon..Fri 02:30\", persistent = true, random_delay = \"10min\",\n"
        "  environment = { \"TARGET=/srv/backup\" }, settings = { Service = { Nice = 10 } },\n"
        "}\n"
        "user \"backup\" { system = true }\n"
        "systemd_timer \"collect\" { command = \"/usr/local/bin/collect\", interval = \"15min\" "
        "}\n",
    .params = params,
    .n_params = N_PARAMS,
    .validate = timer_validate,
    .observe = timer_observe,
    .diff = timer_diff,
    .apply = timer_apply,
    .watch = timer_watch,
    .auto_edges = timer_auto_edges,
    .reverse = timer_reverse,
    .clean = timer_clean,
};
