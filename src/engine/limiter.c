#include "engine/limiter.h"

#include <math.h>

void limiter_init(Limiter *limiter, double limit, int burst, uint64_t now_us) {
    *limiter = (Limiter){ .limit = limit, .burst = burst, .tokens = burst, .last = now_us };
}

uint64_t limiter_reserve(Limiter *limiter, uint64_t now_us) {
    if (isinf(limiter->limit))
        return 0;
    double elapsed = (double)(now_us - limiter->last) / 1e6;
    limiter->tokens = fmin(limiter->burst, limiter->tokens + elapsed * limiter->limit);
    limiter->last = now_us;
    limiter->tokens -= 1;
    if (limiter->tokens >= 0)
        return 0;
    return (uint64_t)ceil(-limiter->tokens / limiter->limit * 1e6);
}
