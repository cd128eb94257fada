#include "lang/yaml-node.h"

#include <math.h>
#include <string.h>

#include "base/error.h"
#include "base/json.h"

static Value *parse(const char *text, GError **error) {
    g_autoptr(YamlNode) root = NULL;
    if (!yaml_parse(text, strlen(text), "y", &root, error))
        return NULL;
    return root ? yaml_node_to_value(root) : value_new_nil();
}

static const struct {
    const char *yaml, *json;
} valid[] = {
    { "", "null" },
    { "a: 1\nb: [x, 2]\n", "{\"a\":1,\"b\":[\"x\",2]}" },
    { "- ~\n- null\n- Null\n-\n- ''\n- nil", "[null,null,null,null,\"\",\"nil\"]" },
    { "[true, True, FALSE, yes, no, on, Off, y]",
      "[true,true,false,\"yes\",\"no\",\"on\",\"Off\",\"y\"]" },
    { "[0, -1, +5, 0o17, 0xff, 010, 1_000, 0b1]", "[0,-1,5,15,255,10,\"1_000\",\"0b1\"]" },
    { "[9223372036854775807, 9223372036854775808, 0xffffffffffffffffff]",
      "[9223372036854775807,9.223372036854776e+18,\"0xffffffffffffffffff\"]" },
    { "[1.0, -.5, 5., 1e3, 1E-2, 1.2.3, ., -, e5]",
      "[1.0,-0.5,5.0,1000.0,0.01,\"1.2.3\",\".\",\"-\",\"e5\"]" },
    { "[\"1\", '2', !!str 3, !!str true]", "[\"1\",\"2\",\"3\",\"true\"]" },
    { "a: |\n  x\n  y\nb: >\n  x\n  y\n", "{\"a\":\"x\\ny\\n\",\"b\":\"x y\\n\"}" },
    { "a: &x {b: 1}\nc: *x\n", "{\"a\":{\"b\":1},\"c\":{\"b\":1}}" },
    { "2026-01-02: 12:30:00\n", "{\"2026-01-02\":\"12:30:00\"}" },
    { "1: a\ntrue: b\n", "{\"1\":\"a\",\"true\":\"b\"}" },
    { "--- # c\nx\n...\n", "\"x\"" },
    { "!!map {a: !!seq [1]}", "{\"a\":[1]}" },
};

static const struct {
    const char *yaml, *message;
} invalid[] = {
    { "a: 1\na: 2", "y:2:1: key 'a' is there twice" },
    { "a: 1\n---\nb: 2", "y:2:1: only one document is read from a file" },
    { "? [a]\n: 1", "y:1:3: a key must be plain text" },
    { "\"a\\0b\": 1", "y:1:1: a key holds a NUL character" },
    { "a: !int 1", "y:1:4: tags other than !!str are not used here" },
    { "a: !!int 1", "y:1:4: tags other than !!str are not used here" },
    { "a: *x", "y:1:4: an alias without its anchor" },
    { "a: &x [*x]", "y:1:8: an alias without its anchor" },
    { "a: [", "y:2:1: did not find expected node content while parsing a flow node" },
    { "a: 'x", "y:1:6: found unexpected end of stream while scanning a quoted scalar" },
};

static void test_valid(void) {
    for (unsigned i = 0; i < G_N_ELEMENTS(valid); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(Value) value = parse(valid[i].yaml, &error);
        if (!value)
            g_error("'%s' is refused: %s", valid[i].yaml, error->message);
        g_autofree char *shown = json_print(value, JSON_COMPACT);
        g_assert_cmpstr(shown, ==, valid[i].json);
    }
}

static void test_invalid(void) {
    for (unsigned i = 0; i < G_N_ELEMENTS(invalid); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(Value) value = parse(invalid[i].yaml, &error);
        if (value)
            g_error("'%s' is accepted", invalid[i].yaml);
        g_assert_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG);
        g_assert_cmpstr(error->message, ==, invalid[i].message);
    }
}

