#pragma once
/* Counts in texts for people. */
#include <string.h>

/* "1 edge", "2 edges", "1 entry", "2 entries": for g_strdup_printf("%u %s", n, plural(n, "edge",
 * "edges")). */
static inline const char *plural(unsigned long n, const char *one, const char *many) {
    return n == 1 ? one : many;
}
