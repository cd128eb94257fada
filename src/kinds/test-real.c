/* file, line and ini on a real directory tree, as whoever runs the tests. */
#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/host-faulty.h"
#include "host/host-real.h"
#include "kinds/kind-test.h"
#include "kinds/kinds.h"

typedef struct {
    char *root;
    FingerprintCache *fingerprints;
    Host *host;
    KindTest *test;
} Fixture;

static void set_up(Fixture *f, gconstpointer data) {
    g_autoptr(GError) error = NULL;
    f->root = g_dir_make_tmp("stead-kinds-XXXXXX", &error);
    g_assert_no_error(error);
    f->fingerprints = fingerprint_cache_new();
    f->host = host_real_new(f->root, f->fingerprints, &error);
    g_assert_no_error(error);
    f->test = kind_test_new(f->host);
    g_assert_true(host_make_directory(f->host, "/etc", NULL, NULL));
}

static void remove_all(const char *path) {
    g_autoptr(GDir) directory = g_dir_open(path, 0, NULL);
    for (const char *name; directory != NULL && (name = g_dir_read_name(directory)) != NULL;) {
        g_autofree char *below = g_build_filename(path, name, NULL);
        if (g_file_test(below, G_FILE_TEST_IS_DIR) && !g_file_test(below, G_FILE_TEST_IS_SYMLINK))
            remove_all(below);
        else
            g_assert_cmpint(g_unlink(below), ==, 0);
    }
    g_assert_cmpint(g_rmdir(path), ==, 0);
}

static void tear_down(Fixture *f, gconstpointer data) {
    kind_test_free(f->test);
    host_free(f->host);
    fingerprint_cache_free(f->fingerprints);
    remove_all(f->root);
    g_free(f->root);
}

#define FILE_(name, ...) kind_test_resource(&kind_file, name, __VA_ARGS__, NULL)

static char *read_file(Fixture *f, const char *path) {
    g_autofree char *full = g_build_filename(f->root, path, NULL);
    char *text = NULL;
    g_assert_true(g_file_get_contents(full, &text, NULL, NULL));
    return text;
}

static void test_file(Fixture *f, gconstpointer data) {
    g_autoptr(Resource) one = FILE_("/etc/one", "content=first\n", "mode=0640");
    kind_test_expect(f->test, one, ACTION_CREATE);
    g_autofree char *text = read_file(f, "etc/one");
    g_assert_cmpstr(text, ==, "first\n");
    g_autofree char *full = g_build_filename(f->root, "etc/one", NULL);
    g_assert_true(g_file_set_contents(full, "drift\n", -1, NULL));
    g_assert_cmpint(g_chmod(full, 0666), ==, 0);
    kind_test_expect(f->test, one, ACTION_CHANGE);
    struct stat st;
    g_assert_cmpint(stat(full, &st), ==, 0);
    g_assert_cmpuint(st.st_mode & 07777, ==, 0640);
    kind_test_undo(f->test, one, ON_REMOVE_DEFAULT);
    g_assert_false(g_file_test(full, G_FILE_TEST_EXISTS));
}

static void test_owner(Fixture *f, gconstpointer data) {
    g_autofree char *uid = g_strdup_printf("owner=%u", geteuid());
    g_autofree char *gid = g_strdup_printf("group=%u", getegid());
    g_autoptr(Resource) mine = FILE_("/etc/mine", "content=x", uid, gid);
    kind_test_expect(f->test, mine, ACTION_CREATE);
    if (geteuid() == 0) {
        g_autoptr(Resource) theirs = FILE_("/etc/mine", "content=x", "owner=12345", "group=23456");
        kind_test_expect(f->test, theirs, ACTION_CHANGE);
        g_autofree char *full = g_build_filename(f->root, "etc/mine", NULL);
        struct stat st;
        g_assert_cmpint(stat(full, &st), ==, 0);
        g_assert_cmpuint(st.st_uid, ==, 12345);
        g_assert_cmpuint(st.st_gid, ==, 23456);
    }
}

