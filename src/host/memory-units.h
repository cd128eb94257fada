#pragma once
/*
 * memory-units: the units of a service manager that only exists in memory: those of a fake host,
 * and what an overlay predicts. A unit is known because its record was set, because the base has
 * it, or because its file is in the tree. Not thread-safe: the owner locks.
 */
#include "host/host.h"
#include "host/memory-tree.h"

typedef struct MemoryUnits MemoryUnits;

MemoryUnits *memory_units_new(MemoryTree *tree); /* borrowed */
void memory_units_free(MemoryUnits *units);      /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MemoryUnits, memory_units_free)

void memory_units_set(MemoryUnits *units, const char *name, bool session, const UnitInfo *info);

/* base: what the host below says about the unit; all zero when there is none. */
void memory_units_query(MemoryUnits *units, const char *name, bool session, const UnitInfo *base,
                        UnitInfo *ret_info);
/* Whether a record answers, so that the base need not be asked. */
bool memory_units_has(MemoryUnits *units, const char *name, bool session);

/* What the service manager would do. */
bool memory_units_apply(MemoryUnits *units, const char *name, bool session, UnitVerb verb,
                        const UnitInfo *base, GError **error);
