/* What systemd says, and what it means for us. */
#include "host/unit-bus.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* --- words */

char *unit_object_path(const char *name) {
    char *path = NULL;
    int r = sd_bus_path_encode(SYSTEMD_PATH "/unit", name, &path);
    g_assert(r >= 0); /* fails only without memory */
    return path;
}

static bool is_one_of(const char *word, const char *const *words) {
    for (; *words != NULL; words++)
        if (strcmp(word, *words) == 0)
            return true;
    return false;
}

void unit_info_set_load_state(UnitInfo *info, const char *state) {
    info->exists = strcmp(state, "not-found") != 0;
    info->masked = info->masked || strcmp(state, "masked") == 0;
}

void unit_info_set_active_state(UnitInfo *info, const char *state) {
    static const char *const active[] = { "active", "activating", "reloading", "refreshing", NULL };
    info->active = is_one_of(state, active);
    info->failed = strcmp(state, "failed") == 0;
}

void unit_info_set_file_state(UnitInfo *info, const char *state) {
    static const char *const enabled[] = { "enabled", "enabled-runtime", NULL };
    static const char *const fixed[] = { "static", "generated", "indirect",
                                         "alias",  "transient", NULL };
    static const char *const masked[] = { "masked", "masked-runtime", NULL };
    info->enabled = is_one_of(state, enabled);
    info->is_static = is_one_of(state, fixed);
    info->masked = info->masked || is_one_of(state, masked);
}

const char *unit_verb_name(UnitVerb verb) {
    static const char *const names[] = {
        [UNIT_START] = "start",   [UNIT_STOP] = "stop",     [UNIT_RESTART] = "restart",
        [UNIT_RELOAD] = "reload", [UNIT_ENABLE] = "enable", [UNIT_DISABLE] = "disable",
        [UNIT_MASK] = "mask",     [UNIT_UNMASK] = "unmask", [UNIT_DAEMON_RELOAD] = "daemon-reload",
    };
    return names[verb];
}

static void note_file(const char *path, UnitConditions *conditions) {
    struct stat st;
    if (*path == '\0' || stat(path, &st) != 0)
        return;
    int64_t changed_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    conditions->changed_ns = MAX(conditions->changed_ns, changed_ns);
}

static int read_drop_ins(sd_bus_message *message, UnitConditions *conditions) {
    const char *path;
    int r = sd_bus_message_enter_container(message, 'v', "as");
    if (r >= 0)
        r = sd_bus_message_enter_container(message, 'a', "s");
    while (r >= 0 && (r = sd_bus_message_read(message, "s", &path)) > 0)
        note_file(path, conditions);
    if (r >= 0)
        r = sd_bus_message_exit_container(message);
    return r < 0 ? r : sd_bus_message_exit_container(message);
}

static int read_property(sd_bus_message *message, const char *name, UnitInfo *info,
                         UnitConditions *conditions) {
    const char *text;
    uint64_t time;
    int flag, r;
    if (strcmp(name, "LoadState") == 0 || strcmp(name, "ActiveState") == 0) {
        if ((r = sd_bus_message_read(message, "v", "s", &text)) < 0)
            return r;
        if (name[0] == 'L')
            unit_info_set_load_state(info, text);
        else
            unit_info_set_active_state(info, text);
        return 0;
    }
    if (strcmp(name, "Id") == 0) {
        if ((r = sd_bus_message_read(message, "v", "s", &text)) >= 0)
            g_strlcpy(conditions->id, text, sizeof conditions->id);
        return r;
    }
    if (strcmp(name, "SubState") == 0) {
        if ((r = sd_bus_message_read(message, "v", "s", &text)) >= 0)
            info->restarting = strcmp(text, "auto-restart") == 0;
        return r;
    }
    if (strcmp(name, "Job") == 0) {
        uint32_t job;
        if ((r = sd_bus_message_read(message, "v", "(uo)", &job, &text)) >= 0)
            info->busy = job != 0;
        return r;
    }
    if (strcmp(name, "FragmentPath") == 0) {
        if ((r = sd_bus_message_read(message, "v", "s", &text)) >= 0)
            note_file(text, conditions);
        return r;
    }
    if (strcmp(name, "DropInPaths") == 0)
        return read_drop_ins(message, conditions);
    if (strcmp(name, "InactiveExitTimestamp") == 0)
        return sd_bus_message_read(message, "v", "t", &conditions->started_us);
    if (strcmp(name, "ConditionTimestamp") == 0) {
        r = sd_bus_message_read(message, "v", "t", &time);
        conditions->checked = r >= 0 && time != 0;
        return r;
    }
    bool *target = strcmp(name, "CanReload") == 0          ? &info->can_reload
                   : strcmp(name, "NeedDaemonReload") == 0 ? &info->needs_daemon_reload
                   : strcmp(name, "ConditionResult") == 0  ? &conditions->met
                                                           : NULL;
    if (target == NULL)
        return sd_bus_message_skip(message, "v");
    if ((r = sd_bus_message_read(message, "v", "b", &flag)) >= 0)
        *target = flag != 0;
    return r;
}

int unit_info_read(sd_bus_message *message, UnitInfo *info, UnitConditions *conditions) {
    int r = sd_bus_message_enter_container(message, 'a', "{sv}");
    while (r >= 0 && (r = sd_bus_message_enter_container(message, 'e', "sv")) > 0) {
        const char *name;
        if ((r = sd_bus_message_read(message, "s", &name)) >= 0)
            r = read_property(message, name, info, conditions);
        if (r >= 0)
            r = sd_bus_message_exit_container(message);
    }
    return r < 0 ? r : sd_bus_message_exit_container(message);
}

/* --- errors */

bool unit_set_error(GError **error, const sd_bus_error *bus_error, int r) {
    static const struct {
        const char *name;
        int code;
    } codes[] = {
        { "org.freedesktop.systemd1.NoSuchUnit", STEAD_ERROR_NOT_FOUND },
        { "org.freedesktop.DBus.Error.FileNotFound", STEAD_ERROR_NOT_FOUND },
        { "org.freedesktop.systemd1.UnitMasked", STEAD_ERROR_REFUSED },
        { "org.freedesktop.DBus.Error.NoReply", STEAD_ERROR_TIMEOUT },
        { "org.freedesktop.DBus.Error.ServiceUnknown", STEAD_ERROR_UNSUPPORTED },
        { "org.freedesktop.DBus.Error.NameHasNoOwner", STEAD_ERROR_UNSUPPORTED },
        { "org.freedesktop.DBus.Error.Spawn.ChildExited", STEAD_ERROR_UNSUPPORTED },
    };
    if (bus_error == NULL || bus_error->name == NULL)
        return set_io_error(error, -r, "talk to systemd");
    int code = STEAD_ERROR_FAILED;
    for (size_t i = 0; i < G_N_ELEMENTS(codes); i++)
        if (strcmp(bus_error->name, codes[i].name) == 0)
            code = codes[i].code;
    g_autofree char *text =
        g_strdup(bus_error->message != NULL ? bus_error->message : bus_error->name);
    size_t length = strlen(text);
    if (length > 0 && text[length - 1] == '.')
        text[length - 1] = '\0';
    g_set_error(error, STEAD_ERROR, code, "systemd says: %s", text);
    return false;
}
