#pragma once
/* stead hub channel: branches that a hub follows. */
#include "cli/command.h"

/* words: the verb and what follows it. Returns an ExitCode. */
int hub_channel(const Arguments *arguments, char **words);
