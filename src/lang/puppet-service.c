/* Puppet's package, service, user, cron and mount: the parameters that are more than another word.
 */
#include <string.h>

#include "lang/puppet-loader.h"

bool puppet_package_ensure(PuppetTarget *target, const PuppetParam *row, const Value *input,
                           GError **error) {
    g_autofree char *text = puppet_text_of(input);
    if (!text)
        return puppet_refused(error, "expected a state or a version");
    if (puppet_is_one_of(input, "present installed true"))
        return puppet_target_set(target, "state", value_new_string("installed"), error);
    if (puppet_is_one_of(input, "absent false"))
        return puppet_target_set(target, "state", value_new_string("uninstalled"), error);
    if (puppet_is_one_of(input, "latest"))
        return puppet_target_set(target, "state", value_new_string("newest"), error);
    if (puppet_is_one_of(input, "purged held"))
        return puppet_target_set(target, "state", value_ref(input), error);
    if (!g_ascii_isdigit(*text))
        return puppet_refused(error, "expected present, absent, latest, purged, held or a version "
                                     "that starts with a digit; ranges are not supported");
    /* Puppet's provider for apt allows it whenever a version is given. */
    return puppet_target_set(target, "version", value_ref(input), error) &&
           puppet_target_set(target, "allowdowngrade", value_new_bool(true), error);
}

/* value: what stands behind '=', or is the next word; NULL: none. */
static bool set_package_option(PuppetTarget *target, const char *option, const char *value,
                               GError **error) {
    static const struct {
        const char *option, *param;
        bool given; /* what the parameter becomes where the option has no value of its own */
        bool has_value;
    } known[] = {
        { "--allow-downgrades", "allowdowngrade", true, false },
        { "--allow-unauthenticated", "allowuntrusted", true, false },
        { "--install-recommends", "recommends", true, false },
        { "--no-install-recommends", "recommends", false, false },
        { "-t", "release", false, true },
        { "--target-release", "release", false, true },
        { "--default-release", "release", false, true },
    };
    for (size_t k = 0; k < G_N_ELEMENTS(known); k++)
        if (strcmp(option, known[k].option) == 0 && known[k].has_value == (value != NULL))
            return puppet_target_set(
                target, known[k].param,
                value ? value_new_string(value) : value_new_bool(known[k].given), error);
    return puppet_refused(error,
                          "only --allow-downgrades, --allow-unauthenticated, "
                          "--[no-]install-recommends and -t RELEASE are supported: set other "
                          "options of apt in /etc/apt/apt.conf.d");
}

/* A table, as { '-t' => 'bookworm-backports' }. */
static bool set_option_pairs(PuppetTarget *target, const Value *pairs, GError **error) {
    for (size_t i = 0; i < value_size(pairs); i++) {
        const char *option;
        g_autofree char *value = puppet_text_of(value_map_at(pairs, i, &option));
        if (!set_package_option(target, option, value, error))
            return false;
    }
    return true;
}

bool puppet_package_options(PuppetTarget *target, const PuppetParam *row, const Value *input,
                            GError **error) {
    bool is_list = value_type(input) == VALUE_LIST;
    size_t n = is_list ? value_size(input) : 1;
    for (size_t i = 0; i < n; i++) {
        const Value *item = is_list ? value_list_at(input, i) : input;
        if (value_type(item) == VALUE_MAP) {
            if (!set_option_pairs(target, item, error))
                return false;
            continue;
        }
        g_autofree char *text = puppet_text_of(item);
        g_autofree char *next = NULL;
        if (!text)
            return puppet_refused(error, "expected words, or a table of options");
        char *equals = g_str_has_prefix(text, "--") ? strchr(text, '=') : NULL;
        if (equals)
            *equals = '\0';
        else if (strcmp(text, "-t") == 0 && is_list && i + 1 < n)
            next = puppet_text_of(value_list_at(input, ++i));
        if (!set_package_option(target, text, equals ? equals + 1 : next, error))
            return false;
    }
    return true;
}

bool puppet_package_source(PuppetTarget *target, const PuppetParam *row, const Value *input,
                           GError **error) {
    g_autofree char *text = puppet_text_of(input);
    if (!text || *text != '/' || !g_str_has_suffix(text, ".deb"))
        return puppet_refused(error, "expected the path of a .deb file on the machine; add other "
                                     "sources to apt");
    return puppet_target_set(target, "source", value_new_string(text), error);
}

