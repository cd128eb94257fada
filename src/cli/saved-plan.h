#pragma once
/* Plans in files: written by `stead plan --out`, applied by `stead apply FILE.json`. A plan holds
 * no secret, only names; what they stand for is read again from --secrets. */
#include "cli/session.h"
#include "engine/plan.h"

/* Writes plan, made of configuration, to file. Refused when a secret in it has no name. */
bool saved_plan_write(const Session *session, const Plan *plan, const char *configuration,
                      const char *file, GError **error);

/* Reads it back as a whole; NULL when the file is anything else than a plan. */
Value *saved_plan_load(const char *file);
/* The graph of such a plan, sealed, with secrets filled in. */
Graph *saved_plan_graph(const Session *session, const char *file, const Value *saved,
                        GError **error);
/* What it may lose by undoing it: as --force said then, and says now. g_strfreev(). */
char **saved_plan_force(const Session *session, const Value *saved);
