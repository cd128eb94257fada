#pragma once
/* Edges that follow from what resources are: a file needs its directory, a service its unit file.
 */
#include <glib.h>

#include "graph/kind.h"

typedef struct Graph Graph;

/* What a kind says about one resource. Identities are (type, text) pairs in one hash: "path"
 * "/etc/x", "user" "ada", "uid" "1000", "group", "gid", "package", "unit"; "edits" "/etc/x" for
 * those that change a part of a file without being the file. Types and texts are copied. A trailing
 * slash of a path does not count. Where several resources have one identity, the first declared one
 * that is not the asking one is meant. */
void auto_edges_am(AutoEdges *edges, const char *type, const char *text);
/* The resource with that identity, if there is one and it is not this one, goes before (or after)
 * this resource. Several wants are all tried. */
void auto_edges_want(AutoEdges *edges, const char *type, const char *text, bool before_me);
/* Only the first of a NULL-terminated list that exists counts. */
void auto_edges_want_first(AutoEdges *edges, const char *type, char *const *texts, bool before_me);
/* A user ("user", "uid") or group ("group", "gid"), whichever account is: name or number. NULL and
 * empty want nothing. */
void auto_edges_want_account(AutoEdges *edges, const char *account, const char *by_name,
                             const char *by_number);
/* This resource brings path, a directory or file, without being it: it goes before those that ask
 * for the parent of something there, or for something there that nobody is, unless it would then
 * wait for itself. Paths like "/etc/nginx" of a package, or what a command creates. */
void auto_edges_own(AutoEdges *edges, const char *path);
/* All resources with the identity (type, text) go before this one, except those that come after it
 * by whatever other edges there are: these never make a cycle. */
void auto_edges_want_all(AutoEdges *edges, const char *type, const char *text);
/* Shorthand: the nearest managed parent directory of path, asked without building a list. */
void auto_edges_want_parent(AutoEdges *edges, const char *path);

/* Runs the pass over graph: all kinds are asked first, then identities are looked up. Hidden
 * resources and those with autoedge = false take no part. An edge is not added where one, in either
 * direction, exists. Returns the number added. */
unsigned graph_auto_edges(Graph *graph);

/* The same in parts, for who has the resources before the graph is complete: each is asked once, in
 * the order of vertices, then the edges of all are added. */
AutoEdges *auto_edges_new(void);
void auto_edges_free(AutoEdges *edges); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(AutoEdges, auto_edges_free)
void auto_edges_ask(AutoEdges *edges, unsigned vertex, const Resource *resource);
unsigned auto_edges_add(AutoEdges *edges, Graph *graph);

/* Who in a graph names accounts, to know what would be left without its owner. */
AutoEdges *auto_edges_ask_all(const Graph *graph);
/* The first of those asked that needs the user or group that account is, where nobody among them is
 * that; NULL: none does. What is to be absent needs nobody. */
const Resource *auto_edges_left_alone(const AutoEdges *edges, const Graph *graph,
                                      const Resource *account);

/* The paths of all resources ("path" and "edits" identities, also of hidden ones and those with
 * autoedge = false), for kinds that clear directories: KindRun.claim. Only read, so any thread may
 * ask. */
typedef struct PathClaims PathClaims;

PathClaims *path_claims_new(const Graph *graph);
void path_claims_free(PathClaims *claims); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PathClaims, path_claims_free)
PathClaim path_claims_find(const PathClaims *claims, const char *path);
