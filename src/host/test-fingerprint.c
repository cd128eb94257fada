#include "host/fingerprint.h"

#include <string.h>

#define HEX_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HEX_B "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static const int64_t second = 1000000000;

static FileInfo quiet_file(void) {
    return (FileInfo){ .type = FILE_REGULAR,
                       .inode = 7,
                       .device = 1,
                       .size = 100,
                       .mtime_ns = 10 * second,
                       .ctime_ns = 10 * second };
}

static void test_find(void) {
    g_autoptr(FingerprintCache) cache = fingerprint_cache_new();
    FileInfo info = quiet_file();
    char hex[DIGEST_HEX_SIZE];
    g_assert_false(fingerprint_find(cache, "/a", &info, hex));
    fingerprint_put(cache, "/a", &info, 11 * second, HEX_B);
    g_assert_true(fingerprint_find(cache, "/a", &info, hex));
    g_assert_cmpstr(hex, ==, HEX_B);
    g_assert_false(fingerprint_find(cache, "/b", &info, hex));
    fingerprint_forget(cache, "/a");
    g_assert_false(fingerprint_find(cache, "/a", &info, hex));
}

static void test_every_field_counts(void) {
    g_autoptr(FingerprintCache) cache = fingerprint_cache_new();
    FileInfo info = quiet_file();
    char hex[DIGEST_HEX_SIZE];
    fingerprint_put(cache, "/a", &info, 11 * second, HEX_A);
    FileInfo others[6];
    for (size_t i = 0; i < G_N_ELEMENTS(others); i++)
        others[i] = info;
    others[0].inode++;
    others[1].device++;
    others[2].size++;
    others[3].mtime_ns++;
    others[4].ctime_ns--;
    others[5].type = FILE_SYMLINK;
    for (size_t i = 0; i < G_N_ELEMENTS(others); i++)
        g_assert_false(fingerprint_find(cache, "/a", &others[i], hex));
    g_assert_true(fingerprint_find(cache, "/a", &info, hex));
}

static void test_racy(void) {
    g_autoptr(FingerprintCache) cache = fingerprint_cache_new();
    FileInfo info = quiet_file();
    char hex[DIGEST_HEX_SIZE];
    fingerprint_put(cache, "/a", &info, info.mtime_ns + FINGERPRINT_RACY_WINDOW_NS, HEX_A);
    g_assert_false(fingerprint_find(cache, "/a", &info, hex));
    fingerprint_put(cache, "/a", &info, info.mtime_ns + FINGERPRINT_RACY_WINDOW_NS + 1, HEX_A);
    g_assert_true(fingerprint_find(cache, "/a", &info, hex));
    info.ctime_ns += 5 * second; /* only the attributes changed, but just now */
    fingerprint_put(cache, "/a", &info, info.ctime_ns + 1, HEX_A);
    g_assert_false(fingerprint_find(cache, "/a", &info, hex));
    info.mtime_ns = 100 * second; /* in the future: the clock was set back */
    fingerprint_put(cache, "/a", &info, 50 * second, HEX_A);
    g_assert_false(fingerprint_find(cache, "/a", &info, hex));
}

static void append_change(void *data, const char *path, const Fingerprint *fingerprint) {
    g_string_append_printf(data, "%s%s ", fingerprint ? "+" : "-", path);
}

static void assert_changes(FingerprintCache *cache, const char *expected) {
    g_autoptr(GString) seen = g_string_new(NULL);
    fingerprint_take_changes(cache, append_change, seen);
    g_assert_cmpstr(seen->str, ==, expected);
}

static void test_changes(void) {
    g_autoptr(FingerprintCache) cache = fingerprint_cache_new();
    FileInfo info = quiet_file();
    Fingerprint known = { .inode = 7, .device = 1, .size = 100, .taken_ns = 11 * second };
    known.mtime_ns = known.ctime_ns = 10 * second;
    char hex[DIGEST_HEX_SIZE];
    fingerprint_load(cache, "/loaded", &known);
    g_assert_true(fingerprint_find(cache, "/loaded", &info, hex));
    assert_changes(cache, "");
    fingerprint_put(cache, "/a", &info, 11 * second, HEX_A);
    fingerprint_put(cache, "/b", &info, 11 * second, HEX_A);
    fingerprint_put(cache, "/a", &info, 12 * second, HEX_B);
    assert_changes(cache, "+/a +/b ");
    assert_changes(cache, "");
    fingerprint_forget(cache, "/a");
    fingerprint_forget(cache, "/never");
    assert_changes(cache, "-/a ");
    fingerprint_forget(cache, "/b");
    fingerprint_put(cache, "/b", &info, 11 * second, HEX_A);
    assert_changes(cache, "-/b +/b ");
    fingerprint_forget(cache, "/b"); /* freed with the cache, not reported */
}

/* What is saved costs a row each: neither what says nothing new nor what nobody may trust. */
static void test_nothing_new(void) {
    g_autoptr(FingerprintCache) cache = fingerprint_cache_new();
    FileInfo info = quiet_file();
    Fingerprint known = { .inode = 7, .device = 1, .size = 100, .taken_ns = 11 * second };
    known.mtime_ns = known.ctime_ns = 10 * second;
    char hex[DIGEST_HEX_SIZE];
    memset(known.digest, 0xaa, sizeof known.digest);
    fingerprint_load(cache, "/loaded", &known);
    fingerprint_distrust(cache);
    fingerprint_put(cache, "/loaded", &info, 12 * second, HEX_A);
    assert_changes(cache, "");
    g_assert_true(fingerprint_find(cache, "/loaded", &info, hex));
    fingerprint_put(cache, "/racy", &info, info.ctime_ns, HEX_A);
    assert_changes(cache, "");

    /* The same look with other bytes: the old digest must not come back, trusted or not. */
    fingerprint_put(cache, "/loaded", &info, info.ctime_ns, HEX_B);
    g_assert_false(fingerprint_find(cache, "/loaded", &info, hex));
    assert_changes(cache, "+/loaded ");
    fingerprint_put(cache, "/loaded", &info, 12 * second, HEX_B); /* can be trusted from now on */
    assert_changes(cache, "+/loaded ");
    info.inode++;
    fingerprint_put(cache, "/loaded", &info, 12 * second, HEX_B);
    assert_changes(cache, "+/loaded ");
    g_assert_true(fingerprint_find(cache, "/loaded", &info, hex));
}

static void test_distrust(void) {
    g_autoptr(FingerprintCache) cache = fingerprint_cache_new();
    FileInfo info = quiet_file();
    Fingerprint known = { .inode = 7, .device = 1, .size = 100, .taken_ns = 11 * second };
    known.mtime_ns = known.ctime_ns = 10 * second;
    char hex[DIGEST_HEX_SIZE];
    fingerprint_put(cache, "/a", &info, 11 * second, HEX_A);
    fingerprint_distrust(cache);
    g_assert_false(fingerprint_find(cache, "/a", &info, hex));
    fingerprint_load(cache, "/loaded", &known);
    g_assert_false(fingerprint_find(cache, "/loaded", &info, hex));
    fingerprint_put(cache, "/a", &info, 11 * second, HEX_A);
    g_assert_true(fingerprint_find(cache, "/a", &info, hex));
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fingerprint/find", test_find);
    g_test_add_func("/fingerprint/every-field-counts", test_every_field_counts);
    g_test_add_func("/fingerprint/racy", test_racy);
    g_test_add_func("/fingerprint/changes", test_changes);
    g_test_add_func("/fingerprint/nothing-new", test_nothing_new);
    g_test_add_func("/fingerprint/distrust", test_distrust);
    return g_test_run();
}
