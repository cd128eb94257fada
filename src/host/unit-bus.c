/* Asking for units and changing them. */
#include "host/unit-bus.h"

#include <errno.h>
#include <glob.h>
#include <string.h>
#include <unistd.h>

#include "host/unit-call.h"
#include "host/unit-fate.h"

/* --- queries */

static bool send_get_all(UnitBus *bus, const char *name, UnitCall *call, GError **error) {
    g_autofree char *path = unit_object_path(name);
    sd_bus_message *message = NULL;
    int r = sd_bus_message_new_method_call(bus->bus, &message, SYSTEMD_NAME, path,
                                           "org.freedesktop.DBus.Properties", "GetAll");
    if (r >= 0)
        r = sd_bus_message_append(message, "s", SYSTEMD_UNIT);
    if (r >= 0)
        return unit_call_send(bus, message, call, error);
    sd_bus_message_unref(message);
    return set_io_error(error, -r, "talk to systemd");
}

bool unit_query_properties(UnitBus *bus, const char *name, UnitInfo *info,
                           UnitConditions *conditions, Cancel *cancel, GError **error) {
    g_auto(UnitCall) call = { 0 };
    if (!send_get_all(bus, name, &call, error) || !unit_call_wait(bus, &call, cancel, error))
        return false;
    int r = unit_info_read(call.reply, info, conditions);
    return r >= 0 || set_io_error(error, -r, "understand what systemd says about '%s'", name);
}

/* A name that is only a link counts as enabled when the unit it leads to is. */
static void query_alias(UnitBus *bus, const char *id, UnitInfo *info) {
    g_auto(UnitCall) call = { 0 };
    const char *state;
    if (unit_call_manager(bus, &call, NULL, NULL, "GetUnitFileState", "s", id) &&
        sd_bus_message_read(call.reply, "s", &state) >= 0)
        unit_info_set_file_state(info, state);
}

/* Links by which a unit is wanted that does not exist any more; globfree(). */
static void find_links(const char *name, glob_t *ret_paths) {
    g_autofree char *wants = g_strconcat("/etc/systemd/system/*.wants/", name, NULL);
    g_autofree char *requires = g_strconcat("/etc/systemd/system/*.requires/", name, NULL);
    *ret_paths = (glob_t){ 0 };
    (void)glob(wants, GLOB_NOSORT | GLOB_NOESCAPE, NULL, ret_paths); /* none: no paths */
    (void)glob(requires, GLOB_NOSORT | GLOB_NOESCAPE | GLOB_APPEND, NULL, ret_paths);
}

static bool has_dangling_links(const char *name) {
    glob_t paths;
    find_links(name, &paths);
    bool found = paths.gl_pathc > 0;
    globfree(&paths);
    return found;
}

static bool remove_dangling_links(const char *name, GError **error) {
    glob_t paths;
    bool good = true;
    find_links(name, &paths);
    for (size_t i = 0; good && i < paths.gl_pathc; i++)
        good = unlink(paths.gl_pathv[i]) == 0 || errno == ENOENT ||
               set_io_error(error, errno, "remove '%s'", paths.gl_pathv[i]);
    globfree(&paths);
    return good;
}

/* What is asked for only of units to which it may matter. has_file: systemd knows of a file now;
 * one that is gone may still be loaded. */
static void query_rest(UnitBus *bus, const char *name, const UnitConditions *conditions,
                       bool has_file, UnitInfo *info) {
    g_auto(ServiceFate) fate = { 0 };
    if (conditions->id[0] != '\0' && strcmp(conditions->id, name) != 0)
        query_alias(bus, conditions->id, info);
    if (!has_file && !bus->session)
        info->enabled = has_dangling_links(name);
    if (info->exists && !info->active && service_fate_query(bus, name, &fate))
        info->ends = strcmp(fate.type, "oneshot") == 0 && !fate.remains;
}

/* The state of the files is asked for apart: among the properties, systemd keeps it as it was when
 * the unit was loaded. Both questions are on their way at once. */
bool unit_bus_query(UnitBus *bus, const char *name, UnitInfo *ret_info, GError **error) {
    g_auto(UnitCall) files = { 0 };
    sd_bus_message *message = unit_manager_message(bus, "GetUnitFileState");
    int r = sd_bus_message_append(message, "s", name);
    if (r < 0) {
        sd_bus_message_unref(message);
        return set_io_error(error, -r, "talk to systemd");
    }
    UnitInfo info = { 0 };
    UnitConditions conditions = { 0 };
    if (!unit_call_send(bus, message, &files, error) ||
        !unit_query_properties(bus, name, &info, &conditions, NULL, error))
        return false;
    info.outdated = info.active && conditions.started_us != 0 &&
                    conditions.changed_ns / 1000 > (int64_t)conditions.started_us;
    const char *state;
    /* Units without a file have no such state: that is no error. */
    bool has_file = unit_call_wait(bus, &files, NULL, NULL) &&
                    sd_bus_message_read(files.reply, "s", &state) >= 0;
    if (has_file)
        unit_info_set_file_state(&info, state);
    query_rest(bus, name, &conditions, has_file, &info);
    *ret_info = info;
    return true;
}

