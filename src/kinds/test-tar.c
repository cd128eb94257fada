/* tar: packing and unpacking on a fake host. */
#include <string.h>

#include "host/host-fake.h"
#include "host/host-overlay.h"
#include "kinds/kind-test.h"
#include "kinds/kinds.h"
#include "kinds/tarball.h"

typedef struct {
    Host *host;
    KindTest *test;
} Fixture;

static void make_inputs(Host *host) {
    g_assert_true(host_make_directory(host, "/in", NULL, NULL));
    g_assert_true(host_make_directory(host, "/in/sub", NULL, NULL));
    g_assert_true(host_fake_tamper_write(host, "/in/a", "alpha\n"));
    g_assert_true(host_fake_tamper_write(host, "/in/sub/b", "beta\n"));
    g_assert_true(host_fake_tamper_mode(host, "/in/sub/b", 0700));
    g_assert_true(host_make_link(host, "/in/link", "a", NULL));
    g_assert_true(host_fake_tamper_write(host, "/etc/single", "single\n"));
}

static void set_up(Fixture *f, gconstpointer data) {
    f->host = host_fake_new();
    f->test = kind_test_new(f->host);
    make_inputs(f->host);
}

static void tear_down(Fixture *f, gconstpointer data) {
    kind_test_free(f->test);
    host_free(f->host);
}

#define TAR(name, ...) kind_test_resource(&kind_tar, name, __VA_ARGS__, NULL)

static char *list_archive(Host *host, const char *path) {
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) bytes = host_read(host, path, 1 << 20, &error);
    g_assert_no_error(error);
    g_autoptr(FileTree) tree = tarball_read(bytes, 0, &error);
    g_assert_no_error(error);
    GString *text = g_string_new(NULL);
    for (unsigned i = 0; i < tree->entries->len; i++) {
        const TreeEntry *entry = tree->entries->pdata[i];
        g_string_append_printf(text, "%s %04o;", entry->path, entry->mode);
    }
    return g_string_free(text, FALSE);
}

static char *digest_file(Host *host, const char *path) {
    char *hex = g_malloc(DIGEST_HEX_SIZE);
    g_assert_true(host_digest(host, path, NULL, hex, NULL));
    return hex;
}

static void assert_content(Host *host, const char *path, const char *text) {
    g_autoptr(GBytes) bytes = host_read(host, path, 1000, NULL);
    g_assert_nonnull(bytes);
    g_assert_cmpmem(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), text, strlen(text));
}

static void test_pack(Fixture *f, gconstpointer data) {
    g_autoptr(Resource) tar = TAR("/tmp/x.tar", "inputs:=[\"/in\", \"/etc/single\"]");
    kind_test_expect(f->test, tar, ACTION_CREATE);
    g_autofree char *list = list_archive(f->host, "/tmp/x.tar");
    g_assert_cmpstr(list, ==,
                    "in 0755;in/a 0644;in/link 0755;in/sub 0755;in/sub/b 0755;single 0644;");
    g_autoptr(Resource) bare = TAR("/tmp/y.tar", "inputs:=[\"/in/\"]");
    kind_test_expect(f->test, bare, ACTION_CREATE);
    g_autofree char *inside = list_archive(f->host, "/tmp/y.tar");
    g_assert_cmpstr(inside, ==, "a 0644;link 0755;sub 0755;sub/b 0755;");

    /* Drift of the archive, then of an input. */
    g_autofree char *first = digest_file(f->host, "/tmp/x.tar");
    host_fake_tamper_write(f->host, "/tmp/x.tar", "damaged");
    kind_test_expect(f->test, tar, ACTION_CHANGE);
    g_autofree char *second = digest_file(f->host, "/tmp/x.tar");
    g_assert_cmpstr(first, ==, second);
    host_fake_tamper_write(f->host, "/in/a", "alpha\n"); /* touched, not changed */
    kind_test_expect(f->test, tar, ACTION_NONE);
    host_fake_tamper_write(f->host, "/in/a", "gamma\n");
    kind_test_expect(f->test, tar, ACTION_CHANGE);
    kind_test_undo(f->test, tar, ON_REMOVE_DEFAULT);
    g_assert_false(host_exists(f->host, "/tmp/x.tar"));
}

/* An archive that is right is adopted; known inputs are not read again. */
static void test_pack_known(Fixture *f, gconstpointer data) {
    g_autoptr(Resource) tar = TAR("/tmp/x.tar", "inputs:=[\"/in\"]");
    kind_test_expect(f->test, tar, ACTION_CREATE);
    g_hash_table_remove_all(f->test->kept);
    kind_test_expect(f->test, tar, ACTION_NONE);
    unsigned reads = host_fake_count(f->host, "read");
    g_autoptr(KindRound) round = kind_test_round(f->test, tar);
    g_assert_true(changes_empty(round->changes));
    g_assert_cmpuint(host_fake_count(f->host, "read"), ==, reads);
}

