#include <string.h>

#include "graph/autoedge.h"
#include "graph/watcher.h"
#include "kinds/kinds.h"
#include "kinds/unit-name.h"

/* svc: a unit of systemd: whether it runs, starts at boot, is masked, and what a notification does.
 */

enum { P_STATE, P_STARTUP, P_ENABLED, P_MASKED, P_SESSION, P_ON_NOTIFY, N_PARAMS };

/* What is seen between the ends of a service that crashes and is started again: neither of both. */
#define RESTARTING "crashing"

static const char *const states[] = { "running", "stopped", "", NULL };
static const char *const startups[] = { "enabled", "disabled", "", NULL };
static const char *const notify_rules[] = { "reload-or-restart", "reload", "restart", "none",
                                            NULL };

static const Param params[N_PARAMS] = {
    [P_STATE] = { "state", PARAM_ENUM, PARAM_PROPERTY, "Whether it runs now. Empty: left as it is.",
                  .fallback = "", .choices = states, .aliases = "ensure" },
    [P_STARTUP] = { "startup", PARAM_ENUM, PARAM_PROPERTY,
                    "Whether it starts at boot, as mgmt writes it; the same as `enabled`. Empty: "
                    "left "
                    "as it is.",
                    .fallback = "", .choices = startups },
    [P_ENABLED] = { "enabled", PARAM_BOOL, PARAM_PROPERTY,
                    "Whether it starts at boot. Unset: left as it is.", .aliases = "enable" },
    [P_MASKED] = { "masked", PARAM_BOOL, PARAM_PROPERTY,
                   "Whether it is masked: nothing can start it. Unset: left as it is.",
                   .aliases = "mask" },
    [P_SESSION] = { "session", PARAM_BOOL, PARAM_REWATCH,
                    "The unit belongs to the user manager of whoever runs stead, not to the "
                    "system's.",
                    .fallback = "false" },
    [P_ON_NOTIFY] = { "on_notify", PARAM_ENUM, 0,
                      "What a notification does to a unit that runs. reload-or-restart reloads "
                      "where "
                      "the unit can, unless the unit file itself has changed.",
                      .fallback = "reload-or-restart", .choices = notify_rules },
};

static char *unit_name(const Resource *resource) {
    return unit_full_name(resource->name);
}

/* --- what is wanted --- */

/* NULL: left as it is. */
static const bool *wanted_enabled(const Resource *resource) {
    static const bool yes = true, no = false;
    const char *startup = resource_string(resource, P_STARTUP);
    if (*startup)
        return g_str_equal(startup, "enabled") ? &yes : &no;
    if (!resource_get(resource, P_ENABLED))
        return NULL;
    return resource_bool(resource, P_ENABLED) ? &yes : &no;
}

static bool wants_running(const Resource *resource) {
    return g_str_equal(resource_string(resource, P_STATE), "running");
}

static bool contradict(GError **error, const char *one, const char *other) {
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "%s and %s contradict", one, other);
    return false;
}

static bool svc_validate(const Resource *resource, GError **error) {
    if (!unit_name_check(resource->name, error))
        return false;
    g_autofree char *unit = unit_name(resource);
    if (unit_is_template(unit) && *resource_string(resource, P_STATE)) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "'%s' is a template: only its instances run, such as '%.*sNAME%s'", unit,
                    (int)(strchr(unit, '@') + 1 - unit), unit, unit_suffix(unit));
        return false;
    }
    const char *startup = resource_string(resource, P_STARTUP);
    const bool *enabled = wanted_enabled(resource);
    if (*startup && resource_get(resource, P_ENABLED) &&
        *enabled != resource_bool(resource, P_ENABLED))
        return contradict(error, "'startup'", "'enabled'");
    if (!resource_bool(resource, P_MASKED))
        return true;
    if (wants_running(resource))
        return contradict(error, "masked = true", "state = 'running'");
    return !enabled || !*enabled || contradict(error, "masked = true", "enabled = true");
}

/* --- observe --- */

