#pragma once
/* Private to ledger: whole files of the state directory. */
#include <glib.h>
#include <stdbool.h>

/* The block ends with a NUL that is not counted. Above limit bytes: STEAD_ERROR_LIMIT. */
GBytes *file_read(const char *path, size_t limit, GError **error);

/* Writes all bytes; false with errno. */
bool write_all(int fd, const void *data, size_t size);

/* A copy with mode 0600. */
bool file_copy(const char *from, const char *to, GError **error);