static void test_special_floats(void) {
    g_autoptr(Value) value = parse("[.inf, -.Inf, +.INF, .nan]", NULL);
    g_assert_nonnull(value);
    g_assert_cmpfloat(value_float(value_list_at(value, 0)), ==, INFINITY);
    g_assert_cmpfloat(value_float(value_list_at(value, 1)), ==, -INFINITY);
    g_assert_cmpfloat(value_float(value_list_at(value, 2)), ==, INFINITY);
    g_assert_true(isnan(value_float(value_list_at(value, 3))));
}

static void test_places(void) {
    const char *const text = "a:\n  - b: 1\n    c: x\n";
    g_autoptr(YamlNode) root = NULL;
    g_assert_true(yaml_parse(text, strlen(text), "y", &root, NULL));
    const YamlNode *map = g_ptr_array_index(yaml_node_get(root, "a")->items, 0);
    g_assert_cmpuint(map->line, ==, 2);
    g_assert_cmpuint(map->column, ==, 5);
    const YamlNode *c = yaml_node_get(map, "c");
    g_assert_cmpuint(c->line, ==, 3);
    g_assert_cmpuint(c->column, ==, 8);
    g_assert_null(yaml_node_get(map, "d"));
}

/* Many keys are found by another way than few. */
static void test_many_keys(void) {
    g_autoptr(GString) text = g_string_new(NULL);
    for (int i = 0; i < 100; i++)
        g_string_append_printf(text, "key%d: %d\n", i, i);
    g_autoptr(YamlNode) root = NULL;
    g_assert_true(yaml_parse(text->str, text->len, "y", &root, NULL));
    g_assert_cmpstr(yaml_node_get(root, "key0")->text, ==, "0");
    g_assert_cmpstr(yaml_node_get(root, "key99")->text, ==, "99");
    g_assert_null(yaml_node_get(root, "key100"));
    g_string_append(text, "key50: x\n");
    g_autoptr(GError) error = NULL;
    g_autoptr(YamlNode) twice = NULL;
    g_assert_false(yaml_parse(text->str, text->len, "y", &twice, &error));
    g_assert_cmpstr(error->message, ==, "y:101:1: key 'key50' is there twice");
}

