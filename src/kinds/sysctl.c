/*
 * sysctl: a parameter of the kernel: the value that it has now, below /proc/sys, and the line from
 * which it has it at boot. The two are kept each for itself.
 */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/suggest.h"
#include "graph/autoedge.h"
#include "graph/watcher.h"
#include "kinds/hint.h"
#include "kinds/kinds.h"
#include "kinds/sysctl-conf.h"

enum { P_KEY, P_STATE, P_VALUE, P_SAVED, P_LIVE, P_FILE, N_PARAMS };

#define OWN_FILE      "/etc/sysctl.d/90-stead.conf"
#define LOOK_AGAIN_US (60 * (uint64_t)G_USEC_PER_SEC) /* for what the kernel changes by itself */

static const char *const states[] = { "exists", "absent", "present", NULL };

static const Param params[N_PARAMS] = {
    [P_KEY] = { "key", PARAM_STRING, PARAM_NAMED | PARAM_IDENTITY | PARAM_REWATCH,
                "The parameter, such as net.ipv4.ip_forward or net/ipv4/ip_forward. Where a name "
                "in it has dots, the others are slashes: net/ipv4/conf/eth0.1/forwarding." },
    [P_STATE] = { "state", PARAM_ENUM, 0,
                  "exists: it has the value, now and at boot. absent: no line of the file sets it; "
                  "the value that it has now stays.",
                  .fallback = "exists", .choices = states, .aliases = "ensure" },
    [P_VALUE] = { "value", PARAM_STRING, PARAM_PROPERTY | PARAM_RECEIVES,
                  "The value; words of several with spaces between them. Needed unless the state "
                  "is absent.",
                  .aliases = "val" },
    [P_SAVED] = { "saved", PARAM_STRING, PARAM_PROPERTY,
                  "The value that the line in the file gives it at boot; empty: there is to be no "
                  "line. Unset: the same as `value`." },
    [P_LIVE] = { "live", PARAM_BOOL, PARAM_REWATCH,
                 "Whether the running kernel gets the value; false keeps the file only.",
                 .fallback = "true" },
    [P_FILE] = { "file", PARAM_PATH, PARAM_IDENTITY | PARAM_REWATCH, "The file with the line.",
                 .fallback = OWN_FILE, .aliases = "target" },
};

static bool wants_absent(const Resource *resource) {
    return strcmp(resource_string(resource, P_STATE), "absent") == 0;
}

/* Of the line: NULL for none. */
static const char *wanted_saved(const Resource *resource) {
    const char *saved = resource_string(resource, P_SAVED);
    if (wants_absent(resource) || (saved != NULL && *saved == '\0'))
        return NULL;
    return saved != NULL ? saved : resource_string(resource, P_VALUE);
}

static bool is_live(const Resource *resource) {
    return resource_bool(resource, P_LIVE) && !wants_absent(resource);
}

/* --- the file */

static bool edit_saved(const void *data, GBytes *before, GString *out, GError **error) {
    const Resource *resource = data;
    g_autofree char *key = sysctl_key(resource_string(resource, P_KEY));
    g_autofree char *name = sysctl_name(key);
    const char *wanted = wanted_saved(resource);
    g_auto(EditText) text;
    g_autofree char *found = NULL;
    edit_text_init(&text, before);
    size_t at = sysctl_line_find(&text, key, &found);
    g_autofree char *line = wanted != NULL ? g_strdup_printf("%s = %s\n", name, wanted) : NULL;
    bool right = wanted != NULL && found != NULL && sysctl_same(found, wanted);
    size_t done = 0;
    for (size_t i = 0; wanted == NULL && i < text.n_lines; i++) {
        g_autofree char *other = NULL, *value = NULL;
        if (!sysctl_line_parse(&text.lines[i], &other, &value) || value == NULL ||
            strcmp(other, key) != 0)
            continue;
        edit_append_lines(out, &text, done, i);
        done = i + 1;
    }
    if (wanted == NULL || right)
        edit_append_lines(out, &text, done, text.n_lines);
    else
        edit_splice(out, &text, at, MIN(at + 1, text.n_lines), line);
    return true;
}

