#include "kinds/kind-test.h"

#include <stdarg.h>
#include <string.h>

#include "base/json.h"
#include "host/host-faulty.h"
#include "host/host-overlay.h"

#define FAULT_TEXT "injected fault"
#define FAULTS_MAX 10000

static const char *test_origin = "/nonexistent/test.lua"; /* interned */

KindTest *kind_test_new(Host *host) {
    KindTest *test = g_new0(KindTest, 1);
    test->host = host;
    test->wall_now = G_GUINT64_CONSTANT(1700000000000000);
    test->kept = g_hash_table_new_full(resource_key_hash, resource_key_equal,
                                       (GDestroyNotify)resource_unref, (GDestroyNotify)value_unref);
    test->preimages =
        g_hash_table_new_full(resource_key_hash, resource_key_equal, (GDestroyNotify)resource_unref,
                              (GDestroyNotify)state_free);
    test->claimed = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    return test;
}

void kind_test_free(KindTest *test) {
    if (test == NULL)
        return;
    g_hash_table_unref(test->kept);
    g_hash_table_unref(test->preimages);
    g_hash_table_unref(test->claimed);
    g_free(test);
}

void kind_test_claim(KindTest *test, const char *path) {
    g_hash_table_add(test->claimed, g_strdup(path));
}

void kind_round_free(KindRound *round) {
    if (round == NULL)
        return;
    state_free(round->before);
    state_free(round->after);
    changes_free(round->changes);
    value_unref(round->outputs);
    g_free(round->note);
    g_clear_error(&round->error);
    g_free(round);
}

/* --- resources --- */

void kind_test_origin(const char *directory) {
    g_autofree char *file = g_strconcat(directory, "/test.lua", NULL);
    test_origin = g_intern_string(file);
}

static void add_problem(GPtrArray *problems, const char *argument, GError *problem) {
    g_prefix_error(&problem, "%s: ", argument);
    g_ptr_array_add(problems, problem);
}

static void set_argument(Resource *resource, const char *argument, GPtrArray *problems) {
    const char *equals = strchr(argument, '=');
    g_assert(equals != NULL && equals > argument);
    bool json = equals[-1] == ':';
    g_autofree char *name = g_strndup(argument, (size_t)(equals - argument) - (json ? 1 : 0));
    if (strcmp(equals, "=?") == 0) {
        int param = kind_param_index(resource->kind, name);
        g_assert(param >= 0);
        resource_put(resource, (unsigned)param, value_new_unknown());
        return;
    }
    GError *problem = NULL;
    g_autoptr(Value) value = json ? json_parse(equals + 1, strlen(equals + 1), argument, &problem)
                                  : value_new_string(equals + 1);
    if (value == NULL || !resource_set(resource, name, value, &problem))
        add_problem(problems, argument, problem);
}

static Resource *build(const Kind *kind, const char *name, va_list arguments, GPtrArray *problems) {
    Resource *resource = resource_new(kind, name, (Origin){ test_origin, 1, 1 });
    for (const char *argument; (argument = va_arg(arguments, const char *)) != NULL;)
        set_argument(resource, argument, problems);
    if (problems->len == 0)
        (void)resource_finish(resource, problems); /* the problems say it all */
    return resource;
}

static char *problems_text(GPtrArray *problems) {
    GString *text = g_string_new(NULL);
    for (unsigned i = 0; i < problems->len; i++)
        g_string_append_printf(text, "%s\n", ((GError *)problems->pdata[i])->message);
    return g_string_free(text, FALSE);
}

Resource *kind_test_resource(const Kind *kind, const char *name, ...) {
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func((GDestroyNotify)g_error_free);
    va_list arguments;
    va_start(arguments, name);
    Resource *resource = build(kind, name, arguments, problems);
    va_end(arguments);
    if (problems->len > 0) {
        g_autofree char *text = problems_text(problems);
        g_error("%s '%s' is not valid: %s", kind->name, name, text);
    }
    return resource;
}

char *kind_test_problems(const Kind *kind, const char *name, ...) {
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func((GDestroyNotify)g_error_free);
    va_list arguments;
    va_start(arguments, name);
    resource_unref(build(kind, name, arguments, problems));
    va_end(arguments);
    if (problems->len == 0)
        g_error("%s '%s' is valid but must not be", kind->name, name);
    return problems_text(problems);
}

/* --- rounds --- */

