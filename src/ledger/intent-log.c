#include "ledger/intent-log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/disk.h"
#include "base/error.h"
#include "base/json.h"
#include "ledger/intent-parse.h"
#include "ledger/record.h"

/* Where a begin stands in the file. */
typedef struct Begin {
    struct Begin *next; /* a later one of the same step */
    uint64_t id;
    size_t offset, size;
} Begin;

typedef struct {
    char *key;           /* step_key(), also that of the table */
    size_t kind_size;    /* bytes of key before the separator */
    Begin *first, *last; /* oldest and latest; never empty */
    Value *preimage;     /* as read at open; NULL for those begun since */
} LiveStep;

struct IntentLog {
    char *path;
    GMutex lock; /* over all below */
    int fd;      /* -1: not open yet */
    size_t size; /* whole records; the file may be longer by a torn one when torn is set */
    bool torn;
    gsize last_id;    /* atomic: an ID is taken before the lock */
    GHashTable *live; /* step_key() -> LiveStep, both owned */
    size_t live_size; /* bytes of the begins of live */
    unsigned skipped;
};

static void live_step_free(LiveStep *step) {
    for (Begin *begin = step->first, *next; begin; begin = next) {
        next = begin->next;
        g_free(begin);
    }
    g_free(step->key);
    value_unref(step->preimage);
    g_free(step);
}

/* Takes ownership of key. */
static LiveStep *add_begin(IntentLog *log, char *key, size_t kind_size, Begin at) {
    Begin *begin = g_new(Begin, 1);
    *begin = at;
    LiveStep *step = g_hash_table_lookup(log->live, key);
    if (step) {
        g_free(key);
        step->last->next = begin;
    } else {
        step = g_new(LiveStep, 1);
        *step = (LiveStep){ .key = key, .kind_size = kind_size, .first = begin };
        g_hash_table_insert(log->live, key, step);
    }
    step->last = begin;
    log->live_size += begin->size;
    return step;
}

/* Forgets the begins that id covers, and the step when none is left. */
static void drop_begins(IntentLog *log, const char *key, uint64_t id) {
    LiveStep *step = g_hash_table_lookup(log->live, key);
    while (step && step->first && step->first->id <= id) {
        Begin *begin = step->first;
        step->first = begin->next;
        log->live_size -= begin->size;
        g_free(begin);
    }
    if (step && !step->first)
        g_hash_table_remove(log->live, key);
}

static void replay(void *data, const IntentRecord *record) {
    IntentLog *log = data;
    g_autofree char *key = step_key(record->kind, record->name);
    log->last_id = MAX(log->last_id, record->id);
    if (!record->is_begin) {
        drop_begins(log, key, record->id);
        return;
    }
    Begin begin = { .id = record->id, .offset = record->offset, .size = record->size };
    LiveStep *step = add_begin(log, g_steal_pointer(&key), strlen(record->kind), begin);
    if (!step->preimage && record->preimage)
        step->preimage = value_ref(record->preimage);
}

IntentLog *intent_log_open(const char *path, IntentRule rule, GError **error) {
    g_autoptr(GError) problem = NULL;
    g_autoptr(GBytes) text = disk_read_own(path, LIMIT_INTENT_LOG, &problem);
    if (!text && !g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND)) {
        g_propagate_error(error, g_steal_pointer(&problem));
        return NULL;
    }
    g_autoptr(IntentLog) log = g_new0(IntentLog, 1);
    log->path = g_strdup(path);
    g_mutex_init(&log->lock);
    log->fd = -1;
    log->live =
        g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)live_step_free);
    if (!text)
        return g_steal_pointer(&log);
    gsize size;
    const char *bytes = g_bytes_get_data(text, &size);
    IntentParsed parsed;
    if (size > 0 && !intent_parse(bytes, size, path, rule, replay, log, &parsed, error))
        return NULL;
    if (size > 0) {
        log->size = parsed.valid_size;
        log->torn = parsed.valid_size < size;
        log->skipped = parsed.skipped;
    }
    return g_steal_pointer(&log);
}

