/*
 * The round: observe, diff and, unless noop, apply and observe again. Runs in a worker: touches the
 * Round, the Host and ledger_begin(), never a Vertex.
 */
#include <string.h>

#include "engine/engine-private.h"

static RunReason reason_of(const Vertex *vertex) {
    if (!vertex->succeeded)
        return REASON_START;
    return vertex->dirty && !vertex->quiet ? REASON_EVENT : REASON_POLL;
}

static bool round_is_noop(const Vertex *vertex) {
    if (vertex->engine->options.noop)
        return true;
    for (unsigned i = 0; i < vertex->n_members; i++)
        if (resource_meta(vertex->members[i])->noop)
            return true;
    return false;
}

/* Packages and commands bring directories, users and units that a plan does not see. */
static bool is_brought(const Vertex *vertex) {
    const Engine *engine = vertex->engine;
    unsigned n = 0;
    const unsigned *in = engine->planning ? graph_edges_in(engine->graph, vertex->index, &n) : NULL;
    for (unsigned i = 0; i < n; i++)
        if (engine->vertices[graph_edge(engine->graph, in[i])->from]->brings)
            return true;
    return false;
}

Round *round_new(Vertex *vertex) {
    Engine *engine = vertex->engine;
    Round *round = g_malloc0(sizeof *round + vertex->n_members * sizeof(RoundMember));
    round->engine = engine;
    round->vertex = vertex;
    round->writer = (uintptr_t)vertex;
    round->started = loop_now(engine->options.loop);
    round->cancel = cancel_new(resource_meta(vertex->members[0])->timeout);
    round->noop = round_is_noop(vertex);
    round->brought = is_brought(vertex);
    round->removal = vertex->removal;
    round->n_members = vertex->n_members;
    for (unsigned i = 0; i < round->n_members; i++) {
        KindRun *run = &round->members[i].run;
        *run = (KindRun){
            .host = engine->options.host,
            .resource = resource_ref(vertex_effective(vertex, i)),
            .cancel = round->cancel,
            .reason = reason_of(vertex),
            .planning = engine->planning,
            .brought = round->brought,
            .once = !engine->options.watch,
            .wall_now = loop_wall_now(engine->options.loop),
            .state_dir = engine->options.state_dir,
            .exit_code = -1,
            .claim = claims_find,
            .claim_data = engine->claims,
        };
        if (engine->planning)
            round->members[i].unknown = receive_unknown(vertex, i);
    }
    return round;
}

static void member_clear(RoundMember *member) {
    resource_unref((Resource *)(uintptr_t)member->run.resource);
    value_unref(member->run.outputs);
    value_unref((Value *)(uintptr_t)member->run.kept);
    value_unref(member->run.keep);
    value_unref(member->unknown);
    value_unref(member->before);
    g_free(member->run.note);
    state_free(member->actual);
    changes_free(member->changes);
}

void round_free(Round *round) {
    for (unsigned i = 0; i < round->n_members; i++)
        member_clear(&round->members[i]);
    loop_timer_clear(&round->hold);
    cancel_unref(round->cancel);
    g_clear_error(&round->error);
    g_free(round);
}

bool round_diff(KindRun *run, const State *actual, Changes *changes, GError **error) {
    if (run->resource->kind->diff)
        return run->resource->kind->diff(run, actual, changes, error);
    return kind_diff_properties(run, actual, changes, error);
}

/* In a plan a received value may be unknown: the rest was predicted without it, this says so. */
static void add_unknown(RoundMember *member) {
    const Kind *kind = member->run.resource->kind;
    for (size_t i = 0; i < value_size(member->unknown); i++) {
        unsigned param = (unsigned)value_int(value_list_at(member->unknown, i));
        const Value *before = state_get(member->actual, param);
        if (changes_find(member->changes, kind->params[param].name) == NULL)
            changes_add(member->changes, kind->params[param].name, value_ref(before),
                        value_new_unknown(), NULL);
        if (member->changes->action == ACTION_NONE)
            member->changes->action = member->actual->exists ? ACTION_CHANGE : ACTION_CREATE;
        member->changes->uncertain = true;
    }
}

/* Most looks find everything right: without taking down what is there that costs a third. */
static bool is_settled(RoundMember *member) {
    const KindRun *run = &member->run;
    const Kind *kind = run->resource->kind;
    return kind->settled && member->same && !run->planning && !run->refresh &&
           run->reason != REASON_EVENT && kind->settled(&member->run);
}

static bool look(RoundMember *member, GError **error) {
    KindRun *run = &member->run;
    const Kind *kind = run->resource->kind;
    if (is_settled(member))
        return cancel_check(run->cancel, error);
    member->actual = state_new(kind);
    member->changes = changes_new();
    if ((kind->observe && !kind->observe(run, member->actual, error)) ||
        !round_diff(run, member->actual, member->changes, error) ||
        !cancel_check(run->cancel, error))
        return false;
    Action action = member->changes->action;
    /* Doing what a notification asks for repairs nothing, nor does what is done anyway. */
    if (member->changes->routine || member->changes->intended ||
        (run->refresh && (action == ACTION_RUN || action == ACTION_RESTART)))
        member->corrective = false;
    return true;
}