static PathClaim claim(void *data, const char *path) {
    KindTest *test = data;
    if (g_hash_table_contains(test->claimed, path))
        return PATH_MANAGED;
    g_autofree char *below = g_strconcat(path, "/", NULL);
    GHashTableIter iter;
    gpointer other;
    g_hash_table_iter_init(&iter, test->claimed);
    while (g_hash_table_iter_next(&iter, &other, NULL))
        if (g_str_has_prefix(other, below))
            return PATH_HOLDS;
    return PATH_FREE;
}

static KindRun run_new(KindTest *test, Host *host, const Resource *resource) {
    return (KindRun){
        .host = host,
        .resource = resource,
        .reason = test->reason,
        .refresh = test->refresh,
        .planning = host_is_prediction(host),
        .brought = test->brought && host_is_prediction(host),
        .wall_now = test->wall_now,
        .state_dir = test->state_dir,
        .outputs = value_new_map(),
        .kept = g_hash_table_lookup(test->kept, resource),
        .claim = claim,
        .claim_data = test,
        .exit_code = -1,
    };
}

static void run_clear(KindRun *run) {
    value_unref(run->outputs);
    value_unref(run->keep);
    g_free(run->note);
}

static bool look(KindRun *run, State **ret_state, Changes **ret_changes, GError **error) {
    const Kind *kind = run->resource->kind;
    g_autoptr(State) state = state_new(kind);
    g_autoptr(Changes) changes = changes_new();
    if (!kind->observe(run, state, error) ||
        !(kind->diff != NULL ? kind->diff : kind_diff_properties)(run, state, changes, error))
        return false;
    *ret_state = g_steal_pointer(&state);
    *ret_changes = g_steal_pointer(&changes);
    return true;
}

static bool keep_preimage(KindTest *test, KindRun *run, const State *before, GError **error) {
    if (run->planning || g_hash_table_contains(test->preimages, run->resource))
        return true;
    g_autoptr(Value) map = state_to_value(before);
    g_autoptr(State) copy = state_from_value(before->kind, map);
    if (before->kind->preimage != NULL && !before->kind->preimage(run, copy, error))
        return false;
    g_hash_table_insert(test->preimages, resource_ref(run->resource), g_steal_pointer(&copy));
    return true;
}

static char *changes_text(const Changes *changes) {
    GString *text = g_string_new(action_name(changes->action));
    if (changes->uncertain)
        g_string_append(text, " (uncertain)");
    for (unsigned i = 0; i < changes->changes->len; i++) {
        const Change *change = &g_array_index(changes->changes, Change, i);
        g_autofree char *before = value_show(change->before, 300);
        g_autofree char *after = value_show(change->after, 300);
        g_string_append_printf(text, "\n  %s: %s -> %s", change->property, before, after);
        if (change->diff != NULL)
            g_string_append_printf(text, "\n%s", change->diff);
    }
    if (changes->lines != NULL)
        g_string_append_printf(text, "\n%s", changes->lines);
    return g_string_free(text, FALSE);
}

static bool verify(KindRun *run, State **ret_after, GError **error) {
    g_autoptr(Changes) left = NULL;
    run->reason = REASON_VERIFY;
    run->refresh = false;
    if (!look(run, ret_after, &left, error))
        return false;
    /* What a plan cannot know still differs after it. */
    if (changes_empty(left) || (run->planning && left->uncertain))
        return true;
    g_autofree char *text = changes_text(left);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED, "still differs after apply: %s", text);
    return false;
}

static bool apply(KindRun *run, const State *before, const Changes *changes, GError **error) {
    const Kind *kind = run->resource->kind;
    if (kind->apply != NULL)
        return kind->apply(run, before, changes, error);
    return kind->apply_group(&run, &before, &changes, 1, error);
}

static void round_on(KindTest *test, Host *host, const Resource *resource, KindRound *round) {
    KindRun run = run_new(test, host, resource);
    if (look(&run, &round->before, &round->changes, &round->error) &&
        !changes_empty(round->changes) && keep_preimage(test, &run, round->before, &round->error) &&
        apply(&run, round->before, round->changes, &round->error))
        (void)verify(&run, &round->after, &round->error); /* round->error says it */
    if (round->error == NULL && run.keep != NULL && !run.planning)
        g_hash_table_replace(test->kept, resource_ref(resource), value_ref(run.keep));
    round->outputs = value_ref(run.outputs);
    round->note = g_steal_pointer(&run.note);
    round->exit_code = run.exit_code;
    round->rearm = run.rearm;
    run_clear(&run);
}

KindRound *kind_test_round(KindTest *test, const Resource *resource) {
    KindRound *round = g_new0(KindRound, 1);
    round_on(test, test->host, resource, round);
    return round;
}

