/* stead plan: what apply would do, and nothing else. */
#include "cli/commands.h"
#include "cli/exchange-of.h"
#include "cli/over-ssh.h"
#include "cli/saved-plan.h"
#include "cli/store-option.h"
#include "lib/plan.h"

static int exit_code(const Arguments *arguments, const Plan *plan) {
    int code = plan_has_errors(plan) ? EXIT_FAILURES : EXIT_DONE;
    if (arguments->detailed_exitcode && plan_changes_anything(plan))
        code |= EXIT_CHANGED;
    return code;
}

static int run(const Arguments *arguments, char **words) {
    if (arguments->ssh)
        return over_ssh(arguments, "plan", words[0]);
    g_autoptr(Session) session = session_open(arguments);
    g_auto(LangResult) result = { 0 };
    if (!session || !exchange_of_file(session, words[0]) ||
        !session_load_beside_ledger(session, words[0], LEDGER_READ, "plan", &result))
        return EXIT_REFUSED;
    g_autofree char *configuration = session_configuration(session, words[0]);
    PlanWishes wishes = {
        .parallel = (unsigned)MAX(0, arguments->parallel),
        .noop = arguments->noop,
        .configuration = configuration,
        .take_over = arguments->replace,
        .force = (const char *const *)arguments->force,
    };
    g_autoptr(GError) error = NULL;
    g_autoptr(Plan) plan = machine_plan(session->machine, result.graph, &wishes, &error);
    if (!plan) {
        printer_error(session->printer, error);
        return EXIT_REFUSED;
    }
    if (plan_warning(plan))
        printer_warning(session->printer, "%s", plan_warning(plan));
    if (printer_is_json(session->printer))
        printer_json(session->printer, "plan", plan_to_value(plan));
    else
        printer_plan(session->printer, plan);
    if (arguments->out && !saved_plan_write(session, plan, words[0], arguments->out, &error)) {
        printer_error(session->printer, error);
        return EXIT_REFUSED;
    }
    return exit_code(arguments, plan);
}

static const Option *const options[] = {
    &option_ssh,           &option_keep,       &option_root,
    &option_state,         &option_kinds,      &option_values,
    &option_secrets,       &option_env,        &option_exchange,
    &option_exchange_host, &option_store_ca,   &option_store_cert,
    &option_store_key,     &option_store_user, &option_store_password_file,
    &option_out,           &option_json,       &option_detailed_exitcode,
    &option_noop,          &option_replace,    &option_force,
    &option_parallel,      &option_verify,     &option_no_autoedges,
    &option_quiet,         &option_no_color,   NULL,
};

const Command command_plan = {
    .name = "plan",
    .arguments = "FILE",
    .min_arguments = 1,
    .max_arguments = 1,
    .summary = "Show exactly what apply would change",
    .help = "Evaluates FILE and runs its graph against a predicted copy of the host: each step "
            "sees what the\n"
            "steps before it will have done. Removals of what left the configuration come first. "
            "Commands are\n"
            "never run; what they would decide is shown as known after apply. With --out the plan "
            "is saved:\n"
            "`stead apply PLAN.json` then does exactly that, or refuses because the host moved.",
    .example = "stead plan site.lua --out plan.json",
    .options = options,
    .run = run,
};
