#include "fleet/rollout-step.h"

#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "base/plural.h"
#include "fleet/layout.h"

#define HOSTS_PER_STEP 28u /* four operations each: STORE_LIMIT_TXN_OPS */
#define TRIES_MAX      3u  /* times that a host may leave its soak without failing */

typedef enum {
    EVENT_CANARIES_PASSED,
    EVENT_ALL_PASSED,
    EVENT_TOO_MANY_HALT, /* failures, and the strategy says so */
    EVENT_TOO_MANY_REVERT,
    EVENT_ALL_RETURNED,
    EVENT_PAUSE,
    EVENT_RESUME,
    EVENT_ABORT,
    EVENT_REVERT,
    EVENT_COUNT,
} Event;

/* PHASE_NONE: not possible. A new deploy leads from any phase to PHASE_CANARY. */
static const Phase next_phase[][EVENT_COUNT] = {
    [PHASE_NONE] = { 0 },
    [PHASE_CANARY] = { [EVENT_CANARIES_PASSED] = PHASE_ROLLING,
                       [EVENT_TOO_MANY_HALT] = PHASE_HALTED,
                       [EVENT_TOO_MANY_REVERT] = PHASE_REVERTING,
                       [EVENT_PAUSE] = PHASE_PAUSED,
                       [EVENT_ABORT] = PHASE_ABORTED,
                       [EVENT_REVERT] = PHASE_REVERTING },
    [PHASE_ROLLING] = { [EVENT_ALL_PASSED] = PHASE_DONE,
                        [EVENT_TOO_MANY_HALT] = PHASE_HALTED,
                        [EVENT_TOO_MANY_REVERT] = PHASE_REVERTING,
                        [EVENT_PAUSE] = PHASE_PAUSED,
                        [EVENT_ABORT] = PHASE_ABORTED,
                        [EVENT_REVERT] = PHASE_REVERTING },
    [PHASE_PAUSED] = { [EVENT_TOO_MANY_HALT] = PHASE_HALTED,
                       [EVENT_TOO_MANY_REVERT] = PHASE_REVERTING,
                       [EVENT_RESUME] = PHASE_CANARY,
                       [EVENT_ABORT] = PHASE_ABORTED,
                       [EVENT_REVERT] = PHASE_REVERTING },
    [PHASE_HALTED] = { [EVENT_RESUME] = PHASE_CANARY,
                       [EVENT_ABORT] = PHASE_ABORTED,
                       [EVENT_REVERT] = PHASE_REVERTING },
    [PHASE_REVERTING] = { [EVENT_ALL_RETURNED] = PHASE_REVERTED },
    [PHASE_REVERTED] = { 0 },
    [PHASE_ABORTED] = { [EVENT_REVERT] = PHASE_REVERTING },
    [PHASE_DONE] = { [EVENT_REVERT] = PHASE_REVERTING },
};

static const struct {
    const char *name;
    Event event;
} commands[] = {
    [ROLLOUT_PAUSE] = { "pause", EVENT_PAUSE },
    [ROLLOUT_RESUME] = { "resume", EVENT_RESUME },
    [ROLLOUT_ABORT] = { "abort", EVENT_ABORT },
    [ROLLOUT_REVERT] = { "revert", EVENT_REVERT },
};

typedef struct {
    const Roster *roster; /* NULL while obeying */
    const RosterRecord *record;
    RosterRollout next; /* strings borrowed */
    uint64_t now, wake;
    int64_t wall_s;
    StoreTxn *txn;
    unsigned hosts; /* that it changes */
    bool changes;
} Step;

/* --- writing */

static void put_value(Step *step, const char *key, Value *value) {
    g_autoptr(Value) owned = value;
    g_autofree char *text = json_print(owned, JSON_COMPACT);
    g_autoptr(GBytes) name = layout_bytes(key);
    g_autoptr(GBytes) bytes = layout_bytes(text);
    store_txn_put(step->txn, STORE_THEN, name, bytes, 0);
    step->changes = true;
}

