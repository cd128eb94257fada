#include <stdlib.h>
#include <string.h>

#include "graph/autoedge.h"
#include "graph/watcher.h"
#include "kinds/account.h"
#include "kinds/kinds.h"
#include "kinds/subid.h"
#include "kinds/user-home.h"
#include "kinds/user-remove.h"

/* user: a line of /etc/passwd and /etc/shadow, memberships in /etc/group, and a home directory. */

enum {
    P_STATE,
    P_UID,
    P_GID,
    P_GROUP,
    P_GROUPS,
    P_MEMBERSHIP,
    P_HOMEDIR,
    P_MANAGEHOME,
    P_SKEL,
    P_PURGE_HOME,
    P_FORCE,
    P_SHELL,
    P_COMMENT,
    P_PASSWORD,
    P_LOCKED,
    P_EXPIRY,
    P_MIN_AGE,
    P_MAX_AGE,
    P_WARN_DAYS,
    P_INACTIVE,
    P_SUBUID,
    P_SUBGID,
    P_LINGER,
    P_SYSTEM,
    P_ALLOWDUPLICATEUID,
    N_PARAMS
};

static const Param params[N_PARAMS] = {
    [P_STATE] = { "state", PARAM_ENUM, PARAM_PROPERTY, "Whether the user exists.",
                  .fallback = "exists", .choices = account_states, .aliases = "ensure" },
    [P_UID] = { "uid", PARAM_INT, PARAM_PROPERTY,
                "Its number. Unset: a new user gets the lowest free one, an existing one keeps its "
                "own. What the user owns in its home follows a change." },
    [P_GID] = { "gid", PARAM_INT, PARAM_PROPERTY,
                "Its primary group by number. Not together with `group`." },
    [P_GROUP] = { "group", PARAM_STRING, PARAM_PROPERTY,
                  "Its primary group by name. Without `group` and `gid` a new user gets a group of "
                  "its own name. That one is made if need be; any other must exist." },
    [P_GROUPS] = { "groups", PARAM_STRINGS, PARAM_PROPERTY,
                   "Further groups it is in, by name. They must exist." },
    [P_MEMBERSHIP] = { "membership", PARAM_ENUM, 0,
                       "Whether `groups` are the least it is in (minimum) or all of them "
                       "(inclusive: it is taken out of others).",
                       .fallback = "minimum", .choices = membership_rules },
    [P_HOMEDIR] = { "homedir", PARAM_PATH, PARAM_PROPERTY,
                    "Its home directory. A new user gets /home/NAME. With `managehome` a change "
                    "moves it "
                    "with all that is in it.",
                    .aliases = "home" },
    [P_MANAGEHOME] = { "managehome", PARAM_BOOL, PARAM_PROPERTY,
                       "Make the home directory from /etc/skel and keep it in the user's hands.",
                       .fallback = "false" },
    [P_SKEL] = { "skel", PARAM_PATH, 0,
                 "Directory whose content a new home gets. Unset: SKEL of /etc/default/useradd, or "
                 "/etc/skel." },
    [P_PURGE_HOME] = { "purge_home", PARAM_BOOL, 0,
                       "Remove the home directory and the mail spool when the user is removed.",
                       .fallback = "false" },
    [P_FORCE] = { "force", PARAM_BOOL, 0,
                  "Remove the user although processes run as it; they go on without a name.",
                  .fallback = "false" },
    [P_SHELL] = { "shell", PARAM_PATH, PARAM_PROPERTY,
                  "Its login shell. A new user gets the one of /etc/default/useradd, or /bin/sh. "
                  "The "
                  "package of its name and the file of that path come first by themselves." },
    [P_COMMENT] = { "comment", PARAM_STRING, PARAM_PROPERTY,
                    "Its full name or purpose (the GECOS field)." },
    [P_PASSWORD] = { "password", PARAM_STRING, PARAM_PROPERTY | PARAM_RECEIVES | PARAM_SECRET,
                     "Its password as a crypt(5) hash (\"$y$...\"), or \"!\" for none. A new user "
                     "gets \"!\"." },
    [P_LOCKED] = { "locked", PARAM_BOOL, PARAM_PROPERTY,
                   "Whether its password is locked, as by usermod -L: true puts a \"!\" before the "
                   "hash, false takes it away. Keys of ssh still let it in; `expiry` shuts it "
                   "altogether." },
    [P_EXPIRY] = { "expiry", PARAM_STRING, PARAM_PROPERTY,
                   "The first day on which the account is shut, as YYYY-MM-DD, or \"never\"." },
    [P_MIN_AGE] = { "password_min_age", PARAM_INT, PARAM_PROPERTY,
                    "Days before the password may be changed again; -1 for no limit. Unset: a new "
                    "user gets PASS_MIN_DAYS of /etc/login.defs." },
    [P_MAX_AGE] = { "password_max_age", PARAM_INT, PARAM_PROPERTY,
                    "Days after which the password must be changed; -1 for no limit. Unset: a new "
                    "user gets PASS_MAX_DAYS." },
    [P_WARN_DAYS] = { "password_warn_days", PARAM_INT, PARAM_PROPERTY,
                      "Days before that during which the user is told; -1 for none. Unset: a new "
                      "user gets PASS_WARN_AGE." },
    [P_INACTIVE] = { "inactive_days", PARAM_INT, PARAM_PROPERTY,
                     "Days after the password has expired during which it may still be changed at "
                     "login, before the account is shut; -1 for no limit." },
    [P_SUBUID] = { "subuid", PARAM_STRINGS, PARAM_PROPERTY,
                   "All its ranges of subordinate uids, for containers, as \"START:COUNT\"; or "
                   "\"auto\": one that is free, as useradd would choose it, unless it has any." },
    [P_SUBGID] = { "subgid", PARAM_STRINGS, PARAM_PROPERTY, "The same for subordinate gids." },
    [P_LINGER] = { "linger", PARAM_BOOL, PARAM_PROPERTY,
                   "Whether its service manager runs from boot on, without a login: loginctl "
                   "enable-linger." },
    [P_SYSTEM] = { "system", PARAM_BOOL, 0,
                   "A new user without `uid` gets its number from the range for system users.",
                   .fallback = "false" },
    [P_ALLOWDUPLICATEUID] = { "allowduplicateuid", PARAM_BOOL, 0,
                              "Accept a `uid` that another user has.", .fallback = "false",
                              .aliases = "allowdupe" },
};

