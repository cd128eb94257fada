#pragma once
/*
 * Private to the rollout: what it does next, as a pure function of the roster and the time. Each
 * step is one transaction that holds only while nobody else has decided anything; a hub that dies
 * between two steps leaves nothing half done.
 */
#include "fleet/rollout.h"

#define ROLLOUT_LOG_KEPT 1000u /* decisions */

/* NULL: nothing to do until something changes, or now is *ret_wake (0: never). */
StoreTxn *rollout_step(const Roster *roster, uint64_t now, int64_t wall_s, uint64_t *ret_wake);
/* What somebody orders; refused with what is possible instead. */
StoreTxn *rollout_obey(const RosterRollout *rollout, RolloutCommand command, const char *by,
                       const char *why, int64_t wall_s, GError **error);
bool rollout_is_target(const RosterRecord *record, const RosterHost *host);
