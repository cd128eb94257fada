/* Valid and invalid documents after the examples of the TOML 1.0 specification. */
#include "lang/toml.h"

#include <math.h>
#include <string.h>

#include "base/error.h"
#include "base/json.h"

static const struct {
    const char *toml, *json;
} valid[] = {
    { "", "{}" },
    { "# comment\n\n  \t\n", "{}" },
    { "a = 1", "{\"a\":1}" },
    { "a=1\r\nb=2\r\n", "{\"a\":1,\"b\":2}" },
    { "a = 1 # c\n[t] # d\nb = 2", "{\"a\":1,\"t\":{\"b\":2}}" },
    /* keys */
    { "bare_key-1 = 1\n1234 = 2\n\"quoted key\" = 3\n'lit' = 4\n\"\" = 5",
      "{\"\":5,\"1234\":2,\"bare_key-1\":1,\"lit\":4,\"quoted key\":3}" },
    { "a.b.c = 1\na.b.d = 2\na . \"e\" = 3", "{\"a\":{\"b\":{\"c\":1,\"d\":2},\"e\":3}}" },
    { "3.14 = \"pi\"", "{\"3\":{\"14\":\"pi\"}}" },
    { "\"\\u00e9\" = 1", "{\"\xc3\xa9\":1}" },
    /* strings */
    { "a = \"x\\ty\\\"\\\\ \\u00E9 \\U0001F600\"",
      "{\"a\":\"x\\ty\\\"\\\\ \xc3\xa9 \xf0\x9f\x98\x80\"}" },
    { "a = 'C:\\new'", "{\"a\":\"C:\\\\new\"}" },
    { "a = \"\"\"\nline 1\nline 2\"\"\"", "{\"a\":\"line 1\\nline 2\"}" },
    { "a = \"\"\"\\\n   The quick \\\n\n\n  fox.\\\n  \"\"\"", "{\"a\":\"The quick fox.\"}" },
    { "a = \"\"\"\"quoted\"\"\"\"\"", "{\"a\":\"\\\"quoted\\\"\\\"\"}" },
    { "a = '''\n'that', she said, ''is''.'''", "{\"a\":\"'that', she said, ''is''.\"}" },
    { "a = ''''''", "{\"a\":\"\"}" },
    { "a = '''x'''''", "{\"a\":\"x''\"}" },
    { "a = \"\"\"x\r\ny\"\"\"", "{\"a\":\"x\\ny\"}" },
    { "a = \"\\b\\f\\n\\r\\u0000\"", "{\"a\":\"\\b\\f\\n\\r\\u0000\"}" },
    /* integers */
    { "a = +99\nb = -17\nc = 0\nd = -0\ne = 1_000_000",
      "{\"a\":99,\"b\":-17,\"c\":0,\"d\":0,\"e\":1000000}" },
    { "a = 0xDEAD_beef\nb = 0o755\nc = 0b1101_0110", "{\"a\":3735928559,\"b\":493,\"c\":214}" },
    { "a = 9223372036854775807\nb = -9223372036854775808",
      "{\"a\":9223372036854775807,\"b\":-9223372036854775808}" },
    { "a = 0x00ff", "{\"a\":255}" },
    /* floats */
    { "a = 1.0\nb = -0.01\nc = 5e+22\nd = 1e06\ne = -2E-2\nf = 6.626e-34\ng = 224_617.445_991",
      "{\"a\":1.0,\"b\":-0.01,\"c\":5e+22,\"d\":1000000.0,\"e\":-0.02,\"f\":6.626e-34,"
      "\"g\":224617.445991}" },
    { "a = -0.0", "{\"a\":-0.0}" },
    /* booleans, dates */
    { "a = true\nb = false", "{\"a\":true,\"b\":false}" },
    { "a = 1979-05-27T07:32:00Z\nb = 1979-05-27 00:32:00.999999-07:00\nc = 1979-05-27T07:32:00\n"
      "d = 1979-05-27\ne = 07:32:00.5\nf = 2000-02-29\ng = 1979-05-27t07:32:00z",
      "{\"a\":\"1979-05-27T07:32:00Z\",\"b\":\"1979-05-27 00:32:00.999999-07:00\","
      "\"c\":\"1979-05-27T07:32:00\",\"d\":\"1979-05-27\",\"e\":\"07:32:00.5\","
      "\"f\":\"2000-02-29\",\"g\":\"1979-05-27t07:32:00z\"}" },
    /* arrays */
    { "a = [1, [\"x\", 2.5], {b = 1}, ]", "{\"a\":[1,[\"x\",2.5],{\"b\":1}]}" },
    { "a = [ # c\n  1,\n  # d\n  2 # e\n ,\n]", "{\"a\":[1,2]}" },
    { "a = []\nb = [[], []]", "{\"a\":[],\"b\":[[],[]]}" },
    /* tables */
    { "[a]\n[b.c]\nx = 1\n[b]\ny = 2", "{\"a\":{},\"b\":{\"c\":{\"x\":1},\"y\":2}}" },
    { "[ d.e.f ]\n[ g .  h . i ]\n[j.\"k\".'l']",
      "{\"d\":{\"e\":{\"f\":{}}},\"g\":{\"h\":{\"i\":{}}},\"j\":{\"k\":{\"l\":{}}}}" },
    { "[fruit]\napple.color = 1\napple.taste.sweet = true\n[fruit.apple.texture]\nsmooth = true",
      "{\"fruit\":{\"apple\":{\"color\":1,\"taste\":{\"sweet\":true},\"texture\":{\"smooth\":true}}"
      "}}" },
    { "a = {x = 1, y.z = 2}\nb = {}", "{\"a\":{\"x\":1,\"y\":{\"z\":2}},\"b\":{}}" },
    { "[[p]]\nn = 1\n[[p]]\n[[p]]\nn = 3", "{\"p\":[{\"n\":1},{},{\"n\":3}]}" },
    { "[[f]]\nn = 1\n[f.p]\nc = 1\n[[f.v]]\nn = 2\n[[f.v]]\n[[f]]\n[[f.v]]\nn = 3",
      "{\"f\":[{\"n\":1,\"p\":{\"c\":1},\"v\":[{\"n\":2},{}]},{\"v\":[{\"n\":3}]}]}" },
    { "[a.b.c]\nz = 1\n[a]\nb.x = 2", "{\"a\":{\"b\":{\"c\":{\"z\":1},\"x\":2}}}" },
};

