/* hostname: the static name of the machine, a pretty one, and that of the running kernel. */
#include <string.h>

#include "graph/autoedge.h"
#include "graph/watcher.h"
#include "kinds/edit.h"
#include "kinds/hint.h"
#include "kinds/host-name.h"
#include "kinds/ini-text.h"
#include "kinds/kinds.h"

enum { P_HOSTNAME, P_STATE, P_PRETTY, P_TRANSIENT, P_TARGET, N_PARAMS };

#define MACHINE_INFO    "/etc/machine-info"
#define NAME_MAX_LENGTH 64 /* of the kernel */

static const char *const states[] = { "exists", "absent", "present", NULL };

static const Param params[N_PARAMS] = {
    [P_HOSTNAME] = { "hostname", PARAM_STRING, PARAM_NAMED | PARAM_PROPERTY | PARAM_RECEIVES,
                     "The name that the machine has from boot on, short or fully qualified.",
                     .aliases = "static_hostname" },
    [P_STATE] = { "state", PARAM_ENUM, 0,
                  "Whether there is a name of its own; absent removes the file and leaves the "
                  "running name.",
                  .fallback = "exists", .choices = states, .aliases = "ensure" },
    [P_PRETTY] = { "pretty_hostname", PARAM_STRING, PARAM_PROPERTY,
                   "A name for people, in any characters, in /etc/machine-info; empty for none. "
                   "Unset: left as it is.",
                   .aliases = "pretty" },
    [P_TRANSIENT] = { "transient_hostname", PARAM_STRING, PARAM_PROPERTY,
                      "The name that the running kernel has. Unset: the same as `hostname`; empty: "
                      "left as it is." },
    [P_TARGET] = { "target", PARAM_PATH, PARAM_IDENTITY | PARAM_REWATCH,
                   "The file of the static name.", .fallback = "/etc/hostname" },
};

static const IniEntry pretty_entry = {
    .section = "", .key = "PRETTY_HOSTNAME", .separator = "=", .quote = INI_QUOTE_DOUBLE
};

static bool wants_absent(const Resource *resource) {
    return strcmp(resource_string(resource, P_STATE), "absent") == 0;
}

/* NULL: left as it is. */
static const char *wanted_transient(const Resource *resource) {
    const char *name = resource_string(resource, P_TRANSIENT);
    if (wants_absent(resource) || (name != NULL && *name == '\0'))
        return NULL;
    return name != NULL ? name : resource_string(resource, P_HOSTNAME);
}

static bool is_transient_kept(const Resource *resource) {
    const char *name = resource_string(resource, P_TRANSIENT);
    return !wants_absent(resource) && (name == NULL || *name != '\0');
}

/* --- /etc/hostname: hostname(5) */

/* The line with the name: the first that is neither blank nor a comment; n_lines: none. */
static size_t name_line(const EditText *text) {
    size_t i = 0;
    for (; i < text->n_lines; i++) {
        const EditLine *line = &text->lines[i];
        size_t at = 0;
        while (at < line->size && g_ascii_isspace(line->start[at]))
            at++;
        if (at < line->size && line->start[at] != '#')
            return i;
    }
    return i;
}

static char *read_name(GBytes *bytes) {
    g_auto(EditText) text;
    edit_text_init(&text, bytes);
    size_t at = name_line(&text);
    return at < text.n_lines ? g_strstrip(g_strndup(text.lines[at].start, text.lines[at].size))
                             : NULL;
}

static bool edit_name(const void *data, GBytes *before, GString *out, GError **error) {
    const Resource *resource = data;
    g_auto(EditText) text;
    edit_text_init(&text, before);
    if (wants_absent(resource))
        return true; /* comments alone would be an odd thing to leave */
    size_t at = name_line(&text);
    g_autofree char *block = g_strconcat(resource_string(resource, P_HOSTNAME), "\n", NULL);
    edit_splice(out, &text, at, MIN(at + 1, text.n_lines), block);
    return true;
}

static Edit name_edit(const Resource *resource) {
    return (Edit){
        .path = resource_string(resource, P_TARGET),
        .create = true,
        .remove_empty = true,
        .edit = edit_name,
        .data = resource,
    };
}

/* --- /etc/machine-info: machine-info(5), quoted as in a shell */

static char *escape(const char *text) {
    GString *out = g_string_new(NULL);
    for (; *text != '\0'; text++) {
        if (strchr("\"\\$`", *text) != NULL)
            g_string_append_c(out, '\\');
        g_string_append_c(out, *text);
    }
    return g_string_free(out, FALSE);
}

static char *unescape(const char *text) {
    size_t size = strlen(text);
    bool quoted = size >= 2 && strchr("\"'", *text) != NULL && text[size - 1] == *text;
    bool literal = quoted && *text == '\'';
    GString *out = g_string_new(NULL);
    for (size_t i = quoted; i < size - quoted; i++) {
        if (text[i] == '\\' && !literal && i + 1 < size - quoted)
            i++;
        g_string_append_c(out, text[i]);
    }
    return g_string_free(out, FALSE);
}

