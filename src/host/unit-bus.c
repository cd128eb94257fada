#include "host/unit-bus.h"

#include <errno.h>
#include <glob.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "host/unit-journal.h"

#define CALL_TIMEOUT_US 90000000 /* systemd is busy while it reloads */
#define CANCEL_JOB_US   1000000
#define LOOK_US         1000000 /* how often who waits for systemd asks whether it will answer */
#define EXEC_MAX_US     5000000 /* how long a new process may take to become its program */
#define LASTS_US        100000  /* how long a started service is looked at */
#define PRIVATE_SOCKET  "/run/systemd/private"

struct UnitBus {
    sd_bus *bus;
    bool session;
    sd_bus_slot *job_removed; /* NULL until a job is first waited for */
    GHashTable *results;      /* path of a job that ended -> its result */
};

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

/* --- connections */

/* Without a message bus, root may still talk to the manager itself, as systemctl does. */
static int connect_private(sd_bus **ret_bus) {
    sd_bus *bus = NULL;
    int r = sd_bus_new(&bus);
    if (r >= 0)
        r = sd_bus_set_address(bus, "unix:path=" PRIVATE_SOCKET);
    if (r >= 0)
        r = sd_bus_start(bus);
    if (r < 0)
        sd_bus_unref(bus);
    else
        *ret_bus = bus;
    return r;
}

sd_bus *unit_bus_connect(bool session, GError **error) {
    sd_bus *bus = NULL;
    int r = session ? sd_bus_open_user(&bus) : sd_bus_open_system(&bus);
    if (r < 0 && !session && geteuid() == 0 && access(PRIVATE_SOCKET, F_OK) == 0)
        r = connect_private(&bus);
    if (r >= 0)
        return bus;
    if (session)
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_UNSUPPORTED,
                    "no systemd session manager of this user can be reached (%s); one that runs "
                    "without a login is had with: loginctl enable-linger",
                    g_strerror(-r));
    else
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_UNSUPPORTED,
                    "no systemd can be reached here: connect to the system bus: %s%s",
                    g_strerror(-r),
                    sd_booted() > 0 ? "; start it: systemctl start dbus.socket" : "");
    return NULL;
}

UnitBus *unit_bus_open(bool session, GError **error) {
    sd_bus *connection = unit_bus_connect(session, error);
    if (connection == NULL)
        return NULL;
    UnitBus *bus = g_new0(UnitBus, 1);
    bus->bus = connection;
    bus->session = session;
    bus->results = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    return bus;
}

void unit_bus_close(UnitBus *bus) {
    if (bus == NULL)
        return;
    sd_bus_slot_unref(bus->job_removed);
    sd_bus_flush_close_unref(bus->bus);
    g_hash_table_destroy(bus->results);
    g_free(bus);
}

/* A connection that was closed at the other end shows that only when it is read from. */
bool unit_bus_is_alive(UnitBus *bus) {
    int r;
    do
        r = sd_bus_process(bus->bus, NULL);
    while (r > 0);
    return r == 0 && sd_bus_is_open(bus->bus) > 0;
}

/* --- calls */

typedef struct {
    sd_bus_message *reply; /* also an error's */
    sd_bus_slot *slot;
} Call;

static void call_clear(Call *call) {
    sd_bus_slot_unref(call->slot);
    sd_bus_message_unref(call->reply);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Call, call_clear)

static int on_reply(sd_bus_message *message, void *data, sd_bus_error *ret_error) {
    Call *call = data;
    call->reply = sd_bus_message_ref(message);
    return 1;
}

/* Until the bus has something to do, the caller wants to stop, or it is limit_us by the monotonic
 * clock. */
static int wait_for_bus(sd_bus *bus, Cancel *cancel, int64_t limit_us) {
    uint64_t deadline_us = UINT64_MAX;
    int r = sd_bus_get_timeout(bus, &deadline_us);
    int events = r < 0 ? r : sd_bus_get_events(bus);
    if (events < 0)
        return events;
    int64_t until_us = MIN(limit_us, (int64_t)MIN(deadline_us, (uint64_t)G_MAXINT64));
    int64_t left_us = MAX(until_us - g_get_monotonic_time(), 0);
    int timeout_ms = cancel_poll_timeout_ms(cancel), left_ms = (int)((left_us + 999) / 1000);
    struct pollfd fds[2] = {
        { .fd = sd_bus_get_fd(bus), .events = (short)events },
        { .fd = cancel != NULL ? cancel_fd(cancel) : -1, .events = POLLIN },
    };
    timeout_ms = timeout_ms < 0 ? left_ms : MIN(timeout_ms, left_ms);
    return poll(fds, G_N_ELEMENTS(fds), timeout_ms) < 0 && errno != EINTR ? -errno : 0;
}

