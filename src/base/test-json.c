#include <math.h>
#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "base/limits.h"

static Value *parse_ok(const char *text) {
    g_autoptr(GError) error = NULL;
    Value *value = json_parse(text, strlen(text), "test.json", &error);
    g_assert_no_error(error);
    g_assert_nonnull(value);
    return value;
}

/* Takes ownership of value. */
static void assert_printed(Value *value, JsonFlags flags, const char *expected) {
    g_autofree char *text = json_print(value, flags);
    g_assert_cmpstr(text, ==, expected);
    value_unref(value);
}

static void assert_round_trip(Value *value) {
    const JsonFlags both[] = { JSON_COMPACT, JSON_INDENT };
    for (size_t i = 0; i < G_N_ELEMENTS(both); i++) {
        g_autofree char *text = json_print(value, both[i]);
        g_autoptr(Value) again = parse_ok(text);
        g_assert_cmpint(value_compare(value, again), ==, 0);
        g_autofree char *text_again = json_print(again, both[i]);
        g_assert_cmpstr(text, ==, text_again);
    }
    value_unref(value);
}

static void assert_refused(const char *text, size_t size, int code, const char *message) {
    g_autoptr(GError) error = NULL;
    g_assert_null(json_parse(text, size, "test.json", &error));
    g_assert_error(error, STEAD_ERROR, code);
    g_assert_cmpstr(error->message, ==, message);
}

static void assert_bad(const char *text, int code, const char *message) {
    assert_refused(text, strlen(text), code, message);
}

static void test_parse(void) {
    g_autoptr(Value) map =
        parse_ok(" {\"b\": [1, -2.5, true, false, null], \"a\": \"x\\u0000\\u00e9\\n\"} ");
    g_assert_cmpuint(value_size(map), ==, 2);
    const Value *list = value_map_get(map, "b");
    g_assert_cmpint(value_int(value_list_at(list, 0)), ==, 1);
    g_assert_cmpfloat(value_float(value_list_at(list, 1)), ==, -2.5);
    g_assert_true(value_bool(value_list_at(list, 2)));
    g_assert_cmpint(value_type(value_list_at(list, 4)), ==, VALUE_NIL);
    const Value *text = value_map_get(map, "a");
    g_assert_cmpmem(value_string(text), value_string_size(text), "x\0\xc3\xa9\n", 5);
}

static void test_numbers(void) {
    assert_printed(parse_ok("9223372036854775807"), 0, "9223372036854775807");
    assert_printed(parse_ok("-9223372036854775808"), 0, "-9223372036854775808");
    assert_printed(parse_ok("0"), 0, "0");
    assert_printed(parse_ok("1.0"), 0, "1.0");
    assert_printed(parse_ok("1e5"), 0, "100000.0");
    assert_printed(parse_ok("0.1"), 0, "0.1");
    assert_printed(parse_ok("1e300"), 0, "1e+300");
    assert_printed(parse_ok("-0.0"), 0, "-0.0");
    const double samples[] = {
        1.0 / 3, 5e-324, 1.7976931348623157e308, 123456789.12345679, 0.1 + 0.2, 1e15, 1e16, -1e-7
    };
    for (size_t i = 0; i < G_N_ELEMENTS(samples); i++)
        assert_round_trip(value_new_float(samples[i]));
    assert_printed(value_new_float(INFINITY), 0, "null");
    assert_printed(value_new_float(NAN), 0, "null");
}

static void test_print(void) {
    Value *map = value_new_map();
    value_map_set(map, "b", value_new_list());
    value_map_set(map, "a", value_new_map());
    Value *list = value_new_list();
    value_list_append(list, value_new_int(1));
    value_list_append(list, value_new_string("\"\\/\b\f\n\r\t\x01\x7f"));
    value_map_set(map, "c", list);
    assert_printed(value_ref(map), JSON_COMPACT,
                   "{\"a\":{},\"b\":[],\"c\":[1,\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\x7f\"]}");
    value_unref(map);
    assert_printed(parse_ok("{\"x\":[1,{\"y\":2}]}"), JSON_INDENT,
                   "{\n  \"x\": [\n    1,\n    {\n      \"y\": 2\n    }\n  ]\n}");
    assert_printed(NULL, 0, "null");
}

