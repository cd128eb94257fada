/* stead apply: converges once and exits. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/plural.h"
#include "cli/commands.h"
#include "cli/exchange-of.h"
#include "cli/over-ssh.h"
#include "cli/saved-plan.h"
#include "cli/store-option.h"
#include "lib/plan.h"
#include "lib/run.h"

typedef struct {
    Session *session;
    Engine *engine;
    unsigned interrupts;
    bool timed_out;
    unsigned done;
    unsigned total;
    Loop *loop;
    uint64_t started; /* loop time */
    LoopTimer *tick;  /* shows what takes long */
} Apply;

#define TICK_US 1000000

static void on_event(void *data, const EngineEvent *event) {
    Apply *apply = data;
    printer_event(apply->session->printer, event);
    if (event->type <= ENGINE_FAILED)
        apply->done++;
    if (event->resource)
        printer_progress(apply->session->printer, "%u of %u %s, %s '%s'",
                         MIN(apply->done, apply->total), apply->total,
                         plural(apply->total, "resource", "resources"), event->resource->kind->name,
                         event->resource->name);
}

static void name_first(void *data, const Resource *resource) {
    char **name = data;
    if (!*name)
        *name = resource_show(resource);
}

/* What runs right now, with the seconds so far: nothing else may happen for long. */
static void on_tick(void *data) {
    Apply *apply = data;
    Loop *loop = apply->loop;
    g_autofree char *name = NULL;
    unsigned n = engine_visit_running(apply->engine, name_first, &name);
    g_autofree char *more = n > 1 ? g_strdup_printf(" and %u more", n - 1) : g_strdup("");
    if (n > 0)
        printer_progress(apply->session->printer, "%u of %u %s, working on %s%s (%u s)",
                         MIN(apply->done, apply->total), apply->total,
                         plural(apply->total, "resource", "resources"), name, more,
                         (unsigned)((loop_now(loop) - apply->started) / TICK_US));
    loop_timer_set(loop, &apply->tick, loop_now(loop) + TICK_US, on_tick, apply);
}

static void on_signal(void *data, int signal_number) {
    Apply *apply = data;
    static const char *const steps[] = {
        "finishing what runs; interrupt again to cancel it",
        "cancelling; interrupt again to kill",
        "killing",
    };
    printer_warning(apply->session->printer, "interrupted: %s",
                    steps[MIN(apply->interrupts, G_N_ELEMENTS(steps) - 1)]);
    apply->interrupts++;
    engine_stop(apply->engine);
}

static void on_timeout(void *data) {
    Apply *apply = data;
    apply->timed_out = true;
    engine_stop(apply->engine);
    engine_stop(apply->engine);
}

static int exit_code(const Apply *apply, const EngineSummary *summary) {
    if (apply->interrupts > 0)
        return EXIT_INTERRUPTED;
    if (summary->exit_code >= 0)
        return summary->exit_code;
    int code = EXIT_DONE;
    if (summary->failed > 0)
        code |= EXIT_FAILURES;
    else if (apply->timed_out || summary->blocked + summary->unfinished > 0)
        return EXIT_BLOCKED;
    bool changed = summary->changed + summary->removed + summary->pending > 0;
    if (apply->session->arguments->detailed_exitcode && changed)
        code |= EXIT_CHANGED;
    return code;
}

/* What to converge, and how. */
typedef struct {
    Graph *graph;
    const char *configuration; /* path of what it was made from */
    bool take_over;
    const char *const *force; /* as in EngineOptions */
    Plan *plan;               /* limits what may be changed; NULL: nothing does */
} Task;