bool has_change(const RoundMember *member) {
    return member->changes && !changes_empty(member->changes);
}

/* Says which member of a group an error is about. */
static bool blame(const Round *round, const RoundMember *member, GError **error) {
    if (round->n_members > 1)
        g_prefix_error(error, "%s '%s': ", member->run.resource->kind->name,
                       member->run.resource->name);
    return false;
}

static bool approve_members(const Round *round, GError **error) {
    const EngineOptions *options = &round->engine->options;
    for (unsigned i = 0; options->approve && i < round->n_members; i++)
        if (has_change(&round->members[i]) &&
            !options->approve(options->approve_data, round->members[i].run.resource,
                              round->members[i].changes, error))
            return blame(round, &round->members[i], error);
    return true;
}

static bool begin_members(Round *round, GError **error) {
    for (unsigned i = 0; i < round->n_members; i++)
        if (has_change(&round->members[i]) && !record_begin(round, &round->members[i], error))
            return blame(round, &round->members[i], error);
    return true;
}

/* Returns the number of members with changes. Each array has room for all members. */
static unsigned pick_changed(Round *round, KindRun **runs, const State **actuals,
                             Changes **changes) {
    unsigned n = 0;
    for (unsigned i = 0; i < round->n_members; i++) {
        if (!has_change(&round->members[i]))
            continue;
        runs[n] = &round->members[i].run;
        actuals[n] = round->members[i].actual;
        changes[n++] = round->members[i].changes;
    }
    return n;
}

static bool foresee_members(Round *round, GError **error) {
    const Kind *kind = round->members[0].run.resource->kind;
    g_autofree KindRun **runs = g_new(KindRun *, round->n_members);
    g_autofree const State **actuals = g_new(const State *, round->n_members);
    g_autofree Changes **changes = g_new(Changes *, round->n_members);
    unsigned n = kind->foresee ? pick_changed(round, runs, actuals, changes) : 0;
    return n == 0 || kind->foresee(runs, actuals, changes, n, error);
}

static bool apply_one(RoundMember *member, GError **error) {
    KindRun *run = &member->run;
    return !run->resource->kind->apply ||
           run->resource->kind->apply(run, member->actual, member->changes, error);
}

static bool apply_group(Round *round, GError **error) {
    g_autofree KindRun **runs = g_new(KindRun *, round->n_members);
    g_autofree const State **actuals = g_new(const State *, round->n_members);
    g_autofree Changes **changes = g_new(Changes *, round->n_members);
    unsigned n = pick_changed(round, runs, actuals, changes);
    return round->members[0].run.resource->kind->apply_group(
        runs, actuals, (const Changes *const *)changes, n, error);
}

static bool apply_members(Round *round, GError **error) {
    if (round->n_members > 1 && round->members[0].run.resource->kind->apply_group)
        return apply_group(round, error);
    for (unsigned i = 0; i < round->n_members; i++)
        if (has_change(&round->members[i]) && !apply_one(&round->members[i], error))
            return blame(round, &round->members[i], error);
    return true;
}

static bool prove_members(Round *round, GError **error) {
    for (unsigned i = 0; i < round->n_members; i++)
        if (has_change(&round->members[i]) && !prove(round, &round->members[i], error))
            return blame(round, &round->members[i], error);
    return true;
}

static bool make_right(Round *round, GError **error) {
    if (!approve_members(round, error) || !begin_members(round, error))
        return false;
    host_writer_begin(round->writer);
    bool applied = apply_members(round, error), ok = applied && prove_members(round, error);
    round->undone = applied && !ok;
    host_writer_end();
    return ok;
}

/* What is right when first seen may still have to be restored one day. */
static bool adopt_members(Round *round, GError **error) {
    for (unsigned i = 0; i < round->n_members; i++) {
        RoundMember *member = &round->members[i];
        bool remembered =
            round->engine->remembers && !(member->run.resource->kind->flags & KIND_STATELESS);
        if (remembered && member->first && !preimage_take(round, member, error))
            return blame(round, member, error);
    }
    return true;
}

/* A killed apply left something behind: clear it before looking. */
static bool clean_members(Round *round, GError **error) {
    for (unsigned i = 0; i < round->n_members; i++) {
        KindRun *run = &round->members[i].run;
        if (run->resource->kind->clean && !run->resource->kind->clean(run, error))
            return blame(round, &round->members[i], error);
    }
    return true;
}

/* An error of one member, or of several for the same reason. */
typedef struct {
    GError *error; /* without who */
    GString *who;
} Problem;

static void problem_free(void *data) {
    Problem *problem = data;
    g_clear_error(&problem->error);
    g_string_free(problem->who, TRUE);
    g_free(problem);
}

/* A group's members do not depend on each other: who cannot be looked at does not keep the others
 * from being made right. Their problems are told together. */