/* The standard file is nobody else's: several resources make it, the last one removes it. */
static Edit edit_of(const KindRun *run) {
    bool own = strcmp(resource_string(run->resource, P_FILE), OWN_FILE) == 0;
    return (Edit){
        .path = resource_string(run->resource, P_FILE),
        .create = wanted_saved(run->resource) != NULL,
        .remove_empty = wanted_saved(run->resource) == NULL && (own || edit_was_created(run)),
        .edit = edit_saved,
        .data = run->resource,
    };
}

/* --- validation */

static bool refuse(GError **error, const char *param, const char *text, const char *problem) {
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "refuse %s '%s': %s", param, text, problem);
    return false;
}

static bool check_key(const char *name, GError **error) {
    g_autofree char *key = sysctl_key(name);
    g_auto(GStrv) parts = g_strsplit(key, "/", -1);
    const char *problem =
        g_strv_length(parts) < 2 ? "it has no group, as net in net.core.somaxconn" : NULL;
    for (char **part = parts; *part != NULL; part++)
        if (**part == '\0' || strcmp(*part, ".") == 0 || strcmp(*part, "..") == 0)
            problem = "a part of it is empty";
    if (strpbrk(name, " \t\r\n=#;*?[") != NULL || *name == '-')
        problem = "it is no name of a parameter";
    return problem == NULL || refuse(error, "key", name, problem);
}

static bool check_value(const char *param, const char *value, GError **error) {
    for (const char *at = value; at != NULL && *at != '\0'; at++)
        if (g_ascii_iscntrl(*at) && *at != '\t')
            return refuse(error, param, value, "it must be one line");
    return true;
}

static bool sysctl_validate(const Resource *resource, GError **error) {
    const char *key = resource_string(resource, P_KEY);
    const char *value = resource_string(resource, P_VALUE);
    bool later = resource_is_unknown(resource, P_VALUE) || resource_receives(resource, P_VALUE);
    if (key != NULL && !check_key(key, error))
        return false;
    if (value == NULL && !later && !wants_absent(resource)) {
        g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "'value' is required");
        return false;
    }
    g_autofree char *bare = g_strstrip(g_strdup(value != NULL ? value : "x"));
    if (*bare == '\0' && wanted_saved(resource) != NULL && resource_get(resource, P_SAVED) == NULL)
        return refuse(error, "value", value, "a line cannot give an empty value: say saved = \"\"");
    return check_value("value", value, error) &&
           check_value("saved", resource_string(resource, P_SAVED), error);
}

/* --- a key that does not exist */

/* Names below group of which rest, with its separators lost, may be the beginning: "eth0.1/x" where
 * somebody wrote "eth0/1/x". NULL: none. */
static char *find_dotted(Host *host, const char *group, const char *rest) {
    g_auto(GStrv) names = host_sysctl_list(host, group, NULL);
    for (char **name = names; name != NULL && *name != NULL; name++) {
        size_t size = strlen(*name);
        g_autofree char *start = g_strndup(rest, size);
        g_strdelimit(start, "/", '.');
        if (strcmp(start, *name) != 0 || (rest[size] != '/' && rest[size] != '\0'))
            continue;
        g_autofree char *path =
            *group != '\0' ? g_strconcat(group, "/", *name, NULL) : g_strdup(*name);
        if (rest[size] == '\0')
            return g_steal_pointer(&path);
        char *found = find_dotted(host, path, rest + size + 1);
        if (found != NULL)
            return found;
    }
    return NULL;
}

/* As far as the key is right, with the name nearest to the first that is not. */
static char *find_nearest(Host *host, const char *key) {
    g_auto(GStrv) parts = g_strsplit(key, "/", -1);
    g_autofree char *group = g_strdup("");
    for (char **part = parts; *part != NULL; part++) {
        g_auto(GStrv) names = host_sysctl_list(host, group, NULL);
        if (names == NULL)
            return NULL;
        const char *name = *part;
        if (!g_strv_contains((const char *const *)names, name))
            name = suggest_nearest(name, (const char *const *)names, g_strv_length(names));
        if (name == NULL)
            return NULL;
        char *path = *group != '\0' ? g_strconcat(group, "/", name, NULL) : g_strdup(name);
        g_free(group);
        group = path;
    }
    return g_steal_pointer(&group);
}

