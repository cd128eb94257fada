/* Snapshots of a member's host: a program of its own writes them, so that a slow disk holds nobody
 * up. Every member has its own, so that any one host is enough to begin again. */
#include "cluster/dump.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "cluster/supervisor-private.h"

#define FIRST_US (60 * (uint64_t)G_USEC_PER_SEC)

static uint64_t interval(const Supervisor *supervisor) {
    unsigned seconds = supervisor->options.snapshot_s;
    return (seconds ? seconds : CLUSTER_SNAPSHOT_S) * (uint64_t)G_USEC_PER_SEC;
}

static void on_written(void *data, int status) {
    Supervisor *supervisor = data;
    ward_stop(g_steal_pointer(&supervisor->snapshot), SIGKILL, 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        supervisor_tell(supervisor, true, "the snapshot was not written; the next is in %u s",
                        (unsigned)(interval(supervisor) / G_USEC_PER_SEC));
}

static void start(Supervisor *supervisor) {
    g_autoptr(GError) error = NULL;
    unsigned kept =
        supervisor->options.snapshots ? supervisor->options.snapshots : CLUSTER_SNAPSHOTS;
    g_autofree char *retain = g_strdup_printf("%u", kept);
    const char *const arguments[] = {
        "/proc/self/exe", "cluster", "snapshot", "--data", supervisor->berth->data,
        "--retain",       retain,    "--quiet",  NULL
    };
    supervisor->snapshot = ward_start(supervisor->loop, arguments, on_written, supervisor, &error);
    if (error)
        supervisor_tell(supervisor, true, "write a snapshot: %s", error->message);
}

void snapshot_if_due(Supervisor *supervisor) {
    uint64_t now = loop_now(supervisor->loop);
    if (!supervisor->etcd || !supervisor->berth->started || supervisor->snapshot)
        return;
    if (supervisor->snapshot_at == 0) {
        g_autofree char *directory = berth_path(supervisor->berth, "snapshots");
        int64_t age = snapshots_newest_age(directory, (int64_t)loop_wall_now(supervisor->loop));
        bool fresh = age >= 0 && (uint64_t)age < interval(supervisor);
        supervisor->snapshot_at = now + (fresh ? interval(supervisor) - (uint64_t)age
                                               : MIN(FIRST_US, interval(supervisor)));
    }
    if (now < supervisor->snapshot_at)
        return;
    supervisor->snapshot_at = now + interval(supervisor);
    start(supervisor);
}