/* The rows of the ages, in the order of PasswordAge. */
static const unsigned age_params[PASSWORD_AGES] = {
    [PASSWORD_MIN_AGE] = P_MIN_AGE,
    [PASSWORD_MAX_AGE] = P_MAX_AGE,
    [PASSWORD_WARN_DAYS] = P_WARN_DAYS,
    [PASSWORD_INACTIVE] = P_INACTIVE,
};

static const unsigned subid_params[] = { [SUBID_USER] = P_SUBUID, [SUBID_GROUP] = P_SUBGID };

#define LIMIT_PASSWORD_AGE 99999 /* days: what shadow(5) calls for ever */

static const Output outputs[] = {
    { "uid", PARAM_INT, "The number of the user." },
    { "gid", PARAM_INT, "The number of its primary group." },
    { "home", PARAM_PATH, "Its home directory." },
};

/* --- parameters --- */

#define NEVER (-1)

/* YYYY-MM-DD; false when it is no day of the calendar. */
static bool parse_day(const char *text, GDate *ret_date) {
    for (unsigned i = 0; i < 10; i++)
        if (i == 4 || i == 7 ? text[i] != '-' : !g_ascii_isdigit(text[i]))
            return false;
    unsigned long year = strtoul(text, NULL, 10), month = strtoul(text + 5, NULL, 10),
                  day = strtoul(text + 8, NULL, 10);
    if (text[10] || !g_date_valid_dmy((GDateDay)day, (GDateMonth)month, (GDateYear)year))
        return false;
    g_date_set_dmy(ret_date, (GDateDay)day, (GDateMonth)month, (GDateYear)year);
    return true;
}

static int64_t days_since_epoch(const GDate *date) {
    GDate epoch;
    g_date_set_dmy(&epoch, 1, G_DATE_JANUARY, 1970);
    return g_date_days_between(&epoch, date);
}

static bool parse_expiry(const char *text, int64_t *ret_day, GError **error) {
    GDate date;
    *ret_day = NEVER;
    if (g_str_equal(text, "never") || g_str_equal(text, "absent"))
        return true;
    if (parse_day(text, &date)) {
        *ret_day = days_since_epoch(&date);
        if (*ret_day > 0) /* shadow(5): 0 may be read as never or as long ago */
            return true;
    }
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                "refuse expiry '%s': write a day after 1970-01-01 as YYYY-MM-DD, or \"never\"",
                text);
    return false;
}

static char *show_expiry(int64_t day) {
    GDate date;
    if (day < 0 || day > G_MAXUINT16 * 4)
        return g_strdup("never");
    g_date_set_dmy(&date, 1, G_DATE_JANUARY, 1970);
    g_date_add_days(&date, (guint)day);
    return g_strdup_printf("%04u-%02u-%02u", g_date_get_year(&date), g_date_get_month(&date),
                           g_date_get_day(&date));
}

/* Set and known. In a plan a received value is not, yet. */
static const Value *known(const Resource *resource, unsigned param) {
    const Value *value = resource_get(resource, param);
    return value && value_type(value) != VALUE_UNKNOWN ? value : NULL;
}

static bool validate_texts(const Resource *resource, GError **error) {
    static const unsigned fields[] = { P_HOMEDIR, P_SHELL, P_COMMENT };
    for (unsigned i = 0; i < G_N_ELEMENTS(fields); i++) {
        const char *text = resource_string(resource, fields[i]);
        if (text && !account_field_check(params[fields[i]].name, text, error))
            return false;
    }
    const Value *password = known(resource, P_PASSWORD);
    int64_t day;
    return (!password || account_hash_check(value_string(password), error)) &&
           (!resource_get(resource, P_EXPIRY) ||
            parse_expiry(resource_string(resource, P_EXPIRY), &day, error));
}

static bool validate_groups(const Resource *resource, GError **error) {
    const char *group = resource_string(resource, P_GROUP);
    if (group && resource_get(resource, P_GID)) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "set either 'group' or 'gid', not both: they are the same thing by name and by "
                    "number");
        return false;
    }
    if (group && !account_name_check("group", group, error))
        return false;
    const Value *groups = resource_get(resource, P_GROUPS);
    for (size_t i = 0; groups && i < value_size(groups); i++)
        if (!account_name_check("group", value_string(value_list_at(groups, i)), error))
            return false;
    return true;
}

