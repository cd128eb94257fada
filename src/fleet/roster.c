#include "fleet/roster.h"

#include <stdlib.h>
#include <string.h>

#include "base/exchange-key.h"
#include "base/json.h"
#include "fleet/layout.h"

struct Roster {
    Loop *loop;
    Mirror *mirror;
    LoopCallback changed;
    void *data;
    GHashTable *hosts;    /* name -> RosterHost */
    GPtrArray *sorted;    /* of the same; NULL: to be made */
    GArray *records;      /* of RosterRecord *, by number */
    GHashTable *outcomes; /* names of keys -> Value */
    GHashTable *bad;      /* digests */
    RosterRollout rollout;
    int64_t began; /* seconds since 1970 */
};

static const char *const stage_names[] = { "waiting", "changing",  "soaking",  "passed", "failed",
                                           "given",   "returning", "returned", "stuck" };
static const char *const phase_names[] = { "none",      "canary",   "rolling", "paused", "halted",
                                           "reverting", "reverted", "aborted", "done" };

const char *stage_name(Stage stage) {
    return stage_names[stage];
}

const char *phase_name(Phase phase) {
    return phase_names[phase];
}

static unsigned index_of(const char *const *names, unsigned count, const char *name) {
    unsigned i = 0;
    while (i < count && strcmp(names[i], name) != 0)
        i++;
    return i < count ? i : 0;
}

/* A map, empty when entry has none (*ret_good false). */
static Value *parse(const StoreEntry *entry, bool *ret_good) {
    gsize size = 0;
    const char *data = entry ? g_bytes_get_data(entry->value, &size) : NULL;
    g_autoptr(Value) value = data ? json_parse(data, size, "store", NULL) : NULL;
    bool good = value && value_type(value) == VALUE_MAP;
    if (ret_good)
        *ret_good = good;
    return good ? g_steal_pointer(&value) : value_new_map();
}

static void read_digest(const Value *value, const char *key, char ret_digest[DIGEST_HEX_SIZE]) {
    const char *digest = value_map_string(value, key, "");
    bool is_one = strlen(digest) == DIGEST_HEX_SIZE - 1 &&
                  strspn(digest, "0123456789abcdef") == DIGEST_HEX_SIZE - 1;
    g_strlcpy(ret_digest, is_one ? digest : "", DIGEST_HEX_SIZE);
}

static uint64_t read_number(const Value *value, const char *key) {
    return (uint64_t)MAX(value_map_int(value, key, 0), 0);
}

/* --- hosts */

static void host_free(void *data) {
    RosterHost *host = data;
    value_unref(host->labels);
    value_unref(host->grants);
    value_unref(host->facts);
    value_unref(host->run);
    report_clear(&host->report);
    g_free(host->why);
    g_free(host->name);
    g_free(host);
}

static int64_t wall_now(const Roster *roster) {
    return (int64_t)(loop_wall_now(roster->loop) / G_USEC_PER_SEC);
}

static RosterHost *find_host(Roster *roster, const char *name) {
    RosterHost *host = g_hash_table_lookup(roster->hosts, name);
    if (host || !exchange_host_check(name, NULL))
        return host;
    host = g_new0(RosterHost, 1);
    host->name = g_strdup(name);
    g_hash_table_insert(roster->hosts, host->name, host);
    g_clear_pointer(&roster->sorted, g_ptr_array_unref);
    return host;
}

static Value *take_map(const Value *value, const char *key) {
    const Value *map = value_map_get(value, key);
    return map && value_type(map) == VALUE_MAP ? value_ref(map) : NULL;
}

static void take_member(Roster *roster, const char *name, const StoreEntry *entry) {
    RosterHost *host = find_host(roster, name);
    if (!host)
        return;
    g_autoptr(Value) value = parse(entry, &host->is_member);
    value_unref(host->labels);
    value_unref(host->grants);
    host->labels = take_map(value, "labels");
    host->grants = value_ref(value_map_get(value, "grants"));
}

static void take_facts(Roster *roster, const char *name, const StoreEntry *entry) {
    RosterHost *host = find_host(roster, name);
    if (!host)
        return;
    g_autoptr(Value) value = parse(entry, NULL);
    value_unref(host->facts);
    host->facts = take_map(value, "facts");
}