static void test_bytes(void) {
    assert_printed(value_new_bytes("\xff\xfe\0x", 4), 0, "{\"$bytes\":\"//4AeA==\"}");
    assert_printed(value_new_bytes("\0\0", 2), 0, "\"\\u0000\\u0000\"");
    assert_round_trip(value_new_bytes("\xff\xfe\0x", 4));
    assert_round_trip(value_new_bytes("a\0\xc3", 3));
    assert_round_trip(value_new_bytes("\xed\xa0\x80", 3)); /* a surrogate is not UTF-8 */
    assert_round_trip(value_new_bytes(NULL, 0));
}

static void test_unknown(void) {
    assert_printed(value_new_unknown(), 0, "{\"$unknown\":true}");
    assert_round_trip(value_new_unknown());
}

static void test_secret(void) {
    g_autoptr(Value) plain = value_new_string("hunter2");
    assert_printed(value_as_secret(plain, "db/\"pw"), 0, "{\"$secret\":\"db/\\\"pw\"}");
    assert_printed(value_as_secret(plain, NULL), 0, "{\"$secret\":null}");
    assert_printed(value_as_secret(plain, "n"), JSON_REVEAL, "\"hunter2\"");
    Value *list = value_new_list();
    value_list_append(list, value_new_int(1));
    value_list_append(list, value_as_secret(plain, "n"));
    assert_printed(value_ref(list), 0, "[1,{\"$secret\":\"n\"}]");
    assert_printed(value_as_secret(list, NULL), 0, "{\"$secret\":null}");
    assert_printed(value_as_secret(list, NULL), JSON_REVEAL, "[1,\"hunter2\"]");
    value_unref(list);
    g_autoptr(Value) named = parse_ok("{\"$secret\": \"n\"}");
    g_assert_cmpstr(value_secret_name(named), ==, "n");
    g_assert_cmpstr(value_string(named), ==, "");
    assert_printed(parse_ok("{\"$secret\":null}"), 0, "{\"$secret\":null}");
}

/* What is inside is seen from outside. */
static void test_flags(void) {
    static const char *const texts[] = { "[0,{\"a\":%s}]", "{\"a\":[%s],\"b\":1}" };
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_auto(GStrv) parts = g_strsplit(texts[i], "%s", 2);
        g_autofree char *secret = g_strjoinv("{\"$secret\":\"n\"}", parts);
        g_autofree char *unknown = g_strjoinv("{\"$unknown\":true}", parts);
        g_autoptr(Value) with_secret = parse_ok(secret), with_unknown = parse_ok(unknown);
        g_assert_true(value_is_secret(with_secret) && !value_has_unknown(with_secret));
        g_assert_true(value_has_unknown(with_unknown) && !value_is_secret(with_unknown));
    }
}

/* Maps that look like our marks come back as maps. */
static void test_marks_as_keys(void) {
    static const char *const keys[] = { "$bytes", "$secret",  "$$secret",   "$unknown", "$bytes:",
                                        "$",      "$$bytes:", "$$$bytes:/", "$schema",  "" };
    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++) {
        Value *map = value_new_map();
        value_map_set(map, keys[i], value_new_bool(true));
        assert_round_trip(value_ref(map));
        value_unref(map);
        map = value_new_map();
        value_map_set(map, keys[i], value_new_bool(true));
        value_map_set(map, "other", value_new_int(1));
        assert_round_trip(map);
    }
    Value *schema = value_new_map();
    value_map_set(schema, "$schema", value_new_string("x"));
    assert_printed(schema, 0, "{\"$schema\":\"x\"}");
    assert_printed(parse_ok("{\"$secret\":1,\"x\":2}"), 0, "{\"$secret\":1,\"x\":2}");
}

static void test_keys_of_bytes(void) {
    Value *map = value_new_map();
    value_map_set(map, "\xff", value_new_int(1));
    value_map_set(map, "a", value_new_int(2));
    assert_printed(value_ref(map), 0, "{\"a\":2,\"$bytes:/w==\":1}");
    assert_round_trip(map);
}

