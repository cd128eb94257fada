/* Jobs of systemd: queued, waited for, and what became of them. */
#include <stdlib.h>
#include <string.h>

#include "host/unit-call.h"
#include "host/unit-fate.h"

#define CANCEL_JOB_US 1000000

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
    g_auto(UnitCall) call = { 0 };
    if (unit_call_manager(bus, &call, cancel, error, "Subscribe", ""))
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
    g_auto(UnitCall) call = { 0 };
    (void)unit_call_manager(bus, &call, patience, NULL, "CancelJob", "u", id);
}

static bool check_conditions(UnitBus *bus, const char *name, Cancel *cancel, GError **error) {
    UnitInfo info = { 0 };
    UnitConditions conditions = { 0 };
    if (!unit_query_properties(bus, name, &info, &conditions, cancel, error))
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
    g_auto(UnitCall) call = { 0 };
    g_autoptr(GError) problem = NULL;
    return unit_call_manager(bus, &call, cancel, &problem, "RefUnit", "s", name) ||
           cancel_check(cancel, error);
}

/* systemd says what is wrong (a cycle, a setting), but not where. */
static bool job_refused(const UnitBus *bus, const char *name, GError **refusal, GError **error) {
    bool ours = !g_error_matches(*refusal, STEAD_ERROR, STEAD_ERROR_FAILED);
    if (!ours && unit_bus_is_going_down(bus))
        return unit_going_down_error(error);
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
    g_auto(UnitCall) call = { 0 };
    return unit_call_manager(bus, &call, cancel, NULL, "ResetFailedUnit", "s", name) ||
           cancel_check(cancel, error);
}

bool unit_job_run(UnitBus *bus, const char *name, const char *method, bool starts, Cancel *cancel,
                  GError **error) {
    g_auto(UnitCall) call = { 0 };
    uint64_t since_us = (uint64_t)g_get_real_time();
    const char *job;
    if (starts && !reset_failed(bus, name, cancel, error))
        return false;
    if (!hear_jobs(bus, cancel, error) || !pin_unit(bus, name, cancel, error))
        return false;
    g_autoptr(GError) refusal = NULL;
    if (!unit_call_manager(bus, &call, cancel, &refusal, method, "ss", name, "replace"))
        return job_refused(bus, name, &refusal, error);
    int r = sd_bus_message_read(call.reply, "o", &job);
    if (r < 0)
        return set_io_error(error, -r, "understand systemd");
    g_autofree char *path = g_strdup(job);
    if (!unit_bus_pump(bus, has_result, path, cancel, error)) {
        if (!cancel_check(cancel, NULL))
            cancel_job(bus, path);
        return false;
    }
    const char *result = g_hash_table_lookup(bus->results, path);
    if (strcmp(result, "done") != 0 && strcmp(result, "skipped") != 0)
        return unit_job_error(bus, name, result, since_us, error);
    return !starts || (check_conditions(bus, name, cancel, error) &&
                       unit_check_lasts(bus, name, since_us, cancel, error));
}
