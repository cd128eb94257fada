/* password: made once, kept 0600, handed out as a secret, hashed for user. */
#include <crypt.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/json.h"
#include "host/host-fake.h"
#include "kinds/kind-test.h"
#include "kinds/kinds.h"

typedef struct {
    char *dir;
    Host *host;
    KindTest *test;
} Fixture;

static void setup(Fixture *fixture, gconstpointer data) {
    fixture->dir = g_dir_make_tmp("stead-password-XXXXXX", NULL);
    fixture->host = host_fake_new();
    fixture->test = kind_test_new(fixture->host);
    fixture->test->state_dir = fixture->dir;
}

static void remove_files(const char *dir) {
    GDir *names = g_dir_open(dir, 0, NULL);
    for (const char *name; names && (name = g_dir_read_name(names));) {
        g_autofree char *path = g_build_filename(dir, name, NULL);
        g_unlink(path);
    }
    g_clear_pointer(&names, g_dir_close);
    g_rmdir(dir);
}

static void teardown(Fixture *fixture, gconstpointer data) {
    g_autofree char *below = g_build_filename(fixture->dir, "password", NULL);
    kind_test_free(fixture->test);
    host_free(fixture->host);
    remove_files(below);
    remove_files(fixture->dir);
    g_free(fixture->dir);
}

static char *kept_file(const Fixture *fixture, const char *name) {
    return g_build_filename(fixture->dir, "password", name, NULL);
}

static const char *output(const KindRound *round, const char *name) {
    const Value *value = value_map_get(round->outputs, name);
    g_assert_true(value == NULL || value_is_secret(value));
    return value ? value_string(value) : NULL;
}

static void check_hash(const KindRound *round) {
    struct crypt_data data = { 0 };
    const char *hash = output(round, "hash");
    g_assert_true(g_str_has_prefix(hash, "$y$"));
    g_assert_cmpstr(crypt_r(output(round, "password"), hash, &data), ==, hash);
}

static void test_made_once(Fixture *fixture, gconstpointer data) {
    g_autoptr(Resource) resource = kind_test_resource(&kind_password, "ada", "length:=20", NULL);
    g_autoptr(KindRound) made = kind_test_converge(fixture->test, resource, ACTION_CREATE);
    g_assert_cmpuint(strlen(output(made, "password")), ==, 20);
    check_hash(made);

    g_autofree char *path = kept_file(fixture, "ada");
    struct stat st;
    g_assert_cmpint(stat(path, &st), ==, 0);
    g_assert_cmpint(st.st_mode & 07777, ==, 0600);
    g_autofree char *directory = g_path_get_dirname(path);
    g_assert_cmpint(stat(directory, &st), ==, 0);
    g_assert_cmpint(st.st_mode & 07777, ==, 0700);

    g_autoptr(KindRound) again = kind_test_converge(fixture->test, resource, ACTION_NONE);
    g_assert_cmpstr(output(again, "password"), ==, output(made, "password"));
    g_assert_cmpstr(output(again, "hash"), ==, output(made, "hash"));
    g_autoptr(Value) state = state_to_value(again->before);
    g_autofree char *text = json_print(state, JSON_REVEAL);
    g_assert_null(strstr(text, output(made, "password")));
}

static void test_plan(Fixture *fixture, gconstpointer data) {
    g_autoptr(Resource) resource = kind_test_resource(&kind_password, "ada", NULL);
    g_autoptr(KindRound) plan = kind_test_plan(fixture->test, resource);
    g_assert_cmpint(plan->changes->action, ==, ACTION_CREATE);
    g_assert_cmpint(value_type(value_map_get(plan->outputs, "password")), ==, VALUE_UNKNOWN);
    g_assert_cmpint(value_type(value_map_get(plan->outputs, "hash")), ==, VALUE_UNKNOWN);
    g_autofree char *path = kept_file(fixture, "ada");
    g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
}

static void test_refresh(Fixture *fixture, gconstpointer data) {
    g_autoptr(Resource) resource = kind_test_resource(&kind_password, "ada", NULL);
    g_autoptr(KindRound) made = kind_test_converge(fixture->test, resource, ACTION_CREATE);
    fixture->test->refresh = true;
    g_autoptr(KindRound) other = kind_test_converge(fixture->test, resource, ACTION_CHANGE);
    g_assert_cmpstr(output(other, "password"), !=, output(made, "password"));
    check_hash(other);
    fixture->test->refresh = false;
    g_autoptr(KindRound) quiet = kind_test_converge(fixture->test, resource, ACTION_NONE);
    g_assert_cmpstr(output(quiet, "password"), ==, output(other, "password"));
}

static void test_not_saved(Fixture *fixture, gconstpointer data) {
    g_autoptr(Resource) hashed = kind_test_resource(&kind_password, "ada", "saved:=false", NULL);
    g_autoptr(Resource) saved = kind_test_resource(&kind_password, "ada", NULL);
    g_autoptr(KindRound) made = kind_test_round(fixture->test, hashed);
    g_assert_no_error(made->error);
    g_autoptr(KindRound) again = kind_test_converge(fixture->test, hashed, ACTION_NONE);
    g_assert_null(output(again, "password"));
    g_assert_nonnull(output(again, "hash"));
    g_autoptr(KindRound) new = kind_test_converge(fixture->test, saved, ACTION_CHANGE);
    g_assert_cmpstr(output(new, "hash"), !=, output(again, "hash"));
    g_autoptr(KindRound) dropped = kind_test_converge(fixture->test, hashed, ACTION_CHANGE);
    g_assert_cmpstr(output(dropped, "hash"), ==, output(new, "hash"));
    g_autofree char *path = kept_file(fixture, "ada"), *text = NULL;
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_assert_cmpint(text[0], ==, '\n');
}