static void test_pack_formats(Fixture *f, gconstpointer data) {
    static const char *const names[] = { "/tmp/a.tar.gz", "/tmp/a.tbz2", "/tmp/a.tar.xz",
                                         "/tmp/a.tar.zst" };
    static const char *const formats[] = { "format=ustar", "format:=8", "format=pax", "format:=0" };
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autoptr(Resource) tar = TAR(names[i], "inputs:=[\"/in\"]", formats[i]);
        kind_test_expect(f->test, tar, ACTION_CREATE);
        g_autofree char *list = list_archive(f->host, names[i]);
        g_assert_cmpstr(list, ==, "in 0755;in/a 0644;in/link 0755;in/sub 0755;in/sub/b 0755;");
    }
    g_autoptr(GBytes) gzip = host_read(f->host, names[0], 1 << 20, NULL);
    g_assert_cmpmem((const char *)g_bytes_get_data(gzip, NULL) + 4, 4, "\0\0\0\0", 4); /* no time */
    g_autoptr(Resource) real = TAR("/tmp/real.tar", "inputs:=[\"/in/\"]", "attributes:=true");
    kind_test_expect(f->test, real, ACTION_CREATE);
    g_autofree char *list = list_archive(f->host, "/tmp/real.tar");
    g_assert_nonnull(strstr(list, "sub/b 0700"));
}

static void test_unpack(Fixture *f, gconstpointer data) {
    g_autoptr(Resource) tar = TAR("/tmp/x.tgz", "inputs:=[\"/in\"]");
    kind_test_expect(f->test, tar, ACTION_CREATE);
    g_autoptr(Resource) out = TAR("/out/", "source=/tmp/x.tgz", "strip:=1");
    kind_test_expect(f->test, out, ACTION_CREATE);
    assert_content(f->host, "/out/sub/b", "beta\n");
    g_autofree char *target = host_read_link(f->host, "/out/link", NULL);
    g_assert_cmpstr(target, ==, "a");

    host_fake_tamper_write(f->host, "/out/a", "drift\n");
    host_fake_tamper_remove(f->host, "/out/sub");
    host_fake_tamper_write(f->host, "/out/foreign", "theirs\n");
    kind_test_expect(f->test, out, ACTION_CHANGE);
    assert_content(f->host, "/out/a", "alpha\n");
    assert_content(f->host, "/out/sub/b", "beta\n");

    /* Unchanged: neither the archive nor the files are read. */
    unsigned reads = host_fake_count(f->host, "read");
    g_autoptr(KindRound) round = kind_test_round(f->test, out);
    g_assert_true(changes_empty(round->changes));
    g_assert_cmpuint(host_fake_count(f->host, "read"), ==, reads);

    /* What left the archive goes, what is foreign stays. */
    host_fake_tamper_remove(f->host, "/in/sub");
    kind_test_expect(f->test, tar, ACTION_CHANGE);
    kind_test_expect(f->test, out, ACTION_CHANGE);
    g_assert_false(host_exists(f->host, "/out/sub"));
    g_assert_true(host_exists(f->host, "/out/foreign"));

    g_autoptr(Resource) inverse = kind_test_reverse(f->test, out, ON_REMOVE_DEFAULT);
    kind_test_expect_error(f->test, inverse, "it still holds 1 entry");
    host_fake_tamper_remove(f->host, "/out/foreign");
    kind_test_undo(f->test, out, ON_REMOVE_DEFAULT);
    g_assert_false(host_exists(f->host, "/out"));
}

static void test_unpack_into_existing(Fixture *f, gconstpointer data) {
    g_autoptr(Resource) tar = TAR("/tmp/x.tgz", "inputs:=[\"/in/\"]");
    kind_test_expect(f->test, tar, ACTION_CREATE);
    g_assert_true(host_make_directory(f->host, "/out", NULL, NULL));
    host_fake_tamper_write(f->host, "/out/foreign", "theirs\n");
    g_autoptr(Resource) out = TAR("/out/", "source=/tmp/x.tgz");
    kind_test_expect(f->test, out, ACTION_CHANGE);
    kind_test_undo(f->test, out, ON_REMOVE_RESTORE);
    g_auto(GStrv) left = host_list(f->host, "/out", NULL);
    g_assert_cmpuint(g_strv_length(left), ==, 1);
}

/* Archives as others make them, by hand: name, type, link target. */
static GBytes *ustar(const char *name, char type, const char *link, const char *content) {
    char block[1024 + 1024] = { 0 };
    size_t size = strlen(content);
    g_strlcpy(block, name, 100);
    g_snprintf(block + 100, 8, "%07o", 0644);
    g_snprintf(block + 108, 8, "%07o", 0);
    g_snprintf(block + 116, 8, "%07o", 0);
    g_snprintf(block + 124, 12, "%011zo", size);
    g_snprintf(block + 136, 12, "%011o", 0);
    memset(block + 148, ' ', 8);
    block[156] = type;
    g_strlcpy(block + 157, link, 100);
    memcpy(block + 257, "ustar\00000", 8);
    unsigned sum = 0;
    for (size_t i = 0; i < 512; i++)
        sum += (unsigned char)block[i];
    g_snprintf(block + 148, 8, "%06o", sum);
    block[155] = ' ';
    memcpy(block + 512, content, size);
    return g_bytes_new(block, 512 + (size > 0 ? 512 : 0) + 512 * (size == 0));
}

