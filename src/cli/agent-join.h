#pragma once
/* stead agent join: makes this machine a member of a fleet. */
#include "cli/command.h"

/* Below the state directory: key.pem (made here, never sent), certificate.pem, ca.pem, url. */
#define JOIN_DIRECTORY "hub"

extern const Option option_join_token, option_ca_fingerprint;

int agent_join(const Arguments *arguments, const char *url);
