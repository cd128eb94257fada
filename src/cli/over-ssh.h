#pragma once
/* apply and plan on other machines. */
#include "cli/command.h"

/* verb: what to do there with file. Returns the exit code of all hosts together. */
int over_ssh(const Arguments *arguments, const char *verb, const char *file);
