#include "bundle/keep.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/disk.h"
#include "base/error.h"
#include "bundle/sign-text.h"

#define GOOD_MAX       2 /* records that are kept besides the newest */
#define NAME_MAX_BYTES 100
#define BACK           "back "

struct Keep {
    char *directory;
    KeyList *keys;
    bool has_last;
    Statement last;
    uint64_t good[GOOD_MAX]; /* newest first; 0: none */
    uint64_t left;           /* that was gone back from; 0: none */
};

static char *path_of(const Keep *keep, const char *name) {
    return g_build_filename(keep->directory, name, NULL);
}

static char *record_path(const Keep *keep, uint64_t record, const char *suffix) {
    char name[NAME_MAX_BYTES];
    (void)snprintf(name, sizeof name, "record-%" G_GUINT64_FORMAT ".%s", record, suffix); /* fits */
    return path_of(keep, name);
}

/* --- what is on the disk */

static bool read_last(Keep *keep, GError **error) {
    g_autofree char *path = path_of(keep, "last");
    g_autoptr(GError) problem = NULL;
    g_autoptr(GBytes) text = disk_read(path, STATEMENT_MAX, &problem);
    if (text == NULL && g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND))
        return true;
    size_t size = 0;
    const char *data = text != NULL ? g_bytes_get_data(text, &size) : NULL;
    if (data != NULL && statement_read(data, size, &keep->last, &problem))
        return keep->has_last = true;
    g_propagate_prefixed_error(error, g_steal_pointer(&problem),
                               "read which deploy was the last: '%s' is damaged; compare the "
                               "bundles with what was deployed, then remove it: ",
                               path);
    return false;
}

/* "12\n11\n", or "11\nback 12\n". What is not so counts as nothing: then the newest record is
 * tried first. */
static void read_good(Keep *keep) {
    g_autofree char *path = path_of(keep, "good");
    g_autoptr(GBytes) text = disk_read(path, NAME_MAX_BYTES, NULL);
    if (text == NULL)
        return;
    g_auto(GStrv) lines = g_strsplit(g_bytes_get_data(text, NULL), "\n", -1);
    unsigned n = 0;
    while (n < GOOD_MAX && lines[n] != NULL && sign_text_parse_number(lines[n], &keep->good[n]))
        n++;
    if (lines[n] != NULL && g_str_has_prefix(lines[n], BACK) &&
        !sign_text_parse_number(lines[n] + strlen(BACK), &keep->left))
        keep->left = 0;
}

/* One file, replaced at once: which are good and what was left hold together. */
static bool write_good(Keep *keep, const uint64_t good[GOOD_MAX], uint64_t left, GError **error) {
    g_autofree char *path = path_of(keep, "good");
    g_autoptr(GString) text = g_string_new(NULL);
    for (unsigned i = 0; i < GOOD_MAX && good[i] != 0; i++)
        g_string_append_printf(text, "%" G_GUINT64_FORMAT "\n", good[i]);
    if (left != 0)
        g_string_append_printf(text, BACK "%" G_GUINT64_FORMAT "\n", left);
    if (!disk_replace(path, text->str, text->len, 0600, error))
        return false;
    memcpy(keep->good, good, sizeof keep->good);
    keep->left = left;
    return true;
}

Keep *keep_open(const char *directory, KeyList *keys, GError **error) {
    if (g_mkdir_with_parents(directory, 0700) < 0) {
        set_io_error(error, errno, "make the directory '%s'", directory);
        return NULL;
    }
    g_autoptr(Keep) keep = g_new0(Keep, 1);
    keep->directory = g_strdup(directory);
    keep->keys = key_list_ref(keys);
    if (!read_last(keep, error))
        return NULL;
    read_good(keep);
    return g_steal_pointer(&keep);
}

void keep_free(Keep *keep) {
    if (keep == NULL)
        return;
    g_free(keep->directory);
    key_list_unref(keep->keys);
    statement_clear(&keep->last);
    g_free(keep);
}

void keep_set_keys(Keep *keep, KeyList *keys) {
    KeyList *old = keep->keys;
    keep->keys = key_list_ref(keys);
    key_list_unref(old);
}

const Statement *keep_last(const Keep *keep) {
    return keep->has_last ? &keep->last : NULL;
}

uint64_t keep_left(const Keep *keep) {
    return keep->has_last && keep->left == keep->last.record ? keep->left : 0;
}

/* --- accepting */

static bool is_kept(const Keep *keep, uint64_t record) {
    for (unsigned i = 0; i < GOOD_MAX; i++)
        if (keep->good[i] == record)
            return true;
    return keep->has_last && keep->last.record == record && keep_left(keep) != record;
}

