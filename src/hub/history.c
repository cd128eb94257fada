/* Now and then, at the hub that leads: the store forgets what was before. It would else grow for
 * ever, with everything that hosts report. Who watches gets what is kept; who was away for longer
 * reads the present. */
#include "hub/hub-private.h"

#define PARTS 4 /* so often within the time that is kept the store is asked where it is */

/* Where the store was. */
typedef struct {
    uint64_t time; /* loop time */
    int64_t revision;
} Mark;

struct History {
    Hub *hub;
    uint64_t keep; /* us */
    LoopTimer *timer;
    StoreCall *call;
    GQueue marks; /* of Mark, the oldest first */
};

static void on_tick(void *data);

static void wait(History *history) {
    Loop *loop = history->hub->loop;
    loop_timer_set(loop, &history->timer, loop_now(loop) + history->keep / PARTS, on_tick, history);
}

/* Another hub may have been faster, and what did not work is done the next time. */
static void on_compacted(void *data, StoreAnswer *answer, const GError *error) {
    History *history = data;
    history->call = NULL;
    wait(history);
}

/* The last revision that is old enough; 0: none is. Forgets it and those before it. */
static int64_t take_old(History *history, uint64_t now) {
    int64_t revision = 0;
    for (Mark *mark;
         (mark = g_queue_peek_head(&history->marks)) && mark->time + history->keep <= now;
         g_free(g_queue_pop_head(&history->marks)))
        revision = mark->revision;
    return revision;
}

static void on_present(void *data, StoreAnswer *answer, const GError *error) {
    History *history = data;
    uint64_t now = loop_now(history->hub->loop);
    history->call = NULL;
    if (!error) {
        Mark *mark = g_new(Mark, 1);
        *mark = (Mark){ now, answer->revision };
        g_queue_push_tail(&history->marks, mark);
    }
    int64_t old = take_old(history, now);
    if (old > 0 && rollout_leads(history->hub->rollout))
        history->call = store_compact(history->hub->state, old, on_compacted, history);
    else
        wait(history);
}

static void on_tick(void *data) {
    History *history = data;
    g_autoptr(GBytes) key = key_of(KEY_AUTHORITY, "");
    history->call = store_get(history->hub->state, key, on_present, history);
}

History *history_new(Hub *hub, uint64_t keep) {
    History *history = g_new0(History, 1);
    history->hub = hub;
    history->keep = keep;
    g_queue_init(&history->marks);
    wait(history);
    return history;
}

void history_free(History *history) {
    if (!history)
        return;
    loop_timer_clear(&history->timer);
    if (history->call)
        store_call_cancel(history->call);
    g_queue_clear_full(&history->marks, g_free);
    g_free(history);
}
