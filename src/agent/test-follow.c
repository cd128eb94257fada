/* What a follower takes up, in which order, and what is on the disk when it is killed. */
#include <glib/gstdio.h>
#include <string.h>

#include "agent/follow.h"
#include "base/disk.h"
#include "base/error.h"
#include "fleet/deploy.h"
#include "fleet/layout.h"
#include "fleet/test-fleet.h"

#define RECORDS 4u

typedef struct {
    GBytes *packed, *text;
    char digest[DIGEST_HEX_SIZE];
} Made;

typedef struct {
    Fleet fleet;
    char *top, *directory, *pinned;
    SigningKey *key;
    Made made[RECORDS + 1]; /* by record; main.lua is "-- RECORD" */
    Store *line;
    Follower *follower;
    char *running;        /* content of the main.lua that was handed on last */
    const char *unusable; /* a main.lua that whoever runs it refuses; or NULL */
    bool holds;           /* does not answer what it was handed */
    unsigned runs, bad_notes;
    char *note; /* the last bad one */
} World;

/* --- who runs it ------------------------------------------------------------------------------ */

static void answer(void *data) {
    World *world = data;
    g_autoptr(GError) error = NULL;
    if (world->unusable && strcmp(world->running, world->unusable) == 0)
        error = g_error_new(STEAD_ERROR, STEAD_ERROR_CONFIG, "main.lua:1: no good");
    follower_taken(world->follower, error);
    follower_steady(world->follower, true);
}

static void on_run(void *data, const char *file) {
    World *world = data;
    g_free(world->running);
    g_assert_true(g_file_get_contents(file, &world->running, NULL, NULL));
    world->runs++;
    if (!world->holds)
        loop_post(world->fleet.loop, answer, world);
}

static void on_changed(void *data) {
}

static void on_note(void *data, bool bad, const char *text) {
    World *world = data;
    if (!bad)
        return;
    world->bad_notes++;
    g_free(world->note);
    world->note = g_strdup(text);
    g_test_message("%s", text);
}

static void on_reached(void *data, const GError *error) {
}

/* --- world ------------------------------------------------------------------------------------ */

static Made make(const World *world, uint64_t record, const char *previous, const char *content,
                 const SigningKey *key) {
    g_autoptr(GError) error = NULL;
    g_autofree char *site = g_build_filename(world->top, "site", NULL);
    g_autofree char *main = g_build_filename(site, BUNDLE_MAIN, NULL);
    g_assert_cmpint(g_mkdir_with_parents(site, 0755), ==, 0);
    g_assert_true(g_file_set_contents(main, content, -1, NULL));
    g_autoptr(Bundle) bundle = bundle_of_directory(site, BUNDLE_MAIN, &error);
    g_assert_no_error(error);
    Statement statement = { .record = record, .time = 1, .message = (char *)(uintptr_t) "why" };
    g_strlcpy(statement.digest, bundle->digest, DIGEST_HEX_SIZE);
    g_strlcpy(statement.previous, previous, DIGEST_HEX_SIZE);
    char *text = statement_sign(&statement, key, &error);
    Made made = { bundle_write(bundle, &error), g_bytes_new_take(text, strlen(text)), "" };
    g_assert_no_error(error);
    g_strlcpy(made.digest, bundle->digest, DIGEST_HEX_SIZE);
    return made;
}

static void made_clear(Made *made) {
    g_clear_pointer(&made->packed, g_bytes_unref);
    g_clear_pointer(&made->text, g_bytes_unref);
}

static void start(World *world) {
    g_autoptr(GError) error = NULL;
    FollowerOptions options = {
        .loop = world->fleet.loop,
        .store = world->line,
        .host = "web1",
        .directory = world->directory,
        .pinned = world->pinned,
        .listener = { on_run, on_changed, on_note, on_reached, world },
    };
    world->follower = follower_new(&options, &error);
    g_assert_no_error(error);
}

/* As by kill -9: nothing of it is ended in order. */
static void stop(World *world) {
    g_clear_pointer(&world->follower, follower_free);
    loop_unpost(world->fleet.loop, answer, world);
    g_clear_pointer(&world->running, g_free);
}

