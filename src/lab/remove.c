#include "lab/remove.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/plural.h"
#include "lab/base.h"
#include "lab/cgroups.h"
#include "lab/tree.h"

#define PATIENCE_S 60 /* for a keeper, and all in it, to end after SIGKILL */

/* The directory with the record last: an interrupted removal is found again. */
static bool remove_parts(const Record *record, GError **error) {
    g_autofree char *group = cgroups_path(record->data, record->name, NULL);
    if (!process_end(&record->keeper, PATIENCE_S, error) || !cgroups_remove(group, error))
        return false;
    static const char *const parts[] = { "hosts", "common" };
    for (unsigned i = 0; i < G_N_ELEMENTS(parts); i++) {
        g_autofree char *path = g_build_filename(record->directory, parts[i], NULL);
        if (!tree_remove(path, error))
            return false;
    }
    return tree_remove(record->directory, error);
}

/* A number that is another process's after a boot is not the keeper's. */
static bool remove_locked(const Record *record, GError **error) {
    g_autofree char *boot = process_boot();
    Record known = *record;
    if (g_strcmp0(boot, record->boot) != 0)
        known.keeper = (ProcessId){ 0 };
    if (remove_parts(&known, error))
        return true;
    g_prefix_error(error, "remove lab '%s': ", record->name);
    return false;
}

bool remove_lab(const Record *record, GError **error) {
    int lock = record_lock(record->data, error);
    bool ok = lock >= 0 && remove_locked(record, error);
    if (lock >= 0)
        (void)close(lock);
    return ok;
}

/* --- leftovers -------------------------------------------------------------------------------- */

typedef struct {
    const char *data;
    GHashTable *live; /* names of labs that stay: char * -> whether it is up, as GINT_TO_POINTER */
    GHashTable *keepers; /* the numbers of their keepers: set of GINT_TO_POINTER */
    RemoveReport report;
    void *report_data;
} Sweep;

static void report(const Sweep *sweep, const char *format, ...) G_GNUC_PRINTF(2, 3);

static void report(const Sweep *sweep, const char *format, ...) {
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    sweep->report(sweep->report_data, text);
}

static bool sweep_labs(const Sweep *sweep, GError **error) {
    g_autoptr(GPtrArray) names = record_names(sweep->data);
    for (unsigned i = 0; i < names->len; i++) {
        const char *name = g_ptr_array_index(names, i);
        g_autoptr(Record) record = NULL;
        (void)record_read(sweep->data, name, &record, NULL); /* what is damaged is left over */
        if (record && record_is_live(record)) {
            g_hash_table_insert(sweep->live, g_strdup(name), GINT_TO_POINTER(record->is_up));
            g_hash_table_add(sweep->keepers, GINT_TO_POINTER((int)record->keeper.pid));
            continue;
        }
        g_autofree char *path = g_build_filename(sweep->data, "labs", name, NULL);
        if (record ? !remove_locked(record, error) : !tree_remove(path, error))
            return false;
        report(sweep, "removed what was left of lab '%s'", name);
    }
    return true;
}

/* Whether its command line is that of a keeper of these labs. One that is being set up looks after
 * its keeper itself: the record may say which it is only after we have read it. */
static bool is_loose_keeper(const Sweep *sweep, const char *pid) {
    g_autofree char *path = g_build_filename("/proc", pid, "cmdline", NULL), *text = NULL;
    g_autofree char *labs = g_build_filename(sweep->data, "labs/", NULL);
    static const char start[] = "stead\0lab\0keep";
    gsize size;
    if (!g_file_get_contents(path, &text, &size, NULL) || size <= sizeof start ||
        memcmp(text, start, sizeof start) != 0)
        return false;
    const char *directory = text + sizeof start;
    if (!g_str_has_prefix(directory, labs))
        return false;
    void *is_up;
    return !g_hash_table_lookup_extended(sweep->live, directory + strlen(labs), NULL, &is_up) ||
           GPOINTER_TO_INT(is_up);
}

/* Those whose record is gone, or names another. */
static bool sweep_keepers(const Sweep *sweep, GError **error) {
    g_autoptr(GDir) listing = g_dir_open("/proc", 0, error);
    const char *name;
    while (listing && (name = g_dir_read_name(listing))) {
        ProcessId id;
        if (!g_ascii_isdigit(*name) ||
            g_hash_table_contains(sweep->keepers, GINT_TO_POINTER(atoi(name))) ||
            !process_identify(atoi(name), &id) || !is_loose_keeper(sweep, name))
            continue;
        if (!process_end(&id, PATIENCE_S, error))
            return false;
        report(sweep, "ended the keeper %s, which had no lab", name);
    }
    return listing;
}

static bool sweep_groups(const Sweep *sweep, GError **error) {
    g_autofree char *all = cgroups_path(sweep->data, NULL, NULL);
    g_autoptr(GPtrArray) names = cgroups_below(all);
    for (unsigned i = 0; i < names->len; i++) {
        const char *name = g_ptr_array_index(names, i);
        g_autofree char *group = cgroups_path(sweep->data, name, NULL);
        if (g_hash_table_contains(sweep->live, name))
            continue;
        if (!cgroups_remove(group, error))
            return false;
        report(sweep, "removed the control groups of lab '%s'", name);
    }
    return true;
}

static bool sweep_bases(const Sweep *sweep, GError **error) {
    unsigned removed;
    if (!base_sweep(sweep->data, &removed, error))
        return false;
    if (removed > 0)
        report(sweep, "removed %u unfinished %s", removed, plural(removed, "base", "bases"));
    return true;
}

bool remove_leftovers(const char *data, RemoveReport reporter, void *report_data, GError **error) {
    Sweep sweep = { data, g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
                    g_hash_table_new(NULL, NULL), reporter, report_data };
    int lock = record_lock(data, error);
    bool ok = lock >= 0 && sweep_labs(&sweep, error) && sweep_keepers(&sweep, error) &&
              sweep_groups(&sweep, error) && sweep_bases(&sweep, error);
    if (lock >= 0)
        (void)close(lock);
    g_hash_table_unref(sweep.live);
    g_hash_table_unref(sweep.keepers);
    return ok;
}
