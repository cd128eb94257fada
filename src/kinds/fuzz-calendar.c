/* A text as a calendar expression and as a span: it is taken, or refused with words that hold it,
 * and what is taken stays so with further blanks. */
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "kinds/calendar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool (*parse)(const char *param, const char *text, GError **error),
                  const char *text) {
    g_autoptr(GError) problem = NULL;
    g_autofree char *wide = g_strconcat("  ", text, " ", NULL);
    bool taken = parse("time", text, &problem);
    g_assert_true(taken == (problem == NULL));
    g_assert_true(taken || g_str_has_prefix(problem->message, "refuse time '"));
    g_assert_true(parse("time", wide, NULL) == taken);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    g_autofree char *text = g_strndup((const char *)data, size);
    check(calendar_check, text);
    check(time_span_check, text);
    return 0;
}
