/* One set of expectations for every host. Each behaviour has a first part that prepares the machine
 * and a second one that checks; an overlay is tried with the first part on the overlay itself and
 * with the first part on its base, which must then be as it was. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/host-fake.h"
#include "host/host-faulty.h"
#include "host/host-overlay.h"
#include "host/host-real.h"
#include "host/mounts.h"
#include "host/test-host.h"

#define IO        STEAD_ERROR_IO
#define NOT_FOUND STEAD_ERROR_NOT_FOUND
#define EXISTS    STEAD_ERROR_EXISTS

static bool write_fails(Host *host, const char *path, GError **error) {
    g_autoptr(GBytes) content = g_bytes_new("x", 1);
    return host_write(host, path, content, NULL, error);
}

/* --- writing --- */

static void check_write_new(Host *host) {
    write_text(host, "/new", "hello\n");
    FileInfo info = info_of(host, "/new");
    g_assert_cmpint(info.type, ==, FILE_REGULAR);
    g_assert_cmpint(info.mode, ==, 0644);
    if (geteuid() == 0) { /* the ordinary user of a fake host is not the one who runs the test */
        g_assert_cmpint(info.uid, ==, 0);
        g_assert_cmpint(info.gid, ==, 0);
    }
    g_assert_cmpint(info.size, ==, 6);
    expect_text(host, "/new", "hello\n");
    expect_list(host, "/", "new");
}

static void check_write_despite_umask(Host *host) {
    mode_t before = umask(0077);
    write_text(host, "/file", "x");
    write_mode(host, "/script", "x", 0775);
    directory(host, "/dir");
    umask(before);
    g_assert_cmpint(info_of(host, "/file").mode, ==, 0644);
    g_assert_cmpint(info_of(host, "/script").mode, ==, 0775);
    g_assert_cmpint(info_of(host, "/dir").mode, ==, 0755);
}

static void prepare_file(Host *host) {
    write_mode(host, "/file", "before\n", 0600);
}

static void check_write_replaces(Host *host) {
    write_text(host, "/file", "after\n");
    expect_text(host, "/file", "after\n");
    g_assert_cmpint(info_of(host, "/file").mode, ==, 0600);
    expect_list(host, "/", "file");
}

static void check_write_sets_mode(Host *host) {
    write_mode(host, "/file", "after\n", 04750);
    g_assert_cmpint(info_of(host, "/file").mode, ==, 04750);
    write_text(host, "/file", "again\n");
    g_assert_cmpint(info_of(host, "/file").mode, ==, 04750);
}

static void check_write_looks_changed(Host *host) {
    FileInfo before = info_of(host, "/file");
    write_text(host, "/file", "AFTER!\n");
    FileInfo after = info_of(host, "/file");
    g_assert_cmpint(after.size, ==, before.size);
    g_assert_true(after.inode != before.inode || after.ctime_ns != before.ctime_ns);
    g_assert_cmpint(after.mtime_ns, >=, before.mtime_ns);
}

static void check_write_empty_and_binary(Host *host) {
    write_text(host, "/file", "");
    g_assert_cmpint(info_of(host, "/file").size, ==, 0);
    expect_text(host, "/file", "");
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) binary = g_bytes_new_static("a\0b\xff", 4);
    g_assert_true(host_write(host, "/file", binary, NULL, &error));
    g_autoptr(GBytes) found = host_read(host, "/file", 4, &error);
    g_assert_no_error(error);
    g_assert_true(g_bytes_equal(found, binary));
}

static void prepare_links(Host *host) {
    directory(host, "/dir");
    write_text(host, "/dir/file", "in dir");
    make_link(host, "/relative", "dir");
    make_link(host, "/absolute", "/dir");
    make_link(host, "/to-file", "dir/file");
    make_link(host, "/dangling", "nowhere/at/all");
}

static void check_write_replaces_link(Host *host) {
    write_text(host, "/to-file", "mine");
    g_assert_cmpint(info_of(host, "/to-file").type, ==, FILE_REGULAR);
    g_assert_cmpint(info_of(host, "/to-file").mode, ==, 0644);
    expect_text(host, "/dir/file", "in dir");
    write_text(host, "/dangling", "mine too");
    expect_text(host, "/dangling", "mine too");
    write_text(host, "/relative", "no directory any more");
    expect_text(host, "/dir/file", "in dir");
    expect_error(host_stat(host, "/relative/file", &(FileInfo){ 0 }, &problem), NOT_FOUND,
                 "/relative/file");
}

static void check_write_through_links(Host *host) {
    write_text(host, "/relative/one", "1");
    write_text(host, "/absolute/two", "2");
    expect_list(host, "/dir", "file one two");
    expect_text(host, "/dir/two", "2");
    expect_error(write_fails(host, "/dangling/x", &problem), NOT_FOUND, "/dangling/x");
}

static void check_write_refusals(Host *host) {
    expect_error(write_fails(host, "/dir", &problem), EXISTS, "/dir");
    expect_error(write_fails(host, "/", &problem), EXISTS, "/");
    expect_error(write_fails(host, "/no/such", &problem), NOT_FOUND, "/no/such");
    expect_error(write_fails(host, "/dir/file/x", &problem), NOT_FOUND, "/dir/file/x");
    expect_text(host, "/dir/file", "in dir");
    expect_list(host, "/", "absolute dangling dir relative to-file");
    expect_list(host, "/dir", "file");
}

/* --- reading --- */

