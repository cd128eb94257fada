#pragma once
/* Puppet catalogs, as `puppet catalog compile NODE` prints them (JSON): resources become resources
 * of kinds by the tables of puppet-types.c, classes and defined types become edges. All that has no
 * counterpart is told at once, with the place in the manifest; nothing is guessed. */
#include "lang/lang.h"
#include "lang/problems.h"
#include "lang/source.h"

/* Adds to graph; warnings are char *. */
void puppet_catalog_load(const char *file, const LangInputs *inputs, Sources *sources,
                         Problems *problems, GPtrArray *warnings, Graph *graph);
