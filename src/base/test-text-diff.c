#include <glib.h>
#include <string.h>
#include <time.h>

#include "base/myers.h"
#include "base/text-diff.h"

static void assert_diff(const char *before, const char *after, unsigned context,
                        const char *expected) {
    g_autofree char *diff = text_diff(before, strlen(before), after, strlen(after), context);
    g_assert_cmpstr(diff, ==, expected);
}

static void test_simple(void) {
    assert_diff("a\nb\nc\n", "a\nB\nc\n", 3, "@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n");
    assert_diff("a\nb\nc\n", "a\nB\nc\n", 0, "@@ -2 +2 @@\n-b\n+B\n");
    assert_diff("a\n", "a\n", 3, "");
    assert_diff("", "", 3, "");
}

static void test_ends(void) {
    assert_diff("", "a\nb\n", 3, "@@ -0,0 +1,2 @@\n+a\n+b\n");
    assert_diff("a\nb\n", "", 3, "@@ -1,2 +0,0 @@\n-a\n-b\n");
    assert_diff("b\n", "a\nb\n", 0, "@@ -0,0 +1 @@\n+a\n");
    assert_diff("a\n", "a\nb\n", 0, "@@ -1,0 +2 @@\n+b\n");
    assert_diff("a\nb\n", "b\n", 1, "@@ -1,2 +1 @@\n-a\n b\n");
}

static void test_no_newline(void) {
    assert_diff("a\nb", "a\nb\n", 3, "@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n+b\n");
    assert_diff(
        "a", "b", 3,
        "@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+b\n\\ No newline at end of file\n");
}

static void test_hunks(void) {
    const char *before = "1\n2\n3\n4\n5\n6\n7\n8\n9\n", *after = "1\nx\n3\n4\n5\n6\n7\ny\n9\n";
    assert_diff(before, after, 2,
                "@@ -1,4 +1,4 @@\n 1\n-2\n+x\n 3\n 4\n@@ -6,4 +6,4 @@\n 6\n 7\n-8\n+y\n 9\n");
    /* five lines between them: contexts of three meet */
    assert_diff(before, after, 3, "@@ -1,9 +1,9 @@\n 1\n-2\n+x\n 3\n 4\n 5\n 6\n 7\n-8\n+y\n 9\n");
}

static void test_slide(void) {
    /* The shortest script may add "}\n\nb {" just as well. */
    assert_diff("a {\n}\n\nc {\n}\n", "a {\n}\n\nb {\n}\n\nc {\n}\n", 1,
                "@@ -3,2 +3,5 @@\n \n+b {\n+}\n+\n c {\n");
    assert_diff("a\nc\na\nb\n", "c\na\na\nc\n", 1, "@@ -1,4 +1,4 @@\n-a\n c\n a\n-b\n+a\n+c\n");
    /* A group stops at a change of the other side and becomes one replacement with it. */
    assert_diff("b\nc\nc\nb\na\na\na\n", "a\nb\nb\na\nb\na\nb\nb\n", 9,
                "@@ -1,7 +1,8 @@\n+a\n b\n-c\n-c\n b\n a\n-a\n+b\n a\n+b\n+b\n");
    assert_diff("x\nx\n", "x\nx\nx\n", 1, "@@ -2 +2,2 @@\n x\n+x\n");
    assert_diff("x\nx\nx\ny\n", "x\nx\ny\n", 1, "@@ -2,3 +2,2 @@\n x\n-x\n y\n");
}

static void test_escapes(void) {
    assert_diff("a\n", "a\r\n", 0, "@@ -1 +1 @@\n-a\n+a\\r\n");
    assert_diff("\ta\n", "\t\x1b[31m\xff\n", 0, "@@ -1 +1 @@\n-\ta\n+\t\\x1b[31m\\xff\n");
    g_autofree char *line = g_strnfill(5000, 'x');
    g_autofree char *diff = text_diff("", 0, line, 5000, 0);
    g_assert_cmpuint(strlen(diff), <, 2200);
    g_assert_nonnull(strstr(diff, "xxx… (5000 bytes)\n\\ No newline"));
}

static void test_not_text(void) {
    g_autofree char *binary = text_diff("a\0b", 3, "abcd", 4, 3);
    g_assert_cmpstr(binary, ==, "binary content differs (3 -> 4 bytes)\n");
    g_autofree char *same = text_diff("a\0b", 3, "a\0b", 3, 3);
    g_assert_cmpstr(same, ==, "");
    g_autofree char *large = g_strnfill(TEXT_DIFF_LIMIT + 1, 'x');
    g_autofree char *diff = text_diff(large, TEXT_DIFF_LIMIT + 1, "x", 1, 3);
    g_assert_cmpstr(diff, ==,
                    "content differs, too large to compare by lines (1048577 -> 1 bytes)\n");
}

/* Applies a diff with its hunk headers to before and returns the result. */
static char *patch(const char *before, const char *diff) {
    g_auto(GStrv) old = g_strsplit(before, "\n", -1), lines = g_strsplit(diff, "\n", -1);
    GString *out = g_string_new(NULL);
    guint64 at = 0;
    for (char **line = lines; *line && **line; line++) {
        if (g_str_has_prefix(*line, "@@ -")) {
            char *end;
            guint64 start = g_ascii_strtoull(*line + 4, &end, 10);
            bool empty = g_str_has_prefix(end, ",0");
            while (at + 1 < start + empty)
                g_string_append_printf(out, "%s\n", old[at++]);
            continue;
        }
        if (**line != '+')
            g_assert_cmpstr(*line + 1, ==, old[at++]);
        if (**line != '-')
            g_string_append_printf(out, "%s\n", *line + 1);
    }
    for (; old[at] && old[at + 1]; at++)
        g_string_append_printf(out, "%s\n", old[at]);
    return g_string_free(out, FALSE);
}

