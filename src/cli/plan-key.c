#include "cli/plan-key.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

static bool read_key(const char *path, PlanKey *ret_key) {
    g_autofree char *bytes = NULL;
    gsize size;
    if (!g_file_get_contents(path, &bytes, &size, NULL) || size != sizeof ret_key->bytes)
        return false;
    memcpy(ret_key->bytes, bytes, size);
    return true;
}

static bool write_key(const char *path, const PlanKey *key, GError **error) {
    g_autofree char *dir = g_path_get_dirname(path);
    if (g_mkdir_with_parents(dir, 0700) < 0)
        return set_io_error(error, errno, "create the state directory '%s'", dir);
    return g_file_set_contents_full(path, (const char *)key->bytes, sizeof key->bytes,
                                    G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE,
                                    0600, error);
}

bool plan_key_get(const char *state_dir, bool make, PlanKey *ret_key, GError **error) {
    g_autofree char *path = g_build_filename(state_dir, "plan.key", NULL);
    if (read_key(path, ret_key))
        return true;
    if (!make) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                    "check its secrets: there is no key '%s'; it was made with another state "
                    "directory (--state), make a new plan",
                    path);
        return false;
    }
    PlanKey fresh;
    if (getrandom(&fresh, sizeof fresh, 0) != (ssize_t)sizeof fresh)
        return set_io_error(error, errno, "make a key for '%s'", path);
    if (!write_key(path, &fresh, error))
        return false;
    *ret_key = fresh;
    return true;
}