static void set_number(Value *map, const char *key, uint64_t number) {
    value_map_set(map, key, value_new_int((int64_t)number));
}

static void set_text(Value *map, const char *key, const char *text) {
    value_map_set(map, key, value_new_string(text));
}

static void log_decision(Step *step, const char *host, const char *what, const char *why) {
    Value *value = value_new_map();
    set_number(value, "time", (uint64_t)step->wall_s);
    set_number(value, "record", step->next.record);
    if (host)
        set_text(value, "host", host);
    set_text(value, "what", what);
    set_text(value, "why", why);
    g_autofree char *key = layout_numbered(LAYOUT_LOG, ++step->next.sequence);
    put_value(step, key, value);
    if (step->next.sequence <= ROLLOUT_LOG_KEPT)
        return;
    g_autofree char *old = layout_numbered(LAYOUT_LOG, step->next.sequence - ROLLOUT_LOG_KEPT);
    g_autoptr(GBytes) name = layout_bytes(old);
    store_txn_delete(step->txn, STORE_THEN, name, false);
}

static void put_outcome(Step *step, uint64_t record, const char *outcome, const char *why) {
    Value *value = value_new_map();
    set_text(value, "outcome", outcome);
    set_text(value, "why", why);
    set_number(value, "time", (uint64_t)step->wall_s);
    g_autofree char *key = layout_numbered(LAYOUT_OUTCOME, record);
    put_value(step, key, value);
}

/* It is under way again. */
static void delete_outcome(Step *step, uint64_t record) {
    g_autofree char *key = layout_numbered(LAYOUT_OUTCOME, record);
    g_autoptr(GBytes) name = layout_bytes(key);
    store_txn_delete(step->txn, STORE_THEN, name, false);
}

static void put_bad(Step *step, const char *why) {
    Value *value = value_new_map();
    set_number(value, "record", step->next.record);
    set_text(value, "why", why);
    set_number(value, "time", (uint64_t)step->wall_s);
    g_autofree char *key = g_strconcat(LAYOUT_BAD, step->next.digest, NULL);
    put_value(step, key, value);
}

/* What of a host's stage stays as it is unless it is said. */
static RosterHost stage_of(const Step *step, const RosterHost *host, Stage stage) {
    bool same = host->record == step->next.record;
    return (RosterHost){ .name = host->name,
                         .stage = stage,
                         .record = step->next.record,
                         .before = same ? host->before : 0,
                         .canary = same && host->canary,
                         .attempt = step->next.attempt,
                         .tries = same ? host->tries : 0 };
}

static void put_stage(Step *step, const RosterHost *next, const char *why) {
    Value *value = value_new_map();
    set_text(value, "stage", stage_name(next->stage));
    set_number(value, "record", next->record);
    set_number(value, "before", next->before);
    set_number(value, "attempt", next->attempt);
    set_number(value, "tries", next->tries);
    value_map_set(value, "canary", value_new_bool(next->canary));
    set_number(value, "since", (uint64_t)step->wall_s);
    set_text(value, "why", why);
    g_autofree char *key = g_strconcat(LAYOUT_STAGE, next->name, NULL);
    put_value(step, key, value);
    log_decision(step, next->name, stage_name(next->stage), why);
    step->hosts++;
}

/* record NULL: nothing any more. */
static void put_desired(Step *step, const char *host, const RosterRecord *record, bool back) {
    g_autofree char *key = g_strconcat(LAYOUT_DESIRED, host, NULL);
    if (!record) {
        g_autoptr(GBytes) name = layout_bytes(key);
        store_txn_delete(step->txn, STORE_THEN, name, false);
        return;
    }
    Value *value = value_new_map();
    set_number(value, "record", record->number);
    set_text(value, "digest", record->digest);
    value_map_set(value, "back", value_new_bool(back));
    put_value(step, key, value);
}

