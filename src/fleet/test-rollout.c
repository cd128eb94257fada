/* Rollouts over hosts that are simulated, in virtual time: each of them takes what is desired after
 * a while and reports how that went. After every change of the store the invariants are checked. */
#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "fleet/layout.h"
#include "fleet/rollout-step.h"
#include "fleet/test-fleet.h"

#define SECOND    ((uint64_t)G_USEC_PER_SEC)
#define HOSTS_MAX 50u
#define TICK_US   (SECOND / 5)

typedef enum {
    TAKES,      /* converges */
    FAILS,      /* reports that it failed to */
    FALLS_MUTE, /* nothing is heard of it any more */
    FALLS_SICK, /* converges, and its health checks fail 2 s later */
    IS_SICK,    /* they never hold */
} Reaction;

typedef struct {
    char name[8];
    Reaction reaction; /* to what is new */
    bool mute;
    char running[DIGEST_HEX_SIZE];
    uint64_t ready; /* loop time when it has taken what it runs; 0: it has */
    uint64_t sick;  /* loop time when it falls sick; 0: it does not */
    unsigned taken; /* digests */
} Host;

typedef struct {
    Fleet fleet;
    Store *line; /* of the hub */
    Rollout *rollout;
    unsigned hubs; /* there have been so many */
    Roster *roster;
    LoopTimer *timer;
    Host hosts[HOSTS_MAX];
    unsigned count;
    char bad[DIGEST_HEX_SIZE]; /* all hosts fail with this digest */
    unsigned most;             /* hosts ever seen on an unproven digest */
} World;

/* --- the world */

static void digest_of(unsigned bundle, char ret_digest[DIGEST_HEX_SIZE]) {
    g_autofree char *text = g_strdup_printf("bundle %u", bundle);
    digest_bytes(text, strlen(text), ret_digest);
}

static void on_put(void *data, StoreAnswer *answer, const GError *error) {
    g_assert_no_error(error);
}

/* Not awaited: the world is called by the loop. */
static void put(World *world, const char *prefix, const char *name, const Value *value) {
    g_autofree char *key = g_strconcat(prefix, name, NULL);
    g_autofree char *text = value ? json_print(value, JSON_COMPACT) : NULL;
    g_autoptr(GBytes) key_bytes = layout_bytes(key);
    g_autoptr(GBytes) value_bytes = text ? layout_bytes(text) : NULL;
    if (value)
        (void)store_put(world->fleet.store, key_bytes, value_bytes, 0, on_put, NULL);
    else
        (void)store_delete(world->fleet.store, key_bytes, false, on_put, NULL);
}

static void report(World *world, const Host *host) {
    static char message[] = "nginx does not start", ailing[] = "http://shop/: status 500";
    uint64_t now = loop_now(world->fleet.loop);
    Report said = { .state = host->ready ? REPORT_CONVERGING : REPORT_CONVERGED,
                    .health = host->sick && now >= host->sick ? REPORT_UNHEALTHY : REPORT_HEALTHY };
    g_strlcpy(said.digest, host->running, sizeof said.digest);
    bool fails = host->reaction == FAILS || strcmp(host->running, world->bad) == 0;
    if (!host->ready && fails && *host->running) {
        said.state = REPORT_FAILING;
        said.message = message;
    } else if (said.health == REPORT_UNHEALTHY) {
        said.message = ailing;
    }
    g_autoptr(Value) value = report_to_value(&said);
    put(world, LAYOUT_REPORTED, host->name, host->mute ? NULL : value);
}

static void live(World *world, Host *host) {
    const RosterHost *known = roster_host(world->roster, host->name);
    uint64_t now = loop_now(world->fleet.loop);
    if (host->mute || !known)
        return;
    if (*known->desired_digest && strcmp(known->desired_digest, host->running) != 0) {
        g_strlcpy(host->running, known->desired_digest, sizeof host->running);
        host->taken++;
        host->ready = now + SECOND;
        host->sick = host->reaction == FALLS_SICK ? now + 3 * SECOND : host->reaction == IS_SICK;
        host->mute = host->reaction == FALLS_MUTE;
        report(world, host);
    } else if (host->ready && now >= host->ready) {
        host->ready = 0;
        report(world, host);
    } else if (host->sick && now >= host->sick) {
        report(world, host);
        host->sick = 1;
    }
}

static void check(void *data) {
    World *world = data;
    const RosterRollout *rollout = roster_rollout(world->roster);
    const RosterRecord *record = roster_record(world->roster, rollout->record);
    unsigned unproven = 0, canaries = 0, targets = 0;
    if (!record || record->problem)
        return;
    for (unsigned i = 0; i < roster_hosts(world->roster)->len; i++) {
        const RosterHost *host = g_ptr_array_index(roster_hosts(world->roster), i);
        const RosterRecord *desired = roster_record(world->roster, host->desired);
        g_assert_true(host->desired == 0 || desired != NULL);
        if (desired)
            g_assert_cmpstr(desired->digest, ==, host->desired_digest);
        targets += rollout_is_target(record, host);
        if (host->record != record->number)
            continue;
        canaries += host->canary;
        unproven += host->stage == STAGE_CHANGING || host->stage == STAGE_SOAKING ||
                    host->stage == STAGE_FAILED;
    }
    world->most = MAX(world->most, unproven);
    g_assert_cmpuint(canaries, <=, record->strategy.canaries);
    g_assert_cmpuint(unproven, <=,
                     strategy_batch(&record->strategy, targets) + record->strategy.max_failures);
}