static bool validate_ages(const Resource *resource, GError **error) {
    for (unsigned age = 0; age < PASSWORD_AGES; age++) {
        int64_t days = resource_int(resource, age_params[age], NEVER);
        if (days >= NEVER && days <= LIMIT_PASSWORD_AGE)
            continue;
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "refuse %s %" G_GINT64_FORMAT ": write 0 to %d days, or -1 for no limit",
                    params[age_params[age]].name, days, LIMIT_PASSWORD_AGE);
        return false;
    }
    int64_t least = resource_int(resource, P_MIN_AGE, NEVER);
    int64_t most = resource_int(resource, P_MAX_AGE, NEVER);
    if (most == NEVER || least <= most)
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                "password_min_age %" G_GINT64_FORMAT " is above password_max_age %" G_GINT64_FORMAT
                ": the user could never change an expired password",
                least, most);
    return false;
}

static bool validate_lock(const Resource *resource, GError **error) {
    const Value *password = known(resource, P_PASSWORD);
    if (!resource_get(resource, P_LOCKED) || resource_bool(resource, P_LOCKED) || !password ||
        *value_string(password) != '!')
        return true;
    g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                        "locked = false and a password that starts with \"!\" contradict");
    return false;
}

static bool validate_subids(const Resource *resource, GError **error) {
    for (unsigned kind = 0; kind < G_N_ELEMENTS(subid_params); kind++)
        if (!subid_check(params[subid_params[kind]].name,
                         resource_get(resource, subid_params[kind]), error))
            return false;
    return true;
}

static bool user_validate(const Resource *resource, GError **error) {
    static const unsigned ids[] = { P_UID, P_GID };
    if (!account_name_check("user", resource->name, error))
        return false;
    for (unsigned i = 0; i < G_N_ELEMENTS(ids); i++) {
        const Value *id = resource_get(resource, ids[i]);
        if (id && !account_id_check(params[ids[i]].name, value_int(id), error))
            return false;
    }
    return validate_texts(resource, error) && validate_ages(resource, error) &&
           validate_groups(resource, error) && validate_lock(resource, error) &&
           validate_subids(resource, error);
}

/* A trailing slash means nothing here, and login(1) would not expect it. */
static char *plain_path(const char *path) {
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    return g_strndup(path, length);
}

/* --- observe --- */

static void send_user(KindRun *run, const User *user) {
    kind_run_send(run, "uid", value_new_int(user->uid));
    kind_run_send(run, "gid", value_new_int(user->gid));
    kind_run_send(run, "home", value_new_string(user->home));
}

/* NULL without error: no such user. */
static User *find_user(KindRun *run, GError **error) {
    g_autoptr(GError) problem = NULL;
    User *user = accounts_find_user(run->host, run->resource->name, &problem);
    if (!user && !g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND))
        g_propagate_error(error, g_steal_pointer(&problem));
    return user;
}

static bool observe_groups(KindRun *run, const User *user, State *actual, GError **error) {
    const char *wanted = resource_string(run->resource, P_GROUP);
    gid_t gid;
    g_autofree char *group = NULL;
    if (wanted && accounts_gid(run->host, wanted, &gid, NULL) && gid == user->gid)
        group = g_strdup(wanted); /* not another group of the same number */
    else
        group = accounts_group_name(run->host, user->gid);
    state_set(actual, P_GROUP, value_new_string(group));
    if (!resource_get(run->resource, P_GROUPS) && !account_wants_absent(run->resource, P_STATE))
        return true; /* nobody asks, and finding them reads the whole file */
    g_auto(GStrv) groups = accounts_groups_of(run->host, user->name, error);
    if (groups)
        state_set(actual, P_GROUPS, account_set_value((const char *const *)groups));
    return groups != NULL;
}

/* Whoever may not read /etc/shadow gets no hash and no expiry, which is not the same as none. */
static bool is_shadow_hidden(Host *host, const User *user) {
    g_autoptr(GError) problem = NULL;
    if (user->password_hash || host_is_privileged(host))
        return false;
    g_autoptr(GBytes) shadow = host_read(host, "/etc/shadow", LIMIT_ACCOUNT_FILE, &problem);
    return !shadow && !g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND);
}

static void observe_shadow(Host *host, const User *user, State *actual) {
    g_autofree char *expiry = show_expiry(user->expires_day);
    bool hidden = is_shadow_hidden(host, user);
    state_set(actual, P_EXPIRY, hidden ? value_new_unknown() : value_new_string(expiry));
    for (unsigned age = 0; age < PASSWORD_AGES; age++) {
        if (hidden)
            state_set(actual, age_params[age], value_new_unknown());
        else if (user->ages_set[age])
            state_set(actual, age_params[age], value_new_int(user->ages[age]));
    }
    if (hidden) {
        state_set(actual, P_PASSWORD, value_new_unknown());
        state_set(actual, P_LOCKED, value_new_unknown());
    } else if (user->password_hash) {
        state_set(actual, P_PASSWORD, account_secret(user->password_hash));
        state_set(actual, P_LOCKED, value_new_bool(*user->password_hash == '!'));
    }
}

