#pragma once
/* Files as a whole: read up to a limit, written so that they survive a loss of power, removed. */
#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

bool disk_write(int fd, const void *data, size_t size); /* all of it; false with errno */
bool disk_write_bytes(int fd, GBytes *bytes);           /* the same */
/* A regular file; a NUL that is not counted follows. Above limit bytes: STEAD_ERROR_LIMIT. */
GBytes *disk_read(const char *path, size_t limit, GError **error);
/* The same of a file of ours, which is no link. */
GBytes *disk_read_own(const char *path, size_t limit, GError **error);
bool disk_copy(const char *from, const char *to, GError **error); /* of a file of ours; mode 0600 */
/* Replaces path at once, durably. */
bool disk_replace(const char *path, const void *data, size_t size, mode_t mode, GError **error);
bool disk_sync_parent(const char *path, GError **error); /* the directory that path is in */
void disk_remove_tree(const char *path); /* what cannot be removed stays; links are not followed */
