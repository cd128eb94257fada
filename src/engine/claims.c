#include "engine/claims.h"

#include "graph/autoedge.h"

struct Claims {
    Graph *graph;
    GMutex lock;
    PathClaims *paths; /* NULL until asked for */
};

Claims *claims_new(Graph *graph) {
    Claims *claims = g_new0(Claims, 1);
    claims->graph = graph_ref(graph);
    g_mutex_init(&claims->lock);
    return claims;
}

void claims_free(Claims *claims) {
    if (!claims)
        return;
    graph_unref(claims->graph);
    path_claims_free(claims->paths);
    g_mutex_clear(&claims->lock);
    g_free(claims);
}

PathClaim claims_find(void *data, const char *path) {
    Claims *claims = data;
    if (!claims)
        return PATH_FREE;
    g_mutex_lock(&claims->lock);
    if (!claims->paths)
        claims->paths = path_claims_new(claims->graph);
    g_mutex_unlock(&claims->lock);
    return path_claims_find(claims->paths, path);
}
