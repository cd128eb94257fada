#pragma once
/* Edges that follow from what resources are: a file needs its directory, a service its unit file.
 */
#include <glib.h>

#include "graph/kind.h"

typedef struct Graph Graph;

/* What a kind says about one resource. Identities are (type, text) pairs in one hash: "path"
 * "/etc/x", "user" "ada", "uid" "1000", "group", "gid", "package", "unit". Types and texts are
 * copied. */
void auto_edges_am(AutoEdges *edges, const char *type, const char *text);
/* The resource with that identity, if there is one and it is not this one, goes before (or after)
 * this resource. Several wants are all tried. */
void auto_edges_want(AutoEdges *edges, const char *type, const char *text, bool before_me);
/* Only the first of a list that exists counts: nearest managed parent directory. */
void auto_edges_want_first(AutoEdges *edges, const char *type, char *const *texts, bool before_me);
/* Shorthand: the nearest managed parent directory of path, asked without building a list. */
void auto_edges_want_parent(AutoEdges *edges, const char *path);

/* Runs the pass over graph: all kinds are asked first, then identities are looked up. An edge is
 * not added where a manual edge, in either direction, exists. Returns the number added. */
unsigned graph_auto_edges(Graph *graph);