static void tick(void *data) {
    World *world = data;
    for (unsigned i = 0; i < world->count; i++)
        live(world, &world->hosts[i]);
    loop_timer_set(world->fleet.loop, &world->timer, loop_now(world->fleet.loop) + TICK_US, tick,
                   world);
}

static void add_host(World *world, const char *name, const char *labels) {
    g_autofree char *key = g_strconcat(LAYOUT_MEMBER, name, NULL);
    g_autofree char *text = g_strdup_printf("{\"labels\":%s}", labels);
    Host *host = &world->hosts[world->count++];
    g_strlcpy(host->name, name, sizeof host->name);
    fleet_put(&world->fleet, key, text);
    report(world, host);
}

static void start_hub(World *world) {
    g_autofree char *name = g_strdup_printf("hub%u", ++world->hubs);
    world->line = line_new(&world->fleet);
    world->rollout = rollout_new(world->fleet.loop, world->line, name);
}

static void kill_hub(World *world) {
    g_clear_pointer(&world->rollout, rollout_free);
    g_clear_pointer(&world->line, store_free);
}

static void world_open(World *world, unsigned hosts) {
    *world = (World){ 0 };
    fleet_open(&world->fleet);
    world->roster = roster_new(world->fleet.loop, world->fleet.store, check, world);
    for (unsigned i = 0; i < hosts; i++) {
        g_autofree char *name = g_strdup_printf("h%02u", i);
        add_host(world, name, i % 2 ? "{\"role\":\"db\"}" : "{\"role\":\"web\"}");
    }
    tick(world);
    start_hub(world);
}

static void world_close(World *world) {
    kill_hub(world);
    loop_timer_clear(&world->timer);
    roster_free(world->roster);
    fleet_close(&world->fleet);
}

static void deploy(World *world, unsigned number, unsigned bundle, const char *to,
                   const char *strategy) {
    char digest[DIGEST_HEX_SIZE];
    digest_of(bundle, digest);
    g_autofree char *key = layout_numbered(LAYOUT_RECORD, number);
    g_autofree char *text = g_strdup_printf("{\"digest\":\"%s\",\"message\":\"change %u\",\"by\":"
                                            "\"ada\",\"to\":\"%s\",\"strategy\":\"%s\"}",
                                            digest, number, to, strategy);
    fleet_put(&world->fleet, key, text);
}

static void run_to(World *world, unsigned record, Phase phase) {
    const RosterRollout *rollout = roster_rollout(world->roster);
    uint64_t end = loop_now(world->fleet.loop) + 3600 * SECOND;
    while (rollout->record != record || rollout->phase != phase) {
        if (loop_now(world->fleet.loop) > end)
            g_error("record %u is in phase %s, because %s", (unsigned)rollout->record,
                    phase_name(rollout->phase), rollout->why);
        fleet_run_for(&world->fleet, SECOND / 10);
    }
}

static void settle(World *world) {
    fleet_run_for(&world->fleet, 30 * SECOND);
}

static unsigned count_on(const World *world, uint64_t record) {
    unsigned count = 0;
    for (unsigned i = 0; i < world->count; i++)
        count += roster_host(world->roster, world->hosts[i].name)->desired == record;
    return count;
}

static unsigned count_at(const World *world, Stage stage) {
    unsigned count = 0;
    for (unsigned i = 0; i < world->count; i++) {
        const RosterHost *host = roster_host(world->roster, world->hosts[i].name);
        count += host->record == roster_rollout(world->roster)->record && host->stage == stage;
    }
    return count;
}

static void assert_explained(const World *world, const char *host, const char *part) {
    g_autofree char *why = rollout_explain(world->roster, host);
    if (!strstr(why, part))
        g_error("'%s' is not in: %s", part, why);
}

typedef struct {
    bool done;
    GError *error;
} Ordered;

static void on_ordered(void *data, const GError *error) {
    Ordered *ordered = data;
    ordered->done = true;
    ordered->error = error ? g_error_copy(error) : NULL;
}

static bool is_ordered(void *data) {
    return ((Ordered *)data)->done;
}

/* The error, or NULL. */
static GError *order(World *world, Store *store, RolloutCommand command) {
    Ordered ordered = { 0 };
    (void)rollout_order(store, command, "bob", "he said so", 7, NULL, NULL, on_ordered, &ordered);
    fleet_run_until(&world->fleet, is_ordered, &ordered);
    return ordered.error;
}

static void obey(World *world, RolloutCommand command) {
    g_autoptr(GError) error = order(world, world->fleet.store, command);
    g_assert_no_error(error);
}

#define QUICK "batch=2,soak=5s,timeout=20s,max-failures=1"

