#include "base/exchange-key.h"

#include <string.h>

#include "base/error.h"

static bool refuse(GError **error, const char *what, const char *text, const char *why) {
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED, "refuse the %s '%s': %s", what, text, why);
    return false;
}

bool exchange_host_check(const char *host, GError **error) {
    const char *what = "name of a host";
    if (strlen(host) > EXCHANGE_LIMIT_HOST)
        return refuse(error, what, "...", "it is longer than EXCHANGE_LIMIT_HOST (253 bytes)");
    if (*host == '\0' || *host == '.' || *host == '-')
        return refuse(error, what, host, "it begins with a letter or a digit");
    for (const char *c = host; *c; c++)
        if (!g_ascii_isalnum(*c) && !strchr(".-_", *c))
            return refuse(error, what, "...", "it has letters, digits, '.', '-' and '_' only");
    return true;
}

static bool check(const char *what, const char *key, GError **error) {
    size_t size = strlen(key);
    if (size == 0)
        return refuse(error, what, key, "it is empty");
    if (size > EXCHANGE_LIMIT_KEY)
        return refuse(error, what, "...", "it is longer than EXCHANGE_LIMIT_KEY (512 bytes)");
    if (!g_utf8_validate(key, -1, NULL))
        return refuse(error, what, "...", "it is not UTF-8");
    for (const char *c = key; *c; c++)
        if (g_ascii_iscntrl(*c))
            return refuse(error, what, "...", "it has control characters");
    if (*key == '/' || key[size - 1] == '/' || strstr(key, "//"))
        return refuse(error, what, key, "it is words between single slashes, like 'web/web1'");
    return true;
}

bool exchange_key_check(const char *key, GError **error) {
    return check("key", key, error);
}

bool exchange_name_check(const char *name, GError **error) {
    if (!check("name", name, error))
        return false;
    return !strchr(name, '/') || refuse(error, "name", name, "it has no slashes");
}

bool exchange_path_check(const char *path, GError **error) {
    if (strcmp(path, "/") == 0)
        return true;
    g_autofree char *key = g_strdup(path);
    if (g_str_has_suffix(key, "/"))
        key[strlen(key) - 1] = '\0';
    return exchange_key_check(key, error);
}

/* Whether key is what grant names, or below it. */
static bool is_granted(const char *grant, const char *key) {
    size_t size = strlen(grant);
    if (strcmp(grant, "/") == 0)
        return true;
    if (size == 0 || strncmp(key, grant, size) != 0)
        return false;
    return grant[size - 1] == '/' || key[size] == '\0' || key[size] == '/';
}

static char *grant_of_host(const char *grant, const char *host) {
    g_auto(GStrv) parts = g_strsplit(grant, EXCHANGE_PLACEHOLDER, -1);
    return g_strjoinv(host, parts);
}

bool exchange_may_publish(const char *host, const char *const *grants, const char *key,
                          GError **error) {
    if (!exchange_key_check(key, error))
        return false;
    if (is_granted(host, key))
        return true;
    for (unsigned i = 0; grants && grants[i]; i++) {
        g_autofree char *grant = grant_of_host(grants[i], host);
        if (is_granted(grant, key))
            return true;
    }
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                "host '%s' may not publish '%s': only below '%s/', or what --may-publish allows it",
                host, key, host);
    return false;
}