static bool query(KindRun *run, UnitInfo *ret_info, GError **error) {
    g_autofree char *unit = unit_name(run->resource);
    return host_unit_query(run->host, unit, resource_bool(run->resource, P_SESSION), ret_info,
                           error);
}

static bool has_other_root(Host *host) {
    return !g_str_equal(host_root(host), "/");
}

static bool svc_observe(KindRun *run, State *actual, GError **error) {
    if (has_other_root(run->host) && wants_running(run->resource)) {
        g_set_error(
            error, STEAD_ERROR, STEAD_ERROR_UNSUPPORTED,
            "cannot start it below --root '%s': nothing runs there; leave 'state' unset and say "
            "enabled = true",
            host_root(run->host));
        return false;
    }
    UnitInfo info = { 0 };
    if (!query(run, &info, error))
        return false;
    actual->exists = info.exists;
    state_set(actual, P_MASKED, value_new_bool(info.masked));
    if (!info.exists && info.enabled) /* links that lead nowhere */
        state_set(actual, P_ENABLED, value_new_bool(true));
    const char *state = !info.active ? "stopped" : info.restarting ? RESTARTING : "running";
    if (info.exists || info.masked || info.active) /* without a file it runs on */
        state_set(actual, P_STATE, value_new_string(state));
    if (!info.exists && !info.masked)
        return true;
    state_set(actual, P_STARTUP, value_new_string(info.enabled ? "enabled" : "disabled"));
    state_set(actual, P_ENABLED, value_new_bool(info.enabled));
    return true;
}

/* --- diff --- */

static bool is_running(const State *actual) {
    const Value *state = state_get(actual, P_STATE);
    return state && g_str_equal(value_string(state), "running");
}

/* systemd has its file, or somebody has masked it. */
static bool is_known(const State *actual) {
    return actual->exists || value_bool(state_get(actual, P_MASKED));
}

/* Something that this plan does not run may bring the unit: a package, a command. */
static bool diff_missing(KindRun *run, const State *actual, Changes *changes, GError **error) {
    const bool *enabled = wanted_enabled(run->resource);
    bool run_it = wants_running(run->resource), enable = enabled && *enabled;
    if (enabled && !enable && state_get(actual, P_ENABLED))
        changes_add(changes, "enabled", value_new_bool(true), value_new_bool(false), NULL);
    const Value *state = state_get(actual, P_STATE);
    if (state && g_str_equal(resource_string(run->resource, P_STATE), "stopped"))
        changes_add(changes, "state", value_ref(state), value_new_string("stopped"), NULL);
    if (!run_it && !enable)
        return true;
    if (!run->brought) {
        g_autofree char *unit = unit_name(run->resource);
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND,
                    "no unit '%s' is known to systemd; install the package that has it, or declare "
                    "its unit file, before this resource",
                    unit);
        return false;
    }
    if (run->reason == REASON_VERIFY)
        return true;
    changes->uncertain = true;
    changes->action = ACTION_CHANGE;
    if (enable)
        changes_add(changes, "enabled", NULL, value_new_bool(true), NULL);
    if (run_it)
        changes_add(changes, "state", NULL, value_new_string("running"), NULL);
    return true;
}

static bool diff_mask(KindRun *run, const State *actual, Changes *changes, GError **error) {
    const Resource *resource = run->resource;
    bool masked = value_bool(state_get(actual, P_MASKED));
    if (resource_get(resource, P_MASKED)) {
        bool wanted = resource_bool(resource, P_MASKED);
        if (wanted != masked)
            changes_add(changes, "masked", value_new_bool(masked), value_new_bool(wanted), NULL);
        return true;
    }
    const bool *enabled = wanted_enabled(resource);
    if (!masked || !((wants_running(resource) && !is_running(actual)) || (enabled && *enabled)))
        return true;
    g_set_error_literal(
        error, STEAD_ERROR, STEAD_ERROR_REFUSED,
        "refuse to start or enable it: somebody has masked it; set masked = false to unmask "
        "it");
    return false;
}