static char *read_pretty(GBytes *bytes) {
    g_autofree char *value = NULL;
    return ini_find(bytes, &pretty_entry, &value) == INI_VALUE ? unescape(value) : g_strdup("");
}

static bool edit_pretty(const void *data, GBytes *before, GString *out, GError **error) {
    g_autofree char *value = escape(data);
    IniEntry entry = pretty_entry;
    entry.value = value;
    if (*value == '\0')
        ini_remove(before, &entry, out);
    else
        ini_set(before, &entry, out);
    return true;
}

static Edit pretty_edit(const char *pretty) {
    return (Edit){
        .path = MACHINE_INFO,
        .create = true,
        .remove_empty = true,
        .edit = edit_pretty,
        .data = pretty,
    };
}

/* --- validation */

static bool check_name(const char *param, const char *name, GError **error) {
    const char *problem = host_name_problem(name);
    if (problem == NULL && strlen(name) > NAME_MAX_LENGTH)
        problem = "it is longer than the 64 characters that Linux takes";
    if (problem == NULL && strchr(name, '_') != NULL)
        problem = "'_' cannot be part of it";
    if (problem != NULL)
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "refuse %s '%s': %s", param, name,
                    problem);
    return problem == NULL;
}

static bool hostname_validate(const Resource *resource, GError **error) {
    const char *name = resource_string(resource, P_HOSTNAME);
    const char *transient = resource_string(resource, P_TRANSIENT);
    const char *pretty = resource_string(resource, P_PRETTY);
    for (const char *c = pretty; c != NULL && *c != '\0'; c++)
        if (g_ascii_iscntrl(*c)) {
            g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                                "pretty_hostname must be one line without control characters");
            return false;
        }
    if (wants_absent(resource))
        return true;
    return (name == NULL || check_name("hostname", name, error)) &&
           (transient == NULL || *transient == '\0' ||
            check_name("transient_hostname", transient, error));
}

/* --- observe */

/* *ret_text: NULL when there is nothing; the property is set to unknown when a command that a plan
 * does not run decides. */
static bool observe_file(KindRun *run, const char *path, char *(*read)(GBytes *), unsigned param,
                         State *actual, GError **error) {
    g_autoptr(GError) problem = NULL;
    bool exists;
    g_autoptr(GBytes) bytes = edit_read(run, path, &exists, &problem);
    if (bytes == NULL && g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_UNPREDICTABLE)) {
        state_set(actual, param, value_new_unknown());
        return true;
    }
    if (bytes == NULL) {
        g_propagate_error(error, g_steal_pointer(&problem));
        return false;
    }
    g_autofree char *text = read(bytes);
    if (text != NULL)
        state_set(actual, param, value_new_string(text));
    return true;
}

/* Below a root nothing runs: then there is no such property. */
static bool observe_running(KindRun *run, State *actual, GError **error) {
    g_autoptr(GError) problem = NULL;
    g_autofree char *name = host_running_name(run->host, &problem);
    if (name != NULL) {
        state_set(actual, P_TRANSIENT, value_new_string(name));
        return true;
    }
    if (g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_UNSUPPORTED))
        return true;
    g_propagate_error(error, g_steal_pointer(&problem));
    return false;
}

static bool hostname_observe(KindRun *run, State *actual, GError **error) {
    const Resource *resource = run->resource;
    if (!observe_file(run, resource_string(resource, P_TARGET), read_name, P_HOSTNAME, actual,
                      error) ||
        (resource_get(resource, P_PRETTY) != NULL &&
         !observe_file(run, MACHINE_INFO, read_pretty, P_PRETTY, actual, error)) ||
        (is_transient_kept(resource) && !observe_running(run, actual, error)))
        return false;
    actual->exists = state_get(actual, P_HOSTNAME) != NULL;
    return true;
}

/* --- diff */

static void add_text(Changes *changes, unsigned param, const State *actual, const char *wanted) {
    const Value *found = state_get(actual, param);
    if (value_type(found) == VALUE_UNKNOWN)
        changes->uncertain = true;
    else if (wanted != NULL && found != NULL && strcmp(value_string(found), wanted) == 0)
        return;
    changes_add(changes, params[param].name, value_ref(found),
                wanted != NULL ? value_new_string(wanted) : value_new_unknown(), NULL);
}

static bool hostname_diff(KindRun *run, const State *actual, Changes *changes, GError **error) {
    const Resource *resource = run->resource;
    const char *name = resource_string(resource, P_HOSTNAME);
    const char *transient = wanted_transient(resource);
    const char *pretty = resource_string(resource, P_PRETTY);
    bool absent = wants_absent(resource), has_running = state_get(actual, P_TRANSIENT) != NULL;
    if (absent && actual->exists)
        changes_add(changes, "hostname", value_ref(state_get(actual, P_HOSTNAME)), NULL, NULL);
    if (!absent)
        add_text(changes, P_HOSTNAME, actual, name);
    changes->uncertain |= !absent && name == NULL;
    if (pretty != NULL)
        add_text(changes, P_PRETTY, actual, pretty);
    if (is_transient_kept(resource) && has_running)
        add_text(changes, P_TRANSIENT, actual, transient);
    if (changes->changes->len > 0)
        changes->action = absent && actual->exists     ? ACTION_REMOVE
                          : !absent && !actual->exists ? ACTION_CREATE
                                                       : ACTION_CHANGE;
    return true;
}