static void explain_missing(KindRun *run, const char *key, GError **error) {
    g_autofree char *dotted = find_dotted(run->host, "", key);
    g_autofree char *nearest = dotted == NULL ? find_nearest(run->host, key) : NULL;
    g_autofree char *name = nearest != NULL ? sysctl_name(nearest) : NULL;
    const char *meant = dotted != NULL ? dotted : name;
    g_autofree char *mine = sysctl_name(key);
    g_clear_error(error);
    if (meant != NULL)
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND,
                    "the kernel has no parameter '%s', did you mean '%s'?", mine, meant);
    else
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND,
                    "the kernel has no parameter '%s'; if it comes with a module, load that first",
                    mine);
}

/* --- observe */

/* As it is asked for when it is the same; else with single spaces. */
static Value *found_value(const Resource *resource, const char *wanted, const char *found) {
    if (wanted != NULL && sysctl_same(found, wanted))
        return edit_value(resource, P_VALUE, wanted);
    g_autofree char *plain = sysctl_plain(found);
    return edit_value(resource, P_VALUE, plain);
}

static bool observe_saved(KindRun *run, const char *key, State *actual, GError **error) {
    g_autoptr(GError) problem = NULL;
    bool exists;
    g_autoptr(GBytes) bytes =
        edit_read(run, resource_string(run->resource, P_FILE), &exists, &problem);
    if (bytes == NULL && g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_UNPREDICTABLE)) {
        state_set(actual, P_SAVED, value_new_unknown());
        return true;
    }
    if (bytes == NULL) {
        g_propagate_error(error, g_steal_pointer(&problem));
        return false;
    }
    g_auto(EditText) text;
    g_autofree char *value = NULL;
    edit_text_init(&text, bytes);
    if (sysctl_line_find(&text, key, &value) < text.n_lines)
        state_set(actual, P_SAVED, found_value(run->resource, wanted_saved(run->resource), value));
    return true;
}

/* Below a root no kernel runs: then there is no such property. */
static bool observe_live(KindRun *run, const char *key, State *actual, GError **error) {
    g_autoptr(GError) problem = NULL;
    SysctlInfo info;
    if (!is_live(run->resource))
        return true;
    if (host_sysctl_read(run->host, key, &info, &problem)) {
        state_set(actual, P_VALUE,
                  found_value(run->resource, resource_string(run->resource, P_VALUE), info.value));
        g_free(info.value);
        return true;
    }
    if (g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_UNSUPPORTED))
        return true;
    if (g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND))
        explain_missing(run, key, &problem);
    g_propagate_error(error, g_steal_pointer(&problem));
    return false;
}

static bool sysctl_observe(KindRun *run, State *actual, GError **error) {
    g_autofree char *key = sysctl_key(resource_string(run->resource, P_KEY));
    if (!observe_saved(run, key, actual, error) || !observe_live(run, key, actual, error))
        return false;
    actual->exists = state_get(actual, P_SAVED) != NULL || state_get(actual, P_VALUE) != NULL;
    return true;
}

/* --- diff */

static void diff_text(const Resource *resource, unsigned param, const State *actual,
                      const char *wanted, Changes *changes) {
    const Value *found = state_get(actual, param);
    bool unknown = value_type(found) == VALUE_UNKNOWN;
    bool same = found == NULL
                    ? wanted == NULL
                    : !unknown && wanted != NULL && sysctl_same(value_string(found), wanted);
    if (same)
        return;
    changes->uncertain |= unknown;
    changes_add(changes, params[param].name, value_ref(found),
                wanted != NULL ? edit_value(resource, P_VALUE, wanted) : NULL, NULL);
}