static void put_rollout(Step *step) {
    Value *value = value_new_map();
    set_number(value, "record", step->next.record);
    set_text(value, "digest", step->next.digest);
    set_text(value, "phase", phase_name(step->next.phase));
    set_number(value, "attempt", step->next.attempt);
    set_number(value, "sequence", step->next.sequence);
    set_number(value, "since", (uint64_t)step->next.since);
    set_text(value, "why", step->next.why);
    set_text(value, "by", step->next.by);
    put_value(step, LAYOUT_ROLLOUT, value);
}

static void enter(Step *step, Phase phase, const char *by, const char *why) {
    step->next.phase = phase;
    step->next.since = step->wall_s;
    step->next.why = (char *)(uintptr_t)why; /* borrowed until the step is written */
    step->next.by = (char *)(uintptr_t)by;
    if (phase == PHASE_REVERTING)
        put_bad(step, why);
    if (phase == PHASE_REVERTING || phase >= PHASE_ABORTED || phase == PHASE_HALTED)
        put_outcome(step, step->next.record,
                    phase == PHASE_REVERTING ? "reverted" : phase_name(phase), why);
    log_decision(step, NULL, phase_name(phase), why);
}

static StoreTxn *finish(Step *step) {
    if (!step->changes) {
        store_txn_unref(step->txn);
        return NULL;
    }
    g_autoptr(GBytes) name = layout_bytes(LAYOUT_ROLLOUT);
    store_txn_compare(step->txn, name, STORE_MOD_REVISION, STORE_EQUAL, step->next.revision);
    put_rollout(step);
    return step->txn;
}

/* --- judging hosts */

bool rollout_is_target(const RosterRecord *record, const RosterHost *host) {
    return host->is_member && (host->record == record->number ||
                               selector_matches(record->to, host->name, host->labels, host->facts));
}

/* Whether so long has passed since the host's stage began; otherwise we wake then. */
static bool has_passed(Step *step, const RosterHost *host, uint64_t seconds) {
    uint64_t end = host->seen + seconds * G_USEC_PER_SEC;
    if (step->now < end && (step->wake == 0 || end < step->wake))
        step->wake = end;
    return step->now >= end;
}

static bool runs_desired(const RosterHost *host) {
    return host->is_alive && strcmp(host->report.digest, host->desired_digest) == 0;
}

static bool is_steady(const RosterHost *host) {
    return runs_desired(host) && host->report.state == REPORT_CONVERGED;
}

static void judge(Step *step, const RosterHost *host, Stage stage, const char *why) {
    RosterHost next = stage_of(step, host, stage);
    next.tries += host->stage == STAGE_SOAKING && stage == STAGE_CHANGING;
    put_stage(step, &next, why);
}

/* With what the host itself says of it. */
static void judge_failed(Step *step, const RosterHost *host, Stage stage, const char *what) {
    const char *said = host->report.message;
    g_autofree char *why = said && *said ? g_strdup_printf("%s: %s", what, said) : g_strdup(what);
    judge(step, host, stage, why);
}

static void judge_late(Step *step, const RosterHost *host, Stage stage) {
    judge_failed(step, host, stage,
                 !host->is_alive       ? "nothing was heard of it until the timeout"
                 : !runs_desired(host) ? "it did not take the deploy before the timeout"
                 : host->report.state != REPORT_CONVERGED
                     ? "it did not converge before the timeout"
                     : "its health checks did not hold before the timeout");
}

static void judge_changing(Step *step, const RosterHost *host) {
    const Report *report = &host->report;
    if (runs_desired(host) && report->state == REPORT_FAILING) {
        judge_failed(step, host, STAGE_FAILED, "it failed to converge");
    } else if (is_steady(host) && report->health != REPORT_UNHEALTHY) {
        judge(step, host, STAGE_SOAKING, "it has converged");
    } else if (has_passed(step, host, step->record->strategy.timeout)) {
        judge_late(step, host, STAGE_FAILED);
    }
}

