#include "lang/ini.h"

#include <string.h>

#include "base/error.h"
#include "base/json.h"

static const struct {
    const char *ini, *json;
} valid[] = {
    { "", "{}" },
    { "a = 1\n", "{\"a\":\"1\"}" },
    { "a=\n b =  x y  \r\n", "{\"a\":\"\",\"b\":\"x y\"}" },
    { "# c\n; d\n[s]\nk = v # not a comment\n", "{\"s\":{\"k\":\"v # not a comment\"}}" },
    { "[s]\nk = v\nk = w\nk = x\n[ t ]\n", "{\"s\":{\"k\":[\"v\",\"w\",\"x\"]},\"t\":{}}" },
    { "a = b = c\n", "{\"a\":\"b = c\"}" },
    { "a = \"x\"", "{\"a\":\"\\\"x\\\"\"}" },
};

static const struct {
    const char *ini, *message;
} invalid[] = {
    { "word", "i:1: expected [section] or key = value" },
    { "\n= x", "i:2: expected [section] or key = value" },
    { "[s", "i:1: a section header is a name in brackets: [name]" },
    { "[]", "i:1: a section header is a name in brackets: [name]" },
    { "[s]\n[t]\n[s]", "i:3: this section or key was there before" },
    { "s = 1\n[s]", "i:2: this section or key was there before" },
    { "a = \xff", "i: not UTF-8 text" },
};

static void test_valid(void) {
    for (unsigned i = 0; i < G_N_ELEMENTS(valid); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(Value) value = ini_parse(valid[i].ini, strlen(valid[i].ini), "i", &error);
        g_assert_no_error(error);
        g_autofree char *shown = json_print(value, JSON_COMPACT);
        g_assert_cmpstr(shown, ==, valid[i].json);
        g_autofree char *printed = ini_print(value, &error);
        g_assert_no_error(error);
        g_autoptr(Value) again = ini_parse(printed, strlen(printed), "i", NULL);
        g_assert_true(value_equal(value, again));
    }
}

static void test_invalid(void) {
    for (unsigned i = 0; i < G_N_ELEMENTS(invalid); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_null(ini_parse(invalid[i].ini, strlen(invalid[i].ini), "i", &error));
        g_assert_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG);
        g_assert_cmpstr(error->message, ==, invalid[i].message);
    }
}

static void expect_print(const char *json, const char *printed, const char *message) {
    g_autoptr(GError) error = NULL;
    g_autoptr(Value) value = json_parse(json, strlen(json), "j", NULL);
    g_assert_nonnull(value);
    g_autofree char *text = ini_print(value, &error);
    g_assert_cmpstr(text, ==, printed);
    g_assert_cmpstr(error ? error->message : NULL, ==, message);
}

static void test_print(void) {
    expect_print("{\"s\": {\"b\": true, \"f\": 1.5, \"i\": 3}, \"a\": \"x\"}",
                 "a = x\n\n[s]\nb = true\nf = 1.5\ni = 3\n", NULL);
    expect_print("[]", NULL, "expected a table of keys and sections, found a list");
    expect_print("{\"a\": null}", NULL, "key 'a' has a value that INI cannot express");
    expect_print("{\"s\": {\"t\": {}}}", NULL, "key 't' has a value that INI cannot express");
    expect_print("{\"a\": \"x\\ny\"}", NULL,
                 "key 'a' has a line break in its value, which INI cannot express");
    expect_print("{\"a\": \" x\"}", NULL,
                 "key 'a' has a value with blanks at its ends, which INI drops");
    expect_print("{\"a=b\": 1}", NULL, "key 'a=b' cannot be written in INI");
    expect_print("{\"#a\": 1}", NULL, "key '#a' cannot be written in INI");
    expect_print("{\"a]\": {}}", NULL, "section 'a]' cannot be written in INI");
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ini/valid", test_valid);
    g_test_add_func("/ini/invalid", test_invalid);
    g_test_add_func("/ini/print", test_print);
    return g_test_run();
}
