#include "graph/autoedge.h"

#include <string.h>

#include "base/hash.h"
#include "graph/graph-private.h"

#define SEPARATOR  "\x1f" /* between type and text of an identity */
#define PATH_TYPE  "path"
#define EDITS_TYPE "edits"
#define NONE       G_MAXUINT

/* One owner of an identity; those of the same key are linked in order of declaration. */
typedef struct {
    const char *key;
    unsigned vertex;
    unsigned next, last; /* last: of the chain, kept by its first; NONE: end */
} Identity;

typedef enum { WANT_ALL, WANT_PARENT, WANT_EVERY } WantWay;

/* keys[first .. first + n - 1] in order of preference; for WANT_PARENT one key, whose parent
 * directories are tried. */
typedef struct {
    unsigned vertex, first, n;
    bool before;
    WantWay way;
} Want;

struct AutoEdges {
    unsigned vertex; /* who is being asked */
    GStringChunk *texts;
    GString *key;       /* for building one */
    GArray *identities; /* of Identity */
    GHashTable *by_key; /* key -> index of its first Identity + 1 */
    GHashTable *owned;  /* key of a path -> vertex that brings it */
    GArray *wants;      /* of Want */
    GPtrArray *wanted;  /* keys, in texts */
    bool wants_every;   /* some want is WANT_EVERY */
};

AutoEdges *auto_edges_new(void) {
    AutoEdges *edges = g_new(AutoEdges, 1);
    *edges = (AutoEdges){
        .texts = g_string_chunk_new(64 * 1024),
        .key = g_string_new(NULL),
        .identities = g_array_new(FALSE, FALSE, sizeof(Identity)),
        .by_key = g_hash_table_new(hash_string, g_str_equal),
        .owned = g_hash_table_new(hash_string, g_str_equal),
        .wants = g_array_new(FALSE, FALSE, sizeof(Want)),
        .wanted = g_ptr_array_new(),
    };
    return edges;
}

void auto_edges_free(AutoEdges *edges) {
    if (!edges)
        return;
    g_hash_table_unref(edges->by_key);
    g_hash_table_unref(edges->owned);
    g_array_unref(edges->identities);
    g_array_unref(edges->wants);
    g_ptr_array_unref(edges->wanted);
    g_string_free(edges->key, TRUE);
    g_string_chunk_free(edges->texts);
    g_free(edges);
}

/* --- what kinds say */

/* "type\x1ftext" in edges->key; paths without trailing slashes. */
static void build_key(AutoEdges *edges, const char *type, const char *text) {
    g_string_assign(edges->key, type);
    g_string_append(edges->key, SEPARATOR);
    gsize shortest = edges->key->len + 1;
    g_string_append(edges->key, text);
    if (strcmp(type, PATH_TYPE) != 0)
        return;
    while (edges->key->len > shortest && edges->key->str[edges->key->len - 1] == '/')
        g_string_truncate(edges->key, edges->key->len - 1);
}

static const char *copy_key(AutoEdges *edges) {
    return g_string_chunk_insert_len(edges->texts, edges->key->str, (gssize)edges->key->len);
}

static unsigned find_first(const AutoEdges *edges, const char *key) {
    return GPOINTER_TO_UINT(g_hash_table_lookup(edges->by_key, key)) - 1; /* absent: NONE */
}

static Identity *identity_at(const AutoEdges *edges, unsigned index) {
    return &g_array_index(edges->identities, Identity, index);
}

void auto_edges_am(AutoEdges *edges, const char *type, const char *text) {
    build_key(edges, type, text);
    unsigned first = find_first(edges, edges->key->str);
    unsigned index = edges->identities->len;
    Identity identity = { NULL, edges->vertex, NONE, index };
    identity.key = first == NONE ? copy_key(edges) : identity_at(edges, first)->key;
    g_array_append_val(edges->identities, identity);
    if (first == NONE) {
        g_hash_table_insert(edges->by_key, (void *)(uintptr_t)identity.key,
                            GUINT_TO_POINTER(index + 1));
        return;
    }
    identity_at(edges, identity_at(edges, first)->last)->next = index;
    identity_at(edges, first)->last = index;
}

void auto_edges_own(AutoEdges *edges, const char *path) {
    build_key(edges, PATH_TYPE, path);
    if (!g_hash_table_contains(edges->owned, edges->key->str))
        g_hash_table_insert(edges->owned, (void *)(uintptr_t)copy_key(edges),
                            GUINT_TO_POINTER(edges->vertex));
}

static void add_want(AutoEdges *edges, unsigned n_keys, bool before, WantWay way) {
    Want want = { edges->vertex, edges->wanted->len - n_keys, n_keys, before, way };
    g_array_append_val(edges->wants, want);
}

