#pragma once
/* For which hosts a deploy is, and how it goes: --to and --strategy, then deploy.yaml of the
 * directory, then what is usual. */
#include "cli/command.h"

/* Texts are the caller's; a problem begins with the place of what is wrong. */
bool deploy_settings_read(const Arguments *arguments, const char *directory, char **ret_to,
                          char **ret_strategy, GError **error);
