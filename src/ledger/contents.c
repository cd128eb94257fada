/*
 * Contents of pre-images: preimages/SHA256, plain bytes. Written below a temporary name in the
 * state directory and renamed; what a killed process left under such a name goes at the next open.
 * The writer syncs a content before it commits a row that may name it, so that a loss of power
 * cannot leave a name without its content.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/disk.h"
#include "base/error.h"
#include "base/limits.h"
#include "ledger/ledger-private.h"

#define TEMPORARY_PREFIX "content-"

static char *content_path(const Ledger *ledger, const char *hex) {
    return g_build_filename(ledger->dir, "preimages", hex, NULL);
}

static bool is_stored(const char *path, size_t size) {
    struct stat info;
    return stat(path, &info) == 0 && (size_t)info.st_size == size;
}

/* Writes data below a temporary name, which is returned. */
static char *write_temporary(const Ledger *ledger, const void *data, size_t size, GError **error) {
    g_autofree char *path = g_build_filename(ledger->dir, TEMPORARY_PREFIX "XXXXXX", NULL);
    int fd = mkostemp(path, O_CLOEXEC); /* 0600 */
    if (fd < 0) {
        (void)set_io_error(error, errno, "create '%s'", path);
        return NULL;
    }
    if (disk_write(fd, data, size)) {
        /* Starts the way to the disk, so that the writer's fdatasync() finds little left to do. */
        (void)sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
        close(fd);
        return g_steal_pointer(&path);
    }
    (void)set_io_error(error, errno, "write '%s'", path);
    close(fd);
    (void)unlink(path);
    return NULL;
}

static bool store(Ledger *ledger, const char *path, GBytes *content, GError **error) {
    g_autofree char *dir = g_path_get_dirname(path);
    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return set_io_error(error, errno, "create '%s'", dir);
    g_autofree char *temporary =
        write_temporary(ledger, g_bytes_get_data(content, NULL), g_bytes_get_size(content), error);
    if (!temporary)
        return false;
    if (rename(temporary, path) == 0)
        return true;
    (void)set_io_error(error, errno, "rename '%s' to '%s'", temporary, path);
    (void)unlink(temporary);
    return false;
}

bool ledger_store_content(Ledger *ledger, GBytes *content, char ret_hex[DIGEST_HEX_SIZE],
                          GError **error) {
    g_assert(ledger->mode == LEDGER_WRITE);
    char hex[DIGEST_HEX_SIZE];
    digest_bytes(g_bytes_get_data(content, NULL), g_bytes_get_size(content), hex);
    g_autofree char *path = content_path(ledger, hex);
    if (!is_stored(path, g_bytes_get_size(content))) {
        if (!store(ledger, path, content, error))
            return false;
        g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&ledger->lock);
        g_ptr_array_add(ledger->work.contents, g_strdup(hex));
        writer_wake(ledger);
    }
    g_atomic_int_set(&ledger->may_sweep, true);
    memcpy(ret_hex, hex, sizeof hex);
    return true;
}

GBytes *ledger_load_content(Ledger *ledger, const char *hex, GError **error) {
    size_t digits = strspn(hex, "0123456789abcdef");
    if (digits != DIGEST_HEX_SIZE - 1 || hex[digits] != '\0') {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_DAMAGED,
                    "load the content '%s': that is not a digest", hex);
        return NULL;
    }
    g_autofree char *path = content_path(ledger, hex);
    g_autoptr(GBytes) content = disk_read_own(path, LIMIT_FILE_CONTENT, error);
    if (!content)
        return NULL;
    char found[DIGEST_HEX_SIZE];
    digest_bytes(g_bytes_get_data(content, NULL), g_bytes_get_size(content), found);
    if (strcmp(found, hex) == 0)
        return g_steal_pointer(&content);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_DAMAGED,
                "read '%s': its content has another digest; put the file back from a backup, or "
                "drop the pre-image with 'stead ledger forget'",
                path);
    return NULL;
}

void contents_sync(Ledger *ledger, const GPtrArray *digests) {
    for (unsigned i = 0; i < digests->len; i++) {
        g_autofree char *path = content_path(ledger, digests->pdata[i]);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            continue;
        /* A disk that cannot keep it says so again when it is read: the digest is checked. */
        (void)fdatasync(fd);
        close(fd);
    }
}

/* --- what nothing names --- */

static void keep_digest(void *data, const char *hex) {
    char key[DIGEST_HEX_SIZE] = { 0 };
    memcpy(key, hex, DIGEST_HEX_SIZE - 1);
    (void)g_hash_table_remove(data, key);
}

static void keep_named(GHashTable *unneeded, GBytes *text) {
    gsize size;
    const char *bytes = g_bytes_get_data(text, &size);
    visit_digests(bytes, size, keep_digest, unneeded);
}

static GHashTable *list_contents(const char *dir) {
    GHashTable *names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GDir) listing = g_dir_open(dir, 0, NULL);
    const char *name;
    while (listing && (name = g_dir_read_name(listing)))
        (void)g_hash_table_add(names, g_strdup(name));
    return names;
}

/* Takes out of unneeded what an entry or a step in progress names. */
static bool keep_all_named(Ledger *ledger, GHashTable *unneeded) {
    GHashTableIter iter;
    gpointer key;
    g_hash_table_iter_init(&iter, ledger->slots);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        Slot *slot = key;
        if (slot->entry_hash == 0 || !(slot->flags & ENTRY_NAMES_CONTENT))
            continue;
        g_autoptr(GBytes) text = slot_entry_text(ledger, slot, NULL);
        if (!text)
            return false;
        keep_named(unneeded, text);
    }
    g_autoptr(GBytes) intents = intent_log_text(ledger->intents, NULL);
    if (intents)
        keep_named(unneeded, intents);
    return intents != NULL;
}

void contents_sweep(Ledger *ledger) {
    g_autofree char *dir = content_path(ledger, NULL);
    g_autoptr(GHashTable) unneeded = list_contents(dir);
    if (g_hash_table_size(unneeded) == 0 || !keep_all_named(ledger, unneeded))
        return;
    GHashTableIter iter;
    gpointer name;
    g_hash_table_iter_init(&iter, unneeded);
    while (g_hash_table_iter_next(&iter, &name, NULL)) {
        g_autofree char *path = content_path(ledger, name);
        (void)unlink(path); /* tried again by the next sweep */
    }
}

void contents_clean(const char *dir) {
    g_autoptr(GDir) listing = g_dir_open(dir, 0, NULL);
    const char *name;
    while (listing && (name = g_dir_read_name(listing))) {
        if (!g_str_has_prefix(name, TEMPORARY_PREFIX) && !g_str_has_suffix(name, ".new"))
            continue;
        g_autofree char *path = g_build_filename(dir, name, NULL);
        (void)unlink(path); /* in nobody's way */
    }
}