static char *random_text(GRand *random, int lines, int alphabet) {
    GString *out = g_string_new(NULL);
    for (int i = g_rand_int_range(random, 0, lines + 1); i > 0; i--)
        g_string_append_printf(out, "%c\n", 'a' + g_rand_int_range(random, 0, alphabet));
    return g_string_free(out, FALSE);
}

static void test_patch(void) {
    g_autoptr(GRand) random = g_rand_new_with_seed(1);
    for (int i = 0; i < 20000; i++) {
        int alphabet = 1 + i % 7;
        g_autofree char *before = random_text(random, 30, alphabet);
        g_autofree char *after = random_text(random, 30, alphabet);
        g_autofree char *diff =
            text_diff(before, strlen(before), after, strlen(after), (unsigned)i % 4);
        g_autofree char *patched = patch(before, diff);
        g_assert_cmpstr(patched, ==, after);
    }
}

/* The length of a longest common subsequence, by the textbook's table. */
static size_t lcs_length(const unsigned *a, size_t a_size, const unsigned *b, size_t b_size) {
    g_autofree size_t *row = g_new0(size_t, b_size + 1);
    for (size_t i = 0; i < a_size; i++) {
        size_t diagonal = 0;
        for (size_t j = 0; j < b_size; j++) {
            size_t above = row[j + 1];
            row[j + 1] = a[i] == b[j] ? diagonal + 1 : MAX(above, row[j]);
            diagonal = above;
        }
    }
    return row[b_size];
}

static size_t check_script(const unsigned *a, size_t a_size, const unsigned *b, size_t b_size) {
    g_autofree bool *a_changed = g_new0(bool, a_size + 1), *b_changed = g_new0(bool, b_size + 1);
    myers_compare(a, a_size, b, b_size, a_changed, b_changed);
    size_t common = 0;
    for (size_t i = 0, j = 0;; i++, j++, common++) {
        while (i < a_size && a_changed[i])
            i++;
        while (j < b_size && b_changed[j])
            j++;
        if (i == a_size || j == b_size) {
            g_assert_true(i == a_size && j == b_size);
            return common;
        }
        g_assert_cmpuint(a[i], ==, b[j]);
    }
}

static void test_shortest(void) {
    g_autoptr(GRand) random = g_rand_new_with_seed(2);
    unsigned a[80], b[80];
    for (int i = 0; i < 20000; i++) {
        size_t a_size = (size_t)g_rand_int_range(random, 0, 81);
        size_t b_size = (size_t)g_rand_int_range(random, 0, 81);
        for (size_t n = 0; n < 80; n++) {
            a[n] = (unsigned)g_rand_int_range(random, 0, 2 + i % 20);
            b[n] = (unsigned)g_rand_int_range(random, 0, 2 + i % 20);
        }
        g_assert_cmpuint(check_script(a, a_size, b, b_size), ==, lcs_length(a, a_size, b, b_size));
    }
}

/* Beyond the limit of the search the script is still right, not much longer, and soon there. */
static void test_very_different(void) {
    enum { N = 20000 };
    g_autoptr(GRand) random = g_rand_new_with_seed(3);
    g_autofree unsigned *a = g_new(unsigned, N), *b = g_new(unsigned, N);
    for (size_t i = 0; i < N; i++) {
        a[i] = (unsigned)g_rand_int_range(random, 0, 50);
        b[i] = (unsigned)g_rand_int_range(random, 0, 50);
    }
    clock_t start = clock();
    size_t common = check_script(a, N, b, N);
    clock_t taken = clock() - start;
    size_t best = lcs_length(a, N, b, N);
    g_test_message("%d random items: %.0f ms, %zu common of %zu", N, (double)taken / 1000, common,
                   best);
    g_assert_cmpuint(common, >=, best * 9 / 10);
    g_assert_cmpint(taken, <, 5 * CLOCKS_PER_SEC);
}

static void test_worst_texts(void) {
    g_autoptr(GRand) random = g_rand_new_with_seed(4);
    g_autofree char *a = g_malloc(TEXT_DIFF_LIMIT), *b = g_malloc(TEXT_DIFF_LIMIT);
    for (size_t i = 0; i < TEXT_DIFF_LIMIT; i += 2) {
        a[i] = (char)('a' + g_rand_int_range(random, 0, 26));
        b[i] = (char)('a' + g_rand_int_range(random, 0, 26));
        a[i + 1] = b[i + 1] = '\n';
    }
    clock_t start = clock();
    g_autofree char *diff = text_diff(a, TEXT_DIFF_LIMIT, b, TEXT_DIFF_LIMIT, 3);
    clock_t taken = clock() - start;
    g_assert_true(g_str_has_prefix(diff, "@@ -"));
    g_test_message("2 x 524288 random lines: %.0f ms", (double)taken / 1000);
    g_assert_cmpint(taken, <, 30 * CLOCKS_PER_SEC);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/text-diff/simple", test_simple);
    g_test_add_func("/text-diff/ends", test_ends);
    g_test_add_func("/text-diff/no-newline", test_no_newline);
    g_test_add_func("/text-diff/hunks", test_hunks);
    g_test_add_func("/text-diff/slide", test_slide);
    g_test_add_func("/text-diff/escapes", test_escapes);
    g_test_add_func("/text-diff/not-text", test_not_text);
    g_test_add_func("/text-diff/patch", test_patch);
    g_test_add_func("/text-diff/shortest", test_shortest);
    g_test_add_func("/text-diff/very-different", test_very_different);
    g_test_add_func("/text-diff/worst-texts", test_worst_texts);
    return g_test_run();
}
