/* Any bytes, as a selector and as a strategy: refused with an error of ours, or printed so that it
 * reads back as the same. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/error.h"
#include "fleet/selector.h"
#include "fleet/strategy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_selector(const char *text) {
    g_autoptr(GError) error = NULL;
    g_autoptr(Selector) selector = selector_parse(text, &error);
    if (!selector) {
        g_assert_true(error->domain == STEAD_ERROR && *error->message != '\0');
        return;
    }
    g_autofree char *printed = selector_print(selector);
    if (strlen(printed) > SELECTOR_MAX)
        return;
    g_autoptr(Selector) again = selector_parse(printed, &error);
    g_assert_no_error(error);
    g_autofree char *same = selector_print(again);
    g_assert_cmpstr(printed, ==, same);
    g_assert_true(selector_matches(selector, "web1", NULL, NULL) ==
                  selector_matches(again, "web1", NULL, NULL));
}

static void check_strategy(const char *text) {
    g_autoptr(GError) error = NULL;
    Strategy strategy, again;
    if (!strategy_parse(text, &strategy, &error)) {
        g_assert_true(error->domain == STEAD_ERROR && *error->message != '\0');
        return;
    }
    g_autofree char *printed = strategy_print(&strategy);
    g_assert_true(strategy_parse(printed, &again, &error));
    g_autofree char *same = strategy_print(&again);
    g_assert_cmpstr(printed, ==, same);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    g_autofree char *text = g_strndup((const char *)data, size);
    check_selector(text);
    check_strategy(text);
    return 0;
}
