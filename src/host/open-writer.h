#pragma once
/* Whether a file is being written. */
#include <stdbool.h>

/* Whether some process has the regular file at path (of this machine) open for writing. False when
 * that cannot be known: it is no file, or belongs to somebody else and this process may not ask. */
bool file_has_writer(const char *path);
