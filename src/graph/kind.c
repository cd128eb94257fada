#include "graph/kind.h"

#include <stdarg.h>
#include <string.h>

#include "base/suggest.h"
#include "base/text-diff.h"

#define SHOWN_PARAMS 8 /* so many are listed where a name is wrong */
#define DIFF_CONTEXT 3 /* unchanged lines around each change */

const char *action_name(Action action) {
    static const char *const names[] = {
        [ACTION_NONE] = "none",       [ACTION_CREATE] = "create",   [ACTION_CHANGE] = "change",
        [ACTION_REMOVE] = "remove",   [ACTION_REPLACE] = "replace", [ACTION_RUN] = "run",
        [ACTION_RESTART] = "restart",
    };
    g_assert(action < G_N_ELEMENTS(names));
    return names[action];
}

/* --- State */

State *state_new(const Kind *kind) {
    State *state = g_malloc0(sizeof *state + kind->n_params * sizeof(Value *));
    state->kind = kind;
    state->props = (Value **)(state + 1);
    return state;
}

void state_free(State *state) {
    if (!state)
        return;
    for (unsigned i = 0; i < state->kind->n_params; i++)
        value_unref(state->props[i]);
    g_clear_pointer(&state->content, g_bytes_unref);
    g_free(state);
}

void state_set(State *state, unsigned param, Value *value) {
    g_assert(param < state->kind->n_params);
    value_unref(state->props[param]);
    state->props[param] = value;
}

const Value *state_get(const State *state, unsigned param) {
    g_assert(param < state->kind->n_params);
    return state->props[param];
}

Value *state_to_value(const State *state) {
    Value *map = value_new_map();
    value_map_set(map, "exists", value_new_bool(state->exists));
    for (unsigned i = 0; i < state->kind->n_params; i++) {
        const Param *row = &state->kind->params[i];
        const Value *value = state->props[i];
        if (!value || !(row->flags & PARAM_PROPERTY))
            continue;
        bool mask = row->flags & PARAM_SECRET && !value_is_secret(value);
        value_map_set(map, row->name, mask ? value_as_secret(value, NULL) : value_ref(value));
    }
    return map;
}

State *state_from_value(const Kind *kind, const Value *value) {
    State *state = state_new(kind);
    if (value_type(value) != VALUE_MAP)
        return state;
    state->exists = value_map_bool(value, "exists", false);
    for (unsigned i = 0; i < kind->n_params; i++) {
        if (kind->params[i].flags & PARAM_PROPERTY)
            state->props[i] = value_ref(value_map_get(value, kind->params[i].name));
    }
    return state;
}

/* --- Changes */

static void change_clear(void *data) {
    Change *change = data;
    value_unref(change->before);
    value_unref(change->after);
    g_free(change->diff);
}

Changes *changes_new(void) {
    Changes *changes = g_new0(Changes, 1);
    changes->changes = g_array_new(FALSE, FALSE, sizeof(Change));
    g_array_set_clear_func(changes->changes, change_clear);
    return changes;
}

void changes_free(Changes *changes) {
    if (!changes)
        return;
    g_array_unref(changes->changes);
    g_free(changes->lines);
    g_free(changes);
}

void changes_add(Changes *changes, const char *property, Value *before, Value *after, char *diff) {
    bool secret = (before && value_is_secret(before)) || (after && value_is_secret(after));
    if (secret)
        g_clear_pointer(&diff, g_free);
    Change change = { g_intern_string(property), before, after, diff };
    g_array_append_val(changes->changes, change);
}

bool changes_empty(const Changes *changes) {
    return changes->action == ACTION_NONE;
}

const Change *changes_find(const Changes *changes, const char *property) {
    for (unsigned i = 0; i < changes->changes->len; i++) {
        const Change *change = &g_array_index(changes->changes, Change, i);
        if (strcmp(change->property, property) == 0)
            return change;
    }
    return NULL;
}

/* --- KindRun */

void kind_run_send(KindRun *run, const char *output, Value *value) {
    g_assert(kind_find_output(run->resource->kind, output));
    if (!run->outputs)
        run->outputs = value_new_map();
    value_map_set(run->outputs, output, value);
}

void kind_run_keep(KindRun *run, Value *map) {
    g_assert(value_type(map) == VALUE_MAP);
    value_unref(run->keep);
    run->keep = map;
}

