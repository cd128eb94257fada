/* kv: a value that the hosts of a fleet share, in the store of their exchange. */
#include <string.h>

#include "base/exchange-key.h"
#include "graph/watcher.h"
#include "host/kv.h"
#include "kinds/kinds.h"

enum { P_KEY, P_VALUE, P_STATE, N_PARAMS };

static const char *const states[] = { "exists", "absent", NULL };

static const Param params[N_PARAMS] = {
    [P_KEY] = { "key", PARAM_STRING, PARAM_NAMED | PARAM_IDENTITY | PARAM_REWATCH,
                "The key: words between slashes. A host may put keys below its own name, and what "
                "`--may-publish` allows." },
    [P_VALUE] = { "value", PARAM_ANY, PARAM_PROPERTY | PARAM_RECEIVES,
                  "The value: whatever JSON can say. Unset: whatever is there is fine, and is "
                  "given "
                  "on as the output." },
    [P_STATE] = { "state", PARAM_ENUM, 0, "Whether there is such a key.", .fallback = "exists",
                  .choices = states, .aliases = "ensure" },
};

static const Output outputs[] = {
    { "value", PARAM_ANY, "The value as it is, its own or what another host put there." },
};

static bool wants_absent(const Resource *resource) {
    return strcmp(resource_string(resource, P_STATE), "absent") == 0;
}

static bool kv_validate(const Resource *resource, GError **error) {
    const Value *value = resource_get(resource, P_VALUE);
    const char *key = resource_string(resource, P_KEY);
    if (key && !exchange_key_check(key, error))
        return false;
    if (value && wants_absent(resource)) {
        g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                            "a key that is absent has no value: leave 'value' out");
        return false;
    }
    if (value && value_is_secret(value)) {
        g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                            "the value has a secret: every host of the fleet could read it");
        return false;
    }
    return true;
}

/* What only the store knows is not known where there is none, as in most plans. */
static bool kv_observe(KindRun *run, State *actual, GError **error) {
    g_autoptr(GError) problem = NULL;
    g_autoptr(Value) value = NULL;
    if (!host_kv_get(run->host, resource_string(run->resource, P_KEY), &value, run->cancel,
                     &problem)) {
        if (run->planning && g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_UNSUPPORTED)) {
            actual->exists = true;
            state_set(actual, P_VALUE, value_new_unknown());
            kind_run_send(run, "value", value_new_unknown());
            return true;
        }
        g_propagate_error(error, g_steal_pointer(&problem));
        return false;
    }
    actual->exists = value != NULL;
    if (value) {
        state_set(actual, P_VALUE, value_ref(value));
        kind_run_send(run, "value", value_ref(value));
    }
    return true;
}

static bool kv_diff(KindRun *run, const State *actual, Changes *changes, GError **error) {
    const Value *wanted = resource_get(run->resource, P_VALUE), *found = state_get(actual, P_VALUE);
    bool unknown = value_type(found) == VALUE_UNKNOWN || value_type(wanted) == VALUE_UNKNOWN;
    if (wants_absent(run->resource) ? !actual->exists : !wanted || value_equal(wanted, found))
        return true;
    changes->action = wants_absent(run->resource) ? ACTION_REMOVE
                      : actual->exists            ? ACTION_CHANGE
                                                  : ACTION_CREATE;
    changes->uncertain = unknown;
    changes_add(changes, "value", value_ref(found), value_ref(wanted), NULL);
    return true;
}

static bool kv_apply(KindRun *run, const State *actual, const Changes *changes, GError **error) {
    if (run->planning && changes->uncertain)
        return true;
    const Value *wanted = wants_absent(run->resource) ? NULL : resource_get(run->resource, P_VALUE);
    if (!host_kv_put(run->host, resource_string(run->resource, P_KEY), wanted, run->cancel, error))
        return false;
    if (wanted)
        kind_run_send(run, "value", value_ref(wanted));
    return true;
}

/* --- watching */

typedef struct {
    HostKv *kv;
    void *watch;
} KvWatch;

static void end_watch(void *data) {
    KvWatch *watch = data;
    watch->kv->unwatch(watch->kv, watch->watch);
    g_free(watch);
}

static void on_event(void *data, HostEvent event, const char *detail) {
    watcher_tap_tell(data, event, detail);
}

static bool kv_watch(Watcher *watcher, const Resource *resource, GError **error) {
    HostKv *kv = host_kv(watcher_machine(watcher));
    if (!kv)
        return true; /* observe says so */
    WatcherTap *tap = watcher_tap(watcher);
    KvWatch *watch = g_new0(KvWatch, 1);
    watch->kv = kv;
    watch->watch = kv->watch(kv, resource_string(resource, P_KEY), on_event, tap);
    watcher_tap_own(tap, end_watch, watch);
    watcher_tap_tell(tap, HOST_EVENT_READY, NULL);
    return true;
}

static Resource *kv_reverse(const Resource *resource, const State *before, OnRemove how,
                            GError **error) {
    const Value *value =
        before && before->exists && how != ON_REMOVE_REMOVE ? state_get(before, P_VALUE) : NULL;
    if (!resource_get(resource, P_VALUE) && !wants_absent(resource))
        return NULL; /* it only looked */
    Resource *inverse = resource_copy(resource);
    resource_put(inverse, P_STATE, value_new_string(value ? "exists" : "absent"));
    resource_put(inverse, P_VALUE, value_ref(value));
    return inverse;
}

const Kind kind_kv = {
    .name = "kv",
    .summary = "Keep a value that all hosts of a fleet share",
    .help = "Keeps one key in the store of the exchange (`--exchange`) at a value. Unlike what "
            "`exchange.publish` says, it stays when the host goes, until the resource leaves the "
            "configuration: then the key is what it was before. A change by another host is seen "
            "at once; two that want different values keep correcting each other, which is told.\n\n"
            "Without `value` it only looks: the output `value` is what another host put there. "
            "`stead plan` without an exchange cannot know the store, and says so.",
    .example = "kv \"settings/colour\" { value = { name = \"green\", level = 3 } }\n",
    .params = params,
    .n_params = N_PARAMS,
    .outputs = outputs,
    .n_outputs = G_N_ELEMENTS(outputs),
    .validate = kv_validate,
    .observe = kv_observe,
    .diff = kv_diff,
    .apply = kv_apply,
    .watch = kv_watch,
    .reverse = kv_reverse,
};
