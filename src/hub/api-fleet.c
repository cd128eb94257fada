/* What the hosts of a fleet say of themselves. */
#include <string.h>

#include "base/error.h"
#include "base/exchange-key.h"
#include "base/json.h"
#include "fleet/layout.h"
#include "hub/hub-private.h"

#define WHY_TTL_S       30
#define WHY_PATIENCE_US (10 * (uint64_t)G_USEC_PER_SEC)
#define SD_PORT         9100

static const Roster *roster_of(const Ask *ask) {
    return rollout_roster(ask->hub->rollout);
}

/* ?selector=: false when it has been answered; *ret NULL: all are meant. */
static bool read_selector(Ask *ask, Selector **ret) {
    const char *text = http_request_query(ask->request, "selector");
    g_autoptr(GError) error = NULL;
    *ret = text && *text ? selector_parse(text, &error) : NULL;
    if (!error)
        return true;
    http_answer_error(ask->request, 400, "as in 'role=web and site=ams1', 'web*', 'all'", "%s",
                      error->message);
    return false;
}

static bool is_meant(const RosterHost *host, const Selector *to) {
    return host->is_member && (!to || selector_matches(to, host->name, host->labels, host->facts));
}

/* Answers with a list of show() of each host that is meant. */
static void answer_hosts(Ask *ask, Value *(*show)(const Ask *ask, const RosterHost *host),
                         bool bare) {
    g_autoptr(Selector) to = NULL;
    if (!read_selector(ask, &to))
        return;
    g_autoptr(Value) page = value_new_map();
    Value *list = value_new_list();
    const GPtrArray *hosts = roster_hosts(roster_of(ask));
    for (unsigned i = 0; i < hosts->len; i++)
        if (is_meant(hosts->pdata[i], to))
            value_list_append(list, show(ask, hosts->pdata[i]));
    if (bare) {
        http_answer_json(ask->request, 200, list);
        value_unref(list);
        return;
    }
    value_map_set(page, "hosts", list);
    value_map_set(page, "revision", value_new_int(roster_revision(roster_of(ask))));
    http_answer_json(ask->request, 200, page);
}

/* --- status, facts, targets ------------------------------------------------------------------- */

static void show_status(Ask *ask) {
    g_autoptr(Selector) to = NULL;
    if (!read_selector(ask, &to))
        return;
    g_autoptr(Value) page = value_new_map();
    value_map_set(page, "hosts", roster_status(roster_of(ask), to));
    value_map_set(page, "revision", value_new_int(roster_revision(roster_of(ask))));
    http_answer_json(ask->request, 200, page);
}

void get_fleet(void *data, HttpRequest *request) {
    ask_await_roster(ask_of(request), 0, show_status);
}

static Value *facts_row(const Ask *ask, const RosterHost *host) {
    Value *row = value_new_map();
    value_map_set(row, "host", value_new_string(host->name));
    value_map_set(row, "labels", map_copy(host->labels, NULL));
    value_map_set(row, "grants", host->grants ? value_ref(host->grants) : value_new_list());
    value_map_set(row, "facts", map_copy(host->facts, NULL));
    return row;
}

static void show_facts(Ask *ask) {
    answer_hosts(ask, facts_row, false);
}

void get_facts(void *data, HttpRequest *request) {
    ask_await_roster(ask_of(request), 0, show_facts);
}

