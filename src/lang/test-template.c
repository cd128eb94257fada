#include "lang/template.h"

#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "lang/lang.h"

/* vars: JSON. */
static char *render(const char *text, const char *format, const char *vars, GError **error) {
    g_autoptr(Value) map = json_parse(vars, strlen(vars), "vars", NULL);
    g_assert_nonnull(map);
    return lang_render(text, strlen(text), "t", format, map, error);
}

static void expect(const char *text, const char *format, const char *vars, const char *result) {
    g_autoptr(GError) error = NULL;
    g_autofree char *rendered = render(text, format, vars, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(rendered, ==, result);
}

static void expect_error(const char *text, const char *format, const char *vars,
                         const char *message) {
    g_autoptr(GError) error = NULL;
    g_autofree char *rendered = render(text, format, vars, &error);
    g_assert_null(rendered);
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG);
    g_assert_cmpstr(error->message, ==, message);
}

static void test_plain(void) {
    expect("", NULL, "{}", "");
    expect("no tags { } % #\n", NULL, "{}", "no tags { } % #\n");
    expect("a{{ x }}b", NULL, "{\"x\": 1}", "a1b");
    expect("{{x}}{{ y }}{{ z }}", NULL, "{\"x\": true, \"y\": 1.5, \"z\": \"t\"}", "true1.5t");
    expect("{{ 1.0 }} {{ 0.1 }} {{ 2^53 }}", NULL, "{}", "1.0 0.1 9007199254740992.0");
    expect("{{ \"}}\" }}{{ '{{' }}{{ [=[ ]]}} ]=] }}", NULL, "{}", "}}{{ ]]}} ");
    expect("{{ ({a={b=1}}).a.b }}", NULL, "{}", "1");
    expect("{{ x:gsub('a', 'b') }}", NULL, "{\"x\": \"aa\"}", "bb");
    expect("{{ vars.none or 'default' }}", NULL, "{}", "default");
    expect("{{ -1 }}", NULL, "{}", "-1");
    expect("{{ std.text.trim(' x ') }}", NULL, "{}", "x");
    expect("a{# comment {{ x }} #}b", NULL, "{}", "ab");
}

static void test_statements(void) {
    expect("{% for i = 1, 3 do %}{{ i }},{% end %}", NULL, "{}", "1,2,3,");
    expect("{% if x then %}yes{% else %}no{% end %}", NULL, "{\"x\": false}", "no");
    expect("{% local y = x * 2 %}{{ y }}", NULL, "{\"x\": 4}", "8");
    expect("{% z = 3 %}{{ z }}", NULL, "{}", "3");
    expect("{% for k, v in pairs(m) do %}{{ k }}={{ v }};{% end %}", NULL,
           "{\"m\": {\"b\": 2, \"a\": 1}}", "a=1;b=2;");
    expect("{% local s = '%}' %}{{ s }}", NULL, "{}", "%}");
    expect("{% for i = 1, 2 do\n%}\nx\n{% end %}\n", NULL, "{}", "x\nx\n");
}

/* A line with only a statement or comment on it leaves no line. */
static void test_lines(void) {
    expect("a\n{% local x = 1 %}\nb\n", NULL, "{}", "a\nb\n");
    expect("a\n  {% local x = 1 %}  \nb\n", NULL, "{}", "a\nb\n");
    expect("a\r\n{# c #}\r\nb\r\n", NULL, "{}", "a\r\nb\r\n");
    expect("{# c #}\nb", NULL, "{}", "b");
    expect("a\n{# c #}", NULL, "{}", "a\n");
    expect("a {# c #}\nb", NULL, "{}", "a \nb");
    expect("{# c #} a\nb", NULL, "{}", " a\nb");
    expect("{% if true then %}{% end %}\nb", NULL, "{}", "\nb");
    expect("{{ 'x' }}\nb", NULL, "{}", "x\nb");
    expect("a\n{#\n c\n#}\nb\n", NULL, "{}", "a\nb\n");
    expect("a\n{# c #}\n{# d #}\nb", NULL, "{}", "a\nb");
}