static void set_up(World *world, gconstpointer data) {
    g_autoptr(GError) error = NULL;
    fleet_open(&world->fleet);
    world->line = line_new(&world->fleet);
    world->top = g_dir_make_tmp("stead-follow-XXXXXX", NULL);
    world->directory = g_build_filename(world->top, "deploy", NULL);
    world->pinned = g_build_filename(world->top, "deploy-keys", NULL);
    world->key = signing_key_new(&error);
    g_assert_no_error(error);
    g_autofree char *line = public_key_line(signing_key_public(world->key), "ada");
    g_assert_true(g_file_set_contents(world->pinned, line, -1, NULL));
    for (uint64_t record = 1; record <= RECORDS; record++) {
        g_autofree char *content = g_strdup_printf("-- %u", (unsigned)record);
        world->made[record] =
            make(world, record, world->made[record - 1].digest, content, world->key);
    }
}

static void tear_down(World *world, gconstpointer data) {
    stop(world);
    store_free(world->line);
    for (unsigned i = 0; i <= RECORDS; i++)
        made_clear(&world->made[i]);
    signing_key_free(world->key);
    disk_remove_tree(world->top);
    g_free(world->note);
    g_free(world->top);
    g_free(world->directory);
    g_free(world->pinned);
    fleet_close(&world->fleet);
}

/* --- what a hub puts into the store ----------------------------------------------------------- */

static void put_bytes(World *world, const char *key, GBytes *value) {
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) name = layout_bytes(key);
    g_autoptr(StoreAnswer) done =
        store_wait(store_put(world->fleet.store, name, value, 0, NULL, NULL), &error);
    g_assert_no_error(error);
}

static void put_bundle(World *world, const Made *made) {
    g_autofree char *prefix = g_strconcat(LAYOUT_CHUNK, made->digest, "/u/", NULL);
    g_autofree char *chunk = layout_numbered(prefix, 0);
    g_autofree char *head = g_strconcat(LAYOUT_HEAD, made->digest, NULL);
    g_autofree char *text = g_strdup_printf("{\"size\":%zu,\"upload\":\"%s/u\"}",
                                            g_bytes_get_size(made->packed), made->digest);
    put_bytes(world, chunk, made->packed);
    fleet_put(&world->fleet, head, text);
}

static void put_record(World *world, uint64_t record, const Made *made) {
    g_autofree char *key = layout_numbered(LAYOUT_RECORD, record);
    g_autofree char *statement =
        g_strndup(g_bytes_get_data(made->text, NULL), g_bytes_get_size(made->text));
    g_autofree char *escaped = g_strescape(statement, NULL);
    g_autofree char *text =
        g_strdup_printf("{\"digest\":\"%s\",\"statement\":\"%s\"}", made->digest, escaped);
    fleet_put(&world->fleet, key, text);
}

static void put_desired(World *world, uint64_t record, bool back) {
    g_autofree char *text =
        g_strdup_printf("{\"record\":%u,\"digest\":\"%s\",\"back\":%s}", (unsigned)record,
                        world->made[record].digest, back ? "true" : "false");
    fleet_put(&world->fleet, LAYOUT_DESIRED "web1", text);
}

static void deploy(World *world, uint64_t record) {
    put_bundle(world, &world->made[record]);
    put_record(world, record, &world->made[record]);
    put_desired(world, record, false);
}

/* --- what is expected ------------------------------------------------------------------------- */

typedef struct {
    World *world;
    int64_t record;
    const char *error; /* NULL: none */
    bool good;
} Expected;

static bool is_so(void *data) {
    const Expected *expected = data;
    g_autoptr(Value) status = follower_status(expected->world->follower);
    const char *error = value_map_string(status, "error", NULL);
    return value_map_int(status, "record", 0) == expected->record &&
           (expected->error ? error && strstr(error, expected->error) : !error) &&
           (!expected->good || value_map_bool(status, "good", false));
}

static void expect(World *world, int64_t record, const char *error) {
    Expected expected = { world, record, error, false };
    fleet_run_until(&world->fleet, is_so, &expected);
    g_autofree char *content = g_strdup_printf("-- %d", (int)record);
    if (record != 0 && !error)
        g_assert_cmpstr(world->running, ==, content);
}

static void expect_good(World *world, int64_t record) {
    Expected expected = { world, record, NULL, true };
    fleet_run_until(&world->fleet, is_so, &expected);
}

/* --- tests ------------------------------------------------------------------------------------ */

