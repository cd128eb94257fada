#pragma once
/* Private to state: the leases of a store that keeps them itself, in the loop's thread. */
#include <stdbool.h>
#include <stdint.h>

#include "loop/loop.h"

typedef struct Leases Leases;

typedef struct {
    int64_t id;
    int64_t ttl_s;
    int64_t left_us;
} LeaseView;

/* expire: the lease's time is over; it is gone for everybody, and its keys are to be deleted. */
Leases *leases_new(Loop *loop, void (*expire)(void *data, int64_t lease), void *data);
void leases_free(Leases *leases); /* accepts NULL */

int64_t leases_pick(const Leases *leases); /* a number that no lease has */
void leases_add(Leases *leases, int64_t lease, int64_t ttl_s, int64_t left_us);
bool leases_look(const Leases *leases, int64_t lease, LeaseView *ret_view); /* false: it is gone */
bool leases_keep(Leases *leases, int64_t lease, LeaseView *ret_view);
bool leases_drop(Leases *leases, int64_t lease); /* false: there is none */
/* Deleting the keys of an expired lease failed: expire is called again later. */
void leases_retry(Leases *leases, int64_t lease);

typedef void (*LeaseVisitor)(void *data, const LeaseView *view);
void leases_visit(const Leases *leases, LeaseVisitor visitor, void *data); /* those not expired */
