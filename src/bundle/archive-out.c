#include "bundle/archive-out.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>

#include "base/error.h"

typedef struct archive Archive;
typedef struct archive_entry ArchiveEntry;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ArchiveEntry, archive_entry_free)

struct ArchiveOut {
    Archive *archive;
    GByteArray *bytes;
    uint64_t limit;
};

static bool fail(Archive *archive, const char *what, GError **error) {
    const char *text = archive_error_string(archive);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_DAMAGED, "%s: %s", what,
                text != NULL ? text : "unknown reason");
    return false;
}

static la_ssize_t write_bytes(Archive *archive, void *data, const void *buffer, size_t size) {
    ArchiveOut *out = data;
    if (out->bytes->len + size > out->limit) {
        archive_set_error(archive, EFBIG, "it would have more than %llu bytes",
                          (unsigned long long)out->limit);
        return -1;
    }
    g_byte_array_append(out->bytes, buffer, (unsigned)size);
    return (la_ssize_t)size;
}

static ArchiveOut *new_out(uint64_t limit) {
    ArchiveOut *out = g_new0(ArchiveOut, 1);
    out->archive = archive_write_new();
    out->bytes = g_byte_array_new();
    out->limit = MIN(limit, G_MAXUINT);
    /* No padding to whole tape blocks behind the compressed data. */
    archive_write_set_bytes_in_last_block(out->archive, 1);
    return out;
}

static bool set_options(Archive *archive, ArchiveFormat format, ArchiveCompression compression) {
    static int (*const formats[])(Archive *) = {
        [ARCHIVE_PAX] = archive_write_set_format_pax_restricted,
        [ARCHIVE_USTAR] = archive_write_set_format_ustar,
        [ARCHIVE_GNU] = archive_write_set_format_gnutar,
    };
    static int (*const filters[])(Archive *) = {
        [COMPRESS_NONE] = archive_write_add_filter_none,
        [COMPRESS_GZIP] = archive_write_add_filter_gzip,
        [COMPRESS_BZIP2] = archive_write_add_filter_bzip2,
        [COMPRESS_XZ] = archive_write_add_filter_xz,
        [COMPRESS_ZSTD] = archive_write_add_filter_zstd,
        [COMPRESS_GZIP_FAST] = archive_write_add_filter_gzip,
    };
    bool gzip = compression == COMPRESS_GZIP || compression == COMPRESS_GZIP_FAST;
    /* gzip would put the time into its header. */
    return formats[format](archive) == ARCHIVE_OK && filters[compression](archive) == ARCHIVE_OK &&
           (!gzip ||
            archive_write_set_filter_option(archive, "gzip", "timestamp", NULL) == ARCHIVE_OK) &&
           (compression != COMPRESS_GZIP_FAST ||
            archive_write_set_filter_option(archive, "gzip", "compression-level", "1") ==
                ARCHIVE_OK);
}

static bool open_out(ArchiveOut *out, bool ready, GError **error) {
    return (ready &&
            archive_write_open(out->archive, out, NULL, write_bytes, NULL) == ARCHIVE_OK) ||
           fail(out->archive, "write the archive", error);
}

ArchiveOut *archive_out_new(ArchiveFormat format, ArchiveCompression compression, uint64_t limit,
                            GError **error) {
    g_autoptr(ArchiveOut) out = new_out(limit);
    bool ready = set_options(out->archive, format, compression);
    return open_out(out, ready, error) ? g_steal_pointer(&out) : NULL;
}

void archive_out_free(ArchiveOut *out) {
    if (out == NULL)
        return;
    archive_write_free(out->archive); /* may still write */
    g_byte_array_unref(out->bytes);
    g_free(out);
}

static ArchiveEntry *describe(const ArchiveItem *item, const ArchiveAttributes *attributes,
                              size_t size) {
    static const unsigned types[] = {
        [ITEM_FILE] = AE_IFREG, [ITEM_DIRECTORY] = AE_IFDIR, [ITEM_LINK] = AE_IFLNK
    };
    ArchiveEntry *header = archive_entry_new();
    g_autofree char *path = g_strconcat(item->name, item->type == ITEM_DIRECTORY ? "/" : "", NULL);
    archive_entry_set_pathname(header, path);
    archive_entry_set_filetype(header, types[item->type]);
    archive_entry_set_perm(header, item->mode);
    archive_entry_set_size(header, (la_int64_t)size);
    archive_entry_set_uid(header, attributes != NULL ? attributes->uid : 0);
    archive_entry_set_gid(header, attributes != NULL ? attributes->gid : 0);
    archive_entry_set_mtime(header, attributes != NULL ? attributes->mtime_s : 0, 0);
    if (item->type == ITEM_LINK)
        archive_entry_set_symlink(header, item->target);
    return header;
}

static bool write_data(ArchiveOut *out, GBytes *content) {
    size_t size = 0;
    const void *data = content != NULL ? g_bytes_get_data(content, &size) : NULL;
    return size == 0 || archive_write_data(out->archive, data, size) == (la_ssize_t)size;
}

bool archive_out_add(ArchiveOut *out, const ArchiveItem *item, GBytes *content,
                     const ArchiveAttributes *attributes, GError **error) {
    g_autoptr(ArchiveEntry) header =
        describe(item, attributes, content != NULL ? g_bytes_get_size(content) : 0);
    if (archive_write_header(out->archive, header) == ARCHIVE_OK && write_data(out, content))
        return true;
    g_autofree char *what = g_strdup_printf("archive '%s'", item->name);
    return fail(out->archive, what, error);
}

GBytes *archive_out_finish(ArchiveOut *out, GError **error) {
    if (archive_write_close(out->archive) != ARCHIVE_OK) {
        (void)fail(out->archive, "write the archive", error); /* the NULL says it */
        return NULL;
    }
    GByteArray *bytes = out->bytes;
    out->bytes = g_byte_array_new();
    return g_byte_array_free_to_bytes(bytes);
}

GBytes *archive_compress(GBytes *bytes, unsigned level, GError **error) {
    g_autoptr(ArchiveOut) out = new_out(G_MAXUINT);
    g_autofree char *text = g_strdup_printf("%u", level);
    bool ready = archive_write_set_format_raw(out->archive) == ARCHIVE_OK &&
                 archive_write_add_filter_zstd(out->archive) == ARCHIVE_OK &&
                 archive_write_set_filter_option(out->archive, "zstd", "compression-level", text) ==
                     ARCHIVE_OK;
    ArchiveItem item = { .type = ITEM_FILE, .name = "data", .mode = 0644 };
    return open_out(out, ready, error) && archive_out_add(out, &item, bytes, NULL, error)
               ? archive_out_finish(out, error)
               : NULL;
}