/* The manager's word for how it is; NULL: it did not say in time. Caller frees. */
static char *ask_state(sd_bus *manager) {
    g_auto(Call) call = { 0 };
    const char *state = NULL;
    int64_t limit_us = g_get_monotonic_time() + LOOK_US;
    int r = sd_bus_call_method_async(manager, &call.slot, SYSTEMD_NAME, SYSTEMD_PATH,
                                     "org.freedesktop.DBus.Properties", "Get", on_reply, &call,
                                     "ss", SYSTEMD_MANAGER, "SystemState");
    while (r >= 0 && call.reply == NULL && g_get_monotonic_time() < limit_us) {
        r = sd_bus_process(manager, NULL);
        if (r == 0)
            r = wait_for_bus(manager, NULL, limit_us);
    }
    if (call.reply == NULL || sd_bus_message_is_method_error(call.reply, NULL) ||
        sd_bus_message_read(call.reply, "v", "s", &state) < 0)
        return NULL;
    return g_strdup(state);
}

/* Whether the machine, or the session, is on its way down. systemd then starts nothing for others,
 * its stops may wait for whoever waits for them, and the message bus ends early: so the manager is
 * asked itself where that can be done. */
static bool is_going_down(const UnitBus *bus) {
    sd_bus *manager = NULL;
    bool direct = !bus->session && geteuid() == 0 && g_getenv("DBUS_SYSTEM_BUS_ADDRESS") == NULL;
    if (!direct || connect_private(&manager) < 0)
        manager = unit_bus_connect(bus->session, NULL);
    if (manager == NULL)
        return false;
    g_autofree char *state = ask_state(manager);
    sd_bus_close_unref(manager);
    return g_strcmp0(state, "stopping") == 0;
}

static bool going_down_error(GError **error) {
    g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_FAILED,
                        "systemd is shutting down and does nothing else any more; what is left is "
                        "done by the next run");
    return false;
}

/* Works on the connection until is_done says so. */
static bool pump(UnitBus *bus, bool (*is_done)(UnitBus *bus, void *data), void *data,
                 Cancel *cancel, GError **error) {
    int64_t look_us = g_get_monotonic_time() + LOOK_US;
    while (!is_done(bus, data)) {
        if (!cancel_check(cancel, error))
            return false;
        int r = sd_bus_process(bus->bus, NULL);
        if (r == 0)
            r = wait_for_bus(bus->bus, cancel, look_us);
        if (r < 0)
            return set_io_error(error, -r, "lost the connection to systemd");
        if (r > 0 || g_get_monotonic_time() < look_us)
            continue;
        if (is_going_down(bus))
            return going_down_error(error);
        look_us = g_get_monotonic_time() + LOOK_US;
    }
    return true;
}

static bool has_reply(UnitBus *bus, void *data) {
    return ((const Call *)data)->reply != NULL;
}

/* Takes ownership of message. */
static bool call_send(UnitBus *bus, sd_bus_message *message, Call *call, GError **error) {
    int r = sd_bus_call_async(bus->bus, &call->slot, message, on_reply, call, CALL_TIMEOUT_US);
    sd_bus_message_unref(message);
    return r >= 0 || set_io_error(error, -r, "talk to systemd");
}

static bool call_wait(UnitBus *bus, Call *call, Cancel *cancel, GError **error) {
    if (!pump(bus, has_reply, call, cancel, error))
        return false;
    if (!sd_bus_message_is_method_error(call->reply, NULL))
        return true;
    return unit_set_error(error, sd_bus_message_get_error(call->reply), 0);
}

