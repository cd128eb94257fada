#pragma once
/* Line difference of two texts in unified format, for people. */
#include <stddef.h>

/* Caller frees. Inputs that are not text, or above TEXT_DIFF_LIMIT bytes, give one line that says
 * so. context: unchanged lines around each change. Algorithm: Myers, "An O(ND) Difference
 * Algorithm" (1986). */
#define TEXT_DIFF_LIMIT (1024 * 1024)
char *text_diff(const char *before, size_t before_size, const char *after, size_t after_size,
                unsigned context);
