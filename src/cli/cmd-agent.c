/* stead agent: converges and keeps converged until it is stopped. */
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "agent/deploys.h"
#include "agent/member.h"
#include "cli/agent-join.h"
#include "cli/agent-log.h"
#include "cli/agent-pin.h"
#include "cli/agent-rejoin.h"
#include "cli/agent-renew.h"
#include "cli/commands.h"
#include "cli/exchange-of.h"
#include "cli/join-token.h"
#include "cli/joined.h"
#include "cli/session.h"
#include "cli/store-option.h"
#include "cli/verbs.h"
#include "cli/why-text.h"
#include "kinds/kinds.h"

#define DEPLOYS            "deploy" /* below the state directory */
#define DEFAULT_FLAP_LIMIT 10

typedef struct {
    Session *session;
    Loop *loop;
    const char *file; /* NULL: what is deployed */
    ExchangeOf exchange;
    char *membership, *pinned, *deploys; /* paths below the state directory */
    Agent *agent;
    Member *member; /* NULL: of no fleet */
    Rejoin *rejoin; /* NULL: of no hub */
    AgentLog *log;
} Watch;

static void watch_clear(Watch *watch) {
    exchange_of_clear(&watch->exchange);
    g_free(watch->membership);
    g_free(watch->pinned);
    g_free(watch->deploys);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Watch, watch_clear)

/* --- what the agent tells --------------------------------------------------------------------- */

