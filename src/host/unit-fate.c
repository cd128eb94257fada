#include "host/unit-fate.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/unit-call.h"
#include "host/unit-journal.h"

#define EXEC_MAX_US 5000000 /* how long a new process may take to become its program */
#define LASTS_US    100000  /* how long a started service is looked at */

void service_fate_clear(ServiceFate *fate) {
    g_free(fate->type);
    g_free(fate->result);
    g_free(fate->reload_result);
}

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

bool service_fate_query(UnitBus *bus, const char *name, ServiceFate *fate) {
    g_autofree char *path = unit_object_path(name);
    g_auto(UnitCall) call = { 0 };
    sd_bus_message *message = NULL;
    int r = sd_bus_message_new_method_call(bus->bus, &message, SYSTEMD_NAME, path,
                                           "org.freedesktop.DBus.Properties", "GetAll");
    if (r >= 0)
        r = sd_bus_message_append(message, "s", "org.freedesktop.systemd1.Service");
    if (r < 0) {
        sd_bus_message_unref(message);
        return false;
    }
    if (!g_str_has_suffix(name, ".service") || !unit_call_send(bus, message, &call, NULL) ||
        !unit_call_wait(bus, &call, NULL, NULL) ||
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

bool unit_job_error(UnitBus *bus, const char *name, const char *result, uint64_t since_us,
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
    bool known = service_fate_query(bus, name, &fate);
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
bool unit_check_lasts(UnitBus *bus, const char *name, uint64_t since_us, Cancel *cancel,
                      GError **error) {
    int64_t begin = g_get_monotonic_time(), settled = begin;
    for (;;) {
        g_auto(ServiceFate) fate = { 0 };
        UnitInfo info = { 0 };
        UnitConditions conditions = { 0 };
        if (!unit_query_properties(bus, name, &info, &conditions, cancel, error))
            return false;
        if (!service_fate_query(bus, name, &fate) ||
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