static Host *canary_of(World *world) {
    for (unsigned i = 0; i < world->count; i++) {
        const RosterHost *host = roster_host(world->roster, world->hosts[i].name);
        if (host->canary && host->record == roster_rollout(world->roster)->record)
            return &world->hosts[i];
    }
    g_assert_not_reached();
}

/* All hosts run bundle 1, proven. */
static void open_proven(World *world, unsigned hosts) {
    world_open(world, hosts);
    deploy(world, 1, 1, "all", "batch=100%,soak=0s");
    run_to(world, 1, PHASE_DONE);
}

/* --- tests */

static void test_good(void) {
    World world;
    world_open(&world, 6);
    fleet_run_for(&world.fleet, SECOND);
    assert_explained(&world, "h00", "nothing was ever deployed");
    assert_explained(&world, "x", "has not joined");
    deploy(&world, 1, 1, "all", QUICK);
    fleet_run_for(&world.fleet, 4 * SECOND);
    g_assert_cmpuint(count_on(&world, 1), ==, 1);
    assert_explained(&world, canary_of(&world)->name, "has to stay so for 5s");
    for (unsigned i = 0; i < 6; i++)
        if (&world.hosts[i] != canary_of(&world))
            assert_explained(&world, world.hosts[i].name, "the canaries have not passed yet");
    run_to(&world, 1, PHASE_DONE);
    g_assert_cmpuint(count_at(&world, STAGE_PASSED), ==, 6);
    g_assert_cmpuint(world.most, ==, 2);
    g_assert_true(roster_is_done(world.roster, 1));
    assert_explained(&world, "h00", "'h00' has record 1: it held through its soak");
    g_autoptr(Value) rows = roster_status(world.roster, NULL);
    g_assert_cmpuint(value_size(rows), ==, 6);
    g_assert_cmpstr(value_map_string(value_list_at(rows, 0), "state", ""), ==, "converged");
    world_close(&world);
}

static void test_bad_stops_at_canary(void) {
    World world;
    open_proven(&world, 6);
    digest_of(2, world.bad);
    deploy(&world, 2, 2, "all", QUICK);
    run_to(&world, 2, PHASE_HALTED);
    settle(&world);
    g_assert_cmpuint(count_on(&world, 2), ==, 1);
    g_assert_cmpuint(count_on(&world, 1), ==, 5);
    assert_explained(&world, canary_of(&world)->name, "it failed to converge: nginx does not");
    const char *other = canary_of(&world) == &world.hosts[0] ? "h01" : "h00";
    assert_explained(&world, other, "stays with record 1");
    assert_explained(&world, other, "has halted: canary '");
    *world.bad = '\0'; /* mended: those that failed are tried again, by their own */
    for (unsigned i = 0; i < world.count; i++)
        report(&world, &world.hosts[i]);
    g_assert_nonnull(roster_outcome(world.roster, 2));
    obey(&world, ROLLOUT_RESUME);
    run_to(&world, 2, PHASE_CANARY);
    g_assert_null(roster_outcome(world.roster, 2)); /* it is under way again */
    run_to(&world, 2, PHASE_DONE);
    g_assert_cmpuint(count_at(&world, STAGE_PASSED), ==, 6);
    world_close(&world);
}

/* Without canaries, and with fewer failures than the strategy bears: nobody has proven it. */
static void test_all_failed(void) {
    World world;
    open_proven(&world, 1);
    digest_of(2, world.bad);
    deploy(&world, 2, 2, "all", QUICK ",canaries=0");
    run_to(&world, 2, PHASE_HALTED);
    g_assert_false(roster_is_done(world.roster, 2));
    g_autoptr(Value) status = rollout_status(world.roster);
    g_assert_cmpstr(value_map_string(status, "phase", ""), ==, "halted");
    g_assert_cmpint(value_map_int(status, "targets", 0), ==, 1);
    g_assert_cmpint(value_map_int(value_map_get(status, "stages"), "failed", 0), ==, 1);
    const Value *failed = value_list_at(value_map_get(status, "failed"), 0);
    g_assert_cmpstr(value_map_string(failed, "host", ""), ==, "h00");
    world_close(&world);
}

static bool is_forgiven(void *data) {
    char digest[DIGEST_HEX_SIZE];
    digest_of(2, digest);
    return !roster_is_bad(((World *)data)->roster, digest);
}

static void test_revert(void) {
    World world;
    char digest[DIGEST_HEX_SIZE];
    open_proven(&world, 6);
    digest_of(2, digest);
    g_strlcpy(world.bad, digest, sizeof world.bad);
    deploy(&world, 2, 2, "all", QUICK ",on-failure=revert");
    run_to(&world, 2, PHASE_REVERTED);
    g_assert_cmpuint(count_on(&world, 1), ==, 6);
    g_assert_cmpuint(count_at(&world, STAGE_RETURNED), ==, 1);
    assert_explained(&world, canary_of(&world)->name, "went back from record 2 to record 1");
    g_assert_true(roster_is_bad(world.roster, digest));
    deploy(&world, 3, 2, "all", QUICK);
    run_to(&world, 3, PHASE_ABORTED);
    settle(&world);
    g_assert_cmpuint(count_on(&world, 1), ==, 6);
    assert_explained(&world, "h00", "its bundle was reverted before; forgive it");
    *world.bad = '\0';
    (void)rollout_forgive(world.fleet.store, digest, NULL, NULL, on_put, NULL);
    fleet_run_until(&world.fleet, is_forgiven, &world);
    deploy(&world, 4, 2, "all", QUICK);
    run_to(&world, 4, PHASE_DONE);
    obey(&world, ROLLOUT_REVERT); /* also of what was proven: to what was before it */
    run_to(&world, 4, PHASE_REVERTED);
    g_assert_cmpuint(count_on(&world, 1), ==, 6);
    world_close(&world);
}

