/* What a hub says of itself. */
#include <stdio.h>
#include <unistd.h>

#include "http/routes.h"
#include "hub/gateway.h"

static void on_healthy(Ask *ask, StoreAnswer *answer) {
    g_autoptr(Value) map = value_new_map();
    value_map_set(map, "status", value_new_string("ok"));
    value_map_set(map, "revision", value_new_int(answer->revision));
    value_map_set(map, "state", value_new_string(store_kind(ask->hub->state)));
    value_map_set(map, "version", value_new_string(STEAD_VERSION));
    http_answer_json(ask->request, 200, map);
}

/* Healthy is a hub whose store answers. */
void get_health(void *data, HttpRequest *request) {
    ask_get(ask_of(request), KEY_AUTHORITY, on_healthy);
}

void get_openapi(void *data, HttpRequest *request) {
    Hub *hub = data;
    g_autoptr(GError) error = NULL;
    if (!hub->openapi)
        hub->openapi = routes_openapi(hub_routes, hub_n_routes, "stead hub", STEAD_VERSION, &error);
    if (hub->openapi)
        http_answer_json(request, 200, hub->openapi);
    else
        http_answer_error(request, 500, NULL, "%s", error->message);
}

void get_ca(void *data, HttpRequest *request) {
    Hub *hub = data;
    g_autoptr(Value) map = value_new_map();
    value_map_set(map, "certificate", value_new_string(hub->authority_pem));
    value_map_set(map, "fingerprint", value_new_string(hub->fingerprint));
    http_answer_json(request, 200, map);
}

static uint64_t resident_bytes(void) {
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file)
        return 0;
    if (fscanf(file, "%*u %lu", &pages) != 1)
        pages = 0;
    fclose(file);
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* A row for each name, so that a graph has no gaps. */
static void add_states(GString *text, const Roster *roster) {
    static const char *const names[] = { "converging", "converged", "failing", "silent" };
    unsigned counts[G_N_ELEMENTS(names)] = { 0 }, unhealthy = 0;
    const GPtrArray *hosts = roster_hosts(roster);
    for (unsigned i = 0; i < hosts->len; i++) {
        const RosterHost *host = hosts->pdata[i];
        if (!host->is_member)
            continue;
        counts[host->is_alive ? host->report.state : REPORT_FAILING + 1]++;
        unhealthy += host->is_alive && host->report.health == REPORT_UNHEALTHY;
    }
    g_string_append(text, "# HELP stead_hub_hosts Hosts by what they say of themselves.\n"
                          "# TYPE stead_hub_hosts gauge\n");
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++)
        g_string_append_printf(text, "stead_hub_hosts{state=\"%s\"} %u\n", names[i], counts[i]);
    g_string_append_printf(text,
                           "# HELP stead_hub_hosts_unhealthy Hosts whose health checks fail.\n"
                           "# TYPE stead_hub_hosts_unhealthy gauge\n"
                           "stead_hub_hosts_unhealthy %u\n",
                           unhealthy);
}

static void add_fleet(GString *text, const Roster *roster) {
    g_autoptr(Value) status = rollout_status(roster);
    const Value *stages = value_map_get(status, "stages");
    add_states(text, roster);
    g_string_append(text, "# HELP stead_hub_rollout_phase The phase that the rollout is in.\n"
                          "# TYPE stead_hub_rollout_phase gauge\n");
    for (Phase phase = PHASE_NONE; phase <= PHASE_DONE; phase++)
        g_string_append_printf(text, "stead_hub_rollout_phase{phase=\"%s\"} %d\n",
                               phase_name(phase), roster_rollout(roster)->phase == phase);
    g_string_append_printf(text,
                           "# HELP stead_hub_rollout_record The deploy that the rollout is of.\n"
                           "# TYPE stead_hub_rollout_record gauge\n"
                           "stead_hub_rollout_record %" G_GUINT64_FORMAT "\n"
                           "# HELP stead_hub_rollout_failed Hosts that failed in the rollout.\n"
                           "# TYPE stead_hub_rollout_failed gauge\n"
                           "stead_hub_rollout_failed %" G_GINT64_FORMAT "\n",
                           roster_rollout(roster)->record,
                           stages ? value_map_int(stages, "failed", 0) : 0);
}

