/* ini: one key of an INI file that belongs to somebody else. */
#include "kinds/ini-text.h"

#include <string.h>

#include "graph/autoedge.h"
#include "graph/watcher.h"
#include "kinds/edit.h"
#include "kinds/kinds.h"

enum {
    INI_ROW_PATH,
    INI_ROW_SECTION,
    INI_ROW_KEY,
    INI_ROW_VALUE,
    INI_ROW_STATE,
    INI_ROW_SEPARATOR,
    INI_ROW_QUOTE,
    INI_ROW_CREATE,
};

static const char *const states[] = { "exists", "absent", NULL };
static const char *const quotes[] = { "keep", "none", "single", "double", NULL }; /* IniQuote */

static const Param ini_params[] = {
    [INI_ROW_PATH] = { "path", PARAM_PATH, PARAM_REQUIRED | PARAM_IDENTITY | PARAM_REWATCH,
                       "The INI file. A link is followed to the file it points to.",
                       .aliases = "file" },
    [INI_ROW_SECTION] = { "section", PARAM_STRING, PARAM_IDENTITY,
                          "Name between the brackets; empty for keys before the first section.",
                          .fallback = "" },
    [INI_ROW_KEY] = { "key", PARAM_STRING, PARAM_REQUIRED | PARAM_IDENTITY,
                      "Key, as it is spelled in the file.", .aliases = "setting" },
    [INI_ROW_VALUE] = { "value", PARAM_STRING, PARAM_PROPERTY | PARAM_RECEIVES,
                        "Value, in one line. Without it the key stands alone on its line." },
    [INI_ROW_STATE] = { "state", PARAM_ENUM, 0, "Whether the key is there or not.",
                        .fallback = "exists", .choices = states, .aliases = "ensure" },
    [INI_ROW_SEPARATOR] = { "separator", PARAM_STRING, 0,
                            "What stands between key and value of a new line; blanks around it do "
                            "not count for reading. Follows the file when unset, or is \" = \".",
                            .aliases = "key_val_separator" },
    [INI_ROW_QUOTE] = { "quote", PARAM_ENUM, 0,
                        "Quotes around the value: keep does as the line that is there, and reads "
                        "through its quotes; the others insist.",
                        .fallback = "keep", .choices = quotes },
    [INI_ROW_CREATE] = { "create", PARAM_BOOL, 0,
                         "Whether a missing file is made; otherwise it is an error.",
                         .fallback = "true" },
};

/* The resource, decoded. Borrows from it. */
typedef struct {
    const Resource *resource;
    const char *path;
    bool absent;
    bool unknown; /* the value is known only when applied */
    IniEntry entry;
} IniSpec;

static IniSpec ini_spec(const Resource *resource) {
    IniSpec spec = {
        .resource = resource,
        .path = resource_string(resource, INI_ROW_PATH),
        .absent = strcmp(resource_string(resource, INI_ROW_STATE), "absent") == 0,
        .unknown = resource_is_unknown(resource, INI_ROW_VALUE),
        .entry = {
            .section = resource_string(resource, INI_ROW_SECTION),
            .key = resource_string(resource, INI_ROW_KEY),
            .value = resource_string(resource, INI_ROW_VALUE),
            .separator = resource_string(resource, INI_ROW_SEPARATOR),
        },
    };
    const char *quote = resource_string(resource, INI_ROW_QUOTE);
    while (strcmp(quotes[spec.entry.quote], quote) != 0)
        spec.entry.quote++;
    /* A value that brings its own quotes is compared and written as it is. */
    const char *value = spec.entry.value;
    size_t size = value != NULL ? strlen(value) : 0;
    if (spec.entry.quote == INI_QUOTE_KEEP && size >= 2 && strchr("\"'", *value) != NULL &&
        value[size - 1] == *value)
        spec.entry.quote = INI_QUOTE_NONE;
    return spec;
}

