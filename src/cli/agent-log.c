#include "cli/agent-log.h"

#include <string.h>
#include <syslog.h>

#include "base/plural.h"

/* A resource that failed, since when, and what was said of it last. */
typedef struct {
    EngineEventType type;
    char *kind, *name, *error;
    int64_t since;
} Trouble;

struct AgentLog {
    Printer *printer;
    char *configuration;
    uint64_t converged_timeout;
    int64_t started;
    GHashTable *troubles; /* resource_show() -> Trouble */
    uint64_t repaired;    /* drifts */
    bool running;         /* everything was looked at */
    int signal;           /* that asked for the end; 0: none */
};

static void trouble_free(void *data) {
    Trouble *trouble = data;
    g_free(trouble->kind);
    g_free(trouble->name);
    g_free(trouble->error);
    g_free(trouble);
}

AgentLog *agent_log_new(Printer *printer, const char *configuration, uint64_t converged_timeout) {
    AgentLog *log = g_new0(AgentLog, 1);
    log->printer = printer;
    log->configuration = g_strdup(configuration);
    log->converged_timeout = converged_timeout;
    log->started = g_get_monotonic_time();
    log->troubles = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, trouble_free);
    return log;
}

void agent_log_free(AgentLog *log) {
    if (!log)
        return;
    g_hash_table_unref(log->troubles);
    g_free(log->configuration);
    g_free(log);
}

static char *show_duration(int64_t us) {
    double seconds = (double)us / 1e6;
    if (seconds < 1)
        return g_strdup_printf("%.0f ms", seconds * 1000);
    if (seconds < 120)
        return g_strdup_printf("%.1f s", seconds);
    if (seconds < 2 * 3600)
        return g_strdup_printf("%.0f min", seconds / 60);
    return g_strdup_printf(seconds < 48 * 3600 ? "%.0f h" : "%.0f days",
                           seconds / (seconds < 48 * 3600 ? 3600 : 86400));
}

/* "120 resources, 3 changed, all right". */
static char *show_summary(const EngineSummary *summary, bool with_changes) {
    GString *text = g_string_new(NULL);
    g_string_printf(text, "%u %s", summary->total, plural(summary->total, "resource", "resources"));
    const struct {
        unsigned count;
        const char *what;
    } parts[] = {
        { with_changes ? summary->changed : 0, "changed" },
        { with_changes ? summary->removed : 0, "undone" },
        { summary->ok < summary->total ? summary->ok : 0, "right" },
        { summary->pending, "pending" },
        { summary->failed, "failed" },
        { summary->blocked, "blocked" },
        { summary->unfinished, "unfinished" },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(parts); i++)
        if (parts[i].count > 0)
            g_string_append_printf(text, ", %u %s", parts[i].count, parts[i].what);
    if (summary->ok == summary->total)
        g_string_append(text, ", all right");
    return g_string_free(text, FALSE);
}

/* --- at the start and at reloads */

static void tell_start(AgentLog *log, Agent *agent) {
    if (log->running || !agent)
        return;
    log->running = true;
    EngineSummary summary = engine_summary(agent_engine(agent));
    g_autofree char *state = show_summary(&summary, true);
    int64_t took = g_get_monotonic_time() - log->started - (int64_t)log->converged_timeout;
    g_autofree char *duration = show_duration(MAX(took, 0));
    if (!printer_is_quiet(log->printer))
        printer_log(log->printer, LOG_INFO, STYLE_STRONG, "keeping %s: %s after %s",
                    log->configuration, state, duration);
}

/* What left the configuration cannot come right any more. */
static void drop_gone(AgentLog *log, const Engine *engine) {
    GHashTableIter iter;
    void *value;
    g_hash_table_iter_init(&iter, log->troubles);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const Trouble *trouble = value;
        g_autoptr(Value) status = engine_status(engine, trouble->kind, trouble->name);
        if (!status)
            g_hash_table_iter_remove(&iter);
    }
}

/* "1 added, 3 removed". */
static char *show_differences(const EngineEvent *event) {
    const struct {
        unsigned count;
        const char *what;
    } parts[] = {
        { event->added, "added" },
        { event->changed, "changed" },
        { event->removed, "removed" },
    };
    GString *text = g_string_new(NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(parts); i++)
        if (parts[i].count > 0)
            g_string_append_printf(text, "%s%u %s", text->len ? ", " : "", parts[i].count,
                                   parts[i].what);
    return g_string_free(text, FALSE);
}

