/*
 * Any bytes: json_parse() refuses them with a place, or what it makes of them survives printing and
 * parsing again, compact and indented. It takes and refuses the same as jansson, apart from nesting
 * and our marks, and reads the same in it.
 */
#include "base/json.h" /* before jansson.h, which has macros of the same names */

#include <jansson.h>
#undef JSON_COMPACT
#undef JSON_INDENT
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_round_trip(const Value *value, JsonFlags flags) {
    g_autoptr(GString) text = g_string_new(NULL);
    json_append(text, value, flags);
    g_autoptr(GError) error = NULL;
    g_autoptr(Value) again = json_parse(text->str, text->len, "again", &error);
    g_assert_no_error(error);
    g_assert_cmpint(value_compare(value, again), ==, 0);
    g_assert_true(value_has_unknown(value) || value_hash(value) == value_hash(again));
    g_assert_true(value_is_secret(value) == value_is_secret(again));
    g_autofree char *text_again = json_print(again, flags);
    g_assert_cmpstr(text->str, ==, text_again);
}

/* The value of jansson's tree, whose keys are in the order of the text. */
static Value *value_of(json_t *json) {
    Value *value;
    size_t index;
    const char *key;
    json_t *item;
    switch (json_typeof(json)) {
    case JSON_NULL:
        return value_new_nil();
    case JSON_TRUE:
    case JSON_FALSE:
        return value_new_bool(json_is_true(json));
    case JSON_INTEGER:
        return value_new_int(json_integer_value(json));
    case JSON_REAL:
        return value_new_float(json_real_value(json));
    case JSON_STRING:
        return value_new_bytes(json_string_value(json), json_string_length(json));
    case JSON_ARRAY:
        value = value_new_list();
        json_array_foreach(json, index, item) value_list_append(value, value_of(item));
        return value;
    case JSON_OBJECT:
        value = value_new_map();
        json_object_foreach(json, key, item) value_map_set(value, key, value_of(item));
        return value;
    }
    g_assert_not_reached();
}

/* value: what we read, or NULL with error. */
static void check_against_jansson(const char *text, size_t size, const Value *value,
                                  const GError *error) {
    json_t *json =
        json_loadb(text, size, JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
    if (value)
        g_assert_nonnull(json);
    else if (error->code == STEAD_ERROR_CONFIG && !memchr(text, '\0', size))
        g_assert_null(json); /* jansson lets a NUL after a number pass */
    if (value && !memchr(text, '$', size) && !memmem(text, size, "\\u0024", 6)) {
        g_autoptr(Value) peer = value_of(json);
        g_assert_true(value_equal(value, peer));
    }
    json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    g_autoptr(GError) error = NULL;
    g_autoptr(Value) value = json_parse((const char *)data, size, "input", &error);
    check_against_jansson((const char *)data, size, value, error);
    if (!value) {
        g_assert_true(error && error->domain == STEAD_ERROR);
        g_assert_true(g_str_has_prefix(error->message, "input:"));
        return 0;
    }
    check_round_trip(value, JSON_COMPACT);
    check_round_trip(value, JSON_INDENT);
    g_autofree char *shown = value_show(value, 40);
    g_assert_true(g_utf8_validate(shown, -1, NULL));
    g_assert_cmpint(g_utf8_strlen(shown, -1), <=, 40);
    return 0;
}
