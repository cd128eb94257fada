#include "agent/agent.h"

#include <string.h>

#include "agent/control.h"
#include "agent/kv-port.h"
#include "bundle/bundle.h"
#include "host/host-real.h"
#include "host/open-writer.h"

/* Editors write in several steps: wait for this long without another change before reading, and
 * while one of the files is open for writing; at most so long. */
#define RELOAD_QUIET_US 20000
#define RELOAD_MAX_US   (10 * (uint64_t)G_USEC_PER_SEC)
/* Problems may be those of half a file: they are told when they are still there after so long. */
#define PROBLEM_QUIET_US 300000
/* Changes of the exchange that come together are one; many in a row are evaluated so often. */
#define EXCHANGE_QUIET_US  5000
#define EXCHANGE_PERIOD_US 100000

struct Agent {
    AgentOptions options;
    char *file;    /* that runs; NULL: none */
    char *next;    /* that is to run instead; NULL: none */
    Value *health; /* of the last evaluation */
    Engine *engine;
    Control *control;
    Host *local; /* this machine, for watching configuration files also with --root */
    GPtrArray *watches;
    char **watched; /* paths of watches, sorted as given */
    Value *values, *secrets;
    LoopTimer *reload_timer;
    LoopTimer *clock_timer;
    Exchange *exchange;        /* or NULL */
    KvPort *kv;                /* or NULL */
    LoopTimer *exchange_timer; /* evaluates because it changed */
    GPtrArray *warned;         /* char *: warnings of the last evaluation */
    uint64_t evaluated;        /* loop time of the last evaluation */
    bool starting;             /* agent_new() waits for the exchange */
    bool leaving;
    bool left;          /* all that was published is withdrawn */
    bool ended;         /* the engine has */
    bool asked;         /* the reload, or the last one */
    bool patient;       /* problems of the next evaluation are not told yet */
    Value *refused;     /* as status tells it: why the edited configuration is not taken; or NULL */
    uint64_t unsettled; /* loop time of the first change that is not evaluated; 0: none */
    GMutex trouble_lock; /* over the next */
    GPtrArray *troubles; /* char *: what the ledger said in its thread, to be told in the loop's */
};

/* What came of an evaluation. */
typedef enum {
    EVALUATED, /* its graph runs */
    REFUSED,
    WAITING, /* what it reads of the exchange is not known yet */
} Outcome;

static void reload_by_clock(void *data);

static void on_file(void *data, HostEvent event, const char *detail) {
    Agent *agent = data;
    if (event == HOST_EVENT_CHANGED)
        agent_reload(agent);
    else if (event == HOST_EVENT_FAILED && agent->options.listener.warning)
        agent->options.listener.warning(agent->options.listener.data, detail);
}

static const char *file_of(const Agent *agent) {
    return agent->next ? agent->next : agent->file;
}

/* NULL: none. Caller frees. */
static char *values_file_of(const Agent *agent) {
    if (agent->options.values_file || agent->options.file)
        return g_strdup(agent->options.values_file);
    g_autofree char *directory = g_path_get_dirname(file_of(agent));
    g_autofree char *path = g_build_filename(directory, BUNDLE_VALUES, NULL);
    return g_file_test(path, G_FILE_TEST_EXISTS) ? g_steal_pointer(&path) : NULL;
}

/* What an evaluation reads: what the program read, then the files of values and secrets. */
static char **files_to_watch(const Agent *agent, char **read) {
    GStrvBuilder *files = g_strv_builder_new();
    for (char **file = read; file && *file; file++)
        g_strv_builder_add(files, *file);
    g_autofree char *values = values_file_of(agent);
    if (values)
        g_strv_builder_add(files, values);
    if (agent->options.secrets_file)
        g_strv_builder_add(files, agent->options.secrets_file);
    char **all = g_strv_builder_end(files);
    g_strv_builder_unref(files);
    return all;
}