/* Loads graph and runs until all is done or somebody interrupts. */
static bool run_to_end(Apply *apply, Loop *loop, Graph *graph, GError **error) {
    double timeout_s = apply->session->arguments->timeout;
    LoopTimer *timeout = NULL;
    g_autoptr(LoopSource) on_int = loop_watch_signal(loop, SIGINT, on_signal, apply, error);
    g_autoptr(LoopSource) on_term =
        on_int ? loop_watch_signal(loop, SIGTERM, on_signal, apply, error) : NULL;
    if (!on_term)
        return false;
    if (timeout_s > 0)
        loop_timer_set(loop, &timeout, loop_now(loop) + (uint64_t)(timeout_s * 1e6), on_timeout,
                       apply);
    apply->loop = loop;
    apply->started = loop_now(loop);
    printer_show_places(apply->session->printer);
    if (printer_shows_progress(apply->session->printer))
        loop_timer_set(loop, &apply->tick, apply->started + TICK_US, on_tick, apply);
    bool ran = engine_load(apply->engine, graph, error);
    if (engine_warning(apply->engine))
        printer_warning(apply->session->printer, "%s", engine_warning(apply->engine));
    ran = ran && loop_run(loop, error);
    loop_timer_clear(&timeout);
    loop_timer_clear(&apply->tick);
    return ran;
}

static void tell_blocked(void *data, const Value *status) {
    if (strcmp(value_map_string(status, "state", ""), "blocked") == 0)
        printer_blocked(data, status);
}

static int run_and_sum_up(Apply *apply, Loop *loop, Graph *graph) {
    Session *session = apply->session;
    Ledger *ledger = session->machine->ledger;
    g_autoptr(GError) error = NULL;
    uint64_t started = loop_now(loop);
    bool ran = run_to_end(apply, loop, graph, &error);
    EngineSummary summary = engine_summary(apply->engine);
    if (!ran || (ledger && !ledger_flush(ledger, &error))) {
        printer_error(session->printer, error);
        return ran ? EXIT_FAILURES : EXIT_REFUSED;
    }
    if (summary.blocked > 0)
        engine_visit_status(apply->engine, tell_blocked, session->printer);
    printer_summary(session->printer, &summary, loop_now(loop) - started);
    int code = exit_code(apply, &summary);
    if (apply->interrupts == 0 && !apply->timed_out)
        session_exit(session, code);
    return code;
}

static int converge(Session *session, const Task *task) {
    const Arguments *arguments = session->arguments;
    g_autoptr(GError) error = NULL;
    Apply apply = { .session = session, .total = graph_size(task->graph) };
    EngineOptions options = {
        .parallel = (unsigned)MAX(0, arguments->parallel),
        .noop = arguments->noop,
        .sema = arguments->sema,
        .watch = arguments->converged_timeout > 0,
        .converged_timeout = (uint64_t)(arguments->converged_timeout * 1e6),
        .configuration = task->configuration,
        .take_over = task->take_over,
        .force = task->force,
        .approve = task->plan ? plan_approves : NULL,
        .approve_data = task->plan,
        .listener = on_event,
        .listener_data = &apply,
    };
    stead_run *run = run_new(session->machine, &options, false, &error);
    if (!run) {
        printer_error(session->printer, error);
        return EXIT_REFUSED;
    }
    apply.engine = run->engine;
    int code = run_and_sum_up(&apply, run->loop, task->graph);
    stead_run_free(run);
    return code;
}

/* --- saved plans ------------------------------------------------------------------------------ */

static int apply_plan(Session *session, const char *file, const Value *saved) {
    g_autoptr(GError) error = NULL;
    g_autoptr(Graph) graph = saved_plan_graph(session, file, saved, &error);
    g_autoptr(Plan) plan = NULL;
    g_auto(GStrv) force = saved_plan_force(session, saved);
    PlanWishes wishes = { .parallel = (unsigned)MAX(0, session->arguments->parallel),
                          .force = (const char *const *)force };
    if (!graph || !(plan = machine_plan(session->machine, graph, &wishes, &error)) ||
        !plan_matches(plan, saved, &error)) {
        printer_error(session->printer, error);
        return EXIT_REFUSED;
    }
    g_autofree char *configuration =
        session_configuration(session, value_map_string(saved, "configuration", file));
    Task task = {
        .graph = graph,
        .configuration = configuration,
        .take_over = session->arguments->replace || value_map_bool(saved, "replace", false),
        .force = (const char *const *)force,
        .plan = plan,
    };
    return converge(session, &task);
}

