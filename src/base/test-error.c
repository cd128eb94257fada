/* The error domain and errors of the system. */
#include "base/error.h"

#include <errno.h>

static void test_domain(void) {
    g_assert_cmpstr(g_quark_to_string(STEAD_ERROR), ==, "stead-error-quark");
    g_assert_true(STEAD_ERROR == g_quark_from_string("stead-error-quark"));
}

static void test_io_error(void) {
    static const struct {
        int number, code;
        const char *message;
    } rows[] = {
        { ENOENT, STEAD_ERROR_NOT_FOUND, "open '/x': No such file or directory" },
        { ENOTDIR, STEAD_ERROR_NOT_FOUND, "open '/x': Not a directory" },
        { EEXIST, STEAD_ERROR_EXISTS, "open '/x': File exists" },
        { EACCES, STEAD_ERROR_IO, "open '/x': Permission denied" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_false(set_io_error(&error, rows[i].number, "open '%s'", "/x"));
        g_assert_error(error, STEAD_ERROR, rows[i].code);
        g_assert_cmpstr(error->message, ==, rows[i].message);
    }
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/error/domain", test_domain);
    g_test_add_func("/error/io-error", test_io_error);
    return g_test_run();
}