/* The parts of a deploy may be seen in any order. */
static void test_every_order(World *world, gconstpointer data) {
    static const char orders[][4] = { "bro", "bor", "rbo", "rob", "obr", "orb" };
    for (unsigned i = 0; i < G_N_ELEMENTS(orders); i++) {
        start(world);
        for (const char *part = orders[i]; *part; part++) {
            if (*part == 'b')
                put_bundle(world, &world->made[1]);
            else if (*part == 'r')
                put_record(world, 1, &world->made[1]);
            else
                put_desired(world, 1, false);
            fleet_run_for(&world->fleet, G_USEC_PER_SEC);
        }
        expect(world, 1, NULL);
        stop(world);
        disk_remove_tree(world->directory);
        store_free(world->line);
        store_free(world->fleet.store);
        world->fleet.store = store_open_memory(world->fleet.loop);
        world->line = line_new(&world->fleet);
    }
}

/* A newer one comes while an older one is on its way; each time another call is the last. */
static void test_store_is_lost_at_every_call(World *world, gconstpointer data) {
    static const LineBreak breaks[] = { LINE_DIES_BEFORE, LINE_DIES_AFTER, LINE_LOSES_ANSWER };
    for (unsigned how = 0; how < G_N_ELEMENTS(breaks); how++)
        for (unsigned calls = 1; calls <= 10; calls++) {
            deploy(world, 1);
            line_break(world->line, calls, breaks[how]);
            start(world);
            fleet_run_for(&world->fleet, 3 * G_USEC_PER_SEC);
            deploy(world, 2);
            line_break(world->line, 0, breaks[how]);
            line_cut(world->line, false);
            expect(world, 2, NULL);
            expect_good(world, 2);
            stop(world);
            disk_remove_tree(world->directory);
        }
}

static void test_out_of_reach(World *world, gconstpointer data) {
    deploy(world, 1);
    start(world);
    expect_good(world, 1);
    stop(world);
    line_cut(world->line, true);
    deploy(world, 2);
    start(world);
    expect(world, 1, NULL);
    g_assert_cmpuint(world->bad_notes, ==, 0); /* it is told by reached() */
    line_cut(world->line, false);
    expect(world, 2, NULL);
}

static void expect_current(const World *world, const char *content) {
    g_autofree char *main = g_build_filename(world->directory, DEPLOYS_CURRENT, BUNDLE_MAIN, NULL);
    g_autofree char *found = NULL;
    g_assert_true(g_file_get_contents(main, &found, NULL, NULL));
    g_assert_cmpstr(found, ==, content);
}

static void test_unusable(World *world, gconstpointer data) {
    FollowerStand stand;
    deploy(world, 1);
    start(world);
    expect(world, 1, NULL);
    world->unusable = "-- 2";
    deploy(world, 2);
    expect(world, 1, "main.lua:1: no good; record 1 goes on running");
    follower_stand(world->follower, &stand);
    g_assert_cmpstr(stand.digest, ==, world->made[2].digest);
    unsigned runs = world->runs;
    fleet_run_for(&world->fleet, 3600 * (uint64_t)G_USEC_PER_SEC);
    g_assert_cmpuint(world->runs, ==, runs); /* not again and again */
    deploy(world, 3);
    expect(world, 3, NULL);
}

/* What it runs already, and a record it left before it ran. */
static void test_back_from_unusable(World *world, gconstpointer data) {
    deploy(world, 1);
    start(world);
    expect_good(world, 1);
    world->unusable = "-- 2";
    deploy(world, 2);
    expect(world, 1, "no good");
    expect_current(world, "-- 1"); /* what lies beside it is its own again */
    put_desired(world, 1, true);
    expect(world, 1, NULL);
    world->unusable = NULL;
    put_desired(world, 2, false);
    expect(world, 1, "went back from it");
    deploy(world, 3);
    expect(world, 3, NULL);
}

/* Deploys in a row: each was fine for less than it takes to be good. */
static void test_back_from_a_quick_one(World *world, gconstpointer data) {
    deploy(world, 1);
    start(world);
    expect_good(world, 1);
    deploy(world, 2);
    expect(world, 2, NULL);
    fleet_run_for(&world->fleet, FOLLOW_HOLD_US / 3);
    deploy(world, 3);
    expect(world, 3, NULL);
    put_desired(world, 2, true);
    expect(world, 2, NULL);
}