static void remove_record(const Keep *keep, uint64_t record) {
    static const char *const suffixes[] = { "signed", "bundle" };
    for (unsigned i = 0; i < G_N_ELEMENTS(suffixes); i++) {
        g_autofree char *path = record_path(keep, record, suffixes[i]);
        (void)unlink(path); /* what stays is found the next time */
    }
}

/* The record of a file's name; 0: it has none. */
static uint64_t record_of(const char *name) {
    uint64_t record = 0;
    const char *dot = strrchr(name, '.');
    if (!g_str_has_prefix(name, "record-") || dot == NULL)
        return 0;
    g_autofree char *digits =
        g_strndup(name + strlen("record-"), (size_t)(dot - name) - strlen("record-"));
    return sign_text_parse_number(digits, &record) ? record : 0;
}

static void prune(const Keep *keep) {
    g_autoptr(GDir) dir = g_dir_open(keep->directory, 0, NULL);
    for (const char *name; dir != NULL && (name = g_dir_read_name(dir)) != NULL;) {
        uint64_t record = record_of(name);
        if (record != 0 && !is_kept(keep, record))
            remove_record(keep, record);
    }
}

static bool write_bytes(const char *path, GBytes *bytes, GError **error) {
    size_t size;
    const void *data = g_bytes_get_data(bytes, &size);
    return disk_replace(path, data, size, 0600, error);
}

/* The bundle first: a statement is there only with what it speaks of. `last` at the end: until then
 * the deploy was not accepted, and comes again. */
static bool write_record(const Keep *keep, uint64_t record, GBytes *signed_text, GBytes *packed,
                         GError **error) {
    g_autofree char *bundle = record_path(keep, record, "bundle");
    g_autofree char *statement = record_path(keep, record, "signed");
    g_autofree char *last = path_of(keep, "last");
    if (write_bytes(bundle, packed, error) && write_bytes(statement, signed_text, error) &&
        write_bytes(last, signed_text, error))
        return true;
    g_prefix_error(error, "keep record %" G_GUINT64_FORMAT " of the deploys: ", record);
    if (!is_kept(keep, record))
        remove_record(keep, record);
    return false;
}

/* Statement and bundle belong together, and the statement counts. */
static Bundle *verify(const Keep *keep, GBytes *signed_text, GBytes *packed,
                      Statement *ret_statement, GError **error) {
    g_auto(Statement) statement = { 0 };
    size_t size;
    const char *text = g_bytes_get_data(signed_text, &size);
    if (!statement_read(text, size, &statement, error) ||
        !statement_is_signed_by(&statement, keep->keys, error))
        return NULL;
    g_autoptr(Bundle) bundle = bundle_read(packed, statement.digest, error);
    if (bundle == NULL || !bundle_has_main(bundle, error))
        return NULL;
    *ret_statement = statement;
    statement = (Statement){ 0 };
    return g_steal_pointer(&bundle);
}

static bool was_not_left(const Keep *keep, const Statement *statement, GError **error) {
    if (keep_left(keep) != statement->record)
        return true;
    g_set_error(
        error, STEAD_ERROR, STEAD_ERROR_REFUSED,
        "refuse record %" G_GUINT64_FORMAT
        " of the deploys: this machine went back from it; deploy it again as a later record",
        statement->record);
    return false;
}

Bundle *keep_accept(Keep *keep, GBytes *signed_text, GBytes *packed, GError **error) {
    g_auto(Statement) statement = { 0 };
    g_autoptr(Bundle) bundle = verify(keep, signed_text, packed, &statement, error);
    if (bundle == NULL || !statement_follows(&statement, keep_last(keep), error) ||
        !was_not_left(keep, &statement, error) ||
        !write_record(keep, statement.record, signed_text, packed, error))
        return NULL;
    statement_clear(&keep->last);
    keep->last = statement;
    keep->has_last = true;
    statement = (Statement){ 0 };
    prune(keep);
    return g_steal_pointer(&bundle);
}

bool keep_set_good(Keep *keep, uint64_t record, GError **error) {
    if (keep->good[0] == record)
        return true;
    uint64_t good[GOOD_MAX] = { record, keep->good[0] };
    if (!write_good(keep, good, keep_left(keep), error))
        return false;
    prune(keep);
    return true;
}

/* --- loading */

