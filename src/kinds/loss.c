#include "kinds/loss.h"

#include "base/limits.h"

#define NAMES_SHOWN 3
#define ENTRIES_MAX 500000u /* counted; what holds more is only ever "more than" that */
#define ITSELF      ""

void loss_clear(Loss *loss) {
    if (loss->names != NULL)
        g_string_free(loss->names, TRUE);
    *loss = (Loss){ 0 };
}

static void add_name(Loss *loss, const char *name, bool is_directory) {
    if (loss->names == NULL)
        loss->names = g_string_new(NULL);
    if (loss->n_names < NAMES_SHOWN)
        g_string_append_printf(loss->names, "%s%s%s", loss->n_names > 0 ? ", " : "", name,
                               is_directory ? "/" : "");
    loss->n_names++;
}

typedef struct {
    Loss *loss;
    KindRun *run;
    const char *root;
    GHashTable *spared; /* NULL: nothing is */
} Count;

static bool count_directory(const Count *count, const char *below, unsigned depth, GError **error);

/* below: relative to the root; *ret_info says what it is. False with error, or without when it is
 * not there any more. */
static bool count_entry(const Count *count, const char *below, unsigned depth, FileInfo *ret_info,
                        GError **error) {
    Loss *loss = count->loss;
    g_autofree char *path = g_build_filename(count->root, below, NULL);
    g_autoptr(GError) problem = NULL;
    if (!host_stat(count->run->host, path, ret_info, &problem)) {
        if (!g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND))
            g_propagate_error(error, g_steal_pointer(&problem));
        return false;
    }
    bool is_spared = count->spared != NULL && g_hash_table_contains(count->spared, below);
    if (!is_spared)
        loss->n_entries++;
    if (!is_spared && ret_info->type == FILE_REGULAR)
        loss->bytes += ret_info->size;
    return ret_info->type != FILE_DIRECTORY || count_directory(count, below, depth + 1, error);
}

static bool count_directory(const Count *count, const char *below, unsigned depth, GError **error) {
    Loss *loss = count->loss;
    if (loss->n_entries > ENTRIES_MAX || depth > LIMIT_NESTING)
        return true;
    g_autofree char *path = g_build_filename(count->root, below, NULL);
    g_autoptr(GError) problem = NULL;
    g_auto(GStrv) names = host_list(count->run->host, path, &problem);
    if (names == NULL && !g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND)) {
        g_propagate_error(error, g_steal_pointer(&problem));
        return false;
    }
    for (char **name = names; name != NULL && *name != NULL; name++) {
        g_autofree char *inside =
            *below != '\0' ? g_build_filename(below, *name, NULL) : g_strdup(*name);
        FileInfo info;
        g_autoptr(GError) own = NULL;
        unsigned n_before = loss->n_entries;
        if (!cancel_check(count->run->cancel, error))
            return false;
        bool there = count_entry(count, inside, depth, &info, &own);
        if (own != NULL) {
            g_propagate_error(error, g_steal_pointer(&own));
            return false;
        }
        if (there && depth == 0 && loss->n_entries > n_before)
            add_name(loss, *name, info.type == FILE_DIRECTORY);
    }
    return true;
}

bool loss_add(Loss *loss, KindRun *run, const char *path, const char *directory, GError **error) {
    FileInfo info;
    g_autoptr(GError) problem = NULL;
    if (host_stat(run->host, path, &info, &problem)) {
        loss->n_entries++;
        loss->bytes += info.type == FILE_REGULAR ? info.size : 0;
        if (directory != NULL)
            add_name(loss, directory, true);
        return true;
    }
    if (g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND))
        return true;
    g_propagate_error(error, g_steal_pointer(&problem));
    return false;
}

bool loss_add_inside(Loss *loss, KindRun *run, const char *directory, GHashTable *spared,
                     GError **error) {
    Count count = { loss, run, directory, spared };
    return count_directory(&count, "", 0, error);
}

/* Plain ASCII, in powers of 1000, whatever the locale. */
static char *size_text(uint64_t bytes) {
    static const char *const units[] = { "kB", "MB", "GB", "TB", "PB" };
    double size = (double)bytes / 1000;
    unsigned unit = 0;
    if (bytes < 1000)
        return g_strdup_printf("%u %s", (unsigned)bytes, bytes == 1 ? "byte" : "bytes");
    for (; size >= 999.95 && unit + 1 < G_N_ELEMENTS(units); unit++)
        size /= 1000;
    return g_strdup_printf("%.1f %s", size, units[unit]);
}

char *loss_text(const Loss *loss) {
    g_autofree char *size = size_text(loss->bytes);
    bool many = loss->n_entries > ENTRIES_MAX;
    return g_strdup_printf(
        "%s%u %s, %s (%s%s)", many ? "more than " : "", many ? ENTRIES_MAX : loss->n_entries,
        loss->n_entries == 1 ? "entry" : "entries", size,
        loss->names != NULL ? loss->names->str : "", loss->n_names > NAMES_SHOWN ? ", ..." : "");
}

bool loss_allow(const Loss *loss, bool force, const char *what, Changes *changes, GError **error) {
    if (loss->n_entries == 0)
        return true;
    g_autofree char *text = loss_text(loss);
    if (force) {
        changes_add(changes, LOSS_PROPERTY, NULL, value_new_string(text), NULL);
        return true;
    }
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                "%s: it still holds %s; set force = true to lose them too", what, text);
    return false;
}
