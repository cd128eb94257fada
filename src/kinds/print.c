#include "kinds/kinds.h"

/*
 * print: a line for people. What it prints is the round's note, which the engine shows.
 *
 * Printing is no change of the machine: the first round, and a round after another text was
 * received, notes the text and stays ACTION_NONE. A notification is different: it is something that
 * happened, so it is an ACTION_RUN. Unlike mgmt's it is not grouped: a notification of one would
 * print all.
 */

enum { P_MSG, P_REFRESH_ONLY, N_PARAMS };

static const Param params[N_PARAMS] = {
    [P_MSG] = { "msg", PARAM_STRING, PARAM_NAMED | PARAM_RECEIVES,
                "The text to print; the resource's name unless given.", .aliases = "message" },
    [P_REFRESH_ONLY] = { "refresh_only", PARAM_BOOL, 0,
                         "Print only when another resource notifies this one.",
                         .fallback = "false" },
};

static void print_text(KindRun *run) {
    const Value *msg = resource_get(run->resource, P_MSG);
    if (!msg || value_type(msg) == VALUE_UNKNOWN)
        return; /* a plan: it is received from what has not run yet */
    if (value_is_secret(msg))
        kind_run_note(run, "(secret)");
    else
        kind_run_note(run, "%s", value_string(msg));
}

/* Without a notification: at the start, and when another text was received. */
static bool is_due(const KindRun *run) {
    return !run->planning && !resource_bool(run->resource, P_REFRESH_ONLY) &&
           (run->reason == REASON_START || run->reason == REASON_EVENT);
}

static bool print_observe(KindRun *run, State *actual, GError **error) {
    actual->exists = true;
    return true;
}

static bool print_diff(KindRun *run, const State *actual, Changes *changes, GError **error) {
    if (run->refresh) {
        changes->action = ACTION_RUN;
        const Value *msg = resource_get(run->resource, P_MSG);
        changes_add(changes, "msg", NULL, msg ? value_ref(msg) : value_new_unknown(), NULL);
    } else if (is_due(run)) {
        print_text(run);
    }
    return true;
}

static bool print_apply(KindRun *run, const State *actual, const Changes *changes, GError **error) {
    print_text(run);
    return true;
}

const Kind kind_print = {
    .name = "print",
    .summary = "Print a line for people",
    .help = "Prints `msg` on the terminal of the run; an agent writes it to its log. It is printed "
            "once when the run or the agent starts, again when the text changes, and each time "
            "another resource notifies it. A secret is printed as \"(secret)\".\n\n"
            "Printing does not count as a change, so a second run of the same configuration still "
            "says that nothing changed; printing because of a notification does.",
    .example = "print \"hello\" { msg = \"hello from stead\" }\n"
               "file \"/tmp/motd\" { content = \"hi\\n\", notify = print \"changed\" }\n"
               "print \"changed\" { msg = \"motd was changed\", refresh_only = true }\n",
    .params = params,
    .n_params = N_PARAMS,
    .flags = KIND_INLINE | KIND_STATELESS | KIND_REFRESHES,
    .observe = print_observe,
    .diff = print_diff,
    .apply = print_apply,
};
