/*
 * The callbacks of kinds that programs speak for. The program observes and applies; what differs is
 * found here, as for any other kind.
 */
#include <string.h>
#include <sys/stat.h>

#include "base/json.h"
#include "graph/autoedge.h"
#include "graph/watcher.h"
#include "kinds/program-kind.h"
#include "kinds/program-message.h"
#include "kinds/program-talk.h"

#define SHORT_SECRET 3 /* bytes: shorter ones are not looked for in what a program says */
/* On a host in memory no program can act: there a resource has what was last wanted of it. */
#define MEMORY_DIRECTORY "/run/stead/kinds"

static const ProgramKind *kind_of(const Resource *resource) {
    return (const ProgramKind *)(const void *)resource->kind;
}

static bool wants_absent(const Resource *resource) {
    return kind_of(resource)->removable &&
           strcmp(resource_string(resource, PROGRAM_STATE), "absent") == 0;
}

/* --- secrets */

static void scrub(GString *text, const Value *value) {
    if (!value || !value_is_secret(value))
        return;
    if (value_type(value) == VALUE_STRING && value_string_size(value) >= SHORT_SECRET)
        (void)g_string_replace(text, value_string(value), "(secret)", 0); /* how often: no matter */
    for (size_t i = 0; value_type(value) == VALUE_LIST && i < value_size(value); i++) {
        g_autoptr(Value) item = value_as_secret(value_list_at(value, i), NULL);
        scrub(text, item);
    }
    for (size_t i = 0; value_type(value) == VALUE_MAP && i < value_size(value); i++) {
        const char *key;
        const Value *member = value_map_at(value, i, &key);
        bool secret = value_is_masked(value) || value_is_secret(member);
        g_autoptr(Value) item = secret ? value_as_secret(member, NULL) : NULL;
        scrub(text, item);
    }
}

/* What a program says may hold what it was told in confidence. */
static char *scrubbed(const Resource *resource, const char *said) {
    GString *text = g_string_new(said);
    for (unsigned i = 0; i < resource->kind->n_params; i++)
        scrub(text, resource_get(resource, i));
    return g_string_free(text, FALSE);
}

static Value *ask(KindRun *run, const char *request, Value *members, TalkSort sort,
                  GError **error) {
    const ProgramKind *kind = kind_of(run->resource);
    g_autofree char *note = NULL;
    GError *problem = NULL;
    Value *answer = talk_ask(kind->talk, request, members, sort, run->cancel, &note, &problem);
    if (problem) {
        g_autofree char *said = g_steal_pointer(&problem->message);
        problem->message = scrubbed(run->resource, said);
        g_propagate_error(error, problem);
        return NULL;
    }
    const char *text = value_map_string(answer, "note", note);
    if (text && *text != '\0') {
        g_autofree char *shown = scrubbed(run->resource, text);
        kind_run_note(run, "%s", shown);
    }
    return answer;
}

/* --- what a program is told */

Value *program_param_value(const Param *row, const Value *value) {
    if (row->type == PARAM_DURATION && value_type(value) == VALUE_INT) {
        int64_t us = value_int(value);
        return us % G_USEC_PER_SEC == 0 ? value_new_int(us / G_USEC_PER_SEC)
                                        : value_new_float((double)us / G_USEC_PER_SEC);
    }
    if (row->type == PARAM_ENUM && value_type(value) == VALUE_STRING &&
        strcmp(value_string(value), "present") == 0 && strcmp(row->name, "state") == 0)
        return value_new_string("exists");
    return value_ref(value);
}

/* What cannot be known (in a plan), and a secret that the ledger does not keep, are left out. */
static bool is_told(const Resource *resource, unsigned param) {
    const Value *value = resource_get(resource, param);
    bool forgotten = value && value_is_masked(value) && value_type(value) == VALUE_STRING &&
                     value_string_size(value) == 0;
    return value && !forgotten && !value_has_unknown(value);
}

