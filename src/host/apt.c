#include "host/apt.h"

#include <string.h>

/* The user's conffiles stay, nobody is asked, and nothing but what was asked for is restarted. */
const char *const apt_environment[] = {
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME=/root",
    "LC_ALL=C.UTF-8",
    "TERM=dumb",
    "DEBIAN_FRONTEND=noninteractive",
    "APT_LISTCHANGES_FRONTEND=none",
    "NEEDRESTART_SUSPEND=1",
    "UCF_FORCE_CONFFOLD=1",
    NULL,
};

/* Without Pattern-Only, a name with a dot that does not exist is a regular expression for apt, and
 * installs whatever matches. */
static const char *const options[] = {
    "-y", "-q",
    "-o", "APT::Cmd::Pattern-Only=1",
    "-o", "DPkg::Lock::Timeout=60",
    "-o", "Dpkg::Options::=--force-confdef",
    "-o", "Dpkg::Options::=--force-confold",
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
        return NULL;
    }
    g_assert_not_reached();
}

/* The options that the actions as a whole need. */
static void add_permissions(GPtrArray *command, const PackageAction *actions, size_t n_actions) {
    unsigned removals = count(actions, n_actions, PACKAGE_REMOVE);
    unsigned purges = count(actions, n_actions, PACKAGE_PURGE);
    bool downgrades = false, untrusted = false;
    for (size_t i = 0; i < n_actions; i++) {
        downgrades = downgrades || actions[i].allow_downgrade;
        untrusted = untrusted || actions[i].allow_untrusted;
    }
    if (downgrades)
        g_ptr_array_add(command, g_strdup("--allow-downgrades"));
    if (untrusted)
        g_ptr_array_add(command, g_strdup("--allow-unauthenticated"));
    if (removals + purges == 0)
        g_ptr_array_add(command, g_strdup("--no-remove"));
    if (purges > 0 && removals == 0)
        g_ptr_array_add(command, g_strdup("--purge"));
}

/* apt takes packages away to make room for others, unless told not to: a plan that installs must
 * not remove. With removals in the list it has to be allowed: see apt_simulation(). NULL when there
 * is nothing to do. */
