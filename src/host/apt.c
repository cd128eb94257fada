#include "host/apt.h"

#include <string.h>

/* Nobody is asked, and nothing but what was asked for is restarted. */
#define ENVIRONMENT                                                                                \
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root",             \
        "LC_ALL=C.UTF-8", "TERM=dumb", "DEBIAN_FRONTEND=noninteractive",                           \
        "APT_LISTCHANGES_FRONTEND=none", "NEEDRESTART_SUSPEND=1"

const char *const apt_environment_keep[] = { ENVIRONMENT, "UCF_FORCE_CONFFOLD=1", NULL };
const char *const apt_environment_replace[] = { ENVIRONMENT, "UCF_FORCE_CONFFNEW=1", NULL };

/* Without Pattern-Only, a name with a dot that does not exist is a regular expression for apt, and
 * installs whatever matches. Fetching is tried again after one, two and four seconds. */
static const char *const options[] = {
    "-y", "-q",
    "-o", "APT::Cmd::Pattern-Only=1",
    "-o", "DPkg::Lock::Timeout=60",
    "-o", "Acquire::Retries=3",
    NULL,
};
static const char *const keep_config[] = {
    "-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold", NULL,
};
static const char *const replace_config[] = {
    "-o",
    "Dpkg::Options::=--force-confnew",
    NULL,
};

/* --- what to do */

static bool is_name(const char *name) {
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789+-.");
    if (length < 2 || !g_ascii_isalnum(name[0]))
        return false;
    if (name[length] == '\0')
        return true;
    const char *architecture = name + length + 1;
    return name[length] == ':' && *architecture != '\0' &&
           strspn(architecture, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(architecture);
}

/* apt takes a star at its end for anything. */
static bool is_version(const char *version) {
    size_t length =
        strspn(version, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.+-:~");
    return g_ascii_isalnum(version[0]) &&
           (version[length] == '\0' || strcmp(version + length, "*") == 0);
}

bool apt_is_release(const char *release) {
    return g_ascii_isalnum(*release) &&
           release[strspn(release, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                   "+-./_~")] == '\0';
}

bool apt_check_action(const PackageAction *action, GError **error) {
    if (!is_name(action->name)) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED, "'%s' is not a name of a package",
                    action->name);
        return false;
    }
    if (action->verb == PACKAGE_VERSION &&
        (action->version == NULL || !is_version(action->version))) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                    "'%s' is not a version of a package ('%s')",
                    action->version != NULL ? action->version : "", action->name);
        return false;
    }
    if ((action->file != NULL && *action->file != '/') ||
        (action->release != NULL && !apt_is_release(action->release))) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                    "package '%s': '%s' is not an absolute path, or '%s' no release", action->name,
                    action->file != NULL ? action->file : "",
                    action->release != NULL ? action->release : "");
        return false;
    }
    return true;
}

static void add_all(GPtrArray *command, const char *const *words) {
    for (; *words != NULL; words++)
        g_ptr_array_add(command, g_strdup(*words));
}

static GPtrArray *command_new(const char *program, const char *verb) {
    GPtrArray *command = g_ptr_array_new();
    g_ptr_array_add(command, g_strdup(program));
    if (verb != NULL)
        g_ptr_array_add(command, g_strdup(verb));
    return command;
}

/* Takes ownership of command. */
static void command_add_to(GPtrArray *commands, GPtrArray *command) {
    g_ptr_array_add(command, NULL);
    g_ptr_array_add(commands, g_ptr_array_free(command, FALSE));
}

static unsigned count(const PackageAction *actions, size_t n_actions, PackageVerb verb) {
    unsigned n = 0;
    for (size_t i = 0; i < n_actions; i++)
        n += actions[i].verb == verb;
    return n;
}

/* One command over all the names with a verb, if there are any. */
static void add_simple(GPtrArray *commands, const PackageAction *actions, size_t n_actions,
                       PackageVerb verb, const char *program, const char *subcommand,
                       const char *const *more) {
    if (count(actions, n_actions, verb) == 0)
        return;
    GPtrArray *command = command_new(program, subcommand);
    add_all(command, more);
    for (size_t i = 0; i < n_actions; i++)
        if (actions[i].verb == verb)
            g_ptr_array_add(command, g_strdup(actions[i].name));
    command_add_to(commands, command);
}

