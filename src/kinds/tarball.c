#include "kinds/tarball.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <string.h>

#include "base/limits.h"

typedef struct archive Archive;
typedef struct archive_entry ArchiveEntry;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ArchiveEntry, archive_entry_free)

static bool fail(Archive *archive, const char *what, GError **error) {
    const char *text = archive_error_string(archive);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_DAMAGED, "%s: %s", what,
                text != NULL ? text : "unknown reason");
    return false;
}

/* --- reading */

typedef struct {
    Archive *archive;
    FileTree *tree;
    unsigned strip;
    uint64_t total; /* bytes of content so far */
} Reader;

/* Relative, without ".", the leading parts dropped; NULL without error: nothing is left of it. */
static char *clean_path(const char *name, unsigned strip, GError **error) {
    g_auto(GStrv) parts = g_strsplit(name != NULL ? name : "", "/", -1);
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

static GBytes *read_data(Reader *reader, const char *path, GError **error) {
    g_autoptr(GByteArray) content = g_byte_array_new();
    uint8_t buffer[64 * 1024];
    for (;;) {
        la_ssize_t size = archive_read_data(reader->archive, buffer, sizeof buffer);
        if (size < 0) {
            (void)fail(reader->archive, path, error); /* the NULL below says it */
            return NULL;
        }
        if (size == 0)
            return g_byte_array_free_to_bytes(g_steal_pointer(&content));
        reader->total += (uint64_t)size;
        if (reader->total > LIMIT_FILE_CONTENT) {
            g_set_error(error, STEAD_ERROR, STEAD_ERROR_LIMIT,
                        "the archive holds more than %u bytes", LIMIT_FILE_CONTENT);
            return NULL;
        }
        g_byte_array_append(content, buffer, (unsigned)size);
    }
}

static void set_content(TreeEntry *entry, GBytes *content) {
    size_t size;
    const void *data = g_bytes_get_data(content, &size);
    digest_bytes(data, size, entry->digest);
    entry->content = content;
}

static bool add_hard_link(Reader *reader, const char *path, const char *link, mode_t mode,
                          GError **error) {
    g_autofree char *target = clean_path(link, reader->strip, error);
    const TreeEntry *first =
        target != NULL ? g_hash_table_lookup(reader->tree->by_path, target) : NULL;
    if (first == NULL || first->content == NULL) {
        if (error == NULL || *error == NULL)
            g_set_error(error, STEAD_ERROR, STEAD_ERROR_DAMAGED,
                        "'%s' is a hard link to '%s', which the archive does not have before it",
                        path, link);
        return false;
    }
    GBytes *content = g_bytes_ref(first->content);
    set_content(file_tree_add(reader->tree, path, FILE_REGULAR, mode), content);
    return true;
}

/* Archives need not name directories: they follow from what is in them. */
static void add_parents(FileTree *tree, const char *path) {
    for (const char *slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        g_autofree char *parent = g_strndup(path, (size_t)(slash - path));
        if (!g_hash_table_contains(tree->by_path, parent))
            (void)file_tree_add(tree, parent, FILE_DIRECTORY, 0755); /* owned by the tree */
    }
}

static bool add_entry(Reader *reader, ArchiveEntry *entry, GError **error) {
    const char *link = archive_entry_hardlink(entry);
    GError *problem = NULL;
    g_autofree char *path = clean_path(archive_entry_pathname(entry), reader->strip, &problem);
    mode_t mode = archive_entry_perm(entry) & 0777;
    if (path == NULL) {
        if (problem != NULL)
            g_propagate_error(error, problem);
        return problem == NULL;
    }
    if (reader->tree->entries->len >= TREE_ENTRIES_MAX) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_LIMIT, "the archive holds more than %u entries",
                    TREE_ENTRIES_MAX);
        return false;
    }
    add_parents(reader->tree, path);
    if (link != NULL)
        return add_hard_link(reader, path, link, mode, error);
    switch (archive_entry_filetype(entry)) {
    case AE_IFDIR:
        return file_tree_add(reader->tree, path, FILE_DIRECTORY, mode) != NULL;
    case AE_IFLNK:
        if (archive_entry_symlink(entry) == NULL) {
            g_set_error(error, STEAD_ERROR, STEAD_ERROR_DAMAGED, "link '%s' has no target", path);
            return false;
        }
        file_tree_add(reader->tree, path, FILE_SYMLINK, mode)->target =
            g_strdup(archive_entry_symlink(entry));
        return true;
    case AE_IFREG: {
        GBytes *content = read_data(reader, path, error);
        if (content != NULL)
            set_content(file_tree_add(reader->tree, path, FILE_REGULAR, mode), content);
        return content != NULL;
    }
    default:
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_UNSUPPORTED,
                    "refuse the archive: '%s' is a device, pipe or socket", path);
        return false;
    }
}