static Value *params_of(const Resource *resource) {
    Value *params = value_new_map();
    for (unsigned i = 0; i < resource->kind->n_params; i++) {
        const Param *row = &resource->kind->params[i];
        if (is_told(resource, i))
            value_map_set(params, row->name, program_param_value(row, resource_get(resource, i)));
    }
    return params;
}

Value *program_members(const Resource *resource) {
    Value *members = value_new_map();
    value_map_set(members, "name", value_new_string(resource->name));
    value_map_set(members, "params", params_of(resource));
    return members;
}

static Value *changes_of(const Kind *kind, const Changes *changes) {
    Value *list = value_new_list();
    for (unsigned i = 0; i < changes->changes->len; i++) {
        const Change *change = &g_array_index(changes->changes, Change, i);
        int param = kind_param_index(kind, change->property);
        if (param < 0 || !(kind->params[param].flags & PARAM_PROPERTY))
            continue; /* "notified" is said apart */
        const Param *row = &kind->params[param];
        Value *map = value_new_map();
        value_map_set(map, "property", value_new_string(change->property));
        value_map_set(map, "before", program_param_value(row, change->before));
        value_map_set(map, "after", program_param_value(row, change->after));
        value_list_append(list, map);
    }
    return list;
}

static Value *props_of(const Kind *kind, const State *state) {
    Value *props = value_new_map();
    for (unsigned i = 0; i < kind->n_params; i++)
        if (kind->params[i].flags & PARAM_PROPERTY && state_get(state, i))
            value_map_set(props, kind->params[i].name,
                          program_param_value(&kind->params[i], state_get(state, i)));
    return props;
}

/* --- what a program tells */

static bool is_text_type(ParamType type) {
    return type == PARAM_PATH || type == PARAM_ENUM || type == PARAM_MODE || type == PARAM_DURATION;
}

/* What is found may be what nobody may want: another choice, a path that is none. */
static Value *read_prop(const Param *row, const Value *found, GError **error) {
    if (value_type(found) == VALUE_NIL)
        return value_new_nil();
    g_autoptr(GError) problem = NULL;
    Value *value = param_convert(row, found, &problem);
    if (value || (is_text_type(row->type) && value_type(found) == VALUE_STRING))
        return value ? value : value_ref(found);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED, "its program found '%s': %s", row->name,
                problem->message);
    return NULL;
}

static bool read_props(const ProgramKind *self, const Resource *resource, const Value *props,
                       State *state, GError **error) {
    for (unsigned i = 0; i < self->kind.n_params; i++) {
        const Param *row = &self->kind.params[i];
        const Value *found = value_map_get(props, row->name);
        const Value *wanted = resource ? resource_get(resource, i) : NULL;
        if (!(row->flags & PARAM_PROPERTY))
            continue;
        if (!found && wanted) {
            g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED,
                        "its program does not say what '%s' is: \"props\" must have each property "
                        "that is set, null when there is none",
                        row->name);
            return false;
        }
        if (!found || (!wanted && value_type(found) == VALUE_NIL))
            continue;
        g_autoptr(Value) value = read_prop(row, found, error);
        if (!value)
            return false;
        bool mask = wanted && value_is_secret(wanted) && !value_is_secret(value) &&
                    value_type(value) != VALUE_NIL;
        state_set(state, i, mask ? value_as_secret(value, NULL) : g_steal_pointer(&value));
    }
    return true;
}

bool program_read_outputs(const ProgramKind *self, const Value *answer, Value **ret_outputs,
                          GError **error) {
    const Value *given = value_map_get(answer, "outputs");
    *ret_outputs = NULL;
    if (!given || value_type(given) == VALUE_NIL)
        return true;
    if (value_type(given) != VALUE_MAP) {
        g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_FAILED,
                            "its program gave \"outputs\" that are no object");
        return false;
    }
    g_autoptr(Value) outputs = value_new_map();
    for (unsigned i = 0; i < self->kind.n_outputs; i++) {
        const Output *output = &self->kind.outputs[i];
        const Param row = { .name = output->name, .type = output->type, .unit = "s" };
        const Value *value = value_map_get(given, output->name);
        if (!value || value_type(value) == VALUE_NIL)
            continue;
        Value *converted = param_convert(&row, value, error);
        if (!converted) {
            g_prefix_error(error, "its program gave output '%s': ", output->name);
            return false;
        }
        value_map_set(outputs, output->name, converted);
    }
    *ret_outputs = g_steal_pointer(&outputs);
    return true;
}