void get_metrics(void *data, HttpRequest *request) {
    Hub *hub = data;
    HttpServerStats stats = hub->server ? http_server_stats(hub->server) : (HttpServerStats){ 0 };
    const struct {
        const char *name, *type, *help;
        uint64_t value;
    } rows[] = {
        { "connections", "gauge", "Connections there are now.", stats.connections },
        { "streams", "gauge", "Streams of events that are open now.", stats.streams },
        { "requests_total", "counter", "Requests.", stats.requests },
        { "requests_refused_total", "counter", "Requests that no handler saw.", stats.refused },
        { "connections_slow_total", "counter", "Connections dropped for being slow.",
          stats.too_slow },
        { "streams_dropped_total", "counter", "Streams dropped because the client was behind.",
          stats.dropped },
        { "gateway_requests_total", "counter", "Requests to the store of the fleet.",
          hub->gateway->requests },
        { "gateway_refused_total", "counter", "Of these, what was not allowed.",
          hub->gateway->refused },
        { "gateway_waited_total", "counter", "Reads that waited because their host reads much.",
          hub->gateway->waited[TURN_READ] },
        { "gateway_writes_waited_total", "counter",
          "Writes that waited because their host writes much.", hub->gateway->waited[TURN_WRITE] },
        { "gateway_watches", "gauge", "Watches of the store that are open now.",
          hub->gateway->channels->len },
        { "gateway_leases", "gauge", "Leases of hosts that are known to this hub.",
          g_hash_table_size(hub->gateway->leases) },
        { "revision", "gauge", "Revision of the store that was last seen.",
          (uint64_t)feed_revision(hub->feed) },
        { "resident_bytes", "gauge", "Memory of the hub.", resident_bytes() },
        { "longest_callback_microseconds", "gauge", "The longest time the loop was kept busy.",
          loop_longest_callback(hub->loop) },
    };
    GString *text = g_string_new(NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++)
        g_string_append_printf(text,
                               "# HELP stead_hub_%s %s\n# TYPE stead_hub_%s %s\nstead_hub_%s "
                               "%" G_GUINT64_FORMAT "\n",
                               rows[i].name, rows[i].help, rows[i].name, rows[i].type, rows[i].name,
                               rows[i].value);
    add_fleet(text, rollout_roster(hub->rollout));
    channels_metrics(hub->channels, text);
    usage_metrics(hub->usage, text);
    g_autoptr(GBytes) body = g_string_free_to_bytes(text);
    http_answer(request, 200, "text/plain; version=0.0.4; charset=utf-8", body);
}

/* --- the audit log ---------------------------------------------------------------------------- */

static Value *show_record(const StoreEntry *entry, const Value *value) {
    g_autofree char *name = entry_name(entry, KEY_AUDIT);
    Value *shown = value_new_map();
    value_map_set(shown, "id", value_new_string(name));
    value_map_set(shown, "revision", value_new_int(entry->mod_revision));
    for (size_t i = 0; i < value_size(value); i++) {
        const char *key;
        const Value *member = value_map_at(value, i, &key);
        value_map_set(shown, key, value_ref(member));
    }
    return shown;
}

static void on_audit(Ask *ask, StoreAnswer *answer) {
    ask_answer_page(ask, answer, "records", KEY_AUDIT, show_record);
}

void get_audit(void *data, HttpRequest *request) {
    Ask *ask = ask_of(request);
    unsigned limit;
    const char *after;
    if (ask_page(ask, &limit, &after))
        ask_list(ask, KEY_AUDIT, after, limit, on_audit);
}
