/* What a machine tells its fleet: bounded, the newest of it, whatever the store does. */
#include <string.h>

#include "agent/outbox.h"
#include "agent/reports.h"
#include "base/json.h"
#include "fleet/layout.h"
#include "fleet/test-fleet.h"

#define MINUTE_US (60 * (uint64_t)G_USEC_PER_SEC)

typedef struct {
    Fleet fleet;
    Store *line;
    Reports *reports;
    unsigned failures;
} World;

static void on_reached(void *data, const GError *error) {
}

static void on_failed(void *data, const GError *error) {
    World *world = data;
    world->failures++;
}

static bool on_why(void *data, const char *kind, const char *name, GString *answer) {
    if (strcmp(name, "/x") != 0)
        return false;
    g_string_append_printf(answer, "%s is right", kind);
    return true;
}

static void set_up(World *world, gconstpointer data) {
    fleet_open(&world->fleet);
    world->line = line_new(&world->fleet);
    ReportsListener listener = { on_reached, on_failed, on_why, world };
    world->reports = reports_new(world->fleet.loop, world->line, "web1", 10, &listener);
}

static void tear_down(World *world, gconstpointer data) {
    reports_free(world->reports);
    store_free(world->line);
    fleet_close(&world->fleet);
}

static Value *parse(const char *text) {
    g_autoptr(GError) error = NULL;
    Value *value = json_parse(text, strlen(text), "test", &error);
    g_assert_no_error(error);
    return value;
}

static Value *at(World *world, const char *key) {
    g_autofree char *text = fleet_get(&world->fleet, key);
    return text ? parse(text) : NULL;
}

static void wait(World *world, uint64_t us) {
    fleet_run_for(&world->fleet, us);
}

/* The repairs that are in the store. */
static GPtrArray *repairs(World *world) {
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) prefix = layout_bytes(LAYOUT_DRIFT "web1/");
    StoreRange range = { .key = prefix, .prefix = true };
    g_autoptr(StoreAnswer) answer =
        store_wait(store_range(world->fleet.store, &range, NULL, NULL), &error);
    g_assert_no_error(error);
    return g_ptr_array_ref(store_answer_result(answer, 0)->entries);
}

static char *newest_repair(World *world) {
    g_autoptr(GPtrArray) entries = repairs(world);
    const StoreEntry *last = g_ptr_array_index(entries, entries->len - 1);
    g_autofree char *text =
        g_strndup(g_bytes_get_data(last->value, NULL), g_bytes_get_size(last->value));
    g_autoptr(Value) value = parse(text);
    return g_strdup(value_map_string(value, "what", ""));
}

/* A resource that flaps fills neither the store nor the line. */
static void test_flapping(World *world, gconstpointer data) {
    wait(world, G_USEC_PER_SEC);
    for (unsigned i = 0; i < 500; i++)
        reports_drift(world->reports, "file '/x'", "content");
    wait(world, G_USEC_PER_SEC);
    g_autoptr(GPtrArray) first = repairs(world);
    g_assert_cmpuint(first->len, ==, REPORTS_DRIFT_MINUTE);
    wait(world, MINUTE_US);
    g_autofree char *what = newest_repair(world);
    g_assert_cmpstr(what, ==, "480 more repairs in this minute");
    for (unsigned minute = 0; minute < 10; minute++) {
        for (unsigned i = 0; i < 50; i++)
            reports_drift(world->reports, "file '/x'", "content");
        wait(world, MINUTE_US + G_USEC_PER_SEC);
    }
    g_autoptr(GPtrArray) last = repairs(world);
    g_assert_cmpuint(last->len, ==, REPORTS_DRIFT_KEPT);
}

/* Those of an agent that ran before count too. */
static void test_older_repairs_go(World *world, gconstpointer data) {
    for (unsigned i = 0; i < 150; i++) {
        g_autofree char *key = layout_numbered(LAYOUT_DRIFT "web1/", 1000 + i);
        fleet_put(&world->fleet, key, "{\"what\":\"old\"}");
    }
    reports_drift(world->reports, "file '/x'", "content");
    wait(world, G_USEC_PER_SEC);
    g_autoptr(GPtrArray) entries = repairs(world);
    g_assert_cmpuint(entries->len, ==, REPORTS_DRIFT_KEPT);
    g_autofree char *what = newest_repair(world);
    g_assert_cmpstr(what, ==, "content");
}

/* The newest waits, however long it takes, and no more than that. */
static void test_out_of_reach(World *world, gconstpointer data) {
    line_cut(world->line, true);
    for (unsigned i = 0; i < 1000; i++) {
        g_autofree char *what = g_strdup_printf("repair %u", i);
        g_autofree char *text = g_strdup_printf("{\"n\":%u}", i);
        g_autoptr(Value) value = parse(text);
        reports_drift(world->reports, "file '/x'", what);
        reports_facts(world->reports, value);
        reports_run(world->reports, value);
        wait(world, MINUTE_US / 10);
    }
    line_cut(world->line, false);
    wait(world, MINUTE_US);
    g_autoptr(Value) facts = at(world, LAYOUT_FACTS "web1");
    g_autoptr(Value) run = at(world, LAYOUT_RUN "web1");
    g_assert_cmpint(value_map_int(value_map_get(facts, "facts"), "n", 0), ==, 999);
    g_assert_cmpint(value_map_int(run, "n", 0), ==, 999);
    g_autoptr(GPtrArray) entries = repairs(world);
    g_assert_cmpuint(entries->len, <=, REPORTS_DRIFT_KEPT);
    g_autofree char *what = newest_repair(world);
    g_assert_cmpstr(what, ==, "repair 999");
}

