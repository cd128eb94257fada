#include "loop/loop.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>

#include "base/error.h"
#include "loop/loop-private.h"

/* What loop_turn() does at most, so that it ends when callbacks keep making work. */
#define TURN_ROUNDS 100

struct LoopSource {
    Loop *loop;
    sd_event_source *source;
    LoopIoCallback io;
    LoopSignalCallback signal;
    void *data;
};

bool loop_is_mine(const Loop *loop) {
    return g_thread_self() == __atomic_load_n(&loop->owner, __ATOMIC_SEQ_CST);
}

/* Time */

static uint64_t read_clock(clockid_t id) {
    struct timespec now;
    clock_gettime(id, &now);
    return (uint64_t)now.tv_sec * G_USEC_PER_SEC + (uint64_t)now.tv_nsec / 1000;
}

uint64_t clock_now(void) {
    return read_clock(CLOCK_BOOTTIME);
}

bool loop_is_virtual(const Loop *loop) {
    return loop->is_virtual;
}

uint64_t loop_now(const Loop *loop) {
    return loop->is_virtual ? loop->virtual_now : clock_now();
}

uint64_t loop_wall_now(const Loop *loop) {
    return loop->is_virtual ? LOOP_VIRTUAL_EPOCH + loop->virtual_now : read_clock(CLOCK_REALTIME);
}

void loop_note_time(Loop *loop, uint64_t start, uint64_t end) {
    if (end - start > loop->longest)
        loop->longest = end - start;
}

uint64_t loop_call(Loop *loop, LoopCallback callback, void *data, uint64_t start) {
    callback(data);
    uint64_t end = clock_now();
    loop_note_time(loop, start, end);
    return end;
}

bool loop_slice_over(const Loop *loop, uint64_t start, uint64_t time) {
    return !loop->is_virtual && time - start >= SLICE_US;
}

uint64_t loop_longest_callback(const Loop *loop) {
    return loop->longest;
}

/* Messages */

void loop_wake(Loop *loop) {
    static const uint64_t one = 1;
    ssize_t written;
    do
        written = write(loop->wake_fd, &one, sizeof one);
    while (written < 0 && errno == EINTR);
    g_assert(written == sizeof one); /* 2^64 wake-ups would fill it */
}

void loop_post(Loop *loop, LoopCallback callback, void *data) {
    Message message = { callback, data };
    g_mutex_lock(&loop->lock);
    bool was_empty = loop->posted->len == 0;
    g_array_append_val(loop->posted, message);
    g_mutex_unlock(&loop->lock);
    if (was_empty)
        loop_wake(loop);
}

static void take_back(GArray *messages, guint from, LoopCallback callback, const void *data) {
    for (guint i = from; i < messages->len; i++) {
        Message *message = &g_array_index(messages, Message, i);
        if (message->callback == callback && message->data == data)
            message->callback = NULL;
    }
}

void loop_unpost(Loop *loop, LoopCallback callback, const void *data) {
    g_assert(loop_is_mine(loop));
    take_back(loop->delivering, loop->delivered, callback, data);
    g_mutex_lock(&loop->lock);
    take_back(loop->posted, 0, callback, data);
    g_mutex_unlock(&loop->lock);
}

/* All that was posted becomes one batch to deliver; the array of the last one is used again. */
static void take_posted(Loop *loop) {
    GArray *empty = loop->delivering;
    g_array_set_size(empty, 0);
    g_mutex_lock(&loop->lock);
    loop->delivering = loop->posted;
    loop->posted = empty;
    g_mutex_unlock(&loop->lock);
    loop->delivered = 0;
}

static int on_wake(sd_event_source *source, int fd, uint32_t events, void *data) {
    Loop *loop = data;
    if (loop->delivered == loop->delivering->len)
        take_posted(loop);
    uint64_t start = clock_now(), time = start;
    while (loop->delivered < loop->delivering->len && !loop->quit &&
           !loop_slice_over(loop, start, time)) {
        Message message = g_array_index(loop->delivering, Message, loop->delivered++);
        if (message.callback)
            time = loop_call(loop, message.callback, message.data, time);
    }
    /* Unfinished, or finished but more was posted while an older batch was in the way. */
    g_mutex_lock(&loop->lock);
    bool more = loop->posted->len > 0;
    g_mutex_unlock(&loop->lock);
    if (more || loop->delivered < loop->delivering->len)
        loop_wake(loop);
    return 0;
}

/* Timers */

static int on_clock(sd_event_source *source, uint64_t deadline, void *data) {
    Loop *loop = data;
    loop->clock_deadline = UINT64_MAX; /* it fires once */
    timers_fire(loop);
    return 0;
}

