#include "host/test-host.h"

#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

void write_text(Host *host, const char *path, const char *text) {
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) content = g_bytes_new(text, strlen(text));
    bool good = host_write(host, path, content, NULL, &error);
    g_assert_no_error(error);
    g_assert_true(good);
}

void write_mode(Host *host, const char *path, const char *text, mode_t mode) {
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) content = g_bytes_new(text, strlen(text));
    FileAttributes attributes = { .set = FILE_SET_MODE, .mode = mode };
    bool good = host_write(host, path, content, &attributes, &error);
    g_assert_no_error(error);
    g_assert_true(good);
}

void directory(Host *host, const char *path) {
    g_autoptr(GError) error = NULL;
    bool good = host_make_directory(host, path, NULL, &error);
    g_assert_no_error(error);
    g_assert_true(good);
}

void make_link(Host *host, const char *path, const char *target) {
    g_autoptr(GError) error = NULL;
    bool good = host_make_link(host, path, target, &error);
    g_assert_no_error(error);
    g_assert_true(good);
}

void remove_path(Host *host, const char *path) {
    g_autoptr(GError) error = NULL;
    bool good = host_remove(host, path, &error);
    g_assert_no_error(error);
    g_assert_true(good);
}

void set_mode(Host *host, const char *path, mode_t mode) {
    g_autoptr(GError) error = NULL;
    FileAttributes attributes = { .set = FILE_SET_MODE, .mode = mode };
    bool good = host_set_attributes(host, path, &attributes, &error);
    g_assert_no_error(error);
    g_assert_true(good);
}

FileInfo info_of(Host *host, const char *path) {
    g_autoptr(GError) error = NULL;
    FileInfo info;
    bool good = host_stat(host, path, &info, &error);
    g_assert_no_error(error);
    g_assert_true(good);
    return info;
}

void expect_text(Host *host, const char *path, const char *text) {
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) content = host_read(host, path, 1 << 20, &error);
    g_assert_no_error(error);
    size_t size;
    const void *data = g_bytes_get_data(content, &size);
    g_assert_cmpmem(data, size, text, strlen(text));
}

void expect_list(Host *host, const char *path, const char *names) {
    g_autoptr(GError) error = NULL;
    g_auto(GStrv) list = host_list(host, path, &error);
    g_assert_no_error(error);
    g_autofree char *text = g_strjoinv(" ", list);
    g_assert_cmpstr(text, ==, names);
}

void expect_target(Host *host, const char *path, const char *target) {
    g_autoptr(GError) error = NULL;
    g_autofree char *found = host_read_link(host, path, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(found, ==, target);
}

static void snapshot_path(Host *host, const char *path, GString *out) {
    FileInfo info = info_of(host, path);
    g_string_append_printf(out, "%s %d %04o %u:%u", path, info.type, info.mode, info.uid, info.gid);
    if (info.type == FILE_REGULAR) {
        char hex[DIGEST_HEX_SIZE];
        g_assert_true(host_digest(host, path, &info, hex, NULL));
        g_string_append_printf(out, " %s %" G_GUINT64_FORMAT, hex, info.size);
    } else if (info.type == FILE_SYMLINK) {
        g_autofree char *target = host_read_link(host, path, NULL);
        g_string_append_printf(out, " -> %s", target);
    }
    g_string_append_c(out, '\n');
    if (info.type != FILE_DIRECTORY)
        return;
    g_auto(GStrv) names = host_list(host, path, NULL);
    for (char **name = names; *name != NULL; name++) {
        g_autofree char *below = g_build_filename(path, *name, NULL);
        snapshot_path(host, below, out);
    }
}

char *test_snapshot(Host *host) {
    GString *out = g_string_new(NULL);
    snapshot_path(host, "/", out);
    return g_string_free(out, FALSE);
}

/* --- a directory for a real host --- */

static char root[64];
static pid_t root_owner; /* children that fork off leave it alone */

/* Only what a signal handler may do. */
static void root_remove(void) {
    if (root[0] == '\0' || getpid() != root_owner)
        return;
    pid_t pid = fork();
    if (pid == 0) {
        (void)execl("/bin/rm", "rm", "-rf", root, NULL);
        _exit(1);
    }
    if (pid > 0)
        (void)waitpid(pid, NULL, 0);
    root[0] = '\0';
}

/* A failed assertion raises SIGABRT, g_error() SIGTRAP. The default action follows. */
static void on_failure(int signal_number) {
    root_remove();
    (void)signal(signal_number, SIG_DFL);
    (void)raise(signal_number);
}

const char *test_root_new(void) {
    g_assert_cmpint(root[0], ==, '\0');
    char path[] = "/tmp/stead-host-XXXXXX";
    g_assert_nonnull(mkdtemp(path));
    root_owner = getpid();
    g_strlcpy(root, path, sizeof root);
    g_assert_cmpint(chmod(root, 0755), ==, 0);
    (void)signal(SIGABRT, on_failure);
    (void)signal(SIGTRAP, on_failure);
    return root;
}

void test_root_free(void) {
    root_remove();
    g_assert_cmpint(root[0], ==, '\0');
}

bool test_own_network(void) {
    return unshare(CLONE_NEWNET | CLONE_NEWNS) == 0 &&
           mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("proc", "/proc", "proc", 0, NULL) == 0;
}
