#include "host/unit-call.h"

#include <errno.h>
#include <poll.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#define CALL_TIMEOUT_US 90000000 /* systemd is busy while it reloads */
#define LOOK_US         1000000  /* how often who waits for systemd asks whether it will answer */
#define PRIVATE_SOCKET  "/run/systemd/private"

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

void unit_call_clear(UnitCall *call) {
    sd_bus_slot_unref(call->slot);
    sd_bus_message_unref(call->reply);
}

static int on_reply(sd_bus_message *message, void *data, sd_bus_error *ret_error) {
    UnitCall *call = data;
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
    g_auto(UnitCall) call = { 0 };
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
bool unit_bus_is_going_down(const UnitBus *bus) {
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

bool unit_going_down_error(GError **error) {
    g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_FAILED,
                        "systemd is shutting down and does nothing else any more; what is left is "
                        "done by the next run");
    return false;
}

bool unit_bus_pump(UnitBus *bus, bool (*is_done)(UnitBus *bus, void *data), void *data,
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
        if (unit_bus_is_going_down(bus))
            return unit_going_down_error(error);
        look_us = g_get_monotonic_time() + LOOK_US;
    }
    return true;
}

static bool has_reply(UnitBus *bus, void *data) {
    return ((const UnitCall *)data)->reply != NULL;
}

bool unit_call_send(UnitBus *bus, sd_bus_message *message, UnitCall *call, GError **error) {
    int r = sd_bus_call_async(bus->bus, &call->slot, message, on_reply, call, CALL_TIMEOUT_US);
    sd_bus_message_unref(message);
    return r >= 0 || set_io_error(error, -r, "talk to systemd");
}

bool unit_call_wait(UnitBus *bus, UnitCall *call, Cancel *cancel, GError **error) {
    if (!unit_bus_pump(bus, has_reply, call, cancel, error))
        return false;
    if (!sd_bus_message_is_method_error(call->reply, NULL))
        return true;
    return unit_set_error(error, sd_bus_message_get_error(call->reply), 0);
}

sd_bus_message *unit_manager_message(UnitBus *bus, const char *method) {
    sd_bus_message *message = NULL;
    int r = sd_bus_message_new_method_call(bus->bus, &message, SYSTEMD_NAME, SYSTEMD_PATH,
                                           SYSTEMD_MANAGER, method);
    g_assert(r >= 0);
    return message;
}

bool unit_call_manager(UnitBus *bus, UnitCall *call, Cancel *cancel, GError **error,
                       const char *method, const char *types, ...) {
    sd_bus_message *message = unit_manager_message(bus, method);
    va_list arguments;
    va_start(arguments, types);
    int r = *types != '\0' ? sd_bus_message_appendv(message, types, arguments) : 0;
    va_end(arguments);
    if (r < 0) {
        sd_bus_message_unref(message);
        return set_io_error(error, -r, "talk to systemd");
    }
    return unit_call_send(bus, message, call, error) && unit_call_wait(bus, call, cancel, error);
}
