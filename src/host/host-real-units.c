/* Units: over D-Bus on the machine itself, by "systemctl --root" below a directory, where nothing
 * runs and only the files of units can be seen and changed. */
#include <string.h>
#include <unistd.h>

#include "host/host-real-private.h"
#include "host/unit-bus.h"
#include "host/unit-journal.h"
#include "host/watch-units.h"

#define IDLE_MAX      4
#define AWAY_US       10000000 /* that systemd may be away before a question about it fails */
#define AWAY_PAUSE_US 50000

/* Connections that nobody uses right now, of the machine and of the session. */
struct UnitManagers {
    GMutex lock;
    GPtrArray *idle[2]; /* UnitBus */
};

UnitManagers *unit_managers_new(void) {
    UnitManagers *managers = g_new0(UnitManagers, 1);
    g_mutex_init(&managers->lock);
    for (int i = 0; i < 2; i++)
        managers->idle[i] = g_ptr_array_new_with_free_func((GDestroyNotify)unit_bus_close);
    return managers;
}

void unit_managers_free(UnitManagers *managers) {
    if (managers == NULL)
        return;
    for (int i = 0; i < 2; i++)
        g_ptr_array_unref(managers->idle[i]);
    g_mutex_clear(&managers->lock);
    g_free(managers);
}

static UnitBus *bus_take(UnitManagers *managers, bool session, GError **error) {
    GPtrArray *idle = managers->idle[session];
    UnitBus *bus = NULL;
    g_mutex_lock(&managers->lock);
    if (idle->len > 0)
        bus = g_ptr_array_steal_index_fast(idle, idle->len - 1);
    g_mutex_unlock(&managers->lock);
    if (bus != NULL && unit_bus_is_alive(bus))
        return bus;
    unit_bus_close(bus);
    return unit_bus_open(session, error);
}

static void bus_give_back(UnitManagers *managers, bool session, UnitBus *bus) {
    GPtrArray *idle = managers->idle[session];
    g_mutex_lock(&managers->lock);
    bool keep = idle->len < IDLE_MAX && unit_bus_is_alive(bus);
    if (keep)
        g_ptr_array_add(idle, bus);
    g_mutex_unlock(&managers->lock);
    if (!keep)
        unit_bus_close(bus);
}

/* What is passed to systemctl and shown in messages: bytes from a configuration. */
static bool check_name(const char *name, GError **error) {
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                 ":-_.\\@");
    if (length > 0 && length < 256 && name[length] == '\0' && name[0] != '-' &&
        strchr(name, '.') != NULL)
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                "'%s' is not the name of a unit (such as 'nginx.service')", name);
    return false;
}

/* --- below a root */

static bool systemctl(RealHost *self, const char *verb, const char *name,
                      HostCommandResult *ret_result, GError **error) {
    RealHost machine = { .host = { .root = (char[]){ "/" } }, .root_fd = -1 };
    g_autofree char *root = g_strconcat("--root=", self->host.root, NULL);
    const char *argv[] = { "systemctl", root, verb, "--", name, NULL };
    HostCommand command = { .argv = argv };
    if (real_run(&machine.host, &command, ret_result, error))
        return true;
    if (error != NULL && g_error_matches(*error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND))
        (*error)->code = STEAD_ERROR_UNSUPPORTED;
    return false;
}

static char *first_line(GBytes *bytes) {
    size_t size;
    const char *data = g_bytes_get_data(bytes, &size);
    g_autofree char *text = g_strndup(data != NULL ? data : "", size);
    return g_strndup(text, strcspn(text, "\n"));
}

static bool query_files(RealHost *self, const char *name, UnitInfo *ret_info, GError **error) {
    g_auto(HostCommandResult) result = { 0 };
    if (!systemctl(self, "is-enabled", name, &result, error))
        return false;
    g_autofree char *state = first_line(result.out);
    *ret_info = (UnitInfo){ .exists = *state != '\0' && strcmp(state, "not-found") != 0 };
    unit_info_set_file_state(ret_info, state);
    return true;
}

