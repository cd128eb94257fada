/* Edges of a catalog. Puppet puts two vertices around each class and each instance of a defined
 * type: admitted before all that is in it, completed after it, and draws relationships with the
 * class from and to these. So does this, where a relationship asks for it. */
#include <string.h>

#include "lang/puppet-loader.h"

typedef struct {
    PuppetItem *from, *to;
    bool notifies;
    Origin origin;
} Relation;

/* References */

static PuppetItem *look_up(PuppetLoader *loader, const char *ref) {
    const char *bracket = strchr(ref, '[');
    size_t size = strlen(ref);
    if (!bracket || size < 3 || ref[size - 1] != ']')
        return NULL;
    g_autofree char *type = g_strndup(ref, (size_t)(bracket - ref));
    g_autofree char *title = g_strndup(bracket + 1, size - (size_t)(bracket - ref) - 2);
    g_autofree char *key = puppet_key(type, title);
    return g_hash_table_lookup(loader->by_ref, key);
}

static char *nearest_ref(PuppetLoader *loader, const char *ref) {
    enum { MAX_HINTS = 20 };
    if (loader->n_hints++ >= MAX_HINTS)
        return g_strdup("");
    g_autoptr(GPtrArray) refs = g_ptr_array_new();
    for (unsigned i = 0; i < loader->items->len; i++)
        g_ptr_array_add(refs, ((PuppetItem *)g_ptr_array_index(loader->items, i))->ref);
    return puppet_hint(ref, (const char *const *)refs->pdata, refs->len);
}

static PuppetItem *find_end(PuppetLoader *loader, const PuppetItem *item, const char *param,
                            const Value *value) {
    g_autofree char *ref = value_type(value) == VALUE_STRING ? puppet_text_of(value) : NULL;
    PuppetItem *end = ref ? look_up(loader, ref) : NULL;
    g_autofree char *shown = ref ? puppet_shown(ref) : NULL;
    if (!ref) {
        puppet_problem(loader, item, "'%s': expected references such as File[/etc/motd]", param);
    } else if (!end) {
        g_autofree char *hint = nearest_ref(loader, ref);
        puppet_problem(loader, item, "'%s': no %s in this catalog%s", param, shown, hint);
    } else if (end->role == PUPPET_VIRTUAL) {
        puppet_problem(loader, item, "'%s': %s is virtual and was not realized", param, shown);
    }
    return end;
}

/* Containment */

static PuppetItem *item_at(const PuppetLoader *loader, unsigned index) {
    return g_ptr_array_index(loader->items, index);
}

static void add_child(GHashTable *numbers, PuppetItem *parent, PuppetItem *child) {
    unsigned number = GPOINTER_TO_UINT(g_hash_table_lookup(numbers, child));
    if (!parent->children)
        parent->children = g_array_new(FALSE, FALSE, sizeof(unsigned));
    g_array_append_val(parent->children, number);
}

static PuppetItem *edge_end(PuppetLoader *loader, const Value *edge, size_t index,
                            const char *side) {
    const Value *value = value_type(edge) == VALUE_MAP ? value_map_get(edge, side) : NULL;
    g_autofree char *ref = value_type(value) == VALUE_STRING ? puppet_text_of(value) : NULL;
    PuppetItem *item = ref ? look_up(loader, ref) : NULL;
    g_autofree char *shown = ref ? puppet_shown(ref) : NULL;
    Origin origin = { .file = loader->file };
    if (!ref)
        problems_add_format(loader->problems, origin,
                            "edge %zu has no '%s' such as Class[Main]: give the catalog as "
                            "`puppet catalog compile` prints it",
                            index + 1, side);
    else if (!item)
        problems_add_format(loader->problems, origin, "edge %zu: no %s in this catalog", index + 1,
                            shown);
    return item;
}

static GHashTable *number_items(const PuppetLoader *loader) {
    GHashTable *numbers = g_hash_table_new(NULL, NULL);
    for (unsigned i = 0; i < loader->items->len; i++)
        g_hash_table_insert(numbers, item_at(loader, i), GUINT_TO_POINTER(i));
    return numbers;
}

/* What a walk does at a child; false: it does not go into it. */
typedef bool (*Visit)(PuppetLoader *loader, PuppetItem *child, void *data);

/* Visits all below item once, without recursion: what is nested was written by others. */
static void walk(PuppetLoader *loader, PuppetItem *item, Visit visit, void *data) {
    g_autoptr(GPtrArray) waiting = g_ptr_array_new();
    unsigned mark = ++loader->mark;
    g_ptr_array_add(waiting, item);
    while (waiting->len > 0) {
        const PuppetItem *at = g_ptr_array_steal_index(waiting, waiting->len - 1);
        for (unsigned i = 0; at->children && i < at->children->len; i++) {
            PuppetItem *child = item_at(loader, g_array_index(at->children, unsigned, i));
            if (child->mark == mark)
                continue;
            child->mark = mark;
            if (visit(loader, child, data))
                g_ptr_array_add(waiting, child);
        }
    }
}

