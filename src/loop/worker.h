#pragma once
/*
 * Threads for blocking work. Each task runs once in some worker, then its done callback runs in the
 * loop's thread. Workers have all signals blocked; a program started by one must set its own mask.
 */
#include <glib.h>

#include "loop/loop.h"

typedef struct WorkerPool WorkerPool;
typedef void (*WorkFunction)(void *data);

/* max_threads: 0 means twice the number of processors. Threads start on demand. */
WorkerPool *worker_pool_new(Loop *loop, unsigned max_threads);
/* Accepts NULL. Waits for running tasks; queued ones do not start; done of all runs from here. Not
 * to be called by a done callback. */
void worker_pool_free(WorkerPool *pool);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(WorkerPool, worker_pool_free)

/* How long a thread without work stays while another one waits too, counted from the next time it
 * waits; 250 ms at first. One thread stays. */
void worker_pool_set_idle_time(WorkerPool *pool, uint64_t idle_time_us);

/* Loop's thread only. Tasks start in the order they were pushed. done may be NULL. */
void worker_pool_push(WorkerPool *pool, WorkFunction work, LoopCallback done, void *data);
unsigned worker_pool_busy(const WorkerPool *pool); /* tasks whose done has not begun */