/* Before each wait: many timers come and go in a round, and only the earliest matters. A timer that
 * is due already needs no clock. */
static int on_prepare(sd_event_source *source, void *data) {
    Loop *loop = data;
    uint64_t next = timers_next(loop);
    if (next == loop->clock_deadline || loop->timer_due)
        return 0;
    loop->clock_deadline = next;
    if (next == UINT64_MAX)
        return sd_event_source_set_enabled(loop->clock, SD_EVENT_OFF);
    int r = sd_event_source_set_time(loop->clock, next);
    return r < 0 ? r : sd_event_source_set_enabled(loop->clock, SD_EVENT_ONESHOT);
}

/* Life */

static bool open_sources(Loop *loop, GError **error) {
    int r = sd_event_new(&loop->event);
    if (r < 0)
        return set_io_error(error, -r, "open event loop");
    loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop->wake_fd < 0)
        return set_io_error(error, errno, "open event loop");
    r = sd_event_add_io(loop->event, &loop->wake, loop->wake_fd, EPOLLIN | EPOLLET, on_wake, loop);
    if (r >= 0 && !loop->is_virtual) {
        r = sd_event_add_time(loop->event, &loop->clock, CLOCK_BOOTTIME, 0, 1, on_clock, loop);
        if (r >= 0)
            r = sd_event_source_set_enabled(loop->clock, SD_EVENT_OFF);
        if (r >= 0)
            r = sd_event_source_set_prepare(loop->wake, on_prepare);
    }
    return r >= 0 || set_io_error(error, -r, "open event loop");
}

static Loop *loop_open(bool is_virtual, GError **error) {
    g_autoptr(Loop) loop = g_new0(Loop, 1);
    loop->owner = g_thread_self();
    loop->is_virtual = is_virtual;
    loop->timers = g_ptr_array_new();
    loop->clock_deadline = UINT64_MAX;
    loop->wake_fd = -1;
    loop->posted = g_array_new(FALSE, FALSE, sizeof(Message));
    loop->delivering = g_array_new(FALSE, FALSE, sizeof(Message));
    g_mutex_init(&loop->lock);
    return open_sources(loop, error) ? g_steal_pointer(&loop) : NULL;
}

Loop *loop_new(GError **error) {
    return loop_open(false, error);
}

Loop *loop_new_virtual(GError **error) {
    return loop_open(true, error);
}

void loop_free(Loop *loop) {
    if (!loop)
        return;
    g_assert(loop_is_mine(loop));
    g_assert(loop->n_sources == 0);
    aside_free(loop);
    timers_drop_all(loop);
    sd_event_source_disable_unref(loop->clock);
    sd_event_source_disable_unref(loop->wake);
    sd_event_unref(loop->event);
    if (loop->wake_fd >= 0)
        close(loop->wake_fd);
    g_ptr_array_unref(loop->timers);
    g_array_unref(loop->posted);
    g_array_unref(loop->delivering);
    g_mutex_clear(&loop->lock);
    g_free(loop);
}

sd_event *loop_sd_event(Loop *loop) {
    loop->event_lent = true;
    return loop->event;
}

/* Running */

void loop_hold(Loop *loop) {
    g_atomic_int_inc(&loop->holds);
}

void loop_release(Loop *loop) {
    bool last = g_atomic_int_dec_and_test(&loop->holds);
    if (last && loop->is_virtual)
        loop_wake(loop);
}

/* Whether nothing can happen before the next timer. A thread posts before it releases, so the holds
 * are read first. */
static bool is_quiet(Loop *loop) {
    if (g_atomic_int_get(&loop->holds) > 0)
        return false;
    g_mutex_lock(&loop->lock);
    bool quiet = loop->posted->len == 0;
    g_mutex_unlock(&loop->lock);
    return quiet && loop->delivered == loop->delivering->len;
}

/* One round of a virtual loop when no source was ready: time passes, or we really have to wait. */
static bool pass_virtual_time(Loop *loop, GError **error) {
    if (is_quiet(loop)) {
        uint64_t next = timers_next(loop);
        if (next != UINT64_MAX) {
            loop->virtual_now = next;
            timers_fire(loop);
            return true;
        }
        if (loop->n_sources == 0 && !loop->event_lent) {
            g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_FAILED,
                                "deadlock: nothing left to wait for");
            return false;
        }
    }
    int r = sd_event_run(loop->event, UINT64_MAX);
    return r >= 0 || set_io_error(error, -r, "run event loop");
}

