/* Files on the real host, below a scratch directory: as the root of the host and by whole paths. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "host/host-real-private.h"
#include "host/test-real.h"

#define TEMPORARY_OF_F ".stead.af63db4c8601ead9.tmp" /* FNV-1a of "f" */

static FileInfo stat_of(RealFixture *fixture, const char *path) {
    g_autofree char *name = scratch_path(fixture, path);
    g_autoptr(GError) error = NULL;
    FileInfo info;
    host_stat(fixture->host, name, &info, &error);
    g_assert_no_error(error);
    return info;
}

static void assert_absent(RealFixture *fixture, const char *path) {
    g_autofree char *name = scratch_path(fixture, path);
    g_autoptr(GError) error = NULL;
    FileInfo info;
    g_assert_false(host_stat(fixture->host, name, &info, &error));
    assert_code(error, STEAD_ERROR_NOT_FOUND);
    g_assert_nonnull(strstr(error->message, name));
}

static void assert_put(RealFixture *fixture, const char *path, const char *text) {
    g_autoptr(GError) error = NULL;
    g_assert_true(put(fixture, path, text, NULL, &error));
    g_assert_no_error(error);
}

static void assert_text(RealFixture *fixture, const char *path, const char *expected) {
    g_autofree char *text = scratch_get(fixture, path);
    g_assert_cmpstr(text, ==, expected);
}

/* No temporary may be left behind. */
static void assert_names(RealFixture *fixture, const char *path, const char *expected) {
    g_autofree char *name = scratch_path(fixture, path);
    g_autoptr(GError) error = NULL;
    g_auto(GStrv) names = host_list(fixture->host, name, &error);
    g_assert_no_error(error);
    g_autofree char *joined = g_strjoinv(" ", names);
    g_assert_cmpstr(joined, ==, expected);
}

static void test_write_new(RealFixture *fixture, gconstpointer has_root) {
    mode_t before = umask(077);
    assert_put(fixture, "/f", "hello\n");
    umask(before);
    assert_text(fixture, "/f", "hello\n");
    FileInfo info = stat_of(fixture, "/f");
    g_assert_cmpint(info.type, ==, FILE_REGULAR);
    g_assert_cmphex(info.mode, ==, 0644);
    g_assert_cmpuint(info.size, ==, 6);
    g_assert_cmpuint(info.uid, ==, geteuid());
    assert_put(fixture, "/empty", "");
    g_assert_cmpuint(stat_of(fixture, "/empty").size, ==, 0);
    assert_names(fixture, "/", "empty f");
}

static void test_write_attributes(RealFixture *fixture, gconstpointer has_root) {
    FileAttributes attributes = { .set = FILE_SET_MODE, .mode = 04751 };
    g_autoptr(GError) error = NULL;
    if (geteuid() == 0) {
        attributes.set |= FILE_SET_UID | FILE_SET_GID;
        attributes.uid = 12;
        attributes.gid = 34;
    }
    g_assert_true(put(fixture, "/f", "x", &attributes, &error));
    g_assert_no_error(error);
    FileInfo info = stat_of(fixture, "/f");
    g_assert_cmphex(info.mode, ==, 04751);
    g_assert_cmpuint(info.uid, ==, geteuid() == 0 ? 12 : geteuid());
    g_assert_cmpuint(info.gid, ==, geteuid() == 0 ? 34 : getegid());

    assert_put(fixture, "/f", "longer content"); /* what is not said stays */
    FileInfo kept = stat_of(fixture, "/f");
    g_assert_cmphex(kept.mode, ==, 04751);
    g_assert_cmpuint(kept.uid, ==, info.uid);
    g_assert_cmpuint(kept.gid, ==, info.gid);
    g_assert_cmpuint(kept.inode, !=, info.inode);
    assert_text(fixture, "/f", "longer content");
}

static void test_write_keeps_xattrs(RealFixture *fixture, gconstpointer has_root) {
    scratch_put(fixture, "/f", "old");
    g_autofree char *local = scratch_local(fixture, "/f");
    static const unsigned char access_list[] = {
        2,  0, 0, 0,                         /* version */
        1,  0, 6, 0, 0xff, 0xff, 0xff, 0xff, /* user::rw- */
        2,  0, 4, 0, 77,   0,    0,    0,    /* user:77:r-- */
        4,  0, 4, 0, 0xff, 0xff, 0xff, 0xff, /* group::r-- */
        16, 0, 4, 0, 0xff, 0xff, 0xff, 0xff, /* mask::r-- */
        32, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, /* other::--- */
    };
    if (setxattr(local, "user.note", "mine", 4, 0) != 0 ||
        setxattr(local, "system.posix_acl_access", access_list, sizeof access_list, 0) != 0) {
        g_test_skip("the file system of /tmp has no extended attributes");
        return;
    }
    assert_put(fixture, "/f", "new");
    char value[256];
    g_assert_cmpint(getxattr(local, "user.note", value, sizeof value), ==, 4);
    g_assert_cmpmem(value, 4, "mine", 4);
    ssize_t size = getxattr(local, "system.posix_acl_access", value, sizeof value);
    g_assert_cmpmem(value, (size_t)MAX(size, 0), access_list, sizeof access_list);
    g_assert_cmphex(stat_of(fixture, "/f").mode, ==, 0640);
    assert_text(fixture, "/f", "new");
}

static void test_write_replaces_link(RealFixture *fixture, gconstpointer has_root) {
    scratch_put(fixture, "/target", "untouched");
    scratch_run(fixture, "ln -s target f");
    assert_put(fixture, "/f", "new");
    assert_text(fixture, "/target", "untouched");
    g_assert_cmpint(stat_of(fixture, "/f").type, ==, FILE_REGULAR);
    g_assert_cmphex(stat_of(fixture, "/f").mode, ==, 0644);
}

