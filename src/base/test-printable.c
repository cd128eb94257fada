#include "base/printable.h"

static void assert_shown(const char *text, size_t size, PrintableFlags flags,
                         const char *expected) {
    GString *out = g_string_new(NULL);
    printable_append(out, text, size, flags);
    g_assert_cmpstr(out->str, ==, expected);
    g_string_free(out, TRUE);
}

static void test_plain(void) {
    assert_shown("a \"b\" \\ ~", 9, PRINTABLE_PLAIN, "a \"b\" \\ ~");
    assert_shown("a\tb\nc\r\0\x1b[1m\x7f", 12, PRINTABLE_PLAIN, "a\\tb\\nc\\r\\x00\\x1b[1m\\x7f");
    assert_shown("", 0, PRINTABLE_PLAIN, "");
}

static void test_flags(void) {
    assert_shown("\"\\\t\n", 4, PRINTABLE_QUOTED, "\\\"\\\\\\t\\n");
    assert_shown("\"\\\t\n", 4, PRINTABLE_TABS, "\"\\\t\\n");
    assert_shown("\"\\\t\n", 4, PRINTABLE_LINES, "\"\\\\t\n");
}

static void test_wide(void) {
    assert_shown("é→😀", 9, PRINTABLE_PLAIN, "é→😀");
    assert_shown("\u202eabc\u200b\xc2\x85", 11, PRINTABLE_PLAIN, "\\u{202e}abc\\u{200b}\\u{85}");
}

static void test_not_utf8(void) {
    assert_shown("\xff\xc3\x28", 3, PRINTABLE_PLAIN, "\\xff\\xc3(");
    assert_shown("\xe2\x82\xac", 2, PRINTABLE_PLAIN, "\\xe2\\x82");      /* half of a euro sign */
    assert_shown("\xed\xa0\x80", 3, PRINTABLE_PLAIN, "\\xed\\xa0\\x80"); /* surrogate */
    assert_shown("\xc3\0x", 3, PRINTABLE_PLAIN, "\\xc3\\x00x");
}

static void test_whole(void) {
    g_autofree char *text = printable_text("a\x07", PRINTABLE_PLAIN);
    g_assert_cmpstr(text, ==, "a\\x07");
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/printable/plain", test_plain);
    g_test_add_func("/printable/flags", test_flags);
    g_test_add_func("/printable/wide", test_wide);
    g_test_add_func("/printable/not-utf8", test_not_utf8);
    g_test_add_func("/printable/whole", test_whole);
    return g_test_run();
}
