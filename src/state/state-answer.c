#include "state/state-private.h"

static void entry_clear(void *data) {
    StateEntry *entry = data;
    g_clear_pointer(&entry->key, g_bytes_unref);
    g_clear_pointer(&entry->value, g_bytes_unref);
}

StateEntry *entry_new(GBytes *key, GBytes *value) {
    StateEntry *entry = g_atomic_rc_box_new0(StateEntry);
    entry->key = g_bytes_ref(key);
    entry->value = value != NULL ? g_bytes_ref(value) : NULL;
    return entry;
}

StateEntry *state_entry_ref(StateEntry *entry) {
    return g_atomic_rc_box_acquire(entry);
}

void state_entry_unref(StateEntry *entry) {
    if (entry != NULL)
        g_atomic_rc_box_release_full(entry, entry_clear);
}

static void result_free(void *data) {
    StateResult *result = data;
    g_clear_pointer(&result->entries, g_ptr_array_unref);
    g_free(result);
}

static void answer_clear(void *data) {
    StateAnswer *answer = data;
    g_ptr_array_unref(answer->results);
}

StateAnswer *answer_new(int64_t revision) {
    StateAnswer *answer = g_atomic_rc_box_new0(StateAnswer);
    answer->revision = revision;
    answer->results = g_ptr_array_new_with_free_func(result_free);
    return answer;
}

StateResult *answer_add(StateAnswer *answer) {
    StateResult *result = g_new0(StateResult, 1);
    g_ptr_array_add(answer->results, result);
    return result;
}

StateResult *answer_add_range(StateAnswer *answer) {
    StateResult *result = answer_add(answer);
    result->entries = g_ptr_array_new_with_free_func((GDestroyNotify)state_entry_unref);
    return result;
}

StateAnswer *state_answer_ref(StateAnswer *answer) {
    return g_atomic_rc_box_acquire(answer);
}

void state_answer_unref(StateAnswer *answer) {
    if (answer != NULL)
        g_atomic_rc_box_release_full(answer, answer_clear);
}

const StateResult *state_answer_result(const StateAnswer *answer, unsigned operation) {
    g_assert(operation < answer->results->len);
    return g_ptr_array_index(answer->results, operation);
}

const StateEntry *state_answer_entry(const StateAnswer *answer) {
    const StateResult *result = state_answer_result(answer, 0);
    g_assert(result->entries != NULL);
    return result->entries->len > 0 ? g_ptr_array_index(result->entries, 0) : NULL;
}