static void test_write_refuses_directory(RealFixture *fixture, gconstpointer has_root) {
    scratch_run(fixture, "mkdir f");
    g_autoptr(GError) error = NULL;
    g_assert_false(put(fixture, "/f", "x", NULL, &error));
    assert_code(error, STEAD_ERROR_EXISTS);
    g_assert_nonnull(strstr(error->message, "a directory is in its place"));
    g_clear_error(&error);
    g_assert_false(put(fixture, "/no/f", "x", NULL, &error));
    assert_code(error, STEAD_ERROR_NOT_FOUND);
    assert_names(fixture, "/", "f");
}

/* As on a system where files must be made with a name. */
static void write_with_names(RealFixture *fixture) {
    real_host(fixture->host)->cannot_name = true;
}

static void test_write_over_leftover(RealFixture *fixture, gconstpointer has_root) {
    write_with_names(fixture);
    scratch_put(fixture, "/" TEMPORARY_OF_F, "half wri");
    assert_put(fixture, "/f", "whole");
    assert_text(fixture, "/f", "whole");
    scratch_run(fixture, "ln -s /nowhere " TEMPORARY_OF_F);
    assert_put(fixture, "/f", "whole again");
    assert_text(fixture, "/f", "whole again");
    assert_names(fixture, "/", "f");
}

static void test_write_waits_for_other(RealFixture *fixture, gconstpointer has_root) {
    write_with_names(fixture);
    g_autofree char *temporary = scratch_local(fixture, "/" TEMPORARY_OF_F);
    g_autofree char *final = scratch_local(fixture, "/f");
    int ready[2];
    g_assert_cmpint(pipe(ready), ==, 0);
    pid_t other = fork();
    if (other == 0) { /* another stead, slowly writing the same path */
        int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (fd < 0 || flock(fd, LOCK_EX) != 0 || write(fd, "th", 2) != 2 ||
            write(ready[1], "x", 1) != 1)
            _exit(1);
        g_usleep(300000);
        _exit(write(fd, "eirs", 4) != 4 || rename(temporary, final) != 0);
    }
    char byte;
    close(ready[1]);
    g_assert_cmpint(read(ready[0], &byte, 1), ==, 1);
    close(ready[0]);
    assert_put(fixture, "/f", "ours");
    assert_text(fixture, "/f", "ours");
    int status;
    g_assert_cmpint(waitpid(other, &status, 0), ==, other);
    g_assert_cmpint(status, ==, 0); /* its rename was not disturbed */
    assert_names(fixture, "/", "f");
}

/* What is new has no name before it is whole: no temporary is seen at any time, nor does one that
 * is there matter. */
static void test_write_nameless(RealFixture *fixture, gconstpointer has_root) {
    int fd = open(fixture->scratch, O_WRONLY | O_TMPFILE | O_CLOEXEC, 0600);
    if (fd < 0) {
        g_test_skip("the file system of /tmp has no files without names");
        return;
    }
    (void)close(fd);
    scratch_put(fixture, "/" TEMPORARY_OF_F, "theirs");
    g_autofree char *local = scratch_local(fixture, "/" TEMPORARY_OF_F);
    fd = open(local, O_RDONLY | O_CLOEXEC);
    g_assert_cmpint(flock(fd, LOCK_EX), ==, 0);
    assert_put(fixture, "/f", "ours"); /* nobody to wait for */
    (void)close(fd);
    assert_text(fixture, "/" TEMPORARY_OF_F, "theirs");
    assert_text(fixture, "/f", "ours");
    g_assert_false(real_host(fixture->host)->cannot_name);
}

/* The same result where files must be made with a name. */
static void test_write_named(RealFixture *fixture, gconstpointer has_root) {
    write_with_names(fixture);
    test_write_new(fixture, has_root);
    g_autofree char *name = scratch_path(fixture, "/f");
    g_assert_true(host_remove(fixture->host, name, NULL));
    test_write_attributes(fixture, has_root);
}

typedef struct {
    RealFixture *fixture;
    int index;
} Writer;

static gpointer write_often(gpointer data) {
    Writer *writer = data;
    char text[4096];
    memset(text, 'a' + writer->index, sizeof text);
    text[sizeof text - 1] = '\0';
    for (int i = 0; i < 100; i++)
        assert_put(writer->fixture, "/f", text);
    return NULL;
}

static void test_write_race(RealFixture *fixture, gconstpointer has_root) {
    Writer writers[4];
    GThread *threads[4];
    for (int i = 0; i < 4; i++) {
        writers[i] = (Writer){ fixture, i };
        threads[i] = g_thread_new("writer", write_often, &writers[i]);
    }
    for (int i = 0; i < 400; i++) {
        g_autofree char *local = scratch_local(fixture, "/f");
        g_autofree char *text = NULL;
        size_t size;
        if (!g_file_get_contents(local, &text, &size, NULL))
            continue;
        g_assert_cmpuint(size, ==, 4095);
        g_assert_cmpuint(strspn(text, (char[]){ text[0], '\0' }), ==, 4095);
    }
    for (int i = 0; i < 4; i++)
        g_thread_join(threads[i]);
    assert_names(fixture, "/", "f");
}

static void test_clean(RealFixture *fixture, gconstpointer has_root) {
    scratch_put(fixture, "/" TEMPORARY_OF_F, "half wri");
    g_autofree char *name = scratch_path(fixture, "/f");
    g_autofree char *missing = scratch_path(fixture, "/no/such/f");
    g_autoptr(GError) error = NULL;
    g_assert_true(host_real_clean(fixture->host, name, &error));
    g_assert_true(host_real_clean(fixture->host, name, &error));
    g_assert_true(host_real_clean(fixture->host, missing, &error));
    g_assert_no_error(error);
    assert_names(fixture, "/", "");
}

