/*
 * What left the configuration. Each ledger entry without a resource in the new graph becomes a
 * vertex that undoes it (remove, restore), is forgotten, or is only reported. Order is that of the
 * last graph reversed: whoever needed it goes first.
 */
#include <string.h>

#include "engine/engine-private.h"
#include "graph/autoedge.h"

/* One entry on its way out. */
typedef struct {
    char *key; /* "kind\x1fname" */
    OnRemove how;
    Resource *undo; /* NULL: nothing is done on the host */
    Resource *heir; /* the same thing under its new name, in the new graph; NULL: none */
    char **needs;
    unsigned vertex;
} Leaving;

typedef struct {
    Engine *engine;
    const Graph *graph;
    GPtrArray *leaving;     /* of Leaving */
    GHashTable *identities; /* "kind\x1fidentity" -> name, of the new graph; made on first use */
    PathClaims *claims;     /* of the new graph; made on first use */
    GError *error;
} Search;

static void leaving_free(void *data) {
    Leaving *leaving = data;
    g_free(leaving->key);
    resource_unref(leaving->undo);
    resource_unref(leaving->heir);
    g_strfreev(leaving->needs);
    g_free(leaving);
}

static char *identity_key(const Resource *resource) {
    g_autofree char *identity = resource_identity(resource);
    return g_strconcat(resource->kind->name, LEDGER_KEY_SEPARATOR,
                       identity ? identity : resource->name, NULL);
}

/* The path that is all of the resource's identity, or NULL. */
static const char *path_of(const Resource *resource) {
    const char *path = NULL;
    for (unsigned i = 0; i < resource->kind->n_params; i++) {
        const Param *param = &resource->kind->params[i];
        if (!(param->flags & PARAM_IDENTITY))
            continue;
        if (path || param->type != PARAM_PATH)
            return NULL;
        path = resource_string(resource, i);
    }
    return path;
}

static GHashTable *identities_of(const Graph *graph) {
    GHashTable *identities = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (unsigned i = 0; i < graph_size(graph); i++) {
        const Resource *resource = graph_resource(graph, i);
        if (resource_meta(resource)->hidden)
            continue;
        g_hash_table_insert(identities, identity_key(resource), resource->name);
    }
    return identities;
}

static OnRemove how_of(const LedgerEntry *entry) {
    if (entry->on_remove != ON_REMOVE_DEFAULT)
        return (OnRemove)entry->on_remove;
    return entry->created ? ON_REMOVE_REMOVE : ON_REMOVE_RESTORE;
}

/* The state before our first change, with the bytes that restore it. */
static State *preimage_of(Engine *engine, const Kind *kind, const LedgerEntry *entry) {
    if (!entry->preimage)
        return NULL;
    State *before = state_from_value(kind, entry->preimage);
    before->content = preimage_content(engine->options.ledger, entry);
    return before;
}

/* Undoing is a resource of its own, in no group. What is removed takes no automatic edges, they
 * point the other way; what is restored needs the same things as anything that is made. */
static Resource *finish_undo(Resource *undo, const LedgerEntry *entry, OnRemove how) {
    Meta *meta = resource_own_meta(undo);
    meta->autoedge = how == ON_REMOVE_RESTORE;
    meta->autogroup = false;
    meta->protect = false;
    meta->on_remove = ON_REMOVE_DEFAULT;
    g_auto(GStrv) place = g_strsplit(entry->origin ? entry->origin : "", ":", 2);
    if (place[0] && place[1])
        undo->origin =
            (Origin){ .file = g_intern_string(place[0]), .line = (unsigned)atoi(place[1]) };
    return undo;
}

