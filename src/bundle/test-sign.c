/* bundle: keys, lists of keys, statements. */
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/disk.h"
#include "base/error.h"
#include "bundle/sign-statement.h"

static SigningKey *new_key(void) {
    g_autoptr(GError) error = NULL;
    SigningKey *key = signing_key_new(&error);
    g_assert_no_error(error);
    return key;
}

static void assert_refused(GError *error, const char *part) {
    g_assert_nonnull(error);
    if (strstr(error->message, part) == NULL)
        g_error("'%s' is not in: %s", part, error->message);
    g_error_free(error);
}

static void test_key_file(void) {
    g_autoptr(GError) error = NULL;
    g_autofree char *top = g_dir_make_tmp("stead-key-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(top, "key", NULL);
    g_autoptr(SigningKey) key = new_key();
    struct stat info;
    g_assert_true(signing_key_save(key, path, &error));
    g_assert_cmpint(stat(path, &info), ==, 0);
    g_assert_cmpuint(info.st_mode & 07777, ==, 0600);
    g_autoptr(SigningKey) again = signing_key_load(path, &error);
    g_assert_no_error(error);
    g_assert_true(public_key_equal(signing_key_public(key), signing_key_public(again)));
    g_assert_false(signing_key_save(key, path, &error));
    assert_refused(g_steal_pointer(&error), "it exists");
    g_assert_cmpint(chmod(path, 0640), ==, 0);
    g_assert_null(signing_key_load(path, &error));
    assert_refused(g_steal_pointer(&error), "others may read it; chmod 600 it");
    g_assert_true(g_file_set_contents(path, "no key", -1, NULL));
    g_assert_cmpint(chmod(path, 0600), ==, 0);
    g_assert_null(signing_key_load(path, &error));
    assert_refused(g_steal_pointer(&error), "holds no ed25519 key");
    disk_remove_tree(top);
}

static void test_public_line(void) {
    g_autoptr(GError) error = NULL;
    g_autoptr(SigningKey) key = new_key();
    g_autofree char *line = public_key_line(signing_key_public(key), "ada at her desk");
    g_autofree char *comment = NULL;
    PublicKey read;
    g_assert_true(public_key_parse(line, &read, &comment, &error));
    g_assert_cmpstr(comment, ==, "ada at her desk");
    g_assert_true(public_key_equal(&read, signing_key_public(key)));
    static const char *const bad[] = { "", "stead-ed25519", "stead-ed25519 AAAA",
                                       "ssh-ed25519 AAAA x" };
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_assert_false(public_key_parse(bad[i], &read, NULL, &error));
        assert_refused(g_steal_pointer(&error), "this is no public key");
    }
}

static Statement deploy(uint64_t record, char digit, char previous) {
    Statement statement = { .record = record,
                            .time = 1795270472,
                            .message = (char *)(uintptr_t) "why" };
    memset(statement.digest, digit, DIGEST_HEX_SIZE - 1);
    if (previous != '\0')
        memset(statement.previous, previous, DIGEST_HEX_SIZE - 1);
    return statement;
}

static void test_statement(void) {
    g_autoptr(GError) error = NULL;
    g_autoptr(SigningKey) key = new_key();
    Statement made = deploy(2, 'b', 'a');
    g_autofree char *text = statement_sign(&made, key, &error);
    g_assert_no_error(error);
    g_auto(Statement) read = { 0 };
    g_assert_true(statement_read(text, strlen(text), &read, &error));
    g_assert_cmpstr(read.digest, ==, made.digest);
    g_assert_cmpstr(read.previous, ==, made.previous);
    g_assert_cmpstr(read.message, ==, "why");
    g_assert_cmpuint(read.record, ==, 2);
    g_assert_cmpuint(read.time, ==, 1795270472);
    g_assert_true(public_key_equal(&read.key, signing_key_public(key)));

    /* Not one byte may change. */
    size_t size = strlen(text);
    for (size_t i = 0; i < size; i++) {
        g_autofree char *changed = g_strdup(text);
        g_auto(Statement) other = { 0 };
        changed[i] ^= 1;
        g_assert_false(statement_read(changed, size, &other, NULL));
        g_assert_false(statement_read(text, i, &other, NULL));
    }
    g_autofree char *longer = g_strconcat(text, "\n", NULL);
    g_assert_false(statement_read(longer, size + 1, &read, &error));
    assert_refused(g_steal_pointer(&error), "nothing may come after the signature");
}

static void test_statement_rules(void) {
    static const struct {
        uint64_t record;
        char previous;
        const char *message, *part;
    } cases[] = {
        { 0, '\0', "why", "counted from 1" },     { 1, 'a', "why", "no previous bundle" },
        { 2, '\0', "why", "no previous bundle" }, { 1, '\0', "", "one line" },
        { 1, '\0', "two\nlines", "one line" },
    };
    g_autoptr(SigningKey) key = new_key();
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        GError *error = NULL;
        Statement made = deploy(cases[i].record, 'b', cases[i].previous);
        made.message = (char *)(uintptr_t)cases[i].message;
        g_assert_null(statement_sign(&made, key, &error));
        assert_refused(error, cases[i].part);
    }
}

