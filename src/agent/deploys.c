#include "agent/deploys.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/disk.h"
#include "base/error.h"

#define CHAIN "stead keys " /* begins a list, and not a line */

struct Deploys {
    char *directory, *pinned;
    KeyList *keys; /* NULL: none are pinned */
    Keep *keep;    /* NULL as long as there are no keys */
};

void placed_clear(Placed *placed) {
    g_free(placed->message);
    g_free(placed->directory);
    g_free(placed->file);
    *placed = (Placed){ 0 };
}

static char *path_of(const Deploys *deploys, const char *name) {
    return g_build_filename(deploys->directory, name, NULL);
}

/* --- keys */

/* The text of a file that need not be there; NULL without error. */
static char *read_optional(const char *path, size_t limit, GError **error) {
    g_autoptr(GError) problem = NULL;
    g_autoptr(GBytes) bytes = disk_read(path, limit, &problem);
    if (bytes)
        return g_strndup(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
    if (!g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND))
        g_propagate_error(error, g_steal_pointer(&problem));
    return NULL;
}

static KeyList *read_pinned(const char *text, GError **error) {
    return g_str_has_prefix(text, CHAIN) ? key_list_of_chain(text, strlen(text), error)
                                         : key_list_of_lines(text, error);
}

/* Without the list that was followed, keys that were retired would count again: it is not passed
 * over when it is damaged. */
static KeyList *read_keys(const Deploys *deploys, GError **error) {
    g_autofree char *path = path_of(deploys, "keys");
    g_autoptr(GError) problem = NULL;
    g_autofree char *lines = read_optional(deploys->pinned, KEY_CHAIN_MAX, &problem);
    g_autofree char *chain = lines ? read_optional(path, KEY_CHAIN_MAX, &problem) : NULL;
    g_autoptr(KeyList) pinned = lines && !problem ? read_pinned(lines, &problem) : NULL;
    if (problem) {
        g_propagate_prefixed_error(error, g_steal_pointer(&problem),
                                   "read the keys of deploys '%s': ", deploys->pinned);
        return NULL;
    }
    if (!pinned || !chain)
        return g_steal_pointer(&pinned);
    KeyList *list = key_list_advance(pinned, chain, strlen(chain), error);
    if (!list)
        g_prefix_error(error,
                       "the list of keys '%s' is damaged, or not of the keys in '%s'; compare it "
                       "with the fleet's, then remove it: ",
                       path, deploys->pinned);
    return list;
}

/* Reads them when there were none: they can be pinned at any time. */
static bool open_keys(Deploys *deploys, GError **error) {
    g_autoptr(GError) problem = NULL;
    if (deploys->keep)
        return true;
    deploys->keys = read_keys(deploys, &problem);
    g_autofree char *kept = path_of(deploys, "kept");
    if (deploys->keys)
        deploys->keep = keep_open(kept, deploys->keys, &problem);
    if (deploys->keep)
        return true;
    g_clear_pointer(&deploys->keys, key_list_unref);
    if (problem)
        g_propagate_error(error, g_steal_pointer(&problem));
    else
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                    "no deploy is accepted here: no key of who may deploy is pinned; 'stead agent "
                    "pin KEY' pins one");
    return false;
}

bool deploys_has_keys(const Deploys *deploys) {
    return deploys->keep != NULL;
}

bool deploys_follow_keys(Deploys *deploys, const char *text, size_t size, GError **error) {
    if (!open_keys(deploys, error))
        return false;
    if (!g_str_has_prefix(text, CHAIN))
        return true;
    g_autoptr(KeyList) list = key_list_advance(deploys->keys, text, size, error);
    if (!list)
        return false;
    if (key_list_number(list) == key_list_number(deploys->keys))
        return true;
    g_autofree char *path = path_of(deploys, "keys");
    if (!disk_replace(path, text, size, 0600, error))
        return false;
    keep_set_keys(deploys->keep, list);
    key_list_unref(deploys->keys);
    deploys->keys = g_steal_pointer(&list);
    return true;
}

/* --- life */

static bool make_directories(const Deploys *deploys, GError **error) {
    g_autofree char *run = path_of(deploys, "run");
    return g_mkdir_with_parents(run, 0700) == 0 ||
           set_io_error(error, errno, "make the directory '%s'", run);
}

Deploys *deploys_open(const char *directory, const char *pinned, GError **error) {
    g_autoptr(Deploys) deploys = g_new0(Deploys, 1);
    deploys->directory = g_canonicalize_filename(directory, NULL);
    deploys->pinned = g_strdup(pinned);
    if (!make_directories(deploys, error))
        return NULL;
    deploys_tidy(deploys, NULL, NULL);
    return deploys_point(deploys, NULL, error) ? g_steal_pointer(&deploys) : NULL;
}

void deploys_free(Deploys *deploys) {
    if (!deploys)
        return;
    keep_free(deploys->keep);
    key_list_unref(deploys->keys);
    g_free(deploys->directory);
    g_free(deploys->pinned);
    g_free(deploys);
}

