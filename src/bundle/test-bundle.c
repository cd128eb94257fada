/* bundle: packing, names, what readers refuse, unpacking. */
#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/disk.h"
#include "base/error.h"
#include "bundle/archive-out.h"
#include "bundle/bundle.h"

typedef struct {
    char *top; /* scratch directory */
    char *site;
} Fixture;

static char *at(const Fixture *f, const char *name) {
    return g_build_filename(f->top, name, NULL);
}

static void put(const char *directory, const char *name, const char *text, mode_t mode) {
    g_autofree char *path = g_build_filename(directory, name, NULL);
    g_autofree char *parent = g_path_get_dirname(path);
    g_assert_cmpint(g_mkdir_with_parents(parent, 0755), ==, 0);
    g_assert_true(g_file_set_contents(path, text, -1, NULL));
    g_assert_cmpint(chmod(path, mode), ==, 0);
}

static void set_up(Fixture *f, gconstpointer data) {
    f->top = g_dir_make_tmp("stead-bundle-XXXXXX", NULL);
    f->site = at(f, "site");
    put(f->site, "main.lua", "file \"/etc/motd\" { content = \"hello\\n\" }\n", 0640);
    put(f->site, "kinds/speak", "#!/bin/sh\n", 0700);
    put(f->site, "templates/a.tmpl", "a", 0600);
    put(f->site, "templates-old/b", "b", 0644);
    g_autofree char *link = g_build_filename(f->site, "templates/latest", NULL);
    g_assert_cmpint(symlink("../templates-old/b", link), ==, 0);
}

static void tear_down(Fixture *f, gconstpointer data) {
    disk_remove_tree(f->top);
    g_free(f->top);
    g_free(f->site);
}

static Bundle *pack(const char *directory) {
    g_autoptr(GError) error = NULL;
    Bundle *bundle = bundle_of_directory(directory, BUNDLE_MAIN, &error);
    g_assert_no_error(error);
    return bundle;
}

static void assert_refused(GError *error, int code, const char *part) {
    g_assert_error(error, STEAD_ERROR, code);
    if (strstr(error->message, part) == NULL)
        g_error("'%s' is not in: %s", part, error->message);
    g_error_free(error);
}

/* The name is a promise: another libarchive, zstd, owner, umask or time must give the same. */
static void test_name(Fixture *f, gconstpointer data) {
    g_autoptr(Bundle) bundle = pack(f->site);
    g_assert_cmpstr(bundle->digest, ==,
                    "0c6a5b0263d0cb98662cadded3ffb22305f64012309bf3bee7cc9e845d50da97");
    g_assert_cmpuint(bundle->entries->len, ==, 8);
    g_assert_true(bundle_find(bundle, "kinds/speak")->executable);
    g_assert_false(bundle_find(bundle, "main.lua")->executable);
    g_assert_cmpstr(bundle_find(bundle, "templates/latest")->target, ==, "../templates-old/b");
    g_assert_null(bundle_find(bundle, "templates/b"));
}

static void test_left_out(Fixture *f, gconstpointer data) {
    g_autoptr(Bundle) before = pack(f->site);
    put(f->site, ".git/config", "x", 0644);
    put(f->site, "main.lua~", "x", 0644);
    put(f->site, "templates/.a.tmpl.swp", "x", 0644);
    put(f->site, "#main.lua#", "x", 0644);
    put(f->site, BUNDLE_STATEMENT, "x", 0644);
    put(f->site, "old.bundle", "x", 0644);
    g_autoptr(Bundle) after = pack(f->site);
    g_assert_cmpstr(before->digest, ==, after->digest);
    put(f->site, ".hidden", "x", 0644);
    g_autoptr(Bundle) other = pack(f->site);
    g_assert_cmpstr(before->digest, !=, other->digest);
}

