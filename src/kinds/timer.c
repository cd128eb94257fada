/* timer: an event at each interval, for those that it notifies. */
#include "graph/watcher.h"
#include "kinds/kinds.h"

enum { TIMER_INTERVAL };

static const Param timer_params[] = {
    [TIMER_INTERVAL] = { "interval", PARAM_DURATION, PARAM_REQUIRED | PARAM_REWATCH,
                         "Time between two events; a bare number is seconds.", .unit = "s" },
};

static bool timer_validate(const Resource *resource, GError **error) {
    if (resource_int(resource, TIMER_INTERVAL, 0) > 0)
        return true;
    g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "interval must be above zero");
    return false;
}

static bool timer_observe(KindRun *run, State *actual, GError **error) {
    actual->exists = true;
    return true;
}

/* The first round only proves that the timer is there: it has not fired yet. */
static bool timer_diff(KindRun *run, const State *actual, Changes *changes, GError **error) {
    if (run->reason == REASON_EVENT)
        changes->action = ACTION_RUN;
    else if (run->refresh && run->reason != REASON_VERIFY)
        changes->action = ACTION_RESTART;
    else
        return true;
    Value *interval = value_ref(resource_get(run->resource, TIMER_INTERVAL));
    changes_add(changes, "interval", NULL, interval, NULL);
    return true;
}

static bool timer_apply(KindRun *run, const State *actual, const Changes *changes, GError **error) {
    if (run->refresh)
        run->rearm = true;
    return true;
}

static bool timer_watch(Watcher *watcher, const Resource *resource, GError **error) {
    watcher_interval(watcher, (uint64_t)resource_int(resource, TIMER_INTERVAL, 0));
    return true;
}

const Kind kind_timer = {
    .name = "timer",
    .summary = "Notify other resources at an interval",
    .help = "An agent counts each interval as a change of this resource, so that everything it "
            "notifies is refreshed: commands run again, services reload. A notification of the "
            "timer itself makes it count from zero.\n\n"
            "In a one-shot `stead apply` it never fires. The first event comes one interval after "
            "the start, and what happens while a refresh is still running is not repeated. It ends "
            "with the agent. For work that the machine itself does at given times use the kinds "
            "systemd_timer or cron.",
    .example = "timer \"hourly\" { interval = \"1h\", notify = exec \"collect\" }\n"
               "exec \"collect\" { cmd = \"/usr/local/bin/collect\", refreshonly = true }\n",
    .params = timer_params,
    .n_params = G_N_ELEMENTS(timer_params),
    .flags = KIND_INLINE | KIND_STATELESS | KIND_RESTARTS | KIND_REFRESHES,
    .validate = timer_validate,
    .observe = timer_observe,
    .diff = timer_diff,
    .apply = timer_apply,
    .watch = timer_watch,
};
