#include <math.h>

#include "base/json.h"
#include "graph/param.h"

static const char *const states[] = { "exists", "absent", NULL };
static const Param string_row = { "s", PARAM_STRING, .help = "x" };
static const Param path_row = { "p", PARAM_PATH, .help = "x" };
static const Param bool_row = { "b", PARAM_BOOL, .help = "x" };
static const Param int_row = { "i", PARAM_INT, .help = "x" };
static const Param float_row = { "f", PARAM_FLOAT, .help = "x" };
static const Param enum_row = { "e", PARAM_ENUM, .help = "x", .choices = states };
static const Param mode_row = { "m", PARAM_MODE, .help = "x" };
static const Param seconds_row = { "d", PARAM_DURATION, .help = "x", .unit = "s" };
static const Param ms_row = { "d", PARAM_DURATION, .help = "x", .unit = "ms" };
static const Param bare_row = { "d", PARAM_DURATION, .help = "x" };
static const Param strings_row = { "l", PARAM_STRINGS, .help = "x" };
static const Param map_row = { "m", PARAM_MAP, .help = "x" };
static const Param any_row = { "a", PARAM_ANY, .help = "x" };
static const Param secret_row = { "s", PARAM_STRING, PARAM_SECRET, .help = "x" };

typedef struct {
    const Param *row;
    const char *input;    /* JSON */
    const char *expected; /* JSON of the result, or the error when it starts with '!' */
} Case;