static void tell_reload(AgentLog *log, Agent *agent, const EngineEvent *event) {
    if (!agent) /* the first configuration */
        return;
    drop_gone(log, agent_engine(agent));
    g_autofree char *differences = show_differences(event);
    if (printer_is_quiet(log->printer) || (!*differences && !agent_was_asked(agent)))
        return;
    printer_log(log->printer, LOG_INFO, STYLE_STRONG, "reloaded %s: %s", log->configuration,
                *differences ? differences : "nothing differs");
}

/* --- troubles */

/* Whether it is news: told once until it says something else. */
static bool note_trouble(AgentLog *log, const EngineEvent *event) {
    char *name = resource_show(event->resource);
    Trouble *trouble = g_hash_table_lookup(log->troubles, name);
    const char *error = event->error ? event->error->message : "";
    if (!trouble) {
        trouble = g_new0(Trouble, 1);
        trouble->kind = g_strdup(event->resource->kind->name);
        trouble->name = g_strdup(event->resource->name);
        trouble->since = g_get_monotonic_time();
        g_hash_table_insert(log->troubles, g_steal_pointer(&name), trouble);
    }
    g_free(name);
    bool news = trouble->type != event->type || g_strcmp0(trouble->error, error) != 0;
    trouble->type = event->type;
    g_free(trouble->error);
    trouble->error = g_strdup(error);
    return news;
}

static void tell_recovery(AgentLog *log, const EngineEvent *event) {
    if (g_hash_table_size(log->troubles) == 0)
        return;
    g_autofree char *name = resource_show(event->resource);
    const Trouble *trouble = g_hash_table_lookup(log->troubles, name);
    if (!trouble)
        return;
    g_autofree char *duration = show_duration(g_get_monotonic_time() - trouble->since);
    printer_log(log->printer, LOG_NOTICE, STYLE_GOOD, "right again %s after %s", name, duration);
    (void)g_hash_table_remove(log->troubles, name);
}

void agent_log_event(AgentLog *log, Agent *agent, const EngineEvent *event) {
    bool failed = event->type == ENGINE_FAILED || event->type == ENGINE_RETRYING;
    bool done = event->type == ENGINE_OK || event->type == ENGINE_CHANGED;
    log->repaired += event->type == ENGINE_CHANGED && event->corrective;
    if (printer_is_json(log->printer)) {
        printer_event(log->printer, event);
        return;
    }
    if (failed && !note_trouble(log, event) && !printer_is_verbose(log->printer))
        return;
    printer_event(log->printer, event);
    if (done && event->resource)
        tell_recovery(log, event);
    else if (event->type == ENGINE_SWAPPED)
        tell_reload(log, agent, event);
    else if (event->type == ENGINE_CONVERGED)
        tell_start(log, agent);
}

/* --- at the end */

static void count_one(void *data, const Resource *resource) {
}

void agent_log_stopping(AgentLog *log, Agent *agent, int signal_number) {
    unsigned running = engine_visit_running(agent_engine(agent), count_one, NULL);
    bool first = log->signal == 0;
    log->signal = signal_number;
    if (first && running > 0 && !printer_is_json(log->printer) && !printer_is_quiet(log->printer))
        printer_log(log->printer, LOG_INFO, STYLE_DIM, "stopping when %u %s done", running,
                    plural(running, "resource is", "resources are"));
}

void agent_log_stopped(AgentLog *log, Agent *agent) {
    if (printer_is_json(log->printer) || printer_is_quiet(log->printer))
        return;
    EngineSummary summary = engine_summary(agent_engine(agent));
    g_autofree char *state = show_summary(&summary, false);
    g_autofree char *duration = show_duration(g_get_monotonic_time() - log->started);
    g_autofree char *why =
        log->signal ? g_strdup_printf(" by SIG%s", sigabbrev_np(log->signal)) : g_strdup("");
    printer_log(log->printer, LOG_INFO, STYLE_STRONG,
                "stopped%s after %s: %s, %" G_GUINT64_FORMAT " %s repaired", why, duration, state,
                log->repaired, plural((unsigned)log->repaired, "drift", "drifts"));
}