/* kill -9 at any instant: the file is there, old or new, and whole. */
static void test_kill(RealFixture *fixture, gconstpointer has_root) {
    scratch_put(fixture, "/f", "old");
    g_autofree char *large = g_strnfill(300000, 'n');
    for (int i = 0; i < 30; i++) {
        pid_t pid = fork();
        if (pid == 0)
            for (;;)
                put(fixture, "/f", large, NULL, NULL);
        g_usleep((gulong)g_test_rand_int_range(100, 3000));
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        g_autofree char *text = scratch_get(fixture, "/f");
        g_assert_true(strcmp(text, "old") == 0 || strcmp(text, large) == 0);
    }
    g_autofree char *name = scratch_path(fixture, "/f");
    g_assert_true(host_real_clean(fixture->host, name, NULL));
    assert_names(fixture, "/", "f");
}

/* The same for a file that was not there: it is whole or missing, and nothing else is left. */
static void test_kill_new(RealFixture *fixture, gconstpointer has_root) {
    g_autofree char *large = g_strnfill(300000, 'n');
    g_autofree char *name = scratch_path(fixture, "/f");
    unsigned seen = 0;
    for (int i = 0; i < 30; i++) {
        pid_t pid = fork();
        if (pid == 0)
            for (;;) {
                put(fixture, "/f", large, NULL, NULL);
                host_remove(fixture->host, name, NULL);
            }
        g_usleep((gulong)g_test_rand_int_range(100, 3000));
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        g_autoptr(GError) error = NULL;
        g_autoptr(GBytes) found = host_read(fixture->host, name, 1 << 20, &error);
        if (found == NULL)
            assert_code(error, STEAD_ERROR_NOT_FOUND);
        else
            g_assert_cmpmem(g_bytes_get_data(found, NULL), g_bytes_get_size(found), large, 300000);
        seen += found != NULL;
        assert_names(fixture, "/", found != NULL ? "f" : "");
        (void)host_remove(fixture->host, name, NULL); /* what is replaced goes another way */
    }
    g_test_message("there after %u of 30 kills", seen);
}

static void test_clean_tree(RealFixture *fixture, gconstpointer has_root) {
    scratch_run(fixture,
                "mkdir -p d/sub/deep out && echo x > d/" TEMPORARY_OF_F
                " && echo x > d/sub/deep/" TEMPORARY_OF_F " && echo x > d/sub/f"
                " && ln -s /nowhere d/sub/" TEMPORARY_OF_F " && echo x > out/" TEMPORARY_OF_F
                " && ln -s ../out d/link && echo x > d/.stead.mine");
    g_autofree char *d = scratch_path(fixture, "/d");
    g_autofree char *link = scratch_path(fixture, "/d/link");
    g_autofree char *missing = scratch_path(fixture, "/no/such");
    g_autoptr(GError) error = NULL;
    g_assert_true(host_real_clean_tree(fixture->host, d, NULL, &error));
    g_assert_true(host_real_clean_tree(fixture->host, link, NULL, &error));
    g_assert_true(host_real_clean_tree(fixture->host, missing, NULL, &error));
    g_assert_no_error(error);
    assert_names(fixture, "/d", ".stead.mine link sub");
    assert_names(fixture, "/d/sub", "deep f");
    assert_names(fixture, "/d/sub/deep", "");
    assert_names(fixture, "/out", TEMPORARY_OF_F);
    scratch_put(fixture, "/d/sub/" TEMPORARY_OF_F, "being written");
    g_autofree char *local = scratch_local(fixture, "/d/sub/" TEMPORARY_OF_F);
    int fd = open(local, O_RDONLY | O_CLOEXEC);
    g_assert_cmpint(flock(fd, LOCK_EX), ==, 0);
    g_assert_true(host_real_clean_tree(fixture->host, d, NULL, &error));
    assert_names(fixture, "/d/sub", TEMPORARY_OF_F " deep f");
    (void)close(fd);
    g_autoptr(Cancel) cancel = cancel_new(0);
    cancel_request(cancel);
    g_assert_false(host_real_clean_tree(fixture->host, d, cancel, &error));
    assert_code(error, STEAD_ERROR_CANCELLED);
}

/* In a child: mounts something in a mount namespace of our own, and opens the host there. */
static bool mount_privately(RealFixture *fixture, const char *from, const char *to,
                            const char *type, const char *options) {
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount(from, to, type, type != NULL ? 0 : MS_BIND, options) != 0)
        return false;
    fixture->host = host_real_new(fixture->has_root ? fixture->scratch : NULL, NULL, NULL);
    return true;
}

/* A full disk: a small tmpfs. */
static int fill_disk(RealFixture *fixture) {
    g_autofree char *local = scratch_local(fixture, "/small");
    if (!mount_privately(fixture, "none", local, "tmpfs", "size=64k"))
        return 77;
    g_autoptr(GError) error = NULL;
    assert_put(fixture, "/small/f", "old");
    g_autofree char *large = g_strnfill(1000000, 'x');
    g_assert_false(put(fixture, "/small/f", large, NULL, &error));
    g_assert_nonnull(strstr(error->message, "/small/f"));
    g_assert_nonnull(strstr(error->message, "the old content is untouched"));
    g_assert_nonnull(strstr(error->message, "No space left"));
    assert_text(fixture, "/small/f", "old");
    assert_names(fixture, "/small", "f");
    return 0;
}