/* A call of the manager; NULL only without memory. */
static sd_bus_message *manager_call(UnitBus *bus, const char *method) {
    sd_bus_message *message = NULL;
    int r = sd_bus_message_new_method_call(bus->bus, &message, SYSTEMD_NAME, SYSTEMD_PATH,
                                           SYSTEMD_MANAGER, method);
    g_assert(r >= 0);
    return message;
}

static bool call_manager(UnitBus *bus, Call *call, Cancel *cancel, GError **error,
                         const char *method, const char *types, ...) {
    sd_bus_message *message = manager_call(bus, method);
    va_list arguments;
    va_start(arguments, types);
    int r = *types != '\0' ? sd_bus_message_appendv(message, types, arguments) : 0;
    va_end(arguments);
    if (r < 0) {
        sd_bus_message_unref(message);
        return set_io_error(error, -r, "talk to systemd");
    }
    return call_send(bus, message, call, error) && call_wait(bus, call, cancel, error);
}

/* --- queries */

static bool send_get_all(UnitBus *bus, const char *name, Call *call, GError **error) {
    g_autofree char *path = unit_object_path(name);
    sd_bus_message *message = NULL;
    int r = sd_bus_message_new_method_call(bus->bus, &message, SYSTEMD_NAME, path,
                                           "org.freedesktop.DBus.Properties", "GetAll");
    if (r >= 0)
        r = sd_bus_message_append(message, "s", SYSTEMD_UNIT);
    if (r >= 0)
        return call_send(bus, message, call, error);
    sd_bus_message_unref(message);
    return set_io_error(error, -r, "talk to systemd");
}

static bool query_properties(UnitBus *bus, const char *name, UnitInfo *info,
                             UnitConditions *conditions, Cancel *cancel, GError **error) {
    g_auto(Call) call = { 0 };
    if (!send_get_all(bus, name, &call, error) || !call_wait(bus, &call, cancel, error))
        return false;
    int r = unit_info_read(call.reply, info, conditions);
    return r >= 0 || set_io_error(error, -r, "understand what systemd says about '%s'", name);
}

/* --- how a service fared */

typedef struct {
    char *type, *result, *reload_result; /* caller frees */
    int code, status;                    /* of its main process, as in waitid(2) */
    unsigned restarts, pid;
    int remains; /* RemainAfterExit= */
} ServiceFate;

static void service_fate_clear(ServiceFate *fate) {
    g_free(fate->type);
    g_free(fate->result);
    g_free(fate->reload_result);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ServiceFate, service_fate_clear)

static int read_fate_property(sd_bus_message *message, const char *name, ServiceFate *fate) {
    const struct {
        const char *name, *type;
        void *target;
    } numbers[] = {
        { "ExecMainCode", "i", &fate->code },       { "ExecMainStatus", "i", &fate->status },
        { "NRestarts", "u", &fate->restarts },      { "MainPID", "u", &fate->pid },
        { "RemainAfterExit", "b", &fate->remains },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(numbers); i++)
        if (strcmp(name, numbers[i].name) == 0)
            return sd_bus_message_read(message, "v", numbers[i].type, numbers[i].target);
    char **target = strcmp(name, "Type") == 0           ? &fate->type
                    : strcmp(name, "Result") == 0       ? &fate->result
                    : strcmp(name, "ReloadResult") == 0 ? &fate->reload_result
                                                        : NULL;
    const char *text;
    if (target == NULL)
        return sd_bus_message_skip(message, "v");
    int r = sd_bus_message_read(message, "v", "s", &text);
    if (r >= 0 && *target == NULL)
        *target = g_strdup(text);
    return r;
}

/* False, without an error, for units that are no services. */
static bool query_fate(UnitBus *bus, const char *name, ServiceFate *fate) {
    g_autofree char *path = unit_object_path(name);
    g_auto(Call) call = { 0 };
    sd_bus_message *message = NULL;
    int r = sd_bus_message_new_method_call(bus->bus, &message, SYSTEMD_NAME, path,
                                           "org.freedesktop.DBus.Properties", "GetAll");
    if (r >= 0)
        r = sd_bus_message_append(message, "s", "org.freedesktop.systemd1.Service");
    if (r < 0) {
        sd_bus_message_unref(message);
        return false;
    }
    if (!g_str_has_suffix(name, ".service") || !call_send(bus, message, &call, NULL) ||
        !call_wait(bus, &call, NULL, NULL) ||
        sd_bus_message_enter_container(call.reply, 'a', "{sv}") < 0)
        return false;
    while ((r = sd_bus_message_enter_container(call.reply, 'e', "sv")) > 0) {
        const char *property;
        if (sd_bus_message_read(call.reply, "s", &property) < 0 ||
            read_fate_property(call.reply, property, fate) < 0 ||
            sd_bus_message_exit_container(call.reply) < 0)
            return false;
    }
    return r == 0 && fate->type != NULL && fate->result != NULL;
}