static void test_nothing_to_go_back_to(void) {
    World world;
    world_open(&world, 3);
    digest_of(1, world.bad);
    deploy(&world, 1, 1, "all", QUICK ",on-failure=revert");
    run_to(&world, 1, PHASE_REVERTED);
    g_assert_cmpuint(count_on(&world, 0), ==, 3);
    assert_explained(&world, canary_of(&world)->name, "has no earlier deploy to go back to");
    world_close(&world);
}

static Host *not_canary(World *world, unsigned skip) {
    for (unsigned i = 0; i < world->count; i++)
        if (&world->hosts[i] != canary_of(world) && skip-- == 0)
            return &world->hosts[i];
    g_assert_not_reached();
}

static void run_to_rolling(World *world) {
    deploy(world, 2, 2, "all", QUICK);
    run_to(world, 2, PHASE_CANARY);
    while (count_at(world, STAGE_SOAKING) == 0)
        fleet_run_for(&world->fleet, SECOND / 10);
}

/* Not to what is proven for all, but to what each of them had. */
static void test_back_to_what_it_had(void) {
    World world;
    open_proven(&world, 6);
    run_to_rolling(&world);
    run_to(&world, 2, PHASE_ROLLING);
    while (count_at(&world, STAGE_PASSED) < 3)
        fleet_run_for(&world.fleet, SECOND / 10);
    obey(&world, ROLLOUT_ABORT);
    fleet_run_for(&world.fleet, SECOND);
    unsigned passed = count_at(&world, STAGE_PASSED);
    deploy(&world, 3, 3, "all", "batch=100%,soak=1s,canaries=0");
    run_to(&world, 3, PHASE_DONE);
    obey(&world, ROLLOUT_REVERT);
    run_to(&world, 3, PHASE_REVERTED);
    g_assert_cmpuint(count_on(&world, 2), ==, passed);
    g_assert_cmpuint(count_on(&world, 1), ==, 6 - passed);
    world_close(&world);
}

static void test_silent(void) {
    World world;
    open_proven(&world, 6);
    run_to_rolling(&world);
    Host *falls = not_canary(&world, 0), *away = not_canary(&world, 1);
    falls->reaction = FALLS_MUTE;
    away->mute = true;
    report(&world, away);
    run_to(&world, 2, PHASE_DONE);
    g_assert_cmpuint(count_at(&world, STAGE_FAILED), ==, 1);
    assert_explained(&world, falls->name, "failed with record 2: nothing was heard of it");
    settle(&world);
    assert_explained(&world, away->name, "has record 2: the deploy is proven");
    world_close(&world);
}

static void test_sick(void) {
    World world;
    open_proven(&world, 6);
    run_to_rolling(&world);
    not_canary(&world, 0)->reaction = FALLS_SICK;
    not_canary(&world, 1)->reaction = FALLS_SICK;
    run_to(&world, 2, PHASE_HALTED);
    assert_explained(&world, not_canary(&world, 0)->name, "health checks failed during its soak");
    g_assert_nonnull(strstr(roster_rollout(world.roster)->why, "2 hosts failed, the last"));
    world_close(&world);
}

/* Which host failed, and with what text; that it had halted stays when another deploy comes. */
static void test_sick_until_the_timeout(void) {
    World world;
    open_proven(&world, 1);
    world.hosts[0].reaction = IS_SICK;
    deploy(&world, 2, 2, "all", QUICK);
    run_to(&world, 2, PHASE_HALTED);
    g_autoptr(Value) status = rollout_status(world.roster);
    const Value *failed = value_list_at(value_map_get(status, "failed"), 0);
    g_assert_cmpstr(value_map_string(failed, "why", ""), ==,
                    "its health checks did not hold before the timeout: http://shop/: status 500");
    g_assert_nonnull(
        strstr(value_map_string(status, "why", ""), "'h00' failed: its health checks did"));
    world.hosts[0].reaction = TAKES;
    deploy(&world, 3, 3, "all", QUICK);
    run_to(&world, 3, PHASE_DONE);
    const Value *outcome = roster_outcome(world.roster, 2);
    g_assert_cmpstr(value_map_string(outcome, "outcome", ""), ==, "halted");
    g_assert_nonnull(strstr(value_map_string(outcome, "why", ""), "http://shop/: status 500"));
    world_close(&world);
}