static GPtrArray *transaction_new(const PackageAction *actions, size_t n_actions, bool simulate) {
    unsigned n_words = 0;
    GPtrArray *command = command_new("apt-get", "install");
    add_all(command, options);
    if (simulate) { /* what is to be released is still held */
        g_ptr_array_add(command, g_strdup("--simulate"));
        g_ptr_array_add(command, g_strdup("--allow-change-held-packages"));
    }
    add_permissions(command, actions, n_actions);
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

static void add_transaction(GPtrArray *commands, const PackageAction *actions, size_t n_actions) {
    GPtrArray *command = transaction_new(actions, n_actions, false);
    if (command != NULL)
        command_add_to(commands, command);
}

char **apt_simulation(const PackageAction *actions, size_t n_actions) {
    if (count(actions, n_actions, PACKAGE_REMOVE) + count(actions, n_actions, PACKAGE_PURGE) == 0)
        return NULL;
    GPtrArray *command = transaction_new(actions, n_actions, true);
    g_ptr_array_add(command, NULL);
    return (char **)g_ptr_array_free(command, FALSE);
}

/* apt leaves out the machine's own architecture. */
static bool is_asked_for(const char *name, const PackageAction *actions, size_t n_actions) {
    for (size_t i = 0; i < n_actions; i++) {
        if (actions[i].verb != PACKAGE_REMOVE && actions[i].verb != PACKAGE_PURGE)
            continue;
        const char *asked = actions[i].name;
        size_t bare = strcspn(asked, ":");
        if (strcmp(name, asked) == 0 || (strlen(name) == bare && strncmp(name, asked, bare) == 0))
            return true;
    }
    return false;
}

char *apt_unasked_removals(const char *output, const PackageAction *actions, size_t n_actions) {
    g_auto(GStrv) lines = g_strsplit(output, "\n", -1);
    g_autoptr(GString) names = g_string_new(NULL);
    for (char **line = lines; *line != NULL; line++) {
        if (!g_str_has_prefix(*line, "Remv ") && !g_str_has_prefix(*line, "Purg "))
            continue;
        g_autofree char *name = g_strndup(*line + 5, strcspn(*line + 5, " "));
        if (!is_asked_for(name, actions, n_actions))
            g_string_append_printf(names, "%s%s", names->len > 0 ? ", " : "", name);
    }
    return names->len > 0 ? g_string_free(g_steal_pointer(&names), FALSE) : NULL;
}

GPtrArray *apt_commands(const PackageAction *actions, size_t n_actions) {
    static const char *const none[] = { NULL };
    GPtrArray *commands = g_ptr_array_new_with_free_func((GDestroyNotify)g_strfreev);
    add_simple(commands, actions, n_actions, PACKAGE_UNHOLD, "apt-mark", "unhold", none);
    add_transaction(commands, actions, n_actions);
    /* One apt-get either purges or removes. Then all were removed, and purging is to follow. */
    if (count(actions, n_actions, PACKAGE_REMOVE) > 0)
        add_simple(commands, actions, n_actions, PACKAGE_PURGE, "apt-get", "purge", options);
    add_simple(commands, actions, n_actions, PACKAGE_HOLD, "apt-mark", "hold", none);
    return commands;
}

char *apt_describe(const PackageAction *actions, size_t n_actions) {
    static const char *const verbs[] = {
        [PACKAGE_INSTALL] = "install", [PACKAGE_UPGRADE] = "upgrade", [PACKAGE_VERSION] = "install",
        [PACKAGE_REMOVE] = "remove",   [PACKAGE_PURGE] = "purge",     [PACKAGE_HOLD] = "hold",
        [PACKAGE_UNHOLD] = "unhold",
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

/* --- what came of it */

/* The text between two marks on one line, or NULL. */
static char *between(const char *line, const char *before, const char *after) {
    const char *start = strstr(line, before);
    if (start == NULL)
        return NULL;
    start += strlen(before);
    const char *end = *after != '\0' ? strstr(start, after) : start + strlen(start);
    return end != NULL ? g_strndup(start, (size_t)(end - start)) : NULL;
}

static bool is_unknown_package(const char *line, char **ret_reason) {
    g_autofree char *name = between(line, "E: Unable to locate package ", "");
    if (name == NULL)
        return false;
    *ret_reason = g_strdup_printf("apt knows no package '%s' (check the name, or refresh its lists "
                                  "with: apt-get update)",
                                  g_strstrip(name));
    return true;
}

static bool is_without_candidate(const char *line, char **ret_reason) {
    g_autofree char *name = between(line, "E: Package '", "' has no installation candidate");
    if (name == NULL)
        return false;
    *ret_reason = g_strdup_printf("package '%s' is in no configured repository (it is virtual, "
                                  "obsolete or elsewhere)",
                                  name);
    return true;
}

static bool is_unknown_version(const char *line, char **ret_reason) {
    g_autofree char *version = between(line, "E: Version '", "' for '");
    g_autofree char *name = between(line, "' for '", "' was not found");
    if (version == NULL || name == NULL)
        return false;
    *ret_reason =
        g_strdup_printf("there is no version '%s' of package '%s' (see: apt-cache madison "
                        "%s)",
                        version, name, name);
    return true;
}

static bool is_held(const char *line, char **ret_reason) {
    if (!g_str_has_prefix(line, "E: Held packages were changed"))
        return false;
    *ret_reason = g_strdup("a package is held (see: apt-mark showhold)");
    return true;
}

/* The names that follow a headline, indented. */
static char *list_after(char **lines, const char *headline) {
    GString *names = g_string_new(NULL);
    bool inside = false;
    for (; *lines != NULL; lines++) {
        if (inside && **lines != ' ')
            break;
        if (inside) {
            g_autofree char *stripped = g_strstrip(g_strdup(*lines));
            g_string_append_printf(names, "%s%s", names->len > 0 ? " " : "", stripped);
        }
        inside = inside || strstr(*lines, headline) != NULL;
    }
    return g_string_free(names, FALSE);
}

/* What dpkg could not do says more than that it failed. */
static bool is_dpkg_error(char **lines, char **ret_reason) {
    for (; *lines != NULL; lines++) {
        g_autofree char *name = between(*lines, "dpkg: error processing package ", " (");
        if (name == NULL)
            name = between(*lines, "dpkg: error processing archive ", " (");
        if (name == NULL)
            continue;
        g_autofree char *why = lines[1] != NULL ? g_strstrip(g_strdup(lines[1])) : g_strdup("");
        *ret_reason = g_strdup_printf("'%s': %s", name, why);
        return true;
    }
    return false;
}

static bool line_reason(const char *line, char **ret_reason) {
    return is_unknown_package(line, ret_reason) || is_without_candidate(line, ret_reason) ||
           is_unknown_version(line, ret_reason) || is_held(line, ret_reason);
}

/* The first line that says "E:", or the last of all. */
static char *plain_reason(char **lines) {
    const char *last = "it gave no reason";
    for (; *lines != NULL; lines++) {
        if (g_str_has_prefix(*lines, "E: "))
            return g_strdup(*lines + strlen("E: "));
        if (**lines != '\0')
            last = *lines;
    }
    return g_strstrip(g_strdup(last));
}

char *apt_failure(const char *output) {
    g_auto(GStrv) lines = g_strsplit(output, "\n", -1);
    char *reason = NULL;
    for (char **line = lines; *line != NULL; line++) {
        if (line_reason(*line, &reason))
            return reason;
        if (g_str_has_prefix(*line, "E: Packages need to be removed but remove is disabled")) {
            g_autofree char *names = list_after(lines, "following packages will be REMOVED:");
            return g_strdup_printf(
                "it would remove other packages (%s); if that is wanted, declare "
                "them absent",
                names);
        }
        if (g_str_has_prefix(*line, "E: Unable to correct problems") ||
            g_str_has_prefix(*line, "E: Unmet dependencies")) {
            g_autofree char *unmet = list_after(lines, "have unmet dependencies:");
            return g_strdup_printf("dependencies cannot be met: %s",
                                   *unmet != '\0' ? unmet : *line + strlen("E: "));
        }
    }
    return is_dpkg_error(lines, &reason) ? reason : plain_reason(lines);
}

bool apt_wants_configure(const char *output) {
    return strstr(output, "dpkg was interrupted") != NULL;
}

void apt_parse_policy(const char *output,
                      void (*visit)(void *data, const char *name, const char *candidate),
                      void *data) {
    g_auto(GStrv) lines = g_strsplit(output, "\n", -1);
    g_autofree char *name = NULL;
    for (char **line = lines; *line != NULL; line++) {
        size_t length = strlen(*line);
        if (length > 1 && (*line)[0] != ' ' && (*line)[length - 1] == ':') {
            g_free(name);
            name = g_strndup(*line, length - 1);
        } else if (name != NULL && g_str_has_prefix(*line, "  Candidate: ")) {
            const char *candidate = *line + strlen("  Candidate: ");
            bool none = *candidate == '\0' || strcmp(candidate, "(none)") == 0;
            visit(data, name, none ? NULL : candidate);
        }
    }
}
