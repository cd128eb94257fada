#include "kinds/kinds.h"

/* value: hands a value on, so that one resource's output can feed several under one name. */

enum { P_ANY, N_PARAMS };

static const Param params[N_PARAMS] = {
    [P_ANY] = { "any", PARAM_ANY, PARAM_RECEIVES,
                "The value to hand on, of any type: given here or received from another resource.",
                .aliases = "value" },
};

static const Output outputs[] = {
    { "any", PARAM_ANY, "The value, as given or as received." },
};

static bool value_observe(KindRun *run, State *actual, GError **error) {
    const Value *any = resource_get(run->resource, P_ANY);
    actual->exists = true;
    if (any)
        kind_run_send(run, "any", value_ref(any));
    return true;
}

/* Never differs, so there is never anything to do. */
static bool value_apply(KindRun *run, const State *actual, const Changes *changes, GError **error) {
    return true;
}

const Kind kind_value = {
    .name = "value",
    .summary = "Hand a value on to other resources",
    .help = "Holds one value and offers it as the output `any`. It changes nothing on the machine. "
            "With a received value it is a named place in the middle: many resources can refer to "
            "it, and only one line changes when the value comes from somewhere else.\n\n"
            "Without `any` nothing is sent, and a resource that wants to receive it fails with a "
            "clear error.",
    .example = "value \"greeting\" { any = \"hello\" }\n"
               "print \"shout\" { msg = out(value \"greeting\", \"any\") }\n",
    .params = params,
    .n_params = N_PARAMS,
    .outputs = outputs,
    .n_outputs = G_N_ELEMENTS(outputs),
    .flags = KIND_INLINE | KIND_STATELESS,
    .observe = value_observe,
    .apply = value_apply,
};