static void judge_soaking(Step *step, const RosterHost *host) {
    const Strategy *strategy = &step->record->strategy;
    bool soaked = has_passed(step, host, strategy->soak);
    if (!runs_desired(host)) {
        bool again = host->tries + 1 < TRIES_MAX;
        judge(step, host, again ? STAGE_CHANGING : STAGE_FAILED,
              again ? "it left its soak without a word" : "it left its soak again and again");
    } else if (host->report.state == REPORT_FAILING) {
        judge_failed(step, host, STAGE_FAILED, "it failed during its soak");
    } else if (host->report.health == REPORT_UNHEALTHY) {
        judge_failed(step, host, STAGE_FAILED, "its health checks failed during its soak");
    } else if (soaked && is_steady(host)) {
        judge(step, host, STAGE_PASSED, "it held through its soak");
    } else if (soaked && has_passed(step, host, strategy->soak + strategy->timeout)) {
        judge_late(step, host, STAGE_FAILED);
    }
}

static void judge_returning(Step *step, const RosterHost *host) {
    if (is_steady(host))
        judge(step, host, STAGE_RETURNED, "it has converged with what it had");
    else if (has_passed(step, host, step->record->strategy.timeout))
        judge_late(step, host, STAGE_STUCK);
}

static void judge_host(Step *step, const RosterHost *host) {
    if (host->record != step->record->number || !host->is_member)
        return;
    if (step->next.phase == PHASE_REVERTING) {
        if (host->stage == STAGE_RETURNING)
            judge_returning(step, host);
        return;
    }
    if (host->stage == STAGE_FAILED && host->attempt < step->next.attempt)
        judge(step, host, STAGE_CHANGING, "the rollout was resumed");
    else if (host->stage == STAGE_CHANGING)
        judge_changing(step, host);
    else if (host->stage == STAGE_SOAKING)
        judge_soaking(step, host);
}

static const GPtrArray *hosts_of(const Step *step) {
    return roster_hosts(step->roster);
}

static void judge_all(Step *step) {
    for (unsigned i = 0; i < hosts_of(step)->len && step->hosts < HOSTS_PER_STEP; i++)
        judge_host(step, g_ptr_array_index(hosts_of(step), i));
}

/* --- counting them */

typedef struct {
    unsigned targets, under_way, passed, failed;
    unsigned canaries, canaries_passed, canaries_failed;
    GPtrArray *waiting; /* of RosterHost: whose turn may come */
    const char *reason; /* why the last that failed did */
    const char *failed_host;
} Tally;

static void count(const Step *step, const RosterHost *host, Tally *tally) {
    bool told = host->record == step->record->number;
    Stage stage = told ? host->stage : STAGE_WAITING;
    tally->targets++;
    tally->canaries += told && host->canary;
    if (stage == STAGE_WAITING && host->is_alive) {
        g_ptr_array_add(tally->waiting, (void *)(uintptr_t)host);
    } else if (stage == STAGE_PASSED) {
        tally->passed++;
        tally->canaries_passed += host->canary;
    } else if (stage == STAGE_FAILED && host->attempt == step->next.attempt) {
        tally->failed++;
        tally->canaries_failed += host->canary;
        tally->reason = host->why;
        tally->failed_host = host->name;
    } else if (stage == STAGE_CHANGING || stage == STAGE_SOAKING || stage == STAGE_FAILED) {
        tally->under_way++;
    }
}

static Tally count_all(const Step *step) {
    Tally tally = { .waiting = g_ptr_array_new() };
    for (unsigned i = 0; i < hosts_of(step)->len; i++) {
        const RosterHost *host = g_ptr_array_index(hosts_of(step), i);
        if (rollout_is_target(step->record, host))
            count(step, host, &tally);
    }
    return tally;
}

/* --- whose turn it is */

typedef struct {
    const RosterHost *host;
    const char *group;          /* "" comes last */
    char salt[DIGEST_HEX_SIZE]; /* "" with the order of names */
} Turn;

static const char *text_of(const Value *map, const char *name) {
    const Value *value = selector_look_up(map, name);
    return value && value_type(value) == VALUE_STRING ? value_string(value) : "";
}

