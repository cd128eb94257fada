#include "kinds/account.h"
#include "kinds/kinds.h"

#include "graph/autoedge.h"
#include "graph/watcher.h"

/* group: a line of /etc/group. */

enum {
    P_STATE,
    P_GID,
    P_MEMBERS,
    P_MEMBERSHIP,
    P_PASSWORD,
    P_SYSTEM,
    P_ALLOWDUPLICATEGID,
    N_PARAMS
};

static const Param params[N_PARAMS] = {
    [P_STATE] = { "state", PARAM_ENUM, PARAM_PROPERTY, "Whether the group exists.",
                  .fallback = "exists", .choices = account_states, .aliases = "ensure" },
    [P_GID] = { "gid", PARAM_INT, PARAM_PROPERTY,
                "Its number. Unset: a new group gets the lowest free one, an existing one keeps "
                "its "
                "own." },
    [P_MEMBERS] = { "members", PARAM_STRINGS, PARAM_PROPERTY,
                    "Users that are in the group besides those whose primary group it is." },
    [P_MEMBERSHIP] = { "membership", PARAM_ENUM, 0,
                       "Whether `members` are the least that are in it (minimum) or all of them "
                       "(inclusive: others are taken out).",
                       .fallback = "minimum", .choices = membership_rules },
    [P_PASSWORD] = { "password", PARAM_STRING, PARAM_PROPERTY | PARAM_RECEIVES | PARAM_SECRET,
                     "A crypt(5) hash by which others may join for a session with newgrp(1), or "
                     "\"!\" for none. A new group gets \"!\"." },
    [P_SYSTEM] = { "system", PARAM_BOOL, 0,
                   "A new group without `gid` gets its number from the range for system groups.",
                   .fallback = "false" },
    [P_ALLOWDUPLICATEGID] = { "allowduplicategid", PARAM_BOOL, 0,
                              "Accept a `gid` that another group has.", .fallback = "false",
                              .aliases = "allowdupe" },
};

static const Output outputs[] = {
    { "gid", PARAM_INT, "The number of the group." },
};

/* Set and known. In a plan a received value is not, yet. */
static const Value *known_password(const Resource *resource) {
    const Value *value = resource_get(resource, P_PASSWORD);
    return value && value_type(value) != VALUE_UNKNOWN ? value : NULL;
}

static bool group_validate(const Resource *resource, GError **error) {
    if (!account_name_check("group", resource->name, error))
        return false;
    const Value *gid = resource_get(resource, P_GID);
    if (gid && !account_id_check("gid", value_int(gid), error))
        return false;
    const Value *password = known_password(resource);
    if (password && !account_hash_check(value_string(password), error))
        return false;
    const Value *members = resource_get(resource, P_MEMBERS);
    for (size_t i = 0; members && i < value_size(members); i++)
        if (!account_name_check("user", value_string(value_list_at(members, i)), error))
            return false;
    return true;
}

static bool group_observe(KindRun *run, State *actual, GError **error) {
    g_autoptr(GError) problem = NULL;
    g_autoptr(Group) group = accounts_find_group(run->host, run->resource->name, &problem);
    if (!group && !g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND)) {
        g_propagate_error(error, g_steal_pointer(&problem));
        return false;
    }
    actual->exists = group != NULL;
    state_set(actual, P_STATE, value_new_string(group ? "exists" : "absent"));
    if (!group)
        return true;
    g_autoptr(Value) found = account_set_value((const char *const *)group->members);
    g_auto(GStrv) members = account_set_from(found);
    state_set(actual, P_GID, value_new_int(group->gid));
    state_set(actual, P_MEMBERS, account_set_value((const char *const *)members));
    if (group->password_hash)
        state_set(actual, P_PASSWORD, account_secret(group->password_hash));
    kind_run_send(run, "gid", value_new_int(group->gid));
    return true;
}

/* The groups of users would silently become numbers. */
static bool check_removable(KindRun *run, const State *actual, GError **error) {
    gid_t gid = (gid_t)value_int(state_get(actual, P_GID));
    g_autofree char *owner = accounts_group_name(run->host, gid);
    if (!g_str_equal(owner, run->resource->name))
        return true; /* another group has the same number */
    g_auto(GStrv) users = account_primary_users(run->host, gid, error);
    if (!users)
        return false;
    if (!users[0])
        return true;
    g_autofree char *names = g_strjoinv("', '", users);
    g_set_error(
        error, STEAD_ERROR, STEAD_ERROR_REFUSED,
        "refuse to remove it: it is the primary group of '%s'; remove %s or give %s another "
        "group first, and say that with 'needs'",
        names, users[1] ? "them" : "that user", users[1] ? "them" : "the user");
    return false;
}