static int run(const Arguments *arguments, char **words) {
    if (arguments->ssh)
        return over_ssh(arguments, "apply", words[0]);
    if (arguments->keep || arguments->watch || arguments->may_publish || arguments->exchange_ttl) {
        fputs("stead apply: --keep, --watch, --may-publish and --exchange-ttl go with --ssh HOSTS; "
              "here, 'stead agent FILE' keeps watching\n",
              stderr);
        return EXIT_REFUSED;
    }
    g_autoptr(Session) session = session_open(arguments);
    if (!session)
        return EXIT_REFUSED;
    /* A catalog of Puppet ends in .json as well: it is a configuration. */
    g_autoptr(Value) saved = g_str_has_suffix(words[0], ".json") ? saved_plan_load(words[0]) : NULL;
    if (saved) {
        if (!session_open_ledger(session, LEDGER_WRITE, "apply"))
            return EXIT_REFUSED;
        return apply_plan(session, words[0], saved);
    }
    g_auto(LangResult) result = { 0 };
    LedgerMode mode = arguments->noop ? LEDGER_READ : LEDGER_WRITE;
    if (!exchange_of_file(session, words[0]) ||
        !session_load_beside_ledger(session, words[0], mode, "apply", &result))
        return EXIT_REFUSED;
    g_autofree char *configuration = session_configuration(session, words[0]);
    Task task = {
        .graph = result.graph,
        .configuration = configuration,
        .take_over = arguments->replace,
        .force = (const char *const *)arguments->force,
    };
    return converge(session, &task);
}

static const Option option_watch = {
    "watch",
    0,
    G_OPTION_ARG_NONE,
    offsetof(Arguments, watch),
    NULL,
    "With --ssh: keep the hosts converged, also with each new version of FILE, until interrupted",
};

static const Option *const options[] = {
    &option_ssh,
    &option_watch,
    &option_keep,
    &option_root,
    &option_state,
    &option_kinds,
    &option_values,
    &option_secrets,
    &option_env,
    &option_exchange,
    &option_exchange_host,
    &option_may_publish,
    &option_exchange_ttl,
    &option_store_ca,
    &option_store_cert,
    &option_store_key,
    &option_store_user,
    &option_store_password_file,
    &option_noop,
    &option_replace,
    &option_force,
    &option_sema,
    &option_parallel,
    &option_converged_timeout,
    &option_timeout,
    &option_verify,
    &option_no_autoedges,
    &option_detailed_exitcode,
    &option_json,
    &option_quiet,
    &option_verbose,
    &option_no_color,
    NULL,
};

const Command command_apply = {
    .name = "apply",
    .arguments = "FILE",
    .min_arguments = 1,
    .max_arguments = 1,
    .summary = "Converge once and exit",
    .help =
        "Makes the host what FILE declares: everything that has no unmet dependency at once, "
        "in parallel.\n"
        "FILE is a configuration or a plan saved with `stead plan --out`. What left the "
        "configuration\n"
        "since the last run is removed or restored; when it did because another FILE was "
        "applied before,\n"
        "that is refused without --replace; what would lose data that way, without --force for "
        "it.\n"
        "A resource that fails blocks only what depends on it. The first interrupt finishes "
        "what runs, the second cancels it, the third kills "
        "commands;\n"
        "running again goes on where it stopped and loses no notification.\n"
        "With --ssh the hosts need nothing but ssh and root's rights: stead goes there with its "
        "libraries and\n"
        "the directory of FILE, and leaves again; see doc/remote.md.",
    .example = "stead apply site.lua --root /srv/image",
    .options = options,
    .run = run,
};