static void test_soak_starts_again(void) {
    World world;
    open_proven(&world, 2);
    run_to_rolling(&world);
    Host *canary = canary_of(&world);
    for (unsigned i = 0; i < 3; i++) {
        canary->mute = true;
        report(&world, canary);
        fleet_run_for(&world.fleet, SECOND);
        canary->mute = false;
        report(&world, canary);
        fleet_run_for(&world.fleet, SECOND);
    }
    run_to(&world, 2, PHASE_HALTED);
    assert_explained(&world, canary->name, "it left its soak again and again");
    world_close(&world);
}

static void test_orders(void) {
    World world;
    open_proven(&world, 6);
    run_to_rolling(&world);
    obey(&world, ROLLOUT_PAUSE);
    settle(&world);
    g_assert_cmpuint(count_on(&world, 2), ==, 1);
    g_assert_cmpuint(count_at(&world, STAGE_PASSED), ==, 1); /* it is judged all the same */
    assert_explained(&world, not_canary(&world, 0)->name, "was paused by bob: he said so");
    g_autoptr(GError) error = order(&world, world.fleet.store, ROLLOUT_PAUSE);
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED);
    g_assert_cmpstr(error->message, ==,
                    "pause the rollout of record 2: it is in the phase 'paused'; possible now: "
                    "resume, abort, revert");
    obey(&world, ROLLOUT_RESUME);
    run_to(&world, 2, PHASE_ROLLING);
    fleet_run_for(&world.fleet, SECOND);
    unsigned told = count_on(&world, 2);
    obey(&world, ROLLOUT_ABORT);
    settle(&world);
    g_assert_cmpuint(count_on(&world, 2), ==, told);
    assert_explained(&world, "x", "has not joined");
    obey(&world, ROLLOUT_REVERT);
    run_to(&world, 2, PHASE_REVERTED);
    g_assert_cmpuint(count_on(&world, 1), ==, 6);
    world_close(&world);
}

/* An order whose answer is lost is given once, and not refused as given twice. */
static void test_lost_order(void) {
    for (unsigned calls = 1; calls <= 2; calls++) {
        World world;
        open_proven(&world, 4);
        run_to_rolling(&world);
        g_autoptr(Store) line = line_new(&world.fleet);
        line_break(line, calls, LINE_LOSES_ANSWER);
        g_autoptr(GError) error = order(&world, line, ROLLOUT_PAUSE);
        if (calls == 1)
            g_assert_error(error, STORE_ERROR, STORE_ERROR_UNKNOWN_OUTCOME);
        else
            g_assert_no_error(error);
        fleet_run_for(&world.fleet, SECOND);
        g_assert_cmpint(roster_rollout(world.roster)->phase, ==,
                        calls == 1 ? PHASE_CANARY : PHASE_PAUSED);
        world_close(&world);
    }
}

/* The whole table: which order is possible in which phase. */
static void test_table(void) {
    static const char *const possible[] = {
        [PHASE_NONE] = "",      [PHASE_CANARY] = "pav", [PHASE_ROLLING] = "pav",
        [PHASE_PAUSED] = "rav", [PHASE_HALTED] = "rav", [PHASE_REVERTING] = "",
        [PHASE_REVERTED] = "",  [PHASE_ABORTED] = "v",  [PHASE_DONE] = "v",
    };
    static const char letters[] = "prav";
    for (unsigned phase = 0; phase < G_N_ELEMENTS(possible); phase++)
        for (unsigned command = 0; command < 4; command++) {
            g_autoptr(GError) error = NULL;
            RosterRollout rollout = { .record = 3, .phase = (Phase)phase };
            g_autoptr(StoreTxn) txn =
                rollout_obey(&rollout, (RolloutCommand)command, "ada", "why", 0, &error);
            bool expected = strchr(possible[phase], letters[command]) != NULL;
            g_assert_true((txn != NULL) == expected && (error == NULL) == expected);
        }
}

static void test_superseded(void) {
    World world;
    open_proven(&world, 6);
    run_to_rolling(&world);
    run_to(&world, 2, PHASE_ROLLING);
    fleet_run_for(&world.fleet, SECOND);
    deploy(&world, 3, 3, "all", QUICK);
    run_to(&world, 3, PHASE_DONE);
    g_assert_cmpuint(count_on(&world, 3), ==, 6);
    g_assert_false(roster_is_done(world.roster, 2));
    g_autofree char *key = layout_numbered(LAYOUT_OUTCOME, 2);
    g_autofree char *outcome = fleet_get(&world.fleet, key);
    g_assert_nonnull(strstr(outcome, "\"superseded\""));
    world_close(&world);
}

static void test_join_meanwhile(void) {
    World world;
    open_proven(&world, 4);
    run_to_rolling(&world);
    add_host(&world, "new", "{\"role\":\"web\"}");
    fleet_run_for(&world.fleet, SECOND);
    g_assert_cmpuint(roster_host(world.roster, "new")->desired, ==, 1); /* what is proven */
    run_to(&world, 2, PHASE_DONE);
    g_assert_cmpuint(roster_host(world.roster, "new")->desired, ==, 2);
    add_host(&world, "late", "{\"role\":\"web\"}");
    fleet_run_for(&world.fleet, SECOND);
    g_assert_cmpuint(roster_host(world.roster, "late")->desired, ==, 2);
    world_close(&world);
}

