/*
 * What left the configuration. Each ledger entry without a resource in the new graph becomes a
 * vertex that undoes it (remove, restore), is forgotten, or is only reported. Order is that of the
 * last graph reversed: whoever needed it goes first.
 */
#include <string.h>

#include "base/plural.h"
#include "engine/engine-private.h"
#include "graph/autoedge.h"

/* One entry on its way out. */
typedef struct {
    char *key;     /* "kind\x1fname" */
    char *old_key; /* that by which others needed it, when its name means another thing now */
    OnRemove how;
    Resource *undo; /* NULL: nothing is done on the host */
    Resource *heir; /* the same thing under its new name, in the new graph; NULL: none */
    char **needs;
    bool guessed; /* what it needs: see look_for_interrupted() */
    unsigned vertex;
} Leaving;

/* An entry whose name means another thing in the new graph. */
typedef struct {
    char *old_name;
    LedgerEntry *entry; /* a copy under a name of its own */
} Changed;

typedef struct {
    Engine *engine;
    const Graph *graph;
    GPtrArray *leaving;     /* of Leaving */
    GPtrArray *left;        /* names of entries without a resource, "kind\x1fname" */
    GPtrArray *changed;     /* of Changed */
    unsigned n_known;       /* entries with a resource in the new graph */
    GPtrArray *moves;       /* of entries, see moves_new() */
    GHashTable *identities; /* "kind\x1fidentity" -> name, of the new graph; made on first use */
    PathClaims *claims;     /* of the new graph; made on first use */
    GError *error;
} Search;

static void changed_free(void *data) {
    Changed *changed = data;
    g_free(changed->old_name);
    if (changed->entry)
        ledger_entry_free(changed->entry);
    g_free(changed);
}

static void leaving_free(void *data) {
    Leaving *leaving = data;
    g_free(leaving->key);
    g_free(leaving->old_key);
    resource_unref(leaving->undo);
    resource_unref(leaving->heir);
    g_strfreev(leaving->needs);
    g_free(leaving);
}