/* Static units and aliases have nothing to enable: what wants them starts them. */
static bool diff_enabled(KindRun *run, const State *actual, Changes *changes, GError **error) {
    const bool *wanted = wanted_enabled(run->resource);
    bool found = value_bool(state_get(actual, P_ENABLED));
    if (!wanted || *wanted == found)
        return true;
    UnitInfo info = { 0 };
    if (!query(run, &info, error))
        return false;
    if (info.is_static)
        kind_run_note(run, "has nothing to %s: it is started by what needs it",
                      *wanted ? "enable" : "disable");
    else
        changes_add(changes, "enabled", value_new_bool(found), value_new_bool(*wanted), NULL);
    return true;
}

/* What ends by itself would be started at every look. */
static bool check_stays(KindRun *run, GError **error) {
    UnitInfo info = { 0 };
    if (!query(run, &info, error))
        return false;
    if (!info.ends)
        return true;
    g_set_error_literal(
        error, STEAD_ERROR, STEAD_ERROR_REFUSED,
        "refuse to keep it running: it is of Type=oneshot and ends when its work is done; set "
        "RemainAfterExit=yes in its unit, run it at times by a systemd_timer, or leave 'state' "
        "unset");
    return false;
}

/* What a notification does: a verb of systemctl, or NULL for nothing. */
static bool refresh_word(KindRun *run, const char **ret_word, GError **error) {
    const char *rule = resource_string(run->resource, P_ON_NOTIFY);
    UnitInfo info = { 0 };
    *ret_word = NULL;
    if (g_str_equal(rule, "none"))
        return true;
    if (!query(run, &info, error))
        return false;
    if (g_str_equal(rule, "reload") && !info.can_reload) {
        g_set_error_literal(
            error, STEAD_ERROR, STEAD_ERROR_UNSUPPORTED,
            "cannot reload it: its unit has no ExecReload=; set on_notify = \"restart\"");
        return false;
    }
    bool restart = g_str_equal(rule, "restart") ||
                   (g_str_equal(rule, "reload-or-restart") &&
                    (!info.can_reload || info.needs_daemon_reload || info.outdated));
    *ret_word = restart ? "restart" : "reload";
    return true;
}

static bool diff_refresh(KindRun *run, const State *actual, Changes *changes, GError **error) {
    const char *word;
    if (!run->refresh || !is_running(actual) || changes_find(changes, "state"))
        return true;
    if (!refresh_word(run, &word, error))
        return false;
    if (!word)
        return true;
    changes->action = ACTION_RESTART;
    changes_add(changes, "notified", NULL, value_new_string(word), NULL);
    return true;
}

static bool svc_diff(KindRun *run, const State *actual, Changes *changes, GError **error) {
    if (!diff_mask(run, actual, changes, error))
        return false;
    bool known = is_known(actual);
    if (!known && !diff_missing(run, actual, changes, error))
        return false;
    if (known) {
        const char *wanted = resource_string(run->resource, P_STATE);
        const Value *found = state_get(actual, P_STATE);
        if (!diff_enabled(run, actual, changes, error))
            return false;
        if (*wanted != '\0' && !g_str_equal(value_string(found), wanted))
            changes_add(changes, "state", value_ref(found), value_new_string(wanted), NULL);
        if (changes_find(changes, "state") && wants_running(run->resource) &&
            !check_stays(run, error))
            return false;
    }
    if (changes->changes->len > 0)
        changes->action = ACTION_CHANGE;
    return diff_refresh(run, actual, changes, error);
}

/* --- apply --- */

static bool do_verb(KindRun *run, UnitVerb verb, GError **error) {
    g_autofree char *unit = unit_name(run->resource);
    return host_unit_apply(run->host, unit, resource_bool(run->resource, P_SESSION), verb,
                           run->cancel, error);
}

/* systemd must have read the unit file that is there now. */
static bool reload_definition(KindRun *run, GError **error) {
    UnitInfo info = { 0 };
    if (!query(run, &info, error))
        return false;
    return !info.needs_daemon_reload || do_verb(run, UNIT_DAEMON_RELOAD, error);
}

