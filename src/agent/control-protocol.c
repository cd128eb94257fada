#include "agent/control-protocol.h"

#include <string.h>
#include <unistd.h>

#include "base/json.h"

static void answer_line(GString *answer, Value *map) {
    json_append(answer, map, JSON_COMPACT);
    g_string_append_c(answer, '\n');
    value_unref(map);
}

static void answer_error(GString *answer, const char *text) {
    Value *map = value_new_map();
    value_map_set(map, "error", value_new_string(text));
    answer_line(answer, map);
}

static void answer_status(void *data, const Value *status) {
    json_append(data, status, JSON_COMPACT);
    g_string_append_c(data, '\n');
}

static Value *summary_value(const Engine *engine) {
    EngineSummary summary = engine_summary(engine);
    Value *map = value_new_map();
    value_map_set(map, "total", value_new_int(summary.total));
    value_map_set(map, "ok", value_new_int(summary.ok));
    value_map_set(map, "changed", value_new_int(summary.changed));
    value_map_set(map, "removed", value_new_int(summary.removed));
    value_map_set(map, "pending", value_new_int(summary.pending));
    value_map_set(map, "failed", value_new_int(summary.failed));
    value_map_set(map, "blocked", value_new_int(summary.blocked));
    value_map_set(map, "unfinished", value_new_int(summary.unfinished));
    value_map_set(map, "converged", value_new_bool(engine_is_converged(engine)));
    value_map_set(map, "pid", value_new_int(getpid()));
    return map;
}

static void ask_status(const Engine *engine, const Value *more, const Value *request,
                       GString *answer) {
    engine_visit_status(engine, answer_status, answer);
    Value *map = value_new_map(), *summary = summary_value(engine);
    for (size_t i = 0; more && i < value_size(more); i++) {
        const char *name;
        const Value *value = value_map_at(more, i, &name);
        value_map_set(summary, name, value_ref(value));
    }
    value_map_set(map, "summary", summary);
    answer_line(answer, map);
}

static void ask_why(const Engine *engine, const Value *more, const Value *request,
                    GString *answer) {
    const char *kind = value_map_string(request, "kind", ""),
               *name = value_map_string(request, "name", "");
    g_autoptr(Value) status = engine_status(engine, kind, name);
    if (status)
        answer_status(answer, status);
}

static const struct {
    const char *ask;
    void (*answer)(const Engine *engine, const Value *more, const Value *request, GString *answer);
} asks[] = {
    { "status", ask_status },
    { "why", ask_why },
};

void control_answer(const Engine *engine, const Value *more, const char *text, size_t size,
                    GString *answer) {
    g_autoptr(GError) error = NULL;
    g_autoptr(Value) request = json_parse(text, size, "request", &error);
    if (!request || value_type(request) != VALUE_MAP) {
        answer_error(answer, error ? error->message : "request: expected an object");
        return;
    }
    const char *ask = value_map_string(request, "ask", "");
    for (unsigned i = 0; i < G_N_ELEMENTS(asks); i++)
        if (strcmp(asks[i].ask, ask) == 0) {
            asks[i].answer(engine, more, request, answer);
            Value *end = value_new_map();
            value_map_set(end, "end", value_new_bool(true));
            answer_line(answer, end);
            return;
        }
    answer_error(answer, "request: 'ask' must be 'status' or 'why'");
}

GPtrArray *control_parse_answer(const char *answer, GError **error) {
    g_autoptr(GPtrArray) values = g_ptr_array_new_with_free_func((GDestroyNotify)value_unref);
    g_auto(GStrv) lines = g_strsplit(answer, "\n", -1);
    for (char **line = lines; *line && **line; line++) {
        Value *value = json_parse(*line, strlen(*line), "answer", error);
        if (!value)
            return NULL;
        g_ptr_array_add(values, value);
        if (value_type(value) != VALUE_MAP) {
            g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED,
                        "read the agent's answer: expected an object, found a %s",
                        value_type_name(value_type(value)));
            return NULL;
        }
        if (value_map_bool(value, "end", false)) {
            g_ptr_array_set_size(values, (int)values->len - 1);
            return g_steal_pointer(&values);
        }
        const char *refusal = value_map_string(value, "error", NULL);
        if (refusal && values->len == 1 && !value_map_get(value, "state")) {
            g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED, "ask the agent: %s", refusal);
            return NULL;
        }
    }
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED,
                "read the agent's answer: it ends in the middle");
    return NULL;
}
