/* stead agent: converges and keeps converged until it is stopped. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent.h"
#include "cli/agent-join.h"
#include "cli/agent-log.h"
#include "cli/agent-renew.h"
#include "cli/commands.h"
#include "cli/exchange-of.h"
#include "cli/joined.h"
#include "cli/session.h"
#include "cli/store-option.h"
#include "kinds/kinds.h"

#define DEFAULT_FLAP_LIMIT 10
#define RECHECK_FAILED_US  (600 * (uint64_t)G_USEC_PER_SEC)

typedef struct {
    Session *session;
    Agent *agent;
    AgentLog *log;
    Store *hub; /* the store is that of the hub; or NULL */
} Watch;

static void on_event(void *data, const EngineEvent *event) {
    Watch *watch = data;
    agent_log_event(watch->log, watch->agent, event);
}

static void on_problems(void *data, const GPtrArray *problems) {
    Watch *watch = data;
    printer_problems(watch->session->printer, problems);
    if (watch->agent)
        printer_warning(watch->session->printer,
                        "the new configuration has problems; keeping to the one that runs");
}

static void on_warning(void *data, const char *text) {
    Watch *watch = data;
    printer_warning(watch->session->printer, "%s", text);
}

static void on_stop(void *data, int signal_number) {
    Watch *watch = data;
    agent_log_stopping(watch->log, watch->agent, signal_number);
    agent_stop(watch->agent);
}

static void on_hangup(void *data, int signal_number) {
    Watch *watch = data;
    engine_retry_failed(agent_engine(watch->agent));
    agent_reload(watch->agent);
}

static void on_renewal(void *data, bool failed, const char *text) {
    Watch *watch = data;
    g_autoptr(GError) error = NULL;
    if (failed)
        printer_warning(watch->session->printer, "%s", text);
    else
        printer_line(watch->session->printer, STYLE_PLAIN, "%s", text);
    if (!failed && watch->hub &&
        !store_renew_joined(watch->hub, watch->session->machine->state_dir, &error))
        printer_warning(watch->session->printer, "use the renewed certificate: %s", error->message);
}

static int keep(Watch *watch, Loop *loop, const AgentOptions *options) {
    Printer *printer = watch->session->printer;
    g_autoptr(GError) error = NULL;
    g_autoptr(Agent) agent = watch->agent = NULL;
    agent = agent_new(options, &error);
    if (!agent) {
        if (!g_error_matches(error, STEAD_ERROR, STEAD_ERROR_CONFIG))
            printer_error(printer, error);
        return EXIT_REFUSED;
    }
    watch->agent = agent;
    g_autoptr(LoopSource) on_int = loop_watch_signal(loop, SIGINT, on_stop, watch, &error);
    g_autoptr(LoopSource) on_term =
        on_int ? loop_watch_signal(loop, SIGTERM, on_stop, watch, &error) : NULL;
    g_autoptr(LoopSource) on_hup =
        on_term ? loop_watch_signal(loop, SIGHUP, on_hangup, watch, &error) : NULL;
    g_autofree char *membership =
        g_build_filename(watch->session->machine->state_dir, JOIN_DIRECTORY, NULL);
    g_autoptr(Renewal) renewal = renewal_new(loop, membership, on_renewal, watch);
    if (!on_hup || !agent_run(agent, &error) ||
        !ledger_flush(watch->session->machine->ledger, &error)) {
        printer_error(printer, error);
        return EXIT_FAILURES;
    }
    EngineSummary summary = engine_summary(agent_engine(agent));
    agent_log_stopped(watch->log, agent);
    return summary.exit_code >= 0 ? summary.exit_code : EXIT_DONE;
}

static int run(const Arguments *arguments, char **words) {
    if (words[1]) {
        if (strcmp(words[0], "join") == 0)
            return agent_join(arguments, words[1]);
        fprintf(stderr, "stead agent: too many arguments; see 'stead agent --help'\n");
        return EXIT_REFUSED;
    }
    g_autoptr(Session) session = session_open(arguments);
    if (!session || !session_find_kinds(session, words[0]) ||
        !session_open_ledger(session, LEDGER_WRITE, "agent"))
        return EXIT_REFUSED;
    g_autoptr(GError) error = NULL;
    g_autoptr(Loop) loop = loop_new(&error);
    if (!loop) {
        printer_error(session->printer, error);
        return EXIT_REFUSED;
    }
    g_auto(ExchangeOf) exchange = { .host = NULL };
    if (!exchange_of_session(session, loop, &exchange))
        return EXIT_REFUSED;
    g_autofree char *configuration = session_configuration(session, words[0]);
    uint64_t converged_timeout = (uint64_t)(arguments->converged_timeout * 1e6);
    printer_be_log(session->printer, arguments);
    g_autoptr(AgentLog) log = agent_log_new(
        session->printer, configuration ? configuration : words[0], converged_timeout);
    Watch watch = { .session = session,
                    .log = log,
                    .hub = exchange.is_hub ? exchange.options.store : NULL };
    g_autofree char *socket = g_build_filename(session->machine->state_dir, "agent.sock", NULL);
    AgentOptions options = {
        .loop = loop,
        .host = session->machine->host,
        .ledger = session->machine->ledger,
        .file = words[0],
        .socket = socket,
        .inputs = session_inputs(session),
        .values_file = arguments->values,
        .secrets_file = arguments->secrets,
        .exchange = exchange.options,
        .engine = {
            .parallel = (unsigned)MAX(0, arguments->parallel),
            .noop = arguments->noop,
            .sema = arguments->sema,
            .recheck_failed = RECHECK_FAILED_US,
            .flap_limit = arguments->flap < 0 ? DEFAULT_FLAP_LIMIT : (unsigned)arguments->flap,
            .converged_timeout = converged_timeout,
            .state_dir = session->machine->state_dir,
            .configuration = configuration,
            .take_over = arguments->replace,
        },
        .listener = {
            .event = on_event,
            .problems = on_problems,
            .warning = on_warning,
            .data = &watch,
        },
    };
    return keep(&watch, loop, &options);
}

static const Option *const options[] = {
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
    &option_sema,
    &option_parallel,
    &option_flap,
    &option_converged_timeout,
    &option_no_autoedges,
    &option_replace,
    &option_join_token,
    &option_ca_fingerprint,
    &option_json,
    &option_quiet,
    &option_verbose,
    &option_no_color,
    NULL,
};

const Command command_agent = {
    .name = "agent",
    .arguments = "FILE | join URL",
    .min_arguments = 1,
    .max_arguments = 2,
    .summary = "Converge and keep converged",
    .help =
        "Makes the host what FILE declares and keeps it so: every drift is repaired when it "
        "happens. FILE\n"
        "and all it reads are watched: an edit takes effect at once and touches only what differs; "
        "one\n"
        "with problems is reported and the running configuration kept. SIGHUP evaluates again and\n"
        "retries what failed. `stead status` and `stead why` ask the running agent.\n\n"
        "join URL makes this machine a member of the fleet whose hub is at URL, as `stead token "
        "new --host`\n"
        "says: the key is made here and never sent, the hub's certificate for it is kept in hub/ "
        "of the state\n"
        "directory.",
    .example = "stead agent /etc/stead/site.lua",
    .options = options,
    .run = run,
};