static void test_selector_and_groups(void) {
    World world;
    open_proven(&world, 8);
    deploy(&world, 2, 2, "role=web", QUICK);
    run_to(&world, 2, PHASE_DONE);
    g_assert_cmpuint(count_on(&world, 2), ==, 4);
    assert_explained(&world, "h01", "stays with record 1: record 2 is meant for 'role=web' alone");
    deploy(&world, 3, 3, "all", "batch=3,soak=5s,canaries=0,by=role,order=name");
    run_to(&world, 3, PHASE_ROLLING);
    while (count_at(&world, STAGE_PASSED) < 3)
        fleet_run_for(&world.fleet, SECOND / 10);
    fleet_run_for(&world.fleet, SECOND);
    g_assert_cmpuint(roster_host(world.roster, "h07")->desired, ==, 3); /* the last db */
    g_assert_cmpuint(count_on(&world, 3), ==, 4);                       /* and no web with it */
    run_to(&world, 3, PHASE_DONE);
    deploy(&world, 4, 4, "role=", QUICK);
    run_to(&world, 4, PHASE_ABORTED);
    assert_explained(&world, "h00", "record 4 cannot be rolled out: read the selector");
    world_close(&world);
}

static void assert_order(World *world, unsigned record, const char *const *names) {
    for (unsigned i = 0; i < world->count; i++) {
        while (count_on(world, record) <= i)
            fleet_run_for(&world->fleet, SECOND / 10);
        g_assert_cmpuint(roster_host(world->roster, names[i])->desired, ==, record);
    }
}

/* One after the other of any label or fact, and who has none last. */
static void test_groups_of_any_name(void) {
    World world;
    world_open(&world, 0);
    add_host(&world, "h00", "{\"rack\":\"b\"}");
    add_host(&world, "h01", "{}");
    add_host(&world, "h02", "{\"rack\":\"a\"}");
    fleet_put(&world.fleet, LAYOUT_FACTS "h00", "{\"facts\":{\"os\":{\"name\":\"debian\"}}}");
    fleet_put(&world.fleet, LAYOUT_FACTS "h01", "{\"facts\":{\"os\":{\"name\":\"arch\"}}}");
    deploy(&world, 1, 1, "all", "batch=1,soak=2s,canaries=0,order=name,by=rack");
    assert_order(&world, 1, (const char *const[]){ "h02", "h00", "h01" });
    run_to(&world, 1, PHASE_DONE);
    deploy(&world, 2, 2, "all", "batch=1,soak=2s,canaries=0,order=name,by=os.name");
    assert_order(&world, 2, (const char *const[]){ "h01", "h00", "h02" });
    world_close(&world);
}

/* A rollout of a bad change that goes back, then of a good one, with a hub that dies at one call of
 * the store and another that goes on: true when the hub lived long enough to make that call. */
static bool run_broken(unsigned calls, LineBreak breaks, unsigned hubs) {
    World world;
    Rollout *other = NULL;
    open_proven(&world, 4);
    if (hubs > 1)
        other = rollout_new(world.fleet.loop, world.fleet.store, "other");
    digest_of(2, world.bad);
    line_break(world.line, calls, breaks);
    deploy(&world, 2, 2, "all", QUICK ",on-failure=revert");
    const RosterRollout *rollout = roster_rollout(world.roster);
    for (unsigned record = 2; record <= 3; record++) {
        while (rollout->record != record ||
               rollout->phase != (record == 2 ? PHASE_REVERTED : PHASE_DONE)) {
            fleet_run_for(&world.fleet, SECOND / 5);
            if (line_is_cut(world.line) && hubs == 1) {
                kill_hub(&world);
                start_hub(&world);
            }
            g_assert_cmpuint(loop_now(world.fleet.loop), <, 600 * SECOND);
        }
        if (record == 2)
            deploy(&world, 3, 3, "all", QUICK);
    }
    unsigned taken = 0;
    for (unsigned i = 0; i < 4; i++)
        taken += world.hosts[i].taken;
    g_assert_cmpuint(taken, ==, 4 + 2 + 4); /* one canary alone went there and back */
    g_assert_cmpuint(count_on(&world, 3), ==, 4);
    g_assert_cmpuint(count_at(&world, STAGE_PASSED), ==, 4);
    bool broke = world.hubs > 1 || line_is_cut(world.line);
    rollout_free(other);
    world_close(&world);
    return broke;
}

static void test_killed_before(void) {
    unsigned calls = 1;
    while (run_broken(calls, LINE_DIES_BEFORE, 1))
        calls++;
    g_assert_cmpuint(calls, >, 20);
}

static void test_killed_after(void) {
    unsigned calls = 1;
    while (run_broken(calls, LINE_DIES_AFTER, 1))
        calls++;
    g_assert_cmpuint(calls, >, 20);
}

static void test_lost_answers(void) {
    for (unsigned calls = 1; calls < 60; calls++)
        (void)run_broken(calls, LINE_LOSES_ANSWER, 1);
}

static void test_two_hubs(void) {
    for (unsigned calls = 1; calls < 40; calls += 3)
        (void)run_broken(calls, LINE_DIES_AFTER, 2);
}

