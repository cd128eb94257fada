#include "kinds/edit.h"

#include <string.h>

#include "base/limits.h"
#include "base/text-diff.h"
#include "host/host-real.h"
#include "kinds/hint.h"

#define LINKS_MAX    40 /* as the kernel follows */
#define DIFF_LIMIT   (64 * 1024)
#define DIFF_CONTEXT 0 /* the lines around belong to others, and may be secrets */
#define N_LOCKS      64

/* The one thing that resources of one process share: whoever edits a path holds its lock. Paths
 * that share a lock merely wait for each other. */
static GMutex locks[N_LOCKS];

/* --- lines */

void edit_text_init(EditText *text, GBytes *bytes) {
    size_t size;
    const char *at = g_bytes_get_data(bytes, &size);
    GArray *lines = g_array_new(FALSE, FALSE, sizeof(EditLine));
    *text = (EditText){ .eol = "\n" };
    for (const char *end = at != NULL ? at + size : NULL; at < end;) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        EditLine line = { .start = at };
        line.whole = newline != NULL ? (size_t)(newline - at) + 1 : (size_t)(end - at);
        line.size = line.whole - (newline != NULL);
        if (newline != NULL && line.size > 0 && newline[-1] == '\r') {
            line.size--;
            if (lines->len == 0)
                text->eol = "\r\n";
        }
        text->open_end = newline == NULL;
        g_array_append_val(lines, line);
        at += line.whole;
    }
    text->n_lines = lines->len;
    text->lines = (EditLine *)(void *)g_array_free(lines, FALSE);
}

void edit_text_clear(EditText *text) {
    g_clear_pointer(&text->lines, g_free);
}

bool edit_line_is(const EditLine *line, const char *text, size_t size) {
    return line->size == size && memcmp(line->start, text, size) == 0;
}

void edit_append_lines(GString *out, const EditText *text, size_t first, size_t end) {
    for (size_t i = first; i < end; i++)
        g_string_append_len(out, text->lines[i].start, (gssize)text->lines[i].whole);
}

void edit_splice(GString *out, const EditText *text, size_t first, size_t end, const char *block) {
    edit_append_lines(out, text, 0, first);
    for (const char *at = block; at != NULL && *at != '\0';) {
        const char *newline = strchr(at, '\n');
        g_assert(newline != NULL);
        edit_append_line(out, text, at, (size_t)(newline - at));
        at = newline + 1;
    }
    edit_append_lines(out, text, end, text->n_lines);
}

void edit_append_line(GString *out, const EditText *text, const char *line, size_t size) {
    if (out->len > 0 && out->str[out->len - 1] != '\n')
        g_string_append(out, text->eol);
    g_string_append_len(out, line, (gssize)size);
    g_string_append(out, text->eol);
}

/* --- files */

/* Where a chain of links ends, inside the root. */
static char *resolve(KindRun *run, const char *path, FileInfo *ret_info, GError **error) {
    g_autofree char *at = g_strdup(path);
    for (unsigned i = 0; i < LINKS_MAX; i++) {
        GError *problem = NULL;
        *ret_info = (FileInfo){ .type = FILE_OTHER };
        if (!host_stat(run->host, at, ret_info, &problem)) {
            if (g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND)) {
                g_error_free(problem);
                return g_steal_pointer(&at);
            }
            g_propagate_error(error, problem);
            return NULL;
        }
        if (ret_info->type != FILE_SYMLINK)
            return g_steal_pointer(&at);
        if (host_links_refused()) {
            g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                        "refuse to follow the link '%s': put a file in its place", at);
            return NULL;
        }
        g_autofree char *target = host_read_link(run->host, at, error);
        if (target == NULL)
            return NULL;
        g_autofree char *directory = g_path_get_dirname(at);
        g_free(at);
        at = *target == '/' ? g_strdup(target) : g_build_filename(directory, target, NULL);
    }
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED, "edit '%s': its links lead in a circle",
                path);
    return NULL;
}

/* The bytes, which are taken, when they are text. Nothing but zero bytes is what a power cut leaves
 * of a file whose blocks were not written: there is nothing in it. */
static GBytes *take_text(const char *path, GBytes *bytes, GError **error) {
    size_t size;
    const char *data = g_bytes_get_data(bytes, &size);
    const char *zero = size > 0 ? memchr(data, '\0', size) : NULL;
    if (zero == NULL)
        return bytes;
    if (zero == data && memcmp(data, data + 1, size - 1) == 0) {
        g_bytes_unref(bytes);
        return g_bytes_new_static("", 0);
    }
    size_t line = 1;
    for (const char *at = data; at < zero; at++)
        line += *at == '\n';
    g_bytes_unref(bytes);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                "refuse to edit '%s': it is not text, line %zu has a zero byte; "
                "mend the file or remove it",
                path, line);
    return NULL;
}

