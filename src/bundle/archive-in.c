#include "bundle/archive-in.h"

#include <archive.h>
#include <archive_entry.h>
#include <string.h>

#include "base/error.h"

typedef struct archive Archive;
typedef struct archive_entry ArchiveEntry;

struct ArchiveIn {
    Archive *archive;
    uint64_t limit;
    uint64_t total; /* bytes of content so far */
};

static bool fail(Archive *archive, const char *what, GError **error) {
    const char *text = archive_error_string(archive);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_DAMAGED, "%s: %s", what,
                text != NULL ? text : "unknown reason");
    return false;
}

/* libarchive's "all" would also run helper programs: only what it does itself. */
static Archive *new_archive(ArchiveInFormats formats) {
    Archive *archive = archive_read_new();
    archive_read_support_format_tar(archive);
    if (formats == ARCHIVE_IN_ANY) {
        archive_read_support_format_zip(archive);
        archive_read_support_filter_gzip(archive);
        archive_read_support_filter_bzip2(archive);
        archive_read_support_filter_xz(archive);
        archive_read_support_filter_zstd(archive);
    }
    return archive;
}

/* Takes archive over. */
static ArchiveIn *open_memory(Archive *archive, GBytes *bytes, uint64_t limit, GError **error) {
    g_autoptr(ArchiveIn) in = g_new0(ArchiveIn, 1);
    size_t size;
    const void *data = g_bytes_get_data(bytes, &size);
    in->archive = archive;
    in->limit = limit;
    if (archive_read_open_memory(archive, data, size) != ARCHIVE_OK) {
        (void)fail(archive, "open the archive", error); /* the NULL below says it */
        return NULL;
    }
    return g_steal_pointer(&in);
}

ArchiveIn *archive_in_new(GBytes *bytes, ArchiveInFormats formats, uint64_t limit, GError **error) {
    return open_memory(new_archive(formats), bytes, limit, error);
}

void archive_in_free(ArchiveIn *in) {
    if (in == NULL)
        return;
    archive_read_free(in->archive);
    g_free(in);
}

static bool describe(ArchiveEntry *entry, ArchiveItem *ret_item, GError **error) {
    const char *name = archive_entry_pathname(entry), *link = archive_entry_hardlink(entry);
    ArchiveItem item = { .name = name != NULL ? name : "",
                         .mode = archive_entry_perm(entry) & 0777 };
    switch (archive_entry_filetype(entry)) {
    case AE_IFDIR:
        item.type = ITEM_DIRECTORY;
        break;
    case AE_IFLNK:
        item.type = ITEM_LINK;
        item.target = archive_entry_symlink(entry);
        break;
    case AE_IFREG:
        item.type = ITEM_FILE;
        break;
    default: /* a hard link has no type of its own */
        if (link == NULL) {
            g_set_error(error, STEAD_ERROR, STEAD_ERROR_UNSUPPORTED,
                        "refuse the archive: '%s' is a device, pipe or socket", item.name);
            return false;
        }
    }
    if (link != NULL) {
        item.type = ITEM_HARD_LINK;
        item.target = link;
    }
    if (item.type == ITEM_LINK && item.target == NULL) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_DAMAGED, "link '%s' has no target", item.name);
        return false;
    }
    *ret_item = item;
    return true;
}

int archive_in_next(ArchiveIn *in, ArchiveItem *ret_item, GError **error) {
    ArchiveEntry *entry;
    switch (archive_read_next_header(in->archive, &entry)) {
    case ARCHIVE_EOF:
        return 0;
    case ARCHIVE_OK:
    case ARCHIVE_WARN:
        return describe(entry, ret_item, error) ? 1 : -1;
    default:
        (void)fail(in->archive, "read the archive", error); /* -1 says it */
        return -1;
    }
}

GBytes *archive_in_content(ArchiveIn *in, const char *path, GError **error) {
    g_autoptr(GByteArray) content = g_byte_array_new();
    uint8_t buffer[64 * 1024];
    for (;;) {
        la_ssize_t size = archive_read_data(in->archive, buffer, sizeof buffer);
        if (size < 0) {
            (void)fail(in->archive, path, error); /* the NULL below says it */
            return NULL;
        }
        if (size == 0)
            return g_byte_array_free_to_bytes(g_steal_pointer(&content));
        in->total += (uint64_t)size;
        if (in->total > in->limit) {
            g_set_error(error, STEAD_ERROR, STEAD_ERROR_LIMIT,
                        "the archive holds more than %" G_GUINT64_FORMAT " bytes", in->limit);
            return NULL;
        }
        g_byte_array_append(content, buffer, (unsigned)size);
    }
}

char *archive_clean_path(const char *name, unsigned strip, GError **error) {
    g_auto(GStrv) parts = g_strsplit(name, "/", -1);
    g_autoptr(GPtrArray) kept = g_ptr_array_new();
    for (char **part = parts; *part != NULL; part++) {
        if (strcmp(*part, "..") == 0) {
            g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                        "refuse the archive: '%s' leads out of the directory", name);
            return NULL;
        }
        if (**part != '\0' && strcmp(*part, ".") != 0)
            g_ptr_array_add(kept, *part);
    }
    if (kept->len <= strip)
        return NULL;
    g_ptr_array_add(kept, NULL);
    return g_strjoinv("/", (char **)kept->pdata + strip);
}

GBytes *archive_decompress(GBytes *bytes, uint64_t limit, GError **error) {
    static const uint8_t magic[] = { 0x28, 0xb5, 0x2f, 0xfd };
    size_t size;
    const void *data = g_bytes_get_data(bytes, &size);
    if (size < sizeof magic || memcmp(data, magic, sizeof magic) != 0) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_DAMAGED,
                    "read the archive: it is not compressed with zstd");
        return NULL;
    }
    Archive *archive = archive_read_new();
    archive_read_support_format_raw(archive);
    archive_read_support_filter_zstd(archive);
    g_autoptr(ArchiveIn) in = open_memory(archive, bytes, limit, error);
    ArchiveItem item;
    int found = in != NULL ? archive_in_next(in, &item, error) : -1;
    if (found == 0)
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_DAMAGED, "read the archive: it is empty");
    return found == 1 ? archive_in_content(in, "decompress the archive", error) : NULL;
}