static void split_key(const char *key, char **ret_kind, const char **ret_name) {
    const char *cut = strchr(key, LEDGER_KEY_SEPARATOR[0]);
    *ret_kind = g_strndup(key, (gsize)(cut - key));
    *ret_name = cut + 1;
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

static Resource *resource_of(const Search *search, const LedgerEntry *entry, GError **error) {
    return resource_from_value(entry->resource, search->engine->options.kinds,
                               origin_parse(entry->origin), error);
}

/* Undoing is a resource of its own, in a group with what is undone likewise. What is removed takes
 * no automatic edges, they point the other way; what is restored needs the same things as anything
 * that is made. */
static Resource *finish_undo(Resource *undo, const LedgerEntry *entry, OnRemove how) {
    Meta *meta = resource_own_meta(undo);
    meta->autoedge = how == ON_REMOVE_RESTORE;
    meta->protect = false;
    meta->on_remove = ON_REMOVE_DEFAULT;
    undo->origin = origin_parse(entry->origin);
    return undo;
}

/* "KIND[NAME]" among what may lose data. */
static bool is_forced(const Search *search, const LedgerEntry *entry) {
    const char *const *force = search->engine->options.force;
    g_autofree char *reference = g_strdup_printf("%s[%s]", entry->kind, entry->name);
    return force && g_strv_contains(force, reference);
}

/* What the command line allows stands in for what can be said in a block no more. */
static void permit_loss(const Search *search, const LedgerEntry *entry, Resource *undo) {
    int param = kind_param_index(undo->kind, "force");
    if (param >= 0 && is_forced(search, entry))
        resource_put(undo, (unsigned)param, value_new_bool(true));
}

/* A kind that a program spoke for; without it nobody knows how to undo. */
static bool explain_missing(Search *search, const LedgerEntry *entry, const char *program) {
    g_autoptr(GError) reason = NULL;
    kind_set_unknown(search->engine->options.kinds, entry->kind, &reason);
    bool gone = !g_file_test(program, G_FILE_TEST_EXISTS);
    g_set_error(&search->error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND,
                "undo %s '%s': the program that speaks for it, '%s', %s%s; put it back, or 'stead "
                "ledger forget %s %s' leaves it as it is",
                entry->kind, entry->name, program,
                gone ? "is missing" : "cannot be used: ", gone ? "" : reason->message, entry->kind,
                entry->name);
    return false;
}

static bool undo_of(Search *search, const LedgerEntry *entry, OnRemove how, Resource **ret_undo) {
    const Kind *kind = kind_set_find(search->engine->options.kinds, entry->kind);
    *ret_undo = NULL;
    const char *program = value_map_string(entry->resource, "program", NULL);
    if (!kind && program)
        return explain_missing(search, entry, program);
    if (!kind || !kind->reverse)
        return true;
    g_autoptr(Resource) resource = resource_of(search, entry, &search->error);
    if (!resource) {
        g_prefix_error(
            &search->error,
            "undo what the ledger has ('stead ledger forget %s %s' leaves it as it is): ",
            entry->kind, entry->name);
        return false;
    }
    g_autoptr(State) before = preimage_of(search->engine, kind, entry);
    Resource *undo = kind->reverse(resource, before, how, &search->error);
    if (!undo && search->error) {
        g_prefix_error(&search->error, "undo %s '%s': ", entry->kind, entry->name);
        return false;
    }
    if (undo)
        permit_loss(search, entry, undo);
    *ret_undo = undo ? finish_undo(undo, entry, how) : NULL;
    return true;
}

/* The same thing on the host under another name: it stays, only its entry moves. */
static const char *renamed_to(Search *search, const LedgerEntry *entry) {
    const Kind *kind = kind_set_find(search->engine->options.kinds, entry->kind);
    if (!kind)
        return NULL;
    g_autoptr(Resource) resource = resource_of(search, entry, NULL);
    if (!resource)
        return NULL;
    if (!search->identities)
        search->identities = identities_of(search->graph);
    g_autofree char *key = identity_key(resource);
    return g_hash_table_lookup(search->identities, key);
}

/* An heir that has an entry of its own keeps that. */
static void move_to_heir(Search *search, const LedgerEntry *entry, const char *heir) {
    bool has_own = ledger_find(search->engine->options.ledger, entry->kind, heir) &&
                   !moves_give_up(search->moves, entry->kind, heir);
    moves_add(search->moves, entry->kind, entry->name, has_own ? NULL : entry_as(entry, heir));
}

/* A place in which the configuration still declares something stays until that is gone too. */
static bool still_holds(Search *search, const LedgerEntry *entry) {
    g_autoptr(Resource) resource = resource_of(search, entry, NULL);
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
        move_to_heir(search, entry, name);
        leaving->how = ON_REMOVE_FORGET;
        int heir = graph_find(search->graph, entry->kind, name);
        leaving->heir = resource_ref(graph_resource(search->graph, (unsigned)heir));
    }
    g_ptr_array_add(search->leaving, leaving);
    if (!name && entry->protect) {
        const char *file = origin_parse(entry->origin).file; /* its lines may have moved since */
        g_set_error(
            &search->error, STEAD_ERROR, STEAD_ERROR_REFUSED,
            "refuse to %s %s '%s': it was declared with protect = true in %s and is gone from "
            "the configuration; declare it again, or apply it once with protect = false first",
            on_remove_name(leaving->how), entry->kind, entry->name,
            file ? file : "the configuration");
        return;
    }
    if (leaving->how != ON_REMOVE_REMOVE && leaving->how != ON_REMOVE_RESTORE)
        return;
    if (undo_of(search, entry, leaving->how, &leaving->undo) && !leaving->undo)
        leaving->how = ON_REMOVE_FORGET;
}

/* --- room for it ------------------------------------------------------------------------------ */

static uint64_t text_size(const Value *value) {
    uint64_t size = 16;
    if (value_type(value) == VALUE_STRING)
        return size + value_string_size(value);
    for (size_t i = 0; value_type(value) == VALUE_LIST && i < value_size(value); i++)
        size += text_size(value_list_at(value, i));
    for (size_t i = 0; value_type(value) == VALUE_MAP && i < value_size(value); i++) {
        const char *key;
        const Value *item = value_map_at(value, i, &key);
        size += strlen(key) + text_size(item);
    }
    return size;
}

