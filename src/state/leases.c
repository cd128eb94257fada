#include "state/leases.h"

#define RETRY_US G_USEC_PER_SEC

typedef struct {
    Leases *all;
    int64_t id;
    int64_t ttl_s;
    uint64_t deadline; /* loop's time */
    bool expired;
    LoopTimer *timer;
} Lease;

struct Leases {
    Loop *loop;
    GHashTable *by_id; /* of Lease */
    void (*expire)(void *data, int64_t lease);
    void *data;
};

static void lease_free(void *data) {
    Lease *lease = data;
    loop_timer_clear(&lease->timer);
    g_free(lease);
}

Leases *leases_new(Loop *loop, void (*expire)(void *data, int64_t lease), void *data) {
    Leases *leases = g_new0(Leases, 1);
    *leases = (Leases){ .loop = loop, .expire = expire, .data = data };
    leases->by_id = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, lease_free);
    return leases;
}

void leases_free(Leases *leases) {
    if (leases == NULL)
        return;
    g_hash_table_unref(leases->by_id);
    g_free(leases);
}

static Lease *find(const Leases *leases, int64_t lease) {
    return g_hash_table_lookup(leases->by_id, &lease);
}

int64_t leases_pick(const Leases *leases) {
    int64_t lease;
    do
        lease = (int64_t)((uint64_t)g_random_int() << 31 | g_random_int() >> 1);
    while (lease == 0 || find(leases, lease) != NULL);
    return lease;
}

static void on_deadline(void *data) {
    Lease *lease = data;
    lease->expired = true;
    lease->all->expire(lease->all->data, lease->id);
}

static void arm(Lease *lease, int64_t left_us) {
    lease->deadline = loop_now(lease->all->loop) + (uint64_t)MAX(left_us, 0);
    loop_timer_set(lease->all->loop, &lease->timer, lease->deadline, on_deadline, lease);
}

void leases_add(Leases *leases, int64_t id, int64_t ttl_s, int64_t left_us) {
    Lease *lease = g_new0(Lease, 1);
    *lease = (Lease){ .all = leases, .id = id, .ttl_s = ttl_s };
    g_hash_table_replace(leases->by_id, &lease->id, lease);
    arm(lease, left_us);
}

static LeaseView view_of(const Lease *lease) {
    uint64_t now = loop_now(lease->all->loop);
    int64_t left = lease->deadline > now ? (int64_t)(lease->deadline - now) : 0;
    return (LeaseView){ lease->id, lease->ttl_s, left };
}

bool leases_look(const Leases *leases, int64_t id, LeaseView *ret_view) {
    const Lease *lease = find(leases, id);
    if (lease == NULL || lease->expired)
        return false;
    *ret_view = view_of(lease);
    return true;
}

bool leases_keep(Leases *leases, int64_t id, LeaseView *ret_view) {
    Lease *lease = find(leases, id);
    if (lease == NULL || lease->expired)
        return false;
    *ret_view = (LeaseView){ id, lease->ttl_s, lease->ttl_s * G_USEC_PER_SEC };
    arm(lease, ret_view->left_us);
    return true;
}

bool leases_drop(Leases *leases, int64_t lease) {
    return g_hash_table_remove(leases->by_id, &lease);
}

void leases_retry(Leases *leases, int64_t id) {
    Lease *lease = find(leases, id);
    if (lease != NULL)
        arm(lease, RETRY_US);
}

void leases_visit(const Leases *leases, LeaseVisitor visitor, void *data) {
    GHashTableIter iter;
    void *value;
    g_hash_table_iter_init(&iter, leases->by_id);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const Lease *lease = value;
        LeaseView view = view_of(lease);
        if (!lease->expired)
            visitor(data, &view);
    }
}
