#include "agent/member.h"

#include <string.h>

#include "agent/follow.h"
#include "agent/health.h"
#include "agent/reports.h"
#include "loop/worker.h"

#define LOOK_QUIET_US   (G_USEC_PER_SEC / 10) /* events that come together are one look */
#define FACTS_PERIOD_US (600 * (uint64_t)G_USEC_PER_SEC)
#define PROBLEMS_MAX    10u /* of a run that are told */

typedef enum { REACH_UNKNOWN, REACH_YES, REACH_NO } Reach;

struct Member {
    MemberOptions options;
    Agent *agent;
    Reports *reports;
    Follower *follower; /* NULL: does not follow */
    Health *health;
    bool was_converged;
    WorkerPool *pool; /* for facts */
    Reach reach;
    int64_t reach_since; /* seconds since 1970 */
    char *reach_error;   /* NULL: in reach */
    LoopTimer *look_timer, *facts_timer;
    Value *facts; /* as the worker found them */
};

static void note(Member *member, bool bad, const char *text) {
    member->options.note(member->options.data, bad, text);
}

/* --- who is in reach */

static void on_reached(void *data, const GError *error) {
    Member *member = data;
    Reach reach = error ? REACH_NO : REACH_YES, before = member->reach;
    if (error) {
        g_free(member->reach_error);
        member->reach_error = g_strdup(error->message);
    } else {
        g_clear_pointer(&member->reach_error, g_free);
    }
    if (reach == before)
        return;
    member->reach = reach;
    member->reach_since = (int64_t)(loop_wall_now(member->options.loop) / G_USEC_PER_SEC);
    if (error) {
        g_autofree char *text = g_strdup_printf(
            "the hub is out of reach: %s; this machine is kept as it is", error->message);
        note(member, true, text);
    } else if (before == REACH_NO) {
        note(member, false, "the hub is in reach again");
    }
}

static void on_report_failed(void *data, const GError *error) {
    Member *member = data;
    g_autofree char *text = g_strdup_printf("report to the hub: %s", error->message);
    note(member, true, text);
}

/* --- what is said */

static bool is_wrong(const Value *status) {
    const char *state = value_map_string(status, "state", "");
    return strcmp(state, "failed") == 0 || strcmp(state, "blocked") == 0;
}

typedef struct {
    Value *problems; /* list of {"resource", "error"} */
    char *first;     /* what failed, for the report; NULL: nothing */
} Problems;

static void add_problem(void *data, const Value *status) {
    Problems *problems = data;
    if (!is_wrong(status) || value_size(problems->problems) >= PROBLEMS_MAX)
        return;
    const char *error = value_map_string(status, "error", value_map_string(status, "state", ""));
    g_autofree char *resource = g_strdup_printf("%s '%s'", value_map_string(status, "kind", ""),
                                                value_map_string(status, "name", ""));
    Value *problem = value_new_map();
    value_map_set(problem, "resource", value_new_string(resource));
    value_map_set(problem, "error", value_new_string(error));
    value_list_append(problems->problems, problem);
    if (!problems->first && strcmp(value_map_string(status, "state", ""), "failed") == 0)
        problems->first = g_strdup_printf("%s: %s", resource, error);
}

static Value *run_of(const EngineSummary *summary, const char *digest, Value *problems) {
    const struct {
        const char *name;
        unsigned count;
    } counts[] = {
        { "resources", summary->total },
        { "changed", summary->changed },
        { "failed", summary->failed },
        { "blocked", summary->blocked },
    };
    Value *run = value_new_map();
    value_map_set(run, "digest", value_new_string(digest));
    for (unsigned i = 0; i < G_N_ELEMENTS(counts); i++)
        value_map_set(run, counts[i].name, value_new_int(counts[i].count));
    value_map_set(run, "problems", problems);
    return run;
}

static ReportState state_of(const Engine *engine, const EngineSummary *summary,
                            const FollowerStand *stand) {
    if (stand->error || summary->failed > 0)
        return REPORT_FAILING;
    return engine_is_converged(engine) && summary->blocked == 0 ? REPORT_CONVERGED
                                                                : REPORT_CONVERGING;
}

/* What the engine and the follower say together. */
static void look(void *data) {
    Member *member = data;
    const Engine *engine = agent_engine(member->agent);
    EngineSummary summary = engine_summary(engine);
    FollowerStand stand = { .digest = "",
                            .warning = "it keeps a file of its own, and takes no deploys" };
    if (member->follower)
        follower_stand(member->follower, &stand);
    Problems problems = { .problems = value_new_list() };
    if (summary.failed + summary.blocked > 0)
        engine_visit_status(engine, add_problem, &problems);
    const char *ailing;
    health_set(member->health, agent_health(member->agent));
    Report report = { .state = state_of(engine, &summary, &stand),
                      .health = health_state(member->health, &ailing) };
    g_strlcpy(report.digest, stand.digest, sizeof report.digest);
    const char *refusal = agent_refusal(member->agent);
    if (refusal)
        report.state = REPORT_FAILING;
    const char *message = stand.error      ? stand.error
                          : refusal        ? refusal
                          : problems.first ? problems.first
                          : ailing         ? ailing
                                           : stand.warning;
    report.message = message ? g_strndup(message, REPORT_MESSAGE_MAX) : NULL;
    reports_state(member->reports, &report);
    g_autoptr(Value) run = run_of(&summary, stand.digest, problems.problems);
    if (engine_is_converged(engine))
        reports_run(member->reports, run);
    bool converged = engine_is_converged(engine) && summary.failed + summary.blocked == 0;
    if (converged && !member->was_converged)
        health_look_now(member->health);
    member->was_converged = converged;
    if (member->follower)
        follower_steady(member->follower, converged && report.health != REPORT_UNHEALTHY);
    report_clear(&report);
    g_free(problems.first);
}

