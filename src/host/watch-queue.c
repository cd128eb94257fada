#include "host/watch-queue.h"

void watch_queue_init(WatchQueue *queue, void (*post)(void *data), void *data) {
    *queue = (WatchQueue){
        .waiting = g_ptr_array_new(), .delivering = g_ptr_array_new(), .post = post, .data = data
    };
}

void watch_queue_clear(WatchQueue *queue) {
    g_ptr_array_unref(queue->waiting);
    g_ptr_array_unref(queue->delivering);
}

static void leave_queue(QueuedWatch *watch) {
    if (watch->place != NULL)
        watch->place->pdata[watch->index] = NULL;
    watch->place = NULL;
}

static bool goes_without_saying(const QueuedWatch *watch, Tell tell) {
    if (watch->dead)
        return tell != TELL_FAILED;
    return watch->is_ready ? tell == TELL_READY : tell == TELL_CHANGED;
}

void queued_watch_tell(QueuedWatch *watch, Tell tell) {
    if (goes_without_saying(watch, tell))
        return;
    watch->tell |= (uint8_t)tell;
    if (watch->place != NULL)
        return;
    WatchQueue *queue = watch->queue;
    watch->place = queue->waiting;
    watch->index = queue->waiting->len;
    g_ptr_array_add(queue->waiting, watch);
    if (!queue->is_busy)
        queue->post(queue->data);
}

bool queued_watch_will_tell(const QueuedWatch *watch, Tell tell) {
    return (watch->tell & tell) != 0;
}

void queued_watch_fail(QueuedWatch *watch, const char *detail) {
    if (watch->dead)
        return;
    watch->dead = true;
    watch->failure = g_strdup(detail);
    queued_watch_tell(watch, TELL_FAILED);
}

void queued_watch_clear(QueuedWatch *watch) {
    leave_queue(watch);
    g_clear_pointer(&watch->failure, g_free);
}

/* The callback may free the watch. */
static void tell_one(QueuedWatch *watch) {
    uint8_t tell = watch->tell;
    leave_queue(watch);
    watch->tell = 0;
    if (tell & TELL_FAILED) {
        g_autofree char *failure = g_strdup(watch->failure);
        host_watch_tell(&watch->watch, HOST_EVENT_FAILED, failure);
        return;
    }
    if (tell & TELL_READY)
        watch->is_ready = true;
    host_watch_tell(&watch->watch, tell & TELL_READY ? HOST_EVENT_READY : HOST_EVENT_CHANGED, NULL);
}

/* Callbacks make and free watches. What those they make have to tell comes in the next turn. */
void watch_queue_deliver(WatchQueue *queue) {
    GPtrArray *delivering = queue->waiting;
    queue->waiting = queue->delivering;
    queue->delivering = delivering;
    queue->is_busy = true;
    for (guint i = 0; i < delivering->len; i++)
        if (delivering->pdata[i] != NULL)
            tell_one(delivering->pdata[i]);
    g_ptr_array_set_size(delivering, 0);
    queue->is_busy = false;
    if (queue->waiting->len > 0)
        queue->post(queue->data);
}