static bool is_remembered(const Resource *resource) {
    return !(resource->kind->flags & KIND_STATELESS) && !resource_meta(resource)->hidden;
}

/* Before anything is done: what is new is to be noted, and a removal that could not be would leave
 * a trace of what is gone. */
static bool reserve(const Search *search, GError **error) {
    Ledger *ledger = search->engine->options.ledger;
    uint64_t n = search->leaving->len, size = 0, n_remembered = 0;
    for (unsigned i = 0; i < graph_size(search->graph); i++)
        n_remembered += is_remembered(graph_resource(search->graph, i));
    bool any_new = n_remembered > search->n_known;
    for (unsigned i = 0; any_new && i < graph_size(search->graph); i++) {
        const Resource *resource = graph_resource(search->graph, i);
        if (!is_remembered(resource) ||
            ledger_resource_hash(ledger, resource->kind->name, resource->name) != 0)
            continue;
        n++;
        for (unsigned j = 0; j < resource->kind->n_params; j++)
            size += resource->params[j] ? text_size(resource->params[j]) : 0;
    }
    return n == 0 || ledger_reserve(ledger, n, size, error);
}

/* --- names that mean other things ------------------------------------------------------------- */

/* A copy of entry under a name of its own, so that what it stands for can leave. */
static LedgerEntry *detached(const Search *search, const LedgerEntry *entry, const Resource *was) {
    g_autofree char *name =
        moves_free_name(search->moves, search->engine->options.ledger, search->graph, was);
    LedgerEntry *copy = entry_as(entry, name);
    value_unref(copy->resource);
    copy->resource = resource_to_value(was);
    value_map_set(copy->resource, "name", value_new_string(name));
    return copy;
}

static void note_changed(Search *search, const LedgerEntry *entry, const Resource *now) {
    g_autoptr(Resource) was = resource_of(search, entry, NULL);
    if (!was || same_thing(was, now))
        return;
    Changed *changed = g_new(Changed, 1);
    changed->old_name = g_strdup(entry->name);
    changed->entry = detached(search, entry, was);
    g_ptr_array_add(search->changed, changed);
    moves_add(search->moves, entry->kind, entry->name, NULL);
}

static void leave_changed(Search *search, Changed *changed) {
    unsigned n_before = search->leaving->len;
    leave(search, changed->entry);
    Leaving *one =
        search->leaving->len > n_before ? g_ptr_array_index(search->leaving, n_before) : NULL;
    if (one)
        one->old_key =
            g_strconcat(changed->entry->kind, LEDGER_KEY_SEPARATOR, changed->old_name, NULL);
    if (one && one->how == ON_REMOVE_FORGET)
        return;
    LedgerEntry *entry = g_steal_pointer(&changed->entry);
    moves_add(search->moves, entry->kind, entry->name, entry);
}

/* Without a resource, or with one that may mean another thing. */
static bool is_doubtful(void *data, const char *kind, const char *name, uint64_t resource_hash) {
    Search *search = data;
    int at = graph_find(search->graph, kind, name);
    search->n_known += at >= 0 && resource_hash != 0;
    return at < 0 || record_may_differ(resource_hash, graph_resource(search->graph, (unsigned)at));
}

static void look_at_entry(void *data, const char *kind, const char *name) {
    Search *search = data;
    int at = graph_find(search->graph, kind, name);
    if (at < 0) {
        g_ptr_array_add(search->left, g_strconcat(kind, LEDGER_KEY_SEPARATOR, name, NULL));
        return;
    }
    const LedgerEntry *entry = ledger_find(search->engine->options.ledger, kind, name);
    if (entry)
        note_changed(search, entry, graph_resource(search->graph, (unsigned)at));
}