static bool check_gid_free(KindRun *run, GError **error) {
    const Value *gid = resource_get(run->resource, P_GID);
    if (!gid || resource_bool(run->resource, P_ALLOWDUPLICATEGID))
        return true;
    g_autofree char *number = g_strdup_printf("%" G_GINT64_FORMAT, value_int(gid));
    g_autofree char *owner = accounts_group_name(run->host, (gid_t)value_int(gid));
    if (g_str_equal(owner, number) || g_str_equal(owner, run->resource->name))
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                "refuse gid %s: group '%s' has it; choose another or set allowduplicategid = true",
                number, owner);
    return false;
}

static char **wanted_members(const Resource *resource, const State *actual) {
    g_auto(GStrv) found = account_set_from(state_get(actual, P_MEMBERS));
    return account_set_wanted(resource_get(resource, P_MEMBERS), (const char *const *)found,
                              resource_string(resource, P_MEMBERSHIP));
}

static void diff_password(KindRun *run, const State *actual, const Value *password,
                          Changes *changes) {
    const Value *hash = state_get(actual, P_PASSWORD);
    if (actual->exists && !hash && !host_is_privileged(run->host))
        kind_run_note(run, "password not compared: only root can read it");
    else
        changes_add(changes, "password", value_ref(hash), value_ref(password), NULL);
}

static bool diff_present(KindRun *run, const State *actual, Changes *changes, GError **error) {
    const Resource *resource = run->resource;
    const Value *gid = resource_get(resource, P_GID), *found = state_get(actual, P_GID);
    if (!actual->exists)
        changes_add(changes, "state", value_new_string("absent"), value_new_string("exists"), NULL);
    if (gid && !(found && value_equal(gid, found))) {
        if (!check_gid_free(run, error))
            return false;
        changes_add(changes, "gid", value_ref(found), value_ref(gid), NULL);
    }
    if (resource_get(resource, P_MEMBERS)) {
        g_auto(GStrv) wanted = wanted_members(resource, actual);
        g_autoptr(Value) after = account_set_value((const char *const *)wanted);
        const Value *before = state_get(actual, P_MEMBERS);
        if (before ? !value_equal(before, after) : wanted[0] != NULL)
            changes_add(changes, "members", value_ref(before), value_ref(after), NULL);
    }
    const Value *password = known_password(resource), *hash = state_get(actual, P_PASSWORD);
    if (password && !(hash && value_equal(hash, password)))
        diff_password(run, actual, password, changes);
    if (!changes_empty(changes) || changes->changes->len > 0)
        changes->action = actual->exists ? ACTION_CHANGE : ACTION_CREATE;
    return true;
}

static bool group_diff(KindRun *run, const State *actual, Changes *changes, GError **error) {
    if (!account_wants_absent(run->resource, P_STATE))
        return diff_present(run, actual, changes, error);
    if (!actual->exists)
        return true;
    if (!check_removable(run, actual, error))
        return false;
    changes->action = ACTION_REMOVE;
    changes_add(changes, "state", value_new_string("exists"), value_new_string("absent"), NULL);
    return true;
}

/* As groupmod(8): users keep the group as their primary one when its number changes. */
static bool move_users(KindRun *run, gid_t from, gid_t to, GError **error) {
    g_auto(GStrv) names = account_primary_users(run->host, from, error);
    if (!names)
        return false;
    for (char **name = names; *name; name++) {
        g_autoptr(User) user = accounts_find_user(run->host, *name, error);
        if (!user)
            return false;
        user->gid = to;
        if (!accounts_put_user(run->host, user, error))
            return false;
        kind_run_note(run, "moved user '%s' to gid %u; files of gid %u keep it", *name, to, from);
    }
    return true;
}

static bool choose_gid(KindRun *run, gid_t *ret_gid, GError **error) {
    const Value *gid = resource_get(run->resource, P_GID);
    if (!gid)
        return accounts_free_gid(run->host, resource_bool(run->resource, P_SYSTEM), ret_gid, error);
    *ret_gid = (gid_t)value_int(gid);
    return check_gid_free(run, error);
}