bool program_read_state(const ProgramKind *self, const Resource *resource, const Value *answer,
                        State *state, Value **ret_outputs, GError **error) {
    const Value *exists = value_map_get(answer, "exists"), *props = value_map_get(answer, "props");
    if (exists ? value_type(exists) != VALUE_BOOL : self->removable) {
        g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_FAILED,
                            "its program does not say whether it exists: \"exists\" must be true "
                            "or false");
        return false;
    }
    state->exists = exists ? value_bool(exists) : true;
    if (props && value_type(props) != VALUE_MAP && value_type(props) != VALUE_NIL) {
        g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_FAILED,
                            "its program gave \"props\" that are no object");
        return false;
    }
    g_autoptr(Value) none = value_new_map();
    if (state->exists &&
        !read_props(self, resource, value_type(props) == VALUE_MAP ? props : none, state, error))
        return false;
    return program_read_outputs(self, answer, ret_outputs, error);
}

/* Takes outputs over. */
static void send_outputs(KindRun *run, Value *outputs) {
    g_autoptr(Value) map = outputs;
    for (size_t i = 0; map && i < value_size(map); i++) {
        const char *name;
        const Value *value = value_map_at(map, i, &name);
        kind_run_send(run, name, value_ref(value));
    }
}

/* --- hosts in memory */

static char *memory_path(const Resource *resource) {
    g_autofree char *digest = g_compute_checksum_for_string(G_CHECKSUM_SHA256, resource->name, -1);
    return g_strdup_printf("%s/%s/%s.json", MEMORY_DIRECTORY, resource->kind->name, digest);
}

static bool observe_memory(KindRun *run, State *actual, GError **error) {
    g_autofree char *path = memory_path(run->resource);
    g_autoptr(GBytes) bytes = host_read(run->host, path, LIMIT_PROGRAM_LINE, NULL);
    gsize size = 0;
    const char *text = bytes ? g_bytes_get_data(bytes, &size) : "{\"exists\":false,\"props\":{}}";
    g_autoptr(Value) answer = json_parse(text, bytes ? size : strlen(text), path, error);
    Value *outputs = NULL;
    return answer && program_read_state(kind_of(run->resource), run->resource, answer, actual,
                                        &outputs, error);
}

static bool apply_memory(KindRun *run, const State *actual, GError **error) {
    const Resource *resource = run->resource;
    g_autofree char *path = memory_path(resource);
    if (wants_absent(resource))
        return !actual->exists || host_remove(run->host, path, error);
    g_autoptr(Value) memory = value_new_map();
    value_map_set(memory, "exists", value_new_bool(true));
    value_map_set(memory, "props", params_of(resource));
    GString *text = g_string_new(NULL);
    json_append(text, memory, JSON_REVEAL);
    g_autoptr(GBytes) bytes = g_string_free_to_bytes(text);
    const FileAttributes secret = { .set = FILE_SET_MODE, .mode = 0600 };
    return host_make_parents(run->host, path, error) &&
           host_write(run->host, path, bytes, &secret, error);
}

/* --- observe */

/* A parameter that says which thing is meant is known only when it is applied. */
static bool is_undecided(const KindRun *run) {
    const Kind *kind = run->resource->kind;
    for (unsigned i = 0; i < kind->n_params; i++)
        if (resource_is_unknown(run->resource, i) && !(kind->params[i].flags & PARAM_PROPERTY))
            return true;
    return false;
}

