#include "engine/semaphore.h"

#include <stdlib.h>
#include <string.h>

struct Semaphore {
    int size;
    int taken;
    GQueue waiting;
};

struct SemaphoreSet {
    GHashTable *by_id;
};

SemaphoreSet *semaphore_set_new(void) {
    SemaphoreSet *set = g_new0(SemaphoreSet, 1);
    set->by_id = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    return set;
}

void semaphore_set_free(SemaphoreSet *set) {
    if (!set)
        return;
    g_hash_table_unref(set->by_id);
    g_free(set);
}

/* The number after the last colon, 1 without one. Meta parameters were validated: it is a number.
 */
static int size_of(const char *id) {
    const char *colon = strrchr(id, ':');
    return colon ? MAX(1, atoi(colon + 1)) : 1;
}

static Semaphore *find(SemaphoreSet *set, const char *id) {
    Semaphore *semaphore = g_hash_table_lookup(set->by_id, id);
    if (!semaphore) {
        semaphore = g_new0(Semaphore, 1);
        semaphore->size = size_of(id);
        g_queue_init(&semaphore->waiting);
        g_hash_table_insert(set->by_id, g_strdup(id), semaphore);
    }
    return semaphore;
}

bool semaphore_take(SemaphoreSet *set, const char *id, SemaphoreWait *wait) {
    Semaphore *semaphore = find(set, id);
    if (semaphore->taken < semaphore->size) {
        semaphore->taken++;
        return true;
    }
    g_assert(!wait->queue);
    wait->queue = semaphore;
    g_queue_push_tail_link(&semaphore->waiting, &wait->link);
    return false;
}

void *semaphore_give(SemaphoreSet *set, const char *id) {
    Semaphore *semaphore = find(set, id);
    g_assert(semaphore->taken > 0);
    GList *next = g_queue_pop_head_link(&semaphore->waiting);
    if (!next) {
        semaphore->taken--;
        return NULL;
    }
    SemaphoreWait *wait = (SemaphoreWait *)next; /* link is its first member */
    wait->queue = NULL;
    return next->data;
}

void semaphore_wait_cancel(SemaphoreWait *wait) {
    if (!wait->queue)
        return;
    g_queue_unlink(&wait->queue->waiting, &wait->link);
    wait->queue = NULL;
}