static bool read_entries(Reader *reader, GError **error) {
    ArchiveEntry *entry;
    for (;;) {
        switch (archive_read_next_header(reader->archive, &entry)) {
        case ARCHIVE_EOF:
            file_tree_sort(reader->tree);
            return true;
        case ARCHIVE_OK:
        case ARCHIVE_WARN:
            if (!add_entry(reader, entry, error))
                return false;
            break;
        default:
            return fail(reader->archive, "read the archive", error);
        }
    }
}

/* libarchive's "all" would also run helper programs: only what it does itself. */
static Archive *new_reader(void) {
    Archive *archive = archive_read_new();
    archive_read_support_format_tar(archive);
    archive_read_support_format_zip(archive);
    archive_read_support_filter_gzip(archive);
    archive_read_support_filter_bzip2(archive);
    archive_read_support_filter_xz(archive);
    archive_read_support_filter_zstd(archive);
    return archive;
}

FileTree *tarball_read(GBytes *archive, unsigned strip, GError **error) {
    g_autoptr(FileTree) tree = file_tree_new(TREE_IN_MEMORY);
    Reader reader = { .archive = new_reader(), .tree = tree, .strip = strip };
    size_t size;
    const void *data = g_bytes_get_data(archive, &size);
    bool done = archive_read_open_memory(reader.archive, data, size) == ARCHIVE_OK
                    ? read_entries(&reader, error)
                    : fail(reader.archive, "open the archive", error);
    archive_read_free(reader.archive);
    return done ? g_steal_pointer(&tree) : NULL;
}

/* --- writing */

typedef struct {
    Archive *archive;
    GByteArray *bytes;
} Sink;

static la_ssize_t sink_write(Archive *archive, void *data, const void *buffer, size_t size) {
    Sink *sink = data;
    if (sink->bytes->len + size > LIMIT_FILE_CONTENT) {
        archive_set_error(archive, EFBIG, "it would have more than %u bytes", LIMIT_FILE_CONTENT);
        return -1;
    }
    g_byte_array_append(sink->bytes, buffer, (unsigned)size);
    return (la_ssize_t)size;
}

static bool set_options(Archive *archive, const TarballOptions *options, GError **error) {
    static int (*const formats[])(Archive *) = {
        [TARBALL_PAX] = archive_write_set_format_pax_restricted,
        [TARBALL_USTAR] = archive_write_set_format_ustar,
        [TARBALL_GNU] = archive_write_set_format_gnutar,
    };
    static int (*const filters[])(Archive *) = {
        [COMPRESS_NONE] = archive_write_add_filter_none,
        [COMPRESS_GZIP] = archive_write_add_filter_gzip,
        [COMPRESS_BZIP2] = archive_write_add_filter_bzip2,
        [COMPRESS_XZ] = archive_write_add_filter_xz,
        [COMPRESS_ZSTD] = archive_write_add_filter_zstd,
    };
    if (formats[options->format](archive) != ARCHIVE_OK ||
        filters[options->compression](archive) != ARCHIVE_OK)
        return fail(archive, "write the archive", error);
    /* gzip would put the time into its header. */
    if (options->compression == COMPRESS_GZIP &&
        archive_write_set_filter_option(archive, "gzip", "timestamp", NULL) != ARCHIVE_OK)
        return fail(archive, "write the archive", error);
    return true;
}

