#include "base/library.h"

#include <string.h>

#include "base/error.h"

typedef struct {
    size_t (*length)(const char *);
} Functions;

static void loads_once_and_calls(void) {
    static Functions table;
    static const LibraryFunction functions[] = { { "strlen", offsetof(Functions, length) },
                                                 { NULL } };
    Library library = { "libc.so.6", "libc6", functions, &table };
    g_autoptr(GError) error = NULL;
    g_assert_true(library_need(&library, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(table.length("three"), ==, 5);
    g_assert_true(library_need(&library, &error));
}

static void names_what_is_missing(void) {
    static Functions table;
    static const LibraryFunction functions[] = {
        { "no_such_function", offsetof(Functions, length) }, { NULL }
    };
    Library absent = { "libno-such.so.1", "libno-such1", functions, &table };
    Library older = { "libc.so.6", "libc6", functions, &table };
    g_autoptr(GError) error = NULL;
    g_assert_false(library_need(&absent, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_UNSUPPORTED);
    g_assert_nonnull(strstr(error->message, "load 'libno-such.so.1': "));
    g_assert_true(g_str_has_suffix(error->message, "; install it: apt install libno-such1"));
    g_clear_error(&error);
    g_assert_false(library_need(&older, &error));
    g_assert_nonnull(strstr(error->message, "no_such_function"));
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/library/loads", loads_once_and_calls);
    g_test_add_func("/library/missing", names_what_is_missing);
    return g_test_run();
}
