#pragma once
/* The exchange that a command line names. */
#include "cli/session.h"
#include "fleet/exchange.h"

/* Fills what the command line says; the rest is the caller's. Without --exchange the store is that
 * of the hub that the machine joined, else NULL.
 * What is in options is borrowed from the session, and the store and texts are freed by
 * exchange_of_clear(). False after printing what is wrong. */
typedef struct {
    ExchangeOptions options;
    char *host, *snapshot;
    bool is_hub;      /* the store is that of a machine that joined: see joined.h */
    char *membership; /* then: the directory with what joining left */
} ExchangeOf;

bool exchange_of_session(Session *session, Loop *loop, ExchangeOf *ret);
void exchange_of_clear(ExchangeOf *exchange);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ExchangeOf, exchange_of_clear)

/* For those who evaluate once: fills session->exchange with what file reads, from the store that
 * the command line names, or what the agent of this host knew last. False after printing what is
 * wrong.
 */
bool exchange_of_file(Session *session, const char *file);