/* Only who asks has these files read. */
static bool observe_subids(KindRun *run, State *actual, GError **error) {
    bool all = account_wants_absent(run->resource, P_STATE);
    for (unsigned kind = 0; kind < G_N_ELEMENTS(subid_params); kind++) {
        if (!all && !resource_get(run->resource, subid_params[kind]))
            continue;
        g_auto(GStrv) ranges = subid_ranges(run->host, kind, run->resource->name, error);
        if (!ranges)
            return false;
        state_set(actual, subid_params[kind], account_set_value((const char *const *)ranges));
    }
    if (all || resource_get(run->resource, P_LINGER))
        state_set(actual, P_LINGER, value_new_bool(user_lingers(run->host, run->resource->name)));
    return true;
}

static void observe_fields(const User *user, State *actual) {
    g_autofree char *home = plain_path(user->home);
    state_set(actual, P_UID, value_new_int(user->uid));
    state_set(actual, P_GID, value_new_int(user->gid));
    state_set(actual, P_HOMEDIR, value_new_string(home));
    state_set(actual, P_SHELL, value_new_string(user->shell));
    state_set(actual, P_COMMENT, value_new_string(user->comment));
}

static bool user_observe(KindRun *run, State *actual, GError **error) {
    GError *problem = NULL;
    g_autoptr(User) user = find_user(run, &problem);
    if (problem) {
        g_propagate_error(error, problem);
        return false;
    }
    actual->exists = user != NULL;
    state_set(actual, P_STATE, value_new_string(user ? "exists" : "absent"));
    if (!user)
        return true;
    observe_fields(user, actual);
    observe_shadow(run->host, user, actual);
    if (!observe_groups(run, user, actual, error) || !observe_subids(run, actual, error))
        return false;
    if (resource_bool(run->resource, P_MANAGEHOME)) {
        bool ready;
        if (!user_home_ready(run->host, user, &ready, error))
            return false;
        state_set(actual, P_MANAGEHOME, value_new_bool(ready));
    }
    send_user(run, user);
    return true;
}

/* --- diff --- */

static bool check_uid_free(KindRun *run, GError **error) {
    const Value *uid = resource_get(run->resource, P_UID);
    if (!uid || resource_bool(run->resource, P_ALLOWDUPLICATEUID))
        return true;
    g_autofree char *number = g_strdup_printf("%" G_GINT64_FORMAT, value_int(uid));
    g_autofree char *owner = accounts_user_name(run->host, (uid_t)value_int(uid));
    if (g_str_equal(owner, number) || g_str_equal(owner, run->resource->name))
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                "refuse uid %s: user '%s' has it; choose another or set allowduplicateuid = true",
                number, owner);
    return false;
}

static char **wanted_groups(const Resource *resource, const State *actual) {
    g_auto(GStrv) found = account_set_from(state_get(actual, P_GROUPS));
    return account_set_wanted(resource_get(resource, P_GROUPS), (const char *const *)found,
                              resource_string(resource, P_MEMBERSHIP));
}

/* The hash as a locked or an open account has it, as a secret. */
static Value *with_lock(const char *hash, bool locked) {
    const char *open = hash + strspn(hash, "!");
    g_autofree char *text =
        *open ? g_strconcat(locked ? "!" : "", open, NULL) : g_strdup(locked ? "!" : hash);
    return account_secret(text);
}

static bool is_auto(const Value *ranges) {
    return value_size(ranges) == 1 &&
           g_str_equal(value_string(value_list_at(ranges, 0)), SUBID_AUTO);
}

/* What a property should be in the form observe gives, or NULL when it is not asked for. Caller
 * unrefs. */
static Value *wanted_value(const Resource *resource, const State *actual, unsigned param) {
    const Value *wanted = known(resource, param);
    if (!wanted)
        return NULL;
    if (param == P_GROUPS) {
        g_auto(GStrv) groups = wanted_groups(resource, actual);
        return account_set_value((const char *const *)groups);
    }
    if (param == P_HOMEDIR) {
        g_autofree char *home = plain_path(value_string(wanted));
        return value_new_string(home);
    }
    if (param == P_EXPIRY) {
        int64_t day;
        bool valid = parse_expiry(value_string(wanted), &day, NULL);
        g_assert(valid);
        g_autofree char *text = show_expiry(day);
        return value_new_string(text);
    }
    if (param == P_MANAGEHOME && !value_bool(wanted))
        return NULL;
    if (param == P_PASSWORD && resource_get(resource, P_LOCKED))
        return with_lock(value_string(wanted), resource_bool(resource, P_LOCKED));
    if ((param == P_SUBUID || param == P_SUBGID) && is_auto(wanted) && state_get(actual, param) &&
        value_size(state_get(actual, param)) > 0)
        return NULL;
    return value_ref(wanted);
}

static void add_difference(KindRun *run, const State *actual, unsigned param, Changes *changes) {
    g_autoptr(Value) wanted = wanted_value(run->resource, actual, param);
    const Value *found = state_get(actual, param);
    if (!wanted || (found && value_equal(found, wanted)))
        return;
    if (!found && value_type(wanted) == VALUE_LIST && value_size(wanted) == 0)
        return;
    if (value_type(found) == VALUE_UNKNOWN) {
        kind_run_note(run, "%s not compared: only root can read it", params[param].name);
        return;
    }
    changes_add(changes, params[param].name, value_ref(found), g_steal_pointer(&wanted), NULL);
}

static UserRemoval removal_of(const Resource *resource) {
    return (UserRemoval){
        .purge_home = resource_bool(resource, P_PURGE_HOME),
        .force = resource_bool(resource, P_FORCE),
    };
}