static void take_run(Roster *roster, const char *name, const StoreEntry *entry) {
    RosterHost *host = find_host(roster, name);
    if (!host)
        return;
    bool good;
    g_autoptr(Value) value = parse(entry, &good);
    value_unref(host->run);
    host->run = good ? g_steal_pointer(&value) : NULL;
}

static void take_report(Roster *roster, const char *name, const StoreEntry *entry) {
    RosterHost *host = find_host(roster, name);
    if (!host)
        return;
    g_autoptr(Value) value = parse(entry, NULL);
    bool was_alive = host->is_alive;
    report_clear(&host->report);
    host->is_alive = report_read(value, &host->report);
    if (host->is_alive || was_alive)
        host->silent_since = host->is_alive ? 0 : wall_now(roster);
}

static void take_desired(Roster *roster, const char *name, const StoreEntry *entry) {
    RosterHost *host = find_host(roster, name);
    if (!host)
        return;
    g_autoptr(Value) value = parse(entry, NULL);
    host->desired = read_number(value, "record");
    read_digest(value, "digest", host->desired_digest);
}

static void take_stage(Roster *roster, const char *name, const StoreEntry *entry) {
    RosterHost *host = find_host(roster, name);
    if (!host)
        return;
    g_autoptr(Value) value = parse(entry, NULL);
    host->stage = (Stage)index_of(stage_names, G_N_ELEMENTS(stage_names),
                                  value_map_string(value, "stage", ""));
    host->record = read_number(value, "record");
    host->before = read_number(value, "before");
    host->canary = value_map_bool(value, "canary", false);
    host->attempt = (unsigned)read_number(value, "attempt");
    host->tries = (unsigned)read_number(value, "tries");
    host->since = value_map_int(value, "since", 0);
    host->seen = loop_now(roster->loop);
    g_free(host->why);
    host->why = g_strdup(value_map_string(value, "why", ""));
}

/* --- deploys */

static void record_free(void *data) {
    RosterRecord *record = data;
    selector_free(record->to);
    g_free(record->message);
    g_free(record->by);
    g_free(record->problem);
    g_free(record);
}

static RosterRecord *record_new(uint64_t number, const Value *value) {
    g_autoptr(GError) error = NULL;
    RosterRecord *record = g_new0(RosterRecord, 1);
    record->number = number;
    read_digest(value, "digest", record->digest);
    record->message = g_strdup(value_map_string(value, "message", ""));
    record->by = g_strdup(value_map_string(value, "by", ""));
    record->time = value_map_int(value, "time", 0);
    record->to = selector_parse(value_map_string(value, "to", "all"), &error);
    if (record->to)
        (void)strategy_parse(value_map_string(value, "strategy", ""), &record->strategy, &error);
    if (*record->digest == '\0')
        record->problem = g_strdup("its record names no bundle");
    else if (error)
        record->problem = g_strdup(error->message);
    return record;
}