/* Watches exactly the files the last evaluation read. */
static void watch_files(Agent *agent, char **read) {
    g_auto(GStrv) files = files_to_watch(agent, read);
    if (agent->watched &&
        g_strv_equal((const char *const *)agent->watched, (const char *const *)files))
        return;
    g_strfreev(agent->watched);
    agent->watched = g_steal_pointer(&files);
    g_ptr_array_set_size(agent->watches, 0);
    for (char **file = agent->watched; file && *file; file++) {
        g_autofree char *path = g_canonicalize_filename(*file, NULL);
        g_autoptr(GError) error = NULL;
        HostWatch *watch = host_watch(agent->local, agent->options.loop, HOST_WATCH_FILE, path, 0,
                                      on_file, agent, &error);
        if (watch)
            g_ptr_array_add(agent->watches, watch);
        else
            on_file(agent, HOST_EVENT_FAILED, error->message);
    }
}

static void schedule_clock(Agent *agent, uint64_t next_change) {
    loop_timer_clear(&agent->clock_timer);
    uint64_t now = loop_wall_now(agent->options.loop);
    if (next_change > now)
        loop_timer_set(agent->options.loop, &agent->clock_timer,
                       loop_now(agent->options.loop) + (next_change - now), reload_by_clock, agent);
}

/* Reads file into *value; what was there stays when it is wrong. */
static void read_values(const char *file, Value **value, GPtrArray *problems) {
    GError *error = NULL;
    Value *fresh = file ? lang_load_values(file, &error) : NULL;
    if (error)
        g_ptr_array_add(problems, error);
    if (!fresh)
        return;
    value_unref(*value);
    *value = fresh;
}

/* Loads the configuration with the inputs of now, and watches all that was read. */
static bool load(Agent *agent, LangResult *ret_result, GPtrArray *problems) {
    LangInputs inputs = agent->options.inputs;
    g_autofree char *values = values_file_of(agent);
    if (!values)
        g_clear_pointer(&agent->values, value_unref);
    read_values(values, &agent->values, problems);
    read_values(agent->options.secrets_file, &agent->secrets, problems);
    GError *unusable = NULL;
    if (agent->options.check && !agent->options.check(agent->options.check_data, &unusable))
        g_ptr_array_add(problems, unusable);
    if (problems->len > 0)
        return false; /* the watches stay */
    inputs.values = agent->values;
    inputs.values_file = values;
    inputs.secrets = agent->secrets;
    inputs.wall_now = loop_wall_now(agent->options.loop);
    g_autoptr(Value) view = agent->exchange ? exchange_view(agent->exchange) : NULL;
    inputs.exchange = view;
    agent->evaluated = loop_now(agent->options.loop);
    bool ok = lang_load(file_of(agent), &inputs, ret_result, problems);
    watch_files(agent, ret_result->files);
    schedule_clock(agent, ret_result->next_change);
    return ok;
}

static void warn(Agent *agent, const char *text) {
    if (text && agent->options.listener.warning)
        agent->options.listener.warning(agent->options.listener.data, text);
}

/* Tells what the evaluation before did not say. */
static void tell_warnings(Agent *agent, LangResult *result) {
    for (unsigned i = 0; i < result->warnings->len; i++) {
        const char *text = result->warnings->pdata[i];
        if (!g_ptr_array_find_with_equal_func(agent->warned, text, g_str_equal, NULL))
            warn(agent, text);
    }
    g_ptr_array_unref(agent->warned);
    agent->warned = g_steal_pointer(&result->warnings);
}

static void tell_refusal(const Agent *agent) {
    if (agent->options.listener.refusal)
        agent->options.listener.refusal(agent->options.listener.data);
}

/* Tells them, and keeps the first for who asks later. */
static void tell_problems(Agent *agent, GPtrArray *problems) {
    const GError *first = problems->pdata[0];
    int64_t now = g_get_real_time();
    Value *refused = value_new_map();
    int64_t since = agent->refused ? value_map_int(agent->refused, "since", now) : now;
    value_map_set(refused, "since", value_new_int(since));
    value_map_set(refused, "error", value_new_string(first->message));
    value_map_set(refused, "problems", value_new_int(problems->len));
    value_unref(agent->refused);
    agent->refused = refused;
    tell_refusal(agent);
    agent->options.listener.problems(agent->options.listener.data, problems);
}