static bool check_root(const KindRun *run, GError **error) {
    const ProgramKind *self = kind_of(run->resource);
    if (self->below_root || strcmp(host_root(run->host), "/") == 0)
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_UNSUPPORTED,
                "keep it below the root '%s': the program '%s' manages only the machine itself "
                "(it does not say \"root\":true)",
                host_root(run->host), self->kind.program);
    return false;
}

static bool program_observe(KindRun *run, State *actual, GError **error) {
    const ProgramKind *self = kind_of(run->resource);
    if (is_undecided(run))
        return true;
    if (!host_is_real(run->host))
        return observe_memory(run, actual, error);
    if (!check_root(run, error))
        return false;
    g_autoptr(Value) answer = ask(run, "observe", program_members(run->resource), TALK_ASKS, error);
    Value *outputs = NULL;
    if (!answer || !program_read_state(self, run->resource, answer, actual, &outputs, error))
        return false;
    send_outputs(run, outputs);
    return true;
}

/* --- diff */

/* In a plan the program sees the machine as it is, not what comes before this resource: whether a
 * file of it will be another by then. */
static bool is_foreseen(const KindRun *run, const char *path) {
    const char *root = host_root(run->host);
    g_autofree char *real = g_build_filename(root, path, NULL);
    struct stat now;
    FileInfo info;
    bool exists = stat(real, &now) == 0, will = host_stat(run->host, path, &info, NULL);
    if (exists != will)
        return true;
    if (!exists || info.type == FILE_SYMLINK)
        return false;
    return info.inode != now.st_ino || info.size != (uint64_t)now.st_size;
}

static bool rests_on_foreseen(const KindRun *run) {
    const ProgramKind *self = kind_of(run->resource);
    for (unsigned i = 0; run->planning && i < self->kind.n_params; i++) {
        const char *path = self->extras[i].is_file ? resource_string(run->resource, i) : NULL;
        if (path && is_foreseen(run, path))
            return true;
    }
    return false;
}

static Value *masked(const Value *value) {
    return value && !value_is_secret(value) && value_type(value) != VALUE_UNKNOWN
               ? value_as_secret(value, NULL)
               : value_ref(value);
}

static void diff_absent(const Resource *resource, const State *actual, Changes *changes) {
    if (!actual->exists)
        return;
    for (unsigned i = 0; i < resource->kind->n_params; i++) {
        const Param *row = &resource->kind->params[i];
        const Value *found = state_get(actual, i);
        if (found && value_type(found) != VALUE_NIL)
            changes_add(changes, row->name,
                        row->flags & PARAM_SECRET ? masked(found) : value_ref(found), NULL, NULL);
    }
    changes->action = ACTION_REMOVE;
}

/* A nil is what has no such property, or is to have none. */
static void drop_nils(Changes *changes) {
    for (unsigned i = 0; i < changes->changes->len; i++) {
        Change *change = &g_array_index(changes->changes, Change, i);
        if (change->before && value_type(change->before) == VALUE_NIL)
            g_clear_pointer(&change->before, value_unref);
        if (change->after && value_type(change->after) == VALUE_NIL)
            g_clear_pointer(&change->after, value_unref);
    }
}

static void forget_outcome(Changes *changes) {
    for (unsigned i = 0; i < changes->changes->len; i++) {
        Change *change = &g_array_index(changes->changes, Change, i);
        value_unref(change->after);
        change->after = value_new_unknown();
    }
    changes->uncertain = true;
}

static bool program_diff(KindRun *run, const State *actual, Changes *changes, GError **error) {
    const Resource *resource = run->resource;
    const ProgramKind *self = kind_of(resource);
    bool absent = wants_absent(resource);
    if (is_undecided(run)) {
        changes->action = ACTION_RUN;
        changes->uncertain = true;
        return true;
    }
    if (absent)
        diff_absent(resource, actual, changes);
    else if (!kind_diff_properties(run, actual, changes, error))
        return false;
    drop_nils(changes);
    if (run->refresh && !absent && self->kind.flags & KIND_REFRESHES) {
        changes_add(changes, "notified", NULL, value_new_string("refresh"), NULL);
        if (changes->action == ACTION_NONE)
            changes->action = ACTION_RESTART;
    }
    if (rests_on_foreseen(run)) {
        if (changes->action == ACTION_NONE)
            changes->action = ACTION_CHANGE;
        changes->uncertain = true;
    }
    if (run->planning && self->predicts == PREDICTS_NONE && changes->action != ACTION_NONE)
        forget_outcome(changes);
    return true;
}

