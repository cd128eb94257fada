/* What a round means for the ledger, the drift journal and whoever listens. */
#include <string.h>

#include "engine/engine-private.h"
#include "engine/plan.h"

/* --- events ----------------------------------------------------------------------------------- */

void record_event(Vertex *vertex, unsigned member, EngineEvent *event) {
    Engine *engine = vertex->engine;
    if (!engine->options.listener)
        return;
    event->resource = vertex_effective(vertex, member);
    event->removal = vertex->removal;
    engine->options.listener(engine->options.listener_data, event);
}

static void tell_note(Vertex *vertex, unsigned member, const RoundMember *done) {
    if (!done->run.note)
        return;
    EngineEvent event = { .type = ENGINE_NOTE, .latency = -1, .note = done->run.note };
    record_event(vertex, member, &event);
}

/* --- ledger ----------------------------------------------------------------------------------- */

static bool remembered(const Vertex *vertex) {
    return vertex->engine->remembers && !(vertex->members[0]->kind->flags & KIND_STATELESS);
}

static Ledger *ledger_of(const Vertex *vertex) {
    return vertex->engine->options.ledger;
}

/* "kind\x1fname" of every resource the vertex depends on, in the order of the edges. */
static char **predecessor_keys(const Vertex *vertex) {
    const Engine *engine = vertex->engine;
    unsigned n;
    const unsigned *in = graph_edges_in(engine->graph, vertex->index, &n);
    g_autoptr(GPtrArray) keys = g_ptr_array_new();
    for (unsigned i = 0; i < n; i++) {
        const Edge *edge = graph_edge(engine->graph, in[i]);
        const Vertex *before = engine->vertices[edge->from];
        const char *mark = edge->flags & EDGE_NOTIFY ? LEDGER_NOTIFY_MARK : NULL;
        for (unsigned j = 0; j < before->n_members; j++)
            if (!before->removal && !(before->members[j]->kind->flags & KIND_STATELESS))
                g_ptr_array_add(keys,
                                g_strconcat(before->members[j]->kind->name, LEDGER_KEY_SEPARATOR,
                                            before->members[j]->name, mark, NULL));
    }
    g_ptr_array_add(keys, NULL);
    return (char **)g_ptr_array_steal(keys, NULL);
}

/* Bits of an entry's hash: never 0; which thing is meant, so that a name that means another one is
 * noticed without reading; and whether the kind keeps something in the entry, so that only those
 * that do are read. Without ENTRY_HASHED it is that of no definition: one that never came true. */
#define ENTRY_HASHED         (UINT64_C(1) << 63)
#define ENTRY_IDENTITY       (UINT64_C(0xffffff) << ENTRY_IDENTITY_SHIFT) /* 0: unknown */
#define ENTRY_IDENTITY_SHIFT 1
#define ENTRY_KEEPS          UINT64_C(1)

static uint64_t mix(uint64_t hash, uint64_t more) {
    hash = (hash ^ more) * 0x9e3779b97f4a7c15u;
    return hash ^ (hash >> 29);
}

/* The same in every process, unlike resource_key_hash(). */
static uint64_t key_hash(const Resource *resource) {
    return ((uint64_t)g_str_hash(resource->kind->name) << 32) + g_str_hash(resource->name);
}

static uint64_t identity_bits(const Resource *resource) {
    return (identity_hash(resource) << ENTRY_IDENTITY_SHIFT) & ENTRY_IDENTITY;
}

bool record_may_differ(uint64_t known, const Resource *resource) {
    uint64_t was = known & ENTRY_IDENTITY, is = identity_bits(resource);
    return was != is && was != 0 && is != 0;
}

/* Of everything an entry is made from, so that an unchanged one is recognised without reading it.
 */
static uint64_t entry_hash(const Vertex *vertex, unsigned member) {
    const Engine *engine = vertex->engine;
    const Resource *resource = vertex_effective(vertex, member);
    const Meta *meta = resource_meta(resource);
    uint64_t hash = mix(meta->on_remove, meta->protect);
    for (unsigned i = 0; i < resource->kind->n_params; i++)
        if (resource->params[i])
            hash = mix(hash, ((uint64_t)i << 32) + value_hash(resource->params[i]));
    unsigned n;
    const unsigned *in = graph_edges_in(engine->graph, vertex->index, &n);
    for (unsigned i = 0; i < n; i++) {
        const Edge *edge = graph_edge(engine->graph, in[i]);
        const Vertex *before = engine->vertices[edge->from];
        for (unsigned j = 0; !before->removal && j < before->n_members; j++)
            hash = mix(hash, key_hash(before->members[j]) + (edge->flags & EDGE_NOTIFY));
    }
    hash = (hash | ENTRY_HASHED) & ~(ENTRY_IDENTITY | ENTRY_KEEPS);
    return hash | identity_bits(resource);
}