static void test_damaged(Fixture *fixture, gconstpointer data) {
    static const struct {
        const char *content, *text;
    } cases[] = {
        { "", "it is cut off" },
        { "abc", "it is cut off" },
        { "abc\n", "it has no hash" },
        { "abc\nhash\n", "it has no hash" },
        { "a b\n$y$x\n", "characters that stead never uses" },
        { "abc\n$y$x\n", "it has 3 characters, not 64" },
        { "abc\n$y$x\nmore\n", "it has no hash" },
    };
    g_autoptr(Resource) strict = kind_test_resource(&kind_password, "ada", NULL);
    g_autoptr(Resource) lenient =
        kind_test_resource(&kind_password, "ada", "check_recovery:=true", NULL);
    g_autofree char *path = kept_file(fixture, "ada");
    kind_test_expect(fixture->test, strict, ACTION_CREATE);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_assert_true(g_file_set_contents(path, cases[i].content, -1, NULL));
        kind_test_expect_error(fixture->test, strict, cases[i].text);
        kind_test_expect(fixture->test, lenient, ACTION_CREATE);
    }
}

static void test_absent(Fixture *fixture, gconstpointer data) {
    g_autoptr(Resource) resource = kind_test_resource(&kind_password, "../x", NULL);
    g_autofree char *path = kept_file(fixture, "%2E%2E%2Fx");
    kind_test_expect(fixture->test, resource, ACTION_CREATE);
    g_assert_true(g_file_test(path, G_FILE_TEST_EXISTS));
    kind_test_undo(fixture->test, resource, ON_REMOVE_REMOVE);
    g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));

    g_autoptr(Resource) absent = kind_test_resource(&kind_password, "../x", "state=absent", NULL);
    kind_test_expect(fixture->test, absent, ACTION_NONE);
    kind_test_expect(fixture->test, resource, ACTION_CREATE);
    g_assert_true(g_file_set_contents(path, "damaged", -1, NULL));
    kind_test_expect(fixture->test, absent, ACTION_REMOVE);
}

static void test_clean(Fixture *fixture, gconstpointer data) {
    g_autoptr(Resource) ada = kind_test_resource(&kind_password, "ada", NULL);
    g_autoptr(Resource) other = kind_test_resource(&kind_password, "ada.X123YZ", NULL);
    kind_test_expect(fixture->test, ada, ACTION_CREATE);
    kind_test_expect(fixture->test, other, ACTION_CREATE);
    g_autofree char *left = kept_file(fixture, "ada.A1B2C3");
    g_assert_true(g_file_set_contents(left, "secret\n", -1, NULL));
    KindRun run = { .host = fixture->host, .resource = ada, .state_dir = fixture->dir };
    g_assert_true(kind_password.clean(&run, NULL));
    g_assert_false(g_file_test(left, G_FILE_TEST_EXISTS));
    kind_test_expect(fixture->test, ada, ACTION_NONE);
    kind_test_expect(fixture->test, other, ACTION_NONE);
}

/* Every character comes. A modulo bias would favour the first eight of the alphabet by a quarter:
 * their share of 10,240 is 1,321, with a standard deviation of 34; with the bias it would be 1,600.
 */
static void test_even(Fixture *fixture, gconstpointer data) {
    unsigned seen[256] = { 0 }, first = 0, different = 0;
    g_autoptr(Resource) resource = kind_test_resource(&kind_password, "ada", "length:=256", NULL);
    fixture->test->refresh = true;
    for (unsigned i = 0; i < 40; i++) {
        g_autoptr(KindRound) round = kind_test_round(fixture->test, resource);
        g_assert_no_error(round->error);
        for (const char *c = output(round, "password"); *c; c++)
            seen[(unsigned char)*c]++;
    }
    for (unsigned c = 0; c < 256; c++)
        different += seen[c] > 0;
    for (unsigned c = '0'; c <= '7'; c++)
        first += seen[c];
    g_assert_cmpuint(different, ==, 62);
    g_assert_cmpuint(first, >, 1321 - 5 * 34);
    g_assert_cmpuint(first, <, 1321 + 5 * 34);
}

static void test_refused(Fixture *fixture, gconstpointer data) {
    g_autofree char *zero = kind_test_problems(&kind_password, "x", "length:=0", NULL);
    g_autofree char *long_one = kind_test_problems(&kind_password, "x", "length:=257", NULL);
    g_assert_nonnull(strstr(zero, "1 to 256 characters"));
    g_assert_nonnull(strstr(long_one, "1 to 256 characters"));
    fixture->test->state_dir = NULL;
    g_autoptr(Resource) resource = kind_test_resource(&kind_password, "x", NULL);
    kind_test_expect_error(fixture->test, resource, "give one with --state DIR");
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
#define ADD(path, function)                                                                        \
    g_test_add("/kinds/password/" path, Fixture, NULL, setup, function, teardown)
    ADD("made-once", test_made_once);
    ADD("plan", test_plan);
    ADD("refresh", test_refresh);
    ADD("not-saved", test_not_saved);
    ADD("damaged", test_damaged);
    ADD("absent", test_absent);
    ADD("clean", test_clean);
    ADD("even", test_even);
    ADD("refused", test_refused);
    return g_test_run();
}
