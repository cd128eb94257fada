/* channel: what is to be done with a commit, what a channel may be. */
#include "hub/channel.h"

#include <string.h>

#include "base/error.h"
#include "hub/git.h"
#include "hub/hub-private.h"

#define DIGEST_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define DIGEST_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define DIGEST_C "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"

typedef struct {
    SigningKey *ours, *other;
    KeyList *keys;
} Fixture;

static void set_up(Fixture *f, gconstpointer data) {
    g_autoptr(GError) error = NULL;
    f->ours = signing_key_new(&error);
    f->other = signing_key_new(&error);
    g_assert_no_error(error);
    f->keys = key_list_add(NULL, signing_key_public(f->ours), "ada", f->ours, &error);
    g_assert_no_error(error);
}

static void tear_down(Fixture *f, gconstpointer data) {
    signing_key_free(f->ours);
    signing_key_free(f->other);
    key_list_unref(f->keys);
}

static GBytes *sign(const SigningKey *key, uint64_t record, const char *previous,
                    const char *digest) {
    g_autoptr(GError) error = NULL;
    Statement statement = { .record = record, .time = 1, .message = (char *)(uintptr_t) "why" };
    g_strlcpy(statement.digest, digest, DIGEST_HEX_SIZE);
    g_strlcpy(statement.previous, previous, DIGEST_HEX_SIZE);
    char *text = statement_sign(&statement, key, &error);
    g_assert_no_error(error);
    return g_bytes_new_take(text, strlen(text));
}

static void assert_verdict(const ChannelCommit *commit, Verdict expected, const char *part) {
    g_auto(Statement) read = { 0 };
    g_autofree char *why = NULL;
    Verdict verdict = channel_judge(commit, &read, &why);
    g_assert_cmpstr(verdict_name(verdict), ==, verdict_name(expected));
    if (part && (!why || !strstr(why, part)))
        g_error("expected '%s' in: %s", part, why);
    g_assert_true((why == NULL) == (expected == VERDICT_DEPLOY));
    g_assert_true((read.record > 0) == (expected == VERDICT_DEPLOY || expected == VERDICT_CURRENT));
}

static void test_judge(Fixture *f, gconstpointer data) {
    g_autoptr(GBytes) first = sign(f->ours, 1, "", DIGEST_A);
    g_autoptr(GBytes) second = sign(f->ours, 2, DIGEST_A, DIGEST_B);
    g_autoptr(GBytes) stranger = sign(f->other, 2, DIGEST_A, DIGEST_B);
    g_autoptr(GBytes) damaged = g_bytes_new_from_bytes(second, 0, g_bytes_get_size(second) - 5);
    ChannelCommit commit = { .keys = f->keys, .newest_digest = "" };
    assert_verdict(&commit, VERDICT_UNSIGNED, "sign it: 'stead deploy DIR --sign-only'");
    commit.statement = first;
    assert_verdict(&commit, VERDICT_DEPLOY, NULL);
    commit.digest = DIGEST_A;
    assert_verdict(&commit, VERDICT_DEPLOY, NULL);
    commit.digest = DIGEST_B;
    assert_verdict(&commit, VERDICT_REFUSED, "was changed after it was signed");
    commit.keys = NULL;
    assert_verdict(&commit, VERDICT_REFUSED, "stead key publish");

    commit = (ChannelCommit){ .statement = second,
                              .digest = DIGEST_B,
                              .keys = f->keys,
                              .newest = 1,
                              .newest_digest = DIGEST_A };
    assert_verdict(&commit, VERDICT_DEPLOY, NULL);
    commit.statement = stranger;
    assert_verdict(&commit, VERDICT_REFUSED, "sign it with a key of the fleet");
    commit.statement = damaged;
    assert_verdict(&commit, VERDICT_REFUSED, NULL);
}

static void test_order(Fixture *f, gconstpointer data) {
    g_autoptr(GBytes) second = sign(f->ours, 2, DIGEST_A, DIGEST_B);
    ChannelCommit commit = { .statement = second, .digest = DIGEST_B, .keys = f->keys };
    commit.newest = 0, commit.newest_digest = "";
    assert_verdict(&commit, VERDICT_STALE, "the newest is only 0");
    commit.newest = 1, commit.newest_digest = DIGEST_C;
    assert_verdict(&commit, VERDICT_STALE, "deploy 1 has 'sha256:" DIGEST_C "'");
    commit.newest = 2, commit.newest_digest = DIGEST_C;
    assert_verdict(&commit, VERDICT_STALE, "the newest is 2 already");
    commit.newest = 7;
    assert_verdict(&commit, VERDICT_STALE, "sign it again, on top of that");
    commit.newest = 2, commit.newest_digest = DIGEST_B;
    assert_verdict(&commit, VERDICT_CURRENT, "deploy 2 has the same bundle");
    commit.digest = DIGEST_A; /* the same statement does not excuse another tree */
    assert_verdict(&commit, VERDICT_REFUSED, "was changed after it was signed");
}