static const Case cases[] = {
    { &string_row, "\"a b\"", "\"a b\"" },
    { &string_row, "10", "\"10\"" },
    { &string_row, "1.5", "!expected a string, found the number 1.5: put it in quotes" },
    { &string_row, "true", "!expected a string, found true: put it in quotes" },
    { &string_row, "null", "!expected a string, found nothing" },
    { &string_row, "[1]", "!expected a string, found a list" },

    { &path_row, "\"/etc/x\"", "\"/etc/x\"" },
    { &path_row, "\"//etc/.//x/./\"", "\"/etc/x/\"" },
    { &path_row, "\"/etc/x/.\"", "\"/etc/x\"" },
    { &path_row, "\"/\"", "\"/\"" },
    { &path_row, "\"/.\"", "\"/\"" },
    { &path_row, "\"/..x/...\"", "\"/..x/...\"" },
    { &path_row, "\"/etc/../x\"",
      "!expected a path without '..', found '/etc/../x': write where it leads" },
    { &path_row, "\"etc\"", "!expected an absolute path, found 'etc'" },
    { &path_row, "\"/a\\u0000b\"", "!expected a path without zero bytes, found '/a\\x00b'" },
    { &path_row, "\"\\u009b31m\"", "!expected an absolute path, found '\\u{9b}31m'" },
    { &path_row, "\"\"", "!expected an absolute path, found ''" },

    { &bool_row, "true", "true" },
    { &bool_row, "\"yes\"", "!expected true or false, found 'yes': write true, without quotes" },
    { &bool_row, "\"OFF\"", "!expected true or false, found 'OFF': write false, without quotes" },
    { &bool_row, "\"maybe\"", "!expected true or false, found 'maybe'" },
    { &bool_row, "1", "!expected true or false, found the number 1" },

    { &int_row, "-5", "-5" },
    { &int_row, "5.0", "5" },
    { &int_row, "5.5", "!expected a whole number, found the number 5.5" },
    { &int_row, "1e300", "!expected a whole number, found the number 1e+300" },
    { &int_row, "\"5\"", "!expected a whole number, found '5': write it without quotes" },
    { &int_row, "\"5x\"", "!expected a whole number, found '5x'" },

    { &float_row, "1.5", "1.5" },
    { &float_row, "\"x\"", "!expected a finite number, found 'x'" },

    { &enum_row, "\"absent\"", "\"absent\"" },
    { &enum_row, "\"exist\"",
      "!expected one of 'exists', 'absent', found 'exist', did you mean 'exists'?" },
    { &enum_row, "\"qqqqqq\"", "!expected one of 'exists', 'absent', found 'qqqqqq'" },
    { &enum_row, "true", "!expected one of 'exists', 'absent', found true" },
    { &enum_row, "\"absent\\u0000\"", "!expected one of 'exists', 'absent', found 'absent\\x00'" },

    { &mode_row, "\"0644\"", "\"0644\"" },
    { &mode_row, "\"644\"", "\"0644\"" },
    { &mode_row, "\"04755\"", "\"4755\"" },
    { &mode_row, "\"u=rwx,g=rx,o=\"", "\"0750\"" },
    { &mode_row, "\"u=rw,go=r\"", "\"0644\"" },
    { &mode_row, "\"a=r\"", "\"0444\"" },
    { &mode_row, "\"=rx\"", "\"0555\"" },
    { &mode_row, "\"u=rwxs,g=rxs,o=rxt\"", "\"7755\"" },
    { &mode_row, "\"u=rwx,u=r\"", "\"0400\"" },
    { &mode_row, "420",
      "!expected a mode, found the number 420: write the mode as text, like "
      "\"0644\"" },
    { &mode_row, "\"u+rw\"", "!expected a mode like \"0644\" or \"u=rw,go=r\", found 'u+rw'" },
    { &mode_row, "\"0999\"", "!expected a mode like \"0644\" or \"u=rw,go=r\", found '0999'" },
    { &mode_row, "\"17777\"", "!expected a mode like \"0644\" or \"u=rw,go=r\", found '17777'" },
    { &mode_row, "\"64\"", "!expected a mode like \"0644\" or \"u=rw,go=r\", found '64'" },
    { &mode_row, "\"\"", "!expected a mode like \"0644\" or \"u=rw,go=r\", found ''" },
    { &mode_row, "\"u=rw,\"", "!expected a mode like \"0644\" or \"u=rw,go=r\", found 'u=rw,'" },

    { &seconds_row, "\"500ms\"", "500000" },
    { &seconds_row, "\"1.5s\"", "1500000" },
    { &seconds_row, "\"1h30m\"", "5400000000" },
    { &seconds_row, "\"2d\"", "172800000000" },
    { &seconds_row, "\"1w\"", "604800000000" },
    { &seconds_row, "\"7us\"", "7" },
    { &seconds_row, "10", "10000000" },
    { &seconds_row, "\"10\"", "10000000" },
    { &seconds_row, "0.25", "250000" },
    { &ms_row, "10", "10000" },
    { &ms_row, "\"10\"", "10000" },
    { &bare_row, "0", "0" },
    { &bare_row, "\"0\"", "0" },
    { &bare_row, "5",
      "!expected a duration with its unit, found the number 5: write it like \"10s\"" },
    { &bare_row, "\"5\"", "!expected a duration with its unit, found '5': write it like \"10s\"" },
    { &seconds_row, "-1", "!expected a duration of zero or more, found the number -1" },
    { &seconds_row, "\"-1s\"",
      "!expected a duration like \"500ms\", \"10s\", \"5m\", \"2h\" or \"1d\", found '-1s'" },
    { &seconds_row, "\"10 parsecs\"",
      "!expected a duration like \"500ms\", \"10s\", \"5m\", "
      "\"2h\" or \"1d\", found '10 parsecs'" },
    { &seconds_row, "\"1h5\"",
      "!expected a duration like \"500ms\", \"10s\", \"5m\", \"2h\" or \"1d\", found '1h5'" },
    { &seconds_row, "\"\"",
      "!expected a duration like \"500ms\", \"10s\", \"5m\", \"2h\" or \"1d\", found ''" },
    { &seconds_row, "9223372036854775807",
      "!expected a duration below 290000 years, found the number 9223372036854775807" },
    { &seconds_row, "1e30", "!expected a duration below 290000 years, found the number 1e+30" },
    { &seconds_row, "\"99999999999999999999s\"",
      "!expected a duration below 290000 years, found '99999999999999999999s'" },
    { &seconds_row, "\"9000000000000s9000000000000s\"",
      "!expected a duration below 290000 years, found '9000000000000s9000000000000s'" },

    { &strings_row, "[\"a\", 1]", "[\"a\",\"1\"]" },
    { &strings_row, "\"a\"", "[\"a\"]" },
    { &strings_row, "{}", "[]" },
    { &strings_row, "[\"a\", []]", "!item 2: expected a string, found a list" },
    { &strings_row, "[\"a\\u0000\"]", "!item 1: expected text without zero bytes, found 'a\\x00'" },
    { &strings_row, "{\"a\": 1}", "!expected a list of strings, found a map" },
    { &strings_row, "true", "!expected a list of strings, found true" },

    { &map_row, "{\"a\": \"x\", \"b\": 1, \"c\": true, \"d\": 0.1}",
      "{\"a\":\"x\",\"b\":\"1\",\"c\":\"true\",\"d\":\"0.1\"}" },
    { &map_row, "[]", "{}" },
    { &map_row, "{\"a\": []}", "!key 'a': expected text or a number, found a list" },
    { &map_row, "[1]", "!expected a map, found a list" },

    { &any_row, "[1,{\"a\":null}]", "[1,{\"a\":null}]" },
};

