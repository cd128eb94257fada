#pragma once
/* What the real host knows of packages; shared by host-real-packages.c, host-real-apt.c,
 * host-real-lists.c and apt-job.c only. */
#include "host/dpkg-status.h"
#include "host/host-real-private.h"

#define STATUS_PATH  "/var/lib/dpkg/status"
#define UPDATES_PATH "/var/lib/dpkg/updates"
#define LISTS_PATH   "/var/lib/apt/lists"

#define N_APT_PATHS 7u /* what candidates depend on besides the database */

struct PackageDatabase {
    GMutex lock;
    DpkgStatus *status;     /* as read from the file that looked like status_info */
    FileInfo status_info;   /* of STATUS_PATH */
    FileInfo updates_info;  /* of UPDATES_PATH */
    bool has_updates;       /* there were some, so what was read may not last */
    FileInfo marks_info;    /* of apt's extended_states */
    GHashTable *candidates; /* name as asked -> version, or "" for none */
    GHashTable *dry_runs;   /* command line -> what it printed, as long as nothing changes */
    FileInfo apt_info[N_APT_PATHS + 2];
    unsigned apt_generation; /* counts changes of apt_info */
    GCond answered;
    bool asking;       /* somebody runs apt-cache */
    GPtrArray *wanted; /* char *: names for whom is to be asked next */

    bool alone;               /* no apt of an earlier stead is at work */
    int guard_fd;             /* of the transaction that runs; else -1. Of the changer alone */
    GThread *changer;         /* whose transaction it is, or NULL; atomic */
    GMutex changing;          /* held by the one transaction that runs */
    int64_t refreshed_at;     /* us, CLOCK_MONOTONIC; 0: not by this process */
    int64_t refreshed_source; /* newest ctime of the sources by then */
};

/* Reads dpkg's database again if it changed. With the lock. */
bool package_database_load(RealHost *self, GError **error);
/* Forgets what apt said when its lists or settings changed. With the lock. */
void package_database_freshen(RealHost *self);

bool apt_is_usable(RealHost *self, GError **error); /* below a root only root can run it */
/* A tool that is not there is STEAD_ERROR_UNSUPPORTED. */
bool apt_run(RealHost *self, char **argv, const char *const *env, Cancel *cancel,
             HostCommandResult *ret_result, GError **error);
bool dpkg_is_at_work(RealHost *self);
char *apt_text(GBytes *bytes); /* caller frees */
