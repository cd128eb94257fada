/* line: one line (or a block of lines) in a text file that belongs to somebody else. */
#include <string.h>

#include "graph/autoedge.h"
#include "graph/watcher.h"
#include "kinds/edit.h"
#include "kinds/kinds.h"

enum {
    LINE_FILE,
    LINE_STATE,
    LINE_CONTENT,
    LINE_TRIM,
    LINE_MATCH,
    LINE_MULTIPLE,
    LINE_REPLACE,
    LINE_APPEND,
    LINE_AFTER,
    LINE_FOR_ABSENCE,
    LINE_CREATE,
};

static const char *const states[] = { "exists", "absent", NULL };

static const Param line_params[] = {
    [LINE_FILE] = { "file", PARAM_PATH, PARAM_REQUIRED | PARAM_IDENTITY | PARAM_REWATCH,
                    "File the line is in. A link is followed to the file it points to.",
                    .aliases = "path" },
    [LINE_STATE] = { "state", PARAM_ENUM, 0, "Whether the line is there or not.",
                     .fallback = "exists", .choices = states, .aliases = "ensure" },
    [LINE_CONTENT] = { "content", PARAM_STRING, PARAM_PROPERTY | PARAM_IDENTITY | PARAM_RECEIVES,
                       "The line, without what ends it. Several lines are a block: they must "
                       "follow "
                       "each other. Empty content does nothing.",
                       .aliases = "line" },
    [LINE_TRIM] = { "trim", PARAM_BOOL, 0, "Drops blanks and newlines around the content.",
                    .fallback = "false" },
    [LINE_MATCH] = { "match", PARAM_STRING, 0,
                     "Regular expression (PCRE) of the line that content takes the place of; in a "
                     "state of absent without content, of the lines that are removed." },
    [LINE_MULTIPLE] = { "multiple", PARAM_BOOL, 0,
                        "Lets content take the place of every line that matches; otherwise more "
                        "than one is an error.",
                        .fallback = "false" },
    [LINE_REPLACE] = { "replace", PARAM_BOOL, 0,
                       "Whether a line that matches is changed; false is content with it.",
                       .fallback = "true" },
    [LINE_APPEND] = { "append_on_no_match", PARAM_BOOL, 0,
                      "Whether the line is added when nothing matches.", .fallback = "true" },
    [LINE_AFTER] = { "after", PARAM_STRING, 0,
                     "Regular expression: a new line goes behind the last line that matches; at "
                     "the "
                     "end of the file when none does." },
    [LINE_FOR_ABSENCE] = { "match_for_absence", PARAM_BOOL, 0,
                           "In a state of absent, lines go by match even though there is content.",
                           .fallback = "false" },
    [LINE_CREATE] = { "create", PARAM_BOOL, 0,
                      "Whether a missing file is made; otherwise it is an error.",
                      .fallback = "true" },
};

/* The resource, decoded. */
typedef struct {
    const Resource *resource;
    const char *path;
    bool absent;
    char *content; /* without a newline at its end; NULL: unknown, or only match counts */
    char **lines;  /* of content */
    GRegex *match, *after;
} LineSpec;

static GRegex *compile(const Resource *resource, unsigned param, GError **error) {
    const char *pattern = resource_string(resource, param);
    if (pattern == NULL || *pattern == '\0')
        return NULL;
    g_autoptr(GError) problem = NULL;
    /* Bytes, not characters: files need not be UTF-8. */
    GRegex *regex = g_regex_new(pattern, G_REGEX_RAW, 0, &problem);
    if (regex == NULL)
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "%s: %s", line_params[param].name,
                    problem->message);
    return regex;
}

static char *wanted_content(const Resource *resource) {
    const char *text = resource_string(resource, LINE_CONTENT);
    if (text == NULL)
        return NULL;
    char *content = g_strdup(text);
    if (resource_bool(resource, LINE_TRIM))
        return g_strstrip(content);
    size_t size = strlen(content);
    if (size > 0 && content[size - 1] == '\n')
        content[size - 1] = '\0';
    return content;
}

