/*
 * Entries whose names changed hands. A resource that keeps its name and means another thing (file
 * "conf" { path = ... }) leaves the old thing behind under a name nobody declares; a thing declared
 * under a new name stays where it is and only its entry moves.
 */
#include <limits.h>
#include <string.h>

#include "base/hash.h"
#include "engine/engine-private.h"

/* --- what is meant ---------------------------------------------------------------------------- */

bool same_thing(const Resource *was, const Resource *now) {
    if (was->kind->same_thing && was->kind->same_thing(was, now))
        return true;
    g_autofree char *left = resource_identity(was), *right = resource_identity(now);
    return !left || !right || strcmp(left, right) == 0; /* what is received is not known yet */
}

static uint64_t hash_identity(uint64_t hash, const Param *param, const Value *value) {
    if (value_type(value) != VALUE_STRING)
        return hash_word(hash, value_hash(value));
    size_t size = value_string_size(value);
    while (param->type == PARAM_PATH && size > 1 && value_string(value)[size - 1] == '/')
        size--;
    return hash_bytes(hash, value_string(value), size);
}

uint64_t identity_hash(const Resource *resource) {
    uint64_t hash = 0;
    for (unsigned i = 0; i < resource->kind->n_params; i++) {
        const Param *param = &resource->kind->params[i];
        if (!(param->flags & PARAM_IDENTITY))
            continue;
        if (resource->params[i])
            hash = hash_identity(hash, param, resource->params[i]);
        else if (resource_receives(resource, i))
            return 0;
    }
    return hash;
}

/* --- moves ------------------------------------------------------------------------------------ */

/* Done together once the graph is accepted: names may be exchanged. */
typedef struct {
    char *kind, *name;  /* the name that is given up */
    LedgerEntry *entry; /* under its new name; NULL: only given up */
} Move;

static void move_free(void *data) {
    Move *move = data;
    g_free(move->kind);
    g_free(move->name);
    if (move->entry)
        ledger_entry_free(move->entry);
    g_free(move);
}

GPtrArray *moves_new(void) {
    return g_ptr_array_new_with_free_func(move_free);
}

void moves_add(GPtrArray *moves, const char *kind, const char *name, LedgerEntry *entry) {
    Move *move = g_new(Move, 1);
    *move = (Move){ g_strdup(kind), g_strdup(name), entry };
    g_ptr_array_add(moves, move);
}

static bool is_taken(const GPtrArray *moves, const char *kind, const char *name) {
    for (unsigned i = 0; i < moves->len; i++) {
        const Move *move = moves->pdata[i];
        if (move->entry && strcmp(move->entry->kind, kind) == 0 &&
            strcmp(move->entry->name, name) == 0)
            return true;
    }
    return false;
}

bool moves_give_up(const GPtrArray *moves, const char *kind, const char *name) {
    for (unsigned i = 0; i < moves->len; i++) {
        const Move *move = moves->pdata[i];
        if (strcmp(move->kind, kind) == 0 && strcmp(move->name, name) == 0)
            return true;
    }
    return false;
}

/* What the thing is called when nobody names it: its identity, where that may be shown. */
static char *plain_name(const Resource *was) {
    g_autofree char *identity = resource_identity(was);
    bool plain = identity && strlen(identity) <= NAME_MAX && !strchr(identity, '\n');
    for (unsigned i = 0; plain && i < was->kind->n_params; i++)
        if ((was->kind->params[i].flags & PARAM_IDENTITY) && was->params[i])
            plain = !value_is_secret(was->params[i]);
    if (!plain)
        return g_strdup_printf("%s (before)", was->name);
    return g_strdelimit(g_steal_pointer(&identity), LEDGER_KEY_SEPARATOR, ' ');
}

char *moves_free_name(const GPtrArray *moves, Ledger *ledger, const Graph *graph,
                      const Resource *was) {
    const char *kind = was->kind->name;
    g_autofree char *base = plain_name(was);
    for (unsigned i = 1;; i++) {
        char *name = i == 1 ? g_strdup(base) : g_strdup_printf("%s (%u)", base, i);
        if (graph_find(graph, kind, name) < 0 && !ledger_find(ledger, kind, name) &&
            !is_taken(moves, kind, name))
            return name;
        g_free(name);
    }
}

LedgerEntry *entry_as(const LedgerEntry *entry, const char *name) {
    LedgerEntry *moved = ledger_entry_new(entry->kind, name);
    moved->resource = value_ref(entry->resource);
    moved->applied = value_ref(entry->applied);
    moved->preimage = value_ref(entry->preimage);
    moved->kept = value_ref(entry->kept);
    moved->needs = g_strdupv(entry->needs);
    moved->on_remove = entry->on_remove;
    moved->protect = entry->protect;
    moved->created = entry->created;
    moved->origin = g_strdup(entry->origin);
    moved->since = entry->since;
    moved->changed = entry->changed;
    return moved;
}

/* New names first: killed in between, a thing has two entries, never none. */
void moves_commit(GPtrArray *moves, Ledger *ledger) {
    g_autofree bool *given_up = g_new(bool, moves->len + 1);
    for (unsigned i = 0; i < moves->len; i++) {
        const Move *move = moves->pdata[i];
        given_up[i] = !is_taken(moves, move->kind, move->name);
    }
    for (unsigned i = 0; i < moves->len; i++) {
        Move *move = moves->pdata[i];
        if (move->entry)
            ledger_put(ledger, g_steal_pointer(&move->entry));
    }
    for (unsigned i = 0; i < moves->len; i++) {
        const Move *move = moves->pdata[i];
        if (given_up[i])
            ledger_disown(ledger, move->kind, move->name);
    }
}
