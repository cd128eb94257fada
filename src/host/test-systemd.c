#include "host/test-systemd.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define NAME    "org.freedesktop.systemd1"
#define PATH    "/org/freedesktop/systemd1"
#define MANAGER "org.freedesktop.systemd1.Manager"
#define UNIT    "org.freedesktop.systemd1.Unit"
#define SERVICE "org.freedesktop.systemd1.Service"

typedef struct {
    const char *name;
    const char *load_state, *active_state, *file_state, *result;
    bool condition, started;
    uint32_t slow_job, job; /* 0: none */
} Unit;

struct FakeSystemd {
    char *address;
    pid_t daemon;
    GThread *thread;
    int stop_fd;
    sd_bus *bus;
    uint32_t n_jobs;
    int goes_down; /* atomic */
    int away;      /* atomic: questions that get no answer */
    Unit units[6];
    GMutex lock;
    GString *calls;
};

static void note(FakeSystemd *systemd, const char *method, const char *unit) {
    g_mutex_lock(&systemd->lock);
    g_string_append_printf(systemd->calls, "%s(%s) ", method, unit);
    g_mutex_unlock(&systemd->lock);
}

static char *object_path(const char *unit) {
    char *path = NULL;
    g_assert_cmpint(sd_bus_path_encode(PATH "/unit", unit, &path), >=, 0);
    return path;
}

static Unit *find_unit(FakeSystemd *systemd, const char *name) {
    for (size_t i = 0; i < G_N_ELEMENTS(systemd->units); i++)
        if (strcmp(systemd->units[i].name, name) == 0)
            return &systemd->units[i];
    return NULL;
}

/* --- properties */

/* Of those whose process ends right after its start. */
static bool is_brief(const Unit *unit) {
    return strcmp(unit->name, "brief.service") == 0 || strcmp(unit->name, "loop.service") == 0;
}

static const char *sub_state(const Unit *unit) {
    bool loops = unit->started && strcmp(unit->name, "loop.service") == 0;
    return loops ? "auto-restart" : strcmp(unit->active_state, "active") == 0 ? "running" : "dead";
}

static int get_service_number(sd_bus *bus, const char *path, const char *interface,
                              const char *property, sd_bus_message *reply, void *data,
                              sd_bus_error *error) {
    int number = strcmp(property, "ExecMainCode") == 0     ? CLD_EXITED
                 : strcmp(property, "ExecMainStatus") == 0 ? 203
                                                           : 0;
    bool is_signed = g_str_has_prefix(property, "Exec");
    return is_signed ? sd_bus_message_append(reply, "i", number)
                     : sd_bus_message_append(reply, "u", (unsigned)number);
}

static int get_unit_property(sd_bus *bus, const char *path, const char *interface,
                             const char *property, sd_bus_message *reply, void *data,
                             sd_bus_error *error) {
    g_autofree char *name = NULL;
    sd_bus_path_decode(path, PATH "/unit", &name);
    FakeSystemd *systemd = data;
    if (strcmp(property, "LoadState") == 0 && g_atomic_int_get(&systemd->away) > 0) {
        g_atomic_int_add(&systemd->away, -1);
        return sd_bus_error_set(error, "org.freedesktop.DBus.Error.NoReply",
                                "Message recipient disconnected from message bus without replying");
    }
    const Unit *unit = find_unit(systemd, name);
    const char *text = strcmp(property, "LoadState") == 0  ? (unit ? unit->load_state : "not-found")
                       : strcmp(property, "Result") == 0   ? (unit ? unit->result : "success")
                       : strcmp(property, "SubState") == 0 ? (unit ? sub_state(unit) : "dead")
                       : strcmp(property, "Type") == 0
                           ? (unit && is_brief(unit) ? "simple" : "notify")
                           : (unit ? unit->active_state : "inactive");
    return sd_bus_message_append(reply, "s", text);
}

static int get_unit_flag(sd_bus *bus, const char *path, const char *interface, const char *property,
                         sd_bus_message *reply, void *data, sd_bus_error *error) {
    g_autofree char *name = NULL;
    sd_bus_path_decode(path, PATH "/unit", &name);
    const Unit *unit = find_unit(data, name);
    bool is_condition = strcmp(property, "ConditionResult") == 0;
    bool value = unit != NULL && (is_condition ? unit->condition
                                               : strcmp(property, "CanReload") == 0 &&
                                                     strcmp(name, "good.service") == 0);
    return sd_bus_message_append(reply, "b", (int)value);
}

