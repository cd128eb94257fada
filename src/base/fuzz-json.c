/* Any bytes: json_parse() refuses them with a place, or what it makes of them survives printing and
 * parsing again, compact and indented. */
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json.h"

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    g_autoptr(GError) error = NULL;
    g_autoptr(Value) value = json_parse((const char *)data, size, "input", &error);
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