static void test_tree(Fixture *f, gconstpointer data) {
    g_assert_true(host_make_directory(f->host, "/src", NULL, NULL));
    g_assert_true(host_make_directory(f->host, "/src/sub", NULL, NULL));
    for (unsigned i = 0; i < 50; i++) {
        g_autofree char *path = g_strdup_printf("/src/%s%u", i % 2 ? "sub/" : "", i);
        g_autoptr(GBytes) content = g_bytes_new(path, strlen(path));
        FileAttributes keep = { 0 };
        g_assert_true(host_write(f->host, path, content, &keep, NULL));
    }
    g_autoptr(Resource) copy =
        FILE_("/dst/", "source=/src/", "recurse:=true", "purge:=true", "mode=0600");
    kind_test_expect(f->test, copy, ACTION_CREATE);
    g_autofree char *text = read_file(f, "dst/sub/49");
    g_assert_cmpstr(text, ==, "/src/sub/49");
    g_autofree char *foreign = g_build_filename(f->root, "dst/sub/foreign", NULL);
    g_assert_true(g_file_set_contents(foreign, "x", -1, NULL));
    g_autoptr(KindRound) round = kind_test_converge(f->test, copy, ACTION_CHANGE);
    g_assert_cmpuint(value_size(changes_find(round->changes, "tree")->before), ==, 1);
    kind_test_undo(f->test, copy, ON_REMOVE_DEFAULT);
    g_autofree char *dst = g_build_filename(f->root, "dst", NULL);
    g_assert_false(g_file_test(dst, G_FILE_TEST_EXISTS));
}

static void test_symlinked_parent(Fixture *f, gconstpointer data) {
    g_assert_true(host_make_directory(f->host, "/real", NULL, NULL));
    g_assert_true(host_make_link(f->host, "/alias", "/real", NULL));
    g_autoptr(Resource) file = FILE_("/alias/x", "content=x");
    kind_test_expect(f->test, file, ACTION_CREATE);
    g_autofree char *text = read_file(f, "real/x");
    g_assert_cmpstr(text, ==, "x");
    g_assert_true(host_make_link(f->host, "/out", "/../../../../etc", NULL));
    g_autoptr(Resource) inside = FILE_("/out/x", "content=inside");
    kind_test_expect(f->test, inside, ACTION_CREATE);
    g_autofree char *kept = read_file(f, "etc/x");
    g_assert_cmpstr(kept, ==, "inside");
}

static void test_special(Fixture *f, gconstpointer data) {
    g_autofree char *full = g_build_filename(f->root, "etc/fifo", NULL);
    g_assert_cmpint(mkfifo(full, 0600), ==, 0);
    g_autoptr(Resource) file = FILE_("/etc/fifo", "content=x");
    kind_test_expect_error(f->test, file, "it is a device, pipe or socket, not a file; set force");
    g_autoptr(Resource) forced = FILE_("/etc/fifo", "content=x", "force:=true");
    kind_test_expect(f->test, forced, ACTION_REPLACE);
}

/* A file that goes away between being seen and being read is looked at again. */
static void test_vanishing(Fixture *f, gconstpointer data) {
    g_autoptr(Host) faulty = host_faulty_new(f->host);
    g_autoptr(KindTest) test = kind_test_new(faulty);
    g_autoptr(Resource) one = FILE_("/etc/one", "content=first\n");
    kind_test_expect(test, one, ACTION_CREATE);
    host_faulty_arm(faulty, "digest", 1, STEAD_ERROR_NOT_FOUND, "gone");
    g_autoptr(KindRound) round = kind_test_round(test, one);
    g_assert_no_error(round->error);
    g_assert_true(changes_empty(round->changes));
}

static void test_killed(Fixture *f, gconstpointer data) {
    g_autofree char *left = g_build_filename(f->root, "etc/.sudoers.stead-candidate", NULL);
    g_assert_true(g_file_set_contents(left, "half", -1, NULL));
    g_autoptr(Resource) one = FILE_("/etc/sudoers", "content=x", "validate_cmd=/bin/true %");
    KindRun run = { .host = f->host, .resource = one };
    g_assert_true(kind_file.clean(&run, NULL));
    g_assert_true(kind_file.clean(&run, NULL));
    g_assert_false(g_file_test(left, G_FILE_TEST_EXISTS));

    g_autofree char *below = g_build_filename(f->root, "etc/sub", NULL);
    g_autofree char *half = g_build_filename(below, ".stead.00112233aabbccdd.tmp", NULL);
    g_assert_cmpint(g_mkdir(below, 0755), ==, 0);
    g_assert_true(g_file_set_contents(half, "half", -1, NULL));
    g_autoptr(Resource) tree = FILE_("/etc/", "recurse:=true", "mode=0644");
    run.resource = tree;
    g_assert_true(kind_file.clean(&run, NULL));
    g_assert_false(g_file_test(half, G_FILE_TEST_EXISTS));
}

/* --- many writers of one file --- */

typedef struct {
    Fixture *fixture;
    const Kind *kind;
    unsigned number;
} Writer;

