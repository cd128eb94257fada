/* A directory becomes a bundle. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "bundle/bundle-private.h"

#define DEPTH_MAX 64u /* of directories; a path has no more than half of its bytes */

bool bundle_leaves_out(const char *name) {
    /* Also told in doc/deploys.md. */
    static const char *const patterns[] = {
        ".git",
        ".gitignore",
        ".gitattributes",
        ".gitmodules",
        ".hg",
        ".svn",
        ".jj",
        "*~",
        ".*.sw?",
        ".#*",
        "#*#",
        ".nfs*",
        ".DS_Store",
        ".idea",
        ".vscode",
        "*.bundle",
        "*.bundle.signed",
        BUNDLE_STATEMENT,
    };
    for (size_t i = 0; i < G_N_ELEMENTS(patterns); i++)
        if (fnmatch(patterns[i], name, 0) == 0)
            return true;
    return false;
}

typedef struct {
    const char *directory; /* for errors */
    GPtrArray *entries;
    uint64_t total;
} Walk;

static bool add_directory(Walk *walk, int fd, const char *path, unsigned depth, GError **error);

static bool add(Walk *walk, BundleEntry *entry, GError **error) {
    g_ptr_array_add(walk->entries, entry);
    if (walk->entries->len <= BUNDLE_ENTRIES_MAX)
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_LIMIT,
                "'%s' holds more than %u files: put the configuration into a directory of its own",
                walk->directory, BUNDLE_ENTRIES_MAX);
    return false;
}

static bool too_large(const Walk *walk, const char *path, GError **error) {
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_LIMIT,
                "'%s/%s' is too large: a file of a bundle has at most %u MiB and all of them %u "
                "MiB; put large files onto a server and declare where",
                walk->directory, path, BUNDLE_FILE_MAX >> 20, BUNDLE_TOTAL_MAX >> 20);
    return false;
}

static GBytes *read_open_file(Walk *walk, int fd, const char *path, GError **error) {
    g_autoptr(GByteArray) content = g_byte_array_new();
    uint8_t buffer[64 * 1024];
    for (;;) {
        ssize_t size = read(fd, buffer, sizeof buffer);
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0) {
            set_io_error(error, errno, "read '%s/%s'", walk->directory, path);
            return NULL;
        }
        if (size == 0)
            return g_byte_array_free_to_bytes(g_steal_pointer(&content));
        g_byte_array_append(content, buffer, (unsigned)size);
        walk->total += (uint64_t)size;
        if (content->len > BUNDLE_FILE_MAX || walk->total > BUNDLE_TOTAL_MAX) {
            (void)too_large(walk, path, error); /* the NULL says it */
            return NULL;
        }
    }
}

static bool add_file(Walk *walk, int parent, const char *name, const char *path, GError **error) {
    struct stat info;
    int fd = openat(parent, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &info) < 0) {
        int problem = errno;
        if (fd >= 0)
            close(fd);
        return set_io_error(error, problem, "read '%s/%s'", walk->directory, path);
    }
    g_autoptr(BundleEntry) entry = bundle_entry_new(BUNDLE_FILE, path);
    entry->executable = info.st_mode & 0100;
    entry->content = S_ISREG(info.st_mode) ? read_open_file(walk, fd, path, error) : NULL;
    close(fd);
    if (!S_ISREG(info.st_mode))
        return set_io_error(error, ESTALE, "read '%s/%s'", walk->directory, path);
    return entry->content != NULL && add(walk, g_steal_pointer(&entry), error);
}

static bool add_link(Walk *walk, int parent, const char *name, const char *path, GError **error) {
    char target[BUNDLE_TARGET_MAX + 2];
    ssize_t size = readlinkat(parent, name, target, sizeof target - 1);
    if (size < 0)
        return set_io_error(error, errno, "read the link '%s/%s'", walk->directory, path);
    target[size] = '\0';
    if (!bundle_check_link(path, target, error))
        return false;
    BundleEntry *entry = bundle_entry_new(BUNDLE_LINK, path);
    entry->target = g_strdup(target);
    return add(walk, entry, error);
}

static bool add_subdirectory(Walk *walk, int parent, const char *name, const char *path,
                             unsigned depth, GError **error) {
    int fd = openat(parent, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_DIRECTORY);
    if (fd < 0)
        return set_io_error(error, errno, "open '%s/%s'", walk->directory, path);
    if (!add(walk, bundle_entry_new(BUNDLE_DIRECTORY, path), error)) {
        close(fd);
        return false;
    }
    return add_directory(walk, fd, path, depth + 1, error);
}

static bool add_name(Walk *walk, int parent, const char *name, const char *path, unsigned depth,
                     GError **error) {
    struct stat info;
    if (fstatat(parent, name, &info, AT_SYMLINK_NOFOLLOW) < 0)
        return set_io_error(error, errno, "look at '%s/%s'", walk->directory, path);
    switch (info.st_mode & S_IFMT) {
    case S_IFREG:
        return add_file(walk, parent, name, path, error);
    case S_IFLNK:
        return add_link(walk, parent, name, path, error);
    case S_IFDIR:
        return add_subdirectory(walk, parent, name, path, depth, error);
    default:
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                    "refuse '%s/%s': it is a device, pipe or socket; remove it", walk->directory,
                    path);
        return false;
    }
}