static const struct {
    const char *toml, *message;
} invalid[] = {
    { "a", "t:1: expected '=' after a key" },
    { "a =", "t:1:4: expected a value" },
    { "\n\n= 1", "t:3: expected a key" },
    { "a = 1 b = 2", "t:1: expected the end of the line" },
    { "a = 1\na = 2", "t:2: the key 'a' is defined twice" },
    { "a.b = 1\na = 2", "t:2: the key 'a' is defined twice" },
    { "a = 1\na.b = 2", "t:2: the key 'a' is defined already and cannot be added to" },
    { "[a]\n[a]", "t:2: the table 'a' is defined twice" },
    { "[a]\nb = 1\n[a.b]", "t:3: the table 'b' is defined twice" },
    { "a = {}\n[a.b]", "t:2: the key 'a' is defined already and is no table" },
    { "a = {}\na.b = 1", "t:2: the key 'a' is defined already and cannot be added to" },
    { "a = {b.c = 1}\na.b.d = 1", "t:2: the key 'a' is defined already and cannot be added to" },
    { "a = [1]\n[[a]]", "t:2: the key 'a' is defined already and is no array of tables" },
    { "a = [{b = 1}]\n[a.c]", "t:2: the key 'a' is defined already and is no table" },
    { "[[a]]\n[a]", "t:2: the table 'a' is defined twice" },
    { "[a]\n[[a]]", "t:2: the key 'a' is defined already and is no array of tables" },
    { "[fruit]\napple.color = 1\n[fruit.apple]", "t:3: the table 'apple' is defined twice" },
    { "[a.b.c]\nz = 1\n[a]\nb.c.t = 2",
      "t:4: the key 'c' is defined already and cannot be added to" },
    { "[a", "t:1: expected ']' after a table's name" },
    { "[[a]", "t:1: expected ']]' after a table's name" },
    { "[]", "t:1: expected a key" },
    { "[a.]", "t:1: expected a key" },
    { "[a] b", "t:1: expected the end of the line" },
    { "a = \"x", "t:1: the string does not end" },
    { "a = \"x\ny\"", "t:1: the string does not end on its line" },
    { "a = \"\"\"x\ny", "t:2: the string does not end" },
    { "a = '''x''''''", "t:1: too many quotation marks end a string" },
    { "a = \"\\x\"", "t:1: no such escape '\\x'" },
    { "a = \"\\uD800\"", "t:1: expected 4 hexadecimal digits of a Unicode character" },
    { "a = \"\\U00110000\"", "t:1: expected 8 hexadecimal digits of a Unicode character" },
    { "a = \"\\u12\"", "t:1: expected 4 hexadecimal digits of a Unicode character" },
    { "a = \"x\001\"", "t:1: a string holds the control character 0x01" },
    { "# \001", "t:1: a comment holds the control character 0x01" },
    { "a = 'x\rb'", "t:1: a string holds the control character 0x0d" },
    { "\"\"\"a\"\"\" = 1", "t:1: expected '=' after a key" },
    { "a = 01", "t:1:5: '01' is no number, date, time, true or false; text needs quotes" },
    { "a = 1__0", "t:1:5: '1__0' is no number, date, time, true or false; text needs quotes" },
    { "a = _1", "t:1:5: '_1' is no number, date, time, true or false; text needs quotes" },
    { "a = 1_", "t:1:5: '1_' is no number, date, time, true or false; text needs quotes" },
    { "a = 0x", "t:1:5: '0x' is no number, date, time, true or false; text needs quotes" },
    { "a = +0x1", "t:1:5: '+0x1' is no number, date, time, true or false; text needs quotes" },
    { "a = 0b2", "t:1:5: '0b2' is no number, date, time, true or false; text needs quotes" },
    { "a = .5", "t:1:5: '.5' is no number, date, time, true or false; text needs quotes" },
    { "a = 5.", "t:1:5: '5.' is no number, date, time, true or false; text needs quotes" },
    { "a = 1.e2", "t:1:5: '1.e2' is no number, date, time, true or false; text needs quotes" },
    { "a = True", "t:1:5: 'True' is no number, date, time, true or false; text needs quotes" },
    { "a = text", "t:1:5: 'text' is no number, date, time, true or false; text needs quotes" },
    { "a = 9223372036854775808", "t:1:5: the integer '9223372036854775808' does not fit 64 bits" },
    { "a = 2023-02-29",
      "t:1:5: '2023-02-29' is no number, date, time, true or false; text needs quotes" },
    { "a = 2023-13-01",
      "t:1:5: '2023-13-01' is no number, date, time, true or false; text needs quotes" },
    { "a = 25:00:00",
      "t:1:5: '25:00:00' is no number, date, time, true or false; text needs quotes" },
    { "a = 07:32", "t:1:5: '07:32' is no number, date, time, true or false; text needs quotes" },
    { "a = [1 2]", "t:1: expected ',' or ']' in a list" },
    { "a = [1,,2]", "t:1:8: expected a value" },
    { "a = [", "t:1:6: expected a value" },
    { "a = {b = 1,}", "t:1: expected a key" },
    { "a = {b = 1\n}", "t:1: expected ',' or '}' in an inline table" },
    { "a = {b = 1, b = 2}", "t:1: the key 'b' is defined twice" },
    { "a = \xff", "t:1: not UTF-8 text, or a NUL character" },
};

