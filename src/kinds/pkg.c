#include <fnmatch.h>
#include <string.h>

#include "base/suggest.h"
#include "graph/autoedge.h"
#include "graph/watcher.h"
#include "host/host-overlay.h"
#include "kinds/deb-version.h"
#include "kinds/kinds.h"

/* pkg: a package of the host's package manager (apt and dpkg). */

enum {
    P_STATE,
    P_VERSION,
    P_HELD,
    P_ALLOWDOWNGRADE,
    P_ALLOWUNTRUSTED,
    P_ALLOWNONFREE,
    P_ALLOWUNSUPPORTED,
    N_PARAMS
};

static const Param params[N_PARAMS] = {
    [P_STATE] = { "state", PARAM_STRING, PARAM_PROPERTY,
                  "One of installed (any version will do), newest, uninstalled, purged (without "
                  "its "
                  "configuration files), held (installed, and never upgraded), or a version. Also "
                  "accepted: present, latest, absent.",
                  .fallback = "installed", .aliases = "ensure" },
    [P_VERSION] = { "version", PARAM_STRING, PARAM_PROPERTY,
                    "The version to have, instead of writing it into `state`. A \"*\" at its end "
                    "stands for anything: the newest that begins so." },
    [P_HELD] = { "held", PARAM_BOOL, PARAM_PROPERTY,
                 "Whether the package manager is told never to change it. Unset: left as it is." },
    [P_ALLOWDOWNGRADE] = { "allowdowngrade", PARAM_BOOL, 0,
                           "Accept a version older than the installed one.", .fallback = "false" },
    [P_ALLOWUNTRUSTED] = { "allowuntrusted", PARAM_BOOL, 0,
                           "Accept packages whose source is not signed by a trusted key.",
                           .fallback = "false" },
    [P_ALLOWNONFREE] = { "allownonfree", PARAM_BOOL, 0,
                         "Accepted for mgmt's sake, without effect: apt takes what its sources "
                         "offer, so leave non-free components out of them.",
                         .fallback = "true" },
    [P_ALLOWUNSUPPORTED] = { "allowunsupported", PARAM_BOOL, 0,
                             "Accepted for mgmt's sake, without effect: apt does not know whether "
                             "a "
                             "package is supported.",
                             .fallback = "true" },
};

static const Output outputs[] = {
    { "version", PARAM_STRING, "The installed version; not sent when it is not installed." },
};

/* --- what is wanted --- */

typedef enum { WANT_INSTALLED, WANT_NEWEST, WANT_VERSION, WANT_REMOVED, WANT_PURGED } Want;

typedef struct {
    const char *word;
    Want want;
} StateWord;

static const StateWord state_words[] = {
    { "installed", WANT_INSTALLED }, { "present", WANT_INSTALLED }, { "held", WANT_INSTALLED },
    { "newest", WANT_NEWEST },       { "latest", WANT_NEWEST },     { "uninstalled", WANT_REMOVED },
    { "absent", WANT_REMOVED },      { "purged", WANT_PURGED },
};

static const StateWord *find_word(const char *state) {
    for (unsigned i = 0; i < G_N_ELEMENTS(state_words); i++)
        if (g_str_equal(state_words[i].word, state))
            return &state_words[i];
    return NULL;
}

/* *ret_version is borrowed, and set for WANT_VERSION only. */
static Want wanted(const Resource *resource, const char **ret_version) {
    const char *state = resource_string(resource, P_STATE);
    const char *version = resource_string(resource, P_VERSION);
    const StateWord *word = find_word(state);
    *ret_version = word ? version : state;
    return *ret_version ? WANT_VERSION : word->want;
}

static bool wants_removal(Want want) {
    return want == WANT_REMOVED || want == WANT_PURGED;
}

/* NULL: left as it is. */
static const bool *wanted_hold(const Resource *resource) {
    static const bool yes = true, no = false;
    if (g_str_equal(resource_string(resource, P_STATE), "held"))
        return &yes;
    if (!resource_get(resource, P_HELD))
        return NULL;
    return resource_bool(resource, P_HELD) ? &yes : &no;
}

/* --- validate --- */

static bool fail_config(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

static bool fail_config(GError **error, const char *format, ...) {
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_CONFIG, text);
    return false;
}

