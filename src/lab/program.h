#pragma once
/*
 * The program that runs, for hosts whose libraries are others: a copy of it, of every library it
 * has loaded and of the loader, and /usr/bin/stead, which starts it with those.
 */
#include <glib.h>
#include <stdbool.h>

/* Below directory, which becomes a layer of every host's root. with_http: also the libraries that
 * are loaded only where a hub is asked or run. */
bool program_copy(const char *directory, bool with_http, GError **error);
