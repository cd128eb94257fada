/* Graphs as values for saved plans, and their digest. */
#include <string.h>

#include "base/json.h"
#include "graph/graph-private.h"

/* --- digest */

typedef struct {
    const char *text;
    size_t size;
    unsigned vertex;
} Entry;

static void append_canonical(GString *out, const Resource *resource, JsonFlags flags) {
    g_autoptr(Value) value = resource_to_value(resource);
    g_string_append(out, resource->kind->name);
    g_string_append_c(out, '\x1f');
    g_string_append(out, resource->name);
    g_string_append_c(out, '\x1f');
    json_append(out, value, flags);
}

static int compare_entries(const void *a, const void *b) {
    const Entry *x = a, *y = b;
    int order = memcmp(x->text, y->text, MIN(x->size, y->size));
    return order ? order : (x->size > y->size) - (x->size < y->size);
}

static int compare_keys(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Sorts by what is in them; ret_ranks is the place of each vertex. Equal ones share it. */
static void digest_resources(const Graph *graph, JsonFlags flags, Digest *digest,
                             unsigned *ret_ranks) {
    unsigned n = graph_size(graph);
    g_autoptr(GString) text = g_string_new(NULL);
    g_autofree size_t *starts = g_new(size_t, n + 1);
    for (unsigned v = 0; v < n; v++) {
        starts[v] = text->len;
        append_canonical(text, graph_resource(graph, v), flags);
    }
    starts[n] = text->len;
    g_autofree Entry *entries = g_new(Entry, n);
    for (unsigned v = 0; v < n; v++)
        entries[v] = (Entry){ text->str + starts[v], starts[v + 1] - starts[v], v };
    if (n > 0)
        qsort(entries, n, sizeof *entries, compare_entries);
    for (unsigned i = 0; i < n; i++) {
        bool same = i > 0 && compare_entries(&entries[i - 1], &entries[i]) == 0;
        ret_ranks[entries[i].vertex] = same ? ret_ranks[entries[i - 1].vertex] : i;
        uint64_t size = GUINT64_TO_LE(entries[i].size);
        digest_update(digest, &size, sizeof size);
        digest_update(digest, entries[i].text, entries[i].size);
    }
}

static void digest_edges(const Graph *graph, Digest *digest, const unsigned *ranks) {
    unsigned n = graph->declared.n_edges;
    g_autofree uint64_t *keys = g_new(uint64_t, n);
    for (unsigned i = 0; i < n; i++) {
        const Edge *edge = &graph->declared.edges[i];
        /* LIMIT_RESOURCES needs 19 bits. */
        keys[i] = (uint64_t)ranks[edge->from] << 34 | (uint64_t)ranks[edge->to] << 4 |
                  (edge->flags & ~(unsigned)EDGE_AHEAD);
    }
    if (n > 0)
        qsort(keys, n, sizeof *keys, compare_keys);
    for (unsigned i = 0; i < n; i++)
        keys[i] = GUINT64_TO_LE(keys[i]);
    digest_update(digest, keys, n * sizeof *keys);
}

static void digest_graph(const Graph *graph, JsonFlags flags, char ret_hex[DIGEST_HEX_SIZE]) {
    g_assert(graph->sealed);
    g_autoptr(Digest) digest = digest_new();
    g_autofree unsigned *ranks = g_new(unsigned, graph_size(graph));
    digest_resources(graph, flags, digest, ranks);
    digest_edges(graph, digest, ranks);
    digest_finish(digest, ret_hex);
}

void graph_digest(const Graph *graph, char ret_hex[DIGEST_HEX_SIZE]) {
    digest_graph(graph, JSON_COMPACT, ret_hex);
}

void graph_digest_secrets(const Graph *graph, const uint8_t *key, size_t key_size,
                          char ret_hex[DIGEST_HEX_SIZE]) {
    char clear[DIGEST_HEX_SIZE];
    digest_graph(graph, JSON_COMPACT | JSON_REVEAL, clear);
    g_autofree char *keyed =
        g_compute_hmac_for_string(G_CHECKSUM_SHA256, key, key_size, clear, DIGEST_HEX_SIZE - 1);
    memcpy(ret_hex, keyed, DIGEST_HEX_SIZE);
}

/* --- to a value */

static void set_origin(Value *map, Origin origin) {
    if (!origin.file)
        return;
    value_map_set(map, "file", value_new_string(origin.file));
    if (origin.line)
        value_map_set(map, "line", value_new_int(origin.line));
    if (origin.column)
        value_map_set(map, "column", value_new_int(origin.column));
}

static Value *edge_to_value(const Edge *edge) {
    Value *map = value_new_map();
    value_map_set(map, "from", value_new_int(edge->from));
    value_map_set(map, "to", value_new_int(edge->to));
    if (edge->flags & EDGE_NOTIFY)
        value_map_set(map, "notify", value_new_bool(true));
    if (edge->flags & EDGE_AUTO)
        value_map_set(map, "auto", value_new_bool(true));
    if (edge->flags & EDGE_SEND)
        value_map_set(map, "send", value_new_bool(true));
    set_origin(map, edge->origin);
    return map;
}

Value *graph_to_value(const Graph *graph) {
    g_assert(graph->sealed);
    Value *resources = value_new_list();
    for (unsigned i = 0; i < graph_size(graph); i++) {
        const Resource *resource = graph_resource(graph, i);
        Value *map = resource_to_value(resource);
        set_origin(map, resource->origin);
        value_list_append(resources, map);
    }
    Value *edges = value_new_list();
    for (unsigned i = 0; i < graph->declared.n_edges; i++)
        value_list_append(edges, edge_to_value(&graph->declared.edges[i]));
    Value *map = value_new_map();
    value_map_set(map, "resources", resources);
    value_map_set(map, "edges", edges);
    return map;
}

/* --- from a value */

static unsigned small_number(const Value *map, const char *key) {
    return (unsigned)CLAMP(value_map_int(map, key, 0), 0, G_MAXINT);
}

static Origin get_origin(const Value *map) {
    const char *file = value_map_string(map, "file", NULL);
    return (Origin){ file ? g_intern_string(file) : NULL, small_number(map, "line"),
                     small_number(map, "column") };
}

static bool add_resources(Graph *graph, const Value *list, const KindSet *kinds, GError **error) {
    for (size_t i = 0; i < value_size(list); i++) {
        const Value *item = value_list_at(list, i);
        Origin origin = value_type(item) == VALUE_MAP ? get_origin(item) : (Origin){ .file = NULL };
        Resource *resource = resource_from_value(item, kinds, origin, error);
        if (!resource || !graph_add(graph, resource, DUPLICATE_REFUSE, NULL, error)) {
            g_prefix_error(error, "resource %zu: ", i);
            return false;
        }
    }
    return true;
}

static bool add_edge(Graph *graph, const Value *item, GError **error) {
    int64_t size = graph_size(graph);
    int64_t from = -1, to = -1;
    if (value_type(item) == VALUE_MAP) {
        from = value_map_int(item, "from", -1);
        to = value_map_int(item, "to", -1);
    }
    if (from < 0 || to < 0 || from >= size || to >= size) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "expected from and to below %" G_GINT64_FORMAT, size);
        return false;
    }
    EdgeFlags flags = (value_map_bool(item, "notify", false) ? EDGE_NOTIFY : 0) |
                      (value_map_bool(item, "auto", false) ? EDGE_AUTO : 0) |
                      (value_map_bool(item, "send", false) ? EDGE_SEND : 0);
    graph_add_edge(graph, (unsigned)from, (unsigned)to, flags, get_origin(item));
    return true;
}

static bool add_edges(Graph *graph, const Value *list, GError **error) {
    for (size_t i = 0; i < value_size(list); i++) {
        if (!add_edge(graph, value_list_at(list, i), error)) {
            g_prefix_error(error, "edge %zu: ", i);
            return false;
        }
    }
    return true;
}

Graph *graph_from_value(const Value *value, const KindSet *kinds, GError **error) {
    bool is_map = value_type(value) == VALUE_MAP;
    const Value *resources = is_map ? value_map_get(value, "resources") : NULL;
    const Value *edges = is_map ? value_map_get(value, "edges") : NULL;
    if (value_type(resources) != VALUE_LIST || value_type(edges) != VALUE_LIST) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "expected a graph: a map with the lists 'resources' and 'edges'");
        return NULL;
    }
    g_autoptr(Graph) graph = graph_new();
    if (!add_resources(graph, resources, kinds, error) || !add_edges(graph, edges, error)) {
        g_prefix_error(error, "graph: ");
        return NULL;
    }
    return g_steal_pointer(&graph);
}