static void set_label(Value *labels, const char *name, const char *text) {
    g_autofree char *label = g_strconcat("__meta_stead_", name, NULL);
    g_strcanon(label, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_", '_');
    value_map_set(labels, label, value_new_string(text));
}

/* As Prometheus' http_sd wants it. */
static Value *target_row(const Ask *ask, const RosterHost *host) {
    Value *row = value_new_map(), *targets = value_new_list(), *labels = value_new_map();
    g_autofree char *target = g_strdup_printf("%s:%" G_GINT64_FORMAT, host->name, ask->number);
    value_list_append(targets, value_new_string(target));
    set_label(labels, "host", host->name);
    set_label(labels, "state", host->is_alive ? report_state_name(host->report.state) : "silent");
    for (size_t i = 0; host->labels && i < value_size(host->labels); i++) {
        const char *name;
        const Value *text = value_map_at(host->labels, i, &name);
        g_autofree char *prefixed = g_strconcat("label_", name, NULL);
        if (value_type(text) == VALUE_STRING)
            set_label(labels, prefixed, value_string(text));
    }
    value_map_set(row, "targets", targets);
    value_map_set(row, "labels", labels);
    return row;
}

static void show_targets(Ask *ask) {
    const char *text = http_request_query(ask->request, "port");
    guint64 port = SD_PORT;
    if (text && !g_ascii_string_to_unsigned(text, 10, 1, 65535, &port, NULL)) {
        http_answer_error(ask->request, 400, NULL, "read 'port': '%.40s' is not in 1 to 65535",
                          text);
        return;
    }
    ask->number = (int64_t)port;
    answer_hosts(ask, target_row, true);
}

void get_sd(void *data, HttpRequest *request) {
    ask_await_roster(ask_of(request), 0, show_targets);
}

/* --- drift ------------------------------------------------------------------------------------ */

/* NULL: it is not meant, or too old. */
static Value *drift_row(const StoreEntry *entry, const Roster *roster, const Selector *to,
                        int64_t since) {
    g_autofree char *name = entry_name(entry, LAYOUT_DRIFT);
    char *slash = strchr(name, '/');
    g_autoptr(Value) value = slash ? entry_value(entry) : NULL;
    int64_t time = slash ? g_ascii_strtoll(slash + 1, NULL, 10) : 0;
    if (!value || time < since)
        return NULL;
    *slash = '\0';
    const RosterHost *host = roster_host(roster, name);
    if (!host || !is_meant(host, to))
        return NULL;
    Value *row = map_copy(value, NULL);
    value_map_set(row, "host", value_new_string(name));
    value_map_set(row, "time", value_new_int(time));
    return row;
}

static void on_drift(Ask *ask, StoreAnswer *answer) {
    const StoreResult *result = store_answer_result(answer, 0);
    g_autoptr(Selector) to = NULL;
    if (!read_selector(ask, &to))
        return;
    g_autoptr(Value) page = value_new_map();
    Value *list = value_new_list();
    for (unsigned i = 0; i < result->entries->len; i++) {
        Value *row = drift_row(result->entries->pdata[i], roster_of(ask), to, ask->number);
        if (row)
            value_list_append(list, row);
    }
    value_map_set(page, "drift", list);
    value_map_set(page, "revision", value_new_int(answer->revision));
    if (result->more) {
        g_autofree char *last =
            entry_name(result->entries->pdata[result->entries->len - 1], LAYOUT_DRIFT);
        value_map_set(page, "next", value_new_string(last));
    }
    http_answer_json(ask->request, 200, page);
}

static void list_drift(Ask *ask) {
    const char *since = http_request_query(ask->request, "since"), *after;
    guint64 seconds = 0;
    unsigned limit;
    if (since && !g_ascii_string_to_unsigned(since, 10, 0, INT32_MAX, &seconds, NULL)) {
        http_answer_error(ask->request, 400, "it is in seconds since 1970",
                          "read 'since': '%.40s' is no time", since);
        return;
    }
    if (!ask_page(ask, &limit, &after))
        return;
    ask->number = (int64_t)seconds * G_USEC_PER_SEC;
    ask_list(ask, LAYOUT_DRIFT, after, limit, on_drift);
}

void get_drift(void *data, HttpRequest *request) {
    ask_await_roster(ask_of(request), 0, list_drift);
}

/* --- why: the host itself is asked through the store ------------------------------------------ */

typedef struct {
    Ask *ask; /* NULL: it was answered otherwise */
    Hub *hub;
    char *name; /* HOST/ID */
    StoreCall *call;
    StoreWatch *watch;
    LoopTimer *timer;
    int64_t lease;
} Question;

static void question_free(Question *question) {
    if (question->call)
        store_call_cancel(question->call);
    store_watch_stop(question->watch);
    loop_timer_clear(&question->timer);
    g_free(question->name);
    g_free(question);
}

static void question_cancel(void *data) {
    question_free(data);
}

/* Nothing is left to do when it does not work: the lease lapses by itself. */
static void on_over(void *data, StoreAnswer *answer, const GError *error) {
}

/* The ask is released, and to be answered. */
static Ask *question_end(Question *question) {
    Ask *ask = question->ask;
    ask_release(ask);
    if (question->lease)
        (void)store_lease_revoke(question->hub->state, question->lease, on_over, NULL);
    question_free(question);
    return ask;
}

static void on_silence(void *data) {
    Question *question = data;
    Ask *ask = question_end(question);
    http_answer_error(ask->request, 504, "look at it there: 'stead why'",
                      "'%s' did not answer within 10 seconds", ask->text);
}

static void on_answered(void *data, int64_t revision, GPtrArray *events, const GError *error) {
    Question *question = data;
    const StoreEntry *entry = events && events->len > 0 ? events->pdata[0] : NULL;
    if (error) {
        Ask *ask = question_end(question);
        ask_fail(ask, error);
        return;
    }
    g_autoptr(Value) value = entry_value(entry);
    if (!value)
        return;
    Ask *ask = question_end(question);
    const char *problem = value_map_string(value, "error", NULL);
    if (problem)
        http_answer_error(ask->request, 404, NULL, "%s: %s", ask->text, problem);
    else
        http_answer_json(ask->request, 200, value);
}

static void on_question(void *data, StoreAnswer *answer, const GError *error) {
    Question *question = data;
    question->call = NULL;
    if (error) {
        Ask *ask = question_end(question);
        ask_fail(ask, error);
        return;
    }
    g_autoptr(GBytes) key = key_of(LAYOUT_ANSWER, question->name);
    question->watch =
        store_watch(question->hub->state, key, false, answer->revision, on_answered, question);
    loop_timer_set(question->hub->loop, &question->timer,
                   loop_now(question->hub->loop) + WHY_PATIENCE_US, on_silence, question);
}

static GBytes *question_text(const Ask *ask) {
    g_autoptr(Value) map = value_new_map();
    value_map_set(map, "question", value_new_string("why"));
    value_map_set(map, "kind", value_new_string(http_request_query(ask->request, "kind")));
    value_map_set(map, "name", value_new_string(http_request_query(ask->request, "name")));
    GString *text = g_string_new(NULL);
    json_append(text, map, JSON_COMPACT);
    return g_string_free_to_bytes(text);
}

static void on_granted(void *data, StoreAnswer *answer, const GError *error) {
    Question *question = data;
    question->call = NULL;
    if (error) {
        Ask *ask = question_end(question);
        ask_fail(ask, error);
        return;
    }
    question->lease = answer->lease;
    g_autoptr(GBytes) key = key_of(LAYOUT_ASK, question->name);
    g_autoptr(GBytes) text = question_text(question->ask);
    question->call =
        store_put(question->hub->state, key, text, question->lease, on_question, question);
}

static void ask_host(Ask *ask) {
    const RosterHost *host = roster_host(roster_of(ask), ask->text);
    if (!host || !host->is_member) {
        http_answer_error(ask->request, 404, "'stead host list' shows them", "no host '%s'",
                          ask->text);
        return;
    }
    if (!host->is_alive) {
        http_answer_error(ask->request, 409, "ask again when its agent runs",
                          "nothing is heard of '%s'", ask->text);
        return;
    }
    Question *question = g_new0(Question, 1);
    g_autofree char *id = g_uuid_string_random();
    question->ask = ask;
    question->hub = ask->hub;
    question->name = g_strconcat(ask->text, "/", id, NULL);
    ask_hold(ask, question, question_cancel);
    question->call = store_lease_grant(ask->hub->state, WHY_TTL_S, on_granted, question);
}

void get_why(void *data, HttpRequest *request) {
    Ask *ask = ask_of(request);
    const char *host = http_request_query(request, "host");
    if (!host || !exchange_host_check(host, NULL) || !http_request_query(request, "kind") ||
        !http_request_query(request, "name")) {
        http_answer_error(request, 400, "as in ?host=web1&kind=file&name=/etc/motd",
                          "read the question: host, kind and name are needed");
        return;
    }
    ask->text = g_strdup(host);
    ask_await_roster(ask, 0, ask_host);
}