static void test_full_disk(RealFixture *fixture, gconstpointer has_root) {
    scratch_run(fixture, "mkdir small");
    pid_t pid = fork();
    if (pid == 0)
        _exit(fill_disk(fixture));
    int status;
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        g_test_skip("may not mount here");
    else
        g_assert_cmpint(status, ==, 0);
}

static int write_mount_point(RealFixture *fixture) {
    g_autofree char *from = scratch_local(fixture, "/from");
    g_autofree char *to = scratch_local(fixture, "/f");
    if (!mount_privately(fixture, from, to, NULL, NULL))
        return 77;
    FileAttributes owner = { .set = FILE_SET_UID, .uid = 12 };
    g_autoptr(GError) error = NULL;
    g_assert_true(put(fixture, "/f", "new", &owner, &error));
    g_assert_no_error(error);
    assert_text(fixture, "/f", "new");
    assert_text(fixture, "/from", "new");
    g_assert_cmpuint(stat_of(fixture, "/f").uid, ==, 12);
    g_assert_cmphex(stat_of(fixture, "/f").mode, ==, 04755); /* chown(2) takes set-id away */
    assert_names(fixture, "/", "f from");
    return 0;
}

/* As container engines mount /etc/hosts. */
static void test_mounted_file(RealFixture *fixture, gconstpointer has_root) {
    scratch_put(fixture, "/from", "longer than the new one");
    scratch_put(fixture, "/f", "below");
    scratch_run(fixture, "chmod 4755 from");
    pid_t pid = fork();
    if (pid == 0)
        _exit(write_mount_point(fixture));
    int status;
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        g_test_skip("may not mount here");
    else
        g_assert_cmpint(status, ==, 0);
}

static void test_read(RealFixture *fixture, gconstpointer has_root) {
    scratch_put(fixture, "/f", "content");
    scratch_run(fixture, "ln -s f link; mkfifo pipe; mkdir d");
    g_autofree char *link = scratch_path(fixture, "/link");
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) content = host_read(fixture->host, link, 7, &error);
    g_assert_no_error(error);
    g_assert_cmpmem(g_bytes_get_data(content, NULL), g_bytes_get_size(content), "content", 7);
    g_assert_null(host_read(fixture->host, link, 6, &error));
    assert_code(error, STEAD_ERROR_LIMIT);
    g_clear_error(&error);
    const char *const wrong[] = { "/pipe", "/d" };
    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autofree char *path = scratch_path(fixture, wrong[i]);
        g_assert_null(host_read(fixture->host, path, 100, &error));
        assert_code(error, STEAD_ERROR_EXISTS);
        g_clear_error(&error);
    }
    g_assert_null(host_read(fixture->host, "relative", 100, &error));
    assert_code(error, STEAD_ERROR_REFUSED);
    g_clear_error(&error);
    g_autofree char *local = scratch_local(fixture, "/f");
    g_autoptr(GBytes) beside = host_read_local(fixture->host, local, 100, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(g_bytes_get_size(beside), ==, 7);
    g_autoptr(GBytes) proc = host_read_local(fixture->host, "/proc/self/status", 100000, &error);
    g_assert_no_error(error); /* its size is said to be 0 */
    g_assert_cmpuint(g_bytes_get_size(proc), >, 100);
    g_assert_null(host_read_local(fixture->host, "/proc/self/status", 100, &error));
    assert_code(error, STEAD_ERROR_LIMIT);
}

static void assert_digest(RealFixture *fixture, const char *path, const FileInfo *info,
                          const char *text, size_t size) {
    g_autofree char *name = scratch_path(fixture, path);
    char hex[DIGEST_HEX_SIZE], expected[DIGEST_HEX_SIZE];
    g_autoptr(GError) error = NULL;
    host_digest(fixture->host, name, info, hex, &error);
    g_assert_no_error(error);
    digest_bytes(text, size, expected);
    g_assert_cmpstr(hex, ==, expected);
}

static void test_digest(RealFixture *fixture, gconstpointer has_root) {
    const size_t sizes[] = { 0, 1, 65535, 65536, 65537, 200000 };
    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autofree char *text = g_strnfill(sizes[i], 'd');
        scratch_put(fixture, "/f", text);
        assert_digest(fixture, "/f", NULL, text, sizes[i]);
    }
}

static void test_digest_remembers(RealFixture *fixture, gconstpointer has_root) {
    g_autofree char *name = scratch_path(fixture, "/f");
    char hex[DIGEST_HEX_SIZE];
    FileInfo fresh;
    /* Read so soon after it was written, it may have changed since without a trace. On a busy
     * machine it may be read later. */
    bool remembered = true;
    for (int i = 0; i < 100 && remembered; i++) {
        scratch_put(fixture, "/f", "aaaa");
        fresh = stat_of(fixture, "/f");
        assert_digest(fixture, "/f", &fresh, "aaaa", 4);
        remembered = fingerprint_find(fixture->fingerprints, name, &fresh, hex);
    }
    g_assert_false(remembered);
    g_usleep(30000);
    assert_digest(fixture, "/f", &fresh, "aaaa", 4);
    g_assert_true(fingerprint_find(fixture->fingerprints, name, &fresh, hex));
    /* Proof that it is the memory that answers now. */
    fingerprint_put(fixture->fingerprints, name, &fresh, fresh.ctime_ns + 1000000000,
                    "00000000000000000000000000000000000000000000000000000000000000ff");
    g_assert_true(host_digest(fixture->host, name, &fresh, hex, NULL));
    g_assert_true(g_str_has_suffix(hex, "00ff"));
    scratch_put(fixture, "/f", "bbbb");
    FileInfo changed = stat_of(fixture, "/f");
    assert_digest(fixture, "/f", &changed, "bbbb", 4);
    g_assert_true(host_remove(fixture->host, name, NULL));
    g_assert_false(fingerprint_find(fixture->fingerprints, name, &changed, hex));
}

