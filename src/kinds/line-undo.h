#pragma once
#include <glib.h>
#include <stdbool.h>

/* Takes back what made `was` of `before`, in `now`, which somebody may have changed elsewhere
 * since: each group of lines that differs is put back where the lines it became stand. NULL: some
 * of them are not there any more. Caller frees. */
char *line_undo(const char *before, const char *was, const char *now);
