#pragma once
/* Whose deploys a machine accepts: keys that somebody pins on it, as lines, or a list of keys. */
#include "cli/command.h"

#define PIN_FILE "deploy-keys" /* below JOIN_DIRECTORY */

extern const Option option_deploy_key;

/* Adds keys, each a public key or a file of them; NULL: none. False without changing anything. */
bool pin_keys(const char *directory, const char *const *keys, GError **error);
int agent_pin(const Arguments *arguments, const char *key);