static void check_read(Host *host) {
    expect_text(host, "/to-file", "in dir");
    expect_text(host, "/absolute/file", "in dir");
    expect_error(host_read(host, "/none", 9, &problem), NOT_FOUND, "/none");
    expect_error(host_read(host, "/dangling", 9, &problem), NOT_FOUND, "/dangling");
    expect_error(host_read(host, "/dir", 9, &problem), EXISTS, "/dir");
    expect_error(host_read(host, "/relative", 9, &problem), EXISTS, "/relative");
    expect_error(host_read(host, "/dir/file/x", 9, &problem), NOT_FOUND, "/dir/file/x");
}

static void check_read_limit(Host *host) {
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) all = host_read(host, "/file", strlen("before\n"), &error);
    g_assert_no_error(error);
    g_assert_cmpint(g_bytes_get_size(all), ==, strlen("before\n"));
    expect_error(host_read(host, "/file", strlen("before\n") - 1, &problem), STEAD_ERROR_LIMIT,
                 "/file");
}

static void prepare_escapes(Host *host) {
    directory(host, "/etc");
    directory(host, "/etc/deep");
    write_text(host, "/etc/passwd", "inside\n");
    make_link(host, "/etc/deep/up", "../../../../../../../../etc/passwd");
    make_link(host, "/etc/deep/root", "../../../../..");
    make_link(host, "/etc/deep/absolute", "/etc/passwd");
}

static void check_escapes(Host *host) {
    expect_text(host, "/etc/deep/up", "inside\n");
    expect_text(host, "/etc/deep/absolute", "inside\n");
    expect_text(host, "/../../../../etc/passwd", "inside\n");
    expect_text(host, "/etc/deep/root/etc/passwd", "inside\n");
    expect_list(host, "/etc/deep/root", "etc");
    expect_list(host, "/..", "etc");
    write_text(host, "/etc/deep/root/escaped", "still inside");
    expect_list(host, "/", "escaped etc");
}

static void prepare_loops(Host *host) {
    make_link(host, "/self", "self");
    make_link(host, "/ping", "/pong");
    make_link(host, "/pong", "ping");
}

static void check_loops(Host *host) {
    g_assert_cmpint(info_of(host, "/self").type, ==, FILE_SYMLINK);
    expect_error(host_read(host, "/self", 9, &problem), IO, "/self");
    expect_error(host_list(host, "/ping", &problem), IO, "/ping");
    expect_error(host_stat(host, "/ping/x", &(FileInfo){ 0 }, &problem), IO, "/ping/x");
    expect_error(write_fails(host, "/ping/x", &problem), IO, "/ping/x");
    remove_path(host, "/self");
    write_text(host, "/pong", "broken");
    expect_text(host, "/ping", "broken");
}

static void prepare_chain(Host *host) {
    directory(host, "/0");
    for (int i = 1; i <= 41; i++) {
        g_autofree char *path = g_strdup_printf("/%d", i);
        g_autofree char *target = g_strdup_printf("%d", i - 1);
        make_link(host, path, target);
    }
}

static void check_chain(Host *host) {
    expect_list(host, "/40", "");
    expect_error(host_list(host, "/41", &problem), IO, "/41");
}

static void check_stat(Host *host) {
    g_assert_cmpint(info_of(host, "/").type, ==, FILE_DIRECTORY);
    g_assert_cmpint(info_of(host, "/dir").type, ==, FILE_DIRECTORY);
    g_assert_cmpint(info_of(host, "/relative").type, ==, FILE_SYMLINK);
    g_assert_cmpint(info_of(host, "/dangling").type, ==, FILE_SYMLINK);
    g_assert_cmpint(info_of(host, "/dangling").size, ==, strlen("nowhere/at/all"));
    g_assert_cmpint(info_of(host, "/relative/file").type, ==, FILE_REGULAR);
    FileInfo info;
    expect_error(host_stat(host, "/none", &info, &problem), NOT_FOUND, "/none");
    expect_error(host_stat(host, "/none/none", &info, &problem), NOT_FOUND, "/none/none");
    expect_error(host_stat(host, "/dir/file/x", &info, &problem), NOT_FOUND, "/dir/file/x");
    expect_error(host_stat(host, "/dangling/x", &info, &problem), NOT_FOUND, "/dangling/x");
    g_assert_true(host_exists(host, "/dangling"));
    g_assert_false(host_exists(host, "/none"));
}

static void check_paths(Host *host) {
    expect_text(host, "//dir///file", "in dir");
    expect_text(host, "/./dir/./file", "in dir");
    expect_text(host, "/dir/../dir/file", "in dir");
    g_assert_cmpint(info_of(host, "/dir/").type, ==, FILE_DIRECTORY);
    g_assert_cmpint(info_of(host, "/dir/.").type, ==, FILE_DIRECTORY);
    g_assert_cmpint(info_of(host, "/dir/..").inode, ==, info_of(host, "/").inode);
    expect_error(host_stat(host, "/dir/file/../file", &(FileInfo){ 0 }, &problem), NOT_FOUND,
                 "/dir/file/../file");
    expect_error(host_stat(host, "dir/file", &(FileInfo){ 0 }, &problem), STEAD_ERROR_REFUSED,
                 "dir/file");
    expect_error(host_read(host, "", 9, &problem), STEAD_ERROR_REFUSED, "''");
}

static void prepare_parent_of_link(Host *host) {
    directory(host, "/a");
    directory(host, "/a/b");
    directory(host, "/a/b/c");
    write_text(host, "/a/b/beside", "beside c");
    make_link(host, "/short", "/a/b/c");
}

