#pragma once
/* Resources with the meta parameter export, as they are published. */
#include "graph/graph.h"
#include "lang/problems.h"

/* Adds the list "export" to wants. What cannot be exported becomes a problem. noop: all resources
 * have it, and nothing is exported. */
void exports_add(const Graph *graph, bool noop, Value *wants, Problems *problems);
