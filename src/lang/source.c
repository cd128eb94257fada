#include "lang/source.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"

/* Longest piece of a source line shown below an error, in characters. */
enum { SHOWN_LINE = 160 };

typedef struct {
    GBytes *content; /* NULL: could not be read */
    GArray *lines;   /* of size_t: where each line starts; NULL until asked for */
    unsigned rank;
    bool is_file;
} Source;

struct Sources {
    Host *host;
    GHashTable *by_path; /* char * -> Source */
    GPtrArray *order;    /* of char *, borrowed from by_path */
};

static void source_free(void *data) {
    Source *source = data;
    g_clear_pointer(&source->content, g_bytes_unref);
    g_clear_pointer(&source->lines, g_array_unref);
    g_free(source);
}

Sources *sources_new(Host *host) {
    Sources *sources = g_new0(Sources, 1);
    sources->host = host;
    sources->by_path = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, source_free);
    sources->order = g_ptr_array_new();
    return sources;
}

void sources_free(Sources *sources) {
    if (!sources)
        return;
    g_ptr_array_unref(sources->order);
    g_hash_table_unref(sources->by_path);
    g_free(sources);
}

static Source *source_add(Sources *sources, const char *path, GBytes *content, bool is_file) {
    Source *source = g_new0(Source, 1);
    char *key = g_strdup(path);
    source->content = content;
    source->rank = sources->order->len;
    source->is_file = is_file;
    g_ptr_array_add(sources->order, key);
    g_hash_table_replace(sources->by_path, key, source);
    return source;
}

void sources_add_text(Sources *sources, const char *path, const void *text, size_t size) {
    if (!g_hash_table_contains(sources->by_path, path))
        (void)source_add(sources, path, g_bytes_new(text, size), false);
}

/* Refuses what is no regular file: reading a FIFO or a terminal would hang. */
static GBytes *read_descriptor(int fd, const char *path, GError **error) {
    struct stat info;
    if (fstat(fd, &info) < 0) {
        set_io_error(error, errno, "read '%s'", path);
        return NULL;
    }
    if (!S_ISREG(info.st_mode)) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_IO, "read '%s': not a regular file", path);
        return NULL;
    }
    if ((uint64_t)info.st_size > LIMIT_CONFIG_FILE) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_LIMIT,
                    "read '%s': larger than %u bytes (LIMIT_CONFIG_FILE)", path, LIMIT_CONFIG_FILE);
        return NULL;
    }
    g_autofree char *data = g_malloc((size_t)info.st_size + 1);
    size_t size = 0;
    while (size < (size_t)info.st_size) {
        ssize_t got = TEMP_FAILURE_RETRY(read(fd, data + size, (size_t)info.st_size - size));
        if (got < 0) {
            set_io_error(error, errno, "read '%s'", path);
            return NULL;
        }
        if (got == 0)
            break;
        size += (size_t)got;
    }
    return g_bytes_new_take(g_steal_pointer(&data), size);
}

static GBytes *read_directly(const char *path, GError **error) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        set_io_error(error, errno, "read '%s'", path);
        return NULL;
    }
    GBytes *content = read_descriptor(fd, path, error);
    close(fd);
    return content;
}

GBytes *sources_load(Sources *sources, const char *path, GError **error) {
    Source *source = g_hash_table_lookup(sources->by_path, path);
    if (source && source->content)
        return source->content;
    GBytes *content = sources->host ? host_read_local(sources->host, path, LIMIT_CONFIG_FILE, error)
                                    : read_directly(path, error);
    if (!source)
        source = source_add(sources, path, content, true);
    else
        source->content = content;
    return content;
}

const char *sources_bytes(GBytes *content, size_t *ret_size) {
    const char *bytes = g_bytes_get_data(content, ret_size);
    return bytes ? bytes : "";
}

static void index_lines(Source *source) {
    size_t size;
    const char *text = sources_bytes(source->content, &size);
    source->lines = g_array_new(FALSE, FALSE, sizeof(size_t));
    for (size_t start = 0; start < size;) {
        g_array_append_val(source->lines, start);
        const char *end = memchr(text + start, '\n', size - start);
        start = end ? (size_t)(end - text) + 1 : size;
    }
}

/* One printable line: no control characters reach a terminal. */
static char *line_for_people(const char *text, size_t size) {
    g_autofree char *valid = g_utf8_make_valid(text, (gssize)size);
    g_strstrip(valid);
    for (char *p = valid; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = ' ';
    if (g_utf8_strlen(valid, -1) <= SHOWN_LINE)
        return g_steal_pointer(&valid);
    g_autofree char *start = g_utf8_substring(valid, 0, SHOWN_LINE - 3);
    return g_strconcat(start, "...", NULL);
}

char *sources_line(Sources *sources, const char *path, unsigned line) {
    Source *source = path ? g_hash_table_lookup(sources->by_path, path) : NULL;
    if (!source || !source->content || line == 0)
        return NULL;
    if (!source->lines)
        index_lines(source);
    if (line > source->lines->len)
        return NULL;
    size_t size;
    const char *text = sources_bytes(source->content, &size);
    size_t start = g_array_index(source->lines, size_t, line - 1);
    size_t end = line < source->lines->len ? g_array_index(source->lines, size_t, line) : size;
    return line_for_people(text + start, end - start);
}

unsigned sources_rank(const Sources *sources, const char *path) {
    const Source *source = path ? g_hash_table_lookup(sources->by_path, path) : NULL;
    return source ? source->rank : G_MAXUINT;
}

char **sources_files(const Sources *sources) {
    GPtrArray *files = g_ptr_array_new();
    for (unsigned i = 0; i < sources->order->len; i++) {
        const char *path = g_ptr_array_index(sources->order, i);
        const Source *source = g_hash_table_lookup(sources->by_path, path);
        if (source->is_file)
            g_ptr_array_add(files, g_strdup(path));
    }
    g_ptr_array_add(files, NULL);
    return (char **)g_ptr_array_free(files, FALSE);
}
