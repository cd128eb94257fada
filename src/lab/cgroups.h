#pragma once
/*
 * Control groups of a lab: stead-lab/ID/NAME/HOST in every hierarchy that systemd keeps processes
 * in: the one of version 2, and name=systemd of version 1. ID stands for the data directory. Each
 * container needs its own: two systemds in one group take the other's processes for theirs.
 */
#include <glib.h>
#include <stdbool.h>

/* "stead-lab/ID/NAME"; host NULL: without it. Caller frees. */
char *cgroups_path(const char *data, const char *name, const char *host);
bool cgroups_make(const char *path, GError **error);
/* The files to write "0" to, for a process to enter: open descriptors, of int. */
GArray *cgroups_open(const char *path, GError **error);
/* Ends every process in it and below, and removes it. True also when there is none. */
bool cgroups_remove(const char *path, GError **error);
/* Names of the groups directly below path, of char *: sorted, each once. */
GPtrArray *cgroups_below(const char *path);
