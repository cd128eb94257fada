/*
 * The file of a snapshot:
 *   "stead snapshot 1\n", a line of JSON {"at", "revision"}
 *   for each key: its size and that of its value, 32 bits each, big-endian; both
 *   32 bits of ones, and a line of JSON {"keys", "leased", "digest", "sum"}: sum is the SHA-256 of
 *   everything before
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/disk.h"
#include "base/error.h"
#include "base/json.h"
#include "cluster/dump-private.h"

#define MAGIC      "stead snapshot 1\n"
#define END_MARK   UINT32_MAX
#define LINE_LIMIT 4096u
#define PREFIX     "snapshot-"
#define SUFFIX     ".stead"

G_DEFINE_AUTOPTR_CLEANUP_FUNC(FILE, fclose)

/* --- writing */

typedef struct {
    FILE *file;
    Digest *sum;
} Writer;

static bool put(Writer *writer, const void *data, size_t size) {
    digest_update(writer->sum, data, size);
    return fwrite(data, 1, size, writer->file) == size;
}

static bool put_entry(void *data, GBytes *key, GBytes *value, int64_t lease, GError **error) {
    Writer *writer = data;
    gsize key_size, value_size;
    const void *key_data = g_bytes_get_data(key, &key_size);
    const void *value_data = g_bytes_get_data(value, &value_size);
    uint32_t sizes[] = { GUINT32_TO_BE((uint32_t)key_size), GUINT32_TO_BE((uint32_t)value_size) };
    if (lease || (put(writer, sizes, sizeof sizes) && put(writer, key_data, key_size) &&
                  put(writer, value_data, value_size)))
        return true;
    return set_io_error(error, errno, "write the snapshot");
}

static bool put_line(Writer *writer, const Value *map) {
    g_autofree char *text = json_print(map, JSON_COMPACT);
    return put(writer, text, strlen(text)) && put(writer, "\n", 1);
}

static bool write_end(Writer *writer, const DumpTotals *totals) {
    char sum[DIGEST_HEX_SIZE];
    uint32_t mark = END_MARK;
    if (!put(writer, &mark, sizeof mark))
        return false;
    digest_finish(writer->sum, sum);
    g_autoptr(Value) map = value_new_map();
    value_map_set(map, "revision", value_new_int(totals->revision));
    value_map_set(map, "keys", value_new_int((int64_t)totals->keys));
    value_map_set(map, "leased", value_new_int((int64_t)totals->leased));
    value_map_set(map, "digest", value_new_string(totals->digest));
    value_map_set(map, "sum", value_new_string(sum));
    return put_line(writer, map) && fflush(writer->file) == 0 && fsync(fileno(writer->file)) == 0;
}

static bool write_all(Store *store, FILE *file, DumpTotals *ret_totals, GError **error) {
    g_autoptr(Digest) sum = digest_new();
    Writer writer = { file, sum };
    g_autoptr(Value) head = value_new_map();
    value_map_set(head, "at", value_new_int(g_get_real_time() / G_USEC_PER_SEC));
    if (!put(&writer, MAGIC, strlen(MAGIC)) || !put_line(&writer, head))
        return set_io_error(error, errno, "write the snapshot");
    return dump_visit_store(store, put_entry, &writer, ret_totals, error) &&
           (write_end(&writer, ret_totals) || set_io_error(error, errno, "write the snapshot"));
}

bool dump_save(Store *store, const char *path, DumpTotals *ret_totals, GError **error) {
    g_autofree char *part = g_strdup_printf("%s.%d.part", path, (int)getpid());
    int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return set_io_error(error, errno, "write '%s'", part);
    FILE *file = fdopen(fd, "w");
    bool written = write_all(store, file, ret_totals, error);
    if (fclose(file) != 0 && written)
        written = set_io_error(error, errno, "write '%s'", part);
    if (written && rename(part, path) < 0)
        written = set_io_error(error, errno, "rename '%s' to '%s'", part, path);
    if (!written)
        (void)unlink(part);
    return written && disk_sync_parent(path, error);
}

/* --- reading */

typedef struct {
    const char *path;
    FILE *file;
    Digest *sum, *digest;
    DumpTotals totals;
} Reader;

static bool damaged(const Reader *reader, const char *why, GError **error) {
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_DAMAGED,
                "read '%s': %s; take another snapshot, nothing of this one is used", reader->path,
                why);
    return false;
}

static bool take(Reader *reader, void *buffer, size_t size, GError **error) {
    if (fread(buffer, 1, size, reader->file) != size)
        return damaged(reader, "it ends too early", error);
    digest_update(reader->sum, buffer, size);
    return true;
}

/* A line of JSON; NULL with error. */
static Value *take_line(Reader *reader, GError **error) {
    char line[LINE_LIMIT];
    if (!fgets(line, sizeof line, reader->file) || !strchr(line, '\n')) {
        (void)damaged(reader, "it ends too early", error);
        return NULL;
    }
    digest_update(reader->sum, line, strlen(line));
    g_autoptr(Value) value = json_parse(line, strlen(line), reader->path, NULL);
    if (value && value_type(value) == VALUE_MAP)
        return g_steal_pointer(&value);
    (void)damaged(reader, "it is no snapshot of stead, or damaged", error);
    return NULL;
}

