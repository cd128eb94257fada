#pragma once
/* What a package file says of itself: deb(5), deb-control(5). */
#include <glib.h>
#include <stdbool.h>

typedef struct {
    char *name, *version, *architecture;
} DebFile;

bool deb_file_parse(GBytes *bytes, DebFile *ret_deb, GError **error);
void deb_file_clear(DebFile *deb);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(DebFile, deb_file_clear)