static char *apt_word(const PackageAction *action) {
    bool installs = action->verb <= PACKAGE_VERSION;
    if (action->file != NULL && installs)
        return g_strdup(action->file);
    switch (action->verb) {
    case PACKAGE_INSTALL:
    case PACKAGE_UPGRADE:
        return g_strdup(action->name);
    case PACKAGE_VERSION:
        return g_strconcat(action->name, "=", action->version, NULL);
    case PACKAGE_REMOVE:
    case PACKAGE_PURGE:
        return g_strconcat(action->name, "-", NULL);
    case PACKAGE_HOLD:
    case PACKAGE_UNHOLD:
    case PACKAGE_MARK_MANUAL:
    case PACKAGE_MARK_AUTO:
        return NULL;
    }
    g_assert_not_reached();
}

/* What the actions as a whole need. */
typedef struct {
    bool removes, purges, downgrades, untrusted, autoremove, force, reinstall, replace_config;
    PackageRecommends recommends;
    const char *release;
} Needs;

static Needs needs_of(const PackageAction *actions, size_t n_actions) {
    Needs needs = { .removes = count(actions, n_actions, PACKAGE_REMOVE) > 0,
                    .purges = count(actions, n_actions, PACKAGE_PURGE) > 0 };
    for (size_t i = 0; i < n_actions; i++) {
        const PackageAction *action = &actions[i];
        needs.downgrades |= action->allow_downgrade;
        needs.untrusted |= action->allow_untrusted;
        needs.autoremove |= action->autoremove;
        needs.force |= action->force;
        needs.reinstall |= action->reinstall;
        needs.replace_config |= action->replace_config;
        if (action->recommends != RECOMMENDS_DEFAULT)
            needs.recommends = action->recommends;
        if (action->release != NULL)
            needs.release = action->release;
    }
    return needs;
}

static void add_if(GPtrArray *command, bool condition, const char *word) {
    if (condition)
        g_ptr_array_add(command, g_strdup(word));
}

/* A dry run allows everything, so that it shows what would happen; what is to be released is still
 * held then. */
static void add_permissions(GPtrArray *command, const Needs *needs, bool simulate) {
    bool removes = needs->removes || needs->purges;
    add_if(command, simulate, "--simulate");
    add_if(command, simulate, "--allow-change-held-packages");
    add_if(command, needs->downgrades, "--allow-downgrades");
    add_if(command, needs->untrusted, "--allow-unauthenticated");
    add_if(command, needs->reinstall, "--reinstall");
    add_if(command, needs->recommends == RECOMMENDS_YES, "--install-recommends");
    add_if(command, needs->recommends == RECOMMENDS_NO, "--no-install-recommends");
    add_if(command, needs->release != NULL, "--target-release");
    add_if(command, needs->release != NULL, needs->release);
    add_if(command, !removes && !needs->force && !simulate, "--no-remove");
    add_if(command, needs->force || simulate, "--allow-remove-essential");
    add_if(command, needs->purges && !needs->removes, "--purge");
    add_if(command, needs->autoremove && removes, "--auto-remove");
}

static const char *const *config_options(bool replace) {
    return replace ? replace_config : keep_config;
}

/* apt takes packages away to make room for others, unless told not to: a plan that installs must
 * not remove. With removals in the list it has to be allowed: see apt_simulation(). NULL when there
 * is nothing to do. */
static GPtrArray *transaction_new(const PackageAction *actions, size_t n_actions,
                                  const Needs *needs, bool simulate) {
    unsigned n_words = 0;
    GPtrArray *command = command_new("apt-get", "install");
    add_all(command, options);
    add_all(command, config_options(needs->replace_config));
    add_permissions(command, needs, simulate);
    for (size_t i = 0; i < n_actions; i++) {
        char *word = apt_word(&actions[i]);
        if (word == NULL)
            continue;
        g_ptr_array_add(command, word);
        n_words++;
    }
    if (n_words > 0)
        return command;
    g_ptr_array_set_free_func(command, g_free);
    g_ptr_array_unref(command);
    return NULL;
}

static void add_transaction(GPtrArray *commands, const PackageAction *actions, size_t n_actions,
                            const Needs *needs) {
    GPtrArray *command = transaction_new(actions, n_actions, needs, false);
    if (command != NULL)
        command_add_to(commands, command);
}

char **apt_simulation(const PackageAction *actions, size_t n_actions, bool autoremove) {
    Needs needs = needs_of(actions, n_actions);
    if (needs.autoremove != autoremove && autoremove)
        return NULL;
    needs.autoremove = autoremove;
    GPtrArray *command = transaction_new(actions, n_actions, &needs, true);
    if (command == NULL)
        return NULL;
    g_ptr_array_add(command, NULL);
    return (char **)g_ptr_array_free(command, FALSE);
}

bool apt_allows_removal(const PackageAction *actions, size_t n_actions) {
    return needs_of(actions, n_actions).force;
}

const char *const *apt_environment(const PackageAction *actions, size_t n_actions) {
    return needs_of(actions, n_actions).replace_config ? apt_environment_replace
                                                       : apt_environment_keep;
}

