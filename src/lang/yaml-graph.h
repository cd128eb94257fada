#pragma once
/* mgmt's YAML graphs: `graph`, `comment`, `resources`, `edges`, `collect`. Strict: what is not
 * known is refused, with `file:line:column:`; a few keys that mgmt's own examples carry without
 * effect are warned about. */
#include "lang/lang.h"
#include "lang/problems.h"
#include "lang/source.h"

/* Adds to graph; warnings are char *. */
void yaml_graph_load(const char *file, const LangInputs *inputs, Sources *sources,
                     Problems *problems, GPtrArray *warnings, Graph *graph);