static bool undo_of(Search *search, const LedgerEntry *entry, OnRemove how, Resource **ret_undo) {
    const Kind *kind = kind_set_find(search->engine->options.kinds, entry->kind);
    *ret_undo = NULL;
    if (!kind || !kind->reverse)
        return true;
    g_autoptr(Resource) resource =
        resource_from_value(entry->resource, search->engine->options.kinds, &search->error);
    if (!resource) {
        g_prefix_error(&search->error, "undo %s '%s': ", entry->kind, entry->name);
        return false;
    }
    g_autoptr(State) before = preimage_of(search->engine, kind, entry);
    Resource *undo = kind->reverse(resource, before, how, &search->error);
    if (!undo && search->error) {
        g_prefix_error(&search->error, "undo %s '%s': ", entry->kind, entry->name);
        return false;
    }
    *ret_undo = undo ? finish_undo(undo, entry, how) : NULL;
    return true;
}

/* The same thing on the host under another name: it stays, only its entry moves. */
static const char *renamed_to(Search *search, const LedgerEntry *entry) {
    const Kind *kind = kind_set_find(search->engine->options.kinds, entry->kind);
    if (!kind)
        return NULL;
    g_autoptr(Resource) resource =
        resource_from_value(entry->resource, search->engine->options.kinds, NULL);
    if (!resource)
        return NULL;
    if (!search->identities)
        search->identities = identities_of(search->graph);
    g_autofree char *key = identity_key(resource);
    return g_hash_table_lookup(search->identities, key);
}

static void move_entry(Engine *engine, const LedgerEntry *entry, const char *name) {
    if (!engine->remembers || ledger_find(engine->options.ledger, entry->kind, name))
        return;
    LedgerEntry *moved = ledger_entry_new(entry->kind, name);
    moved->resource = value_ref(entry->resource);
    moved->applied = value_ref(entry->applied);
    moved->preimage = value_ref(entry->preimage);
    moved->kept = value_ref(entry->kept);
    moved->needs = g_strdupv(entry->needs);
    moved->created = entry->created;
    moved->since = entry->since;
    moved->changed = entry->changed;
    ledger_put(engine->options.ledger, moved);
}

/* A place in which the configuration still declares something stays until that is gone too. */
static bool still_holds(Search *search, const LedgerEntry *entry) {
    g_autoptr(Resource) resource =
        resource_from_value(entry->resource, search->engine->options.kinds, NULL);
    const char *path = resource ? path_of(resource) : NULL;
    if (!path)
        return false;
    if (!search->claims)
        search->claims = path_claims_new(search->graph);
    return path_claims_find(search->claims, path) == PATH_HOLDS;
}

static void leave(Search *search, const LedgerEntry *entry) {
    if (still_holds(search, entry))
        return;
    Leaving *leaving = g_new0(Leaving, 1);
    leaving->key = g_strconcat(entry->kind, LEDGER_KEY_SEPARATOR, entry->name, NULL);
    leaving->how = how_of(entry);
    leaving->needs = g_strdupv(entry->needs);
    const char *name = renamed_to(search, entry);
    if (name) {
        move_entry(search->engine, entry, name);
        leaving->how = ON_REMOVE_FORGET;
        int heir = graph_find(search->graph, entry->kind, name);
        leaving->heir = resource_ref(graph_resource(search->graph, (unsigned)heir));
    }
    g_ptr_array_add(search->leaving, leaving);
    if (!name && entry->protect) {
        g_set_error(
            &search->error, STEAD_ERROR, STEAD_ERROR_REFUSED,
            "refuse to %s %s '%s': it was declared with protect = true at %s and is gone from "
            "the configuration; declare it again, or apply it once with protect = false first",
            on_remove_name(leaving->how), entry->kind, entry->name, entry->origin);
        return;
    }
    if (leaving->how != ON_REMOVE_REMOVE && leaving->how != ON_REMOVE_RESTORE)
        return;
    if (undo_of(search, entry, leaving->how, &leaving->undo) && !leaving->undo)
        leaving->how = ON_REMOVE_FORGET;
}

