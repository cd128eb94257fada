#pragma once
/* A few kinds for the tests of this directory: tables as a real kind has them, no machine behind.
 */
#include "graph/graph.h"
#include "graph/kind.h"

enum { FILE_PATH, FILE_STATE, FILE_CONTENT, FILE_MODE, FILE_OWNER, FILE_RECURSE };
enum { RUN_CMD, RUN_TIMEOUT, RUN_ENV };
enum { PKG_STATE, PKG_VERSION };
enum { VALUE_ANY, VALUE_NUMBER, VALUE_TEXTS, VALUE_PASSWORD };

extern const Kind test_file, test_exec, test_pkg, test_value;
extern const KindSet test_kinds;

/* Finished resource of a test kind, declared at a.lua:line. */
Resource *test_resource(const Kind *kind, const char *name, unsigned line);
Origin test_origin(unsigned line); /* a.lua:line */
/* All messages of a list of GError*, joined by "\n"; caller frees. */
char *test_messages(const GPtrArray *problems);
GPtrArray *test_problems_new(void);

/* Adds test_resource(); refusals fail the test. */
unsigned test_add(Graph *graph, const Kind *kind, const char *name, unsigned line);
void test_edge(Graph *graph, unsigned from, unsigned to, EdgeFlags flags); /* at a.lua:100+to */
void test_seal(Graph *graph);                                              /* must succeed */
/* Edges of a sealed graph, "pkg a>file /b! pkg c>..." sorted: ! notify, ~ auto, $ send. */
char *test_edges(const Graph *graph);