/* Ten levels of ten aliases each are ten thousand million values. */
static void test_laughs(void) {
    g_autoptr(GString) text = g_string_new("a0: &a0 x\n");
    for (int i = 1; i <= 10; i++) {
        g_string_append_printf(text, "a%d: &a%d [", i, i);
        for (int j = 0; j < 10; j++)
            g_string_append_printf(text, "%s*a%d", j ? ", " : "", i - 1);
        g_string_append(text, "]\n");
    }
    g_autoptr(GError) error = NULL;
    g_assert_null(parse(text->str, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_LIMIT);
}

/* Prints, reads back, compares; also as member and item, where indentation matters. */
static void check_round_trip(const Value *value) {
    g_autoptr(GError) error = NULL;
    g_autofree char *printed = yaml_print(value, &error);
    g_assert_no_error(error);
    g_autoptr(Value) again = parse(printed, &error);
    if (!again)
        g_error("printed\n%s: %s", printed, error->message);
    if (!value_equal(value, again)) {
        g_autofree char *json = json_print(value, JSON_COMPACT);
        g_error("%s became\n%s", json, printed);
    }
    g_autofree char *twice = yaml_print(again, NULL);
    g_assert_cmpstr(twice, ==, printed);
}

static void check_everywhere(const Value *value) {
    g_autoptr(Value) outer = value_new_map();
    Value *list = value_new_list(), *map = value_new_map(), *nested = value_new_list();
    value_list_append(nested, value_ref(value));
    value_list_append(list, value_ref(value));
    value_list_append(list, nested);
    value_list_append(list, value_ref(value));
    value_map_set(map, "a", value_ref(value));
    value_map_set(map, "b", value_ref(value));
    value_list_append(list, map);
    value_map_set(outer, "key", value_ref(value));
    value_map_set(outer, "list", list);
    check_round_trip(value);
    check_round_trip(outer);
}

static void test_round_trip(void) {
    static const char *const texts[] = {
        "",
        "x",
        "true",
        "Yes",
        "null",
        "~",
        "1",
        "-1",
        "1.5",
        "0x1f",
        ".inf",
        "1e5",
        "2026-01-02",
        "12:30",
        "1_000",
        "a: b",
        "a:",
        "a:b",
        "#x",
        "a #b",
        "a#b",
        "- a",
        "-",
        "--- x",
        "...",
        "[a",
        "{a",
        "a, b",
        "'a'",
        "\"a\"",
        "%a",
        "@a",
        "`a",
        "!a",
        "&a",
        "*a",
        "|",
        ">",
        "? a",
        " a",
        "a ",
        "a\n",
        "a\nb",
        "a\nb\n",
        "a\n\n",
        "\na",
        "a\n\n\nb",
        " a\nb",
        "a\n b",
        "a\tb\nc",
        "\ta",
        "a\rb",
        "a\r\nb",
        "\x01",
        "\x7f",
        "\xc2\x85",
        "\xe2\x80\xa8x\ny",
        ("\xef\xbb\xbf"
         "x"),
        "\xc3\xa9",
        "\xf0\x9f\x98\x80",
        "/etc/x",
        "_x",
        "a\\b",
        "C:\\x\ny",
        "=",
        "<<",
        "a\n  \nb",
        "x\n ",
        "\n",
        "\n\n",
        "y",
        "N",
        "on",
        "0o7",
        "+1",
        ".",
        "..",
        "a\n#b\n",
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(Value) value = value_new_string(texts[i]);
        check_everywhere(value);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(valid); i++) {
        g_autoptr(Value) value = parse(valid[i].yaml, NULL);
        check_everywhere(value);
    }
}

/* Random values from a fixed seed; characters that matter to YAML are frequent. */
static Value *random_value(GRand *random, int depth) {
    static const char *const letters[] = { "a",  " ",        "\n", ":",  "-",  "#", "'",
                                           "\"", "{",        "]",  ",",  "\t", "|", "1",
                                           ".",  "\xc3\xa9", "\\", "\r", "~",  "!" };
    int sort = g_rand_int_range(random, 0, depth > 0 ? 7 : 5);
    if (sort == 0)
        return value_new_int(g_rand_int(random));
    if (sort == 1)
        return value_new_float(g_rand_double_range(random, -1e6, 1e6));
    if (sort < 5) {
        g_autoptr(GString) text = g_string_new(NULL);
        for (int i = g_rand_int_range(random, 0, 9); i > 0; i--)
            g_string_append(text, letters[g_rand_int_range(random, 0, G_N_ELEMENTS(letters))]);
        return value_new_string(text->str);
    }
    Value *value = sort == 5 ? value_new_list() : value_new_map();
    for (int i = g_rand_int_range(random, 0, 4); i > 0; i--) {
        Value *item = random_value(random, depth - 1);
        g_autoptr(Value) key = random_value(random, 0);
        if (sort == 5)
            value_list_append(value, item);
        else
            value_map_set(value, value_type(key) == VALUE_STRING ? value_string(key) : "k", item);
    }
    return value;
}

static void test_random(void) {
    g_autoptr(GRand) random = g_rand_new_with_seed(20261023);
    for (int i = 0; i < 3000; i++) {
        g_autoptr(Value) value = random_value(random, 4);
        check_round_trip(value);
    }
}

static void test_unprintable(void) {
    g_autoptr(GError) error = NULL;
    g_autoptr(Value) bytes = value_new_bytes("\xff", 1);
    g_assert_null(yaml_print(bytes, &error));
    g_assert_cmpstr(error->message, ==,
                    "write YAML: bytes that are not UTF-8 text cannot be expressed");
    g_autoptr(Value) nul = value_new_bytes("a\0b", 3);
    g_assert_null(yaml_print(nul, NULL));
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/yaml/valid", test_valid);
    g_test_add_func("/yaml/invalid", test_invalid);
    g_test_add_func("/yaml/special-floats", test_special_floats);
    g_test_add_func("/yaml/places", test_places);
    g_test_add_func("/yaml/many-keys", test_many_keys);
    g_test_add_func("/yaml/laughs", test_laughs);
    g_test_add_func("/yaml/round-trip", test_round_trip);
    g_test_add_func("/yaml/random", test_random);
    g_test_add_func("/yaml/unprintable", test_unprintable);
    return g_test_run();
}
