#pragma once
/* What watches have to tell, until the loop tells it: each watch at most once a turn, and not while
 * the state that its callback may change is in use. Loop thread only. */
#include "host/host-ops.h"

typedef enum { TELL_READY = 1 << 0, TELL_CHANGED = 1 << 1, TELL_FAILED = 1 << 2 } Tell;

typedef struct {
    GPtrArray *waiting, *delivering; /* QueuedWatch; NULL where one was freed */
    bool is_busy;                    /* telling will follow without being asked for */
    void (*post)(void *data);        /* has watch_queue_deliver() called from the loop, soon */
    void *data;
} WatchQueue;

/* Embedded first in every watch that tells through a queue. */
typedef struct {
    HostWatch watch;
    WatchQueue *queue;
    GPtrArray *place; /* where in the queue it waits, at index; NULL: it does not */
    unsigned index;
    uint8_t tell;  /* Tell */
    bool is_ready; /* READY was told */
    bool dead;     /* it failed */
    char *failure;
} QueuedWatch;

void watch_queue_init(WatchQueue *queue, void (*post)(void *data), void *data);
void watch_queue_clear(WatchQueue *queue);
/* Calls back. Afterwards every watch, and whoever holds the queue, may have changed. */
void watch_queue_deliver(WatchQueue *queue);

/* Before READY, and after FAILED, changes go without saying. */
void queued_watch_tell(QueuedWatch *watch, Tell tell);
bool queued_watch_will_tell(const QueuedWatch *watch, Tell tell);
void queued_watch_fail(QueuedWatch *watch, const char *detail);
void queued_watch_clear(QueuedWatch *watch); /* no callback afterwards */