static bool diff_absent(KindRun *run, const State *actual, Changes *changes, GError **error) {
    if (!actual->exists)
        return true;
    changes->action = ACTION_REMOVE;
    changes_add(changes, "state", value_new_string("exists"), value_new_string("absent"), NULL);
    g_autoptr(User) user = accounts_find_user(run->host, run->resource->name, error);
    UserRemoval how = removal_of(run->resource);
    return user && user_remove_diff(run, user, &how, changes, error);
}

/* A home that moves takes along what is in it. */
static bool diff_home(KindRun *run, const State *actual, Changes *changes, GError **error) {
    const Change *home = changes_find(changes, "homedir");
    bool moves = false;
    if (!home || !actual->exists || !resource_bool(run->resource, P_MANAGEHOME))
        return true;
    g_autoptr(User) user = accounts_find_user(run->host, run->resource->name, error);
    if (!user || !user_home_will_move(run, user, value_string(home->after), &moves, error))
        return false;
    if (moves)
        changes_add(changes, "moves", value_new_string(user->home), value_ref(home->after), NULL);
    return true;
}

/* Unlocking gives back the hash that was there: where there is none, nobody could log in. */
static bool diff_locked(KindRun *run, const Changes *changes, GError **error) {
    const Change *locked = changes_find(changes, "locked");
    if (!locked || value_bool(locked->after) || resource_get(run->resource, P_PASSWORD))
        return true;
    g_autoptr(User) user = accounts_find_user(run->host, run->resource->name, NULL);
    if (user && user->password_hash && user->password_hash[strspn(user->password_hash, "!")])
        return true;
    g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                        "cannot unlock it: it has no password; set 'password' to a hash");
    return false;
}

/* Only told: a mount or a deployment may bring it before anybody logs in. A tree without /bin/sh is
 * no machine to log in to. */
static void note_shell(KindRun *run, const Changes *changes) {
    const char *shell = resource_string(run->resource, P_SHELL);
    g_autoptr(GError) problem = NULL;
    FileInfo info;
    if (!shell || !changes_find(changes, params[P_SHELL].name) || run->brought || run->note ||
        run->reason == REASON_VERIFY || host_stat(run->host, shell, &info, &problem) ||
        !g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND) ||
        !host_exists(run->host, "/bin/sh"))
        return;
    kind_run_note(
        run,
        "its shell '%s' does not exist, so nobody can log in as '%s'; declare the package "
        "that brings it",
        shell, run->resource->name);
}

static bool user_diff(KindRun *run, const State *actual, Changes *changes, GError **error) {
    static const unsigned compared[] = { P_UID,     P_GID,     P_GROUP,     P_GROUPS,   P_HOMEDIR,
                                         P_SHELL,   P_COMMENT, P_PASSWORD,  P_LOCKED,   P_EXPIRY,
                                         P_MIN_AGE, P_MAX_AGE, P_WARN_DAYS, P_INACTIVE, P_SUBUID,
                                         P_SUBGID,  P_LINGER,  P_MANAGEHOME };
    if (account_wants_absent(run->resource, P_STATE))
        return diff_absent(run, actual, changes, error);
    if (!actual->exists)
        changes_add(changes, "state", value_new_string("absent"), value_new_string("exists"), NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(compared); i++)
        add_difference(run, actual, compared[i], changes);
    if (changes->changes->len == 0)
        return true;
    changes->action = actual->exists ? ACTION_CHANGE : ACTION_CREATE;
    note_shell(run, changes);
    return (!changes_find(changes, "uid") || check_uid_free(run, error)) &&
           diff_home(run, actual, changes, error) && diff_locked(run, changes, error);
}

/* --- apply --- */

/* In a plan the group may come from a package's script or a command that goes first: a plan does
 * not run them. It is taken as made, and the plan says so. */
static bool missing_group(KindRun *run, const char *name, GError **error) {
    if (run->brought) {
        kind_run_note(run, "needs group '%s', which only what goes before it may make", name);
        return true;
    }
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND, "no such group '%s'", name);
    return account_remedy("group", name, error);
}

static bool make_group(Host *host, const char *name, gid_t gid, GError **error) {
    g_autoptr(Group) group = g_new0(Group, 1);
    group->name = g_strdup(name);
    group->gid = gid;
    group->members = g_new0(char *, 1);
    return accounts_put_group(host, group, error);
}

static bool has_group(Host *host, gid_t gid) {
    g_autofree char *number = g_strdup_printf("%u", gid);
    g_autofree char *name = accounts_group_name(host, gid);
    return !g_str_equal(name, number);
}

/* The group of the user's own name, made with the user's number where that is free. */
static bool own_group(KindRun *run, uid_t uid, gid_t *ret_gid, GError **error) {
    g_autoptr(Group) group = NULL;
    if (!account_find_group(run->host, run->resource->name, &group, error))
        return false;
    if (group) {
        *ret_gid = group->gid;
        return true;
    }
    *ret_gid = uid;
    return (!has_group(run->host, uid) ||
            accounts_free_gid(run->host, resource_bool(run->resource, P_SYSTEM), ret_gid, error)) &&
           make_group(run->host, run->resource->name, *ret_gid, error);
}