static void look_for_leaving(Search *search) {
    Ledger *ledger = search->engine->options.ledger;
    ledger_visit_keys(ledger, is_doubtful, look_at_entry, search);
    for (unsigned i = 0; !search->error && i < search->left->len; i++) {
        g_autofree char *kind = NULL;
        const char *name;
        split_key(search->left->pdata[i], &kind, &name);
        const LedgerEntry *entry = ledger_find(ledger, kind, name);
        if (entry)
            leave(search, entry);
    }
    for (unsigned i = 0; !search->error && i < search->changed->len; i++)
        leave_changed(search, search->changed->pdata[i]);
}

/* The entry that a first step would have left, had its process not been killed; NULL: not a first
 * step. needs: keys of what may have been there before it; borrowed. */
static LedgerEntry *entry_of_step(const Search *search, const LedgerStep *step, char **needs) {
    const Value *before = value_map_get(step->preimage, "before");
    const Value *made = value_map_get(step->preimage, "resource");
    if (!before || !made)
        return NULL;
    const char *origin = value_map_string(step->preimage, "origin", "");
    g_autoptr(Resource) resource =
        resource_from_value(made, search->engine->options.kinds, origin_parse(origin), NULL);
    if (!resource) /* of a kind or with a parameter that a later version does not have */
        return NULL;
    LedgerEntry *entry = ledger_entry_new(step->kind, step->name);
    entry->resource = value_ref(made);
    entry->applied = value_new_map();
    entry->preimage = value_ref(before);
    entry->created = !value_map_bool(before, "exists", false);
    entry->on_remove = (int)resource_meta(resource)->on_remove;
    entry->protect = resource_meta(resource)->protect;
    entry->origin = g_strdup(origin);
    entry->needs = g_strdupv(needs);
    entry->since = entry->changed = (int64_t)loop_wall_now(search->engine->options.loop);
    return entry;
}

/* NULL: what the step was on is declared, has an entry, or was not begun for the first time. */
static LedgerEntry *undeclared_entry(const Search *search, const LedgerStep *step, char **needs) {
    if (value_type(step->preimage) != VALUE_MAP ||
        ledger_find(search->engine->options.ledger, step->kind, step->name))
        return NULL;
    g_autoptr(LedgerEntry) entry = entry_of_step(search, step, needs);
    int at = graph_find(search->graph, step->kind, step->name);
    if (!entry || at < 0)
        return g_steal_pointer(&entry);
    g_autoptr(Resource) was = resource_of(search, entry, NULL);
    return same_thing(was, graph_resource(search->graph, (unsigned)at))
               ? NULL
               : detached(search, entry, was);
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
        LedgerEntry *entry = undeclared_entry(search, step, (char **)needs->pdata);
        if (!entry)
            continue;
        unsigned n_before = search->leaving->len;
        leave(search, entry);
        Leaving *last =
            search->leaving->len > n_before ? g_ptr_array_index(search->leaving, n_before) : NULL;
        if (last)
            last->guessed = true;
        if (last && last->undo) {
            g_ptr_array_set_size(needs, 0);
            g_ptr_array_add(needs, last->key);
            g_ptr_array_add(needs, NULL);
        }
        moves_add(search->moves, entry->kind, entry->name, entry);
    }
}