static void test_there_and_back(Fixture *f, gconstpointer data) {
    g_autoptr(GError) error = NULL;
    g_autoptr(Bundle) bundle = pack(f->site);
    g_autoptr(GBytes) packed = bundle_write(bundle, &error);
    g_assert_no_error(error);
    g_autoptr(Bundle) again = bundle_read(packed, bundle->digest, &error);
    g_assert_no_error(error);
    g_autofree char *place = at(f, "unpacked/");
    mode_t mask = umask(0077);
    g_assert_true(bundle_unpack(again, place, false, &error));
    umask(mask);
    g_assert_no_error(error);
    g_autoptr(Bundle) third = pack(place);
    g_assert_cmpstr(third->digest, ==, bundle->digest);
    struct stat info;
    g_autofree char *speak = g_build_filename(place, "kinds/speak", NULL);
    g_assert_cmpint(stat(speak, &info), ==, 0);
    g_assert_cmpuint(info.st_mode & 07777, ==, 0755);
    g_assert_false(bundle_unpack(again, place, false, &error));
    assert_refused(g_steal_pointer(&error), STEAD_ERROR_EXISTS, "it exists");
    g_autofree char *secret = at(f, "secret");
    g_assert_true(bundle_unpack(again, secret, true, &error));
    g_autofree char *file = g_build_filename(secret, "main.lua", NULL);
    g_assert_cmpint(stat(file, &info), ==, 0);
    g_assert_cmpuint(info.st_mode & 07777, ==, 0600);
    g_autoptr(GDir) left = g_dir_open(f->top, 0, NULL);
    unsigned n = 0;
    while (g_dir_read_name(left) != NULL)
        n++;
    g_assert_cmpuint(n, ==, 3); /* site, unpacked, secret */
}

/* What cannot be written leaves nothing behind. */
static void test_unpack_fails(Fixture *f, gconstpointer data) {
    g_autoptr(GError) error = NULL;
    g_autoptr(Bundle) bundle = pack(f->site);
    g_autofree char *place = at(f, "absent/unpacked");
    g_assert_false(bundle_unpack(bundle, place, false, &error));
    assert_refused(g_steal_pointer(&error), STEAD_ERROR_NOT_FOUND, "unpack into");
}

static void assert_not_packed(const Fixture *f, int code, const char *part) {
    GError *error = NULL;
    g_assert_null(bundle_of_directory(f->site, BUNDLE_MAIN, &error));
    assert_refused(error, code, part);
}

static void test_pack_refuses(Fixture *f, gconstpointer data) {
    static const struct {
        const char *target, *part;
    } links[] = {
        { "/etc/passwd", "absolute path; make it relative" },
        { "../../x", "leads out of the directory" },
        { "a.tmpl/../../..", "'..' behind a name" },
    };
    g_autofree char *path = g_build_filename(f->site, "templates/link", NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(links); i++) {
        g_assert_cmpint(symlink(links[i].target, path), ==, 0);
        assert_not_packed(f, STEAD_ERROR_REFUSED, links[i].part);
        g_assert_cmpint(unlink(path), ==, 0);
    }
    g_assert_cmpint(mkfifo(path, 0600), ==, 0);
    assert_not_packed(f, STEAD_ERROR_REFUSED, "device, pipe or socket");
    g_assert_cmpint(unlink(path), ==, 0);
    put(f->site, "bad\nname", "x", 0644);
    assert_not_packed(f, STEAD_ERROR_REFUSED, "'bad\\nname': the name has a control character");
    g_autofree char *bad = g_build_filename(f->site, "bad\nname", NULL);
    g_assert_cmpint(unlink(bad), ==, 0);
    g_autofree char *long_name = g_strnfill(100, 'x');
    put(f->site, long_name, "x", 0644);
    assert_not_packed(f, STEAD_ERROR_REFUSED, "too long");
    g_autofree char *too_long = g_build_filename(f->site, long_name, NULL);
    g_assert_cmpint(unlink(too_long), ==, 0);
    g_autofree char *large = g_build_filename(f->site, "large", NULL);
    put(f->site, "large", "", 0644);
    g_assert_cmpint(truncate(large, BUNDLE_FILE_MAX + 1), ==, 0);
    assert_not_packed(f, STEAD_ERROR_LIMIT, "large' is too large");
    g_assert_cmpint(unlink(large), ==, 0);
    g_autofree char *main = g_build_filename(f->site, "main.lua", NULL);
    g_assert_cmpint(unlink(main), ==, 0);
    assert_not_packed(f, STEAD_ERROR_NOT_FOUND, "has no file 'main.lua'");
}

