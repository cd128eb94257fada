#include <string.h>

#include "base/error.h"
#include "base/printable.h"
#include "bundle/archive-out.h"
#include "bundle/bundle-private.h"

/* Of zstd: beyond it, configurations get hardly smaller. */
#define BUNDLE_LEVEL 9

/* --- entries */

BundleEntry *bundle_entry_new(BundleType type, const char *path) {
    BundleEntry *entry = g_new0(BundleEntry, 1);
    entry->type = type;
    entry->path = g_strdup(path);
    return entry;
}

void bundle_entry_free(BundleEntry *entry) {
    if (entry == NULL)
        return;
    g_free(entry->path);
    g_free(entry->target);
    g_clear_pointer(&entry->content, g_bytes_unref);
    g_free(entry);
}

static bool refuse(GError **error, const char *path, const char *why) {
    g_autofree char *shown = printable_text(path, PRINTABLE_PLAIN);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED, "refuse '%s': %s", shown, why);
    return false;
}

/* ustar keeps up to 100 bytes behind some slash and up to 155 before it; a directory ends in one
 * more. */
static bool fits_ustar(const char *path) {
    size_t size = strlen(path);
    if (size < 100)
        return true;
    for (const char *slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/'))
        if (slash - path <= 155 && size - (size_t)(slash - path) - 1 < 100)
            return true;
    return false;
}

bool bundle_check_path(const char *path, GError **error) {
    if (*path == '/')
        return refuse(error, path, "the path is absolute");
    if (!g_utf8_validate(path, -1, NULL))
        return refuse(error, path, "the name is not UTF-8; rename it");
    for (const char *c = path; *c != '\0'; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            return refuse(error, path, "the name has a control character; rename it");
    g_auto(GStrv) parts = g_strsplit(path, "/", -1);
    for (char **part = parts; *part != NULL; part++) {
        if (strcmp(*part, "..") == 0)
            return refuse(error, path, "the path leads out of the directory");
        if (**part == '\0' || strcmp(*part, ".") == 0)
            return refuse(error, path, "the path has an empty part or '.'");
    }
    if (*path == '\0')
        return refuse(error, path, "the path is empty");
    if (strlen(path) > BUNDLE_PATH_MAX || !fits_ustar(path))
        return refuse(error, path,
                      "the path is too long: at most 99 bytes for the name and 155 for the "
                      "directories; use shorter names");
    return true;
}

static unsigned depth_of(const char *path) {
    unsigned depth = 0;
    for (const char *c = path; *c != '\0'; c++)
        depth += *c == '/';
    return depth;
}

/* ".." counts only at the beginning: a link's own directory is a real one, so these climb as far as
 * they say. Behind another part, which may be a link itself, they could lead anywhere. */
bool bundle_check_link(const char *path, const char *target, GError **error) {
    if (*target == '/')
        return refuse(error, path, "the link leads to an absolute path; make it relative");
    if (*target == '\0' || strlen(target) > BUNDLE_TARGET_MAX || !g_utf8_validate(target, -1, NULL))
        return refuse(error, path, "where the link leads is empty, too long or not UTF-8");
    g_auto(GStrv) parts = g_strsplit(target, "/", -1);
    unsigned climbs = 0;
    char **part = parts;
    for (; *part != NULL && strcmp(*part, "..") == 0; part++)
        climbs++;
    if (climbs > depth_of(path))
        return refuse(error, path, "the link leads out of the directory; copy what it leads to");
    for (; *part != NULL; part++) {
        if (strcmp(*part, "..") == 0)
            return refuse(error, path, "the link has '..' behind a name; write it in front");
        for (const char *c = *part; *c != '\0'; c++)
            if ((unsigned char)*c < ' ' || *c == 0x7f)
                return refuse(error, path, "where the link leads has a control character");
    }
    return true;
}

/* --- bundles */

static gint compare_entries(gconstpointer a, gconstpointer b) {
    const BundleEntry *const *left = a, *const *right = b;
    return strcmp((*left)->path, (*right)->path);
}

static bool parent_is_directory(const Bundle *bundle, const char *path, GError **error) {
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        return true;
    g_autofree char *parent = g_strndup(path, (size_t)(slash - path));
    const BundleEntry *entry = bundle_find(bundle, parent);
    return (entry != NULL && entry->type == BUNDLE_DIRECTORY) ||
           refuse(error, path, "what it is in is no directory of the bundle");
}

static bool check_entries(const Bundle *bundle, GError **error) {
    const char *before = NULL;
    for (unsigned i = 0; i < bundle->entries->len; i++) {
        const BundleEntry *entry = bundle->entries->pdata[i];
        if (before != NULL && strcmp(before, entry->path) == 0)
            return refuse(error, entry->path, "the archive has it twice");
        before = entry->path;
        if (!bundle_check_path(entry->path, error) ||
            !parent_is_directory(bundle, entry->path, error) ||
            (entry->type == BUNDLE_LINK && !bundle_check_link(entry->path, entry->target, error)))
            return false;
    }
    return true;
}

static GBytes *make_archive(const Bundle *bundle, GError **error) {
    static const ItemType types[] = {
        [BUNDLE_FILE] = ITEM_FILE, [BUNDLE_DIRECTORY] = ITEM_DIRECTORY, [BUNDLE_LINK] = ITEM_LINK
    };
    g_autoptr(ArchiveOut) out =
        archive_out_new(ARCHIVE_USTAR, COMPRESS_NONE, BUNDLE_TOTAL_MAX, error);
    for (unsigned i = 0; out != NULL && i < bundle->entries->len; i++) {
        const BundleEntry *entry = bundle->entries->pdata[i];
        bool plain = entry->type == BUNDLE_FILE && !entry->executable;
        ArchiveItem item = { .type = types[entry->type],
                             .name = entry->path,
                             .target = entry->target,
                             .mode = plain ? 0644 : 0755 };
        if (!archive_out_add(out, &item, entry->content, NULL, error))
            return NULL;
    }
    return out != NULL ? archive_out_finish(out, error) : NULL;
}

static void take_name(Bundle *bundle, GBytes *archive) {
    const void *data = g_bytes_get_data(archive, &bundle->size);
    digest_bytes(data, bundle->size, bundle->digest);
}

Bundle *bundle_new(GPtrArray *entries, GError **error) {
    g_autoptr(Bundle) bundle = g_new0(Bundle, 1);
    bundle->entries = entries;
    g_ptr_array_sort(entries, compare_entries);
    if (!check_entries(bundle, error))
        return NULL;
    g_autoptr(GBytes) archive = make_archive(bundle, error);
    if (archive == NULL)
        return NULL;
    take_name(bundle, archive);
    return g_steal_pointer(&bundle);
}

void bundle_free(Bundle *bundle) {
    if (bundle == NULL)
        return;
    g_ptr_array_unref(bundle->entries);
    g_free(bundle);
}

const BundleEntry *bundle_find(const Bundle *bundle, const char *path) {
    unsigned low = 0, high = bundle->entries->len;
    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        const BundleEntry *entry = bundle->entries->pdata[middle];
        int order = strcmp(path, entry->path);
        if (order == 0)
            return entry;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

bool bundle_has_main(const Bundle *bundle, GError **error) {
    const BundleEntry *entry = bundle_find(bundle, BUNDLE_MAIN);
    if (entry != NULL && entry->type == BUNDLE_FILE)
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND,
                "the bundle has no file '" BUNDLE_MAIN "', with which a deploy begins");
    return false;
}

/* --- bytes */

GBytes *bundle_write(const Bundle *bundle, GError **error) {
    g_autoptr(GBytes) archive = make_archive(bundle, error);
    return archive != NULL ? archive_compress(archive, BUNDLE_LEVEL, error) : NULL;
}

static BundleEntry *read_entry(ArchiveIn *in, const ArchiveItem *item, GError **error) {
    static const BundleType types[] = {
        [ITEM_FILE] = BUNDLE_FILE, [ITEM_DIRECTORY] = BUNDLE_DIRECTORY, [ITEM_LINK] = BUNDLE_LINK
    };
    if (item->type == ITEM_HARD_LINK) {
        (void)refuse(error, item->name, "it is a hard link"); /* NULL says it */
        return NULL;
    }
    g_autoptr(BundleEntry) entry = bundle_entry_new(types[item->type], item->name);
    size_t size = strlen(entry->path);
    if (item->type == ITEM_DIRECTORY && size > 0 && entry->path[size - 1] == '/')
        entry->path[size - 1] = '\0';
    entry->executable = item->mode & 0100;
    if (item->type == ITEM_LINK)
        entry->target = g_strdup(item->target);
    if (item->type == ITEM_FILE &&
        (entry->content = archive_in_content(in, item->name, error)) == NULL)
        return NULL;
    if (entry->content != NULL && g_bytes_get_size(entry->content) > BUNDLE_FILE_MAX) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_LIMIT, "refuse '%s': it has more than %u bytes",
                    entry->path, BUNDLE_FILE_MAX);
        return NULL;
    }
    return g_steal_pointer(&entry);
}

