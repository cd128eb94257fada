#include "host/memory-packages.h"

void package_info_copy(PackageInfo *to, const PackageInfo *from) {
    package_info_clear(to);
    *to = *from;
    to->version = g_strdup(from->version);
    to->candidate = g_strdup(from->candidate);
}

PackageInfo *package_info_new(const PackageInfo *from) {
    PackageInfo *info = g_new0(PackageInfo, 1);
    if (from != NULL)
        package_info_copy(info, from);
    return info;
}

void package_info_free(PackageInfo *info) {
    if (info == NULL)
        return;
    package_info_clear(info);
    g_free(info);
}

static void free_void(void *info) {
    package_info_free(info);
}

GHashTable *package_table_new(void) {
    return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, free_void);
}

void package_table_move(GHashTable *to, GHashTable *from) {
    GHashTableIter iter;
    void *name, *info;
    g_hash_table_iter_init(&iter, from);
    while (g_hash_table_iter_next(&iter, &name, &info)) {
        g_hash_table_iter_steal(&iter);
        g_hash_table_replace(to, name, info);
    }
}

static bool refuse_held(const char *verb, const char *name, GError **error) {
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                "%s package '%s': it is held, release it first", verb, name);
    return false;
}

static bool set_version(PackageInfo *info, const char *verb, const char *name, const char *version,
                        GError **error) {
    if (version == NULL) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND,
                    "%s package '%s': no package source offers it", verb, name);
        return false;
    }
    if (g_strcmp0(info->version, version) == 0) {
        info->broken = info->reinstall = false;
        return true;
    }
    if (info->version != NULL && info->held)
        return refuse_held(verb, name, error);
    if (info->version == NULL)
        info->automatic = false;
    g_free(info->version);
    info->version = g_strdup(version);
    info->config_files = info->broken = info->reinstall = false;
    return true;
}

static bool take_away(PackageInfo *info, const char *name, bool purge, GError **error) {
    if (info->version != NULL && info->held)
        return refuse_held("remove", name, error);
    info->config_files = !purge && (info->config_files || info->version != NULL);
    info->broken = info->reinstall = info->automatic = false;
    g_clear_pointer(&info->version, g_free);
    return true;
}

bool package_info_apply(PackageInfo *info, const PackageAction *action, const char *unknown_version,
                        GError **error) {
    const char *name = action->name;
    bool offered = action->file != NULL || info->version != NULL || info->candidate != NULL ||
                   unknown_version != NULL;
    const char *newest = action->version != NULL   ? action->version
                         : info->candidate != NULL ? info->candidate
                         : info->version != NULL   ? info->version
                                                   : unknown_version;
    switch (action->verb) {
    case PACKAGE_INSTALL:
        return set_version(info, "install", name, info->version ? info->version : newest, error);
    case PACKAGE_UPGRADE:
        return set_version(info, "upgrade", name, newest, error);
    case PACKAGE_VERSION:
        return set_version(info, "install", name, offered ? action->version : NULL, error);
    case PACKAGE_REMOVE:
        return take_away(info, name, false, error);
    case PACKAGE_PURGE:
        return take_away(info, name, true, error);
    case PACKAGE_HOLD:
    case PACKAGE_UNHOLD:
        if (!offered)
            return set_version(info, "hold", name, NULL, error);
        info->held = action->verb == PACKAGE_HOLD;
        return true;
    case PACKAGE_MARK_MANUAL:
    case PACKAGE_MARK_AUTO:
        if (info->version == NULL)
            return set_version(info, "mark", name, NULL, error);
        info->automatic = action->verb == PACKAGE_MARK_AUTO;
        return true;
    }
    g_assert_not_reached();
}

void package_info_suffer(PackageInfo *info, const PackageEffect *effect) {
    if (effect->what == PACKAGE_COMES)
        info->automatic = true;
    if (effect->what == PACKAGE_GOES) {
        (void)take_away(info, effect->name, false, NULL); /* nobody holds it: apt has looked */
        return;
    }
    info->config_files = info->broken = info->reinstall = false;
    g_free(info->version);
    info->version = g_strdup(effect->version);
}

char *package_bare_name(const char *name) {
    return g_strndup(name, strcspn(name, "/"));
}
