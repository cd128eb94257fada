#pragma once
/*
 * bundle: what is deployed, and who may say so. Uses base; libarchive and libcrypto.
 *
 *   archive-in, archive-out   archives of any kind, item by item; the kind tar stands on them too
 *   bundle, pack, unpack      a directory as one named, reproducible archive, and back
 *   sign-*                    ed25519 keys, lists of them, signed statements about deploys
 *   keep                      the bundles of a host on its disk
 *
 * A bundle is a ustar archive compressed with zstd. Its name is the SHA-256 of the archive before
 * compression, because another version of zstd compresses the same archive to other bytes. ustar,
 * because its headers are fixed by POSIX: no library adds to them. There is one archive for a tree:
 * entries in byte order of their paths, each directory named before what is in it, modes 0755 and
 * 0644, no owners, no times. Every other archive is refused, so equal names are equal trees.
 */
#include <glib.h>
#include <stdbool.h>

#include "base/digest.h"

#define BUNDLE_MAIN        "main.lua"
#define BUNDLE_VALUES      "values.yaml"   /* beside it, when there are any */
#define BUNDLE_STATEMENT   ".stead-deploy" /* beside it, not in the bundle: its signature */
#define BUNDLE_ENTRIES_MAX 20000u
#define BUNDLE_FILE_MAX    (64u * 1024 * 1024)  /* bytes of one file */
#define BUNDLE_TOTAL_MAX   (256u * 1024 * 1024) /* bytes of the archive, before compression */
#define BUNDLE_PATH_MAX    255u                 /* bytes of a path; ustar has no more */
#define BUNDLE_TARGET_MAX  100u                 /* bytes of where a link leads, likewise */
#define BUNDLE_NAME_PREFIX "sha256:"

typedef enum { BUNDLE_FILE, BUNDLE_DIRECTORY, BUNDLE_LINK } BundleType;

typedef struct {
    BundleType type;
    bool executable; /* of a file */
    char *path;      /* relative to the bundle */
    char *target;    /* of a link: leads to somewhere in the bundle */
    GBytes *content; /* of a file */
} BundleEntry;

/* Immutable. */
typedef struct {
    GPtrArray *entries;           /* of BundleEntry, in byte order of path */
    char digest[DIGEST_HEX_SIZE]; /* its name */
    size_t size;                  /* bytes of the archive */
} Bundle;

/* Of a directory; main: the file in it that a run begins with (BUNDLE_MAIN), which must be there.
 * Left out is what version control and editors leave behind, see bundle_leaves_out(). Links that
 * lead out of the directory, devices, pipes and sockets are refused. */
Bundle *bundle_of_directory(const char *directory, const char *main, GError **error);
bool bundle_leaves_out(const char *name); /* of a file or directory; by its last part */

BundleEntry *bundle_entry_new(BundleType type, const char *path);
void bundle_entry_free(BundleEntry *entry); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BundleEntry, bundle_entry_free)
/* Of files and links (BundleEntry, taken over) from somewhere else, with the directories that they
 * are in; the rest is as above. files: made with bundle_entry_free. */
Bundle *bundle_of_files(GPtrArray *files, GError **error);
/* What version control keeps of it: without directories that have no file. */
Bundle *bundle_without_empty(const Bundle *bundle, GError **error);

/* The compressed archive, from outside. digest: what it must be called; NULL: anything. Nothing is
 * read of an archive with another name but its compression. */
Bundle *bundle_read(GBytes *packed, const char *digest, GError **error);
GBytes *bundle_write(const Bundle *bundle, GError **error);
/* The archive before compression. For tests and fuzzing: bundle_read() is made of it. */
Bundle *bundle_read_archive(GBytes *archive, GError **error);

void bundle_free(Bundle *bundle); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Bundle, bundle_free)
const BundleEntry *bundle_find(const Bundle *bundle, const char *path); /* NULL: it has none */
bool bundle_has_main(const Bundle *bundle, GError **error);

/* Makes the directory, which must not exist: under another name first, renamed when all of it is on
 * the disk. Files are for everybody to read, or with private for the owner alone. */
bool bundle_unpack(const Bundle *bundle, const char *directory, bool private, GError **error);

/* "sha256:HEX" to its digits, or the digits themselves. */
bool bundle_parse_name(const char *name, char ret_hex[DIGEST_HEX_SIZE], GError **error);
