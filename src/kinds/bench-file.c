/* What looking at a file that is right costs beside the bare lstat(2) of it. Prints microseconds
 * for each and their ratio; nothing is changed after the files are made. */
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "host/host-real.h"
#include "kinds/kind-test.h"
#include "kinds/kinds.h"

#define N_FILES  10000
#define N_ROUNDS 10

static double seconds(void) {
    return (double)g_get_monotonic_time() / 1e6;
}

static double stat_all(const char *root) {
    double best = 1e9;
    for (unsigned round = 0; round < N_ROUNDS; round++) {
        double start = seconds();
        for (unsigned i = 0; i < N_FILES; i++) {
            char path[256];
            struct stat st;
            g_snprintf(path, sizeof path, "%s/file-%u", root, i);
            g_assert_cmpint(lstat(path, &st), ==, 0);
        }
        best = MIN(best, seconds() - start);
    }
    return best / N_FILES * 1e6;
}

static void look(Host *host, const Resource *resource) {
    KindRun run = { .host = host, .resource = resource, .exit_code = -1 };
    g_autoptr(State) state = state_new(&kind_file);
    g_autoptr(Changes) changes = changes_new();
    g_assert_true(kind_file.observe(&run, state, NULL));
    g_assert_true(kind_file.diff(&run, state, changes, NULL));
    g_assert_true(changes_empty(changes));
}

static double look_at_all(Host *host, Resource *const *resources) {
    double best = 1e9;
    for (unsigned round = 0; round < N_ROUNDS; round++) {
        double start = seconds();
        for (unsigned i = 0; i < N_FILES; i++)
            look(host, resources[i]);
        best = MIN(best, seconds() - start);
    }
    return best / N_FILES * 1e6;
}

static Resource **make_all(Host *host, const char *directory, const char *owner) {
    Resource **resources = g_new0(Resource *, N_FILES);
    g_autoptr(KindTest) test = kind_test_new(host);
    for (unsigned i = 0; i < N_FILES; i++) {
        g_autofree char *name = g_strdup_printf("%s/file-%u", directory, i);
        g_autofree char *content = g_strdup_printf("content=file number %u of a benchmark\n", i);
        resources[i] = kind_test_resource(&kind_file, name, content, "mode=0644", owner, NULL);
        g_autoptr(KindRound) round = kind_test_round(test, resources[i]);
        g_assert_no_error(round->error);
    }
    return resources;
}

/* real: where directory is on this machine. */
static void measure(const char *what, Host *host, const char *directory, const char *real,
                    const char *owner) {
    Resource **resources = make_all(host, directory, owner);
    g_usleep(100000); /* beyond the window in which fingerprints are not trusted */
    (void)look_at_all(host, resources);
    double bare = stat_all(real), ours = look_at_all(host, resources);
    printf("%-32s %.2f us, bare lstat %.2f us: ratio %.2f\n", what, ours, bare, ours / bare);
    for (unsigned i = 0; i < N_FILES; i++)
        resource_unref(resources[i]);
    g_free(resources);
}

int main(void) {
    g_autofree char *root = g_dir_make_tmp("stead-bench-XXXXXX", NULL);
    g_autoptr(FingerprintCache) fingerprints = fingerprint_cache_new();
    g_autoptr(FingerprintCache) others = fingerprint_cache_new();
    g_autoptr(Host) machine = host_real_new(NULL, fingerprints, NULL);
    g_autoptr(Host) below = host_real_new(root, others, NULL);
    measure("content and mode", machine, root, root, NULL);
    measure("content, mode and owner", machine, root, root, "owner=root");
    measure("content and mode, below --root", below, "", root, NULL);
    g_assert_true(host_remove_tree(machine, root, NULL, NULL));
    return 0;
}
