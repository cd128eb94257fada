/* A change and a condition of augeas, one a line: what is accepted has its arguments, and its paths
 * are absolute. */
#include <glib.h>
#include <stdint.h>
#include <string.h>

#include "kinds/augeas-command.h"

typedef AugeasCommand *(*Parser)(const char *text, const char *context, GError **error);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(Parser parser, const char *text) {
    g_autoptr(GError) error = NULL;
    g_autoptr(AugeasCommand) command = parser(text, "/files/etc", &error);
    g_assert_true((command != NULL) == (error == NULL));
    if (command == NULL)
        return;
    for (unsigned i = 0; i < AUGEAS_MAX_ARGS; i++)
        if (augeas_is_path(command, i) && command->args[i] != NULL)
            g_assert_true(strchr("/$", command->args[i][0]) != NULL);
    /* Blanks around it mean nothing, unless the last one is escaped. */
    g_autofree char *wide =
        g_strconcat(" \t", text, g_str_has_suffix(text, "\\") ? "" : "  ", NULL);
    g_autoptr(AugeasCommand) again = parser(wide, "/files/etc", NULL);
    g_assert_nonnull(again);
    g_assert_cmpint(again->verb, ==, command->verb);
    for (unsigned i = 0; i < AUGEAS_MAX_ARGS; i++)
        g_assert_cmpstr(again->args[i], ==, command->args[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    g_autofree char *text = g_strndup((const char *)data, size);
    g_auto(GStrv) lines = g_strsplit(text, "\n", 2);
    if (lines[0] != NULL)
        check(augeas_change_parse, lines[0]);
    if (lines[0] != NULL && lines[1] != NULL)
        check(augeas_condition_parse, lines[1]);
    return 0;
}
