#include <string.h>

#include "base/suggest.h"
#include "graph/autoedge.h"
#include "graph/watcher.h"
#include "kinds/kinds.h"
#include "kinds/pkg-spec.h"

/* pkg: a package of the host's package manager (apt and dpkg). */

static const char *const configfiles[] = { "keep", "replace", NULL };

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
    [P_SOURCE] = { "source", PARAM_STRING, 0,
                   "A .deb file to install instead of what the sources of apt offer; what it needs "
                   "comes from there. A path of the machine, or, relative, a file beside the "
                   "configuration. With state newest the version in it is kept." },
    [P_RELEASE] = { "release", PARAM_STRING, 0,
                    "The release that is preferred for the package and what it needs, such as "
                    "bookworm-backports. Unset: as apt is configured.",
                    .aliases = "target_release default_release" },
    [P_HELD] = { "held", PARAM_BOOL, PARAM_PROPERTY,
                 "Whether the package manager is told never to change it. Unset: left as it is." },
    [P_MANUAL] = { "manual", PARAM_BOOL, PARAM_PROPERTY,
                   "Whether it is marked as wanted for its own sake, so that no autoremove ever "
                   "takes it.",
                   .fallback = "true" },
    [P_RECOMMENDS] = { "recommends", PARAM_BOOL, 0,
                       "Whether what the package recommends is installed with it. Unset: as apt is "
                       "configured.",
                       .aliases = "install_recommends" },
    [P_CONFIGFILES] = { "configfiles", PARAM_ENUM, 0,
                        "What becomes of configuration files that somebody changed when a new "
                        "version brings others: keep leaves them, replace takes the new ones. "
                        "Nobody is ever asked.",
                        .fallback = "keep", .choices = configfiles },
    [P_DEBCONF] = { "debconf", PARAM_STRINGS, 0,
                    "Answers to questions of the package, given before it is installed: 'QUESTION "
                    "TYPE VALUE' each, as debconf-set-selections takes them after the name." },
    [P_AUTOREMOVE] = { "autoremove", PARAM_BOOL, 0,
                       "When it is removed, packages that were installed for the sake of others "
                       "and that nobody needs then go, too.",
                       .fallback = "false" },
    [P_FORCE] = { "force", PARAM_BOOL, 0,
                  "Allow that other packages are removed for it: those that need what is removed, "
                  "or are in the way of what is installed; and that it is removed although the "
                  "machine does not work without it.",
                  .fallback = "false" },
    [P_LOCK_TIMEOUT] = { "lock_timeout", PARAM_DURATION, 0,
                         "How long to wait for another program that changes packages.",
                         .fallback = "5m", .unit = "s" },
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

Want pkg_wanted(const Resource *resource, const char **ret_version) {
    const char *state = resource_string(resource, P_STATE);
    const char *version = resource_string(resource, P_VERSION);
    const StateWord *word = find_word(state);
    *ret_version = word ? version : state;
    return *ret_version ? WANT_VERSION : word->want;
}

