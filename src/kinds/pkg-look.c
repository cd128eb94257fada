/* What is there of a package, and what differs. */
#include <fnmatch.h>
#include <string.h>

#include "base/limits.h"
#include "host/host-overlay.h"
#include "kinds/deb-file.h"
#include "kinds/deb-version.h"
#include "kinds/pkg-spec.h"

/* --- observe --- */

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(PackageInfo, package_info_clear)

bool pkg_observe(KindRun *run, State *actual, GError **error) {
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
    state_set(actual, P_MANUAL, value_new_bool(!info.automatic));
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

char *pkg_archive_path(const Resource *resource, bool *ret_local) {
    const char *source = resource_string(resource, P_SOURCE);
    *ret_local = source && *source != '/';
    if (!*ret_local)
        return g_strdup(source);
    g_autofree char *directory =
        g_path_get_dirname(resource->origin.file ? resource->origin.file : "");
    g_autofree char *path = g_build_filename(directory, source, NULL);
    return g_canonicalize_filename(path, NULL);
}

GBytes *pkg_archive_read(KindRun *run, GError **error) {
    bool local;
    g_autofree char *path = pkg_archive_path(run->resource, &local);
    FileInfo info;
    if (local)
        return host_read_local(run->host, path, LIMIT_FILE_CONTENT, error);
    if (host_stat(run->host, path, &info, NULL) && info.type == FILE_UNKNOWN) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_UNPREDICTABLE,
                    "'%s' is known only when applied", path);
        return NULL;
    }
    return host_read(run->host, path, LIMIT_FILE_CONTENT, error);
}

/* The version in the file that the resource names; NULL without error: a plan does not know it. */
static bool archive_version(KindRun *run, char **ret_version, GError **error) {
    const char *source = resource_string(run->resource, P_SOURCE), *name = run->resource->name;
    g_autoptr(GError) problem = NULL;
    g_autoptr(GBytes) bytes = pkg_archive_read(run, &problem);
    g_auto(DebFile) deb = { 0 };
    if (!bytes && run->planning &&
        g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_UNPREDICTABLE)) {
        *ret_version = NULL;
        return true;
    }
    if (!bytes || !deb_file_parse(bytes, &deb, &problem)) {
        g_propagate_prefixed_error(error, g_steal_pointer(&problem), "read source '%s': ", source);
        return false;
    }
    size_t length = strcspn(name, ":");
    if (strlen(deb.name) != length || strncmp(deb.name, name, length) != 0) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                    "source '%s' is the package '%s': name the resource so, or another file",
                    source, deb.name);
        return false;
    }
    *ret_version = g_steal_pointer(&deb.version);
    return true;
}

static bool query_candidate(KindRun *run, char **ret_candidate, GError **error) {
    g_auto(PackageInfo) info = { 0 };
    const char *release = resource_string(run->resource, P_RELEASE);
    g_autofree char *name = release ? g_strconcat(run->resource->name, "/", release, NULL)
                                    : g_strdup(run->resource->name);
    if (resource_get(run->resource, P_SOURCE))
        return archive_version(run, ret_candidate, error);
    if (!host_package_query(run->host, name, true, &info, error))
        return false;
    *ret_candidate = g_steal_pointer(&info.candidate);
    return true;
}

/* What cannot be fetched is no reason to fail where what is known is enough. */
static bool refresh(KindRun *run, PackageRefresh why, bool *ret_done, GError **ret_problem,
                    GError **error) {
    *ret_done = false;
    if (run->planning || resource_get(run->resource, P_SOURCE) ||
        host_package_refresh(run->host, why, NULL, ret_done, run->cancel, ret_problem))
        return true;
    return cancel_check(run->cancel, error);
}

static bool fail_unknown(KindRun *run, const GError *problem, GError **error) {
    const char *release = resource_string(run->resource, P_RELEASE);
    g_autofree char *near = host_package_suggest(run->host, run->resource->name);
    if (near && strcmp(near, run->resource->name) == 0)
        g_clear_pointer(&near, g_free);
    g_autoptr(GString) text = g_string_new("no source of apt has it");
    if (release)
        g_string_append_printf(text, " in the release '%s'", release);
    if (near)
        g_string_append_printf(text, ", did you mean '%s'?", near);
    if (problem)
        g_string_append_printf(text, "; but not all could be asked: %s", problem->message);
    else
        g_string_append(text, "; check the name, or add the source that has it (apt_source); "
                              "'apt-get update' was run");
    g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND, text->str);
    return false;
}

/* The version that would be installed; NULL without error in a plan, when it is not known yet: the
 * source may be added by something before. */
static bool find_candidate(KindRun *run, const State *actual, char **ret_candidate,
                           GError **error) {
    bool done;
    g_autoptr(GError) problem = NULL;
    if (!refresh(run, REFRESH_STALE, &done, NULL, error) ||
        !query_candidate(run, ret_candidate, error))
        return false;
    bool release = resource_get(run->resource, P_RELEASE) != NULL; /* one that nobody has, maybe */
    if (*ret_candidate || (actual->exists && !release) || run->planning)
        return true;
    if (!refresh(run, REFRESH_MISSING, &done, &problem, error) ||
        (done && !query_candidate(run, ret_candidate, error)))
        return false;
    return *ret_candidate || fail_unknown(run, problem, error);
}