/* Debian policy 5.6.7, with ":arch" behind it. A leading dash would be taken for an option. */
static bool check_name(const char *name, GError **error) {
    const char *colon = strchr(name, ':');
    size_t length = colon ? (size_t)(colon - name) : strlen(name);
    const char *chars = "abcdefghijklmnopqrstuvwxyz0123456789+-.";
    bool good = length >= 2 && strspn(name, chars) == length && g_ascii_isalnum(name[0]) &&
                (!colon || (colon[1] && strspn(colon + 1, chars) == strlen(colon + 1)));
    return good || fail_config(error,
                               "refuse package name '%s': use small letters, digits, '+', '-' and "
                               "'.', starting with a letter or digit",
                               name);
}

static bool check_version(const char *version, GError **error) {
    size_t length = strlen(version);
    size_t good =
        strspn(version, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.+-:~");
    if (g_ascii_isdigit(version[0]) &&
        (good == length || (good == length - 1 && version[good] == '*')))
        return true;
    return fail_config(error,
                       "refuse version '%s': a version starts with a digit and has letters, "
                       "digits, and '.+-:~' in it",
                       version);
}

static bool check_state(const char *state, GError **error) {
    if (find_word(state))
        return true;
    if (g_ascii_isdigit(state[0]))
        return check_version(state, error);
    const char *words[G_N_ELEMENTS(state_words)];
    for (unsigned i = 0; i < G_N_ELEMENTS(state_words); i++)
        words[i] = state_words[i].word;
    const char *near = suggest_nearest(state, words, G_N_ELEMENTS(words));
    return fail_config(error,
                       "refuse state '%s'%s%s%s: it is installed, newest, uninstalled, purged, "
                       "held, or a version",
                       state, near ? ", did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static bool pkg_validate(const Resource *resource, GError **error) {
    const char *state = resource_string(resource, P_STATE);
    const char *version = resource_string(resource, P_VERSION);
    if (!check_name(resource->name, error) || !check_state(state, error) ||
        (version && !check_version(version, error)))
        return false;
    const StateWord *word = find_word(state);
    if (version && (!word || word->want != WANT_INSTALLED))
        return fail_config(error, "set either state = '%s' or version = '%s': they contradict",
                           state, version);
    const bool *hold = wanted_hold(resource);
    if (hold && *hold && word && wants_removal(word->want))
        return fail_config(error, "a package cannot be both %s and held", state);
    if (resource_get(resource, P_HELD) && *hold != resource_bool(resource, P_HELD))
        return fail_config(error, "state = 'held' and held = false contradict");
    return true;
}

/* --- observe --- */

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(PackageInfo, package_info_clear)

static bool pkg_observe(KindRun *run, State *actual, GError **error) {
    g_auto(PackageInfo) info = { 0 };
    if (!host_package_query(run->host, run->resource->name, false, &info, error))
        return false;
    actual->exists = info.version != NULL;
    const char *state = info.broken         ? "broken"
                        : info.version      ? "installed"
                        : info.config_files ? "uninstalled"
                                            : "absent";
    state_set(actual, P_STATE, value_new_string(state));
    state_set(actual, P_HELD, value_new_bool(info.held));
    if (!info.version)
        return true;
    /* a plan may know that a package will be there, and not yet which version */
    bool unknown =
        g_str_equal(info.version, OVERLAY_VERSION_UNKNOWN) || g_str_has_suffix(info.version, "*");
    Value *version = unknown ? value_new_unknown() : value_new_string(info.version);
    state_set(actual, P_VERSION, version);
    kind_run_send(run, "version", value_ref(version));
    return true;
}

/* The installed version; NULL when there is none, or when a plan does not know it. */
static const char *found_version(const State *actual) {
    const Value *version = state_get(actual, P_VERSION);
    return value_type(version) == VALUE_STRING ? value_string(version) : NULL;
}

static const char *found_state(const State *actual) {
    return value_string(state_get(actual, P_STATE));
}

static bool is_broken(const State *actual) {
    return g_str_equal(found_state(actual), "broken");
}

/* --- diff --- */

static bool query_candidate(KindRun *run, char **ret_candidate, GError **error) {
    g_auto(PackageInfo) info = { 0 };
    if (!host_package_query(run->host, run->resource->name, true, &info, error))
        return false;
    *ret_candidate = g_steal_pointer(&info.candidate);
    return true;
}

/* The version that would be installed; NULL without error in a plan, when it is not known yet: the
 * source may be added by something before. */
static bool find_candidate(KindRun *run, const State *actual, char **ret_candidate,
                           GError **error) {
    if (!query_candidate(run, ret_candidate, error))
        return false;
    if (*ret_candidate || actual->exists || run->planning)
        return true;
    g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND,
                        "no source of apt has it; check the name and the sources, and run "
                        "'apt-get update'");
    return false;
}

static bool is_pattern(const char *version) {
    return g_str_has_suffix(version, "*");
}

/* The newest version if it fits the pattern; else apt finds the newest one that does. */
static bool resolve_pattern(KindRun *run, const char *pattern, char **ret_version, GError **error) {
    g_autofree char *candidate = NULL;
    if (is_pattern(pattern) && !query_candidate(run, &candidate, error))
        return false;
    bool fits = candidate && fnmatch(pattern, candidate, 0) == 0;
    *ret_version = g_strdup(fits ? candidate : pattern);
    return true;
}

static void change_state(Changes *changes, const State *actual, const char *after) {
    changes_add(changes, "state", value_new_string(found_state(actual)), value_new_string(after),
                NULL);
}

static void change_version(Changes *changes, const State *actual, const char *version) {
    bool exact = version && !is_pattern(version);
    changes->uncertain |= version == NULL;
    changes_add(changes, "version", value_ref(state_get(actual, P_VERSION)),
                exact ? value_new_string(version) : value_new_unknown(), NULL);
}

static bool check_order(KindRun *run, const char *from, const char *to, GError **error) {
    if (is_pattern(to) || resource_bool(run->resource, P_ALLOWDOWNGRADE) ||
        deb_version_compare(to, from) >= 0)
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                "refuse version %s: %s is installed, which is newer; set allowdowngrade = true to "
                "go back",
                to, from);
    return false;
}