void kind_run_note(KindRun *run, const char *format, ...) {
    va_list args;
    va_start(args, format);
    char *note = g_strdup_vprintf(format, args);
    va_end(args);
    g_free(run->note);
    run->note = note;
}

/* --- differences */

static bool is_lines(const Value *value) {
    return value_type(value) == VALUE_STRING && !value_is_secret(value) &&
           memchr(value_string(value), '\n', value_string_size(value));
}

static char *diff_of(const Value *before, const Value *after) {
    if (value_type(before) != VALUE_STRING || value_type(after) != VALUE_STRING ||
        (!is_lines(before) && !is_lines(after)))
        return NULL;
    return text_diff(value_string(before), value_string_size(before), value_string(after),
                     value_string_size(after), DIFF_CONTEXT);
}

static Value *masked(const Param *row, const Value *value) {
    bool mask = value && row->flags & PARAM_SECRET && !value_is_secret(value) &&
                value_type(value) != VALUE_UNKNOWN;
    return mask ? value_as_secret(value, NULL) : value_ref(value);
}

bool kind_diff_properties(KindRun *run, const State *actual, Changes *changes, GError **error) {
    const Resource *resource = run->resource;
    for (unsigned i = 0; i < resource->kind->n_params; i++) {
        const Param *row = &resource->kind->params[i];
        const Value *wanted = resource_get(resource, i);
        const Value *found = actual->exists ? state_get(actual, i) : NULL;
        bool looked_at = !actual->exists || found;
        if (!(row->flags & PARAM_PROPERTY) || !wanted || !looked_at || value_equal(wanted, found))
            continue;
        if (value_has_unknown(wanted) || value_has_unknown(found))
            changes->uncertain = true;
        /* Whoever knows one side of a secret must not learn the other from the change. */
        g_autoptr(Value) before = masked(row, found);
        g_autoptr(Value) after = masked(row, wanted);
        if (before && value_is_secret(after) && !value_is_secret(before)) {
            g_autoptr(Value) open = g_steal_pointer(&before);
            before = value_as_secret(open, NULL);
        }
        char *diff = before ? diff_of(before, after) : NULL;
        changes_add(changes, row->name, g_steal_pointer(&before), g_steal_pointer(&after), diff);
    }
    if (!actual->exists)
        changes->action = ACTION_CREATE;
    else
        changes->action = changes->changes->len ? ACTION_CHANGE : ACTION_NONE;
    return true;
}

/* --- Kind and KindSet */

int kind_param_index(const Kind *kind, const char *name) {
    return param_find(kind->params, kind->n_params, name);
}

/* Few fit into a message. */
static char *list_params(const Kind *kind) {
    if (kind->n_params > SHOWN_PARAMS)
        return g_strdup_printf("; see: stead kinds %s", kind->name);
    if (kind->n_params == 0)
        return g_strdup_printf("; %s has none of its own", kind->name);
    GString *text = g_string_new("; ");
    g_string_append_printf(text, "%s takes ", kind->name);
    for (unsigned i = 0; i < kind->n_params; i++)
        g_string_append_printf(text, "%s%s", i > 0 ? ", " : "", kind->params[i].name);
    return g_string_free(text, FALSE);
}

/* What other tools call them. */
static const char *const foreign_params[][2] = {
    { "require", "needs" },   { "requires", "needs" },   { "depends_on", "needs" },
    { "after", "needs" },     { "subscribe", "listen" }, { "subscribes", "listen" },
    { "notifies", "notify" }, { "ensure", "state" },     { "retries", "retry" },
};

/* One of names; NULL: other tools have no such parameter, or these names lack ours. */
static const char *own_param(const char *name, const char *const *names, size_t n_names) {
    for (size_t i = 0; i < G_N_ELEMENTS(foreign_params); i++)
        for (size_t j = 0; strcmp(foreign_params[i][0], name) == 0 && j < n_names; j++)
            if (strcmp(foreign_params[i][1], names[j]) == 0)
                return names[j];
    return NULL;
}

char *kind_param_hint(const Kind *kind, const char *name, const char *const *others,
                      size_t n_others) {
    size_t n_names = kind->n_params + n_others;
    g_autofree const char **names = g_new(const char *, n_names + 1);
    for (unsigned i = 0; i < kind->n_params; i++)
        names[i] = kind->params[i].name;
    for (size_t i = 0; i < n_others; i++)
        names[kind->n_params + i] = others[i];
    const char *own = own_param(name, names, n_names);
    const char *nearest = own ? own : suggest_nearest(name, names, n_names);
    return nearest ? g_strdup_printf(", did you mean '%s'?", nearest) : list_params(kind);
}

