#pragma once
/* Archives to trees and trees to archives, in memory, of any kind. */
#include "bundle/archive-out.h"
#include "kinds/file-tree.h"

/* Entries of a tar or zip archive, compressed or not. strip: leading parts of each path to drop;
 * entries with fewer are left out. Hard links become copies. Refused: paths that lead outside,
 * devices, more than LIMIT_FILE_CONTENT bytes. */
FileTree *tarball_read(GBytes *archive, unsigned strip, GError **error);

typedef struct {
    ArchiveFormat format;
    ArchiveCompression compression;
    bool attributes; /* modes, owners and times as found; otherwise equal trees give equal bytes */
} TarballOptions;

/* Trees one after the other; each is put below its prefix ("" or ending in a slash). */
typedef struct {
    char *prefix;
    FileTree *tree;
} TarballPart;

GBytes *tarball_write(KindRun *run, const TarballPart *parts, size_t n_parts,
                      const TarballOptions *options, GError **error);
/* By the end of a name: ".tar.gz", ".tgz", ... */
ArchiveCompression tarball_compression_of(const char *path);
