#pragma once
/* Token bucket: `limit` events a second, `burst` at once. Same arithmetic as Go's x/time/rate,
 * which mgmt uses. */
#include <stdint.h>

typedef struct {
    double limit; /* tokens a second; infinity: no limit */
    int burst;
    double tokens;
    uint64_t last; /* us */
} Limiter;

void limiter_init(Limiter *limiter, double limit, int burst, uint64_t now_us);
/* Takes one token, going into debt if there is none. Returns the microseconds to wait before
 * acting. */
uint64_t limiter_reserve(Limiter *limiter, uint64_t now_us);
