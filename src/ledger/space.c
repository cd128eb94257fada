/* Room for what a run will write, asked for before its first effect. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/error.h"
#include "ledger/ledger-private.h"

/* Measured with 10,000 files: 460 bytes a row in ledger.db, 250 in intent.log; the WAL holds as
 * much as ledger.db at first and is then kept at 4 MiB, the intent log is compacted at 1 MiB. */
#define BASE_BYTES   (64 * UINT64_C(1024)) /* schema and index of the WAL */
#define ROW_BYTES    UINT64_C(700)
#define INTENT_BYTES UINT64_C(250)
#define WAL_MAX      (5 * UINT64_C(1024) * 1024)
#define INTENTS_MAX  (2 * UINT64_C(1024) * 1024)

/* ledger.db, its -wal and -shm, intent.log and its successor, the directory of pre-images. */
#define LEDGER_FILES 6

static uint64_t bytes_needed(uint64_t n, uint64_t size) {
    uint64_t rows = n * ROW_BYTES + 2 * size;
    return BASE_BYTES + rows + MIN(rows, WAL_MAX) + MIN(n * INTENT_BYTES + size, INTENTS_MAX);
}

/* What an ordinary writer may still use; all ones: unknown. */
static uint64_t bytes_free(const char *dir) {
    struct statvfs st;
    return statvfs(dir, &st) == 0 ? (uint64_t)st.f_bavail * st.f_frsize : UINT64_MAX;
}

static char *show_size(uint64_t bytes) {
    if (bytes < 1024 * 1024)
        return g_strdup_printf("%" G_GUINT64_FORMAT " KiB", (bytes + 1023) / 1024);
    return g_strdup_printf("%.1f MiB", (double)bytes / (1024 * 1024));
}

/* A file without a name that takes the space for a moment: unlike numbers of the file system this
 * counts quotas and reserved blocks. 0 or an errno; EOPNOTSUPP: cannot be tried here. */
static int try_space(const char *dir, uint64_t need) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur < need)
        return EOPNOTSUPP; /* would raise SIGXFSZ, and is no limit of the file system */
    int fd = open(dir, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno == ENOSPC || errno == EDQUOT ? errno : EOPNOTSUPP;
    int problem = fallocate(fd, 0, 0, (off_t)need) == 0 ? 0 : errno;
    (void)close(fd); /* nothing was written */
    return problem == ENOSPC || problem == EDQUOT || problem == 0 ? problem : EOPNOTSUPP;
}

/* Of a file system that counts files: whether those that a ledger consists of can be made. */
static bool has_room_for_files(const char *dir) {
    struct statvfs info;
    return statvfs(dir, &info) != 0 || info.f_files == 0 || info.f_favail >= LEDGER_FILES;
}

bool ledger_reserve(Ledger *ledger, uint64_t n, uint64_t size, GError **error) {
    g_assert(ledger->mode == LEDGER_WRITE);
    uint64_t need = bytes_needed(n, size), left = bytes_free(ledger->dir);
    if (!has_room_for_files(ledger->dir)) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_IO,
                    "write '%s': %s: noting what is done needs up to %d more files there; make "
                    "room (see 'df -i %s') or keep the state elsewhere with --state; nothing was "
                    "changed",
                    ledger->dir, g_strerror(ENOSPC), LEDGER_FILES, ledger->dir);
        return false;
    }
    int problem = try_space(ledger->dir, need);
    if (problem == EOPNOTSUPP)
        problem = left < need ? ENOSPC : 0;
    if (problem == 0) {
        g_atomic_int_set(&ledger->reserved, true);
        return true;
    }
    g_autofree char *wanted = show_size(need), *found = show_size(left);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_IO,
                "write '%s': %s: noting what is done needs about %s there, and %s are free; make "
                "room (see 'df -h %s' and 'df -i %s') or keep the state elsewhere with --state; "
                "nothing was changed",
                ledger->dir, g_strerror(problem), wanted, found, ledger->dir, ledger->dir);
    return false;
}