static bool diff_version(KindRun *run, const State *actual, const char *wanted_version,
                         Changes *changes, GError **error) {
    const char *found = found_version(actual);
    g_autofree char *version = NULL;
    if (found && fnmatch(wanted_version, found, 0) == 0)
        return true;
    if (!resolve_pattern(run, wanted_version, &version, error) ||
        (found && !check_order(run, found, version, error)))
        return false;
    change_version(changes, actual, version);
    return true;
}

static bool diff_installed(KindRun *run, const State *actual, Want want, const char *version,
                           Changes *changes, GError **error) {
    const char *found = found_version(actual);
    g_autofree char *candidate = NULL;
    if (!actual->exists || is_broken(actual))
        change_state(changes, actual, "installed");
    if (actual->exists && (!found || want == WANT_INSTALLED))
        return true;
    if (want == WANT_VERSION)
        return diff_version(run, actual, version, changes, error);
    if (!find_candidate(run, actual, &candidate, error))
        return false;
    if (!found || (candidate && !g_str_equal(candidate, found)))
        change_version(changes, actual, candidate);
    return true;
}

static bool diff_removed(const State *actual, Want want, Changes *changes) {
    bool gone = !actual->exists && !is_broken(actual);
    if (want == WANT_PURGED && !g_str_equal(found_state(actual), "absent"))
        change_state(changes, actual, "purged");
    else if (want == WANT_REMOVED && !gone)
        change_state(changes, actual, "uninstalled");
    return true;
}

static bool check_hold(KindRun *run, const State *actual, GError **error) {
    if (wanted_hold(run->resource) || !found_version(actual) ||
        !value_bool(state_get(actual, P_HELD)))
        return true;
    g_set_error(
        error, STEAD_ERROR, STEAD_ERROR_REFUSED,
        "refuse to change it: it is held at %s; set held = false to let it go, or held = true to "
        "hold it afterwards as well",
        found_version(actual));
    return false;
}

static bool pkg_diff(KindRun *run, const State *actual, Changes *changes, GError **error) {
    const char *version;
    Want want = wanted(run->resource, &version);
    if (!(wants_removal(want) ? diff_removed(actual, want, changes)
                              : diff_installed(run, actual, want, version, changes, error)))
        return false;
    if (changes->changes->len > 0 && !check_hold(run, actual, error))
        return false;
    const bool *hold = wanted_hold(run->resource);
    bool held = value_bool(state_get(actual, P_HELD));
    if (hold && *hold != held && (actual->exists || !wants_removal(want)))
        changes_add(changes, "held", value_new_bool(held), value_new_bool(*hold), NULL);
    if (changes->changes->len > 0)
        changes->action = wants_removal(want) ? ACTION_REMOVE
                          : actual->exists    ? ACTION_CHANGE
                                              : ACTION_CREATE;
    return true;
}

