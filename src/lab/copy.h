#pragma once
/* Copying between here and a host, whose paths are looked up in its own root. */
#include <glib.h>
#include <stdbool.h>

/* One side: leader is the pidfd of a host's first process; -1: this machine. */
typedef struct {
    int leader;
    const char *path;
} CopyPlace;

/* As cp -r: what is a directory is copied with all in it; when to is a directory, into it. Modes
 * and links are kept, owner is root. A file is there whole, or not at all. */
bool copy_run(const CopyPlace *from, const CopyPlace *to, GError **error);
