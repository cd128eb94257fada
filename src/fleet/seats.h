#pragma once
/*
 * Seats: a host's part in a schedule: at most max hosts of all that take part hold one. A seat is a
 * key with a number that is put only where there is none, under the holder's lease: so there are
 * never more than max holders. A host that cannot renew its lease stops believing in its seat
 * before the store gives it to another.
 */
#include "base/value.h"
#include "fleet/tenure.h"

typedef enum {
    SEATS_FIRST_COME,   /* "rr": who waits longest gets what is free */
    SEATS_ALPHABETICAL, /* "alpha": those with the first names, whoever comes later */
} SeatsStrategy;

typedef struct {
    unsigned max, ttl_s;
    SeatsStrategy strategy;
    bool persist;  /* a seat stays with its host, in reach or not, until that gives it up */
    bool withdraw; /* looks on, without taking part */
} SeatsOptions;

typedef struct Seats Seats;

typedef struct {
    void (*changed)(void *data); /* who holds seats; or it is settled */
    void (*failed)(void *data, const GError *error);
    void *data;
} SeatsListener;

Seats *seats_new(Loop *loop, Store *state, const char *host, const char *name,
                 const SeatsOptions *options, const SeatsListener *listener);
void seats_set(Seats *seats, const SeatsOptions *options);
/* Gives up seat and place; settled when that is done. */
void seats_leave(Seats *seats);
void seats_free(Seats *seats); /* accepts NULL */

/* It is known who holds seats, and that we have ours, or why not. */
bool seats_is_settled(const Seats *seats);
Value *seats_holders(const Seats *seats); /* map of hosts to true */
bool seats_has(const Seats *seats);       /* we hold one, for sure */