static bool read_entries(ArchiveIn *in, GPtrArray *entries, GError **error) {
    ArchiveItem item;
    int found;
    while ((found = archive_in_next(in, &item, error)) > 0) {
        BundleEntry *entry = read_entry(in, &item, error);
        if (entry == NULL)
            return false;
        g_ptr_array_add(entries, entry);
        if (entries->len > BUNDLE_ENTRIES_MAX) {
            g_set_error(error, STEAD_ERROR, STEAD_ERROR_LIMIT,
                        "the bundle holds more than %u entries", BUNDLE_ENTRIES_MAX);
            return false;
        }
    }
    return found == 0;
}

Bundle *bundle_read_archive(GBytes *archive, GError **error) {
    g_autoptr(GPtrArray) entries =
        g_ptr_array_new_with_free_func((GDestroyNotify)bundle_entry_free);
    g_autoptr(ArchiveIn) in = archive_in_new(archive, ARCHIVE_IN_TAR, BUNDLE_TOTAL_MAX, error);
    if (in == NULL || !read_entries(in, entries, error))
        return NULL;
    g_autoptr(Bundle) bundle = bundle_new(g_steal_pointer(&entries), error);
    Bundle given = { 0 };
    take_name(&given, archive);
    if (bundle != NULL && strcmp(bundle->digest, given.digest) != 0) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                    "refuse the archive: it is not as 'stead bundle pack' makes them (order, "
                    "modes, owners, times or other headers); pack it with that");
        return NULL;
    }
    return g_steal_pointer(&bundle);
}

