#include "state/store-private.h"

static void entry_clear(void *data) {
    StoreEntry *entry = data;
    g_clear_pointer(&entry->key, g_bytes_unref);
    g_clear_pointer(&entry->value, g_bytes_unref);
}

StoreEntry *entry_new(GBytes *key, GBytes *value) {
    StoreEntry *entry = g_atomic_rc_box_new0(StoreEntry);
    entry->key = g_bytes_ref(key);
    entry->value = value != NULL ? g_bytes_ref(value) : NULL;
    return entry;
}

StoreEntry *store_entry_ref(StoreEntry *entry) {
    return g_atomic_rc_box_acquire(entry);
}

void store_entry_unref(StoreEntry *entry) {
    if (entry != NULL)
        g_atomic_rc_box_release_full(entry, entry_clear);
}

static void result_free(void *data) {
    StoreResult *result = data;
    g_clear_pointer(&result->entries, g_ptr_array_unref);
    g_free(result);
}

static void answer_clear(void *data) {
    StoreAnswer *answer = data;
    g_ptr_array_unref(answer->results);
}

StoreAnswer *answer_new(int64_t revision) {
    StoreAnswer *answer = g_atomic_rc_box_new0(StoreAnswer);
    answer->revision = revision;
    answer->results = g_ptr_array_new_with_free_func(result_free);
    return answer;
}

StoreResult *answer_add(StoreAnswer *answer) {
    StoreResult *result = g_new0(StoreResult, 1);
    g_ptr_array_add(answer->results, result);
    return result;
}

StoreResult *answer_add_range(StoreAnswer *answer) {
    StoreResult *result = answer_add(answer);
    result->entries = g_ptr_array_new_with_free_func((GDestroyNotify)store_entry_unref);
    return result;
}

StoreAnswer *store_answer_ref(StoreAnswer *answer) {
    return g_atomic_rc_box_acquire(answer);
}

void store_answer_unref(StoreAnswer *answer) {
    if (answer != NULL)
        g_atomic_rc_box_release_full(answer, answer_clear);
}

const StoreResult *store_answer_result(const StoreAnswer *answer, unsigned operation) {
    g_assert(operation < answer->results->len);
    return g_ptr_array_index(answer->results, operation);
}

const StoreEntry *store_answer_entry(const StoreAnswer *answer) {
    const StoreResult *result = store_answer_result(answer, 0);
    g_assert(result->entries != NULL);
    return result->entries->len > 0 ? g_ptr_array_index(result->entries, 0) : NULL;
}