static void test_convert(void) {
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        const Case *at = &cases[i];
        g_autoptr(GError) error = NULL;
        g_autoptr(Value) input = json_parse(at->input, strlen(at->input), "case", &error);
        g_assert_no_error(error);
        g_autoptr(Value) value = param_convert(at->row, input, &error);
        g_autofree char *found =
            value ? json_print(value, JSON_COMPACT) : g_strconcat("!", error->message, NULL);
        g_assert_cmpstr(found, ==, at->expected);
        g_assert_true(!value == !!error);
        if (!value)
            continue;
        /* Converted values convert to themselves, durations by param_restore() only. */
        g_autoptr(Value) again = param_restore(at->row, value, &error);
        g_assert_no_error(error);
        g_assert_true(value_equal(value, again));
    }
}

/* Whatever converts, converts to itself; nothing else happens than a value or an error. */
static void test_random_text(void) {
    static const struct {
        const Param *row;
        const char *letters;
    } sorts[] = {
        { &path_row, "//..ab" },
        { &mode_row, "01267ugoa=rwxst,+" },
        { &seconds_row, "0123456789.usmhdw" },
        { &strings_row, "ab/\\x01" },
    };
    g_autoptr(GRand) rand = g_rand_new_with_seed(3);
    unsigned n_fine = 0;
    for (unsigned i = 0; i < 40000; i++) {
        const char *letters = sorts[i % G_N_ELEMENTS(sorts)].letters;
        const Param *row = sorts[i % G_N_ELEMENTS(sorts)].row;
        char text[24] = "/";
        unsigned length = (unsigned)g_rand_int_range(rand, 0, sizeof text - 1);
        for (unsigned c = row == &path_row ? 1 : 0; c < length; c++)
            text[c] = letters[g_rand_int_range(rand, 0, (int)strlen(letters))];
        text[MAX(length, 1)] = 0;
        g_autoptr(Value) input = value_new_string(text);
        g_autoptr(GError) error = NULL;
        g_autoptr(Value) value = param_convert(row, input, &error);
        g_assert_true(!value == !!error);
        if (!value)
            continue;
        g_autoptr(Value) again = param_restore(row, value, &error);
        g_assert_no_error(error);
        g_assert_true(value_equal(value, again));
        g_assert_true(row != &path_row ||
                      (!strstr(value_string(value), "//") && !strstr(value_string(value), "/./")));
        g_assert_true(row != &seconds_row || value_int(value) >= 0);
        n_fine++;
    }
    g_assert_cmpuint(n_fine, >, 15000);
    g_assert_cmpuint(n_fine, <, 40000);
}

static void test_float(void) {
    g_autoptr(Value) whole = value_new_int(2);
    g_autoptr(Value) value = param_convert(&float_row, whole, NULL);
    g_assert_cmpint(value_type(value), ==, VALUE_FLOAT);
    g_autoptr(Value) endless = value_new_float(INFINITY);
    g_assert_null(param_convert(&float_row, endless, NULL));
    g_autoptr(Value) nan = value_new_float(NAN);
    g_assert_null(param_convert(&float_row, nan, NULL));
    g_assert_null(param_convert(&seconds_row, nan, NULL));
    g_assert_null(param_convert(&int_row, nan, NULL));
}

static void test_long_text_is_cut(void) {
    g_autofree char *text = g_strnfill(5000, 'x');
    g_autoptr(Value) input = value_new_string(text);
    g_autoptr(GError) error = NULL;
    g_assert_null(param_convert(&path_row, input, &error));
    g_assert_cmpuint(strlen(error->message), <, 120);
    g_clear_error(&error);
    text[0] = '/';
    g_autoptr(Value) path = value_new_string(text);
    g_assert_null(param_convert(&path_row, path, &error));
    g_assert_true(g_str_has_prefix(error->message, "expected a path shorter than 4096 bytes"));
}

