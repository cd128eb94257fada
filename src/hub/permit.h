#pragma once
/*
 * Which keys of the store clients of the gateway may touch. An admin may do everything below
 * stead/1/, nobody anything in hub/. What a host may is a table (permit.c), judged for the name in
 * its certificate: it reads what a fleet shares, and writes what is its own.
 */
#include "state/call.h"

typedef struct {
    const char *host;          /* NULL: an admin */
    const char *const *grants; /* of the host; or NULL: see exchange_may_publish() */
    bool everything;           /* of tests: any key */
} Permit;

/* STORE_ERROR_DENIED says which key, and why. end: as of Op. */
bool permit_read(const Permit *permit, GBytes *key, GBytes *end, GError **error);
bool permit_txn(const Permit *permit, const StoreTxn *txn, GError **error);
/* Adds the compares that make a permitted transaction one that takes a seat of a schedule from
 * nobody, whatever the store has by then. */
void permit_secure(const Permit *permit, StoreTxn *txn);