/* --- apply --- */

static PackageVerb main_verb(Want want) {
    static const PackageVerb verbs[] = {
        [WANT_INSTALLED] = PACKAGE_INSTALL, [WANT_NEWEST] = PACKAGE_UPGRADE,
        [WANT_VERSION] = PACKAGE_VERSION,   [WANT_REMOVED] = PACKAGE_REMOVE,
        [WANT_PURGED] = PACKAGE_PURGE,
    };
    return verbs[want];
}

/* What the plan said; a pattern is the package manager's to resolve. */
static const char *target_version(const Changes *changes, const char *wanted_version) {
    const Change *change = changes_find(changes, "version");
    return change && value_type(change->after) == VALUE_STRING ? value_string(change->after)
                                                               : wanted_version;
}

/* A held package is released, changed, and held again. */
static void add_actions(GArray *actions, const KindRun *run, const State *actual,
                        const Changes *changes) {
    const Resource *resource = run->resource;
    const char *version;
    Want want = wanted(resource, &version);
    const bool *hold = wanted_hold(resource);
    PackageAction action = {
        .name = resource->name,
        .version = want == WANT_VERSION ? target_version(changes, version) : NULL,
        .allow_downgrade = resource_bool(resource, P_ALLOWDOWNGRADE),
        .allow_untrusted = resource_bool(resource, P_ALLOWUNTRUSTED),
    };
    bool held = value_bool(state_get(actual, P_HELD));
    bool change = changes_find(changes, "state") || changes_find(changes, "version");
    if (held && (change || (hold && !*hold))) {
        action.verb = PACKAGE_UNHOLD;
        g_array_append_val(actions, action);
        held = false;
    }
    if (change) {
        action.verb = main_verb(want);
        g_array_append_val(actions, action);
    }
    if (hold && *hold && !held) {
        action.verb = PACKAGE_HOLD;
        g_array_append_val(actions, action);
    }
}

static bool pkg_apply_group(KindRun *const *runs, const State *const *actuals,
                            const Changes *const *changes, unsigned n, GError **error) {
    g_autoptr(GArray) actions = g_array_new(FALSE, FALSE, sizeof(PackageAction));
    for (unsigned i = 0; i < n; i++)
        add_actions(actions, runs[i], actuals[i], changes[i]);
    return host_package_apply(runs[0]->host, (const PackageAction *)(void *)actions->data,
                              actions->len, runs[0]->cancel, error);
}

static bool pkg_apply(KindRun *run, const State *actual, const Changes *changes, GError **error) {
    return pkg_apply_group(&run, &actual, &changes, 1, error);
}

/* One transaction for all that want the same; a pinned version may conflict, so it stays alone. */
static bool pkg_group_with(const Resource *a, const Resource *b) {
    static const unsigned same[] = { P_ALLOWDOWNGRADE, P_ALLOWUNTRUSTED };
    const char *version;
    Want want = wanted(a, &version);
    if (want == WANT_VERSION || want != wanted(b, &version))
        return false;
    for (unsigned i = 0; i < G_N_ELEMENTS(same); i++)
        if (resource_bool(a, same[i]) != resource_bool(b, same[i]))
            return false;
    return true;
}

/* --- the rest --- */

static bool pkg_watch(Watcher *watcher, const Resource *resource, GError **error) {
    return watcher_host(watcher, HOST_WATCH_PACKAGES, "", error);
}

/* Directories that belong to a package by their name: what is put below them waits for it. */
static void own_directories(AutoEdges *edges, const char *name) {
    static const char *const places[] = { "/etc/%s",         "/etc/%s.conf",  "/etc/%s.d",
                                          "/etc/default/%s", "/usr/share/%s", "/usr/lib/%s",
                                          "/var/lib/%s",     "/var/cache/%s", "/var/log/%s" };
    for (unsigned i = 0; i < G_N_ELEMENTS(places); i++) {
        g_auto(GStrv) parts = g_strsplit(places[i], "%s", 2);
        g_autofree char *path = g_strjoinv(name, parts);
        auto_edges_own(edges, path);
    }
}

