/* Fingerprints as rows: path and 80 bytes, little-endian, in the order of the struct. */
#include <string.h>

#include "ledger/ledger-private.h"

#define FINGERPRINT_SIZE 80

static uint8_t *put_word(uint8_t *to, uint64_t word) {
    word = GUINT64_TO_LE(word);
    memcpy(to, &word, sizeof word);
    return to + sizeof word;
}

static const uint8_t *get_word(const uint8_t *from, uint64_t *ret_word) {
    memcpy(ret_word, from, sizeof *ret_word);
    *ret_word = GUINT64_FROM_LE(*ret_word);
    return from + sizeof *ret_word;
}

static void encode(const Fingerprint *fingerprint, uint8_t bytes[FINGERPRINT_SIZE]) {
    bytes = put_word(bytes, fingerprint->device);
    bytes = put_word(bytes, fingerprint->inode);
    bytes = put_word(bytes, fingerprint->size);
    bytes = put_word(bytes, (uint64_t)fingerprint->mtime_ns);
    bytes = put_word(bytes, (uint64_t)fingerprint->ctime_ns);
    bytes = put_word(bytes, (uint64_t)fingerprint->taken_ns);
    memcpy(bytes, fingerprint->digest, sizeof fingerprint->digest);
}

static Fingerprint decode(const uint8_t bytes[FINGERPRINT_SIZE]) {
    Fingerprint fingerprint;
    uint64_t mtime, ctime, taken;
    bytes = get_word(bytes, &fingerprint.device);
    bytes = get_word(bytes, &fingerprint.inode);
    bytes = get_word(bytes, &fingerprint.size);
    bytes = get_word(bytes, &mtime);
    bytes = get_word(bytes, &ctime);
    bytes = get_word(bytes, &taken);
    fingerprint.mtime_ns = (int64_t)mtime;
    fingerprint.ctime_ns = (int64_t)ctime;
    fingerprint.taken_ns = (int64_t)taken;
    memcpy(fingerprint.digest, bytes, sizeof fingerprint.digest);
    return fingerprint;
}

bool fingerprint_write(Database *database, const char *path, const Fingerprint *fingerprint,
                       GError **error) {
    Sql sql = fingerprint ? SQL_PUT_FINGERPRINT : SQL_DROP_FINGERPRINT;
    sqlite3_stmt *statement = database_statement(database, sql, error);
    if (!statement)
        return false;
    uint8_t bytes[FINGERPRINT_SIZE];
    bind_text(statement, 1, path);
    if (fingerprint) {
        encode(fingerprint, bytes);
        (void)sqlite3_bind_blob(statement, 2, bytes, sizeof bytes, SQLITE_STATIC);
    }
    return database_step(database, statement, error) >= 0;
}

static bool load_all(Ledger *ledger, FingerprintCache *cache, GError **error) {
    Database *database = ledger_reader(ledger, false, error);
    if (!database)
        return !*error;
    sqlite3_stmt *statement = database_statement(database, SQL_ALL_FINGERPRINTS, error);
    if (!statement)
        return false;
    int got;
    while ((got = database_step(database, statement, error)) > 0) {
        const char *path = (const char *)sqlite3_column_text(statement, 0);
        const void *bytes = sqlite3_column_blob(statement, 1);
        if (!path || sqlite3_column_bytes(statement, 1) != FINGERPRINT_SIZE)
            continue; /* damaged: the file is read again */
        Fingerprint fingerprint = decode(bytes);
        fingerprint_load(cache, path, &fingerprint);
    }
    return got == 0;
}

void ledger_attach_fingerprints(Ledger *ledger, FingerprintCache *cache) {
    ledger->fingerprints = cache;
    GError *error = NULL;
    g_mutex_lock(&ledger->reader_lock);
    bool ok = load_all(ledger, cache, &error);
    g_mutex_unlock(&ledger->reader_lock);
    if (!ok)
        ledger_break(ledger, error);
}

static void collect(void *data, const char *path, const Fingerprint *fingerprint) {
    Ledger *ledger = data;
    Fingerprint *copy = NULL;
    if (fingerprint) {
        copy = g_new(Fingerprint, 1);
        *copy = *fingerprint;
    }
    g_hash_table_replace(ledger->work.fingerprints, g_strdup(path), copy);
}

void fingerprints_collect(Ledger *ledger) {
    if (!ledger->fingerprints || ledger->mode == LEDGER_READ)
        return;
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&ledger->lock);
    fingerprint_take_changes(ledger->fingerprints, collect, ledger);
}
