/* Helpers over the file operations that every host has. */
#include <string.h>

#include "host/host-ops.h"
#include "host/host-overlay.h"
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

/* --- moving */

#define PREDICTED_BYTES                                                                            \
    (16u * 1024 * 1024) /* of files that a prediction moves with their content */

typedef struct {
    Host *host;
    const Cancel *cancel;
    uint64_t left; /* bytes that may still be read */
} Move;

static bool copy_file(Move *move, const char *from, const char *to, const FileInfo *info,
                      const FileAttributes *attributes, GError **error) {
    if (host_is_prediction(move->host) && info->size > move->left) {
        host_overlay_mark_unknown(move->host, to);
        return true;
    }
    move->left -= MIN(info->size, move->left);
    g_autoptr(GBytes) content = host_read(move->host, from, SIZE_MAX, error);
    return content != NULL && host_write(move->host, to, content, attributes, error);
}

static bool copy_entry(Move *move, const char *from, const char *to, GError **error);

static bool copy_directory(Move *move, const char *from, const char *to,
                           const FileAttributes *attributes, GError **error) {
    g_auto(GStrv) names = host_list(move->host, from, error);
    if (names == NULL || !host_make_directory(move->host, to, attributes, error))
        return false;
    for (char **name = names; *name != NULL; name++) {
        g_autofree char *source = g_build_filename(from, *name, NULL);
        g_autofree char *target = g_build_filename(to, *name, NULL);
        if (!copy_entry(move, source, target, error))
            return false;
    }
    return true;
}

static bool copy_entry(Move *move, const char *from, const char *to, GError **error) {
    Host *host = move->host;
    FileInfo info;
    if (!cancel_check(move->cancel, error) || !host_stat(host, from, &info, error))
        return false;
    FileAttributes attributes = { FILE_SET_MODE, info.mode, info.uid, info.gid };
    if (host_is_privileged(host))
        attributes.set |= FILE_SET_UID | FILE_SET_GID;
    if (info.type == FILE_DIRECTORY)
        return copy_directory(move, from, to, &attributes, error);
    if (info.type == FILE_REGULAR)
        return copy_file(move, from, to, &info, &attributes, error);
    if (info.type != FILE_SYMLINK) {
        if (host_is_prediction(host))
            host_overlay_mark_unknown(host, to);
        return true;
    }
    g_autofree char *target = host_read_link(host, from, error);
    attributes.set &= ~(unsigned)FILE_SET_MODE;
    return target != NULL && host_make_link(host, to, target, error) &&
           (attributes.set == 0 || host_set_attributes(host, to, &attributes, error));
}

bool host_move(Host *host, const char *from, const char *to, const Cancel *cancel, GError **error) {
    if (!host_path_check(from, error) || !host_path_check(to, error) ||
        !names_something(from, error) || !cancel_check(cancel, error))
        return false;
    if (host->ops->move != NULL) {
        bool done = host->ops->move(host, from, to, error);
        host_note_change(host);
        return done;
    }
    FileInfo info;
    if (host_stat(host, to, &info, NULL)) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_EXISTS,
                    "move '%s' to '%s': it is there already", from, to);
        return false;
    }
    Move move = { host, cancel, PREDICTED_BYTES };
    return copy_entry(&move, from, to, error) && host_remove_tree(host, from, cancel, error);
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