static void test_trimming(void) {
    expect("a  \n {{- 'x' -}}  \n\n b", NULL, "{}", "axb");
    expect("a\n\n{%- local x = 1 %}\nb", NULL, "{}", "a\nb");
    expect("a\n{% local x = 1 -%}\n\n  b", NULL, "{}", "a\nb");
    expect("a {#- c -#} b", NULL, "{}", "ab");
    expect("{{- 'a' }}{{ 'b' -}}", NULL, "{}", "ab");
    expect("x {{- ' ' }}{{ ' ' -}} y", NULL, "{}", "x  y");
}

static void test_json(void) {
    const char *const vars = "{\"s\": \"a\\\"b\\n\", \"n\": 3, \"l\": [1, \"x\"], \"e\": {}}";
    expect("{\"a\": {{ s }}, \"b\": \"x{{ s }}y\", \"c\": {{ n }}, \"d\": {{ l }}}", "json", vars,
           "{\"a\": \"a\\\"b\\n\", \"b\": \"xa\\\"b\\ny\", \"c\": 3, \"d\": [1,\"x\"]}");
    expect("{\"\\\"{{ n }}\": {{ e }}}", "json", vars, "{\"\\\"3\": {}}");
    expect("{{ raw(s) }}", "json", vars, "a\"b\n");
    expect_error("\"{{ l }}\"", "json", vars,
                 "t:1: a table cannot stand inside quotes\n    \"{{ l }}\"");
    expect_error("{{ 1/0 }}", "json", vars, "t:1: JSON has no infinity and no NaN\n    {{ 1/0 }}");
}

static void test_yaml(void) {
    const char *const vars =
        "{\"p\": \"plain text\", \"s\": \"yes\", \"m\": \"a: b\\nc\", \"q\": \"it's\","
        "\"l\": [1, \"x\"], \"i\": \"a\\\"b\\\\\"}";
    expect("a: {{ p }}\nb: {{ s }}\nc: {{ m }}\nd: {{ l }}\n", "yaml", vars,
           "a: plain text\nb: \"yes\"\nc: \"a: b\\nc\"\nd: [1,\"x\"]\n");
    expect("a: \"{{ i }}\"\nb: '{{ q }}'\n", "yaml", vars, "a: \"a\\\"b\\\\\"\nb: 'it''s'\n");
    expect("it's {{ q }} # don't\nx: {{ s }}\n", "yaml", vars,
           "it's \"it's\" # don't\nx: \"yes\"\n");
    expect("a: 'x''{{ q }}'\n", "yaml", vars, "a: 'x''it''s'\n");
    expect_error(
        "a: '{{ m }}'", "yaml", vars,
        "t:1: the text has a line break: put the expression in double quotes\n    a: '{{ m "
        "}}'");
}

static void test_toml(void) {
    const char *const vars =
        "{\"s\": \"a\\\"b\\n\", \"l\": [1, \"x\"], \"m\": {\"k\": 1}, \"q\": \"it's\"}";
    expect("a = {{ s }}\nb = \"{{ s }}\"\nc = {{ l }}\nd = {{ m }}\ne = {{ 1/0 }}\n", "toml", vars,
           "a = \"a\\\"b\\n\"\nb = \"a\\\"b\\n\"\nc = [1, \"x\"]\nd = { k = 1 }\ne = inf\n");
    expect("# it's \"\na = {{ q }}\n", "toml", vars, "# it's \"\na = \"it's\"\n");
    expect("a = \"\"\"\n{{ s }}\n\"x\" {{ s }}\"\"\"\nb = {{ q }}\n", "toml", vars,
           "a = \"\"\"\na\\\"b\\n\n\"x\" a\\\"b\\n\"\"\"\nb = \"it's\"\n");
    expect_error(
        "a = '{{ q }}'", "toml", vars,
        "t:1: the text does not fit single quotes: put the expression in double quotes\n    a "
        "= '{{ q }}'");
}