/* As the kernel, not as text: above a link is what is above its target. */
static void check_parent_of_link(Host *host) {
    expect_text(host, "/short/../beside", "beside c");
    write_text(host, "/short/../new", "x");
    expect_list(host, "/a/b", "beside c new");
}

static void check_long_names(Host *host) {
    g_autofree char *longest = g_strnfill(255, 'n');
    g_autofree char *path = g_strconcat("/", longest, NULL);
    g_autofree char *too_long = g_strconcat("/", longest, "n", NULL);
    write_text(host, path, "x");
    expect_list(host, "/", longest);
    expect_error(write_fails(host, too_long, &problem), IO, too_long);
    expect_error(host_stat(host, too_long, &(FileInfo){ 0 }, &problem), IO, too_long);
    g_autofree char *deep = g_strnfill(5000, '/');
    g_autofree char *too_deep = g_strconcat(deep, "x", NULL);
    expect_error(host_stat(host, too_deep, &(FileInfo){ 0 }, &problem), IO, "//x");
}

static void check_deep(Host *host) {
    g_autoptr(GString) path = g_string_new(NULL);
    for (int i = 0; i < 60; i++)
        g_string_append_printf(path, "/level-%d", i);
    g_string_append(path, "/leaf");
    g_autoptr(GError) error = NULL;
    g_assert_true(host_make_parents(host, path->str, &error));
    g_assert_no_error(error);
    write_text(host, path->str, "deep");
    expect_text(host, path->str, "deep");
    g_assert_true(host_remove_tree(host, "/level-0", NULL, &error));
    g_assert_no_error(error);
    expect_list(host, "/", "");
}

static void check_read_link(Host *host) {
    expect_target(host, "/relative", "dir");
    expect_target(host, "/absolute", "/dir");
    expect_target(host, "/dangling", "nowhere/at/all");
    expect_error(host_read_link(host, "/dir", &problem), EXISTS, "/dir");
    expect_error(host_read_link(host, "/dir/file", &problem), EXISTS, "/dir/file");
    expect_error(host_read_link(host, "/none", &problem), NOT_FOUND, "/none");
}

static void check_links_refused(Host *host) {
    g_autoptr(GBytes) content = g_bytes_new("x", 1);
    FileInfo info;
    g_assert_true(host_glance(host, "/absolute/file", &info, NULL));
    host_links_refuse();
    expect_error(host_glance(host, "/absolute/file", &info, &problem), IO, "/absolute/file");
    expect_error(host_read(host, "/to-file", 9, &problem), IO, "/to-file");
    expect_error(host_read(host, "/relative/file", 9, &problem), IO, "/relative/file");
    expect_error(host_stat(host, "/absolute/file", &(FileInfo){ 0 }, &problem), IO,
                 "/absolute/file");
    expect_error(host_write(host, "/relative/new", content, &(FileAttributes){ 0 }, &problem), IO,
                 "/relative/new");
    expect_error(host_make_directory(host, "/absolute/new", NULL, &problem), IO, "/absolute/new");
    expect_error(host_make_link(host, "/relative/new", "x", &problem), IO, "/relative/new");
    expect_error(host_remove(host, "/relative/file", &problem), IO, "/relative/file");
    expect_error(host_set_attributes(host, "/relative/file",
                                     &(FileAttributes){ .set = FILE_SET_MODE, .mode = 0600 },
                                     &problem),
                 IO, "/relative/file");
    g_assert_cmpint(info_of(host, "/to-file").type, ==, FILE_SYMLINK);
    expect_text(host, "/dir/file", "in dir");
    write_text(host, "/dir/new", "made");
    write_text(host, "/to-file", "in its place");
    host_links_allow();
    expect_text(host, "/relative/new", "made");
    expect_text(host, "/dir/file", "in dir");
    expect_list(host, "/dir", "file new");
}

static void prepare_names(Host *host) {
    static const char *const names[] = { "/b", "/a", "/.hidden", "/B", "/a.b", "/ä", "/10", "/9" };
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
        write_text(host, names[i], "");
    directory(host, "/empty");
}

static void check_list(Host *host) {
    expect_list(host, "/", ".hidden 10 9 B a a.b b empty ä");
    expect_list(host, "/empty", "");
    expect_error(host_list(host, "/a", &problem), NOT_FOUND, "/a");
    expect_error(host_list(host, "/none", &problem), NOT_FOUND, "/none");
    expect_error(host_list(host, "/a/x", &problem), NOT_FOUND, "/a/x");
}

static void check_list_through_links(Host *host) {
    expect_list(host, "/relative", "file");
    expect_list(host, "/absolute", "file");
    write_text(host, "/dir/more", "");
    expect_list(host, "/relative", "file more");
    expect_error(host_list(host, "/to-file", &problem), NOT_FOUND, "/to-file");
    expect_error(host_list(host, "/dangling", &problem), NOT_FOUND, "/dangling");
}

/* --- directories, links, removal --- */