static bool apply_bool(KindRun *run, const Changes *changes, const char *property, bool when,
                       UnitVerb verb, GError **error) {
    const Change *change = changes_find(changes, property);
    return !change || value_bool(change->after) != when || do_verb(run, verb, error);
}

/* What it did with the new configuration only it knows, and it may not fail for it: nginx takes the
 * signal and finds the port in use later. */
static void note_complaints(KindRun *run, uint64_t since_us) {
    g_autofree char *unit = unit_name(run->resource);
    bool session = resource_bool(run->resource, P_SESSION);
    g_autofree char *lines = host_unit_complaints(run->host, unit, session, since_us);
    if (lines)
        kind_run_note(
            run,
            "was reloaded and has logged errors since; it may go on with what it had read "
            "before; see: journalctl %s-u %s%s",
            session ? "--user " : "", unit, lines);
}

static bool apply_running(KindRun *run, const Changes *changes, GError **error) {
    static const struct {
        const char *property, *after;
        UnitVerb verb;
    } steps[] = { { "state", "running", UNIT_START },
                  { "notified", "restart", UNIT_RESTART },
                  { "notified", "reload", UNIT_RELOAD } };
    for (unsigned i = 0; i < G_N_ELEMENTS(steps); i++) {
        const Change *change = changes_find(changes, steps[i].property);
        if (!change || !g_str_equal(value_string(change->after), steps[i].after))
            continue;
        uint64_t since_us = (uint64_t)g_get_real_time();
        if (!reload_definition(run, error) || !do_verb(run, steps[i].verb, error))
            return false;
        if (steps[i].verb == UNIT_RELOAD)
            note_complaints(run, since_us);
        return true;
    }
    return true;
}

/* What listens or waits for it may start it again at any moment. */
static void note_triggers(KindRun *run) {
    static const char *const suffixes[] = { ".socket", ".path", ".timer" };
    g_autofree char *unit = unit_name(run->resource);
    if (!g_str_has_suffix(unit, ".service"))
        return;
    for (unsigned i = 0; i < G_N_ELEMENTS(suffixes); i++) {
        g_autofree char *trigger =
            g_strdup_printf("%.*s%s", (int)(strlen(unit) - strlen(".service")), unit, suffixes[i]);
        UnitInfo info = { 0 };
        if (host_unit_query(run->host, trigger, resource_bool(run->resource, P_SESSION), &info,
                            NULL) &&
            info.active)
            kind_run_note(run, "'%s' is active and may start it again; stop that too", trigger);
    }
}

static bool apply_stopped(KindRun *run, const Changes *changes, GError **error) {
    const Change *change = changes_find(changes, "state");
    if (!change || !g_str_equal(value_string(change->after), "stopped"))
        return true;
    if (!do_verb(run, UNIT_STOP, error))
        return false;
    note_triggers(run);
    return true;
}

static bool svc_apply(KindRun *run, const State *actual, const Changes *changes, GError **error) {
    bool known = state_get(actual, P_STATE) != NULL;
    if (!known && run->planning && changes->uncertain)
        return true; /* what brings the unit does not run in a plan */
    return apply_bool(run, changes, "masked", false, UNIT_UNMASK, error) &&
           apply_bool(run, changes, "enabled", false, UNIT_DISABLE, error) &&
           apply_bool(run, changes, "enabled", true, UNIT_ENABLE, error) &&
           apply_stopped(run, changes, error) && apply_running(run, changes, error) &&
           apply_bool(run, changes, "masked", true, UNIT_MASK, error);
}

/* --- the rest --- */

static const char *const *directories_of(const Resource *resource) {
    return unit_directories(resource_bool(resource, P_SESSION));
}

static bool svc_watch(Watcher *watcher, const Resource *resource, GError **error) {
    g_autofree char *unit = unit_name(resource);
    g_autofree char *name =
        g_strconcat(resource_bool(resource, P_SESSION) ? "user:" : "", unit, NULL);
    if (!watcher_host(watcher, HOST_WATCH_UNIT, name, error))
        return false;
    for (const char *const *dir = directories_of(resource); *dir; dir++) {
        g_autofree char *path = g_build_filename(*dir, unit, NULL);
        if (!watcher_host(watcher, HOST_WATCH_FILE, path, error))
            return false;
    }
    return true;
}