/* --- files of units */

/* Whether the reply, whose next part is a(sss), names any change. */
static bool has_changes(sd_bus_message *reply) {
    return sd_bus_message_enter_container(reply, 'a', "(sss)") > 0 &&
           sd_bus_message_at_end(reply, 0) == 0;
}

static bool daemon_reload(UnitBus *bus, Cancel *cancel, GError **error) {
    g_auto(UnitCall) call = { 0 };
    return unit_call_manager(bus, &call, cancel, error, "Reload", "");
}

static bool enable(UnitBus *bus, const char *name, Cancel *cancel, GError **error) {
    g_auto(UnitCall) call = { 0 };
    int has_install = 1;
    if (!unit_call_manager(bus, &call, cancel, error, "EnableUnitFiles", "asbb", 1, name, 0, 0))
        return false;
    (void)sd_bus_message_read(call.reply, "b", &has_install);
    if (has_changes(call.reply))
        return daemon_reload(bus, cancel, error);
    if (has_install)
        return true;
    g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_UNSUPPORTED,
                        "it has no [Install] section, so there is nothing to enable");
    return false;
}

static bool mask(UnitBus *bus, const char *name, Cancel *cancel, GError **error) {
    g_auto(UnitCall) call = { 0 };
    if (!unit_call_manager(bus, &call, cancel, error, "MaskUnitFiles", "asbb", 1, name, 0, 0))
        return false;
    return !has_changes(call.reply) || daemon_reload(bus, cancel, error);
}

/* What was done for this boot only is undone as well. */
static bool undo(UnitBus *bus, const char *name, const char *method, Cancel *cancel,
                 GError **error) {
    bool changed = false;
    for (int runtime = 0; runtime < 2; runtime++) {
        g_auto(UnitCall) call = { 0 };
        if (!unit_call_manager(bus, &call, cancel, error, method, "asb", 1, name, runtime))
            return false;
        changed = has_changes(call.reply) || changed;
    }
    return !changed || daemon_reload(bus, cancel, error);
}

/* Though it may be loaded still. */
static bool has_no_file(UnitBus *bus, const char *name, Cancel *cancel) {
    g_auto(UnitCall) call = { 0 };
    g_autoptr(GError) problem = NULL;
    return !unit_call_manager(bus, &call, cancel, &problem, "GetUnitFileState", "s", name) &&
           g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND);
}

/* Of a unit that is gone systemd removes some links and then complains that it is. */
static bool disable(UnitBus *bus, const char *name, Cancel *cancel, GError **error) {
    g_autoptr(GError) problem = NULL;
    if (undo(bus, name, "DisableUnitFiles", cancel, &problem))
        return true;
    if (!bus->session && has_no_file(bus, name, cancel))
        return remove_dangling_links(name, error) && daemon_reload(bus, cancel, error);
    g_propagate_error(error, g_steal_pointer(&problem));
    return false;
}

/* The unit's own name for an alias, whose file is a link and cannot be enabled; caller frees. */
static char *own_name(UnitBus *bus, const char *name) {
    UnitInfo info = { 0 };
    UnitConditions conditions = { 0 };
    bool known = unit_query_properties(bus, name, &info, &conditions, NULL, NULL);
    return g_strdup(known && conditions.id[0] != '\0' ? conditions.id : name);
}

bool unit_bus_apply(UnitBus *bus, const char *asked, UnitVerb verb, Cancel *cancel,
                    GError **error) {
    bool is_file_verb =
        verb == UNIT_ENABLE || verb == UNIT_DISABLE || verb == UNIT_MASK || verb == UNIT_UNMASK;
    g_autofree char *name = is_file_verb ? own_name(bus, asked) : g_strdup(asked);
    switch (verb) {
    case UNIT_START:
        return unit_job_run(bus, name, "StartUnit", true, cancel, error);
    case UNIT_STOP:
        return unit_job_run(bus, name, "StopUnit", false, cancel, error);
    case UNIT_RESTART:
        return unit_job_run(bus, name, "RestartUnit", true, cancel, error);
    case UNIT_RELOAD:
        return unit_job_run(bus, name, "ReloadOrRestartUnit", true, cancel, error);
    case UNIT_ENABLE:
        return enable(bus, name, cancel, error);
    case UNIT_DISABLE:
        return disable(bus, name, cancel, error);
    case UNIT_MASK:
        return mask(bus, name, cancel, error);
    case UNIT_UNMASK:
        return undo(bus, name, "UnmaskUnitFiles", cancel, error);
    case UNIT_DAEMON_RELOAD:
        return daemon_reload(bus, cancel, error);
    }
    g_assert_not_reached();
}