/* "redis-server" has /etc/redis, "postgresql-15" /etc/postgresql. */
static char *short_name(const char *name) {
    size_t size = strlen(name);
    if (g_str_has_suffix(name, "-server"))
        return g_strndup(name, size - strlen("-server"));
    while (size > 0 && (g_ascii_isdigit(name[size - 1]) || name[size - 1] == '.'))
        size--;
    return size > 1 && name[size - 1] == '-' && name[size] ? g_strndup(name, size - 1) : NULL;
}

static void pkg_auto_edges(const Resource *resource, AutoEdges *edges) {
    static const char *const settings[] = { "/etc/apt/sources.list", "/etc/apt/preferences",
                                            "/etc/apt/apt.conf" };
    const char *colon = strchr(resource->name, ':');
    g_autofree char *name = colon ? g_strndup(resource->name, (size_t)(colon - resource->name))
                                  : g_strdup(resource->name);
    g_autofree char *other = short_name(name);
    auto_edges_am(edges, "package", name);
    const char *version;
    if (!wants_removal(wanted(resource, &version))) {
        own_directories(edges, name);
        if (other)
            own_directories(edges, other);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(settings); i++)
        auto_edges_want(edges, "path", settings[i], true);
}

/* Whether it was there and held comes back, its version does not: that would undo every update
 * since.
 */
static Resource *pkg_reverse(const Resource *resource, const State *before, OnRemove how,
                             GError **error) {
    const char *version;
    if (wants_removal(wanted(resource, &version)) &&
        resource_meta(resource)->on_remove != ON_REMOVE_RESTORE)
        return NULL; /* what was declared absent stays away */
    Resource *undo = resource_copy(resource);
    bool existed = before && before->exists && how != ON_REMOVE_REMOVE;
    resource_put(undo, P_STATE, value_new_string(existed ? "installed" : "uninstalled"));
    resource_put(undo, P_VERSION, NULL);
    const Value *held = before ? state_get(before, P_HELD) : NULL;
    bool was_held = existed && held && value_bool(held);
    resource_put(undo, P_HELD, wanted_hold(resource) ? value_new_bool(was_held) : NULL);
    return undo;
}

const Kind kind_pkg = {
    .name = "pkg",
    .summary = "Keep a package installed, newest, at a version, held or removed",
    .help = "Keeps the state of a package of apt and dpkg. Packages that want the same "
            "state and pin no version become one transaction of apt, however many they are. "
            "A plan shows the version that would be installed where a source offers it, and "
            "\"unknown\" where something before must add that source first.\n\n"
            "`state = \"newest\"` follows what the lists of apt offer; refreshing those lists "
            "is the matter of a timer or an exec. A package that somebody has put on hold "
            "is not changed: say `held = false`, or `held = true` to change it once and "
            "hold it again. An older version is refused unless `allowdowngrade = true`. "
            "Neither installing nor removing a package ever removes others: that is an "
            "error that names them.\n\n"
            "What other resources keep in its directories (`/etc/NAME/`, `/etc/default/NAME`, "
            "`/var/lib/NAME/`, ...) waits for it by itself, a command of its name too; where "
            "the names differ write `needs = pkg \"NAME\"`. A plan cannot know what a package "
            "brings: what is missing behind one is decided when applied.\n\n"
            "When the resource leaves the configuration, a package that stead installed is "
            "removed. One that was there before stays, in the version it has by then. One "
            "that was declared absent stays away, unless `on_remove = \"restore\"`.",
    .example = "pkg \"nginx\" {}\n"
               "pkg \"openssl\" { state = \"newest\" }\n"
               "pkg \"linux-image-amd64\" { version = \"6.1.*\", held = true }\n"
               "pkg \"telnetd\" { state = \"purged\" }\n",
    .params = params,
    .n_params = N_PARAMS,
    .outputs = outputs,
    .n_outputs = G_N_ELEMENTS(outputs),
    .flags = KIND_BRINGS,
    .validate = pkg_validate,
    .observe = pkg_observe,
    .diff = pkg_diff,
    .apply = pkg_apply,
    .watch = pkg_watch,
    .auto_edges = pkg_auto_edges,
    .group_with = pkg_group_with,
    .apply_group = pkg_apply_group,
    .reverse = pkg_reverse,
};