/* What an earlier process, killed in its first step on this resource, found before it. */
static void resume(Vertex *vertex, Round *round, RoundMember *member, const Resource *resource) {
    g_autofree char *key =
        g_strconcat(resource->kind->name, LEDGER_KEY_SEPARATOR, resource->name, NULL);
    void *step = NULL;
    if (!g_hash_table_lookup_extended(vertex->engine->interrupted, key, NULL, &step))
        return;
    round->resumed = true;
    const Value *before = value_type(step) == VALUE_MAP ? value_map_get(step, "before") : NULL;
    if (member->first && before)
        member->before = value_ref(before);
}

void record_classify(Vertex *vertex, Round *round) {
    Ledger *ledger = vertex->engine->options.ledger;
    if (!ledger || (vertex->members[0]->kind->flags & KIND_STATELESS))
        return;
    for (unsigned i = 0; i < round->n_members; i++) {
        RoundMember *member = &round->members[i];
        const Resource *resource = vertex->members[i];
        const char *kind = resource->kind->name, *name = resource->name;
        uint64_t hash = entry_hash(vertex, i);
        uint64_t known = ledger_resource_hash(ledger, kind, name);
        bool same = (known & ~ENTRY_KEEPS) == hash;
        bool keeps = same && (known & ENTRY_KEEPS) != 0;
        const LedgerEntry *entry = same && !keeps ? NULL : ledger_find(ledger, kind, name);
        member->same = same;
        member->first = !same && !entry;
        member->corrective = same;
        member->run.kept = entry ? value_ref(entry->kept) : NULL;
        if (vertex->engine->interrupted)
            resume(vertex, round, member, resource);
    }
}

/* Whether something that is wanted now was not when the resource was made right last. */
static bool wants_something_new(const LedgerEntry *entry, const Changes *changes) {
    for (unsigned i = 0; i < changes->changes->len; i++) {
        const Change *change = &g_array_index(changes->changes, Change, i);
        const Value *applied = value_map_get(entry->applied, change->property);
        if (applied && !value_equal(applied, change->after))
            return true;
    }
    return false;
}

void record_intent(Vertex *vertex, Round *round) {
    for (unsigned i = 0; i < round->n_members; i++) {
        RoundMember *member = &round->members[i];
        if (!member->corrective || !has_change(member) || !member->changes->sourced)
            continue;
        const Resource *resource = vertex->members[i];
        const LedgerEntry *entry =
            ledger_find(ledger_of(vertex), resource->kind->name, resource->name);
        if (entry && entry->applied && wants_something_new(entry, member->changes))
            member->corrective = false;
    }
}

static char *origin_text(const Resource *resource) {
    return g_strdup_printf("%s:%u", resource->origin.file ? resource->origin.file : "",
                           resource->origin.line);
}

/* What undoes the step if we are killed in it and the configuration forgets it. */
static Value *describe_step(const RoundMember *member) {
    const Resource *resource = member->run.resource;
    Value *step = value_new_map();
    if (member->before)
        value_map_set(step, "before", value_ref(member->before));
    value_map_set(step, "resource", resource_to_value(resource));
    g_autofree char *origin = origin_text(resource);
    value_map_set(step, "origin", value_new_string(origin));
    return step;
}

bool record_begin(Round *round, RoundMember *member, GError **error) {
    Engine *engine = round->engine;
    const Resource *resource = member->run.resource;
    if (!engine->remembers || (resource->kind->flags & KIND_STATELESS))
        return true;
    Ledger *ledger = engine->options.ledger;
    if (member->first && !preimage_take(round, member, error))
        return false;
    /* When the definition is that of the entry, the entry says all of it. */
    g_autoptr(Value) step = member->same ? NULL : describe_step(member);
    member->begun = true;
    return ledger_begin(ledger, resource->kind->name, resource->name, step, error);
}