KindRound *kind_test_plan(KindTest *test, const Resource *resource) {
    KindRound *round = g_new0(KindRound, 1);
    g_autoptr(Host) overlay = host_overlay_new(test->host);
    round_on(test, overlay, resource, round);
    return round;
}

/* --- plan and apply compared --- */

static void must_succeed(const KindRound *round, const Resource *resource, const char *what) {
    if (round->error == NULL)
        return;
    g_autofree char *name = resource_show(resource);
    g_error("%s: %s failed: %s", name, what, round->error->message);
}

static bool value_fits(const Value *planned, const Value *real) {
    return value_type(planned) == VALUE_UNKNOWN || value_equal(planned, real);
}

static bool changes_fit(const Changes *planned, const Changes *real) {
    if (planned->action != real->action || planned->changes->len != real->changes->len ||
        g_strcmp0(planned->lines, real->lines) != 0)
        return false;
    for (unsigned i = 0; i < real->changes->len; i++) {
        const Change *p = &g_array_index(planned->changes, Change, i);
        const Change *r = &g_array_index(real->changes, Change, i);
        if (strcmp(p->property, r->property) != 0 || !value_equal(p->before, r->before) ||
            !value_fits(p->after, r->after) || g_strcmp0(p->diff, r->diff) != 0)
            return false;
    }
    return true;
}

static bool states_fit(const State *planned, const State *real) {
    if (planned == NULL || real == NULL)
        return planned == real;
    if (planned->exists != real->exists)
        return false;
    for (unsigned i = 0; i < real->kind->n_params; i++)
        if (!value_fits(state_get(planned, i), state_get(real, i)))
            return false;
    return true;
}

static void must_fit(const Resource *resource, const KindRound *plan, const KindRound *round) {
    g_autofree char *name = resource_show(resource);
    g_autofree char *planned = changes_text(plan->changes);
    g_autofree char *real = changes_text(round->changes);
    if (!plan->changes->uncertain && !changes_fit(plan->changes, round->changes))
        g_error("%s: the plan was %s\nbut what was done is %s", name, planned, real);
    if ((resource->kind->flags & KIND_UNPREDICTABLE) == 0 && !states_fit(plan->after, round->after))
        g_error("%s: the predicted state is not what came out of %s", name, real);
}

/* The shortcut must not say yes where the long way finds something to do, or fails. */
static void must_not_be_settled(KindTest *test, const Resource *resource) {
    KindRun run = run_new(test, test->host, resource);
    if (resource->kind->settled != NULL && !run.refresh && resource->kind->settled(&run))
        g_error("%s '%s' calls itself settled and is not", resource->kind->name, resource->name);
    run_clear(&run);
}

KindRound *kind_test_converge(KindTest *test, const Resource *resource, Action expected) {
    g_autoptr(KindRound) before = kind_test_plan(test, resource);
    must_succeed(before, resource, "plan");
    if (!changes_empty(before->changes))
        must_not_be_settled(test, resource);
    g_autoptr(KindRound) again = kind_test_plan(test, resource);
    must_succeed(again, resource, "second plan");
    if (!changes_fit(before->changes, again->changes))
        g_error("a plan of %s '%s' changed the host", resource->kind->name, resource->name);

    g_autoptr(KindRound) round = kind_test_round(test, resource);
    must_succeed(round, resource, "apply");
    must_fit(resource, before, round);
    if (round->changes->action != expected) {
        g_autofree char *name = resource_show(resource);
        g_autofree char *text = changes_text(round->changes);
        g_error("%s: expected %s, found %s", name, action_name(expected), text);
    }

    RunReason reason = test->reason;
    bool refresh = test->refresh;
    test->reason = REASON_POLL;
    test->refresh = false;
    g_autoptr(KindRound) quiet = kind_test_round(test, resource);
    test->reason = reason;
    test->refresh = refresh;
    must_succeed(quiet, resource, "next round");
    if (!changes_empty(quiet->changes)) {
        g_autofree char *text = changes_text(quiet->changes);
        g_error("%s '%s' does not come to rest: %s", resource->kind->name, resource->name, text);
    }
    return g_steal_pointer(&round);
}

void kind_test_expect(KindTest *test, const Resource *resource, Action expected) {
    kind_round_free(kind_test_converge(test, resource, expected));
}

static void must_fail(const KindRound *round, const Resource *resource, const char *text) {
    if (round->error != NULL && strstr(round->error->message, text) != NULL)
        return;
    g_autofree char *name = resource_show(resource);
    g_error("%s: expected an error with '%s', got: %s", name, text,
            round->error == NULL ? "success" : round->error->message);
}