/* Kahn's algorithm from the top; what is left over is in a cycle or below one. */
static void check_cycles(PuppetLoader *loader) {
    unsigned n = loader->items->len, seen = 0;
    g_autofree unsigned *above = g_new0(unsigned, n + 1), *queue = g_new0(unsigned, n + 1);
    for (unsigned i = 0; i < n; i++) {
        const GArray *children = item_at(loader, i)->children;
        for (unsigned k = 0; children && k < children->len; k++)
            above[g_array_index(children, unsigned, k)]++;
    }
    unsigned end = 0;
    for (unsigned i = 0; i < n; i++)
        if (above[i] == 0)
            queue[end++] = i;
    while (seen < end) {
        const GArray *children = item_at(loader, queue[seen++])->children;
        for (unsigned k = 0; children && k < children->len; k++) {
            unsigned child = g_array_index(children, unsigned, k);
            if (--above[child] == 0)
                queue[end++] = child;
        }
    }
    for (unsigned i = 0; i < n && seen < n; i++)
        if (above[i] > 0) {
            puppet_problem(loader, item_at(loader, i),
                           "it is contained in itself: the edges of "
                           "the catalog go round in a circle");
            return;
        }
}

void puppet_load_containment(PuppetLoader *loader) {
    const Value *edges = value_map_get(loader->document, "edges");
    g_autoptr(GHashTable) numbers = number_items(loader);
    for (size_t i = 0; i < value_size(edges); i++) {
        PuppetItem *source = edge_end(loader, value_list_at(edges, i), i, "source");
        PuppetItem *target = edge_end(loader, value_list_at(edges, i), i, "target");
        if (source && target && source->role == PUPPET_CONTAINER)
            add_child(numbers, source, target);
        else if (source && target && source->role == PUPPET_RESOURCE)
            puppet_problem(loader, source,
                           "it contains %s: only classes, stages and defined types "
                           "contain something",
                           target->ref);
    }
    check_cycles(loader);
}

/* Relationships */

static void add_relation(PuppetLoader *loader, PuppetItem *item, const char *param,
                         const Value *value, bool before_me, bool notifies, GArray *relations) {
    if (value_type(value) == VALUE_NIL)
        return;
    if (value_type(value) == VALUE_LIST) {
        for (size_t i = 0; i < value_size(value); i++)
            add_relation(loader, item, param, value_list_at(value, i), before_me, notifies,
                         relations);
        return;
    }
    PuppetItem *other = find_end(loader, item, param, value);
    if (!other)
        return;
    Relation relation = { .from = before_me ? other : item,
                          .to = before_me ? item : other,
                          .notifies = notifies,
                          .origin = item->origin };
    g_array_append_val(relations, relation);
}

static GArray *read_relations(PuppetLoader *loader) {
    static const struct {
        const char *param;
        bool before_me, notifies;
    } params[] = {
        { "require", true, false },
        { "subscribe", true, true },
        { "before", false, false },
        { "notify", false, true },
    };
    GArray *relations = g_array_new(FALSE, FALSE, sizeof(Relation));
    for (unsigned i = 0; i < loader->items->len; i++) {
        PuppetItem *item = item_at(loader, i);
        if (!item->parameters || item->role == PUPPET_VIRTUAL)
            continue;
        for (size_t k = 0; k < G_N_ELEMENTS(params); k++)
            add_relation(loader, item, params[k].param,
                         value_map_get(item->parameters, params[k].param), params[k].before_me,
                         params[k].notifies, relations);
    }
    return relations;
}

static bool find_leaf(PuppetLoader *loader, PuppetItem *child, void *data) {
    bool *found = data;
    *found |= child->vertex >= 0;
    return !*found;
}

/* Of what is nested in a container whose anchor passes notifications on, the anchors do so too. */
static bool notify_admitted(PuppetLoader *loader, PuppetItem *child, void *data) {
    bool was = child->admitted.notifies;
    child->admitted.notifies = true;
    return !was; /* then so is all in it */
}

static bool notify_completed(PuppetLoader *loader, PuppetItem *child, void *data) {
    bool was = child->completed.notifies;
    child->completed.notifies = true;
    return !was;
}