static Value *applied_properties(const RoundMember *member) {
    const Resource *resource = member->run.resource;
    const Kind *kind = resource->kind;
    Value *applied = value_new_map();
    for (unsigned i = 0; i < kind->n_params; i++) {
        if (!(kind->params[i].flags & PARAM_PROPERTY))
            continue;
        const Value *seen = state_get(member->actual, i);
        const Change *change = changes_find(member->changes, kind->params[i].name);
        if (change)
            seen = change->after;
        if (seen)
            value_map_set(applied, kind->params[i].name, value_ref(seen));
    }
    return applied;
}

static LedgerEntry *make_entry(Vertex *vertex, unsigned i, const RoundMember *member) {
    const Resource *resource = vertex_effective(vertex, i);
    const Meta *meta = resource_meta(resource);
    Ledger *ledger = ledger_of(vertex);
    const LedgerEntry *old = ledger_find(ledger, resource->kind->name, resource->name);
    LedgerEntry *entry = ledger_entry_new(resource->kind->name, resource->name);
    int64_t now = (int64_t)loop_wall_now(vertex->engine->options.loop);
    entry->resource = resource_to_value(resource);
    entry->applied = applied_properties(member);
    entry->needs = predecessor_keys(vertex);
    entry->on_remove = (int)meta->on_remove;
    entry->protect = meta->protect;
    entry->origin = origin_text(resource);
    entry->since = old ? old->since : now;
    entry->changed = has_change(member) ? now : old ? old->changed : 0;
    entry->kept = member->run.keep ? value_ref(member->run.keep)
                  : old            ? value_ref(old->kept)
                                   : NULL;
    entry->resource_hash = entry_hash(vertex, i) | (entry->kept ? ENTRY_KEEPS : 0);
    if (old) {
        preimage_keep(ledger, old);
        entry->preimage = value_ref(old->preimage);
        entry->created = old->created;
    } else {
        entry->preimage =
            member->before ? value_ref(member->before) : state_to_value(member->actual);
        entry->created = !value_map_bool(entry->preimage, "exists", false);
    }
    return entry;
}

static void remember(Vertex *vertex, unsigned i, const RoundMember *member) {
    Ledger *ledger = ledger_of(vertex);
    const char *kind = vertex->members[i]->kind->name, *name = vertex->members[i]->name;
    if (vertex->removal) {
        ledger_forget(ledger, kind, name);
        return;
    }
    bool kept_differs = member->run.keep && !value_equal(member->run.keep, member->run.kept);
    if (member->same && !has_change(member) && !kept_differs)
        return;
    ledger_put(ledger, make_entry(vertex, i, member));
}

/* From the event to the fix. Nobody saw when what a first look finds wrong became so. */
static int64_t latency_of(const Vertex *vertex, const Round *round, const RoundMember *member) {
    bool found = member->corrective && member->run.reason == REASON_START;
    return vertex->dirty_since && !found ? (int64_t)(round->finished - vertex->dirty_since) : -1;
}

static void journal(Vertex *vertex, unsigned i, const RoundMember *member, const Round *round,
                    const GError *error) {
    if (!has_change(member) && !error)
        return;
    const Resource *resource = vertex->members[i];
    JournalEntry *entry = g_new0(JournalEntry, 1);
    entry->time = vertex->checked_at;
    entry->kind = g_strdup(resource->kind->name);
    entry->name = g_strdup(resource->name);
    entry->action = g_strdup(member->changes ? action_name(member->changes->action) : "look");
    entry->corrective = member->corrective;
    entry->reported = round->result == ROUND_PENDING;
    entry->latency = latency_of(vertex, round, member);
    entry->error = error ? g_strdup(error->message) : NULL;
    entry->changes = changes_to_value(member->changes);
    ledger_journal(ledger_of(vertex), entry);
}

static void remember_status(Vertex *vertex, unsigned i, const char *state, const GError *error) {
    if (!vertex->engine->remembers)
        return;
    Ledger *ledger = ledger_of(vertex);
    const Resource *resource = vertex->members[i];
    Value *status = NULL;
    if (state) {
        status = value_new_map();
        value_map_set(status, "state", value_new_string(state));
        value_map_set(status, "checked", value_new_int(vertex->checked_at));
        if (error)
            value_map_set(status, "error", value_new_string(error->message));
    }
    ledger_set_status(ledger, resource->kind->name, resource->name, status);
}

static EngineEventType event_of(const RoundMember *member, bool pending) {
    if (!has_change(member))
        return ENGINE_OK;
    return pending ? ENGINE_PENDING : ENGINE_CHANGED;
}

