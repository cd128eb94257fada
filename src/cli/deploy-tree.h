#pragma once
/* What a bundle makes of a host, before anybody runs it: laid out in a directory of its own, and
 * evaluated with what is known of the host. */
#include "bundle/bundle.h"
#include "graph/graph.h"
#include "lib/machine.h"

#define DEPLOY_VALUES "values.yaml" /* in a bundle: what its configuration reads as values */

typedef struct DeployTree DeployTree;

/* shown: what messages call the directory. */
DeployTree *deploy_tree_new(const Bundle *bundle, const char *shown, GError **error);
void deploy_tree_free(DeployTree *tree); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DeployTree, deploy_tree_free)

/* labels may be NULL. What the host would have: a map of "KIND NAME" to {"kind", "name", "params",
 * ...}, files of the bundle by their content. NULL: problems (of GError) were added. */
Value *deploy_tree_evaluate(DeployTree *tree, const char *host, const Value *facts,
                            const Value *labels, GPtrArray *problems);
