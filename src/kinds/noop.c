#include "kinds/kinds.h"

/* noop: a vertex that does nothing: a place to hang edges on. Unlike mgmt's it is not grouped: one
 * vertex of all would pass a notification, or a failure before one of them, on to everybody. */

enum { P_COMMENT, N_PARAMS };

static const Param params[N_PARAMS] = {
    [P_COMMENT] = { "comment", PARAM_STRING, 0, "Text for whoever reads the configuration." },
};

static bool noop_observe(KindRun *run, State *actual, GError **error) {
    actual->exists = true;
    return true;
}

/* A notification goes through: whoever listens to this resource is notified as well. */
static bool noop_diff(KindRun *run, const State *actual, Changes *changes, GError **error) {
    if (run->refresh)
        changes->action = ACTION_RUN;
    return true;
}

static bool noop_apply(KindRun *run, const State *actual, const Changes *changes, GError **error) {
    kind_run_note(run, "passed a notification on");
    return true;
}

const Kind kind_noop = {
    .name = "noop",
    .summary = "Do nothing: a place to hang edges on",
    .help = "Changes nothing on the machine. Many resources can be before it and many after it, so "
            "that M x N edges become M + N: a milestone.\n\n"
            "A notification it gets is passed on to those it notifies. Not to be confused with the "
            "meta parameter `noop`, which keeps any resource from changing anything.",
    .example = "noop \"base ready\" { comment = \"everything below needs this\" }\n"
               "print \"go\" { needs = noop \"base ready\" }\n",
    .params = params,
    .n_params = N_PARAMS,
    .flags = KIND_INLINE | KIND_STATELESS | KIND_REFRESHES,
    .observe = noop_observe,
    .diff = noop_diff,
    .apply = noop_apply,
};