static bool named_group(KindRun *run, const char *name, uid_t uid, gid_t *ret_gid, GError **error) {
    g_autoptr(GError) problem = NULL;
    if (accounts_gid(run->host, name, ret_gid, &problem))
        return true;
    if (!g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND)) {
        g_propagate_error(error, g_steal_pointer(&problem));
        return false;
    }
    if (g_str_equal(name, run->resource->name))
        return own_group(run, uid, ret_gid, error);
    return missing_group(run, name, error) && accounts_free_gid(run->host, false, ret_gid, error) &&
           make_group(run->host, name, *ret_gid, error);
}

static bool primary_group(KindRun *run, bool exists, User *user, GError **error) {
    const Value *gid = resource_get(run->resource, P_GID);
    const char *group = resource_string(run->resource, P_GROUP);
    if (group)
        return named_group(run, group, user->uid, &user->gid, error);
    if (!gid)
        return exists || own_group(run, user->uid, &user->gid, error);
    user->gid = (gid_t)value_int(gid);
    if (has_group(run->host, user->gid))
        return true;
    g_autofree char *number = g_strdup_printf("%u", user->gid);
    return missing_group(run, number, error);
}

static User *new_user(KindRun *run, GError **error) {
    g_autoptr(User) user = g_new0(User, 1);
    const Value *uid = resource_get(run->resource, P_UID);
    if (uid)
        user->uid = (uid_t)value_int(uid);
    else if (!accounts_free_uid(run->host, resource_bool(run->resource, P_SYSTEM), &user->uid,
                                error))
        return NULL;
    const char *defaults = "/etc/default/useradd";
    g_autofree char *homes = user_default(run->host, defaults, "HOME", "/home", error);
    user->shell = homes ? user_default(run->host, defaults, "SHELL", "/bin/sh", error) : NULL;
    if (!user->shell)
        return NULL;
    user->name = g_strdup(run->resource->name);
    user->home = g_build_filename(homes, user->name, NULL);
    user->comment = g_strdup("");
    user->password_hash = g_strdup("!");
    user->expires_day = NEVER;
    return g_steal_pointer(&user);
}

static void replace_text(char **text, const char *with) {
    if (!with)
        return;
    g_free(*text);
    *text = g_strdup(with);
}

static void set_fields(const Resource *resource, User *user) {
    const Value *uid = resource_get(resource, P_UID), *password = known(resource, P_PASSWORD);
    const char *home = resource_string(resource, P_HOMEDIR);
    g_autofree char *plain = home ? plain_path(home) : NULL;
    if (uid)
        user->uid = (uid_t)value_int(uid);
    replace_text(&user->home, plain);
    replace_text(&user->shell, resource_string(resource, P_SHELL));
    replace_text(&user->comment, resource_string(resource, P_COMMENT));
    replace_text(&user->password_hash, password ? value_string(password) : NULL);
    if (resource_get(resource, P_LOCKED) && user->password_hash) {
        g_autoptr(Value) hash = with_lock(user->password_hash, resource_bool(resource, P_LOCKED));
        replace_text(&user->password_hash, value_string(hash));
    }
    if (resource_get(resource, P_EXPIRY)) {
        bool valid = parse_expiry(resource_string(resource, P_EXPIRY), &user->expires_day, NULL);
        g_assert(valid);
    }
    for (unsigned age = 0; age < PASSWORD_AGES; age++)
        if (resource_get(resource, age_params[age])) {
            user->ages[age] = resource_int(resource, age_params[age], NEVER);
            user->ages_set[age] = true;
        }
}

static bool put_groups(KindRun *run, GError **error) {
    const Value *groups = resource_get(run->resource, P_GROUPS);
    if (!groups)
        return true;
    bool keep_others = g_str_equal(resource_string(run->resource, P_MEMBERSHIP), "minimum");
    g_auto(GStrv) wanted = account_set_from(groups);
    for (char **name = wanted; *name; name++) {
        g_autoptr(Group) group = NULL;
        gid_t gid;
        if (!account_find_group(run->host, *name, &group, error))
            return false;
        if (!group && (!missing_group(run, *name, error) ||
                       !accounts_free_gid(run->host, false, &gid, error) ||
                       !make_group(run->host, *name, gid, error)))
            return false;
    }
    return accounts_set_groups_of(run->host, run->resource->name, (const char *const *)wanted,
                                  keep_others, error);
}

static bool put_subids(KindRun *run, GError **error) {
    for (unsigned kind = 0; kind < G_N_ELEMENTS(subid_params); kind++) {
        const Value *wanted = resource_get(run->resource, subid_params[kind]);
        if (!wanted)
            continue;
        g_auto(GStrv) found = subid_ranges(run->host, kind, run->resource->name, error);
        if (!found)
            return false;
        if (is_auto(wanted) && found[0])
            continue;
        g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
        for (size_t i = 0; i < value_size(wanted); i++)
            g_strv_builder_add(builder, value_string(value_list_at(wanted, i)));
        g_auto(GStrv) ranges = g_strv_builder_end(builder);
        g_autoptr(Value) now = account_set_value((const char *const *)found);
        if (!value_equal(now, wanted) &&
            !subid_set(run->host, kind, run->resource->name, (const char *const *)ranges, error))
            return false;
    }
    return true;
}

/* As useradd does for people, where there are such files. Before the account: what a kill leaves is
 * replaced by the next run. */