static const char *group_of(const Step *step, const RosterHost *host) {
    const char *by = step->record->strategy.by;
    const char *group = *by ? text_of(host->labels, by) : "";
    return *by && *group == '\0' ? text_of(host->facts, by) : group;
}

static int compare_groups(const char *a, const char *b) {
    if ((*a == '\0') != (*b == '\0'))
        return *a == '\0' ? 1 : -1;
    return strcmp(a, b);
}

static int compare_turns(const void *a, const void *b) {
    const Turn *one = a, *other = b;
    int order = compare_groups(one->group, other->group);
    if (order == 0)
        order = strcmp(one->salt, other->salt);
    return order ? order : strcmp(one->host->name, other->host->name);
}

/* Of Turn, the first one first. */
static GArray *sort_turns(const Step *step, const GPtrArray *waiting) {
    GArray *turns = g_array_sized_new(FALSE, TRUE, sizeof(Turn), waiting->len);
    for (unsigned i = 0; i < waiting->len; i++) {
        Turn turn = { .host = g_ptr_array_index(waiting, i) };
        turn.group = group_of(step, turn.host);
        g_autofree char *salted = g_strconcat(step->record->digest, turn.host->name, NULL);
        if (step->record->strategy.order == STRATEGY_ORDER_SALTED)
            digest_bytes(salted, strlen(salted), turn.salt);
        g_array_append_val(turns, turn);
    }
    g_array_sort(turns, compare_turns);
    return turns;
}

/* The first group of those under way; NULL: none is. */
static const char *group_under_way(const Step *step) {
    const char *first = NULL;
    for (unsigned i = 0; i < hosts_of(step)->len; i++) {
        const RosterHost *host = g_ptr_array_index(hosts_of(step), i);
        bool is_under_way = host->is_member && host->record == step->record->number &&
                            (host->stage == STAGE_CHANGING || host->stage == STAGE_SOAKING);
        const char *group = is_under_way ? group_of(step, host) : NULL;
        if (group && (!first || compare_groups(group, first) < 0))
            first = group;
    }
    return first;
}

/* What a host goes back to if this does not work. */
static uint64_t record_before(const Step *step, const RosterHost *host) {
    bool stands =
        host->desired > 0 && (roster_is_done(step->roster, host->desired) ||
                              (host->record == host->desired && host->stage == STAGE_PASSED));
    if (stands)
        return host->desired;
    const RosterRecord *base = roster_base(step->roster, host, step->record->number);
    return base ? base->number : 0;
}

static void start(Step *step, const RosterHost *host, bool canary) {
    RosterHost next = stage_of(step, host, STAGE_CHANGING);
    next.before = record_before(step, host);
    next.canary = canary;
    put_stage(step, &next, canary ? "it is a canary" : "its turn has come");
    put_desired(step, host->name, step->record, false);
}

static void start_some(Step *step, const Tally *tally, unsigned limit, bool canary) {
    unsigned batch = strategy_batch(&step->record->strategy, tally->targets);
    unsigned room = batch > tally->under_way ? batch - tally->under_way : 0;
    room = MIN(MIN(room, limit), HOSTS_PER_STEP);
    if (room == 0 || tally->waiting->len == 0)
        return;
    g_autoptr(GArray) turns = sort_turns(step, tally->waiting);
    const char *group = canary ? NULL : group_under_way(step);
    for (unsigned i = 0; i < turns->len && step->hosts < room; i++) {
        const Turn *turn = &g_array_index(turns, Turn, i);
        if (!canary && !group)
            group = turn->group;
        if (!canary && compare_groups(turn->group, group) > 0)
            return;
        start(step, turn->host, canary);
    }
}

/* --- phases */

static void fire(Step *step, Event event, const char *why) {
    Phase phase = next_phase[step->next.phase][event];
    g_assert(phase != PHASE_NONE);
    enter(step, phase, "", why);
}