static void test_order(void) {
    static const struct {
        uint64_t record;
        char digit, previous;
        const char *part; /* NULL: follows record 5 with bundle c */
    } cases[] = {
        { 5, 'c', 'b', NULL },
        { 6, 'd', 'c', NULL },
        { 9, 'f', 'e', NULL },
        { 4, 'b', 'a', "record 5 was here already" },
        { 5, 'd', 'b', "another one of this number was here" },
        { 5, 'c', 'a', "another one of this number was here" },
        { 6, 'd', 'b', "it was made after bundle" },
    };
    Statement last = deploy(5, 'c', 'b');
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        GError *error = NULL;
        Statement next = deploy(cases[i].record, cases[i].digit, cases[i].previous);
        bool follows = statement_follows(&next, &last, &error);
        g_assert_true(follows == (cases[i].part == NULL));
        if (!follows)
            assert_refused(error, cases[i].part);
    }
    g_assert_true(statement_follows(&last, NULL, NULL));
}

static KeyList *checked(KeyList *list, GError *error) {
    g_assert_no_error(error);
    return list;
}

static bool accepts(const KeyList *list, const SigningKey *key, uint64_t record) {
    return key_list_accepts(list, signing_key_public(key), record, "it", NULL);
}

static void test_rotation(void) {
    GError *error = NULL;
    g_autoptr(SigningKey) ada = new_key();
    g_autoptr(SigningKey) bob = new_key();
    g_autoptr(SigningKey) eve = new_key();
    g_autoptr(KeyList) first =
        checked(key_list_add(NULL, signing_key_public(ada), "ada", ada, &error), error);
    g_autoptr(KeyList) second =
        checked(key_list_add(first, signing_key_public(bob), "bob", ada, &error), error);
    g_autoptr(KeyList) third =
        checked(key_list_retire(second, signing_key_public(ada), 7, bob, &error), error);
    g_assert_cmpuint(key_list_number(third), ==, 3);
    g_assert_true(accepts(first, ada, 100) && !accepts(first, bob, 1));
    g_assert_true(accepts(third, bob, 100) && accepts(third, ada, 7) && !accepts(third, ada, 8));

    /* A host that was given the first list, or ada's key alone, follows by itself. */
    const char *chain = key_list_chain(third);
    g_autoptr(KeyList) followed =
        checked(key_list_advance(first, chain, strlen(chain), &error), error);
    g_assert_cmpuint(key_list_number(followed), ==, 3);
    g_autofree char *line = public_key_line(signing_key_public(ada), "ada");
    g_autoptr(KeyList) pinned = checked(key_list_of_lines(line, &error), error);
    g_autoptr(KeyList) met = checked(key_list_advance(pinned, chain, strlen(chain), &error), error);
    g_assert_cmpuint(key_list_number(met), ==, 3);

    /* Nobody goes back, or to a list that somebody else began. */
    const char *old = key_list_chain(second);
    g_assert_null(key_list_advance(third, old, strlen(old), &error));
    assert_refused(g_steal_pointer(&error), "does not go on from list 3");
    g_autoptr(KeyList) evil =
        checked(key_list_add(NULL, signing_key_public(eve), "eve", eve, &error), error);
    const char *foreign = key_list_chain(evil);
    g_assert_null(key_list_advance(first, foreign, strlen(foreign), &error));
    assert_refused(g_steal_pointer(&error), "does not go on from list 1");
    g_assert_null(key_list_advance(pinned, foreign, strlen(foreign), &error));
    assert_refused(g_steal_pointer(&error), "does not go on from list 0");

    /* Only listed keys sign lists: not a stranger's, not a retired one. */
    g_assert_null(key_list_add(first, signing_key_public(eve), "eve", eve, &error));
    assert_refused(g_steal_pointer(&error), "not signed by a key of the list before it");
    g_assert_null(key_list_add(third, signing_key_public(eve), "eve", ada, &error));
    assert_refused(g_steal_pointer(&error), "not signed by a key of the list before it");
    g_assert_null(key_list_add(third, signing_key_public(ada), "ada", bob, &error));
    assert_refused(g_steal_pointer(&error), "a retired one never comes back");
    g_assert_null(key_list_retire(third, signing_key_public(bob), 9, bob, &error));
    assert_refused(g_steal_pointer(&error), "no key is left");

    /* Lists of two histories do not mix, although all are signed by the same key. */
    g_autoptr(KeyList) other =
        checked(key_list_add(first, signing_key_public(eve), "eve", ada, &error), error);
    g_autoptr(KeyList) longer =
        checked(key_list_retire(second, signing_key_public(bob), 1, ada, &error), error);
    g_autofree char *mixed =
        g_strconcat(key_list_chain(other), key_list_chain(longer) + strlen(old), NULL);
    g_assert_null(key_list_of_chain(mixed, strlen(mixed), &error));
    assert_refused(g_steal_pointer(&error), "does not go on from the list before it");

    /* Not one byte may change, and no list may be left out. */
    for (size_t i = 0; i < strlen(chain); i += 7) {
        g_autofree char *changed = g_strdup(chain);
        changed[i] ^= 1;
        g_assert_null(key_list_of_chain(changed, strlen(changed), NULL));
    }
    const char *last = chain + strlen(key_list_chain(second));
    g_assert_null(key_list_of_chain(last, strlen(last), &error));
    assert_refused(g_steal_pointer(&error), "does not go on from the list before it");
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/sign/key-file", test_key_file);
    g_test_add_func("/sign/public-line", test_public_line);
    g_test_add_func("/sign/statement", test_statement);
    g_test_add_func("/sign/statement-rules", test_statement_rules);
    g_test_add_func("/sign/order", test_order);
    g_test_add_func("/sign/rotation", test_rotation);
    return g_test_run();
}