static void *write_one(void *data) {
    Writer *writer = data;
    g_autoptr(KindTest) test = kind_test_new(writer->fixture->host);
    for (unsigned i = 0; i < 20; i++) {
        g_autofree char *name = g_strdup_printf("%u.%u", writer->number, i);
        g_autofree char *key =
            g_strdup_printf("%s=k%s", writer->kind == &kind_ini ? "key" : "content", name);
        g_autoptr(Resource) resource =
            writer->kind == &kind_ini
                ? kind_test_resource(&kind_ini, name, "path=/etc/shared", "section=S", key,
                                     "value=v", NULL)
                : kind_test_resource(&kind_line, name, "file=/etc/shared", key, NULL);
        g_autoptr(KindRound) round = kind_test_round(test, resource);
        g_assert_no_error(round->error);
    }
    return NULL;
}

static void test_shared(Fixture *f, gconstpointer data) {
    Writer writers[8];
    GThread *threads[G_N_ELEMENTS(writers)];
    for (unsigned i = 0; i < G_N_ELEMENTS(writers); i++) {
        writers[i] = (Writer){ f, data, i };
        threads[i] = g_thread_new("writer", write_one, &writers[i]);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(writers); i++)
        g_thread_join(threads[i]);
    g_autofree char *text = read_file(f, "etc/shared");
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    unsigned n_keys = 0;
    for (char **line = lines; *line != NULL; line++)
        n_keys += **line == 'k';
    g_assert_cmpuint(n_keys, ==, 8 * 20);
}

static void test_exec(Fixture *f, gconstpointer data) {
    g_autoptr(GError) error = NULL;
    g_autoptr(Host) machine = host_real_new(NULL, NULL, &error);
    g_assert_no_error(error);
    g_autoptr(KindTest) test = kind_test_new(machine);
    g_autofree char *made = g_build_filename(f->root, "made", NULL);
    g_autofree char *cmd = g_strdup_printf("cmd=cat > %s; echo done; echo oops >&2", made);
    g_autofree char *creates = g_strdup_printf("creates=%s", made);
    g_autoptr(Resource) exec =
        kind_test_resource(&kind_exec, "e", cmd, creates, "shell=/bin/sh", "input=hello", NULL);
    g_autoptr(KindRound) round = kind_test_converge(test, exec, ACTION_RUN);
    g_assert_cmpstr(value_map_string(round->outputs, "stdout", NULL), ==, "done\n");
    g_assert_cmpstr(value_map_string(round->outputs, "stderr", NULL), ==, "oops\n");
    g_autofree char *text = read_file(f, "made");
    g_assert_cmpstr(text, ==, "hello");

    g_autoptr(Resource) killed =
        kind_test_resource(&kind_exec, "k", "cmd=kill -9 $$", "shell=/bin/sh", NULL);
    g_autoptr(KindRound) signalled = kind_test_round(test, killed);
    g_assert_nonnull(strstr(signalled->error->message, "ended by signal 9 (Killed)"));
    g_autoptr(Resource) missing =
        kind_test_resource(&kind_exec, "m", "cmd=no-such-program-here", NULL);
    g_autoptr(Resource) nowhere =
        kind_test_resource(&kind_exec, "d", "cmd=true", "cwd=/no/such/directory", NULL);
    g_autoptr(KindRound) lost = kind_test_round(test, nowhere);
    g_assert_true(g_str_has_suffix(lost->error->message, g_strerror(ENOENT)));
    g_autoptr(Resource) loud = kind_test_resource(
        &kind_exec, "l", "cmd=head -c 20000000 /dev/zero; exit 3", "shell=/bin/sh", NULL);
    g_autoptr(KindRound) cut = kind_test_round(test, loud);
    g_assert_nonnull(strstr(cut->error->message, "exit status 3 (the end of its output was cut"));
    g_autoptr(KindRound) failed = kind_test_round(test, missing);
    g_assert_nonnull(strstr(failed->error->message, "give its full path, or set shell"));
}

#define ADD(path, function)                                                                        \
    g_test_add("/kinds/real/" path, Fixture, NULL, set_up, function, tear_down)

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    ADD("file", test_file);
    ADD("owner", test_owner);
    ADD("tree", test_tree);
    ADD("symlinked-parent", test_symlinked_parent);
    ADD("special", test_special);
    ADD("vanishing", test_vanishing);
    ADD("killed", test_killed);
    g_test_add("/kinds/real/shared-line", Fixture, &kind_line, set_up, test_shared, tear_down);
    g_test_add("/kinds/real/shared-ini", Fixture, &kind_ini, set_up, test_shared, tear_down);
    ADD("exec", test_exec);
    return g_test_run();
}