/* What this thread has just written need not be read back; what has changed since is. */
static void test_digest_of_written(RealFixture *fixture, gconstpointer has_root) {
    g_autofree char *local = scratch_local(fixture, "/f");
    for (int replaced = 0; replaced < 2; replaced++) {
        host_writer_begin(1);
        assert_put(fixture, "/f", "ours");
        FileInfo info = stat_of(fixture, "/f");
        assert_digest(fixture, "/f", &info, "ours", 4);
        struct timespec times[2] = { { .tv_nsec = UTIME_OMIT },
                                     { .tv_sec = info.mtime_ns / 1000000000,
                                       .tv_nsec = info.mtime_ns % 1000000000 } };
        /* Nobody turns back the clock in this instant; it shows that nothing is read. */
        scratch_run(fixture, "printf evil > f");
        g_assert_cmpint(utimensat(AT_FDCWD, local, times, 0), ==, 0);
        info = stat_of(fixture, "/f");
        assert_digest(fixture, "/f", &info, "ours", 4);
        assert_digest(fixture, "/f", NULL, "evil", 4);
        times[1].tv_sec++;
        g_assert_cmpint(utimensat(AT_FDCWD, local, times, 0), ==, 0);
        info = stat_of(fixture, "/f");
        assert_digest(fixture, "/f", &info, "evil", 4);
        /* Another file in its place, with the same times. */
        assert_put(fixture, "/f", "ours");
        FileInfo again = stat_of(fixture, "/f");
        scratch_run(fixture, "cp -p f g; printf evil > g; touch -r f g; mv g f");
        info = stat_of(fixture, "/f");
        g_assert_cmpint(info.mtime_ns, ==, again.mtime_ns);
        assert_digest(fixture, "/f", &info, "evil", 4);
        assert_put(fixture, "/f", "ours");
        for (int after = 0; after < 2; after++) {
            info = stat_of(fixture, "/f");
            times[1] = (struct timespec){ .tv_sec = info.mtime_ns / 1000000000,
                                          .tv_nsec = info.mtime_ns % 1000000000 };
            scratch_run(fixture, "printf evil > f");
            g_assert_cmpint(utimensat(AT_FDCWD, local, times, 0), ==, 0);
            if (after == 0)
                host_writer_end(); /* nothing is remembered any more */
            info = stat_of(fixture, "/f");
            assert_digest(fixture, "/f", &info, "evil", 4);
            assert_put(fixture, "/f", "ours"); /* and nothing is noted */
        }
    }
}

static void test_directory(RealFixture *fixture, gconstpointer has_root) {
    g_autofree char *d = scratch_path(fixture, "/d");
    g_autofree char *secret = scratch_path(fixture, "/d/secret");
    g_autoptr(GError) error = NULL;
    mode_t before = umask(077);
    g_assert_true(host_make_directory(fixture->host, d, NULL, &error));
    FileAttributes attributes = { .set = FILE_SET_MODE, .mode = 01730 };
    g_assert_true(host_make_directory(fixture->host, secret, &attributes, &error));
    umask(before);
    g_assert_no_error(error);
    g_assert_cmphex(stat_of(fixture, "/d").mode, ==, 0755);
    g_assert_cmphex(stat_of(fixture, "/d/secret").mode, ==, 01730);
    g_assert_false(host_make_directory(fixture->host, d, NULL, &error));
    assert_code(error, STEAD_ERROR_EXISTS);
    g_clear_error(&error);
    g_assert_false(host_remove(fixture->host, d, &error));
    assert_code(error, STEAD_ERROR_IO);
    g_assert_true(host_remove(fixture->host, secret, NULL));
    g_assert_true(host_remove(fixture->host, d, NULL));
    assert_absent(fixture, "/d");
}

static void test_parents(RealFixture *fixture, gconstpointer has_root) {
    g_autofree char *deep = scratch_path(fixture, "/a/b/c/f");
    g_autoptr(GError) error = NULL;
    g_assert_true(host_make_parents(fixture->host, deep, &error));
    g_assert_true(host_make_parents(fixture->host, deep, &error));
    g_assert_no_error(error);
    g_assert_cmpint(stat_of(fixture, "/a/b/c").type, ==, FILE_DIRECTORY);
    assert_absent(fixture, "/a/b/c/f");
    assert_put(fixture, "/a/file", "in the way");
    g_autofree char *blocked = scratch_path(fixture, "/a/file/f");
    g_assert_false(host_make_parents(fixture->host, blocked, &error));
    assert_code(error, STEAD_ERROR_EXISTS);
}

static void test_link(RealFixture *fixture, gconstpointer has_root) {
    g_autofree char *link = scratch_path(fixture, "/link");
    g_autofree char *d = scratch_path(fixture, "/d");
    g_autoptr(GError) error = NULL;
    g_assert_true(host_make_link(fixture->host, link, "one", &error));
    g_assert_true(host_make_link(fixture->host, link, "two", &error));
    scratch_run(fixture, "mkdir d; rm link; echo file > link");
    g_assert_true(host_make_link(fixture->host, link, "/three", &error));
    g_assert_no_error(error);
    g_autofree char *target = host_read_link(fixture->host, link, &error);
    g_assert_cmpstr(target, ==, "/three");
    g_assert_cmpint(stat_of(fixture, "/link").type, ==, FILE_SYMLINK);
    scratch_run(fixture, "ln -s d to-d");
    g_assert_cmpint(stat_of(fixture, "/to-d/").type, ==, FILE_SYMLINK);
    scratch_run(fixture, "rm to-d");
    g_assert_false(host_make_link(fixture->host, d, "one", &error));
    assert_code(error, STEAD_ERROR_EXISTS);
    g_clear_error(&error);
    g_assert_null(host_read_link(fixture->host, d, &error));
    assert_code(error, STEAD_ERROR_EXISTS);
    assert_names(fixture, "/", "d link");
}

