#include "engine/engine-test.h"

#include <string.h>

#include "graph/autoedge.h"
#include "graph/watcher.h"
#include "host/host-ops.h"

/* --- probes ----------------------------------------------------------------------------------- */

static GHashTable *probes;
static GMutex probes_lock;
static GCond probes_changed;
static TestRun *current;

Probe *probe(const char *name) {
    g_mutex_lock(&probes_lock);
    if (!probes)
        probes = g_hash_table_new(g_str_hash, g_str_equal);
    Probe *one = g_hash_table_lookup(probes, name);
    if (!one) {
        one = g_new0(Probe, 1);
        one->name = g_strdup(name);
        g_hash_table_insert(probes, one->name, one);
    }
    g_mutex_unlock(&probes_lock);
    return one;
}

void probes_forget(void) {
    if (!probes)
        return;
    GHashTableIter iter;
    void *one;
    g_hash_table_iter_init(&iter, probes);
    while (g_hash_table_iter_next(&iter, NULL, &one)) {
        g_free(((Probe *)one)->name);
        g_free(one);
    }
    g_clear_pointer(&probes, g_hash_table_unref);
}

void probe_release(Probe *one) {
    g_mutex_lock(&probes_lock);
    one->hold = false;
    g_cond_broadcast(&probes_changed);
    g_mutex_unlock(&probes_lock);
}

/* --- kind ------------------------------------------------------------------------------------- */

enum { PROBE_VALUE, PROBE_NUMBER, PROBE_PARAMS };

static const Param probe_params[PROBE_PARAMS] = {
    [PROBE_VALUE] = { "value", PARAM_STRING, PARAM_PROPERTY | PARAM_REWATCH, "what it should hold",
                      .fallback = "right" },
    [PROBE_NUMBER] = { "number", PARAM_INT, PARAM_RECEIVES, "a number from elsewhere" },
};

static const Output probe_outputs[] = { { "number", PARAM_INT, "a number" } };

static bool probe_validate(const Resource *resource, GError **error) {
    if (resource_int(resource, PROBE_NUMBER, 0) >= 0)
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "'number' must not be negative");
    return false;
}

static bool probe_observe(KindRun *run, State *actual, GError **error) {
    Probe *one = probe(run->resource->name);
    if (run->reason == REASON_VERIFY) {
        bool wrong = one->stubborn;
        actual->exists = true;
        state_set(actual, PROBE_VALUE,
                  value_new_string(wrong ? "wrong" : resource_string(run->resource, PROBE_VALUE)));
        return true;
    }
    one->looks++;
    one->received = resource_int(run->resource, PROBE_NUMBER, 0);
    if (one->fail_look != 0) {
        one->fail_look -= one->fail_look > 0;
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_IO, "look: scripted failure");
        return false;
    }
    kind_run_send(run, "number", value_new_int(one->send));
    actual->exists = true;
    bool wrong = one->wrong != 0;
    state_set(actual, PROBE_VALUE,
              value_new_string(wrong ? "wrong" : resource_string(run->resource, PROBE_VALUE)));
    return true;
}

static bool probe_diff(KindRun *run, const State *actual, Changes *changes, GError **error) {
    if (!kind_diff_properties(run, actual, changes, error))
        return false;
    if (run->refresh && changes->action == ACTION_NONE)
        changes->action = ACTION_RESTART;
    if (run->reason == REASON_VERIFY && probe(run->resource->name)->meddled != 0) {
        Probe *one = probe(run->resource->name);
        one->meddled -= one->meddled > 0;
        changes_add(changes, "other", value_new_string("theirs"), value_new_string("ours"), NULL);
        changes->action = ACTION_CHANGE;
    }
    changes->routine = probe(run->resource->name)->routine;
    return true;
}

static bool wait_while_held(Probe *one, KindRun *run, GError **error) {
    g_mutex_lock(&probes_lock);
    while (one->hold && cancel_check(run->cancel, NULL)) {
        gint64 until = g_get_monotonic_time() + 2000;
        g_cond_wait_until(&probes_changed, &probes_lock, until);
    }
    g_mutex_unlock(&probes_lock);
    if (cancel_check(run->cancel, error))
        return true;
    one->cancelled++;
    return false;
}

