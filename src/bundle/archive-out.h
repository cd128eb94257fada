#pragma once
/* Archives written item by item to memory, with libarchive. */
#include "bundle/archive-in.h"

typedef enum { ARCHIVE_PAX, ARCHIVE_USTAR, ARCHIVE_GNU } ArchiveFormat;
typedef enum {
    COMPRESS_NONE,
    COMPRESS_GZIP,
    COMPRESS_BZIP2,
    COMPRESS_XZ,
    COMPRESS_ZSTD,
    COMPRESS_GZIP_FAST /* a third of the time, a tenth larger: for what is sent once */
} ArchiveCompression;

/* What an archive says of an item besides. Zeros give equal bytes for equal trees. */
typedef struct {
    uid_t uid;
    gid_t gid;
    int64_t mtime_s;
} ArchiveAttributes;

typedef struct ArchiveOut ArchiveOut;

/* limit: bytes that the archive may have as it is written. */
ArchiveOut *archive_out_new(ArchiveFormat format, ArchiveCompression compression, uint64_t limit,
                            GError **error);
void archive_out_free(ArchiveOut *out); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ArchiveOut, archive_out_free)

/* item->name has no slash at either end. content: of a file; else NULL. attributes may be NULL. */
bool archive_out_add(ArchiveOut *out, const ArchiveItem *item, GBytes *content,
                     const ArchiveAttributes *attributes, GError **error);
GBytes *archive_out_finish(ArchiveOut *out, GError **error); /* once, and nothing after it */

/* zstd of that level, without any archive around it. */
GBytes *archive_compress(GBytes *bytes, unsigned level, GError **error);