/* --- archives that somebody else made */

typedef struct {
    ArchiveItem item;
    const char *content;
} Entry;

#define DIRECTORY(path)                                                                            \
    { { ITEM_DIRECTORY, path, NULL, 0755 }, NULL }
#define FILE_OF(path)                                                                              \
    { { ITEM_FILE, path, NULL, 0644 }, "x" }
#define LINK(path, target)                                                                         \
    { { ITEM_LINK, path, target, 0755 }, NULL }

static GBytes *archive_of(const Entry *entries, size_t n, const ArchiveAttributes *attributes) {
    g_autoptr(GError) error = NULL;
    g_autoptr(ArchiveOut) out = archive_out_new(ARCHIVE_PAX, COMPRESS_NONE, 1 << 20, &error);
    for (size_t i = 0; i < n; i++) {
        const char *text = entries[i].content;
        g_autoptr(GBytes) content = text != NULL ? g_bytes_new(text, strlen(text)) : NULL;
        g_assert_true(archive_out_add(out, &entries[i].item, content, attributes, &error));
    }
    return archive_out_finish(out, &error);
}

static void assert_not_read(GBytes *archive, const char *part) {
    GError *error = NULL;
    g_autoptr(Bundle) bundle = bundle_read_archive(archive, &error);
    g_assert_null(bundle);
    g_assert_nonnull(error);
    assert_refused(error, error->code, part);
}

static void test_read_refuses(void) {
    static const struct {
        Entry entries[3];
        unsigned n;
        const char *part;
    } cases[] = {
        { { FILE_OF("/etc/x") }, 1, "the path is absolute" },
        { { FILE_OF("../x") }, 1, "leads out" },
        { { DIRECTORY("a"), FILE_OF("a/../../x") }, 2, "leads out" },
        { { FILE_OF("a//b") }, 1, "empty part" },
        { { FILE_OF("./a") }, 1, "empty part or '.'" },
        { { FILE_OF("a/b") }, 1, "what it is in is no directory" },
        { { FILE_OF("a"), FILE_OF("a") }, 2, "twice" },
        { { LINK("a", "."), FILE_OF("a/b") }, 2, "no directory of the bundle" },
        { { LINK("a", "/etc") }, 1, "absolute path" },
        { { LINK("a", "..") }, 1, "leads out" },
        { { DIRECTORY("a"), LINK("a/b", "../../x") }, 2, "leads out" },
        { { DIRECTORY("a"), LINK("a/b", ".."), LINK("c", "a/b/..") }, 3, "behind a name" },
        { { FILE_OF("b"), FILE_OF("a") }, 2, "not as 'stead bundle pack' makes them" },
        { { { { ITEM_FILE, "a", NULL, 04755 }, "x" } }, 1, "not as 'stead bundle pack'" },
        { { { { ITEM_FILE, "a", NULL, 0600 }, "x" } }, 1, "not as 'stead bundle pack'" },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GBytes) archive = archive_of(cases[i].entries, cases[i].n, NULL);
        assert_not_read(archive, cases[i].part);
    }
    static const Entry one[] = { FILE_OF("a") };
    ArchiveAttributes owned = { .uid = 1000 }, timed = { .mtime_s = 1 };
    g_autoptr(GBytes) by_owner = archive_of(one, 1, &owned);
    assert_not_read(by_owner, "owners");
    g_autoptr(GBytes) by_time = archive_of(one, 1, &timed);
    assert_not_read(by_time, "times");
    g_autoptr(GBytes) right = archive_of(one, 1, NULL);
    g_autoptr(Bundle) bundle = bundle_read_archive(right, NULL);
    g_assert_nonnull(bundle);
    g_autofree char *longer = g_malloc0(g_bytes_get_size(right) + 10240);
    memcpy(longer, g_bytes_get_data(right, NULL), g_bytes_get_size(right));
    g_autoptr(GBytes) padded = g_bytes_new(longer, g_bytes_get_size(right) + 10240);
    assert_not_read(padded, "not as 'stead bundle pack'");
}

