#pragma once
/* What a bundle makes of a host, before anybody runs it: laid out in a directory of its own, and
 * evaluated with what is known of the host. */
#include "bundle/bundle.h"
#include "cli/command.h"
#include "graph/graph.h"
#include "lib/machine.h"

typedef struct DeployTree DeployTree;

/* What hosts have besides; each may be NULL. Secrets that are not there are empty texts. */
typedef struct {
    const char *values_file;
    Value *values, *secrets;
} DeployInputs;

bool deploy_inputs_read(DeployInputs *inputs, const Arguments *arguments, GError **error);
void deploy_inputs_clear(DeployInputs *inputs);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(DeployInputs, deploy_inputs_clear)

/* shown: what messages call the directory. Borrows inputs. */
DeployTree *deploy_tree_new(const Bundle *bundle, const char *shown, const DeployInputs *inputs,
                            GError **error);
void deploy_tree_free(DeployTree *tree); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DeployTree, deploy_tree_free)

/* labels may be NULL. What the host would have: a map of "KIND NAME" to {"kind", "name", "params",
 * ...}, files of the bundle by their content. NULL: problems (of GError) were added. */
Value *deploy_tree_evaluate(DeployTree *tree, const char *host, const Value *facts,
                            const Value *labels, GPtrArray *problems);
