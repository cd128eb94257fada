/* Copying a tree onto a directory of the host, and taking it away again. */
#include <string.h>

#include "kinds/file-tree.h"

static bool is_missing(const GError *error) {
    return g_error_matches(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND);
}

/* What went away by itself is as good as removed. */
static bool remove_path(KindRun *run, const char *path, bool with_all, GError **error) {
    g_autoptr(GError) problem = NULL;
    if (with_all ? host_remove_tree(run->host, path, run->cancel, &problem)
                 : host_remove(run->host, path, &problem))
        return true;
    if (is_missing(problem))
        return true;
    g_propagate_error(error, g_steal_pointer(&problem));
    return false;
}

static bool make_entry(KindRun *run, const FileTree *tree, const char *path, const TreeStep *step,
                       GError **error) {
    const TreeEntry *entry = step->entry;
    const FileAttributes *attributes = &step->attributes;
    if (entry->type == FILE_DIRECTORY)
        return host_make_directory(run->host, path, attributes, error);
    if (entry->type == FILE_SYMLINK)
        return host_make_link(run->host, path, entry->target, error) &&
               (attributes->set == 0 || host_set_attributes(run->host, path, attributes, error));
    g_autoptr(GBytes) content = file_tree_content(run, tree, entry, error);
    return content != NULL && host_write(run->host, path, content, attributes, error);
}

static bool apply_step(KindRun *run, const FileTree *tree, const char *path, const TreeStep *step,
                       GError **error) {
    switch (step->action) {
    case TREE_REMOVE:
        return remove_path(run, path, false, error);
    case TREE_REPLACE:
        /* Files and links replace each other in one step; only directories must go first. */
        if ((step->before == FILE_DIRECTORY || step->entry->type == FILE_DIRECTORY) &&
            !remove_path(run, path, step->before == FILE_DIRECTORY, error))
            return false;
        return make_entry(run, tree, path, step, error);
    case TREE_MAKE:
    case TREE_WRITE:
        return make_entry(run, tree, path, step, error);
    case TREE_ATTRIBUTES:
        return host_set_attributes(run->host, path, &step->attributes, error);
    }
    g_assert_not_reached();
}

bool file_tree_apply(KindRun *run, const FileTree *tree, const char *root, const GPtrArray *steps,
                     GError **error) {
    for (unsigned i = 0; i < steps->len; i++) {
        const TreeStep *step = steps->pdata[i];
        g_autofree char *path = g_build_filename(root, step->path, NULL);
        if (!cancel_check(run->cancel, error) || !apply_step(run, tree, path, step, error)) {
            g_prefix_error(error, "after %u of %u steps below '%s': ", i, steps->len, root);
            return false;
        }
    }
    return true;
}

void file_tree_digest(const FileTree *tree, char ret_hex[DIGEST_HEX_SIZE]) {
    g_autoptr(GString) text = g_string_new(NULL);
    for (unsigned i = 0; i < tree->entries->len; i++) {
        const TreeEntry *entry = tree->entries->pdata[i];
        const char *what = entry->type == FILE_REGULAR ? entry->digest : entry->target;
        g_string_append_printf(text, "%s%c%d %o %s%c", entry->path, '\0', entry->type, entry->mode,
                               what != NULL ? what : "", '\0');
    }
    digest_bytes(text->str, text->len, ret_hex);
}

Value *file_tree_owned(const FileTree *tree, const Value *owned, const GPtrArray *steps) {
    Value *map = value_new_map();
    for (size_t i = 0; owned != NULL && i < value_size(owned); i++) {
        const char *path;
        (void)value_map_at(owned, i, &path); /* only keys count */
        if (tree != NULL && g_hash_table_contains(tree->by_path, path))
            value_map_set(map, path, value_new_bool(true));
    }
    for (unsigned i = 0; i < steps->len; i++) {
        const TreeStep *step = steps->pdata[i];
        if (step->action == TREE_MAKE)
            value_map_set(map, step->path, value_new_bool(true));
    }
    return map;
}