static void test_syntax_errors(void) {
    static const struct {
        const char *text, *message;
    } cases[] = {
        { "{\"a\": 1,\n \"b\" 2}", "2:6: expected ':' after the key, found '2'" },
        { "", "1:1: expected a value, found the end" },
        { " \n ", "2:2: expected a value, found the end" },
        { "[1,]", "1:4: expected a value, found ']'" },
        { "[1 2]", "1:4: expected ',' or ']', found '2'" },
        { "{1:2}", "1:2: expected a key in quotes, found '1'" },
        { "{\"a\":1,}", "1:8: expected a key in quotes, found '}'" },
        { "{\"a\":1]", "1:7: expected ',' or '}', found ']'" },
        { "[1] x", "1:5: expected the end, found 'x'" },
        { "[\n{\"a\":1,\"b\":2,\"a\":3}]", "2:1: object has the key 'a' twice" },
        { "{\"a\\t\":1,\"a\\t\":2}", "1:1: object has the key 'a\\t' twice" },
        { "99999999999999999999", "1:1: integer does not fit 64 bits" },
        { "-9223372036854775809", "1:1: integer does not fit 64 bits" },
        { "1e999", "1:1: number is too large" },
        { "01", "1:2: expected the end, found '1'" },
        { "-", "1:2: expected a digit, found the end" },
        { "1.", "1:3: expected a digit, found the end" },
        { "1.e5", "1:3: expected a digit, found 'e'" },
        { "1e+", "1:4: expected a digit, found the end" },
        { ".5", "1:1: expected a value, found '.'" },
        { "+1", "1:1: expected a value, found '+'" },
        { "nul", "1:1: expected a value, found 'n'" },
        { "truest", "1:5: expected the end, found 's'" },
        { "NaN", "1:1: expected a value, found 'N'" },
        { "'a'", "1:1: expected a value, found '''" },
        { "\"a", "1:3: expected '\"' at the end of the string, found the end" },
        { "\"a\nb\"", "1:3: expected '\"' at the end of the string, found byte 0x0a" },
        { "\"\\x\"", "1:3: expected one of \"\\/bfnrtu after '\\', found 'x'" },
        { "\"\\u12g4\"", "1:6: expected four hexadecimal digits after '\\u', found 'g'" },
        { "\"é\\ud800\"", "1:3: half of a surrogate pair" },
        { "\"\\ud800\\u0041\"", "1:2: half of a surrogate pair" },
        { "\"\\udc00\"", "1:2: half of a surrogate pair" },
        { "\"é\xff\"", "1:3: byte 0xff is not UTF-8" },
        { "\"\xed\xa0\x80\"", "1:2: byte 0xed is not UTF-8" },
        { "{\"a\\u0000\":1}", "1:3: a key cannot contain NUL" },
        { "\xef\xbb\xbf{}", "1:1: expected a value, found byte 0xef" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *message = g_strconcat("test.json:", cases[i].message, NULL);
        assert_bad(cases[i].text, STEAD_ERROR_CONFIG, message);
    }
    assert_refused("[1\0]", 4, STEAD_ERROR_CONFIG,
                   "test.json:1:3: expected ',' or ']', found byte 0x00");
    assert_refused(NULL, 0, STEAD_ERROR_CONFIG, "test.json:1:1: expected a value, found the end");
}

static void test_bad_marks(void) {
    assert_bad("{\"hosts\": [0, {\"$bytes\": \"/w=\"}]}", STEAD_ERROR_DAMAGED,
               "test.json:1:15: '$bytes' needs text in base64 (write '$$bytes' for a key of that "
               "name)");
    assert_bad("{\"$bytes\": \"AA==\\u0000\"}", STEAD_ERROR_DAMAGED,
               "test.json:1:1: '$bytes' needs text in base64 (write '$$bytes' for a key of that "
               "name)");
    assert_bad("{\"$secret\": 5}", STEAD_ERROR_DAMAGED,
               "test.json:1:1: '$secret' needs a name or null (write '$$secret' for a key of that "
               "name)");
    assert_bad("{\"$unknown\": false}", STEAD_ERROR_DAMAGED,
               "test.json:1:1: '$unknown' needs true (write '$$unknown' for a key of that name)");
    static const char *const keys[] = { "{\"$bytes:%\": 1}", "{\"$bytes:AA==\": 1}",
                                        "{\"a\":1,\"$bytes:AA==\": 1}" };
    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++)
        assert_bad(keys[i], STEAD_ERROR_DAMAGED,
                   "test.json:1:1: '$bytes:' needs base64 without NUL after it (write '$$bytes:' "
                   "for a key of that name)");
}

