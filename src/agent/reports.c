#include "agent/reports.h"

#include <string.h>

#include "agent/outbox.h"
#include "base/json.h"
#include "fleet/layout.h"
#include "fleet/mirror.h"

#define ANSWERS_MAX   16u /* questions at once */
#define ANSWER_MAX    (64u * 1024)
#define MINUTE_US     (60 * (uint64_t)G_USEC_PER_SEC)
#define QUIET_US      (G_USEC_PER_SEC / 5) /* a state that is over before that is not told */
#define BUSY_QUIET_US (2 * G_USEC_PER_SEC) /* so long is one repaired without a word */
#define RUN_PERIOD_US (5 * (uint64_t)G_USEC_PER_SEC)

struct Reports {
    Loop *loop;
    Store *store;
    char *host;
    ReportsListener listener;
    Reporter *reporter;
    Outbox *outbox;
    Mirror *questions;

    Report said, next;
    bool has_said;
    LoopTimer *state_timer, *run_timer, *minute_timer;
    Value *facts, *run, *next_run; /* as said last; NULL: not yet */
    uint64_t run_at;               /* loop time of the last one */

    GQueue drift;          /* of char *: keys of repairs in the store, the oldest first */
    StoreCall *drift_call; /* looks for those of before */
    bool drift_known;
    unsigned minute_count; /* repairs in this minute */
    int64_t drift_time;    /* of the last one */
};

static char *key_of(const Reports *reports, const char *prefix) {
    return g_strconcat(prefix, reports->host, NULL);
}

static void put(Reports *reports, const char *key, const Value *value) {
    g_autofree char *text = json_print(value, JSON_COMPACT);
    g_autoptr(GBytes) bytes = layout_bytes(text);
    outbox_put(reports->outbox, key, bytes);
}

/* --- state */

static bool same_report(const Report *a, const Report *b) {
    return strcmp(a->digest, b->digest) == 0 && a->state == b->state && a->health == b->health &&
           g_strcmp0(a->message, b->message) == 0;
}

static void tell_state(void *data) {
    Reports *reports = data;
    if (reports->has_said && same_report(&reports->said, &reports->next))
        return;
    reports->next.since = (int64_t)(loop_wall_now(reports->loop) / G_USEC_PER_SEC);
    report_copy(&reports->said, &reports->next);
    reports->has_said = true;
    reporter_set(reports->reporter, &reports->said);
}

/* A repair is no news: what was converged is for some time before it counts as converging. */
void reports_state(Reports *reports, const Report *report) {
    bool repairs = reports->has_said && report->state == REPORT_CONVERGING &&
                   reports->said.state == REPORT_CONVERGED &&
                   strcmp(report->digest, reports->said.digest) == 0;
    bool waits = reports->state_timer && same_report(&reports->next, report);
    report_copy(&reports->next, report);
    if (!waits)
        loop_timer_set(reports->loop, &reports->state_timer,
                       loop_now(reports->loop) + (repairs ? BUSY_QUIET_US : QUIET_US), tell_state,
                       reports);
}

/* --- facts, runs */

void reports_facts(Reports *reports, const Value *facts) {
    if (reports->facts && value_equal(reports->facts, facts))
        return;
    value_unref(reports->facts);
    reports->facts = value_ref(facts);
    g_autoptr(Value) value = value_new_map();
    value_map_set(value, "facts", value_ref(reports->facts));
    g_autofree char *key = key_of(reports, LAYOUT_FACTS);
    put(reports, key, value);
}

static void tell_run(void *data) {
    Reports *reports = data;
    g_autoptr(Value) value = value_new_map();
    for (size_t i = 0; i < value_size(reports->next_run); i++) {
        const char *name;
        const Value *member = value_map_at(reports->next_run, i, &name);
        value_map_set(value, name, value_ref(member));
    }
    int64_t now = (int64_t)(loop_wall_now(reports->loop) / G_USEC_PER_SEC);
    value_map_set(value, "time", value_new_int(now));
    value_unref(reports->run);
    reports->run = g_steal_pointer(&reports->next_run);
    reports->run_at = loop_now(reports->loop);
    g_autofree char *key = key_of(reports, LAYOUT_RUN);
    put(reports, key, value);
}

