#include "lib/run.h"

#include <errno.h>
#include <poll.h>

#include "base/error.h"
#include "lib/error.h"
#include "lib/graph.h"
#include "lib/plan.h"
#include "lib/value.h"

struct stead_event {
    const EngineEvent *event;
    Value *changes; /* made when asked for */
};

/* --- life ------------------------------------------------------------------------------------- */

static void on_engine_event(void *data, const EngineEvent *event) {
    stead_run *run = data;
    if (run->listener)
        run->listener(run->listener_data, event);
    if (event->type == ENGINE_CONVERGED && !run->keep)
        engine_stop(run->engine);
}

stead_run *run_new(stead_machine *machine, const EngineOptions *options, bool keep,
                   GError **error) {
    stead_run *run = g_new0(stead_run, 1);
    run->machine = machine;
    run->keep = keep;
    run->listener = options->listener;
    run->listener_data = options->listener_data;
    run->loop = loop_new(error);
    if (!run->loop) {
        g_free(run);
        return NULL;
    }
    EngineOptions engine = *options;
    engine.loop = run->loop;
    engine.host = machine->host;
    engine.kinds = programs_kinds(machine->programs);
    engine.ledger = machine->ledger;
    engine.state_dir = machine->state_dir;
    engine.listener = on_engine_event;
    engine.listener_data = run;
    run->engine = engine_new(&engine);
    run->restless = true;
    machine->run = run;
    return run;
}

static void tell(void *data, const EngineEvent *engine_event) {
    stead_run *run = data;
    stead_event event = { .event = engine_event };
    if (run->on_event)
        run->on_event(run->data, &event);
    value_unref(event.changes);
}

static uint64_t recheck_failed(const stead_run_options *options) {
    if (options->recheck_failed == UINT64_MAX)
        return 0;
    if (options->recheck_failed == 0 && options->flags & STEAD_RUN_KEEP)
        return ENGINE_RECHECK_FAILED_US;
    return options->recheck_failed;
}

static stead_run *start(stead_machine *machine, Graph *graph, const stead_run_options *options,
                        GError **error) {
    bool keep = options->flags & STEAD_RUN_KEEP, noop = options->flags & STEAD_RUN_NOOP;
    if (machine->run) {
        g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                            "refuse a second run on one machine; free the first, or load into it");
        return NULL;
    }
    bool was_open = machine->ledger != NULL;
    if (!machine_open_ledger(machine, noop ? LEDGER_READ : LEDGER_WRITE, error))
        return NULL;
    EngineOptions engine = {
        .parallel = options->parallel,
        .noop = noop,
        .watch = keep || options->converged_timeout > 0,
        .converged_timeout = options->converged_timeout,
        .recheck_failed = recheck_failed(options),
        .flap_limit = options->flap_limit,
        .configuration = machine->name,
        .take_over = options->flags & STEAD_RUN_TAKE_OVER,
        .approve = options->plan ? plan_approves : NULL,
        .approve_data = (void *)(uintptr_t)options->plan,
        .listener = tell,
    };
    stead_run *run = run_new(machine, &engine, keep, error);
    if (!run) {
        if (!was_open)
            machine_close_ledger(machine);
        return NULL;
    }
    run->listener_data = run;
    run->on_event = options->on_event;
    run->data = options->data;
    run->opened_ledger = !was_open;
    if (engine_load(run->engine, graph, error))
        return run;
    stead_run_free(run);
    return NULL;
}

stead_run *stead_run_new(stead_machine *machine, stead_graph *graph,
                         const stead_run_options *options, stead_error **error) {
    stead_run_options known;
    GError *problem = NULL;
    Graph *sealed = NULL;
    stead_run *run = NULL;
    if (options_read(options, &known, sizeof known, "run options", &problem))
        sealed = graph_of(graph, &problem);
    if (sealed)
        run = start(machine, sealed, &known, &problem);
    if (!run)
        error_give(error, problem);
    return run;
}

void stead_run_free(stead_run *run) {
    if (!run)
        return;
    g_assert(!run->dispatching);
    run->listener = NULL; /* what ends now is told to nobody */
    engine_free(run->engine);
    loop_free(run->loop);
    run->machine->run = NULL;
    if (run->opened_ledger)
        machine_close_ledger(run->machine);
    g_free(run);
}

/* --- the loop --------------------------------------------------------------------------------- */

int stead_run_get_fd(const stead_run *run) {
    return loop_fd(run->loop);
}

/* A dispatch that found nothing to do has set the loop's clock to the next timer, so the descriptor
 * tells of that too. */
int stead_run_prepare(stead_run *run) {
    return run->restless || run->over ? 0 : -1;
}

int stead_run_dispatch(stead_run *run, stead_error **error) {
    GError *problem = NULL;
    g_assert(!run->dispatching);
    if (run->over)
        return 0;
    run->dispatching = true;
    run->restless = false; /* callbacks may ask for something */
    int handled = loop_dispatch(run->loop, &problem);
    run->dispatching = false;
    if (handled < 0) {
        error_give(error, problem);
        return -1;
    }
    run->restless = run->restless || handled > 0;
    run->over = loop_is_quitting(run->loop);
    return run->over ? 0 : 1;
}