/* A name that is only a link counts as enabled when the unit it leads to is. */
static void query_alias(UnitBus *bus, const char *id, UnitInfo *info) {
    g_auto(Call) call = { 0 };
    const char *state;
    if (call_manager(bus, &call, NULL, NULL, "GetUnitFileState", "s", id) &&
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
    if (info->exists && !info->active && query_fate(bus, name, &fate))
        info->ends = strcmp(fate.type, "oneshot") == 0 && !fate.remains;
}

/* The state of the files is asked for apart: among the properties, systemd keeps it as it was when
 * the unit was loaded. Both questions are on their way at once. */
bool unit_bus_query(UnitBus *bus, const char *name, UnitInfo *ret_info, GError **error) {
    g_auto(Call) files = { 0 };
    sd_bus_message *message = manager_call(bus, "GetUnitFileState");
    int r = sd_bus_message_append(message, "s", name);
    if (r < 0) {
        sd_bus_message_unref(message);
        return set_io_error(error, -r, "talk to systemd");
    }
    UnitInfo info = { 0 };
    UnitConditions conditions = { 0 };
    if (!call_send(bus, message, &files, error) ||
        !query_properties(bus, name, &info, &conditions, NULL, error))
        return false;
    info.outdated = info.active && conditions.started_us != 0 &&
                    conditions.changed_ns / 1000 > (int64_t)conditions.started_us;
    const char *state;
    /* Units without a file have no such state: that is no error. */
    bool has_file =
        call_wait(bus, &files, NULL, NULL) && sd_bus_message_read(files.reply, "s", &state) >= 0;
    if (has_file)
        unit_info_set_file_state(&info, state);
    query_rest(bus, name, &conditions, has_file, &info);
    *ret_info = info;
    return true;
}

/* --- jobs */

static int on_job_removed(sd_bus_message *message, void *data, sd_bus_error *ret_error) {
    UnitBus *bus = data;
    uint32_t id;
    const char *path, *unit, *result;
    if (sd_bus_message_read(message, "uoss", &id, &path, &unit, &result) >= 0)
        g_hash_table_insert(bus->results, g_strdup(path), g_strdup(result));
    return 0;
}

static bool hear_jobs(UnitBus *bus, Cancel *cancel, GError **error) {
    g_hash_table_remove_all(bus->results); /* of jobs that others waited for */
    if (bus->job_removed != NULL)
        return true;
    int r = sd_bus_match_signal(bus->bus, &bus->job_removed, NULL, SYSTEMD_PATH, SYSTEMD_MANAGER,
                                "JobRemoved", on_job_removed, bus);
    if (r < 0)
        return set_io_error(error, -r, "listen to systemd");
    g_auto(Call) call = { 0 };
    if (call_manager(bus, &call, cancel, error, "Subscribe", ""))
        return true;
    bus->job_removed = sd_bus_slot_unref(bus->job_removed);
    return false;
}

static bool has_result(UnitBus *bus, void *data) {
    return g_hash_table_contains(bus->results, data);
}

/* A courtesy to the machine: the cancellation is reported anyway. The answer is waited for, since
 * systemd asks the bus who a caller is, and does nothing for one who has gone. */
static void cancel_job(UnitBus *bus, const char *job) {
    const char *slash = strrchr(job, '/');
    uint32_t id = slash != NULL ? (uint32_t)strtoul(slash + 1, NULL, 10) : 0;
    g_autoptr(Cancel) patience = cancel_new(CANCEL_JOB_US);
    g_auto(Call) call = { 0 };
    (void)call_manager(bus, &call, patience, NULL, "CancelJob", "u", id);
}

/* --- what became of it */

/* Exit codes with which systemd says why it could not run a program, see systemd.exec(5). */
static const char *meaning_of_exit(int status) {
    static const struct {
        int status;
        const char *meaning;
    } meanings[] = {
        { 200, "its WorkingDirectory= cannot be entered" },
        { 203, "the program of its ExecStart= cannot be run" },
        { 209, "its standard output cannot be set up" },
        { 216, "its Group= does not exist" },
        { 217, "its User= does not exist" },
        { 226, "its mounts (Protect...=, Private...=, ...Paths=) cannot be set up" },
        { 238, "its StateDirectory= cannot be made" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(meanings); i++)
        if (meanings[i].status == status)
            return meanings[i].meaning;
    return NULL;
}

/* In words; caller frees. */
static char *describe_fate(const ServiceFate *fate) {
    static const struct {
        const char *result, *meaning;
    } meanings[] = {
        { "timeout", "it took longer than it may (TimeoutStartSec=, TimeoutStopSec=)" },
        { "oom-kill", "the kernel killed it because memory ran out" },
        { "start-limit-hit", "it was started too often in a short time (StartLimitBurst=)" },
        { "protocol", "it ended without having said that it was ready (Type=)" },
        { "watchdog", "it did not report in time (WatchdogSec=)" },
        { "resources", "systemd could not prepare what it needs" },
        { "exec-condition", "its ExecCondition= said no" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(meanings); i++)
        if (strcmp(fate->result, meanings[i].result) == 0)
            return g_strdup(meanings[i].meaning);
    if (fate->code == CLD_EXITED && meaning_of_exit(fate->status) != NULL)
        return g_strdup(meaning_of_exit(fate->status));
    if (fate->code == CLD_EXITED)
        return g_strdup_printf("it ended with exit status %d", fate->status);
    if (fate->code == CLD_KILLED || fate->code == CLD_DUMPED)
        return g_strdup_printf("it was ended by signal %d (%s)", fate->status,
                               g_strsignal(fate->status));
    return g_strdup_printf("it failed (%s)", fate->result);
}

/* Where more is to be read, and its end; caller frees. */
static char *journal_hint(const UnitBus *bus, const char *name, uint64_t since_us) {
    g_autofree char *tail = unit_journal_tail(name, bus->session, since_us);
    return g_strdup_printf("; see: journalctl %s-u %s%s%s", bus->session ? "--user " : "", name,
                           *tail != '\0' ? ", which ends with:" : "", tail);
}

/* NULL: the last reload, if any, went well. */
static const char *reload_problem(const ServiceFate *fate) {
    if (fate->reload_result == NULL || strcmp(fate->reload_result, "success") == 0)
        return NULL;
    return strcmp(fate->reload_result, "timeout") == 0
               ? "its ExecReload= took longer than it may (TimeoutStartSec=), so it goes on with "
                 "what it had read before"
               : "its ExecReload= failed, so it goes on with what it had read before";
}

static bool job_error(UnitBus *bus, const char *name, const char *result, uint64_t since_us,
                      GError **error) {
    static const struct {
        const char *result, *meaning;
    } meanings[] = {
        { "canceled", "its job was cancelled by another one" },
        { "timeout", "its job took longer than systemd allows" },
        { "dependency", "a unit that it needs failed" },
        { "invalid", "its job does not fit this unit" },
        { "assert", "an assertion of the unit is not met" },
        { "unsupported", "this system does not support such units" },
        { "collected", "systemd dropped its job" },
    };
    const char *meaning = "it failed";
    for (size_t i = 0; i < G_N_ELEMENTS(meanings); i++)
        if (strcmp(result, meanings[i].result) == 0)
            meaning = meanings[i].meaning;
    g_auto(ServiceFate) fate = { 0 };
    bool known = query_fate(bus, name, &fate);
    g_autofree char *detail = known && strcmp(fate.result, "success") != 0 ? describe_fate(&fate)
                              : known ? g_strdup(reload_problem(&fate))
                                      : NULL;
    if (detail != NULL && strcmp(result, "failed") == 0)
        meaning = detail;
    bool both = detail != NULL && meaning != detail;
    g_autofree char *hint = journal_hint(bus, name, since_us);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED, "%s%s%s%s%s", meaning, both ? " (" : "",
                both ? detail : "", both ? ")" : "", hint);
    return false;
}

/* Whether the process that systemd has made has not become the service's program yet: until then it
 * is called by the program's name in parentheses. */
static bool is_before_exec(unsigned pid) {
    g_autofree char *path = g_strdup_printf("/proc/%u/comm", pid), *text = NULL;
    return pid != 0 && g_file_get_contents(path, &text, NULL, NULL) && *text == '(';
}

static bool ended_error(const UnitBus *bus, const char *name, const ServiceFate *fate,
                        bool restarting, uint64_t since_us, GError **error) {
    bool good = strcmp(fate->result, "success") == 0;
    g_autofree char *how = good ? g_strdup("it ended with success") : describe_fate(fate);
    const char *advice = restarting ? ", and systemd starts it again and again"
                         : good     ? "; a service that is to run stays, or has Type=oneshot and "
                                      "RemainAfterExit=yes"
                                    : "";
    g_autofree char *hint = journal_hint(bus, name, since_us);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED, "it was started and did not last: %s%s%s",
                how, advice, hint);
    return false;
}

/* Of a service of these types systemd says that it is started before it has done anything. */
static bool check_lasts(UnitBus *bus, const char *name, uint64_t since_us, Cancel *cancel,
                        GError **error) {
    int64_t begin = g_get_monotonic_time(), settled = begin;
    for (;;) {
        g_auto(ServiceFate) fate = { 0 };
        UnitInfo info = { 0 };
        UnitConditions conditions = { 0 };
        if (!query_properties(bus, name, &info, &conditions, cancel, error))
            return false;
        if (!query_fate(bus, name, &fate) ||
            (strcmp(fate.type, "simple") != 0 && strcmp(fate.type, "exec") != 0 &&
             strcmp(fate.type, "idle") != 0))
            return true;
        bool stopped = !info.active && strcmp(fate.result, "success") == 0 &&
                       fate.code == CLD_KILLED; /* by somebody: not its fault */
        if (stopped)
            return true;
        if (!info.active || info.restarting)
            return ended_error(bus, name, &fate, info.restarting, since_us, error);
        int64_t now = g_get_monotonic_time();
        if (is_before_exec(fate.pid) && now - begin < EXEC_MAX_US)
            settled = now;
        if (now - settled >= LASTS_US)
            return true;
        g_usleep(LASTS_US / 5);
    }
}

static bool check_conditions(UnitBus *bus, const char *name, Cancel *cancel, GError **error) {
    UnitInfo info = { 0 };
    UnitConditions conditions = { 0 };
    if (!query_properties(bus, name, &info, &conditions, cancel, error))
        return false;
    if (info.active || conditions.met || !conditions.checked)
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED,
                "its conditions are not met, so systemd left it alone; see: systemctl status %s",
                name);
    return false;
}