static void test_secrets(void) {
    g_autoptr(Value) open = value_new_string("hunter2");
    g_autoptr(Value) secret = value_as_secret(open, "db");
    g_autoptr(GError) error = NULL;

    g_autoptr(Value) masked = param_convert(&secret_row, open, &error);
    g_assert_true(value_is_secret(masked));
    g_autoptr(Value) kept = param_convert(&string_row, secret, &error);
    g_assert_cmpstr(value_secret_name(kept), ==, "db");

    g_autoptr(Value) list = param_convert(&strings_row, secret, &error);
    g_assert_true(value_is_secret(list));
    g_assert_cmpstr(value_secret_name(value_list_at(list, 0)), ==, "db");

    /* A conversion that makes a new value keeps it secret, and errors do not tell it. */
    g_autoptr(Value) mode = value_new_string("644");
    g_autoptr(Value) secret_mode = value_as_secret(mode, "m");
    g_autoptr(Value) octal = param_convert(&mode_row, secret_mode, &error);
    g_assert_cmpstr(value_secret_name(octal), ==, "m");
    g_assert_null(param_convert(&enum_row, secret, &error));
    g_assert_cmpstr(error->message, ==, "expected one of 'exists', 'absent', found a secret");
}

static void test_unknown(void) {
    g_autoptr(Value) unknown = value_new_unknown();
    g_autoptr(Value) value = param_convert(&enum_row, unknown, NULL);
    g_assert_cmpint(value_type(value), ==, VALUE_UNKNOWN);
}

static void test_restore(void) {
    /* Microseconds are not taken for seconds, and an unresolved secret is let through. */
    g_autoptr(Value) us = value_new_int(1500);
    g_autoptr(Value) duration = param_restore(&seconds_row, us, NULL);
    g_assert_cmpint(value_int(duration), ==, 1500);
    g_autoptr(Value) empty = value_new_string("");
    g_autoptr(Value) secret = value_as_secret(empty, "db");
    g_autoptr(Value) restored = param_restore(&path_row, secret, NULL);
    g_assert_cmpstr(value_secret_name(restored), ==, "db");
    g_assert_null(param_restore(&path_row, empty, NULL));
    g_assert_null(param_restore(&int_row, secret, NULL));
}

static void test_fallback(void) {
    static const Param rows[] = {
        { "a", PARAM_BOOL, .help = "x", .fallback = "true" },
        { "b", PARAM_INT, .help = "x", .fallback = "-3" },
        { "c", PARAM_FLOAT, .help = "x", .fallback = "0.5" },
        { "d", PARAM_DURATION, .help = "x", .fallback = "10", .unit = "s" },
        { "e", PARAM_STRINGS, .help = "x", .fallback = "" },
        { "f", PARAM_STRINGS, .help = "x", .fallback = "one" },
        { "g", PARAM_MAP, .help = "x", .fallback = "" },
        { "h", PARAM_STRING, .help = "x", .fallback = "" },
        { "i", PARAM_MODE, .help = "x", .fallback = "644" },
    };
    static const char *const expected[] = { "true",      "-3", "0.5",  "10000000", "[]",
                                            "[\"one\"]", "{}", "\"\"", "\"0644\"" };
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(Value) value = param_fallback(&rows[i]);
        g_autofree char *text = json_print(value, JSON_COMPACT);
        g_assert_cmpstr(text, ==, expected[i]);
    }
    g_assert_null(param_fallback(&string_row));
}

static void test_find(void) {
    static const Param rows[] = {
        { "content", PARAM_STRING, .help = "x", .aliases = "body text" },
        { "text", PARAM_STRING, .help = "x" },
    };
    g_assert_cmpint(param_find(rows, 2, "content"), ==, 0);
    g_assert_cmpint(param_find(rows, 2, "body"), ==, 0);
    g_assert_cmpint(param_find(rows, 2, "text"), ==, 1);
    g_assert_cmpint(param_find(rows, 2, "tex"), ==, -1);
    g_assert_cmpint(param_find(rows, 2, "bod"), ==, -1);
    g_assert_cmpint(param_find(rows, 2, ""), ==, -1);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/param/convert", test_convert);
    g_test_add_func("/param/random-text", test_random_text);
    g_test_add_func("/param/float", test_float);
    g_test_add_func("/param/long-text-is-cut", test_long_text_is_cut);
    g_test_add_func("/param/secrets", test_secrets);
    g_test_add_func("/param/unknown", test_unknown);
    g_test_add_func("/param/restore", test_restore);
    g_test_add_func("/param/fallback", test_fallback);
    g_test_add_func("/param/find", test_find);
    return g_test_run();
}
