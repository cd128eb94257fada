#pragma once
/* Sources: every text file one evaluation reads. Each is read once, its lines are there for error
 * texts, and the list of names tells an agent what to watch. */
#include <glib.h>
#include <stdbool.h>

#include "host/host.h"

typedef struct Sources Sources;

Sources *sources_new(Host *host); /* host may be NULL: files are read directly */
void sources_free(Sources *sources);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Sources, sources_free)

/* The content of path, at most LIMIT_CONFIG_FILE bytes; borrowed. A missing file is listed too: it
 * may appear. */
GBytes *sources_load(Sources *sources, const char *path, GError **error);
/* The bytes of such content, never NULL. */
const char *sources_bytes(GBytes *content, size_t *ret_size);
/* Makes text known under the name path, without a file and without listing it. */
void sources_add_text(Sources *sources, const char *path, const void *text, size_t size);

/* The given line, 1-based, without blanks around it and shortened to what fits a terminal; NULL
 * when there is none. Caller frees. */
char *sources_line(Sources *sources, const char *path, unsigned line);
/* Position of path in the order of first use; unknown ones come last. */
unsigned sources_rank(const Sources *sources, const char *path);
/* Names of all files, NULL-terminated, in order of first use; g_strfreev(). */
char **sources_files(const Sources *sources);