static ArchiveEntry *describe(const TarballPart *part, const TreeEntry *entry,
                              const TarballOptions *options, size_t size) {
    static const unsigned types[] = {
        [FILE_REGULAR] = AE_IFREG, [FILE_DIRECTORY] = AE_IFDIR, [FILE_SYMLINK] = AE_IFLNK
    };
    ArchiveEntry *header = archive_entry_new();
    g_autofree char *path =
        g_strconcat(part->prefix, entry->path, entry->type == FILE_DIRECTORY ? "/" : "", NULL);
    archive_entry_set_pathname(header, path);
    archive_entry_set_filetype(header, types[entry->type]);
    archive_entry_set_perm(header, options->attributes ? entry->info.mode : entry->mode);
    archive_entry_set_size(header, (la_int64_t)size);
    archive_entry_set_uid(header, options->attributes ? entry->info.uid : 0);
    archive_entry_set_gid(header, options->attributes ? entry->info.gid : 0);
    archive_entry_set_mtime(header, options->attributes ? entry->info.mtime_ns / 1000000000 : 0, 0);
    if (entry->type == FILE_SYMLINK)
        archive_entry_set_symlink(header, entry->target);
    return header;
}

static bool write_entry(KindRun *run, Sink *sink, const TarballPart *part, const TreeEntry *entry,
                        const TarballOptions *options, GError **error) {
    g_autoptr(GBytes) content = NULL;
    size_t size = 0;
    const void *data = NULL;
    if (entry->type == FILE_REGULAR) {
        content = file_tree_content(run, part->tree, entry, error);
        if (content == NULL)
            return false;
        data = g_bytes_get_data(content, &size);
    }
    g_autoptr(ArchiveEntry) header = describe(part, entry, options, size);
    if (archive_write_header(sink->archive, header) != ARCHIVE_OK ||
        (size > 0 && archive_write_data(sink->archive, data, size) != (la_ssize_t)size)) {
        g_autofree char *what = g_strdup_printf("archive '%s'", entry->path);
        return fail(sink->archive, what, error);
    }
    return true;
}

static bool write_parts(KindRun *run, Sink *sink, const TarballPart *parts, size_t n_parts,
                        const TarballOptions *options, GError **error) {
    for (size_t i = 0; i < n_parts; i++)
        for (unsigned j = 0; j < parts[i].tree->entries->len; j++)
            if (!cancel_check(run->cancel, error) ||
                !write_entry(run, sink, &parts[i], parts[i].tree->entries->pdata[j], options,
                             error))
                return false;
    return archive_write_close(sink->archive) == ARCHIVE_OK ||
           fail(sink->archive, "write the archive", error);
}

GBytes *tarball_write(KindRun *run, const TarballPart *parts, size_t n_parts,
                      const TarballOptions *options, GError **error) {
    Sink sink = { archive_write_new(), g_byte_array_new() };
    bool done = set_options(sink.archive, options, error);
    if (done) {
        /* No padding to whole tape blocks behind the compressed data. */
        archive_write_set_bytes_in_last_block(sink.archive, 1);
        done = archive_write_open(sink.archive, &sink, NULL, sink_write, NULL) == ARCHIVE_OK
                   ? write_parts(run, &sink, parts, n_parts, options, error)
                   : fail(sink.archive, "write the archive", error);
    }
    archive_write_free(sink.archive);
    if (done)
        return g_byte_array_free_to_bytes(sink.bytes);
    g_byte_array_unref(sink.bytes);
    return NULL;
}

TarballCompression tarball_compression_of(const char *path) {
    static const struct {
        const char *suffix;
        TarballCompression compression;
    } suffixes[] = {
        { ".gz", COMPRESS_GZIP },    { ".tgz", COMPRESS_GZIP },  { ".bz2", COMPRESS_BZIP2 },
        { ".tbz2", COMPRESS_BZIP2 }, { ".xz", COMPRESS_XZ },     { ".txz", COMPRESS_XZ },
        { ".zst", COMPRESS_ZSTD },   { ".tzst", COMPRESS_ZSTD },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(suffixes); i++)
        if (g_str_has_suffix(path, suffixes[i].suffix))
            return suffixes[i].compression;
    return COMPRESS_NONE;
}