Bundle *bundle_read(GBytes *packed, const char *digest, GError **error) {
    g_autoptr(GBytes) archive = archive_decompress(packed, BUNDLE_TOTAL_MAX, error);
    Bundle given = { 0 };
    if (archive == NULL)
        return NULL;
    take_name(&given, archive);
    if (digest != NULL && strcmp(given.digest, digest) != 0) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_DAMAGED,
                    "refuse the bundle: it is '" BUNDLE_NAME_PREFIX "%s', not '" BUNDLE_NAME_PREFIX
                    "%s'; fetch or pack it again",
                    given.digest, digest);
        return NULL;
    }
    return bundle_read_archive(archive, error);
}

bool bundle_parse_name(const char *name, char ret_hex[DIGEST_HEX_SIZE], GError **error) {
    const char *hex = name;
    if (g_str_has_prefix(name, BUNDLE_NAME_PREFIX))
        hex += strlen(BUNDLE_NAME_PREFIX);
    if (strlen(hex) == DIGEST_HEX_SIZE - 1 &&
        strspn(hex, "0123456789abcdef") == DIGEST_HEX_SIZE - 1) {
        memcpy(ret_hex, hex, DIGEST_HEX_SIZE);
        return true;
    }
    g_autofree char *shown = printable_text(name, PRINTABLE_PLAIN);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                "'%s' is no name of a bundle: write sha256: and 64 hexadecimal digits", shown);
    return false;
}