static GBytes *read_at(KindRun *run, const char *path, const FileInfo *info, bool *ret_exists,
                       GError **error) {
    g_autoptr(GError) problem = NULL;
    if (info->type == FILE_UNKNOWN) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_UNPREDICTABLE,
                    "the content of '%s' is known only when applied", path);
        return NULL;
    }
    GBytes *bytes = host_read(run->host, path, LIMIT_FILE_CONTENT, &problem);
    *ret_exists = bytes != NULL;
    if (bytes != NULL)
        return take_text(path, bytes, error);
    if (g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND))
        return g_bytes_new_static("", 0);
    g_propagate_error(error, g_steal_pointer(&problem));
    return NULL;
}

GBytes *edit_read(KindRun *run, const char *path, bool *ret_exists, GError **error) {
    FileInfo info;
    g_autofree char *resolved = resolve(run, path, &info, error);
    return resolved != NULL ? read_at(run, resolved, &info, ret_exists, error) : NULL;
}

#define KEPT_CREATED "created" /* kept: the file did not exist before us */

void edit_keep_created(KindRun *run, const char *path) {
    if (host_exists(run->host, path))
        return;
    Value *kept = value_new_map();
    value_map_set(kept, KEPT_CREATED, value_new_bool(true));
    kind_run_keep(run, kept);
}

bool edit_was_created(const KindRun *run) {
    return run->kept != NULL && value_map_bool(run->kept, KEPT_CREATED, false);
}

Value *edit_value(const Resource *resource, unsigned param, const char *text) {
    const Value *given = resource_get(resource, param);
    g_autoptr(Value) value = value_new_string(text);
    return given != NULL && value_is_secret(given) ? value_as_secret(value, NULL)
                                                   : g_steal_pointer(&value);
}

static bool no_file(const char *path, GError **error) {
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND,
                "edit '%s': it does not exist; set create = true to make it", path);
    return false;
}

static bool write_back(KindRun *run, const Edit *edit, const char *path, bool exists, GBytes *after,
                       GError **error) {
    if (g_bytes_get_size(after) == 0 && edit->remove_empty)
        return !exists || host_remove(run->host, path, error);
    return host_write(run->host, path, after, &edit->attributes, error);
}

static bool apply_at(KindRun *run, const Edit *edit, const char *path, const FileInfo *info,
                     GError **error) {
    bool exists = false;
    g_autoptr(GBytes) before = read_at(run, path, info, &exists, error);
    if (before == NULL)
        return false;
    GString *text = g_string_sized_new(g_bytes_get_size(before) + 64);
    bool done = edit->edit(edit->data, before, text, error);
    g_autoptr(GBytes) after = g_string_free_to_bytes(text); /* the host may keep it */
    if (!done || g_bytes_equal(before, after))
        return done;
    return exists || edit->create ? write_back(run, edit, path, exists, after, error)
                                  : no_file(path, error);
}

bool edit_apply(KindRun *run, const Edit *edit, GError **error) {
    FileInfo info;
    g_autofree char *path = resolve(run, edit->path, &info, error);
    if (path == NULL)
        return false;
    GMutex *lock = &locks[g_str_hash(path) % N_LOCKS];
    g_mutex_lock(lock);
    g_autoptr(GError) problem = NULL;
    bool done = apply_at(run, edit, path, &info, &problem);
    g_mutex_unlock(lock);
    /* A plan cannot edit what a command makes; what it becomes stays unknown. */
    if (done || (run->planning && g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_UNPREDICTABLE)))
        return true;
    g_propagate_error(error, g_steal_pointer(&problem));
    return hint_io(run, path, error);
}

bool edit_clean(KindRun *run, const char *path, GError **error) {
    FileInfo info;
    g_autofree char *resolved = resolve(run, path, &info, error);
    return resolved != NULL && host_real_clean(run->host, resolved, error);
}

char *edit_diff(KindRun *run, const Edit *edit) {
    bool exists;
    g_autoptr(GBytes) before = edit_read(run, edit->path, &exists, NULL);
    if (before == NULL)
        return NULL;
    size_t size;
    const char *data = g_bytes_get_data(before, &size);
    GString *after = g_string_new(NULL);
    char *text = NULL;
    if (size <= DIFF_LIMIT && edit->edit(edit->data, before, after, NULL))
        text = text_diff(data, size, after->str, after->len, DIFF_CONTEXT);
    g_string_free(after, TRUE);
    return text;
}