/* --- apply */

static Value *apply_members(KindRun *run, const State *actual, const Changes *changes) {
    Value *members = program_members(run->resource);
    value_map_set(members, "exists", value_new_bool(actual->exists));
    value_map_set(members, "props", props_of(run->resource->kind, actual));
    value_map_set(members, "changes", changes_of(run->resource->kind, changes));
    value_map_set(members, "action", value_new_string(action_name(changes->action)));
    value_map_set(members, "notified", value_new_bool(changes_find(changes, "notified") != NULL));
    value_map_set(members, "predict", value_new_bool(run->planning));
    return members;
}

/* A program that foresees another outcome than the one that is wanted foresees a failure. */
static bool check_foreseen(KindRun *run, const Value *answer, const Changes *changes,
                           GError **error) {
    const Kind *kind = run->resource->kind;
    const Value *props = value_map_get(answer, "props");
    for (unsigned i = 0; value_type(props) == VALUE_MAP && i < changes->changes->len; i++) {
        const Change *change = &g_array_index(changes->changes, Change, i);
        const Value *said = value_map_get(props, change->property);
        int param = kind_param_index(kind, change->property);
        if (!said || param < 0 || !change->after || value_has_unknown(change->after))
            continue;
        g_autoptr(Value) will = read_prop(&kind->params[param], said, error);
        if (!will)
            return false;
        if (value_equal(will, change->after))
            continue;
        bool secret = value_is_secret(change->after);
        g_autofree char *shown = secret ? g_strdup("(secret)") : value_show(will, 60);
        g_autofree char *wanted = value_show(change->after, 60);
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED,
                    "its program foresees that '%s' will be %s, not %s", change->property, shown,
                    wanted);
        return false;
    }
    return true;
}

static bool simulate(KindRun *run, const State *actual, const Changes *changes, GError **error) {
    const ProgramKind *self = kind_of(run->resource);
    Value *outputs = NULL;
    g_autoptr(Value) answer =
        ask(run, "apply", apply_members(run, actual, changes), TALK_ASKS, error);
    if (!answer || !check_foreseen(run, answer, changes, error) ||
        !program_read_outputs(self, answer, &outputs, error))
        return false;
    send_outputs(run, outputs);
    return true;
}

/* Nothing is done in a plan, and what others receive from here is not known, unless foreseen. */
static bool foresee(KindRun *run, const State *actual, const Changes *changes, GError **error) {
    const ProgramKind *self = kind_of(run->resource);
    for (unsigned i = 0; i < self->kind.n_outputs; i++)
        kind_run_send(run, self->kind.outputs[i].name, value_new_unknown());
    return self->predicts != PREDICTS_SIMULATE || changes->uncertain ||
           simulate(run, actual, changes, error);
}

static bool program_apply(KindRun *run, const State *actual, const Changes *changes,
                          GError **error) {
    const ProgramKind *self = kind_of(run->resource);
    if (!host_is_real(run->host))
        return apply_memory(run, actual, error);
    if (run->planning)
        return foresee(run, actual, changes, error);
    g_autoptr(Value) answer =
        ask(run, "apply", apply_members(run, actual, changes), TALK_CHANGES, error);
    Value *outputs = NULL;
    if (!answer || !program_read_outputs(self, answer, &outputs, error))
        return false;
    send_outputs(run, outputs);
    return true;
}

/* After a predicted apply the machine is as before, and the prediction is that it is right. */
static bool program_settled(KindRun *run) {
    return run->planning && run->reason == REASON_VERIFY && host_is_real(run->host);
}

/* --- the rest */