static void line_spec_init(LineSpec *spec, const Resource *resource) {
    *spec = (LineSpec){
        .resource = resource,
        .path = resource_string(resource, LINE_FILE),
        .absent = strcmp(resource_string(resource, LINE_STATE), "absent") == 0,
        .match = compile(resource, LINE_MATCH, NULL),
        .after = compile(resource, LINE_AFTER, NULL),
    };
    if (!spec->absent || !resource_bool(resource, LINE_FOR_ABSENCE))
        spec->content = wanted_content(resource);
    if (spec->content != NULL)
        spec->lines = g_strsplit(spec->content, "\n", -1);
}

static void line_spec_clear(LineSpec *spec) {
    g_clear_pointer(&spec->content, g_free);
    g_clear_pointer(&spec->lines, g_strfreev);
    g_clear_pointer(&spec->match, g_regex_unref);
    g_clear_pointer(&spec->after, g_regex_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(LineSpec, line_spec_clear)

static bool line_validate(const Resource *resource, GError **error) {
    bool absent = strcmp(resource_string(resource, LINE_STATE), "absent") == 0;
    const char *match = resource_string(resource, LINE_MATCH);
    bool has_match = match != NULL && *match != '\0';
    const Value *content = resource_get(resource, LINE_CONTENT);
    const char *problem = NULL;
    g_autofree char *text = wanted_content(resource);
    if (g_str_has_suffix(resource_string(resource, LINE_FILE), "/"))
        problem = "file must not end with a slash";
    else if (content == NULL && !resource_is_unknown(resource, LINE_CONTENT) &&
             !(absent && has_match))
        problem = absent ? "content or match must say which line" : "content is required";
    else if (value_type(content) == VALUE_STRING &&
             strlen(value_string(content)) != value_string_size(content))
        problem = "content must not contain zero bytes";
    else if (resource_bool(resource, LINE_FOR_ABSENCE) && !has_match)
        problem = "match_for_absence needs match";
    else if (has_match && !absent && text != NULL && strchr(text, '\n') != NULL)
        problem = "a block of several lines cannot take the place of a line that matches";
    if (problem != NULL) {
        g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_CONFIG, problem);
        return false;
    }
    for (unsigned param = LINE_MATCH; param <= LINE_AFTER; param += LINE_AFTER - LINE_MATCH) {
        g_autoptr(GError) wrong = NULL;
        g_autoptr(GRegex) regex = compile(resource, param, &wrong);
        if (regex == NULL && wrong != NULL) {
            g_propagate_error(error, g_steal_pointer(&wrong));
            return false;
        }
    }
    return true;
}

/* --- what is in the file */

static bool block_at(const LineSpec *spec, const EditText *text, size_t at) {
    for (size_t i = 0; spec->lines[i] != NULL; i++)
        if (at + i >= text->n_lines ||
            !edit_line_is(&text->lines[at + i], spec->lines[i], strlen(spec->lines[i])))
            return false;
    return true;
}

static bool line_matches(const GRegex *regex, const EditLine *line) {
    return g_regex_match_full(regex, line->start, (gssize)line->size, 0, 0, NULL, NULL);
}

/* Number of lines from `at` on that are to go, in the state absent. */
static size_t doomed_at(const LineSpec *spec, const EditText *text, size_t at) {
    if (spec->content == NULL)
        return line_matches(spec->match, &text->lines[at]) ? 1 : 0;
    return *spec->content != '\0' && block_at(spec, text, at) ? g_strv_length(spec->lines) : 0;
}

typedef struct {
    bool right;       /* nothing to do */
    GString *instead; /* what is there instead, lines joined; NULL: nothing */
} Found;

static void found_clear(Found *found) {
    if (found->instead != NULL)
        g_string_free(found->instead, TRUE);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Found, found_clear)

static void found_add(Found *found, const EditText *text, size_t first, size_t n) {
    for (size_t i = first; i < first + n; i++) {
        if (found->instead == NULL)
            found->instead = g_string_new(NULL);
        else
            g_string_append_c(found->instead, '\n');
        g_string_append_len(found->instead, text->lines[i].start, (gssize)text->lines[i].size);
    }
}

static void find_doomed(const LineSpec *spec, const EditText *text, Found *found) {
    for (size_t i = 0; i < text->n_lines;) {
        size_t n = doomed_at(spec, text, i);
        found_add(found, text, i, n);
        i += MAX(n, 1);
    }
    found->right = found->instead == NULL;
}

static bool too_many(const LineSpec *spec, unsigned n_matches, size_t first, GError **error) {
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                "%u lines of '%s' match '%s', the first is line %zu: make match narrower, or set "
                "multiple = true",
                n_matches, spec->path, resource_string(spec->resource, LINE_MATCH), first + 1);
    return false;
}

