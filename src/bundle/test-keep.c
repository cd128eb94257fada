/* bundle: the bundles of a host, and what happens to them on its disk. */
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/disk.h"
#include "base/error.h"
#include "bundle/keep.h"

typedef struct {
    char *top, *place;
    SigningKey *key;
    KeyList *keys;
    Keep *keep;
} Fixture;

static void reopen(Fixture *f) {
    g_autoptr(GError) error = NULL;
    g_clear_pointer(&f->keep, keep_free);
    f->keep = keep_open(f->place, f->keys, &error);
    g_assert_no_error(error);
}

static void set_up(Fixture *f, gconstpointer data) {
    g_autoptr(GError) error = NULL;
    f->top = g_dir_make_tmp("stead-keep-XXXXXX", NULL);
    f->place = g_build_filename(f->top, "bundles", NULL);
    f->key = signing_key_new(&error);
    g_autofree char *line = public_key_line(signing_key_public(f->key), "me");
    f->keys = key_list_of_lines(line, &error);
    g_assert_no_error(error);
    reopen(f);
}

static void tear_down(Fixture *f, gconstpointer data) {
    keep_free(f->keep);
    key_list_unref(f->keys);
    signing_key_free(f->key);
    disk_remove_tree(f->top);
    g_free(f->top);
    g_free(f->place);
}

typedef struct {
    GBytes *packed, *text;
    char digest[DIGEST_HEX_SIZE];
} Deploy;

static void deploy_clear(Deploy *deploy) {
    g_bytes_unref(deploy->packed);
    g_bytes_unref(deploy->text);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Deploy, deploy_clear)

static Deploy make(const Fixture *f, uint64_t record, const char *previous, const char *content) {
    g_autoptr(GError) error = NULL;
    g_autofree char *site = g_build_filename(f->top, "site", NULL);
    g_autofree char *main = g_build_filename(site, "main.lua", NULL);
    g_assert_cmpint(g_mkdir_with_parents(site, 0755), ==, 0);
    g_assert_true(g_file_set_contents(main, content, -1, NULL));
    g_autoptr(Bundle) bundle = bundle_of_directory(site, BUNDLE_MAIN, &error);
    g_assert_no_error(error);
    Statement statement = { .record = record, .time = 1, .message = (char *)(uintptr_t) "why" };
    g_strlcpy(statement.digest, bundle->digest, DIGEST_HEX_SIZE);
    g_strlcpy(statement.previous, previous, DIGEST_HEX_SIZE);
    char *text = statement_sign(&statement, f->key, &error);
    g_assert_no_error(error);
    Deploy deploy = { bundle_write(bundle, &error), g_bytes_new_take(text, strlen(text)), "" };
    g_strlcpy(deploy.digest, bundle->digest, DIGEST_HEX_SIZE);
    return deploy;
}