/* Two that both believe to lead write at once: one of them has no effect. */
static void test_same_step_twice(void) {
    World world;
    open_proven(&world, 4);
    kill_hub(&world);
    deploy(&world, 2, 2, "all", QUICK);
    fleet_run_for(&world.fleet, SECOND);
    uint64_t wake;
    g_autoptr(GError) error = NULL;
    for (unsigned i = 0; i < 3; i++) {
        g_autoptr(StoreTxn) one = rollout_step(world.roster, loop_now(world.fleet.loop), 1, &wake);
        g_autoptr(StoreTxn) two = rollout_step(world.roster, loop_now(world.fleet.loop), 9, &wake);
        if (!one)
            break;
        g_autoptr(StoreAnswer) first =
            store_wait(store_commit(world.fleet.store, one, NULL, NULL), &error);
        g_autoptr(StoreAnswer) second =
            store_wait(store_commit(world.fleet.store, two, NULL, NULL), &error);
        g_assert_no_error(error);
        g_assert_true(first->succeeded && !second->succeeded);
        fleet_run_for(&world.fleet, SECOND / 10);
    }
    g_assert_cmpuint(count_on(&world, 2), ==, 1);
    start_hub(&world);
    world_close(&world);
}

static void shake(World *world, GRand *random) {
    Host *host = &world->hosts[g_rand_int_range(random, 0, (int)world->count)];
    int what = g_rand_int_range(random, 0, 20);
    if (what < 4) {
        host->reaction = (Reaction)g_rand_int_range(random, 0, 4);
    } else if (what < 6) {
        host->mute = !host->mute;
        report(world, host);
    } else if (what == 6) {
        kill_hub(world);
        start_hub(world);
    } else if (what == 7) {
        g_autoptr(GError) error =
            order(world, world->fleet.store, (RolloutCommand)g_rand_int_range(random, 0, 4));
    } else if (what == 8) {
        digest_of((unsigned)g_rand_int_range(random, 1, 30), world->bad);
    } else if (what == 9) {
        line_break(world->line, (unsigned)g_rand_int_range(random, 1, 9), LINE_LOSES_ANSWER);
    }
}

static void test_random(void) {
    for (unsigned seed = 1; seed <= 4; seed++) {
        g_autoptr(GRand) random = g_rand_new_with_seed(seed);
        World world;
        open_proven(&world, HOSTS_MAX);
        for (unsigned record = 2; record < 12; record++) {
            static const char *const strategies[] = {
                QUICK,
                "batch=10%,soak=3s,timeout=9s,max-failures=3,canaries=2,on-failure=revert",
                "batch=7,soak=0s,timeout=5s,canaries=0,max-failures=0,by=role",
            };
            deploy(&world, record, record, record % 4 ? "all" : "role=web",
                   strategies[g_rand_int_range(random, 0, 3)]);
            for (int i = g_rand_int_range(random, 5, 60); i > 0; i--) {
                shake(&world, random);
                fleet_run_for(&world.fleet, SECOND);
            }
        }
        for (unsigned i = 0; i < world.count; i++) {
            world.hosts[i].reaction = TAKES;
            world.hosts[i].mute = false;
            world.hosts[i].sick = 0;
            report(&world, &world.hosts[i]);
        }
        *world.bad = '\0';
        deploy(&world, 12, 100, "all",
               "batch=20%,soak=1s,timeout=60s"); /* all is well in the end */
        run_to(&world, 12, PHASE_DONE);
        settle(&world);
        g_assert_cmpuint(count_on(&world, 12), ==, HOSTS_MAX);
        world_close(&world);
    }
}

/* What a host says of itself decides whether it is meant, also while it is silent. */
static void test_facts(void) {
    World world;
    world_open(&world, 3);
    fleet_put(&world.fleet, LAYOUT_FACTS "h01", "{\"facts\":{\"os\":{\"name\":\"debian\"}}}");
    fleet_put(&world.fleet, LAYOUT_RUN "h01", "{\"time\":5,\"failed\":0}");
    deploy(&world, 1, 1, "os.name=debian", QUICK);
    run_to(&world, 1, PHASE_DONE);
    g_assert_cmpuint(count_on(&world, 1), ==, 1);
    assert_explained(&world, "h00", "is meant for 'os.name=debian' alone");
    g_autoptr(Selector) to = selector_parse("os.name=debian", NULL);
    g_autoptr(Value) rows = roster_status(world.roster, to);
    g_assert_cmpuint(value_size(rows), ==, 1);
    const Value *run = value_map_get(value_list_at(rows, 0), "run");
    g_assert_cmpint(value_map_int(run, "time", 0), ==, 5);
    fleet_put(&world.fleet, LAYOUT_FACTS "h01", NULL);
    fleet_run_for(&world.fleet, SECOND);
    g_assert_null(roster_host(world.roster, "h01")->facts);
    world_close(&world);
}

static void nothing(void *data) {
}

