#pragma once
/* How a rollout goes. */
#include "cli/hub-call.h"
#include "cli/printer.h"

/* watch: until it is over, halted or paused. An ExitCode (EXIT_FAILURES: it has halted or was taken
 * back), or -1 with error. */
int deploy_show_status(Printer *printer, const HubLink *link, bool watch, GError **error);