static void accept(Fixture *f, const Deploy *deploy) {
    g_autoptr(GError) error = NULL;
    g_autoptr(Bundle) bundle = keep_accept(f->keep, deploy->text, deploy->packed, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(bundle->digest, ==, deploy->digest);
}

static void refuse(Fixture *f, GBytes *text, GBytes *packed, const char *part) {
    g_autoptr(GError) error = NULL;
    g_assert_null(keep_accept(f->keep, text, packed, &error));
    g_assert_nonnull(error);
    if (strstr(error->message, part) == NULL)
        g_error("'%s' is not in: %s", part, error->message);
}

static void set_good(Fixture *f, uint64_t record) {
    g_autoptr(GError) error = NULL;
    g_assert_true(keep_set_good(f->keep, record, &error));
}

/* What a start goes on with, and how much was wrong on the way. */
static void assert_loads(Fixture *f, const char *digest, unsigned n_problems, const char *part) {
    g_auto(Statement) statement = { 0 };
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func((GDestroyNotify)g_error_free);
    reopen(f);
    g_autoptr(Bundle) bundle = keep_load(f->keep, &statement, problems);
    g_assert_cmpstr(bundle != NULL ? bundle->digest : NULL, ==, digest);
    g_assert_cmpuint(problems->len, ==, n_problems);
    for (unsigned i = 0; i < problems->len; i++) {
        const GError *problem = problems->pdata[i];
        if (strstr(problem->message, part) == NULL)
            g_error("'%s' is not in: %s", part, problem->message);
    }
}

static void tamper(const Fixture *f, const char *name, const void *data, size_t size) {
    g_autofree char *path = g_build_filename(f->place, name, NULL);
    g_assert_true(g_file_set_contents(path, data, (gssize)size, NULL));
}

static unsigned count_files(const Fixture *f) {
    g_autoptr(GDir) dir = g_dir_open(f->place, 0, NULL);
    unsigned n = 0;
    while (g_dir_read_name(dir) != NULL)
        n++;
    return n;
}

static void test_history(Fixture *f, gconstpointer data) {
    g_auto(Deploy) one = make(f, 1, "", "-- one\n");
    g_auto(Deploy) two = make(f, 2, one.digest, "-- two\n");
    g_auto(Deploy) three = make(f, 3, two.digest, "-- three\n");
    g_auto(Deploy) four = make(f, 4, three.digest, "-- four\n");
    assert_loads(f, NULL, 0, NULL);
    accept(f, &one);
    accept(f, &one);
    set_good(f, 1);
    accept(f, &two);
    assert_loads(f, one.digest, 0, NULL); /* until two is good */
    set_good(f, 2);
    assert_loads(f, two.digest, 0, NULL);
    accept(f, &three);
    set_good(f, 3);
    accept(f, &four);
    g_assert_cmpuint(count_files(f), ==, 2 * 3 + 2); /* records 2, 3, 4 */
    assert_loads(f, three.digest, 0, NULL);
    g_assert_cmpuint(keep_last(f->keep)->record, ==, 4);
}

static void test_refused(Fixture *f, gconstpointer data) {
    g_auto(Deploy) one = make(f, 1, "", "-- one\n");
    g_auto(Deploy) two = make(f, 2, one.digest, "-- two\n");
    g_auto(Deploy) fork = make(f, 2, one.digest, "-- fork\n");
    accept(f, &one);
    refuse(f, two.text, one.packed, "refuse the bundle: it is 'sha256:"); /* mixed */
    accept(f, &two);
    refuse(f, one.text, one.packed, "record 2 was here already"); /* replayed */
    reopen(f);
    refuse(f, one.text, one.packed, "record 2 was here already");
    refuse(f, fork.text, fork.packed, "another one of this number");
    SigningKey *mine = f->key;
    g_autoptr(SigningKey) other = f->key = signing_key_new(NULL);
    g_auto(Deploy) foreign = make(f, 3, two.digest, "-- evil\n");
    f->key = mine;
    refuse(f, foreign.text, foreign.packed, "which does not count here");
    g_autoptr(GBytes) nothing = g_bytes_new_static("", 0);
    refuse(f, nothing, two.packed, "no statement about a deploy");
    g_assert_cmpuint(keep_last(f->keep)->record, ==, 2);
    g_assert_cmpuint(count_files(f), ==, 2 + 1); /* record 2, last */
}

static void test_tampered(Fixture *f, gconstpointer data) {
    g_auto(Deploy) one = make(f, 1, "", "-- one\n");
    g_auto(Deploy) two = make(f, 2, one.digest, "-- two\n");
    accept(f, &one);
    set_good(f, 1);
    accept(f, &two);
    set_good(f, 2);
    tamper(f, "record-2.bundle", "damaged", 7);
    assert_loads(f, one.digest, 1, "go on with record 2 of the deploys: ");
    /* Another right bundle, and another right statement, are not this record. */
    size_t size;
    const void *bytes = g_bytes_get_data(one.packed, &size);
    tamper(f, "record-2.bundle", bytes, size);
    assert_loads(f, one.digest, 1, "refuse the bundle: it is 'sha256:");
    bytes = g_bytes_get_data(one.text, &size);
    tamper(f, "record-2.signed", bytes, size);
    assert_loads(f, one.digest, 1, "holds record 1");
    tamper(f, "record-1.signed", "x", 1);
    assert_loads(f, NULL, 2, "go on with record");
    /* A statement that is gone, and which records were good. */
    bytes = g_bytes_get_data(one.text, &size);
    tamper(f, "record-1.signed", bytes, size);
    tamper(f, "good", "nonsense", 8);
    assert_loads(f, one.digest, 1, "go on with record 2");
}

static void test_last_is_damaged(Fixture *f, gconstpointer data) {
    g_autoptr(GError) error = NULL;
    g_auto(Deploy) one = make(f, 1, "", "-- one\n");
    accept(f, &one);
    tamper(f, "last", "x", 1);
    g_assert_null(keep_open(f->place, f->keys, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_DAMAGED);
    g_assert_nonnull(strstr(error->message, "then remove it"));
}

/* A key that is retired later: what it had signed by then still runs. */
static void test_retired_key(Fixture *f, gconstpointer data) {
    GError *error = NULL;
    g_auto(Deploy) one = make(f, 1, "", "-- one\n");
    g_auto(Deploy) two = make(f, 2, one.digest, "-- two\n");
    accept(f, &one);
    set_good(f, 1);
    g_autoptr(SigningKey) next = signing_key_new(&error);
    g_autoptr(KeyList) first = key_list_add(NULL, signing_key_public(f->key), "me", f->key, &error);
    g_autoptr(KeyList) second =
        key_list_add(first, signing_key_public(next), "next", f->key, &error);
    g_autoptr(KeyList) third = key_list_retire(second, signing_key_public(f->key), 1, next, &error);
    g_assert_no_error(error);
    key_list_unref(f->keys);
    f->keys = key_list_ref(third);
    assert_loads(f, one.digest, 0, NULL);
    refuse(f, two.text, two.packed, "was retired after record 1");
}

static void test_disk_full(Fixture *f, gconstpointer data) {
    g_auto(Deploy) one = make(f, 1, "", "-- one\n");
    g_auto(Deploy) two = make(f, 2, one.digest, "-- two\n");
    accept(f, &one);
    set_good(f, 1);
    g_autofree char *blocked = g_build_filename(f->place, "record-2.signed", NULL);
    g_assert_cmpint(g_mkdir(blocked, 0700), ==, 0); /* a rename onto it fails */
    refuse(f, two.text, two.packed, "keep record 2 of the deploys: write '");
    g_assert_cmpint(g_rmdir(blocked), ==, 0);
    g_assert_cmpuint(count_files(f), ==, 2 + 2);
    assert_loads(f, one.digest, 0, NULL);
    accept(f, &two);
}

static void try_go_back(Fixture *f, uint64_t record, const char *told, const char *digest,
                        const char *part) {
    g_autoptr(GError) error = NULL;
    g_auto(Statement) statement = { 0 };
    g_autoptr(Bundle) bundle = keep_go_back(f->keep, record, told, &statement, &error);
    g_assert_cmpstr(bundle != NULL ? bundle->digest : NULL, ==, digest);
    if (digest != NULL)
        g_assert_no_error(error);
    else if (error == NULL || strstr(error->message, part) == NULL)
        g_error("'%s' is not in: %s", part, error != NULL ? error->message : "nothing");
}

static void go_back(Fixture *f, uint64_t record, const char *digest, const char *part) {
    try_go_back(f, record, digest != NULL ? digest : "", digest, part);
}

/* One step for each record that somebody signed, and only to what is here and was good. */
static void test_go_back(Fixture *f, gconstpointer data) {
    g_auto(Deploy) one = make(f, 1, "", "-- one\n");
    g_auto(Deploy) two = make(f, 2, one.digest, "-- two\n");
    g_auto(Deploy) three = make(f, 3, two.digest, "-- three\n");
    g_auto(Deploy) four = make(f, 4, three.digest, "-- four\n");
    go_back(f, 1, NULL, "it keeps no good record before the newest");
    accept(f, &one);
    set_good(f, 1);
    accept(f, &two);
    set_good(f, 2);
    accept(f, &three);
    go_back(f, 1, NULL, "it goes back to record 2 alone, the good one directly before record 3");
    go_back(f, 3, NULL, "record 2 alone");
    try_go_back(f, 2, one.digest, NULL, "it is bundle 'sha256:");
    g_assert_cmpuint(keep_left(f->keep), ==, 0);
    go_back(f, 2, two.digest, NULL);
    for (int again = 0; again < 2; again++, reopen(f)) {
        g_assert_cmpuint(keep_left(f->keep), ==, 3);
        g_assert_cmpuint(keep_last(f->keep)->record, ==, 3);
        go_back(f, 2, two.digest, NULL); /* the same again */
        go_back(f, 1, NULL, "it went back from record 3 already, and no further");
        refuse(f, three.text, three.packed, "this machine went back from it");
        refuse(f, two.text, two.packed, "record 3 was here already");
        set_good(f, 2);
        assert_loads(f, two.digest, 0, NULL);
    }
    accept(f, &four); /* a new record allows a new step */
    g_assert_cmpuint(keep_left(f->keep), ==, 0);
    assert_loads(f, two.digest, 0, NULL);
    set_good(f, 4);
    assert_loads(f, four.digest, 0, NULL);
    go_back(f, 2, two.digest, NULL); /* from one that was good */
    assert_loads(f, two.digest, 0, NULL);
    go_back(f, 1, NULL, "no further");
    refuse(f, four.text, four.packed, "went back from it");
}

/* What is kept for going back is verified as all else; a disk that is full changes nothing. */
static void test_go_back_fails(Fixture *f, gconstpointer data) {
    g_auto(Deploy) one = make(f, 1, "", "-- one\n");
    g_auto(Deploy) two = make(f, 2, one.digest, "-- two\n");
    accept(f, &one);
    set_good(f, 1);
    accept(f, &two);
    set_good(f, 2);
    g_autofree char *good = g_build_filename(f->place, "good", NULL);
    g_assert_cmpint(g_unlink(good), ==, 0);
    g_assert_cmpint(g_mkdir(good, 0700), ==, 0); /* a rename onto it fails */
    try_go_back(f, 1, one.digest, NULL, "go back to record 1 of the deploys: write '");
    g_assert_cmpuint(keep_left(f->keep), ==, 0);
    g_assert_cmpint(g_rmdir(good), ==, 0);
    tamper(f, "record-1.bundle", "damaged", 7);
    try_go_back(f, 1, one.digest, NULL, "go on with record 1 of the deploys: ");
    size_t size;
    const void *bytes = g_bytes_get_data(two.packed, &size);
    tamper(f, "record-1.bundle", bytes, size);
    try_go_back(f, 1, one.digest, NULL, "refuse the bundle: it is 'sha256:");
    bytes = g_bytes_get_data(one.packed, &size);
    tamper(f, "record-1.bundle", bytes, size);
    go_back(f, 1, one.digest, NULL);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
#define ADD(name, function) g_test_add(name, Fixture, NULL, set_up, function, tear_down)
    ADD("/keep/history", test_history);
    ADD("/keep/refused", test_refused);
    ADD("/keep/tampered", test_tampered);
    ADD("/keep/last-is-damaged", test_last_is_damaged);
    ADD("/keep/retired-key", test_retired_key);
    ADD("/keep/disk-full", test_disk_full);
    ADD("/keep/go-back", test_go_back);
    ADD("/keep/go-back-fails", test_go_back_fails);
#undef ADD
    return g_test_run();
}
