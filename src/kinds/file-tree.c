/* Trees in memory, and where they come from: a directory of the host or of this machine. */
#include "kinds/file-tree.h"

#include <errno.h>
#include <fnmatch.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/limits.h"

static void entry_free(void *data) {
    TreeEntry *entry = data;
    g_free(entry->path);
    g_free(entry->target);
    g_free(entry->from);
    g_clear_pointer(&entry->content, g_bytes_unref);
    g_free(entry);
}

FileTree *file_tree_new(TreeHome home) {
    FileTree *tree = g_new0(FileTree, 1);
    tree->home = home;
    tree->entries = g_ptr_array_new_with_free_func(entry_free);
    tree->by_path = g_hash_table_new(g_str_hash, g_str_equal);
    return tree;
}

void file_tree_free(FileTree *tree) {
    if (tree == NULL)
        return;
    g_hash_table_unref(tree->by_path);
    g_ptr_array_unref(tree->entries);
    g_free(tree);
}

TreeEntry *file_tree_add(FileTree *tree, const char *path, FileType type, mode_t mode) {
    TreeEntry *old = g_hash_table_lookup(tree->by_path, path);
    if (old != NULL) {
        g_hash_table_remove(tree->by_path, path);
        g_ptr_array_remove(tree->entries, old);
    }
    TreeEntry *entry = g_new0(TreeEntry, 1);
    entry->path = g_strdup(path);
    entry->type = type;
    entry->mode = mode;
    g_ptr_array_add(tree->entries, entry);
    g_hash_table_insert(tree->by_path, entry->path, entry);
    return entry;
}

static int compare_paths(const void *a, const void *b) {
    const TreeEntry *const *x = a, *const *y = b;
    return strcmp((*x)->path, (*y)->path);
}

void file_tree_sort(FileTree *tree) {
    g_ptr_array_sort(tree->entries, compare_paths);
}

mode_t file_tree_directory_mode(mode_t mode) {
    return mode | (mode & 0444) >> 2;
}

bool file_tree_ignores(char *const *ignore, const char *path) {
    const char *last = strrchr(path, '/');
    for (char *const *pattern = ignore; pattern != NULL && *pattern != NULL; pattern++)
        if (fnmatch(*pattern, path, 0) == 0 ||
            (last != NULL && fnmatch(*pattern, last + 1, 0) == 0))
            return true;
    return false;
}

/* --- scanning. One walk for both homes; only these four calls differ. */

typedef struct {
    bool (*stat)(KindRun *run, const char *path, FileInfo *ret_info, GError **error);
    char **(*list)(KindRun *run, const char *path, GError **error);
    char *(*read_link)(KindRun *run, const char *path, GError **error);
    bool (*digest)(KindRun *run, const char *path, const FileInfo *info,
                   char ret_hex[DIGEST_HEX_SIZE], GError **error);
} Home;

static bool stat_host(KindRun *run, const char *path, FileInfo *ret_info, GError **error) {
    return host_stat(run->host, path, ret_info, error);
}

static char **list_host(KindRun *run, const char *path, GError **error) {
    return host_list(run->host, path, error);
}

static char *read_link_host(KindRun *run, const char *path, GError **error) {
    return host_read_link(run->host, path, error);
}

static bool digest_host(KindRun *run, const char *path, const FileInfo *info,
                        char ret_hex[DIGEST_HEX_SIZE], GError **error) {
    return host_digest(run->host, path, info, ret_hex, error);
}

static FileType type_of_mode(mode_t mode) {
    switch (mode & S_IFMT) {
    case S_IFREG:
        return FILE_REGULAR;
    case S_IFDIR:
        return FILE_DIRECTORY;
    case S_IFLNK:
        return FILE_SYMLINK;
    default:
        return FILE_OTHER;
    }
}

static bool stat_local(KindRun *run, const char *path, FileInfo *ret_info, GError **error) {
    GStatBuf st;
    if (g_lstat(path, &st) < 0)
        return set_io_error(error, errno, "look at '%s' beside the configuration", path);
    *ret_info = (FileInfo){
        .type = type_of_mode(st.st_mode),
        .mode = st.st_mode & 07777,
        .size = (uint64_t)st.st_size,
        .mtime_ns = st.st_mtim.tv_sec * 1000000000LL + st.st_mtim.tv_nsec,
    };
    return true;
}

static char **list_local(KindRun *run, const char *path, GError **error) {
    g_autoptr(GError) problem = NULL;
    g_autoptr(GDir) directory = g_dir_open(path, 0, &problem);
    if (directory == NULL) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_IO, "list '%s' beside the configuration: %s",
                    path, problem->message);
        return NULL;
    }
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (const char *name; (name = g_dir_read_name(directory)) != NULL;)
        g_ptr_array_add(names, g_strdup(name));
    g_ptr_array_add(names, NULL);
    return (char **)g_ptr_array_free(g_steal_pointer(&names), FALSE);
}

