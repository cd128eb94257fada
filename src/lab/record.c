#include "lab/record.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/json.h"

void record_free(Record *record) {
    if (!record)
        return;
    g_free(record->data);
    g_free(record->directory);
    g_free(record->name);
    g_free(record->boot);
    lab_free(record->lab);
    g_free(record);
}

static bool make_directory(const char *path, GError **error) {
    return g_mkdir_with_parents(path, 0700) == 0 ||
           set_io_error(error, errno, "make directory '%s'", path);
}

int record_lock(const char *data, GError **error) {
    g_autofree char *labs = g_build_filename(data, "labs", NULL);
    g_autofree char *path = g_build_filename(data, "lock", NULL);
    if (!make_directory(labs, error))
        return -1;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    while (fd >= 0 && flock(fd, LOCK_EX) < 0)
        if (errno != EINTR) {
            set_io_error(error, errno, "lock '%s'", path);
            (void)close(fd);
            return -1;
        }
    if (fd < 0)
        set_io_error(error, errno, "open '%s'", path);
    return fd;
}

/* --- reading and writing ---------------------------------------------------------------------- */

static Value *process_to_value(const ProcessId *id) {
    Value *map = value_new_map();
    value_map_set(map, "pid", value_new_int(id->pid));
    value_map_set(map, "start", value_new_int((int64_t)id->start));
    return map;
}

static ProcessId process_from_value(const Value *map) {
    if (value_type(map) != VALUE_MAP)
        return (ProcessId){ 0 };
    return (ProcessId){ value_map_int(map, "pid", 0), (uint64_t)value_map_int(map, "start", 0) };
}

static char *record_path(const Record *record) {
    return g_build_filename(record->directory, "record.json", NULL);
}

static bool sync_directory(const char *path, GError **error) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (!ok)
        set_io_error(error, errno, "write '%s' to disk", path);
    if (fd >= 0)
        (void)close(fd); /* nothing was written through it */
    return ok;
}

bool record_write(const Record *record, GError **error) {
    g_autoptr(Value) map = value_new_map();
    value_map_set(map, "boot", value_new_string(record->boot));
    value_map_set(map, "up", value_new_bool(record->is_up));
    value_map_set(map, "owner", process_to_value(&record->owner));
    value_map_set(map, "keeper", process_to_value(&record->keeper));
    value_map_set(map, "lab", lab_to_value(record->lab));
    g_autofree char *text = json_print(map, JSON_INDENT), *path = record_path(record);
    return g_file_set_contents_full(path, text, -1,
                                    G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE,
                                    0600, error) &&
           sync_directory(record->directory, error);
}

static Record *record_new(const char *data, const char *name) {
    Record *record = g_new0(Record, 1);
    record->data = g_strdup(data);
    record->name = g_strdup(name);
    record->directory = g_build_filename(data, "labs", name, NULL);
    return record;
}

static bool is_taken(const Record *record, GError **error) {
    g_autoptr(Record) other = NULL;
    (void)record_read(record->data, record->name, &other, NULL); /* damaged: not live */
    if (other && record_is_live(other))
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_EXISTS,
                    "lab '%s' is up already; 'stead lab down %s' ends it", record->name,
                    record->name);
    else
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_EXISTS,
                    "lab '%s' was interrupted and has files left; 'stead lab gc' removes them",
                    record->name);
    return false;
}

static bool claim(Record *record, GError **error) {
    g_autofree char *labs = g_build_filename(record->data, "labs", NULL);
    if (mkdir(record->directory, 0700) == 0)
        return sync_directory(labs, error) && record_write(record, error);
    return errno == EEXIST ? is_taken(record, error)
                           : set_io_error(error, errno, "make '%s'", record->directory);
}

Record *record_create(const char *data, Lab *lab, GError **error) {
    g_autoptr(Record) record = record_new(data, lab->name);
    record->lab = lab;
    record->boot = process_boot();
    (void)process_identify(getpid(), &record->owner); /* we exist */
    int lock = record_lock(data, error);
    bool ok = lock >= 0 && claim(record, error);
    if (lock >= 0)
        (void)close(lock);
    return ok ? g_steal_pointer(&record) : NULL;
}

static bool parse(Record *record, const char *text, size_t size, const char *path, GError **error) {
    g_autoptr(Value) map = json_parse(text, size, path, error);
    if (!map)
        return false;
    if (value_type(map) != VALUE_MAP) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_DAMAGED, "read '%s': it is no record", path);
        return false;
    }
    record->boot = g_strdup(value_map_string(map, "boot", ""));
    record->is_up = value_map_bool(map, "up", false);
    record->owner = process_from_value(value_map_get(map, "owner"));
    record->keeper = process_from_value(value_map_get(map, "keeper"));
    record->lab = lab_from_value(value_map_get(map, "lab"), error);
    if (!record->lab)
        g_prefix_error(error, "read '%s': ", path);
    return record->lab;
}

bool record_read(const char *data, const char *name, Record **ret_record, GError **error) {
    g_autoptr(Record) record = record_new(data, name);
    g_autofree char *path = record_path(record), *text = NULL;
    size_t size;
    g_autoptr(GError) problem = NULL;
    if (lab_name_problem(name, LAB_NAME_MAX) ||
        !g_file_test(record->directory, G_FILE_TEST_IS_DIR)) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND,
                    "there is no lab '%s'; 'stead lab list' shows those there are", name);
        return false;
    }
    bool ok = g_file_get_contents(path, &text, &size, &problem) &&
              parse(record, text, size, path, &problem);
    if (!ok)
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_DAMAGED,
                    "%s; 'stead lab gc' removes what is left of the lab", problem->message);
    *ret_record = g_steal_pointer(&record);
    return ok;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

GPtrArray *record_names(const char *data) {
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *labs = g_build_filename(data, "labs", NULL);
    g_autoptr(GDir) directory = g_dir_open(labs, 0, NULL); /* none: no labs */
    const char *name;
    while (directory && (name = g_dir_read_name(directory)))
        g_ptr_array_add(names, g_strdup(name));
    g_ptr_array_sort(names, compare_names);
    return names;
}

bool record_is_live(const Record *record) {
    g_autofree char *boot = process_boot();
    if (!record->lab || strcmp(boot, record->boot) != 0)
        return false;
    return process_is_alive(record->is_up ? &record->keeper : &record->owner);
}
