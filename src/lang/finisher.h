#pragma once
/*
 * Finisher: completes resources (fallbacks, the kind's own check, what it says for automatic edges)
 * in a thread of its own while the program goes on declaring. It only tells whether all are right:
 * to say what is wrong, the program is evaluated once more without one.
 */
#include <stdbool.h>

#include "graph/autoedge.h"
#include "graph/resource.h"

typedef struct Finisher Finisher;

/* auto_edges: also ask for automatic edges. */
Finisher *finisher_new(bool auto_edges);
void finisher_free(Finisher *finisher); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Finisher, finisher_free)

/* Hands over a resource of the graph, in the order of vertices. It is borrowed until
 * finisher_wait(); its name, kind and meta parameters may be read meanwhile, nothing else. */
void finisher_add(Finisher *finisher, Resource *resource, unsigned vertex);
/* A resource that never reached the graph would have been checked too. */
void finisher_fail(Finisher *finisher);
/* Whether one is known to be wrong by now. */
bool finisher_has_failed(Finisher *finisher);

/* Waits for all. True: all are right, and *ret_edges has what they said (NULL: was not asked for).
 * To be called once. */
bool finisher_wait(Finisher *finisher, AutoEdges **ret_edges);
