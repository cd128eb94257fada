#pragma once
/*
 * Fingerprints: what a file looked like when its digest was last computed, as git's index does. A
 * file whose device, inode, size, mtime and ctime are unchanged has the same content, unless it was
 * touched so shortly before the digest was taken that the clock could not tell (RACY_WINDOW_NS):
 * such an entry is not trusted and the file is read again. Thread-safe. Loaded from and saved to
 * the ledger by the engine.
 */
#include <glib.h>

#include "base/digest.h"
#include "host/host.h"

#define FINGERPRINT_RACY_WINDOW_NS 20000000 /* 20 ms: twice the coarsest kernel tick */

typedef struct FingerprintCache FingerprintCache;

typedef struct {
    uint64_t device, inode, size;
    int64_t mtime_ns, ctime_ns;
    int64_t taken_ns; /* CLOCK_REALTIME just before the content was read */
    uint8_t digest[32];
} Fingerprint;

FingerprintCache *fingerprint_cache_new(void);
void fingerprint_cache_free(FingerprintCache *cache); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FingerprintCache, fingerprint_cache_free)

/* Fills ret_hex and returns true when path's entry fits info and can be trusted. */
bool fingerprint_find(FingerprintCache *cache, const char *path, const FileInfo *info,
                      char ret_hex[DIGEST_HEX_SIZE]);
/* Only what is new counts as a change; what could not be trusted is not kept at all, except in
 * place of something else. */
void fingerprint_put(FingerprintCache *cache, const char *path, const FileInfo *info,
                     int64_t taken_ns, const char *hex);
void fingerprint_forget(FingerprintCache *cache, const char *path);
/* As read from the ledger: does not count as a change. */
void fingerprint_load(FingerprintCache *cache, const char *path, const Fingerprint *fingerprint);
/* Calls visit for each entry put (fingerprint) or forgotten (NULL) since the last call. */
void fingerprint_take_changes(FingerprintCache *cache,
                              void (*visit)(void *data, const char *path,
                                            const Fingerprint *fingerprint),
                              void *data);
/* --verify: from now on nothing is trusted, everything is read once more. */
void fingerprint_distrust(FingerprintCache *cache);