/* Else systemd may forget a unit, and how it fared, as soon as it has ended. It is let go with the
 * connection. Where that cannot be had, less is known about failures. */
static bool pin_unit(UnitBus *bus, const char *name, Cancel *cancel, GError **error) {
    g_auto(Call) call = { 0 };
    g_autoptr(GError) problem = NULL;
    return call_manager(bus, &call, cancel, &problem, "RefUnit", "s", name) ||
           cancel_check(cancel, error);
}

/* systemd says what is wrong (a cycle, a setting), but not where. */
static bool job_refused(const UnitBus *bus, const char *name, GError **refusal, GError **error) {
    bool ours = !g_error_matches(*refusal, STEAD_ERROR, STEAD_ERROR_FAILED);
    if (!ours && is_going_down(bus))
        return going_down_error(error);
    g_propagate_error(error, g_steal_pointer(refusal));
    if (!ours && error != NULL) {
        g_autofree char *message = g_steal_pointer(&(*error)->message);
        (*error)->message = g_strdup_printf("%s; where: systemd-analyze verify %s", message, name);
    }
    return false;
}

/* Else systemd refuses what was started too often in a short time, though the reason may be mended
 * by now. That it has not failed is no error. */
static bool reset_failed(UnitBus *bus, const char *name, Cancel *cancel, GError **error) {
    g_auto(Call) call = { 0 };
    return call_manager(bus, &call, cancel, NULL, "ResetFailedUnit", "s", name) ||
           cancel_check(cancel, error);
}