static bool is_leaving(void *data, const char *kind, const char *name) {
    const Search *search = data;
    return graph_find(search->graph, kind, name) < 0;
}

static void look_for_leaving(void *data, const char *kind, const char *name) {
    Search *search = data;
    if (search->error)
        return;
    const LedgerEntry *entry = ledger_find(search->engine->options.ledger, kind, name);
    if (entry)
        leave(search, entry);
}

/* The entry that a first step would have left, had its process not been killed; NULL: not a first
 * step. needs: keys of what may have been there before it; borrowed. */
static LedgerEntry *entry_of_step(const Search *search, const LedgerStep *step, char **needs) {
    const Value *before = value_map_get(step->preimage, "before");
    const Value *made = value_map_get(step->preimage, "resource");
    if (!before || !made)
        return NULL;
    g_autoptr(Resource) resource = resource_from_value(made, search->engine->options.kinds, NULL);
    if (!resource) /* of a kind or with a parameter that a later version does not have */
        return NULL;
    LedgerEntry *entry = ledger_entry_new(step->kind, step->name);
    entry->resource = value_ref(made);
    entry->applied = value_new_map();
    entry->preimage = value_ref(before);
    entry->created = !value_map_bool(before, "exists", false);
    entry->on_remove = (int)resource_meta(resource)->on_remove;
    entry->protect = resource_meta(resource)->protect;
    entry->origin = g_strdup(value_map_string(step->preimage, "origin", ""));
    entry->needs = g_strdupv(needs);
    entry->since = entry->changed = (int64_t)loop_wall_now(search->engine->options.loop);
    return entry;
}

/* What a process was killed in the first step on has no entry, and is ours all the same. Whatever
 * it needed was begun before it, or has an entry: so it goes before all of these. */
static void look_for_interrupted(Search *search) {
    Ledger *ledger = search->engine->options.ledger;
    g_autoptr(GPtrArray) needs = g_ptr_array_new();
    for (unsigned i = 0; i < search->leaving->len; i++)
        g_ptr_array_add(needs, ((Leaving *)g_ptr_array_index(search->leaving, i))->key);
    g_ptr_array_add(needs, NULL);
    const GPtrArray *steps = ledger_interrupted(ledger);
    for (unsigned i = 0; !search->error && steps && i < steps->len; i++) {
        const LedgerStep *step = g_ptr_array_index(steps, i);
        if (value_type(step->preimage) != VALUE_MAP ||
            graph_find(search->graph, step->kind, step->name) >= 0 ||
            ledger_find(ledger, step->kind, step->name))
            continue;
        LedgerEntry *entry = entry_of_step(search, step, (char **)needs->pdata);
        if (!entry)
            continue;
        leave(search, entry);
        Leaving *last = g_ptr_array_index(search->leaving, search->leaving->len - 1);
        g_ptr_array_set_size(needs, 0);
        g_ptr_array_add(needs, last->key);
        g_ptr_array_add(needs, NULL);
        if (search->engine->remembers)
            ledger_put(ledger, entry);
        else
            ledger_entry_free(entry);
    }
}

static Leaving *find_leaving(const GPtrArray *leaving, const char *key) {
    for (unsigned i = 0; i < leaving->len; i++) {
        Leaving *one = g_ptr_array_index(leaving, i);
        if (one->undo && strcmp(one->key, key) == 0)
            return one;
    }
    return NULL;
}

static bool find_leaving_vertex(const GPtrArray *leaving, unsigned vertex) {
    for (unsigned i = 0; i < leaving->len; i++) {
        const Leaving *one = g_ptr_array_index(leaving, i);
        if (one->undo && one->vertex == vertex)
            return true;
    }
    return false;
}

/* Whoever stays but needed it lets go of it first. */
typedef struct {
    Graph *graph;
    GHashTable *by_key; /* of Leaving with an undo */
} StayingEdges;