static void check_make_directory(Host *host) {
    g_autoptr(GError) error = NULL;
    FileAttributes private = { .set = FILE_SET_MODE, .mode = 01700 };
    g_assert_true(host_make_directory(host, "/dir/private", &private, &error));
    directory(host, "/dir/public");
    g_assert_cmpint(info_of(host, "/dir/private").mode, ==, 01700);
    g_assert_cmpint(info_of(host, "/dir/public").mode, ==, 0755);
    expect_list(host, "/dir", "file private public");
    expect_list(host, "/dir/public", "");
    expect_error(host_make_directory(host, "/dir", NULL, &problem), EXISTS, "/dir");
    expect_error(host_make_directory(host, "/dir/file", NULL, &problem), EXISTS, "/dir/file");
    expect_error(host_make_directory(host, "/relative", NULL, &problem), EXISTS, "/relative");
    expect_error(host_make_directory(host, "/dangling", NULL, &problem), EXISTS, "/dangling");
    expect_error(host_make_directory(host, "/", NULL, &problem), EXISTS, "/");
    expect_error(host_make_directory(host, "/no/such", NULL, &problem), NOT_FOUND, "/no/such");
    expect_error(host_make_directory(host, "/dir/file/x", NULL, &problem), NOT_FOUND,
                 "/dir/file/x");
}

static void check_make_link(Host *host) {
    make_link(host, "/relative", "elsewhere");
    expect_target(host, "/relative", "elsewhere");
    make_link(host, "/dir/file", "..");
    g_assert_cmpint(info_of(host, "/dir/file").type, ==, FILE_SYMLINK);
    expect_list(host, "/dir/file", "absolute dangling dir relative to-file");
    expect_error(host_make_link(host, "/dir", "x", &problem), EXISTS, "/dir");
    expect_error(host_make_link(host, "/no/such", "x", &problem), NOT_FOUND, "/no/such");
    expect_error(host_make_link(host, "/empty", "", &problem), NOT_FOUND, "/empty");
    g_assert_false(host_exists(host, "/empty"));
}

static void check_remove(Host *host) {
    expect_error(host_remove(host, "/dir", &problem), IO, "/dir");
    remove_path(host, "/relative");
    remove_path(host, "/dangling");
    expect_text(host, "/dir/file", "in dir");
    remove_path(host, "/dir/file");
    expect_error(host_remove(host, "/dir/file", &problem), NOT_FOUND, "/dir/file");
    expect_error(host_read(host, "/to-file", 9, &problem), NOT_FOUND, "/to-file");
    expect_list(host, "/dir", "");
    remove_path(host, "/dir");
    expect_list(host, "/", "absolute to-file");
    expect_error(host_stat(host, "/dir", &(FileInfo){ 0 }, &problem), NOT_FOUND, "/dir");
    expect_error(host_list(host, "/absolute", &problem), NOT_FOUND, "/absolute");
    expect_error(host_remove(host, "/none/x", &problem), NOT_FOUND, "/none/x");
    expect_error(host_remove(host, "/", &problem), IO, "/");
}

static void check_replace_kinds(Host *host) {
    remove_path(host, "/dir/file");
    directory(host, "/dir/file");
    write_text(host, "/dir/file/below", "below");
    expect_text(host, "/relative/file/below", "below");
    remove_path(host, "/dir/file/below");
    remove_path(host, "/dir/file");
    write_text(host, "/dir/file", "a file again");
    expect_text(host, "/to-file", "a file again");
    remove_path(host, "/relative");
    directory(host, "/relative");
    expect_list(host, "/relative", "");
    expect_list(host, "/dir", "file");
}

static void prepare_tree(Host *host) {
    g_autoptr(GError) error = NULL;
    g_assert_true(host_make_parents(host, "/tree/a/b/c", &error));
    write_text(host, "/tree/a/b/c", "1");
    write_text(host, "/tree/a/d", "2");
    directory(host, "/kept");
    write_text(host, "/kept/file", "3");
    make_link(host, "/tree/a/out", "/kept");
}

static void check_remove_tree(Host *host) {
    g_autoptr(GError) error = NULL;
    g_assert_true(host_remove_tree(host, "/tree", NULL, &error));
    g_assert_no_error(error);
    expect_list(host, "/", "kept");
    expect_text(host, "/kept/file", "3");
    expect_error(host_remove_tree(host, "/tree", NULL, &problem), NOT_FOUND, "/tree");
    expect_error(host_remove_tree(host, "/", NULL, &problem), STEAD_ERROR_REFUSED, "root");
    g_assert_true(host_remove_tree(host, "/kept/file", NULL, &error));
    directory(host, "/tree");
    expect_list(host, "/tree", "");
    expect_error(host_stat(host, "/tree/a", &(FileInfo){ 0 }, &problem), NOT_FOUND, "/tree/a");
}

static void check_move(Host *host) {
    g_autoptr(GError) error = NULL;
    FileInfo before, after;
    g_assert_true(host_stat(host, "/tree/a/d", &before, &error));
    g_assert_true(host_move(host, "/tree", "/moved", NULL, &error));
    g_assert_no_error(error);
    expect_list(host, "/", "kept moved");
    expect_list(host, "/moved/a/b", "c");
    expect_text(host, "/moved/a/d", "2");
    g_autofree char *target = host_read_link(host, "/moved/a/out", &error);
    g_assert_cmpstr(target, ==, "/kept");
    g_assert_true(host_stat(host, "/moved/a/d", &after, &error));
    g_assert_cmpint(after.type, ==, before.type);
    g_assert_cmpuint(after.mode, ==, before.mode);
    g_assert_cmpuint(after.size, ==, before.size);
    expect_error(host_move(host, "/moved", "/kept", NULL, &problem), STEAD_ERROR_EXISTS,
                 "it is there already");
    expect_error(host_move(host, "/nothing", "/tree", NULL, &problem), NOT_FOUND, "/nothing");
}