/* What would read back as something else. */
static const char *find_problem(const IniSpec *spec) {
    const IniEntry *entry = &spec->entry;
    const char *value = entry->value != NULL ? entry->value : "";
    size_t size = strlen(value);
    const Value *given = resource_get(spec->resource, INI_ROW_VALUE);
    bool has_nul = value_type(given) == VALUE_STRING && value_string_size(given) != size;
    bool padded = size > 0 && (g_ascii_isspace(value[0]) || g_ascii_isspace(value[size - 1]));
    if (*entry->key == '\0' || strpbrk(entry->key, "\r\n") != NULL ||
        g_ascii_isspace(entry->key[0]) || g_ascii_isspace(entry->key[strlen(entry->key) - 1]))
        return "key must be one line without blanks around it";
    if (strchr("#;[", entry->key[0]) != NULL)
        return "key must not start like a comment or a section";
    if (strpbrk(entry->section, "]\r\n") != NULL)
        return "section must be one line without brackets";
    if (has_nul || strpbrk(value, "\r\n") != NULL)
        return "value must be one line";
    if (padded && entry->quote != INI_QUOTE_SINGLE && entry->quote != INI_QUOTE_DOUBLE)
        return "a value with blanks around it needs quote = \"double\" or \"single\"";
    if (entry->separator != NULL &&
        (*entry->separator == '\0' || strpbrk(entry->separator, "\r\n") != NULL))
        return "separator must be one line and not empty";
    if (g_str_has_suffix(spec->path, "/"))
        return "path must not end with a slash";
    return NULL;
}

static bool key_holds_separator(const IniEntry *entry) {
    g_autofree char *core = g_strdup(entry->separator != NULL ? entry->separator : "=");
    g_strstrip(core);
    return strstr(entry->key, *core != '\0' ? core : " ") != NULL;
}

static bool ini_validate(const Resource *resource, GError **error) {
    IniSpec spec = ini_spec(resource);
    const char *problem = find_problem(&spec);
    if (problem == NULL && key_holds_separator(&spec.entry))
        problem = "key must not contain the separator";
    if (problem == NULL)
        return true;
    g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_CONFIG, problem);
    return false;
}

/* Our value as it would read back: with quotes when they are insisted on. */
static char *value_as_read(const IniEntry *entry) {
    const char *quote = entry->quote == INI_QUOTE_SINGLE   ? "'"
                        : entry->quote == INI_QUOTE_DOUBLE ? "\""
                                                           : "";
    return g_strconcat(quote, entry->value, quote, NULL);
}

static Value *shown(const IniSpec *spec, const char *text) {
    return edit_value(spec->resource, INI_ROW_VALUE, text);
}

static bool ini_observe(KindRun *run, State *actual, GError **error) {
    IniSpec spec = ini_spec(run->resource);
    g_autoptr(GError) problem = NULL;
    g_autofree char *value = NULL;
    bool exists;
    g_autoptr(GBytes) bytes = edit_read(run, spec.path, &exists, &problem);
    if (bytes == NULL && g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_UNPREDICTABLE)) {
        actual->exists = true;
        state_set(actual, INI_ROW_VALUE, value_new_unknown());
        return true;
    }
    if (bytes == NULL) {
        g_propagate_error(error, g_steal_pointer(&problem));
        return false;
    }
    IniFound found = ini_find(bytes, &spec.entry, &value);
    actual->exists = found != INI_ABSENT;
    if (found == INI_VALUE)
        state_set(actual, INI_ROW_VALUE, shown(&spec, value));
    return true;
}

static bool ini_edit(const void *data, GBytes *before, GString *out, GError **error) {
    const IniSpec *spec = data;
    if (spec->absent)
        ini_remove(before, &spec->entry, out);
    else
        ini_set(before, &spec->entry, out);
    return true;
}

static Edit edit_of(const KindRun *run, const IniSpec *spec) {
    return (Edit){
        .path = spec->path,
        .create = resource_bool(spec->resource, INI_ROW_CREATE),
        .remove_empty = spec->absent && edit_was_created(run),
        .edit = ini_edit,
        .data = spec,
    };
}

static Value *wanted_value(const IniSpec *spec) {
    if (spec->absent || (spec->entry.value == NULL && !spec->unknown))
        return NULL;
    if (spec->unknown)
        return value_new_unknown();
    g_autofree char *text = value_as_read(&spec->entry);
    return shown(spec, text);
}