static void let_go_first(StayingEdges *edges, const char *kind, const char *name, char **needs) {
    int staying = graph_find(edges->graph, kind, name);
    if (staying < 0)
        return;
    for (char **need = needs; need && *need; need++) {
        const Leaving *leaving = g_hash_table_lookup(edges->by_key, *need);
        if (leaving && (unsigned)staying != leaving->vertex)
            graph_add_edge(edges->graph, (unsigned)staying, leaving->vertex, 0, (Origin){ 0 });
    }
}

static void add_staying_edges(void *data, const LedgerEntry *entry) {
    let_go_first(data, entry->kind, entry->name, entry->needs);
}

/* What is to stand where a removed thing's directory was waits until that is empty. */
static void add_replacing_edges(Graph *graph, const GPtrArray *leaving) {
    g_autoptr(GHashTable) identities = identities_of(graph);
    for (unsigned i = 0; i < leaving->len; i++) {
        const Leaving *one = g_ptr_array_index(leaving, i);
        g_autofree char *path = one->undo ? g_strdup(path_of(one->undo)) : NULL;
        for (char *slash = path ? strrchr(path, '/') : NULL; slash && slash != path;
             slash = strrchr(path, '/')) {
            *slash = '\0';
            g_autofree char *key =
                g_strconcat(one->undo->kind->name, LEDGER_KEY_SEPARATOR, path, NULL);
            const char *name = g_hash_table_lookup(identities, key);
            int above = name ? graph_find(graph, one->undo->kind->name, name) : -1;
            if (above < 0 || (unsigned)above == one->vertex)
                continue;
            const char *there = path_of(graph_resource(graph, (unsigned)above));
            bool directory = g_str_has_suffix(there, "/");
            bool leaves = find_leaving_vertex(leaving, (unsigned)above);
            if (!directory && !leaves)
                graph_add_edge(graph, one->vertex, (unsigned)above, 0, (Origin){ 0 });
        }
    }
}

static void add_edges(Engine *engine, Graph *graph, const GPtrArray *leaving, bool reversed) {
    StayingEdges staying = { .graph = graph, .by_key = g_hash_table_new(g_str_hash, g_str_equal) };
    for (unsigned i = 0; i < leaving->len; i++) {
        Leaving *one = g_ptr_array_index(leaving, i);
        if (one->undo)
            g_hash_table_insert(staying.by_key, one->key, one);
    }
    for (unsigned i = 0; reversed && i < leaving->len; i++) {
        Leaving *one = g_ptr_array_index(leaving, i);
        for (char **need = one->needs; one->undo && need && *need; need++) {
            const Leaving *needed = find_leaving(leaving, *need);
            bool both_restored =
                needed && one->how == ON_REMOVE_RESTORE && needed->how == ON_REMOVE_RESTORE;
            if (needed && needed != one && !both_restored)
                graph_add_edge(graph, one->vertex, needed->vertex, 0, (Origin){ 0 });
        }
    }
    ledger_visit(engine->options.ledger, add_staying_edges, &staying);
    for (unsigned i = 0; i < leaving->len; i++) {
        const Leaving *one = g_ptr_array_index(leaving, i);
        if (one->heir)
            let_go_first(&staying, one->heir->kind->name, one->heir->name, one->needs);
    }
    if (reversed)
        add_replacing_edges(graph, leaving);
    g_hash_table_unref(staying.by_key);
}

/* The configuration's graph with the undoing vertices. reversed: with the edges of the last graph.
 */