/* Conditions are checked when a unit is started. */
static int get_unit_time(sd_bus *bus, const char *path, const char *interface, const char *property,
                         sd_bus_message *reply, void *data, sd_bus_error *error) {
    g_autofree char *name = NULL;
    sd_bus_path_decode(path, PATH "/unit", &name);
    const Unit *unit = find_unit(data, name);
    return sd_bus_message_append(reply, "t", (uint64_t)(unit != NULL && unit->started));
}

static int get_unit_job(sd_bus *bus, const char *path, const char *interface, const char *property,
                        sd_bus_message *reply, void *data, sd_bus_error *error) {
    g_autofree char *name = NULL;
    sd_bus_path_decode(path, PATH "/unit", &name);
    const Unit *unit = find_unit(data, name);
    uint32_t job = unit != NULL ? unit->job : 0;
    g_autofree char *object = job != 0 ? g_strdup_printf(PATH "/job/%u", job) : g_strdup("/");
    return sd_bus_message_append(reply, "(uo)", job, object);
}

static const sd_bus_vtable unit_table[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_PROPERTY("Job", "(uo)", get_unit_job, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("LoadState", "s", get_unit_property, 0, 0),
    SD_BUS_PROPERTY("ActiveState", "s", get_unit_property, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("SubState", "s", get_unit_property, 0, 0),
    SD_BUS_PROPERTY("CanReload", "b", get_unit_flag, 0, 0),
    SD_BUS_PROPERTY("NeedDaemonReload", "b", get_unit_flag, 0, 0),
    SD_BUS_PROPERTY("ConditionResult", "b", get_unit_flag, 0, 0),
    SD_BUS_PROPERTY("ConditionTimestamp", "t", get_unit_time, 0, 0),
    SD_BUS_VTABLE_END
};

static const sd_bus_vtable service_table[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_PROPERTY("Result", "s", get_unit_property, 0, 0),
    SD_BUS_PROPERTY("Type", "s", get_unit_property, 0, 0),
    SD_BUS_PROPERTY("ExecMainCode", "i", get_service_number, 0, 0),
    SD_BUS_PROPERTY("ExecMainStatus", "i", get_service_number, 0, 0),
    SD_BUS_PROPERTY("NRestarts", "u", get_service_number, 0, 0),
    SD_BUS_PROPERTY("MainPID", "u", get_service_number, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_VTABLE_END
};

static int find_object(sd_bus *bus, const char *path, const char *interface, void *data,
                       void **ret_found, sd_bus_error *error) {
    *ret_found = data;
    return 1;
}

/* --- jobs */

static void set_active(FakeSystemd *systemd, Unit *unit, const char *state) {
    unit->active_state = state;
    g_autofree char *path = object_path(unit->name);
    sd_bus_emit_properties_changed(systemd->bus, path, SERVICE, "MainPID", NULL);
    sd_bus_emit_properties_changed(systemd->bus, path, UNIT, "ActiveState", "Job", NULL);
}

static void end_job(FakeSystemd *systemd, uint32_t id, const char *unit, const char *result) {
    g_autofree char *job = g_strdup_printf(PATH "/job/%u", id);
    sd_bus_emit_signal(systemd->bus, PATH, MANAGER, "JobRemoved", "uoss", id, job, unit, result);
}

static int on_job(sd_bus_message *message, void *data, sd_bus_error *error) {
    FakeSystemd *systemd = data;
    const char *name, *mode;
    sd_bus_message_read(message, "ss", &name, &mode);
    const char *method = sd_bus_message_get_member(message);
    note(systemd, method, name);
    Unit *unit = find_unit(systemd, name);
    if (unit == NULL)
        return sd_bus_error_setf(error, "org.freedesktop.systemd1.NoSuchUnit", "Unit %s not found.",
                                 name);
    uint32_t id = ++systemd->n_jobs;
    g_autofree char *job = g_strdup_printf(PATH "/job/%u", id);
    sd_bus_reply_method_return(message, "o", job);
    bool stops = strcmp(method, "StopUnit") == 0, starts = !stops;
    unit->started = unit->started || starts;
    if (strcmp(name, "slow.service") == 0 && starts) {
        unit->slow_job = id;
        return 1;
    }
    unit->job = id;
    if (strcmp(method, "RestartUnit") == 0)
        set_active(systemd, unit, "inactive");
    if (starts)
        set_active(systemd, unit, "activating");
    unit->job = 0;
    bool fails = starts && strcmp(name, "bad.service") == 0;
    bool runs = starts && !fails && unit->condition;
    bool loops = starts && strcmp(name, "loop.service") == 0;
    bool ends = starts && strcmp(name, "brief.service") == 0;
    unit->result = fails || loops || ends ? "exit-code" : "success";
    set_active(systemd, unit,
               fails || ends ? "failed"
               : loops       ? "activating"
               : runs        ? "active"
                             : "inactive");
    end_job(systemd, id, name, fails ? "failed" : "done");
    return 1;
}

static int on_cancel_job(sd_bus_message *message, void *data, sd_bus_error *error) {
    FakeSystemd *systemd = data;
    uint32_t id;
    sd_bus_message_read(message, "u", &id);
    Unit *unit = find_unit(systemd, "slow.service");
    note(systemd, "CancelJob", unit->slow_job == id ? unit->name : "?");
    end_job(systemd, id, unit->name, "canceled");
    return sd_bus_reply_method_return(message, NULL);
}

/* --- files */

static int on_file_state(sd_bus_message *message, void *data, sd_bus_error *error) {
    const char *name;
    sd_bus_message_read(message, "s", &name);
    const Unit *unit = find_unit(data, name);
    if (unit == NULL)
        return sd_bus_error_set(error, "org.freedesktop.DBus.Error.FileNotFound", "No such file.");
    return sd_bus_reply_method_return(message, "s", unit->file_state);
}

static int on_files(sd_bus_message *message, void *data, sd_bus_error *error) {
    static const struct {
        const char *method, *state;
    } states[] = { { "EnableUnitFiles", "enabled" },
                   { "DisableUnitFiles", "disabled" },
                   { "MaskUnitFiles", "masked" },
                   { "UnmaskUnitFiles", "disabled" } };
    FakeSystemd *systemd = data;
    const char *name = NULL, *method = sd_bus_message_get_member(message);
    sd_bus_message_enter_container(message, 'a', "s");
    sd_bus_message_read(message, "s", &name);
    note(systemd, method, name);
    Unit *unit = find_unit(systemd, name);
    bool enables = strcmp(method, "EnableUnitFiles") == 0;
    bool changes = false, bare = strcmp(name, "bare.service") == 0 && enables;
    for (size_t i = 0; i < G_N_ELEMENTS(states) && unit != NULL && !bare; i++) {
        if (strcmp(method, states[i].method) != 0)
            continue;
        changes = strcmp(unit->file_state, states[i].state) != 0;
        unit->file_state = states[i].state;
    }
    if (changes)
        sd_bus_emit_signal(systemd->bus, PATH, MANAGER, "UnitFilesChanged", NULL);
    if (enables && changes)
        return sd_bus_reply_method_return(message, "ba(sss)", (int)!bare, 1, "symlink", "a", "b");
    if (enables)
        return sd_bus_reply_method_return(message, "ba(sss)", (int)!bare, 0);
    if (changes)
        return sd_bus_reply_method_return(message, "a(sss)", 1, "unlink", "a", "b");
    return sd_bus_reply_method_return(message, "a(sss)", 0);
}

static int on_load(sd_bus_message *message, void *data, sd_bus_error *error) {
    const char *name;
    sd_bus_message_read(message, "s", &name);
    if (strchr(name, '.') == NULL)
        return sd_bus_error_setf(error, "org.freedesktop.DBus.Error.InvalidArgs",
                                 "Unit name %s is not valid.", name);
    g_autofree char *path = object_path(name);
    return sd_bus_reply_method_return(message, "o", path);
}

static int on_simple(sd_bus_message *message, void *data, sd_bus_error *error) {
    FakeSystemd *systemd = data;
    const char *method = sd_bus_message_get_member(message);
    if (strcmp(method, "Reload") == 0) {
        note(systemd, "Reload", "");
        sd_bus_emit_signal(systemd->bus, PATH, MANAGER, "Reloading", "b", 1);
        sd_bus_emit_signal(systemd->bus, PATH, MANAGER, "Reloading", "b", 0);
    }
    return sd_bus_reply_method_return(message, NULL);
}

static int get_system_state(sd_bus *bus, const char *path, const char *interface,
                            const char *property, sd_bus_message *reply, void *data,
                            sd_bus_error *error) {
    FakeSystemd *systemd = data;
    bool goes_down = g_atomic_int_get(&systemd->goes_down);
    return sd_bus_message_append(reply, "s", goes_down ? "stopping" : "running");
}

static const sd_bus_vtable manager_table[] = {
    SD_BUS_VTABLE_START(SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_PROPERTY("SystemState", "s", get_system_state, 0, 0),
    SD_BUS_METHOD("Subscribe", "", "", on_simple, 0),
    SD_BUS_METHOD("Reload", "", "", on_simple, 0),
    SD_BUS_METHOD("RefUnit", "s", "", on_simple, 0),
    SD_BUS_METHOD("LoadUnit", "s", "o", on_load, 0),
    SD_BUS_METHOD("StartUnit", "ss", "o", on_job, 0),
    SD_BUS_METHOD("StopUnit", "ss", "o", on_job, 0),
    SD_BUS_METHOD("RestartUnit", "ss", "o", on_job, 0),
    SD_BUS_METHOD("ReloadOrRestartUnit", "ss", "o", on_job, 0),
    SD_BUS_METHOD("CancelJob", "u", "", on_cancel_job, 0),
    SD_BUS_METHOD("GetUnitFileState", "s", "s", on_file_state, 0),
    SD_BUS_METHOD("EnableUnitFiles", "asbb", "ba(sss)", on_files, 0),
    SD_BUS_METHOD("DisableUnitFiles", "asb", "a(sss)", on_files, 0),
    SD_BUS_METHOD("MaskUnitFiles", "asbb", "a(sss)", on_files, 0),
    SD_BUS_METHOD("UnmaskUnitFiles", "asb", "a(sss)", on_files, 0),
    SD_BUS_SIGNAL("JobRemoved", "uoss", 0),
    SD_BUS_SIGNAL("UnitFilesChanged", "", 0),
    SD_BUS_SIGNAL("Reloading", "b", 0),
    SD_BUS_VTABLE_END
};

/* --- life */

static gpointer serve(gpointer data) {
    FakeSystemd *systemd = data;
    for (;;) {
        int r = sd_bus_process(systemd->bus, NULL);
        if (r < 0)
            return NULL; /* the bus was killed */
        if (r > 0)
            continue;
        struct pollfd fds[2] = {
            { .fd = sd_bus_get_fd(systemd->bus), .events = (short)sd_bus_get_events(systemd->bus) },
            { .fd = systemd->stop_fd, .events = POLLIN },
        };
        if (poll(fds, 2, -1) > 0 && fds[1].revents != 0)
            return NULL;
    }
}

static const char config[] = "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus "
                             "Configuration 1.0//EN\" \"http://www.freedesktop.org/standards/dbus/"
                             "1.0/busconfig.dtd\"><busconfig><listen>%s</listen>"
                             "<auth>EXTERNAL</auth><policy context=\"default\"><allow own=\"*\"/>"
                             "<allow send_destination=\"*\"/><allow receive_sender=\"*\"/></policy>"
                             "</busconfig>\n";

/* An abstract socket, and a configuration that is read once: nothing can be left behind. */
static bool start_daemon(FakeSystemd *systemd) {
    static unsigned n_daemons;
    g_autofree char *program = g_find_program_in_path("dbus-daemon");
    if (program == NULL)
        return false;
    systemd->address = g_strdup_printf("unix:abstract=stead-test-%d-%u", getpid(), n_daemons++);
    g_autofree char *text = g_strdup_printf(config, systemd->address);
    int fd = memfd_create("config", 0);
    g_assert_cmpint(write(fd, text, strlen(text)), ==, (ssize_t)strlen(text));
    g_autofree char *option = g_strdup_printf("--config-file=/dev/fd/%d", fd);
    systemd->daemon = fork();
    if (systemd->daemon == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execl(program, "dbus-daemon", "--nofork", "--nopidfile", option, NULL);
        _exit(127);
    }
    close(fd);
    g_setenv("DBUS_SYSTEM_BUS_ADDRESS", systemd->address, TRUE);
    return true;
}

static int open_bus(sd_bus **ret_bus) {
    int r = -ECONNREFUSED;
    for (int i = 0; i < 60000 && r < 0; i++, g_usleep(1000))
        r = sd_bus_open_system(ret_bus);
    return r;
}

FakeSystemd *fake_systemd_new(void) {
    FakeSystemd *systemd = g_new0(FakeSystemd, 1);
    systemd->units[0] = (Unit){ "good.service", "loaded", "inactive", "disabled", "success", true };
    systemd->units[1] = (Unit){ "bad.service", "loaded", "inactive", "disabled", "success", true };
    systemd->units[2] = (Unit){ "slow.service", "loaded", "inactive", "disabled", "success", true };
    systemd->units[4] = (Unit){ "brief.service", "loaded", "inactive", "static", "success", true };
    systemd->units[5] = (Unit){ "loop.service", "loaded", "inactive", "static", "success", true };
    systemd->units[3] = (Unit){ "bare.service", "loaded", "inactive", "static", "success", false };
    systemd->calls = g_string_new(NULL);
    systemd->stop_fd = eventfd(0, EFD_CLOEXEC);
    g_mutex_init(&systemd->lock);
    if (!start_daemon(systemd)) {
        fake_systemd_free(systemd);
        return NULL;
    }
    g_assert_cmpint(open_bus(&systemd->bus), >=, 0);
    g_assert_cmpint(
        sd_bus_add_object_vtable(systemd->bus, NULL, PATH, MANAGER, manager_table, systemd), >=, 0);
    g_assert_cmpint(sd_bus_add_fallback_vtable(systemd->bus, NULL, PATH "/unit", UNIT, unit_table,
                                               find_object, systemd),
                    >=, 0);
    g_assert_cmpint(sd_bus_add_fallback_vtable(systemd->bus, NULL, PATH "/unit", SERVICE,
                                               service_table, find_object, systemd),
                    >=, 0);
    g_assert_cmpint(sd_bus_request_name(systemd->bus, NAME, 0), >=, 0);
    systemd->thread = g_thread_new("systemd", serve, systemd);
    return systemd;
}

void fake_systemd_go_away(FakeSystemd *systemd, unsigned questions) {
    g_atomic_int_set(&systemd->away, (int)questions);
}

void fake_systemd_kill_bus(FakeSystemd *systemd) {
    kill(systemd->daemon, SIGKILL);
    waitpid(systemd->daemon, NULL, 0);
    systemd->daemon = 0;
}

void fake_systemd_go_down(FakeSystemd *systemd) {
    g_atomic_int_set(&systemd->goes_down, 1);
}

void fake_systemd_free(FakeSystemd *systemd) {
    if (systemd == NULL)
        return;
    if (systemd->thread != NULL) {
        eventfd_write(systemd->stop_fd, 1);
        g_thread_join(systemd->thread);
    }
    sd_bus_close_unref(systemd->bus);
    if (systemd->daemon > 0)
        fake_systemd_kill_bus(systemd);
    close(systemd->stop_fd);
    g_string_free(systemd->calls, TRUE);
    g_free(systemd->address);
    g_free(systemd);
}

void fake_systemd_call(FakeSystemd *systemd, const char *method, const char *unit) {
    sd_bus *bus = NULL;
    g_assert_cmpint(open_bus(&bus), >=, 0);
    bool enables = g_str_has_prefix(method, "Enable") || g_str_has_prefix(method, "Mask");
    int r;
    if (strcmp(method, "Reload") == 0)
        r = sd_bus_call_method(bus, NAME, PATH, MANAGER, method, NULL, NULL, NULL);
    else if (g_str_has_suffix(method, "Files") && enables)
        r = sd_bus_call_method(bus, NAME, PATH, MANAGER, method, NULL, NULL, "asbb", 1, unit, 0, 0);
    else if (g_str_has_suffix(method, "Files"))
        r = sd_bus_call_method(bus, NAME, PATH, MANAGER, method, NULL, NULL, "asb", 1, unit, 0);
    else
        r = sd_bus_call_method(bus, NAME, PATH, MANAGER, method, NULL, NULL, "ss", unit, "replace");
    g_assert_cmpint(r, >=, 0);
    sd_bus_flush_close_unref(bus);
}

char *fake_systemd_take_calls(FakeSystemd *systemd) {
    g_mutex_lock(&systemd->lock);
    char *calls = g_string_free(systemd->calls, FALSE);
    systemd->calls = g_string_new(NULL);
    g_mutex_unlock(&systemd->lock);
    return calls;
}