void auto_edges_want(AutoEdges *edges, const char *type, const char *text, bool before_me) {
    build_key(edges, type, text);
    g_ptr_array_add(edges->wanted, (void *)(uintptr_t)copy_key(edges));
    add_want(edges, 1, before_me, WANT_ALL);
}

void auto_edges_want_first(AutoEdges *edges, const char *type, char *const *texts, bool before_me) {
    unsigned n = 0;
    for (; texts[n]; n++) {
        build_key(edges, type, texts[n]);
        g_ptr_array_add(edges->wanted, (void *)(uintptr_t)copy_key(edges));
    }
    add_want(edges, n, before_me, WANT_ALL);
}

void auto_edges_want_all(AutoEdges *edges, const char *type, const char *text) {
    build_key(edges, type, text);
    g_ptr_array_add(edges->wanted, (void *)(uintptr_t)copy_key(edges));
    add_want(edges, 1, true, WANT_EVERY);
    edges->wants_every = true;
}

void auto_edges_want_parent(AutoEdges *edges, const char *path) {
    build_key(edges, PATH_TYPE, path);
    g_ptr_array_add(edges->wanted, (void *)(uintptr_t)copy_key(edges));
    add_want(edges, 1, true, WANT_PARENT);
}

void auto_edges_want_account(AutoEdges *edges, const char *account, const char *by_name,
                             const char *by_number) {
    if (!account || !*account)
        return;
    bool is_number = strspn(account, "0123456789") == strlen(account);
    auto_edges_want(edges, is_number ? by_number : by_name, account, true);
}

/* --- matching */

static unsigned find_owner(const AutoEdges *edges, const char *key, unsigned asking) {
    unsigned at = find_first(edges, key);
    while (at != NONE && identity_at(edges, at)->vertex == asking)
        at = identity_at(edges, at)->next;
    return at == NONE ? NONE : identity_at(edges, at)->vertex;
}

/* Cuts the last component off a key "path\x1f/a/b"; false at the root. */
static bool cut_component(GString *key) {
    const gsize root = strlen(PATH_TYPE SEPARATOR "/");
    if (key->len <= root)
        return false;
    const char *slash = memrchr(key->str, '/', key->len);
    if (!slash)
        return false;
    g_string_truncate(key, MAX((gsize)(slash - key->str), root));
    return true;
}

static unsigned find_parent(AutoEdges *edges, const char *key, unsigned asking) {
    g_string_assign(edges->key, key);
    while (cut_component(edges->key)) {
        unsigned owner = find_owner(edges, edges->key->str, asking);
        if (owner != NONE)
            return owner;
    }
    return NONE;
}

static unsigned find_wanted(AutoEdges *edges, const Want *want) {
    if (want->way == WANT_PARENT)
        return find_parent(edges, edges->wanted->pdata[want->first], want->vertex);
    for (unsigned i = 0; i < want->n; i++) {
        unsigned owner = find_owner(edges, edges->wanted->pdata[want->first + i], want->vertex);
        if (owner != NONE)
            return owner;
    }
    return NONE;
}

static bool add_auto_edge(Graph *graph, const Want *want, unsigned owner) {
    if (graph_has_edge(graph, owner, want->vertex) || graph_has_edge(graph, want->vertex, owner))
        return false;
    Origin origin = graph_resource(graph, want->vertex)->origin;
    if (want->before)
        graph_add_edge(graph, owner, want->vertex, EDGE_AUTO, origin);
    else
        graph_add_edge(graph, want->vertex, owner, EDGE_AUTO, origin);
    return true;
}

static void ask(AutoEdges *edges, unsigned vertex, const Resource *resource) {
    edges->vertex = vertex;
    if (resource->kind->auto_edges)
        resource->kind->auto_edges(resource, edges);
}

void auto_edges_ask(AutoEdges *edges, unsigned vertex, const Resource *resource) {
    const Meta *meta = resource_meta(resource);
    if (meta->autoedge && !meta->hidden)
        ask(edges, vertex, resource);
}

/* --- what is brought along */

typedef struct {
    unsigned owner;
    const Want *want;
} Brought;

static int compare_brought(const void *a, const void *b) {
    const Brought *x = a, *y = b;
    return (x->owner > y->owner) - (x->owner < y->owner);
}

/* Adds whoever brings the path of want, or a directory above it: the nearest of them may have to
 * come after it, as a mount does after the directory that it is mounted on. */