void reports_run(Reports *reports, const Value *run) {
    const Value *last = reports->next_run ? reports->next_run : reports->run;
    if (last && value_equal(last, run))
        return;
    value_unref(reports->next_run);
    reports->next_run = value_ref(run);
    if (!reports->run_timer)
        loop_timer_set(reports->loop, &reports->run_timer,
                       reports->run ? reports->run_at + RUN_PERIOD_US : loop_now(reports->loop),
                       tell_run, reports);
}

/* --- repairs */

static char *drift_prefix(const Reports *reports) {
    return g_strconcat(LAYOUT_DRIFT, reports->host, "/", NULL);
}

static void forget_oldest(Reports *reports) {
    while (reports->drift.length > REPORTS_DRIFT_KEPT) {
        g_autofree char *key = g_queue_pop_head(&reports->drift);
        if (!outbox_take_back(reports->outbox, key))
            outbox_put(reports->outbox, key, NULL);
    }
}

static void on_drift_keys(void *data, StoreAnswer *answer, const GError *error) {
    Reports *reports = data;
    reports->drift_call = NULL;
    if (error)
        return; /* it is asked again when the store is in reach */
    reports->drift_known = true;
    GPtrArray *entries = store_answer_result(answer, 0)->entries;
    for (unsigned i = entries->len; i > 0; i--) {
        char *key = layout_text(((StoreEntry *)g_ptr_array_index(entries, i - 1))->key);
        if (key && !g_queue_find_custom(&reports->drift, key, (GCompareFunc)strcmp))
            g_queue_push_head(&reports->drift, key);
        else
            g_free(key);
    }
    forget_oldest(reports);
}

static void look_for_drift(Reports *reports) {
    if (reports->drift_known || reports->drift_call)
        return;
    g_autofree char *prefix = drift_prefix(reports);
    g_autoptr(GBytes) key = layout_bytes(prefix);
    StoreRange range = { .key = key, .prefix = true, .keys_only = true };
    reports->drift_call = store_range(reports->store, &range, on_drift_keys, reports);
}

static void put_drift(Reports *reports, const char *resource, const char *what) {
    int64_t now = (int64_t)loop_wall_now(reports->loop);
    reports->drift_time = MAX(now, reports->drift_time + 1);
    g_autofree char *prefix = drift_prefix(reports);
    char *key = layout_numbered(prefix, (uint64_t)reports->drift_time);
    g_autoptr(Value) value = value_new_map();
    value_map_set(value, "time", value_new_int(reports->drift_time / G_USEC_PER_SEC));
    value_map_set(value, "resource", value_new_string(resource));
    value_map_set(value, "what", value_new_string(what));
    put(reports, key, value);
    g_queue_push_tail(&reports->drift, key);
    look_for_drift(reports);
    forget_oldest(reports);
}

static void on_minute(void *data) {
    Reports *reports = data;
    unsigned more = reports->minute_count > REPORTS_DRIFT_MINUTE
                        ? reports->minute_count - REPORTS_DRIFT_MINUTE
                        : 0;
    reports->minute_count = 0;
    if (more == 0)
        return;
    g_autofree char *what = g_strdup_printf("%u more repairs in this minute", more);
    put_drift(reports, "", what);
}

void reports_drift(Reports *reports, const char *resource, const char *what) {
    if (!reports->minute_timer)
        loop_timer_set(reports->loop, &reports->minute_timer, loop_now(reports->loop) + MINUTE_US,
                       on_minute, reports);
    if (reports->minute_count++ < REPORTS_DRIFT_MINUTE)
        put_drift(reports, resource, what);
}