static bool ini_diff(KindRun *run, const State *actual, Changes *changes, GError **error) {
    IniSpec spec = ini_spec(run->resource);
    const Value *found = state_get(actual, INI_ROW_VALUE);
    g_autoptr(Value) wanted = wanted_value(&spec);
    if (spec.absent ? !actual->exists : actual->exists && value_equal(found, wanted))
        return true;
    changes->action = spec.absent ? ACTION_REMOVE : actual->exists ? ACTION_CHANGE : ACTION_CREATE;
    changes->uncertain = value_type(found) == VALUE_UNKNOWN || (spec.unknown && !spec.absent);
    Edit edit = edit_of(run, &spec);
    char *diff = changes->uncertain ? NULL : edit_diff(run, &edit);
    changes_add(changes, "value", value_ref(found), g_steal_pointer(&wanted), diff);
    return true;
}

static bool ini_apply(KindRun *run, const State *actual, const Changes *changes, GError **error) {
    IniSpec spec = ini_spec(run->resource);
    if (changes->uncertain && run->planning)
        return true;
    if (!spec.absent)
        edit_keep_created(run, spec.path);
    Edit edit = edit_of(run, &spec);
    return edit_apply(run, &edit, error);
}

static bool ini_watch(Watcher *watcher, const Resource *resource, GError **error) {
    return watcher_host(watcher, HOST_WATCH_FILE, resource_string(resource, INI_ROW_PATH), error);
}

static void ini_auto_edges(const Resource *resource, AutoEdges *edges) {
    auto_edges_am(edges, "edits", resource_string(resource, INI_ROW_PATH));
    auto_edges_want(edges, "path", resource_string(resource, INI_ROW_PATH), true);
    auto_edges_want_parent(edges, resource_string(resource, INI_ROW_PATH));
}

static void copy_param(Resource *inverse, const Resource *resource, unsigned param) {
    if (resource_get(resource, param) != NULL)
        resource_put(inverse, param, value_ref(resource_get(resource, param)));
}

/* Values read through quotes are put back between them as long as our line kept them. */
static Resource *ini_reverse(const Resource *resource, const State *before, OnRemove how,
                             GError **error) {
    bool existed = before != NULL && before->exists && how != ON_REMOVE_REMOVE;
    Resource *inverse = resource_new(resource->kind, resource->name, resource->origin);
    for (unsigned param = 0; param < resource->kind->n_params; param++)
        if (param != INI_ROW_VALUE && param != INI_ROW_STATE)
            copy_param(inverse, resource, param);
    resource_put(inverse, INI_ROW_STATE, value_new_string(existed ? "exists" : "absent"));
    if (existed && state_get(before, INI_ROW_VALUE) != NULL)
        resource_put(inverse, INI_ROW_VALUE, value_ref(state_get(before, INI_ROW_VALUE)));
    if (existed && strcmp(resource_string(resource, INI_ROW_QUOTE), "keep") != 0)
        resource_put(inverse, INI_ROW_QUOTE, value_new_string("none"));
    return inverse;
}

static bool ini_clean(KindRun *run, GError **error) {
    return edit_clean(run, resource_string(run->resource, INI_ROW_PATH), error);
}

const Kind kind_ini = {
    .name = "ini",
    .summary = "Keep one key of an INI file",
    .help =
        "Keeps one key of an INI file (systemd, git, desktop and PHP settings, ...) at a value, or "
        "out of the file. Only that value changes: comments, order, indentation, spelling of the "
        "separator and of line ends stay as they are. Several resources may edit one file in any "
        "order and at the same time.\n\n"
        "A new key goes behind a commented-out line of the same key, else behind the last key of "
        "its section; a missing section is added at the end. When a key stands several times in a "
        "section its last line counts, and absent removes all. A section that loses its last line "
        "goes too. What follows the separator is the value up to the end of the line.\n\n"
        "When the resource leaves the configuration, the key is removed, or its former value comes "
        "back.",
    .example = "ini \"journal size\" {\n"
               "  path = \"/etc/systemd/journald.conf\", section = \"Journal\",\n"
               "  key = \"SystemMaxUse\", value = \"200M\", notify = svc \"systemd-journald\",\n"
               "}\n"
               "svc \"systemd-journald\" { state = \"running\" }\n",
    .params = ini_params,
    .n_params = G_N_ELEMENTS(ini_params),
    .flags = KIND_QUICK,
    .validate = ini_validate,
    .observe = ini_observe,
    .diff = ini_diff,
    .apply = ini_apply,
    .watch = ini_watch,
    .auto_edges = ini_auto_edges,
    .reverse = ini_reverse,
    .clean = ini_clean,
};
