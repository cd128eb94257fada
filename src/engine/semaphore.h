#pragma once
/*
 * Named semaphores: `id` or `id:N`; the whole text is the identity, so that "a" and "a:1" differ. A
 * vertex takes its permits one after the other in sorted order, which makes deadlock impossible.
 * Loop thread only.
 */
#include <glib.h>
#include <stdbool.h>

typedef struct SemaphoreSet SemaphoreSet;
typedef struct Semaphore Semaphore;

/* Somebody waiting for a permit; embedded in the waiter. */
typedef struct {
    GList link;       /* in the semaphore's queue while waiting */
    Semaphore *queue; /* NULL: not waiting */
} SemaphoreWait;

SemaphoreSet *semaphore_set_new(void);
void semaphore_set_free(SemaphoreSet *set);

/* Takes a permit of id and returns true, or puts wait (whose link.data is the waiter) into its
 * queue. */
bool semaphore_take(SemaphoreSet *set, const char *id, SemaphoreWait *wait);
/* Gives a permit back. Returns the waiter that got it, or NULL. */
void *semaphore_give(SemaphoreSet *set, const char *id);
void semaphore_wait_cancel(SemaphoreWait *wait);