static bool run_job(UnitBus *bus, const char *name, const char *method, bool starts, Cancel *cancel,
                    GError **error) {
    g_auto(Call) call = { 0 };
    uint64_t since_us = (uint64_t)g_get_real_time();
    const char *job;
    if (starts && !reset_failed(bus, name, cancel, error))
        return false;
    if (!hear_jobs(bus, cancel, error) || !pin_unit(bus, name, cancel, error))
        return false;
    g_autoptr(GError) refusal = NULL;
    if (!call_manager(bus, &call, cancel, &refusal, method, "ss", name, "replace"))
        return job_refused(bus, name, &refusal, error);
    int r = sd_bus_message_read(call.reply, "o", &job);
    if (r < 0)
        return set_io_error(error, -r, "understand systemd");
    g_autofree char *path = g_strdup(job);
    if (!pump(bus, has_result, path, cancel, error)) {
        if (!cancel_check(cancel, NULL))
            cancel_job(bus, path);
        return false;
    }
    const char *result = g_hash_table_lookup(bus->results, path);
    if (strcmp(result, "done") != 0 && strcmp(result, "skipped") != 0)
        return job_error(bus, name, result, since_us, error);
    return !starts || (check_conditions(bus, name, cancel, error) &&
                       check_lasts(bus, name, since_us, cancel, error));
}