/* What was found in the lists of others stays: they are not asked. A path is that of a file, and
 * "-" no directory. */
char **apt_update(const char *path) {
    g_autofree char *list = g_strconcat("Dir::Etc::sourcelist=", path, NULL);
    const char *const of_one[] = {
        "-o", list, "-o", "Dir::Etc::sourceparts=-", "-o", "APT::Get::List-Cleanup=0", NULL
    };
    static const char *const strict[] = { "-o", "APT::Update::Error-Mode=any", NULL };
    static const char *const none[] = { NULL };
    GPtrArray *command = command_new("apt-get", "update");
    add_all(command, options);
    add_all(command, strict);
    add_all(command, path != NULL ? of_one : none);
    g_ptr_array_add(command, NULL);
    return (char **)g_ptr_array_free(command, FALSE);
}

char **apt_repair(void) {
    static const char *const words[] = { "--fix-broken", "--no-remove", NULL };
    GPtrArray *command = command_new("apt-get", "install");
    add_all(command, options);
    add_all(command, keep_config);
    add_all(command, words);
    g_ptr_array_add(command, NULL);
    return (char **)g_ptr_array_free(command, FALSE);
}

char **apt_reinstall(const char *const *names) {
    GPtrArray *command = command_new("apt-get", "install");
    add_all(command, options);
    add_all(command, keep_config);
    g_ptr_array_add(command, g_strdup("--reinstall"));
    g_ptr_array_add(command, g_strdup("--no-remove"));
    add_all(command, names);
    g_ptr_array_add(command, NULL);
    return (char **)g_ptr_array_free(command, FALSE);
}

char **dpkg_remove_incomplete(const char *const *names, bool purge) {
    GPtrArray *command = command_new("dpkg", "--force-remove-reinstreq");
    g_ptr_array_add(command, g_strdup(purge ? "--purge" : "--remove"));
    add_all(command, names);
    g_ptr_array_add(command, NULL);
    return (char **)g_ptr_array_free(command, FALSE);
}

GPtrArray *apt_commands(const PackageAction *actions, size_t n_actions) {
    static const char *const none[] = { NULL };
    Needs needs = needs_of(actions, n_actions);
    GPtrArray *commands = g_ptr_array_new_with_free_func((GDestroyNotify)g_strfreev);
    add_simple(commands, actions, n_actions, PACKAGE_UNHOLD, "apt-mark", "unhold", none);
    add_transaction(commands, actions, n_actions, &needs);
    /* One apt-get either purges or removes. Then all were removed, and purging is to follow. */
    if (needs.removes)
        add_simple(commands, actions, n_actions, PACKAGE_PURGE, "apt-get", "purge", options);
    add_simple(commands, actions, n_actions, PACKAGE_MARK_MANUAL, "apt-mark", "manual", none);
    add_simple(commands, actions, n_actions, PACKAGE_MARK_AUTO, "apt-mark", "auto", none);
    add_simple(commands, actions, n_actions, PACKAGE_HOLD, "apt-mark", "hold", none);
    return commands;
}

char **apt_afresh(char *const *command) {
    static const char *const no_cache[] = { "-o", "Dir::Cache::pkgcache=", "-o",
                                            "Dir::Cache::srcpkgcache=", NULL };
    GPtrArray *afresh = command_new(command[0], NULL);
    add_all(afresh, no_cache);
    add_all(afresh, (const char *const *)command + 1);
    g_ptr_array_add(afresh, NULL);
    return (char **)g_ptr_array_free(afresh, FALSE);
}

char *apt_describe(const PackageAction *actions, size_t n_actions) {
    static const char *const verbs[] = {
        [PACKAGE_INSTALL] = "install",     [PACKAGE_UPGRADE] = "upgrade",
        [PACKAGE_VERSION] = "install",     [PACKAGE_REMOVE] = "remove",
        [PACKAGE_PURGE] = "purge",         [PACKAGE_HOLD] = "hold",
        [PACKAGE_UNHOLD] = "unhold",       [PACKAGE_MARK_MANUAL] = "mark manual",
        [PACKAGE_MARK_AUTO] = "mark auto",
    };
    GString *text = g_string_new(NULL);
    const char *last = NULL;
    for (size_t i = 0; i < n_actions; i++) {
        const char *verb = verbs[actions[i].verb];
        if (last == NULL || strcmp(last, verb) != 0)
            g_string_append_printf(text, "%s%s ", last != NULL ? "; " : "", verb);
        else
            g_string_append(text, ", ");
        g_string_append_printf(text, "'%s'", actions[i].name);
        last = verb;
    }
    return g_string_free(text, FALSE);
}