bool pkg_version_is_pattern(const char *version) {
    return g_str_has_suffix(version, "*");
}

/* The newest version if it fits the pattern; else apt finds the newest one that does. */
static bool resolve_pattern(KindRun *run, const char *pattern, char **ret_version, GError **error) {
    g_autofree char *candidate = NULL;
    if (pkg_version_is_pattern(pattern) && !query_candidate(run, &candidate, error))
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
    bool exact = version && !pkg_version_is_pattern(version);
    changes->uncertain |= version == NULL;
    changes_add(changes, "version", value_ref(state_get(actual, P_VERSION)),
                exact ? value_new_string(version) : value_new_unknown(), NULL);
}

static bool check_order(KindRun *run, const char *from, const char *to, GError **error) {
    if (pkg_version_is_pattern(to) || resource_bool(run->resource, P_ALLOWDOWNGRADE) ||
        deb_version_compare(to, from) >= 0)
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                "refuse version %s: %s is installed, which is newer; set allowdowngrade = true to "
                "go back",
                to, from);
    return false;
}

static bool check_archive(KindRun *run, const char *wanted_version, GError **error) {
    g_autofree char *version = NULL;
    if (!resource_get(run->resource, P_SOURCE))
        return true;
    if (!archive_version(run, &version, error))
        return false;
    if (!version || fnmatch(wanted_version, version, 0) == 0)
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED, "source '%s' is version %s, not %s",
                resource_string(run->resource, P_SOURCE), version, wanted_version);
    return false;
}

static bool diff_version(KindRun *run, const State *actual, const char *wanted_version,
                         Changes *changes, GError **error) {
    const char *found = found_version(actual);
    g_autofree char *version = NULL;
    if (found && fnmatch(wanted_version, found, 0) == 0)
        return true;
    if (!check_archive(run, wanted_version, error) ||
        !resolve_pattern(run, wanted_version, &version, error) ||
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
    if (found && candidate && resource_get(run->resource, P_SOURCE) &&
        !check_order(run, found, candidate, error))
        return false;
    if (!found || (candidate && !g_str_equal(candidate, found)))
        change_version(changes, actual, candidate);
    return true;
}

/* Whoever is gone cannot be installed again by stead, nor can the machine start. */
static bool is_needed_by_stead(const char *name) {
    static const char *const needed[] = {
        "stead",        "libstead0",    "apt",         "dpkg",        "systemd",
        "libc6",        "libglib2.0-0", "libsystemd0", "liblua5.4-0", "libsqlite3-0",
        "libarchive13", "libyaml-0-2",  "libjansson4", "libssl3",     "libcrypt1",
    };
    size_t length = strcspn(name, ":");
    if (length > strlen("t64") && strncmp(name + length - strlen("t64"), "t64", 3) == 0)
        length -= strlen("t64"); /* the same library for machines that count time in 64 bits */
    for (unsigned i = 0; i < G_N_ELEMENTS(needed); i++)
        if (strlen(needed[i]) == length && strncmp(name, needed[i], length) == 0)
            return true;
    return false;
}

static bool check_essential(KindRun *run, GError **error) {
    g_auto(PackageInfo) info = { 0 };
    const char *name = run->resource->name;
    if (resource_bool(run->resource, P_FORCE))
        return true;
    if (!host_package_query(run->host, name, false, &info, error))
        return false;
    bool needed = is_needed_by_stead(name);
    if (!info.essential && !needed)
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                "refuse to remove it: %s; set force = true if that is wanted",
                needed ? "stead itself needs it"
                       : "dpkg calls it essential, the machine may not start without it");
    return false;
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
    if (pkg_wanted_hold(run->resource) || !found_version(actual) ||
        !value_bool(state_get(actual, P_HELD)))
        return true;
    g_set_error(
        error, STEAD_ERROR, STEAD_ERROR_REFUSED,
        "refuse to change it: it is held at %s; set held = false to let it go, or held = true to "
        "hold it afterwards as well",
        found_version(actual));
    return false;
}

bool pkg_diff(KindRun *run, const State *actual, Changes *changes, GError **error) {
    const char *version;
    Want want = pkg_wanted(run->resource, &version);
    if (!(wants_removal(want) ? diff_removed(actual, want, changes)
                              : diff_installed(run, actual, want, version, changes, error)))
        return false;
    if (changes->changes->len > 0 &&
        (!check_hold(run, actual, error) ||
         (wants_removal(want) && actual->exists && !check_essential(run, error))))
        return false;
    const bool *hold = pkg_wanted_hold(run->resource);
    bool held = value_bool(state_get(actual, P_HELD));
    if (hold && *hold != held && (actual->exists || !wants_removal(want)))
        changes_add(changes, "held", value_new_bool(held), value_new_bool(*hold), NULL);
    const Value *manual = state_get(actual, P_MANUAL);
    bool wanted_manual = resource_bool(run->resource, P_MANUAL);
    if (!wants_removal(want) && (manual ? value_bool(manual) != wanted_manual : !wanted_manual))
        changes_add(changes, "manual", value_ref(manual), value_new_bool(wanted_manual), NULL);
    if (changes->changes->len > 0)
        changes->action = wants_removal(want) ? ACTION_REMOVE
                          : actual->exists    ? ACTION_CHANGE
                                              : ACTION_CREATE;
    return true;
}