static bool probe_apply(KindRun *run, const State *actual, const Changes *changes, GError **error) {
    Probe *one = probe(run->resource->name);
    if (!wait_while_held(one, run, error))
        return false;
    one->applies++;
    one->refreshes += run->refresh;
    g_mutex_lock(&probes_lock);
    g_string_append_printf(current->order, "%s%s", current->order->len ? " " : "", one->name);
    g_mutex_unlock(&probes_lock);
    if (one->fail != 0) {
        one->fail -= one->fail > 0;
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED, "apply: scripted failure");
        return false;
    }
    if (!one->stubborn)
        one->wrong = 0;
    return true;
}

static bool probe_watch(Watcher *watcher, const Resource *resource, GError **error) {
    g_autofree char *path = g_strconcat("/", resource->name, NULL);
    return watcher_host(watcher, HOST_WATCH_FILE, path, error);
}

static bool probe_clean(KindRun *run, GError **error) {
    Probe *one = probe(run->resource->name);
    one->cleans++;
    if (one->fail_clean == 0)
        return true;
    one->fail_clean--;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_IO, "clean: scripted failure");
    return false;
}

static Resource *probe_reverse(const Resource *resource, const State *before, OnRemove how,
                               GError **error) {
    Resource *undo = resource_new(resource->kind, resource->name, resource->origin);
    resource_put(undo, PROBE_VALUE, value_new_string("undone"));
    return undo;
}

/* Those whose name begins with "crowd" become one vertex. */
static bool probe_group_with(const Resource *a, const Resource *b) {
    return g_str_has_prefix(a->name, "crowd") && g_str_has_prefix(b->name, "crowd");
}

static bool probe_apply_group(KindRun *const *runs, const State *const *actuals,
                              const Changes *const *changes, unsigned n, GError **error) {
    for (unsigned i = 0; i < n; i++)
        probe(runs[i]->resource->name)->company = n;
    for (unsigned i = 0; i < n; i++)
        if (!probe_apply(runs[i], actuals[i], changes[i], error))
            return false;
    return true;
}

const Kind probe_kind = {
    .name = "probe",
    .summary = "a scripted thing",
    .help = "for tests",
    .example = "probe \"a\" {}",
    .params = probe_params,
    .n_params = PROBE_PARAMS,
    .outputs = probe_outputs,
    .n_outputs = 1,
    .flags = KIND_REFRESHES,
    .validate = probe_validate,
    .observe = probe_observe,
    .diff = probe_diff,
    .apply = probe_apply,
    .watch = probe_watch,
    .group_with = probe_group_with,
    .apply_group = probe_apply_group,
    .reverse = probe_reverse,
    .clean = probe_clean,
};

/* A probe that is at a path: its name says which one by default. */
static const Param place_params[] = {
    [PROBE_VALUE] = { "value", PARAM_STRING, PARAM_PROPERTY | PARAM_REWATCH, "what it should hold",
                      .fallback = "right" },
    [PROBE_NUMBER] = { "number", PARAM_INT, PARAM_RECEIVES, "a number from elsewhere" },
    [PROBE_PARAMS] = { "path", PARAM_PATH, PARAM_NAMED | PARAM_IDENTITY, "where it is" },
};

static Resource *place_reverse(const Resource *resource, const State *before, OnRemove how,
                               GError **error) {
    Resource *undo = probe_reverse(resource, before, how, error);
    resource_put(undo, PROBE_PARAMS, value_ref(resource_get(resource, PROBE_PARAMS)));
    return undo;
}

static void place_auto_edges(const Resource *resource, AutoEdges *edges) {
    auto_edges_am(edges, "path", resource_string(resource, PROBE_PARAMS));
}

static const Kind place_kind = {
    .name = "place",
    .summary = "a scripted thing at a path",
    .help = "for tests",
    .example = "place \"/a\" {}",
    .params = place_params,
    .n_params = G_N_ELEMENTS(place_params),
    .outputs = probe_outputs,
    .n_outputs = 1,
    .observe = probe_observe,
    .diff = probe_diff,
    .apply = probe_apply,
    .auto_edges = place_auto_edges,
    .reverse = place_reverse,
    .clean = probe_clean,
};