static void test_settled(void) {
    g_autoptr(Value) channel = value_new_map();
    g_assert_false(channel_is_settled(channel, "1234", "1/2"));
    value_map_set(channel, "commit", value_new_string("1234"));
    value_map_set(channel, "outcome", value_new_string("stale"));
    value_map_set(channel, "basis", value_new_string("1/2"));
    g_assert_true(channel_is_settled(channel, "1234", "1/2"));
    g_assert_false(channel_is_settled(channel, "1234", "2/2")); /* the order may be right now */
    g_assert_false(channel_is_settled(channel, "1235", "1/2"));
    g_autoptr(Value) deployed = map_copy(channel, NULL);
    value_map_set(deployed, "outcome", value_new_string("deployed"));
    g_assert_true(channel_is_settled(deployed, "1234", "2/3"));
}

static void assert_refused(const char *member, const char *text) {
    g_autoptr(GError) error = NULL;
    g_autoptr(Value) wish = value_new_map();
    value_map_set(wish, "name", value_new_string("prod"));
    value_map_set(wish, "repository", value_new_string("https://example.org/x.git"));
    value_map_set(wish, "branch", value_new_string("main"));
    g_autoptr(Value) good = channel_settings(wish, &error);
    g_assert_no_error(error);
    g_assert_cmpint(value_map_int(good, "interval", 0), ==, 60);
    value_map_set(wish, member, value_new_string(text));
    g_autoptr(Value) bad = channel_settings(wish, &error);
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG);
    g_assert_null(bad);
}

static void test_settings(void) {
    static const char *const repositories[] = { "",
                                                "ext::sh -c id",
                                                "--upload-pack=id",
                                                "/srv/x",
                                                "file://x",
                                                "ssh://-oProxyCommand=id/x",
                                                "-oProxyCommand=id:x",
                                                "ssh://a:secret@x/y",
                                                "https://a b",
                                                "ftp://x/y",
                                                "https://x/\ny" };
    static const char *const branches[] = { "",   "-x",  "a..b", "a b",    "a~1",  "a^",   "a:b",
                                            "/a", "a/",  ".a",   "a.lock", "a/.b", "@",    "a//b",
                                            "a*", "a\\", "a[",   "a@{1}",  "a.",   "a\x7f" };
    static const char *const directories[] = { "/etc", "..", "a/../b", "a//b", "a/", "./a" };
    for (unsigned i = 0; i < G_N_ELEMENTS(repositories); i++)
        assert_refused("repository", repositories[i]);
    for (unsigned i = 0; i < G_N_ELEMENTS(branches); i++)
        assert_refused("branch", branches[i]);
    for (unsigned i = 0; i < G_N_ELEMENTS(directories); i++)
        assert_refused("directory", directories[i]);
    assert_refused("interval", "60s");
    assert_refused("name", "../x");
    g_assert_true(git_check_url("git@example.org:fleet/site.git", NULL));
    g_assert_true(git_check_url("ssh://git@example.org/x", NULL));
    g_assert_true(git_check_url("file:///srv/x.git", NULL));
    g_assert_true(git_check_branch("release/2026.1", NULL));
}

static void test_mask(void) {
    static const char *const rows[][2] = {
        { "https://ann:secret@example.org/x", "https://***@example.org/x" },
        { "https://token@example.org:8443/x@y", "https://***@example.org:8443/x@y" },
        { "http://a@b:c@d/x", "http://***@d/x" },
        { "https://example.org/@x", "https://example.org/@x" },
        { "ssh://git@example.org/x", "ssh://git@example.org/x" },
        { "git@example.org:x", "git@example.org:x" },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *masked = git_mask_url(rows[i][0]);
        g_assert_cmpstr(masked, ==, rows[i][1]);
    }
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add("/channel/judge", Fixture, NULL, set_up, test_judge, tear_down);
    g_test_add("/channel/order", Fixture, NULL, set_up, test_order, tear_down);
    g_test_add_func("/channel/settled", test_settled);
    g_test_add_func("/channel/settings", test_settings);
    g_test_add_func("/channel/mask", test_mask);
    return g_test_run();
}
