/*
 * Work aside: short work that may block after all runs in the loop's own thread, which saves waking
 * a worker and being woken by it. The loop does not wait for it: a stand-by thread takes the loop
 * over when the work takes longer than a callback may, and gives it back when the work is over.
 * Whoever has the loop is its owner; it changes hands under the lock, between two rounds.
 *
 * The stand-by thread sleeps on a timer that is set only while work runs, so that in the usual case
 * nothing but the work itself wakes up.
 */
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/error.h"
#include "loop/loop-private.h"
#include "loop/thread.h"

typedef enum {
    LOOP_AT_HOME, /* no work runs, or it may have the thread a little longer */
    LOOP_LENT,    /* the stand-by thread has it */
} Place;

struct Aside {
    LoopCallback work, done; /* to run next; work NULL: nothing. The owner's only */
    void *data;
    int timer_fd;
    GThread *home; /* the thread that made the loop */
    GThread *standby;
    gint wanted_back; /* atomic: the work is over */
    GMutex lock;      /* guards all below */
    GCond given_back;
    Place place;
    bool working, stopping;
    GError *error; /* of the loop while it was lent */
};

/* The stand-by thread */

/* Called with the lock held, which is let go of while the loop runs here. */
static void run_loop_here(Loop *loop, Aside *aside) {
    aside->place = LOOP_LENT;
    g_atomic_pointer_set(&loop->owner, aside->standby);
    g_mutex_unlock(&aside->lock);
    GError *error = NULL;
    bool good = true;
    while (good && !loop->quit && !g_atomic_int_get(&aside->wanted_back))
        good = loop_round(loop, &error);
    g_mutex_lock(&aside->lock);
    aside->error = error;
    g_atomic_pointer_set(&loop->owner, aside->home);
    aside->place = LOOP_AT_HOME;
    aside->working = false; /* also when the loop is quit before the work ends: once is enough */
    g_cond_signal(&aside->given_back);
}

static void *stand_by(void *data) {
    Loop *loop = data;
    Aside *aside = loop->aside;
    g_mutex_lock(&aside->lock);
    while (!aside->stopping) {
        uint64_t expired;
        g_mutex_unlock(&aside->lock);
        bool due = read(aside->timer_fd, &expired, sizeof expired) == sizeof expired;
        g_mutex_lock(&aside->lock);
        if (due && aside->working)
            run_loop_here(loop, aside);
    }
    g_mutex_unlock(&aside->lock);
    return NULL;
}

/* 0: off. */
static void set_timer(const Aside *aside, uint64_t us) {
    struct itimerspec time = { .it_value = { .tv_nsec = (long)us * 1000 } };
    int r = timerfd_settime(aside->timer_fd, 0, &time, NULL);
    g_assert(r == 0);
}

static bool start(Loop *loop) {
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    if (fd < 0)
        return false;
    Aside *aside = loop->aside = g_new0(Aside, 1);
    aside->timer_fd = fd;
    aside->home = loop->owner;
    g_mutex_init(&aside->lock);
    g_cond_init(&aside->given_back);
    g_mutex_lock(&aside->lock); /* it reads standby */
    aside->standby = thread_start("stand-by", stand_by, loop, NULL);
    g_mutex_unlock(&aside->lock);
    if (aside->standby)
        return true;
    aside_free(loop);
    return false;
}

/* The owner */

bool loop_run_aside(Loop *loop, LoopCallback work, LoopCallback done, void *data) {
    g_assert(loop_is_mine(loop));
    bool possible = loop->running && !loop->is_virtual && (loop->aside || start(loop));
    if (!possible || loop->aside->work || loop->owner != loop->aside->home)
        return false;
    loop->aside->work = work;
    loop->aside->done = done;
    loop->aside->data = data;
    return true;
}

static void lend(Aside *aside) {
    g_mutex_lock(&aside->lock);
    aside->working = true;
    g_mutex_unlock(&aside->lock);
    set_timer(aside, SLICE_US);
}

/* False with error when the loop failed while it was lent. */
static bool take_back(Loop *loop, Aside *aside, GError **error) {
    g_mutex_lock(&aside->lock);
    aside->working = false;
    if (aside->place == LOOP_LENT) {
        g_atomic_int_set(&aside->wanted_back, true);
        loop_wake(loop);
        while (aside->place == LOOP_LENT)
            g_cond_wait(&aside->given_back, &aside->lock);
        g_atomic_int_set(&aside->wanted_back, false);
    }
    GError *problem = g_steal_pointer(&aside->error);
    g_mutex_unlock(&aside->lock);
    if (problem)
        g_propagate_error(error, problem);
    return problem == NULL;
}

bool aside_run(Loop *loop, GError **error) {
    Aside *aside = loop->aside;
    if (!aside || !aside->work)
        return true;
    LoopCallback work = aside->work, done = aside->done;
    void *data = aside->data;
    aside->work = NULL;
    lend(aside);
    work(data);
    bool good = take_back(loop, aside, error);
    (void)loop_call(loop, done, data, clock_now());
    if (!aside->work)
        set_timer(aside, 0);
    return good;
}

void aside_free(Loop *loop) {
    Aside *aside = loop->aside;
    if (!aside)
        return;
    if (aside->standby) {
        g_mutex_lock(&aside->lock);
        aside->stopping = true;
        g_mutex_unlock(&aside->lock);
        set_timer(aside, 1);
        g_thread_join(aside->standby);
    }
    (void)close(aside->timer_fd); /* nothing can be lost */
    g_mutex_clear(&aside->lock);
    g_cond_clear(&aside->given_back);
    g_clear_pointer(&loop->aside, g_free);
}