static void test_hostile(void) {
    static const struct {
        const char *name, *link, *problem;
        char type;
    } rows[] = {
        { "../x", "", "leads out of the directory", '0' },
        { "a/../../x", "", "leads out of the directory", '0' },
        { "x", "../../etc/shadow", "leads out of the directory", '1' },
        { "x", "y", "is a hard link to 'y', which the archive does not have", '1' },
        { "x", "", "is a device, pipe or socket", '6' },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(GBytes) bytes = ustar(rows[i].name, rows[i].type, rows[i].link, "");
        g_autoptr(FileTree) tree = tarball_read(bytes, 0, &error);
        g_assert_null(tree);
        if (strstr(error->message, rows[i].problem) == NULL)
            g_error("row %zu: %s", i, error->message);
    }
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) absolute = ustar("/etc/./x", '0', "", "y");
    g_autoptr(FileTree) tree = tarball_read(absolute, 0, &error);
    g_assert_no_error(error);
    g_assert_nonnull(g_hash_table_lookup(tree->by_path, "etc/x"));
    g_assert_nonnull(g_hash_table_lookup(tree->by_path, "etc"));
    g_autoptr(GBytes) noise = g_bytes_new_static("no archive at all", 17);
    g_assert_null(tarball_read(noise, 0, &error));
    g_assert_nonnull(error);
}

static void test_validation(Fixture *f, gconstpointer data) {
    static const struct {
        const char *name, *arguments[3], *problem;
    } rows[] = {
        { "/x.tar", { "strip:=0" }, "inputs must say what to pack" },
        { "/x/", { "strip:=0" }, "source must say what to unpack" },
        { "/x.tar", { "inputs=/a", "source=/b" }, "exclude each other" },
        { "/x.tar", { "inputs=a" }, "inputs must be absolute" },
        { "/x/", { "source=/a", "strip:=-1" }, "strip must be" },
        { "/x/", { "source=../a" }, "must not leave the directory" },
        { "/x.tar", { "inputs=/a", "format=zip" }, "format must be" },
        { "/", { "source=/a" }, "must not be the root" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *problems =
            kind_test_problems(&kind_tar, rows[i].name, rows[i].arguments[0], rows[i].arguments[1],
                               rows[i].arguments[2], NULL);
        if (strstr(problems, rows[i].problem) == NULL)
            g_error("row %zu: expected '%s', got: %s", i, rows[i].problem, problems);
    }
}

/* What a command makes can neither be packed nor unpacked in a plan. */
static void test_unknown(Fixture *f, gconstpointer data) {
    g_autoptr(Host) overlay = host_overlay_new(f->host);
    g_autoptr(KindTest) test = kind_test_new(overlay);
    host_overlay_mark_unknown(overlay, "/made");
    g_autoptr(Resource) pack = TAR("/tmp/x.tar", "inputs:=[\"/made\"]");
    g_autoptr(KindRound) packed = kind_test_round(test, pack);
    g_assert_no_error(packed->error);
    g_assert_cmpint(value_type(changes_find(packed->changes, "content")->after), ==, VALUE_UNKNOWN);
    g_autoptr(Resource) unpack = TAR("/out/", "source=/made");
    g_autoptr(KindRound) unpacked = kind_test_round(test, unpack);
    g_assert_no_error(unpacked->error);
    g_assert_cmpint(value_type(changes_find(unpacked->changes, "tree")->after), ==, VALUE_UNKNOWN);
    g_autoptr(Resource) next = TAR("/out/", "source=/tmp/x.tar"); /* unknown since it was packed */
    g_autoptr(KindRound) then = kind_test_round(test, next);
    g_assert_no_error(then->error);
    g_assert_true(then->changes->uncertain);
}

static Host *set_up_fault(void) {
    Host *host = host_fake_new();
    make_inputs(host);
    return host;
}

static void test_faults(Fixture *f, gconstpointer data) {
    g_autoptr(Resource) tar = TAR("/tmp/x.tar", "inputs:=[\"/in\"]");
    g_assert_cmpuint(kind_test_faults(set_up_fault, tar), >=, 10);
}

#define ADD(path, function)                                                                        \
    g_test_add("/kinds/tar/" path, Fixture, NULL, set_up, function, tear_down)

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    ADD("pack", test_pack);
    ADD("pack-known", test_pack_known);
    ADD("pack-formats", test_pack_formats);
    ADD("unpack", test_unpack);
    ADD("unpack-into-existing", test_unpack_into_existing);
    g_test_add_func("/kinds/tar/hostile", test_hostile);
    ADD("validation", test_validation);
    ADD("unknown", test_unknown);
    ADD("faults", test_faults);
    return g_test_run();
}