static void test_set_attributes(RealFixture *fixture, gconstpointer has_root) {
    scratch_put(fixture, "/f", "x");
    scratch_run(fixture, "chmod 600 f; ln -s f link");
    g_autofree char *name = scratch_path(fixture, "/f");
    g_autofree char *link = scratch_path(fixture, "/link");
    FileAttributes attributes = { .set = FILE_SET_MODE, .mode = 06755 };
    g_autoptr(GError) error = NULL;
    g_assert_true(host_set_attributes(fixture->host, name, &attributes, &error));
    g_assert_cmphex(stat_of(fixture, "/f").mode, ==, 06755);
    if (geteuid() == 0) {
        attributes = (FileAttributes){ .set = FILE_SET_UID, .uid = 12 };
        g_assert_true(host_set_attributes(fixture->host, name, &attributes, &error));
        g_assert_cmpuint(stat_of(fixture, "/f").uid, ==, 12);
        g_assert_cmphex(stat_of(fixture, "/f").mode, ==, 06755); /* chown(2) takes set-id away */
        g_assert_true(host_set_attributes(fixture->host, link, &attributes, &error));
        g_assert_cmpuint(stat_of(fixture, "/link").uid, ==, 12);
    }
    g_assert_no_error(error);
    attributes = (FileAttributes){ .set = FILE_SET_MODE, .mode = 0700 };
    g_assert_false(host_set_attributes(fixture->host, link, &attributes, &error));
    assert_code(error, STEAD_ERROR_EXISTS);
    g_assert_cmphex(stat_of(fixture, "/f").mode, ==, 06755);
}

static void test_remove_tree(RealFixture *fixture, gconstpointer has_root) {
    scratch_run(fixture, "mkdir -p keep d/a/b d/c; echo x > keep/f; echo x > d/a/b/f;"
                         "ln -s ../keep d/link; ln -s ../../keep d/a/link; mkfifo d/c/pipe");
    g_autofree char *d = scratch_path(fixture, "/d");
    g_autofree char *self = scratch_path(fixture, "/d/..");
    g_autoptr(GError) error = NULL;
    g_assert_false(host_remove_tree(fixture->host, self, NULL, &error));
    assert_code(error, STEAD_ERROR_REFUSED);
    g_clear_error(&error);
    g_autoptr(Cancel) cancel = cancel_new(0);
    cancel_request(cancel);
    g_assert_false(host_remove_tree(fixture->host, d, cancel, &error));
    assert_code(error, STEAD_ERROR_CANCELLED);
    g_clear_error(&error);
    assert_names(fixture, "/d", "a c link");
    g_assert_true(host_remove_tree(fixture->host, d, NULL, &error));
    g_assert_no_error(error);
    assert_absent(fixture, "/d");
    assert_text(fixture, "/keep/f", "x\n");
    g_assert_false(host_remove_tree(fixture->host, d, NULL, &error));
    assert_code(error, STEAD_ERROR_NOT_FOUND);
}

static int remove_mounted(RealFixture *fixture) {
    g_autofree char *from = scratch_local(fixture, "/keep");
    g_autofree char *to = scratch_local(fixture, "/d/mounted");
    g_autofree char *d = scratch_path(fixture, "/d");
    if (!mount_privately(fixture, from, to, NULL, NULL))
        return 77;
    g_autoptr(GError) error = NULL;
    g_assert_false(host_remove_tree(fixture->host, d, NULL, &error));
    assert_code(error, STEAD_ERROR_REFUSED);
    g_assert_nonnull(strstr(error->message, "/d/mounted'"));
    assert_text(fixture, "/keep/f", "x\n");
    return 0;
}

static void test_remove_tree_mounted(RealFixture *fixture, gconstpointer has_root) {
    scratch_run(fixture, "mkdir -p keep d/mounted; echo x > keep/f");
    pid_t pid = fork();
    if (pid == 0)
        _exit(remove_mounted(fixture));
    int status;
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        g_test_skip("may not mount here");
    else
        g_assert_cmpint(status, ==, 0);
}

/* --- staying below the root */