/* The timers that are due, and once more for what their callbacks asked for "now". */
static bool fire_due(Loop *loop) {
    bool fired = false;
    for (int i = 0; i < 2 && !loop->quit && timers_next(loop) <= loop_now(loop); i++)
        fired = timers_fire(loop) || fired;
    return fired;
}

/* One source, then the timers that are due: what sources and timers ask for "now" happens without
 * setting the clock, which costs more than most callbacks. Neither keeps the other waiting. */
static int run_real_round(Loop *loop, uint64_t timeout) {
    loop->timer_due = timers_next(loop) <= loop_now(loop);
    int r = sd_event_run(loop->event, loop->timer_due ? 0 : timeout);
    loop->timer_due = false;
    return r < 0 ? r : r + fire_due(loop);
}

bool loop_round(Loop *loop, GError **error) {
    int r = loop->is_virtual ? sd_event_run(loop->event, 0) : run_real_round(loop, UINT64_MAX);
    if (r < 0)
        return set_io_error(error, -r, "run event loop");
    return r > 0 || !loop->is_virtual || pass_virtual_time(loop, error);
}

bool loop_run(Loop *loop, GError **error) {
    g_assert(loop_is_mine(loop));
    bool good = true;
    loop->running = true;
    while (good && !loop->quit) {
        good = loop_round(loop, error);
        good = aside_run(loop, good ? error : NULL) && good;
    }
    loop->running = false;
    loop->quit = false;
    return good;
}

void loop_tell_ready(void) {
    (void)sd_notify(0, "READY=1"); /* a manager that cannot be told gives up on us by itself */
}

void loop_quit(Loop *loop) {
    g_assert(loop_is_mine(loop));
    loop->quit = true;
}

int loop_dispatch(Loop *loop, GError **error) {
    g_assert(loop_is_mine(loop));
    int handled = 0;
    for (int round = 0; round < TURN_ROUNDS && !loop->quit; round++) {
        int r = run_real_round(loop, 0);
        if (r < 0) {
            set_io_error(error, -r, "run event loop");
            return -1;
        }
        if (r == 0)
            break;
        handled = 1;
    }
    return handled;
}

bool loop_turn(Loop *loop) {
    return loop_dispatch(loop, NULL) > 0;
}

int loop_fd(Loop *loop) {
    loop->event_lent = true;
    return sd_event_get_fd(loop->event);
}

bool loop_is_quitting(const Loop *loop) {
    return loop->quit;
}

/* Sources */

static int on_io(sd_event_source *event_source, int fd, uint32_t events, void *data) {
    LoopSource *source = data; /* may be freed by its callback */
    Loop *loop = source->loop;
    uint64_t start = clock_now();
    source->io(source->data, fd, events);
    loop_note_time(loop, start, clock_now());
    return 0;
}

static int on_signal(sd_event_source *event_source, const struct signalfd_siginfo *info,
                     void *data) {
    LoopSource *source = data;
    Loop *loop = source->loop;
    uint64_t start = clock_now();
    source->signal(source->data, (int)info->ssi_signo);
    loop_note_time(loop, start, clock_now());
    return 0;
}

static LoopSource *source_new(Loop *loop, void *data) {
    g_assert(loop_is_mine(loop));
    LoopSource *source = g_new0(LoopSource, 1);
    source->loop = loop;
    source->data = data;
    loop->n_sources++;
    return source;
}

LoopSource *loop_watch_fd(Loop *loop, int fd, uint32_t epoll_events, LoopIoCallback callback,
                          void *data, GError **error) {
    g_autoptr(LoopSource) source = source_new(loop, data);
    source->io = callback;
    int r = sd_event_add_io(loop->event, &source->source, fd, epoll_events, on_io, source);
    if (r < 0) {
        set_io_error(error, -r, "watch descriptor %d", fd);
        return NULL;
    }
    return g_steal_pointer(&source);
}

LoopSource *loop_watch_signal(Loop *loop, int signal_number, LoopSignalCallback callback,
                              void *data, GError **error) {
    g_autoptr(LoopSource) source = source_new(loop, data);
    source->signal = callback;
    int r = sd_event_add_signal(loop->event, &source->source,
                                signal_number | SD_EVENT_SIGNAL_PROCMASK, on_signal, source);
    if (r < 0) {
        set_io_error(error, -r, "watch signal %d", signal_number);
        return NULL;
    }
    return g_steal_pointer(&source);
}

void loop_source_free(LoopSource *source) {
    if (!source)
        return;
    g_assert(loop_is_mine(source->loop));
    sd_event_source_disable_unref(source->source);
    source->loop->n_sources--;
    g_free(source);
}
