#include "host/fingerprint.h"

#include <string.h>

#include "base/hash.h"

/* Entries that changed since the last fingerprint_take_changes() hang in a list in the order of
 * their changes; a forgotten one stays there, out of the table, until it has been reported. */
typedef struct Entry {
    struct Entry *next_changed;
    Fingerprint fingerprint;
    uint32_t generation; /* of the cache when the content was read; 0: before this process */
    bool changed;
    bool forgotten;
    char path[]; /* also the key in the table */
} Entry;

struct FingerprintCache {
    GMutex lock;
    GHashTable *entries; /* Entry.path -> Entry */
    Entry *first_changed, *last_changed;
    uint32_t generation; /* of entries that are trusted: fingerprint_distrust() counts it up */
};

FingerprintCache *fingerprint_cache_new(void) {
    FingerprintCache *cache = g_new0(FingerprintCache, 1);
    g_mutex_init(&cache->lock);
    cache->entries = g_hash_table_new(hash_string, g_str_equal);
    return cache;
}

/* Leaves the list of changes empty and frees what only lived there. */
static void changes_clear(FingerprintCache *cache) {
    for (Entry *entry = cache->first_changed, *next; entry != NULL; entry = next) {
        next = entry->next_changed;
        entry->next_changed = NULL;
        entry->changed = false;
        if (entry->forgotten)
            g_free(entry);
    }
    cache->first_changed = cache->last_changed = NULL;
}

void fingerprint_cache_free(FingerprintCache *cache) {
    if (cache == NULL)
        return;
    changes_clear(cache);
    GHashTableIter iter;
    gpointer entry;
    g_hash_table_iter_init(&iter, cache->entries);
    while (g_hash_table_iter_next(&iter, NULL, &entry))
        g_free(entry);
    g_hash_table_destroy(cache->entries);
    g_mutex_clear(&cache->lock);
    g_free(cache);
}

static void mark_changed(FingerprintCache *cache, Entry *entry) {
    if (entry->changed)
        return;
    entry->changed = true;
    if (cache->last_changed != NULL)
        cache->last_changed->next_changed = entry;
    else
        cache->first_changed = entry;
    cache->last_changed = entry;
}

static Entry *entry_get(FingerprintCache *cache, const char *path) {
    Entry *entry = g_hash_table_lookup(cache->entries, path);
    if (entry != NULL)
        return entry;
    size_t size = strlen(path) + 1;
    entry = g_malloc0(sizeof(Entry) + size);
    memcpy(entry->path, path, size);
    g_hash_table_insert(cache->entries, entry->path, entry);
    return entry;
}

static bool is_racy(const Fingerprint *fingerprint) {
    int64_t newest = MAX(fingerprint->mtime_ns, fingerprint->ctime_ns);
    return newest >= fingerprint->taken_ns - FINGERPRINT_RACY_WINDOW_NS;
}

static bool fits(const Fingerprint *fingerprint, const FileInfo *info) {
    return fingerprint->inode == info->inode && fingerprint->ctime_ns == info->ctime_ns &&
           fingerprint->mtime_ns == info->mtime_ns && fingerprint->size == info->size &&
           fingerprint->device == info->device;
}

/* Whether a, which can be trusted, says of the file in info what b says. */
static bool says_same(const Fingerprint *a, const Fingerprint *b, const FileInfo *info) {
    return fits(a, info) && !is_racy(a) && memcmp(a->digest, b->digest, sizeof a->digest) == 0;
}

static void print_hex(const uint8_t digest[32], char ret_hex[DIGEST_HEX_SIZE]) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < 32; i++) {
        ret_hex[2 * i] = digits[digest[i] >> 4];
        ret_hex[2 * i + 1] = digits[digest[i] & 15];
    }
    ret_hex[64] = '\0';
}

static void parse_hex(const char *hex, uint8_t ret_digest[32]) {
    for (size_t i = 0; i < 32; i++) {
        int high = g_ascii_xdigit_value(hex[2 * i]);
        int low = high < 0 ? -1 : g_ascii_xdigit_value(hex[2 * i + 1]);
        g_assert(low >= 0);
        ret_digest[i] = (uint8_t)(high << 4 | low);
    }
}

bool fingerprint_find(FingerprintCache *cache, const char *path, const FileInfo *info,
                      char ret_hex[DIGEST_HEX_SIZE]) {
    if (info->type != FILE_REGULAR)
        return false;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&cache->lock);
    const Entry *entry = g_hash_table_lookup(cache->entries, path);
    if (entry == NULL || entry->generation != cache->generation ||
        !fits(&entry->fingerprint, info) || is_racy(&entry->fingerprint))
        return false;
    print_hex(entry->fingerprint.digest, ret_hex);
    return true;
}

void fingerprint_put(FingerprintCache *cache, const char *path, const FileInfo *info,
                     int64_t taken_ns, const char *hex) {
    g_assert(info->type == FILE_REGULAR);
    Fingerprint fingerprint = {
        .device = info->device,
        .inode = info->inode,
        .size = info->size,
        .mtime_ns = info->mtime_ns,
        .ctime_ns = info->ctime_ns,
        .taken_ns = taken_ns,
    };
    parse_hex(hex, fingerprint.digest);
    bool racy = is_racy(&fingerprint);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&cache->lock);
    Entry *entry = g_hash_table_lookup(cache->entries, path);
    if (entry == NULL && racy)
        return; /* nobody would ever trust it */
    if (entry == NULL)
        entry = entry_get(cache, path);
    entry->generation = cache->generation;
    if (says_same(&entry->fingerprint, &fingerprint, info))
        return; /* as it was loaded: nothing to save */
    entry->fingerprint = fingerprint;
    mark_changed(cache, entry);
}

void fingerprint_forget(FingerprintCache *cache, const char *path) {
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&cache->lock);
    Entry *entry = g_hash_table_lookup(cache->entries, path);
    if (entry == NULL)
        return;
    g_hash_table_remove(cache->entries, path);
    entry->forgotten = true;
    mark_changed(cache, entry);
}

void fingerprint_load(FingerprintCache *cache, const char *path, const Fingerprint *fingerprint) {
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&cache->lock);
    Entry *entry = entry_get(cache, path);
    entry->fingerprint = *fingerprint;
    entry->generation = 0;
}

void fingerprint_take_changes(FingerprintCache *cache,
                              void (*visit)(void *data, const char *path,
                                            const Fingerprint *fingerprint),
                              void *data) {
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&cache->lock);
    for (const Entry *entry = cache->first_changed; entry != NULL; entry = entry->next_changed)
        visit(data, entry->path, entry->forgotten ? NULL : &entry->fingerprint);
    changes_clear(cache);
}

void fingerprint_distrust(FingerprintCache *cache) {
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&cache->lock);
    cache->generation++;
}