static Bundle *load(const Keep *keep, uint64_t record, Statement *ret_statement, GError **error) {
    g_autofree char *signed_path = record_path(keep, record, "signed");
    g_autofree char *bundle_path = record_path(keep, record, "bundle");
    g_autoptr(GBytes) signed_text = disk_read(signed_path, STATEMENT_MAX, error);
    g_autoptr(GBytes) packed =
        signed_text != NULL ? disk_read(bundle_path, BUNDLE_TOTAL_MAX, error) : NULL;
    g_auto(Statement) statement = { 0 };
    Bundle *bundle = packed != NULL ? verify(keep, signed_text, packed, &statement, error) : NULL;
    if (bundle != NULL && statement.record != record) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_DAMAGED, "'%s' holds record %" G_GUINT64_FORMAT,
                    signed_path, statement.record);
        g_clear_pointer(&bundle, bundle_free);
    }
    if (bundle == NULL)
        g_prefix_error(error, "go on with record %" G_GUINT64_FORMAT " of the deploys: ", record);
    else {
        *ret_statement = statement;
        statement = (Statement){ 0 };
    }
    return bundle;
}

static void add_record(GArray *records, uint64_t record) {
    for (unsigned i = 0; i < records->len; i++)
        if (g_array_index(records, uint64_t, i) == record)
            return;
    if (record != 0)
        g_array_append_val(records, record);
}

static gint newest_first(gconstpointer a, gconstpointer b) {
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? 1 : left > right ? -1 : 0;
}

/* Good ones; when nobody knows which those are, all. */
static GArray *candidates(const Keep *keep) {
    GArray *records = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    for (unsigned i = 0; i < GOOD_MAX; i++)
        add_record(records, keep->good[i]);
    g_autoptr(GDir) dir = records->len == 0 ? g_dir_open(keep->directory, 0, NULL) : NULL;
    for (const char *name; dir != NULL && (name = g_dir_read_name(dir)) != NULL;)
        add_record(records, record_of(name));
    if (dir != NULL)
        g_array_sort(records, newest_first);
    return records;
}

Bundle *keep_load(Keep *keep, Statement *ret_statement, GPtrArray *problems) {
    g_autoptr(GArray) records = candidates(keep);
    for (unsigned i = 0; i < records->len; i++) {
        GError *problem = NULL;
        Bundle *bundle = load(keep, g_array_index(records, uint64_t, i), ret_statement, &problem);
        if (bundle != NULL)
            return bundle;
        g_ptr_array_add(problems, problem);
    }
    return NULL;
}

/* --- going back */

static bool may_go_back(const Keep *keep, uint64_t record, GError **error) {
    uint64_t last = keep->has_last ? keep->last.record : 0, before = 0, left = keep_left(keep);
    for (unsigned i = 0; i < GOOD_MAX && before == 0; i++)
        before = keep->good[i] < last ? keep->good[i] : 0;
    if (record != 0 && record == before && (left == 0 || record == keep->good[0]))
        return true;
    g_autofree char *possible =
        left != 0
            ? g_strdup_printf(
                  "it went back from record %" G_GUINT64_FORMAT " already, and no further", left)
        : before != 0
            ? g_strdup_printf("it goes back to record %" G_GUINT64_FORMAT
                              " alone, the good one directly before record %" G_GUINT64_FORMAT,
                              before, last)
            : g_strdup("it keeps no good record before the newest");
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                "refuse to go back to record %" G_GUINT64_FORMAT
                " of the deploys: %s; deploy the older bundle as a new record",
                record, possible);
    return false;
}

Bundle *keep_go_back(Keep *keep, uint64_t record, const char *digest, Statement *ret_statement,
                     GError **error) {
    g_auto(Statement) statement = { 0 };
    g_autoptr(Bundle) bundle =
        may_go_back(keep, record, error) ? load(keep, record, &statement, error) : NULL;
    if (bundle == NULL)
        return NULL;
    if (strcmp(statement.digest, digest) != 0) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                    "refuse to go back to record %" G_GUINT64_FORMAT
                    " of the deploys: it is bundle 'sha256:%s' here, not 'sha256:%s'",
                    record, statement.digest, digest);
        return NULL;
    }
    uint64_t good[GOOD_MAX] = { record };
    for (unsigned i = 0; i + 1 < GOOD_MAX; i++)
        if (keep->good[i] == record)
            good[1] = keep->good[i + 1];
    if (keep_left(keep) == 0 && !write_good(keep, good, keep->last.record, error)) {
        g_prefix_error(error, "go back to record %" G_GUINT64_FORMAT " of the deploys: ", record);
        return NULL;
    }
    prune(keep);
    *ret_statement = statement;
    statement = (Statement){ 0 };
    return g_steal_pointer(&bundle);
}