/* Each call is once the one that is lost: in the end the store has what was said last. */
static void test_every_call_is_lost_once(World *world, gconstpointer data) {
    static const LineBreak breaks[] = { LINE_DIES_BEFORE, LINE_DIES_AFTER, LINE_LOSES_ANSWER };
    int64_t n = 0;
    for (unsigned how = 0; how < G_N_ELEMENTS(breaks); how++)
        for (unsigned calls = 1; calls <= 8; calls++) {
            g_autofree char *text = g_strdup_printf("{\"n\":%d}", (int)++n);
            g_autoptr(Value) value = parse(text);
            Report report = { .state = n % 2 ? REPORT_CONVERGED : REPORT_FAILING };
            report.message = g_strdup(text);
            line_break(world->line, calls, breaks[how]);
            reports_facts(world->reports, value);
            reports_run(world->reports, value);
            reports_state(world->reports, &report);
            reports_drift(world->reports, "file '/x'", text);
            report_clear(&report);
            wait(world, 20 * G_USEC_PER_SEC);
            line_break(world->line, 0, breaks[how]);
            line_cut(world->line, false);
            wait(world, MINUTE_US);
            g_autoptr(Value) facts = at(world, LAYOUT_FACTS "web1");
            g_autoptr(Value) run = at(world, LAYOUT_RUN "web1");
            g_autoptr(Value) said = at(world, LAYOUT_REPORTED "web1");
            g_autofree char *what = newest_repair(world);
            g_assert_cmpint(value_map_int(value_map_get(facts, "facts"), "n", 0), ==, n);
            g_assert_cmpint(value_map_int(run, "n", 0), ==, n);
            g_assert_cmpstr(value_map_string(said, "message", ""), ==, text);
            g_assert_cmpstr(what, ==, text);
        }
}

static int64_t revision_of(World *world) {
    g_autoptr(GBytes) key = layout_bytes(LAYOUT_REPORTED "web1");
    g_autoptr(StoreAnswer) answer =
        store_wait(store_get(world->fleet.store, key, NULL, NULL), NULL);
    const StoreEntry *entry = store_answer_entry(answer);
    return entry ? entry->mod_revision : 0;
}

/* A repair that is over soon is no news of the state; one that takes its time is. */
static void test_state_is_quiet(World *world, gconstpointer data) {
    Report steady = { .state = REPORT_CONVERGED }, busy = { .state = REPORT_CONVERGING };
    reports_state(world->reports, &steady);
    wait(world, G_USEC_PER_SEC);
    int64_t revision = revision_of(world);
    g_assert_cmpint(revision, >, 0);
    for (unsigned i = 0; i < 20; i++) {
        reports_state(world->reports, &busy);
        wait(world, G_USEC_PER_SEC);
        reports_state(world->reports, &steady);
        wait(world, G_USEC_PER_SEC);
    }
    g_assert_cmpint(revision_of(world), ==, revision);
    reports_state(world->reports, &busy);
    wait(world, 3 * G_USEC_PER_SEC);
    g_assert_cmpint(revision_of(world), >, revision);
}

static void test_questions(World *world, gconstpointer data) {
    static const struct {
        const char *id, *question, *member, *answer;
    } rows[] = {
        { "1", "{\"question\":\"why\",\"kind\":\"file\",\"name\":\"/x\"}", "answer",
          "file is right" },
        { "2", "{\"question\":\"why\",\"kind\":\"file\",\"name\":\"/y\"}", "error",
          "no file '/y' is managed on 'web1'" },
        { "3", "{\"question\":\"what\"}", "error", "this agent answers 'why' alone" },
        { "4", "[]", "error", "this agent answers 'why' alone" },
        { "5", "{", "error", "this agent answers 'why' alone" },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *asked = g_strconcat(LAYOUT_ASK "web1/", rows[i].id, NULL);
        g_autofree char *answered = g_strconcat(LAYOUT_ANSWER "web1/", rows[i].id, NULL);
        fleet_put(&world->fleet, asked, rows[i].question);
        wait(world, G_USEC_PER_SEC);
        g_autoptr(Value) answer = at(world, answered);
        g_assert_cmpstr(value_map_string(answer, rows[i].member, ""), ==, rows[i].answer);
        fleet_put(&world->fleet, asked, NULL);
        wait(world, G_USEC_PER_SEC);
        g_autoptr(Value) gone = at(world, answered);
        g_assert_null(gone);
    }
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
#define ADD(name, function) g_test_add("/reports/" name, World, NULL, set_up, function, tear_down)
    ADD("flapping", test_flapping);
    ADD("older-repairs-go", test_older_repairs_go);
    ADD("out-of-reach", test_out_of_reach);
    ADD("every-call-is-lost-once", test_every_call_is_lost_once);
    ADD("state-is-quiet", test_state_is_quiet);
    ADD("questions", test_questions);
#undef ADD
    return g_test_run();
}