/* Takes fd over. */
static bool add_directory(Walk *walk, int fd, const char *path, unsigned depth, GError **error) {
    DIR *dir = fdopendir(fd);
    bool done = depth < DEPTH_MAX;
    if (dir == NULL) {
        int problem = errno;
        close(fd);
        return set_io_error(error, problem, "read '%s/%s'", walk->directory, path);
    }
    if (!done)
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_LIMIT, "'%s/%s' is too deep", walk->directory,
                    path);
    for (struct dirent *entry; done && (entry = readdir(dir)) != NULL;) {
        const char *name = entry->d_name;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || bundle_leaves_out(name))
            continue;
        g_autofree char *inner =
            *path == '\0' ? g_strdup(name) : g_strconcat(path, "/", name, NULL);
        done = bundle_check_path(inner, error) &&
               add_name(walk, dirfd(dir), name, inner, depth, error);
    }
    closedir(dir);
    return done;
}

static bool check_main(const Bundle *bundle, const char *directory, const char *main,
                       GError **error) {
    const BundleEntry *entry = bundle_find(bundle, main);
    if (entry != NULL && entry->type == BUNDLE_FILE)
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND,
                "'%s' has no file '%s', with which a deploy begins; write one that reads the "
                "others",
                directory, main);
    return false;
}

Bundle *bundle_of_directory(const char *directory, const char *main, GError **error) {
    Walk walk = { .directory = directory };
    int fd = open(directory, O_RDONLY | O_CLOEXEC | O_DIRECTORY);
    if (fd < 0) {
        set_io_error(error, errno, "open the directory '%s'", directory);
        return NULL;
    }
    g_autoptr(GPtrArray) entries =
        g_ptr_array_new_with_free_func((GDestroyNotify)bundle_entry_free);
    walk.entries = entries;
    if (!add_directory(&walk, fd, "", 0, error)) {
        g_prefix_error(error, "pack '%s': ", directory);
        return NULL;
    }
    g_autoptr(Bundle) bundle = bundle_new(g_steal_pointer(&entries), error);
    if (bundle == NULL) {
        g_prefix_error(error, "pack '%s': ", directory);
        return NULL;
    }
    return check_main(bundle, directory, main, error) ? g_steal_pointer(&bundle) : NULL;
}

/* --- files from elsewhere */

static void add_parents(GPtrArray *entries, GHashTable *known, const char *path) {
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        g_autofree char *parent = g_strndup(path, (size_t)(slash - path));
        if (g_hash_table_contains(known, parent))
            continue;
        g_ptr_array_add(entries, bundle_entry_new(BUNDLE_DIRECTORY, parent));
        g_hash_table_add(known, g_steal_pointer(&parent));
    }
}

static bool check_sizes(const GPtrArray *files, GError **error) {
    uint64_t total = 0;
    for (unsigned i = 0; i < files->len; i++) {
        const BundleEntry *entry = files->pdata[i];
        size_t size = entry->content ? g_bytes_get_size(entry->content) : 0;
        Walk walk = { .directory = "." };
        total += size;
        if (size > BUNDLE_FILE_MAX || total > BUNDLE_TOTAL_MAX)
            return too_large(&walk, entry->path, error);
    }
    return true;
}

Bundle *bundle_of_files(GPtrArray *files, GError **error) {
    g_autoptr(GHashTable) known = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    unsigned n = files->len;
    bool fits = check_sizes(files, error);
    for (unsigned i = 0; i < n; i++)
        add_parents(files, known, ((BundleEntry *)files->pdata[i])->path);
    if (fits && files->len > BUNDLE_ENTRIES_MAX) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_LIMIT,
                    "there are more than %u files: put the configuration into a directory of its "
                    "own",
                    BUNDLE_ENTRIES_MAX);
        fits = false;
    }
    if (!fits) {
        g_ptr_array_unref(files);
        return NULL;
    }
    g_autoptr(Bundle) bundle = bundle_new(files, error);
    return bundle && bundle_has_main(bundle, error) ? g_steal_pointer(&bundle) : NULL;
}

Bundle *bundle_without_empty(const Bundle *bundle, GError **error) {
    GPtrArray *files = g_ptr_array_new_with_free_func((GDestroyNotify)bundle_entry_free);
    for (unsigned i = 0; i < bundle->entries->len; i++) {
        const BundleEntry *entry = bundle->entries->pdata[i];
        if (entry->type == BUNDLE_DIRECTORY)
            continue;
        BundleEntry *copy = bundle_entry_new(entry->type, entry->path);
        copy->executable = entry->executable;
        copy->target = g_strdup(entry->target);
        copy->content = entry->content ? g_bytes_ref(entry->content) : NULL;
        g_ptr_array_add(files, copy);
    }
    return bundle_of_files(files, error);
}