static unsigned place_of(const Roster *roster, uint64_t number) {
    unsigned low = 0, high = roster->records->len;
    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        if (g_array_index(roster->records, RosterRecord *, middle)->number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const RosterRecord *roster_record(const Roster *roster, uint64_t number) {
    unsigned place = place_of(roster, number);
    if (place == roster->records->len)
        return NULL;
    const RosterRecord *record = g_array_index(roster->records, RosterRecord *, place);
    return record->number == number ? record : NULL;
}

static void take_record(Roster *roster, const char *name, const StoreEntry *entry) {
    uint64_t number = g_ascii_strtoull(name, NULL, 10);
    bool good;
    g_autoptr(Value) value = parse(entry, &good);
    unsigned place = place_of(roster, number);
    if (number == 0)
        return;
    if (roster_record(roster, number)) {
        record_free(g_array_index(roster->records, RosterRecord *, place));
        g_array_remove_index(roster->records, place);
    }
    if (good) {
        RosterRecord *record = record_new(number, value);
        g_array_insert_val(roster->records, place, record);
    }
}

static void take_outcome(Roster *roster, const char *name, const StoreEntry *entry) {
    bool good;
    g_autoptr(Value) value = parse(entry, &good);
    if (good)
        g_hash_table_replace(roster->outcomes, g_strdup(name), g_steal_pointer(&value));
    else
        g_hash_table_remove(roster->outcomes, name);
}

static void take_bad(Roster *roster, const char *name, const StoreEntry *entry) {
    if (entry)
        g_hash_table_add(roster->bad, g_strdup(name));
    else
        g_hash_table_remove(roster->bad, name);
}

void roster_rollout_clear(RosterRollout *rollout) {
    g_free(rollout->why);
    g_free(rollout->by);
    *rollout = (RosterRollout){ 0 };
}

void roster_rollout_read(const StoreEntry *entry, RosterRollout *ret_rollout) {
    g_autoptr(Value) value = parse(entry, NULL);
    *ret_rollout = (RosterRollout){
        .record = read_number(value, "record"),
        .phase = (Phase)index_of(phase_names, G_N_ELEMENTS(phase_names),
                                 value_map_string(value, "phase", "")),
        .attempt = (unsigned)read_number(value, "attempt"),
        .sequence = read_number(value, "sequence"),
        .since = value_map_int(value, "since", 0),
        .why = g_strdup(value_map_string(value, "why", "")),
        .by = g_strdup(value_map_string(value, "by", "")),
        .revision = entry ? entry->mod_revision : 0,
    };
    read_digest(value, "digest", ret_rollout->digest);
}

static const struct {
    const char *prefix;
    void (*take)(Roster *roster, const char *name, const StoreEntry *entry);
} parts[] = {
    { LAYOUT_MEMBER, take_member },   { LAYOUT_REPORTED, take_report },
    { LAYOUT_DESIRED, take_desired }, { LAYOUT_STAGE, take_stage },
    { LAYOUT_RECORD, take_record },   { LAYOUT_OUTCOME, take_outcome },
    { LAYOUT_BAD, take_bad },         { LAYOUT_FACTS, take_facts },
    { LAYOUT_RUN, take_run },
};

static void on_entry(void *data, const char *key, const StoreEntry *before,
                     const StoreEntry *after) {
    Roster *roster = data;
    if (strcmp(key, LAYOUT_ROLLOUT) == 0) {
        roster_rollout_clear(&roster->rollout);
        roster_rollout_read(after, &roster->rollout);
        return;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(parts); i++)
        if (g_str_has_prefix(key, parts[i].prefix))
            parts[i].take(roster, key + strlen(parts[i].prefix), after);
}

static void on_changed(void *data) {
    Roster *roster = data;
    roster->changed(roster->data);
}

/* --- life and reading */

Roster *roster_new(Loop *loop, Store *store, LoopCallback changed, void *data) {
    Roster *roster = g_new0(Roster, 1);
    roster->loop = loop;
    roster->changed = changed;
    roster->data = data;
    roster->began = wall_now(roster);
    roster->hosts = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, host_free);
    roster->records = g_array_new(FALSE, FALSE, sizeof(RosterRecord *));
    roster->outcomes =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)value_unref);
    roster->bad = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    MirrorListener of_mirror = { .entry = on_entry, .changed = on_changed, .data = roster };
    roster->mirror = mirror_new(loop, store, LAYOUT_FLEET, &of_mirror);
    return roster;
}

void roster_free(Roster *roster) {
    if (!roster)
        return;
    mirror_free(roster->mirror);
    g_clear_pointer(&roster->sorted, g_ptr_array_unref);
    g_hash_table_unref(roster->hosts);
    for (unsigned i = 0; i < roster->records->len; i++)
        record_free(g_array_index(roster->records, RosterRecord *, i));
    g_array_unref(roster->records);
    g_hash_table_unref(roster->outcomes);
    g_hash_table_unref(roster->bad);
    roster_rollout_clear(&roster->rollout);
    g_free(roster);
}

bool roster_is_loaded(const Roster *roster) {
    return mirror_is_loaded(roster->mirror);
}

int64_t roster_revision(const Roster *roster) {
    return mirror_revision(roster->mirror);
}

static int compare_hosts(const void *a, const void *b) {
    return strcmp((*(RosterHost *const *)a)->name, (*(RosterHost *const *)b)->name);
}

const GPtrArray *roster_hosts(const Roster *roster) {
    Roster *cache = (Roster *)(uintptr_t)roster;
    if (!roster->sorted) {
        GHashTableIter iter;
        void *host;
        cache->sorted = g_ptr_array_new();
        g_hash_table_iter_init(&iter, roster->hosts);
        while (g_hash_table_iter_next(&iter, NULL, &host))
            g_ptr_array_add(cache->sorted, host);
        g_ptr_array_sort(cache->sorted, compare_hosts);
    }
    return roster->sorted;
}