/* A host that was told and fell silent is shown with what it ran last, not what is meant for it. */
static void test_what_a_silent_host_ran(void) {
    World world;
    char digest[DIGEST_HEX_SIZE];
    open_proven(&world, 1);
    digest_of(1, digest);
    g_autofree char *run = g_strdup_printf("{\"time\":5,\"digest\":\"%s\"}", digest);
    fleet_put(&world.fleet, LAYOUT_RUN "h00", run);
    world.hosts[0].reaction = FALLS_MUTE;
    deploy(&world, 2, 2, "all", QUICK);
    run_to(&world, 2, PHASE_HALTED);
    g_autoptr(Value) rows = roster_status(world.roster, NULL);
    const Value *row = value_list_at(rows, 0);
    g_assert_cmpstr(value_map_string(row, "running", ""), ==, digest);
    g_assert_cmpint(value_map_int(row, "running_record", 0), ==, 1);
    g_assert_cmpint(value_map_int(row, "record", 0), ==, 2);
    int64_t now = (int64_t)(loop_wall_now(world.fleet.loop) / SECOND);
    int64_t since = value_map_int(row, "silent_since", 0);
    g_assert_cmpint(since, <, now - 15); /* it halted after a timeout of 20 s */
    g_assert_cmpint(since, >, now - 60);
    Roster *late = roster_new(world.fleet.loop, world.fleet.store, nothing, NULL);
    fleet_run_for(&world.fleet, SECOND);
    g_autoptr(Value) later = roster_status(late, NULL);
    row = value_list_at(later, 0);
    g_assert_null(value_map_get(row, "silent_since"));
    g_assert_cmpint(value_map_int(row, "silent_before", 0), >=, now);
    roster_free(late);
    world_close(&world);
}

static bool is_heard(void *data) {
    World *world = data;
    const RosterHost *host = roster_host(world->roster, "h00");
    return host && host->is_alive && host->report.health == REPORT_UNHEALTHY;
}

static void test_reporter(void) {
    World world;
    world_open(&world, 0);
    fleet_put(&world.fleet, LAYOUT_MEMBER "h00", "{}");
    const ReporterListener nobody = { .data = NULL };
    Reporter *reporter = reporter_new(world.fleet.loop, world.fleet.store, "h00", 10, &nobody);
    Report said = { .state = REPORT_FAILING,
                    .health = REPORT_UNHEALTHY,
                    .message = g_strdup("why") };
    digest_of(1, said.digest);
    reporter_set(reporter, &said);
    report_clear(&said);
    fleet_run_until(&world.fleet, is_heard, &world);
    g_assert_cmpstr(roster_host(world.roster, "h00")->report.message, ==, "why");
    fleet_run_for(&world.fleet, 60 * SECOND);
    g_assert_true(is_heard(&world));
    reporter_free(reporter);
    fleet_run_for(&world.fleet, 15 * SECOND);
    g_assert_false(is_heard(&world)); /* its lease is over */
    g_autoptr(Value) rows = roster_status(world.roster, NULL);
    g_assert_cmpstr(value_map_string(value_list_at(rows, 0), "state", ""), ==, "silent");
    world_close(&world);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fleet/rollout/good", test_good);
    g_test_add_func("/fleet/rollout/bad-stops-at-canary", test_bad_stops_at_canary);
    g_test_add_func("/fleet/rollout/all-failed", test_all_failed);
    g_test_add_func("/fleet/rollout/revert", test_revert);
    g_test_add_func("/fleet/rollout/nothing-to-go-back-to", test_nothing_to_go_back_to);
    g_test_add_func("/fleet/rollout/back-to-what-it-had", test_back_to_what_it_had);
    g_test_add_func("/fleet/rollout/silent", test_silent);
    g_test_add_func("/fleet/rollout/sick", test_sick);
    g_test_add_func("/fleet/rollout/sick-until-the-timeout", test_sick_until_the_timeout);
    g_test_add_func("/fleet/rollout/soak-starts-again", test_soak_starts_again);
    g_test_add_func("/fleet/rollout/orders", test_orders);
    g_test_add_func("/fleet/rollout/lost-order", test_lost_order);
    g_test_add_func("/fleet/rollout/table", test_table);
    g_test_add_func("/fleet/rollout/superseded", test_superseded);
    g_test_add_func("/fleet/rollout/join-meanwhile", test_join_meanwhile);
    g_test_add_func("/fleet/rollout/selector-and-groups", test_selector_and_groups);
    g_test_add_func("/fleet/rollout/groups-of-any-name", test_groups_of_any_name);
    g_test_add_func("/fleet/rollout/killed-before", test_killed_before);
    g_test_add_func("/fleet/rollout/killed-after", test_killed_after);
    g_test_add_func("/fleet/rollout/lost-answers", test_lost_answers);
    g_test_add_func("/fleet/rollout/two-hubs", test_two_hubs);
    g_test_add_func("/fleet/rollout/same-step-twice", test_same_step_twice);
    g_test_add_func("/fleet/rollout/random", test_random);
    g_test_add_func("/fleet/rollout/facts", test_facts);
    g_test_add_func("/fleet/rollout/what-a-silent-host-ran", test_what_a_silent_host_ran);
    g_test_add_func("/fleet/rollout/reporter", test_reporter);
    return g_test_run();
}