/* Several lines and a match are what line_reverse() makes to undo several replacements. */
static bool puts_lines_back(const LineSpec *spec) {
    return spec->match != NULL && g_strv_length(spec->lines) > 1;
}

/* As many lines as were replaced get what was there before, each its own; when the number is
 * another, somebody has decided otherwise since. */
static void find_replaced(const LineSpec *spec, const EditText *text, Found *found) {
    size_t n = 0;
    for (size_t i = 0; i < text->n_lines; i++) {
        if (!line_matches(spec->match, &text->lines[i]))
            continue;
        found_add(found, text, i, 1);
        n++;
    }
    found->right = n != g_strv_length(spec->lines);
}

/* As Puppet's file_line: the line anywhere is enough, whatever else matches, unless multiple asks
 * for every match to be the line. */
static bool find_wanted(const LineSpec *spec, const EditText *text, Found *found, GError **error) {
    bool there = *spec->content == '\0', multiple = resource_bool(spec->resource, LINE_MULTIPLE);
    bool differs = false;
    unsigned n_matches = 0;
    size_t first = 0;
    for (size_t i = 0; i < text->n_lines; i++) {
        bool equal = block_at(spec, text, i);
        there |= equal;
        if (spec->match == NULL || !line_matches(spec->match, &text->lines[i]))
            continue;
        if (n_matches++ == 0)
            first = i;
        differs |= !equal;
        if (!equal || multiple) /* of several, each keeps its place among them */
            found_add(found, text, i, 1);
    }
    found->right = n_matches > 0 ? !differs || !resource_bool(spec->resource, LINE_REPLACE)
                                 : there || !resource_bool(spec->resource, LINE_APPEND);
    found->right |= there && !multiple;
    return found->right || n_matches <= 1 || multiple || too_many(spec, n_matches, first, error);
}

static bool find(const LineSpec *spec, GBytes *bytes, Found *found, GError **error) {
    g_auto(EditText) text;
    edit_text_init(&text, bytes);
    if (!spec->absent && !puts_lines_back(spec))
        return find_wanted(spec, &text, found, error);
    if (spec->absent)
        find_doomed(spec, &text, found);
    else
        find_replaced(spec, &text, found);
    return true;
}

/* --- edits */

static void append_content(const LineSpec *spec, const EditText *text, GString *out) {
    for (char **line = spec->lines; *line != NULL; line++)
        edit_append_line(out, text, *line, strlen(*line));
}

static void edit_remove(const LineSpec *spec, const EditText *text, GString *out) {
    for (size_t i = 0; i < text->n_lines;) {
        size_t n = doomed_at(spec, text, i);
        if (n == 0)
            edit_append_lines(out, text, i, i + 1);
        i += MAX(n, 1);
    }
}

/* Each line that matches, keeping how it was ended. */
static void edit_replace(const LineSpec *spec, const EditText *text, GString *out) {
    bool put_back = puts_lines_back(spec);
    char **former = spec->lines;
    for (size_t i = 0; i < text->n_lines; i++) {
        const EditLine *line = &text->lines[i];
        if (line_matches(spec->match, line)) {
            g_string_append(out, put_back ? *former++ : spec->content);
            g_string_append_len(out, line->start + line->size, (gssize)(line->whole - line->size));
        } else {
            edit_append_lines(out, text, i, i + 1);
        }
    }
}

static void edit_insert(const LineSpec *spec, const EditText *text, GString *out) {
    size_t at = text->n_lines;
    for (size_t i = text->n_lines; spec->after != NULL && i > 0; i--)
        if (line_matches(spec->after, &text->lines[i - 1])) {
            at = i;
            break;
        }
    edit_append_lines(out, text, 0, at);
    append_content(spec, text, out);
    edit_append_lines(out, text, at, text->n_lines);
}

