#pragma once
/* Whole files that must survive a loss of power, and their removal. */
#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

bool disk_write(int fd, const void *data, size_t size); /* all of it; false with errno */
/* A regular file of up to limit bytes; a NUL that is not counted follows. */
GBytes *disk_read(const char *path, size_t limit, GError **error);
/* Replaces path at once, durably. */
bool disk_replace(const char *path, const void *data, size_t size, mode_t mode, GError **error);
bool disk_sync_parent(const char *path, GError **error); /* the directory that path is in */
void disk_remove_tree(const char *path); /* what cannot be removed stays; links are not followed */
