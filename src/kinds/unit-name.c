#include "kinds/unit-name.h"

#include <string.h>

#include "base/error.h"
#include "base/suggest.h"

#define NAME_MAX_LENGTH 200

static const char *const suffixes[] = { ".service", ".socket", ".timer",    ".path",
                                        ".mount",   ".swap",   ".target",   ".slice",
                                        ".device",  ".scope",  ".automount" };

static const char *const system_directories[] = {
    "/etc/systemd/system", "/run/systemd/system",     "/usr/local/lib/systemd/system",
    "/lib/systemd/system", "/usr/lib/systemd/system", NULL
};
static const char *const session_directories[] = { "/etc/systemd/user", "/run/systemd/user",
                                                   "/usr/local/lib/systemd/user",
                                                   "/usr/lib/systemd/user", NULL };

const char *unit_suffix(const char *unit) {
    for (unsigned i = 0; i < G_N_ELEMENTS(suffixes); i++)
        if (g_str_has_suffix(unit, suffixes[i]))
            return suffixes[i];
    return NULL;
}

char *unit_full_name(const char *name) {
    return g_strconcat(name, unit_suffix(name) != NULL ? "" : ".service", NULL);
}

char *unit_template(const char *unit) {
    const char *at = strchr(unit, '@'), *dot = strrchr(unit, '.');
    return at && at + 1 < dot ? g_strdup_printf("%.*s%s", (int)(at + 1 - unit), unit, dot) : NULL;
}

bool unit_is_template(const char *unit) {
    const char *at = strchr(unit, '@');
    return at != NULL && at[1] == '.';
}

const char *const *unit_directories(bool session) {
    return session ? session_directories : system_directories;
}

/* A dot may be part of a service's name, but what nearly is a suffix is a typing mistake. NULL:
 * fine. */
static const char *meant_suffix(const char *name) {
    const char *dot = strrchr(name, '.');
    return dot && !unit_suffix(name) ? suggest_nearest(dot, suffixes, G_N_ELEMENTS(suffixes))
                                     : NULL;
}

bool unit_name_check(const char *name, GError **error) {
    bool good = *name && *name != '-' && !strchr(name, '/') && strlen(name) <= NAME_MAX_LENGTH &&
                !strpbrk(name, " \t\r\n*?[");
    const char *meant = good ? meant_suffix(name) : NULL;
    if (good && !meant)
        return true;
    if (meant)
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "refuse unit name '%s': did you mean '%.*s%s'? Otherwise write '%s.service'",
                    name, (int)(strrchr(name, '.') - name), name, meant, name);
    else
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "refuse unit name '%s': it is a name such as 'nginx' or 'backup.timer'", name);
    return false;
}