uint64_t deploys_last(const Deploys *deploys) {
    const Statement *last = deploys->keep ? keep_last(deploys->keep) : NULL;
    return last ? last->record : 0;
}

uint64_t deploys_left(const Deploys *deploys) {
    return deploys->keep ? keep_left(deploys->keep) : 0;
}

/* --- unpacking */

/* A directory of its own each time: what is there is from before, or half done. */
static bool unpack(const Deploys *deploys, const Bundle *bundle, const Statement *statement,
                   Placed *ret_placed, GError **error) {
    g_autofree char *run = path_of(deploys, "run");
    g_autofree char *id = g_uuid_string_random();
    id[8] = '\0'; /* enough among the few that are there at once */
    g_autofree char *name = g_strdup_printf("%" G_GUINT64_FORMAT ".%s", statement->record, id);
    g_autofree char *directory = g_build_filename(run, name, NULL);
    if (!bundle_unpack(bundle, directory, true, error))
        return false;
    *ret_placed = (Placed){ .record = statement->record,
                            .time = statement->time,
                            .message = g_strdup(statement->message),
                            .file = g_build_filename(directory, BUNDLE_MAIN, NULL) };
    ret_placed->directory = g_steal_pointer(&directory);
    g_strlcpy(ret_placed->digest, statement->digest, sizeof ret_placed->digest);
    return true;
}

static bool is_one_of(const char *path, const char *one, const char *other) {
    return g_strcmp0(path, one) == 0 || g_strcmp0(path, other) == 0;
}

void deploys_tidy(Deploys *deploys, const char *current, const char *previous) {
    g_autofree char *run = path_of(deploys, "run");
    g_autoptr(GDir) dir = g_dir_open(run, 0, NULL);
    for (const char *name; dir && (name = g_dir_read_name(dir));) {
        g_autofree char *path = g_build_filename(run, name, NULL);
        if (!is_one_of(path, current, previous))
            disk_remove_tree(path); /* what stays is found the next time */
    }
}

bool deploys_point(const Deploys *deploys, const char *directory, GError **error) {
    g_autofree char *path = path_of(deploys, DEPLOYS_CURRENT);
    if (!directory)
        return unlink(path) == 0 || errno == ENOENT ||
               set_io_error(error, errno, "remove '%s'", path);
    g_autofree char *name = g_path_get_basename(directory);
    g_autofree char *target = g_build_filename("run", name, NULL);
    g_autofree char *fresh = g_strconcat(path, ".new", NULL);
    (void)unlink(fresh); /* of who was killed in between */
    if (symlink(target, fresh) == 0 && rename(fresh, path) == 0)
        return true;
    return set_io_error(error, errno, "make '%s' lead to '%s'", path, target);
}

/* --- taking up */

bool deploys_load(Deploys *deploys, Placed *ret_placed, GPtrArray *problems) {
    GError *error = NULL;
    g_auto(Statement) statement = { 0 };
    g_autoptr(Bundle) bundle = NULL;
    if (open_keys(deploys, &error))
        bundle = keep_load(deploys->keep, &statement, problems);
    if (bundle && unpack(deploys, bundle, &statement, ret_placed, &error))
        return true;
    if (error)
        g_ptr_array_add(problems, error);
    return false;
}

/* The hub's words about a deploy against what was signed. */
static bool is_as_told(uint64_t record, const char *digest, const Statement *statement,
                       GError **error) {
    if (statement->record != record)
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                    "refuse record %" G_GUINT64_FORMAT
                    " of the deploys: what the hub has as its statement is that of record "
                    "%" G_GUINT64_FORMAT,
                    record, statement->record);
    else if (strcmp(statement->digest, digest) != 0)
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                    "refuse record %" G_GUINT64_FORMAT
                    " of the deploys: the hub calls it bundle 'sha256:%s', and 'sha256:%s' was "
                    "signed",
                    record, digest, statement->digest);
    else
        return true;
    return false;
}

bool deploys_accept(Deploys *deploys, const DeployOffer *offer, Placed *ret_placed,
                    GError **error) {
    g_auto(Statement) statement = { 0 };
    size_t size;
    const char *text = g_bytes_get_data(offer->statement, &size);
    if (!open_keys(deploys, error) || !statement_read(text, size, &statement, error) ||
        !is_as_told(offer->record, offer->digest, &statement, error))
        return false;
    g_autoptr(Bundle) bundle = keep_accept(deploys->keep, offer->statement, offer->packed, error);
    return bundle && unpack(deploys, bundle, &statement, ret_placed, error);
}

bool deploys_go_back(Deploys *deploys, uint64_t record, const char *digest, Placed *ret_placed,
                     GError **error) {
    g_auto(Statement) statement = { 0 };
    if (!open_keys(deploys, error))
        return false;
    g_autoptr(Bundle) bundle = keep_go_back(deploys->keep, record, digest, &statement, error);
    return bundle && unpack(deploys, bundle, &statement, ret_placed, error);
}

bool deploys_set_good(Deploys *deploys, uint64_t record, GError **error) {
    return open_keys(deploys, error) && keep_set_good(deploys->keep, record, error);
}
