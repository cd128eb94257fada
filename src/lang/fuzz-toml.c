/* Whatever is read as TOML prints, reads back as the same value and prints the same again. */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "lang/toml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    g_autoptr(Value) value = toml_parse((const char *)data, size, "fuzz", NULL);
    if (!value)
        return 0;
    g_autoptr(GError) error = NULL;
    g_autofree char *printed = toml_print(value, &error);
    g_assert_no_error(error);
    g_autoptr(Value) again = toml_parse(printed, strlen(printed), "printed", &error);
    g_assert_no_error(error);
    g_assert_true(value_equal(value, again));
    g_autofree char *twice = toml_print(again, NULL);
    g_assert_cmpstr(twice, ==, printed);
    return 0;
}
