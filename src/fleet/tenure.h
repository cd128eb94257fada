#pragma once
/* A lease that is kept for as long as its tenure lives: granted again when it is gone. The store
 * counts from when it got the last renewal, a tenure from before it sent it, and less long: so it
 * doubts its lease well before the store takes it away. */
#include "state/store.h"

typedef struct Tenure Tenure;

typedef struct {
    void (*changed)(void *data); /* another lease, none, doubted, or sure again */
    /* A renewal did not work, or (error NULL) did again. */
    void (*reached)(void *data, const GError *error);
    void *data;
} TenureListener;

Tenure *tenure_new(Loop *loop, Store *state, unsigned ttl_s, const TenureListener *listener);
void tenure_free(Tenure *tenure); /* leaves the lease to lapse; accepts NULL */

int64_t tenure_lease(const Tenure *tenure); /* 0: none now */
bool tenure_is_sure(const Tenure *tenure);  /* nobody can have taken it away */
/* Somebody was told that this lease is gone. */
void tenure_lost(Tenure *tenure, int64_t lease);