static const Kind *const probe_list[] = { &probe_kind, &place_kind };
const KindSet probe_kinds = { probe_list, G_N_ELEMENTS(probe_list) };

/* --- host ------------------------------------------------------------------------------------- */

typedef struct {
    HostWatch base;
    Probe *probe;
    Loop *loop;
} StubWatch;

static void stub_watch_free(HostWatch *watch) {
    Probe *one = ((StubWatch *)watch)->probe;
    one->unwatches++;
    if (one->watch == watch)
        one->watch = NULL;
    g_free(watch);
}

typedef struct {
    Probe *probe;
    HostWatch *watch;
} Ready;

static void deliver_ready(void *data) {
    Ready *ready = data;
    if (ready->probe->watch == ready->watch)
        ready->watch->callback(ready->watch->data, HOST_EVENT_READY, NULL);
    g_free(ready);
}

static HostWatch *stub_watch(Host *host, Loop *loop, HostWatchClass class, const char *name,
                             uint64_t owner, HostWatchCallback callback, void *data,
                             GError **error) {
    Probe *one = probe(name + 1);
    one->watches++;
    if (one->no_watch) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_LIMIT, "watch '%s': no more watches", name);
        return NULL;
    }
    StubWatch *watch = g_new0(StubWatch, 1);
    watch->base =
        (HostWatch){ .free = stub_watch_free, .callback = callback, .data = data, .owner = owner };
    watch->probe = one;
    watch->loop = loop;
    one->watch = &watch->base;
    if (!one->late) {
        Ready *ready = g_new(Ready, 1);
        *ready = (Ready){ one, &watch->base };
        loop_post(loop, deliver_ready, ready);
    }
    return &watch->base;
}

void probe_ready(Probe *one) {
    one->watch->callback(one->watch->data, HOST_EVENT_READY, NULL);
}

void probe_event(Probe *one) {
    one->watch->callback(one->watch->data, HOST_EVENT_CHANGED, NULL);
}

void probe_unwatch(Probe *one, const char *why) {
    one->watch->callback(one->watch->data, HOST_EVENT_FAILED, why);
}

static void stub_free(Host *host) {
    g_free(host->root);
    g_free(host);
}

static const HostOps stub_ops = { .name = "stub", .free = stub_free, .watch = stub_watch };

static Host *stub_host_new(void) {
    Host *host = g_new0(Host, 1);
    host->ops = &stub_ops;
    host->root = g_strdup("/");
    return host;
}

/* --- runs ------------------------------------------------------------------------------------- */

static const char *const event_names[] = {
    [ENGINE_OK] = NULL,
    [ENGINE_CHANGED] = "changed",
    [ENGINE_PENDING] = "pending",
    [ENGINE_FAILED] = "failed",
    [ENGINE_RETRYING] = "retrying",
    [ENGINE_NOTE] = NULL,
    [ENGINE_REPORTED] = "reported",
    [ENGINE_FLAPPING] = "flapping",
    [ENGINE_WATCH_LOST] = "watch-lost",
    [ENGINE_CONVERGED] = "converged",
    [ENGINE_DIVERGED] = "diverged",
    [ENGINE_SWAPPED] = NULL,
};

static void on_event(void *data, const EngineEvent *event) {
    TestRun *run = data;
    const char *name = event_names[event->type];
    if (!name)
        return;
    g_string_append_printf(run->events, "%s%s", run->events->len ? " " : "", name);
    if (event->resource)
        g_string_append_printf(run->events, ":%s", event->resource->name);
}

TestRun *test_run_new(void) {
    probes_forget();
    TestRun *run = current = g_new0(TestRun, 1);
    run->loop = loop_new_virtual(NULL);
    run->host = stub_host_new();
    run->order = g_string_new(NULL);
    run->events = g_string_new(NULL);
    run->options = (EngineOptions){
        .loop = run->loop,
        .host = run->host,
        .kinds = &probe_kinds,
        .watch = true,
        .listener = on_event,
        .listener_data = run,
    };
    return run;
}

