#pragma once
/* Files of a lab that only it knows: no rename, no sync. */
#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

/* Between descriptors, from where they stand to the end. */
bool files_copy_content(int from, int to, GError **error);
bool files_copy(const char *from, const char *to, mode_t mode, GError **error);
/* path is below directory; directories on the way are made. */
bool files_write(const char *directory, const char *path, const char *text, mode_t mode,
                 GError **error);
bool files_link(const char *directory, const char *path, const char *target, GError **error);