static void add_bringers(AutoEdges *edges, const Want *want, GArray *all) {
    void *owner;
    g_string_assign(edges->key, edges->wanted->pdata[want->first]);
    do {
        if (!g_hash_table_lookup_extended(edges->owned, edges->key->str, NULL, &owner))
            continue;
        Brought brought = { GPOINTER_TO_UINT(owner), want };
        if (brought.owner != want->vertex)
            g_array_append_val(all, brought);
    } while (cut_component(edges->key));
}

/* One byte for each vertex: whether vertex comes after it, by whatever edges there are by now. */
static uint8_t *mark_before(const Graph *graph, unsigned vertex) {
    uint8_t *before = g_new0(uint8_t, graph_size(graph));
    g_autoptr(GArray) stack = g_array_new(FALSE, FALSE, sizeof(unsigned));
    g_array_append_val(stack, vertex);
    while (stack->len > 0) {
        unsigned top = g_array_index(stack, unsigned, stack->len - 1);
        g_array_set_size(stack, stack->len - 1);
        for (unsigned e = graph_vertex(graph, top)->last_in; e != NO_EDGE;) {
            const BuildEdge *edge = &g_array_index(graph->building, BuildEdge, e);
            unsigned from = edge->edge.from;
            if (!before[from])
                g_array_append_val(stack, from);
            before[from] = true;
            e = edge->earlier_in;
        }
    }
    return before;
}

/* A parent that somebody is may be brought all the same: a package brings what is in it as well. */
static bool may_be_brought(AutoEdges *edges, const Want *want) {
    if (want->way == WANT_PARENT)
        return true;
    return want->way == WANT_ALL && want->before && want->n == 1 &&
           g_str_has_prefix(edges->wanted->pdata[want->first], PATH_TYPE SEPARATOR) &&
           find_wanted(edges, want) == NONE;
}

/* Names say less than paths: these edges come last, and never make a cycle. */
static unsigned add_brought(AutoEdges *edges, Graph *graph) {
    g_autoptr(GArray) all = g_array_new(FALSE, FALSE, sizeof(Brought));
    for (unsigned i = 0; i < edges->wants->len; i++) {
        const Want *want = &g_array_index(edges->wants, Want, i);
        if (may_be_brought(edges, want))
            add_bringers(edges, want, all);
    }
    g_array_sort(all, compare_brought);
    g_autofree uint8_t *before = NULL;
    unsigned n_added = 0, last = NONE;
    for (unsigned i = 0; i < all->len; i++) {
        const Brought *brought = &g_array_index(all, Brought, i);
        if (brought->owner != last) {
            g_free(before);
            before = mark_before(graph, brought->owner);
            last = brought->owner;
        }
        n_added +=
            !before[brought->want->vertex] && add_auto_edge(graph, brought->want, brought->owner);
    }
    return n_added;
}

/* All that want it come after owner, unless owner comes after them. */
static unsigned add_every_from(AutoEdges *edges, Graph *graph, const char *key, unsigned owner) {
    g_autofree uint8_t *before = mark_before(graph, owner);
    unsigned n_added = 0;
    for (unsigned i = 0; i < edges->wants->len; i++) {
        const Want *want = &g_array_index(edges->wants, Want, i);
        if (want->way != WANT_EVERY || want->vertex == owner || before[want->vertex] ||
            strcmp(edges->wanted->pdata[want->first], key) != 0)
            continue;
        n_added += add_auto_edge(graph, want, owner);
    }
    return n_added;
}

static unsigned add_every(AutoEdges *edges, Graph *graph) {
    g_autoptr(GHashTable) keys = g_hash_table_new(g_str_hash, g_str_equal);
    unsigned n_added = 0;
    for (unsigned i = 0; i < edges->wants->len; i++) {
        const Want *want = &g_array_index(edges->wants, Want, i);
        void *key = edges->wanted->pdata[want->first];
        if (want->way != WANT_EVERY || !g_hash_table_add(keys, key))
            continue;
        for (unsigned at = find_first(edges, key); at != NONE; at = identity_at(edges, at)->next)
            n_added += add_every_from(edges, graph, key, identity_at(edges, at)->vertex);
    }
    return n_added;
}

unsigned auto_edges_add(AutoEdges *edges, Graph *graph) {
    unsigned n_added = 0;
    for (unsigned i = 0; i < edges->wants->len; i++) {
        const Want *want = &g_array_index(edges->wants, Want, i);
        if (want->way == WANT_EVERY)
            continue;
        unsigned owner = find_wanted(edges, want);
        n_added += owner != NONE && add_auto_edge(graph, want, owner);
    }
    if (g_hash_table_size(edges->owned) > 0)
        n_added += add_brought(edges, graph);
    if (edges->wants_every)
        n_added += add_every(edges, graph);
    return n_added;
}