static void look_or_set_aside(RoundMember *member, GPtrArray *problems) {
    GError *own = NULL;
    if (look(member, &own))
        return;
    member->failed = true;
    changes_free(member->changes);
    member->changes = changes_new();
    const Resource *resource = member->run.resource;
    for (unsigned i = 0; i < problems->len; i++) {
        Problem *problem = problems->pdata[i];
        if (strcmp(problem->error->message, own->message) != 0)
            continue;
        g_string_append_printf(problem->who, ", %s '%s'", resource->kind->name, resource->name);
        g_error_free(own);
        return;
    }
    Problem *problem = g_new0(Problem, 1);
    problem->error = own;
    problem->who = g_string_new(NULL);
    g_string_printf(problem->who, "%s '%s'", resource->kind->name, resource->name);
    g_ptr_array_add(problems, problem);
}

/* All in one error, which is the first one's; what is the same for several is told once. */
static GError *join_problems(const Round *round, const GPtrArray *problems) {
    const Problem *first = problems->pdata[0];
    if (round->n_members == 1)
        return g_error_copy(first->error);
    g_autoptr(GString) text = g_string_new(NULL);
    for (unsigned i = 0; i < problems->len; i++) {
        const Problem *problem = problems->pdata[i];
        g_string_append_printf(text, "%s%s: %s", i > 0 ? "; " : "", problem->who->str,
                               problem->error->message);
    }
    return g_error_new_literal(first->error->domain, first->error->code, text->str);
}

/* What is missing in a plan may be there by then: decided when applied. Members of a group do not
 * get here: packages know by themselves what a plan cannot see. */
static bool may_be_brought(Round *round) {
    RoundMember *member = &round->members[0];
    if (round->result != ROUND_FAILED || !round->brought || round->n_members > 1 ||
        !g_error_matches(round->error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND))
        return false;
    if (changes_empty(member->changes))
        member->changes->action = member->actual->exists ? ACTION_CHANGE : ACTION_CREATE;
    member->changes->uncertain = true;
    return true;
}

static RoundResult work(Round *round, GError **error) {
    if (round->resumed && !round->engine->planning && !clean_members(round, error))
        return ROUND_FAILED;
    bool wrong = false;
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func(problem_free);
    for (unsigned i = 0; i < round->n_members; i++) {
        look_or_set_aside(&round->members[i], problems);
        wrong |= has_change(&round->members[i]);
    }
    if (wrong && (!foresee_members(round, error) || (!round->noop && !make_right(round, error)))) {
        for (unsigned i = 0; i < round->n_members; i++)
            round->members[i].failed |=
                has_change(&round->members[i]) && !round->members[i].run.apart;
        return ROUND_FAILED;
    }
    if (problems->len > 0) {
        g_propagate_error(error, join_problems(round, problems));
        return ROUND_FAILED;
    }
    if (!round->noop && !adopt_members(round, error))
        return ROUND_FAILED;
    for (unsigned i = 0; i < round->n_members; i++) {
        if (round->members[i].unknown)
            add_unknown(&round->members[i]);
        wrong |= has_change(&round->members[i]);
    }
    if (!wrong)
        return ROUND_OK;
    return round->noop ? ROUND_PENDING : ROUND_CHANGED;
}

bool member_is_right(const Round *round, unsigned member) {
    bool any_failed = false; /* none: the round failed as a whole */
    for (unsigned i = 0; i < round->n_members; i++)
        any_failed |= round->members[i].failed;
    return any_failed && !round->members[member].failed;
}

/* The kind's error is often that its command was cancelled: say which limit ended it. */
static void explain_deadline(Round *round) {
    uint64_t timeout = resource_meta(round->members[0].run.resource)->timeout;
    if (timeout == 0 || !g_error_matches(round->error, STEAD_ERROR, STEAD_ERROR_TIMEOUT))
        return;
    g_prefix_error(&round->error,
                   "take longer than its 'timeout' of %g s: ", (double)timeout / 1e6);
}

/* What is gone from the configuration has no block to write force = true in. */
static void explain_force(Round *round) {
    const Resource *resource = round->members[0].run.resource;
    if (!round->removal || !g_error_matches(round->error, STEAD_ERROR, STEAD_ERROR_REFUSED) ||
        round->n_members > 1 || kind_param_index(resource->kind, "force") < 0)
        return;
    g_autofree char *text = g_strdup_printf(
        "%s; it left the configuration, so say --force '%s[%s]' for one run, or let go of it with: "
        "stead ledger forget %s '%s'",
        round->error->message, resource->kind->name, resource->name, resource->kind->name,
        resource->name);
    g_free(round->error->message);
    round->error->message = g_steal_pointer(&text);
}

void round_work(void *data) {
    Round *round = data;
    round->result = work(round, &round->error);
    if (may_be_brought(round)) {
        g_clear_error(&round->error);
        round->result = round->noop ? ROUND_PENDING : ROUND_CHANGED;
    }
    if (round->result != ROUND_FAILED)
        return;
    explain_deadline(round);
    explain_force(round);
}