static void note_winner(KindRun *run) {
    const char *wanted = wanted_saved(run->resource);
    g_autofree char *key = sysctl_key(resource_string(run->resource, P_KEY));
    g_autofree char *place = NULL, *value = NULL;
    const char *file = resource_string(run->resource, P_FILE);
    if (wanted != NULL && sysctl_find_winner(run->host, file, key, wanted, &place, &value))
        kind_run_note(run,
                      "at boot '%s' wins and makes it '%s': remove that line, or choose a "
                      "`file` whose name sorts behind it",
                      place, value);
}

static bool sysctl_diff(KindRun *run, const State *actual, Changes *changes, GError **error) {
    const Resource *resource = run->resource;
    bool absent = wants_absent(resource);
    if (resource_is_unknown(resource, P_VALUE)) {
        changes->uncertain = true;
        changes->action = ACTION_CHANGE;
        return true;
    }
    diff_text(resource, P_SAVED, actual, wanted_saved(resource), changes);
    if (is_live(resource) && state_get(actual, P_VALUE) != NULL)
        diff_text(resource, P_VALUE, actual, resource_string(resource, P_VALUE), changes);
    if (changes->changes->len == 0)
        return true;
    bool create = state_get(actual, P_SAVED) == NULL && wanted_saved(resource) != NULL;
    changes->action = absent ? ACTION_REMOVE : create ? ACTION_CREATE : ACTION_CHANGE;
    if (changes_find(changes, "saved") != NULL && !absent) {
        Edit edit = edit_of(run);
        const Value *value = resource_get(resource, P_VALUE);
        if (value == NULL || !value_is_secret(value))
            changes->lines = edit_diff(run, &edit);
    }
    note_winner(run);
    return true;
}

/* --- apply */

static bool read_only(const char *key, GError **error) {
    g_autofree char *name = sysctl_name(key);
    g_clear_error(error);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                "set '%s': it can only be read here, by the kernel's rule or because /proc/sys is "
                "mounted read-only (in a container); live = false keeps the file only",
                name);
    return false;
}

/* The kernel may take another value than the one it is given: then it gets back what it had. */
static bool check_taken(KindRun *run, const char *key, const char *before, const char *wanted,
                        GError **error) {
    SysctlInfo info;
    if (!host_sysctl_read(run->host, key, &info, error))
        return false;
    g_autofree char *now = info.value;
    if (sysctl_same(now, wanted))
        return true;
    (void)host_sysctl_write(run->host, key, before, NULL); /* it had that value a moment ago */
    g_autofree char *name = sysctl_name(key);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED,
                "set '%s': of '%s' the kernel makes '%s'; it has its old value '%s' again, ask for "
                "one that it takes",
                name, wanted, now, before);
    return false;
}

static bool apply_live(KindRun *run, const char *key, GError **error) {
    const char *wanted = resource_string(run->resource, P_VALUE);
    g_autoptr(GError) problem = NULL;
    SysctlInfo info;
    if (!host_sysctl_read(run->host, key, &info, error))
        return false;
    g_autofree char *before = info.value;
    if (!info.writable)
        return host_is_privileged(run->host)
                   ? read_only(key, error)
                   : set_io_error(error, EACCES, "write '/proc/sys/%s'", key) ||
                         hint_io(run, "/proc/sys", error);
    if (host_sysctl_write(run->host, key, wanted, &problem))
        return check_taken(run, key, before, wanted, error);
    if (strstr(problem->message, g_strerror(EINVAL)) != NULL) {
        g_autofree char *name = sysctl_name(key);
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED,
                    "set '%s': the kernel refuses '%s'; it keeps '%s'", name, wanted, before);
        return false;
    }
    g_propagate_error(error, g_steal_pointer(&problem));
    return hint_io(run, "/proc/sys", error);
}

/* The kernel first: what it does not take is not left for the next boot. */
static bool sysctl_apply(KindRun *run, const State *actual, const Changes *changes,
                         GError **error) {
    g_autofree char *key = sysctl_key(resource_string(run->resource, P_KEY));
    if (changes->uncertain && run->planning)
        return true;
    if (changes_find(changes, "value") != NULL && !apply_live(run, key, error))
        return false;
    if (changes_find(changes, "saved") == NULL)
        return true;
    const char *file = resource_string(run->resource, P_FILE);
    Edit edit = edit_of(run);
    if (edit.create)
        edit_keep_created(run, file);
    return (!edit.create || host_make_parents(run->host, file, error)) &&
           edit_apply(run, &edit, error);
}

