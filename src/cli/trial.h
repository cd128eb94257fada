#pragma once
/* A trial: a configuration evaluated, planned and applied on a machine in memory, for `stead test`.
 */
#include "base/value.h"
#include "graph/kind.h"

/* inputs, a map:
 *   file      the configuration, relative to directory (required)
 *   facts, values, secrets, time ("2026-01-31T22:00:00Z")
 *   files     path -> content of files that are there before
 *   exchange  host, data, missing (key -> value), schedule (name -> list of hosts), may_publish
 *             (list of paths; without it everything may be published)
 *   packages  name -> installed version; commands: command line -> output
 * Result, a map: problems (list of texts; when there are any, the rest is empty), resources (kind
 * -> name -> parameters), published (key -> value), plan and applied (kind -> name -> action),
 * failed (kind -> name -> error), files (path -> content after), again (how much a second run would
 * change), second (list of texts: what that is). NULL with error when inputs are wrong. */
Value *trial_run(const char *directory, const KindSet *kinds, const Value *inputs, GError **error);