static void want_anchors(PuppetLoader *loader, const GArray *relations) {
    for (unsigned i = 0; i < relations->len; i++) {
        const Relation *relation = &g_array_index(relations, Relation, i);
        relation->from->completed.wanted = true;
        relation->to->admitted.wanted = true;
        if (!relation->notifies)
            continue;
        if (relation->from->role == PUPPET_CONTAINER && !relation->from->completed.notifies)
            walk(loader, relation->from, notify_completed, NULL);
        if (relation->to->role == PUPPET_CONTAINER && !relation->to->admitted.notifies)
            walk(loader, relation->to, notify_admitted, NULL);
        relation->from->completed.notifies = relation->to->admitted.notifies = true;
    }
    for (unsigned i = 0; i < loader->items->len; i++) {
        PuppetItem *item = item_at(loader, i);
        if (item->role != PUPPET_CONTAINER || !(item->completed.wanted || item->admitted.wanted))
            continue;
        walk(loader, item, find_leaf, &item->has_leaf);
        if (!item->has_leaf) /* the way through it leads past nothing */
            item->completed.wanted = item->admitted.wanted = true;
    }
}

static void add_anchor(PuppetLoader *loader, const PuppetItem *item, const char *word,
                       PuppetAnchor *anchor) {
    g_autofree char *name = g_strconcat(word, " ", item->ref, NULL);
    Resource *resource =
        resource_new(kind_set_find(loader->inputs->kinds, "noop"), name, item->origin);
    g_autoptr(GPtrArray) errors = g_ptr_array_new_with_free_func((GDestroyNotify)g_error_free);
    GError *error = NULL;
    bool fine = resource_finish(resource, errors);
    g_assert(fine); /* it has no parameters */
    if (!graph_add(loader->graph, resource, DUPLICATE_REFUSE, &anchor->vertex, &error)) {
        problems_add_error(loader->problems, error);
        anchor->wanted = false;
    }
}

static void add_anchors(PuppetLoader *loader) {
    for (unsigned i = 0; i < loader->items->len; i++) {
        PuppetItem *item = item_at(loader, i);
        if (item->role != PUPPET_CONTAINER)
            continue;
        if (item->admitted.wanted)
            add_anchor(loader, item, "admitted", &item->admitted);
        if (item->completed.wanted)
            add_anchor(loader, item, "completed", &item->completed);
    }
}

static bool connect_admitted(PuppetLoader *loader, PuppetItem *child, void *data) {
    const PuppetItem *container = data;
    EdgeFlags flags = container->admitted.notifies ? EDGE_NOTIFY : 0;
    bool is_anchor = child->role == PUPPET_CONTAINER && child->admitted.wanted;
    if (is_anchor || child->vertex >= 0)
        graph_add_edge(loader->graph, container->admitted.vertex,
                       is_anchor ? child->admitted.vertex : (unsigned)child->vertex, flags,
                       container->origin);
    return !is_anchor;
}

static bool connect_completed(PuppetLoader *loader, PuppetItem *child, void *data) {
    const PuppetItem *container = data;
    EdgeFlags flags = container->completed.notifies ? EDGE_NOTIFY : 0;
    bool is_anchor = child->role == PUPPET_CONTAINER && child->completed.wanted;
    if (is_anchor || child->vertex >= 0)
        graph_add_edge(loader->graph, is_anchor ? child->completed.vertex : (unsigned)child->vertex,
                       container->completed.vertex, flags, container->origin);
    return !is_anchor;
}

static void connect_anchors(PuppetLoader *loader) {
    for (unsigned i = 0; i < loader->items->len; i++) {
        PuppetItem *item = item_at(loader, i);
        if (item->role != PUPPET_CONTAINER)
            continue;
        if (item->admitted.wanted)
            walk(loader, item, connect_admitted, item);
        if (item->completed.wanted)
            walk(loader, item, connect_completed, item);
        if (item->admitted.wanted && item->completed.wanted && !item->has_leaf)
            graph_add_edge(loader->graph, item->admitted.vertex, item->completed.vertex, 0,
                           item->origin);
    }
}

/* The vertex a relationship starts or ends at; -1: it has none. */
static int vertex_of(const PuppetItem *item, const PuppetAnchor *anchor) {
    return item->role == PUPPET_CONTAINER ? (int)anchor->vertex : item->vertex;
}

/* Of parallel edges the last one counts: those that notify. */
static void add_relations(PuppetLoader *loader, const GArray *relations, bool notifies) {
    for (unsigned i = 0; i < relations->len; i++) {
        const Relation *relation = &g_array_index(relations, Relation, i);
        int from = vertex_of(relation->from, &relation->from->completed);
        int to = vertex_of(relation->to, &relation->to->admitted);
        if (relation->notifies == notifies && from >= 0 && to >= 0)
            graph_add_edge(loader->graph, (unsigned)from, (unsigned)to, notifies ? EDGE_NOTIFY : 0,
                           relation->origin);
    }
}

void puppet_load_edges(PuppetLoader *loader) {
    g_autoptr(GArray) relations = read_relations(loader);
    if (problems_count(loader->problems) > 0)
        return;
    want_anchors(loader, relations);
    add_anchors(loader);
    if (problems_count(loader->problems) > 0)
        return;
    connect_anchors(loader);
    add_relations(loader, relations, false);
    add_relations(loader, relations, true);
}