static void on_event(void *data, const EngineEvent *event) {
    Watch *watch = data;
    agent_log_event(watch->log, watch->agent, event);
    if (event->type == ENGINE_SWAPPED)
        programs_retire(watch->session->machine->programs);
    if (watch->member)
        member_event(watch->member, event);
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

static void on_news(void *data, const char *text) {
    const Watch *watch = data;
    Printer *printer = watch->session->printer;
    if (!printer_is_json(printer)) {
        printer_log(printer, LOG_INFO, STYLE_STRONG, "%s", text);
        return;
    }
    Value *map = value_new_map();
    value_map_set(map, "message", value_new_string(text));
    printer_json(printer, "info", map);
}

static void on_taken(void *data, const GError *error) {
    Watch *watch = data;
    member_taken(watch->member, error);
}

static void on_refusal(void *data) {
    Watch *watch = data;
    if (watch->member)
        member_refusal(watch->member);
}

static Value *on_more(void *data) {
    const Watch *watch = data;
    Value *more = value_new_map();
    if (watch->member)
        member_add_status(watch->member, more);
    return more;
}

static void on_note(void *data, bool bad, const char *text) {
    const Watch *watch = data;
    if (bad)
        printer_warning(watch->session->printer, "%s", text);
    else
        on_news(data, text);
}

/* As `stead why` shows it. */
static bool on_why(void *data, const char *kind, const char *name, GString *answer) {
    const Watch *watch = data;
    g_autoptr(Value) status = engine_status(agent_engine(watch->agent), kind, name);
    if (!status)
        return false;
    if (strcmp(value_map_string(status, "state", ""), "ok") == 0)
        why_add_idle(status, watch->session->machine->ledger);
    g_autofree char *reason = why_reason(status);
    g_string_append_printf(answer, "%-9s %s '%s'%s%s\n", value_map_string(status, "state", "?"),
                           kind, name, reason ? ": " : "", reason ? reason : "");
    why_append(answer, status, watch->session->machine->ledger);
    return true;
}

static void on_renewal(void *data, bool failed, const char *text) {
    Watch *watch = data;
    g_autoptr(GError) error = NULL;
    if (failed)
        printer_warning(watch->session->printer, "%s", text);
    else
        on_news(watch, text);
    if (!failed && watch->rejoin && !rejoin_renewed(watch->rejoin, &error))
        printer_warning(watch->session->printer, "use the renewed certificate: %s", error->message);
}

/* The programs of the bundle that runs speak for kinds beside those of this machine. */
static void use_deployed_kinds(const Watch *watch) {
    g_autofree char *kinds = g_build_filename(watch->deploys, DEPLOYS_CURRENT, "kinds", NULL);
    if (!watch->file)
        programs_add(watch->session->machine->programs, kinds);
}

static bool on_check(void *data, GError **error) {
    const Watch *watch = data;
    return machine_kinds(watch->session->machine, NULL, error) != NULL;
}

/* --- signals ---------------------------------------------------------------------------------- */

static void on_stop(void *data, int signal_number) {
    Watch *watch = data;
    agent_log_stopping(watch->log, watch->agent, signal_number);
    agent_stop(watch->agent);
}

static void on_hangup(void *data, int signal_number) {
    Watch *watch = data;
    engine_retry_failed(agent_engine(watch->agent));
    agent_reload(watch->agent);
    if (watch->member)
        member_retry(watch->member);
}

/* --- running ---------------------------------------------------------------------------------- */

/* FILE is for this machine alone; a hub wants to know of it all the same. */
static bool is_of_fleet(const Watch *watch) {
    return watch->exchange.options.store && (watch->exchange.is_hub || !watch->file);
}

static Member *join_fleet(Watch *watch, GError **error) {
    MemberOptions options = {
        .loop = watch->loop,
        .store = watch->exchange.options.store,
        .machine = watch->session->machine->host,
        .host = watch->exchange.host,
        .ttl_s = watch->exchange.options.ttl_s,
        .directory = watch->file ? NULL : watch->deploys,
        .pinned = watch->pinned,
        .note = on_note,
        .why = on_why,
        .data = watch,
    };
    return member_new(watch->agent, &options, error);
}

/* What the hub was asked for while it turned us away is asked for again. */
static void on_rejoin(void *data, bool failed, const char *text) {
    const Watch *watch = data;
    on_note(data, failed, text);
    if (!failed && watch->member)
        member_retry(watch->member);
}

static Rejoin *watch_membership(Watch *watch) {
    if (g_strcmp0(watch->exchange.membership, watch->membership) != 0)
        return NULL; /* of no hub, or by what somebody else lent it */
    return rejoin_new(watch->loop, watch->exchange.options.store, watch->membership,
                      watch->exchange.host, on_rejoin, watch);
}

static bool run_agent(Watch *watch, GError **error) {
    g_autoptr(LoopSource) on_int = loop_watch_signal(watch->loop, SIGINT, on_stop, watch, error);
    g_autoptr(LoopSource) on_term =
        on_int ? loop_watch_signal(watch->loop, SIGTERM, on_stop, watch, error) : NULL;
    g_autoptr(LoopSource) on_hup =
        on_term ? loop_watch_signal(watch->loop, SIGHUP, on_hangup, watch, error) : NULL;
    g_autoptr(Rejoin) rejoin = watch->rejoin = watch_membership(watch);
    g_autoptr(Renewal) renewal = renewal_new(watch->loop, watch->membership, on_renewal, watch);
    bool ok = on_hup && agent_run(watch->agent, error);
    watch->rejoin = NULL; /* freed here */
    return ok;
}

static int keep(Watch *watch, const AgentOptions *options) {
    Printer *printer = watch->session->printer;
    g_autoptr(GError) error = NULL;
    g_autoptr(Agent) agent = agent_new(options, &error);
    if (!agent) {
        if (!g_error_matches(error, STEAD_ERROR, STEAD_ERROR_CONFIG))
            printer_error(printer, error);
        return EXIT_REFUSED;
    }
    watch->agent = agent;
    g_autoptr(Member) member = is_of_fleet(watch) ? join_fleet(watch, &error) : NULL;
    watch->member = member;
    if (error) {
        printer_error(printer, error);
        return EXIT_REFUSED;
    }
    bool ok = run_agent(watch, &error) && ledger_flush(watch->session->machine->ledger, &error);
    watch->member = NULL; /* freed before the agent is */
    if (!ok) {
        printer_error(printer, error);
        return EXIT_FAILURES;
    }
    EngineSummary summary = engine_summary(agent_engine(agent));
    agent_log_stopped(watch->log, agent);
    return summary.exit_code >= 0 ? summary.exit_code : EXIT_DONE;
}

static bool open_fleet(Watch *watch) {
    const char *state = watch->session->machine->state_dir;
    watch->membership = g_build_filename(state, JOIN_DIRECTORY, NULL);
    watch->pinned = g_build_filename(watch->membership, PIN_FILE, NULL);
    watch->deploys = g_build_filename(state, DEPLOYS, NULL);
    use_deployed_kinds(watch);
    if (!exchange_of_session(watch->session, watch->loop, &watch->exchange))
        return false;
    if (watch->file || watch->exchange.options.store)
        return true;
    g_autoptr(GError) error = g_error_new_literal(
        STEAD_ERROR, STEAD_ERROR_CONFIG,
        "stead agent: this machine has joined no hub: 'stead agent join URL' makes it follow one, "
        "'stead agent FILE' keeps it as FILE says");
    printer_error(watch->session->printer, error);
    return false;
}

static int start(Watch *watch, const Arguments *arguments) {
    Session *session = watch->session;
    g_autofree char *configuration = watch->file ? session_configuration(session, watch->file)
                                                 : g_canonicalize_filename(watch->deploys, NULL);
    const char *shown = !watch->file    ? "what is deployed"
                        : configuration ? configuration
                                        : watch->file;
    uint64_t converged_timeout = (uint64_t)(arguments->converged_timeout * 1e6);
    printer_be_log(session->printer, arguments);
    g_autoptr(AgentLog) log = agent_log_new(session->printer, shown, converged_timeout);
    g_autofree char *socket = g_build_filename(session->machine->state_dir, "agent.sock", NULL);
    watch->log = log;
    AgentOptions options = {
        .loop = watch->loop,
        .host = session->machine->host,
        .ledger = session->machine->ledger,
        .file = watch->file,
        .socket = socket,
        .inputs = session_inputs(session),
        .check = on_check,
        .check_data = watch,
        .values_file = arguments->values,
        .secrets_file = arguments->secrets,
        .exchange = watch->exchange.options,
        .engine = {
            .parallel = (unsigned)MAX(0, arguments->parallel),
            .noop = arguments->noop,
            .sema = arguments->sema,
            .recheck_failed = ENGINE_RECHECK_FAILED_US,
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
            .news = on_news,
            .taken = on_taken,
            .refusal = on_refusal,
            .more = on_more,
            .data = watch,
        },
    };
    return keep(watch, &options);
}

static int run_keeping(const Arguments *arguments, const char *file) {
    g_autoptr(Session) session = session_open(arguments);
    if (!session || !session_find_kinds(session, file) ||
        !session_open_ledger(session, LEDGER_WRITE, "agent"))
        return EXIT_REFUSED;
    g_autoptr(GError) error = NULL;
    g_autoptr(Loop) loop = loop_new(&error);
    g_auto(Watch) watch = { .session = session, .loop = loop, .file = file };
    if (!loop)
        printer_error(session->printer, error);
    return loop && open_fleet(&watch) ? start(&watch, arguments) : EXIT_REFUSED;
}

static const struct {
    Verb verb;
    int (*run)(const Arguments *arguments, const char *word);
} verbs[] = {
    { { "join", "URL", 1, 1, false }, agent_join },
    { { "pin", "KEY", 1, 1, false }, agent_pin },
};

static bool is_verb(const char *word) {
    for (unsigned i = 0; i < G_N_ELEMENTS(verbs); i++)
        if (strcmp(verbs[i].verb.name, word) == 0)
            return true;
    return false;
}

static int run(const Arguments *arguments, char **words) {
    if (!words[0] || (!words[1] && !is_verb(words[0])))
        return run_keeping(arguments, words[0]);
    g_autoptr(GError) error = NULL;
    int verb = VERB_FIND("agent", verbs, words, &error);
    if (verb >= 0)
        return verbs[verb].run(arguments, words[1]);
    fprintf(stderr, "%s\n", error->message);
    return EXIT_REFUSED;
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
    &option_join_token_file,
    &option_ca_fingerprint,
    &option_deploy_key,
    &option_json,
    &option_quiet,
    &option_verbose,
    &option_no_color,
    NULL,
};

const Command command_agent = {
    .name = "agent",
    .arguments = "[FILE] | join URL | pin KEY",
    .min_arguments = 0,
    .max_arguments = 2,
    .summary = "Converge and keep converged",
    .help =
        "Makes the host what FILE declares and keeps it so: every drift is repaired when it "
        "happens. FILE\n"
        "and all it reads are watched: an edit takes effect at once and touches only what differs; "
        "one\n"
        "with problems is reported and the running configuration kept. SIGHUP evaluates again and\n"
        "retries what failed. `stead status` and `stead why` ask the running agent.\n\n"
        "Without FILE it runs what is deployed to this machine: by the hub that it has joined, or "
        "in the store\n"
        "that --exchange names. It begins with what it had last, whether or not the hub is in "
        "reach; a deploy\n"
        "that nobody with a pinned key has signed is refused, and what runs goes on.\n\n"
        "join URL makes this machine a member of the fleet whose hub is at URL, as `stead token "
        "new --host`\n"
        "says: the key is made here and never sent, the hub's certificate for it is kept in hub/ "
        "of the state\n"
        "directory. --deploy-key, and later pin KEY, say whose deploys are accepted.",
    .example = "stead agent /etc/stead/site.lua",
    .options = options,
    .run = run,
};
