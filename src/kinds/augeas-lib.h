#pragma once
/*
 * libaugeas: texts of configuration files as trees. The library is loaded when it is first needed,
 * so that stead runs where it is not installed. Nothing is read or written but lenses: texts come
 * from the host and go back to it, so a prediction is as good as the real thing.
 */
#include <glib.h>

#include "kinds/augeas-command.h"

typedef struct {
    const char *path;             /* of the file: where its tree hangs below /files */
    const char *lens;             /* "Sshd.lns"; NULL: the one that takes files of this path */
    const char *load_path;        /* further directories of lenses, separated by colons; or NULL */
    GPtrArray *changes;           /* of AugeasCommand */
    const AugeasCommand *only_if; /* or NULL */
} AugeasJob;

/* The text that the file has after the changes; the same when the condition does not hold. Needs
 * neither a host nor the file. Caller frees. Thread-safe. */
char *augeas_transform(const AugeasJob *job, const char *text, GError **error);