void test_start(TestRun *run) {
    run->options.ledger = run->ledger;
    run->engine = engine_new(&run->options);
}

void test_restart(TestRun *run) {
    engine_free(run->engine);
    test_start(run);
}

void test_run_free(TestRun *run) {
    engine_free(run->engine);
    ledger_close(run->ledger);
    graph_unref(run->graph);
    host_free(run->host);
    loop_free(run->loop);
    g_string_free(run->order, TRUE);
    g_string_free(run->events, TRUE);
    g_free(run);
    current = NULL;
    probes_forget();
}

static const Kind *kind_of(const char *name) {
    return *name == '/' ? &place_kind : &probe_kind;
}

static void *resource_of(TestRun *run, const char *name) {
    int vertex = graph_find(run->graph, kind_of(name)->name, name);
    g_assert_cmpint(vertex, >=, 0);
    return (void *)(uintptr_t)graph_resource(run->graph, (unsigned)vertex);
}

void test_graph(TestRun *run, const char *names, const char *edges) {
    graph_unref(run->graph);
    run->graph = graph_new();
    g_auto(GStrv) list = g_strsplit(names, " ", -1);
    for (char **name = list; *name; name++) {
        Resource *resource = resource_new(kind_of(*name), *name, (Origin){ "test", 1, 0 });
        g_autoptr(GPtrArray) problems = g_ptr_array_new();
        g_assert_true(resource_finish(resource, problems));
        g_assert_true(graph_add(run->graph, resource, DUPLICATE_REFUSE, NULL, NULL));
    }
    g_auto(GStrv) pairs = g_strsplit(edges, " ", -1);
    for (char **pair = pairs; *pair; pair++) {
        char *sign = strpbrk(*pair, ">!");
        if (!sign)
            continue;
        EdgeFlags flags = *sign == '!' ? EDGE_NOTIFY : 0;
        *sign = '\0';
        int from = graph_find(run->graph, kind_of(*pair)->name, *pair),
            to = graph_find(run->graph, kind_of(sign + 1)->name, sign + 1);
        graph_add_edge(run->graph, (unsigned)from, (unsigned)to, flags, (Origin){ "test", 1, 0 });
    }
}

void test_meta(TestRun *run, const char *name, const char *meta, Value *value) {
    g_autoptr(Value) owned = value;
    g_autoptr(GError) error = NULL;
    meta_set(resource_own_meta(resource_of(run, name)), meta, owned, &error);
    g_assert_no_error(error);
}

void test_param(TestRun *run, const char *name, const char *param, Value *value) {
    g_autoptr(Value) owned = value;
    g_autoptr(GError) error = NULL;
    resource_set(resource_of(run, name), param, owned, &error);
    g_assert_no_error(error);
}

void test_receive(TestRun *run, const char *name, const char *sender) {
    g_assert_true(
        resource_receive(resource_of(run, name), "number", "probe", sender, "number", NULL));
}

void test_load(TestRun *run) {
    g_autoptr(GPtrArray) problems = g_ptr_array_new();
    g_assert_true(graph_seal(run->graph, problems));
    if (!run->engine)
        test_start(run);
    g_autoptr(GError) error = NULL;
    engine_load(run->engine, run->graph, &error);
    g_assert_no_error(error);
}

static void quit(void *data) {
    loop_quit(data);
}

void test_advance(TestRun *run, uint64_t us) {
    LoopTimer *timer = NULL;
    loop_timer_set(run->loop, &timer, loop_now(run->loop) + us, quit, run->loop);
    g_autoptr(GError) error = NULL;
    loop_run(run->loop, &error);
    g_assert_no_error(error);
    loop_timer_clear(&timer);
}

void test_advance_real(TestRun *run, uint64_t us) {
    gint64 end = g_get_monotonic_time() + (gint64)us;
    while (g_get_monotonic_time() < end) {
        loop_turn(run->loop);
        g_usleep(500);
    }
}

char *test_state(TestRun *run, const char *name) {
    g_autoptr(Value) status = engine_status(run->engine, kind_of(name)->name, name);
    return g_strdup(status ? value_map_string(status, "state", "") : "none");
}