static void check_make_parents(Host *host) {
    g_autoptr(GError) error = NULL;
    g_assert_true(host_make_parents(host, "/tree/a/b/c", &error));
    g_assert_true(host_make_parents(host, "/x", &error));
    g_assert_true(host_make_parents(host, "/tree/new/one/file", &error));
    g_assert_true(host_make_parents(host, "/tree/a/out/two/file", &error));
    g_assert_no_error(error);
    expect_list(host, "/tree/new/one", "");
    expect_list(host, "/kept", "file two");
    g_assert_cmpint(info_of(host, "/tree/new").mode, ==, 0755);
    expect_error(host_make_parents(host, "/tree/a/d/x/y", &problem), EXISTS, "/tree/a/d");
}

/* --- attributes --- */

static void check_attributes(Host *host) {
    FileInfo before = info_of(host, "/dir/file");
    set_mode(host, "/dir/file", 0604);
    set_mode(host, "/dir", 0701);
    FileInfo after = info_of(host, "/dir/file");
    g_assert_cmpint(after.mode, ==, 0604);
    g_assert_cmpint(after.type, ==, FILE_REGULAR);
    g_assert_cmpint(after.size, ==, before.size);
    g_assert_cmpint(after.mtime_ns, ==, before.mtime_ns);
    g_assert_cmpint(info_of(host, "/dir").mode, ==, 0701);
    g_assert_cmpint(info_of(host, "/dir").type, ==, FILE_DIRECTORY);
    expect_text(host, "/dir/file", "in dir");
    expect_list(host, "/dir", "file");
    FileAttributes attributes = { .set = FILE_SET_MODE, .mode = 0600 };
    expect_error(host_set_attributes(host, "/none", &attributes, &problem), NOT_FOUND, "/none");
    expect_error(host_set_attributes(host, "/no/such", &attributes, &problem), NOT_FOUND,
                 "/no/such");
}

static void check_attributes_then_write(Host *host) {
    set_mode(host, "/dir/file", 0604);
    write_text(host, "/dir/file", "new");
    g_assert_cmpint(info_of(host, "/dir/file").mode, ==, 0604);
    expect_text(host, "/to-file", "new");
    set_mode(host, "/dir", 0711);
    write_text(host, "/dir/other", "x");
    expect_list(host, "/dir", "file other");
}

static void check_owners(Host *host) {
    if (!host_is_privileged(host)) {
        g_test_skip("only root may change owners");
        return;
    }
    g_autoptr(GError) error = NULL;
    FileAttributes owner = { .set = FILE_SET_UID | FILE_SET_GID, .uid = 1234, .gid = 5678 };
    g_assert_true(host_set_attributes(host, "/dir/file", &owner, &error));
    g_assert_cmpint(info_of(host, "/dir/file").uid, ==, 1234);
    g_assert_cmpint(info_of(host, "/dir/file").gid, ==, 5678);
    write_text(host, "/dir/file", "kept owner");
    g_assert_cmpint(info_of(host, "/dir/file").uid, ==, 1234);
    g_assert_cmpint(info_of(host, "/dir/file").gid, ==, 5678);
    g_assert_true(host_make_directory(host, "/theirs", &owner, &error));
    g_assert_cmpint(info_of(host, "/theirs").uid, ==, 1234);
    g_assert_true(host_set_attributes(host, "/to-file", &owner, &error));
    g_assert_cmpint(info_of(host, "/to-file").uid, ==, 1234);
    g_assert_cmpint(info_of(host, "/to-file").type, ==, FILE_SYMLINK);
    g_autoptr(GBytes) content = g_bytes_new("x", 1);
    FileAttributes group = { .set = FILE_SET_GID | FILE_SET_MODE, .gid = 99, .mode = 02755 };
    g_assert_true(host_write(host, "/dir/file", content, &group, &error));
    g_assert_no_error(error);
    FileInfo info = info_of(host, "/dir/file");
    g_assert_cmpint(info.uid, ==, 1234);
    g_assert_cmpint(info.gid, ==, 99);
    g_assert_cmpint(info.mode, ==, 02755);
}

static void check_group_directory(Host *host) {
    if (!host_is_privileged(host)) {
        g_test_skip("only root may change owners");
        return;
    }
    g_autoptr(GError) error = NULL;
    FileAttributes shared = { .set = FILE_SET_GID | FILE_SET_MODE, .gid = 77, .mode = 02775 };
    g_assert_true(host_make_directory(host, "/shared", &shared, &error));
    g_assert_no_error(error);
    g_assert_cmpint(info_of(host, "/shared").mode, ==, 02775);
    write_text(host, "/shared/file", "x");
    g_assert_cmpint(info_of(host, "/shared/file").gid, ==, 77);
}

/* --- digests --- */

#define SHA256_OF_ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static void expect_digest(Host *host, const char *path, const FileInfo *info, const char *wanted) {
    g_autoptr(GError) error = NULL;
    char hex[DIGEST_HEX_SIZE];
    bool good = host_digest(host, path, info, hex, &error);
    g_assert_no_error(error);
    g_assert_true(good);
    g_assert_cmpstr(hex, ==, wanted);
}

static void prepare_digest(Host *host) {
    directory(host, "/dir");
    write_text(host, "/dir/abc", "abc");
    make_link(host, "/link", "dir/abc");
}