bool puppet_service_enable(PuppetTarget *target, const PuppetParam *row, const Value *input,
                           GError **error) {
    if (puppet_is_one_of(input, "mask"))
        return puppet_target_set(target, "masked", value_new_bool(true), error);
    bool yes = puppet_is_one_of(input, "true");
    if (!yes && !puppet_is_one_of(input, "false"))
        return puppet_refused(error, "expected true, false or mask; manual and delayed are for "
                                     "other systems than systemd");
    return puppet_target_set(target, "enabled", value_new_bool(yes), error);
}

/* Puppet restarts what was notified, unless a command of one's own does it; a reload through
 * systemctl is what such commands are written for. */
bool puppet_service_restart(PuppetTarget *target, const PuppetParam *row, const Value *input,
                            GError **error) {
    static const char *const verbs[] = { "reload", "restart", "reload-or-restart" };
    g_autofree char *text = puppet_text_of(input);
    g_auto(GStrv) words = g_strsplit_set(text ? text : "", " \t", -1);
    g_autofree char *program = words[0] ? g_path_get_basename(words[0]) : NULL;
    bool is_systemctl = g_strcmp0(program, "systemctl") == 0 && g_strv_length(words) == 3;
    const char *name = target->resource->name;
    g_autofree char *unit = g_strconcat(name, ".service", NULL);
    bool is_own = is_systemctl && (strcmp(words[2], name) == 0 || strcmp(words[2], unit) == 0);
    for (size_t i = 0; is_own && i < G_N_ELEMENTS(verbs); i++)
        if (strcmp(words[1], verbs[i]) == 0)
            return puppet_target_set(target, "on_notify", value_new_string(verbs[i]), error);
    return puppet_refused(error,
                          "only 'systemctl reload %s' and the like are supported: put other "
                          "commands into the unit (ExecReload=)",
                          name);
}

/* Puppet's provider for systemd unmasks what it starts or enables. */
bool puppet_service_finish(PuppetTarget *target, GError **error) {
    const Value *enable = puppet_target_input(target, "enable");
    bool unmasks = puppet_is_one_of(enable, "true") ||
                   puppet_is_one_of(puppet_target_input(target, "ensure"), "running true");
    if (unmasks && !puppet_is_one_of(enable, "mask") &&
        !puppet_target_set(target, "masked", value_new_bool(false), error))
        return false;
    if (puppet_target_input(target, "restart"))
        return true;
    return puppet_target_set(target, "on_notify", value_new_string("restart"), error);
}

/* A number or a name. */
bool puppet_user_gid(PuppetTarget *target, const PuppetParam *row, const Value *input,
                     GError **error) {
    gint64 number;
    g_autofree char *text = puppet_text_of(input);
    if (text && g_ascii_string_to_signed(text, 10, 0, G_MAXUINT32, &number, NULL))
        return puppet_target_set(target, "gid", value_new_int(number), error);
    return puppet_target_set(target, "group", value_ref(input), error);
}

/* Puppet takes the home along when it managed it, and leaves all else of an absent user alone. */
bool puppet_user_finish(PuppetTarget *target, GError **error) {
    static const char *const moot[] = { "managehome", "groups", "membership", "group", "gid" };
    if (!puppet_is_one_of(puppet_target_input(target, "ensure"), "absent"))
        return true;
    if (puppet_is_one_of(puppet_target_input(target, "managehome"), "true yes") &&
        !puppet_target_set(target, "purge_home", value_new_bool(true), error))
        return false;
    for (size_t i = 0; i < G_N_ELEMENTS(moot); i++)
        if (!puppet_target_set(target, moot[i], NULL, error))
            return false;
    return true;
}

/* Without ensure Puppet keeps the line only. dump and pass are 0 unless said otherwise. */
bool puppet_mount_finish(PuppetTarget *target, GError **error) {
    static const char *const numbers[] = { "dump", "pass" };
    const Value *ensure = puppet_target_input(target, "ensure");
    if (!ensure && !puppet_target_set(target, "state", value_new_string("defined"), error))
        return false;
    for (size_t i = 0; i < G_N_ELEMENTS(numbers) && !puppet_is_one_of(ensure, "absent"); i++)
        if (!puppet_target_input(target, numbers[i]) &&
            !puppet_target_set(target, numbers[i], value_new_int(0), error))
            return false;
    return true;
}

/* The user whose crontab it is, said twice. */
bool puppet_cron_target(PuppetTarget *target, const PuppetParam *row, const Value *input,
                        GError **error) {
    const Value *user = puppet_target_input(target, "user");
    g_autofree char *name = user ? puppet_text_of(user) : g_strdup("root");
    if (name && puppet_is_one_of(input, name))
        return true;
    return puppet_refused(error, "only the user's own crontab is supported: say user alone");
}
