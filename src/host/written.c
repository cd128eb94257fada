#include "host/written.h"

#include <string.h>

#include "host/host-ops.h"
#include "host/host-real-private.h"

typedef struct {
    const Host *host; /* only compared; NULL: nothing was noted */
    char *path;
    FileInfo info;
    GBytes *content;
} Written;

static _Thread_local Written last;

void written_note(const Host *host, const char *path, const struct stat *st, GBytes *content) {
    if (host_writer() == 0)
        return; /* nobody would tell us when to forget it */
    written_forget();
    last = (Written){ .host = host, .path = g_strdup(path), .content = g_bytes_ref(content) };
    file_info_from_stat(st, &last.info);
}

bool written_digest(const Host *host, const char *path, const FileInfo *info,
                    char ret_hex[DIGEST_HEX_SIZE]) {
    /* Giving it its name or other attributes changes its ctime, and nothing else of these. */
    if (last.host != host || info->type != FILE_REGULAR || last.info.inode != info->inode ||
        last.info.device != info->device || last.info.size != info->size ||
        last.info.mtime_ns != info->mtime_ns || strcmp(last.path, path) != 0)
        return false;
    size_t size;
    const void *data = g_bytes_get_data(last.content, &size);
    if (size != info->size)
        return false;
    digest_bytes(data, size, ret_hex);
    return true;
}

void written_forget(void) {
    if (last.host == NULL)
        return;
    g_free(last.path);
    g_bytes_unref(last.content);
    last = (Written){ 0 };
}
