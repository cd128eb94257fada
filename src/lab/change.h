#pragma once
/*
 * A lab that is up becomes what its file says now: hosts that are new there are started, hosts that
 * are gone are ended. What a host that stays is, and the networks, cannot change.
 *
 * The keeper alone writes the record of a lab that is up, and takes up each change at once: whoever
 * is interrupted leaves a lab that its record describes.
 */
#include "lab/record.h"
#include "lab/up.h"

/* What the lab is then: addresses and slots of hosts that stay are as they were. NULL: what differs
 * cannot change while it is up; the error says what. Pure. */
Lab *change_plan(const Lab *now, const Lab *wanted, GError **error);

typedef struct {
    unsigned added, removed;
    unsigned off;                   /* that were there already, and do not run */
    char one_off[LAB_NAME_MAX + 1]; /* the first of them */
} ChangeCounts;

/* All that is new is up in the end, or none of it is there; CANCELLED after SIGINT or SIGTERM. */
bool change_run(const char *data, const Lab *wanted, UpProgress progress, void *progress_data,
                ChangeCounts *ret_counts, GError **error);
