/* The lists of what the sources of apt have. */
#include <fcntl.h>
#include <sys/stat.h>

#include "base/suggest.h"
#include "host/apt-job.h"
#include "host/apt.h"

#define REFRESH_AGAIN_US (300 * G_USEC_PER_SEC)

/* The latest change of any of them, by the clock of this machine: what a mirror says of its files
 * does not count. 0: there is nothing. */
static int64_t latest_change(RealHost *self, const char *const *paths) {
    int64_t latest = 0;
    for (; *paths != NULL; paths++) {
        FileInfo info;
        if (real_stat(&self->host, *paths, &info, NULL))
            latest = MAX(latest, info.ctime_ns);
        g_auto(GStrv) names = real_list(&self->host, *paths, NULL);
        for (char **name = names; name != NULL && *name != NULL; name++) {
            g_autofree char *path = g_build_filename(*paths, *name, NULL);
            if (real_stat(&self->host, path, &info, NULL))
                latest = MAX(latest, info.ctime_ns);
        }
    }
    return latest;
}

static int64_t sources_change(RealHost *self) {
    static const char *const sources[] = { "/etc/apt/sources.list", "/etc/apt/sources.list.d",
                                           NULL };
    return latest_change(self, sources);
}

static bool has_reason(RealHost *self, PackageRefresh why) {
    static const char *const lists[] = { LISTS_PATH, NULL };
    PackageDatabase *database = self->packages;
    int64_t sources = sources_change(self);
    if (why == REFRESH_STALE)
        return sources > latest_change(self, lists);
    bool recent = database->refreshed_at != 0 &&
                  g_get_monotonic_time() - database->refreshed_at < REFRESH_AGAIN_US;
    return why == REFRESH_ALWAYS || !recent || sources != database->refreshed_source;
}

/* What was fetched may have been there before: the directory says when somebody looked. */
static void note_refresh(RealHost *self) {
    g_autofree char *path = real_local_path(self, LISTS_PATH);
    (void)utimensat(AT_FDCWD, path, NULL, 0); /* else it is fetched once more */
    self->packages->refreshed_at = g_get_monotonic_time();
    self->packages->refreshed_source = sources_change(self);
}

bool real_package_refresh(Host *host, PackageRefresh why, const char *path, bool *ret_done,
                          Cancel *cancel, GError **error) {
    AptJob job = apt_job_new(real_host(host), NULL, 0, cancel);
    RealHost *self = job.self;
    if (!apt_is_usable(self, error) || !apt_job_begin(&job, error))
        return false;
    bool ok = true;
    if (path != NULL || has_reason(self, why)) {
        g_auto(GStrv) argv = apt_update(path);
        *ret_done = true;
        ok = apt_job_run(&job, argv, error);
        if (path == NULL)
            note_refresh(self);
    }
    apt_job_end(&job);
    if (!ok)
        g_prefix_error(error, "fetch the lists of packages: ");
    return ok;
}

char *real_package_suggest(Host *host, const char *name) {
    static char program[] = "apt-cache", verb[] = "pkgnames";
    char *argv[] = { program, verb, NULL };
    RealHost *self = real_host(host);
    g_auto(HostCommandResult) result = { 0 };
    if (!apt_is_usable(self, NULL) ||
        !apt_run(self, argv, apt_environment(NULL, 0), NULL, &result, NULL) ||
        result.exit_status != 0)
        return NULL;
    g_autofree char *text = apt_text(result.out);
    g_auto(GStrv) names = g_strsplit(text, "\n", -1);
    return g_strdup(suggest_nearest(name, (const char *const *)names, g_strv_length(names)));
}