static bool line_edit(const void *data, GBytes *before, GString *out, GError **error) {
    const LineSpec *spec = data;
    g_auto(Found) found = { 0 };
    if (!find(spec, before, &found, error))
        return false;
    g_auto(EditText) text;
    edit_text_init(&text, before);
    if (found.right)
        edit_append_lines(out, &text, 0, text.n_lines);
    else if (spec->absent)
        edit_remove(spec, &text, out);
    else if (found.instead != NULL)
        edit_replace(spec, &text, out);
    else
        edit_insert(spec, &text, out);
    return true;
}

static Edit edit_of(const KindRun *run, const LineSpec *spec) {
    return (Edit){
        .path = spec->path,
        .create = resource_bool(spec->resource, LINE_CREATE),
        .remove_empty = spec->absent && edit_was_created(run),
        .edit = line_edit,
        .data = spec,
    };
}

/* --- callbacks */

static Value *text_value(const LineSpec *spec, const char *text) {
    return edit_value(spec->resource, LINE_CONTENT, text);
}

static bool observe_unknown(State *actual) {
    actual->exists = true;
    state_set(actual, LINE_CONTENT, value_new_unknown());
    return true;
}

static bool line_observe(KindRun *run, State *actual, GError **error) {
    g_auto(LineSpec) spec;
    g_auto(Found) found = { 0 };
    g_autoptr(GError) problem = NULL;
    bool exists;
    line_spec_init(&spec, run->resource);
    if (spec.content == NULL && !(spec.absent && spec.match != NULL))
        return observe_unknown(actual);
    g_autoptr(GBytes) bytes = edit_read(run, spec.path, &exists, &problem);
    if (bytes == NULL && g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_UNPREDICTABLE))
        return observe_unknown(actual);
    if (bytes == NULL) {
        g_propagate_error(error, g_steal_pointer(&problem));
        return false;
    }
    if (!find(&spec, bytes, &found, error))
        return false;
    actual->exists = spec.absent ? !found.right : found.right || found.instead != NULL;
    if (found.right && !spec.absent)
        state_set(actual, LINE_CONTENT, text_value(&spec, spec.content));
    else if (found.instead != NULL)
        state_set(actual, LINE_CONTENT, text_value(&spec, found.instead->str));
    return true;
}

static bool line_diff(KindRun *run, const State *actual, Changes *changes, GError **error) {
    g_auto(LineSpec) spec;
    line_spec_init(&spec, run->resource);
    const Value *found = state_get(actual, LINE_CONTENT);
    g_autoptr(Value) wanted = spec.absent            ? NULL
                              : spec.content == NULL ? value_new_unknown()
                                                     : text_value(&spec, spec.content);
    if (spec.absent ? !actual->exists : actual->exists && value_equal(found, wanted))
        return true;
    changes->action = spec.absent ? ACTION_REMOVE : actual->exists ? ACTION_CHANGE : ACTION_CREATE;
    changes->uncertain = value_type(found) == VALUE_UNKNOWN;
    Edit edit = edit_of(run, &spec);
    char *diff = changes->uncertain || spec.content == NULL ? NULL : edit_diff(run, &edit);
    changes_add(changes, "content", value_ref(found), g_steal_pointer(&wanted), diff);
    return true;
}

static bool line_apply(KindRun *run, const State *actual, const Changes *changes, GError **error) {
    g_auto(LineSpec) spec;
    line_spec_init(&spec, run->resource);
    if (changes->uncertain && run->planning)
        return true;
    if (!spec.absent)
        edit_keep_created(run, spec.path);
    Edit edit = edit_of(run, &spec);
    return edit_apply(run, &edit, error);
}

static bool line_watch(Watcher *watcher, const Resource *resource, GError **error) {
    return watcher_host(watcher, HOST_WATCH_FILE, resource_string(resource, LINE_FILE), error);
}

static void line_auto_edges(const Resource *resource, AutoEdges *edges) {
    auto_edges_am(edges, "edits", resource_string(resource, LINE_FILE));
    auto_edges_want(edges, "path", resource_string(resource, LINE_FILE), true);
    auto_edges_want_parent(edges, resource_string(resource, LINE_FILE));
}

static void put_text(Resource *inverse, unsigned param, const char *text) {
    resource_put(inverse, param, value_new_string(text));
}