/* Entries that stead itself never writes. */
static void test_read_refuses_types(void) {
    static const struct {
        unsigned type;
        const char *hard_link, *part;
    } cases[] = {
        { AE_IFCHR, NULL, "device" },
        { AE_IFIFO, NULL, "pipe" },
        { AE_IFREG, "main.lua", "hard link" },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        char buffer[20480];
        size_t used;
        struct archive *archive = archive_write_new();
        archive_write_set_format_ustar(archive);
        archive_write_open_memory(archive, buffer, sizeof buffer, &used);
        struct archive_entry *entry = archive_entry_new();
        archive_entry_set_pathname(entry, "odd");
        archive_entry_set_filetype(entry, cases[i].type);
        archive_entry_set_perm(entry, 0644);
        archive_entry_set_size(entry, 0);
        if (cases[i].hard_link != NULL)
            archive_entry_set_hardlink(entry, cases[i].hard_link);
        g_assert_cmpint(archive_write_header(archive, entry), ==, ARCHIVE_OK);
        archive_entry_free(entry);
        archive_write_close(archive);
        archive_write_free(archive);
        g_autoptr(GBytes) bytes = g_bytes_new(buffer, used);
        assert_not_read(bytes, cases[i].part);
    }
}

static void assert_not_unpacked(GBytes *packed, const char *digest, const char *part) {
    GError *error = NULL;
    g_assert_null(bundle_read(packed, digest, &error));
    assert_refused(error, error->code, part);
}

static void test_bombs_and_damage(Fixture *f, gconstpointer data) {
    g_autoptr(GError) error = NULL;
    g_autofree char *zeros = g_malloc0(BUNDLE_TOTAL_MAX + 1u);
    g_autoptr(GBytes) large = g_bytes_new_static(zeros, BUNDLE_TOTAL_MAX + 1u);
    g_autoptr(GBytes) bomb = archive_compress(large, 1, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(g_bytes_get_size(bomb), <, 1 << 20);
    assert_not_unpacked(bomb, NULL, "holds more than 268435456 bytes");

    g_autoptr(Bundle) bundle = pack(f->site);
    g_autoptr(GBytes) packed = bundle_write(bundle, &error);
    g_autofree char *other = g_strdup(bundle->digest);
    other[0] = other[0] == '0' ? '1' : '0';
    assert_not_unpacked(packed, other, "refuse the bundle: it is 'sha256:");
    g_autoptr(GBytes) cut = g_bytes_new_from_bytes(packed, 0, g_bytes_get_size(packed) / 2);
    assert_not_unpacked(cut, bundle->digest, "Truncated zstd input");
    g_autoptr(GBytes) plain = g_bytes_new_static("plain text", 10);
    assert_not_unpacked(plain, NULL, "not compressed with zstd");
    g_autoptr(GBytes) empty = g_bytes_new_static("", 0);
    assert_not_unpacked(empty, NULL, "not compressed with zstd");
}

/* As version control has it: no directories without a file, also where only such are in one. */
static void test_without_empty(Fixture *f, gconstpointer data) {
    g_autoptr(GError) error = NULL;
    g_autoptr(Bundle) before = pack(f->site);
    g_autoptr(Bundle) same = bundle_without_empty(before, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(same->digest, ==, before->digest);
    put(f->site, "empty/inner/.gitignore", "*", 0644);
    g_autoptr(Bundle) all = pack(f->site);
    g_assert_nonnull(bundle_find(all, "empty/inner"));
    g_autoptr(Bundle) kept = bundle_without_empty(all, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(kept->digest, ==, before->digest);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
#define ADD(name, function) g_test_add(name, Fixture, NULL, set_up, function, tear_down)
    ADD("/bundle/name", test_name);
    ADD("/bundle/left-out", test_left_out);
    ADD("/bundle/without-empty", test_without_empty);
    ADD("/bundle/there-and-back", test_there_and_back);
    ADD("/bundle/unpack-fails", test_unpack_fails);
    ADD("/bundle/pack-refuses", test_pack_refuses);
    ADD("/bundle/bombs-and-damage", test_bombs_and_damage);
#undef ADD
    g_test_add_func("/bundle/read-refuses", test_read_refuses);
    g_test_add_func("/bundle/read-refuses-types", test_read_refuses_types);
    return g_test_run();
}
