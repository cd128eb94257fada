/* exit: ends the whole run when its turn comes. */
#include "kinds/kinds.h"

#define CODE_MAX 125 /* above, shells use the codes for signals and commands not found */

enum { EXIT_CODE };

static const Param exit_params[] = {
    [EXIT_CODE] = { "code", PARAM_INT, 0, "Exit code of the whole run, from 0 to 125.",
                    .fallback = "0" },
};

static bool exit_validate(const Resource *resource, GError **error) {
    int64_t code = resource_int(resource, EXIT_CODE, 0);
    if (code >= 0 && code <= CODE_MAX)
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                "code must be between 0 and %d, not %" G_GINT64_FORMAT, CODE_MAX, code);
    return false;
}

static bool exit_observe(KindRun *run, State *actual, GError **error) {
    actual->exists = true;
    return true;
}

static bool exit_diff(KindRun *run, const State *actual, Changes *changes, GError **error) {
    if (run->reason != REASON_START && run->reason != REASON_EVENT)
        return true;
    changes->action = ACTION_RUN;
    changes_add(changes, "code", NULL, value_new_int(resource_int(run->resource, EXIT_CODE, 0)),
                NULL);
    return true;
}

static bool exit_apply(KindRun *run, const State *actual, const Changes *changes, GError **error) {
    int code = (int)resource_int(run->resource, EXIT_CODE, 0);
    if (!run->planning)
        run->exit_code = code;
    kind_run_note(run, "the run ends here with code %d", code);
    return true;
}

const Kind kind_exit = {
    .name = "exit",
    .summary = "End the run with an exit code",
    .help = "Ends the whole run, agent or one-shot, when everything this resource needs is done. "
            "What is running finishes; nothing new is started. A plan shows it and goes on.\n\n"
            "Put it behind what must be true first, with `needs`. With `noop` it only reports. A "
            "service manager that restarts the agent on exit makes a loop of it.",
    .example = "file \"/etc/site.ready\" { content = \"yes\\n\" }\n"
               "exit \"done\" { code = 0, needs = file \"/etc/site.ready\" }\n",
    .params = exit_params,
    .n_params = G_N_ELEMENTS(exit_params),
    .flags = KIND_INLINE | KIND_STATELESS | KIND_RESTARTS,
    .validate = exit_validate,
    .observe = exit_observe,
    .diff = exit_diff,
    .apply = exit_apply,
};
