#include "kinds/tarball.h"

#include <string.h>

#include "base/limits.h"

/* --- reading */

typedef struct {
    ArchiveIn *in;
    FileTree *tree;
    unsigned strip;
} Reader;

static void set_content(TreeEntry *entry, GBytes *content) {
    size_t size;
    const void *data = g_bytes_get_data(content, &size);
    digest_bytes(data, size, entry->digest);
    entry->content = content;
}

static bool add_hard_link(Reader *reader, const char *path, const ArchiveItem *item,
                          GError **error) {
    g_autofree char *target = archive_clean_path(item->target, reader->strip, error);
    const TreeEntry *first =
        target != NULL ? g_hash_table_lookup(reader->tree->by_path, target) : NULL;
    if (first == NULL || first->content == NULL) {
        if (error == NULL || *error == NULL)
            g_set_error(error, STEAD_ERROR, STEAD_ERROR_DAMAGED,
                        "'%s' is a hard link to '%s', which the archive does not have before it",
                        path, item->target);
        return false;
    }
    GBytes *content = g_bytes_ref(first->content);
    set_content(file_tree_add(reader->tree, path, FILE_REGULAR, item->mode), content);
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

static bool add_item(Reader *reader, const ArchiveItem *item, GError **error) {
    GError *problem = NULL;
    g_autofree char *path = archive_clean_path(item->name, reader->strip, &problem);
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
    switch (item->type) {
    case ITEM_HARD_LINK:
        return add_hard_link(reader, path, item, error);
    case ITEM_DIRECTORY:
        return file_tree_add(reader->tree, path, FILE_DIRECTORY, item->mode) != NULL;
    case ITEM_LINK:
        file_tree_add(reader->tree, path, FILE_SYMLINK, item->mode)->target =
            g_strdup(item->target);
        return true;
    case ITEM_FILE: {
        GBytes *content = archive_in_content(reader->in, path, error);
        if (content != NULL)
            set_content(file_tree_add(reader->tree, path, FILE_REGULAR, item->mode), content);
        return content != NULL;
    }
    }
    g_assert_not_reached();
}

static bool read_items(Reader *reader, GError **error) {
    ArchiveItem item;
    int found;
    while ((found = archive_in_next(reader->in, &item, error)) > 0)
        if (!add_item(reader, &item, error))
            return false;
    file_tree_sort(reader->tree);
    return found == 0;
}

FileTree *tarball_read(GBytes *archive, unsigned strip, GError **error) {
    g_autoptr(FileTree) tree = file_tree_new(TREE_IN_MEMORY);
    g_autoptr(ArchiveIn) in = archive_in_new(archive, ARCHIVE_IN_ANY, LIMIT_FILE_CONTENT, error);
    Reader reader = { .in = in, .tree = tree, .strip = strip };
    return in != NULL && read_items(&reader, error) ? g_steal_pointer(&tree) : NULL;
}

/* --- writing */

static bool write_entry(KindRun *run, ArchiveOut *out, const TarballPart *part,
                        const TreeEntry *entry, const TarballOptions *options, GError **error) {
    static const ItemType types[] = {
        [FILE_REGULAR] = ITEM_FILE, [FILE_DIRECTORY] = ITEM_DIRECTORY, [FILE_SYMLINK] = ITEM_LINK
    };
    g_autoptr(GBytes) content = NULL;
    if (entry->type == FILE_REGULAR &&
        (content = file_tree_content(run, part->tree, entry, error)) == NULL)
        return false;
    g_autofree char *path = g_strconcat(part->prefix, entry->path, NULL);
    ArchiveItem item = {
        .type = types[entry->type],
        .name = path,
        .target = entry->target,
        .mode = options->attributes ? entry->info.mode : entry->mode,
    };
    ArchiveAttributes attributes = { entry->info.uid, entry->info.gid,
                                     entry->info.mtime_ns / 1000000000 };
    return archive_out_add(out, &item, content, options->attributes ? &attributes : NULL, error);
}

GBytes *tarball_write(KindRun *run, const TarballPart *parts, size_t n_parts,
                      const TarballOptions *options, GError **error) {
    g_autoptr(ArchiveOut) out =
        archive_out_new(options->format, options->compression, LIMIT_FILE_CONTENT, error);
    if (out == NULL)
        return NULL;
    for (size_t i = 0; i < n_parts; i++)
        for (unsigned j = 0; j < parts[i].tree->entries->len; j++)
            if (!cancel_check(run->cancel, error) ||
                !write_entry(run, out, &parts[i], parts[i].tree->entries->pdata[j], options, error))
                return NULL;
    return archive_out_finish(out, error);
}

ArchiveCompression tarball_compression_of(const char *path) {
    static const struct {
        const char *suffix;
        ArchiveCompression compression;
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