/* Evaluates; the result's graph goes to the engine when it differs from the one that runs. What is
 * wrong while something is not known may be wrong because of that. */
static Outcome evaluate(Agent *agent, GError **error) {
    g_auto(LangResult) result = { 0 };
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func((GDestroyNotify)g_error_free);
    bool ok = load(agent, &result, problems);
    if (agent->exchange && result.wants && !exchange_want(agent->exchange, result.wants))
        return WAITING;
    if (!ok) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "%u problems in '%s'", problems->len,
                    file_of(agent));
        if (!agent->patient)
            tell_problems(agent, problems);
        return REFUSED;
    }
    tell_warnings(agent, &result);
    if (!engine_load(agent->engine, result.graph, error))
        return REFUSED;
    if (agent->refused) {
        g_clear_pointer(&agent->refused, value_unref);
        tell_refusal(agent);
    }
    value_unref(agent->health);
    agent->health = value_ref(result.health);
    if (agent->exchange)
        exchange_declare(agent->exchange, result.wants);
    warn(agent, engine_warning(agent->engine));
    return EVALUATED;
}

static void reload(void *data);

static void reload_after(Agent *agent, uint64_t us) {
    loop_timer_set(agent->options.loop, &agent->reload_timer, loop_now(agent->options.loop) + us,
                   reload, agent);
}

static bool is_being_written(const Agent *agent) {
    uint64_t now = loop_now(agent->options.loop);
    if (agent->unsettled == 0 || now - agent->unsettled >= RELOAD_MAX_US)
        return false;
    for (char **file = agent->watched; file && *file; file++)
        if (file_has_writer(*file))
            return true;
    return false;
}

/* The first of the problems, and how many more there are. */
static GError *refusal_of(const Agent *agent, const GError *error) {
    if (!agent->refused || !g_error_matches(error, STEAD_ERROR, STEAD_ERROR_CONFIG))
        return g_error_copy(error);
    int64_t more = value_map_int(agent->refused, "problems", 1) - 1;
    const char *first = value_map_string(agent->refused, "error", "");
    return more > 0 ? g_error_new(STEAD_ERROR, STEAD_ERROR_CONFIG,
                                  "%s (and %" G_GINT64_FORMAT " more)", first, more)
                    : g_error_new_literal(STEAD_ERROR, STEAD_ERROR_CONFIG, first);
}

/* What was to run instead runs, or (error) does not: then all that the one before reads is watched
 * again. */
static void settle_next(Agent *agent, const GError *error) {
    g_autoptr(GError) refusal = error ? refusal_of(agent, error) : NULL;
    if (!agent->next)
        return;
    if (refusal) {
        g_clear_pointer(&agent->next, g_free);
        if (agent->file)
            reload_after(agent, 0);
    } else {
        g_free(agent->file);
        agent->file = g_steal_pointer(&agent->next);
    }
    if (agent->options.listener.taken)
        agent->options.listener.taken(agent->options.listener.data, refusal);
}

void agent_set_file(Agent *agent, const char *file) {
    g_free(agent->next);
    agent->next = g_strdup(file);
    agent->patient = false;
    agent->asked = true;
    reload_after(agent, 0);
}