void intent_log_free(IntentLog *log) {
    if (!log)
        return;
    if (log->fd >= 0)
        close(log->fd);
    g_hash_table_unref(log->live);
    g_mutex_clear(&log->lock);
    g_free(log->path);
    g_free(log);
}

static int by_first_begin(gconstpointer a, gconstpointer b) {
    const LiveStep *left = *(LiveStep *const *)a, *right = *(LiveStep *const *)b;
    return left->first->id < right->first->id ? -1 : left->first->id > right->first->id;
}

static GPtrArray *steps_in_order(IntentLog *log) {
    GPtrArray *steps = g_ptr_array_new();
    GHashTableIter iter;
    gpointer step;
    g_hash_table_iter_init(&iter, log->live);
    while (g_hash_table_iter_next(&iter, NULL, &step))
        g_ptr_array_add(steps, step);
    g_ptr_array_sort(steps, by_first_begin);
    return steps;
}

void intent_log_visit(IntentLog *log,
                      void (*visit)(void *data, const char *kind, const char *name,
                                    const Value *preimage),
                      void *data) {
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&log->lock);
    g_autoptr(GPtrArray) steps = steps_in_order(log);
    for (unsigned i = 0; i < steps->len; i++) {
        const LiveStep *step = steps->pdata[i];
        g_autofree char *kind = g_strndup(step->key, step->kind_size);
        visit(data, kind, step->key + step->kind_size + 1, step->preimage);
    }
}

void intent_log_forget_preimages(IntentLog *log) {
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&log->lock);
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, log->live);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        g_clear_pointer(&((LiveStep *)value)->preimage, value_unref);
}

unsigned intent_log_skipped(const IntentLog *log) {
    return log->skipped;
}

/* --- writing; all with the lock held --- */

static bool open_for_writing(IntentLog *log, GError **error) {
    if (log->fd >= 0)
        return true;
    int fd = open(log->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return set_io_error(error, errno, "open '%s'", log->path);
    log->fd = fd;
    return true;
}

static bool cut(IntentLog *log, size_t size, GError **error) {
    if (ftruncate(log->fd, (off_t)size) < 0)
        return set_io_error(error, errno, "cut '%s'", log->path);
    log->size = size;
    log->torn = false;
    return true;
}

/* One write for all of text; what a failed one left behind is cut off, at the latest before the
 * next. */
static bool append(IntentLog *log, const GString *text, GError **error) {
    if (!open_for_writing(log, error) || (log->torn && !cut(log, log->size, error)))
        return false;
    if (!disk_write(log->fd, text->str, text->len)) {
        int saved = errno;
        log->torn = true;
        (void)cut(log, log->size, NULL); /* stays torn: tried again by the next append */
        return set_io_error(error, saved, "write '%s'", log->path);
    }
    log->size += text->len;
    return true;
}

/* The members of a record from the kind on. */
static void append_names(GString *out, const char *kind, const char *name) {
    append_json_string(out, kind);
    g_string_append_c(out, ',');
    append_json_string(out, name);
}

bool intent_log_begin(IntentLog *log, const char *kind, const char *name, const Value *preimage,
                      GError **error) {
    g_autofree char *key = step_key(kind, name);
    g_autoptr(GString) text = g_string_sized_new(256);
    uint64_t id = g_atomic_pointer_add(&log->last_id, 1) + 1;
    size_t start = intent_record_start(text, true, id);
    append_names(text, kind, name);
    g_string_append_c(text, ',');
    json_append(text, preimage, JSON_COMPACT);
    intent_record_end(text, start);

    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&log->lock);
    Begin begin = { .id = id, .offset = log->size, .size = text->len };
    if (log->size == 0) {
        g_string_prepend(text, INTENT_LOG_HEADER);
        begin.offset = strlen(INTENT_LOG_HEADER);
    }
    if (!append(log, text, error))
        return false;
    (void)add_begin(log, g_steal_pointer(&key), strlen(kind), begin);
    return true;
}

