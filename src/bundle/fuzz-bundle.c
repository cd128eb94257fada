/*
 * Any bytes, as an archive and as a compressed one: refused, or a bundle whose archive is these
 * very bytes, and whose links, followed part by part, stay inside.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/error.h"
#include "bundle/archive-in.h"
#include "bundle/bundle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Walks target from directory as the kernel would; NULL: it leads out. Links on the way are
 * followed up to that many times. */
static char *resolve(const Bundle *bundle, const char *directory, const char *target,
                     unsigned links) {
    g_autofree char *place = g_strdup(directory);
    g_auto(GStrv) parts = g_strsplit(target, "/", -1);
    for (char **part = parts; *part != NULL; part++) {
        if (**part == '\0' || strcmp(*part, ".") == 0)
            continue;
        if (strcmp(*part, "..") == 0) {
            if (*place == '\0')
                return NULL;
            char *slash = strrchr(place, '/');
            *(slash != NULL ? slash : place) = '\0';
            continue;
        }
        char *inner = *place != '\0' ? g_strconcat(place, "/", *part, NULL) : g_strdup(*part);
        const BundleEntry *entry = bundle_find(bundle, inner);
        if (entry != NULL && entry->type == BUNDLE_LINK && links > 0) {
            g_free(inner);
            inner = resolve(bundle, place, entry->target, links - 1);
        }
        g_free(place);
        place = inner;
        if (place == NULL)
            return NULL;
    }
    return g_steal_pointer(&place);
}

static void check(const Bundle *bundle, const uint8_t *data, size_t size) {
    char digest[DIGEST_HEX_SIZE];
    digest_bytes(data, size, digest);
    g_assert_cmpstr(bundle->digest, ==, digest);
    for (unsigned i = 0; i < bundle->entries->len; i++) {
        const BundleEntry *entry = bundle->entries->pdata[i];
        g_assert_true(bundle_find(bundle, entry->path) == entry);
        g_assert_true(*entry->path != '/' && g_utf8_validate(entry->path, -1, NULL));
        g_autofree char *parent =
            strchr(entry->path, '/') != NULL ? g_path_get_dirname(entry->path) : g_strdup("");
        const char *target = entry->type == BUNDLE_LINK ? entry->target : ".";
        g_autofree char *inside = resolve(bundle, parent, target, 8);
        g_assert_nonnull(inside);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    g_autoptr(GBytes) bytes = g_bytes_new_static(data, size);
    g_autoptr(GError) error = NULL;
    g_autoptr(GError) other = NULL;
    g_autoptr(Bundle) bundle = bundle_read_archive(bytes, &error);
    if (bundle != NULL)
        check(bundle, data, size);
    else
        g_assert_true(error->domain == STEAD_ERROR && *error->message != '\0');
    g_autoptr(GBytes) archive = archive_decompress(bytes, 1 << 20, &other);
    g_assert_true(archive != NULL || other->domain == STEAD_ERROR);
    g_autoptr(Bundle) packed = archive != NULL ? bundle_read_archive(archive, NULL) : NULL;
    if (packed != NULL)
        check(packed, g_bytes_get_data(archive, NULL), g_bytes_get_size(archive));
    return 0;
}