static GBytes *take_bytes(Reader *reader, uint32_t size, GError **error) {
    g_autofree char *data = g_malloc(size + 1);
    if (!take(reader, data, size, error))
        return NULL;
    return g_bytes_new_take(g_steal_pointer(&data), size);
}

static bool read_entry(Reader *reader, uint32_t key_size, DumpVisit visit, void *data,
                       GError **error) {
    uint32_t value_size;
    if (!take(reader, &value_size, sizeof value_size, error))
        return false;
    value_size = GUINT32_FROM_BE(value_size);
    if (key_size == 0 || key_size > STORE_LIMIT_KEY || value_size > STORE_LIMIT_VALUE)
        return damaged(reader, "it has a key or a value of an impossible size", error);
    g_autoptr(GBytes) key = take_bytes(reader, key_size, error);
    g_autoptr(GBytes) value = key ? take_bytes(reader, value_size, error) : NULL;
    if (!value)
        return false;
    reader->totals.keys++;
    reader->totals.bytes += key_size + value_size;
    dump_digest_entry(reader->digest, key, value);
    return !visit || visit(data, key, value, 0, error);
}

static bool read_end(Reader *reader, GError **error) {
    char sum[DIGEST_HEX_SIZE];
    digest_finish(reader->sum, sum);
    digest_finish(reader->digest, reader->totals.digest);
    g_autoptr(Value) end = take_line(reader, error);
    if (!end)
        return false;
    reader->totals.revision = value_map_int(end, "revision", 0);
    reader->totals.leased = (uint64_t)value_map_int(end, "leased", 0);
    if (strcmp(sum, value_map_string(end, "sum", "")) != 0 ||
        strcmp(reader->totals.digest, value_map_string(end, "digest", "")) != 0 ||
        value_map_int(end, "keys", -1) != (int64_t)reader->totals.keys)
        return damaged(reader, "its checksum is not right", error);
    return true;
}

static bool read_all(Reader *reader, DumpVisit visit, void *data, GError **error) {
    char magic[sizeof MAGIC - 1];
    if (!take(reader, magic, sizeof magic, error))
        return false;
    if (memcmp(magic, MAGIC, sizeof magic) != 0)
        return damaged(reader, "it is no snapshot of stead", error);
    g_autoptr(Value) head = take_line(reader, error);
    if (!head)
        return false;
    for (;;) {
        uint32_t size;
        if (!take(reader, &size, sizeof size, error))
            return false;
        if (size == END_MARK)
            return read_end(reader, error);
        if (!read_entry(reader, GUINT32_FROM_BE(size), visit, data, error))
            return false;
    }
}

bool dump_visit_stream(FILE *file, const char *path, DumpVisit visit, void *data,
                       DumpTotals *ret_totals, GError **error) {
    g_autoptr(Digest) sum = digest_new(), digest = digest_new();
    Reader reader = { .path = path, .file = file, .sum = sum, .digest = digest };
    if (!read_all(&reader, visit, data, error))
        return false;
    *ret_totals = reader.totals;
    return true;
}

bool dump_visit_file(const char *path, DumpVisit visit, void *data, DumpTotals *ret_totals,
                     GError **error) {
    g_autoptr(FILE) file = fopen(path, "re");
    if (!file)
        return set_io_error(error, errno, "read '%s'", path);
    return dump_visit_stream(file, path, visit, data, ret_totals, error);
}

bool dump_check(const char *path, DumpTotals *ret_totals, GError **error) {
    return dump_visit_file(path, NULL, NULL, ret_totals, error);
}

/* --- a directory of them: their names have their order */

static int compare_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static GPtrArray *list(const char *directory) {
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GDir) open = g_dir_open(directory, 0, NULL);
    for (const char *name; open && (name = g_dir_read_name(open));)
        if (g_str_has_prefix(name, PREFIX) && g_str_has_suffix(name, SUFFIX))
            g_ptr_array_add(names, g_build_filename(directory, name, NULL));
    g_ptr_array_sort(names, compare_names);
    return names;
}

char *snapshots_next(const char *directory, GError **error) {
    if (g_mkdir_with_parents(directory, 0700) < 0) {
        (void)set_io_error(error, errno, "make '%s'", directory);
        return NULL;
    }
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();
    g_autofree char *time = g_date_time_format(now, PREFIX "%Y%m%dT%H%M%S.%fZ" SUFFIX);
    return g_build_filename(directory, time, NULL);
}

void snapshots_prune(const char *directory, unsigned kept) {
    g_autoptr(GPtrArray) names = list(directory);
    for (unsigned i = 0; i + kept < names->len; i++)
        (void)unlink(g_ptr_array_index(names, i)); /* one that stays is tried again next time */
}

char *snapshots_newest(const char *directory) {
    g_autoptr(GPtrArray) names = list(directory);
    return names->len ? g_strdup(g_ptr_array_index(names, names->len - 1)) : NULL;
}

int64_t snapshots_newest_age(const char *directory, int64_t wall_now) {
    g_autofree char *newest = snapshots_newest(directory);
    struct stat info;
    if (!newest || stat(newest, &info) < 0)
        return -1;
    return MAX(wall_now - (int64_t)info.st_mtime * G_USEC_PER_SEC, 0);
}