void kind_test_expect_error(KindTest *test, const Resource *resource, const char *text) {
    g_autoptr(KindRound) plan = kind_test_plan(test, resource);
    must_fail(plan, resource, text);
    must_not_be_settled(test, resource);
    g_autoptr(KindRound) round = kind_test_round(test, resource);
    must_fail(round, resource, text);
}

/* --- undoing --- */

/* As the ledger gives it back: secrets are empty, the place is lost. */
static Value *through_ledger(Value *value) {
    g_autoptr(GError) error = NULL;
    g_autofree char *text = json_print(value, JSON_COMPACT);
    Value *back = json_parse(text, strlen(text), "ledger", &error);
    g_assert_no_error(error);
    value_unref(value);
    return back;
}

static Resource *resource_from_ledger(const Resource *resource) {
    g_autoptr(GError) error = NULL;
    const KindSet set = { &resource->kind, 1 };
    g_autoptr(Value) value = through_ledger(resource_to_value(resource));
    Resource *back = resource_from_value(value, &set, resource->origin, &error);
    g_assert_no_error(error);
    return back;
}

Resource *kind_test_reverse(KindTest *test, const Resource *resource, OnRemove how) {
    g_autoptr(GError) error = NULL;
    g_autoptr(Resource) kept = resource_from_ledger(resource);
    const State *before = g_hash_table_lookup(test->preimages, resource);
    Resource *inverse = resource->kind->reverse(kept, before, how, &error);
    if (error != NULL) {
        g_autofree char *name = resource_show(resource);
        g_error("%s cannot be undone: %s", name, error->message);
    }
    return inverse;
}

void kind_test_undo(KindTest *test, const Resource *resource, OnRemove how) {
    g_autoptr(Resource) inverse = kind_test_reverse(test, resource, how);
    if (inverse == NULL) {
        g_autofree char *name = resource_show(resource);
        g_error("%s cannot be undone", name);
    }
    g_assert(resource_key_equal(inverse, resource));
    g_autoptr(KindRound) plan = kind_test_plan(test, inverse);
    must_succeed(plan, inverse, "plan of undoing");
    g_autoptr(KindRound) round = kind_test_round(test, inverse);
    must_succeed(round, inverse, "undoing");
    must_fit(inverse, plan, round);
    g_hash_table_remove(test->kept, resource);
    g_hash_table_remove(test->preimages, resource);
}

/* --- faults --- */

unsigned kind_test_faults(Host *(*setup)(void), const Resource *resource) {
    for (unsigned n = 1; n < FAULTS_MAX; n++) {
        g_autoptr(Host) host = setup();
        g_autoptr(Host) faulty = host_faulty_new(host);
        g_autoptr(KindTest) test = kind_test_new(faulty);
        host_faulty_arm(faulty, NULL, n, STEAD_ERROR_IO, FAULT_TEXT);
        g_autoptr(KindRound) round = kind_test_round(test, resource);
        unsigned calls = host_faulty_calls(faulty);
        if (round->error != NULL && strstr(round->error->message, FAULT_TEXT) == NULL)
            g_error("call %u failed, and the error hides it: %s", n, round->error->message);
        host_faulty_arm(faulty, NULL, 0, 0, NULL);
        g_autoptr(KindRound) next = kind_test_round(test, resource);
        must_succeed(next, resource, "the round after a fault");
        if (calls < n)
            return calls;
    }
    g_error("%s '%s' never gets done", resource->kind->name, resource->name);
}

/* --- watches --- */

static void on_signal(void *data, WatchSignal signal, const char *detail) {
    KindWatch *watch = data;
    if (signal == WATCH_FAILED)
        g_error("the watch failed: %s", detail);
    watch->n_ready += signal == WATCH_READY;
    watch->n_events += signal == WATCH_EVENT;
}

KindWatch *kind_watch_new(Host *host, const Resource *resource) {
    KindWatch *watch = g_new0(KindWatch, 1);
    watch->loop = loop_new_virtual(NULL);
    watch->watcher = watcher_new(host, watch->loop, 0, on_signal, watch);
    g_assert_true(resource->kind->watch(watch->watcher, resource, NULL));
    watcher_start(watch->watcher);
    (void)kind_watch_events(watch);
    g_assert_cmpuint(watch->n_ready, ==, 1);
    return watch;
}

void kind_watch_free(KindWatch *watch) {
    if (watch == NULL)
        return;
    watcher_free(watch->watcher);
    loop_free(watch->loop);
    g_free(watch);
}

unsigned kind_watch_events(KindWatch *watch) {
    while (loop_turn(watch->loop))
        ;
    return watch->n_events;
}