unsigned graph_auto_edges(Graph *graph) {
    g_autoptr(AutoEdges) edges = auto_edges_new();
    for (unsigned i = 0; i < graph_size(graph); i++)
        auto_edges_ask(edges, i, graph_resource(graph, i));
    return auto_edges_add(edges, graph);
}

/* --- accounts */

AutoEdges *auto_edges_ask_all(const Graph *graph) {
    AutoEdges *edges = auto_edges_new();
    for (unsigned i = 0; i < graph_size(graph); i++)
        if (!resource_meta(graph_resource(graph, i))->hidden)
            ask(edges, i, graph_resource(graph, i));
    return edges;
}

static bool is_account(const char *key) {
    return g_str_has_prefix(key, "user" SEPARATOR) || g_str_has_prefix(key, "group" SEPARATOR);
}

static bool is_to_be_absent(const Resource *resource) {
    int row = kind_param_index(resource->kind, "state");
    const Value *state = row >= 0 ? resource_get(resource, (unsigned)row) : NULL;
    return state && value_type(state) == VALUE_STRING && strcmp(value_string(state), "absent") == 0;
}

static const Resource *find_needing(const AutoEdges *edges, const Graph *graph, const char *key) {
    for (unsigned i = 0; i < edges->wants->len; i++) {
        const Want *want = &g_array_index(edges->wants, Want, i);
        if (!want->before || want->way != WANT_ALL || want->n != 1 ||
            strcmp(edges->wanted->pdata[want->first], key) != 0)
            continue;
        const Resource *resource = graph_resource(graph, want->vertex);
        if (!is_to_be_absent(resource))
            return resource;
    }
    return NULL;
}

const Resource *auto_edges_left_alone(const AutoEdges *edges, const Graph *graph,
                                      const Resource *account) {
    g_autoptr(AutoEdges) own = auto_edges_new();
    ask(own, 0, account);
    for (unsigned i = 0; i < own->identities->len; i++) {
        const char *key = identity_at(own, i)->key;
        if (!is_account(key) || find_first(edges, key) != NONE)
            continue;
        const Resource *needing = find_needing(edges, graph, key);
        if (needing)
            return needing;
    }
    return NULL;
}

/* --- claims */

struct PathClaims {
    GStringChunk *texts;
    GHashTable *claims; /* path without trailing slash -> PathClaim */
};

/* Everything above an entry is an entry too, so climbing ends at the first one known. */
static void claim_parents(PathClaims *claims, GString *path) {
    while (path->len > 1) {
        const char *slash = memrchr(path->str, '/', path->len);
        g_string_truncate(path, slash ? MAX((gsize)(slash - path->str), 1) : 0);
        if (path->len == 0 || g_hash_table_contains(claims->claims, path->str))
            return;
        g_hash_table_insert(claims->claims, g_string_chunk_insert(claims->texts, path->str),
                            GINT_TO_POINTER(PATH_HOLDS));
    }
}

PathClaims *path_claims_new(const Graph *graph) {
    g_autoptr(AutoEdges) edges = auto_edges_new();
    for (unsigned i = 0; i < graph_size(graph); i++)
        ask(edges, i, graph_resource(graph, i));
    PathClaims *claims = g_new(PathClaims, 1);
    claims->texts = g_string_chunk_new(64 * 1024);
    claims->claims = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GString) path = g_string_new(NULL);
    for (unsigned i = 0; i < edges->identities->len; i++) {
        const char *key = identity_at(edges, i)->key;
        if (!g_str_has_prefix(key, PATH_TYPE SEPARATOR) &&
            !g_str_has_prefix(key, EDITS_TYPE SEPARATOR))
            continue;
        g_string_assign(path, strstr(key, SEPARATOR) + strlen(SEPARATOR));
        g_hash_table_insert(claims->claims, g_string_chunk_insert(claims->texts, path->str),
                            GINT_TO_POINTER(PATH_MANAGED));
        claim_parents(claims, path);
    }
    return claims;
}

void path_claims_free(PathClaims *claims) {
    if (!claims)
        return;
    g_hash_table_unref(claims->claims);
    g_string_chunk_free(claims->texts);
    g_free(claims);
}

PathClaim path_claims_find(const PathClaims *claims, const char *path) {
    size_t length = strlen(path);
    if (length < 2 || path[length - 1] != '/')
        return GPOINTER_TO_INT(g_hash_table_lookup(claims->claims, path));
    while (length > 1 && path[length - 1] == '/')
        length--;
    g_autofree char *bare = g_strndup(path, length);
    return GPOINTER_TO_INT(g_hash_table_lookup(claims->claims, bare));
}