static void test_escape(void) {
    RealFixture fixture = { 0 };
    real_fixture_set_up(&fixture, NULL);
    scratch_run(&fixture, "mkdir -p root/etc outside root/tmp; echo secret > outside/f;"
                          "echo inside > root/etc/f; ln -s ../../outside root/up;"
                          "ln -s \"$PWD/outside\" root/absolute; ln -s /etc root/etclink;"
                          "ln -s ../../../../../../etc/f root/tmp/f");
    g_autofree char *root = scratch_local(&fixture, "/root");
    g_autoptr(GError) error = NULL;
    g_autoptr(Host) host = host_real_new(root, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(host_root(host), ==, root);
    const char *const out[] = { "/up/f", "/absolute/f", "/../outside/f", "/etc/../../outside/f" };
    g_autoptr(GBytes) content = g_bytes_new_static("x", 1);
    for (size_t i = 0; i < G_N_ELEMENTS(out); i++) {
        FileInfo info;
        g_assert_false(host_stat(host, out[i], &info, NULL));
        g_assert_false(host_glance(host, out[i], &info, NULL));
        g_assert_null(host_read(host, out[i], 100, NULL));
        g_assert_false(host_write(host, out[i], content, NULL, NULL));
        g_assert_false(host_remove(host, out[i], NULL));
        g_assert_false(host_make_link(host, out[i], "x", NULL));
        g_assert_false(host_set_attributes(host, out[i], &(FileAttributes){ 0 }, NULL));
    }
    g_assert_null(host_list(host, "/up", NULL));
    g_assert_null(host_list(host, "/absolute", NULL));
    const char *const in[] = { "/etclink/f", "/tmp/f", "/../../etc/f", "/etc/../etc/f" };
    for (size_t i = 0; i < G_N_ELEMENTS(in); i++) {
        g_autoptr(GBytes) text = host_read(host, in[i], 100, &error);
        g_assert_no_error(error);
        g_assert_cmpmem(g_bytes_get_data(text, NULL), g_bytes_get_size(text), "inside\n", 7);
    }
    FileInfo root_info, etc_info;
    g_assert_true(host_stat(host, "/", &root_info, NULL));
    g_assert_true(host_stat(host, "/..", &etc_info, NULL));
    g_assert_cmpuint(root_info.inode, ==, etc_info.inode);
    g_assert_true(host_stat(host, "/etclink/", &etc_info, NULL));
    g_assert_cmpint(etc_info.type, ==, FILE_SYMLINK);
    g_autofree char *secret = scratch_get(&fixture, "/outside/f");
    g_assert_cmpstr(secret, ==, "secret\n");
    real_fixture_tear_down(&fixture, NULL);
}

static gpointer swap_for_link(gpointer data) {
    RealFixture *fixture = data;
    g_autofree char *d = scratch_local(fixture, "/root/d");
    g_autofree char *real = scratch_local(fixture, "/root/real");
    g_autofree char *link = scratch_local(fixture, "/root/link");
    while (fixture->has_root) { /* until told to end */
        if (rename(d, real) == 0 && rename(link, d) == 0)
            if (rename(d, link) != 0 || rename(real, d) != 0)
                g_assert_not_reached();
    }
    return NULL;
}

/* A directory that turns into a link out of the root all the time while we write and remove. */
static void test_escape_race(void) {
    RealFixture fixture = { 0 };
    real_fixture_set_up(&fixture, NULL);
    scratch_run(&fixture, "mkdir -p root/d outside; echo secret > outside/f;"
                          "ln -s \"$PWD/outside\" root/link");
    g_autofree char *root = scratch_local(&fixture, "/root");
    g_autofree char *outside = scratch_local(&fixture, "/outside");
    g_autoptr(Host) host = host_real_new(root, NULL, NULL);
    g_autoptr(GBytes) content = g_bytes_new_static("x", 1);
    *(volatile bool *)&fixture.has_root = true;
    GThread *swapper = g_thread_new("swapper", swap_for_link, &fixture);
    for (int i = 0; i < 3000; i++) {
        (void)host_write(host, "/d/f", content, NULL, NULL);
        (void)host_make_directory(host, "/d/sub", NULL, NULL);
        (void)host_remove(host, "/d/f", NULL);
        (void)host_remove_tree(host, "/d/sub", NULL, NULL);
    }
    *(volatile bool *)&fixture.has_root = false;
    g_thread_join(swapper);
    g_autoptr(Host) machine = host_real_new(NULL, NULL, NULL);
    g_auto(GStrv) names = host_list(machine, outside, NULL);
    g_autofree char *joined = g_strjoinv(" ", names);
    g_assert_cmpstr(joined, ==, "f");
    g_autofree char *secret = scratch_get(&fixture, "/outside/f");
    g_assert_cmpstr(secret, ==, "secret\n");
    real_fixture_tear_down(&fixture, NULL);
}

static gpointer swap_tree_for_link(gpointer data) {
    RealFixture *fixture = data;
    g_autofree char *tree = scratch_local(fixture, "/root/tree");
    g_autofree char *link = scratch_local(fixture, "/root/link");
    g_autofree char *outside = scratch_local(fixture, "/outside");
    while (*(volatile bool *)&fixture->has_root) {
        if (renameat2(AT_FDCWD, tree, AT_FDCWD, link, RENAME_EXCHANGE) == 0)
            continue;
        /* One of the two was removed, as it should be: begin anew. */
        (void)rmdir(link);
        (void)mkdir(tree, 0755);
        (void)symlink(outside, link);
    }
    return NULL;
}

/* The tree to be removed turns into a link out of the root in the middle of it. */
static void test_remove_tree_race(void) {
    RealFixture fixture = { 0 };
    real_fixture_set_up(&fixture, NULL);
    scratch_run(&fixture, "mkdir -p root outside/sub; echo secret > outside/f");
    g_autofree char *root = scratch_local(&fixture, "/root");
    g_autoptr(Host) host = host_real_new(root, NULL, NULL);
    *(volatile bool *)&fixture.has_root = true;
    GThread *swapper = g_thread_new("swapper", swap_tree_for_link, &fixture);
    int64_t end = g_get_monotonic_time() + 1000000;
    while (g_get_monotonic_time() < end)
        (void)host_remove_tree(host, "/tree", NULL, NULL);
    *(volatile bool *)&fixture.has_root = false;
    g_thread_join(swapper);
    scratch_run(&fixture, "[ -d outside/sub ]");
    g_autofree char *secret = scratch_get(&fixture, "/outside/f");
    g_assert_cmpstr(secret, ==, "secret\n");
    real_fixture_tear_down(&fixture, NULL);
}

/* A directory is not looked for again for each of its entries, but after every change of ours, and
 * after a while. */
static void test_glance(void) {
    RealFixture fixture = { 0 };
    real_fixture_set_up(&fixture, NULL);
    scratch_run(&fixture, "mkdir -p root/one root/two; touch root/one/f; mkdir root/two/f");
    g_autofree char *root = scratch_local(&fixture, "/root");
    g_autoptr(Host) host = host_real_new(root, NULL, NULL);
    g_assert_true(host_make_link(host, "/d", "one", NULL));
    FileInfo info;
    g_assert_true(host_glance(host, "/d/f", &info, NULL));
    g_assert_cmpint(info.type, ==, FILE_REGULAR);
    g_assert_true(host_make_link(host, "/d", "two", NULL));
    g_assert_true(host_glance(host, "/d/f", &info, NULL));
    g_assert_cmpint(info.type, ==, FILE_DIRECTORY);
    scratch_run(&fixture, "ln -sfn one root/d");
    g_usleep(20000);
    g_assert_true(host_glance(host, "/d/f", &info, NULL));
    g_assert_cmpint(info.type, ==, FILE_REGULAR);
    g_assert_true(host_glance(host, "/one/f", &info, NULL));
    g_assert_cmpint(info.type, ==, FILE_REGULAR);
    g_assert_true(host_glance(host, "/two/f", &info, NULL));
    g_assert_cmpint(info.type, ==, FILE_DIRECTORY);
    g_assert_false(host_glance(host, "/d/none", &info, NULL));
    g_assert_false(host_glance(host, "/none/f", &info, NULL));
    real_fixture_tear_down(&fixture, NULL);
}

static void test_bad_root(void) {
    g_autoptr(GError) error = NULL;
    g_assert_null(host_real_new("/no/such/root", NULL, &error));
    assert_code(error, STEAD_ERROR_NOT_FOUND);
    g_assert_nonnull(strstr(error->message, "/no/such/root"));
}

/* As an ordinary user, in a tree of one's own. */
static int work_unprivileged(RealFixture *fixture) {
    g_autofree char *mine = scratch_local(fixture, "/mine");
    if (chown(mine, 65534, 65534) != 0 || setresgid(65534, 65534, 65534) != 0 ||
        setresuid(65534, 65534, 65534) != 0)
        return 77;
    g_autoptr(GError) error = NULL;
    g_autoptr(Host) host = host_real_new(mine, NULL, &error);
    g_assert_no_error(error);
    g_assert_false(host_is_privileged(host));
    g_autoptr(GBytes) content = g_bytes_new_static("x", 1);
    FileAttributes closed = { .set = FILE_SET_MODE, .mode = 0111 };
    g_assert_true(host_make_directory(host, "/closed", &closed, &error));
    g_assert_true(host_make_directory(host, "/etc", NULL, &error));
    g_assert_true(host_write(host, "/etc/f", content, NULL, &error));
    g_assert_true(host_write(host, "/etc/f", content, NULL, &error));
    g_assert_no_error(error);
    FileAttributes owner = { .set = FILE_SET_UID, .uid = 0 };
    g_assert_false(host_write(host, "/etc/f", content, &owner, &error));
    g_assert_nonnull(strstr(error->message, "give it to user 0"));
    g_clear_error(&error);
    g_assert_true(host_remove_tree(host, "/etc", NULL, &error));
    return 0;
}

static void test_unprivileged(RealFixture *fixture, gconstpointer has_root) {
    scratch_run(fixture, "mkdir mine");
    if (geteuid() != 0) {
        g_test_skip("this whole test runs unprivileged");
        return;
    }
    pid_t pid = fork();
    if (pid == 0)
        _exit(work_unprivileged(fixture));
    int status;
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_cmpint(status, ==, 0);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    add_real_test("/real-files/write-new", test_write_new);
    add_real_test("/real-files/write-attributes", test_write_attributes);
    add_real_test("/real-files/write-keeps-xattrs", test_write_keeps_xattrs);
    add_real_test("/real-files/write-replaces-link", test_write_replaces_link);
    add_real_test("/real-files/write-refuses-directory", test_write_refuses_directory);
    add_real_test("/real-files/write-over-leftover", test_write_over_leftover);
    add_real_test("/real-files/write-waits-for-other", test_write_waits_for_other);
    add_real_test("/real-files/write-nameless", test_write_nameless);
    add_real_test("/real-files/write-named", test_write_named);
    add_real_test("/real-files/write-race", test_write_race);
    add_real_test("/real-files/kill-new", test_kill_new);
    add_real_test("/real-files/clean-tree", test_clean_tree);
    add_real_test("/real-files/digest-of-written", test_digest_of_written);
    add_real_test("/real-files/clean", test_clean);
    add_real_test("/real-files/kill", test_kill);
    add_real_test("/real-files/full-disk", test_full_disk);
    add_real_test("/real-files/mounted-file", test_mounted_file);
    add_real_test("/real-files/read", test_read);
    add_real_test("/real-files/digest", test_digest);
    add_real_test("/real-files/digest-remembers", test_digest_remembers);
    add_real_test("/real-files/directory", test_directory);
    add_real_test("/real-files/parents", test_parents);
    add_real_test("/real-files/link", test_link);
    add_real_test("/real-files/set-attributes", test_set_attributes);
    add_real_test("/real-files/remove-tree", test_remove_tree);
    add_real_test("/real-files/remove-tree-mounted", test_remove_tree_mounted);
    add_real_test("/real-files/unprivileged", test_unprivileged);
    g_test_add_func("/real-files/escape", test_escape);
    g_test_add_func("/real-files/escape-race", test_escape_race);
    g_test_add_func("/real-files/remove-tree-race", test_remove_tree_race);
    g_test_add_func("/real-files/glance", test_glance);
    g_test_add_func("/real-files/bad-root", test_bad_root);
    return g_test_run();
}
