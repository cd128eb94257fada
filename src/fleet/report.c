#include "fleet/report.h"

#include <string.h>

#include "base/json.h"
#include "fleet/layout.h"
#include "fleet/publisher.h"

static const char *const state_names[] = { "converging", "converged", "failing" };
static const char *const health_names[] = { "unchecked", "healthy", "unhealthy" };

void report_clear(Report *report) {
    g_free(report->message);
    *report = (Report){ 0 };
}

void report_copy(Report *to, const Report *from) {
    report_clear(to);
    *to = *from;
    to->message = g_strdup(from->message);
}

const char *report_state_name(ReportState state) {
    return state_names[state];
}

const char *report_health_name(ReportHealth health) {
    return health_names[health];
}

Value *report_to_value(const Report *report) {
    Value *value = value_new_map();
    value_map_set(value, "digest", value_new_string(report->digest));
    value_map_set(value, "state", value_new_string(state_names[report->state]));
    value_map_set(value, "health", value_new_string(health_names[report->health]));
    value_map_set(value, "since", value_new_int(report->since));
    if (report->message)
        value_map_set(value, "message", value_new_string(report->message));
    return value;
}

static bool find(const char *const *names, unsigned count, const char *name, unsigned *ret_index) {
    for (unsigned i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0) {
            *ret_index = i;
            return true;
        }
    return false;
}

static bool is_digest(const char *text) {
    return *text == '\0' || (strlen(text) == DIGEST_HEX_SIZE - 1 &&
                             strspn(text, "0123456789abcdef") == strlen(text));
}

bool report_read(const Value *value, Report *ret_report) {
    unsigned state, health;
    if (value_type(value) != VALUE_MAP)
        return false;
    const char *digest = value_map_string(value, "digest", "");
    const char *message = value_map_string(value, "message", NULL);
    if (!is_digest(digest) ||
        !find(state_names, G_N_ELEMENTS(state_names), value_map_string(value, "state", ""),
              &state) ||
        !find(health_names, G_N_ELEMENTS(health_names),
              value_map_string(value, "health", health_names[0]), &health))
        return false;
    *ret_report = (Report){ .state = (ReportState)state,
                            .health = (ReportHealth)health,
                            .since = value_map_int(value, "since", 0),
                            .message = message ? g_strndup(message, REPORT_MESSAGE_MAX) : NULL };
    g_strlcpy(ret_report->digest, digest, sizeof ret_report->digest);
    return true;
}

/* --- keeping it in the store */

struct Reporter {
    char *host;
    GHashTable *wanted; /* keys of the store (char *) to values (GBytes *) */
    Tenure *tenure;
    Publisher *publisher;
    ReporterListener listener;
};

static void on_lease(void *data) {
    Reporter *reporter = data;
    if (reporter->publisher)
        publisher_lease_changed(reporter->publisher);
}

static void on_reached(void *data, const GError *error) {
    Reporter *reporter = data;
    if (reporter->listener.reached)
        reporter->listener.reached(reporter->listener.data, error);
}

static void on_failed(void *data, const GError *error) {
    Reporter *reporter = data;
    if (reporter->listener.failed)
        reporter->listener.failed(reporter->listener.data, error);
}

static void on_settled(void *data) {
}

Reporter *reporter_new(Loop *loop, Store *store, const char *host, unsigned ttl_s,
                       const ReporterListener *listener) {
    Reporter *reporter = g_new0(Reporter, 1);
    reporter->host = g_strdup(host);
    reporter->wanted =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_bytes_unref);
    reporter->listener = *listener;
    TenureListener of_tenure = { .changed = on_lease, .reached = on_reached, .data = reporter };
    reporter->tenure = tenure_new(loop, store, ttl_s, &of_tenure);
    PublisherListener of_publisher = { on_settled, on_failed, reporter };
    reporter->publisher = publisher_new(loop, store, reporter->tenure, &of_publisher);
    return reporter;
}

static void put(Reporter *reporter, char *key, const Value *value) {
    g_autofree char *text = json_print(value, JSON_COMPACT);
    g_hash_table_insert(reporter->wanted, key, layout_bytes(text));
}

void reporter_set(Reporter *reporter, const Report *report) {
    g_autoptr(Value) value = report_to_value(report);
    put(reporter, layout_reported(reporter->host), value);
    publisher_set(reporter->publisher, reporter->wanted);
}

static gboolean is_answer(void *key, void *value, void *data) {
    return g_str_has_prefix(key, LAYOUT_ANSWER);
}

void reporter_set_answers(Reporter *reporter, GHashTable *answers) {
    GHashTableIter iter;
    void *id, *answer;
    g_hash_table_foreach_remove(reporter->wanted, is_answer, NULL);
    g_hash_table_iter_init(&iter, answers);
    while (g_hash_table_iter_next(&iter, &id, &answer))
        put(reporter, g_strconcat(LAYOUT_ANSWER, reporter->host, "/", id, NULL), answer);
    publisher_set(reporter->publisher, reporter->wanted);
}

void reporter_free(Reporter *reporter) {
    if (!reporter)
        return;
    publisher_free(reporter->publisher);
    tenure_free(reporter->tenure);
    g_hash_table_unref(reporter->wanted);
    g_free(reporter->host);
    g_free(reporter);
}
