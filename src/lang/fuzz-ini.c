/* Whatever is read as INI prints, or has a name that INI cannot write; then it reads back the same.
 */
#include <stdint.h>
#include <string.h>

#include "lang/ini.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    g_autoptr(GError) error = NULL;
    g_autoptr(Value) value = ini_parse((const char *)data, size, "fuzz", &error);
    g_assert_true((value == NULL) == (error != NULL));
    g_assert_true(value || g_str_has_prefix(error->message, "fuzz:"));
    g_autofree char *printed = value ? ini_print(value, NULL) : NULL;
    if (!printed)
        return 0;
    g_autoptr(Value) again = ini_parse(printed, strlen(printed), "printed", &error);
    g_assert_no_error(error);
    g_assert_true(value_equal(value, again));
    return 0;
}