static Leaving *find_leaving(const GPtrArray *leaving, const char *key) {
    for (unsigned i = 0; i < leaving->len; i++) {
        Leaving *one = g_ptr_array_index(leaving, i);
        if (one->undo && (strcmp(one->key, key) == 0 || g_strcmp0(one->old_key, key) == 0))
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

/* The key in one of LedgerEntry.needs. */
static char *key_of_need(const char *need, bool *ret_notified) {
    *ret_notified = g_str_has_suffix(need, LEDGER_NOTIFY_MARK);
    return g_strndup(need, strlen(need) - (*ret_notified ? strlen(LEDGER_NOTIFY_MARK) : 0));
}

/* Whoever stays but needed it lets go of it first; who was notified by it is notified once more,
 * when it is gone. */
typedef struct {
    Graph *graph;
    GHashTable *by_key; /* of Leaving with an undo */
    bool notifies;
} StayingEdges;

static void let_go_first(StayingEdges *edges, const char *kind, const char *name, char **needs) {
    int staying = graph_find(edges->graph, kind, name);
    if (staying < 0)
        return;
    bool refreshes = graph_resource(edges->graph, (unsigned)staying)->kind->flags & KIND_REFRESHES;
    for (char **need = needs; need && *need; need++) {
        bool notified;
        g_autofree char *key = key_of_need(*need, &notified);
        const Leaving *leaving = g_hash_table_lookup(edges->by_key, key);
        if (!leaving || (unsigned)staying == leaving->vertex)
            continue;
        if (notified && refreshes && edges->notifies)
            graph_add_edge(edges->graph, leaving->vertex, (unsigned)staying, EDGE_NOTIFY,
                           (Origin){ 0 });
        else
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

static bool needs_any(const Leaving *one, GHashTable *keys) {
    for (char **need = one->needs; need && *need; need++) {
        bool notified;
        g_autofree char *key = key_of_need(*need, &notified);
        if (g_hash_table_contains(keys, key))
            return true;
    }
    return false;
}

/* The keys of all that cannot be without it, and its own. */
static GHashTable *dependents_of(const GPtrArray *leaving, const Leaving *one) {
    GHashTable *keys = g_hash_table_new(g_str_hash, g_str_equal);
    g_hash_table_add(keys, one->old_key ? one->old_key : one->key);
    for (bool grown = true; grown;) {
        grown = false;
        for (unsigned i = 0; i < leaving->len; i++) {
            const Leaving *other = g_ptr_array_index(leaving, i);
            char *key = other->old_key ? other->old_key : other->key;
            if (other != one && !g_hash_table_contains(keys, key) && needs_any(other, keys))
                grown = g_hash_table_add(keys, key);
        }
    }
    return keys;
}

/* A guess does not stand against what is known: the thing may have been there before, and left only
 * for a while. */
static void add_leaving_edges(Graph *graph, const GPtrArray *leaving, const Leaving *one) {
    g_autoptr(GHashTable) dependents = one->guessed ? dependents_of(leaving, one) : NULL;
    for (char **need = one->needs; one->undo && need && *need; need++) {
        bool notified;
        g_autofree char *key = key_of_need(*need, &notified);
        const Leaving *needed = find_leaving(leaving, key);
        bool both_restored =
            needed && one->how == ON_REMOVE_RESTORE && needed->how == ON_REMOVE_RESTORE;
        bool wrong = dependents && g_hash_table_contains(dependents, key);
        if (needed && needed != one && !both_restored && !wrong)
            graph_add_edge(graph, one->vertex, needed->vertex, 0, (Origin){ 0 });
    }
}

static void add_edges(Engine *engine, Graph *graph, const GPtrArray *leaving, bool reversed) {
    StayingEdges staying = { .graph = graph,
                             .by_key = g_hash_table_new(g_str_hash, g_str_equal),
                             .notifies = reversed };
    for (unsigned i = 0; i < leaving->len; i++) {
        Leaving *one = g_ptr_array_index(leaving, i);
        if (one->undo)
            g_hash_table_insert(staying.by_key, one->old_key ? one->old_key : one->key, one);
    }
    for (unsigned i = 0; reversed && i < leaving->len; i++)
        add_leaving_edges(graph, leaving, g_ptr_array_index(leaving, i));
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

/* --- accounts that are still named ------------------------------------------------------------ */

/* A user that goes while files of the new configuration are to be its own would leave them with
 * nobody's number: a mistake in the new configuration, like any other. */
static bool check_accounts(const Graph *graph, const GPtrArray *leaving, GError **error) {
    g_autoptr(AutoEdges) asked = NULL;
    for (unsigned i = 0; i < leaving->len; i++) {
        const Leaving *one = g_ptr_array_index(leaving, i);
        if (!one->undo || one->how != ON_REMOVE_REMOVE)
            continue;
        if (!asked)
            asked = auto_edges_ask_all(graph);
        const Resource *needing = auto_edges_left_alone(asked, graph, one->undo);
        if (!needing)
            continue;
        g_autofree char *who = resource_show(needing);
        g_autofree char *account = resource_show(one->undo);
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                    "refuse to remove %s, which left the configuration: %s (%s:%u) still names it; "
                    "name another one there, or declare it again; to leave it on the machine: "
                    "'stead ledger forget %s %s'",
                    account, who, needing->origin.file ? needing->origin.file : "configuration",
                    needing->origin.line, one->undo->kind->name, one->undo->name);
        return false;
    }
    return true;
}

/* --- another configuration -------------------------------------------------------------------- */

#define LEAVING_SHOWN 3

/* "16 resources of that (pkg 'nginx', file '/etc/motd', user 'web' and 13 more)"; NULL: none. */
static char *show_leaving(const GPtrArray *leaving) {
    g_autoptr(GString) names = g_string_new(NULL);
    unsigned n = 0;
    for (unsigned i = 0; i < leaving->len; i++) {
        const Leaving *one = g_ptr_array_index(leaving, i);
        if (!one->undo || n++ >= LEAVING_SHOWN)
            continue;
        g_autofree char *name = resource_show(one->undo);
        g_string_append_printf(names, "%s%s", names->len ? ", " : "", name);
    }
    if (n == 0)
        return NULL;
    if (n > LEAVING_SHOWN)
        g_string_append_printf(names, " and %u more", n - LEAVING_SHOWN);
    return g_strdup_printf("%u %s of that one (%s)", n, plural(n, "resource", "resources"),
                           names->str);
}

/* Whether what leaves does so because another configuration is applied than the last time: that is
 * a mistake more often than not. */
static bool check_configuration(Engine *engine, const GPtrArray *leaving, GError **error) {
    const char *last = ledger_configuration(engine->options.ledger);
    const char *now = engine->options.configuration;
    g_clear_pointer(&engine->warning, g_free);
    if (!last || !now || engine->options.take_over || strcmp(last, now) == 0)
        return true;
    g_autofree char *leave = show_leaving(leaving);
    if (!leave)
        return true;
    static const char remedy[] = "keep a second configuration apart with --state DIR, or let this "
                                 "one take over with --replace";
    if (!engine->remembers) {
        engine->warning = g_strdup_printf("the last configuration applied here was '%s'; applying "
                                          "'%s' would remove or restore %s and is refused: %s",
                                          last, now, leave, remedy);
        return true;
    }
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                "refuse to apply '%s': the last configuration applied here was '%s', and %s would "
                "be removed or restored; nothing was changed; %s",
                now, last, leave, remedy);
    return false;
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

/* Entries that need no work on the host. */
static void settle_entries(Engine *engine, const GPtrArray *leaving) {
    for (unsigned i = 0; i < leaving->len; i++) {
        const Leaving *one = g_ptr_array_index(leaving, i);
        if (one->undo)
            continue;
        g_autofree char *kind_name = NULL;
        const char *name;
        split_key(one->key, &kind_name, &name);
        if (one->how == ON_REMOVE_FORGET && engine->remembers)
            ledger_forget(engine->options.ledger, kind_name, name);
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
    g_autoptr(GPtrArray) left = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) changed = g_ptr_array_new_with_free_func(changed_free);
    g_autoptr(GPtrArray) moves = moves_new();
    Search search = { .engine = engine,
                      .graph = graph,
                      .leaving = leaving,
                      .left = left,
                      .changed = changed,
                      .moves = moves };
    look_for_leaving(&search);
    look_for_interrupted(&search);
    g_clear_pointer(&search.identities, g_hash_table_unref);
    g_clear_pointer(&search.claims, path_claims_free);
    if (search.error) {
        g_propagate_error(error, search.error);
        return NULL;
    }
    if (!check_configuration(engine, leaving, error) || !check_accounts(graph, leaving, error) ||
        (engine->remembers && !reserve(&search, error)))
        return NULL;
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
    if (engine->remembers && engine->options.configuration)
        ledger_set_configuration(engine->options.ledger, engine->options.configuration);
    leftovers_clean(engine, result);
    if (engine->remembers)
        moves_commit(moves, engine->options.ledger);
    settle_entries(engine, leaving);
    *ret_removals = removals;
    return result;
}