static void want_files(AutoEdges *edges, const Resource *resource, const char *unit) {
    for (const char *const *dir = directories_of(resource); *dir; dir++) {
        g_autofree char *path = g_build_filename(*dir, unit, NULL);
        auto_edges_want(edges, "path", path, true);
    }
}

static void svc_auto_edges(const Resource *resource, AutoEdges *edges) {
    g_autofree char *unit = unit_name(resource), *template = unit_template(unit);
    auto_edges_am(edges, "unit", unit);
    want_files(edges, resource, unit);
    if (template)
        want_files(edges, resource, template);
    g_autofree char *package = g_strndup(unit, strcspn(unit, "@."));
    auto_edges_want(edges, "package", package, true);
}

/* What it was before for what this resource set; stopped and disabled when its unit came later. */
static Resource *svc_reverse(const Resource *resource, const State *before, OnRemove how,
                             GError **error) {
    Resource *undo = resource_copy(resource);
    bool existed = before && is_known(before) && how != ON_REMOVE_REMOVE;
    const char *state = existed ? value_string(state_get(before, P_STATE)) : "stopped";
    if (g_str_equal(state, RESTARTING))
        state = "running";
    bool enabled = existed && value_bool(state_get(before, P_ENABLED));
    bool masked = existed && value_bool(state_get(before, P_MASKED));
    if (*resource_string(resource, P_STATE) || resource_bool(resource, P_MASKED))
        resource_put(undo, P_STATE, value_new_string(state));
    if (wanted_enabled(resource))
        resource_put(undo, P_ENABLED, value_new_bool(enabled));
    resource_put(undo, P_STARTUP, value_new_string(""));
    if (resource_get(resource, P_MASKED))
        resource_put(undo, P_MASKED, value_new_bool(masked));
    return undo;
}

const Kind kind_svc = {
    .name = "svc",
    .summary = "Keep a service running, enabled or masked, and reload it when notified",
    .help =
        "Keeps a unit of systemd as declared; what is not set is left alone. A name without suffix "
        "means a service. A unit that runs and is notified is reloaded if it can, else restarted; "
        "a "
        "changed unit file always means a restart, after systemd has read it again. One that was "
        "started or stopped in the same round is not touched again, and a notification never "
        "starts "
        "anything. A service that ends right after it was started, or is started again and again "
        "because it does, is an error that says how it ended and what it wrote to the journal "
        "last. One "
        "of Type=oneshot without RemainAfterExit=yes cannot be kept running. What systemd has "
        "given "
        "up is started all the same.\n\n"
        "Unit files that are resources too, and a package of the unit's name, come first by "
        "themselves. A unit that nobody has is an error when it should run, and fine when it "
        "should not. A plan takes it for uncertain where a package or command goes first that may "
        "bring it.\n\n"
        "`masked` must be said: a unit that somebody has masked is not unmasked in passing. Static "
        "units have nothing to enable, so `enabled` is satisfied either way, with a note; an alias "
        "stands for its unit, but goes away when that is disabled, so disable a unit by its own "
        "name. Links to a unit that is gone are removed by `enabled = false`. "
        "Below "
        "`--root` nothing runs: only `enabled` and `masked` can be kept there.\n\n"
        "When the resource leaves the configuration, what it set goes back to what it was before.",
    .example = "pkg \"nginx\" {}\n"
               "svc \"nginx\" { state = \"running\", enabled = true }\n"
               "file \"/etc/nginx/conf.d/shop.conf\" { content = \"\", notify = svc \"nginx\" }\n"
               "svc \"apt-daily.timer\" { masked = true, state = \"stopped\" }\n",
    .params = params,
    .n_params = N_PARAMS,
    .flags = KIND_REFRESHES,
    .validate = svc_validate,
    .observe = svc_observe,
    .diff = svc_diff,
    .apply = svc_apply,
    .watch = svc_watch,
    .auto_edges = svc_auto_edges,
    .reverse = svc_reverse,
};
