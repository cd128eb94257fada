/*
 * Any bytes as the output of a program that speaks for a kind: each line is refused with a reason
 * or is a message that reads the same when printed. A description that is taken makes a kind whose
 * tables obey the rules of all tables, and makes the same again; an answer that is taken makes a
 * state that survives the ledger and a difference that can be computed.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/json.h"
#include "graph/meta.h"
#include "kinds/program-kind.h"
#include "kinds/program-message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_printed(const Message *message) {
    g_autofree char *text = json_print(message->value, JSON_COMPACT);
    g_auto(Message) again = { 0 };
    g_autoptr(GError) error = NULL;
    g_assert_true(message_read(text, strlen(text), 1, &again, &error));
    g_assert_cmpint(again.type, ==, message->type);
    g_assert_cmpuint(again.id, ==, message->id);
    g_assert_true(value_equal(again.value, message->value));
}

static void check_param(const ProgramKind *self, unsigned i) {
    const Param *row = &self->kind.params[i];
    g_assert_true(row->help && *row->help && row->name && *row->name);
    g_assert_cmpint(param_find(self->kind.params, self->kind.n_params, row->name), ==, (int)i);
    g_assert_false(meta_knows(row->name));
    g_assert_true((row->type == PARAM_ENUM) == (row->choices != NULL));
    g_autoptr(Value) fallback = param_fallback(row); /* asserts that it converts */
}

static ProgramKind *check_description(const Value *described) {
    g_autoptr(GError) error = NULL;
    g_autoptr(ProgramKind) self = program_kind_new("fuzz", "/fuzz", described, &error);
    g_assert_true((self == NULL) == (error != NULL));
    if (!self)
        return NULL;
    for (unsigned i = 0; i < self->kind.n_params; i++)
        check_param(self, i);
    g_autoptr(ProgramKind) again = program_kind_new("fuzz", "/fuzz", self->described, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(again->kind.n_params, ==, self->kind.n_params);
    g_assert_cmpint(again->kind.flags, ==, self->kind.flags);
    return g_steal_pointer(&self);
}

static Resource *resource_for(const ProgramKind *self) {
    g_autoptr(Resource) resource = resource_new(&self->kind, "fuzz", (Origin){ NULL });
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func((GDestroyNotify)g_error_free);
    (void)resource_finish(resource, problems); /* what is required may be missing: no matter */
    return g_steal_pointer(&resource);
}

static void check_answer(const ProgramKind *self, const Value *answer) {
    g_autoptr(Resource) resource = resource_for(self);
    g_autoptr(State) state = state_new(&self->kind);
    g_autoptr(GError) error = NULL;
    Value *outputs = NULL;
    bool ok = program_read_state(self, resource, answer, state, &outputs, &error);
    g_assert_true(ok == (error == NULL));
    if (ok) {
        g_autoptr(Value) saved = state_to_value(state);
        g_autoptr(State) restored = state_from_value(&self->kind, saved);
        g_autoptr(Value) again = state_to_value(restored);
        g_assert_true(value_equal(saved, again));
        KindRun run = { .resource = resource };
        g_autoptr(Changes) changes = changes_new();
        g_assert_true(kind_diff_properties(&run, state, changes, NULL));
    }
    value_unref(outputs);
}

static void check_error(const Value *answer) {
    g_autoptr(GError) error = NULL;
    bool is_error = answer_is_error(answer, &error);
    g_assert_true(is_error == (error != NULL) && (!is_error || *error->message));
}

static void take_line(ProgramKind **kind, const char *line, size_t size, uint64_t number) {
    g_auto(Message) message = { 0 };
    g_autoptr(GError) error = NULL;
    if (!message_read(line, size, number, &message, &error)) {
        g_assert_nonnull(error);
        return;
    }
    check_printed(&message);
    check_error(message.value);
    const Value *described = value_map_get(message.value, "kind");
    ProgramKind *fresh = described ? check_description(described) : NULL;
    if (fresh) {
        program_kind_free(*kind);
        *kind = fresh;
    }
    if (*kind)
        check_answer(*kind, message.value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    ProgramKind *kind = NULL;
    const char *at = (const char *)data, *end = at + size;
    for (uint64_t number = 1; at < end; number++) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        if (!line_end)
            line_end = end;
        take_line(&kind, at, (size_t)(line_end - at), number);
        at = line_end + (line_end < end);
    }
    program_kind_free(kind);
    return 0;
}
