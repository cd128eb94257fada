#pragma once
/* Two deploys side by side. */
#include "cli/hub-call.h"
#include "cli/printer.h"

/* The name of the bundle of a deploy: a number, or that name itself. Caller frees. */
char *deploy_digest(const HubLink *link, const char *word, GError **error);
/* Files that differ; with --host: what that host would have instead. */
bool deploy_diff(Printer *printer, const HubLink *link, const char *from, const char *to,
                 const Arguments *arguments, GError **error);
