#pragma once
/* apply and plan on other machines. */
#include "cli/command.h"

#define OVER_SSH_EXCHANGE "ssh" /* what --exchange says of the hosts' own */

/* verb: what to do there with file. Returns the exit code of all hosts together. */
int over_ssh(const Arguments *arguments, const char *verb, const char *file);
