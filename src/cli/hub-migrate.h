#pragma once
/* stead hub migrate: the state of a hub, from its file of SQLite to etcd. */
#include "cli/command.h"
#include "state/store.h"

int hub_migrate(const Arguments *arguments, const char *data);

/* STEAD_ERROR_REFUSED when the state of this hub is somewhere else by now. */
bool hub_check_not_migrated(const char *data, GError **error);