/* Nobody is left who could prove it: however many failures the strategy bears. */
static bool all_failed(const Step *step, const Tally *tally) {
    return step->next.phase == PHASE_ROLLING && tally->failed > 0 && tally->passed == 0 &&
           tally->under_way == 0 && tally->waiting->len == 0;
}

static char *explain_failures(const Tally *tally) {
    if (tally->failed == 1)
        return g_strdup_printf("%s '%s' failed: %s", tally->canaries_failed > 0 ? "canary" : "host",
                               tally->failed_host, tally->reason);
    return g_strdup_printf("%u hosts failed%s, the last of them '%s': %s", tally->failed,
                           tally->canaries_failed > 0 ? ", a canary among them" : "",
                           tally->failed_host, tally->reason);
}

static bool check_failures(Step *step, const Tally *tally, char **ret_why) {
    const Strategy *strategy = &step->record->strategy;
    if (step->next.phase == PHASE_HALTED ||
        (tally->canaries_failed == 0 && tally->failed <= strategy->max_failures &&
         !all_failed(step, tally)))
        return false;
    *ret_why = explain_failures(tally);
    fire(step,
         strategy->on_failure == STRATEGY_REVERT ? EVENT_TOO_MANY_REVERT : EVENT_TOO_MANY_HALT,
         *ret_why);
    return true;
}

static void lead_canaries(Step *step, const Tally *tally) {
    uint64_t wanted = step->record->strategy.canaries;
    if (tally->canaries < wanted && tally->waiting->len > 0)
        start_some(step, tally, (unsigned)(wanted - tally->canaries), true);
    else if (tally->canaries_passed == tally->canaries && (wanted == 0 || tally->canaries > 0))
        fire(step, EVENT_CANARIES_PASSED, "the canaries have passed");
}

static void lead_rolling(Step *step, const Tally *tally) {
    if (tally->waiting->len == 0 && tally->under_way == 0 && tally->passed > 0)
        fire(step, EVENT_ALL_PASSED, "all hosts that could be reached were judged");
    else
        start_some(step, tally, HOSTS_PER_STEP, false);
}

/* Those that were told this record, and not yet to go back. */
static bool is_to_return(const Step *step, const RosterHost *host) {
    return host->is_member && host->record == step->record->number &&
           (host->stage <= STAGE_GIVEN && host->stage != STAGE_WAITING);
}

static void turn_back(Step *step, const RosterHost *host) {
    const RosterRecord *target = roster_record(step->roster, host->before);
    if (!target || roster_is_bad(step->roster, target->digest))
        target = roster_base(step->roster, host, step->record->number);
    RosterHost next = stage_of(step, host, target ? STAGE_RETURNING : STAGE_STUCK);
    put_stage(step, &next,
              target ? "the deploy was reverted" : "it has no earlier deploy to go back to");
    put_desired(step, host->name, target, true);
}

static void lead_back(Step *step) {
    bool waits = false;
    for (unsigned i = 0; i < hosts_of(step)->len && step->hosts < HOSTS_PER_STEP; i++) {
        const RosterHost *host = g_ptr_array_index(hosts_of(step), i);
        waits |= host->is_member && host->record == step->record->number &&
                 host->stage == STAGE_RETURNING;
        if (is_to_return(step, host))
            turn_back(step, host);
    }
    if (step->hosts == 0 && !waits)
        fire(step, EVENT_ALL_RETURNED, step->next.why);
}

/* --- what goes on in all phases */

/* Hosts that have no part in the rollout, or came after it, get what is proven. */
static void give_proven(Step *step) {
    for (unsigned i = 0; i < hosts_of(step)->len && step->hosts < HOSTS_PER_STEP; i++) {
        const RosterHost *host = g_ptr_array_index(hosts_of(step), i);
        if (!host->is_member || host->record == step->record->number)
            continue;
        const RosterRecord *base = roster_base(step->roster, host, step->record->number + 1);
        bool stands = base && host->desired >= base->number &&
                      !roster_is_bad(step->roster, host->desired_digest);
        if (!base || stands)
            continue;
        RosterHost next = stage_of(step, host, STAGE_GIVEN);
        next.record = base->number;
        next.before = host->desired;
        put_stage(step, &next, "the deploy is proven");
        put_desired(step, host->name, base, base->number < host->desired);
    }
}