/* The parameter that has the word among its choices; NULL: none. */
static const Param *choice_elsewhere(const Kind *kind, const Value *input) {
    if (value_type(input) != VALUE_STRING || value_is_secret(input))
        return NULL;
    for (unsigned i = 0; i < kind->n_params; i++)
        if (kind->params[i].type == PARAM_ENUM &&
            g_strv_contains(kind->params[i].choices, value_string(input)))
            return &kind->params[i];
    return NULL;
}

Value *kind_convert(const Kind *kind, unsigned index, const Value *input, GError **error) {
    g_autoptr(GError) refusal = NULL;
    Value *value = param_convert(&kind->params[index], input, &refusal);
    if (value)
        return value;
    bool is_choice = kind->params[index].type == PARAM_ENUM;
    const Param *other = is_choice ? choice_elsewhere(kind, input) : NULL;
    if (other) {
        g_autofree char *message = g_steal_pointer(&refusal->message);
        refusal->message = g_strdup_printf("%s, which is for '%s'", message, other->name);
    }
    g_propagate_error(error, g_steal_pointer(&refusal));
    return NULL;
}

const Output *kind_find_output(const Kind *kind, const char *name) {
    for (unsigned i = 0; i < kind->n_outputs; i++) {
        if (strcmp(kind->outputs[i].name, name) == 0)
            return &kind->outputs[i];
    }
    return NULL;
}

const Kind *kind_set_find(const KindSet *set, const char *name) {
    for (unsigned i = 0; i < set->n_kinds; i++) {
        if (strcmp(set->kinds[i]->name, name) == 0)
            return set->kinds[i];
    }
    return set->more ? set->more->find(set->more, name, NULL) : NULL;
}

static const struct {
    const char *name, *kind, *hint;
} foreign_kinds[] = {
    { "package", "pkg", "a package is pkg \"NAME\" {}" },
    { "apt", "pkg", "a package is pkg \"NAME\" {}" },
    { "service", "svc", "a service is svc \"NAME\" {}" },
    { "systemd", "svc", "a service is svc \"NAME\" {}, a unit file unit \"NAME\" {}" },
    { "directory", "file", "a directory is a file with a slash at its end: file \"/srv/www/\" {}" },
    { "link", "file", "a link is file \"PATH\" { target = \"PATH\" }" },
    { "symlink", "file", "a link is file \"PATH\" { target = \"PATH\" }" },
    { "copy", "file", "a copied file is file \"PATH\" { source = \"NAME\" }" },
    { "command", "exec", "a command is exec \"NAME\" { cmd = \"...\" }" },
    { "shell", "exec", "a command is exec \"NAME\" { cmd = \"...\", shell = \"/bin/sh\" }" },
    { "lineinfile", "line", "a line of a file is line \"NAME\" {}" },
    { "authorized_key", "ssh_authorized_key", "use ssh_authorized_key" },
};

const char *kind_foreign_hint(const char *name, const KindSet *set) {
    for (size_t i = 0; i < G_N_ELEMENTS(foreign_kinds); i++)
        if (strcmp(foreign_kinds[i].name, name) == 0 &&
            (!set || kind_set_find(set, foreign_kinds[i].kind)))
            return foreign_kinds[i].hint;
    return NULL;
}

void kind_set_unknown(const KindSet *set, const char *name, GError **error) {
    unsigned n_more = 0;
    const char *const *more = set->more ? set->more->names(set->more, &n_more) : NULL;
    g_autofree const char **names = g_new(const char *, set->n_kinds + n_more);
    for (unsigned i = 0; i < set->n_kinds; i++)
        names[i] = set->kinds[i]->name;
    for (unsigned i = 0; i < n_more; i++) {
        if (strcmp(more[i], name) == 0 && !set->more->find(set->more, name, error))
            return;
        names[set->n_kinds + i] = more[i];
    }
    const char *hint = kind_foreign_hint(name, set);
    if (hint) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "no such kind '%s': %s", name, hint);
        return;
    }
    const char *nearest = suggest_nearest(name, names, set->n_kinds + n_more);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "no such kind '%s'%s%s%s", name,
                nearest ? ", did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
}