/* --- the rest */

static bool sysctl_watch(Watcher *watcher, const Resource *resource, GError **error) {
    g_autofree char *key = sysctl_key(resource_string(resource, P_KEY));
    bool ok = watcher_host(watcher, HOST_WATCH_FILE, resource_string(resource, P_FILE), error);
    if (!ok || !is_live(resource) || strcmp(host_root(watcher_machine(watcher)), "/") != 0)
        return ok;
    watcher_interval(watcher, LOOK_AGAIN_US);
    return watcher_host(watcher, HOST_WATCH_SYSCTL, key, error);
}

static void sysctl_auto_edges(const Resource *resource, AutoEdges *edges) {
    const char *file = resource_string(resource, P_FILE);
    auto_edges_am(edges, "edits", file);
    auto_edges_want(edges, "path", file, true);
    auto_edges_want_parent(edges, file);
}

/* The kernel always had some value: it gets that back, whoever made the line. */
static Resource *sysctl_reverse(const Resource *resource, const State *before, OnRemove how,
                                GError **error) {
    const Value *value = before != NULL ? state_get(before, P_VALUE) : NULL;
    const Value *saved =
        before != NULL && how != ON_REMOVE_REMOVE ? state_get(before, P_SAVED) : NULL;
    Resource *inverse = resource_copy(resource);
    bool exists = value != NULL || saved != NULL;
    resource_put(inverse, P_STATE, value_new_string(exists ? "exists" : "absent"));
    resource_put(inverse, P_SAVED, saved != NULL ? value_ref(saved) : value_new_string(""));
    if (value != NULL)
        resource_put(inverse, P_VALUE, value_ref(value));
    else
        resource_put(inverse, P_LIVE, value_new_bool(false));
    return inverse;
}

static bool sysctl_clean(KindRun *run, GError **error) {
    return edit_clean(run, resource_string(run->resource, P_FILE), error);
}

const Kind kind_sysctl = {
    .name = "sysctl",
    .summary = "Set a parameter of the kernel",
    .help =
        "Keeps the value of a parameter below /proc/sys, and the line of a file in /etc/sysctl.d "
        "from which the kernel has it at boot. Other lines of that file stay byte for byte. Spaces "
        "and tabs between words do not count, nor how a number is written (0x1f is 31).\n\n"
        "A value that the kernel refuses or turns into another one is an error: the old value is "
        "back then, and the file as it was. So is a parameter that does not exist, which names the "
        "nearest one; those that come with a module (net.bridge, net.netfilter) exist once it is "
        "loaded. Where another file of sysctl.d wins at boot with another value, plan and apply "
        "say which line of it.\n\n"
        "Writes by programs are seen at once, as far as they go through the same /proc (not those "
        "of another container). What the kernel changes by itself tells nobody: the value is "
        "therefore looked at every 60 s as well, or as often as `poll` says, which then replaces "
        "watching altogether.\n\n"
        "Below `--root` only the file is kept. Where /proc/sys is read-only, as in many "
        "containers, `live = false` does the same.\n\n"
        "When the resource leaves the configuration, the kernel gets the value back that it had "
        "before, and the line is removed or becomes what it was.",
    .example = "sysctl \"net.ipv4.ip_forward\" { value = 1 }\n"
               "sysctl \"net.ipv4.tcp_rmem\" { value = \"4096 131072 6291456\" }\n"
               "sysctl \"net/ipv4/conf/eth0.100/forwarding\" {\n"
               "  value = 0, file = \"/etc/sysctl.d/50-vlan.conf\", live = false,\n"
               "}\n",
    .params = params,
    .n_params = N_PARAMS,
    .flags = KIND_QUICK,
    .validate = sysctl_validate,
    .observe = sysctl_observe,
    .diff = sysctl_diff,
    .apply = sysctl_apply,
    .watch = sysctl_watch,
    .auto_edges = sysctl_auto_edges,
    .reverse = sysctl_reverse,
    .clean = sysctl_clean,
};
