#pragma once
/* What was last known, on disk (JSON, mode 0600, replaced as a whole). */
#include "base/value.h"

/* parts: map of prefixes to what subscription_save() gave. */
bool snapshot_write(const char *path, const char *host, const Value *parts, GError **error);
/* The parts; NULL without error: there is no such file. *ret_host: whose it is; caller frees. */
Value *snapshot_read(const char *path, char **ret_host, GError **error);
