#include "kinds/hint.h"

#include <errno.h>

typedef struct {
    int errno_value;
    int privileged; /* 1: only when we are root, 0: only when not, -1: both */
    const char *text;
} Hint;

static const Hint hints[] = {
    { EPERM, 1, "it may be immutable: 'lsattr -d' on '%s' shows it, 'chattr -i' ends it" },
    { EPERM, 0, "only root may do that: run stead as root" },
    { EACCES, 0, "run stead as root, or below a --root that belongs to you" },
    { EROFS, -1, "its file system is mounted read-only: see 'findmnt -T %s'" },
    { ENOSPC, -1, "see 'df -h %s' and 'df -i'" },
    { EDQUOT, -1, "a disk quota is used up: see 'quota'" },
    { ETXTBSY, -1, "a running program is written in place: stop what runs '%s'" },
};

/* set_io_error() ends each message with strerror(). */
static bool is_about(const GError *error, int errno_value) {
    return error->domain == STEAD_ERROR &&
           g_str_has_suffix(error->message, g_strerror(errno_value));
}

bool hint_io(KindRun *run, const char *path, GError **error) {
    int privileged = host_is_privileged(run->host);
    for (size_t i = 0; error != NULL && *error != NULL && i < G_N_ELEMENTS(hints); i++) {
        const Hint *hint = &hints[i];
        if (!is_about(*error, hint->errno_value) ||
            (hint->privileged >= 0 && hint->privileged != privileged))
            continue;
        g_auto(GStrv) parts = g_strsplit(hint->text, "%s", 2);
        g_autofree char *text = g_strjoinv(path, parts);
        g_autofree char *message = g_steal_pointer(&(*error)->message);
        (*error)->message = g_strdup_printf("%s: %s", message, text);
        break;
    }
    return false;
}
