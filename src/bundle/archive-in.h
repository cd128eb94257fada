#pragma once
/* Archives read item by item from memory, with libarchive. */
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct ArchiveIn ArchiveIn;

typedef enum { ITEM_FILE, ITEM_DIRECTORY, ITEM_LINK, ITEM_HARD_LINK } ItemType;

typedef struct {
    ItemType type;
    const char *name;   /* as the archive has it: to be cleaned by archive_clean_path() */
    const char *target; /* of a link or hard link */
    mode_t mode;        /* permissions without set-user-id and the like */
} ArchiveItem;

typedef enum {
    ARCHIVE_IN_ANY, /* tar and zip, compressed or not */
    ARCHIVE_IN_TAR, /* uncompressed tar alone */
} ArchiveInFormats;

/* Borrows bytes. limit: bytes that all contents together may have. */
ArchiveIn *archive_in_new(GBytes *bytes, ArchiveInFormats formats, uint64_t limit, GError **error);
void archive_in_free(ArchiveIn *in); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ArchiveIn, archive_in_free)

/* 1: *ret_item is the next, valid until the call after; 0: there is none; -1: error. Devices, pipes
 * and sockets are refused. */
int archive_in_next(ArchiveIn *in, ArchiveItem *ret_item, GError **error);
/* Of the file that archive_in_next() came to; path is for errors. */
GBytes *archive_in_content(ArchiveIn *in, const char *path, GError **error);

/* Relative, without "." and empty parts, the first strip parts dropped; NULL without error: nothing
 * is left of it. A name with ".." is refused. Caller frees. */
char *archive_clean_path(const char *name, unsigned strip, GError **error);

/* Undoes zstd alone; what would have more than limit bytes is refused before it is made. */
GBytes *archive_decompress(GBytes *bytes, uint64_t limit, GError **error);
