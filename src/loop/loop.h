#pragma once
/*
 * loop: the one event loop (sd-event), timers, signals, messages from other threads, and workers
 * for what blocks. Uses base. A Loop belongs to the thread that made it; only loop_post(),
 * loop_hold() and loop_release() may be called from others, and those must end before loop_free().
 *
 * Time is in microseconds. A virtual loop starts at zero and jumps to the next timer as soon as
 * nothing else can happen (no message, no worker busy), so that tests with hours of delays take no
 * time and are deterministic.
 */
#include <glib.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#define LOOP_VIRTUAL_EPOCH                                                                         \
    1704067200000000ull /* wall clock of a virtual loop at its start: 2024-01-01 */

typedef struct Loop Loop;
typedef struct LoopTimer LoopTimer;
typedef struct LoopSource LoopSource;
typedef struct sd_event sd_event;

typedef void (*LoopCallback)(void *data);
typedef void (*LoopIoCallback)(void *data, int fd, uint32_t epoll_events);
typedef void (*LoopSignalCallback)(void *data, int signal_number);

Loop *loop_new(GError **error);
Loop *loop_new_virtual(GError **error);
/* Accepts NULL. Pending messages and timers are dropped; sources must have been freed. */
void loop_free(Loop *loop);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Loop, loop_free)

bool loop_is_virtual(const Loop *loop);
uint64_t loop_now(const Loop *loop); /* CLOCK_BOOTTIME, or virtual time */
uint64_t loop_wall_now(
    const Loop *loop); /* CLOCK_REALTIME since the epoch; virtual: a fixed date + loop_now() */
sd_event *loop_sd_event(Loop *loop); /* to attach sd-bus, or a host program's own loop */
/* The longest time in microseconds, of the real clock, that a callback kept the loop busy; those
 * attached to loop_sd_event() directly are not seen. The budget is 10 ms. */
uint64_t loop_longest_callback(const Loop *loop);

/* Runs until loop_quit() (which ends the next loop_run() when none is running); returns false with
 * error when the loop itself fails. A virtual loop fails with "deadlock" when it has no timer,
 * message, source or hold and could only wait for ever. */
bool loop_run(Loop *loop, GError **error);
void loop_quit(Loop *loop);
/* Tells the service manager, where there is one, that this process does its work now. */
void loop_tell_ready(void);
/* Handles what is ready now without waiting (virtual time does not pass). Returns whether anything
 * was handled. */
bool loop_turn(Loop *loop);

/* For a host program's own loop instead of loop_run(): a descriptor that is readable when there is
 * something to handle, once loop_dispatch() has returned 0. loop_dispatch() is loop_turn() that
 * tells: 1: handled something, call it again before waiting; 0: nothing was ready; -1: the loop
 * failed. It must also be called after anything else was done with the loop. */
int loop_fd(Loop *loop);
int loop_dispatch(Loop *loop, GError **error);
bool loop_is_quitting(
    const Loop *loop); /* loop_quit() was called and no loop_run() has ended yet */

/* Calls callback in the loop's thread as soon as possible, in posting order. Thread-safe. */
void loop_post(Loop *loop, LoopCallback callback, void *data);
/* Takes back what was posted with this callback and data and has not been delivered: before data
 * goes away. Costs a walk through all pending messages. */
void loop_unpost(Loop *loop, LoopCallback callback, const void *data);

/* Calls callback once at loop_now() >= deadline; timers of one deadline in the order they were set.
 * *slot (NULL at first, and not to be moved while set) owns the timer: it is NULL again when the
 * callback starts, and scheduling again through the same slot moves the timer. loop_timer_clear()
 * is idempotent. A deadline in the past counts as now. */
void loop_timer_set(Loop *loop, LoopTimer **slot, uint64_t deadline, LoopCallback callback,
                    void *data);
void loop_timer_clear(LoopTimer **slot);
uint64_t loop_timer_deadline(const LoopTimer *timer);

/* Short work that may block after all, without the cost of waking a worker: runs work in this
 * thread as soon as the loop is back from its callbacks, then done as a callback. Should it take
 * longer than a callback may, another thread runs the loop until it is over: "the loop's thread" is
 * the one that runs it now, so callbacks keep nothing in thread-local variables. Like a worker's,
 * work touches nothing that belongs to the loop. Returns false, and does nothing, when it is not
 * possible now: one at a time, only inside loop_run(), never in a virtual loop. */
bool loop_run_aside(Loop *loop, LoopCallback work, LoopCallback done, void *data);

/* A file descriptor (borrowed; epoll events as in epoll_ctl), or a signal, which is blocked in this
 * thread while it is watched: watch before other threads start, or they may get it. A source may be
 * freed by any callback, also its own. */
LoopSource *loop_watch_fd(Loop *loop, int fd, uint32_t epoll_events, LoopIoCallback callback,
                          void *data, GError **error);
LoopSource *loop_watch_signal(Loop *loop, int signal_number, LoopSignalCallback callback,
                              void *data, GError **error);
void loop_source_free(LoopSource *source); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LoopSource, loop_source_free)

/* Virtual loops do not jump while this is above zero: workers count themselves here. Thread-safe.
 */
void loop_hold(Loop *loop);
void loop_release(Loop *loop);
