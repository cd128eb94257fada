#pragma once
/* Which paths the resources of a graph manage, for kinds that clear directories. Made on first use,
 * by whichever worker asks first; thread-safe. */
#include "graph/graph.h"

typedef struct Claims Claims;

Claims *claims_new(Graph *graph);
void claims_free(Claims *claims); /* accepts NULL */
PathClaim claims_find(void *claims, const char *path);