static bool apply_files(RealHost *self, const char *name, UnitVerb verb, GError **error) {
    bool is_file_verb =
        verb == UNIT_ENABLE || verb == UNIT_DISABLE || verb == UNIT_MASK || verb == UNIT_UNMASK;
    if (verb == UNIT_DAEMON_RELOAD)
        return true; /* who boots this root reads everything anew */
    if (!is_file_verb) {
        g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_UNSUPPORTED,
                            "below a root directory no units run; they can only be enabled, "
                            "disabled and masked");
        return false;
    }
    g_auto(HostCommandResult) result = { 0 };
    if (!systemctl(self, unit_verb_name(verb), name, &result, error))
        return false;
    if (result.exit_status == 0)
        return true;
    g_autofree char *reason = first_line(result.output);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED, "systemctl says: %s", reason);
    return false;
}

/* --- on the machine */

static bool query_once(RealHost *self, const char *name, bool session, UnitInfo *ret_info,
                       GError **error) {
    UnitBus *bus = bus_take(self->units, session, error);
    if (bus == NULL)
        return false;
    bool ok = unit_bus_query(bus, name, ret_info, error);
    bus_give_back(self->units, session, bus);
    return ok;
}

/* A systemd that executes itself again leaves what it was asked meanwhile without an answer. */
static bool query_manager(RealHost *self, const char *name, bool session, UnitInfo *ret_info,
                          GError **error) {
    int64_t limit_us = g_get_monotonic_time() + AWAY_US;
    for (;;) {
        g_autoptr(GError) problem = NULL;
        if (query_once(self, name, session, ret_info, &problem))
            return true;
        if (!g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_TIMEOUT) ||
            g_get_monotonic_time() > limit_us) {
            g_propagate_error(error, g_steal_pointer(&problem));
            return false;
        }
        g_usleep(AWAY_PAUSE_US);
    }
}

static bool apply_manager(RealHost *self, const char *name, bool session, UnitVerb verb,
                          Cancel *cancel, GError **error) {
    /* A connection of its own: kept, it would go on collecting the ends of all jobs. */
    g_autoptr(UnitBus) bus = unit_bus_open(session, error);
    if (bus == NULL)
        return false;
    g_auto(OwnUnitChange) own = own_unit_begin(self->unit_watchers, name, session);
    bool ok = unit_bus_apply(bus, name, verb, cancel, error);
    UnitInfo after;
    if (ok && own.watchers != NULL && unit_bus_query(bus, name, &after, NULL))
        own_unit_end(&own, verb, &after);
    return ok;
}

bool real_unit_query(Host *host, const char *name, bool session, UnitInfo *ret_info,
                     GError **error) {
    RealHost *self = real_host(host);
    bool ok = check_name(name, error) &&
              (real_host_has_root(self) ? query_files(self, name, ret_info, error)
                                        : query_manager(self, name, session, ret_info, error));
    if (!ok)
        g_prefix_error(error, "query unit '%s': ", name);
    return ok;
}

bool real_unit_apply(Host *host, const char *name, bool session, UnitVerb verb, Cancel *cancel,
                     GError **error) {
    RealHost *self = real_host(host);
    bool is_reload = verb == UNIT_DAEMON_RELOAD;
    bool ok = (is_reload || check_name(name, error)) &&
              (real_host_has_root(self) ? apply_files(self, name, verb, error)
                                        : apply_manager(self, name, session, verb, cancel, error));
    if (!ok && is_reload)
        g_prefix_error(error, "daemon-reload: ");
    else if (!ok)
        g_prefix_error(error, "%s '%s': ", unit_verb_name(verb), name);
    return ok;
}

char *real_unit_complaints(Host *host, const char *name, bool session, uint64_t since_us) {
    return real_host_has_root(real_host(host)) ? NULL
                                               : unit_journal_errors(name, session, since_us);
}