const RosterHost *roster_host(const Roster *roster, const char *name) {
    return g_hash_table_lookup(roster->hosts, name);
}

const RosterRecord *roster_newest(const Roster *roster) {
    unsigned count = roster->records->len;
    return count > 0 ? g_array_index(roster->records, RosterRecord *, count - 1) : NULL;
}

const RosterRollout *roster_rollout(const Roster *roster) {
    return &roster->rollout;
}

bool roster_is_bad(const Roster *roster, const char *digest) {
    return g_hash_table_contains(roster->bad, digest);
}

const Value *roster_outcome(const Roster *roster, uint64_t record) {
    g_autofree char *name = layout_numbered("", record);
    return g_hash_table_lookup(roster->outcomes, name);
}

bool roster_is_done(const Roster *roster, uint64_t record) {
    const Value *outcome = roster_outcome(roster, record);
    return outcome && strcmp(value_map_string(outcome, "outcome", ""), "done") == 0;
}

const RosterRecord *roster_base(const Roster *roster, const RosterHost *host, uint64_t below) {
    for (unsigned i = place_of(roster, below); i > 0; i--) {
        const RosterRecord *record = g_array_index(roster->records, RosterRecord *, i - 1);
        if (!record->problem && roster_is_done(roster, record->number) &&
            !roster_is_bad(roster, record->digest) &&
            selector_matches(record->to, host->name, host->labels, host->facts))
            return record;
    }
    return NULL;
}

static void set_text(Value *map, const char *key, const char *text) {
    value_map_set(map, key, value_new_string(text ? text : ""));
}

/* The deploy of that bundle which it was told, or else the newest; 0: there is none. */
static uint64_t record_of(const Roster *roster, const RosterHost *host, const char *digest) {
    if (*digest == '\0' || strcmp(digest, host->desired_digest) == 0)
        return *digest ? host->desired : 0;
    for (unsigned i = roster->records->len; i > 0; i--) {
        const RosterRecord *record = g_array_index(roster->records, RosterRecord *, i - 1);
        if (strcmp(record->digest, digest) == 0)
            return record->number;
    }
    return 0;
}

static void set_silence(Value *row, const Roster *roster, const RosterHost *host) {
    if (host->silent_since > 0)
        value_map_set(row, "silent_since", value_new_int(host->silent_since));
    else if (host->run || host->facts)
        value_map_set(row, "silent_before", value_new_int(roster->began));
}

static Value *status_row(const Roster *roster, const RosterHost *host) {
    const Report *report = &host->report;
    Value *row = value_new_map();
    char running[DIGEST_HEX_SIZE];
    g_strlcpy(running, report->digest, sizeof running);
    if (!host->is_alive && host->run)
        read_digest(host->run, "digest", running);
    int64_t last = host->run ? value_map_int(host->run, "time", 0) : 0;
    set_text(row, "host", host->name);
    value_map_set(row, "labels", host->labels ? value_ref(host->labels) : value_new_map());
    value_map_set(row, "record", value_new_int((int64_t)host->desired));
    set_text(row, "digest", host->desired_digest);
    set_text(row, "running", running);
    value_map_set(row, "running_record", value_new_int((int64_t)record_of(roster, host, running)));
    set_text(row, "state", host->is_alive ? report_state_name(report->state) : "silent");
    set_text(row, "health", host->is_alive ? report_health_name(report->health) : "");
    value_map_set(row, "since", value_new_int(host->is_alive ? report->since : last));
    set_text(row, "message", report->message);
    set_text(row, "stage", host->record > 0 ? stage_name(host->stage) : "");
    set_text(row, "why", host->why);
    if (!host->is_alive)
        set_silence(row, roster, host);
    if (host->run)
        value_map_set(row, "run", value_ref(host->run));
    return row;
}

Value *roster_status(const Roster *roster, const Selector *to) {
    Value *rows = value_new_list();
    const GPtrArray *hosts = roster_hosts(roster);
    for (unsigned i = 0; i < hosts->len; i++) {
        const RosterHost *host = g_ptr_array_index(hosts, i);
        if (host->is_member && (!to || selector_matches(to, host->name, host->labels, host->facts)))
            value_list_append(rows, status_row(roster, host));
    }
    return rows;
}