static void look_soon(Member *member) {
    if (!member->look_timer)
        loop_timer_set(member->options.loop, &member->look_timer,
                       loop_now(member->options.loop) + LOOK_QUIET_US, look, member);
}

/* Which properties, not their values, which may be secret. */
static char *what_changed(const Changes *changes) {
    GString *text = g_string_new(NULL);
    for (unsigned i = 0; changes && i < changes->changes->len; i++)
        g_string_append_printf(text, "%s%s", i ? ", " : "",
                               g_array_index(changes->changes, Change, i).property);
    return g_string_free(text, FALSE);
}

void member_event(Member *member, const EngineEvent *event) {
    if (event->type == ENGINE_CHANGED && event->corrective && event->resource) {
        g_autofree char *resource = resource_show(event->resource);
        g_autofree char *what = what_changed(event->changes);
        reports_drift(member->reports, resource, what);
    }
    /* A look at what cannot be watched is none of these, however often it comes. */
    bool unsteady = event->type == ENGINE_CHANGED || event->type == ENGINE_FAILED ||
                    event->type == ENGINE_RETRYING || event->type == ENGINE_SWAPPED;
    if (unsteady && member->follower)
        follower_steady(member->follower, false);
    if (event->type != ENGINE_NOTE)
        look_soon(member);
}

/* --- facts */

static void look_for_facts(void *data) {
    Member *member = data;
    member->facts = lang_facts(member->options.machine);
}

static void find_facts(void *data);

static void on_facts(void *data) {
    Member *member = data;
    g_autoptr(Value) facts = g_steal_pointer(&member->facts);
    if (!member->reports)
        return; /* it is being freed */
    reports_facts(member->reports, facts);
    loop_timer_set(member->options.loop, &member->facts_timer,
                   loop_now(member->options.loop) + FACTS_PERIOD_US, find_facts, member);
}

static void find_facts(void *data) {
    Member *member = data;
    worker_pool_push(member->pool, look_for_facts, on_facts, member);
}

/* --- following */

static void on_run(void *data, const char *file) {
    Member *member = data;
    agent_set_file(member->agent, file);
}

static void on_follower_changed(void *data) {
    look_soon(data);
}

static void on_health(void *data) {
    look_soon(data);
}

static void on_follower_note(void *data, bool bad, const char *text) {
    note(data, bad, text);
}

void member_taken(Member *member, const GError *error) {
    if (!member->follower)
        return;
    if (!error)
        health_reset(member->health);
    follower_taken(member->follower, error);
    look_soon(member);
}

void member_refusal(Member *member) {
    look_soon(member);
}

void member_retry(Member *member) {
    if (member->follower)
        follower_retry(member->follower);
}

static bool on_why(void *data, const char *kind, const char *name, GString *answer) {
    const Member *member = data;
    return member->options.why(member->options.data, kind, name, answer);
}

void member_add_status(const Member *member, Value *more) {
    Value *hub = value_new_map();
    value_map_set(hub, "host", value_new_string(member->options.host));
    value_map_set(hub, "connected", value_new_bool(member->reach == REACH_YES));
    if (member->reach != REACH_UNKNOWN)
        value_map_set(hub, "since", value_new_int(member->reach_since));
    if (member->reach_error)
        value_map_set(hub, "error", value_new_string(member->reach_error));
    value_map_set(more, "hub", hub);
    if (member->follower)
        value_map_set(more, "deploy", follower_status(member->follower));
}

/* --- life */

static bool follow(Member *member, GError **error) {
    const MemberOptions *options = &member->options;
    if (!options->directory)
        return true;
    FollowerOptions of_follower = {
        .loop = options->loop,
        .store = options->store,
        .host = options->host,
        .directory = options->directory,
        .pinned = options->pinned,
        .listener = { on_run, on_follower_changed, on_follower_note, on_reached, member },
    };
    member->follower = follower_new(&of_follower, error);
    return member->follower != NULL;
}

Member *member_new(Agent *agent, const MemberOptions *options, GError **error) {
    g_autoptr(Member) member = g_new0(Member, 1);
    member->options = *options;
    member->agent = agent;
    member->pool = worker_pool_new(options->loop, 1);
    ReportsListener of_reports = { on_reached, on_report_failed, on_why, member };
    member->reports = reports_new(options->loop, options->store, options->host,
                                  options->ttl_s ? options->ttl_s : REPORT_TTL, &of_reports);
    member->health = health_new(options->loop, options->machine, on_health, member);
    if (!follow(member, error))
        return NULL;
    find_facts(member);
    look_soon(member);
    return g_steal_pointer(&member);
}

void member_free(Member *member) {
    if (!member)
        return;
    loop_timer_clear(&member->look_timer);
    loop_timer_clear(&member->facts_timer);
    follower_free(member->follower);
    health_free(member->health);
    g_clear_pointer(&member->reports, reports_free);
    worker_pool_free(member->pool);
    value_unref(member->facts);
    g_free(member->reach_error);
    g_free(member);
}