/* --- files of units */

/* Whether the reply, whose next part is a(sss), names any change. */
static bool has_changes(sd_bus_message *reply) {
    return sd_bus_message_enter_container(reply, 'a', "(sss)") > 0 &&
           sd_bus_message_at_end(reply, 0) == 0;
}

static bool daemon_reload(UnitBus *bus, Cancel *cancel, GError **error) {
    g_auto(Call) call = { 0 };
    return call_manager(bus, &call, cancel, error, "Reload", "");
}

static bool enable(UnitBus *bus, const char *name, Cancel *cancel, GError **error) {
    g_auto(Call) call = { 0 };
    int has_install = 1;
    if (!call_manager(bus, &call, cancel, error, "EnableUnitFiles", "asbb", 1, name, 0, 0))
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
    g_auto(Call) call = { 0 };
    if (!call_manager(bus, &call, cancel, error, "MaskUnitFiles", "asbb", 1, name, 0, 0))
        return false;
    return !has_changes(call.reply) || daemon_reload(bus, cancel, error);
}

/* What was done for this boot only is undone as well. */
static bool undo(UnitBus *bus, const char *name, const char *method, Cancel *cancel,
                 GError **error) {
    bool changed = false;
    for (int runtime = 0; runtime < 2; runtime++) {
        g_auto(Call) call = { 0 };
        if (!call_manager(bus, &call, cancel, error, method, "asb", 1, name, runtime))
            return false;
        changed = has_changes(call.reply) || changed;
    }
    return !changed || daemon_reload(bus, cancel, error);
}

/* Though it may be loaded still. */
static bool has_no_file(UnitBus *bus, const char *name, Cancel *cancel) {
    g_auto(Call) call = { 0 };
    g_autoptr(GError) problem = NULL;
    return !call_manager(bus, &call, cancel, &problem, "GetUnitFileState", "s", name) &&
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
    bool known = query_properties(bus, name, &info, &conditions, NULL, NULL);
    return g_strdup(known && conditions.id[0] != '\0' ? conditions.id : name);
}

bool unit_bus_apply(UnitBus *bus, const char *asked, UnitVerb verb, Cancel *cancel,
                    GError **error) {
    bool is_file_verb =
        verb == UNIT_ENABLE || verb == UNIT_DISABLE || verb == UNIT_MASK || verb == UNIT_UNMASK;
    g_autofree char *name = is_file_verb ? own_name(bus, asked) : g_strdup(asked);
    switch (verb) {
    case UNIT_START:
        return run_job(bus, name, "StartUnit", true, cancel, error);
    case UNIT_STOP:
        return run_job(bus, name, "StopUnit", false, cancel, error);
    case UNIT_RESTART:
        return run_job(bus, name, "RestartUnit", true, cancel, error);
    case UNIT_RELOAD:
        return run_job(bus, name, "ReloadOrRestartUnit", true, cancel, error);
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