static void test_escapes(void) {
    g_autoptr(Value) text =
        parse_ok("\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20ac\\ud83d\\ude00\\u0000z\"");
    g_assert_cmpmem(value_string(text), value_string_size(text),
                    "a\"\\/\b\f\n\r\tA\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\0z", 21);
}

static char *nested(unsigned depth) {
    GString *text = g_string_new(NULL);
    for (unsigned i = 0; i < depth; i++)
        g_string_append(text, "[");
    for (unsigned i = 0; i < depth; i++)
        g_string_append(text, "]");
    return g_string_free(text, FALSE);
}

static void test_nesting(void) {
    g_autofree char *allowed = nested(LIMIT_NESTING);
    assert_round_trip(parse_ok(allowed));
    GString *siblings = g_string_new("[[]");
    for (unsigned i = 0; i < 2 * LIMIT_NESTING; i++)
        g_string_append(siblings, ",[{}]");
    g_string_append_c(siblings, ']');
    assert_round_trip(parse_ok(siblings->str));
    g_string_free(siblings, TRUE);
    const unsigned depths[] = { LIMIT_NESTING + 1, 3000, 1000000 };
    for (size_t i = 0; i < G_N_ELEMENTS(depths); i++) {
        g_autofree char *text = nested(depths[i]);
        g_autoptr(GError) error = NULL;
        g_assert_null(json_parse(text, strlen(text), "deep.json", &error));
        g_assert_error(error, STEAD_ERROR, STEAD_ERROR_LIMIT);
        g_assert_true(g_str_has_prefix(error->message, "deep.json:"));
    }
}

/* Every prefix of a document, and the document with any one byte changed, parses or is refused with
 * a place. */
static void test_damaged(void) {
    static const char text[] =
        "{\"a\":[1,2.5e3,\"x\\n\\u00e9\"],\"b\":{\"$bytes\":\"/w==\"},\"c\":{\"$secret\":null}}";
    for (size_t size = 0; size < sizeof text - 1; size++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *piece = g_memdup2(text, MAX(size, 1)); /* exact, for the sanitizer */
        g_assert_null(json_parse(piece, size, "cut.json", &error));
        g_assert_true(g_str_has_prefix(error->message, "cut.json:1:"));
    }
    for (size_t i = 0; i < sizeof text - 1; i++)
        for (int c = 0; c < 256; c++) {
            g_autoptr(GError) error = NULL;
            g_autofree char *changed = g_memdup2(text, sizeof text - 1);
            changed[i] = (char)c;
            g_autoptr(Value) value = json_parse(changed, sizeof text - 1, "bad.json", &error);
            if (value)
                assert_round_trip(value_ref(value));
            else
                g_assert_true(g_str_has_prefix(error->message, "bad.json:"));
        }
}

static void test_many_keys(void) {
    GString *text = g_string_new("{");
    for (unsigned i = 0; i < 100000; i++)
        g_string_append_printf(text, "%s\"k%u\":%u", i > 0 ? "," : "", i * 7919u % 100000u, i);
    g_string_append_c(text, '}');
    gint64 start = g_get_monotonic_time();
    g_autoptr(Value) map = parse_ok(text->str);
    g_assert_cmpuint(value_size(map), ==, 100000);
    g_test_message("100000 unsorted keys: %" G_GINT64_FORMAT " us", g_get_monotonic_time() - start);
    g_string_free(text, TRUE);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/json/parse", test_parse);
    g_test_add_func("/json/numbers", test_numbers);
    g_test_add_func("/json/print", test_print);
    g_test_add_func("/json/bytes", test_bytes);
    g_test_add_func("/json/unknown", test_unknown);
    g_test_add_func("/json/secret", test_secret);
    g_test_add_func("/json/flags", test_flags);
    g_test_add_func("/json/marks-as-keys", test_marks_as_keys);
    g_test_add_func("/json/keys-of-bytes", test_keys_of_bytes);
    g_test_add_func("/json/escapes", test_escapes);
    g_test_add_func("/json/syntax-errors", test_syntax_errors);
    g_test_add_func("/json/bad-marks", test_bad_marks);
    g_test_add_func("/json/nesting", test_nesting);
    g_test_add_func("/json/damaged", test_damaged);
    g_test_add_func("/json/many-keys", test_many_keys);
    return g_test_run();
}
