#include "cli/deploy-settings.h"

#include <string.h>

#include "base/error.h"
#include "fleet/selector.h"
#include "fleet/strategy.h"
#include "lang/lang.h"

#define SETTINGS "deploy.yaml"

/* The line that begins with the key name, from 1 on; 0: it is written in another way. */
static unsigned line_of(const char *path, const char *name) {
    g_autofree char *text = NULL;
    if (!g_file_get_contents(path, &text, NULL, NULL))
        return 0;
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (unsigned i = 0; lines[i]; i++) {
        const char *line = lines[i];
        if (g_str_has_prefix(line, name) && *g_strchug(lines[i] + strlen(name)) == ':')
            return i + 1;
    }
    return 0;
}

/* "site/deploy.yaml:2", or "--to"; caller frees. */
static char *place_of(const char *path, const char *name, bool is_option) {
    unsigned line = is_option ? 0 : line_of(path, name);
    return is_option  ? g_strconcat("--", name, NULL)
           : line > 0 ? g_strdup_printf("%s:%u", path, line)
                      : g_strdup(path);
}

static bool check_names(const char *path, const Value *settings, GError **error) {
    for (size_t i = 0; i < value_size(settings); i++) {
        const char *name;
        const Value *value = value_map_at(settings, i, &name);
        if (value_type(value) == VALUE_STRING &&
            (strcmp(name, "to") == 0 || strcmp(name, "strategy") == 0))
            continue;
        g_autofree char *place = place_of(path, name, false);
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "%s: '%s' is not known there: write 'to' and 'strategy', each a text", place,
                    name);
        return false;
    }
    return true;
}

bool deploy_settings_read(const Arguments *arguments, const char *directory, char **ret_to,
                          char **ret_strategy, GError **error) {
    g_autofree char *path = g_build_filename(directory, SETTINGS, NULL);
    g_autoptr(Value) settings =
        g_file_test(path, G_FILE_TEST_EXISTS) ? lang_load_values(path, error) : value_new_map();
    if (!settings || !check_names(path, settings, error))
        return false;
    *ret_to = g_strdup(arguments->to ? arguments->to : value_map_string(settings, "to", "all"));
    *ret_strategy = g_strdup(arguments->strategy ? arguments->strategy
                                                 : value_map_string(settings, "strategy", ""));
    Strategy strategy;
    g_autoptr(Selector) to = selector_parse(*ret_to, error);
    if (to && strategy_parse(*ret_strategy, &strategy, error))
        return true;
    const char *name = to ? "strategy" : "to";
    g_autofree char *place =
        place_of(path, name, (to ? arguments->strategy : arguments->to) != NULL);
    g_prefix_error(error, "%s: ", place);
    return false;
}