/* Killed at any moment, a start goes on with what was good, and gets to what is wanted. */
static void test_killed_at_any_moment(World *world, gconstpointer data) {
    deploy(world, 1);
    start(world);
    expect_good(world, 1);
    for (unsigned moment = 1; moment < 40; moment++) {
        deploy(world, 2);
        for (unsigned i = 0; i < moment; i++)
            (void)loop_turn(world->fleet.loop);
        stop(world);
        line_cut(world->line, true);
        start(world);
        expect(world, 1, NULL);
        line_cut(world->line, false);
        expect(world, 2, NULL);
        stop(world);
        g_autofree char *good = g_build_filename(world->directory, "kept", "good", NULL);
        g_autofree char *text = NULL;
        g_assert_true(g_file_get_contents(good, &text, NULL, NULL));
        g_assert_cmpstr(text, ==, "1\n");
        start(world);
    }
    expect_good(world, 2);
}

/* Nothing can be kept: told, tried again, done when there is room. */
static void test_disk_is_full(World *world, gconstpointer data) {
    deploy(world, 1);
    start(world);
    expect_good(world, 1);
    const char *const blocked[] = { "record-2.bundle", "record-2.signed" };
    for (unsigned i = 0; i < G_N_ELEMENTS(blocked); i++) {
        g_autofree char *path = g_build_filename(world->directory, "kept", blocked[i], NULL);
        g_assert_cmpint(g_mkdir(path, 0700), ==, 0); /* a rename onto it fails */
        deploy(world, 2);
        expect(world, 1, "record 1 goes on running");
        g_assert_cmpint(g_rmdir(path), ==, 0);
    }
    expect(world, 2, NULL);
}

static void test_keys_follow(World *world, gconstpointer data) {
    GError *error = NULL;
    g_autoptr(SigningKey) bob = signing_key_new(&error);
    g_autoptr(KeyList) first =
        key_list_add(NULL, signing_key_public(world->key), "ada", world->key, &error);
    g_autoptr(KeyList) second =
        key_list_add(first, signing_key_public(bob), "bob", world->key, &error);
    g_autoptr(KeyList) third =
        key_list_retire(second, signing_key_public(world->key), 1, bob, &error);
    g_assert_no_error(error);
    deploy(world, 1);
    start(world);
    expect_good(world, 1);
    made_clear(&world->made[2]);
    world->made[2] = make(world, 2, world->made[1].digest, "-- 2", bob);
    deploy(world, 2);
    expect(world, 1, "which does not count here");
    fleet_put(&world->fleet, LAYOUT_KEYS, key_list_chain(second));
    expect(world, 2, NULL); /* by itself */
    expect_good(world, 2);
    fleet_put(&world->fleet, LAYOUT_KEYS, key_list_chain(third));
    deploy(world, 3); /* by ada */
    expect(world, 2, "was retired after record 1");
    stop(world);
    fleet_put(&world->fleet, LAYOUT_KEYS, key_list_chain(second)); /* an older list */
    start(world);
    expect(world, 2, "was retired after record 1");
}

/* What is being switched is waited for; what came meanwhile is next. */
static void test_newer_while_switching(World *world, gconstpointer data) {
    world->holds = true;
    deploy(world, 1);
    start(world);
    while (world->runs == 0)
        fleet_run_for(&world->fleet, 10000);
    deploy(world, 2);
    deploy(world, 3);
    fleet_run_for(&world->fleet, G_USEC_PER_SEC);
    g_assert_cmpuint(world->runs, ==, 1);
    world->holds = false;
    answer(world);
    expect(world, 3, NULL);
    g_assert_cmpuint(world->runs, ==, 2); /* record 2 was passed over */
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
#define ADD(name, function) g_test_add("/follow/" name, World, NULL, set_up, function, tear_down)
    ADD("every-order", test_every_order);
    ADD("store-is-lost-at-every-call", test_store_is_lost_at_every_call);
    ADD("out-of-reach", test_out_of_reach);
    ADD("unusable", test_unusable);
    ADD("back-from-unusable", test_back_from_unusable);
    ADD("back-from-a-quick-one", test_back_from_a_quick_one);
    ADD("killed-at-any-moment", test_killed_at_any_moment);
    ADD("disk-is-full", test_disk_is_full);
    ADD("keys-follow", test_keys_follow);
    ADD("newer-while-switching", test_newer_while_switching);
#undef ADD
    return g_test_run();
}