static void member_succeeded(Vertex *vertex, unsigned i, Round *round) {
    Engine *engine = vertex->engine;
    RoundMember *member = &round->members[i];
    bool failed = round->result == ROUND_FAILED; /* because of others */
    bool pending = round->result == ROUND_PENDING || (failed && round->noop);
    bool adopted = has_change(member) || !member->first; /* else after a round without failure */
    bool changed = has_change(member) && !pending;
    engine->n_changed += changed && !vertex->removal;
    engine->n_removed += changed && vertex->removal;
    if (remembered(vertex)) {
        journal(vertex, i, member, round, NULL);
        if (!pending && (adopted || !failed))
            remember(vertex, i, member);
    }
    remember_status(vertex, i, pending && has_change(member) ? "pending" : NULL, NULL);
    EngineEvent event = {
        .type = event_of(member, pending),
        .changes = member->changes,
        .corrective = member->corrective,
        .refreshed = round->refresh,
        .latency = latency_of(vertex, round, member),
        .duration = round->finished - round->started,
    };
    record_event(vertex, i, &event);
    tell_note(vertex, i, member);
}

void record_success(Vertex *vertex, Round *round) {
    for (unsigned i = 0; i < round->n_members; i++)
        member_succeeded(vertex, i, round);
}

/* What is still wrong at the next look never was right: making it so is no repair of drift. */
static void put_unproven(Vertex *vertex, unsigned i, const RoundMember *member) {
    LedgerEntry *entry = make_entry(vertex, i, member);
    entry->resource_hash &= ~ENTRY_HASHED;
    ledger_put(ledger_of(vertex), entry);
}

/* first: the first member that failed, when i is another one. */
void record_half_done(Vertex *vertex, const Round *round) {
    for (unsigned i = 0; i < round->n_members && !vertex->removal; i++)
        if (round->members[i].begun && round->members[i].first)
            put_unproven(vertex, i, &round->members[i]);
}

static void member_failed(Vertex *vertex, unsigned i, Round *round, EngineEventType type,
                          const Resource *first) {
    RoundMember *member = &round->members[i];
    /* Half-done work is ours too: without an entry nothing would ever undo it. */
    if (member->begun && member->first && !vertex->removal)
        put_unproven(vertex, i, member);
    if (remembered(vertex) && type == ENGINE_FAILED)
        journal(vertex, i, member, round, round->error);
    remember_status(vertex, i, type == ENGINE_FAILED ? "failed" : "retrying", round->error);
    EngineEvent event = {
        .type = type,
        .changes = member->changes,
        .latency = -1,
        .duration = round->finished - round->started,
        .next = vertex->next_try,
        .error = vertex->error,
        .first = first,
    };
    record_event(vertex, i, &event);
    tell_note(vertex, i, member);
}

void record_failure(Vertex *vertex, Round *round, EngineEventType type) {
    const Resource *first = NULL;
    for (unsigned i = 0; i < round->n_members; i++) {
        if (member_is_right(round, i)) {
            member_succeeded(vertex, i, round);
            continue;
        }
        member_failed(vertex, i, round, type, first);
        if (!first)
            first = vertex_effective(vertex, i);
    }
}

void record_end(Vertex *vertex, Round *round) {
    if (!vertex->engine->remembers)
        return;
    for (unsigned i = 0; i < round->n_members; i++) {
        const Resource *resource = vertex->members[i];
        bool done = round->result == ROUND_OK || round->result == ROUND_CHANGED;
        if (round->members[i].begun)
            ledger_end(ledger_of(vertex), resource->kind->name, resource->name);
        if (!round->resumed || !done)
            continue;
        g_autofree char *key =
            g_strconcat(resource->kind->name, LEDGER_KEY_SEPARATOR, resource->name, NULL);
        if (vertex->engine->interrupted && g_hash_table_remove(vertex->engine->interrupted, key) &&
            !round->members[i].begun)
            ledger_discard_interrupted(ledger_of(vertex), resource->kind->name, resource->name);
    }
}

void record_bit(Engine *engine, const Edge *edge, bool pending) {
    if (!engine->remembers)
        return;
    const Resource *from = engine->vertices[edge->from]->members[0];
    const Resource *to = engine->vertices[edge->to]->members[0];
    ledger_set_pending(engine->options.ledger, from->kind->name, from->name, to->kind->name,
                       to->name, pending);
}

void record_retries(Vertex *vertex) {
    if (!vertex->engine->remembers)
        return;
    const Resource *resource = vertex->members[0];
    ledger_set_retries(ledger_of(vertex), resource->kind->name, resource->name,
                       vertex->retries_used);
}
