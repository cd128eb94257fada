#pragma once
/*
 * Private to state: a thread with a connection of its own and a queue of jobs. It takes all jobs
 * that wait as one group: while a group is being written to the disk the next one gathers.
 */
#include "state/sqlite-file.h"

typedef struct Lane Lane;

typedef enum {
    JOB_CALL,    /* what call asked for */
    JOB_HISTORY, /* a piece of the past for a watch */
    JOB_NOTE,    /* what is left of a lease */
    JOB_EXPIRE,  /* a lease whose time is over */
} JobKind;

/* The thread reads what is asked and writes what came of it; the loop's thread has the job before
 * and after. */
typedef struct {
    JobKind kind;
    StoreCall *call;   /* loop's thread only; NULL: nobody waits for it any more */
    StoreWatch *watch; /* likewise */
    CallKind asked;
    StoreTxn *txn;
    int64_t number, lease; /* of the call; of the lease: what is left; of the history: from where */
    GBytes *key, *end;     /* of the history */
    StoreAnswer *answer;
    GPtrArray *events;
    int64_t revision; /* of events */
    GError *error;
} Job;

void job_free(void *job);

/* Loop's thread: jobs in the order they were pushed. events: what all of them changed, up to
 * revision. */
typedef void (*LaneDone)(void *data, GPtrArray *jobs, GPtrArray *events, int64_t revision);

/* Takes file over. */
Lane *lane_new(Loop *loop, const char *name, SqlFile *file, bool write, LaneDone done, void *data,
               GError **error);
void lane_push(Lane *lane, Job *job); /* takes job over */
/* Accepts NULL. Does what was pushed; done is not called any more. */
void lane_free(Lane *lane);
