#include "loop/loop-private.h"

/*
 * The timers of a loop are a binary heap by (deadline, order of setting), each knowing its place,
 * so that setting, moving and clearing cost O(log n) and the earliest is at hand.
 */
struct LoopTimer {
    Loop *loop;
    uint64_t deadline;
    uint64_t order;
    LoopCallback callback;
    void *data;
    LoopTimer **slot; /* who owns this */
    guint index;      /* in loop->timers */
};

static LoopTimer *heap_at(const Loop *loop, guint index) {
    return g_ptr_array_index(loop->timers, index);
}

static void heap_put(Loop *loop, guint index, LoopTimer *timer) {
    g_ptr_array_index(loop->timers, index) = timer;
    timer->index = index;
}

static bool earlier(const LoopTimer *a, const LoopTimer *b) {
    return a->deadline != b->deadline ? a->deadline < b->deadline : a->order < b->order;
}

static void heap_up(Loop *loop, LoopTimer *timer) {
    guint index = timer->index;
    while (index > 0 && earlier(timer, heap_at(loop, (index - 1) / 2))) {
        heap_put(loop, index, heap_at(loop, (index - 1) / 2));
        index = (index - 1) / 2;
    }
    heap_put(loop, index, timer);
}

static void heap_down(Loop *loop, LoopTimer *timer) {
    guint index = timer->index, size = loop->timers->len;
    for (guint child; (child = 2 * index + 1) < size; index = child) {
        if (child + 1 < size && earlier(heap_at(loop, child + 1), heap_at(loop, child)))
            child++;
        if (earlier(timer, heap_at(loop, child)))
            break;
        heap_put(loop, index, heap_at(loop, child));
    }
    heap_put(loop, index, timer);
}

static void heap_remove(Loop *loop, LoopTimer *timer) {
    guint index = timer->index;
    LoopTimer *last = g_ptr_array_steal_index_fast(loop->timers, loop->timers->len - 1);
    if (last == timer)
        return;
    heap_put(loop, index, last);
    heap_up(loop, last);
    heap_down(loop, last);
}

void loop_timer_set(Loop *loop, LoopTimer **slot, uint64_t deadline, LoopCallback callback,
                    void *data) {
    g_assert(loop_is_mine(loop));
    LoopTimer *timer = *slot;
    if (!timer) {
        timer = *slot = g_new(LoopTimer, 1);
        timer->loop = loop;
        timer->slot = slot;
        timer->index = loop->timers->len;
        g_ptr_array_add(loop->timers, timer);
    }
    g_assert(timer->loop == loop && timer->slot == slot);
    /* What is late already comes after what has been late for longer; otherwise a timer that sets
     * itself to the past would keep all others waiting. */
    timer->deadline = MAX(deadline, loop_now(loop));
    timer->order = loop->next_order++;
    timer->callback = callback;
    timer->data = data;
    heap_up(loop, timer);
    heap_down(loop, timer);
}

/* Takes the timer out and frees it. */
static void timer_free(LoopTimer *timer) {
    *timer->slot = NULL;
    heap_remove(timer->loop, timer);
    g_free(timer);
}

void loop_timer_clear(LoopTimer **slot) {
    if (!*slot)
        return;
    g_assert(loop_is_mine((*slot)->loop));
    timer_free(*slot);
}

uint64_t loop_timer_deadline(const LoopTimer *timer) {
    return timer->deadline;
}

uint64_t timers_next(const Loop *loop) {
    return loop->timers->len > 0 ? heap_at(loop, 0)->deadline : UINT64_MAX;
}

bool timers_fire(Loop *loop) {
    uint64_t now = loop_now(loop), start = clock_now(), time = start;
    uint64_t end_order = loop->next_order; /* those set from now on wait for the next round */
    bool fired = false;
    while (loop->timers->len > 0 && !loop->quit && !loop_slice_over(loop, start, time)) {
        LoopTimer *timer = heap_at(loop, 0);
        if (timer->deadline > now || timer->order >= end_order)
            break;
        LoopCallback callback = timer->callback;
        void *data = timer->data;
        timer_free(timer);
        time = loop_call(loop, callback, data, time);
        fired = true;
    }
    return fired;
}

void timers_drop_all(Loop *loop) {
    while (loop->timers->len > 0)
        timer_free(heap_at(loop, loop->timers->len - 1));
}
