/* The layout of Lua text. */
#include <string.h>

#include "adopt/page.h"

static void check_quote(const char *text, size_t size, const char *expected) {
    g_autofree char *quoted = page_quote(text, size);
    g_assert_cmpstr(quoted, ==, expected);
}

static void test_quote(void) {
    check_quote("plain", 5, "\"plain\"");
    check_quote("a \"b\"", 5, "'a \"b\"'");
    check_quote("it's \"b\"", 8, "\"it's \\\"b\\\"\"");
    check_quote("a\\b\n\t", 5, "\"a\\\\b\\n\\t\"");
    check_quote("\0"
                "7\x1b\xff",
                4, "\"\\0007\\027\\255\"");
    check_quote("Zoë", strlen("Zoë"), "\"Zoë\"");
    check_quote("\xe2\x80\xae", 3, "\"\\226\\128\\174\""); /* turns the direction of writing */
}

static void check_text(const char *text, const char *expected) {
    g_autofree char *value = page_text_value(text, strlen(text));
    g_assert_cmpstr(value, ==, expected);
}

static void test_text(void) {
    check_text("one line\n", "\"one line\\n\"");
    check_text("a\nb\n", "[[\na\nb\n]]");
    check_text("\na\n", "[[\n\na\n]]");
    check_text("if [[ a ]]\nthen\n", "[=[\nif [[ a ]]\nthen\n]=]");
    check_text("a\nb]", "[=[\na\nb]]=]");
    check_text("a\r\nb\r\n", "\"a\\013\\nb\\013\\n\"");
    g_assert_true(page_is_readable("a\n\tb", 4));
    g_assert_false(page_is_readable("a\0b", 3));
    g_assert_false(page_is_readable("\xff", 1));
}

static void test_list(void) {
    const char *const none[] = { NULL }, *const two[] = { "a", "b", NULL };
    g_autofree char *empty = page_list(none), *both = page_list(two);
    g_assert_cmpstr(empty, ==, "{ }");
    g_assert_cmpstr(both, ==, "{ \"a\", \"b\" }");
}

static void test_resource(void) {
    char uid[] = "uid", number[] = "1000", content[] = "content", text[] = "[[\na\n]]",
         mode[] = "mode", octal[] = "\"0600\"", cmd[] = "command";
    g_autofree char *wide = g_strnfill(85, 'x');
    const PageItem items[] = {
        { uid, number },
        { cmd, wide },
        { content, text },
        { mode, octal },
    };
    g_autoptr(Page) page = page_new();
    page_resource(page, "pkg", "a", NULL, 0);
    page_resource(page, "user", "ada", items, 1);
    page_resource(page, "user", "bob", items, G_N_ELEMENTS(items));
    page_resource(page, "pkg", "b", NULL, 0);
    g_autofree char *expected =
        g_strdup_printf("pkg \"a\" {}\nuser \"ada\" { uid = 1000 }\n\nuser \"bob\" {\n  uid = "
                        "1000,\n  command = %s,\n  content = [[\na\n]],\n  mode = "
                        "\"0600\",\n}\n\npkg \"b\" {}\n",
                        wide);
    g_assert_cmpstr(page_text(page), ==, expected);
}

static void check_width(const Page *page) {
    g_auto(GStrv) lines = g_strsplit(page_text(page), "\n", -1);
    for (char **line = lines; *line != NULL; line++)
        g_assert_cmpint(g_utf8_strlen(*line, -1), <=, PAGE_WIDTH);
}

static void test_each(void) {
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    for (unsigned i = 0; i < 60; i++)
        g_ptr_array_add(names, g_strdup_printf("package-number-%u", i));
    g_autoptr(Page) page = page_new();
    page_each(page, "pkg", (const char *const *)names->pdata, names->len);
    check_width(page);
    g_assert_true(
        g_str_has_prefix(page_text(page), "for _, name in ipairs {\n  \"package-number-0\", "));
    g_assert_true(
        g_str_has_suffix(page_text(page), "\"package-number-59\",\n} do\n  pkg(name) {}\nend\n"));
}

/* Nothing that the machine says ends a comment. */
static void test_comment(void) {
    g_autoptr(Page) page = page_new();
    g_autofree char *words = g_strnfill(300, ' ');
    for (unsigned i = 0; i < 300; i++)
        words[i] = i % 7 == 6 ? ' ' : 'w';
    page_heading(page, "Title");
    page_comment(page, "first %s\n\nsecond\rline", words);
    const char *const evil[] = { "a\nos.exit()", "b" };
    page_comment_list(page, evil, 2);
    check_width(page);
    g_auto(GStrv) lines = g_strsplit(page_text(page), "\n", -1);
    for (char **line = lines; *line != NULL; line++)
        g_assert_true(**line == '\0' || g_str_has_prefix(*line, "--"));
    g_assert_nonnull(strstr(page_text(page), "--\n-- second line\n--   a os.exit(), b\n"));
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/page/quote", test_quote);
    g_test_add_func("/page/text", test_text);
    g_test_add_func("/page/list", test_list);
    g_test_add_func("/page/resource", test_resource);
    g_test_add_func("/page/each", test_each);
    g_test_add_func("/page/comment", test_comment);
    return g_test_run();
}
