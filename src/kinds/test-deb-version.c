/* Order of versions: pairs from deb-version(7), Debian policy and dpkg's own tests. */
#include <glib.h>

#include "kinds/deb-version.h"

static int sign(int n) {
    return (n > 0) - (n < 0);
}

static void expect(const char *a, int order, const char *b) {
    if (sign(deb_version_compare(a, b)) != order || sign(deb_version_compare(b, a)) != -order)
        g_error("'%s' and '%s' are in the wrong order", a, b);
}

static void test_order(void) {
    static const char *const rising[] = {
        "0~~",    "0~~a",       "0~",       "0",     "0-1",         "0a",        "0+",
        "0.1",    "0.2~rc1",    "0.2",      "0.2-1", "0.2-1.1",     "0.2-2~bpo", "0.2-2",
        "0.10",   "1.0~rc1",    "1.0~rc10", "1.0",   "1.0-1~deb12", "1.0-1",     "1.0-1+b1",
        "1.0-10", "1.0+dfsg-1", "1.0.1",    "1:0.9", "1:0.9-1",     "2:0",       "10:0",
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(rising); i++) {
        expect(rising[i], 0, rising[i]);
        for (unsigned j = i + 1; j < G_N_ELEMENTS(rising); j++)
            expect(rising[i], -1, rising[j]);
    }
}

static void test_equal(void) {
    expect("1.0", 0, "0:1.0");
    expect("1.0", 0, "1.00");
    expect("1.0-0", 0, "1.0");
    expect("1.007", 0, "1.7");
    expect("1-2-3", 1, "1-2-2");
    expect("1-a-1", 1, "1-a.1"); /* the last dash separates */
    expect("1.0a", -1, "1.0+");  /* letters before everything else */
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/kinds/deb-version/order", test_order);
    g_test_add_func("/kinds/deb-version/equal", test_equal);
    return g_test_run();
}