static void check_digest(Host *host) {
    char hex[DIGEST_HEX_SIZE];
    FileInfo info = info_of(host, "/dir/abc");
    expect_digest(host, "/dir/abc", NULL, SHA256_OF_ABC);
    expect_digest(host, "/dir/abc", &info, SHA256_OF_ABC);
    expect_digest(host, "/link", NULL, SHA256_OF_ABC);
    expect_error(host_digest(host, "/none", NULL, hex, &problem), NOT_FOUND, "/none");
    expect_error(host_digest(host, "/dir", NULL, hex, &problem), EXISTS, "/dir");
}

static void check_digest_follows_content(Host *host) {
    write_text(host, "/dir/abc", "xyz");
    FileInfo changed = info_of(host, "/dir/abc");
    char hex[DIGEST_HEX_SIZE];
    g_assert_true(host_digest(host, "/dir/abc", &changed, hex, NULL));
    g_assert_cmpstr(hex, !=, SHA256_OF_ABC);
    write_text(host, "/dir/abc", "abc");
    FileInfo again = info_of(host, "/dir/abc");
    expect_digest(host, "/dir/abc", &again, SHA256_OF_ABC);
    set_mode(host, "/dir/abc", 0400);
    FileInfo mode = info_of(host, "/dir/abc");
    expect_digest(host, "/dir/abc", &mode, SHA256_OF_ABC);
}

static void check_digest_after_mode(Host *host) {
    set_mode(host, "/dir/abc", 0640);
    FileInfo info = info_of(host, "/dir/abc");
    expect_digest(host, "/dir/abc", &info, SHA256_OF_ABC);
    expect_digest(host, "/link", NULL, SHA256_OF_ABC);
}

/* --- several threads --- */

#define THREADS 4
#define FILES   50

typedef struct {
    Host *host;
    int number;
} Crowd;

static void *write_crowd(void *data) {
    Crowd *crowd = data;
    for (int i = 0; i < FILES; i++) {
        g_autofree char *path = g_strdup_printf("/crowd/%d-%02d", crowd->number, i);
        write_text(crowd->host, path, path);
        expect_text(crowd->host, path, path);
        if (i % 2 == 1)
            remove_path(crowd->host, path);
        FileInfo info;
        g_assert_cmpint(host_stat(crowd->host, path, &info, NULL), ==, i % 2 == 0);
    }
    return NULL;
}

static void check_threads(Host *host) {
    directory(host, "/crowd");
    GThread *threads[THREADS];
    Crowd crowds[THREADS];
    for (int i = 0; i < THREADS; i++) {
        crowds[i] = (Crowd){ host, i };
        threads[i] = g_thread_new("crowd", write_crowd, &crowds[i]);
    }
    for (int i = 0; i < THREADS; i++)
        g_thread_join(threads[i]);
    g_auto(GStrv) names = host_list(host, "/crowd", NULL);
    g_assert_cmpint(g_strv_length(names), ==, THREADS * FILES / 2);
}

/* Below a root directory nothing runs. */
static void check_running_name(Host *host) {
    g_autoptr(GError) error = NULL;
    if (!g_str_equal(host_root(host), "/")) {
        expect_error(host_running_name(host, &problem), STEAD_ERROR_UNSUPPORTED, host_root(host));
        expect_error(host_set_running_name(host, "x", &problem), STEAD_ERROR_UNSUPPORTED,
                     host_root(host));
        return;
    }
    g_autofree char *first = host_running_name(host, &error);
    g_assert_cmpstr(first, ==, "fake");
    g_assert_true(host_set_running_name(host, "other.example", &error));
    g_assert_no_error(error);
    g_autofree char *second = host_running_name(host, &error);
    g_assert_cmpstr(second, ==, "other.example");
}

/* --- mounts --- */

static bool mount_at(Host *host, const char *source, const char *point, const char *fstype,
                     const char *options, GError **error) {
    MountRequest request = {
        .source = source, .point = point, .fstype = fstype, .options = options
    };
    return host_mount(host, &request, error);
}

static bool remount_at(Host *host, const char *point, const char *options, GError **error) {
    MountRequest request = {
        .source = "x", .point = point, .fstype = "tmpfs", .options = options, .remount = true
    };
    return host_mount(host, &request, error);
}

static char *show_mount(Host *host, const char *point) {
    g_autoptr(MountTable) table = host_mounts(host, NULL);
    const Mount *mount = mount_table_at(table, point);
    return mount == NULL ? NULL
                         : g_strdup_printf("%s %s %s %s %s", mount->source, mount->root,
                                           mount->fstype, mount->options, mount->super_options);
}

static void expect_mount(Host *host, const char *point, const char *text) {
    g_autofree char *found = show_mount(host, point);
    g_assert_cmpstr(found, ==, text);
}

static void prepare_mounts(Host *host) {
    directory(host, "/m");
    directory(host, "/bound");
    write_text(host, "/m/hidden", "x");
}

/* Below a root directory nothing is mounted. */
static bool is_without_machine(Host *host) {
    if (g_str_equal(host_root(host), "/"))
        return false;
    expect_error(host_mounts(host, &problem), STEAD_ERROR_UNSUPPORTED, host_root(host));
    expect_error(mount_at(host, "x", "/m", "tmpfs", NULL, &problem), STEAD_ERROR_UNSUPPORTED,
                 host_root(host));
    expect_error(host_unmount(host, "/m", false, NULL, &problem), STEAD_ERROR_UNSUPPORTED,
                 host_root(host));
    return true;
}