static bool default_subids(KindRun *run, const User *user, GError **error) {
    static const char *const automatic[] = { SUBID_AUTO, NULL };
    bool is_system = resource_bool(run->resource, P_SYSTEM) ||
                     user->uid < accounts_login_defs(run->host, "UID_MIN", 1000);
    for (unsigned kind = 0; !is_system && kind < G_N_ELEMENTS(subid_params); kind++)
        if (!resource_get(run->resource, subid_params[kind]) &&
            host_exists(run->host, subid_path(kind)) &&
            !subid_set(run->host, kind, user->name, automatic, error))
            return false;
    return true;
}

/* Before the account says where it is: killed in between, the next run finds it moved. */
static bool move_home(KindRun *run, const User *before, const User *after, GError **error) {
    bool moves = false;
    if (!before || !resource_bool(run->resource, P_MANAGEHOME) ||
        !user_home_will_move(run, before, after->home, &moves, error))
        return !before || !resource_bool(run->resource, P_MANAGEHOME);
    return !moves || user_home_move(run, before, after->home, error);
}

/* With the lock: choosing ids and writing them is one step. *ret_before is NULL for a new user. */
static bool put_user(KindRun *run, User **ret_before, User **ret_after, GError **error) {
    GError *problem = NULL;
    g_autoptr(User) before = find_user(run, &problem);
    if (problem) {
        g_propagate_error(error, problem);
        return false;
    }
    g_autoptr(User) after =
        before ? accounts_find_user(run->host, run->resource->name, error) : new_user(run, error);
    if (!after || !check_uid_free(run, error))
        return false;
    set_fields(run->resource, after);
    if (!primary_group(run, before != NULL, after, error) ||
        !move_home(run, before, after, error) || (!before && !default_subids(run, after, error)) ||
        !accounts_put_user(run->host, after, error) || !put_groups(run, error) ||
        !put_subids(run, error))
        return false;
    *ret_before = g_steal_pointer(&before);
    *ret_after = g_steal_pointer(&after);
    return true;
}

static bool apply_present(KindRun *run, GError **error) {
    g_autoptr(User) before = NULL, after = NULL;
    if (!accounts_lock(run->host, error))
        return false;
    bool done = put_user(run, &before, &after, error);
    accounts_unlock(run->host);
    if (!done)
        return false;
    send_user(run, after);
    if (before && (before->uid != after->uid || before->gid != after->gid) &&
        !user_home_follow(run, before, after, error))
        return false;
    const char *skel = resource_string(run->resource, P_SKEL);
    if (resource_bool(run->resource, P_MANAGEHOME) && !user_home_make(run, after, skel, error))
        return false;
    bool linger = resource_bool(run->resource, P_LINGER);
    return !resource_get(run->resource, P_LINGER) ||
           user_lingers(run->host, after->name) == linger ||
           user_set_linger(run, after->name, linger, error);
}

static bool apply_absent(KindRun *run, GError **error) {
    GError *problem = NULL;
    g_autoptr(User) user = find_user(run, &problem);
    UserRemoval how = removal_of(run->resource);
    if (problem)
        g_propagate_error(error, problem);
    return user ? user_remove(run, user, &how, error) : !problem;
}

static bool user_apply(KindRun *run, const State *actual, const Changes *changes, GError **error) {
    return changes->action == ACTION_REMOVE ? apply_absent(run, error) : apply_present(run, error);
}

/* --- the rest --- */

static bool user_watch(Watcher *watcher, const Resource *resource, GError **error) {
    if (!watcher_host(watcher, HOST_WATCH_ACCOUNTS, "", error))
        return false;
    const char *home = resource_string(resource, P_HOMEDIR);
    g_autofree char *plain =
        home ? plain_path(home) : g_build_filename("/home", resource->name, NULL);
    for (unsigned kind = 0; kind < G_N_ELEMENTS(subid_params); kind++)
        if (resource_get(resource, subid_params[kind]) &&
            !watcher_host(watcher, HOST_WATCH_FILE, subid_path(kind), error))
            return false;
    g_autofree char *linger = user_linger_path(resource->name);
    return (!resource_get(resource, P_LINGER) ||
            watcher_host(watcher, HOST_WATCH_FILE, linger, error)) &&
           (!resource_bool(resource, P_MANAGEHOME) ||
            watcher_host(watcher, HOST_WATCH_FILE, plain, error));
}

/* Many packages bring a shell of their name. */
static void want_shell(const Resource *resource, AutoEdges *edges) {
    const char *shell = resource_string(resource, P_SHELL);
    if (!shell || account_wants_absent(resource, P_STATE))
        return;
    g_autofree char *program = g_path_get_basename(shell);
    auto_edges_want_all(edges, "path", shell);
    auto_edges_want_all(edges, "package", program);
}

static void user_auto_edges(const Resource *resource, AutoEdges *edges) {
    static const struct {
        unsigned param;
        const char *identity;
    } numbers[] = { { P_UID, "uid" }, { P_GID, "gid" } };
    bool first =
        !account_wants_absent(resource, P_STATE); /* an absent user goes before its groups */
    const char *group = resource_string(resource, P_GROUP);
    auto_edges_am(edges, "user", resource->name);
    auto_edges_want_parent(edges, "/etc/passwd"); /* of all four files */
    for (unsigned i = 0; i < G_N_ELEMENTS(numbers); i++) {
        const Value *id = resource_get(resource, numbers[i].param);
        if (!id)
            continue;
        g_autofree char *number = g_strdup_printf("%" G_GINT64_FORMAT, value_int(id));
        if (numbers[i].param == P_UID)
            auto_edges_am(edges, "uid", number);
        else
            auto_edges_want(edges, "gid", number, first);
    }
    if (group || !resource_get(resource, P_GID))
        auto_edges_want(edges, "group", group ? group : resource->name, first);
    const Value *groups = resource_get(resource, P_GROUPS);
    for (size_t i = 0; groups && i < value_size(groups); i++)
        auto_edges_want(edges, "group", value_string(value_list_at(groups, i)), first);
    const char *home = resource_string(resource, P_HOMEDIR);
    if (home && first && resource_bool(resource, P_MANAGEHOME))
        auto_edges_want_parent(edges, home);
    want_shell(resource, edges);
}