/* --- apply */

static bool hostname_apply(KindRun *run, const State *actual, const Changes *changes,
                           GError **error) {
    const Resource *resource = run->resource;
    if (changes->uncertain && run->planning)
        return true;
    Edit name = name_edit(resource), pretty = pretty_edit(resource_string(resource, P_PRETTY));
    if ((changes_find(changes, "hostname") != NULL && !edit_apply(run, &name, error)) ||
        (changes_find(changes, "pretty_hostname") != NULL && !edit_apply(run, &pretty, error)))
        return false;
    if (changes_find(changes, "transient_hostname") == NULL)
        return true;
    return host_set_running_name(run->host, wanted_transient(resource), error) ||
           hint_io(run, "/proc/sys/kernel/hostname", error);
}

/* --- the rest */

static bool hostname_watch(Watcher *watcher, const Resource *resource, GError **error) {
    return watcher_host(watcher, HOST_WATCH_FILE, resource_string(resource, P_TARGET), error) &&
           (resource_get(resource, P_PRETTY) == NULL ||
            watcher_host(watcher, HOST_WATCH_FILE, MACHINE_INFO, error)) &&
           (!is_transient_kept(resource) ||
            watcher_host(watcher, HOST_WATCH_RUNNING_NAME, NULL, error));
}

static void hostname_auto_edges(const Resource *resource, AutoEdges *edges) {
    const char *target = resource_string(resource, P_TARGET);
    auto_edges_am(edges, "edits", target);
    auto_edges_want(edges, "path", target, true);
    auto_edges_want_parent(edges, target);
    if (resource_get(resource, P_PRETTY) == NULL)
        return;
    auto_edges_am(edges, "edits", MACHINE_INFO);
    auto_edges_want(edges, "path", MACHINE_INFO, true);
}

static void restore_text(Resource *inverse, const State *before, unsigned param) {
    const Value *text = before != NULL ? state_get(before, param) : NULL;
    resource_put(inverse, param, text != NULL ? value_ref(text) : value_new_string(""));
}

/* A machine that was called something is called that again, also where its file was missing. */
static Resource *hostname_reverse(const Resource *resource, const State *before, OnRemove how,
                                  GError **error) {
    bool existed = before != NULL && before->exists && how != ON_REMOVE_REMOVE;
    Resource *inverse = resource_copy(resource);
    resource_put(inverse, P_STATE, value_new_string(existed ? "exists" : "absent"));
    if (existed)
        resource_put(inverse, P_HOSTNAME, value_ref(state_get(before, P_HOSTNAME)));
    if (resource_get(resource, P_PRETTY) != NULL)
        restore_text(inverse, how != ON_REMOVE_REMOVE ? before : NULL, P_PRETTY);
    restore_text(inverse, existed ? before : NULL, P_TRANSIENT);
    return inverse;
}

static bool hostname_clean(KindRun *run, GError **error) {
    return edit_clean(run, resource_string(run->resource, P_TARGET), error) &&
           edit_clean(run, MACHINE_INFO, error);
}

const Kind kind_hostname = {
    .name = "hostname",
    .summary = "Name the machine",
    .help =
        "Keeps the name of the machine: in /etc/hostname, from which it has it at boot, and in the "
        "running kernel, so that nothing has to be restarted for it. Comments in the file stay. "
        "With `pretty_hostname` also the name for people in /etc/machine-info. A name that "
        "somebody, or DHCP, gives to the running machine is seen at once and corrected, unless "
        "`transient_hostname` is empty.\n\n"
        "The name should be found in /etc/hosts or DNS as well: see the kind `host`. Programs read "
        "the name when they start; those that must know of a change are told with `notify`.\n\n"
        "Below `--root` only the files are kept. There is one such resource for a machine: two are "
        "an error.\n\n"
        "When the resource leaves the configuration, the names become what they were; a file that "
        "was made goes, and the running name stays until the next boot.",
    .example = "hostname \"web1.example.com\" { pretty_hostname = \"Shop, first server\" }\n"
               "host \"web1.example.com\" { ip = \"127.0.1.1\", host_aliases = \"web1\" }\n",
    .params = params,
    .n_params = N_PARAMS,
    .flags = KIND_QUICK,
    .validate = hostname_validate,
    .observe = hostname_observe,
    .diff = hostname_diff,
    .apply = hostname_apply,
    .watch = hostname_watch,
    .auto_edges = hostname_auto_edges,
    .reverse = hostname_reverse,
    .clean = hostname_clean,
};
