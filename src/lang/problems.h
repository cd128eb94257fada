#pragma once
/* Problems: everything wrong with a configuration, collected so that all of it is shown at once. */
#include <glib.h>

#include "base/origin.h"
#include "lang/source.h"

typedef struct Problems Problems;

Problems *problems_new(Sources *sources); /* sources are borrowed and outlive it */
void problems_free(Problems *problems);   /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Problems, problems_free)

/* `file:line: text`, or `file:line:column: text` when the column is known, with the source line
 * below it. */
void problems_add(Problems *problems, Origin origin, const char *text);
void problems_add_format(Problems *problems, Origin origin, const char *format, ...)
    G_GNUC_PRINTF(3, 4);
/* A further place of the problem added last: one more line `    file:line: source text`. */
void problems_note(Problems *problems, Origin origin);
/* A finished message that starts with a place of its own; takes ownership of error. */
void problems_add_error(Problems *problems, GError *error);

void problems_clear(Problems *problems); /* forgets all */
unsigned problems_count(const Problems *problems);
/* Appends all as GError * (STEAD_ERROR_CONFIG) to out, by file and line; problems is empty then. */
void problems_move(Problems *problems, GPtrArray *out);
