#include "kinds/entry.h"

#include <string.h>

#include "host/accounts.h"

static void links_begin(const Entry *entry) {
    if (entry->trusted)
        host_links_refuse();
}

static void links_end(const Entry *entry) {
    if (entry->trusted)
        host_links_allow();
}

static bool is_property(const Resource *resource, unsigned param) {
    return (resource->kind->params[param].flags & PARAM_PROPERTY) != 0;
}

/* --- observe */

/* A file that a command makes, which a plan does not run. */
static bool observe_unknown(const Resource *resource, State *actual) {
    actual->exists = true;
    for (unsigned i = 0; i < resource->kind->n_params; i++)
        if (is_property(resource, i))
            state_set(actual, i, value_new_unknown());
    return true;
}

bool entry_observe(KindRun *run, const Entry *entry, State *actual, GError **error) {
    g_autoptr(GError) problem = NULL;
    bool exists;
    links_begin(entry);
    g_autoptr(GBytes) bytes = edit_read(run, entry->path, &exists, &problem);
    links_end(entry);
    if (bytes == NULL && g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_UNPREDICTABLE))
        return observe_unknown(run->resource, actual);
    if (bytes == NULL) {
        g_propagate_error(error, g_steal_pointer(&problem));
        return false;
    }
    entry->find(entry->data, bytes, actual);
    return true;
}

/* --- diff */

static Edit edit_of(const KindRun *run, const Entry *entry) {
    return (Edit){
        .path = entry->path,
        .create = !entry->absent,
        .remove_empty = entry->absent && edit_was_created(run),
        .attributes = entry->attributes,
        .edit = entry->edit,
        .data = entry->data,
    };
}

static bool has_secret(const Resource *resource) {
    for (unsigned i = 0; i < resource->kind->n_params; i++)
        if (resource->params[i] != NULL && value_is_secret(resource->params[i]))
            return true;
    return false;
}

static void add_differences(KindRun *run, const Entry *entry, const State *actual,
                            Changes *changes) {
    const Kind *kind = run->resource->kind;
    for (unsigned i = 0; i < kind->n_params; i++) {
        if (!is_property(run->resource, i))
            continue;
        const Value *found = actual->exists ? state_get(actual, i) : NULL;
        g_autoptr(Value) wanted = entry->absent ? NULL : entry->wanted(entry->data, i);
        bool differs =
            entry->absent ? found != NULL : wanted != NULL && !value_equal(found, wanted);
        if (!differs)
            continue;
        changes->uncertain |= value_type(found) == VALUE_UNKNOWN;
        changes->uncertain |= value_type(wanted) == VALUE_UNKNOWN;
        changes_add(changes, kind->params[i].name, value_ref(found), g_steal_pointer(&wanted),
                    NULL);
    }
}

static Value *mode_value(mode_t mode) {
    g_autofree char *text = g_strdup_printf("%04o", mode);
    return value_new_string(text);
}

static Value *name_value(char *name) {
    g_autofree char *own = name;
    return value_new_string(own);
}

static void add_attributes(KindRun *run, const Entry *entry, Changes *changes) {
    const FileAttributes *wanted = &entry->attributes;
    FileInfo info;
    links_begin(entry);
    bool there = !entry->absent && host_stat(run->host, entry->path, &info, NULL);
    links_end(entry);
    if (!there || info.type != FILE_REGULAR)
        return;
    if ((wanted->set & FILE_SET_MODE) && wanted->mode != info.mode)
        changes_add(changes, "mode", mode_value(info.mode), mode_value(wanted->mode), NULL);
    if ((wanted->set & FILE_SET_UID) && wanted->uid != info.uid)
        changes_add(changes, "owner", name_value(accounts_user_name(run->host, info.uid)),
                    name_value(accounts_user_name(run->host, wanted->uid)), NULL);
    if ((wanted->set & FILE_SET_GID) && wanted->gid != info.gid)
        changes_add(changes, "group", name_value(accounts_group_name(run->host, info.gid)),
                    name_value(accounts_group_name(run->host, wanted->gid)), NULL);
}

static void add_lines(KindRun *run, const Entry *entry, Changes *changes) {
    if (changes->changes->len == 0 || changes->uncertain || has_secret(run->resource))
        return;
    Edit edit = edit_of(run, entry);
    links_begin(entry);
    changes->lines = edit_diff(run, &edit);
    links_end(entry);
}

bool entry_diff(KindRun *run, const Entry *entry, const State *actual, Changes *changes,
                GError **error) {
    if (entry->absent && !actual->exists)
        return true;
    add_differences(run, entry, actual, changes);
    add_lines(run, entry, changes);
    add_attributes(run, entry, changes);
    if (entry->absent)
        changes->action = ACTION_REMOVE;
    else if (!actual->exists)
        changes->action = ACTION_CREATE;
    else if (changes->changes->len > 0)
        changes->action = ACTION_CHANGE;
    return true;
}

/* --- apply */

static bool put_attributes(KindRun *run, const Entry *entry, GError **error) {
    FileInfo info;
    const FileAttributes *wanted = &entry->attributes;
    if (entry->absent || !host_stat(run->host, entry->path, &info, error))
        return entry->absent;
    bool differs = ((wanted->set & FILE_SET_MODE) && wanted->mode != info.mode) ||
                   ((wanted->set & FILE_SET_UID) && wanted->uid != info.uid) ||
                   ((wanted->set & FILE_SET_GID) && wanted->gid != info.gid);
    return !differs || host_set_attributes(run->host, entry->path, wanted, error);
}

bool entry_apply(KindRun *run, const Entry *entry, const Changes *changes, GError **error) {
    if (changes->uncertain && run->planning)
        return true;
    Edit edit = edit_of(run, entry);
    links_begin(entry);
    if (!entry->absent)
        edit_keep_created(run, entry->path);
    bool done = edit_apply(run, &edit, error) && put_attributes(run, entry, error);
    links_end(entry);
    return done;
}

/* --- reverse */

Resource *entry_reverse(const Resource *resource, unsigned state_param, const State *before,
                        OnRemove how) {
    Resource *inverse = resource_copy(resource);
    bool existed = before != NULL && before->exists && how != ON_REMOVE_REMOVE;
    resource_put(inverse, state_param, value_new_string(existed ? "exists" : "absent"));
    for (unsigned i = 0; existed && i < resource->kind->n_params; i++)
        if (is_property(resource, i) && state_get(before, i) != NULL)
            resource_put(inverse, i, value_ref(state_get(before, i)));
    return inverse;
}