static void check_mounts(Host *host) {
    if (is_without_machine(host))
        return;
    g_autoptr(GError) error = NULL;
    expect_mount(host, "/m", NULL);
    g_assert_true(mount_at(host, "x", "/m", "tmpfs", "size=1m,nodev,nofail", &error));
    g_assert_no_error(error);
    expect_mount(host, "/m", "x / tmpfs rw,nodev,relatime rw,size=1m");
    g_assert_true(remount_at(host, "/m", "size=2m,ro", &error));
    expect_mount(host, "/m", "x / tmpfs ro,relatime ro,size=2m");
    directory(host, "/m/below");
    g_assert_true(mount_at(host, "/m", "/bound", "none", "bind", &error));
    g_assert_true(mount_at(host, "y", "/m/below", "tmpfs", NULL, &error));
    g_assert_no_error(error);
    expect_error(host_unmount(host, "/m", false, NULL, &problem), STEAD_ERROR_FAILED, "/m/below");
    g_assert_true(host_unmount(host, "/m/below", false, NULL, &error));
    g_assert_true(host_unmount(host, "/m", false, NULL, &error));
    g_assert_no_error(error);
    expect_mount(host, "/m", NULL);
    expect_mount(host, "/bound", "x / tmpfs rw,relatime ro,size=2m");
}

static void check_mount_refusals(Host *host) {
    if (is_without_machine(host))
        return;
    expect_error(mount_at(host, "x", "/none", "tmpfs", NULL, &problem), STEAD_ERROR_FAILED,
                 "/none");
    expect_error(mount_at(host, "/dev/none", "/m", "ext4", NULL, &problem), STEAD_ERROR_FAILED,
                 "/dev/none");
    expect_error(remount_at(host, "/m", "ro", &problem), STEAD_ERROR_FAILED, "/m");
    expect_error(host_unmount(host, "/m", false, NULL, &problem), STEAD_ERROR_FAILED, "/m");
    expect_error(mount_at(host, "x", "relative", "tmpfs", NULL, &problem), STEAD_ERROR_REFUSED,
                 "relative");
}

/* --- parameters of the kernel --- */

static void expect_sysctl(Host *host, const char *key, const char *value, bool writable) {
    g_autoptr(GError) error = NULL;
    SysctlInfo info;
    g_assert_true(host_sysctl_read(host, key, &info, &error));
    g_assert_no_error(error);
    g_assert_cmpstr(info.value, ==, value);
    g_assert_true(info.writable == writable);
    g_free(info.value);
}

static void check_sysctls(Host *host) {
    SysctlInfo info;
    g_autoptr(GError) error = NULL;
    static const char *const bad[] = { "", "/a", "a/", "a//b", "a/../b", "./a" };
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
        expect_error(host_sysctl_read(host, bad[i], &info, &problem), STEAD_ERROR_REFUSED, bad[i]);
    if (!g_str_equal(host_root(host), "/")) {
        expect_error(host_sysctl_read(host, "a/b", &info, &problem), STEAD_ERROR_UNSUPPORTED,
                     host_root(host));
        expect_error(host_sysctl_write(host, "a/b", "1", &problem), STEAD_ERROR_UNSUPPORTED,
                     host_root(host));
        expect_error(host_sysctl_list(host, "", &problem), STEAD_ERROR_UNSUPPORTED,
                     host_root(host));
        return;
    }
    expect_sysctl(host, "a/b", "1", true);
    expect_sysctl(host, "a/fixed", "2", false);
    g_assert_true(host_sysctl_write(host, "a/b", "7", &error));
    expect_sysctl(host, "a/b", "7", true);
    expect_error(host_sysctl_write(host, "a/fixed", "7", &problem), IO, "a/fixed");
    expect_sysctl(host, "a/fixed", "2", false);
    expect_error(host_sysctl_read(host, "a", &info, &problem), NOT_FOUND, "/a");
    expect_error(host_sysctl_write(host, "a/none", "7", &problem), NOT_FOUND, "a/none");
    g_auto(GStrv) names = host_sysctl_list(host, "a", &error);
    g_autofree char *joined = g_strjoinv(" ", names);
    g_assert_cmpstr(joined, ==, "b fixed");
    expect_error(host_sysctl_list(host, "none", &problem), NOT_FOUND, "none");
}

static void check_identity(Host *host) {
    g_assert_true(g_str_has_prefix(host_root(host), "/"));
    g_assert_true(strlen(host_root(host)) == 1 || !g_str_has_suffix(host_root(host), "/"));
    g_assert_cmpint(host_is_privileged(host), ==, geteuid() == 0);
}

/* --- hosts to try --- */

typedef struct {
    const char *name;
    void (*prepare)(Host *host); /* may be NULL */
    void (*check)(Host *host);
} Behaviour;

typedef struct {
    Host *base; /* NULL when the host stands alone */
    Host *host;
} Bed;

static Host *new_fake(void) {
    Host *fake = host_fake_new();
    g_auto(GStrv) names = host_list(fake, "/", NULL);
    for (char **name = names; *name != NULL; name++) {
        g_autofree char *path = g_strconcat("/", *name, NULL);
        g_assert_true(host_remove_tree(fake, path, NULL, NULL));
    }
    host_fake_set_privileged(fake, geteuid() == 0);
    host_fake_set_sysctl(fake, "a/b", "1", FAKE_SYSCTL_ANY);
    host_fake_set_sysctl(fake, "a/fixed", "2", FAKE_SYSCTL_READ_ONLY);
    return fake;
}

