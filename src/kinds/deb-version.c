#include "kinds/deb-version.h"

#include <glib.h>
#include <string.h>

/* Weight of a character that is no digit: "~", then the end, then letters, then the rest. */
static int weight(int c) {
    if (c == '~')
        return -1;
    if (c == '\0' || g_ascii_isdigit(c))
        return 0;
    return g_ascii_isalpha(c) ? c : c + 256;
}

/* One run of non-digits and one of digits at a time. end: where the part ends. */
static int compare_part(const char *a, const char *a_end, const char *b, const char *b_end) {
    while (a < a_end || b < b_end) {
        while ((a < a_end && !g_ascii_isdigit(*a)) || (b < b_end && !g_ascii_isdigit(*b))) {
            int difference = weight(a < a_end ? *a : '\0') - weight(b < b_end ? *b : '\0');
            if (difference != 0)
                return difference;
            a++, b++; /* equal weights: neither is at its end */
        }
        while (a < a_end && *a == '0')
            a++;
        while (b < b_end && *b == '0')
            b++;
        size_t a_digits = 0, b_digits = 0;
        while (a + a_digits < a_end && g_ascii_isdigit(a[a_digits]))
            a_digits++;
        while (b + b_digits < b_end && g_ascii_isdigit(b[b_digits]))
            b_digits++;
        if (a_digits != b_digits)
            return a_digits < b_digits ? -1 : 1;
        int difference = memcmp(a, b, a_digits);
        if (difference != 0)
            return difference;
        a += a_digits;
        b += b_digits;
    }
    return 0;
}

/* Splits "epoch:upstream-revision"; a missing epoch is empty, which compares as 0. */
typedef struct {
    const char *epoch, *epoch_end, *upstream, *upstream_end, *revision, *revision_end;
} Parts;

static Parts split(const char *version) {
    const char *colon = strchr(version, ':'), *end = version + strlen(version);
    const char *upstream = colon ? colon + 1 : version;
    const char *dash = strrchr(upstream, '-');
    return (Parts){ version,           colon ? colon : version, upstream,
                    dash ? dash : end, dash ? dash + 1 : end,   end };
}

int deb_version_compare(const char *a, const char *b) {
    Parts x = split(a), y = split(b);
    int difference = compare_part(x.epoch, x.epoch_end, y.epoch, y.epoch_end);
    if (difference == 0)
        difference = compare_part(x.upstream, x.upstream_end, y.upstream, y.upstream_end);
    if (difference == 0)
        difference = compare_part(x.revision, x.revision_end, y.revision, y.revision_end);
    return difference;
}