static Graph *combine(Engine *engine, const Graph *graph, const GPtrArray *leaving, bool reversed,
                      GError **error) {
    g_autoptr(Graph) all = graph_new();
    for (unsigned i = 0; i < graph_size(graph); i++)
        if (!graph_add(all, resource_ref(graph_resource(graph, i)), DUPLICATE_REFUSE, NULL, error))
            return NULL;
    for (unsigned i = 0; i < graph_declared_edge_count(graph); i++) {
        const Edge *edge = graph_declared_edge(graph, i);
        graph_add_edge(all, edge->from, edge->to, edge->flags, edge->origin);
    }
    for (unsigned i = 0; i < leaving->len; i++) {
        Leaving *one = g_ptr_array_index(leaving, i);
        if (one->undo &&
            !graph_add(all, resource_ref(one->undo), DUPLICATE_REFUSE, &one->vertex, error))
            return NULL;
    }
    add_edges(engine, all, leaving, reversed);
    (void)graph_auto_edges(all); /* only restorations can get new ones */
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func((GDestroyNotify)g_error_free);
    if (graph_seal(all, problems))
        return g_steal_pointer(&all);
    g_propagate_error(error, g_error_copy(g_ptr_array_index(problems, 0)));
    return NULL;
}

static GHashTable *removals_of(const GPtrArray *leaving) {
    GHashTable *removals = NULL;
    for (unsigned i = 0; i < leaving->len; i++) {
        const Leaving *one = g_ptr_array_index(leaving, i);
        if (!one->undo)
            continue;
        if (!removals)
            removals = g_hash_table_new(NULL, NULL);
        g_hash_table_insert(removals, one->undo, GINT_TO_POINTER(one->how));
    }
    return removals;
}

static void split_key(const char *key, char **ret_kind, const char **ret_name) {
    const char *cut = strchr(key, LEDGER_KEY_SEPARATOR[0]);
    *ret_kind = g_strndup(key, (gsize)(cut - key));
    *ret_name = cut + 1;
}

/* Entries that need no work on the host. */
static void settle_entries(Engine *engine, const GPtrArray *leaving) {
    for (unsigned i = 0; i < leaving->len; i++) {
        const Leaving *one = g_ptr_array_index(leaving, i);
        if (one->undo)
            continue;
        g_autofree char *kind_name = NULL;
        const char *name;
        split_key(one->key, &kind_name, &name);
        if (one->how == ON_REMOVE_FORGET && engine->remembers) {
            ledger_forget(engine->options.ledger, kind_name, name);
            ledger_discard_interrupted(engine->options.ledger, kind_name, name);
        }
        const Kind *kind = kind_set_find(engine->options.kinds, kind_name);
        if (one->how != ON_REMOVE_REPORT || !kind || !engine->options.listener)
            continue;
        g_autoptr(Resource) left = resource_new(kind, name, (Origin){ 0 });
        EngineEvent event = {
            .type = ENGINE_REPORTED, .resource = left, .removal = one->how, .latency = -1
        };
        engine->options.listener(engine->options.listener_data, &event);
    }
}

Graph *removal_add(Engine *engine, Graph *graph, GHashTable **ret_removals, GError **error) {
    *ret_removals = NULL;
    if (!engine->options.ledger)
        return graph_ref(graph);
    g_autoptr(GPtrArray) leaving = g_ptr_array_new_with_free_func(leaving_free);
    Search search = { .engine = engine, .graph = graph, .leaving = leaving };
    ledger_visit_keys(engine->options.ledger, is_leaving, look_for_leaving, &search);
    look_for_interrupted(&search);
    g_clear_pointer(&search.identities, g_hash_table_unref);
    g_clear_pointer(&search.claims, path_claims_free);
    if (search.error) {
        g_propagate_error(error, search.error);
        return NULL;
    }
    GHashTable *removals = removals_of(leaving);
    Graph *result = NULL;
    if (removals) {
        result = combine(engine, graph, leaving, true, NULL);
        if (!result) /* entries of several old graphs may contradict each other: then without order
                      */
            result = combine(engine, graph, leaving, false, error);
    } else {
        result = graph_ref(graph);
    }
    if (!result) {
        g_hash_table_unref(removals);
        return NULL;
    }
    settle_entries(engine, leaving);
    *ret_removals = removals;
    return result;
}