/* A newline at the end of content does not count: one more when the last line is empty. */
static void put_restored(Resource *inverse, const Value *before) {
    bool open = g_str_has_suffix(value_string(before), "\n") && !value_is_secret(before);
    g_autofree char *longer = open ? g_strconcat(value_string(before), "\n", NULL) : NULL;
    resource_put(inverse, LINE_CONTENT, open ? value_new_string(longer) : value_ref(before));
}

/* What stood in our line's place takes its place again; if our line is gone, somebody has decided
 * otherwise since. */
static void restore_replaced(Resource *inverse, const char *ours, const Value *before) {
    g_autofree char *escaped = g_regex_escape_string(ours, -1);
    g_autofree char *match = g_strdup_printf("^%s$", escaped);
    put_text(inverse, LINE_STATE, "exists");
    put_text(inverse, LINE_MATCH, match);
    put_restored(inverse, before);
    resource_put(inverse, LINE_APPEND, value_new_bool(false));
}

static Resource *line_reverse(const Resource *resource, const State *before, OnRemove how,
                              GError **error) {
    g_auto(LineSpec) spec;
    line_spec_init(&spec, resource);
    g_autoptr(Resource) inverse = resource_new(resource->kind, resource->name, resource->origin);
    const Value *content = before != NULL && before->exists && how != ON_REMOVE_REMOVE
                               ? state_get(before, LINE_CONTENT)
                               : NULL;
    put_text(inverse, LINE_FILE, spec.path);
    resource_put(inverse, LINE_REPLACE, value_new_bool(true));
    resource_put(inverse, LINE_MULTIPLE, value_new_bool(true));
    resource_put(inverse, LINE_CREATE, value_new_bool(true));
    resource_put(inverse, LINE_APPEND, value_new_bool(true));
    if (spec.absent) {
        if (content == NULL)
            return NULL; /* it was absent before us, too */
        put_text(inverse, LINE_STATE, "exists");
        resource_put(inverse, LINE_CONTENT, value_ref(content));
    } else if (content == NULL) {
        put_text(inverse, LINE_STATE, "absent");
        resource_put(inverse, LINE_CONTENT, value_ref(resource_get(resource, LINE_CONTENT)));
        resource_put(inverse, LINE_TRIM, value_ref(resource_get(resource, LINE_TRIM)));
    } else {
        restore_replaced(inverse, spec.content, content);
    }
    return g_steal_pointer(&inverse);
}

/* With match, content takes the place of what was there: nothing is left behind. */
static bool line_same_thing(const Resource *was, const Resource *now) {
    const char *match = resource_string(was, LINE_MATCH);
    return match != NULL && *match != '\0' &&
           g_strcmp0(match, resource_string(now, LINE_MATCH)) == 0 &&
           strcmp(resource_string(was, LINE_FILE), resource_string(now, LINE_FILE)) == 0;
}

static bool line_clean(KindRun *run, GError **error) {
    return edit_clean(run, resource_string(run->resource, LINE_FILE), error);
}

const Kind kind_line = {
    .name = "line",
    .summary = "Keep a line in, or out of, a text file",
    .help =
        "Keeps one line, or a block of lines, in a file that somebody else writes: a package, a "
        "person, other resources of this kind. Everything else in the file stays byte for "
        "byte, also how lines end. Several resources may edit one file in any order and at the "
        "same time.\n\n"
        "A line that is missing is added at the end, or behind the line that matches `after`. "
        "With `match` the content takes the place of the line that matches. In a state of "
        "absent every such line is removed. A missing file is made with mode 0644.\n\n"
        "When the resource leaves the configuration the line is removed again, or what stood "
        "in its place comes back; a line that was removed comes back at the end of the file.",
    .example = "line \"forwarding\" {\n"
               "  file = \"/etc/sysctl.conf\", content = \"net.ipv4.ip_forward=1\",\n"
               "  match = [[^#?\\s*net\\.ipv4\\.ip_forward\\s*=]],\n"
               "}\n",
    .params = line_params,
    .n_params = G_N_ELEMENTS(line_params),
    .flags = KIND_QUICK,
    .validate = line_validate,
    .observe = line_observe,
    .diff = line_diff,
    .apply = line_apply,
    .watch = line_watch,
    .auto_edges = line_auto_edges,
    .reverse = line_reverse,
    .clean = line_clean,
    .same_thing = line_same_thing,
};