static bool program_validate(const Resource *resource, GError **error) {
    const ProgramKind *self = kind_of(resource);
    for (unsigned i = 0; i < self->kind.n_params; i++) {
        const char *text = self->extras[i].pattern ? resource_string(resource, i) : NULL;
        if (!text || g_regex_match(self->extras[i].pattern, text, 0, NULL))
            continue;
        bool secret = value_is_secret(resource_get(resource, i));
        g_autofree char *shown =
            secret ? g_strdup("(secret)") : value_show(resource_get(resource, i), 60);
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "refuse '%s' %s: it must match the pattern %s", self->kind.params[i].name,
                    shown, self->extras[i].pattern_text);
        return false;
    }
    return true;
}

/* In the program's thread. */
static void on_told(void *tap, bool first, const char *failure) {
    watcher_tap_tell(tap,
                     failure ? HOST_EVENT_FAILED
                     : first ? HOST_EVENT_READY
                             : HOST_EVENT_CHANGED,
                     failure);
}

static void end_watch(void *watch) {
    talk_watch_free(watch);
}

static void watch_events(Watcher *watcher, const Resource *resource) {
    WatcherTap *tap = watcher_tap(watcher);
    TalkWatch *watch = talk_watch(kind_of(resource)->talk, program_members(resource), on_told, tap);
    watcher_tap_own(tap, end_watch, watch);
}

static bool program_watch(Watcher *watcher, const Resource *resource, GError **error) {
    const ProgramKind *self = kind_of(resource);
    if (self->poll_us > 0)
        watcher_interval(watcher, self->poll_us);
    if (self->watch == WATCH_EVENTS && host_is_real(watcher_machine(watcher)))
        watch_events(watcher, resource);
    for (unsigned i = 0; self->watch == WATCH_FILES && i < self->kind.n_params; i++) {
        const char *path = self->extras[i].is_file ? resource_string(resource, i) : NULL;
        if (path && !watcher_host(watcher, HOST_WATCH_FILE, path, error))
            return false;
    }
    return true;
}

static void program_auto_edges(const Resource *resource, AutoEdges *edges) {
    const ProgramKind *self = kind_of(resource);
    for (unsigned i = 0; i < self->kind.n_params; i++) {
        const char *path = self->extras[i].is_file ? resource_string(resource, i) : NULL;
        if (!path)
            continue;
        auto_edges_am(edges, "edits", path);
        auto_edges_want(edges, "path", path, true);
        auto_edges_want_parent(edges, path);
    }
}

/* What the resource sets becomes what it was; a secret that was there is not kept and stays. */
static void restore_props(Resource *inverse, const State *before) {
    for (unsigned i = 0; i < inverse->kind->n_params; i++) {
        const Value *was = state_get(before, i);
        if (!(inverse->kind->params[i].flags & PARAM_PROPERTY) || !resource_get(inverse, i))
            continue;
        bool secret = was && value_is_secret(was);
        resource_put(inverse, i, secret ? NULL : was ? value_ref(was) : value_new_nil());
    }
}

static Resource *program_reverse(const Resource *resource, const State *before, OnRemove how,
                                 GError **error) {
    const ProgramKind *self = kind_of(resource);
    bool existed = before && before->exists && how != ON_REMOVE_REMOVE;
    if (!existed && !self->removable)
        return NULL;
    Resource *inverse = resource_copy(resource);
    if (self->removable)
        resource_put(inverse, PROGRAM_STATE, value_new_string(existed ? "exists" : "absent"));
    if (existed)
        restore_props(inverse, before);
    return inverse;
}

void program_kind_connect(ProgramKind *self) {
    self->kind.validate = program_validate;
    self->kind.observe = program_observe;
    self->kind.diff = program_diff;
    self->kind.apply = program_apply;
    self->kind.settled = program_settled;
    self->kind.auto_edges = program_auto_edges;
    self->kind.reverse = program_reverse;
    if (self->watch != WATCH_POLL || self->poll_us > 0)
        self->kind.watch = program_watch;
}
