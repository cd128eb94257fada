#include "fleet/tenure.h"

#define INTERVAL_MAX_US (5 * (uint64_t)G_USEC_PER_SEC) /* a lost store is noticed within this */
#define RETRY_MIN_US    (G_USEC_PER_SEC / 4)
#define SURE_PERCENT    80 /* of the ttl; the rest is time to end what the lease allowed */

struct Tenure {
    Loop *loop;
    Store *state;
    unsigned ttl_s;
    TenureListener listener;
    int64_t lease;
    uint64_t sent;       /* when the renewal that is under way was sent */
    uint64_t sure_until; /* loop time */
    uint64_t delay;      /* us until the next try; 0: nothing has failed */
    StoreCall *call;
    LoopTimer *timer, *doubt;
};

static void renew(void *data);

static uint64_t interval(const Tenure *tenure) {
    return MIN((uint64_t)tenure->ttl_s * G_USEC_PER_SEC / 3, INTERVAL_MAX_US);
}

static void renew_after(Tenure *tenure, uint64_t us) {
    loop_timer_set(tenure->loop, &tenure->timer, loop_now(tenure->loop) + us, renew, tenure);
}

static void on_doubt(void *data) {
    Tenure *tenure = data;
    tenure->listener.changed(tenure->listener.data);
}

static void tell_reached(Tenure *tenure, const GError *error) {
    if (tenure->listener.reached)
        tenure->listener.reached(tenure->listener.data, error);
}

static void on_answer(void *data, StoreAnswer *answer, const GError *error) {
    Tenure *tenure = data;
    tenure->call = NULL;
    if (g_error_matches(error, STORE_ERROR, STORE_ERROR_LEASE_GONE)) {
        tenure_lost(tenure, tenure->lease);
        return;
    }
    if (error) {
        tenure->delay = CLAMP(tenure->delay * 2, RETRY_MIN_US, interval(tenure));
        renew_after(tenure, tenure->delay);
        tell_reached(tenure, error);
        return;
    }
    bool was_sure = tenure_is_sure(tenure) && tenure->lease == answer->lease;
    tenure->delay = 0;
    tenure->lease = answer->lease;
    tenure->sure_until = tenure->sent + (uint64_t)tenure->ttl_s * SURE_PERCENT * 10000;
    loop_timer_set(tenure->loop, &tenure->doubt, tenure->sure_until, on_doubt, tenure);
    renew_after(tenure, interval(tenure));
    tell_reached(tenure, NULL);
    if (!was_sure)
        tenure->listener.changed(tenure->listener.data);
}

static void renew(void *data) {
    Tenure *tenure = data;
    tenure->sent = loop_now(tenure->loop);
    tenure->call = tenure->lease
                       ? store_lease_keep(tenure->state, tenure->lease, on_answer, tenure)
                       : store_lease_grant(tenure->state, tenure->ttl_s, on_answer, tenure);
}

Tenure *tenure_new(Loop *loop, Store *state, unsigned ttl_s, const TenureListener *listener) {
    Tenure *tenure = g_new0(Tenure, 1);
    tenure->loop = loop;
    tenure->state = state;
    tenure->ttl_s = ttl_s;
    tenure->listener = *listener;
    renew(tenure);
    return tenure;
}

void tenure_free(Tenure *tenure) {
    if (!tenure)
        return;
    if (tenure->call)
        store_call_cancel(tenure->call);
    loop_timer_clear(&tenure->timer);
    loop_timer_clear(&tenure->doubt);
    g_free(tenure);
}

int64_t tenure_lease(const Tenure *tenure) {
    return tenure->lease;
}

bool tenure_is_sure(const Tenure *tenure) {
    return tenure->lease != 0 && loop_now(tenure->loop) < tenure->sure_until;
}

void tenure_lost(Tenure *tenure, int64_t lease) {
    if (lease == 0 || tenure->lease != lease)
        return;
    tenure->lease = 0;
    loop_timer_clear(&tenure->doubt);
    if (tenure->call)
        store_call_cancel(tenure->call);
    renew_after(tenure, 0);
    tenure->listener.changed(tenure->listener.data);
}