const bool *pkg_wanted_hold(const Resource *resource) {
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

/* What debconf-set-selections would take for another line, or for somebody else's question. */
static bool check_answers(const Resource *resource, GError **error) {
    const Value *answers = resource_get(resource, P_DEBCONF);
    for (size_t i = 0; answers && i < value_size(answers); i++) {
        const char *answer = value_string(value_list_at(answers, i));
        g_auto(GStrv) words = g_strsplit(answer, " ", 3);
        if (strchr(answer, '\n') || g_strv_length(words) < 2 || !strchr(words[0], '/') ||
            strchr(words[1], '/'))
            return fail_config(error,
                               "refuse the answer '%s' in debconf: write 'QUESTION TYPE VALUE' in "
                               "one line, such as 'tzdata/Areas select Europe'",
                               answer);
    }
    return true;
}

static bool check_source(const Resource *resource, GError **error) {
    const char *source = resource_string(resource, P_SOURCE);
    const char *release = resource_string(resource, P_RELEASE);
    if (release && (!g_ascii_isalnum(*release) || strpbrk(release, " \t\n=,;'\"\\*?[]")))
        return fail_config(error, "refuse release '%s': it is a name such as bookworm-backports",
                           release);
    if (source && !g_str_has_suffix(source, ".deb"))
        return fail_config(error, "refuse source '%s': a package file ends in .deb", source);
    return true;
}

static bool pkg_validate(const Resource *resource, GError **error) {
    const char *state = resource_string(resource, P_STATE);
    const char *version = resource_string(resource, P_VERSION);
    if (!check_name(resource->name, error) || !check_state(state, error) ||
        (version && !check_version(version, error)) || !check_source(resource, error) ||
        !check_answers(resource, error))
        return false;
    const StateWord *word = find_word(state);
    if (version && (!word || word->want != WANT_INSTALLED))
        return fail_config(error, "set either state = '%s' or version = '%s': they contradict",
                           state, version);
    const bool *hold = pkg_wanted_hold(resource);
    if (hold && *hold && word && wants_removal(word->want))
        return fail_config(error, "a package cannot be both %s and held", state);
    if (resource_get(resource, P_HELD) && *hold != resource_bool(resource, P_HELD))
        return fail_config(error, "state = 'held' and held = false contradict");
    return true;
}

/* --- the rest --- */

static bool has_same(const Resource *a, const Resource *b, unsigned param) {
    const Value *x = resource_get(a, param), *y = resource_get(b, param);
    return (!x && !y) || (x && y && value_equal(x, y));
}

/* One transaction for all that want the same; a pinned version or a file may conflict, so it stays
 * alone. */
static bool pkg_group_with(const Resource *a, const Resource *b) {
    static const unsigned same[] = { P_RELEASE, P_RECOMMENDS, P_CONFIGFILES,    P_AUTOREMOVE,
                                     P_FORCE,   P_SOURCE,     P_ALLOWDOWNGRADE, P_ALLOWUNTRUSTED };
    const char *version;
    Want want = pkg_wanted(a, &version), other = pkg_wanted(b, &version);
    bool together = want == other || (wants_removal(want) && wants_removal(other));
    if (!together || want == WANT_VERSION || resource_get(a, P_SOURCE))
        return false;
    for (unsigned i = 0; i < G_N_ELEMENTS(same); i++)
        if (!has_same(a, b, same[i]))
            return false;
    return true;
}

static bool pkg_watch(Watcher *watcher, const Resource *resource, GError **error) {
    bool local;
    g_autofree char *archive = pkg_archive_path(resource, &local);
    if (!watcher_host(watcher, HOST_WATCH_PACKAGES, "", error))
        return false;
    if (!archive)
        return true;
    return (local ? watcher_local : watcher_host)(watcher, HOST_WATCH_FILE, archive, error);
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

/* What a source itself needs to be fetched does not wait for it. */
static void want_sources(AutoEdges *edges, const char *name) {
    static const char *const first[] = {
        "apt",  "ca-certificates",       "apt-transport-https", "gnupg", "gpg",
        "gpgv", "debian-archive-keyring"
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(first); i++)
        if (strcmp(name, first[i]) == 0)
            return;
    auto_edges_want_all(edges, "apt", "source");
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
    if (!wants_removal(pkg_wanted(resource, &version))) {
        own_directories(edges, name);
        if (other)
            own_directories(edges, other);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(settings); i++)
        auto_edges_want(edges, "path", settings[i], true);
    want_sources(edges, name);
    const char *source = resource_string(resource, P_SOURCE);
    if (source && *source == '/')
        auto_edges_want(edges, "path", source, true);
}

/* Whether it was there and held comes back, its version does not: that would undo every update
 * since.
 */
static Resource *pkg_reverse(const Resource *resource, const State *before, OnRemove how,
                             GError **error) {
    const char *version;
    if (wants_removal(pkg_wanted(resource, &version)) &&
        resource_meta(resource)->on_remove != ON_REMOVE_RESTORE)
        return NULL; /* what was declared absent stays away */
    Resource *undo = resource_copy(resource);
    bool existed = before && before->exists && how != ON_REMOVE_REMOVE;
    resource_put(undo, P_STATE, value_new_string(existed ? "installed" : "uninstalled"));
    resource_put(undo, P_VERSION, NULL);
    const Value *held = before ? state_get(before, P_HELD) : NULL;
    bool was_held = existed && held && value_bool(held);
    const Value *manual = existed ? state_get(before, P_MANUAL) : NULL;
    resource_put(undo, P_MANUAL, value_new_bool(!manual || value_bool(manual)));
    resource_put(undo, P_SOURCE, NULL);
    resource_put(undo, P_HELD, pkg_wanted_hold(resource) ? value_new_bool(was_held) : NULL);
    return undo;
}

static char *pkg_beside(const Resource *resource) {
    bool local;
    g_autofree char *path = pkg_archive_path(resource, &local);
    return local ? g_steal_pointer(&path) : NULL;
}

const Kind kind_pkg = {
    .name = "pkg",
    .summary = "Keep a package installed, newest, at a version, held or removed",
    .help =
        "Keeps the state of a package of apt and dpkg. Packages that want the same state and pin "
        "no "
        "version become one transaction of apt, however many they are; when nothing differs, apt "
        "is "
        "not run at all. A plan shows the version that would be installed where a source offers "
        "it, "
        "and \"unknown\" where something before must add that source first. What comes or goes "
        "with a transaction is listed with its first package: \"also installs\", \"also changes\", "
        "\"also removes\".\n\n"
        "`state = \"newest\"` follows what the lists of apt offer. They are fetched when a source "
        "has changed since, when nobody offers what is missing, and when a mirror has no such file "
        "any more; to fetch them regularly is the matter of a timer. A mirror that does not answer "
        "is asked four times and only concerns what must be fetched. A package that somebody has "
        "put on hold is not changed: say `held = false`, or `held = true` to change it once and "
        "hold it again. An older version is refused unless `allowdowngrade = true`.\n\n"
        "Neither installing nor removing a package removes others that were not declared absent, "
        "nor is one removed that is Essential or that stead itself needs: plan and apply name them "
        "and refuse, unless `force = true`. Also when a package leaves the configuration.\n\n"
        "A package that is wanted is marked as such (`apt-mark manual`), so that no autoremove "
        "takes "
        "it. Configuration files are kept as somebody left them unless `configfiles = "
        "\"replace\"`, "
        "and nobody is ever asked: answers go into `debconf`.\n\n"
        "Another program that changes packages is waited for, and named. What an interrupted dpkg "
        "left is finished first, half-configured packages are configured, and what installed "
        "packages lack is installed. When a script of a package fails, the last it said is in the "
        "error. A transaction outlives stead being killed: the next run waits for it.\n\n"
        "What other resources keep in its directories (`/etc/NAME/`, `/etc/default/NAME`, "
        "`/var/lib/NAME/`, ...) waits for it by itself, a command of its name too; where "
        "the names differ write `needs = pkg \"NAME\"`. Sources (`apt_source`, files in "
        "/etc/apt) come first. A plan cannot know what files a package brings: what is missing "
        "behind one is decided when applied.\n\n"
        "When the resource leaves the configuration, a package that stead installed is "
        "removed. One that was there before stays, in the version it has by then, marked as it "
        "was. "
        "One that was declared absent stays away, unless `on_remove = \"restore\"`.",
    .example = "pkg \"nginx\" {}\n"
               "pkg \"openssl\" { state = \"newest\" }\n"
               "pkg \"linux-image-amd64\" { version = \"6.1.*\", held = true }\n"
               "pkg \"tzdata\" { debconf = { \"tzdata/Areas select Europe\" } }\n"
               "pkg \"monitor\" { source = \"/srv/packages/monitor_1.2_all.deb\" }\n"
               "pkg \"curl\" { release = \"bookworm-backports\", recommends = false }\n"
               "pkg \"telnetd\" { state = \"purged\", autoremove = true }\n",
    .params = params,
    .n_params = N_PARAMS,
    .outputs = outputs,
    .n_outputs = G_N_ELEMENTS(outputs),
    .flags = KIND_BRINGS,
    .validate = pkg_validate,
    .beside = pkg_beside,
    .observe = pkg_observe,
    .diff = pkg_diff,
    .foresee = pkg_foresee,
    .apply = pkg_apply,
    .watch = pkg_watch,
    .auto_edges = pkg_auto_edges,
    .group_with = pkg_group_with,
    .apply_group = pkg_apply_group,
    .reverse = pkg_reverse,
    .clean = pkg_clean,
};
