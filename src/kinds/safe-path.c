#include "kinds/safe-path.h"

#include <string.h>

#define LINKS_MAX 40 /* as the kernel follows */

typedef struct {
    Host *host;
    GString *at;        /* without links; "" for the root */
    FileInfo directory; /* what is at at */
    char *rest;
    unsigned n_links;
} Walk;

static void walk_clear(Walk *walk) {
    g_string_free(walk->at, TRUE);
    g_free(walk->rest);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Walk, walk_clear)

static void pop(GString *path) {
    const char *slash = strrchr(path->str, '/');
    g_string_truncate(path, slash != NULL ? (gsize)(slash - path->str) : 0);
}

static bool look_at_directory(Walk *walk, GError **error) {
    return host_stat(walk->host, walk->at->len > 0 ? walk->at->str : "/", &walk->directory, error);
}

static bool is_roots_own(const Walk *walk, const FileInfo *link) {
    bool open = (walk->directory.mode & 022) != 0 && (walk->directory.mode & 01000) == 0;
    return link->uid == 0 && walk->directory.uid == 0 && !open;
}

/* at names a link; goes on where it leads. */
static bool follow(Walk *walk, const FileInfo *link, GError **error) {
    if (host_is_privileged(walk->host) && !is_roots_own(walk, link)) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                    "refuse to follow the link '%s': somebody else than root could lead it "
                    "anywhere; replace it with what it points to",
                    walk->at->str);
        return false;
    }
    if (++walk->n_links > LINKS_MAX) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED,
                    "follow the link '%s': its links lead in a circle", walk->at->str);
        return false;
    }
    g_autofree char *target = host_read_link(walk->host, walk->at->str, error);
    if (target == NULL)
        return false;
    if (*target == '/')
        g_string_truncate(walk->at, 0);
    else
        pop(walk->at);
    g_autofree char *rest = g_steal_pointer(&walk->rest);
    walk->rest = g_strconcat(target, "/", rest, NULL);
    return look_at_directory(walk, error);
}

/* One name further. *ret_missing: nothing is there. */
static bool enter(Walk *walk, const char *name, bool *ret_missing, GError **error) {
    g_autoptr(GError) problem = NULL;
    FileInfo info;
    if (strcmp(name, ".") == 0)
        return true;
    if (strcmp(name, "..") == 0) {
        pop(walk->at);
        return look_at_directory(walk, error);
    }
    g_string_append_printf(walk->at, "/%s", name);
    if (host_stat(walk->host, walk->at->str, &info, &problem)) {
        if (info.type == FILE_SYMLINK)
            return follow(walk, &info, error);
        walk->directory = info;
        return true;
    }
    *ret_missing = g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND);
    if (!*ret_missing)
        g_propagate_error(error, g_steal_pointer(&problem));
    return *ret_missing;
}

char *safe_path(Host *host, const char *path, GError **error) {
    g_auto(Walk) walk = { .host = host, .at = g_string_new(NULL), .rest = g_strdup(path) };
    bool missing = false;
    if (!look_at_directory(&walk, error))
        return NULL;
    while (!missing) {
        const char *start = walk.rest + strspn(walk.rest, "/");
        size_t size = strcspn(start, "/");
        if (size == 0)
            break;
        g_autofree char *name = g_strndup(start, size);
        char *rest = g_strdup(start + size);
        g_free(walk.rest);
        walk.rest = rest;
        if (!enter(&walk, name, &missing, error))
            return NULL;
    }
    if (missing)
        g_string_append(walk.at, walk.rest);
    size_t length = walk.at->len;
    while (length > 1 && walk.at->str[length - 1] == '/')
        length--;
    g_string_truncate(walk.at, length);
    return walk.at->len > 0 ? g_strdup(walk.at->str) : g_strdup("/");
}
