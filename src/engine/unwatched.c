/*
 * Watches that cannot be had. A machine's limit is met by thousands of resources at once: they are
 * gathered until no more come, and told in one event. Each one's own reason is in its status.
 */
#include "engine/engine-private.h"

#define QUIET_US   (1 * (uint64_t)G_USEC_PER_SEC)
#define PATIENT_US (10 * (uint64_t)G_USEC_PER_SEC)

typedef struct {
    unsigned lost, total;  /* resources, without hidden ones */
    const Vertex *example; /* the one lost last: its reason knows of all others */
} Count;

static Count count_unwatched(const Engine *engine) {
    Count count = { 0 };
    for (unsigned i = 0; engine->graph && i < graph_size(engine->graph); i++) {
        const Vertex *vertex = engine->vertices[i];
        if (!vertex || vertex->state == VERTEX_HIDDEN)
            continue;
        count.total += vertex->n_members;
        if (!vertex->unwatched)
            continue;
        count.lost += vertex->n_members;
        if (!count.example || vertex->unwatched_at >= count.example->unwatched_at)
            count.example = vertex;
    }
    return count;
}

static void tell(void *data) {
    Engine *engine = data;
    engine->unwatched_since = 0;
    Count count = count_unwatched(engine);
    if (count.lost == 0)
        return;
    unsigned seconds = VERTEX_POLL_FALLBACK_US / G_USEC_PER_SEC;
    g_autofree char *note =
        count.lost == 1
            ? g_strdup_printf("every %u s", seconds)
            : g_strdup_printf("%u of %u resources, every %u s, 'stead why KIND NAME' tells for "
                              "each; the last of them",
                              count.lost, count.total, seconds);
    EngineEvent event = { .type = ENGINE_WATCH_LOST,
                          .latency = -1,
                          .count = count.lost,
                          .total = count.total,
                          .note = note,
                          .error = count.example->unwatched };
    if (count.lost == 1)
        record_event((Vertex *)(uintptr_t)count.example, 0, &event);
    else if (engine->options.listener)
        engine->options.listener(engine->options.listener_data, &event);
}

void unwatched_note(Vertex *vertex, const GError *why, bool worth_telling) {
    Engine *engine = vertex->engine;
    uint64_t now = loop_now(engine->options.loop);
    g_clear_error(&vertex->unwatched);
    vertex->unwatched = g_error_copy(why);
    vertex->unwatched_at = ++engine->n_unwatched;
    if (!worth_telling || vertex->unwatched_told)
        return;
    vertex->unwatched_told = true;
    if (engine->unwatched_since == 0)
        engine->unwatched_since = now;
    uint64_t at = MIN(now + QUIET_US, engine->unwatched_since + PATIENT_US);
    loop_timer_set(engine->options.loop, &engine->unwatched_timer, at, tell, engine);
}
