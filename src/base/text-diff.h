#pragma once
/* Line difference of two texts in unified format, for people. */
#include <stddef.h>

#define TEXT_DIFF_LIMIT (1024 * 1024) /* bytes of either text */

/* Hunks ("@@ -1,3 +1,4 @@") without file names; empty when the texts are equal. Control characters
 * and bytes that are not UTF-8 are escaped as in printable.h, very long lines cut. A text that
 * contains NUL, or is above TEXT_DIFF_LIMIT, gives one line that says so. context: unchanged lines
 * around each change. Caller frees. Algorithm: myers.h. */
char *text_diff(const char *before, size_t before_size, const char *after, size_t after_size,
                unsigned context);
