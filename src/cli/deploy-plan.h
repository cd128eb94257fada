#pragma once
/* What a deploy would change on each host, hosts with the same changes together. */
#include "base/value.h"
#include "bundle/bundle.h"
#include "cli/deploy-tree.h"
#include "cli/hub-call.h"
#include "cli/printer.h"

typedef struct {
    const HubLink *link;
    Printer *printer;
    const Bundle *bundle;
    const char *directory; /* that it is of, as it was named */
    const char *to;
    DeployInputs inputs;
    const Bundle *before; /* what all of them have; NULL: what each shall run now */
} DeployPlanOptions;

/* {"groups": [{"hosts": [NAME], "changes": [{"change": "add" | "change" | "remove", "kind", "name",
 * "params": [NAME]}]}], "unknown": [NAME]: members that have told no facts, and were not tried,
 * "targets": number}. NULL: *error is set, or problems of hosts were printed. */
Value *deploy_plan(const DeployPlanOptions *options, GError **error);
/* The same for one host, between two bundles. */
Value *deploy_plan_between(const HubLink *link, const Bundle *from, const Bundle *to,
                           const char *host, const DeployInputs *inputs, Printer *printer,
                           GError **error);
void deploy_plan_print(Printer *printer, const Value *plan);

/* The bundle of that name from the hub, verified. */
Bundle *deploy_fetch_bundle(const HubLink *link, const char *digest, GError **error);