static void reload(void *data) {
    Agent *agent = data;
    g_autoptr(GError) error = NULL;
    if (engine_is_stopping(agent->engine) || !file_of(agent))
        return;
    if (is_being_written(agent)) {
        reload_after(agent, RELOAD_QUIET_US);
        return;
    }
    agent->unsettled = 0;
    bool patient = agent->patient;
    Outcome outcome = evaluate(agent, &error);
    if (outcome == WAITING)
        return; /* the exchange will change, at the latest when it has waited long enough */
    agent->patient = false;
    if (outcome == EVALUATED) {
        settle_next(agent, NULL);
        return;
    }
    if (g_error_matches(error, STEAD_ERROR, STEAD_ERROR_CONFIG)) {
        if (patient)
            reload_after(agent, PROBLEM_QUIET_US);
        else
            settle_next(agent, error);
        return; /* told already, or then */
    }
    g_autoptr(GPtrArray) problems = g_ptr_array_new();
    g_ptr_array_add(problems, error);
    tell_problems(agent, problems);
    settle_next(agent, error);
}

static void reload_by_clock(void *data) {
    Agent *agent = data;
    agent->asked = agent->reload_timer != NULL;
    reload(agent);
}

/* --- the exchange */

static void reload_by_exchange(void *data) {
    Agent *agent = data;
    agent->asked = agent->patient || agent->reload_timer != NULL;
    reload(agent);
}

static void on_exchange(void *data) {
    Agent *agent = data;
    if (agent->starting) {
        loop_quit(agent->options.loop);
        return;
    }
    uint64_t now = loop_now(agent->options.loop);
    uint64_t next = MAX(now + EXCHANGE_QUIET_US, agent->evaluated + EXCHANGE_PERIOD_US);
    if (!agent->exchange_timer)
        loop_timer_set(agent->options.loop, &agent->exchange_timer, next, reload_by_exchange,
                       agent);
}

static void on_exchange_note(void *data, const char *text) {
    warn(data, text);
}

static void on_exchange_news(void *data, const char *text) {
    const Agent *agent = data;
    if (agent->options.listener.news)
        agent->options.listener.news(agent->options.listener.data, text);
}

static Value *more_status(void *data) {
    const Agent *agent = data;
    const AgentListener *listener = &agent->options.listener;
    Value *more = listener->more ? listener->more(listener->data) : value_new_map();
    if (agent->refused)
        value_map_set(more, "refused", value_ref(agent->refused));
    if (agent->exchange)
        value_map_set(more, "exchange", exchange_status(agent->exchange));
    return more;
}

static bool open_exchange(Agent *agent, GError **error) {
    ExchangeOptions options = agent->options.exchange;
    if (!options.store)
        return true;
    options.loop = agent->options.loop;
    options.listener = (ExchangeListener){
        .changed = on_exchange, .note = on_exchange_note, .news = on_exchange_news, .data = agent
    };
    agent->exchange = exchange_new(&options, error);
    if (!agent->exchange)
        return false;
    agent->kv = kv_port_new(options.loop, options.store, options.host, options.grants);
    host_set_kv(agent->options.host, kv_port_kv(agent->kv));
    return true;
}

/* The first evaluation: waits, within the patience of the exchange, for what it reads there. */
static bool start(Agent *agent, GError **error) {
    Outcome outcome;
    if (!agent->file)
        return true;
    agent->starting = true;
    while ((outcome = evaluate(agent, error)) == WAITING)
        if (!loop_run(agent->options.loop, error))
            return false;
    agent->starting = false;
    return outcome == EVALUATED;
}

bool agent_was_asked(const Agent *agent) {
    return agent->asked;
}

void agent_reload(Agent *agent) {
    agent->asked = agent->patient = true;
    if (agent->unsettled == 0)
        agent->unsettled = loop_now(agent->options.loop);
    reload_after(agent, RELOAD_QUIET_US);
}

/* --- the ledger's failures, which come in its own thread */

static void tell_troubles(void *data) {
    Agent *agent = data;
    g_mutex_lock(&agent->trouble_lock);
    g_autoptr(GPtrArray) troubles = g_steal_pointer(&agent->troubles);
    g_mutex_unlock(&agent->trouble_lock);
    for (unsigned i = 0; troubles && i < troubles->len; i++)
        agent->options.listener.warning(agent->options.listener.data, troubles->pdata[i]);
}