static void test_valid(void) {
    for (unsigned i = 0; i < G_N_ELEMENTS(valid); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(Value) value = toml_parse(valid[i].toml, strlen(valid[i].toml), "t", &error);
        if (!value)
            g_error("'%s' is refused: %s", valid[i].toml, error->message);
        g_autofree char *shown = json_print(value, JSON_COMPACT);
        g_assert_cmpstr(shown, ==, valid[i].json);
    }
}

static void test_invalid(void) {
    for (unsigned i = 0; i < G_N_ELEMENTS(invalid); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(Value) value = toml_parse(invalid[i].toml, strlen(invalid[i].toml), "t", &error);
        if (value)
            g_error("'%s' is accepted", invalid[i].toml);
        g_assert_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG);
        g_assert_cmpstr(error->message, ==, invalid[i].message);
    }
}

static void test_special_floats(void) {
    const char *const text = "a = inf\nb = -inf\nc = nan\nd = +inf\n";
    g_autoptr(Value) value = toml_parse(text, strlen(text), "t", NULL);
    g_assert_nonnull(value);
    g_assert_cmpfloat(value_float(value_map_get(value, "a")), ==, INFINITY);
    g_assert_cmpfloat(value_float(value_map_get(value, "b")), ==, -INFINITY);
    g_assert_true(isnan(value_float(value_map_get(value, "c"))));
    g_assert_cmpfloat(value_float(value_map_get(value, "d")), ==, INFINITY);
}

