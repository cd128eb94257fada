#pragma once
/* What the files of loop/ share. */
#include <systemd/sd-event.h>

#include "loop/loop.h"

/* How long posted messages, timers or completions may run on end before descriptors and signals get
 * their turn. Below the budget of 10 ms for one callback. */
#define SLICE_US 2000u

typedef struct {
    LoopCallback callback; /* NULL: taken back */
    void *data;
} Message;

typedef struct Aside Aside; /* loop-aside.c */

struct Loop {
    sd_event *event;
    GThread *owner; /* atomic */
    bool is_virtual;
    bool running; /* in loop_run() */
    bool quit;
    bool event_lent;    /* somebody else may have sources in event */
    unsigned n_sources; /* LoopSources */
    uint64_t virtual_now;
    uint64_t longest; /* of all callbacks, in real microseconds */

    GPtrArray *timers; /* of LoopTimer: a binary heap, the earliest first */
    uint64_t next_order;
    sd_event_source *clock;
    uint64_t clock_deadline; /* what clock is set to; UINT64_MAX: off */
    bool timer_due;          /* this round does not wait: the clock stays as it is */

    int wake_fd; /* eventfd, edge-triggered, never read */
    sd_event_source *wake;
    GArray *delivering; /* of Message: loop's thread only; those before delivered are done */
    guint delivered;
    GMutex lock;
    GArray *posted; /* of Message; under lock */

    gint holds;   /* atomic */
    Aside *aside; /* NULL until something runs aside */
};

uint64_t clock_now(void);            /* CLOCK_BOOTTIME, us */
bool loop_is_mine(const Loop *loop); /* whether this is the loop's thread */

void loop_wake(Loop *loop);                  /* makes it look for messages; thread-safe */
bool loop_round(Loop *loop, GError **error); /* waits for something and handles it */

/* Runs callback and keeps its time. start: clock_now(), or the end of the callback before. Returns
 * the time at its end. */
uint64_t loop_call(Loop *loop, LoopCallback callback, void *data, uint64_t start);
void loop_note_time(Loop *loop, uint64_t start, uint64_t end);
/* Whether a slice that began at start is over at time. Never in a virtual loop, where the order of
 * events must not depend on the real clock. */
bool loop_slice_over(const Loop *loop, uint64_t start, uint64_t time);

/* loop-aside.c */
bool aside_run(Loop *loop, GError **error); /* what was asked for; between two rounds */
void aside_free(Loop *loop);

/* loop-timer.c */
uint64_t timers_next(const Loop *loop); /* deadline of the earliest; UINT64_MAX: none */
bool timers_fire(Loop *loop);           /* those due now, for a slice; whether there were any */
void timers_drop_all(Loop *loop);