static void test_shell(void) {
    const char *const vars =
        "{\"s\": \"a b$c\", \"q\": \"it's\", \"l\": [\"a\", \"b c\", 1], \"e\": \"\","
        "\"x\": \"`x` \\\"\\\\\"}";
    expect("A={{ s }}\nB=\"{{ s }}\"\nC='{{ q }}'\nD={{ q }}\nE={{ e }}\nF=({{ l }})\nG=/a/b\n",
           "shell", vars,
           "A='a b$c'\nB=\"a b\\$c\"\nC='it'\\''s'\nD='it'\\''s'\nE=''\nF=(a 'b c' 1)\nG=/a/b\n");
    expect("# don't\nA={{ s }}\n", "shell", vars, "# don't\nA='a b$c'\n");
    expect("A=\"x\n{{ x }}\"\n", "shell", vars, "A=\"x\n\\`x\\` \\\"\\\\\"\n");
    expect("A=\\\"{{ s }}\n", "shell", vars, "A=\\\"'a b$c'\n");
    expect("echo x#y '{{ q }}'\n", "shell", vars, "echo x#y 'it'\\''s'\n");
}

static void test_markup(void) {
    const char *const vars = "{\"s\": \"<a href='x'>&\\\"\"}";
    expect("<p>{{ s }}</p>", "html", vars, "<p>&lt;a href=&#39;x&#39;&gt;&amp;&quot;</p>");
    expect("<p>{{ s }}</p>", "xml", vars, "<p>&lt;a href=&#39;x&#39;&gt;&amp;&quot;</p>");
    expect("<p>{{ raw(s) }}</p>", "html", vars, "<p><a href='x'>&\"</p>");
}

static void test_formats(void) {
    expect_error("x", "jsn", "{}", "no such format 'jsn', did you mean 'json'?");
    expect_error("{{ x }}", "ini", "{\"x\": \"a\\nb\"}",
                 "t:1: the text has a line break, which INI cannot express\n    {{ x }}");
    expect_error("{{ x }}", NULL, "{\"x\": []}",
                 "t:1: a table cannot be printed: print its members, or give the template a format "
                 "that has tables, like \"json\"\n    {{ x }}");
}

/* Text keeps its lines through all of it: the error is on the last. */
static void test_places(void) {
    expect_error("a\n{#\n\n#}\n{%- local x = [[\n\n]] -%}\n\n\nb {{\nx.y.z\n}}", NULL, "{}",
                 "t:11: no such function 'string.y': is a string used like a table?\n    x.y.z");
    expect_error("{{ x", NULL, "{}", "t:1: this tag does not end: '}}' is missing\n    {{ x");
}

static void test_scanner(void) {
    TemplateScanner scanner;
    template_scanner_init(&scanner, FORMAT_SHELL);
    template_scan(&scanner, "a=\"b'c", 6);
    g_assert_cmpint(scanner.context, ==, CONTEXT_DOUBLE);
    template_scan(&scanner, "\"'", 2);
    g_assert_cmpint(scanner.context, ==, CONTEXT_SINGLE);
    template_scanner_init(&scanner, FORMAT_INI);
    template_scan(&scanner, "a=\"b", 4);
    g_assert_cmpint(scanner.context, ==, CONTEXT_BARE);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/template/plain", test_plain);
    g_test_add_func("/template/statements", test_statements);
    g_test_add_func("/template/lines", test_lines);
    g_test_add_func("/template/trimming", test_trimming);
    g_test_add_func("/template/json", test_json);
    g_test_add_func("/template/yaml", test_yaml);
    g_test_add_func("/template/toml", test_toml);
    g_test_add_func("/template/shell", test_shell);
    g_test_add_func("/template/markup", test_markup);
    g_test_add_func("/template/formats", test_formats);
    g_test_add_func("/template/places", test_places);
    g_test_add_func("/template/scanner", test_scanner);
    return g_test_run();
}
