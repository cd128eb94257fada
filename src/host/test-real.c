#include "host/test-real.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What a failed assertion would leave behind. */
static char *to_remove;

static void on_abort(int signal_number) {
    if (to_remove != NULL && vfork() == 0) {
        execl("/bin/rm", "rm", "-rf", to_remove, NULL);
        _exit(127);
    }
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

void real_fixture_set_up(RealFixture *fixture, gconstpointer has_root) {
    fixture->scratch = g_strdup("/tmp/stead-test-XXXXXX");
    g_assert_nonnull(g_mkdtemp(fixture->scratch));
    g_assert_cmpint(chmod(fixture->scratch, 0755), ==, 0);
    to_remove = fixture->scratch;
    signal(SIGABRT, on_abort);
    signal(SIGTRAP, on_abort); /* g_error() */
    fixture->has_root = has_root != NULL;
    fixture->fingerprints = fingerprint_cache_new();
    g_autoptr(GError) error = NULL;
    fixture->host =
        host_real_new(has_root ? fixture->scratch : NULL, fixture->fingerprints, &error);
    g_assert_no_error(error);
    g_assert_nonnull(fixture->host);
}

void real_fixture_tear_down(RealFixture *fixture, gconstpointer has_root) {
    host_free(fixture->host);
    fingerprint_cache_free(fixture->fingerprints);
    to_remove = NULL;
    scratch_run(fixture, "cd /; rm -rf \"$OLDPWD\"");
    g_free(fixture->scratch);
}

char *scratch_local(RealFixture *fixture, const char *path) {
    return g_strconcat(fixture->scratch, path, NULL);
}

char *scratch_path(RealFixture *fixture, const char *path) {
    return fixture->has_root ? g_strdup(path) : scratch_local(fixture, path);
}

void scratch_put(RealFixture *fixture, const char *path, const char *text) {
    g_autofree char *local = scratch_local(fixture, path);
    FILE *file = fopen(local, "we");
    g_assert_nonnull(file);
    g_assert_cmpint(fputs(text, file), >=, 0);
    g_assert_cmpint(fclose(file), ==, 0);
}

char *scratch_get(RealFixture *fixture, const char *path) {
    g_autofree char *local = scratch_local(fixture, path);
    char *text = NULL;
    g_autoptr(GError) error = NULL;
    g_file_get_contents(local, &text, NULL, &error);
    g_assert_no_error(error);
    return text;
}

void scratch_run(RealFixture *fixture, const char *shell_command) {
    char *argv[] = { g_strdup("/bin/sh"), g_strdup("-ec"), g_strdup(shell_command), NULL };
    int status = -1;
    g_autoptr(GError) error = NULL;
    g_spawn_sync(fixture->scratch, argv, NULL, 0, NULL, NULL, NULL, NULL, &status, &error);
    g_assert_no_error(error);
    g_assert_cmpint(status, ==, 0);
    for (int i = 0; argv[i] != NULL; i++)
        g_free(argv[i]);
}

bool put(RealFixture *fixture, const char *path, const char *text, const FileAttributes *attributes,
         GError **error) {
    g_autofree char *name = scratch_path(fixture, path);
    g_autoptr(GBytes) content = g_bytes_new(text, strlen(text));
    return host_write(fixture->host, name, content, attributes, error);
}

void add_real_test(const char *path, void (*test)(RealFixture *fixture, gconstpointer has_root)) {
    g_autofree char *root = g_strconcat(path, "/root", NULL);
    g_autofree char *machine = g_strconcat(path, "/machine", NULL);
    g_test_add(root, RealFixture, "root", real_fixture_set_up, test, real_fixture_tear_down);
    g_test_add(machine, RealFixture, NULL, real_fixture_set_up, test, real_fixture_tear_down);
}