/* Holding the lock: the id may not be taken by another worker between choosing and writing. */
static bool put_group(KindRun *run, const State *actual, GError **error) {
    const Resource *resource = run->resource;
    g_autoptr(Group) group = g_new0(Group, 1);
    group->name = g_strdup(resource->name);
    const Value *found = state_get(actual, P_GID);
    if (found && !resource_get(resource, P_GID))
        group->gid = (gid_t)value_int(found);
    else if (!choose_gid(run, &group->gid, error))
        return false;
    group->members = resource_get(resource, P_MEMBERS)
                         ? wanted_members(resource, actual)
                         : account_set_from(state_get(actual, P_MEMBERS));
    const Value *password = known_password(resource);
    group->password_hash = password ? g_strdup(value_string(password)) : NULL;
    if (!accounts_put_group(run->host, group, error))
        return false;
    kind_run_send(run, "gid", value_new_int(group->gid));
    gid_t before = found ? (gid_t)value_int(found) : group->gid;
    return before == group->gid || move_users(run, before, group->gid, error);
}

static bool group_apply(KindRun *run, const State *actual, const Changes *changes, GError **error) {
    if (!accounts_lock(run->host, error))
        return false;
    bool done = changes->action == ACTION_REMOVE
                    ? accounts_remove_group(run->host, run->resource->name, error)
                    : put_group(run, actual, error);
    accounts_unlock(run->host);
    return done;
}

static bool group_watch(Watcher *watcher, const Resource *resource, GError **error) {
    return watcher_host(watcher, HOST_WATCH_ACCOUNTS, "", error);
}

static void group_auto_edges(const Resource *resource, AutoEdges *edges) {
    auto_edges_am(edges, "group", resource->name);
    auto_edges_want_parent(edges, "/etc/passwd"); /* of all four files */
    const Value *gid = resource_get(resource, P_GID);
    if (gid) {
        g_autofree char *number = g_strdup_printf("%" G_GINT64_FORMAT, value_int(gid));
        auto_edges_am(edges, "gid", number);
    }
    auto_edges_want(edges, "path", "/etc/login.defs", true);
}

/* Puts back what this resource set, as it was before. */
static Resource *group_reverse(const Resource *resource, const State *before, OnRemove how,
                               GError **error) {
    if (account_stays_removed(resource, P_STATE))
        return NULL;
    Resource *undo = resource_copy(resource);
    bool existed = before && before->exists && how != ON_REMOVE_REMOVE;
    resource_put(undo, P_STATE, value_new_string(existed ? "exists" : "absent"));
    resource_put(undo, P_PASSWORD, NULL);
    g_clear_pointer(&undo->receives, g_array_unref); /* the sender may be gone */
    if (!existed)
        return undo;
    const Value *hash = state_get(before, P_PASSWORD); /* only while it is in memory */
    if (hash && *value_string(hash) && resource_get(resource, P_PASSWORD))
        resource_put(undo, P_PASSWORD, value_ref(hash));
    resource_put(undo, P_MEMBERSHIP, value_new_string("inclusive"));
    static const unsigned restored[] = { P_GID, P_MEMBERS };
    bool was_removed = account_wants_absent(resource, P_STATE);
    for (unsigned i = 0; i < G_N_ELEMENTS(restored); i++)
        if (was_removed || resource_get(resource, restored[i]))
            resource_put(undo, restored[i], value_ref(state_get(before, restored[i])));
    return undo;
}

const Kind kind_group = {
    .name = "group",
    .summary = "Keep a group of users",
    .help = "Keeps a line of /etc/group and /etc/gshadow. A group that users belong to is "
            "best told by the users (`user \"ada\" { groups = { \"ops\" } }`); `members` is for "
            "groups that are defined as a whole. With `membership = \"inclusive\"` the list "
            "is everybody, so do not also put users into the group elsewhere: the two would "
            "undo each other.\n\n"
            "A changed `gid` is carried over to the users whose primary group it is; files "
            "keep their old number. A group that is some user's primary group is never "
            "removed: that is an error that names the users.\n\n"
            "When the resource leaves the configuration, a group that stead created is "
            "removed, and one that existed before gets back what was changed. One that was "
            "declared absent stays away, unless `on_remove = \"restore\"`. Works on the files "
            "below `--root`, without privileges as well.",
    .example = "group \"ops\" { gid = 2000 }\n"
               "group \"render\" { system = true, members = { \"ada\" } }\n"
               "user \"ada\" { groups = { \"ops\" } }\n",
    .params = params,
    .n_params = N_PARAMS,
    .flags = KIND_QUICK,
    .outputs = outputs,
    .n_outputs = G_N_ELEMENTS(outputs),
    .validate = group_validate,
    .observe = group_observe,
    .diff = group_diff,
    .apply = group_apply,
    .watch = group_watch,
    .auto_edges = group_auto_edges,
    .reverse = group_reverse,
    .clean = account_files_clean,
};