static void test_nul(void) {
    g_assert_null(toml_parse("a = \"\0\"", 7, "t", NULL));
}

static void test_nesting(void) {
    g_autoptr(GString) text = g_string_new("a = ");
    for (int i = 0; i < 100; i++)
        g_string_append_c(text, '[');
    g_string_append_c(text, '1');
    for (int i = 0; i < 100; i++)
        g_string_append_c(text, ']');
    g_autoptr(Value) value = toml_parse(text->str, text->len, "t", NULL);
    g_assert_nonnull(value);
    g_string_insert_c(text, 4, '[');
    g_autoptr(GError) error = NULL;
    g_assert_null(toml_parse(text->str, text->len, "t", &error));
    g_assert_cmpstr(error->message, ==, "t:1: values are nested deeper than 100 (LIMIT_NESTING)");
}

/* What is printed reads back as the same value, and prints the same again. */
static void test_round_trip(void) {
    for (unsigned i = 0; i < G_N_ELEMENTS(valid); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(Value) value = toml_parse(valid[i].toml, strlen(valid[i].toml), "t", NULL);
        g_autofree char *printed = toml_print(value, &error);
        g_assert_no_error(error);
        g_autoptr(Value) again = toml_parse(printed, strlen(printed), "t", &error);
        if (!again)
            g_error("printed '%s': %s", printed, error->message);
        if (!value_equal(value, again))
            g_error("'%s' became '%s'", valid[i].toml, printed);
        g_autofree char *twice = toml_print(again, NULL);
        g_assert_cmpstr(twice, ==, printed);
    }
}

static void expect_unprintable(const char *json, const char *message) {
    g_autoptr(GError) error = NULL;
    g_autoptr(Value) value = json_parse(json, strlen(json), "j", NULL);
    g_assert_nonnull(value);
    g_assert_null(toml_print(value, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG);
    g_assert_cmpstr(error->message, ==, message);
}

static void test_unprintable(void) {
    expect_unprintable("[1]", "expected a table with names, found a list");
    expect_unprintable("{\"a\": null}", "write 'a': TOML has no null");
    expect_unprintable("{\"a\": {\"b\": [null]}}", "write 'b': TOML has no null");
    expect_unprintable("{\"a\": {\"$bytes\": \"/w==\"}}",
                       "write 'a': TOML cannot express bytes that are not UTF-8 text");
}

static void test_print(void) {
    const char *const json =
        "{\"z\": 1, \"t\": {\"x\": [1, {\"y\": 2}], \"e\": {}, \"s\": {\"k\": 1.5}},"
        "\"l\": [{\"a\": 1}, {\"b\": {\"c\": 2}}], \"q r\": \"a\\\"\\n\\u0001\"}";
    g_autoptr(Value) value = json_parse(json, strlen(json), "j", NULL);
    g_autofree char *printed = toml_print(value, NULL);
    g_assert_cmpstr(
        printed, ==,
        "\"q r\" = \"a\\\"\\n\\u0001\"\nz = 1\n\n[[l]]\na = 1\n\n[[l]]\n\n[l.b]\nc = 2\n\n"
        "[t]\nx = [1, { y = 2 }]\n\n[t.e]\n\n[t.s]\nk = 1.5\n");
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/toml/valid", test_valid);
    g_test_add_func("/toml/invalid", test_invalid);
    g_test_add_func("/toml/special-floats", test_special_floats);
    g_test_add_func("/toml/nul", test_nul);
    g_test_add_func("/toml/nesting", test_nesting);
    g_test_add_func("/toml/round-trip", test_round_trip);
    g_test_add_func("/toml/unprintable", test_unprintable);
    g_test_add_func("/toml/print", test_print);
    return g_test_run();
}