static void begin(Step *step, const RosterRecord *newest) {
    /* That it had halted is told of it for good. */
    bool was_open = step->next.record > 0 && step->next.phase < PHASE_HALTED;
    g_autofree char *why =
        g_strdup_printf("record %" G_GUINT64_FORMAT " was deployed", newest->number);
    if (was_open)
        put_outcome(step, step->next.record, "superseded", why);
    step->next.record = newest->number;
    step->next.attempt = 0;
    g_strlcpy(step->next.digest, newest->digest, sizeof step->next.digest);
    if (newest->problem)
        enter(step, PHASE_ABORTED, newest->by, newest->problem);
    else if (roster_is_bad(step->roster, newest->digest))
        enter(step, PHASE_ABORTED, newest->by,
              "its bundle was reverted before; forgive it and deploy it again");
    else
        enter(step, PHASE_CANARY, newest->by, newest->message);
}

static void lead(Step *step, char **ret_why) {
    if (step->next.phase == PHASE_REVERTING) {
        lead_back(step);
        return;
    }
    Tally tally = count_all(step);
    bool leads = step->next.phase == PHASE_CANARY || step->next.phase == PHASE_ROLLING;
    if ((leads || step->next.phase == PHASE_PAUSED) && check_failures(step, &tally, ret_why))
        leads = false;
    if (leads && step->next.phase == PHASE_CANARY)
        lead_canaries(step, &tally);
    else if (leads)
        lead_rolling(step, &tally);
    g_ptr_array_unref(tally.waiting);
}

static bool is_judged(Phase phase) {
    return phase >= PHASE_CANARY && phase <= PHASE_REVERTING;
}

StoreTxn *rollout_step(const Roster *roster, uint64_t now, int64_t wall_s, uint64_t *ret_wake) {
    Step step = { .roster = roster,
                  .next = *roster_rollout(roster),
                  .now = now,
                  .wall_s = wall_s,
                  .txn = store_txn_new() };
    const RosterRecord *newest = roster_newest(roster);
    g_autofree char *why = NULL;
    step.record = roster_record(roster, step.next.record);
    if (newest && newest->number > step.next.record) {
        begin(&step, newest);
    } else if (step.record && !step.record->problem) {
        if (is_judged(step.next.phase))
            judge_all(&step);
        if (!step.changes && is_judged(step.next.phase))
            lead(&step, &why);
        if (!step.changes)
            give_proven(&step);
    }
    *ret_wake = step.wake;
    return finish(&step);
}

/* --- orders */

static char *list_possible(Phase phase) {
    g_autoptr(GString) out = g_string_new(NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(commands); i++)
        if (next_phase[phase][commands[i].event] != PHASE_NONE)
            g_string_append_printf(out, "%s%s", out->len ? ", " : "", commands[i].name);
    return g_strdup(out->len ? out->str : "only a new deploy");
}

StoreTxn *rollout_obey(const RosterRollout *rollout, RolloutCommand command, const char *by,
                       const char *why, int64_t wall_s, GError **error) {
    Phase phase = next_phase[rollout->phase][commands[command].event];
    if (phase == PHASE_NONE) {
        g_autofree char *possible = list_possible(rollout->phase);
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                    "%s the rollout of record %" G_GUINT64_FORMAT
                    ": it is in the phase '%s'; possible now: %s",
                    commands[command].name, rollout->record, phase_name(rollout->phase), possible);
        return NULL;
    }
    Step step = { .next = *rollout, .wall_s = wall_s, .txn = store_txn_new() };
    if (rollout->phase == PHASE_HALTED && command == ROLLOUT_RESUME) {
        step.next.attempt++;
        delete_outcome(&step, rollout->record);
    }
    enter(&step, phase, by, why);
    return finish(&step);
}