static void on_ledger_error(void *data, const GError *error) {
    Agent *agent = data;
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&agent->trouble_lock);
    if (agent->troubles) {
        g_ptr_array_add(agent->troubles, g_strdup(error->message));
        return;
    }
    agent->troubles = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(agent->troubles, g_strdup(error->message));
    loop_post(agent->options.loop, tell_troubles, agent);
}

static void watch_ledger(Agent *agent) {
    g_mutex_init(&agent->trouble_lock);
    if (agent->options.ledger && agent->options.listener.warning)
        ledger_on_error(agent->options.ledger, on_ledger_error, agent);
}

static void unwatch_ledger(Agent *agent) {
    if (agent->options.ledger)
        ledger_on_error(agent->options.ledger, NULL, NULL);
    loop_unpost(agent->options.loop, tell_troubles, agent);
    g_clear_pointer(&agent->troubles, g_ptr_array_unref);
    g_mutex_clear(&agent->trouble_lock);
}

Agent *agent_new(const AgentOptions *options, GError **error) {
    g_autoptr(Agent) agent = g_new0(Agent, 1);
    agent->options = *options;
    agent->file = g_strdup(options->file);
    watch_ledger(agent);
    agent->warned = g_ptr_array_new_with_free_func(g_free);
    agent->watches = g_ptr_array_new_with_free_func((GDestroyNotify)host_watch_free);
    agent->local = host_real_new(NULL, NULL, error);
    if (!agent->local)
        return NULL;
    EngineOptions engine = options->engine;
    engine.loop = options->loop;
    engine.host = options->host;
    engine.ledger = options->ledger;
    engine.kinds = options->inputs.kinds;
    engine.watch = true;
    engine.listener = options->listener.event;
    engine.listener_data = options->listener.data;
    agent->engine = engine_new(&engine);
    if (options->socket) {
        agent->control =
            control_new(options->loop, options->socket, agent->engine, more_status, agent, error);
        if (!agent->control)
            return NULL;
    }
    if (!open_exchange(agent, error) || !start(agent, error))
        return NULL;
    return g_steal_pointer(&agent);
}

void agent_free(Agent *agent) {
    if (!agent)
        return;
    control_free(agent->control);
    loop_timer_clear(&agent->reload_timer);
    loop_timer_clear(&agent->clock_timer);
    loop_timer_clear(&agent->exchange_timer);
    exchange_free(agent->exchange);
    g_free(agent->file);
    g_free(agent->next);
    value_unref(agent->health);
    g_ptr_array_unref(agent->warned);
    g_ptr_array_unref(agent->watches);
    g_strfreev(agent->watched);
    value_unref(agent->values);
    value_unref(agent->secrets);
    value_unref(agent->refused);
    engine_free(agent->engine);
    if (agent->kv)
        host_set_kv(agent->options.host, NULL);
    kv_port_free(agent->kv);
    unwatch_ledger(agent);
    host_free(agent->local);
    g_free(agent);
}

static void on_left(void *data) {
    Agent *agent = data;
    agent->left = true;
    if (agent->ended)
        loop_quit(agent->options.loop);
}

static void leave(Agent *agent) {
    if (agent->exchange && !agent->leaving)
        exchange_stop(agent->exchange, on_left, agent);
    agent->leaving = true;
}

void agent_stop(Agent *agent) {
    leave(agent);
    engine_stop(agent->engine);
}

bool agent_run(Agent *agent, GError **error) {
    bool ok = loop_run(agent->options.loop, error);
    agent->ended = true;
    leave(agent); /* it was a resource that ended the run */
    while (ok && agent->exchange && !agent->left)
        ok = loop_run(agent->options.loop, error);
    return ok;
}

const Value *agent_health(const Agent *agent) {
    return agent->health;
}

const char *agent_refusal(const Agent *agent) {
    return agent->refused ? value_map_string(agent->refused, "error", "") : NULL;
}

Engine *agent_engine(Agent *agent) {
    return agent->engine;
}
