/* Helpers over the file operations that every host has. */
#include <string.h>

#include "host/host-ops.h"
#include "host/host.h"

bool host_exists(Host *host, const char *path) {
    FileInfo info;
    return host_stat(host, path, &info, NULL) && info.type != FILE_UNKNOWN;
}

static bool remove_below(Host *host, const char *path, const Cancel *cancel, GError **error);

/* Somebody else may be removing the same tree: what is gone already is as good as removed. */
static bool remove_entry(Host *host, const char *directory, const char *name, const Cancel *cancel,
                         GError **error) {
    g_autofree char *path =
        g_strconcat(directory, g_str_has_suffix(directory, "/") ? "" : "/", name, NULL);
    g_autoptr(GError) problem = NULL;
    if (remove_below(host, path, cancel, &problem) ||
        g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND))
        return true;
    g_propagate_error(error, g_steal_pointer(&problem));
    return false;
}

static bool remove_below(Host *host, const char *path, const Cancel *cancel, GError **error) {
    FileInfo info;
    if (!cancel_check(cancel, error) || !host_stat(host, path, &info, error))
        return false;
    if (info.type == FILE_DIRECTORY) {
        g_auto(GStrv) names = host_list(host, path, error);
        if (names == NULL)
            return false;
        for (char **name = names; *name != NULL; name++)
            if (!remove_entry(host, path, *name, cancel, error))
                return false;
    }
    return host_remove(host, path, error);
}

/* "/", "/etc/.." and the like would remove what nobody wrote down. */
static bool names_something(const char *path, GError **error) {
    g_autofree char *name = g_path_get_basename(path);
    if (strcmp(name, "/") != 0 && strcmp(name, ".") != 0 && strcmp(name, "..") != 0)
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED, "refuse to remove '%s': %s", path,
                strcmp(name, "/") == 0 ? "it is the root directory"
                                       : "the path must end in a name, not in dots");
    return false;
}

bool host_remove_tree(Host *host, const char *path, const Cancel *cancel, GError **error) {
    if (!host_path_check(path, error) || !names_something(path, error))
        return false;
    if (host->ops->remove_tree == NULL)
        return remove_below(host, path, cancel, error);
    bool done = host->ops->remove_tree(host, path, cancel, error);
    host_note_change(host);
    return done;
}

static bool make_with_parents(Host *host, const char *path, GError **error) {
    FileInfo info;
    g_autoptr(GError) problem = NULL;
    if (host_stat(host, path, &info, &problem)) {
        if (info.type != FILE_REGULAR && info.type != FILE_OTHER)
            return true;
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_EXISTS,
                    "create directory '%s': a file is in its place", path);
        return false;
    }
    if (!g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND)) {
        g_propagate_error(error, g_steal_pointer(&problem));
        return false;
    }
    if (!host_make_parents(host, path, error))
        return false;
    g_clear_error(&problem);
    if (host_make_directory(host, path, NULL, &problem) ||
        g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_EXISTS))
        return true;
    g_propagate_error(error, g_steal_pointer(&problem));
    return false;
}

bool host_make_parents(Host *host, const char *path, GError **error) {
    g_autofree char *parent = g_path_get_dirname(path);
    return strcmp(parent, "/") == 0 || make_with_parents(host, parent, error);
}