static Host *new_real(void) {
    g_autoptr(GError) error = NULL;
    Host *real = host_real_new(test_root_new(), NULL, &error);
    g_assert_no_error(error);
    return real;
}

static void make_fake(Bed *bed) {
    bed->host = new_fake();
}

static void make_faulty(Bed *bed) {
    bed->base = new_fake();
    bed->host = host_faulty_new(bed->base);
}

static void make_overlay_of_fake(Bed *bed) {
    bed->base = new_fake();
    bed->host = host_overlay_new(bed->base);
}

static void make_real(Bed *bed) {
    bed->host = new_real();
}

static void make_overlay_of_real(Bed *bed) {
    bed->base = new_real();
    bed->host = host_overlay_new(bed->base);
}

typedef struct {
    const char *name;
    void (*make)(Bed *bed);
    bool prepare_base; /* the first part happens below the overlay */
} BedKind;

static const BedKind bed_kinds[] = {
    { "fake", make_fake },
    { "faulty", make_faulty },
    { "real", make_real },
    { "overlay-of-real", make_overlay_of_real },
    { "overlay-of-prepared-real", make_overlay_of_real, true },
    { "overlay-of-fake", make_overlay_of_fake },
    { "overlay-of-prepared-fake", make_overlay_of_fake, true },
};

typedef struct {
    const BedKind *bed;
    const Behaviour *behaviour;
} Case;

/* Nothing of what an overlay was told has happened. */
static void check_base_machine(Host *base) {
    g_autoptr(MountTable) table = host_mounts(base, NULL);
    if (table == NULL)
        return;
    g_assert_cmpuint(table->mounts->len, ==, 3);
    expect_sysctl(base, "a/b", "1", true);
}

static void run_case(const void *data) {
    const Case *one = data;
    Bed bed = { 0 };
    one->bed->make(&bed);
    g_autofree char *before = NULL;
    if (one->behaviour->prepare != NULL)
        one->behaviour->prepare(one->bed->prepare_base ? bed.base : bed.host);
    if (host_is_prediction(bed.host))
        before = test_snapshot(bed.base);
    one->behaviour->check(bed.host);
    if (before != NULL) {
        g_autofree char *after = test_snapshot(bed.base);
        g_autofree char *name = host_running_name(bed.base, NULL);
        g_assert_cmpstr(after, ==, before);
        g_assert_true(name == NULL || g_str_equal(name, "fake"));
        check_base_machine(bed.base);
    }
    host_free(bed.host);
    host_free(bed.base);
    test_root_free();
}

static const Behaviour behaviours[] = {
    { "write-new", NULL, check_write_new },
    { "write-despite-umask", NULL, check_write_despite_umask },
    { "write-replaces", prepare_file, check_write_replaces },
    { "write-sets-mode", prepare_file, check_write_sets_mode },
    { "write-looks-changed", prepare_file, check_write_looks_changed },
    { "write-empty-and-binary", prepare_file, check_write_empty_and_binary },
    { "write-replaces-link", prepare_links, check_write_replaces_link },
    { "write-through-links", prepare_links, check_write_through_links },
    { "write-refusals", prepare_links, check_write_refusals },
    { "read", prepare_links, check_read },
    { "read-limit", prepare_file, check_read_limit },
    { "escapes", prepare_escapes, check_escapes },
    { "loops", prepare_loops, check_loops },
    { "chain-of-links", prepare_chain, check_chain },
    { "stat", prepare_links, check_stat },
    { "paths", prepare_links, check_paths },
    { "parent-of-link", prepare_parent_of_link, check_parent_of_link },
    { "long-names", NULL, check_long_names },
    { "deep", NULL, check_deep },
    { "read-link", prepare_links, check_read_link },
    { "list", prepare_names, check_list },
    { "list-through-links", prepare_links, check_list_through_links },
    { "make-directory", prepare_links, check_make_directory },
    { "make-link", prepare_links, check_make_link },
    { "remove", prepare_links, check_remove },
    { "replace-kinds", prepare_links, check_replace_kinds },
    { "remove-tree", prepare_tree, check_remove_tree },
    { "move", prepare_tree, check_move },
    { "make-parents", prepare_tree, check_make_parents },
    { "attributes", prepare_links, check_attributes },
    { "attributes-then-write", prepare_links, check_attributes_then_write },
    { "owners", prepare_links, check_owners },
    { "group-directory", NULL, check_group_directory },
    { "digest", prepare_digest, check_digest },
    { "digest-follows-content", prepare_digest, check_digest_follows_content },
    { "digest-after-mode", prepare_digest, check_digest_after_mode },
    { "threads", NULL, check_threads },
    { "links-refused", prepare_links, check_links_refused },
    { "running-name", NULL, check_running_name },
    { "mounts", prepare_mounts, check_mounts },
    { "mount-refusals", prepare_mounts, check_mount_refusals },
    { "sysctls", NULL, check_sysctls },
    { "identity", NULL, check_identity },
};

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    static Case cases[G_N_ELEMENTS(bed_kinds) * G_N_ELEMENTS(behaviours)];
    Case *next = cases;
    for (size_t b = 0; b < G_N_ELEMENTS(bed_kinds); b++)
        for (size_t i = 0; i < G_N_ELEMENTS(behaviours); i++) {
            g_autofree char *name =
                g_strdup_printf("/host/%s/%s", bed_kinds[b].name, behaviours[i].name);
            *next = (Case){ &bed_kinds[b], &behaviours[i] };
            g_test_add_data_func(name, next++, run_case);
        }
    return g_test_run();
}