/* Not loop_run(), which may call back in another thread. */
bool stead_run_wait(stead_run *run, stead_error **error) {
    struct pollfd ready = { .fd = stead_run_get_fd(run), .events = POLLIN };
    int r;
    while ((r = stead_run_dispatch(run, error)) > 0) {
        int timeout = stead_run_prepare(run);
        if (timeout == 0 || poll(&ready, 1, timeout) >= 0 || errno == EINTR)
            continue;
        GError *problem = NULL;
        (void)set_io_error(&problem, errno, "wait for the run");
        return error_give(error, problem);
    }
    return r == 0;
}

/* --- asking ----------------------------------------------------------------------------------- */

bool stead_run_load(stead_run *run, stead_graph *graph, stead_error **error) {
    GError *problem = NULL;
    Graph *sealed = graph_of(graph, &problem);
    run->restless = true;
    return (sealed && engine_load(run->engine, sealed, &problem)) || error_give(error, problem);
}

const char *stead_run_warning(const stead_run *run) {
    return engine_warning(run->engine);
}

void stead_run_stop(stead_run *run) {
    run->restless = true;
    engine_stop(run->engine);
}

void stead_run_recheck(stead_run *run) {
    run->restless = true;
    engine_recheck(run->engine);
}

void stead_run_retry_failed(stead_run *run) {
    run->restless = true;
    engine_retry_failed(run->engine);
}

void stead_run_get_summary(const stead_run *run, stead_run_summary *ret_summary) {
    EngineSummary summary = engine_summary(run->engine);
    stead_run_summary shown = {
        .total = summary.total,
        .ok = summary.ok,
        .changed = summary.changed,
        .removed = summary.removed,
        .pending = summary.pending,
        .failed = summary.failed,
        .blocked = summary.blocked,
        .unfinished = summary.unfinished,
        .exit_code = summary.exit_code,
    };
    options_write(ret_summary, &shown, sizeof shown);
}

stead_value *stead_run_get_status(const stead_run *run, const char *kind, const char *name) {
    return value_give(engine_status(run->engine, kind, name));
}

bool stead_run_flush(stead_run *run, stead_error **error) {
    GError *problem = NULL;
    Ledger *ledger = run->machine->ledger;
    return !ledger || ledger_flush(ledger, &problem) || error_give(error, problem);
}

/* --- events ----------------------------------------------------------------------------------- */

G_STATIC_ASSERT((int)STEAD_EVENT_OK == (int)ENGINE_OK);
G_STATIC_ASSERT((int)STEAD_EVENT_CHANGED == (int)ENGINE_CHANGED);
G_STATIC_ASSERT((int)STEAD_EVENT_PENDING == (int)ENGINE_PENDING);
G_STATIC_ASSERT((int)STEAD_EVENT_FAILED == (int)ENGINE_FAILED);
G_STATIC_ASSERT((int)STEAD_EVENT_RETRYING == (int)ENGINE_RETRYING);
G_STATIC_ASSERT((int)STEAD_EVENT_NOTE == (int)ENGINE_NOTE);
G_STATIC_ASSERT((int)STEAD_EVENT_REPORTED == (int)ENGINE_REPORTED);
G_STATIC_ASSERT((int)STEAD_EVENT_FLAPPING == (int)ENGINE_FLAPPING);
G_STATIC_ASSERT((int)STEAD_EVENT_WATCH_LOST == (int)ENGINE_WATCH_LOST);
G_STATIC_ASSERT((int)STEAD_EVENT_CONVERGED == (int)ENGINE_CONVERGED);
G_STATIC_ASSERT((int)STEAD_EVENT_DIVERGED == (int)ENGINE_DIVERGED);
G_STATIC_ASSERT((int)STEAD_EVENT_SWAPPED == (int)ENGINE_SWAPPED);

stead_event_type stead_event_get_type(const stead_event *event) {
    return (stead_event_type)event->event->type;
}

const char *stead_event_kind(const stead_event *event) {
    return event->event->resource ? event->event->resource->kind->name : NULL;
}

const char *stead_event_name(const stead_event *event) {
    return event->event->resource ? event->event->resource->name : NULL;
}

const char *stead_event_action(const stead_event *event) {
    return event->event->changes ? action_name(event->event->changes->action) : NULL;
}

const stead_value *stead_event_changes(stead_event *event) {
    if (!event->changes && event->event->changes)
        event->changes = changes_to_value(event->event->changes);
    return value_give(event->changes);
}

const char *stead_event_error(const stead_event *event) {
    return event->event->error ? event->event->error->message : NULL;
}

const char *stead_event_note(const stead_event *event) {
    return event->event->note;
}

bool stead_event_corrective(const stead_event *event) {
    return event->event->corrective;
}

int64_t stead_event_latency(const stead_event *event) {
    return event->event->type == ENGINE_CHANGED ? event->event->latency : -1;
}
