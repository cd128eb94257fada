#pragma once
/* How a deploy goes from host to host: "batch=10%,soak=60s,max-failures=1". Pure. */
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define STRATEGY_BY_MAX 64u /* bytes of a label's name */

typedef enum { STRATEGY_ORDER_SALTED, STRATEGY_ORDER_NAME } StrategyOrder;
typedef enum { STRATEGY_HALT, STRATEGY_REVERT } StrategyOnFailure;

typedef struct {
    uint64_t batch; /* hosts under way at a time */
    uint64_t batch_is_percent;
    uint64_t soak;         /* seconds */
    uint64_t max_failures; /* that a rollout goes on with; of canaries it bears none */
    uint64_t canaries;
    char by[STRATEGY_BY_MAX + 1]; /* the label or fact whose values come one after the other; "" */
    uint64_t order;               /* StrategyOrder */
    uint64_t timeout;             /* seconds that a host has to converge */
    uint64_t on_failure;          /* StrategyOnFailure */
} Strategy;

/* What is not in text is as by default; "" is all of that. */
bool strategy_parse(const char *text, Strategy *ret_strategy, GError **error);
/* All of it, so that it says the same when defaults change. Caller frees. */
char *strategy_print(const Strategy *strategy);
/* Hosts that may be under way at a time, of so many: at least 1. */
unsigned strategy_batch(const Strategy *strategy, unsigned hosts);
/* "90s", "10m": what divides it. Caller frees. */
char *strategy_print_seconds(uint64_t seconds);