static char *read_link_local(KindRun *run, const char *path, GError **error) {
    char *target = g_file_read_link(path, NULL);
    if (target == NULL)
        (void)set_io_error(error, errno, "read link '%s' beside the configuration", path);
    return target;
}

static bool digest_local(KindRun *run, const char *path, const FileInfo *info,
                         char ret_hex[DIGEST_HEX_SIZE], GError **error) {
    g_autoptr(GBytes) content = host_read_local(run->host, path, LIMIT_FILE_CONTENT, error);
    if (content == NULL)
        return false;
    size_t size;
    const void *data = g_bytes_get_data(content, &size);
    digest_bytes(data, size, ret_hex);
    return true;
}

static const Home homes[] = {
    [TREE_ON_HOST] = { stat_host, list_host, read_link_host, digest_host },
    [TREE_LOCAL] = { stat_local, list_local, read_link_local, digest_local },
};

typedef struct {
    KindRun *run;
    FileTree *tree;
    const Home *home;
    const char *root;
    char *const *ignore;
} Scan;

static bool scan_directory(Scan *scan, const char *path, unsigned depth, GError **error);

static bool scan_entry(Scan *scan, const char *path, unsigned depth, GError **error) {
    g_autofree char *full = g_build_filename(scan->root, path, NULL);
    FileInfo info;
    if (!scan->home->stat(scan->run, full, &info, error))
        return false;
    if (info.type == FILE_OTHER || info.type == FILE_UNKNOWN) {
        bool unknown = info.type == FILE_UNKNOWN;
        g_set_error(
            error, STEAD_ERROR, unknown ? STEAD_ERROR_UNPREDICTABLE : STEAD_ERROR_UNSUPPORTED,
            "copy '%s': %s", full,
            unknown ? "what it is is known only when applied" : "it is a device, pipe or socket");
        return false;
    }
    bool executable = info.type == FILE_DIRECTORY || (info.mode & 0100) != 0;
    TreeEntry *entry = file_tree_add(scan->tree, path, info.type, executable ? 0755 : 0644);
    entry->info = info;
    if (info.type == FILE_DIRECTORY)
        return scan_directory(scan, path, depth + 1, error);
    if (info.type == FILE_SYMLINK)
        return (entry->target = scan->home->read_link(scan->run, full, error)) != NULL;
    entry->from = g_strdup(full);
    return scan->home->digest(scan->run, full, &info, entry->digest, error);
}

static bool scan_directory(Scan *scan, const char *path, unsigned depth, GError **error) {
    if (depth > LIMIT_NESTING || scan->tree->entries->len > TREE_ENTRIES_MAX) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_LIMIT,
                    "copy '%s': it holds more than %u entries or %u levels", scan->root,
                    TREE_ENTRIES_MAX, LIMIT_NESTING);
        return false;
    }
    g_autofree char *full = g_build_filename(scan->root, path, NULL);
    g_auto(GStrv) names = scan->home->list(scan->run, full, error);
    if (names == NULL)
        return false;
    for (char **name = names; *name != NULL; name++) {
        g_autofree char *below =
            *path != '\0' ? g_build_filename(path, *name, NULL) : g_strdup(*name);
        if (file_tree_ignores(scan->ignore, below))
            continue;
        if (!cancel_check(scan->run->cancel, error) || !scan_entry(scan, below, depth, error))
            return false;
    }
    return true;
}

static FileTree *file_tree_of(KindRun *run, TreeHome home, const char *directory,
                              char *const *ignore, GError **error) {
    g_autoptr(FileTree) tree = file_tree_new(home);
    Scan scan = { run, tree, &homes[home], directory, ignore };
    if (!scan_directory(&scan, "", 0, error))
        return NULL;
    file_tree_sort(tree);
    return g_steal_pointer(&tree);
}

FileTree *file_tree_of_host(KindRun *run, const char *directory, char *const *ignore,
                            GError **error) {
    return file_tree_of(run, TREE_ON_HOST, directory, ignore, error);
}

FileTree *file_tree_of_local(KindRun *run, const char *directory, char *const *ignore,
                             GError **error) {
    return file_tree_of(run, TREE_LOCAL, directory, ignore, error);
}

GBytes *file_tree_content(KindRun *run, const FileTree *tree, const TreeEntry *entry,
                          GError **error) {
    if (entry->content != NULL)
        return g_bytes_ref(entry->content);
    if (tree->home == TREE_LOCAL)
        return host_read_local(run->host, entry->from, LIMIT_FILE_CONTENT, error);
    return host_read(run->host, entry->from, LIMIT_FILE_CONTENT, error);
}
