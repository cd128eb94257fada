#include "loop/cancel.h"

#include <errno.h>
#include <limits.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"

enum { RUNNING, REQUESTED, KILLED };

struct Cancel {
    gatomicrefcount refs;
    gint state;        /* atomic; only goes up */
    uint64_t timeout;  /* us; 0: none */
    uint64_t deadline; /* CLOCK_BOOTTIME, us; UINT64_MAX: none */
    GMutex lock;
    int fd; /* under lock; -1: nobody asked */
};

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_BOOTTIME, &time);
    return (uint64_t)time.tv_sec * G_USEC_PER_SEC + (uint64_t)time.tv_nsec / 1000;
}

/* g_atomic_int_get() does not take a const pointer. */
static int state_of(const Cancel *cancel) {
    return __atomic_load_n(&cancel->state, __ATOMIC_SEQ_CST);
}

Cancel *cancel_new(uint64_t timeout_us) {
    Cancel *cancel = g_new0(Cancel, 1);
    g_atomic_ref_count_init(&cancel->refs);
    g_mutex_init(&cancel->lock);
    cancel->fd = -1;
    cancel->timeout = timeout_us;
    cancel->deadline = UINT64_MAX;
    if (timeout_us > 0) {
        uint64_t start = now();
        cancel->deadline = timeout_us < UINT64_MAX - start ? start + timeout_us : UINT64_MAX;
    }
    return cancel;
}

Cancel *cancel_ref(Cancel *cancel) {
    g_atomic_ref_count_inc(&cancel->refs);
    return cancel;
}

void cancel_unref(Cancel *cancel) {
    if (!cancel || !g_atomic_ref_count_dec(&cancel->refs))
        return;
    if (cancel->fd >= 0)
        close(cancel->fd);
    g_mutex_clear(&cancel->lock);
    g_free(cancel);
}

/* Makes the descriptor readable, for ever. */
static void raise_fd(int fd) {
    static const uint64_t one = 1;
    while (write(fd, &one, sizeof one) < 0 && errno == EINTR)
        continue;
}

static void cancel_advance(Cancel *cancel, int state) {
    g_mutex_lock(&cancel->lock);
    if (cancel->state < state) {
        if (cancel->state == RUNNING && cancel->fd >= 0)
            raise_fd(cancel->fd);
        g_atomic_int_set(&cancel->state, state);
    }
    g_mutex_unlock(&cancel->lock);
}

void cancel_request(Cancel *cancel) {
    cancel_advance(cancel, REQUESTED);
}

void cancel_kill(Cancel *cancel) {
    cancel_advance(cancel, KILLED);
}

bool cancel_wants_kill(const Cancel *cancel) {
    return cancel && state_of(cancel) == KILLED;
}

bool cancel_check(const Cancel *cancel, GError **error) {
    if (!cancel)
        return true;
    if (state_of(cancel) != RUNNING) {
        g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_CANCELLED, "stopped on request");
        return false;
    }
    if (cancel->deadline == UINT64_MAX || now() < cancel->deadline)
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_TIMEOUT, "timed out after %g s",
                (double)cancel->timeout / G_USEC_PER_SEC);
    return false;
}

int cancel_fd(Cancel *cancel) {
    g_mutex_lock(&cancel->lock);
    if (cancel->fd < 0) {
        cancel->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (cancel->fd >= 0 && cancel->state != RUNNING)
            raise_fd(cancel->fd);
    }
    int fd = cancel->fd;
    g_mutex_unlock(&cancel->lock);
    return fd;
}

int cancel_poll_timeout_ms(const Cancel *cancel) {
    if (!cancel)
        return -1;
    if (state_of(cancel) != RUNNING)
        return 0;
    if (cancel->deadline == UINT64_MAX)
        return -1;
    uint64_t time = now();
    if (time >= cancel->deadline)
        return 0;
    uint64_t left_ms = (cancel->deadline - time + 999) / 1000; /* up, or the last ms would spin */
    return left_ms < INT_MAX ? (int)left_ms : INT_MAX;
}