uint64_t intent_log_last(IntentLog *log, const char *kind, const char *name) {
    g_autofree char *key = step_key(kind, name);
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&log->lock);
    const LiveStep *step = g_hash_table_lookup(log->live, key);
    return step ? step->last->id : 0;
}

/* Appends the begins of step as they stand in the file and notes where they will stand. */
static bool copy_begins(IntentLog *log, const LiveStep *step, GString *out, GArray *offsets,
                        GError **error) {
    for (const Begin *begin = step->first; begin; begin = begin->next) {
        size_t offset = out->len;
        g_string_set_size(out, offset + begin->size);
        ssize_t n = pread(log->fd, out->str + offset, begin->size, (off_t)begin->offset);
        if (n != (ssize_t)begin->size)
            return set_io_error(error, n < 0 ? errno : EIO, "read '%s'", log->path);
        g_array_append_val(offsets, offset);
    }
    return true;
}

static void move_begins(const GPtrArray *steps, const GArray *offsets) {
    unsigned next = 0;
    for (unsigned i = 0; i < steps->len; i++)
        for (Begin *begin = ((LiveStep *)steps->pdata[i])->first; begin; begin = begin->next)
            begin->offset = g_array_index(offsets, size_t, next++);
}

/* Replaces the log by one of text. */
static bool replace_file(IntentLog *log, const GString *text, GError **error) {
    g_autofree char *temporary = g_strconcat(log->path, ".new", NULL);
    int fd = open(temporary, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return set_io_error(error, errno, "create '%s'", temporary);
    if (!disk_write(fd, text->str, text->len) || rename(temporary, log->path) < 0) {
        int saved = errno;
        (void)unlink(temporary);
        close(fd);
        return set_io_error(error, saved, "write '%s'", temporary);
    }
    close(log->fd);
    log->fd = fd;
    log->size = text->len;
    log->torn = false;
    return true;
}

static bool compact(IntentLog *log, GError **error) {
    g_autoptr(GString) text = g_string_new(INTENT_LOG_HEADER);
    g_autoptr(GArray) offsets = g_array_new(FALSE, FALSE, sizeof(size_t));
    g_autoptr(GPtrArray) steps = steps_in_order(log);
    for (unsigned i = 0; i < steps->len; i++)
        if (!copy_begins(log, steps->pdata[i], text, offsets, error))
            return false;
    if (!replace_file(log, text, error))
        return false;
    move_begins(steps, offsets);
    return true;
}

static bool append_ends(IntentLog *log, const IntentEnd *ends, size_t n_ends, GError **error) {
    g_autoptr(GString) text = g_string_new(NULL);
    for (size_t i = 0; i < n_ends; i++) {
        size_t start = intent_record_start(text, false, ends[i].id);
        append_names(text, ends[i].kind, ends[i].name);
        intent_record_end(text, start);
    }
    return append(log, text, error);
}

bool intent_log_end(IntentLog *log, const IntentEnd *ends, size_t n_ends, GError **error) {
    if (n_ends == 0)
        return true;
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&log->lock);
    for (size_t i = 0; i < n_ends; i++) {
        g_autofree char *key = step_key(ends[i].kind, ends[i].name);
        drop_begins(log, key, ends[i].id);
    }
    if (g_hash_table_size(log->live) == 0)
        return open_for_writing(log, error) && cut(log, 0, error);
    if (!append_ends(log, ends, n_ends, error))
        return false;
    if (log->size > INTENT_LOG_COMPACT && log->live_size < log->size / 2)
        return compact(log, error);
    return true;
}

GBytes *intent_log_text(IntentLog *log, GError **error) {
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&log->lock);
    if (log->size == 0)
        return g_bytes_new_static("", 0);
    return disk_read_own(log->path, LIMIT_INTENT_LOG, error);
}
