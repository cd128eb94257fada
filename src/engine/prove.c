/*
 * The proof of an apply: nothing may differ any more. In a worker, like the round it is a part of.
 *
 * What the apply was to make right and did not is a failure at once. What was right before the
 * apply and is wrong after it was changed by somebody else meanwhile (or by the apply itself): it
 * is made right too and proven again, but not for ever.
 */
#include <string.h>

#include "engine/engine-private.h"

/* How often what others change meanwhile is made right before it is a failure. */
#define PROVE_AGAIN_MAX 3

static void take_over(Value **value, Value *newer) {
    if (!newer)
        return;
    value_unref(*value);
    *value = newer;
}

/* What differs now. What this look sends is newer than what the first one sent. */
static bool look_again(RoundMember *member, State *actual, Changes *changes, GError **error) {
    const Kind *kind = member->run.resource->kind;
    KindRun again = member->run;
    again.refresh = false;
    again.reason = REASON_VERIFY;
    again.once = false;
    again.outputs = again.keep = NULL;
    if (member->run.keep)
        again.kept = member->run.keep;
    again.note = NULL;
    if (kind->settled && kind->settled(&again))
        return true;
    bool ok = (!kind->observe || kind->observe(&again, actual, error)) &&
              round_diff(&again, actual, changes, error);
    take_over(&member->run.outputs, again.outputs);
    take_over(&member->run.keep, again.keep);
    g_free(again.note);
    return ok;
}

/* Whether something differs that was right before the apply. */
static bool is_new(const Changes *applied, const Changes *changes) {
    for (unsigned i = 0; i < changes->changes->len; i++)
        if (!changes_find(applied, g_array_index(changes->changes, Change, i).property))
            return true;
    return changes->changes->len == 0 && changes->action != applied->action;
}

static bool not_done(const Changes *changes, GError **error) {
    if (changes->changes->len == 0) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED, "prove the change: it still wants '%s'",
                    action_name(changes->action));
        return false;
    }
    const Change *change = &g_array_index(changes->changes, Change, 0);
    g_autofree char *before = value_show(change->before, 60);
    g_autofree char *after = value_show(change->after, 60);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED,
                "prove the change: '%s' is still %s, not %s; somebody else writes it, or it "
                "cannot hold that value",
                change->property, before, after);
    return false;
}

static bool never_ends(const Changes *changes, GError **error) {
    g_autoptr(GString) names = g_string_new(NULL);
    for (unsigned i = 0; i < changes->changes->len; i++)
        g_string_append_printf(names, "%s'%s'", i > 0 ? ", " : "",
                               g_array_index(changes->changes, Change, i).property);
    if (names->len == 0)
        g_string_append(names, "something");
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED,
                "prove the change: %s was made right %d times and differs again; somebody else "
                "keeps changing it: look for a second tool that manages it",
                names->str, PROVE_AGAIN_MAX);
    return false;
}

static bool make_right_again(const Round *round, RoundMember *member, const State *actual,
                             Changes *changes, GError **error) {
    const EngineOptions *options = &round->engine->options;
    KindRun *run = &member->run;
    const Kind *kind = run->resource->kind;
    run->refresh = false; /* delivered by the first apply */
    return (!options->approve ||
            options->approve(options->approve_data, run->resource, changes, error)) &&
           (!kind->foresee || kind->foresee(&run, &actual, &changes, 1, error)) &&
           (!kind->apply || kind->apply(run, actual, changes, error));
}

/* What was made right meanwhile belongs to what was done. */
static void add_changes(Changes *all, const Changes *more) {
    for (unsigned i = 0; i < more->changes->len; i++) {
        const Change *change = &g_array_index(more->changes, Change, i);
        if (!changes_find(all, change->property))
            changes_add(all, change->property, value_ref(change->before), value_ref(change->after),
                        g_strdup(change->diff));
    }
}

bool prove(const Round *round, RoundMember *member, GError **error) {
    const Kind *kind = member->run.resource->kind;
    if (kind->flags & (KIND_UNPREDICTABLE | KIND_STATELESS)) /* no lasting state of its own */
        return true;
    g_autoptr(Changes) others = changes_new(); /* changed by somebody else */
    for (unsigned again = 0;; again++) {
        g_autoptr(State) actual = state_new(kind);
        g_autoptr(Changes) changes = changes_new();
        if (!look_again(member, actual, changes, error))
            return false;
        bool right = changes_empty(changes) || changes->uncertain;
        if (!right && !is_new(member->changes, changes))
            return not_done(changes, error);
        if (!right && again == PROVE_AGAIN_MAX)
            return never_ends(changes, error);
        if (right) {
            add_changes(member->changes, others);
            return true;
        }
        if (!make_right_again(round, member, actual, changes, error))
            return false;
        add_changes(others, changes);
    }
}
