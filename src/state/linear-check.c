#include "state/linear-check.h"

#include <string.h>

/* --- one register */

/* A call or a return, in a list by time. */
typedef struct Event Event;
struct Event {
    const LinearOp *op;
    unsigned id;
    bool is_call;
    Event *match; /* of a call: its return */
    Event *previous, *next;
};

typedef struct {
    unsigned n_ops, n_words;
    Event *events; /* two for each op */
    Event head;
    uint64_t *done;    /* a bit for each op that has its place */
    GHashTable *known; /* of states that lead nowhere: done and the value */
    GPtrArray *placed; /* of Event: calls, in the order they have */
    GArray *values;    /* of int64_t: the register before each of them */
} Search;

static bool takes_effect(const LinearOp *op, int64_t before, int64_t *ret_after) {
    bool lost = op->end == LINEAR_NEVER;
    *ret_after = before;
    switch (op->kind) {
    case LINEAR_READ:
        return before == op->value;
    case LINEAR_WRITE:
        *ret_after = op->value;
        return true;
    case LINEAR_SWAP:
        if (before == op->expected && (lost || op->done))
            *ret_after = op->value;
        return lost || op->done == (before == op->expected);
    }
    g_assert_not_reached();
}

static uint64_t time_of(const Event *event) {
    return event->is_call ? event->op->start : event->op->end;
}

/* At one moment calls are first: then nothing is ordered that need not be. */
static int by_time(const void *a, const void *b) {
    const Event *left = *(Event *const *)a, *right = *(Event *const *)b;
    if (time_of(left) != time_of(right))
        return time_of(left) < time_of(right) ? -1 : 1;
    return (int)right->is_call - (int)left->is_call;
}

static void link_events(Search *search, const GArray *ops) {
    g_autoptr(GPtrArray) order = g_ptr_array_new();
    for (unsigned i = 0; i < ops->len; i++) {
        Event *call = &search->events[2 * i], *end = call + 1;
        const LinearOp *op = &g_array_index(ops, LinearOp, i);
        *call = (Event){ .op = op, .id = i, .is_call = true, .match = end };
        *end = (Event){ .op = op, .id = i };
        g_ptr_array_add(order, call);
        g_ptr_array_add(order, end);
    }
    g_ptr_array_sort(order, by_time);
    Event *last = &search->head;
    for (unsigned i = 0; i < order->len; i++) {
        Event *event = g_ptr_array_index(order, i);
        last->next = event;
        event->previous = last;
        last = event;
    }
}

static void take_out(Event *event) {
    event->previous->next = event->next;
    if (event->next != NULL)
        event->next->previous = event->previous;
}

static void put_back(Event *event) {
    event->previous->next = event;
    if (event->next != NULL)
        event->next->previous = event;
}

/* False when that was there before. */
static bool remember(Search *search, int64_t value) {
    size_t size = search->n_words * sizeof *search->done;
    uint8_t *key = g_malloc(size + sizeof value);
    memcpy(key, search->done, size);
    memcpy(key + size, &value, sizeof value);
    return g_hash_table_add(search->known, g_bytes_new_take(key, size + sizeof value));
}

static void mark(Search *search, unsigned id) {
    search->done[id / 64] ^= UINT64_C(1) << id % 64;
}

static bool place(Search *search, Event *call, int64_t *value) {
    int64_t after;
    if (!takes_effect(call->op, *value, &after))
        return false;
    mark(search, call->id);
    if (!remember(search, after)) {
        mark(search, call->id);
        return false;
    }
    g_ptr_array_add(search->placed, call);
    g_array_append_val(search->values, *value);
    *value = after;
    take_out(call->match);
    take_out(call);
    return true;
}

/* Returns the call that was placed last; NULL: there is none. */
static Event *unplace(Search *search, int64_t *value) {
    if (search->placed->len == 0)
        return NULL;
    Event *call = g_ptr_array_steal_index(search->placed, search->placed->len - 1);
    *value = g_array_index(search->values, int64_t, search->values->len - 1);
    g_array_set_size(search->values, search->values->len - 1);
    mark(search, call->id);
    put_back(call);
    put_back(call->match);
    return call;
}

