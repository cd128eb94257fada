#include <glib.h>

#include "base/suggest.h"

static const char *nearest(const char *name) {
    static const char *const names[] = { "content", "owner", "group", "mode", "source",
                                         "recurse", "purge", "state", "",     "x" };
    return suggest_nearest(name, names, G_N_ELEMENTS(names));
}

static void test_one_mistake(void) {
    g_assert_cmpstr(nearest("contnt"), ==, "content"); /* missing */
    g_assert_cmpstr(nearest("ownner"), ==, "owner");   /* doubled */
    g_assert_cmpstr(nearest("croup"), ==, "group");    /* replaced */
    g_assert_cmpstr(nearest("moed"), ==, "mode");      /* swapped: one step, not two */
    g_assert_cmpstr(nearest("SOURCE"), ==, "source");  /* case */
}

static void test_limit(void) {
    g_assert_cmpstr(nearest("cintant"), ==, "content"); /* 2 of 7 */
    g_assert_null(nearest("cintaxt"));                  /* 3 of 7 */
    g_assert_null(nearest("mxxe"));                     /* 2 of 4 */
    g_assert_null(nearest("y"));
    g_assert_null(nearest(""));
}

static void test_order(void) {
    static const char *const names[] = { "cart", "bart", "dart" };
    g_assert_cmpstr(suggest_nearest("tart", names, 3), ==, "cart");
    g_assert_cmpstr(suggest_nearest("dart", names, 3), ==, "dart");
    g_assert_null(suggest_nearest("cart", NULL, 0));
    static const char *const user[] = { "skel", "shell" };
    g_assert_cmpstr(suggest_nearest("shel", user, 2), ==, "shell"); /* what begins alike */
}

static void test_long(void) {
    g_autofree char *name = g_strnfill(100000, 'a');
    const char *const names[] = { name, "a" };
    g_assert_null(suggest_nearest(name, names, 2));
    g_autofree char *longest = g_strnfill(64, 'a');
    const char *const candidates[] = { name, longest };
    g_assert_true(suggest_nearest(longest, candidates, 2) == longest);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/suggest/one-mistake", test_one_mistake);
    g_test_add_func("/suggest/limit", test_limit);
    g_test_add_func("/suggest/order", test_order);
    g_test_add_func("/suggest/long", test_long);
    return g_test_run();
}