/* Puts back what this resource set, as it was before. A password comes back only while it is in
 * memory: the ledger never has it. */
static Resource *user_reverse(const Resource *resource, const State *before, OnRemove how,
                              GError **error) {
    static const unsigned restored[] = { P_UID,      P_GID,     P_GROUP,   P_GROUPS,
                                         P_HOMEDIR,  P_SHELL,   P_COMMENT, P_LOCKED,
                                         P_EXPIRY,   P_MIN_AGE, P_MAX_AGE, P_WARN_DAYS,
                                         P_INACTIVE, P_SUBUID,  P_SUBGID,  P_LINGER };
    if (account_stays_removed(resource, P_STATE))
        return NULL;
    Resource *undo = resource_copy(resource);
    bool existed = before && before->exists && how != ON_REMOVE_REMOVE;
    bool was_removed = account_wants_absent(resource, P_STATE);
    resource_put(undo, P_STATE, value_new_string(existed ? "exists" : "absent"));
    resource_put(undo, P_PASSWORD, NULL);
    g_clear_pointer(&undo->receives, g_array_unref); /* the sender may be gone */
    if (!existed)
        return undo;
    resource_put(undo, P_MANAGEHOME, value_new_bool(false));
    resource_put(undo, P_MEMBERSHIP, value_new_string("inclusive"));
    for (unsigned i = 0; i < G_N_ELEMENTS(restored); i++)
        if (was_removed || resource_get(resource, restored[i]))
            resource_put(undo, restored[i], value_ref(state_get(before, restored[i])));
    if (was_removed) /* its group is known by its name: the number may be taken by now */
        resource_put(undo, P_GID, NULL);
    const Value *hash = state_get(before, P_PASSWORD);
    if (hash && *value_string(hash) && (was_removed || resource_get(resource, P_PASSWORD)))
        resource_put(undo, P_PASSWORD, value_ref(hash));
    return undo;
}

const Kind kind_user = {
    .name = "user",
    .summary = "Keep a user account",
    .help = "Keeps a user in /etc/passwd and /etc/shadow, its groups, and if asked its home "
            "directory. Only what is set is kept; the rest is chosen once, as useradd(8) "
            "would (ranges of /etc/login.defs, HOME, SHELL and SKEL of "
            "/etc/default/useradd, a group of the user's own name, subordinate ids where there are "
            "/etc/subuid and /etc/subgid), and then left alone. "
            "`managehome = true` makes the home from /etc/skel with the mode of useradd "
            "(HOME_MODE or UMASK in /etc/login.defs, else 0700) and makes it again when it is "
            "lost. When `homedir` changes then, the "
            "old home moves there with all it holds, on the same file system, unless something is "
            "there already. What the user owns elsewhere keeps its old number when `uid` "
            "changes.\n\n"
            "`password` takes a hash, never the password, and is shown nowhere. `groups` "
            "are added to those the user has; `membership = \"inclusive\"` takes it out of "
            "all others (mgmt always does that).\n\n"
            "`state = \"absent\"` removes the user and the group of its name if nobody else "
            "is in it, its subordinate ids and its lingering manager. The home stays, which the "
            "plan says, unless `purge_home = true`: then the plan says how much goes with it. That "
            "refuses directories of the system, homes that others own, share or live below, and "
            "homes in which other resources manage files. What the user owns outside of its home "
            "always stays, with its bare number: find it with find / -xdev -nouser. A user with "
            "running processes is not removed without `force = true`; uid 0 and the user that "
            "stead runs as never are.\n\n"
            "When the resource leaves the configuration, a user that stead created is "
            "removed, and one that existed before gets back what was changed, except its "
            "password. One that was declared absent stays away, unless `on_remove = "
            "\"restore\"`. Works on the files below `--root`, without privileges as well: "
            "owners are then left alone.",
    .example = "user \"ada\" {\n"
               "  comment = \"Ada Lovelace\",\n"
               "  groups = { \"sudo\" },\n"
               "  shell = \"/bin/bash\",\n"
               "  managehome = true,\n"
               "}\n"
               "user \"builder\" { system = true, homedir = \"/srv/builder\", managehome = true,\n"
               "  subuid = \"auto\", subgid = \"auto\", linger = true }\n"
               "user \"old\" { state = \"absent\", purge_home = true }\n",
    .params = params,
    .n_params = N_PARAMS,
    .flags = KIND_QUICK,
    .outputs = outputs,
    .n_outputs = G_N_ELEMENTS(outputs),
    .validate = user_validate,
    .observe = user_observe,
    .diff = user_diff,
    .apply = user_apply,
    .watch = user_watch,
    .auto_edges = user_auto_edges,
    .reverse = user_reverse,
    .clean = account_files_clean,
};