static bool find_order(Search *search) {
    int64_t value = 0;
    Event *event = search->head.next;
    while (search->head.next != NULL) {
        if (event->is_call) {
            event = place(search, event, &value) ? search->head.next : event->next;
            continue;
        }
        /* What returned has no place yet, and nothing before it fits. */
        Event *call = unplace(search, &value);
        if (call == NULL)
            return false;
        event = call->next;
    }
    return true;
}

bool linear_check_register(const GArray *ops) {
    Search search = { .n_ops = ops->len, .n_words = ops->len / 64 + 1 };
    search.events = g_new0(Event, 2 * (size_t)ops->len + 1);
    search.done = g_new0(uint64_t, search.n_words);
    search.known =
        g_hash_table_new_full(g_bytes_hash, g_bytes_equal, (GDestroyNotify)g_bytes_unref, NULL);
    search.placed = g_ptr_array_new();
    search.values = g_array_new(FALSE, FALSE, sizeof(int64_t));
    link_events(&search, ops);
    bool found = find_order(&search);
    g_hash_table_unref(search.known);
    g_ptr_array_unref(search.placed);
    g_array_unref(search.values);
    g_free(search.done);
    g_free(search.events);
    return found;
}

/* --- revisions */

static bool is_write(const LinearOp *op) {
    return op->kind == LINEAR_WRITE || (op->kind == LINEAR_SWAP && op->done);
}

static int by_start(const void *a, const void *b) {
    const LinearOp *left = *(const LinearOp *const *)a, *right = *(const LinearOp *const *)b;
    return left->start < right->start ? -1 : left->start > right->start;
}

static int by_end(const void *a, const void *b) {
    const LinearOp *left = *(const LinearOp *const *)a, *right = *(const LinearOp *const *)b;
    return left->end < right->end ? -1 : left->end > right->end;
}

static char *too_old(const LinearOp *op, int64_t known) {
    return g_strdup_printf("an operation on key %u at %" G_GUINT64_FORMAT
                           " was answered with revision %" G_GINT64_FORMAT " when %" G_GINT64_FORMAT
                           " had been answered before it began",
                           op->key, op->start, op->revision, known);
}

char *linear_check_revisions(const GArray *ops) {
    g_autoptr(GPtrArray) starts = g_ptr_array_new(), ends = g_ptr_array_new();
    g_autoptr(GHashTable) written = g_hash_table_new(g_int64_hash, g_int64_equal);
    for (unsigned i = 0; i < ops->len; i++) {
        LinearOp *op = &g_array_index(ops, LinearOp, i);
        if (op->revision == 0)
            continue;
        g_ptr_array_add(starts, op);
        g_ptr_array_add(ends, op);
        if (is_write(op) && !g_hash_table_add(written, &op->revision))
            return g_strdup_printf("two writes have revision %" G_GINT64_FORMAT, op->revision);
    }
    g_ptr_array_sort(starts, by_start);
    g_ptr_array_sort(ends, by_end);
    int64_t known = 0;
    for (unsigned i = 0, ended = 0; i < starts->len; i++) {
        const LinearOp *op = g_ptr_array_index(starts, i);
        for (; ended < ends->len; ended++) {
            const LinearOp *before = g_ptr_array_index(ends, ended);
            if (before->end >= op->start)
                break;
            known = MAX(known, before->revision);
        }
        if (op->revision < known || (is_write(op) && op->revision == known))
            return too_old(op, known);
    }
    return NULL;
}

char *linear_show(const GArray *ops) {
    static const char *const names[] = { "read", "write", "swap" };
    GString *text = g_string_new(NULL);
    for (unsigned i = 0; i < ops->len; i++) {
        const LinearOp *op = &g_array_index(ops, LinearOp, i);
        g_string_append_printf(text, "# %" G_GUINT64_FORMAT "-", op->start);
        if (op->end == LINEAR_NEVER)
            g_string_append(text, "?");
        else
            g_string_append_printf(text, "%" G_GUINT64_FORMAT, op->end);
        g_string_append_printf(text, " %s %" G_GINT64_FORMAT, names[op->kind], op->value);
        if (op->kind == LINEAR_SWAP)
            g_string_append_printf(text, " for %" G_GINT64_FORMAT "%s", op->expected,
                                   op->done ? "" : ": refused");
        g_string_append_printf(text, " (%" G_GINT64_FORMAT ")\n", op->revision);
    }
    return g_string_free(text, FALSE);
}
