/* Three versions, one a line: an order is the reverse of its reverse, and goes over three. */
#include <glib.h>
#include <stdint.h>

#include "kinds/deb-version.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int sign(int difference) {
    return (difference > 0) - (difference < 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    g_autofree char *text = g_strndup((const char *)data, size);
    g_auto(GStrv) v = g_strsplit(text, "\n", 3);
    if (g_strv_length(v) < 3)
        return 0;
    int first = sign(deb_version_compare(v[0], v[1]));
    int second = sign(deb_version_compare(v[1], v[2]));
    int both = sign(deb_version_compare(v[0], v[2]));
    g_assert_cmpint(deb_version_compare(v[0], v[0]), ==, 0);
    g_assert_cmpint(first, ==, -sign(deb_version_compare(v[1], v[0])));
    if (first == 0)
        g_assert_cmpint(both, ==, second);
    else if (second == 0 || second == first)
        g_assert_cmpint(both, ==, first);
    return 0;
}