/* --- questions */

static Value *answer_to(const Reports *reports, const StoreEntry *entry) {
    gsize size;
    const char *data = g_bytes_get_data(entry->value, &size);
    g_autoptr(Value) asked = json_parse(data ? data : "", size, "question", NULL);
    Value *value = value_new_map();
    bool map = asked && value_type(asked) == VALUE_MAP;
    const char *kind = map ? value_map_string(asked, "kind", "") : "",
               *name = map ? value_map_string(asked, "name", "") : "";
    g_autoptr(GString) text = g_string_new(NULL);
    if (!map || strcmp(value_map_string(asked, "question", ""), "why") != 0) {
        value_map_set(value, "error", value_new_string("this agent answers 'why' alone"));
    } else if (!reports->listener.why(reports->listener.data, kind, name, text)) {
        g_autofree char *none =
            g_strdup_printf("no %s '%s' is managed on '%s'", kind, name, reports->host);
        value_map_set(value, "error", value_new_string(none));
    } else {
        g_string_truncate(text, MIN(text->len, ANSWER_MAX));
        value_map_set(value, "answer", value_new_string(text->str));
    }
    return value;
}

/* An answer is there for as long as its question is. */
static void on_questions(void *data) {
    Reports *reports = data;
    g_autofree char *prefix = g_strconcat(LAYOUT_ASK, reports->host, "/", NULL);
    g_auto(GStrv) keys = mirror_keys(reports->questions);
    g_autoptr(GHashTable) answers =
        g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)value_unref);
    for (unsigned i = 0; keys[i] && i < ANSWERS_MAX; i++)
        g_hash_table_insert(answers, keys[i] + strlen(prefix),
                            answer_to(reports, mirror_get(reports->questions, keys[i])));
    reporter_set_answers(reports->reporter, answers);
}

/* --- life */

static void on_reached(void *data, const GError *error) {
    Reports *reports = data;
    if (!error && reports->drift.length > 0)
        look_for_drift(reports);
    reports->listener.reached(reports->listener.data, error);
}

static void on_failed(void *data, const GError *error) {
    Reports *reports = data;
    if (!g_error_matches(error, STORE_ERROR, STORE_ERROR_UNAVAILABLE))
        reports->listener.failed(reports->listener.data, error);
}

Reports *reports_new(Loop *loop, Store *store, const char *host, unsigned ttl_s,
                     const ReportsListener *listener) {
    Reports *reports = g_new0(Reports, 1);
    reports->loop = loop;
    reports->store = store;
    reports->host = g_strdup(host);
    reports->listener = *listener;
    g_queue_init(&reports->drift);
    ReporterListener of_reporter = { .failed = on_failed, .reached = on_reached, .data = reports };
    reports->reporter = reporter_new(loop, store, host, ttl_s, &of_reporter);
    reports->outbox = outbox_new(loop, store, on_failed, reports);
    g_autofree char *questions = g_strconcat(LAYOUT_ASK, host, "/", NULL);
    MirrorListener of_questions = { .changed = on_questions, .data = reports };
    reports->questions = mirror_new(loop, store, questions, &of_questions);
    return reports;
}

void reports_free(Reports *reports) {
    if (!reports)
        return;
    loop_timer_clear(&reports->state_timer);
    loop_timer_clear(&reports->run_timer);
    loop_timer_clear(&reports->minute_timer);
    g_clear_pointer(&reports->drift_call, store_call_cancel);
    mirror_free(reports->questions);
    outbox_free(reports->outbox);
    reporter_free(reports->reporter);
    g_queue_clear_full(&reports->drift, g_free);
    report_clear(&reports->said);
    report_clear(&reports->next);
    value_unref(reports->facts);
    value_unref(reports->run);
    value_unref(reports->next_run);
    g_free(reports->host);
    g_free(reports);
}
